//! What is believed about one tag's zone: a few candidates with log-probabilities, moved by antenna visits.
//!
//! All is plain `f32` arithmetic between values kept in steps of 1/2048 nat, so that debug, release and ARM agree;
//! only [`Belief::shares`] needs an exponential.

use crate::site::ZoneIx;

/// Most zones that a tag may be thought to be in.
const CANDIDATES: usize = 6;
/// No candidate falls further below the best, in nats: so the truth can come back.
const DEPTH: f32 = 7.0;
/// Where a zone starts, against the best, in nats: for a tag never seen; within a way's reach; behind walls.
const ENTRY: [f32; 3] = [-3.0, -6.0, -6.8];
/// What silence can take from a zone at most, in nats, and the healthy visits that take half of it.
const SILENCE: (f32, f32) = (1.5, 10.0);
/// Steps of a zone's exposure (2^17 µs) in one full visit (2 s).
const EXPOSURE: f32 = 2_000_000.0 / 131_072.0;

/// Nats in steps of 1/2048, from −16 to 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Nats(i16);

impl Nats {
    const ZERO: Self = Self(0);
    const STEPS: f32 = 2048.0;

    fn new(nats: f32) -> Self {
        // The cast saturates.
        Self(libm::roundf(nats * Self::STEPS) as i16)
    }

    fn get(self) -> f32 {
        f32::from(self.0) / Self::STEPS
    }
}

/// Twelve octets: a million tags have six each.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// The zone's exposure when one of its antennas last heard the tag.
    exposure: u32,
    zone: ZoneIx,
    /// Visits that spoke for it.
    visits: u16,
    /// Log-probability relative to the others.
    log: Nats,
    /// What silence has taken since then; not positive.
    silence: Nats,
}

impl Candidate {
    fn new(zone: ZoneIx, log: f32, exposure: u32) -> Self {
        Self { exposure, zone, visits: 0, log: Nats::new(log), silence: Nats::ZERO }
    }
}

/// How near a zone is to the committed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The tag has no zone yet.
    Unknown = 0,
    /// A passage or a portal joins them.
    Linked = 1,
    /// Walls are between.
    Walled = 2,
}

/// The candidates.
#[derive(Debug, Clone)]
pub(super) struct Belief {
    candidates: [Candidate; CANDIDATES],
    len: u8,
    /// Log-probability of all other zones.
    other: Nats,
}

impl Belief {
    /// Of a tag never seen.
    pub(super) const UNKNOWN: Self = Self {
        candidates: [Candidate { exposure: 0, zone: ZoneIx(u16::MAX), visits: 0, log: Nats::ZERO, silence: Nats::ZERO };
            CANDIDATES],
        len: 0,
        other: Nats::ZERO,
    };

    /// Starts anew: in `zone`, and as far as `doubt` (nats below) goes, in `from`. `exposure` tells a zone's own.
    pub(super) fn restart(&mut self, zone: ZoneIx, from: Option<ZoneIx>, doubt: f32, exposure: impl Fn(ZoneIx) -> u32) {
        *self = Self { other: Nats::new(-DEPTH), ..Self::UNKNOWN };
        let before = from.filter(|&from| from != zone).map(|from| (from, doubt.max(-DEPTH)));
        for (at, (zone, log)) in [(zone, 0.0)].into_iter().chain(before).enumerate() {
            self.candidates[at] = Candidate::new(zone, log, exposure(zone));
            self.len = at as u8 + 1;
        }
    }

    /// An antenna looking into `zone` has heard the tag: `nats` speak for the zone. Zones whose antennas looked
    /// without hearing it lose a little.
    pub(super) fn heard(&mut self, zone: ZoneIx, nats: f32, reach: Reach, exposure: impl Fn(ZoneIx) -> u32) {
        for candidate in &mut self.candidates[..usize::from(self.len)] {
            if candidate.zone != zone {
                let looked = exposure(candidate.zone).wrapping_sub(candidate.exposure) as f32 / EXPOSURE;
                let silence = -SILENCE.0 * looked / (looked + SILENCE.1);
                candidate.log = Nats::new(candidate.log.get() + silence - candidate.silence.get());
                candidate.silence = Nats::new(silence);
            }
        }
        let at = match self.candidates[..usize::from(self.len)].iter().position(|known| known.zone == zone) {
            Some(at) => at,
            None if nats > 0.0 => self.enter(zone, reach),
            None => return,
        };
        let candidate = &mut self.candidates[at];
        // Being heard also pays back what silence took.
        candidate.log = Nats::new(candidate.log.get() + nats - candidate.silence.get());
        (candidate.exposure, candidate.silence) = (exposure(zone), Nats::ZERO);
        if nats > 0.0 {
            candidate.visits = candidate.visits.saturating_add(1);
        }
        self.settle();
    }

    /// A new candidate, in the place of the least likely if there is no room.
    fn enter(&mut self, zone: ZoneIx, reach: Reach) -> usize {
        let best = self.candidates[..usize::from(self.len)].iter().fold(self.other, |best, known| best.max(known.log));
        let at = if usize::from(self.len) < CANDIDATES {
            self.len += 1;
            usize::from(self.len) - 1
        } else {
            let least = |a: &usize, b: &usize| self.candidates[*a].log.cmp(&self.candidates[*b].log);
            (0..CANDIDATES).min_by(least).unwrap_or(0)
        };
        self.candidates[at] = Candidate::new(zone, best.get() + ENTRY[reach as usize], 0);
        at
    }

    /// Makes the best 0, and nothing lower than the depth.
    fn settle(&mut self) {
        let known = &mut self.candidates[..usize::from(self.len)];
        let best = known.iter().fold(self.other, |best, candidate| best.max(candidate.log));
        for candidate in known {
            let log = candidate.log.get() - best.get();
            candidate.log = Nats::new(log.max(-DEPTH));
            if log < -DEPTH {
                // What spoke for it has been outweighed.
                candidate.visits = 0;
            }
        }
        self.other = Nats::new((self.other.get() - best.get()).max(-DEPTH));
    }

    /// The likeliest zone, unless "any other" is likelier.
    pub(super) fn leader(&self) -> Option<ZoneIx> {
        let known = &self.candidates[..usize::from(self.len)];
        let best = known.iter().max_by(|a, b| a.log.cmp(&b.log))?;
        (best.log > self.other).then_some(best.zone)
    }

    /// Visits that spoke for `zone` since the belief started anew.
    pub(super) fn visits(&self, zone: ZoneIx) -> u16 {
        self.candidates[..usize::from(self.len)].iter().find(|known| known.zone == zone).map_or(0, |known| known.visits)
    }

    /// Whether the zone's own antennas have heard the tag lately, as far as they looked.
    pub(super) fn fresh(&self, zone: ZoneIx) -> bool {
        let known = self.candidates[..usize::from(self.len)].iter().find(|known| known.zone == zone);
        known.is_some_and(|known| known.visits > 0 && known.silence.get() > -SILENCE.0 / 3.0)
    }

    /// The zones with their probabilities in per mille, likeliest first; those that round to 0 are left out.
    pub(super) fn shares(&self) -> impl Iterator<Item = (ZoneIx, u16)> {
        let mut known = self.candidates;
        let len = usize::from(self.len);
        known[..len].sort_unstable_by(|a, b| b.log.cmp(&a.log).then(a.zone.cmp(&b.zone)));
        let total =
            known[..len].iter().fold(libm::expf(self.other.get()), |sum, known| sum + libm::expf(known.log.get()));
        let share = move |known: Candidate| (known.zone, (libm::expf(known.log.get()) * 1000.0 / total) as u16);
        known.into_iter().take(len).map(share).filter(|(_, permille)| *permille > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_are_sorted_and_at_most_a_thousand(
            evidence in prop::collection::vec((0u16..12, -1.0f32..4.0, 0u32..2000), 0..200),
        ) {
            let mut belief = Belief::UNKNOWN;
            for (zone, nats, exposure) in evidence {
                belief.heard(ZoneIx(zone), nats, Reach::Linked, |_| exposure);
                let shares: Vec<_> = belief.shares().collect();
                prop_assert!(shares.is_sorted_by(|a, b| a.1 >= b.1));
                prop_assert!(shares.iter().map(|share| u32::from(share.1)).sum::<u32>() <= 1000);
            }
        }
    }

    #[test]
    fn silence_alone_is_weak_and_one_hearing_pays_it_back() {
        let (a, b) = (ZoneIx(0), ZoneIx(1));
        let mut belief = Belief::UNKNOWN;
        belief.restart(a, None, 0.0, |_| 0);
        belief.heard(b, 0.01, Reach::Linked, |_| 1_000_000);
        assert_eq!(belief.leader(), Some(a), "a million silent visits don't move it");
        let doubted = belief.shares().next().expect("a").1;
        belief.heard(a, 0.0, Reach::Linked, |_| 1_000_000);
        assert!(belief.shares().next().expect("a").1 > doubted);
    }

    #[test]
    fn the_truth_comes_back_after_any_amount_of_wrong_evidence() {
        let (a, b) = (ZoneIx(0), ZoneIx(1));
        let mut belief = Belief::UNKNOWN;
        belief.restart(a, None, 0.0, |_| 0);
        (0..1000).for_each(|_| belief.heard(b, 3.0, Reach::Walled, |_| 0));
        (0..4).for_each(|_| belief.heard(a, 3.0, Reach::Linked, |_| 0));
        assert_eq!(belief.leader(), Some(a));
    }
}
