//! Robots: transports, who carries them, and the ways that they drive.
//!
//! A *transport* is a load to bring from one station to another: planned → assigned → loaded → delivered, failed or
//! cancelled. For it, or to get out of another's way, a robot gets a *drive*: stops on the roadmap, of which it holds
//! the released ones ([`traffic`] says which it may be given). A drive is told whole, with a fact before each change;
//! what a robot reports frees what it has passed, and moves the load in the book (`load`).
//!
//! What a robot holds it holds until it reports that it has gone on, however long it is silent. After a restart every
//! robot counts as silent; one that the site no longer has holds nothing.

mod load;
#[cfg(test)]
mod tests;
pub mod traffic;
mod view;

use crate::fact::{
    Body, Cause, DrivePassed, DrivePlanned, DriveStep, DriveStop, DriveUpdated, RobotEmptied, RobotPlaced,
    TransportPlanned, TransportStep,
};
use crate::input::{ActState, Drive, Effect, Handling, Reply, RobotEvent, RobotReport, Stop};
use crate::record::{Act, Clerk, Recorder};
use crate::roadmap::NodeIx;
use crate::site::{DeviceIx, DeviceKind, Site, TransportWhen};
use crate::state::{Driving, Robot, State, Transport, TransportState};
use std::collections::{BTreeMap, BTreeSet};
use stowage_base::{Code, Duration, Epc, Timestamp};
use traffic::{Mover, Readiness, Wait};

/// A robot this near to a node stands on it, mm.
const NEAR_MM: u64 = 500;

/// Nodes this near to a robot that stands elsewhere are closed to the others, mm.
const BODY_MM: u64 = 1_000;

/// A robot that refused is left alone for so long.
const REFUSED_WAIT: Duration = Duration::from_secs(30);

/// After so many drives that came to nothing a transport has failed.
const ATTEMPTS_MAX: u8 = 3;

/// What a rule says is looked at again after this, should a transport that it asked for have come to nothing.
const RULES_PERIOD: Duration = Duration::from_secs(60);

/// A transport that a rule asks for is named by so many octets of its chute's name, and a number: a code's length.
const RULE_NAME_MAX: usize = 12;

/// What is known of a robot since the start; nothing durable.
#[derive(Debug, Default)]
struct Live {
    up: bool,
    report: Option<RobotReport>,
    /// It told something that can't be.
    astray: Option<String>,
    /// It refused: it gets nothing new before.
    rests_until: Option<Timestamp>,
    /// It may lack the last update of its drive.
    again: bool,
    /// Why it stands still.
    waits: Option<String>,
}

/// Someone or something that lies elsewhere now: a tag, and its location; `None` once it has left.
pub type Relocation = (Epc, Option<Code>);

/// The robots of a site.
#[derive(Debug, Default)]
pub struct Fleet {
    live: BTreeMap<DeviceIx, Live>,
    effects: Vec<Effect>,
    relocated: Vec<Relocation>,
    /// When to look at the rules again.
    rules_at: Option<Timestamp>,
    /// Why a transport without a robot has none.
    unassigned: Option<&'static str>,
}

/// What a decision about robots stands on.
struct Desk<'a> {
    recorder: &'a mut Recorder,
    site: &'a Site,
    now: Timestamp,
}

impl Desk<'_> {
    fn state(&self) -> &State {
        self.recorder.state()
    }

    fn row(&self, robot: &Code) -> Robot {
        self.state().robots.get(robot).cloned().unwrap_or_default()
    }

    fn clerk(&mut self, who: Option<String>, cause: Option<Cause>) -> Clerk<'_> {
        let act = Act { who, when: self.now, cause };
        Clerk { recorder: self.recorder, site: self.site, now: self.now, act }
    }

    /// A step in a transport's life.
    fn transport(
        &mut self,
        id: &Code,
        robot: Option<&Code>,
        why: Option<String>,
        who: Option<String>,
        body: fn(TransportStep) -> Body,
    ) {
        let step = TransportStep { transport: id.clone(), robot: robot.cloned() };
        let cause = Some(Cause::Transport(id.clone()));
        self.clerk(who, cause).record(Some(id.as_str().into()), robot.cloned(), why, body(step));
    }

    /// A step in the life of a robot's drive.
    fn drive(&mut self, robot: &Code, drive: &str, why: Option<String>, by_robot: bool, body: fn(DriveStep) -> Body) {
        let step = DriveStep { drive: drive.into(), robot: robot.clone() };
        let node = self.row(robot).node;
        let who = by_robot.then(|| format!("device:{robot}"));
        let cause = Some(Cause::Command(drive.into()));
        self.clerk(who, cause).record(Some(robot.as_str().into()), node, why, body(step));
    }

    fn name(&self, node: NodeIx) -> Code {
        self.site.roadmap.node(node).code.clone()
    }

    /// Where a transport wants its robot to be.
    fn goal(&self, transport: &Transport) -> Option<NodeIx> {
        let station = if transport.state == TransportState::Loaded { &transport.to } else { &transport.from };
        self.site.roadmap.station(station)
    }
}

/// The name of what a robot does at a stop.
fn act_id(drive: &str, handling: Handling) -> String {
    match handling {
        Handling::Pick => format!("{drive}-pick"),
        Handling::Drop => format!("{drive}-drop"),
    }
}

impl Fleet {
    /// Goes on from what the state holds.
    ///
    /// # Errors
    /// A robot holds a node that the roadmap lacks.
    pub fn new(site: &Site, state: &State) -> Result<Self, String> {
        let mut fleet = Self::default();
        for (at, device) in site.devices.iter().enumerate() {
            if !matches!(device.kind, DeviceKind::Robot { .. }) {
                continue;
            }
            fleet.live.insert(DeviceIx(at as u16), Live::default());
            let drive = state.robots.get(&device.code).and_then(|robot| robot.drive.as_ref());
            let mut held = drive.into_iter().flat_map(|drive| &drive.stops);
            if let Some(stop) = held.find(|stop| site.roadmap.coded(&stop.node).is_none()) {
                return Err(format!(
                    "{} is on its way over node {}, which site.toml lacks: put it back until the robot has arrived",
                    device.code, stop.node
                ));
            }
        }
        Ok(fleet)
    }

    /// The edge begins to run: what robots had that it no longer knows goes to others, or has failed.
    pub fn start(&mut self, recorder: &mut Recorder, site: &Site, now: Timestamp) {
        self.rules_at = (!site.transports.is_empty()).then_some(now + RULES_PERIOD);
        let robots = recorder.state().robots.iter().map(|(code, _)| code);
        let gone: Vec<Code> = robots.filter(|code| !site.is_robot(code)).cloned().collect();
        let mut desk = Desk { recorder, site, now };
        for code in gone {
            self.dismiss(&mut desk, &code, "edge.toml has no such robot any more");
        }
    }

    /// A robot is gone for good: it holds nothing any more, and what it had to do is over. What it carries stays on it.
    fn dismiss(&mut self, desk: &mut Desk<'_>, code: &Code, why: &str) {
        let row = desk.row(code);
        if let Some(drive) = &row.drive {
            desk.drive(code, &drive.id, Some(why.into()), false, Body::DriveLost);
        }
        self.release(desk, code, Some(why.into()), true);
        if let Some(node) = row.node {
            let body = Body::RobotPlaced(RobotPlaced { robot: code.clone(), node: None });
            desk.clerk(None, None).record(Some(code.as_str().into()), Some(node), Some(why.into()), body);
        }
    }

    /// What is to be done once the facts so far are durable.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// The tagged goods that a robot has put down since the last call.
    pub fn take_relocated(&mut self) -> Vec<Relocation> {
        std::mem::take(&mut self.relocated)
    }

    /// When to call [`dispatch`](Self::dispatch) if nothing comes before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.live.values().filter_map(|live| live.rests_until).chain(self.rules_at).min()
    }

    /// Time has passed: whoever has rested long enough can be given something, and what a rule says may still be so.
    /// `full`: the chutes that are full now, by sorter.
    pub fn rested(&mut self, recorder: &mut Recorder, site: &Site, now: Timestamp, full: &BTreeSet<(DeviceIx, Code)>) {
        self.wake(now);
        if self.rules_at.is_none_or(|at| now < at) {
            return;
        }
        self.rules_at = Some(now + RULES_PERIOD);
        for rule in &site.transports {
            let from_there = |transport: &Transport| transport.from == rule.from && !transport.state.ended();
            if recorder.state().transports.iter().any(|(_, transport)| from_there(transport)) {
                continue;
            }
            match rule.when {
                TransportWhen::Full if full.iter().any(|(_, chute)| *chute == rule.from) => {
                    self.full(recorder, site, now, &rule.from);
                }
                TransportWhen::Full => {}
                TransportWhen::Parcels(_) => self.laid(recorder, site, now, &rule.from),
            }
        }
    }

    fn wake(&mut self, now: Timestamp) {
        for live in self.live.values_mut() {
            live.rests_until = live.rests_until.filter(|until| *until > now);
        }
    }

    /// Someone wants a load brought.
    pub fn request(&mut self, recorder: &mut Recorder, site: &Site, now: Timestamp, load: TransportPlanned) -> Reply {
        if let Some(before) = recorder.state().transports.get(&load.transport) {
            return match (before.from == load.from, before.to == load.to) {
                (true, true) => Reply::Exists,
                (false, _) => Reply::Differs("from"),
                (true, false) => Reply::Differs("to"),
            };
        }
        for (field, station) in [("from", &load.from), ("to", &load.to)] {
            if site.roadmap.station(station).is_none() {
                return Reply::Unfit(field);
            }
        }
        if load.from == load.to {
            return Reply::Unfit("to");
        }
        self.plan(&mut Desk { recorder, site, now }, load, None, None);
        Reply::Done
    }

    fn plan(&mut self, desk: &mut Desk<'_>, load: TransportPlanned, why: Option<String>, cause: Option<Cause>) {
        let (what, place) = (load.transport.as_str().to_owned(), load.from.clone());
        desk.clerk(None, cause).record(Some(what), Some(place), why, Body::TransportPlanned(load));
    }

    /// Someone wants a transport no more. If a robot is at it, it stops first; what it carries stays on it.
    pub fn cancel(&mut self, recorder: &mut Recorder, site: &Site, now: Timestamp, id: &Code) -> Reply {
        let mut desk = Desk { recorder, site, now };
        let Some(transport) = desk.state().transports.get(id).cloned() else { return Reply::NotFound };
        match transport.state {
            TransportState::Cancelled => return Reply::Exists,
            TransportState::Delivered | TransportState::Failed => return Reply::Differs("state"),
            _ if transport.recalled => return Reply::Exists,
            _ => {}
        }
        let robot = transport.robot.as_ref();
        let drive = robot.and_then(|robot| desk.row(robot).drive);
        match (robot, drive) {
            (Some(robot), Some(drive)) => {
                desk.transport(id, Some(robot), None, None, Body::TransportRecalled);
                self.recall(&mut desk, robot, &drive, format!("transport {id} isn't wanted any more"));
            }
            _ => desk.transport(id, robot, None, None, Body::TransportCancelled),
        }
        Reply::Done
    }

    /// A person says that a robot carries nothing any more.
    pub fn emptied(&mut self, recorder: &mut Recorder, site: &Site, now: Timestamp, robot: &Code) -> Reply {
        let mut desk = Desk { recorder, site, now };
        let row = desk.row(robot);
        if !site.is_robot(robot) {
            return Reply::NotFound;
        }
        match (row.carries, row.transport) {
            (None, _) => Reply::Exists,
            (Some(_), Some(_)) => Reply::Differs("transport"),
            (Some(_), None) => {
                let body = Body::RobotEmptied(RobotEmptied { robot: robot.clone() });
                let who = Some("page".into());
                desk.clerk(who, None).record(Some(robot.as_str().into()), row.node, None, body);
                Reply::Done
            }
        }
    }

    /// A chute became full: perhaps there is a rule for it.
    pub fn full(&mut self, recorder: &mut Recorder, site: &Site, now: Timestamp, chute: &Code) {
        self.by_rule(&mut Desk { recorder, site, now }, chute, TransportWhen::Full);
    }

    /// A parcel came to lie at a place: perhaps there is a rule for so many.
    pub fn laid(&mut self, recorder: &mut Recorder, site: &Site, now: Timestamp, place: &Code) {
        let lying = recorder.state().parcels_at(place).len() as u32;
        self.by_rule(&mut Desk { recorder, site, now }, place, TransportWhen::Parcels(lying));
    }

    fn by_rule(&mut self, desk: &mut Desk<'_>, from: &Code, happened: TransportWhen) {
        let fits = |when: TransportWhen| match (when, happened) {
            (TransportWhen::Full, TransportWhen::Full) => true,
            (TransportWhen::Parcels(least), TransportWhen::Parcels(lying)) => lying >= least,
            _ => false,
        };
        let Some(rule) = desk.site.transports.iter().find(|rule| rule.from == *from && fits(rule.when)) else { return };
        let waits = |transport: &Transport| {
            transport.from == *from && matches!(transport.state, TransportState::Planned | TransportState::Assigned)
        };
        if desk.state().transports.iter().any(|(_, transport)| waits(transport)) {
            return;
        }
        let cause = desk.recorder.seq();
        let name = &from[..from.floor_char_boundary(RULE_NAME_MAX)];
        let Some(transport) = stowage_base::code(&format!("{name}-{}", cause + 1)) else { return };
        let why = match happened {
            TransportWhen::Full => format!("{from} is full"),
            TransportWhen::Parcels(lying) => format!("{lying} parcels lie at {from}"),
        };
        let load = TransportPlanned { transport, from: from.clone(), to: rule.to.clone() };
        self.plan(desk, load, Some(why), (cause > 0).then_some(Cause::Seq(cause)));
    }

    /// A robot tells something.
    pub fn robot(&mut self, recorder: &mut Recorder, site: &Site, now: Timestamp, robot: DeviceIx, event: RobotEvent) {
        let code = site.device(robot).code.clone();
        let mut desk = Desk { recorder, site, now };
        let drive = desk.row(&code).drive;
        match event {
            RobotEvent::Told(report) => self.told(&mut desk, robot, &code, *report),
            RobotEvent::At { x_mm, y_mm } => {
                if let Some(report) = &mut self.of(robot).report {
                    report.position = Some((x_mm, y_mm));
                }
            }
            RobotEvent::Gone(_) => self.of(robot).up = false,
            RobotEvent::Refused { drive: id, update, reason } => {
                let Some(drive) = drive.filter(|drive| drive.id == id && drive.update == update && !drive.recalled)
                else {
                    return;
                };
                self.of(robot).rests_until = Some(now + REFUSED_WAIT);
                if drive.accepted {
                    self.recall(&mut desk, &code, &drive, format!("it refuses update {update}: {reason}"));
                } else {
                    self.end(&mut desk, &code, &drive, Some(reason), Body::DriveRefused);
                }
            }
            RobotEvent::NotSent { drive: id, update } => {
                if drive.is_some_and(|drive| drive.id == id && drive.update == update) {
                    self.of(robot).again = true;
                }
            }
            RobotEvent::Stopped { drive: id } => {
                if let Some(drive) = drive.filter(|drive| drive.id == id) {
                    self.end(&mut desk, &code, &drive, None, Body::DriveCancelled);
                }
            }
        }
    }

    fn of(&mut self, robot: DeviceIx) -> &mut Live {
        self.live.entry(robot).or_default()
    }

    fn told(&mut self, desk: &mut Desk<'_>, robot: DeviceIx, code: &Code, report: RobotReport) {
        let live = self.of(robot);
        let back = !std::mem::replace(&mut live.up, true);
        live.astray = None;
        match desk.row(code).drive {
            Some(drive) if drive.id == report.drive => self.on_its_way(desk, robot, code, drive, &report),
            Some(drive) if drive.accepted => {
                let why = Some("the robot no longer knows it: it was restarted, or someone else commands it".into());
                self.end(desk, code, &drive, why, Body::DriveLost);
                // It may stand elsewhere by now: the next drive begins there.
                self.place(desk, robot, code, &report);
            }
            Some(_) => {}
            None => self.place(desk, robot, code, &report),
        }
        let live = self.of(robot);
        live.report = Some(report);
        if std::mem::take(&mut live.again) || back {
            self.tell(desk, robot, code);
        }
    }

    fn on_its_way(&mut self, desk: &mut Desk<'_>, robot: DeviceIx, code: &Code, drive: Driving, report: &RobotReport) {
        if !drive.accepted {
            desk.drive(code, &drive.id, None, true, Body::DriveAccepted);
        }
        if report.stop > drive.first {
            if report.stop - drive.first >= drive.released {
                let what = format!("it reports stop {} of drive {}, which it was not given", report.stop, drive.id);
                self.of(robot).astray = Some(what);
                return;
            }
            let node = drive.stops.get((report.stop - drive.first) as usize).map(|stop| stop.node.clone());
            let passed = DrivePassed { drive: drive.id.clone(), robot: code.clone(), stop: report.stop };
            let (who, cause) = (Some(format!("device:{code}")), Some(Cause::Command(drive.id.clone())));
            desk.clerk(who, cause).record(Some(code.as_str().into()), node, None, Body::DrivePassed(passed));
        }
        for handling in [Handling::Pick, Handling::Drop] {
            let id = act_id(&drive.id, handling);
            if let Some((_, state)) = report.acts.iter().find(|(of, _)| *of == id) {
                self.handled(desk, code, &drive, handling, state);
            }
        }
        let Some(drive) = desk.row(code).drive.filter(|_| report.idle) else { return };
        let arrived = drive.stops.len() == 1 && report.update == drive.update;
        if drive.recalled {
            self.end(desk, code, &drive, None, Body::DriveCancelled);
        } else if arrived && desk.row(code).transport.is_none() {
            self.end(desk, code, &drive, None, Body::DriveDone);
        }
    }

    /// A robot is done with a load, or can't take it or put it down.
    fn handled(&mut self, desk: &mut Desk<'_>, code: &Code, drive: &Driving, handling: Handling, state: &ActState) {
        let Some(id) = desk.row(code).transport else { return };
        let Some(transport) = desk.state().transports.get(&id).cloned() else { return };
        let due = match handling {
            Handling::Pick => TransportState::Assigned,
            Handling::Drop => TransportState::Loaded,
        };
        if transport.state != due {
            return;
        }
        let who = Some(format!("device:{code}"));
        match (state, handling) {
            (ActState::Open, _) => {}
            // Because it was told to stop.
            (ActState::Failed(_), _) if drive.recalled => {}
            (ActState::Failed(reason), _) => {
                let verb = if handling == Handling::Pick { "pick up" } else { "put down" };
                let why = format!("the robot could not {verb} the load: {reason}");
                desk.transport(&id, Some(code), Some(why.clone()), who, Body::TransportFailed);
                self.recall(desk, code, drive, why);
            }
            (ActState::Done, Handling::Pick) => {
                desk.transport(&id, Some(code), None, who.clone(), Body::TransportLoaded);
                load::shift(&mut desk.clerk(who, Some(Cause::Transport(id))), &transport.from, code);
            }
            (ActState::Done, Handling::Drop) => {
                let cause = Some(Cause::Transport(id.clone()));
                let lying = load::shift(&mut desk.clerk(who.clone(), cause), code, &transport.to);
                self.relocated.extend(lying);
                desk.transport(&id, Some(code), None, who, Body::TransportDelivered);
            }
        }
    }

    /// Where a robot without a drive stands.
    fn place(&mut self, desk: &mut Desk<'_>, robot: DeviceIx, code: &Code, report: &RobotReport) {
        let map = &desk.site.roadmap;
        let row = desk.row(code);
        let by_position = || {
            let (nearest, far) = map.nearest(report.position?)?;
            (far <= NEAR_MM).then_some(nearest)
        };
        let node = map.coded(&report.node).or_else(by_position).map(|node| desk.name(node));
        let holder = node.as_ref().and_then(|node| {
            let mut others = desk.state().robots.iter().filter(|(other, _)| *other != code);
            let (other, _) = others.find(|(other, row)| holds(row, node) && desk.site.is_robot(other))?;
            Some(other.clone())
        });
        if let (Some(node), Some(other)) = (&node, &holder) {
            self.of(robot).astray = Some(format!("it reports node {node}, which {other} holds"));
        }
        let node = node.filter(|_| holder.is_none());
        if row.node != node {
            let body = Body::RobotPlaced(RobotPlaced { robot: code.clone(), node: node.clone() });
            let who = Some(format!("device:{code}"));
            desk.clerk(who, None).record(Some(code.as_str().into()), node, None, body);
        }
        if row.carries.is_some() && row.transport.is_none() && report.loads == Some(0) {
            let body = Body::RobotEmptied(RobotEmptied { robot: code.clone() });
            let who = Some(format!("device:{code}"));
            desk.clerk(who, None).record(Some(code.as_str().into()), row.node, None, body);
        }
    }

    /// Stops a robot on its drive.
    fn recall(&mut self, desk: &mut Desk<'_>, code: &Code, drive: &Driving, why: String) {
        if drive.recalled {
            return;
        }
        desk.drive(code, &drive.id, Some(why), false, Body::DriveRecalled);
        if let Some(robot) = desk.site.device_coded(code) {
            self.effects.push(Effect::CancelDrive { robot, drive: drive.id.clone() });
        }
    }

    /// A drive is over; what it was for goes on without it, or is over as well.
    fn end(
        &mut self,
        desk: &mut Desk<'_>,
        code: &Code,
        drive: &Driving,
        why: Option<String>,
        body: fn(DriveStep) -> Body,
    ) {
        desk.drive(code, &drive.id, why.clone(), true, body);
        self.release(desk, code, why, false);
    }

    /// A robot has lost its drive, and what it was for goes on without it, or is over as well. If it is `gone`, what it
    /// carries won't arrive.
    fn release(&mut self, desk: &mut Desk<'_>, code: &Code, why: Option<String>, gone: bool) {
        let Some(id) = desk.row(code).transport else { return };
        let Some(transport) = desk.state().transports.get(&id).cloned() else { return };
        let step: fn(TransportStep) -> Body = match transport.state {
            _ if transport.recalled => Body::TransportCancelled,
            TransportState::Assigned if transport.attempts + 1 >= ATTEMPTS_MAX => Body::TransportFailed,
            TransportState::Assigned => Body::TransportUnassigned,
            _ if gone => Body::TransportFailed,
            // The robot has the load: it gets another drive.
            _ => return,
        };
        let why = if transport.recalled { None } else { why.or_else(|| Some("the robot stopped".into())) };
        desk.transport(&id, Some(code), why, None, step);
    }

    /// Tells a robot its drive as it should be now.
    fn tell(&mut self, desk: &Desk<'_>, robot: DeviceIx, code: &Code) {
        let row = desk.row(code);
        let Some(drive) = row.drive else { return };
        if drive.recalled {
            return self.effects.push(Effect::CancelDrive { robot, drive: drive.id });
        }
        // What was told of a stop stays so, also once the transport has ended.
        let transport = drive.transport.as_ref().and_then(|id| desk.state().transports.get(id));
        let stop = |(at, stop): (usize, &DriveStop)| {
            let act = stop.act.and_then(|handling| {
                let station = match handling {
                    Handling::Pick => &transport?.from,
                    Handling::Drop => &transport?.to,
                };
                Some((act_id(&drive.id, handling), handling, station.clone()))
            });
            Stop { node: stop.node.clone(), released: at < drive.released as usize, act }
        };
        let stops = drive.stops.iter().enumerate().map(stop).collect();
        let drive = Drive { id: drive.id.clone(), update: drive.update, first: drive.first, stops };
        self.effects.push(Effect::Drive { robot, drive });
    }

    /// Gives transports to robots, and ways to those who want to drive.
    pub fn dispatch(&mut self, recorder: &mut Recorder, site: &Site, now: Timestamp) {
        if self.live.is_empty() {
            return;
        }
        self.wake(now);
        let mut desk = Desk { recorder, site, now };
        self.assign(&mut desk);
        self.begin(&mut desk);
        self.direct(&mut desk);
    }

    /// Why a robot can't be given anything; `None`: it can.
    fn hindrance(&self, robot: DeviceIx, row: &Robot) -> Option<String> {
        let Some(live) = self.live.get(&robot) else { return Some("is no robot".into()) };
        let Some(report) = live.report.as_ref().filter(|_| live.up) else { return Some("is out of reach".into()) };
        if let Some(astray) = &live.astray {
            return Some(astray.clone());
        }
        if let Some(hindered) = &report.hindered {
            return Some(hindered.clone());
        }
        (row.drive.is_none() && !report.idle).then(|| format!("follows drive {:?}, which isn't ours", report.drive))
    }

    /// Gives each transport that waits, in order, to the nearest robot that has nothing to do.
    fn assign(&mut self, desk: &mut Desk<'_>) {
        self.unassigned = None;
        let mut waiting: Vec<(u64, Code)> = desk
            .state()
            .transports
            .iter()
            .filter(|(_, transport)| transport.state == TransportState::Planned)
            .map(|(id, transport)| (transport.planned, id.clone()))
            .collect();
        waiting.sort();
        for (_, id) in waiting {
            let Some(goal) = desk.state().transports.get(&id).and_then(|transport| desk.goal(transport)) else {
                continue;
            };
            let mut idle = false;
            let mut best: Option<(u64, DeviceIx, Code)> = None;
            for (&robot, live) in &self.live {
                let code = &desk.site.device(robot).code;
                let row = desk.row(code);
                let Some(at) = row.node.as_ref().and_then(|node| desk.site.roadmap.coded(node)) else { continue };
                let busy = row.drive.is_some() || row.transport.is_some() || row.carries.is_some();
                if busy || live.rests_until.is_some() || self.hindrance(robot, &row).is_some() {
                    continue;
                }
                idle = true;
                let far = desk.site.roadmap.distances(at, |_| Some(0))[usize::from(goal.0)];
                if let Some(far) = far.filter(|far| best.as_ref().is_none_or(|(nearest, ..)| far < nearest)) {
                    best = Some((far, robot, code.clone()));
                }
            }
            match best {
                Some((far, _, code)) => {
                    let why = format!("the nearest robot with nothing to do, {} m away", far / 1_000);
                    desk.transport(&id, Some(&code), Some(why), None, Body::TransportAssigned);
                }
                None if idle => self.unassigned = Some("no way leads there from a robot with nothing to do"),
                None => self.unassigned = Some("every robot is at work, or can't be used"),
            }
        }
    }

    /// Who stands where there is something to do does that first, whoever wants the place.
    fn begin(&mut self, desk: &mut Desk<'_>) {
        let stands_there = |(&robot, live): (&DeviceIx, &Live)| {
            let code = &desk.site.device(robot).code;
            let row = desk.row(code);
            let transport = desk.state().transports.get(row.transport.as_ref()?)?;
            let goal = desk.goal(transport).filter(|_| row.drive.is_none() && !transport.recalled)?;
            let here = row.node.as_ref() == Some(&desk.site.roadmap.node(goal).code);
            let ready = live.rests_until.is_none() && self.hindrance(robot, &row).is_none();
            (here && ready).then(|| (robot, code.clone()))
        };
        let there: Vec<(DeviceIx, Code)> = self.live.iter().filter_map(stands_there).collect();
        for (robot, code) in there {
            self.extend(desk, robot, &code, &[]);
        }
    }

    /// Gives robots nodes.
    fn direct(&mut self, desk: &mut Desk<'_>) {
        let map = &desk.site.roadmap;
        let mut closed = Vec::new();
        // By priority: who carries for the oldest transport first, then those who want nothing.
        let mut movers: Vec<((u64, DeviceIx), Mover)> = Vec::new();
        self.live.values_mut().for_each(|live| live.waits = None);
        for (&robot, live) in &self.live {
            let device = desk.site.device(robot);
            let row = desk.row(&device.code);
            let drive = row.drive.as_ref();
            let held: Vec<NodeIx> = match (drive, &row.node) {
                (Some(drive), _) => {
                    let held = drive.stops.iter().take(drive.released as usize);
                    held.filter_map(|stop| map.coded(&stop.node)).collect()
                }
                (None, Some(node)) => map.coded(node).into_iter().collect(),
                (None, None) => match device.kind {
                    DeviceKind::Robot { start } if live.report.is_none() => start.into_iter().collect(),
                    _ => Vec::new(),
                },
            };
            if let Some(at) = live.report.as_ref().filter(|report| !report.driving).and_then(|report| report.position) {
                let near = |node: &NodeIx| {
                    let node = map.node(*node);
                    crate::roadmap::distance_mm(at, (node.x_mm, node.y_mm)) < BODY_MM
                };
                closed.extend(map.indices().filter(near).filter(|node| !held.contains(node)));
            }
            if held.is_empty() {
                continue;
            }
            let transport = row.transport.as_ref().and_then(|id| desk.state().transports.get(id));
            let open = transport.filter(|transport| !transport.recalled);
            // A drive for a transport that has ended ends as well, as soon as the robot says that it is idle.
            let over = |drive: &Driving| drive.recalled || drive.transport != row.transport;
            let working =
                drive.is_some_and(|drive| over(drive) || transport.is_some_and(|transport| pending(drive, transport)));
            let readiness = if self.hindrance(robot, &row).is_some() {
                Readiness::Stuck
            } else if working || live.rests_until.is_some() {
                Readiness::Busy
            } else {
                Readiness::Ready
            };
            let goal = open.and_then(|transport| desk.goal(transport));
            let rank = (open.map_or(u64::MAX, |transport| transport.planned), robot);
            movers.push((rank, Mover { held, goal, readiness }));
        }
        movers.sort_by_key(|(rank, _)| *rank);
        let (ranks, movers): (Vec<_>, Vec<Mover>) = movers.into_iter().unzip();
        let moves = traffic::decide(map, &closed, &movers);
        let name = |at: usize| desk.site.device(ranks[at].1).code.clone();
        let mut waits = Vec::new();
        for (at, given) in moves.iter().enumerate() {
            waits.push(given.wait.map(|wait| match wait {
                Wait::Robot(other, node) => format!("waits for {} at {}", name(other), map.node(node).code),
                Wait::Room => "waits so that others can pass".to_owned(),
                Wait::Closed => {
                    let stuck = (0..movers.len()).filter(|other| movers[*other].readiness == Readiness::Stuck);
                    let stuck: Vec<_> =
                        stuck.filter(|other| *other != at).map(|other| name(other).to_string()).collect();
                    match stuck.len() {
                        0 => "finds no way".to_owned(),
                        _ => format!("finds no way past {}", stuck.join(", ")),
                    }
                }
            }));
        }
        for (at, (given, wait)) in moves.into_iter().zip(waits).enumerate() {
            let robot = ranks[at].1;
            self.of(robot).waits = wait;
            let starts = movers[at].goal.is_some() && movers[at].readiness == Readiness::Ready;
            let code = desk.site.device(robot).code.clone();
            if !given.claims.is_empty() || (starts && desk.row(&code).drive.is_none()) {
                self.extend(desk, robot, &code, &given.claims);
            }
        }
    }

    /// Records that a robot is given nodes, and how its way will go on; tells it.
    fn extend(&mut self, desk: &mut Desk<'_>, robot: DeviceIx, code: &Code, claims: &[NodeIx]) {
        let map = &desk.site.roadmap;
        let row = desk.row(code);
        let transport = row.transport.as_ref().and_then(|id| desk.state().transports.get(id));
        let goal = transport.and_then(|transport| desk.goal(transport));
        let handling = transport.map(|transport| match transport.state {
            TransportState::Loaded => Handling::Drop,
            _ => Handling::Pick,
        });
        let stop = |node: NodeIx, last: bool| DriveStop {
            node: desk.name(node),
            act: handling.filter(|_| last && goal == Some(node)),
        };
        let start = match &row.drive {
            Some(drive) => drive.stops.get(drive.released as usize - 1).map(|stop| &stop.node),
            None => row.node.as_ref(),
        };
        let Some(start) = start.and_then(|node| map.coded(node)) else { return };
        let mut stops = Vec::new();
        if row.drive.is_none() {
            stops.push(stop(start, true));
        }
        stops.extend(claims.iter().enumerate().map(|(at, node)| stop(*node, at + 1 == claims.len())));
        let released = stops.len() as u32;
        // What will come then, as far as it can be told.
        let mut from = claims.last().copied().unwrap_or(start);
        let drop_at = transport.and_then(|transport| map.station(&transport.to));
        let legs = [
            goal.zip(handling),
            drop_at.filter(|_| handling == Some(Handling::Pick)).map(|node| (node, Handling::Drop)),
        ];
        for (to, handling) in legs.into_iter().flatten() {
            let Some(way) = map.route(from, to, |_| Some(0)) else { break };
            let last = way.len() - 1;
            for (at, node) in way.into_iter().enumerate().skip(1) {
                stops.push(DriveStop { node: desk.name(node), act: (at == last).then_some(handling) });
            }
            from = to;
        }
        let what = Some(code.as_str().to_owned());
        let place = claims.last().map(|node| desk.name(*node));
        let cause = row.transport.clone().map(Cause::Transport);
        let body = match &row.drive {
            Some(drive) => {
                let keep = drive.first + drive.released;
                Body::DriveUpdated(DriveUpdated {
                    drive: drive.id.clone(),
                    robot: code.clone(),
                    update: drive.update + 1,
                    keep,
                    stops,
                    released: keep + released,
                })
            }
            None => {
                // Should a journal be restored from before, robots may know later drives: their numbers would come again.
                let drive = format!("{code}-{}-{}", desk.now.micros() / 1_000_000, desk.recorder.seq() + 1);
                let (robot, transport) = (code.clone(), row.transport.clone());
                Body::DrivePlanned(DrivePlanned { drive, robot, transport, stops, released })
            }
        };
        desk.clerk(None, cause).record(what, place, None, body);
        self.tell(desk, robot, code);
    }
}

/// Whether what the robot is to do at the end of its base is still to be done.
fn pending(drive: &Driving, transport: &Transport) -> bool {
    let act = drive.stops.get(drive.released as usize - 1).and_then(|stop| stop.act);
    matches!(
        (act, transport.state),
        (Some(Handling::Pick), TransportState::Assigned) | (Some(Handling::Drop), TransportState::Loaded)
    )
}

/// Whether a robot holds the node.
fn holds(row: &Robot, node: &Code) -> bool {
    match &row.drive {
        Some(drive) => drive.stops.iter().take(drive.released as usize).any(|stop| stop.node == *node),
        None => row.node.as_ref() == Some(node),
    }
}
