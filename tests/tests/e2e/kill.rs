//! The edge is killed again and again in the middle of its traffic: nothing that it said is lost, nothing done twice.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use stowage_tests::goods::{BACKPACK, HEADPHONES, LAMP, MUG, SNEAKERS};
use stowage_tests::plant::{Edge, Handheld, Plant};
use stowage_tests::process::{Program, json_lines};
use stowage_tests::{long, sgtin96, until, within};

/// Draws when to kill (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Goods by quantity, one kind for each worker: their codes as in the demo's site, and as EAN-13 barcodes.
const BULK: [(&str, &str); 2] = [("TEA", "9521321001077"), ("SOCKS", "9521321001107")];

/// A worker turns to `mode` at `location`, as often as it takes until the handheld knows the place: just after a start
/// of the edge it may have to learn the site.
fn go(worker: &mut Handheld, mode: &str, location: &str) {
    until(&format!("the handheld to know {location}"), || {
        let mark = worker.program.mark();
        worker.program.tell(&json!({ "key": mode }));
        worker.program.tell(&json!({ "scan": location }));
        // Answers of before may come in between.
        let asks = |show: &Value| show["key"] == "scan_item" && show["args"] == json!([location]);
        let taken = |show: &Value| ["scan_location", "counting"].iter().any(|key| show["key"] == *key);
        let shown = worker.program.hear_after(mark, "show", |show| asks(show) || taken(show));
        asks(&shown).then_some(())
    });
}

/// A worker does `mode` at `location` with each of these tags.
fn work(worker: &mut Handheld, mode: &str, location: &str, tags: &[String]) {
    go(worker, mode, location);
    for tag in tags {
        worker.program.tell(&json!({ "tag": tag }));
        worker.sent += 1;
    }
}

/// A worker moves so many from `from` to `to`.
fn carry(worker: &mut Handheld, barcode: &str, quantity: u64, from: &str, to: &str) {
    until(&format!("the handheld to know {to}"), || {
        go(worker, "move", from);
        let mark = worker.program.mark();
        worker.program.tell(&json!({ "quantity": quantity }));
        worker.program.tell(&json!({ "scan": barcode }));
        worker.program.tell(&json!({ "scan": to }));
        let ends = ["kept", "kept_offline", "unknown_location"];
        let shown = worker.program.hear_after(mark, "show", |show| ends.iter().any(|key| show["key"] == *key));
        (shown["key"] != "unknown_location").then_some(())
    });
    worker.sent += 1;
}

/// What workers, goods and parcels do meanwhile.
struct Traffic {
    reader: Program,
    module: Program,
    sorter: Program,
    workers: Vec<Handheld>,
    round: u64,
    /// Items whose book and radio are to differ, and those among them that a worker has gone to settle.
    doubted: BTreeSet<String>,
    visited: BTreeSet<String>,
}

impl Traffic {
    /// One round: a pallet through each door, three parcels, and what each worker has to do.
    fn go_on(&mut self, announced: Option<&String>) {
        self.round += 1;
        let n = self.round * 100;
        let pallet = |item: u32| (n..n + 3).map(|serial| sgtin96(item, serial)).collect::<Vec<_>>();
        self.reader.tell(&json!({"pass": {"epcs": pallet(MUG), "direction": "in", "speed_mm_s": 4000}}));
        self.module.tell(&json!({"pass": {"epcs": pallet(BACKPACK), "direction": "in", "speed_mm_s": 4000}}));
        for code in [announced.map(|code| json!(code)), Some(json!(format!("EXP-{n}"))), Some(Value::Null)] {
            code.into_iter().for_each(|code| self.sorter.tell(&json!({"parcel": {"code": code}})));
        }
        for (worker, (item, (_, barcode))) in self.workers.iter_mut().zip([LAMP, SNEAKERS].into_iter().zip(BULK)) {
            let tags: Vec<_> = (n..n + 6).map(|serial| sgtin96(item, serial)).collect();
            work(worker, "receive", "RECV-1", &tags);
            worker.program.tell(&json!({"quantity": 40}));
            worker.program.tell(&json!({"scan": barcode}));
            worker.sent += 1;
            work(worker, "put_away", "A-01-1", &tags[..3]);
            // One is where the book has it, one isn't.
            work(worker, "find", "A-01-1", &tags[2..4]);
            // Every other time more than the book has.
            carry(worker, barcode, if self.round.is_multiple_of(2) { 60 } else { 30 }, "RECV-1", "A-02-1");
            go(worker, "count", "A-02-1");
            worker.program.tell(&json!({"quantity": 20 + self.round}));
            worker.program.tell(&json!({"scan": barcode}));
            worker.program.tell(&json!({"key": "enter"}));
            worker.sent += 1;
        }
    }

    /// The book gets an item at PACK-1, and an antenna in the store hears it.
    fn doubt(&mut self) {
        let epc = sgtin96(HEADPHONES, self.round);
        work(&mut self.workers[0], "receive", "PACK-1", std::slice::from_ref(&epc));
        self.workers[0].verdicts();
        self.module.tell(&json!({"place": {"epc": epc, "antenna": 2, "distance_mm": 1000}}));
        self.doubted.insert(epc);
    }

    /// A worker scans what is in doubt where it is.
    fn settle(&mut self, edge: &Edge) {
        let view = edge.view();
        let open = view["discrepancies"].as_array().into_iter().flatten().filter_map(|open| open["epc"].as_str());
        let new: Vec<_> = open.filter(|epc| !self.visited.contains(*epc)).map(str::to_owned).collect();
        if !new.is_empty() {
            work(&mut self.workers[1], "put_away", "B-02-2", &new);
            self.visited.extend(new);
        }
    }
}

/// Whether it came through a door, as its radio tells. A kill in the middle of that may leave a doubt.
fn by_door(epc: &str) -> bool {
    [MUG, BACKPACK].iter().any(|item| epc.starts_with(&sgtin96(*item, 0)[..15]))
}

/// Every verdict that a worker has had, by scanner and seq; repeats must be the same.
fn verdicts(workers: &[Handheld]) -> BTreeMap<String, (Value, Value)> {
    let mut all = BTreeMap::new();
    for (index, worker) in workers.iter().enumerate() {
        for verdict in worker.program.told("verdict") {
            let id = format!("scan-{}/{}", index + 1, verdict["seq"]);
            let said = (verdict["key"].clone(), verdict["args"].clone());
            if let Some(before) = all.insert(id.clone(), said.clone()) {
                assert_eq!(before, said, "{id} was answered twice, and differently");
            }
        }
    }
    all
}

fn of<'a>(facts: &'a [Value], kind: &'static str) -> impl Iterator<Item = &'a Value> {
    facts.iter().filter(move |fact| fact["kind"] == kind)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// What workers heard is in the journal, once, and as they heard it; each scanner's intents are there without a gap and
/// in order.
fn check_answers(facts: &[Value], said: &BTreeMap<String, (Value, Value)>) {
    let (mut last, mut answered) = (BTreeMap::<&str, u64>::new(), BTreeMap::new());
    for fact in of(facts, "intent.answered") {
        let last = last.entry(text(&fact["data"]["scanner"])).or_default();
        *last += 1;
        assert_eq!(fact["data"]["intent"]["seq"], *last, "in order, without gaps, none twice: {fact}");
        answered.insert(text(&fact["what"]), &fact["data"]["verdict"]);
    }
    for (id, (key, args)) in said {
        let recorded = answered.get(id.as_str()).unwrap_or_else(|| panic!("{id} was answered, but isn't recorded"));
        assert_eq!((&recorded["key"], &recorded["args"]), (key, args), "{id}: the worker heard what is recorded");
    }
}

/// The stock as the answered intents alone make it: an item is where a person last said; so many of a kind lie at a
/// location.
#[derive(Default)]
struct Model {
    items: BTreeMap<String, String>,
    bulk: BTreeMap<(String, String), u64>,
}

impl Model {
    /// Does what an intent says; returns what the worker must hear.
    fn step(&mut self, body: &Value, doubted: bool) -> &'static str {
        let (act, told) = body.as_object().and_then(|body| body.iter().next()).expect("one act");
        let at = text(if told["to"].is_null() { &told["at"] } else { &told["to"] }).to_owned();
        let quantity = told["quantity"].as_u64().unwrap_or(1);
        if let Some(epc) = told["item"]["epc"].as_str() {
            let before = self.items.insert(epc.to_owned(), at.clone());
            return match (act.as_str(), before) {
                (_, Some(_)) if doubted => "doubt_settled",
                ("see", Some(before)) if before == at => "seen",
                (_, Some(before)) if before == at => "here_already",
                ("receive", None) => "received",
                (_, Some(_)) => "moved",
                (_, None) => "found_then_moved",
            };
        }
        let barcode = format!("{}", told["item"]["gtin"]["gtin"]);
        let (sku, _) = BULK.into_iter().find(|(_, known)| *known == barcode).expect("a kind that is counted");
        let place = |at: &str| (sku.to_owned(), at.to_owned());
        match act.as_str() {
            "receive" => {
                *self.bulk.entry(place(&at)).or_default() += quantity;
                "received"
            }
            "move" => {
                let from = self.bulk.entry(place(text(&told["from"]))).or_default();
                let found = quantity.saturating_sub(*from);
                *from = from.saturating_sub(quantity);
                *self.bulk.entry(place(&at)).or_default() += quantity;
                if found > 0 { "found_then_moved" } else { "moved" }
            }
            "count" => {
                let booked = self.bulk.insert(place(&at), quantity).unwrap_or(0);
                if booked == quantity { "counted" } else { "count_differs" }
            }
            _ => panic!("nobody does this with goods by quantity: {body}"),
        }
    }
}

/// The book as the facts add up, of what workers scan, is what their answered intents make it.
fn check_stock(facts: &[Value]) {
    let (mut model, mut book) = (Model::default(), Model::default());
    let by_scan = |fact: &&Value| fact["data"]["by"] == "scan";
    let settled: BTreeSet<_> =
        of(facts, "discrepancy.settled").filter(by_scan).map(|fact| text(&fact["cause"]["intent"])).collect();
    let mut passed = BTreeSet::new();
    for fact in facts {
        let (kind, data) = (text(&fact["kind"]), &fact["data"]);
        if kind == "intent.answered" && !data["intent"]["body"].to_string().split('"').any(by_door) {
            let expected = model.step(&data["intent"]["body"], settled.contains(text(&fact["what"])));
            assert_eq!(data["verdict"]["key"], expected, "{fact}");
        }
        if !["stock.received", "stock.moved", "stock.adjusted", "stock.departed"].contains(&kind) {
            continue;
        }
        if ["MUG", "BACKPACK"].iter().any(|sku| data["sku"] == *sku) {
            // Came through a door, once.
            assert!(kind != "stock.received" || passed.insert(text(&data["epc"])), "received twice: {fact}");
            continue;
        }
        assert!(fact["cause"]["intent"].is_string(), "only scans move this: {fact}");
        let (from, to) = (data["from"]["location"].as_str(), data["to"]["location"].as_str());
        if let Some(epc) = data["epc"].as_str() {
            let before = book.items.remove(epc);
            assert_eq!(before.as_deref(), from, "it went from where it was: {fact}");
            book.items.extend(to.map(|to| (epc.to_owned(), to.to_owned())));
            continue;
        }
        let (sku, quantity) = (text(&data["sku"]).to_owned(), data["quantity"].as_u64().expect("a number"));
        if let Some(from) = from {
            let there = book.bulk.entry((sku.clone(), from.to_owned())).or_default();
            *there = there.checked_sub(quantity).unwrap_or_else(|| panic!("below zero: {fact}"));
        }
        if let Some(to) = to {
            *book.bulk.entry((sku, to.to_owned())).or_default() += quantity;
        }
    }
    for stock in [&mut model, &mut book] {
        stock.bulk.retain(|_, quantity| *quantity > 0);
    }
    assert_eq!(book.items, model.items, "each item is where a person last said");
    assert_eq!(book.bulk, model.bulk, "so many lie where they are");
}

/// The end of each parcel by the facts: kind and chute, by the sorter's number. None has two.
fn ends(facts: &[Value]) -> BTreeMap<u64, (&str, &Value)> {
    let mut ends = BTreeMap::new();
    for fact in facts {
        let kind = text(&fact["kind"]);
        if ["parcel.missed", "command.confirmed", "command.missed", "command.failed"].contains(&kind) {
            let item = text(&fact["data"]["command"]).rsplit_once('-').and_then(|(_, item)| item.parse().ok());
            let before = ends.insert(item.expect("it ends in the item"), (kind, &fact["data"]["chute"]));
            assert_eq!(before, None, "a second end: {fact}");
        }
    }
    ends
}

/// Each parcel went where the facts say. Around a kill one may be missed; none goes to a wrong chute.
fn check_parcels(facts: &[Value], sorter: &Program) {
    let delivered = sorter.told("delivered");
    let ends = ends(facts);
    for inducted in sorter.told("inducted") {
        let (item, code) = (&inducted["item"], inducted["code"].as_str());
        let went: Vec<_> = delivered.iter().filter(|delivered| delivered["item"] == *item).collect();
        assert_eq!(went.len(), 1, "{inducted} came to {went:?}");
        let (outcome, chute) = (&went[0]["outcome"], &went[0]["chute"]);
        let goal = code.map_or("HOSPITAL", |code| if code.starts_with("EXP") { "C4" } else { "C1" });
        let planned: Vec<_> = of(facts, "command.planned").filter(|fact| fact["data"]["item"] == *item).collect();
        assert!(planned.len() <= 1, "one command: {planned:?}");
        assert!(planned.iter().all(|fact| fact["data"]["chute"] == goal), "{inducted} to {goal}: {planned:?}");
        let end = ends.get(&item.as_u64().expect("a number")).copied();
        let end = end.unwrap_or_else(|| panic!("{inducted} has no end"));
        let agrees = match end {
            ("command.confirmed", told) => outcome == "diverted" && chute == goal && told == goal,
            ("command.missed", _) => outcome == "missed" && chute == "HOSPITAL" && !planned.is_empty(),
            ("parcel.missed", told) => {
                outcome == "missed" && chute == "HOSPITAL" && told == chute && planned.is_empty()
            }
            _ => false,
        };
        assert!(agrees, "the facts say {end:?} of {inducted}; it was {}", went[0]);
    }
}

#[test]
fn whatever_was_answered_outlives_any_number_of_kills_and_nothing_is_done_twice() {
    let (kills, seed) = if long() { (100, 7) } else { (12, 1) };
    println!("{kills} kills, seed {seed}");
    let plant = Plant::new();
    let follower = "[[follower]]\nkind = \"jsonl\"\npath = \"mirror.jsonl\"\n";
    plant.write_edge(&(plant.edge_toml() + follower));
    let _broker = plant.broker();
    let mut edge = plant.edge();
    let mut traffic = Traffic {
        reader: plant.reader(31),
        module: plant.module(32),
        sorter: plant.sorter(),
        workers: vec![Handheld::start(&plant, 1), Handheld::start(&plant, 2)],
        round: 0,
        doubted: BTreeSet::new(),
        visited: BTreeSet::new(),
    };
    let mut dice = Dice(seed);
    let mut announced = BTreeSet::new();
    for kill in 0..kills {
        // Now and then the whole plant is at work.
        if kill % 3 == 2 {
            edge.wait_device("sorter-1", true);
            edge.wait_device("gate-2", true);
            traffic.doubt();
        }
        let code = format!("P-{kill}");
        let promised = edge.post("/api/parcels", &json!({"code": code, "route": "DE"})) == 201;
        traffic.settle(&edge);
        traffic.go_on(promised.then_some(&code));
        if promised {
            announced.insert(code);
        }
        // From the middle of the start-up to the middle of the belt.
        let pause = Duration::from_millis(dice.below(3_000));
        let begun = Instant::now();
        within(pause + Duration::from_secs(1), "the moment of the kill", || (begun.elapsed() >= pause).then_some(()));
        edge.program.kill();
        // What was answered by now is in the journal by now.
        let facts = plant.facts();
        check_answers(&facts, &verdicts(&traffic.workers));
        check_stock(&facts);
        let parcels: BTreeSet<_> = of(&facts, "parcel.announced").map(|fact| text(&fact["what"])).collect();
        assert!(announced.iter().all(|code| parcels.contains(code.as_str())), "kill {kill}: a parcel was forgotten");
        edge = plant.edge();
    }
    // Faults off: everything must finish.
    for device in ["gate-1", "gate-2", "sorter-1", "scan-1", "scan-2"] {
        edge.wait_device(device, true);
    }
    until("every doubt to be settled", || {
        traffic.settle(&edge);
        (traffic.visited.is_superset(&traffic.doubted) && edge.view()["discrepancies"] == json!([])).then_some(())
    });
    let said = until("every intent to be answered", || {
        let said = verdicts(&traffic.workers);
        let sent: u64 = traffic.workers.iter().map(|worker| worker.sent).sum();
        (said.len() as u64 == sent).then_some(said)
    });
    for worker in &traffic.workers {
        until("the handheld's store to be empty", || {
            (worker.program.told("pending").last() == Some(&json!(0))).then_some(())
        });
    }
    until("every parcel to be delivered", || {
        (traffic.sorter.told("delivered").len() == traffic.sorter.told("inducted").len()).then_some(())
    });
    let facts = until("the end of every item", || {
        let facts = plant.facts();
        let all = ends(&facts).len() == traffic.sorter.told("inducted").len();
        all.then_some(facts)
    });
    check_answers(&facts, &said);
    assert_eq!(of(&facts, "intent.answered").count(), said.len(), "each intent is answered once");
    check_stock(&facts);
    check_parcels(&facts, &traffic.sorter);
    // Each doubt was opened, and ended by the scan that went there.
    for kind in ["discrepancy.opened", "discrepancy.settled"] {
        let epcs = of(&facts, kind).map(|fact| text(&fact["data"]["epc"]).to_owned());
        let epcs: Vec<_> = epcs.filter(|epc| !by_door(epc)).collect();
        assert_eq!(epcs.len(), traffic.doubted.len(), "{kind}: {epcs:?}");
        assert_eq!(epcs.into_iter().collect::<BTreeSet<_>>(), traffic.doubted, "{kind}");
    }
    let mut steps = BTreeSet::new();
    for fact in &facts {
        if let (Some(kind), Some(command)) = (fact["kind"].as_str(), fact["data"]["command"].as_str()) {
            assert!(steps.insert((kind.to_owned(), command.to_owned())), "a command's step twice: {fact}");
        }
    }
    assert_eq!(of(&facts, "edge.started").count(), kills + 1);
    let violations = traffic.sorter.told("violation");
    assert_eq!(violations, [] as [Value; 0], "the sorter was told nothing late, twice or otherwise");
    let (scanned, confirmed) = (of(&facts, "parcel.scanned").count(), of(&facts, "command.confirmed").count());
    println!(
        "{} facts, {} intents, {scanned} parcels scanned, {confirmed} confirmed, {} doubts",
        facts.len(),
        said.len(),
        traffic.doubted.len()
    );
    assert!(confirmed > 0, "some parcel was sorted");
    edge.stop();
    plant.verify();
    // The follower has had every fact, at least once.
    let mut mirror = json_lines(&std::fs::read(plant.path("mirror.jsonl")).expect("the follower's file"));
    mirror.sort_by_key(|fact| fact["seq"].as_u64());
    mirror.dedup();
    assert_eq!(mirror, plant.facts());
}
