//! Workers with handhelds: what they hear, and what is in the book.

use serde_json::{Value, json};
use stowage_tests::goods::{HEADPHONES, LAMP};
use stowage_tests::plant::{Handheld, Plant};
use stowage_tests::{sgtin_uri, sgtin96, until};

/// Seqs of a handheld's intents in the order in which the journal answers them.
fn answered(plant: &Plant, scanner: &str) -> Vec<u64> {
    let of = |fact: Value| (fact["data"]["scanner"] == scanner).then(|| fact["data"]["intent"]["seq"].as_u64())?;
    plant.facts_of("intent.answered").into_iter().filter_map(of).collect()
}

#[test]
fn a_worker_receives_puts_away_moves_and_counts_and_hears_what_becomes_of_it() {
    let plant = Plant::new();
    let edge = plant.edge();
    let mut worker = Handheld::start(&plant, 1);
    let tag = sgtin96(HEADPHONES, 5);
    worker.key("receive");
    worker.at("RECV-1");
    assert_eq!(worker.tag(&tag), "ok", "the beep comes at once");
    worker.program.tell(&json!({"quantity": 40}));
    // The tea's GTIN as an EAN-13 barcode.
    assert_eq!(worker.scan("9521321001077"), "ok");
    worker.key("put_away");
    worker.at("A-01-1");
    worker.tag(&tag);
    worker.key("move");
    worker.at("RECV-1");
    worker.program.tell(&json!({"quantity": 30}));
    let mark = worker.program.mark();
    worker.program.tell(&json!({"scan": "9521321001077"}));
    worker.program.hear_after(mark, "show", |show| show["key"] == "scan_location");
    worker.scan("A-02-1");
    worker.key("count");
    worker.at("A-02-1");
    worker.program.tell(&json!({"quantity": 28}));
    let mark = worker.program.mark();
    worker.program.tell(&json!({"scan": "9521321001077"}));
    worker.program.hear_after(mark, "show", |show| show["key"] == "counting");
    worker.key("enter");
    worker.sent += 1;
    let verdicts = worker.verdicts();
    let words: Vec<_> = verdicts.iter().map(|verdict| (verdict["level"].clone(), verdict["text"].clone())).collect();
    let expected = [
        ("ok", "Received 1 × HEADPHONES at RECV-1"),
        ("ok", "Received 40 × TEA at RECV-1"),
        ("ok", "Moved 1 × HEADPHONES to A-01-1"),
        ("ok", "Moved 30 × TEA to A-02-1"),
        ("warn", "Counted 28 × TEA at A-02-1, the book had 30. Book corrected"),
    ];
    assert_eq!(words, expected.map(|(level, text)| (json!(level), json!(text))));
    assert_eq!(worker.program.told("beep").last(), Some(&json!("warn")), "a difference is heard");
    let facts = plant.facts();
    let of = |kind: &str| facts.iter().filter(|fact| fact["kind"] == kind).cloned().collect::<Vec<_>>();
    let received = of("stock.received");
    assert_eq!(received[0]["what"], sgtin_uri(HEADPHONES, 5));
    assert_eq!(
        (&received[0]["who"], &received[0]["cause"]),
        (&json!("worker:worker-7"), &json!({"intent": "scan-1/1"}))
    );
    assert_eq!((&received[1]["data"]["sku"], &received[1]["data"]["quantity"]), (&json!("TEA"), &json!(40)));
    assert_eq!(of("stock.moved").len(), 2);
    let counted = &of("stock.counted")[0]["data"];
    assert_eq!((&counted["counted"], &counted["booked"]), (&json!(28), &json!(30)));
    assert_eq!(of("stock.adjusted")[0]["data"]["quantity"], 2);
    edge.wait_units(39);
    edge.stop();
    plant.verify();
}

#[test]
fn unknown_codes_and_wrong_check_digits_are_stopped_in_the_workers_language() {
    let plant = Plant::new();
    let edge = plant.edge();
    let mut worker = Handheld::start(&plant, 2);
    worker.key("receive");
    worker.at("RECV-2");
    worker.program.tell(&json!({"key": "language"}));
    let mark = worker.program.mark();
    worker.program.tell(&json!({"scan": "9521321001078"}));
    let shown = worker.program.hear_after(mark, "show", |show| show["level"] == "stop");
    assert_eq!(shown["text"], "9521321001078：校验位错误。请重新扫描");
    worker.scan("WHAT-IS-THIS");
    let verdict = worker.verdicts().pop().expect("there is one");
    assert_eq!((&verdict["level"], &verdict["key"]), (&json!("stop"), &json!("unknown_code")));
    worker.program.hear_after(mark, "beep", |level| level == "stop");
    assert_eq!(plant.facts_of("stock.received"), [] as [Value; 0]);
    edge.stop();
    plant.verify();
}

#[test]
fn a_handheld_goes_on_while_the_edge_is_dead_and_every_intent_is_booked_once_and_in_order() {
    let plant = Plant::new();
    let mut edge = plant.edge();
    let mut worker = Handheld::start(&plant, 1);
    worker.learn("9521321001053");
    worker.key("receive");
    worker.at("RECV-1");
    for serial in 0..5 {
        worker.tag(&sgtin96(LAMP, serial));
    }
    worker.verdicts();
    edge.program.kill();
    worker.program.hear("link", |up| *up == false);
    for serial in 5..25 {
        assert_eq!(worker.tag(&sgtin96(LAMP, serial)), "ok", "the worker goes on");
    }
    let shown = worker.program.told("show");
    assert_eq!(shown.last().map(|shown| shown["text"].clone()), Some(json!("Noted offline: 1 × LAMP")));
    worker.program.hear("pending", |pending| *pending == 20);
    let edge = plant.edge();
    let verdicts = worker.verdicts();
    assert!(verdicts.iter().all(|verdict| verdict["level"] == "ok"), "{verdicts:?}");
    until("the handheld's store to be empty", || {
        (worker.program.told("pending").last() == Some(&json!(0))).then_some(())
    });
    assert_eq!(answered(&plant, "scan-1"), (1..=25).collect::<Vec<_>>());
    let received = plant.facts_of("stock.received");
    let booked: Vec<_> = received.iter().map(|fact| fact["what"].clone()).collect();
    assert_eq!(booked, (0..25).map(|serial| json!(sgtin_uri(LAMP, serial))).collect::<Vec<_>>());
    edge.wait_units(25);
    edge.stop();
    plant.verify();
}

#[test]
fn a_handheld_that_is_killed_keeps_its_intents() {
    let plant = Plant::new();
    let mut edge = plant.edge();
    let mut worker = Handheld::start(&plant, 1);
    worker.learn("9521321001053");
    worker.key("receive");
    worker.at("RECV-1");
    worker.tag(&sgtin96(LAMP, 0));
    worker.verdicts();
    edge.program.kill();
    worker.program.hear("link", |up| *up == false);
    for serial in 1..8 {
        assert_eq!(worker.tag(&sgtin96(LAMP, serial)), "ok");
    }
    worker.program.kill();
    let mut worker = Handheld::start(&plant, 1);
    worker.program.hear("pending", |pending| *pending == 7);
    // It knows its numbers, too: new ones follow the old ones.
    let edge = plant.edge();
    worker.sent = 7;
    worker.verdicts();
    worker.key("receive");
    worker.at("RECV-2");
    worker.tag(&sgtin96(LAMP, 8));
    worker.verdicts();
    assert_eq!(answered(&plant, "scan-1"), (1..=9).collect::<Vec<_>>());
    let places = plant.facts_of("stock.received").iter().map(|fact| fact["where"].clone()).collect::<Vec<_>>();
    assert_eq!(places, [vec![json!("RECV-1"); 8], vec![json!("RECV-2")]].concat());
    edge.stop();
    plant.verify();
}
