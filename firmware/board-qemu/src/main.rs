//! The handheld scanner on an emulated Cortex-M4F: QEMU's mps2-an386.
//!
//! One loop moves octets, keys and time between the hardware and [`Device`], which decides everything; what it tells
//! the worker goes out on the console. The radio, the barcode engine and the RFID module are on UARTs of their own;
//! keys, clock and lamp are words of a memory that outlives the power ([`map`]), and the flash lies in the same.
#![no_std]
#![no_main]

mod hardware;
mod map;

use cortex_m_rt::entry;
use hardware::{Partition, TICKS_PER_S, Ticks, Uart, pin, pins, set_pin, sleep, stack_used};
use heapless::{Deque, Vec};
use map::{BADGE, CARRIER, HANDLED, HANG_UP, JOURNAL_SECTORS, KEY, KEYS, LAMP, PROGRAM, RTC};
use stowage_base::{
    Duration, Intent, Language, Level, ReaderEvent, ReaderSession, ReaderSink, TagRead, Timestamp, Verdict, Visit, code,
};
use stowage_link::ScannerEnd;
use stowage_mercury::{Antennas, Client, Region, Settings};
use stowage_scanner::{
    Catalogue, Device, ENROLMENT_LEN_MAX, Enrolment, Event, Face, FlashStore, Key, Mode, Store, TOLD_LEN_MAX, Told,
    count_boot,
};

/// Aliases and locations that the RAM has room for.
const ITEMS: usize = 128;
const LOCATIONS: usize = 256;

/// Octets on their way out: a full window of intents on the radio.
const OUT: usize = 2_048;

/// Most octets of a barcode: the longest QR code that the floor uses, and more.
const BARCODE: usize = 256;

/// A trigger waits so long for a tag.
const TRIGGER_WAIT: Duration = Duration::from_secs(3);

/// The speed of the module's line, once the module is found.
const MODULE_BAUD: u32 = 115_200;

/// A module that gave up its line is connected anew after this.
const MODULE_PAUSE: Duration = Duration::from_secs(1);

type Known = Catalogue<ITEMS, LOCATIONS>;
type Scanner = Device<FlashStore<Partition, JOURNAL_SECTORS>, ITEMS, LOCATIONS, &'static mut Known>;

#[entry]
fn main() -> ! {
    // The core has its peripherals once, and so have the statics their places: this is the first and only call.
    let Some(peripherals) = cortex_m::Peripherals::take() else { halt() };
    let ticks = Ticks::begin(peripherals);
    [Uart::RADIO, Uart::ENGINE, Uart::MODULE, Uart::CONSOLE].iter().for_each(Uart::begin);
    set_pin(PROGRAM, hardware::program_address());
    let Some(board) = switched_on(ticks) else { halt() };
    loop {
        board.turn();
    }
}

/// The board with all its parts; `None` without an enrolment, or with a broken flash: it waits for the factory. What is
/// moved into its static on the way is on the stack here, and off it when the loop begins.
#[inline(never)]
fn switched_on(ticks: Ticks) -> Option<&'static mut Board> {
    let mut stored = [0; ENROLMENT_LEN_MAX];
    pins(map::ENROLMENT, &mut stored);
    let enrolment = Enrolment::decode(&stored)?;
    let boot = count_boot(&mut Partition::new(map::BOOTS, 2)).ok()?;
    let mut clock = Clock { began: rtc(), ticks };
    let voice = cortex_m::singleton!(VOICE: Voice = Voice::new())?;
    let known = cortex_m::singleton!(KNOWN: Known = Known::new())?;
    let device = device(&enrolment, known, boot, &mut clock, voice)?;
    let module = cortex_m::singleton!(MODULE: Module = Module::new())?;
    cortex_m::singleton!(BOARD: Board = Board {
        device,
        voice,
        module,
        clock,
        enrolment,
        boot,
        connections: 0,
        carrier: 0,
        keys: pin(KEYS),
        handled: pin(HANDLED),
        barcode: Vec::new(),
        told: None,
    })
}

#[inline(never)]
fn device(
    enrolment: &Enrolment,
    known: &'static mut Known,
    boot: u32,
    clock: &mut Clock,
    voice: &mut Voice,
) -> Option<&'static mut Scanner> {
    let before = clock.ticks.look();
    let store = FlashStore::mount(Partition::new(map::JOURNAL, JOURNAL_SECTORS as u32)).ok()?;
    let mount_ticks = (clock.ticks.look() - before) as u32;
    voice.tell(&Told::On { boot, kept: store.len(), mount_ticks });
    let end = ScannerEnd::new(enrolment.device.clone(), enrolment.key);
    cortex_m::singleton!(DEVICE: Scanner =
        Device::with_catalogue(enrolment.worker.clone(), enrolment.language, end, store, known))
}

/// Nothing can be done: the lamp is dark.
fn halt() -> ! {
    loop {
        sleep();
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Everything that was promised is in flash; a board would be reset by its watchdog.
    cortex_m::peripheral::SCB::sys_reset()
}

fn rtc() -> Timestamp {
    let (low, high) = (u64::from(pin(RTC)), u64::from(pin(RTC + 4)));
    Timestamp::from_micros((high << 32 | low) as i64)
}

/// The battery's clock at switching on, and what has passed since.
struct Clock {
    began: Timestamp,
    ticks: Ticks,
}

impl Clock {
    fn now(&mut self) -> Timestamp {
        let passed = self.ticks.look() / u64::from(TICKS_PER_S / 1_000_000);
        self.began + Duration::from_micros(passed as i64)
    }
}

struct Board {
    device: &'static mut Scanner,
    voice: &'static mut Voice,
    module: &'static mut Module,
    clock: Clock,
    enrolment: Enrolment,
    boot: u32,
    /// Connections of this boot.
    connections: u32,
    /// The radio's connection as last seen.
    carrier: u32,
    keys: u32,
    handled: u32,
    barcode: Vec<u8, BARCODE>,
    /// Intents kept, link and language as last told.
    told: Option<(u32, bool, Language)>,
}

impl Board {
    /// Looks at everything once; sleeps if there was nothing.
    fn turn(&mut self) {
        let now = self.clock.now();
        let mut busy = self.radio(now);
        busy |= self.engine();
        busy |= self.module(now);
        busy |= self.key();
        if self.device.next_deadline().is_some_and(|at| at <= now) {
            self.device.tick(now, self.voice);
        }
        self.tell();
        busy |= self.voice.send_on();
        if !busy && !self.device.tidy() {
            sleep();
        }
    }

    fn radio(&mut self, now: Timestamp) -> bool {
        let carrier = pin(CARRIER);
        if carrier != self.carrier {
            if self.carrier != 0 {
                self.device.disconnected(now, self.voice);
            }
            self.voice.radio.clear();
            self.carrier = carrier;
            if carrier != 0 {
                self.connections += 1;
                let random = self.enrolment.random(self.boot, self.connections);
                self.device.connected(now, random, self.voice);
            }
        }
        let mut octets = Vec::<u8, 64>::new();
        while !octets.is_full()
            && let Some(octet) = Uart::RADIO.read()
        {
            let _ = octets.push(octet); // there is room
        }
        if self.carrier != 0 && !octets.is_empty() {
            self.device.receive(now, &octets, self.voice);
        }
        if self.carrier != 0 && self.device.over().is_some() {
            set_pin(HANG_UP, self.carrier);
        }
        !octets.is_empty()
    }

    fn engine(&mut self) -> bool {
        let Some(octet) = Uart::ENGINE.read() else { return false };
        if octet != b'\r' {
            // One that is too long to be a barcode makes no sense as one either.
            let _ = self.barcode.push(octet);
            return true;
        }
        let octets = core::mem::take(&mut self.barcode);
        let text = core::str::from_utf8(&octets).unwrap_or("\u{FFFD}");
        self.measure(Event::Barcode(text));
        true
    }

    fn module(&mut self, now: Timestamp) -> bool {
        let busy = self.module.turn(now);
        if let Some(read) = self.module.seen.take() {
            self.measure(Event::Tag(read));
        } else if self.module.armed_until.take_if(|until| *until <= now).is_some() {
            self.handled(); // no tag answered
        }
        busy
    }

    fn key(&mut self) -> bool {
        let keys = pin(KEYS);
        if keys == self.keys {
            return false;
        }
        self.keys = keys;
        let now = self.clock.now();
        let key = match pin(KEY) {
            map::KEY_TRIGGER => {
                self.module.trigger(now);
                set_pin(map::PULLED, keys);
                return true; // handled once a tag is read
            }
            map::KEY_BADGE => {
                let mut badge = [0; 33];
                pins(BADGE, &mut badge);
                let text = badge.split_first().and_then(|(len, octets)| octets.get(..usize::from(*len)));
                let badge = text.and_then(|text| core::str::from_utf8(text).ok()).and_then(code);
                if let Some(badge) = badge {
                    self.device.step(now, Event::Badge(badge), self.voice);
                }
                self.handled();
                return true;
            }
            digit @ 0..=9 => Some(Key::Digit(digit as u8)),
            map::KEY_ENTER => Some(Key::Enter),
            map::KEY_CANCEL => Some(Key::Cancel),
            map::KEY_LANGUAGE => Some(Key::Language),
            mode => MODES.get(mode.wrapping_sub(map::KEY_MODE) as usize).copied().map(Key::Mode),
        };
        if let Some(key) = key {
            self.device.step(now, Event::Key(key), self.voice);
        }
        self.handled();
        true
    }

    /// A scan, from its last octet to the beep.
    fn measure(&mut self, event: Event<'_>) {
        let now = self.clock.now();
        let before = hardware::timer();
        self.voice.beeped_at = None;
        self.device.step(now, event, self.voice);
        let ticks = before.wrapping_sub(self.voice.beeped_at.unwrap_or_else(hardware::timer));
        self.voice.tell(&Told::Measured { ticks, stack: stack_used() });
        self.handled();
    }

    fn handled(&mut self) {
        self.tell();
        self.handled = self.handled.wrapping_add(1);
        set_pin(HANDLED, self.handled);
    }

    fn tell(&mut self) {
        let now = (self.device.store().len(), self.device.link().up(), self.device.app().language());
        let before = self.told.replace(now);
        if before.is_none_or(|before| before.2 != now.2) {
            self.voice.tell(&Told::Language(now.2));
        }
        if before.is_none_or(|before| before.0 != now.0) {
            self.voice.tell(&Told::Pending(now.0));
        }
        if before.is_none_or(|before| before.1 != now.1) {
            self.voice.tell(&Told::Link(now.1));
        }
    }
}

const MODES: [Mode; 5] = [Mode::Receive, Mode::PutAway, Mode::Move, Mode::Count, Mode::See];

/// What goes out: to the edge, to the lamp, and to the console.
struct Voice {
    radio: Deque<u8, OUT>,
    console: Deque<u8, OUT>,
    beeps: u32,
    /// The timer at the first beep of the scan that is being measured.
    beeped_at: Option<u32>,
}

impl Voice {
    const fn new() -> Self {
        Self { radio: Deque::new(), console: Deque::new(), beeps: 0, beeped_at: None }
    }

    fn tell(&mut self, told: &Told) {
        let mut frame = [0; TOLD_LEN_MAX];
        if let Ok(frame) = postcard::to_slice_cobs(told, &mut frame) {
            // Whoever services it reads on; a console that nobody reads takes what it is given all the same.
            while self.console.len() + frame.len() > OUT {
                self.send_on();
            }
            frame.iter().for_each(|octet| self.console.push_back(*octet).unwrap_or_default());
        }
    }

    /// Sends what the UARTs take now; true if anything is left.
    fn send_on(&mut self) -> bool {
        for (uart, queue) in [(Uart::RADIO, &mut self.radio), (Uart::CONSOLE, &mut self.console)] {
            while uart.writable()
                && let Some(octet) = queue.pop_front()
            {
                uart.write(octet);
            }
        }
        !self.radio.is_empty() || !self.console.is_empty()
    }
}

impl Face for Voice {
    fn send(&mut self, octets: &[u8]) {
        // A frame that finds no room is as good as lost on the air: the link sends it again.
        if self.radio.len() + octets.len() <= OUT {
            octets.iter().for_each(|octet| self.radio.push_back(*octet).unwrap_or_default());
        }
    }

    fn show(&mut self, answer: &Verdict) {
        self.tell(&Told::Show(answer.clone()));
    }

    fn beep(&mut self, level: Level) {
        self.beeps = self.beeps.wrapping_add(1);
        set_pin(LAMP, self.beeps << 2 | level as u32);
        self.beeped_at.get_or_insert_with(hardware::timer);
        self.tell(&Told::Beep(level));
    }

    fn sent(&mut self, intent: &Intent) {
        self.tell(&Told::Sent(intent.clone()));
    }

    fn answered(&mut self, seq: u32, verdict: &Verdict) {
        self.tell(&Told::Answered { seq, verdict: verdict.clone() });
    }
}

/// The RFID module, and the trigger that makes one of its reads a scan.
struct Module {
    client: Client,
    /// The line's speed as it is set.
    baud: u32,
    again_at: Option<Timestamp>,
    armed_until: Option<Timestamp>,
    seen: Option<stowage_base::Epc>,
}

impl Module {
    fn new() -> Self {
        // One antenna, in the handle; the list is checked to hold it.
        let antennas = Antennas::new(&[1]);
        let settings =
            |antennas| Settings { baud: MODULE_BAUD, region: Region::EUROPE_3, read_power_cdbm: 2_400, antennas };
        let Some(client) = antennas.map(|antennas| Client::new(settings(antennas))) else { halt() };
        Self { client, baud: MODULE_BAUD, again_at: Some(Timestamp::EPOCH), armed_until: None, seen: None }
    }

    fn trigger(&mut self, now: Timestamp) {
        self.armed_until = Some(now + TRIGGER_WAIT);
    }

    fn turn(&mut self, now: Timestamp) -> bool {
        let armed = self.armed_until.is_some();
        let mut sink = OfModule { armed, seen: None };
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            self.client.connected(now, &mut sink);
        }
        let mut octets = Vec::<u8, 64>::new();
        while !octets.is_full()
            && let Some(octet) = Uart::MODULE.read()
        {
            let _ = octets.push(octet); // there is room
        }
        if !octets.is_empty() {
            self.client.receive(now, &octets, &mut sink);
        }
        if self.client.next_deadline().is_some_and(|at| at <= now) {
            self.client.tick(now, &mut sink);
        }
        if let Some(baud) = self.client.baud().filter(|baud| *baud != self.baud) {
            Uart::MODULE.set_speed(baud);
            self.baud = baud;
        }
        if self.client.over() {
            self.client.disconnected(now, &mut sink);
            self.again_at = Some(now + MODULE_PAUSE);
        }
        if let Some(seen) = sink.seen {
            (self.seen, self.armed_until) = (Some(seen), None);
        }
        !octets.is_empty()
    }
}

struct OfModule {
    armed: bool,
    seen: Option<stowage_base::Epc>,
}

impl ReaderSink for OfModule {
    fn send(&mut self, octets: &[u8]) {
        for octet in octets {
            while !Uart::MODULE.writable() {}
            Uart::MODULE.write(*octet);
        }
    }

    fn read(&mut self, read: &TagRead) {
        if self.armed && self.seen.is_none() {
            self.seen = Some(read.epc);
        }
    }

    fn visit(&mut self, _visit: &Visit) {}

    fn event(&mut self, _event: ReaderEvent) {}
}
