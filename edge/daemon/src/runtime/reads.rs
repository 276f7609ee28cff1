//! What a reader's session has heard and the engine has not yet taken: merged in a bounded place, so that the session
//! never waits.
//!
//! Reads of one tag by one antenna within a visit become one (count, strongest, last). When the engine falls behind,
//! visits are joined as well: the reads of several count as those of one long visit. No tag is dropped before
//! [`TAGS_MAX`] different ones wait, which no real reader reaches.

use stowage_base::{Duration, TagRead, Timestamp, Visit};
use stowage_core::site::ReadPointIx;

/// From so many waiting entries on, visits are joined.
const JOIN_FROM: usize = 16_384;

/// Most entries that wait; further tags are counted and lost.
pub const TAGS_MAX: usize = 131_072;

const INDEX_MIN: usize = 1_024;

/// Something that a reader did, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A tag was read.
    Read(ReadPointIx, TagRead),
    /// An antenna's visit is over.
    Visit(ReadPointIx, Visit),
}

/// One antenna's visit under way.
#[derive(Debug, Clone, Copy, Default)]
struct Current {
    /// Where its entries begin.
    first: usize,
    /// When the first of the joined visits began, and what they heard.
    joined: Option<(Timestamp, u32, bool)>,
}

/// The waiting reads and visits of one reader.
#[derive(Debug)]
pub struct Reads {
    entries: Vec<Entry>,
    /// Open-addressed: an entry's place plus one, 0 for none. A power of two, at least twice the entries.
    index: Vec<u32>,
    /// By read point; grows to the site's number of them once.
    current: Vec<Current>,
    lost: u64,
}

impl Default for Reads {
    fn default() -> Self {
        Self::new()
    }
}

impl Reads {
    /// Nothing waits.
    pub fn new() -> Self {
        Self { entries: Vec::new(), index: vec![0; INDEX_MIN], current: Vec::new(), lost: 0 }
    }

    /// What waits, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Tag reads that found no room, since the last [`clear`](Self::clear).
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Forgets what was taken; keeps the room, but for that of a rare flood.
    pub fn clear(&mut self) {
        let shrink = self.index.len() > 16 * INDEX_MIN && self.entries.len() < self.index.len() / 32;
        if shrink {
            self.entries.shrink_to(INDEX_MIN / 2);
            self.index = vec![0; INDEX_MIN];
        } else {
            self.index.fill(0);
        }
        self.entries.clear();
        self.lost = 0;
        // Joined visits were given out with the entries: none is left over.
        self.current.fill(Current::default());
    }

    /// Hands the waiting entries over to an empty `other` and goes on with its room. Visits that are joined and not
    /// yet over stay here.
    pub fn swap(&mut self, other: &mut Self) {
        let joined = |current: &Current| Current { first: 0, joined: current.joined };
        other.current.clear();
        other.current.extend(self.current.iter().map(joined));
        std::mem::swap(self, other);
    }

    /// A tag was read at `point`.
    pub fn read(&mut self, point: ReadPointIx, read: &TagRead) {
        let first = self.current(point).first;
        let mask = self.index.len() - 1;
        let mut slot = (read.epc.hash64() ^ u64::from(point.0).wrapping_mul(0x9E37_79B9)) as usize & mask;
        while let Some(at) = (self.index[slot] as usize).checked_sub(1) {
            if let Entry::Read(of, known) = &mut self.entries[at]
                && *of == point
                && known.epc == read.epc
            {
                if at < first {
                    // It belongs to a visit that is over: this one begins a new entry in its slot.
                    break;
                }
                if read.rssi_cdbm > known.rssi_cdbm {
                    (known.rssi_cdbm, known.phase, known.frequency_khz) =
                        (read.rssi_cdbm, read.phase, read.frequency_khz);
                }
                known.count = known.count.saturating_add(read.count);
                known.at = known.at.max(read.at);
                return;
            }
            slot = (slot + 1) & mask;
        }
        if self.entries.len() >= TAGS_MAX {
            self.lost += u64::from(read.count);
            return;
        }
        self.entries.push(Entry::Read(point, *read));
        // At most TAGS_MAX entries and their visits: fits.
        self.index[slot] = self.entries.len() as u32;
        self.grow();
    }

    /// The visit of `point` is over.
    pub fn visit(&mut self, point: ReadPointIx, visit: &Visit) {
        let join = self.entries.len() >= JOIN_FROM;
        let current = self.current(point);
        let (start, reads, healthy) = current.joined.unwrap_or((visit.start, 0, true));
        let (reads, healthy) = (reads.saturating_add(visit.reads), healthy && visit.healthy);
        if join {
            current.joined = Some((start, reads, healthy));
            return;
        }
        current.joined = None;
        let start = start.min(visit.start);
        // One long visit says less than the many that it stands for; it never says more.
        let start = if visit.end - start > JOINED_MAX { visit.start } else { start };
        self.entries.push(Entry::Visit(point, Visit { start, reads, healthy, ..*visit }));
        let len = self.entries.len();
        self.current(point).first = len;
        self.grow();
    }

    fn current(&mut self, point: ReadPointIx) -> &mut Current {
        let at = usize::from(point.0);
        if at >= self.current.len() {
            self.current.resize(at + 1, Current::default());
        }
        &mut self.current[at]
    }

    /// Keeps the index at least twice as large as what it holds.
    fn grow(&mut self) {
        if self.entries.len() * 2 < self.index.len() {
            return;
        }
        let size = self.index.len() * 2;
        self.index.clear();
        self.index.resize(size, 0);
        for (at, entry) in self.entries.iter().enumerate() {
            let Entry::Read(point, read) = entry else { continue };
            let mut slot = (read.epc.hash64() ^ u64::from(point.0).wrapping_mul(0x9E37_79B9)) as usize & (size - 1);
            // A later entry of the same tag and antenna takes the slot of the one before.
            while let Some(other) = (self.index[slot] as usize).checked_sub(1) {
                if matches!(&self.entries[other], Entry::Read(of, known) if of == point && known.epc == read.epc) {
                    break;
                }
                slot = (slot + 1) & (size - 1);
            }
            self.index[slot] = at as u32 + 1;
        }
    }
}

/// A joined visit is given no longer span than this.
const JOINED_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use stowage_base::Epc;

    const A: ReadPointIx = ReadPointIx(0);
    const B: ReadPointIx = ReadPointIx(3);

    fn read(tag: u32, rssi_cdbm: i16, at: i64) -> TagRead {
        let mut octets = [0x30; 12];
        octets[8..].copy_from_slice(&tag.to_be_bytes());
        let epc = Epc::new(&octets).expect("12 octets");
        let at = Timestamp::from_micros(at);
        TagRead { epc, antenna: 1, rssi_cdbm, count: 1, at, frequency_khz: None, phase: None }
    }

    fn visit(start: i64, end: i64, reads: u32) -> Visit {
        let at = Timestamp::from_micros;
        Visit { antenna: 1, start: at(start), end: at(end), reads, healthy: true }
    }

    #[test]
    fn reads_of_a_tag_within_a_visit_become_one() {
        let mut reads = Reads::new();
        reads.read(A, &read(1, -6000, 10));
        reads.read(B, &read(1, -7000, 11));
        reads.read(A, &read(1, -5500, 12));
        reads.read(A, &read(1, -5800, 13));
        reads.visit(A, &visit(0, 20, 3));
        reads.read(A, &read(1, -6100, 30));
        reads.read(A, &read(1, -6200, 31));
        let merged = TagRead { count: 3, ..read(1, -5500, 13) };
        let next = TagRead { count: 2, ..read(1, -6100, 31) };
        assert_eq!(
            reads.entries(),
            [
                Entry::Read(A, merged),
                Entry::Read(B, read(1, -7000, 11)),
                Entry::Visit(A, visit(0, 20, 3)),
                Entry::Read(A, next)
            ]
        );
    }

    #[test]
    fn no_tag_is_dropped_and_memory_is_bounded_when_nobody_takes_them() {
        let mut reads = Reads::new();
        for round in 0..400 {
            for tag in 0..1_000 {
                reads.read(A, &read(tag, -6000, round * 10));
            }
            reads.visit(A, &visit(round * 10, round * 10 + 9, 1_000));
        }
        assert!(reads.entries().len() < JOIN_FROM + 2_000, "{}", reads.entries().len());
        let total: u64 = reads
            .entries()
            .iter()
            .map(|entry| if let Entry::Read(_, read) = entry { read.count.into() } else { 0 })
            .sum();
        assert_eq!((total, reads.lost()), (400_000, 0));
    }

    #[test]
    fn a_flood_of_different_tags_is_counted_where_it_is_lost() {
        let mut reads = Reads::new();
        for tag in 0..200_000 {
            reads.read(A, &read(tag, -6000, 1));
        }
        assert_eq!(reads.entries().len(), TAGS_MAX);
        assert_eq!(reads.lost(), 200_000 - TAGS_MAX as u64);
        let mut taken = Reads::new();
        reads.swap(&mut taken);
        assert_eq!((reads.entries().len(), taken.entries().len()), (0, TAGS_MAX));
        taken.clear();
        reads.read(A, &read(7, -6000, 2));
        assert_eq!(reads.entries(), [Entry::Read(A, read(7, -6000, 2))]);
    }

    #[test]
    fn a_joined_visit_that_outlives_a_swap_is_closed_in_the_next() {
        let mut reads = Reads::new();
        for tag in 0..JOIN_FROM as u32 {
            reads.read(A, &read(tag, -6000, 5));
        }
        reads.visit(A, &visit(0, 10, JOIN_FROM as u32));
        let mut taken = Reads::new();
        reads.swap(&mut taken);
        assert!(!taken.entries().iter().any(|entry| matches!(entry, Entry::Visit(..))));
        reads.visit(A, &visit(20, 30, 0));
        assert_eq!(reads.entries(), [Entry::Visit(A, visit(0, 30, JOIN_FROM as u32))]);
    }
}
