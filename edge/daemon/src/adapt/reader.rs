//! Readers: settings of their sessions, read points of their antennas, their events.

use crate::config::{Antenna, Llrp, Mercury};
use stowage_base::{Duration, ReaderEvent};
use stowage_core::Site;
use stowage_core::input::DeviceEvent;
use stowage_core::site::{DeviceIx, ReadPointIx};
use stowage_protocol::llrp;

/// How often an LLRP reader says that it lives.
pub const LLRP_KEEPALIVE: Duration = Duration::from_secs(2);

/// What an LLRP reader is asked to do.
pub fn llrp(reader: &Llrp) -> llrp::client::Settings {
    let antenna =
        |antenna: &Antenna| llrp::client::AntennaSettings { port: antenna.port, power_cdbm: Some(antenna.power_cdbm) };
    llrp::client::Settings {
        antennas: reader.antennas.iter().map(antenna).collect(),
        dwell: reader.dwell,
        keepalive: LLRP_KEEPALIVE,
        session: reader.session,
        population: reader.population,
        mode: None,
        report_every: 0,
    }
}

/// What a UART module is asked to do.
pub fn mercury(module: &Mercury) -> stowage_mercury::Settings {
    stowage_mercury::Settings { region: module.region, read_power_cdbm: module.power_cdbm, antennas: module.antennas }
}

/// Which read point each antenna of one reader is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Points(Vec<Option<ReadPointIx>>);

impl Points {
    /// Those of the reader `device`.
    pub fn of(site: &Site, device: DeviceIx) -> Self {
        let most = site.read_points.iter().filter(|point| point.device == device).map(|point| point.antenna).max();
        Self((0..=most.unwrap_or(0)).map(|antenna| site.read_point(device, antenna)).collect())
    }

    /// The read point of the antenna at port `antenna`; `None`: the site has no place for it.
    pub fn get(&self, antenna: u16) -> Option<ReadPointIx> {
        self.0.get(usize::from(antenna)).copied().flatten()
    }
}

/// What a reader's event is to the engine.
pub fn event(event: ReaderEvent) -> DeviceEvent {
    match event {
        ReaderEvent::Up => DeviceEvent::Up,
        ReaderEvent::Down(why) => DeviceEvent::Down(why.into()),
        ReaderEvent::Antenna { port, connected: true } => fault(format!("antenna {port} is connected again")),
        ReaderEvent::Antenna { port, connected: false } => fault(format!("antenna {port} is not connected")),
        ReaderEvent::ClockJump => fault("its clock jumped: reads are stamped on arrival".into()),
        ReaderEvent::Fault { what, code } => fault(format!("{what} (code {code})")),
        ReaderEvent::Malformed { what, offset } => {
            DeviceEvent::Malformed { count: 1, what: format!("at octet {offset}: expected {what}") }
        }
    }
}

fn fault(what: String) -> DeviceEvent {
    DeviceEvent::Fault { count: 1, what }
}
