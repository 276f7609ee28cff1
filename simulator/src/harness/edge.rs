//! The edge while it runs: the engine and its ends of all sessions, wired as the daemon wires them, without its threads
//! and sockets.

use super::line::Packet;
use super::smart::{self, Travels};
use std::sync::Arc;
use stowage::adapt::reader::{self, Points};
use stowage::adapt::scanner::{self, Catalogue, RETRY, Standing};
use stowage::adapt::sorter::{self, Said};
use stowage::config::{self, DeviceKind};
use stowage_base::{Code, Intent, ReaderEvent, ReaderSession, ReaderSink, TagRead, Timestamp, Visit};
use stowage_core::commit::Stored;
use stowage_core::input::DeviceEvent;
use stowage_core::site::DeviceIx;
use stowage_core::{Effect, Engine, Input, Site};
use stowage_link::{Change, EdgeEnd, EdgeSink, EnrolmentKey, Feed, Progress, Random, Why};
use stowage_protocol::reader_mqtt::{self, Session};
use stowage_protocol::sorter::{Event, Order};
use stowage_protocol::{impinj_iot, llrp, modbus_sorter, sorter_mqtt, zebra_iotc};

/// The engine and its ends of all sessions.
pub(super) struct Edge {
    pub(super) engine: Engine,
    /// By device.
    seats: Vec<Seat>,
    catalogue: Catalogue,
    /// Differs at each start.
    boot: u32,
}

enum Seat {
    Llrp(Box<llrp::Client>, Points),
    Mercury(Box<stowage_mercury::Client>, Points),
    Impinj(Box<impinj_iot::Edge>, Points),
    Zebra(Box<zebra_iotc::Edge>, Points),
    Sorter(Box<sorter_mqtt::Edge>),
    Plc(Box<modbus_sorter::Edge>),
    Scanner {
        code: Code,
        key: EnrolmentKey,
        standing: Standing,
        end: Box<EdgeEnd>,
    },
    /// Nobody is there: see [`Far::Away`](super::far::Far::Away).
    Away,
}

/// What happens to a session.
pub(super) enum Step {
    Connected(Random),
    Arrived(Packet),
    Tick,
    Disconnected,
    Effect(Effect),
}

impl Edge {
    /// Starts on what a journal holds, before anything is recorded.
    ///
    /// # Errors
    /// A stored row makes no sense, or a device's settings can't be.
    pub(super) fn new(config: &config::Edge, site: &Arc<Site>, stored: Stored, boot: u32) -> Result<Self, String> {
        let engine = Engine::new(Arc::clone(site), stored)?;
        let mut seats = Vec::new();
        for (index, device) in config.devices.iter().enumerate() {
            let ix = DeviceIx(index as u16);
            seats.push(match &device.kind {
                DeviceKind::Llrp(llrp) => {
                    let client =
                        llrp::Client::new(reader::llrp(llrp)).map_err(|error| format!("{}: {error}", device.id))?;
                    Seat::Llrp(Box::new(client), Points::of(site, ix))
                }
                DeviceKind::Mercury(module) => {
                    let client = stowage_mercury::Client::new(reader::mercury(module));
                    Seat::Mercury(Box::new(client), Points::of(site, ix))
                }
                DeviceKind::ImpinjIot(smart) => {
                    let session = impinj_iot::Edge::new(reader::impinj(smart, &site.code, &device.id));
                    Seat::Impinj(Box::new(session), Points::of(site, ix))
                }
                DeviceKind::ZebraIotc(smart) => {
                    let session = zebra_iotc::Edge::new(reader::zebra(smart, &site.code, &device.id, boot));
                    Seat::Zebra(Box::new(session), Points::of(site, ix))
                }
                DeviceKind::SorterMqtt(_) => {
                    Seat::Sorter(Box::new(sorter_mqtt::Edge::new(sorter_mqtt::EdgeSettings::default())))
                }
                DeviceKind::SorterModbus(plc) => Seat::Plc(Box::new(modbus_sorter::Edge::new(sorter::modbus(plc)))),
                DeviceKind::Scanner(scanner) => Seat::Scanner {
                    code: device.id.clone(),
                    key: *scanner.key.expose(),
                    standing: Standing::new(engine.answered(ix)),
                    end: Box::new(EdgeEnd::new()),
                },
                DeviceKind::Robot(_) => Seat::Away,
            });
        }
        Ok(Self { engine, seats, catalogue: Catalogue::of(site), boot })
    }

    /// What the session of `device` makes of a step: what it says goes to the engine, what it sends is returned.
    pub(super) fn step(&mut self, now: Timestamp, device: usize, step: Step) -> Vec<Packet> {
        let Self { engine, seats, catalogue, boot } = self;
        let ix = DeviceIx(device as u16);
        let mut out = Vec::new();
        match &mut seats[device] {
            Seat::Llrp(session, points) => read(&mut **session, step, Ear { now, ix, engine, points, out: &mut out }),
            Seat::Mercury(session, points) => {
                read(&mut **session, step, Ear { now, ix, engine, points, out: &mut out });
            }
            Seat::Impinj(session, points) => {
                read_smart(&mut **session, step, Ear { now, ix, engine, points, out: &mut out });
            }
            Seat::Zebra(session, points) => {
                read_smart(&mut **session, step, Ear { now, ix, engine, points, out: &mut out });
            }
            Seat::Sorter(session) => {
                let mut sink = Belt { now, ix, engine, out: &mut out };
                match step {
                    Step::Connected(_) => session.connected(now, &mut sink),
                    Step::Arrived(packet) => session.receive(now, &packet.topic, &packet.octets, &mut sink),
                    Step::Tick => session.tick(now, &mut sink),
                    Step::Disconnected => session.disconnected(now, &mut sink),
                    Step::Effect(Effect::Divert { boot, item, chute, deadline, .. }) => {
                        session.divert(now, Order { boot, item, chute, deadline }, &mut sink);
                    }
                    Step::Effect(Effect::Recorded { boot, item, .. }) => session.recorded(boot, item),
                    Step::Effect(_) => {}
                }
            }
            Seat::Plc(session) => {
                let mut sink = Belt { now, ix, engine, out: &mut out };
                match step {
                    Step::Connected(_) => session.connected(now, &mut sink),
                    Step::Arrived(packet) => session.receive(now, &packet.octets, &mut sink),
                    Step::Tick => session.tick(now, &mut sink),
                    Step::Disconnected => session.disconnected(now, &mut sink),
                    Step::Effect(Effect::Divert { boot, item, chute, deadline, .. }) => {
                        session.divert(now, Order { boot, item, chute, deadline }, &mut sink);
                    }
                    Step::Effect(Effect::Recorded { boot, item, .. }) => session.recorded(now, boot, item, &mut sink),
                    Step::Effect(_) => {}
                }
            }
            Seat::Scanner { code, key, standing, end } => {
                if let Step::Effect(effect) = &step {
                    standing.effect(effect);
                }
                let key = *key;
                let mut sink = Hand { now, ix, code, key, engine, standing, catalogue, boot: *boot, out: &mut out };
                match step {
                    Step::Connected(random) => end.connected(now, random),
                    Step::Arrived(packet) => end.receive(now, &packet.octets, &mut sink),
                    Step::Tick => end.tick(now, &mut sink),
                    Step::Disconnected => end.disconnected(&mut sink),
                    Step::Effect(Effect::Answer { seq, verdict, .. }) => end.answer(seq, &verdict, &mut sink),
                    Step::Effect(Effect::Refuse { seq, .. }) => end.refuse(seq, RETRY, &mut sink),
                    Step::Effect(_) => end.news(now, &mut sink),
                }
            }
            Seat::Away => {}
        }
        out
    }

    /// When a session wants a tick.
    pub(super) fn next_deadline(&self, device: usize) -> Option<Timestamp> {
        match &self.seats[device] {
            Seat::Llrp(session, _) => session.next_deadline(),
            Seat::Mercury(session, _) => session.next_deadline(),
            Seat::Impinj(session, _) => session.next_deadline(),
            Seat::Zebra(session, _) => session.next_deadline(),
            Seat::Sorter(session) => session.next_deadline(),
            Seat::Plc(session) => session.next_deadline(),
            Seat::Scanner { end, .. } => end.next_deadline(),
            Seat::Away => None,
        }
    }

    /// A session has given up its connection.
    pub(super) fn over(&self, device: usize) -> bool {
        match &self.seats[device] {
            Seat::Llrp(session, _) => session.over(),
            Seat::Mercury(session, _) => session.over(),
            Seat::Impinj(..) | Seat::Zebra(..) | Seat::Sorter(_) | Seat::Away => false,
            Seat::Plc(session) => session.over(),
            Seat::Scanner { end, .. } => end.over().is_some(),
        }
    }
}

fn read(session: &mut impl ReaderSession, step: Step, mut ear: Ear<'_>) {
    let now = ear.now;
    match step {
        Step::Connected(_) => session.connected(now, &mut ear),
        Step::Arrived(packet) => session.receive(now, &packet.octets, &mut ear),
        Step::Tick => session.tick(now, &mut ear),
        Step::Disconnected => session.disconnected(now, &mut ear),
        Step::Effect(_) => {}
    }
}

fn read_smart<S: Session<Out: Travels>>(session: &mut S, step: Step, mut ear: Ear<'_>) {
    let now = ear.now;
    match step {
        Step::Connected(_) => session.connected(now, &mut ear),
        Step::Arrived(packet) => smart::arrived(session, now, &packet, &mut ear),
        Step::Tick => session.tick(now, &mut ear),
        Step::Disconnected => session.disconnected(now, &mut ear),
        Step::Effect(_) => {}
    }
}

/// What a reader's session tells.
struct Ear<'a> {
    now: Timestamp,
    ix: DeviceIx,
    engine: &'a mut Engine,
    points: &'a Points,
    out: &'a mut Vec<Packet>,
}

impl ReaderSink for Ear<'_> {
    fn send(&mut self, octets: &[u8]) {
        self.out.push(Packet { topic: String::new(), octets: octets.to_vec() });
    }

    fn read(&mut self, read: &TagRead) {
        if let Some(point) = self.points.get(read.antenna) {
            self.engine.read(self.now, point, read);
        }
    }

    fn visit(&mut self, visit: &Visit) {
        if let Some(point) = self.points.get(visit.antenna) {
            self.engine.input(self.now, Input::Visit { point, visit: *visit });
        }
    }

    fn event(&mut self, event: ReaderEvent) {
        self.engine.input(self.now, Input::Device { device: self.ix, event: reader::event(event) });
    }
}

impl<Out: Travels> reader_mqtt::Sink<Out> for Ear<'_> {
    fn send(&mut self, out: Out) {
        self.out.push(out.packet());
    }

    fn read(&mut self, read: &TagRead) {
        ReaderSink::read(self, read);
    }

    fn visit(&mut self, visit: &Visit) {
        ReaderSink::visit(self, visit);
    }

    fn event(&mut self, event: reader_mqtt::Event) {
        if let Some(event) = reader::smart_event(event) {
            self.engine.input(self.now, Input::Device { device: self.ix, event });
        }
    }
}

/// What a sorter's session tells.
struct Belt<'a> {
    now: Timestamp,
    ix: DeviceIx,
    engine: &'a mut Engine,
    out: &'a mut Vec<Packet>,
}

impl sorter_mqtt::Sink for Belt<'_> {
    fn publish(&mut self, topic: &str, payload: Vec<u8>) {
        self.out.push(Packet { topic: topic.to_owned(), octets: payload });
    }

    fn event(&mut self, event: Event) {
        self.said(event);
    }
}

impl modbus_sorter::Sink for Belt<'_> {
    fn send(&mut self, octets: &[u8]) {
        self.out.push(Packet { topic: String::new(), octets: octets.to_vec() });
    }

    fn event(&mut self, event: Event) {
        self.said(event);
    }
}

impl Belt<'_> {
    fn said(&mut self, event: Event) {
        let (now, ix) = (self.now, self.ix);
        sorter::event(event, |said| {
            let input = match said {
                Said::Device(event) => Input::Device { device: ix, event },
                Said::Sorter(event) => Input::Sorter { sorter: ix, event },
            };
            self.engine.input(now, input);
        });
    }
}

/// What a scanner's session tells, and asks.
struct Hand<'a> {
    now: Timestamp,
    ix: DeviceIx,
    code: &'a Code,
    key: EnrolmentKey,
    engine: &'a mut Engine,
    standing: &'a mut Standing,
    catalogue: &'a Catalogue,
    boot: u32,
    out: &'a mut Vec<Packet>,
}

impl Hand<'_> {
    fn device(&mut self, event: DeviceEvent) {
        self.engine.input(self.now, Input::Device { device: self.ix, event });
    }
}

impl EdgeSink for Hand<'_> {
    fn send(&mut self, octets: &[u8]) {
        self.out.push(Packet { topic: String::new(), octets: octets.to_vec() });
    }

    fn key(&mut self, device: &Code) -> Option<EnrolmentKey> {
        (device == self.code).then_some(self.key)
    }

    fn up(&mut self, _device: &Code) -> Progress {
        self.device(DeviceEvent::Up);
        self.standing.up()
    }

    fn down(&mut self, why: Why) {
        self.device(DeviceEvent::Down(scanner::down(why).into()));
    }

    fn intent(&mut self, intent: Intent) {
        self.standing.taken(intent.seq);
        self.engine.input(self.now, Input::Intent { scanner: self.ix, intent });
    }

    fn repeated(&mut self, intent: Intent) {
        self.engine.input(self.now, Input::Intent { scanner: self.ix, intent });
    }

    fn lost(&mut self, _acked: u32, answered: u32) {
        self.engine.input(self.now, Input::Lost { scanner: self.ix, answered });
        self.standing.lost(answered);
    }

    fn epoch(&mut self, feed: Feed) -> u32 {
        match feed {
            Feed::Catalogue => self.catalogue.epoch(),
            Feed::Tasks => self.boot,
        }
    }

    fn change_after(&mut self, feed: Feed, version: u32) -> Option<(u32, Change)> {
        match feed {
            Feed::Catalogue => self.catalogue.change_after(version),
            Feed::Tasks => self.standing.task_after(version),
        }
    }
}
