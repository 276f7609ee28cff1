//! The sorter's end, for simulation: items on a belt, a decision point, chutes, and a record of what really happened.

use super::{
    ACK, Ack, DIVERT, Divert, EDGE_HEARTBEAT, EdgeHeartbeat, HEARTBEAT, HEARTBEAT_PERIOD, Heartbeat, MEMORY, Outcome,
    RESULT, SCAN, SILENCE_MAX, STATE, Scan, State, command_id, command_item, json, parse,
};
use crate::sorter::{Chute, End, Run};
use std::collections::{BTreeMap, VecDeque};
use stowage_base::{Code, Duration, Timestamp};

/// The state is published again after this, whether or not it changed.
const STATE_PERIOD: Duration = Duration::from_secs(5);

/// A result that no edge heartbeat confirms is published again after this.
const RESULT_RESEND: Duration = Duration::from_secs(1);

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SorterSettings {
    /// Chute codes in the order of the belt.
    pub chutes: Vec<Code>,
    /// Where the safe plan sends items: one of the chutes, best the last.
    pub hospital: Code,
    /// From the scan point to the decision point.
    pub to_decision: Duration,
    /// From the decision point to the first chute.
    pub to_chutes: Duration,
    /// From each chute to the next.
    pub between_chutes: Duration,
}

/// A command that a correct edge would not have sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// It came after the item's decision point, or after its own time.
    Late {
        /// The item.
        item: u32,
    },
    /// Another chute for an item that was commanded before.
    Contradiction {
        /// The item.
        item: u32,
    },
    /// There is no such chute.
    UnknownChute {
        /// As sent.
        chute: Code,
    },
    /// There is and was no such item.
    UnknownItem {
        /// As sent.
        item: u32,
    },
    /// A message that breaks the contract: where, and what.
    Malformed(String),
}

/// What physically happened to an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The boot in which it was inducted.
    pub boot: u32,
    /// Its number in that boot.
    pub item: u32,
    /// What the scanner read.
    pub code: Option<Code>,
    /// The chute whose command was accepted, and when.
    pub commanded: Option<(Code, Timestamp)>,
    /// When the sorter decided, if it came to that.
    pub decided_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: End,
    /// Where it lies, unless lost or stuck.
    pub chute: Option<Code>,
    /// When it ended.
    pub at: Timestamp,
}

#[derive(Debug)]
struct Item {
    code: Option<Code>,
    scanned_at: Timestamp,
    commanded: Option<(Code, Timestamp)>,
    /// The decision point, or the chute once decided.
    next_at: Timestamp,
    decided: Option<Decided>,
}

#[derive(Debug)]
struct Decided {
    at: Timestamp,
    chute: Code,
    outcome: End,
}

#[derive(Debug)]
struct Answer {
    chute: Code,
    refused: Option<String>,
}

/// A simulated smart sorter. Driven like [`super::Edge`], subscribed to [`super::TO_SORTER`]; what it publishes goes
/// to `out` as topic and payload, of which only [`STATE`] is retained. Its last will is [`super::LAST_WILL`].
///
/// It obeys the first command for an item and answers repeats as before. A command that is late, contradicts an
/// earlier one, or names an unknown chute or item is refused and recorded. Without an edge for 3 s, and without a
/// command, items follow the safe plan. While the belt stands, items stand, and their decision with them.
#[derive(Debug)]
pub struct Sorter {
    settings: SorterSettings,
    boot: u32,
    run: Run,
    stopped_at: Option<Timestamp>,
    full: Vec<bool>,
    heartbeat_at: Option<Timestamp>,
    state_at: Timestamp,
    edge_heard: Option<Timestamp>,
    item_last: u32,
    items: BTreeMap<u32, Item>,
    /// Answers to the commands of this boot, by item.
    answers: BTreeMap<u32, Answer>,
    /// Results that no edge heartbeat has confirmed, with the time of the next publication.
    results: VecDeque<(Timestamp, Outcome)>,
    result_last: u32,
    deliveries: Vec<Delivery>,
    violations: Vec<Violation>,
    repeats: u64,
}

type Out<'a> = &'a mut dyn FnMut(&str, &[u8]);

impl Sorter {
    /// A sorter in its first boot, its belt running, without a connection.
    pub fn new(settings: SorterSettings) -> Self {
        Self {
            full: vec![false; settings.chutes.len()],
            settings,
            boot: 1,
            run: Run::Running,
            stopped_at: None,
            heartbeat_at: None,
            state_at: Timestamp::EPOCH,
            edge_heard: None,
            item_last: 0,
            items: BTreeMap::new(),
            answers: BTreeMap::new(),
            results: VecDeque::new(),
            result_last: 0,
            deliveries: Vec::new(),
            violations: Vec::new(),
            repeats: 0,
        }
    }

    /// The same in a later boot: for a sorter that remembers its count of starts, or the time of them. From 1.
    pub fn with_boot(self, boot: u32) -> Self {
        Self { boot: boot.max(1), ..self }
    }

    /// What happened to each item, in order of time.
    pub fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// As [`deliveries`](Self::deliveries), but hands them over: for a sorter that runs for days.
    pub fn take_deliveries(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.deliveries)
    }

    /// What a correct edge would not have sent: the first 1024.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// How many commands were repeats of one that was answered before.
    pub fn repeats(&self) -> u64 {
        self.repeats
    }

    /// Items on the belt.
    pub fn on_belt(&self) -> usize {
        self.items.len()
    }

    /// The count of starts.
    pub fn boot(&self) -> u32 {
        self.boot
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
        let Self { items, boot, deliveries, .. } = self;
        deliveries.extend(std::mem::take(items).into_iter().map(|(item, on_belt)| Delivery {
            boot: *boot,
            item,
            code: on_belt.code,
            commanded: on_belt.commanded,
            decided_at: on_belt.decided.map(|decided| decided.at),
            outcome: End::Lost,
            chute: None,
            at: now,
        }));
        self.boot += 1;
        (self.run, self.stopped_at, self.edge_heard) = (Run::Running, None, None);
        (self.item_last, self.result_last) = (0, 0);
        self.answers.clear();
        self.results.clear();
        self.state_at = now;
        self.tick(now, out);
    }

    /// An item passes the scan point; `None` is a no-read. Gives its number.
    pub fn induct(&mut self, now: Timestamp, code: Option<Code>, out: Out<'_>) -> u32 {
        self.tick(now, out);
        self.item_last += 1;
        let (boot, item, to_decision) = (self.boot, self.item_last, self.settings.to_decision);
        if self.heartbeat_at.is_some() {
            let decide_in_ms = u32::try_from(to_decision.millis()).unwrap_or(u32::MAX);
            out(SCAN, &json(&Scan { boot, item, code: code.clone(), at_us: now.micros(), decide_in_ms }));
        }
        let next_at = now + to_decision;
        self.items.insert(item, Item { code, scanned_at: now, commanded: None, next_at, decided: None });
        item
    }

    /// A chute becomes full, or is emptied. Unknown codes change nothing.
    pub fn set_full(&mut self, now: Timestamp, chute: &Code, full: bool, out: Out<'_>) {
        self.tick(now, out);
        if let Some(index) = self.index(chute) {
            self.full[index] = full;
        }
        self.publish_state(now, out);
    }

    /// The belt starts or stops, by the machine's own controls.
    pub fn set_run(&mut self, now: Timestamp, run: Run, out: Out<'_>) {
        self.tick(now, out);
        self.run = run;
        match (run, self.stopped_at) {
            (Run::Running, Some(stopped_at)) => {
                self.stopped_at = None;
                for item in self.items.values_mut() {
                    item.next_at += now - stopped_at.max(item.scanned_at);
                }
            }
            (Run::Stopped | Run::Estop, None) => self.stopped_at = Some(now),
            (Run::Running, None) | (Run::Stopped | Run::Estop, Some(_)) => {}
        }
        self.publish_state(now, out);
    }

    /// An item falls off ([`End::Lost`]) or gets stuck ([`End::Jammed`]). Items not on the belt change nothing.
    pub fn fail(&mut self, now: Timestamp, item: u32, jammed: bool, out: Out<'_>) {
        self.tick(now, out);
        self.end(now, item, if jammed { End::Jammed } else { End::Lost }, None);
        self.publish_results(now, out);
    }

    /// A message arrived; `topic` is what follows the sorter's base.
    pub fn receive(&mut self, now: Timestamp, topic: &str, payload: &[u8], out: Out<'_>) {
        if self.heartbeat_at.is_none() {
            return;
        }
        self.tick(now, out);
        let read = match topic {
            EDGE_HEARTBEAT => parse(payload).map(|EdgeHeartbeat { boot, results_to }| {
                self.edge_heard = Some(now);
                if boot == Some(self.boot) {
                    self.results.retain(|(_, result)| result.n > results_to);
                }
            }),
            DIVERT => parse(payload).and_then(|divert| {
                let ack = self.obey(now, &divert)?;
                self.edge_heard = Some(now);
                out(ACK, &json(&ack));
                Ok(())
            }),
            _ => Err("unknown topic".to_owned()),
        };
        if let Err(what) = read {
            self.violation(Violation::Malformed(format!("{topic}: {what}")));
        }
    }

    fn violation(&mut self, violation: Violation) {
        if self.violations.len() < MEMORY {
            self.violations.push(violation);
        }
    }

    fn obey(&mut self, now: Timestamp, divert: &Divert) -> Result<Ack, String> {
        let (boot, item) = command_item(&divert.command).ok_or("command is no BOOT-ITEM")?;
        let answer = |refused: Option<&str>| Ack {
            command: divert.command.clone(),
            accepted: refused.is_none(),
            reason: refused.map(str::to_owned),
        };
        if boot != self.boot {
            // Sent before the edge could know that this boot began.
            return Ok(answer(Some("the sorter started anew")));
        }
        if let Some(before) = self.answers.get(&item) {
            if before.chute == divert.chute {
                self.repeats += 1;
                return Ok(answer(before.refused.as_deref()));
            }
            self.violation(Violation::Contradiction { item });
            return Ok(answer(Some("the item was commanded to another chute before")));
        }
        let Some(index) = self.index(&divert.chute) else {
            self.violation(Violation::UnknownChute { chute: divert.chute.clone() });
            return Ok(answer(Some("there is no such chute")));
        };
        if item == 0 || item > self.item_last {
            self.violation(Violation::UnknownItem { item });
            return Ok(answer(Some("there is no such item")));
        }
        let refused = match self.items.get_mut(&item) {
            _ if self.full[index] => Some("the chute is full"),
            Some(on_belt) if on_belt.decided.is_none() && divert.valid_for_ms > 0 => {
                on_belt.commanded = Some((divert.chute.clone(), now));
                None
            }
            Some(_) | None => {
                self.violation(Violation::Late { item });
                Some("the item has passed its decision point")
            }
        };
        self.answers.insert(item, Answer { chute: divert.chute.clone(), refused: refused.map(str::to_owned) });
        if self.answers.len() > MEMORY {
            self.answers.pop_first();
        }
        Ok(answer(refused))
    }

    /// Time has passed: items move on.
    pub fn tick(&mut self, now: Timestamp, out: Out<'_>) {
        while let Some((at, item)) = self.next_on_belt().filter(|(at, _)| *at <= now) {
            self.move_on(at, item);
        }
        self.publish_results(now, out);
        if let Some(due) = self.heartbeat_at.filter(|due| *due <= now) {
            if self.state_at <= now {
                self.publish_state(now, out);
            }
            out(HEARTBEAT, &json(&Heartbeat { boot: self.boot, at_us: now.micros() }));
            // Missed beats are not made up for.
            self.heartbeat_at = Some(now.max(due) + HEARTBEAT_PERIOD);
        }
    }

    /// When to call [`tick`](Self::tick) if nothing else happens; `None` while there is nothing to wait for.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let results = self.results.iter().map(|(at, _)| *at).filter(|_| self.heartbeat_at.is_some());
        self.next_on_belt().map(|(at, _)| at).into_iter().chain(self.heartbeat_at).chain(results).min()
    }

    /// The first item to reach its decision point or chute; none while the belt stands.
    fn next_on_belt(&self) -> Option<(Timestamp, u32)> {
        let moving = self.items.iter().filter(|_| self.stopped_at.is_none());
        moving.map(|(item, on_belt)| (on_belt.next_at, *item)).min()
    }

    /// An item reaches its decision point or its chute at `at`.
    fn move_on(&mut self, at: Timestamp, item: u32) {
        let edge_lives = self.edge_heard.is_some_and(|heard| at - heard <= SILENCE_MAX);
        let Some(on_belt) = self.items.get(&item) else { return };
        if let Some(Decided { chute, outcome, .. }) = &on_belt.decided {
            let (chute, outcome) = (chute.clone(), *outcome);
            return self.end(at, item, outcome, Some(chute));
        }
        let hospital = &self.settings.hospital;
        let free = |chute: &&Code| self.index(chute).is_some_and(|index| !self.full[index]);
        let goal = on_belt.commanded.as_ref().map(|(chute, _)| chute).filter(|_| edge_lives);
        let (chute, outcome) = match goal {
            Some(chute) if free(&chute) => (chute, End::Diverted),
            Some(_) => (hospital, End::Full),
            None => (hospital, End::Missed),
        };
        let decided = Decided { at, chute: chute.clone(), outcome };
        let chutes_on = self.index(chute).unwrap_or(self.settings.chutes.len()) as i64;
        let between = Duration::from_micros(self.settings.between_chutes.micros().saturating_mul(chutes_on));
        let next_at = at + self.settings.to_chutes + between;
        if let Some(on_belt) = self.items.get_mut(&item) {
            (on_belt.decided, on_belt.next_at) = (Some(decided), next_at);
        }
    }

    fn end(&mut self, at: Timestamp, item: u32, outcome: End, chute: Option<Code>) {
        let Some(Item { code, commanded, decided, .. }) = self.items.remove(&item) else { return };
        let boot = self.boot;
        self.result_last += 1;
        let command = commanded.is_some().then(|| command_id(boot, item));
        let result = Outcome { n: self.result_last, held_from: 1, boot, item, command, outcome, chute: chute.clone() };
        self.results.push_back((at, result));
        if self.results.len() > MEMORY {
            self.results.pop_front();
        }
        let decided_at = decided.map(|decided| decided.at);
        self.deliveries.push(Delivery { boot, item, code, commanded, decided_at, outcome, chute, at });
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
        let chutes = self.settings.chutes.iter().zip(&self.full);
        let chutes = chutes.map(|(chute, full)| Chute { chute: chute.clone(), full: *full }).collect();
        let state = State { boot: self.boot, run: self.run, chutes };
        out(STATE, &json(&Online { online: true, state: &state }));
        self.state_at = now + STATE_PERIOD;
    }

    fn index(&self, chute: &Code) -> Option<usize> {
        self.settings.chutes.iter().position(|other| other == chute)
    }
}
