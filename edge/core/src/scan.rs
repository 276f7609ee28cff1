//! What a worker's intent does to the book, and what the worker is told.

use crate::fact::{Body, Cause, Counted, IntentAnswered, Seen, SettledBy};
use crate::identity;
use crate::ledger::{self, Goods};
use crate::record::{Act, Clerk, Recorder};
use crate::site::Site;
use crate::state::{IntentKey, State};
use stowage_base::{Code, Epc, Intent, IntentBody, ItemRef, Level, TextKey, Timestamp, Verdict};

/// Most units that one scan may stand for.
pub const QUANTITY_MAX: u32 = 1_000_000;

/// What a scanner's intent came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The words.
    pub verdict: Verdict,
    /// The fact that must be durable before they are said; `None`: it is long since.
    pub after: Option<u64>,
    /// Where a person now says this tag is.
    pub placed: Option<(Epc, Code)>,
    /// Discrepancies that the scan settled.
    pub settled: Vec<u64>,
}

/// Decides an intent of `scanner`, once: a repeat gets the first answer, the same number with another content an error
/// that names the field.
pub fn answer(recorder: &mut Recorder, site: &Site, now: Timestamp, scanner: &Code, intent: Intent) -> Answer {
    if let Some(verdict) = repeated(recorder.state(), scanner, &intent) {
        return Answer { verdict, after: None, placed: None, settled: Vec::new() };
    }
    let act = Act {
        who: Some(format!("worker:{}", intent.worker)),
        when: intent.at,
        cause: Some(Cause::Intent(format!("{scanner}/{}", intent.seq))),
    };
    let clerk = Clerk { recorder, site, now, act };
    let mut decision = Decision { clerk, placed: None, settled: Vec::new() };
    let verdict = decision.decide(&intent.body).unwrap_or_else(|stop| *stop);
    let Decision { mut clerk, placed, settled } = decision;
    let words = stowage_base::text::Sentence {
        key: verdict.key,
        language: stowage_base::Language::English,
        args: &verdict.args,
    };
    let why = Some(words.to_string());
    let answered = IntentAnswered { scanner: scanner.clone(), intent, verdict: verdict.clone() };
    let what = Some(format!("{scanner}/{}", answered.intent.seq));
    let after = clerk.record(what, None, why, Body::IntentAnswered(answered));
    Answer { verdict, after: Some(after), placed, settled }
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
    placed: Option<(Epc, Code)>,
    settled: Vec<u64>,
}

impl Decision<'_> {
    fn decide(&mut self, body: &IntentBody) -> Result<Verdict, Stop> {
        match body {
            IntentBody::Receive { item, quantity, at } => {
                let goods = self.goods(item, at, *quantity)?;
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
                u32::from(ledger::place_of(self.clerk.state(), &epc).is_some_and(|place| place.location == *at))
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
        if counted == booked {
            return say(Level::Ok, TextKey::Counted, &[&amount, &goods.sku, at]);
        }
        let difference = i64::from(counted) - i64::from(booked);
        self.clerk.adjust(goods, difference, at, "counted");
        say(Level::Warn, TextKey::CountDiffers, &[&amount, &goods.sku, at, &booked.to_string()])
    }

    fn see(&mut self, goods: &Goods, epc: Epc, at: &Code) -> Verdict {
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
        let known = self.clerk.site.location(code).is_some();
        if known { Ok(()) } else { Err(stop(TextKey::UnknownLocation, &[code])) }
    }

    /// What the intent is about, once place and quantity make sense.
    fn goods(&self, item: &ItemRef, at: &Code, quantity: u32) -> Result<Goods, Stop> {
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
                Ok(Goods::unit(sku, *epc))
            }
            ItemRef::Gtin { gtin, lot, serial, .. } => {
                let sku = self.clerk.site.sku_of_gtin(*gtin).ok_or_else(|| unknown(&format!("{gtin:014}")))?;
                if !sku.serialised {
                    return Ok(Goods::bulk(sku, lot.clone().unwrap_or_default()));
                }
                let known = serial
                    .iter()
                    .flat_map(|serial| identity::tags_of(*gtin, serial))
                    .find(|tag| self.clerk.state().items.get(tag).is_some());
                known.map(|epc| Goods::unit(sku, epc)).ok_or_else(|| stop(TextKey::SerialNeedsTag, &[&sku.code]))
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
