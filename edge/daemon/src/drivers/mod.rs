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
use crate::config::{Broker, Device, DeviceKind, Edge, ModbusLine, SorterMqtt, Way};
use crate::runtime::{Clock, Port};
use crate::serial;
use crate::tls;
pub(crate) use reader::Order;
use reader::{Line, Reader};
use rustls::pki_types::ServerName;
use scanner::Scanners;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use stowage_base::{Code, ReaderSession};
use stowage_core::{Effect, Engine};
use stowage_protocol::reader_mqtt::Session;
use stowage_protocol::{impinj_iot, llrp, modbus_sorter, zebra_iotc};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
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

/// Commands that wait for one reader.
const ORDERS_MAX: usize = 8;

/// The ways to readers that take commands, by device.
pub(crate) type Readers = BTreeMap<Code, mpsc::Sender<Order>>;

/// Starts the driver of every device; `scanners` is where scanners connect. Returns each device's way to its driver,
/// and the ways to readers that take commands.
///
/// # Errors
/// A device's settings that its protocol can't do.
pub(crate) fn start(
    ground: &Ground<'_>,
    ports: Vec<Port>,
    scanners: TcpListener,
) -> Result<(Vec<mpsc::Sender<Effect>>, Readers), String> {
    let keys = ports.iter().zip(&ground.edge.devices).filter_map(|(port, device)| match &device.kind {
        DeviceKind::Scanner(scanner) => {
            Some((port.clone(), *scanner.key.expose(), ground.engine.answered(port.device)))
        }
        _ => None,
    });
    let enrolled = Arc::new(Scanners::new(ground.engine.site(), keys.collect(), ground.boot));
    ground.tasks.spawn(Arc::clone(&enrolled).serve(scanners, Arc::clone(ground.clock), ground.stop.clone()));
    let with_port = ports.into_iter().zip(&ground.edge.devices);
    let mut readers = Readers::new();
    let devices: Result<_, String> =
        with_port.map(|(port, device)| ground.start(device, port, &enrolled, &mut readers)).collect();
    Ok((devices?, readers))
}

/// Connects to a device that listens.
async fn dial(address: (String, u16)) -> io::Result<TcpStream> {
    // A host that answers nothing is tried again sooner than the system would give up.
    let connected = tokio::time::timeout(DIAL_MAX, TcpStream::connect(address)).await;
    let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Dials with TLS; trusts what the PEM file `ca` holds.
async fn dial_tls(address: (String, u16), ca: PathBuf) -> io::Result<Box<dyn Line>> {
    // Read each time: a certificate that was renewed holds without a restart.
    let trust = tls::pinned(&ca).map_err(|why| io::Error::other(format!("{} {why}", ca.display())))?;
    let host = address.0.clone();
    let name =
        ServerName::try_from(host.clone()).map_err(|_| io::Error::other("no certificate can be made for this name"))?;
    let stream = dial(address).await?;
    let shaken = tokio::time::timeout(DIAL_MAX, TlsConnector::from(trust).connect(name, stream)).await;
    match shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => {
            let why = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            let words = why.map(|why| match why {
                rustls::Error::InvalidMessage(_) => {
                    "it doesn't speak TLS at this port: mostly that is 5085; or give llrp:// without TLS".to_owned()
                }
                other => tls::words(other, &host, &ca),
            });
            Err(words.map_or(error, io::Error::other))
        }
    }
}

/// Listens for a reader that dials.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Waits for a reader that dials.
async fn await_dial(listener: Arc<TcpListener>) -> io::Result<Box<dyn Line>> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

impl Ground<'_> {
    fn start(
        &self,
        device: &Device,
        port: Port,
        enrolled: &Scanners,
        readers: &mut Readers,
    ) -> Result<mpsc::Sender<Effect>, String> {
        let (to_driver, effects) = mpsc::channel(EFFECTS_MAX);
        let refused = |why: String| format!("device {}: {why}", device.id);
        match &device.kind {
            DeviceKind::Llrp(reader) => {
                let settings = adapt::reader::llrp(reader);
                let client = llrp::Client::new(settings).map_err(|why| refused(why.to_string()))?;
                let orders = match reader.way.clone() {
                    Way::Dial { host, port: of, ca: None } => self.read(port, client, move || dial((host.clone(), of))),
                    Way::Dial { host, port: of, ca: Some(ca) } => {
                        self.read(port, client, move || dial_tls((host.clone(), of), ca.clone()))
                    }
                    Way::Listen(address) => {
                        let listener = listen(address).map_err(|error| refused(format!("can't listen on {address}: {error}: stop the program that uses it, or give another `listen`")))?;
                        let listener = Arc::new(listener);
                        self.read(port, client, move || await_dial(Arc::clone(&listener)))
                    }
                };
                readers.insert(device.id.clone(), orders);
            }
            DeviceKind::Mercury(module) => {
                let client = stowage_mercury::Client::new(adapt::reader::mercury(module));
                let (path, baud) = (module.path.clone(), module.baud);
                let orders = self.read(port, client, move || std::future::ready(serial::open(&path, baud)));
                readers.insert(device.id.clone(), orders);
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

    fn read<S, T, D, F>(&self, port: Port, session: S, dial: D) -> mpsc::Sender<Order>
    where
        S: ReaderSession + Send + 'static,
        T: Line + Send + 'static,
        D: Fn() -> F + Send + 'static,
        F: Future<Output = io::Result<T>> + Send + 'static,
    {
        let points = Points::of(self.engine.site(), port.device);
        let (orders, ordered) = mpsc::channel(ORDERS_MAX);
        let reader = Reader {
            session,
            port,
            points,
            clock: Arc::clone(self.clock),
            stop: self.stop.clone(),
            orders: ordered,
            waiting: Vec::new(),
            ordered: 0,
        };
        self.tasks.spawn(reader.run(dial));
        orders
    }
}
