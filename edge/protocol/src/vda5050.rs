//! VDA 5050, the language between fleet control and mobile robots, over MQTT: versions 2.0, 2.1 and 3.0, both ends.
//!
//! One [model] says what messages mean; [`codec`] writes and reads it in each version's spelling; [`check()`] judges a
//! message by its version's official schema and by the rules that a schema can't tell. [`Edge`] is fleet control's
//! end for one robot, [`Robot`] the robot's, for simulation.
//!
//! Topics are `INTERFACE/vMAJOR/MANUFACTURER/SERIAL/TOPIC`, see [`Base`]. The story of an order:
//! 1. Fleet control publishes `order`: nodes (even sequence ids) and edges (odd ones), the first few *released*, the
//!    base; the rest is the horizon. It publishes it again until the robot's `state` shows its id and update.
//! 2. The robot drives along the base and stops at its end. Each `state` tells the last node and what is still ahead.
//! 3. To let it go on, an update under the same order id and a higher update id begins at the last released node of
//!    what was sent before, unchanged, and goes on from there. The base never changes, the horizon may.
//! 4. A robot that can't take an order says so by an error in its state and goes on with what it has.

pub mod codec;
mod edge;
pub mod model;
#[cfg(test)]
mod pair;
mod robot;
pub mod rules;
mod schema;

pub use edge::{Edge, EdgeSettings, Event, Order, Position, Report, Sink, Stop};
pub use robot::{Happening, Publish, Robot, RobotSettings, Trouble, Violation};

use model::{Header, Message};
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use stowage_base::Timestamp;

/// Most octets in a payload; a longer one is refused unread.
pub const PAYLOAD_MAX: usize = 1024 * 1024;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 2.0.0 of November 2021.
    V2_0,
    /// 2.1.0 of August 2024.
    V2_1,
    /// 3.0.0 of March 2026, with the corrections of its repository since.
    V3_0,
}

impl Version {
    /// All, the oldest first.
    pub const ALL: [Self; 3] = [Self::V2_0, Self::V2_1, Self::V3_0];

    /// As the header spells it: `2.0.0`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V2_0 => "2.0.0",
            Self::V2_1 => "2.1.0",
            Self::V3_0 => "3.0.0",
        }
    }

    /// The version that `name` means: `2.0`, `2.1` or `3.0`, with or without a patch number.
    pub fn named(name: &str) -> Option<Self> {
        let mut numbers = name.trim_start_matches(['v', 'V']).split('.');
        let (major, minor, patch) = (numbers.next()?, numbers.next()?, numbers.next());
        if patch.is_some_and(|patch| patch.is_empty() || !patch.bytes().all(|octet| octet.is_ascii_digit())) {
            return None;
        }
        match (major, minor, numbers.next()) {
            ("2", "0", None) => Some(Self::V2_0),
            ("2", "1", None) => Some(Self::V2_1),
            ("3", "0", None) => Some(Self::V3_0),
            _ => None,
        }
    }

    /// The topic's level: `v2`.
    pub const fn level(self) -> &'static str {
        match self {
            Self::V2_0 | Self::V2_1 => "v2",
            Self::V3_0 => "v3",
        }
    }

    /// What the standard suggests for the topic's first level.
    pub const fn interface(self) -> &'static str {
        match self {
            Self::V2_0 | Self::V2_1 => "uagv",
            Self::V3_0 => "vda5050",
        }
    }
}

/// 2.0, 2.1 or 3.0.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2_0 => "2.0",
            Self::V2_1 => "2.1",
            Self::V3_0 => "3.0",
        })
    }
}

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// To the robot.
    Order,
    /// To the robot.
    InstantActions,
    /// From the robot.
    State,
    /// From the robot.
    Visualization,
    /// From the robot, retained; its last will too.
    Connection,
    /// From the robot, retained.
    Factsheet,
    /// To the robot, from 3.0 on.
    ZoneSet,
    /// To the robot, from 3.0 on.
    Responses,
}

impl Topic {
    /// All.
    pub const ALL: [Self; 8] = [
        Self::Order,
        Self::InstantActions,
        Self::State,
        Self::Visualization,
        Self::Connection,
        Self::Factsheet,
        Self::ZoneSet,
        Self::Responses,
    ];

    /// The topic's last level.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::InstantActions => "instantActions",
            Self::State => "state",
            Self::Visualization => "visualization",
            Self::Connection => "connection",
            Self::Factsheet => "factsheet",
            Self::ZoneSet => "zoneSet",
            Self::Responses => "responses",
        }
    }

    /// The topic with this last level.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }

    /// How sure a message must arrive (VDA 5050 3.0 §5.2): `connection` at least once, all others at most once.
    pub const fn qos(self) -> Qos {
        match self {
            Self::Connection => Qos::AtLeastOnce,
            Self::Order
            | Self::InstantActions
            | Self::State
            | Self::Visualization
            | Self::Factsheet
            | Self::ZoneSet
            | Self::Responses => Qos::AtMostOnce,
        }
    }

    /// The broker keeps the last one for who comes later.
    pub const fn retained(self) -> bool {
        matches!(self, Self::Connection | Self::Factsheet)
    }
}

/// MQTT's quality of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    /// 0.
    AtMostOnce,
    /// 1.
    AtLeastOnce,
}

/// Where the topics of one robot lie.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Base {
    /// The protocol's version.
    pub version: Version,
    /// See [`Version::interface`].
    pub interface: String,
    /// Who built the robot.
    pub manufacturer: String,
    /// Which of theirs it is.
    pub serial: String,
}

impl Base {
    /// The full name of a topic.
    pub fn topic(&self, topic: Topic) -> String {
        let Self { version, interface, manufacturer, serial } = self;
        format!("{interface}/{}/{manufacturer}/{serial}/{}", version.level(), topic.name())
    }

    /// Which of this robot's topics has this full name.
    pub fn parse(&self, full: &str) -> Option<Topic> {
        let (base, last) = full.rsplit_once('/')?;
        let topic = Topic::named(last)?;
        self.topic(topic).strip_suffix(last).and_then(|own| own.strip_suffix('/')).filter(|own| *own == base)?;
        Some(topic)
    }

    /// Whether `level` may stand between a topic's slashes: not empty, none of `/ + # $` and no control characters.
    pub fn is_level(level: &str) -> bool {
        !level.is_empty() && !level.contains(|c: char| matches!(c, '/' | '+' | '#' | '$') || c.is_control())
    }

    /// The next header of a topic; `count` is the topic's own.
    fn header(&self, now: Timestamp, count: &mut u32) -> Header {
        let header_id = *count;
        *count = count.wrapping_add(1);
        let Self { version, manufacturer, serial, .. } = self;
        Header {
            header_id,
            timestamp: now.to_string(),
            version: version.name().into(),
            manufacturer: manufacturer.clone(),
            serial_number: serial.clone(),
        }
    }
}

/// Something wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Which judge says so.
    pub kind: Kind,
    /// Where: `nodes[1].sequenceId`; empty for the whole message.
    pub path: String,
    /// What is there, and what was expected.
    pub reason: String,
}

impl Fault {
    fn new(kind: Kind, path: &str, reason: impl Into<String>) -> Self {
        Self { kind, path: path.to_owned(), reason: reason.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "message" } else { &self.path };
        write!(f, "{path} {}", self.reason)
    }
}

/// Which judge finds a message wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It isn't JSON, or too long.
    Syntax,
    /// The official schema.
    Schema,
    /// Header: numbers, timestamp, version, names that are no topic levels.
    Header,
    /// A number that no message can hold: the ids that count are whole, from 0 to 2³² − 1.
    Bounds,
    /// Numbers of nodes and edges, and their sequence ids.
    Sequence,
    /// The base comes before the horizon.
    Base,
    /// An edge begins and ends where its neighbours are.
    Ends,
    /// Each action has an id of its own.
    ActionId,
    /// An update follows what was sent before.
    Update,
    /// An update begins at the last released node of what was sent before, unchanged.
    Stitching,
}

/// The verdict on a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The official schema has nothing against it.
    pub valid: bool,
    /// Everything that is wrong with it: by the schema, or by the rules if that is content.
    pub faults: Vec<Fault>,
    /// What it says, in the spelling of the [model] and with members that the model doesn't know.
    pub normal: Option<Value>,
    /// What it says; `None` if the schema forbids it, or its numbers are out of all bounds.
    pub message: Option<Message>,
}

/// Judges a message: by its version's schema, then by the rules for a message alone. What a message must be after
/// another one: [`rules::follows`].
pub fn check(version: Version, topic: Topic, payload: &[u8]) -> Verdict {
    let bad = |faults| Verdict { valid: false, faults, normal: None, message: None };
    if payload.len() > PAYLOAD_MAX {
        let reason = format!("has {} octets, {PAYLOAD_MAX} are allowed", payload.len());
        return bad(vec![Fault::new(Kind::Syntax, "", reason)]);
    }
    let value: Value = match serde_json::from_slice(payload) {
        Ok(value) => value,
        Err(error) => return bad(vec![Fault::new(Kind::Syntax, "", format!("is no JSON: {error}"))]),
    };
    let Some(mut faults) = schema::check(version, topic, &value) else {
        let reason = format!("is on topic {}, which {version} doesn't have", topic.name());
        return bad(vec![Fault::new(Kind::Schema, "", reason)]);
    };
    let valid = faults.is_empty();
    // The text of 2.x knows PAUSED, its schemas forgot it: not valid, but understood.
    if faults.iter().any(|fault| !(fault.path.ends_with("actionStatus") && fault.reason.starts_with("is \"PAUSED\""))) {
        return bad(faults);
    }
    let normal = codec::normal(version, topic, value);
    faults.extend(rules::bounds(&normal));
    let message = match codec::typed(topic, &normal) {
        Ok(message) => {
            faults.extend(rules::check(version, &message));
            Some(message)
        }
        Err(fault) => {
            if faults.is_empty() {
                faults.push(fault);
            }
            None
        }
    };
    Verdict { valid, faults, normal: Some(normal), message }
}

/// The instant that a message's timestamp tells: ISO 8601 in UTC (`2017-04-15T11:40:03.12Z`) or with an offset.
pub fn time(text: &str) -> Option<Timestamp> {
    let number = |digits: &str| -> Option<i64> {
        let digits = Some(digits).filter(|digits| digits.len() < 10 && digits.bytes().all(|c| c.is_ascii_digit()));
        digits?.parse().ok()
    };
    let (date, clock) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = parts(date, '-').map(|part| part.map(number))?;
    let offset_at = clock.find(['Z', 'z', '+', '-'])?;
    let (clock, offset) = clock.split_at(offset_at);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = parts(clock, ':').map(|part| part.map(number))?;
    let micros: String = fraction.chars().chain("00000".chars()).take(6).collect();
    let micros = number(&micros)?;
    let offset_min = match offset.split_at_checked(1)? {
        ("Z" | "z", "") => 0,
        (sign, offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let minutes = number(hours)? * 60 + number(minutes)?;
            if sign == "-" { -minutes } else { minutes }
        }
    };
    let (year, month, day) = (year?, month?, day?);
    let (hour, minute, second) = (hour?, minute?, second?);
    let in_range = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !in_range {
        return None;
    }
    // Days since 1970 in years that begin on 1 March, so that leap days come last.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = years * 365 + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day - 1 - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute - offset_min) * 60 + second;
    Some(Timestamp::from_micros(seconds * 1_000_000 + micros))
}

/// Exactly three parts.
fn parts(text: &str, separator: char) -> Option<[&str; 3]> {
    let mut parts = text.split(separator);
    let three = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(three)
}
