//! Tag URIs `urn:epc:tag:sgtin-96:3.0614141.112345.400` and pure identity URIs `urn:epc:id:sgtin:0614141.112345.400`
//! (TDS §6, §12).

use super::bits::Bits;
use super::field::{Field, is_plain};
use super::text::DigitalLink;
use super::{EpcError, Identity, Reason, Scheme, fill};
use crate::digits::{Escaped, check_digit, number};
use crate::element::{Elements, VALUE_MAX};
use core::fmt::{self, Write as _};

const TAG: &str = "urn:epc:tag:";
const PURE: &str = "urn:epc:id:";

/// Prints the tag URI: everything the tag says. The '+' schemes have none; there it is the Digital Link URI.
pub struct TagUri<'a>(pub &'a Identity);

/// Prints the pure identity URI: the thing alone, whatever the tag's scheme and filter. The '+' schemes have none; there
/// it is the Digital Link URI.
pub struct PureUri<'a>(pub &'a Identity);

/// The parts of a URI behind the filter.
pub(super) type Body = heapless::String<160>;

impl Scheme {
    /// Whether there are tag URIs and pure identity URIs of it.
    pub const fn has_uri(self) -> bool {
        !self.row().pure.is_empty()
    }
}

impl Identity {
    /// Reads a tag URI.
    ///
    /// # Errors
    /// The text breaks the grammar, or a number its range in the scheme.
    pub fn parse_tag_uri(uri: &str) -> Result<Self, EpcError> {
        let rest = uri.strip_prefix(TAG).ok_or(Reason::Expected("urn:epc:tag:").at(0))?;
        let (name, body) = part(rest, ':', TAG.len())?;
        let is_named = |scheme: &&Scheme| scheme.has_uri() && scheme.name() == name;
        let &scheme = Scheme::ALL.iter().find(is_named).ok_or(Reason::UnknownScheme.at(TAG.len()))?;
        let at = TAG.len() + name.len() + 1;
        if scheme.filter_max().is_none() {
            return Self::of_body(scheme, 0, body, at);
        }
        let (text, body) = part(body, '.', at)?;
        let fits = !text.is_empty() && text.len() < 3 && (text == "0" || !text.starts_with('0'));
        let filter = number(text.as_bytes()).filter(|_| fits);
        let filter = filter.ok_or(Reason::Expected("a filter value").at(at))?;
        Self::of_body(scheme, filter, body, at + text.len() + 1).map_err(|error| match error.reason {
            Reason::Range { field: "filter", .. } => EpcError { position: at, ..error },
            _ => error,
        })
    }

    /// Reads a pure identity URI; its EPC gets `filter` and the shortest scheme that can hold it.
    ///
    /// # Errors
    /// As for [`Identity::parse_tag_uri`], or `filter` is too great for the scheme.
    pub fn parse_pure_uri(uri: &str, filter: u8) -> Result<Self, EpcError> {
        let rest = uri.strip_prefix(PURE).ok_or(Reason::Expected("urn:epc:id:").at(0))?;
        let (name, body) = part(rest, ':', PURE.len())?;
        let mut result = Err(Reason::UnknownScheme.at(PURE.len()));
        for &scheme in Scheme::ALL.iter().filter(|scheme| scheme.has_uri() && scheme.row().pure == name) {
            result = Self::of_body(scheme, filter.into(), body, PURE.len() + name.len() + 1);
            if result.is_ok() {
                break;
            }
        }
        result
    }
}

/// `text` up to the separator, and what follows it.
fn part(text: &str, separator: char, at: usize) -> Result<(&str, &str), EpcError> {
    text.split_once(separator).ok_or_else(|| {
        Reason::Expected(if separator == ':' { "a colon and more" } else { "a full stop and more" }).at(at + text.len())
    })
}

/// The parts of the URI that the elements name, with a company prefix of `prefix_len` digits.
pub(super) fn body(scheme: Scheme, elements: &Elements<'_>, prefix_len: u8) -> Result<Body, EpcError> {
    if !matches!(prefix_len, 6..=12) {
        return Err(Reason::PrefixLength(prefix_len.into()).at(0));
    }
    let (_, fields) = scheme.fields().unwrap_or_default();
    // How many characters a letter of a template takes; `None` is all that are left.
    let takes = |letter: u8, index: usize| {
        let digits = match fields.get(index + 1) {
            Some(Field::Prefix) => Some(prefix_len),
            Some(Field::Reference(_, digits)) => Some(digits - prefix_len),
            Some(Field::Fixed(_, digits)) => Some(*digits),
            _ => None,
        };
        match letter {
            b'f' | b'x' | b'z' => Some(1),
            b'r' => digits.map(|digits| usize::from(digits) - 1),
            _ => digits.map(usize::from),
        }
    };
    let mut body = Body::new();
    let mut parts = [const { Body::new() }; 5];
    for &(ai, template) in scheme.row().keys {
        let mut octets = [0; VALUE_MAX];
        let value = match elements.value(ai) {
            Some(value) => fill(value, &mut octets),
            None if ai == "254" => b"0",
            None => return Err(Reason::Missing(ai).at(0)),
        };
        let mut rest = value;
        for letter in template.bytes() {
            let index = match letter {
                b'p' => 0,
                b'b' => 2,
                b'd' => 3,
                b'e' => 4,
                _ => 1,
            };
            let len = takes(letter, index).unwrap_or(rest.len());
            let short =
                Reason::Length { field: "value", found: value.len(), min: value.len() - rest.len() + len, max: 90 };
            let (own, after) = rest.split_at_checked(len).ok_or(short.at(0))?;
            match letter {
                b'z' => {}
                b'x' => {
                    let key = number(&value[..value.len() - rest.len()]).unwrap_or_default();
                    let (found, wanted) = (own[0].wrapping_sub(b'0'), check_digit(key));
                    if found != wanted {
                        return Err(Reason::CheckDigit { found, wanted }.at(0));
                    }
                }
                // 160 characters are more than any value has escaped: text has at most 30.
                _ => own.iter().try_for_each(|&c| escape(&mut parts[index], c)).map_err(|_| short.at(0))?,
            }
            rest = after;
        }
        if !rest.is_empty() {
            let (found, max) = (value.len(), value.len() - rest.len());
            return Err(Reason::Length { field: "value", found, min: max, max }.at(0));
        }
    }
    for (index, part) in parts.iter().take(fields.len() - 1).enumerate() {
        let too_long = Reason::TooLong { bits: 0 }.at(0);
        if index > 0 {
            body.push('.').map_err(|_| too_long)?;
        }
        body.push_str(part).map_err(|_| too_long)?;
    }
    Ok(body)
}

fn escape(to: &mut Body, c: u8) -> fmt::Result {
    if is_plain(c) { to.write_char(c.into()) } else { write!(to, "%{c:02X}") }
}

impl Identity {
    /// Writes the parts; the filter if `all`.
    fn write_parts(&self, f: &mut fmt::Formatter<'_>, all: bool) -> fmt::Result {
        let bits = Bits::new(self.epc.octets());
        let mut first = true;
        for (field, part) in self.walk().map_while(Result::ok) {
            if matches!(field, Field::Filter(_)) && !all {
                continue;
            }
            if !core::mem::take(&mut first) {
                f.write_char('.')?;
            }
            part.write(&bits, &mut Escaped { to: f, plain: is_plain })?;
        }
        Ok(())
    }
}

impl fmt::Display for TagUri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(identity) = self;
        if !identity.scheme.has_uri() {
            return DigitalLink(identity).fmt(f);
        }
        write!(f, "{TAG}{}:", identity.scheme.name())?;
        identity.write_parts(f, true)
    }
}

impl fmt::Display for PureUri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(identity) = self;
        if !identity.scheme.has_uri() {
            return DigitalLink(identity).fmt(f);
        }
        write!(f, "{PURE}{}:", identity.scheme.row().pure)?;
        identity.write_parts(f, false)
    }
}
