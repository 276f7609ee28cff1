//! The edge's end of an Impinj reader: REST to control it, MQTT for what it reads.
//!
//! 1. `GET /status`: whether the inventory runs, the time, the reader's connection to the broker.
//! 2. `GET /mqtt`, and `PUT /mqtt` if it publishes elsewhere or otherwise than wanted.
//! 3. `POST /profiles/stop`, `POST …/start`: our inventory runs. `GET /status` until the reader has found the broker:
//!    the session is up.
//! 4. Events become reads and visits. `GET /status` each 5 s; an inventory that stopped is started again.
//!
//! The reader's will, 15 s without a sign that it runs, or our own loss of the broker end it; then it begins anew.

use super::config::{Body, CONNECT_MESSAGE, Method, MqttBody, MqttSettings, Request};
use super::{Event as Told, Message, Status, messages};
use crate::reader_mqtt::{
    ANSWER_WAIT, Event, Flat, Malformed, POLL_PERIOD, PROOF_MAX, RETRY_WAIT, Session, Sink, Time, Tracker, Watch, parse,
};
use serde::Deserialize;
use stowage_base::{Duration, Timestamp};

/// Root of the REST interface.
pub(super) const API: &str = "/api/v1";

/// How long the reader may take to find the broker …
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// … and how often it is asked meanwhile.
const SETTLE_PERIOD: Duration = Duration::from_millis(500);

/// What a reader is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Antennas and timing.
    pub watch: Watch,
    /// Gen2 session, 0 to 3.
    pub session: u8,
    /// How many tags to expect in view of an antenna; at least 1.
    pub population: u16,
    /// The reader's RF mode; which there are depends on its region.
    pub rf_mode: u16,
    /// Report a tag that stays again after so many seconds; 0 reports each reading.
    pub interval_s: u16,
    /// Start this preset of the reader's in place of the settings above.
    pub preset: Option<String>,
    /// Where it is to publish.
    pub mqtt: MqttSettings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// We have no broker.
    Idle,
    /// A request is out.
    Asked { step: Step, id: u32, at: Timestamp },
    /// Nothing goes on until then.
    Waiting { until: Timestamp },
    /// The inventory runs, the reader seeks the broker: to be asked again.
    Settling { ask_at: Timestamp },
    /// Our inventory runs as far as is known.
    Up { poll_at: Timestamp },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Status,
    ReadMqtt,
    WriteMqtt,
    Stop,
    Start,
    /// The status again: has the reader found the broker?
    Settle,
    /// The status again, of a reader that is up.
    Poll,
}

/// The edge's end of one reader: a [`Session`].
#[derive(Debug)]
pub struct Edge {
    settings: Settings,
    state: State,
    last_id: u32,
    tracker: Tracker,
    /// The last sign that the inventory runs.
    proof: Timestamp,
    /// [`Event::Up`] was told, and no [`Event::Down`] since.
    up: bool,
    /// The inventory that runs is ours.
    ours: bool,
    /// When a reader that has not found the broker by then is told to be without.
    settle_by: Timestamp,
    /// What was complained of last while it doesn't come up: told once.
    complaint: String,
}

impl Edge {
    /// A session without a connection.
    pub fn new(settings: Settings) -> Self {
        Self {
            tracker: Tracker::new(&settings.watch),
            settings,
            state: State::Idle,
            last_id: 0,
            proof: Timestamp::EPOCH,
            up: false,
            ours: false,
            settle_by: Timestamp::EPOCH,
            complaint: String::new(),
        }
    }
}

impl Session for Edge {
    type Out = Request;

    fn topics(&self) -> Vec<String> {
        vec![self.settings.mqtt.event_topic.clone(), self.settings.mqtt.will_topic.clone()]
    }

    fn connected(&mut self, now: Timestamp, sink: &mut impl Sink<Request>) {
        self.ask(now, Step::Status, sink);
    }

    fn receive(&mut self, now: Timestamp, topic: &str, payload: &[u8], sink: &mut impl Sink<Request>) {
        if self.state == State::Idle {
            return;
        }
        if topic == self.settings.mqtt.will_topic {
            self.will(now, payload, sink);
        } else if topic == self.settings.mqtt.event_topic {
            let ended = messages(payload, |message| match message {
                Ok(message) => self.message(now, &message, sink),
                Err(error) => sink.event(Event::malformed(topic, &error)),
            });
            if let Err(error) = ended {
                sink.event(Event::malformed(topic, &error));
            }
        } else {
            self.tracker.skip(now, 1, topic);
        }
        self.tick(now, sink);
    }

    fn answered(&mut self, now: Timestamp, id: u32, answer: Result<(u16, &[u8]), &str>, sink: &mut impl Sink<Request>) {
        let State::Asked { step, id: asked, at } = self.state else { return };
        if id != asked {
            return;
        }
        match answer {
            Ok((200..=299, body)) => self.done(now, step, at, body, sink),
            Ok((status, body)) => {
                let text = refusal(status, body);
                self.failed(now, step, &format!("{} is refused: {text}", self.named(step)), sink);
            }
            Err(why) => self.failed(now, step, &format!("{} failed: {why}", self.named(step)), sink),
        }
        self.tick(now, sink);
    }

    fn tick(&mut self, now: Timestamp, sink: &mut impl Sink<Request>) {
        self.tracker.tick(now, sink);
        if self.up && now - self.proof > PROOF_MAX {
            self.down(now, "the reader has not shown for 15 s that it runs", sink);
            self.state = State::Waiting { until: now };
        }
        match self.state {
            State::Asked { step, at, .. } if at + ANSWER_WAIT + ANSWER_WAIT <= now => {
                self.failed(now, step, &format!("{} was not answered", self.named(step)), sink);
            }
            State::Waiting { until } if until <= now => self.ask(now, Step::Status, sink),
            State::Settling { ask_at } if ask_at <= now => self.ask(now, Step::Settle, sink),
            State::Up { poll_at } if poll_at <= now => self.ask(now, Step::Poll, sink),
            State::Asked { .. } | State::Waiting { .. } | State::Settling { .. } | State::Up { .. } | State::Idle => {}
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let own = match self.state {
            State::Idle => None,
            State::Asked { at, .. } => Some(at + ANSWER_WAIT + ANSWER_WAIT),
            State::Waiting { until } => Some(until),
            State::Settling { ask_at } => Some(ask_at),
            State::Up { poll_at } => Some(poll_at),
        };
        let proof = self.up.then(|| self.proof + PROOF_MAX + Duration::from_micros(1));
        own.into_iter().chain(proof).chain(self.tracker.next_deadline()).min()
    }

    fn disconnected(&mut self, now: Timestamp, sink: &mut impl Sink<Request>) {
        self.down(now, "the connection to the broker is gone", sink);
        self.state = State::Idle;
    }
}

impl Edge {
    fn will(&mut self, now: Timestamp, payload: &[u8], sink: &mut impl Sink<Request>) {
        if payload == CONNECT_MESSAGE.as_bytes() {
            // A step that changes something is under way because of it; a question may have gone nowhere.
            let question = matches!(self.state, State::Asked { step: Step::Status | Step::Poll, .. });
            if question || matches!(self.state, State::Waiting { .. } | State::Up { .. }) {
                self.ask(now, Step::Status, sink);
            }
            return;
        }
        let why = String::from_utf8_lossy(payload.get(..64).unwrap_or(payload));
        self.down(now, &format!("the reader is gone from the broker: {why:?}"), sink);
        self.state = State::Waiting { until: now + RETRY_WAIT };
    }

    fn message(&mut self, now: Timestamp, message: &Message, sink: &mut impl Sink<Request>) {
        let Message { at, event, unknown } = message;
        self.tracker.skip(now, u64::from(*unknown), "a member of an event");
        if self.tracker.stamped(now, *at, sink) && matches!(self.state, State::Up { .. }) {
            self.ask(now, Step::Poll, sink);
        }
        match event {
            Told::Tag(tag) => match self.tracker.tag(now, tag, sink) {
                Ok(true) => self.proof = now,
                Ok(false) => {}
                Err(what) => sink.event(Event::Malformed { source: "tagInventory".to_owned(), what: what.to_owned() }),
            },
            Told::Antenna { port, connected } => self.tracker.antenna(*port, *connected, Some(*at), sink),
            // Old news of it would be wrong: it is asked for.
            Told::Status(status) if self.tracker.recent(now, *at) => self.status(now, status, sink),
            Told::Status(_) | Told::Activation { .. } => {}
            Told::Overflow { lost } => {
                sink.event(Event::Fault(format!("it lost {lost} events before it could send them")))
            }
            Told::Gpi { pin, high } => sink.event(Event::Gpi { pin: *pin, high: *high }),
            Told::Unknown { kind } => self.tracker.skip(now, 1, kind),
        }
    }

    /// What the inventory does, of a reader that is up.
    fn status(&mut self, now: Timestamp, status: &Status, sink: &mut impl Sink<Request>) {
        if !self.up {
            return;
        }
        match status {
            Status::Running => {
                self.proof = now;
                self.tracker.run(now, Some(true), sink);
            }
            Status::Armed => {
                self.proof = now;
                self.tracker.run(now, Some(false), sink);
            }
            Status::Idle => {
                self.ours = false;
                self.tracker.run(now, Some(false), sink);
                if matches!(self.state, State::Up { .. } | State::Asked { step: Step::Poll, .. }) {
                    sink.event(Event::Fault("the inventory was stopped: it is started again".to_owned()));
                    self.ask(now, Step::Stop, sink);
                }
            }
            // On its way to one of these.
            Status::Other(_) => {}
        }
    }

    fn done(&mut self, now: Timestamp, step: Step, asked: Timestamp, body: &[u8], sink: &mut impl Sink<Request>) {
        let next = match step {
            Step::Status | Step::Settle | Step::Poll => {
                let answer: StatusBody = match parse(0, body) {
                    Ok(answer) => answer,
                    Err(error) => return self.senseless(now, step, &error, sink),
                };
                self.tracker.answered(asked, now, answer.time, sink);
                let broker = answer.mqtt_broker_connection_status.as_ref().map_or("connected", |Flat(status)| status);
                let (status, found) = (Status::of(answer.status.0), broker == "connected");
                match step {
                    Step::Poll if !found => {
                        self.down(now, "the reader says that it has lost the broker", sink);
                        return self.retry(now, Step::Status);
                    }
                    Step::Poll => {
                        self.state = State::Up { poll_at: now + POLL_PERIOD };
                        return self.status(now, &status, sink);
                    }
                    Step::Settle if found && matches!(status, Status::Running | Status::Armed) => {
                        return self.rise(now, status == Status::Running, sink);
                    }
                    Step::Settle if now < self.settle_by => {
                        self.state = State::Settling { ask_at: now + SETTLE_PERIOD };
                        return;
                    }
                    Step::Settle => {
                        let MqttSettings { host, port, .. } = &self.settings.mqtt;
                        let why = format!("its inventory is {}, its broker {host}:{port} is {broker}", status.as_str());
                        return self.failed(now, step, &why, sink);
                    }
                    _ => {}
                }
                // Ours still, where only the broker was lost in between.
                self.ours &= matches!(status, Status::Running | Status::Armed);
                Step::ReadMqtt
            }
            Step::ReadMqtt => {
                let wanted = MqttBody::of(&self.settings.mqtt);
                match parse::<MqttBody>(0, body) {
                    Ok(present) if wanted.suits(&present) && self.ours => self.settle(now),
                    Ok(present) if wanted.suits(&present) => Step::Stop,
                    // A reader that was never set up tells less.
                    Ok(_) | Err(_) => Step::WriteMqtt,
                }
            }
            Step::WriteMqtt => Step::Stop,
            Step::Stop => Step::Start,
            Step::Start => {
                self.ours = true;
                self.settle(now)
            }
        };
        self.ask(now, next, sink);
    }

    fn settle(&mut self, now: Timestamp) -> Step {
        self.settle_by = now + SETTLE_MAX;
        Step::Settle
    }

    /// The inventory is ours and the reader connected; it looks now, or when it is triggered.
    fn rise(&mut self, now: Timestamp, looks: bool, sink: &mut impl Sink<Request>) {
        self.state = State::Up { poll_at: now + POLL_PERIOD };
        self.proof = now;
        self.complaint.clear();
        if !std::mem::replace(&mut self.up, true) {
            sink.event(Event::Up);
        }
        self.tracker.run(now, Some(looks), sink);
    }

    fn down(&mut self, now: Timestamp, why: &str, sink: &mut impl Sink<Request>) {
        self.tracker.run(now, None, sink);
        if std::mem::take(&mut self.up) {
            sink.event(Event::Down(why.to_owned()));
        }
    }

    fn senseless(&mut self, now: Timestamp, step: Step, error: &Malformed, sink: &mut impl Sink<Request>) {
        let source = self.named(step);
        sink.event(Event::malformed(&source, error));
        self.retry(now, step);
    }

    /// A step came to nothing, and is tried again after a while.
    fn failed(&mut self, now: Timestamp, step: Step, why: &str, sink: &mut impl Sink<Request>) {
        // Stopped already, as some readers see it: if not, the start is refused.
        if step == Step::Stop {
            return self.ask(now, Step::Start, sink);
        }
        if self.complaint != why {
            why.clone_into(&mut self.complaint);
            sink.event(if self.up || step == Step::Poll {
                Event::Fault(why.to_owned())
            } else {
                Event::Down(why.to_owned())
            });
        }
        self.retry(now, step);
    }

    fn retry(&mut self, now: Timestamp, step: Step) {
        self.state = match step {
            Step::Poll => State::Up { poll_at: now + POLL_PERIOD },
            _ => State::Waiting { until: now + RETRY_WAIT },
        };
    }

    fn ask(&mut self, now: Timestamp, step: Step, sink: &mut impl Sink<Request>) {
        self.last_id = self.last_id.wrapping_add(1);
        let id = self.last_id;
        self.state = State::Asked { step, id, at: now };
        let (method, path) = self.request(step);
        // Plain values under string keys, which JSON always can.
        let body = match step {
            Step::WriteMqtt => serde_json::to_vec(&MqttBody::of(&self.settings.mqtt)).ok(),
            Step::Start if self.settings.preset.is_none() => serde_json::to_vec(&Body::of(&self.settings)).ok(),
            Step::Status | Step::Settle | Step::Poll | Step::ReadMqtt | Step::Stop | Step::Start => None,
        };
        sink.send(Request { id, method, path: format!("{API}{path}"), body });
    }

    fn request(&self, step: Step) -> (Method, String) {
        let (method, path) = match (step, &self.settings.preset) {
            (Step::Status | Step::Settle | Step::Poll, _) => (Method::Get, "/status"),
            (Step::ReadMqtt, _) => (Method::Get, "/mqtt"),
            (Step::WriteMqtt, _) => (Method::Put, "/mqtt"),
            (Step::Stop, _) => (Method::Post, "/profiles/stop"),
            (Step::Start, None) => (Method::Post, "/profiles/inventory/start"),
            (Step::Start, Some(preset)) => {
                return (Method::Post, format!("/profiles/inventory/presets/{preset}/start"));
            }
        };
        (method, path.to_owned())
    }

    fn named(&self, step: Step) -> String {
        let (method, path) = self.request(step);
        format!("{} {path}", method.as_str())
    }
}

/// The answer to `GET /status`: the members that matter here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatusBody {
    status: Flat,
    time: Option<Time>,
    mqtt_broker_connection_status: Option<Flat>,
}

/// What a reader says when it refuses, in words.
fn refusal(status: u16, body: &[u8]) -> String {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ErrorBody {
        message: Flat,
        invalid_property_id: Option<Flat>,
        detail: Option<Flat>,
    }
    let known = match status {
        401 => ", the user or password is wrong",
        403 => ", this user may not",
        404 => ", the reader has no such thing: is its IoT interface on?",
        409 => ", the reader is busy with something else",
        _ => "",
    };
    match serde_json::from_slice::<ErrorBody>(body) {
        Ok(ErrorBody { message, invalid_property_id, detail }) => {
            let property = invalid_property_id.map(|id| format!(", property {}", id.0)).unwrap_or_default();
            let detail = detail.map(|detail| format!(": {}", detail.0)).unwrap_or_default();
            format!("{}{property}{detail} (status {status}{known})", message.0)
        }
        Err(_) => format!("status {status}{known}"),
    }
}
