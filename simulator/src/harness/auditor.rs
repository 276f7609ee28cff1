//! The auditor: judges a run by what devices saw, by the truth, and by the durable facts as anyone outside reads them.
//!
//! It reads facts as JSON and adds them up by rules of its own. The core's fold ([`State::apply`]) is run beside it and
//! must agree with the core's rows; that alone would not show an error that both have.

use super::floor::{Floor, SETTLE, Walk};
use super::report::Metrics;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use stowage_base::{Code, Intent, Timestamp, Verdict};
use stowage_core::commit::Stored;
use stowage_core::site::{DeviceKind, SortRule};
use stowage_core::{Fact, Site, State};
use stowage_protocol::sorter::End;
use stowage_protocol::sorter_mqtt::{Delivery, Divert};

/// Violations that are told in words: the first ones tell most.
const VIOLATIONS_MAX: usize = 50;

/// A machine's own name for an item: the device, its count of starts, its number.
type Item = (usize, u32, u32);

/// Where goods by quantity lie: SKU, lot, location, disposition, owner.
type StockKey = [String; 5];

/// The auditor.
#[derive(Debug)]
pub(super) struct Auditor {
    site: Arc<Site>,
    /// Nothing goes wrong in this run, so nothing may be missed either.
    faultless: bool,
    violations: Vec<String>,
    read: usize,
    seq: u64,
    at: i64,
    hash: [u8; 32],
    fold: State,
    /// Location and disposition of each tag by the book.
    book: BTreeMap<String, Option<(String, String)>>,
    stock: BTreeMap<StockKey, i64>,
    scanners: BTreeMap<Code, BTreeMap<u32, Answered>>,
    commands: BTreeMap<String, Command>,
    announced: BTreeMap<String, String>,
    promised: BTreeMap<String, String>,
    moves: BTreeMap<String, Vec<Moved>>,
    /// The last move that the radio decided, until its consequences are read: its fact, tag and goal.
    decided: Option<(u64, String, String, bool)>,
    inducted: BTreeMap<Item, Inducted>,
    told: u64,
    metrics: Metrics,
}

#[derive(Debug)]
struct Answered {
    intent: Value,
    verdict: Value,
}

#[derive(Debug)]
struct Command {
    chute: String,
    /// How far it has come, by its facts: 0 planned, 1 sent, 2 acknowledged, 3 ended.
    step: u8,
    confirmed: bool,
}

#[derive(Debug)]
struct Moved {
    at: i64,
    portal: Option<String>,
    to: String,
}

#[derive(Debug)]
struct Inducted {
    code: Option<Code>,
    decide_at: Timestamp,
    /// The announced route, and whether the edge had promised to know it.
    route: Option<Code>,
    promised: bool,
}

impl Auditor {
    pub(super) fn new(site: Arc<Site>, faultless: bool) -> Self {
        Self {
            site,
            faultless,
            violations: Vec::new(),
            read: 0,
            seq: 0,
            at: 0,
            hash: [0; 32],
            fold: State::default(),
            book: BTreeMap::new(),
            stock: BTreeMap::new(),
            scanners: BTreeMap::new(),
            commands: BTreeMap::new(),
            announced: BTreeMap::new(),
            promised: BTreeMap::new(),
            moves: BTreeMap::new(),
            decided: None,
            inducted: BTreeMap::new(),
            told: 0,
            metrics: Metrics::default(),
        }
    }

    /// Something is wrong.
    pub(super) fn violation(&mut self, what: impl Into<String>) {
        self.metrics.violations += 1;
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(what.into());
        }
    }

    pub(super) fn violations(&self) -> &[String] {
        &self.violations
    }

    /// The durable facts, from the first: reads those that are new.
    pub(super) fn facts(&mut self, lines: &[String]) {
        for line in lines.get(self.read..).unwrap_or_default() {
            self.read += 1;
            self.hash = Sha256::new().chain_update(self.hash).chain_update(line).finalize().into();
            match serde_json::from_str(line) {
                Ok(fact) => self.fact(&fact),
                Err(error) => self.violation(format!("fact {} is no JSON: {error}", self.read)),
            }
            let folded =
                Fact::parse(line).map_err(|error| error.to_string()).and_then(|(_, fact)| self.fold.apply(&fact));
            if let Err(why) = folded {
                self.violation(format!("fact {} contradicts those before it: {why}", self.read));
            }
        }
    }

    fn fact(&mut self, fact: &Value) {
        let (seq, at) = (fact["seq"].as_u64().unwrap_or(0), fact["at"].as_i64().unwrap_or(-1));
        if seq != self.seq + 1 {
            self.violation(format!("fact {seq} follows fact {}", self.seq));
        }
        self.seq = seq;
        if at < self.at {
            self.violation(format!("fact {seq} is earlier than the one before"));
        }
        self.at = at;
        if self.decided.as_ref().is_some_and(|(by, ..)| fact["cause"]["seq"].as_u64() != Some(*by)) {
            self.consequence();
        }
        let (kind, data) = (fact["kind"].as_str().unwrap_or_default(), &fact["data"]);
        match kind {
            "stock.received" | "stock.moved" | "stock.adjusted" | "stock.departed" => self.movement(seq, data),
            "intent.answered" => self.answered(seq, data),
            "scanner.resumed" => self.violation(format!("fact {seq}: the journal has lost answers of a scanner")),
            "presence.moved" => {
                let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
                let portal = data["portal"].as_str().map(str::to_owned);
                self.decided = Some((seq, text("epc"), text("to"), false));
                self.moves.entry(text("epc")).or_default().push(Moved { at, portal, to: text("to") });
            }
            "discrepancy.opened" => {
                self.metrics.discrepancies += 1;
                if let Some(decided) = &mut self.decided {
                    decided.3 = true;
                }
            }
            "parcel.announced" => {
                let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
                if self.announced.insert(text("code"), text("route")).is_some() {
                    self.violation(format!("fact {seq}: parcel {} is announced again", text("code")));
                }
            }
            "command.planned" => {
                let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
                let planned = Command { chute: text("chute"), step: 0, confirmed: false };
                if self.commands.insert(text("command"), planned).is_some() {
                    self.violation(format!("fact {seq}: command {} is planned again", text("command")));
                }
            }
            "command.sent" => self.step(seq, data, 1),
            "command.acknowledged" => self.step(seq, data, 2),
            "command.confirmed" | "command.missed" | "command.failed" => self.ended(seq, kind, data),
            "edge.started" => self.metrics.starts += 1,
            _ => {}
        }
    }

    /// Adds a movement to the auditor's own book.
    fn movement(&mut self, seq: u64, data: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let place = |value: &Value| value.is_object().then(|| (text(&value["location"]), text(&value["disposition"])));
        let quantity = data["quantity"].as_i64().unwrap_or(0);
        let (from, to) = (place(&data["from"]), place(&data["to"]));
        for (at, sign) in [(&from, -1), (&to, 1)] {
            let Some((location, disposition)) = at else { continue };
            let key =
                [text(&data["sku"]), text(&data["lot"]), location.clone(), disposition.clone(), text(&data["owner"])];
            let left = self.stock.get(&key).copied().unwrap_or(0) + sign * quantity;
            if left < 0 {
                self.violation(format!("fact {seq}: {} at {location} falls below zero", key[0]));
            }
            let _ = if left == 0 { self.stock.remove(&key) } else { self.stock.insert(key, left) };
        }
        if let Some(epc) = data["epc"].as_str() {
            let before = self.book.insert(epc.to_owned(), to).flatten();
            if before != from {
                self.violation(format!("fact {seq}: {epc} was at {before:?}, not at {from:?}"));
            }
        }
    }

    /// What the radio decided has been read with all that follows from it: the book must say so, or doubt it.
    fn consequence(&mut self) {
        let Some((seq, epc, to, doubted)) = self.decided.take() else { return };
        let book = self.book.get(&epc).and_then(|place| place.as_ref()).map(|(location, _)| location.as_str());
        let zone = book.and_then(|book| self.site.location(book)).map(|place| self.site.zone(place.zone));
        let outside = self.site.zone_coded(&to).map(|to| self.site.zone(to).kind);
        let agrees = match zone {
            Some(zone) => *zone.code == *to,
            None => outside == Some(stowage_core::site::ZoneKind::Outside),
        };
        if !agrees && !doubted && !self.fold.discrepancies.iter().any(|(_, open)| open.epc.to_string() == epc) {
            self.violation(format!("fact {seq}: the radio has {epc} in {to}, the book neither follows nor doubts it"));
        }
    }

    fn answered(&mut self, seq: u64, data: &Value) {
        let scanner = data["scanner"].as_str().and_then(stowage_base::code).unwrap_or_default();
        let (intent, verdict) = (data["intent"].clone(), data["verdict"].clone());
        let number = data["intent"]["seq"].as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
        let recorded = self.scanners.entry(scanner.clone()).or_default();
        let last = recorded.last_key_value().map_or(0, |(last, _)| *last);
        if recorded.insert(number, Answered { intent, verdict }).is_some() || number != last + 1 {
            self.violation(format!("fact {seq}: {scanner}'s intent {number} is recorded after {last}"));
        }
        self.metrics.intents_recorded += 1;
    }

    fn step(&mut self, seq: u64, data: &Value, step: u8) {
        let id = data["command"].as_str().unwrap_or_default();
        match self.commands.get_mut(id) {
            Some(command) if command.step < step => command.step = step,
            Some(_) => self.violation(format!("fact {seq}: command {id} takes a step back")),
            None => self.violation(format!("fact {seq}: command {id} was never planned")),
        }
    }

    fn ended(&mut self, seq: u64, kind: &str, data: &Value) {
        self.step(seq, data, 3);
        let id = data["command"].as_str().unwrap_or_default();
        match kind {
            "command.confirmed" => self.metrics.parcels_confirmed += 1,
            "command.missed" => self.metrics.parcels_missed += 1,
            _ => self.metrics.parcels_failed += 1,
        }
        if let Some(command) = self.commands.get_mut(id) {
            command.confirmed = kind == "command.confirmed";
        }
    }

    /// A handheld was told this answer: its fact is durable, and says the same.
    pub(super) fn told(&mut self, scanner: &Code, seq: u32, verdict: &Verdict) {
        self.told += 1;
        let recorded = self.scanners.get(scanner).and_then(|answers| answers.get(&seq));
        let same = recorded.map(|answered| serde_json::to_value(verdict).is_ok_and(|told| told == answered.verdict));
        match same {
            Some(true) => {}
            Some(false) => self.violation(format!("{scanner} was told {verdict:?} to {seq}, the facts say otherwise")),
            None => self.violation(format!("{scanner} was told an answer to {seq} that is not durable")),
        }
    }

    /// The edge has promised to know a parcel.
    pub(super) fn promised(&mut self, code: &Code, route: &Code) {
        self.promised.insert(code.as_str().to_owned(), route.as_str().to_owned());
        if self.announced.get(code.as_str()).is_none_or(|known| known.as_str() != route.as_str()) {
            self.violation(format!("parcel {code} was taken before its fact was durable"));
        }
    }

    /// A parcel passes a scan point.
    pub(super) fn inducted(&mut self, item: Item, code: Option<Code>, route: Option<Code>, decide_at: Timestamp) {
        self.metrics.parcels += 1;
        let promised = code.as_ref().is_some_and(|code| self.promised.contains_key(code.as_str()));
        self.inducted.insert(item, Inducted { code, decide_at, route, promised });
    }

    /// The edge has sent a command.
    pub(super) fn sent(&mut self, now: Timestamp, device: usize, payload: &[u8]) {
        let divert = match serde_json::from_slice::<Divert>(payload) {
            Ok(divert) => divert,
            Err(error) => return self.violation(format!("a command that is none: {error}")),
        };
        let item =
            divert.command.split_once('-').and_then(|(boot, item)| Some((boot.parse().ok()?, item.parse().ok()?)));
        let inducted = item.and_then(|(boot, item)| self.inducted.get(&(device, boot, item)));
        match inducted {
            None => self.violation(format!("command {} for an item that never was", divert.command)),
            Some(inducted) if inducted.decide_at <= now => {
                self.violation(format!("command {} was sent after its decision point", divert.command));
            }
            Some(_) => {}
        }
        let id = format!("{}/{}", self.site.devices[device].code, divert.command);
        match self.commands.get(&id) {
            Some(planned) if planned.chute == *divert.chute => {}
            Some(planned) => {
                let planned = planned.chute.clone();
                self.violation(format!("command {id} was sent with chute {}, planned is {planned}", divert.chute));
            }
            None => self.violation(format!("command {id} was sent before its facts were durable")),
        }
    }

    /// A parcel's way has ended.
    pub(super) fn delivered(&mut self, device: usize, delivery: &Delivery) {
        let Some(truth) = self.inducted.get(&(device, delivery.boot, delivery.item)) else { return };
        let DeviceKind::Sorter { chutes, hospital } = &self.site.devices[device].kind else { return };
        let goal =
            |route: Option<&Code>| goal(&self.site.sort_plan, device, chutes, hospital, truth.code.as_ref(), route);
        let (known, unknown) = (goal(truth.route.as_ref()), goal(None));
        let diverted = delivery.outcome == End::Diverted;
        let right = delivery.chute.as_ref().is_some_and(|chute| {
            *chute == known || !truth.promised && *chute == unknown || !diverted && chute == hospital
        });
        self.metrics.parcels_right += u64::from(delivery.chute.as_ref() == Some(&known));
        if !right {
            self.metrics.parcels_wrong += 1;
            self.violation(format!("parcel {:?} went to {:?} and belongs into {known}", delivery.code, delivery.chute));
        } else if self.faultless && !diverted {
            self.violation(format!("parcel {:?} got no command in time though nothing went wrong", delivery.code));
        }
    }

    /// The edge has started anew: it knows what is durable, all of it and nothing else.
    pub(super) fn restarted(&mut self, state: &State) {
        if *state != self.fold {
            self.violation(format!("after a restart the rows are not what {} facts make", self.read));
        }
    }

    /// Compares the rows with the facts, at a moment when all facts are durable.
    pub(super) fn check(&mut self, state: &State, stored: &Stored) {
        self.consequence();
        self.restarted(state);
        if let Err(breaches) = state.check() {
            breaches.into_iter().for_each(|breach| self.violation(breach));
        }
        if (stored.chain.seq, stored.chain.hash) != (self.read as u64, self.hash) {
            self.violation(format!("the chain of {} facts doesn't end as stored", self.read));
        }
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        let (mut stock, mut book) = (BTreeMap::new(), BTreeMap::new());
        for (table, key, body) in &stored.rows {
            let body = parse(body);
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            match table.as_str() {
                "stock" => {
                    let key = parse(key);
                    let key = ["sku", "lot", "location", "disposition", "owner"].map(|part| text(&key[part]));
                    stock.insert(key, body.as_i64().unwrap_or(-1));
                }
                "item" => {
                    let place = &body["place"];
                    let place = place.is_object().then(|| (text(&place["location"]), text(&place["disposition"])));
                    book.insert(key.clone(), place);
                }
                _ => {}
            }
        }
        if stock != self.stock {
            self.violation("the stored stock is not the sum of the facts");
        }
        if book != self.book {
            self.violation("the stored items are not where the facts put them");
        }
    }

    /// Everything has had its time: what the handhelds kept is recorded, what was delivered is known, what passed was
    /// seen.
    pub(super) fn finish<'a>(
        &mut self,
        floor: &Floor,
        handhelds: impl Iterator<Item = (&'a Code, &'a [Intent])>,
        delivered: &[(usize, Delivery)],
    ) -> Metrics {
        for (scanner, kept) in handhelds {
            self.metrics.intents_kept += kept.len() as u64;
            let recorded = self.scanners.remove(scanner).unwrap_or_default();
            for intent in kept {
                let same = recorded
                    .get(&intent.seq)
                    .map(|answered| serde_json::to_value(intent).is_ok_and(|kept| kept == answered.intent));
                match same {
                    Some(true) => {}
                    Some(false) => self.violation(format!("{scanner}'s intent {} is recorded otherwise", intent.seq)),
                    None => self.violation(format!("{scanner} kept intent {}, it is not recorded", intent.seq)),
                }
            }
            if recorded.len() > kept.len() {
                self.violation(format!("{scanner} kept {} intents, {} are recorded", kept.len(), recorded.len()));
            }
        }
        self.metrics.intents_told = self.told;
        for (device, delivery) in delivered {
            self.agrees(*device, delivery);
        }
        let open = self.commands.iter().filter(|(_, command)| command.step < 3);
        let open: Vec<String> = open.map(|(id, _)| format!("command {id} has no end")).collect();
        open.into_iter().for_each(|what| self.violation(what));
        let forgotten = self.promised.iter().filter(|(code, route)| self.announced.get(*code) != Some(*route));
        let forgotten: Vec<String> = forgotten.map(|(code, _)| format!("parcel {code} was forgotten")).collect();
        forgotten.into_iter().for_each(|what| self.violation(what));
        for walk in &floor.walks {
            self.walked(walk);
        }
        for (epc, zone) in floor.zones() {
            let book = self.book.get(&epc.to_string()).and_then(|place| place.as_ref());
            let booked = book.and_then(|(location, _)| self.site.location(location)).map(|place| place.zone);
            self.metrics.goods += 1;
            self.metrics.goods_booked_right += u64::from(booked == Some(zone));
        }
        self.metrics
    }

    /// What the sorter did, and what the facts say that it did.
    fn agrees(&mut self, device: usize, delivery: &Delivery) {
        let id = format!("{}/{}-{}", self.site.devices[device].code, delivery.boot, delivery.item);
        let by_command = delivery.outcome == End::Diverted && delivery.commanded.is_some();
        let breach = match self.commands.get(&id) {
            Some(command) if command.confirmed != by_command => {
                let said = if command.confirmed { "confirmed" } else { "not confirmed" };
                Some(format!("command {id} is {said}, the sorter did {:?} into {:?}", delivery.outcome, delivery.chute))
            }
            Some(command) if by_command && delivery.chute.as_deref() != Some(command.chute.as_str()) => {
                Some(format!("command {id} goes to {}, the parcel went to {:?}", command.chute, delivery.chute))
            }
            Some(_) => None,
            None if by_command => Some(format!("the sorter obeyed command {id} of which there is no fact")),
            None => self.faultless.then(|| format!("the sorter scanned item {id} and there is no fact of it")),
        };
        breach.into_iter().for_each(|what| self.violation(what));
    }

    /// What portals made of a walk.
    fn walked(&mut self, walk: &Walk) {
        let portal = self.site.portals[usize::from(walk.portal.0)].code.clone();
        let goal = self.site.zone(walk.goal).code.clone();
        let (from, to) = (walk.start.micros(), (walk.end + SETTLE).micros());
        for epc in &walk.epcs {
            let moves = self.moves.get(&epc.to_string()).map_or(&[][..], Vec::as_slice);
            let mut seen = moves.iter().filter(|moved| moved.portal.as_deref() == Some(portal.as_str()));
            let last = seen.rfind(|moved| (from..to).contains(&moved.at)).map(|moved| *moved.to == *goal);
            let counter = match (walk.turned, last) {
                (true, None | Some(true)) => &mut self.metrics.turn_backs_right,
                (true, Some(false)) => &mut self.metrics.turn_backs_moved,
                (false, Some(true)) => &mut self.metrics.passes_right,
                (false, Some(false)) => &mut self.metrics.passes_wrong,
                (false, None) => &mut self.metrics.passes_missed,
            };
            *counter += 1;
            if last == Some(false) && self.faultless {
                let what = if walk.turned { "turned back" } else { "went through" };
                self.violation(format!("{epc} {what} at {portal} to {goal}, and the radio decided otherwise"));
            }
        }
    }
}

/// The chute of a parcel by the sort plan, while none is full.
fn goal(
    plan: &[SortRule],
    device: usize,
    chutes: &[Code],
    hospital: &Code,
    code: Option<&Code>,
    route: Option<&Code>,
) -> Code {
    let Some(code) = code else { return hospital.clone() };
    for rule in plan {
        let here = rule.sorter.is_none_or(|sorter| usize::from(sorter.0) == device);
        let by_code = rule.prefix.as_ref().map(|prefix| code.starts_with(prefix.as_str()));
        let by_route = rule.route.as_ref().map(|wanted| Some(wanted) == route);
        let known = route.is_some() || by_code == Some(true);
        if here && known && by_code != Some(false) && by_route != Some(false) {
            return rule.chutes.iter().find(|chute| chutes.contains(chute)).unwrap_or(hospital).clone();
        }
    }
    hospital.clone()
}
