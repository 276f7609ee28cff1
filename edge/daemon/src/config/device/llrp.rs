//! A fixed reader that speaks LLRP.

use super::{Places, url};
use crate::config::read::Section;
use crate::config::url::llrp;
use crate::tls;
use std::net::SocketAddr;
use std::path::PathBuf;
use stowage_base::Duration;
pub use stowage_protocol::llrp::client::{Gate, Region};

/// A fixed reader that speaks LLRP.
#[derive(Debug, Clone)]
pub struct Llrp {
    /// Who dials whom.
    pub way: Way,
    /// The antennas to use, at least one, by port.
    pub antennas: Vec<Antenna>,
    /// How long each antenna looks before the next one's turn, 10 ms to 60 s.
    pub dwell: Duration,
    /// Gen2 inventory session, 0 to 3.
    pub session: u8,
    /// How many tags the reader should expect in view of one antenna, 1 to 65,535.
    pub population: u16,
    /// The reader's RF mode, by the number in its own table.
    pub mode: Option<u16>,
    /// The rules of the place where it stands: a reader that is set to others isn't used.
    pub region: Option<Region>,
    /// The photo-eye that gates the antennas.
    pub gate: Option<Gate>,
    /// The output of the lamp that is on while the reader works for us, from 1.
    pub lamp: Option<u16>,
}

/// Who dials whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// The edge dials.
    Dial {
        /// IP address or host name.
        host: String,
        /// TCP port.
        port: u16,
        /// With TLS: the PEM file of who vouches for the reader's certificate, or of that certificate itself.
        ca: Option<PathBuf>,
    },
    /// The reader dials the edge, here. Each such reader has an address of its own.
    Listen(SocketAddr),
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

const REGIONS: &[(&str, Region)] = &[("fcc", Region::Fcc), ("etsi", Region::Etsi), ("cn", Region::Cn)];

pub(super) fn read(section: &mut Section<'_>, places: &mut Places<'_>) -> Llrp {
    section.require(&[("antennas", ANTENNAS)]);
    Llrp {
        way: way(section),
        antennas: antennas(section, places),
        dwell: Duration::from_millis(section.number("dwell_ms", 10..=60_000).map_or(500, |dwell| dwell.value)),
        session: section.number("session", 0..=3).map_or(1, |session| session.value),
        population: section.number("population", 1..=65_535).map_or(32, |population| population.value),
        mode: section.number("mode", 0..=65_535).map(|mode| mode.value),
        region: section.choice("region", REGIONS).map(|region| region.value),
        gate: section.section("gate").map(gate),
        lamp: section.number("lamp", 1..=64).map(|lamp| lamp.value),
    }
}

fn way(section: &mut Section<'_>) -> Way {
    let file = section.file;
    let listen = section.address("listen", "0.0.0.0:5084");
    if let Some(listen) = listen {
        if let Some(url) = section.url("url") {
            file.fault(&url.at, "stands beside `listen`: give `url` if the edge dials, `listen` if the reader does");
        }
        return Way::Listen(listen.value);
    }
    section.require(&[("url", "llrp://HOST or llrp://HOST:PORT, or `listen` where the reader dials the edge")]);
    let ca = section.text("ca");
    let (host, port, tls) = url(section, llrp).unwrap_or_default();
    let ca = match (ca, tls) {
        (None, false) => None,
        (None, true) => {
            section.require(&[("ca", "the PEM file with the reader's certificate, or with its authority's")]);
            None
        }
        (Some(ca), false) => {
            file.fault(&ca.at, "is for TLS: give llrps:// as url, or leave it out");
            None
        }
        (Some(ca), true) => {
            let path = file.beside(&ca.value);
            if let Err(why) = tls::client(&path) {
                file.fault(&ca.at, why.to_string());
            }
            Some(path)
        }
    };
    Way::Dial { host, port, ca }
}

fn gate(mut section: Section<'_>) -> Gate {
    section.require(&[("input", "the photo-eye's input on the reader, 1 to 64")]);
    let gate = Gate {
        input: section.number("input", 1..=64).map_or(1, |input| input.value),
        high: section.choice("level", &[("high", true), ("low", false)]).is_none_or(|level| level.value),
        linger: Duration::from_millis(section.number("linger_ms", 0..=60_000).map_or(1_000, |linger| linger.value)),
    };
    section.end();
    gate
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
