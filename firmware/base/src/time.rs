//! Instants and spans in whole microseconds.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};
use serde::{Deserialize, Serialize};

/// An instant: microseconds since 1970-01-01T00:00:00 UTC, leap seconds left out. Years 1970 to 9999 print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// A span of time in microseconds; may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Duration(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00 UTC.
    pub const EPOCH: Self = Self(0);
    /// Later than every instant that occurs.
    pub const MAX: Self = Self(i64::MAX);

    /// The instant `micros` µs after 1970 UTC.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970 UTC.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The span from `earlier` to here; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        let span = self.0.saturating_sub(earlier.0);
        Duration(if span < 0 { 0 } else { span })
    }

    /// Year, month 1–12, day 1–31, and the microsecond within that day (proleptic Gregorian calendar, UTC).
    pub const fn civil(self) -> (i64, u8, u8, i64) {
        const DAY: i64 = 86_400_000_000;
        let (days, of_day) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        // Days are counted in 400-year eras that start on a 1 March, so that leap days come last.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * of_year + 2) / 153;
        let day = (of_year - (153 * march_month + 2) / 5 + 1) as u8;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 } as u8;
        (year_of_era + era * 400 + (month <= 2) as i64, month, day, of_day)
    }
}

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// `micros` µs.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// `millis` ms.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis * 1_000)
    }

    /// `secs` s.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs * 1_000_000)
    }

    /// Microseconds.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds, rounded towards zero.
    pub const fn millis(self) -> i64 {
        self.0 / 1_000
    }
}

impl From<Duration> for core::time::Duration {
    /// A negative span becomes zero.
    fn from(span: Duration) -> Self {
        Self::from_micros(span.0.max(0) as u64)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl AddAssign<Duration> for Timestamp {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Sub for Timestamp {
    type Output = Duration;
    fn sub(self, other: Self) -> Duration {
        Duration(self.0.saturating_sub(other.0))
    }
}

impl Add for Duration {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Duration {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-11-24T22:10:00.123Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, micros) = self.civil();
        let (secs, millis) = (micros / 1_000_000, micros / 1_000 % 1_000);
        let (hour, minute, second) = (secs / 3_600, secs / 60 % 60, secs % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn prints_as_rfc_3339() {
        let at = |micros| Timestamp::from_micros(micros).to_string();
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_399_999_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(at(951_782_400_000_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_795_558_200_123_456), "2026-11-24T22:10:00.123Z");
        assert_eq!(at(4_107_542_400_000_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn spans_saturate_and_since_is_never_negative() {
        let (early, late) = (Timestamp::from_micros(5), Timestamp::from_micros(9));
        assert_eq!(late - early, Duration::from_micros(4));
        assert_eq!(early - late, Duration::from_micros(-4));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(Timestamp::MAX + Duration::from_secs(1), Timestamp::MAX);
    }
}
