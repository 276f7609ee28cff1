//! What readers tell, whatever their protocol: reads, antenna visits, events.

use crate::{CommandError, Epc, ReaderCommand, Timestamp, Words};
use core::fmt;

/// One report of a tag by one antenna; may stand for several replies of the tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagRead {
    /// The tag's EPC.
    pub epc: Epc,
    /// The antenna's port number on the reader, from 1.
    pub antenna: u16,
    /// Strongest signal in 1/100 dBm.
    pub rssi_cdbm: i16,
    /// How many replies this report stands for; at least 1.
    pub count: u16,
    /// When the tag was last heard, on the edge's time line.
    pub at: Timestamp,
    /// Carrier in kHz, if told.
    pub frequency_khz: Option<u32>,
    /// Phase of the reply in 1/4096 of a turn, 0 to 4095, if told.
    pub phase: Option<u16>,
}

/// One interrogation by one antenna: from when to when it looked, and whether it was fit to see anything.
///
/// Follows all the reads that it contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// The antenna's port number on the reader, from 1.
    pub antenna: u16,
    /// When it began to look, on the edge's time line.
    pub start: Timestamp,
    /// When it stopped.
    pub end: Timestamp,
    /// Tag replies heard in it.
    pub reads: u32,
    /// Whether "not read" means anything: the reader ran and the antenna is known to work.
    pub healthy: bool,
}

/// What happens to a reader apart from reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReaderEvent {
    /// The session is up: the reader is configured and looking.
    Up,
    /// The session ended; the text says why. The driver connects anew after a pause.
    Down(&'static str),
    /// The reader reports an antenna connected (`true`) or gone.
    Antenna {
        /// The antenna's port number, from 1.
        port: u16,
        /// Connected, or gone.
        connected: bool,
    },
    /// An input of the reader changed, or was found so.
    Input {
        /// Which, from 1.
        port: u16,
        /// High, or low.
        high: bool,
    },
    /// Reports that the reader had kept from before this connection, too old to say where tags are now.
    Late {
        /// How many.
        count: u32,
    },
    /// The reader's clock jumped against ours by more than a second; reads are stamped on arrival until it is steady.
    ClockJump,
    /// The reader refused something or reported a fault; the numbers are the protocol's own codes.
    Fault {
        /// What was refused or failed, in the protocol's words.
        what: &'static str,
        /// The protocol's status code.
        code: u32,
    },
    /// A reader on a serial line answered at another speed than it is set to here.
    Speed {
        /// The speed that it was found at, in Bd.
        found: u32,
        /// The speed that it talks from now on, in Bd.
        now: u32,
    },
    /// How warm the reader is, in °C.
    Temperature(i16),
    /// Octets that made no sense were skipped or cost the connection.
    Malformed {
        /// What was expected.
        what: &'static str,
        /// Offset in the frame or message.
        offset: u32,
    },
}

/// Where a reader session puts what it makes of received octets. Nothing here may wait.
pub trait ReaderSink {
    /// Octets for the reader, in order.
    fn send(&mut self, octets: &[u8]);
    /// A tag was read. On the hot path: nothing is allocated for it.
    fn read(&mut self, read: &TagRead);
    /// An antenna's visit is over.
    fn visit(&mut self, visit: &Visit);
    /// Something else happened.
    fn event(&mut self, event: ReaderEvent);
    /// The session ended, as by [`ReaderEvent::Down`]; `detail` names what was found and the mend.
    fn down(&mut self, why: &'static str, detail: fmt::Arguments<'_>) {
        let _ = detail;
        self.event(ReaderEvent::Down(why));
    }
    /// The reader refused or reported something, as by [`ReaderEvent::Fault`]; `detail` is what it said, whole.
    fn fault(&mut self, what: &'static str, code: u32, detail: fmt::Arguments<'_>) {
        let _ = detail;
        self.event(ReaderEvent::Fault { what, code });
    }
    /// Command `id` is done, with the words that it read, or not. Comes once for each command.
    fn done(&mut self, id: u32, result: Result<Words, CommandError>) {
        let _ = (id, result);
    }
}

/// The edge's end of a reader protocol, without I/O: the driver moves octets and time, the session does the rest.
///
/// The driver connects the transport, then calls [`connected`](Self::connected); passes on whatever arrives; calls
/// [`tick`](Self::tick) at or after [`next_deadline`](Self::next_deadline) (too early or too often is harmless);
/// closes the transport as soon as [`over`](Self::over) is true, or reports its loss by
/// [`disconnected`](Self::disconnected). After either, the same session serves the next connection.
pub trait ReaderSession {
    /// The transport is open.
    fn connected(&mut self, now: Timestamp, sink: &mut impl ReaderSink);
    /// Octets arrived, in any chunking.
    fn receive(&mut self, now: Timestamp, octets: &[u8], sink: &mut impl ReaderSink);
    /// Time has passed.
    fn tick(&mut self, now: Timestamp, sink: &mut impl ReaderSink);
    /// When to call [`tick`](Self::tick) if nothing arrives before; `None` while there is nothing to wait for.
    fn next_deadline(&self) -> Option<Timestamp>;
    /// The transport is gone.
    fn disconnected(&mut self, now: Timestamp, sink: &mut impl ReaderSink);
    /// The session has given up this connection: close it.
    fn over(&self) -> bool;
    /// Does `command`, and tells by [`ReaderSink::done`] how it ended. One at a time.
    fn command(&mut self, now: Timestamp, id: u32, command: &ReaderCommand, sink: &mut impl ReaderSink) {
        let _ = (now, command);
        sink.done(id, Err(CommandError::Unsupported));
    }
    /// On a serial line the speed in Bd for all octets from now on: to be looked at before the transport is opened and
    /// after each call here. `None`: the transport has no speed to set.
    fn baud(&self) -> Option<u32> {
        None
    }
}

/// The radio world, as a simulated reader asks it.
pub trait Air {
    /// What `antenna` (port from 1) hears from `start` to `end` with `power_cdbm` (1/100 dBm) at its port: calls
    /// `heard` for each reply, in order of time.
    fn interrogate(
        &mut self,
        antenna: u16,
        power_cdbm: i16,
        start: Timestamp,
        end: Timestamp,
        heard: &mut dyn FnMut(&TagRead),
    );
}

/// A reader's own end of its protocol, without I/O: what the simulator puts behind a real socket or port.
///
/// Driven like [`ReaderSession`]; octets for the client go to `out`. Strict about what it is sent: see each
/// implementation's record of violations.
pub trait ReaderDevice {
    /// A client opened the transport.
    fn connected(&mut self, now: Timestamp, out: &mut dyn FnMut(&[u8]));
    /// Octets arrived from the client, in any chunking.
    fn receive(&mut self, now: Timestamp, octets: &[u8], air: &mut dyn Air, out: &mut dyn FnMut(&[u8]));
    /// Time has passed: interrogates the air as configured and reports.
    fn tick(&mut self, now: Timestamp, air: &mut dyn Air, out: &mut dyn FnMut(&[u8]));
    /// When to call [`tick`](Self::tick) if nothing arrives before.
    fn next_deadline(&self) -> Option<Timestamp>;
    /// The client is gone.
    fn disconnected(&mut self, now: Timestamp);
    /// The device closes this connection.
    fn over(&self) -> bool;
    /// On a serial line the speed in Bd that the device hears, and talks once it has said what it was saying.
    fn baud(&self) -> Option<u32> {
        None
    }
}
