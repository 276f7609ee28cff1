//! `scenario.toml`: what happens around an edge in the simulator, and what goes wrong.

use super::edge::Edge;
use super::read::Section;
use std::path::PathBuf;
use stowage_base::Duration;

/// A scenario as checked.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name: the file's, without its ending, if none is given.
    pub name: String,
    /// The edge around which it happens, with its site.
    pub edge: Edge,
    /// How long load and faults last, 1 s to 30 days.
    pub duration: Duration,
    /// How long the edge's disk takes for a commit.
    pub sync: Duration,
    /// How long a message takes on any line …
    pub latency: Duration,
    /// … and up to so much longer.
    pub jitter: Duration,
    /// What goods, workers and parcels do.
    pub load: Load,
    /// What goes wrong.
    pub faults: FaultRates,
}

/// What happens, on average and at random, in each hour. All zero: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Pallets that come in from outside.
    pub arrivals: u32,
    /// Times that goods are carried from one zone through an inner portal to the next, and scanned there.
    pub put_aways: u32,
    /// Times that goods are carried outside.
    pub departures: u32,
    /// Times that goods come to a portal and turn back.
    pub turn_backs: u32,
    /// Most goods together, 1 to 100.
    pub together: u32,
    /// Parcels on each sorter.
    pub parcels: u32,
    /// Of a thousand parcels, so many were never announced.
    pub parcels_unknown: u32,
    /// Of a thousand parcels, so many can't be read.
    pub parcels_unread: u32,
    /// Jobs that each worker does with the scanner beside the above: receive, move, count, find.
    pub scans: u32,
    /// Of a thousand jobs, a worker gets so many wrong.
    pub mistakes: u32,
}

/// What goes wrong, on average and at random, in each hour. All zero: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultRates {
    /// Cuts of each device's line.
    pub cuts: u32,
    /// The longest cut.
    pub cut_max: Duration,
    /// Times that a device's line holds everything up; not a sorter's, which loses it instead.
    pub stalls: u32,
    /// The longest such time.
    pub stall_max: Duration,
    /// Times that the disk is full.
    pub full_disks: u32,
    /// The longest such time.
    pub full_disk_max: Duration,
    /// Times that the disk is slow.
    pub slow_disks: u32,
    /// The longest such time.
    pub slow_disk_max: Duration,
    /// How long a commit takes then.
    pub slow_sync: Duration,
    /// Times that the edge is killed: what it had not synced is lost.
    pub kills: u32,
    /// The longest time until it is started again.
    pub down_max: Duration,
    /// Times that each scanner is switched off and on.
    pub scanner_restarts: u32,
    /// Of a thousand messages of a sorter or for it, so many are lost …
    pub lost: u32,
    /// … and so many come twice.
    pub repeated: u32,
}

/// A scenario's file, read and checked but for the edge that it names.
pub(super) struct Written {
    /// Where the edge's file is; `None` if that is a fault.
    pub(super) edge: Option<PathBuf>,
    name: String,
    duration: Duration,
    sync: Duration,
    latency: Duration,
    jitter: Duration,
    load: Load,
    faults: FaultRates,
}

impl Written {
    /// The scenario around its edge, both without a fault.
    pub(super) fn around(self, edge: Edge) -> Scenario {
        let Self { name, duration, sync, latency, jitter, load, faults, .. } = self;
        Scenario { name, edge, duration, sync, latency, jitter, load, faults }
    }
}

/// Most of anything in an hour.
const RATE_MAX: i64 = 36_000;

/// Reads a scenario's file whose `kind` was taken already.
pub(super) fn read(mut root: Section<'_>) -> Written {
    let file = root.file;
    root.require(&[
        ("edge", "the path of edge.toml, relative to this file"),
        ("duration_s", "how long it lasts, in s"),
    ]);
    let stem = || file.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let written = Written {
        name: root.text("name").map_or_else(stem, |name| name.value),
        edge: root.text("edge").map(|edge| file.beside(&edge.value)),
        duration: Duration::from_secs(number(&mut root, "duration_s", 1..=2_592_000, 1).into()),
        sync: millis(&mut root, "sync_ms", 10_000, 4),
        latency: millis(&mut root, "latency_ms", 20, 2),
        jitter: millis(&mut root, "jitter_ms", 20, 1),
        load: root.section("load").map_or_else(Load::default, load),
        faults: root.section("faults").map_or_else(FaultRates::default, faults),
    };
    root.end();
    written
}

fn load(mut section: Section<'_>) -> Load {
    let load = Load {
        arrivals: rate(&mut section, "arrivals_per_hour"),
        put_aways: rate(&mut section, "put_aways_per_hour"),
        departures: rate(&mut section, "departures_per_hour"),
        turn_backs: rate(&mut section, "turn_backs_per_hour"),
        together: number(&mut section, "together_max", 1..=100, 4),
        parcels: rate(&mut section, "parcels_per_hour"),
        parcels_unknown: permille(&mut section, "parcels_unknown_permille"),
        parcels_unread: permille(&mut section, "parcels_unread_permille"),
        scans: rate(&mut section, "scans_per_hour"),
        mistakes: permille(&mut section, "mistakes_permille"),
    };
    section.end();
    load
}

fn faults(mut section: Section<'_>) -> FaultRates {
    let faults = FaultRates {
        cuts: rate(&mut section, "cuts_per_hour"),
        cut_max: span(&mut section, "cut_max_s", 10),
        stalls: rate(&mut section, "stalls_per_hour"),
        stall_max: span(&mut section, "stall_max_s", 5),
        full_disks: rate(&mut section, "full_disks_per_hour"),
        full_disk_max: span(&mut section, "full_disk_max_s", 10),
        slow_disks: rate(&mut section, "slow_disks_per_hour"),
        slow_disk_max: span(&mut section, "slow_disk_max_s", 10),
        slow_sync: millis(&mut section, "slow_sync_ms", 60_000, 500),
        kills: rate(&mut section, "kills_per_hour"),
        down_max: span(&mut section, "down_max_s", 10),
        scanner_restarts: rate(&mut section, "scanner_restarts_per_hour"),
        lost: permille(&mut section, "lost_permille"),
        repeated: permille(&mut section, "repeated_permille"),
    };
    section.end();
    faults
}

fn number(section: &mut Section<'_>, key: &'static str, range: std::ops::RangeInclusive<i64>, otherwise: u32) -> u32 {
    section.number(key, range).map_or(otherwise, |number| number.value)
}

fn rate(section: &mut Section<'_>, key: &'static str) -> u32 {
    number(section, key, 0..=RATE_MAX, 0)
}

fn permille(section: &mut Section<'_>, key: &'static str) -> u32 {
    number(section, key, 0..=1_000, 0)
}

fn span(section: &mut Section<'_>, key: &'static str, otherwise: u32) -> Duration {
    Duration::from_secs(number(section, key, 1..=3_600, otherwise).into())
}

fn millis(section: &mut Section<'_>, key: &'static str, most: i64, otherwise: u32) -> Duration {
    Duration::from_millis(number(section, key, 0..=most, otherwise).into())
}
