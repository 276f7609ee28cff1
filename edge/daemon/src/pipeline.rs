//! The way of a read without threads, sockets and commits: LLRP octets → session → merged reads → presence.
//!
//! What the daemon does between a socket and a belief, in one place where it can be counted and measured.

use crate::adapt::reader::Points;
use crate::runtime::{Entry, Reads};
use stowage_base::{
    Air, Code, Duration, Epc, ReaderDevice, ReaderEvent, ReaderSession, ReaderSink, TagRead, Timestamp, Visit,
};
use stowage_core::commit::{Chain, Stored};
use stowage_core::site::{
    Device, DeviceIx, DeviceKind, Location, PresenceSettings, ReadPoint, Site, Zone, ZoneIx, ZoneKind,
};
use stowage_core::{Engine, Input};
use stowage_protocol::llrp::client::{AntennaSettings, Settings};
use stowage_protocol::llrp::reader::{Profile, Reader};
use stowage_protocol::llrp::{Client, client::SettingsError};

/// How long an antenna looks.
const DWELL: Duration = Duration::from_millis(100);

/// What a reader sent, chunk by chunk with the time of arrival.
pub type Recording = Vec<(Timestamp, Vec<u8>)>;

/// A session of one reader with `antennas` antennas that each hear all of `tags` tags, `visits` times: what the reader
/// sent. Every antenna looks into a zone of its own.
///
/// # Errors
/// More antennas than a reader has.
pub fn record(antennas: u16, tags: u32, visits: u32) -> Result<Recording, SettingsError> {
    let mut client = Client::new(settings(antennas))?;
    let mut reader = Reader::new(Profile::fcc(antennas));
    let mut air = Crowd { tags };
    let (mut recording, mut now) = (Recording::new(), START);
    let mut to_reader = Collect::default();
    let mut from_reader = Vec::new();
    reader.connected(now, &mut |octets| from_reader.extend_from_slice(octets));
    client.connected(now, &mut to_reader);
    while to_reader.visits < u64::from(visits) {
        let asked = std::mem::take(&mut to_reader.out);
        reader.receive(now, &asked, &mut air, &mut |octets| from_reader.extend_from_slice(octets));
        if from_reader.is_empty() {
            let due = [reader.next_deadline(), client.next_deadline()].into_iter().flatten().min();
            now = due.unwrap_or(now).max(now + Duration::from_micros(1));
            reader.tick(now, &mut air, &mut |octets| from_reader.extend_from_slice(octets));
            client.tick(now, &mut to_reader);
        }
        let chunk = std::mem::take(&mut from_reader);
        if !chunk.is_empty() {
            client.receive(now, &chunk, &mut to_reader);
            recording.push((now, chunk));
        }
    }
    Ok(recording)
}

const START: Timestamp = Timestamp::from_micros(1_795_558_200_000_000);

fn settings(antennas: u16) -> Settings {
    Settings {
        antennas: (1..=antennas).map(|port| AntennaSettings { port, power_cdbm: None }).collect(),
        dwell: DWELL,
        keepalive: crate::adapt::reader::LLRP_KEEPALIVE,
        session: 2,
        population: 64,
        ..Settings::new(Vec::new())
    }
}

/// Each antenna hears each tag once a visit, the nearer ones louder.
struct Crowd {
    tags: u32,
}

impl Air for Crowd {
    fn interrogate(
        &mut self,
        antenna: u16,
        _power_cdbm: i16,
        start: Timestamp,
        end: Timestamp,
        heard: &mut dyn FnMut(&TagRead),
    ) {
        let step = (end - start).micros() / i64::from(self.tags.max(1));
        for number in 0..self.tags {
            let mut octets = [0x30, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            octets[8..].copy_from_slice(&number.to_be_bytes());
            let Some(epc) = Epc::new(&octets) else { return };
            let far = (number % 7) as i16 + (antenna % 5) as i16;
            let at = start + Duration::from_micros(step * i64::from(number));
            let rssi_cdbm = -5_000 - 100 * far;
            heard(&TagRead { epc, antenna, rssi_cdbm, count: 1, at, frequency_khz: None, phase: None });
        }
    }
}

#[derive(Default)]
struct Collect {
    out: Vec<u8>,
    visits: u64,
}

impl ReaderSink for Collect {
    fn send(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }
    fn read(&mut self, _read: &TagRead) {}
    fn visit(&mut self, _visit: &Visit) {
        self.visits += 1;
    }
    fn event(&mut self, _event: ReaderEvent) {}
}

/// The chain of one reader.
pub struct Pipeline {
    client: Client,
    points: Points,
    reads: Reads,
    taken: Reads,
    engine: Engine,
    out: Vec<u8>,
    heard: u64,
}

impl Pipeline {
    /// A chain for what [`record`] gave for as many antennas.
    ///
    /// # Errors
    /// More antennas than a reader has.
    pub fn new(antennas: u16) -> Result<Self, SettingsError> {
        let code = |text: String| stowage_base::code(&text).unwrap_or_default();
        let zone =
            |at: u16| Zone { code: code(format!("Z{at}")), name: String::new(), kind: ZoneKind::Aisle, area: [0; 4] };
        let site = Site {
            code: code("BENCH".into()),
            name: String::new(),
            time_zone: "Etc/UTC".into(),
            zones: (1..=antennas).map(zone).collect(),
            passages: Vec::new(),
            portals: Vec::new(),
            read_points: (1..=antennas)
                .map(|antenna| ReadPoint { device: DeviceIx(0), antenna, zone: ZoneIx(antenna - 1), portal: None })
                .collect(),
            locations: (1..=antennas)
                .map(|at| Location { code: code(format!("Z{at}")), zone: ZoneIx(at - 1) })
                .collect(),
            skus: Vec::new(),
            tags: Vec::new(),
            policies: Vec::new(),
            sort_plan: Vec::new(),
            roadmap: Default::default(),
            transports: Vec::new(),
            devices: vec![Device { code: Code::new(), kind: DeviceKind::Reader }],
            presence: PresenceSettings::default(),
        };
        let points = Points::of(&site, DeviceIx(0));
        let stored = Stored { chain: Chain::START, rows: Vec::new() };
        // An empty journal has no row that could make no sense.
        let engine = Engine::new(site.into(), stored).unwrap_or_else(|why| unreachable!("no rows: {why}"));
        let mut client = Client::new(settings(antennas))?;
        client.connected(START, &mut Collect::default());
        let (reads, taken) = (Reads::new(), Reads::new());
        Ok(Self { client, points, reads, taken, engine, out: Vec::new(), heard: 0 })
    }

    /// Octets arrive: everything up to the belief about each tag.
    pub fn receive(&mut self, now: Timestamp, octets: &[u8]) {
        let mut sink =
            Sink { out: &mut self.out, reads: &mut self.reads, points: &self.points, heard: &mut self.heard };
        self.client.receive(now, octets, &mut sink);
        self.client.tick(now, &mut sink);
        self.out.clear();
        self.reads.swap(&mut self.taken);
        for entry in self.taken.entries() {
            match entry {
                Entry::Read(point, read) => self.engine.read(now, *point, read),
                Entry::Visit(point, visit) => self.engine.input(now, Input::Visit { point: *point, visit: *visit }),
            }
        }
        self.taken.clear();
    }

    /// Tag reads so far.
    pub const fn heard(&self) -> u64 {
        self.heard
    }

    /// Tags that presence has placed so far.
    pub fn placed(&self) -> u64 {
        let zones = 0..self.engine.site().zones.len() as u16;
        zones.map(|zone| u64::from(self.engine.presence().tags_in(ZoneIx(zone)))).sum()
    }
}

struct Sink<'a> {
    out: &'a mut Vec<u8>,
    reads: &'a mut Reads,
    points: &'a Points,
    heard: &'a mut u64,
}

impl ReaderSink for Sink<'_> {
    fn send(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }
    fn read(&mut self, read: &TagRead) {
        *self.heard += u64::from(read.count);
        if let Some(point) = self.points.get(read.antenna) {
            self.reads.read(point, read);
        }
    }
    fn visit(&mut self, visit: &Visit) {
        if let Some(point) = self.points.get(visit.antenna) {
            self.reads.visit(point, visit);
        }
    }
    fn event(&mut self, _event: ReaderEvent) {}
}
