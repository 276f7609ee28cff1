//! The contract of committing ([`Commit`]), for each of its implementations: SQLite in the daemon, memory in the
//! harness.

use proptest::prelude::*;
use rusqlite::Connection;
use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration as Wait;
use stowage::journal::{FILE, Filter, Journal, Key, Reader, Retry, SqliteCommit};
use stowage_base::{Duration, Timestamp};
use stowage_core::commit::{Chain, Commit, Outcome, Stored};
use stowage_sim::memory_commit::MemoryCommit;
use stowage_tests::recorder::{self, Recorder, SITE};
use tempfile::TempDir;

/// An implementation with what its test needs around it.
trait Bed {
    fn commit(&mut self) -> &mut dyn Commit;
    fn now(&self) -> Timestamp;
    /// Waits for the next outcome.
    fn outcome(&mut self) -> Outcome;
    /// From now on no commit succeeds. One that is being written may.
    fn break_disk(&mut self);
    /// Commits succeed again.
    fn mend_disk(&mut self);
    /// What is durable at this moment, seen from outside.
    fn lines(&self) -> Vec<String>;
    /// Closes in order, and opens again.
    fn restart(&mut self) -> Stored;
    /// Cuts the power at this moment, whatever is under way, and starts again.
    fn crash(&mut self) -> Stored;
}

struct InMemory {
    commit: MemoryCommit,
    now: Timestamp,
}

impl InMemory {
    fn new() -> Self {
        Self { commit: MemoryCommit::new(Duration::from_millis(7)), now: Timestamp::EPOCH }
    }
}

impl Bed for InMemory {
    fn commit(&mut self) -> &mut dyn Commit {
        &mut self.commit
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn outcome(&mut self) -> Outcome {
        loop {
            let deadline = self.commit.next_deadline().expect("something under way");
            // One µs before nothing may have happened yet.
            let before = self.commit.lines().len();
            assert_eq!(self.commit.poll(deadline - Duration::from_micros(1)), None);
            assert_eq!(self.commit.lines().len(), before);
            self.now = self.now.max(deadline);
            if let Some(outcome) = self.commit.poll(self.now) {
                return outcome;
            }
        }
    }

    fn break_disk(&mut self) {
        self.commit.set_full(true);
    }

    fn mend_disk(&mut self) {
        self.commit.set_full(false);
    }

    fn lines(&self) -> Vec<String> {
        self.commit.lines().to_vec()
    }

    fn restart(&mut self) -> Stored {
        while self.commit.under_way() > 0 {
            self.outcome();
        }
        self.commit.stored()
    }

    fn crash(&mut self) -> Stored {
        self.commit.crash(self.now)
    }
}

/// The disk breaks by another program that holds the file's write lock: a real failure of a real commit.
struct OnDisk {
    dir: TempDir,
    commit: Option<SqliteCommit>,
    wakes: Receiver<()>,
    other: Option<Connection>,
}

impl OnDisk {
    fn new() -> Self {
        Self::open(tempfile::tempdir().expect("a temporary folder")).0
    }

    fn open(dir: TempDir) -> (Self, Stored) {
        let (journal, stored) = Journal::open(dir.path(), SITE).expect("opens");
        let (woken, wakes) = mpsc::channel();
        let retry = Retry { first: Wait::from_millis(1), most: Wait::from_millis(5) };
        let commit = SqliteCommit::start_with(journal, retry, move || {
            let _ = woken.send(());
        });
        (Self { dir, commit: Some(commit.expect("starts")), wakes, other: None }, stored)
    }

    fn opened_again(&mut self, dir: TempDir) -> Stored {
        let (bed, stored) = Self::open(dir);
        *self = bed;
        stored
    }
}

impl Bed for OnDisk {
    fn commit(&mut self) -> &mut dyn Commit {
        self.commit.as_mut().expect("open")
    }

    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }

    fn outcome(&mut self) -> Outcome {
        loop {
            if let Some(outcome) = self.commit().poll(Timestamp::EPOCH) {
                return outcome;
            }
            self.wakes.recv_timeout(Wait::from_secs(60)).expect("an outcome within a minute");
        }
    }

    fn break_disk(&mut self) {
        let other = Connection::open(self.dir.path().join(FILE)).expect("opens");
        other.busy_timeout(Wait::from_secs(60)).expect("sets");
        other.execute_batch("BEGIN IMMEDIATE").expect("locks");
        self.other = Some(other);
    }

    fn mend_disk(&mut self) {
        self.other = None;
    }

    fn lines(&self) -> Vec<String> {
        let reader = Reader::open(self.dir.path()).expect("opens");
        let facts = reader.page(&Filter::default(), Key::START, usize::MAX).expect("reads");
        facts.into_iter().map(|fact| fact.line).collect()
    }

    fn restart(&mut self) -> Stored {
        self.commit = None;
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a temporary folder"));
        self.opened_again(dir)
    }

    fn crash(&mut self) -> Stored {
        // While the lock is held nobody changes the files, so copies of them are what a power cut leaves.
        if self.other.is_none() {
            self.break_disk();
        }
        let copy = tempfile::tempdir().expect("a temporary folder");
        for name in [FILE.to_owned(), format!("{FILE}-wal")] {
            fs::copy(self.dir.path().join(&name), copy.path().join(&name)).expect("copies");
        }
        self.commit = None;
        self.opened_again(copy)
    }
}

/// Runs each law on each bed as a test of its own.
macro_rules! laws {
    ($($law:ident)*) => {
        mod memory { $(#[test] fn $law() { super::$law(&mut super::InMemory::new()); })* }
        mod sqlite { $(#[test] fn $law() { super::$law(&mut super::OnDisk::new()); })* }
    };
}

laws! {
    outcomes_come_in_order_of_submission
    what_has_its_outcome_is_durable
    rows_are_as_the_last_change_left_them
    a_failed_commit_is_kept_and_goes_on_when_mended
    a_restart_finds_chain_and_rows_exactly
    a_crash_loses_only_what_had_no_outcome
}

fn submit(bed: &mut dyn Bed, recorder: &mut Recorder, facts: usize) {
    let now = bed.now();
    bed.commit().submit(now, recorder.batch(facts));
}

fn outcomes_come_in_order_of_submission(bed: &mut dyn Bed) {
    let mut recorder = Recorder::at(Chain::START);
    submit(bed, &mut recorder, 1);
    for n in 1..100 {
        submit(bed, &mut recorder, 1);
        assert_eq!(bed.commit().under_way(), 2);
        assert_eq!(bed.outcome(), Outcome::Durable { seq: n });
        assert_eq!(bed.commit().under_way(), 1);
    }
    assert_eq!(bed.outcome(), Outcome::Durable { seq: 100 });
    let now = bed.now();
    assert_eq!((bed.commit().poll(now), bed.commit().under_way()), (None, 0));
}

fn what_has_its_outcome_is_durable(bed: &mut dyn Bed) {
    let mut recorder = Recorder::at(Chain::START);
    for n in 1..=20 {
        submit(bed, &mut recorder, 3);
        assert_eq!(bed.outcome(), Outcome::Durable { seq: 3 * n });
        assert_eq!(bed.lines(), recorder::lines(3 * n));
    }
}

fn rows_are_as_the_last_change_left_them(bed: &mut dyn Bed) {
    let mut recorder = Recorder::at(Chain::START);
    for (facts, seq) in [(4, 4), (1, 5), (30, 35), (2, 37)] {
        submit(bed, &mut recorder, facts);
        assert_eq!(bed.outcome(), Outcome::Durable { seq });
        assert_eq!(bed.restart().rows, recorder::rows(seq));
    }
}

fn a_failed_commit_is_kept_and_goes_on_when_mended(bed: &mut dyn Bed) {
    let mut recorder = Recorder::at(Chain::START);
    submit(bed, &mut recorder, 2);
    assert_eq!(bed.outcome(), Outcome::Durable { seq: 2 });
    bed.break_disk();
    submit(bed, &mut recorder, 2);
    assert!(matches!(bed.outcome(), Outcome::Failed { reason } if !reason.is_empty()));
    submit(bed, &mut recorder, 2);
    assert_eq!(bed.commit().under_way(), 2);
    assert_eq!(bed.lines(), recorder::lines(2), "nothing is stored while it fails");
    bed.mend_disk();
    assert_eq!(bed.outcome(), Outcome::Durable { seq: 4 });
    assert_eq!(bed.outcome(), Outcome::Durable { seq: 6 });
    assert_eq!(bed.lines(), recorder::lines(6), "nothing is lost or doubled");
    bed.break_disk();
    submit(bed, &mut recorder, 1);
    assert!(matches!(bed.outcome(), Outcome::Failed { .. }), "the next failure is told again");
}

fn a_restart_finds_chain_and_rows_exactly(bed: &mut dyn Bed) {
    let mut recorder = Recorder::at(Chain::START);
    let batch = recorder.batch(40);
    let (now, chain) = (bed.now(), batch.chain.clone());
    bed.commit().submit(now, batch);
    let stored = bed.restart();
    assert_eq!((&stored.chain, stored.rows), (&chain, recorder::rows(40)));
    let mut recorder = Recorder::at(stored.chain);
    submit(bed, &mut recorder, 1);
    assert_eq!(bed.outcome(), Outcome::Durable { seq: 41 });
    assert_eq!(bed.lines(), recorder::lines(41));
}

fn a_crash_loses_only_what_had_no_outcome(bed: &mut dyn Bed) {
    let mut recorder = Recorder::at(Chain::START);
    submit(bed, &mut recorder, 3);
    assert_eq!(bed.outcome(), Outcome::Durable { seq: 3 });
    bed.break_disk();
    submit(bed, &mut recorder, 3);
    submit(bed, &mut recorder, 3);
    let stored = bed.crash();
    assert_eq!((stored.chain.seq, stored.rows), (3, recorder::rows(3)));
    bed.mend_disk();
    let mut recorder = Recorder::at(stored.chain);
    submit(bed, &mut recorder, 1);
    assert_eq!(bed.outcome(), Outcome::Durable { seq: 4 });
    assert_eq!(bed.lines(), recorder::lines(4));
}

#[derive(Debug, Clone)]
enum Step {
    Submit(usize),
    Outcome,
    Break,
    Mend,
    Restart,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1usize..5).prop_map(Step::Submit),
        5 => Just(Step::Outcome),
        1 => Just(Step::Break),
        2 => Just(Step::Mend),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..30)
}

/// Whatever happens in whatever order: an outcome is kept, what is stored is a prefix of what was submitted, whole
/// batches only, with the rows that it leaves.
fn any_history(bed: &mut dyn Bed, steps: Vec<Step>) {
    let mut recorder = Recorder::at(Chain::START);
    // Facts that are durable for sure; the last facts of the batches without an outcome.
    let (mut durable, mut under_way) = (0, VecDeque::new());
    let mut broken = false;
    for step in steps {
        match step {
            Step::Submit(facts) if under_way.len() < 2 => {
                let now = bed.now();
                let batch = recorder.batch(facts);
                under_way.push_back(batch.chain.seq);
                bed.commit().submit(now, batch);
            }
            Step::Outcome if !broken && !under_way.is_empty() => match bed.outcome() {
                Outcome::Durable { seq } => {
                    assert_eq!(Some(seq), under_way.pop_front());
                    durable = seq;
                }
                Outcome::Failed { .. } => {}
            },
            Step::Break if !broken => {
                bed.break_disk();
                broken = true;
            }
            Step::Mend if broken => {
                bed.mend_disk();
                broken = false;
            }
            Step::Restart if !broken => {
                let stored = bed.restart();
                durable = under_way.pop_back().unwrap_or(durable);
                under_way.clear();
                assert_eq!(stored.chain.seq, durable, "a restart in order stores all");
                assert_eq!(stored.rows, recorder::rows(durable));
            }
            Step::Crash => {
                let stored = bed.crash();
                bed.mend_disk();
                broken = false;
                let seq = stored.chain.seq;
                assert!(seq == durable || under_way.contains(&seq), "{durable} {seq} {under_way:?}");
                assert_eq!(stored.rows, recorder::rows(seq));
                durable = seq;
                under_way.clear();
                recorder = Recorder::at(stored.chain);
            }
            Step::Submit(_) | Step::Outcome | Step::Break | Step::Mend | Step::Restart => {}
        }
        assert_eq!(bed.commit().under_way(), under_way.len());
    }
    bed.mend_disk();
    durable = under_way.pop_back().unwrap_or(durable);
    assert_eq!(bed.restart().chain.seq, durable);
    assert_eq!(bed.lines(), recorder::lines(durable));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_history_in_memory(steps in steps()) {
        any_history(&mut InMemory::new(), steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_history_on_disk(steps in steps()) {
        any_history(&mut OnDisk::new(), steps);
    }
}

/// A process that writes a journal in `dir`. No file may grow past `limit` octets.
fn writer(dir: &Path, limit: Option<u64>) -> Child {
    let program = env!("CARGO_BIN_EXE_journal_writer");
    // A file at its limit is to be an error of the write, not the end of the process.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh", program]).arg(dir);
    command.args(limit.map(|limit| limit.to_string()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts")
}

/// The number in a line `durable SEQ`.
fn durable(line: &str) -> Option<u64> {
    line.strip_prefix("durable ")?.parse().ok()
}

fn stored_whole(dir: &Path) -> Stored {
    let reader = Reader::open(dir).expect("opens");
    let stored = reader.stored().expect("reads");
    assert_eq!(reader.check_chain(|_| ()).expect("whole"), stored.chain);
    assert_eq!(stored.rows, recorder::rows(stored.chain.seq));
    stored
}

#[test]
fn a_killed_process_leaves_all_that_it_called_durable() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut told = 0;
    for _ in 0..3 {
        let mut writer = writer(dir.path(), None);
        let mut lines = BufReader::new(writer.stdout.take().expect("piped")).lines().map(|line| line.expect("text"));
        told = lines.by_ref().take(40).filter_map(|line| durable(&line)).last().unwrap_or(told);
        writer.kill().expect("kills");
        // What it had printed before it died counts too; a torn last line doesn't.
        told = lines.filter_map(|line| durable(&line)).last().unwrap_or(told);
        writer.wait().expect("ends");
        let (_, stored) = Journal::open(dir.path(), SITE).expect("opens");
        assert!(stored.chain.seq >= told && stored.chain.seq % 3 == 0, "{told} {}", stored.chain.seq);
        assert_eq!(stored_whole(dir.path()).chain, stored.chain);
    }
}

#[test]
fn a_disk_without_room_loses_nothing_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut writer = writer(dir.path(), Some(300_000));
    let mut lines = BufReader::new(writer.stdout.take().expect("piped")).lines().map(|line| line.expect("text"));
    let mut last = 0;
    let reason = lines.by_ref().find(|line| match durable(line) {
        Some(seq) => {
            last = seq;
            false
        }
        None => true,
    });
    let reason = reason.expect("it reaches the limit");
    assert!(reason.starts_with("failed ") && reason.contains("free s"), "{reason}");
    assert_eq!(stored_whole(dir.path()).chain.seq, last, "what failed isn't there");
    let mut stdin = writer.stdin.take().expect("piped");
    stdin.write_all(b"\n").expect("the writer runs");
    let next = lines.by_ref().find_map(|line| durable(&line)).expect("it goes on");
    assert_eq!(next, last + 3);
    lines.by_ref().take(10).for_each(drop);
    drop(stdin);
    let told = lines.filter_map(|line| durable(&line)).last().unwrap_or(next);
    assert!(writer.wait().expect("ends").success());
    assert!(stored_whole(dir.path()).chain.seq >= told);
}
