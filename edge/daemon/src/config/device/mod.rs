//! `[[device]]`: what stands around the edge, and the way to it. Each kind has a file of its own here.

mod impinj_iot;
mod llrp;
mod mercury;
pub(super) mod robot;
mod scanner;
mod sorter_modbus;
mod sorter_mqtt;
mod zebra_iotc;

pub use impinj_iot::ImpinjIot;
pub use llrp::{Antenna, Gate, Llrp, Region, Way};
pub use mercury::Mercury;
pub use robot::Robot;
pub use scanner::Scanner;
pub use sorter_modbus::{ModbusLine, Parity, SorterModbus};
pub use sorter_mqtt::{Chutes, SorterMqtt};
pub use zebra_iotc::ZebraIotc;

use super::endpoints::{self, Endpoints};
use super::read::{At, Names, Section};
use super::url::{self, Broker};
use crate::tls;
use std::collections::BTreeMap;
use stowage_base::{Code, Duration};
use stowage_core::roadmap::NodeIx;
use stowage_core::site;

/// A device and the way to it.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its id.
    pub id: Code,
    /// What it is, and the way to it.
    pub kind: DeviceKind,
}

/// What a device is, and the way to it.
#[derive(Debug, Clone)]
pub enum DeviceKind {
    /// A fixed reader that speaks LLRP.
    Llrp(Llrp),
    /// A UART reader module that speaks the Mercury protocol.
    Mercury(Mercury),
    /// An Impinj reader with its IoT device interface: MQTT and REST.
    ImpinjIot(ImpinjIot),
    /// A Zebra reader with its IoT Connector: MQTT.
    ZebraIotc(ZebraIotc),
    /// A sorter that speaks Stowage's JSON contract over MQTT.
    SorterMqtt(SorterMqtt),
    /// A sorter whose PLC speaks Modbus.
    SorterModbus(Box<SorterModbus>),
    /// A handheld scanner.
    Scanner(Scanner),
    /// A mobile robot that speaks VDA 5050.
    Robot(Robot),
}

impl DeviceKind {
    /// The antenna ports of a reader; `None` for other devices.
    pub(super) fn ports(&self) -> Option<Vec<u16>> {
        match self {
            Self::Llrp(llrp) => Some(llrp.antennas.iter().map(|antenna| antenna.port).collect()),
            Self::ImpinjIot(ImpinjIot { antennas, .. }) | Self::ZebraIotc(ZebraIotc { antennas, .. }) => {
                Some(antennas.iter().map(|antenna| antenna.port).collect())
            }
            Self::Mercury(mercury) => Some(mercury.antennas.ports().iter().copied().map(u16::from).collect()),
            Self::SorterMqtt(_) | Self::SorterModbus(_) | Self::Scanner(_) | Self::Robot(_) => None,
        }
    }

    /// The chutes of a sorter; `None` for other devices.
    pub(super) fn chutes(&self) -> Option<&Chutes> {
        match self {
            Self::SorterMqtt(sorter) => Some(&sorter.chutes),
            Self::SorterModbus(sorter) => Some(&sorter.chutes),
            Self::Llrp(_)
            | Self::Mercury(_)
            | Self::ImpinjIot(_)
            | Self::ZebraIotc(_)
            | Self::Scanner(_)
            | Self::Robot(_) => None,
        }
    }

    /// What the core needs to know of it.
    fn for_core(&self) -> site::DeviceKind {
        let sorter = |chutes: &Chutes| site::DeviceKind::Sorter {
            chutes: chutes.all.clone(),
            hospital: chutes.hospital.clone(),
        };
        match self {
            Self::Llrp(_) | Self::Mercury(_) | Self::ImpinjIot(_) | Self::ZebraIotc(_) => site::DeviceKind::Reader,
            Self::SorterMqtt(of) => sorter(&of.chutes),
            Self::SorterModbus(of) => sorter(&of.chutes),
            Self::Scanner(_) => site::DeviceKind::Scanner,
            Self::Robot(_) => site::DeviceKind::Robot { start: None },
        }
    }
}

/// The devices as the site's file may refer to them.
pub(super) struct Devices {
    pub(super) names: Names,
    /// In the file's order; a kind of `None` is a fault there.
    pub(super) list: Vec<(Code, Option<DeviceKind>)>,
    /// Where each reader's antennas stand in the file: by device and port.
    pub(super) antennas: BTreeMap<(usize, u16), At>,
    /// Where robots stand in the file.
    pub(super) robots: Vec<robot::Place>,
}

impl Devices {
    /// What the core needs to know of them.
    ///
    /// `nodes` are the roadmap's.
    pub(super) fn for_core(&self, nodes: &Names) -> Vec<site::Device> {
        let device = |(id, kind): &(Code, Option<DeviceKind>)| site::Device {
            code: id.clone(),
            kind: match kind {
                Some(DeviceKind::Robot(Robot { start, .. })) => {
                    let start = start.as_ref().and_then(|start| nodes.index(start));
                    site::DeviceKind::Robot { start: start.map(|index| NodeIx(index as u16)) }
                }
                kind => kind.as_ref().map_or(site::DeviceKind::Scanner, DeviceKind::for_core),
            },
        };
        self.list.iter().map(device).collect()
    }
}

/// Where scanners' keys stand, by key.
type Keys = BTreeMap<[u8; 32], usize>;

/// Where the antennas of one reader stand in the file.
struct Places<'a> {
    device: usize,
    all: &'a mut BTreeMap<(usize, u16), At>,
}

impl Places<'_> {
    /// Notes that the antenna at `port` stands at `at`; `false` if it stands elsewhere already.
    fn take(&mut self, port: u16, at: &At) -> bool {
        self.all.insert((self.device, port), at.clone()).is_none()
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Llrp,
    Mercury,
    ImpinjIot,
    ZebraIotc,
    SorterMqtt,
    SorterModbus,
    Scanner,
    Robot,
}

const KINDS: &[(&str, Kind)] = &[
    ("llrp", Kind::Llrp),
    ("mercury", Kind::Mercury),
    ("impinj-iot", Kind::ImpinjIot),
    ("zebra-iotc", Kind::ZebraIotc),
    ("sorter-mqtt", Kind::SorterMqtt),
    ("sorter-modbus", Kind::SorterModbus),
    ("scanner", Kind::Scanner),
    ("robot", Kind::Robot),
];

/// Reads the devices of an edge's file.
pub(super) fn read(root: &mut Section<'_>, endpoints: &mut Endpoints) -> Devices {
    let mut devices =
        Devices { names: Names::new("device"), list: Vec::new(), antennas: BTreeMap::new(), robots: Vec::new() };
    let mut keys = Keys::new();
    let kinds: Vec<_> = KINDS.iter().map(|(name, _)| format!("{name:?}")).collect();
    let kinds = kinds.join(", ");
    for (index, mut section) in root.sections("device").into_iter().enumerate() {
        let file = section.file;
        let stands = endpoints::Places::of(&section);
        section.require(&[("id", "a short name"), ("kind", &kinds)]);
        let id = section.id("id").unwrap_or_default();
        devices.names.add(file, &id, index);
        let places = &mut Places { device: index, all: &mut devices.antennas };
        // Where the kind isn't known, neither are the keys: the rest of the section is left alone.
        let kind = section.choice("kind", KINDS).map(|kind| match kind.value {
            Kind::Llrp => DeviceKind::Llrp(llrp::read(&mut section, places)),
            Kind::Mercury => DeviceKind::Mercury(mercury::read(&mut section, places)),
            Kind::ImpinjIot => DeviceKind::ImpinjIot(impinj_iot::read(&mut section, places)),
            Kind::ZebraIotc => DeviceKind::ZebraIotc(zebra_iotc::read(&mut section, places)),
            Kind::SorterMqtt => DeviceKind::SorterMqtt(sorter_mqtt::read(&mut section)),
            Kind::SorterModbus => DeviceKind::SorterModbus(Box::new(sorter_modbus::read(&mut section))),
            Kind::Scanner => DeviceKind::Scanner(scanner::read(&mut section, &mut keys)),
            Kind::Robot => DeviceKind::Robot(robot::read(&mut section, index, &mut devices.robots)),
        });
        if let Some(kind) = &kind {
            section.end();
            // A second device of one id is a fault by that alone.
            if devices.names.index(&id.value).is_none_or(|first| first == index) {
                endpoints.device(file, &stands, &id.value, kind);
            }
        }
        devices.list.push((id.value, kind));
    }
    devices
}

/// The broker that a section's `url` and `ca` name.
pub(super) fn broker(section: &mut Section<'_>) -> Broker {
    let file = section.file;
    let url = section.url("url");
    let ca = section.text("ca");
    let Some(url) = url else { return Broker::default() };
    let (broker, tls) = match url::mqtt(&url.value) {
        Ok(read) => read,
        Err(message) => {
            file.fault(&url.at, message);
            return Broker::default();
        }
    };
    let ca = match (ca, tls) {
        (None, false) => None,
        (None, true) => {
            let mend = "wants to know whom to trust: give `ca`, the PEM file with the certificate of the authority that made the broker's";
            file.fault(&url.at, mend);
            None
        }
        (Some(ca), false) => {
            file.fault(&ca.at, "is for TLS: give mqtts:// as url, or leave it out");
            None
        }
        (Some(ca), true) => {
            let path = file.path.parent().unwrap_or(&file.path).join(&ca.value);
            if let Err(why) = tls::client(&path) {
                file.fault(&ca.at, why.to_string());
            }
            Some(path)
        }
    };
    Broker { ca, ..broker }
}

/// A topic to be published to: no wildcard, not empty.
fn topic(section: &mut Section<'_>, key: &'static str) -> Option<String> {
    let topic = section.text(key)?;
    if topic.value.is_empty() || topic.value.contains(['#', '+', '\0']) || topic.value.len() > 1_024 {
        section.file.fault(&topic.at, "not a topic: give levels such as readers/gate-3, without # and +");
        return None;
    }
    Some(topic.value)
}

/// In this time each antenna of a smart reader has had its turn.
fn turn(section: &mut Section<'_>) -> Duration {
    Duration::from_millis(section.number("turn_ms", 50..=60_000).map_or(500, |turn| turn.value))
}

/// The `url` of a section, as `parse` understands it.
pub(super) fn url<T>(section: &mut Section<'_>, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
    let url = section.url("url")?;
    parse(&url.value).map_err(|message| section.file.fault(&url.at, message)).ok()
}
