//! What a worker means by a scan.

use crate::{Code, Epc, Timestamp};
use serde::{Deserialize, Serialize};

/// The thing that a scan names.
///
/// On the wire variants count from 0 in this order: append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemRef {
    /// A tag: one serialised item or handling unit.
    Epc(Epc),
    /// A GS1 trade item, with what its barcode said beside the GTIN.
    Gtin {
        /// GTIN-14 as a number; shorter GTINs have leading zeros.
        gtin: u64,
        /// AI (10).
        lot: Option<Code>,
        /// AI (21).
        serial: Option<Code>,
        /// AI (17) as YYMMDD; day 00 means the month's last.
        expiry: Option<u32>,
    },
    /// An SSCC of a handling unit, 18 digits as a number.
    Sscc(u64),
    /// Any other code that the floor uses: a SKU, a vendor's or carrier's code.
    Code(Code),
}

/// What the worker did or wants. Quantities are in base units (each), 1 to 1,000,000.
///
/// On the wire variants count from 0 in this order: append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentBody {
    /// Goods came in and lie at `at` now.
    Receive {
        /// What.
        item: ItemRef,
        /// How many.
        quantity: u32,
        /// Location code.
        at: Code,
    },
    /// Goods were put into storage at `to`.
    PutAway {
        /// What.
        item: ItemRef,
        /// How many.
        quantity: u32,
        /// Location code.
        to: Code,
    },
    /// Goods were moved; `from` is unknown where the worker scanned only the goal.
    Move {
        /// What.
        item: ItemRef,
        /// How many.
        quantity: u32,
        /// Location code.
        from: Option<Code>,
        /// Location code.
        to: Code,
    },
    /// Exactly `quantity` of the item lie at `at`.
    Count {
        /// What.
        item: ItemRef,
        /// How many.
        quantity: u32,
        /// Location code.
        at: Code,
    },
    /// The worker holds the item or sees it at `at`: settles a doubt about where it is.
    See {
        /// What.
        item: ItemRef,
        /// Location code.
        at: Code,
    },
}

/// One act of a worker on one scanner. The pair of scanner and `seq` names it for ever: the same pair again is a
/// repeat, answered as at first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Counts the scanner's intents from 1, without gaps.
    pub seq: u32,
    /// When the worker acted, by the scanner's clock (which follows the edge's while connected).
    pub at: Timestamp,
    /// The worker's badge.
    pub worker: Code,
    /// What the worker did.
    pub body: IntentBody,
}
