//! A simulated reader's own end: the IoT Connector of an FX9600, as far as a client that inventories needs it.
//!
//! It inventories by the [`Air`], keeps tag data while it has no broker and delivers it late, after what is new, and is
//! strict: what a client may not send is answered with a failure that says why, and kept in [`Reader::violations`].
//!
//! Deliberately absent: filters, triggers, access operations, configuration of the gateway itself.

use super::edge::Topics;
use crate::reader_mqtt::{Backlog, Inventory, VIOLATIONS_MAX};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use stowage_base::{Air, Duration, Epc, TagRead, Timestamp};

/// Most tag events that wait for the broker.
const RETAINED_MAX: usize = 1_000;

/// The backlog waits so long for something new, so that it comes out of order.
const BACKLOG_WAIT: Duration = Duration::from_millis(500);

/// How often it says that it lives.
const HEARTBEAT_PERIOD: Duration = Duration::from_secs(10);

/// What kind of reader it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Antenna ports.
    pub antennas: u16,
    /// Its topics.
    pub topics: Topics,
    /// Tag events of one turn go out as one array.
    pub batching: bool,
}

/// Something that a client may not have sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// When it came.
    pub at: Timestamp,
    /// The command, or the topic of what is none.
    pub command: String,
    /// What is wrong with it.
    pub what: String,
}

/// What it was set to do.
#[derive(Debug, Clone, PartialEq)]
struct Mode {
    kind: String,
    antennas: Vec<(u16, i16)>,
    /// Tags are told again after so long; each reading if zero.
    interval: Duration,
    tells: Vec<String>,
}

/// The reader. It goes on with its inventory while nobody is connected.
#[derive(Debug)]
pub struct Reader {
    profile: Profile,
    /// How far its clock is ahead of the true time.
    clock_offset: Duration,
    /// Whether something is at each port.
    connected: Vec<bool>,
    /// When the next heartbeat is due; `None` without a broker.
    heartbeat_at: Option<Timestamp>,
    mode: Option<Mode>,
    run: Option<Inventory>,
    event_num: u64,
    /// When each tag was last reported by each antenna, and how many readings since are not told.
    reported: BTreeMap<(Epc, u16), (Timestamp, u32)>,
    backlog: Backlog,
    /// The backlog is delivered after the next new tag event, or then.
    owes: Option<Timestamp>,
    violations: Vec<Violation>,
}

/// Where messages for the broker go: topic and payload.
type Out<'a> = &'a mut dyn FnMut(&str, &[u8]);

/// Code and description of a failed command.
type Refusal = (u16, String);

impl Reader {
    /// A reader just switched on, with an antenna at every port.
    pub fn new(profile: Profile) -> Self {
        Self {
            connected: vec![true; usize::from(profile.antennas)],
            profile,
            clock_offset: Duration::ZERO,
            heartbeat_at: None,
            mode: None,
            run: None,
            event_num: 0,
            reported: BTreeMap::new(),
            backlog: Backlog::default(),
            owes: None,
            violations: Vec::new(),
        }
    }

    /// What clients have sent that they may not, oldest first; the first hundred.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Whether the inventory runs.
    pub fn is_running(&self) -> bool {
        self.run.is_some()
    }

    /// Events that wait for the broker.
    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// What to subscribe to.
    pub fn subscriptions(&self) -> [&str; 2] {
        [&self.profile.topics.control_command, &self.profile.topics.management_command]
    }

    /// Its last will, and what it says when it leaves of its own: topic and message.
    pub fn will(&self) -> Option<(&str, &'static str)> {
        self.profile.topics.will.as_deref().map(|topic| (topic, r#"{"connectionState":"DISCONNECTED"}"#))
    }

    /// Sets how far its clock is ahead of the true time.
    pub fn set_clock_offset(&mut self, offset: Duration) {
        self.clock_offset = offset;
    }

    /// Connects an antenna to `port`, or takes it off. Ports that it hasn't are ignored. Whoever asks is told.
    pub fn set_antenna(&mut self, port: u16, connected: bool) {
        if let Some(antenna) = usize::from(port).checked_sub(1).and_then(|index| self.connected.get_mut(index)) {
            *antenna = connected;
        }
    }

    /// A digital input changes.
    pub fn set_gpi(&mut self, now: Timestamp, pin: u16, high: bool, out: Out<'_>) {
        self.management(now, "gpi", json!({ "pin": pin, "state": if high { "HIGH" } else { "LOW" } }), out);
    }

    /// Loses power and gets it again: the inventory is over, what waited for the broker is lost.
    pub fn restart(&mut self) {
        (self.run, self.mode, self.heartbeat_at, self.owes) = (None, None, None, None);
        self.backlog = Backlog::default();
        self.reported.clear();
    }

    /// Connected to the broker and subscribed.
    pub fn connected(&mut self, now: Timestamp, out: Out<'_>) {
        self.heartbeat_at = Some(now);
        self.owes = (!self.backlog.is_empty()).then_some(now + BACKLOG_WAIT);
        if let Some(topic) = &self.profile.topics.will {
            out(topic, br#"{"connectionState":"CONNECTED"}"#);
        }
    }

    /// The broker is gone.
    pub fn disconnected(&mut self) {
        (self.heartbeat_at, self.owes) = (None, None);
    }

    /// A message arrived.
    pub fn receive(&mut self, now: Timestamp, topic: &str, payload: &[u8], out: Out<'_>) {
        let topics = &self.profile.topics;
        let (control, answer_to) = if topic == topics.control_command {
            (true, topics.control_response.clone())
        } else {
            (false, topics.management_response.clone())
        };
        let Ok(Value::Object(message)) = serde_json::from_slice(payload) else {
            return self.violation(now, topic, "it is no JSON object".to_owned());
        };
        let text = |name: &str| message.get(name).and_then(Value::as_str).map(str::to_owned);
        let (Some(command), Some(id)) = (text("command"), text("command_id")) else {
            return self.violation(now, topic, "it has no command or no command_id".to_owned());
        };
        let body = message.get("payload").and_then(Value::as_object).cloned().unwrap_or_default();
        let (response, payload) = match self.obey(now, control, &command, &body) {
            Ok(payload) => ("success", payload),
            Err((code, what)) => {
                self.violation(now, &command, what.clone());
                ("failure", json!({ "code": code, "description": what }))
            }
        };
        let answer = json!({ "command": command, "command_id": id, "response": response, "payload": payload });
        out(&answer_to, answer.to_string().as_bytes());
    }

    fn violation(&mut self, at: Timestamp, command: &str, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { at, command: command.to_owned(), what });
        }
    }

    fn obey(
        &mut self,
        now: Timestamp,
        control: bool,
        command: &str,
        payload: &Map<String, Value>,
    ) -> Result<Value, Refusal> {
        match (control, command) {
            (true, "start") => {
                let mode = self.mode.as_ref().ok_or((4, "no mode is set".to_owned()))?;
                if self.run.is_some() {
                    return Err((5, "the radio is active already".to_owned()));
                }
                self.run = Some(Inventory::new(now, mode.antennas.clone()));
                Ok(json!({}))
            }
            (true, "stop") => {
                self.run = None;
                Ok(json!({}))
            }
            (true, "set_mode") => {
                if self.run.is_some() {
                    return Err((6, "the mode can't be set while the radio is active".to_owned()));
                }
                self.mode = Some(self.parse_mode(payload).map_err(|what| (7, what))?);
                Ok(json!({}))
            }
            (true, "get_mode") => {
                let mode = self.mode.as_ref().ok_or((4, "no mode is set".to_owned()))?;
                let ports: Vec<_> = mode.antennas.iter().map(|(port, _)| port).collect();
                Ok(json!({ "type": mode.kind, "antennas": ports }))
            }
            (false, "get_status") => {
                let state = |connected: &bool| if *connected { "connected" } else { "disconnected" };
                let antennas: Map<String, Value> = (1..)
                    .zip(&self.connected)
                    .map(|(port, at): (u16, _)| (port.to_string(), state(at).into()))
                    .collect();
                Ok(json!({
                    "uptime": "0 days 00:00:10",
                    // Whole seconds, as the reader writes them.
                    "systemTime": self.stamp(now).get(..19).map(|text| format!("{text}+00:00")),
                    "radioConnection": "connected",
                    "radioActivity": if self.run.is_some() { "active" } else { "inactive" },
                    "antennas": antennas,
                }))
            }
            (false, "get_version") => Ok(json!({ "readerApplication": "3.24.48.0", "model": "FX9600" })),
            (false, "set_gpo") => match (payload.get("port").and_then(Value::as_u64), payload.get("state")) {
                (Some(1..=4), Some(Value::Bool(_))) => Ok(json!({})),
                _ => Err((7, "set_gpo wants port 1 to 4 and state true or false".to_owned())),
            },
            (false, "reboot") => {
                self.run = None;
                Ok(json!({}))
            }
            _ => Err((1, format!("{command} is no command of this interface"))),
        }
    }

    fn parse_mode(&self, payload: &Map<String, Value>) -> Result<Mode, String> {
        const KNOWN: [&str; 8] = [
            "type",
            "antennas",
            "transmitPower",
            "query",
            "tagMetaData",
            "reportFilter",
            "antennaStopCondition",
            "linkProfile",
        ];
        if let Some(unknown) = payload.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            return Err(format!("{unknown} is no property of a mode"));
        }
        let kind = payload.get("type").and_then(Value::as_str).ok_or("type is missing")?;
        if !["SIMPLE", "INVENTORY", "PORTAL", "CONVEYOR", "CUSTOM"].contains(&kind) {
            return Err(format!("type is {kind:?}"));
        }
        let all: Vec<u16> = (1..=self.profile.antennas).collect();
        let ports = match payload.get("antennas") {
            None => all.clone(),
            Some(list) => serde_json::from_value(list.clone()).map_err(|error| format!("antennas: {error}"))?,
        };
        if ports.is_empty() || ports.iter().any(|port| !all.contains(port)) {
            return Err(format!("antennas are {ports:?}, there are 1 to {}", self.profile.antennas));
        }
        let powers: Vec<f64> = match payload.get("transmitPower") {
            Some(Value::Number(power)) => vec![power.as_f64().unwrap_or_default(); ports.len()],
            Some(list) => serde_json::from_value(list.clone()).map_err(|error| format!("transmitPower: {error}"))?,
            None => vec![30.0; ports.len()],
        };
        if powers.len() != ports.len() || powers.iter().any(|power| !(0.0..=33.0).contains(power)) {
            return Err(format!("transmitPower is {powers:?} for {} antennas, 0 to 33 dBm each", ports.len()));
        }
        if let Some(session) = payload.get("query").and_then(|query| query.get("session"))
            && !matches!(session.as_str(), Some("S0" | "S1" | "S2" | "S3"))
        {
            return Err(format!("query.session is {session}"));
        }
        let tells = match payload.get("tagMetaData") {
            None => Vec::new(),
            Some(list) => serde_json::from_value(list.clone()).map_err(|error| format!("tagMetaData: {error}"))?,
        };
        let filter = payload.get("reportFilter").and_then(|filter| filter.get("duration"));
        let interval = filter.map_or(Some(0), Value::as_i64).filter(|secs| (0..=3_600).contains(secs));
        let interval = Duration::from_secs(interval.ok_or("reportFilter.duration is not 0 to 3600 seconds")?);
        let cdbm = |power: &f64| (power * 100.0).round() as i16;
        let antennas = ports.iter().copied().zip(powers.iter().map(cdbm)).collect();
        Ok(Mode { kind: kind.to_owned(), antennas, interval, tells })
    }

    /// Time has passed: the antennas look.
    pub fn tick(&mut self, now: Timestamp, air: &mut dyn Air, out: Out<'_>) {
        if let (Some(mut inventory), Some(mode)) = (self.run.take(), self.mode.clone()) {
            let mut heard: Vec<TagRead> = Vec::new();
            let connected = |port: u16| self.connected.get(usize::from(port) - 1) == Some(&true);
            inventory.run(now, air, connected, &mut |read| heard.push(*read));
            self.run = Some(inventory);
            let events: Vec<Value> = heard.iter().filter_map(|read| self.tag(&mode, read)).collect();
            self.publish(events, out);
        }
        if self.owes.is_some_and(|at| at <= now) {
            self.deliver(out);
        }
        if self.heartbeat_at.is_some_and(|at| at <= now) {
            self.heartbeat_at = Some(now + HEARTBEAT_PERIOD);
            let data = json!({ "system": { "uptime": "0 days 00:00:10" } });
            self.management(now, "heartbeat", data, out);
        }
    }

    /// When to call [`tick`](Self::tick) if nothing else happens.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.run.iter().map(Inventory::next_deadline).chain(self.heartbeat_at).chain(self.owes).min()
    }

    fn tag(&mut self, mode: &Mode, read: &TagRead) -> Option<Value> {
        let mut count = u32::from(read.count);
        if mode.interval > Duration::ZERO {
            let (last, untold) = self.reported.entry((read.epc, read.antenna)).or_insert((Timestamp::EPOCH, 0));
            *untold += count;
            if read.at - *last < mode.interval {
                return None;
            }
            (*last, count) = (read.at, std::mem::take(untold));
        }
        self.event_num += 1;
        let tells = |name: &str| mode.tells.iter().any(|told| told == name);
        let mut data = Map::new();
        data.insert("eventNum".to_owned(), self.event_num.into());
        data.insert("format".to_owned(), "epc".into());
        data.insert("idHex".to_owned(), read.epc.to_string().to_lowercase().into());
        if tells("ANTENNA") {
            data.insert("antenna".to_owned(), read.antenna.into());
        }
        if tells("RSSI") {
            data.insert("peakRssi".to_owned(), ((f64::from(read.rssi_cdbm) / 100.0).round() as i64).into());
        }
        if tells("SEEN_COUNT") {
            data.insert("reads".to_owned(), count.into());
        }
        if let Some(khz) = read.frequency_khz.filter(|_| tells("CHANNEL") && mode.interval == Duration::ZERO) {
            data.insert("channel".to_owned(), (f64::from(khz) / 1_000.0).into());
        }
        if let Some(phase) = read.phase.filter(|_| tells("PHASE") && mode.interval == Duration::ZERO) {
            data.insert("phase".to_owned(), (f64::from(phase) * 360.0 / 4_096.0).into());
        }
        Some(json!({ "data": data, "timestamp": self.stamp(read.at), "type": mode.kind }))
    }

    fn publish(&mut self, events: Vec<Value>, out: Out<'_>) {
        if events.is_empty() {
            return;
        }
        if self.heartbeat_at.is_none() {
            for event in events {
                self.backlog.keep(event.to_string().into_bytes(), RETAINED_MAX);
            }
            return;
        }
        let topic = &self.profile.topics.data;
        if self.profile.batching {
            out(topic, Value::Array(events).to_string().as_bytes());
        } else {
            for event in events {
                out(topic, event.to_string().as_bytes());
            }
        }
        self.deliver(out);
    }

    /// Delivers what waited for the broker, if that is owed.
    fn deliver(&mut self, out: Out<'_>) {
        if self.owes.take().is_some() {
            for event in self.backlog.take().0 {
                out(&self.profile.topics.data, &event);
            }
        }
    }

    fn management(&mut self, now: Timestamp, kind: &str, data: Value, out: Out<'_>) {
        if self.heartbeat_at.is_none() {
            return;
        }
        self.event_num += 1;
        let event = json!({
            "type": kind,
            "timestamp": self.stamp(now),
            "component": "RG",
            "eventNum": self.event_num,
            "data": data,
        });
        out(&self.profile.topics.management_event, event.to_string().as_bytes());
    }

    /// The time as its own clock shows it: milliseconds, and an offset without a colon.
    fn stamp(&self, at: Timestamp) -> String {
        let text = (at + self.clock_offset).to_string();
        format!("{}+0000", text.trim_end_matches('Z'))
    }
}
