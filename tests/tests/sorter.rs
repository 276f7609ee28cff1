//! Parcels on the belt: from the scan point to the chute, over a real broker.

use serde_json::{Value, json};
use stowage_tests::plant::{Edge, Plant};
use stowage_tests::process::Program;
use stowage_tests::until;

/// What the journal says of the parcel that the sorter inducted as `item`.
fn life(plant: &Plant, item: &Value) -> Vec<Value> {
    let facts = plant.facts();
    let planned = facts.iter().find(|fact| fact["kind"] == "command.planned" && fact["data"]["item"] == *item);
    let Some(command) = planned.map(|fact| fact["data"]["command"].clone()) else { return Vec::new() };
    facts.into_iter().filter(|fact| fact["data"]["command"] == command).collect()
}

fn kinds(life: &[Value]) -> Vec<&str> {
    life.iter().filter_map(|fact| fact["kind"].as_str()).collect()
}

const WHOLE_LIFE: [&str; 4] = ["command.planned", "command.sent", "command.acknowledged", "command.confirmed"];

/// Puts a parcel on the belt; returns the sorter's number for it.
fn induct(sorter: &mut Program, code: Option<&str>) -> Value {
    let mark = sorter.mark();
    sorter.tell(&json!({"parcel": {"code": code}}));
    sorter.hear_after(mark, "inducted", |inducted| inducted["code"] == json!(code))["item"].clone()
}

/// Puts a parcel on the belt and follows it into `chute`, for the reason `why`.
fn sorted_into(plant: &Plant, sorter: &mut Program, code: Option<&str>, chute: &str, why: &str) {
    let item = induct(sorter, code);
    let delivered = sorter.hear("delivered", |delivered| delivered["item"] == item);
    assert_eq!((&delivered["chute"], &delivered["outcome"]), (&json!(chute), &json!("diverted")), "{code:?}");
    let life = until("the confirmation", || {
        let life = life(plant, &item);
        (kinds(&life).last() == Some(&"command.confirmed")).then_some(life)
    });
    assert_eq!(kinds(&life), WHOLE_LIFE, "{life:?}");
    let (planned, confirmed) = (&life[0], &life[3]);
    assert_eq!((&planned["data"]["chute"], &planned["why"]), (&json!(chute), &json!(why)), "{planned}");
    assert_eq!(confirmed["data"]["chute"], chute, "{confirmed}");
    let scanned = plant.facts_of("parcel.scanned");
    let scans: Vec<_> = scanned.iter().filter(|fact| fact["data"]["item"] == item).collect();
    assert_eq!(scans.len(), 1, "scanned once: {scans:?}");
    assert_eq!(planned["cause"], json!({"seq": scans[0]["seq"]}));
}

fn at_work(plant: &Plant) -> (Program, Program, Edge) {
    let broker = plant.broker();
    let sorter = plant.sorter();
    let edge = plant.edge();
    edge.wait_device("sorter-1", true);
    (broker, sorter, edge)
}

#[test]
fn a_parcel_goes_into_the_chute_of_its_route_or_of_its_code() {
    let plant = Plant::new();
    let (_broker, mut sorter, edge) = at_work(&plant);
    edge.announce("P-1001", "DE");
    edge.announce("P-1002", "PL");
    let again = json!({"code": "P-1001", "route": "DE"});
    assert_eq!(edge.post("/api/parcels", &again), 200, "the same again is no new parcel");
    assert_eq!(
        edge.post("/api/parcels", &json!({"code": "P-1001", "route": "FR"})),
        409,
        "another content is an error"
    );
    assert_eq!(plant.facts_of("parcel.announced").len(), 2);
    sorted_into(&plant, &mut sorter, Some("P-1001"), "C1", "route DE");
    sorted_into(&plant, &mut sorter, Some("P-1002"), "C3", "route PL");
    sorted_into(&plant, &mut sorter, Some("EXP-77"), "C4", "codes that begin with EXP");
    sorter.tell(&json!({"full": {"chute": "C1", "full": true}}));
    edge.announce("P-1003", "DE");
    // The parcel comes behind the news of the full chute, on the same connection.
    sorted_into(&plant, &mut sorter, Some("P-1003"), "C2", "route DE");
    assert_eq!(sorter.told("violation"), [] as [Value; 0], "nothing came late, twice or wrong");
    assert_eq!(edge.view()["totals"]["sorted"], 4);
    edge.stop();
    plant.verify();
}

#[test]
fn problems_go_into_the_hospital_chute() {
    let plant = Plant::new();
    let (_broker, mut sorter, edge) = at_work(&plant);
    sorted_into(&plant, &mut sorter, Some("NEVER-HEARD-OF"), "HOSPITAL", "unknown parcel");
    sorted_into(&plant, &mut sorter, None, "HOSPITAL", "no-read");
    edge.announce("P-1", "MARS");
    sorted_into(&plant, &mut sorter, Some("P-1"), "HOSPITAL", "no rule of the sort plan fits route MARS");
    assert_eq!(sorter.told("violation"), [] as [Value; 0]);
    edge.stop();
    plant.verify();
}

#[test]
fn many_parcels_at_once_each_have_one_whole_life() {
    let plant = Plant::new();
    let (_broker, mut sorter, edge) = at_work(&plant);
    let routes = [("DE", "C1"), ("FR", "C2"), ("PL", "C3"), ("US", "C4")];
    for n in 0..24 {
        edge.announce(&format!("P-{n}"), routes[n % 4].0);
    }
    let items: Vec<Value> = (0..24).map(|n| induct(&mut sorter, Some(&format!("P-{n}")))).collect();
    for (n, item) in items.iter().enumerate() {
        let delivered = sorter.hear("delivered", |delivered| delivered["item"] == *item);
        assert_eq!(delivered["chute"], routes[n % 4].1, "{delivered}");
    }
    until("24 confirmations", || (plant.facts_of("command.confirmed").len() == 24).then_some(()));
    for item in &items {
        assert_eq!(kinds(&life(&plant, item)), WHOLE_LIFE);
    }
    assert_eq!(sorter.told("violation"), [] as [Value; 0]);
    edge.stop();
    plant.verify();
}

#[test]
fn a_broker_that_starts_anew_costs_no_result_and_sorting_goes_on() {
    let plant = Plant::new();
    let (mut broker, mut sorter, edge) = at_work(&plant);
    edge.announce("P-1", "DE");
    edge.announce("P-2", "FR");
    // Commanded before the broker goes, delivered while it is away.
    let item = induct(&mut sorter, Some("P-1"));
    until("the command to be acknowledged", || {
        kinds(&life(&plant, &item)).contains(&"command.acknowledged").then_some(())
    });
    broker.kill();
    let delivered = sorter.hear("delivered", |delivered| delivered["item"] == item);
    assert_eq!((&delivered["chute"], &delivered["outcome"]), (&json!("C1"), &json!("diverted")));
    edge.wait_device("sorter-1", false);
    // Without a broker the sorter follows its safe plan.
    let lonely = induct(&mut sorter, Some("P-2"));
    let delivered = sorter.hear("delivered", |delivered| delivered["item"] == lonely);
    assert_eq!((&delivered["chute"], &delivered["outcome"]), (&json!("HOSPITAL"), &json!("missed")));
    let _broker = plant.broker();
    edge.wait_device("sorter-1", true);
    let life = until("the first parcel's confirmation", || {
        let life = life(&plant, &item);
        (life.len() == 4).then_some(life)
    });
    assert_eq!(kinds(&life), WHOLE_LIFE);
    edge.announce("P-3", "FR");
    sorted_into(&plant, &mut sorter, Some("P-3"), "C2", "route FR");
    assert_eq!(sorter.told("violation"), [] as [Value; 0]);
    edge.stop();
    plant.verify();
}
