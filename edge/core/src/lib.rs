//! Stowage's decisions: where things are, what the book says, what a scan means, which chute a parcel takes.
//!
//! Pure: inputs and a time come in, facts and effects go out. This crate never reads a clock, never does I/O, draws no
//! random number and knows no protocol.

pub mod commit;
pub mod fact;
pub mod presence;
pub mod site;

pub use commit::{Batch, Chain, Commit, Row};
pub use fact::{Body, Fact};
pub use site::Site;
