//! Everything durable that decisions stand on, and the one function that changes it.

use crate::commit::Row;
use crate::fact::{Body, Cause, CommandStep, Disposition, DriveStop, Fact, Movement, Place, TransportStep};
use crate::site::Action;
use crate::table::{Key, Table};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
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

/// A parcel that was announced, or sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// Its route; `None`: it was never announced.
    pub route: Option<Code>,
    /// Where it lies: the code of a chute, a location or a robot.
    #[serde(default)]
    pub place: Option<Code>,
}

/// How far a transport has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransportState {
    /// No robot has it yet.
    Planned,
    /// A robot is to fetch the load.
    Assigned,
    /// The load is on the robot.
    Loaded,
    /// The load is where it should be.
    Delivered,
    /// It can't be done.
    Failed,
    /// It isn't wanted any more.
    Cancelled,
}

impl TransportState {
    /// Whether nothing more can happen.
    pub const fn ended(self) -> bool {
        matches!(self, Self::Delivered | Self::Failed | Self::Cancelled)
    }
}

/// A load on its way from one station to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transport {
    /// Location from which.
    pub from: Code,
    /// Location to which.
    pub to: Code,
    /// The fact that planned it: who was asked for first goes first.
    pub planned: u64,
    /// When it was planned.
    pub since: Timestamp,
    /// How far it has come.
    pub state: TransportState,
    /// The robot that has it, or had it last.
    pub robot: Option<Code>,
    /// Drives for it that came to nothing.
    pub attempts: u8,
    /// It isn't wanted any more, but its robot has yet to stop.
    pub recalled: bool,
}

/// How many ended transports are kept, so that a repeated request is known as such.
pub const TRANSPORTS_KEPT: usize = 4_096;

/// A robot as far as it must be known after a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Robot {
    /// Where it stands, or which node it passed last; `None`: off the roadmap.
    pub node: Option<Code>,
    /// The transport that it works on.
    pub transport: Option<Code>,
    /// The transport whose load it carries.
    pub carries: Option<Code>,
    /// Where it is told to drive.
    pub drive: Option<Driving>,
}

/// Where a robot is told to drive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Driving {
    /// Names it for ever.
    pub id: String,
    /// What for; `None`: out of another robot's way.
    pub transport: Option<Code>,
    /// The last update.
    pub update: u32,
    /// The place of the first of `stops` in the whole way.
    pub first: u32,
    /// The way from the last passed stop on. Never empty.
    pub stops: Vec<DriveStop>,
    /// So many of `stops` are released: the robot holds their nodes. Never 0.
    pub released: u32,
    /// The robot has shown that it knows it.
    pub accepted: bool,
    /// It is to stop.
    pub recalled: bool,
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
    /// Transports by id.
    pub transports: Table<Code, Transport>,
    /// The ends of transports in order of their facts: which to forget first.
    pub transported: Table<u64, Code>,
    /// Robots that were ever heard.
    pub robots: Table<Code, Robot>,
    /// Which parcels lie at each place: what [`parcels`](Self::parcels) says, the other way round.
    lying: BTreeMap<Code, BTreeSet<Code>>,
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
            transports: Table::new("transport"),
            transported: Table::new("transported"),
            robots: Table::new("robot"),
            lying: BTreeMap::new(),
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
            "parcel" => {
                self.parcels.load(key, body)?;
                let code = stowage_base::code(key).unwrap_or_default();
                if let Some(place) = self.parcels.get(&code).and_then(|parcel| parcel.place.clone()) {
                    self.lying.entry(place).or_default().insert(code);
                }
                Ok(())
            }
            "command" => self.commands.load(key, body),
            "ended" => self.ended.load(key, body),
            "discrepancy" => self.discrepancies.load(key, body),
            "transport" => self.transports.load(key, body),
            "transported" => self.transported.load(key, body),
            "robot" => self.robots.load(key, body),
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
        self.transports.drain(&mut rows);
        self.transported.drain(&mut rows);
        self.robots.drain(&mut rows);
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
                let mut announced = self.parcels.get(&parcel.code).cloned().unwrap_or_default();
                announced.route = Some(parcel.route.clone());
                self.parcels.insert(parcel.code.clone(), announced);
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
            Body::ParcelEnded(ended) => self.tell_end(&ended.command, ended.chute.as_ref()),
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
            Body::ParcelMoved(moved) => {
                let place = self.parcels.get(&moved.code).and_then(|parcel| parcel.place.as_ref());
                if place != Some(&moved.from) {
                    return Err(format!("parcel {} lies at {place:?}, not at {}", moved.code, moved.from));
                }
                self.lay(&moved.code, &moved.to);
                Ok(())
            }
            Body::TransportPlanned(planned) => {
                let transport = Transport {
                    from: planned.from.clone(),
                    to: planned.to.clone(),
                    planned: fact.seq,
                    since: fact.at,
                    state: TransportState::Planned,
                    robot: None,
                    attempts: 0,
                    recalled: false,
                };
                self.transports.insert(planned.transport.clone(), transport);
                Ok(())
            }
            Body::TransportAssigned(step) => self.transport(fact.seq, step, TransportState::Assigned),
            Body::TransportUnassigned(step) => self.transport(fact.seq, step, TransportState::Planned),
            Body::TransportRecalled(step) => {
                let open = self.transports.get_mut(&step.transport).filter(|open| !open.state.ended());
                open.ok_or_else(|| format!("there is no open transport {}", step.transport))?.recalled = true;
                Ok(())
            }
            Body::TransportLoaded(step) => self.transport(fact.seq, step, TransportState::Loaded),
            Body::TransportDelivered(step) => self.transport(fact.seq, step, TransportState::Delivered),
            Body::TransportFailed(step) => self.transport(fact.seq, step, TransportState::Failed),
            Body::TransportCancelled(step) => self.transport(fact.seq, step, TransportState::Cancelled),
            Body::DrivePlanned(_)
            | Body::DriveUpdated(_)
            | Body::DriveAccepted(_)
            | Body::DrivePassed(_)
            | Body::DriveRecalled(_)
            | Body::DriveDone(_)
            | Body::DriveRefused(_)
            | Body::DriveCancelled(_)
            | Body::DriveLost(_)
            | Body::RobotPlaced(_)
            | Body::RobotEmptied(_) => self.apply_robot(&fact.body),
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
            self.tell_end(&step.command, step.chute.as_ref())?;
        }
        self.advance(seq, &step.command, state)
    }

    /// An item came to its end: its parcel lies there.
    fn tell_end(&mut self, id: &str, chute: Option<&Code>) -> Result<(), String> {
        let command = self.commands.get_mut(&id.to_owned()).ok_or_else(|| format!("there is no command {id}"))?;
        if std::mem::replace(&mut command.told, true) {
            return Err(format!("the end of command {id} was told before"));
        }
        if let (Some(parcel), Some(chute)) = (command.parcel.clone(), chute) {
            self.lay(&parcel, chute);
        }
        Ok(())
    }

    fn transport(&mut self, seq: u64, step: &TransportStep, state: TransportState) -> Result<(), String> {
        let (id, open) = (&step.transport, self.transports.get_mut(&step.transport));
        let transport = open.ok_or_else(|| format!("there is no transport {id}"))?;
        if transport.state.ended() || transport.state == state {
            return Err(format!("transport {id} is {:?} already, it can't become {state:?}", transport.state));
        }
        transport.state = state;
        if let Some(code) = &step.robot {
            transport.robot = Some(code.clone());
            let mut robot = self.robots.get(code).cloned().unwrap_or_default();
            match state {
                TransportState::Assigned => robot.transport = Some(id.clone()),
                TransportState::Loaded => robot.carries = Some(id.clone()),
                TransportState::Planned => {
                    robot.transport = None;
                    transport.attempts = transport.attempts.saturating_add(1);
                    transport.robot = None;
                }
                TransportState::Delivered => (robot.transport, robot.carries) = (None, None),
                // What it carries stays on it until somebody takes it off.
                TransportState::Failed | TransportState::Cancelled => robot.transport = None,
            }
            self.robots.insert(code.clone(), robot);
        }
        if state.ended() {
            self.transported.insert(seq, id.clone());
            let oldest = self.transported.iter().next().map(|(&oldest, _)| oldest);
            if self.transported.len() > TRANSPORTS_KEPT
                && let Some(id) = oldest.and_then(|oldest| self.transported.remove(&oldest))
            {
                self.transports.remove(&id);
            }
        }
        Ok(())
    }

    fn apply_robot(&mut self, body: &Body) -> Result<(), String> {
        let (code, id) = match body {
            Body::DrivePlanned(planned) => {
                let mut robot = self.robots.get(&planned.robot).cloned().unwrap_or_default();
                if let Some(before) = &robot.drive {
                    return Err(format!("{} has drive {} already", planned.robot, before.id));
                }
                if planned.released == 0 || planned.released as usize > planned.stops.len() {
                    return Err(format!("{} of {} stops are released", planned.released, planned.stops.len()));
                }
                robot.node = planned.stops.first().map(|stop| stop.node.clone());
                robot.drive = Some(Driving {
                    id: planned.drive.clone(),
                    transport: planned.transport.clone(),
                    update: 0,
                    first: 0,
                    stops: planned.stops.clone(),
                    released: planned.released,
                    accepted: false,
                    recalled: false,
                });
                self.robots.insert(planned.robot.clone(), robot);
                return Ok(());
            }
            Body::RobotPlaced(placed) => {
                let mut robot = self.robots.get(&placed.robot).cloned().unwrap_or_default();
                if let Some(drive) = &robot.drive {
                    return Err(format!("{} has drive {}: it is where that says", placed.robot, drive.id));
                }
                robot.node.clone_from(&placed.node);
                self.robots.insert(placed.robot.clone(), robot);
                return Ok(());
            }
            Body::RobotEmptied(emptied) => {
                let robot = self.robots.get_mut(&emptied.robot);
                robot.ok_or_else(|| format!("there is no robot {}", emptied.robot))?.carries = None;
                return Ok(());
            }
            Body::DriveUpdated(updated) => (&updated.robot, &updated.drive),
            Body::DrivePassed(passed) => (&passed.robot, &passed.drive),
            Body::DriveAccepted(step)
            | Body::DriveRecalled(step)
            | Body::DriveDone(step)
            | Body::DriveRefused(step)
            | Body::DriveCancelled(step)
            | Body::DriveLost(step) => (&step.robot, &step.drive),
            _ => return Err("no fact about a robot".into()),
        };
        let none = || format!("{code} has no drive {id}");
        let robot = self.robots.get_mut(code).ok_or_else(none)?;
        let drive = robot.drive.as_mut().filter(|drive| drive.id == *id).ok_or_else(none)?;
        match body {
            Body::DriveUpdated(updated) => {
                let keep = updated.keep.checked_sub(drive.first).map(|keep| keep as usize);
                let released = updated.released.checked_sub(drive.first);
                let total = keep.map(|keep| keep + updated.stops.len());
                match (keep, released, total) {
                    (Some(keep), Some(released), Some(total))
                        if keep >= drive.released as usize
                            && keep <= drive.stops.len()
                            && released >= drive.released
                            && released as usize <= total
                            && updated.update > drive.update =>
                    {
                        drive.stops.truncate(keep);
                        drive.stops.extend(updated.stops.iter().cloned());
                        (drive.released, drive.update) = (released, updated.update);
                    }
                    _ => return Err(format!("update {} of {id} changes what is released", updated.update)),
                }
            }
            Body::DrivePassed(passed) => {
                let gone = passed.stop.checked_sub(drive.first).filter(|gone| *gone < drive.released);
                let gone = gone.ok_or_else(|| format!("stop {} of {id} is not released", passed.stop))?;
                drive.stops.drain(..gone as usize);
                (drive.first, drive.released) = (passed.stop, drive.released - gone);
                robot.node = drive.stops.first().map(|stop| stop.node.clone());
            }
            Body::DriveAccepted(_) => drive.accepted = true,
            Body::DriveRecalled(_) => drive.recalled = true,
            _ => robot.drive = None,
        }
        Ok(())
    }

    /// The parcels that lie at a place.
    pub fn parcels_at(&self, place: &str) -> impl ExactSizeIterator<Item = &Code> {
        self.lying.iter().find(|(at, _)| *at == place).map(|(_, parcels)| parcels.iter()).unwrap_or_default()
    }

    fn lay(&mut self, code: &Code, place: &Code) {
        let mut parcel = self.parcels.get(code).cloned().unwrap_or_default();
        if let Some(parcels) = parcel.place.as_ref().and_then(|before| self.lying.get_mut(before)) {
            parcels.remove(code);
        }
        self.lying.retain(|_, parcels| !parcels.is_empty());
        self.lying.entry(place.clone()).or_default().insert(code.clone());
        parcel.place = Some(place.clone());
        self.parcels.insert(code.clone(), parcel);
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
        let mut units = BTreeMap::<StockKey, u64>::new();
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
        let mut holders = BTreeMap::<&Code, &Code>::new();
        for (code, robot) in self.robots.iter() {
            let drive = robot.drive.iter().flat_map(|drive| drive.stops.iter().take(drive.released as usize));
            let held = drive.map(|stop| &stop.node);
            for node in held.chain(robot.node.iter().filter(|_| robot.drive.is_none())) {
                if let Some(other) = holders.insert(node, code) {
                    faults.push(format!("node {node} is held by {other} and by {code}"));
                }
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}
