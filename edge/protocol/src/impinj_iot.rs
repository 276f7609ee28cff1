//! Impinj's IoT device interface (readers R700 and later), version 1.7: events by MQTT, control by REST.
//!
//! The reader publishes [`Message`]s to one topic and knows nothing of ours; it is configured, started and stopped by
//! requests below `/api/v1`. [`Edge`] is the edge's end of both, [`Reader`] a simulated reader's.

mod config;
mod edge;
mod reader;

pub use config::{Body, Method, MqttSettings, Request, Response, authorization};
pub use edge::{Edge, Settings};
pub use reader::{Link, Profile, Reader, Violation};

use crate::reader_mqtt::{Base64, Flat, Hex, Malformed, Tag, Time, Within, elements, fields, object, parse};
use serde::de::{Error as _, IgnoredAny};
use stowage_base::Epc;

/// One event of a reader.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// When the reader made it, by its clock.
    pub at: Time,
    /// What happened.
    pub event: Event,
    /// Members that aren't known here.
    pub unknown: u32,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// `tagInventory`: a tag was read.
    Tag(Tag),
    /// `antennaConnected` or `antennaDisconnected`.
    Antenna {
        /// The port.
        port: u16,
        /// Connected, or not.
        connected: bool,
    },
    /// `antennaActivation`: this antenna begins to look.
    Activation {
        /// The port.
        port: u16,
    },
    /// `inventoryStatus`.
    Status(Status),
    /// `overflow`: events were purged before they could be delivered.
    Overflow {
        /// How many.
        lost: u64,
    },
    /// `gpiTransition`.
    Gpi {
        /// The input, from 1.
        pin: u16,
        /// From low to high, or from high to low.
        high: bool,
    },
    /// An event that isn't known here.
    Unknown {
        /// Its type, cut at 200 characters.
        kind: String,
    },
}

/// What the inventory does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Nothing.
    Idle,
    /// It waits for a trigger.
    Armed,
    /// It looks.
    Running,
    /// Something else, such as `starting`.
    Other(String),
}

impl Status {
    /// As the reader writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Idle => "idle",
            Self::Armed => "armed",
            Self::Running => "running",
            Self::Other(name) => name,
        }
    }

    fn of(name: String) -> Self {
        match name.as_str() {
            "idle" => Self::Idle,
            "armed" => Self::Armed,
            "running" => Self::Running,
            _ => Self::Other(name),
        }
    }
}

/// Hands on each event of a payload, or what is wrong with it; an array or several lines hold several.
///
/// # Errors
/// The payload is no sequence of events, from this place on.
pub fn messages(payload: &[u8], mut each: impl FnMut(Result<Message, Malformed>)) -> Result<(), Malformed> {
    elements(payload, |offset, element| each(parse(offset, element)))
}

fields!(Member {
    Timestamp = "timestamp",
    Hostname = "hostname",
    Kind = "eventType",
    Tag = "tagInventoryEvent",
    Connected = "antennaConnectedEvent",
    Disconnected = "antennaDisconnectedEvent",
    Activation = "antennaActivationEvent",
    Status = "inventoryStatusEvent",
    Overflow = "overflowEvent",
    Gpi = "gpiTransitionEvent",
});

object!(Message, "an event of an Impinj reader", |map| {
    let (mut at, mut kind, mut unknown) = (None, None, 0_u32);
    let (mut tag, mut connected, mut disconnected, mut activation) = (None, None, None, None);
    let (mut status, mut overflow, mut gpi) = (None, None, None);
    while let Some(member) = map.next_key()? {
        match member {
            Member::Timestamp => at = Some(map.next_value::<Time>()?),
            Member::Hostname => drop(map.next_value::<IgnoredAny>()?),
            Member::Kind => kind = Some(map.next_value::<Kind>()?),
            Member::Tag => tag = Some(map.next_value::<TagEvent>()?),
            Member::Connected => connected = Some(map.next_value::<PortEvent>()?),
            Member::Disconnected => disconnected = Some(map.next_value::<PortEvent>()?),
            Member::Activation => activation = Some(map.next_value::<PortEvent>()?),
            Member::Status => status = Some(map.next_value::<StatusEvent>()?),
            Member::Overflow => overflow = Some(map.next_value::<OverflowEvent>()?),
            Member::Gpi => gpi = Some(map.next_value::<GpiEvent>()?),
            Member::Other => {
                map.next_value::<IgnoredAny>()?;
                unknown += 1;
            }
        }
    }
    let at = at.ok_or_else(|| A::Error::missing_field("timestamp"))?;
    let missing = A::Error::missing_field;
    let event = match kind.ok_or_else(|| missing("eventType"))? {
        Kind::Tag => {
            let tag = tag.ok_or_else(|| missing("tagInventoryEvent"))?;
            unknown = unknown.saturating_add(tag.unknown);
            Event::Tag(tag.tag(at))
        }
        Kind::Connected => {
            let PortEvent(port) = connected.ok_or_else(|| missing("antennaConnectedEvent"))?;
            Event::Antenna { port, connected: true }
        }
        Kind::Disconnected => {
            let PortEvent(port) = disconnected.ok_or_else(|| missing("antennaDisconnectedEvent"))?;
            Event::Antenna { port, connected: false }
        }
        Kind::Activation => {
            let PortEvent(port) = activation.ok_or_else(|| missing("antennaActivationEvent"))?;
            Event::Activation { port }
        }
        Kind::Status => Event::Status(status.ok_or_else(|| missing("inventoryStatusEvent"))?.0),
        Kind::Overflow => Event::Overflow { lost: overflow.ok_or_else(|| missing("overflowEvent"))?.0 },
        Kind::Gpi => {
            let GpiEvent { pin, high } = gpi.ok_or_else(|| missing("gpiTransitionEvent"))?;
            Event::Gpi { pin, high }
        }
        // Its own member was counted, and is the same news.
        Kind::Other(kind) => {
            unknown = unknown.saturating_sub(1);
            Event::Unknown { kind }
        }
    };
    Ok(Message { at, event, unknown })
});

/// The types of events.
enum Kind {
    Tag,
    Connected,
    Disconnected,
    Activation,
    Status,
    Overflow,
    Gpi,
    Other(String),
}

impl<'de> serde::Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl serde::de::Visitor<'_> for Name {
            type Value = Kind;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the type of an event, such as \"tagInventory\"")
            }
            fn visit_str<E>(self, text: &str) -> Result<Kind, E> {
                Ok(match text {
                    "tagInventory" => Kind::Tag,
                    "antennaConnected" => Kind::Connected,
                    "antennaDisconnected" => Kind::Disconnected,
                    "antennaActivation" => Kind::Activation,
                    "inventoryStatus" => Kind::Status,
                    "overflow" => Kind::Overflow,
                    "gpiTransition" => Kind::Gpi,
                    other => Kind::Other(other.chars().take(200).collect()),
                })
            }
        }
        deserializer.deserialize_str(Name)
    }
}

/// `tagInventoryEvent` as it is written.
struct TagEvent {
    epc: Epc,
    tid: Option<Epc>,
    antenna: Option<f64>,
    rssi_cdbm: Option<f64>,
    frequency_khz: Option<f64>,
    phase_deg: Option<f64>,
    last_seen: Option<Time>,
    unknown: u32,
}

impl TagEvent {
    fn tag(&self, made: Time) -> Tag {
        Tag {
            epc: self.epc,
            tid: self.tid,
            antenna: self.antenna.map(|port| port as u16),
            rssi_cdbm: self.rssi_cdbm.map(|cdbm| cdbm.round() as i16),
            frequency_khz: self.frequency_khz.map(|khz| khz.round() as u32),
            phase_deg: self.phase_deg,
            count: 1,
            // A tag can't be seen after its report was made.
            at: self.last_seen.filter(|seen| seen.at <= made.at).unwrap_or(made),
        }
    }
}

fields!(TagMember {
    Epc = "epc",
    EpcHex = "epcHex",
    Tid = "tid",
    TidHex = "tidHex",
    Antenna = "antennaPort",
    Rssi = "peakRssiCdbm",
    Frequency = "frequency",
    Phase = "phaseAngle",
    LastSeen = "lastSeenTime",
    Pc = "pc",
    XpcHex = "xpcHex",
    AntennaName = "antennaName",
    Power = "transmitPowerCdbm",
    Memory = "tagMemoryData",
});

object!(TagEvent, "a tagInventoryEvent", |map| {
    let (mut epc, mut epc_hex, mut tid, mut tid_hex) = (None, None, None, None);
    let (mut antenna, mut rssi_cdbm, mut frequency_khz, mut phase_deg) = (None, None, None, None);
    let (mut last_seen, mut unknown) = (None, 0);
    while let Some(member) = map.next_key()? {
        match member {
            TagMember::Epc => epc = map.next_value::<Option<Base64>>()?.map(|Base64(epc)| epc),
            TagMember::EpcHex => epc_hex = map.next_value::<Option<Hex>>()?.map(|Hex(epc)| epc),
            TagMember::Tid => tid = map.next_value::<Option<Base64>>()?.map(|Base64(tid)| tid),
            TagMember::TidHex => tid_hex = map.next_value::<Option<Hex>>()?.map(|Hex(tid)| tid),
            TagMember::Antenna => antenna = map.next_value_seed(Within { low: 1.0, high: 65_535.0 })?,
            TagMember::Rssi => rssi_cdbm = map.next_value_seed(Within { low: -20_000.0, high: 10_000.0 })?,
            TagMember::Frequency => frequency_khz = map.next_value_seed(Within { low: 1.0, high: 1e7 })?,
            TagMember::Phase => phase_deg = map.next_value_seed(Within { low: -360.0, high: 360.0 })?,
            TagMember::LastSeen => last_seen = map.next_value::<Option<Time>>()?,
            TagMember::Pc | TagMember::XpcHex | TagMember::AntennaName | TagMember::Power | TagMember::Memory => {
                map.next_value::<IgnoredAny>()?;
            }
            TagMember::Other => {
                map.next_value::<IgnoredAny>()?;
                unknown += 1;
            }
        }
    }
    let epc = epc_hex.or(epc).filter(|epc| !epc.octets().is_empty());
    let epc = epc.ok_or_else(|| A::Error::custom("neither epc nor epcHex tells the tag"))?;
    let tid = tid_hex.or(tid);
    Ok(TagEvent { epc, tid, antenna, rssi_cdbm, frequency_khz, phase_deg, last_seen, unknown })
});

/// An event that names an antenna.
struct PortEvent(u16);

fields!(PortMember { Port = "antennaPort" });

object!(PortEvent, "an event with an antennaPort", |map| {
    let mut port = None;
    while let Some(member) = map.next_key()? {
        match member {
            PortMember::Port => port = map.next_value_seed(Within { low: 1.0, high: 65_535.0 })?,
            PortMember::Other => drop(map.next_value::<IgnoredAny>()?),
        }
    }
    port.map(|port| Self::Value { 0: port as u16 }).ok_or_else(|| A::Error::missing_field("antennaPort"))
});

/// `inventoryStatusEvent`.
struct StatusEvent(Status);

fields!(StatusMember { Status = "status" });

object!(StatusEvent, "an inventoryStatusEvent", |map| {
    let mut status = None;
    while let Some(member) = map.next_key()? {
        match member {
            StatusMember::Status => status = Some(map.next_value::<Flat>()?.0),
            StatusMember::Other => drop(map.next_value::<IgnoredAny>()?),
        }
    }
    Ok(StatusEvent(Status::of(status.ok_or_else(|| A::Error::missing_field("status"))?)))
});

/// `overflowEvent`.
struct OverflowEvent(u64);

fields!(OverflowMember { Purged = "eventsPurged" });

object!(OverflowEvent, "an overflowEvent", |map| {
    let mut lost = None;
    while let Some(member) = map.next_key()? {
        match member {
            OverflowMember::Purged => lost = map.next_value_seed(Within { low: 0.0, high: 1e15 })?,
            OverflowMember::Other => drop(map.next_value::<IgnoredAny>()?),
        }
    }
    Ok(OverflowEvent(lost.ok_or_else(|| A::Error::missing_field("eventsPurged"))? as u64))
});

/// `gpiTransitionEvent`.
struct GpiEvent {
    pin: u16,
    high: bool,
}

fields!(GpiMember { Gpi = "gpi", Transition = "transition" });

object!(GpiEvent, "a gpiTransitionEvent", |map| {
    let (mut pin, mut high) = (None, None);
    while let Some(member) = map.next_key()? {
        match member {
            GpiMember::Gpi => pin = map.next_value_seed(Within { low: 1.0, high: 65_535.0 })?,
            GpiMember::Transition => {
                high = Some(match map.next_value::<Flat>()?.0.as_str() {
                    "low-to-high" => true,
                    "high-to-low" => false,
                    other => {
                        let what = format_args!("transition is {other:?}, not \"low-to-high\" or \"high-to-low\"");
                        return Err(A::Error::custom(what));
                    }
                });
            }
            GpiMember::Other => drop(map.next_value::<IgnoredAny>()?),
        }
    }
    let pin = pin.ok_or_else(|| A::Error::missing_field("gpi"))? as u16;
    Ok(GpiEvent { pin, high: high.ok_or_else(|| A::Error::missing_field("transition"))? })
});

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(payload: &str) -> Vec<Result<Message, Malformed>> {
        let mut found = Vec::new();
        if let Err(error) = messages(payload.as_bytes(), |message| found.push(message)) {
            found.push(Err(error));
        }
        found
    }

    fn event(payload: &str) -> Event {
        let mut found = read(payload);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0).unwrap_or_else(|error| panic!("{error}")).event
    }

    const HEAD: &str = r#"{"timestamp":"2026-11-24T22:10:05.500000067Z","eventType":"#;

    #[test]
    fn a_tag_with_all_that_can_be_told() {
        let text = format!(
            r#"{HEAD}"tagInventory","hostname":"impinj-14","tagInventoryEvent":{{"epc":"MbgAAwAAAAAAAAAA","tid":"4oBt_O7W1lemVfWi","pc":"MAA=","antennaPort":3,"antennaName":"DOCK","peakRssiCdbm":-7043,"frequency":902750,"transmitPowerCdbm":2525,"lastSeenTime":"2026-11-24T22:10:05.250Z","phaseAngle":142.92}}}}"#
        );
        let Event::Tag(tag) = event(&text) else { panic!("a tag") };
        assert_eq!(tag.epc.to_string(), "31B800030000000000000000");
        assert_eq!(tag.tid.map(|tid| tid.to_string()).as_deref(), Some("E2806DFCEED6D657A655F5A2"));
        assert_eq!((tag.antenna, tag.rssi_cdbm, tag.frequency_khz), (Some(3), Some(-7_043), Some(902_750)));
        assert_eq!((tag.phase_deg, tag.count), (Some(142.92), 1));
        assert_eq!(tag.at.at.to_string(), "2026-11-24T22:10:05.250Z");
    }

    #[test]
    fn a_tag_seen_after_its_report_was_seen_when_it_was_reported() {
        let text = format!(
            r#"{HEAD}"tagInventory","tagInventoryEvent":{{"epcHex":"e280","lastSeenTime":"2026-11-24T23:00:00Z","new":[1,{{}}]}},"also":0}}"#
        );
        let message = read(&text).remove(0).expect("a message");
        let Event::Tag(tag) = message.event else { panic!("a tag") };
        assert_eq!((tag.at, tag.antenna, tag.epc.to_string().as_str()), (message.at, None, "E280"));
        assert_eq!(message.unknown, 2);
    }

    #[test]
    fn other_events() {
        let with = |rest: &str| event(&format!("{HEAD}{rest}}}"));
        assert_eq!(
            with(r#""inventoryStatus","inventoryStatusEvent":{"status":"armed"}"#),
            Event::Status(Status::Armed)
        );
        assert_eq!(
            with(r#""antennaDisconnected","antennaDisconnectedEvent":{"antennaPort":2}"#),
            Event::Antenna { port: 2, connected: false }
        );
        assert_eq!(
            with(r#""overflow","overflowEvent":{"eventsPurged":12345,"eventsRemaining":100}"#),
            Event::Overflow { lost: 12_345 }
        );
        assert_eq!(
            with(r#""gpiTransition","gpiTransitionEvent":{"gpi":1,"transition":"high-to-low"}"#),
            Event::Gpi { pin: 1, high: false }
        );
        assert_eq!(with(r#""moonPhase","moonPhaseEvent":{"full":true}"#), Event::Unknown { kind: "moonPhase".into() });
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_with_its_place() {
        for (text, reason, position) in [
            (r#"{"eventType":"overflow"}"#.to_owned(), "missing field `timestamp`", 24),
            (format!(r#"{HEAD}"tagInventory"}}"#), "missing field `tagInventoryEvent`", 73),
            (format!(r#"{HEAD}"tagInventory","tagInventoryEvent":{{}}}}"#), "neither epc nor epcHex tells the tag", 95),
            (
                format!(r#"{HEAD}"tagInventory","tagInventoryEvent":{{"epcHex":"ABC"}}}}"#),
                "\"ABC\" is not hex of at most 62 octets",
                108,
            ),
            (
                format!(r#"{HEAD}"tagInventory","tagInventoryEvent":{{"epcHex":"AB","antennaPort":0}}}}"#),
                "invalid value: floating point `0.0`, expected a number from 1 to 65535",
                123,
            ),
            ("not json".to_owned(), "expected ident", 2),
            (String::new(), "the payload is empty", 0),
        ] {
            let error = read(&text).remove(0).expect_err(&text);
            assert_eq!((error.reason.as_str(), error.position), (reason, position), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_payload_is_read_or_refused(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = messages(&payload, drop);
        }

        #[test]
        fn a_message_in_any_batching_is_the_same(count in 1_usize..5, lines in any::<bool>()) {
            let one = format!(r#"{HEAD}"inventoryStatus","inventoryStatusEvent":{{"status":"idle"}}}}"#);
            let all = vec![one.clone(); count];
            let payload = if lines { all.join("\n") } else { format!("[{}]", all.join(", ")) };
            prop_assert_eq!(read(&payload), vec![read(&one).remove(0); count]);
        }
    }
}
