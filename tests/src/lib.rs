//! What tests with real parts share.

pub mod recorder;
