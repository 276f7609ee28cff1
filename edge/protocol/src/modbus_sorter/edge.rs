//! The edge's end: polls the PLC, makes events of what its registers say, and writes commands until they are answered or
//! it is too late.

use super::SILENCE_MAX;
use super::map::{Beat, Map, Numbered, Order as Command, Slot, Status, kind, refusal};
use crate::modbus::pdu::READ_REGISTERS_MAX;
use crate::modbus::{Answer, Client, ClientSettings, Exception, Failure, Outcome, Request, Response};
use crate::sorter::{Chute, End, Event, Order};
use std::collections::{BTreeMap, VecDeque};
use stowage_base::{Code, Duration, Timestamp};

/// A status is asked for before whatever waits in the ring once it is late by this.
const OVERDUE: Duration = Duration::from_millis(750);

/// The edge's heartbeat moves so often.
const HEARTBEAT_PERIOD: Duration = Duration::from_secs(1);

/// A command that was written or taken and isn't answered is written again after this.
const REWRITE_PERIOD: Duration = Duration::from_millis(500);

/// A PLC that refuses a request is asked again after this.
const REFUSED_PERIOD: Duration = Duration::from_secs(1);

/// The PLC's clock is mapped by so many of its last answers.
const CLOCK_SAMPLES: usize = 16;

/// How far two clocks may drift apart within those.
const CLOCK_DRIFT_MAX: Duration = Duration::from_millis(5);

/// Commands that are remembered to recognise repeats.
const MEMORY: usize = 1024;

/// How the session treats its PLC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeSettings {
    /// Envelope, unit and patience.
    pub client: ClientSettings,
    /// Where the registers lie; [`Map::faults`] finds none for these chutes.
    pub map: Map,
    /// The chutes.
    pub chutes: Vec<Numbered>,
    /// How often the status is read, at least.
    pub poll: Duration,
    /// A command is last sent this long before its deadline: what it takes to the PLC's program.
    pub latency_margin: Duration,
}

/// Where the session puts what it makes. Nothing here may wait.
pub trait Sink {
    /// Octets for the line.
    fn send(&mut self, octets: &[u8]);
    /// Something happened.
    fn event(&mut self, event: Event);
}

type Key = (u32, u32);

/// What the request under way is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Status,
    Ring { from: u32 },
    Beat { boot: u32, through: u32 },
    Command { key: Key, number: u16 },
}

#[derive(Debug)]
struct Waiting {
    chute: Code,
    number: u16,
    deadline: Timestamp,
    /// When to write it again; `None` before the first time.
    rewrite_at: Option<Timestamp>,
    acknowledged: bool,
}

/// What is known of the PLC's present boot.
#[derive(Debug)]
struct Known {
    status: Status,
    /// All events up to this one were read.
    read: u32,
    /// All events up to this one are recorded for good.
    recorded: u32,
    /// The same as the PLC knows it.
    confirmed: u32,
    /// Of events that were read and are not recorded: scans and ends, with their items.
    marks: BTreeMap<u32, (u32, bool)>,
}

/// What our time is less the PLC's: between `low` and `high`.
#[derive(Debug, Clone, Copy)]
struct Sample {
    low: Duration,
    high: Duration,
}

/// The PLC's clock on our time line.
#[derive(Debug, Default)]
struct Clock {
    /// The last reading, and the same without wraps.
    last_ms: u32,
    at_ms: i64,
    samples: VecDeque<Sample>,
}

impl Clock {
    /// Learns from a reading that was asked for at `asked` and has come at `now`. `false`: it contradicts those before, the
    /// clock was set.
    fn learn(&mut self, asked: Timestamp, now: Timestamp, ms: u32) -> bool {
        self.at_ms += i64::from(ms.wrapping_sub(self.last_ms) as i32);
        self.last_ms = ms;
        let since = |at: Timestamp, ms: i64| at - Timestamp::from_micros(ms.saturating_mul(1_000));
        // The reading is cut to whole ms.
        let sample = Sample { low: since(asked, self.at_ms + 1), high: since(now, self.at_ms) };
        let plausible = self
            .samples
            .iter()
            .all(|old| old.low <= sample.high + CLOCK_DRIFT_MAX && sample.low <= old.high + CLOCK_DRIFT_MAX);
        if !plausible {
            self.samples.clear();
        }
        if self.samples.len() == CLOCK_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        plausible
    }

    /// Our time less the PLC's as far as it is certain: never more than it is, so no deadline is taken as later than it is.
    fn offset(&self) -> Duration {
        self.samples.iter().map(|sample| sample.low).max().unwrap_or_default()
    }

    fn ours(&self, ms: u32) -> Timestamp {
        let ms = self.at_ms + i64::from(ms.wrapping_sub(self.last_ms) as i32);
        Timestamp::from_micros(ms.saturating_mul(1_000)) + self.offset()
    }

    fn theirs(&self, at: Timestamp) -> u32 {
        let ms = (at - self.offset()).micros().div_euclid(1_000);
        self.last_ms.wrapping_add((ms - self.at_ms).clamp(i32::MIN.into(), i32::MAX.into()) as i32 as u32)
    }
}

/// The edge's end of one sorter PLC. Driven like every session: the driver opens the line and calls
/// [`connected`](Self::connected), passes on octets, calls [`tick`](Self::tick) at or after
/// [`next_deadline`](Self::next_deadline), and closes the line when the session is [`over`](Self::over).
#[derive(Debug)]
pub struct Edge {
    settings: EdgeSettings,
    client: Client,
    /// The request under way and when it left.
    asked: Option<(Asked, Timestamp)>,
    /// When the line was opened, or another boot began; `None` while the line is closed.
    opened: Option<Timestamp>,
    /// Silence, or nonsense: the line should be closed and opened anew.
    given_up: bool,
    /// When the PLC's heartbeat last moved; `None` while it is down.
    heard: Option<Timestamp>,
    /// The PLC's heartbeat as it was last read on this line.
    heartbeat: Option<u16>,
    /// When the PLC last answered, and why not since.
    answered: Option<Timestamp>,
    failure: Option<String>,
    /// Our own heartbeat, and when the next is due.
    beat: u16,
    beat_at: Timestamp,
    status_at: Timestamp,
    ring_at: Timestamp,
    /// The PLC has refused something: nothing but its status is asked for before then.
    refused_until: Timestamp,
    known: Option<Known>,
    clock: Clock,
    commands: BTreeMap<Key, Waiting>,
    /// The number of the command that the PLC has not taken yet, and when it is written off.
    mailbox: Option<(u16, Timestamp)>,
    number: u16,
}

impl Edge {
    /// A session without a line.
    pub fn new(settings: EdgeSettings) -> Self {
        Self {
            client: Client::new(settings.client),
            settings,
            asked: None,
            opened: None,
            given_up: false,
            heard: None,
            heartbeat: None,
            answered: None,
            failure: None,
            beat: 0,
            beat_at: Timestamp::EPOCH,
            status_at: Timestamp::EPOCH,
            ring_at: Timestamp::EPOCH,
            refused_until: Timestamp::EPOCH,
            known: None,
            clock: Clock::default(),
            commands: BTreeMap::new(),
            mailbox: None,
            number: 0,
        }
    }

    /// The line is open.
    pub fn connected(&mut self, now: Timestamp, sink: &mut impl Sink) {
        self.client.connected(now);
        (self.opened, self.given_up) = (Some(now), false);
        (self.asked, self.heartbeat, self.answered, self.failure) = (None, None, None, None);
        (self.status_at, self.beat_at, self.ring_at, self.refused_until) = (now, now, now, now);
        // The clocks may have drifted apart meanwhile.
        self.clock.samples.clear();
        self.tick(now, sink);
    }

    /// The line is closed. Commands wait for the next one, within their deadlines.
    pub fn disconnected(&mut self, _now: Timestamp, sink: &mut impl Sink) {
        self.client.disconnected();
        (self.opened, self.asked) = (None, None);
        self.down("the connection is gone".to_owned(), sink);
    }

    /// Whether the line should be closed and opened anew.
    pub fn over(&self) -> bool {
        self.opened.is_some() && (self.given_up || self.client.over())
    }

    /// Octets have come.
    pub fn receive(&mut self, now: Timestamp, octets: &[u8], sink: &mut impl Sink) {
        if let Some(outcome) = self.client.receive(now, octets) {
            self.outcome(now, outcome, sink);
        }
        self.tick(now, sink);
    }

    /// Commands the sorter, now and again until it answers, never after the order's deadline less the latency margin.
    /// A repeat of an order changes nothing; another chute for the same item is refused.
    pub fn divert(&mut self, now: Timestamp, order: Order, sink: &mut impl Sink) {
        let Order { boot, item, chute, deadline } = order;
        if let Some(known) = &mut self.known {
            let present = known.status.boot;
            if present != boot {
                let reason = format!("the sorter started anew: its boot is {present}, not {boot}");
                return sink.event(Event::Refused { boot, item, reason });
            }
            // Whoever orders has recorded the scan.
            known.record(item, false);
        }
        if let Some(command) = self.commands.get(&(boot, item)) {
            if command.chute != chute {
                let reason = format!("it was commanded to {} before, not to {chute}", command.chute);
                sink.event(Event::Refused { boot, item, reason });
            }
            return self.tick(now, sink);
        }
        let Some(number) = self.settings.chutes.iter().find(|known| known.code == chute).map(|known| known.number)
        else {
            let reason = format!("the sorter has no chute {chute}");
            return sink.event(Event::Refused { boot, item, reason });
        };
        let command = Waiting { chute, number, deadline, rewrite_at: None, acknowledged: false };
        self.commands.insert((boot, item), command);
        if self.commands.len() > MEMORY
            && let Some(((boot, item), oldest)) = self.commands.pop_first()
            && !oldest.acknowledged
        {
            sink.event(Event::Missed { boot, item, sent: oldest.rewrite_at.is_some() });
        }
        self.tick(now, sink);
    }

    /// The end of this item, as told by [`Event::Outcome`], is recorded for good, and with it all that was told before. Only
    /// then may the PLC forget it, so that an edge that dies in between loses nothing.
    pub fn recorded(&mut self, now: Timestamp, boot: u32, item: u32, sink: &mut impl Sink) {
        if let Some(known) = self.known.as_mut().filter(|known| known.status.boot == boot) {
            known.record(item, true);
        }
        self.tick(now, sink);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Timestamp, sink: &mut impl Sink) {
        if let Some(outcome) = self.client.tick(now) {
            self.outcome(now, outcome, sink);
        }
        if self.silent_at().is_some_and(|at| at <= now) {
            let since = self.heard.or(self.opened).unwrap_or(now);
            let why = match (&self.failure, self.answered) {
                (Some(failure), _) => failure.clone(),
                (None, Some(answered)) if answered - since > HEARTBEAT_PERIOD => {
                    "the PLC answers, but its heartbeat stands: start its program".to_owned()
                }
                (None, _) => "the PLC doesn't answer: look at its power, the cable, unit and speed".to_owned(),
            };
            self.given_up = true;
            self.heard.get_or_insert(now);
            self.down(why, sink);
        }
        self.expire(now, sink);
        let ready = self.client.ready_at().is_some_and(|at| at <= now);
        if let Some((_, asked)) = self.next(now).filter(|(at, _)| ready && *at <= now) {
            self.ask(now, asked, sink);
        }
    }

    /// When to call [`tick`](Self::tick) if nothing else happens; `None` while there is nothing to wait for.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let next = self.client.ready_at().and_then(|ready| {
            let (at, _) = self.next(ready)?;
            Some(at.max(ready))
        });
        let expiry = self.commands.values().filter_map(|command| command.expires(&self.settings));
        let expiry = expiry.min();
        [next, self.client.next_deadline(), self.silent_at(), expiry].into_iter().flatten().min()
    }

    /// When the PLC has been silent too long.
    fn silent_at(&self) -> Option<Timestamp> {
        let opened = self.opened.filter(|_| !self.given_up)?;
        Some(self.heard.unwrap_or(opened) + SILENCE_MAX + Duration::from_micros(1))
    }

    /// What to ask next if the line is free `now`, and when: what is due is served by rank.
    fn next(&self, now: Timestamp) -> Option<(Timestamp, Asked)> {
        self.client.ready_at()?;
        let status = (self.status_at, Asked::Status);
        // Nothing is written to a stranger.
        let Some(known) = self.known.as_ref().filter(|_| self.answered.is_some()) else { return Some(status) };
        let boot = known.status.boot;
        let beat = (self.beat_at, Asked::Beat { boot, through: known.recorded });
        let up = self.heard.is_some();
        let command = self.commands.iter().filter(|_| up && self.mailbox.is_none()).filter_map(|(key, command)| {
            let at = command.due(&self.settings)?;
            Some((at, Asked::Command { key: *key, number: self.number.checked_add(1).unwrap_or(1) }))
        });
        let command = command.min_by_key(|(at, asked)| (*at, self.deadline_of(*asked)));
        let ring =
            (up && known.read < known.status.last).then_some((self.ring_at, Asked::Ring { from: known.read + 1 }));
        let record = (known.recorded > known.confirmed)
            .then_some((Timestamp::EPOCH, Asked::Beat { boot, through: known.recorded }));
        let patient = |(at, asked): (Timestamp, Asked)| (at.max(self.refused_until), asked);
        // However much waits in the ring, the PLC must not seem silent.
        let overdue = (now > self.status_at + OVERDUE).then_some(status);
        let others = [Some(beat), command, overdue, ring, record].map(|wish| wish.map(patient));
        let ranked: Vec<_> = others.into_iter().flatten().chain([status]).collect();
        let due = ranked.iter().find(|(at, _)| *at <= now);
        due.or_else(|| ranked.iter().min_by_key(|(at, _)| *at)).copied()
    }

    fn deadline_of(&self, asked: Asked) -> Option<Timestamp> {
        let Asked::Command { key, .. } = asked else { return None };
        self.commands.get(&key).map(|command| command.deadline)
    }

    fn ask(&mut self, now: Timestamp, asked: Asked, sink: &mut impl Sink) {
        let map = self.settings.map;
        let request = match asked {
            Asked::Status => {
                self.status_at = now + self.settings.poll;
                let highest = self.settings.chutes.iter().map(|chute| chute.number).max().unwrap_or(0);
                Request::ReadHoldingRegisters { address: map.status, count: Map::status_len(highest) }
            }
            Asked::Ring { from } => {
                let Some(known) = &self.known else { return };
                let (address, in_a_row) = map.slot(from);
                let events = known.status.last - known.read;
                let most = u32::from(in_a_row.min(READ_REGISTERS_MAX / map.slot_len()));
                Request::ReadHoldingRegisters { address, count: events.min(most) as u16 * map.slot_len() }
            }
            Asked::Beat { boot, through } => {
                self.beat = self.beat.wrapping_add(1);
                let registers = Beat { heartbeat: self.beat, boot, through }.write(&map);
                Request::WriteMultipleRegisters { address: map.edge, registers }
            }
            Asked::Command { key: (boot, item), number } => {
                let Some(command) = self.commands.get(&(boot, item)) else { return };
                let deadline_ms = self.clock.theirs(command.deadline);
                let registers = Command { boot, item, chute: command.number, deadline_ms, number }.write(&map);
                Request::WriteMultipleRegisters { address: map.command, registers }
            }
        };
        let Some(octets) = self.client.ask(now, request) else { return };
        sink.send(&octets);
        self.asked = Some((asked, now));
        match asked {
            Asked::Status | Asked::Ring { .. } => {}
            Asked::Beat { .. } => self.beat_at = now + HEARTBEAT_PERIOD,
            Asked::Command { key: (boot, item), number } => {
                self.number = number;
                self.mailbox = Some((number, now + REWRITE_PERIOD));
                // Soon enough to see that it was taken.
                self.status_at = now;
                if let Some(command) = self.commands.get_mut(&(boot, item))
                    && command.rewrite_at.replace(now + REWRITE_PERIOD).is_none()
                {
                    sink.event(Event::Sent { boot, item });
                }
            }
        }
    }

    /// Gives up commands whose time is over, and a command in the PLC's registers that it doesn't take.
    fn expire(&mut self, now: Timestamp, sink: &mut impl Sink) {
        let settings = &self.settings;
        self.commands.retain(|&(boot, item), command| {
            if now > command.deadline - settings.latency_margin
                && let Some(rewrite_at) = &mut command.rewrite_at
            {
                // Too late to write it again: only an answer can come, until the deadline.
                *rewrite_at = Timestamp::MAX;
            }
            let over = command.expires(settings).is_some_and(|at| at <= now);
            if over {
                sink.event(Event::Missed { boot, item, sent: command.rewrite_at.is_some() });
            }
            !over
        });
        if self.mailbox.is_some_and(|(_, until)| until <= now) {
            self.mailbox = None;
        }
    }

    fn down(&mut self, why: String, sink: &mut impl Sink) {
        if self.heard.take().is_some() {
            sink.event(Event::Down { why });
        }
    }

    fn malformed(place: &str, what: String, sink: &mut impl Sink) {
        sink.event(Event::Malformed { place: place.to_owned(), what });
    }

    /// The request under way has come to its end.
    fn outcome(&mut self, now: Timestamp, outcome: Outcome, sink: &mut impl Sink) {
        let Some((asked, left)) = self.asked.take() else { return };
        match outcome {
            Ok(answer) => {
                self.failure = None;
                self.answer(now, asked, left, answer, sink);
            }
            Err(failure) => {
                if !matches!(failure, Failure::Silence { octets: 0 }) {
                    Self::malformed(asked.place(), failure.to_string(), sink);
                }
                // What it asked for is due again at once; the line itself sees to a pause.
                match asked {
                    Asked::Status => self.status_at = now,
                    Asked::Ring { .. } => {}
                    Asked::Beat { .. } => self.beat_at = now,
                    Asked::Command { key, .. } => {
                        self.mailbox = None;
                        if let Some(command) = self.commands.get_mut(&key) {
                            command.rewrite_at = Some(now);
                        }
                    }
                }
            }
        }
    }

    fn answer(&mut self, now: Timestamp, asked: Asked, left: Timestamp, answer: Answer, sink: &mut impl Sink) {
        let response = match answer {
            Ok(response) => response,
            Err(exception) => return self.refused(now, asked, exception, sink),
        };
        match (asked, response) {
            (Asked::Status, Response::ReadHoldingRegisters(registers)) => {
                match Status::read(&self.settings.map, &registers) {
                    Ok(status) => self.status(now, left, status, sink),
                    Err(what) => {
                        self.failure = Some(format!("its status makes no sense: {what}"));
                        self.status_at = now + REFUSED_PERIOD;
                        Self::malformed("status", what, sink);
                    }
                }
            }
            (Asked::Ring { from }, Response::ReadHoldingRegisters(registers)) => {
                self.ring(now, from, &registers, sink);
            }
            (Asked::Beat { boot, through }, _) => {
                if let Some(known) = self.known.as_mut().filter(|known| known.status.boot == boot) {
                    known.confirmed = through;
                }
            }
            // Whether the PLC's program has taken it, its status will tell.
            (Asked::Command { .. }, _) => {}
            // The client takes no other response.
            (Asked::Status | Asked::Ring { .. }, _) => {}
        }
    }

    /// The PLC has no such registers, or won't have them written.
    fn refused(&mut self, now: Timestamp, asked: Asked, exception: Exception, sink: &mut impl Sink) {
        let what = format!("the PLC refuses the request: {exception}; correct the map, or the PLC's program");
        match asked {
            Asked::Status => self.status_at = now + REFUSED_PERIOD,
            Asked::Ring { .. } | Asked::Beat { .. } | Asked::Command { .. } => {
                self.refused_until = now + REFUSED_PERIOD
            }
        }
        self.failure = Some(format!("{}: {what}", asked.place()));
        Self::malformed(asked.place(), what, sink);
    }

    fn status(&mut self, now: Timestamp, left: Timestamp, status: Status, sink: &mut impl Sink) {
        self.answered = Some(now);
        if self.known.as_ref().is_none_or(|known| known.status.boot != status.boot) {
            self.boot(now, &status, sink);
        }
        if !self.clock.learn(left, now, status.clock_ms) {
            Self::malformed(
                "status",
                "its clock was set: it counts ms since the start, and nothing else".to_owned(),
                sink,
            );
        }
        let Some(known) = &mut self.known else { return };
        let before = std::mem::replace(&mut known.status, status.clone());
        if status.first > known.read + 1 {
            let lost = status.first - known.read - 1;
            known.read = status.first - 1;
            known.recorded = known.recorded.max(known.read);
            let what = format!("{lost} events were overwritten before they were read: give it more slots");
            Self::malformed("ring", what, sink);
        }
        if self.mailbox.is_some_and(|(number, _)| number == status.taken) {
            self.mailbox = None;
        }
        let moved = self.heartbeat.replace(status.heartbeat).is_some_and(|before| before != status.heartbeat);
        let chute = |chute: &Numbered| Chute { chute: chute.code.clone(), full: status.is_full(chute.number) };
        if self.heard.is_some() {
            if before.run != status.run {
                sink.event(Event::Run(status.run));
            }
            let changed = |chute: &&Numbered| before.is_full(chute.number) != status.is_full(chute.number);
            for Chute { chute, full } in self.settings.chutes.iter().filter(changed).map(chute) {
                sink.event(Event::ChuteFull { chute, full });
            }
        }
        if moved && self.heard.replace(now).is_none() {
            let chutes = self.settings.chutes.iter().map(chute).collect();
            sink.event(Event::Up { boot: status.boot, run: status.run, chutes });
        }
    }

    /// Another boot: nothing of an earlier one can be obeyed any more.
    fn boot(&mut self, now: Timestamp, status: &Status, sink: &mut impl Sink) {
        let boot = status.boot;
        self.commands.retain(|&(of, item), command| {
            if of != boot && !command.acknowledged {
                sink.event(Event::Missed { boot: of, item, sent: command.rewrite_at.is_some() });
            }
            of == boot
        });
        let through = status.first - 1;
        let (status, marks) = (status.clone(), BTreeMap::new());
        self.known = Some(Known { read: through, recorded: through, confirmed: through, status, marks });
        self.clock = Clock::default();
        // Up is told anew, once the heartbeat moves.
        (self.opened, self.heard, self.heartbeat, self.mailbox) = (Some(now), None, None, None);
        self.number = self.known.as_ref().map_or(0, |known| known.status.taken);
    }

    fn ring(&mut self, now: Timestamp, from: u32, registers: &[u16], sink: &mut impl Sink) {
        let map = self.settings.map;
        let slots = registers.chunks_exact(usize::from(map.slot_len())).filter_map(|slot| Slot::read(&map, slot));
        for (number, slot) in (from..).zip(slots) {
            let Some(known) = &mut self.known else { return };
            let boot = known.status.boot;
            if (slot.number, slot.boot) != (number, boot) {
                // Overwritten meanwhile, or another boot: the status will tell.
                let found = format!("holds event {} of boot {}, not {number} of {boot}", slot.number, slot.boot);
                Self::malformed("ring", found, sink);
                (self.status_at, self.ring_at) = (now, now + self.settings.poll);
                return;
            }
            known.read = number;
            self.happened(boot, slot, sink);
        }
    }

    /// An event of the ring.
    fn happened(&mut self, boot: u32, slot: Slot, sink: &mut impl Sink) {
        let Slot { number, kind, item, chute, detail, at_ms, decide_in_ms, code, .. } = slot;
        let place = || format!("event {number} of boot {boot}");
        let mark = |known: &mut Option<Known>, end| {
            if let Some(known) = known {
                known.marks.insert(number, (item, end));
            }
        };
        let outcome = match kind {
            kind::SCANNED => {
                mark(&mut self.known, false);
                let code = code.unwrap_or_else(|what| {
                    Self::malformed(&place(), format!("{what}; it is taken as a no-read"), sink);
                    None
                });
                let decide_by = self.clock.ours(at_ms.wrapping_add(decide_in_ms.into()));
                return sink.event(Event::Scanned { boot, item, code, decide_by });
            }
            kind::ACKNOWLEDGED => {
                // Kept until the item's end, so that a repeat of the order is recognised.
                let repeat = self
                    .commands
                    .get_mut(&(boot, item))
                    .is_some_and(|command| std::mem::replace(&mut command.acknowledged, true));
                if !repeat {
                    sink.event(Event::Acknowledged { boot, item });
                }
                return;
            }
            kind::REFUSED => {
                self.commands.remove(&(boot, item));
                return sink.event(Event::Refused { boot, item, reason: refusal::words(detail) });
            }
            kind::DIVERTED => End::Diverted,
            kind::MISSED => End::Missed,
            kind::LOST => End::Lost,
            kind::JAMMED => End::Jammed,
            kind::FULL => End::Full,
            kind::GAP => End::Gap,
            kind::DOUBLE => End::Double,
            unknown => return Self::malformed(&place(), format!("kind {unknown} is not known here"), sink),
        };
        mark(&mut self.known, true);
        let commanded = detail == 1;
        if let Some(waiting) = self.commands.remove(&(boot, item))
            && !waiting.acknowledged
        {
            // The acknowledgement was lost, or the command never arrived.
            sink.event(if commanded {
                Event::Acknowledged { boot, item }
            } else {
                Event::Missed { boot, item, sent: waiting.rewrite_at.is_some() }
            });
        }
        let known = self.settings.chutes.iter().find(|known| known.number == chute).map(|known| known.code.clone());
        if known.is_none() && chute != 0 {
            Self::malformed(&place(), format!("no chute has number {chute}"), sink);
        }
        sink.event(Event::Outcome { boot, item, commanded, outcome, chute: known });
    }
}

impl Asked {
    /// What it is about, for people.
    const fn place(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Ring { .. } => "ring",
            Self::Beat { .. } => "edge",
            Self::Command { .. } => "command",
        }
    }
}

impl Waiting {
    /// When it wants to be written; `None` once it is too late, or acknowledged.
    fn due(&self, settings: &EdgeSettings) -> Option<Timestamp> {
        let at = self.rewrite_at.unwrap_or(Timestamp::EPOCH);
        (!self.acknowledged && at <= self.deadline - settings.latency_margin).then_some(at)
    }

    /// When it is given up: once it can't be sent any more; if it was sent, once it can't be answered any more.
    fn expires(&self, settings: &EdgeSettings) -> Option<Timestamp> {
        match self.rewrite_at {
            _ if self.acknowledged => None,
            Some(_) => Some(self.deadline),
            // Strictly after: at the last moment itself it could still leave.
            None => Some(self.deadline - settings.latency_margin + Duration::from_micros(1)),
        }
    }
}

impl Known {
    /// The newest event of that sort about `item` is recorded for good, and with it all before it.
    fn record(&mut self, item: u32, end: bool) {
        if let Some((&number, _)) = self.marks.iter().rfind(|(_, mark)| **mark == (item, end)) {
            self.recorded = self.recorded.max(number);
            self.marks = self.marks.split_off(&(number + 1));
        }
    }
}
