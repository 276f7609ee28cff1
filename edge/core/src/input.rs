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
    /// Someone wants what lies at one station brought to another. The same id again with the same content is no new
    /// transport.
    Transport {
        /// Whom to answer.
        request: u64,
        /// Its name.
        id: Code,
        /// Location from which.
        from: Code,
        /// Location to which.
        to: Code,
    },
    /// Someone wants a transport no more.
    CancelTransport {
        /// Whom to answer.
        request: u64,
        /// Which.
        id: Code,
    },
    /// A person says that a robot carries nothing any more.
    Emptied {
        /// Whom to answer.
        request: u64,
        /// The robot.
        robot: Code,
    },
    /// A robot tells.
    Robot {
        /// Which.
        robot: DeviceIx,
        /// What.
        event: RobotEvent,
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
    /// Something to know about it that is no fault: how it was found, what it is.
    Note(String),
    /// How warm it is, in °C.
    Temperature(i16),
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

/// What a robot tells.
#[derive(Debug, Clone, PartialEq)]
pub enum RobotEvent {
    /// How it is. It lives.
    Told(Box<RobotReport>),
    /// Where it is on the plan, between reports.
    At {
        /// To the right, mm.
        x_mm: i32,
        /// Down, mm.
        y_mm: i32,
    },
    /// It can't be heard any more, and why.
    Gone(String),
    /// It refused an update of a drive; it goes on with what it had.
    Refused {
        /// Which drive.
        drive: String,
        /// Which update.
        update: u32,
        /// Its reason.
        reason: String,
    },
    /// An update could not be handed over in time.
    NotSent {
        /// Which drive.
        drive: String,
        /// Which update.
        update: u32,
    },
    /// It has stopped on a drive that was recalled.
    Stopped {
        /// Which drive.
        drive: String,
    },
}

/// How a robot is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RobotReport {
    /// The drive that it has, or had last; empty before any.
    pub drive: String,
    /// The update of it that it took last.
    pub update: u32,
    /// It has nothing left to drive or do.
    pub idle: bool,
    /// The node that it passed or stands on; empty if it knows none.
    pub node: String,
    /// That node's place in the drive, from 0.
    pub stop: u32,
    /// It moves.
    pub driving: bool,
    /// Why it takes no orders: driven by hand, paused, stopped in emergency, out of order. `None`: it takes them.
    pub hindered: Option<String>,
    /// Per cent, 0 to 100.
    pub charge: u8,
    /// How many loads it carries; `None` if it can't tell.
    pub loads: Option<u16>,
    /// Where it is on the plan, mm, if it knows.
    pub position: Option<(i32, i32)>,
    /// What it was told to do at stops, by the names that [`Stop::act`] has, and how far it is.
    pub acts: Vec<(String, ActState)>,
}

/// How far a robot is with something to do at a stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActState {
    /// Not done yet.
    Open,
    /// Done.
    Done,
    /// It can't, and why.
    Failed(String),
}

/// What to do at a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handling {
    /// Take up what lies there.
    Pick,
    /// Put down what it carries.
    Drop,
}

/// A robot's whole way as it should be now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// Names it for ever.
    pub id: String,
    /// Counts the changes of its stops.
    pub update: u32,
    /// The place of the first of `stops` in the whole way, from 0: what was passed is left out.
    pub first: u32,
    /// The way: first released stops, which never change, then others, which may.
    pub stops: Vec<Stop>,
}

/// A node of a robot's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Its code.
    pub node: Code,
    /// The robot may drive here.
    pub released: bool,
    /// What to do here: a name never used again, what, and at which location.
    pub act: Option<(String, Handling, Code)>,
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
    /// Where a robot is to drive, whole; it replaces what was said before.
    Drive {
        /// The robot.
        robot: DeviceIx,
        /// Its way.
        drive: Drive,
    },
    /// A robot is to stop on a drive and forget what is left of it.
    CancelDrive {
        /// The robot.
        robot: DeviceIx,
        /// Which drive.
        drive: String,
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
    /// This field names nothing that it can be done with.
    Unfit(&'static str),
    /// There is no such thing.
    NotFound,
    /// Nothing can be recorded now: ask again.
    Busy,
}
