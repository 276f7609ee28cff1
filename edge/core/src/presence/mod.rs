//! Where every tag is, from noisy reads: the zone filter with visits.
//!
//! The unit of evidence is an antenna's *visit*, not a read: reads within a visit, and visits close together, repeat
//! each other and are weighed as one. [`Presence::read`] only notes the strongest reply; [`Presence::visit`] folds what
//! the antenna heard, and what it did not hear, into each tag's belief. At a portal, a pass per tag (`pass`) tells
//! way in, way out, turning back and lying near. A change of zone is decided once the belief passes the site's
//! threshold on at least two visits; until then presence stays uncertain and says nothing.
//!
//! Never reads a clock, never grows past the settings' bound, and allocates nothing for reads and visits in steady
//! state; a decision allocates its reason.

mod belief;
mod pass;
mod tags;
#[cfg(test)]
mod tests;

use crate::site::{PortalIx, PresenceSettings, ReadPointIx, Site, ZoneIx};
use belief::Reach;
use pass::{Course, Pass, SILENCE, Side};
use std::collections::VecDeque;
use stowage_base::{Code, Duration, Epc, TagRead, Timestamp, Visit};
use tags::{Heard, NONE, Room, Tags};

/// What presence has concluded about a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The tag.
    pub epc: Epc,
    /// When the last read behind it was heard.
    pub at: Timestamp,
    /// What it concluded.
    pub outcome: Outcome,
    /// Probability of the zone concluded, per mille.
    pub confidence: u16,
    /// The next likely zone, with its probability in per mille.
    pub runner_up: Option<(ZoneIx, u16)>,
    /// Antenna visits behind it.
    pub visits: u32,
    /// Why, in a sentence.
    pub reason: String,
}

/// Moved, or looked as if.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It changed its zone.
    Moved {
        /// Zone before, if known.
        from: Option<ZoneIx>,
        /// Zone now.
        to: ZoneIx,
        /// The portal that it passed, if one saw it pass.
        portal: Option<PortalIx>,
    },
    /// It came to a portal and turned back.
    TurnedBack {
        /// The portal.
        portal: PortalIx,
        /// Where it stays.
        zone: ZoneIx,
    },
}

/// What is believed about a tag now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posterior {
    /// The zone last decided on or told, if any.
    pub committed: Option<ZoneIx>,
    /// Zones with their probabilities in per mille, likeliest first. What is missing to 1000 lies in other zones.
    pub candidates: Vec<(ZoneIx, u16)>,
    /// When an antenna last heard it; `None` if only the book or a person has told of it.
    pub last_seen: Option<Timestamp>,
}

/// What goes on in a portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalLive {
    /// Tags that its antennas hear now, those lying near included.
    pub open: u32,
    /// The first [`LIVE_MAX`] of these.
    pub tags: Vec<LiveTag>,
    /// Its last decisions, newest first, at most [`LAST_MAX`].
    pub last: Vec<Passed>,
}

/// Most tags in a [`PortalLive`].
pub const LIVE_MAX: usize = 64;

/// Most decisions in a [`PortalLive`].
pub const LAST_MAX: usize = 16;

/// A tag in a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveTag {
    /// The tag.
    pub epc: Epc,
    /// When it was first heard in this pass.
    pub since: Timestamp,
    /// Replies in this pass.
    pub reads: u32,
    /// Its signal changes as that of a moving tag does.
    pub moving: bool,
}

/// A decision of a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// The tag.
    pub epc: Epc,
    /// When it was last heard.
    pub at: Timestamp,
    /// What was decided.
    pub outcome: Outcome,
    /// Probability, per mille.
    pub confidence: u16,
}

/// What presence has seen since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Replies of tags.
    pub reads: u64,
    /// Antenna visits.
    pub visits: u64,
    /// Tags remembered now.
    pub tags: u32,
    /// Tags in open passes now, counted once for each portal.
    pub passes: u32,
    /// Tags forgotten to make room.
    pub forgotten: u64,
    /// Replies that were not kept: all that could make room is placed by the book.
    pub refused: u64,
    /// Replies and visits of read points that the site doesn't have.
    pub unknown_points: u64,
    /// Replies whose evidence was left out: too many antennas at once hear the tag, or too many passes are open.
    pub crowded: u64,
    /// Decisions.
    pub decisions: u64,
}

/// Most passes open at once.
const PASSES_MAX: usize = 1 << 14;
/// Time in which an antenna's evidence on a tag renews itself: visits closer together share their weight.
const RENEWAL: Duration = Duration::from_secs(2);
/// A reply this strong, dBm, begins to speak for the antenna's zone …
const NEAR_DBM: f32 = -66.0;
/// … with so many nats for each further dB …
const NATS_PER_DB: f32 = 0.2;
/// … at most so many …
const NATS_MAX: f32 = 4.0;
/// … and at least so many for an antenna that looks only into that zone.
const NATS_MIN: f32 = 0.3;
/// Weight of a portal's antenna as one of the zone that it looks into: it hears the other side as well.
const PORTAL_WEIGHT: f32 = 0.25;
/// What a rival must be ahead by, in nats, while the committed zone hears the tag too. So a tag at rest stays put.
const INCUMBENT: f32 = 0.8;
/// Tags whose records are drawn into the cache together.
const DRAWN: usize = 16;
/// Least visits behind a decision.
const VISITS_MIN: u32 = 2;

/// The presence of all tags of a site.
///
/// Feed it all reads and visits in the order in which they come; call [`tick`](Self::tick) at or after
/// [`next_deadline`](Self::next_deadline). The same calls give the same decisions. The moves of a tag chain: each
/// starts from the zone of the one before, or of the last [`place`](Self::place).
#[derive(Debug)]
pub struct Presence {
    settings: PresenceSettings,
    points: Vec<Point>,
    zones: Vec<ZoneState>,
    portals: Vec<Doorway>,
    /// Pairs of zones that a way joins, in both orders, sorted.
    ways: Vec<(ZoneIx, ZoneIx)>,
    tags: Tags,
    passes: Vec<Pass>,
    passes_free: Vec<u32>,
    /// No pass is over before.
    due: Timestamp,
    /// The latest time told: a clock that goes back is not followed.
    now: Timestamp,
    counters: Counters,
}

#[derive(Debug)]
struct Point {
    zone: ZoneIx,
    portal: Option<(PortalIx, Option<Side>)>,
    /// Port on the reader, for people.
    antenna: u16,
    /// Records with evidence since the last visit, each once.
    heard: Vec<u32>,
    visited: Timestamp,
}

#[derive(Debug)]
struct ZoneState {
    code: Code,
    committed: u32,
    /// Antennas that look into it and belong to no portal.
    antennas: i64,
    /// Time for which those antennas have looked in good health, µs; each visit counts for the time since the one
    /// before, at most [`RENEWAL`].
    looked_us: u64,
}

impl ZoneState {
    /// The time looked, in steps for [`belief`].
    fn exposure(&self) -> u32 {
        (self.looked_us >> 17) as u32
    }
}

#[derive(Debug)]
struct Doorway {
    code: Code,
    sides: [ZoneIx; 2],
    open: Vec<u32>,
    last: VecDeque<Passed>,
}

impl Presence {
    /// Presence that has seen nothing yet.
    pub fn new(site: &Site) -> Self {
        let points = site.read_points.iter().map(|point| Point {
            zone: point.zone,
            portal: point.portal.map(|(portal, x_mm)| {
                (
                    portal,
                    if x_mm < 0 {
                        Some(Side::Outer)
                    } else if x_mm > 0 {
                        Some(Side::Inner)
                    } else {
                        None
                    },
                )
            }),
            antenna: point.antenna,
            heard: Vec::new(),
            visited: Timestamp::EPOCH,
        });
        let inside = |zone| site.read_points.iter().filter(|at| at.portal.is_none() && at.zone == zone).count() as i64;
        let zones = site.zones.iter().enumerate().map(|(at, zone)| ZoneState {
            code: zone.code.clone(),
            committed: 0,
            antennas: inside(ZoneIx(at as u16)),
            looked_us: 0,
        });
        let portals = site.portals.iter().map(|portal| Doorway {
            code: portal.code.clone(),
            sides: [portal.outer, portal.inner],
            open: Vec::new(),
            last: VecDeque::with_capacity(LAST_MAX),
        });
        let one_way =
            site.passages.iter().copied().chain(site.portals.iter().map(|portal| (portal.outer, portal.inner)));
        let mut ways: Vec<_> = one_way.flat_map(|(a, b)| [(a, b), (b, a)]).collect();
        ways.sort_unstable();
        Self {
            settings: site.presence,
            points: points.collect(),
            zones: zones.collect(),
            portals: portals.collect(),
            ways,
            tags: Tags::new(site.presence.tags_max),
            passes: Vec::new(),
            passes_free: Vec::new(),
            due: Timestamp::MAX,
            now: Timestamp::EPOCH,
            counters: Counters::default(),
        }
    }

    /// A tag was read by the antenna `point`. On the hot path: one record is touched, nothing is allocated once tables
    /// have their size, nothing is concluded before the visit ends.
    pub fn read(&mut self, point: ReadPointIx, read: &TagRead) {
        let replies = read.count.max(1);
        let Some(antenna) = self.points.get_mut(usize::from(point.0)) else {
            self.counters.unknown_points += u64::from(replies);
            return;
        };
        self.counters.reads += u64::from(replies);
        let slot = match self.tags.find(&read.epc) {
            Some(slot) => slot,
            None => match admit(&mut self.tags, &mut self.passes, &mut self.zones, &mut self.counters, &read.epc) {
                Some(slot) => slot,
                None => {
                    self.counters.refused += u64::from(replies);
                    return;
                }
            },
        };
        self.tags.touch(slot);
        let tag = self.tags.get_mut(slot);
        tag.last_seen = tag.last_seen.max(read.at);
        match tag.hear(point.0, read.at, read.rssi_cdbm, replies) {
            Heard::First => antenna.heard.push(slot),
            Heard::Again => {}
            Heard::Crowded => self.counters.crowded += u64::from(replies),
        }
        if let Some((portal, _)) = antenna.portal {
            self.read_in_portal(portal, slot, read.at, replies);
        }
    }

    fn read_in_portal(&mut self, portal: PortalIx, slot: u32, at: Timestamp, replies: u16) {
        if let Some(id) = self.pass_of(slot, portal) {
            self.passes[id as usize].read(at, replies);
            return;
        }
        let Some(doorway) = self.portals.get_mut(usize::from(portal.0)) else { return };
        let tag = self.tags.get_mut(slot);
        let side = tag.committed().and_then(|zone| match doorway.sides {
            [outer, _] if outer == zone => Some(Side::Outer),
            [_, inner] if inner == zone => Some(Side::Inner),
            _ => None,
        });
        let mut pass = Pass::new(slot, tag.pass, portal.0, at, side);
        pass.read(at, replies);
        self.due = self.due.min(pass.deadline());
        let id = match self.passes_free.pop() {
            Some(id) => {
                self.passes[id as usize] = pass;
                id
            }
            None if self.passes.len() < PASSES_MAX => {
                self.passes.push(pass);
                self.passes.len() as u32 - 1
            }
            None => {
                self.counters.crowded += u64::from(replies);
                return;
            }
        };
        tag.pass = id;
        doorway.open.push(id);
        self.counters.passes += 1;
    }

    fn pass_of(&self, slot: u32, portal: PortalIx) -> Option<u32> {
        let mut id = self.tags.get(slot).pass;
        while id != NONE {
            let pass = &self.passes[id as usize];
            if pass.portal == portal.0 {
                return Some(id);
            }
            id = pass.next;
        }
        None
    }

    /// The visit of the antenna `point` is over: folds what it heard, and if it was healthy what it did not hear, into
    /// the tags concerned. Decisions go to `out`.
    pub fn visit(&mut self, now: Timestamp, point: ReadPointIx, visit: &Visit, out: &mut Vec<Decision>) {
        let Some(antenna) = self.points.get_mut(usize::from(point.0)) else {
            self.counters.unknown_points += 1;
            return;
        };
        self.counters.visits += 1;
        self.now = self.now.max(now);
        let since_last = visit.end.since(antenna.visited).micros().min(RENEWAL.micros());
        antenna.visited = antenna.visited.max(visit.end);
        let mut heard = std::mem::take(&mut antenna.heard);
        let (zone, portal) = (antenna.zone, antenna.portal);
        match portal {
            Some((portal, side)) => self.look(point, portal, side, visit, out),
            None if visit.healthy => {
                if let Some(zone) = self.zones.get_mut(usize::from(zone.0)) {
                    zone.looked_us += (since_last / zone.antennas.max(1)) as u64;
                }
            }
            None => {}
        }
        for drawn in heard.chunks(DRAWN) {
            self.tags.draw(drawn);
            for &slot in drawn {
                self.fold(slot, point, zone, portal.map(|(portal, _)| portal), visit, out);
            }
        }
        heard.clear();
        if let Some(antenna) = self.points.get_mut(usize::from(point.0)) {
            antenna.heard = heard;
        }
    }

    /// Tells all passes open in a portal what one of its antennas heard.
    fn look(
        &mut self,
        point: ReadPointIx,
        portal: PortalIx,
        side: Option<Side>,
        visit: &Visit,
        out: &mut Vec<Decision>,
    ) {
        let middle = visit.start + Duration::from_micros(visit.end.since(visit.start).micros() / 2);
        let open = self.portals.get(usize::from(portal.0)).map_or(0, |doorway| doorway.open.len());
        for at in 0..open {
            let id = self.portals[usize::from(portal.0)].open[at];
            let pass = &mut self.passes[id as usize];
            if pass.tag != NONE {
                let rssi = self.tags.get(pass.tag).heard_by(point.0);
                pass.look(middle, point.0, side, rssi, visit.healthy);
                self.judge(id, false, out);
            }
        }
    }

    /// Folds an antenna's evidence on one tag into its belief.
    fn fold(
        &mut self,
        slot: u32,
        point: ReadPointIx,
        zone: ZoneIx,
        portal: Option<PortalIx>,
        visit: &Visit,
        out: &mut Vec<Decision>,
    ) {
        let Some(pending) = self.tags.get_mut(slot).take(point.0, visit.end) else { return };
        let dbm = f32::from(pending.rssi_max_cdbm) / 100.0;
        let strength = ((dbm - NEAR_DBM) * NATS_PER_DB).clamp(0.0, NATS_MAX);
        let mut nats = match portal {
            None => strength.max(NATS_MIN),
            Some(portal) => {
                let passes = self.pass_of(slot, portal).is_some_and(|id| !self.passes[id as usize].steady());
                if passes { 0.0 } else { strength * PORTAL_WEIGHT }
            }
        };
        let (committed, last_seen) = (self.tags.get(slot).committed(), self.tags.get(slot).last_seen);
        let belief = self.tags.belief_mut(slot);
        if nats > 0.0 && committed.is_some_and(|committed| committed != zone && belief.fresh(committed)) {
            nats -= INCUMBENT;
        }
        let renewed = pending.renewing(visit.end).micros().min(RENEWAL.micros()) as f32 / RENEWAL.micros() as f32;
        let reach = match committed {
            None if portal.is_none() => Reach::Unknown,
            None => Reach::Linked,
            Some(committed) if self.ways.binary_search(&(committed, zone)).is_ok() => Reach::Linked,
            Some(_) => Reach::Walled,
        };
        let zones = &self.zones;
        let exposure = |zone: ZoneIx| zones.get(usize::from(zone.0)).map_or(0, ZoneState::exposure);
        belief.heard(zone, nats * renewed, reach, exposure);
        // A portal's antenna may contradict a zone, but a tag never placed is first placed by passing.
        let may = portal.is_none() || committed.is_some();
        if nats <= 0.0 || !may || committed == Some(zone) || belief.leader() != Some(zone) {
            return;
        }
        let visits = u32::from(belief.visits(zone));
        let mut shares = belief.shares();
        let confidence = shares.next().map_or(0, |(_, permille)| permille);
        let runner_up = shares.next();
        drop(shares);
        if confidence < self.settings.interior_permille || visits < VISITS_MIN {
            return;
        }
        let antenna = self.points.get(usize::from(point.0)).map_or(0, |point| point.antenna);
        let code = |zone: ZoneIx| self.zones.get(usize::from(zone.0)).map_or("?", |zone| zone.code.as_str());
        let before = match committed {
            None => "never placed before".to_string(),
            Some(committed) if belief.fresh(committed) => format!("weaker in {}", code(committed)),
            Some(committed) => format!("not heard in {} meanwhile", code(committed)),
        };
        let reason = format!(
            "heard steadily in {} by antenna {antenna}, lately at {dbm:.0} dBm, {visits} visits speak for it; {before}",
            code(zone)
        );
        let outcome = Outcome::Moved { from: committed, to: zone, portal: None };
        let decision =
            Decision { epc: *self.tags.epc(slot), at: last_seen, outcome, confidence, runner_up, visits, reason };
        self.commit(slot, zone);
        self.counters.decisions += 1;
        out.push(decision);
    }

    /// Time has passed: closes the passes that are over.
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<Decision>) {
        self.now = self.now.max(now);
        if self.now < self.due {
            return;
        }
        self.due = Timestamp::MAX;
        for portal in 0..self.portals.len() {
            let mut at = 0;
            while let Some(&id) = self.portals[portal].open.get(at) {
                let pass = &self.passes[id as usize];
                if pass.tag != NONE && !pass.over(self.now) {
                    self.due = self.due.min(pass.deadline());
                    at += 1;
                    continue;
                }
                if pass.tag != NONE {
                    self.judge(id, true, out);
                    self.unlink(id);
                }
                self.portals[portal].open.swap_remove(at);
                self.passes_free.push(id);
                self.counters.passes -= 1;
            }
        }
    }

    /// Takes a pass off its tag's list.
    fn unlink(&mut self, id: u32) {
        let (slot, next) = (self.passes[id as usize].tag, self.passes[id as usize].next);
        let tag = self.tags.get_mut(slot);
        if tag.pass == id {
            tag.pass = next;
            return;
        }
        let mut before = tag.pass;
        while before != NONE {
            let pass = &mut self.passes[before as usize];
            if pass.next == id {
                pass.next = next;
            }
            before = pass.next;
        }
    }

    /// Decides on a pass, if it is clear: at its close, or before if the tag is well past the doorway.
    fn judge(&mut self, id: u32, closing: bool, out: &mut Vec<Decision>) {
        let now = self.now;
        let pass = &self.passes[id as usize];
        if pass.visits < VISITS_MIN || !(closing || pass.crossed()) {
            return;
        }
        let (course, confidence) = pass.course();
        if confidence < self.settings.portal_permille {
            return;
        }
        let portal = PortalIx(pass.portal);
        let doorway = &self.portals[usize::from(portal.0)];
        let zone = |side: Side| doorway.sides[side as usize];
        let tag = self.tags.get(pass.tag);
        let (to, turned) = match course {
            Course::To(side) if closing || pass.past(now, side) => (side, false),
            // The pass has moved the tag already, and now it is back where it began.
            Course::Turned | Course::Static if pass.moved.is_some_and(|moved| moved != pass.began()) => {
                let back = pass.began();
                if !closing && !pass.past(now, back) {
                    return;
                }
                (back, true)
            }
            Course::Turned if closing && pass.moved.is_none() && now.since(pass.last) >= SILENCE => {
                let outcome = Outcome::TurnedBack { portal, zone: tag.committed().unwrap_or(zone(pass.began())) };
                let reason = self.reason(pass, "came to", ", then turned back,");
                self.decide(id, outcome, confidence, reason, out);
                return;
            }
            Course::To(_) | Course::Turned | Course::Static => return,
        };
        if zone(Side::Outer) == zone(Side::Inner) || tag.committed() == Some(zone(to)) {
            return;
        }
        let from = tag.committed().unwrap_or(zone(to.other()));
        let outcome = Outcome::Moved { from: Some(from), to: zone(to), portal: Some(portal) };
        let reason = match (turned, to) {
            (true, Side::Outer) => self.reason(pass, "passed", ", then came back out again,"),
            (true, Side::Inner) => self.reason(pass, "passed", ", then came back in again,"),
            (false, Side::Outer) => self.reason(pass, "passed", " outwards"),
            (false, Side::Inner) => self.reason(pass, "passed", " inwards"),
        };
        let (slot, to_zone) = (pass.tag, zone(to));
        self.decide(id, outcome, confidence, reason, out);
        self.commit(slot, to_zone);
        self.passes[id as usize].moved = Some(to);
        let doubt = f32::from(1000 - confidence.min(999)) / f32::from(confidence.max(1));
        let zones = &self.zones;
        let exposure = |zone: ZoneIx| zones.get(usize::from(zone.0)).map_or(0, ZoneState::exposure);
        self.tags.belief_mut(slot).restart(to_zone, Some(from), libm::logf(doubt), exposure);
    }

    fn decide(&mut self, id: u32, outcome: Outcome, confidence: u16, reason: String, out: &mut Vec<Decision>) {
        let pass = &self.passes[id as usize];
        let epc = *self.tags.epc(pass.tag);
        let rival = match outcome {
            Outcome::Moved { from, .. } => from,
            Outcome::TurnedBack { portal, zone } => {
                self.portals[usize::from(portal.0)].sides.into_iter().find(|&side| side != zone)
            }
        };
        let runner_up = rival.map(|rival| (rival, 1000 - confidence.min(1000))).filter(|(_, permille)| *permille > 0);
        let last = &mut self.portals[usize::from(pass.portal)].last;
        last.truncate(LAST_MAX - 1);
        last.push_front(Passed { epc, at: pass.last, outcome, confidence });
        self.counters.decisions += 1;
        out.push(Decision { epc, at: pass.last, outcome, confidence, runner_up, visits: pass.visits, reason });
    }

    /// "passed DOCK-1 inwards in 2.1 s: strongest at antenna 1 (outer) first, at antenna 2 (inner) 1.2 s later; …"
    fn reason(&self, pass: &Pass, verb: &str, how: &str) -> String {
        let antenna = |point: u16| self.points.get(usize::from(point)).map_or(0, |point| point.antenna);
        let peaks = match pass.peaks() {
            [None, None] => String::new(),
            [Some((point, _)), None] => format!(": heard only at antenna {} (outer)", antenna(point)),
            [None, Some((point, _))] => format!(": heard only at antenna {} (inner)", antenna(point)),
            [Some(outer), Some(inner)] => {
                let (first, second, names) = if outer.1 <= inner.1 {
                    (outer, inner, ["outer", "inner"])
                } else {
                    (inner, outer, ["inner", "outer"])
                };
                format!(
                    ": strongest at antenna {} ({}) first, at antenna {} ({}) {} s later",
                    antenna(first.0),
                    names[0],
                    antenna(second.0),
                    names[1],
                    tenths(second.1.since(first.1))
                )
            }
        };
        let plural = |n: u32| if n == 1 { "" } else { "s" };
        format!(
            "{verb} {}{how} in {} s{peaks}; {} read{} in {} visit{}",
            self.portals[usize::from(pass.portal)].code,
            tenths(pass.last.since(pass.opened)),
            pass.reads,
            plural(pass.reads),
            pass.visits,
            plural(pass.visits)
        )
    }

    /// Writes down the tag's zone.
    fn commit(&mut self, slot: u32, zone: ZoneIx) {
        let before = self.tags.get_mut(slot).set_committed(Some(zone));
        if let Some(before) = before.and_then(|before| self.zones.get_mut(usize::from(before.0))) {
            before.committed -= 1;
        }
        if let Some(zone) = self.zones.get_mut(usize::from(zone.0)) {
            zone.committed += 1;
        }
    }

    /// When to call [`tick`](Self::tick) at the latest: the close of the next pass, or before. `None` while no pass is
    /// open.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        (self.counters.passes > 0).then_some(self.due)
    }

    /// A person or the book says that the tag is in `zone`. Belief starts anew there: evidence from before counts no
    /// more, and the tag is not forgotten until [`release`](Self::release).
    ///
    /// Ignored for a zone that the site doesn't have, and where all that could make room is placed too.
    pub fn place(&mut self, epc: &Epc, zone: ZoneIx) {
        if usize::from(zone.0) >= self.zones.len() {
            return;
        }
        let known = self.tags.find(epc);
        let admitted =
            known.or_else(|| admit(&mut self.tags, &mut self.passes, &mut self.zones, &mut self.counters, epc));
        let Some(slot) = admitted else { return };
        self.tags.set_placed(slot, true);
        // A pass that led here goes on: it may yet lead back.
        if self.tags.get(slot).committed() != Some(zone) {
            abandon(self.tags.get_mut(slot), &mut self.passes);
        }
        self.commit(slot, zone);
        let zones = &self.zones;
        let exposure = |zone: ZoneIx| zones.get(usize::from(zone.0)).map_or(0, ZoneState::exposure);
        let tag = self.tags.get_mut(slot);
        tag.drop_pending();
        self.tags.belief_mut(slot).restart(zone, None, 0.0, exposure);
    }

    /// The book holds the tag no more (shipped, destroyed): it may be forgotten like any other.
    pub fn release(&mut self, epc: &Epc) {
        if let Some(slot) = self.tags.find(epc) {
            self.tags.set_placed(slot, false);
        }
    }

    /// What is believed about a tag; `None` if it was never heard of, or is forgotten.
    pub fn posterior(&self, epc: &Epc) -> Option<Posterior> {
        let slot = self.tags.find(epc)?;
        let tag = self.tags.get(slot);
        Some(Posterior {
            committed: tag.committed(),
            candidates: self.tags.belief(slot).shares().collect(),
            last_seen: (tag.last_seen > Timestamp::EPOCH).then_some(tag.last_seen),
        })
    }

    /// How many tags are committed to `zone`.
    pub fn tags_in(&self, zone: ZoneIx) -> u32 {
        self.zones.get(usize::from(zone.0)).map_or(0, |zone| zone.committed)
    }

    /// What goes on in a portal, for people to watch.
    pub fn portal(&self, portal: PortalIx) -> PortalLive {
        let Some(doorway) = self.portals.get(usize::from(portal.0)) else {
            return PortalLive { open: 0, tags: Vec::new(), last: Vec::new() };
        };
        let open = doorway.open.iter().map(|&id| &self.passes[id as usize]).filter(|pass| pass.tag != NONE);
        let live = |pass: &Pass| LiveTag {
            epc: *self.tags.epc(pass.tag),
            since: pass.opened,
            reads: pass.reads,
            moving: !pass.steady(),
        };
        PortalLive {
            open: open.clone().count() as u32,
            tags: open.take(LIVE_MAX).map(live).collect(),
            last: doorway.last.iter().copied().collect(),
        }
    }

    /// Octets for each tag remembered, beside its EPC and the index: its record, and its share of the antennas' lists.
    pub fn bytes_per_tag(&self) -> u32 {
        let lists: usize = self.points.iter().map(|point| point.heard.capacity() * size_of::<u32>()).sum();
        ((self.tags.record_bytes() + lists) / self.tags.len().max(1)) as u32
    }

    /// What it has seen so far.
    pub fn counters(&self) -> Counters {
        Counters { tags: self.tags.len() as u32, ..self.counters }
    }
}

/// Makes a record for a new tag, forgetting another if need be.
fn admit(
    tags: &mut Tags,
    passes: &mut [Pass],
    zones: &mut [ZoneState],
    counters: &mut Counters,
    epc: &Epc,
) -> Option<u32> {
    let victim = match tags.room(epc) {
        Room::Free => None,
        Room::InsteadOf(victim) => {
            let tag = tags.get_mut(victim);
            abandon(tag, passes);
            if let Some(zone) = tag.committed().and_then(|zone| zones.get_mut(usize::from(zone.0))) {
                zone.committed -= 1;
            }
            counters.forgotten += 1;
            Some(victim)
        }
        Room::Full => return None,
    };
    Some(tags.put(*epc, victim))
}

/// Leaves a tag's open passes without a decision; the next tick clears them away.
fn abandon(tag: &mut tags::Tag, passes: &mut [Pass]) {
    let mut id = std::mem::replace(&mut tag.pass, NONE);
    while id != NONE {
        passes[id as usize].tag = NONE;
        id = passes[id as usize].next;
    }
}

/// Seconds with one decimal.
fn tenths(span: Duration) -> String {
    let tenths = (span.millis() + 50) / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}
