//! A warehouse on a laptop: world, devices, faults, harness, live demo.

pub mod memory_commit;
