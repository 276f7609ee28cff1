//! A simulated reader's own end of LLRP: an FCC reader that does what it is asked, and says what it can't.
//!
//! It inventories by ROSpecs of AISpecs, each antenna by turns, works on tags' memories by AccessSpecs, and reports and
//! tells events as it is configured. It speaks 1.0.1 until a client chooses a newer version that it has. Time is the caller's, tags are the [`Air`]'s. It is strict: what a client may not send is answered with the status that
//! names message, parameter and field, and kept in [`Reader::violations`].
//!
//! Deliberately absent: RF surveys, GPI triggers of ROSpecs, operations that a client is asked for, preemption (one
//! ROSpec is active at a time).

mod access;
mod config;
mod rospec;
mod status;
mod tags;

use super::frame::{Frame, Inbox};
use super::tree::{self, Tree};
use super::{VERSION, VERSION_MAX, kind};
use access::{Access, AccessSpec};
use config::{Config, Event};
use rospec::{Rospec, Run, Start};
use status::{Refusal, code};
use std::collections::BTreeMap;
use stowage_base::{Air, Duration, ReaderDevice, TagRead, Timestamp};
use tags::Tags;

pub use config::{Profile, Vendor};

/// Most violations that are kept: a client that goes on like this has been told often enough.
const VIOLATIONS_MAX: usize = 100;

/// A tick that comes later than this finds the reader as after a sleep: it goes on from now.
const SLEEP: Duration = Duration::from_secs(60);

/// A message that a client may not have sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// When it came.
    pub at: Timestamp,
    /// Its type; 0 for octets that are no message.
    pub kind: u16,
    /// LLRPStatus code of the answer; 0 for what has none.
    pub status: u16,
    /// What is wrong with it.
    pub what: String,
}

/// The reader. It goes on with its ROSpecs while no client is connected.
#[derive(Debug)]
pub struct Reader {
    profile: Profile,
    /// How far its clock is ahead of the true time.
    clock_offset: Duration,
    /// Whether something is at each antenna port.
    antennas: Vec<bool>,
    /// Whether each input is high.
    inputs: Vec<bool>,
    config: Config,
    access: Access,
    rospecs: BTreeMap<u32, Rospec>,
    run: Option<Run>,
    tags: Tags,
    link: Option<Link>,
    inbox: Inbox,
    out: Vec<u8>,
    violations: Vec<Violation>,
}

/// A connection.
#[derive(Debug)]
struct Link {
    /// The version that is spoken.
    version: u8,
    last_id: u32,
    /// Reports wait for ENABLE_EVENTS_AND_REPORTS.
    held: bool,
    keepalive_due: Option<Timestamp>,
    /// The id of the keepalive that is to be answered.
    unanswered: Option<u32>,
    over: bool,
}

type Out<'a> = &'a mut dyn FnMut(&[u8]);

impl Reader {
    /// A reader just switched on, with an antenna at every port.
    pub fn new(profile: Profile) -> Self {
        Self {
            clock_offset: Duration::ZERO,
            antennas: vec![true; usize::from(profile.antennas)],
            inputs: vec![false; usize::from(profile.gpios.0)],
            config: Config::new(&profile),
            access: Access::default(),
            rospecs: BTreeMap::new(),
            run: None,
            tags: Tags::default(),
            link: None,
            inbox: Inbox::default(),
            out: Vec::new(),
            violations: Vec::new(),
            profile,
        }
    }

    /// What clients have sent that they may not, oldest first; the first hundred.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Whether an ROSpec is active.
    pub fn is_active(&self) -> bool {
        self.run.is_some()
    }

    /// What a second client is told while the first is connected; its transport is then to be closed.
    pub fn busy(&self, now: Timestamp) -> Vec<u8> {
        // Status 2: a client-initiated connection exists.
        let refusal = self.notification(now, Tree::new("ConnectionAttemptEvent").set("Status", 2));
        let mut octets = Vec::new();
        refusal.encode(VERSION, 0, &mut octets);
        octets
    }

    /// Sets how far the reader's clock is ahead of the true time.
    pub fn set_clock_offset(&mut self, offset: Duration) {
        self.clock_offset = offset;
    }

    /// Connects an antenna to `port`, or takes it off: then nothing is heard there. Ports that it hasn't are ignored.
    pub fn set_antenna(&mut self, now: Timestamp, port: u16, connected: bool, out: &mut dyn FnMut(&[u8])) {
        let antenna = usize::from(port).checked_sub(1).and_then(|index| self.antennas.get_mut(index));
        if antenna.is_some_and(|antenna| std::mem::replace(antenna, connected) != connected) {
            let event = Tree::new("AntennaEvent").set("EventType", connected).set("AntennaID", port);
            self.event(now, Event::Antenna, event, out);
        }
    }

    /// Sets an input high or low. Ports that it hasn't are ignored.
    pub fn set_input(&mut self, now: Timestamp, port: u16, high: bool, out: &mut dyn FnMut(&[u8])) {
        let input = usize::from(port).checked_sub(1).and_then(|index| self.inputs.get_mut(index));
        if input.is_some_and(|input| std::mem::replace(input, high) != high) && self.config.listens(port) {
            let event = Tree::new("GPIEvent").set("GPIPortNumber", port).set("GPIEvent", high);
            self.event(now, Event::Input, event, out);
        }
    }

    /// Its outputs, by port from 1.
    pub fn outputs(&self) -> &[bool] {
        &self.config.outputs
    }

    fn violation(&mut self, at: Timestamp, kind: u16, status: u16, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { at, kind, status, what });
        }
    }

    /// The time as its own clock shows it, µs.
    fn stamp(&self, at: Timestamp) -> u64 {
        (at + self.clock_offset).micros().max(0) as u64
    }

    /// The version that is spoken.
    fn version(&self) -> u8 {
        self.link.as_ref().map_or(VERSION, |link| link.version)
    }

    fn send(&mut self, message: &Tree, id: u32, out: Out<'_>) {
        self.out.clear();
        message.encode(self.version(), id, &mut self.out);
        out(&self.out);
    }

    /// The next id for a message of its own; `None` without a connection.
    fn next_id(&mut self) -> Option<u32> {
        let link = self.link.as_mut().filter(|link| !link.over)?;
        link.last_id = link.last_id.wrapping_add(1);
        Some(link.last_id)
    }

    fn event(&mut self, at: Timestamp, kind: Event, event: Tree, out: Out<'_>) {
        if !self.config.tells(kind) {
            return;
        }
        let message = self.notification(at, event);
        if let Some(id) = self.next_id() {
            self.send(&message, id, out);
        }
    }

    fn notification(&self, at: Timestamp, event: Tree) -> Tree {
        let clock = Tree::new("UTCTimestamp").set("Microseconds", self.stamp(at));
        let data = Tree::new("ReaderEventNotificationData").with(clock).with(event);
        Tree::new("READER_EVENT_NOTIFICATION").with(data)
    }

    /// Sends the tag reports that there are, unless nobody is to have them now.
    fn report(&mut self, out: Out<'_>) {
        if self.link.as_ref().is_none_or(|link| link.held || link.over) {
            return;
        }
        let Self { link: Some(link), tags, profile, clock_offset, .. } = self else { return };
        let version = link.version;
        tags.take(profile, version, *clock_offset, |message| {
            link.last_id = link.last_id.wrapping_add(1);
            let len = message.len() as u32;
            message[2..6].copy_from_slice(&len.to_be_bytes());
            message[6..10].copy_from_slice(&link.last_id.to_be_bytes());
            out(message);
        });
    }

    fn frame(&mut self, now: Timestamp, frame: &Frame<'_>, air: &mut dyn Air, out: Out<'_>) {
        if self.link.as_ref().is_none_or(|link| link.over) {
            return;
        }
        let mut refusal = None;
        let reply = match self.message(now, frame, air, out) {
            Ok(reply) => reply,
            Err(error) => {
                let with_status = |name: &str| Tree::new(name).with(error.status());
                let answer = kind::response(frame.kind).and_then(super::definition::message);
                let plain = answer.filter(|answer| {
                    // A vendor's answer has no place for a status, and a newer version's is as unknown as its request.
                    answer.number != kind::CUSTOM_MESSAGE && error.code != code::UNSUPPORTED_MESSAGE
                });
                let name = plain
                    .filter(|_| error.code != code::UNSUPPORTED_VERSION)
                    .map_or("ERROR_MESSAGE", |answer| answer.name);
                let reply = with_status(name);
                refusal = Some(error);
                Some(reply)
            }
        };
        // To ask a reader for its version is how one that has 1.0.1 alone is found out.
        if let Some(refusal) = refusal.filter(|_| frame.kind != kind::GET_SUPPORTED_VERSION) {
            self.violation(now, frame.kind, refusal.top(), refusal.what);
        }
        if let Some(reply) = reply {
            self.send(&reply, frame.id, out);
        }
        if let (kind::SET_PROTOCOL_VERSION, Some(link), [version]) = (frame.kind, &mut self.link, frame.body)
            && (VERSION..=self.profile.version).contains(version)
        {
            // The answer still went in the old one.
            link.version = *version;
        }
        if frame.kind == kind::CLOSE_CONNECTION
            && let Some(link) = &mut self.link
        {
            link.over = true;
        }
    }

    /// Does what a message asks for, and gives the answer to it.
    fn message(
        &mut self,
        now: Timestamp,
        frame: &Frame<'_>,
        air: &mut dyn Air,
        out: Out<'_>,
    ) -> Result<Option<Tree>, Refusal> {
        let negotiates = matches!(frame.kind, kind::GET_SUPPORTED_VERSION | kind::SET_PROTOCOL_VERSION);
        // Messages of 1.1 that come before it is spoken.
        let spoken = if negotiates { VERSION_MAX } else { self.version() };
        if frame.version != spoken || spoken > self.profile.version {
            let what = format!("version {}: {} is spoken", frame.version, self.version());
            return Err(Refusal::message(code::UNSUPPORTED_VERSION, what));
        }
        // Of 2.0 nothing is needed that 1.1 hasn't.
        let body = tree::decode(&Frame { version: spoken.min(VERSION_MAX), ..*frame }).map_err(Refusal::from)?;
        if let Some((path, field)) = body.oddity() {
            let (code, what) = match field {
                Some(_) => (code::OUT_OF_RANGE, "a value that has no name"),
                None => (code::UNKNOWN_PARAMETER, "an unknown parameter"),
            };
            return Err(Refusal { code, path, field, what: what.to_owned() });
        }
        let success = |name: &str| Ok(Some(Tree::new(name).with(Tree::new("LLRPStatus"))));
        match frame.kind {
            kind::GET_READER_CAPABILITIES => Ok(Some(self.profile.capabilities(body.int("RequestedData")))),
            kind::GET_READER_CONFIG => self.config.get(&body, &self.profile, &self.antennas, &self.inputs).map(Some),
            kind::SET_READER_CONFIG => {
                self.config.set(&body, &self.profile)?;
                if let Some(link) = &mut self.link {
                    link.keepalive_due = self.config.keepalive.map(|period| now + period);
                    link.unanswered = None;
                }
                success("SET_READER_CONFIG_RESPONSE")
            }
            kind::ADD_ROSPEC => {
                let Some(spec) = body.child("ROSpec") else { return success("ADD_ROSPEC_RESPONSE") };
                let within = |refusal: Refusal| refusal.within(spec.number());
                let rospec = Rospec::parse(spec, &self.config, &self.profile).map_err(within)?;
                if self.rospecs.contains_key(&rospec.id) {
                    return Err(within(Refusal::field(spec, "ROSpecID", code::INVALID, "exists already")));
                }
                let most = self.profile.vendor.rospecs_max();
                if self.rospecs.len() >= most {
                    let what = format!("{most} ROSpecs are held: no room for more");
                    return Err(within(Refusal::message(code::OVERFLOW_PARAMETER, what)));
                }
                self.rospecs.insert(rospec.id, rospec);
                success("ADD_ROSPEC_RESPONSE")
            }
            kind::DELETE_ROSPEC => {
                for id in self.chosen(&body)? {
                    self.stop(now, id, air, out);
                    self.rospecs.remove(&id);
                }
                success("DELETE_ROSPEC_RESPONSE")
            }
            kind::ENABLE_ROSPEC => {
                for id in self.chosen(&body)? {
                    if let Some(rospec) = self.rospecs.get_mut(&id) {
                        rospec.enable(now);
                    }
                }
                // First the answer, then what follows from it.
                self.send(&Tree::new("ENABLE_ROSPEC_RESPONSE").with(Tree::new("LLRPStatus")), frame.id, out);
                self.start_due(now, out);
                Ok(None)
            }
            kind::DISABLE_ROSPEC => {
                for id in self.chosen(&body)? {
                    self.stop(now, id, air, out);
                    if let Some(rospec) = self.rospecs.get_mut(&id) {
                        rospec.disable();
                    }
                }
                success("DISABLE_ROSPEC_RESPONSE")
            }
            kind::START_ROSPEC => {
                let refuse = |what| Refusal::field(&body, "ROSpecID", code::INVALID, what);
                let id = body.int("ROSpecID") as u32;
                let rospec = self.rospecs.get(&id).ok_or_else(|| refuse("doesn't exist"))?;
                if !rospec.enabled {
                    return Err(refuse("is disabled"));
                }
                if self.run.is_some() {
                    return Err(refuse("can't start: an ROSpec is active"));
                }
                self.send(&Tree::new("START_ROSPEC_RESPONSE").with(Tree::new("LLRPStatus")), frame.id, out);
                self.start(now, id, out);
                Ok(None)
            }
            kind::STOP_ROSPEC => {
                let id = body.int("ROSpecID") as u32;
                if self.run.as_ref().is_none_or(|run| run.id != id) {
                    return Err(Refusal::field(&body, "ROSpecID", code::INVALID, "is not active"));
                }
                self.stop(now, id, air, out);
                success("STOP_ROSPEC_RESPONSE")
            }
            kind::GET_ROSPECS => {
                let active = self.run.as_ref().map(|run| run.id);
                let specs = self.rospecs.values().map(|rospec| rospec.tree(active == Some(rospec.id)));
                Ok(Some(Tree::new("GET_ROSPECS_RESPONSE").with(Tree::new("LLRPStatus")).with_all(specs)))
            }
            kind::ADD_ACCESSSPEC => {
                let Some(spec) = body.child("AccessSpec") else { return success("ADD_ACCESSSPEC_RESPONSE") };
                let within = |refusal: Refusal| refusal.within(spec.number());
                let parsed = AccessSpec::parse(spec, &self.profile).map_err(within)?;
                let id = spec.int("AccessSpecID") as u32;
                if self.access.specs.contains_key(&id) {
                    return Err(within(Refusal::field(spec, "AccessSpecID", code::INVALID, "exists already")));
                }
                if self.access.specs.len() >= access::ACCESSSPECS_MAX {
                    let what = format!("{} AccessSpecs are held: no room for more", self.access.specs.len());
                    return Err(within(Refusal::message(code::OVERFLOW_PARAMETER, what)));
                }
                self.access.specs.insert(id, parsed);
                success("ADD_ACCESSSPEC_RESPONSE")
            }
            kind::DELETE_ACCESSSPEC => {
                for id in self.chosen_access(&body)? {
                    self.access.specs.remove(&id);
                }
                success("DELETE_ACCESSSPEC_RESPONSE")
            }
            kind::ENABLE_ACCESSSPEC | kind::DISABLE_ACCESSSPEC => {
                let enable = frame.kind == kind::ENABLE_ACCESSSPEC;
                for id in self.chosen_access(&body)? {
                    if let Some(spec) = self.access.specs.get_mut(&id) {
                        spec.enabled = enable;
                    }
                }
                success(if enable { "ENABLE_ACCESSSPEC_RESPONSE" } else { "DISABLE_ACCESSSPEC_RESPONSE" })
            }
            kind::GET_ACCESSSPECS => {
                let specs = self.access.specs.values().map(AccessSpec::tree);
                Ok(Some(Tree::new("GET_ACCESSSPECS_RESPONSE").with(Tree::new("LLRPStatus")).with_all(specs)))
            }
            kind::GET_SUPPORTED_VERSION => Ok(Some(
                Tree::new("GET_SUPPORTED_VERSION_RESPONSE")
                    .set("CurrentVersion", self.version())
                    .set("SupportedVersion", self.profile.version)
                    .with(Tree::new("LLRPStatus")),
            )),
            kind::SET_PROTOCOL_VERSION => {
                let version = body.int("ProtocolVersion") as u8;
                if !(VERSION..=self.profile.version).contains(&version) {
                    let what = format!("version {version}: 1 to {} are supported", self.profile.version);
                    return Err(Refusal::message(code::UNSUPPORTED_VERSION, what));
                }
                success("SET_PROTOCOL_VERSION_RESPONSE")
            }
            kind::GET_REPORT => {
                if let Some(link) = &mut self.link {
                    link.held = false;
                }
                self.report(out);
                Ok(None)
            }
            kind::ENABLE_EVENTS_AND_REPORTS => {
                if let Some(link) = &mut self.link
                    && std::mem::take(&mut link.held)
                {
                    self.report(out);
                }
                Ok(None)
            }
            // Any id will do: clients don't all repeat the keepalive's.
            kind::KEEPALIVE_ACK => {
                if self.link.as_mut().and_then(|link| link.unanswered.take()).is_none() {
                    self.violation(now, frame.kind, 0, "answers no keepalive".to_owned());
                }
                Ok(None)
            }
            kind::CLOSE_CONNECTION => success("CLOSE_CONNECTION_RESPONSE"),
            kind::CUSTOM_MESSAGE if self.profile.vendor == Vendor::Impinj => self.vendor_message(&body).map(Some),
            _ => Err(Refusal::message(code::UNSUPPORTED_MESSAGE, format!("{} is not supported", body.name()))),
        }
    }

    /// Impinj's messages: only the one that enables extensions.
    fn vendor_message(&mut self, body: &Tree) -> Result<Tree, Refusal> {
        match body.extension() {
            Some(extension) if extension.name() == "IMPINJ_ENABLE_EXTENSIONS" => {
                Ok(Tree::new("IMPINJ_ENABLE_EXTENSIONS_RESPONSE").with(Tree::new("LLRPStatus")))
            }
            _ => {
                let (vendor, subtype) = (body.int("VendorIdentifier"), body.int("MessageSubtype"));
                let what = format!("custom message {subtype} of vendor {vendor} is not supported");
                Err(Refusal::message(code::UNSUPPORTED_MESSAGE, what))
            }
        }
    }

    /// The ROSpecs that a message names: one, or with 0 all.
    fn chosen(&self, body: &Tree) -> Result<Vec<u32>, Refusal> {
        match body.int("ROSpecID") as u32 {
            0 => Ok(self.rospecs.keys().copied().collect()),
            id if self.rospecs.contains_key(&id) => Ok(vec![id]),
            _ => Err(Refusal::field(body, "ROSpecID", code::INVALID, "doesn't exist")),
        }
    }

    /// The AccessSpecs that a message names: one, or with 0 all.
    fn chosen_access(&self, body: &Tree) -> Result<Vec<u32>, Refusal> {
        match body.int("AccessSpecID") as u32 {
            0 => Ok(self.access.specs.keys().copied().collect()),
            id if self.access.specs.contains_key(&id) => Ok(vec![id]),
            _ => Err(Refusal::field(body, "AccessSpecID", code::INVALID, "doesn't exist")),
        }
    }

    fn rospec_event(&mut self, at: Timestamp, event: u8, id: u32, out: Out<'_>) {
        let event = Tree::new("ROSpecEvent").set("EventType", event).set("ROSpecID", id);
        self.event(at, Event::Rospec, event, out);
    }

    /// Starts the ROSpec whose start trigger is due, if none is active; the most urgent one first.
    fn start_due(&mut self, now: Timestamp, out: Out<'_>) {
        if self.run.is_none() {
            let due = self.rospecs.values().filter(|rospec| rospec.next_start.is_some_and(|start| start <= now));
            if let Some(id) = due.min_by_key(|rospec| (rospec.priority, rospec.next_start, rospec.id)).map(|r| r.id) {
                self.start(now, id, out);
            }
        }
    }

    fn start(&mut self, now: Timestamp, id: u32, out: Out<'_>) {
        let Some(rospec) = self.rospecs.get_mut(&id) else { return };
        if let (Start::Periodic { period, .. }, Some(start)) = (rospec.start, rospec.next_start) {
            let missed = now.since(start).micros() / period.micros();
            rospec.next_start = Some(start + Duration::from_micros(period.micros() * (missed + 1)));
        } else {
            rospec.next_start = None;
        }
        self.run = Some(Run::new(now, rospec));
        self.rospec_event(now, 0, id, out);
    }

    /// Ends `id` if it is active. An immediate start trigger doesn't start it again, as it does after its own end.
    fn stop(&mut self, now: Timestamp, id: u32, air: &mut dyn Air, out: Out<'_>) {
        if self.run.as_ref().is_some_and(|run| run.id == id) {
            self.interrogate(now, air, out);
            self.end_aispec(now, out);
            self.end_rospec(now, out);
        }
    }

    /// Hears what the antenna whose turn it is has heard up to `at`.
    fn interrogate(&mut self, at: Timestamp, air: &mut dyn Air, out: Out<'_>) {
        let version = self.version();
        let Self { run: Some(run), rospecs, tags, antennas, access, .. } = self else { return };
        let Some(rospec) = rospecs.get(&run.id) else { return };
        let spec = &rospec.specs[run.spec];
        let (antenna, power) = spec.antennas[run.turn];
        let (mut lost, mut at_once) = (false, false);
        if run.from < at && antennas.get(usize::from(antenna) - 1).is_some_and(|connected| *connected) {
            air.interrogate(antenna, power, run.from, at, &mut |read| {
                let Some(epc) = access.answers(read.epc) else { return };
                let told = TagRead { epc, antenna, ..*read };
                run.heard(epc, read.at, spec);
                lost |= !tags.heard(&told, rospec, run.spec, antenna);
                if access.specs.is_empty() {
                    return;
                }
                for outcome in access.work(read.epc, rospec.id, antenna, version) {
                    at_once |= outcome.at_once;
                    lost |= !tags.worked(&told, rospec, run.spec, outcome);
                }
            });
        }
        run.from = at;
        if lost && !std::mem::replace(&mut self.tags.overflowed, true) {
            self.event(at, Event::BufferWarning, Tree::new("ReportBufferOverflowErrorEvent"), out);
        }
        if at_once {
            self.report(out);
        }
    }

    fn end_aispec(&mut self, at: Timestamp, out: Out<'_>) {
        let Some(run) = &self.run else { return };
        let (id, spec) = (run.id, run.spec as u16 + 1);
        self.access.begin();
        if self.rospecs.get(&id).is_some_and(|rospec| rospec.report.at_end_of_aispec()) {
            self.report(out);
        }
        let event = Tree::new("AISpecEvent").set("ROSpecID", id).set("SpecIndex", spec);
        self.event(at, Event::Aispec, event, out);
    }

    fn end_rospec(&mut self, at: Timestamp, out: Out<'_>) {
        let Some(run) = self.run.take() else { return };
        if self.rospecs.get(&run.id).is_some_and(|rospec| rospec.report.at_end_of_rospec()) {
            self.report(out);
        }
        self.rospec_event(at, 1, run.id, out);
    }

    /// Goes on with the active ROSpec up to `now`.
    fn advance(&mut self, now: Timestamp, air: &mut dyn Air, out: Out<'_>) {
        if let Some(run) = &mut self.run
            && run.until + SLEEP < now
        {
            run.from = now;
            run.until = now;
        }
        self.start_due(now, out);
        while let Some(at) = self.run.as_ref().map(|run| run.until).filter(|until| *until <= now) {
            self.interrogate(at, air, out);
            let Self { run: Some(run), rospecs, .. } = self else { return };
            let Some(rospec) = rospecs.get_mut(&run.id) else { return };
            let (rospec_over, spec_over) = (run.rospec_over(at), run.spec_over(at, rospec));
            let last = run.spec + 1 == rospec.specs.len();
            if !(rospec_over || spec_over) {
                run.next_slice(at, rospec);
                if rospec.report.is_due(self.tags.len()) {
                    self.report(out);
                }
                continue;
            }
            if rospec_over || last {
                if rospec.start == Start::Immediate {
                    rospec.next_start = Some(at);
                }
                self.end_aispec(at, out);
                self.end_rospec(at, out);
                self.start_due(at, out);
            } else {
                self.end_aispec(at, out);
                let Self { run: Some(run), rospecs, .. } = self else { return };
                let Some(rospec) = rospecs.get(&run.id) else { return };
                run.next_spec(at, rospec);
            }
        }
    }
}

impl ReaderDevice for Reader {
    fn connected(&mut self, now: Timestamp, out: &mut dyn FnMut(&[u8])) {
        self.inbox.clear();
        self.link = Some(Link {
            version: VERSION,
            last_id: 0,
            held: self.config.hold,
            keepalive_due: self.config.keepalive.map(|period| now + period),
            unanswered: None,
            over: false,
        });
        // Status 0: success.
        self.event(now, Event::Connection, Tree::new("ConnectionAttemptEvent"), out);
    }

    fn receive(&mut self, now: Timestamp, octets: &[u8], air: &mut dyn Air, out: &mut dyn FnMut(&[u8])) {
        self.advance(now, air, out);
        let mut inbox = std::mem::take(&mut self.inbox);
        let framed = inbox.receive(octets, |frame| self.frame(now, &frame, air, out));
        self.inbox = inbox;
        if let (Err(error), Some(link)) = (framed, &mut self.link) {
            link.over = true;
            self.violation(now, 0, 0, error.to_string());
        }
    }

    fn tick(&mut self, now: Timestamp, air: &mut dyn Air, out: &mut dyn FnMut(&[u8])) {
        self.advance(now, air, out);
        let period = self.config.keepalive;
        let Some(link) = self.link.as_mut().filter(|link| !link.over) else { return };
        if let (Some(due), Some(period)) = (link.keepalive_due, period)
            && due <= now
        {
            if link.unanswered.is_some() {
                link.over = true;
                let what = "the last keepalive was not answered before the next".to_owned();
                self.violation(now, kind::KEEPALIVE, 0, what);
                return;
            }
            link.keepalive_due = Some((due + period).max(now));
            link.last_id = link.last_id.wrapping_add(1);
            let id = link.last_id;
            link.unanswered = Some(id);
            self.send(&Tree::new("KEEPALIVE"), id, out);
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let keepalive = self.link.as_ref().filter(|link| !link.over).and_then(|link| link.keepalive_due);
        let run = self.run.as_ref().map(|run| run.until);
        let starts = self.rospecs.values().filter(|_| run.is_none()).filter_map(|rospec| rospec.next_start);
        starts.chain(run).chain(keepalive).min()
    }

    fn disconnected(&mut self, _now: Timestamp) {
        self.link = None;
    }

    fn over(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.over)
    }
}
