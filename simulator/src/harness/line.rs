//! The way between the edge and one device: each thing takes its time, and keeps its order.

use super::chance::Chance;
use std::collections::VecDeque;
use stowage_base::{Duration, Timestamp};

/// What travels: octets of a stream, or a message under a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    /// Empty for a stream.
    pub(super) topic: String,
    pub(super) octets: Vec<u8>,
}

/// Who is to have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    Edge,
    Device,
}

/// How a line treats what it carries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub(super) latency: Duration,
    pub(super) jitter: Duration,
    /// Of a thousand messages; a stream loses and repeats nothing.
    pub(super) lost: u32,
    pub(super) repeated: u32,
}

/// Both ways between the edge and one device.
#[derive(Debug)]
pub(super) struct Line {
    manner: Manner,
    /// One for each way: what travels one way leaves the other as it is.
    chances: [Chance; 2],
    ways: [VecDeque<(Timestamp, Packet)>; 2],
    /// Nothing arrives before.
    held_until: Timestamp,
}

impl Line {
    pub(super) fn new(manner: Manner, chances: [Chance; 2]) -> Self {
        Self { manner, chances, ways: [VecDeque::new(), VecDeque::new()], held_until: Timestamp::EPOCH }
    }

    /// From now on nothing is lost or repeated.
    pub(super) fn mend(&mut self) {
        (self.manner.lost, self.manner.repeated, self.held_until) = (0, 0, Timestamp::EPOCH);
    }

    pub(super) fn send(&mut self, now: Timestamp, to: To, packet: Packet) {
        let Manner { latency, jitter, lost, repeated } = self.manner;
        let chance = &mut self.chances[to as usize];
        let message = !packet.topic.is_empty();
        if message && chance.permille(lost) {
            return;
        }
        let times = if message && chance.permille(repeated) { 2 } else { 1 };
        for _ in 0..times {
            let way = &mut self.ways[to as usize];
            let before = way.back().map_or(now, |(at, _)| *at);
            way.push_back((before.max(now + latency + chance.span(jitter)), packet.clone()));
        }
    }

    /// The next thing that has arrived.
    pub(super) fn arrived(&mut self, now: Timestamp, to: To) -> Option<Packet> {
        let way = &mut self.ways[to as usize];
        let due = way.front().is_some_and(|(at, _)| *at <= now) && self.held_until <= now;
        due.then(|| way.pop_front()).flatten().map(|(_, packet)| packet)
    }

    /// When the next thing arrives.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.ways.iter().filter_map(|way| way.front()).map(|(at, _)| (*at).max(self.held_until)).min()
    }

    /// Holds everything up until then.
    pub(super) fn hold(&mut self, until: Timestamp) {
        self.held_until = self.held_until.max(until);
    }

    /// What is under way is lost.
    pub(super) fn clear(&mut self) {
        self.ways.iter_mut().for_each(VecDeque::clear);
    }
}
