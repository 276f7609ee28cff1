//! The PLC's end, for simulation: the registers before a machine, and a record of what really happened.

use super::SILENCE_MAX;
use super::map::{Beat, COMMAND_LEN, EDGE_LEN, Map, Numbered, Order, Slot, Status, kind, refusal};
use crate::modbus::{Answer, Exception, Framing, Request, Response, Server};
use crate::sorter::belt::{Belt, Refusal, Told};
use crate::sorter::{End, Run};
use crate::sorter_mqtt::{Delivery, SorterSettings, Violation};
use std::collections::VecDeque;
use stowage_base::{Code, Duration, Timestamp};

/// The heartbeat moves so often.
const HEARTBEAT_PERIOD: Duration = Duration::from_millis(200);

/// The machine and its registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlcSettings {
    /// The envelope.
    pub framing: Framing,
    /// Its unit, 1 to 247.
    pub unit: u8,
    /// Where its registers lie.
    pub map: Map,
    /// Its chutes in the order of the belt.
    pub chutes: Vec<Numbered>,
    /// Where the safe plan sends items: one of the chutes, best the last.
    pub hospital: Code,
    /// From the scan point to the decision point.
    pub to_decision: Duration,
    /// From the decision point to the first chute.
    pub to_chutes: Duration,
    /// From each chute to the next.
    pub between_chutes: Duration,
}

/// A simulated sorter PLC. Driven like every session; what it answers goes to `out`.
///
/// It obeys the first command for an item and answers repeats as before. A command that is late, contradicts an earlier
/// one, or names an unknown chute or item is refused and recorded, and so is any request for registers that the map has
/// not. Without the edge's heartbeat for 3 s, and without a command, items go to the hospital chute. While the belt
/// stands, items stand, and their decision with them.
#[derive(Debug)]
pub struct Plc {
    server: Server,
    line: Line,
    machine: Machine,
}

/// What the line does to answers.
#[derive(Debug, Default)]
struct Line {
    silent: bool,
    late: Duration,
    /// Answers that are held back.
    waiting: VecDeque<(Timestamp, Vec<u8>)>,
}

impl Line {
    /// Takes an answer: when, and what.
    fn take(&mut self, now: Timestamp, octets: &[u8]) {
        let after = self.waiting.back().map_or(now, |(at, _)| *at);
        self.waiting.push_back(((now + self.late).max(after), octets.to_vec()));
    }

    fn flush(&mut self, now: Timestamp, out: &mut dyn FnMut(&[u8])) {
        while let Some((_, octets)) = self.waiting.pop_front_if(|(at, _)| *at <= now) {
            out(&octets);
        }
    }
}

#[derive(Debug)]
struct Machine {
    map: Map,
    numbers: Vec<u16>,
    belt: Belt,
    /// When the present boot began.
    begun: Timestamp,
    /// Events that the edge has not recorded, the oldest first.
    held: VecDeque<Slot>,
    last: u32,
    overwritten: u64,
    taken: u16,
    /// The blocks that the edge writes, as they stand.
    edge: Vec<u16>,
    command: Vec<u16>,
}

impl Plc {
    /// A PLC whose boot number `boot` (from 1) begins `now`, its belt running.
    pub fn new(settings: PlcSettings, boot: u32, now: Timestamp) -> Self {
        let PlcSettings { framing, unit, map, chutes, hospital, to_decision, to_chutes, between_chutes } = settings;
        let numbers = chutes.iter().map(|chute| chute.number).collect();
        let chutes = chutes.into_iter().map(|chute| chute.code).collect();
        let belt = SorterSettings { chutes, hospital, to_decision, to_chutes, between_chutes };
        let machine = Machine {
            map,
            numbers,
            belt: Belt::new(belt, boot),
            begun: now,
            held: VecDeque::new(),
            last: 0,
            overwritten: 0,
            taken: 0,
            edge: vec![0; usize::from(EDGE_LEN)],
            command: vec![0; usize::from(COMMAND_LEN)],
        };
        Self { server: Server::new(framing, unit), line: Line::default(), machine }
    }

    /// What happened to each item, in order of time.
    pub fn deliveries(&self) -> &[Delivery] {
        &self.machine.belt.deliveries
    }

    /// As [`deliveries`](Self::deliveries), but hands them over: for a PLC that runs for days.
    pub fn take_deliveries(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.machine.belt.deliveries)
    }

    /// What a correct edge would not have sent: the first 1024.
    pub fn violations(&self) -> &[Violation] {
        &self.machine.belt.violations
    }

    /// How many commands were repeats of one that was answered before.
    pub fn repeats(&self) -> u64 {
        self.machine.belt.repeats
    }

    /// How many events the ring had no room for.
    pub fn overwritten(&self) -> u64 {
        self.machine.overwritten
    }

    /// The oldest event that the edge has not recorded; the number after the newest if it has recorded all.
    pub fn first_held(&self) -> u32 {
        self.machine.first()
    }

    /// Items on the belt.
    pub fn on_belt(&self) -> usize {
        self.machine.belt.on_belt()
    }

    /// The count of starts.
    pub fn boot(&self) -> u32 {
        self.machine.belt.boot
    }

    /// From now on it hears and answers nothing on its line, or does again.
    pub fn set_silent(&mut self, silent: bool) {
        self.line.silent = silent;
    }

    /// From now on answers leave so much later than they could.
    pub fn set_late(&mut self, late: Duration) {
        self.line.late = late;
    }

    /// Someone has opened the line.
    pub fn connected(&mut self) {
        self.server.connected();
        self.line.waiting.clear();
    }

    /// The connection must be closed: what came on it is no Modbus.
    pub fn over(&self) -> bool {
        self.server.over()
    }

    /// Loses power and gets it again: what was on the belt is lost track of, events are gone, a new boot begins.
    pub fn restart(&mut self, now: Timestamp) {
        let machine = &mut self.machine;
        machine.belt.restart(now);
        (machine.begun, machine.last, machine.taken) = (now, 0, 0);
        machine.held.clear();
        machine.edge.fill(0);
        machine.command.fill(0);
        self.server.connected();
        self.line.waiting.clear();
    }

    /// An item passes the scan point; `None` is a no-read. Gives its number.
    pub fn induct(&mut self, now: Timestamp, code: Option<Code>) -> u32 {
        self.machine.act(now, |belt, tell| belt.induct(now, code, tell))
    }

    /// A chute becomes full, or is emptied. Unknown codes change nothing.
    pub fn set_full(&mut self, now: Timestamp, chute: &Code, full: bool) {
        self.machine.tick(now);
        let belt = &mut self.machine.belt;
        if let Some(index) = belt.chutes().iter().position(|other| other == chute) {
            belt.full[index] = full;
        }
    }

    /// The belt starts or stops, by the machine's own controls.
    pub fn set_run(&mut self, now: Timestamp, run: Run) {
        self.machine.act(now, |belt, tell| belt.set_run(now, run, tell));
    }

    /// An item ends as it should not: [`End::Lost`], [`End::Jammed`], [`End::Gap`], [`End::Double`]. Items not on the belt
    /// change nothing.
    pub fn fail(&mut self, now: Timestamp, item: u32, outcome: End) {
        self.machine.act(now, |belt, tell| belt.fail(now, item, outcome, tell));
    }

    /// Octets have come.
    pub fn receive(&mut self, now: Timestamp, octets: &[u8], out: &mut dyn FnMut(&[u8])) {
        let Self { server, line, machine } = self;
        machine.tick(now);
        if !line.silent {
            let malformed = server.malformed();
            server
                .receive(now, octets, &mut |request| machine.obey(now, request), &mut |octets| line.take(now, octets));
            if server.malformed() > malformed {
                machine.belt.violation(Violation::Malformed("a request that breaks the standard".to_owned()));
            }
        }
        line.flush(now, out);
    }

    /// Time has passed: items move on, held answers leave.
    pub fn tick(&mut self, now: Timestamp, out: &mut dyn FnMut(&[u8])) {
        let Self { server, line, machine } = self;
        machine.tick(now);
        server.tick(now, &mut |request| machine.obey(now, request), &mut |octets| line.take(now, octets));
        line.flush(now, out);
    }

    /// When to call [`tick`](Self::tick) if nothing else happens.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let moves = self.machine.belt.next().map(|(at, _)| at);
        let answer = self.line.waiting.front().map(|(at, _)| *at);
        [moves, answer, self.server.next_deadline()].into_iter().flatten().min()
    }
}

impl Machine {
    fn clock_ms(&self, at: Timestamp) -> u32 {
        (at - self.begun).millis() as u32
    }

    /// The first number of an event that is still held.
    fn first(&self) -> u32 {
        self.last + 1 - self.held.len() as u32
    }

    /// Lets the machine do something, and puts what its items tell into the ring.
    fn act<T>(&mut self, now: Timestamp, act: impl FnOnce(&mut Belt, &mut dyn FnMut(Timestamp, Told)) -> T) -> T {
        let mut told = Vec::new();
        self.belt.tick(now, &mut |at, what| told.push((at, what)));
        let done = act(&mut self.belt, &mut |at, what| told.push((at, what)));
        for (at, what) in told {
            match what {
                Told::Scanned { item, code, decide_in } => {
                    let decide_in_ms = u16::try_from(decide_in.millis()).unwrap_or(u16::MAX);
                    self.push(at, Slot { decide_in_ms, code: Ok(code), ..Self::slot(kind::SCANNED, item, 0, 0) });
                }
                Told::Ended { item, outcome, chute, commanded } => {
                    let kind = match outcome {
                        End::Diverted => kind::DIVERTED,
                        End::Missed => kind::MISSED,
                        End::Full => kind::FULL,
                        End::Gap => kind::GAP,
                        End::Double => kind::DOUBLE,
                        End::Lost => kind::LOST,
                        End::Jammed => kind::JAMMED,
                    };
                    let chute = chute.map_or(0, |chute| self.numbers[chute]);
                    self.push(at, Self::slot(kind, item, chute, commanded.into()));
                }
            }
        }
        done
    }

    fn tick(&mut self, now: Timestamp) {
        self.act(now, |_, _| ());
    }

    fn slot(kind: u16, item: u32, chute: u16, detail: u16) -> Slot {
        Slot { number: 0, boot: 0, kind, item, chute, detail, at_ms: 0, decide_in_ms: 0, code: Ok(None) }
    }

    fn push(&mut self, at: Timestamp, slot: Slot) {
        self.last += 1;
        if self.held.len() == usize::from(self.map.slots) {
            self.held.pop_front();
            self.overwritten += 1;
        }
        self.held.push_back(Slot { number: self.last, boot: self.belt.boot, at_ms: self.clock_ms(at), ..slot });
    }

    fn obey(&mut self, now: Timestamp, request: &Request) -> Answer {
        let done = match request {
            Request::ReadHoldingRegisters { address, count } => self.read(now, *address, *count),
            Request::WriteMultipleRegisters { address, registers } => self.write(now, *address, registers),
            _ => Err(Exception::ILLEGAL_FUNCTION),
        };
        if done.is_err() {
            self.belt.violation(Violation::Malformed(format!("{request:?}")));
        }
        done
    }

    fn read(&self, now: Timestamp, address: u16, count: u16) -> Answer {
        let status = self.status(now);
        let mut slot: (u16, Vec<u16>) = (u16::MAX, Vec::new());
        let registers = (0..count).map(|offset| {
            let (block, at) = self.map.place(self.highest(), address.checked_add(offset)?)?;
            match block {
                "status" => status.get(usize::from(at)).copied(),
                "edge" => self.edge.get(usize::from(at)).copied(),
                "command" => self.command.get(usize::from(at)).copied(),
                _ => {
                    let index = at / self.map.slot_len();
                    if slot.0 != index {
                        slot = (index, self.slot_at(index));
                    }
                    slot.1.get(usize::from(at % self.map.slot_len())).copied()
                }
            }
        });
        let registers: Option<Vec<u16>> = registers.collect();
        registers.map(Response::ReadHoldingRegisters).ok_or(Exception::ILLEGAL_DATA_ADDRESS)
    }

    fn highest(&self) -> u16 {
        self.numbers.iter().copied().max().unwrap_or(0)
    }

    fn status(&self, now: Timestamp) -> Vec<u16> {
        let mut full = vec![0; usize::from(self.highest().div_ceil(16))];
        for (number, _) in self.numbers.iter().zip(&self.belt.full).filter(|(_, full)| **full) {
            full[usize::from((number - 1) / 16)] |= 1 << ((number - 1) % 16);
        }
        let status = Status {
            boot: self.belt.boot,
            clock_ms: self.clock_ms(now),
            heartbeat: ((now - self.begun).micros() / HEARTBEAT_PERIOD.micros()) as u16,
            run: self.belt.run,
            first: self.first(),
            last: self.last,
            taken: self.taken,
            full,
        };
        status.write(&self.map)
    }

    /// What stands in a slot of the ring: an event, or nothing.
    fn slot_at(&self, index: u16) -> Vec<u16> {
        let slots = u32::from(self.map.slots);
        let ahead = (u32::from(index) + slots - (self.first() - 1) % slots) % slots;
        let slot = self.held.get(ahead as usize);
        slot.map_or_else(|| vec![0; usize::from(self.map.slot_len())], |slot| slot.write(&self.map))
    }

    fn write(&mut self, now: Timestamp, address: u16, registers: &[u16]) -> Answer {
        match self.map.place(self.highest(), address) {
            Some(("edge", 0)) => {
                let beat = Beat::read(&self.map, registers).ok_or(Exception::ILLEGAL_DATA_ADDRESS)?;
                if self.edge.first() != Some(&beat.heartbeat) {
                    self.belt.edge_until = Some(now + SILENCE_MAX);
                }
                self.edge = registers.to_vec();
                if beat.boot == self.belt.boot {
                    let recorded = beat.through.min(self.last);
                    self.held.drain(..(recorded + 1).saturating_sub(self.first()) as usize);
                }
            }
            Some(("command", 0)) => {
                let order = Order::read(&self.map, registers).ok_or(Exception::ILLEGAL_DATA_ADDRESS)?;
                self.command = registers.to_vec();
                if order.number != 0 && order.number != self.taken {
                    self.taken = order.number;
                    self.command(now, order);
                }
            }
            _ => return Err(Exception::ILLEGAL_DATA_ADDRESS),
        }
        Ok(Response::WriteMultipleRegisters { address, count: registers.len() as u16 })
    }

    fn command(&mut self, now: Timestamp, order: Order) {
        let Order { boot, item, chute, deadline_ms, .. } = order;
        let index = self.numbers.iter().position(|number| *number == chute);
        let refused = if boot != self.belt.boot {
            // Sent before the edge could know that this boot began.
            Some(refusal::BOOT)
        } else if let Some(index) = index {
            let expired = (self.clock_ms(now).wrapping_sub(deadline_ms) as i32) > 0;
            match self.act(now, |belt, tell| belt.obey(now, item, index, expired, tell)) {
                Ok(()) => None,
                Err(Refusal::Late) => Some(refusal::LATE),
                Err(Refusal::Full) => Some(refusal::FULL),
                Err(Refusal::Other) => Some(refusal::OTHER),
                Err(Refusal::Item) => Some(refusal::ITEM),
            }
        } else {
            let chute = stowage_base::code(&format!("number {chute}")).unwrap_or_default();
            self.belt.violation(Violation::UnknownChute { chute });
            Some(refusal::CHUTE)
        };
        let kind = if refused.is_none() { kind::ACKNOWLEDGED } else { kind::REFUSED };
        self.push(now, Self::slot(kind, item, chute, refused.unwrap_or(0)));
    }
}
