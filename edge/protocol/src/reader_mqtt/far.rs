//! What simulated smart readers share: turns of their antennas, and events that wait for the broker.

use std::collections::VecDeque;
use stowage_base::{Air, Duration, TagRead, Timestamp};

/// Most violations that are kept: a client that goes on like this has been told often enough.
pub(crate) const VIOLATIONS_MAX: usize = 100;

/// How long an antenna looks before the next one's turn.
const DWELL: Duration = Duration::from_millis(100);

/// A tick that comes later than this finds the reader as after a sleep: it goes on from now.
const SLEEP: Duration = Duration::from_secs(60);

/// An inventory that runs.
#[derive(Debug, Clone)]
pub(crate) struct Inventory {
    /// Ports and powers in 1/100 dBm, at least one.
    antennas: Vec<(u16, i16)>,
    current: usize,
    began: Timestamp,
}

impl Inventory {
    pub(crate) fn new(now: Timestamp, antennas: Vec<(u16, i16)>) -> Self {
        Self { antennas, current: 0, began: now }
    }

    /// Lets the antennas look up to `now`; `connected` says whether something is at a port.
    pub(crate) fn run(
        &mut self,
        now: Timestamp,
        air: &mut dyn Air,
        connected: impl Fn(u16) -> bool,
        heard: &mut dyn FnMut(&TagRead),
    ) {
        if now - self.began > SLEEP {
            self.began = now - DWELL;
        }
        while let Some((port, power)) = self.antennas.get(self.current).copied().filter(|_| self.began + DWELL <= now) {
            let end = self.began + DWELL;
            if connected(port) {
                air.interrogate(port, power, self.began, end, heard);
            }
            (self.began, self.current) = (end, (self.current + 1) % self.antennas.len());
        }
    }

    pub(crate) fn next_deadline(&self) -> Timestamp {
        self.began + DWELL
    }
}

/// Events that wait for the broker, the oldest first; when it is full, the oldest are purged.
#[derive(Debug, Default)]
pub struct Backlog {
    events: VecDeque<Vec<u8>>,
    purged: u64,
}

impl Backlog {
    /// Keeps an event, of at most `limit`.
    pub(crate) fn keep(&mut self, event: Vec<u8>, limit: usize) {
        self.events.push_back(event);
        while self.events.len() > limit {
            self.events.pop_front();
            self.purged += 1;
        }
    }

    /// Takes what is kept, and how many were purged.
    pub(crate) fn take(&mut self) -> (VecDeque<Vec<u8>>, u64) {
        (std::mem::take(&mut self.events), std::mem::take(&mut self.purged))
    }

    /// How many events wait.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}
