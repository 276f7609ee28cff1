//! The module's end, for simulation: as strict as a real one, and it remembers what it was sent wrongly.

use crate::code::{OPTION_READ_FILTER, POWER_WITH_LIMITS, PROTOCOL_GEN2, READ_WITH_METADATA, antenna, search};
use crate::frame::{DATA_MAX, FRAME_MAX, Response, Splitter};
use crate::settings::Antennas;
use crate::speed::SPEEDS;
use crate::tag::{Metadata, TagRecord};
use crate::{Opcode, Region, Status};
use stowage_base::{Air, Duration, ReaderDevice, TagRead, Timestamp};

/// A frame whose octets pause for this long will not be completed.
const FRAME_PAUSE_MAX: Duration = Duration::from_millis(100);

/// A module that was not driven for this long goes on from now: it doesn't make up for what it missed.
const LAG_MAX: Duration = Duration::from_secs(10);

/// The line may be this far behind with reports; then the module reads no further before it has caught up.
const LINE_LAG_MAX: Duration = Duration::from_millis(100);

/// A start bit, eight bits of data, a stop bit.
const BITS_OF_AN_OCTET: i64 = 10;

/// What a simulated module is and can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModuleSettings {
    /// Starts in its bootloader, as most do after power-up.
    pub in_bootloader: bool,
    /// Speed of the line after power-up in Bd.
    pub baud: u32,
    /// Antenna ports, 1 to 16.
    pub ports: u8,
    /// Regions that it offers.
    pub regions: &'static [Region],
    /// Lowest and highest power in 1/100 dBm.
    pub power_cdbm: (u16, u16),
    /// How long it stays with one antenna.
    pub dwell: Duration,
}

impl Default for ModuleSettings {
    /// Four ports, 5 to 30 dBm, common regions, 50 ms for each antenna, in its bootloader, at 115200 Bd.
    fn default() -> Self {
        Self {
            in_bootloader: true,
            baud: SPEEDS[0],
            ports: 4,
            regions: &[Region::NORTH_AMERICA, Region::CHINA, Region::EUROPE_3, Region::OPEN],
            power_cdbm: (500, 3_000),
            dwell: Duration::from_millis(50),
        }
    }
}

/// What hangs at an antenna port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// A good antenna.
    Good,
    /// Nothing: a look there ends with [`Status::ANTENNA_NOT_CONNECTED`].
    Open,
    /// Something that sends the power back: a look there ends with [`Status::RETURN_LOSS`].
    Mismatched,
}

impl Port {
    /// What a look there comes to; `None`: it is heard.
    fn fault(self) -> Option<Status> {
        match self {
            Self::Good => None,
            Self::Open => Some(Status::ANTENNA_NOT_CONNECTED),
            Self::Mismatched => Some(Status::RETURN_LOSS),
        }
    }

    fn return_loss_db(self) -> u8 {
        match self {
            Self::Good => 18,
            Self::Open => 1,
            Self::Mismatched => 5,
        }
    }
}

/// Commands that a module had to refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Violations {
    /// How many.
    pub count: u32,
    /// The last one's opcode and the status it was answered with.
    pub last: Option<(Opcode, Status)>,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    metadata: Metadata,
    search_flags: u16,
    cycle: Duration,
    cycle_start: Timestamp,
    /// Position in the antenna list, and since when it dwells there.
    turn: usize,
    dwell_start: Timestamp,
}

/// A simulated reader module behind a serial port. Allocates nothing.
///
/// Answers every command of the start-up, gets and sets; refuses what a real module refuses, with its status, and
/// counts it in [`violations`](Self::violations). A damaged frame is no violation: it is dropped without an answer.
/// Reading needs a protocol (else 0401), a region (else 010B) and antennas (else 0503); while it reads, every command
/// but stop is refused with 0102. A cycle begins with the first antenna of the list and ends with a keep-alive. A line
/// that is slower than the tags come holds the module up, as a UART does.
#[derive(Debug, Clone)]
pub struct Module {
    settings: ModuleSettings,
    splitter: Splitter,
    octets_at: Timestamp,
    in_bootloader: bool,
    baud: u32,
    protocol: Option<u16>,
    region: Option<Region>,
    antennas: Option<Antennas>,
    read_power_cdbm: u16,
    write_power_cdbm: u16,
    reading: Option<Reading>,
    fault: Option<Status>,
    antenna_ports: [Port; Antennas::MAX],
    /// When the line will have carried everything that was said.
    line_free: Timestamp,
    violations: Violations,
}

impl Module {
    /// A module that was just powered.
    pub fn new(settings: ModuleSettings) -> Self {
        Self {
            settings,
            splitter: Splitter::new(),
            octets_at: Timestamp::EPOCH,
            in_bootloader: settings.in_bootloader,
            baud: settings.baud,
            protocol: None,
            region: None,
            antennas: None,
            read_power_cdbm: settings.power_cdbm.1,
            write_power_cdbm: settings.power_cdbm.1,
            reading: None,
            fault: None,
            antenna_ports: [Port::Good; Antennas::MAX],
            line_free: Timestamp::EPOCH,
            violations: Violations::default(),
        }
    }

    /// Whether a continuous read runs.
    pub fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// What it was sent wrongly since it was powered.
    pub fn violations(&self) -> Violations {
        self.violations
    }

    /// A fault of the whole module from now on ([`Status::TOO_HOT`]), or its end: while it lasts, each dwell reports it
    /// and reads nothing.
    pub fn set_fault(&mut self, fault: Option<Status>) {
        self.fault = fault;
    }

    /// What hangs at `port` from now on; `false`: it has no such port.
    pub fn set_port(&mut self, port: u8, state: Port) -> bool {
        let has = (1..=self.settings.ports).contains(&port);
        if let Some(place) = self.antenna_ports.get_mut(usize::from(port).wrapping_sub(1)).filter(|_| has) {
            *place = state;
        }
        has
    }

    fn port(&self, port: u8) -> Port {
        self.antenna_ports.get(usize::from(port).wrapping_sub(1)).copied().unwrap_or(Port::Open)
    }

    /// Loses power and gets it again: all settings are gone, the speed of the line among them.
    pub fn power_cycle(&mut self) {
        let Self { settings, violations, fault, antenna_ports, .. } = *self;
        *self = Self { violations, fault, antenna_ports, ..Self::new(settings) };
    }

    /// What was cut short before a pause must not swallow what comes after it.
    fn pause(&mut self, now: Timestamp, out: &mut dyn FnMut(&[u8])) {
        while self.splitter.is_waiting() && now >= self.octets_at + FRAME_PAUSE_MAX {
            self.splitter.give_up();
            self.drain(now, out);
        }
    }

    fn drain(&mut self, now: Timestamp, out: &mut dyn FnMut(&[u8])) {
        loop {
            let mut data = [0; DATA_MAX];
            let Some(command) = self.splitter.next_command() else { return };
            let (opcode, len) = (command.opcode, command.data.len());
            data[..len].copy_from_slice(command.data);
            let mut answer = Answer { data: [0; DATA_MAX], len: 0 };
            let status = match self.obey(now, opcode, &data[..len], &mut answer) {
                Ok(()) => Status::OK,
                Err(status) => {
                    self.violations.count += 1;
                    self.violations.last = Some((opcode, status));
                    answer.len = 0;
                    status
                }
            };
            send(opcode, status, &answer.data[..answer.len], out);
        }
    }

    fn obey(&mut self, now: Timestamp, opcode: Opcode, data: &[u8], answer: &mut Answer) -> Result<(), Status> {
        let boots = matches!(opcode, Opcode::VERSION | Opcode::BOOT | Opcode::SET_BAUD | Opcode::PROGRAM);
        if self.in_bootloader && !boots {
            return Err(Status::UNKNOWN_OPCODE);
        }
        if self.reading.is_some() && opcode != Opcode::CONTINUOUS {
            return Err(Status::UNIMPLEMENTED);
        }
        let (power_min, power_max) = self.settings.power_cdbm;
        let power = |data: &[u8]| match word(data)? {
            power if power > power_max => Err(Status::POWER_TOO_HIGH),
            power if power < power_min => Err(Status::POWER_TOO_LOW),
            power => Ok(power),
        };
        match opcode {
            Opcode::VERSION => {
                fixed::<0>(data)?;
                answer.put(&[0x13, 0x04, 0x15, 0x00, 0xA8, 0x00, 0x00, 0x01]);
                answer.put(&[0x20, 0x13, 0x05, 0x22, 0x13, 0x05, 0x23, 0x00, 0x00, 0x00, 0x00, 0x10]);
            }
            Opcode::BOOT => {
                fixed::<0>(data)?;
                if !self.in_bootloader {
                    return Err(Status::UNKNOWN_OPCODE);
                }
                self.in_bootloader = false;
            }
            Opcode::SET_BAUD => {
                let baud = u32::from_be_bytes(*fixed::<4>(data)?);
                self.baud = SPEEDS.contains(&baud).then_some(baud).ok_or(Status::BAD_BAUD)?;
            }
            Opcode::PROGRAM => {
                fixed::<0>(data)?;
                answer.put(&[if self.in_bootloader { 0x11 } else { 0x12 }]);
            }
            Opcode::GET_PROTOCOL => {
                fixed::<0>(data)?;
                answer.put(&self.protocol.unwrap_or(0).to_be_bytes());
            }
            Opcode::SET_PROTOCOL => match word(data)? {
                PROTOCOL_GEN2 => self.protocol = Some(PROTOCOL_GEN2),
                _ => return Err(Status::BAD_PROTOCOL),
            },
            Opcode::GET_REGION => {
                fixed::<0>(data)?;
                answer.put(&[self.region.map_or(0, |region| region.0)]);
            }
            Opcode::SET_REGION => {
                let [region] = *fixed::<1>(data)?;
                let offered = self.settings.regions.contains(&Region(region));
                self.region = Some(offered.then_some(Region(region)).ok_or(Status::BAD_REGION)?);
            }
            Opcode::REGIONS => {
                fixed::<0>(data)?;
                self.settings.regions.iter().for_each(|region| answer.put(&[region.0]));
            }
            Opcode::TEMPERATURE => {
                fixed::<0>(data)?;
                answer.put(&[if self.fault == Some(Status::TOO_HOT) { 91 } else { 38 }]);
            }
            Opcode::GET_READ_POWER | Opcode::GET_WRITE_POWER => {
                let [option] = *fixed::<1>(data)?;
                if option > POWER_WITH_LIMITS {
                    return Err(Status::BAD_PARAMETER);
                }
                let read = opcode == Opcode::GET_READ_POWER;
                answer.put(&[option]);
                answer.put(&if read { self.read_power_cdbm } else { self.write_power_cdbm }.to_be_bytes());
                if option == POWER_WITH_LIMITS {
                    answer.put(&power_max.to_be_bytes());
                    answer.put(&power_min.to_be_bytes());
                }
            }
            Opcode::SET_READ_POWER => self.read_power_cdbm = power(data)?,
            Opcode::SET_WRITE_POWER => self.write_power_cdbm = power(data)?,
            Opcode::GET_ANTENNA => {
                let [option] = *fixed::<1>(data)?;
                answer.put(&[option]);
                let ports = 1..=self.settings.ports;
                match option {
                    antenna::LIST => {
                        self.antennas.iter().flat_map(|list| list.ports()).for_each(|port| answer.put(&[*port, *port]));
                    }
                    antenna::DETECTED => {
                        ports.for_each(|port| answer.put(&[port, u8::from(self.port(port) != Port::Open)]));
                    }
                    antenna::RETURN_LOSS => {
                        ports.for_each(|port| answer.put(&[port, self.port(port).return_loss_db()]));
                    }
                    _ => return Err(Status::BAD_PARAMETER),
                }
            }
            Opcode::SET_ANTENNA => self.antennas = Some(self.antenna_list(data)?),
            Opcode::GET_OPTION => match *fixed::<2>(data)? {
                [1, OPTION_READ_FILTER] => answer.put(&[1, OPTION_READ_FILTER, 0]),
                _ => return Err(Status::BAD_PARAMETER),
            },
            Opcode::SET_OPTION => match *fixed::<3>(data)? {
                [1, OPTION_READ_FILTER, 0] => {}
                // It has no memory for "each tag once".
                [1, OPTION_READ_FILTER, 1] => return Err(Status::UNIMPLEMENTED),
                _ => return Err(Status::BAD_PARAMETER),
            },
            Opcode::CONTINUOUS => self.continuous(now, data)?,
            _ => return Err(Status::UNKNOWN_OPCODE),
        }
        Ok(())
    }

    /// Either one pair of ports, or 02 and a list of pairs. Each pair: transmit and receive by the same port.
    fn antenna_list(&self, data: &[u8]) -> Result<Antennas, Status> {
        let pairs = match data {
            [_, _] => data,
            [antenna::LIST, pairs @ ..] if !pairs.is_empty() && pairs.len() % 2 == 0 => pairs,
            [antenna::LIST, ..] | [] | [_] => return Err(Status::WRONG_LENGTH),
            _ => return Err(Status::BAD_PARAMETER),
        };
        let (mut ports, count) = ([0; Antennas::MAX], pairs.len() / 2);
        for (index, pair) in pairs.chunks_exact(2).enumerate() {
            let good = pair[0] == pair[1] && (1..=self.settings.ports).contains(&pair[0]);
            *ports.get_mut(index).filter(|_| good).ok_or(Status::BAD_PARAMETER)? = pair[0];
        }
        Antennas::new(&ports[..count]).ok_or(Status::BAD_PARAMETER)
    }

    fn continuous(&mut self, now: Timestamp, data: &[u8]) -> Result<(), Status> {
        let (flags, cycle_ms, metadata) = match *data {
            // Stop, also where nothing runs.
            [0, 0, 2] => {
                self.reading = None;
                return Ok(());
            }
            // One sub-command of seven octets: read multiple tags.
            [0, 0, 1, sub, 0, 0, protocol, 7, read, option, f1, f0, c1, c0, m1, m0]
                if sub == Opcode::READ_MULTIPLE.0 && read == sub && option == READ_WITH_METADATA =>
            {
                if u16::from(protocol) != PROTOCOL_GEN2 {
                    return Err(Status::BAD_PROTOCOL);
                }
                let word = |high, low| u16::from_be_bytes([high, low]);
                (word(f1, f0), word(c1, c0), Metadata(word(m1, m0)))
            }
            [_, _, 1, ..] if data.len() == 16 => return Err(Status::BAD_PARAMETER),
            [_, _, 1 | 2, ..] => return Err(Status::WRONG_LENGTH),
            [_, _, _, ..] => return Err(Status::BAD_PARAMETER),
            _ => return Err(Status::WRONG_LENGTH),
        };
        let excluded = search::STATUS | search::STATISTICS;
        let needed = search::STREAMING | search::ANTENNA_LIST;
        if flags & excluded == excluded || flags & needed != needed || cycle_ms == 0 {
            return Err(Status::BAD_PARAMETER);
        }
        if !Metadata::KNOWN.contains(metadata) {
            return Err(Status::BAD_PARAMETER);
        }
        match (self.reading, self.protocol, self.region, self.antennas) {
            (Some(_), ..) => Err(Status::UNIMPLEMENTED),
            (None, None, ..) => Err(Status::NO_PROTOCOL),
            (None, _, None, _) => Err(Status::BAD_REGION),
            (None, _, _, None) => Err(Status::ANTENNA_NOT_CONNECTED),
            (None, Some(_), Some(_), Some(_)) => {
                let cycle = Duration::from_millis(i64::from(cycle_ms));
                self.reading =
                    Some(Reading { metadata, search_flags: flags, cycle, cycle_start: now, turn: 0, dwell_start: now });
                Ok(())
            }
        }
    }

    fn dwell_end(&self, reading: &Reading) -> Timestamp {
        // At least a millisecond, so that time goes on whatever the settings say and however far the line is behind.
        let least = Duration::from_millis(1);
        let cycle_end = (reading.cycle_start + reading.cycle).max(reading.dwell_start + least);
        (reading.dwell_start + self.settings.dwell.max(least)).min(cycle_end)
    }

    /// Does the dwells that are over by `now`.
    fn read_on(&mut self, now: Timestamp, air: &mut dyn Air, out: &mut dyn FnMut(&[u8])) {
        let (Some(mut reading), Some(antennas)) = (self.reading, self.antennas) else { return };
        if now - reading.dwell_start > LAG_MAX {
            (reading.cycle_start, reading.dwell_start, reading.turn) = (now, now, 0);
        }
        let ports = antennas.ports();
        loop {
            let (start, end) = (reading.dwell_start, self.dwell_end(&reading));
            if end > now {
                break;
            }
            let mut said = 0;
            let mut out = |octets: &[u8]| {
                said += octets.len() as i64;
                out(octets);
            };
            let port = ports[reading.turn % ports.len()];
            match self.fault.or(self.port(port).fault()) {
                Some(fault) => send(Opcode::READ_MULTIPLE, fault, &[], &mut out),
                None => {
                    let power = i16::try_from(self.read_power_cdbm).unwrap_or(i16::MAX);
                    let heard = &mut |read: &TagRead| report(&reading, port, read, &mut out);
                    air.interrogate(u16::from(port), power, start, end, heard);
                }
            }
            let cycle_over = end >= reading.cycle_start + reading.cycle;
            if cycle_over && self.fault.is_none() {
                send(Opcode::READ_MULTIPLE, Status::NO_TAGS, &[], &mut out);
            }
            let needs = Duration::from_micros(said * BITS_OF_AN_OCTET * 1_000_000 / i64::from(self.baud.max(1)));
            self.line_free = self.line_free.max(end) + needs;
            reading.turn += 1;
            reading.dwell_start = end.max(self.line_free - LINE_LAG_MAX);
            if cycle_over {
                (reading.cycle_start, reading.turn) = (reading.dwell_start, 0);
            }
        }
        self.reading = Some(reading);
    }
}

impl ReaderDevice for Module {
    fn connected(&mut self, now: Timestamp, _out: &mut dyn FnMut(&[u8])) {
        // The module doesn't see that a port was opened: whatever ran runs on.
        self.octets_at = now;
    }

    fn receive(&mut self, now: Timestamp, mut octets: &[u8], air: &mut dyn Air, out: &mut dyn FnMut(&[u8])) {
        self.tick(now, air, out);
        self.octets_at = now;
        while !octets.is_empty() {
            self.splitter.fill(&mut octets);
            self.drain(now, out);
        }
    }

    fn tick(&mut self, now: Timestamp, air: &mut dyn Air, out: &mut dyn FnMut(&[u8])) {
        self.read_on(now, air, out);
        self.pause(now, out);
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let dwell = self.reading.map(|reading| self.dwell_end(&reading));
        let pause = self.splitter.is_waiting().then(|| self.octets_at + FRAME_PAUSE_MAX);
        [dwell, pause].into_iter().flatten().min()
    }

    fn disconnected(&mut self, _now: Timestamp) {
        // Nor that it was closed.
    }

    fn over(&self) -> bool {
        false
    }

    fn baud(&self) -> Option<u32> {
        Some(self.baud)
    }
}

struct Answer {
    data: [u8; DATA_MAX],
    len: usize,
}

impl Answer {
    /// Appends; what no longer fits is left out (no answer here comes near the limit).
    fn put(&mut self, octets: &[u8]) {
        if let Some(room) = self.data.get_mut(self.len..self.len + octets.len()) {
            room.copy_from_slice(octets);
            self.len += octets.len();
        }
    }
}

fn fixed<const N: usize>(data: &[u8]) -> Result<&[u8; N], Status> {
    data.try_into().map_err(|_| Status::WRONG_LENGTH)
}

fn word(data: &[u8]) -> Result<u16, Status> {
    fixed::<2>(data).map(|octets| u16::from_be_bytes(*octets))
}

fn send(opcode: Opcode, status: Status, data: &[u8], out: &mut dyn FnMut(&[u8])) {
    let mut frame = [0; FRAME_MAX];
    if let Some(frame) = (Response { opcode, status, data }).encode(&mut frame) {
        out(frame);
    }
}

/// Streams one tag as a frame of its own.
fn report(reading: &Reading, port: u8, read: &TagRead, out: &mut dyn FnMut(&[u8])) {
    // The strongest and weakest that fit; a carrier or phase unknown to the air is told as 0.
    let dbm = (i32::from(read.rssi_cdbm) + 50).div_euclid(100).clamp(-128, 127) as i8;
    let nibble = port & 0x0F;
    let tag = TagRecord {
        read_count: Some(u8::try_from(read.count).unwrap_or(u8::MAX)),
        rssi_dbm: Some(dbm),
        antenna: Some(nibble << 4 | nibble),
        frequency_khz: read.frequency_khz,
        timestamp_ms: Some(u32::try_from(read.at.since(reading.cycle_start).millis()).unwrap_or(u32::MAX)),
        phase_deg: read.phase.map(|phase| (u32::from(phase) * 360 / 4096 % 180) as u16),
        protocol: Some(PROTOCOL_GEN2 as u8),
        ..TagRecord::of_epc(read.epc.octets())
    };
    let mut data = [0; DATA_MAX];
    data[0] = READ_WITH_METADATA;
    data[1..3].copy_from_slice(&reading.search_flags.to_be_bytes());
    data[3..5].copy_from_slice(&reading.metadata.0.to_be_bytes());
    data[5] = 1;
    if let Some(len) = tag.encode(reading.metadata, &mut data[6..]) {
        send(Opcode::READ_MULTIPLE, Status::OK, &data[..6 + len], out);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::frame::Command;
    use std::vec::Vec;

    struct Vacuum;

    impl Air for Vacuum {
        fn interrogate(&mut self, _: u16, _: i16, _: Timestamp, _: Timestamp, _: &mut dyn FnMut(&TagRead)) {}
    }

    fn ask(module: &mut Module, opcode: u8, data: &[u8]) -> (u16, Vec<u8>) {
        let mut frame = [0; FRAME_MAX];
        let frame = Command { opcode: Opcode(opcode), data }.encode(&mut frame).expect("fits");
        let mut answer = Vec::new();
        module.receive(Timestamp::EPOCH, frame, &mut Vacuum, &mut |octets| answer.extend(octets));
        let answer = Response::decode(&answer).expect("one answer");
        assert_eq!(answer.opcode.0, opcode);
        (answer.status.0, answer.data.to_vec())
    }

    const START: [u8; 16] = [0, 0, 1, 0x22, 0, 0, 5, 7, 0x22, 0x10, 0, 0x1B, 3, 0xE8, 1, 0xFF];

    #[test]
    fn a_bootloader_knows_little_until_booted() {
        let mut module = Module::new(ModuleSettings::default());
        assert_eq!(ask(&mut module, 0x0C, &[]), (0, std::vec![0x11]));
        assert_eq!(ask(&mut module, 0x97, &[8]).0, 0x0101);
        assert_eq!(ask(&mut module, 0x04, &[]).0, 0);
        assert_eq!(ask(&mut module, 0x0C, &[]), (0, std::vec![0x12]));
        assert_eq!(module.violations(), Violations { count: 1, last: Some((Opcode(0x97), Status(0x0101))) });
    }

    #[test]
    fn refusals_have_the_real_ones_status() {
        let mut module = Module::new(ModuleSettings { in_bootloader: false, ..ModuleSettings::default() });
        let dialogue: &[(u8, &[u8], u16)] = &[
            (0x2F, &START, 0x0401),
            (0x93, &[0, 5], 0),
            (0x2F, &START, 0x010B),
            (0x97, &[8], 0),
            (0x2F, &START, 0x0503),
            (0x91, &[2, 1, 1, 4, 4], 0),
            (0x2F, &[0, 0, 1], 0x0100),
            (0x2F, &START, 0),
            (0x2F, &START, 0x0102),
            (0x72, &[], 0x0102),
            (0x2F, &[0, 0, 2], 0),
            (0x2F, &[0, 0, 2], 0),
            (0x72, &[], 0),
            (0x99, &[1], 0x0101),
            (0x03, &[1], 0x0100),
            (0x93, &[0, 6], 0x0402),
            (0x97, &[0x42], 0x010B),
            (0x92, &[0x0B, 0xB9], 0x0103),
            (0x92, &[0x00, 0x01], 0x0106),
            (0x92, &[0x0A, 0x8C], 0),
            (0x62, &[0], 0),
            (0x91, &[1, 2], 0x0105),
            (0x91, &[2, 5, 5], 0x0105),
            (0x91, &[2, 1], 0x0105),
            (0x91, &[2, 1, 1, 1, 1], 0x0105),
            (0x91, &[3, 3], 0),
            (0x06, &[0, 1, 0xC2, 0], 0),
            (0x06, &[0, 0, 0, 1], 0x010A),
            (0x9A, &[1, 0x0C, 0], 0),
            (0x9A, &[1, 0x0C, 9], 0x0105),
        ];
        for (opcode, data, status) in dialogue {
            assert_eq!(ask(&mut module, *opcode, data).0, *status, "{opcode:02X} {data:02X?}");
        }
        assert_eq!(ask(&mut module, 0x62, &[0]).1, [0, 0x0A, 0x8C]);
        assert_eq!(ask(&mut module, 0x61, &[2]).1, [2, 3, 3]);
        let refused = dialogue.iter().filter(|line| line.2 != 0).count();
        assert_eq!(module.violations().count, refused as u32);
    }

    #[test]
    fn a_keepalive_ends_each_cycle_and_a_power_cut_everything() {
        let mut module = Module::new(ModuleSettings { in_bootloader: false, ..ModuleSettings::default() });
        for (opcode, data) in [(0x93, &[0, 5][..]), (0x97, &[8]), (0x91, &[1, 1]), (0x2F, &START)] {
            assert_eq!(ask(&mut module, opcode, data).0, 0);
        }
        let mut out: Vec<u8> = Vec::new();
        module.tick(Timestamp::from_micros(2_000_000), &mut Vacuum, &mut |octets| out.extend(octets));
        assert_eq!(out, [0xFF, 0x00, 0x22, 0x04, 0x00, 0x84, 0xE0].repeat(2));
        module.power_cycle();
        assert_eq!((module.is_reading(), module.next_deadline()), (false, None));
    }
}
