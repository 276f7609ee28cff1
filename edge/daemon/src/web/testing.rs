//! A small site, a journal and the shared state, for tests.

use super::{FactLine, Request, Shared};
use crate::journal::{Journal, SqliteCommit};
use std::sync::{Arc, mpsc as std_mpsc};
use stowage_base::{Code, Epc, Timestamp, code};
use stowage_core::commit::{Chain, Commit, Entry, Outcome};
use stowage_core::fact::{CommandPlanned, CommandStep, DeviceChanged, ParcelAnnounced, ParcelScanned, Seen};
use stowage_core::site::{Action, Device, DeviceKind, Location, Portal, PresenceSettings, Sku, Zone, ZoneIx, ZoneKind};
use stowage_core::view::{DeviceView, DiscrepancyView, PortalView, Totals, View, ZoneView};
use stowage_core::{Batch, Body, Fact, Site, identity};
use tokio::sync::{broadcast, mpsc, watch};

/// Mug number 7.
pub(crate) const EPC: &str = "30364522A40018C000000007";
pub(crate) const MUG: &str = "MUG";

fn c(text: &str) -> Code {
    code(text).expect("short")
}

pub(crate) fn site() -> Site {
    let zone = |code, name: &str, kind, area| Zone { code: c(code), name: name.into(), kind, area };
    let place = |code, zone| Location { code: c(code), zone: ZoneIx(zone) };
    let sku = |code, name: &str, gtin, serialised| Sku {
        code: c(code),
        name: name.into(),
        gtin,
        owner: c("demo"),
        serialised,
        aliases: Vec::new(),
    };
    let portal = |code, name: &str, outer, inner| Portal {
        code: c(code),
        name: name.into(),
        outer: ZoneIx(outer),
        inner: ZoneIx(inner),
    };
    let chutes = vec![c("C1"), c("C2"), c("HOSPITAL")];
    Site {
        code: c("demo"),
        name: "Demo <warehouse>".into(),
        time_zone: "Europe/Berlin".into(),
        zones: vec![
            zone("OUTSIDE", "Yard", ZoneKind::Outside, [0, 0, 5_000, 20_000]),
            zone("DOCK", "Dock", ZoneKind::Dock, [5_000, 0, 5_000, 20_000]),
            zone("STORE", "Store", ZoneKind::Aisle, [10_400, 0, 9_600, 20_000]),
        ],
        passages: Vec::new(),
        portals: vec![portal("GATE-1", "Dock door", 0, 1), portal("GATE-2", "Store door", 1, 2)],
        read_points: Vec::new(),
        locations: vec![place("OUTSIDE", 0), place("DOCK", 1), place("STORE", 2), place("A-01-1", 2)],
        skus: vec![sku(MUG, "Mug", 9_521_321_000_995, true), sku("SOAP", "Olive soap", 9_521_321_001_084, false)],
        tags: Vec::new(),
        policies: Vec::new(),
        sort_plan: Vec::new(),
        roadmap: Default::default(),
        transports: Vec::new(),
        devices: vec![
            Device { code: c("gate-1"), kind: DeviceKind::Reader },
            Device { code: c("S1"), kind: DeviceKind::Sorter { chutes, hospital: c("HOSPITAL") } },
            Device { code: c("scan-1"), kind: DeviceKind::Scanner },
            Device { code: c("amr-1"), kind: DeviceKind::Robot { start: None } },
        ],
        presence: PresenceSettings::default(),
    }
}

/// A fact about the first reader unless changed.
pub(crate) fn fact(seq: u64, body: Body) -> Fact {
    let at = Timestamp::from_micros(1_795_558_200_000_000 + seq as i64);
    Fact { seq, at, who: None, what: Some("gate-1".into()), place: None, when: at, why: None, cause: None, body }
}

/// Facts with a mug seen (1), a parcel announced, scanned, planned, confirmed (2 to 5), then a reader that is up.
pub(crate) fn story(length: u64) -> Vec<Fact> {
    let epc = Epc::from_hex(EPC).expect("hex");
    let id = || "S1/3-17".to_owned();
    (1..=length)
        .map(|seq| {
            let (what, body) = match seq {
                1 => (identity::name(&epc), Body::Seen(Seen { epc, location: c("A-01-1") })),
                2 => ("P1".into(), Body::ParcelAnnounced(ParcelAnnounced { code: c("P1"), route: c("NORTH") })),
                3 => {
                    let scanned = ParcelScanned { sorter: c("S1"), boot: 3, item: 17, code: Some(c("P1")) };
                    ("P1".into(), Body::ParcelScanned(scanned))
                }
                4 => {
                    let (target, chute, deadline) = (c("S1"), c("C2"), Timestamp::EPOCH);
                    let parcel = Some(c("P1"));
                    let planned = CommandPlanned { command: id(), target, boot: 3, item: 17, parcel, chute, deadline };
                    ("P1".into(), Body::CommandPlanned(planned))
                }
                5 => (id(), Body::CommandConfirmed(CommandStep { command: id(), chute: Some(c("C2")), outcome: None })),
                _ => ("gate-1".into(), Body::DeviceUp(DeviceChanged { device: c("gate-1") })),
            };
            Fact { what: Some(what), ..fact(seq, body) }
        })
        .collect()
}

pub(crate) fn view() -> View {
    let site = site();
    let epc = Epc::from_hex(EPC).expect("hex");
    let zones = site.zones.iter().map(|zone| ZoneView {
        code: zone.code.clone(),
        name: zone.name.clone(),
        kind: zone.kind,
        area: zone.area,
        book: 3,
        tags: 4,
        discrepancies: 0,
    });
    let portals = site.portals.iter().map(|portal| PortalView {
        code: portal.code.clone(),
        name: portal.name.clone(),
        outer: site.zone(portal.outer).code.clone(),
        inner: site.zone(portal.inner).code.clone(),
        tags: 0,
        inwards: 1,
        outwards: 2,
        turned_back: 3,
        last: None,
    });
    let devices = site.devices.iter().map(|device| DeviceView {
        code: device.code.clone(),
        kind: "reader",
        up: true,
        since: None,
        count: 0,
        faults: 0,
        malformed: 0,
        downs: 0,
        last_error: None,
        belt: None,
        note: None,
        temperature_c: None,
    });
    View {
        at: Timestamp::from_micros(1_795_558_200_000_000),
        site: site.code.clone(),
        name: site.name.clone(),
        facts: 8,
        problem: None,
        zones: zones.collect(),
        portals: portals.collect(),
        devices: devices.collect(),
        robots: Vec::new(),
        transports: Vec::new(),
        discrepancies: vec![DiscrepancyView {
            id: 4,
            epc,
            what: identity::name(&epc),
            sku: Some(c(MUG)),
            book: Some(c("A-01-1")),
            world: c("DOCK"),
            confidence: 940,
            action: Action::Confirm,
            reason: "</script><b>strong</b>".into(),
            since: Timestamp::EPOCH,
        }],
        totals: Totals { units: 9, tags: 12, reads: 0, visits: 0, foreign: 0, intents: 0, sorted: 0 },
    }
}

/// The daemon's side of what the pages share.
pub(crate) struct Daemon {
    pub(crate) shared: Shared,
    pub(crate) view: watch::Sender<Arc<View>>,
    pub(crate) requests: mpsc::Receiver<Request>,
    journal: SqliteCommit,
    durable: std_mpsc::Receiver<()>,
    chain: Chain,
    _data: tempfile::TempDir,
}

impl Daemon {
    /// With [`story`]'s first `facts` in its journal; its queue to the engine and its channel of facts hold two.
    pub(crate) fn new(facts: u64) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let (journal, stored) = Journal::open(data.path(), "demo").expect("a new journal");
        let (wake, durable) = std_mpsc::channel();
        let journal = SqliteCommit::start(journal, move || _ = wake.send(())).expect("a thread");
        let (view, watched) = watch::channel(Arc::new(view()));
        let (requests, asked) = mpsc::channel(2);
        let shared = Shared {
            view: watched,
            facts: broadcast::channel(2).0,
            requests,
            data: data.path().into(),
            site: Arc::new(site()),
            readers: Arc::default(),
            names: Arc::default(),
            followers: Arc::default(),
        };
        let mut daemon = Self { shared, view, requests: asked, journal, durable, chain: stored.chain, _data: data };
        daemon.record(story(facts));
        daemon
    }

    /// Makes facts durable, and tells them.
    pub(crate) fn record(&mut self, facts: Vec<Fact>) {
        let mut entries = Vec::new();
        for fact in facts {
            let line = fact.line("demo", self.chain.epoch);
            let hash = Chain::link(&self.chain.hash, &line);
            self.chain = Chain { seq: fact.seq, hash, at: fact.at, ..self.chain.clone() };
            entries.push(Entry { fact, line, hash });
        }
        if entries.is_empty() {
            return;
        }
        let told = entries.iter().map(|entry| Arc::new(FactLine { seq: entry.fact.seq, line: entry.line.clone() }));
        let told: Vec<_> = told.collect();
        self.journal.submit(self.chain.at, Batch { entries, rows: Vec::new(), chain: self.chain.clone() });
        let outcome = loop {
            self.durable.recv().expect("the writer wakes us");
            if let Some(outcome) = self.journal.poll(self.chain.at) {
                break outcome;
            }
        };
        assert_eq!(outcome, Outcome::Durable { seq: self.chain.seq });
        for fact in told {
            drop(self.shared.facts.send(fact));
        }
    }
}
