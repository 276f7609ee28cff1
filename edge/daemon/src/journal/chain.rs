//! Whether facts follow each other without a gap and as they were recorded.

use super::Key;
use serde::Deserialize;
use stowage_base::Timestamp;
use stowage_core::commit::Chain;

/// A place where a journal is not what was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// A fact is wrong.
    #[error("fact {key}: {defect}")]
    Fact {
        /// Which, by its row.
        key: Key,
        /// What is wrong.
        defect: Defect,
    },
    /// The file can't be read on.
    #[error("after fact {after}: {reason}")]
    Unreadable {
        /// The last fact that could be read.
        after: Key,
        /// Why.
        reason: String,
    },
}

/// What is wrong with a fact in a journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// Facts are missing before it.
    #[error("the fact before it is {before}: what lies between them is missing")]
    Gap {
        /// The fact before, `0` before the first.
        before: Key,
    },
    /// It or the fact before was changed.
    #[error("its hash doesn't fit its line and the fact before it: one of them was changed")]
    Hash,
    /// The line is no fact.
    #[error("its line is no fact: {0}")]
    Line(String),
    /// What a column repeats from the line differs from it.
    #[error("its column {0} differs from its line")]
    Column(&'static str),
    /// It says that it was recorded before the fact before it.
    #[error("recorded at {at}, but the fact before it at {before}")]
    Time {
        /// Its time.
        at: Timestamp,
        /// The time of the fact before.
        before: Timestamp,
    },
}

/// One row of the table of facts, as stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct FactRow<'a> {
    pub(super) key: Key,
    pub(super) at: i64,
    pub(super) kind: &'a [u8],
    pub(super) who: Option<&'a [u8]>,
    pub(super) what: Option<&'a [u8]>,
    pub(super) place: Option<&'a [u8]>,
    pub(super) line: &'a [u8],
    pub(super) hash: &'a [u8],
}

/// What a line must agree with.
#[derive(Deserialize)]
struct Head {
    site: String,
    epoch: u32,
    seq: u64,
    at: Timestamp,
    kind: String,
    who: Option<String>,
    what: Option<String>,
    r#where: Option<String>,
}

/// Follows a chain of facts, one after the other.
pub(super) struct ChainCheck<'a> {
    site: &'a str,
    chain: Chain,
}

impl<'a> ChainCheck<'a> {
    /// Checks the facts of `site` that follow `chain`.
    pub(super) fn after(chain: Chain, site: &'a str) -> Self {
        Self { site, chain }
    }

    /// Where the facts followed so far lead to.
    pub(super) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Takes the next fact.
    pub(super) fn follow(&mut self, row: FactRow<'_>) -> Result<(), ChainFault> {
        let fault = |defect| ChainFault::Fact { key: row.key, defect };
        let before = Key { epoch: self.chain.epoch, seq: self.chain.seq };
        let next = if row.key.epoch > before.epoch { 1 } else { before.seq + 1 };
        if row.key.epoch < before.epoch || row.key.seq != next {
            return Err(fault(Defect::Gap { before }));
        }
        let line = str::from_utf8(row.line).map_err(|error| fault(Defect::Line(error.to_string())))?;
        let hash = Chain::link(&self.chain.hash, line);
        if row.hash != hash {
            return Err(fault(Defect::Hash));
        }
        let head: Head = serde_json::from_str(line).map_err(|error| fault(Defect::Line(error.to_string())))?;
        if head.site != self.site {
            return Err(fault(Defect::Line(format!("it is of site {}, not of {}", head.site, self.site))));
        }
        let same = |text: &Option<String>, column| text.as_deref().map(str::as_bytes) == column;
        let columns = [
            ("epoch", head.epoch == row.key.epoch),
            ("seq", head.seq == row.key.seq),
            ("at", head.at.micros() == row.at),
            ("kind", head.kind.as_bytes() == row.kind),
            ("who", same(&head.who, row.who)),
            ("what", same(&head.what, row.what)),
            ("place", same(&head.r#where, row.place)),
        ];
        if let Some((column, _)) = columns.iter().find(|(_, same)| !same) {
            return Err(fault(Defect::Column(column)));
        }
        if head.at < self.chain.at {
            return Err(fault(Defect::Time { at: head.at, before: self.chain.at }));
        }
        self.chain = Chain { epoch: row.key.epoch, seq: row.key.seq, hash, at: head.at };
        Ok(())
    }
}
