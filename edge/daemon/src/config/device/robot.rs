//! A mobile robot.

use super::broker;
use crate::config::read::{At, Found, Section};
use crate::config::url::Broker;
use stowage_base::Code;
use stowage_protocol::vda5050::{Base, Version};

/// A mobile robot that speaks VDA 5050 over MQTT.
#[derive(Debug, Clone)]
pub struct Robot {
    /// The broker at which it is found.
    pub broker: Broker,
    /// The version that it speaks.
    pub version: Version,
    /// The topics' first level.
    pub interface: String,
    /// Who built it, as in its topics.
    pub manufacturer: String,
    /// Its serial number, as in its topics.
    pub serial: String,
    /// The map on which its positions are the site's.
    pub map: String,
    /// Where it stands as long as it has told nothing: a node of the site's roadmap.
    pub start: Option<Code>,
}

/// Where a robot stands in the file.
pub(in crate::config) struct Place {
    pub(in crate::config) device: usize,
    pub(in crate::config) at: At,
    pub(in crate::config) start: Option<Found<Code>>,
}

const VERSIONS: &[(&str, Version)] = &[("2.0", Version::V2_0), ("2.1", Version::V2_1), ("3.0", Version::V3_0)];

pub(super) fn read(section: &mut Section<'_>, device: usize, robots: &mut Vec<Place>) -> Robot {
    section.require(&[
        ("url", "mqtt://HOST or mqtts://USER:PASSWORD@HOST:PORT"),
        ("vda5050", "the version that it speaks, \"2.0\", \"2.1\" or \"3.0\""),
        ("manufacturer", "who built it, as in its topics"),
        ("serial", "its serial number, as in its topics"),
    ]);
    let version = section.choice("vda5050", VERSIONS).map_or(Version::V2_1, |version| version.value);
    let mut level = |key: &'static str| {
        let text = section.text(key)?;
        if !Base::is_level(&text.value) {
            section.file.fault(&text.at, "not fit for a topic: 1 or more characters, none of '/', '+', '#' and '$'");
        }
        Some(text.value)
    };
    let (interface, manufacturer, serial) = (level("interface"), level("manufacturer"), level("serial"));
    let map = section.text("map").map_or_else(|| "floor".into(), |map| map.value);
    let start = section.code("start");
    robots.push(Place { device, at: section.at.clone(), start: start.clone() });
    Robot {
        broker: broker(section),
        version,
        interface: interface.unwrap_or_else(|| version.interface().into()),
        manufacturer: manufacturer.unwrap_or_default(),
        serial: serial.unwrap_or_default(),
        map,
        start: start.map(|start| start.value),
    }
}
