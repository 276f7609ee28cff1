//! Devices on real transports, in real time: thin shells around the far ends that have no I/O of their own.
//!
//! Each takes commands of its own and tells [events](Event); the command line reads and prints them as JSON lines, the
//! demo's script sends and hears them in the process. A stranger's client sees a reader, a module, a sorter and a
//! handheld as if they were real.

mod board;
mod clock;
mod error;
mod event;
mod line;
mod reader;
mod robot;
mod scanner;
mod smart_reader;
mod sorter;
mod sorter_plc;
mod stage;
mod store;
mod uart;

pub use board::{Board, BoardSettings};
pub use clock::Clock;
pub use error::DeviceError;
pub use event::{Client, Event, Events, Told, WeakEvents};
pub use line::{Dialler, Pty, TcpPort};
pub use reader::{llrp, llrp_dialling, mercury};
pub use robot::{RobotCommand, robot};
pub use scanner::{Handheld, HandheldSettings, Press, ScannerCommand};
pub use smart_reader::{RestPort, SmartReaderCommand, ZebraSite, impinj, zebra};
pub use sorter::{SorterCommand, SorterLink, sorter};
pub use sorter_plc::{LineCommand, PlcCommand, PlcLine, plc_settings, sorter_plc};
pub use stage::{AntennaState, Fault, Stage, StageCommand};
pub use store::{FileStore, FileStoreError};
