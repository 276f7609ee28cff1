//! Both ends of LLRP against each other, on one clock: no socket, no waiting.

#[path = "../../../tests/include/heard.rs"]
mod heard;

use heard::Heard;
use proptest::prelude::*;
use stowage_base::access::{Bank, Lock, LockField, Op};
use stowage_base::{
    Air, CommandError, Duration, Epc, ReaderCommand, ReaderDevice, ReaderEvent, ReaderSession, TagOp, TagRead,
    Timestamp, Words,
};
use stowage_protocol::llrp::client::{AntennaSettings, Client, Gate, Region, Settings, SettingsError};
use stowage_protocol::llrp::frame::Inbox;
use stowage_protocol::llrp::reader::{Profile, Reader, Vendor};
use stowage_protocol::llrp::tree::{self, Tree};

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

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis)
}

fn epc(number: u8) -> Epc {
    Epc::new(&[0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number]).expect("12 octets")
}

fn settings(ports: &[u16]) -> Settings {
    Settings {
        antennas: ports.iter().map(|port| AntennaSettings { port: *port, power_cdbm: Some(2_510) }).collect(),
        dwell: ms(200),
        keepalive: ms(1_000),
        mode: Some(2),
        ..Settings::new(Vec::new())
    }
}

/// A client and a reader with a cable between them.
struct Pair {
    now: Timestamp,
    client: Client,
    reader: Reader,
    seen: Heard,
    air: Tags,
    to_client: Vec<u8>,
    /// Everything that either sent, for a look at its form.
    sent: Vec<u8>,
    /// Octets by which the cable delivers.
    chunk: usize,
    /// The way to the reader is cut, the way from it isn't.
    deaf: bool,
    closed: bool,
}

impl Pair {
    fn new(settings: Settings, profile: Profile, tags: Vec<(u16, Epc)>) -> Self {
        Self {
            now: Timestamp::from_micros(1_700_000_000_000_000),
            client: Client::new(settings).expect("settings"),
            reader: Reader::new(profile),
            seen: Heard::default(),
            air: Tags(tags),
            to_client: Vec::new(),
            sent: Vec::new(),
            chunk: 7,
            deaf: false,
            closed: true,
        }
    }

    fn connect(&mut self) {
        self.closed = false;
        self.seen.out.clear();
        self.to_client.clear();
        self.client.connected(self.now, &mut self.seen);
        self.reader.connected(self.now, &mut |octets| self.to_client.extend_from_slice(octets));
        self.deliver();
    }

    fn deliver(&mut self) {
        while !(self.closed || self.to_client.is_empty() && self.seen.out.is_empty()) {
            let octets = std::mem::take(&mut self.to_client);
            self.sent.extend_from_slice(&octets);
            for chunk in octets.chunks(self.chunk) {
                self.client.receive(self.now, chunk, &mut self.seen);
            }
            let octets = std::mem::take(&mut self.seen.out);
            self.sent.extend_from_slice(&octets);
            for chunk in octets.chunks(self.chunk).filter(|_| !self.deaf) {
                let out = &mut |octets: &[u8]| self.to_client.extend_from_slice(octets);
                self.reader.receive(self.now, chunk, &mut self.air, out);
            }
            self.hang_up();
        }
    }

    fn hang_up(&mut self) {
        if !self.closed && (self.client.over() || self.reader.over()) {
            self.closed = true;
            self.client.disconnected(self.now, &mut self.seen);
            self.reader.disconnected(self.now);
        }
    }

    /// Lets time go on, from deadline to deadline.
    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let due = [self.client.next_deadline().filter(|_| !self.closed), self.reader.next_deadline()];
            let due = due.into_iter().flatten().min().unwrap_or(Timestamp::MAX).max(self.now);
            if due > end {
                self.now = end;
                return;
            }
            self.now = due;
            if !self.closed {
                self.client.tick(self.now, &mut self.seen);
            }
            let out = &mut |octets: &[u8]| self.to_client.extend_from_slice(octets);
            self.reader.tick(self.now, &mut self.air, out);
            self.hang_up();
            self.deliver();
        }
    }

    fn up(settings: Settings, profile: Profile, tags: Vec<(u16, Epc)>) -> Self {
        let mut pair = Self::new(settings, profile, tags);
        pair.connect();
        assert_eq!(pair.seen.events, [ReaderEvent::Up]);
        assert_eq!(pair.reader.violations(), []);
        pair
    }

    /// Asks the reader by hand. Gives the answers, by name, as JSON.
    fn ask(&mut self, message: &Tree) -> Vec<(String, serde_json::Value)> {
        let (mut octets, mut answers) = (Vec::new(), Vec::new());
        message.encode(1, 99, &mut octets);
        self.reader.receive(self.now, &octets, &mut self.air, &mut |octets| answers.extend_from_slice(octets));
        let mut told = Vec::new();
        let inbox = Inbox::default().receive(&answers, |frame| {
            let tree = tree::decode(&frame).expect("well formed");
            told.push((tree.name().to_owned(), serde_json::to_value(&tree).expect("JSON")));
        });
        inbox.expect("framed");
        told
    }
}

#[test]
fn a_session_comes_up_and_each_antenna_is_visited_by_turns() {
    let tags = vec![(1, epc(1)), (1, epc(2)), (3, epc(3))];
    let mut pair = Pair::up(settings(&[1, 3, 2]), Profile::fcc(4), tags);
    pair.run(ms(3_000));
    let visits: Vec<_> = pair.seen.visits.iter().map(|visit| (visit.antenna, visit.reads, visit.healthy)).collect();
    // Six visits to each, ten replies from each tag; the last visit has just ended.
    assert_eq!(visits[..4], [(1, 20, true), (3, 10, true), (2, 0, true), (1, 20, true)]);
    assert_eq!(visits.len(), 15);
    for pair in pair.seen.visits.windows(2) {
        assert_eq!(pair[0].end, pair[1].start);
        assert_eq!(pair[1].end - pair[1].start, ms(200));
    }
    let read = pair.seen.reads[0];
    assert_eq!((read.antenna, read.count, read.phase), (1, 10, None));
    assert_eq!(read.rssi_cdbm, -6_000, "25 dBm, the next step below 25.1, less 85");
    assert_eq!(read.frequency_khz, Some(903_250));
    let first = pair.seen.visits[0];
    assert_eq!(read.at, first.start + ms(180), "the last of the replies");
    assert_eq!(pair.reader.violations(), []);
    assert_eq!(pair.client.unknown(), 0);
}

#[test]
fn every_message_of_both_ends_is_as_the_standard_has_it() {
    for impinj in [false, true] {
        let profile = Profile::of(if impinj { Vendor::Impinj } else { Vendor::Plain }, 2);
        let mut pair = Pair::up(settings(&[1, 2]), profile, vec![(1, epc(1)), (2, Epc::new(&[1; 16]).expect("16"))]);
        pair.run(ms(1_500));
        let mut rest = &pair.sent[..];
        let mut kinds = std::collections::BTreeSet::new();
        while !rest.is_empty() {
            let (message, len) = tree::describe(rest).expect("well formed");
            assert!(message.reencodes, "{}", message.name);
            kinds.insert(message.kind);
            rest = &rest[len..];
        }
        assert!(kinds.is_superset(&[1, 11, 2, 12, 3, 13, 20, 30, 21, 31, 24, 34, 61, 62, 63, 64, 72].into()));
        let read = pair.seen.reads[0];
        assert_eq!(read.phase, if impinj { Some(1_024) } else { None });
    }
}

#[test]
fn a_reader_without_its_keepalives_answered_drops_the_client_and_takes_it_back() {
    let mut pair = Pair::up(settings(&[1]), Profile::fcc(1), vec![(1, epc(1))]);
    pair.run(ms(900));
    pair.deaf = true;
    pair.run(ms(1_500));
    assert_eq!(pair.seen.events, [ReaderEvent::Up, ReaderEvent::Down("the connection is lost")]);
    assert!(pair.reader.violations()[0].what.contains("keepalive"));
    pair.run(ms(5_000));
    assert!(pair.reader.is_active(), "it goes on alone");

    (pair.deaf, pair.seen) = (false, Heard::default());
    pair.connect();
    pair.run(ms(2_000));
    assert_eq!(pair.seen.events, [ReaderEvent::Up]);
    assert_eq!(pair.seen.visits.len(), 10);
    assert!(pair.seen.reads.iter().all(|read| read.at <= pair.now && pair.now - read.at <= ms(2_200)));
}

#[test]
fn a_silent_reader_is_given_up_after_two_and_a_half_keepalives() {
    let mut pair = Pair::up(settings(&[1]), Profile::fcc(1), vec![]);
    let up = pair.now;
    pair.client.tick(up + ms(2_499), &mut pair.seen);
    assert_eq!(pair.seen.events, [ReaderEvent::Up]);
    assert_eq!(pair.client.next_deadline(), Some(up + ms(2_500)));
    pair.client.tick(up + ms(2_500), &mut pair.seen);
    let silent = ReaderEvent::Down("the reader has been silent for 2.5 keepalive periods");
    assert_eq!(pair.seen.events, [ReaderEvent::Up, silent]);
}

#[test]
fn an_antenna_that_is_gone_makes_empty_visits_unhealthy() {
    let mut pair = Pair::up(settings(&[1, 2]), Profile::fcc(2), vec![(1, epc(1))]);
    pair.run(ms(1_000));
    pair.reader.set_antenna(pair.now, 2, false, &mut |octets| pair.to_client.extend_from_slice(octets));
    pair.deliver();
    assert_eq!(pair.seen.events, [ReaderEvent::Up, ReaderEvent::Antenna { port: 2, connected: false }]);
    pair.seen.visits.clear();
    pair.run(ms(1_000));
    assert!(pair.seen.visits.iter().all(|visit| visit.healthy == (visit.antenna == 1)));

    // A new session learns it from the configuration.
    pair.client.close(&mut pair.seen);
    pair.deliver();
    assert!(pair.closed);
    pair.seen = Heard::default();
    pair.connect();
    assert_eq!(pair.seen.events, [ReaderEvent::Antenna { port: 2, connected: false }, ReaderEvent::Up]);
}

#[test]
fn a_reader_clock_of_its_own_is_mapped_and_its_jump_told_once() {
    let mut pair = Pair::new(settings(&[1]), Profile::fcc(1), vec![(1, epc(1))]);
    pair.reader.set_clock_offset(ms(-3_600_000));
    pair.connect();
    pair.run(ms(1_000));
    assert!(pair.seen.reads.iter().all(|read| read.at.micros() % 20_000 == 0), "exact to the reply");
    pair.reader.set_clock_offset(ms(5_000));
    pair.seen.reads.clear();
    pair.run(ms(1_000));
    assert_eq!(pair.seen.events, [ReaderEvent::Up, ReaderEvent::ClockJump]);
    assert!(pair.seen.reads.iter().all(|read| read.at <= pair.now && pair.now - read.at <= ms(1_000)));
    pair.run(ms(3_000));
    pair.seen.reads.clear();
    pair.run(ms(1_000));
    assert!(pair.seen.reads.iter().all(|read| read.at.micros() % 20_000 == 0), "steady again");
    assert_eq!(pair.seen.events.len(), 2);
}

#[test]
fn settings_that_do_not_go_with_the_reader_are_told() {
    let mut pair = Pair::new(settings(&[1, 5]), Profile::fcc(4), vec![]);
    pair.connect();
    assert_eq!(pair.seen.events, [ReaderEvent::Down("the reader has fewer antenna ports than are set")]);
    let refused = |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings(&[1, 2]);
        change(&mut settings);
        Client::new(settings).expect_err("refused")
    };
    assert_eq!(refused(&|s| s.antennas[1].port = 1), SettingsError::Port(1));
    assert_eq!(refused(&|s| s.dwell = ms(5)), SettingsError::Dwell(ms(5)));
    assert_eq!(refused(&|s| s.session = 4).to_string(), "session 4: give 0 to 3");
}

#[test]
fn a_reader_that_refuses_or_keeps_silent_is_given_up_with_the_reason() {
    let greeting = |status: u16| {
        let data = Tree::new("ReaderEventNotificationData")
            .with(Tree::new("UTCTimestamp"))
            .with(Tree::new("ConnectionAttemptEvent").set("Status", status));
        let mut octets = Vec::new();
        Tree::new("READER_EVENT_NOTIFICATION").with(data).encode(1, 1, &mut octets);
        octets
    };
    let now = Timestamp::from_micros(1_700_000_000_000_000);
    let down_after = |octets: &[u8], wait: Duration| {
        let (mut client, mut seen) = (Client::new(settings(&[1])).expect("settings"), Heard::default());
        client.connected(now, &mut seen);
        client.receive(now, octets, &mut seen);
        client.tick(now + wait, &mut seen);
        assert!(client.over());
        seen.events.last().copied()
    };
    assert_eq!(down_after(&greeting(2), ms(0)), Some(ReaderEvent::Down("the reader has another client")));
    assert_eq!(down_after(&[], ms(5_000)), Some(ReaderEvent::Down("the reader doesn't greet")));
    assert_eq!(down_after(&greeting(0), ms(5_000)), Some(ReaderEvent::Down("the reader doesn't answer")));
    let http = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    assert_eq!(down_after(http, ms(0)), Some(ReaderEvent::Down("the reader's octets are no LLRP")));
}

#[test]
fn a_second_client_is_told_that_the_reader_is_busy() {
    let pair = Pair::up(settings(&[1]), Profile::fcc(1), vec![]);
    let (mut second, mut seen) = (Client::new(settings(&[1])).expect("settings"), Heard::default());
    second.connected(pair.now, &mut seen);
    second.receive(pair.now, &pair.reader.busy(pair.now), &mut seen);
    assert_eq!(seen.events, [ReaderEvent::Down("the reader has another client")]);
}

#[test]
fn visits_are_inferred_from_a_reader_that_tells_no_aispec_events() {
    let mut pair = Pair::up(settings(&[1, 2, 3]), Profile::fcc(3), vec![(1, epc(1)), (3, epc(3))]);
    // Another hand switches the events off.
    let off = Tree::new("EventNotificationState").set("EventType", 6);
    let config = Tree::new("SET_READER_CONFIG").with(Tree::new("ReaderEventNotificationSpec").with(off));
    pair.ask(&config);
    pair.run(ms(10_000));
    let visits = &pair.seen.visits;
    assert!(visits.len() > 30, "{}", visits.len());
    for pair in visits.windows(2) {
        assert_eq!(pair[1].antenna, pair[0].antenna % 3 + 1, "by turns");
        assert_eq!(pair[1].start, pair[0].end);
    }
    for visit in &visits[3..] {
        assert_eq!(visit.reads, if visit.antenna == 2 { 0 } else { 10 });
        assert!((visit.end - visit.start).millis() >= 150 && visit.healthy, "{visit:?}");
    }

    // When nothing is heard at all, all antennas are known to have looked once the reader has had time for it.
    pair.air.0.clear();
    pair.run(ms(3_000));
    pair.seen.visits.clear();
    pair.run(ms(6_600));
    assert_eq!(pair.seen.visits.len(), 9);
    assert!(pair.seen.visits.iter().all(|visit| visit.reads == 0 && visit.healthy));
}

#[test]
fn the_reader_names_what_it_refuses() {
    let mut pair = Pair::up(settings(&[1]), Profile::fcc(2), vec![]);
    let mut status = |message: &Tree| pair.ask(message).pop().map(|(name, body)| (name, body["LLRPStatus"].clone()));

    let (name, told) = status(&Tree::new("START_ROSPEC").set("ROSpecID", 7)).expect("an answer");
    assert_eq!(name, "START_ROSPEC_RESPONSE");
    assert_eq!(told["StatusCode"], "M_FieldError");
    assert_eq!(told["FieldError"], serde_json::json!({"FieldNum": 0, "ErrorCode": "A_Invalid"}));
    assert_eq!(told["ErrorDescription"], "START_ROSPEC.ROSpecID 7 doesn't exist");

    let (name, told) = status(
        &Tree::new("CLIENT_REQUEST_OP_RESPONSE").with(Tree::new("ClientRequestResponse").with(Tree::new("EPCData"))),
    )
    .expect("an answer");
    assert_eq!((name.as_str(), &told["StatusCode"]), ("ERROR_MESSAGE", &"M_UnsupportedMessage".into()));

    let aispec = |antenna: u64, millis: u32| {
        Tree::new("AISpec")
            .set("AntennaIDs", vec![antenna])
            .with(Tree::new("AISpecStopTrigger").set("AISpecStopTriggerType", 1).set("DurationTrigger", millis))
            .with(Tree::new("InventoryParameterSpec").set("InventoryParameterSpecID", 1).set("ProtocolID", 1))
    };
    let add = |spec: Tree| {
        let boundary =
            Tree::new("ROBoundarySpec").with(Tree::new("ROSpecStartTrigger")).with(Tree::new("ROSpecStopTrigger"));
        Tree::new("ADD_ROSPEC").with(Tree::new("ROSpec").set("ROSpecID", 5).with(boundary).with(spec))
    };
    let (_, told) = status(&add(aispec(1, 0))).expect("an answer");
    let expected = serde_json::json!({
        "StatusCode": "M_ParameterError",
        "ErrorDescription": "AISpecStopTrigger.DurationTrigger 0 ms is no duration",
        "ParameterError": {"ParameterType": 177, "ErrorCode": "P_ParameterError", "ParameterError":
            {"ParameterType": 183, "ErrorCode": "P_ParameterError", "ParameterError":
                {"ParameterType": 184, "ErrorCode": "P_FieldError", "FieldError":
                    {"FieldNum": 1, "ErrorCode": "A_OutOfRange"}}}},
    });
    assert_eq!(told, expected);
    let (_, told) = status(&add(aispec(3, 100))).expect("an answer");
    assert_eq!(
        told["ErrorDescription"],
        "AISpec.AntennaIDs [3] are not antennas of this reader: 1 to 2, or 0 alone for all"
    );
    let (_, told) = status(&add(aispec(0, 100))).expect("an answer");
    assert_eq!(told["StatusCode"], "M_Success");
    let (_, told) = status(&add(aispec(0, 100))).expect("an answer");
    assert_eq!(told["ErrorDescription"], "ROSpec.ROSpecID 5 exists already");
    assert_eq!(pair.reader.violations().len(), 5);
}

#[test]
fn rospecs_go_through_their_states() {
    let mut pair = Pair::new(settings(&[1]), Profile::fcc(2), vec![(1, epc(1)), (2, epc(2))]);
    pair.reader.connected(pair.now, &mut |_| ());
    let spec = Tree::new("AISpec")
        .set("AntennaIDs", vec![0_u64])
        .with(Tree::new("AISpecStopTrigger"))
        .with(Tree::new("InventoryParameterSpec").set("InventoryParameterSpecID", 1).set("ProtocolID", 1));
    let boundary = Tree::new("ROBoundarySpec")
        .with(Tree::new("ROSpecStartTrigger"))
        .with(Tree::new("ROSpecStopTrigger").set("ROSpecStopTriggerType", 1).set("DurationTriggerValue", 300));
    pair.ask(&Tree::new("ADD_ROSPEC").with(Tree::new("ROSpec").set("ROSpecID", 9).with(boundary).with(spec)));
    let state = |pair: &mut Pair| pair.ask(&Tree::new("GET_ROSPECS"))[0].1["ROSpec"][0]["CurrentState"].clone();
    let nine = |name: &str| Tree::new(name).set("ROSpecID", 9);
    assert_eq!(state(&mut pair), "Disabled");
    let refused = &pair.ask(&nine("START_ROSPEC"))[0].1["LLRPStatus"]["ErrorDescription"];
    assert_eq!(refused, "START_ROSPEC.ROSpecID 9 is disabled");
    pair.ask(&nine("ENABLE_ROSPEC"));
    assert_eq!(state(&mut pair), "Inactive");
    pair.ask(&nine("START_ROSPEC"));
    assert_eq!(state(&mut pair), "Active");
    let mut sent = Vec::new();
    for _ in 0..6 {
        pair.now += ms(50);
        pair.reader.tick(pair.now, &mut pair.air, &mut |octets| sent.extend_from_slice(octets));
    }
    assert_eq!(state(&mut pair), "Inactive", "its duration is over");
    let (report, _) = tree::describe(&sent).expect("a message");
    let json = serde_json::to_value(&report.body).expect("JSON");
    assert_eq!(report.name, "RO_ACCESS_REPORT");
    let tag = &json["TagReportData"][0];
    assert_eq!(tag["EPC_96"]["EPC"], epc(1).to_string());
    assert_eq!(tag["TagSeenCount"]["TagCount"], 9, "half of 300 ms, 20 ms each, turns of 50 ms");
    assert_eq!(json["TagReportData"][1]["AntennaID"]["AntennaID"], 2);
    assert_eq!(pair.ask(&Tree::new("DELETE_ROSPEC"))[0].1["LLRPStatus"]["StatusCode"], "M_Success");
    assert_eq!(pair.ask(&Tree::new("GET_ROSPECS"))[0].1["ROSpec"], serde_json::Value::Null);
}

#[test]
fn reports_are_held_after_a_reconnect_if_asked() {
    let mut pair = Pair::up(settings(&[1]), Profile::fcc(1), vec![(1, epc(1))]);
    pair.ask(
        &Tree::new("SET_READER_CONFIG").with(Tree::new("EventsAndReports").set("HoldEventsAndReportsUponReconnect", 1)),
    );
    pair.reader.disconnected(pair.now);
    let mut sent = Vec::new();
    pair.reader.connected(pair.now, &mut |_| ());
    pair.now += ms(400);
    pair.reader.tick(pair.now, &mut pair.air, &mut |octets| sent.extend_from_slice(octets));
    let names = |octets: &[u8]| {
        let mut names = Vec::new();
        let framed = Inbox::default().receive(octets, |frame| names.push(frame.kind));
        framed.expect("framed");
        names
    };
    assert!(!names(&sent).contains(&61));
    let told = pair.ask(&Tree::new("ENABLE_EVENTS_AND_REPORTS"));
    assert_eq!(told[0].0, "RO_ACCESS_REPORT");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_chunking_gives_the_same_session(chunk in 1_usize..200) {
        let run = |chunk| {
            let mut pair = Pair::new(settings(&[1, 2]), Profile::fcc(2), vec![(1, epc(1)), (2, epc(2))]);
            pair.chunk = chunk;
            pair.connect();
            pair.run(ms(1_000));
            (pair.seen.reads, pair.seen.visits, pair.seen.events)
        };
        prop_assert_eq!(run(chunk), run(usize::MAX));
    }

    #[test]
    fn hostile_octets_at_either_end_never_panic(
        noise in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..60), 1..6),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
    ) {
        // A session's own octets with some of them changed, and plain noise.
        let mut pair = Pair::up(settings(&[1, 2]), Profile::fcc(2), vec![(1, epc(1))]);
        pair.run(ms(500));
        let mut octets = std::mem::take(&mut pair.sent);
        for (place, octet) in flips {
            let place = place.index(octets.len());
            octets[place] = octet;
        }
        for chunk in octets.chunks(50).chain(noise.iter().map(Vec::as_slice)) {
            pair.client.receive(pair.now, chunk, &mut pair.seen);
            pair.client.tick(pair.now, &mut pair.seen);
            pair.reader.receive(pair.now, chunk, &mut pair.air, &mut |_| ());
            pair.now += ms(30);
            pair.reader.tick(pair.now, &mut pair.air, &mut |_| ());
        }
    }
}

impl Pair {
    /// Has the client do something with tag `epc`, and gives how it ended.
    fn operate(&mut self, epc: Epc, password: u32, op: Op) -> Result<Vec<u16>, CommandError> {
        let command = ReaderCommand::Tag(TagOp { tag: epc, antenna: None, password, op });
        self.seen.done.clear();
        self.client.command(self.now, 7, &command, &mut self.seen);
        self.deliver();
        self.run(ms(6_000));
        let [(7, result)] = self.seen.done[..] else { panic!("done once: {:?}", self.seen.done) };
        result.map(|words| words.as_slice().to_vec())
    }
}

fn words(words: &[u16]) -> Words {
    Words::new(words.iter().copied()).expect("few")
}

fn write(bank: Bank, word: u16, data: &[u16]) -> Op {
    Op::Write { bank, word, data: words(data) }
}

#[test]
fn a_tag_is_read_written_commissioned_locked_and_killed() {
    for vendor in [Vendor::Plain, Vendor::Impinj, Vendor::Zebra] {
        let tags = vec![(1, epc(1)), (2, epc(2))];
        let mut pair = Pair::up(settings(&[1, 2]), Profile { version: 2, ..Profile::of(vendor, 2) }, tags);
        let tid = pair.operate(epc(1), 0, Op::Read { bank: Bank::Tid, word: 0, count: 6 }).expect("read");
        assert_eq!((tid.len(), tid[0]), (6, 0xE280));
        assert_eq!(pair.operate(epc(2), 0, write(Bank::User, 3, &[0xCAFE, 1])), Ok(vec![0xCAFE, 1]));
        let user = Op::Read { bank: Bank::User, word: 3, count: 2 };
        assert_eq!(pair.operate(epc(2), 0, user), Ok(vec![0xCAFE, 1]));
        assert_eq!(pair.operate(epc(1), 0, user), Ok(vec![0, 0]), "the other tag is left alone");
        assert_eq!(pair.operate(epc(1), 0, write(Bank::User, 31, &[1, 2])), Err(CommandError::Overrun));
        assert_eq!(pair.operate(epc(1), 0, write(Bank::Tid, 0, &[1])), Err(CommandError::Locked));
        assert_eq!(pair.operate(epc(9), 0, user), Err(CommandError::NoTag));

        // A longer EPC needs another PC; from then on the tag answers by it.
        let long = Epc::new(&[0x36; 26]).expect("26 octets");
        let told = pair.operate(epc(1), 0, Op::WriteEpc(long)).expect("written and read back");
        assert_eq!((told.len(), told[0]), (14, 13 << 11));
        pair.seen.reads.clear();
        pair.run(ms(1_000));
        assert!(pair.seen.reads.iter().any(|read| read.epc == long));
        assert!(pair.seen.reads.iter().all(|read| read.epc != epc(1)));

        // Passwords, a lock, and the death of the tag.
        assert!(pair.operate(long, 0, write(Bank::Reserved, 0, &[0, 5, 0xAB, 0xCD])).is_ok());
        let lock = Op::Lock { field: LockField::Epc, lock: Lock::Lock };
        assert_eq!(pair.operate(long, 0, lock), Err(CommandError::Tag), "the password is needed now");
        assert_eq!(pair.operate(long, 0x00AB_00CD, lock), Ok(vec![]));
        assert_eq!(pair.operate(long, 0, Op::WriteEpc(epc(3))), Err(CommandError::Locked));
        assert_eq!(pair.operate(long, 1, Op::WriteEpc(epc(3))), Err(CommandError::NoResponse), "a wrong password");
        assert!(pair.operate(long, 0x00AB_00CD, Op::WriteEpc(epc(3))).is_ok());
        assert_eq!(pair.operate(epc(2), 0, Op::Kill { password: 5 }), Err(CommandError::ZeroKillPassword));
        assert_eq!(pair.operate(epc(3), 0, Op::Kill { password: 6 }), Err(CommandError::NoResponse));
        assert_eq!(pair.operate(epc(3), 0, Op::Kill { password: 5 }), Ok(vec![]));
        pair.seen.reads.clear();
        pair.run(ms(1_000));
        assert!(pair.seen.reads.iter().all(|read| read.epc == epc(2)), "dead tags tell no tales");
        assert_eq!(pair.reader.violations(), []);
        assert_eq!(pair.client.unknown(), 0);
    }
}

#[test]
fn one_command_at_a_time_and_none_without_a_session() {
    let mut pair = Pair::up(settings(&[1]), Profile::fcc(1), vec![]);
    let light = ReaderCommand::Output { port: 2, on: true };
    pair.client.command(pair.now, 1, &light, &mut pair.seen);
    pair.client.command(pair.now, 2, &light, &mut pair.seen);
    pair.deliver();
    assert_eq!(pair.seen.done, [(2, Err(CommandError::Busy)), (1, Ok(Words::NONE))]);
    assert_eq!(pair.reader.outputs(), [false, true, false, false]);
    pair.seen.done.clear();
    pair.client.command(pair.now, 3, &ReaderCommand::Output { port: 9, on: true }, &mut pair.seen);
    pair.deliver();
    assert_eq!(pair.seen.done, [(3, Err(CommandError::Refused(100)))]);
    let said = pair.seen.words.last().expect("said");
    assert!(
        said.starts_with("SET_READER_CONFIG_RESPONSE says M_ParameterError in GPOWriteData, field GPOPortNumber"),
        "{said}"
    );

    pair.deaf = true;
    pair.client.command(pair.now, 4, &light, &mut pair.seen);
    pair.closed = true;
    pair.client.disconnected(pair.now, &mut pair.seen);
    pair.client.command(pair.now, 5, &light, &mut pair.seen);
    assert_eq!(pair.seen.done[1..], [(4, Err(CommandError::Down)), (5, Err(CommandError::Down))]);
}

#[test]
fn each_version_of_a_reader_is_spoken_to_in_the_newest_that_both_know() {
    for (has, spoken) in [(1, 1), (2, 2), (3, 2)] {
        let profile = Profile { version: has, ..Profile::fcc(1) };
        let mut pair = Pair::up(settings(&[1]), profile, vec![(1, epc(1))]);
        pair.sent.clear();
        pair.run(ms(2_500));
        let mut versions = std::collections::BTreeSet::new();
        let framed = Inbox::default().receive(&pair.sent, |frame| {
            versions.insert(frame.version);
        });
        framed.expect("framed");
        assert_eq!(versions, [spoken].into(), "a reader of version {has}");
        assert!(!pair.seen.reads.is_empty());
        assert_eq!(pair.reader.violations(), []);
    }
}

#[test]
fn a_reader_that_hangs_up_at_the_question_for_its_version_is_not_asked_again() {
    let mut pair = Pair::new(settings(&[1]), Profile::fcc(1), vec![]);
    let asks = |pair: &Pair| {
        let mut kinds = Vec::new();
        Inbox::default().receive(&pair.seen.out, |frame| kinds.push(frame.kind)).expect("framed");
        kinds
    };
    let greet = |pair: &mut Pair| {
        pair.client.connected(pair.now, &mut pair.seen);
        let mut greeting = Vec::new();
        pair.reader.connected(pair.now, &mut |octets| greeting.extend_from_slice(octets));
        pair.client.receive(pair.now, &greeting, &mut pair.seen);
    };
    greet(&mut pair);
    assert_eq!(asks(&pair), [46]);
    pair.client.disconnected(pair.now, &mut pair.seen);
    pair.seen.out.clear();
    greet(&mut pair);
    assert_eq!(asks(&pair), [1]);
}

#[test]
fn what_the_reader_can_not_do_is_told_with_key_and_mend() {
    let told = |profile: Profile, change: &dyn Fn(&mut Settings)| {
        let mut settings = settings(&[1, 2]);
        change(&mut settings);
        let mut pair = Pair::new(settings, profile, vec![]);
        pair.connect();
        assert!(pair.client.over() || pair.closed);
        pair.seen.words.last().cloned().expect("in words")
    };
    let fcc = || Profile::fcc(2);
    assert_eq!(told(fcc(), &|s| s.antennas[1].port = 5), "antennas: port 5: give ports from 1 to 2");
    assert_eq!(told(fcc(), &|s| s.mode = Some(7)), "mode 7: give one of 0, 1, 2, 3, or leave it out");
    let power = told(fcc(), &|s| s.antennas[0].power_cdbm = Some(3_150));
    assert_eq!(power, "antennas: power_dbm 31.5 of port 1: give 10 to 30");
    let region = told(fcc(), &|s| s.region = Some(Region::Etsi));
    assert!(region.starts_with("region ETSI: the reader is set to country code 840 and transmits at 902.750 MHz"));
    let gate = Gate { input: 9, high: true, linger: ms(0) };
    assert_eq!(told(fcc(), &|s| s.gate = Some(gate)), "gate.input 9: the reader has 4 inputs");
    assert_eq!(told(fcc(), &|s| s.lamp = Some(5)), "lamp 5: the reader has 4 outputs");
    let zebra = || Profile::of(Vendor::Zebra, 20);
    let many = told(zebra(), &|s| {
        s.mode = None;
        s.antennas = (1..=17).map(|port| AntennaSettings { port, power_cdbm: None }).collect();
    });
    assert_eq!(many, "antennas: 17 are set: give at most 16");
}

#[test]
fn a_photo_eye_gates_the_antennas_and_a_lamp_says_that_the_session_is_up() {
    let gate = Gate { input: 2, high: true, linger: ms(500) };
    let gated = Settings { gate: Some(gate), lamp: Some(1), ..settings(&[1, 2]) };
    let mut pair = Pair::up_events(gated, Profile::fcc(2), vec![(1, epc(1))]);
    assert!(pair.reader.outputs()[0]);
    pair.run(ms(3_000));
    assert_eq!((pair.seen.reads.len(), pair.seen.visits.len(), pair.reader.is_active()), (0, 0, false));
    let set = |pair: &mut Pair, high| {
        pair.reader.set_input(pair.now, 2, high, &mut |octets| pair.to_client.extend_from_slice(octets));
        pair.deliver();
    };
    set(&mut pair, true);
    pair.run(ms(2_000));
    assert!(pair.reader.is_active());
    assert!(pair.seen.visits.len() >= 8, "by turns as long as the beam is broken: {}", pair.seen.visits.len());
    set(&mut pair, false);
    pair.run(ms(1_500));
    assert!(!pair.reader.is_active(), "half a second more, and the looks that had begun");
    let visits = pair.seen.visits.len();
    pair.run(ms(5_000));
    assert_eq!(pair.seen.visits.len(), visits);
    assert!(pair.seen.events.contains(&ReaderEvent::Input { port: 2, high: true }));
    assert_eq!(pair.reader.violations(), []);
}

impl Pair {
    /// As [`up`](Self::up), whatever else is told.
    fn up_events(settings: Settings, profile: Profile, tags: Vec<(u16, Epc)>) -> Self {
        let mut pair = Self::new(settings, profile, tags);
        pair.connect();
        assert!(pair.seen.events.contains(&ReaderEvent::Up), "{:?}", pair.seen.events);
        pair
    }
}

#[test]
fn what_a_reader_held_is_taken_if_recent_and_a_replay_of_66_000_messages_moves_nothing() {
    let mut pair = Pair::up(settings(&[1]), Profile::fcc(1), vec![(1, epc(1))]);
    pair.run(ms(1_000));
    pair.closed = true;
    pair.client.disconnected(pair.now, &mut pair.seen);
    pair.reader.disconnected(pair.now);
    pair.run(ms(4_000));
    pair.seen = Heard::default();
    let back = pair.now;
    pair.connect();
    pair.run(ms(1_000));
    let held: Vec<_> = pair.seen.reads.iter().filter(|read| read.at < back).collect();
    assert!(!held.is_empty() && held.iter().all(|read| back - read.at < ms(5_000)), "{held:?}");

    // An hour of reports, as some readers keep it.
    let report = |stamp: i64| {
        let data = Tree::new("TagReportData")
            .with(Tree::new("EPC_96").set("EPC", epc(2).octets()))
            .with(Tree::new("AntennaID").set("AntennaID", 1))
            .with(Tree::new("LastSeenTimestampUTC").set("Microseconds", stamp as u64));
        let mut octets = Vec::new();
        Tree::new("RO_ACCESS_REPORT").with(data).encode(1, 1, &mut octets);
        octets
    };
    pair.seen = Heard::default();
    let from = back.micros() - 3_600_000_000;
    for at in 0..66_000 {
        pair.client.receive(pair.now, &report(from + at * 50_000), &mut pair.seen);
    }
    assert_eq!((pair.seen.reads.len(), &pair.seen.events[..]), (0, &[][..]), "old news");
    pair.run(ms(2_000));
    assert!(pair.seen.events.contains(&ReaderEvent::Late { count: 66_000 }), "{:?}", pair.seen.events);
    assert!(pair.seen.reads.iter().all(|read| read.epc == epc(1) && pair.now - read.at < ms(3_000)));
    assert!(!pair.seen.events.iter().any(|event| matches!(event, ReaderEvent::Down(_) | ReaderEvent::ClockJump)));
}
