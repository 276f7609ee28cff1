//! Robots and the core: what is asked, what they are told, what they report, and what the book makes of it.

use crate::commit::{Batch, Chain, Stored};
use crate::engine::Engine;
use crate::fact::{Body, Fact};
use crate::input::{ActState, Drive, Effect, Input, Reply, RobotEvent, RobotReport, SortOutcome, SorterEvent};
use crate::roadmap::{Node, NodeIx, Roadmap};
use crate::site::{
    Device, DeviceIx, DeviceKind, Location, PresenceSettings, Site, Sku, SortRule, TransportRule, TransportWhen, Zone,
    ZoneIx, ZoneKind,
};
use crate::state::TransportState;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use stowage_base::{Code, Duration, Epc, Intent, IntentBody, ItemRef, Timestamp};

const SORTER: DeviceIx = DeviceIx(0);
const SCANNER: DeviceIx = DeviceIx(1);
const AMR_1: DeviceIx = DeviceIx(2);
const AMR_2: DeviceIx = DeviceIx(3);
const MUG: u64 = 9_521_321_000_018;

fn code(text: &str) -> Code {
    stowage_base::code(text).expect("short")
}

/// A ring W – C – E – D – W of 2 m a side: chute C1 at C, the dock at D. A siding P at W.
fn site() -> Site {
    let node = |name: &str, x_mm, y_mm, station: Option<&str>| Node {
        code: code(name),
        x_mm,
        y_mm,
        station: station.map(code),
        parking: name == "P",
    };
    let nodes = vec![
        node("W", 0, 0, None),
        node("C", 2_000, 0, Some("C1")),
        node("E", 2_000, 2_000, None),
        node("D", 0, 2_000, Some("DOCK")),
        node("P", -2_000, 0, None),
    ];
    let ways = [(0, 1), (1, 2), (2, 3), (3, 0), (0, 4)];
    let ways = ways.into_iter().flat_map(|(a, b)| [(NodeIx(a), NodeIx(b)), (NodeIx(b), NodeIx(a))]);
    let zone = |text: &str, kind| Zone { code: code(text), name: text.into(), kind, area: [0; 4] };
    let location = |text: &str, zone| Location { code: code(text), zone: ZoneIx(zone) };
    let device = |text: &str, kind| Device { code: code(text), kind };
    let robot = |start| DeviceKind::Robot { start: Some(NodeIx(start)) };
    let chutes = vec![code("C1"), code("H")];
    Site {
        code: code("T"),
        name: "Test".into(),
        time_zone: "Etc/UTC".into(),
        zones: vec![zone("CHUTE-1", ZoneKind::Chute), zone("DOCK", ZoneKind::Dock)],
        passages: Vec::new(),
        portals: Vec::new(),
        read_points: Vec::new(),
        locations: vec![location("CHUTE-1", 0), location("DOCK", 1), location("C1", 0)],
        skus: [("MUG", MUG, true), ("PEN", MUG + 7, false)]
            .map(|(sku, gtin, serialised)| Sku {
                code: code(sku),
                name: sku.into(),
                gtin,
                owner: code("own"),
                serialised,
                aliases: Vec::new(),
            })
            .into(),
        tags: Vec::new(),
        policies: Vec::new(),
        sort_plan: vec![SortRule { sorter: None, route: Some(code("NORTH")), prefix: None, chutes: vec![code("C1")] }],
        roadmap: Roadmap::new(nodes, ways),
        transports: Vec::new(),
        devices: vec![
            device("sorter-1", DeviceKind::Sorter { chutes, hospital: code("H") }),
            device("scan-1", DeviceKind::Scanner),
            device("amr-1", robot(0)),
            device("amr-2", robot(4)),
        ],
        presence: PresenceSettings::default(),
    }
}

/// A robot that does what it is told, step by step.
#[derive(Debug, Default)]
struct Machine {
    report: RobotReport,
    drive: Option<Drive>,
    /// What it answers when it is to pick or drop.
    refuses_load: Option<&'static str>,
}

impl Machine {
    fn at(node: &str) -> Self {
        let report =
            RobotReport { idle: true, node: node.into(), charge: 80, loads: Some(0), ..RobotReport::default() };
        Self { report, drive: None, refuses_load: None }
    }

    fn told(&mut self, drive: Drive) {
        let report = &mut self.report;
        if report.drive != drive.id {
            assert!(report.idle, "a new drive while the old one runs");
            assert_eq!(report.node, drive.stops[0].node.as_str(), "it begins where the robot stands");
            (report.drive, report.stop) = (drive.id.clone(), 0);
            report.acts.clear();
        } else if drive.update <= report.update && self.drive.is_some() {
            return;
        }
        let mut ids: Vec<&String> = drive.stops.iter().filter_map(|stop| Some(&stop.act.as_ref()?.0)).collect();
        let told = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), told, "something is to be done twice: {drive:?}");
        report.update = drive.update;
        for (id, ..) in drive.stops.iter().filter_map(|stop| stop.act.as_ref()) {
            if !report.acts.iter().any(|(known, _)| known == id) {
                report.acts.push((id.clone(), ActState::Open));
            }
        }
        self.drive = Some(drive);
        self.settle();
    }

    /// The stop of this number, if it was told.
    fn stop(&self, number: u32) -> Option<&crate::input::Stop> {
        let drive = self.drive.as_ref()?;
        drive.stops.get(number.checked_sub(drive.first)? as usize)
    }

    /// Does one thing: what there is to do here, or driving on to the next stop. `false`: nothing.
    fn step(&mut self) -> bool {
        let here = self.stop(self.report.stop).and_then(|stop| stop.act.clone());
        let open = |report: &RobotReport, id: &str| {
            report.acts.iter().position(|(of, act)| of == id && *act == ActState::Open)
        };
        if let Some(at) = here.and_then(|(id, ..)| open(&self.report, &id)) {
            self.report.acts[at].1 = match self.refuses_load {
                Some(why) => ActState::Failed(why.into()),
                None => ActState::Done,
            };
        } else if let Some(next) = self.stop(self.report.stop + 1).filter(|stop| stop.released) {
            self.report.node = next.node.as_str().into();
            self.report.stop += 1;
        } else {
            return false;
        }
        self.settle();
        true
    }

    fn settle(&mut self) {
        let ahead =
            self.drive.as_ref().is_some_and(|drive| self.report.stop + 1 < drive.first + drive.stops.len() as u32);
        self.report.idle = !ahead && self.report.acts.iter().all(|(_, act)| *act != ActState::Open);
    }

    fn cancelled(&mut self) {
        self.drive = None;
        for (_, act) in self.report.acts.iter_mut().filter(|(_, act)| *act == ActState::Open) {
            *act = ActState::Failed("cancelled".into());
        }
        self.report.idle = true;
    }
}

struct Bench {
    site: Arc<Site>,
    engine: Engine,
    now: Timestamp,
    facts: Vec<Fact>,
    rows: BTreeMap<(String, String), String>,
    chain: Chain,
    machines: BTreeMap<DeviceIx, Machine>,
    replies: Vec<Reply>,
}

impl Bench {
    fn new(site: Site, at: &[(DeviceIx, &str)]) -> Self {
        let site = Arc::new(site);
        let engine = Engine::new(Arc::clone(&site), Stored { chain: Chain::START, rows: Vec::new() }).expect("empty");
        let mut bench = Self {
            site,
            engine,
            now: Timestamp::from_micros(1_795_558_200_000_000),
            facts: Vec::new(),
            rows: BTreeMap::new(),
            chain: Chain::START,
            machines: at.iter().map(|(robot, node)| (*robot, Machine::at(node))).collect(),
            replies: Vec::new(),
        };
        bench.engine.start(bench.now, "test");
        bench.commit();
        for (robot, _) in at {
            bench.tell(*robot);
        }
        bench
    }

    fn input(&mut self, input: Input) {
        self.now += Duration::from_millis(100);
        self.engine.input(self.now, input);
        self.commit();
    }

    fn commit(&mut self) {
        while let Some(Batch { entries, rows, chain }) = self.engine.take_batch() {
            for row in rows {
                let key = (row.table.to_owned(), row.key);
                match row.body {
                    Some(body) => drop(self.rows.insert(key, body)),
                    None => drop(self.rows.remove(&key)),
                }
            }
            self.facts.extend(entries.into_iter().map(|entry| entry.fact));
            self.chain = chain;
        }
        self.engine.durable(self.now, self.chain.seq);
        self.engine.state().check().expect("the invariants hold");
        let effects: Vec<Effect> = self.engine.effects().collect();
        for effect in effects {
            match effect {
                Effect::Drive { robot, drive } => {
                    if let Some(machine) = self.machines.get_mut(&robot) {
                        machine.told(drive);
                    }
                }
                Effect::CancelDrive { robot, .. } => {
                    if let Some(machine) = self.machines.get_mut(&robot) {
                        machine.cancelled();
                    }
                }
                Effect::Reply { reply, .. } => self.replies.push(reply),
                _ => {}
            }
        }
        if self.engine.has_batch() {
            self.commit();
        }
    }

    fn tell(&mut self, robot: DeviceIx) {
        let report = Box::new(self.machines[&robot].report.clone());
        self.input(Input::Robot { robot, event: RobotEvent::Told(report) });
    }

    fn event(&mut self, robot: DeviceIx, event: RobotEvent) {
        self.input(Input::Robot { robot, event });
    }

    fn ask(&mut self, id: &str, from: &str, to: &str) -> Reply {
        self.input(Input::Transport { request: 1, id: code(id), from: code(from), to: code(to) });
        self.replies.pop().expect("an answer")
    }

    fn cancel(&mut self, id: &str) -> Reply {
        self.input(Input::CancelTransport { request: 1, id: code(id) });
        self.replies.pop().expect("an answer")
    }

    /// One step of a robot, told to the edge.
    fn step(&mut self, robot: DeviceIx) -> bool {
        let moved = self.machines.get_mut(&robot).expect("a robot").step();
        self.tell(robot);
        moved
    }

    /// Lets the robots work, by turns, until none has anything to do.
    fn work(&mut self) {
        let robots: Vec<DeviceIx> = self.machines.keys().copied().collect();
        let mut idle = 0;
        for _ in 0..300 {
            let moved = robots.iter().filter(|robot| self.step(**robot)).count();
            // What one reports may set another going.
            idle = if moved == 0 { idle + 1 } else { 0 };
            if idle == 3 {
                return;
            }
        }
        panic!("they never end");
    }

    fn state(&self, id: &str) -> TransportState {
        self.engine.state().transports.get(&code(id)).expect("a transport").state
    }

    fn kinds(&self, prefix: &str) -> Vec<&'static str> {
        self.facts.iter().map(|fact| fact.body.kind()).filter(|kind| kind.starts_with(prefix)).collect()
    }

    fn why(&self, kind: &str) -> String {
        let fact = self.facts.iter().rfind(|fact| fact.body.kind() == kind).unwrap_or_else(|| panic!("no {kind}"));
        fact.why.clone().unwrap_or_default()
    }

    fn node(&self, robot: &str) -> Option<String> {
        self.engine.state().robots.get(&code(robot))?.node.as_ref().map(|node| node.as_str().to_owned())
    }

    fn held(&self, robot: &str) -> Vec<String> {
        let robots = self.engine.view(self.now).robots;
        let view = robots.iter().find(|view| view.code == robot).expect("a robot");
        view.held.iter().map(|node| node.as_str().to_owned()).collect()
    }

    fn waits(&self, robot: &str) -> String {
        let robots = self.engine.view(self.now).robots;
        robots.iter().find(|view| view.code == robot).and_then(|view| view.waits.clone()).unwrap_or_default()
    }

    /// The edge dies and comes back with what was durable; the robots go on meanwhile as they can.
    fn restart(&mut self) {
        let rows = self.rows.iter().map(|((table, key), body)| (table.clone(), key.clone(), body.clone())).collect();
        self.engine = Engine::new(Arc::clone(&self.site), Stored { chain: self.chain.clone(), rows }).expect("rows");
        self.engine.start(self.now, "test");
        self.commit();
    }

    fn wait(&mut self, secs: i64) {
        self.now += Duration::from_secs(secs);
        self.engine.tick(self.now);
        self.commit();
    }

    fn sorted(&mut self, item: u32, parcel: &str) {
        self.input(Input::Announce { request: 9, code: code(parcel), route: code("NORTH") });
        let decide_by = self.now + Duration::from_secs(5);
        let scanned = SorterEvent::Scanned { boot: 1, item, code: Some(code(parcel)), decide_by };
        self.input(Input::Sorter { sorter: SORTER, event: scanned });
        let ended = SorterEvent::Ended { boot: 1, item, outcome: SortOutcome::Diverted, chute: Some(code("C1")) };
        self.input(Input::Sorter { sorter: SORTER, event: ended });
    }

    fn scan(&mut self, seq: u32, body: IntentBody) {
        let intent = Intent { seq, at: self.now, worker: code("W1"), body };
        self.input(Input::Intent { scanner: SCANNER, intent });
    }
}

fn mug(serial: u64) -> Epc {
    stowage_gs1::epc::sgtin96(MUG, 7, serial, 1).expect("in range")
}

#[test]
fn the_nearest_robot_fetches_and_brings_each_step_a_fact() {
    let mut bench = Bench::new(site(), &[(AMR_1, "W"), (AMR_2, "P")]);
    assert_eq!(bench.ask("T-1", "C1", "DOCK"), Reply::Done);
    bench.work();
    assert_eq!(
        bench.kinds("transport."),
        ["transport.planned", "transport.assigned", "transport.loaded", "transport.delivered"]
    );
    assert_eq!(bench.why("transport.assigned"), "the nearest robot with nothing to do, 2 m away");
    assert_eq!(bench.node("amr-1").as_deref(), Some("D"));
    assert_eq!(bench.kinds("drive.done").len(), 1);
    assert_eq!(bench.state("T-1"), TransportState::Delivered);
}

#[test]
fn the_same_request_again_is_no_new_one_and_another_content_is_named() {
    let mut bench = Bench::new(site(), &[]);
    assert_eq!(bench.ask("T-1", "C1", "DOCK"), Reply::Done);
    assert_eq!(bench.ask("T-1", "C1", "DOCK"), Reply::Exists);
    assert_eq!(bench.ask("T-1", "DOCK", "DOCK"), Reply::Differs("from"));
    assert_eq!(bench.ask("T-1", "C1", "C1"), Reply::Differs("to"));
    assert_eq!(bench.ask("T-2", "CHUTE-1", "DOCK"), Reply::Unfit("from"), "no station");
    assert_eq!(bench.ask("T-2", "C1", "C1"), Reply::Unfit("to"), "nowhere to go");
    assert_eq!(bench.kinds("transport."), ["transport.planned"]);
    let waits = bench.engine.view(bench.now).transports[0].waits.clone();
    assert_eq!(waits.as_deref(), Some("every robot is at work, or can't be used"));
}

#[test]
fn the_book_follows_the_load() {
    let mut bench = Bench::new(site(), &[(AMR_1, "W")]);
    bench.sorted(1, "P-1");
    bench.sorted(2, "P-2");
    let pens = ItemRef::Gtin { gtin: MUG + 7, lot: None, serial: None, expiry: None };
    bench.scan(1, IntentBody::Receive { item: ItemRef::Epc(mug(1)), quantity: 1, at: code("C1") });
    bench.scan(2, IntentBody::Receive { item: pens, quantity: 12, at: code("C1") });
    let place = |bench: &Bench, parcel: &str| {
        bench
            .engine
            .state()
            .parcels
            .get(&code(parcel))
            .and_then(|parcel| parcel.place.clone())
            .expect("it lies somewhere")
    };
    let units = |bench: &Bench, at: &str| -> u64 {
        bench.engine.state().stock.iter().filter(|(key, _)| key.location == at).map(|(_, quantity)| quantity).sum()
    };
    assert_eq!((place(&bench, "P-1"), place(&bench, "P-2"), units(&bench, "C1")), (code("C1"), code("C1"), 13));
    bench.ask("T-1", "C1", "DOCK");
    while bench.state("T-1") != TransportState::Loaded {
        assert!(bench.step(AMR_1));
    }
    assert_eq!((place(&bench, "P-1"), units(&bench, "amr-1"), units(&bench, "C1")), (code("amr-1"), 13, 0));
    assert_eq!(bench.engine.view(bench.now).totals.units, 13, "what is on its way is ours as well");
    bench.work();
    assert_eq!((place(&bench, "P-2"), units(&bench, "DOCK"), units(&bench, "amr-1")), (code("DOCK"), 13, 0));
    let zone = bench.site.zone_coded("DOCK").expect("a zone");
    assert_eq!(bench.engine.presence().tags_in(zone), 1, "presence is told of the tagged one");
    let moved = bench.facts.iter().rfind(|fact| fact.body.kind() == "parcel.moved").expect("a fact");
    assert_eq!(moved.cause, Some(crate::fact::Cause::Transport(code("T-1"))));
    assert_eq!(moved.who.as_deref(), Some("device:amr-1"));
}

#[test]
fn a_failed_pick_moves_nothing_and_frees_the_robot() {
    let mut bench = Bench::new(site(), &[(AMR_1, "W")]);
    bench.sorted(1, "P-1");
    bench.machines.get_mut(&AMR_1).expect("a robot").refuses_load = Some("nothing there");
    bench.ask("T-1", "C1", "DOCK");
    bench.work();
    assert_eq!(bench.why("transport.failed"), "the robot could not pick up the load: nothing there");
    assert_eq!(bench.engine.state().parcels_at("C1").len(), 1);
    assert_eq!(bench.kinds("drive.cancelled").len(), 1);
    bench.machines.get_mut(&AMR_1).expect("a robot").refuses_load = None;
    bench.ask("T-2", "C1", "DOCK");
    bench.work();
    assert_eq!(bench.state("T-2"), TransportState::Delivered);
}

#[test]
fn a_failed_drop_leaves_the_load_on_the_robot_until_it_is_empty() {
    let mut bench = Bench::new(site(), &[(AMR_1, "W")]);
    bench.sorted(1, "P-1");
    bench.ask("T-1", "C1", "DOCK");
    while bench.state("T-1") != TransportState::Loaded {
        assert!(bench.step(AMR_1));
    }
    bench.machines.get_mut(&AMR_1).expect("a robot").refuses_load = Some("no room");
    bench.machines.get_mut(&AMR_1).expect("a robot").report.loads = Some(1);
    bench.work();
    assert_eq!(bench.state("T-1"), TransportState::Failed);
    assert_eq!(bench.engine.state().parcels_at("amr-1").len(), 1);
    bench.ask("T-2", "C1", "DOCK");
    bench.work();
    assert_eq!(bench.state("T-2"), TransportState::Planned, "a loaded robot fetches nothing");
    bench.machines.get_mut(&AMR_1).expect("a robot").refuses_load = None;
    bench.machines.get_mut(&AMR_1).expect("a robot").report.loads = Some(0);
    bench.tell(AMR_1);
    bench.work();
    assert_eq!(bench.state("T-2"), TransportState::Delivered);
}

#[test]
fn a_cancelled_transport_stops_its_robot_first() {
    let mut bench = Bench::new(site(), &[]);
    bench.ask("T-1", "C1", "DOCK");
    assert_eq!(bench.cancel("T-1"), Reply::Done);
    assert_eq!(bench.state("T-1"), TransportState::Cancelled);
    assert_eq!((bench.cancel("T-1"), bench.cancel("T-9")), (Reply::Exists, Reply::NotFound));
    let mut bench = Bench::new(site(), &[(AMR_1, "W")]);
    bench.ask("T-2", "C1", "DOCK");
    bench.tell(AMR_1);
    assert_eq!(bench.cancel("T-2"), Reply::Done);
    assert_eq!(bench.state("T-2"), TransportState::Assigned, "its robot has yet to stop");
    bench.tell(AMR_1);
    assert_eq!(bench.state("T-2"), TransportState::Cancelled);
    assert_eq!(bench.held("amr-1"), [] as [String; 0]);
    bench.ask("T-3", "C1", "DOCK");
    bench.work();
    assert_eq!((bench.state("T-3"), bench.cancel("T-3")), (TransportState::Delivered, Reply::Differs("state")));
}

#[test]
fn a_refused_drive_goes_to_another_robot_and_three_refusals_end_it() {
    let mut bench = Bench::new(site(), &[(AMR_1, "W"), (AMR_2, "P")]);
    let refuse = |bench: &mut Bench| {
        let robots = &bench.engine.state().robots;
        let (robot, drive) = robots
            .iter()
            .find_map(|(code, row)| Some((code.clone(), row.drive.clone().filter(|_| row.transport.is_some())?)))
            .expect("someone drives");
        let robot = bench.site.device_coded(&robot).expect("a device");
        bench.machines.insert(robot, Machine::at(&drive.stops[0].node));
        let reason = "I can't turn there".to_owned();
        bench.event(robot, RobotEvent::Refused { drive: drive.id, update: drive.update, reason });
        robot
    };
    bench.ask("T-1", "C1", "DOCK");
    assert_eq!(refuse(&mut bench), AMR_1);
    assert_eq!(bench.why("transport.unassigned"), "I can't turn there");
    assert_eq!(refuse(&mut bench), AMR_2);
    assert_eq!(bench.state("T-1"), TransportState::Planned, "both are left alone for a while");
    bench.wait(31);
    refuse(&mut bench);
    assert_eq!(bench.state("T-1"), TransportState::Failed);
    assert_eq!(bench.why("transport.failed"), "I can't turn there");
}

#[test]
fn a_robot_that_is_lost_keeps_its_nodes_and_others_go_around() {
    let mut bench = Bench::new(site(), &[(AMR_1, "W"), (AMR_2, "P")]);
    bench.ask("T-1", "C1", "DOCK");
    bench.tell(AMR_1);
    assert_eq!(bench.held("amr-1"), ["W", "C"]);
    bench.event(AMR_1, RobotEvent::Gone("silent".into()));
    bench.ask("T-2", "DOCK", "C1");
    bench.work_of(AMR_2);
    assert_eq!(bench.held("amr-1"), ["W", "C"], "nobody knows where it is");
    assert_eq!(bench.node("amr-2").as_deref(), Some("P"));
    assert_eq!(bench.waits("amr-2"), "finds no way past amr-1");
    // It lives, and goes on where it was.
    bench.tell(AMR_1);
    bench.work();
    assert_eq!((bench.state("T-1"), bench.state("T-2")), (TransportState::Delivered, TransportState::Delivered));
}

#[test]
fn a_robot_that_forgets_its_drive_gives_the_transport_back_or_drives_on_with_its_load() {
    let mut bench = Bench::new(site(), &[(AMR_1, "W")]);
    bench.ask("T-1", "C1", "DOCK");
    bench.tell(AMR_1);
    bench.machines.insert(AMR_1, Machine::at("W"));
    bench.tell(AMR_1);
    assert_eq!(bench.kinds("drive.lost").len(), 1);
    assert_eq!(bench.kinds("transport.unassigned").len(), 1);
    bench.tell(AMR_1);
    while bench.state("T-1") != TransportState::Loaded {
        assert!(bench.step(AMR_1));
    }
    let here = bench.node("amr-1").expect("a node");
    bench.machines.insert(
        AMR_1,
        Machine { report: RobotReport { loads: Some(1), ..Machine::at(&here).report }, ..Machine::default() },
    );
    bench.tell(AMR_1);
    bench.tell(AMR_1);
    bench.work();
    assert_eq!(bench.state("T-1"), TransportState::Delivered);
    assert_eq!(bench.kinds("transport.loaded").len(), 1, "nothing is picked up twice");
}

#[test]
fn a_robot_that_forgets_its_drive_and_stands_elsewhere_begins_there() {
    let mut bench = Bench::new(site(), &[(AMR_1, "W")]);
    bench.ask("T-1", "C1", "DOCK");
    bench.tell(AMR_1);
    bench.machines.insert(AMR_1, Machine::at("E"));
    bench.tell(AMR_1);
    assert_eq!(bench.node("amr-1").as_deref(), Some("E"));
    bench.work();
    assert_eq!(bench.state("T-1"), TransportState::Delivered);
}

#[test]
fn a_robot_that_stands_at_its_load_picks_it_up_before_it_makes_room() {
    let mut bench = Bench::new(site(), &[(AMR_1, "W"), (AMR_2, "C")]);
    bench.ask("T-1", "DOCK", "C1");
    while bench.state("T-1") != TransportState::Loaded {
        assert!(bench.step(AMR_1));
    }
    // The other has gone nowhere yet; its load lies where the first wants to go.
    bench.ask("T-2", "C1", "DOCK");
    bench.work();
    assert_eq!((bench.state("T-1"), bench.state("T-2")), (TransportState::Delivered, TransportState::Delivered));
    assert_eq!(bench.kinds("drive.refused"), [] as [&str; 0]);
}

#[test]
fn an_idle_robot_in_the_way_goes_aside() {
    let mut bench = Bench::new(site(), &[(AMR_1, "W"), (AMR_2, "D")]);
    bench.ask("T-1", "C1", "DOCK");
    bench.work();
    assert_eq!(bench.state("T-1"), TransportState::Delivered);
    assert_eq!(bench.node("amr-1").as_deref(), Some("D"));
    assert_ne!(bench.node("amr-2").as_deref(), Some("D"));
}

#[test]
fn a_robot_in_the_middle_of_the_floor_closes_what_is_near_and_is_told_nothing() {
    let mut bench = Bench::new(site(), &[(AMR_1, "W")]);
    let lost = RobotReport { idle: true, position: Some((2_000, 1_300)), ..RobotReport::default() };
    bench.event(AMR_2, RobotEvent::Told(Box::new(lost)));
    assert_eq!(bench.waits("amr-2"), "stands off the roadmap: drive it to a node by hand");
    bench.ask("T-1", "C1", "DOCK");
    bench.work_of(AMR_1);
    assert_eq!(bench.state("T-1"), TransportState::Delivered, "by W, for E is closed");
    assert!(!bench.facts.iter().any(|fact| fact.place == Some(code("E"))));
    // Near enough to a node, it stands there.
    let near = RobotReport { idle: true, position: Some((1_900, 1_800)), ..RobotReport::default() };
    bench.event(AMR_2, RobotEvent::Told(Box::new(near)));
    assert_eq!(bench.node("amr-2").as_deref(), Some("E"));
}

#[test]
fn a_robot_that_is_driven_by_hand_or_by_others_is_left_alone() {
    let mut bench = Bench::new(site(), &[(AMR_1, "W")]);
    bench.machines.get_mut(&AMR_1).expect("a robot").report.hindered = Some("is driven by hand".into());
    bench.tell(AMR_1);
    bench.ask("T-1", "C1", "DOCK");
    assert_eq!((bench.state("T-1"), bench.waits("amr-1")), (TransportState::Planned, "is driven by hand".into()));
    let machine = bench.machines.get_mut(&AMR_1).expect("a robot");
    (machine.report.hindered, machine.report.idle, machine.report.drive) = (None, false, "X-1".into());
    bench.tell(AMR_1);
    assert_eq!(bench.waits("amr-1"), "follows drive \"X-1\", which isn't ours");
    bench.machines.get_mut(&AMR_1).expect("a robot").report.idle = true;
    bench.tell(AMR_1);
    bench.work();
    assert_eq!(bench.state("T-1"), TransportState::Delivered);
}

#[test]
fn rules_ask_for_transports_when_a_chute_is_full_or_so_many_parcels_lie_there() {
    let rule = |when| TransportRule { from: code("C1"), to: code("DOCK"), when };
    let with = |when| Site { transports: vec![rule(when)], ..site() };
    let mut bench = Bench::new(with(TransportWhen::Full), &[(AMR_1, "W")]);
    let full = |full| Input::Sorter { sorter: SORTER, event: SorterEvent::Full { chute: code("C1"), full } };
    bench.input(full(true));
    bench.input(full(true));
    assert_eq!(bench.kinds("transport.planned").len(), 1);
    assert_eq!(bench.why("transport.planned"), "C1 is full");
    bench.work();
    bench.input(full(false));
    bench.input(full(true));
    bench.work();
    assert_eq!(bench.kinds("transport.delivered").len(), 2);
    let mut bench = Bench::new(with(TransportWhen::Parcels(2)), &[(AMR_1, "W")]);
    bench.sorted(1, "P-1");
    assert!(bench.kinds("transport.").is_empty());
    bench.sorted(2, "P-2");
    bench.sorted(3, "P-3");
    assert_eq!(bench.kinds("transport.planned").len(), 1);
    assert_eq!(bench.why("transport.planned"), "2 parcels lie at C1");
    bench.work();
    assert_eq!(bench.engine.state().parcels_at("DOCK").len(), 3);
}

#[test]
fn a_rule_asks_again_as_long_as_what_it_says_is_so() {
    let full = Input::Sorter { sorter: SORTER, event: SorterEvent::Full { chute: code("C1"), full: true } };
    for when in [TransportWhen::Full, TransportWhen::Parcels(1)] {
        let rule = TransportRule { from: code("C1"), to: code("DOCK"), when };
        let mut bench = Bench::new(Site { transports: vec![rule], ..site() }, &[(AMR_1, "W")]);
        bench.machines.get_mut(&AMR_1).expect("a robot").refuses_load = Some("the way in is blocked");
        bench.sorted(1, "P-1");
        bench.input(full.clone());
        bench.work();
        assert_eq!((bench.kinds("transport.planned").len(), bench.kinds("transport.failed").len()), (1, 1));
        bench.machines.get_mut(&AMR_1).expect("a robot").refuses_load = None;
        bench.wait(61);
        assert_eq!(bench.kinds("transport.planned").len(), 2, "it is still {when:?}");
        bench.wait(61);
        assert_eq!(bench.kinds("transport.planned").len(), 2, "one is on its way");
        while bench.kinds("transport.loaded").is_empty() {
            assert!(bench.step(AMR_1));
        }
        bench.wait(61);
        assert_eq!(bench.kinds("transport.planned").len(), 2, "the sorter may yet see that it is empty");
        bench.work();
        bench.input(Input::Sorter { sorter: SORTER, event: SorterEvent::Full { chute: code("C1"), full: false } });
        bench.wait(200);
        assert_eq!((bench.kinds("transport.planned").len(), bench.kinds("transport.delivered").len()), (2, 1));
    }
}

#[test]
fn a_rule_for_a_chute_with_a_long_name_asks_as_well() {
    let long = "CHUTE-OF-NORTH-DOCK-ONE-AND-LAST";
    assert_eq!(long.len(), stowage_base::CODE_LEN_MAX);
    let rule = TransportRule { from: code(long), to: code("DOCK"), when: TransportWhen::Full };
    let mut bench = Bench::new(Site { transports: vec![rule], ..site() }, &[]);
    bench.input(Input::Sorter { sorter: SORTER, event: SorterEvent::Full { chute: code(long), full: true } });
    let transports = &bench.engine.state().transports;
    let (id, transport) = transports.iter().next().expect("it was asked for");
    assert_eq!((id.as_str(), transport.from.as_str()), ("CHUTE-OF-NOR-2", long));
}

#[test]
fn a_robot_that_edge_toml_no_longer_has_frees_its_nodes_and_its_transport() {
    // On the way to its load; with the load on it; on the way for the third time; its transport cancelled.
    for (what, expected) in [
        ("assigned", TransportState::Planned),
        ("loaded", TransportState::Failed),
        ("third", TransportState::Failed),
        ("recalled", TransportState::Cancelled),
    ] {
        let mut bench = Bench::new(site(), &[(AMR_1, "W")]);
        bench.sorted(1, "P-1");
        bench.ask("T-1", "C1", "DOCK");
        bench.tell(AMR_1);
        match what {
            "loaded" => {
                while bench.state("T-1") != TransportState::Loaded {
                    assert!(bench.step(AMR_1));
                }
            }
            "third" => {
                for _ in 0..2 {
                    bench.machines.insert(AMR_1, Machine::at("W"));
                    bench.tell(AMR_1);
                    bench.tell(AMR_1);
                }
            }
            "recalled" => drop(bench.cancel("T-1")),
            _ => {}
        }
        let machine = bench.machines.remove(&AMR_1).expect("a robot");
        let devices = bench.site.devices.iter().filter(|device| device.code != "amr-1").cloned().collect();
        bench.site = Arc::new(Site { devices, ..site() });
        bench.restart();
        assert_eq!(bench.state("T-1"), expected, "{what}");
        assert_eq!(bench.why("drive.lost"), "edge.toml has no such robot any more");
        assert_eq!(bench.node("amr-1"), None, "it holds nothing");
        let facts = bench.facts.len();
        bench.restart();
        assert_eq!(bench.facts.len(), facts + 1, "that is told once");
        // Another does what is left to do, over the nodes of the one that is gone.
        bench.machines.insert(DeviceIx(2), Machine::at("P"));
        bench.tell(DeviceIx(2));
        bench.ask("T-2", "DOCK", "C1");
        bench.work();
        assert_eq!(bench.state("T-2"), TransportState::Delivered, "{what}");
        let left = bench.engine.state().parcels_at("amr-1").len();
        assert_eq!(left, usize::from(what == "loaded"), "what a robot carries stays on it");
        // Put back, it stands where it says.
        bench.machines.clear();
        bench.site = Arc::new(site());
        bench.restart();
        bench.machines.insert(AMR_1, Machine { report: RobotReport { idle: true, ..machine.report }, ..machine });
        bench.machines.get_mut(&AMR_1).expect("a robot").report.node = "W".into();
        bench.tell(AMR_1);
        assert_eq!(bench.node("amr-1").as_deref(), Some("W"), "{what}");
    }
}

#[test]
fn after_a_restart_nothing_moves_until_robots_report_and_nothing_is_done_twice() {
    for steps in 0..8 {
        let mut bench = Bench::new(site(), &[(AMR_1, "W"), (AMR_2, "P")]);
        bench.sorted(1, "P-1");
        bench.ask("T-1", "C1", "DOCK");
        for _ in 0..steps {
            bench.step(AMR_1);
        }
        let facts = bench.facts.len();
        // It goes on while the edge is away, as far as its base reaches.
        let machine = bench.machines.get_mut(&AMR_1).expect("a robot");
        while machine.step() {}
        bench.restart();
        assert_eq!(bench.facts.len(), facts + 1, "only the start is new");
        bench.work();
        assert_eq!(bench.state("T-1"), TransportState::Delivered, "after {steps} steps");
        assert_eq!((bench.kinds("transport.loaded").len(), bench.kinds("drive.planned").len()), (1, 1));
        assert_eq!(bench.kinds("parcel.moved").len(), 2);
    }
}

#[test]
fn a_roadmap_that_lacks_a_held_node_is_refused_with_the_mend() {
    let mut bench = Bench::new(site(), &[(AMR_1, "W")]);
    bench.ask("T-1", "C1", "DOCK");
    let rows = bench.rows.iter().map(|((table, key), body)| (table.clone(), key.clone(), body.clone())).collect();
    let other = Site { roadmap: Roadmap::default(), ..site() };
    let refused = Engine::new(Arc::new(other), Stored { chain: bench.chain.clone(), rows }).expect_err("refused");
    assert_eq!(
        refused,
        "amr-1 is on its way over node W, which site.toml lacks: put it back until the robot has arrived"
    );
}

#[test]
fn a_journal_folds_to_the_same_state() {
    let mut bench = Bench::new(site(), &[(AMR_1, "W"), (AMR_2, "D")]);
    bench.sorted(1, "P-1");
    bench.ask("T-1", "C1", "DOCK");
    bench.ask("T-2", "DOCK", "C1");
    bench.work();
    let mut folded = crate::State::default();
    for fact in &bench.facts {
        let line = fact.line("T", 1);
        let (_, again) = Fact::parse(&line).expect("a fact");
        assert_eq!(again.body, fact.body);
        folded.apply(&again).expect("it applies");
    }
    assert_eq!(&folded, bench.engine.state());
    let mut loaded = crate::State::default();
    for ((table, key), body) in &bench.rows {
        loaded.load(table, key, body).expect("a row");
    }
    assert_eq!(&loaded, bench.engine.state());
    assert!(bench.facts.iter().any(|fact| matches!(fact.body, Body::DrivePassed(_))));
}

impl Bench {
    /// Lets one robot work as long as it can.
    fn work_of(&mut self, robot: DeviceIx) {
        for _ in 0..100 {
            if !self.step(robot) {
                return;
            }
        }
        panic!("it never ends");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The bench checks after each input that no node is held twice.
    #[test]
    fn whatever_the_order_of_events_every_transport_ends_and_no_parcel_is_lost(
        events in prop::collection::vec(0..12_u8, 0..120),
    ) {
        let mut bench = Bench::new(site(), &[(AMR_1, "W"), (AMR_2, "P")]);
        let (mut asked, mut sorted) = (0, 0);
        for event in events {
            match event {
                0 => {
                    asked += 1;
                    let (from, to) = if asked % 2 == 0 { ("DOCK", "C1") } else { ("C1", "DOCK") };
                    bench.ask(&format!("T-{asked}"), from, to);
                }
                1 => {
                    sorted += 1;
                    bench.sorted(sorted, &format!("P-{sorted}"));
                }
                2 => bench.restart(),
                3 => bench.event(AMR_1, RobotEvent::Gone("silent".into())),
                4 => {
                    bench.cancel(&format!("T-{asked}"));
                }
                at => {
                    bench.step(if at % 2 == 0 { AMR_1 } else { AMR_2 });
                }
            }
        }
        // Whoever still carries something that nobody waits for is emptied by a person.
        for _ in 0..4 {
            bench.work();
            for robot in ["amr-1", "amr-2"] {
                bench.input(Input::Emptied { request: 1, robot: code(robot) });
            }
        }
        let open = bench.engine.view(bench.now).transports;
        prop_assert!(open.is_empty(), "{open:?}");
        prop_assert_eq!(bench.engine.state().parcels.len(), sorted as usize);
    }
}
