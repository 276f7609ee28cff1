//! Antenna visits, inferred: a module says which antenna read a tag, never which one looked in vain.
//!
//! What is known: the module goes through its configured list in order, again and again, from the list's start in
//! each cycle; a keep-alive ends a cycle. So:
//! - A read by another antenna ends the open visit. The antennas between the two in the list looked and read nothing.
//! - A read by the same antenna after a pause of more than [`TURN_MIN`] means a whole turn between.
//! - A keep-alive means that every antenna behind the open one had its turn.
//! - The pause between two signs is shared evenly among those who looked in it. A share below [`LOOK_MIN`] is no
//!   look: then no visit is made up, and the pause belongs to the neighbours.
//! - A pause longer than [`SIGN_WAIT_MAX`] proves nothing: its visits are unhealthy.
//! - The visits of a sick antenna (one that was measured and found bad) are unhealthy, whatever it reads.
//! - A fault of an antenna is the turn of the next sick one in the list. Any other fault is nobody's: from the sign
//!   before it to the sign after it nobody is known to have looked, and whose turn it was is known again by the next
//!   read or keep-alive.

use crate::settings::Antennas;
use stowage_base::{Duration, ReaderSink, Timestamp, Visit};

/// An antenna that read a tag and reads again after more than this was away in between.
pub(crate) const TURN_MIN: Duration = Duration::from_millis(250);

/// The shortest time in which an antenna can find a tag.
pub(crate) const LOOK_MIN: Duration = Duration::from_millis(5);

/// The longest pause between signs of life of a reading module: a keep-alive comes about each second.
pub(crate) const SIGN_WAIT_MAX: Duration = Duration::from_secs(2);

/// A visit is told at the latest after this, though the antenna goes on.
const VISIT_MAX: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
struct Open {
    index: usize,
    start: Timestamp,
    reads: u32,
    healthy: bool,
}

/// See the module's rules.
#[derive(Debug, Clone)]
pub(crate) struct Visits {
    open: Option<Open>,
    /// The last sign: a read, a keep-alive or a sick antenna's fault. All visits before it, but the open one, are told.
    sign: Timestamp,
    /// Whose turn it is is unknown since `sign`.
    lost: bool,
    /// Bit n: the antenna at place n of the list is sick.
    sick: u16,
}

impl Visits {
    /// The module starts its list at `now`; all antennas count as good.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { open: None, sign: now, lost: false, sick: 0 }
    }

    /// The module starts its list at `now`, after the last visits were told by [`end`](Self::end) or
    /// [`rest`](Self::rest).
    pub(crate) fn start(&mut self, now: Timestamp) {
        *self = Self { sick: self.sick, ..Self::new(now) };
    }

    /// Whether the antenna at place `index` of the list is sick.
    pub(crate) fn is_sick(&self, index: usize) -> bool {
        self.sick >> index & 1 != 0
    }

    /// Whether any is.
    pub(crate) fn any_sick(&self) -> bool {
        self.sick != 0
    }

    /// Notes how the antenna at place `index` was found.
    pub(crate) fn set_sick(&mut self, index: usize, sick: bool) {
        self.sick = self.sick & !(1 << index) | u16::from(sick) << index;
    }

    /// `port` read a tag at `at`, `count` times.
    pub(crate) fn read(
        &mut self,
        antennas: &Antennas,
        port: u8,
        at: Timestamp,
        count: u16,
        sink: &mut impl ReaderSink,
    ) {
        let Some(index) = antennas.index(port) else { return };
        let at = at.max(self.sign);
        if self.lost {
            self.blind(antennas, at, sink);
            self.open = Some(Open { index, start: at, reads: 0, healthy: true });
        } else {
            self.turn_to(antennas, index, at, sink);
        }
        self.sign = at;
        if let Some(open) = &mut self.open {
            open.reads = open.reads.saturating_add(u32::from(count));
        }
    }

    /// The module reports a fault; of an antenna, if `of_antenna`.
    pub(crate) fn fault(&mut self, antennas: &Antennas, now: Timestamp, of_antenna: bool, sink: &mut impl ReaderSink) {
        let now = now.max(self.sign);
        match self.next_sick(antennas).filter(|_| of_antenna && !self.lost) {
            Some(index) => {
                self.turn_to(antennas, index, now, sink);
                self.sign = now;
            }
            None => {
                self.close(antennas, self.sign, true, sink);
                if now - self.sign >= VISIT_MAX {
                    self.blind(antennas, now, sink);
                }
                self.lost = true;
            }
        }
    }

    /// The place in the list of the sick antenna whose turn comes next.
    fn next_sick(&self, antennas: &Antennas) -> Option<usize> {
        let turn = antennas.ports().len();
        let first = self.open.map_or(0, |open| open.index + 1);
        (first..first + turn).map(|index| index % turn).find(|index| self.is_sick(*index))
    }

    /// It is the turn of the antenna at place `index`, which is shown by a sign at `at`.
    fn turn_to(&mut self, antennas: &Antennas, index: usize, at: Timestamp, sink: &mut impl ReaderSink) {
        let turn = antennas.ports().len();
        let pause = at - self.sign;
        let skipped = match self.open {
            None => index,
            Some(open) if open.index != index => (index + turn - open.index - 1) % turn,
            Some(_) if pause > TURN_MIN => turn - 1,
            Some(open) if at - open.start < VISIT_MAX => return,
            Some(_) => 0,
        };
        let fit = pause <= SIGN_WAIT_MAX;
        let start = self.settle(antennas, skipped, 1, at, fit, sink);
        self.open = Some(Open { index, start, reads: 0, healthy: fit });
    }

    /// The module says that its cycle is over.
    pub(crate) fn cycle(&mut self, antennas: &Antennas, now: Timestamp, sink: &mut impl ReaderSink) {
        let now = now.max(self.sign);
        if self.lost {
            return self.blind(antennas, now, sink);
        }
        let fit = now - self.sign <= SIGN_WAIT_MAX;
        let turn = antennas.ports().len();
        self.settle(antennas, turn - usize::from(self.open.is_some()), 0, now, fit, sink);
        self.sign = now;
    }

    /// The module was told to pause, and obeys: tells the open visit.
    pub(crate) fn rest(&mut self, antennas: &Antennas, sink: &mut impl ReaderSink) {
        self.close(antennas, self.sign, true, sink);
    }

    /// Nothing is known since the last sign, up to `now`: tells the open visit as it stands, and that nobody looked.
    pub(crate) fn end(&mut self, antennas: &Antennas, now: Timestamp, sink: &mut impl ReaderSink) {
        self.close(antennas, self.sign, true, sink);
        self.blind(antennas, now.max(self.sign), sink);
    }

    /// Nobody is known to have looked from the last sign to `to`: an unhealthy visit for each antenna.
    fn blind(&mut self, antennas: &Antennas, to: Timestamp, sink: &mut impl ReaderSink) {
        self.lost = false;
        self.settle(antennas, antennas.ports().len(), 0, to, false, sink);
        self.sign = to;
    }

    /// Shares the pause from the last sign to `to` among the open visit, `skipped` antennas behind it and `heads`
    /// (1 if a new visit follows). Tells all but the new one, and gives its start.
    fn settle(
        &mut self,
        antennas: &Antennas,
        skipped: usize,
        heads: i64,
        to: Timestamp,
        fit: bool,
        sink: &mut impl ReaderSink,
    ) -> Timestamp {
        let sharers = heads + i64::from(self.open.is_some());
        let share_of = |sharers: i64| Duration::from_micros((to - self.sign).micros() / sharers.max(1));
        let (skipped, share) = match share_of(sharers + skipped as i64) {
            share if share >= LOOK_MIN => (skipped, share),
            _ => (0, share_of(sharers)),
        };
        let first = self.open.map_or(0, |open| open.index + 1);
        let mut start = self.sign;
        if self.open.is_some() {
            start += share;
            self.close(antennas, start, fit, sink);
        }
        let ports = antennas.ports();
        for index in (first..first + skipped).map(|index| index % ports.len()) {
            let (antenna, end) = (u16::from(ports[index]), start + share);
            sink.visit(&Visit { antenna, start, end, reads: 0, healthy: fit && !self.is_sick(index) });
            start = end;
        }
        start
    }

    fn close(&mut self, antennas: &Antennas, end: Timestamp, fit: bool, sink: &mut impl ReaderSink) {
        let Some(Open { index, start, reads, healthy }) = self.open.take() else { return };
        let antenna = u16::from(antennas.ports()[index]);
        sink.visit(&Visit { antenna, start, end, reads, healthy: healthy && fit && !self.is_sick(index) });
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;
    use stowage_base::{ReaderEvent, TagRead};

    #[derive(Default)]
    struct Told(Vec<(u16, i64, i64, u32, bool)>);

    impl ReaderSink for Told {
        fn send(&mut self, _: &[u8]) {}
        fn read(&mut self, _: &TagRead) {}
        fn visit(&mut self, visit: &Visit) {
            let ms = |at: Timestamp| at.micros() / 1_000;
            self.0.push((visit.antenna, ms(visit.start), ms(visit.end), visit.reads, visit.healthy));
        }
        fn event(&mut self, _: ReaderEvent) {}
    }

    fn ms(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    fn four() -> Antennas {
        Antennas::new(&[1, 2, 3, 4]).expect("four ports")
    }

    #[test]
    fn antennas_between_two_reads_looked_in_vain() {
        let (mut visits, mut told, list) = (Visits::new(ms(0)), Told::default(), four());
        visits.read(&list, 1, ms(10), 1, &mut told);
        visits.read(&list, 1, ms(40), 2, &mut told);
        assert_eq!(told.0, [], "the visit is still open");
        visits.read(&list, 4, ms(200), 1, &mut told);
        assert_eq!(told.0, [(1, 0, 80, 3, true), (2, 80, 120, 0, true), (3, 120, 160, 0, true)]);
        visits.cycle(&list, ms(1_000), &mut told);
        assert_eq!(
            told.0[3..],
            [(4, 160, 400, 1, true), (1, 400, 600, 0, true), (2, 600, 800, 0, true), (3, 800, 1_000, 0, true)]
        );
    }

    #[test]
    fn a_keepalive_alone_says_that_all_looked() {
        let (mut visits, mut told, list) = (Visits::new(ms(0)), Told::default(), four());
        visits.cycle(&list, ms(1_000), &mut told);
        let expected = [(1, 0, 250, 0, true), (2, 250, 500, 0, true), (3, 500, 750, 0, true), (4, 750, 1_000, 0, true)];
        assert_eq!(told.0, expected);
    }

    #[test]
    fn silence_proves_nothing() {
        let (mut visits, mut told, list) = (Visits::new(ms(0)), Told::default(), four());
        visits.cycle(&list, ms(2_001), &mut told);
        assert_eq!(told.0.len(), 4);
        assert!(told.0.iter().all(|visit| !visit.4));
        visits.read(&list, 2, ms(2_011), 1, &mut told);
        visits.end(&list, ms(5_011), &mut told);
        assert_eq!(told.0[4..6], [(1, 2_001, 2_006, 0, true), (2, 2_006, 2_011, 1, true)]);
        let blind: Vec<_> = told.0[6..].iter().map(|visit| (visit.0, visit.1, visit.2, visit.4)).collect();
        let expected = [(1, 2_011, 2_761), (2, 2_761, 3_511), (3, 3_511, 4_261), (4, 4_261, 5_011)]
            .map(|(a, b, c)| (a, b, c, false));
        assert_eq!(blind, expected);
    }

    #[test]
    fn a_fault_of_the_module_blinds_all_until_the_next_sign() {
        let (mut visits, mut told, list) = (Visits::new(ms(0)), Told::default(), four());
        visits.read(&list, 1, ms(40), 1, &mut told);
        visits.fault(&list, ms(100), false, &mut told);
        assert_eq!(told.0, [(1, 0, 40, 1, true)], "it read until then");
        visits.fault(&list, ms(150), false, &mut told);
        assert_eq!(told.0.len(), 1);
        visits.read(&list, 4, ms(240), 1, &mut told);
        let blind: Vec<_> = told.0[1..].iter().map(|visit| (visit.0, visit.4)).collect();
        assert_eq!(blind, [(1, false), (2, false), (3, false), (4, false)]);
        assert_eq!((told.0[1].1, told.0[4].2), (40, 240));
        visits.cycle(&list, ms(1_000), &mut told);
        assert_eq!(told.0[5], (4, 240, 430, 1, true), "from its read on, which is known");
        // A fault that lasts is told each second.
        for at in 21..=40 {
            visits.fault(&list, ms(at * 50), false, &mut told);
        }
        assert_eq!(told.0.len(), 13);
        assert!(told.0[9..].iter().all(|visit| !visit.4));
    }

    #[test]
    fn a_sick_antennas_fault_is_its_turn_and_the_others_stay_healthy() {
        let (mut visits, mut told, list) = (Visits::new(ms(0)), Told::default(), four());
        visits.set_sick(2, true);
        for turn in 0..2 {
            visits.read(&list, 1, ms(turn * 200 + 40), 1, &mut told);
            visits.fault(&list, ms(turn * 200 + 150), true, &mut told);
        }
        visits.cycle(&list, ms(500), &mut told);
        assert_eq!(told.0.iter().map(|visit| visit.0).collect::<Vec<_>>(), [1, 2, 3, 4, 1, 2, 3, 4, 1, 2]);
        assert!(told.0.iter().all(|visit| visit.4 == (visit.0 != 3)), "{:?}", told.0);
        visits.set_sick(2, false);
        assert!(!visits.any_sick());
    }

    #[test]
    fn no_look_is_made_up_where_there_was_no_time_for_one() {
        let (mut visits, mut told, list) = (Visits::new(ms(0)), Told::default(), four());
        visits.read(&list, 1, ms(1), 1, &mut told);
        visits.read(&list, 3, ms(9), 1, &mut told);
        assert_eq!(told.0, [(1, 0, 5, 1, true)]);
    }

    #[test]
    fn one_antenna_alone_is_told_each_second() {
        let (mut visits, mut told) = (Visits::new(ms(0)), Told::default());
        let list = Antennas::new(&[3]).expect("one port");
        for at in 1..=25 {
            visits.read(&list, 3, ms(at * 100), 1, &mut told);
        }
        visits.rest(&list, &mut told);
        assert_eq!(told.0, [(3, 0, 950, 9, true), (3, 950, 1_950, 10, true), (3, 1_950, 2_500, 6, true)]);
    }

    #[test]
    fn the_same_antenna_after_a_pause_went_a_whole_turn() {
        let (mut visits, mut told) = (Visits::new(ms(0)), Told::default());
        let list = Antennas::new(&[2, 5]).expect("two ports");
        visits.read(&list, 2, ms(0), 1, &mut told);
        visits.read(&list, 2, ms(300), 1, &mut told);
        assert_eq!(told.0, [(2, 0, 100, 1, true), (5, 100, 200, 0, true)]);
    }
}
