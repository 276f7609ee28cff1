//! What makes facts durable: batches, rows, the hash chain, and the contract of who commits.

use crate::fact::Fact;
use serde::Serialize;
use sha2::{Digest, Sha256};
use stowage_base::Timestamp;

/// Where a journal stands: the last fact's number and hash. Facts are numbered from 1 in each epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Counts restores from backups; a fact's key is (site, epoch, seq).
    pub epoch: u32,
    /// The last fact's number; 0 before the first.
    pub seq: u64,
    /// The last fact's hash; zeros before the first of the first epoch.
    pub hash: [u8; 32],
    /// When the last fact was recorded.
    pub at: Timestamp,
}

impl Chain {
    /// An empty journal's chain.
    pub const START: Self = Self { epoch: 1, seq: 0, hash: [0; 32], at: Timestamp::EPOCH };

    /// The hash of a fact's `line` that follows a fact hashed `before`: SHA-256 over both.
    pub fn link(before: &[u8; 32], line: &str) -> [u8; 32] {
        Sha256::new().chain_update(before).chain_update(line.as_bytes()).finalize().into()
    }
}

/// A fact as it goes into the journal.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The fact.
    pub fact: Fact,
    /// Its one line of JSON, without the line's end.
    pub line: String,
    /// [`Chain::link`] of the entry before and this line.
    pub hash: [u8; 32],
}

/// One row of the core's state to upsert, or to delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Which table: a name of the core's state.
    pub table: &'static str,
    /// The key's text.
    pub key: String,
    /// A JSON object; `None` deletes the row.
    pub body: Option<String>,
}

/// Facts and the rows that they changed: committed together or not at all.
#[derive(Debug, Clone)]
pub struct Batch {
    /// In order, without gaps, at least one.
    pub entries: Vec<Entry>,
    /// Each key at most once.
    pub rows: Vec<Row>,
    /// Where the journal stands after it.
    pub chain: Chain,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything up to this fact is durable.
    Durable {
        /// The last durable fact.
        seq: u64,
    },
    /// Nothing of the batch is stored. The committer keeps it and tries again by itself; newer batches wait behind it.
    Failed {
        /// Why, with the mend where one is known.
        reason: String,
    },
}

/// Who commits batches. At most two are under way: the engine steps the next one while one is being committed.
///
/// Implementations: SQLite in the daemon, memory with virtual sync time in the harness. One conformance suite runs
/// over both.
pub trait Commit {
    /// Takes the next batch. It follows the batch submitted before without a gap.
    fn submit(&mut self, now: Timestamp, batch: Batch);
    /// The next outcome that has come in, if any; outcomes come in order of submission.
    fn poll(&mut self, now: Timestamp) -> Option<Outcome>;
    /// How many submitted batches have no [`Outcome::Durable`] yet.
    fn under_way(&self) -> usize;
}

/// What a journal holds when it is opened.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Where it stands.
    pub chain: Chain,
    /// Every row: table, key, body.
    pub rows: Vec<(String, String, String)>,
}
