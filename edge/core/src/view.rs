//! What a page shows: a picture of the moment, of plain data.

use crate::input::Belt;
use crate::site::{Action, ZoneKind};
use crate::state::TransportState;
use serde::Serialize;
use stowage_base::{Code, Epc, Timestamp};

/// The whole site at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct View {
    /// When.
    pub at: Timestamp,
    /// The site's code.
    pub site: Code,
    /// The site's name.
    pub name: String,
    /// Facts recorded so far in this epoch.
    pub facts: u64,
    /// Why nothing can be recorded at the moment; `None`: all is well.
    pub problem: Option<String>,
    /// Zones in order of the site file.
    pub zones: Vec<ZoneView>,
    /// Portals in order of the site file.
    pub portals: Vec<PortalView>,
    /// Devices in order of the edge file.
    pub devices: Vec<DeviceView>,
    /// Robots in order of the edge file.
    pub robots: Vec<RobotView>,
    /// Open transports, oldest first.
    pub transports: Vec<TransportView>,
    /// Open discrepancies, oldest first.
    pub discrepancies: Vec<DiscrepancyView>,
    /// Sums.
    pub totals: Totals,
}

/// A zone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ZoneView {
    /// Short code.
    pub code: Code,
    /// Name for people.
    pub name: String,
    /// What it is for.
    pub kind: ZoneKind,
    /// Left, top, width, height in mm.
    pub area: [i32; 4],
    /// Units there by the book.
    pub book: u64,
    /// Tags there by presence.
    pub tags: u32,
    /// Open discrepancies whose book or world is this zone.
    pub discrepancies: u32,
}

/// A portal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PortalView {
    /// Short code.
    pub code: Code,
    /// Name for people.
    pub name: String,
    /// Code of the outer zone.
    pub outer: Code,
    /// Code of the inner zone.
    pub inner: Code,
    /// Tags in the doorway now.
    pub tags: u32,
    /// Passages inwards since the start.
    pub inwards: u64,
    /// Passages outwards since the start.
    pub outwards: u64,
    /// Tags that turned back since the start.
    pub turned_back: u64,
    /// When the last one passed or turned back.
    pub last: Option<Timestamp>,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceView {
    /// Short code.
    pub code: Code,
    /// `reader`, `sorter`, `scanner` or `robot`.
    pub kind: &'static str,
    /// Whether its session is up.
    pub up: bool,
    /// Since when it is up or down; `None`: never up yet.
    pub since: Option<Timestamp>,
    /// Reads of a reader, items of a sorter, intents of a scanner, messages of a robot, since the start.
    pub count: u64,
    /// Refusals and faults that it reported.
    pub faults: u64,
    /// Malformed input that was skipped.
    pub malformed: u64,
    /// Times its session ended.
    pub downs: u64,
    /// The last of these in words.
    pub last_error: Option<String>,
    /// Whether a sorter's belt runs: as it told last.
    pub belt: Option<Belt>,
    /// What else is to be known of it.
    pub note: Option<String>,
    /// How warm it is in °C, if it tells.
    pub temperature_c: Option<i16>,
}

/// A robot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RobotView {
    /// Its code.
    pub code: Code,
    /// Whether it can be heard.
    pub up: bool,
    /// Where it is on the plan, mm.
    pub position: Option<[i32; 2]>,
    /// The node at which it stands or which it passed last.
    pub node: Option<Code>,
    /// The nodes that its drive holds, in order.
    pub held: Vec<Code>,
    /// Per cent.
    pub charge: Option<u8>,
    /// The transport whose load it carries.
    pub carries: Option<Code>,
    /// The transport that it works on.
    pub transport: Option<Code>,
    /// What it does, in words.
    pub does: String,
    /// Why it doesn't get further, in words.
    pub waits: Option<String>,
}

/// An open transport.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TransportView {
    /// Its id.
    pub id: Code,
    /// Location from which.
    pub from: Code,
    /// Location to which.
    pub to: Code,
    /// How far it has come.
    pub state: TransportState,
    /// It isn't wanted any more, but its robot has yet to stop.
    pub recalled: bool,
    /// The robot that has it.
    pub robot: Option<Code>,
    /// When it was asked for.
    pub since: Timestamp,
    /// Why no robot has it, in words.
    pub waits: Option<String>,
}

/// An open discrepancy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DiscrepancyView {
    /// Its number: that of the fact that opened it.
    pub id: u64,
    /// The tag.
    pub epc: Epc,
    /// The tag in its most readable form.
    pub what: String,
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

/// Sums since the start, but for `units`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Totals {
    /// Units in the book now.
    pub units: u64,
    /// Tags that presence knows now.
    pub tags: u32,
    /// Tag reads.
    pub reads: u64,
    /// Antenna visits.
    pub visits: u64,
    /// Reads of tags that are not ours.
    pub foreign: u64,
    /// Intents answered.
    pub intents: u64,
    /// Items that sorters scanned.
    pub sorted: u64,
}
