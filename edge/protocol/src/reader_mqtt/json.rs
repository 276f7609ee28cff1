//! Objects out of a payload, each read on its own, with the place of what is wrong.

use super::PAYLOAD_MAX;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, Visitor};
use std::fmt;

/// What is wrong with a payload, or with one object in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[error("octet {position}: {reason}")]
pub struct Malformed {
    /// What was found and what was expected.
    pub reason: String,
    /// Octet in the payload, from 0, where it was noticed.
    pub position: usize,
}

/// Hands on each object of a payload: alone, in an array, or one after the other (JSON lines).
///
/// An object that makes no sense costs itself alone, unless it leaves a bracket or a quotation mark open.
pub(crate) fn elements(payload: &[u8], mut each: impl FnMut(usize, &[u8])) -> Result<(), Malformed> {
    let malformed = |reason: String, position| Err(Malformed { reason, position });
    if payload.len() > PAYLOAD_MAX {
        return malformed(format!("payload of {} octets, {PAYLOAD_MAX} are allowed", payload.len()), PAYLOAD_MAX);
    }
    let mut at = space(payload, 0);
    if at == payload.len() {
        return malformed("the payload is empty".to_owned(), at);
    }
    let array = payload[at] == b'[';
    if array {
        at = space(payload, at + 1);
        if payload.get(at) == Some(&b']') {
            at += 1;
            return trailing(payload, at);
        }
    }
    loop {
        let end = value_end(payload, at, array);
        each(at, &payload[at..end]);
        at = space(payload, end);
        match payload.get(at) {
            Some(b',') if array => at = space(payload, at + 1),
            Some(b']') if array => return trailing(payload, at + 1),
            _ if array => return malformed("the array is not continued by ',' nor closed by ']'".to_owned(), at),
            Some(_) => {}
            None => return Ok(()),
        }
    }
}

fn trailing(payload: &[u8], end: usize) -> Result<(), Malformed> {
    match space(payload, end) {
        at if at == payload.len() => Ok(()),
        position => Err(Malformed { reason: "more after the array".to_owned(), position }),
    }
}

fn space(payload: &[u8], from: usize) -> usize {
    let rest = payload.get(from..).unwrap_or_default();
    from.min(payload.len()) + rest.iter().take_while(|octet| octet.is_ascii_whitespace()).count()
}

/// Where the value that begins at `from` ends: with its last bracket; without one at the line's end, in an array
/// before the next comma or bracket.
fn value_end(payload: &[u8], from: usize, array: bool) -> usize {
    let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
    for (at, octet) in payload.iter().enumerate().skip(from) {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b',' | b']' if depth == 0 && array => return at,
            b'\n' if depth == 0 => return at,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    payload.len()
}

/// Reads one object that lies at `offset` of its payload.
pub(crate) fn parse<'a, T: Deserialize<'a>>(offset: usize, element: &'a [u8]) -> Result<T, Malformed> {
    serde_json::from_slice(element).map_err(|error| {
        let line = element.split_inclusive(|octet| *octet == b'\n').take(error.line().saturating_sub(1));
        let position = offset + (line.map(<[u8]>::len).sum::<usize>() + error.column()).min(element.len());
        let text = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let reason = text.strip_suffix(&place).unwrap_or(&text);
        Malformed { reason: reason.chars().take(200).collect(), position }
    })
}

/// A number within bounds; null counts as left out.
pub(crate) struct Within {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl<'de> DeserializeSeed<'de> for Within {
    type Value = Option<f64>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Within {
    type Value = Option<f64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number from {} to {}", self.low, self.high)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
        if (self.low..=self.high).contains(&value) {
            return Ok(Some(value));
        }
        Err(E::invalid_value(de::Unexpected::Float(value), &self))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// A value without its shape: text, or its JSON, cut at 200 characters. For what people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flat(pub(crate) String);

impl<'de> Deserialize<'de> for Flat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => text,
            value => value.to_string(),
        };
        Ok(Self(text.chars().take(200).collect()))
    }
}

/// The names of an object's members: `fields! { Name { Variant = "text", … } }`, anything else is `Other`.
macro_rules! fields {
    ($name:ident { $($variant:ident = $text:literal),* $(,)? }) => {
        #[derive(Clone, Copy)]
        enum $name { $($variant,)* Other }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Name;
                impl serde::de::Visitor<'_> for Name {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a member's name")
                    }
                    fn visit_str<E>(self, text: &str) -> Result<$name, E> {
                        Ok(match text { $($text => $name::$variant,)* _ => $name::Other })
                    }
                }
                deserializer.deserialize_identifier(Name)
            }
        }
    };
}
pub(crate) use fields;

/// Reads an object by a function of its members.
macro_rules! object {
    ($type:ty, $want:literal, |$map:ident| $body:block) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Object;
                impl<'de> serde::de::Visitor<'de> for Object {
                    type Value = $type;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($want)
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut $map: A) -> Result<$type, A::Error> {
                        $body
                    }
                }
                deserializer.deserialize_map(Object)
            }
        }
    };
}
pub(crate) use object;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(payload: &str) -> (Vec<(usize, String)>, Result<(), Malformed>) {
        let mut found = Vec::new();
        let ended = elements(payload.as_bytes(), |at, element| {
            found.push((at, String::from_utf8_lossy(element).into_owned()));
        });
        (found, ended)
    }

    #[test]
    fn one_object_an_array_or_one_after_the_other() {
        let two = |a, b| vec![(a, r#"{"a":[1]}"#.to_owned()), (b, r#"{"b":"]}\"{"}"#.to_owned())];
        assert_eq!(split(r#" {"a":[1]}"#), (vec![(1, r#"{"a":[1]}"#.to_owned())], Ok(())));
        assert_eq!(split(r#"[{"a":[1]}, {"b":"]}\"{"}] "#), (two(1, 12), Ok(())));
        assert_eq!(split("{\"a\":[1]}\r\n{\"b\":\"]}\\\"{\"}\r\n"), (two(0, 11), Ok(())));
        assert_eq!(split("[]"), (vec![], Ok(())));
    }

    #[test]
    fn a_bad_object_costs_itself_alone() {
        assert_eq!(split("[{},x,{}]").0, [(1, "{}".to_owned()), (4, "x".to_owned()), (6, "{}".to_owned())]);
        assert_eq!(split("not json\n{}").0, [(0, "not json".to_owned()), (9, "{}".to_owned())]);
    }

    #[test]
    fn broken_frames_say_where() {
        let place = |payload| split(payload).1.expect_err("broken").position;
        assert_eq!((place(""), place(" \n"), place("[{}"), place("[{}]{}"), place("[{} {}]")), (0, 2, 3, 4, 4));
        let huge = " ".repeat(PAYLOAD_MAX + 1);
        assert!(split(&huge).1.expect_err("too long").reason.contains("1048577 octets"));
    }

    proptest! {
        #[test]
        fn any_octets_are_split_or_refused(payload in prop::collection::vec(prop::sample::select(b"{}[],\"\\ \nx".to_vec()), 0..40)) {
            let mut last = 0;
            let _ = elements(&payload, |at, element| {
                assert!(at >= last, "in order");
                last = at + element.len();
            });
            prop_assert!(last <= payload.len());
        }
    }
}
