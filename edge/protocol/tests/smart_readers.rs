//! Both ends of the smart readers' interfaces against each other, on one clock: no broker, no socket, no waiting.

use proptest::prelude::*;
use std::collections::VecDeque;
use stowage_base::{Air, Duration, Epc, TagRead, Timestamp, Visit};
use stowage_protocol::impinj_iot::{self, MqttSettings};
use stowage_protocol::reader_mqtt::{AntennaSettings, Event, Session, Sink, Watch};
use stowage_protocol::zebra_iotc::{self, Topics};

const LATENCY: Duration = Duration::from_millis(8);

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis)
}

fn tag(n: u8) -> Epc {
    Epc::new(&[0x30, 0x39, 0x5D, 0xFA, 0x81, 0xB7, 0xD8, 0x40, 0, 0, 0, n]).expect("12 octets")
}

/// Tags that answer each 20 ms to the antennas that they are listed with.
struct Tags(Vec<(u16, Epc)>);

impl Air for Tags {
    fn interrogate(
        &mut self,
        antenna: u16,
        power_cdbm: i16,
        start: Timestamp,
        end: Timestamp,
        heard: &mut dyn FnMut(&TagRead),
    ) {
        const PERIOD: i64 = 20_000;
        let mut at = Timestamp::from_micros((start.micros() + PERIOD - 1) / PERIOD * PERIOD);
        while at < end {
            for (_, epc) in self.0.iter().filter(|(place, _)| *place == antenna) {
                let (rssi_cdbm, frequency_khz, phase) = (power_cdbm - 8_500, Some(903_250), Some(1_024));
                heard(&TagRead { epc: *epc, antenna, rssi_cdbm, count: 1, at, frequency_khz, phase });
            }
            at += Duration::from_micros(PERIOD);
        }
    }
}

/// What an edge's session made of what it received.
struct Seen<Out> {
    out: Vec<Out>,
    reads: Vec<TagRead>,
    visits: Vec<Visit>,
    events: Vec<Event>,
}

impl<Out> Default for Seen<Out> {
    fn default() -> Self {
        Self { out: Vec::new(), reads: Vec::new(), visits: Vec::new(), events: Vec::new() }
    }
}

impl<Out> Sink<Out> for Seen<Out> {
    fn send(&mut self, out: Out) {
        self.out.push(out);
    }
    fn read(&mut self, read: &TagRead) {
        self.reads.push(*read);
    }
    fn visit(&mut self, visit: &Visit) {
        self.visits.push(*visit);
    }
    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

/// Both ends of one vendor's interface.
trait Ends {
    type Out;
    fn edge_connected(&mut self, now: Timestamp, seen: &mut Seen<Self::Out>);
    fn edge_disconnected(&mut self, now: Timestamp, seen: &mut Seen<Self::Out>);
    fn edge_receive(&mut self, now: Timestamp, topic: &str, payload: &[u8], seen: &mut Seen<Self::Out>);
    fn edge_tick(&mut self, now: Timestamp, seen: &mut Seen<Self::Out>);
    fn edge_deadline(&self) -> Option<Timestamp>;
    /// Carries what the edge sends to the reader, and REST's answer back.
    fn carry(&mut self, now: Timestamp, out: Self::Out, seen: &mut Seen<Self::Out>, to: &mut dyn FnMut(&str, &[u8]));
    fn reader_tick(&mut self, now: Timestamp, air: &mut dyn Air, to: &mut dyn FnMut(&str, &[u8]));
    fn reader_deadline(&self) -> Option<Timestamp>;
    fn reader_online(&mut self, now: Timestamp, online: bool, to: &mut dyn FnMut(&str, &[u8]));
    /// Whether the reader knows a broker.
    fn wants_broker(&self) -> bool;
    fn last_will(&self) -> (String, Vec<u8>);
    fn restart(&mut self);
    fn antenna(&mut self, now: Timestamp, port: u16, connected: bool, to: &mut dyn FnMut(&str, &[u8]));
    fn clock_offset(&mut self, offset: Duration);
    fn violations(&self) -> Vec<String>;
}

struct Impinj {
    edge: impinj_iot::Edge,
    reader: impinj_iot::Reader,
    /// Nobody answers at the reader's address.
    dead: bool,
}

fn watch() -> Watch {
    let antenna = |port| AntennaSettings { port, power_cdbm: 3_000 };
    Watch { antennas: vec![antenna(1), antenna(2)], turn: ms(250), delay: Duration::ZERO }
}

impl Impinj {
    fn new() -> Self {
        let settings = impinj_iot::Settings {
            watch: watch(),
            session: 1,
            population: 32,
            rf_mode: 1002,
            interval_s: 0,
            preset: None,
            mqtt: MqttSettings {
                host: "broker".into(),
                port: 1883,
                client: "gate-3".into(),
                event_topic: "r700/gate-3".into(),
                will_topic: "r700/gate-3/will".into(),
                ..MqttSettings::default()
            },
        };
        let profile = impinj_iot::Profile {
            antennas: 2,
            hostname: "impinj-14-2a-3f".into(),
            user: "root".into(),
            password: "impinj".into(),
        };
        Self { edge: impinj_iot::Edge::new(settings), reader: impinj_iot::Reader::new(profile), dead: false }
    }
}

impl Ends for Impinj {
    type Out = impinj_iot::Request;
    fn edge_connected(&mut self, now: Timestamp, seen: &mut Seen<Self::Out>) {
        self.edge.connected(now, seen);
    }
    fn edge_disconnected(&mut self, now: Timestamp, seen: &mut Seen<Self::Out>) {
        self.edge.disconnected(now, seen);
    }
    fn edge_receive(&mut self, now: Timestamp, topic: &str, payload: &[u8], seen: &mut Seen<Self::Out>) {
        self.edge.receive(now, topic, payload, seen);
    }
    fn edge_tick(&mut self, now: Timestamp, seen: &mut Seen<Self::Out>) {
        self.edge.tick(now, seen);
    }
    fn edge_deadline(&self) -> Option<Timestamp> {
        self.edge.next_deadline()
    }
    fn carry(&mut self, now: Timestamp, out: Self::Out, seen: &mut Seen<Self::Out>, to: &mut dyn FnMut(&str, &[u8])) {
        if self.dead {
            return self.edge.answered(now, out.id, Err("connection refused"), seen);
        }
        let login = impinj_iot::authorization("root", "impinj");
        let body = out.body.unwrap_or_default();
        let answer = self.reader.request(now, out.method.as_str(), &out.path, Some(&login), &body, to);
        self.edge.answered(now, out.id, Ok((answer.status, &answer.body)), seen);
    }
    fn reader_tick(&mut self, now: Timestamp, air: &mut dyn Air, to: &mut dyn FnMut(&str, &[u8])) {
        self.reader.tick(now, air, to);
    }
    fn reader_deadline(&self) -> Option<Timestamp> {
        self.reader.next_deadline()
    }
    fn reader_online(&mut self, now: Timestamp, online: bool, to: &mut dyn FnMut(&str, &[u8])) {
        if online { self.reader.connected(now, to) } else { self.reader.disconnected() }
    }
    fn wants_broker(&self) -> bool {
        self.reader.link().is_some()
    }
    fn last_will(&self) -> (String, Vec<u8>) {
        let (topic, message) = self.reader.link().expect("it was told").will;
        (topic, message.into_bytes())
    }
    fn restart(&mut self) {
        self.reader.restart();
    }
    fn antenna(&mut self, now: Timestamp, port: u16, connected: bool, to: &mut dyn FnMut(&str, &[u8])) {
        self.reader.set_antenna(now, port, connected, to);
    }
    fn clock_offset(&mut self, offset: Duration) {
        self.reader.set_clock_offset(offset);
    }
    fn violations(&self) -> Vec<String> {
        self.reader.violations().iter().map(|violation| format!("{violation:?}")).collect()
    }
}

struct Zebra {
    edge: zebra_iotc::Edge,
    reader: zebra_iotc::Reader,
}

impl Zebra {
    fn new(batching: bool) -> Self {
        let topics = Topics::below("zebra/gate-4");
        let settings = zebra_iotc::Settings {
            watch: watch(),
            topics: topics.clone(),
            session: 1,
            population: 32,
            interval_s: 0,
            command_prefix: "edge-7".into(),
        };
        let profile = zebra_iotc::Profile { antennas: 2, topics, batching };
        Self { edge: zebra_iotc::Edge::new(settings), reader: zebra_iotc::Reader::new(profile) }
    }
}

impl Ends for Zebra {
    type Out = zebra_iotc::Command;
    fn edge_connected(&mut self, now: Timestamp, seen: &mut Seen<Self::Out>) {
        self.edge.connected(now, seen);
    }
    fn edge_disconnected(&mut self, now: Timestamp, seen: &mut Seen<Self::Out>) {
        self.edge.disconnected(now, seen);
    }
    fn edge_receive(&mut self, now: Timestamp, topic: &str, payload: &[u8], seen: &mut Seen<Self::Out>) {
        self.edge.receive(now, topic, payload, seen);
    }
    fn edge_tick(&mut self, now: Timestamp, seen: &mut Seen<Self::Out>) {
        self.edge.tick(now, seen);
    }
    fn edge_deadline(&self) -> Option<Timestamp> {
        self.edge.next_deadline()
    }
    fn carry(&mut self, now: Timestamp, out: Self::Out, _: &mut Seen<Self::Out>, to: &mut dyn FnMut(&str, &[u8])) {
        self.reader.receive(now, &out.topic, &out.payload, to);
    }
    fn reader_tick(&mut self, now: Timestamp, air: &mut dyn Air, to: &mut dyn FnMut(&str, &[u8])) {
        self.reader.tick(now, air, to);
    }
    fn reader_deadline(&self) -> Option<Timestamp> {
        self.reader.next_deadline()
    }
    fn reader_online(&mut self, now: Timestamp, online: bool, to: &mut dyn FnMut(&str, &[u8])) {
        if online { self.reader.connected(now, to) } else { self.reader.disconnected() }
    }
    fn wants_broker(&self) -> bool {
        true
    }
    fn last_will(&self) -> (String, Vec<u8>) {
        let (topic, message) = self.reader.will().expect("it has one");
        (topic.to_owned(), message.as_bytes().to_vec())
    }
    fn restart(&mut self) {
        self.reader.restart();
    }
    fn antenna(&mut self, _: Timestamp, port: u16, connected: bool, _: &mut dyn FnMut(&str, &[u8])) {
        self.reader.set_antenna(port, connected);
    }
    fn clock_offset(&mut self, offset: Duration) {
        self.reader.set_clock_offset(offset);
    }
    fn violations(&self) -> Vec<String> {
        self.reader.violations().iter().map(|violation| format!("{violation:?}")).collect()
    }
}

/// Both ends and what is between them: a broker that takes [`LATENCY`] each way.
struct Pair<E: Ends> {
    ends: E,
    now: Timestamp,
    air: Tags,
    seen: Seen<E::Out>,
    to_edge: VecDeque<(Timestamp, String, Vec<u8>)>,
    to_reader: VecDeque<(Timestamp, E::Out)>,
    online: bool,
    /// The reader has power and a cable.
    plugged: bool,
}

impl<E: Ends> Pair<E> {
    fn new(ends: E) -> Self {
        let now = Timestamp::from_micros(1_795_558_200_000_000);
        let (to_edge, to_reader) = (VecDeque::new(), VecDeque::new());
        let air = Tags(Vec::new());
        Self { ends, now, air, seen: Seen::default(), to_edge, to_reader, online: false, plugged: true }
    }

    /// A pair whose session is up.
    fn up(ends: E) -> Self {
        let mut pair = Self::new(ends);
        pair.connect();
        pair.run(2_000);
        assert_eq!(pair.seen.events, [Event::Up]);
        pair
    }

    fn connect(&mut self) {
        self.ends.edge_connected(self.now, &mut self.seen);
    }

    /// Lets time pass.
    fn run(&mut self, millis: i64) {
        let end = self.now + ms(millis);
        loop {
            if self.plugged && !self.online && self.ends.wants_broker() {
                self.set_online(true);
            }
            for out in std::mem::take(&mut self.seen.out) {
                self.to_reader.push_back((self.now + LATENCY, out));
            }
            let due = [
                self.to_edge.front().map(|(at, ..)| *at),
                self.to_reader.front().map(|(at, _)| *at),
                self.ends.edge_deadline(),
                self.ends.reader_deadline(),
            ];
            let Some(due) = due.into_iter().flatten().min().filter(|due| *due <= end) else { break };
            self.now = self.now.max(due);
            let Self { ends, now, air, seen, to_edge, to_reader, online, plugged } = self;
            while let Some((_, topic, payload)) = to_edge.pop_front_if(|(at, ..)| *at <= *now) {
                ends.edge_receive(*now, &topic, &payload, seen);
            }
            let (now, online) = (*now, *online);
            let mut to = |topic: &str, payload: &[u8]| {
                if online || topic.ends_with("res") {
                    to_edge.push_back((now + LATENCY, topic.to_owned(), payload.to_vec()));
                }
            };
            while let Some((_, out)) = to_reader.pop_front_if(|(at, _)| *at <= now) {
                if *plugged {
                    ends.carry(now, out, seen, &mut to);
                }
            }
            ends.reader_tick(now, air, &mut to);
            ends.edge_tick(now, seen);
        }
        self.now = end;
    }

    fn set_online(&mut self, online: bool) {
        let Self { ends, now, to_edge, .. } = self;
        let mut to = |topic: &str, payload: &[u8]| {
            to_edge.push_back((*now + LATENCY, topic.to_owned(), payload.to_vec()));
        };
        ends.reader_online(*now, online, &mut to);
        self.online = online;
    }

    /// The reader's cable is pulled: the broker tells its last will.
    fn unplug(&mut self) {
        self.plugged = false;
        self.set_online(false);
        let (topic, message) = self.ends.last_will();
        self.to_edge.push_back((self.now + LATENCY, topic, message));
    }

    fn plug(&mut self) {
        self.plugged = true;
    }

    fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.seen.events)
    }

    fn forget(&mut self) {
        self.seen.reads.clear();
        self.seen.visits.clear();
        self.seen.events.clear();
    }
}

fn goods_are_read<E: Ends>(ends: E) {
    let mut pair = Pair::up(ends);
    pair.air.0 = vec![(1, tag(1)), (2, tag(2))];
    pair.forget();
    let begin = pair.now;
    pair.run(10_000);
    let Seen { reads, visits, events, .. } = &pair.seen;
    assert_eq!(events, &[]);
    let of = |antenna: u16| reads.iter().filter(move |read| read.antenna == antenna);
    for (antenna, epc) in [(1, tag(1)), (2, tag(2))] {
        assert!(of(antenna).all(|read| read.epc == epc));
        let count = of(antenna).count();
        assert!((240..=255).contains(&count), "half of 500 replies: {count}");
    }
    let first = reads[0];
    assert_eq!((first.rssi_cdbm, first.frequency_khz, first.count), (-5_500, Some(903_250), 1));
    assert!(matches!(first.phase, Some(1_013..=1_024)), "{first:?}");
    // Stamped by the reader's clock, which is ours here: heard on the 20 ms grid.
    for read in reads {
        let off = read.at.micros().rem_euclid(20_000);
        assert!(off.min(20_000 - off) < 10_000 && read.at >= begin - ms(250), "{read:?}");
    }
    let told: u32 = visits.iter().map(|visit| visit.reads).sum();
    assert!(reads.len() as u32 - told <= 40, "visits hold all reads but those of the last turns");
    for antenna in [1, 2] {
        let visits: Vec<_> = visits.iter().filter(|visit| visit.antenna == antenna).collect();
        assert!((38..=41).contains(&visits.len()), "one each 250 ms: {}", visits.len());
        assert!(visits.windows(2).all(|pair| pair[0].end == pair[1].start), "without gaps");
        assert!(visits.iter().all(|visit| visit.healthy));
    }
    assert_eq!(pair.ends.violations(), [] as [String; 0]);
}

#[test]
fn goods_before_an_impinj_reader_are_read_in_visits() {
    goods_are_read(Impinj::new());
}

#[test]
fn goods_before_a_zebra_reader_are_read_in_visits() {
    goods_are_read(Zebra::new(false));
    goods_are_read(Zebra::new(true));
}

fn empty_air_is_worth_something<E: Ends>(ends: E) {
    let mut pair = Pair::up(ends);
    pair.forget();
    pair.run(20_000);
    assert!(pair.seen.visits.len() >= 155 && pair.seen.visits.iter().all(|visit| visit.healthy && visit.reads == 0));
    assert_eq!(pair.seen.events, []);
}

#[test]
fn a_reader_that_reads_nothing_is_known_to_look() {
    empty_air_is_worth_something(Impinj::new());
    empty_air_is_worth_something(Zebra::new(false));
}

fn lost_and_back<E: Ends>(ends: E) {
    let mut pair = Pair::up(ends);
    pair.air.0 = vec![(1, tag(1))];
    pair.run(3_000);
    pair.forget();
    pair.unplug();
    pair.run(8_000);
    let events = pair.take_events();
    let [Event::Down(why), ..] = &events[..] else { panic!("{events:?}") };
    assert!(why.starts_with("the reader is gone from the broker"), "{why}");
    assert!(pair.seen.visits.iter().all(|visit| !visit.healthy || visit.end <= pair.now - ms(7_500)), "no blind look");
    pair.forget();
    let back = pair.now;
    pair.plug();
    // Eight seconds of reads come in one go, late.
    pair.run(12_000);
    let events = pair.take_events();
    assert_eq!(events.iter().filter(|event| **event == Event::Up).count(), 1, "{events:?}");
    let late: u64 = events.iter().map(|event| if let Event::Late { count } = event { *count } else { 0 }).sum();
    assert!((100..=420).contains(&late), "{late} late: {events:?}");
    let oldest = pair.seen.reads.iter().map(|read| read.at).min().expect("it reads again");
    assert!(oldest >= back - ms(2_100), "{:?} before it came back", back - oldest);
    assert!(pair.seen.reads.iter().any(|read| read.at > back + ms(10_000)));
}

#[test]
fn a_lost_reader_comes_back_and_what_it_kept_moves_nothing() {
    lost_and_back(Impinj::new());
    lost_and_back(Zebra::new(false));
}

fn restarted<E: Ends>(ends: E) {
    let mut pair = Pair::up(ends);
    pair.air.0 = vec![(1, tag(1))];
    pair.unplug();
    pair.ends.restart();
    pair.run(3_000);
    pair.forget();
    pair.plug();
    pair.run(12_000);
    assert!(pair.take_events().contains(&Event::Up));
    assert!(pair.seen.reads.iter().any(|read| read.at > pair.now - ms(300)), "its inventory was started again");
    assert_eq!(pair.ends.violations(), [] as [String; 0]);
}

#[test]
fn a_reader_that_starts_anew_is_set_up_again() {
    restarted(Impinj::new());
    restarted(Zebra::new(false));
}

fn antenna_off<E: Ends>(ends: E) {
    let mut pair = Pair::up(ends);
    let now = pair.now;
    let Pair { ends, to_edge, .. } = &mut pair;
    ends.antenna(now, 2, false, &mut |topic, payload| {
        to_edge.push_back((now + LATENCY, topic.to_owned(), payload.to_vec()));
    });
    pair.run(6_000);
    assert_eq!(pair.take_events(), [Event::Up, Event::Antenna { port: 2, connected: false }]);
    pair.forget();
    pair.run(2_000);
    assert!(pair.seen.visits.iter().all(|visit| visit.healthy == (visit.antenna == 1)), "{:?}", pair.seen.visits);
}

#[test]
fn a_disconnected_antenna_looks_in_vain_and_that_means_nothing() {
    antenna_off(Impinj::new());
    antenna_off(Zebra::new(false));
}

fn clock_jumps<E: Ends>(ends: E, offset: Duration) {
    let mut pair = Pair::up(ends);
    pair.air.0 = vec![(1, tag(1))];
    pair.run(2_000);
    pair.forget();
    pair.ends.clock_offset(offset);
    pair.run(20_000);
    let events = pair.take_events();
    let jumps = events.iter().filter(|event| **event == Event::ClockJump).count();
    assert!((1..=2).contains(&jumps), "{events:?}");
    for read in &pair.seen.reads {
        assert!(read.at <= pair.now && read.at >= pair.now - ms(20_300), "{read:?}");
    }
    let last = pair.seen.reads.last().expect("it is believed again");
    assert!(pair.now - last.at < ms(400), "{:?}", pair.now - last.at);
}

#[test]
fn a_clock_that_jumps_is_flagged_and_mapped_anew() {
    for offset in [3_600_000, -3_600_000, 5_000, -5_000] {
        clock_jumps(Impinj::new(), ms(offset));
        clock_jumps(Zebra::new(false), ms(offset));
    }
}

fn wrong_clock<E: Ends>(mut ends: E, offset: Duration) {
    ends.clock_offset(offset);
    let mut pair = Pair::up(ends);
    pair.air.0 = vec![(1, tag(1))];
    pair.run(2_000);
    let reads = &pair.seen.reads;
    assert!(reads.len() > 40);
    for read in &reads[1..] {
        let off = read.at.micros().rem_euclid(20_000);
        assert!(off.min(20_000 - off) <= 9_000, "within the latency of the grid: {off}");
    }
}

#[test]
fn a_clock_that_is_wrong_from_the_start_is_mapped() {
    for offset in [-1_795_000_000_000, 7_200_000, -400] {
        wrong_clock(Impinj::new(), ms(offset));
        wrong_clock(Zebra::new(false), ms(offset));
    }
}

#[test]
fn a_reader_whose_password_is_wrong_is_told_in_words() {
    let mut pair = Pair::new(Impinj::new());
    pair.ends.reader = impinj_iot::Reader::new(impinj_iot::Profile {
        antennas: 2,
        hostname: String::new(),
        user: "root".into(),
        password: "other".into(),
    });
    pair.connect();
    pair.run(60_000);
    let events = pair.take_events();
    assert_eq!(
        events,
        [Event::Down(
            "GET /status is refused: user and password are needed (status 401, the user or password is wrong)".into()
        )],
        "told once"
    );
    assert!((10..=14).contains(&pair.ends.violations().len()), "tried each 5 s");
}

#[test]
fn a_refused_command_is_told_in_words_and_tried_again() {
    let antenna = |port| AntennaSettings { port, power_cdbm: 3_000 };
    let antennas = vec![antenna(1), antenna(5)];
    let mut ends = Zebra::new(false);
    ends.edge = zebra_iotc::Edge::new(zebra_iotc::Settings {
        watch: Watch { antennas, ..watch() },
        topics: Topics::below("zebra/gate-4"),
        session: 1,
        population: 32,
        interval_s: 0,
        command_prefix: "edge-7".into(),
    });
    let mut pair = Pair::new(ends);
    pair.connect();
    pair.run(11_000);
    assert_eq!(
        pair.take_events(),
        [Event::Down("set_mode is refused: antennas are [1, 5], there are 1 to 2 (code 7)".into())]
    );
    assert_eq!(pair.ends.violations().len(), 3, "once each 5 s");
}

#[test]
fn a_reader_that_never_answers_is_not_up() {
    let mut pair = Pair::new(Zebra::new(false));
    pair.plugged = false;
    pair.connect();
    pair.run(30_000);
    assert_eq!(pair.take_events(), [Event::Down("get_status is not answered: is the reader on?".into())]);
    assert_eq!(pair.seen.visits, []);
    pair.plug();
    pair.run(11_000);
    assert_eq!(pair.take_events(), [Event::Up]);
}

#[test]
fn without_its_rest_interface_a_reader_that_reads_is_up_and_one_that_is_silent_is_not() {
    let mut pair = Pair::up(Impinj::new());
    pair.air.0 = vec![(1, tag(1))];
    pair.ends.dead = true;
    pair.run(30_000);
    assert_eq!(pair.take_events(), [Event::Up, Event::Fault("GET /status failed: connection refused".into())]);
    pair.air.0.clear();
    pair.run(20_000);
    let events = pair.take_events();
    assert!(events.contains(&Event::Down("the reader has not shown for 15 s that it runs".into())), "{events:?}");
    pair.ends.dead = false;
    pair.run(11_000);
    assert!(pair.take_events().contains(&Event::Up));
}

#[test]
fn an_inventory_that_somebody_stopped_is_started_again() {
    let mut pair = Pair::up(Impinj::new());
    let login = impinj_iot::authorization("root", "impinj");
    let (now, to_edge) = (pair.now, &mut pair.to_edge);
    let answer =
        pair.ends.reader.request(now, "POST", "/api/v1/profiles/stop", Some(&login), b"", &mut |topic, payload| {
            to_edge.push_back((now, topic.to_owned(), payload.to_vec()));
        });
    assert_eq!(answer.status, 204);
    pair.take_events();
    pair.run(1_000);
    assert_eq!(pair.take_events(), [Event::Fault("the inventory was stopped: it is started again".into())]);
    assert!(pair.ends.reader.is_running());

    let mut pair = Pair::up(Zebra::new(false));
    let stop = br#"{"command":"stop","command_id":"somebody-1","payload":{}}"#;
    let topics = Topics::below("zebra/gate-4");
    let (now, to_edge) = (pair.now, &mut pair.to_edge);
    pair.ends.reader.receive(now, &topics.control_command, stop, &mut |topic, payload| {
        to_edge.push_back((now, topic.to_owned(), payload.to_vec()));
    });
    pair.take_events();
    pair.run(6_000);
    assert_eq!(pair.take_events(), [Event::Fault("the inventory was stopped: it is started again".into())]);
    assert!(pair.ends.reader.is_running());
}

#[test]
fn an_antenna_that_was_pulled_while_nobody_listened_is_known_from_the_backlog() {
    let mut pair = Pair::up(Impinj::new());
    pair.unplug();
    pair.run(1_000);
    for (connected, at) in [(false, 0), (true, 1), (false, 2)] {
        pair.ends.antenna(pair.now + ms(at), 2, connected, &mut |_, _| {});
    }
    pair.run(5_000);
    pair.plug();
    pair.run(5_000);
    let told = pair.take_events();
    assert!(told.contains(&Event::Antenna { port: 2, connected: false }), "{told:?}");
    pair.forget();
    pair.run(1_000);
    assert!(pair.seen.visits.iter().all(|visit| visit.healthy == (visit.antenna == 1)), "{:?}", pair.seen.visits);
    // What was said before comes again, as QoS 1 may do: it is old.
    let repeat = format!(
        r#"{{"timestamp":"{}","eventType":"antennaConnected","antennaConnectedEvent":{{"antennaPort":2}}}}"#,
        pair.now - ms(11_500)
    );
    pair.ends.edge.receive(pair.now, "r700/gate-3", repeat.as_bytes(), &mut pair.seen);
    assert_eq!(pair.take_events(), []);
}

#[test]
fn a_reader_that_tells_no_time_is_taken_to_have_ours() {
    let (mut ends, mut seen) = (Zebra::new(false), Seen::default());
    let begin = Timestamp::from_micros(1_795_558_200_000_000);
    ends.edge.connected(begin, &mut seen);
    for (id, command) in (1..).zip(["get_status", "stop", "set_mode", "start"]) {
        let answer = format!(r#"{{"command":"{command}","command_id":"edge-7-{id}","response":"success"}}"#);
        ends.edge.receive(begin, "zebra/gate-4/ctrl/res", answer.as_bytes(), &mut seen);
    }
    for (age, reads) in [(40, 1), (1_900, 2), (2_100, 2)] {
        let now = begin + ms(3_000);
        let at = (now - ms(age)).to_string();
        let report = format!(r#"{{"data":{{"idHex":"e280","antenna":1}},"timestamp":"{at}","type":"CUSTOM"}}"#);
        ends.edge.receive(now, "zebra/gate-4/data", report.as_bytes(), &mut seen);
        assert_eq!(seen.reads.len(), reads, "{age} ms old");
    }
    assert_eq!(seen.reads[0].at, begin + ms(2_960));
}

#[test]
fn our_own_loss_of_the_broker_ends_the_session_and_the_next_connection_begins_anew() {
    let mut pair = Pair::up(Impinj::new());
    pair.ends.edge_disconnected(pair.now, &mut pair.seen);
    pair.run(5_000);
    assert_eq!(pair.take_events(), [Event::Up, Event::Down("the connection to the broker is gone".into())]);
    assert_eq!(pair.ends.edge_deadline(), None, "nothing to wait for");
    pair.connect();
    pair.run(1_000);
    assert_eq!(pair.take_events(), [Event::Up]);
    assert_eq!(pair.ends.violations(), [] as [String; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However the reader's own messages are held up, repeated and mixed, no read lies outside what is recent, none is
    /// in the future, and visits follow one another.
    #[test]
    fn messages_in_any_order_make_recent_reads_and_ordered_visits(
        delays in prop::collection::vec(0_i64..6_000, 1..120),
    ) {
        let mut pair = Pair::up(Zebra::new(false));
        pair.air.0 = vec![(1, tag(1)), (2, tag(2))];
        pair.forget();
        for delay in delays {
            pair.run(50);
            let now = pair.now;
            let mut held: Vec<_> = pair.to_edge.drain(..).collect();
            for message in held.iter_mut().filter(|(_, topic, _)| topic.ends_with("data")) {
                message.0 = now + ms(delay);
            }
            held.sort_by_key(|(at, ..)| *at);
            pair.to_edge.extend(held);
            let before = pair.seen.reads.len();
            pair.run(1);
            for read in &pair.seen.reads[before..] {
                prop_assert!(read.at <= pair.now && pair.now - read.at <= ms(2_100));
            }
        }
        for antenna in [1, 2] {
            let visits: Vec<_> = pair.seen.visits.iter().filter(|visit| visit.antenna == antenna).collect();
            prop_assert!(visits.windows(2).all(|pair| pair[0].end == pair[1].start));
            prop_assert!(visits.iter().all(|visit| visit.start <= visit.end && visit.end <= pair.now));
        }
    }
}
