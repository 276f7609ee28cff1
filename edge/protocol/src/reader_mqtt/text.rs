//! Times, hexadecimal and base64 as readers write them.

use serde::de::{self, Deserialize, Deserializer, Visitor};
use std::fmt;
use stowage_base::{Duration, Epc, Timestamp};

/// An instant by a reader's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// Its first microsecond.
    pub at: Timestamp,
    /// How long the reader's clock shows the same: 1 s without decimals, at least 1 µs.
    pub step: Duration,
}

impl Time {
    /// Reads RFC 3339, and with it Zebra's form, whose offset has no colon: `2026-11-24T22:10:00.123+0000`.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.as_bytes().split_first_chunk::<10>()?;
        let number = |digits: &[u8]| {
            digits.iter().try_fold(0_i64, |n, digit| digit.is_ascii_digit().then(|| n * 10 + i64::from(digit - b'0')))
        };
        let (year, month, day) = (number(&date[..4])?, number(&date[5..7])?, number(&date[8..])?);
        let (time, rest) = rest.split_first_chunk::<9>()?;
        let (hour, minute, second) = (number(&time[1..3])?, number(&time[4..6])?, number(&time[7..])?);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        let shape = [date[4], date[7], time[3], time[6]] == *b"--::" && matches!(time[0], b'T' | b't' | b' ');
        // A leap second counts as the one after it.
        if !shape || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let (micros, step, rest) = match rest.split_first() {
            Some((b'.' | b',', rest)) => {
                let len = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
                let kept = len.min(6);
                let unit = 10_i64.pow(6 - kept as u32);
                (number(&rest[..kept]).filter(|_| len > 0)? * unit, unit, &rest[len..])
            }
            _ => (0, 1_000_000, rest),
        };
        let offset_min = match rest {
            b"Z" | b"z" => 0,
            [sign @ (b'+' | b'-'), rest @ ..] => {
                let (hours, minutes) = match rest {
                    [a, b] => (number(&[*a, *b])?, 0),
                    [a, b, c, d] | [a, b, b':', c, d] => (number(&[*a, *b])?, number(&[*c, *d])?),
                    _ => return None,
                };
                if hours > 23 || minutes > 59 {
                    return None;
                }
                if *sign == b'-' { -(hours * 60 + minutes) } else { hours * 60 + minutes }
            }
            _ => return None,
        };
        // Days since 1970 in eras of 400 years that start on a 1 March.
        let shifted = if month <= 2 { year - 1 } else { year };
        let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
        let of_era = shifted.rem_euclid(400);
        let days = shifted.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
        let seconds = days * 86_400 + hour * 3_600 + (minute - offset_min) * 60 + second;
        Some(Self { at: Timestamp::from_micros(seconds * 1_000_000 + micros), step: Duration::from_micros(step) })
    }
}

/// Octets from base64 in either alphabet (RFC 4648 §4 and §5), with or without padding; at most 62 of them.
pub(crate) fn base64(text: &str) -> Option<Epc> {
    let digits = text.strip_suffix("==").or(text.strip_suffix('=')).unwrap_or(text).as_bytes();
    let mut octets = [0; stowage_base::epc::LEN_MAX];
    let len = digits.len() * 3 / 4;
    let room = octets.get_mut(..len).filter(|_| digits.len() % 4 != 1)?;
    for (chunk, out) in digits.chunks(4).zip(room.chunks_mut(3)) {
        let mut bits = 0_u32;
        for digit in chunk {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'-' | b'+' => 62,
                b'_' | b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        bits <<= 6 * (4 - chunk.len());
        out.copy_from_slice(&bits.to_be_bytes()[1..=out.len()]);
    }
    Epc::new(&octets[..len])
}

/// Octets written as base64, as [`base64`] reads it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Base64(pub(crate) Epc);

/// Octets written as hex digits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hex(pub(crate) Epc);

/// Reads a text in place; a wrong one is an error there.
struct Text<T> {
    read: fn(&str) -> Option<T>,
    want: &'static str,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.want)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        let shown = || text.chars().take(40).collect::<String>();
        (self.read)(text).ok_or_else(|| E::custom(format_args!("{:?} is not {}", shown(), self.want)))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text { read: Self::parse, want: "a time such as 2026-11-24T22:10:00.123Z" })
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text { read: |text| base64(text).map(Self), want: "base64 of at most 62 octets" })
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| Epc::from_hex(text).map(Self);
        deserializer.deserialize_str(Text { read, want: "hex of at most 62 octets" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Option<(String, i64)> {
        Time::parse(text).map(|time| (time.at.to_string(), time.step.micros()))
    }

    #[test]
    fn times_with_every_offset_and_as_many_decimals_as_there_are() {
        let same = |step| Some(("2026-11-24T22:10:00.123Z".to_owned(), step));
        assert_eq!(at("2026-11-24T22:10:00.123456789Z"), same(1));
        assert_eq!(at("2026-11-24T22:10:00.123+0000"), same(1_000));
        assert_eq!(at("2026-11-24T23:10:00.123+0100"), same(1_000));
        assert_eq!(at("2026-11-24T17:10:00.123-05:00"), same(1_000));
        assert_eq!(at("2026-11-25T00:40:00.123+02:30"), same(1_000));
        assert_eq!(at("2026-11-24t22:10:00z"), Some(("2026-11-24T22:10:00.000Z".to_owned(), 1_000_000)));
        assert_eq!(at("2024-02-29T23:59:60Z").map(|(text, _)| text), Some("2024-03-01T00:00:00.000Z".to_owned()));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-11-24",
            "2026-11-24T22:10:00",
            "2026-11-24T22:10:00.Z",
            "2026-13-24T22:10:00Z",
            "2026-02-29T22:10:00Z",
            "2026-11-24T24:10:00Z",
            "2026-11-24T22:10:00+1",
            "2026-11-24T22:10:00+25:00",
            "2026/11/24T22:10:00Z",
            "2026-11-24T22:10:00Z ",
            "２026-11-24T22:10:00Z",
        ] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }

    #[test]
    fn base64_in_both_alphabets_with_and_without_padding() {
        for text in ["4oARkaUDAGXybMv/", "4oARkaUDAGXybMv_"] {
            assert_eq!(base64(text).map(|epc| epc.to_string()).as_deref(), Some("E2801191A5030065F26CCBFF"));
        }
        for text in ["ikUCJA==", "ikUCJA"] {
            assert_eq!(base64(text).map(|epc| epc.to_string()).as_deref(), Some("8A450224"));
        }
        assert_eq!(base64("").map(|epc| epc.octets().len()), Some(0));
        for text in ["A", "AAAAA", "AA=A", "AA===", "A A", "ä"] {
            assert_eq!(base64(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_instant_is_read_as_it_is_printed(millis in 0_i64..253_402_300_800_000) {
            let at = Timestamp::from_micros(millis * 1_000);
            prop_assert_eq!(Time::parse(&at.to_string()).map(|time| time.at), Some(at));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = (Time::parse(&text), base64(&text));
        }
    }
}
