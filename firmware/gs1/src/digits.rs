//! Digits and characters: what every GS1 key is made of.

use core::fmt;

/// The check digit for `number`, a GS1 key without its last digit (General Specifications §7.9).
///
/// ```
/// # use stowage_gs1::digits::check_digit;
/// assert_eq!(check_digit(400638133393), 1);
/// ```
pub const fn check_digit(number: u64) -> u8 {
    let (mut rest, mut weight, mut sum) = (number, 3, 0);
    while rest > 0 {
        sum += rest % 10 * weight;
        rest /= 10;
        weight = 4 - weight;
    }
    ((10 - sum % 10) % 10) as u8
}

/// Whether the last digit of `key` is the right check digit.
pub const fn check_digit_holds(key: u64) -> bool {
    check_digit(key / 10) as u64 == key % 10
}

/// The number that `text` spells, if it consists of 1 to 19 decimal digits and nothing else.
pub fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    text.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))
}

/// 10 to the power of `exponent`, which is at most 19.
pub(crate) const fn power_of_ten(exponent: u8) -> u64 {
    10u64.pow(exponent as u32)
}

/// Whether `octet` is of the 82 characters that GS1 allows in text (General Specifications figure 7.11-1).
pub const fn is_text(octet: u8) -> bool {
    matches!(octet, b'!' | b'"' | b'%'..=b'?' | b'A'..=b'Z' | b'_' | b'a'..=b'z')
}

/// Whether a character stands for itself anywhere in a URI (RFC 3986 §2.3).
pub(crate) const fn is_unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~')
}

/// The octet that the escape `%hh` at the front of `text` stands for.
pub(crate) fn percent_escape(text: &[u8]) -> Option<u8> {
    let &[b'%', high, low, ..] = text else { return None };
    let digit = |octet: u8| (octet as char).to_digit(16);
    Some((digit(high)? << 4 | digit(low)?) as u8)
}

/// Passes on what is written to it, with every character that `plain` refuses as `%HH`.
pub(crate) struct Escaped<'a, 'b> {
    pub(crate) to: &'a mut fmt::Formatter<'b>,
    pub(crate) plain: fn(u8) -> bool,
}

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().try_for_each(|octet| {
            if (self.plain)(octet) { self.to.write_char(octet as char) } else { write!(self.to, "%{octet:02X}") }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_of_known_keys() {
        for key in [4006381333931, 9506000134352, 106141412345678908, 614141123452, 96385074, 0] {
            assert!(check_digit_holds(key), "{key}");
            assert!(!check_digit_holds(key + 1), "{key}");
        }
    }

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(number(b"0042"), Some(42));
        assert_eq!(number(b"9999999999999999999"), Some(9_999_999_999_999_999_999));
        for bad in [&b""[..], b"+1", b" 1", b"1a", b"10000000000000000000"] {
            assert_eq!(number(bad), None);
        }
    }

    #[test]
    fn text_has_82_characters() {
        assert_eq!((0..=255).filter(|&octet| is_text(octet)).count(), 82);
    }
}
