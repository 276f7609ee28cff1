//! `stowage decode`: its answers to the independent vectors, and their form, which people script against.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use stowage_tests::process::{binary, json_lines, run, text};
use stowage_tests::vectors;

fn lines(folder: &Path, file: &str) -> Vec<Value> {
    let path = folder.join(file);
    let content = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    json_lines(&content)
}

/// EdgeX's ADD_ACCESSSPEC has no operation in its AccessCommand, where LLRP 1.0.1 §16.2.4.1.2 asks for one or more.
const WITHOUT_OPERATION: &str = "04280000003C22CEDAFB00CF003280000000800001808000000000D0000701800000D1001B01520017015300136080000020\
                                 00010203002000010203";

/// The answers to lines of input, one for each.
fn decode(args: &[&str], inputs: &[&str]) -> Vec<Value> {
    let output = run(binary("stowage"), &[&["decode"], args].concat(), (inputs.join("\n") + "\n").as_bytes());
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    let answers = json_lines(&output.stdout);
    assert_eq!(answers.len(), inputs.len(), "{args:?}: an answer for each line");
    answers
}

fn texts<'a>(vectors: &'a [Value], member: &str) -> Vec<&'a str> {
    vectors.iter().map(|vector| vector[member].as_str().unwrap_or_else(|| panic!("no {member} in {vector}"))).collect()
}

#[test]
fn sgtin_96_is_decoded_as_the_vectors_say() {
    let Some(folder) = vectors() else { return };
    let vectors: Vec<Value> = lines(&folder, "epc/epc_tds1.jsonl");
    let vectors: Vec<Value> = vectors.into_iter().filter(|vector| vector["scheme"] == "sgtin-96").collect();
    assert!(!vectors.is_empty());
    for (vector, answer) in vectors.iter().zip(decode(&["epc"], &texts(&vectors, "hex"))) {
        for member in ["scheme", "tag_uri", "pure_uri", "element_string"] {
            if let Some(right) = vector.get(member) {
                assert_eq!(&answer[member], right, "{member} of {vector}");
            }
        }
    }
    println!("{} SGTIN-96 agree", vectors.len());
}

#[test]
fn llrp_messages_are_decoded_and_encoded_back_to_the_same_octets() {
    let Some(folder) = vectors() else { return };
    for file in ["ltk_golden.jsonl", "edgex.jsonl", "generated.jsonl"] {
        let vectors = lines(&folder, &format!("llrp/{file}"));
        let answers = decode(&["llrp", "--hex"], &texts(&vectors, "hex"));
        for (vector, answer) in vectors.iter().zip(&answers) {
            if vector["hex"] == WITHOUT_OPERATION {
                assert_eq!(answer["error"]["layer"], "parameter", "{answer}");
                continue;
            }
            assert_eq!(answer["reencodes"], true, "{file}: {vector}: {answer}");
        }
        println!("{file}: {} messages agree", vectors.len());
    }
}

#[test]
fn mercury_frames_are_decoded_as_the_vectors_say() {
    let Some(folder) = vectors() else { return };
    let vectors = lines(&folder, "thingmagic/frames.jsonl");
    let mut agree = 0;
    for (flag, direction) in [("to", "to module"), ("from", "from module")] {
        let vectors: Vec<Value> = vectors.iter().filter(|vector| vector["dir"] == direction).cloned().collect();
        let answers = decode(&["mercury", "--dir", flag], &texts(&vectors, "hex"));
        for (vector, answer) in vectors.iter().zip(&answers) {
            assert_eq!(answer["opcode"], vector["opcode"], "{vector}: {answer}");
            assert_eq!(answer["status"], vector["status"], "{vector}: {answer}");
            let tags = |of: &Value, epc: &str| -> Vec<Value> {
                of["tags"].as_array().into_iter().flatten().map(|tag| tag[epc].clone()).collect()
            };
            assert_eq!(tags(answer, "epc_hex"), tags(vector, "epc"), "{vector}: {answer}");
            agree += 1;
        }
    }
    assert!(agree > 0);
    println!("{agree} frames agree");
}

#[test]
fn messages_of_smart_readers_are_decoded_as_the_vectors_say() {
    let Some(folder) = vectors() else { return };
    let vectors = lines(&folder, "reader-mqtt/messages.jsonl");
    for vendor in ["impinj", "zebra"] {
        let vectors: Vec<&Value> = vectors.iter().filter(|vector| vector["vendor"] == vendor).collect();
        let inputs: Vec<String> = vectors
            .iter()
            .map(|vector| vector["text"].as_str().map_or_else(|| vector["message"].to_string(), str::to_owned))
            .collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let answers = decode(&["reader-mqtt", "--vendor", vendor], &inputs);
        for (vector, answer) in vectors.iter().zip(&answers) {
            let expect = &vector["expect"];
            if expect["error_or_ignored"] == true {
                assert!(answer["error"]["reason"].is_string() && answer["error"]["position"].is_u64(), "{answer}");
                continue;
            }
            let (reads, events) = (&answer["reads"], &answer["events"]);
            let alone = [expect.clone()];
            let tags = expect["batch"].as_array().map_or(&alone[..], Vec::as_slice);
            for (at, tag) in tags.iter().enumerate().filter(|(_, tag)| tag["epc_hex"].is_string()) {
                for (member, right) in tag.as_object().expect("an object") {
                    let told = &reads[at][member];
                    let same = told == right || (right.is_f64() || told.is_f64()) && told.as_f64() == right.as_f64();
                    assert!(same, "{member} of {vector}: {answer}");
                }
            }
            for member in ["status", "connected", "antenna", "lost", "matches", "ok"] {
                if expect["epc_hex"].is_null() && !expect[member].is_null() {
                    assert_eq!(events[0][member], expect[member], "{vector}: {answer}");
                }
            }
            if vector["channel"] == "control command" {
                assert_eq!(events[0]["kind"], "command", "{answer}");
                assert_eq!(events[0]["command_id"], vector["message"]["command_id"]);
            }
        }
        println!("{} messages of {vendor} agree", vectors.len());
    }
}

#[test]
fn decode_prints_what_people_script_against() {
    assert_eq!(
        decode(&["epc"], &["3066C4409047E140075BCD15"]),
        [json!({
            "input": "3066C4409047E140075BCD15",
            "scheme": "sgtin-96",
            "tag_uri": "urn:epc:tag:sgtin-96:3.95060001343.05.123456789",
            "pure_uri": "urn:epc:id:sgtin:95060001343.05.123456789",
            "element_string": "(01)09506000134352(21)123456789",
            "digital_link": "https://id.gs1.org/01/09506000134352/21/123456789",
            "filter": 3,
            "ais": [["01", "09506000134352"], ["21", "123456789"]],
        }),]
    );
    assert!(decode(&["epc"], &["E2"])[0]["error"]["reason"].is_string());
    // KEEPALIVE of LLRP 1.0.1, and one whose length is cut short.
    let llrp = decode(&["llrp", "--hex"], &["043E0000000A00000007", "043E0000000900000007"]);
    assert_eq!(llrp[0], json!({"type": 62, "name": "KEEPALIVE", "id": 7, "version": 1, "body": {}, "reencodes": true}));
    assert!(llrp[1]["error"]["expectation"].is_string(), "{}", llrp[1]);
    let mercury = decode(&["mercury", "--dir", "to"], &["FF00031D0C", "FF00031D0D"]);
    assert_eq!(mercury[0], json!({"dir": "to", "opcode": 3, "status": null, "data": "", "tags": []}));
    assert!(mercury[1]["error"]["reason"].is_string(), "{}", mercury[1]);
}

#[test]
fn messages_of_robots_and_their_fleet_control_get_the_verdicts_of_the_official_schemas() {
    let Some(folder) = vectors() else { return };
    let vectors = lines(&folder, "vda5050/messages.jsonl");
    let mut groups = BTreeMap::<(&str, &str), Vec<&Value>>::new();
    for vector in &vectors {
        let [version, topic] = ["version", "topic"].map(|member| vector[member].as_str().expect("text"));
        groups.entry((version, topic)).or_default().push(vector);
    }
    for ((version, topic), vectors) in groups {
        let inputs: Vec<String> = vectors.iter().map(|vector| vector["message"].to_string()).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let answers = decode(&["vda5050", "--version", version, "--topic", topic], &inputs);
        for (vector, answer) in vectors.iter().zip(&answers) {
            assert_eq!(answer["valid"], vector["valid"], "{vector}: {answer}");
            let error = &answer["error"];
            let told = error["path"].is_string() && error["reason"].is_string();
            assert_ne!(vector["valid"] == true, told, "{answer}");
            assert_eq!(answer["message"].is_object(), vector["valid"] == true, "{answer}");
        }
        println!("{} verdicts on {topic} of {version} agree", vectors.len());
    }
}
