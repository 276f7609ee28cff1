//! Draws. Every stream of events has its own, so that a change of one leaves the others as they were.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use stowage_base::Duration;

/// One stream of draws from a run's seed.
#[derive(Debug)]
pub(super) struct Chance(ChaCha8Rng);

impl Chance {
    /// The stream that `what` names: a sort of events, and which of them.
    pub(super) fn new(seed: u64, what: [u64; 2]) -> Self {
        let mut key = *b"stowage harness of a run        ";
        for (octets, part) in key[8..].chunks_exact_mut(8).zip([seed, what[0], what[1]]) {
            octets.copy_from_slice(&part.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// 0 to below `limit`; 0 if that is 0.
    pub(super) fn below(&mut self, limit: u32) -> u32 {
        // A 32-bit draw times a 32-bit limit: the upper half is even enough for any load.
        ((u64::from(self.0.next_u32()) * u64::from(limit)) >> 32) as u32
    }

    /// True so many times of a thousand.
    pub(super) fn permille(&mut self, share: u32) -> bool {
        self.below(1_000) < share
    }

    /// From nothing to `most`.
    pub(super) fn span(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.micros()).unwrap_or(0);
        Duration::from_micros((self.0.next_u64() % (most + 1)) as i64)
    }

    /// The time to the next of events that come at random, `per_hour` on average; `None`: never.
    pub(super) fn gap(&mut self, per_hour: u32) -> Option<Duration> {
        let uniform = (f64::from(self.0.next_u32()) + 1.0) / 4_294_967_296.0;
        let hours = -libm::log(uniform) / f64::from(per_hour);
        (per_hour > 0).then(|| Duration::from_micros((hours * 3_600e6) as i64))
    }

    /// One of them.
    pub(super) fn pick<T>(&mut self, from: &[T]) -> Option<usize> {
        (!from.is_empty()).then(|| self.below(from.len() as u32) as usize)
    }

    /// Octets that were not there before.
    pub(super) fn octets(&mut self) -> [u8; 16] {
        let mut octets = [0; 16];
        self.0.fill_bytes(&mut octets);
        octets
    }
}
