//! The command line: the demo, and single devices for scripts.
//!
//! A device reads commands as JSON lines on standard input and prints its events as JSON lines on standard output. The
//! end of standard input changes nothing; SIGINT and SIGTERM end it with exit code 0. What can't start says why on
//! standard error and exits 1; wrong usage exits 2.

use crate::demo::{self, DemoError, DemoSettings};
use crate::device::{
    Board, BoardSettings, Clock, DeviceError, Dialler, Event, Events, FileStore, Handheld, HandheldSettings,
    PlcCommand, PlcLine, Pty, RestPort, RobotCommand, ScannerCommand, SmartReaderCommand, SorterCommand, SorterLink,
    Stage, StageCommand, TcpPort, Told, ZebraSite, impinj, llrp, llrp_dialling, mercury, plc_settings, robot, sorter,
    sorter_plc, zebra,
};
use crate::harness;
use crate::world::{AntennaSpec, ReaderSpec, Spot, SpotIx, World};
use clap::{Args, Parser, Subcommand};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::io::{self, BufRead, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use stowage::config::{self, Broker, Secret, SorterModbus, load_edge, load_scenario};
use stowage_base::{Code, Duration, Epc, Language, code};
use stowage_core::site::{DeviceIx, ZoneIx};
use stowage_link::EnrolmentKey;
use stowage_mercury::ModuleSettings;
use stowage_mercury::speed::SPEEDS;
use stowage_protocol::llrp::reader::{Profile, Vendor};
use stowage_protocol::modbus::{Framing, Serial};
use stowage_protocol::sorter_mqtt::SorterSettings;
use stowage_protocol::vda5050::{Base, RobotSettings, Version};
use stowage_protocol::{impinj_iot, zebra_iotc};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// A warehouse on a laptop. Without a command: the demo.
#[derive(Debug, Parser)]
#[command(name = "stowage-sim", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    demo: DemoArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the demo: a warehouse with an edge, two RFID gates, a sorter and a worker; data in .stowage
    Demo(DemoArgs),
    /// Run a scenario in virtual time: the same seed, the same facts; an auditor judges
    Run(RunArgs),
    /// Run one simulated device on a real line: JSON lines in and out
    #[command(subcommand)]
    Device(DeviceKind),
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// Take five ports from here on (page, scanners, LLRP reader, broker, smart reader) in place of 8080, 7070, 5084,
    /// 1883 and 8070
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=65_531))]
    port_base: Option<u16>,
    /// Draws what happens
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run the handhelds as their firmware's image, on boards that QEMU emulates
    #[arg(long)]
    image: bool,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// scenario.toml
    scenario: PathBuf,
    /// Draws everything
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Load and faults last so many seconds, in place of the scenario's own
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=2_592_000))]
    duration: Option<u32>,
    /// Write the facts there, one line of JSON each
    #[arg(long, value_name = "FILE")]
    facts: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum DeviceKind {
    /// A fixed RFID reader that speaks LLRP over TCP
    Llrp(LlrpArgs),
    /// A UART reader module that speaks Mercury on a pseudo-terminal
    Mercury(MercuryArgs),
    /// A smart reader as Impinj's R700: REST on a TCP port, MQTT as it is told there
    Impinj(ImpinjArgs),
    /// A smart reader as Zebra's FX9600 with IoT Connector, at an MQTT broker
    Zebra(ZebraArgs),
    /// A smart sorter at an MQTT broker
    SorterMqtt(SorterArgs),
    /// A sorter whose PLC is a Modbus server, on TCP or a pseudo-terminal
    SorterModbus(PlcArgs),
    /// A mobile robot that speaks VDA 5050 at an MQTT broker
    Robot(RobotArgs),
    /// A handheld scanner that dials the edge
    Scanner(ScannerArgs),
}

#[derive(Debug, Args)]
struct LlrpArgs {
    /// Where to listen; port 0 for any that is free
    #[arg(long, default_value = "127.0.0.1:5084")]
    listen: SocketAddr,
    /// Dial a client here, and don't listen
    #[arg(long, conflicts_with = "listen")]
    dial: Option<SocketAddr>,
    /// An Impinj reader: tells phase and fine signal strength if asked
    #[arg(long)]
    impinj: bool,
    /// A Zebra reader: few specs, other modes and powers
    #[arg(long, conflicts_with = "impinj")]
    zebra: bool,
    /// The newest version of LLRP that it speaks: 1 for 1.0.1, 2 for 1.1, 3 for 2.0
    #[arg(long = "llrp-version", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    version: u8,
    #[command(flatten)]
    radio: RadioArgs,
}

#[derive(Debug, Args)]
struct MercuryArgs {
    /// Make a symbolic link to the pseudo-terminal here
    #[arg(long)]
    link: Option<PathBuf>,
    /// Start in the application, not in the bootloader
    #[arg(long)]
    booted: bool,
    /// Speed of the line after power-up in Bd; a client at another speed hears noise
    #[arg(long, default_value_t = SPEEDS[0], value_parser = speed)]
    baud: u32,
    #[command(flatten)]
    radio: RadioArgs,
}

#[derive(Debug, Args)]
struct ImpinjArgs {
    /// Where its REST interface listens; port 0 for any that is free
    #[arg(long, default_value = "127.0.0.1:8070")]
    listen: SocketAddr,
    /// Who may control it
    #[arg(long, default_value = "root")]
    user: String,
    /// The user's password
    #[arg(long, default_value = "impinj")]
    password: String,
    #[command(flatten)]
    radio: RadioArgs,
}

#[derive(Debug, Args)]
struct ZebraArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    /// Its topics lie below: data, ctrl/cmd, ctrl/res, mgmt/cmd, mgmt/res, events, will
    #[arg(long, default_value = "zebra/gate-3")]
    topics: String,
    /// Send what is read in one turn of an antenna as one message
    #[arg(long)]
    batching: bool,
    #[command(flatten)]
    radio: RadioArgs,
}

#[derive(Debug, Args)]
struct RadioArgs {
    /// Antennas, spread from 1 m before to 1 m behind the doorway
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=16))]
    antennas: u16,
    /// Draws tags and fading
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Args)]
struct BrokerArgs {
    /// Host of the MQTT broker
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Its port; 1883 if left out, 8883 with TLS
    #[arg(long)]
    port: Option<u16>,
    /// User at the broker
    #[arg(long, requires = "password")]
    user: Option<String>,
    /// The user's password
    #[arg(long, requires = "user")]
    password: Option<String>,
    /// Speak TLS; a PEM file with the certificates of who may vouch for the broker
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
}

impl BrokerArgs {
    fn broker(self) -> Broker {
        let Self { host, port, user, password, tls_ca } = self;
        let port = port.unwrap_or(if tls_ca.is_some() { 8883 } else { 1883 });
        Broker { host, port, login: user.zip(password.map(Secret::new)), ca: tls_ca }
    }
}

#[derive(Debug, Args)]
struct SorterArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    /// The site's code
    #[arg(long, default_value = "demo", value_parser = short)]
    site: Code,
    /// The sorter's id
    #[arg(long, default_value = "sorter-1", value_parser = short)]
    id: Code,
    /// Chutes in the order of the belt
    #[arg(long, value_delimiter = ',', default_value = "C1,C2,C3,C4,HOSPITAL", value_parser = short)]
    chutes: Vec<Code>,
    /// The chute of the safe plan, one of them
    #[arg(long, default_value = "HOSPITAL", value_parser = short)]
    hospital: Code,
    #[command(flatten)]
    belt: BeltArgs,
}

#[derive(Debug, Args)]
struct PlcArgs {
    /// The edge's configuration, which says where the PLC's registers lie
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Which of its devices, where more than one is of kind sorter-modbus
    #[arg(long, value_parser = short)]
    device: Option<Code>,
    /// Modbus TCP: where to listen; port 0 for any that is free
    #[arg(long, required_unless_present = "link", conflicts_with = "link")]
    listen: Option<SocketAddr>,
    /// Modbus RTU: make a symbolic link to a pseudo-terminal here
    #[arg(long)]
    link: Option<PathBuf>,
    #[command(flatten)]
    belt: BeltArgs,
}

#[derive(Debug, Args)]
struct BeltArgs {
    /// From the scan point to the decision point
    #[arg(long, default_value_t = 1_500)]
    to_decision_ms: u32,
    /// From the decision point to the first chute
    #[arg(long, default_value_t = 1_000)]
    to_chutes_ms: u32,
    /// From each chute to the next
    #[arg(long, default_value_t = 500)]
    between_chutes_ms: u32,
}

#[derive(Debug, Args)]
struct RobotArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    /// The protocol's version: 2.0, 2.1 or 3.0
    #[arg(long, default_value = "2.1", value_parser = version)]
    version: Version,
    /// The topic's first level; uagv if left out, vda5050 with 3.0
    #[arg(long, value_parser = level)]
    interface: Option<String>,
    /// Who built the robot
    #[arg(long, default_value = "stowage", value_parser = level)]
    manufacturer: String,
    /// Which of theirs it is
    #[arg(long, default_value = "robot-1", value_parser = level)]
    serial: String,
    /// The map that positions are on
    #[arg(long, default_value = "floor")]
    map: String,
    /// The node on which it stands
    #[arg(long)]
    start_node: String,
    /// Where that is
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    x_mm: i32,
    /// Where that is
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    y_mm: i32,
    /// How fast it drives
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    speed_mm_s: u32,
    /// How long a pick takes
    #[arg(long, default_value_t = 5_000)]
    pick_ms: u32,
    /// How long a drop takes
    #[arg(long, default_value_t = 5_000)]
    drop_ms: u32,
    /// Its charge in per cent
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u8).range(0..=100))]
    charge: u8,
}

#[derive(Debug, Args)]
struct ScannerArgs {
    /// The handheld's id at the edge
    #[arg(long, value_parser = short)]
    device: Code,
    /// Its enrolment key, 64 hex digits
    #[arg(long, value_parser = key)]
    key: EnrolmentKey,
    /// HOST:PORT of the edge
    #[arg(long, default_value = "127.0.0.1:7070")]
    edge: String,
    /// The file that keeps its intents
    #[arg(long)]
    store: PathBuf,
    /// The worker's language: en, zh-Hans, es or de
    #[arg(long, default_value = "en", value_parser = language)]
    language: Language,
    /// The worker's badge
    #[arg(long, default_value = "worker-1", value_parser = short)]
    worker: Code,
    /// Run this image of the board in QEMU in its place; the store's file is the board's memory then
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// QEMU for ARM, if not the one that tests/run or the system has
    #[arg(long, value_name = "FILE", requires = "image")]
    qemu: Option<PathBuf>,
    /// Let the board's time pass by instructions: 40 a tick of its timer
    #[arg(long, requires = "image")]
    count_instructions: bool,
    /// Let a debugger stop the board at this Unix socket
    #[arg(long, value_name = "SOCKET", requires = "image")]
    debugger: Option<PathBuf>,
}

fn short(text: &str) -> Result<Code, String> {
    code(text).filter(|code| !code.is_empty()).ok_or_else(|| "give 1 to 32 octets".to_owned())
}

fn version(text: &str) -> Result<Version, String> {
    Version::named(text).ok_or_else(|| "give 2.0, 2.1 or 3.0".to_owned())
}

fn level(text: &str) -> Result<String, String> {
    let text = Some(text).filter(|text| Base::is_level(text)).map(str::to_owned);
    text.ok_or_else(|| "give a level of a topic: not empty, without / + # $".to_owned())
}

fn speed(text: &str) -> Result<u32, String> {
    let known = text.parse().ok().filter(|baud| SPEEDS.contains(baud));
    known.ok_or_else(|| format!("give one of {SPEEDS:?}"))
}

fn key(text: &str) -> Result<EnrolmentKey, String> {
    let octets = Epc::from_hex(text).and_then(|hex| hex.octets().try_into().ok());
    octets.ok_or_else(|| "give 64 hex digits".to_owned())
}

fn language(text: &str) -> Result<Language, String> {
    let named = [Language::English, Language::Chinese, Language::Spanish, Language::German];
    let named = named.into_iter().find(|language| serde_json::to_value(language).is_ok_and(|name| name == text));
    named.ok_or_else(|| "give en, zh-Hans, es or de".to_owned())
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let Cli { demo, command } = Cli::parse();
    let runtime = match Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("no threads or timers to be had: {error}; close other programs")),
    };
    let done = match command.unwrap_or(Command::Demo(demo)) {
        Command::Demo(args) => self::demo(runtime, args).map_err(|error| error.to_string()),
        Command::Run(args) => return run_scenario(&args),
        Command::Device(kind) => device(runtime, kind).map_err(|error| error.to_string()),
    };
    done.map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS)
}

fn fail(message: &str) -> ExitCode {
    eprintln!("stowage-sim: {message}");
    ExitCode::FAILURE
}

/// Progress and speed on standard error, the report as the last line of standard output.
fn run_scenario(args: &RunArgs) -> ExitCode {
    let scenario = match load_scenario(&args.scenario) {
        Ok(scenario) => scenario,
        Err(faults) => return fail(&faults.to_string()),
    };
    let clock = Clock::start();
    let begun = clock.now();
    let duration = args.duration.map(|secs| Duration::from_secs(secs.into()));
    let harness::Ran { report, facts } = harness::run(&scenario, args.seed, duration, &mut |simulated| {
        eprintln!(
            "{}: {} s simulated in {} ms",
            scenario.name,
            simulated.millis() / 1_000,
            (clock.now() - begun).millis()
        );
    });
    let (real, simulated) = ((clock.now() - begun).millis().max(1), report.metrics.simulated_ms);
    eprintln!("{}: {} s in {real} ms, {} times real time", scenario.name, simulated / 1_000, simulated / real as u64);
    if let Some(path) = &args.facts
        && let Err(error) = std::fs::write(path, facts.join("\n") + "\n")
    {
        return fail(&format!("can't write {}: {error}", path.display()));
    }
    // Plain values under string keys, which JSON always can.
    println!("{}", serde_json::to_string(&report).unwrap_or_default());
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn demo(runtime: Runtime, args: DemoArgs) -> Result<(), DemoError> {
    // What the edge warns of; the rest is on its page.
    let warnings = Targets::new().with_target("stowage", Level::WARN);
    let log = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .with_filter(warnings);
    tracing_subscriber::registry().with(log).init();
    let settings = DemoSettings { port_base: args.port_base, seed: args.seed, image: args.image };
    let stop = CancellationToken::new();
    let ran = runtime.block_on(async {
        tokio::spawn(stop_on_signal(stop.clone()));
        demo::run(settings, stop).await
    });
    runtime.shutdown_background();
    ran
}

fn device(runtime: Runtime, kind: DeviceKind) -> Result<(), DeviceError> {
    let clock = Clock::start();
    let (events, told) = Events::new(clock);
    let printer = std::thread::spawn(move || print(told));
    let stop = CancellationToken::new();
    let ran = runtime.block_on(async {
        tokio::spawn(stop_on_signal(stop.clone()));
        run(kind, clock, events, stop).await
    });
    // The tasks go, and with the last that could tell something the printer, having printed everything.
    drop(runtime);
    let _ = printer.join();
    ran
}

async fn run(kind: DeviceKind, clock: Clock, events: Events, stop: CancellationToken) -> Result<(), DeviceError> {
    match kind {
        DeviceKind::Llrp(args) => {
            let vendor = match (args.impinj, args.zebra) {
                (true, _) => Vendor::Impinj,
                (false, true) => Vendor::Zebra,
                (false, false) => Vendor::Plain,
            };
            let profile = Profile { version: args.version, ..Profile::of(vendor, args.radio.antennas) };
            let stage = args.radio.stage(clock, &events, &stop);
            if let Some(to) = args.dial {
                llrp_dialling(Dialler::new(to), profile, stage, READER, events, stop).await;
                return Ok(());
            }
            let port = TcpPort::listen("the reader", args.listen, events.clone()).await?;
            let listening = port.address().map_or_else(|_| args.listen.to_string(), |address| address.to_string());
            events.tell(Event::Listening(listening));
            llrp(port, profile, stage, READER, events, stop).await;
        }
        DeviceKind::Mercury(args) => {
            let pty = Pty::open(args.link.as_deref())?;
            events.tell(Event::Port(pty.path().to_owned()));
            let ports = args.radio.antennas as u8;
            let (in_bootloader, baud) = (!args.booted, args.baud);
            let settings = ModuleSettings { in_bootloader, baud, ports, ..ModuleSettings::default() };
            let stage = args.radio.stage(clock, &events, &stop);
            mercury(pty, settings, stage, READER, events, stop).await;
        }
        DeviceKind::Impinj(args) => {
            let port = RestPort::listen(args.listen).await?;
            let listening = port.address().map_or_else(|_| args.listen.to_string(), |address| address.to_string());
            events.tell(Event::Listening(listening));
            let ImpinjArgs { user, password, radio, .. } = args;
            let hostname = "impinj-14-2a-3f".to_owned();
            let profile = impinj_iot::Profile { antennas: radio.antennas, hostname, user, password };
            let (stage, commands) = radio.smart_stage(clock, &events, &stop);
            impinj(port, profile, stage, READER, commands, events, stop).await;
        }
        DeviceKind::Zebra(args) => {
            let ZebraArgs { broker, topics, batching, radio } = args;
            let client = topics.replace('/', "-");
            let topics = zebra_iotc::Topics::below(&topics);
            let profile = zebra_iotc::Profile { antennas: radio.antennas, topics, batching };
            let (stage, commands) = radio.smart_stage(clock, &events, &stop);
            let site = ZebraSite { broker: broker.broker(), client };
            zebra(site, profile, stage, READER, commands, events, stop).await;
        }
        DeviceKind::SorterMqtt(args) => {
            let [to_decision, to_chutes, between_chutes] = args.belt.spans();
            let SorterArgs { broker, site, id, chutes, hospital, .. } = args;
            let settings = SorterSettings { chutes, hospital, to_decision, to_chutes, between_chutes };
            let commands = commands::<SorterCommand>(&events);
            let link = SorterLink { broker: broker.broker(), site, id };
            sorter(link, settings, clock, commands, events, stop).await;
        }
        DeviceKind::SorterModbus(args) => {
            let config = args.config()?;
            let line = match (args.listen, args.link) {
                (Some(address), _) => {
                    let port = TcpPort::listen("the PLC", address, events.clone()).await?.without_a_word();
                    let listening = port.address().map_or_else(|_| address.to_string(), |address| address.to_string());
                    events.tell(Event::Listening(listening));
                    PlcLine::Tcp(port)
                }
                (None, link) => {
                    let pty = Pty::open(link.as_deref())?;
                    events.tell(Event::Port(pty.path().to_owned()));
                    PlcLine::Serial(pty)
                }
            };
            let framing = match (&line, config.line.framing()) {
                (PlcLine::Tcp(_), _) => Framing::Tcp,
                (PlcLine::Serial(_), rtu @ Framing::Rtu(_)) => rtu,
                (PlcLine::Serial(_), Framing::Tcp) => Framing::Rtu(Serial { baud: 19_200, bits: 11 }),
            };
            let settings = plc_settings(&config, framing, args.belt.spans());
            let commands = commands::<PlcCommand>(&events);
            sorter_plc(line, settings, clock, commands, events, stop).await;
        }
        DeviceKind::Robot(args) => {
            let span = |millis: u32| Duration::from_millis(millis.into());
            let RobotArgs { version, interface, manufacturer, serial, map, start_node, x_mm, y_mm, speed_mm_s, .. } =
                args;
            let settings = RobotSettings {
                interface: interface.unwrap_or_else(|| version.interface().to_owned()),
                map,
                x_mm,
                y_mm,
                speed_mm_s,
                pick: span(args.pick_ms),
                drop: span(args.drop_ms),
                charge_percent: args.charge,
                ..RobotSettings::carrier(version, &manufacturer, &serial, &start_node)
            };
            let commands = commands::<RobotCommand>(&events);
            robot(args.broker.broker(), settings, clock, commands, events, stop).await;
        }
        DeviceKind::Scanner(args) => {
            let ScannerArgs { device, key, edge, store, language, worker, .. } = args;
            let settings = HandheldSettings { device, key, worker, language, edge };
            if let Some(image) = args.image {
                let ScannerArgs { count_instructions, debugger, .. } = args;
                let built = BoardSettings::built(store);
                let qemu = args.qemu.unwrap_or(built.qemu);
                let board = BoardSettings { image, qemu, count_instructions, debugger, ..built };
                let commands = commands::<ScannerCommand>(&events);
                Board::start(settings, &board, clock, events).await?.run(commands, stop).await?;
            } else {
                let store = FileStore::open(&store)?;
                let commands = commands::<ScannerCommand>(&events);
                Handheld::new(settings, store, clock, events).run(commands, stop).await;
            }
        }
    }
    Ok(())
}

impl BeltArgs {
    /// To the decision point, to the first chute, between chutes.
    fn spans(&self) -> [Duration; 3] {
        [self.to_decision_ms, self.to_chutes_ms, self.between_chutes_ms]
            .map(|millis| Duration::from_millis(millis.into()))
    }
}

impl PlcArgs {
    /// What the edge knows of the PLC.
    fn config(&self) -> Result<SorterModbus, DeviceError> {
        let edge = load_edge(&self.config)?;
        let mut plcs = edge.devices.into_iter().filter_map(|device| match device.kind {
            config::DeviceKind::SorterModbus(plc) if self.device.as_ref().is_none_or(|id| *id == device.id) => {
                Some(plc)
            }
            _ => None,
        });
        match (plcs.next(), plcs.next()) {
            (Some(plc), None) => Ok(*plc),
            (Some(_), Some(_)) => Err(DeviceError::ManyPlcs { file: self.config.clone() }),
            (None, _) => Err(DeviceError::NoPlc { file: self.config.clone() }),
        }
    }
}

/// The one reader of a device's own world.
const READER: DeviceIx = DeviceIx(0);

impl RadioArgs {
    /// A world of one doorway with this reader's antennas, and commands from standard input at work in it.
    fn stage(&self, clock: Clock, events: &Events, stop: &CancellationToken) -> Stage {
        let stage = self.doorway(clock);
        let commands = commands::<StageCommand>(events);
        tokio::spawn(stage.clone().carry_out(SpotIx(0), READER, commands, events.clone(), stop.clone()));
        stage
    }

    /// The same for a smart reader, which takes commands of its own beside.
    fn smart_stage(
        &self,
        clock: Clock,
        events: &Events,
        stop: &CancellationToken,
    ) -> (Stage, mpsc::Receiver<SmartReaderCommand>) {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Stage(StageCommand),
            Reader(SmartReaderCommand),
        }
        let stage = self.doorway(clock);
        let mut all = commands::<Either>(events);
        let ((to_stage, for_stage), (to_reader, for_reader)) = (mpsc::channel(64), mpsc::channel(64));
        tokio::spawn(async move {
            while let Some(command) = all.recv().await {
                // Who is gone needs no more commands.
                match command {
                    Either::Stage(command) => drop(to_stage.send(command).await),
                    Either::Reader(command) => drop(to_reader.send(command).await),
                }
            }
        });
        tokio::spawn(stage.clone().carry_out(SpotIx(0), READER, for_stage, events.clone(), stop.clone()));
        (stage, for_reader)
    }

    fn doorway(&self, clock: Clock) -> Stage {
        let mut world = World::new(self.seed);
        let spot = world.add_spot(Spot { outer: ZoneIx(0), inner: ZoneIx(1) });
        let last = i32::from(self.antennas).saturating_sub(1).max(1);
        let x_mm = |index: i32| if self.antennas == 1 { 0 } else { 2_000 * index / last - 1_000 };
        let antenna = |port: u16| AntennaSpec { port, spot, x_mm: x_mm(i32::from(port) - 1) };
        let antennas = (1..=self.antennas).map(antenna).collect();
        world.add_reader(ReaderSpec { antennas, ..ReaderSpec::fcc(READER) });
        Stage::new(clock, world)
    }
}

/// Commands from standard input. A line that is none is told as an error. Its thread ends with the process.
fn commands<C: DeserializeOwned + Send + 'static>(events: &Events) -> mpsc::Receiver<C> {
    let (give, commands) = mpsc::channel(64);
    let events = events.downgrade();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if line.trim().is_empty() {
                continue;
            }
            match serde_json::from_str(&line) {
                Ok(command) => {
                    if give.blocking_send(command).is_err() {
                        return;
                    }
                }
                Err(error) => events.tell(Event::Error(format!("{line:.200}: {error}"))),
            }
        }
    });
    commands
}

/// Prints events until there can be no more, or nobody reads them.
fn print(mut told: mpsc::UnboundedReceiver<Told>) {
    let mut out = io::stdout().lock();
    while let Some(event) = told.blocking_recv() {
        // These have string keys and plain values only, which JSON always can.
        let line = serde_json::to_string(&event).unwrap_or_default();
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

/// Ctrl-C, SIGTERM and a terminal that is closed.
async fn stop_on_signal(stop: CancellationToken) {
    let listen = || {
        let [interrupt, terminate] = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
        let hangup = if hangups_are_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
        io::Result::Ok((interrupt?, terminate?, hangup))
    };
    let Ok((mut interrupt, mut terminate, mut hangup)) = listen() else { return };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        Some(_) = async { hangup.as_mut()?.recv().await } => {}
    }
    stop.cancel();
}

/// Whether whoever started us, such as `nohup`, wants us to outlive the terminal.
fn hangups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    // SIGHUP is 1, the lowest bit.
    mask.is_some_and(|mask| mask & 1 == 1)
}
