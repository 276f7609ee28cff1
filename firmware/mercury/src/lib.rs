#![no_std]
//! The Mercury serial protocol of UART reader modules (ThingMagic, JADAK, and the Silion-like ones), both ends.
//!
//! Bytes: [`frame`] (boundaries, checksum), [`code`] (opcodes, statuses), [`tag`] (tag records), [`describe`] (one
//! frame with all its values, for tools), [`speed`] (of the line). Sessions, without I/O, clock or allocation: [`Client`] is the edge's and the
//! scanner's end, [`Module`] the far end for simulation, strict about what it is sent.
//!
//! Line: 8N1, 115200 Bd unless changed; the session says the speed, the driver sets it.

pub mod client;
pub mod code;
pub mod describe;
pub mod frame;
pub mod module;
pub mod settings;
pub mod speed;
pub mod tag;
mod visits;

pub use client::Client;
pub use code::{Opcode, Region, Status};
pub use describe::{Describe, DescribeError, Description, Silion, SilionError};
pub use frame::{Command, FrameError, Response, Splitter};
pub use module::{Module, ModuleSettings, Violations};
pub use settings::{Antennas, Settings, Version};
pub use tag::{Embedded, EpcLength, Metadata, Records, TagError, TagRecord};
