//! Reads and visits allocate nothing once the tables have their size.

#[path = "../../../tests/include/allocations.rs"]
mod allocations;

use allocations::allocations;
use stowage_base::{Epc, TagRead, Timestamp, Visit, code};
use stowage_core::presence::Presence;
use stowage_core::site::{
    DeviceIx, Portal, PortalIx, PresenceSettings, ReadPoint, ReadPointIx, Site, Zone, ZoneIx, ZoneKind,
};

const TAGS: u32 = 2_000;

/// A portal with two antennas, and two antennas in zone 1.
fn site() -> Site {
    let text = |text: &str| code(text).expect("short");
    let zone = |name| Zone { code: text(name), name: name.into(), kind: ZoneKind::Dock, area: [0; 4] };
    let point = |antenna, zone, portal| ReadPoint { device: DeviceIx(0), antenna, zone: ZoneIx(zone), portal };
    Site {
        code: text("T"),
        name: "Test".into(),
        time_zone: "Europe/Berlin".into(),
        zones: vec![zone("YARD"), zone("DOCK")],
        passages: vec![],
        portals: vec![Portal { code: text("P"), name: "P".into(), outer: ZoneIx(0), inner: ZoneIx(1) }],
        read_points: vec![
            point(1, 0, Some((PortalIx(0), -800))),
            point(2, 1, Some((PortalIx(0), 800))),
            point(3, 1, None),
            point(4, 1, None),
        ],
        locations: vec![],
        skus: vec![],
        tags: vec![],
        policies: vec![],
        sort_plan: vec![],
        roadmap: Default::default(),
        transports: Vec::new(),
        devices: vec![],
        presence: PresenceSettings { tags_max: TAGS, ..PresenceSettings::default() },
    }
}

/// Visit `n` of the four antennas in turn: 100 tags, each read once, at rest in zone 1.
fn visit(presence: &mut Presence, n: u32, out: &mut Vec<stowage_core::presence::Decision>) {
    let point = n % 4;
    let at = |ms: u32| Timestamp::from_micros(1_800_000_000_000_000 + i64::from(n * 50 + ms) * 1000);
    for read in 0..100 {
        let tag = (n / 4 * 100 + read) % (TAGS / 2);
        let epc = Epc::new(&tag.to_be_bytes()).expect("fits");
        let rssi_cdbm = if point == 0 { -6400 } else { -5200 };
        let antenna = point as u16 + 1;
        let read = TagRead { epc, antenna, rssi_cdbm, count: 1, at: at(read / 2), frequency_khz: None, phase: None };
        presence.read(ReadPointIx(point as u16), &read);
    }
    let visit = Visit { antenna: point as u16 + 1, start: at(0), end: at(50), reads: 100, healthy: true };
    presence.tick(at(50), out);
    presence.visit(at(50), ReadPointIx(point as u16), &visit, out);
}

#[test]
fn reads_and_visits_allocate_nothing_in_steady_state() {
    let mut presence = Presence::new(&site());
    let mut out = Vec::new();
    (0..2_000).for_each(|n| visit(&mut presence, n, &mut out));
    let first = presence.counters();
    assert!(first.passes > 0 && out.len() == TAGS as usize / 2, "warm: every tag has its zone");
    let before = allocations();
    (2_000..3_000).for_each(|n| visit(&mut presence, n, &mut out));
    assert_eq!(allocations() - before, 0);
    assert_eq!(presence.counters().reads - first.reads, 100_000);
    assert_eq!(presence.counters().visits - first.visits, 1_000);
}

#[test]
fn a_flood_of_new_codes_allocates_nothing_once_full() {
    let mut presence = Presence::new(&site());
    let mut flood = |from: u32, to: u32| {
        for n in from..to {
            let at = Timestamp::from_micros(i64::from(n));
            let epc = Epc::new(&n.to_be_bytes()).expect("fits");
            let read = TagRead { epc, antenna: 3, rssi_cdbm: -6000, count: 1, at, frequency_khz: None, phase: None };
            presence.read(ReadPointIx(2), &read);
        }
    };
    flood(0, 2 * TAGS);
    let before = allocations();
    flood(2 * TAGS, 100_000);
    assert_eq!(allocations() - before, 0);
    assert_eq!(presence.counters().tags, TAGS);
}
