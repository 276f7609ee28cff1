//! A smart sorter over MQTT: our own JSON contract, both ends. JSON Schema: `config/schemas/sorter-mqtt.schema.json`.
//!
//! Topics lie below `stowage/SITE/sorter/ID/`; this module knows only what follows, the sessions' `topic`.
//!
//! | topic | from | payload | retained |
//! |---|---|---|---|
//! | `state` | sorter | [`State`]; its last will is `{"online":false}` | yes |
//! | `scan` | sorter | [`Scan`] | no |
//! | `ack` | sorter | [`Ack`] | no |
//! | `result` | sorter | [`Outcome`] | no |
//! | `heartbeat` | sorter | [`Heartbeat`], each second | no |
//! | `edge/divert` | edge | [`Divert`] | no |
//! | `edge/heartbeat` | edge | [`EdgeHeartbeat`], each second | no |
//!
//! All with QoS 1; each end bears lost, repeated, late and reordered messages. The story of an item:
//! 1. It passes the scan point: the sorter publishes `scan` with its boot and item number and the time left, again until
//!    a command for it arrives or it must decide.
//! 2. The edge publishes `edge/divert` under the id `BOOT-ITEM` until acknowledged, never after the deadline. Resending
//!    is harmless: the same id is the same command, and another chute under it is refused.
//! 3. At the decision point the sorter follows the command it accepted, else its safe plan: the hospital chute.
//! 4. The item's end is a `result`, published again until an edge heartbeat confirms that its number is recorded.
//!
//! Either end takes 3 s without a message as the other's absence. Unknown members of a message are tolerated, so that
//! newer ends may say more; a missing or wrong one refuses the message.

mod edge;
#[cfg(test)]
mod pair;
mod sorter;

pub use crate::sorter::{Delivery, SorterSettings, Violation};
pub use edge::{Edge, EdgeSettings, Sink};
pub use sorter::Sorter;

use crate::sorter::{Chute, End, Run};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use stowage_base::{Code, Duration};

/// What the edge subscribes to.
pub const TO_EDGE: [&str; 5] = [STATE, SCAN, ACK, RESULT, HEARTBEAT];

/// What the sorter subscribes to.
pub const TO_SORTER: [&str; 2] = [DIVERT, EDGE_HEARTBEAT];

/// Topic of [`State`]; the one that is retained.
pub const STATE: &str = "state";
/// Topic of [`Scan`].
pub const SCAN: &str = "scan";
/// Topic of [`Ack`].
pub const ACK: &str = "ack";
/// Topic of [`Outcome`].
pub const RESULT: &str = "result";
/// Topic of [`Heartbeat`].
pub const HEARTBEAT: &str = "heartbeat";
/// Topic of [`Divert`].
pub const DIVERT: &str = "edge/divert";
/// Topic of [`EdgeHeartbeat`].
pub const EDGE_HEARTBEAT: &str = "edge/heartbeat";

/// The sorter's last will on [`STATE`], retained.
pub const LAST_WILL: &str = r#"{"online":false}"#;

/// Most octets in a payload; a longer one is refused unread.
pub const PAYLOAD_MAX: usize = 64 * 1024;

/// A scan that no command answers, and a command that isn't acknowledged, is sent again after this.
const RESEND_PERIOD: Duration = Duration::from_millis(200);

/// Both ends tell so often that they live.
const HEARTBEAT_PERIOD: Duration = Duration::from_secs(1);

/// An end that says nothing for longer is taken as gone.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// How many numbers of items or results, answers or commands an end remembers to recognise repeats.
const MEMORY: usize = 1024;

/// Payload of [`STATE`]: published on connection, on each change, and every 5 s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The sorter's count of starts, from 1: items and commands of earlier starts are void.
    pub boot: u32,
    /// Whether the belt runs.
    pub run: Run,
    /// All chutes, in the order of the belt.
    pub chutes: Vec<Chute>,
}

/// Payload of [`SCAN`]: an item passed the scan point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// The sorter's count of starts.
    pub boot: u32,
    /// The sorter's number for the item, counting from 1 in each boot.
    pub item: u32,
    /// What was read; `None` is a no-read.
    pub code: Option<Code>,
    /// When this was published, by the sorter's clock, in µs; it need not agree with ours.
    pub at_us: i64,
    /// How long after `at_us` the sorter decides, in ms.
    pub decide_in_ms: u32,
}

/// Payload of [`ACK`]: the answer to a command; the same id always gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The command's id.
    pub command: String,
    /// Taken, or refused.
    pub accepted: bool,
    /// Why it was refused, for people.
    pub reason: Option<String>,
}

/// Payload of [`RESULT`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Counts the results of a boot from 1.
    pub n: u32,
    /// The lowest `n` that the sorter still holds: those below were confirmed or given up.
    pub held_from: u32,
    /// The sorter's count of starts.
    pub boot: u32,
    /// The sorter's number for the item.
    pub item: u32,
    /// The command that it had accepted for the item.
    pub command: Option<String>,
    /// How it ended.
    pub outcome: End,
    /// Where it went, if it is known.
    pub chute: Option<Code>,
}

/// Payload of [`HEARTBEAT`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The sorter's count of starts.
    pub boot: u32,
    /// When this was published, by the sorter's clock, in µs.
    pub at_us: i64,
}

/// Payload of [`DIVERT`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divert {
    /// `BOOT-ITEM`: see [`command_id`].
    pub command: String,
    /// The goal.
    pub chute: Code,
    /// How long it may still be obeyed, in ms: it is void afterwards, whatever held it up.
    pub valid_for_ms: u32,
}

/// Payload of [`EDGE_HEARTBEAT`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeHeartbeat {
    /// The sorter's boot that the edge knows; `None` before any.
    pub boot: Option<u32>,
    /// All results of that boot up to this number have arrived.
    pub results_to: u32,
}

/// The id of the command for an item: derived from the sorter's own numbers, so that a repeat is recognised even
/// after either end started anew.
pub fn command_id(boot: u32, item: u32) -> String {
    format!("{boot}-{item}")
}

/// Boot and item of a command's id; `None` if it isn't exactly as [`command_id`] writes it.
pub fn command_item(id: &str) -> Option<(u32, u32)> {
    let (boot, item) = id.split_once('-')?;
    let (boot, item) = (boot.parse().ok()?, item.parse().ok()?);
    (command_id(boot, item) == id).then_some((boot, item))
}

/// Writes a message. These types have string keys and plain values only, which JSON always can.
fn json(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).unwrap_or_default()
}

/// Reads a message; the error says what is wrong where.
fn parse<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, String> {
    if payload.len() > PAYLOAD_MAX {
        return Err(format!("payload of {} octets, {PAYLOAD_MAX} are allowed", payload.len()));
    }
    serde_json::from_slice(payload).map_err(|error| error.to_string())
}

/// Numbers that have arrived, to tell new ones from repeats.
#[derive(Debug, Clone, Default)]
struct Arrived {
    /// All up to this one.
    through: u32,
    beyond: BTreeSet<u32>,
}

impl Arrived {
    /// Whether `n` is new; from now on it isn't.
    fn insert(&mut self, n: u32) -> bool {
        if n <= self.through || !self.beyond.insert(n) {
            return false;
        }
        while self.beyond.len() > MEMORY {
            self.through = self.beyond.pop_first().unwrap_or(self.through);
        }
        self.close_gap();
        true
    }

    /// Nothing below `n` will come any more.
    fn skip_to(&mut self, n: u32) {
        if n > self.through.saturating_add(1) {
            self.through = n - 1;
            self.beyond = self.beyond.split_off(&n);
            self.close_gap();
        }
    }

    fn close_gap(&mut self) {
        while self.through.checked_add(1).is_some_and(|next| self.beyond.remove(&next)) {
            self.through += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_one_item_and_has_one_spelling() {
        assert_eq!(command_item(&command_id(7, 42)), Some((7, 42)));
        for bad in ["", "7", "7-", "-42", "7-042", "+7-42", "7-42-1", "7-4294967296"] {
            assert_eq!(command_item(bad), None, "{bad}");
        }
    }

    #[test]
    fn arrivals_are_new_once_in_any_order() {
        let mut arrived = Arrived::default();
        assert!([1, 3, 4, 2].map(|n| arrived.insert(n)).iter().all(|new| *new));
        assert_eq!(arrived.through, 4);
        assert!(!arrived.insert(3));
        assert!(arrived.insert(9));
        arrived.skip_to(8);
        assert_eq!(arrived.through, 7);
        assert!(arrived.insert(8) && arrived.through == 9);
        assert!(arrived.insert(u32::MAX));
        arrived.skip_to(u32::MAX);
        assert_eq!(arrived.through, u32::MAX);
        assert!(!arrived.insert(u32::MAX));
    }
}
