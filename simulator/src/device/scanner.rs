//! The handheld scanner, linked to the edge by TCP.

use super::{Clock, Event, Events, FileStore};
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Deserializer, de};
use std::io;
use std::time::Duration;
use stowage_base::text::Sentence;
use stowage_base::{Code, Epc, Intent, Language, Level, Timestamp, Verdict};
use stowage_link::{EnrolmentKey, Random, ScannerEnd};
use stowage_scanner::{Device, Event as Input, Face, Key, Mode, Store};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Aliases and locations that it knows: what a handheld with 256 KiB of RAM has room for.
const ITEMS: usize = 1_024;
const LOCATIONS: usize = 1_024;

/// Pause before the edge is tried again.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// How long the edge's address may take to answer.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Who has the handheld, and whom it knows.
#[derive(Debug, Clone)]
pub struct HandheldSettings {
    /// Its name at the edge.
    pub device: Code,
    /// Its enrolment key.
    pub key: EnrolmentKey,
    /// The worker's badge.
    pub worker: Code,
    /// The worker's language.
    pub language: Language,
    /// HOST:PORT of the edge.
    pub edge: String,
}

/// What may happen to a handheld. As JSON: an object with one member.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ScannerCommand {
    /// The trigger was pulled before this barcode, as its engine sends it.
    Scan(String),
    /// Its RFID module reads this tag.
    Tag(Epc),
    /// A key is pressed.
    Key(Press),
    /// Digits are typed: the next item's quantity.
    Quantity(u32),
    /// Someone else takes it.
    Badge(Code),
    /// There is a connection from here on, or none.
    Link(bool),
}

/// A key as JSON: its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Press(pub Key);

const KEYS: [(&str, Key); 9] = [
    ("receive", Key::Mode(Mode::Receive)),
    ("put_away", Key::Mode(Mode::PutAway)),
    ("move", Key::Mode(Mode::Move)),
    ("count", Key::Mode(Mode::Count)),
    ("find", Key::Mode(Mode::See)),
    ("enter", Key::Enter),
    ("done", Key::Enter),
    ("cancel", Key::Cancel),
    ("language", Key::Language),
];

impl<'de> Deserialize<'de> for Press {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let digit = name.parse().ok().filter(|digit| *digit < 10).map(Key::Digit);
        let key = KEYS.iter().find(|(known, _)| *known == name).map(|(_, key)| *key).or(digit);
        key.map(Self).ok_or_else(|| {
            let known = KEYS.map(|(known, _)| known).join(", ");
            de::Error::custom(format_args!("{name:?} is no key; there are {known} and the digits 0 to 9"))
        })
    }
}

/// A handheld with its store in a file.
pub struct Handheld {
    device: Box<Device<FileStore, ITEMS, LOCATIONS>>,
    face: Voice,
    settings: HandheldSettings,
    clock: Clock,
    /// Intents in the store and the state of the link as last told.
    told: Option<(u32, bool)>,
}

impl Handheld {
    /// A handheld that is switched on, on what its store keeps from before.
    pub fn new(settings: HandheldSettings, store: FileStore, clock: Clock, events: Events) -> Self {
        let HandheldSettings { device, key, worker, language, .. } = settings.clone();
        let device = Box::new(Device::new(worker, language, ScannerEnd::new(device, key), store));
        let face = Voice::new(events, language);
        Self { device, face, settings, clock, told: None }
    }

    /// Runs until `stop`.
    pub async fn run(mut self, mut commands: mpsc::Receiver<ScannerCommand>, stop: CancellationToken) {
        let mut wanted = true;
        self.tell();
        loop {
            // Without a connection.
            let (mut line, random) = tokio::select! {
                () = stop.cancelled() => return,
                Some(command) = commands.recv() => {
                    self.obey(command, &mut wanted);
                    continue;
                }
                () = self.clock.sleep_until(self.device.next_deadline()) => {
                    self.step(|device, now, face| device.tick(now, face));
                    continue;
                }
                line = connect(self.settings.edge.clone()), if wanted => line,
            };
            self.step(|device, now, face| device.connected(now, random, face));
            let mut octets = [0; 4_096];
            while wanted && self.device.over().is_none() {
                tokio::select! {
                    () = stop.cancelled() => {
                        let _ = line.shutdown().await;
                        return;
                    }
                    Some(command) = commands.recv() => self.obey(command, &mut wanted),
                    ready = line.readable() => match ready.and_then(|()| line.try_read(&mut octets)) {
                        Ok(0) => break,
                        Ok(count) => self.step(|device, now, face| device.receive(now, &octets[..count], face)),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(_) => break,
                    },
                    written = write(&line, &self.face.out), if !self.face.out.is_empty() => match written {
                        Ok(count) => drop(self.face.out.drain(..count)),
                        Err(_) => break,
                    },
                    () = self.clock.sleep_until(self.device.next_deadline()) => {
                        self.step(|device, now, face| device.tick(now, face));
                    }
                }
            }
            drop(line);
            self.step(|device, now, face| device.disconnected(now, face));
            self.face.out.clear();
        }
    }

    fn obey(&mut self, command: ScannerCommand, wanted: &mut bool) {
        match command {
            ScannerCommand::Scan(text) => self.step(|device, now, face| device.step(now, Input::Barcode(&text), face)),
            ScannerCommand::Tag(epc) => self.step(|device, now, face| device.step(now, Input::Tag(epc), face)),
            ScannerCommand::Key(Press(key)) => self.key(key),
            ScannerCommand::Quantity(quantity) => {
                for digit in quantity.to_string().bytes() {
                    self.key(Key::Digit(digit - b'0'));
                }
            }
            ScannerCommand::Badge(worker) => {
                self.step(|device, now, face| device.step(now, Input::Badge(worker), face))
            }
            ScannerCommand::Link(link) => *wanted = link,
        }
    }

    fn key(&mut self, key: Key) {
        self.step(|device, now, face| device.step(now, Input::Key(key), face));
    }

    fn step(&mut self, act: impl FnOnce(&mut Device<FileStore, ITEMS, LOCATIONS>, Timestamp, &mut Voice)) {
        act(&mut self.device, self.clock.now(), &mut self.face);
        self.face.language = self.device.app().language();
        self.tell();
    }

    fn tell(&mut self) {
        let now = (self.device.store().len(), self.device.link().up());
        let before = self.told.replace(now);
        if before.is_none_or(|before| before.0 != now.0) {
            self.face.events.tell(Event::Pending(now.0));
        }
        if before.is_none_or(|before| before.1 != now.1) {
            self.face.events.tell(Event::Link(now.1));
        }
    }
}

/// Tries until there is a connection, and a random value that was never there before.
pub(super) async fn connect(edge: String) -> (TcpStream, Random) {
    loop {
        if let Ok(Ok(line)) = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(&edge)).await {
            // Nagle would hold back small frames; a socket that can't be told so serves all the same.
            let _ = line.set_nodelay(true);
            let mut random = Random::default();
            if getrandom(&mut random, GetRandomFlags::empty()) == Ok(random.len()) {
                return (line, random);
            }
        }
        tokio::time::sleep(RETRY_WAIT).await;
    }
}

async fn write(line: &TcpStream, octets: &[u8]) -> io::Result<usize> {
    loop {
        line.writable().await?;
        match line.try_write(octets) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => return written,
        }
    }
}

/// Tells what the worker sees and hears; collects what the edge is to have.
pub(super) struct Voice {
    pub(super) events: Events,
    pub(super) language: Language,
    out: Vec<u8>,
    /// The highest seq that was told as sent: resends are the link's own matter.
    sent: u32,
}

impl Voice {
    pub(super) fn new(events: Events, language: Language) -> Self {
        Self { events, language, out: Vec::new(), sent: 0 }
    }

    fn text(&self, verdict: &Verdict) -> String {
        Sentence { key: verdict.key, language: self.language, args: &verdict.args }.to_string()
    }
}

impl Face for Voice {
    fn send(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }

    fn show(&mut self, answer: &Verdict) {
        let (text, args) = (self.text(answer), answer.args.to_vec());
        self.events.tell(Event::Show { level: answer.level, key: answer.key, args, text });
    }

    fn beep(&mut self, level: Level) {
        self.events.tell(Event::Beep(level));
    }

    fn sent(&mut self, intent: &Intent) {
        if intent.seq > self.sent {
            self.sent = intent.seq;
            self.events.tell(Event::Sent(intent.clone()));
        }
    }

    fn answered(&mut self, seq: u32, verdict: &Verdict) {
        let (text, args) = (self.text(verdict), verdict.args.to_vec());
        self.events.tell(Event::Verdict { seq, level: verdict.level, key: verdict.key, args, text });
    }
}
