//! Zebra's IoT Connector (readers FX7500, FX9600, ATR7000): tag data, control and management, all by MQTT.
//!
//! Each interface has topics of its own, named by the installer; nothing in a payload names the reader. A command is
//! answered under its `command_id`, which others at the same broker may use as well. [`Edge`] is the edge's end,
//! [`Reader`] a simulated reader's. Zebra's handhelds speak another dialect, which is not this one.

mod edge;
mod reader;

pub use edge::{Command, Edge, Settings, Topics};
pub use reader::{Profile, Reader, Violation};

use crate::reader_mqtt::{Flat, Hex, Malformed, Tag, Time, Within, elements, fields, object, parse};
use serde::de::{Error as _, IgnoredAny};
use serde_json::Value;
use stowage_base::Epc;

/// One object of a payload, told by its members.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// What it is.
    pub event: Event,
    /// Members that aren't known here.
    pub unknown: u32,
}

/// What a message is.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Tag data.
    Tag(Tag),
    /// The answer to a command.
    Response(Response),
    /// A command, as the edge or another controller sends it.
    Command {
        /// What is wanted.
        command: String,
        /// Names the answer.
        id: String,
    },
    /// A management event of the reader's.
    Management(Management),
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// What was wanted.
    pub command: String,
    /// The command's id.
    pub id: String,
    /// Done, or why not.
    pub outcome: Result<Value, String>,
}

/// A management event.
#[derive(Debug, Clone, PartialEq)]
pub struct Management {
    /// When the reader made it, by its clock.
    pub at: Time,
    /// What it tells.
    pub news: News,
}

/// What a management event tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// `heartbeat`: it lives.
    Heartbeat,
    /// `gpi`: a digital input changed.
    Gpi {
        /// The input, from 1.
        pin: u16,
        /// The level that it has now.
        high: bool,
    },
    /// `error` or `warning`, in words.
    Complaint(String),
    /// An event that isn't known here.
    Unknown {
        /// Its type, cut at 200 characters.
        kind: String,
    },
}

/// Hands on each object of a payload, or what is wrong with it; with batching an array holds several.
///
/// # Errors
/// The payload is no sequence of objects, from this place on.
pub fn messages(payload: &[u8], mut each: impl FnMut(Result<Message, Malformed>)) -> Result<(), Malformed> {
    elements(payload, |offset, element| each(parse(offset, element)))
}

fields!(Member {
    Data = "data",
    Timestamp = "timestamp",
    Type = "type",
    Command = "command",
    CommandId = "command_id",
    Response = "response",
    Payload = "payload",
    ApiVersion = "apiVersion",
    Component = "component",
    EventNum = "eventNum",
});

object!(Message, "a message of a Zebra reader", |map| {
    let (mut data, mut at, mut kind, mut unknown) = (None, None, None, 0_u32);
    let (mut command, mut id, mut response, mut payload, mut management) = (None, None, None, None, false);
    while let Some(member) = map.next_key()? {
        match member {
            Member::Data => data = Some(map.next_value::<Data>()?),
            Member::Timestamp => at = Some(map.next_value::<Time>()?),
            Member::Type => kind = Some(map.next_value::<Name>()?),
            Member::Command => command = Some(map.next_value::<Flat>()?.0),
            Member::CommandId => id = Some(map.next_value::<Flat>()?.0),
            Member::Response => response = Some(map.next_value::<Flat>()?.0),
            Member::Payload => payload = Some(map.next_value::<Value>()?),
            Member::Component => {
                map.next_value::<IgnoredAny>()?;
                management = true;
            }
            Member::ApiVersion | Member::EventNum => drop(map.next_value::<IgnoredAny>()?),
            Member::Other => {
                map.next_value::<IgnoredAny>()?;
                unknown += 1;
            }
        }
    }
    let missing = A::Error::missing_field;
    if let Some(command) = command {
        let id = id.ok_or_else(|| missing("command_id"))?;
        let event = match response.as_deref() {
            None => Event::Command { command, id },
            Some(response) => {
                let payload = payload.unwrap_or_default();
                let outcome = match response {
                    "success" => Ok(payload),
                    "failure" => Err(failure(&payload)),
                    other => {
                        let what = format_args!("response is {other:?}, not \"success\" or \"failure\"");
                        return Err(A::Error::custom(what));
                    }
                };
                Event::Response(Response { command, id, outcome })
            }
        };
        return Ok(Message { event, unknown });
    }
    let at = at.ok_or_else(|| missing("timestamp"))?;
    let kind = kind.ok_or_else(|| missing("type"))?;
    let data = data.ok_or_else(|| missing("data"))?;
    let news = match kind {
        Name::Heartbeat => News::Heartbeat,
        Name::Gpi => News::Gpi {
            pin: data.pin.ok_or_else(|| missing("pin"))? as u16,
            high: data.high.ok_or_else(|| missing("state"))?,
        },
        Name::Complaint(kind) => {
            let text = data.text.map(|text| format!(": {text}")).unwrap_or_default();
            News::Complaint(format!("{kind}{text}"))
        }
        // The type is the mode in which the tag was read.
        Name::Other(_) if !management => {
            let epc = data.epc.filter(|epc| !epc.octets().is_empty());
            let epc = epc.ok_or_else(|| A::Error::custom("no idHex tells the tag"))?;
            let tag = Tag {
                epc,
                tid: data.tid,
                antenna: data.antenna.map(|port| port as u16),
                rssi_cdbm: data.rssi_dbm.map(|dbm| (dbm * 100.0).round() as i16),
                frequency_khz: data.channel_mhz.map(|mhz| (mhz * 1_000.0).round() as u32),
                phase_deg: data.phase_deg,
                count: data.reads.map_or(1, |reads| reads.min(65_535.0) as u16),
                at,
            };
            return Ok(Message { event: Event::Tag(tag), unknown: unknown.saturating_add(data.unknown) });
        }
        Name::Other(kind) => News::Unknown { kind },
    };
    // What a heartbeat and the like hold is not asked for.
    Ok(Message { event: Event::Management(Management { at, news }), unknown })
});

/// Code and description of a failed command, in words.
fn failure(payload: &Value) -> String {
    let text = |name: &str| match payload.get(name) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Null) | None => None,
        Some(value) => Some(value.to_string()),
    };
    let told = match (text("description").or_else(|| text("message")), text("code")) {
        (Some(description), Some(code)) => format!("{description} (code {code})"),
        (Some(description), None) => description,
        (None, Some(code)) => format!("code {code}"),
        (None, None) => "the reader gives no reason".to_owned(),
    };
    told.chars().take(200).collect()
}

/// The type of a message.
enum Name {
    Heartbeat,
    Gpi,
    Complaint(&'static str),
    Other(String),
}

impl<'de> serde::Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Name;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the type of an event")
            }
            fn visit_str<E>(self, text: &str) -> Result<Name, E> {
                Ok(match text {
                    "heartbeat" => Name::Heartbeat,
                    "gpi" | "GPI" => Name::Gpi,
                    "error" => Name::Complaint("error"),
                    "warning" => Name::Complaint("warning"),
                    // The modes: nothing is kept of them, and nothing allocated.
                    "SIMPLE" | "INVENTORY" | "PORTAL" | "CONVEYOR" | "CUSTOM" => Name::Other(String::new()),
                    other => Name::Other(other.chars().take(200).collect()),
                })
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// `data` of a tag event or a management event.
#[derive(Default)]
struct Data {
    epc: Option<Epc>,
    tid: Option<Epc>,
    antenna: Option<f64>,
    rssi_dbm: Option<f64>,
    channel_mhz: Option<f64>,
    phase_deg: Option<f64>,
    reads: Option<f64>,
    pin: Option<f64>,
    high: Option<bool>,
    /// What an error says.
    text: Option<String>,
    unknown: u32,
}

fields!(DataMember {
    IdHex = "idHex",
    Tid = "TID",
    Antenna = "antenna",
    Rssi = "peakRssi",
    Channel = "channel",
    Phase = "phase",
    Reads = "reads",
    Pin = "pin",
    State = "state",
    Message = "message",
    Description = "description",
    EventNum = "eventNum",
    Format = "format",
    Pc = "PC",
    Xpc = "XPC",
    Crc = "CRC",
    User = "USER",
    HostName = "hostName",
});

object!(Data, "the data of an event", |map| {
    let mut data = Self::Value::default();
    while let Some(member) = map.next_key()? {
        match member {
            DataMember::IdHex => data.epc = map.next_value::<Option<Hex>>()?.map(|Hex(epc)| epc),
            // Left out where it could not be read, which some firmware writes as text.
            DataMember::Tid => data.tid = Epc::from_hex(&map.next_value::<Flat>()?.0),
            DataMember::Antenna => data.antenna = map.next_value_seed(Within { low: 1.0, high: 65_535.0 })?,
            DataMember::Rssi => data.rssi_dbm = map.next_value_seed(Within { low: -200.0, high: 100.0 })?,
            DataMember::Channel => data.channel_mhz = map.next_value_seed(Within { low: 0.001, high: 1e4 })?,
            DataMember::Phase => data.phase_deg = map.next_value_seed(Within { low: -360.0, high: 360.0 })?,
            DataMember::Reads => data.reads = map.next_value_seed(Within { low: 1.0, high: 1e9 })?,
            DataMember::Pin => data.pin = map.next_value_seed(Within { low: 1.0, high: 65_535.0 })?,
            DataMember::State => {
                let state = map.next_value::<Flat>()?.0;
                data.high = match () {
                    () if state.eq_ignore_ascii_case("high") => Some(true),
                    () if state.eq_ignore_ascii_case("low") => Some(false),
                    () => None,
                };
            }
            DataMember::Message | DataMember::Description => data.text = Some(map.next_value::<Flat>()?.0),
            DataMember::EventNum
            | DataMember::Format
            | DataMember::Pc
            | DataMember::Xpc
            | DataMember::Crc
            | DataMember::User
            | DataMember::HostName => {
                map.next_value::<IgnoredAny>()?;
            }
            DataMember::Other => {
                map.next_value::<IgnoredAny>()?;
                data.unknown += 1;
            }
        }
    }
    Ok(data)
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

    #[test]
    fn a_tag_with_all_that_can_be_told() {
        let Event::Tag(tag) = event(
            r#"{"data":{"eventNum":301066,"format":"epc","idHex":"3408d942d5596a70b2564e38","antenna":6,"peakRssi":-65,"channel":865.7,"phase":34.563,"reads":47,"PC":"3000","CRC":"d582","TID":"e2801160"},"timestamp":"2026-11-24T22:54:26.785+0100","type":"CONVEYOR"}"#,
        ) else {
            panic!("a tag")
        };
        assert_eq!((tag.epc.to_string().as_str(), tag.antenna), ("3408D942D5596A70B2564E38", Some(6)));
        assert_eq!((tag.rssi_cdbm, tag.frequency_khz, tag.phase_deg), (Some(-6_500), Some(865_700), Some(34.563)));
        assert_eq!((tag.count, tag.tid.map(|tid| tid.to_string()).as_deref()), (47, Some("E2801160")));
        assert_eq!((tag.at.at.to_string().as_str(), tag.at.step.micros()), ("2026-11-24T21:54:26.785Z", 1_000));
    }

    #[test]
    fn a_batch_holds_several_and_a_bad_one_costs_itself_alone() {
        let tag = |id: &str| {
            format!(r#"{{"data":{{"idHex":"{id}"}},"timestamp":"2026-11-24T22:01:11.533+0100","type":"SIMPLE"}}"#)
        };
        let found = read(&format!("[{},{},{}]", tag("E280"), tag("zz"), tag("E281")));
        assert!(found[0].is_ok() && found[2].is_ok());
        let error = found[1].as_ref().expect_err("no hex");
        assert_eq!((error.reason.as_str(), error.position), ("\"zz\" is not hex of at most 62 octets", 107));
    }

    #[test]
    fn answers_and_commands() {
        let response = |outcome| Event::Response(Response { command: "start".into(), id: "id1".into(), outcome });
        assert_eq!(
            event(r#"{"command":"start","command_id":"id1","response":"success","payload":{}}"#),
            response(Ok(serde_json::json!({})))
        );
        assert_eq!(
            event(
                r#"{"command":"start","command_id":"id1","response":"failure","payload":{"code":4,"description":"no antenna"}}"#
            ),
            response(Err("no antenna (code 4)".into()))
        );
        assert_eq!(
            event(r#"{"command":"stop","command_id":"id2","payload":{}}"#),
            Event::Command { command: "stop".into(), id: "id2".into() }
        );
    }

    #[test]
    fn management_events() {
        let news = |rest: &str| match event(&format!(
            r#"{{"timestamp":"2026-11-24T22:10:00.000+0000","component":"RC","eventNum":3,{rest}}}"#
        )) {
            Event::Management(Management { news, .. }) => news,
            other => panic!("{other:?}"),
        };
        assert_eq!(news(r#""type":"heartbeat","data":{"system":{"uptime":"1"}}"#), News::Heartbeat);
        assert_eq!(news(r#""type":"gpi","data":{"pin":2,"state":"HIGH"}"#), News::Gpi { pin: 2, high: true });
        assert_eq!(
            news(r#""type":"error","data":{"message":"radio is hot"}"#),
            News::Complaint("error: radio is hot".into())
        );
        assert_eq!(news(r#""type":"userapp","data":{}"#), News::Unknown { kind: "userapp".into() });
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (text, reason) in [
            (r#"{"data":{"idHex":"zz"},"timestamp":"x","type":"SIMPLE"}"#, "\"zz\" is not hex of at most 62 octets"),
            (
                r#"{"data":[],"timestamp":"2026-11-24T22:10:00.000+0000","type":"SIMPLE"}"#,
                "invalid type: sequence, expected the data of an event",
            ),
            (r#"{"command":"start"}"#, "missing field `command_id`"),
            (r#"{"data":{},"timestamp":"2026-11-24T22:10:00.000+0000","type":"SIMPLE"}"#, "no idHex tells the tag"),
            (r#"{"data":{"idHex":"E280"},"type":"SIMPLE"}"#, "missing field `timestamp`"),
        ] {
            assert_eq!(read(text).remove(0).expect_err(text).reason, reason, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_payload_is_read_or_refused(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = messages(&payload, drop);
        }
    }
}
