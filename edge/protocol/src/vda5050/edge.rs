//! Fleet control's end for one robot: makes events of what the robot tells, and keeps telling it where to drive until
//! it shows that it knows.

use super::model::{
    Action, ActionParameter, ActionState, ActionStatus, BlockingType, ConnectionState, Edge as Way, EmergencyStop,
    Factsheet, InstantActions, Load, Message, Node, NodePosition, OperatingMode, Order as OrderMessage, RobotError,
    RobotPosition, State,
};
use super::{Base, Qos, Topic, Verdict, Version, check, codec, rules, time};
use std::collections::BTreeMap;
use stowage_base::{Duration, Timestamp};

/// An order or instant action that the robot doesn't show is sent again after this.
const RESEND_PERIOD: Duration = Duration::from_secs(2);

/// A robot tells its state each 30 s at least; after so long it is asked.
const SILENCE_ASK: Duration = Duration::from_secs(33);

/// A robot that has said nothing for longer is taken as gone.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// A robot that is said to be gone, but may live, is given so long to answer.
const DOUBT_MAX: Duration = Duration::from_secs(3);

/// So many states in turn that count on from each other are a new life, whatever their time.
const NEW_LIFE: u32 = 3;

/// How the session treats its robot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeSettings {
    /// The protocol that the robot speaks.
    pub version: Version,
    /// The topic's first level: see [`Version::interface`].
    pub interface: String,
    /// Who built the robot.
    pub manufacturer: String,
    /// Which of theirs it is.
    pub serial: String,
    /// The map that positions are on.
    pub map: String,
}

/// What the robot should drive now. Each update tells the whole way anew.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Order {
    /// Names the order for ever.
    pub id: String,
    /// Counts up with each change of `nodes`.
    pub update: u32,
    /// The number of the first of `nodes`: 0, or 2 more for each node that was passed and is left out by now.
    pub first_sequence: u32,
    /// The way: the base (released), which never changes, then the horizon, which may. The first is where the robot
    /// stands when the order begins. To act again at a node, name it again.
    pub nodes: Vec<Stop>,
    /// Not sent after this; [`Event::Missed`] then. [`Timestamp::MAX`]: whenever the robot can hear it.
    pub deadline: Timestamp,
}

impl Order {
    /// Whether `later` tells the same update: nodes that were passed may be missing, the deadline may be another.
    fn is_repeated_by(&self, later: &Self) -> bool {
        let from = self.first_sequence.max(later.first_sequence);
        self.id == later.id && self.update == later.update && self.rest(from) == later.rest(from)
    }

    /// The nodes from this number on, which isn't before the first.
    fn rest(&self, from: u32) -> Option<&[Stop]> {
        self.nodes.get((from - self.first_sequence) as usize / 2..)
    }
}

/// A node of the way.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stop {
    /// The node's name.
    pub node: String,
    /// Where it is, on the robot's map.
    pub x_mm: i32,
    /// Where it is.
    pub y_mm: i32,
    /// The angle to stand at, in milliradians; `None`: any.
    pub theta_mrad: Option<i32>,
    /// How near counts as there.
    pub deviation_mm: u32,
    /// The robot may drive here.
    pub released: bool,
    /// What to do here, in order. Their ids are never used again.
    pub actions: Vec<Action>,
    /// The name of the edge that leads here; `None`: `FROM-TO`.
    pub edge: Option<String>,
    /// The limit on that edge.
    pub speed_mm_s: Option<u32>,
}

/// What the robot tells of itself, of its last state.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// The order it has, or had last; empty before any.
    pub order: String,
    /// The update of it that it took last.
    pub update: u32,
    /// It has nothing left to drive or do, and would take a new order.
    pub idle: bool,
    /// The node that it passed or stands on; empty if it knows none.
    pub last_node: String,
    /// That node's number in the order.
    pub last_sequence: u32,
    /// The last released node that it knows, and its number: updates begin there.
    pub base_end: (String, u32),
    /// The nodes still ahead: number, name, released.
    pub ahead: Vec<(u32, String, bool)>,
    /// It moves.
    pub driving: bool,
    /// It was told to pause.
    pub paused: bool,
    /// It asks for more base.
    pub new_base_request: bool,
    /// Per cent, 0 to 100.
    pub charge_percent: u8,
    /// It charges.
    pub charging: bool,
    /// Who decides what it does.
    pub mode: OperatingMode,
    /// Its emergency stop. Only the robot's own people and logic clear it.
    pub emergency_stop: EmergencyStop,
    /// Something is in its protective field.
    pub field_violation: bool,
    /// What is wrong.
    pub errors: Vec<RobotError>,
    /// What it carries; `None` if it can't tell.
    pub loads: Option<Vec<Load>>,
    /// Where it is, if it knows.
    pub position: Option<Position>,
    /// All actions that it tells of, of the order and instant ones.
    pub actions: Vec<ActionState>,
}

/// Where a robot is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// On the map.
    pub x_mm: i32,
    /// On the map.
    pub y_mm: i32,
    /// Milliradians.
    pub theta_mrad: i32,
    /// Which map.
    pub map: String,
}

/// What the session makes of the robot's messages.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The robot lives. A [`Event::State`] follows at once.
    Up,
    /// It is gone, or can't be heard.
    Down {
        /// Why.
        why: &'static str,
    },
    /// It tells something new of itself.
    State(Box<Report>),
    /// It tells where it is, between states.
    Position(Position),
    /// It tells what it is and can.
    Factsheet(Box<Factsheet>),
    /// It knows this update of the order.
    Accepted {
        /// Which order.
        order: String,
        /// Which update.
        update: u32,
    },
    /// It, or this session, refused an update. What was accepted before stays.
    Rejected {
        /// Which order.
        order: String,
        /// Which update.
        update: u32,
        /// Why.
        reason: String,
    },
    /// The update's deadline passed before the robot showed it.
    Missed {
        /// Which order.
        order: String,
        /// Which update.
        update: u32,
        /// It left at least once: the robot may know it, [`Event::Accepted`] may yet come.
        sent: bool,
    },
    /// The robot no longer knows an order that it had accepted: it started anew, or somebody else commands it.
    Lost {
        /// Which order.
        order: String,
    },
    /// The robot stopped on the order: it is idle.
    Cancelled {
        /// Which order.
        order: String,
    },
    /// It passed a node, or stands on it. Told once for each node of the way, in order.
    NodeReached {
        /// Which order.
        order: String,
        /// The node's number in it.
        sequence: u32,
        /// Its name.
        node: String,
    },
    /// An action of the order is further.
    Action {
        /// Which order.
        order: String,
        /// Which action.
        action: String,
        /// How far.
        status: ActionStatus,
        /// What came of it.
        result: Option<String>,
    },
    /// An instant action is further; `None`: its deadline passed unheard.
    Instant {
        /// Which action.
        action: String,
        /// How far.
        status: Option<ActionStatus>,
    },
    /// A message that breaks the standard.
    Malformed {
        /// Its topic, cut at 64 characters.
        topic: String,
        /// What is wrong, where.
        what: String,
    },
}

/// Where the session puts what it makes. Nothing here may wait.
pub trait Sink {
    /// Publish `payload` under `topic`, the full name. If the connection can't take it now, drop it: the session sends
    /// again as long as it makes sense.
    fn publish(&mut self, topic: &str, payload: Vec<u8>, qos: Qos, retain: bool);
    /// Something happened.
    fn event(&mut self, event: Event);
}

/// Whether the robot lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Down,
    /// `heard`: when it told its state last. `doubt`: when to take it as gone if it doesn't until then, and why.
    Up {
        heard: Timestamp,
        doubt: Option<(Timestamp, &'static str)>,
    },
}

/// Tells a robot's new states from late and repeated ones.
#[derive(Debug, Default)]
struct Freshness {
    /// Time and number of the newest state.
    newest: Option<(Timestamp, u32)>,
    /// The number of the last one that looked old, and how many in turn counted on.
    stranger: Option<(u32, u32)>,
}

/// What was ordered, and how far it is.
#[derive(Debug)]
struct Task {
    /// The latest wish.
    wish: Order,
    /// The wish is settled: accepted, rejected or missed.
    settled: bool,
    /// The robot showed the order at some time.
    taken: bool,
    /// The highest update that it showed.
    accepted: Option<u32>,
    flight: Option<Flight>,
    /// The number of the last node that was told as reached.
    reached: Option<u32>,
    /// What was told of its actions.
    actions: BTreeMap<String, ActionStatus>,
}

/// An update on its way.
#[derive(Debug)]
struct Flight {
    update: u32,
    deadline: Timestamp,
    message: Box<OrderMessage>,
    resend_at: Timestamp,
    /// The base that it follows; `None`: it begins the order.
    after: Option<(String, u32)>,
    /// What was wrong before it was sent.
    errors: Vec<RobotError>,
}

#[derive(Debug)]
struct Instant {
    action: Action,
    deadline: Timestamp,
    /// When to send it again; `None` once the robot shows it.
    resend_at: Option<Timestamp>,
    status: Option<ActionStatus>,
    /// It cancels this order.
    cancels: Option<String>,
}

/// Fleet control's end of one robot. Driven like every session: the driver connects to the broker, subscribes to
/// [`subscriptions`](Self::subscriptions), calls [`connected`](Self::connected), passes on messages, and calls
/// [`tick`](Self::tick) at or after [`next_deadline`](Self::next_deadline).
///
/// Whether the robot lives is judged by its states, which no broker keeps: a retained `ONLINE` makes it be asked, no
/// more; a last will, which tells when the robot *connected*, counts if the robot doesn't answer; an `OFFLINE` counts
/// unless the robot has told a later state. States that come late or again are dropped.
#[derive(Debug)]
pub struct Edge {
    base: Base,
    map: String,
    connected: bool,
    orders: u32,
    instants_sent: u32,
    life: Life,
    /// When it was last asked for its state.
    asked: Option<Timestamp>,
    freshness: Freshness,
    /// Time and number of the last connection message.
    connection: Option<(Option<Timestamp>, u32, ConnectionState)>,
    report: Option<Report>,
    task: Option<Task>,
    instants: BTreeMap<String, Instant>,
    /// The last fault that was told, so that a robot that repeats itself is told of once.
    malformed: Option<String>,
}

impl Edge {
    /// A session without a connection.
    pub fn new(settings: EdgeSettings) -> Self {
        let EdgeSettings { version, interface, manufacturer, serial, map } = settings;
        Self {
            base: Base { version, interface, manufacturer, serial },
            map,
            connected: false,
            orders: 0,
            instants_sent: 0,
            life: Life::Down,
            asked: None,
            freshness: Freshness::default(),
            connection: None,
            report: None,
            task: None,
            instants: BTreeMap::new(),
            malformed: None,
        }
    }

    /// What to subscribe to.
    pub fn subscriptions(&self) -> Vec<(String, Qos)> {
        let topics = [Topic::Connection, Topic::State, Topic::Factsheet, Topic::Visualization];
        topics.map(|topic| (self.base.topic(topic), topic.qos())).into()
    }

    /// What the robot told last, also of a robot that is gone; `None` before the first state.
    pub const fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }

    /// Connected to the broker and subscribed.
    pub fn connected(&mut self, now: Timestamp, sink: &mut impl Sink) {
        self.connected = true;
        self.ask(now, sink);
        self.tick(now, sink);
    }

    /// The connection to the broker is gone. What is on its way waits for the next one, within its deadlines.
    pub fn disconnected(&mut self, _now: Timestamp, sink: &mut impl Sink) {
        self.connected = false;
        self.down("the connection to the broker is gone", sink);
    }

    /// A message arrived; `topic` is its full name.
    pub fn receive(&mut self, now: Timestamp, topic: &str, payload: &[u8], sink: &mut impl Sink) {
        if !self.connected {
            return;
        }
        let known = self.base.parse(topic);
        let Some(kind @ (Topic::Connection | Topic::State | Topic::Factsheet | Topic::Visualization)) = known else {
            return self.malformed(topic, "is no topic that a robot publishes".into(), sink);
        };
        let Verdict { message, faults, .. } = check(self.base.version, kind, payload);
        if let Some(fault) = faults.first() {
            self.malformed(topic, fault.to_string(), sink);
        }
        match message {
            Some(Message::Connection(connection)) => {
                let header = &connection.header;
                self.connection(now, time(&header.timestamp), header.header_id, connection.connection_state, sink);
            }
            Some(Message::State(state)) => self.state(now, &state, sink),
            Some(Message::Factsheet(factsheet)) => sink.event(Event::Factsheet(factsheet)),
            Some(Message::Visualization(visualization)) => {
                if let Some(position) = visualization.mobile_robot_position.as_ref().and_then(position) {
                    sink.event(Event::Position(position));
                }
            }
            Some(Message::Order(_) | Message::InstantActions(_) | Message::ZoneSet(_) | Message::Responses(_))
            | None => {}
        }
        self.tick(now, sink);
    }

    /// Tells the robot where to drive, now and again until it shows that it knows, never after the order's deadline.
    /// A repeat, with or without the nodes that were passed, changes the deadline alone: told anew, what was missed
    /// leaves after all. A way that changes the base, or a lower update, is [rejected](Event::Rejected). While the robot
    /// has another order in work, or is cancelling, this one waits.
    pub fn order(&mut self, now: Timestamp, order: Order, sink: &mut impl Sink) {
        if let Err(reason) = self.admissible(&order) {
            return sink.event(Event::Rejected { order: order.id, update: order.update, reason });
        }
        match &mut self.task {
            Some(task) if task.wish.is_repeated_by(&order) => {
                task.wish.deadline = order.deadline;
                task.settled = task.accepted >= Some(order.update);
                if let Some(flight) = task.flight.as_mut().filter(|flight| flight.update == order.update) {
                    flight.deadline = order.deadline;
                }
            }
            Some(task) if task.wish.id == order.id => {
                if !task.settled && task.flight.as_ref().is_none_or(|flight| flight.update != task.wish.update) {
                    // Superseded before it left.
                    let (order, update) = (task.wish.id.clone(), task.wish.update);
                    sink.event(Event::Missed { order, update, sent: false });
                }
                (task.wish, task.settled) = (order, false);
            }
            task => {
                *task = Some(Task {
                    wish: order,
                    settled: false,
                    taken: false,
                    accepted: None,
                    flight: None,
                    reached: None,
                    actions: BTreeMap::new(),
                });
            }
        }
        if let (true, Some(task), Some(report)) = (self.up(), &mut self.task, &self.report) {
            // The robot may know it already: this session may be the younger.
            task.hear(report, sink);
        }
        self.tick(now, sink);
    }

    /// Makes the robot stop on its order and forget what is left of it. It stops at a node or at once, as it is built;
    /// [`Event::Cancelled`] tells when it is idle.
    pub fn cancel(&mut self, now: Timestamp, order: &str, sink: &mut impl Sink) {
        if let Some(task) = self.task.as_mut().filter(|task| task.wish.id == order) {
            (task.settled, task.flight) = (true, None);
        }
        if !self.instants.values().any(|instant| instant.cancels.as_deref() == Some(order)) {
            self.send_cancel(now, order, format!("cancel-{order}"));
        }
        self.tick(now, sink);
    }

    /// Makes the robot do something at once: pause, charge. Sent again until it shows the action's id, never after
    /// the deadline.
    pub fn instant(&mut self, now: Timestamp, action: Action, deadline: Timestamp, sink: &mut impl Sink) {
        let id = action.action_id.clone();
        let new = Instant { action, deadline, resend_at: Some(now), status: None, cancels: None };
        self.instants.entry(id).or_insert(new);
        self.tick(now, sink);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Timestamp, sink: &mut impl Sink) {
        if let Life::Up { heard, doubt } = self.life {
            if let Some((_, why)) = doubt.filter(|(until, _)| *until <= now) {
                self.down(why, sink);
            } else if now - heard >= SILENCE_MAX {
                self.down("the robot is silent", sink);
            } else if now - heard >= SILENCE_ASK && self.asked.is_none_or(|asked| asked < heard + SILENCE_ASK) {
                self.ask(now, sink);
            }
        }
        self.send_order(now, sink);
        self.send_instants(now, sink);
    }

    /// When to call [`tick`](Self::tick) if nothing else happens; `None` while there is nothing to wait for.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let mut due = Vec::new();
        if let Life::Up { heard, doubt } = self.life {
            due.extend(doubt.map(|(until, _)| until));
            due.push(heard + SILENCE_MAX);
            if self.asked.is_none_or(|asked| asked < heard + SILENCE_ASK) {
                due.push(heard + SILENCE_ASK);
            }
        }
        let sendable = self.sendable();
        if let Some(task) = &self.task {
            // Strictly after: at the deadline itself it could still leave.
            let late = |deadline: Timestamp| deadline + Duration::from_micros(1);
            if let Some(flight) = &task.flight {
                due.push(if sendable { flight.resend_at.min(late(flight.deadline)) } else { late(flight.deadline) });
            } else if !task.settled {
                due.push(late(task.wish.deadline));
            }
        }
        for instant in self.instants.values() {
            if let Some(resend_at) = instant.resend_at {
                let late = instant.deadline + Duration::from_micros(1);
                due.push(if self.up() { resend_at.min(late) } else { late });
            }
        }
        due.into_iter().filter(|due| *due < Timestamp::MAX).min()
    }

    fn up(&self) -> bool {
        self.connected && matches!(self.life, Life::Up { doubt: None, .. })
    }

    /// Whether an order may be sent now.
    fn sendable(&self) -> bool {
        let ours = self.report.as_ref().is_some_and(|report| report.mode.is_ours());
        self.up() && ours && !self.instants.values().any(|instant| instant.cancels.is_some())
    }

    fn malformed(&mut self, topic: &str, what: String, sink: &mut impl Sink) {
        if self.malformed.as_ref() != Some(&what) {
            self.malformed = Some(what.clone());
            sink.event(Event::Malformed { topic: topic.chars().take(64).collect(), what });
        }
    }

    fn down(&mut self, why: &'static str, sink: &mut impl Sink) {
        if self.life != Life::Down {
            self.life = Life::Down;
            sink.event(Event::Down { why });
        }
    }

    /// Asks the robot for its state.
    fn ask(&mut self, now: Timestamp, sink: &mut impl Sink) {
        self.asked = Some(now);
        let action = instant_action(format!("state-{}", now.micros()), "stateRequest", Vec::new());
        self.publish_instant(now, action, sink);
    }

    fn publish_instant(&mut self, now: Timestamp, action: Action, sink: &mut impl Sink) {
        let header = self.base.header(now, &mut self.instants_sent);
        let message = Message::InstantActions(InstantActions { header, actions: vec![action] });
        self.publish(&message, sink);
    }

    fn publish(&self, message: &Message, sink: &mut impl Sink) {
        let topic = message.topic();
        sink.publish(&self.base.topic(topic), codec::encode(self.base.version, message), topic.qos(), topic.retained());
    }

    /// What the robot's connection message says: see the type's own words.
    fn connection(
        &mut self,
        now: Timestamp,
        at: Option<Timestamp>,
        header_id: u32,
        state: ConnectionState,
        sink: &mut impl Sink,
    ) {
        let said = (at, header_id, state);
        if self.connection == Some(said) && state == ConnectionState::Online {
            return;
        }
        self.connection = Some(said);
        match (state, &mut self.life) {
            (ConnectionState::Online, _) => {
                // Perhaps a new life, whose clock and count may begin anew.
                self.freshness.stranger = Some((0, NEW_LIFE));
                self.ask(now, sink);
            }
            (_, Life::Down) => {}
            (ConnectionState::Offline | ConnectionState::Hibernating, Life::Up { .. }) => {
                let later = self.freshness.newest.is_some_and(|(newest, _)| at.is_some_and(|at| at < newest));
                if !later {
                    let hibernates = state == ConnectionState::Hibernating;
                    self.down(if hibernates { "the robot hibernates" } else { "the robot is offline" }, sink);
                }
            }
            (ConnectionState::ConnectionBroken, Life::Up { doubt, .. }) => {
                if doubt.is_none() {
                    *doubt = Some((now + DOUBT_MAX, "the robot's connection broke"));
                    self.ask(now, sink);
                }
            }
        }
    }

    fn state(&mut self, now: Timestamp, state: &State, sink: &mut impl Sink) {
        if !self.freshness.is_new(time(&state.header.timestamp), state.header.header_id) {
            return;
        }
        let was_up = matches!(self.life, Life::Up { .. });
        self.life = Life::Up { heard: now, doubt: None };
        if !was_up {
            sink.event(Event::Up);
        }
        let report = Report::of(state);
        let before = self.report.replace(report.clone());
        if !was_up || before.as_ref() != Some(&report) {
            sink.event(Event::State(Box::new(report.clone())));
        }
        if let Some(task) = &mut self.task {
            task.hear(&report, sink);
        }
        self.hear_instants(now, &report, sink);
    }

    fn hear_instants(&mut self, now: Timestamp, report: &Report, sink: &mut impl Sink) {
        let mut again = None;
        self.instants.retain(|id, instant| {
            let Some(told) = report.actions.iter().find(|action| action.action_id == *id) else {
                // Not heard yet; or forgotten, as by a robot that started anew.
                let forgotten = instant.status.is_some();
                if forgotten && let Some(order) = &instant.cancels {
                    (instant.resend_at, instant.status) = (Some(now), None);
                    if report.order != *order || report.idle {
                        sink.event(Event::Cancelled { order: order.clone() });
                        return false;
                    }
                }
                return !forgotten || instant.cancels.is_some();
            };
            let status = told.action_status;
            instant.resend_at = None;
            if instant.status.replace(status) != Some(status) && instant.cancels.is_none() {
                sink.event(Event::Instant { action: id.clone(), status: Some(status) });
            }
            if let Some(order) = instant.cancels.as_ref().filter(|_| status.is_over()) {
                if status == ActionStatus::Failed && report.order == *order && !report.idle {
                    // It refused, and goes on: once more, under another id.
                    again = Some((order.clone(), format!("{id}+")));
                } else {
                    sink.event(Event::Cancelled { order: order.clone() });
                }
            }
            !status.is_over()
        });
        if let Some((order, id)) = again {
            self.send_cancel(now + RESEND_PERIOD, &order, id);
        }
    }

    /// Lets a cancellation leave at `at`.
    fn send_cancel(&mut self, at: Timestamp, order: &str, id: String) {
        let parameters = match self.base.version {
            Version::V2_0 | Version::V2_1 => Vec::new(),
            Version::V3_0 => vec![ActionParameter { key: "orderId".into(), value: order.into() }],
        };
        let action = instant_action(id.clone(), "cancelOrder", parameters);
        let cancels = Some(order.to_owned());
        let deadline = Timestamp::MAX;
        self.instants.insert(id, Instant { action, deadline, resend_at: Some(at), status: None, cancels });
    }

    fn send_instants(&mut self, now: Timestamp, sink: &mut impl Sink) {
        let up = self.up();
        let mut due = Vec::new();
        self.instants.retain(|id, instant| {
            let Some(resend_at) = &mut instant.resend_at else { return true };
            if now > instant.deadline {
                sink.event(Event::Instant { action: id.clone(), status: None });
                return false;
            }
            if up && *resend_at <= now {
                *resend_at = now + RESEND_PERIOD;
                due.push(instant.action.clone());
            }
            true
        });
        for action in due {
            self.publish_instant(now, action, sink);
        }
    }

    /// Sends the wish, or the update on its way again.
    fn send_order(&mut self, now: Timestamp, sink: &mut impl Sink) {
        let sendable = self.sendable();
        let Self { task: Some(task), report, base, map, .. } = self else { return };
        if let Some(flight) = task.flight.take_if(|flight| now > flight.deadline) {
            let (order, update) = (task.wish.id.clone(), flight.update);
            task.settled |= update == task.wish.update;
            sink.event(Event::Missed { order, update, sent: true });
        }
        if task.flight.is_none() && !task.settled && now > task.wish.deadline {
            task.settled = true;
            sink.event(Event::Missed { order: task.wish.id.clone(), update: task.wish.update, sent: false });
        }
        let Some(report) = report.as_ref().filter(|_| sendable) else { return };
        if task.flight.is_none() && !task.settled {
            match task.next(now, report, base.version, map) {
                Ok(flight) => task.flight = flight,
                Err(reason) => {
                    task.settled = true;
                    let (order, update) = (task.wish.id.clone(), task.wish.update);
                    return sink.event(Event::Rejected { order, update, reason });
                }
            }
        }
        if let Some(flight) = task.flight.as_mut().filter(|flight| flight.resend_at <= now) {
            flight.resend_at = now + RESEND_PERIOD;
            flight.message.header = base.header(now, &mut self.orders);
            let message = Message::Order((*flight.message).clone());
            self.publish(&message, sink);
        }
    }

    /// Whether this order may follow what was ordered before.
    fn admissible(&self, order: &Order) -> Result<(), String> {
        if order.id.is_empty() {
            return Err("the order has no id".into());
        }
        let first = order.nodes.first().ok_or("the order has no nodes")?;
        if !first.released || !order.first_sequence.is_multiple_of(2) {
            return Err("the first node must be released and have an even number".into());
        }
        let message = message(order, 0, self.base.version, &self.map);
        let mut faults = rules::check(self.base.version, &Message::Order(message));
        faults.retain(|fault| fault.kind != super::Kind::Header);
        if let Some(fault) = faults.first() {
            return Err(fault.to_string());
        }
        let Some(wish) = self.task.as_ref().map(|task| &task.wish).filter(|wish| wish.id == order.id) else {
            return Ok(());
        };
        if wish.is_repeated_by(order) {
            return Ok(());
        }
        if order.update <= wish.update {
            return Err(format!("update {} says something else, or came after update {}", order.update, wish.update));
        }
        for (index, stop) in wish.nodes.iter().enumerate().take_while(|(_, stop)| stop.released) {
            let sequence = wish.first_sequence + 2 * index as u32;
            let Some(ahead) = sequence.checked_sub(order.first_sequence) else { continue };
            let same = order
                .nodes
                .get(ahead as usize / 2)
                .is_some_and(|other| other.released && other.node == stop.node && other.actions == stop.actions);
            if !same {
                return Err(format!("node {} ({sequence}) was released before and is changed", stop.node));
            }
        }
        Ok(())
    }
}

impl Task {
    /// The update that makes the robot know the wish; `None` while it can't be told yet.
    fn next(&self, now: Timestamp, report: &Report, version: Version, map: &str) -> Result<Option<Flight>, String> {
        let Order { id, update, first_sequence, deadline, .. } = &self.wish;
        let (after, from) = if report.order == *id {
            if report.update >= *update {
                return Ok(None);
            }
            let (node, sequence) = report.base_end.clone();
            let from = sequence.checked_sub(*first_sequence).map(|ahead| ahead as usize / 2);
            match from.and_then(|from| self.wish.nodes.get(from)) {
                Some(stop) if stop.node == node && stop.released => {}
                _ => return Err(format!("the robot's base ends at {node} ({sequence}), which isn't on the way")),
            }
            (Some((node, sequence)), from.unwrap_or_default())
        } else if self.taken {
            return Err("the robot no longer knows the order".into());
        } else if !report.idle {
            return Ok(None);
        } else {
            (None, 0)
        };
        Ok(Some(Flight {
            update: *update,
            deadline: *deadline,
            message: Box::new(message(&self.wish, from, version, map)),
            resend_at: now,
            after,
            errors: report.errors.clone(),
        }))
    }

    /// What a state tells of the order.
    fn hear(&mut self, report: &Report, sink: &mut impl Sink) {
        let id = self.wish.id.clone();
        if report.order != id {
            if std::mem::take(&mut self.taken) {
                (self.settled, self.flight) = (true, None);
                sink.event(Event::Lost { order: id.clone() });
            }
        } else {
            self.taken = true;
            if self.accepted.is_none_or(|before| before < report.update) {
                self.accepted = Some(report.update);
                sink.event(Event::Accepted { order: id.clone(), update: report.update });
            }
            self.flight.take_if(|flight| flight.update <= report.update);
            self.settled |= self.wish.update <= report.update;
        }
        self.hear_errors(report, sink);
        if report.order == id {
            self.hear_way(report, sink);
        }
    }

    /// Whether the robot refuses the update on its way.
    fn hear_errors(&mut self, report: &Report, sink: &mut impl Sink) {
        let Some(flight) = &self.flight else { return };
        let (id, update) = (&self.wish.id, flight.update.to_string());
        let is = |error: &RobotError, key, value: &str| error.reference(key).is_none_or(|told| told == value);
        let refusal = report.errors.iter().find(|error| {
            refuses_orders(&error.error_type)
                && is(error, "orderId", id)
                && is(error, "orderUpdateId", &update)
                && !flight.errors.contains(error)
        });
        let Some(refusal) = refusal else { return };
        let base_end = (report.order == *id).then_some(&report.base_end);
        let outdated = base_end != flight.after.as_ref();
        let (order, update) = (id.clone(), flight.update);
        let reason = match &refusal.error_description {
            Some(description) => format!("{}: {description}", refusal.error_type),
            None => refusal.error_type.clone(),
        };
        self.flight = None;
        if !outdated {
            self.settled |= update == self.wish.update;
            sink.event(Event::Rejected { order, update, reason });
        }
    }

    fn hear_way(&mut self, report: &Report, sink: &mut impl Sink) {
        let order = &self.wish.id;
        let Order { first_sequence, nodes, .. } = &self.wish;
        let numbered = nodes.iter().enumerate().map(|(index, stop)| (first_sequence + 2 * index as u32, &stop.node));
        let passed = |sequence: u32| {
            sequence <= report.last_sequence && !report.ahead.iter().any(|(ahead, ..)| *ahead == sequence)
        };
        let there = numbered.clone().any(|at| at == (report.last_sequence, &report.last_node));
        for (sequence, node) in numbered.filter(|(sequence, _)| there && passed(*sequence)) {
            if self.reached.is_none_or(|reached| reached < sequence) {
                self.reached = Some(sequence);
                sink.event(Event::NodeReached { order: order.clone(), sequence, node: node.clone() });
            }
        }
        for action in nodes.iter().flat_map(|stop| &stop.actions) {
            let Some(told) = report.actions.iter().find(|state| state.action_id == action.action_id) else {
                continue;
            };
            let (action, status) = (told.action_id.clone(), told.action_status);
            if self.actions.insert(action.clone(), status) != Some(status) {
                let result = told.action_result.clone();
                sink.event(Event::Action { order: order.clone(), action, status, result });
            }
        }
    }
}

impl Freshness {
    /// Whether a state is newer than all before. One that looks old may be the first of a new life with another clock:
    /// then those after it count on from it.
    fn is_new(&mut self, at: Option<Timestamp>, id: u32) -> bool {
        let Some((newest, last)) = self.newest else {
            self.newest = Some((at.unwrap_or(Timestamp::EPOCH), id));
            self.stranger = None;
            return true;
        };
        let at = at.unwrap_or(newest);
        let counts_on = id != last && id.wrapping_sub(last) < u32::MAX / 2;
        let new = at > newest || at == newest && counts_on;
        let turn = match self.stranger {
            _ if new => 0,
            // Something announced a new life: the first state that differs is of it.
            Some((_, turn)) if turn >= NEW_LIFE && (at, id) != (newest, last) => turn,
            Some((before, turn)) if id.wrapping_sub(before) == 1 => turn + 1,
            _ => 1,
        };
        if new || turn >= NEW_LIFE {
            (self.newest, self.stranger) = (Some((at, id)), None);
            return true;
        }
        self.stranger = Some((id, turn));
        false
    }
}

impl Report {
    /// What a state says.
    pub fn of(state: &State) -> Self {
        let released = state.node_states.iter().rfind(|node| node.released);
        let base_end = released.map_or_else(
            || (state.last_node_id.clone(), state.last_node_sequence_id),
            |node| (node.node_id.clone(), node.sequence_id),
        );
        Self {
            order: state.order_id.clone(),
            update: state.order_update_id,
            idle: state.node_states.is_empty()
                && state.action_states.iter().all(|action| action.action_status.is_over()),
            last_node: state.last_node_id.clone(),
            last_sequence: state.last_node_sequence_id,
            base_end,
            ahead: state
                .node_states
                .iter()
                .map(|node| (node.sequence_id, node.node_id.clone(), node.released))
                .collect(),
            driving: state.driving,
            paused: state.paused.unwrap_or(false),
            new_base_request: state.new_base_request.unwrap_or(false),
            charge_percent: state.power_supply.state_of_charge.clamp(0.0, 100.0) as u8,
            charging: state.power_supply.charging,
            mode: state.operating_mode,
            emergency_stop: state.safety_state.active_emergency_stop,
            field_violation: state.safety_state.field_violation,
            errors: state.errors.clone(),
            loads: state.loads.clone(),
            position: state.mobile_robot_position.as_ref().and_then(position),
            actions: state.action_states.iter().chain(&state.instant_action_states).cloned().collect(),
        }
    }
}

/// A position that the robot is sure of.
fn position(position: &RobotPosition) -> Option<Position> {
    let milli = |unit: f64| (unit * 1_000.0).round() as i32;
    let RobotPosition { x, y, theta, map_id, .. } = position;
    let known = Position { x_mm: milli(*x), y_mm: milli(*y), theta_mrad: milli(*theta), map: map_id.clone() };
    position.localized.then_some(known)
}

/// Whether an error of this type is about an order and not about the robot. Versions and builders spell differently:
/// `orderUpdateError`, `OUTDATED_ORDER_UPDATE`, `validationError` …
fn refuses_orders(error_type: &str) -> bool {
    let error_type = error_type.to_ascii_lowercase();
    !error_type.contains("cancel")
        && ["order", "validation", "unsupported"].iter().any(|word| error_type.contains(word))
}

/// An instant action, which never blocks.
fn instant_action(id: String, kind: &str, parameters: Vec<ActionParameter>) -> Action {
    Action {
        action_type: kind.into(),
        action_id: id,
        blocking_type: BlockingType::None,
        action_parameters: parameters,
        ..Action::default()
    }
}

/// The order's nodes from index `from` on, as a message without a header.
fn message(order: &Order, from: usize, version: Version, map: &str) -> OrderMessage {
    let metres = |mm: i32| f64::from(mm) / 1_000.0;
    let sequence = |index: usize| order.first_sequence.saturating_add(2 * index as u32);
    let node = |(index, stop): (usize, &Stop)| Node {
        node_id: stop.node.clone(),
        sequence_id: sequence(index),
        released: stop.released,
        node_position: Some(NodePosition {
            x: metres(stop.x_mm),
            y: metres(stop.y_mm),
            theta: stop.theta_mrad.map(metres),
            allowed_deviation_xy: (stop.deviation_mm > 0).then(|| {
                let radius = f64::from(stop.deviation_mm) / 1_000.0;
                super::model::Ellipse { a: radius, b: radius, theta: 0.0 }
            }),
            allowed_deviation_theta: None,
            map_id: map.to_owned(),
        }),
        actions: stop.actions.clone(),
        ..Node::default()
    };
    let edge = |(index, pair): (usize, &[Stop])| Way {
        edge_id: pair[1].edge.clone().unwrap_or_else(|| format!("{}-{}", pair[0].node, pair[1].node)),
        sequence_id: sequence(index) + 1,
        released: pair[1].released,
        start_node_id: (version != Version::V3_0).then(|| pair[0].node.clone()),
        end_node_id: (version != Version::V3_0).then(|| pair[1].node.clone()),
        maximum_speed: pair[1].speed_mm_s.map(|speed| f64::from(speed) / 1_000.0),
        ..Way::default()
    };
    OrderMessage {
        order_id: order.id.clone(),
        order_update_id: order.update,
        nodes: order.nodes.iter().enumerate().skip(from).map(node).collect(),
        edges: order.nodes.windows(2).enumerate().skip(from).map(edge).collect(),
        ..OrderMessage::default()
    }
}
