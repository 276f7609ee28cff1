//! What a message must be beyond its schema: rules that the standard's text tells.

use super::model::{Action, Header, Message, Node, Order, State};
use super::{Base, Fault, Kind, Version, time};
use serde_json::Value;
use std::collections::BTreeSet;

/// Members that count: whole numbers from 0 to 2³² − 1, which the schemas don't bound.
const COUNTS: [&str; 6] =
    ["headerId", "orderUpdateId", "sequenceId", "lastNodeSequenceId", "referenceStateHeaderId", "degree"];

/// Numbers in a message of the model's spelling that no message can hold.
pub(super) fn bounds(normal: &Value) -> Vec<Fault> {
    fn walk(path: &str, value: &Value, faults: &mut Vec<Fault>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let at = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    if member.is_number()
                        && COUNTS.contains(&name.as_str())
                        && member.as_u64().is_none_or(|count| count > u32::MAX.into())
                    {
                        faults.push(Fault::new(Kind::Bounds, &at, format!("is {member}, expected 0 to {}", u32::MAX)));
                    } else if name != "value" {
                        walk(&at, member, faults);
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    walk(&format!("{path}[{index}]"), item, faults);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut faults = Vec::new();
    walk("", normal, &mut faults);
    faults
}

/// The rules for a message alone.
pub fn check(version: Version, message: &Message) -> Vec<Fault> {
    let mut faults = Faults::default();
    faults.header(version, message.header());
    match message {
        Message::Order(order) => faults.order(order),
        Message::InstantActions(actions) => {
            faults.actions("actions", &actions.actions, &mut BTreeSet::new());
        }
        Message::State(state) => faults.state(state),
        Message::Visualization(_)
        | Message::Connection(_)
        | Message::Factsheet(_)
        | Message::ZoneSet(_)
        | Message::Responses(_) => {}
    }
    faults.0
}

/// What an order must be after `before`, the last one with its id (VDA 5050 2.0 §6.6.2, 3.0 §6.1.2). The same update
/// again must say the same; a higher one begins at the last released node of `before`, as it was.
pub fn follows(before: &Order, order: &Order) -> Vec<Fault> {
    let mut faults = Faults::default();
    if before.order_id != order.order_id {
        return faults.0;
    }
    let (last, update) = (before.order_update_id, order.order_update_id);
    if update < last {
        let reason = format!("is {update}, but update {last} of this order came before");
        faults.push(Kind::Update, "orderUpdateId", reason);
    } else if update == last {
        if (&before.nodes, &before.edges) != (&order.nodes, &order.edges) {
            let reason = format!("is {update} as before, but nodes or edges are others");
            faults.push(Kind::Update, "orderUpdateId", reason);
        }
    } else if let Some(stitch) = before.nodes.iter().rfind(|node| node.released) {
        faults.0.extend(stitches(stitch, order));
    }
    faults.0
}

/// Whether an update begins at `stitch`, the last released node of what came before.
pub(super) fn stitches(stitch: &Node, order: &Order) -> Option<Fault> {
    let first = order.nodes.first()?;
    let fault = |member: &str, found: &dyn std::fmt::Debug, expected: &dyn std::fmt::Debug| {
        let reason = format!("is {found:?}, expected {expected:?} as the last released node before");
        Some(Fault::new(Kind::Stitching, &format!("nodes[0].{member}"), reason))
    };
    if first.node_id != stitch.node_id {
        fault("nodeId", &first.node_id, &stitch.node_id)
    } else if first.sequence_id != stitch.sequence_id {
        fault("sequenceId", &first.sequence_id, &stitch.sequence_id)
    } else if first.released != stitch.released {
        fault("released", &first.released, &stitch.released)
    } else if first.actions != stitch.actions {
        let ids = |actions: &[Action]| actions.iter().map(|action| action.action_id.clone()).collect::<Vec<_>>();
        fault("actions", &ids(&first.actions), &ids(&stitch.actions))
    } else {
        None
    }
}

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn push(&mut self, kind: Kind, path: &str, reason: String) {
        self.0.push(Fault::new(kind, path, reason));
    }

    fn header(&mut self, version: Version, header: &Header) {
        if *header == Header::default() {
            // 2.0 allows it on some topics.
            return;
        }
        if time(&header.timestamp).is_none() {
            let reason = format!("is {:?}, expected ISO 8601 in UTC like 2017-04-15T11:40:03.12Z", header.timestamp);
            self.push(Kind::Header, "timestamp", reason);
        }
        if Version::named(&header.version) != Some(version) {
            self.push(Kind::Header, "version", format!("is {:?}, expected {:?}", header.version, version.name()));
        }
        for (member, level) in [("manufacturer", &header.manufacturer), ("serialNumber", &header.serial_number)] {
            if !Base::is_level(level) {
                let reason = format!("is {level:?}, expected a topic's level: not empty, without / + # $");
                self.push(Kind::Header, member, reason);
            }
        }
    }

    fn order(&mut self, order: &Order) {
        let Order { nodes, edges, .. } = order;
        if nodes.is_empty() {
            return self.push(Kind::Sequence, "nodes", "is empty, expected one node or more".into());
        }
        if order.order_id.is_empty() {
            self.push(Kind::Update, "orderId", "is empty, expected a name".into());
        }
        if edges.len() + 1 != nodes.len() {
            let reason = format!("has {}, expected {}: one fewer than nodes", edges.len(), nodes.len() - 1);
            self.push(Kind::Sequence, "edges", reason);
        }
        let first = nodes[0].sequence_id;
        for (index, node) in nodes.iter().enumerate() {
            self.sequence(&format!("nodes[{index}]"), node.sequence_id, first, 2 * index);
        }
        for (index, edge) in edges.iter().enumerate() {
            self.sequence(&format!("edges[{index}]"), edge.sequence_id, first, 2 * index + 1);
        }
        if !nodes[0].released {
            self.push(Kind::Base, "nodes[0].released", "is false, expected true: the base has one node or more".into());
        }
        for (index, pair) in nodes.windows(2).enumerate() {
            if pair[1].released && !pair[0].released && index > 0 {
                let reason = "is true after the horizon began, expected false".into();
                self.push(Kind::Base, &format!("nodes[{}].released", index + 1), reason);
            }
        }
        for (index, edge) in edges.iter().enumerate() {
            let Some(to) = nodes.get(index + 1) else { break };
            if edge.released != to.released {
                let reason = format!("is {}, expected {} as of the node that it leads to", edge.released, to.released);
                self.push(Kind::Base, &format!("edges[{index}].released"), reason);
            }
            for (member, told, node) in
                [("startNodeId", &edge.start_node_id, &nodes[index]), ("endNodeId", &edge.end_node_id, to)]
            {
                if let Some(told) = told.as_ref().filter(|told| **told != node.node_id) {
                    let reason = format!("is {told:?}, expected {:?}", node.node_id);
                    self.push(Kind::Ends, &format!("edges[{index}].{member}"), reason);
                }
            }
        }
        let mut ids = BTreeSet::new();
        for (index, node) in nodes.iter().enumerate() {
            self.actions(&format!("nodes[{index}].actions"), &node.actions, &mut ids);
        }
        for (index, edge) in edges.iter().enumerate() {
            self.actions(&format!("edges[{index}].actions"), &edge.actions, &mut ids);
        }
    }

    /// The `offset`th of nodes and edges in turn, beginning at a node with the number `first`.
    fn sequence(&mut self, path: &str, found: u32, first: u32, offset: usize) {
        let path = format!("{path}.sequenceId");
        if offset == 0 {
            if !found.is_multiple_of(2) {
                self.push(Kind::Sequence, &path, format!("is {found}, expected an even number: nodes have these"));
            }
            return;
        }
        let expected = u32::try_from(offset).ok().and_then(|offset| first.checked_add(offset));
        if Some(found) != expected {
            let expected = expected.map_or("less nodes".into(), |expected| expected.to_string());
            self.push(Kind::Sequence, &path, format!("is {found}, expected {expected}"));
        }
    }

    fn actions<'a>(&mut self, path: &str, actions: &'a [Action], ids: &mut BTreeSet<&'a str>) {
        for (index, action) in actions.iter().enumerate() {
            if action.action_id.is_empty() || !ids.insert(&action.action_id) {
                let reason = format!("is {:?}, expected an id that no other action has", action.action_id);
                self.push(Kind::ActionId, &format!("{path}[{index}].actionId"), reason);
            }
        }
    }

    fn state(&mut self, state: &State) {
        let nodes = state.node_states.iter().map(|node| (node.sequence_id, node.released));
        let edges = state.edge_states.iter().map(|edge| (edge.sequence_id, edge.released));
        self.ahead("nodeStates", nodes, 0);
        self.ahead("edgeStates", edges, 1);
        if !state.last_node_sequence_id.is_multiple_of(2) {
            let reason = format!("is {}, expected an even number: nodes have these", state.last_node_sequence_id);
            self.push(Kind::Sequence, "lastNodeSequenceId", reason);
        }
        let mut ids = BTreeSet::new();
        let lists = [("actionStates", &state.action_states), ("instantActionStates", &state.instant_action_states)];
        for (path, list) in lists {
            for (index, action) in list.iter().enumerate() {
                if !ids.insert(&action.action_id) {
                    let reason = format!("is {:?}, expected an id that no other action has", action.action_id);
                    self.push(Kind::ActionId, &format!("{path}[{index}].actionId"), reason);
                }
            }
        }
        let charge = state.power_supply.state_of_charge;
        if !(0.0..=100.0).contains(&charge) {
            self.push(Kind::Bounds, "powerSupply.stateOfCharge", format!("is {charge}, expected 0 to 100"));
        }
    }

    /// What is still ahead: numbers of one parity that rise, the base before the horizon.
    fn ahead(&mut self, path: &str, list: impl Iterator<Item = (u32, bool)>, parity: u32) {
        let mut before: Option<(u32, bool)> = None;
        for (index, (sequence, released)) in list.enumerate() {
            let at = |member: &str| format!("{path}[{index}].{member}");
            if sequence % 2 != parity {
                let expected = if parity == 0 { "an even number: nodes" } else { "an odd number: edges" };
                self.push(Kind::Sequence, &at("sequenceId"), format!("is {sequence}, expected {expected} have these"));
            }
            if let Some((last, base)) = before {
                if sequence <= last {
                    self.push(Kind::Sequence, &at("sequenceId"), format!("is {sequence}, expected more than {last}"));
                }
                if released && !base {
                    let reason = "is true after the horizon began, expected false".into();
                    self.push(Kind::Base, &at("released"), reason);
                }
            }
            before = Some((sequence, released));
        }
    }
}
