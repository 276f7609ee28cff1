//! Runs of short scenarios; and an auditor that can fail.

use super::*;
use std::path::Path;
use stowage::config::{FaultRates, Load, load_scenario};
use stowage_protocol::sorter_mqtt::Divert;

/// What a test breaks, so that the auditor has something to find.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Sabotage {
    /// Nothing.
    #[default]
    None,
    /// The auditor reads other facts than were recorded.
    Facts(fn(&[String]) -> Vec<String>),
    /// The edge takes facts as durable as soon as it has submitted them.
    Hasty,
    /// Commands go out with another chute.
    Chutes,
}

impl PartialEq for Sabotage {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Sabotage {
    pub(super) fn packet(self, packet: Packet) -> Packet {
        match serde_json::from_slice::<Divert>(&packet.octets) {
            Ok(divert) if self == Self::Chutes => {
                let chute = stowage_base::code(if &*divert.chute == "C1" { "C2" } else { "C1" }).expect("short");
                let octets = serde_json::to_vec(&Divert { chute, ..divert }).expect("plain");
                Packet { octets, ..packet }
            }
            _ => packet,
        }
    }
}

const LOAD: Load = Load {
    arrivals: 120,
    put_aways: 120,
    departures: 60,
    turn_backs: 60,
    together: 4,
    parcels: 1_800,
    parcels_unknown: 60,
    parcels_unread: 60,
    scans: 240,
    mistakes: 50,
};

fn scenario(name: &str) -> Scenario {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/scenarios").join(name);
    let scenario = load_scenario(&path).unwrap_or_else(|faults| panic!("{faults}"));
    Scenario { load: LOAD, ..scenario }
}

fn run_for(scenario: &Scenario, seed: u64, secs: i64) -> Report {
    run(scenario, seed, Some(Duration::from_secs(secs)), &mut |_| ()).report
}

/// A hundred bad seconds, with rates drawn from the seed: none at all is likely too.
fn bad(seed: u64) -> Scenario {
    let mut chance = Chance::new(seed, [99, 0]);
    let mut rate = |most: u32| if chance.permille(250) { 0 } else { chance.below(most) };
    let span = Duration::from_secs(4);
    let faults = FaultRates {
        cuts: rate(200),
        cut_max: span,
        stalls: rate(200),
        stall_max: span,
        full_disks: rate(200),
        full_disk_max: span,
        slow_disks: rate(200),
        slow_disk_max: span,
        slow_sync: Duration::from_millis(rate(900).into()),
        kills: rate(300),
        down_max: span,
        scanner_restarts: rate(200),
        lost: rate(60),
        repeated: rate(60),
    };
    Scenario { faults, ..scenario("faults.toml") }
}

#[test]
fn a_quiet_hour_is_without_a_violation_and_nothing_is_left_out() {
    let report = run_for(&scenario("demo.toml"), 7, 300);
    assert_eq!(report.violations, [""; 0]);
    let Metrics { intents_kept, intents_recorded, intents_told, parcels, .. } = report.metrics;
    assert!(intents_kept > 20 && parcels > 100, "{report:?}");
    assert_eq!((intents_recorded, intents_told), (intents_kept, intents_kept));
    let Metrics { parcels_right, parcels_confirmed, passes_right, passes_wrong, turn_backs_right, .. } = report.metrics;
    assert_eq!((parcels_right, parcels_confirmed, passes_wrong), (parcels, parcels, 0));
    assert!(passes_right > 20 && turn_backs_right > 0, "{report:?}");
}

#[test]
fn the_same_seed_gives_the_same_facts_and_another_seed_others() {
    let scenario = bad(3);
    let first = run_for(&scenario, 3, 100);
    assert_eq!(first, run_for(&scenario, 3, 100));
    assert_ne!(first.digest, run_for(&scenario, 4, 100).digest);
}

#[test]
fn how_long_commits_take_changes_no_fact_where_no_machine_waits() {
    let load = Load { parcels: 0, ..LOAD };
    let with_sync = |millis| {
        let scenario = Scenario { load, sync: Duration::from_millis(millis), ..scenario("demo.toml") };
        run_for(&scenario, 5, 200)
    };
    let [quick, slow] = [0, 90].map(with_sync);
    assert!(quick.facts > 60, "{quick:?}");
    assert_eq!(quick.digest, slow.digest);
}

#[test]
fn whatever_goes_wrong_nothing_wrong_is_recorded_told_or_done_and_everything_finishes() {
    let mut starts = 0;
    let seeds = if std::env::var_os("STOWAGE_LONG").is_some() { 1_000 } else { 10 };
    for seed in 0..seeds {
        let report = run_for(&bad(seed), seed, 100);
        assert_eq!(report.violations, [""; 0], "seed {seed}");
        starts += report.metrics.starts;
    }
    assert!(starts > 2 * seeds, "the edge was started {starts} times");
}

/// What the auditor says of a run with something broken in it.
fn found(sabotage: Sabotage) -> Vec<String> {
    let scenario = scenario("demo.toml");
    let mut run = Run::new(&scenario, 7, Duration::from_secs(60));
    run.sabotage = sabotage;
    run.run(&mut |_| ()).report.violations
}

/// The lines with those of the first fact of `kind` changed.
fn change(lines: &[String], kind: &str, change: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    let first = lines.iter().position(|line| line.contains(&format!("\"kind\":\"{kind}\"")));
    let changed = |(at, line): (usize, &String)| if Some(at) == first { change(line) } else { vec![line.clone()] };
    lines.iter().enumerate().flat_map(changed).collect()
}

#[test]
fn the_auditor_finds_what_is_broken() {
    let has = |found: &[String], what: &str| found.iter().any(|violation| violation.contains(what));
    assert_eq!(found(Sabotage::None), [""; 0]);
    let twice = |lines: &[String]| change(lines, "intent.answered", |line| vec![line.into(), line.into()]);
    assert!(has(&found(Sabotage::Facts(twice)), "intent 1 is recorded after 1"), "an intent that is recorded twice");
    let lost = |lines: &[String]| change(lines, "intent.answered", |_| Vec::new());
    let found_lost = found(Sabotage::Facts(lost));
    assert!(
        has(&found_lost, "that is not durable") && has(&found_lost, "it is not recorded"),
        "a lost intent: {found_lost:?}"
    );
    let untold = |lines: &[String]| change(lines, "stock.received", |_| Vec::new());
    assert!(has(&found(Sabotage::Facts(untold)), "neither follows nor doubts it"), "a booking that is not made");
    let doubled = |lines: &[String]| {
        change(lines, "stock.received", |line| vec![line.replace("\"quantity\":1", "\"quantity\":2")])
    };
    assert!(has(&found(Sabotage::Facts(doubled)), "the stored stock is not the sum"), "a unit too many");
    let backwards = |lines: &[String]| {
        change(lines, "presence.moved", |line| vec![line.replace("\"to\":\"DOCK\"", "\"to\":\"OUTSIDE\"")])
    };
    assert!(has(&found(Sabotage::Facts(backwards)), "the radio decided otherwise"), "a wrong direction");
    let denied = |lines: &[String]| {
        change(lines, "command.confirmed", |line| vec![line.replace("command.confirmed", "command.missed")])
    };
    assert!(has(&found(Sabotage::Facts(denied)), "is not confirmed, the sorter did"), "a delivery that is denied");
    let hasty = found(Sabotage::Hasty);
    assert!(has(&hasty, "that is not durable") && has(&hasty, "before its facts were durable"), "{hasty:?}");
    let chutes = found(Sabotage::Chutes);
    assert!(has(&chutes, "planned is") && has(&chutes, "belongs into"), "a parcel that is sent astray: {chutes:?}");
}

#[test]
fn smart_readers_that_are_cut_off_now_and_then_keep_the_book_right() {
    let scenario = Scenario { load: Load { parcels: 0, ..LOAD }, ..scenario("smart-readers.toml") };
    let report = run_for(&scenario, 3, 300);
    assert_eq!(report.violations, [] as [String; 0]);
    assert!(report.metrics.reads > 1_000, "{:?}", report.metrics);
}
