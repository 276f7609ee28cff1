//! A Zebra reader with its IoT Connector.

use super::{Antenna, Places, broker, llrp, topic, turn};
use crate::config::read::Section;
use crate::config::url::Broker;
use stowage_base::Duration;
use stowage_protocol::zebra_iotc::Topics;

/// A Zebra reader with its IoT Connector: everything goes over MQTT.
#[derive(Debug, Clone)]
pub struct ZebraIotc {
    /// The broker at which it is found.
    pub broker: Broker,
    /// Its topics there.
    pub topics: Topics,
    /// The antennas to use, at least one, by port.
    pub antennas: Vec<Antenna>,
    /// In this time each antenna has had its turn.
    pub turn: Duration,
    /// How long the reader may hold tag data back to send it in batches.
    pub batch: Duration,
    /// Gen2 inventory session, 0 to 3.
    pub session: u8,
    /// How many tags the reader should expect in view of one antenna, 1 to 65,535.
    pub population: u16,
    /// Report a tag at most so often, in seconds; 0 reports each reading.
    pub interval_s: u16,
}

pub(super) fn read(section: &mut Section<'_>, places: &mut Places<'_>) -> ZebraIotc {
    section.require(&[("url", "mqtt://HOST or mqtts://USER:PASSWORD@HOST:PORT"), ("antennas", llrp::ANTENNAS)]);
    ZebraIotc {
        broker: broker(section),
        topics: topics(section),
        antennas: llrp::antennas(section, places),
        turn: turn(section),
        batch: Duration::from_millis(section.number("batch_ms", 0..=60_000).map_or(0, |batch| batch.value)),
        session: section.number("session", 0..=3).map_or(1, |session| session.value),
        population: section.number("population", 1..=65_535).map_or(32, |population| population.value),
        interval_s: section.number("interval_s", 0..=3_600).map_or(0, |interval| interval.value),
    }
}

/// The topics below `topics`, each of which a key of its own may replace; without `topics` each is needed.
fn topics(section: &mut Section<'_>) -> Topics {
    let base = topic(section, "topics");
    if base.is_none() {
        let topic = |key| (key, "the topic, or `topics` as what all of them lie below");
        section.require(
            &["data", "control_command", "control_response", "management_command", "management_response", "events"]
                .map(topic),
        );
    }
    let below = base.as_deref().map(Topics::below);
    let will = below.as_ref().and_then(|below| below.will.clone());
    let mut own = |key, below: Option<&String>| topic(section, key).or_else(|| below.cloned()).unwrap_or_default();
    let below = below.as_ref();
    let topics = Topics {
        data: own("data", below.map(|below| &below.data)),
        control_command: own("control_command", below.map(|below| &below.control_command)),
        control_response: own("control_response", below.map(|below| &below.control_response)),
        management_command: own("management_command", below.map(|below| &below.management_command)),
        management_response: own("management_response", below.map(|below| &below.management_response)),
        management_event: own("events", below.map(|below| &below.management_event)),
        will: None,
    };
    Topics { will: topic(section, "will").or(will), ..topics }
}
