//! What every sorter's session tells and takes, whatever its machine speaks.

pub(crate) mod belt;

pub use belt::{Delivery, SorterSettings, Violation};

use serde::{Deserialize, Serialize};
use stowage_base::{Code, Timestamp};

/// Whether the belt runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Run {
    /// It runs.
    Running,
    /// Stopped in the ordinary way.
    Stopped,
    /// The emergency stop was pressed. Only the machine's own people and logic clear it.
    Estop,
}

/// A chute and whether it takes more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chute {
    /// Its code.
    pub chute: Code,
    /// Full: a command for it is refused.
    pub full: bool,
}

/// How an item's way ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Into the chute it was commanded to.
    Diverted,
    /// No command in time, or no sign of the edge: the sorter followed its safe plan.
    Missed,
    /// The chute it was commanded to had become full: the sorter followed its safe plan.
    Full,
    /// Too near to its neighbour to be diverted: the sorter followed its safe plan.
    Gap,
    /// Two items that can't be told apart: the sorter followed its safe plan.
    Double,
    /// The sorter lost track of it.
    Lost,
    /// It is stuck.
    Jammed,
}

/// What the core wants: this item into that chute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The sorter's count of starts.
    pub boot: u32,
    /// Its number for the item.
    pub item: u32,
    /// The goal.
    pub chute: Code,
    /// The decision point, as told by [`Event::Scanned`].
    pub deadline: Timestamp,
}

/// What a session makes of what its sorter tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The sorter is there. Comes again after each [`Event::Down`] and for each new boot.
    Up {
        /// Its count of starts.
        boot: u32,
        /// Whether its belt runs.
        run: Run,
        /// All chutes with their present fullness.
        chutes: Vec<Chute>,
    },
    /// It is gone: silent, offline by its own word, or our connection to it ended.
    Down {
        /// Why.
        why: String,
    },
    /// The belt started or stopped.
    Run(Run),
    /// An item passed the scan point; told once for each item.
    Scanned {
        /// The sorter's count of starts.
        boot: u32,
        /// Its number for the item.
        item: u32,
        /// What was read; `None` is a no-read.
        code: Option<Code>,
        /// When the sorter decides, on our time line.
        decide_by: Timestamp,
    },
    /// The command left for the first time.
    Sent {
        /// The sorter's count of starts.
        boot: u32,
        /// Its number for the item.
        item: u32,
    },
    /// The sorter took the command.
    Acknowledged {
        /// The sorter's count of starts.
        boot: u32,
        /// Its number for the item.
        item: u32,
    },
    /// The sorter, or this session, refused the command.
    Refused {
        /// The sorter's count of starts.
        boot: u32,
        /// Its number for the item.
        item: u32,
        /// Why, for people.
        reason: String,
    },
    /// The command's time passed without an answer.
    Missed {
        /// The sorter's count of starts.
        boot: u32,
        /// Its number for the item.
        item: u32,
        /// It left at least once: the sorter may have heard it, the item's outcome will tell.
        sent: bool,
    },
    /// An item's way ended; told again until it is confirmed as recorded.
    Outcome {
        /// The sorter's count of starts.
        boot: u32,
        /// Its number for the item.
        item: u32,
        /// The sorter had accepted our command for it.
        commanded: bool,
        /// How it ended.
        outcome: End,
        /// Where it went, if that is known.
        chute: Option<Code>,
    },
    /// A chute became full, or free again.
    ChuteFull {
        /// Which.
        chute: Code,
        /// Full, or free.
        full: bool,
    },
    /// A message that breaks the contract; it was ignored.
    Malformed {
        /// Where it came: a topic below the sorter's base, a register's name; at most 64 characters.
        place: String,
        /// What is wrong.
        what: String,
    },
}
