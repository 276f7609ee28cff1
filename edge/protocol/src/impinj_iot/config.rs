//! What goes over REST: requests, answers, and the two configurations that the edge writes.

use super::edge::Settings;
use serde::{Deserialize, Serialize};

/// An HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Replaces.
    Put,
    /// Does.
    Post,
}

impl Method {
    /// As HTTP writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
        }
    }
}

/// One request to the reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Names its answer.
    pub id: u32,
    /// The method.
    pub method: Method,
    /// The path, from the root.
    pub path: String,
    /// JSON, or nothing.
    pub body: Option<Vec<u8>>,
}

/// What a reader answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// HTTP's status code.
    pub status: u16,
    /// JSON, or nothing.
    pub body: Vec<u8>,
}

/// The value of the header `Authorization` for this user (RFC 7617).
pub fn authorization(user: &str, password: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    format!("Basic {}", base64(format!("{user}:{password}").as_bytes(), DIGITS))
}

/// Padded base64 with these digits.
pub(super) fn base64(octets: &[u8], digits: &[u8; 64]) -> String {
    let mut text = String::new();
    for chunk in octets.chunks(3) {
        let octet = |at| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(if digit <= chunk.len() { char::from(digits[value as usize]) } else { '=' });
        }
    }
    text
}

/// Where the reader publishes, and under which name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MqttSettings {
    /// The broker, as the reader finds it.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// Whether the reader speaks TLS with it.
    pub tls: bool,
    /// The reader's name at the broker.
    pub client: String,
    /// User and password there.
    pub login: Option<(String, String)>,
    /// Where its events go.
    pub event_topic: String,
    /// Where it says that it came or went.
    pub will_topic: String,
}

/// What a reader publishes to its will topic when the broker misses it.
pub(super) const WILL_MESSAGE: &str = "connection lost";
/// … when it connects …
pub(super) const CONNECT_MESSAGE: &str = "connected";
/// … and when it leaves of its own.
pub(super) const DISCONNECT_MESSAGE: &str = "disconnected";

/// The body of GET and PUT `/mqtt`: the members that matter here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MqttBody {
    #[serde(default)]
    pub(super) active: bool,
    pub(super) broker_hostname: String,
    #[serde(default = "default_port")]
    pub(super) broker_port: u16,
    #[serde(default)]
    pub(super) tls_enabled: bool,
    pub(super) client_id: String,
    #[serde(default)]
    pub(super) username: String,
    /// Readers don't tell it.
    #[serde(default)]
    pub(super) password: String,
    pub(super) event_topic: String,
    #[serde(default)]
    pub(super) event_quality_of_service: u8,
    #[serde(default)]
    pub(super) will_topic: String,
    #[serde(default = "default_will")]
    pub(super) will_message: String,
    #[serde(default)]
    pub(super) will_quality_of_service: u8,
    #[serde(default = "default_connect")]
    pub(super) connect_message: String,
    #[serde(default)]
    pub(super) disconnect_message: String,
    #[serde(default = "default_keep_alive")]
    pub(super) keep_alive_interval_seconds: u16,
    #[serde(default)]
    pub(super) clean_session: bool,
    #[serde(default = "default_buffer")]
    pub(super) event_buffer_size: u32,
}

fn default_port() -> u16 {
    1883
}

fn default_will() -> String {
    WILL_MESSAGE.to_owned()
}

fn default_connect() -> String {
    CONNECT_MESSAGE.to_owned()
}

fn default_keep_alive() -> u16 {
    60
}

fn default_buffer() -> u32 {
    10_240
}

impl MqttBody {
    pub(super) fn of(settings: &MqttSettings) -> Self {
        let (username, password) = settings.login.clone().unwrap_or_default();
        Self {
            active: true,
            broker_hostname: settings.host.clone(),
            broker_port: settings.port,
            tls_enabled: settings.tls,
            client_id: settings.client.clone(),
            username,
            password,
            event_topic: settings.event_topic.clone(),
            event_quality_of_service: 1,
            will_topic: settings.will_topic.clone(),
            will_message: default_will(),
            will_quality_of_service: 1,
            connect_message: default_connect(),
            disconnect_message: DISCONNECT_MESSAGE.to_owned(),
            keep_alive_interval_seconds: 5,
            // What was read while nobody listened is late when it comes.
            clean_session: true,
            event_buffer_size: 1_000,
        }
    }

    /// Whether a reader that tells `other` of itself is as wanted.
    pub(super) fn suits(&self, other: &Self) -> bool {
        let password = self.password.clone();
        *self == Self { password, ..other.clone() }
    }
}

/// The body of a request to start an inventory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Body {
    /// What is told of each tag.
    #[serde(default)]
    pub(super) event_config: EventConfig,
    pub(super) antenna_configs: Vec<AntennaConfig>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventConfig {
    #[serde(default)]
    pub(super) common: Common,
    #[serde(default)]
    pub(super) tag_inventory: TagInventory,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Common {
    pub(super) hostname: Switch,
}

/// Whether a member is told; as the reader has it if left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Switch {
    Enabled,
    #[default]
    Disabled,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct TagInventory {
    pub(super) tag_reporting: TagReporting,
    pub(super) epc: Switch,
    pub(super) epc_hex: Switch,
    pub(super) tid: Switch,
    pub(super) antenna_port: Switch,
    pub(super) transmit_power_cdbm: Switch,
    pub(super) peak_rssi_cdbm: Switch,
    pub(super) frequency: Switch,
    pub(super) pc: Switch,
    pub(super) last_seen_time: Switch,
    pub(super) phase_angle: Switch,
}

impl Default for TagInventory {
    fn default() -> Self {
        let (on, off) = (Switch::Enabled, Switch::Disabled);
        Self {
            tag_reporting: TagReporting::default(),
            epc: on,
            epc_hex: off,
            tid: on,
            antenna_port: on,
            transmit_power_cdbm: on,
            peak_rssi_cdbm: on,
            frequency: on,
            pc: off,
            last_seen_time: off,
            phase_angle: off,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct TagReporting {
    /// 0 reports each reading.
    pub(super) reporting_interval_seconds: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AntennaConfig {
    pub(super) antenna_port: u16,
    pub(super) transmit_power_cdbm: i16,
    pub(super) rf_mode: u16,
    pub(super) inventory_session: u8,
    pub(super) inventory_search_mode: String,
    pub(super) estimated_tag_population: u32,
}

impl Body {
    pub(super) fn of(settings: &Settings) -> Self {
        let antenna = |antenna: &crate::reader_mqtt::AntennaSettings| AntennaConfig {
            antenna_port: antenna.port,
            transmit_power_cdbm: antenna.power_cdbm,
            rf_mode: settings.rf_mode,
            inventory_session: settings.session,
            // Tags are read in both states, so that one that stays is read again and again.
            inventory_search_mode: "dual-target".to_owned(),
            estimated_tag_population: settings.population.into(),
        };
        let (on, off) = (Switch::Enabled, Switch::Disabled);
        let tag_inventory = TagInventory {
            tag_reporting: TagReporting { reporting_interval_seconds: settings.interval_s },
            epc: off,
            epc_hex: on,
            tid: off,
            transmit_power_cdbm: off,
            last_seen_time: on,
            phase_angle: on,
            ..TagInventory::default()
        };
        Self {
            event_config: EventConfig { common: Common::default(), tag_inventory },
            antenna_configs: settings.watch.antennas.iter().map(antenna).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_written_as_http_wants_them() {
        // RFC 7617 §2.
        assert_eq!(authorization("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(authorization("root", "impinj"), "Basic cm9vdDppbXBpbmo=");
        assert_eq!(authorization("a", "b"), "Basic YTpi");
    }
}
