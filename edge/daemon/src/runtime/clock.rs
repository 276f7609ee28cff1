//! The edge's time line: the monotonic clock plus an offset to UTC, slewed, never back.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use stowage_base::{Duration, Timestamp};

/// How often [`Clock::slew`] is to be called.
pub(super) const SLEW_EVERY: Duration = Duration::from_secs(1);

/// Most that one [`Clock::slew`] changes the offset: 500 ppm.
const SLEW_MAX: i64 = SLEW_EVERY.micros() / 2_000;

/// How far the system's clock may stray before it is followed at once when it is ahead: it was set, not drifted.
const STEP: i64 = Duration::from_secs(60).micros();

/// The time line. Shared by every task.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// UTC at `start`, as far as known.
    offset: AtomicI64,
    /// The latest time given out.
    last: AtomicI64,
}

impl Clock {
    /// Starts at the system's time.
    pub(crate) fn start() -> Self {
        let now = system();
        Self { start: Instant::now(), offset: AtomicI64::new(now), last: AtomicI64::new(now) }
    }

    /// Now; never before an answer given earlier to anyone.
    pub(crate) fn now(&self) -> Timestamp {
        let now = self.offset.load(Ordering::Relaxed) + self.elapsed();
        Timestamp::from_micros(self.last.fetch_max(now, Ordering::Relaxed).max(now))
    }

    /// Draws the time line a little towards the system's clock. A clock set forward is followed at once, one set back
    /// is approached.
    pub(crate) fn slew(&self) {
        let error = system() - (self.offset.load(Ordering::Relaxed) + self.elapsed());
        let step = if error > STEP { error } else { error.clamp(-SLEW_MAX, SLEW_MAX) };
        self.offset.fetch_add(step, Ordering::Relaxed);
    }

    /// Waits until `deadline`; for ever if there is none.
    pub(crate) async fn sleep_until(&self, deadline: Option<Timestamp>) {
        match deadline {
            None => std::future::pending().await,
            Some(deadline) => tokio::time::sleep(deadline.since(self.now()).into()).await,
        }
    }

    fn elapsed(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX / 2)
    }
}

fn system() -> i64 {
    // Before 1970 counts as 1970: the check against the journal's last time says the rest.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_goes_back_while_it_is_slewed() {
        let clock = Clock::start();
        let mut before = clock.now();
        clock.offset.fetch_add(SLEW_MAX * 3, Ordering::Relaxed);
        for _ in 0..1_000 {
            clock.slew();
            let now = clock.now();
            assert!(now >= before);
            before = now;
        }
    }

    #[test]
    fn a_clock_set_forward_is_followed_at_once() {
        let clock = Clock::start();
        clock.offset.fetch_sub(2 * STEP, Ordering::Relaxed);
        clock.slew();
        assert!((clock.now().micros() - system()).abs() < STEP / 2);
    }
}
