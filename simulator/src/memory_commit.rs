//! A journal in memory for runs in virtual time: it takes as long to commit as it is told, its disk can be full, and
//! its power can fail.

use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};
use stowage_base::{Duration, Timestamp};
use stowage_core::commit::{Batch, Chain, Commit, Outcome, Stored};

/// How long a failed commit waits before it is tried again.
pub const RETRY_WAIT: Duration = Duration::from_millis(500);

/// Commits to memory, one batch after the other, each in the sync time. Everything here is by the times it is called
/// with: the same calls give the same outcomes.
#[derive(Debug)]
pub struct MemoryCommit {
    sync_time: Duration,
    full: bool,
    /// Submitted and not durable, in order.
    waiting: VecDeque<Waiting>,
    /// When the batch at the front is tried next; only meaningful while there is one.
    due: Timestamp,
    /// Whether the failure of the batch at the front has been told.
    told: bool,
    durable: Durable,
}

#[derive(Debug)]
struct Waiting {
    submitted: Timestamp,
    batch: Batch,
}

/// What a power cut leaves.
#[derive(Debug)]
struct Durable {
    chain: Chain,
    lines: Vec<String>,
    rows: BTreeMap<(String, String), String>,
}

impl Durable {
    fn store(&mut self, batch: Batch) {
        self.lines.extend(batch.entries.into_iter().map(|entry| entry.line));
        for row in batch.rows {
            let key = (row.table.to_owned(), row.key);
            match row.body {
                Some(body) => self.rows.insert(key, body),
                None => self.rows.remove(&key),
            };
        }
        self.chain = batch.chain;
    }
}

impl MemoryCommit {
    /// An empty journal whose commits take `sync_time` each.
    pub fn new(sync_time: Duration) -> Self {
        Self {
            sync_time,
            full: false,
            waiting: VecDeque::new(),
            due: Timestamp::EPOCH,
            told: false,
            durable: Durable { chain: Chain::START, lines: Vec::new(), rows: BTreeMap::new() },
        }
    }

    /// Sets how long each commit takes that begins from now on.
    pub fn set_sync_time(&mut self, sync_time: Duration) {
        self.sync_time = sync_time;
    }

    /// Fills the disk, or makes room on it.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// When to poll next if nothing else happens. `None`: nothing is under way.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        (!self.waiting.is_empty()).then_some(self.due)
    }

    /// Cuts the power at `now`, and restores it: what was synced by then is there, told or not, the rest is lost.
    /// Returns what a restart finds.
    pub fn crash(&mut self, now: Timestamp) -> Stored {
        while self.poll(now).is_some() {}
        self.waiting.clear();
        self.told = false;
        self.stored()
    }

    /// What a restart would find.
    pub fn stored(&self) -> Stored {
        let row = |((table, key), body): (&(String, String), &String)| (table.clone(), key.clone(), body.clone());
        Stored { chain: self.durable.chain.clone(), rows: self.durable.rows.iter().map(row).collect() }
    }

    /// The line of each durable fact, from the first.
    pub fn lines(&self) -> &[String] {
        &self.durable.lines
    }

    /// SHA-256 over the durable lines, each with a line feed, in upper-case hex: two runs with the same digest have
    /// recorded the same.
    pub fn digest(&self) -> String {
        let mut digest = Sha256::new();
        for line in &self.durable.lines {
            digest.update(line.as_bytes());
            digest.update(b"\n");
        }
        digest.finalize().iter().map(|octet| format!("{octet:02X}")).collect()
    }

    /// Begins to sync the batch at the front, at `from` or when it was submitted if that is later.
    fn begin(&mut self, from: Timestamp) {
        if let Some(front) = self.waiting.front() {
            self.due = front.submitted.max(from) + self.sync_time;
            self.told = false;
        }
    }
}

impl Commit for MemoryCommit {
    /// # Panics
    /// The batch doesn't follow the one before.
    fn submit(&mut self, now: Timestamp, batch: Batch) {
        let before = self.waiting.back().map_or(&self.durable.chain, |waiting| &waiting.batch.chain);
        let first = batch.entries.first().map(|entry| entry.fact.seq);
        let wanted = (before.epoch, Some(before.seq + 1));
        assert_eq!((batch.chain.epoch, first), wanted, "a batch must follow the one before");
        self.waiting.push_back(Waiting { submitted: now, batch });
        if self.waiting.len() == 1 {
            self.begin(now);
        }
    }

    fn poll(&mut self, now: Timestamp) -> Option<Outcome> {
        if self.waiting.is_empty() || now < self.due {
            return None;
        }
        if self.full {
            self.due = now + RETRY_WAIT;
            let tell = !std::mem::replace(&mut self.told, true);
            return tell.then(|| Outcome::Failed { reason: "the disk is full: free some space".to_owned() });
        }
        let Waiting { batch, .. } = self.waiting.pop_front()?;
        let seq = batch.chain.seq;
        self.durable.store(batch);
        self.begin(self.due);
        Some(Outcome::Durable { seq })
    }

    fn under_way(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stowage_base::code;
    use stowage_core::commit::Entry;
    use stowage_core::fact::{Body, DeviceChanged, Fact};

    const SYNC: Duration = Duration::from_millis(10);

    fn at(millis: i64) -> Timestamp {
        Timestamp::EPOCH + Duration::from_millis(millis)
    }

    /// A batch of the one fact that follows `seq`.
    fn after(seq: u64) -> Batch {
        let body = Body::DeviceUp(DeviceChanged { device: code("D").expect("short") });
        let (seq, when) = (seq + 1, Timestamp::EPOCH);
        let fact = Fact { seq, at: when, who: None, what: None, place: None, when, why: None, cause: None, body };
        let entry = Entry { fact, line: seq.to_string(), hash: [0; 32] };
        Batch { entries: vec![entry], rows: Vec::new(), chain: Chain { seq, ..Chain::START } }
    }

    #[test]
    fn a_batch_is_durable_its_sync_time_after_it_or_the_one_before_began() {
        let mut commit = MemoryCommit::new(SYNC);
        commit.submit(at(0), after(0));
        commit.submit(at(4), after(1));
        assert_eq!(commit.next_deadline(), Some(at(10)));
        assert_eq!(commit.poll(at(9)), None);
        assert_eq!(commit.lines(), [""; 0]);
        assert_eq!(commit.poll(at(10)), Some(Outcome::Durable { seq: 1 }));
        assert_eq!(commit.lines(), ["1"]);
        assert_eq!(commit.poll(at(19)), None);
        assert_eq!(commit.poll(at(20)), Some(Outcome::Durable { seq: 2 }));
        assert_eq!(commit.next_deadline(), None);
        commit.submit(at(50), after(2));
        assert_eq!(commit.next_deadline(), Some(at(60)));
    }

    #[test]
    fn a_full_disk_is_told_once_and_tried_again_twice_a_second() {
        let mut commit = MemoryCommit::new(SYNC);
        commit.set_full(true);
        commit.submit(at(0), after(0));
        assert!(matches!(commit.poll(at(10)), Some(Outcome::Failed { .. })));
        assert_eq!(commit.next_deadline(), Some(at(510)));
        assert_eq!(commit.poll(at(510)), None, "still full, told already");
        commit.set_full(false);
        assert_eq!(commit.poll(at(1009)), None);
        assert_eq!(commit.poll(at(1010)), Some(Outcome::Durable { seq: 1 }));
    }

    #[test]
    fn a_power_cut_keeps_what_was_synced_even_if_nobody_was_told() {
        let mut commit = MemoryCommit::new(SYNC);
        commit.submit(at(0), after(0));
        commit.submit(at(0), after(1));
        let stored = commit.crash(at(10));
        assert_eq!((stored.chain.seq, commit.under_way(), commit.lines()), (1, 0, &["1".to_owned()][..]));
        commit.submit(at(10), after(1));
        assert_eq!(commit.poll(at(20)), Some(Outcome::Durable { seq: 2 }));
    }

    #[test]
    fn the_digest_is_that_of_the_lines_as_a_file() {
        let mut commit = MemoryCommit::new(Duration::ZERO);
        assert_eq!(commit.digest(), "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855");
        commit.submit(at(0), after(0));
        commit.poll(at(0));
        // `echo 1 | sha256sum`
        assert_eq!(commit.digest(), "4355A46B19D348DC2F57C046F8EF63D4538EBB936000F3C9EE954A27460DD865");
    }
}
