//! The robot's end, for simulation: it drives along its base on straight lines, picks and drops, and is strict about
//! what it is sent.

mod body;

pub use body::{RobotSettings, Trouble};

use super::model::{
    Action, ActionState, ActionStatus, Connection, ConnectionState, EdgeState, ErrorLevel, ErrorReference, Factsheet,
    InstantActions, KnownAction, Message, Node, NodeState, OperatingMode, Order, PhysicalParameters, ProtocolFeatures,
    RobotError, State, TypeSpecification, Velocity, Visualization,
};
use super::{Base, Fault, Kind, Qos, Topic, Verdict, Version, check, codec, rules};
use body::Body;
use serde::Serialize;
use serde_json::json;
use std::collections::VecDeque;
use stowage_base::{Duration, Timestamp};

/// The state is told again after this, whether or not it changed.
const STATE_PERIOD: Duration = Duration::from_secs(30);

/// Where it is, is told so often while it drives.
const VISUALIZATION_PERIOD: Duration = Duration::from_secs(1);

/// So many orders and instant actions are remembered, to know repeats.
const MEMORY: usize = 256;

/// So many instant actions are told in the state.
const TOLD_MAX: usize = 16;

/// What can be done on a node or edge.
const ACTIONS: [&str; 6] = ["pick", "drop", "detectObject", "finePositioning", "startCharging", "stopCharging"];

/// What can be done at once.
const INSTANT_ACTIONS: [&str; 8] = [
    "cancelOrder",
    "startPause",
    "stopPause",
    "startCharging",
    "stopCharging",
    "initPosition",
    "stateRequest",
    "factsheetRequest",
];

/// A message that the robot publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The full topic.
    pub topic: String,
    /// The message.
    pub payload: Vec<u8>,
    /// How sure it must arrive.
    pub qos: Qos,
    /// The broker keeps it.
    pub retain: bool,
}

/// Something that a correct fleet control would not have sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// It breaks the schema or a rule: topic, and what is wrong where.
    Malformed(Topic, Fault),
    /// A new order while another is in work.
    Busy(String),
    /// The order's first node is elsewhere.
    Unreachable(String),
    /// An order that was done or replaced before.
    Repeated(String),
    /// An update lower than the one that it has.
    Late(String, u32),
    /// The same update with other nodes or edges.
    Contradiction(String, u32),
    /// The update doesn't begin at the base's end: what is wrong.
    NotStitched(String, Fault),
    /// An action's id that was used before.
    ActionRepeated(String),
    /// An action that it can't do.
    Unsupported(String),
    /// Orders while a person has the robot.
    NotAutomatic(String),
}

/// What really happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// An order or update was taken.
    Accepted {
        /// Which.
        order: String,
        /// Which update.
        update: u32,
    },
    /// An order or update was refused.
    Rejected {
        /// Which.
        order: String,
        /// Which update.
        update: u32,
        /// Why.
        reason: String,
    },
    /// It is on a node of its order.
    Reached {
        /// Which order.
        order: String,
        /// The node's number.
        sequence: u32,
        /// Its name.
        node: String,
    },
    /// An action is further.
    Acted {
        /// Which.
        action: String,
        /// How far.
        status: ActionStatus,
    },
    /// It starts to drive, or stands.
    Driving(bool),
}

/// What the robot was refused or failed at; spelled as its version does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Validation,
    Order,
    Action,
    Update,
    Cancel,
    Unavailable,
    ActionFailed,
}

impl Failure {
    const fn name(self, version: Version) -> &'static str {
        match (self, version) {
            (Self::Validation, Version::V3_0) => "VALIDATION_FAILURE",
            (Self::Order, Version::V3_0) => "INVALID_ORDER",
            (Self::Action, Version::V3_0) => "INVALID_ORDER_ACTION",
            (Self::Update, Version::V3_0) => "OUTDATED_ORDER_UPDATE",
            (Self::Cancel, Version::V3_0) => "NO_ORDER_TO_CANCEL",
            (Self::Unavailable, Version::V3_0) => "MOBILE_ROBOT_NOT_AVAILABLE",
            (Self::ActionFailed, Version::V3_0) => "ACTION_FAILED",
            (Self::Validation, _) => "validationError",
            (Self::Order | Self::Action | Self::Unavailable, _) => "orderError",
            (Self::Update, _) => "orderUpdateError",
            (Self::Cancel, _) => "noOrderToCancel",
            (Self::ActionFailed, _) => "actionError",
        }
    }
}

/// A simulated robot. Driven like [`super::Edge`]: the shell takes [`will`](Self::will) before it connects, subscribes
/// to [`subscriptions`](Self::subscriptions), and hands on what is published to `out`.
///
/// It checks orders as the standard tells (2.0 §6.6.2, 3.0 §6.1.2), follows the base and stops at its end, with or
/// without a connection. Straight lines, one speed, no turning time. After a failed action it stands until the order
/// is cancelled. A cancelled order ends at the next node, or at once where it stands.
#[derive(Debug)]
pub struct Robot {
    base: Base,
    body: Body,
    connected: bool,
    counts: [u32; 4],
    state_at: Timestamp,
    visualization_at: Timestamp,
    /// The state changed since it was told.
    dirty: bool,
    /// The order as it was sent last, for repeats.
    taken: Option<Order>,
    /// Ids of earlier orders and of all actions.
    orders_past: VecDeque<String>,
    actions_past: VecDeque<String>,
    /// All instant actions, the youngest last.
    instants: VecDeque<ActionState>,
    /// How many of them, from the end, the state tells.
    instants_told: usize,
    /// The instant action that cancels.
    cancelling: Option<String>,
    errors: Vec<RobotError>,
    violations: Vec<Violation>,
    repeats: u64,
}

type Out<'a> = &'a mut dyn FnMut(Publish);

impl Robot {
    /// A robot on its start node, without an order and without a connection.
    pub fn new(now: Timestamp, settings: RobotSettings) -> Self {
        let base = Base {
            version: settings.version,
            interface: settings.interface.clone(),
            manufacturer: settings.manufacturer.clone(),
            serial: settings.serial.clone(),
        };
        Self {
            base,
            body: Body::new(now, settings),
            connected: false,
            counts: [0; 4],
            state_at: now,
            visualization_at: now,
            dirty: false,
            taken: None,
            orders_past: VecDeque::new(),
            actions_past: VecDeque::new(),
            instants: VecDeque::new(),
            instants_told: 0,
            cancelling: None,
            errors: Vec::new(),
            violations: Vec::new(),
            repeats: 0,
        }
    }

    /// What to subscribe to.
    pub fn subscriptions(&self) -> Vec<(String, Qos)> {
        let topics = [Topic::Order, Topic::InstantActions].map(|topic| (self.base.topic(topic), topic.qos()));
        topics.into()
    }

    /// The last will of the connection that is about to be made.
    pub fn will(&mut self, now: Timestamp) -> Publish {
        self.connection(now, ConnectionState::ConnectionBroken)
    }

    /// What it was sent against the standard, in order of time; the first few.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Orders that came again as they were: harmless.
    pub const fn repeats(&self) -> u64 {
        self.repeats
    }

    /// What happened since this was asked last.
    pub fn take_happenings(&mut self) -> Vec<Happening> {
        std::mem::take(&mut self.body.happenings)
    }

    /// Where it is, in mm.
    pub fn position(&self) -> (i64, i64) {
        self.body.position()
    }

    /// The node that it passed or stands on.
    pub fn last_node(&self) -> (&str, u32) {
        (&self.body.last_node.0, self.body.last_node.1)
    }

    /// It has nothing left to drive or do.
    pub fn idle(&self) -> bool {
        self.body.idle()
    }

    /// It moves.
    pub const fn driving(&self) -> bool {
        self.body.driving
    }

    /// How many things it carries.
    pub fn loads(&self) -> usize {
        self.body.loads.len()
    }

    /// Connected to the broker and subscribed.
    pub fn connected(&mut self, now: Timestamp, out: Out<'_>) {
        self.connected = true;
        out(self.connection(now, ConnectionState::Online));
        let factsheet = self.factsheet(now);
        self.publish(factsheet, out);
        self.dirty = true;
        self.tick(now, out);
    }

    /// The connection to the broker is gone: it goes on to the end of its base.
    pub fn disconnected(&mut self, now: Timestamp) {
        self.connected = false;
        self.body.advance(now);
    }

    /// It is switched off in order: what to say before the connection is closed.
    pub fn goodbye(&mut self, now: Timestamp) -> Publish {
        self.connection(now, ConnectionState::Offline)
    }

    /// A message arrived; `topic` is its full name.
    pub fn receive(&mut self, now: Timestamp, topic: &str, payload: &[u8], out: Out<'_>) {
        if !self.connected {
            return;
        }
        self.body.advance(now);
        let topic = match self.base.parse(topic) {
            Some(topic @ (Topic::Order | Topic::InstantActions)) => topic,
            Some(_) | None => return,
        };
        let Verdict { message, faults, .. } = check(self.base.version, topic, payload);
        if let Some(fault) = faults.into_iter().next() {
            let failure = match fault.kind {
                Kind::Syntax | Kind::Schema | Kind::Bounds | Kind::Header => Failure::Validation,
                _ => Failure::Order,
            };
            let mut references = vec![("topic", topic.name().to_owned())];
            if let Some(Message::Order(order)) = &message {
                references = order_references(order);
            }
            self.error(failure, ErrorLevel::Warning, fault.to_string(), &references);
            self.violation(Violation::Malformed(topic, fault));
        } else {
            match message {
                Some(Message::Order(order)) => self.order(order),
                Some(Message::InstantActions(InstantActions { actions, .. })) => {
                    for action in actions {
                        self.instant(now, action, out);
                    }
                }
                _ => {}
            }
        }
        self.tick(now, out);
    }

    /// Something goes wrong, or is right again.
    pub fn trouble(&mut self, now: Timestamp, trouble: Trouble, on: bool, out: Out<'_>) {
        self.body.advance(now);
        self.body.set_trouble(trouble, on);
        let name = trouble.name(self.base.version);
        self.errors.retain(|error| error.error_type != name);
        if on && !name.is_empty() {
            self.errors.push(RobotError {
                error_type: name.into(),
                error_description: Some(trouble.description().into()),
                error_level: trouble.level(),
                ..RobotError::default()
            });
        }
        self.dirty = true;
        self.tick(now, out);
    }

    /// Time has passed: it drives and acts on.
    pub fn tick(&mut self, now: Timestamp, out: Out<'_>) {
        self.body.advance(now);
        self.settle();
        if !self.connected {
            return;
        }
        if std::mem::take(&mut self.body.changed) || self.dirty || self.state_at <= now {
            self.dirty = false;
            self.state_at = now + STATE_PERIOD;
            let state = self.state(now);
            self.publish(Message::State(Box::new(state)), out);
        }
        if self.body.driving && self.visualization_at <= now {
            self.visualization_at = now + VISUALIZATION_PERIOD;
            let visualization = self.visualization(now);
            self.publish(Message::Visualization(Box::new(visualization)), out);
        }
    }

    /// When to call [`tick`](Self::tick) if nothing else happens; `None` while there is nothing to wait for.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let told = [(self.state_at, true), (self.visualization_at, self.body.driving)];
        let told = told.into_iter().filter(|(_, wanted)| *wanted && self.connected).map(|(at, _)| at);
        self.body.next_event().into_iter().chain(told).min()
    }

    fn violation(&mut self, violation: Violation) {
        if self.violations.len() < MEMORY {
            self.violations.push(violation);
        }
    }

    fn error(&mut self, failure: Failure, error_level: ErrorLevel, description: String, references: &[(&str, String)]) {
        let reference = |(key, value): &(&str, String)| ErrorReference {
            reference_key: (*key).to_owned(),
            reference_value: value.clone(),
        };
        let error = RobotError {
            error_type: failure.name(self.base.version).into(),
            error_references: references.iter().map(reference).collect(),
            error_description: Some(description),
            error_hint: None,
            error_level,
        };
        if !self.errors.contains(&error) {
            if self.errors.len() == TOLD_MAX {
                self.errors.remove(0);
            }
            self.errors.push(error);
        }
        self.dirty = true;
    }

    /// The standard's checks of an order, in its order; the schema and the rules were before.
    fn order(&mut self, order: Order) {
        let refused = match self.taken.as_ref().filter(|taken| taken.order_id == order.order_id) {
            Some(taken) if order.order_update_id == taken.order_update_id => {
                if (&taken.nodes, &taken.edges) == (&order.nodes, &order.edges) {
                    self.repeats += 1;
                    // Perhaps our state was lost.
                    self.dirty = true;
                    return;
                }
                let violation = Violation::Contradiction(order.order_id.clone(), order.order_update_id);
                Some((Failure::Update, "the same update said something else before", violation))
            }
            Some(taken) if order.order_update_id < taken.order_update_id => {
                let violation = Violation::Late(order.order_id.clone(), order.order_update_id);
                Some((Failure::Update, "a higher update came before", violation))
            }
            Some(_) => self.refuses_update(&order),
            None => self.refuses_new(&order),
        };
        if let Some((failure, reason, violation)) = refused {
            self.error(failure, ErrorLevel::Warning, reason.into(), &order_references(&order));
            self.violation(violation);
            let (order, update) = (order.order_id, order.order_update_id);
            self.body.happenings.push(Happening::Rejected { order, update, reason: reason.into() });
            return;
        }
        let update = self.taken.as_ref().is_some_and(|taken| taken.order_id == order.order_id);
        let skip = usize::from(update);
        let new = order.nodes.iter().skip(skip).map(|node| &node.actions);
        for action in new.chain(order.edges.iter().map(|edge| &edge.actions)).flatten() {
            remember(&mut self.actions_past, action.action_id.clone());
        }
        if !update {
            remember(&mut self.orders_past, order.order_id.clone());
            self.instants_told = 0;
        }
        // What was wrong with orders is over; what is wrong with the robot isn't.
        let own = [Trouble::Obstacle, Trouble::LostLocalization, Trouble::EmptyBattery];
        let own = own.map(|trouble| trouble.name(self.base.version));
        self.errors.retain(|error| own.contains(&error.error_type.as_str()));
        let (id, update_id) = (order.order_id.clone(), order.order_update_id);
        self.body.happenings.push(Happening::Accepted { order: id, update: update_id });
        self.body.take(&order, update);
        self.taken = Some(order);
        self.dirty = true;
    }

    fn refuses_new(&self, order: &Order) -> Option<(Failure, &'static str, Violation)> {
        let id = || order.order_id.clone();
        if self.orders_past.contains(&order.order_id) {
            return Some((Failure::Order, "the order was done before", Violation::Repeated(id())));
        }
        if !self.body.idle() || self.cancelling.is_some() {
            return Some((Failure::Order, "another order is in work", Violation::Busy(id())));
        }
        let refused = self.refuses_content(order, 0);
        let first = order.nodes.first().is_some_and(|first| self.body.reaches(first));
        let unreachable = || (Failure::Order, "the first node is elsewhere", Violation::Unreachable(id()));
        refused.or_else(|| (!first).then(unreachable))
    }

    fn refuses_update(&self, order: &Order) -> Option<(Failure, &'static str, Violation)> {
        let id = || order.order_id.clone();
        if self.body.cancelled {
            let violation = Violation::Repeated(id());
            return Some((Failure::Update, "the order was cancelled", violation));
        }
        if let Some(fault) = rules::stitches(&self.body.base_end, order) {
            let violation = Violation::NotStitched(id(), fault);
            return Some((Failure::Update, "it doesn't begin at the last released node", violation));
        }
        self.refuses_content(order, 1)
    }

    /// Whether the robot can do what is new in an order.
    fn refuses_content(&self, order: &Order, skip: usize) -> Option<(Failure, &'static str, Violation)> {
        if self.body.mode() != OperatingMode::Automatic {
            let violation = Violation::NotAutomatic(order.order_id.clone());
            return Some((Failure::Unavailable, "a person has the robot", violation));
        }
        let nodes = order.nodes.iter().skip(skip);
        if let Some(node) = nodes.clone().find(|node| node.node_position.is_none()) {
            let violation = Violation::Unreachable(node.node_id.clone());
            return Some((Failure::Order, "a node has no position", violation));
        }
        let horizon = |id: &str| self.body.planned(id);
        let actions = nodes.map(|node| &node.actions).chain(order.edges.iter().map(|edge| &edge.actions));
        for Action { action_type, action_id, .. } in actions.flatten() {
            if !ACTIONS.contains(&action_type.as_str()) {
                return Some((Failure::Action, "an action is unknown", Violation::Unsupported(action_type.clone())));
            }
            if self.actions_past.contains(action_id) && !horizon(action_id) {
                let violation = Violation::ActionRepeated(action_id.clone());
                return Some((Failure::Action, "an action's id was used before", violation));
            }
        }
        None
    }

    fn instant(&mut self, now: Timestamp, action: Action, out: Out<'_>) {
        self.dirty = true;
        let Action { action_type, action_id, action_parameters, .. } = action;
        if let Some(known) = self.instants.iter().position(|known| known.action_id == action_id) {
            // Told again, in case the state that told it was lost.
            self.instants_told = self.instants_told.max(self.instants.len() - known);
            return;
        }
        let parameter = |key: &str| {
            let found = action_parameters.iter().find(|parameter| parameter.key == key);
            found.map(|parameter| &parameter.value)
        };
        let number = |key: &str| parameter(key).and_then(serde_json::Value::as_f64);
        let text = |key: &str| parameter(key).and_then(|value| value.as_str()).map(str::to_owned);
        let mut status = ActionStatus::Finished;
        let mut failed = None;
        match action_type.as_str() {
            "cancelOrder" => {
                let own = self.taken.as_ref().map(|taken| taken.order_id.as_str());
                let other = text("orderId").is_some_and(|meant| Some(meant.as_str()) != own);
                if self.body.idle() || self.body.cancelled || other {
                    failed = Some((Failure::Cancel, "there is no such order"));
                } else {
                    self.body.cancel();
                    self.cancelling = Some(action_id.clone());
                    status = ActionStatus::Running;
                }
            }
            "startPause" => self.body.set_paused(true),
            "stopPause" => self.body.set_paused(false),
            "startCharging" if self.body.driving => failed = Some((Failure::ActionFailed, "the robot drives")),
            "startCharging" => self.body.charging = true,
            "stopCharging" => self.body.charging = false,
            "initPosition" => match (number("x"), number("y"), text("lastNodeId")) {
                (Some(x), Some(y), node) if self.body.idle() => self.body.place(x, y, node),
                _ => failed = Some((Failure::ActionFailed, "the robot has an order, or x or y is missing")),
            },
            "stateRequest" => {}
            "factsheetRequest" => {
                let factsheet = self.factsheet(now);
                self.publish(factsheet, out);
            }
            _ => {
                self.violation(Violation::Unsupported(action_type.clone()));
                failed = Some((Failure::ActionFailed, "the action is unknown"));
            }
        }
        if let Some((failure, reason)) = failed {
            status = ActionStatus::Failed;
            self.error(failure, ErrorLevel::Warning, reason.into(), &[("actionId", action_id.clone())]);
        }
        self.body.happenings.push(Happening::Acted { action: action_id.clone(), status });
        let state =
            ActionState { action_id, action_type: Some(action_type), action_status: status, ..ActionState::default() };
        if self.instants.len() == MEMORY {
            self.instants.pop_front();
        }
        self.instants.push_back(state);
        self.instants_told = (self.instants_told + 1).min(TOLD_MAX);
    }

    /// Ends a cancellation once the robot stands and nothing runs; tells of actions that failed.
    fn settle(&mut self) {
        if self.cancelling.is_some() && self.body.finish_cancel() {
            let id = self.cancelling.take();
            if let Some(known) = self.instants.iter_mut().find(|known| Some(&known.action_id) == id.as_ref()) {
                known.action_status = ActionStatus::Finished;
                let action = known.action_id.clone();
                self.body.happenings.push(Happening::Acted { action, status: ActionStatus::Finished });
            }
            self.dirty = true;
        }
        for (action, reason) in std::mem::take(&mut self.body.failed) {
            self.error(Failure::ActionFailed, ErrorLevel::Warning, reason.into(), &[("actionId", action)]);
        }
        if self.body.empty() {
            let name = Trouble::EmptyBattery.name(self.base.version);
            if !self.errors.iter().any(|error| error.error_type == name) {
                self.errors.push(RobotError {
                    error_type: name.into(),
                    error_description: Some(Trouble::EmptyBattery.description().into()),
                    error_level: Trouble::EmptyBattery.level(),
                    ..RobotError::default()
                });
                self.dirty = true;
            }
        }
    }

    fn publish(&self, message: Message, out: Out<'_>) {
        if self.connected {
            out(self.publication(&message));
        }
    }

    fn publication(&self, message: &Message) -> Publish {
        let topic = message.topic();
        Publish {
            topic: self.base.topic(topic),
            payload: codec::encode(self.base.version, message),
            qos: topic.qos(),
            retain: topic.retained(),
        }
    }

    fn connection(&mut self, now: Timestamp, connection_state: ConnectionState) -> Publish {
        let header = self.base.header(now, &mut self.counts[0]);
        self.publication(&Message::Connection(Connection { header, connection_state }))
    }

    fn state(&mut self, now: Timestamp) -> State {
        let body = &self.body;
        let told = self.instants.len().saturating_sub(self.instants_told);
        State {
            header: self.base.header(now, &mut self.counts[1]),
            order_id: self.taken.as_ref().map_or_else(String::new, |taken| taken.order_id.clone()),
            order_update_id: self.taken.as_ref().map_or(0, |taken| taken.order_update_id),
            last_node_id: body.last_node.0.clone(),
            last_node_sequence_id: body.last_node.1,
            node_states: body.nodes.iter().map(node_state).collect(),
            edge_states: body
                .edges
                .iter()
                .map(|edge| EdgeState {
                    edge_id: edge.edge_id.clone(),
                    sequence_id: edge.sequence_id,
                    released: edge.released,
                    ..EdgeState::default()
                })
                .collect(),
            mobile_robot_position: Some(body.robot_position()),
            velocity: Some(Velocity { vx: Some(body.speed()), vy: Some(0.0), omega: Some(0.0) }),
            loads: Some(body.loads.clone()),
            driving: body.driving,
            paused: Some(body.paused()),
            new_base_request: Some(body.wants_base()),
            action_states: body.actions.clone(),
            instant_action_states: self.instants.iter().skip(told).cloned().collect(),
            power_supply: body.power(),
            operating_mode: body.mode(),
            errors: self.errors.clone(),
            safety_state: body.safety(),
            ..State::default()
        }
    }

    fn visualization(&mut self, now: Timestamp) -> Visualization {
        Visualization {
            header: self.base.header(now, &mut self.counts[2]),
            reference_state_header_id: Some(self.counts[1].wrapping_sub(1)),
            mobile_robot_position: Some(self.body.robot_position()),
            velocity: Some(Velocity { vx: Some(self.body.speed()), vy: Some(0.0), omega: Some(0.0) }),
            ..Visualization::default()
        }
    }

    fn factsheet(&mut self, now: Timestamp) -> Message {
        let settings = &self.body.settings;
        let navigation = match self.base.version {
            // 2.0's own spelling.
            Version::V2_0 => "PHYSICAL_LINDE_GUIDED",
            Version::V2_1 | Version::V3_0 => "PHYSICAL_LINE_GUIDED",
        };
        let known = |scope: &'static str| {
            move |action_type: &&str| KnownAction {
                action_type: (*action_type).to_owned(),
                action_scopes: vec![scope.to_owned()],
                pause_allowed: Some(scope == "NODE"),
                cancel_allowed: Some(false),
            }
        };
        let speed = f64::from(settings.speed_mm_s) / 1_000.0;
        Message::Factsheet(Box::new(Factsheet {
            type_specification: TypeSpecification {
                series_name: "Simulated".into(),
                series_description: None,
                mobile_robot_kinematics: "DIFF".into(),
                mobile_robot_class: "CARRIER".into(),
                maximum_load_mass: 500.0,
                localization_types: vec!["GRID".into()],
                navigation_types: vec![navigation.into()],
            },
            physical_parameters: PhysicalParameters {
                maximum_speed: speed,
                maximum_acceleration: 1.0,
                maximum_deceleration: 1.0,
                maximum_height: 0.4,
                minimum_height: 0.4,
                width: 0.6,
                length: 0.8,
                ..PhysicalParameters::default()
            },
            protocol_limits: json!({
                "maximumStringLengths": {}, "maximumArrayLengths": {},
                "timing": {"minimumOrderInterval": 0, "minimumStateInterval": 0, "defaultStateInterval": 30},
            }),
            protocol_features: ProtocolFeatures {
                optional_parameters: Vec::new(),
                mobile_robot_actions: ACTIONS
                    .iter()
                    .map(known("NODE"))
                    .chain(INSTANT_ACTIONS.iter().map(known("INSTANT")))
                    .collect(),
            },
            mobile_robot_geometry: json!({}),
            load_specification: json!({"loadPositions": ["deck"]}),
            mobile_robot_configuration: None,
            header: self.base.header(now, &mut self.counts[3]),
        }))
    }
}

fn node_state(node: &Node) -> NodeState {
    NodeState {
        node_id: node.node_id.clone(),
        sequence_id: node.sequence_id,
        released: node.released,
        node_position: node.node_position.clone(),
        ..NodeState::default()
    }
}

fn order_references(order: &Order) -> Vec<(&'static str, String)> {
    vec![("orderId", order.order_id.clone()), ("orderUpdateId", order.order_update_id.to_string())]
}

fn remember(past: &mut VecDeque<String>, id: String) {
    if !past.contains(&id) {
        if past.len() == MEMORY {
            past.pop_front();
        }
        past.push_back(id);
    }
}
