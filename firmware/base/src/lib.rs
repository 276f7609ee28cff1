#![no_std]
//! The ground floor of Stowage: what the edge, the scanner and the simulator all speak of.
//!
//! Time, EPCs as bits, tag reads and antenna visits, what a worker means ([`Intent`]) and what the worker is told
//! ([`Verdict`]), with the words for it in each language ([`text`]). No I/O, no clock, no allocation; the meaning of
//! an EPC's bits is in `stowage-gs1`.

pub mod access;
pub mod epc;
pub mod intent;
pub mod read;
pub mod text;
pub mod time;
pub mod verdict;

pub use access::{CommandError, ReaderCommand, TagOp, Words};
pub use epc::Epc;
pub use intent::{Intent, IntentBody, ItemRef};
pub use read::{Air, ReaderDevice, ReaderEvent, ReaderSession, ReaderSink, TagRead, Visit};
pub use text::{Language, TextKey};
pub use time::{Duration, Timestamp};
pub use verdict::{Level, Verdict};

/// A short code that people and machines use for a thing: a location (`A-03-2`), a device, a SKU, a label's content.
///
/// At most [`CODE_LEN_MAX`] octets of UTF-8.
pub type Code = heapless::String<CODE_LEN_MAX>;

/// Most octets in a [`Code`].
pub const CODE_LEN_MAX: usize = 32;

/// A [`Code`] of `text`, or `None` if it is longer than [`CODE_LEN_MAX`] octets.
pub fn code(text: &str) -> Option<Code> {
    Code::try_from(text).ok()
}
