//! A warehouse on a laptop: world, devices, faults, harness, live demo.

pub mod broker;
pub mod cli;
pub mod demo;
pub mod device;
pub mod harness;
pub mod memory_commit;
pub mod world;
