//! LLRP against messages that others made: decoded and encoded back, refused where they must be.

use serde_json::Value;
use std::path::PathBuf;
use stowage_protocol::llrp::definition::{self, Definition};
use stowage_protocol::llrp::frame::{Frame, FrameError, Inbox};
use stowage_protocol::llrp::report::{self, Events};
use stowage_protocol::llrp::tree::{self, Layer};

/// EdgeX's ADD_ACCESSSPEC has no operation in its AccessCommand, where LLRP 1.0.1 §16.2.4.1.2 asks for one or more.
const WITHOUT_OPERATION: &str = "04280000003C22CEDAFB00CF003280000000800001808000000000D0000701800000D1001B01520017015300136080000020\
                                 00010203002000010203";

/// A file of LLRP vectors, or `None`, said on standard error, where there is none.
fn text(name: &str) -> Option<String> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("STOWAGE_VECTORS").map_or_else(beside, PathBuf::from);
    let path = folder.join("llrp").join(name);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        eprintln!("SKIPPED: no {}", path.display());
    }
    text
}

/// The same, a JSON object a line.
fn vectors(name: &str) -> Option<Vec<Value>> {
    Some(text(name)?.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect())
}

fn octets(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().expect("hex").as_bytes();
    hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex")).collect()
}

#[test]
fn every_message_decodes_and_encodes_to_the_same_octets() {
    for file in ["ltk_golden.jsonl", "edgex.jsonl", "generated.jsonl"] {
        for vector in vectors(file).into_iter().flatten() {
            let message = octets(&vector["hex"]);
            if vector["hex"] == WITHOUT_OPERATION {
                assert!(tree::describe(&message).is_err_and(|error| error.layer == Layer::Parameter));
                continue;
            }
            let (described, len) = tree::describe(&message).unwrap_or_else(|error| panic!("{vector}: {error}"));
            assert_eq!(len, message.len());
            assert!(described.reencodes, "{vector}");
            assert_eq!(
                (described.kind, described.id),
                (vector["type"].as_u64().expect("type") as u16, vector["id"].as_u64().expect("id") as u32)
            );
        }
    }
}

#[test]
fn the_standards_names_lead_to_the_tool_kits_values() {
    /// Compares the tool kit's nested lists of strings with our JSON.
    fn same(theirs: &Value, ours: &Value, path: &str) {
        let mut counts = std::collections::BTreeMap::<&str, usize>::new();
        for entry in theirs.as_array().expect("a list") {
            let (name, value) = entry.as_object().expect("an object").iter().next().expect("one entry");
            let path = format!("{path}/{name}");
            let ours = &ours[name];
            if let Value::Array(_) = value {
                let nth = counts.entry(name).or_default();
                same(value, if ours.is_array() { &ours[*nth] } else { ours }, &path);
                *nth += 1;
                continue;
            }
            let value = value.as_str().expect("text");
            let told = match ours {
                Value::String(text) => text.clone(),
                Value::Array(list) => {
                    list.iter().map(|v| v.as_str().map_or(v.to_string(), str::to_owned)).collect::<Vec<_>>().join(" ")
                }
                Value::Object(empty) if empty.is_empty() => String::new(),
                Value::Object(bits) => bits["hex"].as_str().expect("hex").to_owned(),
                _ => ours.to_string(),
            };
            if name == "Microseconds" && value.contains('T') {
                // A date there, µs here: the fraction has to agree.
                let fraction = value.trim_end_matches('Z').rsplit('.').next().expect("a fraction");
                assert!(told.ends_with(fraction), "{path}: {told} is not {value}");
            } else if let Value::Bool(bit) = ours {
                assert!(value == told || value == if *bit { "1" } else { "0" }, "{path}");
            } else {
                let bare = |text: &str| text.replace(" ", "").to_uppercase();
                assert_eq!(bare(&told), bare(value), "{path}");
            }
        }
    }
    for vector in vectors("ltk_golden.jsonl").into_iter().flatten() {
        let (described, _) = tree::describe(&octets(&vector["hex"])).expect("decodes");
        assert_eq!(described.name, vector["msg"]);
        // The Java tool kit reads two-bit fields backwards (octet 80 as session 1), and an empty message has no fields.
        if vector["made_by"][0].as_str().is_some_and(|by| by.ends_with("ltkjava")) || !vector["xml_fields"].is_array() {
            continue;
        }
        let json = serde_json::to_value(&described).expect("JSON");
        same(&vector["xml_fields"], &json["body"], described.name);
    }
}

#[test]
fn the_hot_path_agrees_with_the_tree() {
    for file in ["ltk_golden.jsonl", "edgex.jsonl", "generated.jsonl"] {
        for vector in vectors(file).into_iter().flatten() {
            let message = octets(&vector["hex"]);
            let Ok((described, _)) = tree::describe(&message) else { continue };
            let mut seen = Vec::new();
            let walked = report::walk(&message, |tag| {
                seen.push((tag.antenna, tag.peak_rssi_dbm, tag.seen_count, tag.epc.len()))
            });
            assert_eq!(walked.expect("framed").malformed, 0, "{vector}");
            let number = |tree: &tree::Tree, name: &str, field: &str| tree.child(name).map(|child| child.int(field));
            let tags = described.body.all("TagReportData");
            if described.name == "RO_ACCESS_REPORT" {
                assert_eq!(seen.len(), tags.count(), "{vector}");
            }
            for ((antenna, rssi, count, _), tag) in seen.iter().zip(described.body.all("TagReportData")) {
                assert_eq!(antenna.map(i64::from), number(tag, "AntennaID", "AntennaID"));
                assert_eq!(rssi.map(i64::from), number(tag, "PeakRSSI", "PeakRSSI"));
                assert_eq!(count.map(i64::from), number(tag, "TagSeenCount", "TagCount"));
            }
            if let Some(data) = described.body.child("ReaderEventNotificationData") {
                let events = Events::parse(&message[10..]).expect("an event");
                let status = number(data, "ConnectionAttemptEvent", "Status");
                assert_eq!(events.connection.map(i64::from), status);
                let end = data.child("AISpecEvent").map(|e| (e.int("ROSpecID") as u32, e.int("SpecIndex") as u16));
                assert_eq!(events.aispec_end, end);
            }
        }
    }
}

#[test]
fn streams_give_their_frames_in_any_chunks() {
    for vector in vectors("streams.jsonl").into_iter().flatten() {
        let stream = octets(&vector["stream_hex"]);
        let (mut inbox, mut frames, mut from) = (Inbox::default(), Vec::new(), 0);
        let ends = vector["chunk_ends"].as_array().expect("a list").iter().map(|end| end.as_u64().expect("an offset"));
        for end in ends.map(|end| end as usize).chain([stream.len()]) {
            let each = |frame: Frame<'_>| {
                frames.push(serde_json::json!({"type": frame.kind, "id": frame.id, "length": frame.body.len() + 10}));
            };
            inbox.receive(&stream[from..end], each).expect("framed");
            from = end;
        }
        assert_eq!(Value::Array(frames), vector["frames"]);
    }
}

#[test]
fn what_is_invalid_is_refused_at_its_layer() {
    for vector in vectors("invalid.jsonl").into_iter().flatten() {
        let message = octets(&vector["hex"]);
        let why = &vector["why"];
        match (vector["layer"].as_str().expect("a layer"), tree::describe(&message)) {
            ("lenient", described) => assert!(described.is_ok_and(|(message, _)| message.reencodes), "{why}"),
            ("frame", _) if message.len() < 10 => assert_eq!(Frame::split(&message), Ok(None), "{why}"),
            ("frame", error) => {
                assert!(matches!(Frame::split(&message), Err(FrameError::Length { .. })), "{why}");
                assert_eq!(error.map(|_| ()).map_err(|error| error.layer), Err(Layer::Frame));
            }
            (layer, Err(error)) => assert_eq!(error.layer.name(), layer, "{why}: {error}"),
            (layer, Ok(_)) => panic!("{why}: taken, not refused as {layer}"),
        }
    }
}

#[test]
fn the_definition_is_the_standards() {
    let attribute = |line: &str, name: &str| {
        let (_, value) = line.split_once(&format!(" {name}=\""))?;
        Some(value.split('"').next().unwrap_or_default().to_owned())
    };
    let (mut current, mut fields): (Option<&Definition>, Vec<String>) = (None, Vec::new());
    let mut enumeration = String::new();
    for line in text("llrp-1x0-def.xml").unwrap_or_default().lines().map(str::trim) {
        let name = attribute(line, "name").unwrap_or_default();
        if line.starts_with("<messageDefinition") || line.starts_with("<parameterDefinition") {
            let definition = definition::named(&name).unwrap_or_else(|| panic!("{name} is missing"));
            assert_eq!(attribute(line, "typeNum"), Some(definition.number.to_string()), "{name}");
            (current, fields) = (Some(definition), Vec::new());
        } else if line.starts_with("<field") {
            fields.push(name);
        } else if line.starts_with("</messageDefinition") || line.starts_with("</parameterDefinition") {
            let definition = current.take().expect("an open definition");
            let ours: Vec<_> = definition.fields.iter().map(|f| f.name).filter(|name| !name.is_empty()).collect();
            assert_eq!(ours, fields, "{}", definition.name);
        } else if line.starts_with("<enumerationDefinition") {
            enumeration = name;
        } else if line.starts_with("<entry") {
            let value = attribute(line, "value").and_then(|value| value.parse().ok()).expect("a number");
            assert_eq!(definition::value_name(&enumeration, value), Some(&*name), "{enumeration}");
        }
    }
}

#[test]
fn impinjs_extensions_are_read_as_others_read_them() {
    /// All values of a vendor's parameter that a peer's decoding tells, in its order; flags and text as text.
    fn theirs(of: &Value, out: &mut Vec<String>) {
        if !of["vendor_id"].is_null() {
            return out.push("unknown".into());
        }
        for (name, value) in of.as_object().expect("an object").iter().filter(|(name, _)| *name != "_") {
            match value {
                Value::Object(inner) if inner.contains_key("hex") => out.push(inner["hex"].to_string()),
                Value::Object(_) => theirs(value, out),
                Value::Array(list) if list.iter().any(Value::is_object) => {
                    list.iter().for_each(|value| theirs(value, out))
                }
                value if name == "channel_list" || name == "frequency_list" || value.is_array() => {
                    out.push(value.to_string());
                }
                value => out.push(value.to_string()),
            }
        }
    }
    fn ours(of: &Value, out: &mut Vec<String>) {
        if of.is_null() {
            return out.push("unknown".into());
        }
        for (name, value) in of.as_object().expect("an object") {
            match value {
                Value::Array(list) if name == "Custom" => list.iter().for_each(|value| ours(&value["fields"], out)),
                Value::Array(list) if list.is_empty() => {}
                value => out.push(value.to_string()),
            }
        }
    }
    /// The vendors' parameters that stand in nothing of a vendor's, by name.
    fn found<'a>(of: &'a Value, named: &str, out: &mut Vec<&'a Value>) {
        match of {
            Value::Object(map) => {
                let name = map.get(named).and_then(Value::as_str).unwrap_or_default();
                if name.starts_with("Impinj") {
                    return out.push(of);
                }
                map.values().for_each(|value| found(value, named, out));
            }
            Value::Array(list) => list.iter().for_each(|value| found(value, named, out)),
            _ => {}
        }
    }
    let mut names = std::collections::BTreeSet::new();
    for vector in vectors("generated.jsonl").into_iter().flatten() {
        let (described, _) = tree::describe(&octets(&vector["hex"])).expect("well formed");
        let body = serde_json::to_value(&described.body).expect("JSON");
        let (mut right, mut told) = (Vec::new(), Vec::new());
        found(&vector["fields"], "_", &mut right);
        found(&body, "name", &mut told);
        let all = |of: &[&Value], named: &str, values: fn(&Value, &mut Vec<String>), fields: fn(&Value) -> &Value| {
            let told = of.iter().map(|of| {
                let mut told = Vec::new();
                values(fields(of), &mut told);
                told.sort();
                (of[named].as_str().expect("a name").to_owned(), told)
            });
            let mut told: Vec<_> = told.collect();
            told.sort();
            told
        };
        let right = all(&right, "_", theirs, |of| of);
        assert_eq!(all(&told, "name", ours, |of| &of["fields"]), right, "{vector}");
        names.extend(right.into_iter().map(|(name, _)| name));
    }
    println!("{} of Impinj's parameters agree: {names:?}", names.len());
}
