//! What VDA 5050 messages say, free of versions: one set of types for 2.0, 2.1 and 3.0.
//!
//! Names and spellings are those of 3.0; [`super::codec`] turns them into each version's own and back. What only one
//! version knows is an `Option` or a list that the others leave out. Positions are in metres and radians, as the
//! standard has them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A message with its topic's body.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Topic `order`.
    Order(Order),
    /// Topic `instantActions`.
    InstantActions(InstantActions),
    /// Topic `state`.
    State(Box<State>),
    /// Topic `visualization`.
    Visualization(Box<Visualization>),
    /// Topic `connection`.
    Connection(Connection),
    /// Topic `factsheet`.
    Factsheet(Box<Factsheet>),
    /// Topic `zoneSet`, from 3.0 on.
    ZoneSet(ZoneSetMessage),
    /// Topic `responses`, from 3.0 on.
    Responses(Responses),
}

/// What every message begins with. In 2.0 some topics may leave it out: then it is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Header {
    /// Counts the messages of a topic; wraps at 2³².
    pub header_id: u32,
    /// When it was sent: ISO 8601 in UTC. See [`super::time`].
    pub timestamp: String,
    /// The protocol's version: `2.0.0`.
    pub version: String,
    /// Who built the robot.
    pub manufacturer: String,
    /// Which of theirs it is.
    pub serial_number: String,
}

/// What a robot shall drive and do.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// See [`Header`].
    #[serde(flatten)]
    pub header: Header,
    /// Names the order.
    pub order_id: String,
    /// Counts its updates.
    pub order_update_id: u32,
    /// For people (3.0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_description: Option<String>,
    /// The zone set in use (2.x).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_set_id: Option<String>,
    /// Where to, at least one.
    pub nodes: Vec<Node>,
    /// The ways between: one fewer.
    pub edges: Vec<Edge>,
}

/// A place on the way.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its name; may come again in the order.
    pub node_id: String,
    /// Its number in the order: even.
    pub sequence_id: u32,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_descriptor: Option<String>,
    /// Part of the base; else of the horizon.
    pub released: bool,
    /// Where it is; robots on guide lines need none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_position: Option<NodePosition>,
    /// What to do there, in order.
    pub actions: Vec<Action>,
}

/// Where a node is, and how exactly to meet it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePosition {
    /// Metres.
    pub x: f64,
    /// Metres.
    pub y: f64,
    /// Radians, −π to π; `None`: as the robot likes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theta: Option<f64>,
    /// How near counts as there. A circle in 2.x.
    #[serde(rename = "allowedDeviationXY", skip_serializing_if = "Option::is_none")]
    pub allowed_deviation_xy: Option<Ellipse>,
    /// Radians.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_deviation_theta: Option<f64>,
    /// The map that the position is on.
    pub map_id: String,
}

/// A region of tolerance.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Ellipse {
    /// Semi-major axis in metres.
    pub a: f64,
    /// Semi-minor axis in metres.
    pub b: f64,
    /// Rotation in radians.
    pub theta: f64,
}

/// The way from one node to the next.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Edge {
    /// Its name.
    pub edge_id: String,
    /// Its number in the order: odd.
    pub sequence_id: u32,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge_descriptor: Option<String>,
    /// Part of the base.
    pub released: bool,
    /// Where it begins; told in 2.x only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_node_id: Option<String>,
    /// Where it ends; told in 2.x only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_node_id: Option<String>,
    /// m/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_speed: Option<f64>,
    /// Metres, with the load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_mobile_robot_height: Option<f64>,
    /// Metres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_load_handling_device_height: Option<f64>,
    /// Radians.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orientation: Option<f64>,
    /// `GLOBAL` or `TANGENTIAL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orientation_type: Option<String>,
    /// At junctions of guide lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// The opposite of 2.x's `rotationAllowed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reach_orientation_before_entering: Option<bool>,
    /// rad/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rotation_speed: Option<f64>,
    /// The curve to drive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trajectory: Option<Trajectory>,
    /// Metres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<f64>,
    /// How far the robot may leave the curve (from 2.1 on).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corridor: Option<Corridor>,
    /// What to do on the way.
    pub actions: Vec<Action>,
}

/// A NURBS curve.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trajectory {
    /// 1 where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degree: Option<u32>,
    /// 0 to 1; uniform and clamped where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knot_vector: Option<Vec<f64>>,
    /// From begin to end.
    pub control_points: Vec<ControlPoint>,
}

/// What pulls on a curve.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ControlPoint {
    /// Metres.
    pub x: f64,
    /// Metres.
    pub y: f64,
    /// 1 where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
}

/// How far a robot may leave its curve.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Corridor {
    /// Metres.
    pub left_width: f64,
    /// Metres.
    pub right_width: f64,
    /// `KINEMATIC_CENTER` or `CONTOUR`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corridor_reference_point: Option<String>,
    /// The robot must ask first (3.0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_required: Option<bool>,
    /// `STOP` or `RETURN` (3.0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_loss_behavior: Option<String>,
}

/// Something to do, on a node, an edge or at once.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Action {
    /// What: `pick`, `drop`, `cancelOrder` …
    pub action_type: String,
    /// Names this one for ever.
    pub action_id: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_descriptor: Option<String>,
    /// What must not happen meanwhile.
    pub blocking_type: BlockingType,
    /// With what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub action_parameters: Vec<ActionParameter>,
    /// A failure can be tried again (3.0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retriable: Option<bool>,
}

/// One parameter of an action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionParameter {
    /// Its name.
    pub key: String,
    /// Any JSON but null.
    pub value: Value,
}

/// What must not happen while an action runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BlockingType {
    /// Nothing: drives, with others.
    None,
    /// Drives, alone (3.0; `HARD` in 2.x).
    Single,
    /// Stands, with others.
    Soft,
    /// Stands, alone.
    #[default]
    Hard,
}

/// What to do at once.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstantActions {
    /// See [`Header`].
    #[serde(flatten)]
    pub header: Header,
    /// 2.0 lets this be left out.
    #[serde(default)]
    pub actions: Vec<Action>,
}

/// How a robot is doing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// See [`Header`].
    #[serde(flatten)]
    pub header: Header,
    /// Maps that it holds (from 2.1 on).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maps: Vec<Map>,
    /// Zone sets that it holds (3.0).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zone_sets: Vec<ZoneSetState>,
    /// The present or last order; empty before any.
    pub order_id: String,
    /// Its update that was taken last.
    pub order_update_id: u32,
    /// The zone set in use (2.x).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_set_id: Option<String>,
    /// The node it passed or stands on; empty where it knows none.
    pub last_node_id: String,
    /// That node's number in the order.
    pub last_node_sequence_id: u32,
    /// Nodes still ahead, base and horizon.
    pub node_states: Vec<NodeState>,
    /// Edges still ahead.
    pub edge_states: Vec<EdgeState>,
    /// The path it plans, if it plans for itself (3.0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned_path: Option<Value>,
    /// Its next metres (3.0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intermediate_path: Option<Value>,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mobile_robot_position: Option<RobotPosition>,
    /// How it moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub velocity: Option<Velocity>,
    /// What it carries; `None` where it can't tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loads: Option<Vec<Load>>,
    /// It moves.
    pub driving: bool,
    /// It was told to pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// It nears the end of its base and asks for more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_base_request: Option<bool>,
    /// Zones that it asks for (3.0).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zone_requests: Vec<ZoneRequest>,
    /// Corridors that it asks for (3.0).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edge_requests: Vec<EdgeRequest>,
    /// Metres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance_since_last_node: Option<f64>,
    /// Actions of the order; in 2.x instant actions too.
    pub action_states: Vec<ActionState>,
    /// Instant actions (3.0).
    #[serde(default)]
    pub instant_action_states: Vec<ActionState>,
    /// Actions of zones (3.0).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zone_action_states: Vec<ActionState>,
    /// Its battery.
    pub power_supply: PowerSupply,
    /// Who decides what it does.
    pub operating_mode: OperatingMode,
    /// What is wrong.
    pub errors: Vec<RobotError>,
    /// For people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub information: Vec<Info>,
    /// Emergency stop and protective field.
    pub safety_state: SafetyState,
}

/// A map that the robot holds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Map {
    /// Its name.
    pub map_id: String,
    /// Its version.
    pub map_version: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map_descriptor: Option<String>,
    /// `ENABLED` or `DISABLED`.
    pub map_status: String,
}

/// A zone set that the robot holds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneSetState {
    /// Its name.
    pub zone_set_id: String,
    /// Its map.
    pub map_id: String,
    /// `ENABLED` or `DISABLED`.
    pub zone_set_status: String,
}

/// A node still ahead.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeState {
    /// Its name.
    pub node_id: String,
    /// Its number in the order.
    pub sequence_id: u32,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_descriptor: Option<String>,
    /// Part of the base.
    pub released: bool,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_position: Option<NodePosition>,
}

/// An edge still ahead.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgeState {
    /// Its name.
    pub edge_id: String,
    /// Its number in the order.
    pub sequence_id: u32,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge_descriptor: Option<String>,
    /// Part of the base.
    pub released: bool,
    /// The curve it drives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trajectory: Option<Trajectory>,
}

/// Where a robot is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RobotPosition {
    /// Metres.
    pub x: f64,
    /// Metres.
    pub y: f64,
    /// Radians.
    pub theta: f64,
    /// On this map.
    pub map_id: String,
    /// It knows; else the rest means nothing.
    pub localized: bool,
    /// 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub localization_score: Option<f64>,
    /// Metres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deviation_range: Option<f64>,
}

/// How a robot moves, in its own frame.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Velocity {
    /// m/s forward.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vx: Option<f64>,
    /// m/s to the left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vy: Option<f64>,
    /// rad/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub omega: Option<f64>,
}

/// Something that a robot carries.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// Its name, as read or told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_id: Option<String>,
    /// `EPAL` …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_type: Option<String>,
    /// Which of its forks or belts has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_position: Option<String>,
    /// Where the box below is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounding_box_reference: Option<Value>,
    /// Its size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_dimensions: Option<Value>,
    /// kg.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
}

/// Asks for a zone.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneRequest {
    /// Names the request.
    pub request_id: String,
    /// `ACCESS` or `REPLANNING`.
    pub request_type: String,
    /// Which zone.
    pub zone_id: String,
    /// Of which set.
    pub zone_set_id: String,
    /// `REQUESTED`, `GRANTED`, `REVOKED` or `EXPIRED`.
    pub request_status: String,
    /// The path that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trajectory: Option<Trajectory>,
}

/// Asks for a corridor.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgeRequest {
    /// Names the request.
    pub request_id: String,
    /// `CORRIDOR`.
    pub request_type: String,
    /// Of which edge.
    pub edge_id: String,
    /// Its number in the order.
    pub sequence_id: u32,
    /// `REQUESTED`, `GRANTED`, `REVOKED` or `EXPIRED`.
    pub request_status: String,
}

/// How far an action is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionState {
    /// Which.
    pub action_id: String,
    /// What.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_type: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_descriptor: Option<String>,
    /// How far.
    pub action_status: ActionStatus,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_result: Option<String>,
}

/// How far an action is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ActionStatus {
    /// Not begun: its node or edge is still ahead, or others go first.
    #[default]
    Waiting,
    /// Prepares.
    Initializing,
    /// At it.
    Running,
    /// Held by a pause. The schemas of 2.x don't know it; there we say `RUNNING`.
    Paused,
    /// Failed, and waits to be tried again (3.0).
    Retriable,
    /// Done.
    Finished,
    /// Ended without success.
    Failed,
}

impl ActionStatus {
    /// Nothing more comes of it.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Failed)
    }
}

/// A robot's battery.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PowerSupply {
    /// Per cent, 0 to 100.
    pub state_of_charge: f64,
    /// Volt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub battery_voltage: Option<f64>,
    /// Ampere (3.0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub battery_current: Option<f64>,
    /// Per cent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub battery_health: Option<f64>,
    /// It charges.
    pub charging: bool,
    /// Metres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<f64>,
}

/// Who decides what a robot does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OperatingMode {
    /// Nobody yet (3.0; `MANUAL` in 2.x).
    Startup,
    /// The fleet's control.
    #[default]
    Automatic,
    /// The fleet's control, but for a person's hand on the speed.
    Semiautomatic,
    /// A person stepped in, the order stays (3.0; `MANUAL` in 2.x).
    Intervened,
    /// A person at the robot.
    Manual,
    /// Maintenance.
    Service,
    /// It is being taught.
    TeachIn,
}

impl OperatingMode {
    /// The robot takes and drives orders.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Automatic | Self::Semiautomatic)
    }
}

/// Something wrong with a robot, or with what it was sent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RobotError {
    /// Its kind, spelled by the robot's version or builder.
    pub error_type: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub error_references: Vec<ErrorReference>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
    /// How to mend it (from 2.1 on).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_hint: Option<String>,
    /// How bad.
    pub error_level: ErrorLevel,
}

impl RobotError {
    /// The value of a reference.
    pub fn reference(&self, key: &str) -> Option<&str> {
        let found = self.error_references.iter().find(|reference| reference.reference_key == key);
        found.map(|reference| reference.reference_value.as_str())
    }
}

/// How bad an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorLevel {
    /// It goes on.
    #[default]
    Warning,
    /// It goes on, but not for long (3.0; `WARNING` in 2.x).
    Urgent,
    /// It can't go on with what it has, but with something else (3.0; `FATAL` in 2.x).
    Critical,
    /// A person must help.
    Fatal,
}

/// What an error is about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorReference {
    /// `orderId`, `nodeId`, `actionId` …
    pub reference_key: String,
    /// Its value.
    pub reference_value: String,
}

/// Something for people to see.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Info {
    /// Its kind.
    pub info_type: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub info_references: Vec<ErrorReference>,
    /// Its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info_descriptor: Option<String>,
    /// `INFO` or `DEBUG`.
    pub info_level: String,
}

/// Emergency stop and protective field.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SafetyState {
    /// Whether and how it must be cleared.
    pub active_emergency_stop: EmergencyStop,
    /// Something is in the protective field.
    pub field_violation: bool,
}

/// How an emergency stop must be cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EmergencyStop {
    /// There is none.
    #[default]
    None,
    /// By itself (2.x).
    AutoAck,
    /// At the robot.
    Manual,
    /// By its own safety control, from afar.
    Remote,
}

/// Where a robot is, more often than its state.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Visualization {
    /// See [`Header`].
    #[serde(flatten)]
    pub header: Header,
    /// The state that this goes with (3.0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference_state_header_id: Option<u32>,
    /// See [`State::planned_path`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned_path: Option<Value>,
    /// See [`State::intermediate_path`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intermediate_path: Option<Value>,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mobile_robot_position: Option<RobotPosition>,
    /// How it moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub velocity: Option<Velocity>,
}

/// Whether a robot is at the broker.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// See [`Header`]. Of a last will it tells when the robot connected.
    #[serde(flatten)]
    pub header: Header,
    /// It is, or why not.
    pub connection_state: ConnectionState,
}

/// Whether a robot is at the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConnectionState {
    /// It is there.
    #[default]
    Online,
    /// It went in order.
    Offline,
    /// It sleeps (3.0; `OFFLINE` in 2.x).
    Hibernating,
    /// Its last will: it went without a word.
    ConnectionBroken,
}

/// What a robot is and can.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Factsheet {
    /// See [`Header`].
    #[serde(flatten)]
    pub header: Header,
    /// Class, kinematics, navigation.
    pub type_specification: TypeSpecification,
    /// Size and speed.
    pub physical_parameters: PhysicalParameters,
    /// Longest strings and lists, timing. Its member names hold dots.
    pub protocol_limits: Value,
    /// Actions and optional parameters.
    pub protocol_features: ProtocolFeatures,
    /// Wheels and envelopes.
    pub mobile_robot_geometry: Value,
    /// What it can carry.
    pub load_specification: Value,
    /// Software and network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mobile_robot_configuration: Option<Value>,
}

/// What kind of robot it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TypeSpecification {
    /// The series' name.
    pub series_name: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series_description: Option<String>,
    /// `DIFF`, `OMNI`, `THREEWHEEL` …
    pub mobile_robot_kinematics: String,
    /// `FORKLIFT`, `CONVEYOR`, `TUGGER`, `CARRIER` …
    pub mobile_robot_class: String,
    /// kg.
    pub maximum_load_mass: f64,
    /// How it finds where it is.
    pub localization_types: Vec<String>,
    /// How it finds its way.
    pub navigation_types: Vec<String>,
}

/// Size and speed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PhysicalParameters {
    /// m/s.
    pub minimum_speed: f64,
    /// m/s.
    pub maximum_speed: f64,
    /// m/s².
    pub maximum_acceleration: f64,
    /// m/s².
    pub maximum_deceleration: f64,
    /// Metres.
    pub minimum_height: f64,
    /// Metres.
    pub maximum_height: f64,
    /// Metres.
    pub width: f64,
    /// Metres.
    pub length: f64,
}

/// What of the protocol a robot knows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProtocolFeatures {
    /// Parameters that it needs or bears.
    pub optional_parameters: Vec<Value>,
    /// Actions.
    pub mobile_robot_actions: Vec<KnownAction>,
}

/// An action that a robot can do.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KnownAction {
    /// What.
    pub action_type: String,
    /// `INSTANT`, `NODE`, `EDGE`, `ZONE` (3.0).
    pub action_scopes: Vec<String>,
    /// A pause holds it (3.0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_allowed: Option<bool>,
    /// A cancelled order ends it (3.0).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel_allowed: Option<bool>,
}

/// Zones for a robot (3.0).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneSetMessage {
    /// See [`Header`].
    #[serde(flatten)]
    pub header: Header,
    /// The zones.
    pub zone_set: ZoneSet,
}

/// A named set of zones on one map.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneSet {
    /// The map.
    pub map_id: String,
    /// Its name.
    pub zone_set_id: String,
    /// The zones: what each needs depends on its type.
    pub zones: Vec<Value>,
}

/// Answers to a robot's requests (3.0).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Responses {
    /// See [`Header`].
    #[serde(flatten)]
    pub header: Header,
    /// The answers.
    pub responses: Vec<Response>,
}

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// Which.
    pub request_id: String,
    /// `GRANTED`, `QUEUED`, `REVOKED` or `REJECTED`.
    pub grant_type: String,
    /// Until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_expiry: Option<String>,
}
