//! Maps a reader's clock to ours.

use stowage_base::{Duration, Timestamp};

/// A change of the offset by more than this is a jump, not delay or drift.
const JUMP: Duration = Duration::from_secs(1);

/// How long stamps have to agree before they are believed again; also how long a lag must last to be a jump back,
/// since a stalled network brings old stamps too, though not for long.
const STEADY: Duration = Duration::from_secs(2);

/// A smallest offset is forgotten after one to two of these, so that drift is followed: 20 ppm of 60 s are 1.2 ms.
const WINDOW: Duration = Duration::from_secs(60);

/// Tracks how far our clock is ahead of a reader's, as the smallest of (arrival − stamp): delay only ever adds.
///
/// Any stamp that grows by a microsecond each microsecond will do, be it UTC or time since start-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Clock {
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// No stamp yet.
    #[default]
    Unknown,
    /// Believed.
    Steady {
        offset: Duration,
        /// The smallest since `window_from`; the offset is this or the window before's.
        recent: Duration,
        window_from: Timestamp,
        /// Since when stamps have lagged by more than a jump.
        lagging_since: Option<Timestamp>,
    },
    /// It has jumped: stamps have agreed with `offset` since then.
    Unsteady { offset: Duration, since: Timestamp },
}

impl Clock {
    /// Takes a stamp that arrived at `now`; it may lie up to `slack` back for reasons that are no jump.
    /// Returns whether the clock has jumped.
    pub(super) fn observe(&mut self, now: Timestamp, stamp: u64, slack: Duration) -> bool {
        let sample = now - from_stamp(stamp);
        let steady = State::Steady { offset: sample, recent: sample, window_from: now, lagging_since: None };
        let (state, jumped) = match self.state {
            State::Unknown => (steady, false),
            State::Steady { offset, recent, window_from, lagging_since } => {
                let excess = sample - offset;
                let lag_from = lagging_since.unwrap_or(now);
                if excess < Duration::ZERO - JUMP || (excess > JUMP + slack && now - lag_from >= STEADY) {
                    (State::Unsteady { offset: sample, since: now }, true)
                } else if excess > JUMP + slack {
                    (State::Steady { offset, recent, window_from, lagging_since: Some(lag_from) }, false)
                } else if now - window_from >= WINDOW {
                    let (offset, recent) = (recent.min(sample), sample);
                    (State::Steady { offset, recent, window_from: now, lagging_since: None }, false)
                } else {
                    let (offset, recent) = (offset.min(sample), recent.min(sample));
                    (State::Steady { offset, recent, window_from, lagging_since: None }, false)
                }
            }
            State::Unsteady { offset, since } => {
                let excess = sample - offset;
                if excess < Duration::ZERO - JUMP || excess > JUMP + slack {
                    (State::Unsteady { offset: sample, since: now }, false)
                } else if now - since >= STEADY {
                    let offset = offset.min(sample);
                    (State::Steady { offset, recent: offset, window_from: now, lagging_since: None }, false)
                } else {
                    (State::Unsteady { offset: offset.min(sample), since }, false)
                }
            }
        };
        self.state = state;
        jumped
    }

    /// When a thing stamped so happened on our time line, given that the stamp arrived at `now` and may lie up to
    /// `slack` back. Never later than `now`; `now` itself while the stamp can't be believed.
    pub(super) fn map(&self, now: Timestamp, stamp: u64, slack: Duration) -> Timestamp {
        let State::Steady { offset, .. } = self.state else { return now };
        let at = from_stamp(stamp) + offset;
        if at > now || now - at > JUMP + slack { now } else { at }
    }
}

/// A stamp as a point in time of its own clock; those past the year 290,000 count as that.
fn from_stamp(stamp: u64) -> Timestamp {
    Timestamp::from_micros(i64::try_from(stamp).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONE: Duration = Duration::ZERO;

    fn ms(millis: i64) -> Timestamp {
        Timestamp::EPOCH + Duration::from_millis(millis)
    }

    /// A clock that has seen a stamp arrive at 10 s, from a reader whose clock is 4 s behind ours.
    fn steady() -> Clock {
        let mut clock = Clock::default();
        assert!(!clock.observe(ms(10_000), 6_000_000, NONE));
        clock
    }

    #[test]
    fn the_quickest_message_sets_the_offset() {
        let mut clock = steady();
        assert!(!clock.observe(ms(11_000), 7_030_000, NONE), "30 ms quicker than the first");
        assert!(!clock.observe(ms(12_500), 8_000_000, NONE), "half a second late");
        assert_eq!(clock.map(ms(13_000), 9_000_000, NONE), ms(12_970));
        assert_eq!(clock.map(ms(12_960), 9_000_000, NONE), ms(12_960), "never later than now");
    }

    #[test]
    fn a_jump_is_told_once_and_stamps_are_not_believed_until_they_agree() {
        let mut clock = steady();
        assert!(clock.observe(ms(11_000), 3_600_000_000, NONE));
        assert_eq!(clock.map(ms(11_100), 3_600_050_000, NONE), ms(11_100), "arrival");
        assert!(!clock.observe(ms(12_000), 3_601_000_000, NONE));
        assert!(!clock.observe(ms(13_000), 3_602_000_000, NONE), "two seconds agree");
        assert_eq!(clock.map(ms(13_300), 3_602_200_000, NONE), ms(13_200));
    }

    #[test]
    fn a_stalled_network_is_no_jump_but_a_lasting_lag_is() {
        let mut clock = steady();
        for (arrival, stamp) in [(14_000, 7_000_000), (14_001, 8_000_000), (14_002, 10_002_000)] {
            assert!(!clock.observe(ms(arrival), stamp, NONE));
        }
        assert_eq!(clock.map(ms(15_000), 10_900_000, NONE), ms(14_900), "as before");
        assert!(!clock.observe(ms(16_000), 2_000_000, NONE), "suspicious");
        assert_eq!(clock.map(ms(16_000), 2_000_000, NONE), ms(16_000));
        assert!(!clock.observe(ms(17_000), 3_000_000, NONE));
        assert!(clock.observe(ms(18_000), 4_000_000, NONE));
    }

    #[test]
    fn drift_is_followed_both_ways() {
        for ppm in [-50, 50] {
            let mut clock = Clock::default();
            for second in 0..3_600 {
                assert!(!clock.observe(ms(second * 1_000), (10_000_000 + second * (1_000_000 + ppm)) as u64, NONE));
            }
            let at = clock.map(ms(3_600_000), (10_500_000 + 3_599 * (1_000_000 + ppm)) as u64, NONE);
            let error = at - ms(3_599_500);
            assert!(error.micros().abs() < 10_000, "{error:?} at {ppm} ppm");
        }
    }

    proptest! {
        #[test]
        fn any_stamps_map_to_the_recent_past(stamps in prop::collection::vec(any::<u64>(), 1..20)) {
            let (mut clock, mut now) = (Clock::default(), ms(1_000));
            for stamp in stamps {
                now += Duration::from_millis(700);
                clock.observe(now, stamp, NONE);
                let at = clock.map(now, stamp, NONE);
                prop_assert!(at <= now && now - at <= JUMP);
            }
        }
    }
}
