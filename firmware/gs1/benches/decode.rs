//! EPC → SGTIN fields, and scan → elements, beside hand-written floors: `cargo bench -p stowage-gs1`.
//!
//! A floor reads only what it knows will come and checks as little as can be called right. Wall time on a loaded machine
//! is noise, ratios within one run are not: contenders take turns, the best turn of each counts, and both must have read
//! the same values.

use std::hint::black_box;
use std::time::{Duration, Instant};
use stowage_base::Epc;
use stowage_gs1::digits::{check_digit, number};
use stowage_gs1::element::Elements;
use stowage_gs1::epc::{Identity, sgtin96};

/// Few enough that a turn is over before another process gets its turn.
const CODES: u64 = 200;
const ROUNDS: usize = 2000;

/// Reads one code: GTIN and serial number.
type Read<T> = fn(&T) -> Option<(u64, u64)>;

/// Prints how long each contender takes for one of `items`.
fn compare<T>(name: &str, items: &[T], ours: Read<T>, floor: Read<T>) {
    let mut best = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        let sums = [ours, floor].map(|read| {
            let start = Instant::now();
            let sum = items.iter().try_fold((0u64, 0u64), |(gtins, serials), item| {
                let (gtin, serial) = read(black_box(item))?;
                Some((gtins.wrapping_add(gtin), serials.wrapping_add(serial)))
            });
            (sum, start.elapsed())
        });
        assert!(sums[0].0.is_some() && sums[0].0 == sums[1].0, "{name}: {sums:?}");
        best = [0, 1].map(|index| best[index].min(sums[index].1));
    }
    let [ours, floor] = best.map(|time| time.as_nanos() as f64 / items.len() as f64);
    println!("{name:<32} {ours:>7.1} ns  {:>6.2} M/s   floor {floor:>6.1} ns   {:.1} x", 1e3 / ours, ours / floor);
}

fn ours_epc(epc: &Epc) -> Option<(u64, u64)> {
    let identity = Identity::decode(epc).ok()?;
    Some((identity.gtin()?, identity.serial_number()?))
}

/// An SGTIN-96 with a company prefix of 7 digits, and no other.
fn floor_epc(epc: &Epc) -> Option<(u64, u64)> {
    let word = epc.octets().try_into().ok().map(|octets: [u8; 12]| {
        let mut wide = [0; 16];
        wide[..12].copy_from_slice(&octets);
        u128::from_be_bytes(wide)
    })?;
    let field = |at: usize, len: usize| (word << at >> (128 - len)) as u64;
    let (prefix, reference) = (field(14, 24), field(38, 20));
    if field(0, 8) != 0x30 || field(11, 3) != 5 || prefix > 9_999_999 || reference > 999_999 {
        return None;
    }
    let body = reference / 100_000 * 1_000_000_000_000 + prefix * 100_000 + reference % 100_000;
    Some((body * 10 + u64::from(check_digit(body)), field(58, 38)))
}

fn ours_scan(scan: &&str) -> Option<(u64, u64)> {
    let elements = Elements::parse(scan).ok()?;
    Some((elements.value("01")?.number()?, elements.value("21")?.number()?))
}

/// `]C1`, a GTIN, an expiry, a lot, a serial, and nothing else.
fn floor_scan(scan: &&str) -> Option<(u64, u64)> {
    let rest = scan.strip_prefix("]C101")?;
    let (gtin, rest) = rest.split_at_checked(14)?;
    let (date, rest) = rest.strip_prefix("17")?.split_at_checked(6)?;
    let (lot, rest) = rest.strip_prefix("10")?.split_once('\u{1D}')?;
    let serial = rest.strip_prefix("21")?;
    let (gtin, date) = (number(gtin.as_bytes())?, number(date.as_bytes())?);
    let fits = |text: &str| text.len() <= 20 && text.bytes().all(|c| c.is_ascii_graphic());
    let right =
        check_digit(gtin / 10) as u64 == gtin % 10 && (1..=12).contains(&(date / 100 % 100)) && date % 100 <= 31;
    (right && fits(lot) && fits(serial)).then(|| number(serial.as_bytes()))?.map(|serial| (gtin, serial))
}

fn main() {
    let gtin = |index: u64| {
        let body = 952_132_100_000 + index % 100;
        body * 10 + u64::from(check_digit(body))
    };
    let epcs: Vec<_> = (0..CODES).map(|index| sgtin96(gtin(index), 7, index * 7919, 1).expect("in range")).collect();
    compare("SGTIN-96 to GTIN and serial", &epcs, ours_epc, floor_epc);
    let scans: Vec<_> = (0..CODES)
        .map(|index| format!("]C101{:014}1727030010LOT{index}\u{1D}21{}", gtin(index), index * 7919))
        .collect();
    let scans: Vec<_> = scans.iter().map(String::as_str).collect();
    compare("GS1-128 scan to its elements", &scans, ours_scan, floor_scan);
}
