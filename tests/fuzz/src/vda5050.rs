//! VDA 5050: every version's messages, and both ends of a session.

use crate::steps::START;
use stowage_base::{Duration, Timestamp};
use stowage_protocol::vda5050::model::Message;
use stowage_protocol::vda5050::{
    Edge, EdgeSettings, Event, Happening, Order, Qos, Robot, RobotSettings, Sink, Stop, Topic, Version, check, codec,
};

/// The version and topic that the first octet chooses.
fn chosen(octet: u8) -> (Version, Topic) {
    let octet = usize::from(octet);
    (Version::ALL[octet % 3], Topic::ALL[octet / 3 % 8])
}

/// A message is read, or refused with a reason; what was read and is right is right when it is said again.
pub(crate) fn message(data: &[u8]) {
    let Some((&first, payload)) = data.split_first() else { return };
    let (version, topic) = chosen(first);
    let verdict = check(version, topic, payload);
    assert!(verdict.valid || !verdict.faults.is_empty(), "a refusal has a reason");
    if let Some(message) = verdict.message.filter(|_| verdict.faults.is_empty()) {
        let said = check(version, topic, &codec::encode(version, &message));
        // 2.0 has no schema for what a factsheet holds: there it may be anything.
        if !matches!((version, topic), (Version::V2_0, Topic::Factsheet)) {
            assert_eq!(said.faults, []);
        }
    }
}

/// A session's story, cut at zeros: a lone octet is time (in 200 ms), more are a message behind its topic's octet.
fn steps(data: &[u8]) -> impl Iterator<Item = Step<'_>> {
    data.split(|octet| *octet == 0).filter_map(|piece| match piece {
        [] => None,
        [wait] => Some(Step::Wait(Duration::from_millis(200 * i64::from(*wait)))),
        [topic, payload @ ..] => Some(Step::Message(Topic::ALL[usize::from(*topic) % 8], payload)),
    })
}

enum Step<'a> {
    Message(Topic, &'a [u8]),
    Wait(Duration),
}

#[derive(Default)]
struct Host {
    /// The highest node that was told as reached.
    reached: Option<u32>,
}

impl Sink for Host {
    fn publish(&mut self, _: &str, _: Vec<u8>, _: Qos, _: bool) {}
    fn event(&mut self, event: Event) {
        if let Event::NodeReached { sequence, .. } = event {
            assert!(self.reached.is_none_or(|before| before < sequence), "nodes are told once, in order");
            self.reached = Some(sequence);
        }
    }
}

/// The edge's end bears whatever a robot says: orders of five nodes, three of them released.
pub(crate) fn edge(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else { return };
    let (version, _) = chosen(first);
    let mut edge = Edge::new(EdgeSettings {
        version,
        interface: version.interface().into(),
        manufacturer: "KIT".into(),
        serial: "0001".into(),
        map: "hall-1".into(),
    });
    let (mut now, mut host) = (START, Host::default());
    edge.connected(now, &mut host);
    let stop = |index: usize| Stop { node: format!("N{index}"), released: index < 3, ..Stop::default() };
    let nodes = (0..5).map(stop).collect();
    edge.order(now, Order { id: "o".into(), nodes, deadline: Timestamp::MAX, ..Order::default() }, &mut host);
    for step in steps(data) {
        match step {
            Step::Message(topic, payload) => {
                let base = format!("{}/{}/KIT/0001", version.interface(), version.level());
                edge.receive(now, &format!("{base}/{}", topic.name()), payload, &mut host);
            }
            Step::Wait(wait) => {
                now += wait;
                edge.tick(now, &mut host);
            }
        }
        assert!(edge.next_deadline().is_none_or(|due| due > now), "a deadline is told that does nothing");
    }
}

/// The robot's end bears whatever fleet control says, and never leaves a base.
pub(crate) fn robot(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else { return };
    let (version, _) = chosen(first);
    let mut robot = Robot::new(START, RobotSettings::carrier(version, "KIT", "0001", "N0"));
    let mut now = START;
    robot.connected(now, &mut |_| {});
    let mut released = Vec::new();
    for step in steps(data) {
        match step {
            Step::Message(topic, payload) => {
                if let Some(Message::Order(order)) = check(version, topic, payload).message {
                    let base = order.nodes.into_iter().filter(|node| node.released);
                    released.extend(base.map(|node| (order.order_id.clone(), node.sequence_id)));
                }
                let base = format!("{}/{}/KIT/0001", version.interface(), version.level());
                robot.receive(now, &format!("{base}/{}", topic.name()), payload, &mut |_| {});
            }
            Step::Wait(wait) => {
                now += wait;
                robot.tick(now, &mut |_| {});
            }
        }
        for happening in robot.take_happenings() {
            if let Happening::Reached { order, sequence, .. } = happening {
                assert!(released.contains(&(order, sequence)), "it drove where it may not");
            }
        }
    }
}
