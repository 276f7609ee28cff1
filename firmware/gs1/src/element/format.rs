//! Checks a value against the format of its AI.

use super::table::Row;
use super::{Element, ElementError, Reason, VALUE_MAX, iso};
use crate::digits::{check_digit, is_text, number, percent_escape};

/// One component of a format: `[X..17]`.
pub(crate) struct Component<'a> {
    pub(crate) kind: u8,
    pub(crate) min: usize,
    pub(crate) max: usize,
    pub(crate) optional: bool,
    pub(crate) checks: &'a str,
}

/// The components of a format in their order.
pub(crate) fn components(format: &str) -> impl Iterator<Item = Component<'_>> {
    format.split(' ').map(|component| {
        let optional = component.starts_with('[');
        let (shape, checks) = component.split_once(',').unwrap_or((component, ""));
        let shape = shape.trim_matches(['[', ']']);
        let (kind, len) = shape.split_at(1);
        let max = len.trim_start_matches('.').parse().unwrap_or(0);
        let min = if len.starts_with('.') { 1 } else { max };
        Component { kind: kind.as_bytes()[0], min, max, optional, checks }
    })
}

/// Least and most characters of a value.
pub(super) fn lengths(format: &str) -> (usize, usize) {
    components(format).fold((0, 0), |(min, max), component| {
        (min + if component.optional { 0 } else { component.min }, max + component.max)
    })
}

/// Checks that `element`'s value has the format of `row`.
pub(super) fn check(row: &Row, element: &Element<'_>) -> Result<(), ElementError> {
    let mut buffer = [0; VALUE_MAX];
    let mut found = 0;
    for octet in element.value.octets().take(VALUE_MAX + 1) {
        if let Some(place) = buffer.get_mut(found) {
            *place = octet;
        }
        found += 1;
    }
    let error = |(offset, reason)| ElementError { position: element.position + offset, ..element.error(reason) };
    if found > VALUE_MAX {
        let max = lengths(row.format).1;
        return Err(error((max, Reason::Long { found, max })));
    }
    check_value(row.format, &buffer[..found]).map_err(error)
}

/// Checks that a value has the format; else says where it goes wrong.
pub(crate) fn check_value(format: &str, buffer: &[u8]) -> Result<(), Fault> {
    let found = buffer.len();
    let (min, max) = lengths(format);
    if found < min {
        return Err((found, Reason::Short { found, min }));
    }
    if found > max {
        return Err((max, Reason::Long { found, max }));
    }
    let mut at = 0;
    for component in components(format) {
        let rest = &buffer[at..found];
        if rest.is_empty() && component.optional {
            break;
        }
        if rest.len() < component.min {
            return Err((at, Reason::Short { found, min: at + component.min }));
        }
        let value = &rest[..component.max.min(rest.len())];
        let (allowed, fits): (_, fn(u8) -> bool) = match component.kind {
            b'N' => ("digits", |c| c.is_ascii_digit()),
            b'X' => ("the 82 characters of GS1 text", is_text),
            b'Y' => ("capitals, digits, #, - and /", |c| {
                c.is_ascii_uppercase() || c.is_ascii_digit() || b"#-/".contains(&c)
            }),
            _ => ("letters, digits, -, _ and = at the end", |c| c.is_ascii_alphanumeric() || b"-_=".contains(&c)),
        };
        if let Some(index) = value.iter().position(|&c| !fits(c)) {
            return Err((at + index, Reason::Character { found: value[index], allowed }));
        }
        if component.kind == b'Z' {
            // As GS1's syntax engine has it: at most two, at the end, and filling up to threes.
            let data = value.iter().position(|&c| c == b'=').unwrap_or(value.len());
            let padded = value.len() - data;
            if value[data..].iter().any(|&c| c != b'=') || padded > 0 && (padded > 2 || !value.len().is_multiple_of(3))
            {
                return Err((
                    at + data,
                    Reason::Content { allowed: "one or two = at the end, to a multiple of 3 characters" },
                ));
            }
        }
        for name in component.checks.trim_end_matches(']').split(',').filter(|name| !name.is_empty()) {
            content(name, value).map_err(|(offset, reason)| (at + offset, reason))?;
        }
        at += value.len();
    }
    if at < found {
        return Err((at, Reason::Long { found, max: at }));
    }
    Ok(())
}

pub(crate) type Fault = (usize, Reason);

/// Checks the content of a component whose characters are right.
fn content(name: &str, value: &[u8]) -> Result<(), Fault> {
    let part = |range: core::ops::Range<usize>| value.get(range).and_then(number).unwrap_or(0);
    let all = || number(value).unwrap_or(0);
    let must = |holds: bool, offset, allowed| if holds { Ok(()) } else { Err((offset, Reason::Content { allowed })) };
    match name {
        "csum" => {
            let (last, body) = (value.len() - 1, number(&value[..value.len() - 1]).unwrap_or(0));
            let (found, wanted) = (value[last] - b'0', check_digit(body));
            if found == wanted { Ok(()) } else { Err((last, Reason::CheckDigit { found, wanted })) }
        }
        // A company prefix has at least 4 digits (GS1-8 prefixes, U.P.C. prefixes without zeros).
        "gcppos1" => company_prefix(value, 0),
        "gcppos2" => company_prefix(value, 1),
        "yymmdd" => date(2000 + part(0..2), part(2..4), part(4..6), 2, false),
        "yymmd0" => date(2000 + part(0..2), part(2..4), part(4..6), 2, true),
        "yyyymmdd" => date(part(0..4), part(4..6), part(6..8), 4, false),
        "hhmi" => {
            must(part(0..2) < 24, 0, "an hour from 00 to 23")?;
            must(part(2..4) < 60, 2, "a minute from 00 to 59")
        }
        "hh" => must(all() < 24, 0, "an hour from 00 to 23"),
        "mi" => must(all() < 60, 0, "a minute from 00 to 59"),
        "ss" => must(all() < 60, 0, "a second from 00 to 59"),
        "nonzero" => must(all() != 0, 0, "anything but zero"),
        "zero" => must(all() == 0, 0, "zero"),
        "iso3166" => must(iso::is_country_number(value), 0, "a country of ISO 3166"),
        "iso3166999" => must(iso::is_country_number(value) || value == b"999", 0, "a country of ISO 3166, or 999"),
        "iso3166alpha2" => must(iso::is_country(value), 0, "a country of ISO 3166"),
        "iso4217" => must(iso::is_currency(value), 0, "a currency of ISO 4217"),
        "mediatype" => must(matches!(all(), 1..=10 | 80..=99), 0, "01 to 10, or 80 to 99"),
        "iban" => iban(value),
        "csumalpha" => match value.split_last_chunk() {
            Some((key, found)) if check_pair(key) == *found => Ok(()),
            _ => must(false, value.len().saturating_sub(2), "the pair of check characters of what precedes them"),
        },
        "yesno" => must(all() < 2, 0, "0 or 1"),
        "winding" => must(matches!(all(), 0 | 1 | 9), 0, "0, 1 or 9"),
        "iso5218" => must(matches!(all(), 0 | 1 | 2 | 9), 0, "0, 1, 2 or 9"),
        "pieceoftotal" => {
            must(part(0..2) > 0, 0, "a piece from 01 on")?;
            must(part(2..4) > 0, 2, "a total from 01 on")?;
            must(part(0..2) <= part(2..4), 0, "a piece up to the total")
        }
        "latitude" => must(all() <= 1_800_000_000, 0, "a latitude from 0000000000 to 1800000000"),
        "longitude" => must(all() <= 3_600_000_000, 0, "a longitude from 0000000000 to 3600000000"),
        "hyphen" => must(value.iter().all(|&c| c == b'-'), 0, "a hyphen"),
        "nozeroprefix" => must(value[0] != b'0' || value.len() == 1, 0, "a number without leading zeros"),
        "hasnondigit" => must(value.iter().any(|c| !c.is_ascii_digit()), 0, "text with at least one letter or sign"),
        "importeridx" => {
            must(value.iter().all(|&c| c.is_ascii_alphanumeric() || b"-_".contains(&c)), 0, "A-Z a-z 0-9 - _")
        }
        "posinseqslash" => {
            let mut parts = value.splitn(2, |&c| c == b'/').map(|part| number(part).filter(|_| part[0] != b'0'));
            let fits = matches!((parts.next().flatten(), parts.next().flatten()), (Some(at), Some(of)) if at <= of);
            must(fits, 0, "position/number without leading zeros, the position up to the number")
        }
        "pcenc" => {
            let bad = |&index: &usize| value[index] == b'%' && percent_escape(&value[index..]).is_none();
            match (0..value.len()).find(bad) {
                Some(index) => must(false, index, "% with two hex digits"),
                None => Ok(()),
            }
        }
        "couponcode" => coupon(value),
        "couponposoffer" => {
            let end = pieces(value, 0, "=01 0-6+6 #6 0-9+6")?;
            must(end == value.len(), end, "nothing more")
        }
        // UN/ECE recommendation 21 and GS1's own: letters and digits; which of them are given out changes often.
        "packagetype" => {
            must(value.iter().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()), 0, "a package type's code")
        }
        _ => Ok(()),
    }
}

/// The optional fields of a North American coupon by their first digit, in their order.
const COUPON: &[(u8, &str)] = &[
    (b'1', "=0123 1-5+0 =012349 #3 0-6,9+6"),
    (b'2', "1-5+0 =012349 #3 0-6,9+6"),
    (b'3', "date"),
    (b'4', "date"),
    (b'5', "0-9+6"),
    (b'6', "1-7+6"),
    (b'9', "=01256 =012 #1 =01"),
];

/// Checks a North American coupon code (AI 8110).
fn coupon(value: &[u8]) -> Result<(), Fault> {
    let mut at = pieces(value, 0, "0-6+6 #6 1-5+0 1-5+0 =0123459 #3")?;
    let (mut expires, mut starts) = (&b"999999"[..], &b""[..]);
    for &(field, grammar) in COUPON {
        if value.get(at) == Some(&field) {
            let end = pieces(value, at + 1, grammar)?;
            match field {
                b'3' => expires = &value[at + 1..end],
                b'4' => starts = &value[at + 1..end],
                _ => {}
            }
            at = end;
        }
    }
    if at < value.len() {
        return Err((at, Reason::Content { allowed: "an optional field of a coupon, or nothing" }));
    }
    if starts > expires {
        return Err((0, Reason::Content { allowed: "a start before the expiration" }));
    }
    Ok(())
}

/// Reads what the grammar says from offset `at` on and returns the end. A word is `=` and the digits allowed; `#` and
/// how many digits; `date`; or a count's least and greatest digit (`,9`: or 9 for none), `+` and how many digits more
/// follow it than it says.
fn pieces(value: &[u8], at: usize, grammar: &str) -> Result<usize, Fault> {
    let mut at = at;
    let fault = |at, allowed| (at, Reason::Content { allowed });
    let take = |at: &mut usize, len: usize| {
        let digits = value.get(*at..*at + len).filter(|digits| digits.iter().all(u8::is_ascii_digit));
        let digits = digits.ok_or(fault(*at, "more digits of a coupon"))?;
        *at += len;
        Ok(digits)
    };
    for word in grammar.split(' ') {
        let start = at;
        match word.as_bytes() {
            [b'=', allowed @ ..] => {
                let digit = take(&mut at, 1)?[0];
                if !allowed.contains(&digit) {
                    return Err(fault(start, "another digit in a coupon"));
                }
            }
            [b'#', len] => drop(take(&mut at, usize::from(len - b'0'))?),
            b"date" => {
                let digits = take(&mut at, 6)?;
                content("yymmdd", digits).map_err(|(offset, reason)| (start + offset, reason))?;
            }
            [min, b'-', max, none @ .., b'+', more] => {
                let count = take(&mut at, 1)?[0];
                if none.contains(&count) {
                    continue;
                }
                if !(min..=max).contains(&&count) {
                    return Err(fault(start, "another count of digits in a coupon"));
                }
                take(&mut at, usize::from(count - b'0') + usize::from(more - b'0'))?;
            }
            _ => {}
        }
    }
    Ok(at)
}

fn company_prefix(value: &[u8], from: usize) -> Result<(), Fault> {
    let allowed = "a company prefix of at least 4 digits";
    let key = &value[from.min(value.len())..];
    match key.iter().take(4).position(|c| !c.is_ascii_digit()) {
        Some(index) => Err((from + index, Reason::Content { allowed })),
        None if key.len() < 4 => Err((from, Reason::Content { allowed })),
        None => Ok(()),
    }
}

/// Checks an international bank account number (ISO 13616): country, two check digits, account.
fn iban(value: &[u8]) -> Result<(), Fault> {
    let fault = |offset, allowed| Err((offset, Reason::Content { allowed }));
    if value.len() < 10 {
        return fault(0, "a bank account number of at least 10 characters");
    }
    if !iso::is_country(&value[..2]) {
        return fault(0, "a country of ISO 3166");
    }
    if let Some(index) = value.iter().position(|c| !c.is_ascii_uppercase() && !c.is_ascii_digit()) {
        return fault(index, "capitals and digits");
    }
    let rotated = value[4..].iter().chain(&value[..4]);
    let remainder = rotated.fold(0, |sum, &c| match c {
        b'0'..=b'9' => (sum * 10 + u32::from(c - b'0')) % 97,
        _ => (sum * 100 + u32::from(c - b'A') + 10) % 97,
    });
    if remainder == 1 { Ok(()) } else { fault(2, "the check digits of the account") }
}

/// The pair of check characters for a key of text of at most 23 characters (General Specifications §7.9.5).
fn check_pair(key: &[u8]) -> [u8; 2] {
    const WEIGHTS: [u32; 23] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83];
    const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
    let value = |c| (0..c).filter(|&lower| is_text(lower)).count() as u32;
    let sum = key.iter().rev().zip(WEIGHTS).map(|(&c, weight)| value(c) * weight).sum::<u32>() % 1021;
    [ALPHABET[(sum / 32) as usize], ALPHABET[(sum % 32) as usize]]
}

/// Checks a date whose month stands at `month_at`; day 0 is the whole month.
fn date(year: u64, month: u64, day: u64, month_at: usize, whole_month: bool) -> Result<(), Fault> {
    if !(1..=12).contains(&month) {
        return Err((month_at, Reason::Content { allowed: "a month from 01 to 12" }));
    }
    let days = u64::from(days_in_month(year as u16, month as u8));
    if day > days || day == 0 && !whole_month {
        return Err((month_at + 2, Reason::Content { allowed: "a day of that month" }));
    }
    Ok(())
}

/// Days in month 1 to 12 of a year of the Gregorian calendar.
pub(super) const fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
pub(super) fn checks(format: &'static str) -> impl Iterator<Item = &'static str> {
    components(format).flat_map(|c| c.checks.trim_end_matches(']').split(',')).filter(|name| !name.is_empty())
}

/// Whether `content` knows the check: each refuses this value, which fits none.
#[cfg(test)]
pub(super) fn is_known(check: &str) -> bool {
    [&b"9999999999"[..], b"0000000000", b"12345679", b"%%"].iter().any(|value| content(check, value).is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_pairs_and_bank_accounts_of_the_standards() {
        assert_eq!(check_pair(b"1987654Ad4X4bL5ttr2310c"), *b"2K");
        assert_eq!(iban(b"GB82WEST12345698765432"), Ok(()));
        assert!(iban(b"GB83WEST12345698765432").is_err());
    }
}
