//! What a warehouse asks of a scan.

use super::{Elements, format};
use stowage_base::{Code, ItemRef};

/// What elements say of goods. Absent is `None`; dates are YYMMDD, where day 00 is the whole month: [`expiry_date`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scan {
    /// AI (00): the handling unit.
    pub sscc: Option<u64>,
    /// AI (01): the trade item; else (8006), of which it is a piece.
    pub gtin: Option<u64>,
    /// AI (02): the trade item inside the handling unit.
    pub content: Option<u64>,
    /// AI (37), or (30): how many.
    pub count: Option<u32>,
    /// AI (10).
    pub lot: Option<Code>,
    /// AI (21).
    pub serial: Option<Code>,
    /// AI (17), or the day of (7003).
    pub expiry: Option<u32>,
    /// AI (15).
    pub best_before: Option<u32>,
    /// AI (11).
    pub produced: Option<u32>,
}

impl Scan {
    pub(super) fn of(elements: &Elements<'_>) -> Self {
        let mut scan = Self::default();
        for element in elements.iter() {
            let number = || element.value.number();
            let short = || number().and_then(|number| u32::try_from(number).ok());
            match element.ai.as_str() {
                "00" => scan.sscc = number(),
                "01" => scan.gtin = number(),
                "8006" => scan.gtin = scan.gtin.or(number().map(|itip| itip / 10_000)),
                "02" => scan.content = number(),
                "37" => scan.count = short(),
                "30" => scan.count = scan.count.or(short()),
                "10" => scan.lot = element.value.code(),
                "21" => scan.serial = element.value.code(),
                "17" => scan.expiry = short(),
                "7003" => scan.expiry = scan.expiry.or(number().map(|minutes| (minutes / 10_000) as u32)),
                "15" => scan.best_before = short(),
                "11" => scan.produced = short(),
                _ => {}
            }
        }
        scan
    }

    /// The thing that the scan names: the handling unit, else the trade item.
    pub fn item(&self) -> Option<ItemRef> {
        match (self.sscc, self.gtin) {
            (Some(sscc), _) => Some(ItemRef::Sscc(sscc)),
            (None, Some(gtin)) => {
                Some(ItemRef::Gtin { gtin, lot: self.lot.clone(), serial: self.serial.clone(), expiry: self.expiry })
            }
            (None, None) => None,
        }
    }
}

/// Year, month and day of a date YYMMDD in the year `this_year`. Day 00 is the month's last; the century is the one
/// that brings the year within 49 before and 50 after this one (General Specifications §7.12). `None` if it is no date.
pub const fn expiry_date(yymmdd: u32, this_year: u16) -> Option<(u16, u8, u8)> {
    let (yy, month, day) = (yymmdd / 10_000, (yymmdd / 100 % 100) as u8, (yymmdd % 100) as u8);
    if yy > 99 || month < 1 || month > 12 || this_year < 100 || this_year > 9_800 {
        return None;
    }
    let century = this_year - this_year % 100;
    let year = match yy as i32 - this_year as i32 % 100 {
        51.. => century - 100 + yy as u16,
        ..=-50 => century + 100 + yy as u16,
        _ => century + yy as u16,
    };
    let last = format::days_in_month(year, month);
    if day > last { None } else { Some((year, month, if day == 0 { last } else { day })) }
}
