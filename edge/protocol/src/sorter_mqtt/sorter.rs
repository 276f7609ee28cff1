//! The sorter's end, for simulation: what its machine does, told and commanded by the contract.

use super::{
    ACK, Ack, DIVERT, Divert, EDGE_HEARTBEAT, EdgeHeartbeat, HEARTBEAT, HEARTBEAT_PERIOD, Heartbeat, MEMORY, Outcome,
    RESEND_PERIOD, RESULT, SCAN, SILENCE_MAX, STATE, Scan, State, command_id, command_item, json, parse,
};
use crate::sorter::belt::{Belt, Refusal, Tell, Told};
use crate::sorter::{Chute, Delivery, End, Run, SorterSettings, Violation};
use std::collections::{BTreeMap, VecDeque};
use stowage_base::{Code, Duration, Timestamp};

/// The state is published again after this, whether or not it changed.
const STATE_PERIOD: Duration = Duration::from_secs(5);

/// A result that no edge heartbeat confirms is published again after this.
const RESULT_RESEND: Duration = Duration::from_secs(1);

/// A simulated smart sorter. Driven like [`super::Edge`], subscribed to [`super::TO_SORTER`]; what it publishes goes
/// to `out` as topic and payload, of which only [`STATE`] is retained. Its last will is [`super::LAST_WILL`].
///
/// It obeys the first command for an item and answers repeats as before. A command that is late, contradicts an
/// earlier one, or names an unknown chute or item is refused and recorded. Without an edge for 3 s, and without a
/// command, items follow the safe plan. While the belt stands, items stand, and their decision with them.
#[derive(Debug)]
pub struct Sorter {
    belt: Belt,
    heartbeat_at: Option<Timestamp>,
    state_at: Timestamp,
    /// When to report items again that no command has reached yet, by item.
    reports: BTreeMap<u32, Timestamp>,
    /// Results that no edge heartbeat has confirmed, with the time of the next publication.
    results: VecDeque<(Timestamp, Outcome)>,
    result_last: u32,
}

type Out<'a> = &'a mut dyn FnMut(&str, &[u8]);

impl Sorter {
    /// A sorter in its first boot, its belt running, without a connection.
    pub fn new(settings: SorterSettings) -> Self {
        Self {
            belt: Belt::new(settings, 1),
            heartbeat_at: None,
            state_at: Timestamp::EPOCH,
            reports: BTreeMap::new(),
            results: VecDeque::new(),
            result_last: 0,
        }
    }

    /// The same in a later boot: for a sorter that remembers its count of starts, or the time of them. From 1.
    pub fn with_boot(mut self, boot: u32) -> Self {
        self.belt.boot = boot.max(1);
        self
    }

    /// What happened to each item, in order of time.
    pub fn deliveries(&self) -> &[Delivery] {
        &self.belt.deliveries
    }

    /// As [`deliveries`](Self::deliveries), but hands them over: for a sorter that runs for days.
    pub fn take_deliveries(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.belt.deliveries)
    }

    /// What a correct edge would not have sent: the first 1024.
    pub fn violations(&self) -> &[Violation] {
        &self.belt.violations
    }

    /// How many commands were repeats of one that was answered before.
    pub fn repeats(&self) -> u64 {
        self.belt.repeats
    }

    /// Items on the belt.
    pub fn on_belt(&self) -> usize {
        self.belt.on_belt()
    }

    /// The count of starts.
    pub fn boot(&self) -> u32 {
        self.belt.boot
    }

    /// Connected to the broker and subscribed.
    pub fn connected(&mut self, now: Timestamp, out: Out<'_>) {
        self.heartbeat_at = Some(now);
        self.state_at = now;
        self.tick(now, out);
    }

    /// The connection to the broker is gone.
    pub fn disconnected(&mut self, _now: Timestamp) {
        self.heartbeat_at = None;
    }

    /// Loses power and gets it again: what was on the belt is lost track of, a new boot begins. Call
    /// [`disconnected`](Self::disconnected) before if the power was the connection's too.
    pub fn restart(&mut self, now: Timestamp, out: Out<'_>) {
        self.belt.restart(now);
        self.result_last = 0;
        self.reports.clear();
        self.results.clear();
        self.state_at = now;
        self.tick(now, out);
    }

    /// An item passes the scan point; `None` is a no-read. Gives its number.
    pub fn induct(&mut self, now: Timestamp, code: Option<Code>, out: Out<'_>) -> u32 {
        let item = self.act(|belt, tell| belt.induct(now, code, tell));
        self.tick(now, out);
        item
    }

    /// A chute becomes full, or is emptied. Unknown codes change nothing.
    pub fn set_full(&mut self, now: Timestamp, chute: &Code, full: bool, out: Out<'_>) {
        self.tick(now, out);
        if let Some(index) = self.index(chute) {
            self.belt.full[index] = full;
        }
        self.publish_state(now, out);
    }

    /// The belt starts or stops, by the machine's own controls.
    pub fn set_run(&mut self, now: Timestamp, run: Run, out: Out<'_>) {
        self.act(|belt, tell| belt.set_run(now, run, tell));
        self.tick(now, out);
        self.publish_state(now, out);
    }

    /// An item falls off ([`End::Lost`]) or gets stuck ([`End::Jammed`]), at once; or is found too near to its neighbour
    /// ([`End::Gap`]) or to be two ([`End::Double`]), and will follow the safe plan if it isn't decided yet. Other ends,
    /// and items not on the belt, change nothing.
    pub fn fail(&mut self, now: Timestamp, item: u32, how: End, out: Out<'_>) {
        self.act(|belt, tell| belt.fail(now, item, how, tell));
        self.tick(now, out);
    }

    /// A message arrived; `topic` is what follows the sorter's base.
    pub fn receive(&mut self, now: Timestamp, topic: &str, payload: &[u8], out: Out<'_>) {
        if self.heartbeat_at.is_none() {
            return;
        }
        self.tick(now, out);
        let read = match topic {
            EDGE_HEARTBEAT => parse(payload).map(|EdgeHeartbeat { boot, results_to }| {
                self.belt.edge_until = Some(now + SILENCE_MAX);
                if boot == Some(self.belt.boot) {
                    self.results.retain(|(_, result)| result.n > results_to);
                }
            }),
            DIVERT => parse(payload).and_then(|divert| {
                let ack = self.obey(now, &divert)?;
                self.belt.edge_until = Some(now + SILENCE_MAX);
                out(ACK, &json(&ack));
                Ok(())
            }),
            _ => Err("unknown topic".to_owned()),
        };
        if let Err(what) = read {
            self.belt.violation(Violation::Malformed(format!("{topic}: {what}")));
        }
    }

    fn obey(&mut self, now: Timestamp, divert: &Divert) -> Result<Ack, String> {
        let (boot, item) = command_item(&divert.command).ok_or("command is no BOOT-ITEM")?;
        let refused = if boot != self.belt.boot {
            // Sent before the edge could know that this boot began.
            Some("the sorter started anew")
        } else if let Some(chute) = self.index(&divert.chute) {
            let answer = self.act(|belt, tell| belt.obey(now, item, chute, divert.valid_for_ms == 0, tell));
            self.reports.remove(&item);
            answer.err().map(|refusal| match refusal {
                Refusal::Late => "the item has passed its decision point",
                Refusal::Full => "the chute is full",
                Refusal::Other => "the item was commanded to another chute before",
                Refusal::Item => "there is no such item",
            })
        } else {
            self.belt.violation(Violation::UnknownChute { chute: divert.chute.clone() });
            Some("there is no such chute")
        };
        let (command, accepted) = (divert.command.clone(), refused.is_none());
        Ok(Ack { command, accepted, reason: refused.map(str::to_owned) })
    }

    /// Time has passed: items move on.
    pub fn tick(&mut self, now: Timestamp, out: Out<'_>) {
        self.act(|belt, tell| belt.tick(now, tell));
        // First of all on a new connection: how things stand.
        if let Some(due) = self.heartbeat_at.filter(|due| *due <= now) {
            if self.state_at <= now {
                self.publish_state(now, out);
            }
            out(HEARTBEAT, &json(&Heartbeat { boot: self.belt.boot, at_us: now.micros() }));
            // Missed beats are not made up for.
            self.heartbeat_at = Some(now.max(due) + HEARTBEAT_PERIOD);
        }
        self.publish_reports(now, out);
        self.publish_results(now, out);
    }

    /// When to call [`tick`](Self::tick) if nothing else happens; `None` while there is nothing to wait for.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let results = self.results.iter().map(|(at, _)| *at);
        let messages = results.chain(self.reports.values().copied()).filter(|_| self.heartbeat_at.is_some());
        self.belt.next().map(|(at, _)| at).into_iter().chain(self.heartbeat_at).chain(messages).min()
    }

    /// Lets the machine do something, and files what it tells.
    fn act<T>(&mut self, act: impl FnOnce(&mut Belt, Tell<'_>) -> T) -> T {
        let mut told = Vec::new();
        let result = act(&mut self.belt, &mut |at, what| told.push((at, what)));
        for (at, what) in told {
            match what {
                Told::Scanned { item, .. } => drop(self.reports.insert(item, at)),
                Told::Ended { item, outcome, chute, commanded } => self.ended(at, item, outcome, chute, commanded),
            }
        }
        result
    }

    fn ended(&mut self, at: Timestamp, item: u32, outcome: End, chute: Option<usize>, commanded: bool) {
        let boot = self.belt.boot;
        self.result_last += 1;
        let command = commanded.then(|| command_id(boot, item));
        let chute = chute.map(|chute| self.belt.chutes()[chute].clone());
        let result = Outcome { n: self.result_last, held_from: 1, boot, item, command, outcome, chute };
        self.results.push_back((at, result));
        if self.results.len() > MEMORY {
            self.results.pop_front();
        }
    }

    /// Reports what passed the scan point and no command has reached, now and again.
    fn publish_reports(&mut self, now: Timestamp, out: Out<'_>) {
        let Self { belt, reports, heartbeat_at, .. } = self;
        if heartbeat_at.is_none() {
            return;
        }
        reports.retain(|&item, due| {
            if *due > now {
                return true;
            }
            let Some((code, left)) = belt.undecided(now, item) else { return false };
            let decide_in_ms = u32::try_from(left.millis()).unwrap_or_default();
            out(SCAN, &json(&Scan { boot: belt.boot, item, code: code.cloned(), at_us: now.micros(), decide_in_ms }));
            *due = now + RESEND_PERIOD;
            true
        });
    }

    fn publish_results(&mut self, now: Timestamp, out: Out<'_>) {
        if self.heartbeat_at.is_none() {
            return;
        }
        let held_from = self.results.front().map_or(0, |(_, result)| result.n);
        for (due, result) in self.results.iter_mut().filter(|(due, _)| *due <= now) {
            result.held_from = held_from;
            out(RESULT, &json(result));
            *due = now + RESULT_RESEND;
        }
    }

    fn publish_state(&mut self, now: Timestamp, out: Out<'_>) {
        if self.heartbeat_at.is_none() {
            return;
        }
        #[derive(serde::Serialize)]
        struct Online<'a> {
            online: bool,
            #[serde(flatten)]
            state: &'a State,
        }
        let chutes = self.belt.chutes().iter().zip(&self.belt.full);
        let chutes = chutes.map(|(chute, full)| Chute { chute: chute.clone(), full: *full }).collect();
        let state = State { boot: self.belt.boot, run: self.belt.run, chutes };
        out(STATE, &json(&Online { online: true, state: &state }));
        self.state_at = now + STATE_PERIOD;
    }

    fn index(&self, chute: &Code) -> Option<usize> {
        self.belt.chutes().iter().position(|other| other == chute)
    }
}
