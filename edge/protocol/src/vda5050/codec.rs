//! Each version's spelling of the [`model`](super::model), both ways.
//!
//! The model is spelled as 3.0 is. `RENAMED` says how 2.1 and 2.0 call a member, `RESPELLED` how 2.x writes a value;
//! the few differences of shape are functions. What an older version can't say is said as the nearest it can, on the
//! safe side: an action that drives alone stands alone, a robot that starts up is in manual mode.

use super::model::{BlockingType, EmergencyStop, Header, Message, Order, State, Trajectory};
use super::{Fault, Kind, Topic, Version};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// A member's name in the model, in 2.1 and in 2.0. An empty name: the version has none.
const RENAMED: &[[&str; 3]] = &[
    ["nodeDescriptor", "nodeDescription", "nodeDescription"],
    ["edgeDescriptor", "edgeDescription", "edgeDescription"],
    ["actionDescriptor", "actionDescription", "actionDescription"],
    ["mapDescriptor", "mapDescription", "mapDescription"],
    ["infoDescriptor", "infoDescription", "infoDescription"],
    ["allowedDeviationXY", "allowedDeviationXY", "allowedDeviationXy"],
    ["maximumMobileRobotHeight", "maxHeight", "maxHeight"],
    ["minimumLoadHandlingDeviceHeight", "minHeight", "minHeight"],
    ["reachOrientationBeforeEntering", "rotationAllowed", "rotationAllowed"],
    ["corridorReferencePoint", "corridorRefPoint", "corridorRefPoint"],
    ["mobileRobotPosition", "agvPosition", "agvPosition"],
    ["localized", "positionInitialized", "positionInitialized"],
    ["powerSupply", "batteryState", "batteryState"],
    ["stateOfCharge", "batteryCharge", "batteryCharge"],
    ["range", "reach", "reach"],
    ["actionResult", "resultDescription", "resultDescription"],
    ["activeEmergencyStop", "eStop", "eStop"],
    ["orderDescription", "", ""],
    ["referenceStateHeaderId", "", ""],
    ["retriable", "", ""],
    ["batteryCurrent", "", ""],
    ["mobileRobotKinematics", "agvKinematic", "agvKinematic"],
    ["mobileRobotClass", "agvClass", "agvClass"],
    ["maximumLoadMass", "maxLoadMass", "maxLoadMass"],
    ["minimumSpeed", "speedMin", "speedMin"],
    ["maximumAcceleration", "accelerationMax", "accelerationMax"],
    ["maximumDeceleration", "decelerationMax", "decelerationMax"],
    ["minimumHeight", "heightMin", "heightMin"],
    ["maximumHeight", "heightMax", "heightMax"],
    ["maximumStringLengths", "maxStringLens", "maxStringLens"],
    ["maximumArrayLengths", "maxArrayLens", "maxArrayLens"],
    ["maximumMessageLength", "msgLen", "msgLen"],
    ["maximumTopicSerialLength", "topicSerialLen", "topicSerialLen"],
    ["maximumTopicElementLength", "topicElemLen", "topicElemLen"],
    ["maximumIdLength", "idLen", "idLen"],
    ["maximumLoadIdLength", "loadIdLen", "loadIdLen"],
    ["minimumOrderInterval", "minOrderInterval", "minOrderInterval"],
    ["minimumStateInterval", "minStateInterval", "minStateInterval"],
    ["maximumWeight", "maxWeight", "maxWeigth"],
    ["minimumLoadhandlingHeight", "minLoadhandlingHeight", "minLoadhandlingHeight"],
    ["maximumLoadhandlingHeight", "maxLoadhandlingHeight", "maxLoadhandlingHeight"],
    ["minimumLoadhandlingDepth", "minLoadhandlingDepth", "minLoadhandlingDepth"],
    ["maximumLoadhandlingDepth", "maxLoadhandlingDepth", "maxLoadhandlingDepth"],
    ["minimumLoadhandlingTilt", "minLoadhandlingTilt", "minLoadhandlingTilt"],
    ["maximumLoadhandlingTilt", "maxLoadhandlingTilt", "maxLoadhandlingTilt"],
    ["mobileRobotActions", "agvActions", "agvActions"],
    ["mobileRobotGeometry", "agvGeometry", "agvGeometry"],
    ["mobileRobotConfiguration", "vehicleConfig", "vehicleConfig"],
    ["pauseAllowed", "", ""],
    ["cancelAllowed", "", ""],
];

/// The same name for an edge's limit and a robot's own.
const MAXIMUM_SPEED: &str = "maximumSpeed";

/// A value in the model and in 2.x, below one of its members; the first of several is what 2.x's means.
const RESPELLED: &[[&str; 3]] = &[
    ["connectionState", "CONNECTION_BROKEN", "CONNECTIONBROKEN"],
    ["connectionState", "OFFLINE", "OFFLINE"],
    ["connectionState", "HIBERNATING", "OFFLINE"],
    ["operatingMode", "TEACH_IN", "TEACHIN"],
    ["operatingMode", "MANUAL", "MANUAL"],
    ["operatingMode", "STARTUP", "MANUAL"],
    ["operatingMode", "INTERVENED", "MANUAL"],
    ["corridorReferencePoint", "KINEMATIC_CENTER", "KINEMATICCENTER"],
    ["errorLevel", "WARNING", "WARNING"],
    ["errorLevel", "URGENT", "WARNING"],
    ["errorLevel", "FATAL", "FATAL"],
    ["errorLevel", "CRITICAL", "FATAL"],
    ["actionStatus", "RUNNING", "RUNNING"],
    ["actionStatus", "PAUSED", "RUNNING"],
    ["actionStatus", "RETRIABLE", "RUNNING"],
    ["blockingType", "HARD", "HARD"],
    ["blockingType", "SINGLE", "HARD"],
];

/// Only 3.0 has these.
const NEW_IN_3_0: [&str; 8] = [
    "zoneSets",
    "plannedPath",
    "intermediatePath",
    "zoneRequests",
    "edgeRequests",
    "instantActionStates",
    "zoneActionStates",
    "releaseRequired",
];

/// Writes a message in a version's spelling; valid by its schema if the values are in their ranges.
pub fn encode(version: Version, message: &Message) -> Vec<u8> {
    let mut value = match message {
        Message::Order(order) => tree(&order_for(version, order)),
        Message::InstantActions(actions) => {
            let mut actions = actions.clone();
            for action in actions.actions.iter_mut().filter(|_| version == Version::V3_0) {
                // 3.0 allows no other, and none is needed: instant actions never wait.
                (action.blocking_type, action.retriable) = (BlockingType::None, None);
            }
            tree(&actions)
        }
        Message::State(state) => tree(&state_for(version, state)),
        Message::Visualization(visualization) => tree(visualization),
        Message::Connection(connection) => tree(connection),
        Message::Factsheet(factsheet) => tree(factsheet),
        Message::ZoneSet(zones) => tree(zones),
        Message::Responses(responses) => tree(responses),
    };
    if version != Version::V3_0 {
        walk(&mut value, &mut |members| older(version, members));
    }
    if let (Version::V2_0, Message::InstantActions(_)) = (version, message) {
        // The schema wants `actionName`, the text `actionType`.
        walk(&mut value, &mut |members| copy(members, "actionType", "actionName"));
    }
    serde_json::to_vec(&value).unwrap_or_default()
}

/// A message of a version, valid by its schema, in the model's spelling. Members that the model doesn't know stay.
pub(super) fn normal(version: Version, topic: Topic, mut value: Value) -> Value {
    walk(&mut value, &mut |members| {
        if version != Version::V3_0 {
            newer(version, members);
        }
        if version == Version::V2_0 && topic == Topic::InstantActions {
            copy(members, "actionName", "actionType");
            members.remove("actionName");
        }
        members.values_mut().for_each(plain);
    });
    value
}

/// A message in the model's spelling as a value of the model.
pub(super) fn typed(topic: Topic, normal: &Value) -> Result<Message, Fault> {
    fn read<T: DeserializeOwned>(normal: &Value) -> Result<T, Fault> {
        T::deserialize(normal).map_err(|error| Fault::new(Kind::Bounds, "", format!("holds {error}")))
    }
    Ok(match topic {
        Topic::Order => Message::Order(read(normal)?),
        Topic::InstantActions => Message::InstantActions(read(normal)?),
        Topic::State => Message::State(Box::new(read(normal)?)),
        Topic::Visualization => Message::Visualization(Box::new(read(normal)?)),
        Topic::Connection => Message::Connection(read(normal)?),
        Topic::Factsheet => Message::Factsheet(Box::new(read(normal)?)),
        Topic::ZoneSet => Message::ZoneSet(read(normal)?),
        Topic::Responses => Message::Responses(read(normal)?),
    })
}

impl Message {
    /// Its header.
    pub const fn header(&self) -> &Header {
        match self {
            Self::Order(order) => &order.header,
            Self::InstantActions(actions) => &actions.header,
            Self::State(state) => &state.header,
            Self::Visualization(visualization) => &visualization.header,
            Self::Connection(connection) => &connection.header,
            Self::Factsheet(factsheet) => &factsheet.header,
            Self::ZoneSet(zones) => &zones.header,
            Self::Responses(responses) => &responses.header,
        }
    }

    /// Where it belongs.
    pub const fn topic(&self) -> Topic {
        match self {
            Self::Order(_) => Topic::Order,
            Self::InstantActions(_) => Topic::InstantActions,
            Self::State(_) => Topic::State,
            Self::Visualization(_) => Topic::Visualization,
            Self::Connection(_) => Topic::Connection,
            Self::Factsheet(_) => Topic::Factsheet,
            Self::ZoneSet(_) => Topic::ZoneSet,
            Self::Responses(_) => Topic::Responses,
        }
    }
}

/// The model has string keys and finite numbers only, which JSON always can; a number that isn't finite becomes null.
fn tree(message: &impl Serialize) -> Value {
    serde_json::to_value(message).unwrap_or_default()
}

/// Edges tell their ends in 2.x, and only there.
fn order_for(version: Version, order: &Order) -> Order {
    let mut order = order.clone();
    let nodes: Vec<_> = order.nodes.iter().map(|node| node.node_id.clone()).collect();
    for (index, edge) in order.edges.iter_mut().enumerate() {
        if version == Version::V3_0 {
            (edge.start_node_id, edge.end_node_id) = (None, None);
            continue;
        }
        let end = |index: usize| nodes.get(index).cloned().unwrap_or_default();
        edge.start_node_id.get_or_insert_with(|| end(index));
        edge.end_node_id.get_or_insert_with(|| end(index + 1));
        edge.trajectory.iter_mut().for_each(spell_out);
    }
    if version == Version::V3_0 {
        order.zone_set_id = None;
    }
    order
}

/// Instant actions stand among the others in 2.x.
fn state_for(version: Version, state: &State) -> State {
    let mut state = state.clone();
    if version == Version::V3_0 {
        state.zone_set_id = None;
        if state.safety_state.active_emergency_stop == EmergencyStop::AutoAck {
            state.safety_state.active_emergency_stop = EmergencyStop::Manual;
        }
        return state;
    }
    state.action_states.append(&mut state.instant_action_states);
    for edge in &mut state.edge_states {
        edge.trajectory.iter_mut().for_each(spell_out);
    }
    if version == Version::V2_0 {
        for node in &mut state.node_states {
            // 2.0 knows no position without an angle.
            node.node_position = node.node_position.take().filter(|position| position.theta.is_some());
        }
        let power = &mut state.power_supply;
        for whole in [&mut power.range, &mut power.battery_health] {
            *whole = whole.map(f64::floor);
        }
    }
    state
}

/// Writes out what a trajectory may leave to the reader from 3.0 on.
fn spell_out(trajectory: &mut Trajectory) {
    let points = trajectory.control_points.len();
    let degree = *trajectory.degree.get_or_insert(1) as usize;
    trajectory.knot_vector.get_or_insert_with(|| {
        let spans = points.saturating_sub(degree).max(1);
        let inner = (1..spans).map(|knot| knot as f64 / spans as f64);
        let ends = |at: f64| std::iter::repeat_n(at, degree.min(points) + 1);
        ends(0.0).chain(inner).chain(ends(1.0)).collect()
    });
    for point in &mut trajectory.control_points {
        point.weight.get_or_insert(1.0);
    }
}

/// Calls `each` on every object, the outer before the inner. What actions carry and geometry is made of is theirs.
fn walk(value: &mut Value, each: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            each(members);
            for (name, member) in members {
                if name != "value" && name != "data" {
                    walk(member, each);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, each)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// From the model's spelling to 2.x.
fn older(version: Version, members: &mut Map<String, Value>) {
    for [member, ours, theirs] in RESPELLED {
        if let Some(value) = members.get_mut(*member)
            && value == ours
        {
            *value = json!(theirs);
            break;
        }
    }
    members.retain(|name, _| !NEW_IN_3_0.contains(&name.as_str()));
    if let Some(Value::Object(ellipse)) = members.get("allowedDeviationXY") {
        // The circle within.
        let radius = ["a", "b"].into_iter().filter_map(|axis| ellipse.get(axis)?.as_f64()).reduce(f64::min);
        members.insert("allowedDeviationXY".into(), json!(radius.unwrap_or_default()));
    }
    if version == Version::V2_0
        && let Some(value) = members.get_mut("value").filter(|value| value.is_object())
    {
        // Its parameters hold no objects: as text.
        *value = json!(value.to_string());
    }
    negate(members, "reachOrientationBeforeEntering");
    for row in RENAMED {
        rename(members, row[0], old_name(version, row));
    }
    let own = if members.contains_key("speedMin") { "speedMax" } else { "maxSpeed" };
    rename(members, MAXIMUM_SPEED, own);
}

/// From 2.x to the model's spelling.
fn newer(version: Version, members: &mut Map<String, Value>) {
    for row in RENAMED.iter().filter(|row| !row[1].is_empty()) {
        rename(members, old_name(version, row), row[0]);
    }
    for limit in ["maxSpeed", "speedMax", "agvSpeedLimit"] {
        rename(members, limit, MAXIMUM_SPEED);
    }
    negate(members, "reachOrientationBeforeEntering");
    if let Some(radius) = members.get("allowedDeviationXY").and_then(Value::as_f64) {
        members.insert("allowedDeviationXY".into(), json!({"a": radius, "b": radius, "theta": 0}));
    }
    for [member, ours, theirs] in RESPELLED {
        if let Some(value) = members.get_mut(*member)
            && value == theirs
        {
            *value = json!(ours);
            break;
        }
    }
}

fn old_name<'a>(version: Version, row: &[&'a str; 3]) -> &'a str {
    if version == Version::V2_0 { row[2] } else { row[1] }
}

fn rename(members: &mut Map<String, Value>, from: &str, to: &str) {
    if from != to
        && let Some(member) = members.remove(from)
        && !to.is_empty()
    {
        members.insert(to.to_owned(), member);
    }
}

fn negate(members: &mut Map<String, Value>, name: &str) {
    if let Some(Value::Bool(flag)) = members.get_mut(name) {
        *flag = !*flag;
    }
}

fn copy(members: &mut Map<String, Value>, from: &str, to: &str) {
    if !members.contains_key(to)
        && let Some(member) = members.get(from).cloned()
    {
        members.insert(to.to_owned(), member);
    }
}

/// A whole number written with a fraction (`5.0`) becomes one without: to JSON Schema they are the same.
fn plain(value: &mut Value) {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if let Some(number) = value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() <= EXACT_MAX)
        && value.is_f64()
    {
        *value = json!(number as i64);
    }
}
