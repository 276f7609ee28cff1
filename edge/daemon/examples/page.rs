//! The pages with made-up goods that move, for work on the pages: no device, no engine, nothing decided.
//!
//! `cargo run -p stowage --example page [ADDRESS] [EDGE.toml]`, then open the address it prints. The journal is new each
//! time and lies in a temporary folder. Announce a parcel whose route is `busy` and nothing can be recorded for 10 s.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stowage::journal::{Journal, SqliteCommit};
use stowage::web::{FactLine, Request, Shared, What, serve};
use stowage_base::{Code, Epc, Level, TextKey, Timestamp, Verdict, code};
use stowage_base::{Intent, IntentBody, ItemRef};
use stowage_core::commit::{Chain, Commit, Entry, Outcome};
use stowage_core::fact::{
    CommandPlanned, CommandStep, DeviceChanged, DiscrepancyOpened, DiscrepancySettled, Disposition, IntentAnswered,
    Movement, ParcelAnnounced, ParcelScanned, Place, PresenceMoved, Seen, SettledBy, Started,
};
use stowage_core::input::Reply;
use stowage_core::site::{Action, DeviceKind, ZoneKind};
use stowage_core::state::TransportState;
use stowage_core::view::{DeviceView, DiscrepancyView, PortalView, RobotView, Totals, TransportView, View, ZoneView};
use stowage_core::{Batch, Body, Fact, Site, identity};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

type Outcomes = Result<(), Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcomes {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8099".into());
    let edge =
        args.next().unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/demo/edge.toml").into());
    let site = Arc::new(stowage::config::load_edge(Path::new(&edge)).map_err(|faults| faults.to_string())?.site);
    let data = tempfile::tempdir()?;
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("http://{}", listener.local_addr()?);

    let (requests, asked) = mpsc::channel(16);
    let facts = broadcast::channel(256).0;
    let floor = Floor::new(site.clone(), data.path(), facts.clone())?;
    let (show, view) = watch::channel(Arc::new(floor.view()));
    let shared = Shared::new(view, facts, requests, data.path().into(), site);
    tokio::select! {
        () = serve(listener, shared, CancellationToken::new()) => Ok(()),
        ended = run(floor, show, asked) => ended,
    }
}

async fn run(mut floor: Floor, show: watch::Sender<Arc<View>>, mut asked: mpsc::Receiver<Request>) -> Outcomes {
    let mut pace = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            _ = pace.tick() => floor.step()?,
            Some(request) = asked.recv() => {
                let reply = floor.answer(&request.what)?;
                drop(request.reply.send(reply));
            }
        }
        show.send_replace(Arc::new(floor.view()));
    }
}

/// A tagged unit: where the book has it, and in which zone it is.
struct Unit {
    epc: Epc,
    sku: Code,
    owner: Code,
    book: Option<Code>,
    zone: usize,
}

struct Floor {
    site: Arc<Site>,
    journal: SqliteCommit,
    durable: std::sync::mpsc::Receiver<()>,
    chain: Chain,
    facts: broadcast::Sender<Arc<FactLine>>,
    units: Vec<Unit>,
    open: Vec<DiscrepancyView>,
    portals: Vec<PortalView>,
    devices: Vec<DeviceView>,
    totals: Totals,
    parcels: Vec<(Code, Code)>,
    busy_until: Timestamp,
    turn: u32,
    random: u64,
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(since.as_micros() as i64)
}

fn short(text: &str) -> Code {
    code(text).unwrap_or_default()
}

impl Floor {
    fn new(
        site: Arc<Site>,
        data: &Path,
        facts: broadcast::Sender<Arc<FactLine>>,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let (journal, stored) = Journal::open(data, &site.code)?;
        let (wake, durable) = std::sync::mpsc::channel();
        let journal = SqliteCommit::start(journal, move || _ = wake.send(()))?;
        let portals = site.portals.iter().map(|portal| PortalView {
            code: portal.code.clone(),
            name: portal.name.clone(),
            outer: site.zone(portal.outer).code.clone(),
            inner: site.zone(portal.inner).code.clone(),
            tags: 0,
            inwards: 0,
            outwards: 0,
            turned_back: 0,
            last: None,
        });
        let devices = site.devices.iter().map(|device| DeviceView {
            code: device.code.clone(),
            kind: match device.kind {
                DeviceKind::Reader => "reader",
                DeviceKind::Sorter { .. } => "sorter",
                DeviceKind::Scanner => "scanner",
                DeviceKind::Robot { .. } => "robot",
            },
            up: false,
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
        let mut floor = Self {
            portals: portals.collect(),
            devices: devices.collect(),
            totals: Totals { units: 0, tags: 0, reads: 0, visits: 0, foreign: 0, intents: 0, sorted: 0 },
            site,
            journal,
            durable,
            chain: stored.chain,
            facts,
            units: Vec::new(),
            open: Vec::new(),
            parcels: Vec::new(),
            busy_until: Timestamp::EPOCH,
            turn: 0,
            random: 1,
        };
        floor.record(None, None, None, None, Body::Started(Started { version: env!("CARGO_PKG_VERSION").into() }))?;
        for at in 0..floor.devices.len().saturating_sub(1) {
            floor.device(at, true)?;
        }
        let serialised: Vec<_> = floor.site.skus.iter().filter(|sku| sku.serialised).cloned().collect();
        for serial in 1..=90 {
            let sku = &serialised[floor.below(serialised.len())];
            let epc = stowage_gs1::epc::sgtin96(sku.gtin, 7, serial, 1)?;
            floor.units.push(Unit { epc, sku: sku.code.clone(), owner: sku.owner.clone(), book: None, zone: 0 });
            if serial <= 60 {
                let zone = 1 + floor.below(3.min(floor.site.zones.len() - 1));
                floor.go(serial as usize - 1, zone, None)?;
            }
        }
        for _ in 0..12 {
            floor.sort()?;
        }
        Ok(floor)
    }

    fn below(&mut self, end: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as usize % end.max(1)
    }

    /// Records a fact and waits until it is durable.
    fn record(
        &mut self,
        who: Option<&str>,
        what: Option<String>,
        place: Option<Code>,
        why: Option<&str>,
        body: Body,
    ) -> Result<u64, Box<dyn std::error::Error>> {
        let (seq, at) = (self.chain.seq + 1, now().max(self.chain.at));
        let (who, why) = (who.map(str::to_owned), why.map(str::to_owned));
        let fact = Fact { seq, at, who, what, place, when: at, why, cause: None, body };
        let line = fact.line(&self.site.code, self.chain.epoch);
        let hash = Chain::link(&self.chain.hash, &line);
        self.chain = Chain { seq, hash, at, ..self.chain.clone() };
        let told = Arc::new(FactLine { seq, line: line.clone() });
        let batch = Batch { entries: vec![Entry { fact, line, hash }], rows: Vec::new(), chain: self.chain.clone() };
        self.journal.submit(at, batch);
        loop {
            self.durable.recv()?;
            match self.journal.poll(at) {
                Some(Outcome::Durable { .. }) => break,
                Some(Outcome::Failed { reason }) => return Err(reason.into()),
                None => {}
            }
        }
        // Nobody listening is no fault.
        drop(self.facts.send(told));
        Ok(seq)
    }

    /// Moves a unit in the world, and in the book unless it stays behind.
    fn go(&mut self, at: usize, to: usize, worker: Option<&str>) -> Outcomes {
        let site = self.site.clone();
        let (from, goal) = (self.units[at].zone, &site.zones[to]);
        let portal = site.portals.iter().position(|portal| {
            let (outer, inner) = (usize::from(portal.outer.0), usize::from(portal.inner.0));
            (outer, inner) == (from, to) || (inner, outer) == (from, to)
        });
        let (epc, sku) = (self.units[at].epc, self.units[at].sku.clone());
        let name = identity::name(&epc);
        if worker.is_none() {
            let body = Body::PresenceMoved(PresenceMoved {
                epc,
                from: Some(site.zones[from].code.clone()),
                to: goal.code.clone(),
                portal: portal.map(|portal| site.portals[portal].code.clone()),
                confidence: 930 + self.below(69) as u16,
                runner_up: None,
                runner_up_confidence: 0,
                visits: 9,
            });
            let why = "heard on both sides of the doorway in this order";
            self.record(None, Some(name.clone()), Some(goal.code.clone()), Some(why), body)?;
        }
        if let Some(portal) = portal {
            let inwards = usize::from(site.portals[portal].inner.0) == to;
            let portal = &mut self.portals[portal];
            if inwards {
                portal.inwards += 1
            } else {
                portal.outwards += 1
            }
            portal.last = Some(now());
        }
        self.units[at].zone = to;
        let locations: Vec<Code> = site
            .locations
            .iter()
            .filter(|place| usize::from(place.zone.0) == to)
            .map(|place| place.code.clone())
            .collect();
        let place = locations[self.below(locations.len())].clone();
        let lost = worker.is_none() && self.units[at].book.is_some() && self.below(4) == 0;
        if lost && self.open.len() < 4 {
            return self.doubt(at, to);
        }
        let stored = |location: Code| Place { location, disposition: Disposition::SellableNotAccessible };
        let inside = goal.kind != ZoneKind::Outside;
        let (old, new) = (self.units[at].book.take().map(stored), inside.then(|| stored(place.clone())));
        self.units[at].book = new.as_ref().map(|place| place.location.clone());
        let owner = self.units[at].owner.clone();
        let movement = Movement { epc: Some(epc), owner, sku, lot: Code::new(), quantity: 1, from: old, to: new };
        let body = match (&movement.from, &movement.to) {
            (None, None) => return Ok(()),
            (None, Some(_)) => Body::Received(movement),
            (Some(_), None) => Body::Departed(movement),
            (Some(_), Some(_)) => Body::Moved(movement),
        };
        let who = worker.map(|badge| format!("worker:{badge}"));
        self.record(who.as_deref(), Some(name), Some(place), None, body)?;
        Ok(())
    }

    fn doubt(&mut self, at: usize, to: usize) -> Outcomes {
        let (epc, sku, book) = (self.units[at].epc, self.units[at].sku.clone(), self.units[at].book.clone());
        if self.open.iter().any(|open| open.epc == epc) {
            return Ok(());
        }
        let zone = &self.site.zones[to];
        let action = match zone.kind {
            ZoneKind::Outside => Action::Alarm,
            _ => [Action::Confirm, Action::Count][at % 2],
        };
        let (world, confidence) = (zone.code.clone(), 720 + self.below(270) as u16);
        let body = DiscrepancyOpened {
            epc,
            sku: Some(sku.clone()),
            book: book.clone(),
            world: world.clone(),
            confidence,
            action,
        };
        let what = identity::name(&epc);
        let heard = "strong for 40 s at two antennas, silent where the book has it";
        let book_at = book.as_ref().map_or("nowhere", |book| book.as_str());
        let reason = format!("the book has it at {book_at}, the radio in {world}: {heard}");
        let id =
            self.record(None, Some(what.clone()), Some(world.clone()), Some(&reason), Body::DiscrepancyOpened(body))?;
        let since = now();
        self.open.push(DiscrepancyView {
            id,
            epc,
            what,
            sku: Some(sku),
            book,
            world,
            confidence,
            action,
            reason,
            since,
        });
        Ok(())
    }

    fn device(&mut self, at: usize, up: bool) -> Outcomes {
        let device = self.devices[at].code.clone();
        let changed = DeviceChanged { device: device.clone() };
        let (why, body) = match up {
            true => (None, Body::DeviceUp(changed)),
            false => (Some("no keepalive for 15 s"), Body::DeviceDown(changed)),
        };
        self.record(Some(&format!("device:{device}")), Some(device.to_string()), None, why, body)?;
        let device = &mut self.devices[at];
        (device.up, device.since) = (up, Some(now()));
        device.downs += u64::from(!up);
        if let Some(why) = why {
            device.last_error = Some(why.into());
        }
        Ok(())
    }

    fn sort(&mut self) -> Outcomes {
        let site = self.site.clone();
        let sorter = site.devices.iter().find_map(|device| match &device.kind {
            DeviceKind::Sorter { chutes, .. } => Some((device.code.clone(), chutes.clone())),
            DeviceKind::Reader | DeviceKind::Scanner | DeviceKind::Robot { .. } => None,
        });
        let Some((sorter, chutes)) = sorter else { return Ok(()) };
        let item = self.totals.sorted as u32 + 1;
        let parcel = short(&format!("PX{:07}", 4_211_000 + item));
        let read = self.below(15) != 0;
        let (chute, id) = (chutes[self.below(chutes.len())].clone(), format!("{sorter}/1-{item}"));
        if read {
            let announced = ParcelAnnounced { code: parcel.clone(), route: short("PARCEL-NORTH") };
            self.record(None, Some(parcel.to_string()), None, None, Body::ParcelAnnounced(announced))?;
        }
        let what = Some(if read { parcel.to_string() } else { id.clone() });
        let scanned = ParcelScanned { sorter: sorter.clone(), boot: 1, item, code: read.then_some(parcel) };
        let parcel = scanned.code.clone();
        let who = format!("device:{sorter}");
        self.record(Some(&who), what.clone(), Some(sorter.clone()), None, Body::ParcelScanned(scanned))?;
        let (command, target) = (id.clone(), sorter);
        let (goal, deadline) = (chute.clone(), now());
        let planned = CommandPlanned { command, target, boot: 1, item, parcel, chute: goal, deadline };
        let why = if read { "route PARCEL-NORTH" } else { "no-read" };
        self.record(None, what.clone(), Some(chute.clone()), Some(why), Body::CommandPlanned(planned))?;
        let step = |chute| CommandStep { command: id.clone(), chute, outcome: None };
        for body in [
            Body::CommandSent(step(None)),
            Body::CommandAcknowledged(step(None)),
            Body::CommandConfirmed(step(Some(chute))),
        ] {
            self.record(Some(&who), what.clone(), None, None, body)?;
        }
        self.totals.sorted += 1;
        Ok(())
    }

    fn see(&mut self, at: usize) -> Outcomes {
        let (epc, name) = (self.units[at].epc, identity::name(&self.units[at].epc));
        let Some(location) = self.units[at].book.clone() else { return Ok(()) };
        let Some(scanner) = self.devices.iter().position(|device| device.kind == "scanner") else { return Ok(()) };
        let seq = self.totals.intents as u32 + 1;
        let seen = Body::Seen(Seen { epc, location: location.clone() });
        self.record(Some("worker:B-17"), Some(name.clone()), Some(location.clone()), None, seen)?;
        let body = IntentBody::See { item: ItemRef::Epc(epc), at: location.clone() };
        let intent = Intent { seq, at: now(), worker: short("B-17"), body };
        let (level, key) = [(Level::Ok, TextKey::Seen), (Level::Warn, TextKey::HereAlready)][self.below(2)];
        let verdict = Verdict::new(level, key, &[&self.units[at].sku, &location]);
        let answered = IntentAnswered { scanner: self.devices[scanner].code.clone(), intent, verdict };
        self.record(Some("worker:B-17"), Some(name), Some(location), None, Body::IntentAnswered(answered))?;
        self.totals.intents += 1;
        self.devices[scanner].count += 1;
        Ok(())
    }

    fn step(&mut self) -> Outcomes {
        self.turn += 1;
        let reads = self.below(180) as u64;
        self.totals.reads += reads;
        self.totals.visits += 2;
        for device in self.devices.iter_mut().filter(|device| device.up && device.kind == "reader") {
            device.count += reads / 2;
        }
        let busy = self.below(self.portals.len() * 3);
        for (at, portal) in self.portals.iter_mut().enumerate() {
            portal.tags = if at == busy { 1 + self.turn % 3 } else { 0 };
        }
        if now() < self.busy_until || !self.turn.is_multiple_of(3) {
            return Ok(());
        }
        let at = self.below(self.units.len());
        match self.below(12) {
            0..=5 => {
                let (from, step) = (self.units[at].zone, 1 + self.below(3));
                let to = if from == 0 { 1 } else { (from + step) % 4 };
                self.go(at, to.min(self.site.zones.len() - 1), None)
            }
            6 => self.go(at, 2.min(self.site.zones.len() - 1), Some("B-17")),
            7..=9 => self.sort(),
            10 => self.see(at),
            _ if self.turn.is_multiple_of(5) => {
                let device = self.below(self.devices.len());
                let (up, portals) = (!self.devices[device].up, self.portals.len());
                let portal = self.below(portals);
                self.portals[portal].turned_back += 1;
                self.devices[device].malformed += u64::from(up);
                self.device(device, up)
            }
            _ => Ok(()),
        }
    }

    fn answer(&mut self, what: &What) -> Result<Reply, Box<dyn std::error::Error>> {
        if now() < self.busy_until {
            return Ok(Reply::Busy);
        }
        match what {
            What::Announce { route, .. } if route == "busy" => {
                self.busy_until = now() + stowage_base::Duration::from_secs(10);
                Ok(Reply::Busy)
            }
            What::Announce { code, route } => {
                if let Some((_, known)) = self.parcels.iter().find(|(known, _)| known == code) {
                    return Ok(if known == route { Reply::Exists } else { Reply::Differs("route") });
                }
                let announced = ParcelAnnounced { code: code.clone(), route: route.clone() };
                self.record(None, Some(code.to_string()), None, None, Body::ParcelAnnounced(announced))?;
                self.parcels.push((code.clone(), route.clone()));
                Ok(Reply::Done)
            }
            What::Transport { .. } => Ok(Reply::Unfit("from")),
            What::CancelTransport { .. } | What::Emptied { .. } => Ok(Reply::NotFound),
            What::Settle { discrepancy } => {
                let Some(at) = self.open.iter().position(|open| open.id == *discrepancy) else {
                    return Ok(Reply::NotFound);
                };
                let open = self.open.remove(at);
                for unit in self.units.iter_mut().filter(|unit| unit.epc == open.epc) {
                    unit.book = Some(open.world.clone());
                }
                let settled = DiscrepancySettled { id: open.id, epc: open.epc, by: SettledBy::Page };
                self.record(Some("page"), Some(open.what), None, None, Body::DiscrepancySettled(settled))?;
                Ok(Reply::Done)
            }
        }
    }

    /// Two robots on their rounds along the chutes, and one that nobody can reach.
    fn robots(&self) -> Vec<RobotView> {
        let along = |phase: i64| {
            let at = (now().micros() / 40_000 + phase) % 48_000;
            let (x, y) = if at < 24_000 { (9_000 + at, 21_000) } else { (57_000 - at, 23_000) };
            [x as i32, y]
        };
        let robot =
            |code: &str, up, position, charge, carries: Option<&str>, does: &str, waits: Option<&str>| RobotView {
                code: short(code),
                up,
                position: Some(position),
                node: None,
                held: Vec::new(),
                charge: Some(charge),
                carries: carries.map(short),
                transport: carries.filter(|_| up).map(short),
                does: does.into(),
                waits: waits.map(str::to_owned),
            };
        vec![
            robot("amr-1", true, along(0), 78, Some("C1-4711"), "brings a load to DOCK", None),
            robot("amr-2", true, along(30_000), 41, None, "fetches a load at C3", Some("waits for amr-1 at U2")),
            robot("amr-3", false, [37_000, 22_000], 12, Some("C4-4690"), "is to stop", Some("is out of reach")),
        ]
    }

    fn transports(&self) -> Vec<TransportView> {
        let transport = |id: &str, from: &str, state, robot: Option<&str>, waits: Option<&str>| TransportView {
            id: short(id),
            from: short(from),
            to: short("DOCK"),
            state,
            recalled: false,
            robot: robot.map(short),
            since: now() - stowage_base::Duration::from_secs(95),
            waits: waits.map(str::to_owned),
        };
        vec![
            transport("C1-4711", "C1", TransportState::Loaded, Some("amr-1"), None),
            transport("C3-4720", "C3", TransportState::Assigned, Some("amr-2"), None),
            transport("RUN-17", "C2", TransportState::Planned, None, Some("every robot is at work, or can't be used")),
        ]
    }

    fn view(&self) -> View {
        let booked = |unit: &Unit| Some(usize::from(self.site.location(unit.book.as_ref()?)?.zone.0));
        let zones = self.site.zones.iter().enumerate().map(|(at, zone)| ZoneView {
            code: zone.code.clone(),
            name: zone.name.clone(),
            kind: zone.kind,
            area: zone.area,
            book: self.units.iter().filter(|unit| booked(unit) == Some(at)).count() as u64,
            tags: self.units.iter().filter(|unit| unit.zone == at).count() as u32,
            discrepancies: self.open.iter().filter(|open| open.world == zone.code).count() as u32,
        });
        View {
            at: now(),
            site: self.site.code.clone(),
            name: self.site.name.clone(),
            facts: self.chain.seq,
            problem: (now() < self.busy_until).then(|| "the disk is full: free some space".into()),
            zones: zones.collect(),
            portals: self.portals.clone(),
            devices: self.devices.clone(),
            robots: self.robots(),
            transports: self.transports(),
            discrepancies: self.open.clone(),
            totals: Totals {
                units: self.units.iter().filter(|unit| unit.book.is_some()).count() as u64,
                tags: self.units.len() as u32,
                ..self.totals.clone()
            },
        }
    }
}
