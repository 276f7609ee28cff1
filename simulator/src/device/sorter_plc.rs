//! A sorter's PLC at a Modbus line.

use super::line::Line;
use super::{Client, Clock, Event, Events, Pty, SorterCommand, TcpPort};
use serde::Deserialize;
use stowage::config::SorterModbus;
use stowage_base::{Duration, Timestamp};
use stowage_protocol::modbus::Framing;
use stowage_protocol::modbus_sorter::{Plc, PlcSettings};
use stowage_protocol::sorter_mqtt::Delivery;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Octets of a request, with room for more than one.
const CHUNK: usize = 1_024;

/// A client that leaves so many octets unread is sent away.
const UNREAD_MAX: usize = 64 * 1_024;

/// Where the PLC waits for its client.
#[derive(Debug)]
pub enum PlcLine {
    /// Modbus TCP.
    Tcp(TcpPort),
    /// Modbus RTU.
    Serial(Pty),
}

/// What may happen to the PLC. As JSON: an object with one member.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "no command of a sorter PLC: known are parcel, full, run, fail, restart, silent, late and cut"
)]
pub enum PlcCommand {
    /// What may happen to any sorter.
    Sorter(SorterCommand),
    /// What may happen to its line.
    Line(LineCommand),
}

/// What may happen to the PLC's line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LineCommand {
    /// It hears and answers nothing, or does again.
    Silent(bool),
    /// Answers leave so many ms later than they could.
    Late(u32),
    /// The connection ends. A pseudo-terminal is another afterwards, under the same link.
    Cut {},
}

impl From<SorterCommand> for PlcCommand {
    fn from(command: SorterCommand) -> Self {
        Self::Sorter(command)
    }
}

/// The PLC that fits an edge's configuration, with a belt of its own: how long it takes to the decision point, to the
/// first chute, and from each chute to the next.
pub fn plc_settings(config: &SorterModbus, framing: Framing, belt: [Duration; 3]) -> PlcSettings {
    let [to_decision, to_chutes, between_chutes] = belt;
    PlcSettings {
        framing,
        unit: config.unit,
        map: config.map,
        chutes: config.numbers.clone(),
        hospital: config.chutes.hospital.clone(),
        to_decision,
        to_chutes,
        between_chutes,
    }
}

/// Runs a PLC until `stop`. Without a client it goes on by its safe plan.
pub async fn sorter_plc<C: Into<PlcCommand>>(
    line: PlcLine,
    settings: PlcSettings,
    clock: Clock,
    commands: mpsc::Receiver<C>,
    events: Events,
    stop: CancellationToken,
) {
    let now = clock.now();
    // Differs at each start, rises, and fits until 2106.
    let boot = (now.micros() / 1_000_000) as u32;
    let plc = Live { plc: Plc::new(settings, boot, now), clock, events, out: Vec::new(), told: 0 };
    match line {
        PlcLine::Tcp(port) => serve(port, plc, commands, stop).await,
        PlcLine::Serial(pty) => serve(pty, plc, commands, stop).await,
    }
}

async fn serve<L: Line, C: Into<PlcCommand>>(
    mut line: L,
    mut live: Live,
    mut commands: mpsc::Receiver<C>,
    stop: CancellationToken,
) {
    let mut octets = [0; CHUNK];
    loop {
        // Without a client there is nothing to cut.
        while let Some(command) = tokio::select! {
            () = stop.cancelled() => return,
            () = line.opened() => None,
            Some(command) = commands.recv() => Some(Some(command.into())),
            () = live.clock.sleep_until(live.plc.next_deadline()) => Some(None),
        } {
            match command {
                Some(command) => drop(live.obey(command)),
                None => live.step(Plc::tick),
            }
            live.out.clear();
        }
        live.events.tell(Event::Client(Client::Connected));
        live.plc.connected();
        let cut = loop {
            tokio::select! {
                () = stop.cancelled() => return,
                read = line.read(&mut octets) => match read {
                    Ok(0) | Err(_) => break false,
                    Ok(count) => live.step(|plc, now, out| plc.receive(now, &octets[..count], out)),
                },
                written = line.write(&live.out), if !live.out.is_empty() => match written {
                    Ok(count) => drop(live.out.drain(..count)),
                    Err(_) => break false,
                },
                Some(command) = commands.recv() => if live.obey(command.into()) {
                    break true;
                },
                () = live.clock.sleep_until(live.plc.next_deadline()) => live.step(Plc::tick),
            }
            if live.plc.over() || live.out.len() > UNREAD_MAX {
                break false;
            }
        };
        if cut {
            line.cut()
        } else {
            line.close()
        }
        live.out.clear();
        live.events.tell(Event::Client(Client::Disconnected));
    }
}

/// The PLC, its time, and whoever hears of it.
struct Live {
    plc: Plc,
    clock: Clock,
    events: Events,
    /// Octets that the client is to have.
    out: Vec<u8>,
    /// Violations told.
    told: usize,
}

impl Live {
    fn step<T>(&mut self, act: impl FnOnce(&mut Plc, Timestamp, &mut dyn FnMut(&[u8])) -> T) -> T {
        let Self { plc, out, .. } = self;
        let done = act(plc, self.clock.now(), &mut |octets| out.extend_from_slice(octets));
        for Delivery { item, code, chute, outcome, .. } in self.plc.take_deliveries() {
            self.events.tell(Event::Delivered { item, code, chute, outcome });
        }
        for violation in self.plc.violations().get(self.told..).unwrap_or_default() {
            self.events.tell(Event::Violation(format!("{violation:?}")));
        }
        self.told = self.plc.violations().len();
        done
    }

    /// Does it; whether the line is to be cut.
    fn obey(&mut self, command: PlcCommand) -> bool {
        match command {
            PlcCommand::Sorter(SorterCommand::Parcel { code }) => {
                let item = self.step(|plc, now, _| plc.induct(now, code.clone()));
                self.events.tell(Event::Inducted { item, code });
            }
            PlcCommand::Sorter(SorterCommand::Full { chute, full }) => {
                self.step(|plc, now, _| plc.set_full(now, &chute, full));
            }
            PlcCommand::Sorter(SorterCommand::Run(run)) => self.step(|plc, now, _| plc.set_run(now, run)),
            PlcCommand::Sorter(SorterCommand::Fail { item, how }) => {
                self.step(|plc, now, _| plc.fail(now, item, how));
            }
            PlcCommand::Sorter(SorterCommand::Restart {}) => self.step(|plc, now, _| plc.restart(now)),
            PlcCommand::Line(LineCommand::Silent(silent)) => self.plc.set_silent(silent),
            PlcCommand::Line(LineCommand::Late(ms)) => self.plc.set_late(Duration::from_millis(ms.into())),
            PlcCommand::Line(LineCommand::Cut {}) => return true,
        }
        false
    }
}
