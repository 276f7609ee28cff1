//! The Stowage edge daemon as a library: the shells around the decisions, and the command line.

pub mod adapt;
pub mod cli;
pub mod config;
mod drivers;
pub mod followers;
mod http;
pub mod journal;
pub mod mqtt;
pub mod pipeline;
pub mod runtime;
mod serial;
pub mod tls;
mod vestibule;
pub mod web;
