//! The schemes whose bits are fields in the order of their URI: one walk reads them, one writes them.

use super::bits::{Bits, Writer};
use super::{CompanyPrefix, EpcError, Reason, Scheme};
use crate::digits::{is_text, number, percent_escape, power_of_ten};
use core::fmt;

/// One field; its length is in bits.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field {
    /// Filter value, in the tag URI alone.
    Filter(usize),
    /// Partition and GS1 company prefix.
    Prefix,
    /// So many bits and digits together with the company prefix; zeros count.
    Reference(usize, u8),
    /// Likewise, a whole number without leading zeros.
    Rest(usize, u8),
    /// A whole number of at most so many digits.
    Number(usize, u8),
    /// A whole number in all bits that are left.
    Tail,
    /// So many digits.
    Fixed(usize, u8),
    /// 1 to so many digits that may begin with zeros, coded as a number with a 1 in front (TDS §14.3, numeric string).
    Digits(usize, u8),
    /// 1 to so many characters of 7 bits, then zeros (TDS §14.3, string); without reference, the prefix counts too.
    Text(usize),
    /// Characters of 6 bits and a zero: least, most (where a company prefix came, less its digits), which.
    Chars(usize, usize, fn(usize, u8) -> bool),
    /// Supplier's code of 5 or 6 characters of so many bits; a space goes before five.
    Cage(usize),
}

/// Bits of the company prefix for partitions 0 to 6, whose prefixes have 12 to 6 digits: the same in every scheme.
const PREFIX_BITS: [usize; 7] = [40, 37, 34, 30, 27, 24, 20];

const PREFIX: &str = "company prefix";

/// Whether a character may be in a component's reference (AI 8010).
pub(super) fn is_component(_: usize, c: u8) -> bool {
    c.is_ascii_uppercase() || c.is_ascii_digit() || b"#-/".contains(&c)
}

pub(super) fn is_adi_part(_: usize, c: u8) -> bool {
    c.is_ascii_uppercase() || c.is_ascii_digit() || b"-/".contains(&c)
}

/// A `#` in front says that the serial is the owner's own.
pub(super) fn is_adi_serial(index: usize, c: u8) -> bool {
    is_adi_part(index, c) || index == 0 && c == b'#'
}

fn is_cage(_: usize, c: u8) -> bool {
    c.is_ascii_digit() || c.is_ascii_uppercase() && !b"IO".contains(&c)
}

fn is_any_text(_: usize, c: u8) -> bool {
    is_text(c)
}

/// What a field says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// A number; in so many digits if that is fixed.
    Number { value: u64, digits: Option<u8> },
    /// `len` characters of `bits` bits from bit `at`.
    Text { at: usize, len: usize, bits: usize },
}

impl Part {
    /// Writes it as it stands in an element string.
    pub(super) fn write(self, bits: &Bits<'_>, to: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Self::Number { digits: Some(0), .. } => Ok(()),
            Self::Number { value, digits: Some(digits) } => write!(to, "{value:0width$}", width = digits.into()),
            Self::Number { value, digits: None } => write!(to, "{value}"),
            Self::Text { at, len, bits: each } => {
                (0..len).try_for_each(|index| to.write_char(character(bits, at + index * each, each).into()))
            }
        }
    }

    /// A part of digits as its number and how many digits that are.
    pub(super) const fn number(self) -> (u64, u8) {
        match self {
            Self::Number { value, digits: Some(digits) } => (value, digits),
            _ => (0, 0),
        }
    }
}

/// The character that the `len` bits at `at` stand for; 0 if they are zero.
fn character(bits: &Bits<'_>, at: usize, len: usize) -> u8 {
    match (bits.field(at, len) as u8, len) {
        (code @ 1..32, 6) => code + 64,
        (code, _) => code,
    }
}

/// Walks over the fields of an EPC; after an error it ends.
pub(super) struct Walk<'a> {
    pub(super) bits: Bits<'a>,
    fields: core::slice::Iter<'static, Field>,
    /// Bits of the whole scheme, if they are fixed.
    length: Option<usize>,
    /// Where the next field begins.
    pub(super) at: usize,
    prefix: Option<CompanyPrefix>,
}

impl<'a> Walk<'a> {
    /// A walk over the fields behind the header; over none, if the scheme has values coded by their AIs.
    pub(super) fn new(scheme: Scheme, octets: &'a [u8]) -> Self {
        let (length, fields) = scheme.fields().unwrap_or_default();
        Self { bits: Bits::new(octets), fields: fields.iter(), length, at: 8, prefix: None }
    }

    /// The company prefix, once it has been passed.
    pub(super) const fn prefix(&self) -> Option<CompanyPrefix> {
        self.prefix
    }

    /// The end of the scheme, once all fields have been passed.
    pub(super) fn end(&self) -> usize {
        self.length.unwrap_or(self.at)
    }

    fn take(&mut self, len: usize) -> Result<u64, EpcError> {
        let (at, needed) = (self.at, self.at + len);
        if needed > self.bits.len() {
            return Err(Reason::Short { bits: self.bits.len(), needed }.at(self.bits.len()));
        }
        self.at = needed;
        Ok(self.bits.field(at, len))
    }

    fn digits(&mut self, name: &'static str, len: usize, digits: u8) -> Result<u64, EpcError> {
        let at = self.at;
        let found = if len == 0 { 0 } else { self.take(len)? };
        if found < power_of_ten(digits) { Ok(found) } else { Err(Reason::Digits { field: name, found, digits }.at(at)) }
    }

    /// Characters up to a zero or to `max`; the zero is passed.
    fn text(&mut self, bits: usize, min: usize, max: usize, allowed: fn(usize, u8) -> bool) -> Result<Part, EpcError> {
        let (at, mut len) = (self.at, 0);
        while len < max {
            self.take(bits)?;
            match character(&self.bits, at + len * bits, bits) {
                0 => break,
                c if !allowed(len, c) => return Err(Reason::Character(c).at(at + len * bits)),
                _ => len += 1,
            }
        }
        if len < min {
            return Err(Reason::Length { field: "text", found: len, min, max }.at(at));
        }
        Ok(Part::Text { at, len, bits })
    }

    fn read(&mut self, field: Field) -> Result<Part, EpcError> {
        let (prefix_len, prefix_bits) = self.prefix.map_or((0, 0), |prefix| (prefix.len, prefix.bits()));
        let number = |value| Part::Number { value, digits: None };
        match field {
            Field::Filter(bits) => self.take(bits).map(number),
            Field::Prefix => {
                let at = self.at;
                let partition = self.take(3)? as u8;
                let Some(&bits) = PREFIX_BITS.get(usize::from(partition)) else {
                    return Err(Reason::Partition(partition).at(at));
                };
                let len = 12 - partition;
                let value = self.digits(PREFIX, bits, len)?;
                self.prefix = CompanyPrefix::new(value, len);
                Ok(Part::Number { value, digits: Some(len) })
            }
            Field::Reference(bits, digits) => {
                let digits = digits - prefix_len;
                let value = self.digits("reference", bits - prefix_bits, digits)?;
                Ok(Part::Number { value, digits: Some(digits) })
            }
            Field::Rest(bits, digits) => self.digits("reference", bits - prefix_bits, digits - prefix_len).map(number),
            Field::Number(bits, digits) => self.digits("number", bits, digits).map(number),
            Field::Tail => self.take(self.length.unwrap_or(self.at) - self.at).map(number),
            Field::Fixed(bits, digits) => {
                let value = self.digits("number", bits, digits)?;
                Ok(Part::Number { value, digits: Some(digits) })
            }
            Field::Digits(bits, max) => {
                let at = self.at;
                let coded = self.take(bits)?;
                // The leading 1 is not a digit of the serial.
                let digits = coded.checked_ilog10().unwrap_or(0) as u8;
                if digits == 0 || digits > max || coded / power_of_ten(digits) != 1 {
                    return Err(Reason::Expected("a 1 and the digits of the serial").at(at));
                }
                Ok(Part::Number { value: coded - power_of_ten(digits), digits: Some(digits) })
            }
            Field::Text(max) => self.text(7, 1, own_max(max, prefix_len), is_any_text),
            Field::Chars(min, max, allowed) => {
                let part = self.text(6, min, max - usize::from(prefix_len), allowed)?;
                // The longest is ended by a zero too.
                if let Part::Text { len, at, .. } = part
                    && self.at == at + len * 6
                    && self.take(6)? != 0
                {
                    return Err(Reason::Expected("six zero bits at the text's end").at(self.at - 6));
                }
                Ok(part)
            }
            Field::Cage(bits) => {
                let space = self.bits.field(self.at, bits) == u64::from(b' ');
                if space {
                    self.take(bits)?;
                }
                let len = if space { 5 } else { 6 };
                self.text(bits, len, len, is_cage)
            }
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<(Field, Part), EpcError>;

    fn next(&mut self) -> Option<Self::Item> {
        let &field = self.fields.next()?;
        let part = self.read(field);
        if part.is_err() {
            self.fields = [].iter();
        }
        Some(part.map(|part| (field, part)))
    }
}

/// Most characters of a text: a GIAI's 30 include the company prefix.
fn own_max(max: usize, prefix_len: u8) -> usize {
    if max == 30 { max - usize::from(prefix_len) } else { max }
}

impl CompanyPrefix {
    const fn bits(self) -> usize {
        PREFIX_BITS[12 - self.len as usize]
    }
}

/// Writes the EPC of `body`, the parts of a URI behind the filter, which begins at octet `at` of the URI.
pub(super) fn write(scheme: Scheme, filter: u64, body: &str, at: usize, writer: &mut Writer) -> Result<(), EpcError> {
    let (length, fields) = scheme.fields().unwrap_or_default();
    writer.put(8, scheme.row().header.into());
    let parts = fields.iter().filter(|field| !matches!(field, Field::Filter(_))).count();
    let mut texts = body.splitn(parts, '.');
    let (mut at, mut prefix) = (at, None);
    for &field in fields {
        if let Field::Filter(bits) = field {
            writer.put(bits, filter);
            continue;
        }
        let text = texts.next().ok_or(Reason::Expected("a full stop and more").at(at.saturating_sub(1)))?;
        let length = length.unwrap_or(writer.at());
        put(field, text, length, &mut prefix, writer)
            .map_err(|error| EpcError { position: at + error.position, ..error })?;
        at += text.len() + 1;
    }
    writer.skip_to(length.unwrap_or(writer.at()));
    Ok(())
}

/// Writes one field; positions in `text`.
fn put(
    field: Field,
    text: &str,
    length: usize,
    prefix: &mut Option<CompanyPrefix>,
    writer: &mut Writer,
) -> Result<(), EpcError> {
    let (prefix_len, prefix_bits) = prefix.map_or((0, 0), |prefix| (prefix.len, prefix.bits()));
    let exactly = |digits: u8| {
        let (found, wanted) = (text.len(), usize::from(digits));
        if found != wanted {
            return Err(Reason::Length { field: "reference", found, min: wanted, max: wanted }.at(0));
        }
        if text.is_empty() { Ok(0) } else { digits_of(text) }
    };
    let whole = |bits: usize, digits: u8| {
        let found = digits_of(text)?;
        if text.len() > 1 && text.starts_with('0') {
            return Err(Reason::LeadingZero.at(0));
        }
        let max = if bits < 64 { (1 << bits) - 1 } else { u64::MAX }.min(power_of_ten(digits) - 1);
        if found > max { Err(Reason::Range { field: "number", found, max }.at(0)) } else { Ok(found) }
    };
    match field {
        Field::Filter(_) => {}
        Field::Prefix => {
            let read: CompanyPrefix = text.parse()?;
            writer.put(3, u64::from(12 - read.len));
            writer.put(read.bits(), read.value);
            *prefix = Some(read);
        }
        Field::Reference(bits, digits) => writer.put(bits - prefix_bits, exactly(digits - prefix_len)?),
        Field::Fixed(bits, digits) => writer.put(bits, exactly(digits)?),
        Field::Rest(bits, digits) => {
            let bits = bits - prefix_bits;
            writer.put(bits, whole(bits, digits - prefix_len)?);
        }
        Field::Number(bits, digits) => writer.put(bits, whole(bits, digits)?),
        Field::Tail => {
            let bits = length - writer.at();
            writer.put(bits, whole(bits, 19)?);
        }
        Field::Digits(bits, max) => {
            if !(1..=usize::from(max)).contains(&text.len()) {
                return Err(Reason::Length { field: "serial", found: text.len(), min: 1, max: max.into() }.at(0));
            }
            writer.put(bits, digits_of(text)? + power_of_ten(text.len() as u8));
        }
        Field::Text(max) => put_text(text, 7, 1, own_max(max, prefix_len), is_any_text, writer)?,
        Field::Chars(min, max, allowed) => {
            put_text(text, 6, min, max - usize::from(prefix_len), allowed, writer)?;
            writer.put(6, 0);
        }
        Field::Cage(bits) => {
            if text.len() == 5 {
                writer.put(bits, b' '.into());
            }
            put_text(text, bits, 5, 6, is_cage, writer)?;
        }
    }
    Ok(())
}

fn put_text(
    text: &str,
    bits: usize,
    min: usize,
    max: usize,
    allowed: fn(usize, u8) -> bool,
    writer: &mut Writer,
) -> Result<(), EpcError> {
    let mut rest = Unescaped(text.as_bytes());
    let mut found = 0;
    loop {
        let at = text.len() - rest.0.len();
        let escaped = percent_escape(rest.0).is_some();
        let Some(c) = rest.next() else { break };
        if !allowed(found, c) || !escaped && !is_plain(c) {
            return Err(Reason::Character(c).at(at));
        }
        if found < max {
            writer.put(bits, c.into());
        }
        found += 1;
    }
    if (min..=max).contains(&found) { Ok(()) } else { Err(Reason::Length { field: "text", found, min, max }.at(0)) }
}

/// The number that the digits of `text` spell.
pub(super) fn digits_of(text: &str) -> Result<u64, EpcError> {
    if let Some((index, octet)) = text.bytes().enumerate().find(|(_, octet)| !octet.is_ascii_digit()) {
        return Err(Reason::Character(octet).at(index));
    }
    number(text.as_bytes()).ok_or(Reason::Length { field: "number", found: text.len(), min: 1, max: 19 }.at(0))
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
pub(super) fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!'()*+,-.:;=_".contains(&octet)
}
