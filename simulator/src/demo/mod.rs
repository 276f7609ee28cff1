//! The demo: one warehouse in one process, everything over real sockets and a real pseudo-terminal, and the edge daemon
//! in the midst of it, as it would run anywhere.
//!
//! The edge knows nothing of the rest: it dials the reader, opens the module's device file, meets the sorter at the
//! broker and is dialled by the handheld. What people and goods do is a script, drawn from a seed.

mod floor;
mod http;
mod narrator;
mod parcels;
mod script;
mod worker;

use crate::broker;
use crate::device::{
    Clock, DeviceError, Events, FileStore, Handheld, HandheldSettings, Pty, SorterLink, Stage, TcpPort, llrp, mercury,
    sorter,
};
use crate::world::World;
use floor::{Floor, FloorError};
use script::Script;
use std::fs::{File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use stowage::config::{self, DeviceKind, Edge, Faults, FollowerKind, load_edge};
use stowage::runtime::StartError;
use stowage_base::Language;
use stowage_core::site::{DeviceIx, PortalIx};
use stowage_mercury::ModuleSettings;
use stowage_protocol::llrp::reader::Profile;
use stowage_protocol::sorter_mqtt::SorterSettings;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use worker::Worker;

/// Everything that the demo keeps is in here, under the current folder.
const FOLDER: &str = ".stowage";

/// The demo's configuration, for where the project's own folder isn't.
const EDGE_TOML: &str = include_str!("../../../config/demo/edge.toml");
const SITE_TOML: &str = include_str!("../../../config/demo/site.toml");

/// How long the devices' last words may take when the edge has stopped.
const FAREWELL: Duration = Duration::from_millis(200);

/// How the demo is started.
#[derive(Debug, Clone, Copy)]
pub struct DemoSettings {
    /// Ports from here on in place of the usual ones: page, scanners, reader, broker.
    pub port_base: Option<u16>,
    /// Draws what happens.
    pub seed: u64,
}

/// Why the demo can't start. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The configuration has faults.
    #[error("{0}")]
    Config(Faults),
    /// The configuration lacks something that the script needs.
    #[error("the demo's configuration has no {0}: restore config/demo from the repository")]
    Missing(&'static str),
    /// The folder can't be used.
    #[error("can't write to {}: {error}; start the demo in a folder that you can write to", path.display())]
    Folder {
        /// The folder, or a file in it.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Another demo has the folder.
    #[error("another demo runs in {}: stop that one, or start this one in another folder", .0.display())]
    InUse(PathBuf),
    /// The file of what lies where can't be used.
    #[error(transparent)]
    Floor(#[from] FloorError),
    /// A device can't start.
    #[error("{0}{mend}", mend = port_mend(matches!(.0, DeviceError::Listen { .. })))]
    Device(#[from] DeviceError),
    /// The edge can't start.
    #[error("{0}{mend}", mend = port_mend(matches!(.0, StartError::Listen { .. })))]
    Edge(#[from] StartError),
}

fn port_mend(listen: bool) -> &'static str {
    if listen { " (the demo takes other ports with --port-base, such as --port-base 18080)" } else { "" }
}

/// Runs the demo until `stop`.
///
/// # Errors
/// It can't start.
pub async fn run(settings: DemoSettings, stop: CancellationToken) -> Result<(), DemoError> {
    let folder = std::path::absolute(FOLDER).unwrap_or_else(|_| FOLDER.into());
    let mut edge = load(&folder)?;
    // Held until the demo ends.
    let _lock = lock(&folder)?;
    let parts = adapt(&mut edge, &folder, settings.port_base)?;
    let floor = Floor::open(&folder.join("floor.json"))?;
    let clock = Clock::start();
    let stage = Stage::new(clock, World::of_site(settings.seed, &edge.site));
    // Readers, sorter and the rest tell nothing here that the edge doesn't say as well.
    let (events, _) = Events::new(clock);

    let port = TcpPort::listen("the reader", parts.llrp.address, events.clone()).await?;
    let pty = Pty::open(Some(&parts.mercury.path))?;
    let mut handhelds = Vec::new();
    for handheld in parts.handhelds {
        let store = folder.join(format!("{}.store", handheld.device));
        handhelds.push((handheld, FileStore::open(&store).map_err(DeviceError::from)?));
    }
    broker::start(parts.broker)?;

    tokio::spawn(llrp(
        port,
        Profile { impinj: true, ..Profile::fcc(2) },
        stage.clone(),
        parts.llrp.device,
        events.clone(),
        stop.clone(),
    ));
    let module = ModuleSettings { ports: 2, ..ModuleSettings::default() };
    tokio::spawn(mercury(pty, module, stage.clone(), parts.mercury.device, events.clone(), stop.clone()));
    let (induct, inductions) = mpsc::channel(16);
    tokio::spawn(sorter(parts.sorter.0, parts.sorter.1, clock, inductions, events, stop.clone()));
    let mut hands = Vec::new();
    for (handheld, store) in handhelds {
        let (heard, events) = Events::new(clock);
        let (scan, scans) = mpsc::channel(64);
        tokio::spawn(Handheld::new(handheld, store, clock, heard).run(scans, stop.clone()));
        hands.push((scan, events));
    }
    let (scan, worker_events) = hands.swap_remove(0);

    let (started, running) = oneshot::channel();
    let script =
        Script::new(settings.seed, edge.site.clone(), parts.gates, stage, floor, Worker::new(scan, worker_events));
    let seed = settings.seed;
    let people = tokio::spawn(async move {
        let Ok(stowage::runtime::Running { page, .. }) = running.await else { return };
        narrator::welcome(page, &folder);
        tokio::join!(narrator::narrate(page), parcels::run(page, seed, clock, induct), script.run());
    });
    let running = |running| {
        let _ = started.send(running);
    };
    let ran = stowage::runtime::run(edge, stop.clone(), running).await;
    stop.cancel();
    people.abort();
    // The sorter still says at the broker that it goes.
    tokio::time::sleep(FAREWELL).await;
    ran?;
    narrator::farewell();
    Ok(())
}

/// Takes the folder for this process; the system lets go of it when the process ends, however it ends.
fn lock(folder: &Path) -> Result<File, DemoError> {
    let path = folder.join("demo.lock");
    let failed = |error| DemoError::Folder { path: path.clone(), error };
    let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DemoError::InUse(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// The configuration: the project's own if it is there, so that changes to it show, else the one built in.
fn load(folder: &Path) -> Result<Edge, DemoError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| DemoError::Folder { path, error }
    };
    std::fs::create_dir_all(folder).map_err(failed(folder))?;
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/demo/edge.toml");
    if own.is_file() {
        return load_edge(&own).map_err(DemoError::Config);
    }
    let (edge, site) = (folder.join("edge.toml"), folder.join("site.toml"));
    std::fs::write(&edge, EDGE_TOML).map_err(failed(&edge))?;
    std::fs::write(&site, SITE_TOML).map_err(failed(&site))?;
    load_edge(&edge).map_err(DemoError::Config)
}

/// What the demo starts beside the edge.
struct Parts {
    llrp: Llrp,
    mercury: Mercury,
    broker: SocketAddr,
    sorter: (SorterLink, SorterSettings),
    /// The first one works, the others lie in their cradles. At least one.
    handhelds: Vec<HandheldSettings>,
    gates: Gates,
}

struct Llrp {
    device: DeviceIx,
    address: SocketAddr,
}

struct Mercury {
    device: DeviceIx,
    path: PathBuf,
}

/// The doorways of the script.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gates {
    /// From the yard to the dock.
    dock: PortalIx,
    /// From the dock to the store.
    store: PortalIx,
    /// The reader at the latter.
    store_reader: DeviceIx,
}

/// Turns the edge to our folder and ports, and says what it will look for there.
fn adapt(edge: &mut Edge, folder: &Path, port_base: Option<u16>) -> Result<Parts, DemoError> {
    let port = |usual: u16, offset: u16| port_base.map_or(usual, |base| base.saturating_add(offset));
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    edge.data = folder.to_owned();
    edge.listen = local(port(edge.listen.port(), 0));
    edge.scanners = local(port(edge.scanners.port(), 1));
    let broker_port = port(1883, 3);
    for follower in &mut edge.followers {
        match &mut follower.kind {
            FollowerKind::Jsonl { path } => *path = folder.join("facts.jsonl"),
            FollowerKind::Mqtt { broker, .. } => {
                "127.0.0.1".clone_into(&mut broker.host);
                broker.port = broker_port;
            }
        }
    }
    let (mut llrp, mut mercury, mut sorter, mut handhelds) = (None, None, None, Vec::new());
    for (index, device) in edge.devices.iter_mut().enumerate() {
        let ix = DeviceIx(index as u16);
        match &mut device.kind {
            DeviceKind::Llrp(config::Llrp { host, port: reader_port, .. }) => {
                "127.0.0.1".clone_into(host);
                *reader_port = port(*reader_port, 2);
                llrp = Some(Llrp { device: ix, address: local(*reader_port) });
            }
            DeviceKind::Mercury(config::Mercury { path, .. }) => {
                *path = folder.join(format!("{}.tty", device.id));
                mercury = Some(Mercury { device: ix, path: path.clone() });
            }
            DeviceKind::SorterMqtt(config::SorterMqtt { broker, chutes }) => {
                "127.0.0.1".clone_into(&mut broker.host);
                broker.port = broker_port;
                let link = SorterLink {
                    host: broker.host.clone(),
                    port: broker_port,
                    site: edge.site.code.clone(),
                    id: device.id.clone(),
                };
                let span = stowage_base::Duration::from_millis;
                let settings = SorterSettings {
                    chutes: chutes.all.clone(),
                    hospital: chutes.hospital.clone(),
                    to_decision: span(1_500),
                    to_chutes: span(1_000),
                    between_chutes: span(500),
                };
                sorter = Some((link, settings));
            }
            DeviceKind::Scanner(scanner) => {
                handhelds.push(HandheldSettings {
                    device: device.id.clone(),
                    key: *scanner.key.expose(),
                    worker: stowage_base::code("ada").unwrap_or_default(),
                    language: Language::English,
                    edge: edge.scanners.to_string(),
                });
            }
        }
    }
    if handhelds.is_empty() {
        return Err(DemoError::Missing("device of kind scanner"));
    }
    for (serialised, missing) in [(true, "goods with tags"), (false, "goods without tags")] {
        if !edge.site.skus.iter().any(|sku| sku.serialised == serialised) {
            return Err(DemoError::Missing(missing));
        }
    }
    let gate = |code: &str| edge.site.portals.iter().position(|portal| portal.code == code);
    let gate = |code| gate(code).map(|index| PortalIx(index as u16));
    let mercury = mercury.ok_or(DemoError::Missing("device of kind mercury"))?;
    let gates = Gates {
        dock: gate("GATE-1").ok_or(DemoError::Missing("portal GATE-1"))?,
        store: gate("GATE-2").ok_or(DemoError::Missing("portal GATE-2"))?,
        store_reader: mercury.device,
    };
    Ok(Parts {
        llrp: llrp.ok_or(DemoError::Missing("device of kind llrp"))?,
        mercury,
        broker: local(broker_port),
        sorter: sorter.ok_or(DemoError::Missing("device of kind sorter-mqtt"))?,
        handhelds,
        gates,
    })
}
