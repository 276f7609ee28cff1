//! `stowage probe` against devices on real lines.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use stowage_tests::plant::Plant;
use stowage_tests::process::{Program, binary, json_lines, text};
use stowage_tests::{until, within};

/// No probe takes longer, on a busy machine.
const PROBE_MAX: Duration = Duration::from_secs(8);

/// What `stowage probe URL` finds.
fn probe(plant: &Plant, url: &str) -> Vec<Value> {
    let begun = Instant::now();
    let output = plant.stowage(&["probe", "--json", url]);
    let took = begun.elapsed();
    println!("{url}: {took:?}");
    assert!(output.status.success(), "{url}: {}", text(&output.stderr));
    assert!(took < PROBE_MAX, "{url}: {took:?}");
    json_lines(&output.stdout)
}

/// What it complains of where it finds nothing.
fn complaint(plant: &Plant, url: &str) -> String {
    let output = plant.stowage(&["probe", url]);
    assert_eq!(output.status.code(), Some(1), "{url}: {}", text(&output.stdout));
    text(&output.stderr)
}

fn module(plant: &Plant, more: &[&str]) -> Program {
    let link = plant.path("gate-2").display().to_string();
    let args = [&["device", "mercury", "--link", &link, "--antennas", "4"], more].concat();
    let module = Program::start("the module", binary("stowage-sim"), &args);
    module.hear("port", |_| true);
    module
}

#[test]
fn a_reader_tells_what_it_is_and_whether_it_is_in_use() {
    let plant = Plant::new();
    let reader = plant.reader_with(5, &["--impinj"]);
    let url = format!("llrp://127.0.0.1:{}", plant.reader);
    let found = probe(&plant, &url);
    let [found] = &found[..] else { panic!("one reader: {found:?}") };
    assert_eq!(
        (&found["kind"], &found["in_use"], &found["maker"]),
        (&json!("reader"), &json!(false), &json!("Impinj"))
    );
    assert_eq!((&found["antenna_ports"], &found["rospecs"]), (&json!(2), &json!([])), "{found}");
    assert!(found["power_max_dbm"].as_f64() > found["power_min_dbm"].as_f64(), "{found}");
    assert!(found["region"].is_string() && found["firmware"].is_string(), "{found}");
    assert_eq!(found["antennas"][1], json!({"port": 2, "connected": true}));

    // With an edge on it, it is taken; that is an answer.
    let edge = plant.edge();
    edge.wait_device("gate-1", true);
    let taken = probe(&plant, &url);
    assert_eq!((taken.len(), &taken[0]["in_use"]), (1, &json!(true)));
    assert_eq!(edge.device("gate-1")["downs"], 0, "the edge wasn't disturbed");
    assert_eq!(reader.told("violation"), [] as [Value; 0]);
    edge.stop();
    // What it left behind.
    let left = within(PROBE_MAX, "the reader to be free", || {
        let found = probe(&plant, &url).remove(0);
        (found["in_use"] == false).then_some(found)
    });
    assert_eq!(left["rospecs"].as_array().map(Vec::len), Some(1), "{left}");
}

#[test]
fn a_module_is_found_at_its_own_speed_and_tells_its_antennas() {
    let plant = Plant::new();
    let port = plant.path("gate-2").display().to_string();
    let url = format!("serial://{port}?protocol=mercury");
    assert!(complaint(&plant, &url).contains("plug the device in"));

    let mut device = module(&plant, &["--baud", "19200", "--booted"]);
    device.tell(&json!({"fault": {"antenna": {"port": 3, "state": "off"}}}));
    device.hear("fault", |_| true);
    let found = probe(&plant, &url).remove(0);
    assert_eq!((&found["kind"], &found["baud"]), (&json!("module"), &json!(19_200)));
    assert_eq!((&found["program"], &found["was_reading"]), (&json!("application"), &json!(false)));
    assert_eq!((&found["hardware"], &found["gen2"]), (&json!("A8.00.00.01"), &json!(true)), "{found}");
    assert_eq!((&found["region"], &found["temperature_c"]), (&Value::Null, &json!(38)), "{found}");
    assert_eq!((&found["read_power_max_dbm"], &found["read_power_min_dbm"]), (&json!(30.0), &json!(5.0)));
    let good = json!({"port": 1, "connected": true, "return_loss_db": 18, "good": true});
    let off = json!({"port": 3, "connected": false, "return_loss_db": 1, "good": false});
    assert_eq!((&found["antennas"][0], &found["antennas"][2]), (&good, &off));
    assert_eq!(device.told("violation"), [] as [Value; 0]);
    drop(device);

    // One that has just been powered tells less.
    let device = module(&plant, &[]);
    let found = probe(&plant, &url).remove(0);
    assert!(found["program"].as_str().is_some_and(|program| program.starts_with("bootloader")), "{found}");
    assert_eq!((&found["baud"], &found["regions"]), (&json!(115_200), &Value::Null));

    // The edge has the port for itself alone.
    let edge = plant.edge();
    edge.wait_device("gate-2", true);
    assert!(complaint(&plant, &url).contains("is open in another program"));
    assert_eq!(edge.device("gate-2")["downs"], 0);
    edge.stop();
    drop(device);
}

#[test]
fn a_broker_tells_the_devices_behind_it() {
    let plant = Plant::new();
    let url = format!("mqtt://127.0.0.1:{}", plant.broker);
    assert!(complaint(&plant, &url).contains("nobody listens there"));
    let _broker = plant.broker();
    let sorter = plant.sorter();
    sorter.hear("client", |_| true);
    let found = until("the sorter to be at the broker", || {
        let found = probe(&plant, &url);
        found.iter().any(|thing| thing["kind"] == "sorter").then_some(found)
    });
    assert_eq!((&found[0]["kind"], &found[0]["devices"]), (&json!("broker"), &json!(1)), "{found:?}");
    let sorter = &found[1];
    assert_eq!((&sorter["site"], &sorter["id"], &sorter["online"]), (&json!("demo"), &json!("sorter-1"), &json!(true)));
    assert!(sorter["messages_per_s"].as_f64() > Some(0.4), "its heartbeats: {sorter}");
}

#[test]
fn a_modbus_unit_tells_its_registers() {
    use std::io::{Read, Write};
    let plant = Plant::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it listens").port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the probe comes");
        let mut request = [0; 64];
        while let Ok(count @ 8..) = stream.read(&mut request) {
            let answer: &[u8] = match request[7] {
                0x2B => b"\x2B\x0E\x01\x01\x00\x00\x03\x00\x04Acme\x01\x02S7\x02\x031.2",
                3 => &[3, 16, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8],
                _ => &[0x84, 1],
            };
            assert_eq!((request[6], count >= 8), (17, true));
            let length = (answer.len() as u16 + 1).to_be_bytes();
            let head = [request[0], request[1], 0, 0, length[0], length[1], request[6]];
            stream.write_all(&[&head, answer].concat()).expect("the probe listens");
        }
    });
    let found = probe(&plant, &format!("modbus://127.0.0.1:{port}?unit=17")).remove(0);
    assert_eq!(
        (&found["vendor"], &found["product"], &found["revision"]),
        (&json!("Acme"), &json!("S7"), &json!("1.2"))
    );
    assert_eq!(found["holding_registers"], json!([1, 2, 3, 4, 5, 6, 7, 8]));
    assert_eq!(found["input_registers"], "it has no such function (exception 1)");
    server.join().expect("it has answered well");
}
