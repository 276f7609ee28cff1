//! The engine's thread: gives it inputs and time, commits its batches, carries its effects to the drivers.

use super::clock::Clock;
use super::inlet::{Inlet, Message};
use super::reads::{Entry, Reads};
use crate::followers::Bell;
use crate::web::{FactLine, What};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration as StdDuration;
use stowage_base::{Duration, Timestamp};
use stowage_core::commit::Outcome;
use stowage_core::input::{DeviceEvent, Reply};
use stowage_core::site::DeviceIx;
use stowage_core::view::View;
use stowage_core::{Commit, Effect, Engine, Input};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// Messages handled before reads get their turn, and before time and commits are looked at.
const URGENT_AT_ONCE: usize = 256;

/// Reads handled before urgent messages get their turn: well under a millisecond.
const READS_AT_ONCE: usize = 1_024;

/// How often a new picture is made for pages, at most.
const VIEW_EVERY: Duration = Duration::from_millis(250);

/// How long to wait for the last commits when stopping.
const FAREWELL: StdDuration = StdDuration::from_secs(5);

/// Batches under way: one is committed while the next one waits.
const UNDER_WAY_MAX: usize = 2;

/// Where effects and news go.
pub(crate) struct Outlets {
    /// To each device's driver, by device.
    pub(crate) devices: Vec<mpsc::Sender<Effect>>,
    /// Durable facts.
    pub(crate) facts: broadcast::Sender<Arc<FactLine>>,
    /// The picture of the moment.
    pub(crate) view: watch::Sender<Arc<View>>,
    /// Wakes followers.
    pub(crate) bell: Bell,
}

/// The loop's state.
pub(crate) struct EngineLoop<C> {
    engine: Engine,
    commit: C,
    inlet: Inlet,
    outlets: Outlets,
    clock: Arc<Clock>,
    /// Lines of batches that are not durable yet.
    lines: VecDeque<Arc<FactLine>>,
    replies: BTreeMap<u64, oneshot::Sender<Reply>>,
    request: u64,
    /// Devices whose ports wait to be looked into, with what was taken from the first.
    looks: VecDeque<DeviceIx>,
    taken: Reads,
    next: usize,
    view_at: Timestamp,
    changed: bool,
}

impl<C: Commit> EngineLoop<C> {
    /// A loop over an engine that was started.
    pub(crate) fn new(engine: Engine, commit: C, inlet: Inlet, outlets: Outlets, clock: Arc<Clock>) -> Self {
        Self {
            engine,
            commit,
            inlet,
            outlets,
            clock,
            lines: VecDeque::new(),
            replies: BTreeMap::new(),
            request: 0,
            looks: VecDeque::new(),
            taken: Reads::new(),
            next: 0,
            view_at: Timestamp::EPOCH,
            changed: true,
        }
    }

    /// Runs until [`Message::Stop`]; returns when everything decided is durable, or can't be made so.
    pub(crate) fn run(mut self) {
        while self.turn() {}
        // What the devices still told is decided as well.
        while self.next < self.taken.entries().len() || !self.looks.is_empty() {
            self.read();
        }
        let deadline = std::time::Instant::now() + FAREWELL;
        loop {
            self.exchange();
            let idle = !self.engine.has_batch() && self.commit.under_way() == 0;
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if idle || left.is_zero() {
                return;
            }
            let _ = self.inlet.messages.recv_timeout(left);
        }
    }

    /// One turn; `false` when it is time to stop.
    fn turn(&mut self) -> bool {
        self.exchange();
        self.show();
        let mut message = self.wait();
        for _ in 0..URGENT_AT_ONCE {
            match message {
                Some(Message::Stop) => return false,
                Some(message) => self.handle(message),
                None => break,
            }
            message = self.inlet.messages.try_recv().ok();
        }
        match message {
            Some(Message::Stop) => return false,
            Some(message) => self.handle(message),
            None => {}
        }
        self.read();
        self.engine.tick(self.clock.now());
        true
    }

    /// Waits for a message until something is due.
    fn wait(&mut self) -> Option<Message> {
        if self.next < self.taken.entries().len() || !self.looks.is_empty() {
            return self.inlet.messages.try_recv().ok();
        }
        let now = self.clock.now();
        // Even an idle site shows that it lives.
        let view_due = if self.changed { self.view_at } else { self.view_at + Duration::from_secs(1) };
        let due = self.engine.next_deadline().map_or(view_due, |due| due.min(view_due));
        match self.inlet.messages.recv_timeout(due.since(now).into()) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            // The runtime holds a sender until it has sent Stop.
            Err(RecvTimeoutError::Disconnected) => Some(Message::Stop),
        }
    }

    fn handle(&mut self, message: Message) {
        let now = self.clock.now();
        self.changed = true;
        match message {
            Message::Input(device, input) => {
                self.inlet.handled(device);
                self.engine.input(now, input);
            }
            Message::Look(device) => self.looks.push_back(device),
            Message::Committed | Message::Stop => {}
            Message::Asked(asked) => {
                self.request += 1;
                let request = self.request;
                self.replies.insert(request, asked.reply);
                let input = match asked.what {
                    What::Announce { code, route } => Input::Announce { request, code, route },
                    What::Settle { discrepancy } => Input::Settle { request, discrepancy },
                    What::Transport { id, from, to } => Input::Transport { request, id, from, to },
                    What::CancelTransport { id } => Input::CancelTransport { request, id },
                    What::Emptied { robot } => Input::Emptied { request, robot },
                };
                self.engine.input(now, input);
            }
        }
    }

    /// Gives the engine some of the waiting reads.
    fn read(&mut self) {
        for _ in 0..READS_AT_ONCE {
            let Some(entry) = self.taken.entries().get(self.next).copied() else {
                self.taken.clear();
                self.next = 0;
                let Some(device) = self.looks.pop_front() else { return };
                self.look(device);
                continue;
            };
            self.next += 1;
            let now = self.clock.now();
            match entry {
                Entry::Read(point, read) => self.engine.read(now, point, &read),
                Entry::Visit(point, visit) => self.engine.input(now, Input::Visit { point, visit }),
            }
        }
    }

    fn look(&mut self, device: DeviceIx) {
        let events = self.inlet.look(device, &mut self.taken);
        let now = self.clock.now();
        let lost = self.taken.lost();
        for event in events {
            self.engine.input(now, Input::Device { device, event });
        }
        if lost > 0 {
            let what = format!("{lost} reads found no room: more different tags than a reader can hear");
            let event = DeviceEvent::Fault { count: lost, what };
            self.engine.input(now, Input::Device { device, event });
        }
    }

    /// Commits, and carries out what may be carried out.
    fn exchange(&mut self) {
        let now = self.clock.now();
        while let Some(outcome) = self.commit.poll(now) {
            self.changed = true;
            match outcome {
                Outcome::Durable { seq } => {
                    while self.lines.front().is_some_and(|line| line.seq <= seq) {
                        let Some(line) = self.lines.pop_front() else { break };
                        // Nobody may be looking.
                        let _ = self.outlets.facts.send(line);
                    }
                    self.outlets.bell.ring(seq);
                    self.engine.durable(now, seq);
                }
                Outcome::Failed { reason } => {
                    tracing::error!(%reason, "facts can't be stored; intents are refused until they can");
                    self.engine.failed(now, &reason);
                }
            }
        }
        let site = Arc::clone(self.engine.site());
        for effect in self.engine.effects() {
            let device = match &effect {
                Effect::Answer { scanner, .. }
                | Effect::Refuse { scanner, .. }
                | Effect::AddTask { scanner, .. }
                | Effect::RemoveTask { scanner, .. } => *scanner,
                Effect::Divert { sorter, .. } | Effect::Recorded { sorter, .. } => *sorter,
                Effect::Drive { robot, .. } | Effect::CancelDrive { robot, .. } => *robot,
                Effect::Reply { request, reply } => {
                    if let Some(waiting) = self.replies.remove(request) {
                        let _ = waiting.send(reply.clone());
                    }
                    continue;
                }
            };
            // A driver that doesn't take its effects is stuck. A scanner asks again, a sorter repeats its results, a
            // command that is not sent is missed.
            if self.outlets.devices[usize::from(device.0)].try_send(effect).is_err() {
                tracing::warn!(device = %site.device(device).code, "its driver takes no effects");
            }
        }
        while self.commit.under_way() < UNDER_WAY_MAX
            && let Some(batch) = self.engine.take_batch()
        {
            let line = |entry: &stowage_core::commit::Entry| FactLine { seq: entry.fact.seq, line: entry.line.clone() };
            self.lines.extend(batch.entries.iter().map(|entry| Arc::new(line(entry))));
            self.commit.submit(now, batch);
        }
    }

    fn show(&mut self) {
        let now = self.clock.now();
        let idle = Duration::from_secs(1);
        if now >= self.view_at + if self.changed { Duration::ZERO } else { idle } {
            self.view_at = now + VIEW_EVERY;
            self.changed = false;
            let _ = self.outlets.view.send(Arc::new(self.engine.view(now)));
        }
    }
}
