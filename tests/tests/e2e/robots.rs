//! Two robots of different VDA 5050 versions between chutes and dock, over a real broker.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;
use stowage_tests::plant::{Edge, Plant, coded};
use stowage_tests::process::{Program, run, text};
use stowage_tests::{until, within};

/// Two lanes from the dock to two chutes, and a place to wait.
const ROADMAP: &str = r#"
[[node]]
code = "D"
x_mm = 9000
y_mm = 21000
station = "DOCK"
[[node]]
code = "U0"
x_mm = 12000
y_mm = 19500
[[node]]
code = "L0"
x_mm = 12000
y_mm = 22500
[[node]]
code = "U1"
x_mm = 16000
y_mm = 19500
station = "C1"
[[node]]
code = "L1"
x_mm = 16000
y_mm = 22500
[[node]]
code = "U2"
x_mm = 21000
y_mm = 19500
station = "C2"
[[node]]
code = "L2"
x_mm = 21000
y_mm = 22500
[[node]]
code = "P"
x_mm = 9000
y_mm = 23500
parking = true
[[edge]]
between = ["D", "U0"]
[[edge]]
between = ["D", "L0"]
[[edge]]
between = ["U0", "U1"]
[[edge]]
between = ["L0", "L1"]
[[edge]]
between = ["U1", "U2"]
[[edge]]
between = ["L1", "L2"]
[[edge]]
between = ["U1", "L1"]
[[edge]]
between = ["U2", "L2"]
[[edge]]
between = ["L0", "P"]
"#;

/// When what lies in chute C1 goes to the dock.
const RULE: &str = r#"
[[transport]]
from = "C1"
to = "DOCK"
parcels = 2
"#;

/// A node: its code, and where it is in mm.
type Start = (&'static str, i32, i32);

/// The robots by id: version, serial number, first level of the topics, and where they stand.
const ROBOTS: [(&str, &str, &str, Start); 2] =
    [("amr-1", "2.1", "r1", ("U0", 12_000, 19_500)), ("amr-2", "3.0", "r2", ("P", 9_000, 23_500))];

fn plant(rules: &str) -> Plant {
    let plant = Plant::new();
    let site = fs::read_to_string(plant.path("site.toml")).expect("the plant's site");
    fs::write(plant.path("site.toml"), site + ROADMAP + rules).expect("the folder is ours");
    let mut edge = plant.edge_toml();
    for (id, version, serial, (start, ..)) in ROBOTS {
        edge += &format!(
            "\n[[device]]\nid = \"{id}\"\nkind = \"robot\"\nurl = \"mqtt://127.0.0.1:{}\"\nvda5050 = \"{version}\"\n\
             manufacturer = \"stowage\"\nserial = \"{serial}\"\nstart = \"{start}\"\n",
            plant.broker
        );
    }
    plant.write_edge(&edge);
    plant
}

/// The robot of this index in [`ROBOTS`].
fn robot(plant: &Plant, index: usize) -> Program {
    let (_, version, serial, start) = ROBOTS[index];
    plant.robot(version, serial, start)
}

fn ask(edge: &Edge, id: &str, from: &str, to: &str) {
    assert_eq!(edge.post("/api/transports", &json!({ "id": id, "from": from, "to": to })), 201, "{id}");
}

/// Waits for a step in a transport's life; returns the fact.
fn step(plant: &Plant, id: &str, kind: &str) -> Value {
    until(&format!("{kind} of {id}"), || plant.facts_of(kind).into_iter().find(|fact| fact["data"]["transport"] == id))
}

/// No robot was told anything that it may not be told.
fn behaved(robots: &[&Program]) {
    for robot in robots {
        assert_eq!(robot.told("violation"), [] as [Value; 0]);
    }
}

/// What robots tell at the broker, heard by a stranger's program.
struct Witness(Program);

impl Witness {
    fn new(plant: &Plant) -> Self {
        let port = plant.broker.to_string();
        let format = r#"{"message":{"topic":"%t","payload":%p}}"#;
        let args = ["-p", &port, "-F", format, "-t", "+/+/+/+/state"];
        assert!(
            std::process::Command::new("mosquitto_sub").arg("--help").output().is_ok(),
            "mosquitto_sub is missing: install it, for instance with apt-get install mosquitto-clients"
        );
        Self(Program::start("the witness", "mosquitto_sub", &args))
    }

    /// Goes through all states in the order in which the broker passed them on: no node is where two robots are or may
    /// drive. Returns how many states there were.
    fn check(&self) -> usize {
        let mut held: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let messages = self.0.told("message");
        for message in &messages {
            let (topic, state) = (message["topic"].as_str().unwrap_or_default(), &message["payload"]);
            let mut nodes = vec![state["lastNodeId"].as_str().unwrap_or_default().to_owned()];
            let ahead = state["nodeStates"].as_array().into_iter().flatten();
            let released = ahead.filter(|node| node["released"] == true);
            nodes.extend(released.filter_map(|node| node["nodeId"].as_str().map(str::to_owned)));
            held.insert(topic.to_owned(), nodes);
            let mut all: Vec<&String> = held.values().flatten().collect();
            let count = all.len();
            all.sort();
            all.dedup();
            // A robot may come back to a node of its own.
            let own: usize = held
                .values()
                .map(|nodes| {
                    let mut own: Vec<&String> = nodes.iter().collect();
                    own.sort();
                    own.dedup();
                    nodes.len() - own.len()
                })
                .sum();
            assert_eq!(all.len(), count - own, "a node is held twice: {held:?}");
        }
        messages.len()
    }
}

#[test]
fn parcels_go_from_the_sorters_chute_to_the_dock_and_the_book_follows() {
    let plant = plant(RULE);
    let _broker = plant.broker();
    let mut sorter = plant.sorter();
    let robots = [robot(&plant, 0), robot(&plant, 1)];
    let edge = plant.edge();
    for device in ["sorter-1", "amr-1", "amr-2"] {
        edge.wait_device(device, true);
    }
    for parcel in ["P-1", "P-2"] {
        edge.announce(parcel, "DE");
        sorter.tell(&json!({ "parcel": { "code": parcel } }));
    }
    let planned = until("a transport by rule", || plant.facts_of("transport.planned").pop());
    assert_eq!((&planned["why"], &planned["where"]), (&json!("2 parcels lie at C1"), &json!("C1")));
    let id = planned["data"]["transport"].as_str().expect("a name").to_owned();
    let delivered = step(&plant, &id, "transport.delivered");
    let by = delivered["data"]["robot"].clone();
    assert_eq!(by, "amr-1", "the nearer one");
    let moved: Vec<Value> = plant.facts_of("parcel.moved");
    let ways: Vec<_> = moved.iter().map(|fact| (&fact["what"], &fact["data"]["from"], &fact["data"]["to"])).collect();
    let (c1, dock) = (json!("C1"), json!("DOCK"));
    let [p1, p2] = [json!("P-1"), json!("P-2")];
    assert_eq!(ways, [(&p1, &c1, &by), (&p2, &c1, &by), (&p1, &by, &dock), (&p2, &by, &dock)]);
    assert!(moved.iter().all(|fact| fact["cause"] == json!({ "transport": id })));
    let again = json!({ "id": id, "from": "C1", "to": "DOCK" });
    assert_eq!(edge.post("/api/transports", &again), 200, "the same again is no new transport");
    assert_eq!(edge.post("/api/transports", &json!({ "id": id, "from": "C2", "to": "DOCK" })), 409);
    assert_eq!(edge.post("/api/transports", &json!({ "id": "T", "from": "STORE", "to": "DOCK" })), 422);
    behaved(&[&robots[0], &robots[1]]);
    edge.stop();
    plant.verify();
}

#[test]
fn two_robots_never_hold_the_same_node_and_all_transports_arrive() {
    let plant = plant("");
    let _broker = plant.broker();
    let witness = Witness::new(&plant);
    let robots = [robot(&plant, 0), robot(&plant, 1)];
    let edge = plant.edge();
    for device in ["amr-1", "amr-2"] {
        edge.wait_device(device, true);
    }
    let loads = [("C1", "DOCK"), ("C2", "DOCK"), ("DOCK", "C1"), ("DOCK", "C2"), ("C1", "C2"), ("C2", "C1")];
    for (at, (from, to)) in loads.iter().enumerate() {
        ask(&edge, &format!("T-{at}"), from, to);
    }
    within(Duration::from_secs(120), "all transports to arrive", || {
        (plant.facts_of("transport.delivered").len() == loads.len()).then_some(())
    });
    let drove: Vec<usize> = robots.iter().map(|robot| robot.told("robot").len()).collect();
    assert!(drove.iter().all(|events| *events > 0), "both worked: {drove:?}");
    assert!(witness.check() > 2 * loads.len(), "the witness heard them");
    behaved(&[&robots[0], &robots[1]]);
    edge.stop();
    plant.verify();
}

#[test]
fn a_robot_that_loses_its_connection_stops_on_its_nodes_and_goes_on() {
    let plant = plant("");
    let _broker = plant.broker();
    let witness = Witness::new(&plant);
    let mut lonely = robot(&plant, 0);
    let edge = plant.edge();
    edge.wait_device("amr-1", true);
    ask(&edge, "T-1", "C2", "DOCK");
    lonely.hear("robot", |happening| happening.get("reached").is_some());
    lonely.tell(&json!({ "offline": { "millis": 12_000 } }));
    edge.wait_device("amr-1", false);
    let held = |edge: &Edge| coded(&edge.view()["robots"], "amr-1")["held"].clone();
    let nodes = held(&edge);
    assert!(nodes.as_array().is_some_and(|nodes| !nodes.is_empty()), "{nodes}");
    assert_eq!(coded(&edge.view()["robots"], "amr-1")["waits"], "is out of reach");
    // It drives to the end of what it was given, and no further.
    until("the robot to stand", || {
        let driving: Vec<Value> = lonely.told("robot").iter().filter_map(|it| it.get("driving").cloned()).collect();
        (driving.last() == Some(&json!(false))).then_some(())
    });
    let reached: Vec<Value> = lonely.told("robot").iter().filter_map(|it| it.get("reached").cloned()).collect();
    let last = reached.last().map(|reached| reached["node"].clone()).expect("it drove");
    assert!(nodes.as_array().is_some_and(|nodes| nodes.contains(&last)), "{last} is one of {nodes}");
    assert_eq!(held(&edge), nodes, "nobody frees what it holds");
    edge.wait_device("amr-1", true);
    step(&plant, "T-1", "transport.delivered");
    assert_eq!(plant.facts_of("transport.loaded").len(), 1);
    witness.check();
    behaved(&[&lonely]);
    edge.stop();
    plant.verify();
}

#[test]
fn a_link_that_breaks_while_the_load_is_picked_up_recalls_nobody() {
    let plant = plant("");
    let broker = plant.broker();
    let (_, version, serial, start) = ROBOTS[0];
    let robot = plant.robot_that_picks_in(6_000, version, serial, start);
    let edge = plant.edge();
    edge.wait_device("amr-1", true);
    ask(&edge, "T-1", "C1", "DOCK");
    robot.hear("robot", |happening| happening.get("acted").is_some_and(|it| it["status"] == "RUNNING"));
    // What it was told reaches to its load: the same is told anew once it is back.
    drop(broker);
    edge.wait_device("amr-1", false);
    let _broker = plant.broker();
    edge.wait_device("amr-1", true);
    step(&plant, "T-1", "transport.delivered");
    for (kind, count) in [("drive.planned", 1), ("drive.recalled", 0), ("transport.assigned", 1)] {
        assert_eq!(plant.facts_of(kind).len(), count, "{kind}");
    }
    behaved(&[&robot]);
    edge.stop();
    plant.verify();
}

#[test]
fn an_edge_that_is_killed_on_the_way_does_nothing_twice() {
    let plant = plant("");
    let _broker = plant.broker();
    let robot = robot(&plant, 0);
    let mut edge = plant.edge();
    edge.wait_device("amr-1", true);
    ask(&edge, "T-1", "C2", "DOCK");
    // On the way to the load, while it is picked up, and on the way to the dock.
    type Moment = (&'static str, fn(&Value) -> bool);
    let moments: [Moment; 3] = [
        ("reached", |it| it["node"] == "U1"),
        ("acted", |it| it["status"] == "RUNNING"),
        ("reached", |it| it["node"] == "U0" || it["node"] == "L0" || it["node"] == "L1"),
    ];
    let mut mark = 0;
    for (kind, fits) in moments {
        robot.hear_after(mark, "robot", |happening| happening.get(kind).is_some_and(fits));
        mark = robot.mark();
        edge.program.kill();
        edge = plant.edge();
    }
    step(&plant, "T-1", "transport.delivered");
    for kind in ["transport.assigned", "transport.loaded", "transport.delivered", "drive.planned"] {
        assert_eq!(plant.facts_of(kind).len(), 1, "{kind}");
    }
    let acted: Vec<Value> = robot.told("robot").iter().filter_map(|it| it.get("acted").cloned()).collect();
    let finished = |what: &str| {
        let of = |acted: &&Value| acted["action"].as_str().is_some_and(|id| id.ends_with(what));
        acted.iter().filter(of).filter(|acted| acted["status"] == "FINISHED").count()
    };
    assert_eq!((finished("-pick"), finished("-drop")), (1, 1), "{acted:?}");
    behaved(&[&robot]);
    edge.stop();
    plant.verify();
}

#[test]
fn old_news_of_a_connection_neither_brings_a_robot_nor_takes_it_away() {
    let plant = plant("");
    let _broker = plant.broker();
    let publish = |state: &str| {
        let message = json!({
            "headerId": 7, "timestamp": "2020-01-01T00:00:00.00Z", "version": "2.1.0", "manufacturer": "stowage",
            "serialNumber": "r1", "connectionState": state,
        });
        let (port, message) = (plant.broker.to_string(), message.to_string());
        let topic = "uagv/v2/stowage/r1/connection";
        let said = run("mosquitto_pub", &["-p", &port, "-q", "1", "-r", "-t", topic, "-m", &message], b"");
        assert!(said.status.success(), "{}", text(&said.stderr));
    };
    publish("ONLINE");
    let edge = plant.edge();
    // Whoever is asked for a transport finds nobody to do it.
    ask(&edge, "T-1", "C1", "DOCK");
    until("the picture to show it", || (edge.view()["transports"][0]["id"] == "T-1").then_some(()));
    assert_eq!(edge.device("amr-1")["up"], false, "it was there years ago");
    let robot = robot(&plant, 0);
    edge.wait_device("amr-1", true);
    publish("OFFLINE");
    publish("CONNECTIONBROKEN");
    step(&plant, "T-1", "transport.delivered");
    assert_eq!(plant.facts_of("device.down"), [] as [Value; 0]);
    behaved(&[&robot]);
    edge.stop();
    plant.verify();
}

#[test]
fn a_cancelled_transport_and_a_failed_pick_leave_the_robot_ready_for_the_next() {
    let plant = plant("");
    let _broker = plant.broker();
    let mut robot = robot(&plant, 0);
    let edge = plant.edge();
    edge.wait_device("amr-1", true);
    ask(&edge, "T-1", "C2", "DOCK");
    robot.hear("robot", |happening| happening.get("driving") == Some(&json!(true)));
    assert_eq!(edge.post("/api/transports/T-1/cancel", &Value::Null), 204);
    step(&plant, "T-1", "transport.cancelled");
    assert_eq!(edge.post("/api/transports/T-1/cancel", &Value::Null), 204, "it is so already");
    assert_eq!(edge.post("/api/transports/T-9/cancel", &Value::Null), 404);
    robot.tell(&json!({ "trouble": { "what": "pick_fails", "on": true } }));
    ask(&edge, "T-2", "C1", "DOCK");
    let failed = step(&plant, "T-2", "transport.failed");
    let why = failed["why"].as_str().unwrap_or_default();
    assert!(why.starts_with("the robot could not pick up the load: "), "{why}");
    robot.tell(&json!({ "trouble": { "what": "pick_fails", "on": false } }));
    ask(&edge, "T-3", "C2", "DOCK");
    step(&plant, "T-3", "transport.delivered");
    assert_eq!(edge.post("/api/transports/T-3/cancel", &Value::Null), 409, "it has ended");
    behaved(&[&robot]);
    edge.stop();
    plant.verify();
}
