//! The edge is killed again and again in the middle of its traffic: nothing that it said is lost, nothing done twice.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use stowage_tests::goods::{BACKPACK, LAMP, MUG, SNEAKERS};
use stowage_tests::plant::{Handheld, Plant};
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

/// What workers, goods and parcels do meanwhile.
struct Traffic {
    reader: Program,
    module: Program,
    sorter: Program,
    workers: Vec<Handheld>,
    round: u64,
}

impl Traffic {
    /// One round: a pallet through each door, two parcels, and what each worker has in hand.
    fn go_on(&mut self) {
        self.round += 1;
        let n = self.round * 100;
        let pallet = |item: u32| (n..n + 3).map(|serial| sgtin96(item, serial)).collect::<Vec<_>>();
        self.reader.tell(&json!({"pass": {"epcs": pallet(MUG), "direction": "in", "speed_mm_s": 4000}}));
        self.module.tell(&json!({"pass": {"epcs": pallet(BACKPACK), "direction": "in", "speed_mm_s": 4000}}));
        self.sorter.tell(&json!({"parcel": {"code": format!("EXP-{n}")}}));
        self.sorter.tell(&json!({"parcel": {"code": null}}));
        for (worker, item) in self.workers.iter_mut().zip([LAMP, SNEAKERS]) {
            for serial in n..n + 6 {
                worker.program.tell(&json!({"tag": sgtin96(item, serial)}));
                worker.sent += 1;
            }
        }
    }
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
    };
    for worker in &mut traffic.workers {
        worker.key("receive");
        worker.at("RECV-1");
    }
    let mut dice = Dice(seed);
    let mut announced = BTreeSet::new();
    for kill in 0..kills {
        // Now and then the whole plant is at work.
        if kill % 3 == 2 {
            edge.wait_device("sorter-1", true);
            edge.wait_device("gate-2", true);
        }
        traffic.go_on();
        let code = format!("P-{kill}");
        if edge.post("/api/parcels", &json!({"code": code, "route": "DE"})) == 201 {
            announced.insert(code);
        }
        // From the middle of the start-up to the middle of the belt.
        let pause = Duration::from_millis(dice.below(3_000));
        let begun = Instant::now();
        within(pause + Duration::from_secs(1), "the moment of the kill", || (begun.elapsed() >= pause).then_some(()));
        edge.program.kill();
        // What was answered by now is in the journal by now.
        let facts = plant.facts_of("intent.answered");
        let answered: BTreeSet<_> = facts.iter().filter_map(|fact| fact["what"].as_str()).collect();
        for (id, _) in verdicts(&traffic.workers) {
            assert!(answered.contains(id.as_str()), "kill {kill}: {id} was answered, but it isn't in the journal");
        }
        let parcels = plant.facts_of("parcel.announced");
        let parcels: BTreeSet<_> = parcels.iter().filter_map(|fact| fact["what"].as_str()).collect();
        assert!(announced.iter().all(|code| parcels.contains(code.as_str())), "kill {kill}: a parcel was forgotten");
        edge = plant.edge();
    }
    // Faults off: everything must finish.
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
    let facts = plant.facts();
    let of = |kind: &'static str| facts.iter().filter(move |fact| fact["kind"] == kind);
    let answers: Vec<_> = of("intent.answered").collect();
    let ids: BTreeSet<_> = answers.iter().map(|fact| fact["what"].to_string()).collect();
    assert_eq!((answers.len(), ids.len()), (said.len(), said.len()), "each intent is answered once");
    for fact in &answers {
        let verdict = &fact["data"]["verdict"];
        let heard = &said[fact["what"].as_str().expect("an id")];
        assert_eq!((&verdict["key"], &verdict["args"]), (&heard.0, &heard.1), "the worker heard what is recorded");
    }
    // Each tag came into the book once: by a worker, or by the dock door.
    let mut received = BTreeSet::new();
    for fact in of("stock.received") {
        assert!(received.insert(fact["what"].to_string()), "received twice: {fact}");
    }
    let by_workers = of("stock.received").filter(|fact| fact["who"] == "worker:worker-7").count();
    assert_eq!(by_workers, said.len(), "each intent was a new tag");
    let mut steps = BTreeSet::new();
    for fact in &facts {
        if let (Some(kind), Some(command)) = (fact["kind"].as_str(), fact["data"]["command"].as_str()) {
            assert!(steps.insert((kind.to_owned(), command.to_owned())), "a command's step twice: {fact}");
        }
    }
    assert_eq!(of("edge.started").count(), kills + 1);
    let violations = traffic.sorter.told("violation");
    assert_eq!(violations, [] as [Value; 0], "the sorter was told nothing late, twice or otherwise");
    edge.wait_device("gate-1", true);
    edge.wait_device("gate-2", true);
    edge.wait_device("sorter-1", true);
    println!("{} facts, {} intents, {} parcels scanned", facts.len(), said.len(), of("parcel.scanned").count());
    edge.stop();
    plant.verify();
    // The follower has had every fact, at least once.
    let mut mirror = json_lines(&std::fs::read(plant.path("mirror.jsonl")).expect("the follower's file"));
    mirror.sort_by_key(|fact| fact["seq"].as_u64());
    mirror.dedup();
    assert_eq!(mirror, plant.facts());
}
