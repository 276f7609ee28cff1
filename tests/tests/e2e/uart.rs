//! A UART module on a real serial line: its speed is found, it restarts, it is pulled out, it breaks, and reads go on
//! into the book.

use serde_json::{Value, json};
use stowage_tests::goods::MUG;
use stowage_tests::plant::{Edge, Handheld, Plant};
use stowage_tests::process::{Program, binary};
use stowage_tests::{sgtin_uri, sgtin96, until};

/// The module at the store's door, with more arguments.
fn module(plant: &Plant, more: &[&str]) -> Program {
    let link = plant.path("gate-2").display().to_string();
    let args = [&["device", "mercury", "--link", &link, "--seed", "31"], more].concat();
    let module = Program::start("the module", binary("stowage-sim"), &args);
    module.hear("port", |_| true);
    module
}

/// Puts `serials` into the dock's book, carries them through the store's door, and waits until they are booked there.
fn goods_go_through(edge: &Edge, module: &mut Program, scanner: &mut Handheld, serials: [u64; 3]) {
    scanner.key("receive");
    scanner.at("RECV-1");
    let epcs = serials.map(|serial| sgtin96(MUG, serial));
    epcs.iter().for_each(|epc| drop(scanner.tag(epc)));
    assert!(scanner.verdicts().iter().all(|verdict| verdict["level"] == "ok"));
    let stream = edge.stream();
    let mark = module.mark();
    module.tell(&json!({"pass": {"epcs": epcs, "direction": "in", "speed_mm_s": 1500}}));
    module.hear_after(mark, "passed", |_| true);
    for serial in serials {
        let uri = sgtin_uri(MUG, serial);
        let fact = until(&format!("{uri} to be booked in the store"), || {
            let events = stream.events().into_iter().map(|event| event.data);
            events.into_iter().find(|data| data["kind"] == "stock.moved" && data["fact"]["what"] == uri.as_str())
        });
        assert_eq!(fact["fact"]["data"]["to"]["location"], "STORE", "{fact}");
    }
}

/// Waits until the picture's last error of the module has these words; returns the module's part of the picture.
fn trouble(edge: &Edge, words: &str) -> Value {
    until(&format!("gate-2 to tell of \"{words}\""), || {
        let device = edge.device("gate-2");
        device["last_error"].as_str().is_some_and(|told| told.contains(words)).then_some(device)
    })
}

fn suffer(module: &mut Program, fault: &Value) {
    let mark = module.mark();
    module.tell(&json!({ "fault": fault }));
    module.hear_after(mark, "fault", |told| told == fault);
}

#[test]
fn a_module_at_a_wrong_speed_is_found_and_restarts_in_the_middle() {
    let plant = Plant::new();
    let toml = plant.edge_toml();
    assert!(toml.contains("?baud=115200"));
    plant.write_edge(&toml.replace("?baud=115200", "?baud=460800"));
    let mut module = module(&plant, &["--baud", "9600"]);
    let edge = plant.edge();
    let mut scanner = Handheld::start(&plant, 1);
    edge.wait_device("gate-2", true);
    let device = edge.device("gate-2");
    assert_eq!(device["note"], "found at 9600 Bd, set to 460800 Bd", "{device}");
    assert_eq!((&device["temperature_c"], &device["faults"]), (&json!(38), &json!(0)), "{device}");
    goods_go_through(&edge, &mut module, &mut scanner, [1, 2, 3]);

    suffer(&mut module, &json!("restart"));
    let device = trouble(&edge, "restarted in the middle");
    assert_eq!((&device["up"], &device["downs"]), (&json!(true), &json!(0)), "on the same connection: {device}");
    goods_go_through(&edge, &mut module, &mut scanner, [4, 5, 6]);
    assert_eq!(module.told("violation"), [] as [Value; 0]);
    edge.stop();
    plant.verify();
}

#[test]
fn a_module_that_is_pulled_out_and_put_in_again_reads_on() {
    let plant = Plant::new();
    let mut module = module(&plant, &[]);
    let edge = plant.edge();
    let mut scanner = Handheld::start(&plant, 1);
    edge.wait_device("gate-2", true);
    goods_go_through(&edge, &mut module, &mut scanner, [1, 2, 3]);
    let busy = cpu_ticks(&edge);
    suffer(&mut module, &json!({"unplug": {"for_ms": 2_500}}));
    edge.wait_device("gate-2", false);
    let device = trouble(&edge, "is not there: plug the device in");
    assert_eq!(device["downs"], 1, "{device}");
    edge.wait_device("gate-2", true);
    // A core that spins for 2.5 s takes 250 ticks.
    let busy = cpu_ticks(&edge) - busy;
    println!("the edge took {busy} ticks of 10 ms while its module was away");
    assert!(busy < 150, "{busy} ticks of 10 ms");
    goods_go_through(&edge, &mut module, &mut scanner, [4, 5, 6]);
    edge.stop();
    plant.verify();
}

#[test]
fn what_is_wrong_with_a_module_is_told_with_what_to_do() {
    let plant = Plant::new();
    let mut first = module(&plant, &["--baud", "19200", "--booted"]);
    let edge = plant.edge();
    edge.wait_device("gate-2", true);
    suffer(&mut first, &json!({"too_hot": true}));
    let device = trouble(&edge, "too hot");
    assert!(
        device["last_error"].as_str().is_some_and(|told| told.contains("lower power_dbm") && told.contains("0504"))
    );
    until("its temperature to be told", || (edge.device("gate-2")["temperature_c"] == 91).then_some(()));
    suffer(&mut first, &json!({"too_hot": false}));
    until("it to have cooled", || (edge.device("gate-2")["temperature_c"] == 38).then_some(()));
    suffer(&mut first, &json!({"antenna": {"port": 2, "state": "return_loss"}}));
    trouble(&edge, "antenna 2 is not connected");
    suffer(&mut first, &json!({"antenna": {"port": 2, "state": "on"}}));
    trouble(&edge, "antenna 2 is connected again");
    suffer(&mut first, &json!({"antenna": {"port": 1, "state": "off"}}));
    trouble(&edge, "antenna 1 is not connected");
    let device = edge.device("gate-2");
    assert_eq!((&device["up"], &device["downs"]), (&json!(true), &json!(0)), "{device}");
    edge.stop();

    // A second edge finds the port taken by the first.
    let plant = Plant::new();
    let port = std::fs::canonicalize(plant.path(".")).expect("a folder").join("gate-2");
    let _module = module(&plant, &[]);
    let edge = plant.edge();
    edge.wait_device("gate-2", true);
    let other = Plant::new();
    let toml = other.edge_toml();
    other.write_edge(&toml.replace(&other.path("gate-2").display().to_string(), &port.display().to_string()));
    let second = other.edge();
    trouble(&second, "is open in another program: end that one");
    assert_eq!(edge.device("gate-2")["up"], true);
}

#[test]
fn a_setting_that_the_module_can_not_have_is_told_with_what_to_do() {
    for (from, to, words) in [
        ("region = \"eu3\"", "region = \"kr2\"", "doesn't have the region"),
        ("power_dbm = 27", "power_dbm = 33", "refuses the read power"),
        ("antennas = [1, 2]", "antennas = [1, 9]", "no such port"),
    ] {
        let plant = Plant::new();
        let toml = plant.edge_toml();
        let at = toml.find("id = \"gate-2\"").expect("the demo has gate-2");
        let (head, tail) = toml.split_at(at);
        assert!(tail.contains(from), "config/demo/edge.toml has no {from}");
        plant.write_edge(&format!("{head}{}", tail.replacen(from, to, 1)));
        if to.contains('9') {
            let site = std::fs::read_to_string(plant.path("site.toml")).expect("the plant wrote it");
            let point = "device = \"gate-2\"\nantenna = 2";
            assert!(site.contains(point), "config/demo/site.toml has no {point}");
            let site = site.replace(point, &point.replace('2', "9").replace("gate-9", "gate-2"));
            std::fs::write(plant.path("site.toml"), site).expect("the folder is ours");
        }
        let _module = module(&plant, &[]);
        let edge = plant.edge();
        let device = trouble(&edge, words);
        assert_eq!(device["up"], false, "{device}");
        assert!(device["faults"].as_u64() > Some(0), "{device}");
    }
}

/// Processor time of the edge so far, in ticks of 10 ms.
fn cpu_ticks(edge: &Edge) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", edge.program.id())).expect("it runs");
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    // utime and stime, 14th and 15th field of all, of which two are before the closing bracket.
    [11, 12].iter().filter_map(|field| fields.get(*field)?.parse::<u64>().ok()).sum()
}
