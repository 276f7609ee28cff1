//! Where every tag is, from noisy reads: the zone filter with visits.

use crate::site::{PortalIx, ZoneIx};
use stowage_base::{Epc, Timestamp};

/// What presence has concluded about a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The tag.
    pub epc: Epc,
    /// When the last read behind it was heard.
    pub at: Timestamp,
    /// What it concluded.
    pub outcome: Outcome,
    /// Probability of the zone concluded, per mille.
    pub confidence: u16,
    /// The next likely zone, with its probability in per mille.
    pub runner_up: Option<(ZoneIx, u16)>,
    /// Antenna visits behind it.
    pub visits: u32,
    /// Why, in a sentence.
    pub reason: String,
}

/// Moved, or looked as if.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It changed its zone.
    Moved {
        /// Zone before, if known.
        from: Option<ZoneIx>,
        /// Zone now.
        to: ZoneIx,
        /// The portal that it passed, if one saw it pass.
        portal: Option<PortalIx>,
    },
    /// It came to a portal and turned back.
    TurnedBack {
        /// The portal.
        portal: PortalIx,
        /// Where it stays.
        zone: ZoneIx,
    },
}
