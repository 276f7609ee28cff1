//! Why a device can't start.

use super::FileStoreError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A device can't start. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// A TCP port can't be listened on.
    #[error("{what} can't listen on {address}: {error}: {}", listen_mend(.error))]
    Listen {
        /// Who wants to listen.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// There is no pseudo-terminal to be had.
    #[error("no pseudo-terminal: {0}; mount devpts on /dev/pts, or close programs that use many terminals")]
    Pty(io::Error),
    /// The link to a pseudo-terminal can't be made.
    #[error("can't link {} to the pseudo-terminal: {error}; give another path, or remove what is there", path.display())]
    Symlink {
        /// Where the link was to be.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The handheld's store can't be used.
    #[error(transparent)]
    Store(#[from] FileStoreError),
    /// The edge's configuration has faults.
    #[error(transparent)]
    Config(#[from] stowage::config::Faults),
    /// The edge has no such PLC.
    #[error("{} has no such device of kind sorter-modbus; give another --device, or another file", file.display())]
    NoPlc {
        /// The edge's configuration.
        file: PathBuf,
    },
    /// The edge has more than one PLC.
    #[error("{} has more than one device of kind sorter-modbus; say which with --device", file.display())]
    ManyPlcs {
        /// The edge's configuration.
        file: PathBuf,
    },
    /// The handheld's image isn't built.
    #[error("there is no image of the handheld at {}: build it with firmware/board-qemu/build", .0.display())]
    NoImage(PathBuf),
    /// The handheld's image can't be run.
    #[error(
        "the handheld's image needs QEMU for ARM: {}: {why}; install it, for instance with apt-get install \
         qemu-system-arm (or let tests/run install it)", path.display()
    )]
    NoQemu {
        /// What can't be run.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The memory of the handheld's board can't be used.
    #[error(
        "the handheld's board can't use {} as its memory: {error}; end the board that has it, or give another file",
        memory.display()
    )]
    Board {
        /// The file.
        memory: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The handheld's board has gone by itself.
    #[error("the handheld's board is gone: QEMU ended with {0}; what it said stands above; start it again")]
    BoardEnded(String),
    /// The broker doesn't start.
    #[error("the MQTT broker on {address} doesn't start: {why}")]
    Broker {
        /// Where it was to listen.
        address: SocketAddr,
        /// Why not.
        why: String,
    },
}

fn listen_mend(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program uses it: stop that one, or give another port".to_owned(),
        io::ErrorKind::PermissionDenied => "give a port above 1023".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address: give one of its own".to_owned(),
        _ => "give another address".to_owned(),
    }
}
