//! VDA 5050 against the official schemas, and messages that others judged by them.

use serde_json::Value;
use std::fmt::Write as _;
use std::path::PathBuf;
use stowage_protocol::vda5050::{Kind, Topic, Version, check, codec};

/// The folder of VDA 5050 vectors, or `None`, said on standard error, where there is none.
fn folder() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("STOWAGE_VECTORS").map_or_else(beside, PathBuf::from).join("vda5050");
    let there = folder.is_dir();
    if !there {
        eprintln!("SKIPPED: no {}", folder.display());
    }
    there.then_some(folder)
}

/// The official schema; that of 3.0 with the corrections made since its release.
fn schema(version: Version, topic: Topic) -> Option<Value> {
    let of_version = match version {
        Version::V3_0 => "main",
        older => older.name(),
    };
    let path = folder()?.join("schemas").join(of_version).join(topic.name());
    let text = ["schema", "json"].iter().find_map(|end| std::fs::read_to_string(path.with_extension(end)).ok())?;
    Some(serde_json::from_str(text.trim_start_matches('\u{FEFF}')).expect("a schema"))
}

fn named(vector: &Value) -> (Version, Topic) {
    let text = |member: &str| vector[member].as_str().expect("text");
    (Version::named(text("version")).expect("a version"), Topic::named(text("topic")).expect("a topic"))
}

fn messages() -> Vec<Value> {
    let text = folder().map(|folder| std::fs::read_to_string(folder.join("messages.jsonl")).expect("messages"));
    text.iter().flat_map(|text| text.lines()).map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

#[test]
fn every_message_gets_the_verdict_that_the_schemas_give() {
    for vector in messages() {
        let (version, topic) = named(&vector);
        let verdict = check(version, topic, vector["message"].to_string().as_bytes());
        assert_eq!(Value::Bool(verdict.valid), vector["valid"], "{vector}\n{:?}", verdict.faults);
        assert!(verdict.valid == verdict.normal.is_some() && (verdict.valid || !verdict.faults.is_empty()));
    }
}

#[test]
fn the_rules_have_nothing_against_what_was_made_from_the_documents() {
    for vector in messages().iter().filter(|vector| vector["from"] == "base") {
        let (version, topic) = named(vector);
        let verdict = check(version, topic, vector["message"].to_string().as_bytes());
        assert_eq!(verdict.faults, [], "{vector}");
    }
}

#[test]
fn valid_messages_are_said_again_in_any_version_and_are_valid_there() {
    for vector in messages().iter().filter(|vector| vector["valid"] == true) {
        let (version, topic) = named(vector);
        let judged = check(version, topic, vector["message"].to_string().as_bytes());
        let Some(message) = judged.message else { continue };
        for other in Version::ALL {
            let said = codec::encode(other, &message);
            let value: Value = serde_json::from_slice(&said).expect("JSON");
            let Some(schema) = schema(other, topic) else { continue };
            let validator = jsonschema::validator_for(&schema).expect("a schema");
            let errors: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{version} said in {other}: {errors:?}\n{value}");
            let verdict = check(other, topic, &said);
            assert!(verdict.faults.iter().all(|fault| fault.kind != Kind::Schema), "{:?}", verdict.faults);
            if other == version && judged.faults.is_empty() {
                assert_eq!(verdict.message, Some(message.clone()), "{vector}");
            }
        }
    }
}

/// Our one-line form of a schema: see `schema.rs`.
fn short(schema: &Value, root: &Value, indent: usize, name: &str, out: &mut String) {
    let schema = match schema["$ref"].as_str() {
        Some(target) => root.pointer(&target[1..]).expect("defined"),
        None => schema,
    };
    let texts = |list: &Value, by: &str| {
        let texts = list.as_array().expect("a list").iter().map(|text| text.as_str().expect("text"));
        texts.collect::<Vec<_>>().join(by)
    };
    let _ = write!(out, "{:indent$}{name} ", "");
    out.push_str(&match &schema["type"] {
        Value::Null => "any".into(),
        Value::String(one) => one.clone(),
        several => texts(several, ","),
    });
    let limit = |member: &str| schema[member].as_f64().map_or_else(String::new, |limit| limit.to_string());
    if schema.get("minimum").or(schema.get("maximum")).is_some() {
        let _ = write!(out, " {}..{}", limit("minimum"), limit("maximum"));
    }
    if let Some(values) = schema.get("enum") {
        let _ = write!(out, " {}", texts(values, "|"));
    }
    if let Some(least) = schema.get("minItems") {
        let _ = write!(out, " {least}+");
    }
    out.push('\n');
    below(schema, root, indent + 2, out);
}

fn below(schema: &Value, root: &Value, indent: usize, out: &mut String) {
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for name in required.iter().filter(|name| schema["properties"].get(**name).is_none()) {
        let _ = writeln!(out, "{:indent$}{name}! any", "");
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let mark = if required.contains(&name.as_str()) { "!" } else { "" };
        short(member, root, indent, &format!("{name}{mark}"), out);
    }
    if let Some(item) = schema.get("items") {
        short(item, root, indent, "[]", out);
    }
    for case in schema["allOf"].as_array().into_iter().flatten() {
        let (member, value) = case["if"]["properties"].as_object().expect("members").iter().next().expect("one");
        let _ = writeln!(out, "{:indent$}?{member}={}", "", value["const"].as_str().expect("text"));
        below(&case["then"], root, indent + 2, out);
    }
}

#[test]
fn our_short_form_says_what_the_official_schemas_say() {
    /// A topic's lines, sorted: JSON objects have no order.
    fn sorted(text: &str) -> Vec<String> {
        let mut stack: Vec<(usize, String)> = Vec::new();
        let mut full = Vec::new();
        for line in text.lines() {
            let indent = line.len() - line.trim_start().len();
            stack.retain(|(outer, _)| *outer < indent);
            stack.push((indent, line.trim_start().to_owned()));
            let path: Vec<_> = stack.iter().map(|(_, line)| line.split(' ').next().unwrap_or_default()).collect();
            full.push(format!("{} {}", path.join("/"), line.trim_start()));
        }
        full.sort();
        full
    }
    let ours = [
        include_str!("../src/vda5050/schema/v2_0.txt"),
        include_str!("../src/vda5050/schema/v2_1.txt"),
        include_str!("../src/vda5050/schema/v3_0.txt"),
    ];
    for (version, ours) in Version::ALL.into_iter().zip(ours) {
        let mut official = String::new();
        for topic in Topic::ALL {
            if let Some(schema) = schema(version, topic) {
                short(&schema, &schema, 0, topic.name(), &mut official);
            }
        }
        if !official.is_empty() {
            assert_eq!(sorted(ours), sorted(&official), "{version}");
        }
    }
}
