//! What a worker's intent does to the book, and what the worker is told.

use crate::fact::{Body, Cause, Counted, IntentAnswered, Seen, SettledBy};
use crate::identity;
use crate::ledger::{self, Goods};
use crate::record::{Act, Clerk, Recorder};
use crate::site::{Site, ZoneKind};
use crate::state::{IntentKey, State};
use stowage_base::{Code, Duration, Epc, Intent, IntentBody, ItemRef, Level, TextKey, Timestamp, Verdict};

/// Most units that one scan may stand for.
pub const QUANTITY_MAX: u32 = 1_000_000;

/// How far a scanner's clock may be behind the edge's.
const LATE: Duration = Duration::from_secs(2);

/// What a scanner's intent came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The words.
    pub verdict: Verdict,
    /// The fact that must be durable before they are said; `None`: it is long since.
    pub after: Option<u64>,
    /// Where a person now says this tag is.
    pub placed: Option<(Epc, Code)>,
    /// A tag that a person says is not there.
    pub gone: Option<Epc>,
    /// Discrepancies that the scan settled.
    pub settled: Vec<u64>,
}

/// Decides an intent of `scanner`, once: a repeat gets the first answer, the same number with another content an error
/// that names the field.
pub fn answer(recorder: &mut Recorder, site: &Site, now: Timestamp, scanner: &Code, intent: Intent) -> Answer {
    if let Some(verdict) = repeated(recorder.state(), scanner, &intent) {
        return Answer { verdict, after: None, placed: None, gone: None, settled: Vec::new() };
    }
    let act = Act {
        who: Some(format!("worker:{}", intent.worker)),
        when: intent.at,
        cause: Some(Cause::Intent(format!("{scanner}/{}", intent.seq))),
    };
    let clerk = Clerk { recorder, site, now, act };
    let said_at = intent.at;
    let mut decision = Decision { clerk, said_at, placed: None, gone: None, settled: Vec::new() };
    let verdict = decision.decide(&intent.body).unwrap_or_else(|stop| *stop);
    let Decision { mut clerk, placed, gone, settled, .. } = decision;
    let words = stowage_base::text::Sentence {
        key: verdict.key,
        language: stowage_base::Language::English,
        args: &verdict.args,
    };
    let why = Some(words.to_string());
    let answered = IntentAnswered { scanner: scanner.clone(), intent, verdict: verdict.clone() };
    let what = Some(format!("{scanner}/{}", answered.intent.seq));
    let after = clerk.record(what, None, why, Body::IntentAnswered(answered));
    Answer { verdict, after: Some(after), placed, gone, settled }
}

fn repeated(state: &State, scanner: &Code, intent: &Intent) -> Option<Verdict> {
    let mark = state.scanners.get(scanner)?;
    if intent.seq > mark.seq {
        return None;
    }
    let key = IntentKey { scanner: scanner.clone(), seq: intent.seq };
    let Some(first) = state.answers.get(&key) else {
        // Older than any scanner asks for: it was answered and its answer was acknowledged.
        return Some(Verdict::new(Level::Ok, TextKey::Kept, &["", ""]));
    };
    let differs = if first.intent.body != intent.body {
        "body"
    } else if first.intent.worker != intent.worker {
        "worker"
    } else {
        return Some(first.verdict.clone());
    };
    Some(Verdict::new(Level::Stop, TextKey::RepeatDiffers, &[&intent.seq.to_string(), differs]))
}

/// A verdict that ends the decision.
type Stop = Box<Verdict>;

struct Decision<'a> {
    clerk: Clerk<'a>,
    /// When the worker acted; long ago if the scanner was out of reach.
    said_at: Timestamp,
    placed: Option<(Epc, Code)>,
    gone: Option<Epc>,
    settled: Vec<u64>,
}

impl Decision<'_> {
    fn decide(&mut self, body: &IntentBody) -> Result<Verdict, Stop> {
        match body {
            IntentBody::Receive { item, quantity, at } => {
                let goods = self.arriving(item, at, *quantity)?;
                Ok(self.receive(&goods, *quantity, at))
            }
            IntentBody::PutAway { item, quantity, to } => {
                let goods = self.goods(item, to, *quantity)?;
                Ok(self.relocate(&goods, *quantity, None, to))
            }
            IntentBody::Move { item, quantity, from, to } => {
                if let Some(from) = from {
                    self.location(from)?;
                }
                if from.as_ref() == Some(to) {
                    return Err(stop(TextKey::SamePlace, &[to]));
                }
                let goods = self.goods(item, to, *quantity)?;
                Ok(self.relocate(&goods, *quantity, from.as_ref(), to))
            }
            IntentBody::Count { item, quantity, at } => {
                // Zero is a count as well: nothing is there.
                let goods = self.goods(item, at, (*quantity).max(1))?;
                Ok(match goods.epc {
                    Some(epc) if *quantity > 0 => self.see(&goods, epc, at),
                    _ => self.count(&goods, *quantity, at),
                })
            }
            IntentBody::See { item, at } => {
                let goods = self.goods(item, at, 1)?;
                Ok(match goods.epc {
                    Some(epc) => self.see(&goods, epc, at),
                    None => say(Level::Ok, TextKey::Seen, &[&goods.sku, at]),
                })
            }
        }
    }

    fn receive(&mut self, goods: &Goods, quantity: u32, at: &Code) -> Verdict {
        if let Some(epc) = goods.epc {
            if let Some(newer) = self.heard_since(goods, epc) {
                return newer;
            }
            self.person_says(epc, at);
            if let Some(place) = ledger::place_of(self.clerk.state(), &epc) {
                if place.location == *at {
                    return say(Level::Warn, TextKey::HereAlready, &[&goods.sku]);
                }
                return self.relocate(goods, 1, None, at);
            }
        }
        self.clerk.receive(goods, quantity, at, None);
        say(Level::Ok, TextKey::Received, &[&quantity.to_string(), &goods.sku, at])
    }

    fn relocate(&mut self, goods: &Goods, quantity: u32, from: Option<&Code>, to: &Code) -> Verdict {
        if let Some(epc) = goods.epc {
            if let Some(newer) = self.heard_since(goods, epc) {
                return newer;
            }
            self.person_says(epc, to);
            if ledger::place_of(self.clerk.state(), &epc).is_some_and(|place| place.location == *to) {
                return self.settled_or(say(Level::Warn, TextKey::HereAlready, &[&goods.sku]), goods, to);
            }
        }
        let done = self.clerk.relocate(goods, quantity, from, to, None);
        let amount = quantity.to_string();
        if done.found > 0 {
            let had = done.booked.to_string();
            return say(Level::Warn, TextKey::FoundThenMoved, &[&amount, &goods.sku, to, &had]);
        }
        self.settled_or(say(Level::Ok, TextKey::Moved, &[&amount, &goods.sku, to]), goods, to)
    }

    fn count(&mut self, goods: &Goods, counted: u32, at: &Code) -> Verdict {
        let booked = match goods.epc {
            Some(epc) => {
                self.gone = Some(epc);
                u64::from(ledger::place_of(self.clerk.state(), &epc).is_some_and(|place| place.location == *at))
            }
            None => ledger::quantity_at(self.clerk.state(), goods, at),
        };
        let body = Body::Counted(Counted {
            sku: goods.sku.clone(),
            lot: goods.lot.clone(),
            location: at.clone(),
            counted,
            booked,
        });
        self.clerk.record(Some(goods.name()), Some(at.clone()), None, body);
        let amount = counted.to_string();
        if u64::from(counted) == booked {
            return say(Level::Ok, TextKey::Counted, &[&amount, &goods.sku, at]);
        }
        let difference = i64::from(counted) - i64::try_from(booked).unwrap_or(i64::MAX);
        self.clerk.adjust(goods, difference, at, "counted");
        say(Level::Warn, TextKey::CountDiffers, &[&amount, &goods.sku, at, &booked.to_string()])
    }

    fn see(&mut self, goods: &Goods, epc: Epc, at: &Code) -> Verdict {
        if let Some(newer) = self.heard_since(goods, epc) {
            return newer;
        }
        self.person_says(epc, at);
        let booked = ledger::place_of(self.clerk.state(), &epc).map(|place| place.location.clone());
        match booked {
            Some(location) if location == *at => {
                let body = Body::Seen(Seen { epc, location: at.clone() });
                self.clerk.record(Some(goods.name()), Some(at.clone()), None, body);
                self.settled_or(say(Level::Ok, TextKey::Seen, &[&goods.sku, at]), goods, at)
            }
            _ => self.relocate(goods, 1, None, at),
        }
    }

    /// A scan that comes late, from a scanner that was out of reach, is recorded but moves nothing that the radio has
    /// moved since: newer evidence outranks it.
    fn heard_since(&self, goods: &Goods, epc: Epc) -> Option<Verdict> {
        let item = self.clerk.state().items.get(&epc)?;
        let heard = item.moved_by_radio.filter(|heard| *heard > self.said_at + LATE)?;
        let place = item.place.as_ref().map_or("–", |place| place.location.as_str());
        let minute = heard.to_string();
        Some(say(Level::Warn, TextKey::HeardSince, &[&goods.sku, place, minute.get(11..16).unwrap_or_default()]))
    }

    /// A person's word about a tag: it ends what is in doubt about it.
    fn person_says(&mut self, epc: Epc, at: &Code) {
        self.placed = Some((epc, at.clone()));
        let settled = self.clerk.settle(&epc, SettledBy::Scan);
        self.settled.extend(settled);
    }

    fn settled_or(&self, verdict: Verdict, goods: &Goods, at: &Code) -> Verdict {
        if self.settled.is_empty() { verdict } else { say(Level::Ok, TextKey::DoubtSettled, &[&goods.sku, at]) }
    }

    fn location(&self, code: &Code) -> Result<(), Stop> {
        // What lies outside the premises is no place to scan goods to.
        let site = self.clerk.site;
        let known = site.location(code).is_some_and(|place| site.zone(place.zone).kind != ZoneKind::Outside);
        if known { Ok(()) } else { Err(stop(TextKey::UnknownLocation, &[code])) }
    }

    /// What the intent is about, once place and quantity make sense. Goods in the house that are kept by lots need
    /// their lot named, unless there is only one.
    fn goods(&self, item: &ItemRef, at: &Code, quantity: u32) -> Result<Goods, Stop> {
        let mut goods = self.arriving(item, at, quantity)?;
        if goods.epc.is_none()
            && goods.lot.is_empty()
            && let Some(sku) = self.clerk.site.sku_coded(&goods.sku)
        {
            let mut lots = ledger::lots(self.clerk.state(), sku);
            match lots.pop() {
                Some(only) if lots.is_empty() => goods.lot = only,
                Some(_) if lots.iter().all(|lot| !lot.is_empty()) => {
                    return Err(stop(TextKey::LotNeeded, &[&goods.sku]));
                }
                _ => {}
            }
        }
        Ok(goods)
    }

    /// As [`goods`](Self::goods), for goods that come into the house: they may have no lot.
    fn arriving(&self, item: &ItemRef, at: &Code, quantity: u32) -> Result<Goods, Stop> {
        self.location(at)?;
        let goods = self.resolve(item)?;
        let most = if goods.epc.is_some() { 1 } else { QUANTITY_MAX };
        if !(1..=most).contains(&quantity) {
            return Err(stop(TextKey::QuantityOutOfRange, &["1", &most.to_string()]));
        }
        Ok(goods)
    }

    fn resolve(&self, item: &ItemRef) -> Result<Goods, Stop> {
        let unknown = |code: &str| stop(TextKey::UnknownCode, &[code]);
        match item {
            ItemRef::Epc(epc) => {
                if let Some(item) = self.clerk.state().items.get(epc) {
                    return Ok(Goods::known(item, *epc));
                }
                let sku = identity::sku(self.clerk.site, epc).ok_or_else(|| unknown(&epc.to_string()))?;
                Ok(if sku.serialised { Goods::unit(sku, *epc) } else { Goods::bulk(sku, Code::new()) })
            }
            ItemRef::Gtin { gtin, lot, serial, .. } => {
                let sku = self.clerk.site.sku_of_gtin(*gtin).ok_or_else(|| unknown(&format!("{gtin:014}")))?;
                if !sku.serialised {
                    return Ok(Goods::bulk(sku, lot.clone().unwrap_or_default()));
                }
                let items = &self.clerk.state().items;
                let mut tags = serial.iter().flat_map(|serial| identity::tags_of(*gtin, serial));
                let known = tags.find_map(|tag| Some(Goods::known(items.get(&tag)?, tag)));
                known.ok_or_else(|| stop(TextKey::SerialNeedsTag, &[&sku.code]))
            }
            ItemRef::Sscc(sscc) => Err(unknown(&format!("{sscc:018}"))),
            ItemRef::Code(code) => match self.clerk.site.sku_coded(code) {
                None => Err(unknown(code)),
                Some(sku) if sku.serialised => Err(stop(TextKey::SerialNeedsTag, &[&sku.code])),
                Some(sku) => Ok(Goods::bulk(sku, Code::new())),
            },
        }
    }
}

fn say(level: Level, key: TextKey, args: &[&str]) -> Verdict {
    Verdict::new(level, key, args)
}

fn stop(key: TextKey, args: &[&str]) -> Stop {
    Box::new(say(Level::Stop, key, args))
}
