//! The host's end: brings a module up, keeps it reading, makes reads and visits of what it tells.

use crate::code::{OPTION_READ_FILTER, PROTOCOL_GEN2, READ_WITH_METADATA, antenna, search};
use crate::frame::{Command, FRAME_MAX, Response, Splitter};
use crate::settings::{Antennas, Settings, Version};
use crate::tag::{Metadata, Records, TagRecord};
use crate::visits::Visits;
use crate::{Opcode, Status, speed};
use stowage_base::{Duration, Epc, ReaderEvent, ReaderSession, ReaderSink, TagRead, Timestamp};

/// A module answers a command within this, or it did not hear it. Starting its firmware is the slowest.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// So often is a command sent before the session gives up.
const TRIES_MAX: u8 = 3;

/// So long is an answer awaited at a speed that may be wrong.
const SEARCH_WAIT: Duration = Duration::from_millis(250);

/// So often is a module asked at a speed that may be wrong.
const SEARCH_TRIES: u8 = 2;

/// A reading module that says nothing for this long is brought up again from the beginning.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// A frame whose octets pause for this long will not be completed.
const FRAME_PAUSE_MAX: Duration = Duration::from_millis(100);

/// Length of a read cycle in ms: a keep-alive ends each.
const CYCLE_MS: u16 = 1_000;

/// A module can't tell its temperature while it reads: so often it pauses for that, a few ms.
const CHECK_EVERY: Duration = Duration::from_secs(60);

/// While something is wrong with it, it is checked this often.
const CHECK_ILL_EVERY: Duration = Duration::from_secs(10);

/// The same fault again within this is not told again.
const FAULT_AGAIN: Duration = Duration::from_secs(10);

/// What each streamed record tells.
const METADATA: Metadata = Metadata::READ_COUNT
    .with(Metadata::RSSI)
    .with(Metadata::ANTENNA)
    .with(Metadata::FREQUENCY)
    .with(Metadata::TIMESTAMP)
    .with(Metadata::PHASE);

/// One command. The start-up goes through them in order; a check of a reading module is `Pause`, `Temperature`,
/// `ReturnLoss` if something is wrong with an antenna, and `Start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Is it there, at this speed? Stops what an earlier session may have left running.
    Find,
    Version,
    /// Bootloader or application?
    Program {
        booted: bool,
    },
    Boot,
    /// It talks at another speed than it shall.
    Baud,
    Protocol,
    Regions,
    Region,
    ReadPower,
    Antennas,
    ReportEachRead,
    Pause,
    Temperature,
    ReturnLoss,
    Start,
}

impl Step {
    fn opcode(self) -> Opcode {
        match self {
            Self::Version => Opcode::VERSION,
            Self::Program { .. } => Opcode::PROGRAM,
            Self::Boot => Opcode::BOOT,
            Self::Baud => Opcode::SET_BAUD,
            Self::Protocol => Opcode::SET_PROTOCOL,
            Self::Regions => Opcode::REGIONS,
            Self::Region => Opcode::SET_REGION,
            Self::ReadPower => Opcode::SET_READ_POWER,
            Self::Antennas => Opcode::SET_ANTENNA,
            Self::ReportEachRead => Opcode::SET_OPTION,
            Self::Temperature => Opcode::TEMPERATURE,
            Self::ReturnLoss => Opcode::GET_ANTENNA,
            Self::Find | Self::Pause | Self::Start => Opcode::CONTINUOUS,
        }
    }

    /// What to say if the module refuses this; `None`: the session goes on all the same.
    fn refusal(self) -> Option<&'static str> {
        match self {
            Self::Version | Self::Program { .. } => Some("the module doesn't say what it runs"),
            Self::Protocol => Some("the module refuses the Gen2 protocol"),
            Self::Region => Some("the module refuses the region"),
            Self::ReadPower => Some("the module refuses the read power"),
            Self::Antennas => Some("the module refuses the antenna list: it has no such port"),
            Self::Start => Some("the module refuses to read"),
            // It isn't reading, runs already, or is too old to know this.
            Self::Find | Self::Boot | Self::Regions | Self::Pause | Self::Temperature | Self::ReturnLoss => None,
            Self::Baud | Self::ReportEachRead => None,
        }
    }

    /// Whether a refusal is worth telling.
    fn matters(self) -> bool {
        self.refusal().is_some() || matches!(self, Self::Baud | Self::ReportEachRead)
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// No connection, or this one is given up.
    Closed { over: bool },
    /// A command is out; at `until` it is sent again or the session does something else.
    Asking { step: Step, tries: u8, until: Timestamp },
    /// The module streams. `heard`: its last frame.
    Reading { heard: Timestamp },
}

/// The search for the speed that the module talks.
#[derive(Debug, Clone, Copy)]
struct Speed {
    /// The line's speed.
    baud: u32,
    /// Its place in the order of the search.
    place: usize,
    /// A good frame came at this speed.
    heard: bool,
    /// The speed that it was first found at, on this connection.
    found: Option<u32>,
    /// The module was told the configured speed and didn't answer, or refused: it stays at what it talks.
    stays: bool,
}

impl Speed {
    fn new(baud: u32) -> Self {
        Self { baud, place: 0, heard: false, found: None, stays: false }
    }
}

/// The edge's or the scanner's end of a module. Allocates nothing.
///
/// On connection it looks for the module: at the configured speed, then at all others, half a second each; it stops
/// what runs there, starts the module's firmware if only its bootloader runs, sets the configured speed if it was found
/// at another, checks that the module has the region, sets protocol, region, power, antennas and "report each read",
/// and starts a continuous read. The driver gives the port the speed that [`baud`](ReaderSession::baud) tells.
///
/// A module that says nothing for 3 s (it lost its power for a moment, restarted, was exchanged) is looked for and
/// brought up again in the same way, on the same connection. A refused setting ends the session, as does a module that
/// answers at no speed. Noise costs the frames that it hits. A fault that the module reports while it reads is passed
/// on, once in 10 s, and the session goes on. Once a minute, and every 10 s while something is wrong, the module pauses
/// for some ms to tell its temperature, and after a fault of an antenna the return loss of each port: a sick antenna's
/// visits are unhealthy until it is found good.
///
/// Each read is stamped with the module's own clock, mapped to ours by the quickest frame of late. Visits are
/// inferred from the order of reads, faults and keep-alives: antennas between two reads in the list looked in vain; a
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
    speed: Speed,
    version: Option<Version>,
    visits: Visits,
    clock: CycleClock,
    /// The last fault told, and when.
    fault: Option<(Status, Timestamp)>,
    /// An antenna has reported a fault since they were last measured.
    suspect: bool,
    check_at: Timestamp,
    checked_at: Timestamp,
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
                speed: Speed::new(settings.baud),
                version: None,
                visits: Visits::new(Timestamp::EPOCH),
                clock: CycleClock(None),
                fault: None,
                suspect: false,
                check_at: Timestamp::EPOCH,
                checked_at: Timestamp::EPOCH,
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
        let session = &mut self.session;
        (session.up, session.version, session.fault, session.suspect) = (false, None, None, false);
        session.visits = Visits::new(now);
        session.speed = Speed::new(session.settings.baud);
        session.ask(now, Step::Find, 1, sink);
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
        // At a speed that may be wrong, noise is no surprise.
        let searching = matches!(self.session.state, State::Asking { step: Step::Find, .. });
        if self.splitter.skipped() > noise && !searching {
            sink.event(ReaderEvent::Malformed {
                what: "a frame: FF, length, opcode, status, data, its CRC",
                offset: 0,
            });
        }
    }

    fn tick(&mut self, now: Timestamp, sink: &mut impl ReaderSink) {
        self.pause(now, sink);
        let baud = self.session.speed.baud;
        self.session.tick(now, sink);
        if baud != self.session.speed.baud {
            // What came at another speed is no beginning of a frame at this one.
            self.splitter.clear();
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let deadline = match self.session.state {
            State::Closed { .. } => return None,
            State::Asking { until, .. } => until,
            State::Reading { heard } => (heard + SILENCE_MAX).min(self.session.check_at),
        };
        Some(if self.splitter.is_waiting() { deadline.min(self.octets_at + FRAME_PAUSE_MAX) } else { deadline })
    }

    fn disconnected(&mut self, now: Timestamp, sink: &mut impl ReaderSink) {
        if !matches!(self.session.state, State::Closed { .. }) {
            self.session.down(now, "the port is gone", sink);
        }
        self.session.state = State::Closed { over: false };
        self.session.speed = Speed::new(self.session.settings.baud);
    }

    fn over(&self) -> bool {
        matches!(self.session.state, State::Closed { over: true })
    }

    fn baud(&self) -> Option<u32> {
        Some(self.session.speed.baud)
    }
}

impl Session {
    fn ask(&mut self, now: Timestamp, step: Step, tries: u8, sink: &mut impl ReaderSink) {
        let mut data = [0; 1 + 2 * Antennas::MAX];
        let data: &[u8] = match step {
            Step::Version | Step::Program { .. } | Step::Boot | Step::Regions | Step::Temperature => &[],
            Step::Baud => &self.settings.baud.to_be_bytes(),
            Step::Protocol => &PROTOCOL_GEN2.to_be_bytes(),
            Step::Region => &[self.settings.region.0],
            Step::ReadPower => &self.settings.read_power_cdbm.to_be_bytes(),
            Step::Antennas => {
                let ports = self.settings.antennas.ports();
                data[0] = antenna::LIST;
                for (pair, port) in data[1..].chunks_exact_mut(2).zip(ports) {
                    pair.fill(*port);
                }
                &data[..1 + 2 * ports.len()]
            }
            Step::ReportEachRead => &[1, OPTION_READ_FILTER, 0],
            Step::ReturnLoss => &[antenna::RETURN_LOSS],
            Step::Find | Step::Pause => &[0, 0, 2],
            Step::Start => &START,
        };
        let mut out = [0; FRAME_MAX];
        if let Some(frame) = (Command { opcode: step.opcode(), data }).encode(&mut out) {
            sink.send(frame);
        }
        let wait = if step == Step::Find && !self.speed.heard { SEARCH_WAIT } else { ANSWER_WAIT };
        self.state = State::Asking { step, tries, until: now + wait };
    }

    /// Looks for the module: first at the configured speed.
    fn search(&mut self, now: Timestamp, sink: &mut impl ReaderSink) {
        let Speed { found, stays, .. } = self.speed;
        self.speed = Speed { found, stays, ..Speed::new(self.settings.baud) };
        self.ask(now, Step::Find, 1, sink);
    }

    fn response(&mut self, now: Timestamp, response: &Response<'_>, sink: &mut impl ReaderSink) {
        self.speed.heard = true;
        match (self.state, response.opcode) {
            (State::Closed { .. }, _) => {}
            (State::Asking { step, .. }, opcode) if opcode == step.opcode() => self.answer(now, step, response, sink),
            (State::Reading { heard }, Opcode::READ_MULTIPLE) => {
                self.state = State::Reading { heard: heard.max(now) };
                self.report(now, response, sink);
            }
            // What it read before it heard that it shall pause.
            (State::Asking { step: Step::Pause, .. }, Opcode::READ_MULTIPLE) => self.report(now, response, sink),
            // A late tag of a read that was stopped, or the answer to a command that was sent twice.
            (State::Asking { .. } | State::Reading { .. }, _) => {}
        }
    }

    fn answer(&mut self, now: Timestamp, step: Step, response: &Response<'_>, sink: &mut impl ReaderSink) {
        let (status, good) = (response.status, response.status == Status::OK);
        if !good {
            if step.matters() {
                sink.event(ReaderEvent::Fault { what: status.advice(), code: u32::from(status.0) });
            }
            if let Some(why) = step.refusal() {
                return self.down(now, why, sink);
            }
        }
        let baud = self.speed.baud;
        let next = match step {
            Step::Find => Step::Version,
            Step::Version => {
                self.version = Version::parse(response.data);
                Step::Program { booted: false }
            }
            // The low two bits: 1 the bootloader, 2 the application.
            Step::Program { booted } => match (response.data.first().map(|program| program & 3), booted) {
                (Some(1), false) => {
                    if self.up {
                        let what = "the module restarted in the middle: check its power supply and its cable";
                        sink.event(ReaderEvent::Fault { what, code: 0 });
                    }
                    Step::Boot
                }
                (Some(1), true) => {
                    let why = "the module stays in its bootloader: load its firmware anew";
                    return self.down(now, why, sink);
                }
                _ if baud != self.settings.baud && !self.speed.stays => Step::Baud,
                _ => {
                    self.tell_speed(sink);
                    Step::Protocol
                }
            },
            // Refused where a repeat finds the application started already: the program tells.
            Step::Boot => Step::Program { booted: true },
            Step::Baud => {
                self.speed.found.get_or_insert(baud);
                if good {
                    self.speed.baud = self.settings.baud;
                } else {
                    self.speed.stays = true;
                }
                self.tell_speed(sink);
                Step::Protocol
            }
            Step::Protocol => Step::Regions,
            Step::Regions if good && !response.data.is_empty() && !response.data.contains(&self.settings.region.0) => {
                let (what, code) = (Status::BAD_REGION.advice(), u32::from(Status::BAD_REGION.0));
                sink.event(ReaderEvent::Fault { what, code });
                return self.down(now, "the module doesn't have the region that is set", sink);
            }
            Step::Regions => Step::Region,
            Step::Region => Step::ReadPower,
            Step::ReadPower => Step::Antennas,
            Step::Antennas => Step::ReportEachRead,
            Step::Pause => {
                self.visits.rest(&self.settings.antennas, sink);
                Step::Temperature
            }
            Step::ReportEachRead => Step::Temperature,
            Step::Temperature => {
                if let (true, [celsius, ..]) = (good, response.data) {
                    sink.event(ReaderEvent::Temperature(i16::from(*celsius as i8)));
                }
                if self.suspect || self.visits.any_sick() { Step::ReturnLoss } else { Step::Start }
            }
            Step::ReturnLoss => {
                if good {
                    self.measured(response.data, sink);
                }
                Step::Start
            }
            Step::Start => return self.started(now, sink),
        };
        self.ask(now, next, 1, sink);
    }

    /// Tells, once on a connection, at which speed the module was found if it wasn't the right one.
    fn tell_speed(&mut self, sink: &mut impl ReaderSink) {
        if let Some(found) = self.speed.found.take() {
            sink.event(ReaderEvent::Speed { found, now: self.speed.baud });
        }
    }

    fn started(&mut self, now: Timestamp, sink: &mut impl ReaderSink) {
        self.state = State::Reading { heard: now };
        self.visits.start(now);
        self.clock = CycleClock(None);
        let ill = self.suspect || self.visits.any_sick() || self.fault.is_some_and(|(_, at)| now - at < FAULT_AGAIN);
        self.suspect = false;
        self.checked_at = now;
        self.check_at = now + if ill { CHECK_ILL_EVERY } else { CHECK_EVERY };
        if !self.up {
            self.up = true;
            sink.event(ReaderEvent::Up);
        }
    }

    /// The return loss of each port is known: pairs of port and dB, after the octet that says so.
    fn measured(&mut self, data: &[u8], sink: &mut impl ReaderSink) {
        for pair in data.get(1..).unwrap_or_default().chunks_exact(2) {
            let (port, sick) = (pair[0], pair[1] < antenna::RETURN_LOSS_MIN_DB);
            let Some(index) = self.settings.antennas.index(port) else { continue };
            if self.visits.is_sick(index) != sick {
                self.visits.set_sick(index, sick);
                sink.event(ReaderEvent::Antenna { port: port.into(), connected: !sick });
            }
        }
    }

    fn report(&mut self, now: Timestamp, response: &Response<'_>, sink: &mut impl ReaderSink) {
        let antennas = &self.settings.antennas;
        if response.is_keepalive() {
            return self.visits.cycle(antennas, now, sink);
        }
        if response.status != Status::OK {
            return self.fault(now, response.status, sink);
        }
        let records = match Records::streamed(response.data) {
            Ok(records) => records,
            Err(error) => return malformed(error.offset(), sink),
        };
        for record in records {
            match record {
                Ok(record) => {
                    let at = record.timestamp_ms.map_or(now, |ms| self.clock.map(now, ms));
                    if let Some((port, read)) = tag_read(&record, at) {
                        self.visits.read(antennas, port, at, read.count, sink);
                        sink.read(&read);
                    }
                }
                Err(error) => return malformed(error.offset(), sink),
            }
        }
    }

    /// The module reports a fault while it reads: told, and looked into soon.
    fn fault(&mut self, now: Timestamp, status: Status, sink: &mut impl ReaderSink) {
        let of_antenna = matches!(status, Status::RETURN_LOSS | Status::ANTENNA_NOT_CONNECTED);
        self.visits.fault(&self.settings.antennas, now, of_antenna, sink);
        self.suspect |= of_antenna;
        // Which antenna it is was told already; another one would be found at the next check.
        let explained = of_antenna && self.visits.any_sick();
        if !explained && self.fault.is_none_or(|(last, at)| last != status || now - at >= FAULT_AGAIN) {
            self.fault = Some((status, now));
            sink.event(ReaderEvent::Fault { what: status.advice(), code: u32::from(status.0) });
        }
        self.check_at = self.check_at.min((self.checked_at + CHECK_ILL_EVERY).max(now));
    }

    fn tick(&mut self, now: Timestamp, sink: &mut impl ReaderSink) {
        match self.state {
            State::Closed { .. } => {}
            State::Asking { until, .. } if now < until => {}
            State::Asking { step: Step::Find, tries, .. } => self.look_on(now, tries, sink),
            State::Asking { step: Step::Pause, .. } => self.silent(now, sink),
            // Did it hear, or not? It is at one of two speeds.
            State::Asking { step: Step::Baud, .. } => {
                self.speed.found.get_or_insert(self.speed.baud);
                self.speed.stays = true;
                self.search(now, sink);
            }
            State::Asking { step, tries, .. } if tries < TRIES_MAX => self.ask(now, step, tries + 1, sink),
            State::Asking { .. } => self.down(now, "the module doesn't answer: check its cable and power", sink),
            State::Reading { heard } if now >= heard + SILENCE_MAX => self.silent(now, sink),
            State::Reading { .. } if now >= self.check_at => self.ask(now, Step::Pause, 1, sink),
            State::Reading { .. } => {}
        }
    }

    /// A module that was reading is gone, or was restarted.
    fn silent(&mut self, now: Timestamp, sink: &mut impl ReaderSink) {
        self.visits.end(&self.settings.antennas, now, sink);
        sink.event(ReaderEvent::Fault { what: "the module fell silent: it is looked for and started anew", code: 0 });
        self.search(now, sink);
    }

    /// There was no answer where the module was looked for.
    fn look_on(&mut self, now: Timestamp, tries: u8, sink: &mut impl ReaderSink) {
        if tries < if self.speed.heard { TRIES_MAX } else { SEARCH_TRIES } {
            return self.ask(now, Step::Find, tries + 1, sink);
        }
        let place = self.speed.place + 1;
        match speed::search(self.settings.baud).nth(place) {
            Some(baud) => {
                self.speed = Speed { baud, place, heard: false, ..self.speed };
                self.ask(now, Step::Find, 1, sink);
            }
            None => {
                let why = "no module answers at any speed: check that it has power, that its TX and RX are not \
                           interchanged, and that this is its port";
                self.down(now, why, sink);
            }
        }
    }

    fn down(&mut self, now: Timestamp, why: &'static str, sink: &mut impl ReaderSink) {
        if matches!(self.state, State::Reading { .. } | State::Asking { step: Step::Pause, .. }) {
            self.visits.end(&self.settings.antennas, now, sink);
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
    use crate::Region;
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
        Settings { baud: 115_200, region: Region::EUROPE_3, read_power_cdbm: 2700, antennas }
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

    const STOP: [u8; 8] = [0xFF, 0x03, 0x2F, 0x00, 0x00, 0x02, 0x5E, 0x86];

    /// Answers what was sent last, which must be `opcode`.
    fn answer(client: &mut Client, host: &mut Host, at: i64, opcode: Opcode, status: Status, data: &[u8]) {
        let sent = core::mem::take(&mut host.sent);
        assert_eq!(Command::decode(&sent).map(|command| command.opcode), Ok(opcode));
        client.receive(ms(at), &response(opcode, status, data), host);
    }

    /// Answers the start-up from [`Opcode::PROGRAM`] to the start with good news.
    fn bring_up(client: &mut Client, host: &mut Host, at: i64) {
        while let Ok(command) = Command::decode(&core::mem::take(&mut host.sent)) {
            let data: &[u8] = if command.opcode == Opcode::PROGRAM { &[0x12] } else { &[] };
            client.receive(ms(at), &response(command.opcode, Status::OK, data), host);
        }
    }

    #[test]
    fn a_module_is_looked_for_at_every_speed_twice_then_given_up() {
        let (mut client, mut host) = (Client::new(settings()), Host::default());
        client.connected(ms(0), &mut host);
        let mut speeds = Vec::new();
        for at in 0..16 {
            assert_eq!(core::mem::take(&mut host.sent), STOP);
            speeds.push(client.baud().expect("a serial line"));
            client.tick(ms(at * 250 + 249), &mut host);
            assert_eq!(host.sent, [], "not before its time");
            client.receive(ms(at * 250 + 249), &[0x00, 0xF8, 0x80], &mut host);
            client.tick(ms(at * 250 + 250), &mut host);
        }
        assert_eq!(speeds, speed::SPEEDS.into_iter().flat_map(|speed| [speed; 2]).collect::<Vec<_>>());
        assert!(client.over());
        assert_eq!(client.next_deadline(), None);
        assert!(matches!(host.events[..], [ReaderEvent::Down(_)]), "noise at a wrong speed is no surprise");
    }

    #[test]
    fn a_good_frame_at_a_speed_is_worth_more_patience() {
        let (mut client, mut host) = (Client::new(settings()), Host::default());
        client.connected(ms(0), &mut host);
        client.receive(ms(10), &response(Opcode::READ_MULTIPLE, Status::NO_TAGS, &[]), &mut host);
        client.tick(ms(250), &mut host);
        client.tick(ms(1_250), &mut host);
        assert_eq!((client.baud(), host.sent.len()), (Some(115_200), 3 * STOP.len()));
        client.tick(ms(2_250), &mut host);
        assert_eq!(client.baud(), Some(9_600));
    }

    #[test]
    fn a_module_at_another_speed_is_set_to_the_right_one() {
        let (mut client, mut host) = (Client::new(settings()), Host::default());
        client.connected(ms(0), &mut host);
        client.tick(ms(250), &mut host);
        client.tick(ms(500), &mut host);
        assert_eq!(client.baud(), Some(9_600));
        host.sent.clear();
        client.receive(ms(510), &response(Opcode::CONTINUOUS, Status::OK, &[]), &mut host);
        answer(&mut client, &mut host, 520, Opcode::VERSION, Status::OK, &[]);
        answer(&mut client, &mut host, 530, Opcode::PROGRAM, Status::OK, &[0x12]);
        assert_eq!(Command::decode(&host.sent).expect("a command").data, [0, 1, 0xC2, 0]);
        assert_eq!(client.baud(), Some(9_600), "its answer comes at the old speed");
        answer(&mut client, &mut host, 540, Opcode::SET_BAUD, Status::OK, &[]);
        assert_eq!(client.baud(), Some(115_200));
        bring_up(&mut client, &mut host, 550);
        assert_eq!(host.events, [ReaderEvent::Speed { found: 9_600, now: 115_200 }, ReaderEvent::Up]);
    }

    #[test]
    fn a_module_that_can_not_have_the_right_speed_goes_on_at_its_own() {
        for lost in [false, true] {
            let (mut client, mut host) = (Client::new(settings()), Host::default());
            client.connected(ms(0), &mut host);
            let mut at = 0;
            // Once, or again from the beginning because it didn't say what it made of the command.
            for again in if lost { &[false, true][..] } else { &[false] } {
                client.tick(ms(at + 250), &mut host);
                client.tick(ms(at + 500), &mut host);
                host.sent.clear();
                at += 510;
                client.receive(ms(at), &response(Opcode::CONTINUOUS, Status::OK, &[]), &mut host);
                answer(&mut client, &mut host, at, Opcode::VERSION, Status::OK, &[]);
                answer(&mut client, &mut host, at, Opcode::PROGRAM, Status::OK, &[0x12]);
                if lost && !again {
                    at += 1_000;
                    client.tick(ms(at), &mut host);
                } else if !lost {
                    answer(&mut client, &mut host, at, Opcode::SET_BAUD, Status::BAD_BAUD, &[]);
                }
            }
            bring_up(&mut client, &mut host, at);
            assert_eq!(client.baud(), Some(9_600));
            let found = ReaderEvent::Speed { found: 9_600, now: 9_600 };
            assert!(host.events.ends_with(&[found, ReaderEvent::Up]), "{:?}", host.events);
            assert_eq!(host.events.len(), if lost { 2 } else { 3 });
        }
    }

    #[test]
    fn a_refused_setting_ends_the_session_with_what_to_do() {
        let (mut client, mut host) = (Client::new(settings()), Host::default());
        client.connected(ms(0), &mut host);
        answer(&mut client, &mut host, 1, Opcode::CONTINUOUS, Status::UNKNOWN_OPCODE, &[]);
        answer(&mut client, &mut host, 1, Opcode::VERSION, Status::OK, &[]);
        answer(&mut client, &mut host, 1, Opcode::PROGRAM, Status::OK, &[0x12]);
        answer(&mut client, &mut host, 1, Opcode::SET_PROTOCOL, Status::OK, &[]);
        let mut without = client.clone();
        let asked = host.sent.clone();
        answer(&mut without, &mut host, 1, Opcode::REGIONS, Status::OK, &[0x01, 0x06]);
        let fault = ReaderEvent::Fault { what: Status::BAD_REGION.advice(), code: 0x010B };
        assert_eq!(host.events, [fault, ReaderEvent::Down("the module doesn't have the region that is set")]);
        assert!(without.over());

        (host.events, host.sent) = (Vec::new(), asked);
        answer(&mut client, &mut host, 1, Opcode::REGIONS, Status::OK, &[0x01, 0x08]);
        answer(&mut client, &mut host, 1, Opcode::SET_REGION, Status::OK, &[]);
        answer(&mut client, &mut host, 1, Opcode::SET_READ_POWER, Status::POWER_TOO_HIGH, &[]);
        let fault = ReaderEvent::Fault { what: Status::POWER_TOO_HIGH.advice(), code: 0x0103 };
        assert_eq!(host.events, [fault, ReaderEvent::Down("the module refuses the read power")]);
        assert!(Status::POWER_TOO_HIGH.advice().contains("power_dbm"));
    }

    #[test]
    fn a_fault_while_reading_is_told_once_and_reading_goes_on() {
        let (mut client, mut host) = reading();
        for at in [500, 550, 600] {
            client.receive(ms(at), &response(Opcode::READ_MULTIPLE, Status::TOO_HOT, &[]), &mut host);
        }
        client.receive(ms(1_000), &response(Opcode::READ_MULTIPLE, Status::NO_TAGS, &[]), &mut host);
        client.receive(ms(2_000), &response(Opcode::READ_MULTIPLE, Status::NO_TAGS, &[]), &mut host);
        assert_eq!(host.events[1..], [ReaderEvent::Fault { what: Status::TOO_HOT.advice(), code: 0x0504 }]);
        let visits: Vec<_> = host.visits.iter().map(|visit| (visit.antenna, visit.healthy)).collect();
        assert_eq!(visits, [(1, false), (2, false), (1, true), (2, true)]);
        assert_eq!(client.next_deadline(), Some(ms(5_000)));
    }

    #[test]
    fn an_antennas_fault_is_measured_and_only_its_own_visits_are_unhealthy() {
        let (mut client, mut host) = reading();
        client.receive(ms(11_000), &response(Opcode::READ_MULTIPLE, Status::RETURN_LOSS, &[]), &mut host);
        client.tick(ms(11_000), &mut host);
        answer(&mut client, &mut host, 11_005, Opcode::CONTINUOUS, Status::OK, &[]);
        answer(&mut client, &mut host, 11_010, Opcode::TEMPERATURE, Status::OK, &[0xF6]);
        assert_eq!(Command::decode(&host.sent).expect("asked").data, [6]);
        answer(&mut client, &mut host, 11_015, Opcode::GET_ANTENNA, Status::OK, &[6, 1, 18, 2, 4, 3, 0]);
        answer(&mut client, &mut host, 11_020, Opcode::CONTINUOUS, Status::OK, &[]);
        let fault = ReaderEvent::Fault { what: Status::RETURN_LOSS.advice(), code: 0x0505 };
        let gone = ReaderEvent::Antenna { port: 2, connected: false };
        assert_eq!(host.events[1..], [fault, ReaderEvent::Temperature(-10), gone], "port 3 isn't used");
        host.visits.clear();
        client.receive(ms(11_900), &response(Opcode::READ_MULTIPLE, Status::RETURN_LOSS, &[]), &mut host);
        client.receive(ms(12_020), &response(Opcode::READ_MULTIPLE, Status::NO_TAGS, &[]), &mut host);
        assert!(host.visits.len() >= 2 && host.visits.iter().all(|visit| visit.healthy == (visit.antenna == 1)));
        // It is mended: found at the next check, which comes sooner than for a module without trouble.
        for at in 13..=21 {
            client.receive(ms(at * 1_000), &response(Opcode::READ_MULTIPLE, Status::NO_TAGS, &[]), &mut host);
        }
        assert_eq!(client.next_deadline(), Some(ms(21_020)));
        client.tick(ms(21_020), &mut host);
        answer(&mut client, &mut host, 21_025, Opcode::CONTINUOUS, Status::OK, &[]);
        answer(&mut client, &mut host, 21_025, Opcode::TEMPERATURE, Status::UNIMPLEMENTED, &[]);
        answer(&mut client, &mut host, 21_025, Opcode::GET_ANTENNA, Status::OK, &[6, 1, 18, 2, 17, 3, 0]);
        answer(&mut client, &mut host, 21_025, Opcode::CONTINUOUS, Status::OK, &[]);
        assert_eq!(host.events[4..], [ReaderEvent::Antenna { port: 2, connected: true }]);
        client.receive(ms(22_000), &response(Opcode::READ_MULTIPLE, Status::NO_TAGS, &[]), &mut host);
        assert!(host.visits.last().is_some_and(|visit| visit.antenna == 2 && visit.healthy));
        assert_eq!(client.next_deadline(), Some(ms(25_000)));
    }

    #[test]
    fn a_silent_module_is_looked_for_and_no_visit_says_that_it_looked() {
        let (mut client, mut host) = reading();
        client.receive(ms(1_000), &response(Opcode::READ_MULTIPLE, Status::NO_TAGS, &[]), &mut host);
        host.visits.clear();
        assert_eq!(client.next_deadline(), Some(ms(4_000)));
        client.tick(ms(4_000), &mut host);
        assert_eq!(host.sent, STOP);
        assert!(host.visits.len() == 2 && host.visits.iter().all(|visit| !visit.healthy));
        answer(&mut client, &mut host, 4_010, Opcode::CONTINUOUS, Status::UNKNOWN_OPCODE, &[]);
        answer(&mut client, &mut host, 4_010, Opcode::VERSION, Status::OK, &[]);
        answer(&mut client, &mut host, 4_010, Opcode::PROGRAM, Status::OK, &[0x11]);
        answer(&mut client, &mut host, 4_400, Opcode::BOOT, Status::OK, &[]);
        bring_up(&mut client, &mut host, 4_410);
        assert!(matches!(host.events[..], [ReaderEvent::Up, ReaderEvent::Fault { .. }, ReaderEvent::Fault { .. }]));
        assert!(!client.over());
        client.receive(ms(5_410), &response(Opcode::READ_MULTIPLE, Status::NO_TAGS, &[]), &mut host);
        assert!(host.visits.len() == 4 && host.visits[2..].iter().all(|visit| visit.healthy));
        // Unplugged: nothing at any speed.
        for at in 0..400 {
            client.tick(ms(5_410 + at * 50), &mut host);
        }
        assert!(client.over() && matches!(host.events.last(), Some(ReaderEvent::Down(_))));
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
