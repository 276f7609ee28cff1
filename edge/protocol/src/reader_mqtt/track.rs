//! What a smart reader's session keeps, whatever the vendor: its clock, its visits, and counts of what was left out.

use super::clock::Clock;
use super::visits::Visits;
use super::{Event, LATE_MAX, Malformed, Sink, Tag, Time, Watch};
use stowage_base::{Duration, Timestamp};

/// Counts are told at most so often.
const TELL_PERIOD: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(crate) struct Tracker {
    clock: Clock,
    visits: Visits,
    late_max: Duration,
    late: u64,
    skipped: u64,
    last_skipped: String,
    /// When to tell the counts, if there is something to tell.
    tell_at: Option<Timestamp>,
}

impl Tracker {
    pub(crate) fn new(watch: &Watch) -> Self {
        Self {
            clock: Clock::default(),
            visits: Visits::new(watch),
            late_max: LATE_MAX + watch.delay,
            late: 0,
            skipped: 0,
            last_skipped: String::new(),
            tell_at: None,
        }
    }

    /// See [`Visits::run`].
    pub(crate) fn run<Out>(&mut self, now: Timestamp, running: Option<bool>, sink: &mut impl Sink<Out>) {
        self.visits.run(now, running, sink);
    }

    /// The reader reports an antenna connected, or gone; stamped `at`, where that may be old news.
    pub(crate) fn antenna<Out>(&mut self, port: u16, connected: bool, at: Option<Time>, sink: &mut impl Sink<Out>) {
        if self.visits.antenna(port, connected, at.map(|time| time.at)) {
            sink.event(Event::Antenna { port, connected });
        }
    }

    /// The reader answered at `now` what was asked at `asked`, with its time. One that tells none is taken to have ours.
    pub(crate) fn answered<Out>(
        &mut self,
        asked: Timestamp,
        now: Timestamp,
        time: Option<Time>,
        sink: &mut impl Sink<Out>,
    ) {
        let time = time.unwrap_or(Time { at: asked, step: now - asked });
        if self.clock.answered(asked, now, time) {
            self.jumped(sink);
        }
    }

    fn jumped<Out>(&mut self, sink: &mut impl Sink<Out>) {
        self.visits.forget_stamps();
        sink.event(Event::ClockJump);
    }

    /// An event arrived that the reader stamped `time`. Whether the reader is to be asked for its time now.
    pub(crate) fn stamped<Out>(&mut self, now: Timestamp, time: Time, sink: &mut impl Sink<Out>) -> bool {
        let jumped = self.clock.event(now, time);
        if jumped {
            self.jumped(sink);
        }
        jumped
    }

    /// Whether what the reader stamped `time` is recent; `false` while its clock isn't known.
    pub(crate) fn recent(&self, now: Timestamp, time: Time) -> bool {
        self.clock.map(now, time).is_some_and(|at| now - at <= self.late_max)
    }

    /// A tag was reported. `Ok(true)`: it was read just now.
    ///
    /// # Errors
    /// It can't be told which antenna read it.
    pub(crate) fn tag<Out>(
        &mut self,
        now: Timestamp,
        tag: &Tag,
        sink: &mut impl Sink<Out>,
    ) -> Result<bool, &'static str> {
        let port =
            tag.antenna.or_else(|| self.visits.only()).ok_or("the report tells no antenna, and there are more")?;
        let at = self.clock.map(now, tag.at).filter(|at| now - *at <= self.late_max);
        let Some(at) = at else {
            self.late += 1;
            self.tell_later(now);
            return Ok(false);
        };
        self.visits.read(port, at, tag.count, sink);
        sink.read(&tag.read(port, at));
        Ok(true)
    }

    /// So many members, or a message, weren't known.
    pub(crate) fn skip(&mut self, now: Timestamp, count: u64, what: &str) {
        if count > 0 {
            self.skipped += count;
            self.last_skipped.clear();
            self.last_skipped.extend(what.chars().take(64));
            self.tell_later(now);
        }
    }

    fn tell_later(&mut self, now: Timestamp) {
        self.tell_at.get_or_insert(now + TELL_PERIOD);
    }

    pub(crate) fn tick<Out>(&mut self, now: Timestamp, sink: &mut impl Sink<Out>) {
        self.visits.tick(now, sink);
        if self.tell_at.is_some_and(|at| at <= now) {
            self.tell_at = None;
            match std::mem::take(&mut self.late) {
                0 => {}
                count => sink.event(Event::Late { count }),
            }
            match std::mem::take(&mut self.skipped) {
                0 => {}
                count => sink.event(Event::Skipped { count, last: self.last_skipped.clone() }),
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.visits.next_deadline().into_iter().chain(self.tell_at).min()
    }
}

/// At most 64 characters of it.
fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

impl Event {
    /// What is wrong with a message from `source`.
    pub(crate) fn malformed(source: &str, what: &Malformed) -> Self {
        Self::Malformed { source: cut(source), what: what.to_string() }
    }
}
