//! The whole chain in one process and in virtual time: world, devices, lines, the edge's sessions, the engine, a journal
//! in memory; and an auditor that judges.
//!
//! A run goes from event to event: the next moment at which anything is due, everything due then in a fixed order, and
//! so on. One seed draws everything, nothing reads a clock, so a scenario and a seed give the same facts in any build.
//!
//! A run has two phases. While load and faults last, nothing wrong may happen. Then goods and people rest, lines and
//! disk are well, the edge runs; and everything must finish.

mod auditor;
mod chance;
mod edge;
mod far;
mod floor;
mod line;
mod report;
mod smart;
#[cfg(test)]
mod tests;
mod worker;

pub use report::{Metrics, Ran, Report};

use crate::memory_commit::MemoryCommit;
use crate::world::World;
use auditor::Auditor;
use chance::Chance;
use edge::{Edge, Step};
use far::{Far, TO_DECISION, last_will, message};
use floor::{Floor, SETTLE};
use line::{Line, Manner, Packet, To};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stowage::config::{FaultRates, Scenario};
use stowage_base::{Code, Duration, Timestamp};
use stowage_core::commit::Outcome;
use stowage_core::input::Reply;
use stowage_core::site::{DeviceIx, SortRule};
use stowage_core::{Commit, Effect, Input, Site};
use stowage_protocol::sorter_mqtt::{DIVERT, Delivery, STATE};

/// When every run begins: 2026-01-05T06:00:00Z, a Monday.
const START: Timestamp = Timestamp::from_micros(1_767_592_800_000_000);

/// Between two presses of a worker.
const PACE: Duration = Duration::from_millis(450);

/// How long a scanner, or a sorter, waits before it dials again.
const DEVICE_REDIAL: Duration = Duration::from_millis(500);

/// How long the edge waits before it dials a device again: at first, and at most.
const EDGE_REDIAL: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// How long whoever announces a parcel waits for an answer before asking again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// How long before its scan a parcel is announced, at least, and up to how much earlier.
const ANNOUNCED_BEFORE: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(5));

/// After load and faults everything must finish within this: more than a command's wait for its outcome.
const FINISH_MAX: Duration = Duration::from_secs(180);

/// How often the book's laws are checked, and the facts against the rows.
const CHECK_EVERY: Duration = Duration::from_secs(3_600);

/// Batches under way, as in the daemon.
const UNDER_WAY_MAX: usize = 2;

/// So many rounds at one moment are a loop that never ends.
const ROUNDS_MAX: u32 = 100_000;

/// Runs a scenario for `duration`, or for its own, and then to its end. `progress` is told the simulated time now and
/// then.
pub fn run(scenario: &Scenario, seed: u64, duration: Option<Duration>, progress: &mut dyn FnMut(Duration)) -> Ran {
    Run::new(scenario, seed, duration.unwrap_or(scenario.duration)).run(progress)
}

/// Something planned.
#[derive(Debug, Clone)]
enum Deed {
    Arrive,
    PutAway,
    Depart,
    TurnBack,
    /// The goods of this walk are through.
    Walked(usize),
    /// The worker with this scanner begins a job.
    Job(usize),
    /// … presses something.
    Press(usize),
    /// A parcel for this sorter is drawn.
    Parcel(usize),
    /// Announcement of this number: ask, or ask again.
    Ask(usize),
    /// A parcel passes this sorter's scan point.
    Induct(usize, Option<Code>, Option<Code>),
    Cut(usize),
    Stall(usize),
    SwitchOff(usize),
    FullDisk,
    Room,
    SlowDisk,
    Quick,
    Kill,
    Start,
    /// The book's laws, and the facts against the rows.
    Check,
    /// Load and faults are over.
    Rest,
    /// Has everything finished?
    Finished,
}

/// A parcel that someone announces until the edge has it.
#[derive(Debug)]
struct Announcement {
    code: Code,
    route: Code,
    request: u64,
    taken: bool,
}

/// A device and the way to it.
struct Post {
    far: Far,
    line: Line,
    /// Whether each end is connected: to the other, or to the broker.
    on: [bool; 2],
    dial_at: [Timestamp; 2],
    cut_until: [Timestamp; 2],
    wait: Duration,
    /// What the broker keeps of a sorter.
    retained: Option<Packet>,
    chance: Chance,
}

impl Post {
    fn is_sorter(&self) -> bool {
        matches!(self.far, Far::Sorter(_))
    }
}

struct Run<'a> {
    scenario: &'a Scenario,
    site: Arc<Site>,
    seed: u64,
    duration: Duration,
    now: Timestamp,
    world: World,
    floor: Floor,
    posts: Vec<Post>,
    edge: Option<Edge>,
    /// Counts the edge's starts.
    boot: u32,
    commit: MemoryCommit,
    auditor: Auditor,
    deeds: BTreeMap<(Timestamp, u64), Deed>,
    planned: u64,
    announcements: Vec<Announcement>,
    requests: BTreeMap<u64, usize>,
    request: u64,
    delivered: Vec<(usize, Delivery)>,
    load: Chance,
    faults: Chance,
    resting: bool,
    over: bool,
    #[cfg(test)]
    sabotage: tests::Sabotage,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario, seed: u64, duration: Duration) -> Self {
        let site = Arc::new(scenario.edge.site.clone());
        let rates = &scenario.faults;
        let manner =
            Manner { latency: scenario.latency, jitter: scenario.jitter, lost: rates.lost, repeated: rates.repeated };
        let posts = scenario.edge.devices.iter().enumerate().map(|(index, device)| Post {
            far: Far::new(device, index),
            line: Line::new(manner, [1, 2].map(|way| Chance::new(seed, [way, index as u64]))),
            on: [false; 2],
            dial_at: [START; 2],
            cut_until: [START; 2],
            wait: EDGE_REDIAL.0,
            retained: None,
            chance: Chance::new(seed, [3, index as u64]),
        });
        let faultless = *rates == FaultRates::default();
        let mut run = Self {
            seed,
            duration,
            now: START,
            world: World::of_site(seed, &site),
            floor: Floor::new(Arc::clone(&site), scenario.load, Chance::new(seed, [4, 0])),
            posts: posts.collect(),
            edge: None,
            boot: 0,
            commit: MemoryCommit::new(scenario.sync),
            auditor: Auditor::new(Arc::clone(&site), faultless),
            deeds: BTreeMap::new(),
            planned: 0,
            announcements: Vec::new(),
            requests: BTreeMap::new(),
            request: 0,
            delivered: Vec::new(),
            load: Chance::new(seed, [5, 0]),
            faults: Chance::new(seed, [6, 0]),
            resting: false,
            over: false,
            #[cfg(test)]
            sabotage: tests::Sabotage::default(),
            site,
            scenario,
        };
        run.plan_all();
        run
    }

    fn run(mut self, progress: &mut dyn FnMut(Duration)) -> Ran {
        let (mut rounds, mut minute) = (0, START);
        self.start();
        while !self.over {
            let next = self.next_deadline().max(self.now);
            rounds = if next == self.now { rounds + 1 } else { 0 };
            if rounds > ROUNDS_MAX {
                self.auditor.violation(format!("something is due at {} again and again", self.now));
                break;
            }
            self.now = next;
            if minute + Duration::from_secs(60) <= self.now {
                minute = self.now;
                progress(self.now - START);
            }
            self.round();
        }
        self.report()
    }

    /// When the next thing happens.
    fn next_deadline(&self) -> Timestamp {
        let deed = self.deeds.first_key_value().map(|((at, _), _)| *at);
        let engine = self.edge.as_ref().and_then(|edge| edge.engine.next_deadline());
        let posts = self.posts.iter().enumerate().flat_map(|(device, post)| {
            let dials = [To::Edge, To::Device].into_iter().filter(|end| self.dials(post, *end));
            let dial = dials.map(|end| post.dial_at[end as usize]).min();
            let edge = self.edge.as_ref().and_then(|edge| edge.next_deadline(device));
            [post.line.next_deadline(), post.far.next_deadline(), edge, dial].into_iter().flatten()
        });
        let commit = self.commit.next_deadline().filter(|_| self.edge.is_some());
        posts.chain(deed).chain(engine).chain(commit).min().unwrap_or(self.now)
    }

    /// Everything that is due now, once, in a fixed order.
    fn round(&mut self) {
        self.exchange();
        for device in 0..self.posts.len() {
            self.dial(device);
            while let Some(packet) = self.posts[device].line.arrived(self.now, To::Edge) {
                self.edge_step(device, Step::Arrived(packet));
            }
            while let Some(packet) = self.posts[device].line.arrived(self.now, To::Device) {
                let (ix, post) = (DeviceIx(device as u16), &mut self.posts[device]);
                let out = post.far.receive(self.now, &packet, &mut self.world, ix);
                self.heard(device, out);
            }
            if self.posts[device].far.next_deadline().is_some_and(|at| at <= self.now) {
                let (ix, post) = (DeviceIx(device as u16), &mut self.posts[device]);
                let out = post.far.tick(self.now, &mut self.world, ix);
                self.heard(device, out);
            }
            if self.edge.as_ref().and_then(|edge| edge.next_deadline(device)).is_some_and(|at| at <= self.now) {
                self.edge_step(device, Step::Tick);
            }
            let open = self.posts[device].on != [false; 2];
            if open && (self.posts[device].far.over() || self.edge.as_ref().is_some_and(|edge| edge.over(device))) {
                self.hang_up(device, true);
            }
        }
        while let Some(entry) = self.deeds.first_entry()
            && entry.key().0 <= self.now
        {
            let deed = entry.remove();
            self.act(deed);
        }
        if let Some(edge) = &mut self.edge {
            edge.engine.tick(self.now);
        }
        self.exchange();
    }

    /// Commits, and carries out what may be carried out, as the daemon's engine thread does.
    fn exchange(&mut self) {
        loop {
            let Some(edge) = &mut self.edge else { return };
            let mut busy = false;
            while let Some(outcome) = self.commit.poll(self.now) {
                busy = true;
                match outcome {
                    Outcome::Durable { seq } => edge.engine.durable(self.now, seq),
                    Outcome::Failed { reason } => edge.engine.failed(self.now, &reason),
                }
            }
            while self.commit.under_way() < UNDER_WAY_MAX
                && let Some(batch) = edge.engine.take_batch()
            {
                busy = true;
                #[cfg(test)]
                if self.sabotage == tests::Sabotage::Hasty {
                    edge.engine.durable(self.now, batch.chain.seq);
                }
                self.commit.submit(self.now, batch);
            }
            let effects: Vec<Effect> = edge.engine.effects().collect();
            self.audit_facts();
            busy |= !effects.is_empty();
            for effect in effects {
                self.carry_out(effect);
            }
            if !busy {
                return;
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        let device = match &effect {
            Effect::Answer { scanner, .. }
            | Effect::Refuse { scanner, .. }
            | Effect::AddTask { scanner, .. }
            | Effect::RemoveTask { scanner, .. } => *scanner,
            Effect::Divert { sorter, .. } | Effect::Recorded { sorter, .. } => *sorter,
            Effect::Drive { robot, .. } | Effect::CancelDrive { robot, .. } => *robot,
            Effect::Reply { request, reply } => return self.reply(*request, reply),
        };
        self.edge_step(usize::from(device.0), Step::Effect(effect));
    }

    fn audit_facts(&mut self) {
        #[cfg(test)]
        if let tests::Sabotage::Facts(change) = self.sabotage {
            return self.auditor.facts(&change(self.commit.lines()));
        }
        self.auditor.facts(self.commit.lines());
    }

    fn edge_step(&mut self, device: usize, step: Step) {
        if let Some(edge) = &mut self.edge {
            let out = edge.step(self.now, device, step);
            let post = &mut self.posts[device];
            for packet in out.into_iter().filter(|_| post.on[To::Edge as usize]) {
                #[cfg(test)]
                let packet = self.sabotage.packet(packet);
                if packet.topic == DIVERT {
                    self.auditor.sent(self.now, device, &packet.octets);
                }
                if post.on[To::Device as usize] {
                    post.line.send(self.now, To::Device, packet);
                }
            }
        }
    }

    /// Sends what a device says, and notes what happened to it.
    fn heard(&mut self, device: usize, out: Vec<Packet>) {
        let post = &mut self.posts[device];
        for packet in out.into_iter().filter(|_| post.on[To::Device as usize]) {
            if packet.topic == STATE {
                post.retained = Some(packet.clone());
            }
            if post.on[To::Edge as usize] {
                post.line.send(self.now, To::Edge, packet);
            }
        }
        match &mut post.far {
            Far::Sorter(sorter) => {
                for delivery in sorter.take_deliveries() {
                    self.auditor.delivered(device, &delivery);
                    self.delivered.push((device, delivery));
                }
            }
            Far::Plc(plc) => {
                for delivery in plc.take_deliveries() {
                    self.auditor.delivered(device, &delivery);
                    self.delivered.push((device, delivery));
                }
            }
            Far::Scanner(worker) => {
                for (seq, verdict) in worker.answers() {
                    self.auditor.told(worker.code(), seq, &verdict);
                }
            }
            Far::Llrp(_) | Far::Mercury(_) | Far::Smart(_) | Far::Away => {}
        }
    }

    /// Whether this end would like to be connected and isn't. Of a stream the edge's end stands for both.
    fn dials(&self, post: &Post, end: To) -> bool {
        let wants = match end {
            To::Edge => self.edge.is_some() && !matches!(post.far, Far::Away),
            To::Device => post.is_sorter(),
        };
        wants && !post.on[end as usize]
    }

    fn dial(&mut self, device: usize) {
        for end in [To::Edge, To::Device] {
            let at = end as usize;
            let post = &self.posts[device];
            if !self.dials(post, end) || post.dial_at[at] > self.now {
                continue;
            }
            let by_device = end == To::Device || matches!(post.far, Far::Scanner(_));
            let (cut, stream) = (post.cut_until[at] > self.now, !post.is_sorter());
            let post = &mut self.posts[device];
            if cut {
                post.dial_at[at] = self.now + if by_device { DEVICE_REDIAL } else { post.wait };
                post.wait = if by_device { post.wait } else { (post.wait + post.wait).min(EDGE_REDIAL.1) };
                continue;
            }
            post.wait = EDGE_REDIAL.0;
            let (theirs, ours) = (post.chance.octets(), post.chance.octets());
            let both = if stream { [true; 2] } else { post.on };
            post.on = both;
            post.on[at] = true;
            if end == To::Edge {
                self.edge_step(device, Step::Connected(ours));
                if let Some(retained) = self.posts[device].retained.clone() {
                    self.posts[device].line.send(self.now, To::Edge, retained);
                }
            }
            if end == To::Device || stream {
                let out = self.posts[device].far.connected(self.now, theirs);
                self.heard(device, out);
            }
        }
    }

    /// Ends a connection: of a stream both ends, of a sorter the edge's or its own.
    fn hang_up(&mut self, device: usize, edges: bool) {
        let post = &mut self.posts[device];
        let both = !post.is_sorter();
        let ends = [both || edges, both || !edges];
        let had = post.on;
        post.on = [had[0] && !ends[0], had[1] && !ends[1]];
        post.line.clear();
        let redial = if matches!(post.far, Far::Scanner(_)) { DEVICE_REDIAL } else { post.wait };
        post.dial_at = [self.now + redial, self.now + DEVICE_REDIAL];
        if had[1] && ends[1] {
            post.far.disconnected(self.now);
            if !both {
                post.retained = Some(last_will());
                if post.on[0] {
                    post.line.send(self.now, To::Edge, last_will());
                }
            }
            self.heard(device, Vec::new());
        }
        if had[0] && ends[0] {
            self.edge_step(device, Step::Disconnected);
        }
    }

    fn report(mut self) -> Ran {
        for (device, post) in self.posts.iter().enumerate() {
            for what in post.far.violations(self.scenario.faults.stalls > 0) {
                self.auditor.violation(format!("{}: {what}", self.site.devices[device].code));
            }
        }
        let handhelds = self.posts.iter().filter_map(|post| match &post.far {
            Far::Scanner(worker) => Some((worker.code(), worker.kept())),
            Far::Llrp(_) | Far::Mercury(_) | Far::Smart(_) | Far::Sorter(_) | Far::Plc(_) | Far::Away => None,
        });
        let mut metrics = self.auditor.finish(&self.floor, handhelds, &self.delivered);
        metrics.simulated_ms = (self.now - START).millis().unsigned_abs();
        metrics.reads = self.edge.as_ref().map_or(0, |edge| edge.engine.presence().counters().reads);
        let report = Report {
            scenario: self.scenario.name.clone(),
            seed: self.seed,
            digest: self.commit.digest(),
            facts: self.commit.lines().len() as u64,
            metrics,
            violations: self.auditor.violations().to_vec(),
        };
        Ran { report, facts: self.commit.lines().to_vec() }
    }
}

/// What is planned, and what becomes of it.
impl Run<'_> {
    fn plan(&mut self, at: Timestamp, deed: Deed) {
        self.planned += 1;
        self.deeds.insert((at, self.planned), deed);
    }

    fn plan_all(&mut self) {
        for deed in [Deed::Arrive, Deed::PutAway, Deed::Depart, Deed::TurnBack] {
            self.again(deed);
        }
        for device in 0..self.posts.len() {
            match self.posts[device].far {
                Far::Sorter(_) | Far::Plc(_) => self.again(Deed::Parcel(device)),
                Far::Scanner(_) => {
                    self.again(Deed::Job(device));
                    self.again(Deed::SwitchOff(device));
                    self.plan(START + PACE, Deed::Press(device));
                }
                Far::Llrp(_) | Far::Mercury(_) | Far::Smart(_) | Far::Away => {}
            }
            self.again(Deed::Cut(device));
            self.again(Deed::Stall(device));
        }
        for deed in [Deed::FullDisk, Deed::SlowDisk, Deed::Kill] {
            self.again(deed);
        }
        self.plan(START + CHECK_EVERY, Deed::Check);
        self.plan(START + self.duration, Deed::Rest);
    }

    /// Plans the next of a sort of deeds that come at random.
    fn again(&mut self, deed: Deed) {
        let (load, faults) = (&self.scenario.load, &self.scenario.faults);
        let (per_hour, chance) = match deed {
            Deed::Arrive => (load.arrivals, &mut self.load),
            Deed::PutAway => (load.put_aways, &mut self.load),
            Deed::Depart => (load.departures, &mut self.load),
            Deed::TurnBack => (load.turn_backs, &mut self.load),
            Deed::Job(_) => (load.scans, &mut self.load),
            Deed::Parcel(_) => (load.parcels, &mut self.load),
            Deed::Cut(_) => (faults.cuts, &mut self.faults),
            Deed::Stall(_) => (faults.stalls, &mut self.faults),
            Deed::SwitchOff(_) => (faults.scanner_restarts, &mut self.faults),
            Deed::FullDisk => (faults.full_disks, &mut self.faults),
            Deed::SlowDisk => (faults.slow_disks, &mut self.faults),
            Deed::Kill => (faults.kills, &mut self.faults),
            Deed::Walked(_)
            | Deed::Press(_)
            | Deed::Ask(_)
            | Deed::Induct(..)
            | Deed::Room
            | Deed::Quick
            | Deed::Start
            | Deed::Check
            | Deed::Rest
            | Deed::Finished => return,
        };
        if let Some(gap) = chance.gap(per_hour).filter(|_| !self.resting) {
            self.plan(self.now + gap, deed);
        }
    }

    fn act(&mut self, deed: Deed) {
        self.again(deed.clone());
        let rates = self.scenario.faults;
        match deed {
            Deed::Arrive => {
                let walk = self.floor.arrive(self.now, &mut self.world);
                self.walks(walk);
            }
            Deed::PutAway => {
                let walk = self.floor.put_away(self.now, &mut self.world);
                self.walks(walk);
            }
            Deed::Depart => {
                let walk = self.floor.depart(self.now, &mut self.world);
                self.walks(walk);
            }
            Deed::TurnBack => {
                let walk = self.floor.turn_back(self.now, &mut self.world);
                self.walks(walk);
            }
            Deed::Walked(walk) => {
                let (presses, next) = self.floor.walked(self.now, walk, &mut self.world);
                self.walks(next);
                let workers: Vec<usize> = (0..self.posts.len()).filter(|at| self.worker(*at).is_some()).collect();
                if let (Some(presses), Some(one)) = (presses, self.load.pick(&workers))
                    && let Some(worker) = self.worker(workers[one])
                {
                    worker.job(presses);
                }
            }
            Deed::Job(device) => {
                let Far::Scanner(worker) = &mut self.posts[device].far else { return };
                let presses = self.floor.job(self.now, &worker.searches());
                worker.job(presses);
            }
            Deed::Press(device) => {
                let now = self.now;
                let out = self.worker(device).map(|worker| worker.press(now)).unwrap_or_default();
                self.heard(device, out);
                self.plan(self.now + PACE, Deed::Press(device));
            }
            Deed::Parcel(device) => self.parcel(device),
            Deed::Ask(number) => self.ask(number),
            Deed::Induct(device, code, route) => {
                let mut out = Vec::new();
                let (boot, number) = match &mut self.posts[device].far {
                    Far::Sorter(sorter) => {
                        let send = &mut |topic: &str, octets: &[u8]| out.push(message(topic, octets));
                        (sorter.boot(), sorter.induct(self.now, code.clone(), send))
                    }
                    Far::Plc(plc) => (plc.boot(), plc.induct(self.now, code.clone())),
                    Far::Llrp(_) | Far::Mercury(_) | Far::Smart(_) | Far::Scanner(_) | Far::Away => return,
                };
                let item = (device, boot, number);
                self.auditor.inducted(item, code, route, self.now + TO_DECISION);
                self.heard(device, out);
            }
            Deed::Cut(device) => {
                let until = self.now + self.faults.span(rates.cut_max);
                let edges = self.faults.permille(500) || !self.posts[device].is_sorter();
                self.posts[device].cut_until[usize::from(!edges)] = until;
                self.hang_up(device, edges);
            }
            Deed::Stall(device) => {
                let until = self.now + self.faults.span(rates.stall_max);
                if !self.posts[device].is_sorter() {
                    self.posts[device].line.hold(until);
                }
            }
            Deed::SwitchOff(device) => {
                self.hang_up(device, true);
                if let Some(worker) = self.worker(device) {
                    worker.restart();
                }
            }
            Deed::FullDisk => {
                self.commit.set_full(true);
                let until = self.now + self.faults.span(rates.full_disk_max);
                self.plan(until, Deed::Room);
            }
            Deed::Room => self.commit.set_full(false),
            Deed::SlowDisk => {
                self.commit.set_sync_time(rates.slow_sync);
                let until = self.now + self.faults.span(rates.slow_disk_max);
                self.plan(until, Deed::Quick);
            }
            Deed::Quick => self.commit.set_sync_time(self.scenario.sync),
            Deed::Kill => {
                if self.edge.is_some() {
                    self.kill();
                    let until = self.now + self.faults.span(rates.down_max);
                    self.plan(until, Deed::Start);
                }
            }
            Deed::Start => self.start(),
            Deed::Check => {
                let again = if self.check() { CHECK_EVERY } else { Duration::from_secs(1) };
                self.plan(self.now + again, Deed::Check);
            }
            Deed::Rest => self.rest(),
            Deed::Finished => self.finished(),
        }
    }

    fn walks(&mut self, walk: Option<(usize, Timestamp)>) {
        if let Some((walk, end)) = walk {
            self.plan(end, Deed::Walked(walk));
        }
    }

    fn worker(&mut self, device: usize) -> Option<&mut worker::Worker> {
        match &mut self.posts[device].far {
            Far::Scanner(worker) => Some(worker),
            Far::Llrp(_) | Far::Mercury(_) | Far::Smart(_) | Far::Sorter(_) | Far::Plc(_) | Far::Away => None,
        }
    }

    /// Draws a parcel: what its label says, whether that can be read, and whether it was announced.
    fn parcel(&mut self, device: usize) {
        let fits = |rule: &&SortRule| rule.sorter.is_none_or(|sorter| usize::from(sorter.0) == device);
        let rules: Vec<&SortRule> = self.site.sort_plan.iter().filter(fits).collect();
        let routes: BTreeSet<&Code> = rules.iter().filter_map(|rule| rule.route.as_ref()).collect();
        let prefixes: Vec<&Code> = rules.iter().filter_map(|rule| rule.prefix.as_ref()).collect();
        let routes: Vec<&Code> = routes.into_iter().collect();
        let express = self.load.pick(&prefixes).filter(|_| self.load.permille(100));
        let prefix = express.map_or("PKT", |index| prefixes[index].as_str());
        let code = stowage_base::code(&format!("{prefix}-{device}-{}", self.planned)).unwrap_or_default();
        let route = self.load.pick(&routes).map(|index| routes[index].clone());
        let unknown = self.load.permille(self.scenario.load.parcels_unknown);
        let unread = self.load.permille(self.scenario.load.parcels_unread);
        let route = route.filter(|_| !unknown);
        if let Some(route) = &route {
            let number = self.announcements.len();
            self.announcements.push(Announcement {
                code: code.clone(),
                route: route.clone(),
                request: 0,
                taken: false,
            });
            self.plan(self.now, Deed::Ask(number));
        }
        let at = self.now + ANNOUNCED_BEFORE.0 + self.load.span(ANNOUNCED_BEFORE.1);
        self.plan(at, Deed::Induct(device, (!unread).then_some(code), route));
    }

    fn ask(&mut self, number: usize) {
        let announcement = &mut self.announcements[number];
        if announcement.taken {
            return;
        }
        if let Some(edge) = &mut self.edge {
            self.request += 1;
            let (request, code, route) = (self.request, announcement.code.clone(), announcement.route.clone());
            announcement.request = request;
            self.requests.insert(request, number);
            edge.engine.input(self.now, Input::Announce { request, code, route });
        }
        self.plan(self.now + ASK_AGAIN, Deed::Ask(number));
    }

    fn reply(&mut self, request: u64, reply: &Reply) {
        let Some(number) = self.requests.remove(&request) else {
            return self.auditor.violation(format!("request {request} is answered again: {reply:?}"));
        };
        let Announcement { code, route, taken, .. } = &mut self.announcements[number];
        match reply {
            Reply::Done | Reply::Exists => {
                *taken = true;
                self.auditor.promised(code, route);
            }
            Reply::Busy => {}
            Reply::Differs(_) | Reply::Unfit(_) | Reply::NotFound => {
                self.auditor.violation(format!("parcel {code} is refused: {reply:?}"))
            }
        }
    }

    /// The edge dies: sessions, engine and what was not synced are gone.
    fn kill(&mut self) {
        for device in 0..self.posts.len() {
            self.hang_up(device, true);
        }
        self.edge = None;
        self.requests.clear();
        let _ = self.commit.crash(self.now);
        self.audit_facts();
    }

    fn start(&mut self) {
        if self.edge.is_some() {
            return;
        }
        self.boot += 1;
        match Edge::new(&self.scenario.edge, &self.site, self.commit.stored(), self.boot) {
            Ok(mut edge) => {
                self.auditor.restarted(edge.engine.state());
                edge.engine.start(self.now, env!("CARGO_PKG_VERSION"));
                self.edge = Some(edge);
                for post in &mut self.posts {
                    post.dial_at[To::Edge as usize] = self.now;
                }
            }
            Err(why) => {
                self.auditor.violation(format!("the edge can't start: {why}"));
                self.over = true;
            }
        }
    }

    /// Goods and people rest; lines, disk and edge are well.
    fn rest(&mut self) {
        self.resting = true;
        self.commit.set_full(false);
        self.commit.set_sync_time(self.scenario.sync);
        for post in &mut self.posts {
            post.cut_until = [self.now; 2];
            post.line.mend();
            if let Far::Scanner(worker) = &mut post.far {
                worker.rest();
            }
        }
        self.deeds.retain(|_, deed| {
            matches!(deed, Deed::Walked(_) | Deed::Press(_) | Deed::Ask(_) | Deed::Induct(..) | Deed::Check)
        });
        self.start();
        self.plan(self.now + Duration::from_secs(1), Deed::Finished);
    }

    /// Compares facts, rows and state; `false` while some facts are not durable.
    fn check(&mut self) -> bool {
        let Some(edge) = &self.edge else { return false };
        let idle = !edge.engine.has_batch() && self.commit.under_way() == 0;
        if idle {
            self.auditor.check(edge.engine.state(), &self.commit.stored());
        }
        idle
    }

    /// Ends the run once nothing is left to do, or when that takes too long.
    fn finished(&mut self) {
        let mut left = Vec::new();
        let quiet = self.floor.walks.iter().all(|walk| walk.end + SETTLE <= self.now);
        left.extend((!quiet).then(|| "goods are under way".to_owned()));
        let asked = self.announcements.iter().filter(|announcement| !announcement.taken).count();
        left.extend((asked > 0).then(|| format!("{asked} parcels are announced and not taken")));
        let parcels = self.deeds.values().any(|deed| matches!(deed, Deed::Induct(..) | Deed::Walked(_)));
        left.extend(parcels.then(|| "parcels or goods are to come".to_owned()));
        for (device, post) in self.posts.iter().enumerate() {
            let code = &self.site.devices[device].code;
            let away = matches!(post.far, Far::Away);
            left.extend((!away && post.on != [true; 2]).then(|| format!("{code} is not connected")));
            match &post.far {
                Far::Sorter(sorter) if sorter.on_belt() > 0 => left.push(format!("{code} has items on its belt")),
                Far::Plc(plc) if plc.on_belt() > 0 => left.push(format!("{code} has items on its belt")),
                Far::Scanner(worker) if worker.pending() > 0 => {
                    left.push(format!("{code} waits for {} answers", worker.pending()));
                }
                Far::Llrp(_)
                | Far::Mercury(_)
                | Far::Smart(_)
                | Far::Sorter(_)
                | Far::Plc(_)
                | Far::Scanner(_)
                | Far::Away => {}
            }
        }
        if let Some(edge) = &self.edge {
            let open = edge.engine.state().commands.iter().filter(|(_, command)| !command.state.ended()).count();
            left.extend((open > 0).then(|| format!("{open} commands have not ended")));
        }
        if left.is_empty() && !self.check() {
            left.push("facts wait to be stored".to_owned());
        }
        let late = self.now >= START + self.duration + FINISH_MAX;
        if late {
            left.iter().for_each(|what| self.auditor.violation(format!("not finished: {what}")));
        }
        self.over = left.is_empty() || late;
        if !self.over {
            self.plan(self.now + Duration::from_secs(1), Deed::Finished);
        }
    }
}
