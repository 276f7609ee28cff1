#![no_std]
//! The link between a handheld scanner and the edge: both ends, over any octet stream (a serial line from 9600 Bd, TCP).
//!
//! Sans-IO and heap-free: octets and a time go in, octets and events come out by a sink. The story of a session:
//!
//! 1. The scanner sends `Hello` (device, a fresh random) until the edge's `Welcome` (a fresh random) is here. Both now
//!    have a key that neither has used before; everything else is sealed with it.
//! 2. The scanner sends `Ready` (what it has) until the edge's `Resume` (what it has) is here. The session is up.
//! 3. The scanner sends the intents of its store in order of seq, at most [`WINDOW`] unanswered. The edge hands each on
//!    once, in order. Its `Answer` follows when the intent is durable, acknowledges it and all before it, and lets it
//!    leave the store. An intent without an answer is sent again; the edge answers a repeat as at first.
//! 4. The edge keeps the scanner's catalogue and tasks up to date, change by change; the scanner reports how far it is.
//! 5. The scanner pings every [`PING_EVERY`], for the time and as a sign of life. A peer that is silent for
//!    [`SILENCE_MAX`], or three forged frames in a row, end the session.
//!
//! Nothing here decides what an intent means, remembers a verdict or reads a clock. A stranger who can write to the
//! line can stop a session, as by cutting it, but can neither read nor alter what is said in it.

mod channel;
mod edge;
mod frame;
mod message;
mod scanner;
#[cfg(test)]
mod tests;

pub use channel::{Counters, EnrolmentKey};
pub use edge::{EdgeEnd, EdgeSink, Progress};
pub use frame::WIRE_LEN_MAX;
pub use message::{Alias, Change, Feed, Item, NAME_LEN_MAX, Position, Random, Task};
pub use scanner::{ScannerEnd, ScannerEvent, ScannerSink, Standing};

use stowage_base::Duration;

/// Most intents under way without an answer.
pub const WINDOW: u32 = 8;

/// Most changes of one feed under way without a report: less than a second of a line at 9600 Bd, so that a new
/// catalogue holds up no verdict.
pub const FEED_WINDOW: usize = 4;

/// How long `Hello` and `Ready` wait before they are sent again.
pub const GREETING_WAIT: Duration = Duration::from_secs(1);

/// How long an intent or a change waits before it is sent again. A full window takes 2.2 s at 9600 Bd.
pub const RESEND_WAIT: Duration = Duration::from_secs(3);

/// The wait doubles with each resend of intents, up to this.
pub const RESEND_WAIT_MAX: Duration = Duration::from_secs(12);

/// How often the scanner pings.
pub const PING_EVERY: Duration = Duration::from_secs(10);

/// How long a peer may be silent.
pub const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The transport is gone.
    Disconnected,
    /// Nothing that makes sense for [`SILENCE_MAX`].
    Silent,
    /// Three frames in a row that the key does not open: a wrong key, or a forger.
    Forged,
    /// The scanner said hello anew on the same line.
    Superseded,
}
