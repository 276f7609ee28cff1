//! The registers: the one place where the image touches them.
//!
//! Interrupts stay masked: one that is pending wakes the core from its sleep, and the main loop looks at everything.
#![allow(unsafe_code, reason = "registers and memory that outlives the power are reached by address")]

use crate::map::{MEMORY, MEMORY_LEN, SECTOR};
use core::ptr::{read_volatile, write_volatile};
use cortex_m::Peripherals;
use cortex_m::peripheral::scb::SystemHandler;
use cortex_m::peripheral::syst::SystClkSource;
use embedded_storage::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

/// Of the core, the timers and the UARTs.
pub(crate) const TICKS_PER_S: u32 = 25_000_000;

/// How often the core wakes up when nothing arrives.
const WAKE_EVERY: u32 = TICKS_PER_S / 200;

fn load(address: u32) -> u32 {
    // SAFETY: callers pass word-aligned addresses of registers, or of the memory of the map.
    unsafe { read_volatile(address as *const u32) }
}

fn store(address: u32, word: u32) {
    // SAFETY: as in `load`; nothing else in the image refers to what lies there.
    unsafe { write_volatile(address as *mut u32, word) }
}

/// A CMSDK UART.
pub(crate) struct Uart {
    base: u32,
    interrupt: u32,
}

impl Uart {
    /// The radio.
    pub(crate) const RADIO: Self = Self { base: 0x4000_4000, interrupt: 0 };
    /// The barcode engine.
    pub(crate) const ENGINE: Self = Self { base: 0x4000_5000, interrupt: 2 };
    /// The RFID module.
    pub(crate) const MODULE: Self = Self { base: 0x4000_6000, interrupt: 4 };
    /// Where the board tells what the worker sees and hears.
    pub(crate) const CONSOLE: Self = Self { base: 0x4000_7000, interrupt: 18 };

    /// Begins to send and to receive, at 115,200 Bd.
    pub(crate) fn begin(&self) {
        self.set_speed(115_200);
        store(self.base + 0x08, 0b1011); // send, receive, interrupt on receipt
        store(0xE000_E100 + self.interrupt / 32 * 4, 1 << (self.interrupt % 32));
    }

    /// The speed of the line in Bd, for all octets from now on.
    pub(crate) fn set_speed(&self, baud: u32) {
        // The least that the divider takes.
        store(self.base + 0x10, (TICKS_PER_S / baud.max(1)).max(16));
    }

    /// The octet that has arrived, if one has.
    pub(crate) fn read(&self) -> Option<u8> {
        if load(self.base + 0x04) & 0b10 == 0 {
            return None;
        }
        let octet = load(self.base) as u8;
        store(self.base + 0x0C, 0b10);
        store(0xE000_E280 + self.interrupt / 32 * 4, 1 << (self.interrupt % 32));
        Some(octet)
    }

    /// Whether an octet can be written now.
    pub(crate) fn writable(&self) -> bool {
        load(self.base + 0x04) & 0b01 == 0
    }

    /// Sends one octet; lost unless [`writable`](Self::writable).
    pub(crate) fn write(&self, octet: u8) {
        store(self.base, octet.into());
    }
}

/// Timer 0, which counts down and around, and the tick that ends each sleep.
pub(crate) struct Ticks {
    last: u32,
    /// Since it began.
    pub(crate) passed: u64,
}

const TIMER: u32 = 0x4000_0000;

impl Ticks {
    /// Starts both, and masks interrupts for good.
    pub(crate) fn begin(mut peripherals: Peripherals) -> Self {
        cortex_m::interrupt::disable();
        store(TIMER + 0x08, u32::MAX);
        store(TIMER + 0x04, u32::MAX);
        store(TIMER, 1);
        peripherals.SYST.set_clock_source(SystClkSource::Core);
        peripherals.SYST.set_reload(WAKE_EVERY - 1);
        peripherals.SYST.clear_current();
        peripherals.SYST.enable_counter();
        peripherals.SYST.enable_interrupt();
        // SAFETY: with interrupts masked no handler runs, whatever its priority.
        unsafe { peripherals.SCB.set_priority(SystemHandler::SysTick, 0) };
        Self { last: u32::MAX, passed: 0 }
    }

    /// Looks at the timer; at least once in each of its turns of 171 s.
    pub(crate) fn look(&mut self) -> u64 {
        let now = timer();
        self.passed += u64::from(self.last.wrapping_sub(now));
        self.last = now;
        self.passed
    }
}

/// The timer as it stands: it counts down.
pub(crate) fn timer() -> u32 {
    load(TIMER + 0x04)
}

/// Sleeps until something arrives, or for a moment.
pub(crate) fn sleep() {
    cortex_m::asm::wfi();
    cortex_m::peripheral::SCB::clear_pendst();
}

/// The deepest that the stack has been, in octets: where its paint is gone.
pub(crate) fn stack_used() -> u32 {
    unsafe extern "C" {
        static _stack_start: u32;
        static _stack_end: u32;
    }
    let (top, mut at) = (&raw const _stack_start as u32, &raw const _stack_end as u32);
    while at < top && load(at) == cortex_m_rt::STACK_PAINT_VALUE {
        at += 4;
    }
    top - at
}

/// A pin of the map.
pub(crate) fn pin(at: u32) -> u32 {
    load(MEMORY + at)
}

/// Sets a pin of the map.
pub(crate) fn set_pin(at: u32, word: u32) {
    store(MEMORY + at, word);
}

/// Octets from the pins.
pub(crate) fn pins(at: u32, octets: &mut [u8]) {
    for (at, octet) in (MEMORY + at..).zip(octets) {
        // SAFETY: the map's memory is readable by octets.
        *octet = unsafe { read_volatile(at as *const u8) };
    }
}

/// Where [`program`] is.
pub(crate) fn program_address() -> u32 {
    program as fn(u32, u32) as usize as u32
}

/// Programs one word: bits can only be cleared. A debugger that stops here cuts the power between two words.
#[unsafe(no_mangle)]
#[inline(never)]
fn program(address: u32, word: u32) {
    store(address, load(address) & word);
}

/// A partition of the flash, which is programmed by words and erased by sectors.
pub(crate) struct Partition {
    begin: u32,
    len: u32,
}

impl Partition {
    /// The partition of `sectors` from `begin` on. Partitions must not overlap.
    pub(crate) const fn new(begin: u32, sectors: u32) -> Self {
        assert!(begin.is_multiple_of(SECTOR) && begin + sectors * SECTOR <= MEMORY_LEN, "it lies in the flash");
        Self { begin: MEMORY + begin, len: sectors * SECTOR }
    }

    fn checked(&self, offset: u32, len: usize, step: u32) -> Result<u32, OutOfRange> {
        let end = offset.checked_add(len as u32).filter(|end| *end <= self.len).ok_or(OutOfRange::Bounds)?;
        if !offset.is_multiple_of(step) || !end.is_multiple_of(step) {
            return Err(OutOfRange::Alignment);
        }
        Ok(self.begin + offset)
    }
}

/// A wrong call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OutOfRange {
    Bounds,
    Alignment,
}

impl NorFlashError for OutOfRange {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Bounds => NorFlashErrorKind::OutOfBounds,
            Self::Alignment => NorFlashErrorKind::NotAligned,
        }
    }
}

impl ErrorType for Partition {
    type Error = OutOfRange;
}

impl ReadNorFlash for Partition {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, octets: &mut [u8]) -> Result<(), OutOfRange> {
        let from = self.checked(offset, octets.len(), 1)?;
        for (at, octet) in (from..).zip(octets) {
            // SAFETY: `checked`: it lies in the map's memory, which is readable by octets.
            *octet = unsafe { read_volatile(at as *const u8) };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.len as usize
    }
}

impl NorFlash for Partition {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), OutOfRange> {
        let begin = self.checked(from, to.checked_sub(from).ok_or(OutOfRange::Bounds)? as usize, SECTOR)?;
        (begin..begin + (to - from)).step_by(4).for_each(|at| store(at, u32::MAX));
        Ok(())
    }

    fn write(&mut self, offset: u32, octets: &[u8]) -> Result<(), OutOfRange> {
        let begin = self.checked(offset, octets.len(), 4)?;
        for (at, word) in (begin..).step_by(4).zip(octets.as_chunks::<4>().0) {
            program(at, u32::from_le_bytes(*word));
        }
        Ok(())
    }
}

impl MultiwriteNorFlash for Partition {}
