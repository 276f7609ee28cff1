//! Readers on their lines.

use super::line::{Dialler, Line};
use super::{AntennaState, Client, Event, Events, Fault, Pty, Stage, TcpPort};
use stowage_base::{Air, ReaderDevice, Timestamp};
use stowage_core::site::DeviceIx;
use stowage_mercury::{Module, ModuleSettings, Opcode, Status, module};
use stowage_protocol::llrp::reader::{Profile, Reader};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio_util::sync::CancellationToken;

/// A client that leaves so many octets unread is sent away.
const UNREAD_MAX: usize = 4 << 20;

/// How long the last words may take.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(1);

/// Runs an LLRP reader on a TCP port until `stop`.
pub async fn llrp(
    port: TcpPort,
    profile: Profile,
    stage: Stage,
    device: DeviceIx,
    events: Events,
    stop: CancellationToken,
) {
    // It has no faults of its own: a closed way.
    let (_, faults) = mpsc::unbounded_channel();
    serve(port, Live::new(Reader::new(profile), stage, device, events), faults, stop).await;
}

/// Runs an LLRP reader that dials its client until `stop`.
pub async fn llrp_dialling(
    dialler: Dialler,
    profile: Profile,
    stage: Stage,
    device: DeviceIx,
    events: Events,
    stop: CancellationToken,
) {
    let (_, faults) = mpsc::unbounded_channel();
    serve(dialler, Live::new(Reader::new(profile), stage, device, events), faults, stop).await;
}

/// Runs a Mercury module on a pseudo-terminal until `stop`.
pub async fn mercury(
    pty: Pty,
    settings: ModuleSettings,
    stage: Stage,
    device: DeviceIx,
    events: Events,
    stop: CancellationToken,
) {
    let faults = stage.faults();
    serve(pty, Live::new(Module::new(settings), stage, device, events), faults, stop).await;
}

async fn serve<L: Line, D: ReaderDevice + Strict>(
    mut line: L,
    mut live: Live<D>,
    mut faults: UnboundedReceiver<Fault>,
    stop: CancellationToken,
) {
    let mut octets = vec![0; 16 * 1024];
    loop {
        line.set_baud(live.device.baud());
        // What it does without a client, nobody hears.
        while let Some(()) = tokio::select! {
            () = stop.cancelled() => return,
            () = line.opened() => None,
            () = live.stage.clock.sleep_until(live.device.next_deadline()) => Some(()),
            Some(fault) = faults.recv() => {
                live.suffer(&mut line, fault);
                line.set_baud(live.device.baud());
                Some(())
            }
        } {
            live.step(|device, now, air, out| device.tick(now, air, out));
            live.out.clear();
        }
        live.events.tell(Event::Client(Client::Connected));
        live.step(|device, now, _, out| device.connected(now, out));
        loop {
            if live.out.is_empty() {
                // What it had to say at the old speed is said.
                line.set_baud(live.device.baud());
            }
            tokio::select! {
                () = stop.cancelled() => return,
                read = line.read(&mut octets) => match read {
                    Ok(0) | Err(_) => break,
                    Ok(count) => live.step(|device, now, air, out| device.receive(now, &octets[..count], air, out)),
                },
                written = line.write(&live.out), if !live.out.is_empty() => match written {
                    Ok(count) => drop(live.out.drain(..count)),
                    Err(_) => break,
                },
                () = live.stage.clock.sleep_until(live.device.next_deadline()) => {
                    live.step(|device, now, air, out| device.tick(now, air, out));
                }
                Some(fault) = faults.recv() => {
                    if live.suffer(&mut line, fault) {
                        break;
                    }
                }
            }
            if live.out.len() > UNREAD_MAX {
                break;
            }
            if live.device.over() {
                // A client that doesn't take them goes without.
                let _ = tokio::time::timeout(FAREWELL, flush(&line, &live.out)).await;
                break;
            }
        }
        line.close();
        live.out.clear();
        live.device.disconnected(live.stage.clock.now());
        live.events.tell(Event::Client(Client::Disconnected));
    }
}

async fn flush(line: &impl Line, mut octets: &[u8]) {
    while !octets.is_empty() {
        match line.write(octets).await {
            Ok(count) => octets = &octets[count..],
            Err(_) => return,
        }
    }
}

/// A device with its share of the world.
struct Live<D> {
    device: D,
    stage: Stage,
    ix: DeviceIx,
    events: Events,
    /// Octets that the client is to have.
    out: Vec<u8>,
    /// Violations told.
    told: usize,
}

impl<D: ReaderDevice + Strict> Live<D> {
    fn new(device: D, stage: Stage, ix: DeviceIx, events: Events) -> Self {
        Self { device, stage, ix, events, out: Vec::new(), told: 0 }
    }

    fn step(&mut self, act: impl FnOnce(&mut D, Timestamp, &mut dyn Air, &mut dyn FnMut(&[u8]))) {
        let Self { device, stage, ix, out, .. } = self;
        let now = stage.clock.now();
        act(device, now, &mut stage.world().air(*ix), &mut |octets| out.extend_from_slice(octets));
        for violation in self.device.violations_from(&mut self.told) {
            self.events.tell(Event::Violation(violation));
        }
    }

    /// Has a fault; whether the client's line is gone with it.
    fn suffer(&mut self, line: &mut impl Line, fault: Fault) -> bool {
        let suffered = self.device.suffer(&fault);
        if suffered.is_ok() && matches!(fault, Fault::Restart | Fault::Unplug { .. }) {
            // What it was about to say is never said.
            self.out.clear();
        }
        let gone = match fault {
            Fault::Unplug { for_ms } => line.unplug(std::time::Duration::from_millis(for_ms.into())),
            Fault::Restart | Fault::TooHot(_) | Fault::Antenna { .. } => false,
        };
        self.events.tell(suffered.map_or_else(Event::Error, |()| Event::Fault(fault)));
        gone
    }
}

/// A device that minds what it is sent, and may break.
trait Strict: Send {
    /// Has a fault from now on, or no longer; why not, if it can't.
    fn suffer(&mut self, fault: &Fault) -> Result<(), String>;
    /// What was wrong since `told`, which becomes the count of all.
    fn violations_from(&self, told: &mut usize) -> Vec<String>;
}

impl Strict for Reader {
    fn suffer(&mut self, fault: &Fault) -> Result<(), String> {
        Err(format!("a fixed reader has no such fault: {fault:?}"))
    }

    fn violations_from(&self, told: &mut usize) -> Vec<String> {
        let new = self.violations().get(*told..).unwrap_or_default();
        *told = self.violations().len();
        new.iter().map(|violation| format!("message type {}: {}", violation.kind, violation.what)).collect()
    }
}

impl Strict for Module {
    fn suffer(&mut self, fault: &Fault) -> Result<(), String> {
        match *fault {
            // Its power comes by the same line.
            Fault::Restart | Fault::Unplug { .. } => self.power_cycle(),
            Fault::TooHot(hot) => self.set_fault(hot.then_some(Status::TOO_HOT)),
            Fault::Antenna { port, state } => {
                let state = match state {
                    AntennaState::On => module::Port::Good,
                    AntennaState::Off => module::Port::Open,
                    AntennaState::ReturnLoss => module::Port::Mismatched,
                };
                if !self.set_port(port, state) {
                    return Err(format!("the module has no antenna port {port}"));
                }
            }
        }
        Ok(())
    }

    fn violations_from(&self, told: &mut usize) -> Vec<String> {
        let violations = self.violations();
        let count = violations.count as usize;
        let new = count > std::mem::replace(told, count);
        // Who comes stops what may run, and can't know that a bootloader takes no such command: no fault.
        let hello = (Opcode::CONTINUOUS, Status::UNKNOWN_OPCODE);
        let last = violations.last.filter(|last| new && *last != hello);
        let describe =
            |(opcode, status): (Opcode, Status)| format!("command {:02X}: refused with {:04X}", opcode.0, status.0);
        last.map(describe).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Clock, Told};
    use crate::world::{AntennaSpec, ReaderSpec, Spot, World};
    use rustix::fs::{Mode, OFlags};
    use std::path::PathBuf;
    use stowage_base::{Duration, Epc, ReaderEvent, ReaderSession, ReaderSink, TagRead, Visit};
    use stowage_core::site::ZoneIx;
    use stowage_protocol::llrp;
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::net::unix::pipe;

    const DEVICE: DeviceIx = DeviceIx(0);

    /// A tag before the second of two antennas.
    fn stage(clock: Clock) -> (Stage, Epc) {
        let mut world = World::new(1);
        let spot = world.add_spot(Spot { outer: ZoneIx(0), inner: ZoneIx(1) });
        let antennas = [(1, -1_000), (2, 1_000)].map(|(port, x_mm)| AntennaSpec { port, spot, x_mm });
        world.add_reader(ReaderSpec { antennas: antennas.into(), ..ReaderSpec::fcc(DEVICE) });
        let epc = Epc::from_hex("30395DFA81B7D84000000001").expect("24 digits");
        world.place(clock.now(), epc, DEVICE, 2, 1_500).expect("there is antenna 2");
        (Stage::new(clock, world), epc)
    }

    #[derive(Default)]
    struct Heard {
        out: Vec<u8>,
        reads: Vec<TagRead>,
    }

    impl ReaderSink for Heard {
        fn send(&mut self, octets: &[u8]) {
            self.out.extend_from_slice(octets);
        }
        fn read(&mut self, read: &TagRead) {
            self.reads.push(*read);
        }
        fn visit(&mut self, _visit: &Visit) {}
        fn event(&mut self, _event: ReaderEvent) {}
    }

    /// Drives the edge's session over `line` until it has read the tag strongest at antenna 2.
    async fn read_the_tag(
        mut session: impl ReaderSession,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        clock: Clock,
        epc: Epc,
    ) {
        let mut heard = Heard::default();
        let mut octets = [0; 4_096];
        session.connected(clock.now(), &mut heard);
        while !heard.reads.iter().any(|read| read.antenna == 2) {
            let out = std::mem::take(&mut heard.out);
            to.write_all(&out).await.expect("the line is open");
            tokio::select! {
                count = from.read(&mut octets) => {
                    let count = count.expect("the line is open");
                    assert!(count > 0, "the device has closed the line");
                    session.receive(clock.now(), &octets[..count], &mut heard);
                }
                () = clock.sleep_until(session.next_deadline()) => session.tick(clock.now(), &mut heard),
            }
        }
        assert!(heard.reads.iter().all(|read| read.epc == epc));
    }

    async fn hear(told: &mut UnboundedReceiver<Told>, client: Client) {
        let event = told.recv().await.expect("the device runs").event;
        assert_eq!(event, Event::Client(client));
    }

    #[tokio::test]
    async fn an_llrp_client_reads_a_tag_and_a_second_one_is_refused() {
        let clock = Clock::start();
        let (events, mut told) = Events::new(clock);
        let (stage, epc) = stage(clock);
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let port = TcpPort::listen("the reader", any, events.clone()).await.expect("a port is free");
        let address = port.address().expect("it listens");
        let taken = TcpPort::listen("the reader", address, events.clone()).await.expect_err("taken");
        assert!(taken.to_string().contains("another program uses it"), "{taken}");
        let stop = CancellationToken::new();
        let reader = tokio::spawn(llrp(port, Profile::fcc(2), stage, DEVICE, events, stop.clone()));
        for _ in 0..2 {
            let line = TcpStream::connect(address).await.expect("it listens");
            hear(&mut told, Client::Connected).await;
            let mut second = TcpStream::connect(address).await.expect("it listens");
            let mut refusal = Vec::new();
            second.read_to_end(&mut refusal).await.expect("it is told");
            // ConnectionAttemptEvent with status 2.
            assert!(refusal.ends_with(&[1, 0, 0, 6, 0, 2]), "{refusal:02X?}");
            hear(&mut told, Client::Refused).await;
            let antenna = |port| llrp::client::AntennaSettings { port, power_cdbm: Some(3_000) };
            let settings = llrp::client::Settings {
                antennas: vec![antenna(1), antenna(2)],
                dwell: Duration::from_millis(20),
                keepalive: Duration::from_secs(5),
                session: 1,
                population: 4,
                ..llrp::client::Settings::new(Vec::new())
            };
            let session = llrp::Client::new(settings).expect("good settings");
            let (from, to) = line.into_split();
            read_the_tag(session, from, to, clock, epc).await;
            hear(&mut told, Client::Disconnected).await;
        }
        stop.cancel();
        reader.await.expect("it ends");
    }

    #[tokio::test]
    async fn a_mercury_client_reads_a_tag_and_comes_again() {
        let clock = Clock::start();
        let (events, mut told) = Events::new(clock);
        let (stage, epc) = stage(clock);
        let folder = tempfile::tempdir().expect("a folder");
        let link: PathBuf = folder.path().join("new").join("module");
        let pty = Pty::open(Some(&link)).expect("there is a pseudo-terminal");
        let stop = CancellationToken::new();
        let settings = ModuleSettings { ports: 2, ..ModuleSettings::default() };
        let module = tokio::spawn(mercury(pty, settings, stage, DEVICE, events, stop.clone()));
        for _ in 0..2 {
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK;
            let line = rustix::fs::open(&link, flags, Mode::empty()).expect("the link leads there");
            let from = pipe::Receiver::from_owned_fd_unchecked(line.try_clone().expect("a free descriptor"));
            let to = pipe::Sender::from_owned_fd_unchecked(line);
            hear(&mut told, Client::Connected).await;
            let session = stowage_mercury::Client::new(stowage_mercury::Settings {
                baud: 115_200,
                region: stowage_mercury::Region::EUROPE_3,
                read_power_cdbm: 2_700,
                antennas: stowage_mercury::Antennas::new(&[1, 2]).expect("two antennas"),
            });
            read_the_tag(session, from.expect("a line"), to.expect("a line"), clock, epc).await;
            hear(&mut told, Client::Disconnected).await;
        }
        stop.cancel();
        module.await.expect("it ends");
        assert!(!link.is_symlink(), "the link goes with it");
    }
}
