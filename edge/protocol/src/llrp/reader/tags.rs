//! The reports that a reader gathers: one for each tag, antenna and AISpec until it is sent (LLRP 1.0.1 §14.2.3.1).

use super::access::Outcome;
use super::config::Profile;
use super::rospec::{Report, Rospec};
use crate::llrp::{IMPINJ, kind};
use std::collections::BTreeMap;
use stowage_base::{Duration, Epc, TagRead, Timestamp};

/// Most tags that are kept while nobody takes them.
const TAGS_MAX: usize = 10_000;

/// Most tags in a message whose ROReportSpec sets no limit.
const MESSAGE_TAGS_MAX: usize = 200;

/// How long a channel is kept by a reader that hops.
const HOP: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
pub(super) struct Tags {
    /// In the order in which they were first heard.
    entries: Vec<Entry>,
    places: BTreeMap<(u32, usize, u16, Epc), usize>,
    /// Some were lost, and the client has been told.
    pub(super) overflowed: bool,
}

#[derive(Debug)]
struct Entry {
    epc: Epc,
    antenna: u16,
    rospec: u32,
    /// From 1.
    spec: u16,
    parameters: u16,
    rule: Report,
    first: Timestamp,
    /// The strongest, or last, of its replies.
    last: TagRead,
    /// The AccessSpec that worked on it, and the results; 0 and none if none did.
    access: (u32, Vec<u8>),
}

impl Tags {
    /// Takes a reply. Returns whether there was room for it.
    pub(super) fn heard(&mut self, read: &TagRead, rospec: &Rospec, spec: usize, antenna: u16) -> bool {
        let key = (rospec.id, spec, antenna, read.epc);
        if let Some(entry) = self.places.get(&key).and_then(|place| self.entries.get_mut(*place)) {
            let rssi_cdbm = entry.last.rssi_cdbm.max(read.rssi_cdbm);
            let count = entry.last.count.saturating_add(read.count.max(1));
            entry.last = TagRead { rssi_cdbm, count, ..*read };
            return true;
        }
        if self.entries.len() >= TAGS_MAX {
            return false;
        }
        self.places.insert(key, self.entries.len());
        self.entries.push(Entry {
            epc: read.epc,
            antenna,
            rospec: rospec.id,
            spec: spec as u16 + 1,
            parameters: rospec.specs[spec].parameters,
            rule: rospec.report,
            first: read.at,
            last: TagRead { count: read.count.max(1), ..*read },
            access: (0, Vec::new()),
        });
        true
    }

    /// Takes what an AccessSpec did with a tag that was read: a report of its own. Returns whether there was room.
    pub(super) fn worked(&mut self, read: &TagRead, rospec: &Rospec, spec: usize, outcome: Outcome) -> bool {
        if self.entries.len() >= TAGS_MAX {
            return false;
        }
        self.entries.push(Entry {
            epc: read.epc,
            antenna: read.antenna,
            rospec: rospec.id,
            spec: spec as u16 + 1,
            parameters: rospec.specs[spec].parameters,
            rule: rospec.report,
            first: read.at,
            last: TagRead { count: 1, ..*read },
            access: (outcome.spec, outcome.results),
        });
        true
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes all of them as the RO_ACCESS_REPORTs that they fill.
    pub(super) fn take(
        &mut self,
        profile: &Profile,
        version: u8,
        clock_offset: Duration,
        mut send: impl FnMut(&mut Vec<u8>),
    ) {
        self.places.clear();
        self.overflowed = false;
        let mut message = Vec::new();
        let mut tags = 0;
        for entry in self.entries.drain(..) {
            if message.is_empty() {
                message.extend((u16::from(version) << 10 | kind::RO_ACCESS_REPORT).to_be_bytes());
                // Length and id, when they are known.
                message.extend([0; 8]);
            }
            entry.encode(profile, clock_offset, &mut message);
            tags += 1;
            if tags >= if entry.rule.n == 0 { MESSAGE_TAGS_MAX } else { entry.rule.n } {
                send(&mut message);
                message.clear();
                tags = 0;
            }
        }
        if !message.is_empty() {
            send(&mut message);
        }
    }
}

impl Entry {
    /// Appends it as a TagReportData. By hand, not through a tree: a simulated site has many readers.
    fn encode(&self, profile: &Profile, clock_offset: Duration, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend([0, 240, 0, 0]);
        let epc = self.epc.octets();
        if epc.len() == 12 {
            out.push(0x80 | 13);
        } else {
            out.extend([0, 241]);
            out.extend((6 + epc.len() as u16).to_be_bytes());
            out.extend((8 * epc.len() as u16).to_be_bytes());
        }
        out.extend(epc);
        let tells = |field: u16| self.rule.contents >> (15 - field) & 1 == 1;
        let mut tv = |field: u16, kind: u8, value: &[u8]| {
            if tells(field) {
                out.push(0x80 | kind);
                out.extend(value);
            }
        };
        let stamp = |at: Timestamp| (at + clock_offset).micros().max(0).to_be_bytes();
        let channel = self.channel(profile);
        tv(0, 9, &self.rospec.to_be_bytes());
        tv(1, 14, &self.spec.to_be_bytes());
        tv(2, 10, &self.parameters.to_be_bytes());
        tv(3, 1, &self.antenna.to_be_bytes());
        let rssi = i32::from(self.last.rssi_cdbm);
        tv(5, 6, &[(rssi + 50).div_euclid(100).clamp(-128, 127) as u8]);
        tv(4, 7, &channel.to_be_bytes());
        tv(6, 2, &stamp(self.first));
        tv(7, 4, &stamp(self.last.at));
        tv(8, 8, &self.last.count.to_be_bytes());
        let pc = ((epc.len() as u16).div_ceil(2) << 11).to_be_bytes();
        if self.rule.pc {
            out.push(0x80 | 12);
            out.extend(pc);
        }
        if self.rule.crc {
            out.push(0x80 | 11);
            out.extend(crc(pc.iter().chain(epc)).to_be_bytes());
        }
        if tells(9) {
            out.push(0x80 | 16);
            out.extend(self.access.0.to_be_bytes());
        }
        out.extend(&self.access.1);
        let phase = self.last.phase.filter(|_| self.rule.phase).map(|phase| (56_u32, phase));
        let fine = self.rule.fine_rssi.then_some((57, self.last.rssi_cdbm as u16));
        for (subtype, value) in phase.into_iter().chain(fine) {
            out.extend([0x03, 0xFF, 0, 14]);
            out.extend(IMPINJ.to_be_bytes());
            out.extend(subtype.to_be_bytes());
            out.extend(value.to_be_bytes());
        }
        let len = (out.len() - start) as u16;
        out[start + 2..start + 4].copy_from_slice(&len.to_be_bytes());
    }

    /// The place in the hop table, from 1, of the frequency that the air tells; else where the reader is in its hops.
    fn channel(&self, profile: &Profile) -> u16 {
        let told = profile.channels_khz.iter().position(|khz| Some(*khz) == self.last.frequency_khz);
        let hops = profile.channels_khz.len().max(1) as i64;
        told.map_or_else(|| (self.last.at.micros() / HOP.micros()).rem_euclid(hops), |place| place as i64) as u16 + 1
    }
}

/// CRC-16 of a tag's PC and EPC (Gen2 2.0.1 §6.3.2.1.2.1).
fn crc<'a>(octets: impl Iterator<Item = &'a u8>) -> u16 {
    !octets.fold(0xFFFF, |crc, octet| {
        (0..8).fold(crc ^ u16::from(*octet) << 8, |crc, _| crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_gen2s() {
        assert_eq!(crc(b"123456789".iter()), !0x29B1, "CRC-16/GENIBUS");
        assert_eq!(!0x29B1_u16, 0xD64E);
    }
}
