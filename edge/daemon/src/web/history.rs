//! What was recorded, as the pages ask for it.

use super::FactLine;
use crate::journal::{Filter, Key, OpenError, ReadError, Reader, Recorded};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::Path;
use stowage_base::Epc;
use stowage_core::{Body, Fact, identity};

/// Most facts in one answer.
pub(super) const LIMIT_MAX: usize = 500;

/// How many facts are looked through at a time on the way back.
const STRIDE: u64 = 2_048;

/// Which facts, and how many.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Query {
    /// Only facts after this number, oldest first. `None`: newest first.
    pub(super) since: Option<u64>,
    /// Only facts before this number.
    pub(super) before: Option<u64>,
    /// Only kinds that begin with this, such as `stock.` or `stock.moved`.
    pub(super) kind: Option<String>,
    /// Only facts about this thing: an EPC in hex, a parcel's or device's code, a SKU.
    pub(super) item: Option<String>,
    /// At most so many, 1 to [`LIMIT_MAX`].
    pub(super) limit: usize,
}

/// Why the journal can't be read, with the mend.
#[derive(Debug, thiserror::Error)]
pub(super) enum HistoryError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The facts that `query` asks for, in its order, from the journal in the folder `data`. Waits for the disk.
///
/// Lists are of the current epoch, whose numbers `since` and `before` mean; what is known about an item is from all.
pub(super) fn facts(data: &Path, query: &Query) -> Result<Vec<FactLine>, HistoryError> {
    let reader = Reader::open(data)?;
    let head = reader.head()?;
    let mut found = match (&query.item, query.since) {
        (Some(item), _) => return about(&reader, query, item),
        (None, Some(since)) => {
            let mut found = Vec::new();
            reader.each(&Filter::default(), Key { epoch: head.epoch, seq: since }, |fact| {
                if query.fits(fact) {
                    found.push(fact.clone());
                }
                if found.len() < query.limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            found
        }
        (None, None) => {
            // By strides back from the newest, each read forwards.
            let mut end = query.before.unwrap_or(u64::MAX).min(head.seq + 1);
            let mut found = Vec::new();
            while end > 1 && found.len() < query.limit {
                let begin = end.saturating_sub(STRIDE).max(1);
                let stride = (end - begin) as usize;
                let page = reader.page(&Filter::default(), Key { epoch: head.epoch, seq: begin - 1 }, stride)?;
                found.extend(page.into_iter().rev().filter(|fact| query.fits(fact)));
                end = begin;
            }
            found
        }
    };
    found.truncate(query.limit);
    Ok(found.into_iter().map(line).collect())
}

/// The facts about one thing; for a parcel also those of the commands that its scans led to.
fn about(reader: &Reader, query: &Query, item: &str) -> Result<Vec<FactLine>, HistoryError> {
    let name = Epc::from_hex(item).filter(|epc| !epc.octets().is_empty()).map(|epc| identity::name(&epc));
    let mut names = VecDeque::from([name.unwrap_or_else(|| item.to_owned())]);
    let (mut found, mut commands) = (Vec::new(), Vec::new());
    while let Some(name) = names.pop_front() {
        let filter = Filter { what: Some(name), ..Filter::default() };
        reader.each(&filter, Key::START, |fact| {
            if let Some(command) = planned(fact).filter(|command| !commands.contains(command)) {
                commands.push(command.clone());
                names.push_back(command);
            }
            if query.fits(fact) {
                found.push(fact.clone());
            }
            ControlFlow::Continue(())
        })?;
    }
    found.sort_by_key(|fact| fact.key);
    found.dedup_by_key(|fact| fact.key);
    if query.since.is_none() {
        found.reverse();
    }
    found.truncate(query.limit);
    Ok(found.into_iter().map(line).collect())
}

/// The command that a fact plans.
fn planned(fact: &Recorded) -> Option<String> {
    if fact.kind != "command.planned" {
        return None;
    }
    match Fact::parse(&fact.line).ok()?.1.body {
        Body::CommandPlanned(planned) => Some(planned.command),
        _ => None,
    }
}

fn line(fact: Recorded) -> FactLine {
    FactLine { seq: fact.key.seq, line: fact.line }
}

impl Query {
    fn fits(&self, fact: &Recorded) -> bool {
        self.since.is_none_or(|since| since < fact.key.seq)
            && self.before.is_none_or(|before| fact.key.seq < before)
            && self.kind.as_deref().is_none_or(|kind| fact.kind.starts_with(kind))
    }
}
