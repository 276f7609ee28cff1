//! Scripts against a small model of a portal and of zones. The model's figures are not the filter's: gain falls with
//! the square of the distance both ways, each antenna looks to its side, fading changes every 16 cm, noise has 2.5 dB.

use super::*;
use crate::site::{Device, DeviceKind, Portal, ReadPoint, Zone, ZoneKind};
use proptest::prelude::*;
use stowage_base::code;

const YARD: ZoneIx = ZoneIx(0);
const DOCK: ZoneIx = ZoneIx(1);
const STORAGE: ZoneIx = ZoneIx(2);
const AISLE: ZoneIx = ZoneIx(3);
const GATE: PortalIx = PortalIx(0);

/// Points 0 (outer) and 1 (inner) belong to the portal between yard and dock; 2 and 3 look into storage and aisle.
const OUTER: ReadPointIx = ReadPointIx(0);
const INNER: ReadPointIx = ReadPointIx(1);
const IN_STORAGE: ReadPointIx = ReadPointIx(2);
const IN_AISLE: ReadPointIx = ReadPointIx(3);

fn site(tags_max: u32) -> Site {
    let text = |text: &str| code(text).expect("short");
    let zone = |name: &str, kind| Zone { code: text(name), name: name.into(), kind, area: [0; 4] };
    let point = |antenna, zone, portal| ReadPoint { device: crate::site::DeviceIx(0), antenna, zone, portal };
    Site {
        code: text("T"),
        name: "Test".into(),
        time_zone: "Europe/Berlin".into(),
        zones: vec![
            zone("YARD", ZoneKind::Outside),
            zone("DOCK", ZoneKind::Dock),
            zone("STORAGE", ZoneKind::Aisle),
            zone("AISLE", ZoneKind::Aisle),
        ],
        passages: vec![(DOCK, STORAGE), (STORAGE, AISLE)],
        portals: vec![Portal { code: text("DOCK-1"), name: "Dock 1".into(), outer: YARD, inner: DOCK }],
        read_points: vec![
            point(1, YARD, Some((GATE, -800))),
            point(2, DOCK, Some((GATE, 800))),
            point(3, STORAGE, None),
            point(4, AISLE, None),
        ],
        locations: vec![],
        skus: vec![],
        tags: vec![],
        policies: vec![],
        sort_plan: vec![],
        roadmap: Default::default(),
        transports: Vec::new(),
        devices: vec![Device { code: text("R1"), kind: DeviceKind::Reader }],
        presence: PresenceSettings { tags_max, ..PresenceSettings::default() },
    }
}

/// A tiny generator: 64-bit LCG, upper bits.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66);
        dice.unit();
        dice
    }

    /// 0 to 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / (1u64 << 31) as f64
    }

    /// Near enough normal, deviation 1.
    fn normal(&mut self) -> f64 {
        ((0..12).map(|_| self.unit()).sum::<f64>()) - 6.0
    }
}

fn epc(n: u32) -> Epc {
    let mut octets = [0x30; 12];
    octets[8..].copy_from_slice(&n.to_be_bytes());
    Epc::new(&octets).expect("12 octets")
}

fn ms(ms: i64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000 + ms * 1000)
}

fn read(epc: Epc, antenna: u16, dbm: f64, at: Timestamp) -> TagRead {
    TagRead { epc, antenna, rssi_cdbm: (dbm * 100.0) as i16, count: 1, at, frequency_khz: None, phase: None }
}

fn visit(antenna: u16, start: Timestamp, end: Timestamp, healthy: bool) -> Visit {
    Visit { antenna, start, end, reads: 0, healthy }
}

/// One way through the portal: x in m (negative: outside) at corner times in s, straight in between.
type Way = Vec<(f64, f64)>;

/// At `speed` m/s from −4 m to 4 m.
fn inwards(speed: f64) -> Way {
    vec![(0.0, -4.0), (8.0 / speed, 4.0)]
}

fn mirrored(way: Way) -> Way {
    way.into_iter().map(|(t, x)| (t, -x)).collect()
}

fn turn_back(speed: f64, apex: f64) -> Way {
    let t = (4.0 + apex) / speed;
    vec![(0.0, -4.0), (t, apex), (2.0 * t, -4.0)]
}

fn place_at(way: &Way, t: f64) -> f64 {
    let after = way.iter().position(|&(at, _)| at > t).unwrap_or(way.len());
    match (after.checked_sub(1).map(|at| way[at]), way.get(after)) {
        (Some((t0, x0)), Some(&(t1, x1))) => x0 + (x1 - x0) * (t - t0) / (t1 - t0),
        (Some((_, x)), None) | (None, Some(&(_, x))) => x,
        (None, None) => 0.0,
    }
}

/// What the portal's reader does and hears.
#[derive(Clone)]
struct Gate {
    /// Length of a visit, ms; the antennas take turns.
    visit_ms: i64,
    /// Most replies of a tag in one visit.
    replies: u32,
    /// Transmit power and tag quality against the usual, dB.
    gain_db: f64,
    /// Antennas that hear nothing, and are reported as unhealthy.
    dead: [bool; 2],
    /// Deviation of the fading, dB.
    fade_db: f64,
    /// How far an antenna's beam is turned to its side: sine of the angle.
    aim: f64,
    /// Each report comes twice.
    duplicated: bool,
}

const GATE_MODEL: Gate =
    Gate { visit_ms: 60, replies: 3, gain_db: 0.0, dead: [false; 2], fade_db: 3.0, aim: 0.57, duplicated: false };

/// Replies heard and decisions made when `tags` go their ways.
struct Run {
    reads: Vec<u32>,
    decisions: Vec<Decision>,
    /// Time of the last read and of the last decision, per tag.
    last_read: Vec<Timestamp>,
    decided: Vec<Option<Timestamp>>,
}

/// Lets tags `0..` go their ways through the gate, and 3 s more.
fn pass(presence: &mut Presence, gate: &Gate, ways: &[Way], seed: u64) -> Run {
    let length = ways.iter().flatten().fold(0.0f64, |length, corner| length.max(corner.0));
    let mut dice = Dice::new(seed);
    let mut run = Run {
        reads: vec![0; ways.len()],
        decisions: vec![],
        last_read: vec![ms(0); ways.len()],
        decided: vec![None; ways.len()],
    };
    let (mut at, mut turn, end) = (0, 0usize, (length * 1000.0) as i64);
    while at < end + 3_000 {
        let (start, over) = (ms(at), ms(at + gate.visit_ms));
        let antenna = turn as u16 + 1;
        let side = if turn == 0 { -1.0 } else { 1.0 };
        for (tag, way) in ways.iter().enumerate().filter(|_| at < end && !gate.dead[turn]) {
            for reply in 0..gate.replies {
                let t_ms = at + gate.visit_ms * i64::from(reply) / i64::from(gate.replies);
                let x = place_at(way, t_ms as f64 / 1000.0);
                let away = ((x - side * 0.3).powi(2) + 1.5f64.powi(2)).sqrt();
                // The antenna is turned by some 35° to its side; its pattern falls off as cos^4.1 both ways.
                let ahead = (x - side * 0.3) * side * gate.aim + 1.5 * (1.0 - gate.aim * gate.aim).sqrt();
                let cos = (ahead / away).max(0.1);
                let patch = ((x + 100.0) / 0.16) as u64;
                let mut fade = Dice::new(seed ^ (tag as u64) << 40 ^ (turn as u64) << 32 ^ patch);
                let dbm = -50.0 + gate.gain_db - 40.0 * (away / 1.5).log10()
                    + 82.0 * cos.log10() * 0.5
                    + fade.normal() * gate.fade_db
                    + dice.normal() * 2.5;
                if dice.unit() < 1.0 / (1.0 + (-(dbm + 66.0) / 2.25).exp()) {
                    let read = read(epc(tag as u32), antenna, dbm, ms(t_ms));
                    let point = ReadPointIx(turn as u16);
                    (0..1 + u32::from(gate.duplicated)).for_each(|_| presence.read(point, &read));
                    run.reads[tag] += 1;
                    run.last_read[tag] = ms(t_ms);
                }
            }
        }
        let mut out = vec![];
        let healthy = !gate.dead[turn];
        presence.visit(over, ReadPointIx(turn as u16), &visit(antenna, start, over, healthy), &mut out);
        while let Some(due) = presence.next_deadline().filter(|&due| due <= over) {
            presence.tick(due, &mut out);
        }
        for decision in out {
            let tag = (0..ways.len()).find(|&tag| epc(tag as u32) == decision.epc).expect("ours");
            run.decided[tag] = Some(over);
            run.decisions.push(decision);
        }
        (at, turn) = (at + gate.visit_ms, 1 - turn);
    }
    run
}

#[derive(Debug, Default)]
struct Tally {
    passes: u32,
    few_reads: u32,
    right: u32,
    wrong: u32,
    none: u32,
    turned: u32,
    late: u32,
    reads: u32,
}

/// Runs `seeds` single passes; `to` is the right zone, if the tag moves at all.
fn tally(seeds: u64, committed: Option<ZoneIx>, to: Option<ZoneIx>, setup: impl Fn(&mut Dice) -> (Gate, Way)) -> Tally {
    let mut tally = Tally::default();
    for seed in 0..seeds {
        let (gate, way) = setup(&mut Dice::new(seed ^ 0xABCD));
        let mut presence = Presence::new(&site(1000));
        if let Some(zone) = committed {
            presence.place(&epc(0), zone);
        }
        let gate_ms = gate.visit_ms;
        let run = pass(&mut presence, &gate, &[way], seed);
        tally.passes += 1;
        tally.reads += run.reads[0];
        tally.turned += run.decisions.iter().filter(|d| matches!(d.outcome, Outcome::TurnedBack { .. })).count() as u32;
        let moves: Vec<_> = run
            .decisions
            .iter()
            .filter_map(|d| match d.outcome {
                Outcome::Moved { to, .. } => Some(to),
                Outcome::TurnedBack { .. } => None,
            })
            .collect();
        if run.decided[0].is_some_and(|at| at.since(run.last_read[0]) > Duration::from_millis(1_500 + gate_ms)) {
            tally.late += 1;
        }
        if run.reads[0] < 10 {
            tally.few_reads += 1;
        }
        match (moves.as_slice(), to) {
            ([], None) => tally.right += 1,
            ([], Some(_)) => tally.none += 1,
            ([only], Some(to)) if *only == to => tally.right += 1,
            _ => tally.wrong += 1,
        }
    }
    tally
}

fn walk(dice: &mut Dice) -> Way {
    inwards(0.7 + 0.8 * dice.unit())
}

fn visitor(dice: &mut Dice) -> Way {
    turn_back(0.7 + 0.8 * dice.unit(), -1.0 + 1.2 * dice.unit())
}

/// Of passes with at least 10 reads: 99 % right, and none wrong among all.
fn assert_direction(tally: &Tally) {
    assert_eq!(tally.wrong, 0, "{tally:?}");
    assert_eq!(tally.late, 0, "{tally:?}");
    assert!(tally.right + tally.few_reads >= tally.passes * 99 / 100, "{tally:?}");
}

#[test]
fn a_walk_in_is_seen_as_one_whatever_was_known_before() {
    for before in [None, Some(YARD), Some(STORAGE)] {
        assert_direction(&tally(200, before, Some(DOCK), |dice| (GATE_MODEL, walk(dice))));
    }
}

#[test]
fn a_walk_out_is_seen_as_one() {
    assert_direction(&tally(200, Some(DOCK), Some(YARD), |dice| (GATE_MODEL, mirrored(walk(dice)))));
    assert_direction(&tally(200, None, Some(YARD), |dice| (GATE_MODEL, mirrored(walk(dice)))));
}

#[test]
fn a_forklift_at_2_m_per_s_is_seen() {
    let fast = |dice: &mut Dice| (GATE_MODEL, inwards(1.5 + dice.unit()));
    assert_direction(&tally(200, Some(YARD), Some(DOCK), fast));
}

#[test]
fn a_dozen_reads_are_enough() {
    let sparse = Gate { replies: 1, visit_ms: 200, gain_db: -3.0, ..GATE_MODEL };
    let tally = tally(300, None, Some(DOCK), |dice| (sparse.clone(), walk(dice)));
    assert!(tally.reads / tally.passes < 20, "{tally:?}");
    assert_direction(&tally);
}

#[test]
fn heavy_fading_costs_certainty_before_it_costs_truth() {
    let gate = Gate { fade_db: 5.0, ..GATE_MODEL };
    assert_direction(&tally(200, Some(YARD), Some(DOCK), |dice| (gate.clone(), walk(dice))));
}

#[test]
fn a_stop_in_the_doorway_changes_nothing() {
    let stop = |dice: &mut Dice| {
        let t = 2.0 + 8.0 * dice.unit();
        (GATE_MODEL, vec![(0.0, -4.0), (4.0, 0.0), (4.0 + t, 0.0), (8.0 + t, 4.0)])
    };
    assert_direction(&tally(200, Some(YARD), Some(DOCK), stop));
}

#[test]
fn who_turns_back_moves_nothing() {
    for before in [None, Some(YARD)] {
        let tally = tally(250, before, None, |dice| (GATE_MODEL, visitor(dice)));
        assert_eq!(tally.right, tally.passes, "no move: {tally:?}");
        assert!(tally.turned <= tally.passes && tally.turned >= tally.passes * 9 / 10, "told once each: {tally:?}");
    }
}

#[test]
fn a_tag_at_rest_near_the_portal_makes_no_decision() {
    for (before, side) in [(Some(DOCK), 1.0), (Some(YARD), -1.0), (None, -1.0), (None, 1.0)] {
        let tally = tally(200, before, None, |dice| {
            let x = side * 3.0 * dice.unit();
            (Gate { gain_db: -8.0 * dice.unit(), ..GATE_MODEL }, vec![(0.0, x), (65.0, x)])
        });
        assert_eq!((tally.right, tally.turned), (tally.passes, 0), "{tally:?}");
    }
}

#[test]
fn a_group_of_20_goes_in_together() {
    for seed in 0..200 {
        let mut dice = Dice::new(seed);
        let way = walk(&mut dice);
        let ways: Vec<Way> =
            (0..20).map(|_| (dice.unit() - 0.5, way.clone())).map(|(dx, way)| shifted(way, dx)).collect();
        let mut presence = Presence::new(&site(100));
        let run = pass(&mut presence, &GATE_MODEL, &ways, seed);
        assert_eq!(run.decisions.len(), 20, "seed {seed}");
        assert_eq!(presence.tags_in(DOCK), 20, "seed {seed}");
    }
}

fn shifted(way: Way, dx: f64) -> Way {
    way.into_iter().map(|(t, x)| (t, x + dx)).collect()
}

#[test]
fn with_a_dead_antenna_it_stays_uncertain() {
    for dead in [[true, false], [false, true]] {
        for way in [walk as fn(&mut Dice) -> Way, visitor] {
            let tally = tally(200, Some(YARD), None, |dice| (Gate { dead, ..GATE_MODEL }, way(dice)));
            assert_eq!((tally.right, tally.turned), (tally.passes, 0), "nothing decided: {tally:?}");
        }
    }
}

#[test]
fn reports_that_come_twice_change_no_zone() {
    let gate = Gate { duplicated: true, ..GATE_MODEL };
    assert_direction(&tally(200, Some(YARD), Some(DOCK), |dice| (gate.clone(), walk(dice))));
    let back = tally(200, Some(YARD), None, |dice| (gate.clone(), visitor(dice)));
    assert_eq!(back.right, back.passes, "{back:?}");
}

#[test]
fn who_comes_back_in_the_same_pass_is_moved_back() {
    for seed in 0..200 {
        let mut presence = Presence::new(&site(10));
        let way = vec![(0.0, -4.0), (5.5, 1.5), (10.0, 1.5), (15.5, -4.0)];
        let run = pass(&mut presence, &GATE_MODEL, &[way], seed);
        let outcomes: Vec<_> = run.decisions.iter().map(|decision| decision.outcome).collect();
        let moved = |from, to| Outcome::Moved { from: Some(from), to, portal: Some(GATE) };
        assert_eq!(outcomes, [moved(YARD, DOCK), moved(DOCK, YARD)], "seed {seed}");
    }
}

#[test]
fn a_decision_tells_why() {
    let mut presence = Presence::new(&site(10));
    let run = pass(&mut presence, &GATE_MODEL, &[inwards(1.0)], 7);
    let [decision] = &run.decisions[..] else { panic!("{:?}", run.decisions) };
    assert!(decision.reason.starts_with("passed DOCK-1 inwards in "), "{}", decision.reason);
    assert!(decision.reason.contains(" s: strongest at antenna 1 (outer) first, at antenna 2 (inner) 1"));
    assert!(decision.reason.ends_with(&format!(" in {} visits", decision.visits)), "{}", decision.reason);
    assert_eq!(decision.outcome, Outcome::Moved { from: Some(YARD), to: DOCK, portal: Some(GATE) });
    assert_eq!(decision.runner_up, Some((YARD, 1000 - decision.confidence)));
    let live = presence.portal(GATE);
    assert_eq!((live.open, live.last[0].epc, live.last[0].outcome), (0, epc(0), decision.outcome));
    assert_eq!(presence.next_deadline(), None);
}

#[test]
fn an_open_pass_is_shown() {
    let mut presence = Presence::new(&site(10));
    presence.read(OUTER, &read(epc(1), 1, -50.0, ms(0)));
    let live = presence.portal(GATE);
    assert_eq!((live.open, live.tags[0].epc, live.tags[0].reads, live.tags[0].moving), (1, epc(1), 1, false));
    assert_eq!(presence.next_deadline(), Some(ms(1500)));
    presence.tick(ms(1499), &mut vec![]);
    assert_eq!(presence.counters().passes, 1);
    presence.tick(ms(1500), &mut vec![]);
    assert_eq!((presence.counters().passes, presence.portal(GATE).open), (0, 0));
}

/// Tag 0 lies for `secs` where these antennas hear it at these strengths, give or take 2 dB, each looking twice a
/// second.
fn dwell(presence: &mut Presence, from_ms: i64, secs: i64, heard: &[(ReadPointIx, f64)], seed: u64) -> Vec<Decision> {
    let (mut dice, mut out) = (Dice::new(seed), vec![]);
    for step in 0..secs * 2 {
        for point in [OUTER, INNER, IN_STORAGE, IN_AISLE] {
            let start = ms(from_ms + step * 500 + i64::from(point.0) * 100);
            let antenna = point.0 + 1;
            if let Some((_, dbm)) = heard.iter().find(|(at, _)| *at == point) {
                presence.read(point, &read(epc(0), antenna, dbm + 2.0 * dice.normal(), start));
            }
            let over = start + Duration::from_millis(100);
            presence.tick(over, &mut out);
            presence.visit(over, point, &visit(antenna, start, over, true), &mut out);
        }
    }
    out
}

fn outcomes(decisions: &[Decision]) -> Vec<Outcome> {
    decisions.iter().map(|decision| decision.outcome).collect()
}

#[test]
fn a_new_tag_heard_steadily_inside_gets_its_zone_once() {
    for seed in 0..200 {
        let mut presence = Presence::new(&site(10));
        let first = dwell(&mut presence, 0, 1, &[(IN_STORAGE, -62.0)], seed);
        assert_eq!(first, [], "a weak second is not enough");
        let decisions = dwell(&mut presence, 1000, 60, &[(IN_STORAGE, -55.0)], seed);
        assert_eq!(outcomes(&decisions), [Outcome::Moved { from: None, to: STORAGE, portal: None }]);
        assert!(decisions[0].at <= ms(6000), "{:?}", decisions[0]);
        let posterior = presence.posterior(&epc(0)).expect("known");
        assert_eq!((posterior.committed, posterior.candidates[0].0), (Some(STORAGE), STORAGE));
    }
}

#[test]
fn a_tag_at_rest_between_two_antennas_never_flickers() {
    for seed in 0..200 {
        let mut presence = Presence::new(&site(10));
        presence.place(&epc(0), STORAGE);
        let edge = -52.0 - 3.0 * Dice::new(seed).unit();
        assert_eq!(dwell(&mut presence, 0, 600, &[(IN_STORAGE, -54.0), (IN_AISLE, edge)], seed), []);
    }
}

#[test]
fn one_code_on_two_goods_is_no_stream_of_moves() {
    let mut presence = Presence::new(&site(10));
    let decisions = dwell(&mut presence, 0, 3600, &[(IN_STORAGE, -48.0), (IN_AISLE, -48.0)], 1);
    assert!(decisions.len() <= 1, "{decisions:?}");
}

#[test]
fn a_tag_carried_to_the_next_aisle_moves_once_and_soon() {
    for seed in 0..200 {
        let mut presence = Presence::new(&site(10));
        presence.place(&epc(0), STORAGE);
        assert_eq!(dwell(&mut presence, 0, 60, &[(IN_STORAGE, -52.0), (IN_AISLE, -64.0)], seed), []);
        let moved = dwell(&mut presence, 60_000, 60, &[(IN_STORAGE, -65.0), (IN_AISLE, -53.0)], seed);
        assert_eq!(outcomes(&moved), [Outcome::Moved { from: Some(STORAGE), to: AISLE, portal: None }]);
        assert!(moved[0].at <= ms(75_000), "{:?}", moved[0]);
    }
}

#[test]
fn what_the_book_has_elsewhere_but_a_dock_antenna_hears_steadily_is_noticed() {
    for seed in 0..200 {
        let mut presence = Presence::new(&site(10));
        presence.place(&epc(0), STORAGE);
        let decisions = dwell(&mut presence, 0, 60, &[(INNER, -50.0)], seed);
        assert_eq!(outcomes(&decisions), [Outcome::Moved { from: Some(STORAGE), to: DOCK, portal: None }]);
        assert!(decisions[0].at >= ms(10_000) && decisions[0].at <= ms(40_000), "{:?}", decisions[0]);
        assert!(decisions[0].reason.starts_with("heard steadily in DOCK by antenna 2"), "{}", decisions[0].reason);
    }
}

#[test]
fn a_placed_tag_starts_anew_and_silence_moves_nothing() {
    let mut presence = Presence::new(&site(10));
    dwell(&mut presence, 0, 60, &[(IN_STORAGE, -50.0)], 3);
    presence.read(IN_STORAGE, &read(epc(0), 3, -40.0, ms(60_000)));
    presence.place(&epc(0), AISLE);
    assert_eq!(dwell(&mut presence, 60_000, 600, &[], 3), [], "the read before counts no more, nor does silence");
    let posterior = presence.posterior(&epc(0)).expect("known");
    assert_eq!((posterior.committed, posterior.candidates[0].0), (Some(AISLE), AISLE));
    assert_eq!((presence.tags_in(AISLE), presence.tags_in(STORAGE)), (1, 0));
}

#[test]
fn a_flood_of_codes_stays_bounded_and_keeps_what_is_placed() {
    let mut presence = Presence::new(&site(500));
    (0..400).for_each(|n| presence.place(&epc(n), STORAGE));
    for n in 0..50_000u32 {
        let point = ReadPointIx((n % 5) as u16);
        presence.read(point, &read(epc(1_000_000 + n), point.0 + 1, -60.0, ms(i64::from(n))));
        presence.tick(ms(i64::from(n)), &mut vec![]);
    }
    let counters = presence.counters();
    assert_eq!((counters.tags, counters.forgotten), (500, 39_900));
    assert_eq!((counters.reads, counters.unknown_points), (40_000, 10_000));
    assert!(presence.points.iter().all(|point| point.heard.len() <= 500), "unended visits keep bounded lists");
    assert!(presence.passes.len() <= 2_000, "{}", presence.passes.len());
    assert_eq!(presence.tags_in(STORAGE), 400);
    (0..100).for_each(|n| presence.place(&epc(2_000_000 + n), DOCK));
    presence.read(INNER, &read(epc(3_000_000), 2, -60.0, ms(60_000)));
    assert_eq!(presence.counters().refused, 1, "all are placed");
    presence.release(&epc(0));
    presence.read(INNER, &read(epc(3_000_000), 2, -60.0, ms(60_000)));
    assert!(presence.posterior(&epc(0)).is_none() && presence.posterior(&epc(3_000_000)).is_some());
    assert_eq!(presence.tags_in(STORAGE), 399);
}

/// A call on presence, with nothing too odd to occur.
#[derive(Debug, Clone)]
enum Call {
    Read { point: u16, tag: u32, rssi_cdbm: i16, count: u16, at: i64 },
    Visit { now: i64, point: u16, start: i64, end: i64, healthy: bool },
    Tick(i64),
    Place(u32, u16),
    Release(u32),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let time = || prop_oneof![8 => 0i64..60_000_000, 1 => any::<i64>(), 1 => Just(i64::MIN), 1 => Just(i64::MAX)];
    let rssi = prop_oneof![8 => -7000i16..-3000, 1 => any::<i16>()];
    let call = prop_oneof![
        12 => (0u16..5, 0u32..6, rssi, 0u16..300, time())
            .prop_map(|(point, tag, rssi_cdbm, count, at)| Call::Read { point, tag, rssi_cdbm, count, at }),
        8 => (time(), 0u16..5, time(), time(), any::<bool>())
            .prop_map(|(now, point, start, end, healthy)| Call::Visit { now, point, start, end, healthy }),
        2 => time().prop_map(Call::Tick),
        1 => (0u32..6, 0u16..6).prop_map(|(tag, zone)| Call::Place(tag, zone)),
        1 => (0u32..6).prop_map(Call::Release),
    ];
    prop::collection::vec(call, 0..300)
}

proptest! {
    #[test]
    fn moves_chain_whatever_is_called(calls in calls(), tags_max in 1u32..8) {
        let run = || {
            let mut presence = Presence::new(&site(tags_max));
            let mut log = vec![];
            for call in &calls {
                let committed = |presence: &Presence| {
                    [0, 1, 2, 3, 4, 5].map(|n| presence.posterior(&epc(n)).and_then(|posterior| posterior.committed))
                };
                let (before, mut out) = (committed(&presence), vec![]);
                let us = Timestamp::from_micros;
                match *call {
                    Call::Read { point, tag, rssi_cdbm, count, at } => {
                        let read = TagRead { rssi_cdbm, count, ..read(epc(tag), point + 1, 0.0, us(at)) };
                        presence.read(ReadPointIx(point), &read);
                    }
                    Call::Visit { now, point, start, end, healthy } => {
                        let visit = visit(point + 1, us(start), us(end), healthy);
                        presence.visit(us(now), ReadPointIx(point), &visit, &mut out);
                    }
                    Call::Tick(now) => presence.tick(us(now), &mut out),
                    Call::Place(tag, zone) => presence.place(&epc(tag), ZoneIx(zone)),
                    Call::Release(tag) => presence.release(&epc(tag)),
                }
                let mut zones = before;
                for decision in &out {
                    let tag = (0..6).find(|&n| epc(n) == decision.epc).expect("one of ours") as usize;
                    if let Outcome::Moved { from, to, portal } = decision.outcome {
                        // A portal tells where a tag never placed came from.
                        assert!(from == zones[tag] || zones[tag].is_none() && portal.is_some());
                        assert_ne!(from, Some(to));
                        zones[tag] = Some(to);
                    }
                    assert!(decision.confidence <= 1000 && decision.visits >= VISITS_MIN);
                }
                if matches!(call, Call::Visit { .. } | Call::Tick(_)) {
                    assert_eq!(zones, committed(&presence));
                }
                let placed = committed(&presence).iter().flatten().count() as u32;
                assert_eq!((0..4).map(|zone| presence.tags_in(ZoneIx(zone))).sum::<u32>(), placed);
                assert!(presence.counters().tags <= tags_max);
                log.extend(out);
            }
            (log, presence.counters(), presence.portal(GATE))
        };
        prop_assert_eq!(run(), run(), "the same calls give the same decisions");
    }
}
