//! ROSpecs: what they ask for, and how one is carried out (LLRP 1.0.1 §10).

use super::config::{Config, Profile, Vendor};
use super::status::{Refusal, code};
use crate::llrp::tree::{Child, Tree};
use std::collections::BTreeSet;
use stowage_base::{Duration, Epc, Timestamp};

/// How long an antenna looks before the next has its turn within an AISpec, or before triggers are looked at.
const SLICE: Duration = Duration::from_millis(50);

/// One ROSpec, checked.
#[derive(Debug)]
pub(super) struct Rospec {
    pub(super) id: u32,
    /// 0 is the most urgent.
    pub(super) priority: u8,
    pub(super) start: Start,
    duration: Option<Duration>,
    pub(super) specs: Vec<AiSpec>,
    pub(super) report: Report,
    pub(super) enabled: bool,
    /// When its start trigger is due.
    pub(super) next_start: Option<Timestamp>,
    tree: Tree,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Null,
    Immediate,
    Periodic { offset: Duration, period: Duration },
}

#[derive(Debug)]
pub(super) struct AiSpec {
    /// Port, and power in 1/100 dBm.
    pub(super) antennas: Vec<(u16, i16)>,
    pub(super) parameters: u16,
    stop: Stop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// When its ROSpec stops.
    Null,
    Duration(Duration),
    /// After so many tags.
    Tags {
        count: usize,
        timeout: Option<Duration>,
    },
    /// When no new tag was heard for so long.
    Quiet {
        time: Duration,
        timeout: Option<Duration>,
    },
}

/// When to report, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Report {
    /// 0 never, 1 at the end of an AISpec, 2 at the end of the ROSpec.
    trigger: i64,
    /// Or after so many tags; 0: never.
    pub(super) n: usize,
    /// TagReportContentSelector, its first field in the top bit.
    pub(super) contents: u16,
    pub(super) crc: bool,
    pub(super) pc: bool,
    /// Impinj.
    pub(super) phase: bool,
    /// Impinj.
    pub(super) fine_rssi: bool,
}

impl Report {
    pub(super) fn at_end_of_aispec(self) -> bool {
        self.trigger == 1
    }

    pub(super) fn at_end_of_rospec(self) -> bool {
        self.trigger != 0
    }

    /// Whether so many tags make a report.
    pub(super) fn is_due(self, tags: usize) -> bool {
        self.trigger != 0 && self.n != 0 && tags >= self.n
    }

    fn parse(spec: &Tree, impinj: bool) -> Self {
        let mut report = Self {
            trigger: spec.int("ROReportTrigger"),
            n: spec.int("N") as usize,
            contents: 0,
            crc: false,
            pc: false,
            phase: false,
            fine_rssi: false,
        };
        if let Some(contents) = spec.child("TagReportContentSelector") {
            let names = ["ROSpecID", "SpecIndex", "InventoryParameterSpecID", "AntennaID", "ChannelIndex", "PeakRSSI"];
            let names =
                names.into_iter().chain(["FirstSeenTimestamp", "LastSeenTimestamp", "TagSeenCount", "AccessSpecID"]);
            for (bit, name) in (0..16).rev().zip(names) {
                report.contents |= (contents.int(&["Enable", name].concat()) as u16) << bit;
            }
            for memory in contents.all("C1G2EPCMemorySelector") {
                (report.crc, report.pc) = (memory.int("EnableCRC") != 0, memory.int("EnablePCBits") != 0);
            }
        }
        let customs = spec.all("Custom").filter(|_| impinj).filter_map(Tree::extension);
        for selector in customs.filter(|custom| custom.name() == "ImpinjTagReportContentSelector") {
            for switch in selector.all("Custom").filter_map(Tree::extension) {
                match switch.name() {
                    "ImpinjEnableRFPhaseAngle" => report.phase = switch.int("RFPhaseAngleMode") != 0,
                    "ImpinjEnablePeakRSSI" => report.fine_rssi = switch.int("PeakRSSIMode") != 0,
                    _ => {}
                }
            }
        }
        report
    }
}

fn refuse<T>(tree: &Tree, field: &str, code: u16, what: &str) -> Result<T, Refusal> {
    Err(Refusal::field(tree, field, code, what).within(tree.number()))
}

fn missing<T>(tree: &Tree, kind: &str) -> Result<T, Refusal> {
    let refusal = Refusal::message(code::MISSING_PARAMETER, format!("{} needs {kind}", tree.name()));
    Err(refusal.within(Tree::new(kind).number()).within(tree.number()))
}

impl Rospec {
    /// Checks the ROSpec of an ADD_ROSPEC. A refusal's path is from within it.
    pub(super) fn parse(spec: &Tree, config: &Config, profile: &Profile) -> Result<Self, Refusal> {
        let id = spec.int("ROSpecID") as u32;
        if id == 0 {
            return Err(Refusal::field(spec, "ROSpecID", code::INVALID, "stands for all ROSpecs"));
        }
        if spec.int("CurrentState") != 0 {
            return Err(Refusal::field(spec, "CurrentState", code::INVALID, "is not Disabled"));
        }
        let priority = spec.int("Priority") as u8;
        if priority >= profile.vendor.priorities() {
            let what = format!("is outside 0 to {}", profile.vendor.priorities() - 1);
            return Err(Refusal::field(spec, "Priority", code::OUT_OF_RANGE, &what));
        }
        let boundary = spec.child("ROBoundarySpec");
        let within = |refusal: Refusal| refusal.within(boundary.map_or(0, Tree::number));
        let start = boundary.and_then(|boundary| boundary.child("ROSpecStartTrigger"));
        let start = start.map_or(Ok(Start::Null), parse_start).map_err(within)?;
        let stop = boundary.and_then(|boundary| boundary.child("ROSpecStopTrigger"));
        let duration = stop.map_or(Ok(None), parse_stop).map_err(within)?;
        let mut specs = Vec::new();
        for child in spec.children() {
            match child {
                Child::Known(tree) if tree.name() == "AISpec" => {
                    specs.push(AiSpec::parse(tree, config, profile).map_err(|refusal| refusal.within(tree.number()))?);
                }
                Child::Known(tree) if matches!(tree.name(), "RFSurveySpec" | "LoopSpec" | "Custom") => {
                    let what = format!("{} is not supported", tree.name());
                    return Err(Refusal::message(code::UNSUPPORTED_PARAMETER, what).within(tree.number()));
                }
                Child::Known(_) | Child::Unknown { .. } => {}
            }
        }
        let most = profile.vendor.specs_max();
        if specs.len() > most {
            let what = format!("{} AISpecs: at most {most} are supported", specs.len());
            return Err(Refusal::message(code::OVERFLOW_PARAMETER, what));
        }
        let report =
            Report::parse(spec.child("ROReportSpec").unwrap_or(&config.report), profile.vendor == Vendor::Impinj);
        let tree = spec.clone();
        Ok(Self { id, priority, start, duration, specs, report, enabled: false, next_start: None, tree })
    }

    /// Disabled becomes inactive: its start trigger counts from now.
    pub(super) fn enable(&mut self, now: Timestamp) {
        if !std::mem::replace(&mut self.enabled, true) {
            self.next_start = match self.start {
                Start::Null => None,
                Start::Immediate => Some(now),
                Start::Periodic { offset, .. } => Some(now + offset),
            };
        }
    }

    pub(super) fn disable(&mut self) {
        self.enabled = false;
        self.next_start = None;
    }

    /// As it was added, with its state.
    pub(super) fn tree(&self, active: bool) -> Tree {
        let state = if active { 2 } else { i64::from(self.enabled) };
        self.tree.clone().set("CurrentState", state)
    }
}

fn parse_start(trigger: &Tree) -> Result<Start, Refusal> {
    match trigger.int("ROSpecStartTriggerType") {
        0 => Ok(Start::Null),
        1 => Ok(Start::Immediate),
        2 => {
            let Some(value) = trigger.child("PeriodicTriggerValue") else {
                return missing(trigger, "PeriodicTriggerValue");
            };
            let span = |field| Duration::from_millis(value.int(field));
            match (span("Offset"), span("Period")) {
                // Without a period it starts once.
                (offset, Duration::ZERO) => Ok(Start::Periodic { offset, period: Duration::from_micros(i64::MAX) }),
                (offset, period) => Ok(Start::Periodic { offset, period }),
            }
        }
        _ => refuse(trigger, "ROSpecStartTriggerType", code::INVALID, "is not supported"),
    }
}

fn parse_stop(trigger: &Tree) -> Result<Option<Duration>, Refusal> {
    match (trigger.int("ROSpecStopTriggerType"), trigger.int("DurationTriggerValue")) {
        (0, _) => Ok(None),
        (1, 0) => refuse(trigger, "DurationTriggerValue", code::OUT_OF_RANGE, "ms is no duration"),
        (1, millis) => Ok(Some(Duration::from_millis(millis))),
        _ => refuse(trigger, "ROSpecStopTriggerType", code::INVALID, "is not supported"),
    }
}

impl AiSpec {
    fn parse(spec: &Tree, config: &Config, profile: &Profile) -> Result<Self, Refusal> {
        let ids = spec.list("AntennaIDs");
        let ports: Vec<u16> = match ids {
            [0] => (1..=profile.antennas).collect(),
            ids if !ids.is_empty() && ids.iter().all(|id| (1..=u64::from(profile.antennas)).contains(id)) => {
                ids.iter().map(|id| *id as u16).collect()
            }
            _ => {
                let what = format!("are not antennas of this reader: 1 to {}, or 0 alone for all", profile.antennas);
                return Err(Refusal::field(spec, "AntennaIDs", code::OUT_OF_RANGE, &what));
            }
        };
        let stop = spec.child("AISpecStopTrigger").map_or(Ok(Stop::Null), parse_aispec_stop)?;
        let mut inventories = spec.all("InventoryParameterSpec");
        let Some(inventory) = inventories.next() else { return missing(spec, "InventoryParameterSpec") };
        if let Some(second) = inventories.next() {
            let what = "one InventoryParameterSpec in an AISpec is supported".to_owned();
            return Err(Refusal::message(code::OVERFLOW_PARAMETER, what).within(second.number()));
        }
        if inventory.int("InventoryParameterSpecID") == 0 {
            return refuse(inventory, "InventoryParameterSpecID", code::INVALID, "is reserved");
        }
        if inventory.int("ProtocolID") != 1 {
            return refuse(inventory, "ProtocolID", code::INVALID, "is not EPCGlobalClass1Gen2");
        }
        let mut powers = config.powers.clone();
        for configuration in inventory.all("AntennaConfiguration") {
            let within = |refusal: Refusal| refusal.within(configuration.number()).within(inventory.number());
            profile.configure(configuration, &mut powers).map_err(within)?;
        }
        let antennas = ports.into_iter().map(|port| (port, powers[usize::from(port) - 1])).collect();
        Ok(Self { antennas, parameters: inventory.int("InventoryParameterSpecID") as u16, stop })
    }
}

fn parse_aispec_stop(trigger: &Tree) -> Result<Stop, Refusal> {
    match (trigger.int("AISpecStopTriggerType"), trigger.int("DurationTrigger")) {
        (0, _) => Ok(Stop::Null),
        (1, 0) => refuse(trigger, "DurationTrigger", code::OUT_OF_RANGE, "ms is no duration"),
        (1, millis) => Ok(Stop::Duration(Duration::from_millis(millis))),
        (3, _) => {
            let Some(value) = trigger.child("TagObservationTrigger") else {
                return missing(trigger, "TagObservationTrigger");
            };
            let timeout =
                Some(Duration::from_millis(value.int("Timeout"))).filter(|timeout| *timeout != Duration::ZERO);
            match value.int("TriggerType") {
                0 => Ok(Stop::Tags { count: value.int("NumberOfTags") as usize, timeout }),
                1 => Ok(Stop::Quiet { time: Duration::from_millis(value.int("T")), timeout }),
                _ => refuse(value, "TriggerType", code::INVALID, "is not supported")
                    .map_err(|refusal: Refusal| refusal.within(trigger.number())),
            }
        }
        _ => refuse(trigger, "AISpecStopTriggerType", code::INVALID, "is not supported"),
    }
}

/// The active ROSpec.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: u32,
    /// Which of its AISpecs, from 0.
    pub(super) spec: usize,
    /// Which of that AISpec's antennas has its turn.
    pub(super) turn: usize,
    /// Since when it looks.
    pub(super) from: Timestamp,
    /// When it has looked enough for this turn.
    pub(super) until: Timestamp,
    /// Tags of this AISpec, kept only where its end depends on them.
    seen: BTreeSet<Epc>,
    last_new: Timestamp,
    spec_started: Timestamp,
    ends: Option<Timestamp>,
}

impl Run {
    pub(super) fn new(now: Timestamp, rospec: &Rospec) -> Self {
        let ends = rospec.duration.map(|duration| now + duration);
        let mut run = Self {
            id: rospec.id,
            spec: 0,
            turn: 0,
            from: now,
            until: now,
            seen: BTreeSet::new(),
            last_new: now,
            spec_started: now,
            ends,
        };
        run.slice(now, rospec);
        run
    }

    /// A tag was heard.
    pub(super) fn heard(&mut self, epc: Epc, at: Timestamp, spec: &AiSpec) {
        if matches!(spec.stop, Stop::Tags { .. } | Stop::Quiet { .. }) && self.seen.insert(epc) {
            self.last_new = at;
        }
    }

    pub(super) fn rospec_over(&self, at: Timestamp) -> bool {
        self.ends.is_some_and(|ends| ends <= at)
    }

    pub(super) fn spec_over(&self, at: Timestamp, rospec: &Rospec) -> bool {
        let elapsed = at.since(self.spec_started);
        let timed_out = |timeout: Option<Duration>| timeout.is_some_and(|timeout| timeout <= elapsed);
        match rospec.specs[self.spec].stop {
            Stop::Null => false,
            Stop::Duration(duration) => duration <= elapsed,
            Stop::Tags { count, timeout } => self.seen.len() >= count || timed_out(timeout),
            Stop::Quiet { time, timeout } => at.since(self.last_new) >= time || timed_out(timeout),
        }
    }

    /// The next antenna of this AISpec.
    pub(super) fn next_slice(&mut self, at: Timestamp, rospec: &Rospec) {
        self.turn = (self.turn + 1) % rospec.specs[self.spec].antennas.len();
        self.slice(at, rospec);
    }

    /// The next AISpec.
    pub(super) fn next_spec(&mut self, at: Timestamp, rospec: &Rospec) {
        self.spec += 1;
        self.turn = 0;
        self.seen.clear();
        (self.last_new, self.spec_started) = (at, at);
        self.slice(at, rospec);
    }

    fn slice(&mut self, at: Timestamp, rospec: &Rospec) {
        let spec = &rospec.specs[self.spec];
        let whole = match spec.stop {
            Stop::Duration(duration) => Some(self.spec_started + duration),
            Stop::Null | Stop::Tags { .. } | Stop::Quiet { .. } => None,
        };
        // Nothing can happen before the end of a lone antenna's dwell.
        let until = match whole {
            Some(end) if spec.antennas.len() == 1 && rospec.report.n == 0 => end,
            end => end.unwrap_or(Timestamp::MAX).min(at + SLICE),
        };
        self.from = at;
        self.until = until.min(self.ends.unwrap_or(Timestamp::MAX));
    }
}
