//! The path of a read allocates nothing: counted, over thousands of reports.

#[path = "../../../tests/include/allocations.rs"]
mod allocations;

use allocations::allocations;
use stowage_base::{
    Air, Duration, Epc, ReaderDevice, ReaderEvent, ReaderSession, ReaderSink, TagRead, Timestamp, Visit,
};
use stowage_protocol::llrp::client::{AntennaSettings, Client, Settings};
use stowage_protocol::llrp::reader::{Profile, Reader, Vendor};

/// Fifty tags, each heard once by every antenna.
struct Crowd;

impl Air for Crowd {
    fn interrogate(
        &mut self,
        antenna: u16,
        _power_cdbm: i16,
        start: Timestamp,
        end: Timestamp,
        heard: &mut dyn FnMut(&TagRead),
    ) {
        for number in 0..50 {
            let epc = Epc::new(&[0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number]).expect("12 octets");
            let at = start + Duration::from_micros((end - start).micros() / 50 * i64::from(number));
            heard(&TagRead { epc, antenna, rssi_cdbm: -6_000, count: 1, at, frequency_khz: None, phase: Some(7) });
        }
    }
}

/// Counts what it is told; `out` has room for what a client answers.
struct Sink {
    out: Vec<u8>,
    reads: u64,
    visits: u64,
}

impl ReaderSink for Sink {
    fn send(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }
    fn read(&mut self, _read: &TagRead) {
        self.reads += 1;
    }
    fn visit(&mut self, _visit: &Visit) {
        self.visits += 1;
    }
    fn event(&mut self, event: ReaderEvent) {
        assert_eq!(event, ReaderEvent::Up);
    }
}

#[test]
fn reports_visits_and_keepalives_allocate_nothing_after_a_warm_up() {
    let antennas = [1, 2, 3, 4].map(|port| AntennaSettings { port, power_cdbm: None }).to_vec();
    let (dwell, keepalive) = (Duration::from_millis(100), Duration::from_millis(500));
    let settings = Settings { dwell, keepalive, session: 0, population: 50, ..Settings::new(antennas) };
    let mut client = Client::new(settings).expect("settings");
    let mut reader = Reader::new(Profile::of(Vendor::Impinj, 4));
    let mut sink = Sink { out: Vec::with_capacity(4_096), reads: 0, visits: 0 };
    let mut wire = Vec::new();
    let mut now = Timestamp::from_micros(1_700_000_000_000_000);
    client.connected(now, &mut sink);
    reader.connected(now, &mut |octets| wire.extend_from_slice(octets));
    let mut counted = 0;
    let mut warm = (0, 0);
    for turn in 0..400 {
        if turn == 100 {
            warm = (sink.reads, sink.visits);
        }
        // Chunks that cut messages at ever other places.
        let before = allocations();
        for chunk in wire.chunks(1_448 - turn) {
            client.receive(now, chunk, &mut sink);
        }
        client.tick(now, &mut sink);
        if turn >= 100 {
            counted += allocations() - before;
        }
        wire.clear();
        reader.receive(now, &sink.out, &mut Crowd, &mut |octets| wire.extend_from_slice(octets));
        sink.out.clear();
        if turn > 10 {
            now += Duration::from_millis(100);
        }
        reader.tick(now, &mut Crowd, &mut |octets| wire.extend_from_slice(octets));
    }
    assert_eq!((sink.reads - warm.0, sink.visits - warm.1), (300 * 50, 300));
    assert_eq!(counted, 0);
}
