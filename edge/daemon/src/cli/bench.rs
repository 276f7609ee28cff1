//! `stowage bench`: what this machine does, beside hand-written floors in the same run.
//!
//! Wall time on a loaded machine is noise, ratios within one run are not: contenders take turns, the best turn of each
//! counts, and all must have read the same values.

mod edgex;
pub(super) mod presence;

use super::Error;
use super::output::{Line, Output, to_json};
use crate::pipeline::{self, Pipeline};
use serde::Serialize;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use stowage_protocol::llrp::report;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Decode(Args),
    Chain(ChainArgs),
    Presence(presence::Args),
}

/// A reader's octets to the belief about its tags: session, merging, presence
///
/// Beside it runs the bare walk over the same octets (walk), which knows no session and believes nothing.
#[derive(Debug, clap::Args)]
pub(super) struct ChainArgs {
    /// Antennas of the reader, each looking into a zone of its own
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=32))]
    antennas: u16,
    /// Tags that every antenna hears once a visit
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    tags: u32,
    /// How often each contender reads all of it; the best time counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
}

/// Reads in one round of `bench chain`.
const CHAIN_READS: u32 = 400_000;

#[derive(Debug, Serialize)]
struct ChainRates {
    reads: u64,
    reads_per_s: u64,
    walk_reads_per_s: u64,
}

impl Line for ChainRates {
    const COLUMNS: &'static [(&'static str, usize)] = &[("reads", 10), ("reads/s", 12), ("walk", 0)];

    fn cells(&self) -> Vec<String> {
        let Self { reads, reads_per_s, walk_reads_per_s } = *self;
        [reads, reads_per_s, walk_reads_per_s].map(|n| n.to_string()).into()
    }

    fn json(&self) -> String {
        to_json(self)
    }
}

fn chain(args: &ChainArgs) -> Result<ChainRates, Error> {
    let refused = |why: stowage_protocol::llrp::client::SettingsError| Error::Job(why.to_string());
    let recording = pipeline::record(args.antennas, args.tags, CHAIN_READS.div_ceil(args.tags)).map_err(refused)?;
    let stream: Vec<u8> = recording.iter().flat_map(|(_, octets)| octets).copied().collect();
    let (mut best, mut best_walk, mut reads) = (Duration::MAX, Duration::MAX, 0);
    for _ in 0..args.rounds {
        let mut chain = Pipeline::new(args.antennas).map_err(refused)?;
        let start = Instant::now();
        for (now, octets) in &recording {
            chain.receive(*now, black_box(octets));
        }
        best = start.elapsed().min(best);
        reads = chain.heard();
        let mut walked = 0;
        let start = Instant::now();
        report::walk(black_box(&stream), |tag| walked += u64::from(black_box(tag).seen_count.unwrap_or(1)))
            .map_err(|why| Error::Job(why.to_string()))?;
        best_walk = start.elapsed().min(best_walk);
        if walked != reads || chain.placed() != u64::from(args.tags) {
            let placed = chain.placed();
            return Err(Error::Job(format!("the walk read {walked}, the chain {reads} and placed {placed} tags")));
        }
    }
    let rate = |time: Duration| (reads as f64 / time.as_secs_f64().max(1e-9)) as u64;
    Ok(ChainRates { reads, reads_per_s: rate(best), walk_reads_per_s: rate(best_walk) })
}

/// LLRP tag reports: EPC, antenna, RSSI, first and last time, count of each
///
/// Beside our decoder run: a hand-written reader of these fields that remembers the layout of a report and only checks
/// its type octets (floor), a hand-written walk over any layout (walk), and a copy of the octets (memcpy).
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// RO_ACCESS_REPORT messages as a reader sends them; made up in memory if left out
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How often each contender reads all of it; the best time counts
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
}

#[derive(Debug, Serialize)]
struct Rates {
    tags: u64,
    tags_per_s: u64,
    floor_tags_per_s: u64,
    walk_tags_per_s: u64,
    memcpy_tags_per_s: u64,
}

impl Line for Rates {
    const COLUMNS: &'static [(&'static str, usize)] =
        &[("tags", 10), ("tags/s", 12), ("floor", 12), ("walk", 12), ("memcpy", 0)];

    fn cells(&self) -> Vec<String> {
        let Self { tags, tags_per_s, floor_tags_per_s, walk_tags_per_s, memcpy_tags_per_s } = *self;
        [tags, tags_per_s, floor_tags_per_s, walk_tags_per_s, memcpy_tags_per_s].map(|n| n.to_string()).into()
    }

    fn json(&self) -> String {
        to_json(self)
    }
}

pub(super) fn run(command: &Command, out: &mut Output<'_>) -> Result<(), Error> {
    let args = match command {
        Command::Decode(args) => args,
        Command::Chain(args) => return Ok(out.line(&chain(args)?)?),
        Command::Presence(args) => return presence::run(args, out),
    };
    let stream = match &args.file {
        Some(path) => std::fs::read(path).map_err(|error| Error::Job(format!("{}: {error}", path.display())))?,
        None => workload(20_000),
    };
    Ok(out.line(&decode(&stream, args.rounds)?)?)
}

/// A contender: reads the stream, `None` where it can't.
type Contender = fn(&[u8]) -> Option<Sums>;

fn decode(stream: &[u8], rounds: u32) -> Result<Rates, Error> {
    let contenders: [(&str, Contender); 3] = [("decoder", ours), ("floor", floor), ("walk", walk)];
    let expected = ours(stream).ok_or_else(|| Error::Job("the input is no stream of LLRP messages".into()))?;
    if expected.tags == 0 {
        return Err(Error::Job("the input holds no tag reports".into()));
    }
    let mut best = [Duration::MAX; 4];
    let mut copy = vec![0; stream.len()];
    for _ in 0..rounds {
        for (best, (name, contender)) in best.iter_mut().zip(contenders) {
            let start = Instant::now();
            let sums = contender(black_box(stream));
            *best = start.elapsed().min(*best);
            if sums != Some(expected) {
                return Err(Error::Job(format!("the {name} read {sums:?}, the decoder {expected:?}")));
            }
        }
        let start = Instant::now();
        copy.copy_from_slice(black_box(stream));
        black_box(&copy);
        best[3] = start.elapsed().min(best[3]);
    }
    let rate = |time: Duration| (expected.tags as f64 / time.as_secs_f64().max(1e-9)) as u64;
    let [tags_per_s, floor_tags_per_s, walk_tags_per_s, memcpy_tags_per_s] = best.map(rate);
    Ok(Rates { tags: expected.tags, tags_per_s, floor_tags_per_s, walk_tags_per_s, memcpy_tags_per_s })
}

/// What every contender must find; sums wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sums {
    tags: u64,
    epc: u64,
    antenna: u64,
    rssi: i64,
    first: u64,
    last: u64,
    count: u64,
}

impl Sums {
    #[inline(always)]
    fn add(&mut self, epc: &[u8], antenna: u16, rssi: i8, first: u64, last: u64, count: u16) {
        // The last octets are what tells tags of one series apart.
        let end = epc.last_chunk().map_or(0, |octets| u64::from_be_bytes(*octets));
        self.tags += 1;
        self.epc = self.epc.wrapping_add(end ^ epc.len() as u64);
        self.antenna += u64::from(antenna);
        self.rssi += i64::from(rssi);
        self.first = self.first.wrapping_add(first);
        self.last = self.last.wrapping_add(last);
        self.count += u64::from(count);
    }
}

fn ours(stream: &[u8]) -> Option<Sums> {
    let mut sums = Sums::default();
    let walked = report::walk(stream, |tag| {
        sums.add(
            tag.epc,
            tag.antenna.unwrap_or(0),
            tag.peak_rssi_dbm.unwrap_or(0),
            tag.first_seen.unwrap_or(0),
            tag.last_seen.unwrap_or(0),
            tag.seen_count.unwrap_or(0),
        );
    });
    walked.ok().filter(|walked| walked.malformed == 0).map(|_| sums)
}

const RO_ACCESS_REPORT: u16 = 61;
const TAG_REPORT_DATA: u16 = 240;
const EPC_DATA: u16 = 241;

/// Hands on each TagReportData, header included.
#[inline(always)]
fn reports(mut stream: &[u8], mut each: impl FnMut(&[u8]) -> Option<()>) -> Option<()> {
    while stream.len() >= 10 {
        let len = u32::from_be_bytes([stream[2], stream[3], stream[4], stream[5]]) as usize;
        let Some(message) = stream.get(..len) else { break };
        if u16::from_be_bytes([message[0] & 3, message[1]]) == RO_ACCESS_REPORT {
            let mut body = message.get(10..)?;
            while body.len() >= 4 {
                let len = usize::from(u16::from_be_bytes([body[2], body[3]]));
                let parameter = body.get(..len.max(4))?;
                if u16::from_be_bytes([body[0] & 3, body[1]]) == TAG_REPORT_DATA {
                    each(parameter)?;
                }
                body = &body[parameter.len()..];
            }
        }
        stream = stream.get(len.max(10)..)?;
    }
    Some(())
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().map(|octets| u16::from_be_bytes(*octets))
}

fn u64_at(octets: &[u8], at: usize) -> Option<u64> {
    octets.get(at..)?.first_chunk().map(|octets| u64::from_be_bytes(*octets))
}

/// Where the fields of a report lie.
#[derive(Debug, Clone, Copy, Default)]
struct Layout {
    len: usize,
    epc: (usize, usize),
    antenna: usize,
    rssi: usize,
    first: usize,
    last: usize,
    count: usize,
    /// Type octets to recheck.
    marks: [(usize, u8); 16],
    marked: usize,
}

impl Layout {
    /// Learns the layout of a report by a walk over it; `None` if it isn't whole, or lacks a field.
    fn learn(report: &[u8]) -> Option<Self> {
        let mut layout = Self { len: report.len(), ..Self::default() };
        let mut at = 4;
        while let Some(&first) = report.get(at) {
            *layout.marks.get_mut(layout.marked)? = (at, first);
            layout.marked += 1;
            if first & 0x80 == 0 {
                if u16_at(report, at)? & 0x3FF == EPC_DATA {
                    // The low octet of the type, and the length in bits, must be as remembered too.
                    for mark in [at + 1, at + 4, at + 5] {
                        *layout.marks.get_mut(layout.marked)? = (mark, *report.get(mark)?);
                        layout.marked += 1;
                    }
                    layout.epc = (at + 6, usize::from(u16_at(report, at + 4)?).div_ceil(8));
                }
                at += usize::from(u16_at(report, at + 2)?).max(4);
                continue;
            }
            match first & 0x7F {
                13 => layout.epc = (at + 1, 12),
                1 => layout.antenna = at + 1,
                6 => layout.rssi = at + 1,
                2 => layout.first = at + 1,
                4 => layout.last = at + 1,
                8 => layout.count = at + 1,
                _ => {}
            }
            at += 1 + tv_len(first & 0x7F)?;
        }
        let fields = [layout.epc.0, layout.antenna, layout.rssi, layout.first, layout.last, layout.count];
        (!fields.contains(&0)).then_some(layout)
    }

    #[inline(always)]
    fn fits(&self, report: &[u8]) -> bool {
        report.len() == self.len && self.marks[..self.marked].iter().all(|(at, octet)| report.get(*at) == Some(octet))
    }

    #[inline(always)]
    fn read(&self, report: &[u8], sums: &mut Sums) -> Option<()> {
        let epc = report.get(self.epc.0..self.epc.0 + self.epc.1)?;
        let rssi = *report.get(self.rssi)? as i8;
        let (first, last) = (u64_at(report, self.first)?, u64_at(report, self.last)?);
        sums.add(epc, u16_at(report, self.antenna)?, rssi, first, last, u16_at(report, self.count)?);
        Some(())
    }
}

/// Remembers two layouts: a site has tags of two lengths at most times.
fn floor(stream: &[u8]) -> Option<Sums> {
    let mut sums = Sums::default();
    let mut known = [Layout::default(); 2];
    reports(stream, |report| {
        if known[0].fits(report) {
            return known[0].read(report, &mut sums);
        }
        if !known[1].fits(report) {
            match Layout::learn(report) {
                Some(layout) => known[1] = layout,
                None => return walk_report(report, &mut sums),
            }
        }
        if known[0].len == 0 {
            known.swap(0, 1);
            return known[0].read(report, &mut sums);
        }
        known[1].read(report, &mut sums)
    })?;
    Some(sums)
}

fn walk(stream: &[u8]) -> Option<Sums> {
    let mut sums = Sums::default();
    reports(stream, |report| walk_report(report, &mut sums))?;
    Some(sums)
}

#[inline(always)]
fn walk_report(report: &[u8], sums: &mut Sums) -> Option<()> {
    let (mut epc, mut antenna, mut rssi, mut first, mut last, mut count) = (&[][..], 0, 0, 0, 0, 0);
    let mut rest = report.get(4..)?;
    while let [kind, body @ ..] = rest {
        if kind & 0x80 == 0 {
            let len = usize::from(u16_at(rest, 2)?);
            let parameter = rest.get(..len.max(4))?;
            if u16_at(rest, 0)? & 0x3FF == EPC_DATA {
                epc = parameter.get(6..6 + usize::from(u16_at(parameter, 4)?).div_ceil(8))?;
            }
            rest = &rest[parameter.len()..];
            continue;
        }
        match kind & 0x7F {
            13 => epc = body.get(..12)?,
            1 => antenna = u16_at(body, 0)?,
            6 => rssi = *body.first()? as i8,
            2 | 3 => first = u64_at(body, 0)?,
            4 | 5 => last = u64_at(body, 0)?,
            8 => count = u16_at(body, 0)?,
            _ => {}
        }
        rest = body.get(tv_len(kind & 0x7F)?..)?;
    }
    sums.add(epc, antenna, rssi, first, last, count);
    Some(())
}

/// Octets after the type of a TV parameter (LLRP 1.0.1 §16.2).
#[inline(always)]
const fn tv_len(kind: u8) -> Option<usize> {
    match kind {
        6 => Some(1),
        1 | 7 | 8 | 10 | 11 | 12 | 14 | 15 | 17 | 19 | 20 => Some(2),
        9 | 16 | 18 => Some(4),
        2..=5 => Some(8),
        13 => Some(12),
        _ => None,
    }
}

/// Messages of 1 to 100 reports from 10,000 tags on 32 antennas; one tag in ten has a 128-bit EPC.
fn workload(messages: u32) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    // xorshift64*: the same workload on every machine.
    let mut next = |below: u64| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D) % below
    };
    let mut stream = Vec::new();
    let mut at = 1_790_000_000_000_000_u64;
    for id in 1..=messages {
        let mut body = Vec::new();
        for _ in 0..=next(100) {
            let tag = next(10_000);
            let mut report = Vec::new();
            if tag.is_multiple_of(10) {
                report.extend([0, 241, 0, 22, 0, 128, 0x37, 0, 0, 0, 0, 0, 0, 0]);
            } else {
                report.extend([0x8D, 0x30, 0x74, 0, 0]);
            }
            report.extend(tag.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
            let count = 1 + next(4);
            at += 100 + next(301);
            report.extend([0x89, 0, 0, 0, 1, 0x81, 0, 1 + next(32) as u8, 0x86, (-75 + next(30) as i64) as u8]);
            report.extend([0x87, 0, 1 + next(50) as u8, 0x82]);
            report.extend((at - (count - 1) * 5_000).to_be_bytes());
            report.push(0x84);
            report.extend(at.to_be_bytes());
            report.extend([0x88, 0, count as u8]);
            body.extend([0, 240, 0, 4 + report.len() as u8]);
            body.extend(report);
        }
        stream.extend([0x04, 61]);
        stream.extend((10 + body.len() as u32).to_be_bytes());
        stream.extend(id.to_be_bytes());
        stream.extend(body);
    }
    stream
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{at_terminal, json, stowage};

    #[test]
    fn all_contenders_read_the_same() {
        let stream = workload(40);
        let sums = ours(&stream).expect("a stream");
        assert!(sums.tags > 400 && sums.rssi < 0, "{sums:?}");
        assert_eq!((floor(&stream), walk(&stream)), (Some(sums), Some(sums)));
        // A report cut in its middle fails all of them.
        let mut cut = stream;
        cut[12] = 0xFF;
        assert_eq!((ours(&cut), floor(&cut), walk(&cut)), (None, None, None));
    }

    #[test]
    fn a_file_is_measured() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("w.bin");
        std::fs::write(&path, workload(5)).expect("writes");
        let args = ["bench", "decode", "--rounds", "1", "--file", path.to_str().expect("text")];
        let (status, out, err) = stowage(&args, b"");
        assert_eq!((status, err.as_str()), (0, ""));
        let line = &json(&out)[0];
        for key in ["tags", "tags_per_s", "floor_tags_per_s", "walk_tags_per_s", "memcpy_tags_per_s"] {
            assert!(line[key].as_u64().is_some_and(|rate| rate > 0), "{key}: {out}");
        }
        assert!(at_terminal(&args, b"").1.starts_with("TAGS"));
        std::fs::write(&path, "no stream").expect("writes");
        let (status, _, err) = stowage(&args, b"");
        assert_eq!((status, err.as_str()), (1, "stowage: the input holds no tag reports\n"));
    }
}
