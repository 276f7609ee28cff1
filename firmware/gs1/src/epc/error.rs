//! Why an EPC or one of its texts is refused.

use crate::element::{self, Ai};
use core::fmt;

/// What is wrong, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpcError {
    /// Of an EPC, or of numbers that are to become one: the bit, from 0. Of a URI: the octet, from 0.
    pub position: usize,
    /// What is wrong there.
    pub reason: Reason,
}

/// What is wrong with an EPC or one of its texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Header 00: the tag was never programmed.
    Unprogrammed,
    /// Header E2: these octets are a tag's TID.
    TagIdentifier,
    /// A header that names no scheme known here.
    Header(u8),
    /// Fewer bits than the scheme has.
    Short {
        /// Bits found.
        bits: usize,
        /// Bits of the scheme; 8 if there is not even a header.
        needed: usize,
    },
    /// A bit is set where the scheme wants zeros: reserved bits, after a text's end, padding.
    NotZero,
    /// Partition 7.
    Partition(u8),
    /// A number has more digits than its partition allows.
    Digits {
        /// The number's name.
        field: &'static str,
        /// Its value.
        found: u64,
        /// Digits allowed.
        digits: u8,
    },
    /// A number is too big for its bits.
    Range {
        /// The number's name.
        field: &'static str,
        /// Its value.
        found: u64,
        /// The greatest allowed.
        max: u64,
    },
    /// A company prefix of a length other than 6 to 12 digits.
    PrefixLength(usize),
    /// A part has the wrong number of characters.
    Length {
        /// The part's name.
        field: &'static str,
        /// Characters found.
        found: usize,
        /// Least allowed.
        min: usize,
        /// Most allowed.
        max: usize,
    },
    /// A character that is not allowed here; the octet's value.
    Character(u8),
    /// A number begins with a superfluous zero.
    LeadingZero,
    /// The text lacks what must come here.
    Expected(&'static str),
    /// A code that means nothing here: an encoding indicator, a digit above 9, a kind of date.
    Coding(u8),
    /// The value of an application identifier breaks its format.
    Value {
        /// The application identifier.
        ai: Ai,
        /// What is wrong with its value.
        reason: element::Reason,
    },
    /// The scheme needs this application identifier.
    Missing(&'static str),
    /// More bits than an EPC holds, which is 496.
    TooLong {
        /// Bits that it would have.
        bits: usize,
    },
    /// A URI names a scheme that is not known here.
    UnknownScheme,
    /// A key's check digit is wrong.
    CheckDigit {
        /// The digit found.
        found: u8,
        /// The digit that the key needs.
        wanted: u8,
    },
}

impl Reason {
    pub(super) const fn at(self, position: usize) -> EpcError {
        EpcError { position, reason: self }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unprogrammed => write!(f, "header 00: the tag is not programmed"),
            Self::TagIdentifier => write!(f, "header E2: this is a tag identifier (TID), not an EPC"),
            Self::Header(header) => write!(f, "header {header:02X} is reserved or not supported"),
            Self::Short { bits, needed } => write!(f, "{bits} bits, at least {needed} are needed"),
            Self::NotZero => write!(f, "a bit is set where only zeros are allowed"),
            Self::Partition(found) => write!(f, "partition {found}, allowed are 0 to 6"),
            Self::Digits { field, found, digits } => write!(f, "{field} {found} has more than {digits} digits"),
            Self::Range { field, found, max } => write!(f, "{field} {found} is above {max}"),
            Self::PrefixLength(found) => write!(f, "company prefix of {found} digits, allowed are 6 to 12"),
            Self::Length { field, found, min, max } if min == max => {
                write!(f, "{field} of {found} characters, allowed are exactly {min}")
            }
            Self::Length { field, found, min, max } => {
                write!(f, "{field} of {found} characters, allowed are {min} to {max}")
            }
            Self::Character(octet) if octet.is_ascii_graphic() => {
                write!(f, "character '{}' is not allowed here", octet as char)
            }
            Self::Character(octet) => write!(f, "octet {octet:02X} is not allowed here"),
            Self::LeadingZero => write!(f, "a number must not begin with a zero"),
            Self::Expected(what) => write!(f, "expected {what}"),
            Self::Coding(code) => write!(f, "code {code} means nothing here"),
            Self::Value { ai, reason } => write!(f, "({ai}): {reason}"),
            Self::Missing(ai) => write!(f, "the scheme needs AI {ai}"),
            Self::TooLong { bits } => write!(f, "{bits} bits, an EPC holds 496"),
            Self::UnknownScheme => write!(f, "scheme is not known"),
            Self::CheckDigit { found, wanted } => write!(f, "check digit {found}, must be {wanted}"),
        }
    }
}

/// The reason; the position is left to whoever shows it.
impl fmt::Display for EpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl core::error::Error for EpcError {}
