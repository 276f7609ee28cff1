//! What only one part of an edge can hold: a serial line, a place behind an address, a name at a broker, a port to listen
//! on. Two devices on one of them would be the same thing twice, or each would throw the other out.

use super::device::{DeviceKind, ModbusLine, Way};
use super::read::{At, File, Names, Section};
use super::url::Broker;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

const DEVICE: &str = "give each device its own";

/// Where the keys of a device stand that say where it is.
pub(super) struct Places {
    id: At,
    url: At,
    listen: At,
    control: At,
}

impl Places {
    /// To be asked before the section is read.
    pub(super) fn of(section: &Section<'_>) -> Self {
        let [id, url, listen, control] = ["id", "url", "listen", "control"].map(|key| section.place(key));
        Self { id, url, listen, control }
    }
}

/// What is taken already, and on which line.
pub(super) struct Endpoints {
    names: Names,
    listeners: Vec<(SocketAddr, String)>,
}

impl Endpoints {
    pub(super) fn new() -> Self {
        Self { names: Names::new("endpoint"), listeners: Vec::new() }
    }

    /// `who` listens at `address`. Port 0 is any free one.
    pub(super) fn listen(&mut self, file: &File, at: &At, who: &str, address: SocketAddr) {
        let every = |address: &SocketAddr| address.ip().is_unspecified();
        let same = |(other, _): &&(SocketAddr, String)| {
            other.port() == address.port() && (other.ip() == address.ip() || every(other) || every(&address))
        };
        if address.port() != 0
            && let Some((_, other)) = self.listeners.iter().find(same)
        {
            file.fault(at, format!("{other} listens at {address} already: give another port"));
        }
        self.listeners.push((address, format!("{who} (line {})", at.line)));
    }

    /// The device `id` and the way to it.
    pub(super) fn device(&mut self, file: &File, at: &Places, id: &str, kind: &DeviceKind) {
        let mut take = |at: &At, name: String| self.names.claim(file, at, name, DEVICE);
        let broker = match kind {
            DeviceKind::Llrp(reader) => {
                match &reader.way {
                    Way::Listen(address) => self.listen(file, &at.listen, id, *address),
                    Way::Dial { host, port, .. } if !host.is_empty() => take(&at.url, format!("reader {host}:{port}")),
                    Way::Dial { .. } => {}
                }
                return;
            }
            DeviceKind::Mercury(reader) => return take(&at.url, line(&reader.path)),
            DeviceKind::SorterModbus(plc) => {
                match &plc.line {
                    ModbusLine::Serial { path, .. } => take(&at.url, line(path)),
                    ModbusLine::Tcp { host, .. } if host.is_empty() => {}
                    ModbusLine::Tcp { host, port } => take(&at.url, format!("unit {} at {host}:{port}", plc.unit)),
                }
                return;
            }
            DeviceKind::Scanner(_) => return,
            DeviceKind::ImpinjIot(reader) => {
                let (host, port) = (&reader.control.host, reader.control.port);
                if !host.is_empty() {
                    take(&at.control, format!("reader {host}:{port}"));
                }
                if let Some(topic) = &reader.topic {
                    take(&at.id, format!("topic {topic} at {}", place(&reader.broker)));
                }
                &reader.broker
            }
            DeviceKind::ZebraIotc(reader) => {
                if !reader.topics.data.is_empty() {
                    take(&at.id, format!("topic {} at {}", reader.topics.data, place(&reader.broker)));
                }
                &reader.broker
            }
            DeviceKind::Robot(robot) => {
                let (maker, serial) = (&robot.manufacturer, &robot.serial);
                if !maker.is_empty() && !serial.is_empty() {
                    let name = format!("robot {}/{maker}/{serial} at {}", robot.interface, place(&robot.broker));
                    take(&at.id, name);
                }
                &robot.broker
            }
            DeviceKind::SorterMqtt(sorter) => &sorter.broker,
        };
        self.client(file, &at.id, broker, id);
    }

    /// `id` connects to `broker`, which throws out the elder of two clients with one name.
    pub(super) fn client(&mut self, file: &File, at: &At, broker: &Broker, id: &str) {
        if !broker.host.is_empty() && !id.is_empty() {
            // A broker may have ports with and without TLS.
            self.names.claim(file, at, format!("client {id} of broker {}", broker.host), "give another id");
        }
    }

    /// A follower appends to `path`.
    pub(super) fn file(&mut self, file: &File, at: &At, path: &Path) {
        self.names.claim(file, at, format!("file {}", real(path)), "give each follower its own");
    }
}

/// A serial line, whichever of its names it has.
fn line(path: &Path) -> String {
    // A faulty one reads as empty.
    if path.as_os_str().is_empty() { String::new() } else { format!("serial line {}", real(path)) }
}

fn real(path: &Path) -> String {
    fs::canonicalize(path).unwrap_or_else(|_| path.components().collect()).display().to_string()
}

fn place(broker: &Broker) -> String {
    format!("{}:{}", broker.host, broker.port)
}
