//! Tag URIs `urn:epc:tag:sgtin-96:3.0614141.112345.400` and pure identity URIs `urn:epc:id:sgtin:0614141.112345.400`
//! (TDS §6, §12).

use super::{CompanyPrefix, EpcError, Identity, Reason, Scheme, Serial, SerialKind, characters};
use crate::digits::{Escaped, number, percent_escape};
use core::fmt::{self, Write as _};

const TAG: &str = "urn:epc:tag:";
const PURE: &str = "urn:epc:id:";

/// Prints the tag URI: everything the tag says.
pub struct TagUri<'a>(pub &'a Identity);

/// Prints the pure identity URI: the thing alone, whatever the tag's scheme and filter.
pub struct PureUri<'a>(pub &'a Identity);

impl Identity {
    /// Reads a tag URI.
    ///
    /// # Errors
    /// The text breaks the grammar, or a number its range in the scheme.
    pub fn parse_tag_uri(uri: &str) -> Result<Self, EpcError> {
        let rest = uri.strip_prefix(TAG).ok_or(Reason::Expected("urn:epc:tag:").at(0))?;
        let (name, body) = part(rest, ':', TAG.len())?;
        let is_named = |scheme: &&Scheme| scheme.name() == name;
        let &scheme = Scheme::ALL.iter().find(is_named).ok_or(Reason::UnknownScheme.at(TAG.len()))?;
        let at = TAG.len() + name.len() + 1;
        let (filter, body) = part(body, '.', at)?;
        let &[filter @ b'0'..=b'7'] = filter.as_bytes() else {
            return Err(Reason::Expected("a filter value from 0 to 7").at(at));
        };
        Self::parse_body(scheme, filter - b'0', body, at + 2)
    }

    /// Reads a pure identity URI; its EPC gets `filter` and the shortest scheme that can hold it.
    ///
    /// # Errors
    /// As for [`Identity::parse_tag_uri`], or `filter` is above 7.
    pub fn parse_pure_uri(uri: &str, filter: u8) -> Result<Self, EpcError> {
        if filter > 7 {
            return Err(Reason::Range { field: "filter", found: filter.into(), max: 7 }.at(0));
        }
        let rest = uri.strip_prefix(PURE).ok_or(Reason::Expected("urn:epc:id:").at(0))?;
        let (name, body) = part(rest, ':', PURE.len())?;
        let mut result = Err(Reason::UnknownScheme.at(PURE.len()));
        for &scheme in Scheme::ALL.iter().filter(|scheme| scheme.row().pure == name) {
            result = Self::parse_body(scheme, filter, body, PURE.len() + name.len() + 1);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Reads `prefix.reference.serial`, or as much of it as the scheme has, at octet `at` of the URI.
    fn parse_body(scheme: Scheme, filter: u8, body: &str, at: usize) -> Result<Self, EpcError> {
        let row = scheme.row();
        let (text, mut body) = part(body, '.', at)?;
        let value = digits(text, at)?;
        let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
        let prefix = CompanyPrefix::new(value, len).ok_or(Reason::PrefixLength(text.len()).at(at))?;
        let mut at = at + text.len() + 1;
        let mut reference = 0;
        if row.key_digits > 0 {
            let text = if row.serial == SerialKind::None {
                core::mem::take(&mut body)
            } else {
                let (text, rest) = part(body, '.', at)?;
                body = rest;
                text
            };
            let wanted = usize::from(scheme.reference_digits(prefix.len));
            if text.len() != wanted {
                return Err(Reason::Length { field: "reference", found: text.len(), min: wanted, max: wanted }.at(at));
            }
            reference = if text.is_empty() { 0 } else { digits(text, at)? };
            at += text.len() + 1;
        }
        let serial = Serial::parse(scheme, prefix, Unescaped(body.as_bytes())).map_err(|error| {
            let mut before = Unescaped(body.as_bytes());
            before.by_ref().take(error.position).for_each(drop);
            error.reason.at(at + body.len() - before.0.len())
        })?;
        if let Some(index) = misplaced(body.as_bytes()) {
            return Err(Reason::Character(body.as_bytes()[index]).at(at + index));
        }
        Ok(Self { scheme, filter, prefix, reference, serial })
    }
}

/// `text` up to the separator, and what follows it.
fn part(text: &str, separator: char, at: usize) -> Result<(&str, &str), EpcError> {
    text.split_once(separator).ok_or_else(|| {
        Reason::Expected(if separator == ':' { "a colon and more" } else { "a full stop and more" }).at(at + text.len())
    })
}

/// The number that the digits of `text` spell, which stands at octet `at`.
pub(super) fn digits(text: &str, at: usize) -> Result<u64, EpcError> {
    if let Some((index, octet)) = text.bytes().enumerate().find(|(_, octet)| !octet.is_ascii_digit()) {
        return Err(Reason::Character(octet).at(at + index));
    }
    number(text.as_bytes()).ok_or(Reason::Length { field: "number", found: text.len(), min: 1, max: 19 }.at(at))
}

/// Where a character stands that had to be escaped and isn't.
fn misplaced(component: &[u8]) -> Option<usize> {
    let is_escape = |index: usize| percent_escape(&component[index..]).is_some();
    component.iter().enumerate().find(|&(index, &octet)| !is_plain(octet) && !is_escape(index)).map(|(index, _)| index)
}

/// The characters of a URI's component, escapes resolved.
struct Unescaped<'a>(&'a [u8]);

impl Iterator for Unescaped<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        if let Some(octet) = percent_escape(self.0) {
            self.0 = &rest[2..];
            return Some(octet);
        }
        self.0 = rest;
        Some(first)
    }
}

/// Whether a character of a serial stands for itself in a URI (TDS annex A).
fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!'()*+,-.:;=_".contains(&octet)
}

impl Identity {
    /// Writes `prefix.reference.serial`.
    fn write_body(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.prefix)?;
        if self.scheme.row().key_digits > 0 {
            f.write_char('.')?;
            let digits = usize::from(self.scheme.reference_digits(self.prefix.len));
            if digits > 0 {
                write!(f, "{:0digits$}", self.reference)?;
            }
        }
        match &self.serial {
            Serial::None => Ok(()),
            Serial::Number(number) => write!(f, ".{number}"),
            Serial::Text(text) => {
                f.write_char('.')?;
                let mut escaped = Escaped { to: f, plain: is_plain };
                characters(text).try_for_each(|c| escaped.write_char(c.into()))
            }
        }
    }
}

impl fmt::Display for TagUri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{TAG}{}:{}.", self.0.scheme.name(), self.0.filter)?;
        self.0.write_body(f)
    }
}

impl fmt::Display for PureUri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PURE}{}:", self.0.scheme.row().pure)?;
        self.0.write_body(f)
    }
}
