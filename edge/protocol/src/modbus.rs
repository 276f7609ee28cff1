//! Modbus over a serial line (RTU) and over TCP: codec, client and server (MODBUS Application Protocol Specification
//! V1.1b3; MODBUS over Serial Line V1.02; MODBUS Messaging on TCP/IP V1.0b).
//!
//! A [`pdu`] is what is asked and answered, [`rtu`] and [`tcp`] are its two envelopes. [`Client`] and [`Server`] are the
//! ends, without I/O and without a clock. RTU has no number to tell an answer to this request from a late one to the
//! request before, so the client asks nothing more after a time-out until nothing late can come: see [`Client`].
//!
//! Functions 1 to 6, 15, 16, 22 and 23. A server answers others with [`Exception::ILLEGAL_FUNCTION`]. Broadcasts are
//! obeyed by the server and never sent by the client.

mod client;
pub mod pdu;
pub mod rtu;
mod server;
pub mod tcp;

pub use client::{Client, ClientSettings, Failure, Outcome};
pub use pdu::{Answer, Exception, PduError, Request, Response};
pub use rtu::Serial;
pub use server::{Obey, Server};

/// The unit (slave address) that all servers of a serial line obey and none answers.
pub const BROADCAST: u8 = 0;

/// In which envelope PDUs travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Between silences on a serial line, with a checksum.
    Rtu(Serial),
    /// Behind an MBAP header in a TCP stream.
    Tcp,
}
