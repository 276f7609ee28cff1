//! One record of the log: its length twice, once inverted; an [`Entry`] in postcard; CRC-32, least octet first; ones up
//! to the flash's next word.
//!
//! Programming only clears bits, so a first word that was cut short can't have two lengths that agree: an agreeing one
//! is whole. The sum mends any single bit that has flipped since; two or three it only finds, as a CRC-32 does over
//! this length.

use heapless::Vec;
use serde::{Deserialize, Serialize};
use stowage_base::Intent;

/// Octets before and behind the entry.
const AROUND: usize = 6;

/// Most octets of a record, with room for a word of 8.
pub(super) const RECORD_LEN_MAX: usize = (u8::MAX as usize + AROUND).next_multiple_of(8);

/// Most octets of the record of an intent that the application makes: 32 each for worker, lot, serial, from and to, with
/// their lengths; 8 of time, 7 of GTIN, 5 of seq, 3 each of quantity and expiry (tested).
pub(super) const INTENT_RECORD_LEN_MAX: usize = 198 + AROUND;

pub(super) type Record = Vec<u8, RECORD_LEN_MAX>;

/// What is written down.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) enum Entry<'a> {
    Intent(&'a Intent),
    /// The edge has everything up to this seq.
    Released(u32),
}

/// [`Entry`] as it is read.
#[allow(clippy::large_enum_variant, reason = "without a heap nothing can be boxed")]
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Read {
    Intent(Intent),
    Released(u32),
}

/// What lies at some place of the log.
#[allow(clippy::large_enum_variant, reason = "without a heap nothing can be boxed")]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing was ever written here.
    Blank,
    /// A record of so many octets.
    Whole(Read, usize),
    /// A record of so many octets whose content is lost.
    Spoilt(usize),
    /// What was written here was cut short in its first word: nothing was written behind it.
    Torn,
}

/// The record of `entry` for a flash with this word; `None` if it is too long, as no intent of the application is.
pub(super) fn encode(entry: &Entry<'_>, word: usize) -> Option<Record> {
    let mut record = Record::new();
    record.resize(RECORD_LEN_MAX, u8::MAX).ok()?;
    let len = postcard::to_slice(entry, record.get_mut(2..2 + usize::from(u8::MAX))?).ok()?.len();
    record[0] = len as u8;
    record[1] = !len as u8;
    let sum = crc(&record[..2 + len]).to_le_bytes();
    record[2 + len..len + AROUND].copy_from_slice(&sum);
    record.truncate((len + AROUND).next_multiple_of(word));
    Some(record)
}

/// What is at the front of `octets`, which go on to the sector's end or for [`RECORD_LEN_MAX`]. A single flipped bit is
/// mended in them.
pub(super) fn decode(octets: &mut [u8], word: usize) -> Found {
    let Some(&[len, inverse]) = octets.first_chunk() else { return Found::Blank };
    if len == u8::MAX && inverse == u8::MAX {
        return Found::Blank;
    }
    // A flip in either length leaves the other: the sum says which.
    for candidate in [len, !inverse] {
        let end = usize::from(candidate) + AROUND;
        let Some(record) = octets.get_mut(..end) else { continue };
        [record[0], record[1]] = [candidate, !candidate];
        let whole = if len == !inverse { mend(record) && record[0] == len } else { sum_holds(record) };
        let entry = record.get(2..end - 4).filter(|_| whole);
        if let Some(read) = entry.and_then(|entry| postcard::from_bytes(entry).ok()) {
            return Found::Whole(read, end.next_multiple_of(word));
        }
    }
    if len == !inverse { Found::Spoilt((usize::from(len) + AROUND).next_multiple_of(word)) } else { Found::Torn }
}

/// Whether the CRC-32 in the last four octets is that of the others.
fn sum_holds(record: &[u8]) -> bool {
    record.split_last_chunk().is_some_and(|(content, sum)| crc(content).to_le_bytes() == *sum)
}

/// As [`sum_holds`], once a single bit that has flipped is set right.
pub(super) fn mend(record: &mut [u8]) -> bool {
    let Some((content, sum)) = record.split_last_chunk_mut() else { return false };
    let wrong = crc(content) ^ u32::from_le_bytes(*sum);
    if wrong == 0 || wrong.is_power_of_two() {
        return true; // nothing, or the sum's own bit
    }
    // What the last bit of the content changes in the sum, then the one before it, and so on.
    let mut effect = POLYNOMIAL;
    for octet in content.iter_mut().rev() {
        for bit in (0..8).rev() {
            if effect == wrong {
                *octet ^= 1 << bit;
                return true;
            }
            effect = effect >> 1 ^ if effect & 1 == 1 { POLYNOMIAL } else { 0 };
        }
    }
    false
}

const POLYNOMIAL: u32 = 0xEDB8_8320;

/// The effect of four bits at once.
const NIBBLES: [u32; 16] = {
    let mut table = [0; 16];
    let mut nibble = 0;
    while nibble < 16 {
        let (mut crc, mut bit) = (nibble as u32, 0);
        while bit < 4 {
            crc = crc >> 1 ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
            bit += 1;
        }
        table[nibble] = crc;
        nibble += 1;
    }
    table
};

/// CRC-32 of IEEE 802.3 (reflected, initially and finally inverted).
pub(crate) fn crc(octets: &[u8]) -> u32 {
    let step = |crc: u32, nibble: u32| crc >> 4 ^ NIBBLES[((crc ^ nibble) & 15) as usize];
    !octets.iter().map(|octet| u32::from(*octet)).fold(!0, |crc, octet| step(step(crc, octet), octet >> 4))
}
