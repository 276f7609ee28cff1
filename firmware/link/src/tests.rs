//! Two peers, one fake clock, a line that does its worst.

extern crate std;

use crate::channel::{BODY_LEN_MAX, Channel, Incoming, Side};
use crate::message::{Greeting, ToEdge, ToScanner};
use crate::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::string::String;
use std::vec::Vec;
use std::{format, vec};
use stowage_base::{Code, Duration, Epc, Intent, IntentBody, ItemRef, Level, TextKey, Timestamp, Verdict, code};

const KEY: EnrolmentKey = *b"a key of thirty-two octets, no m";

fn name(text: &str) -> Code {
    code(text).expect("short")
}

fn intent(seq: u32) -> Intent {
    Intent {
        seq,
        at: Timestamp::from_micros(1_795_558_200_000_000 + i64::from(seq)),
        worker: name("W-7"),
        body: IntentBody::PutAway {
            item: ItemRef::Gtin { gtin: 9_506_000_134_352, lot: Some(name("L1")), serial: None, expiry: Some(271_231) },
            quantity: seq,
            to: name("A-03-2"),
        },
    }
}

fn verdict(seq: u32) -> Verdict {
    Verdict::new(Level::Ok, TextKey::Moved, &[&format!("{seq}"), "MUG", "A-03-2"])
}

/// A small generator, so that a seed names a run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }

    fn random(&mut self) -> Random {
        let mut random = Random::default();
        random.iter_mut().for_each(|octet| *octet = self.below(256) as u8);
        random
    }
}

/// What the line does to octets: each rate is "one in so many", 0 is never.
#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    drop: u64,
    flip: u64,
    repeat: u64,
    tear: u64,
}

/// One direction of a line: octets take their time, in chunks.
#[derive(Default)]
struct Line {
    under_way: VecDeque<(Timestamp, Vec<u8>)>,
    free_at: Timestamp,
}

impl Line {
    fn carry(&mut self, now: Timestamp, octets: Vec<u8>, faults: Faults, dice: &mut Dice) {
        let mut chunk = Vec::new();
        self.free_at = self.free_at.max(now);
        for octet in octets {
            self.free_at += Duration::from_micros(1_042); // ten bits at 9600 Bd
            if dice.one_in(faults.drop) {
                continue;
            }
            chunk.push(if dice.one_in(faults.flip) { octet ^ 1 << dice.below(8) } else { octet });
            if dice.one_in(faults.repeat) {
                chunk.extend_from_within(..);
            }
            if dice.one_in(faults.tear) {
                self.under_way.push_back((self.free_at, std::mem::take(&mut chunk)));
            }
        }
        self.under_way.push_back((self.free_at, chunk));
    }
}

/// The handheld around its end.
#[derive(Default)]
struct Handheld {
    out: Vec<u8>,
    store: VecDeque<Intent>,
    answered: Vec<(u32, Verdict)>,
    last: u32,
    positions: [Position; 2],
    mirror: [Vec<Change>; 2],
    time: Option<(Timestamp, Duration)>,
    refused: u32,
    ups: u32,
}

impl ScannerSink for Handheld {
    fn send(&mut self, octets: &[u8]) {
        assert!(octets.len() <= WIRE_LEN_MAX);
        self.out.extend_from_slice(octets);
    }
    fn standing(&mut self) -> Standing {
        let answered = self.store.front().map_or(self.last, |intent| intent.seq - 1);
        Standing { answered, catalogue: self.positions[0], tasks: self.positions[1] }
    }
    fn intent_from(&mut self, seq: u32) -> Option<Intent> {
        self.store.iter().find(|intent| intent.seq >= seq).cloned()
    }
    fn event(&mut self, event: ScannerEvent) {
        match event {
            ScannerEvent::Up { acked } => {
                self.ups += 1;
                self.last = self.last.max(acked);
            }
            ScannerEvent::Down(_) => {}
            ScannerEvent::Time { at, error } => self.time = Some((at, error)),
            ScannerEvent::Answered { seq, verdict } => {
                assert_eq!(self.store.pop_front().map(|intent| intent.seq), Some(seq), "in order, once");
                self.answered.push((seq, verdict));
            }
            ScannerEvent::Refused { .. } => self.refused += 1,
            ScannerEvent::Cleared(feed) => {
                self.mirror[feed as usize].clear();
                self.positions[feed as usize].epoch = 0;
            }
            ScannerEvent::Changed { feed, position, change } => {
                self.mirror[feed as usize].push(change);
                self.positions[feed as usize] = position;
            }
        }
    }
}

/// The daemon around the other.
#[derive(Default)]
struct Daemon {
    out: Vec<u8>,
    now: Timestamp,
    /// What it took, in order; those after `acked` are gone if it restarts.
    taken: Vec<Intent>,
    acked: u32,
    /// Work under way: answers and refusals with their time.
    answers: VecDeque<(Timestamp, u32)>,
    refusals: Vec<u32>,
    failing: bool,
    epochs: [u32; 2],
    feeds: [BTreeMap<u32, Change>; 2],
    lost: Vec<(u32, u32)>,
    differing: Vec<u32>,
}

impl EdgeSink for Daemon {
    fn send(&mut self, octets: &[u8]) {
        assert!(octets.len() <= WIRE_LEN_MAX);
        self.out.extend_from_slice(octets);
    }
    fn key(&mut self, device: &Code) -> Option<EnrolmentKey> {
        (device == "SC-1").then_some(KEY)
    }
    fn up(&mut self, device: &Code) -> Progress {
        assert_eq!(device, "SC-1");
        Progress { acked: self.acked, taken: self.taken.last().map_or(self.acked, |intent| intent.seq.max(self.acked)) }
    }
    fn down(&mut self, _why: Why) {}
    fn intent(&mut self, intent: Intent) {
        let next = self.taken.last().map_or(self.acked, |intent| intent.seq.max(self.acked)) + 1;
        if self.failing || intent.seq != next {
            self.refusals.push(intent.seq);
        } else {
            self.answers.push_back((self.now + Duration::from_millis(40), intent.seq));
            self.taken.push(intent);
        }
    }
    fn repeated(&mut self, intent: Intent) {
        if !self.taken.contains(&intent) {
            self.differing.push(intent.seq);
        }
        self.answers.push_back((self.now + Duration::from_millis(40), intent.seq));
    }
    fn lost(&mut self, acked: u32, answered: u32) {
        self.lost.push((acked, answered));
        self.acked = answered;
    }
    fn epoch(&mut self, feed: Feed) -> u32 {
        self.epochs[feed as usize]
    }
    fn change_after(&mut self, feed: Feed, version: u32) -> Option<(u32, Change)> {
        self.feeds[feed as usize].range(version + 1..).next().map(|(version, change)| (*version, change.clone()))
    }
}

struct Pair {
    now: Timestamp,
    dice: Dice,
    faults: Faults,
    scanner: ScannerEnd,
    handheld: Handheld,
    edge: EdgeEnd,
    daemon: Daemon,
    up_line: Line,
    down_line: Line,
}

impl Pair {
    fn new(seed: u64, faults: Faults) -> Self {
        let mut pair = Self {
            now: Timestamp::from_micros(1_795_558_200_000_000),
            dice: Dice(seed),
            faults,
            scanner: ScannerEnd::new(name("SC-1"), KEY),
            handheld: Handheld::default(),
            edge: EdgeEnd::new(),
            daemon: Daemon { epochs: [1, 1], ..Daemon::default() },
            up_line: Line::default(),
            down_line: Line::default(),
        };
        pair.connect();
        pair
    }

    /// The scanner's clock is its own: it counts from its start.
    fn scanner_now(&self) -> Timestamp {
        self.now - Duration::from_secs(1_000_000_000)
    }

    fn connect(&mut self) {
        (self.up_line, self.down_line) = (Line::default(), Line::default());
        self.edge.connected(self.now, self.dice.random());
        self.scanner.connected(self.scanner_now(), self.dice.random(), &mut self.handheld);
    }

    fn disconnect(&mut self) {
        self.scanner.disconnected(&mut self.handheld);
        self.edge.disconnected(&mut self.daemon);
        (self.handheld.out, self.daemon.out) = (vec![], vec![]);
    }

    fn restart_scanner(&mut self) {
        self.disconnect();
        self.scanner = ScannerEnd::new(name("SC-1"), KEY);
        (self.handheld.positions, self.handheld.mirror) = Default::default();
        self.connect();
    }

    fn restart_edge(&mut self) {
        self.disconnect();
        self.edge = EdgeEnd::new();
        let acked = self.daemon.acked;
        self.daemon.taken.retain(|intent| intent.seq <= acked);
        self.daemon.answers.clear();
        self.connect();
    }

    fn scan(&mut self, count: u32) {
        for _ in 0..count {
            self.handheld.last += 1;
            self.handheld.store.push_back(intent(self.handheld.last));
        }
        self.scanner.stored(self.scanner_now(), &mut self.handheld);
    }

    fn publish(&mut self, feed: Feed, version: u32, change: Change) {
        self.daemon.feeds[feed as usize].insert(version, change);
        self.edge.news(self.now, &mut self.daemon);
    }

    /// Lets things happen for `span`, each in its time.
    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.daemon.now = self.now;
            for seq in std::mem::take(&mut self.daemon.refusals) {
                self.edge.refuse(seq, Duration::from_secs(2), &mut self.daemon);
            }
            while self.daemon.answers.front().is_some_and(|(at, _)| *at <= self.now) {
                let (_, seq) = self.daemon.answers.pop_front().expect("there is one");
                self.daemon.acked = self.daemon.acked.max(seq);
                self.edge.answer(seq, &verdict(seq), &mut self.daemon);
            }
            self.scanner.tick(self.scanner_now(), &mut self.handheld);
            self.edge.tick(self.now, &mut self.daemon);
            if self.scanner.over().is_some() || self.edge.over().is_some() {
                self.disconnect();
                self.connect();
            }
            let (up, down) = (std::mem::take(&mut self.handheld.out), std::mem::take(&mut self.daemon.out));
            if !up.is_empty() {
                self.up_line.carry(self.now, up, self.faults, &mut self.dice);
            }
            if !down.is_empty() {
                self.down_line.carry(self.now, down, self.faults, &mut self.dice);
            }
            let skew = self.now - self.scanner_now();
            let next = [
                self.scanner.next_deadline().map(|at| at + skew),
                self.edge.next_deadline(),
                self.up_line.under_way.front().map(|(at, _)| *at),
                self.down_line.under_way.front().map(|(at, _)| *at),
                self.daemon.answers.front().map(|(at, _)| *at),
            ];
            let next = next.into_iter().flatten().min().expect("someone always waits");
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            self.daemon.now = self.now;
            while self.up_line.under_way.front().is_some_and(|(at, _)| *at <= self.now) {
                let (_, chunk) = self.up_line.under_way.pop_front().expect("there is one");
                self.edge.receive(self.now, &chunk, &mut self.daemon);
            }
            while self.down_line.under_way.front().is_some_and(|(at, _)| *at <= self.now) {
                let (_, chunk) = self.down_line.under_way.pop_front().expect("there is one");
                self.scanner.receive(self.scanner_now(), &chunk, &mut self.handheld);
            }
        }
    }

    /// The laws: what was scanned arrived once, in order, and each has its answer.
    fn check_all_done(&self, scanned: u32) {
        assert_eq!(self.daemon.taken, (1..=scanned).map(intent).collect::<Vec<_>>());
        assert_eq!(self.handheld.answered, (1..=scanned).map(|seq| (seq, verdict(seq))).collect::<Vec<_>>());
        assert_eq!(self.daemon.differing, []);
        assert!(self.handheld.store.is_empty());
    }
}

fn secs(secs: i64) -> Duration {
    Duration::from_secs(secs)
}

fn item(number: u32) -> Change {
    Change::Item(Item {
        alias: Alias::Gtin(number.into()),
        item: name(&format!("ITEM-{number}")),
        name: heapless::String::try_from("Mug, blue").expect("short"),
        serialised: false,
    })
}

#[test]
fn an_intent_is_answered_within_a_second_at_9600_baud() {
    let mut pair = Pair::new(1, Faults::default());
    pair.run(secs(1));
    assert!(pair.scanner.up());
    pair.scan(1);
    pair.run(secs(1));
    pair.check_all_done(1);
}

#[test]
fn the_scanner_learns_the_time() {
    let mut pair = Pair::new(2, Faults::default());
    let began = pair.now;
    pair.run(secs(9));
    let (at, error) = pair.handheld.time.expect("asked at once");
    assert!(error < Duration::from_millis(250), "{error:?}");
    assert!(at > began && at < began + secs(1));
}

#[test]
fn at_most_a_window_is_under_way() {
    let mut pair = Pair::new(3, Faults::default());
    pair.run(secs(1));
    pair.scan(20);
    let mut deframer = crate::frame::Deframer::default();
    let frames = pair.handheld.out.iter().filter(|octet| matches!(deframer.push(**octet), Some(Ok(_)))).count();
    assert_eq!(frames, WINDOW as usize);
    pair.run(secs(20));
    pair.check_all_done(20);
}

#[test]
fn what_was_scanned_offline_follows_on_connecting() {
    let mut pair = Pair::new(4, Faults::default());
    pair.disconnect();
    pair.scan(50);
    pair.connect();
    pair.run(secs(60));
    pair.check_all_done(50);
}

#[test]
fn a_lost_answer_is_given_again_after_a_reconnect() {
    let mut pair = Pair::new(5, Faults::default());
    pair.run(secs(1));
    pair.scan(3);
    while pair.daemon.acked < 3 {
        pair.run(Duration::from_millis(1));
    }
    pair.restart_scanner();
    assert!(pair.handheld.answered.len() < 3, "at least one answer was on the line");
    pair.run(secs(5));
    pair.check_all_done(3);
}

#[test]
fn an_answer_that_never_reached_the_link_is_asked_for_on_the_same_connection() {
    let mut pair = Pair::new(5, Faults::default());
    pair.run(secs(1));
    pair.scan(1);
    while pair.daemon.answers.pop_front().is_none() {
        pair.run(Duration::from_millis(1));
    }
    pair.run(secs(10));
    pair.check_all_done(1);
}

#[test]
fn an_edge_that_cannot_record_is_asked_again_later() {
    let mut pair = Pair::new(6, Faults::default());
    pair.run(secs(1));
    pair.daemon.failing = true;
    pair.scan(5);
    pair.run(secs(10));
    assert!(pair.handheld.refused > 1);
    assert_eq!(pair.handheld.store.len(), 5, "they stay in the scanner");
    pair.daemon.failing = false;
    pair.run(secs(10));
    pair.check_all_done(5);
}

#[test]
fn an_edge_back_from_a_backup_goes_on_behind_the_scanner() {
    let mut pair = Pair::new(7, Faults::default());
    pair.scan(5);
    pair.run(secs(10));
    pair.daemon.acked = 2;
    pair.daemon.taken.truncate(2);
    pair.restart_edge();
    pair.scan(1);
    pair.run(secs(10));
    assert_eq!(pair.daemon.lost, [(2, 5)]);
    assert_eq!(pair.daemon.taken.last(), Some(&intent(6)));
    assert!(pair.handheld.store.is_empty());
}

#[test]
fn a_scanner_that_lost_its_memory_is_told_where_to_go_on() {
    let mut pair = Pair::new(8, Faults::default());
    pair.scan(12);
    pair.run(secs(20));
    pair.check_all_done(12);
    (pair.handheld.last, pair.handheld.answered) = (0, vec![]);
    pair.restart_scanner();
    let mut other = intent(1); // scanned before there was a link: a number that is taken
    other.worker = name("W-8");
    pair.handheld.store.push_back(other);
    pair.run(secs(5));
    assert_eq!(pair.daemon.differing, [1], "the edge is asked, and can say that it is not the same");
    pair.scan(1);
    pair.run(secs(5));
    assert_eq!(pair.handheld.answered.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1, 13]);
    assert_eq!(pair.daemon.taken.last(), Some(&intent(13)));
}

#[test]
fn the_catalogue_follows_by_its_changes_alone() {
    let mut pair = Pair::new(9, Faults::default());
    pair.run(secs(1));
    for version in [1, 2, 5, 9, 10, 11] {
        pair.publish(Feed::Catalogue, version, item(version));
    }
    pair.publish(Feed::Tasks, 1, Change::TaskGone(7));
    pair.run(secs(10));
    assert_eq!(pair.handheld.mirror[0], [1, 2, 5, 9, 10, 11].map(item));
    assert_eq!(pair.handheld.mirror[1], [Change::TaskGone(7)]);
    pair.disconnect();
    pair.connect();
    pair.publish(Feed::Catalogue, 12, item(12));
    pair.run(secs(10));
    assert_eq!(pair.handheld.mirror[0].len(), 7, "nothing comes twice");
}

#[test]
fn a_new_epoch_empties_the_mirror_even_if_nothing_follows() {
    let mut pair = Pair::new(10, Faults::default());
    pair.publish(Feed::Catalogue, 1, item(1));
    pair.run(secs(5));
    assert_eq!(pair.handheld.mirror[0].len(), 1);
    pair.daemon.epochs[0] = 2;
    pair.daemon.feeds[0].clear();
    pair.edge.news(pair.now, &mut pair.daemon);
    pair.run(secs(5));
    assert_eq!(pair.handheld.mirror[0], []);
    pair.publish(Feed::Catalogue, 1, item(3));
    pair.run(secs(5));
    assert_eq!(pair.handheld.mirror[0], [item(3)]);
}

#[test]
fn a_wrong_key_gets_nowhere_and_says_so() {
    let mut pair = Pair::new(11, Faults::default());
    pair.disconnect();
    pair.scanner = ScannerEnd::new(name("SC-1"), [0; 32]);
    pair.scan(1);
    pair.connect();
    pair.run(secs(20));
    assert!(pair.edge.counters().forged >= 3);
    assert_eq!(pair.daemon.taken, []);
    assert_eq!(pair.handheld.ups, 0);
}

#[test]
fn a_stranger_gets_no_answer() {
    let mut pair = Pair::new(12, Faults::default());
    pair.disconnect();
    pair.scanner = ScannerEnd::new(name("SC-2"), KEY);
    pair.connect();
    pair.run(secs(20));
    assert!(pair.daemon.out.is_empty() && pair.down_line.under_way.is_empty());
}

#[test]
fn silence_ends_a_session_at_both_ends() {
    let mut pair = Pair::new(13, Faults::default());
    pair.run(secs(1));
    let (scanner_now, now) = (pair.scanner_now() + secs(31), pair.now + secs(31));
    pair.scanner.tick(scanner_now, &mut pair.handheld);
    pair.edge.tick(now, &mut pair.daemon);
    assert_eq!((pair.scanner.over(), pair.edge.over()), (Some(Why::Silent), Some(Why::Silent)));
    assert_eq!((pair.scanner.next_deadline(), pair.edge.next_deadline()), (None, None));
}

#[test]
fn a_scanner_that_starts_anew_on_the_same_line_is_served() {
    let mut pair = Pair::new(14, Faults::default());
    pair.scan(2);
    pair.run(secs(5));
    pair.scanner = ScannerEnd::new(name("SC-1"), KEY);
    pair.scanner.connected(pair.scanner_now(), pair.dice.random(), &mut pair.handheld);
    pair.scan(2);
    pair.run(secs(5));
    pair.check_all_done(4);
}

#[test]
fn a_recorded_session_played_again_opens_nothing() {
    let mut pair = Pair::new(15, Faults::default());
    pair.scan(2);
    let mut recorded = Vec::new();
    for _ in 0..200 {
        recorded.extend(pair.handheld.out.iter());
        pair.run(Duration::from_millis(20));
        for (_, chunk) in pair.up_line.under_way.iter() {
            recorded.extend(chunk);
        }
    }
    let (mut edge, mut daemon) = (EdgeEnd::new(), Daemon::default());
    edge.connected(pair.now, [9; 16]);
    edge.receive(pair.now, &recorded, &mut daemon);
    assert_eq!(daemon.taken, []);
    assert!(edge.counters().forged > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Faults on: never out of order, never twice. Faults off: everything finishes.
    #[test]
    fn every_intent_arrives_once_in_order_and_is_answered_whatever_the_line_does(
        seed in any::<u64>(),
        drop in prop_oneof![Just(0), 100..2_000_u64],
        flip in prop_oneof![Just(0), 100..2_000_u64],
        repeat in prop_oneof![Just(0), 100..2_000_u64],
        tear in 0..9_u64,
    ) {
        let mut pair = Pair::new(seed, Faults { drop, flip, repeat, tear });
        let mut scanned = 0;
        for round in 1..30 {
            let count = pair.dice.below(5) as u32;
            pair.scan(count);
            scanned += count;
            pair.publish(Feed::Catalogue, round, item(round));
            pair.daemon.failing = pair.dice.one_in(6);
            let span = Duration::from_millis(pair.dice.below(8_000) as i64);
            pair.run(span);
            match pair.dice.below(8) {
                0 => { pair.disconnect(); pair.connect(); }
                1 => pair.restart_scanner(),
                2 => pair.restart_edge(),
                _ => {}
            }
            let taken: Vec<_> = pair.daemon.taken.iter().map(|intent| intent.seq).collect();
            prop_assert_eq!(&taken, &(1..=taken.len() as u32).collect::<Vec<_>>());
        }
        pair.faults = Faults::default();
        pair.daemon.failing = false;
        pair.run(secs(300));
        pair.check_all_done(scanned);
        prop_assert_eq!(&pair.handheld.mirror[0], &(1..30).map(item).collect::<Vec<_>>());
    }

    #[test]
    fn hostile_octets_harm_neither_end(octets in prop::collection::vec(any::<u8>(), 0..2_000), up in any::<bool>()) {
        let mut pair = Pair::new(16, Faults::default());
        if up {
            pair.run(secs(1));
        }
        pair.edge.receive(pair.now, &octets, &mut pair.daemon);
        pair.scanner.receive(pair.scanner_now(), &octets, &mut pair.handheld);
        pair.scan(1);
        pair.run(secs(120));
        pair.check_all_done(1);
    }

    #[test]
    fn hostile_messages_under_the_right_key_harm_neither_end(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..60)) {
        let mut pair = Pair::new(17, Faults::default());
        pair.run(secs(1));
        for body in bodies {
            if let Ok(message) = postcard::from_bytes::<ToEdge>(&body) {
                let mut sent = Vec::new();
                pair_channel(&mut pair, Side::Scanner).seal(&message, |octets| sent.extend_from_slice(octets));
                pair.edge.receive(pair.now, &sent, &mut pair.daemon);
            }
            if let Ok(message) = postcard::from_bytes::<ToScanner>(&body) && !matches!(message, ToScanner::Answer { .. }) {
                let mut sent = Vec::new();
                pair_channel(&mut pair, Side::Edge).seal(&message, |octets| sent.extend_from_slice(octets));
                pair.scanner.receive(pair.scanner_now(), &sent, &mut pair.handheld);
            }
        }
        let _ = (pair.scanner.next_deadline(), pair.edge.next_deadline());
    }
}

fn pair_channel(pair: &mut Pair, side: Side) -> &mut Channel {
    match side {
        Side::Scanner => pair.scanner.channel_mut(),
        Side::Edge => pair.edge.channel_mut(),
    }
}

#[test]
fn the_longest_messages_fit() {
    let (long, epc) = (name(&"x".repeat(32)), Epc::new(&[0xFF; 62]).expect("fits"));
    let at = Timestamp::from_micros(i64::MIN);
    let args: heapless::Vec<Code, 4> = [(); 4].map(|()| long.clone()).into_iter().collect();
    let body = |item| IntentBody::Move { item, quantity: u32::MAX, from: Some(long.clone()), to: long.clone() };
    let some = Some(long.clone());
    let gtin = ItemRef::Gtin { gtin: u64::MAX, lot: some.clone(), serial: some, expiry: Some(u32::MAX) };
    let long_name = heapless::String::try_from("x".repeat(NAME_LEN_MAX).as_str()).expect("fits");
    let item = Item { alias: Alias::Code(long.clone()), item: long.clone(), name: long_name, serialised: true };
    let task = Task { id: u32::MAX, key: TextKey::CheckItem, args: args.clone() };
    let update =
        |change| ToScanner::Update { feed: Feed::Tasks, epoch: u32::MAX, after: u32::MAX, version: u32::MAX, change };
    let len = |octets: Result<&mut [u8], _>| octets.map(|octets| octets.len()).map_err(|_: postcard::Error| ());
    let mut buffer = [0; BODY_LEN_MAX];
    for item in [ItemRef::Epc(epc), gtin] {
        let intent = ToEdge::Intent(Intent { seq: u32::MAX, at, worker: long.clone(), body: body(item) });
        assert!(len(postcard::to_slice(&intent, &mut buffer)).is_ok());
    }
    let verdict = Verdict { level: Level::Stop, key: TextKey::CheckItem, args };
    for message in
        [ToScanner::Answer { seq: u32::MAX, verdict }, update(Change::Item(item)), update(Change::Task(task))]
    {
        assert!(len(postcard::to_slice(&message, &mut buffer)).is_ok());
    }
}

/// The frames of a fixed session, as any other implementation must make and read them.
#[test]
fn golden_frames() {
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02X}")).collect::<String>();
    let (scanner, edge) = ([0x11; 16], [0x22; 16]);
    let mut frames = Vec::new();
    let mut ends = [Channel::new(Side::Scanner), Channel::new(Side::Edge)];
    let hello = Greeting::Hello { device: name("SC-1"), random: scanner };
    let welcome = Greeting::Welcome { random: edge, to: scanner };
    ends[0].greet(&hello, |octets| frames.push(hex(octets)));
    ends[1].greet(&welcome, |octets| frames.push(hex(octets)));
    ends.iter_mut().for_each(|end| end.start(&KEY, "SC-1", &scanner, &edge));
    let ready =
        ToEdge::Ready { answered: 0, catalogue: Position::default(), tasks: Position { epoch: 1, version: 300 } };
    ends[0].seal(&ready, |octets| frames.push(hex(octets)));
    ends[1].seal(&ToScanner::Resume { acked: 0 }, |octets| frames.push(hex(octets)));
    ends[0].seal(&ToEdge::Intent(intent(1)), |octets| frames.push(hex(octets)));
    ends[1].seal(&ToScanner::Answer { seq: 1, verdict: verdict(1) }, |octets| frames.push(hex(octets)));
    assert_eq!(frames, GOLDEN);
}

/// Opened besides by an independent implementation of COBS, CRC-32, RFC 5869 and RFC 8439.
const GOLDEN: [&str; 6] = [
    "0201011A0453432D3111111111111111111111111111111111D6EC1F3000",
    "020126012222222222222222222222222222222211111111111111111111111111111111F1BE843600",
    "0401010101011CF2ED27A08A4567032AD9D5129306D4373C06DBCBACB19B2CCABFC200",
    "04010101010117AC661A60B71FCF06ECC3EBBD676EE5655FCABB39DA3800",
    "0401010201013DA021E1979E64E9CD28E64234FBEEE8F43649490794E3E87A89540FA68C5E48A555479C5A0A461F1321A2E596B481E9C11912D21F60F6F4C689A12D8B00",
    "040101020101276FD5D332896175C3A06E5F856D487806F40F245F7D68CB12B5DCC3359786D7901476A325C80A00",
];

#[test]
fn a_frame_played_again_is_dropped() {
    let mut ends = [Channel::new(Side::Scanner), Channel::new(Side::Edge)];
    ends.iter_mut().for_each(|end| end.start(&KEY, "SC-1", &[1; 16], &[2; 16]));
    let [scanner, edge] = &mut ends;
    let mut wire = Vec::new();
    scanner.seal(&ToEdge::Intent(intent(1)), |octets| wire.extend_from_slice(octets));
    assert_eq!(wire.iter().filter(|octet| edge.push(**octet).is_some()).count(), 1);
    assert_eq!(wire.iter().filter(|octet| edge.push(**octet).is_some()).count(), 0);
    assert_eq!(wire.iter().filter(|octet| scanner.push(**octet).is_some()).count(), 0, "nor sent back");
    assert_eq!((edge.counters.stale, scanner.counters.forged), (1, 1));
}

#[test]
fn three_forged_frames_in_a_row_end_a_session_two_do_not() {
    let mut forger = Channel::new(Side::Scanner);
    forger.start(&[0; 32], "SC-1", &[1; 16], &[2; 16]);
    let mut forged = Vec::new();
    forger.seal(&ToEdge::Ping { at: Timestamp::EPOCH }, |octets| forged.extend_from_slice(octets));
    let mut pair = Pair::new(18, Faults::default());
    pair.run(secs(1));
    for _ in 0..3 {
        pair.edge.receive(pair.now, &forged.repeat(2), &mut pair.daemon);
        pair.scan(1);
        pair.run(secs(2));
        assert_eq!(pair.handheld.ups, 1, "a good frame in between");
    }
    pair.edge.receive(pair.now, &forged.repeat(3), &mut pair.daemon);
    assert_eq!(pair.edge.over(), Some(Why::Forged));
    assert_eq!(pair.edge.counters().forged, 9);
}

#[test]
fn a_message_of_a_newer_peer_is_skipped() {
    #[derive(serde::Serialize)]
    struct Newer(u8, u32);
    let mut ends = [Channel::new(Side::Scanner), Channel::new(Side::Edge)];
    ends.iter_mut().for_each(|end| end.start(&KEY, "SC-1", &[1; 16], &[2; 16]));
    let [scanner, edge] = &mut ends;
    let mut wire = Vec::new();
    edge.seal(&Newer(200, 1), |octets| wire.extend_from_slice(octets));
    edge.seal(&(ToScanner::Resume { acked: 7 }, 99_u32), |octets| wire.extend_from_slice(octets));
    let found: Vec<_> = wire
        .iter()
        .filter_map(|octet| match scanner.push(*octet) {
            Some(Incoming::Message(body)) => Some(postcard::from_bytes::<ToScanner>(&body).ok()),
            Some(Incoming::Greeting(_)) | None => None,
        })
        .collect();
    assert_eq!(found, [None, Some(ToScanner::Resume { acked: 7 })], "a new kind, then a known one with a new field");
}
