//! The far end of each of the edge's devices, on this machine's ports and pseudo-terminals.

use super::DemoError;
use crate::broker;
use crate::device::{
    Events, HandheldSettings, PlcLine, Pty, RestPort, SorterCommand, SorterLink, Stage, TcpPort, ZebraSite, impinj,
    llrp, mercury, plc_settings, robot, sorter, sorter_plc, zebra,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use stowage::config::{Broker, DeviceKind, Edge, FollowerKind, ModbusLine};
use stowage_base::{Duration, Language};
use stowage_core::site::DeviceIx;
use stowage_mercury::ModuleSettings;
use stowage_protocol::llrp::reader::{Profile, Vendor};
use stowage_protocol::modbus_sorter::PlcSettings;
use stowage_protocol::sorter_mqtt::SorterSettings;
use stowage_protocol::vda5050::RobotSettings;
use stowage_protocol::{impinj_iot, zebra_iotc};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// TCP ports on the loopback interface: the usual ones, or those from a base on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    base: Option<u16>,
}

impl From<Option<u16>> for Ports {
    fn from(base: Option<u16>) -> Self {
        Self { base }
    }
}

impl Ports {
    /// The port of which `usual` is the usual number, `offset` ports from the base on.
    fn at(self, usual: u16, offset: u16) -> SocketAddr {
        let port = self.base.map_or(usual, |base| base.saturating_add(offset));
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }
}

/// What is to be started beside the edge.
pub(super) struct Plan {
    pub(super) broker: SocketAddr,
    pub(super) far: Vec<Far>,
    /// The first one works, the others lie in their cradles. At least one.
    pub(super) handhelds: Vec<HandheldSettings>,
}

/// The far end of a device.
pub(super) enum Far {
    Llrp { device: DeviceIx, address: SocketAddr, ports: u16 },
    Mercury { device: DeviceIx, path: PathBuf, ports: u8 },
    Impinj { device: DeviceIx, address: SocketAddr, profile: impinj_iot::Profile },
    Zebra { device: DeviceIx, site: ZebraSite, profile: zebra_iotc::Profile },
    SorterMqtt { link: Box<SorterLink>, settings: SorterSettings },
    SorterModbus { way: Way, settings: PlcSettings },
    Robot { broker: Broker, settings: Box<RobotSettings> },
}

/// Where a PLC waits for the edge.
pub(super) enum Way {
    Tcp(SocketAddr),
    Serial(PathBuf),
}

/// The belt of every sorter: to the decision point, to the first chute, between chutes.
const BELT: [Duration; 3] = [Duration::from_millis(1_500), Duration::from_millis(1_000), Duration::from_millis(500)];

/// Turns the edge to our folder and ports, and says what it will look for there.
pub(super) fn plan(edge: &mut Edge, folder: &Path, ports: Ports) -> Result<Plan, DemoError> {
    folder.clone_into(&mut edge.data);
    edge.listen = ports.at(edge.listen.port(), 0);
    edge.scanners = ports.at(edge.scanners.port(), 1);
    let broker = ports.at(1883, 3);
    for follower in &mut edge.followers {
        match &mut follower.kind {
            FollowerKind::Jsonl { path } => *path = folder.join("facts.jsonl"),
            FollowerKind::Mqtt { broker: at, .. } => turn(at, broker),
        }
    }
    let mut plan = Plan { broker, far: Vec::new(), handhelds: Vec::new() };
    let roadmap = &edge.site.roadmap;
    for (index, device) in edge.devices.iter_mut().enumerate() {
        let ix = DeviceIx(index as u16);
        match &mut device.kind {
            DeviceKind::Llrp(llrp) => {
                let wanted = match &llrp.way {
                    stowage::config::Way::Dial { port, .. } => *port,
                    stowage::config::Way::Listen(address) => address.port(),
                };
                let address = ports.at(wanted, 2);
                llrp.way =
                    stowage::config::Way::Dial { host: address.ip().to_string(), port: address.port(), ca: None };
                let ports = llrp.antennas.iter().map(|antenna| antenna.port).max().unwrap_or(1);
                plan.far.push(Far::Llrp { device: ix, address, ports });
            }
            DeviceKind::Mercury(mercury) => {
                mercury.path = folder.join(format!("{}.tty", device.id));
                let ports = mercury.antennas.ports().iter().copied().max().unwrap_or(1);
                plan.far.push(Far::Mercury { device: ix, path: mercury.path.clone(), ports });
            }
            DeviceKind::ImpinjIot(reader) => {
                let address = ports.at(reader.control.port, 4);
                turn(&mut reader.broker, broker);
                (reader.reader_broker, reader.reader_tls) = (reader.broker.clone(), false);
                let control = &mut reader.control;
                (control.host, control.port, control.ca) = (address.ip().to_string(), address.port(), None);
                let (user, password) = (control.login.0.clone(), control.login.1.expose().clone());
                let antennas = reader.antennas.iter().map(|antenna| antenna.port).max().unwrap_or(1);
                let profile = impinj_iot::Profile { antennas, hostname: device.id.to_string(), user, password };
                plan.far.push(Far::Impinj { device: ix, address, profile });
            }
            DeviceKind::ZebraIotc(reader) => {
                turn(&mut reader.broker, broker);
                let antennas = reader.antennas.iter().map(|antenna| antenna.port).max().unwrap_or(1);
                let site = ZebraSite { broker: reader.broker.clone(), client: device.id.to_string() };
                let profile = zebra_iotc::Profile { antennas, topics: reader.topics.clone(), batching: false };
                plan.far.push(Far::Zebra { device: ix, site, profile });
            }
            DeviceKind::SorterMqtt(sorter) => {
                turn(&mut sorter.broker, broker);
                let (broker, site) = (sorter.broker.clone(), edge.site.code.clone());
                let link = Box::new(SorterLink { broker, site, id: device.id.clone() });
                let [to_decision, to_chutes, between_chutes] = BELT;
                let settings = SorterSettings {
                    chutes: sorter.chutes.all.clone(),
                    hospital: sorter.chutes.hospital.clone(),
                    to_decision,
                    to_chutes,
                    between_chutes,
                };
                plan.far.push(Far::SorterMqtt { link, settings });
            }
            DeviceKind::SorterModbus(plc) => {
                let way = match &mut plc.line {
                    ModbusLine::Tcp { host, port } => {
                        // A port that needs no rights.
                        let address = ports.at(if *port < 1_024 { 1_502 } else { *port }, 5);
                        (*host, *port) = (address.ip().to_string(), address.port());
                        Way::Tcp(address)
                    }
                    ModbusLine::Serial { path, .. } => {
                        *path = folder.join(format!("{}.tty", device.id));
                        Way::Serial(path.clone())
                    }
                };
                plan.far.push(Far::SorterModbus { way, settings: plc_settings(plc, plc.line.framing(), BELT) });
            }
            DeviceKind::Robot(robot) => {
                turn(&mut robot.broker, broker);
                let at = robot.start.as_ref().and_then(|start| roadmap.coded(start)).or(roadmap.indices().next());
                let Some(node) = at.map(|at| roadmap.node(at)) else { continue };
                let (pick, drop) = (Duration::from_secs(2), Duration::from_secs(2));
                let settings = RobotSettings {
                    interface: robot.interface.clone(),
                    map: robot.map.clone(),
                    x_mm: node.x_mm,
                    y_mm: node.y_mm,
                    pick,
                    drop,
                    ..RobotSettings::carrier(robot.version, &robot.manufacturer, &robot.serial, &node.code)
                };
                plan.far.push(Far::Robot { broker: robot.broker.clone(), settings: Box::new(settings) });
            }
            DeviceKind::Scanner(scanner) => plan.handhelds.push(HandheldSettings {
                device: device.id.clone(),
                key: *scanner.key.expose(),
                worker: stowage_base::code("ada").unwrap_or_default(),
                language: Language::English,
                edge: edge.scanners.to_string(),
            }),
        }
    }
    if plan.handhelds.is_empty() {
        return Err(DemoError::Missing("device of kind scanner"));
    }
    Ok(plan)
}

/// Turns to our broker, which knows neither users nor TLS.
fn turn(broker: &mut Broker, to: SocketAddr) {
    *broker = Broker { host: to.ip().to_string(), port: to.port(), login: None, ca: None };
}

/// Starts the broker and every far end, until `stop`. Returns where each sorter takes parcels.
///
/// # Errors
/// A port or pseudo-terminal that is not to be had.
pub(super) async fn start(
    far: Vec<Far>,
    broker: SocketAddr,
    stage: &Stage,
    stop: &CancellationToken,
) -> Result<Vec<mpsc::Sender<SorterCommand>>, DemoError> {
    // The devices tell nothing here that the edge doesn't say as well.
    let (events, _) = Events::new(stage.clock);
    broker::start(broker)?;
    let mut inductions = Vec::new();
    for far in far {
        let (stage, events, stop) = (stage.clone(), events.clone(), stop.clone());
        match far {
            Far::Llrp { device, address, ports } => {
                let port = TcpPort::listen("the reader", address, events.clone()).await?;
                let profile = Profile::of(Vendor::Impinj, ports);
                tokio::spawn(llrp(port, profile, stage, device, events, stop));
            }
            Far::Mercury { device, path, ports } => {
                let settings = ModuleSettings { ports, ..ModuleSettings::default() };
                tokio::spawn(mercury(Pty::open(Some(&path))?, settings, stage, device, events, stop));
            }
            Far::Impinj { device, address, profile } => {
                let port = RestPort::listen(address).await?;
                // Nothing goes wrong with it.
                let (_, commands) = mpsc::channel(1);
                tokio::spawn(impinj(port, profile, stage, device, commands, events, stop));
            }
            Far::Zebra { device, site, profile } => {
                let (_, commands) = mpsc::channel(1);
                tokio::spawn(zebra(site, profile, stage, device, commands, events, stop));
            }
            Far::Robot { broker, settings } => {
                let (_, commands) = mpsc::channel(1);
                tokio::spawn(robot(broker, *settings, stage.clock, commands, events, stop));
            }
            Far::SorterMqtt { link, settings } => {
                let (induct, parcels) = mpsc::channel(16);
                tokio::spawn(sorter(*link, settings, stage.clock, parcels, events, stop));
                inductions.push(induct);
            }
            Far::SorterModbus { way, settings } => {
                let line = match way {
                    Way::Tcp(address) => {
                        PlcLine::Tcp(TcpPort::listen("the PLC", address, events.clone()).await?.without_a_word())
                    }
                    Way::Serial(path) => PlcLine::Serial(Pty::open(Some(&path))?),
                };
                let (induct, parcels) = mpsc::channel::<SorterCommand>(16);
                tokio::spawn(sorter_plc(line, settings, stage.clock, parcels, events, stop));
                inductions.push(induct);
            }
        }
    }
    Ok(inductions)
}
