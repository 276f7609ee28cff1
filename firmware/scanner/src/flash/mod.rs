//! The journal of intents on NOR flash: a log in a ring of sectors.
//!
//! - A sector in use begins with a header: a mark that its erasure was finished, its number, the seq up to which all was
//!   released as it was opened, CRC-32. Numbers rise by one; number n lies in sector n mod `SECTORS`, so the sectors are
//!   erased in turn and wear alike. Behind it lie records ([`record`]), one after the other, each in one sector.
//! - An append programs its record's words and nothing else, or a header before them. It never erases: that is
//!   [`tidy`](Store::tidy)'s, ahead of need.
//! - A release frees sectors whose last intent it covers, but never the sector of the newest intent: its seq outlives
//!   the release. It is written down where that takes no room from intents; lost with the power it is harmless.
//! - A sector in which a write was cut short is closed: nothing is ever written behind a torn word.

mod boots;
mod record;
#[cfg(test)]
mod tests;

use crate::store::{Store, StoreError};
use embedded_storage::nor_flash::{MultiwriteNorFlash, NorFlashError, NorFlashErrorKind};
use record::{Entry, Found, INTENT_RECORD_LEN_MAX, RECORD_LEN_MAX, Read, decode, encode, mend};
use stowage_base::Intent;

pub use boots::count_boot;
pub(crate) use record::crc;

/// Octets of a sector's header.
const HEADER: usize = 16;

/// The header's first word once the sector is erased. Far from what a cut erasure leaves of zeros.
const ERASED: [u8; 4] = *b"Swg1";

/// Sectors that are kept erased ahead: the intents of five hands and more.
const AHEAD: u32 = 2;

/// Sectors that the promise of [`capacity`](Store::capacity) does without: the oldest, of which all but one intent may
/// be released; the newest; and four that cuts have closed early.
const SPARE: usize = 6;

/// Where a record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// The sector's number.
    sector: u32,
    /// From the sector's begin.
    offset: usize,
}

/// Intents before `place` have seqs below `seq`, those behind it have not.
#[derive(Debug, Clone, Copy)]
struct Mark {
    seq: u32,
    place: Place,
}

/// The store on a flash of `SECTORS` sectors, all its own. See the module.
///
/// A read or a program of a single word may be cut anywhere. The flash must bear zeros programmed over a word.
#[derive(Debug)]
pub struct FlashStore<F, const SECTORS: usize> {
    flash: F,
    /// In use are the sectors with the numbers `tail..next`.
    tail: u32,
    next: u32,
    /// Sectors from `next` on that are erased and marked so.
    erased: u32,
    /// Where in sector `next - 1` the next record goes, if there is room.
    end: usize,
    /// Intents in that sector.
    intents: usize,
    /// The highest seq in each sector in use; 0: none.
    last: [u32; SECTORS],
    /// The number of the sector with the newest intent.
    newest: u32,
    last_seq: u32,
    released: u32,
    kept: u32,
    /// The oldest intent that is kept.
    front: Mark,
    /// Where the last one looked for was found.
    cursor: Mark,
    spoilt: u32,
}

impl<F: MultiwriteNorFlash, const SECTORS: usize> FlashStore<F, SECTORS> {
    const SECTOR: usize = F::ERASE_SIZE;
    const WORD: usize = F::WRITE_SIZE;
    const INTENT: usize = INTENT_RECORD_LEN_MAX.next_multiple_of(F::WRITE_SIZE);
    /// Intents that a sector surely has room for.
    const PER_SECTOR: usize = (F::ERASE_SIZE - HEADER) / Self::INTENT;
    const FITS: () = {
        assert!(SECTORS > SPARE && F::ERASE_SIZE >= HEADER + RECORD_LEN_MAX, "more or larger sectors are needed");
        assert!(4 % F::WRITE_SIZE == 0 && F::WRITE_SIZE.is_multiple_of(F::READ_SIZE), "words are of 1, 2 or 4 octets");
    };

    /// The store as its flash has it, whatever state a cut of power has left it in; a new one on a flash that has none.
    /// May erase a sector.
    ///
    /// # Errors
    /// The flash has another size, or can't be read.
    pub fn mount(flash: F) -> Result<Self, StoreError> {
        let () = Self::FITS;
        if flash.capacity() != SECTORS * Self::SECTOR {
            return Err(StoreError::Medium { code: NorFlashErrorKind::OutOfBounds as u32 });
        }
        let place = Place { sector: 0, offset: HEADER };
        let mark = Mark { seq: 0, place };
        let mut store = Self {
            flash,
            tail: SECTORS as u32,
            next: SECTORS as u32,
            erased: 0,
            end: Self::SECTOR,
            intents: 0,
            last: [0; SECTORS],
            newest: SECTORS as u32,
            last_seq: 0,
            released: 0,
            kept: 0,
            front: mark,
            cursor: mark,
            spoilt: 0,
        };
        store.find_sectors()?;
        store.find_intents()?;
        store.free();
        store.find_erased()?;
        if store.erased == 0 {
            store.tidy(); // the first scan finds room
        }
        Ok(store)
    }

    /// Records that the mount found unreadable: appends that a cut took, or more than a flipped bit.
    pub fn spoilt(&self) -> u32 {
        self.spoilt
    }

    /// Switches it off: the flash is what remains.
    pub fn into_flash(self) -> F {
        self.flash
    }

    fn find_sectors(&mut self) -> Result<(), StoreError> {
        let (mut tail, mut next) = (u32::MAX, 0);
        for index in 0..SECTORS as u32 {
            let Some((number, released)) = self.header(index)? else { continue };
            self.released = self.released.max(released);
            (tail, next) = (tail.min(number), next.max(number + 1));
        }
        if next > 0 {
            // A sector between two good ones is in use, whatever has become of its header.
            (self.tail, self.next, self.newest) = (tail.max(next - SECTORS as u32), next, tail);
        }
        Ok(())
    }

    /// Number and released seq, if the sector at this index is in use.
    fn header(&mut self, index: u32) -> Result<Option<(u32, u32)>, StoreError> {
        let mut header = [0; HEADER];
        self.read(Place { sector: index, offset: 0 }, &mut header)?;
        let whole = mend(&mut header);
        let [a, b, c, d, n0, n1, n2, n3, r0, r1, r2, r3, ..] = header;
        let number = u32::from_le_bytes([n0, n1, n2, n3]);
        let good = whole && [a, b, c, d] == ERASED && (SECTORS as u32..u32::MAX).contains(&number);
        let in_turn = number % SECTORS as u32 == index;
        Ok((good && in_turn).then(|| (number, u32::from_le_bytes([r0, r1, r2, r3]))))
    }

    fn find_intents(&mut self) -> Result<(), StoreError> {
        for sector in self.tail..self.next {
            (self.end, self.intents) = (HEADER, 0);
            let mut torn = false;
            loop {
                let place = Place { sector, offset: self.end };
                match self.found(place)? {
                    Found::Blank => break,
                    Found::Whole(read, len) => {
                        self.end += len;
                        match read {
                            Read::Intent(intent) if intent.seq > self.last_seq => {
                                (self.last_seq, self.newest) = (intent.seq, sector);
                                self.last[index(sector, SECTORS)] = intent.seq;
                                self.kept += 1;
                                self.intents += 1;
                            }
                            // Nothing of ours writes it; to count it would be worse than to pass it over.
                            Read::Intent(_) => self.spoilt += 1,
                            Read::Released(seq) => self.released = self.released.max(seq),
                        }
                    }
                    Found::Spoilt(len) => {
                        torn = true;
                        self.spoilt += 1;
                        self.end += len;
                    }
                    Found::Torn => {
                        torn = true;
                        break;
                    }
                }
            }
            let end = Place { sector, offset: self.end };
            if torn || !self.blank(end)? {
                self.end = Self::SECTOR;
            }
        }
        let released = self.released.min(self.last_seq);
        self.front = Mark { seq: 0, place: Place { sector: self.tail, offset: HEADER } };
        self.cursor = self.front;
        self.released = 0;
        self.advance(released);
        Ok(())
    }

    fn find_erased(&mut self) -> Result<(), StoreError> {
        while self.erased < AHEAD && self.next + self.erased < self.tail + SECTORS as u32 {
            let (sector, mut mark) = (self.next + self.erased, [0; ERASED.len()]);
            self.read(Place { sector, offset: 0 }, &mut mark)?;
            if mark != ERASED || !self.blank(Place { sector, offset: ERASED.len() })? {
                break;
            }
            self.erased += 1;
        }
        Ok(())
    }

    /// Everything up to `seq` leaves.
    fn advance(&mut self, seq: u32) {
        let mut place = self.front.place;
        while self.kept > 0 {
            let Some((intent, at, behind)) = self.intent_at_or_after(place) else {
                self.kept = 0; // those that are missing were lost since the mount
                break;
            };
            if intent.seq > seq {
                place = at;
                break;
            }
            place = behind;
            self.kept -= 1;
        }
        self.released = self.released.max(seq);
        self.front = Mark { seq: self.released + 1, place };
    }

    /// Sectors with nothing in them that is kept may be erased; not that of the newest intent.
    fn free(&mut self) {
        while self.tail < self.newest && self.last[index(self.tail, SECTORS)] <= self.released {
            self.tail += 1;
        }
    }

    /// Writes down how far all is released, if the sector has room for as many intents as any with it.
    fn write_released(&mut self) {
        let Some(record) = encode(&Entry::Released(self.released), Self::WORD) else { return };
        let Some(room) = (Self::SECTOR - self.end).checked_sub(record.len()) else { return };
        if self.intents + room / Self::INTENT >= Self::PER_SECTOR {
            let _ = self.put(&record); // lost, it is asked for again
        }
    }

    /// Appends a record to the log; says where it is.
    fn put(&mut self, record: &[u8]) -> Result<Place, StoreError> {
        if self.end + record.len() > Self::SECTOR {
            self.open()?;
        }
        let place = Place { sector: self.next - 1, offset: self.end };
        let address = self.address(place);
        match self.flash.write(address, record) {
            Ok(()) => {
                self.end += record.len();
                Ok(place)
            }
            Err(error) => {
                // It may be whole all the same: it must not be found. If that can't be written either, the power is
                // about to go, or the flash is beyond help.
                let _ = self.flash.write(address, &[0; 4][..Self::WORD]);
                self.end = Self::SECTOR;
                Err(medium(&error))
            }
        }
    }

    /// Takes the next sector into use.
    fn open(&mut self) -> Result<(), StoreError> {
        if self.erased == 0 {
            return Err(StoreError::Full { capacity: self.capacity() });
        }
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&ERASED);
        header[4..8].copy_from_slice(&self.next.to_le_bytes());
        header[8..12].copy_from_slice(&self.released.to_le_bytes());
        let sum = crc(&header[..12]);
        header[12..].copy_from_slice(&sum.to_le_bytes());
        let address = self.address(Place { sector: self.next, offset: ERASED.len() });
        if let Err(error) = self.flash.write(address, &header[ERASED.len()..]) {
            self.erased = 0; // to be erased once more
            return Err(medium(&error));
        }
        self.last[index(self.next, SECTORS)] = 0;
        (self.next, self.erased) = (self.next + 1, self.erased - 1);
        (self.end, self.intents) = (HEADER, 0);
        Ok(())
    }

    /// Erases a free sector. Zeros over its mark first: half erased it must not be taken for one in use.
    fn erase(&mut self, sector: u32) -> Result<(), StoreError> {
        let from = self.address(Place { sector, offset: 0 });
        let to = from + Self::SECTOR as u32;
        self.flash.write(from, &[0; ERASED.len()]).map_err(|error| medium(&error))?;
        self.flash.erase(from, to).map_err(|error| medium(&error))?;
        self.flash.write(from, &ERASED).map_err(|error| medium(&error))
    }

    /// The first intent here or later: itself, its place, and the place behind it.
    fn intent_at_or_after(&mut self, mut place: Place) -> Option<(Intent, Place, Place)> {
        while place.sector < self.next {
            let next = Place { sector: place.sector + 1, offset: HEADER };
            match self.found(place).ok()? {
                Found::Whole(read, len) => {
                    let behind = Place { offset: place.offset + len, ..place };
                    match read {
                        Read::Intent(intent) => return Some((intent, place, behind)),
                        Read::Released(_) => place = behind,
                    }
                }
                Found::Spoilt(len) => place.offset += len,
                Found::Blank | Found::Torn => place = next,
            }
        }
        None
    }

    /// Whether nothing was written from here to the sector's end.
    fn blank(&mut self, mut place: Place) -> Result<bool, StoreError> {
        let mut octets = [0; 64];
        while let Some(left @ 1..) = Self::SECTOR.checked_sub(place.offset) {
            let octets = &mut octets[..left.min(64)];
            self.read(place, octets)?;
            if octets.iter().any(|octet| *octet != u8::MAX) {
                return Ok(false);
            }
            place.offset += octets.len();
        }
        Ok(true)
    }

    fn found(&mut self, place: Place) -> Result<Found, StoreError> {
        let mut octets = [0; RECORD_LEN_MAX];
        let len = Self::SECTOR.saturating_sub(place.offset).min(RECORD_LEN_MAX);
        let octets = &mut octets[..len];
        self.read(place, octets)?;
        Ok(decode(octets, Self::WORD))
    }

    fn read(&mut self, place: Place, octets: &mut [u8]) -> Result<(), StoreError> {
        let address = self.address(place);
        self.flash.read(address, octets).map_err(|error| medium(&error))
    }

    fn address(&self, place: Place) -> u32 {
        (index(place.sector, SECTORS) * Self::SECTOR + place.offset) as u32
    }
}

impl<F: MultiwriteNorFlash, const SECTORS: usize> Store for FlashStore<F, SECTORS> {
    fn capacity(&self) -> u32 {
        ((SECTORS - SPARE) * Self::PER_SECTOR) as u32
    }

    fn len(&self) -> u32 {
        self.kept
    }

    fn last_seq(&self) -> u32 {
        self.last_seq
    }

    fn append(&mut self, intent: &Intent) -> Result<(), StoreError> {
        if intent.seq <= self.last_seq {
            return Err(StoreError::Order { found: intent.seq, last: self.last_seq });
        }
        let too_long = StoreError::Medium { code: NorFlashErrorKind::OutOfBounds as u32 };
        let record = encode(&Entry::Intent(intent), Self::WORD).ok_or(too_long)?;
        let place = self.put(&record)?;
        if self.kept == 0 {
            self.front = Mark { seq: self.released + 1, place };
        }
        (self.last_seq, self.newest) = (intent.seq, place.sector);
        self.last[index(place.sector, SECTORS)] = intent.seq;
        self.kept += 1;
        self.intents += 1;
        self.free();
        Ok(())
    }

    fn durable(&self) -> u32 {
        self.last_seq
    }

    fn intent_from(&mut self, seq: u32) -> Option<Intent> {
        let seq = seq.max(self.released + 1);
        let sector = (self.tail..self.next).find(|sector| self.last[index(*sector, SECTORS)] >= seq)?;
        let begin = Mark { seq: 0, place: Place { sector, offset: HEADER } };
        let usable = |mark: &Mark| mark.place.sector == sector && mark.seq <= seq;
        let start = [self.front, self.cursor].into_iter().filter(usable).max_by_key(|mark| mark.seq).unwrap_or(begin);
        let mut place = start.place;
        loop {
            let (intent, at, behind) = self.intent_at_or_after(place)?;
            if intent.seq >= seq {
                if at != self.front.place {
                    self.cursor = Mark { seq: intent.seq, place: at };
                }
                return Some(intent);
            }
            place = behind;
        }
    }

    fn release(&mut self, seq: u32) {
        let seq = seq.min(self.last_seq);
        if seq > self.released {
            self.advance(seq);
            self.free();
            self.write_released();
        }
    }

    fn tidy(&mut self) -> bool {
        let wanted = |store: &Self| store.erased < AHEAD && store.next + store.erased < store.tail + SECTORS as u32;
        if wanted(self) && self.erase(self.next + self.erased).is_ok() {
            self.erased += 1;
            return wanted(self);
        }
        false // what can't be erased now is tried again the next time
    }
}

const fn index(sector: u32, sectors: usize) -> usize {
    sector as usize % sectors
}

fn medium(error: &impl NorFlashError) -> StoreError {
    StoreError::Medium { code: error.kind() as u32 }
}
