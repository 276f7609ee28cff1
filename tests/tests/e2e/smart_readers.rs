//! Smart readers over a real broker: Impinj's IoT device interface and Zebra's IoT Connector, from the radio to the
//! book and the page.

use serde_json::{Value, json};
use std::fs;
use std::ops::Range;
use std::process::Command;
use stowage_tests::goods::{LAMP, MUG};
use stowage_tests::plant::{Edge, Plant, coded, free_port};
use stowage_tests::process::{Program, json_lines, run, text};
use stowage_tests::{sgtin_uri, sgtin96, until, vectors};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vendor {
    Impinj,
    Zebra,
}

use Vendor::{Impinj, Zebra};

/// A plant whose dock door has a smart reader, and its broker.
fn plant(vendor: Vendor) -> (Plant, Program) {
    let plant = Plant::new();
    let (broker, reader) = (plant.broker, plant.reader);
    let way = match vendor {
        Impinj => format!("kind = \"impinj-iot\"\ncontrol = \"http://root:impinj@127.0.0.1:{reader}\"\n"),
        Zebra => "kind = \"zebra-iotc\"\ntopics = \"zebra/gate-1\"\n".to_owned(),
    };
    let antennas = "antennas = [{ port = 1, power_dbm = 30 }, { port = 2, power_dbm = 30 }]";
    let device = format!(
        "[[device]]\nid = \"gate-1\"\n{way}url = \"mqtt://127.0.0.1:{broker}\"\n{antennas}\nturn_ms = 250\npopulation = 64\n\n"
    );
    let toml = plant.edge_toml();
    let begin = toml.find("[[device]]\nid = \"gate-1\"").expect("the demo's first device");
    let end = begin + 1 + toml[begin + 1..].find("[[device]]").expect("and its second");
    plant.write_edge(&[&toml[..begin], &device, &toml[end..]].concat());
    let broker = plant.broker();
    (plant, broker)
}

fn reader(plant: &Plant, vendor: Vendor, seed: u64) -> Program {
    match vendor {
        Impinj => plant.impinj(seed, &[]),
        Zebra => plant.zebra(seed, &[]),
    }
}

fn epcs(serials: Range<u64>) -> Vec<String> {
    serials.map(|serial| sgtin96(MUG, serial)).collect()
}

/// Sends tags through the doorway, and waits until each is booked.
fn pass(plant: &Plant, edge: &Edge, reader: &mut Program, serials: Range<u64>, inwards: bool) {
    let (direction, kind) = if inwards { ("in", "stock.received") } else { ("out", "stock.departed") };
    let (epcs, mark) = (epcs(serials.clone()), reader.mark());
    let before = plant.facts_of(kind).len();
    reader.tell(&json!({"pass": {"epcs": epcs, "direction": direction, "speed_mm_s": 1500}}));
    reader.hear_after(mark, "passed", |_| true);
    until(&format!("{} × {kind}", epcs.len()), || (plant.facts_of(kind).len() >= before + epcs.len()).then_some(()));
    let booked = plant.facts_of(kind);
    assert_eq!(booked.len(), before + epcs.len(), "each once");
    for serial in serials {
        let uri = sgtin_uri(MUG, serial);
        let fact = booked[before..].iter().find(|fact| fact["what"] == uri.as_str());
        assert!(fact.is_some(), "{uri} was not booked: {booked:?}");
    }
    assert_eq!(coded(&edge.view()["portals"], "GATE-1")["portal"], Value::Null);
}

fn no_violation(reader: &Program) {
    assert_eq!(reader.told("violation"), [] as [Value; 0]);
    assert_eq!(reader.told("error"), [] as [Value; 0]);
}

fn goods_pass(vendor: Vendor) {
    let (plant, _broker) = plant(vendor);
    let mut reader = reader(&plant, vendor, 71);
    let edge = plant.edge();
    edge.wait_device("gate-1", true);
    reader.hear("running", |running| running == true);
    pass(&plant, &edge, &mut reader, 1..5, true);
    edge.wait_units(4);
    let (before, mark) = (plant.facts(), reader.mark());
    reader.tell(&json!({"turn_back": {"epcs": [sgtin96(MUG, 1)], "direction": "out", "speed_mm_s": 1500}}));
    reader.hear_after(mark, "turned_back", |_| true);
    until("the doorway to be empty", || (coded(&edge.view()["portals"], "GATE-1")["tags"] == 0).then_some(()));
    assert_eq!(plant.facts(), before, "a turn-back is no fact");
    pass(&plant, &edge, &mut reader, 1..5, false);
    edge.wait_units(0);
    let view = edge.view();
    let door = coded(&view["portals"], "GATE-1");
    assert_eq!((&door["inwards"], &door["outwards"]), (&json!(4), &json!(4)));
    assert!(view["totals"]["visits"].as_u64() > Some(40), "{view}");
    let device = edge.device("gate-1");
    assert_eq!((&device["faults"], &device["malformed"]), (&json!(0), &json!(0)), "{device}");
    no_violation(&reader);
    edge.stop();
    plant.verify();
}

#[test]
fn goods_that_pass_an_impinj_reader_come_into_the_book_and_leave_it_again() {
    goods_pass(Impinj);
}

#[test]
fn goods_that_pass_a_zebra_reader_come_into_the_book_and_leave_it_again() {
    goods_pass(Zebra);
}

fn lost_and_back(vendor: Vendor) {
    let (plant, _broker) = plant(vendor);
    let mut first = reader(&plant, vendor, 72);
    let edge = plant.edge();
    edge.wait_device("gate-1", true);
    first.kill();
    edge.wait_device("gate-1", false);
    let why = edge.device("gate-1")["last_error"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains("gone from the broker") || why.contains("/status"), "by its last will: {why}");
    let down = plant.facts_of("device.down").pop().expect("it is a fact");
    assert!(down["why"].as_str().is_some_and(|why| why.contains("gone from the broker")), "{down}");
    let mut second = reader(&plant, vendor, 73);
    edge.wait_device("gate-1", true);
    pass(&plant, &edge, &mut second, 10..12, true);
    no_violation(&second);
}

#[test]
fn a_lost_impinj_reader_is_told_by_its_last_will_and_set_up_again() {
    lost_and_back(Impinj);
}

#[test]
fn a_lost_zebra_reader_is_told_by_its_last_will_and_set_up_again() {
    lost_and_back(Zebra);
}

fn late_events_move_nothing(vendor: Vendor) {
    let (plant, _broker) = plant(vendor);
    let mut reader = reader(&plant, vendor, 74);
    let edge = plant.edge();
    edge.wait_device("gate-1", true);
    reader.hear("running", |running| running == true);
    // While its network is gone, goods go in. The reader keeps what it reads, and delivers it afterwards.
    reader.tell(&json!({"unplug": {"for_ms": 8000}}));
    edge.wait_device("gate-1", false);
    let mark = reader.mark();
    reader.tell(&json!({"pass": {"epcs": epcs(20..23), "direction": "in", "speed_mm_s": 2000}}));
    reader.hear_after(mark, "passed", |_| true);
    edge.wait_device("gate-1", true);
    let told = until("the late reports to be told", || {
        let device = edge.device("gate-1");
        device["last_error"].as_str().is_some_and(|what| what.contains("too late")).then_some(device)
    });
    assert!(told["faults"].as_u64() > Some(20), "each is counted: {told}");
    // What is read now is believed as before.
    pass(&plant, &edge, &mut reader, 30..32, true);
    let moved = plant.facts_of("presence.moved");
    assert!(moved.iter().all(|fact| !(20..23).any(|serial| fact["what"] == sgtin_uri(MUG, serial))), "{moved:?}");
    edge.wait_units(2);
    no_violation(&reader);
}

#[test]
fn what_an_impinj_reader_kept_while_it_was_cut_off_moves_nothing() {
    late_events_move_nothing(Impinj);
}

#[test]
fn what_a_zebra_reader_kept_while_it_was_cut_off_moves_nothing() {
    late_events_move_nothing(Zebra);
}

#[test]
fn refused_commands_are_told_in_words() {
    for (vendor, words) in [
        (Impinj, "antennaConfigs[1].antennaPort is out of range"),
        (Zebra, "set_mode is refused: antennas are [1, 2], there are 1 to 1 (code 7)"),
    ] {
        let (plant, _broker) = plant(vendor);
        let _reader = match vendor {
            Impinj => plant.impinj(75, &["--antennas", "1"]),
            Zebra => plant.zebra(75, &["--antennas", "1"]),
        };
        let edge = plant.edge();
        let device = until("the refusal to be told", || {
            Some(edge.device("gate-1")).filter(|device| device["last_error"].is_string())
        });
        assert!(device["last_error"].as_str().is_some_and(|told| told.contains(words)), "{device}");
        assert_eq!(device["up"], false);
    }
}

#[test]
fn a_wrong_password_is_told_with_the_mend() {
    let (plant, _broker) = plant(Impinj);
    let _reader = plant.impinj(76, &["--password", "other"]);
    let edge = plant.edge();
    let device = until("the refusal to be told", || {
        Some(edge.device("gate-1")).filter(|device| device["last_error"].is_string())
    });
    let told = device["last_error"].as_str().unwrap_or_default();
    assert!(told.contains("GET /status is refused") && told.contains("the user or password is wrong"), "{told}");
}

#[test]
fn an_antenna_that_is_pulled_and_a_clock_that_jumps_are_told() {
    let (plant, _broker) = plant(Impinj);
    let mut reader = reader(&plant, Impinj, 77);
    let edge = plant.edge();
    edge.wait_device("gate-1", true);
    let told = |words: &str| {
        until(words, || {
            let device = edge.device("gate-1");
            device["last_error"].as_str().is_some_and(|told| told.contains(words)).then_some(())
        });
    };
    reader.tell(&json!({"antenna": {"port": 2, "connected": false}}));
    told("antenna 2 is not connected");
    reader.tell(&json!({"antenna": {"port": 2, "connected": true}}));
    told("antenna 2 is connected again");
    reader.tell(&json!({"clock": {"ahead_ms": 3_600_000}}));
    told("its clock jumped");
    pass(&plant, &edge, &mut reader, 40..42, true);
    no_violation(&reader);
}

/// Plays a reader of either vendor: answers as they do, and publishes the messages of a file with the time of now.
const PLAYER: &str = r#"
import base64, datetime, http.server, json, ssl, sys, threading, time
import paho.mqtt.client as mqtt

vendor, broker, rest, path = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
certificate = sys.argv[5] if len(sys.argv) > 5 else None
said = lambda **what: print(json.dumps(what), flush=True)
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="player")
state = {"mqtt": {"active": False}, "running": False, "topic": None}
now = lambda: datetime.datetime.now(datetime.timezone.utc)

def play():
    for line in open(path):
        vector = json.loads(line)
        if vector["vendor"] != vendor or vector.get("channel", "tag data") != "tag data":
            continue
        if "text" in vector:
            client.publish(state["topic"], vector["text"], qos=1)
            continue
        message = vector["message"]
        for event in message if isinstance(message, list) else [message]:
            if vendor == "impinj":
                event["timestamp"] = now().strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
                event.get("tagInventoryEvent", {}).pop("lastSeenTime", None)
                if "inventoryStatusEvent" in event:
                    event["inventoryStatusEvent"]["status"] = "running"
            else:
                event["timestamp"] = now().strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"
        client.publish(state["topic"], json.dumps(message), qos=1)
    said(played=True)

class Rest(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass
    def answer(self, status, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        said(request={"method": self.command, "path": self.path, "body": json.loads(body) if body else None})
        wanted = "Basic " + base64.b64encode(b"root:impinj").decode()
        if self.headers.get("Authorization") != wanted:
            return self.answer(401, {"message": "unauthorized"})
        asked = (self.command, self.path)
        if asked == ("GET", "/api/v1/status"):
            return self.answer(200, {
                "status": "running" if state["running"] else "idle",
                "time": now().strftime("%Y-%m-%dT%H:%M:%SZ"), "serialNumber": "37025450820",
                "mqttBrokerConnectionStatus": "connected" if client.is_connected() else "disconnected",
                "kafkaClusterConnectionStatus": "disconnected"})
        if asked == ("GET", "/api/v1/mqtt"):
            return self.answer(200, state["mqtt"])
        if asked == ("PUT", "/api/v1/mqtt"):
            state["mqtt"] = {k: v for k, v in json.loads(body).items() if k != "password"}
            state["topic"] = state["mqtt"]["eventTopic"]
            client.will_set(state["mqtt"]["willTopic"], state["mqtt"]["willMessage"], qos=1)
            client.connect(state["mqtt"]["brokerHostname"], state["mqtt"]["brokerPort"])
            client.loop_start()
            return self.answer(204)
        if asked == ("POST", "/api/v1/profiles/stop"):
            state["running"] = False
            return self.answer(204)
        if asked == ("POST", "/api/v1/profiles/inventory/start"):
            state["running"] = True
            threading.Timer(2, play).start()
            return self.answer(204)
        self.answer(404, {"message": "no such path"})
    do_GET = do_PUT = do_POST = handle_any

def zebra(_client, _data, message):
    command = json.loads(message.payload)
    said(command=command)
    payload = {}
    if command["command"] == "get_status":
        payload = {"uptime": "0 days 00:10:00", "systemTime": now().strftime("%Y-%m-%dT%H:%M:%S+00:00"),
                   "radioConnection": "connected", "antennas": {str(n): "connected" for n in range(0, 14)},
                   "radioActivitiy": "active" if state["running"] else "inactive", "temperature": 31}
    if command["command"] in ("start", "stop"):
        state["running"] = command["command"] == "start"
        if state["running"]:
            threading.Timer(2, play).start()
    answer = {"command": command["command"], "command_id": command["command_id"], "response": "success", "payload": payload}
    client.publish(message.topic.replace("cmd", "res"), json.dumps(answer), qos=1)

if vendor == "zebra":
    state["topic"] = "zebra/gate-1/data"
    client.on_message = zebra
    client.on_subscribe = lambda *_: said(ready=True)
    client.on_connect = lambda *_: client.subscribe([("zebra/gate-1/ctrl/cmd", 1), ("zebra/gate-1/mgmt/cmd", 1)])
    client.connect("127.0.0.1", broker)
    client.loop_forever()
else:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", rest), Rest)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    said(ready=True)
    server.serve_forever()
"#;

/// The Python with the witnesses' libraries; `None` where there is none, which is said.
fn python() -> Option<std::ffi::OsString> {
    let python = std::env::var_os("STOWAGE_TEST_PYTHON");
    if python.is_none() {
        eprintln!("SKIPPED: STOWAGE_TEST_PYTHON names no Python with paho-mqtt and requests; tests/run makes one");
    }
    python
}

#[test]
fn messages_of_real_readers_played_by_a_stranger_are_taken() {
    let (Some(python), Some(folder)) = (python(), vectors()) else { return };
    let path = folder.join("reader-mqtt/messages.jsonl");
    let vectors = json_lines(&fs::read(&path).expect("the vectors are readable"));
    for (vendor, name) in [(Impinj, "impinj"), (Zebra, "zebra")] {
        let (plant, _broker) = plant(vendor);
        let args = [name, &plant.broker.to_string(), &plant.reader.to_string(), &path.display().to_string()];
        let player = Program::start("the player", &python, &[&["-c", PLAYER], &args[..]].concat());
        player.hear("ready", |_| true);
        let edge = plant.edge();
        edge.wait_device("gate-1", true);
        player.hear("played", |_| true);
        let played: Vec<&Value> = vectors.iter().filter(|vector| vector["vendor"] == name).collect();
        // Of each report: the antenna, and how many replies it stands for.
        let mut reports: Vec<(Option<u64>, u64)> = Vec::new();
        for vector in &played {
            let of_zebra = |data: &Value| (data["antenna"].as_u64(), data["reads"].as_u64().unwrap_or(1));
            match (vendor, &vector["message"]) {
                (Impinj, message) if message["tagInventoryEvent"].is_object() => {
                    reports.push((message["tagInventoryEvent"]["antennaPort"].as_u64(), 1));
                }
                (Zebra, Value::Array(batch)) => reports.extend(batch.iter().map(|event| of_zebra(&event["data"]))),
                (Zebra, message) if message["data"].is_object() => reports.push(of_zebra(&message["data"])),
                _ => {}
            }
        }
        // The doorway has two antennas; of a report without one it can't be told which read it.
        let ours = reports.iter().filter(|(antenna, _)| matches!(antenna, Some(1 | 2))).map(|(_, replies)| replies);
        let ours: u64 = ours.sum();
        let untold = reports.iter().filter(|(antenna, _)| antenna.is_none()).count();
        let broken = played.iter().filter(|vector| vector["text"].is_string()).count();
        let view = until("everything to be counted", || {
            let view = edge.view();
            let device = coded(&view["devices"], "gate-1");
            let malformed = device["malformed"].as_u64() == Some((broken + untold) as u64);
            (view["totals"]["reads"].as_u64() >= Some(ours) && malformed).then_some(view)
        });
        println!("{name}: {} messages, {ours} reads at the doorway, {broken} refused", played.len());
        assert_eq!(view["totals"]["reads"], json!(ours));
        assert_eq!(coded(&view["devices"], "gate-1")["downs"], 0);
        assert_eq!(plant.facts_of("presence.moved"), [] as [Value; 0], "one look is no move");
    }
}

/// A key and the certificate that it made itself, for a name that nobody dials.
fn self_signed(plant: &Plant, name: &str) -> String {
    let path = plant.path(name).display().to_string();
    let [key, certificate] = ["key", "certificate"].map(|part| plant.path(part).display().to_string());
    let made = run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=impinj-14-2a-3f",
            "-addext",
            "subjectAltName=DNS:impinj-14-2a-3f.local",
            "-keyout",
            &key,
            "-out",
            &certificate,
        ],
        b"",
    );
    assert!(made.status.success(), "{}", text(&made.stderr));
    let both = [key, certificate].map(|path| fs::read_to_string(path).expect("it was written")).concat();
    fs::write(&path, both).expect("the folder is ours");
    path
}

#[test]
fn a_reader_is_controlled_over_tls_and_trusted_by_the_certificate_that_it_made_itself() {
    let Some(python) = python() else { return };
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("SKIPPED: openssl is missing");
        return;
    }
    let (plant, _broker) = plant(Impinj);
    let own = self_signed(&plant, "reader.pem");
    self_signed(&plant, "other.pem");
    let edge_toml = fs::read_to_string(plant.path("edge.toml")).expect("it was written");
    let over_tls = |ca: &str| {
        let control = format!("control = \"https://root:impinj@127.0.0.1:{}\"\ncontrol_ca = \"{ca}\"", plant.reader);
        edge_toml.replace(&format!("control = \"http://root:impinj@127.0.0.1:{}\"", plant.reader), &control)
    };
    let nothing = plant.path("nothing.jsonl");
    fs::write(&nothing, "").expect("the folder is ours");
    let args = ["impinj", &plant.broker.to_string(), &plant.reader.to_string(), &nothing.display().to_string(), &own];
    let player = Program::start("the player", &python, &[&["-c", PLAYER], &args[..]].concat());
    player.hear("ready", |_| true);

    plant.write_edge(&over_tls("other.pem"));
    let edge = plant.edge();
    let device = until("the refusal to be told", || {
        Some(edge.device("gate-1")).filter(|device| device["last_error"].is_string())
    });
    let told = device["last_error"].as_str().unwrap_or_default();
    assert!(told.contains("certificate") && told.contains("other.pem"), "{told}");
    assert_eq!(player.told("request"), [] as [Value; 0], "it is told no password");
    edge.stop();

    plant.write_edge(&over_tls("reader.pem"));
    let edge = plant.edge();
    edge.wait_device("gate-1", true);
    assert!(!player.told("request").is_empty());
    edge.stop();
}

/// Drives a reader over REST, and prints the tags that it publishes.
const DRIVER: &str = r#"
import json, sys, time
import paho.mqtt.client as mqtt
import requests

broker, rest = int(sys.argv[1]), sys.argv[2]
said = lambda **what: print(json.dumps(what), flush=True)
base = f"http://127.0.0.1:{rest}/api/v1"
session = requests.Session()
session.auth = ("root", "impinj")

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="driver")
def told(_client, _data, message):
    if message.topic == "r700/will":
        return said(will=message.payload.decode())
    event = json.loads(message.payload)
    said(**{event["eventType"]: event})
client.on_message = told
client.on_subscribe = lambda *_: said(subscribed=True)
client.connect("127.0.0.1", broker)
client.subscribe("r700/#", qos=1)
client.loop_start()
time.sleep(0.2)

assert requests.get(base + "/status").status_code == 401
mqtt_config = {"active": True, "brokerHostname": "127.0.0.1", "brokerPort": broker, "clientId": "r700", "eventTopic": "r700",
               "eventQualityOfService": 1, "willTopic": "r700/will", "cleanSession": True}
assert session.put(base + "/mqtt", json=mqtt_config).status_code == 204
deadline = time.time() + 20
while session.get(base + "/status").json()["mqttBrokerConnectionStatus"] != "connected":
    assert time.time() < deadline
    time.sleep(0.05)
assert "password" not in session.get(base + "/mqtt").json()
antenna = lambda port: {"antennaPort": port, "transmitPowerCdbm": 3000, "rfMode": 1002, "inventorySession": 1,
                        "inventorySearchMode": "dual-target", "estimatedTagPopulation": 8}
refused = session.post(base + "/profiles/inventory/start", json={"antennaConfigs": [antenna(9)]})
said(refused={"status": refused.status_code, "body": refused.json()})
preset = {"antennaConfigs": [antenna(1), antenna(2)]}
assert session.put(base + "/profiles/inventory/presets/dock", json=preset).status_code == 204
assert "dock" in session.get(base + "/profiles/inventory/presets").json()
assert session.post(base + "/profiles/inventory/presets/dock/start").status_code == 204
assert session.post(base + "/profiles/inventory/presets/dock/start").status_code == 409
assert session.get(base + "/status").json()["status"] == "running"
time.sleep(2)
assert session.post(base + "/profiles/stop").status_code == 204
assert session.get(base + "/status").json()["status"] == "idle"
time.sleep(0.5)
said(done=True)
"#;

#[test]
fn a_stranger_drives_the_simulated_reader_over_rest() {
    let Some(python) = python() else { return };
    let mut plant = Plant::new();
    plant.reader = free_port();
    let _broker = plant.broker();
    let mut reader = plant.impinj(78, &[]);
    let epc = sgtin96(LAMP, 5);
    reader.tell(&json!({"place": {"epc": epc, "antenna": 2, "distance_mm": 900}}));
    reader.hear("placed", |_| true);
    let args = ["-c", DRIVER, &plant.broker.to_string(), &plant.reader.to_string()];
    let driver = Program::start("the driver", &python, &args);
    driver.hear("done", |_| true);
    let tags = driver.told("tagInventory");
    assert!(!tags.is_empty(), "{}", driver.complaints());
    for event in &tags {
        let tag = &event["tagInventoryEvent"];
        // As a reader is set ex works: the EPC in base64 alone.
        assert!(tag["epcHex"].is_null() && tag["epc"].as_str().is_some_and(|epc| epc.len() == 16), "{event}");
        assert!(matches!(tag["antennaPort"].as_u64(), Some(1 | 2)), "{event}");
        assert!(matches!(tag["peakRssiCdbm"].as_i64(), Some(-9_000..=-1_000)), "{event}");
    }
    let refused = &driver.told("refused")[0];
    assert_eq!(refused["status"], 400);
    assert_eq!(refused["body"]["invalidPropertyId"], "antennaConfigs[0].antennaPort");
    assert_eq!(driver.told("will"), [json!("connected")]);
    let statuses: Vec<Value> =
        driver.told("inventoryStatus").iter().map(|event| event["inventoryStatusEvent"]["status"].clone()).collect();
    assert_eq!(statuses, [json!("running"), json!("idle")]);
    println!("the driver heard {} reports", tags.len());
    // Without a password, an antenna that isn't there, a start while it runs.
    assert_eq!(reader.told("violation").len(), 3, "{:?}", reader.told("violation"));
}
