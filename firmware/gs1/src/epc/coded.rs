//! Values coded by their application identifiers: the '+' schemes, and AIDC data behind them (TDS 2.3 §14.5, table F).
//!
//! How an AI's value is coded follows from its format in GS1's dictionary: [`codings`]. One function reads a value of
//! each coding, one writes it.

use super::bits::{Bits, Writer};
use super::{EpcError, Reason};
use crate::digits::is_text;

/// How a component of a value is coded; a number is in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// Digits of 4 bits (§14.5.4).
    Digits(usize),
    /// Digits as one number (§14.5.2).
    Integer(usize),
    /// YYMMDD in 7, 4 and 5 bits (§14.5.8).
    Date,
    /// With hours and minutes in 5 and 6 (§14.5.9).
    DateTime,
    /// One date or two (§14.5.10).
    DateRange,
    /// A date, maybe with hours, minutes, seconds (§14.5.11).
    Precision,
    /// Two letters of 6 bits (§14.5.12).
    Country,
    /// `0` or `1` (§14.5.7).
    Bit,
    /// `-` or nothing (§14.5.14).
    Minus,
    /// `n/m` (§14.5.15).
    Sequence,
    /// Up to so many digits as one number, their count before it (§14.5.13).
    Numeric(usize),
    /// Up to so many characters, their coding and count before them (§14.5.6).
    Text(usize),
    /// Digits of 4 bits, then an end mark, or a mark and text (§14.5.5).
    Delimited(usize),
}

/// How a value of `ai`, which has `format`, is coded: in one component or two.
pub(super) fn codings(ai: &str, format: &str) -> [Option<Coding>; 2] {
    let one = |coding| [Some(coding), None];
    match (ai, format) {
        ("7023" | "8004" | "8010", _) => one(Coding::Delimited(30)),
        // Table F allows an account fewer characters than the dictionary.
        ("8007", _) => one(Coding::Text(24)),
        (_, "N6,yymmd0" | "N6,yymmdd") => one(Coding::Date),
        (_, "N6,yymmd0 N4,hhmi" | "N6,yymmdd N4,hhmi") => one(Coding::DateTime),
        (_, "N6,yymmdd [N6],yymmdd") => one(Coding::DateRange),
        (_, "N6,yymmdd [N4],hhmi" | "N6,yymmdd N2,hh [N2],mi [N2],ss") => one(Coding::Precision),
        (_, "N6 [X1],hyphen") => [Some(Coding::Integer(6)), Some(Coding::Minus)],
        (_, "X2,iso3166alpha2") => one(Coding::Country),
        (_, "N1,yesno") => one(Coding::Bit),
        (_, "X3,posinseqslash") => one(Coding::Sequence),
        (_, "N2,mediatype") => one(Coding::Digits(2)),
        _ if format.starts_with("N3,iso3166 [") => one(Coding::Numeric(15)),
        _ => {
            let (mut digits, mut rest, mut rest_kind, mut key) = (0, 0, None, false);
            for component in crate::element::format::components(format) {
                if component.kind == b'N'
                    && component.min == component.max
                    && !component.optional
                    && rest_kind.is_none()
                {
                    digits += component.max;
                    // A GSIN's 17 digits are no key's: they are one number.
                    key |= component.checks.contains("csum") && component.max != 17 || component.checks == "zero";
                } else {
                    rest += component.max;
                    rest_kind = Some(component.kind);
                }
            }
            let first = if key { Coding::Digits(digits) } else { Coding::Integer(digits) };
            match rest_kind {
                None => one(first),
                Some(b'N') if digits == 0 => one(Coding::Numeric(rest)),
                Some(b'N') => [Some(first), Some(Coding::Numeric(rest))],
                // One digit before text is text.
                Some(_) if digits < 2 => one(Coding::Text(digits + rest)),
                Some(_) => [Some(first), Some(Coding::Text(rest))],
            }
        }
    }
}

/// Most characters that a coding yields: those of the longest AI.
const TEXT_MAX: usize = 90;

const HEX: &[u8; 16] = b"0123456789ABCDEF";
pub(super) const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
pub(super) const CODE40: &[u8; 40] = b" ABCDEFGHIJKLMNOPQRSTUVWXYZ-.:0123456789";

/// Bits of a number of so many digits: ⌈n log₂ 10⌉ (table B).
pub(super) const fn integer_bits(digits: usize) -> usize {
    (digits * 3_321_928_095).div_ceil(1_000_000_000)
}

/// Bits of a count up to `max`.
const fn count_bits(max: usize) -> usize {
    (usize::BITS - max.leading_zeros()) as usize
}

/// A place in the bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub(super) bits: Bits<'a>,
    pub(super) at: usize,
}

/// Takes the characters of a value.
pub(super) type Sink<'a> = &'a mut dyn FnMut(u8);

impl Cursor<'_> {
    pub(super) fn take(&mut self, len: usize) -> Result<u64, EpcError> {
        let (at, needed) = (self.at, self.at + len);
        if needed > self.bits.len() {
            return Err(Reason::Short { bits: self.bits.len(), needed }.at(self.bits.len()));
        }
        self.at = needed;
        Ok(if len == 0 { 0 } else { self.bits.field(at, len) })
    }

    fn pick(&mut self, len: usize, alphabet: &[u8]) -> Result<u8, EpcError> {
        let at = self.at;
        let code = self.take(len)?;
        alphabet.get(code as usize).copied().ok_or(Reason::Coding(code as u8).at(at))
    }

    /// Reads one component.
    pub(super) fn read(&mut self, coding: Coding, sink: Sink<'_>) -> Result<(), EpcError> {
        match coding {
            Coding::Digits(count) => {
                for _ in 0..count {
                    sink(self.pick(4, &HEX[..10])?);
                }
            }
            Coding::Integer(count) => self.integer(count, sink)?,
            Coding::Date => self.pairs(&[7, 4, 5], sink)?,
            Coding::DateTime => self.pairs(&[7, 4, 5, 5, 6], sink)?,
            Coding::DateRange => {
                for _ in 0..=self.take(1)? {
                    self.pairs(&[7, 4, 5], sink)?;
                }
            }
            Coding::Precision => {
                let pairs = [4, 5, 6, 3][self.take(2)? as usize];
                self.pairs(&[7, 4, 5, 5, 6, 6][..pairs], sink)?;
            }
            Coding::Country => {
                for _ in 0..2 {
                    sink(self.pick(6, &BASE64[..26])?);
                }
            }
            Coding::Bit => sink(b'0' + self.take(1)? as u8),
            Coding::Minus => {
                if self.take(1)? == 1 {
                    sink(b'-');
                }
            }
            Coding::Sequence => {
                sink(self.pick(4, &HEX[..10])?);
                sink(b'/');
                sink(self.pick(4, &HEX[..10])?);
            }
            Coding::Numeric(max) => {
                let count = self.count(max)?;
                self.integer(count, sink)?;
            }
            Coding::Text(max) => self.text(max, sink)?,
            Coding::Delimited(max) => {
                for _ in 0..=max {
                    let at = self.at;
                    match self.take(4)? {
                        digit @ 0..=9 => sink(HEX[digit as usize]),
                        14 => return self.text(max, sink),
                        15 => return Ok(()),
                        other => return Err(Reason::Coding(other as u8).at(at)),
                    }
                }
                return Err(Reason::Expected("the end mark F, or E and text").at(self.at));
            }
        }
        Ok(())
    }

    fn count(&mut self, max: usize) -> Result<usize, EpcError> {
        let at = self.at;
        let found = self.take(count_bits(max))? as usize;
        if found > max { Err(Reason::Length { field: "value", found, min: 1, max }.at(at)) } else { Ok(found) }
    }

    fn text(&mut self, max: usize, sink: Sink<'_>) -> Result<(), EpcError> {
        let at = self.at;
        let coding = self.take(3)?;
        let count = self.count(max)?;
        match coding {
            0 => return self.integer(count, sink),
            5 => return self.code40(count, sink),
            1..=4 => {}
            _ => return Err(Reason::Coding(coding as u8).at(at)),
        }
        for _ in 0..count {
            let at = self.at;
            sink(match coding {
                1 => self.pick(4, HEX)?,
                2 => self.pick(4, HEX)?.to_ascii_lowercase(),
                3 => self.pick(6, BASE64)?,
                _ => match self.take(7)? as u8 {
                    c if is_text(c) || c == b'#' => c,
                    c => return Err(Reason::Character(c).at(at)),
                },
            });
        }
        Ok(())
    }

    /// Three characters in 16 bits; those past `count` are no characters (§14.5.6.5).
    pub(super) fn code40(&mut self, count: usize, sink: Sink<'_>) -> Result<(), EpcError> {
        for group in 0..count.div_ceil(3) {
            let at = self.at;
            let code = self.take(16)?.wrapping_sub(1);
            if code >= 64_000 {
                return Err(Reason::Expected("three characters in 1 to 64000").at(at));
            }
            for (index, c) in [code / 1600, code / 40 % 40, code % 40].into_iter().enumerate() {
                let is_pad = group * 3 + index >= count;
                if is_pad != (c == 0) {
                    return Err(Reason::Expected("as many characters as were announced").at(at));
                }
                if !is_pad {
                    sink(CODE40[c as usize]);
                }
            }
        }
        Ok(())
    }

    /// Numbers of two digits.
    fn pairs(&mut self, widths: &[usize], sink: Sink<'_>) -> Result<(), EpcError> {
        for &width in widths {
            let at = self.at;
            let found = self.take(width)?;
            if found > 99 {
                return Err(Reason::Range { field: "year", found, max: 99 }.at(at));
            }
            sink(b'0' + (found / 10) as u8);
            sink(b'0' + (found % 10) as u8);
        }
        Ok(())
    }

    /// A number of exactly `count` digits, at most 90.
    fn integer(&mut self, count: usize, sink: Sink<'_>) -> Result<(), EpcError> {
        let (at, mut left) = (self.at, integer_bits(count));
        let mut digits = [0u8; TEXT_MAX];
        let digits = &mut digits[..count.min(TEXT_MAX)];
        while left > 0 {
            // The first one may be smaller, so that all others are of 4 bits.
            let len = if left.is_multiple_of(4) { 4 } else { left % 4 };
            let mut carry = self.take(len)? as u8;
            left -= len;
            for digit in digits.iter_mut().rev() {
                let sum = (*digit << len) + carry;
                (*digit, carry) = (sum % 10, sum / 10);
            }
            if carry != 0 {
                return Err(Reason::Expected("a number of as many digits as were announced").at(at));
            }
        }
        digits.iter().for_each(|digit| sink(b'0' + digit));
        Ok(())
    }
}

impl Writer {
    /// Writes one component of a value that the AI's format allows: as much of `value` as it takes. Returns the rest.
    pub(super) fn code<'a>(&mut self, coding: Coding, value: &'a [u8]) -> Result<&'a [u8], Reason> {
        let fixed = |len| value.split_at_checked(len).ok_or(Reason::Expected("more characters"));
        Ok(match coding {
            Coding::Digits(count) => {
                let (digits, rest) = fixed(count)?;
                digits.iter().for_each(|digit| self.put(4, u64::from(digit & 15)));
                rest
            }
            Coding::Integer(count) => {
                let (digits, rest) = fixed(count)?;
                self.integer(digits);
                rest
            }
            Coding::Date => self.pairs(&[7, 4, 5], value),
            Coding::DateTime => self.pairs(&[7, 4, 5, 5, 6], value),
            Coding::DateRange => {
                self.put(1, u64::from(value.len() > 6));
                let rest = self.pairs(&[7, 4, 5], value);
                if rest.is_empty() { rest } else { self.pairs(&[7, 4, 5], rest) }
            }
            Coding::Precision => {
                let pairs = (value.len() / 2).clamp(3, 6);
                self.put(2, [3, 0, 1, 2][pairs - 3]);
                self.pairs(&[7, 4, 5, 5, 6, 6][..pairs], value)
            }
            Coding::Country => {
                let (letters, rest) = fixed(2)?;
                letters.iter().for_each(|letter| self.put(6, u64::from(letter.wrapping_sub(b'A'))));
                rest
            }
            Coding::Bit => {
                let (digit, rest) = fixed(1)?;
                self.put(1, u64::from(digit[0] & 1));
                rest
            }
            Coding::Minus => {
                self.put(1, u64::from(!value.is_empty()));
                &[]
            }
            Coding::Sequence => {
                let (sequence, rest) = fixed(3)?;
                self.put(4, u64::from(sequence[0] & 15));
                self.put(4, u64::from(sequence[2] & 15));
                rest
            }
            Coding::Numeric(max) => {
                self.put(count_bits(max), value.len() as u64);
                self.integer(value);
                &[]
            }
            Coding::Text(max) => {
                self.text(max, value)?;
                &[]
            }
            Coding::Delimited(max) => {
                let digits = value.iter().position(|c| !c.is_ascii_digit()).unwrap_or(value.len());
                value[..digits].iter().for_each(|digit| self.put(4, u64::from(digit & 15)));
                if digits == value.len() {
                    self.put(4, 15);
                } else {
                    self.put(4, 14);
                    self.text(max, &value[digits..])?;
                }
                &[]
            }
        })
    }

    fn pairs<'a>(&mut self, widths: &[usize], value: &'a [u8]) -> &'a [u8] {
        let mut rest = value;
        for &width in widths {
            let Some((&[tens, ones], after)) = rest.split_first_chunk() else { break };
            self.put(width, u64::from(tens & 15) * 10 + u64::from(ones & 15));
            rest = after;
        }
        rest
    }

    /// Text in the coding that takes the fewest bits; of equals, the one with the lowest indicator.
    fn text(&mut self, max: usize, value: &[u8]) -> Result<(), Reason> {
        if value.len() > max {
            return Err(Reason::Length { field: "value", found: value.len(), min: 1, max });
        }
        let len = value.len();
        let fits = |alphabet: &[u8]| value.iter().all(|c| alphabet.contains(c));
        let is_digits = value.iter().all(u8::is_ascii_digit);
        let costs = [
            (0, is_digits, integer_bits(len)),
            (1, fits(HEX), 4 * len),
            (2, fits(b"0123456789abcdef"), 4 * len),
            (3, fits(BASE64), 6 * len),
            (4, true, 7 * len),
            (5, fits(&CODE40[1..]), 16 * len.div_ceil(3)),
        ];
        let cheapest = costs.iter().filter(|(_, fits, _)| *fits).min_by_key(|(_, _, bits)| *bits);
        let coding = cheapest.map_or(4, |(coding, _, _)| *coding);
        self.put(3, coding);
        self.put(count_bits(max), len as u64);
        match coding {
            0 => self.integer(value),
            5 => self.code40(value),
            1 | 2 => value.iter().for_each(|c| self.put(4, u64::from(char::from(*c).to_digit(16).unwrap_or_default()))),
            3 => value.iter().for_each(|c| self.put(6, place(BASE64, *c))),
            _ => value.iter().for_each(|c| self.put(7, u64::from(*c))),
        }
        Ok(())
    }

    pub(super) fn code40(&mut self, value: &[u8]) {
        for group in value.chunks(3) {
            let code = |index: usize| group.get(index).map_or(0, |c| place(CODE40, *c));
            self.put(16, 1600 * code(0) + 40 * code(1) + code(2) + 1);
        }
    }

    fn integer(&mut self, digits: &[u8]) {
        const OCTETS: usize = integer_bits(TEXT_MAX).div_ceil(8);
        let mut octets = [0u8; OCTETS];
        for digit in digits.iter().take(TEXT_MAX) {
            let mut carry = u16::from(digit & 15);
            for octet in octets.iter_mut().rev() {
                let sum = u16::from(*octet) * 10 + carry;
                (*octet, carry) = (sum as u8, sum >> 8);
            }
        }
        let bits = integer_bits(digits.len().min(TEXT_MAX));
        for index in OCTETS * 8 - bits..OCTETS * 8 {
            self.put(1, u64::from(octets[index / 8] >> (7 - index % 8) & 1));
        }
    }
}

/// Where `c` is in the alphabet.
fn place(alphabet: &[u8], c: u8) -> u64 {
    alphabet.iter().position(|other| *other == c).unwrap_or_default() as u64
}
