//! Making batches durable: one thread owns the file and commits what is waiting together.

use super::{Journal, explain, file_id};
use rusqlite::TransactionBehavior;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use stowage_base::Timestamp;
use stowage_core::commit::{Batch, Commit, Outcome};

/// How long a failed commit waits before it is tried again; each wait is twice the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The first wait.
    pub first: Duration,
    /// The longest.
    pub most: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), most: Duration::from_secs(5) }
    }
}

/// Commits to a [`Journal`]. No call waits for the disk.
///
/// A commit that fails is tried again for as long as it takes; [`Outcome::Failed`] comes once when it begins to fail,
/// and again when the reason changes. Dropping it stores what was submitted (with one last try where the disk fails),
/// and closes the file.
#[derive(Debug)]
pub struct SqliteCommit {
    batches: Option<Sender<Batch>>,
    outcomes: Receiver<Outcome>,
    under_way: usize,
    epoch: u32,
    /// The last fact submitted.
    seq: u64,
    writer: Option<JoinHandle<()>>,
}

impl SqliteCommit {
    /// Begins to commit to `journal`. `waker` is called, on the writing thread, when an outcome has come in.
    ///
    /// # Errors
    /// The system can't start a thread.
    pub fn start(journal: Journal, waker: impl Fn() + Send + 'static) -> io::Result<Self> {
        Self::start_with(journal, Retry::default(), waker)
    }

    /// As [`SqliteCommit::start`], with other waits after failures.
    ///
    /// # Errors
    /// The system can't start a thread.
    pub fn start_with(journal: Journal, retry: Retry, waker: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (batches, submitted) = mpsc::channel();
        let (say, outcomes) = mpsc::channel();
        let (epoch, seq) = (journal.chain.epoch, journal.chain.seq);
        let writer = Writer { journal, submitted, outcomes: say, waker, retry };
        let writer = thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run())?;
        Ok(Self { batches: Some(batches), outcomes, under_way: 0, epoch, seq, writer: Some(writer) })
    }
}

impl Commit for SqliteCommit {
    /// # Panics
    /// The batch doesn't follow the one before: recording it would break the chain for good.
    fn submit(&mut self, _now: Timestamp, batch: Batch) {
        let first = batch.entries.first().map(|entry| entry.fact.seq);
        assert_eq!((batch.chain.epoch, first), (self.epoch, Some(self.seq + 1)), "a batch must follow the one before");
        self.seq = batch.chain.seq;
        self.under_way += 1;
        let sent = self.batches.as_ref().map(|batches| batches.send(batch));
        assert!(matches!(sent, Some(Ok(()))), "the writer ends only after this end of its channel");
    }

    fn poll(&mut self, _now: Timestamp) -> Option<Outcome> {
        let outcome = self.outcomes.try_recv().ok()?;
        self.under_way -= usize::from(matches!(outcome, Outcome::Durable { .. }));
        Some(outcome)
    }

    fn under_way(&self) -> usize {
        self.under_way
    }
}

impl Drop for SqliteCommit {
    fn drop(&mut self) {
        self.batches = None;
        if let Some(writer) = self.writer.take() {
            // A panic there has been reported by its own thread.
            let _ = writer.join();
        }
    }
}

struct Writer<W> {
    journal: Journal,
    submitted: Receiver<Batch>,
    outcomes: Sender<Outcome>,
    waker: W,
    retry: Retry,
}

impl<W: Fn()> Writer<W> {
    fn run(mut self) {
        let mut held = Vec::new();
        while let Ok(batch) = self.submitted.recv() {
            held.push(batch);
            held.extend(self.submitted.try_iter());
            if !self.store(&mut held) {
                return;
            }
            for batch in held.drain(..) {
                self.say(Outcome::Durable { seq: batch.chain.seq });
            }
        }
        // What stays in the WAL is as durable; this only leaves a tidy folder.
        let _ = self.journal.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    /// Stores all of `held` and what joins it meanwhile, however long that takes. False: closed before it could.
    fn store(&mut self, held: &mut Vec<Batch>) -> bool {
        let (mut pause, mut told, mut closing) = (self.retry.first, String::new(), false);
        loop {
            let Err(reason) = self.journal.write(held) else { return true };
            if reason != told {
                told.clone_from(&reason);
                self.say(Outcome::Failed { reason });
            }
            if closing {
                return false;
            }
            match self.submitted.recv_timeout(pause) {
                Ok(batch) => held.push(batch),
                Err(RecvTimeoutError::Timeout) => pause = (pause * 2).min(self.retry.most),
                Err(RecvTimeoutError::Disconnected) => closing = true,
            }
        }
    }

    fn say(&self, outcome: Outcome) {
        // Nobody listens any more while the commit is being dropped.
        let _ = self.outcomes.send(outcome);
        (self.waker)();
    }
}

impl Journal {
    /// Writes `batches` in one transaction, or says why it can't.
    fn write(&mut self, batches: &[Batch]) -> Result<(), String> {
        // SQLite would go on in a file that no longer has a name, and the facts would be gone with this process.
        if self.file != file_id(&self.path) {
            return Err(format!("{}: was moved or deleted: put it back", self.path.display()));
        }
        self.transact(batches).map_err(|error| explain(&self.path, &error))
    }

    fn transact(&mut self, batches: &[Batch]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            // A commit that reported a failure may have reached the disk all the same.
            let last = "SELECT coalesce(max(seq), 0) FROM facts WHERE epoch = ?1";
            let last: i64 = transaction.prepare_cached(last)?.query_row([self.chain.epoch], |row| row.get(0))?;
            let mut fact =
                transaction.prepare_cached("INSERT INTO facts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
            let mut upsert = transaction.prepare_cached(
                "INSERT INTO rows VALUES (?1, ?2, ?3) ON CONFLICT (tbl, key) DO UPDATE SET body = excluded.body",
            )?;
            let mut delete = transaction.prepare_cached("DELETE FROM rows WHERE tbl = ?1 AND key = ?2")?;
            for batch in batches.iter().filter(|batch| batch.chain.seq > last.cast_unsigned()) {
                for entry in &batch.entries {
                    fact.execute((
                        batch.chain.epoch,
                        entry.fact.seq.cast_signed(),
                        entry.fact.at.micros(),
                        entry.fact.body.kind(),
                        &entry.fact.who,
                        &entry.fact.what,
                        entry.fact.place.as_deref(),
                        &entry.line,
                        entry.hash,
                    ))?;
                }
                for row in &batch.rows {
                    match &row.body {
                        Some(body) => upsert.execute((row.table, &row.key, body))?,
                        None => delete.execute((row.table, &row.key))?,
                    };
                }
            }
        }
        transaction.commit()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Recorder, SITE};
    use super::super::{FILE, Reader};
    use super::*;
    use rusqlite::Connection;

    const SOON: Retry = Retry { first: Duration::from_millis(1), most: Duration::from_millis(5) };

    /// A commit whose outcomes can be waited for.
    fn start(dir: &std::path::Path) -> (SqliteCommit, Recorder, Receiver<()>) {
        let (journal, stored) = Journal::open(dir, SITE).expect("opens");
        let (woken, wakes) = mpsc::channel();
        let commit = SqliteCommit::start_with(journal, SOON, move || {
            let _ = woken.send(());
        });
        (commit.expect("starts"), Recorder::at(stored.chain), wakes)
    }

    #[test]
    fn the_waker_is_called_for_each_outcome() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (mut commit, mut recorder, wakes) = start(dir.path());
        assert_eq!(commit.poll(recorder.now()), None);
        commit.submit(recorder.now(), recorder.batch(2, &[]));
        assert_eq!(commit.under_way(), 1);
        wakes.recv().expect("woken");
        assert_eq!(commit.poll(recorder.now()), Some(Outcome::Durable { seq: 2 }));
        assert_eq!(commit.under_way(), 0);
    }

    #[test]
    fn a_commit_that_went_through_but_was_reported_as_failed_is_not_written_twice() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (mut journal, stored) = Journal::open(dir.path(), SITE).expect("opens");
        let mut recorder = Recorder::at(stored.chain);
        let batches = [recorder.batch(2, &[("item", "a", Some("{}"))]), recorder.batch(1, &[("item", "a", None)])];
        journal.write(&batches[..1]).expect("writes");
        journal.write(&batches).expect("writes only the second");
        drop(journal);
        let reader = Reader::open(dir.path()).expect("opens");
        assert_eq!(reader.check_chain(|_| ()).expect("whole"), batches[1].chain);
        assert_eq!(reader.stored().expect("reads").rows, []);
    }

    #[test]
    fn dropped_while_the_disk_fails_it_ends_with_nothing_half_stored() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (mut commit, mut recorder, wakes) = start(dir.path());
        let other = Connection::open(dir.path().join(FILE)).expect("opens");
        other.execute_batch("BEGIN IMMEDIATE").expect("locks");
        commit.submit(recorder.now(), recorder.batch(2, &[]));
        wakes.recv().expect("woken");
        match commit.poll(recorder.now()) {
            Some(Outcome::Failed { reason }) => assert!(reason.contains("close that program"), "{reason}"),
            other => panic!("{other:?}"),
        }
        drop(commit);
        drop(other);
        assert_eq!(Reader::open(dir.path()).expect("opens").head().expect("reads").seq, 0);
    }

    #[test]
    fn a_journal_that_is_moved_away_fails_until_it_is_back() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (mut commit, mut recorder, wakes) = start(dir.path());
        let (here, away) = (dir.path().join(FILE), dir.path().join("away"));
        std::fs::rename(&here, &away).expect("moves");
        commit.submit(recorder.now(), recorder.batch(1, &[]));
        wakes.recv().expect("woken");
        match commit.poll(recorder.now()) {
            Some(Outcome::Failed { reason }) => assert!(reason.ends_with("moved or deleted: put it back"), "{reason}"),
            other => panic!("{other:?}"),
        }
        std::fs::rename(&away, &here).expect("moves");
        wakes.recv().expect("woken");
        assert_eq!(commit.poll(recorder.now()), Some(Outcome::Durable { seq: 1 }));
    }

    #[test]
    #[should_panic(expected = "a batch must follow the one before")]
    fn a_batch_out_of_turn_is_our_own_fault_and_stops_us() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (mut commit, mut recorder, _) = start(dir.path());
        recorder.batch(1, &[]);
        commit.submit(recorder.now(), recorder.batch(1, &[]));
    }
}
