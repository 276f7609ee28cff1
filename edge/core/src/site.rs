//! The site as checked: zones, places, read points, goods and policies, which can't be wrong any more.
//!
//! The daemon's configuration reads `site.toml`, reports every fault, and only then builds a [`Site`]. Things refer to
//! each other by index; facts and pages use codes.

use crate::roadmap::{NodeIx, Roadmap};
use serde::{Deserialize, Serialize};
use stowage_base::Code;

/// Index into [`Site::zones`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneIx(pub u16);

/// Index into [`Site::read_points`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadPointIx(pub u16);

/// Index into [`Site::portals`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortalIx(pub u16);

/// Index into [`Site::devices`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceIx(pub u16);

/// A warehouse: everything about it that doesn't change while the edge runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// Short code, first in every fact's key.
    pub code: Code,
    /// Name for people.
    pub name: String,
    /// IANA time zone, such as `Europe/Berlin`.
    pub time_zone: String,
    /// Areas that presence can tell apart.
    pub zones: Vec<Zone>,
    /// Pairs of zones between which goods can pass without a portal.
    pub passages: Vec<(ZoneIx, ZoneIx)>,
    /// Doorways between two zones, watched by antennas on both sides.
    pub portals: Vec<Portal>,
    /// Antennas.
    pub read_points: Vec<ReadPoint>,
    /// Addressable places. Each zone has one of the zone's own code: its floor.
    pub locations: Vec<Location>,
    /// What is stocked here.
    pub skus: Vec<Sku>,
    /// What happens to tags by their company prefix; the first that fits decides.
    pub tags: Vec<TagRule>,
    /// What happens when the world differs from the book; the first that fits decides.
    pub policies: Vec<Policy>,
    /// Where parcels go; the first rule that fits decides.
    pub sort_plan: Vec<SortRule>,
    /// Where robots drive.
    pub roadmap: Roadmap,
    /// Transports that are asked for by themselves.
    pub transports: Vec<TransportRule>,
    /// Readers, sorters, scanners and robots.
    pub devices: Vec<Device>,
    /// How sure presence must be.
    pub presence: PresenceSettings,
}

/// An area that presence can tell apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    /// Short code.
    pub code: Code,
    /// Name for people.
    pub name: String,
    /// What the area is for.
    pub kind: ZoneKind,
    /// Left, top, width and height on the floor plan in mm.
    pub area: [i32; 4],
}

/// What a zone is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZoneKind {
    /// Not on the premises: what is here is not our stock.
    Outside,
    /// Behind a dock door.
    Dock,
    /// Where receipts are checked.
    Receiving,
    /// Shelves and racks.
    Aisle,
    /// Where outgoing goods wait.
    Staging,
    /// A stretch of belt.
    Conveyor,
    /// The end of a divert.
    Chute,
    /// Goods that may not be used.
    Quarantine,
    /// Packing benches.
    Packing,
}

/// A doorway between two zones.
#[derive(Debug, Clone, PartialEq)]
pub struct Portal {
    /// Short code.
    pub code: Code,
    /// Name for people.
    pub name: String,
    /// The zone on the side of negative `x`.
    pub outer: ZoneIx,
    /// The zone on the side of positive `x`.
    pub inner: ZoneIx,
}

/// One antenna of one reader.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadPoint {
    /// The reader.
    pub device: DeviceIx,
    /// Port on the reader, from 1.
    pub antenna: u16,
    /// The zone that it looks into.
    pub zone: ZoneIx,
    /// For an antenna of a portal: which, and how far it looks to the inner (+) or outer (−) side of the doorway, mm.
    pub portal: Option<(PortalIx, i32)>,
}

/// An addressable place.
#[derive(Debug, Clone, PartialEq)]
pub struct Location {
    /// What its label says.
    pub code: Code,
    /// The zone in which it lies.
    pub zone: ZoneIx,
}

/// A stock keeping unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Sku {
    /// Short code.
    pub code: Code,
    /// Name for people.
    pub name: String,
    /// GTIN-14 as a number.
    pub gtin: u64,
    /// Whose goods these are.
    pub owner: Code,
    /// Tracked one by one (each unit has a tag or serial number), or by quantity.
    pub serialised: bool,
    /// Other codes that the floor scans for it.
    pub aliases: Vec<Code>,
}

/// What to do about tags that the book doesn't know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownTag {
    /// Not ours: count it, nothing more.
    Ignore,
    /// Ours if its GTIN is stocked: book it in where a portal saw it arrive.
    Register,
    /// Open a discrepancy.
    Quarantine,
}

/// Policy by company prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRule {
    /// Leading digits of the EPC's company prefix; empty fits all.
    pub company_prefix: Code,
    /// What to do with such tags.
    pub unknown: UnknownTag,
}

/// What to do where book and world differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Believe the radio: move it in the book.
    AutoMove,
    /// Ask the next worker who passes.
    Confirm,
    /// Count the place.
    Count,
    /// Tell the supervisor at once.
    Alarm,
}

/// A rule for differences between book and world.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Zone by the book; `None` fits all.
    pub from: Option<ZoneIx>,
    /// Zone by presence; `None` fits all.
    pub to: Option<ZoneIx>,
    /// Only for moves seen by a portal (`true`), only for others (`false`), or for both.
    pub by_portal: Option<bool>,
    /// What to do.
    pub action: Action,
}

/// A rule of the sort plan. All that is given must fit; a rule that gives nothing fits every known parcel.
#[derive(Debug, Clone, PartialEq)]
pub struct SortRule {
    /// The sorter; `None` for any.
    pub sorter: Option<DeviceIx>,
    /// The announced parcel's route.
    pub route: Option<Code>,
    /// Leading characters of the parcel's code.
    pub prefix: Option<Code>,
    /// Goal chutes by preference; the first that isn't full is taken.
    pub chutes: Vec<Code>,
}

/// When what lies at a station is brought to another. Never while a transport from there waits for its robot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportRule {
    /// Location from which: a station.
    pub from: Code,
    /// Location to which: a station.
    pub to: Code,
    /// What makes it happen.
    pub when: TransportWhen,
}

/// What makes a transport happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportWhen {
    /// A sorter tells that its chute of this location's code is full.
    Full,
    /// So many parcels lie there by the book.
    Parcels(u32),
}

/// A device that the edge talks to.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// Short code.
    pub code: Code,
    /// What it is.
    pub kind: DeviceKind,
}

/// What a device is to the core.
#[derive(Debug, Clone, PartialEq)]
pub enum DeviceKind {
    /// An RFID reader of any make.
    Reader,
    /// A sorter with its chutes; problems go to `hospital`, one of them.
    Sorter {
        /// Chute codes.
        chutes: Vec<Code>,
        /// The chute for problems.
        hospital: Code,
    },
    /// A handheld scanner.
    Scanner,
    /// A mobile robot.
    Robot {
        /// Where it stands as long as it has told nothing.
        start: Option<NodeIx>,
    },
}

/// How sure presence must be, in per mille of posterior probability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresenceSettings {
    /// To commit a change of zone inside, 500 to 999.
    pub interior_permille: u16,
    /// To commit a passage through a portal, 500 to 999.
    pub portal_permille: u16,
    /// Most tags remembered; past it the longest unseen without a place in the book is forgotten.
    pub tags_max: u32,
}

impl Default for PresenceSettings {
    fn default() -> Self {
        Self { interior_permille: 600, portal_permille: 900, tags_max: 100_000 }
    }
}

impl Site {
    /// The zone of index `ix`.
    pub fn zone(&self, ix: ZoneIx) -> &Zone {
        &self.zones[usize::from(ix.0)]
    }

    /// The read point of `antenna` (port from 1) on `device`.
    pub fn read_point(&self, device: DeviceIx, antenna: u16) -> Option<ReadPointIx> {
        let at = self.read_points.iter().position(|point| point.device == device && point.antenna == antenna)?;
        Some(ReadPointIx(at as u16))
    }

    /// The location labelled `code`.
    pub fn location(&self, code: &str) -> Option<&Location> {
        self.locations.iter().find(|location| location.code == code)
    }

    /// The zone coded `code`.
    pub fn zone_coded(&self, code: &str) -> Option<ZoneIx> {
        self.zones.iter().position(|zone| zone.code == code).map(|at| ZoneIx(at as u16))
    }

    /// The SKU with this GTIN-14.
    pub fn sku_of_gtin(&self, gtin: u64) -> Option<&Sku> {
        self.skus.iter().find(|sku| sku.gtin == gtin)
    }

    /// The SKU whose code or alias is `code`.
    pub fn sku_coded(&self, code: &str) -> Option<&Sku> {
        self.skus.iter().find(|sku| sku.code == code || sku.aliases.iter().any(|alias| alias == code))
    }

    /// Whether this is a robot's code: what it carries is booked there.
    pub fn is_robot(&self, code: &str) -> bool {
        let of_robot = |device: &Device| device.code == code && matches!(device.kind, DeviceKind::Robot { .. });
        self.devices.iter().any(of_robot)
    }

    /// The device of index `ix`.
    pub fn device(&self, ix: DeviceIx) -> &Device {
        &self.devices[usize::from(ix.0)]
    }

    /// The device coded `code`.
    pub fn device_coded(&self, code: &str) -> Option<DeviceIx> {
        self.devices.iter().position(|device| device.code == code).map(|at| DeviceIx(at as u16))
    }
}
