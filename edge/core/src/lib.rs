//! Stowage's decisions: where things are, what the book says, what a scan means, which chute a parcel takes.
//!
//! Pure: inputs and a time come in, facts and effects go out. This crate never reads a clock, never does I/O, draws no
//! random number and knows no protocol. [`Engine`] joins the parts; [`State::apply`] is the one function that changes
//! durable state, on each fact as it is decided and on journalled facts when a journal is checked.

pub mod commit;
pub mod engine;
pub mod fact;
pub mod fleet;
pub mod identity;
pub mod input;
pub mod ledger;
pub mod presence;
pub mod reconcile;
pub mod record;
pub mod roadmap;
pub mod scan;
pub mod site;
pub mod sorting;
pub mod state;
pub mod table;
pub mod view;

pub use commit::{Batch, Chain, Commit, Row};
pub use engine::Engine;
pub use fact::{Body, Fact};
pub use input::{Effect, Input};
pub use site::Site;
pub use state::State;
