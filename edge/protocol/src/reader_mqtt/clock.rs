//! Maps a smart reader's clock to ours.

use super::Time;
use stowage_base::{Duration, Timestamp};

/// Bounds that miss each other by more than this are a jump, not drift.
const JUMP: Duration = Duration::from_secs(1);

/// How far our clock is ahead of the reader's, within bounds.
///
/// An answer to a question that asked for the time bounds it from both sides. An event only bounds it from above:
/// whatever held the event up adds to its age, for hours if it waited in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Clock {
    bounds: Option<Bounds>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    least: Duration,
    most: Duration,
}

impl Clock {
    /// The reader answered at `now`, to a question of `asked`, that its clock shows `time`. Whether that is a jump.
    pub(super) fn answered(&mut self, asked: Timestamp, now: Timestamp, time: Time) -> bool {
        let (least, most) = (asked - (time.at + time.step), now - time.at);
        let jumped = self.bounds.is_some_and(|known| least - known.most > JUMP || known.least - most > JUMP);
        // What events told goes on to hold, as far as it agrees.
        let most = self.bounds.filter(|_| !jumped).map_or(most, |known| known.most.clamp(least.min(most), most));
        self.bounds = Some(Bounds { least, most });
        jumped
    }

    /// An event that the reader stamped `time` arrived at `now`. `true`: its stamp lies in what is the future by all
    /// that is known; ask the reader for its time, nothing is believed until then.
    pub(super) fn event(&mut self, now: Timestamp, time: Time) -> bool {
        let Some(bounds) = &mut self.bounds else { return false };
        let most = now - time.at;
        if bounds.least - most > JUMP {
            self.bounds = None;
            return true;
        }
        // Never below the least, but for drift since it was told.
        bounds.most = bounds.most.min(most);
        bounds.least = bounds.least.min(bounds.most);
        false
    }

    /// When `time` was on our time line, never later than `now`; `None` while the reader's clock isn't known.
    pub(super) fn map(&self, now: Timestamp, time: Time) -> Option<Timestamp> {
        self.bounds.map(|bounds| now.min(time.at + bounds.most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: i64) -> Timestamp {
        Timestamp::EPOCH + Duration::from_millis(millis)
    }

    fn stamp(millis: i64, step_ms: i64) -> Time {
        Time { at: ms(millis), step: Duration::from_millis(step_ms) }
    }

    #[test]
    fn nothing_is_mapped_before_the_reader_has_told_its_time() {
        let mut clock = Clock::default();
        assert!(!clock.event(ms(5_000), stamp(1, 1)), "perhaps a backlog");
        assert_eq!(clock.map(ms(5_000), stamp(1, 1)), None);
    }

    #[test]
    fn events_sharpen_a_coarse_answer_and_a_backlog_does_not() {
        let mut clock = Clock::default();
        // Ours is 4 s ahead; the reader shows whole seconds.
        assert!(!clock.answered(ms(10_900), ms(10_920), stamp(6_000, 1_000)));
        assert!(!clock.event(ms(11_000), stamp(1_000, 1)), "ten seconds old");
        assert!(!clock.event(ms(11_030), stamp(7_000, 1)), "30 ms old");
        assert_eq!(clock.map(ms(11_100), stamp(7_020, 1)), Some(ms(11_050)));
        assert_eq!(clock.map(ms(11_100), stamp(1_000, 1)), Some(ms(5_030)), "late stays late");
        assert!(!clock.answered(ms(15_900), ms(15_920), stamp(11_000, 1_000)));
        assert_eq!(clock.map(ms(16_000), stamp(11_500, 1)), Some(ms(15_530)), "what events told holds on");
    }

    #[test]
    fn a_jump_ahead_is_noticed_at_once_and_believed_when_told() {
        let mut clock = Clock::default();
        clock.answered(ms(10_000), ms(10_010), stamp(10_005, 1));
        assert!(clock.event(ms(11_000), stamp(3_600_000, 1)));
        assert_eq!(clock.map(ms(11_000), stamp(3_600_000, 1)), None);
        clock.answered(ms(11_010), ms(11_020), stamp(3_600_015, 1));
        assert_eq!(clock.map(ms(11_200), stamp(3_600_100, 1)), Some(ms(11_105)));
    }

    #[test]
    fn a_jump_back_is_told_by_the_next_answer_and_looks_late_until_then() {
        let mut clock = Clock::default();
        clock.answered(ms(100_000), ms(100_010), stamp(100_005, 1));
        assert!(!clock.event(ms(101_000), stamp(41_000, 1)));
        assert_eq!(clock.map(ms(101_000), stamp(41_000, 1)), Some(ms(41_005)));
        assert!(clock.answered(ms(102_000), ms(102_010), stamp(42_005, 1)));
        assert_eq!(clock.map(ms(103_000), stamp(42_990, 1)), Some(ms(102_995)));
    }

    #[test]
    fn drift_is_followed_both_ways() {
        for ppm in [-100, 100] {
            let mut clock = Clock::default();
            for second in (0..36_000).step_by(5) {
                let theirs = |micros: i64| micros + micros * ppm / 1_000_000;
                let at = |micros: i64| Timestamp::from_micros(micros);
                let now = second * 1_000_000 + 10_000;
                let step = Duration::from_micros(1);
                let time = |micros| Time { at: at(theirs(micros)), step };
                assert!(!clock.answered(at(now), at(now + 4_000), time(now + 2_000)));
                assert!(!clock.event(at(now + 1_010_000), time(now + 1_000_000)));
                let error = clock.map(at(now + 2_000_000), time(now + 1_500_000)).expect("known") - at(now + 1_500_000);
                assert!(error.micros().abs() < 20_000, "{error:?} at {ppm} ppm after {second} s");
            }
        }
    }
}
