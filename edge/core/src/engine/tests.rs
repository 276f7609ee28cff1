//! The whole chain in the core: inputs in, facts and effects out.

use super::*;
use crate::commit::Batch;
use crate::fact::{BeltChanged, Fact};
use crate::input::SortOutcome;
use crate::site::{
    Action, Location, Policy, Portal, PresenceSettings, ReadPoint, Sku, SortRule, TagRule, UnknownTag, Zone, ZoneKind,
};
use stowage_base::{Duration, Epc, IntentBody, ItemRef, Level, Verdict, Visit};

const READER: DeviceIx = DeviceIx(0);
const SORTER: DeviceIx = DeviceIx(1);
const SCANNER: DeviceIx = DeviceIx(2);
const MUG: u64 = 9_521_321_000_018;
const PEN: u64 = 9_521_321_000_025;

fn code(text: &str) -> Code {
    stowage_base::code(text).expect("short")
}

fn zone(text: &str, kind: ZoneKind) -> Zone {
    Zone { code: code(text), name: text.into(), kind, area: [0; 4] }
}

/// OUTSIDE | portal | DOCK | STORE, a sorter with two chutes, a scanner; mugs are serialised, pens are not.
fn site() -> Site {
    let places = [("OUTSIDE", 0), ("DOCK", 1), ("STORE", 2), ("A-1", 2), ("A-2", 2)];
    let read_point =
        |antenna, zone, x| ReadPoint { device: READER, antenna, zone: ZoneIx(zone), portal: Some((PortalIx(0), x)) };
    let sku = |text: &str, gtin, serialised| Sku {
        code: code(text),
        name: text.into(),
        gtin,
        owner: code("own"),
        serialised,
        aliases: vec![code(&format!("{text}-ALIAS"))],
    };
    let policy =
        |from, to, action| Policy { from: Some(ZoneIx(from)), to: Some(ZoneIx(to)), by_portal: Some(true), action };
    Site {
        code: code("T1"),
        name: "Test".into(),
        time_zone: "Etc/UTC".into(),
        zones: vec![zone("OUTSIDE", ZoneKind::Outside), zone("DOCK", ZoneKind::Dock), zone("STORE", ZoneKind::Aisle)],
        passages: vec![(ZoneIx(1), ZoneIx(2))],
        portals: vec![Portal { code: code("GATE"), name: "Gate".into(), outer: ZoneIx(0), inner: ZoneIx(1) }],
        read_points: vec![read_point(1, 0, -1_000), read_point(2, 1, 1_000)],
        locations: places.map(|(text, zone)| Location { code: code(text), zone: ZoneIx(zone) }).into(),
        skus: vec![sku("MUG", MUG, true), sku("PEN", PEN, false)],
        tags: vec![TagRule { company_prefix: code("9521321"), unknown: UnknownTag::Register }],
        policies: vec![policy(0, 1, Action::AutoMove), policy(1, 0, Action::AutoMove)],
        sort_plan: vec![
            SortRule { sorter: None, route: Some(code("NORTH")), prefix: None, chutes: vec![code("C1")] },
            SortRule { sorter: None, route: None, prefix: Some(code("1Z")), chutes: vec![code("C1"), code("C2")] },
        ],
        roadmap: Default::default(),
        transports: Vec::new(),
        devices: vec![
            Device { code: code("gate-1"), kind: DeviceKind::Reader },
            Device {
                code: code("sorter-1"),
                kind: DeviceKind::Sorter {
                    chutes: vec![code("C1"), code("C2"), code("HOSPITAL")],
                    hospital: code("HOSPITAL"),
                },
            },
            Device { code: code("scan-1"), kind: DeviceKind::Scanner },
        ],
        presence: PresenceSettings::default(),
    }
}

/// An engine whose batches are committed at once, or when told.
struct Bench {
    engine: Engine,
    now: Timestamp,
    facts: Vec<Fact>,
    rows: std::collections::BTreeMap<(String, String), String>,
    chain: Chain,
}

impl Bench {
    fn new() -> Self {
        Self::at(site())
    }

    fn at(site: Site) -> Self {
        let stored = Stored { chain: Chain::START, rows: Vec::new() };
        let engine = Engine::new(Arc::new(site), stored).expect("an empty journal");
        let now = Timestamp::from_micros(1_000_000_000);
        let mut bench = Self { engine, now, facts: Vec::new(), rows: Default::default(), chain: Chain::START };
        bench.engine.start(now, "test");
        bench.commit();
        bench
    }

    fn pass(&mut self, millis: i64) {
        self.now += Duration::from_millis(millis);
    }

    fn input(&mut self, input: Input) {
        self.engine.input(self.now, input);
    }

    fn store(&mut self, batch: Batch) {
        for row in batch.rows {
            let key = (row.table.to_owned(), row.key);
            match row.body {
                Some(body) => drop(self.rows.insert(key, body)),
                None => drop(self.rows.remove(&key)),
            }
        }
        self.facts.extend(batch.entries.into_iter().map(|entry| entry.fact));
        self.chain = batch.chain;
    }

    /// Commits what there is; the effects that come free.
    fn commit(&mut self) -> Vec<Effect> {
        while let Some(batch) = self.engine.take_batch() {
            self.store(batch);
        }
        self.engine.durable(self.now, self.chain.seq);
        self.engine.state().check().expect("the invariants hold");
        self.engine.effects().collect()
    }

    fn kinds_after(&self, seen: usize) -> Vec<&'static str> {
        self.facts[seen..].iter().map(|fact| fact.body.kind()).collect()
    }

    fn scan(&mut self, seq: u32, body: IntentBody) -> Verdict {
        let intent = Intent { at: self.now, ..intent(seq, body) };
        self.input(Input::Intent { scanner: SCANNER, intent });
        let effects = self.commit();
        let verdict = effects.into_iter().find_map(|effect| match effect {
            Effect::Answer { seq: of, verdict, .. } if of == seq => Some(verdict),
            _ => None,
        });
        verdict.expect("an answer")
    }

    fn place(&self, epc: Epc) -> Option<String> {
        let item = self.engine.state().items.get(&epc)?;
        item.place.as_ref().map(|place| place.location.as_str().to_owned())
    }

    fn stock(&self, sku: &str, location: &str) -> u64 {
        let of = self.engine.state().stock.iter();
        of.filter(|(key, _)| key.sku == sku && key.location == location).map(|(_, quantity)| quantity).sum()
    }

    /// What a restart makes of the journal.
    fn restarted(&self) -> Engine {
        let rows = self.rows.iter().map(|((table, key), body)| (table.clone(), key.clone(), body.clone())).collect();
        Engine::new(Arc::new(site()), Stored { chain: self.chain.clone(), rows }).expect("rows make sense")
    }

    /// A tag walks through the gate in two seconds; `inwards` or back out.
    fn walk(&mut self, epc: Epc, inwards: bool) {
        let start = self.now;
        for visit in 0..40_i64 {
            let antenna = (visit % 2 + 1) as u16;
            let point = ReadPointIx(antenna - 1);
            let along = visit * 100 - 2_000;
            let x = if inwards { along } else { -along };
            let distance = (x - if antenna == 1 { -1_000 } else { 1_000 }).abs();
            self.now = start + Duration::from_millis(visit * 50);
            let reads = u32::from(distance < 1_800);
            if reads > 0 {
                let rssi_cdbm = (-4_500 - distance * distance / 1_500) as i16;
                let at = self.now;
                let read = TagRead { epc, antenna, rssi_cdbm, count: 1, at, frequency_khz: None, phase: None };
                self.engine.read(self.now, point, &read);
            }
            self.now += Duration::from_millis(50);
            let visit =
                Visit { antenna, start: self.now - Duration::from_millis(50), end: self.now, reads, healthy: true };
            self.input(Input::Visit { point, visit });
        }
        self.pass(2_000);
        self.engine.tick(self.now);
    }
}

fn intent(seq: u32, body: IntentBody) -> Intent {
    Intent { seq, at: Timestamp::from_micros(i64::from(seq)), worker: code("W1"), body }
}

fn mug(serial: u64) -> Epc {
    stowage_gs1::epc::sgtin96(MUG, 7, serial, 1).expect("in range")
}

fn pens() -> ItemRef {
    ItemRef::Gtin { gtin: PEN, lot: None, serial: None, expiry: None }
}

fn receive(item: ItemRef, quantity: u32, at: &str) -> IntentBody {
    IntentBody::Receive { item, quantity, at: code(at) }
}

fn put_away(item: ItemRef, quantity: u32, to: &str) -> IntentBody {
    IntentBody::PutAway { item, quantity, to: code(to) }
}

fn see(epc: Epc, at: &str) -> IntentBody {
    IntentBody::See { item: ItemRef::Epc(epc), at: code(at) }
}

#[test]
fn goods_that_walk_in_are_booked_in_and_those_that_walk_out_leave_the_book() {
    let mut bench = Bench::new();
    bench.walk(mug(1), true);
    bench.commit();
    assert_eq!(bench.kinds_after(1), ["presence.moved", "stock.received"]);
    assert_eq!(bench.place(mug(1)).as_deref(), Some("DOCK"));
    bench.pass(60_000);
    bench.walk(mug(1), false);
    bench.commit();
    assert_eq!(bench.kinds_after(3), ["presence.moved", "stock.departed"]);
    assert_eq!((bench.place(mug(1)), bench.stock("MUG", "DOCK")), (None, 0));
}

#[test]
fn a_foreign_tag_is_counted_and_nothing_more() {
    let mut bench = Bench::new();
    let foreign = Epc::from_hex("3034257BF7194E4000001A85").expect("hex");
    bench.walk(foreign, true);
    bench.commit();
    assert_eq!(bench.facts.len(), 1);
    assert_eq!(bench.engine.view(bench.now).totals.foreign, 1);
}

#[test]
fn a_worker_receives_puts_away_and_counts() {
    let mut bench = Bench::new();
    let said = |verdict: Verdict| (verdict.level, verdict.key);
    assert_eq!(said(bench.scan(1, receive(pens(), 10, "DOCK"))), (Level::Ok, TextKey::Received));
    assert_eq!(said(bench.scan(2, put_away(pens(), 4, "A-1"))), (Level::Ok, TextKey::Moved));
    assert_eq!((bench.stock("PEN", "DOCK"), bench.stock("PEN", "A-1")), (6, 4));
    let count = |quantity| IntentBody::Count { item: pens(), quantity, at: code("A-1") };
    assert_eq!(said(bench.scan(3, count(4))), (Level::Ok, TextKey::Counted));
    assert_eq!(said(bench.scan(4, count(3))), (Level::Warn, TextKey::CountDiffers));
    assert_eq!(bench.stock("PEN", "A-1"), 3);
    assert_eq!(said(bench.scan(5, count(0))), (Level::Warn, TextKey::CountDiffers));
    assert_eq!(bench.stock("PEN", "A-1"), 0);
}

#[test]
fn what_the_book_lacks_is_found_then_moved() {
    let mut bench = Bench::new();
    bench.scan(1, receive(pens(), 2, "DOCK"));
    let verdict = bench.scan(2, put_away(pens(), 5, "A-1"));
    assert_eq!((verdict.level, verdict.key), (Level::Warn, TextKey::FoundThenMoved));
    assert_eq!(verdict.args.last().map(|had| had.as_str()), Some("2"));
    assert_eq!(bench.stock("PEN", "A-1"), 5);
    assert_eq!(bench.kinds_after(3), ["stock.moved", "stock.adjusted", "intent.answered"]);
}

#[test]
fn what_makes_no_sense_is_refused_in_words_and_the_refusal_is_a_fact() {
    let mut bench = Bench::new();
    let stop = |bench: &mut Bench, seq, body| {
        let verdict = bench.scan(seq, body);
        assert_eq!(verdict.level, Level::Stop);
        verdict.key
    };
    assert_eq!(stop(&mut bench, 1, receive(pens(), 1, "NOWHERE")), TextKey::UnknownLocation);
    assert_eq!(stop(&mut bench, 2, receive(ItemRef::Code(code("XYZ")), 1, "DOCK")), TextKey::UnknownCode);
    assert_eq!(stop(&mut bench, 3, receive(pens(), 0, "DOCK")), TextKey::QuantityOutOfRange);
    let bare_mug = ItemRef::Code(code("MUG-ALIAS"));
    assert_eq!(stop(&mut bench, 4, receive(bare_mug, 1, "DOCK")), TextKey::SerialNeedsTag);
    assert_eq!(stop(&mut bench, 5, receive(ItemRef::Epc(mug(1)), 2, "DOCK")), TextKey::QuantityOutOfRange);
    assert_eq!(bench.engine.answered(SCANNER), 5);
}

fn pen(serial: u64) -> Epc {
    stowage_gs1::epc::sgtin96(PEN, 7, serial, 1).expect("in range")
}

fn pens_of(lot: &str) -> ItemRef {
    ItemRef::Gtin { gtin: PEN, lot: Some(code(lot)), serial: None, expiry: None }
}

#[test]
fn a_tag_on_goods_that_are_kept_by_quantity_is_no_unit() {
    let mut bench = Bench::new();
    bench.scan(1, receive(ItemRef::Epc(pen(1)), 3, "DOCK"));
    assert_eq!(bench.engine.state().items.len(), 0);
    bench.scan(2, put_away(pens(), 3, "A-1"));
    bench.scan(3, put_away(ItemRef::Epc(pen(1)), 3, "A-2"));
    assert_eq!((bench.stock("PEN", "A-1"), bench.stock("PEN", "A-2")), (0, 3));
    let facts = bench.facts.len();
    bench.walk(pen(1), true);
    bench.commit();
    assert_eq!(bench.facts.len(), facts, "the radio books nothing by it");
}

#[test]
fn a_move_to_the_same_place_moves_nothing() {
    let mut bench = Bench::new();
    bench.scan(1, receive(pens(), 10, "DOCK"));
    let body = IntentBody::Move { item: pens(), quantity: 3, from: Some(code("DOCK")), to: code("DOCK") };
    assert_eq!(bench.scan(2, body).key, TextKey::SamePlace);
    assert_eq!(bench.stock("PEN", "DOCK"), 10);
}

#[test]
fn goods_kept_by_lots_are_found_under_the_only_lot_and_else_asked_for() {
    let mut bench = Bench::new();
    bench.scan(1, receive(pens_of("L1"), 10, "DOCK"));
    assert_eq!(bench.scan(2, put_away(ItemRef::Code(code("PEN")), 4, "A-1")).key, TextKey::Moved);
    assert_eq!((bench.stock("PEN", "DOCK"), bench.stock("PEN", "A-1")), (6, 4));
    bench.scan(3, receive(pens_of("L2"), 5, "DOCK"));
    assert_eq!(bench.scan(4, put_away(pens(), 1, "A-1")).key, TextKey::LotNeeded);
    assert_eq!(bench.scan(5, put_away(pens_of("L2"), 1, "A-1")).key, TextKey::Moved);
}

#[test]
fn more_stock_than_fits_32_bits_is_counted() {
    let mut bench = Bench::new();
    for seq in 1..=4_300 {
        bench.scan(seq, receive(pens(), 1_000_000, "DOCK"));
    }
    assert_eq!(bench.stock("PEN", "DOCK"), 4_300_000_000);
    assert_eq!(bench.scan(4_301, put_away(pens(), 1_000_000, "A-1")).key, TextKey::Moved);
}

#[test]
fn nothing_is_scanned_to_a_place_outside() {
    let mut bench = Bench::new();
    for (seq, body) in
        (1..).zip([receive(pens(), 1, "OUTSIDE"), put_away(pens(), 1, "OUTSIDE"), see(mug(1), "OUTSIDE")])
    {
        assert_eq!(bench.scan(seq, body).key, TextKey::UnknownLocation);
    }
}

#[test]
fn a_scan_that_comes_late_does_not_undo_what_the_radio_saw_since() {
    let mut bench = Bench::new();
    let early = bench.now;
    bench.walk(mug(1), true);
    bench.pass(60_000);
    bench.walk(mug(1), false);
    bench.commit();
    let body = put_away(ItemRef::Epc(mug(1)), 1, "A-1");
    let late = Intent { seq: 1, at: early, worker: code("W1"), body };
    bench.input(Input::Intent { scanner: SCANNER, intent: late });
    let effects = bench.commit();
    let heard =
        |effect: &Effect| matches!(effect, Effect::Answer { verdict, .. } if verdict.key == TextKey::HeardSince);
    assert!(effects.iter().any(heard), "{effects:?}");
    assert_eq!(bench.place(mug(1)), None, "it has left");
}

#[test]
fn what_the_radio_saw_while_nothing_could_be_stored_is_compared_afterwards() {
    let mut bench = Bench::new();
    bench.engine.failed(bench.now, "the disk is full");
    bench.walk(mug(1), true);
    assert!(!bench.engine.has_batch(), "meanwhile the radio feeds presence only");
    bench.commit();
    bench.commit();
    assert_eq!(bench.kinds_after(1), ["presence.moved", "stock.received"]);
    assert_eq!(bench.place(mug(1)).as_deref(), Some("DOCK"));
}

#[test]
fn a_clock_a_little_behind_the_journal_stops_no_parcel() {
    let mut bench = Bench::new();
    bench.engine = bench.restarted();
    bench.now = bench.now - Duration::from_secs(200);
    let decide_by = bench.now + Duration::from_millis(400);
    bench.input(scanned(1, Some("1Z-A"), decide_by));
    assert_eq!(chutes(&bench.commit()), ["C1"]);
    assert!(bench.facts.is_sorted_by_key(|fact| fact.at), "the journal's times don't go back");
}

#[test]
fn a_site_file_that_unmakes_units_in_stock_is_refused() {
    let mut bench = Bench::new();
    bench.scan(1, receive(ItemRef::Epc(mug(1)), 1, "DOCK"));
    let mut site = site();
    site.skus[0].serialised = false;
    let rows = bench.rows.iter().map(|((table, key), body)| (table.clone(), key.clone(), body.clone())).collect();
    let refused = Engine::new(Arc::new(site), Stored { chain: bench.chain.clone(), rows }).expect_err("refused");
    assert!(refused.contains("MUG"), "{refused}");
}

#[test]
fn a_barcode_with_a_serial_names_the_tagged_unit() {
    let mut bench = Bench::new();
    bench.scan(1, receive(ItemRef::Epc(mug(77)), 1, "DOCK"));
    let item = ItemRef::Gtin { gtin: MUG, lot: None, serial: Some(code("77")), expiry: None };
    let verdict = bench.scan(2, put_away(item, 1, "A-2"));
    assert_eq!(verdict.key, TextKey::Moved);
    assert_eq!(bench.place(mug(77)).as_deref(), Some("A-2"));
}

#[test]
fn a_repeat_gets_the_first_answer_and_another_content_an_error() {
    let mut bench = Bench::new();
    let first = bench.scan(1, receive(pens(), 10, "DOCK"));
    let facts = bench.facts.len();
    assert_eq!(bench.scan(1, receive(pens(), 10, "DOCK")), first);
    let other = bench.scan(1, receive(pens(), 11, "DOCK"));
    assert_eq!((other.level, other.key), (Level::Stop, TextKey::RepeatDiffers));
    assert_eq!((bench.facts.len(), bench.stock("PEN", "DOCK")), (facts, 10));
}

#[test]
fn an_intent_behind_a_gap_is_refused_until_the_gap_is_filled() {
    let mut bench = Bench::new();
    bench.input(Input::Intent { scanner: SCANNER, intent: intent(2, receive(pens(), 1, "DOCK")) });
    assert_eq!(bench.commit(), [Effect::Refuse { scanner: SCANNER, seq: 2 }]);
    bench.scan(1, receive(pens(), 1, "DOCK"));
    bench.scan(2, receive(pens(), 1, "DOCK"));
    assert_eq!(bench.stock("PEN", "DOCK"), 2);
}

#[test]
fn a_restored_journal_goes_on_behind_what_the_scanner_was_told() {
    let mut bench = Bench::new();
    bench.input(Input::Lost { scanner: SCANNER, answered: 40 });
    bench.commit();
    assert_eq!(bench.kinds_after(1), ["scanner.resumed"]);
    bench.scan(41, receive(pens(), 1, "DOCK"));
}

#[test]
fn nothing_is_promised_before_it_is_durable() {
    let mut bench = Bench::new();
    bench.input(Input::Intent { scanner: SCANNER, intent: intent(1, receive(pens(), 1, "DOCK")) });
    let batch = bench.engine.take_batch().expect("facts");
    bench.engine.durable(bench.now, batch.chain.seq - 1);
    assert_eq!(bench.engine.effects().count(), 0, "its last fact is not durable yet");
    bench.engine.durable(bench.now, batch.chain.seq);
    assert_eq!(bench.engine.effects().count(), 1);
}

#[test]
fn while_commits_fail_intents_are_refused_and_nothing_accepted_is_lost() {
    let mut bench = Bench::new();
    bench.input(Input::Intent { scanner: SCANNER, intent: intent(1, receive(pens(), 1, "DOCK")) });
    let batch = bench.engine.take_batch().expect("facts");
    bench.engine.failed(bench.now, "the disk is full");
    bench.input(Input::Intent { scanner: SCANNER, intent: intent(2, receive(pens(), 1, "DOCK")) });
    assert_eq!(bench.engine.effects().collect::<Vec<_>>(), [Effect::Refuse { scanner: SCANNER, seq: 2 }]);
    assert_eq!(bench.engine.view(bench.now).problem.as_deref(), Some("the disk is full"));
    bench.store(batch);
    let effects = bench.commit();
    assert!(matches!(effects[..], [Effect::Answer { seq: 1, .. }]), "{effects:?}");
    bench.scan(2, receive(pens(), 1, "DOCK"));
    assert_eq!(bench.stock("PEN", "DOCK"), 2);
}

#[test]
fn a_move_past_the_policy_is_a_discrepancy_that_a_scan_settles() {
    let mut bench = Bench::new();
    bench.scan(1, receive(ItemRef::Epc(mug(5)), 1, "DOCK"));
    bench.scan(2, put_away(ItemRef::Epc(mug(5)), 1, "A-1"));
    let seen = bench.facts.len();
    // The book has it in STORE; the gate sees it come in from outside.
    bench.walk(mug(5), true);
    let effects = bench.commit();
    assert_eq!(bench.kinds_after(seen), ["presence.moved", "discrepancy.opened"]);
    let opened = bench.facts.last().expect("a fact");
    assert!(opened.why.as_ref().is_some_and(|why| why.contains("GATE")), "{opened:?}");
    let Body::DiscrepancyOpened(opened) = &opened.body else { panic!("{opened:?}") };
    assert_eq!((opened.book.as_deref(), opened.world.as_str()), (Some("A-1"), "DOCK"));
    assert!(matches!(effects[..], [Effect::AddTask { key: TextKey::CheckItem, .. }]), "{effects:?}");
    assert_eq!(bench.place(mug(5)).as_deref(), Some("A-1"), "the book waits for a person");

    let seen = bench.facts.len();
    let verdict = bench.scan(3, see(mug(5), "A-2"));
    assert_eq!(bench.kinds_after(seen), ["discrepancy.settled", "stock.moved", "intent.answered"]);
    assert_eq!(verdict.key, TextKey::DoubtSettled);
    assert_eq!(bench.place(mug(5)).as_deref(), Some("A-2"));
    assert_eq!(bench.engine.view(bench.now).discrepancies, []);
}

#[test]
fn a_person_at_the_page_may_take_the_radios_word_once() {
    let mut bench = Bench::new();
    bench.scan(1, receive(ItemRef::Epc(mug(5)), 1, "DOCK"));
    bench.scan(2, put_away(ItemRef::Epc(mug(5)), 1, "A-1"));
    bench.walk(mug(5), true);
    bench.commit();
    let id = bench.engine.view(bench.now).discrepancies[0].id;
    bench.input(Input::Settle { request: 1, discrepancy: id });
    bench.input(Input::Settle { request: 2, discrepancy: id });
    let effects = bench.commit();
    let replies: Vec<_> = effects.iter().filter(|effect| matches!(effect, Effect::Reply { .. })).collect();
    assert_eq!(
        replies,
        [&Effect::Reply { request: 1, reply: Reply::Done }, &Effect::Reply { request: 2, reply: Reply::NotFound }]
    );
    assert_eq!(bench.place(mug(5)).as_deref(), Some("DOCK"));
}

fn scanned(item: u32, text: Option<&str>, decide_by: Timestamp) -> Input {
    let event = SorterEvent::Scanned { boot: 7, item, code: text.map(code), decide_by };
    Input::Sorter { sorter: SORTER, event }
}

fn sorter(event: SorterEvent) -> Input {
    Input::Sorter { sorter: SORTER, event }
}

fn chutes(effects: &[Effect]) -> Vec<&str> {
    let chute = |effect: &'_ Effect| match effect {
        Effect::Divert { .. } => Some(()),
        _ => None,
    };
    assert!(effects.iter().all(|effect| chute(effect).is_some()), "{effects:?}");
    effects
        .iter()
        .filter_map(|effect| if let Effect::Divert { chute, .. } = effect { Some(chute.as_str()) } else { None })
        .collect()
}

/// Of each command: the sorter, the item, the chute.
fn chutes_of(effects: &[Effect]) -> Vec<(DeviceIx, u32, String)> {
    let divert = |effect: &Effect| match effect {
        Effect::Divert { sorter, item, chute, .. } => (*sorter, *item, chute.as_str().to_owned()),
        other => panic!("{other:?}"),
    };
    effects.iter().map(divert).collect()
}

#[test]
fn a_parcel_is_commanded_after_its_facts_are_durable_and_each_step_is_a_fact() {
    let mut bench = Bench::new();
    bench.input(Input::Announce { request: 1, code: code("P1"), route: code("NORTH") });
    assert_eq!(bench.commit(), [Effect::Reply { request: 1, reply: Reply::Done }]);
    let decide_by = bench.now + Duration::from_millis(400);
    bench.input(scanned(1, Some("P1"), decide_by));
    assert_eq!(bench.engine.effects().count(), 0, "not before it is durable");
    assert_eq!(chutes(&bench.commit()), ["C1"]);
    for event in [
        SorterEvent::Sent { boot: 7, item: 1 },
        SorterEvent::Acknowledged { boot: 7, item: 1 },
        SorterEvent::Ended { boot: 7, item: 1, outcome: SortOutcome::Diverted, chute: Some(code("C1")) },
        SorterEvent::Ended { boot: 7, item: 1, outcome: SortOutcome::Diverted, chute: Some(code("C1")) },
    ] {
        bench.input(sorter(event));
    }
    let recorded = Effect::Recorded { sorter: SORTER, boot: 7, item: 1 };
    assert_eq!(bench.engine.effects().count(), 0, "nothing is recorded yet");
    assert_eq!(bench.commit(), [recorded.clone(), recorded]);
    let wanted = ["parcel.scanned", "command.planned", "command.sent", "command.acknowledged", "command.confirmed"];
    assert_eq!(bench.kinds_after(2), wanted, "and the repeat is no news");
    assert!(bench.facts[2..].iter().all(|fact| fact.what.as_deref() == Some("P1")), "each is about the parcel");
}

#[test]
fn problems_go_to_the_hospital_and_a_full_chute_is_passed_by() {
    let mut bench = Bench::new();
    let decide_by = bench.now + Duration::from_millis(400);
    bench.input(scanned(1, None, decide_by));
    bench.input(scanned(2, Some("NEVER-HEARD"), decide_by));
    bench.input(scanned(3, Some("1Z-A"), decide_by));
    bench.input(sorter(SorterEvent::Full { chute: code("C1"), full: true }));
    bench.input(scanned(4, Some("1Z-B"), decide_by));
    bench.input(sorter(SorterEvent::Full { chute: code("C2"), full: true }));
    bench.input(scanned(5, Some("1Z-C"), decide_by));
    bench.input(scanned(5, Some("1Z-C"), decide_by));
    assert_eq!(chutes(&bench.commit()), ["HOSPITAL", "HOSPITAL", "C1", "C2", "HOSPITAL"]);
}

#[test]
fn a_command_whose_moment_passes_while_it_waits_is_missed_and_never_sent() {
    let mut bench = Bench::new();
    bench.input(scanned(1, Some("1Z-A"), bench.now + Duration::from_millis(400)));
    let batch = bench.engine.take_batch().expect("facts");
    bench.pass(500);
    bench.store(batch);
    assert_eq!(bench.commit(), [], "durable too late");
    bench.pass(WORD_WAIT.millis());
    bench.engine.tick(bench.now);
    bench.commit();
    assert_eq!(bench.kinds_after(1), ["parcel.scanned", "command.planned", "command.missed"]);
    assert_eq!(bench.facts.last().map(|fact| fact.at), Some(bench.now - Duration::from_millis(100)), "at its own time");
    bench.input(scanned(2, Some("1Z-A"), bench.now));
    assert_eq!(bench.commit(), [], "reported too late: recorded, not sent");
}

#[test]
fn a_sorters_restart_voids_its_open_commands_and_ours_sends_them_again() {
    let mut bench = Bench::new();
    let decide_by = bench.now + Duration::from_millis(4_000);
    bench.input(scanned(1, Some("1Z-A"), decide_by));
    bench.commit();
    bench.engine = bench.restarted();
    bench.input(sorter(SorterEvent::Up { boot: 7 }));
    assert_eq!(chutes(&bench.commit()), ["C1"], "the same id, so a repeat harms nothing");
    bench.input(sorter(SorterEvent::Up { boot: 8 }));
    bench.commit();
    assert_eq!(bench.kinds_after(3), ["command.failed"]);
}

#[test]
fn of_a_command_that_an_earlier_run_may_have_sent_only_the_sorter_tells_the_end() {
    let outcome = SorterEvent::Ended { boot: 7, item: 1, outcome: SortOutcome::Diverted, chute: Some(code("C1")) };
    for (told, wanted) in [(Some(outcome), "command.confirmed"), (None, "command.missed")] {
        let mut bench = Bench::new();
        bench.input(scanned(1, Some("1Z-A"), bench.now + Duration::from_millis(400)));
        assert_eq!(chutes(&bench.commit()), ["C1"]);
        // Here it is sent, and the edge dies before that is a fact.
        bench.engine = bench.restarted();
        bench.pass(500);
        bench.input(sorter(SorterEvent::Up { boot: 7 }));
        bench.input(sorter(SorterEvent::NotSent { boot: 7, item: 1 }));
        bench.commit();
        assert_eq!(bench.kinds_after(3), [""; 0], "the moment has passed, and proves nothing");
        if let Some(told) = told {
            bench.input(sorter(told));
        }
        bench.pass(OUTCOME_WAIT.millis());
        bench.engine.tick(bench.now);
        bench.commit();
        assert_eq!(bench.kinds_after(3), [wanted]);
    }
}

#[test]
fn of_a_command_that_was_sent_before_its_link_broke_only_the_sorter_tells_the_end() {
    let mut bench = Bench::new();
    bench.input(scanned(1, Some("1Z-A"), bench.now + Duration::from_millis(400)));
    assert_eq!(chutes(&bench.commit()), ["C1"]);
    bench.input(sorter(SorterEvent::Sent { boot: 7, item: 1 }));
    bench.pass(500);
    // Back again, but too late for another try.
    bench.input(sorter(SorterEvent::Up { boot: 7 }));
    bench.input(sorter(SorterEvent::NotSent { boot: 7, item: 1 }));
    let chute = Some(code("C1"));
    bench.input(sorter(SorterEvent::Ended { boot: 7, item: 1, outcome: SortOutcome::Diverted, chute }));
    bench.commit();
    assert_eq!(bench.kinds_after(3), ["command.sent", "command.confirmed"]);
}

#[test]
fn an_item_that_was_never_reported_is_recorded_once_where_it_ended() {
    let mut bench = Bench::new();
    let ended = || SorterEvent::Ended { boot: 7, item: 3, outcome: SortOutcome::Missed, chute: Some(code("HOSPITAL")) };
    bench.input(sorter(ended()));
    bench.commit();
    bench.engine = bench.restarted();
    bench.input(sorter(ended()));
    bench.commit();
    assert_eq!(bench.kinds_after(1), ["parcel.missed"]);
    bench.input(scanned(3, Some("1Z-A"), bench.now + Duration::from_millis(400)));
    assert_eq!(bench.commit(), [], "a report that comes after the end commands nothing");
}

#[test]
fn whether_a_command_left_its_session_may_tell_a_little_after_the_deadline() {
    for (told, wanted) in [
        (SorterEvent::Sent { boot: 7, item: 1 }, &["command.sent", "command.confirmed"][..]),
        (SorterEvent::NotSent { boot: 7, item: 1 }, &["command.missed", "parcel.ended"]),
    ] {
        let mut bench = Bench::new();
        bench.input(scanned(1, Some("1Z-A"), bench.now + Duration::from_millis(400)));
        assert_eq!(chutes(&bench.commit()), ["C1"]);
        bench.pass(401);
        bench.engine.tick(bench.now);
        bench.input(sorter(told));
        let chute = Some(code("C1"));
        bench.input(sorter(SorterEvent::Ended { boot: 7, item: 1, outcome: SortOutcome::Diverted, chute }));
        bench.commit();
        assert_eq!(bench.kinds_after(3), wanted);
    }
}

#[test]
fn the_end_of_an_item_is_told_also_where_its_command_was_over_before() {
    let mut bench = Bench::new();
    bench.input(scanned(1, Some("1Z-A"), bench.now + Duration::from_millis(400)));
    bench.input(scanned(2, Some("1Z-A"), bench.now + Duration::from_millis(400)));
    bench.commit();
    let full = || "the chute is full".to_owned();
    let ended = |item, outcome| sorter(SorterEvent::Ended { boot: 7, item, outcome, chute: Some(code("HOSPITAL")) });
    for event in [
        SorterEvent::Sent { boot: 7, item: 1 },
        SorterEvent::Refused { boot: 7, item: 1, reason: full() },
        SorterEvent::NotSent { boot: 7, item: 2 },
    ] {
        bench.input(sorter(event));
    }
    bench.input(ended(1, SortOutcome::Missed));
    bench.input(ended(2, SortOutcome::Missed));
    bench.commit();
    let wanted = ["command.sent", "command.failed", "command.missed", "parcel.ended", "parcel.ended"];
    assert_eq!(bench.kinds_after(5), wanted);
    let facts = &bench.facts[6..];
    assert_eq!(facts[0].why.as_deref(), Some("the chute is full"));
    assert!(facts[2..].iter().all(|fact| fact.place == Some(code("HOSPITAL"))), "{facts:?}");
    bench.engine = bench.restarted();
    bench.input(ended(1, SortOutcome::Missed));
    bench.commit();
    assert_eq!(bench.kinds_after(5), wanted, "a repeat is no news, also after a restart");
}

#[test]
fn every_way_in_which_an_item_can_end_is_told_once_and_says_why() {
    for (outcome, kind, why) in [
        (SortOutcome::Missed, "command.missed", "safe plan"),
        (SortOutcome::Full, "command.failed", "C1 had become full"),
        (SortOutcome::Gap, "command.failed", "too near to its neighbour"),
        (SortOutcome::Double, "command.failed", "can't be told apart"),
        (SortOutcome::Lost, "command.failed", "lost track"),
        (SortOutcome::Jammed, "command.failed", "stuck"),
        (SortOutcome::Diverted, "command.failed", "it went to C2, not to C1"),
    ] {
        let mut bench = Bench::new();
        bench.input(scanned(1, Some("1Z-A"), bench.now + Duration::from_millis(400)));
        let chute = (outcome == SortOutcome::Diverted).then(|| code("C2"));
        for _ in 0..2 {
            bench.input(sorter(SorterEvent::Ended { boot: 7, item: 1, outcome, chute: chute.clone() }));
        }
        bench.commit();
        assert_eq!(bench.kinds_after(3), [kind], "{outcome:?}");
        let said = bench.facts.last().and_then(|fact| fact.why.clone()).unwrap_or_default();
        assert!(said.contains(why), "{outcome:?}: {said}");
    }
}

#[test]
fn a_belt_that_stands_is_told_once_and_what_lies_on_it_is_waited_for() {
    let mut bench = Bench::new();
    bench.input(Input::Device { device: SORTER, event: DeviceEvent::Up });
    bench.input(sorter(SorterEvent::Up { boot: 7 }));
    bench.input(sorter(SorterEvent::Belt(Belt::Running)));
    bench.input(scanned(1, Some("1Z-A"), bench.now + Duration::from_millis(400)));
    bench.commit();
    bench.input(sorter(SorterEvent::Acknowledged { boot: 7, item: 1 }));
    bench.input(sorter(SorterEvent::Belt(Belt::Estop)));
    bench.input(sorter(SorterEvent::Belt(Belt::Estop)));
    bench.commit();
    let stopped = bench.facts.last().expect("a fact");
    assert_eq!(stopped.body, Body::BeltChanged(BeltChanged { sorter: code("sorter-1"), belt: Belt::Estop }));
    assert!(stopped.why.as_deref().is_some_and(|why| why.contains("only the machine's own people clear it")));
    assert_eq!(bench.engine.view(bench.now).devices[1].belt, Some(Belt::Estop));
    let before = bench.facts.len();
    bench.pass(10 * OUTCOME_WAIT.millis());
    bench.engine.tick(bench.now);
    assert_eq!(bench.commit(), [], "nothing clears it, and nothing is given up");
    assert_eq!(bench.facts.len(), before);
    bench.input(sorter(SorterEvent::Belt(Belt::Running)));
    let chute = Some(code("C1"));
    bench.input(sorter(SorterEvent::Ended { boot: 7, item: 1, outcome: SortOutcome::Diverted, chute }));
    bench.commit();
    assert_eq!(bench.kinds_after(before), ["belt.changed", "command.confirmed"]);
}

#[test]
fn a_sorter_that_is_gone_with_its_belt_standing_is_waited_for_no_longer() {
    let mut bench = Bench::new();
    bench.input(Input::Device { device: SORTER, event: DeviceEvent::Up });
    bench.input(sorter(SorterEvent::Belt(Belt::Stopped)));
    bench.input(scanned(1, Some("1Z-A"), bench.now + Duration::from_millis(400)));
    bench.input(sorter(SorterEvent::Acknowledged { boot: 7, item: 1 }));
    bench.input(Input::Device { device: SORTER, event: DeviceEvent::Down("cable".into()) });
    bench.commit();
    bench.pass(2 * OUTCOME_WAIT.millis());
    bench.engine.tick(bench.now);
    bench.commit();
    assert_eq!(bench.facts.last().map(|fact| fact.body.kind()), Some("command.missed"));
}

#[test]
fn two_sorters_share_one_plan_and_nothing_else() {
    let mut site = site();
    let mut rule = |sorter, prefix: &str, chutes: &[&str]| {
        let chutes = chutes.iter().map(|chute| code(chute)).collect();
        site.sort_plan.push(SortRule { sorter, route: None, prefix: Some(code(prefix)), chutes });
    };
    rule(Some(SORTER), "EXP", &["C2"]);
    rule(None, "EXP", &["C1"]);
    rule(None, "ANY", &["C9", "C2", "C1"]);
    let chutes = vec![code("C1"), code("C2"), code("C9"), code("PROBLEMS")];
    let kind = DeviceKind::Sorter { chutes, hospital: code("PROBLEMS") };
    site.devices.push(Device { code: code("sorter-2"), kind });
    let second = DeviceIx(3);
    let mut bench = Bench::at(site);
    let decide_by = bench.now + Duration::from_millis(400);
    let at = |sorter, event| Input::Sorter { sorter, event };
    let scan = |item, text: &str| SorterEvent::Scanned { boot: 7, item, code: Some(code(text)), decide_by };
    for (item, text) in ["1Z-A", "EXP-A", "ANY-A", "WHAT"].into_iter().enumerate() {
        bench.input(at(SORTER, scan(item as u32 + 1, text)));
        bench.input(at(second, scan(item as u32 + 1, text)));
    }
    assert_eq!(
        chutes_of(&bench.commit()),
        [
            (SORTER, 1, "C1".into()),
            (second, 1, "C1".into()),
            (SORTER, 2, "C2".into()),
            (second, 2, "C1".into()),
            (SORTER, 3, "C2".into()),
            (second, 3, "C9".into()),
            (SORTER, 4, "HOSPITAL".into()),
            (second, 4, "PROBLEMS".into()),
        ],
        "the same item numbers are two items; a chute that a sorter doesn't have is passed by"
    );
    // What one sorter's chutes, items and starts are is no matter of the other.
    bench.input(at(second, SorterEvent::Full { chute: code("C1"), full: true }));
    bench.input(at(SORTER, scan(5, "1Z-B")));
    bench.input(at(second, scan(5, "1Z-B")));
    assert_eq!(chutes_of(&bench.commit()), [(SORTER, 5, "C1".into()), (second, 5, "C2".into())]);
    let before = bench.facts.len();
    bench.input(at(SORTER, SorterEvent::Up { boot: 8 }));
    bench.input(at(second, SorterEvent::Acknowledged { boot: 7, item: 5 }));
    bench.commit();
    let failed = bench.facts[before..].iter().filter(|fact| fact.body.kind() == "command.failed");
    assert!(failed.clone().all(|fact| fact.who.as_deref() == Some("device:sorter-1")), "{failed:?}");
    assert_eq!(failed.count(), 5);
    assert_eq!(bench.kinds_after(before + 5), ["command.sent", "command.acknowledged"]);
}

#[test]
fn a_restart_goes_on_with_the_same_state() {
    let mut bench = Bench::new();
    bench.walk(mug(1), true);
    bench.scan(1, receive(pens(), 10, "DOCK"));
    bench.scan(2, put_away(ItemRef::Epc(mug(1)), 1, "A-1"));
    bench.input(scanned(1, Some("1Z-A"), bench.now + Duration::from_millis(400)));
    bench.commit();
    let again = bench.restarted();
    assert_eq!(again.state(), bench.engine.state());
    let mut folded = State::default();
    for fact in &bench.facts {
        folded.apply(fact).expect("the journal folds");
    }
    assert_eq!(&folded, bench.engine.state());
    assert_eq!(again.presence().posterior(&mug(1)).and_then(|tag| tag.committed), Some(ZoneIx(2)));
}

#[test]
fn batch_borders_change_no_fact() {
    let run = |commit_each: bool| {
        let mut bench = Bench::new();
        let decide_by = bench.now + Duration::from_millis(400);
        for item in 0..20 {
            bench.input(scanned(item, Some("1Z-A"), decide_by + Duration::from_millis(i64::from(item) * 50)));
            let body = receive(pens(), 1 + item, "DOCK");
            bench.input(Input::Intent { scanner: SCANNER, intent: intent(item + 1, body) });
            bench.pass(60);
            if commit_each {
                bench.commit();
            }
        }
        bench.pass(100_000);
        bench.engine.tick(bench.now);
        bench.commit();
        bench.facts.iter().map(|fact| fact.line("T1", 1)).collect::<Vec<_>>()
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn every_fact_reads_back_from_its_line() {
    let mut bench = Bench::new();
    bench.walk(mug(1), true);
    bench.scan(1, put_away(ItemRef::Epc(mug(1)), 1, "A-1"));
    bench.walk(mug(1), true);
    bench.scan(2, see(mug(1), "A-1"));
    bench.input(scanned(1, Some("1Z-A"), bench.now + Duration::from_millis(400)));
    bench.input(Input::Device { device: READER, event: DeviceEvent::Up });
    bench.input(Input::Device { device: READER, event: DeviceEvent::Down("cable".into()) });
    bench.commit();
    for fact in &bench.facts {
        let line = fact.line("T1", 3);
        assert_eq!(Fact::parse(&line).expect(&line), (3, fact.clone()));
        let keys = ["site", "epoch", "seq", "at", "kind", "v", "who", "what", "where", "when", "why", "cause", "data"];
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).expect("an object");
        assert!(keys.iter().all(|key| object.contains_key(*key)) && object.len() == keys.len(), "{line}");
    }
}
