//! A sorter whose PLC speaks Modbus.

use super::{Chutes, url};
use crate::config::read::{At, Found, Names, Section};
use crate::config::url::modbus;
use std::collections::BTreeMap;
use std::path::PathBuf;
use stowage_base::Duration;
use stowage_protocol::modbus::{Framing, Serial};
use stowage_protocol::modbus_sorter::{Map, NUMBER_MAX, Numbered};

/// A sorter whose PLC is a Modbus server.
#[derive(Debug, Clone)]
pub struct SorterModbus {
    /// The way to it.
    pub line: ModbusLine,
    /// Its unit (slave address): 1 to 247 on a serial line, 0 to 255 over TCP.
    pub unit: u8,
    /// Where its parcels can go.
    pub chutes: Chutes,
    /// The same in the same order, with the PLC's numbers.
    pub numbers: Vec<Numbered>,
    /// Where its registers lie: no block overlaps another.
    pub map: Map,
    /// How often its status is read, 10 ms to 1 s.
    pub poll: Duration,
    /// The longest it takes to begin an answer, 20 ms to 5 s.
    pub response_max: Duration,
    /// A command is last sent this long before its deadline, 5 ms to 5 s.
    pub latency_margin: Duration,
}

/// The way to a Modbus server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModbusLine {
    /// Modbus RTU on a serial port.
    Serial {
        /// The port's device file.
        path: PathBuf,
        /// Baud rate, 1,200 to 921,600.
        baud: u32,
        /// Parity.
        parity: Parity,
        /// Stop bits, 1 or 2.
        stop_bits: u8,
    },
    /// Modbus TCP.
    Tcp {
        /// IP address or host name.
        host: String,
        /// TCP port.
        port: u16,
    },
}

/// Parity of a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parity {
    /// No parity bit.
    None,
    /// Even, the standard's own.
    Even,
    /// Odd.
    Odd,
}

impl Default for ModbusLine {
    fn default() -> Self {
        Self::Tcp { host: String::new(), port: 0 }
    }
}

impl ModbusLine {
    /// The envelope of requests on it.
    pub fn framing(&self) -> Framing {
        match self {
            Self::Serial { baud, parity, stop_bits, .. } => {
                Framing::Rtu(Serial { baud: *baud, bits: 9 + u8::from(*parity != Parity::None) + stop_bits })
            }
            Self::Tcp { .. } => Framing::Tcp,
        }
    }
}

/// What a command takes beside its time on the wire: the PLC's cycle, mostly.
const LATENCY_MARGIN: Duration = Duration::from_millis(50);

/// Octets of a command and of its answer on a serial line.
const COMMAND_OCTETS: usize = 33;

pub(super) fn read(section: &mut Section<'_>) -> SorterModbus {
    section.require(&[
        ("url", "serial:///dev/ttyUSB1?baud=19200&parity=even, or modbus://HOST or modbus://HOST:PORT"),
        ("chutes", "the chutes with the PLC's numbers, such as [{ code = \"C1\", number = 1 }]"),
        ("hospital", "the chute for problems, one of chutes"),
        ("map", "where the blocks lie in the PLC's registers: status, edge, command and ring"),
    ]);
    let line = url(section, modbus).unwrap_or_default();
    let framing = line.framing();
    let units = if framing == Framing::Tcp { 0..=255 } else { 1..=247 };
    let unit = section.number("unit", units).map_or(1, |unit| unit.value);
    let (chutes, numbers) = chutes(section);
    let highest = numbers.iter().map(|chute| chute.number).max().unwrap_or(0);
    let map = section.section("map").map_or(EMPTY, |map| self::map(map, highest));
    let on_the_wire = match framing {
        Framing::Rtu(serial) => serial.octets(COMMAND_OCTETS).millis(),
        Framing::Tcp => 0,
    };
    let millis = |found: Option<Found<i64>>, or: i64| Duration::from_millis(found.map_or(or, |found| found.value));
    SorterModbus {
        line,
        unit,
        chutes,
        numbers,
        map,
        poll: millis(section.number("poll_ms", 10..=1_000), 50),
        response_max: millis(section.number("response_ms", 20..=5_000), 200),
        latency_margin: millis(section.number("latency_margin_ms", 5..=5_000), LATENCY_MARGIN.millis() + on_the_wire),
    }
}

/// The chutes with their numbers, and the `hospital` among them.
fn chutes(section: &mut Section<'_>) -> (Chutes, Vec<Numbered>) {
    let file = section.file;
    let mut names = Names::new("chute of this sorter");
    let mut lines = BTreeMap::new();
    let mut numbers = Vec::new();
    for (index, mut entry) in section.sections("chutes").into_iter().enumerate() {
        entry.require(&[("code", "the chute's code"), ("number", "the PLC's number for it, from 1")]);
        let code = entry.code("code").unwrap_or_default();
        names.add(file, &code, index);
        let number = entry.number("number", 1..=NUMBER_MAX.into());
        if let Some(number) = &number
            && let Some(line) = lines.insert(number.value, number.at.line)
        {
            file.fault(&number.at, format!("is given twice: first on line {line}"));
        }
        numbers.push(Numbered { code: code.value, number: number.map_or(0, |number| number.value) });
        entry.end();
    }
    let hospital = section.code("hospital").unwrap_or_default();
    if !numbers.is_empty() {
        names.find(file, &hospital);
    }
    (Chutes { all: numbers.iter().map(|chute| chute.code.clone()).collect(), hospital: hospital.value }, numbers)
}

/// What a faulty section reads as.
const EMPTY: Map = Map {
    status: 0,
    edge: 0,
    command: 0,
    ring: 0,
    slots: 64,
    code_octets: 32,
    words: stowage_protocol::modbus_sorter::Halves::HighFirst,
    text: stowage_protocol::modbus_sorter::Halves::HighFirst,
};

fn map(mut section: Section<'_>, highest: u16) -> Map {
    let file = section.file;
    section.require(&[
        ("status", "the first register of the PLC's status"),
        ("edge", "the first register of the edge's own block"),
        ("command", "the first register of the command"),
        ("ring", "the first register of the ring of events"),
    ]);
    let starts = ["status", "edge", "command", "ring"].map(|block| (block, section.number(block, 0..=65_535)));
    let slots = section.number("slots", 2..=2_048).map_or(EMPTY.slots, |slots| slots.value);
    let code_octets = section.number::<u16>("code_octets", 2..=32).map_or(EMPTY.code_octets, |octets| {
        if octets.value % 2 != 0 {
            file.fault(&octets.at, "is odd, a register has two octets: give an even number");
        }
        octets.value
    });
    let words = section.word("words").map(|words| words.value).unwrap_or_default();
    let text = section.word("text").map(|text| text.value).unwrap_or_default();
    section.end();
    let [status, edge, command, ring] =
        [0, 1, 2, 3].map(|index| starts[index].1.as_ref().map_or(0, |start: &Found<u16>| start.value));
    let map = Map { status, edge, command, ring, slots, code_octets, words, text };
    // Where one is missing, it would seem to lie on others.
    let places: BTreeMap<&str, &At> =
        starts.iter().filter_map(|(block, at)| Some((*block, &at.as_ref()?.at))).collect();
    if places.len() == starts.len() {
        for fault in map.faults(highest) {
            if let Some(at) = places.get(fault.block) {
                file.fault(at, fault.what);
            }
        }
    }
    map
}
