//! The edge's end of an LLRP session.
//!
//! 1. The reader greets: READER_EVENT_NOTIFICATION with ConnectionAttemptEvent.
//! 2. GET_READER_CAPABILITIES: antennas, transmit powers, channels. An Impinj reader's extensions are switched on.
//! 3. GET_READER_CONFIG tells which antennas are connected; SET_READER_CONFIG asks for keepalives and events.
//! 4. DELETE_ROSPEC of all that were left behind, ADD_ROSPEC, ENABLE_ROSPEC, ENABLE_EVENTS_AND_REPORTS: up.
//! 5. RO_ACCESS_REPORT becomes reads, AISpecEvent visits; KEEPALIVE is answered. Silence ends the session.
//!
//! The ROSpec has one AISpec for each antenna, each ended by its dwell time, and an immediate start trigger, so that
//! after the last antenna it starts again by itself (LLRP 1.0.1 §10.2.1.1) and needs no START_ROSPEC.

use super::clock::Clock;
use super::definition;
use super::frame::{Frame, Inbox};
use super::report::{Events, Reports, TagReport};
use super::tree::{self, Tree};
use super::{IMPINJ, VERSION, kind};
use stowage_base::{Duration, Epc, ReaderEvent, ReaderSession, ReaderSink, TagRead, Timestamp, Visit};

/// How long a reader may take to answer a request, or to greet.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// How long after the end of an AISpec its report may come.
const REPORT_WAIT: Duration = Duration::from_millis(50);

/// The one ROSpec.
const ROSPEC_ID: u32 = 1;

/// Stands for the RSSI of a report that tells none: weaker than a reader can hear.
pub const RSSI_UNTOLD_CDBM: i16 = -10_000;

/// One antenna.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AntennaSettings {
    /// Its port on the reader, from 1.
    pub port: u16,
    /// Transmit power in 1/100 dBm: the reader's next lower step is taken. `None` leaves it to the reader.
    pub power_cdbm: Option<i16>,
}

/// What a reader is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The antennas, visited by turns in this order: 1 to 64, no port twice.
    pub antennas: Vec<AntennaSettings>,
    /// How long each visit lasts: 10 ms to 60 s.
    pub dwell: Duration,
    /// How often the reader says that it lives: 0.1 s to 60 s.
    pub keepalive: Duration,
    /// Gen2 session, 0 to 3: how long a tag that was read keeps silent.
    pub session: u8,
    /// How many tags to expect in an antenna's view; at least 1.
    pub population: u16,
    /// The reader's RF mode (ModeIdentifier in its table); `None` leaves it to the reader.
    pub mode: Option<u16>,
    /// Report after so many tags, before a visit is over; 0 reports once, at its end.
    pub report_every: u16,
}

/// Settings that can't be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// None or too many antennas.
    #[error("{0} antennas: give 1 to 64")]
    Antennas(usize),
    /// A port of 0, or one that is listed twice.
    #[error("antenna port {0}: ports count from 1, each once")]
    Port(u16),
    /// The dwell time is out of range.
    #[error("dwell of {} ms: give 10 to 60000", .0.millis())]
    Dwell(Duration),
    /// The keepalive period is out of range.
    #[error("keepalive of {} ms: give 100 to 60000", .0.millis())]
    Keepalive(Duration),
    /// No such Gen2 session.
    #[error("session {0}: give 0 to 3")]
    Session(u8),
    /// No tags to expect.
    #[error("population 0: give at least 1")]
    Population,
}

impl Settings {
    fn check(&self) -> Result<(), SettingsError> {
        let within = |span: Duration, least| (least..=60_000).contains(&span.millis());
        if !(1..=64).contains(&self.antennas.len()) {
            return Err(SettingsError::Antennas(self.antennas.len()));
        }
        for (index, AntennaSettings { port, .. }) in self.antennas.iter().enumerate() {
            if *port == 0 || self.antennas[..index].iter().any(|other| other.port == *port) {
                return Err(SettingsError::Port(*port));
            }
        }
        if !within(self.dwell, 10) {
            return Err(SettingsError::Dwell(self.dwell));
        }
        if !within(self.keepalive, 100) {
            return Err(SettingsError::Keepalive(self.keepalive));
        }
        if self.session > 3 {
            return Err(SettingsError::Session(self.session));
        }
        if self.population == 0 {
            return Err(SettingsError::Population);
        }
        Ok(())
    }
}

/// The session: see the module.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    state: State,
    inbox: Inbox,
    /// The message that is being put together.
    out: Vec<u8>,
    last_id: u32,
    /// When octets last arrived.
    heard: Timestamp,
    reader: Capabilities,
    clock: Clock,
    visits: Visits,
    unknown: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No connection.
    Idle,
    /// Waiting for the greeting.
    Greeting { until: Timestamp },
    /// Waiting for the answer to request `id`.
    Asked { step: Step, id: u32, until: Timestamp },
    /// The reader looks and reports.
    Running,
    /// The connection is given up.
    Over,
}

/// Requests in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Capabilities,
    Extensions,
    Antennas,
    Config,
    Delete,
    Add,
    Enable,
}

/// What the reader can do, as far as it matters here.
#[derive(Debug, Default)]
struct Capabilities {
    impinj: bool,
    /// Index in the reader's table, and 1/100 dBm.
    powers: Vec<(u16, i16)>,
    /// 0 where the reader doesn't hop.
    hop_table: u16,
    /// Channel n is at n − 1, in kHz.
    channels: Vec<u32>,
}

impl Client {
    /// A session that asks a reader for `settings` each time it is connected.
    ///
    /// # Errors
    /// The first setting that can't be.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        settings.check()?;
        Ok(Self {
            visits: Visits::new(&settings),
            settings,
            state: State::Idle,
            inbox: Inbox::default(),
            out: Vec::new(),
            last_id: 0,
            heard: Timestamp::EPOCH,
            reader: Capabilities::default(),
            clock: Clock::default(),
            unknown: 0,
        })
    }

    /// Parameters and messages that were skipped as unknown since the start.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Tells the reader that the session is over, so that the next one needn't wait for its keepalive to fail.
    /// The driver sends what this gives, then closes.
    pub fn close(&mut self, sink: &mut impl ReaderSink) {
        if !matches!(self.state, State::Idle | State::Over) {
            self.send(&Tree::new("CLOSE_CONNECTION"), sink);
            self.give_up("closed by us", sink);
        }
    }

    fn send(&mut self, message: &Tree, sink: &mut impl ReaderSink) -> u32 {
        self.last_id = self.last_id.wrapping_add(1);
        self.out.clear();
        message.encode(VERSION, self.last_id, &mut self.out);
        sink.send(&self.out);
        self.last_id
    }

    fn give_up(&mut self, why: &'static str, sink: &mut impl ReaderSink) {
        self.state = State::Over;
        sink.event(ReaderEvent::Down(why));
    }

    fn ask(&mut self, now: Timestamp, step: Step, sink: &mut impl ReaderSink) {
        let message = match step {
            // RequestedData 0: all.
            Step::Capabilities => Tree::new("GET_READER_CAPABILITIES"),
            Step::Extensions => Tree::new("CUSTOM_MESSAGE")
                .set("VendorIdentifier", IMPINJ)
                .set("MessageSubtype", 21)
                .set("Data", &[0_u8; 4][..]),
            // Of all antennas: AntennaProperties.
            Step::Antennas => Tree::new("GET_READER_CONFIG").set("RequestedData", 2),
            Step::Config => self.config(),
            // ROSpecID 0: all.
            Step::Delete => Tree::new("DELETE_ROSPEC"),
            Step::Add => self.rospec(),
            Step::Enable => Tree::new("ENABLE_ROSPEC").set("ROSpecID", ROSPEC_ID),
        };
        let id = self.send(&message, sink);
        self.state = State::Asked { step, id, until: now + ANSWER_WAIT };
    }

    fn config(&self) -> Tree {
        // Reader exceptions, ends of AISpecs, antennas; not hops, GPI, ROSpecs, RF surveys, singulation details.
        let wanted = [4, 6, 8];
        let states = (0..9_u16).map(|event| {
            Tree::new("EventNotificationState")
                .set("EventType", event)
                .set("NotificationState", wanted.contains(&event))
        });
        let keepalive = Tree::new("KeepaliveSpec")
            .set("KeepaliveTriggerType", 1)
            .set("PeriodicTriggerValue", self.settings.keepalive.millis());
        Tree::new("SET_READER_CONFIG")
            .with(Tree::new("ReaderEventNotificationSpec").with_all(states))
            .with(keepalive)
            .with(Tree::new("EventsAndReports"))
    }

    fn rospec(&self) -> Tree {
        let Self { settings, reader, .. } = self;
        let immediate = Tree::new("ROSpecStartTrigger").set("ROSpecStartTriggerType", 1);
        let boundary = Tree::new("ROBoundarySpec").with(immediate).with(Tree::new("ROSpecStopTrigger"));
        let rf = settings.mode.map(|mode| Tree::new("C1G2RFControl").set("ModeIndex", mode));
        let singulation = Tree::new("C1G2SingulationControl")
            .set("Session", settings.session)
            .set("TagPopulation", settings.population);
        let inventory = Tree::new("C1G2InventoryCommand").with_all(rf).with(singulation);
        let specs = settings.antennas.iter().zip(1_u16..).map(|(antenna, spec)| {
            let transmitter = antenna.power_cdbm.and_then(|power| reader.power(power)).map(|index| {
                Tree::new("RFTransmitter")
                    .set("HopTableID", reader.hop_table)
                    .set("ChannelIndex", 1)
                    .set("TransmitPower", index)
            });
            let configuration = Tree::new("AntennaConfiguration")
                .set("AntennaID", antenna.port)
                .with_all(transmitter)
                .with(inventory.clone());
            let dwell = Tree::new("AISpecStopTrigger")
                .set("AISpecStopTriggerType", 1)
                .set("DurationTrigger", settings.dwell.millis());
            let parameters = Tree::new("InventoryParameterSpec")
                .set("InventoryParameterSpecID", spec)
                .set("ProtocolID", 1)
                .with(configuration);
            Tree::new("AISpec").set("AntennaIDs", vec![u64::from(antenna.port)]).with(dwell).with(parameters)
        });
        let contents = ["AntennaID", "ChannelIndex", "PeakRSSI", "LastSeenTimestamp", "TagSeenCount"]
            .into_iter()
            .fold(Tree::new("TagReportContentSelector"), |contents, field| {
                contents.set(&["Enable", field].concat(), 1)
            });
        // Phase and fine RSSI, each a parameter within Impinj's own content selector.
        let extra = reader.impinj.then(|| {
            let mut data = Vec::new();
            for subtype in [52_u32, 53] {
                data.extend([0x03, 0xFF, 0, 14]);
                data.extend(IMPINJ.to_be_bytes());
                data.extend(subtype.to_be_bytes());
                data.extend(1_u16.to_be_bytes());
            }
            Tree::custom(IMPINJ, 50, &data)
        });
        // Upon N tags or the end of an AISpec.
        let report = Tree::new("ROReportSpec")
            .set("ROReportTrigger", 1)
            .set("N", settings.report_every)
            .with(contents)
            .with_all(extra);
        let rospec = Tree::new("ROSpec").set("ROSpecID", ROSPEC_ID).with(boundary).with_all(specs).with(report);
        Tree::new("ADD_ROSPEC").with(rospec)
    }

    fn frame(&mut self, now: Timestamp, frame: &Frame<'_>, sink: &mut impl ReaderSink) {
        if self.state == State::Over {
            return;
        }
        match frame.kind {
            kind::RO_ACCESS_REPORT => self.report(now, frame.body, sink),
            kind::READER_EVENT_NOTIFICATION => match Events::parse(frame.body) {
                Ok(events) => self.events(now, &events, sink),
                Err(error) => sink.event(malformed(error.what, error.offset)),
            },
            kind::KEEPALIVE => {
                const ACK: [u8; 6] = [VERSION << 2, kind::KEEPALIVE_ACK as u8, 0, 0, 0, 10];
                let mut ack = [0; 10];
                ack[..6].copy_from_slice(&ACK);
                ack[6..].copy_from_slice(&frame.id.to_be_bytes());
                sink.send(&ack);
            }
            _ => self.answer(now, frame, sink),
        }
    }

    /// Takes what may be the answer that is waited for.
    fn answer(&mut self, now: Timestamp, frame: &Frame<'_>, sink: &mut impl ReaderSink) {
        let error = frame.kind == kind::ERROR_MESSAGE;
        let (step, awaited) = match self.state {
            State::Asked { step, id, .. } => (step, frame.id == id && (error || frame.kind == step.answer())),
            State::Idle | State::Greeting { .. } | State::Running | State::Over => (Step::Enable, false),
        };
        if !awaited && !error {
            self.unknown += 1;
            return;
        }
        let body = match tree::decode(frame) {
            Ok(body) => body,
            Err(error) => {
                sink.event(malformed("an answer as LLRP defines it", error.offset));
                if awaited {
                    self.give_up("the reader's answer makes no sense", sink);
                }
                return;
            }
        };
        // Impinj's answer to its extensions has its LLRPStatus in what is opaque here: without them the reader sends
        // no phase, and nothing else changes.
        let status = body.child("LLRPStatus").map_or(0, |status| status.int("StatusCode") as u16);
        if status != 0 {
            sink.event(ReaderEvent::Fault { what: definition::status_name(status), code: status.into() });
        }
        if awaited {
            self.answered(now, step, status == 0 && !error, &body, sink);
        }
    }

    fn answered(&mut self, now: Timestamp, step: Step, done: bool, body: &Tree, sink: &mut impl ReaderSink) {
        let next = match (step, done) {
            (Step::Capabilities, true) => match self.capabilities(body) {
                Ok(()) if self.reader.impinj => Step::Extensions,
                Ok(()) => Step::Antennas,
                Err(why) => return self.give_up(why, sink),
            },
            (Step::Capabilities, false) => return self.give_up("the reader tells no capabilities", sink),
            (Step::Extensions, done) => {
                self.reader.impinj = done;
                Step::Antennas
            }
            (Step::Antennas, _) => {
                // Without an answer all count as connected.
                for properties in body.all("AntennaProperties") {
                    let (port, connected) =
                        (properties.int("AntennaID") as u16, properties.int("AntennaConnected") != 0);
                    self.antenna(port, connected, sink);
                }
                Step::Config
            }
            (Step::Config, true) => Step::Delete,
            (Step::Config, false) => return self.give_up("the reader refuses its configuration", sink),
            // Refused where there is none, by some readers: if any is left, ADD_ROSPEC will tell.
            (Step::Delete, _) => Step::Add,
            (Step::Add, true) => Step::Enable,
            (Step::Add, false) => return self.give_up("the reader refuses the ROSpec", sink),
            (Step::Enable, true) => {
                self.send(&Tree::new("ENABLE_EVENTS_AND_REPORTS"), sink);
                self.state = State::Running;
                return sink.event(ReaderEvent::Up);
            }
            (Step::Enable, false) => return self.give_up("the reader refuses to start the ROSpec", sink),
        };
        if next == Step::Enable {
            // The reader may look before it answers.
            self.visits.start(now, &self.settings);
        }
        self.ask(now, next, sink);
    }

    /// Takes the capabilities, or says why the settings don't go with them.
    fn capabilities(&mut self, body: &Tree) -> Result<(), &'static str> {
        let mut reader = Capabilities::default();
        if let Some(general) = body.child("GeneralDeviceCapabilities") {
            reader.impinj = general.int("DeviceManufacturerName") == i64::from(IMPINJ);
            let antennas = general.int("MaxNumberOfAntennaSupported");
            if self.settings.antennas.iter().any(|antenna| i64::from(antenna.port) > antennas) {
                return Err("the reader has fewer antenna ports than are set");
            }
        }
        let specs = body.child("LLRPCapabilities").map_or(0, |llrp| llrp.int("MaxNumSpecsPerROSpec"));
        if specs != 0 && (self.settings.antennas.len() as i64) > specs {
            return Err("the reader takes fewer AISpecs in a ROSpec than there are antennas");
        }
        if let Some(band) = body.child("RegulatoryCapabilities").and_then(|rules| rules.child("UHFBandCapabilities")) {
            let power = |entry: &Tree| (entry.int("Index") as u16, entry.int("TransmitPowerValue") as i16);
            reader.powers = band.all("TransmitPowerLevelTableEntry").map(power).collect();
            let frequencies = band.child("FrequencyInformation");
            let hops = frequencies.and_then(|info| info.child("FrequencyHopTable"));
            reader.hop_table = hops.map_or(0, |table| table.int("HopTableID") as u16);
            let table = hops.or_else(|| frequencies.and_then(|info| info.child("FixedFrequencyTable")));
            reader.channels = table.map_or(Vec::new(), |t| t.list("Frequency").iter().map(|khz| *khz as u32).collect());
        }
        self.reader = reader;
        Ok(())
    }

    fn antenna(&mut self, port: u16, connected: bool, sink: &mut impl ReaderSink) {
        if let Some(antenna) = self.visits.antennas.iter_mut().find(|antenna| antenna.port == port)
            && antenna.gone == connected
        {
            antenna.gone = !connected;
            sink.event(ReaderEvent::Antenna { port, connected });
        }
    }

    fn events(&mut self, now: Timestamp, events: &Events, sink: &mut impl ReaderSink) {
        if let Some(stamp) = events.clock
            && self.clock.observe(now, stamp, Duration::ZERO)
        {
            sink.event(ReaderEvent::ClockJump);
        }
        if let (State::Greeting { .. }, Some(status)) = (self.state, events.connection) {
            match status {
                0 => self.ask(now, Step::Capabilities, sink),
                1 => self.give_up("the reader has a connection that it dialled itself", sink),
                2 => self.give_up("the reader has another client", sink),
                _ => self.give_up("the reader refuses the connection", sink),
            }
        }
        if let Some((port, connected)) = events.antenna {
            self.antenna(port, connected, sink);
        }
        if events.exception {
            sink.event(ReaderEvent::Fault { what: "ReaderExceptionEvent", code: 0 });
        }
        if events.overflow {
            sink.event(ReaderEvent::Fault { what: "ReportBufferOverflowErrorEvent", code: 0 });
        }
        if let Some((ROSPEC_ID, spec)) = events.aispec_end
            && self.looking()
        {
            let end = events.clock.map_or(now, |stamp| self.clock.map(now, stamp, Duration::ZERO));
            self.visits.ended(now, spec, end, &self.settings, sink);
        }
        if events.closing && self.state != State::Over {
            self.give_up("the reader closed the connection", sink);
        }
    }

    /// Whether reports are of our ROSpec.
    fn looking(&self) -> bool {
        matches!(self.state, State::Running | State::Asked { step: Step::Enable, .. })
    }

    fn report(&mut self, now: Timestamp, body: &[u8], sink: &mut impl ReaderSink) {
        if !self.looking() {
            return;
        }
        // A report comes at the end of a visit and may tell of its beginning.
        let slack = self.settings.dwell;
        let mut last_seen = None;
        let mut reports = Reports::new(body);
        for report in &mut reports {
            match report {
                Ok(report) => {
                    last_seen = last_seen.max(report.last_seen.or(report.first_seen));
                    self.unknown += u64::from(report.unknown);
                    self.read(now, &report, slack, sink);
                }
                Err(error) => sink.event(malformed(error.what, error.offset)),
            }
        }
        self.unknown += u64::from(reports.unknown);
        if let Some(stamp) = last_seen
            && self.clock.observe(now, stamp, slack)
        {
            sink.event(ReaderEvent::ClockJump);
        }
    }

    fn read(&mut self, now: Timestamp, report: &TagReport<'_>, slack: Duration, sink: &mut impl ReaderSink) {
        let Some(epc) = Epc::new(report.epc) else { return sink.event(malformed("an EPC of at most 62 octets", 0)) };
        let by_spec = || self.visits.antenna_of_spec(report.spec_index?);
        let Some(antenna) = report.antenna.or_else(by_spec) else {
            return sink.event(malformed("an antenna in each tag report", 0));
        };
        let rssi = report.peak_rssi_cdbm.or(report.peak_rssi_dbm.map(|dbm| i16::from(dbm) * 100));
        let stamp = report.last_seen.or(report.first_seen);
        let channel = report.channel_index.and_then(|index| usize::from(index).checked_sub(1));
        let read = TagRead {
            epc,
            antenna,
            rssi_cdbm: rssi.unwrap_or(RSSI_UNTOLD_CDBM),
            count: report.seen_count.unwrap_or(1).max(1),
            at: stamp.map_or(now, |stamp| self.clock.map(now, stamp, slack)),
            frequency_khz: channel.and_then(|channel| self.reader.channels.get(channel)).copied(),
            phase: report.phase,
        };
        self.visits.read(&read, &self.settings, sink);
        sink.read(&read);
    }
}

fn malformed(what: &'static str, offset: usize) -> ReaderEvent {
    ReaderEvent::Malformed { what, offset: offset as u32 }
}

impl Step {
    /// The message type of its answer.
    fn answer(self) -> u16 {
        let request = match self {
            Self::Capabilities => kind::GET_READER_CAPABILITIES,
            Self::Extensions => return kind::CUSTOM_MESSAGE,
            Self::Antennas => kind::GET_READER_CONFIG,
            Self::Config => kind::SET_READER_CONFIG,
            Self::Delete => kind::DELETE_ROSPEC,
            Self::Add => kind::ADD_ROSPEC,
            Self::Enable => kind::ENABLE_ROSPEC,
        };
        request + 10
    }
}

impl Capabilities {
    /// The table index of the greatest power that isn't above `cdbm`; of the least if all are.
    fn power(&self, cdbm: i16) -> Option<u16> {
        let fits = self.powers.iter().filter(|(_, power)| *power <= cdbm).max_by_key(|(_, power)| *power);
        fits.or_else(|| self.powers.iter().min_by_key(|(_, power)| *power)).map(|(index, _)| *index)
    }
}

impl ReaderSession for Client {
    fn connected(&mut self, now: Timestamp, _sink: &mut impl ReaderSink) {
        self.inbox.clear();
        self.heard = now;
        self.reader = Capabilities::default();
        self.clock = Clock::default();
        self.visits = Visits::new(&self.settings);
        self.state = State::Greeting { until: now + ANSWER_WAIT };
    }

    fn receive(&mut self, now: Timestamp, octets: &[u8], sink: &mut impl ReaderSink) {
        if matches!(self.state, State::Idle | State::Over) {
            return;
        }
        self.heard = now;
        let mut inbox = std::mem::take(&mut self.inbox);
        let framed = inbox.receive(octets, |frame| self.frame(now, &frame, sink));
        self.inbox = inbox;
        if framed.is_err() && self.state != State::Over {
            sink.event(malformed("a message length of 10 octets to 4 MiB", 2));
            self.give_up("the reader's octets are no LLRP", sink);
        }
    }

    fn tick(&mut self, now: Timestamp, sink: &mut impl ReaderSink) {
        match self.state {
            State::Greeting { until } if until <= now => self.give_up("the reader doesn't greet", sink),
            State::Asked { until, .. } if until <= now => self.give_up("the reader doesn't answer", sink),
            State::Running if self.silent_at() <= now => {
                self.give_up("the reader has been silent for 2.5 keepalive periods", sink);
            }
            State::Running => self.visits.tick(now, &self.settings, sink),
            State::Greeting { .. } | State::Asked { .. } | State::Idle | State::Over => {}
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        match self.state {
            State::Greeting { until } | State::Asked { until, .. } => Some(until),
            State::Running => Some(self.silent_at().min(self.visits.next_deadline(&self.settings))),
            State::Idle | State::Over => None,
        }
    }

    fn disconnected(&mut self, _now: Timestamp, sink: &mut impl ReaderSink) {
        if !matches!(self.state, State::Idle | State::Over) {
            sink.event(ReaderEvent::Down("the connection is lost"));
        }
        self.state = State::Idle;
    }

    fn over(&self) -> bool {
        self.state == State::Over
    }
}

impl Client {
    /// When the reader has been silent for too long.
    fn silent_at(&self) -> Timestamp {
        self.heard + Duration::from_micros(self.settings.keepalive.micros() * 5 / 2)
    }
}

/// Makes visits of what the reader tells: by its AISpecEvents or, if it sends none, by the order of its reads.
#[derive(Debug)]
struct Visits {
    /// In the order of their AISpecs.
    antennas: Vec<Antenna>,
    source: Source,
    /// When the last visit that is known ended.
    last_end: Timestamp,
    /// A visit whose report may still come.
    ended: Option<Ended>,
    /// The SpecIndex of the first AISpec: 1 by the standard, 0 by some readers.
    first_spec: u16,
    /// The report of a visit comes before the event that ends it.
    report_first: bool,
}

#[derive(Debug)]
struct Antenna {
    port: u16,
    gone: bool,
    /// Replies since its last visit.
    reads: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Neither events nor enough time without them.
    Unsure { until: Timestamp },
    /// AISpecEvents.
    Told,
    /// Reads: `current` is the place of the antenna that was last heard, since `Visits::last_end`.
    Inferred { current: usize },
}

#[derive(Debug, Clone, Copy)]
struct Ended {
    index: usize,
    start: Timestamp,
    end: Timestamp,
    /// When its report won't come any more.
    due: Timestamp,
}

impl Visits {
    fn new(settings: &Settings) -> Self {
        let antenna = |antenna: &AntennaSettings| Antenna { port: antenna.port, gone: false, reads: 0 };
        Self {
            antennas: settings.antennas.iter().map(antenna).collect(),
            source: Source::Unsure { until: Timestamp::MAX },
            last_end: Timestamp::EPOCH,
            ended: None,
            first_spec: 1,
            report_first: false,
        }
    }

    fn start(&mut self, now: Timestamp, settings: &Settings) {
        self.source = Source::Unsure { until: now + self.patience(settings) };
        self.last_end = now;
    }

    /// In this time every antenna has had its turn for sure, if the reader works at all.
    fn patience(&self, settings: &Settings) -> Duration {
        Duration::from_micros(settings.dwell.micros() * self.antennas.len() as i64 * 2) + Duration::from_secs(1)
    }

    fn antenna_of_spec(&self, spec: u16) -> Option<u16> {
        Some(self.antennas.get(usize::from(spec.checked_sub(self.first_spec)?))?.port)
    }

    /// The reader says that an AISpec has ended.
    fn ended(&mut self, now: Timestamp, spec: u16, end: Timestamp, settings: &Settings, sink: &mut impl ReaderSink) {
        self.close(sink);
        self.source = Source::Told;
        self.first_spec = self.first_spec.min(spec);
        let index = usize::from(spec - self.first_spec);
        let Some(antenna) = self.antennas.get(index) else { return };
        let start = self.last_end.max(end - settings.dwell).min(end);
        self.last_end = end;
        self.ended = Some(Ended { index, start, end, due: now + REPORT_WAIT });
        // Where a visit is reported once, and that has been seen to come first, there is nothing to wait for.
        self.report_first |= settings.report_every == 0 && antenna.reads > 0;
        if self.report_first {
            self.close(sink);
        }
    }

    /// Passes on the visit that ended, if one waits.
    fn close(&mut self, sink: &mut impl ReaderSink) {
        if let Some(Ended { index, start, end, .. }) = self.ended.take() {
            self.visit(index, start, end, sink);
        }
    }

    fn visit(&mut self, index: usize, start: Timestamp, end: Timestamp, sink: &mut impl ReaderSink) {
        let antenna = &mut self.antennas[index];
        let reads = std::mem::take(&mut antenna.reads);
        sink.visit(&Visit { antenna: antenna.port, start, end, reads, healthy: reads > 0 || !antenna.gone });
    }

    /// A tag was read.
    fn read(&mut self, read: &TagRead, settings: &Settings, sink: &mut impl ReaderSink) {
        let Some(index) = self.antennas.iter().position(|antenna| antenna.port == read.antenna) else { return };
        if self.ended.is_some_and(|ended| read.at > ended.end) {
            self.close(sink);
        }
        if let Source::Inferred { current } = self.source {
            let elapsed = read.at.since(self.last_end);
            // Another antenna, or the same one again after its dwell: those between have had their turns.
            if index != current || elapsed.micros() > settings.dwell.micros() * 3 / 2 {
                let count = self.antennas.len();
                let turns = (index + count - current - 1) % count + 1;
                self.turns(current, turns, read.at, sink);
                self.source = Source::Inferred { current: index };
            }
        }
        let reads = &mut self.antennas[index].reads;
        *reads = reads.saturating_add(read.count.into());
    }

    /// So many antennas from `first` on had equal turns up to `end`.
    fn turns(&mut self, first: usize, turns: usize, end: Timestamp, sink: &mut impl ReaderSink) {
        let (start, span) = (self.last_end, end.since(self.last_end).micros());
        let at = |turn: usize| start + Duration::from_micros(span * turn as i64 / turns as i64);
        for turn in 0..turns {
            self.visit((first + turn) % self.antennas.len(), at(turn), at(turn + 1), sink);
        }
        self.last_end = end.max(start);
    }

    fn tick(&mut self, now: Timestamp, settings: &Settings, sink: &mut impl ReaderSink) {
        match self.source {
            Source::Unsure { until } if until <= now => {
                // No events. What was heard up to now can't be told apart by visits, so they start here.
                self.antennas.iter_mut().for_each(|antenna| antenna.reads = 0);
                self.last_end = now;
                self.source = Source::Inferred { current: 0 };
            }
            Source::Inferred { current } if self.last_end + self.patience(settings) <= now => {
                self.turns(current, self.antennas.len(), now, sink);
            }
            Source::Told if self.ended.is_some_and(|ended| ended.due <= now) => self.close(sink),
            Source::Unsure { .. } | Source::Inferred { .. } | Source::Told => {}
        }
    }

    fn next_deadline(&self, settings: &Settings) -> Timestamp {
        match self.source {
            Source::Unsure { until } => until,
            Source::Inferred { .. } => self.last_end + self.patience(settings),
            Source::Told => self.ended.map_or(Timestamp::MAX, |ended| ended.due),
        }
    }
}
