//! `stowage bench presence`: decoded reads to decided zones, beside EdgeX's rule over the same reads.

use super::super::Error;
use super::super::output::{Line, Output, to_json};
use super::edgex::EdgexRule;
use serde::Serialize;
use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration as Span, Instant};
use stowage_base::{Duration, Epc, TagRead, Timestamp, Visit, code};
use stowage_core::presence::{Decision, Presence};
use stowage_core::site::{DeviceIx, PresenceSettings, ReadPoint, ReadPointIx, Site, Zone, ZoneIx, ZoneKind};

/// Counts this thread's allocations, where the program's allocator does.
pub(in crate::cli) static ALLOCATIONS: OnceLock<fn() -> u64> = OnceLock::new();

/// Decoded reads to decided zones, in one thread
///
/// Every antenna looks into a zone of its own. A visit hears five in six of the tags there and some of the
/// neighbouring antenna's, 12 dB weaker; a tag in fifty moves before each turn. Beside it runs EdgeX's location rule
/// (edgex). `--curve` measures 1,000, 10,000, 100,000 … tags up to the number given.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Tags
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    tags: u32,
    /// Antennas
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(2..=10_000))]
    antennas: u16,
    /// Turns of each contender; the best counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Measure smaller numbers of tags first
    #[arg(long)]
    curve: bool,
}

#[derive(Debug, Serialize)]
struct Rates {
    tags: u32,
    antennas: u16,
    reads_per_s: u64,
    bytes_per_tag: u32,
    allocs_per_read: Option<f64>,
    edgex_rule_reads_per_s: u64,
    decisions: u64,
    edgex_rule_moves: u64,
}

impl Line for Rates {
    const COLUMNS: &'static [(&'static str, usize)] =
        &[("tags", 10), ("antennas", 8), ("reads/s", 12), ("bytes/tag", 9), ("allocs/read", 11), ("edgex", 0)];

    fn cells(&self) -> Vec<String> {
        vec![
            self.tags.to_string(),
            self.antennas.to_string(),
            self.reads_per_s.to_string(),
            self.bytes_per_tag.to_string(),
            self.allocs_per_read.map_or("-".into(), |allocs| format!("{allocs:.4}")),
            self.edgex_rule_reads_per_s.to_string(),
        ]
    }

    fn json(&self) -> String {
        to_json(self)
    }
}

pub(super) fn run(args: &Args, out: &mut Output<'_>) -> Result<(), Error> {
    let smaller = [1_000, 10_000, 100_000, 1_000_000].into_iter().filter(|&tags| args.curve && tags < args.tags);
    for tags in smaller.chain([args.tags]) {
        out.line(&measure(tags, args.antennas, args.rounds))?;
    }
    Ok(())
}

/// Reads in one turn, at least; each tag is read about once in a sweep of all antennas.
const TURN_READS: u32 = 500_000;
const DWELL: Duration = Duration::from_millis(200);

fn measure(tags: u32, antennas: u16, rounds: u32) -> Rates {
    let mut world = World::new(tags, antennas);
    let mut presence = Presence::new(&site(tags, antennas));
    let mut rule = EdgexRule::default();
    let (mut best, mut best_rule) = (Span::MAX, Span::MAX);
    let (mut reads, mut allocs, mut decisions, mut moves) = (0_u64, 0, 0, 0);
    let mut out: Vec<Decision> = Vec::with_capacity(tags as usize);
    let allocated = || ALLOCATIONS.get().map_or(0, |count| count());
    let sweeps = TURN_READS.div_ceil(tags);
    // The first turns fill the tables.
    for round in 0..rounds + 2 {
        let warm = round >= 2;
        world.stir();
        let visits: Vec<(ReadPointIx, Visit, Vec<Seen>)> =
            (0..sweeps).flat_map(|_| (0..antennas).collect::<Vec<_>>()).map(|antenna| world.visit(antenna)).collect();
        let heard: usize = visits.iter().map(|(_, _, seen)| seen.len()).sum();
        // A decision's reason is text; its room is counted apart, by what a turn without any would take.
        let (start, before) = (Instant::now(), allocated());
        let mut in_visits = 0;
        for (point, visit, seen) in &visits {
            for seen in seen {
                presence.read(*point, &black_box(seen).read(*point));
            }
            let (known, before) = (out.len(), allocated());
            presence.visit(visit.end, *point, visit, &mut out);
            if out.len() > known {
                in_visits += allocated() - before;
            }
        }
        let time = start.elapsed();
        let taken = allocated() - before - in_visits;
        let start = Instant::now();
        let mut moved = 0;
        for (point, _, seen) in &visits {
            for seen in seen {
                let read = black_box(seen).read(*point);
                moved += u64::from(rule.read(&read.epc, read.antenna, read.rssi_cdbm, read.at));
            }
        }
        let time_of_rule = start.elapsed();
        if warm {
            let per_read = |time: Span| time / heard.max(1) as u32;
            best = best.min(per_read(time));
            best_rule = best_rule.min(per_read(time_of_rule));
            reads += heard as u64;
            allocs += taken;
            decisions += out.len() as u64;
            moves += moved;
        }
        out.clear();
    }
    let rate = |per_read: Span| (1.0 / per_read.as_secs_f64().max(1e-9)) as u64;
    Rates {
        tags,
        antennas,
        reads_per_s: rate(best),
        bytes_per_tag: presence.bytes_per_tag(),
        allocs_per_read: ALLOCATIONS.get().map(|_| allocs as f64 / reads.max(1) as f64),
        edgex_rule_reads_per_s: rate(best_rule),
        decisions,
        edgex_rule_moves: moves,
    }
}

/// One read to come.
#[derive(Debug, Clone, Copy)]
struct Seen {
    tag: u32,
    rssi_cdbm: i16,
    at: Timestamp,
}

impl Seen {
    #[inline]
    fn read(&self, point: ReadPointIx) -> TagRead {
        let mut octets = [0x30, 0x74, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        octets[4..].copy_from_slice(&u64::from(self.tag).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
        TagRead {
            // Twelve octets always fit.
            epc: Epc::new(&octets).unwrap_or_else(|| unreachable!("twelve octets")),
            antenna: point.0 + 1,
            rssi_cdbm: self.rssi_cdbm,
            count: 1,
            at: self.at,
            frequency_khz: None,
            phase: None,
        }
    }
}

/// Where the tags really are.
struct World {
    /// Tags by antenna, in no order of theirs.
    homes: Vec<Vec<u32>>,
    state: u64,
    now: Timestamp,
}

impl World {
    fn new(tags: u32, antennas: u16) -> Self {
        let mut world = Self {
            homes: vec![Vec::new(); usize::from(antennas)],
            state: 0x2545_F491_4F6C_DD1D,
            now: Timestamp::from_micros(1_795_558_200_000_000),
        };
        for tag in 0..tags {
            let home = world.next(u64::from(antennas));
            world.homes[home].push(tag);
        }
        world
    }

    /// xorshift64*: the same world on every machine.
    fn next(&mut self, below: u64) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        ((self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) % below.max(1)) as usize
    }

    /// One tag in fifty moves.
    fn stir(&mut self) {
        let tags: usize = self.homes.iter().map(Vec::len).sum();
        for _ in 0..tags / 50 {
            let (from, to) = (self.next(self.homes.len() as u64), self.next(self.homes.len() as u64));
            let at = self.next(self.homes[from].len() as u64);
            if at < self.homes[from].len() {
                let tag = self.homes[from].swap_remove(at);
                self.homes[to].push(tag);
            }
        }
    }

    fn visit(&mut self, antenna: u16) -> (ReadPointIx, Visit, Vec<Seen>) {
        let start = self.now;
        // All antennas look in the same 200 ms when there are many: their readers work side by side.
        self.now = start + Duration::from_micros(DWELL.micros() * 4 / self.homes.len().max(4) as i64);
        let own = usize::from(antenna);
        let next = (own + 1) % self.homes.len();
        let mut seen = Vec::with_capacity(self.homes[own].len() + self.homes[next].len() / 4);
        for (home, one_in, dbm) in [(own, 6, -5500), (next, 6, -6700)] {
            for at in 0..self.homes[home].len() {
                let drawn = self.next(one_in);
                if (home == own) != (drawn == 0) {
                    let rssi_cdbm = dbm + self.next(800) as i16 - 400;
                    seen.push(Seen { tag: self.homes[home][at], rssi_cdbm, at: start });
                }
            }
        }
        for at in (1..seen.len()).rev() {
            let other = self.next(at as u64 + 1);
            seen.swap(at, other);
        }
        let reads = seen.len() as u32;
        (ReadPointIx(antenna), Visit { antenna: antenna + 1, start, end: start + DWELL, reads, healthy: true }, seen)
    }
}

fn site(tags: u32, antennas: u16) -> Site {
    let named = |name: String| code(&name).unwrap_or_default();
    let zone = |n: u16| Zone {
        code: named(format!("Z{n}")),
        name: String::new(),
        kind: ZoneKind::Aisle,
        area: [i32::from(n) * 1000, 0, 1000, 1000],
    };
    Site {
        code: named("bench".into()),
        name: "bench".into(),
        time_zone: "UTC".into(),
        zones: (0..antennas).map(zone).collect(),
        passages: (1..antennas).map(|n| (ZoneIx(n - 1), ZoneIx(n))).collect(),
        portals: vec![],
        read_points: (0..antennas)
            .map(|n| ReadPoint { device: DeviceIx(0), antenna: n + 1, zone: ZoneIx(n), portal: None })
            .collect(),
        locations: vec![],
        skus: vec![],
        tags: vec![],
        policies: vec![],
        sort_plan: vec![],
        roadmap: Default::default(),
        transports: vec![],
        devices: vec![],
        presence: PresenceSettings { tags_max: tags, ..PresenceSettings::default() },
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::testing::{json, stowage};

    #[test]
    fn presence_is_measured_beside_the_rule_of_edgex() {
        let args = ["bench", "presence", "--tags", "1500", "--antennas", "8", "--rounds", "1", "--curve"];
        let (status, out, err) = stowage(&args, b"");
        assert_eq!((status, err.as_str()), (0, ""));
        let lines = json(&out);
        assert_eq!(lines.iter().map(|line| line["tags"].as_u64()).collect::<Vec<_>>(), [Some(1000), Some(1500)]);
        for line in &lines {
            assert!(
                ["reads_per_s", "edgex_rule_reads_per_s", "decisions"].iter().all(|key| line[key].as_u64() > Some(0))
            );
            assert!(line["bytes_per_tag"].as_u64().is_some_and(|bytes| bytes <= 160), "{out}");
            assert!(line["allocs_per_read"].is_null(), "this program's allocator does not count");
        }
    }
}
