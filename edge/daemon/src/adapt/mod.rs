//! What devices' sessions say in the engine's words, and the engine's effects in theirs.
//!
//! Pure: no socket, no clock, no lock. The drivers use it around real transports, the simulator's harness around pipes
//! in virtual time, so that both wire the same chain.

pub mod reader;
pub mod robot;
pub mod scanner;
pub mod sorter;
