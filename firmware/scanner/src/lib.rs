#![no_std]
//! The handheld scanner, heap-free and without I/O.
//!
//! - [`Scanner`]: the application. `step(now, event, &mut actions)`; what a scan means and what the worker hears.
//! - [`Store`]: the journal of intents; [`FlashStore`] keeps them on NOR flash, [`RamStore`] in RAM.
//! - [`Enrolment`], [`count_boot`]: who it is, and how often it was switched on.
//! - [`Screen`]: four lines of text; [`Told`]: the same for whoever services it.
//! - [`Device`]: these and the link in one, for a board, a page or the simulator to drive.
//!
//! Nothing here reads a clock, draws a random number or touches a peripheral.

mod app;
mod catalogue;
mod console;
mod device;
mod enrolment;
mod flash;
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
pub use console::{TOLD_LEN_MAX, Told};
pub use device::{Device, Face};
pub use enrolment::{ENROLMENT_LEN_MAX, Enrolment};
pub use flash::{FlashStore, count_boot};
pub use screen::{CELLS, LINES, Line, Screen};
pub use store::{RamStore, Store, StoreError};
