//! Configuration: `edge.toml`, `site.toml` and `scenario.toml`, read whole, checked whole, every fault reported at once.
//!
//! Two steps: what is *written* (any value of the right shape, with its line) and what is *checked*
//! ([`Edge`], [`Site`], [`Scenario`]), which can't be wrong any more, so nobody asks again. Paths in a file are relative to it.
//! Nothing here opens a socket or a port.

mod device;
mod edge;
mod endpoints;
mod fault;
mod read;
mod roadmap;
mod scenario;
mod site;
#[cfg(test)]
mod tests;
pub(crate) mod url;

pub use device::{
    Antenna, Chutes, Device, DeviceKind, Gate, ImpinjIot, Llrp, Mercury, ModbusLine, Parity, Region, Robot, Scanner,
    SorterModbus, SorterMqtt, Way, ZebraIotc,
};
pub use edge::{Edge, Follower, FollowerKind, Secret};
pub use fault::{Fault, Faults, FileFaults};
pub use scenario::{FaultRates, Load, Scenario};
pub use url::{Broker, Control};

pub(crate) use fault::count;
use read::{File, Section};
use serde::Serialize;
use std::path::{Path, PathBuf};
use stowage_core::Site;

/// Reads and checks an edge's file and the site's file that it names.
///
/// # Errors
/// Every fault of both files.
pub fn load_edge(path: &Path) -> Result<Edge, Faults> {
    match load(path, &[Kind::Edge]) {
        (Some(Loaded::Edge(edge)), _) => Ok(*edge),
        (_, checked) => Err(faults(checked)),
    }
}

/// Reads and checks a site's file by itself. Its devices are the readers that its read points name; the sort plan,
/// which refers to chutes that only an edge's file knows, is left empty.
///
/// # Errors
/// Every fault of the file.
pub fn load_site(path: &Path) -> Result<Site, Faults> {
    match load(path, &[Kind::Site]) {
        (Some(Loaded::Site(site)), _) => Ok(*site),
        (_, checked) => Err(faults(checked)),
    }
}

/// Reads and checks a scenario's file, the edge's that it names and the site's that this one names.
///
/// # Errors
/// Every fault of the three files.
pub fn load_scenario(path: &Path) -> Result<Scenario, Faults> {
    match load(path, &[Kind::Scenario]) {
        (Some(Loaded::Scenario(scenario)), _) => Ok(*scenario),
        (_, checked) => Err(faults(checked)),
    }
}

/// What [`check`] found, file by file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report(pub Vec<Checked>);

impl Report {
    /// Whether no file has a fault.
    pub fn is_good(&self) -> bool {
        self.0.iter().all(|checked| checked.faults.is_empty())
    }
}

/// One file of a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The file, as it was named or as another file names it.
    pub file: PathBuf,
    /// What it says it is; `None` if that is a fault.
    pub kind: Option<Kind>,
    /// Its faults, by line.
    pub faults: Vec<Fault>,
}

/// What a file of configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One edge: devices, followers, where it listens.
    Edge,
    /// A warehouse.
    Site,
    /// What the simulator lets happen around an edge.
    Scenario,
}

impl Kind {
    /// The word in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Site => "site",
            Self::Scenario => "scenario",
        }
    }
}

/// Checks each file, and with an edge's or a scenario's file those that it names. What another file names is not
/// checked by itself as well: with that file more can be said about it.
pub fn check(paths: &[PathBuf]) -> Report {
    let any = [Kind::Edge, Kind::Site, Kind::Scenario];
    let loads: Vec<Vec<Checked>> = paths.iter().map(|path| load(path, &any).1).collect();
    let named = |path: &Path| loads.iter().flat_map(|load| load.iter().skip(1)).any(|other| same(&other.file, path));
    let wanted = loads.iter().filter(|load| !named(&load[0].file));
    Report(wanted.flatten().cloned().collect())
}

/// Whether two paths name the same file, which is there.
fn same(a: &Path, b: &Path) -> bool {
    a == b || a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
}

/// What a file came to, where it has no fault.
enum Loaded {
    Edge(Box<Edge>),
    Site(Box<Site>),
    Scenario(Box<Scenario>),
}

/// Reads and checks a file of one of `kinds`: what it came to, and the faults of it and of the files that it names.
fn load(path: &Path, kinds: &[Kind]) -> (Option<Loaded>, Vec<Checked>) {
    let file = File::open(path);
    let Some((kind, root)) = root(&file, kinds) else { return (None, vec![checked(file, None)]) };
    let (loaded, named) = match kind {
        Kind::Site => (Some(Loaded::Site(Box::new(site::read(root, None)))), Vec::new()),
        Kind::Scenario => {
            let written = scenario::read(root);
            let edge = written.edge.as_deref().map(|path| load(path, &[Kind::Edge]));
            let (edge, named) = edge.unwrap_or((None, Vec::new()));
            let scenario = match edge {
                Some(Loaded::Edge(edge)) => Some(Loaded::Scenario(Box::new(written.around(*edge)))),
                _ => None,
            };
            (scenario, named)
        }
        Kind::Edge => {
            let written = edge::read(root);
            let site_file = written.site.as_deref().map(File::open);
            let site = site_file.as_ref().and_then(|site_file| {
                let (_, root) = self::root(site_file, &[Kind::Site])?;
                let site = site::read(root, Some(&written.devices));
                if !site_file.is_faulty() {
                    written.refuse_unplaced_antennas(&file, &site);
                    written.refuse_unplaced_robots(&file, &site);
                }
                Some(site)
            });
            let edge = site.map(|site| Loaded::Edge(Box::new(written.on(site))));
            (edge, site_file.map(|file| checked(file, Some(Kind::Site))).into_iter().collect())
        }
    };
    let all: Vec<_> = std::iter::once(checked(file, Some(kind))).chain(named).collect();
    let good = all.iter().all(|checked| checked.faults.is_empty());
    (loaded.filter(|_| good), all)
}

/// The file as a section, if its `kind` is one of `kinds`.
fn root<'a>(file: &'a File, kinds: &[Kind]) -> Option<(Kind, Section<'a>)> {
    let mut root = file.root()?;
    let words = kinds.iter().map(|kind| format!("{:?}", kind.name())).collect::<Vec<_>>().join(" or ");
    root.require(&[("kind", &words)]);
    let known: Vec<_> = kinds.iter().map(|&kind| (kind.name(), kind)).collect();
    let kind = root.choice("kind", &known)?;
    Some((kind.value, root))
}

fn checked(file: File, kind: Option<Kind>) -> Checked {
    let (file, faults) = file.into_faults();
    Checked { file, kind, faults }
}

fn faults(checked: Vec<Checked>) -> Faults {
    let faulty = checked.into_iter().filter(|checked| !checked.faults.is_empty());
    Faults(faulty.map(|Checked { file, faults, .. }| FileFaults { file, faults }).collect())
}
