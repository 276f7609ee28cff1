//! The edge's end of a Zebra reader.
//!
//! 1. `get_status` (management): the time, which antennas are connected; that the reader is there at all.
//! 2. `stop`, `set_mode`, `start` (control): our inventory runs, the session is up.
//! 3. Tag data becomes reads and visits. `get_status` each 5 s; a radio that stopped is started again.
//!
//! Answers are matched by `command_id`, which holds the boot number of this edge. The reader's will, 15 s without a
//! sign that it reads, or our own loss of the broker end it; then it begins anew.

use super::{Event as Told, Management, Message, News, Response, messages};
use crate::reader_mqtt::{ANSWER_WAIT, Event, POLL_PERIOD, PROOF_MAX, RETRY_WAIT, Session, Sink, Time, Tracker, Watch};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use stowage_base::{Duration, Timestamp};

/// The topics of one reader, as its installer named them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// Where it publishes tag data.
    pub data: String,
    /// Where it takes control commands.
    pub control_command: String,
    /// Where it answers them.
    pub control_response: String,
    /// Where it takes management commands.
    pub management_command: String,
    /// Where it answers them.
    pub management_response: String,
    /// Where it publishes management events.
    pub management_event: String,
    /// Where it or its last will says that it came or went, if it does.
    pub will: Option<String>,
}

impl Topics {
    /// The layout `BASE/data`, `BASE/ctrl/cmd`, `BASE/ctrl/res`, `BASE/mgmt/cmd`, `BASE/mgmt/res`, `BASE/events`,
    /// `BASE/will`.
    pub fn below(base: &str) -> Self {
        let topic = |rest: &str| format!("{base}/{rest}");
        Self {
            data: topic("data"),
            control_command: topic("ctrl/cmd"),
            control_response: topic("ctrl/res"),
            management_command: topic("mgmt/cmd"),
            management_response: topic("mgmt/res"),
            management_event: topic("events"),
            will: Some(topic("will")),
        }
    }
}

/// What a reader is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Antennas and timing.
    pub watch: Watch,
    /// Where it is found.
    pub topics: Topics,
    /// Gen2 session, 0 to 3.
    pub session: u8,
    /// How many tags to expect in view of an antenna; at least 1.
    pub population: u16,
    /// Report a tag at most so often, in seconds; 0 reports each reading, with channel and phase.
    pub interval_s: u16,
    /// Begins the ids of all commands: differs at each start of the edge, and from that of others.
    pub command_prefix: String,
}

/// A message for the reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// We have no broker.
    Idle,
    /// A command is out.
    Asked { step: Step, number: u32, at: Timestamp },
    /// Nothing goes on until then.
    Waiting { until: Timestamp },
    /// Our inventory runs as far as is known.
    Up { poll_at: Timestamp },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Status,
    Stop,
    Mode,
    Start,
    /// The status again, of a reader that is up.
    Poll,
}

impl Step {
    fn command(self) -> &'static str {
        match self {
            Self::Status | Self::Poll => "get_status",
            Self::Stop => "stop",
            Self::Mode => "set_mode",
            Self::Start => "start",
        }
    }
}

/// The edge's end of one reader: a [`Session`].
#[derive(Debug)]
pub struct Edge {
    settings: Settings,
    state: State,
    last_number: u32,
    tracker: Tracker,
    /// The last sign that the inventory runs.
    proof: Timestamp,
    /// [`Event::Up`] was told, and no [`Event::Down`] since.
    up: bool,
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
            last_number: 0,
            proof: Timestamp::EPOCH,
            up: false,
            complaint: String::new(),
        }
    }
}

impl Session for Edge {
    type Out = Command;

    fn topics(&self) -> Vec<String> {
        let Topics { data, control_response, management_response, management_event, will, .. } = &self.settings.topics;
        let topics = [data, control_response, management_response, management_event].into_iter().chain(will).cloned();
        topics.collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn connected(&mut self, now: Timestamp, sink: &mut impl Sink<Command>) {
        self.ask(now, Step::Status, sink);
    }

    fn receive(&mut self, now: Timestamp, topic: &str, payload: &[u8], sink: &mut impl Sink<Command>) {
        if self.state == State::Idle {
            return;
        }
        if self.settings.topics.will.as_deref() == Some(topic) {
            self.will(now, payload, sink);
        } else {
            let ended = messages(payload, |message| match message {
                Ok(message) => self.message(now, &message, sink),
                Err(error) => sink.event(Event::malformed(topic, &error)),
            });
            if let Err(error) = ended {
                sink.event(Event::malformed(topic, &error));
            }
        }
        self.tick(now, sink);
    }

    /// There are no requests.
    fn answered(&mut self, _: Timestamp, _: u32, _: Result<(u16, &[u8]), &str>, _: &mut impl Sink<Command>) {}

    fn tick(&mut self, now: Timestamp, sink: &mut impl Sink<Command>) {
        self.tracker.tick(now, sink);
        if self.up && now - self.proof > PROOF_MAX {
            self.down(now, "the reader has not shown for 15 s that it runs", sink);
            self.state = State::Waiting { until: now };
        }
        match self.state {
            State::Asked { step, at, .. } if at + ANSWER_WAIT <= now => {
                self.failed(now, step, &format!("{} is not answered: is the reader on?", step.command()), sink);
            }
            State::Waiting { until } if until <= now => self.ask(now, Step::Status, sink),
            State::Up { poll_at } if poll_at <= now => self.ask(now, Step::Poll, sink),
            State::Asked { .. } | State::Waiting { .. } | State::Up { .. } | State::Idle => {}
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let own = match self.state {
            State::Idle => None,
            State::Asked { at, .. } => Some(at + ANSWER_WAIT),
            State::Waiting { until } => Some(until),
            State::Up { poll_at } => Some(poll_at),
        };
        let proof = self.up.then(|| self.proof + PROOF_MAX + Duration::from_micros(1));
        own.into_iter().chain(proof).chain(self.tracker.next_deadline()).min()
    }

    fn disconnected(&mut self, now: Timestamp, sink: &mut impl Sink<Command>) {
        self.down(now, "the connection to the broker is gone", sink);
        self.state = State::Idle;
    }
}

impl Edge {
    /// What a reader or its will says of its connection: a word, or `{"connectionState": …}`.
    fn will(&mut self, now: Timestamp, payload: &[u8], sink: &mut impl Sink<Command>) {
        let json = serde_json::from_slice::<Value>(payload).ok();
        let state = json.as_ref().and_then(|json| json.get("connectionState")).and_then(Value::as_str);
        let text = String::from_utf8_lossy(payload.get(..64).unwrap_or(payload)).into_owned();
        if state.unwrap_or(&text).eq_ignore_ascii_case("connected") {
            if self.state != State::Idle {
                self.ask(now, Step::Status, sink);
            }
            return;
        }
        self.down(now, &format!("the reader is gone from the broker: {text:?}"), sink);
        self.state = State::Waiting { until: now + RETRY_WAIT };
    }

    fn message(&mut self, now: Timestamp, message: &Message, sink: &mut impl Sink<Command>) {
        let Message { event, unknown } = message;
        self.tracker.skip(now, u64::from(*unknown), "a member of a message");
        match event {
            Told::Tag(tag) => {
                self.stamped(now, tag.at, sink);
                match self.tracker.tag(now, tag, sink) {
                    Ok(true) => self.proof = now,
                    Ok(false) => {}
                    Err(what) => sink.event(Event::Malformed { source: "tag data".to_owned(), what: what.to_owned() }),
                }
            }
            Told::Management(Management { at, news }) => {
                self.stamped(now, *at, sink);
                match news {
                    News::Heartbeat => {}
                    News::Gpi { pin, high } => sink.event(Event::Gpi { pin: *pin, high: *high }),
                    News::Complaint(text) => sink.event(Event::Fault(format!("it reports {text}"))),
                    News::Unknown { kind } => self.tracker.skip(now, 1, kind),
                }
            }
            Told::Response(response) => self.response(now, response, sink),
            // Somebody else's.
            Told::Command { command, .. } => self.tracker.skip(now, 1, command),
        }
    }

    fn stamped(&mut self, now: Timestamp, time: Time, sink: &mut impl Sink<Command>) {
        if self.tracker.stamped(now, time, sink) && matches!(self.state, State::Up { .. }) {
            self.ask(now, Step::Poll, sink);
        }
    }

    fn response(&mut self, now: Timestamp, response: &Response, sink: &mut impl Sink<Command>) {
        let Response { id, outcome, .. } = response;
        let (step, asked) = match self.state {
            State::Asked { step, number, at } if *id == self.id(number) => (step, at),
            _ => {
                // The answer to somebody else, or one that came too late.
                return;
            }
        };
        let payload = match outcome {
            Ok(payload) => payload,
            Err(why) => return self.failed(now, step, &format!("{} is refused: {why}", step.command()), sink),
        };
        let next = match step {
            Step::Status | Step::Poll => {
                let active = self.status(now, asked, payload, sink);
                match (step, active) {
                    (Step::Poll, Some(false)) => {
                        self.tracker.run(now, Some(false), sink);
                        sink.event(Event::Fault("the inventory was stopped: it is started again".to_owned()));
                        Step::Stop
                    }
                    (Step::Poll, Some(true) | None) => {
                        self.proof = now;
                        self.state = State::Up { poll_at: now + POLL_PERIOD };
                        return self.tracker.run(now, Some(true), sink);
                    }
                    _ => Step::Stop,
                }
            }
            Step::Stop => Step::Mode,
            Step::Mode => Step::Start,
            Step::Start => {
                self.state = State::Up { poll_at: now + POLL_PERIOD };
                self.proof = now;
                self.complaint.clear();
                if !std::mem::replace(&mut self.up, true) {
                    sink.event(Event::Up);
                }
                return self.tracker.run(now, Some(true), sink);
            }
        };
        self.ask(now, next, sink);
    }

    /// Takes the answer to `get_status`. Whether the radio is active, if it tells.
    fn status(
        &mut self,
        now: Timestamp,
        asked: Timestamp,
        payload: &Value,
        sink: &mut impl Sink<Command>,
    ) -> Option<bool> {
        let time = payload.get("systemTime").and_then(Value::as_str).and_then(Time::parse);
        self.tracker.answered(asked, now, time, sink);
        if let Some(antennas) = payload.get("antennas").and_then(Value::as_object) {
            for (port, state) in antennas {
                if let (Ok(port), Some(state)) = (port.parse(), state.as_str()) {
                    self.tracker.antenna(port, state.eq_ignore_ascii_case("connected"), None, sink);
                }
            }
        }
        // Zebra's own description misspells it, and firmware of that time does.
        let activity = payload.get("radioActivity").or_else(|| payload.get("radioActivitiy"));
        activity.and_then(Value::as_str).map(|activity| activity.eq_ignore_ascii_case("active"))
    }

    fn down(&mut self, now: Timestamp, why: &str, sink: &mut impl Sink<Command>) {
        self.tracker.run(now, None, sink);
        if std::mem::take(&mut self.up) {
            sink.event(Event::Down(why.to_owned()));
        }
    }

    /// A step came to nothing, and is tried again after a while.
    fn failed(&mut self, now: Timestamp, step: Step, why: &str, sink: &mut impl Sink<Command>) {
        // Stopped already, as some readers see it: if not, the next step is refused.
        if step == Step::Stop {
            return self.ask(now, Step::Mode, sink);
        }
        if self.complaint != why {
            why.clone_into(&mut self.complaint);
            sink.event(if self.up { Event::Fault(why.to_owned()) } else { Event::Down(why.to_owned()) });
        }
        self.state = match step {
            Step::Poll => State::Up { poll_at: now + POLL_PERIOD },
            _ => State::Waiting { until: now + RETRY_WAIT },
        };
    }

    fn id(&self, number: u32) -> String {
        format!("{}-{number}", self.settings.command_prefix)
    }

    fn ask(&mut self, now: Timestamp, step: Step, sink: &mut impl Sink<Command>) {
        self.last_number = self.last_number.wrapping_add(1);
        self.state = State::Asked { step, number: self.last_number, at: now };
        let topics = &self.settings.topics;
        let (topic, payload) = match step {
            Step::Status | Step::Poll => (&topics.management_command, json!({})),
            Step::Stop => (&topics.control_command, json!({})),
            Step::Mode => (&topics.control_command, self.mode()),
            // After a restart of its own the reader waits for us.
            Step::Start => (&topics.control_command, json!({ "doNotPersistState": true })),
        };
        let command = json!({ "command": step.command(), "command_id": self.id(self.last_number), "payload": payload });
        sink.send(Command { topic: topic.clone(), payload: command.to_string().into_bytes() });
    }

    fn mode(&self) -> Value {
        let Settings { watch, session, population, interval_s, .. } = &self.settings;
        let ports: Vec<_> = watch.antennas.iter().map(|antenna| antenna.port).collect();
        let powers: Vec<_> = watch.antennas.iter().map(|antenna| f64::from(antenna.power_cdbm) / 100.0).collect();
        let mut told = vec!["ANTENNA", "RSSI", "SEEN_COUNT"];
        if *interval_s == 0 {
            told.extend(["CHANNEL", "PHASE"]);
        }
        json!({
            "type": "CUSTOM",
            "antennas": ports,
            "transmitPower": powers,
            "query": { "tagPopulation": population, "sel": "ALL", "session": format!("S{session}"), "target": "AB" },
            "tagMetaData": told,
            "reportFilter": { "duration": interval_s, "type": "PER_ANTENNA" },
        })
    }
}
