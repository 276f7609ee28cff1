//! What a run came to.

use serde::Serialize;

/// A run's result. The same scenario, seed and duration give the same, in any build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// What was drawn from.
    pub seed: u64,
    /// SHA-256 over the facts' lines, hex.
    pub digest: String,
    /// How many facts there are.
    pub facts: u64,
    /// What happened.
    pub metrics: Metrics,
    /// What was wrong, in words: the first fifty.
    pub violations: Vec<String>,
}

/// A run's result, and what it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The result.
    pub report: Report,
    /// The line of each durable fact.
    pub facts: Vec<String>,
}

/// What happened in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Metrics {
    /// Simulated time until everything had finished, ms.
    pub simulated_ms: u64,
    /// Times that the edge was started.
    pub starts: u64,
    /// Replies of tags that presence took in, since the edge's last start.
    pub reads: u64,
    /// Tags that went through a portal and were decided to be on the right side.
    pub passes_right: u64,
    /// … on the wrong side.
    pub passes_wrong: u64,
    /// … of which nothing was decided.
    pub passes_missed: u64,
    /// Tags that turned back at a portal and stayed where they were.
    pub turn_backs_right: u64,
    /// … and were decided to have passed.
    pub turn_backs_moved: u64,
    /// Items in the house at the end.
    pub goods: u64,
    /// … that the book has in their true zone.
    pub goods_booked_right: u64,
    /// Doubts between book and radio that were opened.
    pub discrepancies: u64,
    /// Intents that handhelds took in.
    pub intents_kept: u64,
    /// … that are recorded.
    pub intents_recorded: u64,
    /// … answers to which handhelds were told, repeats included.
    pub intents_told: u64,
    /// Parcels that passed a scan point.
    pub parcels: u64,
    /// … that lie in the chute that the sort plan has for them.
    pub parcels_right: u64,
    /// … that lie in another one, and not in the hospital chute.
    pub parcels_wrong: u64,
    /// Commands that the sorter confirmed.
    pub parcels_confirmed: u64,
    /// … whose moment passed.
    pub parcels_missed: u64,
    /// … that failed otherwise.
    pub parcels_failed: u64,
    /// Everything that was wrong, also beyond what is told in words.
    pub violations: u64,
}
