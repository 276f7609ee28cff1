//! What the MQTT interfaces of smart readers have in common, whatever the vendor.
//!
//! A smart reader has its own clock, buffers events while it can't deliver them, and says of an antenna neither when it
//! looks nor that it looked in vain. So a session
//! - maps the reader's time to ours by what the reader answers when asked for it ([`Time`]); event times only sharpen
//!   that, since a backlog would look like a clock that is behind;
//! - counts a report that is older than [`LATE_MAX`] as late, and makes no read of it: it moves nothing;
//! - makes an antenna's visits of the time in which the reader is known to run an inventory, one for each turn.
//!
//! Messages are JSON: one object, an array of them, or one after the other. Members that aren't known are skipped and
//! counted; one that is missing or wrong refuses its object, with its place in the payload.

mod clock;
mod far;
mod json;
mod text;
mod track;
mod visits;

pub use far::Backlog;
pub use json::Malformed;
pub use text::Time;

pub(crate) use far::{Inventory, VIOLATIONS_MAX};
pub(crate) use json::{Flat, Within, elements, fields, object, parse};
pub(crate) use text::{Base64, Hex};
pub(crate) use track::Tracker;

use stowage_base::{Duration, Epc, TagRead, Timestamp, Visit};

/// Stands for the RSSI of a report that tells none: weaker than a reader can hear.
pub const RSSI_UNTOLD_CDBM: i16 = -10_000;

/// A report that is older than this, and than the reader's own reporting delay, is late: counted, no read.
pub const LATE_MAX: Duration = Duration::from_secs(2);

/// Most octets in a payload; a longer one is refused unread.
pub const PAYLOAD_MAX: usize = 1 << 20;

/// How often the reader is asked for its state and time.
pub(crate) const POLL_PERIOD: Duration = Duration::from_secs(5);

/// A reader that has not shown for so long that it runs is not known to run.
pub(crate) const PROOF_MAX: Duration = Duration::from_secs(15);

/// How long a reader may take to answer.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// After a refusal or without an answer, the pause before the next try.
pub(crate) const RETRY_WAIT: Duration = Duration::from_secs(5);

/// One report of a tag, as the reader tells it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tag {
    /// The tag's EPC.
    pub epc: Epc,
    /// Its TID, if told.
    pub tid: Option<Epc>,
    /// The antenna's port, from 1, if told.
    pub antenna: Option<u16>,
    /// Strongest signal in 1/100 dBm, if told.
    pub rssi_cdbm: Option<i16>,
    /// Carrier in kHz, if told.
    pub frequency_khz: Option<u32>,
    /// Phase in degrees, if told.
    pub phase_deg: Option<f64>,
    /// Replies that it stands for; at least 1.
    pub count: u16,
    /// When it was heard, by the reader's clock.
    pub at: Time,
}

impl Tag {
    /// As a read at `at` on our time line, by the antenna `antenna`.
    pub(crate) fn read(&self, antenna: u16, at: Timestamp) -> TagRead {
        let turn = |deg: f64| ((deg / 360.0 * 4096.0).round() as i64).rem_euclid(4096) as u16;
        TagRead {
            epc: self.epc,
            antenna,
            rssi_cdbm: self.rssi_cdbm.unwrap_or(RSSI_UNTOLD_CDBM),
            count: self.count,
            at,
            frequency_khz: self.frequency_khz,
            phase: self.phase_deg.map(turn),
        }
    }
}

/// One antenna of a smart reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AntennaSettings {
    /// Its port, from 1.
    pub port: u16,
    /// Transmit power in 1/100 dBm.
    pub power_cdbm: i16,
}

/// What both vendors' sessions need to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// The antennas that the inventory uses: at least one, no port twice.
    pub antennas: Vec<AntennaSettings>,
    /// In this time each of them has had its turn; a visit is told for each. At least 1 ms.
    pub turn: Duration,
    /// How long the reader may hold reports back: its reporting interval and its batching.
    pub delay: Duration,
}

/// What happens to a smart reader apart from reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The reader runs our inventory and publishes what it reads.
    Up,
    /// It doesn't any more, and why.
    Down(String),
    /// It reports an antenna connected, or gone.
    Antenna {
        /// The port.
        port: u16,
        /// Connected, or gone.
        connected: bool,
    },
    /// A digital input changed.
    Gpi {
        /// Its number, from 1.
        pin: u16,
        /// The level that it has now.
        high: bool,
    },
    /// Its clock jumped: reports are mapped anew from the next answer on.
    ClockJump,
    /// It refused something or reported a fault, in words.
    Fault(String),
    /// So many reports came too late to say where tags are now.
    Late {
        /// How many since the last of these events.
        count: u64,
    },
    /// So many members and messages were skipped because they aren't known here.
    Skipped {
        /// How many since the last of these events.
        count: u64,
        /// The last of them, if it has a name.
        last: String,
    },
    /// A message, or an object in it, that breaks the contract; it was ignored.
    Malformed {
        /// Its topic, or what it answers; cut at 64 characters.
        source: String,
        /// What is wrong, and where.
        what: String,
    },
}

/// Where a smart reader's session puts what it makes; `Out` is what goes to the reader. Nothing here may wait.
pub trait Sink<Out> {
    /// Something for the reader. If it can't be sent now, drop it: the session asks again.
    fn send(&mut self, out: Out);
    /// A tag was read. On the hot path: nothing is allocated for it.
    fn read(&mut self, read: &TagRead);
    /// An antenna's visit is over.
    fn visit(&mut self, visit: &Visit);
    /// Something else happened.
    fn event(&mut self, event: Event);
}

/// The edge's end of one smart reader, without I/O.
///
/// The driver connects to the broker, subscribes to [`topics`](Self::topics), calls [`connected`](Self::connected),
/// passes on messages, carries [`Out`](Self::Out) to the reader, and calls [`tick`](Self::tick) at or after
/// [`next_deadline`](Self::next_deadline) (too early or too often is harmless).
pub trait Session {
    /// What goes to the reader.
    type Out;
    /// What to subscribe to.
    fn topics(&self) -> Vec<String>;
    /// Connected to the broker and subscribed.
    fn connected(&mut self, now: Timestamp, sink: &mut impl Sink<Self::Out>);
    /// A message arrived.
    fn receive(&mut self, now: Timestamp, topic: &str, payload: &[u8], sink: &mut impl Sink<Self::Out>);
    /// Request `id` was answered, with HTTP's status and body, or why it was not; where requests are made at all.
    fn answered(
        &mut self,
        now: Timestamp,
        id: u32,
        answer: Result<(u16, &[u8]), &str>,
        sink: &mut impl Sink<Self::Out>,
    );
    /// Time has passed.
    fn tick(&mut self, now: Timestamp, sink: &mut impl Sink<Self::Out>);
    /// When to call [`tick`](Self::tick) if nothing else happens; `None` while there is nothing to wait for.
    fn next_deadline(&self) -> Option<Timestamp>;
    /// Our connection to the broker is gone. The same session serves the next one.
    fn disconnected(&mut self, now: Timestamp, sink: &mut impl Sink<Self::Out>);
}
