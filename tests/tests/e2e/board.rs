//! The handheld as its image on an emulated board, in the same chain as the native one.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::JoinHandle;
use stowage_tests::gdb::Debugger;
use stowage_tests::goods::{HEADPHONES, LAMP};
use stowage_tests::plant::{Handheld, Plant};
use stowage_tests::process::{Program, binary, run, text};
use stowage_tests::{long, sgtin_uri, sgtin96, until};

#[allow(dead_code, reason = "the board's side of it is the board's")]
#[path = "../../../firmware/board-qemu/src/map.rs"]
mod map;

/// The most instructions from a scan to its beep.
const INSTRUCTIONS_MAX: u64 = 200_000;

/// Of the board's timer, which counts 25 in a µs; with counted instructions each takes 1 ns.
const INSTRUCTIONS_PER_TICK: u64 = 40;

/// A budget of the image.
fn budget(name: &str) -> u64 {
    let budgets = include_str!("../../../firmware/board-qemu/budgets");
    let line = budgets.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
    line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name} in {budgets}"))
}

/// The most that the board has measured since it was switched on.
fn most(worker: &Handheld, what: &str) -> u64 {
    let measured = worker.program.told("measured");
    measured.iter().filter_map(|measured| measured[what].as_u64()).max().expect("it has measured scans")
}

fn link(worker: &mut Handheld, up: bool) {
    let mark = worker.program.mark();
    worker.program.tell(&json!({ "link": up }));
    worker.program.hear_after(mark, "link", |link| *link == up);
}

fn nothing_is_pending(worker: &Handheld) {
    until("the handheld's store to be empty", || {
        (worker.program.told("pending").last() == Some(&json!(0))).then_some(())
    });
}

/// Waits until the handheld knows the site's goods and locations, as far as they are scanned here.
fn learn(worker: &mut Handheld) {
    for code in ["9521321001022", "9521321001053", "9521321001077"] {
        worker.learn(code);
    }
    for location in ["RECV-1", "A-01-1", "A-02-1"] {
        worker.at(location);
        worker.key("cancel");
    }
}

/// Receives, puts away, moves, counts and finds; for a stretch without a link; two workers, two languages. Returns what
/// the worker was told once the handheld knew the site.
fn shift(worker: &mut Handheld) -> Vec<Value> {
    let [headphones, first, second] = [sgtin96(HEADPHONES, 5), sgtin96(LAMP, 1), sgtin96(LAMP, 2)];
    let quantity = |worker: &mut Handheld, quantity: u32| worker.program.tell(&json!({ "quantity": quantity }));
    let shown = |worker: &mut Handheld, scan: &str, key: &str| {
        let mark = worker.program.mark();
        worker.program.tell(&json!({ "scan": scan }));
        worker.program.hear_after(mark, "show", |show| show["key"] == key);
    };
    learn(worker);
    worker.key("receive");
    worker.at("RECV-1");
    let begun = worker.program.mark();
    [&headphones, &first, &second].into_iter().for_each(|tag| assert_eq!(worker.tag(tag), "ok"));
    quantity(worker, 40);
    assert_eq!(worker.scan("9521321001077"), "ok");
    // What the edge says comes before the next thing that is asked of the handheld.
    worker.verdicts();
    nothing_is_pending(worker);
    worker.key("put_away");
    worker.at("A-01-1");
    worker.tag(&headphones);
    // Nobody hears of this but the worker.
    shown(worker, "9521321001078", "check_digit");
    worker.verdicts();
    nothing_is_pending(worker);
    link(worker, false);
    let mark = worker.program.mark();
    worker.program.tell(&json!({ "badge": "worker-8" }));
    worker.program.hear_after(mark, "show", |_| true);
    worker.key("move");
    worker.at("RECV-1");
    quantity(worker, 30);
    shown(worker, "9521321001077", "scan_location");
    assert_eq!(worker.scan("A-02-1"), "ok");
    worker.key("language");
    worker.at("RECV-1");
    shown(worker, "(01)09521321001053(21)1", "scan_location");
    assert_eq!(worker.scan("A-02-1"), "ok");
    worker.key("count");
    worker.at("A-02-1");
    quantity(worker, 28);
    shown(worker, "9521321001077", "counting");
    worker.key("enter");
    worker.sent += 1;
    worker.key("find");
    worker.at("RECV-1");
    assert_eq!(worker.tag(&second), "ok");
    link(worker, true);
    worker.verdicts();
    nothing_is_pending(worker);
    let events = worker.program.events();
    let beeps = events[begun..].iter().filter_map(|event| event.get("beep")).cloned();
    let verdicts = worker.verdicts().into_iter().map(|verdict| verdict["text"].clone());
    verdicts.chain(beeps).collect()
}

/// A fact without what depends on when it came to be.
fn timeless(mut fact: Value) -> Value {
    if let Value::Object(fact) = &mut fact {
        fact.retain(|key, _| !["seq", "at", "when", "hash", "prev", "epoch"].contains(&key.as_str()));
        let intent = fact.get_mut("data").and_then(|data| data.get_mut("intent")?.as_object_mut());
        intent.and_then(|intent| intent.remove("at"));
    }
    fact
}

#[test]
fn the_same_shift_natively_and_in_the_image_gives_the_same_facts() {
    let worked = |in_image: bool| {
        let plant = Plant::new();
        let edge = plant.edge();
        let mut worker =
            if in_image { Handheld { program: plant.board(1, &[])?, sent: 0 } } else { Handheld::start(&plant, 1) };
        let told = shift(&mut worker);
        drop(worker);
        edge.wait_device("scan-1", false);
        edge.stop();
        plant.verify();
        // In order for whoever did it: the device's own link, and each worker.
        let mut facts = BTreeMap::<_, Vec<_>>::new();
        for fact in plant.facts().into_iter().map(timeless) {
            if let Some(who) = fact["who"].as_str() {
                facts.entry(who.to_owned()).or_default().push(fact);
            }
        }
        Some((told, facts))
    };
    let Some((told, facts)) = worked(true) else { return };
    let (native_told, native_facts) = worked(false).expect("it needs no QEMU");
    assert_eq!(told, native_told);
    let counts = native_facts.iter().map(|(who, facts)| (who.as_str(), facts.len()));
    assert!(counts.eq([("device:scan-1", 4), ("worker:worker-7", 10), ("worker:worker-8", 9)]), "{native_facts:?}");
    assert_eq!(facts, native_facts);
}

/// Numbers from a seed (SplitMix64).
struct Draw(u64);

impl Draw {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }
}

/// How the power goes.
enum Cut {
    /// After so many events of the scan have been told.
    Told(usize),
    /// Before the word that is programmed after so many others; with this mask in the midst of it: of the bits that it
    /// clears, those of the mask are not.
    Word(u64, Option<u32>),
}

/// A board that is stopped, and what it was about to program: address and value.
type Stopped = std::io::Result<(Debugger, [u32; 2])>;

/// Stops the board after it has programmed so many words from now on, before the next.
fn stop_before_word(plant: &Plant, words: u64) -> JoinHandle<Stopped> {
    let memory = File::open(plant.path("scan-1.flash")).expect("the board's memory");
    let mut address = [0; 4];
    memory.read_exact_at(&mut address, map::PROGRAM.into()).expect("it is as long as the map says");
    let mut debugger = Debugger::attach(&plant.path("gdb"));
    debugger.break_at(u32::from_le_bytes(address)).expect("the board stands still");
    std::thread::spawn(move || {
        for _ in 0..words {
            debugger.run()?;
            debugger.step()?;
        }
        debugger.run()?;
        let word = debugger.arguments()?;
        Ok((debugger, word))
    })
}

/// Programs the word in the memory of a board that is off, but for the bits of `mask`.
fn tear(memory: &Path, [address, word]: [u32; 2], mask: u32) {
    let file = File::options().read(true).write(true).open(memory).expect("the board's memory");
    file.lock().expect("QEMU lets go of it as it ends");
    let (at, mut before) = (u64::from(address - map::MEMORY), [0; 4]);
    file.read_exact_at(&mut before, at).expect("it is in the memory");
    let torn = u32::from_le_bytes(before) & (word | mask);
    file.write_all_at(&torn.to_le_bytes(), at).expect("it is in the memory");
}

/// A worker whose handheld's power goes now and then, and what she was told.
struct Shift<'a> {
    plant: &'a Plant,
    worker: Handheld,
    /// Where each lamp is, by what she was told.
    place: BTreeMap<u64, &'static str>,
    mode: &'static str,
    location: &'static str,
    /// The deepest that the stack has been, in octets.
    stack: u64,
}

impl Shift<'_> {
    /// Chooses what to do from here on.
    fn stand(&mut self, mode: &'static str, location: &'static str) {
        (self.mode, self.location) = (mode, location);
        self.worker.key(mode);
        self.worker.at(location);
    }

    /// Begins a scan of a lamp; returns the mark before it.
    fn begin(&mut self, lamp: u64) -> usize {
        let mark = self.worker.program.mark();
        self.worker.program.tell(&json!({ "tag": sgtin96(LAMP, lamp) }));
        mark
    }

    /// Whether she was told since `mark` that the lamp is where she stands; then that is so.
    fn told(&mut self, mark: usize, lamp: u64) -> bool {
        let events = &self.worker.program.events()[mark..];
        // The edge's own word on a repeat is a warning, and may come at any time.
        let told = events.iter().any(|event| event["beep"] == "ok" || event.get("measured").is_some());
        assert!(!events.iter().any(|event| event["beep"] == "stop"), "{events:?}");
        if told {
            self.place.insert(lamp, self.location);
        }
        told
    }

    fn scan(&mut self, lamp: u64) {
        let mark = self.begin(lamp);
        self.worker.program.hear_after(mark, "measured", |_| true);
        assert!(self.told(mark, lamp));
    }

    /// The power goes as she scans one of `lamps`; returns how many she has scanned.
    fn cut(&mut self, cut: &Cut, lamps: &mut dyn FnMut() -> u64) -> u64 {
        let stopped = match cut {
            Cut::Told(_) => None,
            Cut::Word(words, _) => Some(stop_before_word(self.plant, *words)),
        };
        let (mut scans, mut lamp) = (1, lamps());
        let mut mark = self.begin(lamp);
        if let Cut::Told(events) = cut {
            until("the board to tell", || (self.worker.program.mark() >= mark + events).then_some(()));
        }
        while let Some(stopped) = &stopped
            && until("the scan, or the cut", || {
                let done = self.worker.program.events()[mark..].iter().any(|event| event.get("measured").is_some());
                (done || stopped.is_finished()).then_some(done)
            })
        {
            assert!(self.told(mark, lamp));
            (scans, lamp) = (scans + 1, lamps());
            mark = self.begin(lamp);
        }
        self.worker.program.kill();
        self.stack = self.stack.max(most(&self.worker, "stack"));
        let stopped = stopped.map(|stopped| stopped.join().expect("it ends").expect("the board stood still"));
        if let (Some((_, word)), Cut::Word(_, Some(mask))) = (stopped, cut) {
            tear(&self.plant.path("scan-1.flash"), word, *mask);
        }
        let told = self.told(mark, lamp);
        self.worker.program = board_with_debugger(self.plant).expect("it was there before");
        learn(&mut self.worker);
        let (mode, location) = (self.mode, self.location);
        self.stand(mode, location);
        if !told {
            self.scan(lamp); // she has heard nothing
        }
        scans
    }
}

fn board_with_debugger(plant: &Plant) -> Option<Program> {
    let socket = plant.path("gdb");
    let _ = fs::remove_file(&socket);
    plant.board(1, &["--debugger", &socket.display().to_string()])
}

#[test]
fn no_cut_of_power_or_link_loses_or_doubles_what_the_worker_was_told() {
    let (scans, cuts, seed) = if long() { (300, 20, 1) } else { (90, 6, 1) };
    let begun = std::time::Instant::now();
    let plant = Plant::new();
    let edge = plant.edge();
    let Some(program) = board_with_debugger(&plant) else { return };
    let worker = Handheld { program, sent: 0 };
    let (mode, location) = ("receive", "RECV-1");
    let mut shift = Shift { plant: &plant, worker, place: BTreeMap::new(), mode, location, stack: 0 };
    let mut draw = Draw(seed);
    learn(&mut shift.worker);
    shift.stand(mode, location);
    let (mut done, mut fresh, mut cut, mut torn, mut linked, mut breaks) = (0, 0, 0, 0, true, 0);
    while done < scans || cut < cuts {
        if done * cuts >= (cut + 1) * scans - scans / 2 && cut < cuts {
            let how = match cut % 4 {
                0 => Cut::Told(draw.below(5) as usize),
                1 => Cut::Word(draw.below(24), None),
                _ => Cut::Word(draw.below(24), Some(draw.bits() as u32)),
            };
            torn += u32::from(matches!(how, Cut::Word(_, Some(_))));
            if shift.mode != "receive" {
                shift.stand("receive", "RECV-1");
            }
            done += shift.cut(&how, &mut || {
                fresh += 1;
                fresh
            });
            // A board that is switched on looks for its edge.
            (cut, linked) = (cut + 1, true);
            continue;
        }
        match draw.below(12) {
            0 => shift.stand("receive", "RECV-1"),
            1 => shift.stand("put_away", "A-01-1"),
            2 => shift.stand("put_away", "A-02-1"),
            3 => {
                linked = !linked;
                breaks += u32::from(!linked);
                link(&mut shift.worker, linked);
            }
            _ if shift.mode == "receive" => {
                fresh += 1;
                shift.scan(fresh);
                done += 1;
            }
            _ => {
                let known = shift.place.len() as u64;
                let lamp = shift.place.keys().nth(draw.below(known.max(1)) as usize).copied();
                if let Some(lamp) = lamp {
                    shift.scan(lamp);
                    done += 1;
                }
            }
        }
    }
    if !linked {
        link(&mut shift.worker, true);
    }
    nothing_is_pending(&shift.worker);
    let boots = shift.worker.program.hear("on", |_| true)["boot"].clone();
    assert_eq!(boots, json!(cuts + 1));
    edge.stop();
    plant.verify();
    let mut booked = BTreeMap::new();
    let mut received = BTreeSet::new();
    for fact in plant.facts() {
        if fact["kind"] == "stock.received" {
            assert!(received.insert(fact["what"].to_string()), "received twice: {fact}");
        }
        if fact["kind"].as_str().is_some_and(|kind| kind.starts_with("stock.")) {
            booked.insert(fact["what"].clone().as_str().unwrap_or_default().to_owned(), fact["where"].clone());
        }
    }
    let told = shift.place.iter().map(|(lamp, place)| (sgtin_uri(LAMP, *lamp), json!(place)));
    assert_eq!(booked, told.collect(), "the book, and what the worker was told");
    assert!(shift.stack <= budget("stack"), "{}", shift.stack);
    println!(
        "{done} scans, {cuts} cuts of power ({torn} within a word), {breaks} breaks of the link, {} lamps, {} octets of stack: {:?}",
        received.len(),
        shift.stack,
        begun.elapsed()
    );
}

#[test]
fn a_scan_takes_few_instructions_and_the_stack_is_bounded() {
    let plant = Plant::new();
    let edge = plant.edge();
    let Some(program) = plant.board(1, &["--count-instructions"]) else { return };
    let mut worker = Handheld { program, sent: 0 };
    shift(&mut worker);
    // More than a sector of the journal has room for.
    link(&mut worker, false);
    worker.key("receive");
    worker.at("RECV-1");
    (100..180).for_each(|lamp| assert_eq!(worker.tag(&sgtin96(LAMP, lamp)), "ok"));
    link(&mut worker, true);
    nothing_is_pending(&worker);
    let (instructions, stack) = (most(&worker, "ticks") * INSTRUCTIONS_PER_TICK, most(&worker, "stack"));
    println!("at most {instructions} instructions from a scan to its beep, {stack} octets of stack");
    assert!(instructions <= INSTRUCTIONS_MAX, "{instructions}");
    assert!(stack <= budget("stack"), "{stack}");
    edge.stop();
}

/// Whether a QEMU runs on this memory.
fn qemu_runs(memory: &Path) -> bool {
    let memory = memory.display().to_string();
    let processes = fs::read_dir("/proc").expect("a list of processes").flatten();
    let mut lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.any(|line| text(&line).contains(&format!("mem-path={memory},")))
}

#[test]
fn qemu_ends_with_whatever_has_started_it() {
    let plant = Plant::new();
    let memory = plant.path("scan-1.flash");
    let gone = || until("QEMU to be gone", || (!qemu_runs(&memory)).then_some(()));
    let Some(mut board) = plant.board(1, &[]) else { return };
    assert!(qemu_runs(&memory));
    board.signal(rustix::process::Signal::TERM);
    assert!(board.ended().success());
    gone();
    plant.board(1, &[]).expect("it was there before").kill();
    gone();
    // Its parent stands for a test that is killed.
    let args = plant.board_args(1, &[]).expect("it was there before");
    let script = r#"setpriv --pdeathsig KILL -- "$@" & wait"#;
    let args: Vec<_> = ["-c", script, "sh"].into_iter().chain(args.iter().map(String::as_str)).collect();
    let mut parent = Program::start("a parent", "sh", &args);
    parent.hear("on", |_| true);
    assert!(qemu_runs(&memory));
    parent.kill();
    gone();
}

#[test]
fn what_a_board_lacks_is_named_with_its_mend() {
    let plant = Plant::new();
    let memory = plant.path("memory").display().to_string();
    let without = |args: &[&str]| {
        let scanner = ["device", "scanner", "--device", "scan-1", "--key", &"00".repeat(32), "--store", &memory];
        let output = run(binary("stowage-sim"), &[&scanner[..], args].concat(), b"");
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr)
    };
    let said = without(&["--image", "/nowhere/scanner.elf"]);
    assert!(said.contains("/nowhere/scanner.elf") && said.contains("firmware/board-qemu/build"), "{said}");
    let said = without(&["--image", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), "--qemu", "/nowhere/qemu"]);
    assert!(said.contains("/nowhere/qemu") && said.contains("apt-get install qemu-system-arm"), "{said}");
}
