//! Antenna visits, made of what a smart reader tells: that an inventory runs, and on which antennas.
//!
//! Time is cut into turns, in each of which every antenna has looked. A turn's visits are told when a report of a later
//! turn comes, or when reports of it can't come any more. "Not read" means something only where the inventory was known
//! to run for the whole turn and the antenna to be connected.

use super::{Sink, Watch};
use stowage_base::{Duration, Timestamp, Visit};

/// What broker and network may add to the reader's own delay.
const TRANSPORT_WAIT: Duration = Duration::from_millis(200);

/// After a pause of more turns than this the clock has leapt over it: it is one visit, and says nothing.
const TURNS_MAX: i64 = 64;

#[derive(Debug)]
struct Antenna {
    port: u16,
    gone: bool,
    /// When the reader said so, by its clock.
    said: Option<Timestamp>,
    /// Replies in the present turn.
    reads: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Visits {
    antennas: Vec<Antenna>,
    turn: Duration,
    delay: Duration,
    /// When the present turn began; `None` without a reader.
    began: Option<Timestamp>,
    /// Known to run since the turn began.
    running: bool,
}

impl Visits {
    pub(super) fn new(watch: &Watch) -> Self {
        let antenna =
            |antenna: &super::AntennaSettings| Antenna { port: antenna.port, gone: false, said: None, reads: 0 };
        Self {
            antennas: watch.antennas.iter().map(antenna).collect(),
            turn: watch.turn.max(Duration::from_millis(1)),
            delay: watch.delay + TRANSPORT_WAIT,
            began: None,
            running: false,
        }
    }

    /// Whether the inventory is known to run from now on; ends the present turn. `None`: there is no reader.
    pub(super) fn run<Out>(&mut self, now: Timestamp, running: Option<bool>, sink: &mut impl Sink<Out>) {
        if self.began.is_some() && running == Some(self.running) {
            return;
        }
        if let Some(began) = self.began {
            self.roll(now, sink);
            self.close(now.max(began), sink);
        }
        (self.began, self.running) = (running.map(|_| now), running == Some(true));
    }

    /// The reader reports an antenna connected, or gone; stamped `said`, if what came later may have arrived before.
    /// Whether that is news.
    pub(super) fn antenna(&mut self, port: u16, connected: bool, said: Option<Timestamp>) -> bool {
        let antenna = self.antennas.iter_mut().find(|antenna| antenna.port == port);
        antenna.filter(|antenna| said.is_none() || said >= antenna.said).is_some_and(|antenna| {
            antenna.said = said.or(antenna.said);
            std::mem::replace(&mut antenna.gone, !connected) == connected
        })
    }

    /// The reader's clock is another one now.
    pub(super) fn forget_stamps(&mut self) {
        self.antennas.iter_mut().for_each(|antenna| antenna.said = None);
    }

    /// The one antenna, if there is no other.
    pub(super) fn only(&self) -> Option<u16> {
        if let [antenna] = &self.antennas[..] { Some(antenna.port) } else { None }
    }

    /// The antenna at `port` read a tag at `at`.
    pub(super) fn read<Out>(&mut self, port: u16, at: Timestamp, count: u16, sink: &mut impl Sink<Out>) {
        self.roll(at, sink);
        if let Some(antenna) = self.antennas.iter_mut().find(|antenna| antenna.port == port) {
            antenna.reads = antenna.reads.saturating_add(u32::from(count));
        }
    }

    pub(super) fn tick<Out>(&mut self, now: Timestamp, sink: &mut impl Sink<Out>) {
        self.roll(now - self.delay, sink);
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.began.map(|began| began + self.turn + self.delay)
    }

    /// Ends all turns up to the one in which `at` lies.
    fn roll<Out>(&mut self, at: Timestamp, sink: &mut impl Sink<Out>) {
        let Some(mut began) = self.began else { return };
        let turns = at.since(began).micros() / self.turn.micros();
        if turns > TURNS_MAX {
            let running = std::mem::take(&mut self.running);
            began += Duration::from_micros(turns * self.turn.micros());
            self.close(began, sink);
            (self.began, self.running) = (Some(began), running);
            return;
        }
        for _ in 0..turns {
            began += self.turn;
            self.close(began, sink);
            self.began = Some(began);
        }
    }

    /// Tells the present turn, which ends at `end`.
    fn close<Out>(&mut self, end: Timestamp, sink: &mut impl Sink<Out>) {
        let Some(start) = self.began else { return };
        for Antenna { port, gone, reads, .. } in &mut self.antennas {
            let reads = std::mem::take(reads);
            sink.visit(&Visit { antenna: *port, start, end, reads, healthy: reads > 0 || (self.running && !*gone) });
        }
    }
}
