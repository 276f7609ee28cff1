//! Why a text is no valid element string.

use super::Ai;
use core::fmt;

/// What is wrong, at which AI, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElementError {
    /// The element, if there is one to blame.
    pub ai: Option<Ai>,
    /// Octet of the text, from 0; for an element the place of the fault in its value, or where the value begins.
    pub position: usize,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with an element string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There is nothing.
    Empty,
    /// The symbology identifier is of a symbol that holds no elements.
    Carrier,
    /// The text isn't an element string, a bracketed one, or a Digital Link.
    NoElements,
    /// More elements than are allowed.
    TooMany {
        /// The most allowed.
        max: usize,
    },
    /// No AI begins here.
    UnknownAi,
    /// `(AI)` had to come here.
    Bracket,
    /// The value has fewer characters than the AI wants.
    Short {
        /// Characters found.
        found: usize,
        /// Least allowed.
        min: usize,
    },
    /// The value has more characters than the AI allows, or its separator is missing.
    Long {
        /// Characters found; 91 stands for more.
        found: usize,
        /// Most allowed.
        max: usize,
    },
    /// A character that the AI doesn't allow here.
    Character {
        /// Its octet.
        found: u8,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The check digit is wrong.
    CheckDigit {
        /// The digit found.
        found: u8,
        /// The digit that the key needs.
        wanted: u8,
    },
    /// A part of the value means nothing.
    Content {
        /// What is allowed.
        allowed: &'static str,
    },
    /// The AI came before, with another value, or in a Digital Link at all.
    Repeated,
    /// The AI must not stand beside another one.
    Excluded {
        /// The other one.
        by: Ai,
    },
    /// The AI stands without what it needs beside it.
    Alone {
        /// AIs of which one must be there; `+` joins those that must be there together, `n` is any digit.
        needs: &'static str,
    },
    /// The URI is no Digital Link.
    Link(&'static str),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty => write!(f, "there is no data"),
            Self::Carrier => write!(f, "the symbology identifier is not one of a symbol with GS1 elements"),
            Self::NoElements => write!(f, "neither an element string, nor a bracketed one, nor a Digital Link"),
            Self::TooMany { max } => write!(f, "more than {max} elements"),
            Self::UnknownAi => write!(f, "no known application identifier begins here"),
            Self::Bracket => write!(f, "expected an application identifier in brackets"),
            Self::Short { found, min } => write!(f, "value of {found} characters, at least {min} are needed"),
            Self::Long { found, max } => write!(f, "value of {found} characters, at most {max} are allowed"),
            Self::Character { found, allowed } if found.is_ascii_graphic() => {
                write!(f, "character '{}', allowed are {allowed}", found as char)
            }
            Self::Character { found, allowed } => write!(f, "octet {found:02X}, allowed are {allowed}"),
            Self::CheckDigit { found, wanted } => write!(f, "check digit {found}, must be {wanted}"),
            Self::Content { allowed } => write!(f, "not allowed here; allowed is {allowed}"),
            Self::Repeated => write!(f, "the application identifier is repeated with another value"),
            Self::Excluded { by } => write!(f, "must not stand beside ({by})"),
            Self::Alone { needs } => write!(f, "needs beside it one of {needs}"),
            Self::Link(what) => write!(f, "no Digital Link: {what}"),
        }
    }
}

/// The AI and the reason; the position is left to whoever shows it.
impl fmt::Display for ElementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ai {
            Some(ai) => write!(f, "({ai}): {}", self.reason),
            None => self.reason.fmt(f),
        }
    }
}

impl core::error::Error for ElementError {}
