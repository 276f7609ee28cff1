//! Both ends on one clock, with a line between them that delays, damages, and breaks, and an edge that is killed.

use super::map::tests::MAP;
use super::*;
use crate::modbus::{ClientSettings, Framing, Serial};
use crate::sorter::{End, Event, Order, Run};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use stowage_base::{Code, Timestamp, code};

/// A generator that is the same everywhere (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ mixed >> 31) % n
    }
}

const START: Timestamp = Timestamp::from_micros(1_795_558_200_000_000);
/// The PLC's day is another.
const CLOCK_ERROR: Duration = Duration::from_secs(-4_000);
const RESPONSE_MAX: Duration = Duration::from_millis(80);

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis)
}

fn chute(name: &str) -> Code {
    code(name).expect("short")
}

fn chutes() -> Vec<Numbered> {
    [("C1", 1), ("C2", 2), ("C3", 17), ("H", 9)].map(|(name, number)| Numbered { code: chute(name), number }).to_vec()
}

fn settings(framing: Framing, map: Map) -> EdgeSettings {
    EdgeSettings {
        client: ClientSettings { framing, unit: 3, response_max: RESPONSE_MAX },
        map,
        chutes: chutes(),
        poll: ms(50),
        latency_margin: ms(40),
    }
}

fn plc(framing: Framing, map: Map) -> Plc {
    let settings = PlcSettings {
        framing,
        unit: 3,
        map,
        chutes: chutes(),
        hospital: chute("H"),
        to_decision: ms(900),
        to_chutes: ms(700),
        between_chutes: ms(300),
    };
    Plc::new(settings, 1, START + CLOCK_ERROR)
}

const RTU: Framing = Framing::Rtu(Serial { baud: 19_200, bits: 11 });

/// What the edge's session gave out.
#[derive(Default)]
struct Host {
    sent: Vec<Vec<u8>>,
    events: VecDeque<Event>,
}

impl Sink for Host {
    fn send(&mut self, octets: &[u8]) {
        self.sent.push(octets.to_vec());
    }
    fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }
}

type Key = (u32, u32);

/// What is recorded for good.
#[derive(Default)]
struct Book {
    scanned: BTreeMap<Key, (Code, Timestamp)>,
    acknowledged: BTreeSet<Key>,
    ended: BTreeMap<Key, (End, Option<Code>)>,
    refused: Vec<String>,
}

/// Per mille of frames that are lost and damaged, and how late answers are at most.
#[derive(Clone, Copy, Default)]
struct Faults {
    lost: u64,
    damaged: u64,
    late_ms: u64,
}

struct Pair {
    now: Timestamp,
    random: Random,
    settings: EdgeSettings,
    faults: Faults,
    edge: Edge,
    host: Host,
    plc: Plc,
    open: bool,
    /// Octets on the way: when they arrive, whether at the edge.
    line: VecDeque<(Timestamp, bool, Vec<u8>)>,
    /// Events that are not yet recorded, and when they will be.
    commits: VecDeque<(Timestamp, Event)>,
    book: Book,
    /// Every event that the session gave out.
    told: Vec<Event>,
}

impl Pair {
    fn new(seed: u64, framing: Framing) -> Self {
        Self::with_slots(seed, framing, 64)
    }

    fn with_slots(seed: u64, framing: Framing, slots: u16) -> Self {
        let map = Map { slots, ..MAP };
        let settings = settings(framing, map);
        let mut pair = Self {
            now: START,
            random: Random(seed),
            faults: Faults::default(),
            edge: Edge::new(settings.clone()),
            settings,
            host: Host::default(),
            plc: plc(framing, map),
            open: false,
            line: VecDeque::new(),
            commits: VecDeque::new(),
            book: Book::default(),
            told: Vec::new(),
        };
        pair.connect();
        pair
    }

    fn plc_now(&self) -> Timestamp {
        self.now + CLOCK_ERROR
    }

    fn connect(&mut self) {
        self.open = true;
        self.plc.connected();
        self.edge.connected(self.now, &mut self.host);
        self.settle();
    }

    fn disconnect(&mut self) {
        self.open = false;
        // A serial line has no connection that takes what is on it away with it.
        if self.is_tcp() {
            self.line.clear();
        }
        self.edge.disconnected(self.now, &mut self.host);
        self.settle();
    }

    fn is_tcp(&self) -> bool {
        self.settings.client.framing == Framing::Tcp
    }

    /// The edge's process is killed, and starts anew on what it has recorded.
    fn kill_edge(&mut self) {
        self.commits.clear();
        self.host = Host::default();
        self.edge = Edge::new(self.settings.clone());
        if self.is_tcp() {
            self.line.clear();
        }
        self.connect();
    }

    /// Puts octets on the line, in their order.
    fn carry(&mut self, to_edge: bool, octets: Vec<u8>) {
        let dice = self.random.below(1_000);
        let late = if to_edge && self.faults.late_ms > 0 { self.random.below(self.faults.late_ms) } else { 0 };
        let after = self.line.iter().filter(|(_, of, _)| *of == to_edge).map(|(at, ..)| *at).max();
        let at = self.now + ms(1 + late as i64) + Duration::from_micros(self.random.below(9_000) as i64);
        let at = after.map_or(at, |after| after.max(at));
        let mut octets = octets;
        // TCP repairs what is lost or damaged.
        if !self.is_tcp() {
            if dice < self.faults.lost {
                return;
            }
            if dice < self.faults.lost + self.faults.damaged {
                let bit = self.random.below(8 * octets.len() as u64) as usize;
                octets[bit / 8] ^= 1 << (bit % 8);
            }
        }
        self.line.push_back((at, to_edge, octets));
    }

    /// Takes what the edge's session gave out.
    fn settle(&mut self) {
        for octets in std::mem::take(&mut self.host.sent) {
            if self.open {
                self.carry(false, octets);
            }
        }
        while let Some(event) = self.host.events.pop_front() {
            self.told.push(event.clone());
            let sync = ms(5 + self.random.below(30) as i64);
            let after = self.commits.back().map_or(self.now, |(at, _)| *at);
            self.commits.push_back((after.max(self.now + sync), event));
        }
    }

    /// Plays the core: an event is recorded, and what hangs on it leaves.
    fn record(&mut self, event: Event) {
        let (now, host) = (self.now, &mut self.host);
        match event {
            Event::Up { boot, .. } => {
                let open = self.book.scanned.iter().filter(|(key, _)| {
                    key.0 == boot && !self.book.acknowledged.contains(key) && !self.book.ended.contains_key(key)
                });
                for ((boot, item), (goal, deadline)) in open.clone() {
                    let order = Order { boot: *boot, item: *item, chute: goal.clone(), deadline: *deadline };
                    self.edge.divert(now, order, host);
                }
            }
            Event::Scanned { boot, item, decide_by, .. } => {
                let goal = chute(["C1", "C2", "C3"][item as usize % 3]);
                if self.book.scanned.contains_key(&(boot, item)) {
                    return;
                }
                self.book.scanned.insert((boot, item), (goal.clone(), decide_by));
                self.edge.divert(now, Order { boot, item, chute: goal, deadline: decide_by }, host);
            }
            Event::Acknowledged { boot, item } => drop(self.book.acknowledged.insert((boot, item))),
            Event::Outcome { boot, item, outcome, chute, .. } => {
                let before = self.book.ended.insert((boot, item), (outcome, chute.clone()));
                assert!(before.is_none_or(|before| before == (outcome, chute)), "an item ends once");
                self.edge.recorded(now, boot, item, host);
            }
            Event::Refused { reason, .. } => self.book.refused.push(reason),
            Event::Down { .. }
            | Event::Run(_)
            | Event::Sent { .. }
            | Event::Missed { .. }
            | Event::ChuteFull { .. }
            | Event::Malformed { .. } => {}
        }
        self.settle();
    }

    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        for step in 0.. {
            assert!(step < 200_000, "a deadline is told that does nothing");
            let plc = self.plc.next_deadline().map(|at| at - CLOCK_ERROR);
            let arrival = self.line.iter().map(|(at, ..)| *at).min();
            let commit = self.commits.front().map(|(at, _)| *at);
            let next = [plc, arrival, commit, self.edge.next_deadline()].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            while let Some(index) = self.line.iter().position(|(at, ..)| *at <= self.now) {
                let (_, to_edge, octets) = self.line.remove(index).expect("it is there");
                if to_edge && self.open {
                    self.edge.receive(self.now, &octets, &mut self.host);
                } else if !to_edge {
                    let (now, mut answers) = (self.plc_now(), Vec::new());
                    self.plc.receive(now, &octets, &mut |octets| answers.push(octets.to_vec()));
                    answers.into_iter().for_each(|octets| self.carry(true, octets));
                }
            }
            let (now, mut answers) = (self.plc_now(), Vec::new());
            self.plc.tick(now, &mut |octets| answers.push(octets.to_vec()));
            answers.into_iter().for_each(|octets| self.carry(true, octets));
            self.edge.tick(self.now, &mut self.host);
            self.settle();
            while let Some((_, event)) = self.commits.pop_front_if(|(at, _)| *at <= self.now) {
                self.record(event);
            }
            if self.open && self.edge.over() {
                self.disconnect();
                self.connect();
            }
        }
        self.now = until;
    }

    fn induct(&mut self) -> u32 {
        let now = self.plc_now();
        self.plc.induct(now, Some(chute("PARCEL-0123456789-0123456789-32")))
    }

    fn told(&self, is: impl Fn(&Event) -> bool) -> usize {
        self.told.iter().filter(|event| is(event)).count()
    }

    /// What the PLC did is what the book says, for every item of the present boot.
    fn assert_agreement(&self) {
        assert_eq!(self.plc.violations(), []);
        assert_eq!((self.plc.on_belt(), self.plc.overwritten()), (0, 0));
        for delivery in self.plc.deliveries().iter().filter(|delivery| delivery.boot == self.plc.boot()) {
            let key = (delivery.boot, delivery.item);
            assert_eq!(self.book.ended.get(&key), Some(&(delivery.outcome, delivery.chute.clone())), "{key:?}");
            let went = &delivery.commanded.as_ref().map(|(chute, _)| chute.clone());
            let goal = self.book.scanned.get(&key).map(|(goal, _)| goal.clone());
            assert!(went.is_none() || *went == goal, "{key:?} was sent elsewhere");
        }
    }
}

#[test]
fn an_item_goes_where_it_is_commanded_over_either_transport() {
    for framing in [RTU, Framing::Tcp] {
        let mut pair = Pair::new(1, framing);
        pair.run(ms(1_000));
        assert!(matches!(&pair.told[..], [Event::Up { boot: 1, run: Run::Running, chutes }] if chutes.len() == 4));
        let item = pair.induct();
        pair.run(ms(4_000));
        let goal = chute(["C1", "C2", "C3"][item as usize % 3]);
        assert_eq!(pair.book.ended, BTreeMap::from([((1, item), (End::Diverted, Some(goal.clone())))]));
        let [
            _,
            Event::Scanned { decide_by, code, .. },
            Event::Sent { .. },
            Event::Acknowledged { .. },
            Event::Outcome { .. },
        ] = &pair.told[..]
        else {
            panic!("{:?}", pair.told)
        };
        assert_eq!(*code, Some(chute("PARCEL-0123456789-0123456789-32")), "all 32 octets");
        let early = (START + ms(1_900) - *decide_by).millis();
        assert!((0..=35).contains(&early), "never later than it is: early by {early} ms");
        pair.assert_agreement();
        assert_eq!((pair.plc.repeats(), pair.plc.first_held()), (0, 4), "taken once, and the ring is empty");
    }
}

#[test]
fn a_full_chute_a_belt_that_stops_and_a_jam_are_told() {
    let mut pair = Pair::new(2, Framing::Tcp);
    pair.run(ms(1_000));
    let now = pair.plc_now();
    pair.plc.set_full(now, &chute("C3"), true);
    pair.plc.set_run(now, Run::Estop);
    pair.run(ms(200));
    let now = pair.plc_now();
    pair.plc.set_full(now, &chute("C3"), false);
    pair.plc.set_run(now, Run::Running);
    let (one, two) = (pair.induct(), pair.induct());
    pair.run(ms(300));
    let now = pair.plc_now();
    pair.plc.fail(now, one, End::Jammed);
    pair.plc.fail(now, two, End::Lost);
    pair.run(ms(500));
    let full = |full| Event::ChuteFull { chute: chute("C3"), full };
    assert_eq!(pair.told[1..5], [Event::Run(Run::Estop), full(true), Event::Run(Run::Running), full(false)]);
    assert_eq!(pair.book.ended[&(1, one)], (End::Jammed, None));
    assert_eq!(pair.book.ended[&(1, two)], (End::Lost, None));
    pair.assert_agreement();
}

#[test]
fn silence_of_either_end_is_noticed_by_the_other() {
    for framing in [RTU, Framing::Tcp] {
        let mut pair = Pair::new(3, framing);
        pair.run(ms(1_000));
        pair.plc.set_silent(true);
        pair.run(ms(3_300));
        let down = |pair: &Pair| {
            pair.told.iter().find_map(|event| match event {
                Event::Down { why } => Some(why.clone()),
                _ => None,
            })
        };
        assert_eq!(
            down(&pair).as_deref(),
            Some("the PLC doesn't answer: look at its power, the cable, unit and speed")
        );
        // The PLC hears nothing either: it follows its safe plan.
        let item = pair.induct();
        pair.run(ms(4_000));
        let delivery = &pair.plc.deliveries()[0];
        assert_eq!((delivery.item, &delivery.chute, delivery.outcome), (item, &Some(chute("H")), End::Missed));
        pair.plc.set_silent(false);
        pair.run(ms(4_000));
        assert_eq!(pair.told(|event| matches!(event, Event::Up { .. })), 2);
        assert_eq!(pair.book.ended[&(1, item)], (End::Missed, Some(chute("H"))), "its end waited in the ring");
        pair.assert_agreement();
    }
}

#[test]
fn a_line_that_was_given_up_is_over_until_it_is_closed_and_no_longer() {
    let mut edge = Edge::new(settings(Framing::Tcp, MAP));
    let mut host = Host::default();
    edge.connected(START, &mut host);
    assert!(!edge.over());
    let mut now = START;
    while let Some(at) = edge.next_deadline().filter(|_| !edge.over()) {
        now = at.max(now + Duration::from_micros(1));
        edge.tick(now, &mut host);
    }
    assert!(edge.over(), "nobody answered");
    edge.disconnected(now, &mut host);
    assert!(!edge.over(), "or whoever asks would close it again and again, and never dial");
}

#[test]
fn a_command_that_no_living_edge_stands_behind_is_not_followed() {
    let mut pair = Pair::new(4, Framing::Tcp);
    pair.run(ms(1_000));
    let now = pair.plc_now();
    let item = pair.induct();
    pair.run(ms(300));
    assert!(pair.book.acknowledged.contains(&(1, item)));
    // The belt stands for long, and the edge dies meanwhile.
    pair.plc.set_run(now + ms(300), Run::Stopped);
    pair.disconnect();
    pair.run(ms(5_000));
    let now = pair.plc_now();
    pair.plc.set_run(now, Run::Running);
    pair.run(ms(4_000));
    assert_eq!(pair.plc.deliveries()[0].chute, Some(chute("H")));
    pair.connect();
    pair.run(ms(3_000));
    assert_eq!(pair.book.ended[&(1, item)], (End::Missed, Some(chute("H"))));
}

#[test]
fn an_edge_that_is_killed_at_any_moment_loses_nothing_and_repeats_harmlessly() {
    let (mut repeats, mut diverted) = (0, 0);
    for moment in 0..60 {
        let mut pair = Pair::new(5, if moment % 2 == 0 { RTU } else { Framing::Tcp });
        pair.run(ms(1_000));
        let item = pair.induct();
        pair.run(ms(5 * moment));
        pair.kill_edge();
        pair.run(ms(300));
        pair.kill_edge();
        pair.run(ms(7_000));
        pair.assert_agreement();
        diverted += u64::from(pair.book.ended[&(1, item)].0 == End::Diverted);
        repeats += pair.plc.repeats();
    }
    assert!(diverted > 30, "{diverted} of 60 were still in time");
    assert!(repeats > 0, "some were killed between the command and the record of its acknowledgement");
}

#[test]
fn a_plc_that_starts_anew_is_not_sent_what_was_meant_for_before() {
    let mut pair = Pair::new(6, RTU);
    pair.run(ms(1_000));
    let before = pair.induct();
    pair.run(ms(100));
    let now = pair.plc_now();
    pair.plc.restart(now);
    let after = pair.induct();
    assert_eq!(before, after, "the same number in another boot");
    pair.run(ms(6_000));
    assert_eq!(pair.told(|event| matches!(event, Event::Up { boot: 2, .. })), 1);
    assert!(!pair.book.ended.contains_key(&(1, before)), "nobody knows");
    assert!(pair.book.ended.contains_key(&(2, after)));
    pair.assert_agreement();
}

#[test]
fn a_ring_that_overflows_is_told_and_costs_the_oldest() {
    let mut pair = Pair::with_slots(7, Framing::Tcp, 8);
    pair.run(ms(1_000));
    pair.disconnect();
    for _ in 0..6 {
        pair.induct();
    }
    pair.run(ms(5_000));
    assert_eq!(pair.plc.overwritten(), 4, "12 events, 8 slots");
    pair.connect();
    pair.run(ms(3_000));
    assert_eq!(pair.book.ended.len(), 6, "the ends are the newest");
    // The edge had read none of them: what it can't know it doesn't tell as a loss of its own.
    let more = (0..10).map(|_| pair.induct()).count();
    assert_eq!(more, 10);
    pair.run(ms(6_000));
    let told = |event: &Event| matches!(event, Event::Malformed { place, what } if place == "ring" && what.contains("overwritten"));
    assert!(pair.told(told) >= 1, "{:?}", pair.told);
}

#[test]
fn a_long_ring_over_a_slow_line_is_read_without_taking_the_plc_for_silent() {
    const ITEMS: usize = 500;
    let mut pair = Pair::with_slots(7, Framing::Tcp, 1_100);
    pair.run(ms(1_000));
    pair.disconnect();
    for _ in 0..ITEMS {
        pair.induct();
    }
    pair.run(ms(6_000));
    pair.faults.late_ms = 70;
    pair.connect();
    pair.run(ms(30_000));
    assert_eq!(pair.book.ended.len(), ITEMS);
    assert_eq!(pair.told(|event| matches!(event, Event::Down { why } if why.contains("answer"))), 0, "{:?}", pair.told);
}

#[test]
fn a_wrong_map_is_told_and_nothing_is_written() {
    let mut pair = Pair::new(8, Framing::Tcp);
    pair.settings.map = Map { status: 100, ring: 400, edge: 3_000, ..MAP };
    pair.kill_edge();
    pair.run(ms(3_500));
    let what = "register 100 holds 0, not 21249 as the layout wants: correct the map, or the PLC's program";
    let malformed = Event::Malformed { place: "status".to_owned(), what: what.to_owned() };
    assert!(pair.told.contains(&malformed), "{:?}", pair.told);
    let down = Event::Down { why: format!("its status makes no sense: {what}") };
    assert!(pair.told.contains(&down), "{:?}", pair.told);
    assert_eq!(pair.plc.violations(), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Frames are lost, damaged and late, the line breaks, the edge is killed: nothing is late, nothing is done twice, and
    /// in the end the book says what happened.
    #[test]
    fn faults_delay_but_nothing_is_late_twice_or_lost(seed: u64, tcp: bool, lost in 0_u64..150, damaged in 0_u64..150) {
        let mut pair = Pair::new(seed, if tcp { Framing::Tcp } else { RTU });
        pair.run(ms(1_000));
        pair.faults = Faults { lost, damaged, late_ms: 70 };
        for _ in 0..12 {
            for _ in 0..pair.random.below(2) {
                pair.induct();
            }
            match pair.random.below(12) {
                0 => pair.kill_edge(),
                1 => {
                    pair.disconnect();
                    let wait = pair.random.below(2_000) as i64;
                    pair.run(ms(wait));
                    pair.connect();
                }
                _ => {}
            }
            let wait = pair.random.below(1_000) as i64;
            pair.run(ms(wait));
        }
        pair.faults = Faults::default();
        pair.run(ms(15_000));
        pair.assert_agreement();
    }

    #[test]
    fn any_octets_at_any_time_do_no_harm_to_either_end(
        chunks in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..200), 0_i64..400, any::<bool>()), 0..30),
        tcp: bool,
    ) {
        let mut pair = Pair::new(9, if tcp { Framing::Tcp } else { RTU });
        pair.run(ms(1_000));
        for (octets, wait, to_edge) in chunks {
            if to_edge {
                pair.edge.receive(pair.now, &octets, &mut pair.host);
                pair.settle();
            } else {
                let now = pair.plc_now();
                pair.plc.receive(now, &octets, &mut |_| ());
            }
            pair.run(ms(wait));
        }
        pair.disconnect();
        pair.connect();
        pair.run(ms(5_000));
        let session = pair.told.iter().rfind(|event| matches!(event, Event::Up { .. } | Event::Down { .. }));
        let up = matches!(session, Some(Event::Up { .. }));
        prop_assert!(up, "{:?}", session);
    }
}
