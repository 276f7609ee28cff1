//! A broker, and the devices whose messages pass through it.

use super::Found;
use crate::config::Broker;
use crate::mqtt::{Connection, Happened};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long to listen.
const LISTEN: Duration = Duration::from_secs(2);

/// How long the broker may take to let us listen.
const UP_MAX: Duration = Duration::from_secs(2);

/// Topics that are told apart; a broker with more is told by its devices alone.
const TOPICS_MAX: usize = 10_000;

/// Topics of no known device that are told.
const OTHERS_MAX: usize = 20;

/// Listens to everything that passes for a while.
pub(super) async fn probe(broker: &Broker) -> Result<Vec<Found>, String> {
    let address = format!("{}:{}", broker.host, broker.port);
    let client = format!("stowage-probe-{}", std::process::id());
    let mut connection = Connection::open(broker, &client, vec!["#".into()]);
    let mut until = Instant::now() + UP_MAX;
    let mut survey = Survey::default();
    loop {
        match timeout_at(until, connection.happened.recv()).await {
            Ok(Some(Happened::Up)) => {
                survey.listening = true;
                until = Instant::now() + LISTEN;
            }
            Ok(Some(Happened::Message { topic, payload })) => survey.heard(&topic, &payload),
            Ok(Some(Happened::Over(why))) => return Err(format!("broker {address}: {why}")),
            Ok(Some(Happened::TooLong(_) | Happened::Acknowledged)) => {}
            Ok(None) => return Err(format!("broker {address}: it closed the connection")),
            Err(_) if survey.listening => return Ok(survey.found(&address)),
            Err(_) => return Err(format!("broker {address}: no answer: check address, cable, power and firewall")),
        }
    }
}

/// What passed through a broker.
#[derive(Debug, Default)]
struct Survey {
    listening: bool,
    messages: u64,
    /// Messages by topic.
    topics: BTreeMap<String, u64>,
    devices: BTreeMap<(Kind, String), Device>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Stowage's own contract.
    Sorter,
    /// VDA 5050.
    Robot,
    ImpinjReader,
    ZebraReader,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Sorter => "sorter",
            Self::Robot => "robot",
            Self::ImpinjReader => "reader (Impinj)",
            Self::ZebraReader => "reader (Zebra)",
        }
    }
}

/// A device as far as its messages tell.
#[derive(Debug, Default)]
struct Device {
    messages: u64,
    /// Tag reports of a reader.
    tags: u64,
    /// The newest of what it told, by the name under which it is shown.
    told: BTreeMap<&'static str, Value>,
}

impl Device {
    fn tell(&mut self, key: &'static str, value: &Value) {
        if !value.is_null() {
            self.told.insert(key, value.clone());
        }
    }
}

/// What is shown of each kind, in this order.
fn keys(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Sorter => &["site", "id", "online", "run", "chutes"],
        Kind::Robot => &[
            "interface",
            "version",
            "manufacturer",
            "serial",
            "connection",
            "operating_mode",
            "driving",
            "order",
            "battery_percent",
            "charging",
            "position",
            "errors",
        ],
        Kind::ImpinjReader => &["topic", "name", "inventory", "last_event"],
        Kind::ZebraReader => &["topic", "mode", "last_event", "temperature_c"],
    }
}

impl Survey {
    /// Any topic, any octets.
    fn heard(&mut self, topic: &str, payload: &[u8]) {
        self.messages += 1;
        if self.topics.len() < TOPICS_MAX || self.topics.contains_key(topic) {
            *self.topics.entry(topic.to_owned()).or_default() += 1;
        }
        let message: Value = serde_json::from_slice(payload).unwrap_or_default();
        let levels: Vec<&str> = topic.split('/').collect();
        match levels[..] {
            ["stowage", site, "sorter", id, ref rest @ ..] if !rest.is_empty() => {
                let device = self.device(Kind::Sorter, format!("{site}/{id}"));
                device.tell("site", &site.into());
                device.tell("id", &id.into());
                if rest == ["state"] {
                    // The last will says no more than that it is gone.
                    let online = message["online"].as_bool().unwrap_or(message.is_object());
                    device.tell("online", &online.into());
                    device.tell("run", &message["run"]);
                    device.tell("chutes", &message["chutes"]);
                }
            }
            [interface, version, manufacturer, serial, leaf]
                if is_major(version) && VDA_TOPICS.contains(&leaf) && message["headerId"].is_u64() =>
            {
                let device = self.device(Kind::Robot, format!("{interface}/{manufacturer}/{serial}"));
                device.tell("interface", &interface.into());
                device.tell("manufacturer", &manufacturer.into());
                device.tell("serial", &serial.into());
                device.tell("version", &message["version"]);
                robot(device, leaf, &message);
            }
            _ => self.reader(topic, &message),
        }
    }

    fn device(&mut self, kind: Kind, name: String) -> &mut Device {
        let device = self.devices.entry((kind, name)).or_default();
        device.messages += 1;
        device
    }

    /// Readers have topics of their owner's choice: their messages tell them.
    fn reader(&mut self, topic: &str, message: &Value) {
        let first = message.get(0).unwrap_or(message);
        let events = message.as_array().map_or(1, Vec::len) as u64;
        if let Some(kind) = first["eventType"].as_str() {
            let device = self.device(Kind::ImpinjReader, topic.to_owned());
            device.tell("topic", &topic.into());
            device.tell("name", &first["hostname"]);
            device.tell("inventory", &first["inventoryStatusEvent"]["status"]);
            device.tell("last_event", &kind.into());
            device.tags += if kind == "tagInventory" { events } else { 0 };
        } else if first["data"].is_object() && first["timestamp"].is_string() {
            let (tag, kind) = (first["data"]["idHex"].is_string(), &first["type"]);
            let device = self.device(Kind::ZebraReader, topic.to_owned());
            device.tell("topic", &topic.into());
            device.tell(if tag { "mode" } else { "last_event" }, kind);
            device.tell("temperature_c", &first["data"]["system"]["temperature"]);
            device.tags += if tag { events } else { 0 };
        }
    }

    /// The broker first, then the devices.
    fn found(&self, address: &str) -> Vec<Found> {
        let rate = |count: u64| json!((count as f64 / LISTEN.as_secs_f64() * 10.0).round() / 10.0);
        let mut broker = Found::of("broker")
            .with("address", address)
            .with("devices", self.devices.len())
            .with("topics", self.topics.len())
            .with("messages_per_s", rate(self.messages));
        let mut busiest: Vec<_> = self.topics.iter().collect();
        busiest.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let others = busiest.iter().take(OTHERS_MAX);
        broker = broker.with(
            "busiest",
            super::list(others.map(|(topic, count)| json!({"topic": topic, "messages_per_s": rate(**count)}))),
        );
        let device = |((kind, _), device): (&(Kind, String), &Device)| {
            let mut found = Found::of(kind.name());
            for key in keys(*kind) {
                found = found.with(key, device.told.get(key).cloned().unwrap_or_default());
            }
            if matches!(kind, Kind::ImpinjReader | Kind::ZebraReader) {
                found = found.with("tags_per_s", rate(device.tags));
            }
            found.with("messages_per_s", rate(device.messages))
        };
        std::iter::once(broker).chain(self.devices.iter().map(device)).collect()
    }
}

/// Last levels of a robot's topics (VDA 5050 §6.3).
const VDA_TOPICS: [&str; 6] = ["connection", "state", "factsheet", "visualization", "order", "instantActions"];

/// `v1`, `v2`, …
fn is_major(level: &str) -> bool {
    level
        .strip_prefix('v')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit()))
}

/// VDA 5050 1.x, 2.x, and 3.x where it names things anew.
fn robot(device: &mut Device, leaf: &str, message: &Value) {
    let either =
        |old: &str, new: &str| if message[old].is_null() { message[new].clone() } else { message[old].clone() };
    match leaf {
        "connection" => device.tell("connection", &message["connectionState"]),
        "state" => {
            let (battery, position) =
                (either("batteryState", "powerSupply"), either("agvPosition", "mobileRobotPosition"));
            let charge = if battery["batteryCharge"].is_null() { "stateOfCharge" } else { "batteryCharge" };
            device.tell("battery_percent", &battery[charge]);
            device.tell("charging", &battery["charging"]);
            if position.is_object() {
                let at = json!({"x": position["x"], "y": position["y"], "theta": position["theta"], "map": position["mapId"]});
                device.tell("position", &at);
            }
            device.tell("order", &message["orderId"]);
            device.tell("driving", &message["driving"]);
            device.tell("operating_mode", &message["operatingMode"]);
            if let Some(errors) = message["errors"].as_array() {
                device.tell("errors", &super::list(errors.iter().map(|error| error["errorType"].clone())));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::to_json;
    use proptest::prelude::*;

    fn surveyed(messages: &[(&str, Value)]) -> Vec<Value> {
        let mut survey = Survey::default();
        messages.iter().for_each(|(topic, message)| survey.heard(topic, message.to_string().as_bytes()));
        let found = survey.found("broker:1883");
        found.iter().map(|found| serde_json::from_str(&to_json(found)).expect("JSON")).collect()
    }

    #[test]
    fn devices_are_known_by_their_messages() {
        let found = surveyed(&[
            ("stowage/demo/sorter/sorter-1/state", json!({"boot": 7, "run": "running", "chutes": []})),
            ("stowage/demo/sorter/sorter-1/heartbeat", json!({"boot": 7, "at_us": 1})),
            ("uagv/v2/acme/r-7/connection", json!({"headerId": 1, "version": "2.1.0", "connectionState": "ONLINE"})),
            (
                "uagv/v2/acme/r-7/state",
                json!({"headerId": 2, "version": "2.1.0", "orderId": "o-1", "driving": true, "operatingMode": "AUTOMATIC",
                    "batteryState": {"batteryCharge": 81.5, "charging": false},
                    "agvPosition": {"x": 1.0, "y": 2.0, "theta": 0.5, "mapId": "hall", "positionInitialized": true},
                    "errors": [{"errorType": "orderError"}]}),
            ),
            ("gate", json!([{"eventType": "tagInventory", "hostname": "r700", "tagInventoryEvent": {"epc": "MDk="}}])),
            ("z/data", json!({"data": {"idHex": "3039", "antenna": 1}, "timestamp": "2026", "type": "SIMPLE"})),
            ("z/evt", json!({"data": {"system": {"temperature": 41}}, "timestamp": "2026", "type": "heartbeat"})),
            ("plant/thing", json!("hello")),
        ]);
        let kinds: Vec<_> = found.iter().map(|found| found["kind"].as_str().expect("text")).collect();
        let readers = ["reader (Impinj)", "reader (Zebra)", "reader (Zebra)"];
        assert_eq!(kinds, [&["broker", "sorter", "robot"][..], &readers].concat());
        let [broker, sorter, robot, impinj, zebra, events] = &found[..] else { panic!("six: {found:?}") };
        assert_eq!((&broker["topics"], &broker["messages_per_s"]), (&json!(8), &json!(4.0)));
        assert_eq!((&sorter["online"], &sorter["run"]), (&json!(true), &json!("running")));
        assert_eq!((&robot["serial"], &robot["connection"]), (&json!("r-7"), &json!("ONLINE")));
        assert_eq!((&robot["battery_percent"], &robot["errors"]), (&json!(81.5), &json!(["orderError"])));
        assert_eq!(robot["position"], json!({"x": 1.0, "y": 2.0, "theta": 0.5, "map": "hall"}));
        assert_eq!((&impinj["name"], &impinj["tags_per_s"]), (&json!("r700"), &json!(0.5)));
        assert_eq!((&zebra["mode"], &events["temperature_c"]), (&json!("SIMPLE"), &json!(41)));
    }

    #[test]
    fn a_sorter_that_is_gone_and_a_robot_of_version_3_are_told() {
        let found = surveyed(&[
            ("stowage/demo/sorter/s/state", json!({"online": false})),
            (
                "vda5050/v3/acme/r/state",
                json!({"headerId": 9, "powerSupply": {"stateOfCharge": 40.0}, "mobileRobotPosition": {"x": 3.0}}),
            ),
        ]);
        assert_eq!(found[1]["online"], false);
        assert_eq!((&found[2]["battery_percent"], &found[2]["position"]["x"]), (&json!(40.0), &json!(3.0)));
    }

    proptest! {
        #[test]
        fn no_message_is_too_strange(topic in "(stowage|uagv|v2|sorter|state|[a-z]{0,3}|/){0,12}", payload: Vec<u8>) {
            let mut survey = Survey::default();
            survey.heard(&topic, &payload);
            prop_assert!(!survey.found("b").is_empty());
        }
    }
}
