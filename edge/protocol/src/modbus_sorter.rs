//! A belt sorter's PLC over Modbus: a register map, and both ends. The PLC is the server; the edge polls and writes.
//!
//! All registers are holding registers, read with function 3 and written with function 16, at addresses counted from 0
//! (the first is "40001" in many manuals). A [`Map`] says where the four blocks lie. "Long" is an unsigned number of 32
//! bits in two registers, the high one first unless [`Map::words`] says otherwise.
//!
//! **status**, written by the PLC, [`STATUS_HEAD`] registers and the chutes' bits:
//!
//! | offset | what |
//! |---|---|
//! | 0 | [`LAYOUT`]: names this layout, so that a wrong address is noticed |
//! | 1 | long: boot, the PLC's count of starts, from 1. Items, events and commands of earlier starts are void |
//! | 3 | long: clock, ms since the start, wraps |
//! | 5 | heartbeat: a number that changes at least once a second while the program runs |
//! | 6 | belt: 0 stopped, 1 running, 2 emergency stop pressed |
//! | 7 | long: the oldest event in the ring; the number after the newest if it is empty |
//! | 9 | long: the newest event, counted from 1 in each boot; 0 before any |
//! | 11 | the number of the last command taken |
//! | 12… | a bit for each chute, set while it is full: chute number n in bit (n − 1) mod 16 of register (n − 1) div 16 |
//!
//! **ring**, written by the PLC: [`Map::slots`] slots. Event number n stands in slot (n − 1) mod slots. The PLC writes a
//! slot whole, then the newest number in the status block; it frees slots up to the number that the edge has recorded. A
//! ring that is full loses its oldest event: make it large enough for as long as the edge may be away. A slot has
//! [`SLOT_HEAD`] registers and the code's:
//!
//! | offset | what |
//! |---|---|
//! | 0 | long: the event's number |
//! | 2 | long: boot |
//! | 4 | kind, see [`kind`] |
//! | 5 | long: item, the PLC's number for it, counted from 1 in each boot |
//! | 7 | chute: where it went, or was commanded to; 0 for none |
//! | 8 | ends: 1 if a command was taken for the item, else 0; refusals: the reason, see [`refusal`] |
//! | 9 | long: when it happened, by the PLC's clock |
//! | 11 | scans: how long after that the PLC decides, in ms |
//! | 12 | scans: octets of the code that was read; 0 for a no-read |
//! | 13… | the code, UTF-8, two octets a register, the first in the high half unless [`Map::text`] says otherwise |
//!
//! **edge**, written by the edge in one request, at least once a second: [`EDGE_LEN`] registers:
//!
//! | offset | what |
//! |---|---|
//! | 0 | heartbeat: a number that changes with each write |
//! | 1 | long: the boot that the edge knows; 0 for none |
//! | 3 | long: all events of that boot up to this number are recorded for good |
//!
//! **command**, written by the edge in one request: [`COMMAND_LEN`] registers:
//!
//! | offset | what |
//! |---|---|
//! | 0 | long: boot |
//! | 2 | long: item |
//! | 4 | chute |
//! | 5 | long: deadline by the PLC's clock: void afterwards, whatever held it up |
//! | 7 | the command's number, never 0; it stands last, for a PLC that copies register by register |
//!
//! The story of an item:
//! 1. It passes the scan point: an event in the ring, with the time left.
//! 2. The edge writes a command, once the last one is taken. The PLC takes each new number once: it answers with an event,
//!    acknowledged or refused, and shows the number as taken. The same chute for the same item again is the same command,
//!    answered as before; another chute for it is refused. So is what comes after the deadline or the decision.
//! 3. At the decision point the PLC follows the command that it took, else its safe plan: the hospital chute.
//! 4. The item's end is an event. Events stay in the ring until the edge has recorded them for good, so an edge that is
//!    killed loses none.
//!
//! Either end takes 3 s without the other's heartbeat moving as the other's absence; then the PLC follows its safe plan.

mod edge;
mod map;
#[cfg(test)]
mod pair;
mod plc;

pub use edge::{Edge, EdgeSettings, Sink};
pub use map::{
    COMMAND_LEN, EDGE_LEN, Halves, LAYOUT, Map, MapFault, NUMBER_MAX, Numbered, SLOT_HEAD, STATUS_HEAD, kind, refusal,
};
pub use plc::{Plc, PlcSettings};

use stowage_base::Duration;

/// An end whose heartbeat doesn't move for longer is taken as gone.
const SILENCE_MAX: Duration = Duration::from_secs(3);
