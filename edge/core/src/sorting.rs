//! Which chute a parcel takes, and the life of the command that sends it there.

use crate::fact::{BeltChanged, Body, Cause, CommandPlanned, CommandStep, ParcelEnded, ParcelMissed, ParcelScanned};
use crate::input::{Belt, SortOutcome};
use crate::record::{Act, Clerk, Recorder};
use crate::site::{DeviceIx, DeviceKind, Site, SortRule};
use crate::state::{Command, CommandState, State};
use std::collections::BTreeSet;
use stowage_base::{Code, Duration, Timestamp};

/// How long after a command's deadline its session may take to tell whether it left: its word has a queue of its own to
/// pass. Past it, a command of which nothing was heard is taken as never sent.
pub const WORD_WAIT: Duration = Duration::from_secs(5);

/// How long after a command's deadline the sorter may take to tell what became of the item.
pub const OUTCOME_WAIT: Duration = Duration::from_secs(60);

/// The sorter's own name for an item: its count of starts, and its number.
pub type MachineItem = (u32, u32);

/// The id of the command for an item: derived from the machine's own numbers, so that resending is harmless.
pub fn command_id(sorter: &str, (boot, item): MachineItem) -> String {
    format!("{sorter}/{boot}-{item}")
}

/// An item at a sorter's scan point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtScanPoint {
    /// The sorter.
    pub sorter: DeviceIx,
    /// Its own name for the item.
    pub item: MachineItem,
    /// What was read; `None`: no-read.
    pub code: Option<Code>,
    /// When the sorter decides by itself.
    pub decide_by: Timestamp,
}

/// Records an item at the scan point with the command that follows. Returns the command's id, or `None` for an item
/// that was reported before or whose moment has passed.
pub fn scanned(
    recorder: &mut Recorder,
    site: &Site,
    full: &BTreeSet<(DeviceIx, Code)>,
    now: Timestamp,
    at: AtScanPoint,
) -> Option<String> {
    let device = site.device(at.sorter).code.clone();
    let id = command_id(&device, at.item);
    if recorder.state().commands.get(&id).is_some() {
        return None;
    }
    let (boot, item) = at.item;
    let what = at.code.as_ref().map_or_else(|| id.clone(), |code| code.as_str().into());
    let act = Act { who: Some(format!("device:{device}")), when: now, cause: None };
    let mut clerk = Clerk { recorder, site, now, act };
    let scanned = ParcelScanned { sorter: device.clone(), boot, item, code: at.code.clone() };
    let seq = clerk.record(Some(what.clone()), Some(device.clone()), None, Body::ParcelScanned(scanned));
    clerk.act = Act { who: None, when: now, cause: Some(Cause::Seq(seq)) };
    let (chute, why) = destination(clerk.state(), site, full, at.sorter, at.code.as_ref());
    let (command, deadline) = (id.clone(), at.decide_by);
    let (parcel, goal) = (at.code, chute.clone());
    let planned = CommandPlanned { command, target: device, boot, item, parcel, chute: goal, deadline };
    clerk.record(Some(what), Some(chute), Some(why), Body::CommandPlanned(planned));
    if deadline <= now {
        missed(recorder, site, now, &id, "it was reported after its decision point");
        return None;
    }
    Some(id)
}

/// The chute for a parcel, and why.
fn destination(
    state: &State,
    site: &Site,
    full: &BTreeSet<(DeviceIx, Code)>,
    sorter: DeviceIx,
    code: Option<&Code>,
) -> (Code, String) {
    let DeviceKind::Sorter { chutes, hospital } = &site.device(sorter).kind else {
        unreachable!("the configuration's check lets only sorters report parcels");
    };
    let to_hospital = |why: &str| (hospital.clone(), why.to_owned());
    let Some(code) = code else { return to_hospital("no-read") };
    let route = state.parcels.get(code).and_then(|parcel| parcel.route.as_ref());
    let fits = |rule: &&SortRule| {
        let known = route.is_some() || rule.prefix.is_some();
        known
            && rule.sorter.is_none_or(|of| of == sorter)
            && rule.route.as_ref().is_none_or(|of| Some(of) == route)
            && rule.prefix.as_ref().is_none_or(|prefix| code.starts_with(prefix.as_str()))
    };
    let Some(rule) = site.sort_plan.iter().find(fits) else {
        return match route {
            Some(route) => to_hospital(&format!("no rule of the sort plan fits route {route}")),
            None => to_hospital("unknown parcel"),
        };
    };
    let free = |chute: &&Code| chutes.contains(chute) && !full.contains(&(sorter, (*chute).clone()));
    let Some(chute) = rule.chutes.iter().find(free) else { return to_hospital("every chute of its rule is full") };
    let why = match (&rule.route, &rule.prefix) {
        (Some(route), _) => format!("route {route}"),
        (None, Some(prefix)) => format!("codes that begin with {prefix}"),
        (None, None) => "any known parcel".to_owned(),
    };
    (chute.clone(), why)
}

/// The command of this id, if it is open.
fn open<'a>(state: &'a State, id: &str) -> Option<&'a Command> {
    state.commands.get(&id.to_owned()).filter(|command| !command.state.ended())
}

/// Writes one step of an open command's life.
struct Step<'a> {
    clerk: Clerk<'a>,
    id: &'a str,
    /// The parcel's code; the command's id where none was read.
    what: String,
}

impl<'a> Step<'a> {
    fn of(recorder: &'a mut Recorder, site: &'a Site, now: Timestamp, id: &'a str) -> Option<Self> {
        let command = open(recorder.state(), id)?;
        let who = Some(format!("device:{}", command.target));
        let what = command.parcel.as_ref().map_or(id, |code| code.as_str()).to_owned();
        let act = Act { who, when: now, cause: Some(Cause::Command(id.to_owned())) };
        Some(Self { clerk: Clerk { recorder, site, now, act }, id, what })
    }

    fn write(&mut self, why: Option<String>, body: fn(CommandStep) -> Body) {
        self.end(None, None, why, body);
    }

    fn end(
        &mut self,
        outcome: Option<SortOutcome>,
        chute: Option<Code>,
        why: Option<String>,
        body: fn(CommandStep) -> Body,
    ) {
        let step = CommandStep { command: self.id.to_owned(), chute: chute.clone(), outcome };
        self.clerk.record(Some(self.what.clone()), chute, why, body(step));
    }

    fn reach(&mut self, state: CommandState, body: fn(CommandStep) -> Body) {
        if open(self.clerk.state(), self.id).is_some_and(|command| command.state < state) {
            self.write(None, body);
        }
    }
}

/// The session has sent the command.
pub fn sent(recorder: &mut Recorder, site: &Site, now: Timestamp, id: &str) {
    if let Some(mut step) = Step::of(recorder, site, now, id) {
        step.reach(CommandState::Sent, Body::CommandSent);
    }
}

/// The machine took the command.
pub fn acknowledged(recorder: &mut Recorder, site: &Site, now: Timestamp, id: &str) {
    if let Some(mut step) = Step::of(recorder, site, now, id) {
        step.reach(CommandState::Sent, Body::CommandSent);
        step.reach(CommandState::Acknowledged, Body::CommandAcknowledged);
    }
}

/// The command's moment passed.
pub fn missed(recorder: &mut Recorder, site: &Site, now: Timestamp, id: &str, why: &str) {
    if let Some(mut step) = Step::of(recorder, site, now, id) {
        step.write(Some(why.into()), Body::CommandMissed);
    }
}

/// The machine refused the command, or forgot it.
pub fn failed(recorder: &mut Recorder, site: &Site, now: Timestamp, id: &str, why: &str) {
    if let Some(mut step) = Step::of(recorder, site, now, id) {
        step.write(Some(why.into()), Body::CommandFailed);
    }
}

/// The machine tells how an item ended. That is recorded once, also where the command was over before, or the machine
/// never reported the item: nobody knows then what it is, but somebody must know that it lies there.
pub fn ended(
    recorder: &mut Recorder,
    site: &Site,
    now: Timestamp,
    sorter: DeviceIx,
    item: MachineItem,
    outcome: SortOutcome,
    chute: Option<Code>,
) {
    let device = site.device(sorter).code.clone();
    let id = &command_id(&device, item);
    if recorder.state().commands.get(id).is_none() {
        let act = Act { who: Some(format!("device:{device}")), when: now, cause: None };
        let (boot, item) = item;
        let missed = ParcelMissed { command: id.clone(), sorter: device, boot, item, chute: chute.clone() };
        let why = Some("its report from the scan point never came".into());
        let mut clerk = Clerk { recorder, site, now, act };
        clerk.record(Some(id.clone()), chute, why, Body::ParcelMissed(missed));
        return;
    }
    let Some(command) = recorder.state().commands.get(id) else { return };
    let goal = command.chute.clone();
    if command.told {
        return;
    }
    if command.state.ended() {
        let what = command.parcel.as_ref().map_or(id.as_str(), |code| code.as_str()).to_owned();
        let act = Act { who: Some(format!("device:{device}")), when: now, cause: Some(Cause::Command(id.clone())) };
        let ended = ParcelEnded { command: id.clone(), sorter: device, chute: chute.clone(), outcome };
        let why = Some(reason(outcome, chute.as_ref(), &goal));
        Clerk { recorder, site, now, act }.record(Some(what), chute, why, Body::ParcelEnded(ended));
        return;
    }
    let Some(mut step) = Step::of(recorder, site, now, id) else { return };
    let (why, body): (_, fn(CommandStep) -> Body) = match outcome {
        SortOutcome::Diverted if chute.as_ref() == Some(&goal) => (None, Body::CommandConfirmed),
        SortOutcome::Missed => (Some(reason(outcome, chute.as_ref(), &goal)), Body::CommandMissed),
        SortOutcome::Diverted
        | SortOutcome::Full
        | SortOutcome::Gap
        | SortOutcome::Double
        | SortOutcome::Lost
        | SortOutcome::Jammed => (Some(reason(outcome, chute.as_ref(), &goal)), Body::CommandFailed),
    };
    step.end(Some(outcome), chute, why, body);
}

/// Why an item did not go to its goal.
fn reason(outcome: SortOutcome, chute: Option<&Code>, goal: &Code) -> String {
    match outcome {
        SortOutcome::Diverted if chute == Some(goal) => "it was diverted all the same".into(),
        SortOutcome::Diverted => {
            format!("it went to {}, not to {goal}", chute.map_or("somewhere else", |chute| chute.as_str()))
        }
        SortOutcome::Missed => "the sorter followed its safe plan".into(),
        SortOutcome::Full => format!("{goal} had become full: the sorter followed its safe plan"),
        SortOutcome::Gap => "too near to its neighbour: the sorter followed its safe plan".into(),
        SortOutcome::Double => "two items that can't be told apart: the sorter followed its safe plan".into(),
        SortOutcome::Lost => "the sorter lost track of it".into(),
        SortOutcome::Jammed => "it is stuck".into(),
    }
}

/// The belt of `sorter` started or stopped.
pub fn belt(recorder: &mut Recorder, site: &Site, now: Timestamp, sorter: &Code, belt: Belt) {
    let act = Act { who: Some(format!("device:{sorter}")), when: now, cause: None };
    let why = (belt == Belt::Estop).then(|| "its emergency stop: only the machine's own people clear it".into());
    let body = Body::BeltChanged(BeltChanged { sorter: sorter.clone(), belt });
    Clerk { recorder, site, now, act }.record(Some(sorter.as_str().to_owned()), None, why, body);
}

/// A sorter runs with this count of starts: commands of earlier ones are void. Returns the open commands that it has
/// not acknowledged, to send again.
pub fn restarted(recorder: &mut Recorder, site: &Site, now: Timestamp, sorter: &str, boot: u32) -> Vec<String> {
    let commands = recorder.state().commands.iter();
    let open: Vec<(String, u32, CommandState)> = commands
        .filter(|(_, command)| command.target == sorter && !command.state.ended())
        .map(|(id, command)| (id.clone(), command.boot, command.state))
        .collect();
    let mut again = Vec::new();
    for (id, of_boot, state) in open {
        if of_boot != boot {
            failed(recorder, site, now, &id, "the sorter was restarted");
        } else if state < CommandState::Acknowledged {
            again.push(id);
        }
    }
    again
}
