//! A worker with a handheld: what is pressed and scanned, what the handheld keeps, and what it was told.

use super::line::Packet;
use std::collections::VecDeque;
use stowage_base::{Code, Epc, Intent, Language, Level, TextKey, Timestamp, Verdict};
use stowage_link::{EnrolmentKey, Random, ScannerEnd};
use stowage_scanner::{Device, Event, Face, Key, Mode, RamStore, Store, StoreError};

/// Aliases and locations that a handheld knows.
const ITEMS: usize = 1_024;
const LOCATIONS: usize = 1_024;

/// Intents that it keeps.
const KEPT: usize = 256;

/// Presses that may wait: past it the worker has no time for another job.
const PRESSES_MAX: usize = 60;

/// Something that the worker does with the handheld.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Press {
    Mode(Mode),
    Barcode(String),
    Tag(Epc),
    Quantity(u32),
    Enter,
}

/// A store that remembers everything that it ever kept.
#[derive(Debug, Default)]
struct Notebook {
    store: RamStore<KEPT>,
    kept: Vec<Intent>,
}

impl Store for Notebook {
    fn capacity(&self) -> u32 {
        self.store.capacity()
    }
    fn len(&self) -> u32 {
        self.store.len()
    }
    fn last_seq(&self) -> u32 {
        self.store.last_seq()
    }
    fn append(&mut self, intent: &Intent) -> Result<(), StoreError> {
        self.store.append(intent)?;
        self.kept.push(intent.clone());
        Ok(())
    }
    fn durable(&self) -> u32 {
        self.store.durable()
    }
    fn intent_from(&mut self, seq: u32) -> Option<Intent> {
        self.store.intent_from(seq)
    }
    fn release(&mut self, seq: u32) {
        self.store.release(seq);
    }
}

type Handheld = Device<Notebook, ITEMS, LOCATIONS>;

/// What the handheld has said.
#[derive(Debug, Default)]
struct Mouth {
    out: Vec<Packet>,
    answers: Vec<(u32, Verdict)>,
}

impl Face for Mouth {
    fn send(&mut self, octets: &[u8]) {
        self.out.push(Packet { topic: String::new(), octets: octets.to_vec() });
    }
    fn show(&mut self, _answer: &Verdict) {}
    fn beep(&mut self, _level: Level) {}
    fn answered(&mut self, seq: u32, verdict: &Verdict) {
        self.answers.push((seq, verdict.clone()));
    }
}

/// The worker with the handheld.
pub(super) struct Worker {
    code: Code,
    key: EnrolmentKey,
    badge: Code,
    device: Option<Box<Handheld>>,
    mouth: Mouth,
    presses: VecDeque<Press>,
}

impl Worker {
    pub(super) fn new(code: Code, key: EnrolmentKey, number: usize) -> Self {
        let badge = stowage_base::code(&format!("w-{number}")).unwrap_or_default();
        let device = switch_on(&code, key, &badge, Notebook::default());
        Self { code, key, badge, device: Some(device), mouth: Mouth::default(), presses: VecDeque::new() }
    }

    /// Gives the worker a job, if there is time for it.
    pub(super) fn job(&mut self, job: Vec<Press>) -> bool {
        let room = self.presses.len() + job.len() <= PRESSES_MAX;
        if room {
            self.presses.extend(job);
        }
        room
    }

    /// The worker goes home.
    pub(super) fn rest(&mut self) {
        self.presses.clear();
    }

    /// The next press, if there is one and the handheld knows the site.
    pub(super) fn press(&mut self, now: Timestamp) -> Vec<Packet> {
        let knows = self.device.as_ref().is_some_and(|device| !device.app().catalogue().no_items());
        let Some(press) = self.presses.pop_front_if(|_| knows) else { return Vec::new() };
        match press {
            Press::Mode(mode) => self.step(|device, mouth| device.step(now, Event::Key(Key::Mode(mode)), mouth)),
            Press::Barcode(text) => self.step(|device, mouth| device.step(now, Event::Barcode(&text), mouth)),
            Press::Tag(epc) => self.step(|device, mouth| device.step(now, Event::Tag(epc), mouth)),
            Press::Enter => self.step(|device, mouth| device.step(now, Event::Key(Key::Enter), mouth)),
            Press::Quantity(quantity) => self.step(|device, mouth| {
                for digit in quantity.to_string().bytes() {
                    device.step(now, Event::Key(Key::Digit(digit - b'0')), mouth);
                }
            }),
        }
    }

    /// Switches the handheld off and on: its store is what remains.
    pub(super) fn restart(&mut self) {
        if let Some(device) = self.device.take() {
            self.device = Some(switch_on(&self.code, self.key, &self.badge, device.into_store()));
        }
    }

    pub(super) fn connected(&mut self, now: Timestamp, random: Random) -> Vec<Packet> {
        self.step(|device, mouth| device.connected(now, random, mouth))
    }

    pub(super) fn receive(&mut self, now: Timestamp, octets: &[u8]) -> Vec<Packet> {
        self.step(|device, mouth| device.receive(now, octets, mouth))
    }

    pub(super) fn tick(&mut self, now: Timestamp) -> Vec<Packet> {
        self.step(|device, mouth| device.tick(now, mouth))
    }

    pub(super) fn disconnected(&mut self, now: Timestamp) {
        self.step(|device, mouth| device.disconnected(now, mouth));
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.device.as_ref().and_then(|device| device.next_deadline())
    }

    pub(super) fn over(&self) -> bool {
        self.device.as_ref().is_some_and(|device| device.over().is_some())
    }

    /// The handheld's name.
    pub(super) fn code(&self) -> &Code {
        &self.code
    }

    /// Everything that the handheld ever kept, in order.
    pub(super) fn kept(&self) -> &[Intent] {
        self.device.as_ref().map_or(&[], |device| &device.store().kept)
    }

    /// How many intents wait for an answer.
    pub(super) fn pending(&self) -> u32 {
        self.device.as_ref().map_or(0, |device| device.store().len())
    }

    /// Answers that have come since the last call.
    pub(super) fn answers(&mut self) -> Vec<(u32, Verdict)> {
        std::mem::take(&mut self.mouth.answers)
    }

    /// What the handheld asks the worker to look for: item, place by the book, zone by radio.
    pub(super) fn searches(&self) -> Vec<Vec<Code>> {
        let tasks = self.device.iter().flat_map(|device| device.app().tasks());
        tasks.filter(|(key, _)| *key == TextKey::CheckItem).map(|(_, args)| args.to_vec()).collect()
    }

    fn step(&mut self, act: impl FnOnce(&mut Handheld, &mut Mouth)) -> Vec<Packet> {
        if let Some(device) = &mut self.device {
            act(device, &mut self.mouth);
        }
        std::mem::take(&mut self.mouth.out)
    }
}

fn switch_on(code: &Code, key: EnrolmentKey, badge: &Code, store: Notebook) -> Box<Handheld> {
    Box::new(Device::new(badge.clone(), Language::English, ScannerEnd::new(code.clone(), key), store))
}
