//! AccessSpecs, and the tags' memories that they work on (LLRP 1.0.1 §11, §15.2.1.4; Gen2 2.0.1 §6.3.2.1).
//!
//! A tag's memory is made up when it is first asked for, and then kept here: a tag that got another EPC answers this
//! reader by it, one that was killed no more.

use super::Profile;
use super::status::{Refusal, code};
use crate::llrp::tree::{Child, Tree, Value};
use std::collections::{BTreeMap, BTreeSet};
use stowage_base::Epc;

/// Most AccessSpecs that are held.
pub(super) const ACCESSSPECS_MAX: usize = 32;

/// Most operations in one.
pub(super) const OPS_MAX: usize = 8;

/// Most tags whose memories are kept: far more than anybody commissions in a simulation.
const MEMORIES_MAX: usize = 4_096;

/// Words of a simulated tag's EPC bank after CRC and PC, and of its user bank.
const EPC_WORDS: usize = 31;
const USER_WORDS: usize = 32;

/// What AccessSpecs a reader has, and its tags' memories.
#[derive(Debug, Default)]
pub(super) struct Access {
    pub(super) specs: BTreeMap<u32, AccessSpec>,
    /// By the EPC that the air knows the tag by.
    memories: BTreeMap<Epc, Memory>,
    /// Which tags were worked on in this AISpec: each once by each AccessSpec.
    done: BTreeSet<(u32, Epc)>,
}

/// One AccessSpec, checked.
#[derive(Debug)]
pub(super) struct AccessSpec {
    id: u32,
    /// 0: any.
    antenna: u16,
    /// 0: any.
    rospec: u32,
    pub(super) enabled: bool,
    /// How many operations are left; `None`: any number.
    left: Option<u32>,
    targets: Vec<Target>,
    ops: Vec<Op>,
    /// Reported at once, not with the next report of the ROSpec.
    pub(super) report_at_once: bool,
    tree: Tree,
}

/// A pattern of bits in a bank.
#[derive(Debug)]
struct Target {
    bank: usize,
    matches: bool,
    pointer: usize,
    mask: Vec<u8>,
    data: Vec<u8>,
    bits: usize,
}

#[derive(Debug)]
enum Op {
    Read { id: u16, password: u32, bank: usize, word: usize, count: usize },
    Write { id: u16, password: u32, bank: usize, word: usize, data: Vec<u16>, block: bool },
    Erase { id: u16, password: u32, bank: usize, word: usize, count: usize },
    Lock { id: u16, password: u32, payloads: Vec<(u8, usize)> },
    Kill { id: u16, password: u32 },
}

/// What an AccessSpec did with a tag.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) spec: u32,
    pub(super) at_once: bool,
    /// The results, encoded, in the order of the operations.
    pub(super) results: Vec<u8>,
}

impl AccessSpec {
    /// Checks the AccessSpec of an ADD_ACCESSSPEC. A refusal's path is from within it.
    pub(super) fn parse(spec: &Tree, profile: &Profile) -> Result<Self, Refusal> {
        let refuse = |field, code, what: &str| Err(Refusal::field(spec, field, code, what));
        let id = spec.int("AccessSpecID") as u32;
        let antenna = spec.int("AntennaID") as u16;
        if id == 0 {
            return refuse("AccessSpecID", code::INVALID, "stands for all AccessSpecs");
        }
        if antenna > profile.antennas {
            return refuse("AntennaID", code::OUT_OF_RANGE, "is no antenna of this reader");
        }
        if spec.int("ProtocolID") != 1 {
            return refuse("ProtocolID", code::INVALID, "is not EPCGlobalClass1Gen2");
        }
        if spec.int("CurrentState") != 0 {
            return refuse("CurrentState", code::INVALID, "is not Disabled");
        }
        let stop = spec.child("AccessSpecStopTrigger");
        let count = stop.map_or(0, |stop| stop.int("OperationCountValue") as u32);
        let counted = stop.is_some_and(|stop| stop.int("AccessSpecStopTrigger") == 1) && count != 0;
        let mut parsed = Self {
            id,
            antenna,
            rospec: spec.int("ROSpecID") as u32,
            enabled: false,
            left: counted.then_some(count),
            targets: Vec::new(),
            ops: Vec::new(),
            report_at_once: spec.child("AccessReportSpec").is_some_and(|report| report.int("AccessReportTrigger") == 1),
            tree: spec.clone(),
        };
        let Some(command) = spec.child("AccessCommand") else { return Ok(parsed) };
        let within = |refusal: Refusal| refusal.within(command.number());
        for tag in command.all("C1G2TagSpec") {
            let within = |refusal: Refusal| within(refusal.within(tag.number()));
            if tag.all("C1G2TargetTag").count() > 2 {
                let what = "a C1G2TagSpec has one or two patterns".to_owned();
                return Err(within(Refusal::message(code::OVERFLOW_PARAMETER, what)));
            }
            for target in tag.all("C1G2TargetTag") {
                parsed.targets.push(Target::parse(target).map_err(|error| within(error.within(target.number())))?);
            }
        }
        for child in command.children() {
            let Child::Known(op) = child else { continue };
            if op.name() != "C1G2TagSpec" {
                parsed.ops.push(Op::parse(op).map_err(|error| within(error.within(op.number())))?);
            }
        }
        let ids: BTreeSet<u16> = parsed.ops.iter().map(Op::id).collect();
        if parsed.ops.len() > OPS_MAX {
            let what = format!("{} operations: at most {OPS_MAX} are supported", parsed.ops.len());
            return Err(within(Refusal::message(code::OVERFLOW_PARAMETER, what)));
        }
        if ids.len() < parsed.ops.len() {
            let what = "two operations have the same OpSpecID".to_owned();
            return Err(within(Refusal::message(code::PARAMETER_ERROR, what)));
        }
        Ok(parsed)
    }

    /// As it was added, with its state.
    pub(super) fn tree(&self) -> Tree {
        self.tree.clone().set("CurrentState", self.enabled)
    }
}

impl Target {
    fn parse(target: &Tree) -> Result<Self, Refusal> {
        let (Value::Bits { count, octets: mask }, Value::Bits { count: data_bits, octets: data }) =
            (target.value("TagMask"), target.value("TagData"))
        else {
            return Err(Refusal::message(code::PARAMETER_ERROR, "TagMask and TagData are bit strings".to_owned()));
        };
        // No data under a mask, or more of it, can't be compared; fewer bits are how some clients say "any tag".
        let bits = usize::from(*count.min(data_bits));
        Ok(Self {
            bank: target.int("MB") as usize,
            matches: target.int("Match") != 0,
            pointer: target.int("Pointer") as usize,
            mask: mask.clone(),
            data: data.clone(),
            bits,
        })
    }

    fn fits(&self, memory: &Memory) -> bool {
        let bit = |octets: &[u8], at: usize| octets[at / 8] >> (7 - at % 8) & 1;
        let equal = (0..self.bits).all(|at| {
            let place = self.pointer + at;
            let own = memory.banks[self.bank].get(place / 16).map(|word| (word >> (15 - place % 16) & 1) as u8);
            bit(&self.mask, at) == 0 || own == Some(bit(&self.data, at))
        });
        equal == self.matches
    }
}

impl Op {
    fn id(&self) -> u16 {
        match self {
            Self::Read { id, .. }
            | Self::Write { id, .. }
            | Self::Erase { id, .. }
            | Self::Lock { id, .. }
            | Self::Kill { id, .. } => *id,
        }
    }

    fn parse(op: &Tree) -> Result<Self, Refusal> {
        let id = op.int("OpSpecID") as u16;
        let password = || op.int("AccessPassword") as u32;
        let place = || (op.int("MB") as usize, op.int("WordPointer") as usize);
        let data = || op.list("WriteData").iter().map(|word| *word as u16).collect::<Vec<_>>();
        match op.name() {
            "C1G2Read" => {
                let (bank, word) = place();
                Ok(Self::Read { id, password: password(), bank, word, count: op.int("WordCount") as usize })
            }
            name @ ("C1G2Write" | "C1G2BlockWrite") => {
                let (bank, word) = place();
                if data().is_empty() {
                    return Err(Refusal::field(op, "WriteData", code::INVALID, "is nothing to write"));
                }
                Ok(Self::Write { id, password: password(), bank, word, data: data(), block: name == "C1G2BlockWrite" })
            }
            "C1G2BlockErase" => {
                let (bank, word) = place();
                Ok(Self::Erase { id, password: password(), bank, word, count: op.int("WordCount") as usize })
            }
            "C1G2Lock" => {
                let payload = |payload: &Tree| (payload.int("Privilege") as u8, payload.int("DataField") as usize);
                Ok(Self::Lock { id, password: password(), payloads: op.all("C1G2LockPayload").map(payload).collect() })
            }
            "C1G2Kill" => Ok(Self::Kill { id, password: op.int("KillPassword") as u32 }),
            name => {
                let what = format!("{name} is not supported");
                Err(Refusal::message(code::UNSUPPORTED_PARAMETER, what))
            }
        }
    }

    /// Does it; the result as a parameter. `version` says which codes there are.
    fn perform(&self, memory: &mut Memory, version: u8) -> Tree {
        let result = |name: &str, result: u8| Tree::new(name).set("Result", result).set("OpSpecID", self.id());
        match self {
            Self::Read { password, bank, word, count, .. } => {
                let read = memory.read(*password, *bank, *word, *count);
                let code = match (read.as_ref().err(), version) {
                    (None, _) => 0,
                    (Some(Fault::NoResponse), _) => 2,
                    (Some(Fault::Overrun), 2..) => 4,
                    (Some(Fault::Locked), 2..) => 5,
                    // LLRP 1.0.1 has no finer word for it.
                    (Some(_), _) => 1,
                };
                let words = read.unwrap_or_default().into_iter().map(u64::from).collect::<Vec<_>>();
                result("C1G2ReadOpSpecResult", code).set("ReadData", words)
            }
            Self::Write { password, bank, word, data, block, .. } => {
                let name = if *block { "C1G2BlockWriteOpSpecResult" } else { "C1G2WriteOpSpecResult" };
                let written = memory.write(*password, *bank, *word, data);
                let words = if written.is_ok() { data.len() } else { 0 };
                result(name, written.map_or_else(Fault::of_write, |()| 0)).set("NumWordsWritten", words as u16)
            }
            Self::Erase { password, bank, word, count, .. } => {
                let written = memory.write(*password, *bank, *word, &vec![0; *count]);
                result("C1G2BlockEraseOpSpecResult", written.map_or_else(Fault::of_write, |()| 0))
            }
            Self::Lock { password, payloads, .. } => {
                let code = match memory.lock(*password, payloads) {
                    Ok(()) => 0,
                    Err(Fault::NoResponse) => 3,
                    Err(Fault::Overrun | Fault::Locked) => 2,
                };
                result("C1G2LockOpSpecResult", code)
            }
            Self::Kill { password, .. } => {
                let own = memory.password(0);
                let code = match own {
                    0 => 1,
                    own if own == *password => {
                        memory.killed = true;
                        0
                    }
                    _ => 4,
                };
                result("C1G2KillOpSpecResult", code)
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Overrun,
    Locked,
    NoResponse,
}

impl Fault {
    /// As C1G2WriteResultType, which block writes and erasures share.
    fn of_write(self) -> u8 {
        match self {
            Self::Overrun => 1,
            Self::Locked => 2,
            Self::NoResponse => 5,
        }
    }
}

/// A tag's memory.
#[derive(Debug)]
struct Memory {
    /// By their Gen2 numbers.
    banks: [Vec<u16>; 4],
    /// By C1G2LockDataField: locked, and for ever so.
    locks: [(bool, bool); 5],
    killed: bool,
}

impl Memory {
    fn new(epc: &Epc) -> Self {
        let octets = epc.octets();
        let mut bank = vec![0; 2 + EPC_WORDS];
        bank[1] = (octets.len().div_ceil(2) as u16) << 11;
        for (word, pair) in bank[2..].iter_mut().zip(octets.chunks(2)) {
            *word = u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
        }
        // Class E2, a maker that there isn't, and a serial number of its own.
        let hash = epc.hash64();
        let serial = [48, 32, 16, 0].map(|shift| (hash >> shift) as u16);
        let tid = [&[0xE280, 0xFFF0][..], &serial].concat();
        Self {
            banks: [vec![0; 4], bank, tid, vec![0; USER_WORDS]],
            // A TID is written by its maker alone.
            locks: [(false, false), (false, false), (false, false), (true, true), (false, false)],
            killed: false,
        }
    }

    /// The EPC as its PC and bank tell it.
    fn epc(&self) -> Option<Epc> {
        let words = usize::from(self.banks[1][1] >> 11);
        let octets: Vec<u8> = self.banks[1][2..].iter().take(words).flat_map(|word| word.to_be_bytes()).collect();
        Epc::new(&octets)
    }

    /// The kill (0) or access (1) password.
    fn password(&self, which: usize) -> u32 {
        u32::from(self.banks[0][2 * which]) << 16 | u32::from(self.banks[0][2 * which + 1])
    }

    /// Whether who knows `password` may change what is locked. A wrong password isn't answered.
    fn secured(&self, password: u32) -> Result<bool, Fault> {
        let own = self.password(1);
        match password {
            0 => Ok(own == 0),
            password if password == own => Ok(true),
            _ => Err(Fault::NoResponse),
        }
    }

    /// The lock field that a word lies in.
    fn field(bank: usize, word: usize) -> usize {
        match bank {
            0 => usize::from(word >= 2),
            bank => bank + 1,
        }
    }

    fn read(&self, password: u32, bank: usize, word: usize, count: usize) -> Result<Vec<u16>, Fault> {
        let secured = self.secured(password)?;
        let all = &self.banks[bank];
        // 0: to the end of the bank.
        let end = if count == 0 { all.len() } else { word + count };
        let words = all.get(word..end).ok_or(Fault::Overrun)?;
        let hidden = |word| {
            let (locked, permanent) = self.locks[Self::field(bank, word)];
            bank == 0 && locked && (permanent || !secured)
        };
        if (word..end).any(hidden) { Err(Fault::Locked) } else { Ok(words.to_vec()) }
    }

    fn write(&mut self, password: u32, bank: usize, word: usize, data: &[u16]) -> Result<(), Fault> {
        let secured = self.secured(password)?;
        let end = word + data.len();
        if end > self.banks[bank].len() {
            return Err(Fault::Overrun);
        }
        let shut = |word| {
            let (locked, permanent) = self.locks[Self::field(bank, word)];
            locked && (permanent || !secured)
        };
        if (word..end).any(shut) {
            return Err(Fault::Locked);
        }
        self.banks[bank][word..end].copy_from_slice(data);
        Ok(())
    }

    fn lock(&mut self, password: u32, payloads: &[(u8, usize)]) -> Result<(), Fault> {
        if !self.secured(password)? {
            return Err(Fault::Locked);
        }
        for (privilege, field) in payloads {
            let wanted = match privilege {
                0 => (true, false),
                1 => (true, true),
                2 => (false, true),
                _ => (false, false),
            };
            let Some(lock) = self.locks.get_mut(*field) else { continue };
            if lock.1 && *lock != wanted {
                return Err(Fault::Locked);
            }
            *lock = wanted;
        }
        Ok(())
    }
}

impl Access {
    /// A new AISpec has begun.
    pub(super) fn begin(&mut self) {
        self.done.clear();
    }

    /// What the tag that the air knows as `epc` answers by; `None`: it is silent for ever.
    pub(super) fn answers(&self, epc: Epc) -> Option<Epc> {
        match self.memories.get(&epc) {
            Some(memory) => memory.epc().filter(|_| !memory.killed),
            None => Some(epc),
        }
    }

    /// Works on a tag that was heard, by every AccessSpec that is meant for it.
    pub(super) fn work(&mut self, epc: Epc, rospec: u32, antenna: u16, version: u8) -> Vec<Outcome> {
        let Self { specs, memories, done } = self;
        let mut outcomes = Vec::new();
        for spec in specs.values_mut().filter(|spec| spec.enabled) {
            let meant = (spec.rospec == 0 || spec.rospec == rospec) && (spec.antenna == 0 || spec.antenna == antenna);
            if !meant || done.contains(&(spec.id, epc)) || memories.len() >= MEMORIES_MAX {
                continue;
            }
            let memory = memories.entry(epc).or_insert_with(|| Memory::new(&epc));
            if memory.killed || !spec.targets.iter().all(|target| target.fits(memory)) {
                continue;
            }
            done.insert((spec.id, epc));
            let mut message = Vec::new();
            let mut results = Tree::new("TagReportData");
            for op in &spec.ops {
                results = results.with(op.perform(memory, version));
            }
            results.encode_parameters(&mut message);
            outcomes.push(Outcome { spec: spec.id, at_once: spec.report_at_once, results: message });
            spec.left = spec.left.map(|left| left.saturating_sub(1));
        }
        specs.retain(|_, spec| spec.left != Some(0));
        outcomes
    }
}
