//! Everything durable that decisions stand on, and the one function that changes it.

use crate::commit::Row;
use crate::fact::{Body, Cause, CommandStep, Disposition, Fact, Movement, Place};
use crate::site::Action;
use crate::table::{Key, Table};
use serde::{Deserialize, Serialize};
use stowage_base::{Code, Epc, Intent, Timestamp, Verdict};

/// A serialised unit that the book knows, or knew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What it is.
    pub sku: Code,
    /// Whose it is.
    pub owner: Code,
    /// Lot, or empty.
    pub lot: Code,
    /// Where the book has it; `None` once it has left.
    pub place: Option<Place>,
    /// When it came there.
    pub since: Timestamp,
    /// When a person last said where it is.
    pub seen_by_person: Option<Timestamp>,
    /// If the radio moved it last: when it was heard to go.
    pub moved_by_radio: Option<Timestamp>,
}

/// What stock is counted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StockKey {
    /// Stock keeping unit.
    pub sku: Code,
    /// Lot, or empty.
    pub lot: Code,
    /// Location code.
    pub location: Code,
    /// Disposition.
    pub disposition: Disposition,
    /// Whose goods.
    pub owner: Code,
}

impl Key for StockKey {
    fn text(&self) -> String {
        // A struct of texts: nothing here that JSON can't say.
        serde_json::to_string(self).unwrap_or_else(|error| unreachable!("a key is plain JSON: {error}"))
    }
    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// How far a scanner has been answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScannerMark {
    /// The last answered intent's number.
    pub seq: u32,
}

/// An answered intent, kept so that a repeat gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// What was asked.
    pub intent: Intent,
    /// What was answered.
    pub verdict: Verdict,
}

/// A scanner and one of its intents: `SCANNER/SEQ`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct IntentKey {
    /// The scanner.
    pub scanner: Code,
    /// The intent's number.
    pub seq: u32,
}

impl Key for IntentKey {
    fn text(&self) -> String {
        format!("{}/{}", self.scanner, self.seq)
    }
    fn parse(text: &str) -> Option<Self> {
        let (scanner, seq) = text.rsplit_once('/')?;
        Some(Self { scanner: stowage_base::code(scanner)?, seq: seq.parse().ok()? })
    }
}

/// How many answered intents of each scanner are kept for repeats: four times the link's window.
pub const ANSWERS_KEPT: u32 = 32;

/// A parcel that was announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// Its route.
    pub route: Code,
}

/// How far a command has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandState {
    /// Decided; not known to be sent.
    Planned,
    /// Given to the machine's session, which resends it until acknowledged.
    Sent,
    /// The machine took it.
    Acknowledged,
    /// Done.
    Confirmed,
    /// Its moment passed.
    Missed,
    /// The machine refused it or did something else.
    Failed,
}

impl CommandState {
    /// Whether nothing more can happen.
    pub const fn ended(self) -> bool {
        matches!(self, Self::Confirmed | Self::Missed | Self::Failed)
    }
}

/// A command to a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The machine.
    pub target: Code,
    /// The machine's count of its own starts.
    pub boot: u32,
    /// The machine's number for the item.
    pub item: u32,
    /// What was read of the item, if anything.
    pub parcel: Option<Code>,
    /// Goal.
    pub chute: Code,
    /// Not sent after this.
    pub deadline: Timestamp,
    /// How far it has come.
    pub state: CommandState,
    /// The machine has told how the item ended: it may tell it again, but it is no news.
    #[serde(default)]
    pub told: bool,
}

/// How many ended commands are kept, so that repeated reports of a machine are known as such.
pub const COMMANDS_KEPT: usize = 4_096;

/// An open difference between book and world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discrepancy {
    /// The tag.
    pub epc: Epc,
    /// What it is, if stocked here.
    pub sku: Option<Code>,
    /// Location by the book.
    pub book: Option<Code>,
    /// Zone by presence.
    pub world: Code,
    /// Presence's confidence, per mille.
    pub confidence: u16,
    /// What the policy wants.
    pub action: Action,
    /// Why, in words.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// The durable state: tables of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Serialised units.
    pub items: Table<Epc, Item>,
    /// Quantities, all above zero; serialised units count here too.
    pub stock: Table<StockKey, u64>,
    /// Scanners that were ever answered.
    pub scanners: Table<Code, ScannerMark>,
    /// The last answers of each scanner.
    pub answers: Table<IntentKey, Answered>,
    /// Announced parcels.
    pub parcels: Table<Code, Parcel>,
    /// Commands to machines by id.
    pub commands: Table<String, Command>,
    /// The ends of commands in order of their facts: which to forget first.
    pub ended: Table<u64, String>,
    /// Open discrepancies by the number of the fact that opened them.
    pub discrepancies: Table<u64, Discrepancy>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            items: Table::new("item"),
            stock: Table::new("stock"),
            scanners: Table::new("scanner"),
            answers: Table::new("answer"),
            parcels: Table::new("parcel"),
            commands: Table::new("command"),
            ended: Table::new("ended"),
            discrepancies: Table::new("discrepancy"),
        }
    }
}

impl State {
    /// Puts in a stored row.
    ///
    /// # Errors
    /// What is wrong with the row, naming it.
    pub fn load(&mut self, table: &str, key: &str, body: &str) -> Result<(), String> {
        match table {
            "item" => self.items.load(key, body),
            "stock" => self.stock.load(key, body),
            "scanner" => self.scanners.load(key, body),
            "answer" => self.answers.load(key, body),
            "parcel" => self.parcels.load(key, body),
            "command" => self.commands.load(key, body),
            "ended" => self.ended.load(key, body),
            "discrepancy" => self.discrepancies.load(key, body),
            _ => Err(format!("row {key:?}: there is no table {table:?}")),
        }
    }

    /// The rows that changed since the last call.
    pub fn drain(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        self.items.drain(&mut rows);
        self.stock.drain(&mut rows);
        self.scanners.drain(&mut rows);
        self.answers.drain(&mut rows);
        self.parcels.drain(&mut rows);
        self.commands.drain(&mut rows);
        self.ended.drain(&mut rows);
        self.discrepancies.drain(&mut rows);
        rows
    }

    /// Changes the state by one fact: as it is decided, at a restart, in a check of the journal.
    ///
    /// # Errors
    /// The fact contradicts the state, and how; the state is then as before it. A decision never emits such a fact.
    pub fn apply(&mut self, fact: &Fact) -> Result<(), String> {
        match &fact.body {
            Body::Received(movement) | Body::Moved(movement) | Body::Adjusted(movement) | Body::Departed(movement) => {
                self.apply_movement(fact, movement)
            }
            Body::Seen(seen) => {
                let item = self.items.get_mut(&seen.epc).ok_or_else(|| format!("{} is not in the book", seen.epc))?;
                item.seen_by_person = Some(fact.when);
                Ok(())
            }
            Body::IntentAnswered(answered) => {
                let (scanner, seq) = (&answered.scanner, answered.intent.seq);
                self.scanners.insert(scanner.clone(), ScannerMark { seq });
                let key = IntentKey { scanner: scanner.clone(), seq };
                self.answers
                    .insert(key, Answered { intent: answered.intent.clone(), verdict: answered.verdict.clone() });
                if let Some(old) = seq.checked_sub(ANSWERS_KEPT) {
                    self.answers.remove(&IntentKey { scanner: scanner.clone(), seq: old });
                }
                Ok(())
            }
            Body::ScannerResumed(resumed) => {
                self.scanners.insert(resumed.scanner.clone(), ScannerMark { seq: resumed.seq });
                Ok(())
            }
            Body::ParcelAnnounced(parcel) => {
                self.parcels.insert(parcel.code.clone(), Parcel { route: parcel.route.clone() });
                Ok(())
            }
            Body::CommandPlanned(planned) => {
                let command = Command {
                    target: planned.target.clone(),
                    boot: planned.boot,
                    item: planned.item,
                    parcel: planned.parcel.clone(),
                    chute: planned.chute.clone(),
                    deadline: planned.deadline,
                    state: CommandState::Planned,
                    told: false,
                };
                self.commands.insert(planned.command.clone(), command);
                Ok(())
            }
            Body::ParcelMissed(missed) => {
                // As if there had been a command that nobody gave: so that a repeat of the report is known as such.
                let command = Command {
                    target: missed.sorter.clone(),
                    boot: missed.boot,
                    item: missed.item,
                    parcel: None,
                    chute: missed.chute.clone().unwrap_or_default(),
                    deadline: fact.when,
                    state: CommandState::Planned,
                    told: true,
                };
                self.commands.insert(missed.command.clone(), command);
                self.advance(fact.seq, &missed.command, CommandState::Missed)
            }
            Body::CommandSent(step) => self.step(fact.seq, step, CommandState::Sent),
            Body::CommandAcknowledged(step) => self.step(fact.seq, step, CommandState::Acknowledged),
            Body::CommandConfirmed(step) => self.step(fact.seq, step, CommandState::Confirmed),
            Body::CommandMissed(step) => self.step(fact.seq, step, CommandState::Missed),
            Body::CommandFailed(step) => self.step(fact.seq, step, CommandState::Failed),
            Body::ParcelEnded(ended) => self.tell_end(&ended.command),
            Body::DiscrepancyOpened(opened) => {
                let discrepancy = Discrepancy {
                    epc: opened.epc,
                    sku: opened.sku.clone(),
                    book: opened.book.clone(),
                    world: opened.world.clone(),
                    confidence: opened.confidence,
                    action: opened.action,
                    reason: fact.why.clone().unwrap_or_default(),
                    since: fact.at,
                };
                self.discrepancies.insert(fact.seq, discrepancy);
                Ok(())
            }
            Body::DiscrepancySettled(settled) => {
                let gone = self.discrepancies.remove(&settled.id);
                gone.map(drop).ok_or_else(|| format!("there is no open discrepancy {}", settled.id))
            }
            Body::Started(_)
            | Body::Counted(_)
            | Body::PresenceMoved(_)
            | Body::ParcelScanned(_)
            | Body::DeviceUp(_)
            | Body::DeviceDown(_)
            | Body::BeltChanged(_) => Ok(()),
        }
    }

    fn apply_movement(&mut self, fact: &Fact, movement: &Movement) -> Result<(), String> {
        if movement.quantity == 0 {
            return Err("a movement of nothing".into());
        }
        let key = |place: &Place| StockKey {
            sku: movement.sku.clone(),
            lot: movement.lot.clone(),
            location: place.location.clone(),
            disposition: place.disposition,
            owner: movement.owner.clone(),
        };
        if let Some(epc) = &movement.epc {
            let booked = self.items.get(epc).and_then(|item| item.place.as_ref());
            if booked != movement.from.as_ref() {
                return Err(format!("{epc} is booked at {booked:?}, not at {:?}", movement.from));
            }
        }
        let total = match &movement.to {
            None => 0,
            Some(to) if movement.from.as_ref() == Some(to) => return Err("a movement that moves nothing".into()),
            Some(to) => {
                let had = self.stock.get(&key(to)).copied().unwrap_or(0);
                had.checked_add(movement.quantity.into())
                    .ok_or_else(|| format!("{had} and {} of {} are too many", movement.quantity, movement.sku))?
            }
        };
        if let Some(from) = &movement.from {
            let from = key(from);
            let left = self.stock.get(&from).copied().unwrap_or(0).checked_sub(movement.quantity.into());
            match left {
                None => return Err(format!("fewer than {} of {} at {}", movement.quantity, from.sku, from.location)),
                Some(0) => drop(self.stock.remove(&from)),
                Some(left) => self.stock.insert(from, left),
            }
        }
        if let Some(to) = &movement.to {
            self.stock.insert(key(to), total);
        }
        if let Some(epc) = movement.epc {
            let by_person = matches!(fact.cause, Some(Cause::Intent(_)));
            let by_radio = fact.who.is_none() && matches!(fact.cause, Some(Cause::Seq(_)));
            let before = self.items.get(&epc).and_then(|item| item.seen_by_person);
            let item = Item {
                sku: movement.sku.clone(),
                owner: movement.owner.clone(),
                lot: movement.lot.clone(),
                place: movement.to.clone(),
                since: fact.at,
                seen_by_person: if by_person { Some(fact.when) } else { before },
                moved_by_radio: by_radio.then_some(fact.when),
            };
            self.items.insert(epc, item);
        }
        Ok(())
    }

    fn step(&mut self, seq: u64, step: &CommandStep, state: CommandState) -> Result<(), String> {
        if step.outcome.is_some() {
            self.tell_end(&step.command)?;
        }
        self.advance(seq, &step.command, state)
    }

    fn tell_end(&mut self, id: &str) -> Result<(), String> {
        let command = self.commands.get_mut(&id.to_owned()).ok_or_else(|| format!("there is no command {id}"))?;
        if std::mem::replace(&mut command.told, true) {
            return Err(format!("the end of command {id} was told before"));
        }
        Ok(())
    }

    fn advance(&mut self, seq: u64, id: &str, state: CommandState) -> Result<(), String> {
        let id = id.to_owned();
        let command = self.commands.get_mut(&id).ok_or_else(|| format!("there is no command {id}"))?;
        if command.state.ended() || command.state >= state {
            return Err(format!("command {id} is {:?} already, it can't become {state:?}", command.state));
        }
        command.state = state;
        if state.ended() {
            self.ended.insert(seq, id);
            let oldest = self.ended.iter().next().map(|(&oldest, _)| oldest);
            if self.ended.len() > COMMANDS_KEPT
                && let Some(id) = oldest.and_then(|oldest| self.ended.remove(&oldest))
            {
                self.commands.remove(&id);
            }
        }
        Ok(())
    }

    /// Checks what must hold at any moment.
    ///
    /// # Errors
    /// Each breach in words.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let mut faults = Vec::new();
        let mut units = std::collections::BTreeMap::<StockKey, u64>::new();
        for (epc, item) in self.items.iter() {
            if let Some(place) = &item.place {
                let key = StockKey {
                    sku: item.sku.clone(),
                    lot: item.lot.clone(),
                    location: place.location.clone(),
                    disposition: place.disposition,
                    owner: item.owner.clone(),
                };
                if self.stock.get(&key).is_none() {
                    faults.push(format!("{epc} is at {} but no {} is in stock there", place.location, item.sku));
                }
                *units.entry(key).or_default() += 1;
            }
        }
        for (key, &quantity) in self.stock.iter() {
            let serialised = units.get(key).copied().unwrap_or(0);
            if quantity == 0 {
                faults.push(format!("an empty row for {} at {}", key.sku, key.location));
            }
            if serialised > quantity {
                faults.push(format!("{serialised} units of {} at {} but stock {quantity}", key.sku, key.location));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}
