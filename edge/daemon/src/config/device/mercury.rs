//! A UART reader module.

use super::{Places, url};
use crate::config::read::Section;
use crate::config::url::serial;
use std::path::PathBuf;
use stowage_mercury::speed::SPEEDS;
use stowage_mercury::{Antennas, Region};

/// A UART reader module that speaks the Mercury protocol.
#[derive(Debug, Clone)]
pub struct Mercury {
    /// The serial port's device file.
    pub path: PathBuf,
    /// Speed of the line in Bd, one that such modules know.
    pub baud: u32,
    /// The antenna ports to use, at least one; the module takes them by turns.
    pub antennas: Antennas,
    /// Transmit power at each of them in 1/100 dBm, 0 to 3,300.
    pub power_cdbm: u16,
    /// Radio rules to obey.
    pub region: Region,
}

/// By the names that the modules' makers use.
const REGIONS: &[(&str, Region)] = &[
    ("na", Region::NORTH_AMERICA),
    ("na2", Region::NORTH_AMERICA_2),
    ("na3", Region::NORTH_AMERICA_3),
    ("eu", Region::EUROPE),
    ("eu2", Region::EUROPE_2),
    ("eu3", Region::EUROPE_3),
    ("in", Region::INDIA),
    ("jp", Region::JAPAN),
    ("kr", Region::KOREA),
    ("kr2", Region::KOREA_2),
    ("cn", Region::CHINA),
    ("cn840", Region::CHINA_840),
    ("au", Region::AUSTRALIA),
    ("nz", Region::NEW_ZEALAND),
];

pub(super) fn read(section: &mut Section<'_>, places: &mut Places<'_>) -> Mercury {
    section.require(&[
        ("url", "serial:///dev/… with the port's device file"),
        ("antennas", "the ports to use, such as [1, 2]"),
        ("power_dbm", "the power at each antenna, 0 to 33"),
        ("region", r#"the radio rules of the place, such as "eu3" or "na""#),
    ]);
    let (path, baud) = url(section, |text| serial(text).and_then(known_speed)).unwrap_or_default();
    Mercury {
        path,
        baud,
        antennas: ports(section, places),
        // In range, and so not below zero.
        power_cdbm: section.power_cdbm("power_dbm", 0..=3_300).map_or(0, |power| power.value.unsigned_abs()),
        region: section.choice("region", REGIONS).map_or(Region::EUROPE_3, |region| region.value),
    }
}

fn known_speed((path, baud): (PathBuf, u32)) -> Result<(PathBuf, u32), String> {
    if SPEEDS.contains(&baud) {
        return Ok((path, baud));
    }
    let known: Vec<_> = SPEEDS.iter().map(u32::to_string).collect();
    Err(format!("baud={baud} is no speed of such modules: give one of {}", known.join(", ")))
}

fn ports(section: &mut Section<'_>, places: &mut Places<'_>) -> Antennas {
    let file = section.file;
    let mut ports: Vec<u8> = Vec::new();
    for port in section.numbers("antennas") {
        match u8::try_from(port.value).ok().filter(|port| (1..=16).contains(port)) {
            None => file.fault(&port.at, "out of range: give 1 to 16"),
            Some(number) if places.take(number.into(), &port.at) => ports.push(number),
            Some(_) => file.fault(&port.at, "is given twice"),
        }
    }
    let at_least_one = if ports.is_empty() { &[1] } else { &ports[..] };
    // Each in range, once, at least one.
    Antennas::new(at_least_one).unwrap_or_else(|| unreachable!("ports were checked: {ports:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_that_no_module_knows_is_refused_with_those_that_it_may_be() {
        for baud in SPEEDS {
            assert!(known_speed(("/dev/ttyUSB0".into(), baud)).is_ok());
        }
        let refused = known_speed(("/dev/ttyUSB0".into(), 250_000)).expect_err("no such speed");
        assert!(refused.starts_with("baud=250000 is no speed of such modules: give one of 115200, 9600"), "{refused}");
    }
}
