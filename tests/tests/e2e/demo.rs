//! The demo, as a newcomer starts it: one command in an empty folder.

use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use stowage_sim::device::BoardSettings;
use stowage_tests::http::{request, timed};
use stowage_tests::plant::{free_port, postdate};
use stowage_tests::process::{Program, binary, json_lines, resident_kib, run, text};
use stowage_tests::within;
use tempfile::TempDir;

/// Starts the demo in the folder `$0` as this very process, with a flag if there is one, and deaf to no signal even if
/// the tests are.
const THERE: &str = "cd \"$0\" && exec env --default-signal=HUP \"$1\" --port-base \"$2\" $3";

struct Demo {
    folder: TempDir,
    base: u16,
}

impl Demo {
    fn new() -> Self {
        let base = within(Duration::from_secs(20), "free ports in a row", || {
            let base = free_port();
            (1..=4).all(|next| free_port() == base + next).then_some(base)
        });
        Self { folder: TempDir::new().expect("a folder"), base }
    }

    fn args(&self) -> [String; 5] {
        let sim = binary("stowage-sim").display().to_string();
        ["-c".into(), THERE.into(), self.folder.path().display().to_string(), sim, self.base.to_string()]
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join(".stowage")
    }

    fn view(&self) -> Option<Value> {
        let page = SocketAddr::from((Ipv4Addr::LOCALHOST, self.base));
        let (status, body) = request(page, "GET", "/api/view", "").ok()?;
        (status == 200).then(|| serde_json::from_str(&body).expect("JSON"))
    }

    fn start(&self) -> Program {
        self.start_with(&[])
    }

    fn start_with(&self, flag: &[&str]) -> Program {
        let args = self.args();
        let args = [&args.each_ref().map(String::as_str)[..], flag].concat();
        let program = Program::start("the demo", "/bin/sh", &args);
        let wait = || within(Duration::from_secs(20), "the demo's page", || self.view());
        let (_, took) = timed(wait);
        // 2 s is what a newcomer may wait; a debug build on a busy machine gets more.
        println!("the page answers after {} ms", took.as_millis());
        assert!(took < Duration::from_secs(10), "{took:?}");
        program
    }

    fn stowage(&self, args: &[&str]) -> Vec<Value> {
        let data = self.data().display().to_string();
        let output = run(binary("stowage"), &[args, &["--data", &data]].concat(), b"");
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        json_lines(&output.stdout)
    }

    fn stop(&self, mut program: Program, signal: Signal) -> u64 {
        program.signal(signal);
        let (status, took) = timed(|| program.ended());
        assert!(status.success() && took < Duration::from_secs(5), "{status} after {took:?}");
        let verified = self.stowage(&["verify"]).swap_remove(0);
        assert_eq!(verified["faults"], serde_json::json!([]));
        verified["facts"].as_u64().expect("a count")
    }

    /// The demo doesn't start: it exits with 1, and standard error says each of `words`.
    fn refuses(&self, words: &[&str]) {
        self.refuses_by(&["/bin/sh"], words);
    }

    /// [`refuses`](Self::refuses), started by the command `by`.
    fn refuses_by(&self, by: &[&str], words: &[&str]) {
        let (own, args) = (self.args(), &by[1..]);
        let output = run(by[0], &[args, &own.each_ref().map(String::as_str)].concat(), b"");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is missing in: {said}");
        }
    }
}

#[test]
fn it_works_stops_and_goes_on() {
    let demo = Demo::new();
    let program = demo.start();
    within(Duration::from_secs(60), "every device, goods, a parcel and an intent", || {
        let view = demo.view()?;
        // The second handheld lies in its cradle.
        let up = view["devices"].as_array()?.iter().all(|device| device["up"] == true);
        let some = |total: &str| view["totals"][total].as_u64() > Some(0);
        (up && some("units") && some("sorted") && some("intents")).then_some(())
    });
    let facts = |kind: &str| demo.stowage(&["facts", "--kind", kind]);
    let at_chutes = || {
        let arrived = facts("command.confirmed");
        let chutes: BTreeSet<_> = arrived.iter().filter_map(|fact| fact["where"].as_str()?.chars().next()).collect();
        (chutes.contains(&'C') && chutes.contains(&'D')).then_some(())
    };
    within(Duration::from_secs(120), "a parcel in a chute of each sorter", at_chutes);
    let brought = || facts("transport.delivered").first().cloned();
    within(Duration::from_secs(180), "a load that a robot has brought", brought);
    for kind in ["stock.received", "parcel.moved"] {
        assert!(!demo.stowage(&["facts", "--kind", kind]).is_empty(), "{kind}");
    }
    let resident = resident_kib(program.id());
    println!("resident: {resident} KiB");
    assert!((1..150 * 1024).contains(&resident), "{resident} KiB");
    let before = demo.stop(program, Signal::INT);
    let program = demo.start();
    // The terminal is closed.
    assert!(demo.stop(program, Signal::HUP) > before);
    assert_eq!(demo.stowage(&["facts", "--kind", "edge.started"]).len(), 2);
}

#[test]
fn its_handhelds_run_as_the_image_where_that_is_built() {
    let demo = Demo::new();
    let board = BoardSettings::built(demo.data().join("scan-1.flash"));
    if let Err(error) = board.check() {
        eprintln!("SKIPPED: {error}");
        return;
    }
    let program = demo.start_with(&["--image"]);
    within(Duration::from_secs(60), "both handhelds at the edge", || {
        let devices = demo.view()?["devices"].as_array()?.clone();
        let mut handhelds =
            devices.iter().filter(|device| device["code"].as_str().is_some_and(|code| code.starts_with("scan-")));
        handhelds.all(|handheld| handheld["up"] == true).then_some(())
    });
    assert!(board.memory.is_file() && !demo.data().join("scan-1.store").exists(), "they run natively");
    demo.stop(program, Signal::INT);
    let memory = fs::File::open(&board.memory).expect("the board's memory");
    assert!(memory.try_lock().is_ok(), "QEMU still has it");
}

#[test]
fn what_is_in_the_way_is_named_with_the_mend() {
    let demo = Demo::new();
    for (offset, what) in [(0, "the page"), (2, "the reader"), (3, "broker"), (4, "the smart reader")] {
        let port = demo.base + offset;
        let _other = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("it is free");
        demo.refuses(&[what, &port.to_string(), "--port-base"]);
    }
    let demo = Demo::new();
    fs::write(demo.data(), "in the way").expect("the folder is ours");
    demo.refuses(&[".stowage", "start the demo in a folder that you can write to"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named_with_the_mend() {
    let demo = Demo::new();
    fs::set_permissions(demo.folder.path(), fs::Permissions::from_mode(0o555)).expect("it is ours");
    // Read-only folders don't stop the administrator.
    let administrator = fs::write(demo.folder.path().join("probe"), "").is_ok();
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/bin/sh"];
    let by = if administrator { &nobody[..] } else { &nobody[4..] };
    let help = format!("exec {} --help", binary("stowage-sim").display());
    if !Command::new(by[0]).args(&by[1..]).args(["-c", &help]).output().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: the administrator can't run the demo as nobody here");
        return;
    }
    demo.refuses_by(by, &[".stowage", "Permission denied", "start the demo in a folder that you can write to"]);
}

#[test]
fn a_machine_without_pseudo_terminals_is_told_the_mend() {
    let demo = Demo::new();
    // A view of the machine in which nothing can be opened there.
    let hide = "mount --bind /dev/null /dev/ptmx && exec \"$@\"";
    let by = ["unshare", "--map-root-user", "--mount", "/bin/sh", "-c", hide, "sh"];
    if !Command::new(by[0]).args(&by[1..]).arg("true").output().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: no mount namespaces here");
        return;
    }
    demo.refuses_by(&[&by[..], &["/bin/sh"]].concat(), &["no pseudo-terminal", "mount devpts on /dev/pts"]);
}

#[test]
fn a_clock_far_behind_its_journal_stops_the_demo() {
    let demo = Demo::new();
    let program = demo.start();
    demo.stop(program, Signal::TERM);
    postdate(&demo.data());
    demo.refuses(&["the clock says", "the journal's last fact is of 2100-01-01", "set this machine's clock"]);
}
