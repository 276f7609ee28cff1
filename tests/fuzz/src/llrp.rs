//! LLRP: frames and both ends of a session.

use crate::steps::{START, Step, Steps};
use stowage_base::access::{Bank, Op};
use stowage_base::{
    Air, Duration, Epc, ReaderCommand, ReaderDevice, ReaderEvent, ReaderSession, ReaderSink, TagOp, TagRead, Timestamp,
    Visit,
};
use stowage_protocol::llrp::client::{AntennaSettings, Settings};
use stowage_protocol::llrp::frame::Inbox;
use stowage_protocol::llrp::reader::{Profile, Vendor};
use stowage_protocol::llrp::{Client, Reader, report, tree};

/// Frames are found the same however the stream is cut; what decodes encodes, and decodes to the same again.
pub(crate) fn frame(data: &[u8]) {
    let mut whole = Vec::new();
    let at_once = Inbox::default().receive(data, |frame| whole.push(tree::decode(&frame).ok()));
    let mut pieces = Vec::new();
    let mut inbox = Inbox::default();
    let cut = data.chunks(3).try_for_each(|chunk| inbox.receive(chunk, |frame| pieces.push(tree::decode(&frame).ok())));
    assert_eq!((whole.len(), at_once.is_ok()), (pieces.len(), cut.is_ok()));
    for (tree, piece) in whole.iter().zip(&pieces) {
        assert_eq!(tree, piece);
        let Some(tree) = tree else { continue };
        let mut octets = Vec::new();
        tree.encode(1, 7, &mut octets);
        let _ = Inbox::default().receive(&octets, |frame| {
            let again = tree::decode(&frame);
            assert!(again.is_ok(), "our own encoding is refused: {again:?}");
        });
    }
    let _ = report::walk(data, |_| {});
}

struct Nowhere;

impl ReaderSink for Nowhere {
    fn send(&mut self, _: &[u8]) {}
    fn read(&mut self, read: &TagRead) {
        assert!(read.count > 0);
    }
    fn visit(&mut self, visit: &Visit) {
        assert!(visit.start <= visit.end, "{visit:?}");
    }
    fn event(&mut self, _: ReaderEvent) {}
}

impl Air for Nowhere {
    fn interrogate(&mut self, _: u16, _: i16, start: Timestamp, end: Timestamp, _: &mut dyn FnMut(&TagRead)) {
        assert!(start <= end);
    }
}

/// The edge's end bears whatever a reader says.
pub(crate) fn client(data: &[u8]) {
    let antennas = [1, 2].map(|port| AntennaSettings { port, power_cdbm: Some(3_000) });
    let settings = Settings {
        antennas: antennas.to_vec(),
        dwell: Duration::from_millis(200),
        keepalive: Duration::from_secs(2),
        session: 1,
        population: 32,
        ..Settings::new(Vec::new())
    };
    let Ok(mut client) = Client::new(settings) else { unreachable!("two antennas within every limit") };
    run(&mut client, data);
}

/// Plays the story that `data` tells to a reader's session, with a command before each of its steps.
pub(crate) fn run(session: &mut impl ReaderSession, data: &[u8]) {
    // A tag's TID is asked for whenever nothing else is.
    let Some(tag) = Epc::new(&[]) else { return };
    let op = Op::Read { bank: Bank::Tid, word: 0, count: 6 };
    let read = ReaderCommand::Tag(TagOp { tag, antenna: None, password: 0, op });
    let mut now = START;
    session.connected(now, &mut Nowhere);
    for step in Steps(data) {
        session.command(now, 1, &read, &mut Nowhere);
        match step {
            Step::Octets(octets) => session.receive(now, octets, &mut Nowhere),
            Step::Wait(wait) => {
                now += wait;
                session.tick(now, &mut Nowhere);
                assert!(session.next_deadline().is_none_or(|due| due > now), "due at once again");
            }
        }
        if session.over() {
            session.disconnected(now, &mut Nowhere);
            session.connected(now, &mut Nowhere);
        }
    }
    session.disconnected(now, &mut Nowhere);
}

/// The reader's end bears whatever a client says.
pub(crate) fn reader(data: &[u8]) {
    // The first octet chooses maker and version.
    let (first, data) = data.split_first().unwrap_or((&0, data));
    let vendor = [Vendor::Plain, Vendor::Impinj, Vendor::Zebra][usize::from(first % 3)];
    play(&mut Reader::new(Profile { version: 1 + first / 3 % 3, ..Profile::of(vendor, 2) }), data);
}

/// Plays the story that `data` tells to a simulated reader.
pub(crate) fn play(device: &mut impl ReaderDevice, data: &[u8]) {
    let mut now = START;
    device.connected(now, &mut |_| {});
    for step in Steps(data) {
        match step {
            Step::Octets(octets) => device.receive(now, octets, &mut Nowhere, &mut |_| {}),
            Step::Wait(wait) => {
                now += wait;
                device.tick(now, &mut Nowhere, &mut |_| {});
            }
        }
        if device.over() {
            device.disconnected(now);
            device.connected(now, &mut |_| {});
        }
    }
    device.disconnected(now);
}
