//! Where things stand in the registers, and how they are written there.

use crate::modbus::pdu::READ_REGISTERS_MAX;
use crate::sorter::Run;
use serde::Deserialize;
use std::str;
use stowage_base::{CODE_LEN_MAX, Code};

/// First register of the status block: "S", layout 1.
pub const LAYOUT: u16 = 0x5301;

/// Registers of the status block before the chutes' bits.
pub const STATUS_HEAD: u16 = 12;

/// Registers of a slot before the code.
pub const SLOT_HEAD: u16 = 13;

/// Registers of the edge's block.
pub const EDGE_LEN: u16 = 5;

/// Registers of the command's block.
pub const COMMAND_LEN: u16 = 8;

/// The highest number that a chute may have: so the status block is read in one request.
pub const NUMBER_MAX: u16 = 16 * (READ_REGISTERS_MAX - STATUS_HEAD);

/// Kinds of events in the ring. Unknown ones are skipped and told.
pub mod kind {
    /// An item passed the scan point.
    pub const SCANNED: u16 = 1;
    /// A command was taken.
    pub const ACKNOWLEDGED: u16 = 2;
    /// A command was refused.
    pub const REFUSED: u16 = 3;
    /// An item's end: see [`crate::sorter::End::Diverted`].
    pub const DIVERTED: u16 = 10;
    /// An item's end: see [`crate::sorter::End::Missed`].
    pub const MISSED: u16 = 11;
    /// An item's end: see [`crate::sorter::End::Lost`].
    pub const LOST: u16 = 12;
    /// An item's end: see [`crate::sorter::End::Jammed`].
    pub const JAMMED: u16 = 13;
    /// An item's end: see [`crate::sorter::End::Full`].
    pub const FULL: u16 = 14;
    /// An item's end: see [`crate::sorter::End::Gap`].
    pub const GAP: u16 = 15;
    /// An item's end: see [`crate::sorter::End::Double`].
    pub const DOUBLE: u16 = 16;
}

/// Why a command is refused.
pub mod refusal {
    /// Its boot is not the PLC's.
    pub const BOOT: u16 = 1;
    /// The item or the command's deadline has passed.
    pub const LATE: u16 = 2;
    /// The chute is full.
    pub const FULL: u16 = 3;
    /// The item was commanded to another chute before.
    pub const OTHER: u16 = 4;
    /// There is no such chute.
    pub const CHUTE: u16 = 5;
    /// There is no such item.
    pub const ITEM: u16 = 6;

    /// The reason in words.
    pub(in crate::modbus_sorter) fn words(reason: u16) -> String {
        match reason {
            BOOT => "the sorter started anew",
            LATE => "the item has passed its decision point",
            FULL => "the chute is full",
            OTHER => "the item was commanded to another chute before",
            CHUTE => "there is no such chute",
            ITEM => "there is no such item",
            _ => return format!("the PLC gives reason {reason}"),
        }
        .to_owned()
    }
}

/// Which half comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Halves {
    /// The high one.
    #[default]
    HighFirst,
    /// The low one.
    LowFirst,
}

/// A chute and the PLC's number for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbered {
    /// Its code.
    pub code: Code,
    /// The PLC's number, from 1 to [`NUMBER_MAX`], each once.
    pub number: u16,
}

/// Where the blocks lie: register addresses from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Map {
    /// The status block.
    pub status: u16,
    /// The edge's block.
    pub edge: u16,
    /// The command's block.
    pub command: u16,
    /// The ring.
    pub ring: u16,
    /// Slots of the ring, 2 to 2048.
    pub slots: u16,
    /// Octets that a slot has for the code, even, 2 to 32.
    pub code_octets: u16,
    /// Which register of a long comes first.
    pub words: Halves,
    /// Which half of a register has the first of two letters.
    pub text: Halves,
}

/// A block that lies where it can't.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapFault {
    /// The block: status, edge, command or ring.
    pub block: &'static str,
    /// What is wrong, and the mend.
    pub what: String,
}

impl Map {
    /// Registers of one slot.
    pub const fn slot_len(&self) -> u16 {
        SLOT_HEAD + self.code_octets.div_ceil(2)
    }

    /// Registers of the status block where the highest chute number is `highest`.
    pub const fn status_len(highest: u16) -> u16 {
        STATUS_HEAD + highest.div_ceil(16)
    }

    /// The blocks by name, with their first register and their length, where the highest chute number is `highest`.
    fn blocks(&self, highest: u16) -> [(&'static str, u32, u32); 4] {
        let ring = u32::from(self.slots) * u32::from(self.slot_len());
        [
            ("status", self.status.into(), Self::status_len(highest).into()),
            ("edge", self.edge.into(), EDGE_LEN.into()),
            ("command", self.command.into(), COMMAND_LEN.into()),
            ("ring", self.ring.into(), ring),
        ]
    }

    /// Blocks that overlap or go beyond register 65535, where the highest chute number is `highest`.
    pub fn faults(&self, highest: u16) -> Vec<MapFault> {
        let blocks = self.blocks(highest);
        let mut faults = Vec::new();
        for (index, &(block, start, len)) in blocks.iter().enumerate() {
            let last = start + len - 1;
            if last > 0xFFFF {
                let mend = match 0x1_0000_u32.checked_sub(len) {
                    Some(most) => format!("give {most} or less"),
                    None => "give fewer slots".to_owned(),
                };
                let what =
                    format!("its {len} registers from {start} would end at {last}, the last there is is 65535: {mend}");
                faults.push(MapFault { block, what });
            }
            for &(other, from, count) in &blocks[..index] {
                if start < from + count && from < start + len {
                    let to = from + count - 1;
                    let what = format!(
                        "its registers {start} to {last} overlap those of {other}, {from} to {to}: give {} or more, or move {other}",
                        to + 1
                    );
                    faults.push(MapFault { block, what });
                }
            }
        }
        faults
    }

    /// The block and the offset in it of a register.
    pub(super) fn place(&self, highest: u16, address: u16) -> Option<(&'static str, u16)> {
        let address = u32::from(address);
        let block = self.blocks(highest).into_iter().find(|(_, start, len)| (*start..start + len).contains(&address));
        block.map(|(name, start, _)| (name, (address - start) as u16))
    }

    /// Where event `number` stands, and how many slots follow there up to the ring's end, itself included.
    pub(super) fn slot(&self, number: u32) -> (u16, u16) {
        let index = (number.wrapping_sub(1) % u32::from(self.slots)) as u16;
        // Within the registers that there are, as the map was checked.
        (self.ring.wrapping_add(index.wrapping_mul(self.slot_len())), self.slots - index)
    }

    fn long(&self, registers: [u16; 2]) -> u32 {
        let [a, b] = registers.map(u32::from);
        match self.words {
            Halves::HighFirst => a << 16 | b,
            Halves::LowFirst => b << 16 | a,
        }
    }

    fn put(&self, out: &mut Vec<u16>, long: u32) {
        let (high, low) = ((long >> 16) as u16, long as u16);
        out.extend(match self.words {
            Halves::HighFirst => [high, low],
            Halves::LowFirst => [low, high],
        });
    }

    fn octets(&self, register: u16) -> [u8; 2] {
        match self.text {
            Halves::HighFirst => register.to_be_bytes(),
            Halves::LowFirst => register.to_le_bytes(),
        }
    }

    fn register(&self, octets: [u8; 2]) -> u16 {
        match self.text {
            Halves::HighFirst => u16::from_be_bytes(octets),
            Halves::LowFirst => u16::from_le_bytes(octets),
        }
    }
}

/// The status block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) boot: u32,
    pub(super) clock_ms: u32,
    pub(super) heartbeat: u16,
    pub(super) run: Run,
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) taken: u16,
    /// The chutes' registers of bits.
    pub(super) full: Vec<u16>,
}

impl Status {
    /// Reads the block.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(map: &Map, registers: &[u16]) -> Result<Self, String> {
        let Some((&[layout, b0, b1, c0, c1, heartbeat, run, f0, f1, l0, l1, taken], full)) =
            registers.split_first_chunk::<12>()
        else {
            return Err(format!("{} registers", registers.len()));
        };
        if layout != LAYOUT {
            return Err(format!(
                "register {} holds {layout}, not {LAYOUT} as the layout wants: correct the map, or the PLC's program",
                map.status
            ));
        }
        let run = match run {
            0 => Run::Stopped,
            1 => Run::Running,
            2 => Run::Estop,
            other => return Err(format!("the belt's state is {other}, known are 0, 1 and 2")),
        };
        let [boot, clock_ms, first, last] = [[b0, b1], [c0, c1], [f0, f1], [l0, l1]].map(|pair| map.long(pair));
        if boot == 0 {
            return Err("boot is 0, the PLC counts its starts from 1".to_owned());
        }
        if last == u32::MAX {
            return Err("the ring's last event is 4294967295: its program must start anew before that".to_owned());
        }
        if first == 0 || first > last.saturating_add(1) || last - (first - 1) > u32::from(map.slots) {
            return Err(format!("the ring holds events {first} to {last}, which {} slots can't", map.slots));
        }
        Ok(Self { boot, clock_ms, heartbeat, run, first, last, taken, full: full.to_vec() })
    }

    /// Its registers.
    pub(super) fn write(&self, map: &Map) -> Vec<u16> {
        let mut out = vec![LAYOUT];
        map.put(&mut out, self.boot);
        map.put(&mut out, self.clock_ms);
        let run = match self.run {
            Run::Stopped => 0,
            Run::Running => 1,
            Run::Estop => 2,
        };
        out.extend([self.heartbeat, run]);
        map.put(&mut out, self.first);
        map.put(&mut out, self.last);
        out.push(self.taken);
        out.extend(&self.full);
        out
    }

    /// Whether chute `number` is full.
    pub(super) fn is_full(&self, number: u16) -> bool {
        let bit = number.saturating_sub(1);
        self.full.get(usize::from(bit / 16)).is_some_and(|bits| bits >> (bit % 16) & 1 == 1)
    }
}

/// One event of the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) number: u32,
    pub(super) boot: u32,
    pub(super) kind: u16,
    pub(super) item: u32,
    pub(super) chute: u16,
    pub(super) detail: u16,
    pub(super) at_ms: u32,
    pub(super) decide_in_ms: u16,
    /// What was read; the error says why it makes no sense.
    pub(super) code: Result<Option<Code>, String>,
}

impl Slot {
    /// Reads a slot; `None` if there are too few registers.
    pub(super) fn read(map: &Map, registers: &[u16]) -> Option<Self> {
        let (&[n0, n1, b0, b1, kind, i0, i1, chute, detail, a0, a1, decide_in_ms, length], text) =
            registers.split_first_chunk::<13>()?;
        let [number, boot, item, at_ms] = [[n0, n1], [b0, b1], [i0, i1], [a0, a1]].map(|pair| map.long(pair));
        let octets: Vec<u8> = text.iter().flat_map(|register| map.octets(*register)).collect();
        let code = octets.get(..usize::from(length)).ok_or_else(|| format!("a code of {length} octets has no room"));
        let code = code.and_then(|octets| match str::from_utf8(octets) {
            Ok("") => Ok(None),
            Ok(text) => stowage_base::code(text).map(Some).ok_or_else(|| format!("a code of {length} octets")),
            Err(_) => Err(format!("a code that is no UTF-8: {}", octets.escape_ascii())),
        });
        Some(Self { number, boot, kind, item, chute, detail, at_ms, decide_in_ms, code })
    }

    /// Its registers.
    pub(super) fn write(&self, map: &Map) -> Vec<u16> {
        let mut out = Vec::with_capacity(usize::from(map.slot_len()));
        map.put(&mut out, self.number);
        map.put(&mut out, self.boot);
        out.push(self.kind);
        map.put(&mut out, self.item);
        out.extend([self.chute, self.detail]);
        map.put(&mut out, self.at_ms);
        let code = self.code.as_ref().ok().and_then(Option::as_ref).map_or("", Code::as_str);
        let room = usize::from(map.code_octets).min(CODE_LEN_MAX);
        let code = &code.as_bytes()[..code.len().min(room)];
        out.extend([self.decide_in_ms, code.len() as u16]);
        out.extend(code.chunks(2).map(|pair| map.register([pair[0], pair.get(1).copied().unwrap_or(0)])));
        out.resize(usize::from(map.slot_len()), 0);
        out
    }
}

/// The edge's block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beat {
    pub(super) heartbeat: u16,
    pub(super) boot: u32,
    pub(super) through: u32,
}

impl Beat {
    pub(super) fn read(map: &Map, registers: &[u16]) -> Option<Self> {
        let &[heartbeat, b0, b1, t0, t1] = registers else { return None };
        Some(Self { heartbeat, boot: map.long([b0, b1]), through: map.long([t0, t1]) })
    }

    pub(super) fn write(&self, map: &Map) -> Vec<u16> {
        let mut out = vec![self.heartbeat];
        map.put(&mut out, self.boot);
        map.put(&mut out, self.through);
        out
    }
}

/// The command's block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) boot: u32,
    pub(super) item: u32,
    pub(super) chute: u16,
    pub(super) deadline_ms: u32,
    pub(super) number: u16,
}

impl Order {
    pub(super) fn read(map: &Map, registers: &[u16]) -> Option<Self> {
        let &[b0, b1, i0, i1, chute, d0, d1, number] = registers else { return None };
        let [boot, item, deadline_ms] = [[b0, b1], [i0, i1], [d0, d1]].map(|pair| map.long(pair));
        Some(Self { boot, item, chute, deadline_ms, number })
    }

    pub(super) fn write(&self, map: &Map) -> Vec<u16> {
        let mut out = Vec::with_capacity(usize::from(COMMAND_LEN));
        map.put(&mut out, self.boot);
        map.put(&mut out, self.item);
        out.push(self.chute);
        map.put(&mut out, self.deadline_ms);
        out.push(self.number);
        out
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) const MAP: Map = Map {
        status: 0,
        edge: 40,
        command: 50,
        ring: 100,
        slots: 8,
        code_octets: 32,
        words: Halves::HighFirst,
        text: Halves::HighFirst,
    };

    #[test]
    fn a_map_that_can_not_be_is_refused_with_the_mend() {
        assert_eq!(MAP.faults(4), []);
        let faults = Map { edge: 12, ring: 65_500, ..MAP }.faults(4);
        let told: Vec<_> = faults.iter().map(|fault| format!("{}: {}", fault.block, fault.what)).collect();
        assert_eq!(
            told,
            [
                "edge: its registers 12 to 16 overlap those of status, 0 to 12: give 13 or more, or move status",
                "ring: its 232 registers from 65500 would end at 65731, the last there is is 65535: give 65304 or less",
            ]
        );
        assert_eq!(Map { slots: 2_048, code_octets: 32, ring: 6_145, ..MAP }.faults(4).len(), 1);
        assert_eq!(Map { slots: 2_048, code_octets: 32, ring: 6_144, ..MAP }.faults(4), []);
        assert_eq!(Map { command: 43, ..MAP }.faults(4).len(), 1);
        assert_eq!(Map { edge: 13, ..MAP }.faults(17).len(), 1, "17 chutes need one register more");
    }

    #[test]
    fn halves_stand_as_the_map_says() {
        let slot = Slot {
            number: 0x0001_0002,
            boot: 3,
            kind: kind::SCANNED,
            item: 0x0004_0005,
            chute: 6,
            detail: 7,
            at_ms: 8,
            decide_in_ms: 9,
            code: Ok(stowage_base::code("ABC")),
        };
        let map = Map { code_octets: 4, ..MAP };
        assert_eq!(slot.write(&map), [1, 2, 0, 3, 1, 4, 5, 6, 7, 0, 8, 9, 3, 0x4142, 0x4300]);
        let turned = Map { words: Halves::LowFirst, text: Halves::LowFirst, ..map };
        assert_eq!(slot.write(&turned), [2, 1, 3, 0, 1, 5, 4, 6, 7, 8, 0, 9, 3, 0x4241, 0x0043]);
        assert_eq!(Slot::read(&turned, &slot.write(&turned)), Some(slot));
    }

    #[test]
    fn a_status_that_can_not_be_is_told() {
        let status = Status {
            boot: 1,
            clock_ms: 2,
            heartbeat: 3,
            run: Run::Estop,
            first: 4,
            last: 11,
            taken: 5,
            full: vec![0b101, 1],
        };
        let good = status.write(&MAP);
        assert_eq!(Status::read(&MAP, &good), Ok(status.clone()));
        assert_eq!(
            [1, 2, 3, 16, 17, 18, 999].map(|number| status.is_full(number)),
            [true, false, true, false, true, false, false]
        );
        for (register, value, word) in [
            (0, 0, "register 0 holds 0, not 21249"),
            (2, 0, "boot is 0"),
            (6, 3, "the belt's state is 3"),
            (8, 0, "events 0 to 11"),
            (8, 3, "events 3 to 11, which 8 slots can't"),
            (8, 13, "events 13 to 11"),
        ] {
            let mut bad = good.clone();
            bad[register] = value;
            let error = Status::read(&MAP, &bad).expect_err(word);
            assert!(error.contains(word), "{error}");
        }
        assert!(Status::read(&MAP, &good[..11]).is_err());
    }

    proptest! {
        #[test]
        fn whatever_stands_there_is_read_and_written_again(
            registers in proptest::collection::vec(any::<u16>(), 0..40),
            words: bool,
            text: bool,
            number in 1_u32..,
        ) {
            let halves = |low| if low { Halves::LowFirst } else { Halves::HighFirst };
            let map = Map { words: halves(words), text: halves(text), ..MAP };
            if let Ok(status) = Status::read(&map, &registers) {
                prop_assert_eq!(status.write(&map), registers.clone());
            }
            if let Some(slot) = Slot::read(&map, &registers).filter(|slot| slot.code.is_ok()) {
                prop_assert_eq!(Slot::read(&map, &slot.write(&map)), Some(slot));
            }
            if let Some(beat) = Beat::read(&map, &registers) {
                prop_assert_eq!(beat.write(&map), registers.clone());
            }
            if let Some(order) = Order::read(&map, &registers) {
                prop_assert_eq!(order.write(&map), registers);
            }
            let (at, left) = map.slot(number);
            prop_assert_eq!(map.place(4, at), Some(("ring", (map.slots - left) * map.slot_len())));
        }
    }
}
