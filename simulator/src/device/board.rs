//! The handheld as its own image, on an emulated board: QEMU runs it, this is everything around it.
//!
//! Radio, barcode engine, RFID module and console are sockets at QEMU's UARTs; keys, clock and the
//! radio's carrier are words of the file that is the board's memory (see the board's own map). It takes the commands of
//! a [`Handheld`](super::Handheld) and tells the same events.

use super::scanner::{Press, Voice, connect};
use super::{Clock, DeviceError, Event, Events, HandheldSettings, ScannerCommand};
use map::{
    BADGE, CARRIER, HANDLED, HANG_UP, KEY, KEY_BADGE, KEY_CANCEL, KEY_ENTER, KEY_LANGUAGE, KEY_MODE, KEY_TRIGGER, KEYS,
    MEMORY_LEN, PINS, PULLED, RTC,
};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::rand::{GetRandomFlags, getrandom};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream as Socket;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stowage_base::{Air, Epc, ReaderDevice, TagRead, Timestamp};
use stowage_mercury::{Module, ModuleSettings};
use stowage_scanner::{Enrolment, Face as _, Key, Mode, Told};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

#[allow(dead_code, reason = "the board's side of it is the board's")]
#[path = "../../../firmware/board-qemu/src/map.rs"]
mod map;

/// Between two looks at the board's pins.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// How long the board may take to answer a key or a scan; after it the next one follows all the same.
const HANDLED_MAX: Duration = Duration::from_secs(10);

/// How long the QEMU that had the memory before may take to end.
const FREE_MAX: Duration = Duration::from_secs(5);

/// Pause before the edge is tried again.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// How the image is run.
#[derive(Debug, Clone)]
pub struct BoardSettings {
    /// The image.
    pub image: PathBuf,
    /// QEMU for ARM.
    pub qemu: PathBuf,
    /// The file that is the board's memory; made, with an enrolment in it, where there is none.
    pub memory: PathBuf,
    /// Let time pass by instructions: one each ns.
    pub count_instructions: bool,
    /// A Unix socket where a debugger may stop the board.
    pub debugger: Option<PathBuf>,
}

impl BoardSettings {
    /// The image where `firmware/board-qemu/build` puts it, and the QEMU that `tests/run` has unpacked, else the
    /// system's.
    pub fn built(memory: PathBuf) -> Self {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
        let own = target.join("qemu/usr/bin/qemu-system-arm");
        Self {
            image: target.join("board/scanner.elf"),
            qemu: if own.is_file() { own } else { "qemu-system-arm".into() },
            memory,
            count_instructions: false,
            debugger: None,
        }
    }

    /// Whether the image and QEMU are there.
    ///
    /// # Errors
    /// One of them is not.
    pub fn check(&self) -> Result<(), DeviceError> {
        let Self { image, qemu, .. } = self;
        if !image.is_file() {
            return Err(DeviceError::NoImage(image.clone()));
        }
        let ran = Command::new(qemu).arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).status();
        match ran {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(DeviceError::NoQemu { path: qemu.clone(), why: status.to_string() }),
            Err(error) => Err(DeviceError::NoQemu { path: qemu.clone(), why: error.to_string() }),
        }
    }
}

/// A board that is switched on. QEMU ends with it, and with this process, however that ends.
pub struct Board {
    qemu: Qemu,
    pins: Pins,
    /// Radio, engine, module, console.
    lines: [UnixStream; 4],
    edge: String,
    clock: Clock,
    voice: Voice,
}

struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Board {
    /// Switches the board on. The thread that calls must live as long as the board.
    ///
    /// # Errors
    /// QEMU or the image isn't there, or the memory's file can't be used.
    pub async fn start(
        handheld: HandheldSettings,
        settings: &BoardSettings,
        clock: Clock,
        events: Events,
    ) -> Result<Self, DeviceError> {
        settings.check()?;
        let BoardSettings { image, qemu, memory, count_instructions, debugger } = settings;
        let failed = |error| DeviceError::Board { memory: memory.clone(), error };
        let pins = Pins::open(memory, &handheld, clock.now()).await.map_err(failed)?;
        // Whatever ends this process, a kill too, is the board's loss of power.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(qemu);
        command.args(["-M", "mps2-an386,memory-backend=flash", "-display", "none", "-monitor", "none", "-object"]);
        // QEMU reads two commas as one that separates nothing.
        let path = memory.display().to_string().replace(',', ",,");
        command.arg(format!("memory-backend-file,id=flash,size=16M,mem-path={path},share=on"));
        command.arg("-kernel").arg(image);
        if *count_instructions {
            command.args(["-icount", "shift=0"]);
        }
        if let Some(debugger) = debugger {
            command.arg("-gdb").arg(format!("unix:{},server=on,wait=off", debugger.display()));
        }
        let mut line = |name| -> io::Result<(UnixStream, Socket)> {
            let (ours, boards) = Socket::pair()?;
            ours.set_nonblocking(true)?;
            inherited(&boards)?;
            command.args(["-chardev", &format!("socket,id={name},fd={}", boards.as_raw_fd())]);
            command.args(["-serial", &format!("chardev:{name}")]);
            Ok((UnixStream::from_std(ours)?, boards))
        };
        // In the order of the UARTs. The board's ends are QEMU's alone once it has them.
        let [radio, engine, module, console] =
            [line("radio"), line("engine"), line("module"), line("console")].map(|line| line.map_err(failed));
        let (radio, engine, module, console) = (radio?, engine?, module?, console?);
        // In a group of its own: what the terminal's keys end is this process, and QEMU after it.
        let started = command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0).spawn();
        let started = started.map_err(|error| DeviceError::NoQemu { path: "setpriv".into(), why: error.to_string() });
        let voice = Voice::new(events, handheld.language);
        let lines = [radio.0, engine.0, module.0, console.0];
        Ok(Self { qemu: Qemu(started?), pins, lines, edge: handheld.edge, clock, voice })
    }

    /// Runs until `stop`.
    ///
    /// # Errors
    /// QEMU has ended before.
    pub async fn run(
        self,
        commands: mpsc::Receiver<ScannerCommand>,
        stop: CancellationToken,
    ) -> Result<(), DeviceError> {
        let Self { mut qemu, pins, lines: [radio, engine, module, console], edge, clock, mut voice } = self;
        let (wanted, is_wanted) = watch::channel(true);
        let field = Field::default();
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = self::radio(radio, edge, is_wanted, &pins) => {}
            () = self::module(module, field.clone(), clock) => {}
            () = self::console(console, &mut voice) => {}
            () = inputs(commands, engine, &field, &wanted, &pins) => {}
        }
        // A line ends when QEMU does.
        let why = qemu.0.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        Err(DeviceError::BoardEnded(why))
    }
}

/// Lets a child have this descriptor under the same number.
fn inherited(descriptor: &impl AsFd) -> io::Result<()> {
    Ok(fcntl_setfd(descriptor, FdFlags::empty())?)
}

/// The words of the board's memory that are its pins.
#[derive(Debug, Clone)]
struct Pins(Arc<File>);

impl Pins {
    /// The memory at `path`; a new one is enrolled as `handheld`. The battery's clock says `now`.
    async fn open(path: &Path, handheld: &HandheldSettings, now: Timestamp) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        // QEMU holds the lock as well, so that no two have one memory, not even for a moment.
        inherited(&file)?;
        let deadline = tokio::time::Instant::now() + FREE_MAX;
        while let Err(error) = file.try_lock() {
            match error {
                TryLockError::WouldBlock if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                error => return Err(error.into()),
            }
        }
        if file.metadata()?.len() != u64::from(MEMORY_LEN) {
            let mut memory = vec![u8::MAX; MEMORY_LEN as usize];
            let mut seed = [0; 32];
            getrandom(&mut seed, GetRandomFlags::empty())?;
            let HandheldSettings { device, key, worker, language, .. } = handheld.clone();
            let enrolment = Enrolment { device, key, seed, worker, language }.encode();
            memory[map::ENROLMENT as usize..][..enrolment.len()].copy_from_slice(&enrolment);
            memory[PINS as usize..].fill(0);
            file.set_len(0)?;
            file.write_all_at(&memory, 0)?;
        }
        let pins = Self(Arc::new(file));
        pins.0.write_all_at(&now.micros().to_le_bytes(), RTC.into())?;
        [CARRIER, HANG_UP].into_iter().for_each(|pin| pins.set(pin, 0));
        Ok(pins)
    }

    // A file of its own, of a known length, mapped by QEMU: if the disk fails under it, the board is gone as well.
    fn get(&self, at: u32) -> u32 {
        let mut word = [0; 4];
        let _ = self.0.read_exact_at(&mut word, at.into());
        u32::from_le_bytes(word)
    }

    fn set(&self, at: u32, word: u32) {
        let _ = self.0.write_all_at(&word.to_le_bytes(), at.into());
    }

    /// Presses a key.
    fn press(&self, key: u32) {
        self.set(KEY, key);
        self.set(KEYS, self.get(KEYS).wrapping_add(1));
    }

    /// Presses a key, and waits until it is dealt with.
    async fn key(&self, key: u32) {
        let handled = self.get(HANDLED);
        self.press(key);
        self.change(HANDLED, handled).await;
    }

    /// Waits until a pin isn't `before`.
    async fn change(&self, pin: u32, before: u32) {
        let waiting = async {
            while self.get(pin) == before {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        // The board may be too busy to answer in time: the worker goes on.
        let _ = tokio::time::timeout(HANDLED_MAX, waiting).await;
    }
}

/// What lies before the handheld's antenna: a tag, until it was read once.
#[derive(Debug, Clone, Default)]
struct Field(Arc<Mutex<Option<Epc>>>);

impl Field {
    fn put(&self, tag: Option<Epc>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = tag;
    }
}

impl Air for Field {
    fn interrogate(&mut self, antenna: u16, _: i16, _: Timestamp, at: Timestamp, heard: &mut dyn FnMut(&TagRead)) {
        if let Some(epc) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let (rssi_cdbm, frequency_khz) = (-4_500, Some(866_300));
            heard(&TagRead { epc, antenna, rssi_cdbm, count: 1, at, frequency_khz, phase: None });
        }
    }
}

/// Turns commands into scans, keys and tags, one after the other.
async fn inputs(
    mut commands: mpsc::Receiver<ScannerCommand>,
    mut engine: UnixStream,
    field: &Field,
    wanted: &watch::Sender<bool>,
    pins: &Pins,
) {
    while let Some(command) = commands.recv().await {
        match command {
            ScannerCommand::Scan(text) => {
                let handled = pins.get(HANDLED);
                if engine.write_all(format!("{text}\r").as_bytes()).await.is_err() {
                    return;
                }
                pins.change(HANDLED, handled).await;
            }
            ScannerCommand::Tag(epc) => {
                // It is held there once the module is listened to: it is read once.
                let (handled, pulled) = (pins.get(HANDLED), pins.get(PULLED));
                pins.press(KEY_TRIGGER);
                pins.change(PULLED, pulled).await;
                field.put(Some(epc));
                pins.change(HANDLED, handled).await;
                field.put(None);
            }
            ScannerCommand::Key(Press(press)) => pins.key(key(press)).await,
            ScannerCommand::Quantity(quantity) => {
                for digit in quantity.to_string().bytes() {
                    pins.key((digit - b'0').into()).await;
                }
            }
            ScannerCommand::Badge(worker) => {
                let badge = [&[worker.len() as u8], worker.as_bytes()].concat();
                let _ = pins.0.write_all_at(&badge, BADGE.into());
                pins.key(KEY_BADGE).await;
            }
            ScannerCommand::Link(link) => {
                let _ = wanted.send(link); // the radio listens as long as the board runs
            }
        }
    }
    std::future::pending().await
}

fn key(key: Key) -> u32 {
    match key {
        Key::Digit(digit) => digit.into(),
        Key::Mode(Mode::Receive) => KEY_MODE,
        Key::Mode(Mode::PutAway) => KEY_MODE + 1,
        Key::Mode(Mode::Move) => KEY_MODE + 2,
        Key::Mode(Mode::Count) => KEY_MODE + 3,
        Key::Mode(Mode::See) => KEY_MODE + 4,
        Key::Enter => KEY_ENTER,
        Key::Cancel => KEY_CANCEL,
        Key::Language => KEY_LANGUAGE,
    }
}

/// Carries octets between the radio and the edge, and tells the board whether there is a carrier.
async fn radio(mut radio: UnixStream, edge: String, mut wanted: watch::Receiver<bool>, pins: &Pins) {
    let (mut octets, mut connection) = ([0; 4_096], 0);
    loop {
        // What is sent without a carrier is lost.
        let mut line = tokio::select! {
            (line, _) = connect(edge.clone()), if *wanted.borrow() => line,
            changed = wanted.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            read = radio.read(&mut octets) => match read {
                Ok(1..) => continue,
                Ok(0) | Err(_) => return,
            },
        };
        connection += 1;
        pins.set(CARRIER, connection);
        let (mut from_edge, mut from_board) = ([0; 4_096], [0; 4_096]);
        loop {
            tokio::select! {
                read = line.read(&mut from_edge) => match read {
                    Ok(count @ 1..) => if radio.write_all(&from_edge[..count]).await.is_err() { return },
                    Ok(0) | Err(_) => break,
                },
                read = radio.read(&mut from_board) => match read {
                    Ok(count @ 1..) => if line.write_all(&from_board[..count]).await.is_err() { break },
                    Ok(0) | Err(_) => return,
                },
                _ = wanted.changed() => if !*wanted.borrow() { break },
                () = tokio::time::sleep(10 * LOOK_EVERY) => if pins.get(HANG_UP) == connection { break },
            }
        }
        pins.set(CARRIER, 0);
        drop(line);
        tokio::time::sleep(RETRY_WAIT).await;
    }
}

/// The RFID module on the board's third UART.
async fn module(mut line: UnixStream, mut field: Field, clock: Clock) {
    let mut module = Module::new(ModuleSettings::default());
    let mut octets = [0; 512];
    let mut out = Vec::new();
    module.connected(clock.now(), &mut |octets| out.extend_from_slice(octets));
    loop {
        if !out.is_empty() {
            if line.write_all(&out).await.is_err() {
                return;
            }
            out.clear();
        }
        let mut put = |octets: &[u8]| out.extend_from_slice(octets);
        tokio::select! {
            read = line.read(&mut octets) => match read {
                Ok(count @ 1..) => module.receive(clock.now(), &octets[..count], &mut field, &mut put),
                Ok(0) | Err(_) => return,
            },
            () = clock.sleep_until(module.next_deadline()) => module.tick(clock.now(), &mut field, &mut put),
        }
    }
}

/// Tells what the board tells.
async fn console(line: UnixStream, voice: &mut Voice) {
    let mut line = BufReader::new(line);
    let mut frame = Vec::new();
    while let Ok(1..) = line.read_until(0, &mut frame).await {
        // A frame that was cut short by the power makes no sense.
        if let Ok(told) = postcard::from_bytes_cobs::<Told>(&mut frame) {
            tell(told, voice);
        }
        frame.clear();
    }
}

fn tell(told: Told, voice: &mut Voice) {
    match told {
        Told::On { boot, kept, mount_ticks } => voice.events.tell(Event::On { boot, kept, mount_ticks }),
        Told::Show(answer) => voice.show(&answer),
        Told::Beep(level) => voice.beep(level),
        Told::Language(language) => voice.language = language,
        Told::Sent(intent) => voice.sent(&intent),
        Told::Answered { seq, verdict } => voice.answered(seq, &verdict),
        Told::Pending(kept) => voice.events.tell(Event::Pending(kept)),
        Told::Link(up) => voice.events.tell(Event::Link(up)),
        Told::Measured { ticks, stack } => voice.events.tell(Event::Measured { ticks, stack }),
    }
}
