//! The simulated robot at a real broker, driven by a stranger: fleet control in a few lines of Python, written from the
//! standard's documents, which holds each message that the robot says against the official schema.

use serde_json::{Value, json};
use stowage_tests::plant::Plant;
use stowage_tests::process::Program;
use stowage_tests::vectors;

/// `python -c FLEET PORT VERSION SCHEMAS`: orders, extends, errs on purpose, cancels; then waits for the last will.
const FLEET: &str = r#"
import json, pathlib, queue, sys, time
import jsonschema
import paho.mqtt.client as mqtt
port, version, schemas = int(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
new, old20 = version == "3.0.0", version == "2.0.0"
base = ("vda5050/v3" if new else "uagv/v2") + "/KIT/0001/"
def schema(topic):
    path = next(schemas.joinpath(topic + end) for end in (".schema", ".json") if schemas.joinpath(topic + end).exists())
    return jsonschema.Draft202012Validator(json.loads(path.read_text("utf-8-sig")))
validators = {topic: schema(topic) for topic in ("connection", "state", "visualization", "factsheet", "order", "instantActions")}
heard, checked = queue.Queue(), 0
def receive(client, data, message):
    heard.put((message.topic.removeprefix(base), json.loads(message.payload)))
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.on_message = receive
client.connect("127.0.0.1", port)
client.subscribe([(base + topic, 1) for topic in ("connection", "state", "visualization", "factsheet")])
client.loop_start()
def hear(topic, what, fits):
    global checked
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            at, message = heard.get(timeout=1)
        except queue.Empty:
            continue
        validators[at].validate(message)
        checked += 1
        if at == topic and fits(message):
            return message
    raise SystemExit("never heard: " + what)
sent = 0
def say(topic, body):
    global sent
    sent += 1
    header = {"headerId": sent, "timestamp": "2026-11-24T22:10:07.10Z", "version": version, "manufacturer": "KIT", "serialNumber": "0001"}
    validators[topic].validate(header | body)
    client.publish(base + topic, json.dumps(header | body), qos=0)
PLACES = {"A": 0.0, "B": 0.4, "C": 0.8, "D": 5.0}
def action(id, kind):
    return {"actionId": id, "actionType": kind, "blockingType": "HARD", "actionParameters": [{"key": "loadId", "value": "LU-1"}]}
def order(update, first, nodes):
    edges = []
    for index, (a, b) in enumerate(zip(nodes, nodes[1:])):
        edge = {"edgeId": a[0] + b[0], "sequenceId": first + 2 * index + 1, "released": b[1], "actions": []}
        edges.append(edge if new else edge | {"startNodeId": a[0], "endNodeId": b[0]})
    nodes = [{"nodeId": id, "sequenceId": first + 2 * index, "released": released, "actions": actions,
              "nodePosition": {"x": PLACES[id], "y": 0.0, "mapId": "floor"}} for index, (id, released, actions) in enumerate(nodes)]
    say("order", {"orderId": "o-1", "orderUpdateId": update, "nodes": nodes, "edges": edges})
def instant(id, kind):
    named = {"actionId": id, "blockingType": "NONE", "actionType": kind}
    say("instantActions", {"actions": [named | {"actionName": kind} if old20 else named]})
def status(state, id):
    return {a["actionId"]: a["actionStatus"] for a in state["actionStates"] + state.get("instantActionStates", [])}.get(id)
def error(state, kind):
    return any(e["errorType"] == kind for e in state["errors"])

hear("connection", "online", lambda m: m["connectionState"] == "ONLINE")
hear("factsheet", "the factsheet", lambda m: True)
instant("i-1", "stateRequest")
hear("state", "the first state", lambda m: status(m, "i-1") == "FINISHED" and m["lastNodeId"] == "A" and not m["nodeStates"])
pick, drop = action("a-1", "pick"), action("a-2", "drop")
order(0, 0, [("A", True, []), ("B", True, [pick]), ("C", False, [])])
state = hear("state", "the end of the base", lambda m: m["lastNodeId"] == "B" and status(m, "a-1") == "FINISHED")
assert not state["driving"] and state["newBaseRequest"] and state["loads"][0]["loadId"] == "LU-1", state
assert [(n["nodeId"], n["released"]) for n in state["nodeStates"]] == [("C", False)], state
order(1, 4, [("C", True, []), ("D", True, [])])
hear("state", "the refusal of what doesn't begin at the base's end",
     lambda m: error(m, "OUTDATED_ORDER_UPDATE" if new else "orderUpdateError") and m["orderUpdateId"] == 0)
order(2, 2, [("B", True, [pick]), ("C", True, [drop])])
state = hear("state", "the end of the order", lambda m: m["lastNodeId"] == "C" and status(m, "a-2") == "FINISHED")
assert (state["orderUpdateId"], state["lastNodeSequenceId"], state["loads"], state["nodeStates"], state["errors"]) == (2, 4, [], [], []), state
order(2, 2, [("B", True, [pick]), ("C", True, [drop])])
instant("i-2", "cancelOrder")
state = hear("state", "the refusal to cancel nothing", lambda m: status(m, "i-2") == "FAILED")
assert error(state, "NO_ORDER_TO_CANCEL" if new else "noOrderToCancel"), state
print(json.dumps({"driven": checked}), flush=True)
hear("connection", "the last will", lambda m: m["connectionState"] == ("CONNECTION_BROKEN" if new else "CONNECTIONBROKEN"))
print(json.dumps({"broken": True}), flush=True)
"#;

#[test]
fn a_stranger_drives_the_robot_of_each_version_and_hears_its_last_will() {
    let Some(python) = std::env::var_os("STOWAGE_TEST_PYTHON") else {
        eprintln!("SKIPPED: STOWAGE_TEST_PYTHON names no Python with paho-mqtt and jsonschema; tests/run makes one");
        return;
    };
    let Some(folder) = vectors() else { return };
    let plant = Plant::new();
    let _broker = plant.broker();
    let port = plant.broker.to_string();
    for (version, schemas) in [("2.0.0", "2.0.0"), ("2.1.0", "2.1.0"), ("3.0.0", "main")] {
        let mut robot = plant.kit_robot(version, "0001", "A");
        robot.hear("client", |client| client == "connected");
        let schemas = folder.join("vda5050/schemas").join(schemas).display().to_string();
        let fleet = Program::start("the fleet control", &python, &["-c", FLEET, &port, version, &schemas]);
        let driven = fleet.hear("driven", |_| true);
        println!("{version}: {driven} messages of the robot are valid");
        let violations = robot.told("violation");
        assert!(matches!(&violations[..], [Value::String(what)] if what.starts_with("NotStitched")), "{violations:?}");
        let reached: Vec<_> =
            robot.told("robot").into_iter().filter_map(|robot| robot.get("reached").cloned()).collect();
        let nodes: Vec<_> = reached.iter().map(|reached| reached["node"].clone()).collect();
        assert_eq!(nodes, [json!("A"), json!("B"), json!("C")]);
        robot.kill();
        fleet.hear("broken", |_| true);
    }
}
