//! What the official JSON schemas demand, version by version.
//!
//! The text files beside this one hold it in short: a topic or member a line, its members indented below, `!` for
//! required, then JSON types, `MIN..MAX`, `A|B|C`, `N+` items at least. `[]` is an array's item; members below
//! `?zoneType=RELEASE` count where `zoneType` is `RELEASE` or missing. Members that no line tells are free. The
//! schemas are strict about little else: dates and texts are any string.

use super::{Fault, Kind, Topic, Version};
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::sync::LazyLock;

/// So many faults of a message are told.
const FAULTS_MAX: usize = 64;

/// What a value must be.
#[derive(Debug, Default)]
struct Shape {
    /// One of these JSON types; any if empty.
    types: Vec<&'static str>,
    min: Option<f64>,
    max: Option<f64>,
    one_of: Vec<&'static str>,
    items_min: usize,
    members: Vec<(&'static str, bool, Shape)>,
    items: Option<Box<Shape>>,
    cases: Vec<Case>,
}

/// More members, where another has a value.
#[derive(Debug)]
struct Case {
    member: &'static str,
    value: &'static str,
    then: Shape,
}

static V2_0: LazyLock<Shape> = LazyLock::new(|| read(include_str!("schema/v2_0.txt")));
static V2_1: LazyLock<Shape> = LazyLock::new(|| read(include_str!("schema/v2_1.txt")));
static V3_0: LazyLock<Shape> = LazyLock::new(|| read(include_str!("schema/v3_0.txt")));

/// Everything in `message` that the schema of its version and topic forbids; `None` if the version has no such topic.
pub(super) fn check(version: Version, topic: Topic, message: &Value) -> Option<Vec<Fault>> {
    let mut faults = Vec::new();
    shape(version, topic)?.check(&mut String::new(), message, &mut faults);
    Some(faults)
}

/// The message without members that the schema doesn't tell, which may be anything.
pub(super) fn known(version: Version, topic: Topic, message: &Value) -> Value {
    shape(version, topic).map_or(Value::Null, |shape| shape.known(message))
}

fn shape(version: Version, topic: Topic) -> Option<&'static Shape> {
    let topics: &'static Shape = match version {
        Version::V2_0 => &V2_0,
        Version::V2_1 => &V2_1,
        Version::V3_0 => &V3_0,
    };
    topics.members.iter().find(|(name, ..)| *name == topic.name()).map(|(_, _, shape)| shape)
}

/// Reads a definition. Total: what it doesn't understand it takes for a type's name, which the tests would find.
fn read(text: &'static str) -> Shape {
    let lines: Vec<_> = text.lines().map(|line| (line.len() - line.trim_start().len(), line.trim_start())).collect();
    let mut root = Shape::default();
    members(&mut root, &lines);
    root
}

/// Takes the lines of a shape's members, each with those below it.
fn members(shape: &mut Shape, mut lines: &[(usize, &'static str)]) {
    while let [(indent, line), rest @ ..] = lines {
        let below = rest.iter().take_while(|(deeper, _)| deeper > indent).count();
        let (own, next) = rest.split_at(below);
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        let mut inner = Shape::default();
        for word in words {
            inner.demand(word);
        }
        members(&mut inner, own);
        if let Some((member, value)) = name.strip_prefix('?').and_then(|case| case.split_once('=')) {
            shape.cases.push(Case { member, value, then: inner });
        } else if name == "[]" {
            shape.items = Some(Box::new(inner));
        } else {
            let plain = name.strip_suffix('!');
            shape.members.push((plain.unwrap_or(name), plain.is_some(), inner));
        }
        lines = next;
    }
}

impl Shape {
    fn demand(&mut self, word: &'static str) {
        if let Some((min, max)) = word.split_once("..") {
            (self.min, self.max) = (min.parse().ok(), max.parse().ok());
        } else if let Some(least) = word.strip_suffix('+') {
            self.items_min = least.parse().unwrap_or_default();
        } else if word.starts_with(|c: char| c.is_ascii_uppercase()) {
            self.one_of = word.split('|').collect();
        } else if word != "any" {
            self.types = word.split(',').collect();
        }
    }

    fn check(&self, path: &mut String, value: &Value, faults: &mut Vec<Fault>) {
        if faults.len() >= FAULTS_MAX {
            return;
        }
        let mut fault = |expected: String| {
            faults.push(Fault::new(Kind::Schema, path, format!("{}, expected {expected}", shown(value))));
        };
        if !self.types.is_empty() && !self.types.iter().any(|name| is(name, value)) {
            return fault(article(&self.types.join(" or ")));
        }
        if let Some(number) = value.as_f64() {
            match (self.min, self.max) {
                (Some(min), Some(max)) if !(min..=max).contains(&number) => fault(format!("{min} to {max}")),
                (Some(min), None) if number < min => fault(format!("{min} or more")),
                (None, Some(max)) if number > max => fault(format!("{max} or less")),
                _ => {}
            }
        }
        if !self.one_of.is_empty() && !value.as_str().is_some_and(|text| self.one_of.contains(&text)) {
            fault(self.one_of.join(", "));
        }
        match value {
            Value::Object(members) => self.object(path, members, faults),
            Value::Array(items) => {
                if items.len() < self.items_min {
                    fault(format!("{} items or more", self.items_min));
                }
                let Some(shape) = &self.items else { return };
                let own = path.len();
                for (index, item) in items.iter().enumerate() {
                    let _ = write!(path, "[{index}]");
                    shape.check(path, item, faults);
                    path.truncate(own);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn known(&self, value: &Value) -> Value {
        let own = || self.members.iter().chain(self.cases.iter().flat_map(|case| &case.then.members));
        match (value, &self.items) {
            // Of 2.0's factsheet the schema tells names alone: there it stays as it is.
            (Value::Object(members), _) if own().any(|(.., shape)| !shape.types.is_empty()) => {
                let known =
                    own().filter_map(|(name, _, shape)| Some(((*name).to_owned(), shape.known(members.get(*name)?))));
                Value::Object(known.collect())
            }
            (Value::Array(items), Some(shape)) => items.iter().map(|item| shape.known(item)).collect(),
            _ => value.clone(),
        }
    }

    fn object(&self, path: &mut String, members: &Map<String, Value>, faults: &mut Vec<Fault>) {
        let own = path.len();
        for (name, required, shape) in &self.members {
            path.push_str(if own == 0 { "" } else { "." });
            path.push_str(name);
            match members.get(*name) {
                Some(member) => shape.check(path, member, faults),
                None if *required => {
                    let expected = if shape.types.is_empty() { "any".into() } else { shape.types.join(" or ") };
                    faults.push(Fault::new(Kind::Schema, path, format!("missing, expected {}", article(&expected))));
                }
                None => {}
            }
            path.truncate(own);
        }
        for Case { member, value, then } in &self.cases {
            if members.get(*member).is_none_or(|found| found == value) {
                then.object(path, members, faults);
            }
        }
    }
}

/// Whether a value is of a JSON type; a number without a fraction is an integer however it is written.
fn is(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => false,
    }
}

fn article(what: &str) -> String {
    let vowel = what.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {what}", if vowel { "an" } else { "a" })
}

/// A value in a few characters.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "is an object".into(),
        Value::Array(items) => format!("is an array of {}", items.len()),
        Value::String(text) => format!("is {:?}", text.chars().take(40).collect::<String>()),
        Value::Null | Value::Bool(_) | Value::Number(_) => format!("is {value}"),
    }
}
