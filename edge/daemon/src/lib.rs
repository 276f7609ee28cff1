//! The Stowage edge daemon as a library: the shells around the decisions, and the command line.

pub mod cli;
pub mod config;
pub mod followers;
pub mod journal;
pub mod web;
