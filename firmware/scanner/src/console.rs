//! What a handheld tells whoever services it, on a line of its own: each as postcard in COBS, closed by a zero.

use serde::{Deserialize, Serialize};
use stowage_base::{Intent, Language, Level, Verdict};

/// Most octets of one message on the line.
pub const TOLD_LEN_MAX: usize = 256;

/// Something that the worker sees or hears, or that the link does.
#[allow(clippy::large_enum_variant, reason = "without a heap nothing can be boxed, and one lives at a time")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// Switched on, for the so manieth time; `kept` intents wait in the store.
    On {
        /// Counts from 1.
        boot: u32,
        /// Intents in the store.
        kept: u32,
        /// Time that the store took to mount, in ticks of the board.
        mount_ticks: u32,
    },
    /// The worker is told this.
    Show(Verdict),
    /// The worker hears this.
    Beep(Level),
    /// The worker's language from here on.
    Language(Language),
    /// The link has taken this intent from the store and sends it; again after a resend.
    Sent(Intent),
    /// The edge's word on the intent `seq`.
    Answered {
        /// Which.
        seq: u32,
        /// What the edge says to it.
        verdict: Verdict,
    },
    /// So many intents are kept.
    Pending(u32),
    /// The link is up, or down.
    Link(bool),
    /// A barcode or tag has been answered.
    Measured {
        /// From the last octet of the scan to the beep, in ticks of the board.
        ticks: u32,
        /// The deepest that the stack has been, in octets.
        stack: u32,
    },
}
