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
    // Under a name that a later version gives meaning, an earlier one may hold anything.
    let known = codec::normal(version, topic, schema::known(version, topic, &value));
    let normal = codec::normal(version, topic, value);
    faults.extend(rules::bounds(&known));
    let message = match codec::typed(topic, &known) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_topics_have_their_names() {
        for (name, version) in [("2.0", Version::V2_0), ("2.1.0", Version::V2_1), ("v3.0.0", Version::V3_0)] {
            assert_eq!(Version::named(name), Some(version));
            assert_eq!(Version::named(version.name()), Some(version));
        }
        for unknown in ["", "2", "1.1.0", "2.2", "2.0.", "2.0.0.0", "2.0.x"] {
            assert_eq!(Version::named(unknown), None, "{unknown}");
        }
        let base = |serial: &str| Base {
            version: Version::V2_1,
            interface: "uagv".into(),
            manufacturer: "KIT".into(),
            serial: serial.into(),
        };
        assert_eq!(base("1").topic(Topic::InstantActions), "uagv/v2/KIT/1/instantActions");
        assert_eq!(base("1").parse("uagv/v2/KIT/1/state"), Some(Topic::State));
        for other in ["uagv/v2/KIT/2/state", "uagv/v3/KIT/1/state", "uagv/v2/KIT/1/news", "state", ""] {
            assert_eq!(base("1").parse(other), None, "{other}");
        }
        assert!(Base::is_level("AGV 1") && !["", "a/b", "+", "a#", "$SYS", "\n"].into_iter().any(Base::is_level));
    }

    #[test]
    fn timestamps_are_read_as_robots_write_them() {
        let at = |text: &str| time(text).map(|time| time.to_string());
        assert_eq!(at("2017-04-15T11:40:03.12Z").as_deref(), Some("2017-04-15T11:40:03.120Z"));
        assert_eq!(at("2024-02-29T23:59:59Z").as_deref(), Some("2024-02-29T23:59:59.000Z"));
        assert_eq!(at("2026-11-24T22:10:00.123456789+01:00").as_deref(), Some("2026-11-24T21:10:00.123Z"));
        assert_eq!(
            time(&Timestamp::from_micros(951_782_400_123_000).to_string()),
            Some(Timestamp::from_micros(951_782_400_123_000))
        );
        for bad in [
            "",
            "now",
            "2026-11-24",
            "2026-13-24T22:10:00Z",
            "2026-11-24T25:10:00Z",
            "2026-11-24T22:10:00",
            "2026-11-24T22:10:00.é1Z",
            "2026-11-24T22:10:00.1+1",
        ] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }

    #[test]
    fn members_that_a_version_does_not_know_are_free() {
        let message = br#"{"headerId":1,"timestamp":"2026-11-24T22:10:07Z","version":"2.1.0","manufacturer":"KIT","serialNumber":"1",
            "actions":[{"actionType":"pick","actionId":"a","blockingType":"HARD","retriable":"perhaps"}],"vendor":{"a":[1]}}"#;
        let verdict = check(Version::V2_1, Topic::InstantActions, message);
        assert!(verdict.valid && verdict.faults.is_empty() && verdict.message.is_some(), "{:?}", verdict.faults);
        assert_eq!(verdict.normal.expect("valid")["vendor"]["a"][0], 1);
    }

    #[test]
    fn the_pause_that_the_schemas_of_2_forgot_is_understood_and_not_valid() {
        let state = |status: &str| {
            format!(
                r#"{{"headerId":1,"timestamp":"2026-11-24T22:10:07Z","version":"2.1.0","manufacturer":"KIT","serialNumber":"1",
            "orderId":"","orderUpdateId":0,"lastNodeId":"","lastNodeSequenceId":0,"driving":false,"operatingMode":"AUTOMATIC",
            "nodeStates":[],"edgeStates":[],"actionStates":[{{"actionId":"a","actionStatus":"{status}"}}],"errors":[],
            "batteryState":{{"batteryCharge":5,"charging":false}},"safetyState":{{"eStop":"NONE","fieldViolation":false}}}}"#
            )
        };
        let paused = check(Version::V2_1, Topic::State, state("PAUSED").as_bytes());
        let Some(Message::State(said)) = paused.message else { panic!("{:?}", paused.faults) };
        assert!(!paused.valid && said.action_states[0].action_status == model::ActionStatus::Paused);
        let other = check(Version::V2_1, Topic::State, state("SLEEPING").as_bytes());
        assert!(!other.valid && other.message.is_none());
        assert_eq!(
            other.faults[0].to_string(),
            "actionStates[0].actionStatus is \"SLEEPING\", expected WAITING, INITIALIZING, RUNNING, FINISHED, FAILED"
        );
    }

    #[test]
    fn the_rules_beyond_the_schemas_name_what_they_find() {
        let order = |nodes: &str, edges: &str| {
            format!(
                r#"{{"headerId":1,"timestamp":"2026-11-24T22:10:07Z","version":"2.1.0","manufacturer":"KIT","serialNumber":"1",
            "orderId":"o","orderUpdateId":0,"nodes":[{nodes}],"edges":[{edges}]}}"#
            )
        };
        let node = |id: &str, sequence: i64, released: bool, action: &str| {
            let action = if action.is_empty() {
                String::new()
            } else {
                format!(r#"{{"actionType":"pick","actionId":"{action}","blockingType":"HARD"}}"#)
            };
            format!(r#"{{"nodeId":"{id}","sequenceId":{sequence},"released":{released},"actions":[{action}]}}"#)
        };
        let edge = |from: &str, to: &str, sequence: u32, released: bool| {
            format!(
                r#"{{"edgeId":"e","sequenceId":{sequence},"released":{released},"startNodeId":"{from}","endNodeId":"{to}","actions":[]}}"#
            )
        };
        let (a, b) = (node("A", 0, true, "x"), node("B", 2, true, ""));
        let good = edge("A", "B", 1, true);
        let cases = [
            (String::new(), String::new(), Kind::Sequence, "nodes"),
            (format!("{a},{b}"), String::new(), Kind::Sequence, "edges"),
            (format!("{a},{}", node("B", 4, true, "")), good.clone(), Kind::Sequence, "nodes[1].sequenceId"),
            (format!("{a},{b}"), edge("A", "B", 3, true), Kind::Sequence, "edges[0].sequenceId"),
            (node("A", 0, false, ""), String::new(), Kind::Base, "nodes[0].released"),
            (format!("{a},{b}"), edge("A", "B", 1, false), Kind::Base, "edges[0].released"),
            (
                format!("{a},{},{}", node("B", 2, false, ""), node("C", 4, true, "")),
                format!("{},{}", edge("A", "B", 1, false), edge("B", "C", 3, true)),
                Kind::Base,
                "nodes[2].released",
            ),
            (format!("{a},{b}"), edge("A", "C", 1, true), Kind::Ends, "edges[0].endNodeId"),
            (format!("{a},{}", node("B", 2, true, "x")), good.clone(), Kind::ActionId, "nodes[1].actions[0].actionId"),
            (node("A", 5_000_000_000, true, ""), String::new(), Kind::Bounds, "nodes[0].sequenceId"),
        ];
        for (nodes, edges, kind, path) in cases {
            let verdict = check(Version::V2_1, Topic::Order, order(&nodes, &edges).as_bytes());
            let found: Vec<_> = verdict.faults.iter().map(|fault| (fault.kind, fault.path.as_str())).collect();
            assert!(verdict.valid && found == [(kind, path)], "{path}: {found:?}");
        }
        let fine = check(Version::V2_1, Topic::Order, order(&format!("{a},{b}"), &good).as_bytes());
        assert_eq!(fine.faults, []);
    }
}
