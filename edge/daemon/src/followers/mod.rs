//! Followers: what goes from the journal to the outside, fact by fact.
//!
//! A follower is a cursor over the journal and a destination. It has its own thread and its own eyes on the journal,
//! so a destination that is slow, full or dead slows nobody: the follower falls behind, says so (in the log, and by its
//! [`Gauge`] on the page) and catches up later. Every fact is delivered at least once, in order; its key (site, epoch, seq) tells a repeat.

mod jsonl;
mod mqtt;

pub use jsonl::JsonLines;
pub use mqtt::{MqttMirror, MqttSettings};

use crate::journal::{Filter, Key, OpenError, Reader, Recorded};
use serde::Serialize;
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// The first and the longest wait after a trouble; each is twice the one before.
const WAIT: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Tells followers that more facts are durable. Ringing it never waits.
#[derive(Debug, Clone)]
pub struct Bell(watch::Sender<u64>);

impl Bell {
    /// A bell for a journal whose last fact is `seq`.
    pub fn new(seq: u64) -> Self {
        Self(watch::Sender::new(seq))
    }

    /// Every fact up to `seq` is durable.
    pub fn ring(&self, seq: u64) {
        self.0.send_replace(seq);
    }
}

/// Where facts go.
pub trait Destination: Send + 'static {
    /// A fact as it goes out.
    type Message;

    /// What a fact is at the destination. Pure: the same fact is the same message every time.
    fn render(&self, fact: &Recorded) -> Self::Message;

    /// The last fact of `site` that the destination has for sure. Called before each [`Destination::follow`].
    ///
    /// # Errors
    /// It can't be known now: what is wrong, with the mend.
    fn cursor(&mut self, site: &str) -> Result<Key, String>;

    /// Delivers what follows `cursor`, until something is wrong.
    fn follow(&mut self, feed: &mut Feed, cursor: Key) -> impl Future<Output = Result<Infallible, String>>;

    /// Called after [`Destination::follow`] has ended or was dropped.
    fn leave(&mut self) {}
}

/// The facts of a running journal, for a [`Destination`].
#[derive(Debug)]
pub struct Feed {
    reader: Reader,
    dir: PathBuf,
    epoch: u32,
    bell: watch::Receiver<u64>,
    gauge: Gauge,
}

impl Feed {
    fn open(name: &str, dir: &Path, bell: &Bell) -> Result<Self, OpenError> {
        let reader = Reader::open(dir)?;
        let head = reader.head().map_err(|error| OpenError::Other(format!("follower {name}: {error}")))?;
        let gauge = Gauge { name: name.into(), bell: bell.0.subscribe(), progress: Arc::default() };
        Ok(Self { reader, dir: dir.to_owned(), epoch: head.epoch, bell: bell.0.subscribe(), gauge })
    }

    /// The next facts after `after`: at least one, waited for, at most `limit`. May be dropped while it waits.
    ///
    /// # Errors
    /// The journal can't be read.
    pub async fn next(&mut self, after: Key, limit: usize) -> Result<Vec<Recorded>, String> {
        // A long way to catch up must not keep others from their turn.
        tokio::task::yield_now().await;
        loop {
            // Before the look, so that a fact that comes after it rings.
            self.bell.mark_unchanged();
            let page = self.reader.page(&Filter::default(), after, limit).map_err(|error| error.to_string())?;
            if !page.is_empty() {
                return Ok(page);
            }
            if self.bell.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The destination is there again. One that lacks facts is well only once it takes some: a full disk can be opened.
    pub fn well(&self) {
        if self.gauge.standing().behind == 0 {
            self.over(&mut locked(&self.gauge.progress));
        }
    }

    /// The destination has every fact up to `cursor`: `facts` more than before.
    pub fn delivered(&self, cursor: Key, facts: u64) {
        let mut progress = locked(&self.gauge.progress);
        if cursor.epoch == self.epoch {
            (progress.earlier, progress.seq) = (0, cursor.seq);
        } else {
            progress.earlier = progress.earlier.saturating_sub(facts);
        }
        self.over(&mut progress);
    }

    /// A fact that the destination can't take at all was left out.
    pub fn left_out(&self, fact: Key) {
        tracing::warn!(follower = %self.gauge.name, %fact, "left out: too large for the destination");
        locked(&self.gauge.progress).left_out += 1;
    }

    /// Something is wrong. The log tells each trouble once, however often it is met.
    fn trouble(&self, trouble: String) {
        let mut progress = locked(&self.gauge.progress);
        if progress.trouble.as_ref() != Some(&trouble) {
            tracing::warn!(follower = %self.gauge.name, %trouble, "facts don't get through");
            progress.trouble = Some(trouble);
        }
    }

    fn over(&self, progress: &mut Progress) {
        if progress.trouble.take().is_some() {
            tracing::info!(follower = %self.gauge.name, "facts get through again");
        }
    }

    /// Begins anew at `cursor`.
    fn begin(&self, cursor: Key) -> Result<(), String> {
        let head = self.reader.head().map_err(|error| error.to_string())?;
        if cursor > head {
            return Err(format!(
                "has facts up to {cursor}, but the journal ends at {head}, so it is from a backup: stop the edge, run \
                 `stowage restored --data {}`, and start it again",
                self.dir.display()
            ));
        }
        let earlier = self.reader.count_before(self.epoch, cursor).map_err(|error| error.to_string())?;
        let seq = if cursor.epoch == self.epoch { cursor.seq } else { 0 };
        let mut progress = locked(&self.gauge.progress);
        (progress.earlier, progress.seq) = (earlier, seq);
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Progress {
    /// Facts of earlier epochs still to be delivered.
    earlier: u64,
    /// The last fact of this epoch that was delivered.
    seq: u64,
    left_out: u64,
    trouble: Option<String>,
}

/// Progress is plain numbers: whole even after a panic elsewhere.
fn locked(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a follower stands, for a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Durable facts that the destination doesn't have yet.
    pub behind: u64,
    /// Facts that the destination can't take at all, since the start.
    pub left_out: u64,
    /// What is wrong at the moment, with the mend where one is known.
    pub trouble: Option<String>,
}

/// Tells how a follower stands, from any thread.
#[derive(Debug, Clone)]
pub struct Gauge {
    name: Arc<str>,
    bell: watch::Receiver<u64>,
    progress: Arc<Mutex<Progress>>,
}

impl Gauge {
    /// The follower's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it stands at this moment.
    pub fn standing(&self) -> Standing {
        let durable = *self.bell.borrow();
        let progress = locked(&self.progress);
        Standing {
            behind: progress.earlier + durable.saturating_sub(progress.seq),
            left_out: progress.left_out,
            trouble: progress.trouble.clone(),
        }
    }
}

/// A running follower. Dropping it stops it; what is not delivered then is delivered after the next start.
#[derive(Debug)]
pub struct Follower {
    gauge: Gauge,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Begins to bring the facts of the journal in `dir` to `destination`. `name` is for the list of threads.
    ///
    /// # Errors
    /// The journal can't be read.
    pub fn start(name: &str, dir: &Path, bell: &Bell, mut destination: impl Destination) -> Result<Self, OpenError> {
        let mut feed = Feed::open(name, dir, bell)?;
        let gauge = feed.gauge.clone();
        let other = |error: std::io::Error| OpenError::Other(format!("follower {name}: {error}"));
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(other)?;
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = run(&mut destination, &mut feed) => {}
                }
            });
            destination.leave();
        });
        let thread = thread.map_err(other)?;
        Ok(Self { gauge, stop: Some(stop), thread: Some(thread) })
    }

    /// What tells how it stands; it outlives the follower.
    pub fn gauge(&self) -> &Gauge {
        &self.gauge
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its own thread.
            let _ = thread.join();
        }
    }
}

/// Follows for ever: after each trouble from the destination's cursor again, ever more patiently.
async fn run(destination: &mut impl Destination, feed: &mut Feed) {
    let site = feed.reader.site().to_owned();
    let mut wait = WAIT;
    loop {
        let mut from = Key::START;
        let trouble = match destination.cursor(&site).and_then(|cursor| feed.begin(cursor).map(|()| cursor)) {
            Ok(cursor) => {
                from = cursor;
                let Err(trouble) = destination.follow(feed, cursor).await;
                trouble
            }
            Err(trouble) => trouble,
        };
        destination.leave();
        feed.trouble(trouble);
        // It went on for a while: the trouble is a new one.
        if from.epoch == feed.epoch && locked(&feed.gauge.progress).seq > from.seq {
            wait = WAIT;
        }
        tokio::time::sleep(jitter(wait)).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}

/// Half of `wait` to all of it, so that many followers of one destination don't come back at the same moment.
fn jitter(wait: Duration) -> Duration {
    let share = RandomState::new().hash_one(0) % 1024;
    wait / 2 + wait / 2048 * share as u32
}

#[cfg(test)]
pub(crate) mod testing {
    //! A journal with followers.

    use super::*;
    use crate::journal::testing::{Recorder, SITE};
    use crate::journal::{Journal, SqliteCommit};
    use stowage_core::commit::{Commit, Outcome};
    use tempfile::TempDir;

    pub(super) struct Edge {
        pub(super) dir: TempDir,
        pub(super) bell: Bell,
        commit: SqliteCommit,
        recorder: Recorder,
    }

    impl Edge {
        pub(super) fn new() -> Self {
            let dir = tempfile::tempdir().expect("a temporary folder");
            let (journal, stored) = Journal::open(dir.path(), SITE).expect("opens");
            let bell = Bell::new(stored.chain.seq);
            let recorder = Recorder::at(stored.chain);
            Self { dir, bell, commit: SqliteCommit::start(journal, || ()).expect("starts"), recorder }
        }

        /// Makes so many more facts durable.
        pub(super) fn record(&mut self, facts: usize) {
            self.commit.submit(self.recorder.now(), self.recorder.batch(facts, &[]));
            let mut durable = None;
            until("the facts are durable", || {
                durable = self.commit.poll(self.recorder.now());
                durable.is_some()
            });
            match durable {
                Some(Outcome::Durable { seq }) => self.bell.ring(seq),
                other => panic!("{other:?}"),
            }
        }

        pub(super) fn follow(&self, destination: impl Destination) -> Follower {
            Follower::start("test", self.dir.path(), &self.bell, destination).expect("starts")
        }

        pub(super) fn lines(&self) -> Vec<String> {
            let reader = Reader::open(self.dir.path()).expect("opens");
            let facts = reader.page(&Filter::default(), Key::START, usize::MAX).expect("reads");
            facts.into_iter().map(|fact| fact.line).collect()
        }
    }

    /// Waits for what other threads will bring about.
    pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
        let begin = std::time::Instant::now();
        while !done() {
            assert!(begin.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Edge, until};
    use super::*;
    use std::io;

    /// What is logged meanwhile, without its times.
    fn logged(work: impl FnOnce()) -> Vec<String> {
        #[derive(Clone, Default)]
        struct Log(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Log {
            fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
                self.0.lock().expect("whole").extend(octets);
                Ok(octets.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).without_time();
        tracing::subscriber::with_default(subscriber.with_ansi(false).with_target(false).finish(), work);
        let text = String::from_utf8(log.0.lock().expect("whole").clone()).expect("text");
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn the_log_tells_each_trouble_once_and_when_it_is_over() {
        let mut edge = Edge::new();
        edge.record(2);
        let feed = Feed::open("archive", edge.dir.path(), &edge.bell).expect("opens");
        let log = logged(|| {
            for _ in 0..3 {
                feed.trouble("the disk is full".into());
                feed.well(); // it could be opened, but lacks facts
            }
            feed.trouble("a wrong password".into());
            feed.delivered(Key { epoch: 1, seq: 1 }, 1);
            feed.delivered(Key { epoch: 1, seq: 2 }, 1);
            feed.trouble("the disk is full".into());
            feed.well();
            feed.left_out(Key { epoch: 1, seq: 3 });
        });
        let wanted = [
            "WARN facts don't get through follower=archive trouble=the disk is full",
            "WARN facts don't get through follower=archive trouble=a wrong password",
            "INFO facts get through again follower=archive",
            "WARN facts don't get through follower=archive trouble=the disk is full",
            "INFO facts get through again follower=archive",
            "WARN left out: too large for the destination follower=archive fact=1/3",
        ];
        assert_eq!(log, wanted);
        assert_eq!(feed.gauge.standing(), Standing { behind: 0, left_out: 1, trouble: None });
    }

    #[test]
    fn what_is_ahead_of_a_restored_journal_is_told_how_to_mend_it() {
        let mut edge = Edge::new();
        edge.record(2);
        let path = edge.dir.path().join("facts.jsonl");
        let first = edge.lines()[0].clone();
        // The outside has had three facts more than the backup holds.
        let ahead = first.replacen("\"seq\":1,", "\"seq\":5,", 1);
        assert_ne!(ahead, first);
        std::fs::write(&path, format!("{first}\n{ahead}\n")).expect("writes");
        let follower = edge.follow(JsonLines::new(&path));
        until("it is told", || follower.gauge().standing().trouble.is_some());
        let trouble = follower.gauge().standing().trouble.expect("told");
        let mend = format!("run `stowage restored --data {}`", edge.dir.path().display());
        assert!(trouble.starts_with("has facts up to 1/5, but the journal ends at 1/2") && trouble.contains(&mend));
    }
}
