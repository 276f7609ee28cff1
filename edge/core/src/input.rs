//! What passes between the shell and the core.

use serde::{Deserialize, Serialize};
use stowage_base::{Code, Intent, TextKey, Timestamp, Verdict, Visit};

use crate::site::{DeviceIx, ReadPointIx};

/// Something that happened outside. Tag reads, which are many, go by [`crate::Engine::read`].
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// An antenna's visit is over; its reads have been given.
    Visit {
        /// The antenna.
        point: ReadPointIx,
        /// What it did.
        visit: Visit,
    },
    /// A device's session changed or complained.
    Device {
        /// Which.
        device: DeviceIx,
        /// How.
        event: DeviceEvent,
    },
    /// A worker did something.
    Intent {
        /// On which scanner.
        scanner: DeviceIx,
        /// What. Intents of a scanner come in order; one that leaves a gap is refused.
        intent: Intent,
    },
    /// A scanner has had answers up to `answered` that are not known here: the journal lost them.
    Lost {
        /// The scanner.
        scanner: DeviceIx,
        /// Its last answered intent.
        answered: u32,
    },
    /// A sorter tells.
    Sorter {
        /// Which.
        sorter: DeviceIx,
        /// What.
        event: SorterEvent,
    },
    /// Someone outside announces a parcel. The same code again with the same content is no new parcel.
    Announce {
        /// Whom to answer.
        request: u64,
        /// What its label says.
        code: Code,
        /// Its route.
        route: Code,
    },
    /// A person at the page takes the radio's word in a discrepancy.
    Settle {
        /// Whom to answer.
        request: u64,
        /// Which.
        discrepancy: u64,
    },
}

/// A device's session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceEvent {
    /// It is up.
    Up,
    /// It ended, and why.
    Down(String),
    /// It works, but the device refused or reported something.
    Fault {
        /// How often since the last report.
        count: u64,
        /// The last of them in words.
        what: String,
    },
    /// Octets or messages that made no sense were skipped.
    Malformed {
        /// How often since the last report.
        count: u64,
        /// The last of them in words.
        what: String,
    },
}

/// What a sorter tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SorterEvent {
    /// It runs, and this is its count of starts: items and commands of earlier starts are void.
    Up {
        /// Its count of starts.
        boot: u32,
    },
    /// An item passed the scan point.
    Scanned {
        /// Its count of starts.
        boot: u32,
        /// Its number for the item.
        item: u32,
        /// What was read; `None`: no-read.
        code: Option<Code>,
        /// When the sorter decides by itself: a command must be there before.
        decide_by: Timestamp,
    },
    /// The session has sent the command.
    Sent {
        /// Its count of starts.
        boot: u32,
        /// Its number for the item.
        item: u32,
    },
    /// The session could not send the command in time.
    NotSent {
        /// Its count of starts.
        boot: u32,
        /// Its number for the item.
        item: u32,
    },
    /// It took the command.
    Acknowledged {
        /// Its count of starts.
        boot: u32,
        /// Its number for the item.
        item: u32,
    },
    /// It refused the command.
    Refused {
        /// Its count of starts.
        boot: u32,
        /// Its number for the item.
        item: u32,
        /// Its reason.
        reason: String,
    },
    /// An item reached its end.
    Ended {
        /// Its count of starts.
        boot: u32,
        /// Its number for the item.
        item: u32,
        /// How.
        outcome: SortOutcome,
        /// Where, if anywhere.
        chute: Option<Code>,
    },
    /// Its belt runs, or stands. Told again without a change is no news.
    Belt(Belt),
    /// A chute became full, or free again.
    Full {
        /// Which.
        chute: Code,
        /// Full, or free.
        full: bool,
    },
}

/// Whether a sorter's belt runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Belt {
    /// It runs.
    Running,
    /// Stopped in the ordinary way.
    Stopped,
    /// Stopped by its emergency stop, which we observe and never clear.
    Estop,
}

/// How an item's way through a sorter ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortOutcome {
    /// Into a chute.
    Diverted,
    /// No command in time: the sorter followed its safe plan.
    Missed,
    /// Its chute had become full: the sorter followed its safe plan.
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

/// What the core wants done. Those that promise something come out only once the facts behind them are durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The answer to an intent.
    Answer {
        /// The scanner.
        scanner: DeviceIx,
        /// The intent.
        seq: u32,
        /// The words.
        verdict: Verdict,
    },
    /// The intent can't be recorded now: the scanner keeps it and asks again.
    Refuse {
        /// The scanner.
        scanner: DeviceIx,
        /// The intent.
        seq: u32,
    },
    /// A command for a sorter.
    Divert {
        /// The sorter.
        sorter: DeviceIx,
        /// Its count of starts.
        boot: u32,
        /// Its number for the item.
        item: u32,
        /// Goal.
        chute: Code,
        /// Not sent after this.
        deadline: Timestamp,
    },
    /// The end of this item is recorded: the sorter need not tell it again.
    Recorded {
        /// The sorter.
        sorter: DeviceIx,
        /// Its count of starts.
        boot: u32,
        /// Its number for the item.
        item: u32,
    },
    /// A task for whoever works with the scanner.
    AddTask {
        /// The scanner.
        scanner: DeviceIx,
        /// Names the task for [`Effect::RemoveTask`].
        id: u64,
        /// The sentence.
        key: TextKey,
        /// Its arguments.
        args: Vec<Code>,
    },
    /// The task is done.
    RemoveTask {
        /// The scanner.
        scanner: DeviceIx,
        /// The task.
        id: u64,
    },
    /// The answer to a request from outside.
    Reply {
        /// Which.
        request: u64,
        /// What.
        reply: Reply,
    },
}

/// Answers to requests from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Done, durably.
    Done,
    /// It was so already.
    Exists,
    /// It contradicts what is there, in this field.
    Differs(&'static str),
    /// There is no such thing.
    NotFound,
    /// Nothing can be recorded now: ask again.
    Busy,
}
