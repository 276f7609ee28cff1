//! A warehouse on a laptop: world, devices, faults, harness, live demo.

pub mod cli;
pub mod device;
pub mod memory_commit;
pub mod world;
