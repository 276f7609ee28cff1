//! Strangers' programs on our LLRP: a client that inventories our reader, a dissector that reads our sessions.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;
use stowage_tests::goods::{LAMP, MUG};
use stowage_tests::plant::{Plant, free_port};
use stowage_tests::process::{Program, run, text};
use stowage_tests::relay::{Borders, Relay, Side};
use stowage_tests::{sgtin96, until};

/// Inventories, a report each second, until it is told to end, and prints each tag as a JSON line.
const SLLURP: &str = r#"
import json, sys
from sllurp.llrp import LLRPReaderClient, LLRPReaderConfig
config = LLRPReaderConfig({
    "antennas": [1, 2], "session": 0, "tag_population": 8, "duration": 1.0,
    "tag_content_selector": {
        "EnableROSpecID": True, "EnableSpecIndex": False, "EnableInventoryParameterSpecID": False,
        "EnableAntennaID": True, "EnableChannelIndex": True, "EnablePeakRSSI": True,
        "EnableFirstSeenTimestamp": False, "EnableLastSeenTimestamp": True, "EnableTagSeenCount": True,
        "EnableAccessSpecID": False,
    },
})
def told(reader, tags):
    for tag in tags:
        epc = tag.get("EPC-96", tag.get("EPC"))
        epc = epc.decode() if isinstance(epc, bytes) else epc
        print(json.dumps({"tag": {"epc": epc.upper(), "antenna": tag.get("AntennaID"), "rssi": tag.get("PeakRSSI")}}),
              flush=True)
reader = LLRPReaderClient("127.0.0.1", int(sys.argv[1]), config)
reader.add_tag_report_callback(told)
reader.connect()
sys.stdin.readline()
reader.disconnect(5)
print(json.dumps({"done": True}), flush=True)
"#;

#[test]
fn sllurp_inventories_the_simulated_reader() {
    let Some(python) = std::env::var_os("STOWAGE_TEST_PYTHON") else {
        eprintln!("SKIPPED: STOWAGE_TEST_PYTHON names no Python with sllurp; tests/run makes one");
        return;
    };
    let plant = Plant::new();
    let mut reader = plant.reader(51);
    let near: Vec<String> = (1..=3).map(|serial| sgtin96(MUG, serial)).collect();
    for (at, epc) in near.iter().enumerate() {
        let antenna = 1 + at % 2;
        reader.tell(&json!({"place": {"epc": epc, "antenna": antenna, "distance_mm": 900 + 100 * at}}));
        reader.hear("placed", |placed| placed["epc"] == epc.as_str());
    }
    let mut sllurp = Program::start("sllurp", &python, &["-c", SLLURP, &plant.reader.to_string()]);
    for epc in &near {
        // Each more than once: the inventory goes on.
        until(&format!("two reports of {epc}"), || {
            (sllurp.told("tag").iter().filter(|tag| tag["epc"] == epc.as_str()).count() > 1).then_some(())
        });
    }
    sllurp.tell(&json!("end"));
    sllurp.hear("done", |_| true);
    let tags = sllurp.told("tag");
    let mut heard: Vec<_> = tags.iter().filter_map(|tag| tag["epc"].as_str()).collect();
    heard.sort_unstable();
    heard.dedup();
    assert_eq!(heard, near, "each tag, and no other; sllurp said: {}", sllurp.complaints());
    assert!(tags.iter().all(|tag| matches!(tag["antenna"].as_u64(), Some(1 | 2))), "{tags:?}");
    assert!(tags.iter().all(|tag| matches!(tag["rssi"].as_i64(), Some(-90..=-10))), "{tags:?}");
    println!("sllurp heard {} reports of {} tags", tags.len(), heard.len());
    assert_eq!(reader.told("violation"), [] as [Value; 0]);
}

/// Reads the TID of a tag, writes to its user memory, reads that, and locks it, all through sllurp's AccessSpecs, while
/// the inventory goes on; prints each result that a tag report holds.
const SLLURP_ACCESS: &str = r#"
import json, sys, time
from sllurp.llrp import (LLRPReaderClient, LLRPReaderConfig, C1G2Read, C1G2Write, C1G2Lock, C1G2LockPayload,
                         C1G2TargetTag)
port, epc = int(sys.argv[1]), sys.argv[2]
config = LLRPReaderConfig({"antennas": [1, 2], "session": 0, "tag_population": 8, "duration": 0.5,
    "tag_content_selector": {
        "EnableROSpecID": True, "EnableSpecIndex": False, "EnableInventoryParameterSpecID": False,
        "EnableAntennaID": True, "EnableChannelIndex": False, "EnablePeakRSSI": True,
        "EnableFirstSeenTimestamp": False, "EnableLastSeenTimestamp": True, "EnableTagSeenCount": True,
        "EnableAccessSpecID": True}})
target = C1G2TargetTag(MB=1, Pointer=0x20, TagMask="FF" * 12, TagData=epc)
steps = [
    C1G2Read(OpSpecID=11, MB=2, WordPtr=0, WordCount=6),
    C1G2Write(OpSpecID=12, MB=3, WordPtr=2, WriteDataWordCount=2, WriteData=bytes.fromhex("CAFE0102")),
    C1G2Read(OpSpecID=13, MB=3, WordPtr=2, WordCount=2),
    C1G2Lock(OpSpecID=14, LockPayload=C1G2LockPayload(Privilege=1, DataField=4)),
    C1G2Write(OpSpecID=15, MB=3, WordPtr=2, WriteDataWordCount=1, WriteData=bytes.fromhex("0000")),
]
done, reports = [], []
def told(reader, tags):
    reports.append(len(tags))
    for tag in tags:
        results = [value for name, value in tag.items() if name.endswith("OpSpecResult") and isinstance(value, dict)]
        for result in results:
            if result["OpSpecID"] in done:
                continue
            done.append(result["OpSpecID"])
            name = tag.get("EPC-96", tag.get("EPC"))
            name = name.decode() if isinstance(name, bytes) else name
            print(json.dumps({"result": {"epc": name.upper(), "op": result["OpSpecID"], "result": result["Result"],
                "data": result.get("ReadData", b"").hex().upper(), "written": result.get("NumWordsWritten")}}),
                flush=True)
reader = LLRPReaderClient("127.0.0.1", port, config)
reader.add_tag_report_callback(told)
reader.connect()
def wait(happened, seconds):
    until = time.monotonic() + seconds
    while not happened() and time.monotonic() < until:
        time.sleep(0.02)
wait(lambda: reports, 20)
count = 0
for step in steps:
    # sllurp loses a request now and then that is made while its other thread takes an answer: asked again, it goes.
    while step.OpSpecID not in done and count < 20:
        count += 1
        reader.llrp.startAccess(opSpec=step, targetSpec=target, stopAfterCount=1, accessSpecID=count)
        wait(lambda: step.OpSpecID in done, 3)
reader.disconnect(5)
print(json.dumps({"done": True}), flush=True)
"#;

#[test]
fn sllurp_reads_writes_and_locks_a_tag_at_the_simulated_reader() {
    let Some(python) = std::env::var_os("STOWAGE_TEST_PYTHON") else {
        eprintln!("SKIPPED: STOWAGE_TEST_PYTHON names no Python with sllurp; tests/run makes one");
        return;
    };
    let plant = Plant::new();
    let mut reader = plant.reader(53);
    let (worked, other) = (sgtin96(MUG, 1), sgtin96(MUG, 2));
    for (antenna, epc) in [(1, &worked), (2, &other)] {
        reader.tell(&json!({"place": {"epc": epc, "antenna": antenna, "distance_mm": 900}}));
        reader.hear("placed", |placed| placed["epc"] == epc.as_str());
    }
    let sllurp = Program::start("sllurp", &python, &["-c", SLLURP_ACCESS, &plant.reader.to_string(), &worked]);
    sllurp.hear("done", |_| true);
    let results = sllurp.told("result");
    let told = |at: usize| (results[at]["op"].as_u64(), results[at]["result"].as_u64());
    assert_eq!(results.len(), 5, "{results:?}; sllurp said: {}", sllurp.complaints());
    assert!(results.iter().all(|result| result["epc"] == worked.as_str()), "{results:?}");
    assert_eq!(told(0), (Some(11), Some(0)));
    assert!(results[0]["data"].as_str().is_some_and(|tid| tid.len() == 24 && tid.starts_with("E280")), "{results:?}");
    assert_eq!((told(1), &results[1]["written"]), ((Some(12), Some(0)), &json!(2)));
    assert_eq!((told(2), &results[2]["data"]), ((Some(13), Some(0)), &json!("CAFE0102")));
    assert_eq!(told(3), (Some(14), Some(0)));
    assert_eq!(told(4), (Some(15), Some(2)), "locked for ever");
    assert_eq!(reader.told("violation"), [] as [Value; 0]);
}

/// The octets as `text2pcap` reads them: a packet for each message.
fn packets(stream: &[u8], direction: char) -> String {
    let (mut out, mut rest) = (String::new(), stream);
    while let Some(head) = rest.get(..10) {
        let len = u32::from_be_bytes([head[2], head[3], head[4], head[5]]) as usize;
        let message = &rest[..len];
        rest = &rest[len..];
        let _ = writeln!(out, "{direction}");
        for (index, row) in message.chunks(16).enumerate() {
            let octets: String = row.iter().map(|octet| format!(" {octet:02x}")).collect();
            let _ = writeln!(out, "{:06x}{octets}", index * 16);
        }
    }
    assert_eq!(rest, [] as [u8; 0], "whole messages only");
    out
}

/// What tshark says of each message: its type, and its complaints.
///
/// tshark 4.0 falsely complains of custom parameters that it doesn't know ("Incorrect length of parameter") and of
/// custom messages other than Impinj's ("Incorrect length of message"). None of them is in our sessions: whatever it
/// complains of is our fault, save for SET_PROTOCOL_VERSION, whose one octet it doesn't know.
fn dissected(plant: &Plant, to_reader: &[u8], from_reader: &[u8]) -> Vec<(String, String)> {
    let (dump, capture) = (plant.path("session.txt"), plant.path("session.pcap"));
    std::fs::write(&dump, packets(to_reader, 'O') + &packets(from_reader, 'I')).expect("the folder is ours");
    let (dump, capture) = (dump.display().to_string(), capture.display().to_string());
    let made = run("text2pcap", &["-q", "-D", "-T", "50000,5084", &dump, &capture], b"");
    assert!(made.status.success(), "{}", text(&made.stderr));
    let fields = ["-T", "fields", "-e", "llrp.type", "-e", "_ws.malformed", "-e", "_ws.expert.message"];
    let tshark = run("tshark", &[&["-r", &capture, "-d", "tcp.port==5084,llrp"], &fields[..]].concat(), b"");
    assert!(tshark.status.success(), "{}", text(&tshark.stderr));
    let line = |line: &str| {
        let (kind, complaints) = line.split_once('\t').unwrap_or((line, ""));
        (kind.to_owned(), complaints.trim().to_owned())
    };
    text(&tshark.stdout).lines().map(line).collect()
}

/// Records a session of the edge with a reader, and lets tshark dissect it.
fn tshark_finds_no_fault(reader_arguments: &[&str]) {
    if ["tshark", "text2pcap"].iter().any(|tool| Command::new(tool).arg("-v").output().is_err()) {
        eprintln!("SKIPPED: tshark is missing; tests/run installs it");
        return;
    }
    let mut plant = Plant::new();
    let edge_dials = plant.reader;
    plant.reader = free_port();
    let mut reader = plant.reader_with(52, reader_arguments);
    let relay = Relay::tcp(edge_dials, plant.reader, Borders::Llrp);
    let edge = plant.edge();
    edge.wait_device("gate-1", true);
    reader.tell(&json!({"place": {"epc": sgtin96(LAMP, 9), "antenna": 2, "distance_mm": 900}}));
    let walk = [sgtin96(LAMP, 1), sgtin96(LAMP, 2)];
    reader.tell(&json!({"pass": {"epcs": walk, "direction": "in", "speed_mm_s": 2000}}));
    reader.hear("passed", |_| true);
    // A tag's memory is worked on through the edge's interface.
    let command = |content: Value| edge.ask("/api/readers/gate-1/commands", &content);
    let tag = sgtin96(LAMP, 9);
    let (status, tid) = command(json!({"command": "read", "tag": tag, "bank": "tid", "word": 0, "words": 6}));
    assert_eq!(status, 200, "{tid}");
    assert!(tid["data"].as_str().is_some_and(|tid| tid.starts_with("E280")), "{tid}");
    let new = sgtin96(LAMP, 10);
    let (status, told) = command(json!({"command": "write_epc", "tag": tag, "epc": new}));
    assert_eq!((status, told["data"].as_str()), (200, Some(new.as_str())), "{told}");
    let (status, told) = command(json!({"command": "lock", "tag": new, "field": "user", "lock": "permanent"}));
    assert_eq!(status, 200, "{told}");
    let write = json!({"command": "write", "tag": new, "bank": "user", "word": 0, "data": "CAFE"});
    let (status, told) = command(write);
    assert_eq!((status, &told["title"]), (422, &json!("Locked")), "{told}");
    assert_eq!(command(json!({"command": "output", "port": 1, "on": true})).0, 200);
    edge.stop();
    let (to_reader, from_reader) = (relay.heard(Side::Server), relay.heard(Side::Client));
    let messages = dissected(&plant, &to_reader, &from_reader);
    let kinds: BTreeSet<&str> = messages.iter().map(|(kind, _)| kind.as_str()).collect();
    println!("tshark dissected {} messages of types {kinds:?}", messages.len());
    let complaints = |(kind, complaints): &&(String, String)| !complaints.is_empty() && kind != "47";
    let found: Vec<_> = messages.iter().filter(complaints).collect();
    assert!(found.is_empty(), "{found:?}");
    // Configuration, ROSpecs, reports, events, keepalives and their answers.
    for kind in ["3", "20", "24", "30", "34", "40", "42", "50", "52", "61", "62", "63", "72"] {
        assert!(kinds.contains(kind), "no message of type {kind}: {kinds:?}");
    }
    // It would say so: a tag report that claims more octets than there are.
    let wrong = [0x04, 61, 0, 0, 0, 14, 0, 0, 0, 1, 0, 240, 0, 99];
    let messages = dissected(&plant, &to_reader, &[&from_reader[..], &wrong].concat());
    assert_eq!(messages.iter().filter(complaints).count(), 1);
}

#[test]
fn tshark_finds_no_fault_in_a_session_either_way() {
    tshark_finds_no_fault(&[]);
}

#[test]
fn tshark_finds_no_fault_in_a_session_with_extensions_either_way() {
    tshark_finds_no_fault(&["--impinj"]);
}

#[test]
fn tshark_finds_no_fault_in_a_session_of_llrp_1_1_with_a_reader_of_2_0() {
    tshark_finds_no_fault(&["--zebra", "--llrp-version", "3"]);
}
