//! The scanners' link: both ends.

use crate::steps::{START, Step, Steps};
use stowage_base::{Code, Intent, IntentBody, ItemRef, Level, TextKey, Verdict, code};
use stowage_link::{
    Change, EdgeEnd, EdgeSink, EnrolmentKey, Feed, Position, Progress, ScannerEnd, ScannerEvent, ScannerSink, Standing,
    Why,
};

const KEY: EnrolmentKey = [7; 32];
const RANDOM: [u8; 16] = [9; 16];

/// An edge that knows every device by one key, and answers each intent at once.
#[derive(Default)]
struct Edge {
    taken: u32,
    intents: Vec<u32>,
}

impl EdgeSink for Edge {
    fn send(&mut self, _: &[u8]) {}
    fn key(&mut self, _: &Code) -> Option<EnrolmentKey> {
        Some(KEY)
    }
    fn up(&mut self, _: &Code) -> Progress {
        Progress { acked: self.taken, taken: self.taken }
    }
    fn down(&mut self, _: Why) {}
    fn intent(&mut self, intent: Intent) {
        assert_eq!(intent.seq, self.taken + 1, "each once, without gaps");
        self.taken = intent.seq;
        self.intents.push(intent.seq);
    }
    fn repeated(&mut self, intent: Intent) {
        assert!(intent.seq <= self.taken);
    }
    fn lost(&mut self, _: u32, answered: u32) {
        self.taken = answered;
    }
    fn epoch(&mut self, _: Feed) -> u32 {
        1
    }
    fn change_after(&mut self, _: Feed, _: u32) -> Option<(u32, Change)> {
        None
    }
}

/// The edge's end bears whatever a scanner says.
pub(crate) fn edge(data: &[u8]) {
    let (mut now, mut sink) = (START, Edge::default());
    let mut end = EdgeEnd::new();
    end.connected(now, RANDOM);
    for step in Steps(data) {
        match step {
            Step::Octets(octets) => end.receive(now, octets, &mut sink),
            Step::Wait(wait) => {
                now += wait;
                end.tick(now, &mut sink);
            }
        }
        for seq in std::mem::take(&mut sink.intents) {
            end.answer(seq, &Verdict::new(Level::Ok, TextKey::Kept, &[]), &mut sink);
        }
        if end.over().is_some() {
            end.disconnected(&mut sink);
            end.connected(now, RANDOM);
        }
    }
}

/// A scanner with one intent to tell.
struct Scanner {
    answered: u32,
}

impl ScannerSink for Scanner {
    fn send(&mut self, _: &[u8]) {}
    fn standing(&mut self) -> Standing {
        Standing { answered: self.answered, catalogue: Position::default(), tasks: Position::default() }
    }
    fn intent_from(&mut self, seq: u32) -> Option<Intent> {
        let body = IntentBody::See { item: ItemRef::Code(Code::new()), at: Code::new() };
        let worker = code("w").unwrap_or_default();
        (seq <= 1 && self.answered == 0).then_some(Intent { seq: 1, at: START, worker, body })
    }
    fn event(&mut self, event: ScannerEvent) {
        if let ScannerEvent::Answered { seq, .. } = event {
            assert_eq!(seq, 1, "only what was asked is answered");
            self.answered = 1;
        }
    }
}

/// The scanner's end bears whatever an edge says.
pub(crate) fn scanner(data: &[u8]) {
    let (mut now, mut sink) = (START, Scanner { answered: 0 });
    let mut end = ScannerEnd::new(code("scan-1").unwrap_or_default(), KEY);
    end.connected(now, RANDOM, &mut sink);
    for step in Steps(data) {
        match step {
            Step::Octets(octets) => end.receive(now, octets, &mut sink),
            Step::Wait(wait) => {
                now += wait;
                end.tick(now, &mut sink);
            }
        }
        if end.over().is_some() {
            end.disconnected(&mut sink);
            end.connected(now, RANDOM, &mut sink);
        }
    }
}
