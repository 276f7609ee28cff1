//! The host's end: brings a module up, keeps it reading, makes reads and visits of what it tells.

use crate::code::{OPTION_READ_FILTER, PROTOCOL_GEN2, READ_WITH_METADATA, search};
use crate::frame::{Command, FRAME_MAX, Response, Splitter};
use crate::tag::{Metadata, Records, TagRecord};
use crate::visits::Visits;
use crate::{Opcode, Region, Status};
use stowage_base::{Duration, Epc, ReaderEvent, ReaderSession, ReaderSink, TagRead, Timestamp};

/// A module answers a command within this, or it did not hear it. Starting its firmware is the slowest.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// So often is a command sent before the session gives up.
const TRIES_MAX: u8 = 3;

/// A reading module that says nothing for this long is stopped and started again.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// A frame whose octets pause for this long will not be completed.
const FRAME_PAUSE_MAX: Duration = Duration::from_millis(100);

/// Length of a read cycle in ms: a keep-alive ends each.
const CYCLE_MS: u16 = 1_000;

/// What each streamed record tells.
const METADATA: Metadata = Metadata::READ_COUNT
    .with(Metadata::RSSI)
    .with(Metadata::ANTENNA)
    .with(Metadata::FREQUENCY)
    .with(Metadata::TIMESTAMP)
    .with(Metadata::PHASE);

/// The antenna ports that a module reads by turns: 1 to 16 of them, each from 1 to 16, none twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Antennas {
    ports: [u8; Self::MAX],
    len: u8,
}

impl Antennas {
    /// The highest port, and the longest list.
    pub const MAX: usize = 16;

    /// The list of `ports`; `None` if it is empty, too long, has a port twice or one outside 1 to 16.
    pub fn new(ports: &[u8]) -> Option<Self> {
        let unique = ports.iter().enumerate().all(|(at, port)| !ports[..at].contains(port));
        let fit = !ports.is_empty() && unique && ports.iter().all(|port| (1..=Self::MAX).contains(&usize::from(*port)));
        let mut list = Self { ports: [0; Self::MAX], len: ports.len() as u8 };
        list.ports.get_mut(..ports.len()).filter(|_| fit)?.copy_from_slice(ports);
        Some(list)
    }

    /// The ports, in the order of the turns.
    pub fn ports(&self) -> &[u8] {
        &self.ports[..usize::from(self.len)]
    }

    pub(crate) fn index(&self, port: u8) -> Option<usize> {
        self.ports().iter().position(|other| *other == port)
    }
}

/// How a module shall read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whose radio rules hold where the module stands.
    pub region: Region,
    /// Transmit power for reading in 1/100 dBm; the module refuses what it can't.
    pub read_power_cdbm: u16,
    /// The antennas to read by turns.
    pub antennas: Antennas,
}

/// What a module says it is. Each number as it stands in the answer; the firmware's date is BCD (20130522).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Bootloader version.
    pub bootloader: [u8; 4],
    /// Hardware version.
    pub hardware: [u8; 4],
    /// Firmware date, BCD.
    pub firmware_date: [u8; 4],
    /// Firmware version.
    pub firmware: [u8; 4],
    /// Bit n − 1 stands for tag protocol n: 0x10 is Gen2.
    pub protocols: u32,
}

impl Version {
    /// The version in the data of a [`Opcode::VERSION`] response; `None` if it hasn't exactly 20 octets.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let (parts, []) = data.as_chunks::<4>() else { return None };
        let &[bootloader, hardware, firmware_date, firmware, protocols] = parts else { return None };
        Some(Self { bootloader, hardware, firmware_date, firmware, protocols: u32::from_be_bytes(protocols) })
    }
}

/// One command of the start-up, in its order; the last two also wake a module that fell silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// An earlier session may have left the module reading.
    Quieten,
    Version,
    /// Bootloader or application?
    Program {
        booted: bool,
    },
    Boot,
    Protocol,
    Region,
    ReadPower,
    Antennas,
    ReportEachRead,
    Stop,
    Start,
}

impl Step {
    fn opcode(self) -> Opcode {
        match self {
            Self::Version => Opcode::VERSION,
            Self::Program { .. } => Opcode::PROGRAM,
            Self::Boot => Opcode::BOOT,
            Self::Protocol => Opcode::SET_PROTOCOL,
            Self::Region => Opcode::SET_REGION,
            Self::ReadPower => Opcode::SET_READ_POWER,
            Self::Antennas => Opcode::SET_ANTENNA,
            Self::ReportEachRead => Opcode::SET_OPTION,
            Self::Quieten | Self::Stop | Self::Start => Opcode::CONTINUOUS,
        }
    }

    /// Whether the session can go on though the module refuses this: it isn't reading, or knows no such option.
    fn may_fail(self) -> bool {
        matches!(self, Self::Quieten | Self::Boot | Self::ReportEachRead | Self::Stop)
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// No connection, or this one is given up.
    Closed { over: bool },
    /// A command is out; at `until` it is sent again or the session gives up.
    Asking { step: Step, tries: u8, until: Timestamp },
    /// The module streams. `heard`: its last frame.
    Reading { heard: Timestamp },
}

/// The edge's or the scanner's end of a module. Allocates nothing.
///
/// On connection it stops what runs, starts the module's firmware if only its bootloader runs, sets protocol, region,
/// power, antennas and "report each read", and starts a continuous read. A fault that the module reports while it
/// reads is passed on and the session goes on; a refused setting ends it, as does a module that says nothing for 3 s
/// and then answers neither stop nor start. Noise costs the frames that it hits.
///
/// Each read is stamped with the module's own clock, mapped to ours by the quickest frame of late. Visits are
/// inferred from the order of reads and the keep-alives: antennas between two reads in the list looked in vain; a
/// keep-alive means that the rest of the list had its turn; after 2 s without a frame, or with a fault, a visit is
/// unhealthy.
#[derive(Debug, Clone)]
pub struct Client {
    splitter: Splitter,
    /// When octets came last.
    octets_at: Timestamp,
    session: Session,
}

#[derive(Debug, Clone)]
struct Session {
    settings: Settings,
    state: State,
    /// [`ReaderEvent::Up`] was told on this connection.
    up: bool,
    version: Option<Version>,
    visits: Visits,
    clock: CycleClock,
}

impl Client {
    /// A session for a module that shall read as `settings` say.
    pub fn new(settings: Settings) -> Self {
        Self {
            splitter: Splitter::new(),
            octets_at: Timestamp::EPOCH,
            session: Session {
                settings,
                state: State::Closed { over: false },
                up: false,
                version: None,
                visits: Visits::new(Timestamp::EPOCH),
                clock: CycleClock(None),
            },
        }
    }

    /// What the module said it is, on this connection.
    pub fn version(&self) -> Option<Version> {
        self.session.version
    }

    /// Octets that belonged to no good frame, since the session was made: the line's quality.
    pub fn noise_octets(&self) -> u64 {
        self.splitter.skipped()
    }

    /// What was cut short before a pause must not swallow what comes after it.
    fn pause(&mut self, now: Timestamp, sink: &mut impl ReaderSink) {
        while self.splitter.is_waiting() && now >= self.octets_at + FRAME_PAUSE_MAX {
            self.splitter.give_up();
            self.drain(now, sink);
        }
    }

    fn drain(&mut self, now: Timestamp, sink: &mut impl ReaderSink) {
        while let Some(response) = self.splitter.next_response() {
            self.session.response(now, &response, sink);
        }
    }
}

impl ReaderSession for Client {
    fn connected(&mut self, now: Timestamp, sink: &mut impl ReaderSink) {
        self.splitter.clear();
        self.octets_at = now;
        self.session.up = false;
        self.session.version = None;
        self.session.ask(now, Step::Quieten, 1, sink);
    }

    fn receive(&mut self, now: Timestamp, mut octets: &[u8], sink: &mut impl ReaderSink) {
        if matches!(self.session.state, State::Closed { .. }) {
            return;
        }
        self.pause(now, sink);
        self.octets_at = now;
        let noise = self.splitter.skipped();
        while !octets.is_empty() {
            self.splitter.fill(&mut octets);
            self.drain(now, sink);
        }
        if self.splitter.skipped() > noise {
            sink.event(ReaderEvent::Malformed {
                what: "a frame: FF, length, opcode, status, data, its CRC",
                offset: 0,
            });
        }
    }

    fn tick(&mut self, now: Timestamp, sink: &mut impl ReaderSink) {
        self.pause(now, sink);
        self.session.tick(now, sink);
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let deadline = match self.session.state {
            State::Closed { .. } => return None,
            State::Asking { until, .. } => until,
            State::Reading { heard } => heard + SILENCE_MAX,
        };
        Some(if self.splitter.is_waiting() { deadline.min(self.octets_at + FRAME_PAUSE_MAX) } else { deadline })
    }

    fn disconnected(&mut self, _now: Timestamp, sink: &mut impl ReaderSink) {
        if !matches!(self.session.state, State::Closed { .. }) {
            self.session.down("the port is gone", sink);
        }
        self.session.state = State::Closed { over: false };
    }

    fn over(&self) -> bool {
        matches!(self.session.state, State::Closed { over: true })
    }
}

impl Session {
    fn ask(&mut self, now: Timestamp, step: Step, tries: u8, sink: &mut impl ReaderSink) {
        let mut data = [0; 1 + 2 * Antennas::MAX];
        let data: &[u8] = match step {
            Step::Version | Step::Program { .. } | Step::Boot => &[],
            Step::Protocol => &PROTOCOL_GEN2.to_be_bytes(),
            Step::Region => &[self.settings.region.0],
            Step::ReadPower => &self.settings.read_power_cdbm.to_be_bytes(),
            Step::Antennas => {
                // 02: a list of pairs of transmitting and receiving port.
                let ports = self.settings.antennas.ports();
                data[0] = 2;
                for (pair, port) in data[1..].chunks_exact_mut(2).zip(ports) {
                    pair.fill(*port);
                }
                &data[..1 + 2 * ports.len()]
            }
            Step::ReportEachRead => &[1, OPTION_READ_FILTER, 0],
            Step::Quieten | Step::Stop => &[0, 0, 2],
            Step::Start => &START,
        };
        let mut out = [0; FRAME_MAX];
        if let Some(frame) = (Command { opcode: step.opcode(), data }).encode(&mut out) {
            sink.send(frame);
        }
        self.state = State::Asking { step, tries, until: now + ANSWER_WAIT };
    }

    fn response(&mut self, now: Timestamp, response: &Response<'_>, sink: &mut impl ReaderSink) {
        match (self.state, response.opcode) {
            (State::Closed { .. }, _) => {}
            (State::Asking { step, .. }, opcode) if opcode == step.opcode() => self.answer(now, step, response, sink),
            (State::Reading { heard }, Opcode::READ_MULTIPLE) => {
                self.state = State::Reading { heard: heard.max(now) };
                self.report(now, response, sink);
            }
            // A late tag of a read that was stopped, or the answer to a command that was sent twice.
            (State::Asking { .. } | State::Reading { .. }, _) => {}
        }
    }

    fn answer(&mut self, now: Timestamp, step: Step, response: &Response<'_>, sink: &mut impl ReaderSink) {
        if response.status != Status::OK {
            if !step.may_fail() || step == Step::ReportEachRead {
                let what = response.status.name().unwrap_or("unknown status");
                sink.event(ReaderEvent::Fault { what, code: u32::from(response.status.0) });
            }
            if !step.may_fail() {
                return self.down(refusal(step), sink);
            }
        }
        let next = match step {
            Step::Quieten => Step::Version,
            Step::Version => {
                self.version = Version::parse(response.data);
                Step::Program { booted: false }
            }
            // The low two bits: 1 the bootloader, 2 the application.
            Step::Program { booted } => match (response.data.first().map(|program| program & 3), booted) {
                (Some(1), false) => Step::Boot,
                (Some(1), true) => return self.down("the module stays in its bootloader: no good firmware", sink),
                _ => Step::Protocol,
            },
            // Refused where a repeat finds the application started already: the program tells.
            Step::Boot => Step::Program { booted: true },
            Step::Protocol => Step::Region,
            Step::Region => Step::ReadPower,
            Step::ReadPower => Step::Antennas,
            Step::Antennas => Step::ReportEachRead,
            Step::ReportEachRead | Step::Stop => Step::Start,
            Step::Start => {
                self.state = State::Reading { heard: now };
                self.visits = Visits::new(now);
                self.clock = CycleClock(None);
                if !self.up {
                    self.up = true;
                    sink.event(ReaderEvent::Up);
                }
                return;
            }
        };
        self.ask(now, next, 1, sink);
    }

    fn report(&mut self, now: Timestamp, response: &Response<'_>, sink: &mut impl ReaderSink) {
        let antennas = &self.settings.antennas;
        if response.is_keepalive() {
            return self.visits.cycle(antennas, now, true, sink);
        }
        if response.status != Status::OK {
            let what = response.status.name().unwrap_or("unknown status");
            sink.event(ReaderEvent::Fault { what, code: u32::from(response.status.0) });
            return self.visits.cycle(antennas, now, false, sink);
        }
        let records = match Records::streamed(response.data) {
            Ok(records) => records,
            Err(error) => return malformed(error.offset(), sink),
        };
        for record in records {
            match record {
                Ok(record) => {
                    let at = record.timestamp_ms.map_or(now, |ms| self.clock.map(now, ms));
                    let Some((port, read)) = tag_read(&record, at) else { return malformed(0, sink) };
                    // Before the read: the visit of another antenna ends, and only then do this one's reads begin.
                    self.visits.read(antennas, port, at, read.count, sink);
                    sink.read(&read);
                }
                Err(error) => return malformed(error.offset(), sink),
            }
        }
    }

    fn tick(&mut self, now: Timestamp, sink: &mut impl ReaderSink) {
        match self.state {
            State::Closed { .. } => {}
            State::Asking { until, .. } if now < until => {}
            State::Asking { step, tries, .. } if tries < TRIES_MAX => self.ask(now, step, tries + 1, sink),
            State::Asking { step: Step::Stop | Step::Start, .. } if self.up => {
                self.down("the module fell silent and answers neither stop nor start", sink);
            }
            State::Asking { .. } => self.down("the module doesn't answer: check port, speed and power", sink),
            State::Reading { heard } if now < heard + SILENCE_MAX => {}
            State::Reading { .. } => {
                self.visits.end(&self.settings.antennas, sink);
                self.ask(now, Step::Stop, 1, sink);
            }
        }
    }

    fn down(&mut self, why: &'static str, sink: &mut impl ReaderSink) {
        if matches!(self.state, State::Reading { .. }) {
            self.visits.end(&self.settings.antennas, sink);
        }
        self.state = State::Closed { over: true };
        sink.event(ReaderEvent::Down(why));
    }
}

/// Data of the command that starts a continuous read: no time limit, on, one sub-command of seven octets.
const START: [u8; 16] = {
    let flags = search::ANTENNA_LIST | search::STREAMING | search::LARGE_POPULATION;
    let ([flags_high, flags_low], [cycle_high, cycle_low]) = (flags.to_be_bytes(), CYCLE_MS.to_be_bytes());
    let [metadata_high, metadata_low] = METADATA.0.to_be_bytes();
    #[rustfmt::skip]
    let data = [
        0, 0, 1, Opcode::READ_MULTIPLE.0, 0, 0, PROTOCOL_GEN2 as u8, 7,
        Opcode::READ_MULTIPLE.0, READ_WITH_METADATA, flags_high, flags_low, cycle_high, cycle_low, metadata_high, metadata_low,
    ];
    data
};

fn refusal(step: Step) -> &'static str {
    match step {
        Step::Version | Step::Program { .. } => "the module doesn't say what it runs",
        Step::Protocol => "the module refuses the Gen2 protocol",
        Step::Region => "the module refuses the region",
        Step::ReadPower => "the module refuses the read power",
        Step::Antennas => "the module refuses the antenna list",
        Step::Start => "the module refuses to read",
        Step::Quieten | Step::Boot | Step::ReportEachRead | Step::Stop => "the module refuses a command",
    }
}

fn malformed(offset: usize, sink: &mut impl ReaderSink) {
    sink.event(ReaderEvent::Malformed { what: "tag records that fill the frame", offset: offset as u32 });
}

/// The read that a record tells, with the transmitting port; `None` without an antenna or with an EPC beyond Gen2.
fn tag_read(record: &TagRecord<'_>, at: Timestamp) -> Option<(u8, TagRead)> {
    let port = record.tx_port()?;
    let read = TagRead {
        epc: Epc::new(record.epc)?,
        antenna: u16::from(port),
        rssi_cdbm: i16::from(record.rssi_dbm.unwrap_or(i8::MIN)) * 100,
        count: u16::from(record.read_count.unwrap_or(1).max(1)),
        at,
        frequency_khz: record.frequency_khz.filter(|khz| *khz != 0),
        phase: record.phase_deg.map(|degrees| (u32::from(degrees) * 4096 / 360 % 4096) as u16),
    };
    Some((port, read))
}

/// Maps the module's ms since the cycle began to our time: holds when the cycle began, by ours, as the quickest
/// frame of late tells.
#[derive(Debug, Clone, Copy)]
struct CycleClock(Option<Timestamp>);

impl CycleClock {
    /// A frame this much slower than the quickest means that a new cycle began.
    const DELAY_MAX: Duration = Duration::from_millis(250);

    fn map(&mut self, now: Timestamp, ms: u32) -> Timestamp {
        let since = Duration::from_millis(i64::from(ms));
        let began = now - since;
        let known = match self.0 {
            Some(known) if known <= began && began - known <= Self::DELAY_MAX => {
                // A slow follow-up, so that clocks that drift apart do no harm.
                known + Duration::from_micros((began - known).micros() / 1024)
            }
            _ => began,
        };
        self.0 = Some(known);
        known + since
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;
    use stowage_base::Visit;

    #[derive(Default)]
    struct Host {
        sent: Vec<u8>,
        reads: Vec<TagRead>,
        visits: Vec<Visit>,
        events: Vec<ReaderEvent>,
    }

    impl ReaderSink for Host {
        fn send(&mut self, octets: &[u8]) {
            self.sent.extend(octets);
        }
        fn read(&mut self, read: &TagRead) {
            self.reads.push(*read);
        }
        fn visit(&mut self, visit: &Visit) {
            self.visits.push(*visit);
        }
        fn event(&mut self, event: ReaderEvent) {
            self.events.push(event);
        }
    }

    fn ms(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    fn settings() -> Settings {
        let antennas = Antennas::new(&[1, 2]).expect("two ports");
        Settings { region: Region::EUROPE_3, read_power_cdbm: 2700, antennas }
    }

    fn response(opcode: Opcode, status: Status, data: &[u8]) -> Vec<u8> {
        Response { opcode, status, data }.encode(&mut [0; FRAME_MAX]).expect("fits").to_vec()
    }

    /// A client whose module accepted all, at 0 ms.
    fn reading() -> (Client, Host) {
        let (mut client, mut host) = (Client::new(settings()), Host::default());
        client.connected(ms(0), &mut host);
        for _ in 0..20 {
            let sent = core::mem::take(&mut host.sent);
            let Ok(command) = Command::decode(&sent) else { break };
            let data: &[u8] = if command.opcode == Opcode::PROGRAM { &[0x12] } else { &[] };
            client.receive(ms(0), &response(command.opcode, Status::OK, data), &mut host);
        }
        assert_eq!(host.events, [ReaderEvent::Up]);
        (client, host)
    }

    #[test]
    fn ports_are_checked_once() {
        assert_eq!(Antennas::new(&[2, 1]).expect("good").ports(), [2, 1]);
        for bad in [&[][..], &[0], &[17], &[1, 1], &[1; 17]] {
            assert_eq!(Antennas::new(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_lost_answer_is_asked_for_again_then_the_session_gives_up() {
        let (mut client, mut host) = (Client::new(settings()), Host::default());
        client.connected(ms(0), &mut host);
        let stop = [0xFF, 0x03, 0x2F, 0x00, 0x00, 0x02, 0x5E, 0x86];
        assert_eq!(host.sent, stop);
        client.tick(ms(999), &mut host);
        assert_eq!(host.sent, stop);
        client.tick(ms(1_000), &mut host);
        client.tick(ms(2_000), &mut host);
        assert_eq!(host.sent, stop.repeat(3));
        client.tick(ms(3_000), &mut host);
        assert!(client.over());
        assert_eq!(client.next_deadline(), None);
        assert!(matches!(host.events[..], [ReaderEvent::Down(_)]));
    }

    #[test]
    fn a_refused_region_ends_the_session_with_its_status() {
        let (mut client, mut host) = (Client::new(settings()), Host::default());
        client.connected(ms(0), &mut host);
        for (opcode, status) in [
            (Opcode::CONTINUOUS, Status::UNKNOWN_OPCODE),
            (Opcode::VERSION, Status::OK),
            (Opcode::PROGRAM, Status::OK),
            (Opcode::SET_PROTOCOL, Status::OK),
            (Opcode::SET_REGION, Status::BAD_REGION),
        ] {
            client.receive(ms(1), &response(opcode, status, &[]), &mut host);
        }
        let fault = ReaderEvent::Fault { what: "region not available", code: 0x010B };
        assert_eq!(host.events, [fault, ReaderEvent::Down("the module refuses the region")]);
        assert!(client.over());
    }

    #[test]
    fn a_fault_while_reading_is_told_and_reading_goes_on() {
        let (mut client, mut host) = reading();
        client.receive(ms(500), &response(Opcode::READ_MULTIPLE, Status::RETURN_LOSS, &[]), &mut host);
        client.receive(ms(1_000), &response(Opcode::READ_MULTIPLE, Status::NO_TAGS, &[]), &mut host);
        assert_eq!(host.events[1..], [ReaderEvent::Fault { what: "high return loss at the antenna", code: 0x0505 }]);
        let healthy: Vec<_> = host.visits.iter().map(|visit| visit.healthy).collect();
        assert_eq!(healthy, [false, false, true, true]);
        assert!(!client.over());
    }

    #[test]
    fn a_silent_module_is_restarted_then_given_up() {
        let (mut client, mut host) = reading();
        assert_eq!(client.next_deadline(), Some(ms(3_000)));
        client.tick(ms(3_000), &mut host);
        assert_eq!(core::mem::take(&mut host.sent), [0xFF, 0x03, 0x2F, 0x00, 0x00, 0x02, 0x5E, 0x86]);
        client.receive(ms(3_010), &response(Opcode::CONTINUOUS, Status::OK, &[]), &mut host);
        assert_eq!(Command::decode(&host.sent).expect("start").data, START);
        client.receive(ms(3_020), &response(Opcode::CONTINUOUS, Status::OK, &[]), &mut host);
        assert_eq!(client.next_deadline(), Some(ms(6_020)));
        for at in [6_020, 7_020, 8_020, 9_020] {
            assert!(!client.over());
            client.tick(ms(at), &mut host);
        }
        assert!(client.over());
        assert_eq!(host.events.len(), 2, "up once, down once");
    }

    #[test]
    fn a_frame_cut_short_holds_up_the_next_one_for_a_tenth_of_a_second_at_most() {
        let (mut client, mut host) = reading();
        let keepalive = response(Opcode::READ_MULTIPLE, Status::NO_TAGS, &[]);
        client.receive(ms(900), &[&[0xFF, 0xFF, 0x22][..], &keepalive].concat(), &mut host);
        assert_eq!(host.visits, []);
        assert_eq!(client.next_deadline(), Some(ms(1_000)));
        client.tick(ms(1_000), &mut host);
        assert_eq!(host.visits.len(), 2);
    }

    #[test]
    fn reads_are_stamped_by_the_quickest_frame() {
        let mut clock = CycleClock(None);
        assert_eq!(clock.map(ms(1_030), 10), ms(1_030));
        assert_eq!(clock.map(ms(1_045), 40), ms(1_045), "quicker: the cycle began earlier than thought");
        assert!(clock.map(ms(1_090), 60) - ms(1_065) < Duration::from_millis(1), "this one waited 25 ms");
        assert_eq!(clock.map(ms(2_007), 2), ms(2_007), "a new cycle");
    }

    #[test]
    fn a_record_becomes_a_read() {
        let record = TagRecord {
            read_count: Some(3),
            rssi_dbm: Some(-61),
            antenna: Some(0x22),
            frequency_khz: Some(866_300),
            phase_deg: Some(90),
            ..TagRecord::of_epc(&[0xE2, 0x80])
        };
        let (port, read) = tag_read(&record, ms(5)).expect("has an antenna");
        assert_eq!((port, read.antenna, read.rssi_cdbm, read.count), (2, 2, -6_100, 3));
        assert_eq!((read.frequency_khz, read.phase), (Some(866_300), Some(1_024)));
        assert_eq!(tag_read(&TagRecord::of_epc(&[0xE2, 0x80]), ms(5)), None);
    }
}
