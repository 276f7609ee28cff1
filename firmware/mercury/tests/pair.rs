//! Client and module on one clock, with a line between them that can lose, add and change octets.

use proptest::prelude::*;
use std::collections::VecDeque;
use stowage_base::{
    Air, Duration, Epc, ReaderDevice, ReaderEvent, ReaderSession, ReaderSink, TagRead, Timestamp, Visit,
};
use stowage_mercury::module::Port;
use stowage_mercury::speed::SPEEDS;
use stowage_mercury::{Antennas, Client, Module, ModuleSettings, Region, Settings, Status};

/// A generator that is the same everywhere (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }
}

/// One tag before each antenna but the second, heard 10 ms after each look began.
struct Shelf;

fn tag_of(antenna: u16) -> Epc {
    Epc::from_hex(&format!("30395DFA81B7D840000000{antenna:02X}")).expect("24 digits")
}

impl Air for Shelf {
    fn interrogate(
        &mut self,
        antenna: u16,
        power_cdbm: i16,
        start: Timestamp,
        end: Timestamp,
        heard: &mut dyn FnMut(&TagRead),
    ) {
        assert_eq!(power_cdbm, 2_700);
        let at = start + Duration::from_millis(10);
        if antenna != 2 && at < end {
            heard(&TagRead {
                epc: tag_of(antenna),
                antenna,
                rssi_cdbm: -5_540,
                count: 2,
                at,
                frequency_khz: Some(866_300),
                phase: Some(1_000),
            });
        }
    }
}

#[derive(Default)]
struct Host {
    line: Vec<u8>,
    reads: Vec<TagRead>,
    visits: Vec<Visit>,
    events: Vec<ReaderEvent>,
}

impl ReaderSink for Host {
    fn send(&mut self, octets: &[u8]) {
        self.line.extend(octets);
    }
    fn read(&mut self, read: &TagRead) {
        self.reads.push(*read);
    }
    fn visit(&mut self, visit: &Visit) {
        self.visits.push(*visit);
    }
    fn event(&mut self, event: ReaderEvent) {
        self.events.push(event);
    }
}

struct Pair {
    now: Timestamp,
    random: Random,
    /// One octet in so many is lost, changed or followed by a stray one; 0: none.
    noise: u64,
    client: Client,
    module: Module,
    host: Host,
    /// Octets on the line to the client, with their arrival.
    to_client: VecDeque<(Timestamp, Vec<u8>)>,
    to_module: VecDeque<(Timestamp, Vec<u8>)>,
}

const START: Timestamp = Timestamp::from_micros(1_795_558_200_000_000);
const DELAY: Duration = Duration::from_millis(3);

impl Pair {
    fn new(seed: u64, noise: u64) -> Self {
        Self::at(seed, noise, 115_200, 115_200)
    }

    /// A module that starts at one speed for a client that wants another.
    fn at(seed: u64, noise: u64, baud: u32, wanted: u32) -> Self {
        let antennas = Antennas::new(&[1, 2, 3, 4]).expect("four ports");
        Self {
            now: START,
            random: Random(seed),
            noise,
            client: Client::new(Settings { baud: wanted, region: Region::EUROPE_3, read_power_cdbm: 2_700, antennas }),
            module: Module::new(ModuleSettings { baud, ..ModuleSettings::default() }),
            host: Host::default(),
            to_client: VecDeque::new(),
            to_module: VecDeque::new(),
        }
    }

    fn disturb(random: &mut Random, noise: u64, octets: &[u8]) -> Vec<u8> {
        let mut disturbed = Vec::new();
        for octet in octets {
            match if noise > 0 && random.one_in(noise) { random.next() % 3 } else { 3 } {
                0 => {}
                1 => disturbed.push(octet ^ (random.next() as u8 | 1)),
                2 => disturbed.extend([*octet, random.next() as u8]),
                _ => disturbed.push(*octet),
            }
        }
        disturbed
    }

    /// What a receiver at another speed makes of octets: other ones.
    fn garble(random: &mut Random, same_speed: bool, octets: &[u8]) -> Vec<u8> {
        octets.iter().map(|octet| if same_speed { *octet } else { random.next() as u8 }).collect()
    }

    /// Lets a time pass, from event to event; reconnects as a driver would.
    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        for step in 0.. {
            assert!(step < 1_000_000, "a deadline is told that does nothing");
            let line = std::mem::take(&mut self.host.line);
            if !line.is_empty() {
                let same_speed = self.client.baud() == self.module.baud();
                let line = Self::garble(&mut self.random, same_speed, &line);
                let line = Self::disturb(&mut self.random, self.noise, &line);
                self.to_module.push_back((self.now + DELAY, line));
            }
            if self.client.over() {
                self.client.connected(self.now, &mut self.host);
                continue;
            }
            let arrivals = [self.to_client.front(), self.to_module.front()].map(|first| first.map(|(at, _)| *at));
            let deadlines = [self.client.next_deadline(), self.module.next_deadline()];
            let next = arrivals.into_iter().chain(deadlines).flatten().min().unwrap_or(until);
            if next > until {
                self.now = until;
                return;
            }
            self.now = self.now.max(next);
            let Self { now, random, noise, client, module, host, to_client, to_module } = self;
            // What a module answers, it answers at the speed that it was asked at.
            let same_speed = client.baud() == module.baud();
            let mut out = |octets: &[u8]| {
                let octets = Self::garble(random, same_speed, octets);
                to_client.push_back((*now + DELAY, Self::disturb(random, *noise, &octets)));
            };
            while to_module.front().is_some_and(|(at, _)| at <= now) {
                let (_, octets) = to_module.pop_front().expect("just seen");
                module.receive(*now, &octets, &mut Shelf, &mut out);
            }
            module.tick(*now, &mut Shelf, &mut out);
            while to_client.front().is_some_and(|(at, _)| at <= now) {
                let (_, octets) = to_client.pop_front().expect("just seen");
                client.receive(*now, &octets, host);
            }
            client.tick(*now, host);
        }
    }

    fn connected(seed: u64, noise: u64) -> Self {
        let mut pair = Self::new(seed, noise);
        pair.client.connected(START, &mut pair.host);
        pair
    }
}

#[test]
fn a_quiet_line_brings_every_read_and_a_visit_for_each_turn() {
    let mut pair = Pair::connected(1, 0);
    pair.run(Duration::from_secs(10));
    assert_eq!(pair.host.events, [ReaderEvent::Temperature(38), ReaderEvent::Up]);
    assert!(pair.client.version().is_some_and(|version| version.protocols == 0x10));
    // Refused: the first stop, which a bootloader doesn't know.
    assert_eq!(pair.module.violations().count, 1);
    assert_eq!(pair.client.noise_octets(), 0);

    // 20 dwells a second, three of four with a read.
    let reads = &pair.host.reads;
    assert!((140..=150).contains(&reads.len()), "{}", reads.len());
    for read in reads {
        assert_eq!(read.epc, tag_of(read.antenna));
        assert_eq!((read.count, read.rssi_cdbm, read.frequency_khz), (2, -5_500, Some(866_300)));
        assert_eq!(read.phase, Some(989), "1000/4096 of a turn is 87 whole degrees");
    }
    assert!(reads.is_sorted_by_key(|read| read.at));

    let visits = &pair.host.visits;
    assert!(visits.iter().all(|visit| visit.healthy && visit.start < visit.end));
    assert!(visits.windows(2).all(|pair| pair[0].end == pair[1].start), "no gap, no overlap");
    for antenna in 1..=4 {
        let of_antenna: Vec<_> = visits.iter().filter(|visit| visit.antenna == antenna).collect();
        assert!((46..=54).contains(&of_antenna.len()), "antenna {antenna}: {}", of_antenna.len());
        assert!(of_antenna.iter().all(|visit| (visit.reads > 0) == (antenna != 2)));
    }
    // A visit holds the reads that were told before it and no others.
    let (mut told, visited) = (0, visits.last().expect("many").end);
    told += visits.iter().map(|visit| visit.reads).sum::<u32>();
    assert_eq!(told, reads.iter().filter(|read| read.at < visited).map(|read| u32::from(read.count)).sum::<u32>());
}

#[test]
fn a_module_that_restarts_in_the_middle_is_brought_up_again_on_the_same_connection() {
    // At 921,600: after the restart it talks 115,200 again.
    let mut pair = Pair::at(2, 0, 115_200, 921_600);
    pair.client.connected(START, &mut pair.host);
    pair.run(Duration::from_secs(5));
    assert_eq!(
        pair.host.events[..2],
        [ReaderEvent::Speed { found: 115_200, now: 921_600 }, ReaderEvent::Temperature(38)]
    );
    assert_eq!(pair.module.baud(), Some(921_600));
    let (events, cut) = (pair.host.events.len(), pair.now);
    pair.module.power_cycle();
    assert_eq!(pair.module.baud(), Some(115_200));
    pair.host.reads.clear();
    pair.host.visits.clear();
    pair.run(Duration::from_secs(10));
    let told: Vec<_> = pair.host.events[events..].to_vec();
    assert!(
        matches!(
            told[..],
            [
                ReaderEvent::Fault { what: silent, .. },
                ReaderEvent::Fault { what: restarted, .. },
                ReaderEvent::Speed { found: 115_200, now: 921_600 },
                ReaderEvent::Temperature(_),
            ] if silent.contains("fell silent") && restarted.contains("restarted")
        ),
        "{told:?}"
    );
    assert!(pair.host.reads.len() > 80 && pair.module.baud() == Some(921_600));
    // Nobody looked between the cut and the new start.
    let restarted = pair.host.reads[0].at - Duration::from_millis(20);
    let lies = pair.host.visits.iter().filter(|visit| visit.healthy && visit.start >= cut && visit.end <= restarted);
    assert_eq!(lies.count(), 0);
    assert!(pair.host.visits.iter().any(|visit| !visit.healthy));
}

#[test]
fn a_hot_module_is_told_and_its_visits_are_unhealthy() {
    let mut pair = Pair::connected(3, 0);
    pair.run(Duration::from_secs(2));
    pair.host.visits.clear();
    pair.module.set_fault(Some(Status::TOO_HOT));
    let events = pair.host.events.len();
    pair.run(Duration::from_secs(7));
    assert!(pair.host.visits.iter().skip(4).all(|visit| !visit.healthy));
    let fault = ReaderEvent::Fault { what: Status::TOO_HOT.advice(), code: 0x0504 };
    assert_eq!(pair.host.events[events..], [fault], "told once, not twenty times a second");
    pair.run(Duration::from_secs(6));
    assert_eq!(pair.host.events[events + 1..], [ReaderEvent::Temperature(91), fault]);
    pair.module.set_fault(None);
    pair.host.reads.clear();
    pair.host.visits.clear();
    pair.run(Duration::from_secs(2));
    assert!(pair.host.reads.len() > 25, "it reads on without a new start");
    assert!(pair.host.visits.iter().rev().take(20).all(|visit| visit.healthy));
}

#[test]
fn an_antenna_that_falls_off_blinds_itself_alone() {
    for (state, status) in [(Port::Mismatched, Status::RETURN_LOSS), (Port::Open, Status::ANTENNA_NOT_CONNECTED)] {
        let mut pair = Pair::connected(5, 0);
        pair.run(Duration::from_secs(12));
        assert!(pair.module.set_port(3, state) && !pair.module.set_port(5, state));
        let events = pair.host.events.len();
        pair.run(Duration::from_secs(1));
        let fault = ReaderEvent::Fault { what: status.advice(), code: status.0.into() };
        let gone = ReaderEvent::Antenna { port: 3, connected: false };
        assert_eq!(pair.host.events[events..], [fault, ReaderEvent::Temperature(38), gone]);
        pair.host.visits.clear();
        pair.run(Duration::from_secs(15));
        let again = pair.host.events[events + 3..].iter().all(|event| matches!(event, ReaderEvent::Temperature(_)));
        assert!(again, "told once which antenna it is: {:?}", pair.host.events);
        let visits = &pair.host.visits;
        assert!(visits.iter().all(|visit| visit.healthy == (visit.antenna != 3)), "{visits:?}");
        for antenna in 1..=4 {
            let count = visits.iter().filter(|visit| visit.antenna == antenna).count();
            assert!((65..=85).contains(&count), "antenna {antenna}: {count}");
        }
        pair.module.set_port(3, Port::Good);
        pair.run(Duration::from_secs(10));
        assert_eq!(pair.host.events.last(), Some(&ReaderEvent::Antenna { port: 3, connected: true }));
        pair.host.visits.clear();
        pair.run(Duration::from_secs(1));
        assert!(pair.host.visits.iter().all(|visit| visit.healthy));
    }
}

#[test]
fn a_module_at_any_speed_is_found_and_set() {
    for (place, baud) in SPEEDS.into_iter().enumerate() {
        for wanted in SPEEDS {
            let mut pair = Pair::at(place as u64, 0, baud, wanted);
            pair.client.connected(START, &mut pair.host);
            pair.run(Duration::from_secs(7));
            assert_eq!((pair.client.baud(), pair.module.baud()), (Some(wanted), Some(wanted)), "from {baud}");
            let found = ReaderEvent::Speed { found: baud, now: wanted };
            assert_eq!(pair.host.events.contains(&found), baud != wanted);
            assert!(pair.host.reads.len() > 10, "{} reads from {baud} to {wanted}", pair.host.reads.len());
        }
    }
}

#[test]
fn a_slow_line_holds_the_module_up_and_loses_no_order() {
    let mut pair = Pair::at(9, 0, 9_600, 9_600);
    pair.client.connected(START, &mut pair.host);
    pair.run(Duration::from_secs(10));
    // A frame of 41 octets takes 43 ms: fewer than the 15 a second that the air would give.
    let octets = pair.host.reads.len() * 41;
    assert!((5_000..9_700).contains(&octets), "{octets} octets in 10 s");
    assert!(pair.host.reads.is_sorted_by_key(|read| read.at));
    assert!(pair.host.visits.iter().all(|visit| visit.healthy));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn noise_costs_only_the_frames_that_it_hits(seed: u64, noise in 150_u64..1_000) {
        let mut pair = Pair::connected(seed, noise);
        pair.run(Duration::from_secs(60));
        prop_assert!(pair.host.events.contains(&ReaderEvent::Up), "start-up completes");
        // A frame is about 40 octets: at the worst one in four is hit, and a false length takes a few more along.
        prop_assert!(pair.host.reads.len() > 300, "{} reads", pair.host.reads.len());
        prop_assert!(pair.client.noise_octets() > 0);
        // What the checksum lets through was sent (one damaged frame in 65,536 passes it).
        let strange = pair.host.reads.iter().filter(|read| read.epc != tag_of(read.antenna)).count();
        prop_assert!(strange <= 1);
        prop_assert!(pair.host.visits.iter().all(|visit| visit.start <= visit.end));

        // The noise ends: within the longest repair all is well.
        pair.noise = 0;
        pair.run(Duration::from_secs(15));
        pair.host.reads.clear();
        pair.run(Duration::from_secs(2));
        prop_assert!((28..=31).contains(&pair.host.reads.len()), "{} reads", pair.host.reads.len());
    }

    #[test]
    fn hostile_octets_stop_neither_end(
        chunks in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0xFF), Just(0x00), Just(0x22), any::<u8>()], 0..300), 0..20),
    ) {
        let mut pair = Pair::connected(4, 0);
        pair.run(Duration::from_secs(2));
        for chunk in chunks {
            let Pair { now, client, module, host, .. } = &mut pair;
            client.receive(*now, &chunk, host);
            module.receive(*now, &chunk, &mut Shelf, &mut |_| {});
            pair.run(Duration::from_millis(40));
        }
        pair.run(Duration::from_secs(15));
        pair.host.reads.clear();
        pair.run(Duration::from_secs(2));
        prop_assert!((28..=31).contains(&pair.host.reads.len()), "{} reads", pair.host.reads.len());
    }
}
