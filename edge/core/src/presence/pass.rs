//! One tag's pass through a portal: which way it went, if it went.
//!
//! Each antenna visit is a *look*: a level in dB above the noise, zero when it heard nothing. Three things vote:
//!
//! 1. **Begin and end.** A two-state filter (outer, inner) over the difference of the two sides' levels keeps the joint
//!    probability of where the pass began and where the tag is now. A stop in the doorway costs it nothing.
//! 2. **Tilt.** The levels' slopes over the whole pass: the inner side's rises and the outer's falls on the way in.
//! 3. **Lag.** How much later the inner side's centroid of power lies than the outer's.
//!
//! First or last seen alone decides nothing: on recorded walks that is right in 66 and 78 of 100, slopes in 97.

use stowage_base::{Duration, Timestamp};

/// A pass is over after this silence …
pub(super) const SILENCE: Duration = Duration::from_millis(1_500);
/// … or after this time.
const LENGTH_MAX: Duration = Duration::from_secs(30);
/// Times further ahead of the clock than this are nonsense.
const AHEAD_MAX: Duration = Duration::from_secs(5);
/// A silent look means something while the tag was heard within this time.
const HEARING: Duration = Duration::from_millis(600);
/// A side's level is known for this long after its last look, s.
const LEVEL_AGE: f32 = 1.0;
/// Smoothing of a side's level, s.
const SMOOTH: f32 = 0.15;
/// Time in which fading changes: half a wavelength at 1 m/s, s. Looks closer together share their weight.
const FADE: f32 = 0.16;
/// Level zero, dBm.
const FLOOR_DBM: f32 = -75.0;
/// Differences of level below `.0` dB mean nothing, above `.1` no more.
const DIFFERENCE: (f32, f32) = (2.0, 10.0);
/// Nats for each dB of difference.
const NATS_PER_DB: f32 = 0.12;
/// Chance of changing sides, per second.
const CROSSING: f32 = 0.3;
/// Weight of the committed zone in the belief about where the pass began.
const PRIOR: f32 = 0.98;
/// No hypothesis falls below this.
const LEAST: f32 = 1e-6;
/// Tilt that makes a nat, dB.
const TILT_DB: f32 = 4.0;
/// Nats of a lag as long as the pass.
const LAG_NATS: f32 = 6.0;
/// Most nats of tilt, and of lag.
const VOTE_MAX: f32 = 3.0;
/// Nats that tilt and lag together must bring before they speak for a crossing.
const HURDLE: f32 = 2.0;
/// How far the level must rise and fall again for a visit to a portal to be one, dB; a tag at rest stays within it.
const SWING_DB: f32 = 8.0;
/// A tag is past the doorway when its level has fallen this far from the peak on that side, dB …
const PAST_DB: f32 = 6.0;
/// … or when that side's level has been ahead by so many dB …
const CLEAR_DB: f32 = 4.0;
/// … for this long.
const CLEAR_FOR: Duration = Duration::from_secs(2);

/// A side of a doorway; also an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Outer = 0,
    Inner = 1,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Outer => Self::Inner,
            Self::Inner => Self::Outer,
        }
    }
}

/// What a pass looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// Through the doorway to this side.
    To(Side),
    /// Came, and went back: both sides looked, so it would have been noticed on the other.
    Turned,
    /// Nothing that moved.
    Static,
}

/// What the antennas of one side have heard.
#[derive(Debug, Clone, Copy, Default)]
struct Track {
    /// Smoothed level, dB, and when it was last looked at.
    level: f32,
    looked_at: Option<Timestamp>,
    /// Highest smoothed level, when, and by which antenna.
    peak: f32,
    peak_at: Timestamp,
    peak_point: u16,
    heard: u32,
    // Sums over the looks: of 1, t, t², level, level·t, and of the weights and weight·t, the weight being level².
    n: f32,
    t: f32,
    tt: f32,
    l: f32,
    lt: f32,
    w: f32,
    wt: f32,
}

impl Track {
    /// Change of level per second over all looks.
    fn slope(&self) -> f32 {
        let spread = self.n * self.tt - self.t * self.t;
        if self.n < 3.0 || spread < 1e-3 { 0.0 } else { (self.n * self.lt - self.l * self.t) / spread }
    }
}

/// A tag in a portal, from its first read to the silence after the last.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    /// The tag's record; [`super::tags::NONE`] once it is forgotten.
    pub(super) tag: u32,
    /// Next of the tag's open passes.
    pub(super) next: u32,
    pub(super) portal: u16,
    pub(super) opened: Timestamp,
    pub(super) last: Timestamp,
    pub(super) reads: u32,
    /// Looks that heard the tag.
    pub(super) visits: u32,
    /// Where it has moved the tag.
    pub(super) moved: Option<Side>,
    tracks: [Track; 2],
    /// Probability of `[began there][is here]`.
    joint: [[f32; 2]; 2],
    stepped: Timestamp,
    /// The side whose level is clearly ahead, and since when.
    clear: Option<(Side, Timestamp)>,
    // Smoothed level of the stronger side: at first, lowest, highest, last heard.
    first: f32,
    low: f32,
    high: f32,
    level: f32,
}

impl Pass {
    pub(super) fn new(tag: u32, next: u32, portal: u16, at: Timestamp, committed: Option<Side>) -> Self {
        let outer = match committed {
            None => 0.5,
            Some(Side::Outer) => PRIOR,
            Some(Side::Inner) => 1.0 - PRIOR,
        };
        Self {
            tag,
            next,
            portal,
            opened: at,
            last: at,
            reads: 0,
            visits: 0,
            moved: None,
            tracks: [Track::default(); 2],
            joint: [[outer, LEAST], [LEAST, 1.0 - outer]],
            stepped: at,
            clear: None,
            first: 0.0,
            low: 0.0,
            high: 0.0,
            level: 0.0,
        }
    }

    /// The tag was read.
    pub(super) fn read(&mut self, at: Timestamp, replies: u16) {
        self.reads = self.reads.saturating_add(u32::from(replies));
        self.last = self.last.max(at);
    }

    /// When it will be over if nothing more is heard.
    pub(super) fn deadline(&self) -> Timestamp {
        (self.last + SILENCE).min(self.opened + LENGTH_MAX)
    }

    pub(super) fn over(&self, now: Timestamp) -> bool {
        self.deadline() <= now || self.last - now > AHEAD_MAX
    }

    /// An antenna looked: `rssi_cdbm` is the strongest reply, `None` if it heard nothing; `healthy` if that means
    /// anything. `side` is `None` for an antenna that looks straight down the doorway.
    pub(super) fn look(
        &mut self,
        at: Timestamp,
        point: u16,
        side: Option<Side>,
        rssi_cdbm: Option<i16>,
        healthy: bool,
    ) {
        let level = match rssi_cdbm {
            Some(rssi) => (f32::from(rssi) / 100.0 - FLOOR_DBM).clamp(1.0, 50.0),
            None => 0.0,
        };
        if rssi_cdbm.is_some() {
            self.visits = self.visits.saturating_add(1);
        } else {
            // A sick antenna's silence counts only if it has shown that it hears this tag.
            let hears = side.is_some_and(|side| self.tracks[side as usize].heard > 0);
            if !(healthy || hears) || at.since(self.last) > HEARING {
                return;
            }
        }
        let Some(side) = side else { return };
        let t = seconds(at.since(self.opened));
        let track = &mut self.tracks[side as usize];
        let gain = track.looked_at.map_or(1.0, |before| {
            let gap = seconds(at.since(before));
            gap / (gap + SMOOTH)
        });
        track.level += (level - track.level) * gain;
        track.looked_at = Some(track.looked_at.map_or(at, |before| before.max(at)));
        let weight = level * level;
        track.n += 1.0;
        track.t += t;
        track.tt += t * t;
        track.l += level;
        track.lt += level * t;
        track.w += weight;
        track.wt += weight * t;
        if rssi_cdbm.is_some() {
            track.heard = track.heard.saturating_add(1);
            if track.level > track.peak {
                (track.peak, track.peak_at, track.peak_point) = (track.level, at, point);
            }
            self.level = self.tracks[0].level.max(self.tracks[1].level);
            if self.visits == 1 {
                (self.first, self.low) = (self.level, self.level);
            }
            self.low = self.low.min(self.level);
            self.high = self.high.max(self.level);
        }
        self.step(at);
    }

    /// Moves the joint probability on by what the levels now say.
    fn step(&mut self, at: Timestamp) {
        let [Some(outer), Some(inner)] = self.tracks.map(|track| track.looked_at) else { return };
        let dt = seconds(at.since(self.stepped));
        self.stepped = self.stepped.max(at);
        let aged = seconds(at.since(outer)).max(seconds(at.since(inner))) > LEVEL_AGE;
        let difference = if aged { 0.0 } else { self.tracks[1].level - self.tracks[0].level };
        let beyond = (difference.abs() - DIFFERENCE.0).clamp(0.0, DIFFERENCE.1 - DIFFERENCE.0);
        let nats = NATS_PER_DB * beyond * (dt / FADE).min(1.0);
        // e^nats by its Padé approximant, near enough below 1 nat.
        let odds = (1.0 + nats / 2.0) / (1.0 - nats / 2.0);
        let favour = if difference < 0.0 { [odds, 1.0] } else { [1.0, odds] };
        let ahead = if difference < 0.0 { Side::Outer } else { Side::Inner };
        self.clear = match self.clear {
            _ if difference.abs() < CLEAR_DB => None,
            Some((side, since)) if side == ahead => Some((side, since)),
            _ => Some((ahead, at)),
        };
        let cross = (CROSSING * dt).min(0.3);
        for here in &mut self.joint {
            let [outer, inner] = *here;
            *here = [
                (outer * (1.0 - cross) + inner * cross) * favour[0],
                (inner * (1.0 - cross) + outer * cross) * favour[1],
            ];
        }
        let total: f32 = self.joint.iter().flatten().sum();
        self.joint.iter_mut().flatten().for_each(|share| *share = (*share / total).max(LEAST));
    }

    /// The side on which the tag now is, more likely than not.
    fn here(&self) -> Side {
        let [[oo, oi], [io, ii]] = self.joint;
        if oo + io > oi + ii { Side::Outer } else { Side::Inner }
    }

    /// Whether the tag is likelier on the other side than where it began, or the pass has moved it: then it may be time
    /// to decide.
    pub(super) fn crossed(&self) -> bool {
        self.moved.is_some() || self.joint[0][1] + self.joint[1][0] > 0.5
    }

    /// Which way it went so far, with its probability in per mille.
    pub(super) fn course(&self) -> (Course, u16) {
        let vote = self.vote();
        let inwards = self.joint[0][1] * libm::expf(vote - HURDLE);
        let outwards = self.joint[1][0] * libm::expf(-vote - HURDLE);
        let stays = self.joint[0][0] + self.joint[1][1];
        let total = inwards + outwards + stays;
        let (course, share) = if inwards > outwards.max(stays) {
            (Course::To(Side::Inner), inwards)
        } else if outwards > stays {
            (Course::To(Side::Outer), outwards)
        } else if self.swung() && self.tracks.iter().all(|track| track.looked_at.is_some()) {
            (Course::Turned, stays)
        } else {
            (Course::Static, stays)
        };
        (course, (1000.0 * share / total) as u16)
    }

    /// Whether the tag came near and went away again.
    fn swung(&self) -> bool {
        self.high - self.first >= SWING_DB && self.high - self.level >= SWING_DB
    }

    /// Nats of tilt and lag: positive inwards.
    fn vote(&self) -> f32 {
        let [outer, inner] = &self.tracks;
        let length = seconds(self.last.since(self.opened)).max(0.1);
        let tilt = length * (inner.slope() - outer.slope()) / 2.0;
        let lag = match outer.w > 0.0 && inner.w > 0.0 {
            true => (inner.wt / inner.w - outer.wt / outer.w) / length,
            false => 0.0,
        };
        (tilt / TILT_DB).clamp(-VOTE_MAX, VOTE_MAX) + (LAG_NATS * lag).clamp(-VOTE_MAX, VOTE_MAX)
    }

    /// On which side it began, more likely than not.
    pub(super) fn began(&self) -> Side {
        let [[oo, oi], [io, ii]] = self.joint;
        if oo + oi > io + ii { Side::Outer } else { Side::Inner }
    }

    /// Whether the tag is well on `side`, not merely in the doorway: so that it needn't wait for the silence.
    pub(super) fn past(&self, at: Timestamp, side: Side) -> bool {
        let (ahead, behind) = (&self.tracks[side as usize], &self.tracks[side.other() as usize]);
        let leaving = ahead.level > behind.level && ahead.peak - ahead.level >= PAST_DB;
        let settled = self.clear.is_some_and(|(ahead, since)| ahead == side && at.since(since) >= CLEAR_FOR);
        self.here() == side && (leaving || settled)
    }

    /// Whether the level has stayed as it does for a tag at rest.
    pub(super) fn steady(&self) -> bool {
        self.high - self.low <= SWING_DB
    }

    /// For each side, outer first: the antenna that heard it strongest, and when.
    pub(super) fn peaks(&self) -> [Option<(u16, Timestamp)>; 2] {
        self.tracks.map(|track| (track.heard > 0).then_some((track.peak_point, track.peak_at)))
    }
}

fn seconds(span: Duration) -> f32 {
    span.millis() as f32 / 1000.0
}
