//! The engine: joins presence, ledger, reconciliation, scans, sorting and robots, and holds promises back until the facts
//! behind them are durable.
//!
//! Sans-IO: the shell gives inputs and a time, takes batches to commit, reports what became of them, and carries out
//! the effects. The order of calls alone decides the facts; how they are cut into batches changes nothing.

use crate::commit::{Batch, Chain, Entry, Stored};
use crate::fact::{Body, DeviceChanged, ParcelAnnounced, ScannerResumed, Started, TransportPlanned};
use crate::fleet::Fleet;
use crate::identity;
use crate::input::{Belt, DeviceEvent, Effect, Input, Reply, RobotEvent, SorterEvent};
use crate::ledger;
use crate::presence::{Decision, Outcome, Presence};
use crate::reconcile;
use crate::record::{Act, Clerk, Recorder};
use crate::scan;
use crate::site::{Device, DeviceIx, DeviceKind, PortalIx, ReadPointIx, Site, ZoneIx};
use crate::sorting::{self, AtScanPoint, OUTCOME_WAIT, WORD_WAIT};
use crate::state::{Command, CommandState, Discrepancy, Item, Parcel, State};
use crate::view::{DeviceView, DiscrepancyView, PortalView, Totals, View, ZoneView};
use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use stowage_base::{Code, Epc, Intent, TagRead, TextKey, Timestamp};

/// Most effects that wait for facts to become durable; past it, intents are refused until some have.
const HELD_MAX: usize = 4_096;

/// What the shell keeps of a device; nothing durable.
#[derive(Debug, Default)]
struct DeviceLive {
    up: bool,
    since: Option<Timestamp>,
    count: u64,
    faults: u64,
    malformed: u64,
    downs: u64,
    last_error: Option<String>,
    /// Of a sorter that has told it.
    belt: Option<Belt>,
    note: Option<String>,
    temperature_c: Option<i16>,
}

/// What has passed a portal since the start.
#[derive(Debug, Default)]
struct PortalLive {
    inwards: u64,
    outwards: u64,
    turned_back: u64,
    last: Option<Timestamp>,
}

/// The one place where inputs become facts and effects.
#[derive(Debug)]
pub struct Engine {
    site: Arc<Site>,
    recorder: Recorder,
    presence: Presence,
    fleet: Fleet,
    chain: Chain,
    /// Effects that wait for the fact of this number; numbers never fall.
    held: VecDeque<(u64, Effect)>,
    durable: u64,
    ready: Vec<Effect>,
    /// Open commands by when to look at them again.
    deadlines: BTreeSet<(Timestamp, String)>,
    /// Commands that were open at the start. They may have been sent even where no fact says so: an edge that died
    /// between the wire and the disk can't tell. Only the sorter can.
    resumed: BTreeSet<String>,
    full_chutes: BTreeSet<(DeviceIx, Code)>,
    devices: Vec<DeviceLive>,
    portals: Vec<PortalLive>,
    decisions: Vec<Decision>,
    /// What presence decided while nothing could be stored, by tag: at most as many as presence remembers.
    postponed: BTreeMap<Epc, Decision>,
    problem: Option<String>,
    now: Timestamp,
    reads: u64,
    visits: u64,
    foreign: u64,
    intents: u64,
    sorted: u64,
}

impl Engine {
    /// Goes on from what a journal holds.
    ///
    /// # Errors
    /// A stored row makes no sense: which, and why.
    pub fn new(site: Arc<Site>, stored: Stored) -> Result<Self, String> {
        let mut state = State::default();
        for (table, key, body) in &stored.rows {
            state.load(table, key, body)?;
        }
        let unit = |item: &Item| item.place.is_some() && site.sku_coded(&item.sku).is_some_and(|sku| !sku.serialised);
        if let Some((epc, item)) = state.items.iter().find(|(_, item)| unit(item)) {
            return Err(format!(
                "{epc} is in stock, but site.toml keeps {} by quantity: set it serialised again",
                item.sku
            ));
        }
        let fleet = Fleet::new(&site, &state)?;
        let mut presence = Presence::new(&site);
        place_all(&mut presence, &site, &state);
        let open = || state.commands.iter().filter(|(_, command)| !command.state.ended());
        let deadlines = open().map(|(id, command)| (command.deadline + OUTCOME_WAIT, id.clone())).collect();
        let resumed = open().map(|(id, _)| id.clone()).collect();
        Ok(Self {
            recorder: Recorder::new(state, &stored.chain),
            presence,
            fleet,
            durable: stored.chain.seq,
            // Facts keep the journal's order by themselves: deadlines are a matter of this start's clock alone.
            now: Timestamp::EPOCH,
            chain: stored.chain,
            held: VecDeque::new(),
            ready: Vec::new(),
            deadlines,
            resumed,
            full_chutes: BTreeSet::new(),
            devices: site.devices.iter().map(|_| DeviceLive::default()).collect(),
            portals: site.portals.iter().map(|_| PortalLive::default()).collect(),
            decisions: Vec::new(),
            postponed: BTreeMap::new(),
            problem: None,
            reads: 0,
            visits: 0,
            foreign: 0,
            intents: 0,
            sorted: 0,
            site,
        })
    }

    /// Records that the edge began to run. Call it once, first.
    pub fn start(&mut self, now: Timestamp, version: &str) {
        self.advance(now);
        let body = Body::Started(Started { version: version.into() });
        self.clerk(Act::edge(now)).record(None, None, None, body);
        self.fleet.start(&mut self.recorder, &self.site, self.now);
    }

    fn clerk(&mut self, act: Act) -> Clerk<'_> {
        Clerk { recorder: &mut self.recorder, site: &self.site, now: self.now, act }
    }

    /// A tag was read by the antenna `point`. The hot path: nothing is allocated.
    pub fn read(&mut self, now: Timestamp, point: ReadPointIx, read: &TagRead) {
        self.advance(now);
        self.reads += u64::from(read.count);
        self.devices[usize::from(self.site.read_points[usize::from(point.0)].device.0)].count += u64::from(read.count);
        self.presence.read(point, read);
    }

    /// Something happened. First everything that was due before it happens, each in its own time.
    pub fn input(&mut self, now: Timestamp, input: Input) {
        self.advance(now);
        let now = self.now;
        match input {
            Input::Visit { point, visit } => {
                self.visits += 1;
                self.presence.visit(now, point, &visit, &mut self.decisions);
                self.reconcile(now);
            }
            Input::Device { device, event } => self.device(now, device, event),
            Input::Intent { scanner, intent } => self.intent(now, scanner, intent),
            Input::Lost { scanner, answered } => self.lost(scanner, answered),
            Input::Sorter { sorter, event } => self.sorter(now, sorter, event),
            Input::Announce { request, code, route } => self.announce(now, request, code, route),
            Input::Settle { request, discrepancy } => self.settle(now, request, discrepancy),
            Input::Transport { request, id, from, to } => {
                let load = TransportPlanned { transport: id, from, to };
                self.asked(request, |fleet, recorder, site| fleet.request(recorder, site, now, load));
            }
            Input::CancelTransport { request, id } => {
                self.asked(request, |fleet, recorder, site| fleet.cancel(recorder, site, now, &id));
            }
            Input::Emptied { request, robot } => {
                self.asked(request, |fleet, recorder, site| fleet.emptied(recorder, site, now, &robot));
            }
            Input::Robot { robot, event } => {
                self.devices[usize::from(robot.0)].count += 1;
                let decides = !matches!(event, RobotEvent::At { .. });
                self.fleet.robot(&mut self.recorder, &self.site, now, robot, event);
                if decides {
                    self.dispatch();
                }
            }
        }
    }

    /// Something asked of the fleet.
    fn asked(&mut self, request: u64, ask: impl FnOnce(&mut Fleet, &mut Recorder, &Site) -> Reply) {
        if self.problem.is_some() || self.held.len() >= HELD_MAX {
            self.ready.push(Effect::Reply { request, reply: Reply::Busy });
            return;
        }
        let reply = ask(&mut self.fleet, &mut self.recorder, &self.site);
        self.hold(self.recorder.seq(), Effect::Reply { request, reply });
        self.dispatch();
    }

    /// Robots get what there is to do. While nothing can be stored, they finish what they have.
    fn dispatch(&mut self) {
        if self.problem.is_none() {
            self.fleet.dispatch(&mut self.recorder, &self.site, self.now);
        }
        for effect in self.fleet.take_effects() {
            self.hold(self.recorder.seq(), effect);
        }
        for (epc, location) in self.fleet.take_relocated() {
            match location.as_ref().and_then(|location| self.site.location(location)) {
                Some(location) => self.presence.place(&epc, location.zone),
                None => self.presence.release(&epc),
            }
        }
    }

    /// Lets time pass: everything due until `now` happens, each in its own time. Late or needless calls are harmless.
    pub fn tick(&mut self, now: Timestamp) {
        self.advance(now);
    }

    /// When to call [`tick`](Self::tick) if nothing comes before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let command = self.deadlines.first().map(|(at, _)| *at);
        [command, self.presence.next_deadline(), self.fleet.next_deadline()].into_iter().flatten().min()
    }

    /// The facts that no batch has yet, with the rows that they changed. `None`: there are none.
    pub fn take_batch(&mut self) -> Option<Batch> {
        let facts = self.recorder.take();
        let last = facts.last()?;
        let (seq, at) = (last.seq, last.at);
        let mut hash = self.chain.hash;
        let entries = facts
            .into_iter()
            .map(|fact| {
                let line = fact.line(&self.site.code, self.chain.epoch);
                hash = Chain::link(&hash, &line);
                Entry { fact, line, hash }
            })
            .collect();
        self.chain = Chain { epoch: self.chain.epoch, seq, hash, at };
        Some(Batch { entries, rows: self.recorder.state_mut().drain(), chain: self.chain.clone() })
    }

    /// Whether [`take_batch`](Self::take_batch) has something to give.
    pub fn has_batch(&self) -> bool {
        self.recorder.has_pending()
    }

    /// Everything up to `seq` is durable: what waited for it is ready, unless a command's moment has passed.
    pub fn durable(&mut self, now: Timestamp, seq: u64) {
        let recovered = self.problem.take().is_some();
        self.durable = self.durable.max(seq);
        self.advance(now);
        if recovered {
            self.dispatch();
        }
        for (_, decision) in std::mem::take(&mut self.postponed) {
            self.compare(self.now, &decision);
        }
        while self.held.front().is_some_and(|(after, _)| *after <= self.durable) {
            let Some((_, effect)) = self.held.pop_front() else { break };
            match &effect {
                // It will be recorded as missed: no session tells that it left.
                Effect::Divert { deadline, .. } if *deadline <= self.now => {}
                _ => self.ready.push(effect),
            }
        }
    }

    /// A batch could not be committed; it is kept and tried again. Until then intents are refused.
    pub fn failed(&mut self, now: Timestamp, reason: &str) {
        self.problem = Some(reason.into());
        self.advance(now);
    }

    /// The effects that may be carried out now, in order.
    pub fn effects(&mut self) -> impl Iterator<Item = Effect> + '_ {
        self.ready.drain(..)
    }

    /// The durable state, with facts that may not be committed yet.
    pub const fn state(&self) -> &State {
        self.recorder.state()
    }

    /// The site.
    pub fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// What presence knows.
    pub const fn presence(&self) -> &Presence {
        &self.presence
    }

    /// The last fact that is known to be durable.
    pub const fn durable_seq(&self) -> u64 {
        self.durable
    }

    /// What a scanner is to know: the number of its last answered intent. 0: none yet.
    pub fn answered(&self, scanner: DeviceIx) -> u32 {
        let code = &self.site.device(scanner).code;
        self.recorder.state().scanners.get(code).map_or(0, |mark| mark.seq)
    }

    fn advance(&mut self, now: Timestamp) {
        while let Some(due) = self.next_deadline().filter(|due| *due <= now) {
            self.now = self.now.max(due);
            match self.deadlines.first() {
                Some((at, _)) if *at == due => {
                    let Some((_, id)) = self.deadlines.pop_first() else { return };
                    self.command_due(&id);
                }
                _ if self.fleet.next_deadline() == Some(due) => self.rested(),
                _ => {
                    self.presence.tick(self.now, &mut self.decisions);
                    self.reconcile(self.now);
                }
            }
        }
        self.now = self.now.max(now);
    }

    /// Robots that were left alone for a while are there again.
    fn rested(&mut self) {
        self.fleet.rested(&mut self.recorder, &self.site, self.now, &self.full_chutes);
        self.dispatch();
    }

    fn command_due(&mut self, id: &str) {
        let Some(command) = self.recorder.state().commands.get(&id.to_owned()) else { return };
        let (state, deadline) = (command.state, command.deadline);
        if state.ended() {
            return;
        }
        if state == CommandState::Planned && !self.resumed.contains(id) {
            sorting::missed(
                &mut self.recorder,
                &self.site,
                self.now,
                id,
                "it could not be sent before the sorter's decision point",
            );
        } else if self.now < deadline + OUTCOME_WAIT {
            self.deadlines.insert((deadline + OUTCOME_WAIT, id.to_owned()));
        } else if self.stands(&command.target) {
            // Whatever lies on it goes on with it.
            self.deadlines.insert((self.now + OUTCOME_WAIT, id.to_owned()));
        } else {
            sorting::missed(&mut self.recorder, &self.site, self.now, id, "the sorter told no outcome");
        }
    }

    /// Whether the sorter is there and its belt stands.
    fn stands(&self, sorter: &str) -> bool {
        let live = self.site.device_coded(sorter).map(|ix| &self.devices[usize::from(ix.0)]);
        live.is_some_and(|live| live.up && live.belt.is_some_and(|belt| belt != Belt::Running))
    }

    fn reconcile(&mut self, now: Timestamp) {
        let mut decisions = std::mem::take(&mut self.decisions);
        for decision in decisions.drain(..) {
            self.count_passage(&decision);
            if self.problem.is_some() {
                self.postpone(decision);
                continue;
            }
            self.compare(now, &decision);
        }
        self.decisions = decisions;
    }

    /// While nothing can be stored, of each tag only its way from where it was to where it is now is kept.
    fn postpone(&mut self, decision: Decision) {
        let Outcome::Moved { .. } = decision.outcome else { return };
        match self.postponed.entry(decision.epc) {
            MapEntry::Vacant(place) => drop(place.insert(decision)),
            MapEntry::Occupied(mut before) => {
                let first = before.get().outcome;
                let mut latest = decision;
                if let (Outcome::Moved { from: begun, .. }, Outcome::Moved { from, .. }) = (first, &mut latest.outcome)
                {
                    *from = begun;
                }
                before.insert(latest);
            }
        }
    }

    /// Compares what presence decided with the book.
    fn compare(&mut self, now: Timestamp, decision: &Decision) {
        let booked = ledger::place_of(self.recorder.state(), &decision.epc).is_some();
        let done = reconcile::presence(&mut self.recorder, &self.site, now, decision);
        self.foreign += u64::from(done.foreign);
        match (booked, ledger::place_of(self.recorder.state(), &decision.epc), decision.outcome) {
            (false, Some(_), Outcome::Moved { to, .. }) => self.presence.place(&decision.epc, to),
            (true, None, _) => self.presence.release(&decision.epc),
            _ => {}
        }
        self.remove_tasks(&done.settled);
        if let Some(id) = done.opened {
            self.add_task(id);
        }
    }

    fn count_passage(&mut self, decision: &Decision) {
        let (Outcome::Moved { portal: Some(portal), .. } | Outcome::TurnedBack { portal, .. }) = decision.outcome
        else {
            return;
        };
        let inner = self.site.portals[usize::from(portal.0)].inner;
        let live = &mut self.portals[usize::from(portal.0)];
        live.last = Some(decision.at);
        match decision.outcome {
            Outcome::TurnedBack { .. } => live.turned_back += 1,
            Outcome::Moved { to, .. } if to == inner => live.inwards += 1,
            Outcome::Moved { .. } => live.outwards += 1,
        }
    }

    fn intent(&mut self, now: Timestamp, scanner: DeviceIx, intent: Intent) {
        let seq = intent.seq;
        // One that an earlier refusal has made void: it comes again, behind the refused one.
        let gap = seq > self.answered(scanner).saturating_add(1);
        if gap || self.problem.is_some() || self.held.len() >= HELD_MAX {
            self.ready.push(Effect::Refuse { scanner, seq });
            return;
        }
        self.intents += 1;
        self.devices[usize::from(scanner.0)].count += 1;
        let code = self.site.device(scanner).code.clone();
        let answer = scan::answer(&mut self.recorder, &self.site, now, &code, intent);
        if let Some((epc, location)) = &answer.placed
            && let Some(location) = self.site.location(location)
        {
            self.presence.place(epc, location.zone);
        }
        if let Some(epc) = &answer.gone {
            self.presence.release(epc);
        }
        self.remove_tasks(&answer.settled);
        let effect = Effect::Answer { scanner, seq, verdict: answer.verdict };
        // A repeat may come while its first answer's fact is still under way: it waits for the newest.
        let after = answer.after.unwrap_or_else(|| self.recorder.seq());
        self.hold(after, effect);
    }

    fn lost(&mut self, scanner: DeviceIx, answered: u32) {
        if answered > self.answered(scanner) {
            let code = self.site.device(scanner).code.clone();
            let what = Some(code.as_str().to_owned());
            let why = Some("the journal lacks answers that the scanner has had: was it restored?".to_owned());
            let body = Body::ScannerResumed(ScannerResumed { scanner: code, seq: answered });
            self.clerk(Act::edge(self.now)).record(what, None, why, body);
        }
    }

    fn device(&mut self, now: Timestamp, device: DeviceIx, event: DeviceEvent) {
        let code = self.site.device(device).code.clone();
        let live = &mut self.devices[usize::from(device.0)];
        let mut record = None;
        let act = Act { who: Some(format!("device:{code}")), when: now, cause: None };
        let what = Some(code.as_str().to_owned());
        let changed = DeviceChanged { device: code };
        match event {
            DeviceEvent::Up => {
                if !live.up {
                    (live.up, live.since) = (true, Some(now));
                    record = Some((None, Body::DeviceUp(changed)));
                }
            }
            DeviceEvent::Down(why) => {
                live.last_error = Some(why.clone());
                if live.up {
                    (live.up, live.since) = (false, Some(now));
                    live.downs += 1;
                    record = Some((Some(why), Body::DeviceDown(changed)));
                }
            }
            DeviceEvent::Fault { count, what } => {
                live.faults += count;
                live.last_error = Some(what);
            }
            DeviceEvent::Note(what) => live.note = Some(what),
            DeviceEvent::Temperature(celsius) => live.temperature_c = Some(celsius),
            DeviceEvent::Malformed { count, what } => {
                live.malformed += count;
                live.last_error = Some(what);
            }
        }
        let up = matches!(record, Some((None, _)));
        if let Some((why, body)) = record {
            self.clerk(act).record(what, None, why, body);
        }
        if up && self.site.device(device).kind == DeviceKind::Scanner {
            self.send_tasks(device);
        }
    }

    fn sorter(&mut self, now: Timestamp, sorter: DeviceIx, event: SorterEvent) {
        let code = self.site.device(sorter).code.clone();
        let id = |boot, item| sorting::command_id(&code, (boot, item));
        let (recorder, site) = (&mut self.recorder, &*self.site);
        match event {
            SorterEvent::Up { boot } => {
                self.full_chutes.retain(|(of, _)| *of != sorter);
                for id in sorting::restarted(recorder, site, now, &code, boot) {
                    self.divert(sorter, &id);
                }
            }
            SorterEvent::Scanned { boot, item, code, decide_by } => {
                self.sorted += 1;
                self.devices[usize::from(sorter.0)].count += 1;
                let at = AtScanPoint { sorter, item: (boot, item), code, decide_by };
                if let Some(id) = sorting::scanned(recorder, site, &self.full_chutes, now, at) {
                    self.deadlines.insert((decide_by + WORD_WAIT, id.clone()));
                    self.divert(sorter, &id);
                }
            }
            SorterEvent::Sent { boot, item } => sorting::sent(recorder, site, now, &id(boot, item)),
            SorterEvent::NotSent { boot, item } => {
                let id = id(boot, item);
                // Of an earlier try, by this run or the one before, only the sorter tells the end.
                let tried = |command: &Command| command.state != CommandState::Planned;
                if !self.resumed.contains(&id) && !recorder.state().commands.get(&id).is_some_and(tried) {
                    sorting::missed(recorder, site, now, &id, "the link could not carry it in time");
                }
            }
            SorterEvent::Acknowledged { boot, item } => sorting::acknowledged(recorder, site, now, &id(boot, item)),
            SorterEvent::Refused { boot, item, reason } => {
                sorting::failed(recorder, site, now, &id(boot, item), &reason)
            }
            SorterEvent::Ended { boot, item, outcome, chute } => {
                sorting::ended(recorder, site, now, sorter, (boot, item), outcome, chute.clone());
                if let Some(chute) = chute {
                    self.fleet.laid(&mut self.recorder, &self.site, now, &chute);
                    self.dispatch();
                }
                // A repeat may come while the first one's facts are still under way: it waits for the newest.
                // While nothing can be committed its repeats are not gathered: it goes on repeating.
                if self.held.len() < HELD_MAX {
                    self.hold(self.recorder.seq(), Effect::Recorded { sorter, boot, item });
                }
            }
            SorterEvent::Belt(belt) => {
                if self.devices[usize::from(sorter.0)].belt.replace(belt) != Some(belt) {
                    sorting::belt(recorder, site, now, &code, belt);
                }
            }
            SorterEvent::Full { chute, full: true } => {
                if self.full_chutes.insert((sorter, chute.clone())) {
                    self.fleet.full(&mut self.recorder, &self.site, now, &chute);
                    self.dispatch();
                }
            }
            SorterEvent::Full { chute, full: false } => drop(self.full_chutes.remove(&(sorter, chute))),
        }
    }

    fn divert(&mut self, sorter: DeviceIx, id: &str) {
        let Some(command) = self.recorder.state().commands.get(&id.to_owned()) else { return };
        let effect = Effect::Divert {
            sorter,
            boot: command.boot,
            item: command.item,
            chute: command.chute.clone(),
            deadline: command.deadline,
        };
        self.hold(self.recorder.seq(), effect);
    }

    fn announce(&mut self, now: Timestamp, request: u64, code: Code, route: Code) {
        if self.problem.is_some() || self.held.len() >= HELD_MAX {
            self.ready.push(Effect::Reply { request, reply: Reply::Busy });
            return;
        }
        let reply = match self.recorder.state().parcels.get(&code) {
            Some(Parcel { route: Some(before), .. }) if *before == route => Reply::Exists,
            Some(Parcel { route: Some(_), .. }) => Reply::Differs("route"),
            Some(Parcel { route: None, .. }) | None => {
                let what = Some(code.as_str().to_owned());
                let body = Body::ParcelAnnounced(ParcelAnnounced { code, route });
                self.clerk(Act::edge(now)).record(what, None, None, body);
                Reply::Done
            }
        };
        self.hold(self.recorder.seq(), Effect::Reply { request, reply });
    }

    fn settle(&mut self, now: Timestamp, request: u64, discrepancy: u64) {
        if self.problem.is_some() {
            self.ready.push(Effect::Reply { request, reply: Reply::Busy });
            return;
        }
        let epc = self.recorder.state().discrepancies.get(&discrepancy).map(|open| open.epc);
        let reply = match reconcile::take_radios_word(&mut self.recorder, &self.site, now, discrepancy) {
            None => Reply::NotFound,
            Some(settled) => {
                self.remove_tasks(&settled);
                if let Some(epc) = epc.filter(|epc| ledger::place_of(self.recorder.state(), epc).is_none()) {
                    self.presence.release(&epc);
                }
                Reply::Done
            }
        };
        self.hold(self.recorder.seq(), Effect::Reply { request, reply });
    }

    fn hold(&mut self, after: u64, effect: Effect) {
        if after <= self.durable { self.ready.push(effect) } else { self.held.push_back((after, effect)) }
    }

    fn scanners(&self) -> Vec<DeviceIx> {
        let of_kind =
            |(at, device): (usize, &Device)| (device.kind == DeviceKind::Scanner).then_some(DeviceIx(at as u16));
        self.site.devices.iter().enumerate().filter_map(of_kind).collect()
    }

    fn task(scanner: DeviceIx, id: u64, open: &Discrepancy) -> Effect {
        let text = |text: &str| stowage_base::code(text).unwrap_or_default();
        let what = open.sku.clone().unwrap_or_else(|| text(&open.epc.to_string()));
        let book = open.book.clone().unwrap_or_else(|| text("–"));
        Effect::AddTask { scanner, id, key: TextKey::CheckItem, args: vec![what, book, open.world.clone()] }
    }

    fn add_task(&mut self, id: u64) {
        let Some(open) = self.recorder.state().discrepancies.get(&id).cloned() else { return };
        for scanner in self.scanners() {
            self.hold(self.recorder.seq(), Self::task(scanner, id, &open));
        }
    }

    fn send_tasks(&mut self, scanner: DeviceIx) {
        let open: Vec<_> = self.recorder.state().discrepancies.iter().map(|(&id, open)| (id, open.clone())).collect();
        for (id, open) in open {
            self.hold(self.recorder.seq(), Self::task(scanner, id, &open));
        }
    }

    fn remove_tasks(&mut self, ids: &[u64]) {
        for &id in ids {
            for scanner in self.scanners() {
                self.hold(self.recorder.seq(), Effect::RemoveTask { scanner, id });
            }
        }
    }

    /// A picture of the moment for pages.
    pub fn view(&self, now: Timestamp) -> View {
        let site = &self.site;
        let state = self.recorder.state();
        let located = site.locations.iter().map(|location| (&*location.code, usize::from(location.zone.0)));
        let zone_of: BTreeMap<&str, usize> = located.collect();
        let mut books = vec![0_u64; site.zones.len()];
        for (key, &quantity) in state.stock.iter() {
            if let Some(&zone) = zone_of.get(&*key.location) {
                books[zone] += quantity;
            }
        }
        let discrepancies: Vec<_> = state.discrepancies.iter().map(|(&id, open)| discrepancy_view(id, open)).collect();
        let mut doubts = vec![0_u32; site.zones.len()];
        for open in &discrepancies {
            let book = open.book.as_ref().and_then(|book| zone_of.get(&**book).copied());
            let world = site.zone_coded(&open.world).map(|zone| usize::from(zone.0));
            for zone in book.into_iter().chain(world.filter(|_| world != book)) {
                doubts[zone] += 1;
            }
        }
        let zones = site.zones.iter().enumerate().map(|(at, zone)| ZoneView {
            code: zone.code.clone(),
            name: zone.name.clone(),
            kind: zone.kind,
            area: zone.area,
            book: books[at],
            tags: self.presence.tags_in(ZoneIx(at as u16)),
            discrepancies: doubts[at],
        });
        let portals = site.portals.iter().zip(&self.portals).enumerate().map(|(at, (portal, live))| PortalView {
            code: portal.code.clone(),
            name: portal.name.clone(),
            outer: site.zone(portal.outer).code.clone(),
            inner: site.zone(portal.inner).code.clone(),
            tags: self.presence.portal(PortalIx(at as u16)).open,
            inwards: live.inwards,
            outwards: live.outwards,
            turned_back: live.turned_back,
            last: live.last,
        });
        let devices = site.devices.iter().zip(&self.devices).map(|(device, live)| DeviceView {
            code: device.code.clone(),
            kind: match device.kind {
                DeviceKind::Reader => "reader",
                DeviceKind::Sorter { .. } => "sorter",
                DeviceKind::Scanner => "scanner",
                DeviceKind::Robot { .. } => "robot",
            },
            up: live.up,
            since: live.since,
            count: live.count,
            faults: live.faults,
            malformed: live.malformed,
            downs: live.downs,
            last_error: live.last_error.clone(),
            belt: live.belt,
            note: live.note.clone(),
            temperature_c: live.temperature_c,
        });
        View {
            at: now,
            site: site.code.clone(),
            name: site.name.clone(),
            facts: self.recorder.seq(),
            problem: self.problem.clone(),
            zones: zones.collect(),
            portals: portals.collect(),
            devices: devices.collect(),
            robots: self.fleet.robots(site, state),
            transports: self.fleet.transports(state),
            discrepancies,
            totals: Totals {
                units: state.stock.iter().map(|(_, quantity)| quantity).sum(),
                tags: self.presence.counters().tags,
                reads: self.reads,
                visits: self.visits,
                foreign: self.foreign,
                intents: self.intents,
                sorted: self.sorted,
            },
        }
    }
}

fn discrepancy_view(id: u64, open: &Discrepancy) -> DiscrepancyView {
    DiscrepancyView {
        id,
        epc: open.epc,
        what: identity::name(&open.epc),
        sku: open.sku.clone(),
        book: open.book.clone(),
        world: open.world.clone(),
        confidence: open.confidence,
        action: open.action,
        reason: open.reason.clone(),
        since: open.since,
    }
}

/// Presence begins where the book is, but for what is known to be elsewhere.
fn place_all(presence: &mut Presence, site: &Site, state: &State) {
    for (epc, item) in state.items.iter() {
        let location = item.place.as_ref().and_then(|place| site.location(&place.location));
        if let Some(location) = location {
            presence.place(epc, location.zone);
        }
    }
    for (_, open) in state.discrepancies.iter() {
        if let Some(zone) = site.zone_coded(&open.world) {
            presence.place(&open.epc, zone);
        }
    }
}

#[cfg(test)]
mod tests;
