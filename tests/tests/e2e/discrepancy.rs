//! The book says one thing, the radio another: it is shown with its reason, and a person settles it.

use serde_json::{Value, json};
use stowage_tests::goods::SNEAKERS;
use stowage_tests::plant::{Edge, Handheld, Plant};
use stowage_tests::process::Program;
use stowage_tests::{sgtin_uri, sgtin96, until};

/// The book gets the tag at PACK-1, and an antenna in the store hears it. Returns the discrepancy, as shown.
fn differ(edge: &Edge, module: &mut Program, worker: &mut Handheld, serial: u64) -> Value {
    let epc = sgtin96(SNEAKERS, serial);
    worker.key("receive");
    worker.at("PACK-1");
    worker.tag(&epc);
    assert_eq!(worker.verdicts().last().expect("it has answered")["level"], "ok");
    // With nothing in hand, a worker is told of tasks at once.
    worker.key("receive");
    module.tell(&json!({"place": {"epc": epc, "antenna": 2, "distance_mm": 1000}}));
    until("the discrepancy to be shown", || {
        let open = edge.view()["discrepancies"].as_array()?.iter().find(|open| open["epc"] == epc.as_str())?.clone();
        Some(open)
    })
}

fn none_open(edge: &Edge) {
    until("the discrepancy to be gone", || (edge.view()["discrepancies"] == json!([])).then_some(()));
}

#[test]
fn what_the_radio_hears_elsewhere_is_shown_with_its_reason_and_settled_by_a_scan() {
    let plant = Plant::new();
    let mut module = plant.module(21);
    let edge = plant.edge();
    edge.wait_device("gate-2", true);
    let mut worker = Handheld::start(&plant, 1);
    let open = differ(&edge, &mut module, &mut worker, 1);
    assert_eq!((&open["sku"], &open["book"]), (&json!("SNEAKER-42"), &json!("PACK-1")), "{open}");
    assert_eq!((&open["world"], &open["action"]), (&json!("STORE"), &json!("confirm")), "{open}");
    assert!(open["confidence"].as_u64() >= Some(600), "{open}");
    let reason = open["reason"].as_str().expect("a reason");
    assert!(reason.contains("heard steadily in STORE by antenna 2"), "{reason}");
    assert!(open["words"].is_object() || open["words"].is_string(), "{open}");
    // The picture of the moment may be a commit ahead of the journal.
    let opened = until("the discrepancy's fact", || {
        let opened = plant.facts_of("discrepancy.opened");
        (!opened.is_empty()).then_some(opened)
    });
    assert_eq!(opened.len(), 1);
    assert_eq!((&opened[0]["seq"], &opened[0]["why"]), (&open["id"], &open["reason"]));
    assert_eq!(opened[0]["what"], sgtin_uri(SNEAKERS, 1));
    // The next worker is asked, and scans it where it is.
    let asked = worker.program.hear("show", |show| show["key"] == "check_item");
    assert_eq!(asked["level"], "warn");
    let mark = worker.program.mark();
    worker.key("put_away");
    worker.at("A-01-1");
    worker.tag(&sgtin96(SNEAKERS, 1));
    let verdict = worker.program.hear_after(mark, "verdict", |_| true);
    assert_eq!((&verdict["key"], &verdict["level"]), (&json!("doubt_settled"), &json!("ok")), "{verdict}");
    none_open(&edge);
    let settled = plant.facts_of("discrepancy.settled");
    assert_eq!(settled.len(), 1, "{settled:?}");
    assert_eq!((&settled[0]["data"]["id"], &settled[0]["data"]["by"]), (&open["id"], &json!("scan")));
    let moved = plant.facts_of("stock.moved");
    assert_eq!(moved.last().expect("moved")["where"], "A-01-1");
    edge.stop();
    plant.verify();
}

#[test]
fn a_person_at_the_page_takes_the_radios_word() {
    let plant = Plant::new();
    let mut module = plant.module(22);
    let edge = plant.edge();
    edge.wait_device("gate-2", true);
    let mut worker = Handheld::start(&plant, 1);
    let open = differ(&edge, &mut module, &mut worker, 2);
    let settle = format!("/api/discrepancies/{}/settle", open["id"]);
    assert_eq!(edge.post(&settle, &Value::Null), 204);
    none_open(&edge);
    assert_eq!(edge.post(&settle, &Value::Null), 404, "it is settled already");
    let settled = plant.facts_of("discrepancy.settled");
    assert_eq!(settled.len(), 1, "{settled:?}");
    assert_eq!((&settled[0]["data"]["by"], &settled[0]["who"]), (&json!("page"), &json!("page")));
    let moved = plant.facts_of("stock.moved");
    assert_eq!((&moved[0]["where"], &moved[0]["why"]), (&json!("STORE"), &json!("a person took the radio's word")));
    edge.stop();
    plant.verify();
}
