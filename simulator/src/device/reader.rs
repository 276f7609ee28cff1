//! Readers on their lines.

use super::line::Line;
use super::{Client, Event, Events, Pty, Stage, TcpPort};
use stowage_base::{Air, ReaderDevice, Timestamp};
use stowage_core::site::DeviceIx;
use stowage_mercury::{Module, ModuleSettings};
use stowage_protocol::llrp::reader::{Profile, Reader};
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
    serve(port, Live::new(Reader::new(profile), stage, device, events), stop).await;
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
    serve(pty, Live::new(Module::new(settings), stage, device, events), stop).await;
}

async fn serve<L: Line, D: ReaderDevice + Strict>(mut line: L, mut live: Live<D>, stop: CancellationToken) {
    let mut octets = vec![0; 16 * 1024];
    loop {
        // What it does without a client, nobody hears.
        while let Some(()) = tokio::select! {
            () = stop.cancelled() => return,
            () = line.opened() => None,
            () = live.stage.clock.sleep_until(live.device.next_deadline()) => Some(()),
        } {
            live.step(|device, now, air, out| device.tick(now, air, out));
            live.out.clear();
        }
        live.events.tell(Event::Client(Client::Connected));
        live.step(|device, now, _, out| device.connected(now, out));
        loop {
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
}

/// A device that minds what it is sent.
trait Strict: Send {
    /// What was wrong since `told`, which becomes the count of all.
    fn violations_from(&self, told: &mut usize) -> Vec<String>;
}

impl Strict for Reader {
    fn violations_from(&self, told: &mut usize) -> Vec<String> {
        let new = self.violations().get(*told..).unwrap_or_default();
        *told = self.violations().len();
        new.iter().map(|violation| format!("message type {}: {}", violation.kind, violation.what)).collect()
    }
}

impl Strict for Module {
    fn violations_from(&self, told: &mut usize) -> Vec<String> {
        let violations = self.violations();
        let count = violations.count as usize;
        let last = violations.last.filter(|_| count > std::mem::replace(told, count));
        let describe = |(opcode, status): (stowage_mercury::Opcode, stowage_mercury::Status)| {
            format!("command {:02X}: refused with {:04X}", opcode.0, status.0)
        };
        last.map(describe).into_iter().collect()
    }
}
