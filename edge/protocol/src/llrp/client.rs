//! The edge's end of an LLRP session.
//!
//! 1. The reader greets: READER_EVENT_NOTIFICATION with ConnectionAttemptEvent.
//! 2. GET_SUPPORTED_VERSION: a reader that has LLRP 1.1 or newer is set to 1.1, all others go on with 1.0.1.
//! 3. GET_READER_CAPABILITIES: what the settings ask for has to be in them. An Impinj reader's extensions are switched
//!    on.
//! 4. GET_READER_CONFIG tells which antennas are connected; SET_READER_CONFIG asks for keepalives and events, and to
//!    hold reports over a lost connection where the reader can.
//! 5. DELETE_ROSPEC and DELETE_ACCESSSPEC of all that were left behind, ADD_ROSPEC, ENABLE_ROSPEC,
//!    ENABLE_EVENTS_AND_REPORTS: up.
//! 6. RO_ACCESS_REPORT becomes reads, AISpecEvent visits; KEEPALIVE is answered. Silence ends the session.
//!
//! What a reader held from before the connection is told by its stamp. Up to ten seconds of it are taken for what they
//! are; older reports are counted and move nothing.
//!
//! The ROSpec has one AISpec for each antenna, each ended by its dwell time, and an immediate start trigger, so that
//! after the last antenna it starts again by itself (LLRP 1.0.1 §10.2.1.1) and needs no START_ROSPEC. Where a photo-eye
//! gates it, it has no start trigger: it is started when the beam is broken, and again at its end while it is.
//!
//! Operations on tags' memories are in `access`.

mod access;

use super::clock::Clock;
use super::definition;
use super::frame::{Frame, Inbox};
use super::report::{Events, Layouts, Reports, TagReport};
use super::tree::{self, Tree};
use super::{IMPINJ, VERSION, VERSION_MAX, kind};
use access::Access;
use std::fmt::Write as _;
use stowage_base::{Duration, Epc, ReaderCommand, ReaderEvent, ReaderSession, ReaderSink, TagRead, Timestamp, Visit};

/// How long a reader may take to answer a request, or to greet.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// How long after the end of an AISpec its report may come.
const REPORT_WAIT: Duration = Duration::from_millis(50);

/// How old a report from before the connection may be and still say where a tag is.
const HELD_MAX: Duration = Duration::from_secs(10);

/// After this much of a session the reader has told whatever it had held.
const REPLAY_MAX: Duration = Duration::from_secs(60);

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
    /// The rules of the place where it stands; `None`: whatever the reader is set to.
    pub region: Option<Region>,
    /// The input of a photo-eye that gates the antennas; `None`: they look all the time.
    pub gate: Option<Gate>,
    /// The output of a lamp that is on while the session is up.
    pub lamp: Option<u16>,
}

impl Settings {
    /// For these antennas, with what most readers do well: looks of half a second, session 1, 32 tags in view.
    pub fn new(antennas: Vec<AntennaSettings>) -> Self {
        Self {
            antennas,
            dwell: Duration::from_millis(500),
            keepalive: Duration::from_secs(2),
            session: 1,
            population: 32,
            mode: None,
            report_every: 0,
            region: None,
            gate: None,
            lamp: None,
        }
    }
}

/// The rules for radio of a part of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    /// United States and most of the Americas: FCC part 15, 902 to 928 MHz.
    Fcc,
    /// Europe: ETSI EN 302 208, 865.6 to 867.6 and 915 to 921 MHz.
    Etsi,
    /// China: 920 to 925 MHz.
    Cn,
}

impl Region {
    /// As in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fcc => "FCC",
            Self::Etsi => "ETSI",
            Self::Cn => "CN",
        }
    }

    /// The channels that its rules allow, kHz.
    fn band(self) -> &'static [std::ops::RangeInclusive<u32>] {
        match self {
            Self::Fcc => &[902_000..=928_000],
            Self::Etsi => &[865_000..=868_000, 915_000..=921_000],
            Self::Cn => &[920_000..=925_000],
        }
    }
}

/// A photo-eye that gates the antennas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    /// Its input on the reader, from 1.
    pub input: u16,
    /// The level at which the antennas look.
    pub high: bool,
    /// For how long they go on looking after it; looks that have begun are finished in any case.
    pub linger: Duration,
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
    /// The version that is spoken.
    version: u8,
    /// The reader bore no question for its version.
    old: bool,
    held: Held,
    gate: GateState,
    access: Access,
    /// Of the tag reports.
    layouts: Layouts,
}

/// Reports from before the connection.
#[derive(Debug, Default)]
struct Held {
    /// The reader's clock when it greeted: what is stamped before was held. `None`: nothing held comes any more.
    before: Option<u64>,
    until: Timestamp,
    /// Reports too old to be taken.
    late: u32,
}

/// Where a photo-eye gates the antennas.
#[derive(Debug, Default)]
struct GateState {
    open: bool,
    /// When it closed last.
    closed: Timestamp,
    /// The ROSpec has been started and hasn't ended.
    looking: bool,
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
    Versions,
    Version,
    Capabilities,
    Extensions,
    Antennas,
    Inputs,
    Config,
    Delete,
    DeleteAccess,
    Add,
    Enable,
}

/// What the reader can do, as far as it matters here.
#[derive(Debug, Default)]
struct Capabilities {
    impinj: bool,
    /// It can hold reports over a lost connection.
    holds: bool,
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
            version: VERSION,
            old: false,
            held: Held::default(),
            gate: GateState::default(),
            access: Access::default(),
            layouts: Layouts::default(),
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
        // Messages of 1.1 that come before it is spoken.
        let negotiates = matches!(message.number(), kind::GET_SUPPORTED_VERSION | kind::SET_PROTOCOL_VERSION);
        let version = if negotiates { VERSION_MAX } else { self.version };
        message.encode(version, self.last_id, &mut self.out);
        sink.send(&self.out);
        self.last_id
    }

    fn give_up(&mut self, why: &'static str, sink: &mut impl ReaderSink) {
        self.leave(State::Over, sink);
        sink.event(ReaderEvent::Down(why));
    }

    /// As [`give_up`](Self::give_up), with what was found and the mend.
    fn give_up_with(&mut self, why: &'static str, detail: &str, sink: &mut impl ReaderSink) {
        self.leave(State::Over, sink);
        sink.down(why, format_args!("{detail}"));
    }

    fn leave(&mut self, state: State, sink: &mut impl ReaderSink) {
        self.state = state;
        self.access.end(sink);
    }

    fn ask(&mut self, now: Timestamp, step: Step, sink: &mut impl ReaderSink) {
        let message = match step {
            Step::Versions => Tree::new("GET_SUPPORTED_VERSION"),
            Step::Version => Tree::new("SET_PROTOCOL_VERSION").set("ProtocolVersion", VERSION_MAX),
            // RequestedData 0: all.
            Step::Capabilities => Tree::new("GET_READER_CAPABILITIES"),
            Step::Extensions => Tree::new("IMPINJ_ENABLE_EXTENSIONS"),
            // Of all antennas: AntennaProperties.
            Step::Antennas => Tree::new("GET_READER_CONFIG").set("RequestedData", 2),
            // GPIPortCurrentState.
            Step::Inputs => Tree::new("GET_READER_CONFIG").set("RequestedData", 9),
            Step::Config => self.config(),
            // ROSpecID 0: all.
            Step::Delete => Tree::new("DELETE_ROSPEC"),
            // AccessSpecID 0: all.
            Step::DeleteAccess => Tree::new("DELETE_ACCESSSPEC"),
            Step::Add => self.rospec(),
            Step::Enable => Tree::new("ENABLE_ROSPEC").set("ROSpecID", ROSPEC_ID),
        };
        let id = self.send(&message, sink);
        self.state = State::Asked { step, id, until: now + ANSWER_WAIT };
    }

    fn config(&self) -> Tree {
        // Buffers that fill, exceptions, ends of AISpecs, antennas; where something is gated, inputs and ROSpecs. Not
        // hops, RF surveys, singulation details.
        let (gated, reader_holds) = (self.settings.gate.is_some(), self.reader.holds);
        let wanted = if gated { &[1, 2, 3, 4, 6, 8][..] } else { &[3, 4, 6, 8] };
        let states = (0..9_u16).map(|event| {
            Tree::new("EventNotificationState")
                .set("EventType", event)
                .set("NotificationState", wanted.contains(&event))
        });
        let keepalive = Tree::new("KeepaliveSpec")
            .set("KeepaliveTriggerType", 1)
            .set("PeriodicTriggerValue", self.settings.keepalive.millis());
        let input = self
            .settings
            .gate
            .map(|gate| Tree::new("GPIPortCurrentState").set("GPIPortNum", gate.input).set("Config", true));
        Tree::new("SET_READER_CONFIG")
            .with(Tree::new("ReaderEventNotificationSpec").with_all(states))
            .with(keepalive)
            .with_all(input)
            .with(Tree::new("EventsAndReports").set("HoldEventsAndReportsUponReconnect", reader_holds))
    }

    fn rospec(&self) -> Tree {
        let Self { settings, reader, .. } = self;
        // Immediate, or none.
        let start = Tree::new("ROSpecStartTrigger").set("ROSpecStartTriggerType", settings.gate.is_none());
        let boundary = Tree::new("ROBoundarySpec").with(start).with(Tree::new("ROSpecStopTrigger"));
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
        // Phase and fine RSSI.
        let extra = reader.impinj.then(|| {
            Tree::new("ImpinjTagReportContentSelector")
                .with(Tree::new("ImpinjEnableRFPhaseAngle").set("RFPhaseAngleMode", 1))
                .with(Tree::new("ImpinjEnablePeakRSSI").set("PeakRSSIMode", 1))
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
            kind::RO_ACCESS_REPORT => self.report(now, frame, sink),
            kind::READER_EVENT_NOTIFICATION => match Events::parse(frame.body) {
                Ok(events) => self.events(now, &events, sink),
                Err(error) => sink.event(malformed(error.what, error.offset)),
            },
            kind::KEEPALIVE => {
                let mut ack = [0, kind::KEEPALIVE_ACK as u8, 0, 0, 0, 10, 0, 0, 0, 0];
                ack[0] = self.version << 2;
                ack[6..].copy_from_slice(&frame.id.to_be_bytes());
                sink.send(&ack);
            }
            _ => self.answer(now, frame, sink),
        }
    }

    /// Takes what may be the answer that is waited for.
    fn answer(&mut self, now: Timestamp, frame: &Frame<'_>, sink: &mut impl ReaderSink) {
        let error = frame.kind == kind::ERROR_MESSAGE;
        if self.state == State::Running {
            return self.command_answered(now, frame, sink);
        }
        let (step, awaited) = match self.state {
            State::Asked { step, id, .. } => (step, frame.id == id && (error || frame.kind == step.answer())),
            State::Idle | State::Greeting { .. } | State::Running | State::Over => (Step::Enable, false),
        };
        // Whatever error there is, it is about the question for the version.
        let old = error && step == Step::Versions;
        if !awaited && !error {
            self.unknown += 1;
            return;
        }
        let body = match tree::decode(frame) {
            Ok(body) => body,
            Err(_) if old => return self.ask(now, Step::Capabilities, sink),
            Err(error) => {
                sink.event(malformed("an answer as LLRP defines it", error.offset));
                if awaited {
                    self.give_up("the reader's answer makes no sense", sink);
                }
                return;
            }
        };
        if old {
            return self.ask(now, Step::Capabilities, sink);
        }
        // Without its extensions an Impinj reader sends no phase, and nothing else changes.
        let status = told_status(body.extension().as_ref().unwrap_or(&body), sink);
        if awaited {
            self.answered(now, step, status == 0 && !error, &body, sink);
        }
    }

    fn answered(&mut self, now: Timestamp, step: Step, done: bool, body: &Tree, sink: &mut impl ReaderSink) {
        let next = match (step, done) {
            (Step::Versions, true) if body.int("SupportedVersion") >= i64::from(VERSION_MAX) => {
                match body.int("CurrentVersion") == i64::from(VERSION_MAX) {
                    true => {
                        self.version = VERSION_MAX;
                        Step::Capabilities
                    }
                    false => Step::Version,
                }
            }
            (Step::Versions, _) => Step::Capabilities,
            (Step::Version, done) => {
                if done {
                    self.version = VERSION_MAX;
                }
                Step::Capabilities
            }
            (Step::Capabilities, true) => match self.capabilities(body) {
                Ok(()) if self.reader.impinj => Step::Extensions,
                Ok(()) => Step::Antennas,
                Err((why, detail)) => return self.give_up_with(why, &detail, sink),
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
            (Step::Config, true) if self.settings.gate.is_some() => Step::Inputs,
            (Step::Config, true) => Step::Delete,
            (Step::Config, false) => return self.give_up("the reader refuses its configuration", sink),
            (Step::Inputs, _) => {
                for input in body.all("GPIPortCurrentState") {
                    self.input(now, input.int("GPIPortNum") as u16, input.int("State") == 1, sink);
                }
                Step::Delete
            }
            // Refused where there is none, by some readers: if any is left, ADD_ROSPEC will tell.
            (Step::Delete, _) => Step::DeleteAccess,
            (Step::DeleteAccess, _) => Step::Add,
            (Step::Add, true) => Step::Enable,
            (Step::Add, false) => return self.give_up("the reader refuses the ROSpec", sink),
            (Step::Enable, true) => {
                self.send(&Tree::new("ENABLE_EVENTS_AND_REPORTS"), sink);
                self.state = State::Running;
                self.held.until = now + REPLAY_MAX;
                sink.event(ReaderEvent::Up);
                if let Some(port) = self.settings.lamp {
                    self.send(&output(port, true), sink);
                }
                return self.look(now, sink);
            }
            (Step::Enable, false) => return self.give_up("the reader refuses to start the ROSpec", sink),
        };
        if next == Step::Enable {
            // The reader may look before it answers.
            self.visits.start(now, &self.settings);
        }
        self.ask(now, next, sink);
    }

    /// Where a photo-eye gates the antennas: starts to look, if it is time and they don't.
    fn look(&mut self, now: Timestamp, sink: &mut impl ReaderSink) {
        let Some(gate) = self.settings.gate else { return };
        let wanted = self.gate.open || now < self.gate.closed + gate.linger;
        if self.state == State::Running && wanted && !self.gate.looking {
            self.gate.looking = true;
            self.send(&Tree::new("START_ROSPEC").set("ROSpecID", ROSPEC_ID), sink);
        }
    }

    /// An input is, or has become, high or low.
    fn input(&mut self, now: Timestamp, port: u16, high: bool, sink: &mut impl ReaderSink) {
        sink.event(ReaderEvent::Input { port, high });
        let Some(gate) = self.settings.gate.filter(|gate| gate.input == port) else { return };
        let open = gate.high == high;
        if std::mem::replace(&mut self.gate.open, open) && !open {
            self.gate.closed = now;
        }
        self.look(now, sink);
    }

    /// Takes the capabilities, or says why the settings don't go with them: in short, and with the key and its mend.
    fn capabilities(&mut self, body: &Tree) -> Result<(), (&'static str, String)> {
        let settings = &self.settings;
        let unfit = |detail: String| Err(("the reader can't do what is set", detail));
        let mut reader = Capabilities::default();
        if let Some(general) = body.child("GeneralDeviceCapabilities") {
            reader.impinj = general.int("DeviceManufacturerName") == i64::from(IMPINJ);
            let antennas = general.int("MaxNumberOfAntennaSupported");
            if let Some(antenna) = settings.antennas.iter().find(|antenna| i64::from(antenna.port) > antennas) {
                let detail = format!("antennas: port {}: give ports from 1 to {antennas}", antenna.port);
                return Err(("the reader has fewer antenna ports than are set", detail));
            }
            let gpio = general.child("GPIOCapabilities");
            let (inputs, outputs) = gpio.map_or((0, 0), |gpio| (gpio.int("NumGPIs"), gpio.int("NumGPOs")));
            if let Some(gate) = settings.gate.filter(|gate| i64::from(gate.input) > inputs) {
                return unfit(format!("gate.input {}: the reader has {inputs} inputs", gate.input));
            }
            if let Some(lamp) = settings.lamp.filter(|lamp| i64::from(*lamp) > outputs) {
                return unfit(format!("lamp {lamp}: the reader has {outputs} outputs"));
            }
        }
        if let Some(llrp) = body.child("LLRPCapabilities") {
            reader.holds = llrp.int("SupportsEventAndReportHolding") != 0;
            let (specs, count) = (llrp.int("MaxNumSpecsPerROSpec"), settings.antennas.len() as i64);
            if specs != 0 && count > specs {
                let detail = format!("antennas: {count} are set: give at most {specs}");
                return Err(("the reader can't visit so many antennas by turns", detail));
            }
        }
        if let Some(rules) = body.child("RegulatoryCapabilities")
            && let Some(band) = rules.child("UHFBandCapabilities")
        {
            let power = |entry: &Tree| (entry.int("Index") as u16, entry.int("TransmitPowerValue") as i16);
            reader.powers = band.all("TransmitPowerLevelTableEntry").map(power).collect();
            let frequencies = band.child("FrequencyInformation");
            let hops = frequencies.and_then(|info| info.child("FrequencyHopTable"));
            reader.hop_table = hops.map_or(0, |table| table.int("HopTableID") as u16);
            let table = hops.or_else(|| frequencies.and_then(|info| info.child("FixedFrequencyTable")));
            reader.channels = table.map_or(Vec::new(), |t| t.list("Frequency").iter().map(|khz| *khz as u32).collect());
            let dbm = |cdbm: i16| f64::from(cdbm) / 100.0;
            let (least, most) = (reader.powers.iter().map(|p| p.1).min(), reader.powers.iter().map(|p| p.1).max());
            for antenna in &settings.antennas {
                if let (Some(wanted), Some(least), Some(most)) = (antenna.power_cdbm, least, most)
                    && !(least..=most).contains(&wanted)
                {
                    let (port, wanted) = (antenna.port, dbm(wanted));
                    let detail =
                        format!("antennas: power_dbm {wanted} of port {port}: give {} to {}", dbm(least), dbm(most));
                    return unfit(detail);
                }
            }
            let modes = band.all("C1G2UHFRFModeTable").flat_map(|table| table.all("C1G2UHFRFModeTableEntry"));
            let modes: Vec<i64> = modes.map(|mode| mode.int("ModeIdentifier")).collect();
            if let Some(mode) = settings.mode.filter(|mode| !modes.contains(&i64::from(*mode))) {
                let mut known = String::new();
                for mode in modes {
                    let _ = write!(known, "{}{mode}", if known.is_empty() { "" } else { ", " });
                }
                return unfit(format!("mode {mode}: give one of {known}, or leave it out"));
            }
            if let Some(region) = settings.region {
                let allowed = |khz: &&u32| region.band().iter().any(|band| band.contains(*khz));
                if let Some(khz) = reader.channels.iter().find(|khz| !allowed(khz)) {
                    let detail = format!(
                        "region {}: the reader is set to country code {} and transmits at {:.3} MHz, which isn't allowed there: set the reader's region, or put its own here",
                        region.name(),
                        rules.int("CountryCode"),
                        f64::from(*khz) / 1_000.0
                    );
                    return Err(("the reader is set to another region", detail));
                }
            }
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
        let held = self.is_held(now, events.clock);
        if let Some(stamp) = events.clock
            && !held
            && self.clock.observe(now, stamp, Duration::ZERO)
        {
            self.held.before = None;
            sink.event(ReaderEvent::ClockJump);
        }
        if let (State::Greeting { .. }, Some(status)) = (self.state, events.connection) {
            match status {
                0 => {
                    self.held.before = events.clock;
                    let first = if self.old { Step::Capabilities } else { Step::Versions };
                    self.ask(now, first, sink);
                }
                1 => self.give_up("the reader has a connection that it dialled itself", sink),
                2 => self.give_up("the reader has another client", sink),
                _ => self.give_up("the reader refuses the connection", sink),
            }
        }
        if let Some((port, high)) = events.input {
            self.input(now, port, high, sink);
        }
        if let Some((1 | 2, ROSPEC_ID)) = events.rospec {
            self.gate.looking = false;
            self.look(now, sink);
        }
        if let Some(full) = events.filling {
            sink.fault("ReportBufferLevelWarningEvent", 0, format_args!("the reader's report buffer is {full} % full"));
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
            && !held
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

    /// Whether what is stamped so was held from before the connection.
    fn is_held(&mut self, now: Timestamp, stamp: Option<u64>) -> bool {
        let (Some(before), Some(stamp)) = (self.held.before, stamp) else { return false };
        let running = self.state == State::Running;
        if running && now >= self.held.until {
            self.held.before = None;
        }
        self.held.before.is_some() && stamp < before
    }

    fn report(&mut self, now: Timestamp, frame: &Frame<'_>, sink: &mut impl ReaderSink) {
        if !self.looking() {
            return;
        }
        if self.access.waits() {
            self.access_report(frame, sink);
        }
        // A report comes at the end of a visit and may tell of its beginning.
        let slack = self.settings.dwell;
        let mut last_seen = None;
        let mut layouts = std::mem::take(&mut self.layouts);
        let mut reports = Reports::new(frame.body, &mut layouts);
        for report in &mut reports {
            match report {
                Ok(report) => {
                    let stamp = report.last_seen.or(report.first_seen);
                    self.unknown += u64::from(report.unknown);
                    if !self.is_held(now, stamp) {
                        last_seen = last_seen.max(stamp);
                        self.read(now, &report, slack, sink);
                    } else if stamp
                        .zip(self.held.before)
                        .is_some_and(|(at, before)| before - at <= HELD_MAX.micros() as u64)
                    {
                        self.read(now, &report, HELD_MAX, sink);
                    } else {
                        self.held.late = self.held.late.saturating_add(1);
                    }
                }
                Err(error) => sink.event(malformed(error.what, error.offset)),
            }
        }
        self.unknown += u64::from(reports.unknown);
        self.layouts = layouts;
        if let Some(stamp) = last_seen {
            if self.held.late > 0 {
                sink.event(ReaderEvent::Late { count: std::mem::take(&mut self.held.late) });
            }
            if self.clock.observe(now, stamp, slack) {
                self.held.before = None;
                sink.event(ReaderEvent::ClockJump);
            }
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

/// Tells what an answer's LLRPStatus complains of: message, parameter and field, in the standard's names. Gives its code.
fn told_status(body: &Tree, sink: &mut impl ReaderSink) -> u16 {
    let Some(status) = body.child("LLRPStatus") else { return 0 };
    let code = status.int("StatusCode") as u16;
    if code != 0 {
        let what = definition::status_name(code);
        let mut detail = format!("{} says {what}", body.name());
        let (mut at, mut place) = (status, None);
        while let Some(error) = at.child("ParameterError") {
            let kind = error.int("ParameterType") as u16;
            place = definition::parameter(kind);
            let _ = write!(detail, " in {}", place.map_or("an unknown parameter", |place| place.name));
            at = error;
        }
        if at.number() != status.number() && at.child("FieldError").is_none() {
            let _ = write!(detail, " ({})", definition::status_name(at.int("ErrorCode") as u16));
        }
        if let Some(field) = at.child("FieldError") {
            let number = field.int("FieldNum");
            let mut named = place.into_iter().flat_map(|place| &place.fields).filter(|field| !field.name.is_empty());
            let _ = match usize::try_from(number).ok().and_then(|number| named.nth(number)) {
                Some(known) => write!(detail, ", field {}", known.name),
                None => write!(detail, ", field {number}"),
            };
            let _ = write!(detail, " ({})", definition::status_name(field.int("ErrorCode") as u16));
        }
        if let tree::Value::Text(text) = status.value("ErrorDescription")
            && !text.is_empty()
        {
            let _ = write!(detail, ": {}", text.trim().chars().take(200).collect::<String>());
        }
        sink.fault(what, code.into(), format_args!("{detail}"));
    }
    code
}

/// Sets an output.
fn output(port: u16, on: bool) -> Tree {
    Tree::new("SET_READER_CONFIG").with(Tree::new("GPOWriteData").set("GPOPortNumber", port).set("GPOData", on))
}

fn malformed(what: &'static str, offset: usize) -> ReaderEvent {
    ReaderEvent::Malformed { what, offset: offset as u32 }
}

impl Step {
    /// The message type of its answer.
    fn answer(self) -> u16 {
        let request = match self {
            Self::Versions => kind::GET_SUPPORTED_VERSION,
            Self::Version => kind::SET_PROTOCOL_VERSION,
            Self::Capabilities => kind::GET_READER_CAPABILITIES,
            Self::Extensions => return kind::CUSTOM_MESSAGE,
            Self::Antennas | Self::Inputs => kind::GET_READER_CONFIG,
            Self::Config => kind::SET_READER_CONFIG,
            Self::Delete => kind::DELETE_ROSPEC,
            Self::DeleteAccess => kind::DELETE_ACCESSSPEC,
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
        self.version = VERSION;
        self.held = Held::default();
        self.gate = GateState::default();
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
            State::Asked { step, until, .. } if until <= now => {
                self.old |= step == Step::Versions;
                self.give_up("the reader doesn't answer", sink);
            }
            State::Running if self.silent_at() <= now => {
                self.give_up("the reader has been silent for 2.5 keepalive periods", sink);
            }
            State::Running => {
                self.visits.tick(now, &self.settings, sink);
                self.command_tick(now, sink);
            }
            State::Greeting { .. } | State::Asked { .. } | State::Idle | State::Over => {}
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        match self.state {
            State::Greeting { until } | State::Asked { until, .. } => Some(until),
            State::Running => {
                let visits = self.silent_at().min(self.visits.next_deadline(&self.settings));
                Some(self.access.next_deadline().map_or(visits, |due| due.min(visits)))
            }
            State::Idle | State::Over => None,
        }
    }

    fn disconnected(&mut self, _now: Timestamp, sink: &mut impl ReaderSink) {
        if let State::Asked { step, .. } = self.state {
            // A reader that hangs up at this question isn't asked it again.
            self.old |= step == Step::Versions;
        }
        if !matches!(self.state, State::Idle | State::Over) {
            sink.event(ReaderEvent::Down("the connection is lost"));
        }
        self.leave(State::Idle, sink);
    }

    fn command(&mut self, now: Timestamp, id: u32, command: &ReaderCommand, sink: &mut impl ReaderSink) {
        self.begin(now, id, command, sink);
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
        // Where a photo-eye gates the antennas, silence says nothing.
        let patience = if settings.gate.is_some() { Timestamp::MAX } else { now + self.patience(settings) };
        self.source = Source::Unsure { until: patience };
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
