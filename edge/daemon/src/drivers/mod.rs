//! Thin shells around the sessions: sockets, serial ports and brokers. They move octets and time, and decide nothing.

mod backoff;
mod outlet;
mod reader;
mod robot;
mod scanner;
mod smart_reader;
mod sorter;
mod sorter_plc;

use crate::adapt::{self, reader::Points};
use crate::config::{Broker, Device, DeviceKind, Edge, ModbusLine, SorterMqtt};
use crate::runtime::{Clock, Port};
use crate::serial;
use reader::{Line, Reader};
use scanner::Scanners;
use std::io;
use std::sync::Arc;
use stowage_base::{Code, ReaderSession};
use stowage_core::{Effect, Engine};
use stowage_protocol::reader_mqtt::Session;
use stowage_protocol::{impinj_iot, llrp, modbus_sorter, zebra_iotc};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a reader may take to accept a connection.
const DIAL_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// Effects that wait for one driver.
const EFFECTS_MAX: usize = 1_024;

/// What the drivers stand on.
pub(crate) struct Ground<'a> {
    pub(crate) edge: &'a Edge,
    pub(crate) engine: &'a Engine,
    pub(crate) clock: &'a Arc<Clock>,
    pub(crate) stop: &'a CancellationToken,
    pub(crate) tasks: &'a TaskTracker,
    /// Differs at each start.
    pub(crate) boot: u32,
}

/// Starts the driver of every device; `scanners` is where scanners connect. Returns each device's way to its driver.
///
/// # Errors
/// A device's settings that its protocol can't do.
pub(crate) fn start(
    ground: &Ground<'_>,
    ports: Vec<Port>,
    scanners: TcpListener,
) -> Result<Vec<mpsc::Sender<Effect>>, String> {
    let keys = ports.iter().zip(&ground.edge.devices).filter_map(|(port, device)| match &device.kind {
        DeviceKind::Scanner(scanner) => {
            Some((port.clone(), *scanner.key.expose(), ground.engine.answered(port.device)))
        }
        _ => None,
    });
    let enrolled = Arc::new(Scanners::new(ground.engine.site(), keys.collect(), ground.boot));
    ground.tasks.spawn(Arc::clone(&enrolled).serve(scanners, Arc::clone(ground.clock), ground.stop.clone()));
    let with_port = ports.into_iter().zip(&ground.edge.devices);
    with_port.map(|(port, device)| ground.start(device, port, &enrolled)).collect()
}

/// Connects to a device that listens.
async fn dial(address: (String, u16)) -> io::Result<TcpStream> {
    // A host that answers nothing is tried again sooner than the system would give up.
    let connected = tokio::time::timeout(DIAL_MAX, TcpStream::connect(address)).await;
    let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Ground<'_> {
    fn start(&self, device: &Device, port: Port, enrolled: &Scanners) -> Result<mpsc::Sender<Effect>, String> {
        let (to_driver, effects) = mpsc::channel(EFFECTS_MAX);
        let refused = |why: String| format!("device {}: {why}", device.id);
        match &device.kind {
            DeviceKind::Llrp(reader) => {
                let settings = adapt::reader::llrp(reader);
                let client = llrp::Client::new(settings).map_err(|why| refused(why.to_string()))?;
                let address = (reader.host.clone(), reader.port);
                self.read(port, client, move || dial(address.clone()));
            }
            DeviceKind::Mercury(module) => {
                let client = stowage_mercury::Client::new(adapt::reader::mercury(module));
                let (path, baud) = (module.path.clone(), module.baud);
                self.read(port, client, move || std::future::ready(serial::open(&path, baud)));
            }
            DeviceKind::ImpinjIot(reader) => {
                let settings = adapt::reader::impinj(reader, &self.engine.site().code, &device.id);
                let (rest, answers) = smart_reader::Rest::new(reader.control.clone(), self.tasks.clone());
                let session = impinj_iot::Edge::new(settings);
                self.read_smart(port, &device.id, &reader.broker, session, rest, answers);
            }
            DeviceKind::ZebraIotc(reader) => {
                let settings = adapt::reader::zebra(reader, &self.engine.site().code, &device.id, self.boot);
                let (_, answers) = mpsc::channel(1);
                let session = zebra_iotc::Edge::new(settings);
                self.read_smart(port, &device.id, &reader.broker, session, smart_reader::Publish, answers);
            }
            DeviceKind::SorterMqtt(SorterMqtt { broker, .. }) => {
                let site = &self.engine.site().code;
                let sorter = sorter::Sorter {
                    broker: broker.clone(),
                    base: format!("stowage/{site}/sorter/{}/", device.id),
                    client: format!("stowage-{site}-{}", device.id),
                    port,
                    effects,
                    clock: Arc::clone(self.clock),
                    stop: self.stop.clone(),
                };
                self.tasks.spawn(sorter.run());
            }
            DeviceKind::Robot(settings) => {
                let robot = robot::Robot {
                    settings: settings.clone(),
                    client: format!("stowage-{}-{}", self.engine.site().code, device.id),
                    site: Arc::clone(self.engine.site()),
                    port,
                    effects,
                    clock: Arc::clone(self.clock),
                    stop: self.stop.clone(),
                };
                self.tasks.spawn(robot.run());
            }
            DeviceKind::SorterModbus(plc) => {
                let session = modbus_sorter::Edge::new(adapt::sorter::modbus(plc));
                let (clock, stop) = (Arc::clone(self.clock), self.stop.clone());
                let sorter = sorter_plc::SorterPlc::new(session, port, effects, clock, stop);
                match plc.line.clone() {
                    ModbusLine::Tcp { host, port } => self.tasks.spawn(sorter.run(move || dial((host.clone(), port)))),
                    ModbusLine::Serial { path, baud, parity, stop_bits } => self.tasks.spawn(
                        sorter.run(move || std::future::ready(serial::open_bus(&path, baud, parity, stop_bits))),
                    ),
                };
            }
            DeviceKind::Scanner(_) => {
                if let Some(scanner) = enrolled.of(port.device) {
                    self.tasks.spawn(scanner.carry(effects, self.stop.clone()));
                }
            }
        }
        Ok(to_driver)
    }

    fn read_smart<S, C>(
        &self,
        port: Port,
        id: &Code,
        broker: &Broker,
        session: S,
        carry: C,
        answers: mpsc::Receiver<smart_reader::Answer>,
    ) where
        S: Session + Send + 'static,
        C: smart_reader::Carry<S::Out> + Send + 'static,
    {
        let reader = smart_reader::SmartReader {
            session,
            carry,
            answers,
            broker: broker.clone(),
            client: format!("stowage-{}-{id}", self.engine.site().code),
            points: Points::of(self.engine.site(), port.device),
            port,
            clock: Arc::clone(self.clock),
            stop: self.stop.clone(),
        };
        self.tasks.spawn(reader.run());
    }

    fn read<S, T, D, F>(&self, port: Port, session: S, dial: D)
    where
        S: ReaderSession + Send + 'static,
        T: Line + Send + 'static,
        D: Fn() -> F + Send + 'static,
        F: Future<Output = io::Result<T>> + Send + 'static,
    {
        let points = Points::of(self.engine.site(), port.device);
        let reader = Reader { session, port, points, clock: Arc::clone(self.clock), stop: self.stop.clone() };
        self.tasks.spawn(reader.run(dial));
    }
}
