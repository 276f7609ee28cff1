//! The location rule of EdgeX's LLRP inventory service, written anew from its description, to be measured against.
//!
//! A tag's location is an antenna. For each antenna the last 20 signal strengths are kept, whatever their age. Another
//! antenna takes over with at least two of them whose mean beats the present one's by an offset, which falls with the
//! time for which the present one was silent.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use stowage_base::{Epc, Timestamp};

const RING: usize = 20;
const THRESHOLD_DB: f32 = 6.0;
const SLOPE_DB_PER_MS: f32 = -0.008;
const HOLD_MS: f32 = 500.0;

/// All tags.
#[derive(Debug, Default)]
pub(super) struct EdgexRule {
    tags: HashMap<Epc, Tag, BuildHasherDefault<Mixed>>,
}

#[derive(Debug, Default)]
struct Tag {
    location: Option<usize>,
    antennas: Vec<Heard>,
}

#[derive(Debug)]
struct Heard {
    antenna: u16,
    last: Timestamp,
    ring: [i16; RING],
    n: usize,
    sum: i32,
}

impl Heard {
    fn push(&mut self, rssi_cdbm: i16, at: Timestamp) {
        let old = std::mem::replace(&mut self.ring[self.n % RING], rssi_cdbm);
        self.sum += i32::from(rssi_cdbm) - if self.n < RING { 0 } else { i32::from(old) };
        self.n += 1;
        self.last = at;
    }

    fn mean_db(&self) -> f32 {
        self.sum as f32 / self.n.min(RING) as f32 / 100.0
    }
}

impl EdgexRule {
    /// A tag was read; returns whether that moved it.
    pub(super) fn read(&mut self, epc: &Epc, antenna: u16, rssi_cdbm: i16, at: Timestamp) -> bool {
        let tag = self.tags.entry(*epc).or_default();
        let heard = match tag.antennas.iter().position(|heard| heard.antenna == antenna) {
            Some(heard) => heard,
            None => {
                tag.antennas.push(Heard { antenna, last: at, ring: [0; RING], n: 0, sum: 0 });
                tag.antennas.len() - 1
            }
        };
        tag.antennas[heard].push(rssi_cdbm, at);
        let Some(location) = tag.location else {
            tag.location = Some(heard);
            return true;
        };
        if location == heard || tag.antennas[heard].n < 2 {
            return false;
        }
        let present = &tag.antennas[location];
        let silent_ms = at.since(present.last).millis() as f32;
        let offset = (SLOPE_DB_PER_MS * (silent_ms - HOLD_MS) + THRESHOLD_DB).min(THRESHOLD_DB);
        let moves = tag.antennas[heard].mean_db() > present.mean_db() + offset;
        if moves {
            tag.location = Some(heard);
        }
        moves
    }
}

/// The EPC's own hash, as presence uses it: the index shall not decide the race.
#[derive(Debug, Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn write(&mut self, octets: &[u8]) {
        for chunk in octets.chunks(8) {
            let word = chunk.iter().fold(0, |word, octet| word << 8 | u64::from(*octet));
            self.write_u64(word);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_present_antenna_loses_eight_db_for_each_silent_second_after_the_hold() {
        let epc = Epc::new(&[1; 12]).expect("fits");
        let ms = |ms: i64| Timestamp::from_micros(ms * 1000);
        let mut rule = EdgexRule::default();
        assert!(rule.read(&epc, 1, -5000, ms(0)), "the first read places it");
        assert!(!rule.read(&epc, 2, -4300, ms(100)), "one read of the other is too few");
        assert!(rule.read(&epc, 2, -4300, ms(200)), "7 dB above, two reads");
        assert!(!rule.read(&epc, 1, -5000, ms(300)));
        assert!(!rule.read(&epc, 1, -5000, ms(1_800)), "7 dB below: the offset is 6 − 8.8 dB after 1.6 s");
        assert!(rule.read(&epc, 1, -5000, ms(2_400)), "after 2.2 s it is −7.6 dB");
    }
}
