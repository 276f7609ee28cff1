//! Sorts what a scanner sends: GS1 elements, a bare GTIN, a bare SSCC, or a code of someone's own.

use crate::digits::{check_digit, check_digit_holds, number};
use crate::element::{ElementError, Elements, Reason};
use stowage_base::{ItemRef, code};

/// What a scan is.
#[derive(Debug, Clone, Copy)]
pub enum Barcode<'a> {
    /// Element strings or a Digital Link.
    Gs1(Elements<'a>),
    /// A trade item's number alone.
    Gtin {
        /// How it was written.
        kind: GtinKind,
        /// As a GTIN-14; shorter GTINs have leading zeros.
        gtin: u64,
    },
    /// The 18 digits of an SSCC alone.
    Sscc(u64),
    /// Any other code, without symbology identifier.
    Other(&'a str),
}

/// How a bare GTIN was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GtinKind {
    /// GTIN-8, as in EAN-8.
    Ean8,
    /// GTIN-12, as in UPC-A.
    UpcA,
    /// GTIN-13, as in EAN-13.
    Ean13,
    /// GTIN-14, as in ITF-14.
    Itf14,
}

impl GtinKind {
    /// The name of the symbol: `ean-13`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ean8 => "ean-8",
            Self::UpcA => "upc-a",
            Self::Ean13 => "ean-13",
            Self::Itf14 => "itf-14",
        }
    }
}

/// Says what `text` is, as a scanner sends it.
///
/// Without a symbology identifier, digits that happen to be a valid GTIN or SSCC are taken for one, then for element
/// strings if these are complete and name goods; all else is someone's own code.
///
/// # Errors
/// The text claims to be GS1 data (by symbology identifier, FNC1, brackets, a Digital Link with a key) and is broken.
pub fn classify(text: &str) -> Result<Barcode<'_>, ElementError> {
    let (carrier, data) = match text.get(..3) {
        Some(carrier) if carrier.starts_with(']') => (carrier, &text[3..]),
        _ => ("", text),
    };
    let digits = number(data.as_bytes());
    match (carrier, digits, data.len()) {
        ("]E0", _, _) => return retail(data, GtinKind::Ean13, 13),
        ("]E4", _, _) => return retail(data, GtinKind::Ean8, 8),
        ("" | "]I0" | "]I1", Some(gtin), 14) if check_digit_holds(gtin) => {
            return Ok(Barcode::Gtin { kind: GtinKind::Itf14, gtin });
        }
        ("", Some(gtin), 8) if check_digit_holds(gtin) => return Ok(Barcode::Gtin { kind: GtinKind::Ean8, gtin }),
        ("", Some(gtin), 12) if check_digit_holds(gtin) => return Ok(Barcode::Gtin { kind: GtinKind::UpcA, gtin }),
        ("", Some(gtin), 13) if check_digit_holds(gtin) => return Ok(Barcode::Gtin { kind: GtinKind::Ean13, gtin }),
        ("" | "]C0", Some(sscc), 18) if check_digit_holds(sscc) => return Ok(Barcode::Sscc(sscc)),
        _ => {}
    }
    match Elements::parse(text) {
        // Without anything that says GS1, many a number could be read as elements: only goods, complete, count.
        Ok(elements) if !is_bare(text) || names_goods(&elements) => Ok(Barcode::Gs1(elements)),
        Ok(_) => Ok(Barcode::Other(data)),
        Err(error) if claims_elements(text, &error) => Err(error),
        Err(_) => Ok(Barcode::Other(data)),
    }
}

/// Whether a text that isn't valid GS1 data says that it is.
fn claims_elements(text: &str, error: &ElementError) -> bool {
    match error.reason {
        Reason::Carrier | Reason::NoElements | Reason::Link(_) if error.ai.is_none() => false,
        Reason::Empty => true,
        _ => !is_bare(text),
    }
}

/// Whether a text has neither symbology identifier nor FNC1, bracket or URI.
fn is_bare(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit()) && !text.contains(['^', '\u{1D}'])
}

fn names_goods(elements: &Elements<'_>) -> bool {
    elements.scan().item().is_some() && elements.check_companions().is_ok()
}

/// A GTIN of `len` digits from a retail symbol, whose symbology identifier vouches for it.
fn retail(data: &str, kind: GtinKind, len: usize) -> Result<Barcode<'_>, ElementError> {
    let error = |position, reason| Err(ElementError { ai: None, position: 3 + position, reason });
    if let Some(index) = data.bytes().position(|octet| !octet.is_ascii_digit()) {
        return error(index, Reason::Character { found: data.as_bytes()[index], allowed: "digits" });
    }
    let found = data.len();
    match number(data.as_bytes()) {
        Some(gtin) if found == len && check_digit_holds(gtin) => Ok(Barcode::Gtin { kind, gtin }),
        Some(gtin) if found == len => {
            error(len - 1, Reason::CheckDigit { found: (gtin % 10) as u8, wanted: check_digit(gtin / 10) })
        }
        _ if found < len => error(found, Reason::Short { found, min: len }),
        _ => error(len, Reason::Long { found, max: len }),
    }
}

impl Barcode<'_> {
    /// The thing that the scan names, as far as it can be told without a catalogue; `None` for elements that name no
    /// goods, and for a code that is too long to be one.
    pub fn item(&self) -> Option<ItemRef> {
        match *self {
            Self::Gs1(elements) => elements.scan().item(),
            Self::Gtin { gtin, .. } => Some(ItemRef::Gtin { gtin, lot: None, serial: None, expiry: None }),
            Self::Sscc(sscc) => Some(ItemRef::Sscc(sscc)),
            Self::Other(text) => code(text).map(ItemRef::Code),
        }
    }
}

/// A label that isn't GS1's, known by its form; it names a thing only as an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// A postal item (UPU S10): two letters, eight digits, their check digit, a country.
    Postal,
    /// A parcel of UPS: `1Z`, 16 letters and digits of which the last is a check digit.
    Ups,
    /// A marketplace's stock number: `X00`, seven letters and digits.
    Fnsku,
}

impl Label {
    /// The name of the kind: `s10`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postal => "s10",
            Self::Ups => "ups",
            Self::Fnsku => "fnsku",
        }
    }
}

/// The kind of a label; `None` if it is like none of them, or its check digit is wrong.
pub fn label(text: &str) -> Option<Label> {
    let octets = text.as_bytes();
    let is_code = |part: &[u8]| part.iter().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    match octets {
        [a, b, digits @ .., c, d] if digits.len() == 9 && [a, b, c, d].iter().all(|c| c.is_ascii_uppercase()) => {
            let weights = [8, 6, 4, 2, 3, 5, 9, 7];
            number(digits)?;
            let sum: u32 = digits.iter().zip(weights).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
            let wanted = match 11 - sum % 11 {
                10 => 0,
                11 => 5,
                other => other,
            };
            (u32::from(digits[8] - b'0') == wanted).then_some(Label::Postal)
        }
        [b'1', b'Z', body @ .., check @ b'0'..=b'9'] if body.len() == 15 && is_code(body) => {
            // A letter counts as a digit, A as 2 and on in tens.
            let value = |c: u8| u32::from(if c.is_ascii_digit() { c - b'0' } else { (c - b'A' + 2) % 10 });
            let sum: u32 = body.iter().zip([1, 2].into_iter().cycle()).map(|(c, weight)| value(*c) * weight).sum();
            ((10 - sum % 10) % 10 == u32::from(check - b'0')).then_some(Label::Ups)
        }
        [b'X', b'0', b'0', body @ ..] if body.len() == 7 && is_code(body) => Some(Label::Fnsku),
        _ => None,
    }
}

/// The GTIN-12 that the eight digits of a UPC-E symbol stand for; `None` if they are none, or the check digit is wrong
/// (General Specifications §5.2.2.4).
pub fn expand_upc_e(text: &str) -> Option<u64> {
    let digits: [u8; 8] = text.as_bytes().try_into().ok()?;
    number(&digits)?;
    let [system, a, b, c, d, e, last, check] = digits.map(|digit| u64::from(digit - b'0'));
    if system > 1 {
        return None;
    }
    let (company, item) = match last {
        0..=2 => (a * 10_000 + b * 1_000 + last * 100, c * 100 + d * 10 + e),
        3 => (a * 10_000 + b * 1_000 + c * 100, d * 10 + e),
        4 => (a * 10_000 + b * 1_000 + c * 100 + d * 10, e),
        _ => (a * 10_000 + b * 1_000 + c * 100 + d * 10 + e, last),
    };
    let gtin = (system * 10_000_000_000 + company * 100_000 + item) * 10 + check;
    check_digit_holds(gtin).then_some(gtin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_known_by_form_and_check_digit() {
        assert_eq!(label("RR473124829GB"), Some(Label::Postal));
        assert_eq!(label("RR473124828GB"), None);
        assert_eq!(label("1Z5R89390357567127"), Some(Label::Ups));
        assert_eq!(label("1Z5R89390357567126"), None);
        assert_eq!(label("X001ABCDEF"), Some(Label::Fnsku));
        for other in ["", "A-03-2", "4006381333931", "1Z", "RR47312482éGB"] {
            assert_eq!(label(other), None, "{other}");
        }
    }

    #[test]
    fn upc_e_is_expanded_by_its_last_digit() {
        assert_eq!(expand_upc_e("04252614"), Some(42_100_005_264));
        assert_eq!(expand_upc_e("01234505"), Some(12_000_003_455));
        assert_eq!(expand_upc_e("04252615"), None);
        assert_eq!(expand_upc_e("24252614"), None);
    }
}
