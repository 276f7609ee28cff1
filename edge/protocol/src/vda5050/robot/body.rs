//! What of the robot is in the world: place, motion, load, battery, and what it is about to do.

use super::Happening;
use crate::vda5050::Version;
use crate::vda5050::model::{
    Action, ActionState, ActionStatus, BlockingType, Edge, EmergencyStop, ErrorLevel, Load, Node, OperatingMode, Order,
    PowerSupply, RobotPosition, SafetyState,
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::VecDeque;
use stowage_base::{Duration, Timestamp};

/// A robot nearer than this to a node is there.
const NEAR_MM: i64 = 50;

/// A full battery in units of 10⁻¹² %: then a rate in millionths of a per cent each second is one in units each µs.
const FULL: i64 = 100_000_000_000_000;

/// Positions beyond are cut: no floor is larger, and nothing can overflow.
const FARTHEST_MM: f64 = 1e9;

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RobotSettings {
    /// The protocol that it speaks.
    pub version: Version,
    /// The topic's first level: see [`Version::interface`].
    pub interface: String,
    /// Who built it.
    pub manufacturer: String,
    /// Which of theirs it is.
    pub serial: String,
    /// The map that positions are on.
    pub map: String,
    /// The node on which it stands at first.
    pub start_node: String,
    /// Where that is.
    pub x_mm: i32,
    /// Where that is.
    pub y_mm: i32,
    /// How fast it drives, from 1.
    pub speed_mm_s: u32,
    /// How long a pick takes.
    pub pick: Duration,
    /// How long a drop takes.
    pub drop: Duration,
    /// Its charge at first, 0 to 100 %.
    pub charge_percent: u8,
    /// What it uses while it stands, in millionths of a per cent each second; four times as much while it drives.
    pub drain_per_s: u32,
    /// What charging gives, in the same.
    pub charge_per_s: u32,
}

impl RobotSettings {
    /// A small carrier of 1 m/s that lasts about 20 hours.
    pub fn carrier(version: Version, manufacturer: &str, serial: &str, start_node: &str) -> Self {
        Self {
            version,
            interface: version.interface().into(),
            manufacturer: manufacturer.into(),
            serial: serial.into(),
            map: "floor".into(),
            start_node: start_node.into(),
            x_mm: 0,
            y_mm: 0,
            speed_mm_s: 1_000,
            pick: Duration::from_secs(5),
            drop: Duration::from_secs(5),
            charge_percent: 80,
            drain_per_s: 350,
            charge_per_s: 30_000,
        }
    }
}

/// What may go wrong with a robot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// Something stands in its way, in its protective field.
    Obstacle,
    /// It doesn't know where it is.
    LostLocalization,
    /// Nothing is left to drive with.
    EmptyBattery,
    /// Whatever it picks next, it can't.
    PickFails,
    /// Its emergency stop was pressed.
    EmergencyStop,
    /// A person took it by hand.
    Manual,
}

impl Trouble {
    /// Its error's type; empty if it is told otherwise.
    pub(super) const fn name(self, version: Version) -> &'static str {
        match (self, version) {
            (Self::Obstacle, Version::V3_0) => "BLOCKED",
            (Self::LostLocalization, Version::V3_0) => "LOCALIZATION_ERROR",
            (Self::EmptyBattery, Version::V3_0) => "BATTERY_EMPTY",
            (Self::Obstacle, _) => "blocked",
            (Self::LostLocalization, _) => "localizationError",
            (Self::EmptyBattery, _) => "batteryEmpty",
            (Self::PickFails | Self::EmergencyStop | Self::Manual, _) => "",
        }
    }

    pub(super) const fn level(self) -> ErrorLevel {
        match self {
            Self::Obstacle | Self::PickFails => ErrorLevel::Warning,
            Self::LostLocalization | Self::EmptyBattery | Self::EmergencyStop | Self::Manual => ErrorLevel::Fatal,
        }
    }

    pub(super) const fn description(self) -> &'static str {
        match self {
            Self::Obstacle => "something stands in the way",
            Self::LostLocalization => "the robot doesn't know where it is: bring it to a node and set its position",
            Self::EmptyBattery => "the battery is empty: bring the robot to a charger",
            Self::PickFails => "the pick fails",
            Self::EmergencyStop => "the emergency stop is pressed",
            Self::Manual => "a person has the robot",
        }
    }
}

/// The way to the next node.
#[derive(Debug)]
struct Leg {
    from: (i64, i64),
    to: (i64, i64),
    length_nm: i64,
    driven_nm: i64,
}

/// An action on its way, in the order in which they are to begin.
#[derive(Debug)]
struct Step {
    action: Action,
    /// What is left of it once it runs.
    left: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Body {
    pub(super) settings: RobotSettings,
    now: Timestamp,
    at: (i64, i64),
    /// The last node and its number.
    pub(super) last_node: (String, u32),
    /// Nodes and edges ahead.
    pub(super) nodes: VecDeque<Node>,
    pub(super) edges: VecDeque<Edge>,
    /// The last node of the base, as it was sent.
    pub(super) base_end: Node,
    order: String,
    leg: Option<Leg>,
    pub(super) driving: bool,
    steps: VecDeque<Step>,
    /// The order's actions, as the state tells them.
    pub(super) actions: Vec<ActionState>,
    pub(super) loads: Vec<Load>,
    paused: bool,
    troubles: Vec<Trouble>,
    /// An action failed: it stands until the order is cancelled.
    held: bool,
    /// The order is, or was, cancelled.
    pub(super) cancelled: bool,
    /// Of [`FULL`].
    charge: i64,
    pub(super) charging: bool,
    pub(super) happenings: Vec<Happening>,
    pub(super) failed: Vec<(String, &'static str)>,
    /// Something that the state tells changed.
    pub(super) changed: bool,
}

impl Body {
    pub(super) fn new(now: Timestamp, settings: RobotSettings) -> Self {
        Self {
            now,
            at: (settings.x_mm.into(), settings.y_mm.into()),
            last_node: (settings.start_node.clone(), 0),
            nodes: VecDeque::new(),
            edges: VecDeque::new(),
            base_end: Node::default(),
            order: String::new(),
            leg: None,
            driving: false,
            steps: VecDeque::new(),
            actions: Vec::new(),
            loads: Vec::new(),
            paused: false,
            troubles: Vec::new(),
            held: false,
            cancelled: false,
            charge: i64::from(settings.charge_percent.min(100)) * (FULL / 100),
            charging: false,
            happenings: Vec::new(),
            failed: Vec::new(),
            changed: false,
            settings,
        }
    }

    pub(super) fn idle(&self) -> bool {
        self.nodes.is_empty() && self.actions.iter().all(|action| action.action_status.is_over())
    }

    pub(super) const fn paused(&self) -> bool {
        self.paused
    }

    pub(super) fn empty(&self) -> bool {
        self.charge == 0
    }

    fn has(&self, trouble: Trouble) -> bool {
        self.troubles.contains(&trouble)
    }

    pub(super) fn mode(&self) -> OperatingMode {
        if self.has(Trouble::Manual) { OperatingMode::Manual } else { OperatingMode::Automatic }
    }

    pub(super) fn safety(&self) -> SafetyState {
        let pressed = self.has(Trouble::EmergencyStop);
        SafetyState {
            active_emergency_stop: if pressed { EmergencyStop::Manual } else { EmergencyStop::None },
            field_violation: self.has(Trouble::Obstacle),
        }
    }

    pub(super) fn power(&self) -> PowerSupply {
        // Tenths of a per cent.
        let state_of_charge = (self.charge / (FULL / 1_000)) as f64 / 10.0;
        PowerSupply { state_of_charge, charging: self.charging, ..PowerSupply::default() }
    }

    /// m/s.
    pub(super) fn speed(&self) -> f64 {
        if self.driving { self.velocity() as f64 / 1_000.0 } else { 0.0 }
    }

    pub(super) fn position(&self) -> (i64, i64) {
        let Some(Leg { from, to, length_nm, driven_nm }) = &self.leg else { return self.at };
        let part = |from: i64, to: i64| {
            let moved = i128::from(to - from) * i128::from(*driven_nm) / i128::from((*length_nm).max(1));
            from + moved as i64
        };
        (part(from.0, to.0), part(from.1, to.1))
    }

    pub(super) fn robot_position(&self) -> RobotPosition {
        let (x, y) = self.position();
        let theta = self.leg.as_ref().map_or(0.0, |leg| {
            let (dx, dy) = (leg.to.0 - leg.from.0, leg.to.1 - leg.from.1);
            (dy as f64).atan2(dx as f64)
        });
        RobotPosition {
            x: x as f64 / 1_000.0,
            y: y as f64 / 1_000.0,
            theta,
            map_id: self.settings.map.clone(),
            localized: !self.has(Trouble::LostLocalization),
            ..RobotPosition::default()
        }
    }

    /// It nears the end of its base, and there is a horizon.
    pub(super) fn wants_base(&self) -> bool {
        let released = self.nodes.iter().take_while(|node| node.released).count();
        released < 2 && released < self.nodes.len()
    }

    /// Whether an order may begin at this node: it stands on it, or came from it.
    pub(super) fn reaches(&self, node: &Node) -> bool {
        let Some(position) = &node.node_position else { return node.node_id == self.last_node.0 };
        let deviation = position.allowed_deviation_xy.map_or(0, |ellipse| mm(ellipse.a.min(ellipse.b)));
        let (dx, dy) = (mm(position.x) - self.position().0, mm(position.y) - self.position().1);
        let near = deviation.max(NEAR_MM);
        node.node_id == self.last_node.0 || dx * dx + dy * dy <= near * near
    }

    /// Whether this action is of the horizon, which an update may say anew.
    pub(super) fn planned(&self, id: &str) -> bool {
        let nodes = self.nodes.iter().filter(|node| !node.released).flat_map(|node| &node.actions);
        let edges = self.edges.iter().filter(|edge| !edge.released).flat_map(|edge| &edge.actions);
        nodes.chain(edges).any(|action| action.action_id == id)
    }

    /// Takes an order, or an update of the present one, that was checked.
    pub(super) fn take(&mut self, order: &Order, update: bool) {
        if update {
            let horizon = |released: bool| !released;
            let nodes = self.nodes.iter().filter(|node| horizon(node.released)).flat_map(|node| &node.actions);
            let edges = self.edges.iter().filter(|edge| horizon(edge.released)).flat_map(|edge| &edge.actions);
            let gone: Vec<_> = nodes.chain(edges).map(|action| action.action_id.clone()).collect();
            self.actions.retain(|action| !gone.contains(&action.action_id));
            self.nodes.retain(|node| node.released);
            self.edges.retain(|edge| edge.released);
        } else {
            self.order.clone_from(&order.order_id);
            (self.held, self.cancelled) = (false, false);
            self.actions.clear();
            self.steps.clear();
        }
        let nodes = order.nodes.iter().skip(usize::from(update));
        let actions = nodes.clone().map(|node| &node.actions).chain(order.edges.iter().map(|edge| &edge.actions));
        self.actions.extend(actions.flatten().map(|action| ActionState {
            action_id: action.action_id.clone(),
            action_type: Some(action.action_type.clone()),
            ..ActionState::default()
        }));
        self.nodes.extend(nodes.cloned());
        self.edges.extend(order.edges.iter().cloned());
        if let Some(end) = order.nodes.iter().rfind(|node| node.released) {
            self.base_end = end.clone();
        }
        if !update {
            // The first node is where the robot is, or nearly: then it goes there first.
            self.go();
        }
        self.decide();
    }

    /// The order ends at the next node, or here; actions that wait are off.
    pub(super) fn cancel(&mut self) {
        self.cancelled = true;
        self.steps.retain(|step| step.left.is_some());
        let running: Vec<_> = self.steps.iter().map(|step| step.action.action_id.clone()).collect();
        let off = self.actions.iter().filter(|action| !action.action_status.is_over());
        let off: Vec<_> = off.map(|action| action.action_id.clone()).filter(|id| !running.contains(id)).collect();
        for id in off {
            self.set(&id, ActionStatus::Failed, None);
        }
        self.decide();
    }

    /// Whether the cancelled order is over.
    pub(super) fn finish_cancel(&mut self) -> bool {
        if self.driving || !self.steps.is_empty() {
            return false;
        }
        // It may stand between two nodes: an order may then begin at the node that it came from.
        self.at = self.position();
        self.leg = None;
        self.nodes.clear();
        self.edges.clear();
        self.held = false;
        self.decide();
        true
    }

    pub(super) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        self.changed = true;
        let (from, to) = match paused {
            true => (ActionStatus::Running, ActionStatus::Paused),
            false => (ActionStatus::Paused, ActionStatus::Running),
        };
        let steps: Vec<_> = self.steps.iter().map(|step| step.action.action_id.clone()).collect();
        for id in steps {
            if self.status(&id) == Some(from) {
                self.set(&id, to, None);
            }
        }
        self.decide();
    }

    pub(super) fn set_trouble(&mut self, trouble: Trouble, on: bool) {
        self.troubles.retain(|other| *other != trouble);
        if on {
            self.troubles.push(trouble);
        }
        if trouble == Trouble::EmptyBattery {
            // A person changes it.
            self.charge = if on { 0 } else { FULL };
        }
        self.changed = true;
        self.decide();
    }

    /// Puts it somewhere, and tells it where.
    pub(super) fn place(&mut self, x: f64, y: f64, node: Option<String>) {
        (self.at, self.leg) = ((mm(x), mm(y)), None);
        self.troubles.retain(|trouble| *trouble != Trouble::LostLocalization);
        if let Some(node) = node {
            self.last_node = (node, 0);
        }
        self.changed = true;
    }

    /// Time passes up to `to`, event by event.
    pub(super) fn advance(&mut self, to: Timestamp) {
        while let Some(at) = self.next_event().filter(|at| *at <= to) {
            self.pass(at);
            self.happen();
        }
        self.pass(to);
    }

    /// The next moment at which something happens by itself.
    pub(super) fn next_event(&self) -> Option<Timestamp> {
        let up = |amount: i64, rate: i64| (rate > 0).then(|| Duration::from_micros((amount + rate - 1) / rate));
        let arrival = self.leg.as_ref().filter(|_| self.driving);
        let arrival = arrival.and_then(|leg| up((leg.length_nm - leg.driven_nm).max(0), self.velocity()));
        let acting = self.steps.iter().filter(|_| self.acts()).filter_map(|step| step.left).min();
        let (left, rate) = if self.charging {
            (FULL - self.charge, self.settings.charge_per_s.into())
        } else {
            (self.charge, self.drain())
        };
        let full_or_empty = if left > 0 { up(left, rate) } else { None };
        [arrival, acting, full_or_empty].into_iter().flatten().min().map(|span| self.now + span)
    }

    /// nm/µs, which is mm/s.
    fn velocity(&self) -> i64 {
        let limit = self.edges.front().filter(|_| self.leg.is_some()).and_then(|edge| edge.maximum_speed);
        let limit = limit.map_or(i64::MAX, mm);
        i64::from(self.settings.speed_mm_s).min(limit).max(1)
    }

    fn drain(&self) -> i64 {
        i64::from(self.settings.drain_per_s) * if self.driving { 4 } else { 1 }
    }

    /// Whether actions go on.
    fn acts(&self) -> bool {
        !self.paused && !self.has(Trouble::EmergencyStop) && !self.has(Trouble::Manual)
    }

    /// Nothing happens up to `to`; what flows, flows.
    fn pass(&mut self, to: Timestamp) {
        let span = to.since(self.now);
        self.now = self.now.max(to);
        if span == Duration::ZERO {
            return;
        }
        let velocity = self.velocity();
        if let Some(leg) = self.leg.as_mut().filter(|_| self.driving) {
            leg.driven_nm = leg.driven_nm.saturating_add(velocity.saturating_mul(span.micros())).min(leg.length_nm);
        }
        if self.acts() {
            for left in self.steps.iter_mut().filter_map(|step| step.left.as_mut()) {
                *left = Duration::from_micros((*left - span).micros().max(0));
            }
        }
        let rate = if self.charging { i64::from(self.settings.charge_per_s) } else { -self.drain() };
        self.charge = self.charge.saturating_add(rate.saturating_mul(span.micros())).clamp(0, FULL);
    }

    /// What is due happens.
    fn happen(&mut self) {
        if self.driving && self.leg.as_ref().is_some_and(|leg| leg.driven_nm >= leg.length_nm) {
            self.arrive();
        }
        if self.acts() {
            while let Some(index) = self.steps.iter().position(|step| step.left == Some(Duration::ZERO)) {
                if let Some(step) = self.steps.remove(index) {
                    self.done(&step.action);
                }
            }
        }
        self.decide();
    }

    fn arrive(&mut self) {
        if let Some(leg) = self.leg.take() {
            self.at = leg.to;
        }
        let Some(node) = self.nodes.pop_front() else { return };
        // The edge that led here, if any did.
        if self.edges.front().is_some_and(|edge| edge.sequence_id < node.sequence_id) {
            self.edges.pop_front();
        }
        self.last_node = (node.node_id.clone(), node.sequence_id);
        self.changed = true;
        self.happenings.push(Happening::Reached {
            order: self.order.clone(),
            sequence: node.sequence_id,
            node: node.node_id,
        });
        if !self.cancelled {
            self.steps.extend(node.actions.into_iter().map(|action| Step { action, left: None }));
        }
    }

    /// Begins the way to the next node, if it is released.
    fn go(&mut self) {
        let Some(node) = self.nodes.front().filter(|node| node.released) else { return };
        let from = self.position();
        let to = node.node_position.as_ref().map_or(from, |position| (mm(position.x), mm(position.y)));
        let (dx, dy) = ((to.0 - from.0) as f64, (to.1 - from.1) as f64);
        let length_nm = ((dx * dx + dy * dy).sqrt() * 1e6).round() as i64;
        self.leg = Some(Leg { from, to, length_nm, driven_nm: 0 });
        if let Some(edge) = self.edges.front().filter(|edge| edge.sequence_id < node.sequence_id) {
            self.steps.extend(edge.actions.iter().cloned().map(|action| Step { action, left: None }));
        }
        if length_nm <= NEAR_MM * 1_000_000 && self.edges.len() == self.nodes.len() - 1 {
            // The first node of an order, and the robot is there.
            self.arrive();
        }
    }

    /// Starts and stops what can be, now that something changed.
    fn decide(&mut self) {
        loop {
            self.start_steps();
            let free = self.acts()
                && !self.held
                && self.charge > 0
                && !self.has(Trouble::Obstacle)
                && !self.has(Trouble::LostLocalization)
                && !self
                    .steps
                    .iter()
                    .any(|step| matches!(step.action.blocking_type, BlockingType::Hard | BlockingType::Soft));
            if free && self.leg.is_none() && !self.cancelled {
                let steps = self.steps.len();
                self.go();
                if self.steps.len() > steps {
                    // The edge's or node's own actions may hold it.
                    continue;
                }
            }
            let driving = free && self.leg.is_some();
            if driving != self.driving {
                (self.driving, self.changed) = (driving, true);
                self.charging &= !driving;
                self.happenings.push(Happening::Driving(driving));
            }
            return;
        }
    }

    /// Begins actions in order, as far as those before let them.
    fn start_steps(&mut self) {
        if !self.acts() {
            return;
        }
        let alone = |step: &Step| matches!(step.action.blocking_type, BlockingType::Hard | BlockingType::Single);
        while let Some(next) = self.steps.iter().position(|step| step.left.is_none()) {
            let running = self.steps.iter().filter(|step| step.left.is_some());
            let blocked = running.clone().any(alone) || alone(&self.steps[next]) && running.count() > 0;
            // One that stands waits until the robot does.
            let stands = matches!(self.steps[next].action.blocking_type, BlockingType::Hard | BlockingType::Soft);
            if blocked {
                return;
            }
            if stands && self.driving {
                (self.driving, self.changed) = (false, true);
                self.happenings.push(Happening::Driving(false));
            }
            let left = match self.steps[next].action.action_type.as_str() {
                "pick" => self.settings.pick,
                "drop" => self.settings.drop,
                "startCharging" | "stopCharging" => Duration::from_micros(1),
                _ => Duration::from_secs(1),
            };
            self.steps[next].left = Some(left.max(Duration::from_micros(1)));
            let id = self.steps[next].action.action_id.clone();
            self.set(&id, ActionStatus::Running, None);
        }
    }

    /// An action comes to its end.
    fn done(&mut self, action: &Action) {
        let parameter = |key: &str| {
            let found = action.action_parameters.iter().find(|parameter| parameter.key == key);
            found.and_then(|parameter| parameter.value.as_str()).map(str::to_owned)
        };
        let mut failed = None;
        match action.action_type.as_str() {
            "pick" if self.has(Trouble::PickFails) => failed = Some("the pick failed"),
            "pick" if !self.loads.is_empty() => failed = Some("the deck is occupied"),
            "pick" => self.loads.push(Load {
                load_id: parameter("loadId"),
                load_type: parameter("loadType"),
                load_position: Some("deck".into()),
                ..Load::default()
            }),
            "drop" => failed = self.loads.pop().is_none().then_some("there is nothing to drop"),
            "startCharging" => self.charging = true,
            "stopCharging" => self.charging = false,
            _ => {}
        }
        if let Some(reason) = failed {
            self.failed.push((action.action_id.clone(), reason));
            self.held = !self.cancelled;
            self.set(&action.action_id, ActionStatus::Failed, Some(reason));
        } else {
            let result = action.action_parameters.iter().find(|parameter| parameter.key == "loadId");
            let result = result.and_then(|parameter| match &parameter.value {
                Value::String(text) => Some(text.clone()),
                _ => None,
            });
            self.set(&action.action_id, ActionStatus::Finished, result.as_deref());
        }
    }

    fn status(&self, id: &str) -> Option<ActionStatus> {
        self.actions.iter().find(|action| action.action_id == id).map(|action| action.action_status)
    }

    fn set(&mut self, id: &str, status: ActionStatus, result: Option<&str>) {
        if let Some(action) = self.actions.iter_mut().find(|action| action.action_id == id) {
            action.action_status = status;
            action.action_result = result.map(str::to_owned);
        }
        self.changed = true;
        self.happenings.push(Happening::Acted { action: id.to_owned(), status });
    }
}

/// Metres to millimetres.
fn mm(metres: f64) -> i64 {
    (metres * 1_000.0).round().clamp(-FARTHEST_MM, FARTHEST_MM) as i64
}
