//! Parcels on the belt: from the scan point to the chute, over a real broker.

use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
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

/// The steps of the command for `item`, once the last of them is `kind`, with the reason of that one.
fn ended(plant: &Plant, item: &Value, kind: &str) -> (Vec<Value>, String) {
    let life = until(&format!("{kind} of item {item}"), || {
        let life = life(plant, item);
        kinds(&life).contains(&kind).then_some(life)
    });
    let why = life.iter().find(|fact| fact["kind"] == kind).and_then(|fact| fact["why"].as_str());
    let why = why.unwrap_or_default().to_owned();
    (life, why)
}

/// Waits until the sorter has taken the command for `item`.
fn acknowledged(plant: &Plant, item: &Value) {
    until("the command to be acknowledged", || {
        kinds(&life(plant, item)).contains(&"command.acknowledged").then_some(())
    });
}

#[test]
fn every_chute_of_the_rule_full_means_hospital_and_an_emptied_one_is_used_again() {
    let plant = Plant::new();
    let (_broker, mut sorter, edge) = at_work(&plant);
    for n in 1..=3 {
        edge.announce(&format!("P-{n}"), "DE");
    }
    for chute in ["C1", "C2"] {
        sorter.tell(&json!({"full": {"chute": chute, "full": true}}));
    }
    sorted_into(&plant, &mut sorter, Some("P-1"), "HOSPITAL", "every chute of its rule is full");
    sorter.tell(&json!({"full": {"chute": "C2", "full": false}}));
    sorted_into(&plant, &mut sorter, Some("P-2"), "C2", "route DE");
    // It fills up behind the command: the sorter follows its safe plan, and the facts say why.
    let item = induct(&mut sorter, Some("P-3"));
    acknowledged(&plant, &item);
    sorter.tell(&json!({"full": {"chute": "C2", "full": true}}));
    let (life, why) = ended(&plant, &item, "command.failed");
    let end = life.last().expect("an end");
    assert_eq!((&end["data"]["chute"], &end["data"]["outcome"]), (&json!("HOSPITAL"), &json!("full")), "{end}");
    assert!(why.contains("C2 had become full"), "{why}");
    assert_eq!(sorter.told("violation"), [] as [Value; 0]);
    edge.stop();
    plant.verify();
}

#[test]
fn whatever_happens_to_an_item_on_the_belt_is_its_recorded_end() {
    let plant = Plant::new();
    let (_broker, mut sorter, edge) = at_work(&plant);
    for (how, chute, words) in [
        ("lost", Value::Null, "lost track"),
        ("jammed", Value::Null, "it is stuck"),
        ("gap", json!("HOSPITAL"), "too near to its neighbour"),
        ("double", json!("HOSPITAL"), "can't be told apart"),
    ] {
        let item = induct(&mut sorter, Some("EXP-1"));
        acknowledged(&plant, &item);
        sorter.tell(&json!({"fail": {"item": item, "how": how}}));
        let delivered = sorter.hear("delivered", |delivered| delivered["item"] == item);
        assert_eq!((&delivered["outcome"], &delivered["chute"]), (&json!(how), &chute));
        let (life, why) = ended(&plant, &item, "command.failed");
        assert_eq!((&life[3]["data"]["outcome"], &life[3]["data"]["chute"]), (&json!(how), &chute), "{life:?}");
        assert!(why.contains(words), "{how}: {why}");
    }
    assert_eq!(sorter.told("violation"), [] as [Value; 0]);
    edge.stop();
    plant.verify();
}

#[test]
fn an_emergency_stop_is_observed_and_told_and_nothing_of_ours_clears_it() {
    let plant = Plant::new();
    let (_broker, mut sorter, edge) = at_work(&plant);
    let item = induct(&mut sorter, Some("EXP-1"));
    acknowledged(&plant, &item);
    sorter.tell(&json!({"run": "estop"}));
    until("the page to know", || (edge.device("sorter-1")["belt"] == "estop").then_some(()));
    let stopped = plant.facts_of("belt.changed").pop().expect("a fact");
    assert_eq!(stopped["data"], json!({"sorter": "sorter-1", "belt": "estop"}));
    assert!(stopped["why"].as_str().is_some_and(|why| why.contains("only the machine's own people clear it")));
    // Its decision point, as it was told, passes while the belt stands.
    let begun = Instant::now();
    until("the decision point to pass", || (begun.elapsed() > Duration::from_secs(3)).then_some(()));
    assert_eq!(edge.device("sorter-1")["belt"], "estop");
    assert_eq!(sorter.told("delivered"), [] as [Value; 0]);
    assert_eq!(kinds(&life(&plant, &item)), WHOLE_LIFE[..3], "neither given up nor late");
    sorter.tell(&json!({"run": "running"}));
    let delivered = sorter.hear("delivered", |delivered| delivered["item"] == item);
    assert_eq!((&delivered["chute"], &delivered["outcome"]), (&json!("C4"), &json!("diverted")));
    ended(&plant, &item, "command.confirmed");
    let belts: Vec<_> = plant.facts_of("belt.changed").iter().map(|fact| fact["data"]["belt"].clone()).collect();
    assert_eq!(belts, ["running", "estop", "running"], "each change once");
    assert_eq!(sorter.told("violation"), [] as [Value; 0]);
    edge.stop();
    plant.verify();
}

#[test]
fn an_item_that_passes_the_scan_point_unheard_before_the_belt_stops_is_never_commanded_late() {
    let plant = Plant::new();
    let broker = plant.broker();
    let mut sorter = plant.sorter();
    let edge = plant.edge();
    edge.wait_device("sorter-1", true);
    drop(broker);
    edge.wait_device("sorter-1", false);
    let item = induct(&mut sorter, Some("EXP-1"));
    sorter.tell(&json!({"run": "stopped"}));
    let _broker = plant.broker();
    edge.wait_device("sorter-1", true);
    // Reported again, with the time that it will have: the command comes while the belt stands.
    acknowledged(&plant, &item);
    until("the page to know", || (edge.device("sorter-1")["belt"] == "stopped").then_some(()));
    sorter.tell(&json!({"run": "running"}));
    let delivered = sorter.hear("delivered", |delivered| delivered["item"] == item);
    assert_eq!((&delivered["chute"], &delivered["outcome"]), (&json!("C4"), &json!("diverted")));
    ended(&plant, &item, "command.confirmed");
    assert_eq!(sorter.told("violation"), [] as [Value; 0]);
    edge.stop();
    plant.verify();
}

#[test]
fn a_restart_with_items_on_the_belt_accounts_for_each_and_begins_anew() {
    let plant = Plant::new();
    let (_broker, mut sorter, edge) = at_work(&plant);
    let items = [induct(&mut sorter, Some("EXP-1")), induct(&mut sorter, Some("EXP-2"))];
    items.iter().for_each(|item| acknowledged(&plant, item));
    sorter.tell(&json!({"restart": {}}));
    for item in &items {
        let (_, why) = ended(&plant, item, "command.failed");
        assert!(why.contains("restarted"), "{why}");
    }
    let again = induct(&mut sorter, Some("EXP-3"));
    assert_eq!(again, 1, "numbers begin again");
    let delivered = sorter.hear("delivered", |delivered| delivered["code"] == "EXP-3");
    assert_eq!((&delivered["chute"], &delivered["outcome"]), (&json!("C4"), &json!("diverted")));
    let confirmed = until("the confirmation", || plant.facts_of("command.confirmed").pop());
    let failed = plant.facts_of("command.failed");
    assert!(failed.iter().all(|fact| fact["data"]["command"] != confirmed["data"]["command"]), "another boot");
    assert_eq!(sorter.told("violation"), [] as [Value; 0]);
    edge.stop();
    plant.verify();
}

#[test]
fn an_edge_that_starts_knows_the_sorter_by_what_the_broker_keeps() {
    let plant = Plant::new();
    let (_broker, sorter, edge) = at_work(&plant);
    edge.stop();
    // It says nothing now: what is known comes from the broker.
    sorter.signal(Signal::STOP);
    let edge = plant.edge();
    edge.wait_device("sorter-1", true);
    sorter.signal(Signal::CONT);
    edge.stop();
}

#[test]
fn two_sorters_share_one_plan_each_with_its_own_items_chutes_and_starts() {
    let plant = Plant::new();
    let second = format!(
        "\n[[device]]\nid = \"sorter-2\"\nkind = \"sorter-mqtt\"\nurl = \"mqtt://127.0.0.1:{}\"\n\
         chutes = [\"C4\", \"C3\", \"C2\", \"C1\", \"OUT\"]\nhospital = \"OUT\"\n",
        plant.broker
    );
    plant.write_edge(&(plant.edge_toml() + &second));
    let (_broker, mut first, edge) = at_work(&plant);
    let (port, chutes) = (plant.broker.to_string(), "C4,C3,C2,C1,OUT");
    let mut second = plant.sorter_with(&["--port", &port, "--id", "sorter-2", "--chutes", chutes, "--hospital", "OUT"]);
    edge.wait_device("sorter-2", true);
    for n in 0..8 {
        edge.announce(&format!("P-{n}"), "US");
    }
    edge.announce("P-9", "PL");
    // Full at one of them is full there alone.
    second.tell(&json!({"full": {"chute": "C4", "full": true}}));
    let mut goals = Vec::new();
    for n in 0..4 {
        goals.push((1, induct(&mut first, Some(&format!("P-{n}"))), "C4"));
        goals.push((2, induct(&mut second, Some(&format!("P-{}", n + 4))), "C3"));
    }
    goals.push((1, induct(&mut first, None), "HOSPITAL"));
    goals.push((2, induct(&mut second, None), "OUT"));
    for (sorter, item, chute) in &goals {
        let far = if *sorter == 1 { &first } else { &second };
        let delivered = far.hear("delivered", |delivered| delivered["item"] == *item);
        assert_eq!((&delivered["chute"], &delivered["outcome"]), (&json!(chute), &json!("diverted")), "{sorter}");
    }
    let confirmed = until("ten confirmations", || {
        let confirmed = plant.facts_of("command.confirmed");
        (confirmed.len() == 10).then_some(confirmed)
    });
    for n in 1..=2 {
        let of =
            |fact: &&Value| fact["data"]["command"].as_str().is_some_and(|id| id.starts_with(&format!("sorter-{n}/")));
        assert_eq!(confirmed.iter().filter(of).count(), 5, "sorter-{n}");
    }
    // One of them starts anew: the other's items go on.
    let on_second = induct(&mut second, Some("P-9"));
    first.tell(&json!({"restart": {}}));
    let delivered = second.hear("delivered", |delivered| delivered["item"] == on_second);
    assert_eq!((&delivered["chute"], &delivered["outcome"]), (&json!("C3"), &json!("diverted")));
    for far in [&first, &second] {
        assert_eq!(far.told("violation"), [] as [Value; 0]);
    }
    edge.stop();
    plant.verify();
}
