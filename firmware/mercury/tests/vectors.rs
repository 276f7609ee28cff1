//! Frames that foreign implementations really emit or read, and checksums that they computed.

use serde_json::Value;
use std::path::PathBuf;
use stowage_mercury::{Describe, Embedded, EpcLength, Records, Splitter, TagRecord, Version, frame};

/// The lines of a vector file, or nothing (and a word about it) where the vectors aren't.
fn lines(name: &str) -> Vec<Value> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("STOWAGE_VECTORS").map_or_else(beside, PathBuf::from);
    let Ok(text) = std::fs::read_to_string(folder.join("thingmagic").join(name)) else {
        eprintln!("SKIPPED: {name} is not in {}", folder.display());
        return Vec::new();
    };
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

fn octets(value: &Value) -> Vec<u8> {
    let digits = value.as_str().expect("hex digits");
    (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("hex")).collect()
}

#[test]
fn checksums_agree() {
    for line in lines("crc.jsonl") {
        let crc = octets(&line["crc"]);
        assert_eq!(frame::crc(&octets(&line["over"])).to_be_bytes(), crc[..], "{line}");
    }
    assert_eq!(frame::crc(&[0x00, 0x03]), 0x1D0C);
    assert_eq!(frame::crc(&[0x01, 0x97, 0x01]), 0x4BBC);
}

#[test]
fn commands_decode_and_encode_to_the_same_octets() {
    for line in lines("frames.jsonl").iter().filter(|line| line["dir"] == "to module") {
        let hex = octets(&line["hex"]);
        let told = Describe::ToModule.frame(&hex).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!((u64::from(told.opcode.0), told.status), (line["opcode"].as_u64().expect("number"), None));
        assert_eq!(told.data, octets(&line["data"]));
        let command = stowage_mercury::Command { opcode: told.opcode, data: told.data };
        assert_eq!(command.encode(&mut [0; frame::FRAME_MAX]), Some(&hex[..]));
    }
}

fn agrees(tag: &TagRecord<'_>, line: &Value) {
    let number = |name: &str| line[name].as_i64();
    assert_eq!(tag.read_count.map(i64::from), number("read_count"));
    assert_eq!(tag.rssi_dbm.map(i64::from), number("rssi"));
    assert_eq!(tag.antenna.map(i64::from), number("antenna"));
    assert_eq!(tag.frequency_khz.map(i64::from), number("frequency_khz"));
    assert_eq!(tag.timestamp_ms.map(i64::from), number("timestamp_ms"));
    assert_eq!(tag.phase_deg.map(i64::from), number("phase"));
    assert_eq!(tag.protocol.map(i64::from), number("protocol"));
    assert_eq!(tag.gpio.map(i64::from), number("gpio"));
    let data = line.get("data").map(octets);
    assert_eq!(tag.embedded, data.as_deref().map(Embedded::Data));
    assert_eq!(tag.epc, octets(&line["epc"]));
    assert_eq!(tag.pc.to_be_bytes(), octets(&line["pc"])[..]);
    assert_eq!(tag.tag_crc.to_be_bytes(), octets(&line["tag_crc"])[..]);
}

#[test]
fn responses_decode_to_the_published_values() {
    for line in lines("frames.jsonl").iter().filter(|line| line["dir"] == "from module") {
        let hex = octets(&line["hex"]);
        let told = Describe::FromModule(EpcLength::Bits).frame(&hex).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(Some(u64::from(told.opcode.0)), line["opcode"].as_u64());
        assert_eq!(told.status.map(|status| u64::from(status.0)), line["status"].as_u64());
        if let Some(data) = line.get("data") {
            assert_eq!(told.data, octets(data));
        }
        if let Some(version) = line.get("version") {
            let parsed = Version::parse(told.data).expect("20 octets");
            assert_eq!(parsed.firmware_date, octets(&version["firmware_date"])[..]);
            assert_eq!(parsed.protocols, 0x10);
        }
        let tags: Vec<_> = told.tags.map(|tag| tag.expect("checked")).collect();
        let published = line["tags"].as_array().map_or(&[][..], |tags| tags);
        assert_eq!(tags.len(), published.len(), "{line}");
        for (tag, published) in tags.iter().zip(published) {
            agrees(tag, published);
            let mut out = [0; 255];
            let len = tag.encode(told.tags.metadata(), &mut out).expect("fits");
            assert_eq!(out[..len], told.data[6..], "{line}");
        }
    }
}

#[test]
fn what_a_receiver_must_survive() {
    for line in lines("frames.jsonl").iter().filter(|line| line["dir"] == "invalid") {
        let (hex, expect) = (octets(&line["hex"]), line["expect"].as_str().expect("text"));
        assert!(Describe::FromModule(EpcLength::Bits).frame(&hex).is_err(), "{line}");
        let (mut splitter, mut rest) = (Splitter::new(), &hex[..]);
        splitter.fill(&mut rest);
        match expect {
            "wait, then time out" | "time out" => {
                assert!(splitter.next_response().is_none() && splitter.is_waiting(), "{line}");
            }
            "the good one must be found" => {
                let mut found = splitter.next_response().is_some();
                while !found && splitter.is_waiting() {
                    splitter.give_up();
                    found = splitter.next_response().is_some();
                }
                assert!(found, "{line}");
            }
            "payload error" => {
                let response = splitter.next_response().expect("the frame itself is good");
                let records = Records::streamed(response.data).expect("the head is good");
                assert!(records.into_iter().any(|record| record.is_err()), "{line}");
            }
            _ => assert!(splitter.next_response().is_none(), "{line}"),
        }
    }
}
