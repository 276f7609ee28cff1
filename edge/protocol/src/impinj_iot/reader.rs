//! A simulated reader's own end: REST and MQTT of an R700, as far as a client that inventories needs them.
//!
//! It inventories by the [`Air`], keeps events while it has no broker, and is strict: what a client may not send is
//! answered with an error that names the property, and kept in [`Reader::violations`].
//!
//! Deliberately absent: triggers, filters, tag memory, Kafka, webhooks, the HTTP stream, the rest of the REST API.

use super::config::{AntennaConfig, Body, Method, MqttBody, Response, Switch, authorization};
use super::edge::API;
use crate::reader_mqtt::{Backlog, Inventory, VIOLATIONS_MAX};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use stowage_base::{Air, Duration, Epc, TagRead, Timestamp};

/// What kind of reader it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Antenna ports.
    pub antennas: u16,
    /// Its name on the network.
    pub hostname: String,
    /// Who may control it.
    pub user: String,
    /// With this password.
    pub password: String,
}

/// How it reaches its broker: what its shell has to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Host of the broker.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Name at the broker.
    pub client: String,
    /// User and password; both empty for none.
    pub login: (String, String),
    /// Seconds between signs of life.
    pub keep_alive_s: u16,
    /// Topic and message of the will; no will without a topic.
    pub will: (String, String),
}

/// Something that a client may not have sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// When it came.
    pub at: Timestamp,
    /// What it asked for.
    pub request: String,
    /// What is wrong with it.
    pub what: String,
}

/// The reader. It goes on with its inventory while nobody is connected.
#[derive(Debug)]
pub struct Reader {
    profile: Profile,
    /// How far its clock is ahead of the true time.
    clock_offset: Duration,
    /// Whether something is at each port.
    connected: Vec<bool>,
    mqtt: Option<MqttBody>,
    /// Whether the broker is there.
    online: bool,
    presets: BTreeMap<String, Body>,
    run: Option<(Body, Inventory)>,
    /// When each tag was last reported by each antenna, where reports are spaced.
    reported: BTreeMap<(Epc, u16), Timestamp>,
    backlog: Backlog,
    violations: Vec<Violation>,
}

/// Where messages for the broker go: topic and payload.
type Out<'a> = &'a mut dyn FnMut(&str, &[u8]);

/// What is wrong with a request, and where.
struct Refusal {
    status: u16,
    property: Option<String>,
    what: String,
}

impl Refusal {
    fn new(status: u16, what: impl Into<String>) -> Self {
        Self { status, property: None, what: what.into() }
    }

    fn of(property: &str, what: impl Into<String>) -> Self {
        Self { status: 400, property: Some(property.to_owned()), what: what.into() }
    }
}

impl Reader {
    /// A reader just switched on, with an antenna at every port, and no broker known to it.
    pub fn new(profile: Profile) -> Self {
        Self {
            connected: vec![true; usize::from(profile.antennas)],
            profile,
            clock_offset: Duration::ZERO,
            mqtt: None,
            online: false,
            presets: BTreeMap::new(),
            run: None,
            reported: BTreeMap::new(),
            backlog: Backlog::default(),
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

    /// Where to connect; `None` while MQTT is off. To be looked at after each request: another one means anew.
    pub fn link(&self) -> Option<Link> {
        let mqtt = self.mqtt.as_ref().filter(|mqtt| mqtt.active)?;
        Some(Link {
            host: mqtt.broker_hostname.clone(),
            port: mqtt.broker_port,
            client: mqtt.client_id.clone(),
            login: (mqtt.username.clone(), mqtt.password.clone()),
            keep_alive_s: mqtt.keep_alive_interval_seconds,
            will: (mqtt.will_topic.clone(), mqtt.will_message.clone()),
        })
    }

    /// What it says when it leaves the broker of its own: topic and message.
    pub fn farewell(&self) -> Option<(String, String)> {
        let mqtt = self.mqtt.as_ref()?;
        let told = !mqtt.will_topic.is_empty() && !mqtt.disconnect_message.is_empty();
        told.then(|| (mqtt.will_topic.clone(), mqtt.disconnect_message.clone()))
    }

    /// Sets how far its clock is ahead of the true time.
    pub fn set_clock_offset(&mut self, offset: Duration) {
        self.clock_offset = offset;
    }

    /// Connects an antenna to `port`, or takes it off. Ports that it hasn't are ignored.
    pub fn set_antenna(&mut self, now: Timestamp, port: u16, connected: bool, out: Out<'_>) {
        let antenna = usize::from(port).checked_sub(1).and_then(|index| self.connected.get_mut(index));
        if antenna.is_some_and(|antenna| std::mem::replace(antenna, connected) != connected) {
            let kind = if connected { "antennaConnected" } else { "antennaDisconnected" };
            self.event(now, kind, json!({ "antennaPort": port }), out);
        }
    }

    /// A digital input changes.
    pub fn set_gpi(&mut self, now: Timestamp, pin: u16, high: bool, out: Out<'_>) {
        let transition = if high { "low-to-high" } else { "high-to-low" };
        self.event(now, "gpiTransition", json!({ "gpi": pin, "transition": transition }), out);
    }

    /// Loses power and gets it again: the inventory is over, what waited for the broker is lost.
    pub fn restart(&mut self) {
        (self.run, self.online) = (None, false);
        self.backlog = Backlog::default();
        self.reported.clear();
    }

    /// Connected to the broker: says so, and sends what has waited.
    pub fn connected(&mut self, now: Timestamp, out: Out<'_>) {
        self.online = true;
        let Some(mqtt) = self.mqtt.clone() else { return };
        if !mqtt.will_topic.is_empty() {
            out(&mqtt.will_topic, mqtt.connect_message.as_bytes());
        }
        let (events, purged) = self.backlog.take();
        for event in events {
            out(&mqtt.event_topic, &event);
        }
        if purged > 0 {
            self.event(now, "overflow", json!({ "eventsPurged": purged, "eventsRemaining": 0 }), out);
        }
    }

    /// The broker is gone.
    pub fn disconnected(&mut self) {
        self.online = false;
    }

    /// Time has passed: the antennas look.
    pub fn tick(&mut self, now: Timestamp, air: &mut dyn Air, out: Out<'_>) {
        let Some((body, mut inventory)) = self.run.take() else { return };
        let mut heard: Vec<TagRead> = Vec::new();
        let connected = |port: u16| self.connected.get(usize::from(port) - 1) == Some(&true);
        inventory.run(now, air, connected, &mut |read| heard.push(*read));
        let interval =
            Duration::from_secs(body.event_config.tag_inventory.tag_reporting.reporting_interval_seconds.into());
        for read in heard {
            if interval > Duration::ZERO {
                let last = self.reported.get(&(read.epc, read.antenna));
                if last.is_some_and(|last| read.at - *last < interval) {
                    continue;
                }
                self.reported.insert((read.epc, read.antenna), read.at);
            }
            let event = self.tag(&body, &read);
            self.event(now, "tagInventory", event, out);
        }
        self.run = Some((body, inventory));
    }

    /// When to call [`tick`](Self::tick) if nothing else happens.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.run.as_ref().map(|(_, inventory)| inventory.next_deadline())
    }

    fn tag(&self, body: &Body, read: &TagRead) -> Value {
        let tells = &body.event_config.tag_inventory;
        let mut event = serde_json::Map::new();
        let mut put = |switch: Switch, name: &str, value: Value| {
            if switch == Switch::Enabled {
                event.insert(name.to_owned(), value);
            }
        };
        put(tells.epc, "epc", base64_url(read.epc.octets()).into());
        put(tells.epc_hex, "epcHex", read.epc.to_string().into());
        put(tells.antenna_port, "antennaPort", read.antenna.into());
        put(tells.peak_rssi_cdbm, "peakRssiCdbm", read.rssi_cdbm.into());
        if let Some(khz) = read.frequency_khz {
            put(tells.frequency, "frequency", khz.into());
        }
        let power = body.antenna_configs.iter().find(|antenna| antenna.antenna_port == read.antenna);
        put(tells.transmit_power_cdbm, "transmitPowerCdbm", power.map_or(0, |power| power.transmit_power_cdbm).into());
        put(tells.last_seen_time, "lastSeenTime", self.stamp(read.at).into());
        if let Some(phase) = read.phase {
            put(
                tells.phase_angle,
                "phaseAngle",
                (f64::from(phase) * 36_000.0 / 4_096.0).round().div_euclid(100.0).into(),
            );
        }
        Value::Object(event)
    }

    /// The time as its own clock shows it, with nanoseconds as the reader writes them.
    fn stamp(&self, at: Timestamp) -> String {
        let at = at + self.clock_offset;
        let text = at.to_string();
        format!("{}.{:06}000Z", text.get(..19).unwrap_or_default(), at.micros().rem_euclid(1_000_000))
    }

    fn event(&mut self, now: Timestamp, kind: &str, event: Value, out: Out<'_>) {
        let message = json!({ "timestamp": self.stamp(now), "eventType": kind, format!("{kind}Event"): event });
        let Some(mqtt) = self.mqtt.as_ref().filter(|mqtt| mqtt.active) else { return };
        let payload = message.to_string().into_bytes();
        if self.online {
            out(&mqtt.event_topic, &payload);
        } else {
            self.backlog.keep(payload, mqtt.event_buffer_size as usize);
        }
    }

    /// A request came over HTTP, with its `Authorization` header if it had one.
    pub fn request(
        &mut self,
        now: Timestamp,
        method: &str,
        path: &str,
        login: Option<&str>,
        body: &[u8],
        out: Out<'_>,
    ) -> Response {
        let answer = self.answer(now, method, path, login, body, out);
        let json = |status, value: Value| Response { status, body: value.to_string().into_bytes() };
        match answer {
            Ok(Some(value)) => json(200, value),
            Ok(None) => Response { status: 204, body: Vec::new() },
            Err(Refusal { status, property, what }) => {
                if self.violations.len() < VIOLATIONS_MAX {
                    let request = format!("{method} {path}");
                    self.violations.push(Violation { at: now, request, what: what.clone() });
                }
                json(status, json!({ "message": what, "invalidPropertyId": property }))
            }
        }
    }

    fn answer(
        &mut self,
        now: Timestamp,
        method: &str,
        path: &str,
        login: Option<&str>,
        body: &[u8],
        out: Out<'_>,
    ) -> Result<Option<Value>, Refusal> {
        if login != Some(&authorization(&self.profile.user, &self.profile.password)) {
            return Err(Refusal::new(401, "user and password are needed"));
        }
        let missing = || Refusal::new(404, format!("there is no {path}"));
        let path = path.strip_prefix(API).ok_or_else(missing)?;
        let method = [Method::Get, Method::Put, Method::Post].into_iter().find(|known| known.as_str() == method);
        let presets = "/profiles/inventory/presets/";
        match (method, path) {
            (Some(Method::Get), "/status") => Ok(Some(json!({
                "status": if self.run.is_some() { "running" } else { "idle" },
                "time": self.stamp(now),
                "serialNumber": "37025450820",
                "mqttBrokerConnectionStatus": if self.online { "connected" } else { "disconnected" },
                "mqttTlsAuthentication": "none",
            }))),
            (Some(Method::Get), "/system") => {
                Ok(Some(json!({ "manufacturer": "Impinj", "productModel": "R700", "hostname": self.profile.hostname })))
            }
            (Some(Method::Get), "/mqtt") => {
                let Some(mqtt) = &self.mqtt else { return Ok(Some(json!({ "active": false }))) };
                let mut told = json!(mqtt);
                if let Some(told) = told.as_object_mut() {
                    told.remove("password");
                }
                Ok(Some(told))
            }
            (Some(Method::Put), "/mqtt") => {
                self.mqtt = Some(self.mqtt_body(body)?);
                Ok(None)
            }
            (Some(Method::Post), "/profiles/stop") => {
                if self.run.take().is_some() {
                    self.event(now, "inventoryStatus", json!({ "status": "idle" }), out);
                }
                Ok(None)
            }
            (Some(Method::Post), "/profiles/inventory/start") => {
                let body = self.inventory_body(body)?;
                self.start(now, body, out)
            }
            (Some(Method::Get), "/profiles/inventory/presets") => {
                Ok(Some(json!(self.presets.keys().collect::<Vec<_>>())))
            }
            (Some(method), path) => {
                let id = path.strip_prefix(presets).ok_or_else(missing)?;
                match (method, id.strip_suffix("/start")) {
                    (Method::Post, Some(id)) => {
                        let body = self.presets.get(id).ok_or_else(missing)?.clone();
                        self.start(now, body, out)
                    }
                    (Method::Get, None) => Ok(Some(json!(self.presets.get(id).ok_or_else(missing)?))),
                    (Method::Put, None) => {
                        let body = self.inventory_body(body)?;
                        self.presets.insert(id.to_owned(), body);
                        Ok(None)
                    }
                    (Method::Post, None) | (Method::Get | Method::Put, Some(_)) => {
                        Err(Refusal::new(405, "not this way"))
                    }
                }
            }
            (None, _) => Err(Refusal::new(405, "not this way")),
        }
    }

    fn start(&mut self, now: Timestamp, body: Body, out: Out<'_>) -> Result<Option<Value>, Refusal> {
        if self.run.is_some() {
            return Err(Refusal::new(409, "an inventory runs already"));
        }
        let antennas = body.antenna_configs.iter().map(|antenna| (antenna.antenna_port, antenna.transmit_power_cdbm));
        self.run = Some((body.clone(), Inventory::new(now, antennas.collect())));
        self.event(now, "inventoryStatus", json!({ "status": "running" }), out);
        for antenna in &body.antenna_configs {
            if self.connected.get(usize::from(antenna.antenna_port) - 1) == Some(&false) {
                self.event(now, "antennaDisconnected", json!({ "antennaPort": antenna.antenna_port }), out);
            }
        }
        Ok(None)
    }

    fn mqtt_body(&self, body: &[u8]) -> Result<MqttBody, Refusal> {
        let body: MqttBody = serde_json::from_slice(body).map_err(|error| Refusal::new(400, error.to_string()))?;
        for (name, text) in [
            ("brokerHostname", &body.broker_hostname),
            ("clientId", &body.client_id),
            ("eventTopic", &body.event_topic),
        ] {
            if text.is_empty() || text.contains(['#', '+']) {
                return Err(Refusal::of(name, format!("{name} is {text:?}")));
            }
        }
        if body.broker_port == 0 {
            return Err(Refusal::of("brokerPort", "brokerPort is 0"));
        }
        if body.event_quality_of_service > 2 || body.will_quality_of_service > 2 {
            return Err(Refusal::of("eventQualityOfService", "quality of service goes from 0 to 2"));
        }
        if body.tls_enabled {
            return Err(Refusal::of("tlsEnabled", "this reader has no certificate authority for TLS"));
        }
        Ok(body)
    }

    fn inventory_body(&self, body: &[u8]) -> Result<Body, Refusal> {
        let body: Body = serde_json::from_slice(body).map_err(|error| Refusal::new(400, error.to_string()))?;
        if body.antenna_configs.is_empty() {
            return Err(Refusal::of("antennaConfigs", "no antenna is given"));
        }
        for (index, antenna) in body.antenna_configs.iter().enumerate() {
            let AntennaConfig {
                antenna_port, transmit_power_cdbm, inventory_session, estimated_tag_population, ..
            } = antenna;
            let before = &body.antenna_configs[..index];
            let twice = before.iter().any(|other| other.antenna_port == *antenna_port);
            let checks = [
                ("antennaPort", (1..=self.profile.antennas).contains(antenna_port) && !twice),
                ("transmitPowerCdbm", (1_000..=3_300).contains(transmit_power_cdbm)),
                ("inventorySession", *inventory_session <= 3),
                ("inventorySearchMode", SEARCH_MODES.contains(&antenna.inventory_search_mode.as_str())),
                ("estimatedTagPopulation", *estimated_tag_population > 0),
            ];
            if let Some((property, _)) = checks.into_iter().find(|(_, fits)| !fits) {
                let what = format!("antennaConfigs[{index}].{property} is out of range");
                return Err(Refusal::of(&format!("antennaConfigs[{index}].{property}"), what));
            }
        }
        Ok(body)
    }
}

const SEARCH_MODES: [&str; 5] = [
    "single-target",
    "dual-target",
    "single-target-with-tagfocus",
    "single-target-b-to-a",
    "dual-target-with-b-to-a-select",
];

/// RFC 4648 §5, padded.
fn base64_url(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    super::config::base64(octets, DIGITS)
}
