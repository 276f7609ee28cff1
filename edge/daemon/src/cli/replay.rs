//! `stowage replay`: recorded reads through presence, as if they came now.
//!
//! A recording holds reads, no visits. An antenna's visit is taken to last while the reader's reads come from it, and
//! to end with the first from another of its antennas, or after a second of silence. An antenna that has shown that it
//! works, and whose turn must have come while the others were heard, is taken to have looked and heard nothing.

use super::Error;
use super::output::{Line, Output, to_json};
use crate::config::load_site;
use serde::Serialize;
use std::path::PathBuf;
use stowage_base::{Duration, Epc, TagRead, Timestamp, Visit};
use stowage_core::presence::{Decision, Outcome, Presence};
use stowage_core::site::{DeviceIx, ReadPointIx, Site, ZoneIx};

/// Run recorded reads through presence: where is each tag, how surely, and when did it move
///
/// Prints a line for each read, in order of time, with what is believed after it (moved: false), and a line for each
/// decision when it falls. The table has a head with the columns time (s), reader, antenna, epc (hex) and rssi (dBm);
/// phase (0 to 4095) and channel may be missing, others are passed over. Readers are called as in the site's file; if
/// that knows only one, every reader is taken to be it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Table of reads, comma-separated
    #[arg(long, value_name = "FILE")]
    csv: PathBuf,
    /// site.toml
    #[arg(long, value_name = "FILE")]
    site: PathBuf,
}

/// What is believed of a tag.
#[derive(Debug, Serialize)]
struct Belief {
    /// s, as in the recording.
    time: f64,
    epc: Epc,
    zone: Option<String>,
    /// Probability of the zone.
    confidence: Option<f64>,
    runner_up: Option<RunnerUp>,
    /// The zone has just changed.
    moved: bool,
}

#[derive(Debug, Serialize)]
struct RunnerUp {
    zone: String,
    confidence: f64,
}

impl Line for Belief {
    const COLUMNS: &'static [(&'static str, usize)] =
        &[("time", 18), ("epc", 26), ("zone", 14), ("conf.", 6), ("runner-up", 20), ("moved", 0)];

    fn cells(&self) -> Vec<String> {
        let runner_up = self.runner_up.as_ref().map(|next| format!("{} {:.3}", next.zone, next.confidence));
        vec![
            format!("{:.6}", self.time),
            self.epc.to_string(),
            self.zone.clone().unwrap_or("-".into()),
            self.confidence.map_or("-".into(), |confidence| format!("{confidence:.3}")),
            runner_up.unwrap_or("-".into()),
            if self.moved { "moved".into() } else { String::new() },
        ]
    }

    fn json(&self) -> String {
        to_json(self)
    }
}

pub(super) fn run(args: &Args, out: &mut Output<'_>) -> Result<(), Error> {
    let site = load_site(&args.site).map_err(|faults| Error::Job(faults.to_string()))?;
    let octets = std::fs::read(&args.csv).map_err(|error| Error::Job(format!("{}: {error}", args.csv.display())))?;
    let name = args.csv.display();
    let table =
        parse(&String::from_utf8_lossy(&octets), &site).map_err(|fault| Error::Job(format!("{name}: {fault}")))?;
    if let Some((line, why)) = &table.first_skipped {
        let (skipped, lines) = (table.skipped, if table.skipped == 1 { "line" } else { "lines" });
        tracing::warn!("{name}: {skipped} {lines} passed over, the first is line {line}: {why}");
    }
    if table.reads.is_empty() {
        return Err(Error::Job(format!("{name}: holds no read of an antenna that the site knows")));
    }
    let mut replay = Replay::new(&site);
    for (point, read) in &table.reads {
        replay.read(*point, read, out)?;
    }
    replay.finish(out)
}

/// The reads in order of time.
#[derive(Debug, Default)]
struct Table {
    reads: Vec<(ReadPointIx, TagRead)>,
    skipped: u32,
    first_skipped: Option<(usize, String)>,
}

/// Columns that are read, with other names for them.
const COLUMNS: [&[&str]; 6] =
    [&["time", "timestamp"], &["reader"], &["antenna"], &["epc"], &["rssi"], &["phase", "phase_angle"]];
/// All but phase.
const NEEDED: usize = 5;

fn parse(text: &str, site: &Site) -> Result<Table, String> {
    let mut lines = text.trim_start_matches('\u{FEFF}').lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let (_, head) = lines.next().ok_or("is empty: the first line names the columns")?;
    let head: Vec<String> = head.split(',').map(|name| cell(name).to_ascii_lowercase()).collect();
    let find = |names: &&[&str]| head.iter().position(|column| names.contains(&column.as_str()));
    let at: Vec<Option<usize>> = COLUMNS.iter().map(find).collect();
    let missing: Vec<&str> =
        COLUMNS.iter().zip(&at).take(NEEDED).filter(|(_, at)| at.is_none()).map(|(c, _)| c[0]).collect();
    if !missing.is_empty() {
        return Err(format!("lacks the columns {}: the first line names them", missing.join(", ")));
    }
    let readers: Vec<DeviceIx> = {
        let mut readers: Vec<_> = site.read_points.iter().map(|point| point.device).collect();
        readers.sort_unstable();
        readers.dedup();
        readers
    };
    let mut table = Table::default();
    for (line, row) in lines {
        let cells: Vec<&str> = row.split(',').map(cell).collect();
        let field = |column: usize| at[column].and_then(|at| cells.get(at)).copied().unwrap_or("");
        match read(&field, site, &readers) {
            Ok(read) => table.reads.push(read),
            Err(why) => {
                table.skipped += 1;
                table.first_skipped.get_or_insert((line + 1, why));
            }
        }
    }
    // Readers report in batches: not in the order of time.
    table.reads.sort_by_key(|(_, read)| read.at);
    Ok(table)
}

fn cell(cell: &str) -> &str {
    cell.trim().trim_matches('"').trim()
}

fn read<'a>(
    field: &impl Fn(usize) -> &'a str,
    site: &Site,
    readers: &[DeviceIx],
) -> Result<(ReadPointIx, TagRead), String> {
    let wrong = |column: usize, allowed: &str| format!("{} {:?}: give {allowed}", COLUMNS[column][0], field(column));
    let number = |column: usize, low: f64, high: f64, allowed: &str| {
        let number = field(column).parse::<f64>().ok().filter(|number| (low..=high).contains(number));
        number.ok_or_else(|| wrong(column, allowed))
    };
    let time = number(0, 0.0, 9e12, "seconds")?;
    let antenna = number(2, 1.0, 65_535.0, "a port from 1")? as u16;
    let rssi = number(4, -200.0, 50.0, "dBm")?;
    // Python writes octets as b'…'.
    let hex = field(3).strip_prefix('b').map_or(field(3), |quoted| quoted.trim_matches('\''));
    let hex = hex.strip_prefix("0x").unwrap_or(hex);
    let epc = Epc::from_hex(hex).filter(|epc| !epc.octets().is_empty()).ok_or_else(|| wrong(3, "hex digits"))?;
    let phase = match field(5) {
        "" => None,
        _ => Some(number(5, 0.0, 4095.0, "0 to 4095")? as u16),
    };
    let device = match (site.device_coded(field(1)), readers) {
        (Some(device), _) => device,
        (None, [only]) => *only,
        (None, _) => return Err(wrong(1, "a reader of the site")),
    };
    let point = site.read_point(device, antenna).ok_or_else(|| wrong(2, "an antenna of the site"))?;
    let at = Timestamp::from_micros((time * 1e6).round() as i64);
    let rssi_cdbm = (rssi * 100.0).round() as i16;
    Ok((point, TagRead { epc, antenna, rssi_cdbm, count: 1, at, frequency_khz: None, phase }))
}

/// A visit ends after this silence of its reader.
const SILENCE: Duration = Duration::from_secs(1);
/// An antenna's turn must have come in this time.
const TURN: Duration = Duration::from_millis(500);
/// Portals decide within this time after the last read.
const CLOSE: Duration = Duration::from_secs(31);

struct Replay<'a> {
    site: &'a Site,
    presence: Presence,
    /// By device: the antenna that is heard, from when to when, how often.
    looking: Vec<Option<Looking>>,
    /// By read point: when it last looked, if it ever heard anything.
    looked: Vec<Option<Timestamp>>,
    decisions: Vec<Decision>,
}

#[derive(Debug, Clone, Copy)]
struct Looking {
    point: ReadPointIx,
    start: Timestamp,
    end: Timestamp,
    reads: u32,
}

impl<'a> Replay<'a> {
    fn new(site: &'a Site) -> Self {
        let devices = site.read_points.iter().map(|point| usize::from(point.device.0) + 1).max().unwrap_or(0);
        Self {
            site,
            presence: Presence::new(site),
            looking: vec![None; devices],
            looked: vec![None; site.read_points.len()],
            decisions: Vec::new(),
        }
    }

    fn read(&mut self, point: ReadPointIx, read: &TagRead, out: &mut Output<'_>) -> Result<(), Error> {
        for device in 0..self.looking.len() {
            let own = usize::from(self.site.read_points[usize::from(point.0)].device.0) == device;
            let over = |looking: &Looking| own && looking.point != point || read.at.since(looking.end) > SILENCE;
            if self.looking[device].as_ref().is_some_and(over) {
                self.close(device);
            }
        }
        self.presence.tick(read.at, &mut self.decisions);
        self.tell(read.at, out)?;
        let device = usize::from(self.site.read_points[usize::from(point.0)].device.0);
        let looking = self.looking[device].get_or_insert(Looking { point, start: read.at, end: read.at, reads: 0 });
        (looking.end, looking.reads) = (read.at, looking.reads + 1);
        self.presence.read(point, read);
        Ok(out.line(&self.belief(read.at, &read.epc))?)
    }

    /// The visit under way at a reader is over.
    fn close(&mut self, device: usize) {
        let Some(Looking { point, start, end, reads }) = self.looking[device].take() else { return };
        self.looked[usize::from(point.0)] = Some(end);
        self.presence.visit(end, point, &self.visit(point, start, end, reads), &mut self.decisions);
        for other in 0..self.looked.len() {
            let mates = usize::from(self.site.read_points[other].device.0) == device;
            if let Some(before) = self.looked[other].filter(|&before| mates && end.since(before) > TURN) {
                self.looked[other] = Some(end);
                let other = ReadPointIx(other as u16);
                let start = before.max(end - TURN);
                self.presence.visit(end, other, &self.visit(other, start, end, 0), &mut self.decisions);
            }
        }
    }

    fn visit(&self, point: ReadPointIx, start: Timestamp, end: Timestamp, reads: u32) -> Visit {
        Visit { antenna: self.site.read_points[usize::from(point.0)].antenna, start, end, reads, healthy: true }
    }

    /// Closes what is open.
    fn finish(&mut self, out: &mut Output<'_>) -> Result<(), Error> {
        let Some(last) = self.looking.iter().flatten().map(|looking| looking.end).max() else { return Ok(()) };
        (0..self.looking.len()).for_each(|device| self.close(device));
        self.tell(last, out)?;
        while let Some(due) = self.presence.next_deadline().filter(|&due| due <= last + CLOSE) {
            self.presence.tick(due, &mut self.decisions);
            self.tell(due, out)?;
        }
        Ok(())
    }

    /// Prints the decisions that have fallen.
    fn tell(&mut self, now: Timestamp, out: &mut Output<'_>) -> Result<(), Error> {
        for decision in std::mem::take(&mut self.decisions) {
            let (zone, moved) = match decision.outcome {
                Outcome::Moved { from, to, .. } => (to, from.is_some()),
                Outcome::TurnedBack { zone, .. } => (zone, false),
            };
            let told = Belief {
                time: seconds(now),
                epc: decision.epc,
                zone: Some(self.code(zone)),
                confidence: Some(share(decision.confidence)),
                runner_up: decision.runner_up.map(|next| self.runner_up(next)),
                moved,
            };
            out.line(&told)?;
        }
        Ok(())
    }

    fn belief(&self, now: Timestamp, epc: &Epc) -> Belief {
        let posterior = self.presence.posterior(epc);
        let zone = posterior.as_ref().and_then(|posterior| posterior.committed);
        let candidates = posterior.map_or(Vec::new(), |posterior| posterior.candidates);
        let of = |zone: ZoneIx| candidates.iter().find(|known| known.0 == zone).map_or(0, |known| known.1);
        Belief {
            time: seconds(now),
            epc: *epc,
            zone: zone.map(|zone| self.code(zone)),
            confidence: zone.map(|zone| share(of(zone))),
            runner_up: candidates.iter().find(|known| Some(known.0) != zone).map(|&next| self.runner_up(next)),
            moved: false,
        }
    }

    fn runner_up(&self, (zone, permille): (ZoneIx, u16)) -> RunnerUp {
        RunnerUp { zone: self.code(zone), confidence: share(permille) }
    }

    fn code(&self, zone: ZoneIx) -> String {
        self.site.zone(zone).code.to_string()
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.since(Timestamp::EPOCH).micros() as f64 / 1e6
}

fn share(permille: u16) -> f64 {
    f64::from(permille) / 1000.0
}

#[cfg(test)]
mod tests {
    use crate::cli::testing::{json, stowage};

    const SITE: &str = r#"
kind = "site"
code = "t"
name = "Test"
time_zone = "UTC"
zone = [
  { code = "A", kind = "aisle", area = [0, 0, 1000, 1000] },
  { code = "B", kind = "aisle", area = [1000, 0, 1000, 1000] },
]
passage = [{ between = ["A", "B"] }]
read_point = [
  { device = "r1", antenna = 1, zone = "A" },
  { device = "r1", antenna = 2, zone = "B" },
]
"#;

    fn replay(csv: &str) -> (u8, String, String) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (site, reads) = (folder.path().join("site.toml"), folder.path().join("reads.csv"));
        std::fs::write(&site, SITE).expect("writes");
        std::fs::write(&reads, csv).expect("writes");
        let [site, reads] = [&site, &reads].map(|path| path.to_str().expect("text").to_owned());
        stowage(&["replay", "--csv", &reads, "--site", &site], b"")
    }

    #[test]
    fn a_tag_that_is_carried_over_moves_once_whatever_the_order_of_its_rows() {
        let row = |at: f64, antenna: u8, rssi: i32| format!("{at:.3},r1,{antenna},3034AB,{rssi},17,3\n");
        let mut rows: Vec<String> = (0..200)
            .map(|n| {
                let at = 1000.0 + f64::from(n) * 0.1;
                let (near, far) = if n < 100 { (1, 2) } else { (2, 1) };
                row(at, near, -50) + &row(at + 0.05, far, -68)
            })
            .collect();
        let head = "time,reader,antenna,epc,rssi,phase,channel\n";
        let sorted = replay(&(head.to_owned() + &rows.concat()));
        let lines = json(&sorted.1);
        assert_eq!((sorted.0, lines.iter().filter(|line| line["moved"] == true).count()), (0, 1));
        let last = lines.last().expect("lines");
        assert_eq!((&last["zone"], &last["epc"]), (&"B".into(), &"3034AB".into()));
        assert!(last["confidence"].as_f64().is_some_and(|share| share > 0.6 && share <= 1.0), "{last}");
        rows.reverse();
        assert_eq!(replay(&(head.to_owned() + &rows.concat())).1, sorted.1);
    }

    #[test]
    fn rows_that_cant_be_read_are_passed_over_and_missing_columns_named() {
        let (status, out, _) =
            replay("timestamp,reader,antenna,rssi,epc\n1.5,10.0.0.9:5084,1,-60,b'3034'\nx,,,,\n1,,9,1,30\n");
        assert_eq!((status, json(&out).len()), (0, 1), "{out}");
        let (status, _, err) = replay("time,antenna,epc\n");
        assert_eq!(status, 1);
        assert!(err.contains("lacks the columns reader, rssi"), "{err}");
        assert_eq!(replay("").0, 1);
    }
}
