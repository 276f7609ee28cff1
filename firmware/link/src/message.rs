//! What the two ends say to each other. In postcard, variants count from 0: append variants, and fields at the end.
//!
//! A newer peer's appended fields are passed over and its appended variants skipped, so either end may be updated
//! first, but for one thing: an edge must know every intent that its scanners send, so update the edge first.

use heapless::String;
use serde::{Deserialize, Serialize};
use stowage_base::{Code, Intent, TextKey, Timestamp, Verdict};

/// A fresh random value of one connection.
pub type Random = [u8; 16];

/// Most octets of an item's name.
pub const NAME_LEN_MAX: usize = 48;

/// Sent in the clear, before there is a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Greeting {
    /// Scanner → edge, until welcomed.
    Hello { device: Code, random: Random },
    /// Edge → scanner; `to` repeats the hello's random, so that an old welcome in some buffer is not taken for this.
    Welcome { random: Random, to: Random },
}

/// Sent by the scanner, sealed.
#[allow(clippy::large_enum_variant, reason = "without a heap nothing can be boxed, and one lives at a time")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToEdge {
    /// Where the scanner stands; first under the new key, repeated until the edge says [`ToScanner::Resume`].
    Ready { answered: u32, catalogue: Position, tasks: Position },
    /// An intent from the scanner's store.
    Intent(Intent),
    /// How far a feed has been taken in; answers every [`ToScanner::Update`] and [`ToScanner::Reset`].
    Have { feed: Feed, position: Position },
    /// Asks for the time and for a sign of life; `at` is the scanner's own clock.
    Ping { at: Timestamp },
}

/// Sent by the edge, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToScanner {
    /// Answers [`ToEdge::Ready`]: the edge has answered everything up to `acked`.
    Resume { acked: u32 },
    /// The edge has intent `seq` (and all before it) durable; this is what it says to it.
    Answer { seq: u32, verdict: Verdict },
    /// The edge can't record `seq` now, nor what follows it: send again after `retry_ms`.
    Refused { seq: u32, retry_ms: u32 },
    /// Answers a ping: its time, and the edge's.
    Pong { echo: Timestamp, at: Timestamp },
    /// A feed starts again from nothing under a new epoch.
    Reset { feed: Feed, epoch: u32 },
    /// A feed's next change; it follows version `after` of the same epoch.
    Update { feed: Feed, epoch: u32, after: u32, version: u32, change: Change },
}

/// The two lists that a scanner mirrors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Feed {
    /// Items and locations: the same for every scanner of a site.
    Catalogue,
    /// What this scanner's worker is asked to do.
    Tasks,
}

impl Feed {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Catalogue, Self::Tasks];
}

/// How much of a feed a scanner has. `(0, 0)` is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Which life of the feed; from 1. Changes when the edge has lost count (a restore, a new site).
    pub epoch: u32,
    /// The last change taken in; versions rise from 1, gaps are allowed.
    pub version: u32,
}

/// What a barcode names, before anything is known about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Alias {
    /// A GTIN-14 as a number.
    Gtin(u64),
    /// Any other code.
    Code(Code),
}

/// What a scanner knows about goods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What the floor scans for it.
    pub alias: Alias,
    /// The short code that people say.
    pub item: Code,
    /// For people.
    pub name: String<NAME_LEN_MAX>,
    /// Tracked one by one: needs a tag or a serial number.
    pub serialised: bool,
}

/// Something that a worker is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Names it within the feed's epoch.
    pub id: u32,
    /// The sentence.
    pub key: TextKey,
    /// What stands in for `{0}`, `{1}`, … in the sentence.
    pub args: heapless::Vec<Code, 4>,
}

/// One change of a feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// An alias means this item (from now on).
    Item(Item),
    /// An alias means nothing any more.
    ItemGone(Alias),
    /// There is such a location.
    Location(Code),
    /// There is no such location any more.
    LocationGone(Code),
    /// Please do this.
    Task(Task),
    /// Done, or no longer wanted.
    TaskGone(u32),
}
