//! Parcels on the belt of a PLC: over a serial line and over TCP, with cut cables, a killed edge, and strangers' Modbus.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use stowage_tests::plant::{Edge, Plant, free_port};
use stowage_tests::process::{Program, binary};
use stowage_tests::relay::{Borders, Relay};
use stowage_tests::{long, until, within};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Rtu,
    Tcp,
}
use Transport::{Rtu, Tcp};

/// The example's site and edge, with the PLC on a line of their own.
struct Belt {
    plant: Plant,
    transport: Transport,
    /// Where the edge dials, and where the PLC listens.
    dialled: u16,
    listens: u16,
}

impl Belt {
    fn new(transport: Transport) -> Self {
        let plant = Plant::new();
        let port = free_port();
        let belt = Self { plant, transport, dialled: port, listens: port };
        belt.write();
        belt
    }

    /// Over TCP, with a relay between the edge and the PLC.
    fn relayed() -> (Self, Relay) {
        let mut belt = Self::new(Tcp);
        belt.listens = free_port();
        let relay = Relay::tcp(belt.dialled, belt.listens, Borders::None);
        (belt, relay)
    }

    fn write(&self) {
        let Self { plant, transport, dialled, .. } = self;
        let example = |file: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/sorter-plc").join(file);
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        fs::write(plant.path("site.toml"), example("site.toml")).expect("the folder is ours");
        let mut toml = example("edge.toml");
        let url = match transport {
            Rtu => format!("serial://{}?baud=115200&parity=even", plant.path("plc").display()),
            Tcp => format!("modbus://127.0.0.1:{dialled}"),
        };
        for (from, to) in [
            ("\".stowage\"", "\"data\"".to_owned()),
            ("127.0.0.1:8080", format!("127.0.0.1:{}", plant.page)),
            ("127.0.0.1:7070", format!("127.0.0.1:{}", plant.scanners)),
            ("serial:///tmp/stowage-plc?baud=19200&parity=even\"", format!("{url}\"")),
        ] {
            assert!(toml.contains(from), "config/sorter-plc/edge.toml has no {from}");
            toml = toml.replace(from, &to);
        }
        plant.write_edge(&toml);
    }

    /// The simulated PLC. Its belt is slow enough for debug programs on a busy machine.
    fn plc(&self) -> Program {
        let config = self.plant.path("edge.toml").display().to_string();
        let line = match self.transport {
            Rtu => ["--link".to_owned(), self.plant.path("plc").display().to_string()],
            Tcp => ["--listen".to_owned(), format!("127.0.0.1:{}", self.listens)],
        };
        let times = ["--to-decision-ms", "2500", "--to-chutes-ms", "300", "--between-chutes-ms", "50"];
        let args = [&["device", "sorter-modbus", "--config", &config, &line[0], &line[1]], &times[..]].concat();
        let plc = Program::start("the PLC", binary("stowage-sim"), &args);
        plc.hear(if self.transport == Rtu { "port" } else { "listening" }, |_| true);
        plc
    }

    fn at_work(&self) -> (Program, Edge) {
        let plc = self.plc();
        let edge = self.plant.edge();
        edge.wait_device("sorter-1", true);
        (plc, edge)
    }

    /// What the journal says of the PLC's item.
    fn life(&self, item: &Value) -> Vec<Value> {
        let facts = self.plant.facts();
        let planned = facts.iter().find(|fact| fact["kind"] == "command.planned" && fact["data"]["item"] == *item);
        let Some(command) = planned.map(|fact| fact["data"]["command"].clone()) else { return Vec::new() };
        facts.into_iter().filter(|fact| fact["data"]["command"] == command).collect()
    }

    /// Waits for the end of the command for an item: its fact.
    fn end(&self, item: &Value) -> Value {
        until(&format!("the end of item {item}"), || {
            self.life(item).into_iter().find(|fact| ENDS.iter().any(|end| fact["kind"] == *end))
        })
    }

    /// The fact that the PLC is down, once it is durable.
    fn down(&self) -> Value {
        until("the fact that the PLC is down", || self.plant.facts_of("device.down").pop())
    }

    /// Puts a parcel on the belt and follows it into `chute`, for the reason `why`.
    fn sorted_into(&self, plc: &mut Program, code: Option<&str>, chute: &str, why: &str) {
        let item = induct(plc, code);
        let delivered = plc.hear("delivered", |delivered| delivered["item"] == item);
        assert_eq!((&delivered["chute"], &delivered["outcome"]), (&json!(chute), &json!("diverted")), "{code:?}");
        let end = self.end(&item);
        let life = self.life(&item);
        assert_eq!(kinds(&life), WHOLE_LIFE, "{life:?}");
        assert_eq!((&life[0]["data"]["chute"], &life[0]["why"]), (&json!(chute), &json!(why)), "{}", life[0]);
        assert_eq!(end["data"]["chute"], chute, "{end}");
    }
}

const WHOLE_LIFE: [&str; 4] = ["command.planned", "command.sent", "command.acknowledged", "command.confirmed"];
const ENDS: [&str; 3] = ["command.confirmed", "command.missed", "command.failed"];

fn kinds(life: &[Value]) -> Vec<&str> {
    life.iter().filter_map(|fact| fact["kind"].as_str()).collect()
}

/// Puts a parcel on the belt; returns the PLC's number for it.
fn induct(plc: &mut Program, code: Option<&str>) -> Value {
    let mark = plc.mark();
    plc.tell(&json!({"parcel": {"code": code}}));
    plc.hear_after(mark, "inducted", |inducted| inducted["code"] == json!(code))["item"].clone()
}

/// Nothing came late, twice, or otherwise as it should not.
fn assert_obedient(plc: &Program) {
    assert_eq!(plc.told("violation"), [] as [Value; 0]);
}

/// What the PLC says of every item of its present start is what the journal says: each ended once, and as it really did.
fn assert_agreement(belt: &Belt, plc: &Program) {
    let facts = belt.plant.facts();
    let mut steps = BTreeSet::new();
    for fact in &facts {
        if let (Some(kind), Some(command)) = (fact["kind"].as_str(), fact["data"]["command"].as_str()) {
            assert!(steps.insert((kind.to_owned(), command.to_owned())), "a command's step twice: {fact}");
        }
    }
    for delivered in plc.told("delivered") {
        // The step that ends its command; where that was over before, a fact of its own.
        let told = until(&format!("the end of item {}", delivered["item"]), || {
            let last = belt.life(&delivered["item"]).pop()?;
            (!last["data"]["outcome"].is_null()).then_some(last)
        });
        let truth = (&delivered["outcome"], &delivered["chute"]);
        assert_eq!((&told["data"]["outcome"], &told["data"]["chute"]), truth, "{delivered}: {told}");
    }
    assert_obedient(plc);
}

#[test]
fn a_parcel_goes_into_the_chute_of_its_route_over_either_transport() {
    for transport in [Rtu, Tcp] {
        let belt = Belt::new(transport);
        let (mut plc, edge) = belt.at_work();
        edge.announce("P-1001", "DE");
        edge.announce("P-OF-32-OCTETS-0123456789-ABCDEF", "PL");
        belt.sorted_into(&mut plc, Some("P-1001"), "C1", "route DE");
        belt.sorted_into(&mut plc, Some("P-OF-32-OCTETS-0123456789-ABCDEF"), "C3", "route PL");
        belt.sorted_into(&mut plc, Some("EXP-77"), "C4", "codes that begin with EXP");
        belt.sorted_into(&mut plc, Some("NEVER-HEARD-OF"), "HOSPITAL", "unknown parcel");
        belt.sorted_into(&mut plc, None, "HOSPITAL", "no-read");
        // Twenty at once: each has one whole life.
        let items: Vec<Value> = (0..20).map(|n| induct(&mut plc, Some(&format!("EXP-{n}")))).collect();
        for item in &items {
            assert_eq!(belt.end(item)["kind"], "command.confirmed", "{transport:?}");
            assert_eq!(kinds(&belt.life(item)), WHOLE_LIFE);
        }
        assert_agreement(&belt, &plc);
        edge.stop();
        belt.plant.verify();
    }
}

#[test]
fn a_full_chute_a_jam_a_loss_and_an_emergency_stop_are_observed() {
    let belt = Belt::new(Rtu);
    let (mut plc, edge) = belt.at_work();
    plc.tell(&json!({"full": {"chute": "C1", "full": true}}));
    edge.announce("P-1", "DE");
    // The news of the full chute may come behind the first parcel's: then the PLC refuses.
    until("a parcel to go to the second chute of its rule", || {
        let item = induct(&mut plc, Some("P-1"));
        let end = belt.end(&item);
        (end["kind"] == "command.confirmed" && end["data"]["chute"] == "C2").then_some(())
    });
    for (how, why) in [
        ("jammed", "it is stuck"),
        ("lost", "the sorter lost track of it"),
        ("gap", "too near to its neighbour: the sorter followed its safe plan"),
        ("double", "two items that can't be told apart: the sorter followed its safe plan"),
    ] {
        let item = induct(&mut plc, Some("EXP-1"));
        until("the acknowledgement", || kinds(&belt.life(&item)).contains(&"command.acknowledged").then_some(()));
        plc.tell(&json!({"fail": {"item": item, "how": how}}));
        let end = belt.end(&item);
        assert_eq!((&end["kind"], &end["why"]), (&json!("command.failed"), &json!(why)), "{end}");
    }
    // While the belt stands, nothing moves; it goes on by the machine's own controls alone.
    let item = induct(&mut plc, Some("EXP-2"));
    until("the acknowledgement", || kinds(&belt.life(&item)).contains(&"command.acknowledged").then_some(()));
    plc.tell(&json!({"run": "estop"}));
    until("the edge to see it", || (edge.device("sorter-1")["belt"] == "estop").then_some(()));
    plc.tell(&json!({"run": "running"}));
    assert_eq!(belt.end(&item)["kind"], "command.confirmed");
    let belts: Vec<_> = belt.plant.facts_of("belt.changed").iter().map(|fact| fact["data"]["belt"].clone()).collect();
    assert_eq!(belts, ["running", "estop", "running"]);
    assert_obedient(&plc);
    edge.stop();
    belt.plant.verify();
}

#[test]
fn silence_is_noticed_at_both_ends_and_what_happened_meanwhile_is_told() {
    for transport in [Rtu, Tcp] {
        let belt = Belt::new(transport);
        let (mut plc, mut edge) = belt.at_work();
        plc.tell(&json!({"silent": true}));
        edge.wait_device("sorter-1", false);
        let down = belt.down();
        let why = "the PLC doesn't answer: look at its power, the cable, unit and speed";
        assert_eq!(down["why"], why, "{down}");
        let item = induct(&mut plc, Some("EXP-1"));
        let delivered = plc.hear("delivered", |delivered| delivered["item"] == item);
        assert_eq!((&delivered["chute"], &delivered["outcome"]), (&json!("HOSPITAL"), &json!("missed")));
        plc.tell(&json!({"silent": false}));
        edge.wait_device("sorter-1", true);
        let end = belt.end(&item);
        assert_eq!(end["kind"], "command.missed", "{end}");
        // The other way round: without an edge the PLC follows its safe plan.
        edge.program.kill();
        let item = induct(&mut plc, Some("EXP-2"));
        let delivered = plc.hear("delivered", |delivered| delivered["item"] == item);
        assert_eq!((&delivered["chute"], &delivered["outcome"]), (&json!("HOSPITAL"), &json!("missed")));
        let edge = belt.plant.edge();
        assert_eq!(belt.end(&item)["kind"], "command.missed");
        edge.wait_device("sorter-1", true);
        belt.sorted_into(&mut plc, Some("EXP-3"), "C4", "codes that begin with EXP");
        assert_agreement(&belt, &plc);
        edge.stop();
        belt.plant.verify();
    }
}

#[test]
fn a_plc_that_starts_anew_with_parcels_on_its_belt_is_sent_nothing_of_before() {
    let belt = Belt::new(Rtu);
    let (mut plc, edge) = belt.at_work();
    let item = induct(&mut plc, Some("EXP-1"));
    until("the acknowledgement", || kinds(&belt.life(&item)).contains(&"command.acknowledged").then_some(()));
    plc.tell(&json!({"restart": {}}));
    let end = belt.end(&item);
    assert_eq!((&end["kind"], &end["why"]), (&json!("command.failed"), &json!("the sorter was restarted")), "{end}");
    let again = until("the PLC to be up again", || {
        let item = induct(&mut plc, Some("EXP-2"));
        let delivered = plc.hear("delivered", |delivered| delivered["code"] == "EXP-2" && delivered["item"] == item);
        (delivered["outcome"] == "diverted").then_some(delivered)
    });
    assert_eq!(again["chute"], "C4");
    assert_obedient(&plc);
    edge.stop();
    belt.plant.verify();
}

/// Draws when to break (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Breaks the line, kills the edge and delays answers while parcels run: nothing is late, nothing is done twice, and every
/// end is told.
fn breaks_cost_no_end(transport: Transport, seed: u64) {
    let (belt, relay) = match transport {
        Rtu => (Belt::new(Rtu), None),
        Tcp => {
            let (belt, relay) = Belt::relayed();
            (belt, Some(relay))
        }
    };
    let (mut plc, mut edge) = belt.at_work();
    let mut dice = Dice(seed);
    for round in 0..if long() { 60 } else { 6 } {
        for n in 0..3 {
            induct(&mut plc, Some(&format!("EXP-{round}-{n}")));
        }
        let pause = Duration::from_millis(dice.below(1_500));
        let begun = Instant::now();
        within(pause + Duration::from_secs(1), "the moment of the break", || (begun.elapsed() >= pause).then_some(()));
        match (round % 3, &relay) {
            (0, _) => {
                edge.program.kill();
                edge = belt.plant.edge();
            }
            (1, Some(relay)) => relay.cut(),
            (1, None) => plc.tell(&json!({"cut": {}})),
            _ => {
                // Later than the edge waits for, earlier than it listens for what is late.
                plc.tell(&json!({"late": 300}));
                induct(&mut plc, None);
                plc.tell(&json!({"late": 0}));
            }
        }
    }
    edge.wait_device("sorter-1", true);
    until("every parcel to be delivered", || (plc.told("delivered").len() == plc.told("inducted").len()).then_some(()));
    assert_agreement(&belt, &plc);
    let (inducted, confirmed) = (plc.told("inducted").len(), belt.plant.facts_of("command.confirmed").len());
    println!("{transport:?}: {inducted} parcels, {confirmed} confirmed");
    assert_eq!(belt.plant.facts_of("parcel.scanned").len(), inducted, "each was reported once");
    assert!(confirmed > 0, "some parcel was sorted");
    edge.stop();
    belt.plant.verify();
}

#[test]
fn a_cut_serial_line_and_a_killed_edge_cost_no_end() {
    breaks_cost_no_end(Rtu, 1);
}

#[test]
fn a_cut_connection_and_a_killed_edge_cost_no_end() {
    breaks_cost_no_end(Tcp, 2);
}

/// The Python of the witnesses; `None` where it is absent, which is said.
fn python() -> Option<std::ffi::OsString> {
    let python = std::env::var_os("STOWAGE_TEST_PYTHON");
    if python.is_none() {
        eprintln!("SKIPPED: STOWAGE_TEST_PYTHON names no Python with pymodbus; tests/run makes one");
    }
    python
}

#[test]
fn pymodbus_reads_the_simulated_plcs_registers() {
    let Some(python) = python() else { return };
    for transport in [Rtu, Tcp] {
        let belt = Belt::new(transport);
        let mut plc = belt.plc();
        let (kind, line) = match transport {
            Rtu => ("rtu", belt.plant.path("plc").display().to_string()),
            Tcp => ("tcp", belt.listens.to_string()),
        };
        let script = include_str!("python/modbus_client.py");
        let client = Program::start("pymodbus", &python, &["-c", script, kind, &line]);
        client.hear("connected", |_| true);
        let item = induct(&mut plc, Some("EXP-PYMODBUS"));
        let status = client.hear("status", |_| true);
        let words: Vec<u64> = status.as_array().expect("registers").iter().filter_map(Value::as_u64).collect();
        assert_eq!((words[0], words[6], words[8], words[10]), (21_249, 1, 1, 1), "{status}: {}", client.complaints());
        let slot = client.hear("slot", |_| true);
        assert_eq!((&slot["number"], &slot["kind"], &slot["item"]), (&json!(1), &json!(1), &item), "{slot}");
        assert_eq!((&slot["code"], &slot["decide_in_ms"]), (&json!("EXP-PYMODBUS"), &json!(2_500)), "{slot}");
        assert_eq!(client.hear("nowhere", |_| true), json!(2), "an exception for registers that are none");
        assert_eq!(client.hear("function", |_| true), json!(1), "an exception for a function that it has not");
        // It commands the item as the edge would, and sees it taken and acknowledged.
        let taken = client.hear("taken", |_| true);
        assert_eq!(taken, json!({"number": 9, "kind": 2, "item": item, "chute": 4}), "{}", client.complaints());
        let delivered = plc.hear("delivered", |delivered| delivered["item"] == item);
        assert_eq!((&delivered["chute"], &delivered["outcome"]), (&json!("C4"), &json!("diverted")));
        assert_eq!(plc.told("violation").len(), 2, "the two that were refused: {:?}", plc.told("violation"));
    }
}

#[test]
fn the_edge_sorts_with_a_plc_that_pymodbus_plays() {
    let Some(python) = python() else { return };
    let belt = Belt::new(Tcp);
    let script = include_str!("python/modbus_plc.py");
    let plc = Program::start("pymodbus", &python, &["-c", script, &belt.listens.to_string()]);
    let edge = belt.plant.edge();
    edge.wait_device("sorter-1", true);
    plc.hear("scanned", |item| *item == 1);
    let command = plc.hear("command", |_| true);
    assert_eq!((&command["boot"], &command["item"], &command["chute"]), (&json!(7), &json!(1), &json!(4)), "{command}");
    let left = command["left_ms"].as_i64().expect("a number");
    assert!((1..=3_000).contains(&left), "the deadline is by the PLC's clock, and never later than it said: {left}");
    plc.hear("diverted", |item| *item == 1);
    let end = belt.end(&json!(1));
    assert_eq!((&end["kind"], &end["data"]["chute"]), (&json!("command.confirmed"), &json!("C4")));
    assert_eq!(kinds(&belt.life(&json!(1))), WHOLE_LIFE);
    plc.hear("recorded", |number| *number == 3);
    assert_eq!(plc.told("command").len(), 1, "once");
    // Its program stands, though its Modbus answers.
    plc.signal(rustix::process::Signal::USR1);
    edge.wait_device("sorter-1", false);
    let down = belt.down();
    assert_eq!(down["why"], "the PLC answers, but its heartbeat stands: start its program", "{down}");
    edge.stop();
    belt.plant.verify();
}
