//! An identity in barcode terms: application identifiers and their values.

use super::{Identity, Serial, characters};
use crate::digits::{Escaped, is_unreserved};
use core::fmt::{self, Write as _};

/// Prints the element string, bracketed: `(01)09506000134352(21)123456789`. A `(` in a serial is not escaped.
pub struct ElementString<'a>(pub &'a Identity);

/// Prints the GS1 Digital Link URI: `https://id.gs1.org/01/09506000134352/21/123456789`.
pub struct DigitalLink<'a>(pub &'a Identity);

/// The value of an application identifier; prints without escapes.
pub struct AiValue<'a> {
    identity: &'a Identity,
    key: bool,
    serial: bool,
}

impl Identity {
    /// The application identifiers with their values, one or two.
    pub fn ais(&self) -> impl Iterator<Item = (&'static str, AiValue<'_>)> {
        let row = self.scheme.row();
        let value = |key, serial| AiValue { identity: self, key, serial };
        // An SGLN's extension 0 means that there is none (TDS §6.3.3).
        let none = match self.serial {
            Serial::None => true,
            Serial::Number(number) => row.ai == "414" && number == 0,
            Serial::Text(text) => row.ai == "414" && text[..2] == *b"0\0",
        };
        let serial = row.serial_ai.filter(|_| !none).map(|ai| (ai, value(false, true)));
        [Some((row.ai, value(true, row.serial_ai.is_none()))), serial].into_iter().flatten()
    }
}

impl fmt::Display for AiValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (row, width) = (self.identity.scheme.row(), usize::from(self.identity.scheme.row().key_digits) + 1);
        match self.identity.key().filter(|_| self.key) {
            Some(key) => write!(f, "{}{key:0width$}", row.before)?,
            None if self.key => write!(f, "{}", self.identity.prefix)?,
            None => {}
        }
        match &self.identity.serial {
            Serial::Number(number) if self.serial => write!(f, "{number}"),
            Serial::Text(text) if self.serial => characters(text).try_for_each(|c| f.write_char(c.into())),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for ElementString<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.ais().try_for_each(|(ai, value)| write!(f, "({ai}){value}"))
    }
}

impl fmt::Display for DigitalLink<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("https://id.gs1.org")?;
        self.0.ais().try_for_each(|(ai, value)| {
            write!(f, "/{ai}/")?;
            write!(Escaped { to: f, plain: is_unreserved }, "{value}")
        })
    }
}
