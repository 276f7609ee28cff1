//! Both ends on one clock, with a broker between them that delays, repeats and loses messages.

use super::*;
use crate::sorter::{Event, Order};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use stowage_base::{Timestamp, code};

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
/// The sorter's clock is wrong by this.
const CLOCK_ERROR: Duration = Duration::from_secs(-4_000);
const DELAY_MAX_US: u64 = 20_000;

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis)
}

fn chute(name: &str) -> Code {
    code(name).expect("short")
}

fn settings() -> SorterSettings {
    SorterSettings {
        chutes: ["C1", "C2", "C3", "H"].map(chute).to_vec(),
        hospital: chute("H"),
        to_decision: ms(500),
        to_chutes: ms(700),
        between_chutes: ms(300),
    }
}

/// What the edge's session gave out.
#[derive(Default)]
struct Host {
    published: Vec<(String, Vec<u8>)>,
    events: Vec<Event>,
}

impl Sink for Host {
    fn publish(&mut self, topic: &str, payload: Vec<u8>) {
        self.published.push((topic.to_owned(), payload));
    }
    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

/// Checks a payload by the part of JSON Schema that ours uses.
fn check(schema: &Value, root: &Value, value: &Value) -> Result<(), String> {
    let fail = |what: &str| Err(format!("{what}: {value} by {schema}"));
    for (keyword, by) in schema.as_object().expect("a schema") {
        let good = match keyword.as_str() {
            "$ref" => {
                let target = root.pointer(&by.as_str().expect("a reference")[1..]).expect("defined");
                check(target, root, value)?;
                true
            }
            "oneOf" => {
                by.as_array().expect("schemas").iter().filter(|one| check(one, root, value).is_ok()).count() == 1
            }
            "enum" => by.as_array().expect("values").contains(value),
            "const" => by == value,
            "type" => {
                let is = |name: &Value| match name.as_str().expect("a type") {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    "integer" => value.is_i64() || value.is_u64(),
                    other => panic!("type {other}"),
                };
                by.as_array().map_or_else(|| is(by), |names| names.iter().any(is))
            }
            "minimum" => value.as_i64().is_none_or(|n| n >= by.as_i64().expect("number")),
            "maximum" => value.as_i64().is_none_or(|n| n <= by.as_i64().expect("number")),
            "minLength" => {
                value.as_str().is_none_or(|text| text.chars().count() as u64 >= by.as_u64().expect("number"))
            }
            "maxLength" => {
                value.as_str().is_none_or(|text| text.chars().count() as u64 <= by.as_u64().expect("number"))
            }
            "pattern" => value.as_str().is_none_or(|text| command_item(text).is_some()),
            "minItems" => value.as_array().is_none_or(|all| all.len() as u64 >= by.as_u64().expect("number")),
            "items" => {
                value.as_array().into_iter().flatten().try_for_each(|item| check(by, root, item))?;
                true
            }
            "required" => {
                by.as_array().expect("names").iter().all(|name| value.get(name.as_str().expect("text")).is_some())
            }
            "properties" => {
                for (name, by) in by.as_object().expect("schemas") {
                    value.get(name).map_or(Ok(()), |member| check(by, root, member))?;
                }
                // Receivers tolerate what they don't know; we send nothing that the schema doesn't tell.
                let closed = value.as_object().into_iter().flatten().all(|(name, _)| by.get(name).is_some());
                if !closed {
                    return fail("member without a schema");
                }
                true
            }
            "$schema" | "title" | "description" | "$defs" => true,
            "additionalProperties" | "minProperties" | "maxProperties" => true, // only about the wrapper
            other => panic!("keyword {other}"),
        };
        if !good {
            return fail(keyword);
        }
    }
    Ok(())
}

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../../config/schemas/sorter-mqtt.schema.json")).expect("JSON")
}

/// A message on its way: when it arrives, a number that tells equals apart, whether to the edge, and itself.
type Arrival = (Timestamp, u64, bool, String, Vec<u8>);

struct Pair {
    now: Timestamp,
    random: Random,
    /// Per mille of messages that are lost, and repeated.
    loss: u64,
    repeats: u64,
    edge: Edge,
    edge_connected: bool,
    sorter: Sorter,
    sorter_connected: bool,
    host: Host,
    from_sorter: Vec<(String, Vec<u8>)>,
    retained: Option<Vec<u8>>,
    on_the_way: BTreeSet<Arrival>,
    sent: u64,
    schema: Value,
    /// What this test's core ordered, with the events that followed, by item.
    orders: BTreeMap<(u32, u32), Code>,
    deadlines: BTreeMap<(u32, u32), Timestamp>,
    seen: usize,
    /// Events whose outcomes are recorded.
    recorded: usize,
}

impl Pair {
    fn new(seed: u64, loss: u64, repeats: u64) -> Self {
        let margin = Duration::from_micros(2 * DELAY_MAX_US as i64 + 1_000);
        let mut pair = Self {
            now: START,
            random: Random(seed),
            loss,
            repeats,
            edge: Edge::new(EdgeSettings { latency_margin: margin }),
            edge_connected: false,
            sorter: Sorter::new(settings()),
            sorter_connected: false,
            host: Host::default(),
            from_sorter: Vec::new(),
            retained: None,
            on_the_way: BTreeSet::new(),
            sent: 0,
            schema: schema(),
            orders: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            seen: 0,
            recorded: 0,
        };
        pair.connect_sorter();
        pair.connect_edge();
        pair
    }

    fn sorter_now(&self) -> Timestamp {
        self.now + CLOCK_ERROR
    }

    /// Calls the sorter, and hands what it publishes to the broker.
    fn sorter<T>(&mut self, call: impl FnOnce(&mut Sorter, Timestamp, &mut dyn FnMut(&str, &[u8])) -> T) -> T {
        let now = self.sorter_now();
        let Self { sorter, from_sorter, .. } = self;
        call(sorter, now, &mut |topic, payload| from_sorter.push((topic.to_owned(), payload.to_vec())))
    }

    fn connect_sorter(&mut self) {
        self.sorter_connected = true;
        self.sorter(|sorter, now, out| sorter.connected(now, out));
        self.route();
    }

    fn disconnect_sorter(&mut self) {
        let now = self.sorter_now();
        self.sorter.disconnected(now);
        self.sorter_connected = false;
        self.retained = Some(LAST_WILL.into());
        self.carry(true, STATE, LAST_WILL.as_bytes());
    }

    fn connect_edge(&mut self) {
        self.edge_connected = true;
        self.edge.connected(self.now, &mut self.host);
        if let Some(retained) = self.retained.clone() {
            self.carry(true, STATE, &retained);
        }
        self.route();
    }

    fn disconnect_edge(&mut self) {
        self.edge.disconnected(self.now, &mut self.host);
        self.edge_connected = false;
    }

    fn carry(&mut self, to_edge: bool, topic: &str, payload: &[u8]) {
        let copies = match self.random.below(1_000) {
            dice if dice < self.loss => 0,
            dice if dice < self.loss + self.repeats => 2,
            _ => 1,
        };
        for _ in 0..copies {
            self.sent += 1;
            let at = self.now + Duration::from_micros(1 + self.random.below(DELAY_MAX_US) as i64);
            self.on_the_way.insert((at, self.sent, to_edge, topic.to_owned(), payload.to_vec()));
        }
    }

    /// Takes what both ends published: checks it, keeps what is retained, sends it on its way. Then plays the core.
    fn route(&mut self) {
        for (to_edge, messages) in
            [(true, std::mem::take(&mut self.from_sorter)), (false, std::mem::take(&mut self.host.published))]
        {
            for (topic, payload) in messages {
                let value: Value = serde_json::from_slice(&payload).expect("JSON");
                check(&self.schema, &self.schema, &json!({ topic.as_str(): value })).expect("valid");
                assert!(if to_edge { self.sorter_connected } else { self.edge_connected });
                if topic == DIVERT {
                    let (boot, item) = command_item(value["command"].as_str().expect("id")).expect("an id");
                    let deadline = self.deadlines[&(boot, item)];
                    assert!(self.now <= deadline - ms(41), "sent after its deadline less the margin");
                }
                if topic == STATE {
                    self.retained = Some(payload.clone());
                }
                self.carry(to_edge, &topic, &payload);
            }
        }
        // Each parcel that was read goes by its number, some are ordered again.
        while let Some(event) = self.host.events.get(self.seen).cloned() {
            self.seen += 1;
            if let Event::Scanned { boot, item, code: Some(_), decide_by } = event {
                let goal = chute(["C1", "C2", "C3"][item as usize % 3]);
                assert!(self.orders.insert((boot, item), goal.clone()).is_none(), "scanned once");
                self.deadlines.insert((boot, item), decide_by);
                let order = Order { boot, item, chute: goal, deadline: decide_by };
                self.edge.divert(self.now, order.clone(), &mut self.host);
                if self.random.below(4) == 0 {
                    self.edge.divert(self.now, order, &mut self.host);
                }
                self.route();
            }
        }
    }

    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        for step in 0.. {
            assert!(step < 100_000, "a deadline is told that does nothing");
            self.route();
            let sorter_deadline = self.sorter.next_deadline().map(|at| at - CLOCK_ERROR);
            let arrival = self.on_the_way.first().map(|(at, ..)| *at);
            let next = [arrival, sorter_deadline, self.edge.next_deadline()].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            while let Some((_, _, to_edge, topic, payload)) = self.pop_arrived() {
                if to_edge && self.edge_connected {
                    self.edge.receive(self.now, &topic, &payload, &mut self.host);
                    self.record();
                } else if !to_edge && self.sorter_connected {
                    self.sorter(|sorter, now, out| sorter.receive(now, &topic, &payload, out));
                }
            }
            self.edge.tick(self.now, &mut self.host);
            self.sorter(|sorter, now, out| sorter.tick(now, out));
        }
        self.now = until;
    }

    /// This test's core stores what it is told at once.
    fn record(&mut self) {
        for event in &self.host.events[self.recorded..] {
            if let Event::Outcome { boot, item, .. } = event {
                self.edge.recorded(*boot, *item);
            }
        }
        self.recorded = self.host.events.len();
    }

    fn pop_arrived(&mut self) -> Option<Arrival> {
        self.on_the_way.first().is_some_and(|(at, ..)| *at <= self.now).then(|| self.on_the_way.pop_first())?
    }

    fn induct(&mut self, read: bool) -> u32 {
        let code = read.then(|| chute("PARCEL"));
        let item = self.sorter(|sorter, now, out| sorter.induct(now, code, out));
        self.route();
        item
    }

    fn count(&self, is: impl Fn(&Event) -> bool) -> usize {
        self.host.events.iter().filter(|event| is(event)).count()
    }
}

#[test]
fn an_item_goes_where_it_is_commanded_and_a_no_read_to_the_hospital() {
    let mut pair = Pair::new(1, 0, 0);
    pair.run(ms(100));
    let (read, unread) = (pair.induct(true), pair.induct(false));
    pair.run(ms(3_000));
    let [Event::Up { boot: 1, run: Run::Running, chutes }, rest @ ..] = &pair.host.events[..] else {
        panic!("{:?}", pair.host.events)
    };
    assert_eq!(chutes.len(), 4);
    let decide_by = pair.deadlines[&(1, read)];
    let true_decision = START + ms(600);
    assert!((0..=20).contains(&(decide_by - true_decision).millis()), "late by the quickest message's delay at most");
    let told =
        |item: u32, is: fn(&Event) -> bool| rest.iter().any(|event| is(event) && event_item(event) == Some((1, item)));
    assert!(told(read, |event| matches!(event, Event::Sent { .. })));
    assert!(told(read, |event| matches!(event, Event::Acknowledged { .. })));
    assert!(told(read, |event| matches!(event, Event::Outcome { commanded: true, outcome: End::Diverted, .. })));
    assert!(told(unread, |event| matches!(event, Event::Outcome { commanded: false, outcome: End::Missed, .. })));
    assert_eq!(rest.len(), 2 + 2 + 2, "{rest:?}");
    let went: Vec<_> = pair.sorter.deliveries().iter().map(|delivery| delivery.chute.clone()).collect();
    assert_eq!(went, [Some(chute("C2")), Some(chute("H"))]);
    assert_eq!(pair.sorter.violations(), []);
}

fn event_item(event: &Event) -> Option<(u32, u32)> {
    match event {
        Event::Scanned { boot, item, .. }
        | Event::Sent { boot, item }
        | Event::Acknowledged { boot, item }
        | Event::Refused { boot, item, .. }
        | Event::Missed { boot, item, .. }
        | Event::Outcome { boot, item, .. } => Some((*boot, *item)),
        Event::Up { .. } | Event::Down { .. } | Event::Run(_) | Event::ChuteFull { .. } | Event::Malformed { .. } => {
            None
        }
    }
}

/// An edge that knows boot 3 of a sorter with chutes C1 and H, at `START`.
fn up() -> (Edge, Host) {
    let (mut edge, mut host) = (Edge::new(EdgeSettings::default()), Host::default());
    edge.connected(START, &mut host);
    let state = br#"{"online":true,"boot":3,"run":"running","news":1,"chutes":[{"chute":"C1","full":false},{"chute":"H","full":false}]}"#;
    edge.receive(START, STATE, state, &mut host);
    assert!(matches!(host.events[..], [Event::Up { boot: 3, .. }]));
    (host.published, host.events) = (Vec::new(), Vec::new());
    (edge, host)
}

fn order(deadline: Duration) -> Order {
    Order { boot: 3, item: 8, chute: chute("C1"), deadline: START + deadline }
}

fn diverts(host: &Host) -> usize {
    host.published.iter().filter(|(topic, _)| topic == DIVERT).count()
}

#[test]
fn a_command_is_sent_again_until_answered_and_never_after_its_time() {
    let (mut edge, mut host) = up();
    edge.divert(START, order(ms(500)), &mut host);
    assert_eq!(host.published, [(DIVERT.to_owned(), br#"{"command":"3-8","chute":"C1","valid_for_ms":500}"#.to_vec())]);
    assert_eq!(edge.next_deadline(), Some(START + ms(200)));
    for (at, sent) in [(199, 1), (200, 2), (399, 2), (400, 3), (499, 3)] {
        edge.tick(START + ms(at), &mut host);
        assert_eq!(diverts(&host), sent, "at {at} ms");
    }
    assert_eq!(edge.next_deadline(), Some(START + ms(500)), "600 ms would be too late");
    edge.tick(START + ms(500), &mut host);
    assert_eq!(host.events, [Event::Sent { boot: 3, item: 8 }, Event::Missed { boot: 3, item: 8, sent: true }]);
    edge.receive(START + ms(510), ACK, br#"{"command":"3-8","accepted":true}"#, &mut host);
    assert_eq!(host.events.len(), 2, "the outcome will tell");
}

#[test]
fn an_order_that_comes_too_late_never_leaves() {
    let (mut edge, mut host) = up();
    edge.divert(START, order(ms(49)), &mut host);
    assert_eq!((diverts(&host), &host.events[..]), (0, &[Event::Missed { boot: 3, item: 8, sent: false }][..]));
}

#[test]
fn an_order_waits_for_the_connection_within_its_time() {
    let (mut edge, mut host) = up();
    edge.disconnected(START, &mut host);
    edge.divert(START, order(ms(900)), &mut host);
    edge.tick(START + ms(300), &mut host);
    assert_eq!(host.published, []);
    edge.connected(START + ms(400), &mut host);
    assert_eq!(diverts(&host), 0, "connected, but the sorter was not heard yet");
    edge.receive(START + ms(410), HEARTBEAT, br#"{"boot":3,"at_us":0}"#, &mut host);
    assert_eq!(diverts(&host), 1);
    assert!(matches!(host.events[..], [Event::Down { .. }, Event::Up { .. }, Event::Sent { .. }]));
}

#[test]
fn a_connection_that_returns_too_late_sends_nothing_and_waits_for_the_deadline() {
    let (mut edge, mut host) = up();
    edge.divert(START, order(ms(500)), &mut host);
    edge.disconnected(START + ms(100), &mut host);
    edge.connected(START + ms(460), &mut host);
    edge.receive(START + ms(460), HEARTBEAT, br#"{"boot":3,"at_us":0}"#, &mut host);
    assert_eq!((diverts(&host), edge.next_deadline()), (1, Some(START + ms(500))));
}

#[test]
fn a_scan_that_the_broker_held_up_has_no_more_time_than_it_had() {
    let (mut edge, mut host) = up();
    edge.receive(START + ms(10), HEARTBEAT, br#"{"boot":3,"at_us":5000000}"#, &mut host);
    // Published 1 s after the heartbeat, and 300 ms longer on its way.
    let scan = br#"{"boot":3,"item":8,"code":"P","at_us":6000000,"decide_in_ms":500}"#;
    edge.receive(START + ms(1_310), SCAN, scan, &mut host);
    edge.receive(START + ms(1_320), SCAN, scan, &mut host);
    let decide_by = START + ms(1_510);
    assert_eq!(host.events, [Event::Scanned { boot: 3, item: 8, code: Some(chute("P")), decide_by }]);
}

#[test]
fn an_edge_that_starts_anew_is_told_what_is_unconfirmed_and_confirms_it() {
    let (mut edge, mut host) = up();
    let result = br#"{"n":18,"held_from":17,"boot":3,"item":9,"command":null,"outcome":"lost","chute":null}"#;
    edge.receive(START + ms(1_000), RESULT, result, &mut host);
    let confirmed = |host: &Host| {
        let (_, payload) = host.published.iter().rfind(|(topic, _)| topic == EDGE_HEARTBEAT).expect("a heartbeat");
        serde_json::from_slice::<EdgeHeartbeat>(payload).expect("valid").results_to
    };
    edge.recorded(3, 9);
    edge.tick(START + ms(1_500), &mut host);
    assert_eq!(confirmed(&host), 16, "17 is still to come");
    let result = br#"{"n":17,"held_from":17,"boot":3,"item":8,"command":null,"outcome":"lost","chute":null}"#;
    edge.receive(START + ms(2_500), RESULT, result, &mut host);
    assert_eq!(confirmed(&host), 16, "17 is not recorded yet");
    edge.receive(START + ms(2_600), RESULT, result, &mut host);
    assert_eq!(host.events.pop(), Some(host.events[1].clone()), "and so a repeat is told again");
    edge.recorded(3, 8);
    edge.tick(START + ms(3_500), &mut host);
    assert_eq!(confirmed(&host), 18);
    assert_eq!(host.events.len(), 2);
}

#[test]
fn one_item_has_one_chute() {
    let (mut edge, mut host) = up();
    edge.divert(START, order(ms(500)), &mut host);
    edge.divert(START, order(ms(500)), &mut host);
    edge.divert(START, Order { chute: chute("H"), ..order(ms(500)) }, &mut host);
    assert_eq!(diverts(&host), 1);
    assert!(matches!(&host.events[..], [Event::Sent { .. }, Event::Refused { reason, .. }] if reason.contains("C1")));
    edge.divert(START, Order { boot: 2, ..order(ms(500)) }, &mut host);
    assert!(matches!(host.events.last(), Some(Event::Refused { boot: 2, .. })));
}

#[test]
fn silence_is_told_once_and_so_is_the_return() {
    let (mut edge, mut host) = up();
    for at in 0..=5 {
        edge.tick(START + ms(1_000 * at), &mut host);
    }
    assert_eq!(host.events, [Event::Down { why: "the sorter is silent".into() }]);
    edge.receive(START + ms(6_000), HEARTBEAT, br#"{"boot":3,"at_us":0}"#, &mut host);
    assert!(matches!(host.events[1..], [Event::Up { boot: 3, .. }]));
    edge.receive(START + ms(6_001), STATE, LAST_WILL.as_bytes(), &mut host);
    assert_eq!(host.events[2..], [Event::Down { why: "the sorter is offline".into() }]);
}

#[test]
fn what_breaks_the_contract_is_named() {
    let (mut edge, mut host) = up();
    let long = [b' '; PAYLOAD_MAX + 1];
    let cases: [(&str, &[u8], &str); 8] = [
        (SCAN, b"{", "EOF"),
        (SCAN, br#"{"boot":3,"item":1,"code":null,"at_us":0}"#, "missing field `decide_in_ms`"),
        (SCAN, br#"{"boot":-3,"item":1,"code":null,"at_us":0,"decide_in_ms":1}"#, "invalid value: integer `-3`"),
        (ACK, br#"{"command":"3-08","accepted":true,"reason":null}"#, "no BOOT-ITEM"),
        (RESULT, br#"{"n":1,"held_from":2,"boot":3,"item":1,"outcome":"lost"}"#, "held_from is 2"),
        (RESULT, br#"{"n":1,"held_from":1,"boot":3,"item":1,"outcome":"stolen"}"#, "unknown variant `stolen`"),
        (SCAN, &long, "65537 octets"),
        ("sensors", b"{}", "unknown topic"),
    ];
    for (topic, payload, expected) in cases {
        host.events.clear();
        edge.receive(START, topic, payload, &mut host);
        match &host.events[..] {
            [Event::Malformed { place: of, what }] => assert!(of == topic && what.contains(expected), "{what}"),
            other => panic!("{topic}: {other:?}"),
        }
    }
}

#[test]
fn a_late_or_contradicting_command_is_refused_and_recorded() {
    let (mut sorter, mut acks) = (Sorter::new(settings()), Vec::<Ack>::new());
    sorter.connected(START, &mut |_, _| {});
    let item = sorter.induct(START, None, &mut |_, _| {});
    let mut say = |at: i64, command: &str, goal: &str, sorter: &mut Sorter| {
        let divert = json!({"command": command, "chute": goal, "valid_for_ms": 100}).to_string();
        let mut ack = |topic: &str, payload: &[u8]| {
            if topic == ACK {
                acks.push(serde_json::from_slice(payload).expect("an ack"));
            }
        };
        sorter.receive(START + ms(at), DIVERT, divert.as_bytes(), &mut ack);
        acks.last().expect("answered").accepted
    };
    assert!(!say(1, "1-1", "C9", &mut sorter));
    assert!(say(2, "1-1", "C1", &mut sorter));
    assert!(say(3, "1-1", "C1", &mut sorter));
    assert!(!say(4, "1-1", "C2", &mut sorter));
    assert!(!say(5, "1-2", "C2", &mut sorter));
    assert!(!say(6, "9-1", "C2", &mut sorter));
    let second = sorter.induct(START + ms(10), None, &mut |_, _| {});
    assert!(!say(510, "1-2", "C2", &mut sorter));
    assert!(say(2_000, "1-1", "C1", &mut sorter), "the same answer for ever");
    assert_eq!(sorter.repeats(), 2);
    let violations = [
        Violation::UnknownChute { chute: chute("C9") },
        Violation::Contradiction { item },
        Violation::UnknownItem { item: 2 },
        Violation::Late { item: second },
    ];
    assert_eq!(sorter.violations(), violations);
    assert_eq!(sorter.deliveries()[0].chute, Some(chute("C1")));
}

#[test]
fn without_the_edge_all_go_to_the_hospital() {
    let mut pair = Pair::new(5, 0, 0);
    pair.run(ms(100));
    pair.disconnect_edge();
    for _ in 0..10 {
        pair.induct(true);
        pair.run(ms(1_000));
    }
    assert!(pair.sorter.deliveries().iter().all(|delivery| delivery.chute == Some(chute("H"))));
    assert_eq!(pair.count(|event| matches!(event, Event::Outcome { .. })), 0);
    pair.connect_edge();
    pair.run(ms(4_000));
    assert_eq!(pair.count(|event| matches!(event, Event::Outcome { .. })), 10, "told once the edge is back");
}

#[test]
fn a_command_lapses_when_the_edge_is_silent_at_the_decision_point() {
    let slow = SorterSettings { to_decision: ms(4_000), ..settings() };
    for (last_beat, outcome) in [(1_000, End::Diverted), (999, End::Missed)] {
        let mut sorter = Sorter::new(slow.clone());
        sorter.connected(START, &mut |_, _| {});
        sorter.induct(START, None, &mut |_, _| {});
        let divert = br#"{"command":"1-1","chute":"C1","valid_for_ms":3900}"#;
        sorter.receive(START + ms(100), DIVERT, divert, &mut |_, _| {});
        sorter.receive(START + ms(last_beat), EDGE_HEARTBEAT, br#"{"boot":1,"results_to":0}"#, &mut |_, _| {});
        sorter.tick(START + ms(9_000), &mut |_, _| {});
        assert_eq!(sorter.take_deliveries()[0].outcome, outcome, "last heard at {last_beat} ms");
    }
}

#[test]
fn a_stopped_belt_moves_nothing_and_a_full_chute_takes_nothing() {
    let mut pair = Pair::new(6, 0, 0);
    pair.run(ms(100));
    pair.induct(true);
    pair.run(ms(100));
    pair.sorter(|sorter, now, out| sorter.set_run(now, Run::Estop, out));
    pair.run(ms(5_000));
    assert_eq!((pair.sorter.on_belt(), pair.sorter.deliveries().len()), (1, 0));
    pair.sorter(|sorter, now, out| sorter.set_run(now, Run::Running, out));
    pair.sorter(|sorter, now, out| sorter.set_full(now, &chute("C2"), true, out));
    pair.run(ms(3_000));
    assert_eq!(pair.sorter.deliveries()[0].chute, Some(chute("H")), "it filled up before the decision point");
    assert_eq!(pair.count(|event| *event == Event::Run(Run::Estop)), 1);
    assert_eq!(pair.count(|event| *event == Event::ChuteFull { chute: chute("C2"), full: true }), 1);
}

#[test]
fn a_report_is_repeated_until_a_command_comes_and_never_after_the_decision() {
    let mut sorter = Sorter::new(settings());
    let mut heard = Vec::new();
    sorter.induct(START, Some(chute("P")), &mut |_, _| {});
    let mut out = |topic: &str, payload: &[u8]| {
        if topic == SCAN {
            heard.push(serde_json::from_slice::<Scan>(payload).expect("a scan"));
        }
    };
    // Nobody was connected when it passed; and the first reports are lost.
    sorter.connected(START + ms(50), &mut out);
    for at in (50..=600).step_by(10) {
        sorter.tick(START + ms(at), &mut out);
        if at == 300 {
            sorter.induct(START + ms(at), None, &mut out);
            let divert = br#"{"command":"1-2","chute":"C1","valid_for_ms":400}"#;
            sorter.receive(START + ms(at), DIVERT, divert, &mut out);
        }
    }
    let told: Vec<_> =
        heard.iter().map(|scan| (scan.item, (scan.at_us - START.micros()) / 1_000, scan.decide_in_ms)).collect();
    assert_eq!(told, [(1, 50, 450), (1, 250, 250), (2, 300, 500), (1, 450, 50)]);
}

#[test]
fn too_near_and_two_in_one_follow_the_safe_plan_whatever_is_commanded() {
    let mut pair = Pair::new(8, 0, 0);
    pair.run(ms(100));
    for (item, how) in [(1, End::Gap), (2, End::Double), (3, End::Lost), (4, End::Jammed)] {
        assert_eq!(pair.induct(true), item);
        pair.run(ms(50));
        pair.sorter(|sorter, now, out| sorter.fail(now, item, how, out));
    }
    pair.run(ms(4_000));
    let mut ends: Vec<_> =
        pair.sorter.deliveries().iter().map(|end| (end.item, end.outcome, end.chute.clone())).collect();
    ends.sort_by_key(|(item, ..)| *item);
    let hospital = Some(chute("H"));
    assert_eq!(
        ends,
        [(1, End::Gap, hospital.clone()), (2, End::Double, hospital), (3, End::Lost, None), (4, End::Jammed, None),]
    );
    for (item, how) in [(1, End::Gap), (2, End::Double), (3, End::Lost), (4, End::Jammed)] {
        let told = |event: &Event| matches!(event, Event::Outcome { item: of, outcome, commanded: true, .. } if *of == item && *outcome == how);
        assert_eq!(pair.count(told), 1, "{how:?}");
    }
}

#[test]
fn a_restart_voids_what_was_on_the_belt() {
    let mut pair = Pair::new(7, 0, 0);
    pair.run(ms(100));
    pair.induct(true);
    pair.run(ms(100));
    pair.sorter(|sorter, now, out| sorter.restart(now, out));
    pair.run(ms(1_000));
    assert_eq!(pair.count(|event| matches!(event, Event::Up { boot: 2, .. })), 1);
    assert_eq!(pair.sorter.deliveries()[0].outcome, End::Lost);
    assert_eq!(pair.induct(true), 1, "numbers begin again, under another boot");
    pair.run(ms(3_000));
    assert_eq!(pair.sorter.deliveries()[1].outcome, End::Diverted);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_is_done_twice_or_late_and_everything_is_told(
        seed: u64, loss in 0_u64..300, repeats in 0_u64..300, outages: bool,
    ) {
        let mut pair = Pair::new(seed, loss, repeats);
        for _ in 0..60 {
            let gap = ms(pair.random.below(400) as i64);
            pair.run(gap);
            let read = pair.random.below(8) > 0;
            pair.induct(read);
            if outages {
                match pair.random.below(30) {
                    0 if pair.edge_connected => pair.disconnect_edge(),
                    1 if pair.sorter_connected => pair.disconnect_sorter(),
                    2..8 if !pair.edge_connected => pair.connect_edge(),
                    2..8 if !pair.sorter_connected => pair.connect_sorter(),
                    _ => {}
                }
            }
        }
        // The faults end: everything must finish.
        (pair.loss, pair.repeats) = (0, 0);
        if !pair.edge_connected { pair.connect_edge() }
        if !pair.sorter_connected { pair.connect_sorter() }
        pair.run(ms(12_000));

        prop_assert_eq!(pair.sorter.violations(), []);
        prop_assert_eq!(pair.sorter.on_belt(), 0);
        let deliveries = pair.sorter.deliveries();
        let items: BTreeSet<_> = deliveries.iter().map(|delivery| (delivery.boot, delivery.item)).collect();
        prop_assert!(items.len() == 60 && deliveries.len() == 60, "each item ends once");
        for delivery in deliveries {
            let key = (delivery.boot, delivery.item);
            if let Some((goal, at)) = &delivery.commanded {
                prop_assert_eq!(Some(goal), pair.orders.get(&key));
                prop_assert!(delivery.decided_at.is_some_and(|decided_at| *at <= decided_at));
            }
            let goal = match delivery.outcome {
                End::Diverted => pair.orders.get(&key).cloned(),
                _ => Some(chute("H")),
            };
            prop_assert_eq!(&delivery.chute, &goal);
            let mut told: Vec<_> = pair.host.events.iter().filter(|event| event_item(event) == Some(key)).collect();
            // An order that came too late twice is told as such twice.
            told.dedup_by(|a, b| a == b && matches!(a, Event::Missed { sent: false, .. }));
            let count = |is: fn(&Event) -> bool| told.iter().filter(|event| is(event)).count();
            prop_assert_eq!(count(|event| matches!(event, Event::Outcome { .. })), 1, "{:?}", told);
            let ends = count(|event| matches!(event, Event::Acknowledged { .. } | Event::Missed { .. } | Event::Refused { .. }));
            prop_assert_eq!(ends, usize::from(pair.orders.contains_key(&key)), "{:?}", told);
            let sent = count(|event| matches!(event, Event::Sent { .. }));
            prop_assert!(sent <= 1);
        }
    }

    #[test]
    fn hostile_messages_never_panic(
        messages in prop::collection::vec((0_usize..8, prop::collection::vec(any::<u8>(), 0..64), any::<(u32, u32, u32, i64)>()), 0..40),
    ) {
        let (mut edge, mut host) = up();
        let mut sorter = Sorter::new(settings());
        sorter.connected(START, &mut |_, _| {});
        let topics = [STATE, SCAN, ACK, RESULT, HEARTBEAT, DIVERT, EDGE_HEARTBEAT, "other"];
        for (index, (topic, noise, (a, b, c, d))) in messages.into_iter().enumerate() {
            let shaped = json!({
                "online": true, "boot": a % 5, "run": "stopped", "chutes": [], "item": b, "code": null, "at_us": d,
                "decide_in_ms": c, "n": c, "held_from": b, "outcome": "lost", "command": command_id(a % 5, b),
                "accepted": d > 0, "chute": "C1", "valid_for_ms": c, "results_to": b,
            });
            let now = START + ms(97 * index as i64);
            for payload in [noise, shaped.to_string().into_bytes()] {
                edge.receive(now, topics[topic], &payload, &mut host);
                sorter.receive(now, topics[topic], &payload, &mut |_, _| {});
            }
            edge.divert(now, Order { boot: a, item: b, chute: chute("C1"), deadline: Timestamp::from_micros(d) }, &mut host);
            prop_assert!(edge.next_deadline().is_none_or(|next| next > now), "it doesn't spin");
        }
    }
}
