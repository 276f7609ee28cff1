//! An identity in barcode terms: application identifiers and their values.

use super::bits::Bits;
use super::coded::{Coding, Cursor, codings};
use super::field::{Part, Walk};
use super::scheme::Layout;
use super::{EpcError, Identity, Reason, Scheme, VALUES_AT};
use crate::digits::{Escaped, is_unreserved};
use crate::element::{Ai, VALUE_MAX, format, table};
use core::fmt::{self, Write as _};

/// Prints the element string, bracketed: `(01)09506000134352(21)123456789`. A `(` in a serial is not escaped. Nothing
/// for the schemes outside GS1.
pub struct ElementString<'a>(pub &'a Identity);

/// Prints the GS1 Digital Link URI: `https://id.gs1.org/01/09506000134352/21/123456789`; with the tag's own host name
/// if it carries one. Nothing for the schemes outside GS1.
pub struct DigitalLink<'a>(pub &'a Identity);

/// The AIs of the date in DSGTIN+ by their code.
pub(super) const DATES: [&str; 7] = ["11", "13", "15", "16", "17", "7006", "7007"];

/// The value of an application identifier; prints without escapes.
#[derive(Clone, Copy)]
pub struct AiValue<'a> {
    scheme: Scheme,
    octets: &'a [u8],
    place: Place,
}

#[derive(Clone, Copy)]
enum Place {
    /// Made of the parts of the URI.
    Template(&'static str),
    /// Coded from a bit on.
    Coded(usize, [Option<Coding>; 2]),
}

impl AiValue<'_> {
    /// Hands on each character.
    pub(super) fn each(&self, sink: &mut dyn FnMut(u8)) {
        struct Octets<'s>(&'s mut dyn FnMut(u8));
        impl fmt::Write for Octets<'_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                text.bytes().for_each(&mut *self.0);
                Ok(())
            }
        }
        match self.place {
            // The sink never fails, and an identity's bits have been checked.
            Place::Template(template) => drop(self.compose(template, &mut Octets(sink))),
            Place::Coded(at, codings) => {
                let mut cursor = Cursor { bits: Bits::new(self.octets), at };
                let _ = codings.into_iter().flatten().try_for_each(|coding| cursor.read(coding, sink));
            }
        }
    }

    /// Writes a value that is made of the parts of a URI.
    fn compose(&self, template: &str, to: &mut impl fmt::Write) -> fmt::Result {
        let mut parts = [const { Part::Number { value: 0, digits: None } }; 5];
        let walk = Walk::new(self.scheme, self.octets);
        let bits = walk.bits;
        for (place, (_, part)) in parts.iter_mut().zip(walk.map_while(Result::ok).skip(1)) {
            *place = part;
        }
        let (mut sum, numbers) = (0, [parts[0].number(), parts[1].number()]);
        // Up to the check digit all is digits.
        let keyed = template.contains('x');
        let mut before = keyed;
        for letter in template.bytes() {
            match letter {
                b'x' => {
                    before = false;
                    write!(to, "{}", crate::digits::check_digit(sum))?;
                }
                _ if before => {
                    let (value, digits) = self::digits(letter, &numbers);
                    sum = sum * 10u64.pow(digits.into()) + value;
                    if digits > 0 {
                        write!(to, "{value:0width$}", width = digits.into())?;
                    }
                }
                _ => parts[usize::from(index(letter))].write(&bits, to)?,
            }
        }
        Ok(())
    }
}

/// The part that a letter of a template stands for.
const fn index(letter: u8) -> u8 {
    match letter {
        b'p' => 0,
        b'a' => 1,
        b'b' => 2,
        b'd' => 3,
        _ => 4,
    }
}

/// The digits that a letter of a template stands for: their number and how many, from the two first parts.
pub(super) const fn digits(letter: u8, parts: &[(u64, u8); 2]) -> (u64, u8) {
    let (reference, digits) = parts[1];
    match letter {
        b'p' => parts[0],
        b'a' => parts[1],
        b'f' | b'r' if digits > 0 => {
            let rest = crate::digits::power_of_ten(digits - 1);
            if letter == b'f' { (reference / rest, 1) } else { (reference % rest, digits - 1) }
        }
        // A zero.
        _ => (0, 1),
    }
}

impl fmt::Display for AiValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut result = Ok(());
        self.each(&mut |c| result = result.and_then(|()| f.write_char(c.into())));
        result
    }
}

/// Walks over the application identifiers with their values: key and serial, a date, AIDC data.
pub struct Ais<'a> {
    scheme: Scheme,
    cursor: Cursor<'a>,
    octets: &'a [u8],
    /// How many were passed.
    passed: usize,
    /// Where the host name begins, once it was passed.
    host: Option<usize>,
}

impl<'a> Ais<'a> {
    pub(super) fn new(scheme: Scheme, octets: &'a [u8]) -> Self {
        // A date stands before the values and is told after them.
        let at = VALUES_AT + if matches!(scheme.row().layout, Layout::Coded { dated: true, .. }) { 20 } else { 0 };
        Self { scheme, cursor: Cursor { bits: Bits::new(octets), at }, octets, passed: 0, host: None }
    }

    /// Where the next one begins.
    pub(super) const fn at(&self) -> usize {
        self.cursor.at
    }

    fn value(&self, place: Place) -> AiValue<'a> {
        AiValue { scheme: self.scheme, octets: self.octets, place }
    }

    /// The next one; the value has been checked.
    pub(super) fn step(&mut self) -> Option<Result<(Ai, AiValue<'a>), EpcError>> {
        let row = self.scheme.row();
        let index = self.passed;
        self.passed += 1;
        let Layout::Coded { dated, host } = row.layout else {
            let &(ai, template) = row.keys.get(index)?;
            let value = self.value(Place::Template(template));
            // An SGLN's extension 0 means that there is none (TDS §6.3.3).
            let none = ai == "254" && {
                let (mut len, mut zero) = (0, true);
                value.each(&mut |c| (len, zero) = (len + 1, c == b'0'));
                len == 1 && zero
            };
            return (!none).then(|| Ok((Ai::new(ai), value)));
        };
        if let Some((ai, _)) = row.keys.get(index) {
            return Some(self.coded(Ai::new(ai)));
        }
        if dated && index == row.keys.len() {
            return Some(self.date());
        }
        if host && self.host.is_none() {
            self.host = Some(self.cursor.at);
            let mut len = 0;
            let at = self.cursor.at;
            if let Err(error) = self.cursor.host(&mut |_| len += 1) {
                return Some(Err(error));
            }
            if len > super::host::HOST_MAX {
                let max = super::host::HOST_MAX;
                return Some(Err(Reason::Length { field: "host name", found: len, min: 1, max }.at(at)));
            }
        }
        let toggle = self.cursor.bits.field(8, 1) == 1;
        // What is left may fill up the last word.
        if !toggle || self.cursor.bits.first_set(self.cursor.at).is_none() {
            return None;
        }
        Some(self.ai().and_then(|ai| self.coded(ai)))
    }

    /// The AI of the AIDC data that begins here.
    fn ai(&mut self) -> Result<Ai, EpcError> {
        let (at, mut digits) = (self.cursor.at, [0; 4]);
        for index in 0..4 {
            self.cursor.read(Coding::Digits(1), &mut |digit| digits[index] = digit)?;
            let ai = core::str::from_utf8(&digits[..=index]).unwrap_or_default();
            if index > 0 && table::exactly(ai).is_some() {
                return Ok(Ai::new(ai));
            }
        }
        Err(Reason::Expected("a known application identifier").at(at))
    }

    fn coded(&mut self, ai: Ai) -> Result<(Ai, AiValue<'a>), EpcError> {
        let at = self.cursor.at;
        let row = table::exactly(ai.as_str()).ok_or(Reason::Expected("a known application identifier").at(at))?;
        let codings = codings(ai.as_str(), row.format);
        self.checked(ai, row.format, codings, at)
    }

    fn date(&mut self) -> Result<(Ai, AiValue<'a>), EpcError> {
        let values = self.cursor.at;
        self.cursor.at = VALUES_AT;
        let kind = self.cursor.take(4)?;
        let ai = DATES.get(kind as usize).ok_or(Reason::Coding(kind as u8).at(VALUES_AT))?;
        let row = table::exactly(ai).ok_or(Reason::Coding(kind as u8).at(VALUES_AT))?;
        let date = self.checked(Ai::new(ai), row.format, [Some(Coding::Date), None], VALUES_AT + 4);
        self.cursor.at = values;
        date
    }

    /// Reads a value and checks it against its format.
    fn checked(
        &mut self,
        ai: Ai,
        format: &str,
        codings: [Option<Coding>; 2],
        at: usize,
    ) -> Result<(Ai, AiValue<'a>), EpcError> {
        let (mut octets, mut len) = ([0; VALUE_MAX], 0);
        let mut sink = |octet| {
            if let Some(place) = octets.get_mut(len) {
                *place = octet;
            }
            len += 1;
        };
        for coding in codings.into_iter().flatten() {
            self.cursor.read(coding, &mut sink)?;
        }
        if len > VALUE_MAX {
            return Err(Reason::Length { field: "value", found: len, min: 1, max: VALUE_MAX }.at(at));
        }
        format::check_value(format, &octets[..len]).map_err(|(_, reason)| Reason::Value { ai, reason }.at(at))?;
        Ok((ai, self.value(Place::Coded(at, codings))))
    }
}

impl<'a> Iterator for Ais<'a> {
    type Item = (Ai, AiValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.step()?.ok()
    }
}

impl Identity {
    /// The application identifiers with their values; none for the schemes outside GS1.
    pub fn ais(&self) -> Ais<'_> {
        Ais::new(self.scheme, self.epc.octets())
    }

    /// Writes the tag's own host name, or GS1's.
    fn write_host(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ais = self.ais();
        ais.by_ref().for_each(drop);
        let Some(at) = ais.host else { return f.write_str("id.gs1.org") };
        let mut result = Ok(());
        let mut cursor = Cursor { bits: Bits::new(self.epc.octets()), at };
        // The bits have been checked.
        let _ = cursor.host(&mut |c| result = result.and_then(|()| f.write_char(c.into())));
        result
    }
}

impl fmt::Display for ElementString<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.ais().try_for_each(|(ai, value)| write!(f, "({ai}){value}"))
    }
}

/// First the key and its qualifiers, in their order, as the path; then all else as the query.
impl fmt::Display for DigitalLink<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((key, value)) = self.0.ais().next() else { return Ok(()) };
        f.write_str("https://")?;
        self.0.write_host(f)?;
        let mut write = |before: char, ai: Ai, between: char, value: &AiValue<'_>| {
            write!(f, "{before}{ai}{between}")?;
            write!(Escaped { to: f, plain: is_unreserved }, "{value}")
        };
        write('/', key, '/', &value)?;
        let alternatives = table::exactly(key.as_str()).and_then(|row| row.qualifiers).unwrap_or_default();
        let has = |ai: &str| self.0.ais().skip(1).any(|(other, _)| other.as_str() == ai);
        let path = alternatives.split('|').find(|path| path.split(',').any(has)).unwrap_or_default();
        for qualifier in path.split(',') {
            for (ai, value) in self.0.ais().skip(1).filter(|(ai, _)| ai.as_str() == qualifier) {
                write('/', ai, '/', &value)?;
            }
        }
        let mut before = '?';
        for (ai, value) in self.0.ais().skip(1).filter(|(ai, _)| !path.split(',').any(|other| other == ai.as_str())) {
            write(before, ai, '=', &value)?;
            before = '&';
        }
        Ok(())
    }
}
