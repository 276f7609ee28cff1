//! `edge.toml`: this edge's devices and followers, where it listens and keeps its data.

use super::read::{At, File, Found, Names, Section};
use super::url::{self, Broker};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use stowage_base::{Code, Duration};
use stowage_core::Site;
use stowage_core::site;
use stowage_mercury::{Antennas, Region};

/// An edge as checked: nothing in it can be wrong any more, except the world.
#[derive(Debug, Clone)]
pub struct Edge {
    /// The folder of the journal.
    pub data: PathBuf,
    /// Where the page and the API listen.
    pub listen: SocketAddr,
    /// Where scanners connect.
    pub scanners: SocketAddr,
    /// The site; its `devices` are in the order of [`devices`](Self::devices).
    pub site: Site,
    /// Readers, sorters and scanners.
    pub devices: Vec<Device>,
    /// Where facts go.
    pub followers: Vec<Follower>,
}

/// A device and the way to it.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its id.
    pub id: Code,
    /// What it is, and the way to it.
    pub kind: DeviceKind,
}

/// What a device is, and the way to it.
#[derive(Debug, Clone)]
pub enum DeviceKind {
    /// A fixed reader that speaks LLRP; the edge dials.
    Llrp {
        /// IP address or host name.
        host: String,
        /// TCP port.
        port: u16,
        /// The antennas to use, at least one, by port.
        antennas: Vec<Antenna>,
        /// How long each antenna looks before the next one's turn, 10 ms to 60 s.
        dwell: Duration,
        /// Gen2 inventory session, 0 to 3.
        session: u8,
        /// How many tags the reader should expect in view of one antenna, 1 to 65,535.
        population: u16,
    },
    /// A UART reader module that speaks the Mercury protocol.
    Mercury {
        /// The serial port's device file.
        path: PathBuf,
        /// Baud rate, 9,600 to 921,600.
        baud: u32,
        /// The antenna ports to use, at least one; the module takes them by turns.
        antennas: Antennas,
        /// Transmit power at each of them in 1/100 dBm, 0 to 3,300.
        power_cdbm: u16,
        /// Radio rules to obey.
        region: Region,
    },
    /// A sorter that speaks Stowage's JSON contract over MQTT.
    SorterMqtt {
        /// The broker at which it is found.
        broker: Broker,
        /// Its chutes, at least one.
        chutes: Vec<Code>,
        /// The chute for problems, one of `chutes`.
        hospital: Code,
    },
    /// A handheld scanner; it dials.
    Scanner {
        /// Its enrolment key.
        key: Secret<[u8; 32]>,
    },
}

/// One antenna of an LLRP reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Antenna {
    /// Port on the reader, 1 to 64.
    pub port: u16,
    /// Transmit power at the port in 1/100 dBm, 0 to 3,300.
    pub power_cdbm: i16,
}

/// Where facts go beside the journal.
#[derive(Debug, Clone)]
pub struct Follower {
    /// Names its cursor: the same id goes on where it stopped.
    pub id: Code,
    /// Where to.
    pub kind: FollowerKind,
}

/// Where a follower's facts go.
#[derive(Debug, Clone)]
pub enum FollowerKind {
    /// Appended to a file, one line each.
    Jsonl {
        /// The file.
        path: PathBuf,
    },
    /// Published, each to `PREFIX/KIND`.
    Mqtt {
        /// The broker.
        broker: Broker,
        /// Leading levels of the topics.
        prefix: String,
    },
}

/// A key or password. Debug prints none of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a secret.
    pub fn new(secret: T) -> Self {
        Self(secret)
    }

    /// The secret itself.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The devices as the site's file may refer to them.
pub(super) struct Devices {
    pub(super) names: Names,
    /// In the file's order; a kind of `None` is a fault there.
    pub(super) list: Vec<(Code, Option<DeviceKind>)>,
    /// Where each reader's antennas stand in the file: by device and port.
    pub(super) antennas: BTreeMap<(usize, u16), At>,
}

impl Devices {
    /// What the core needs to know of them.
    pub(super) fn for_core(&self) -> Vec<site::Device> {
        let device = |(id, kind): &(Code, Option<DeviceKind>)| site::Device {
            code: id.clone(),
            kind: match kind {
                Some(DeviceKind::Llrp { .. } | DeviceKind::Mercury { .. }) => site::DeviceKind::Reader,
                Some(DeviceKind::SorterMqtt { chutes, hospital, .. }) => {
                    site::DeviceKind::Sorter { chutes: chutes.clone(), hospital: hospital.clone() }
                }
                Some(DeviceKind::Scanner { .. }) | None => site::DeviceKind::Scanner,
            },
        };
        self.list.iter().map(device).collect()
    }
}

/// An edge's file, read and checked but for what hangs on the site.
pub(super) struct Written {
    pub(super) data: PathBuf,
    pub(super) listen: SocketAddr,
    pub(super) scanners: SocketAddr,
    /// Where the site's file is; `None` if that is a fault.
    pub(super) site: Option<PathBuf>,
    pub(super) devices: Devices,
    pub(super) followers: Vec<Follower>,
}

impl Written {
    /// Notes antennas that the site has no place for: they would read tags and tell nothing.
    pub(super) fn refuse_unplaced_antennas(&self, file: &File, site: &Site) {
        for ((device, port), at) in &self.devices.antennas {
            if site.read_point(site::DeviceIx(*device as u16), *port).is_none() {
                let (id, _) = &self.devices.list[*device];
                let message =
                    format!("no read point of site.toml has {id}'s antenna {port}: add one there, or take it out here");
                file.fault_of_key(at, message);
            }
        }
    }

    /// The edge on its site, both without a fault.
    pub(super) fn on(self, site: Site) -> Edge {
        let Self { data, listen, scanners, devices, followers, .. } = self;
        let devices = devices.list.into_iter().filter_map(|(id, kind)| Some(Device { id, kind: kind? })).collect();
        Edge { data, listen, scanners, site, devices, followers }
    }
}

/// Reads an edge's file whose `kind` was taken already.
pub(super) fn read(mut root: Section<'_>) -> Written {
    let file = root.file;
    root.require(&[("site", "the path of site.toml, relative to this file")]);
    let beside = |path: &str| file.path.parent().unwrap_or(&file.path).join(path);
    let data = root.text("data").map_or_else(|| ".stowage".into(), |data| data.value);
    let site = root.text("site").map(|site| beside(&site.value));
    let listen = root.address("listen", "127.0.0.1:8080");
    let scanners = root.address("scanners", "127.0.0.1:7070");
    if let (Some(listen), Some(scanners)) = (&listen, &scanners)
        && listen.value == scanners.value
        && listen.value.port() != 0
    {
        file.fault(&scanners.at, format!("the page listens there (line {}): give another port", listen.at.line));
    }
    let devices = devices(&mut root);
    let followers = followers(&mut root, &beside);
    root.end();
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Written {
        data: beside(&data),
        listen: listen.map_or(local(8080), |listen| listen.value),
        scanners: scanners.map_or(local(7070), |scanners| scanners.value),
        site,
        devices,
        followers,
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Llrp,
    Mercury,
    SorterMqtt,
    Scanner,
}

const KINDS: &[(&str, Kind)] =
    &[("llrp", Kind::Llrp), ("mercury", Kind::Mercury), ("sorter-mqtt", Kind::SorterMqtt), ("scanner", Kind::Scanner)];

/// By the names that the modules' makers use.
const REGIONS: &[(&str, Region)] = &[
    ("na", Region::NORTH_AMERICA),
    ("na2", Region::NORTH_AMERICA_2),
    ("na3", Region::NORTH_AMERICA_3),
    ("eu", Region::EUROPE),
    ("eu2", Region::EUROPE_2),
    ("eu3", Region::EUROPE_3),
    ("in", Region::INDIA),
    ("jp", Region::JAPAN),
    ("kr", Region::KOREA),
    ("kr2", Region::KOREA_2),
    ("cn", Region::CHINA),
    ("cn840", Region::CHINA_840),
    ("au", Region::AUSTRALIA),
    ("nz", Region::NEW_ZEALAND),
];

fn devices(root: &mut Section<'_>) -> Devices {
    let mut devices = Devices { names: Names::new("device"), list: Vec::new(), antennas: BTreeMap::new() };
    let mut keys = BTreeMap::new();
    for (index, mut section) in root.sections("device").into_iter().enumerate() {
        let file = section.file;
        section.require(&[("id", "a short name"), ("kind", r#""llrp", "mercury", "sorter-mqtt" or "scanner""#)]);
        let id = section.id("id").unwrap_or_default();
        devices.names.add(file, &id, index);
        // Where the kind isn't known, neither are the keys: the rest of the section is left alone.
        let kind = section.choice("kind", KINDS).map(|kind| match kind.value {
            Kind::Llrp => {
                section.require(&[("url", "llrp://HOST or llrp://HOST:PORT"), ("antennas", ANTENNAS)]);
                let (host, port) = url(&mut section, url::llrp).unwrap_or_default();
                DeviceKind::Llrp {
                    host,
                    port,
                    antennas: antennas(&mut section, index, &mut devices.antennas),
                    dwell: dwell(&mut section),
                    session: session(&mut section),
                    population: section.number("population", 1..=65_535).map_or(32, |population| population.value),
                }
            }
            Kind::Mercury => {
                section.require(&[
                    ("url", "serial:///dev/… with the port's device file"),
                    ("antennas", "the ports to use, such as [1, 2]"),
                    ("power_dbm", "the power at each antenna, 0 to 33"),
                    ("region", r#"the radio rules of the place, such as "eu3" or "na""#),
                ]);
                let (path, baud) = url(&mut section, url::serial).unwrap_or_default();
                DeviceKind::Mercury {
                    path,
                    baud,
                    antennas: ports(&mut section, index, &mut devices.antennas),
                    // In range, and so not below zero.
                    power_cdbm: section
                        .power_cdbm("power_dbm", 0..=3_300)
                        .map_or(0, |power| power.value.unsigned_abs()),
                    region: section.choice("region", REGIONS).map_or(Region::EUROPE_3, |region| region.value),
                }
            }
            Kind::SorterMqtt => {
                section.require(&[
                    ("url", "mqtt://HOST or mqtt://USER:PASSWORD@HOST:PORT"),
                    ("chutes", "the chutes' codes"),
                    ("hospital", "the chute for problems, one of chutes"),
                ]);
                let broker = url(&mut section, url::mqtt).unwrap_or_default();
                let (chutes, hospital) = chutes(&mut section);
                DeviceKind::SorterMqtt { broker, chutes, hospital }
            }
            Kind::Scanner => {
                section.require(&[("key", KEY)]);
                let key = key(&mut section, &mut keys);
                DeviceKind::Scanner { key: Secret::new(key) }
            }
        });
        if kind.is_some() {
            section.end();
        }
        devices.list.push((id.value, kind));
    }
    devices
}

const ANTENNAS: &str = "a list such as [{ port = 1, power_dbm = 30 }]";
const KEY: &str = "the enrolment key, 64 hex digits";

fn url<T>(section: &mut Section<'_>, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
    let url = section.url("url")?;
    parse(&url.value).map_err(|message| section.file.fault(&url.at, message)).ok()
}

fn dwell(section: &mut Section<'_>) -> Duration {
    Duration::from_millis(section.number("dwell_ms", 10..=60_000).map_or(500, |dwell| dwell.value))
}

fn session(section: &mut Section<'_>) -> u8 {
    section.number("session", 0..=3).map_or(1, |session| session.value)
}

fn antennas(section: &mut Section<'_>, device: usize, places: &mut BTreeMap<(usize, u16), At>) -> Vec<Antenna> {
    let file = section.file;
    let mut antennas: Vec<Antenna> = Vec::new();
    for mut entry in section.sections("antennas") {
        entry.require(&[("port", "the antenna's port on the reader, 1 to 64"), ("power_dbm", "its power, 0 to 33")]);
        let port = entry.number("port", 1..=64);
        let power_cdbm = entry.power_cdbm("power_dbm", 0..=3_300).map_or(0, |power| power.value);
        if let Some(port) = port {
            if places.insert((device, port.value), port.at.clone()).is_some() {
                file.fault_of_key(&port.at, format!("port {} is given twice", port.value));
            } else {
                antennas.push(Antenna { port: port.value, power_cdbm });
            }
        }
        entry.end();
    }
    antennas.sort_by_key(|antenna| antenna.port);
    antennas
}

/// The antenna ports of a UART module.
fn ports(section: &mut Section<'_>, device: usize, places: &mut BTreeMap<(usize, u16), At>) -> Antennas {
    let file = section.file;
    let mut ports: Vec<u8> = Vec::new();
    for port in section.numbers("antennas") {
        match u8::try_from(port.value).ok().filter(|port| (1..=16).contains(port)) {
            None => file.fault(&port.at, "out of range: give 1 to 16"),
            Some(number) if places.insert((device, number.into()), port.at.clone()).is_some() => {
                file.fault(&port.at, "is given twice");
            }
            Some(number) => ports.push(number),
        }
    }
    let at_least_one = if ports.is_empty() { &[1] } else { &ports[..] };
    // Each in range, once, at least one.
    Antennas::new(at_least_one).unwrap_or_else(|| unreachable!("ports were checked: {ports:?}"))
}

impl DeviceKind {
    /// The antenna ports of a reader; `None` for other devices.
    pub(super) fn ports(&self) -> Option<Vec<u16>> {
        match self {
            Self::Llrp { antennas, .. } => Some(antennas.iter().map(|antenna| antenna.port).collect()),
            Self::Mercury { antennas, .. } => Some(antennas.ports().iter().copied().map(u16::from).collect()),
            Self::SorterMqtt { .. } | Self::Scanner { .. } => None,
        }
    }
}

fn chutes(section: &mut Section<'_>) -> (Vec<Code>, Code) {
    let file = section.file;
    let mut names = Names::new("chute of this sorter");
    let chutes = section.codes("chutes");
    for (index, chute) in chutes.iter().enumerate() {
        names.add(file, chute, index);
    }
    let hospital = section.code("hospital").unwrap_or_default();
    if !chutes.is_empty() {
        names.find(file, &hospital);
    }
    (chutes.into_iter().map(|chute| chute.value).collect(), hospital.value)
}

/// A scanner's key. Two scanners with one key could each pass for the other.
fn key(section: &mut Section<'_>, keys: &mut BTreeMap<[u8; 32], usize>) -> [u8; 32] {
    let Some(text) = section.secret("key") else { return [0; 32] };
    let octets = stowage_base::Epc::from_hex(&text.value).and_then(|hex| hex.octets().try_into().ok());
    let Some(octets) = octets else {
        section.file.fault(&text.at, format!("not a key: give {KEY}"));
        return [0; 32];
    };
    if let Some(line) = keys.insert(octets, text.at.line) {
        section.file.fault(&text.at, format!("is the key of line {line} again: give each scanner its own"));
    }
    octets
}

fn followers(root: &mut Section<'_>, beside: &impl Fn(&str) -> PathBuf) -> Vec<Follower> {
    #[derive(Clone, Copy)]
    enum Kind {
        Jsonl,
        Mqtt,
    }
    let mut names = Names::new("follower");
    let mut followers = Vec::new();
    for (index, mut section) in root.sections("follower").into_iter().enumerate() {
        let file = section.file;
        section.require(&[("kind", r#""jsonl" or "mqtt""#)]);
        let id = section.id("id");
        let Some(kind) = section.choice("kind", &[("jsonl", Kind::Jsonl), ("mqtt", Kind::Mqtt)]) else { continue };
        let (name, kind) = match kind.value {
            Kind::Jsonl => {
                section.require(&[("path", "the file to append to, relative to this one")]);
                let path = section.text("path").unwrap_or_default();
                ("jsonl", FollowerKind::Jsonl { path: beside(&path.value) })
            }
            Kind::Mqtt => {
                section.require(&[("url", "mqtt://HOST or mqtt://USER:PASSWORD@HOST:PORT")]);
                let broker = url(&mut section, url::mqtt).unwrap_or_default();
                let prefix = section.text("prefix");
                if let Some(prefix) = &prefix
                    && (prefix.value.is_empty() || prefix.value.contains(['#', '+', '\0']))
                {
                    file.fault(
                        &prefix.at,
                        "not a topic's beginning: give levels such as stowage/demo, without # and +",
                    );
                }
                let prefix = prefix.map_or_else(|| "stowage".into(), |prefix| prefix.value);
                ("mqtt", FollowerKind::Mqtt { broker, prefix })
            }
        };
        let id = id.unwrap_or_else(|| Found {
            value: stowage_base::code(name).unwrap_or_default(),
            at: section.at.named(format!("{}.id", section.at.key)),
        });
        names.add(file, &id, index);
        followers.push(Follower { id: id.value, kind });
        section.end();
    }
    followers
}
