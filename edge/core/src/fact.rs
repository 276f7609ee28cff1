//! Facts: the durable domain events, one JSON object each.

use crate::input::{Belt, SortOutcome};
use serde::{Deserialize, Serialize};
use stowage_base::{Code, Epc, Intent, Timestamp, Verdict};

/// What caused a fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A scanner's intent: `SCANNER/SEQ`.
    Intent(String),
    /// A command to a machine: its id.
    Command(String),
    /// A transport: its id.
    Transport(Code),
    /// An earlier fact.
    Seq(u64),
}

/// One durable domain event.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// Counts the epoch's facts from 1, without gaps.
    pub seq: u64,
    /// When it was recorded. Never before the fact before.
    pub at: Timestamp,
    /// Who acted: `worker:BADGE`, `device:CODE`, `page`, or `None` for the edge itself.
    pub who: Option<String>,
    /// The thing, in its most readable form: pure identity URI, SKU, parcel code, device code.
    pub what: Option<String>,
    /// Location, zone or chute code.
    pub place: Option<Code>,
    /// When it happened, by whoever saw it.
    pub when: Timestamp,
    /// The reason in words.
    pub why: Option<String>,
    /// What caused it.
    pub cause: Option<Cause>,
    /// What happened.
    pub body: Body,
}

/// The disposition of goods (GS1 Core Business Vocabulary 2.0 §7.2; the names are the standard's).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// Received, not yet in its storage place.
    InProgress,
    /// In storage, for sale.
    SellableNotAccessible,
    /// Left the premises.
    InTransit,
    /// May not be used until someone decides.
    NonSellableOther,
}

/// Where stock lies, and in which disposition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Location code.
    pub location: Code,
    /// Disposition there.
    pub disposition: Disposition,
}

/// Goods that change place in the book. `from` absent: they come into the book; `to` absent: they leave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movement {
    /// The serialised unit; absent for stock by quantity.
    pub epc: Option<Epc>,
    /// Whose goods.
    pub owner: Code,
    /// What.
    pub sku: Code,
    /// Lot, or empty.
    pub lot: Code,
    /// How many, in base units; 1 for a serialised unit.
    pub quantity: u32,
    /// Where they were.
    pub from: Option<Place>,
    /// Where they are now.
    pub to: Option<Place>,
}

/// A count of one SKU and lot at one location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// What.
    pub sku: Code,
    /// Lot, or empty.
    pub lot: Code,
    /// Location code.
    pub location: Code,
    /// What the worker found, base units.
    pub counted: u32,
    /// What the book had, base units.
    pub booked: u64,
}

/// A person saw a serialised item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The item.
    pub epc: Epc,
    /// Location code.
    pub location: Code,
}

/// Presence decided that a tag changed its zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceMoved {
    /// The tag.
    pub epc: Epc,
    /// Zone before, if known.
    pub from: Option<Code>,
    /// Zone now.
    pub to: Code,
    /// The portal that it passed, if one saw it.
    pub portal: Option<Code>,
    /// Posterior probability of `to`, per mille.
    pub confidence: u16,
    /// The next likely zone.
    pub runner_up: Option<Code>,
    /// Its probability, per mille.
    pub runner_up_confidence: u16,
    /// Antenna visits behind the decision.
    pub visits: u32,
}

/// Book and world differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscrepancyOpened {
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
    pub action: crate::site::Action,
}

/// A discrepancy is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscrepancySettled {
    /// The fact that opened it.
    pub id: u64,
    /// The tag.
    pub epc: Epc,
    /// How.
    pub by: SettledBy,
}

/// What settled a discrepancy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettledBy {
    /// A worker's scan said where it is.
    Scan,
    /// The radio agrees with the book again.
    Radio,
    /// A person at the page took the radio's word.
    Page,
}

/// A scanner's intent was decided; repeats get the same verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentAnswered {
    /// The scanner.
    pub scanner: Code,
    /// What was asked.
    pub intent: Intent,
    /// What was answered.
    pub verdict: Verdict,
}

/// A scanner has had answers that this journal lacks (it was restored from a backup): the edge goes on behind them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScannerResumed {
    /// The scanner.
    pub scanner: Code,
    /// Its last answered intent.
    pub seq: u32,
}

/// A parcel will come to a sorter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParcelAnnounced {
    /// What its label says.
    pub code: Code,
    /// Its route or carrier service, as the sort plan names it.
    pub route: Code,
}

/// An item passed a sorter's scan point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParcelScanned {
    /// The sorter.
    pub sorter: Code,
    /// The sorter's count of its own starts.
    pub boot: u32,
    /// The sorter's number for the item.
    pub item: u32,
    /// What was read; absent: no-read.
    pub code: Option<Code>,
}

/// An item came to its end of which the edge had not heard before: its report was lost, and the sorter followed its safe
/// plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParcelMissed {
    /// `MACHINE/BOOT-ITEM`: the command that there would have been.
    pub command: String,
    /// The sorter.
    pub sorter: Code,
    /// The sorter's count of its own starts.
    pub boot: u32,
    /// The sorter's number for the item.
    pub item: u32,
    /// Where it went, if the sorter tells.
    pub chute: Option<Code>,
}

/// A machine will be told to do something. Followed by sent, acknowledged and one of confirmed, missed, failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandPlanned {
    /// `MACHINE/BOOT-ITEM`: derived from the machine's own numbers, so that resending is harmless.
    pub command: String,
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
}

/// A step in a command's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandStep {
    /// Which.
    pub command: String,
    /// The chute that the machine reports, where it does.
    pub chute: Option<Code>,
    /// How the item ended, where the machine has told it with this step.
    pub outcome: Option<SortOutcome>,
}

/// A sorter told the end of an item whose command was over before: refused, or not sent in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParcelEnded {
    /// The command that was over.
    pub command: String,
    /// The sorter.
    pub sorter: Code,
    /// Where it lies, where the sorter knows.
    pub chute: Option<Code>,
    /// How it ended.
    pub outcome: SortOutcome,
}

/// A sorter's belt started or stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeltChanged {
    /// The sorter.
    pub sorter: Code,
    /// Whether it runs now.
    pub belt: Belt,
}

/// A load is to be brought from one station to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportPlanned {
    /// Its name.
    pub transport: Code,
    /// Location from which.
    pub from: Code,
    /// Location to which.
    pub to: Code,
}

/// A step in a transport's life: assigned (and perhaps unassigned again), loaded, and one of delivered, failed, cancelled.
/// Recalled: its robot has yet to stop, then it is cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportStep {
    /// Which.
    pub transport: Code,
    /// The robot, where one has it.
    pub robot: Option<Code>,
}

/// A node of a robot's way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveStop {
    /// Its code.
    pub node: Code,
    /// What to do there.
    pub act: Option<crate::input::Handling>,
}

/// A robot will be told to drive. Followed by updates, accepted, passed for each stop, perhaps recalled, and one of done,
/// refused, cancelled, lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrivePlanned {
    /// `ROBOT-SECONDS-SEQ`: never used again.
    pub drive: String,
    /// The robot.
    pub robot: Code,
    /// What for; absent: out of another robot's way.
    pub transport: Option<Code>,
    /// The way; the first is where it stands.
    pub stops: Vec<DriveStop>,
    /// So many of them are released.
    pub released: u32,
}

/// A robot's way goes on, perhaps another way than thought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveUpdated {
    /// Which drive.
    pub drive: String,
    /// The robot.
    pub robot: Code,
    /// Counts the updates.
    pub update: u32,
    /// So many stops stay as they were, counted from the drive's first.
    pub keep: u32,
    /// What follows them.
    pub stops: Vec<DriveStop>,
    /// So many are released now, counted from the drive's first.
    pub released: u32,
}

/// A robot passed a stop, or stands there: what it held before is free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrivePassed {
    /// Which drive.
    pub drive: String,
    /// The robot.
    pub robot: Code,
    /// Which stop, counted from the drive's first, which is 0.
    pub stop: u32,
}

/// A step in a drive's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveStep {
    /// Which drive.
    pub drive: String,
    /// The robot.
    pub robot: Code,
}

/// A robot without a drive is somewhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RobotPlaced {
    /// The robot.
    pub robot: Code,
    /// The node at which it stands; absent: at none.
    pub node: Option<Code>,
}

/// A robot carries nothing any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RobotEmptied {
    /// The robot.
    pub robot: Code,
}

/// A parcel changed place as part of a load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParcelMoved {
    /// What its label says.
    pub code: Code,
    /// Location or robot from which.
    pub from: Code,
    /// Location or robot to which.
    pub to: Code,
}

/// The edge began to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The program's version.
    pub version: String,
}

/// A device's session came up or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceChanged {
    /// The device.
    pub device: Code,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident($data:ty) = $kind:literal;)*) => {
        /// What happened. The kind's name and its data; names are never reused for another meaning.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(untagged)]
        #[allow(missing_docs, reason = "each variant is documented by its kind and its data")]
        pub enum Body { $($(#[$doc])* $name($data),)* }

        impl Body {
            /// The name in the journal.
            pub const fn kind(&self) -> &'static str {
                match self { $(Self::$name(_) => $kind,)* }
            }

            fn parse(kind: &str, data: serde_json::Value) -> Result<Self, serde_json::Error> {
                match kind {
                    $($kind => serde_json::from_value(data).map(Self::$name),)*
                    _ => Err(serde::de::Error::custom(format_args!("unknown kind of fact {kind:?}"))),
                }
            }
        }
    };
}

kinds! {
    Started(Started) = "edge.started";
    Received(Movement) = "stock.received";
    Moved(Movement) = "stock.moved";
    Adjusted(Movement) = "stock.adjusted";
    Departed(Movement) = "stock.departed";
    Counted(Counted) = "stock.counted";
    Seen(Seen) = "item.seen";
    PresenceMoved(PresenceMoved) = "presence.moved";
    DiscrepancyOpened(DiscrepancyOpened) = "discrepancy.opened";
    DiscrepancySettled(DiscrepancySettled) = "discrepancy.settled";
    IntentAnswered(IntentAnswered) = "intent.answered";
    ScannerResumed(ScannerResumed) = "scanner.resumed";
    ParcelAnnounced(ParcelAnnounced) = "parcel.announced";
    ParcelScanned(ParcelScanned) = "parcel.scanned";
    ParcelMissed(ParcelMissed) = "parcel.missed";
    ParcelEnded(ParcelEnded) = "parcel.ended";
    CommandPlanned(CommandPlanned) = "command.planned";
    CommandSent(CommandStep) = "command.sent";
    CommandAcknowledged(CommandStep) = "command.acknowledged";
    CommandConfirmed(CommandStep) = "command.confirmed";
    CommandMissed(CommandStep) = "command.missed";
    CommandFailed(CommandStep) = "command.failed";
    ParcelMoved(ParcelMoved) = "parcel.moved";
    TransportPlanned(TransportPlanned) = "transport.planned";
    TransportAssigned(TransportStep) = "transport.assigned";
    TransportUnassigned(TransportStep) = "transport.unassigned";
    TransportRecalled(TransportStep) = "transport.recalled";
    TransportLoaded(TransportStep) = "transport.loaded";
    TransportDelivered(TransportStep) = "transport.delivered";
    TransportFailed(TransportStep) = "transport.failed";
    TransportCancelled(TransportStep) = "transport.cancelled";
    DrivePlanned(DrivePlanned) = "drive.planned";
    DriveUpdated(DriveUpdated) = "drive.updated";
    DriveAccepted(DriveStep) = "drive.accepted";
    DrivePassed(DrivePassed) = "drive.passed";
    DriveRecalled(DriveStep) = "drive.recalled";
    DriveDone(DriveStep) = "drive.done";
    DriveRefused(DriveStep) = "drive.refused";
    DriveCancelled(DriveStep) = "drive.cancelled";
    DriveLost(DriveStep) = "drive.lost";
    RobotPlaced(RobotPlaced) = "robot.placed";
    RobotEmptied(RobotEmptied) = "robot.emptied";
    DeviceUp(DeviceChanged) = "device.up";
    DeviceDown(DeviceChanged) = "device.down";
    BeltChanged(BeltChanged) = "belt.changed";
}

/// The version of a fact's shape, in each fact as `v`.
pub const VERSION: u8 = 1;

#[derive(Serialize)]
struct LineOut<'a> {
    site: &'a str,
    epoch: u32,
    seq: u64,
    at: Timestamp,
    kind: &'a str,
    v: u8,
    who: &'a Option<String>,
    what: &'a Option<String>,
    r#where: &'a Option<Code>,
    when: Timestamp,
    why: &'a Option<String>,
    cause: &'a Option<Cause>,
    data: &'a Body,
}

#[derive(Deserialize)]
struct LineIn {
    epoch: u32,
    seq: u64,
    at: Timestamp,
    kind: String,
    v: u8,
    who: Option<String>,
    what: Option<String>,
    r#where: Option<Code>,
    when: Timestamp,
    why: Option<String>,
    cause: Option<Cause>,
    data: serde_json::Value,
}

impl Fact {
    /// The fact as one line of JSON without a line's end: the same in the journal, on the page, in MQTT and in the
    /// digest.
    pub fn line(&self, site: &str, epoch: u32) -> String {
        let line = LineOut {
            site,
            epoch,
            seq: self.seq,
            at: self.at,
            kind: self.body.kind(),
            v: VERSION,
            who: &self.who,
            what: &self.what,
            r#where: &self.place,
            when: self.when,
            why: &self.why,
            cause: &self.cause,
            data: &self.body,
        };
        // Strings, integers and hex only: nothing here that JSON can't say.
        serde_json::to_string(&line).unwrap_or_else(|error| unreachable!("a fact is plain JSON: {error}"))
    }

    /// Reads a line back, with its epoch.
    ///
    /// # Errors
    /// What is not a fact, or one of a later version or unknown kind.
    pub fn parse(line: &str) -> Result<(u32, Self), serde_json::Error> {
        let line: LineIn = serde_json::from_str(line)?;
        if line.v != VERSION {
            return Err(serde::de::Error::custom(format_args!(
                "fact {} has version {}, not {VERSION}",
                line.seq, line.v
            )));
        }
        let body = Body::parse(&line.kind, line.data)?;
        let fact = Self {
            seq: line.seq,
            at: line.at,
            who: line.who,
            what: line.what,
            place: line.r#where,
            when: line.when,
            why: line.why,
            cause: line.cause,
            body,
        };
        Ok((line.epoch, fact))
    }
}
