#![no_std]
//! The handheld scanner, heap-free and without I/O.
//!
//! - [`Scanner`]: the application. `step(now, event, &mut actions)`; what a scan means and what the worker hears.
//! - [`Store`]: the journal of intents; [`RamStore`] keeps them in RAM.
//! - [`Screen`]: four lines of text.
//! - [`Device`]: these and the link in one, for a board, a page or the simulator to drive.
//!
//! Nothing here reads a clock, draws a random number or touches a peripheral.

mod app;
mod catalogue;
mod device;
mod screen;
mod store;
mod tasks;
#[cfg(test)]
mod tests;

pub use app::{
    ACTIONS_MAX, ANSWER_STAYS, Action, Actions, Config, Event, HANDS_MAX, Key, Mode, PAGE_STAYS, PENDING_MAX,
    QUANTITY_MAX, Scanner,
};
pub use catalogue::Catalogue;
pub use device::{Device, Face};
pub use screen::{CELLS, LINES, Line, Screen};
pub use store::{RamStore, Store, StoreError};
