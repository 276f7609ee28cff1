//! `stowage facts`: reads the journal.

use super::Error;
use super::output::{Line, Output};
use crate::journal::{Filter, Key, Reader, Recorded};
use std::ops::ControlFlow;
use std::path::PathBuf;
use stowage_base::{Epc, Timestamp};
use stowage_core::{Fact, identity};

/// List the facts of a journal, oldest first
///
/// Also beside a running daemon, which does not notice. All the conditions given must hold.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The edge's data folder
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The thing: pure identity URI, the EPC in hex, SKU, parcel or device code
    #[arg(long, value_name = "CODE")]
    item: Option<String>,
    /// Location, zone or chute code
    #[arg(long, value_name = "CODE")]
    location: Option<String>,
    /// Lot or batch
    #[arg(long, value_name = "LOT")]
    lot: Option<String>,
    /// The badge of who acted
    #[arg(long, value_name = "BADGE")]
    worker: Option<String>,
    /// Kind of fact, such as stock.moved, or a family, such as stock
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Recorded then or later: 2026-11-24, 2026-11-24T22:10:00Z (both UTC), or µs since 1970
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
}

struct Row<'a>(&'a Recorded);

impl Line for Row<'_> {
    const COLUMNS: &'static [(&'static str, usize)] =
        &[("seq", 8), ("at", 24), ("kind", 20), ("who", 16), ("what", 40), ("where", 10), ("why", 0)];

    fn cells(&self) -> Vec<String> {
        let Recorded { key, kind, line } = self.0;
        let Ok((_, fact)) = Fact::parse(line) else {
            return vec![key.to_string(), String::new(), kind.clone(), String::new(), line.clone()];
        };
        let place = fact.place.map(|place| place.to_string());
        let texts = [fact.who, fact.what, place, fact.why].map(Option::unwrap_or_default);
        [key.to_string(), fact.at.to_string(), kind.clone()].into_iter().chain(texts).collect()
    }

    fn json(&self) -> String {
        self.0.line.clone()
    }
}

pub(super) fn run(args: &Args, out: &mut Output<'_>) -> Result<(), Error> {
    let reader = Reader::open(&args.data).map_err(|error| Error::Job(error.to_string()))?;
    // Facts name a tag by its URI, where it has one.
    let item = |item: &String| {
        Epc::from_hex(item).filter(|_| item.len() >= 16).map_or(item.clone(), |epc| identity::name(&epc))
    };
    // What no fact is named by may still be the SKU of many.
    let mut what = args.item.as_ref().map(item);
    let named = Filter { what: what.clone(), ..Filter::default() };
    let known = what.is_none()
        || !reader.page(&named, Key::START, 1).map_err(|error| Error::Job(error.to_string()))?.is_empty();
    let sku = if known { None } else { what.take() };
    let filter = Filter {
        since: args.since,
        what,
        sku,
        lot: args.lot.clone(),
        place: args.location.clone(),
        who: args.worker.as_ref().map(|badge| format!("worker:{badge}")),
        kind: args.kind.clone(),
    };
    let mut written = Ok(());
    let take = |fact: &Recorded| {
        written = out.line(&Row(fact));
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    reader.each(&filter, Key::START, take).map_err(|error| Error::Job(error.to_string()))?;
    Ok(written?)
}

/// A day, an RFC 3339 time in UTC, or µs since 1970.
fn time(text: &str) -> Result<Timestamp, String> {
    let wrong = || "not a time: give 2026-11-24, 2026-11-24T22:10:00Z, or µs since 1970".to_owned();
    if let Ok(micros) = text.parse() {
        return Ok(Timestamp::from_micros(micros));
    }
    let (day, of_day) = match text.split_once(['T', ' ']) {
        None => (text, "00:00:00"),
        Some((day, of_day)) => (day, of_day.strip_suffix('Z').ok_or_else(wrong)?),
    };
    let numbers = |text: &str, separator| -> Option<[i64; 3]> {
        let parts: Vec<&str> = text.split(separator).collect();
        let digits = |part: &&str| part.len() >= 2 && part.bytes().all(|octet| octet.is_ascii_digit());
        let parts: Option<Vec<i64>> = parts.iter().map(|part| part.parse().ok().filter(|_| digits(part))).collect();
        parts?.try_into().ok()
    };
    let (of_day, fraction) = of_day.split_once('.').unwrap_or((of_day, "0"));
    let [year, month, day] = numbers(day, '-').ok_or_else(wrong)?;
    let [hour, minute, second] = numbers(of_day, ':').ok_or_else(wrong)?;
    if !fraction.bytes().all(|octet| octet.is_ascii_digit()) || hour > 23 || minute > 59 || second > 59 {
        return Err(wrong());
    }
    let micros: i64 = format!("{fraction:0<6}").get(..6).and_then(|digits| digits.parse().ok()).ok_or_else(wrong)?;
    let midnight = midnight(year, month, day).ok_or_else(wrong)?;
    Ok(Timestamp::from_micros(midnight + ((hour * 60 + minute) * 60 + second) * 1_000_000 + micros))
}

/// µs from 1970 to the day's beginning, UTC; `None` if there is no such day from 1970 to 9999.
fn midnight(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1970..=9999).contains(&year) {
        return None;
    }
    // Years are counted from 1 March, so that leap days come last.
    let (shifted_year, shifted_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = shifted_year / 4 - shifted_year / 100 + shifted_year / 400;
    let days = 365 * shifted_year + leap_days + (153 * shifted_month + 2) / 5 + day - 719_469;
    let micros = days * 86_400_000_000;
    // The way back refuses a 31 June.
    let (y, m, d, _) = Timestamp::from_micros(micros).civil();
    ((y, i64::from(m), i64::from(d)) == (year, month, day)).then_some(micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::stowage;
    use proptest::prelude::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let micros = |text| time(text).map(Timestamp::micros);
        assert_eq!(micros("1970-01-01"), Ok(0));
        assert_eq!(micros("2000-02-29"), Ok(951_782_400_000_000));
        assert_eq!(micros("2026-11-24T22:10:00.123456Z"), Ok(1_795_558_200_123_456));
        assert_eq!(micros("1795558200123456"), Ok(1_795_558_200_123_456));
        for text in
            ["", "yesterday", "2026-13-01", "2026-02-30", "2026-11-24T22:10:00", "2026-11-24T24:00:00Z", "2026-1-1"]
        {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn goods_are_found_by_sku_and_by_lot() {
        use crate::journal::{Journal, SqliteCommit};
        use std::sync::Arc;
        use stowage_base::{Intent, IntentBody, ItemRef};
        use stowage_core::{Commit, Engine, Input, site::DeviceIx};
        let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/demo/edge.toml");
        let site = crate::config::load_edge(&demo).expect("the demo is good").site;
        let code = |text| stowage_base::code(text).expect("short");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (journal, stored) = Journal::open(folder.path(), &site.code).expect("opens");
        let bulk = site.skus.iter().find(|sku| !sku.serialised).expect("some goods by quantity").clone();
        let scanner = site.device_coded("scan-1").map_or(DeviceIx(0), |scanner| scanner);
        let mut engine = Engine::new(Arc::new(site), stored).expect("empty");
        let now = Timestamp::from_micros(1_000_000);
        for (seq, lot) in [(1, "L7"), (2, "L8")] {
            let item = ItemRef::Gtin { gtin: bulk.gtin, lot: Some(code(lot)), serial: None, expiry: None };
            let body = IntentBody::Receive { item, quantity: 3, at: code("DOCK") };
            engine.input(now, Input::Intent { scanner, intent: Intent { seq, at: now, worker: code("W1"), body } });
        }
        let mut commit = SqliteCommit::start(journal, || ()).expect("starts");
        commit.submit(now, engine.take_batch().expect("facts"));
        drop(commit);
        let data = folder.path().to_str().expect("text");
        let found = |option: &str, value: &str| {
            let (status, out, err) = stowage(&["facts", "--data", data, "--kind", "stock", option, value], b"");
            assert_eq!((status, err.as_str()), (0, ""));
            out.lines().count()
        };
        assert_eq!((found("--item", &bulk.code), found("--lot", "L7"), found("--lot", "L9")), (2, 1, 0));
    }

    #[test]
    fn a_folder_without_a_journal_fails_the_job() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (status, out, err) = stowage(&["facts", "--data", folder.path().to_str().expect("text")], b"");
        assert_eq!((status, out.as_str()), (1, ""));
        assert!(err.starts_with("stowage: ") && err.contains("there is no journal"), "{err}");
    }

    proptest! {
        #[test]
        fn printed_times_are_read_back(millis in 0_i64..253_402_300_800_000) {
            let at = Timestamp::from_micros(millis * 1_000);
            prop_assert_eq!(time(&at.to_string()), Ok(at));
        }
    }
}
