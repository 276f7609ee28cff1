//! The edge's end: makes events of what the sorter tells, and keeps commanding until it is heard or it is too late.

use super::{
    ACK, Ack, Arrived, DIVERT, Divert, EDGE_HEARTBEAT, EdgeHeartbeat, HEARTBEAT, HEARTBEAT_PERIOD, Heartbeat, MEMORY,
    Outcome, RESEND_PERIOD, RESULT, SCAN, SILENCE_MAX, STATE, Scan, State, command_id, command_item, json, parse,
};
use crate::sorter::{Event, Order};
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use stowage_base::{Code, Duration, Timestamp};

/// The sorter's clock is mapped by the quickest of so many of its last messages.
const CLOCK_SAMPLES: usize = 16;

/// How the session treats its sorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeSettings {
    /// A command is last sent this long before its deadline: the longest round trip that shall still be in time.
    pub latency_margin: Duration,
}

impl Default for EdgeSettings {
    /// 50 ms: a broker in the same building.
    fn default() -> Self {
        Self { latency_margin: Duration::from_millis(50) }
    }
}

/// Where the session puts what it makes. Nothing here may wait.
pub trait Sink {
    /// Publish `payload` (QoS 1, not retained) under the sorter's base followed by `topic`. If the connection can't
    /// take it now, drop it: the session sends again as long as it makes sense.
    fn publish(&mut self, topic: &str, payload: Vec<u8>);
    /// Something happened.
    fn event(&mut self, event: Event);
}

#[derive(Debug)]
struct Command {
    chute: Code,
    deadline: Timestamp,
    /// When to send it again; `None` before the first time.
    resend_at: Option<Timestamp>,
    acknowledged: bool,
}

impl Command {
    /// When it wants to be sent (if it may be: not after `cutoff`) or given up; `None` once acknowledged.
    fn due(&self, sendable: bool, cutoff: Timestamp) -> Option<Timestamp> {
        match self.resend_at {
            _ if self.acknowledged => None,
            Some(resend_at) if sendable && resend_at <= cutoff => Some(resend_at),
            Some(_) => Some(self.deadline),
            None if sendable => Some(Timestamp::EPOCH),
            // Strictly after: at the cutoff itself it could still leave.
            None => Some(cutoff + Duration::from_micros(1)),
        }
    }
}

/// What is known of the sorter's present boot.
#[derive(Debug)]
struct Known {
    state: State,
    scans: Arrived,
    results: Arrived,
    /// Results that were told and are not recorded yet, by number.
    unrecorded: BTreeMap<u32, u32>,
}

impl Known {
    /// All results up to this one are recorded: the sorter need not repeat them.
    fn recorded_through(&self) -> u32 {
        let through = self.results.through;
        self.unrecorded.first_key_value().map_or(through, |(n, _)| through.min(n - 1))
    }
}

/// The edge's end of one smart sorter. Driven like every session: the driver connects to the broker, subscribes to
/// [`super::TO_EDGE`] below the sorter's base, calls [`connected`](Self::connected), passes on messages, and calls
/// [`tick`](Self::tick) at or after [`next_deadline`](Self::next_deadline).
#[derive(Debug)]
pub struct Edge {
    settings: EdgeSettings,
    /// When the next heartbeat is due; `None` while there is no connection.
    heartbeat_at: Option<Timestamp>,
    /// When the sorter was last heard; `None` while it is down.
    heard: Option<Timestamp>,
    known: Option<Known>,
    /// Our time less the sorter's, of its last messages: latency only adds to it.
    offsets: VecDeque<Duration>,
    commands: BTreeMap<(u32, u32), Command>,
}

impl Edge {
    /// A session without a connection.
    pub fn new(settings: EdgeSettings) -> Self {
        Self {
            settings,
            heartbeat_at: None,
            heard: None,
            known: None,
            offsets: VecDeque::new(),
            commands: BTreeMap::new(),
        }
    }

    /// Connected to the broker and subscribed.
    pub fn connected(&mut self, now: Timestamp, sink: &mut impl Sink) {
        self.heartbeat_at = Some(now);
        self.tick(now, sink);
    }

    /// The connection to the broker is gone. Commands wait for the next one, within their deadlines.
    pub fn disconnected(&mut self, _now: Timestamp, sink: &mut impl Sink) {
        self.heartbeat_at = None;
        self.down("the connection to the broker is gone", sink);
    }

    /// A message arrived; `topic` is what follows the sorter's base.
    pub fn receive(&mut self, now: Timestamp, topic: &str, payload: &[u8], sink: &mut impl Sink) {
        if self.heartbeat_at.is_none() {
            return;
        }
        let read = match topic {
            STATE => self.state(now, payload, sink),
            SCAN => parse(payload).map(|scan| self.scan(now, scan, sink)),
            ACK => parse(payload).and_then(|ack| self.ack(now, &ack, sink)),
            RESULT => parse(payload).and_then(|result| self.result(now, result, sink)),
            HEARTBEAT => parse(payload).map(|Heartbeat { boot, at_us }| {
                if self.alive(now, boot, sink) {
                    self.clock(now, at_us);
                }
            }),
            _ => Err(format!("unknown topic, known are {}", super::TO_EDGE.join(", "))),
        };
        if let Err(what) = read {
            sink.event(Event::Malformed { place: topic.chars().take(64).collect(), what });
        }
        self.tick(now, sink);
    }

    /// Commands the sorter, now and again until it answers, never after the order's deadline less the latency margin.
    /// A repeat of an open order changes nothing; another chute for the same item is refused.
    pub fn divert(&mut self, now: Timestamp, order: Order, sink: &mut impl Sink) {
        let Order { boot, item, chute, deadline } = order;
        if let Some(known) = &self.known
            && known.state.boot != boot
        {
            let reason = format!("the sorter started anew: its boot is {}, not {boot}", known.state.boot);
            return sink.event(Event::Refused { boot, item, reason });
        }
        if let Some(command) = self.commands.get(&(boot, item)) {
            if command.chute != chute {
                let reason = format!("it was commanded to {} before, not to {chute}", command.chute);
                sink.event(Event::Refused { boot, item, reason });
            }
            return;
        }
        let command = Command { chute, deadline, resend_at: None, acknowledged: false };
        self.commands.insert((boot, item), command);
        if self.commands.len() > MEMORY
            && let Some(((boot, item), oldest)) = self.commands.pop_first()
            && !oldest.acknowledged
        {
            sink.event(Event::Missed { boot, item, sent: oldest.resend_at.is_some() });
        }
        self.tick(now, sink);
    }

    /// The end of this item, as told by [`Event::Outcome`], is recorded for good. Until then the sorter repeats it, so
    /// that an edge that dies in between loses none.
    pub fn recorded(&mut self, boot: u32, item: u32) {
        if let Some(known) = self.known.as_mut().filter(|known| known.state.boot == boot) {
            known.unrecorded.retain(|_, of| *of != item);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Timestamp, sink: &mut impl Sink) {
        if self.heard.is_some_and(|heard| now - heard > SILENCE_MAX) {
            self.down("the sorter is silent", sink);
        }
        if self.heartbeat_at.is_some_and(|at| at <= now) {
            let (boot, results_to) =
                self.known.as_ref().map_or((None, 0), |known| (Some(known.state.boot), known.recorded_through()));
            sink.publish(EDGE_HEARTBEAT, json(&EdgeHeartbeat { boot, results_to }));
            self.heartbeat_at = Some(now + HEARTBEAT_PERIOD);
        }
        let up = self.heard.is_some();
        self.commands.retain(|&(boot, item), command| {
            let cutoff = command.deadline - self.settings.latency_margin;
            let sendable = up && now <= cutoff;
            if now > cutoff
                && let Some(resend_at) = &mut command.resend_at
            {
                // Too late to send again: only an answer can come, until the deadline.
                *resend_at = Timestamp::MAX;
            }
            if command.due(sendable, cutoff).is_none_or(|due| now < due) {
                return true;
            }
            if !sendable {
                let sent = command.resend_at.is_some();
                sink.event(Event::Missed { boot, item, sent });
                return false;
            }
            let valid_for_ms = u32::try_from((command.deadline - now).millis()).unwrap_or(u32::MAX);
            let (id, chute) = (command_id(boot, item), command.chute.clone());
            sink.publish(DIVERT, json(&Divert { command: id, chute, valid_for_ms }));
            if command.resend_at.replace(now + RESEND_PERIOD).is_none() {
                sink.event(Event::Sent { boot, item });
            }
            true
        });
    }

    /// When to call [`tick`](Self::tick) if nothing else happens; `None` while there is nothing to wait for.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let silence = self.heard.map(|heard| heard + SILENCE_MAX + Duration::from_micros(1));
        let up = self.heard.is_some();
        let commands = self.commands.values().filter_map(|command| {
            let cutoff = command.deadline - self.settings.latency_margin;
            command.due(up, cutoff)
        });
        self.heartbeat_at.into_iter().chain(silence).chain(commands).min()
    }

    fn down(&mut self, why: &'static str, sink: &mut impl Sink) {
        if self.heard.take().is_some() {
            sink.event(Event::Down { why: why.to_owned() });
        }
    }

    /// A message of `boot` arrived. Whether it is the present boot, which lives then; a silent sorter is up again.
    fn alive(&mut self, now: Timestamp, boot: u32, sink: &mut impl Sink) -> bool {
        let Some(known) = self.known.as_ref().filter(|known| known.state.boot == boot) else { return false };
        if self.heard.replace(now).is_none() {
            let State { boot, run, chutes } = known.state.clone();
            sink.event(Event::Up { boot, run, chutes });
        }
        true
    }

    fn state(&mut self, now: Timestamp, payload: &[u8], sink: &mut impl Sink) -> Result<(), String> {
        #[derive(Deserialize)]
        struct Presence {
            online: bool,
        }
        if !parse::<Presence>(payload)?.online {
            self.down("the sorter is offline", sink);
            return Ok(());
        }
        let state: State = parse(payload)?;
        match &mut self.known {
            // A late message of an earlier boot.
            Some(known) if state.boot < known.state.boot => return Ok(()),
            Some(known) if state.boot == known.state.boot => {
                let before = std::mem::replace(&mut known.state, state.clone());
                if self.heard.is_some() {
                    if before.run != state.run {
                        sink.event(Event::Run(state.run));
                    }
                    for chute in state.chutes.iter().filter(|chute| !before.chutes.contains(chute)) {
                        sink.event(Event::ChuteFull { chute: chute.chute.clone(), full: chute.full });
                    }
                }
            }
            _ => {
                // Another boot: nothing of an earlier one can be obeyed any more.
                self.offsets.clear();
                self.heard = None;
                let boot = state.boot;
                self.commands.retain(|&(of, item), command| {
                    if of != boot && !command.acknowledged {
                        sink.event(Event::Missed { boot: of, item, sent: command.resend_at.is_some() });
                    }
                    of == boot
                });
                self.known = Some(Known {
                    state: state.clone(),
                    scans: Arrived::default(),
                    results: Arrived::default(),
                    unrecorded: BTreeMap::new(),
                });
            }
        }
        self.alive(now, state.boot, sink);
        Ok(())
    }

    fn scan(&mut self, now: Timestamp, scan: Scan, sink: &mut impl Sink) {
        let Scan { boot, item, code, at_us, decide_in_ms } = scan;
        if !self.alive(now, boot, sink) {
            return;
        }
        let delay = self.clock(now, at_us);
        if self.known.as_mut().is_some_and(|known| known.scans.insert(item)) {
            let decide_by = now - delay + Duration::from_millis(i64::from(decide_in_ms));
            sink.event(Event::Scanned { boot, item, code, decide_by });
        }
    }

    /// Learns from a message that the sorter stamped `at_us`; gives how long it took beyond the quickest of late.
    fn clock(&mut self, now: Timestamp, at_us: i64) -> Duration {
        let offset = now - Timestamp::from_micros(at_us);
        if self.offsets.len() == CLOCK_SAMPLES {
            self.offsets.pop_front();
        }
        self.offsets.push_back(offset);
        offset - self.offsets.iter().copied().min().unwrap_or(offset)
    }

    fn ack(&mut self, now: Timestamp, ack: &Ack, sink: &mut impl Sink) -> Result<(), String> {
        let Some((boot, item)) = command_item(&ack.command) else {
            return Err(format!("command {:?} is no BOOT-ITEM", ack.command.chars().take(32).collect::<String>()));
        };
        if !self.alive(now, boot, sink) {
            return Ok(());
        }
        match self.commands.get_mut(&(boot, item)) {
            Some(command) if !command.acknowledged && ack.accepted => {
                // Kept until the item's end, so that a repeat of the order is recognised.
                command.acknowledged = true;
                sink.event(Event::Acknowledged { boot, item });
            }
            Some(command) if !command.acknowledged => {
                self.commands.remove(&(boot, item));
                let reason = ack.reason.clone().unwrap_or_else(|| "the sorter gives no reason".to_owned());
                sink.event(Event::Refused { boot, item, reason });
            }
            // A repeat, or too late: the item's outcome tells.
            Some(_) | None => {}
        }
        Ok(())
    }

    fn result(&mut self, now: Timestamp, result: Outcome, sink: &mut impl Sink) -> Result<(), String> {
        let Outcome { n, held_from, boot, item, command, outcome, chute } = result;
        if !(1..=n).contains(&held_from) {
            return Err(format!("held_from is {held_from}, must be 1 to n, which is {n}"));
        }
        if !self.alive(now, boot, sink) {
            return Ok(());
        }
        let Some(known) = &mut self.known else { return Ok(()) };
        known.results.skip_to(held_from);
        if !known.results.insert(n) {
            // The sorter repeats it because nobody has confirmed it: its owner may have lost it.
            if known.unrecorded.contains_key(&n) {
                sink.event(Event::Outcome { boot, item, commanded: command.is_some(), outcome, chute });
            }
            return Ok(());
        }
        known.unrecorded.insert(n, item);
        let commanded = command.is_some();
        if let Some(waiting) = self.commands.remove(&(boot, item))
            && !waiting.acknowledged
        {
            // The acknowledgement was lost, or the command never arrived.
            sink.event(if commanded {
                Event::Acknowledged { boot, item }
            } else {
                Event::Missed { boot, item, sent: waiting.resend_at.is_some() }
            });
        }
        sink.event(Event::Outcome { boot, item, commanded, outcome, chute });
        Ok(())
    }
}
