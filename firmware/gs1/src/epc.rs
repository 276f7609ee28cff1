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
mod error;
mod scheme;
mod text;
mod uri;

pub use error::{EpcError, Reason};
pub use scheme::Scheme;
pub use text::{AiValue, DigitalLink, ElementString};
pub use uri::{PureUri, TagUri};

use crate::digits::{check_digit, is_text, number, power_of_ten};
use crate::element::Elements;
use bits::{Word, first_set, put, seven};
use core::fmt::{self, Write};
use scheme::{PREFIX_BITS, SerialKind};
use stowage_base::{Code, Epc};

// Where the fields that every scheme has begin.
const FILTER_AT: usize = 8;
const PARTITION_AT: usize = 11;
const PREFIX_AT: usize = 14;

/// Most characters in a serial.
const SERIAL_MAX: usize = 24;

/// What an EPC says: a GS1 key, mostly with a serial, and a filter value. Always valid in its scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    scheme: Scheme,
    filter: u8,
    prefix: CompanyPrefix,
    /// What stands between company prefix and serial, without check digit; 0 where there is nothing.
    reference: u64,
    serial: Serial,
}

/// The number that GS1 gave to a company: 6 to 12 digits, leading zeros counted. Prints, and is parsed, as digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompanyPrefix {
    value: u64,
    len: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Serial {
    None,
    Number(u64),
    /// The characters, then zeros.
    Text([u8; SERIAL_MAX]),
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

    const fn partition(self) -> usize {
        12 - self.len as usize
    }

    const fn bits(self) -> usize {
        PREFIX_BITS[self.partition()]
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
        uri::digits(text, 0).and_then(|value| {
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
        if have < scheme.bits() {
            return Err(Reason::Short { bits: have, needed: scheme.bits() }.at(have));
        }
        let word = Word::new(octets);
        let partition = word.field(PARTITION_AT, 3) as u8;
        if partition > 6 {
            return Err(Reason::Partition(partition).at(PARTITION_AT));
        }
        let (len, prefix_bits) = (12 - partition, PREFIX_BITS[usize::from(partition)]);
        let value = word.field(PREFIX_AT, prefix_bits);
        let field = "company prefix";
        let prefix =
            CompanyPrefix::new(value, len).ok_or(Reason::Digits { field, found: value, digits: len }.at(PREFIX_AT))?;
        let at = PREFIX_AT + prefix_bits;
        let reference_bits = scheme.reference_bits(prefix_bits);
        let reference = if reference_bits == 0 { 0 } else { word.field(at, reference_bits) };
        check_reference(scheme, prefix, reference).map_err(|reason| reason.at(at))?;
        let serial = Serial::decode(scheme, prefix, octets, &word, at + reference_bits)?;
        Ok(Self { scheme, filter: word.field(FILTER_AT, 3) as u8, prefix, reference, serial })
    }

    /// The identity of a key in numbers: with check digit, as GTIN-14, SSCC, GLN, GRAI without its zero, …
    ///
    /// `serial` is as in an element string; empty for the schemes that have none, and `0` for an SGLN without extension.
    /// For the GIAI schemes the key is the company prefix alone.
    ///
    /// # Errors
    /// A number is out of its range in the scheme; the position is the bit where its field begins.
    pub fn from_key(scheme: Scheme, key: u64, prefix_len: u8, serial: &str, filter: u8) -> Result<Self, EpcError> {
        let row = scheme.row();
        let too_long = |digits| Reason::Digits { field: "key", found: key, digits }.at(PREFIX_AT);
        if !matches!(prefix_len, 6..=12) {
            return Err(Reason::PrefixLength(prefix_len.into()).at(PARTITION_AT));
        }
        if row.key_digits == 0 {
            let prefix = CompanyPrefix::new(key, prefix_len).ok_or(too_long(prefix_len))?;
            return Self::checked(scheme, filter, prefix, 0, serial);
        }
        if key >= power_of_ten(row.key_digits + 1) {
            return Err(too_long(row.key_digits + 1));
        }
        let (body, found) = (key / 10, (key % 10) as u8);
        if found != check_digit(body) {
            return Err(Reason::CheckDigit { found, wanted: check_digit(body) }.at(PREFIX_AT));
        }
        let rest_digits = scheme.reference_digits(prefix_len) - u8::from(row.leading);
        let (first, body) = if row.leading {
            let after_first = power_of_ten(row.key_digits - 1);
            (body / after_first, body % after_first)
        } else {
            (0, body)
        };
        let rest = power_of_ten(rest_digits);
        let prefix = CompanyPrefix::new(body / rest, prefix_len).ok_or(too_long(row.key_digits + 1))?;
        Self::checked(scheme, filter, prefix, first * rest + body % rest, serial)
    }

    /// The identity that scanned elements name, in the shortest scheme that can hold it. A barcode doesn't tell where
    /// the company prefix ends, nor the filter.
    ///
    /// # Errors
    /// The elements hold no key of a scheme, or it doesn't fit; positions as in [`Identity::from_key`].
    pub fn from_elements(elements: &Elements<'_>, prefix_len: u8, filter: u8) -> Result<Self, EpcError> {
        let mut refusal = Reason::Expected("a key: AI 00, 01 with 21, 253, 255, 414, 8003, 8004, 8017 or 8018").at(0);
        for &scheme in Scheme::ALL {
            let row = scheme.row();
            let Some(value) = elements.value(row.ai).and_then(|value| value.code()) else { continue };
            let serial = match row.serial_ai {
                Some(ai) => elements.value(ai).and_then(|value| value.code()),
                None => Some(Code::new()),
            };
            let digits = if row.key_digits == 0 { prefix_len } else { row.key_digits + 1 }.into();
            let key = value.strip_prefix(row.before).and_then(|key| key.split_at_checked(digits));
            let Some((key, behind)) = key else { continue };
            let Some(key) = number(key.as_bytes()) else { continue };
            let serial = match &serial {
                Some(serial) if row.serial_ai.is_some() => serial.as_str(),
                Some(_) => behind,
                None if row.ai == "414" => "0",
                None => continue,
            };
            match Self::from_key(scheme, key, prefix_len, serial, filter) {
                Ok(identity) => return Ok(identity),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    /// Checks filter, reference and serial.
    fn checked(
        scheme: Scheme,
        filter: u8,
        prefix: CompanyPrefix,
        reference: u64,
        serial: &str,
    ) -> Result<Self, EpcError> {
        if filter > 7 {
            return Err(Reason::Range { field: "filter", found: filter.into(), max: 7 }.at(FILTER_AT));
        }
        let at = PREFIX_AT + prefix.bits();
        check_reference(scheme, prefix, reference).map_err(|reason| reason.at(at))?;
        let serial_at = at + scheme.reference_bits(prefix.bits());
        let serial =
            Serial::parse(scheme, prefix, serial.bytes()).map_err(|EpcError { reason, .. }| reason.at(serial_at))?;
        Ok(Self { scheme, filter, prefix, reference, serial })
    }

    /// The bits, padded with zeros to whole words of 16 bits.
    pub fn encode(&self) -> Epc {
        const OCTETS_MAX: usize = 26;
        let mut octets = [0; OCTETS_MAX];
        let row = self.scheme.row();
        put(&mut octets, 0, 8, row.header.into());
        put(&mut octets, FILTER_AT, 3, self.filter.into());
        put(&mut octets, PARTITION_AT, 3, self.prefix.partition() as u64);
        put(&mut octets, PREFIX_AT, self.prefix.bits(), self.prefix.value);
        let at = PREFIX_AT + self.prefix.bits();
        let reference_bits = self.scheme.reference_bits(self.prefix.bits());
        put(&mut octets, at, reference_bits, self.reference);
        let at = at + reference_bits;
        match (&self.serial, row.serial) {
            (Serial::None, _) => {}
            (Serial::Number(number), _) => put(&mut octets, at, row.bits - at, *number),
            (Serial::Text(text), SerialKind::Digits(_)) => {
                let number = characters(text).fold(1, |sum, digit| sum * 10 + u64::from(digit - b'0'));
                put(&mut octets, at, row.bits - at, number);
            }
            (Serial::Text(text), _) => {
                characters(text).enumerate().for_each(|(index, c)| put(&mut octets, at + 7 * index, 7, c.into()));
            }
        }
        // Whole words of the longest scheme are 26 octets, and an EPC holds 62.
        Epc::new(&octets[..row.bits.div_ceil(16) * 2]).expect("26 octets fit")
    }

    /// How the EPC is coded.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The filter value, 0 to 7: what kind of package bears the tag, by a table of each scheme (TDS §10).
    pub const fn filter(&self) -> u8 {
        self.filter
    }

    /// Who gave the key.
    pub const fn company_prefix(&self) -> CompanyPrefix {
        self.prefix
    }

    /// The key with its check digit as a number: GTIN-14, SSCC, GLN, …; `None` for the GIAI schemes, whose key is text.
    pub fn key(&self) -> Option<u64> {
        let row = self.scheme.row();
        if row.key_digits == 0 {
            return None;
        }
        let digits = self.scheme.reference_digits(self.prefix.len) - u8::from(row.leading);
        let rest = power_of_ten(digits);
        let (first, reference) =
            if row.leading { (self.reference / rest, self.reference % rest) } else { (0, self.reference) };
        let body = first * power_of_ten(row.key_digits - 1) + self.prefix.value * rest + reference;
        Some(body * 10 + u64::from(check_digit(body)))
    }

    /// The GTIN-14 of a trade item's tag, else `None`.
    pub fn gtin(&self) -> Option<u64> {
        (self.scheme.row().ai == "01").then(|| self.key()).flatten()
    }

    /// The SSCC of a handling unit's tag, else `None`.
    pub fn sscc(&self) -> Option<u64> {
        (self.scheme.row().ai == "00").then(|| self.key()).flatten()
    }

    /// The GLN and extension of a location's tag, else `None`. No extension is the text `0`.
    pub fn location(&self) -> Option<(u64, Code)> {
        if self.scheme.row().ai == "414" { self.key().zip(self.serial()) } else { None }
    }

    /// The serial as text: a serial number, a location's extension, an individual asset's reference.
    pub fn serial(&self) -> Option<Code> {
        let mut code = Code::new();
        match self.serial {
            Serial::None => return None,
            Serial::Number(number) => write!(code, "{number}").ok()?,
            Serial::Text(text) => characters(&text).try_for_each(|c| code.push(c.into()).ok())?,
        }
        Some(code)
    }

    /// The serial of a scheme that codes it as a number, else `None`.
    pub const fn serial_number(&self) -> Option<u64> {
        if let Serial::Number(number) = self.serial { Some(number) } else { None }
    }
}

/// The GTIN-14 that a tag's trade item has; `None` if the tag is no valid SGTIN.
pub fn gtin(epc: &Epc) -> Option<u64> {
    Identity::decode(epc).ok()?.gtin()
}

/// The tag for serial `serial` of a trade item.
///
/// # Errors
/// A GTIN with a wrong check digit or over 14 digits, a company prefix of other than 6 to 12 digits, a serial of 2³⁸ or
/// more, a filter above 7; the position is the bit where the field begins.
pub fn sgtin96(gtin: u64, prefix_len: u8, serial: u64, filter: u8) -> Result<Epc, EpcError> {
    let mut text = Code::new();
    // A u64 has at most 20 digits and a code holds 32.
    write!(text, "{serial}").expect("fits");
    Identity::from_key(Scheme::Sgtin96, gtin, prefix_len, &text, filter).map(|identity| identity.encode())
}

/// The tag of a handling unit.
///
/// # Errors
/// As for [`sgtin96`], with the 18 digits of an SSCC.
pub fn sscc96(sscc: u64, prefix_len: u8, filter: u8) -> Result<Epc, EpcError> {
    Identity::from_key(Scheme::Sscc96, sscc, prefix_len, "", filter).map(|identity| identity.encode())
}

fn check_reference(scheme: Scheme, prefix: CompanyPrefix, reference: u64) -> Result<(), Reason> {
    let digits = scheme.reference_digits(prefix.len);
    if reference < power_of_ten(digits) {
        return Ok(());
    }
    Err(Reason::Digits { field: "reference", found: reference, digits })
}

/// The characters of a serial before its zeros.
fn characters(text: &[u8; SERIAL_MAX]) -> impl Iterator<Item = u8> {
    text.iter().copied().take_while(|&c| c != 0)
}

impl Serial {
    /// Decodes the serial from bit `at` on, and makes sure that only zeros follow.
    fn decode(scheme: Scheme, prefix: CompanyPrefix, octets: &[u8], word: &Word, at: usize) -> Result<Self, EpcError> {
        let bits = scheme.bits();
        let (serial, end) = match scheme.row().serial {
            SerialKind::None => (Self::None, at),
            SerialKind::Number => (Self::Number(word.field(at, bits - at)), bits),
            SerialKind::Digits(max) => {
                let mut number = word.field(at, bits - at);
                // The leading 1 is not a digit of the serial.
                let len = number.checked_ilog10().unwrap_or(0) as usize;
                if len == 0 || len > max || number / power_of_ten(len as u8) != 1 {
                    return Err(Reason::Expected("a 1 and the 1 to 12 digits of the serial").at(at));
                }
                let mut text = [0; SERIAL_MAX];
                for digit in text[..len].iter_mut().rev() {
                    *digit = b'0' + (number % 10) as u8;
                    number /= 10;
                }
                (Self::Text(text), bits)
            }
            SerialKind::Text(max) => {
                let max = scheme.serial_max(max, prefix.len);
                let mut text = [0; SERIAL_MAX];
                let mut len = 0;
                for c in &mut text[..max] {
                    *c = seven(octets, at + 7 * len);
                    match *c {
                        0 => break,
                        other if !is_text(other) => return Err(Reason::Character(other).at(at + 7 * len)),
                        _ => len += 1,
                    }
                }
                if len == 0 {
                    return Err(Reason::Length { field: "serial", found: 0, min: 1, max }.at(at));
                }
                (Self::Text(text), at + 7 * len)
            }
        };
        match first_set(octets, end) {
            Some(set) => Err(Reason::NotZero.at(set)),
            None => Ok(serial),
        }
    }

    /// Reads the serial from its characters; a position in the error is that of the character.
    fn parse(scheme: Scheme, prefix: CompanyPrefix, serial: impl Iterator<Item = u8>) -> Result<Self, EpcError> {
        let (min, max, allowed): (_, _, fn(u8) -> bool) = match scheme.row().serial {
            SerialKind::None => (0, 0, is_text),
            // 2⁶² has 19 digits.
            SerialKind::Number => (1, 19, |c| c.is_ascii_digit()),
            SerialKind::Digits(max) => (1, max, |c| c.is_ascii_digit()),
            SerialKind::Text(max) => (1, scheme.serial_max(max, prefix.len), is_text),
        };
        let (mut text, mut found) = ([0; SERIAL_MAX], 0);
        for c in serial {
            if !allowed(c) {
                return Err(Reason::Character(c).at(found));
            }
            if let Some(place) = text[..max].get_mut(found) {
                *place = c;
            }
            found += 1;
        }
        if !(min..=max).contains(&found) {
            return Err(Reason::Length { field: "serial", found, min, max }.at(0));
        }
        match scheme.row().serial {
            SerialKind::None => Ok(Self::None),
            SerialKind::Digits(_) | SerialKind::Text(_) => Ok(Self::Text(text)),
            SerialKind::Number => {
                if found > 1 && text[0] == b'0' {
                    return Err(Reason::LeadingZero.at(0));
                }
                let number = number(&text[..found]).unwrap_or(u64::MAX);
                let at = PREFIX_AT + prefix.bits() + scheme.reference_bits(prefix.bits());
                let max = (1 << (scheme.bits() - at)) - 1;
                if number > max {
                    return Err(Reason::Range { field: "serial", found: number, max }.at(0));
                }
                Ok(Self::Number(number))
            }
        }
    }
}

#[cfg(test)]
mod tests;
