//! Goods go through doorways: from the radio waves to the book and the page.

use serde_json::{Value, json};
use stowage_tests::goods::{BACKPACK, MUG};
use stowage_tests::http::Stream;
use stowage_tests::plant::{Edge, Handheld, Plant, coded};
use stowage_tests::process::Program;
use stowage_tests::{sgtin_uri, sgtin96, until};

/// A decision is on the page within this, µs.
const DECISION_TO_PAGE_MAX: i64 = 1_000_000;

/// What was read last is on the page within this, µs.
const READ_TO_PAGE_MAX: i64 = 3_000_000;

/// A doorway with its reader.
struct Gate {
    portal: &'static str,
    device: &'static str,
    outer: &'static str,
    inner: &'static str,
}

const DOCK_DOOR: Gate = Gate { portal: "GATE-1", device: "gate-1", outer: "OUTSIDE", inner: "DOCK" };
const STORE_DOOR: Gate = Gate { portal: "GATE-2", device: "gate-2", outer: "DOCK", inner: "STORE" };

/// The facts that a page has heard.
fn facts(stream: &Stream, kind: &str) -> Vec<(Value, i64)> {
    let events = stream.events().into_iter().filter(|event| event.kind == "fact" && event.data["kind"] == kind);
    events.map(|event| (event.data["fact"].clone(), event.at)).collect()
}

/// When a page last saw the count of reads rise.
fn last_read(stream: &Stream) -> i64 {
    let views: Vec<_> = stream.events().into_iter().filter(|event| event.kind == "view").collect();
    let reads = |at: usize| views[at].data["totals"]["reads"].as_u64().unwrap_or(0);
    (1..views.len()).rev().find(|&at| reads(at) > reads(at - 1)).map_or(0, |at| views[at].at)
}

/// Sends the tags through the doorway and checks that each is booked as `kind`, from `from` to `to`, once and in time.
fn pass(reader: &mut Program, edge: &Edge, gate: &Gate, (item, serials): (u32, std::ops::Range<u64>), inwards: bool) {
    let (from, to) = if inwards { (gate.outer, gate.inner) } else { (gate.inner, gate.outer) };
    let kind = match (from, to) {
        ("OUTSIDE", _) => "stock.received",
        (_, "OUTSIDE") => "stock.departed",
        _ => "stock.moved",
    };
    let (stream, mark) = (edge.stream(), reader.mark());
    let epcs: Vec<String> = serials.clone().map(|serial| sgtin96(item, serial)).collect();
    let direction = if inwards { "in" } else { "out" };
    reader.tell(&json!({"pass": {"epcs": epcs, "direction": direction, "speed_mm_s": 1500}}));
    reader.hear_after(mark, "passed", |passed| passed["epcs"] == json!(epcs));
    let booked = until(&format!("{} × {kind}", epcs.len()), || {
        let booked = facts(&stream, kind);
        (booked.len() >= epcs.len()).then_some(booked)
    });
    assert_eq!(booked.len(), epcs.len(), "each once: {booked:?}");
    let moved = facts(&stream, "presence.moved");
    assert_eq!(moved.len(), epcs.len(), "{moved:?}");
    let last = last_read(&stream);
    let (mut slowest_decision, mut slowest_read) = (0, i64::MIN);
    for serial in serials {
        let uri = sgtin_uri(item, serial);
        let of = |list: &[(Value, i64)]| list.iter().find(|(fact, _)| fact["what"] == uri.as_str()).cloned();
        let (decided, _) = of(&moved).unwrap_or_else(|| panic!("{uri} was not decided"));
        let data = &decided["data"];
        assert_eq!((&data["portal"], &data["to"]), (&json!(gate.portal), &json!(to)), "{decided}");
        assert!(data["from"] == from && data["confidence"].as_u64() >= Some(900), "{decided}");
        assert!(data["visits"].as_u64() > Some(0) && decided["why"].is_string(), "{decided}");
        let (fact, on_page) = of(&booked).unwrap_or_else(|| panic!("{uri} was not booked"));
        assert_eq!(fact["cause"], json!({"seq": decided["seq"]}), "{fact}");
        assert_eq!(fact["why"], decided["why"]);
        let place = |side: &str| fact["data"][side]["location"].clone();
        match kind {
            "stock.received" => assert_eq!((place("from"), place("to")), (Value::Null, json!(to)), "{fact}"),
            "stock.departed" => assert_eq!(place("to"), Value::Null, "{fact}"),
            _ => assert_eq!(place("to"), json!(to), "{fact}"),
        }
        slowest_decision = slowest_decision.max(on_page - decided["when"].as_i64().expect("a time"));
        slowest_read = slowest_read.max(on_page - last);
    }
    println!(
        "{} {direction}: on the page {} ms after the decision, {} ms after the last read (slowest of {})",
        gate.portal,
        slowest_decision / 1_000,
        slowest_read / 1_000,
        epcs.len()
    );
    assert!(slowest_decision <= DECISION_TO_PAGE_MAX, "{slowest_decision} µs from decision to page");
    assert!(slowest_read <= READ_TO_PAGE_MAX, "{slowest_read} µs from the last read to the page");
}

/// Sends a tag up to the doorway and back, and checks that nothing comes of it.
fn turn_back(reader: &mut Program, edge: &Edge, plant: &Plant, gate: &Gate, epc: &str, inwards: bool) {
    let before = plant.facts();
    let (stream, mark) = (edge.stream(), reader.mark());
    let direction = if inwards { "in" } else { "out" };
    reader.tell(&json!({"turn_back": {"epcs": [epc], "direction": direction, "speed_mm_s": 1500}}));
    let in_doorway = |view: &Value| coded(&view["portals"], gate.portal)["tags"].as_u64().unwrap_or(0);
    until("the tag to be heard in the doorway", || {
        stream.events().iter().any(|event| event.kind == "view" && in_doorway(&event.data) > 0).then_some(())
    });
    reader.hear_after(mark, "turned_back", |_| true);
    until("the doorway to be empty", || (in_doorway(&edge.view()) == 0).then_some(()));
    assert_eq!(plant.facts(), before, "a turn-back is no fact");
}

/// Receives tags at the dock with a handheld.
fn receive(plant: &Plant, item: u32, serials: std::ops::Range<u64>) {
    let mut scanner = Handheld::start(plant, 1);
    scanner.key("receive");
    scanner.at("RECV-1");
    for serial in serials {
        scanner.tag(&sgtin96(item, serial));
    }
    assert!(scanner.verdicts().iter().all(|verdict| verdict["level"] == "ok"));
}

/// Waits until the picture has so many units at the dock and in the store.
fn wait_book(edge: &Edge, dock: u64, store: u64) {
    until(&format!("{dock} at the dock, {store} in the store"), || {
        let zones = edge.view()["zones"].clone();
        let book = |zone: &str| coded(&zones, zone)["book"].clone();
        (book("DOCK") == dock && book("STORE") == store).then_some(())
    });
}

/// The device was sent nothing that it may not be sent.
fn no_violation(reader: &Program) {
    assert_eq!(reader.told("violation"), [] as [Value; 0]);
    assert_eq!(reader.told("error"), [] as [Value; 0]);
}

#[test]
fn goods_that_pass_the_dock_door_come_into_the_book_and_leave_it_again() {
    let plant = Plant::new();
    let mut reader = plant.reader(11);
    let edge = plant.edge();
    edge.wait_device("gate-1", true);
    pass(&mut reader, &edge, &DOCK_DOOR, (MUG, 1..7), true);
    edge.wait_units(6);
    turn_back(&mut reader, &edge, &plant, &DOCK_DOOR, &sgtin96(MUG, 1), false);
    turn_back(&mut reader, &edge, &plant, &DOCK_DOOR, &sgtin96(MUG, 99), true);
    pass(&mut reader, &edge, &DOCK_DOOR, (MUG, 1..7), false);
    edge.wait_units(0);
    let view = edge.view();
    let door = coded(&view["portals"], "GATE-1");
    assert_eq!((&door["inwards"], &door["outwards"]), (&json!(6), &json!(6)));
    assert_eq!(view["discrepancies"], json!([]));
    assert!(view["totals"]["visits"].as_u64() > Some(20), "{view}");
    no_violation(&reader);
    edge.stop();
    plant.verify();
}

#[test]
fn goods_that_pass_the_store_door_move_in_the_book() {
    let plant = Plant::new();
    let mut module = plant.module(12);
    let edge = plant.edge();
    receive(&plant, BACKPACK, 1..7);
    edge.wait_device("gate-2", true);
    pass(&mut module, &edge, &STORE_DOOR, (BACKPACK, 1..7), true);
    wait_book(&edge, 0, 6);
    turn_back(&mut module, &edge, &plant, &STORE_DOOR, &sgtin96(BACKPACK, 2), false);
    pass(&mut module, &edge, &STORE_DOOR, (BACKPACK, 1..7), false);
    wait_book(&edge, 6, 0);
    no_violation(&module);
    edge.stop();
    plant.verify();
}

/// The device ends and starts again: the edge says so, connects anew, and reads go on.
fn restart(gate: &Gate, start: impl Fn(&Plant) -> Program) {
    let plant = Plant::new();
    let mut device = start(&plant);
    let edge = plant.edge();
    edge.wait_device(gate.device, true);
    device.kill();
    edge.wait_device(gate.device, false);
    let mut device = start(&plant);
    edge.wait_device(gate.device, true);
    let state = edge.device(gate.device);
    assert_eq!(state["downs"], 1, "{state}");
    if gate.outer == "DOCK" {
        receive(&plant, MUG, 20..23);
    }
    pass(&mut device, &edge, gate, (MUG, 20..23), true);
    no_violation(&device);
    let told: Vec<_> =
        plant.facts().iter().filter(|fact| fact["what"] == gate.device).map(|fact| fact["kind"].clone()).collect();
    assert_eq!(told, ["device.up", "device.down", "device.up"]);
}

#[test]
fn a_reader_that_starts_anew_reads_on() {
    restart(&DOCK_DOOR, |plant| plant.reader(13));
}

#[test]
fn a_module_that_starts_anew_reads_on() {
    restart(&STORE_DOOR, |plant| plant.module(14));
}
