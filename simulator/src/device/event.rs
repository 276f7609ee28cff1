//! What devices tell.

use serde::Serialize;
use std::path::PathBuf;
use stowage_base::{Code, Epc, Intent, Level, TextKey, Timestamp};
use stowage_protocol::sorter::End;
use stowage_protocol::vda5050::Happening;
use tokio::sync::mpsc;

/// Something that happened to a device. As JSON: an object with one member.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A reader listens on this address.
    Listening(String),
    /// A module answers on this device file.
    Port(PathBuf),
    /// The edge has come or gone.
    Client(Client),
    /// A smart reader's inventory runs, or doesn't any more.
    Running(bool),
    /// The device was sent what it may not be sent.
    Violation(String),
    /// Something has gone wrong with the device, as it was told to.
    Fault(super::Fault),
    /// A command can't be carried out: why.
    Error(String),
    /// All these tags are through the doorway and out of reach.
    Passed {
        /// Which.
        epcs: Vec<Epc>,
    },
    /// All these tags have turned back and are out of reach.
    TurnedBack {
        /// Which.
        epcs: Vec<Epc>,
    },
    /// A tag lies before an antenna.
    Placed {
        /// Which.
        epc: Epc,
    },
    /// A tag is gone.
    Removed {
        /// Which.
        epc: Epc,
    },
    /// A parcel passed the scan point.
    Inducted {
        /// The sorter's number for it.
        item: u32,
        /// What was read.
        code: Option<Code>,
    },
    /// A parcel's way ended.
    Delivered {
        /// The sorter's number for it.
        item: u32,
        /// What was read.
        code: Option<Code>,
        /// Where it lies.
        chute: Option<Code>,
        /// How it came there.
        outcome: End,
    },
    /// The handheld shows this.
    Show {
        /// Colour.
        level: Level,
        /// Which sentence.
        key: TextKey,
        /// What stands in it.
        args: Vec<Code>,
        /// The sentence in the worker's language.
        text: String,
    },
    /// The handheld sounds.
    Beep(Level),
    /// The handheld has handed an intent to its link.
    Sent(Intent),
    /// The edge's word on an intent.
    Verdict {
        /// Which.
        seq: u32,
        /// Colour.
        level: Level,
        /// Which sentence.
        key: TextKey,
        /// What stands in it.
        args: Vec<Code>,
        /// The sentence in the worker's language.
        text: String,
    },
    /// So many intents wait in the handheld for the edge's word.
    Pending(u32),
    /// The handheld's link is up, or down.
    Link(bool),
    /// A robot took an order, passed a node, acted.
    Robot(Happening),
    /// The handheld's board is switched on.
    On {
        /// For the so manieth time.
        boot: u32,
        /// Intents that its store keeps from before.
        kept: u32,
        /// How long the store took to mount, in its timer's ticks of 40 ns.
        mount_ticks: u32,
    },
    /// What the last scan took on the handheld's board.
    Measured {
        /// From its last octet to the beep, in its timer's ticks of 40 ns.
        ticks: u32,
        /// The deepest that the stack has been, in octets.
        stack: u32,
    },
}

/// What the other end of a line does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Client {
    /// It came.
    Connected,
    /// It went.
    Disconnected,
    /// It came while there was one, and was sent away.
    Refused,
}

/// An event with its time; as JSON `{"passed":{…},"at":…}`, in µs UTC.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
    /// When.
    pub at: Timestamp,
}

/// Where a device tells its events. Clones tell the same listener.
#[derive(Debug, Clone)]
pub struct Events {
    clock: super::Clock,
    listener: mpsc::UnboundedSender<Told>,
}

impl Events {
    /// A way to tell events, and where they arrive.
    pub fn new(clock: super::Clock) -> (Self, mpsc::UnboundedReceiver<Told>) {
        let (listener, events) = mpsc::unbounded_channel();
        (Self { clock, listener }, events)
    }

    /// The same way, but it doesn't keep the listener waiting for what it may yet tell.
    pub fn downgrade(&self) -> WeakEvents {
        WeakEvents { clock: self.clock, listener: self.listener.downgrade() }
    }

    /// The time that an event told now would have.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Tells an event. A listener that is gone hears nothing.
    pub fn tell(&self, event: Event) {
        let _ = self.listener.send(Told { event, at: self.clock.now() });
    }
}

/// See [`Events::downgrade`].
#[derive(Debug, Clone)]
pub struct WeakEvents {
    clock: super::Clock,
    listener: mpsc::WeakUnboundedSender<Told>,
}

impl WeakEvents {
    /// Tells an event, if there is anyone else who tells.
    pub fn tell(&self, event: Event) {
        if let Some(listener) = self.listener.upgrade() {
            Events { clock: self.clock, listener }.tell(event);
        }
    }
}
