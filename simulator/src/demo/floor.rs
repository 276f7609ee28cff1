//! What really lies where: the script's own memory, kept in a file so that the next start goes on from it.

use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use stowage_base::{Code, Epc};

/// The file of what lies where can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FloorError {
    /// It can't be read or written.
    #[error("the demo's {}: {error}; start the demo in a folder that you can write to", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// It makes no sense.
    #[error("the demo's {} makes no sense: {error}; remove its folder to begin anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: serde_json::Error,
    },
}

/// One tagged item.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Good {
    pub(super) epc: Epc,
    pub(super) sku: Code,
    /// Code of its location.
    pub(super) at: Code,
}

/// Goods without tags in one place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Heap {
    pub(super) sku: Code,
    pub(super) at: Code,
    pub(super) quantity: u32,
}

/// What lies where.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Floor {
    #[serde(skip)]
    path: PathBuf,
    pub(super) last_serial: u64,
    pub(super) goods: Vec<Good>,
    pub(super) heaps: Vec<Heap>,
}

impl Floor {
    pub(super) fn open(path: &Path) -> Result<Self, FloorError> {
        let failed = |error| FloorError::Io { path: path.to_owned(), error };
        let mut floor = match std::fs::read(path) {
            Ok(text) => {
                serde_json::from_slice(&text).map_err(|error| FloorError::Damaged { path: path.to_owned(), error })?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(error) => return Err(failed(error)),
        };
        path.clone_into(&mut floor.path);
        floor.write().map_err(failed)?;
        Ok(floor)
    }

    /// Keeps it for the next start. A failure costs only that: the next start knows of less.
    pub(super) fn save(&self) {
        let _ = self.write();
    }

    fn write(&self) -> io::Result<()> {
        let aside = self.path.with_extension("new");
        std::fs::write(&aside, serde_json::to_vec(self)?)?;
        std::fs::rename(&aside, &self.path)
    }
}
