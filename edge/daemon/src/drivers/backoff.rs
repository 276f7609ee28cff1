//! How long to wait before a device is tried again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const MOST: Duration = Duration::from_secs(10);

/// Waits that double from 0.2 s to 10 s, each shortened by up to a quarter so that many devices don't return at once.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// It works: the next failure starts anew.
    pub(super) const fn reset(&mut self) {
        self.next = FIRST;
    }

    pub(super) fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(MOST);
        let mut octet = [0];
        // Without randomness there is no jitter; nothing depends on it.
        let _ = getrandom::fill(&mut octet);
        wait - wait * u32::from(octet[0]) / 1_024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_start_anew() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..10).map(|_| backoff.wait()).collect();
        assert!(waits[0] <= FIRST && waits[0] >= FIRST * 3 / 4);
        assert!(waits[9] <= MOST && waits[9] >= MOST * 3 / 4);
        backoff.reset();
        assert!(backoff.wait() <= FIRST);
    }
}
