//! Smart readers in virtual time. What goes to a broker and what goes over HTTP travels on the device's one line, in
//! its order: the first line of a packet tells which it is.

use super::line::Packet;
use stowage_base::{Air, Timestamp};
use stowage_protocol::reader_mqtt::{Session, Sink};
use stowage_protocol::{impinj_iot, zebra_iotc};

fn packet(head: &str, octets: &[u8]) -> Packet {
    Packet { topic: String::new(), octets: [head.as_bytes(), b"\n", octets].concat() }
}

/// A published message.
pub(super) fn published(topic: &str, payload: &[u8]) -> Packet {
    packet(topic, payload)
}

fn open(packet: &Packet) -> (&str, &[u8]) {
    let end = packet.octets.iter().position(|octet| *octet == b'\n').unwrap_or(packet.octets.len());
    let head = std::str::from_utf8(&packet.octets[..end]).unwrap_or_default();
    (head, packet.octets.get(end + 1..).unwrap_or_default())
}

/// What a session sends, as it travels.
pub(super) trait Travels {
    fn packet(self) -> Packet;
}

impl Travels for zebra_iotc::Command {
    fn packet(self) -> Packet {
        packet(&self.topic, &self.payload)
    }
}

/// `HTTP ID METHOD PATH`.
impl Travels for impinj_iot::Request {
    fn packet(self) -> Packet {
        let head = format!("HTTP {} {} {}", self.id, self.method.as_str(), self.path);
        packet(&head, self.body.as_deref().unwrap_or_default())
    }
}

/// Hands what arrived to the edge's session: a message, or an answer, `HTTP ID STATUS`.
pub(super) fn arrived<S: Session>(session: &mut S, now: Timestamp, packet: &Packet, sink: &mut impl Sink<S::Out>) {
    let (head, octets) = open(packet);
    let answer = head.strip_prefix("HTTP ").and_then(|rest| {
        let (id, status) = rest.split_once(' ')?;
        Some((id.parse().ok()?, status.parse().ok()?))
    });
    match answer {
        Some((id, status)) => session.answered(now, id, Ok((status, octets)), sink),
        None => session.receive(now, head, octets, sink),
    }
}

/// A reader's own end.
pub(super) enum SmartReader {
    Impinj { reader: Box<impinj_iot::Reader>, login: String },
    Zebra(Box<zebra_iotc::Reader>),
}

impl SmartReader {
    pub(super) fn connected(&mut self, now: Timestamp, out: &mut Vec<Packet>) {
        let out = &mut |topic: &str, payload: &[u8]| out.push(published(topic, payload));
        match self {
            Self::Impinj { reader, .. } => reader.connected(now, out),
            Self::Zebra(reader) => reader.connected(now, out),
        }
    }

    pub(super) fn receive(&mut self, now: Timestamp, packet: &Packet, out: &mut Vec<Packet>) {
        let (head, octets) = open(packet);
        match self {
            Self::Impinj { reader, login } => {
                let mut parts = head.split(' ').skip(1);
                let mut part = || parts.next().unwrap_or_default();
                let (id, method, path) = (part(), part(), part());
                let tell = &mut |topic: &str, payload: &[u8]| out.push(published(topic, payload));
                let answer = reader.request(now, method, path, Some(login), octets, tell);
                out.push(self::packet(&format!("HTTP {id} {}", answer.status), &answer.body));
            }
            Self::Zebra(reader) => {
                let tell = &mut |topic: &str, payload: &[u8]| out.push(published(topic, payload));
                reader.receive(now, head, octets, tell);
            }
        }
    }

    pub(super) fn tick(&mut self, now: Timestamp, air: &mut dyn Air, out: &mut Vec<Packet>) {
        let out = &mut |topic: &str, payload: &[u8]| out.push(published(topic, payload));
        match self {
            Self::Impinj { reader, .. } => reader.tick(now, air, out),
            Self::Zebra(reader) => reader.tick(now, air, out),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Impinj { reader, .. } => reader.next_deadline(),
            Self::Zebra(reader) => reader.next_deadline(),
        }
    }

    pub(super) fn disconnected(&mut self) {
        match self {
            Self::Impinj { reader, .. } => reader.disconnected(),
            Self::Zebra(reader) => reader.disconnected(),
        }
    }

    pub(super) fn violations(&self) -> Vec<String> {
        match self {
            Self::Impinj { reader, .. } => {
                reader.violations().iter().map(|violation| format!("{violation:?}")).collect()
            }
            Self::Zebra(reader) => reader.violations().iter().map(|violation| format!("{violation:?}")).collect(),
        }
    }
}
