//! Starting, stopping, and what the edge says where it can't.

use rustix::process::Signal;
use serde_json::json;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use stowage_tests::http::timed;
use stowage_tests::plant::{Handheld, Plant, postdate};
use stowage_tests::process::text;

/// The edge doesn't start: it exits with 1, and standard error says each of `words`. Returns what it said.
fn refuses(plant: &Plant, words: &[&str]) -> String {
    let config = plant.path("edge.toml").display().to_string();
    let output = plant.stowage(&["run", "--config", &config]);
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""), "{said}");
    assert!(!said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in: {said}");
    }
    said
}

#[test]
fn a_taken_port_is_named_with_the_mend() {
    let plant = Plant::new();
    for (port, what, key) in
        [(plant.page, "the page", "`listen`"), (plant.scanners, "the scanners' port", "`scanners`")]
    {
        let _other = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("it is free");
        refuses(&plant, &[what, &port.to_string(), "another program uses it", key, "edge.toml"]);
    }
    plant.edge().stop();
}

#[test]
fn a_second_edge_on_the_same_data_is_refused_by_name() {
    let plant = Plant::new();
    let edge = plant.edge();
    let toml = plant.edge_toml();
    let other = toml.replace(&plant.page.to_string(), "0").replace(&plant.scanners.to_string(), "0");
    plant.write_edge(&other);
    refuses(&plant, &[&format!("in use by process {}", edge.program.id()), "stop that one first"]);
    edge.stop();
}

#[test]
fn a_data_folder_that_cannot_be_written_is_named_with_the_mend() {
    let plant = Plant::new();
    // A file where the folder should be: that stops the administrator as well.
    fs::write(plant.data(), "in the way").expect("the folder is ours");
    refuses(&plant, &["data", "give the folder write permission or set `data` in edge.toml"]);
    fs::remove_file(plant.data()).expect("it is ours");
    fs::create_dir(plant.data()).expect("the folder is ours");
    fs::set_permissions(plant.data(), fs::Permissions::from_mode(0o555)).expect("it is ours");
    let administrator = fs::write(plant.data().join("probe"), "").is_ok();
    if administrator {
        eprintln!("SKIPPED: read-only folders don't stop the administrator");
        return;
    }
    refuses(&plant, &["data", "give the folder write permission or set `data` in edge.toml"]);
}

#[test]
fn a_clock_far_behind_the_journal_stops_the_start() {
    let plant = Plant::new();
    plant.edge().stop();
    postdate(&plant.data());
    refuses(&plant, &["the clock says", "the journal's last fact is of 2100-01-01", "set this machine's clock"]);
}

#[test]
fn a_broken_configuration_is_told_whole_with_file_line_key_and_mend() {
    let plant = Plant::new();
    let toml =
        plant.edge_toml().replace("region = \"eu3\"", "region = \"eu9\"").replace("dwell_ms = 200", "dwell_ms = 5");
    plant.write_edge(&toml);
    let site = fs::read_to_string(plant.path("site.toml")).expect("it is ours");
    let site = site.replace("gtin = \"9521321001015\"", "gtin = \"9521321001016\"");
    let site = site.replace("between = [\"STORE\", \"PACK\"]", "between = [\"STORE\", \"PAKC\"]");
    fs::write(plant.path("site.toml"), &site).expect("the folder is ours");
    let line = |text: &str, of: &str| text.lines().position(|line| line.contains(of)).map_or(0, |at| at + 1);
    let at = |file: &str, text: &str, of: &str| format!("{}:{}", plant.path(file).display(), line(text, of));
    let expected = [
        (at("edge.toml", &toml, "\"eu9\""), "region", "did you mean \"eu\"?"),
        (at("edge.toml", &toml, "dwell_ms = 5"), "dwell_ms", "10"),
        (at("site.toml", &site, "9521321001016"), "gtin", "check digit is wrong: the other digits give 5"),
        (at("site.toml", &site, "PAKC"), "passage[0]", "did you mean \"PACK\"?"),
    ];
    let config = plant.path("edge.toml").display().to_string();
    let output = plant.stowage(&["check", "--json", &config]);
    assert_eq!(output.status.code(), Some(1));
    let faults = text(&output.stdout);
    let said = refuses(&plant, &["2 faults, nothing started"]);
    for (place, key, mend) in &expected {
        let (file, line) = place.rsplit_once(':').expect("file and line");
        let told = said.lines().find(|text| text.contains(&format!("line {line} ")) && text.contains(key));
        assert!(told.is_some_and(|told| told.contains(mend)), "{place} {key} {mend}: {said}");
        assert!(faults.contains(file), "{faults}");
    }
}

#[test]
fn it_goes_on_from_what_is_stored() {
    let plant = Plant::new();
    let edge = plant.edge();
    let mut worker = Handheld::start(&plant, 1);
    worker.key("receive");
    worker.at("RECV-1");
    worker.program.tell(&json!({"quantity": 12}));
    worker.scan("9521321001077");
    worker.verdicts();
    edge.announce("P-1", "DE");
    edge.stop();
    let before = plant.verify();
    let edge = plant.edge();
    edge.wait_units(12);
    assert_eq!(edge.post("/api/parcels", &json!({"code": "P-1", "route": "DE"})), 200, "it was announced before");
    assert_eq!(edge.post("/api/parcels", &json!({"code": "P-1", "route": "FR"})), 409);
    edge.stop();
    let after = plant.verify();
    assert!(after["seq"].as_u64() > before["seq"].as_u64(), "{before} {after}");
    assert_eq!((&after["epoch"], &after["faults"]), (&before["epoch"], &json!([])));
    assert_eq!(plant.facts_of("edge.started").len(), 2);
}

#[test]
fn it_stops_within_three_seconds_when_asked_to() {
    for signal in [Signal::TERM, Signal::INT] {
        let plant = Plant::new();
        let mut edge = plant.edge();
        // A page that listens, a request that is never finished, and a scanner that is connected don't hold it up.
        let _page = edge.stream();
        let mut unfinished = TcpStream::connect(edge.page).expect("the page listens");
        unfinished.write_all(b"GET / HTTP/1.1\r\nhost:").expect("it is connected");
        let mut worker = Handheld::start(&plant, 1);
        worker.key("receive");
        worker.at("RECV-1");
        edge.program.signal(signal);
        let (status, took) = timed(|| edge.program.ended());
        println!("{signal:?}: ended after {} ms", took.as_millis());
        assert!(status.success() && took < Duration::from_secs(3), "{signal:?}: {status} after {took:?}");
        plant.verify();
    }
}
