//! What the board and whoever emulates its surroundings agree on: where things lie in the 16 MiB of memory that
//! outlives the power.

/// Where the board sees it.
pub(crate) const MEMORY: u32 = 0x2100_0000;
/// How long it is.
pub(crate) const MEMORY_LEN: u32 = 16 * 1024 * 1024;

/// Octets of a sector, the least that can be erased.
pub(crate) const SECTOR: u32 = 4_096;
/// The enrolment: one sector, written at the factory.
pub(crate) const ENROLMENT: u32 = 0;
/// The boot counter: two sectors.
pub(crate) const BOOTS: u32 = 0x2000;
/// The journal of intents: 1 MiB.
pub(crate) const JOURNAL: u32 = 0x10_0000;
/// Sectors of the journal.
pub(crate) const JOURNAL_SECTORS: usize = 256;

/// Words that stand for pins, beyond the flash. The board's side of each is in brackets.
pub(crate) const PINS: u32 = 0xFF_0000;
/// The clock that a battery keeps: µs since 1970 UTC, two words, as the power came (reads).
pub(crate) const RTC: u32 = PINS;
/// Counts keys; raised after [`KEY`] is set (reads).
pub(crate) const KEYS: u32 = PINS + 8;
/// The key: one of the numbers below (reads).
pub(crate) const KEY: u32 = PINS + 12;
/// The badge that was scanned: length, then octets (reads).
pub(crate) const BADGE: u32 = PINS + 64;
/// Which connection the radio has to the edge, from 1; 0: none (reads).
pub(crate) const CARRIER: u32 = PINS + 16;
/// Counts what was handled: keys, barcodes, tags (writes).
pub(crate) const HANDLED: u32 = PINS + 20;
/// The connection that the radio is to close (writes).
pub(crate) const HANG_UP: u32 = PINS + 24;
/// The lamp: beeps so far times 4, and the level of the last (writes).
pub(crate) const LAMP: u32 = PINS + 28;
/// Where the function is that programs one word: a debugger cuts the power there (writes).
pub(crate) const PROGRAM: u32 = PINS + 32;
/// [`KEYS`] as the last pull of the trigger was taken: from then on a tag is waited for (writes).
pub(crate) const PULLED: u32 = PINS + 36;

/// Of [`KEY`], as the digits 0 to 9 are: the first of the modes, in the order of [`stowage_scanner::Mode`].
pub(crate) const KEY_MODE: u32 = 16;
/// Of [`KEY`].
pub(crate) const KEY_ENTER: u32 = 32;
/// Of [`KEY`].
pub(crate) const KEY_CANCEL: u32 = 33;
/// Of [`KEY`].
pub(crate) const KEY_LANGUAGE: u32 = 34;
/// Of [`KEY`]: a badge, see [`BADGE`].
pub(crate) const KEY_BADGE: u32 = 35;
/// Of [`KEY`]: the trigger; the RFID module reads one tag.
pub(crate) const KEY_TRIGGER: u32 = 36;
