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
