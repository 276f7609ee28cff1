//! EPC Tag Data Standard (TDS 1.13, 2.3): what the bits of a tag mean, and its names in text.
//!
//! An [`Identity`] is decoded from an [`Epc`] only where its meaning is needed; whoever only tells tags apart compares
//! the bits. Everything prints through adaptors: [`TagUri`], [`PureUri`], [`ElementString`], [`DigitalLink`].
//!
//! ```
//! # use stowage_gs1::epc::*;
//! let tag = sgtin96(9_506_000_134_352, 11, 123_456_789, 3)?;
//! assert_eq!(tag.to_string(), "3066C4409047E140075BCD15");
//! let identity = Identity::decode(&tag)?;
//! assert_eq!(identity.gtin(), Some(9_506_000_134_352));
//! assert_eq!(TagUri(&identity).to_string(), "urn:epc:tag:sgtin-96:3.95060001343.05.123456789");
//! assert_eq!(DigitalLink(&identity).to_string(), "https://id.gs1.org/01/09506000134352/21/123456789");
//! # Ok::<(), EpcError>(())
//! ```

mod bits;
mod coded;
mod error;
mod field;
mod host;
mod scheme;
mod text;
mod uri;

pub use error::{EpcError, Reason};
pub use scheme::Scheme;
pub use text::{AiValue, Ais, DigitalLink, ElementString};
pub use uri::{PureUri, TagUri};

use crate::digits::{check_digit, power_of_ten};
use crate::element::{Elements, VALUE_MAX, Value, table};
use bits::{Bits, Writer};
use coded::codings;
use core::fmt::{self, Write as _};
use field::{Field, Part, Walk};
use scheme::Layout;
use stowage_base::{Code, Epc};
use text::DATES;

// Where the filter, and the values of a coded scheme, begin.
const FILTER_AT: usize = 8;
const VALUES_AT: usize = 12;

/// What an EPC says: a GS1 key, mostly with a serial, and a filter value. Always valid in its scheme.
///
/// It is the bits themselves, checked; what they mean is read from them where it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    scheme: Scheme,
    /// Without padding.
    bits: u16,
    /// Filled up to whole words.
    epc: Epc,
}

/// The number that GS1 gave to a company: 6 to 12 digits, leading zeros counted. Prints, and is parsed, as digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompanyPrefix {
    value: u64,
    len: u8,
}

impl CompanyPrefix {
    /// The prefix `value` of `len` digits, `None` if `len` isn't 6 to 12 or `value` has more digits.
    pub const fn new(value: u64, len: u8) -> Option<Self> {
        if matches!(len, 6..=12) && value < power_of_ten(len) { Some(Self { value, len }) } else { None }
    }

    /// The digits as a number.
    pub const fn value(self) -> u64 {
        self.value
    }

    /// How many digits, 6 to 12.
    pub const fn digits(self) -> u8 {
        self.len
    }
}

impl fmt::Display for CompanyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$}", self.value, width = self.len.into())
    }
}

impl core::str::FromStr for CompanyPrefix {
    type Err = EpcError;

    fn from_str(text: &str) -> Result<Self, EpcError> {
        field::digits_of(text).and_then(|value| {
            let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
            Self::new(value, len).ok_or(Reason::PrefixLength(text.len()).at(0))
        })
    }
}

impl Identity {
    /// Decodes the bits of a tag.
    ///
    /// # Errors
    /// The bits break a rule of TDS §14; the position is a bit. Zeros after the scheme's last bit are padding.
    pub fn decode(epc: &Epc) -> Result<Self, EpcError> {
        let octets = epc.octets();
        let have = octets.len() * 8;
        let &header = octets.first().ok_or(Reason::Short { bits: 0, needed: 8 }.at(0))?;
        let scheme = Scheme::of_header(header).ok_or(match header {
            0x00 => Reason::Unprogrammed.at(0),
            0xE2 => Reason::TagIdentifier.at(0),
            _ => Reason::Header(header).at(0),
        })?;
        let end = match scheme.fields() {
            Some((Some(needed), _)) if have < needed => return Err(Reason::Short { bits: have, needed }.at(have)),
            Some(_) => {
                let mut walk = Walk::new(scheme, octets);
                let after = walk.by_ref().try_fold(8, |_, part| part.map(|_| 0)).map(|_| walk.at)?;
                if let Some(set) = walk.bits.first_set(after) {
                    return Err(Reason::NotZero.at(set));
                }
                walk.end()
            }
            None => {
                let mut ais = Ais::new(scheme, octets);
                while let Some(item) = ais.step() {
                    item?;
                }
                if let Some(set) = Bits::new(octets).first_set(ais.at()) {
                    return Err(Reason::NotZero.at(set));
                }
                ais.at()
            }
        };
        let words = end.div_ceil(16) * 2;
        if let Some(epc) = octets.get(..words).and_then(Epc::new) {
            return Ok(Self { scheme, bits: end as u16, epc });
        }
        // The last word isn't full.
        let mut writer = Writer::new();
        octets.iter().for_each(|octet| writer.put(8, u64::from(*octet)));
        writer.skip_to(end);
        Self::written(scheme, end, &writer)
    }

    /// The identity whose `bits` bits have been written and are known to be right.
    fn written(scheme: Scheme, bits: usize, writer: &Writer) -> Result<Self, EpcError> {
        let epc = writer.words().and_then(Epc::new).ok_or(Reason::TooLong { bits }.at(bits))?;
        Ok(Self { scheme, bits: bits as u16, epc })
    }

    /// The identity that scanned elements name, in the shortest scheme with a company prefix that can hold it. A
    /// barcode doesn't tell where the company prefix ends, nor the filter.
    ///
    /// # Errors
    /// The elements hold no key of a scheme, or it doesn't fit; the position is an octet of the URI to be.
    pub fn from_elements(elements: &Elements<'_>, prefix_len: u8, filter: u8) -> Result<Self, EpcError> {
        let mut refusal = Reason::Expected("a key: AI 00, 01 with 21, 253, 255, 414, 8003, 8004, …").at(0);
        for &scheme in Scheme::ALL.iter().filter(|scheme| scheme.is_partitioned()) {
            // An extension may be missing, and no other part.
            if !scheme.ais().all(|ai| ai == "254" || elements.value(ai).is_some()) {
                continue;
            }
            match Self::in_scheme(scheme, elements, prefix_len, filter, None) {
                Ok(identity) => return Ok(identity),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    /// The identity that elements name, in the scheme that the caller wants. A '+' scheme takes further elements as
    /// AIDC data; the others leave them out, and need to know how many digits the company prefix has. A '++' scheme
    /// needs a `host`.
    ///
    /// # Errors
    /// An element that the scheme needs is missing or doesn't fit, or the EPC would be longer than 496 bits.
    pub fn in_scheme(
        scheme: Scheme,
        elements: &Elements<'_>,
        prefix_len: u8,
        filter: u8,
        host: Option<&str>,
    ) -> Result<Self, EpcError> {
        let Layout::Coded { dated, host: hosted } = scheme.row().layout else {
            let body = uri::body(scheme, elements, prefix_len)?;
            return Self::of_body(scheme, filter.into(), &body, 0);
        };
        if filter > 7 {
            return Err(Reason::Range { field: "filter", found: filter.into(), max: 7 }.at(FILTER_AT));
        }
        let date = elements.iter().find_map(|element| {
            let kind = DATES.iter().position(|ai| dated && *ai == element.ai.as_str())?;
            Some((kind, element))
        });
        let is_more = |element: &crate::element::Element<'_>| {
            !scheme.ais().any(|ai| ai == element.ai.as_str()) && date.is_none_or(|(_, date)| date.ai != element.ai)
        };
        let mut writer = Writer::new();
        writer.put(8, scheme.row().header.into());
        writer.put(1, u64::from(elements.iter().any(|element| is_more(&element))));
        writer.put(3, filter.into());
        if dated {
            let (kind, date) =
                date.ok_or(Reason::Expected("a date: AI 11, 13, 15, 16, 17, 7006 or 7007").at(VALUES_AT))?;
            writer.put(4, kind as u64);
            let mut digits = [0; VALUE_MAX];
            let value = fill(date.value, &mut digits);
            if !writer.code(coded::Coding::Date, value).map_err(|reason| reason.at(VALUES_AT))?.is_empty() {
                return Err(Reason::Expected("one date").at(VALUES_AT));
            }
        }
        for ai in scheme.ais() {
            let mut octets = [0; VALUE_MAX];
            let value = match elements.value(ai) {
                Some(value) => fill(value, &mut octets),
                None if ai == "254" => b"0",
                None => return Err(Reason::Missing(ai).at(writer.at())),
            };
            put_value(&mut writer, ai, value)?;
        }
        if hosted {
            let at = writer.at();
            let host = host.ok_or(Reason::Expected("a host name").at(at))?;
            writer.host(host).map_err(|reason| reason.at(at))?;
        }
        for element in elements.iter().filter(is_more) {
            let (ai, mut octets) = (element.ai, [0; VALUE_MAX]);
            ai.as_str().bytes().for_each(|digit| writer.put(4, u64::from(digit & 15)));
            put_value(&mut writer, ai.as_str(), fill(element.value, &mut octets))?;
        }
        Self::written(scheme, writer.at(), &writer)
    }

    /// The identity of the parts of a URI behind the filter, which begin at octet `at`.
    fn of_body(scheme: Scheme, filter: u64, body: &str, at: usize) -> Result<Self, EpcError> {
        let mut writer = Writer::new();
        if let Some(max) = scheme.filter_max()
            && filter > max
        {
            return Err(Reason::Range { field: "filter", found: filter, max }.at(0));
        }
        field::write(scheme, filter, body, at, &mut writer)?;
        Self::written(scheme, writer.at(), &writer)
    }

    /// The bits, padded with zeros to whole words of 16 bits.
    pub const fn encode(&self) -> Epc {
        self.epc
    }

    /// How many bits, without the padding.
    pub const fn bits(&self) -> usize {
        self.bits as usize
    }

    /// How the EPC is coded.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The filter value, 0 to 7 (aerospace 63, defence 15): what kind of package bears the tag, by a table of each
    /// scheme (TDS §10). `None` for the general identifier.
    pub fn filter(&self) -> Option<u8> {
        let max = self.scheme.filter_max()?;
        let at = if self.scheme.fields().is_some() { FILTER_AT } else { FILTER_AT + 1 };
        Some(Bits::new(self.epc.octets()).field(at, (max + 1).ilog2() as usize) as u8)
    }

    /// Who gave the key; `None` if the scheme doesn't say where the company prefix ends.
    pub fn company_prefix(&self) -> Option<CompanyPrefix> {
        let mut walk = self.walk();
        walk.find(|part| matches!(part, Ok((Field::Prefix, _))))?.ok()?;
        walk.prefix()
    }

    /// Whether the key was given by the company with this prefix, as far as the digits tell.
    pub fn is_of_company(&self, prefix: &str) -> bool {
        if self.scheme.is_partitioned() {
            let mut own = Code::new();
            return self.company_prefix().is_some_and(|p| write!(own, "{p}").is_ok() && own.starts_with(prefix));
        }
        // Before the prefix stands an indicator, an extension digit, or a GRAI's zero.
        let (mut skip, mut wanted) = (0, prefix.bytes());
        let Some((ai, value)) = self.ais().next() else { return prefix.is_empty() };
        if matches!(ai.as_str(), "00" | "01" | "8003" | "8006") {
            skip = 1;
        }
        let mut fits = true;
        value.each(&mut |c| match skip {
            0 => fits &= wanted.next().is_none_or(|digit| digit == c),
            _ => skip -= 1,
        });
        fits && wanted.next().is_none()
    }

    fn walk(&self) -> Walk<'_> {
        Walk::new(self.scheme, self.epc.octets())
    }

    /// The key with its check digit as a number: GTIN-14, SSCC, GLN, …; `None` for keys of text and outside GS1.
    pub fn key(&self) -> Option<u64> {
        let &(ai, template) = self.scheme.row().keys.first()?;
        if template.is_empty() {
            let digits = key_digits(ai)?;
            let (mut sum, mut count) = (0u64, 0);
            self.ais().next()?.1.each(&mut |c| {
                if count < digits {
                    sum = sum * 10 + u64::from(c & 15);
                }
                count += 1;
            });
            return Some(sum);
        }
        let (body, _) = template.split_once('x')?;
        let (mut parts, mut sum) = ([(0, 0); 2], 0);
        let walk = self.walk().map_while(Result::ok).filter(|(field, _)| !matches!(field, Field::Filter(_)));
        for (place, (_, part)) in parts.iter_mut().zip(walk) {
            *place = part.number();
        }
        for letter in body.bytes() {
            let (value, digits) = text::digits(letter, &parts);
            sum = sum * power_of_ten(digits) + value;
        }
        Some(sum * 10 + u64::from(check_digit(sum)))
    }

    /// The GTIN-14 of a trade item's tag, else `None`.
    pub fn gtin(&self) -> Option<u64> {
        (self.scheme.ais().next() == Some("01")).then(|| self.key()).flatten()
    }

    /// The SSCC of a handling unit's tag, else `None`.
    pub fn sscc(&self) -> Option<u64> {
        (self.scheme.ais().next() == Some("00")).then(|| self.key()).flatten()
    }

    /// The GLN and extension of a location's tag, else `None`. No extension is the text `0`.
    pub fn location(&self) -> Option<(u64, Code)> {
        if self.scheme.ais().next() == Some("414") { self.key().zip(self.serial()) } else { None }
    }

    /// The serial as text: a serial number, a location's extension, an individual asset's reference.
    pub fn serial(&self) -> Option<Code> {
        let mut code = Code::new();
        if self.scheme.fields().is_some() {
            let (field, part) = self.walk().map_while(Result::ok).last()?;
            if matches!(field, Field::Reference(..)) {
                return None;
            }
            part.write(&Bits::new(self.epc.octets()), &mut code).ok()?;
            return Some(code);
        }
        let mut ais = self.ais();
        let (key, own) = ais.next()?;
        if self.scheme.ais().count() > 1 {
            write!(code, "{}", ais.next()?.1).ok()?;
            return Some(code);
        }
        let mut skip = key_digits(key.as_str()).unwrap_or(0);
        own.each(&mut |c| match skip {
            0 => drop(code.push(c.into())),
            _ => skip -= 1,
        });
        (!code.is_empty()).then_some(code)
    }

    /// The serial of a scheme that codes it as a number, else `None`.
    pub fn serial_number(&self) -> Option<u64> {
        match self.walk().map_while(Result::ok).last()? {
            (Field::Tail | Field::Number(..), Part::Number { value, .. }) => Some(value),
            _ => None,
        }
    }
}

impl Scheme {
    /// The greatest filter value; `None` if the scheme has none.
    pub fn filter_max(self) -> Option<u64> {
        match self.fields() {
            None => Some(7),
            Some((_, [Field::Filter(bits), ..])) => Some((1 << bits) - 1),
            Some(_) => None,
        }
    }
}

/// Digits of the key at the front of a value, with its check digit; `None` if it is text.
fn key_digits(ai: &str) -> Option<usize> {
    let mut digits = 0;
    for component in crate::element::format::components(table::exactly(ai)?.format) {
        digits += component.max;
        if component.checks.contains("csum") {
            return Some(digits);
        }
    }
    None
}

/// The octets of a value.
fn fill<'a>(value: Value<'_>, octets: &'a mut [u8; VALUE_MAX]) -> &'a [u8] {
    let mut len = 0;
    for (place, octet) in octets.iter_mut().zip(value.octets()) {
        *place = octet;
        len += 1;
    }
    &octets[..len]
}

/// Writes the value of an AI as table F wants it.
fn put_value(writer: &mut Writer, ai: &str, value: &[u8]) -> Result<(), EpcError> {
    let at = writer.at();
    let row = table::exactly(ai).ok_or(Reason::Missing("a known application identifier").at(at))?;
    let mut rest = value;
    for coding in codings(ai, row.format).into_iter().flatten() {
        rest = writer.code(coding, rest).map_err(|reason| reason.at(at))?;
    }
    if rest.is_empty() { Ok(()) } else { Err(Reason::Expected("fewer characters").at(at)) }
}

/// The GTIN-14 that a tag's trade item has; `None` if the tag is no valid SGTIN.
pub fn gtin(epc: &Epc) -> Option<u64> {
    Identity::decode(epc).ok()?.gtin()
}

/// The tag for serial `serial` of a trade item.
///
/// # Errors
/// A GTIN with a wrong check digit or over 14 digits, a company prefix of other than 6 to 12 digits, a serial of 2³⁸ or
/// more, a filter above 7; the position is an octet of the URI to be.
pub fn sgtin96(gtin: u64, prefix_len: u8, serial: u64, filter: u8) -> Result<Epc, EpcError> {
    of_key(Scheme::Sgtin96, gtin, 13, prefix_len, Some(serial), filter)
}

/// The tag of a handling unit.
///
/// # Errors
/// As for [`sgtin96`], with the 18 digits of an SSCC.
pub fn sscc96(sscc: u64, prefix_len: u8, filter: u8) -> Result<Epc, EpcError> {
    of_key(Scheme::Sscc96, sscc, 17, prefix_len, None, filter)
}

/// The tag of a key of `digits` digits before its check digit, the first of which stands before the company prefix.
fn of_key(
    scheme: Scheme,
    key: u64,
    digits: u8,
    prefix_len: u8,
    serial: Option<u64>,
    filter: u8,
) -> Result<Epc, EpcError> {
    if key >= power_of_ten(digits + 1) {
        return Err(Reason::Digits { field: "key", found: key, digits: digits + 1 }.at(0));
    }
    let (body, found) = (key / 10, (key % 10) as u8);
    if found != check_digit(body) {
        return Err(Reason::CheckDigit { found, wanted: check_digit(body) }.at(0));
    }
    if !matches!(prefix_len, 6..=12) {
        return Err(Reason::PrefixLength(prefix_len.into()).at(0));
    }
    let (first, body) = (body / power_of_ten(digits - 1), body % power_of_ten(digits - 1));
    let rest_len = digits - 1 - prefix_len;
    let rest = power_of_ten(rest_len);
    let mut text = uri::Body::new();
    let (prefix, rest) = (body / rest, body % rest);
    // At most 18 digits of key, 20 of serial, and stops.
    let widths = (usize::from(prefix_len), usize::from(rest_len));
    write!(text, "{prefix:0a$}.{first}", a = widths.0).expect("fits");
    if rest_len > 0 {
        write!(text, "{rest:0b$}", b = widths.1).expect("fits");
    }
    if let Some(serial) = serial {
        write!(text, ".{serial}").expect("fits");
    }
    Identity::of_body(scheme, filter.into(), &text, 0).map(|identity| identity.epc)
}

#[cfg(test)]
mod tests;
