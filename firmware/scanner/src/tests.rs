//! Scripts: what the worker does, and what comes of it.

extern crate std;

use crate::app::REPEAT_WITHIN;
use crate::*;
use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};
use stowage_base::{
    Code, Duration, Epc, Intent, IntentBody, ItemRef, Language, Level, TextKey, Timestamp, Verdict, code,
};
use stowage_link::{
    Alias, Change, EdgeEnd, EdgeSink, Feed, Item, Position, Progress, ScannerEnd, ScannerEvent, Task, Why,
};

const MUG: &str = "9506000134352";
const TAG: &str = "30395DFA81B7D84000000001";

fn name(text: &str) -> Code {
    code(text).expect("short")
}

/// Tracked one by one.
fn laptop() -> Item {
    let alias = Alias::Gtin(9_506_000_134_369);
    Item { alias, item: name("LAPTOP"), name: heapless::String::new(), serialised: true }
}

/// A store that keeps what was appended only once it is told to: a slow medium.
#[derive(Default)]
struct SlowStore {
    durable: RamStore<8>,
    under_way: Vec<Intent>,
    slow: bool,
    broken: bool,
}

impl SlowStore {
    fn settle(&mut self) {
        for intent in self.under_way.drain(..) {
            self.durable.append(&intent).expect("room was asked for first, and seqs rise");
        }
    }
}

impl Store for SlowStore {
    fn capacity(&self) -> u32 {
        self.durable.capacity()
    }
    fn len(&self) -> u32 {
        self.durable.len() + self.under_way.len() as u32
    }
    fn last_seq(&self) -> u32 {
        self.durable.last_seq()
    }
    fn append(&mut self, intent: &Intent) -> Result<(), StoreError> {
        if self.broken {
            return Err(StoreError::Medium { code: 5 });
        }
        let last = self.under_way.last().map_or(self.durable.last_seq(), |last| last.seq);
        assert_eq!(intent.seq, last + 1, "no gaps");
        self.under_way.push(intent.clone());
        if !self.slow {
            self.settle();
        }
        Ok(())
    }
    fn durable(&self) -> u32 {
        self.durable.durable()
    }
    fn intent_from(&mut self, seq: u32) -> Option<Intent> {
        self.durable.intent_from(seq)
    }
    fn release(&mut self, seq: u32) {
        self.durable.release(seq);
    }
}

/// Writes down what the worker sees and hears.
#[derive(Default)]
struct Heard {
    log: Vec<String>,
    out: Vec<u8>,
}

impl Face for Heard {
    fn send(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }
    fn show(&mut self, answer: &Verdict) {
        let args: Vec<_> = answer.args.iter().map(|arg| arg.as_str()).collect();
        self.log.push(format!("{:?} {:?} {}", answer.level, answer.key, args.join(" ")).trim_end().to_string());
    }
    fn beep(&mut self, level: Level) {
        self.log.push(format!("beep {level:?}"));
    }
}

type Handheld = Device<SlowStore, 16, 16>;

struct Rig {
    now: Timestamp,
    device: Handheld,
    heard: Heard,
}

fn switched_on(store: SlowStore) -> Handheld {
    Device::new(name("W-7"), Language::English, ScannerEnd::new(name("SC-1"), [7; 32]), store)
}

/// A scanner that knows mugs, laptops (one by one) and three locations, offline.
fn rig() -> Rig {
    let mut rig =
        Rig { now: Timestamp::from_micros(0), device: switched_on(SlowStore::default()), heard: Heard::default() };
    rig.learn();
    rig
}

impl Rig {
    fn learn(&mut self) {
        let mug = Item { alias: Alias::Gtin(9_506_000_134_352), item: name("MUG"), serialised: false, ..laptop() };
        self.change(Change::Item(mug));
        self.change(Change::Item(laptop()));
        for at in ["A-1", "A-2", "B-1"] {
            self.change(Change::Location(name(at)));
        }
    }

    fn change(&mut self, change: Change) {
        let feed = if matches!(change, Change::Task(_)) { Feed::Tasks } else { Feed::Catalogue };
        self.link(ScannerEvent::Changed { feed, position: Position { epoch: 1, version: 1 }, change });
    }

    fn step(&mut self, event: Event<'_>) -> Vec<String> {
        self.now += Duration::from_millis(50);
        self.heard.log.clear();
        self.device.step(self.now, event, &mut self.heard);
        self.heard.log.clone()
    }

    fn scan(&mut self, text: &str) -> Vec<String> {
        self.step(Event::Barcode(text))
    }

    fn key(&mut self, key: Key) -> Vec<String> {
        self.step(Event::Key(key))
    }

    fn mode(&mut self, mode: Mode) {
        self.key(Key::Mode(mode));
    }

    fn link(&mut self, event: ScannerEvent) -> Vec<String> {
        self.step(Event::Link(event))
    }

    fn answer(&mut self, seq: u32, level: Level, key: TextKey, args: &[&str]) -> Vec<String> {
        let verdict = Verdict::new(level, key, args);
        self.link(ScannerEvent::Answered { seq, verdict })
    }

    fn wait(&mut self, span: Duration) -> Vec<String> {
        self.now += span;
        self.heard.log.clear();
        self.device.tick(self.now, &mut self.heard);
        self.heard.log.clone()
    }

    fn settle(&mut self) -> Vec<String> {
        self.heard.log.clear();
        self.device.store_mut().settle();
        self.device.stored(self.now, &mut self.heard);
        self.heard.log.clone()
    }

    fn stored(&mut self) -> Vec<String> {
        let mut found = vec![];
        let mut seq = 0;
        while let Some(intent) = self.device.store_mut().intent_from(seq) {
            seq = intent.seq + 1;
            found.push(format!("{} {}", intent.seq, act(&intent.body)));
        }
        found
    }

    fn power_cut(self) -> Self {
        let mut store = self.device.into_store();
        store.under_way.clear();
        let mut rig = Self { now: self.now, device: switched_on(store), heard: Heard::default() };
        rig.learn();
        rig
    }
}

fn act(body: &IntentBody) -> String {
    let thing = |item: &ItemRef| match item {
        ItemRef::Epc(epc) => epc.to_string(),
        ItemRef::Gtin { gtin, lot, serial, expiry } => {
            let mut thing = gtin.to_string();
            thing += &lot.as_ref().map_or(String::new(), |lot| format!(" lot {lot}"));
            thing += &serial.as_ref().map_or(String::new(), |serial| format!(" serial {serial}"));
            thing + &expiry.map_or(String::new(), |expiry| format!(" expiry {expiry}"))
        }
        ItemRef::Sscc(sscc) => format!("sscc {sscc}"),
        ItemRef::Code(code) => code.to_string(),
    };
    match body {
        IntentBody::Receive { item, quantity, at } => format!("receive {quantity} × {} at {at}", thing(item)),
        IntentBody::PutAway { item, quantity, to } => format!("put {quantity} × {} to {to}", thing(item)),
        IntentBody::Move { item, quantity, from: Some(from), to } => {
            format!("move {quantity} × {} from {from} to {to}", thing(item))
        }
        IntentBody::Move { item, quantity, from: None, to } => format!("move {quantity} × {} to {to}", thing(item)),
        IntentBody::Count { item, quantity, at } => format!("count {quantity} × {} at {at}", thing(item)),
        IntentBody::See { item, at } => format!("see {} at {at}", thing(item)),
    }
}

#[test]
fn a_location_stays_for_the_items_that_follow() {
    let mut rig = rig();
    assert_eq!(rig.scan("A-1"), ["beep Ok", "Ok ScanItem A-1"]);
    assert_eq!(rig.scan(MUG), ["beep Ok", "Ok KeptOffline 1 MUG"]);
    assert_eq!(rig.scan("A-1"), ["beep Ok", "Ok ScanItem A-1"]);
    assert_eq!(rig.scan(MUG), ["beep Ok", "Ok KeptOffline 1 MUG"]);
    assert_eq!(rig.scan("B-1"), ["beep Ok", "Ok ScanItem B-1"]);
    assert_eq!(rig.scan("]C1010950600013435210L7\u{1D}17271231"), ["beep Ok", "Ok KeptOffline 1 MUG"]);
    assert_eq!(
        rig.stored(),
        [
            "1 put 1 × 9506000134352 to A-1",
            "2 put 1 × 9506000134352 to A-1",
            "3 put 1 × 9506000134352 lot L7 expiry 271231 to B-1"
        ]
    );
}

#[test]
fn items_first_the_location_is_for_these_alone() {
    let mut rig = rig();
    rig.mode(Mode::Receive);
    assert_eq!(rig.scan(MUG), ["beep Ok", "Ok ScanLocation MUG"]);
    assert_eq!(rig.scan(MUG), ["beep Ok", "Ok ScanLocation MUG"]);
    assert_eq!(rig.scan("A-2"), ["beep Ok", "Ok KeptOffline 1 MUG"]);
    assert_eq!(rig.stored(), ["1 receive 1 × 9506000134352 at A-2", "2 receive 1 × 9506000134352 at A-2"]);
    assert_eq!(rig.scan(MUG), ["beep Ok", "Ok ScanLocation MUG"], "A-2 did not stay");
}

#[test]
fn hands_hold_so_many() {
    let mut rig = rig();
    for _ in 0..HANDS_MAX {
        assert_eq!(rig.scan(MUG), ["beep Ok", "Ok ScanLocation MUG"]);
    }
    assert_eq!(rig.scan(MUG), ["beep Stop", "Stop ScanLocation MUG"]);
    rig.scan("A-1");
    assert_eq!(rig.stored().len(), HANDS_MAX);
}

#[test]
fn a_move_has_a_goal_and_perhaps_a_start() {
    let mut rig = rig();
    rig.mode(Mode::Move);
    rig.scan(MUG);
    rig.scan("A-1");
    rig.scan("A-1");
    assert_eq!(rig.scan(MUG), ["beep Ok", "Ok ScanLocation MUG"]);
    assert_eq!(rig.scan("B-7"), ["beep Stop", "Stop UnknownLocation B-7"]);
    assert_eq!(rig.scan("B-1"), ["beep Ok", "Ok KeptOffline 1 MUG"]);
    assert_eq!(rig.stored(), ["1 move 1 × 9506000134352 to A-1", "2 move 1 × 9506000134352 from A-1 to B-1"]);
}

#[test]
fn a_count_goes_by_scans_and_digits_until_something_else_comes() {
    let mut rig = rig();
    rig.mode(Mode::Count);
    rig.scan("A-1");
    assert_eq!(rig.scan(MUG), ["beep Ok", "Ok Counting 1 MUG"]);
    rig.key(Key::Digit(1));
    rig.key(Key::Digit(2));
    assert_eq!(rig.scan(MUG), ["beep Ok", "Ok Counting 13 MUG"]);
    assert_eq!(
        rig.scan("OWN-1"),
        ["beep Ok", "Ok Counting 1 OWN-1", "beep Ok", "Ok KeptOffline 13 MUG"],
        "the first count is done"
    );
    assert_eq!(rig.key(Key::Enter).first().map(String::as_str), Some("beep Warn"), "an unknown code, offline");
    assert_eq!(rig.stored(), ["1 count 13 × 9506000134352 at A-1", "2 count 1 × OWN-1 at A-1"]);
}

#[test]
fn a_count_may_begin_with_the_goods() {
    let mut rig = rig();
    rig.mode(Mode::Count);
    rig.scan(MUG);
    rig.scan(MUG);
    assert_eq!(rig.scan("OWN-1"), ["beep Stop", "Stop UnknownLocation OWN-1"]);
    assert_eq!(rig.scan("A-2"), ["beep Ok", "Ok KeptOffline 2 MUG"]);
    assert_eq!(rig.stored(), ["1 count 2 × 9506000134352 at A-2"]);
}

#[test]
fn another_location_ends_a_count() {
    let mut rig = rig();
    rig.mode(Mode::Count);
    rig.scan("A-1");
    rig.scan(MUG);
    assert_eq!(rig.scan("A-2"), ["beep Ok", "Ok KeptOffline 1 MUG"]);
    rig.scan(MUG);
    rig.mode(Mode::See);
    assert_eq!(rig.stored(), ["1 count 1 × 9506000134352 at A-1", "2 count 1 × 9506000134352 at A-2"]);
}

#[test]
fn digits_are_the_next_items_quantity() {
    let mut rig = rig();
    rig.scan("A-1");
    rig.key(Key::Digit(1));
    rig.key(Key::Digit(0));
    assert_eq!(rig.device.screen().lines[0], "Put away           10x -");
    assert_eq!(rig.scan(MUG), ["beep Ok", "Ok KeptOffline 10 MUG"]);
    rig.key(Key::Digit(0));
    assert_eq!(rig.scan(MUG), ["beep Stop", "Stop QuantityOutOfRange 1 1000000"]);
    for _ in 0..6 {
        assert_eq!(rig.key(Key::Digit(9)), Vec::<String>::new());
    }
    assert_eq!(rig.key(Key::Digit(9)), ["beep Stop", "Stop QuantityOutOfRange 1 1000000"]);
    rig.key(Key::Digit(2));
    assert_eq!(rig.step(Event::Tag(Epc::from_hex(TAG).expect("hex"))), ["beep Stop", "Stop QuantityOutOfRange 1 1"]);
    assert_eq!(rig.stored().len(), 1);
}

#[test]
fn a_tag_answers_often_but_is_one_thing() {
    let mut rig = rig();
    let tag = Epc::from_hex(TAG).expect("hex");
    rig.scan("A-1");
    let first = rig.step(Event::Tag(tag));
    assert_eq!(rig.step(Event::Tag(tag)), first);
    assert_eq!(rig.stored(), [format!("1 put 1 × {TAG} to A-1")]);
    rig.answer(1, Level::Stop, TextKey::UnknownCode, &["X"]);
    rig.step(Event::Tag(tag));
    assert_eq!(rig.stored(), [format!("2 put 1 × {TAG} to A-1")], "after a stop a second try is one");
    rig.scan("A-2");
    rig.step(Event::Tag(tag));
    assert_eq!(rig.stored().len(), 2);
}

#[test]
fn a_tag_that_is_scanned_anew_is_a_scan_of_its_own() {
    let mut rig = rig();
    let tag = Event::Tag(Epc::from_hex(TAG).expect("hex"));
    rig.scan("A-1");
    rig.step(tag.clone());
    rig.now += Duration::from_secs(1);
    rig.step(tag.clone());
    rig.now += Duration::from_secs(1);
    rig.step(tag.clone());
    assert_eq!(rig.stored().len(), 1, "it lies before the reader all the while");
    rig.now += REPEAT_WITHIN;
    rig.step(tag.clone());
    assert_eq!(rig.stored().len(), 2, "later");
    rig.scan("A-1");
    rig.step(tag.clone());
    assert_eq!(rig.stored().len(), 3, "with its location");
    rig.mode(Mode::PutAway);
    rig.scan("A-1");
    rig.step(tag);
    assert_eq!(rig.stored().len(), 4, "in its mode");
}

#[test]
fn two_scans_at_once_both_count() {
    let mut rig = rig();
    rig.scan("A-1");
    rig.device.store_mut().slow = true;
    assert_eq!(rig.scan(MUG), Vec::<String>::new(), "no ok before it is kept");
    assert_eq!(rig.scan(MUG), Vec::<String>::new());
    assert_eq!(rig.settle(), ["beep Ok", "beep Ok", "Ok KeptOffline 1 MUG"]);
    assert_eq!(rig.stored().len(), 2);
}

#[test]
fn a_tag_read_twice_has_no_ok_before_it_is_kept() {
    let mut rig = rig();
    rig.scan("A-1");
    rig.device.store_mut().slow = true;
    for _ in 0..3 {
        assert_eq!(rig.step(Event::Tag(Epc::new(&[1]).expect("short"))), Vec::<String>::new());
    }
    assert_eq!(rig.settle(), ["beep Ok", "Ok KeptOffline 1 01"]);
}

#[test]
fn a_store_that_is_far_behind_stops_the_worker() {
    let config = Config { worker: name("W-7"), language: Language::English, capacity: 100, kept: 0, last_seq: 0 };
    let (mut app, mut actions) = (Scanner::<4, 4>::new(config, Catalogue::new()), Actions::new());
    let position = Position { epoch: 1, version: 1 };
    let change = Change::Location(name("A-1"));
    let changed = ScannerEvent::Changed { feed: Feed::Catalogue, position, change };
    app.step(Timestamp::EPOCH, Event::Link(changed), &mut actions);
    let mut scan = |text| {
        actions.clear();
        app.step(Timestamp::EPOCH, Event::Barcode(text), &mut actions);
        actions.iter().any(|action| matches!(action, Action::Store(_)))
    };
    scan("A-1");
    assert_eq!((0..10).filter(|_| scan(MUG)).count(), PENDING_MAX);
    app.step(Timestamp::EPOCH, Event::Durable(8), &mut actions);
    assert!(actions.len() < ACTIONS_MAX, "the fullest step there is");
}

#[test]
fn what_makes_no_sense_is_refused_at_once() {
    let mut rig = rig();
    assert_eq!(rig.scan("9506000134353"), ["beep Stop", "Stop CheckDigit 9506000134353"]);
    assert_eq!(rig.scan("]E09506000134353"), ["beep Stop", "Stop CheckDigit ]E09506000134353"]);
    assert_eq!(rig.scan("(01)09506000134353"), ["beep Stop", "Stop CheckDigit (01)09506000134353"]);
    assert_eq!(rig.scan("(01)0950600"), ["beep Stop", "Stop Unreadable (01)0950600"]);
    assert_eq!(rig.scan(""), ["beep Stop", "Stop Unreadable"]);
    let long = "X".repeat(33);
    assert_eq!(rig.scan(&long), ["beep Stop", &format!("Stop Unreadable {}", &long[..32])]);
    assert_eq!(rig.scan("(01)09506000134369"), ["beep Stop", "Stop SerialNeedsTag (01)09506000134369"]);
    assert_eq!(rig.scan("(01)09506000134369(21)S1"), ["beep Ok", "Ok ScanLocation LAPTOP"]);
    assert_eq!(rig.stored(), Vec::<String>::new());
}

#[test]
fn an_alias_that_looks_like_a_spoilt_gtin_is_an_alias() {
    let mut rig = rig();
    let item = Item { alias: Alias::Code(name("12345678")), item: name("PEN"), serialised: false, ..laptop() };
    rig.change(Change::Item(item));
    assert_eq!(rig.scan("12345678"), ["beep Ok", "Ok ScanLocation PEN"]);
}

#[test]
fn own_codes_may_be_digits_that_mean_something_else() {
    let mut rig = rig();
    let item = Item { alias: Alias::Code(name("96385074")), item: name("BOX"), serialised: false, ..laptop() };
    rig.change(Change::Item(item));
    rig.scan("A-1");
    assert_eq!(rig.scan("96385074"), ["beep Ok", "Ok KeptOffline 1 BOX"], "a GTIN-8 by accident");
    assert_eq!(rig.scan("2112"), ["beep Warn", "Warn UnknownCode 2112"], "AI (21) by accident");
    assert_eq!(rig.scan("(21)12"), ["beep Stop", "Stop Unreadable (21)12"], "AI (21) on purpose, and no goods");
    assert_eq!(rig.stored(), ["1 put 1 × 96385074 to A-1", "2 put 1 × 2112 to A-1"]);
}

#[test]
fn the_code_itself_may_say_how_many() {
    let mut rig = rig();
    rig.scan("A-1");
    assert_eq!(rig.scan("(01)09506000134352(30)24"), ["beep Ok", "Ok KeptOffline 24 MUG"]);
    rig.key(Key::Digit(5));
    assert_eq!(rig.scan("(01)09506000134352(30)24"), ["beep Ok", "Ok KeptOffline 5 MUG"], "the worker counted");
}

#[test]
fn each_warning_is_heard_once() {
    let mut rig = rig();
    rig.scan("A-1");
    rig.scan("X-8");
    rig.scan("X-9");
    assert_eq!(rig.answer(1, Level::Warn, TextKey::UnknownCode, &["X-8"]), Vec::<String>::new());
    assert_eq!(rig.answer(2, Level::Warn, TextKey::UnknownCode, &["X-9"]), ["Warn UnknownCode X-9"]);
}

#[test]
fn a_full_store_says_stop_and_loses_nothing() {
    let mut rig = rig();
    rig.scan("A-1");
    for _ in 0..8 {
        assert_eq!(rig.scan(MUG), ["beep Ok", "Ok KeptOffline 1 MUG"]);
    }
    assert_eq!(rig.scan(MUG), ["beep Stop", "Stop StoreFull"]);
    assert_eq!(rig.stored().len(), 8);
    rig.answer(1, Level::Ok, TextKey::Moved, &["1", "MUG", "A-1"]);
    assert_eq!(rig.scan(MUG), ["beep Ok", "Ok KeptOffline 1 MUG"]);
    assert_eq!(rig.stored().last().map(String::as_str), Some("9 put 1 × 9506000134352 to A-1"));
}

#[test]
fn items_in_hand_stay_there_when_the_store_has_no_room_for_all() {
    let mut rig = rig();
    rig.scan("A-1");
    for _ in 0..7 {
        rig.scan(MUG);
    }
    rig.mode(Mode::Receive);
    rig.scan(MUG);
    rig.scan(MUG);
    assert_eq!(rig.scan("A-2"), ["beep Stop", "Stop StoreFull"]);
    rig.answer(1, Level::Ok, TextKey::Moved, &["1", "MUG", "A-1"]);
    assert_eq!(rig.scan("A-2"), ["beep Ok", "Ok KeptOffline 1 MUG"]);
    assert_eq!(rig.stored().len(), 8);
}

#[test]
fn a_store_that_fails_gets_no_ok_and_leaves_no_gap() {
    let mut rig = rig();
    rig.scan("A-1");
    rig.scan(MUG);
    rig.device.store_mut().broken = true;
    assert_eq!(rig.scan(MUG), ["beep Stop", "Stop StoreFull"]);
    rig.device.store_mut().broken = false;
    assert_eq!(rig.scan(MUG), ["beep Ok", "Ok KeptOffline 1 MUG"]);
    assert_eq!(rig.stored(), ["1 put 1 × 9506000134352 to A-1", "2 put 1 × 9506000134352 to A-1"]);
}

#[test]
fn the_edges_word_is_heard_if_it_is_worse() {
    let mut rig = rig();
    rig.link(ScannerEvent::Up { acked: 0 });
    rig.scan("A-1");
    assert_eq!(rig.scan(MUG), ["beep Ok", "Ok Kept 1 MUG"]);
    rig.scan(MUG);
    rig.scan(MUG);
    assert_eq!(rig.answer(1, Level::Ok, TextKey::Moved, &["1", "MUG", "A-1"]), Vec::<String>::new(), "an old one");
    assert_eq!(rig.answer(2, Level::Warn, TextKey::HereAlready, &["MUG"]), ["beep Warn", "Warn HereAlready MUG"]);
    assert_eq!(rig.answer(3, Level::Ok, TextKey::Moved, &["1", "MUG", "A-1"]), ["Ok Moved 1 MUG A-1"], "no beep");
    assert_eq!(rig.stored(), Vec::<String>::new());
    assert_eq!(rig.device.app().kept(), 0);
}

#[test]
fn a_late_stop_becomes_a_task_until_it_is_dealt_with() {
    let mut rig = rig();
    rig.scan("A-1");
    rig.scan("X-9");
    assert_eq!(rig.answer(1, Level::Stop, TextKey::UnknownCode, &["X-9"]), ["beep Stop", "Stop UnknownCode X-9"]);
    assert_eq!(rig.device.app().tasks().count(), 1);
    assert_eq!(rig.key(Key::Cancel), ["Warn UnknownCode X-9"], "first the location goes, the task is shown");
    assert_eq!(rig.key(Key::Cancel), ["Ok ScanAny"]);
    assert_eq!(rig.device.app().tasks().count(), 0);
}

#[test]
fn an_unknown_code_is_kept_with_a_warning_offline_and_without_one_online() {
    let mut rig = rig();
    rig.scan("A-1");
    assert_eq!(rig.scan("X-9"), ["beep Warn", "Warn UnknownCode X-9"]);
    assert_eq!(rig.answer(1, Level::Warn, TextKey::UnknownCode, &["X-9"]), ["Warn UnknownCode X-9"], "heard before");
    rig.link(ScannerEvent::Up { acked: 1 });
    assert_eq!(rig.scan("X-9"), ["beep Ok", "Ok Kept 1 X-9"]);
    rig.link(ScannerEvent::Down(Why::Silent));
    assert_eq!(rig.scan(MUG), ["beep Ok", "Ok KeptOffline 1 MUG"]);
}

#[test]
fn a_refusal_is_told_once() {
    let mut rig = rig();
    rig.link(ScannerEvent::Up { acked: 0 });
    rig.scan("A-1");
    rig.scan(MUG);
    assert_eq!(rig.link(ScannerEvent::Refused { seq: 1 }), ["beep Warn", "Warn KeepForLater"]);
    assert_eq!(rig.link(ScannerEvent::Refused { seq: 1 }), Vec::<String>::new());
    assert_eq!(rig.stored().len(), 1);
    rig.answer(1, Level::Ok, TextKey::Moved, &["1", "MUG", "A-1"]);
    assert_eq!(rig.link(ScannerEvent::Refused { seq: 2 }), ["beep Warn", "Warn KeepForLater"]);
}

fn check_item() -> Change {
    let args = [name("MUG-17"), name("A-1"), name("STAGING")].into_iter().collect();
    Change::Task(Task { id: 4, key: TextKey::CheckItem, args })
}

#[test]
fn a_task_is_told_to_idle_hands_and_settled_by_seeing() {
    let mut rig = rig();
    rig.change(check_item());
    assert_eq!(rig.heard.log, ["beep Warn", "Warn CheckItem MUG-17 A-1 STAGING"]);
    rig.change(check_item());
    assert_eq!(rig.heard.log, Vec::<String>::new(), "the same again");
    rig.mode(Mode::See);
    assert_eq!(rig.heard.log, ["Warn CheckItem MUG-17 A-1 STAGING"]);
    rig.scan("B-1");
    rig.step(Event::Tag(Epc::from_hex(TAG).expect("hex")));
    assert_eq!(rig.stored(), [format!("1 see {TAG} at B-1")]);
    rig.change(Change::TaskGone(4));
    assert_eq!(rig.device.app().tasks().count(), 0);
}

#[test]
fn a_task_does_not_talk_into_work() {
    let mut rig = rig();
    rig.scan("A-1");
    rig.change(check_item());
    assert_eq!(rig.heard.log, Vec::<String>::new());
    rig.key(Key::Cancel);
    assert_eq!(rig.heard.log, ["Warn CheckItem MUG-17 A-1 STAGING"]);
}

#[test]
fn an_answer_makes_way_for_what_is_next_and_a_long_one_turns_its_pages() {
    let mut rig = rig();
    assert_eq!(rig.device.next_deadline(), None);
    rig.scan("A-1");
    rig.scan(MUG);
    assert_eq!(rig.wait(ANSWER_STAYS), ["Ok ScanItem A-1"]);
    assert_eq!(rig.device.next_deadline(), None, "and stays");
    rig.key(Key::Cancel);
    for _ in 0..3 {
        rig.key(Key::Language);
    }
    rig.change(check_item());
    let page = |rig: &Rig| rig.device.screen().lines[1..].iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(page(&rig), ["Bitte MUG-17 suchen:", "Buch sagt A-1, Funk sagt", "STAGING. Dort scannen,"]);
    rig.wait(PAGE_STAYS);
    assert_eq!(page(&rig), ["wo es ist", "", ""]);
    rig.wait(PAGE_STAYS);
    assert_eq!(page(&rig)[0], "Bitte MUG-17 suchen:");
}

#[test]
fn the_screen_says_where_the_worker_stands() {
    let mut rig = rig();
    rig.link(ScannerEvent::Up { acked: 0 });
    rig.step(Event::Battery(80));
    rig.change(check_item());
    rig.scan("A-1");
    rig.scan(MUG);
    let lines = rig.device.screen().lines;
    assert_eq!(lines.each_ref().map(|line| line.as_str()), ["Put away     T1 ^1 + 80%", "Noted: 1 × MUG", "", ""]);
    rig.key(Key::Language);
    assert_eq!(rig.device.screen().lines[0], "上架         T1 ^1 + 80%");
    assert_eq!(rig.device.screen().lines[1], "A-1：现在扫描货物");
}

#[test]
fn the_edges_clock_stamps_what_the_worker_does() {
    let mut rig = rig();
    let at = Timestamp::from_micros(1_795_558_200_000_000);
    rig.link(ScannerEvent::Time { at, error: Duration::ZERO });
    rig.scan("A-1");
    rig.scan(MUG);
    let intent = rig.device.store_mut().intent_from(0).expect("one");
    assert_eq!(intent.at, at + Duration::from_millis(100));
    assert_eq!(intent.worker, "W-7");
    rig.step(Event::Badge(name("W-8")));
    rig.scan("A-1");
    rig.scan(MUG);
    assert_eq!(rig.device.store_mut().intent_from(2).expect("the second").worker, "W-8");
}

#[test]
fn a_scanner_that_lost_its_memory_goes_on_behind_the_edge() {
    let mut app = Scanner::<4, 4>::new(
        Config { worker: name("W-7"), language: Language::English, capacity: 8, kept: 0, last_seq: 0 },
        Catalogue::new(),
    );
    let mut actions = Actions::new();
    let location = Change::Location(name("A-1"));
    let position = Position { epoch: 1, version: 1 };
    let changed = ScannerEvent::Changed { feed: Feed::Catalogue, position, change: location };
    for event in [Event::Link(ScannerEvent::Up { acked: 50 }), Event::Link(changed), Event::Barcode("A-1")] {
        app.step(Timestamp::EPOCH, event, &mut actions);
    }
    actions.clear();
    app.step(Timestamp::EPOCH, Event::Barcode(MUG), &mut actions);
    assert!(matches!(&actions[..], [Action::Store(Intent { seq: 51, .. })]));
}

#[test]
fn what_does_not_fit_the_catalogue_is_counted() {
    let mut rig = rig();
    for number in 0..20 {
        rig.change(Change::Location(name(&format!("C-{number}"))));
    }
    assert_eq!(rig.device.app().catalogue().overflow, 7);
    rig.link(ScannerEvent::Cleared(Feed::Catalogue));
    assert!(rig.device.app().catalogue().location("A-1").is_none());
}

/// What a worker can do, drawn at random.
#[derive(Debug, Clone)]
enum Deed {
    Scan(&'static str),
    Tag(u8),
    Key(Key),
    Settle,
    Slow(bool),
    Broken(bool),
    Link(bool),
    Answer(Level),
    Wait(i64),
    PowerCut,
}

fn deed() -> impl Strategy<Value = Deed> {
    let codes = vec!["A-1", "A-2", "B-1", MUG, "(01)09506000134369(21)S1", "OWN-1", "9506000134353", "^", "(01)1"];
    let modes = [Mode::Receive, Mode::PutAway, Mode::Move, Mode::Count, Mode::See];
    prop_oneof![
        12 => prop::sample::select(codes).prop_map(Deed::Scan),
        3 => (0..3_u8).prop_map(Deed::Tag),
        2 => (0..10_u8).prop_map(|digit| Deed::Key(Key::Digit(digit))),
        2 => prop::sample::select(modes.to_vec()).prop_map(|mode| Deed::Key(Key::Mode(mode))),
        2 => prop::sample::select(vec![Key::Enter, Key::Cancel, Key::Language]).prop_map(Deed::Key),
        3 => Just(Deed::Settle),
        1 => any::<bool>().prop_map(Deed::Slow),
        1 => any::<bool>().prop_map(Deed::Broken),
        1 => any::<bool>().prop_map(Deed::Link),
        3 => prop::sample::select(vec![Level::Ok, Level::Warn, Level::Stop]).prop_map(Deed::Answer),
        1 => (0..20_i64).prop_map(Deed::Wait),
        1 => Just(Deed::PowerCut),
    ]
}

proptest! {
    /// The store itself asserts that seqs have no gaps and that there is room. Here: what is not yet safe has no ok,
    /// what has become safe has one, and a scan that isn't on its way into the store is answered in its own step.
    #[test]
    fn no_ok_goes_before_its_intent_whatever_happens(deeds in prop::collection::vec(deed(), 0..120)) {
        let mut rig = rig();
        for deed in deeds {
            let scan = matches!(deed, Deed::Scan(_) | Deed::Tag(_));
            let single = matches!(deed, Deed::Tag(_) | Deed::Scan("(01)09506000134369(21)S1"));
            let (safe, under_way) = (rig.device.store().last_seq(), rig.device.store().under_way.len());
            let log = match deed {
                Deed::Scan(text) => rig.scan(text),
                Deed::Tag(number) => rig.step(Event::Tag(Epc::new(&[number]).expect("short"))),
                Deed::Key(key) => rig.key(key),
                Deed::Settle => rig.settle(),
                Deed::Slow(slow) => { rig.device.store_mut().slow = slow; continue }
                Deed::Broken(broken) => { rig.device.store_mut().broken = broken; continue }
                Deed::Link(true) => rig.link(ScannerEvent::Up { acked: 0 }),
                Deed::Link(false) => rig.link(ScannerEvent::Down(Why::Silent)),
                Deed::Answer(level) => match rig.device.store_mut().intent_from(0) {
                    Some(intent) => rig.answer(intent.seq, level, TextKey::HereAlready, &["X"]),
                    None => continue,
                },
                Deed::Wait(secs) => rig.wait(Duration::from_secs(secs)),
                Deed::PowerCut => {
                    rig = rig.power_cut();
                    prop_assert_eq!(rig.device.store().last_seq(), safe);
                    vec![]
                }
            };
            let store = rig.device.store();
            prop_assert_eq!(rig.device.app().kept(), store.len());
            let oks = log.iter().filter(|line| line.contains(" Kept") || line.starts_with("Warn UnknownCode OWN")).count();
            if store.last_seq() > safe {
                prop_assert!(oks > 0, "{:?}", log);
            } else if store.under_way.len() > under_way {
                prop_assert_eq!(oks, 0, "{:?}", log);
            }
            // The repeat of a tag whose first read is on its way is answered with that.
            let waits = store.under_way.len() > under_way || single && !store.under_way.is_empty();
            prop_assert!(!scan || waits || !log.is_empty(), "a scan without an answer");
        }
    }

    #[test]
    fn hostile_codes_are_answered(codes in prop::collection::vec("\\PC{0,40}|[\\]\\(\\)0-9A-Z^/:.]{0,60}", 0..12)) {
        let mut rig = rig();
        for text in codes {
            prop_assert!(!rig.scan(&text).is_empty());
        }
    }
}

/// The daemon's place: says yes to everything, once.
#[derive(Default)]
struct Edge {
    out: Vec<u8>,
    taken: Vec<Intent>,
    again: Vec<u32>,
}

impl EdgeSink for Edge {
    fn send(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }
    fn key(&mut self, _: &Code) -> Option<[u8; 32]> {
        Some([7; 32])
    }
    fn up(&mut self, _: &Code) -> Progress {
        let seq = self.taken.len() as u32;
        Progress { acked: seq, taken: seq }
    }
    fn down(&mut self, _: Why) {}
    fn intent(&mut self, intent: Intent) {
        self.taken.push(intent);
    }
    fn repeated(&mut self, intent: Intent) {
        assert_eq!(self.taken[intent.seq as usize - 1], intent);
        self.again.push(intent.seq);
    }
    fn lost(&mut self, acked: u32, answered: u32) {
        panic!("{acked} {answered}");
    }
    fn epoch(&mut self, _: Feed) -> u32 {
        1
    }
    fn change_after(&mut self, feed: Feed, version: u32) -> Option<(u32, Change)> {
        let locations = ["A-1", "A-2", "B-1"];
        let code = locations.get(version as usize).filter(|_| feed == Feed::Catalogue)?;
        Some((version + 1, Change::Location(name(code))))
    }
}

/// The handheld with a real link, and a cut of the power at every point of a shift: whatever got its ok is at the edge
/// in the end, once and in order.
#[test]
fn a_power_cut_at_any_moment_loses_nothing_that_was_answered() {
    for cut_at in 0..60 {
        let (mut rig, mut edge, mut end) = (rig(), Edge::default(), EdgeEnd::new());
        let mut promised = 0;
        let mut moment = 0;
        let connect = |rig: &mut Rig, end: &mut EdgeEnd, random: u8| {
            end.connected(rig.now, [random; 16]);
            rig.device.connected(rig.now, [random; 16], &mut rig.heard);
        };
        connect(&mut rig, &mut end, 1);
        for round in 0..20_u8 {
            for deed in 0..3 {
                moment += 1;
                if moment == cut_at {
                    rig = rig.power_cut();
                    edge.out.clear();
                    connect(&mut rig, &mut end, 2);
                }
                match deed {
                    0 if round == 0 || rig.device.app().answer().key == TextKey::ScanAny => drop(rig.scan("A-1")),
                    0 => drop(rig.key(Key::Digit(round % 9 + 1))),
                    1 => {
                        let log = rig.scan(MUG);
                        promised += log.iter().filter(|line| line.contains(" Kept")).count();
                    }
                    _ => {
                        for _ in 0..4 {
                            let octets = std::mem::take(&mut rig.heard.out);
                            let before = (edge.taken.len(), edge.again.len());
                            end.receive(rig.now, &octets, &mut edge);
                            for seq in
                                (before.0 as u32 + 1..=edge.taken.len() as u32).chain(edge.again.split_off(before.1))
                            {
                                let verdict = Verdict::new(Level::Ok, TextKey::Moved, &["1", "MUG", "A-1"]);
                                end.answer(seq, &verdict, &mut edge);
                            }
                            let octets = std::mem::take(&mut edge.out);
                            rig.device.receive(rig.now, &octets, &mut rig.heard);
                        }
                    }
                }
            }
        }
        assert_eq!(edge.taken.len(), promised, "cut at {cut_at}");
        assert!(rig.device.store().is_empty(), "cut at {cut_at}: all is answered");
        assert!((1..).zip(&edge.taken).all(|(seq, intent)| intent.seq == seq));
    }
}
