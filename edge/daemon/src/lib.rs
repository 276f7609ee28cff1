//! The Stowage edge daemon as a library: the shells around the decisions, and the command line.

pub mod config;
pub mod journal;
