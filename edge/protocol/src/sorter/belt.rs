//! The machine behind a simulated sorter: items on a belt, a decision point, chutes, and a record of what happened.
//!
//! It knows no protocol: what its items do it tells as [`Told`].

use super::{End, Run};
use std::collections::BTreeMap;
use stowage_base::{Code, Duration, Timestamp};

/// How many answers and violations are remembered.
const MEMORY: usize = 1024;

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SorterSettings {
    /// Chute codes in the order of the belt.
    pub chutes: Vec<Code>,
    /// Where the safe plan sends items: one of the chutes, best the last.
    pub hospital: Code,
    /// From the scan point to the decision point.
    pub to_decision: Duration,
    /// From the decision point to the first chute.
    pub to_chutes: Duration,
    /// From each chute to the next.
    pub between_chutes: Duration,
}

/// A command that a correct edge would not have sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// It came after the item's decision point, or after its own time.
    Late {
        /// The item.
        item: u32,
    },
    /// Another chute for an item that was commanded before.
    Contradiction {
        /// The item.
        item: u32,
    },
    /// There is no such chute.
    UnknownChute {
        /// As sent.
        chute: Code,
    },
    /// There is and was no such item.
    UnknownItem {
        /// As sent.
        item: u32,
    },
    /// A message that breaks the contract: where, and what.
    Malformed(String),
}

/// What physically happened to an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The boot in which it was inducted.
    pub boot: u32,
    /// Its number in that boot.
    pub item: u32,
    /// What the scanner read.
    pub code: Option<Code>,
    /// The chute whose command was accepted, and when.
    pub commanded: Option<(Code, Timestamp)>,
    /// When the sorter decided, if it came to that.
    pub decided_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: End,
    /// Where it lies, unless lost or stuck.
    pub chute: Option<Code>,
    /// When it ended.
    pub at: Timestamp,
}

/// What an item did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// It passed the scan point.
    Scanned { item: u32, code: Option<Code>, decide_in: Duration },
    /// Its way ended. The chute's index.
    Ended { item: u32, outcome: End, chute: Option<usize>, commanded: bool },
}

/// Why a command is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Late,
    Full,
    Other,
    Item,
}

#[derive(Debug)]
struct Item {
    code: Option<Code>,
    scanned_at: Timestamp,
    commanded: Option<(usize, Timestamp)>,
    /// The decision point, or the chute once decided.
    next_at: Timestamp,
    decided: Option<(Timestamp, usize, End)>,
    /// Whatever is commanded, it will follow the safe plan, for this.
    spoiled: Option<End>,
}

/// The machine. It obeys the first command for an item and answers repeats as before. A command that is late, contradicts
/// an earlier one, or names an unknown chute or item is refused and recorded. While the belt stands, items stand.
#[derive(Debug)]
pub(crate) struct Belt {
    settings: SorterSettings,
    hospital: usize,
    pub(crate) boot: u32,
    pub(crate) run: Run,
    stopped_at: Option<Timestamp>,
    pub(crate) full: Vec<bool>,
    /// The edge is taken as present until then.
    pub(crate) edge_until: Option<Timestamp>,
    item_last: u32,
    items: BTreeMap<u32, Item>,
    answers: BTreeMap<u32, (usize, Result<(), Refusal>)>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) repeats: u64,
}

pub(crate) type Tell<'a> = &'a mut dyn FnMut(Timestamp, Told);

impl Belt {
    pub(crate) fn new(settings: SorterSettings, boot: u32) -> Self {
        let hospital = settings.chutes.iter().position(|chute| *chute == settings.hospital);
        Self {
            full: vec![false; settings.chutes.len()],
            hospital: hospital.unwrap_or(0),
            settings,
            boot: boot.max(1),
            run: Run::Running,
            stopped_at: None,
            edge_until: None,
            item_last: 0,
            items: BTreeMap::new(),
            answers: BTreeMap::new(),
            deliveries: Vec::new(),
            violations: Vec::new(),
            repeats: 0,
        }
    }

    pub(crate) fn chutes(&self) -> &[Code] {
        &self.settings.chutes
    }

    pub(crate) fn on_belt(&self) -> usize {
        self.items.len()
    }

    /// Loses power and gets it again: what was on the belt is lost track of, a new boot begins.
    pub(crate) fn restart(&mut self, now: Timestamp) {
        for (item, on_belt) in std::mem::take(&mut self.items) {
            self.deliver(now, item, on_belt, End::Lost, None);
        }
        self.boot += 1;
        (self.run, self.stopped_at, self.edge_until) = (Run::Running, None, None);
        self.item_last = 0;
        self.answers.clear();
    }

    /// An item passes the scan point; `None` is a no-read. Gives its number.
    pub(crate) fn induct(&mut self, now: Timestamp, code: Option<Code>, tell: Tell<'_>) -> u32 {
        self.tick(now, tell);
        self.item_last += 1;
        let (item, decide_in) = (self.item_last, self.settings.to_decision);
        tell(now, Told::Scanned { item, code: code.clone(), decide_in });
        let next_at = now + decide_in;
        self.items.insert(item, Item { code, scanned_at: now, commanded: None, next_at, decided: None, spoiled: None });
        item
    }

    /// The belt starts or stops, by the machine's own controls.
    pub(crate) fn set_run(&mut self, now: Timestamp, run: Run, tell: Tell<'_>) {
        self.tick(now, tell);
        self.run = run;
        match (run, self.stopped_at) {
            (Run::Running, Some(stopped_at)) => {
                self.stopped_at = None;
                for item in self.items.values_mut() {
                    item.next_at += now - stopped_at.max(item.scanned_at);
                }
            }
            (Run::Stopped | Run::Estop, None) => self.stopped_at = Some(now),
            (Run::Running, None) | (Run::Stopped | Run::Estop, Some(_)) => {}
        }
    }

    /// An item falls off or gets stuck, at once; or it is found too near to its neighbour, or to be two, and will follow
    /// the safe plan if it isn't decided yet. Other ends, and items not on the belt, change nothing.
    pub(crate) fn fail(&mut self, now: Timestamp, item: u32, how: End, tell: Tell<'_>) {
        self.tick(now, tell);
        match how {
            End::Lost | End::Jammed => self.end(now, item, how, None, tell),
            End::Gap | End::Double => {
                if let Some(on_belt) = self.items.get_mut(&item) {
                    on_belt.spoiled = Some(how);
                }
            }
            End::Diverted | End::Missed | End::Full => {}
        }
    }

    /// What was read of an item that is on its way to the decision point and that no command has reached, and the time
    /// left: as if a belt that stands started now.
    pub(crate) fn undecided(&self, now: Timestamp, item: u32) -> Option<(Option<&Code>, Duration)> {
        let on_belt = self.items.get(&item).filter(|on_belt| on_belt.decided.is_none())?;
        if self.answers.contains_key(&item) {
            return None;
        }
        let at = self.stopped_at.map_or(now, |stopped_at| stopped_at.max(on_belt.scanned_at));
        Some((on_belt.code.as_ref(), on_belt.next_at - at))
    }

    /// A command of the present boot for the chute of that index arrived; `expired` by its own deadline.
    pub(crate) fn obey(
        &mut self,
        now: Timestamp,
        item: u32,
        chute: usize,
        expired: bool,
        tell: Tell<'_>,
    ) -> Result<(), Refusal> {
        self.tick(now, tell);
        if let Some((before, answer)) = self.answers.get(&item) {
            if *before == chute {
                self.repeats += 1;
                return *answer;
            }
            self.violation(Violation::Contradiction { item });
            return Err(Refusal::Other);
        }
        if item == 0 || item > self.item_last {
            self.violation(Violation::UnknownItem { item });
            return Err(Refusal::Item);
        }
        let answer = match self.items.get_mut(&item) {
            _ if self.full[chute] => Err(Refusal::Full),
            Some(on_belt) if on_belt.decided.is_none() && !expired => {
                on_belt.commanded = Some((chute, now));
                Ok(())
            }
            Some(_) | None => {
                self.violation(Violation::Late { item });
                Err(Refusal::Late)
            }
        };
        self.answers.insert(item, (chute, answer));
        if self.answers.len() > MEMORY {
            self.answers.pop_first();
        }
        answer
    }

    pub(crate) fn violation(&mut self, violation: Violation) {
        if self.violations.len() < MEMORY {
            self.violations.push(violation);
        }
    }

    /// Time has passed: items move on.
    pub(crate) fn tick(&mut self, now: Timestamp, tell: Tell<'_>) {
        while let Some((at, item)) = self.next().filter(|(at, _)| *at <= now) {
            self.move_on(at, item, tell);
        }
    }

    /// The first item to reach its decision point or chute, and when; none while the belt stands.
    pub(crate) fn next(&self) -> Option<(Timestamp, u32)> {
        let moving = self.items.iter().filter(|_| self.stopped_at.is_none());
        moving.map(|(item, on_belt)| (on_belt.next_at, *item)).min()
    }

    fn move_on(&mut self, at: Timestamp, item: u32, tell: Tell<'_>) {
        let edge_lives = self.edge_until.is_some_and(|until| at <= until);
        let Some(on_belt) = self.items.get_mut(&item) else { return };
        if let Some((_, chute, outcome)) = on_belt.decided {
            return self.end(at, item, outcome, Some(chute), tell);
        }
        let (chute, outcome) = match (on_belt.spoiled, on_belt.commanded.filter(|_| edge_lives)) {
            (Some(spoiled), _) => (self.hospital, spoiled),
            (None, Some((chute, _))) if !self.full[chute] => (chute, End::Diverted),
            (None, Some(_)) => (self.hospital, End::Full),
            (None, None) => (self.hospital, End::Missed),
        };
        on_belt.decided = Some((at, chute, outcome));
        let between = self.settings.between_chutes.micros().saturating_mul(chute as i64);
        on_belt.next_at = at + self.settings.to_chutes + Duration::from_micros(between);
    }

    fn end(&mut self, at: Timestamp, item: u32, outcome: End, chute: Option<usize>, tell: Tell<'_>) {
        let Some(on_belt) = self.items.remove(&item) else { return };
        tell(at, Told::Ended { item, outcome, chute, commanded: on_belt.commanded.is_some() });
        self.deliver(at, item, on_belt, outcome, chute);
    }

    fn deliver(&mut self, at: Timestamp, item: u32, on_belt: Item, outcome: End, chute: Option<usize>) {
        let Item { code, commanded, decided, .. } = on_belt;
        let name = |chute: usize| self.settings.chutes[chute].clone();
        let delivery = Delivery {
            boot: self.boot,
            item,
            code,
            commanded: commanded.map(|(chute, at)| (name(chute), at)),
            decided_at: decided.map(|(at, ..)| at),
            outcome,
            chute: chute.map(name),
            at,
        };
        self.deliveries.push(delivery);
    }
}
