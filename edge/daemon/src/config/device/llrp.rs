//! A fixed reader that speaks LLRP.

use super::{Places, url};
use crate::config::read::Section;
use crate::config::url::llrp;
use stowage_base::Duration;

/// A fixed reader that speaks LLRP; the edge dials.
#[derive(Debug, Clone)]
pub struct Llrp {
    /// IP address or host name.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The antennas to use, at least one, by port.
    pub antennas: Vec<Antenna>,
    /// How long each antenna looks before the next one's turn, 10 ms to 60 s.
    pub dwell: Duration,
    /// Gen2 inventory session, 0 to 3.
    pub session: u8,
    /// How many tags the reader should expect in view of one antenna, 1 to 65,535.
    pub population: u16,
}

/// One antenna of a fixed reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Antenna {
    /// Port on the reader, 1 to 64.
    pub port: u16,
    /// Transmit power at the port in 1/100 dBm, 0 to 3,300.
    pub power_cdbm: i16,
}

pub(super) const ANTENNAS: &str = "a list such as [{ port = 1, power_dbm = 30 }]";

pub(super) fn read(section: &mut Section<'_>, places: &mut Places<'_>) -> Llrp {
    section.require(&[("url", "llrp://HOST or llrp://HOST:PORT"), ("antennas", ANTENNAS)]);
    let (host, port) = url(section, llrp).unwrap_or_default();
    Llrp {
        host,
        port,
        antennas: antennas(section, places),
        dwell: Duration::from_millis(section.number("dwell_ms", 10..=60_000).map_or(500, |dwell| dwell.value)),
        session: section.number("session", 0..=3).map_or(1, |session| session.value),
        population: section.number("population", 1..=65_535).map_or(32, |population| population.value),
    }
}

/// The antennas of a fixed reader, by port.
pub(super) fn antennas(section: &mut Section<'_>, places: &mut Places<'_>) -> Vec<Antenna> {
    let file = section.file;
    let mut antennas: Vec<Antenna> = Vec::new();
    for mut entry in section.sections("antennas") {
        entry.require(&[("port", "the antenna's port on the reader, 1 to 64"), ("power_dbm", "its power, 0 to 33")]);
        let port = entry.number("port", 1..=64);
        let power_cdbm = entry.power_cdbm("power_dbm", 0..=3_300).map_or(0, |power| power.value);
        if let Some(port) = port {
            if places.take(port.value, &port.at) {
                antennas.push(Antenna { port: port.value, power_cdbm });
            } else {
                file.fault_of_key(&port.at, format!("port {} is given twice", port.value));
            }
        }
        entry.end();
    }
    antennas.sort_by_key(|antenna| antenna.port);
    antennas
}
