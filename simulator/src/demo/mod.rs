//! The demo: one warehouse in one process, everything over real sockets and a real pseudo-terminal, and the edge daemon
//! in the midst of it, as it would run anywhere.
//!
//! The edge knows nothing of the rest: it dials the reader, opens the module's device file, meets the sorter at the
//! broker and is dialled by the handheld. What people and goods do is a script, drawn from a seed.

mod devices;
mod floor;
mod http;
mod narrator;
mod parcels;
mod script;
mod worker;

use crate::device::{Board, BoardSettings, Clock, DeviceError, Events, FileStore, Handheld, Stage};
use crate::world::World;
use devices::Ports;
use floor::{Floor, FloorError};
use script::Script;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stowage::config::{Edge, Faults, load_edge};
use stowage::runtime::StartError;
use stowage_core::site::{DeviceIx, PortalIx};
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
    /// The handhelds are their firmware's image, on emulated boards.
    pub image: bool,
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
    let plan = devices::plan(&mut edge, &folder, Ports::from(settings.port_base))?;
    let gates = gates(&edge)?;
    let floor = Floor::open(&folder.join("floor.json"))?;
    let clock = Clock::start();
    let stage = Stage::new(clock, World::of_site(settings.seed, &edge.site));
    let inductions = devices::start(plan.far, plan.broker, &stage, &stop).await?;
    let mut hands = Vec::new();
    for handheld in plan.handhelds {
        let (heard, events) = Events::new(clock);
        let (scan, scans) = mpsc::channel(64);
        let stop = stop.clone();
        if settings.image {
            let board = BoardSettings::built(folder.join(format!("{}.flash", handheld.device)));
            let board = Board::start(handheld, &board, clock, heard).await?;
            tokio::spawn(async move {
                if let Err(error) = board.run(scans, stop).await {
                    narrator::say("board", &error.to_string());
                }
            });
        } else {
            let store = folder.join(format!("{}.store", handheld.device));
            let store = FileStore::open(&store).map_err(DeviceError::from)?;
            tokio::spawn(Handheld::new(handheld, store, clock, heard).run(scans, stop));
        }
        hands.push((scan, events));
    }
    let (scan, worker_events) = hands.swap_remove(0);

    let (started, running) = oneshot::channel();
    let script = Script::new(settings.seed, edge.site.clone(), gates, stage, floor, Worker::new(scan, worker_events));
    let seed = settings.seed;
    let people = tokio::spawn(async move {
        let Ok(stowage::runtime::Running { page, .. }) = running.await else { return };
        narrator::welcome(page, &folder);
        tokio::join!(narrator::narrate(page), parcels::run(page, seed, clock, inductions), script.run());
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

/// What the script needs to find at the site.
fn gates(edge: &Edge) -> Result<Gates, DemoError> {
    let site = &edge.site;
    for (serialised, missing) in [(true, "goods with tags"), (false, "goods without tags")] {
        if !site.skus.iter().any(|sku| sku.serialised == serialised) {
            return Err(DemoError::Missing(missing));
        }
    }
    let gate = |code: &str| site.portals.iter().position(|portal| portal.code == code);
    let gate = |code| gate(code).map(|index| PortalIx(index as u16));
    let store = gate("GATE-2").ok_or(DemoError::Missing("portal GATE-2"))?;
    let at_store = site.read_points.iter().find(|point| point.portal.is_some_and(|(portal, _)| portal == store));
    Ok(Gates {
        dock: gate("GATE-1").ok_or(DemoError::Missing("portal GATE-1"))?,
        store,
        store_reader: at_store.ok_or(DemoError::Missing("reader at portal GATE-2"))?.device,
    })
}
