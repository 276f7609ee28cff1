//! Both ends on one clock, with a broker between them that delays, repeats and loses messages.

use super::model::{Action, ActionParameter, ActionStatus, BlockingType, Message};
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use stowage_base::Duration;

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
const DELAY_MAX_US: u64 = 50_000;

fn secs(secs: i64) -> Duration {
    Duration::from_secs(secs)
}

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis)
}

/// Node `n` of a grid that is 2 m wide.
fn stop(n: u32) -> Stop {
    let (x, y) = (n as i32 % 5, n as i32 / 5);
    Stop { node: format!("N{n}"), x_mm: 2_000 * x, y_mm: 2_000 * y, ..Stop::default() }
}

fn action(id: &str, kind: &str) -> Action {
    let parameter = ActionParameter { key: "loadId".into(), value: format!("L-{id}").into() };
    Action {
        action_id: id.into(),
        action_type: kind.into(),
        blocking_type: BlockingType::Hard,
        action_parameters: vec![parameter],
        ..Action::default()
    }
}

/// An order over these nodes of the grid, the first `released` of them in the base.
fn order(id: &str, update: u32, nodes: &[u32], released: usize) -> Order {
    let stops = nodes.iter().enumerate().map(|(index, n)| Stop { released: index < released, ..stop(*n) });
    Order { id: id.into(), update, nodes: stops.collect(), deadline: Timestamp::MAX, ..Order::default() }
}

fn edge(version: Version) -> Edge {
    Edge::new(EdgeSettings {
        version,
        interface: version.interface().into(),
        manufacturer: "KIT".into(),
        serial: "0001".into(),
        map: "floor".into(),
    })
}

fn robot(version: Version) -> Robot {
    Robot::new(START, RobotSettings::carrier(version, "KIT", "0001", "N0"))
}

/// What the edge's session gave out.
#[derive(Default)]
struct Host {
    published: Vec<Publish>,
    events: Vec<Event>,
}

impl Sink for Host {
    fn publish(&mut self, topic: &str, payload: Vec<u8>, qos: Qos, retain: bool) {
        self.published.push(Publish { topic: topic.to_owned(), payload, qos, retain });
    }
    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

/// Validators of the official schemas by topic, where they are at hand.
fn officials(version: Version) -> BTreeMap<Topic, jsonschema::Validator> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("STOWAGE_VECTORS").map_or_else(beside, PathBuf::from);
    let of_version = if version == Version::V3_0 { "main" } else { version.name() };
    let folder = folder.join("vda5050/schemas").join(of_version);
    let mut validators = BTreeMap::new();
    for topic in Topic::ALL {
        let text = ["schema", "json"]
            .iter()
            .find_map(|end| std::fs::read_to_string(folder.join(topic.name()).with_extension(end)).ok());
        if let Some(text) = text {
            let schema = serde_json::from_str(text.trim_start_matches('\u{FEFF}')).expect("JSON");
            validators.insert(topic, jsonschema::validator_for(&schema).expect("a schema"));
        }
    }
    if validators.is_empty() {
        eprintln!("SKIPPED: no {}", folder.display());
    }
    validators
}

/// A message on its way: when it arrives, a number that tells equals apart, whether to the edge, topic and payload.
type Arrival = (Timestamp, u64, bool, String, Vec<u8>);

struct Pair {
    version: Version,
    now: Timestamp,
    random: Random,
    /// Per mille of messages that are lost, and repeated.
    loss: u64,
    repeats: u64,
    /// Messages overtake each other, which those of one client at one broker don't.
    reorder: bool,
    edge: Edge,
    edge_connected: bool,
    robot: Robot,
    robot_connected: bool,
    will: Publish,
    host: Host,
    from_robot: Vec<Publish>,
    retained: BTreeMap<String, Vec<u8>>,
    on_the_way: BTreeSet<Arrival>,
    latest: BTreeMap<bool, Timestamp>,
    sent: u64,
    officials: BTreeMap<Topic, jsonschema::Validator>,
    /// The highest number released by any message of an order.
    released: BTreeMap<String, u32>,
    /// Messages of the edge, decoded.
    said: Vec<Message>,
    happenings: Vec<Happening>,
}

impl Pair {
    fn new(version: Version, seed: u64) -> Self {
        let mut robot = robot(version);
        let mut pair = Self {
            version,
            now: START,
            random: Random(seed),
            loss: 0,
            repeats: 0,
            reorder: false,
            edge: edge(version),
            edge_connected: false,
            will: robot.will(START),
            robot,
            robot_connected: false,
            host: Host::default(),
            from_robot: Vec::new(),
            retained: BTreeMap::new(),
            on_the_way: BTreeSet::new(),
            latest: BTreeMap::new(),
            sent: 0,
            officials: officials(version),
            released: BTreeMap::new(),
            said: Vec::new(),
            happenings: Vec::new(),
        };
        pair.connect_robot();
        pair.connect_edge();
        pair
    }

    /// Calls the robot, and hands what it publishes to the broker.
    fn robot<T>(&mut self, call: impl FnOnce(&mut Robot, Timestamp, &mut dyn FnMut(Publish)) -> T) -> T {
        let Self { robot, from_robot, now, .. } = self;
        call(robot, *now, &mut |publish| from_robot.push(publish))
    }

    fn connect_robot(&mut self) {
        self.robot_connected = true;
        self.will = self.robot.will(self.now);
        self.robot(|robot, now, out| robot.connected(now, out));
        self.route();
    }

    fn disconnect_robot(&mut self) {
        self.robot.disconnected(self.now);
        self.robot_connected = false;
        let Publish { topic, payload, .. } = self.will.clone();
        self.carry(true, &topic, &payload);
        self.retained.insert(topic, payload);
    }

    fn connect_edge(&mut self) {
        self.edge_connected = true;
        self.edge.connected(self.now, &mut self.host);
        for (topic, payload) in self.retained.clone() {
            self.carry(true, &topic, &payload);
        }
        self.route();
    }

    fn disconnect_edge(&mut self) {
        self.edge.disconnected(self.now, &mut self.host);
        self.edge_connected = false;
    }

    fn carry(&mut self, to_edge: bool, topic: &str, payload: &[u8]) {
        let copies = match self.random.below(1_000) {
            dice if dice < self.loss && !topic.ends_with("connection") => 0,
            dice if dice < self.loss + self.repeats => 2,
            _ => 1,
        };
        for _ in 0..copies {
            self.sent += 1;
            let mut at = self.now + Duration::from_micros(1 + self.random.below(DELAY_MAX_US) as i64);
            let latest = self.latest.entry(to_edge).or_insert(at);
            if !self.reorder {
                at = at.max(*latest);
            }
            *latest = at;
            self.on_the_way.insert((at, self.sent, to_edge, topic.to_owned(), payload.to_vec()));
        }
    }

    /// Takes what both ends published: checks it, keeps what is retained, sends it on its way.
    fn route(&mut self) {
        for (to_edge, messages) in
            [(true, std::mem::take(&mut self.from_robot)), (false, std::mem::take(&mut self.host.published))]
        {
            for Publish { topic, payload, qos, retain } in messages {
                let kind = Topic::named(topic.rsplit('/').next().expect("a level")).expect("a topic");
                assert_eq!((qos, retain), (kind.qos(), kind.retained()));
                let verdict = check(self.version, kind, &payload);
                assert_eq!(verdict.faults, [], "{}", String::from_utf8_lossy(&payload));
                if let Some(official) = self.officials.get(&kind) {
                    let value = serde_json::from_slice(&payload).expect("JSON");
                    let errors: Vec<_> = official.iter_errors(&value).map(|error| error.to_string()).collect();
                    assert!(errors.is_empty(), "{errors:?}: {value}");
                }
                assert!(if to_edge { self.robot_connected } else { self.edge_connected });
                if let Some(message) = verdict.message.filter(|_| !to_edge) {
                    if let Message::Order(order) = &message {
                        let base = order.nodes.iter().filter(|node| node.released).map(|node| node.sequence_id).max();
                        let known = self.released.entry(order.order_id.clone()).or_default();
                        *known = base.unwrap_or_default().max(*known);
                    }
                    self.said.push(message);
                }
                if retain {
                    self.retained.insert(topic.clone(), payload.clone());
                }
                self.carry(to_edge, &topic, &payload);
            }
        }
        let happened = self.robot.take_happenings();
        for happening in &happened {
            if let Happening::Reached { order, sequence, .. } = happening {
                assert!(*sequence <= self.released[order], "{order} drove beyond its base, to {sequence}");
            }
        }
        self.happenings.extend(happened);
    }

    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        for step in 0.. {
            assert!(step < 100_000, "a deadline is told that does nothing");
            self.route();
            let arrival = self.on_the_way.first().map(|(at, ..)| *at);
            let next = [arrival, self.robot.next_deadline(), self.edge.next_deadline()].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            while let Some((_, _, to_edge, topic, payload)) = self.pop_arrived() {
                if to_edge && self.edge_connected {
                    self.edge.receive(self.now, &topic, &payload, &mut self.host);
                } else if !to_edge && self.robot_connected {
                    self.robot(|robot, now, out| robot.receive(now, &topic, &payload, out));
                }
            }
            self.edge.tick(self.now, &mut self.host);
            self.robot(|robot, now, out| robot.tick(now, out));
        }
        self.now = until;
        self.edge.tick(self.now, &mut self.host);
        self.robot(|robot, now, out| robot.tick(now, out));
        self.route();
    }

    fn pop_arrived(&mut self) -> Option<Arrival> {
        self.on_the_way.first().is_some_and(|(at, ..)| *at <= self.now).then(|| self.on_the_way.pop_first())?
    }

    fn order(&mut self, order: Order) {
        self.edge.order(self.now, order, &mut self.host);
        self.route();
    }

    fn count(&self, is: impl Fn(&Event) -> bool) -> usize {
        self.host.events.iter().filter(|event| is(event)).count()
    }

    fn reached(&self, of: &str) -> Vec<u32> {
        let reached = self.host.events.iter().filter_map(|event| match event {
            Event::NodeReached { order, sequence, .. } if order == of => Some(*sequence),
            _ => None,
        });
        reached.collect()
    }

    fn orders_said(&self) -> Vec<&model::Order> {
        let orders = self.said.iter().filter_map(|message| match message {
            Message::Order(order) => Some(order),
            _ => None,
        });
        orders.collect()
    }
}

#[test]
fn an_order_is_driven_to_the_end_of_its_base_and_on_once_it_is_extended() {
    for version in Version::ALL {
        let mut pair = Pair::new(version, 1);
        pair.run(secs(1));
        assert!(matches!(&pair.host.events[..2], [Event::Factsheet(_), Event::Up] | [Event::Up, Event::State(_)]));
        let mut first = order("o-1", 0, &[0, 1, 2, 3], 2);
        first.nodes[1].actions = vec![action("a-1", "pick")];
        pair.order(first.clone());
        pair.run(secs(20));
        assert_eq!((pair.robot.last_node(), pair.robot.loads()), (("N1", 2), 1), "{version}");
        assert!(!pair.robot.idle(), "it waits for more base");
        let report = pair.edge.report().expect("told");
        assert!(report.new_base_request && !report.idle && report.base_end == ("N1".into(), 2));

        let mut second = order("o-1", 1, &[0, 1, 2, 8], 4);
        second.nodes[1].actions.clone_from(&first.nodes[1].actions);
        second.nodes[3].actions = vec![action("a-2", "drop")];
        pair.order(second);
        pair.run(secs(30));
        assert_eq!((pair.robot.last_node(), pair.robot.loads(), pair.robot.idle()), (("N8", 6), 0, true));
        assert_eq!(pair.robot.position(), (6_000, 2_000));
        assert_eq!(pair.robot.violations(), []);
        assert_eq!(pair.reached("o-1"), [0, 2, 4, 6]);
        let orders = pair.orders_said();
        let sent: Vec<_> = orders[1].nodes.iter().map(|node| (node.sequence_id, node.node_id.as_str())).collect();
        assert_eq!(sent, [(2, "N1"), (4, "N2"), (6, "N8")], "stitched at the last released node");
        assert_eq!((orders.len(), orders[1].edges[0].sequence_id), (2, 3));
        let done = |id: &str| {
            pair.count(
                |event| matches!(event, Event::Action { action, status: ActionStatus::Finished, .. } if action == id),
            )
        };
        assert_eq!((done("a-1"), done("a-2")), (1, 1));
        assert_eq!(pair.count(|event| matches!(event, Event::Accepted { .. })), 2);
        assert_eq!(pair.count(|event| matches!(event, Event::Malformed { .. })), 0, "{:?}", pair.host.events);
    }
}

#[test]
fn a_robot_without_a_connection_stops_at_the_end_of_its_base_and_goes_on_when_it_is_back() {
    let mut pair = Pair::new(Version::V2_1, 2);
    pair.run(secs(1));
    pair.order(order("o-1", 0, &[0, 1, 2, 3], 3));
    pair.run(secs(1));
    pair.disconnect_robot();
    pair.run(secs(20));
    assert_eq!((pair.robot.last_node(), pair.robot.driving()), (("N2", 4), false));
    assert_eq!(pair.host.events.last(), Some(&Event::Down { why: "the robot's connection broke" }));
    pair.order(order("o-1", 1, &[0, 1, 2, 3], 4));
    pair.run(secs(60));
    assert_eq!(pair.orders_said().len(), 1, "nothing is sent to a robot that is gone");
    pair.connect_robot();
    pair.run(secs(5));
    assert_eq!((pair.robot.last_node(), pair.reached("o-1")), (("N3", 6), vec![0, 2, 4, 6]));
}

#[test]
fn an_order_that_the_robot_cannot_take_is_told_with_its_reason() {
    for version in Version::ALL {
        let mut pair = Pair::new(version, 3);
        pair.run(secs(1));
        pair.order(order("o-1", 0, &[7, 8], 2));
        pair.run(secs(5));
        let Some(Event::Rejected { order: of, update: 0, reason }) =
            pair.host.events.iter().rfind(|event| matches!(event, Event::Rejected { .. }))
        else {
            panic!("{:?}", pair.host.events)
        };
        assert!(of == "o-1" && reason.ends_with("the first node is elsewhere"), "{reason}");
        assert_eq!(pair.robot.violations(), [Violation::Unreachable("o-1".into())]);
        pair.order(order("o-2", 0, &[0, 1], 2));
        pair.run(secs(5));
        assert_eq!(pair.reached("o-2"), [0, 2], "an earlier refusal is none of this order");
        assert!(pair.edge.report().expect("told").errors.is_empty(), "and is over");
    }
}

#[test]
fn this_end_refuses_what_would_change_the_base() {
    let mut pair = Pair::new(Version::V3_0, 4);
    pair.run(secs(1));
    pair.order(order("o-1", 3, &[0, 1, 2], 2));
    let refused = [
        (order("o-1", 3, &[0, 1, 2], 3), "update 3 says something else"),
        (order("o-1", 2, &[0, 1, 2], 3), "came after update 3"),
        (order("o-1", 4, &[0, 5, 6], 3), "node N1 (2) was released before"),
        (order("o-1", 4, &[0, 1], 1), "node N1 (2) was released before"),
        (order("", 4, &[0, 1], 1), "no id"),
        (order("o-2", 0, &[], 0), "no nodes"),
        (order("o-2", 0, &[0, 1], 0), "first node must be released"),
        (Order { first_sequence: 3, ..order("o-2", 0, &[0, 1], 1) }, "even number"),
    ];
    for (bad, expected) in refused {
        pair.host.events.clear();
        pair.order(bad);
        match &pair.host.events[..] {
            [Event::Rejected { reason, .. }] => assert!(reason.contains(expected), "{reason}"),
            other => panic!("{expected}: {other:?}"),
        }
    }
    let mut twice = order("o-2", 0, &[0, 1], 2);
    twice.nodes[0].actions = vec![action("a", "pick"), action("a", "drop")];
    pair.order(twice);
    assert!(matches!(pair.host.events.last(), Some(Event::Rejected { reason, .. }) if reason.contains("actionId")));
}

#[test]
fn passed_nodes_may_be_left_out() {
    let mut pair = Pair::new(Version::V2_0, 5);
    pair.run(secs(1));
    pair.order(order("o-1", 0, &[0, 1, 2], 3));
    pair.run(secs(10));
    pair.order(Order { first_sequence: 4, ..order("o-1", 1, &[2, 3], 2) });
    pair.run(secs(10));
    assert_eq!((pair.robot.last_node(), pair.reached("o-1")), (("N3", 6), vec![0, 2, 4, 6]));
    assert_eq!(pair.robot.violations(), []);
}

#[test]
fn a_cancelled_order_ends_at_the_next_node_and_another_begins_there() {
    for version in Version::ALL {
        let mut pair = Pair::new(version, 6);
        pair.run(secs(1));
        let mut first = order("o-1", 0, &[0, 1, 2, 3], 4);
        first.nodes[3].actions = vec![action("a-1", "pick")];
        pair.order(first);
        pair.run(secs(3));
        pair.edge.cancel(pair.now, "o-1", &mut pair.host);
        pair.order(order("o-2", 0, &[2, 7], 2));
        pair.run(secs(15));
        assert_eq!(pair.count(|event| *event == Event::Cancelled { order: "o-1".into() }), 1);
        assert_eq!((pair.robot.last_node(), pair.robot.loads()), (("N7", 2), 0), "{version}");
        let failed = |event: &Event| matches!(event, Event::Action { status: ActionStatus::Failed, .. });
        assert_eq!((pair.count(failed), pair.robot.violations()), (0, &[][..]), "the second order is another task");
        pair.edge.cancel(pair.now, "o-2", &mut pair.host);
        pair.run(secs(5));
        assert_eq!(pair.count(|event| *event == Event::Cancelled { order: "o-2".into() }), 1, "it was over before");
        let errors = &pair.edge.report().expect("told").errors;
        let expected = if version == Version::V3_0 { "NO_ORDER_TO_CANCEL" } else { "noOrderToCancel" };
        assert_eq!(errors[0].error_type, expected);
    }
}

#[test]
fn a_robot_stands_for_its_troubles_and_its_people_and_goes_on_after() {
    for trouble in [Trouble::Obstacle, Trouble::EmergencyStop, Trouble::LostLocalization, Trouble::Manual] {
        let mut pair = Pair::new(Version::V2_1, 7);
        pair.run(secs(1));
        pair.order(order("o-1", 0, &[0, 1, 2], 3));
        pair.run(secs(1));
        pair.robot(|robot, now, out| robot.trouble(now, trouble, true, out));
        pair.run(secs(20));
        let at = pair.robot.position();
        assert!(!pair.robot.driving() && at.0 < 1_100, "{trouble:?}: {at:?}");
        let report = pair.edge.report().expect("told").clone();
        assert_eq!(report.field_violation, trouble == Trouble::Obstacle);
        assert_eq!(report.mode.is_ours(), trouble != Trouble::Manual);
        assert_eq!(report.position.is_none(), trouble == Trouble::LostLocalization);
        assert_eq!(report.emergency_stop == model::EmergencyStop::Manual, trouble == Trouble::EmergencyStop);
        pair.robot(|robot, now, out| robot.trouble(now, trouble, false, out));
        pair.run(secs(20));
        assert_eq!(pair.robot.last_node(), ("N2", 4));
    }
}

#[test]
fn a_failed_pick_holds_the_robot_until_the_order_is_cancelled() {
    let mut pair = Pair::new(Version::V3_0, 8);
    pair.run(secs(1));
    pair.robot(|robot, now, out| robot.trouble(now, Trouble::PickFails, true, out));
    let mut with_pick = order("o-1", 0, &[0, 1, 2], 3);
    with_pick.nodes[1].actions = vec![action("a-1", "pick")];
    pair.order(with_pick);
    pair.run(secs(60));
    let failed = |event: &Event| matches!(event, Event::Action { status: ActionStatus::Failed, .. });
    assert_eq!((pair.count(failed), pair.robot.last_node()), (1, ("N1", 2)));
    pair.edge.cancel(pair.now, "o-1", &mut pair.host);
    pair.run(secs(5));
    assert!(pair.edge.report().expect("told").idle);
}

#[test]
fn pause_charge_and_battery() {
    for version in Version::ALL {
        let mut pair = Pair::new(version, 9);
        pair.run(secs(1));
        let say = |pair: &mut Pair, id: &str, kind: &str| {
            let action = Action { action_parameters: Vec::new(), ..action(id, kind) };
            pair.edge.instant(pair.now, action, pair.now + secs(30), &mut pair.host);
            pair.run(secs(3));
            pair.count(|event| *event == Event::Instant { action: id.into(), status: Some(ActionStatus::Finished) })
        };
        pair.order(order("o-1", 0, &[0, 1, 2], 3));
        assert_eq!(say(&mut pair, "i-1", "startPause"), 1);
        let at = pair.robot.position();
        pair.run(secs(60));
        assert!(pair.edge.report().expect("told").paused && pair.robot.position() == at && at != (4_000, 0));
        assert_eq!(say(&mut pair, "i-2", "stopPause"), 1);
        pair.run(secs(10));
        assert_eq!(pair.robot.last_node(), ("N2", 4));
        assert_eq!(say(&mut pair, "i-3", "startCharging"), 1);
        pair.run(secs(600));
        let report = pair.edge.report().expect("told");
        assert!(report.charging && report.charge_percent > 90, "{report:?}");
        pair.robot(|robot, now, out| robot.trouble(now, Trouble::EmptyBattery, true, out));
        assert_eq!(say(&mut pair, "i-4", "stopCharging"), 1);
        pair.order(order("o-2", 0, &[2, 1], 2));
        pair.run(secs(60));
        assert_eq!(pair.robot.last_node(), ("N2", 0), "it has taken the order, and stands");
        assert_eq!(pair.edge.report().expect("told").errors.len(), 1);
    }
}

#[test]
fn an_order_whose_time_is_over_never_leaves() {
    let mut pair = Pair::new(Version::V2_1, 10);
    pair.run(secs(1));
    pair.disconnect_edge();
    let deadline = pair.now + secs(5);
    pair.order(Order { deadline, ..order("o-1", 0, &[0, 1], 2) });
    pair.run(secs(10));
    pair.connect_edge();
    pair.run(secs(10));
    assert_eq!(pair.count(|event| matches!(event, Event::Missed { sent: false, .. })), 1);
    assert_eq!((pair.orders_said().len(), pair.robot.last_node()), (0, ("N0", 0)));
}

/// What was passed is left out, and the deadline is another: the way is the same.
fn anew(order: &Order, passed: usize, deadline: Timestamp) -> Order {
    let (first_sequence, nodes) = (order.first_sequence + 2 * passed as u32, order.nodes[passed..].to_vec());
    Order { first_sequence, nodes, deadline, ..order.clone() }
}

#[test]
fn an_order_that_is_told_anew_after_a_break_is_the_same_order() {
    for version in Version::ALL {
        let mut pair = Pair::new(version, 15);
        pair.run(secs(1));
        let told = Order { deadline: pair.now + secs(60), ..order("o-1", 0, &[0, 1, 2, 3], 4) };
        pair.order(told.clone());
        while pair.reached("o-1") != [0, 2] {
            pair.run(ms(500));
        }
        pair.disconnect_edge();
        pair.run(secs(1));
        pair.connect_edge();
        pair.run(secs(1));
        let said = pair.orders_said().len();
        pair.order(anew(&told, 1, pair.now + secs(60)));
        pair.order(told.clone());
        pair.run(secs(20));
        assert_eq!(pair.count(|event| matches!(event, Event::Rejected { .. })), 0, "{:?}", pair.host.events);
        assert_eq!(pair.orders_said().len(), said, "the robot has it");
        assert_eq!((pair.robot.last_node(), pair.reached("o-1")), (("N3", 6), vec![0, 2, 4, 6]));
        // A robot that drove on over a way that changed meanwhile is another matter.
        let mut other = anew(&told, 2, pair.now + secs(60));
        other.nodes[1] = Stop { released: true, ..stop(9) };
        pair.order(other);
        assert_eq!(pair.count(|event| matches!(event, Event::Rejected { update: 0, .. })), 1);
    }
}

#[test]
fn an_update_whose_time_was_over_leaves_once_it_is_told_anew() {
    let mut pair = Pair::new(Version::V2_1, 16);
    pair.run(secs(1));
    pair.order(order("o-1", 0, &[0, 1, 2, 3], 2));
    pair.run(secs(10));
    pair.disconnect_edge();
    let told = Order { deadline: pair.now + secs(5), ..order("o-1", 1, &[0, 1, 2, 3], 4) };
    pair.order(told.clone());
    pair.run(secs(10));
    pair.connect_edge();
    pair.run(secs(10));
    assert_eq!(pair.robot.last_node(), ("N1", 2), "its time was over");
    pair.order(anew(&told, 1, pair.now + secs(60)));
    pair.run(secs(20));
    assert_eq!((pair.robot.last_node(), pair.robot.violations()), (("N3", 6), &[][..]));
    assert_eq!(pair.count(|event| matches!(event, Event::Missed { .. })), 1);
    assert_eq!(pair.count(|event| matches!(event, Event::Rejected { .. })), 0);
}

/// A connection message of the robot.
fn connection(version: Version, at: Timestamp, header_id: u32, state: model::ConnectionState) -> (String, Vec<u8>) {
    let base =
        Base { version, interface: version.interface().into(), manufacturer: "KIT".into(), serial: "0001".into() };
    let mut count = header_id;
    let header = base.header(at, &mut count);
    let message = Message::Connection(model::Connection { header, connection_state: state });
    (base.topic(Topic::Connection), codec::encode(version, &message))
}

#[test]
fn a_retained_message_of_an_earlier_life_says_nothing_about_this_one() {
    use model::ConnectionState::{ConnectionBroken, Offline, Online};
    // Alive, and a will and an orderly end of earlier lives arrive late.
    let mut pair = Pair::new(Version::V2_1, 11);
    pair.run(secs(40));
    for (state, at) in [(ConnectionBroken, START - secs(900)), (Offline, START - secs(500))] {
        let (topic, payload) = connection(Version::V2_1, at, 3, state);
        pair.edge.receive(pair.now, &topic, &payload, &mut pair.host);
        pair.run(secs(10));
    }
    assert_eq!(pair.count(|event| matches!(event, Event::Down { .. })), 0);
    // Gone for good, and an old ONLINE is still retained.
    pair.disconnect_robot();
    pair.run(secs(10));
    let (topic, payload) = connection(Version::V2_1, pair.now - secs(5), 9, Online);
    pair.edge.receive(pair.now, &topic, &payload, &mut pair.host);
    pair.run(secs(100));
    assert_eq!(pair.count(|event| matches!(event, Event::Up)), 1);
    // And one that is there goes in order.
    pair.connect_robot();
    pair.run(secs(5));
    let goodbye = pair.robot.goodbye(pair.now);
    pair.edge.receive(pair.now, &goodbye.topic, &goodbye.payload, &mut pair.host);
    assert_eq!(pair.host.events.last(), Some(&Event::Down { why: "the robot is offline" }));
}

#[test]
fn a_late_state_changes_nothing_and_a_new_life_with_an_old_clock_counts() {
    let (mut edge, mut host) = (edge(Version::V2_1), Host::default());
    edge.connected(START, &mut host);
    let say = |edge: &mut Edge, host: &mut Host, start: Timestamp, node: &str, skip: u32| {
        let settings = RobotSettings::carrier(Version::V2_1, "KIT", "0001", node);
        let mut robot = Robot::new(start, settings);
        let mut out = Vec::new();
        robot.connected(start, &mut |publish| out.push(publish));
        for n in 1..=skip {
            robot.tick(start + secs(30 * i64::from(n)), &mut |publish| out.push(publish));
        }
        for Publish { topic, payload, .. } in out.iter().filter(|publish| publish.topic.ends_with("state")) {
            edge.receive(START, topic, payload, host);
        }
        edge.report().expect("told").last_node.clone()
    };
    assert_eq!(say(&mut edge, &mut host, START, "NOW", 0), "NOW");
    assert_eq!(say(&mut edge, &mut host, START - secs(3_600), "LATE", 0), "NOW");
    assert_eq!(say(&mut edge, &mut host, START - secs(7_200), "LATE", 1), "NOW");
    assert_eq!(say(&mut edge, &mut host, START - secs(100_000), "ANEW", 2), "ANEW");
}

#[test]
fn silence_is_asked_about_then_told() {
    let mut pair = Pair::new(Version::V2_0, 12);
    pair.run(secs(1));
    // The robot's power fails, and the broker's will is lost.
    pair.robot_connected = false;
    pair.robot.disconnected(pair.now);
    pair.host.events.clear();
    pair.said.clear();
    pair.run(secs(50));
    assert_eq!(pair.host.events, [Event::Down { why: "the robot is silent" }]);
    assert!(
        matches!(&pair.said[..], [Message::InstantActions(asked)] if asked.actions[0].action_type == "stateRequest")
    );
}

#[test]
fn a_session_that_starts_anew_takes_up_an_order_in_work() {
    let mut pair = Pair::new(Version::V2_1, 13);
    pair.run(secs(1));
    pair.order(order("o-1", 0, &[0, 1, 2, 3], 2));
    pair.run(secs(10));
    pair.edge = edge(Version::V2_1);
    pair.host.events.clear();
    pair.connect_edge();
    pair.order(order("o-1", 1, &[0, 1, 2, 3], 4));
    pair.run(secs(20));
    assert_eq!((pair.robot.last_node(), pair.robot.violations()), (("N3", 6), &[][..]));
    assert_eq!(pair.reached("o-1"), [0, 2, 4, 6]);
}

#[test]
fn a_robot_that_forgets_its_order_is_told() {
    let mut pair = Pair::new(Version::V3_0, 14);
    pair.run(secs(1));
    pair.order(order("o-1", 0, &[0, 1, 2], 3));
    pair.run(secs(2));
    pair.robot = robot(Version::V3_0);
    pair.connect_robot();
    pair.run(secs(5));
    assert_eq!(pair.count(|event| *event == Event::Lost { order: "o-1".into() }), 1);
}

/// A fleet of one: orders over a random way, base by base, with picks and drops, some cancelled.
struct Fleet {
    number: u32,
    way: Vec<u32>,
    actions: BTreeMap<usize, Action>,
    update: u32,
    released: usize,
    finished: bool,
    cancelled: bool,
    seen: usize,
}

impl Fleet {
    fn order(&self) -> Order {
        let mut order = order(&format!("o-{}", self.number), self.update, &self.way, self.released);
        for (index, action) in &self.actions {
            order.nodes[*index].actions.push(action.clone());
        }
        order.nodes.truncate(self.released + 3);
        order
    }

    fn begin(&mut self, pair: &mut Pair, from: u32) {
        self.number += 1;
        let length = 3 + pair.random.below(6) as usize;
        self.way = vec![from];
        while self.way.len() < length {
            let next = pair.random.below(20) as u32;
            if Some(&next) != self.way.last() {
                self.way.push(next);
            }
        }
        self.actions.clear();
        // What a cancelled order left on the deck goes first.
        let kinds = if pair.robot.loads() > 0 { ["drop", "pick"] } else { ["pick", "drop"] };
        for (index, kind) in [1, length - 1].into_iter().zip(kinds) {
            self.actions.insert(index, action(&format!("{}-{kind}", self.number), kind));
        }
        (self.update, self.released, self.finished, self.cancelled) = (0, 2, false, false);
        pair.order(self.order());
    }

    /// Hears what happened, and lets the robot go on.
    fn play(&mut self, pair: &mut Pair, may_cancel: bool) {
        let id = format!("o-{}", self.number);
        while let Some(event) = pair.host.events.get(self.seen).cloned() {
            self.seen += 1;
            match event {
                Event::NodeReached { order, sequence, .. } if order == id => {
                    let index = sequence as usize / 2;
                    let released = (index + 2 + pair.random.below(3) as usize).min(self.way.len());
                    if released > self.released && !self.cancelled {
                        (self.released, self.update) = (released, self.update + 1);
                        pair.order(self.order());
                    }
                    if may_cancel && pair.random.below(12) == 0 && !self.cancelled {
                        self.cancelled = true;
                        pair.edge.cancel(pair.now, &id, &mut pair.host);
                        pair.route();
                    }
                }
                // As a fleet does that can't know what got through.
                Event::Up if self.number > 0 && !self.cancelled => {
                    let order = self.order();
                    let passed = pair.edge.report().filter(|report| report.order == id);
                    let passed = passed.map_or(0, |report| report.last_sequence as usize / 2);
                    pair.order(anew(&order, passed.min(self.released - 1), pair.now + secs(60)));
                }
                Event::Cancelled { order } if order == id => self.finished = true,
                Event::State(report) if report.order == id && report.idle && !self.cancelled => {
                    self.finished |= report.last_sequence as usize == 2 * (self.way.len() - 1);
                }
                Event::Rejected { order, reason, .. } => panic!("{order}: {reason}"),
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn whatever_the_link_does_no_robot_leaves_its_base_or_acts_twice_and_all_end_where_ordered(
        seed: u64, version in 0_usize..3, loss in 0_u64..300, repeats in 0_u64..300, outages: bool, reorder: bool,
    ) {
        let mut pair = Pair::new(Version::ALL[version], seed);
        // Others check what is said; thousands of messages take their time.
        pair.officials.clear();
        pair.run(secs(1));
        (pair.loss, pair.repeats, pair.reorder) = (loss, repeats, reorder);
        let mut fleet = Fleet {
            number: 0, way: Vec::new(), actions: BTreeMap::new(), update: 0, released: 0, finished: true,
            cancelled: false, seen: 0,
        };
        for round in 0..600 {
            // The faults end: everything must finish.
            let calm = round >= 300;
            if calm {
                (pair.loss, pair.repeats) = (0, 0);
                if !pair.edge_connected { pair.connect_edge() }
                if !pair.robot_connected { pair.connect_robot() }
            } else if outages {
                match pair.random.below(30) {
                    0 if pair.edge_connected => pair.disconnect_edge(),
                    1 if pair.robot_connected => pair.disconnect_robot(),
                    2..8 if !pair.edge_connected => pair.connect_edge(),
                    2..8 if !pair.robot_connected => pair.connect_robot(),
                    _ => {}
                }
            }
            if fleet.finished && !calm && pair.robot.idle() {
                let from = pair.robot.last_node().0[1..].parse().expect("N and a number");
                fleet.begin(&mut pair, from);
            }
            pair.run(ms(1_000));
            fleet.play(&mut pair, !calm);
        }
        prop_assert!(fleet.finished, "order {} of {:?} ends", fleet.number, fleet.way);
        prop_assert!(fleet.number > 2);
        if !fleet.cancelled {
            let end = format!("N{}", fleet.way.last().expect("a way"));
            prop_assert_eq!(pair.robot.last_node(), (end.as_str(), 2 * (fleet.way.len() as u32 - 1)));
            let all: Vec<_> = (0..fleet.way.len() as u32).map(|index| 2 * index).collect();
            prop_assert_eq!(pair.reached(&format!("o-{}", fleet.number)), all, "told once each, in order");
        }
        let mut begun = BTreeMap::<&str, u32>::new();
        for happening in &pair.happenings {
            if let Happening::Acted { action, status: ActionStatus::Running } = happening {
                *begun.entry(action).or_default() += 1;
            }
        }
        prop_assert!(begun.values().all(|times| *times == 1), "{:?}", begun);
        // A broker that turned round two orders made the robot refuse the older: that alone is no fault of the edge.
        let faults: Vec<_> = pair.robot.violations().iter().filter(|violation| {
            !(reorder && matches!(violation, Violation::Late(..) | Violation::Repeated(_)))
        }).collect();
        prop_assert!(faults.is_empty(), "{:?}", faults);
        prop_assert_eq!(pair.count(|event| matches!(event, Event::Malformed { .. })), 0);
    }

    #[test]
    fn hostile_messages_never_panic(
        version in 0_usize..3,
        messages in prop::collection::vec((0_usize..8, prop::collection::vec(any::<u8>(), 0..64), any::<(i64, u32, f64, bool)>()), 0..30),
    ) {
        let version = Version::ALL[version];
        let (mut edge, mut host, mut robot) = (edge(version), Host::default(), robot(version));
        edge.connected(START, &mut host);
        robot.connected(START, &mut |_| {});
        for (index, (topic, noise, (a, b, c, d))) in messages.into_iter().enumerate() {
            let action = serde_json::json!({"actionType": "pick", "actionName": "cancelOrder", "actionId": b.to_string(),
                "blockingType": "NONE", "actionParameters": [{"key": "orderId", "value": c}]});
            let shaped = serde_json::json!({
                "headerId": a, "timestamp": START.to_string(), "version": version.name(), "manufacturer": "KIT",
                "serialNumber": "0001", "orderId": "o", "orderUpdateId": b, "lastNodeId": "N0", "lastNodeSequenceId": a,
                "nodes": [{"nodeId": "N0", "sequenceId": b, "released": d, "actions": [action],
                    "nodePosition": {"x": c, "y": c, "mapId": "m"}}],
                "edges": [], "actions": [action], "driving": d, "operatingMode": "AUTOMATIC", "nodeStates": [],
                "edgeStates": [], "actionStates": [], "instantActionStates": [], "errors": [],
                "batteryState": {"batteryCharge": 4, "charging": d}, "powerSupply": {"stateOfCharge": 4, "charging": d},
                "safetyState": {"eStop": "NONE", "activeEmergencyStop": "NONE", "fieldViolation": d},
                "connectionState": if d { "ONLINE" } else { "OFFLINE" }, "referenceStateHeaderId": a,
            });
            let now = START + ms(97 * index as i64);
            let level = if version == Version::V3_0 { "vda5050/v3" } else { "uagv/v2" };
            let topic = format!("{level}/KIT/0001/{}", Topic::ALL[topic].name());
            for payload in [noise, shaped.to_string().into_bytes()] {
                edge.receive(now, &topic, &payload, &mut host);
                robot.receive(now, &topic, &payload, &mut |_| {});
            }
            edge.order(now, Order { first_sequence: b, ..order("o", b, &[0, 1], 2) }, &mut host);
            prop_assert!(edge.next_deadline().is_none_or(|next| next > now), "it doesn't spin");
        }
    }
}
