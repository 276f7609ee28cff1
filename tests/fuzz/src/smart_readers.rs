//! Smart readers over MQTT: their messages, and both ends of a session.

use crate::steps::{START, Step, Steps};
use stowage_base::{Air, Duration, TagRead, Timestamp, Visit};
use stowage_protocol::reader_mqtt::{AntennaSettings, Event, Session, Sink, Watch};
use stowage_protocol::{impinj_iot, zebra_iotc};

/// An event is read the same alone and in an array.
pub(crate) fn impinj_messages(data: &[u8]) {
    let mut alone = Vec::new();
    let whole = impinj_iot::messages(data, |message| alone.push(message.ok()));
    if whole.is_ok() && alone.len() == 1 && !data.trim_ascii_start().starts_with(b"[") {
        let mut within = Vec::new();
        let array = [b"[", data, b"]"].concat();
        let _ = impinj_iot::messages(&array, |message| within.push(message.ok()));
        if alone[0].is_some() {
            assert_eq!(alone, within);
        }
    }
}

/// As [`impinj_messages`].
pub(crate) fn zebra_messages(data: &[u8]) {
    let mut alone = Vec::new();
    let whole = zebra_iotc::messages(data, |message| alone.push(message.ok()));
    if whole.is_ok() && alone.len() == 1 && !data.trim_ascii_start().starts_with(b"[") {
        let mut within = Vec::new();
        let array = [b"[", data, b"]"].concat();
        let _ = zebra_iotc::messages(&array, |message| within.push(message.ok()));
        if alone[0].is_some() {
            assert_eq!(alone, within);
        }
    }
}

/// Where a session's words go; the last request is to be answered.
#[derive(Default)]
struct Nowhere {
    now: Timestamp,
    asked: u32,
}

impl Sink<impinj_iot::Request> for Nowhere {
    fn send(&mut self, out: impinj_iot::Request) {
        self.asked = out.id;
    }
    fn read(&mut self, read: &TagRead) {
        assert!(read.count > 0 && read.at <= self.now && self.now - read.at <= Duration::from_secs(2));
    }
    fn visit(&mut self, visit: &Visit) {
        assert!(visit.start <= visit.end && visit.end <= self.now, "{visit:?}");
    }
    fn event(&mut self, _: Event) {}
}

impl Sink<zebra_iotc::Command> for Nowhere {
    fn send(&mut self, _: zebra_iotc::Command) {}
    fn read(&mut self, read: &TagRead) {
        Sink::<impinj_iot::Request>::read(self, read);
    }
    fn visit(&mut self, visit: &Visit) {
        Sink::<impinj_iot::Request>::visit(self, visit);
    }
    fn event(&mut self, _: Event) {}
}

impl Air for Nowhere {
    fn interrogate(&mut self, _: u16, _: i16, start: Timestamp, end: Timestamp, _: &mut dyn FnMut(&TagRead)) {
        assert!(start <= end);
    }
}

fn watch() -> Watch {
    let antennas = [1, 2].map(|port| AntennaSettings { port, power_cdbm: 3_000 });
    Watch { antennas: antennas.to_vec(), turn: Duration::from_millis(250), delay: Duration::ZERO }
}

/// Plays a story to an edge's end: the first octet of what arrives chooses the topic, or an answer.
fn edge<S: Session>(session: &mut S, data: &[u8])
where
    Nowhere: Sink<S::Out>,
{
    let topics = session.topics();
    let mut sink = Nowhere { now: START, asked: 0 };
    session.connected(START, &mut sink);
    for step in Steps(data) {
        match step {
            Step::Octets(octets) => {
                let (now, asked) = (sink.now, sink.asked);
                match octets.split_first() {
                    Some((b'=', body)) => session.answered(now, asked, Ok((200, body)), &mut sink),
                    Some((b'!', body)) => session.answered(now, asked, Ok((400, body)), &mut sink),
                    Some((b'?', _)) => session.answered(now, asked, Err("no way there"), &mut sink),
                    Some((topic, payload)) => {
                        let topic = &topics[usize::from(*topic) % topics.len()];
                        session.receive(now, topic, payload, &mut sink);
                    }
                    None => {}
                }
            }
            Step::Wait(wait) => {
                sink.now += wait;
                session.tick(sink.now, &mut sink);
                assert!(session.next_deadline().is_none_or(|due| due > sink.now), "due at once again");
            }
        }
    }
    session.disconnected(sink.now, &mut sink);
}

/// The edge's end bears whatever an Impinj reader says.
pub(crate) fn impinj_edge(data: &[u8]) {
    let mqtt = impinj_iot::MqttSettings {
        event_topic: "e".into(),
        will_topic: "w".into(),
        ..impinj_iot::MqttSettings::default()
    };
    let settings = impinj_iot::Settings {
        watch: watch(),
        session: 1,
        population: 32,
        rf_mode: 1002,
        interval_s: 0,
        preset: None,
        mqtt,
    };
    edge(&mut impinj_iot::Edge::new(settings), data);
}

/// The edge's end bears whatever a Zebra reader says.
pub(crate) fn zebra_edge(data: &[u8]) {
    let settings = zebra_iotc::Settings {
        watch: watch(),
        topics: zebra_iotc::Topics::below("z"),
        session: 1,
        population: 32,
        interval_s: 0,
        command_prefix: "e".into(),
    };
    edge(&mut zebra_iotc::Edge::new(settings), data);
}

/// The simulated Impinj reader bears whatever a client asks: the first octet chooses what.
pub(crate) fn impinj_reader(data: &[u8]) {
    const ASKED: [(&str, &str); 8] = [
        ("GET", "/api/v1/status"),
        ("GET", "/api/v1/mqtt"),
        ("PUT", "/api/v1/mqtt"),
        ("POST", "/api/v1/profiles/stop"),
        ("POST", "/api/v1/profiles/inventory/start"),
        ("PUT", "/api/v1/profiles/inventory/presets/a"),
        ("POST", "/api/v1/profiles/inventory/presets/a/start"),
        ("DELETE", "/"),
    ];
    let profile = impinj_iot::Profile { antennas: 2, hostname: "r".into(), user: "u".into(), password: "p".into() };
    let login = impinj_iot::authorization("u", "p");
    let (mut reader, mut air) = (impinj_iot::Reader::new(profile), Nowhere { now: START, asked: 0 });
    reader.connected(START, &mut |_, _| {});
    for step in Steps(data) {
        match step {
            Step::Octets(octets) => {
                let Some((choice, body)) = octets.split_first() else { continue };
                let (method, path) = ASKED[usize::from(*choice) % ASKED.len()];
                reader.request(air.now, method, path, Some(&login), body, &mut |_, _| {});
            }
            Step::Wait(wait) => {
                air.now += wait;
                let now = air.now;
                reader.tick(now, &mut air, &mut |_, _| {});
                assert!(reader.next_deadline().is_none_or(|due| due > now), "due at once again");
            }
        }
    }
}

/// The simulated Zebra reader bears whatever a client commands.
pub(crate) fn zebra_reader(data: &[u8]) {
    let topics = zebra_iotc::Topics::below("z");
    let profile = zebra_iotc::Profile { antennas: 2, topics: topics.clone(), batching: true };
    let (mut reader, mut air) = (zebra_iotc::Reader::new(profile), Nowhere { now: START, asked: 0 });
    reader.connected(START, &mut |_, _| {});
    for step in Steps(data) {
        match step {
            Step::Octets(octets) => {
                let Some((choice, payload)) = octets.split_first() else { continue };
                let topic = if choice % 2 == 0 { &topics.control_command } else { &topics.management_command };
                reader.receive(air.now, topic, payload, &mut |_, _| {});
            }
            Step::Wait(wait) => {
                air.now += wait;
                let now = air.now;
                reader.tick(now, &mut air, &mut |_, _| {});
                assert!(reader.next_deadline().is_none_or(|due| due > now), "due at once again");
            }
        }
    }
}
