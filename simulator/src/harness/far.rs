//! The devices' own ends.

use super::START;
use super::line::Packet;
use super::smart::SmartReader;
use super::worker::Worker;
use crate::device::plc_settings;
use crate::world::World;
use stowage::config::{self, DeviceKind};
use stowage_base::{Air, Duration, ReaderDevice, Timestamp};
use stowage_core::site::DeviceIx;
use stowage_link::Random;
use stowage_mercury::{Module, ModuleSettings, Opcode, Region, Status};
use stowage_protocol::llrp::reader::{Profile, Reader, Vendor, Violation};
use stowage_protocol::modbus_sorter::Plc;
use stowage_protocol::sorter_mqtt::{self, Sorter, SorterSettings};
use stowage_protocol::{impinj_iot, zebra_iotc};

/// The belt of every simulated sorter.
pub(super) const TO_DECISION: Duration = Duration::from_millis(1_500);
const TO_CHUTES: Duration = Duration::from_millis(1_000);
const BETWEEN_CHUTES: Duration = Duration::from_millis(500);

/// LLRP's message type of a keepalive.
const KEEPALIVE: u16 = 62;

/// The simulated module knows all of these radio rules.
const REGIONS: &[Region] = &[
    Region::NORTH_AMERICA,
    Region::NORTH_AMERICA_2,
    Region::NORTH_AMERICA_3,
    Region::EUROPE,
    Region::EUROPE_2,
    Region::EUROPE_3,
    Region::INDIA,
    Region::JAPAN,
    Region::KOREA,
    Region::KOREA_2,
    Region::CHINA,
    Region::CHINA_840,
    Region::AUSTRALIA,
    Region::NEW_ZEALAND,
];

/// A device.
pub(super) enum Far {
    Llrp(Box<Reader>),
    Mercury(Box<Module>),
    Smart(SmartReader),
    Sorter(Box<Sorter>),
    Plc(Box<Plc>),
    Scanner(Box<Worker>),
    /// Robots have no far end in virtual time: to the edge they are switched off.
    Away,
}

impl Far {
    /// The device as `config` says that it should be.
    pub(super) fn new(config: &config::Device, number: usize) -> Self {
        match &config.kind {
            DeviceKind::Llrp(config::Llrp { antennas, .. }) => {
                let ports = antennas.iter().map(|antenna| antenna.port).max().unwrap_or(1);
                let profile = Profile::of(Vendor::Impinj, ports);
                Self::Llrp(Box::new(Reader::new(profile)))
            }
            DeviceKind::Mercury(config::Mercury { antennas, .. }) => {
                let ports = antennas.ports().iter().copied().max().unwrap_or(1);
                let settings = ModuleSettings { ports, regions: REGIONS, ..ModuleSettings::default() };
                Self::Mercury(Box::new(Module::new(settings)))
            }
            DeviceKind::ImpinjIot(config::ImpinjIot { antennas, control, .. }) => {
                let (user, password) = (control.login.0.clone(), control.login.1.expose().clone());
                let login = impinj_iot::authorization(&user, &password);
                let antennas = antennas.iter().map(|antenna| antenna.port).max().unwrap_or(1);
                let profile = impinj_iot::Profile { antennas, hostname: config.id.to_string(), user, password };
                let reader = Box::new(impinj_iot::Reader::new(profile));
                Self::Smart(SmartReader::Impinj { reader, login })
            }
            DeviceKind::ZebraIotc(config::ZebraIotc { antennas, topics, .. }) => {
                let antennas = antennas.iter().map(|antenna| antenna.port).max().unwrap_or(1);
                let profile = zebra_iotc::Profile { antennas, topics: topics.clone(), batching: false };
                Self::Smart(SmartReader::Zebra(Box::new(zebra_iotc::Reader::new(profile))))
            }
            DeviceKind::SorterMqtt(config::SorterMqtt { chutes, .. }) => {
                Self::Sorter(Box::new(Sorter::new(SorterSettings {
                    chutes: chutes.all.clone(),
                    hospital: chutes.hospital.clone(),
                    to_decision: TO_DECISION,
                    to_chutes: TO_CHUTES,
                    between_chutes: BETWEEN_CHUTES,
                })))
            }
            DeviceKind::SorterModbus(plc) => {
                let settings = plc_settings(plc, plc.line.framing(), [TO_DECISION, TO_CHUTES, BETWEEN_CHUTES]);
                Self::Plc(Box::new(Plc::new(settings, 1, START)))
            }
            DeviceKind::Scanner(scanner) => {
                Self::Scanner(Box::new(Worker::new(config.id.clone(), *scanner.key.expose(), number)))
            }
            DeviceKind::Robot(_) => Self::Away,
        }
    }

    pub(super) fn connected(&mut self, now: Timestamp, random: Random) -> Vec<Packet> {
        let mut out = Vec::new();
        match self {
            Self::Llrp(reader) => reader.connected(now, &mut |octets| out.push(stream(octets))),
            Self::Mercury(module) => module.connected(now, &mut |octets| out.push(stream(octets))),
            Self::Smart(reader) => reader.connected(now, &mut out),
            Self::Sorter(sorter) => sorter.connected(now, &mut |topic, octets| out.push(message(topic, octets))),
            Self::Plc(plc) => plc.connected(),
            Self::Scanner(worker) => out = worker.connected(now, random),
            Self::Away => {}
        }
        out
    }

    pub(super) fn receive(&mut self, now: Timestamp, packet: &Packet, world: &mut World, ix: DeviceIx) -> Vec<Packet> {
        let mut out = Vec::new();
        let octets = &packet.octets;
        match self {
            Self::Llrp(reader) => {
                reader.receive(now, octets, &mut world.air(ix), &mut |octets| out.push(stream(octets)))
            }
            Self::Mercury(module) => {
                module.receive(now, octets, &mut world.air(ix), &mut |octets| out.push(stream(octets)));
            }
            Self::Smart(reader) => reader.receive(now, packet, &mut out),
            Self::Sorter(sorter) => {
                let send = &mut |topic: &str, octets: &[u8]| out.push(message(topic, octets));
                sorter.receive(now, &packet.topic, octets, send);
            }
            Self::Plc(plc) => plc.receive(now, octets, &mut |octets| out.push(stream(octets))),
            Self::Scanner(worker) => out = worker.receive(now, octets),
            Self::Away => {}
        }
        out
    }

    pub(super) fn tick(&mut self, now: Timestamp, world: &mut World, ix: DeviceIx) -> Vec<Packet> {
        let mut out = Vec::new();
        let mut air = world.air(ix);
        let air: &mut dyn Air = &mut air;
        match self {
            Self::Llrp(reader) => reader.tick(now, air, &mut |octets| out.push(stream(octets))),
            Self::Mercury(module) => module.tick(now, air, &mut |octets| out.push(stream(octets))),
            Self::Smart(reader) => reader.tick(now, air, &mut out),
            Self::Sorter(sorter) => sorter.tick(now, &mut |topic, octets| out.push(message(topic, octets))),
            Self::Plc(plc) => plc.tick(now, &mut |octets| out.push(stream(octets))),
            Self::Scanner(worker) => out = worker.tick(now),
            Self::Away => {}
        }
        out
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Llrp(reader) => reader.next_deadline(),
            Self::Mercury(module) => module.next_deadline(),
            Self::Smart(reader) => reader.next_deadline(),
            Self::Sorter(sorter) => sorter.next_deadline(),
            Self::Plc(plc) => plc.next_deadline(),
            Self::Scanner(worker) => worker.next_deadline(),
            Self::Away => None,
        }
    }

    pub(super) fn disconnected(&mut self, now: Timestamp) {
        match self {
            Self::Llrp(reader) => reader.disconnected(now),
            Self::Mercury(module) => module.disconnected(now),
            Self::Smart(reader) => reader.disconnected(),
            Self::Sorter(sorter) => sorter.disconnected(now),
            Self::Plc(_) => {}
            Self::Scanner(worker) => worker.disconnected(now),
            Self::Away => {}
        }
    }

    pub(super) fn over(&self) -> bool {
        match self {
            Self::Llrp(reader) => reader.over(),
            Self::Mercury(module) => module.over(),
            Self::Smart(_) | Self::Sorter(_) | Self::Away => false,
            Self::Plc(plc) => plc.over(),
            Self::Scanner(worker) => worker.over(),
        }
    }

    /// What it was sent and should not have been; `held_up`: its line may be, and with it answers.
    pub(super) fn violations(&self, held_up: bool) -> Vec<String> {
        match self {
            Self::Llrp(reader) => {
                let told = |violation: &Violation| format!("message type {}: {}", violation.kind, violation.what);
                let counts = |violation: &&Violation| !held_up || violation.kind != KEEPALIVE;
                reader.violations().iter().filter(counts).map(told).collect()
            }
            Self::Mercury(module) => {
                let violations = module.violations();
                let told = |(opcode, status): (Opcode, Status)| {
                    format!("{} commands refused, the last {:02X} with {:04X}", violations.count, opcode.0, status.0)
                };
                // The edge can't know that a module is in its bootloader before that has refused to stop reading; nor,
                // when a line is held up, that a command whose answer is late was obeyed.
                let greeting = Some((Opcode::CONTINUOUS, Status::UNKNOWN_OPCODE));
                let excused = held_up || (violations.count, violations.last) == (1, greeting);
                violations.last.filter(|_| !excused).map(told).into_iter().collect()
            }
            // Where answers are late, the edge can't know that it was obeyed.
            Self::Smart(reader) => {
                if held_up {
                    Vec::new()
                } else {
                    reader.violations()
                }
            }
            Self::Sorter(sorter) => sorter.violations().iter().map(|violation| format!("{violation:?}")).collect(),
            Self::Plc(plc) => {
                // A line that is held up makes late what left in time; the PLC refuses it.
                let late = |violation: &&sorter_mqtt::Violation| {
                    !held_up || !matches!(violation, sorter_mqtt::Violation::Late { .. })
                };
                plc.violations().iter().filter(late).map(|violation| format!("{violation:?}")).collect()
            }
            Self::Scanner(_) | Self::Away => Vec::new(),
        }
    }
}

fn stream(octets: &[u8]) -> Packet {
    Packet { topic: String::new(), octets: octets.to_vec() }
}

/// A message of a sorter.
pub(super) fn message(topic: &str, octets: &[u8]) -> Packet {
    Packet { topic: topic.to_owned(), octets: octets.to_vec() }
}

/// What the broker says of a sorter that is gone.
pub(super) fn last_will() -> Packet {
    message(sorter_mqtt::STATE, sorter_mqtt::LAST_WILL.as_bytes())
}
