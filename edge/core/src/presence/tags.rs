//! The tags that presence remembers: a slab of records, an index by EPC, and the order in which to forget.
//!
//! Nothing here grows past `max`, whatever EPCs are thrown at it. The index is a table of small buckets, each EPC
//! having two to lie in, so a look-up compares at most two buckets even where an attacker chose the hashes.

use super::belief::Belief;
use crate::site::ZoneIx;
use stowage_base::{Duration, Epc, Timestamp};

/// No record.
pub(super) const NONE: u32 = u32::MAX;

/// Antennas whose current visits may hold evidence on one tag at the same time.
const PENDING: usize = 4;

/// Entries of a bucket: one cache line.
const BUCKET: usize = 8;

/// Tags that were seen meanwhile and are looked at before one is forgotten.
const LOOKED_AT_MAX: u32 = 64;

/// Most tags, whatever the settings say.
const TAGS_MAX: u32 = 1 << 24;

/// What one antenna has heard of a tag since its last visit ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    /// When that antenna's evidence was last folded, on the clock of [`millis`].
    folded: u32,
    /// The antenna; `u16::MAX` for a slot never used.
    pub(super) point: u16,
    /// Replies heard; 0 while there is nothing to fold.
    pub(super) n: u16,
    /// The strongest, 1/100 dBm.
    pub(super) rssi_max_cdbm: i16,
    /// The antenna has this record on its list, so the slot is taken until the visit ends.
    listed: bool,
}

/// Milliseconds that wrap after 49 days: enough to tell evidence of a moment ago from older.
fn millis(at: Timestamp) -> u32 {
    at.since(Timestamp::EPOCH).millis() as u32
}

/// Before all evidence, on the clock of [`millis`].
const LONG_AGO: u32 = 1 << 30;

impl Pending {
    const UNUSED: Self = Self { folded: 0, point: u16::MAX, n: 0, rssi_max_cdbm: i16::MIN, listed: false };

    /// Time since its antenna's evidence was last folded.
    pub(super) fn renewing(&self, now: Timestamp) -> Duration {
        Duration::from_millis(i64::from(millis(now).wrapping_sub(self.folded) as i32).max(0))
    }
}

/// Whether a read found its place in [`Tag::hear`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The antenna must put the record on its list.
    First,
    /// It is on the list.
    Again,
    /// Too many antennas hear the tag at once.
    Crowded,
}

/// What each read of a tag touches: one cache line.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct Tag {
    /// When it was last read; the epoch if never.
    pub(super) last_seen: Timestamp,
    pending: [Pending; PENDING],
    /// First of its open passes.
    pub(super) pass: u32,
    /// `NOWHERE` if none.
    committed: u16,
    /// The book says where it is, so it is not forgotten.
    placed: bool,
    /// Seen since it took its place in the order of forgetting.
    touched: bool,
}

const NOWHERE: u16 = u16::MAX;

/// What is touched when a visit ends.
#[derive(Debug, Clone)]
struct Rest {
    belief: Belief,
    // Neighbours in the order of forgetting; a placed tag is not in it.
    older: u32,
    newer: u32,
}

/// An EPC in a cache line of its own.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Key(Epc);

impl Tag {
    const NEW: Self = Self {
        last_seen: Timestamp::EPOCH,
        pending: [Pending::UNUSED; PENDING],
        pass: NONE,
        committed: NOWHERE,
        placed: false,
        touched: false,
    };

    pub(super) fn committed(&self) -> Option<ZoneIx> {
        (self.committed != NOWHERE).then_some(ZoneIx(self.committed))
    }

    /// Writes down its zone; returns the one before.
    pub(super) fn set_committed(&mut self, zone: Option<ZoneIx>) -> Option<ZoneIx> {
        let before = self.committed();
        self.committed = zone.map_or(NOWHERE, |zone| zone.0);
        before
    }

    /// Notes replies heard by an antenna.
    pub(super) fn hear(&mut self, point: u16, at: Timestamp, rssi_cdbm: i16, replies: u16) -> Heard {
        let place = match self.pending.iter().position(|pending| pending.point == point) {
            Some(place) => place,
            None => {
                let now = millis(at);
                let age = |pending: &Pending| match pending.point {
                    u16::MAX => LONG_AGO,
                    _ => (now.wrapping_sub(pending.folded) as i32).clamp(0, LONG_AGO as i32) as u32,
                };
                let idle = (0..PENDING).rev().filter(|&place| !self.pending[place].listed);
                let Some(place) = idle.max_by_key(|&place| age(&self.pending[place])) else { return Heard::Crowded };
                // Its own last fold is older than the one it takes over from.
                let folded = now.wrapping_sub(age(&self.pending[place]));
                self.pending[place] = Pending { point, folded, ..Pending::UNUSED };
                place
            }
        };
        let pending = &mut self.pending[place];
        if pending.n == 0 {
            pending.rssi_max_cdbm = rssi_cdbm;
        }
        pending.n = pending.n.saturating_add(replies);
        pending.rssi_max_cdbm = pending.rssi_max_cdbm.max(rssi_cdbm);
        if std::mem::replace(&mut pending.listed, true) { Heard::Again } else { Heard::First }
    }

    /// What the antenna has heard in its current visit: the strongest reply, 1/100 dBm.
    pub(super) fn heard_by(&self, point: u16) -> Option<i16> {
        self.pending.iter().find(|pending| pending.point == point && pending.n > 0).map(|found| found.rssi_max_cdbm)
    }

    /// Forgets what the antennas have heard in their current visits.
    pub(super) fn drop_pending(&mut self) {
        self.pending.iter_mut().for_each(|pending| pending.n = 0);
    }

    /// Takes what the antenna has heard, now that its visit is over.
    pub(super) fn take(&mut self, point: u16, now: Timestamp) -> Option<Pending> {
        let pending = self.pending.iter_mut().find(|pending| pending.point == point)?;
        let taken = *pending;
        (pending.n, pending.listed) = (0, false);
        if taken.n == 0 {
            return None;
        }
        pending.folded = millis(now);
        Some(taken)
    }
}

/// Where a new tag may go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is room.
    Free,
    /// In the place of this one, which is the longest unseen.
    InsteadOf(u32),
    /// None: all that could make room are placed.
    Full,
}

/// The slab with its index.
#[derive(Debug)]
pub(super) struct Tags {
    keys: Vec<Key>,
    slots: Vec<Tag>,
    rests: Vec<Rest>,
    max: usize,
    /// Entries are the upper half of the hash and the slot plus one; 0 is empty.
    buckets: Vec<[u64; BUCKET]>,
    oldest: u32,
    newest: u32,
}

impl Tags {
    pub(super) fn new(max: u32) -> Self {
        let max = max.clamp(1, TAGS_MAX) as usize;
        // At most half full, so that two full buckets mean an attack.
        let buckets = (2 * max).div_ceil(BUCKET).next_power_of_two();
        Self {
            keys: vec![],
            slots: vec![],
            rests: vec![],
            max,
            buckets: vec![[0; BUCKET]; buckets],
            oldest: NONE,
            newest: NONE,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Octets of all records beside their EPCs and the index.
    pub(super) fn record_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Tag>() + self.rests.capacity() * size_of::<Rest>()
    }

    pub(super) fn epc(&self, slot: u32) -> &Epc {
        &self.keys[slot as usize].0
    }

    pub(super) fn get(&self, slot: u32) -> &Tag {
        &self.slots[slot as usize]
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Tag {
        &mut self.slots[slot as usize]
    }

    pub(super) fn belief(&self, slot: u32) -> &Belief {
        &self.rests[slot as usize].belief
    }

    pub(super) fn belief_mut(&mut self, slot: u32) -> &mut Belief {
        &mut self.rests[slot as usize].belief
    }

    /// Draws the records of these tags into the cache, all at the same time, so that the work on each need not wait
    /// for memory.
    pub(super) fn draw(&self, slots: &[u32]) {
        let touch = |sum: u32, &slot: &u32| sum ^ self.get(slot).pass ^ self.rests[slot as usize].older;
        std::hint::black_box(slots.iter().fold(0, touch));
    }

    /// The two buckets for a hash. The upper half of the hash tells entries within a bucket apart.
    fn homes(&self, hash: u64) -> [usize; 2] {
        let mask = self.buckets.len() - 1;
        let second = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        [hash as usize & mask, second as usize & mask]
    }

    pub(super) fn find(&self, epc: &Epc) -> Option<u32> {
        let hash = epc.hash64();
        self.homes(hash).into_iter().flat_map(|home| &self.buckets[home]).find_map(|&entry| {
            let slot = (entry as u32).wrapping_sub(1);
            (entry >> 32 == hash >> 32 && entry != 0 && self.epc(slot) == epc).then_some(slot)
        })
    }

    /// Where a tag that is not here yet may go.
    pub(super) fn room(&mut self, epc: &Epc) -> Room {
        let homes = self.homes(epc.hash64()).map(|home| &self.buckets[home]);
        if homes.iter().all(|bucket| !bucket.contains(&0)) {
            let rivals = homes.into_iter().flatten().map(|&entry| entry as u32 - 1);
            let oldest = rivals.filter(|&slot| !self.get(slot).placed).min_by_key(|&slot| self.get(slot).last_seen);
            return oldest.map_or(Room::Full, Room::InsteadOf);
        }
        if self.slots.len() < self.max { Room::Free } else { self.longest_unseen() }
    }

    /// The one to forget. Who was seen since it took its place in the order goes to its end first, so that a read need
    /// not touch its neighbours; after [`LOOKED_AT_MAX`] of these the longest unseen of them goes.
    fn longest_unseen(&mut self) -> Room {
        let mut seen: Option<u32> = None;
        for _ in 0..LOOKED_AT_MAX {
            let oldest = self.oldest;
            if oldest == NONE || !self.get(oldest).touched {
                break;
            }
            self.get_mut(oldest).touched = false;
            self.unlink(oldest);
            self.link_newest(oldest);
            let longest = seen.is_none_or(|seen| self.get(oldest).last_seen < self.get(seen).last_seen);
            seen = if longest { Some(oldest) } else { seen };
        }
        match self.oldest {
            NONE => Room::Full,
            oldest if !self.get(oldest).touched => Room::InsteadOf(oldest),
            oldest => Room::InsteadOf(seen.unwrap_or(oldest)),
        }
    }

    /// Puts a new tag where [`room`](Self::room) said: at the end, or in the place of `victim`.
    pub(super) fn put(&mut self, epc: Epc, victim: Option<u32>) -> u32 {
        let mut tag = Tag::NEW;
        let rest = Rest { belief: Belief::UNKNOWN, older: NONE, newer: NONE };
        let slot = match victim {
            Some(slot) => {
                self.unlink(slot);
                self.unindex(slot);
                // Antennas that have this record on their lists find the new tag there: harmless, and the lists stay
                // bounded.
                for (new, old) in tag.pending.iter_mut().zip(&self.get(slot).pending) {
                    if old.listed {
                        *new = Pending { point: old.point, listed: true, ..Pending::UNUSED };
                    }
                }
                let at = slot as usize;
                (self.keys[at], self.slots[at], self.rests[at]) = (Key(epc), tag, rest);
                slot
            }
            None => {
                if self.slots.len() == self.slots.capacity() {
                    // By a sixteenth: of a million records few lie idle.
                    let more = (self.slots.len() / 16).max(1024).min(self.max - self.slots.len());
                    self.keys.reserve_exact(more);
                    self.slots.reserve_exact(more);
                    self.rests.reserve_exact(more);
                }
                self.keys.push(Key(epc));
                self.slots.push(tag);
                self.rests.push(rest);
                self.slots.len() as u32 - 1
            }
        };
        self.index(slot);
        self.link_newest(slot);
        slot
    }

    /// The tag was seen: it is not the next to be forgotten.
    pub(super) fn touch(&mut self, slot: u32) {
        self.get_mut(slot).touched = true;
    }

    /// Keeps the tag from being forgotten, or lets it go.
    pub(super) fn set_placed(&mut self, slot: u32, placed: bool) {
        if self.get(slot).placed != placed {
            if placed {
                self.unlink(slot);
            } else {
                self.link_newest(slot);
            }
            self.get_mut(slot).placed = placed;
        }
    }

    fn index(&mut self, slot: u32) {
        let hash = self.epc(slot).hash64();
        // The first home while it has room: so almost every look-up ends there.
        for home in self.homes(hash) {
            if let Some(entry) = self.buckets[home].iter_mut().find(|entry| **entry == 0) {
                *entry = (hash >> 32) << 32 | u64::from(slot + 1);
                return;
            }
        }
    }

    fn unindex(&mut self, slot: u32) {
        for home in self.homes(self.epc(slot).hash64()) {
            for entry in &mut self.buckets[home] {
                if *entry as u32 == slot + 1 {
                    *entry = 0;
                }
            }
        }
    }

    fn rest(&mut self, slot: u32) -> &mut Rest {
        &mut self.rests[slot as usize]
    }

    fn link_newest(&mut self, slot: u32) {
        let newest = std::mem::replace(&mut self.newest, slot);
        (self.rest(slot).older, self.rest(slot).newer) = (newest, NONE);
        match newest {
            NONE => self.oldest = slot,
            newest => self.rest(newest).newer = slot,
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Rest { older, newer, .. } = *self.rest(slot);
        match older {
            NONE => self.oldest = newer,
            older => self.rest(older).newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.rest(newer).older = older,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epc(n: u32) -> Epc {
        Epc::new(&n.to_be_bytes()).expect("fits")
    }

    /// Admits `n` as presence does; false if there was no room.
    fn admit(tags: &mut Tags, n: u32) -> bool {
        let victim = match tags.room(&epc(n)) {
            Room::Free => None,
            Room::InsteadOf(victim) => Some(victim),
            Room::Full => return false,
        };
        let slot = tags.put(epc(n), victim);
        tags.get_mut(slot).last_seen = Timestamp::from_micros(i64::from(n));
        true
    }

    #[test]
    fn a_read_touches_one_line_and_the_record_beside_the_epc_has_at_most_160_octets() {
        assert_eq!((size_of::<Tag>(), size_of::<Key>()), (64, 64));
        assert!(size_of::<Tag>() + size_of::<Rest>() <= 150);
    }

    #[test]
    fn the_longest_unseen_is_forgotten_and_a_placed_one_never() {
        let mut tags = Tags::new(3);
        assert!((1..=3).all(|n| admit(&mut tags, n)));
        tags.touch(0);
        assert!(admit(&mut tags, 4), "2 is now the oldest");
        assert_eq!([1, 2, 3, 4].map(|n| tags.find(&epc(n)).is_some()), [true, false, true, true]);
        (0..3).for_each(|slot| tags.set_placed(slot, true));
        assert!(!admit(&mut tags, 5));
        tags.set_placed(2, false);
        assert!(admit(&mut tags, 5));
        assert_eq!([1, 3, 4, 5].map(|n| tags.find(&epc(n)).is_some()), [true, false, true, true]);
    }

    #[test]
    fn a_flood_finds_all_that_it_should_and_stays_bounded() {
        let mut tags = Tags::new(1000);
        for n in 0..20_000 {
            assert!(admit(&mut tags, n));
            assert!(tags.len() <= 1000);
            assert!(tags.find(&epc(n)).is_some());
        }
        assert!((19_000..20_000).all(|n| tags.find(&epc(n)).is_some()));
        assert!((0..19_000).all(|n| tags.find(&epc(n)).is_none()));
        let entries = tags.buckets.iter().flatten().filter(|&&entry| entry != 0).count();
        assert_eq!(entries, 1000, "what is forgotten leaves the index");
    }

    #[test]
    fn full_buckets_forget_their_own_oldest() {
        let mut tags = Tags::new(64);
        let home = |tags: &Tags, n: u32| tags.homes(epc(n).hash64());
        let target = home(&tags, 0);
        let crowd: Vec<u32> = (0..1_000_000).filter(|&n| home(&tags, n) == target).take(40).collect();
        assert_eq!(crowd.len(), 40, "collisions are easy to find");
        assert!(crowd.iter().all(|&n| admit(&mut tags, n)));
        assert!(tags.len() <= 2 * BUCKET);
        assert!(crowd.iter().rev().take(8).all(|&n| tags.find(&epc(n)).is_some()));
        assert!(admit(&mut tags, 2_000_000), "others find room");
    }
}
