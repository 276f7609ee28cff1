//! GS1 element strings: application identifiers (AIs) and values, as scanned, bracketed, or in a Digital Link URI.
//!
//! [`Elements::parse`] checks everything about each element and that no two contradict each other; the values stay
//! where they are in the text. That an element stands without one it needs beside it (a lot without a GTIN) is told
//! apart by [`Elements::check_companions`]: on the floor it deserves a warning, not a refusal.
//!
//! ```
//! # use stowage_gs1::element::*;
//! let elements = Elements::parse("]C1010950600013435210LOT7\u{1D}17270300")?;
//! let said: Vec<_> = elements.iter().map(|element| (element.ai.to_string(), element.value.to_string())).collect();
//! assert_eq!(said[1], ("10".to_string(), "LOT7".to_string()));
//! assert_eq!(elements.scan().expiry, Some(270300));
//! # Ok::<(), ElementError>(())
//! ```

mod error;
pub(crate) mod format;
mod iso;
mod link;
mod scan;
pub(crate) mod table;

pub use error::{ElementError, Reason};
pub use scan::{Scan, expiry_date};

use crate::digits::{number, percent_escape};
use core::fmt::{self, Write as _};
use stowage_base::Code;
use table::Row;

/// Most elements in one text: more than any symbol holds that means one thing.
const ELEMENTS_MAX: usize = 64;

/// Most octets in a value.
pub(crate) const VALUE_MAX: usize = 90;

/// FNC1 as scanners send it.
const GS: char = '\u{1D}';

/// Symbology identifiers (ISO/IEC 15424) that say: these are element strings.
const GS1_CARRIERS: &[&str] = &["]C1", "]e0", "]e1", "]e2", "]d2", "]Q3", "]J1"];

/// Those of symbols that may hold a Digital Link URI.
const LINK_CARRIERS: &[&str] = &["]d1", "]d4", "]Q1", "]J0"];

/// An application identifier: 2 to 4 digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ai {
    digits: [u8; 4],
    len: u8,
}

impl Ai {
    pub(crate) fn new(digits: &str) -> Self {
        let mut ai = Self { digits: [0; 4], len: digits.len().min(4) as u8 };
        ai.digits[..ai.len.into()].copy_from_slice(&digits.as_bytes()[..ai.len.into()]);
        ai
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.digits[..self.len.into()]).unwrap_or_default()
    }

    /// Whether the AI is of the family `pattern`, in which `n` stands for any digit.
    fn matches(&self, pattern: &str) -> bool {
        let ai = self.as_str();
        ai.len() == pattern.len() && ai.bytes().zip(pattern.bytes()).all(|(digit, p)| p == b'n' || p == digit)
    }
}

impl fmt::Display for Ai {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Ai {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ai({self})")
    }
}

/// The value of an element, where it stands in the text. Prints, and compares to text, with escapes resolved.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    raw: &'a str,
    escape: Escape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    /// `\(` for `(`.
    Bracket,
    /// `%hh`.
    Percent,
}

impl<'a> Value<'a> {
    /// The characters.
    pub fn octets(self) -> impl Iterator<Item = u8> + use<'a> {
        let mut rest = self.raw.as_bytes();
        core::iter::from_fn(move || {
            let (&first, after) = rest.split_first()?;
            let (octet, after) = match (self.escape, after) {
                (Escape::Bracket, [b'(', after @ ..]) if first == b'\\' => (b'(', after),
                (Escape::Percent, _) => match percent_escape(rest) {
                    Some(octet) => (octet, &rest[3..]),
                    None => (first, after),
                },
                _ => (first, after),
            };
            rest = after;
            Some(octet)
        })
    }

    /// The value as a code, if it isn't too long for one.
    pub fn code(self) -> Option<Code> {
        let mut code = Code::new();
        self.octets().try_for_each(|octet| code.push(octet.into()).ok())?;
        Some(code)
    }

    /// The value as a number, if it consists of at most 19 digits.
    pub fn number(self) -> Option<u64> {
        number(self.code()?.as_bytes())
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.octets().try_for_each(|octet| f.write_char(octet.into()))
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.octets().eq(other.octets())
    }
}

impl PartialEq<str> for Value<'_> {
    fn eq(&self, text: &str) -> bool {
        self.octets().eq(text.bytes())
    }
}

/// One application identifier with its value.
#[derive(Debug, Clone, Copy)]
pub struct Element<'a> {
    /// Which.
    pub ai: Ai,
    /// What it says.
    pub value: Value<'a>,
    /// Where the value begins, octet of the text.
    pub position: usize,
    row: &'static Row,
}

impl Element<'_> {
    /// For a measure, AIs 310n to 369n: the number and how many of its digits are decimals; the unit is the AI's.
    pub fn measure(&self) -> Option<(u64, u8)> {
        let &[b'3', b'1'..=b'6', _, decimals] = self.ai.as_str().as_bytes() else { return None };
        Some((self.value.number()?, decimals - b'0'))
    }

    fn error(&self, reason: Reason) -> ElementError {
        ElementError { ai: Some(self.ai), position: self.position, reason }
    }
}

/// A text that consists of valid elements.
#[derive(Debug, Clone, Copy)]
pub struct Elements<'a>(Walk<'a>);

impl<'a> Elements<'a> {
    /// Reads the elements of a scan: with or without symbology identifier, GS or `^` for FNC1; bracketed; or a
    /// Digital Link URI.
    ///
    /// # Errors
    /// The text is none of these, an element breaks its format, or two contradict each other.
    pub fn parse(text: &'a str) -> Result<Self, ElementError> {
        let elements = Self::parse_unpaired(text)?;
        elements.check_pairs()?;
        Ok(elements)
    }

    /// Reads elements as [`Self::parse`] does, each for itself: one may be repeated, or stand beside one that it
    /// excludes. A tag's AIDC data isn't bound by the rules for one symbol.
    ///
    /// # Errors
    /// The text is none of these, or an element breaks its format.
    pub fn parse_unpaired(text: &'a str) -> Result<Self, ElementError> {
        let elements = Self(Walk::start(text)?);
        let mut count = 0;
        for element in elements.0 {
            let element = element?;
            format::check(element.row, &element)?;
            count += 1;
            if count > ELEMENTS_MAX {
                return Err(element.error(Reason::TooMany { max: ELEMENTS_MAX }));
            }
        }
        if count == 0 {
            return Err(ElementError { ai: None, position: text.len(), reason: Reason::Empty });
        }
        Ok(elements)
    }

    /// The elements in the text's order; for a Digital Link first those of the path.
    pub fn iter(&self) -> impl Iterator<Item = Element<'a>> + use<'a> {
        self.0.map_while(Result::ok)
    }

    /// The value of `ai`, if it is there.
    pub fn value(&self, ai: &str) -> Option<Value<'a>> {
        self.iter().find(|element| element.ai.as_str() == ai).map(|element| element.value)
    }

    /// What the elements say that a warehouse asks for.
    pub fn scan(&self) -> Scan {
        Scan::of(self)
    }

    /// No AI twice with different values, and none beside one that it excludes.
    fn check_pairs(&self) -> Result<(), ElementError> {
        let mut ais = [Ai { digits: [0; 4], len: 0 }; ELEMENTS_MAX];
        let mut count = 0;
        for (place, element) in ais.iter_mut().zip(self.iter()) {
            *place = element.ai;
            count += 1;
        }
        let ais = &ais[..count];
        let signed = ais.iter().any(|ai| ai.as_str() == "8030");
        for (element, index) in self.iter().zip(0..count) {
            if ais[..index].contains(&element.ai) {
                let mut before = self.iter().take(index).filter(|other| other.ai == element.ai);
                if self.0.form == Form::Link || before.any(|other| other.value != element.value) {
                    return Err(element.error(Reason::Repeated));
                }
            }
            // A digital signature is of one thing, not of a kind of things.
            let kind = match element.ai.as_str() {
                "253" | "255" => 13,
                "8003" => 14,
                _ => 0,
            };
            if signed && element.value.octets().count() == kind {
                return Err(element.error(Reason::Content { allowed: "a key with its serial beside (8030)" }));
            }
            let excludes = |other: &&Ai| {
                **other != element.ai && element.row.excludes.split(',').any(|pattern| other.matches(pattern))
            };
            if !element.row.excludes.is_empty()
                && let Some(&by) = ais.iter().find(excludes)
            {
                return Err(element.error(Reason::Excluded { by }));
            }
        }
        Ok(())
    }

    /// Whether each element has beside it what it needs, as a lot needs a GTIN (General Specifications §4.14).
    ///
    /// # Errors
    /// The first element that lacks its companion.
    pub fn check_companions(&self) -> Result<(), ElementError> {
        let has = |pattern: &str| self.iter().any(|element| element.ai.matches(pattern));
        self.iter().try_for_each(|element| {
            let needs = element.row.requires;
            if needs.is_empty() || needs.split(',').any(|group| group.split('+').all(has)) {
                return Ok(());
            }
            Err(element.error(Reason::Alone { needs }))
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Raw,
    Bracketed,
    Link,
}

/// A cursor over elements; checks the layout, not the values.
#[derive(Debug, Clone, Copy)]
struct Walk<'a> {
    form: Form,
    /// The text up to where elements end.
    text: &'a str,
    /// Where the next element begins.
    at: usize,
    /// For a Digital Link: where its key begins in the path, and whether the walk is past the path.
    link: link::Place,
}

impl<'a> Walk<'a> {
    fn start(text: &'a str) -> Result<Self, ElementError> {
        let walk = |form, at| Self { form, text, at, link: link::Place::default() };
        let carrier = if text.starts_with(']') { text.get(..3) } else { None };
        let error = |position, reason| Err(ElementError { ai: None, position, reason });
        match carrier {
            Some(carrier) if GS1_CARRIERS.contains(&carrier) => return Ok(walk(Form::Raw, 3)),
            Some(carrier) if LINK_CARRIERS.contains(&carrier) && link::is_link(&text[3..]) => {
                return link::start(text, 3);
            }
            Some(carrier) if LINK_CARRIERS.contains(&carrier) => return error(3, Reason::NoElements),
            Some(_) => return error(0, Reason::Carrier),
            None => {}
        }
        match text.chars().next() {
            Some('(') => Ok(walk(Form::Bracketed, 0)),
            Some('^' | GS) => Ok(walk(Form::Raw, 1)),
            Some('0'..='9') => Ok(walk(Form::Raw, 0)),
            Some(_) if link::is_link(text) => link::start(text, 0),
            Some(_) => error(0, Reason::NoElements),
            None => error(0, Reason::Empty),
        }
    }

    fn element(&self, ai: &str, row: &'static Row, value: core::ops::Range<usize>, escape: Escape) -> Element<'a> {
        // All ranges end at a character's border; were one not to, its value would be refused as too short.
        let raw = self.text.get(value.clone()).unwrap_or_default();
        Element { ai: Ai::new(ai), value: Value { raw, escape }, position: value.start, row }
    }

    fn raw(&mut self) -> Result<Element<'a>, ElementError> {
        let rest = &self.text[self.at..];
        let unknown = ElementError { ai: None, position: self.at, reason: Reason::UnknownAi };
        let (ai, row) = table::at_front(rest).ok_or(unknown)?;
        let start = self.at + ai.len();
        let end = match row.fixed_len() {
            Some(len) => self.text.floor_char_boundary((start + len).min(self.text.len())),
            None => self.text[start..].find(['^', GS]).map_or(self.text.len(), |index| start + index),
        };
        let element = self.element(ai, row, start..end, Escape::None);
        self.at = end + usize::from(self.text[end..].starts_with(['^', GS]));
        Ok(element)
    }

    fn bracketed(&mut self) -> Result<Element<'a>, ElementError> {
        let error = |ai: Option<Ai>, position, reason| ElementError { ai, position, reason };
        let inside = self.text[self.at..].strip_prefix('(').ok_or(error(None, self.at, Reason::Bracket))?;
        let (ai, value) = inside.split_once(')').ok_or(error(None, self.at, Reason::Bracket))?;
        let row = table::exactly(ai).ok_or(error(None, self.at + 1, Reason::UnknownAi))?;
        let start = self.text.len() - value.len();
        let opens = |&(index, _): &(usize, &str)| !value[..index].ends_with('\\');
        let end = value.match_indices('(').find(opens).map_or(self.text.len(), |(index, _)| start + index);
        self.at = end;
        Ok(self.element(ai, row, start..end, Escape::Bracket))
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<Element<'a>, ElementError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.text.len() {
            return None;
        }
        match self.form {
            Form::Raw => Some(self.raw()),
            Form::Bracketed => Some(self.bracketed()),
            Form::Link => self.link(),
        }
    }
}

#[cfg(test)]
mod tests;
