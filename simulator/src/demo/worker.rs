//! Ada, who has the handheld: what she scans, and what it asks of her.

use crate::device::{Event, Press, ScannerCommand, Told};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;
use stowage_base::{Code, Epc, TextKey, code};
use stowage_scanner::{Key, Mode};
use tokio::sync::mpsc;

/// Between two pulls of the trigger.
const PACE: Duration = Duration::from_millis(450);

/// How long she waits for the edge's word before she goes on.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the handheld needs to learn the site once it is linked.
const LEARNING: Duration = Duration::from_millis(1_500);

/// "Please look for …": item, place by the book, zone by radio.
pub(super) type Search = [Code; 3];

/// The worker.
pub(super) struct Worker {
    scans: mpsc::Sender<ScannerCommand>,
    events: mpsc::UnboundedReceiver<Told>,
    pending: u32,
    linked: bool,
    searches: VecDeque<Search>,
    /// Those that she has gone to once.
    searched: BTreeSet<Search>,
}

impl Worker {
    pub(super) fn new(scans: mpsc::Sender<ScannerCommand>, events: mpsc::UnboundedReceiver<Told>) -> Self {
        let (searches, searched) = (VecDeque::new(), BTreeSet::new());
        Self { scans, events, pending: 0, linked: false, searches, searched }
    }

    /// Waits until the handheld is linked and knows the site.
    pub(super) async fn begin(&mut self) {
        while !self.linked {
            let Some(told) = self.events.recv().await else { return };
            self.hear(told);
        }
        tokio::time::sleep(LEARNING).await;
    }

    /// The next thing that the handheld asks to look for.
    pub(super) fn search(&mut self) -> Option<Search> {
        while let Ok(told) = self.events.try_recv() {
            self.hear(told);
        }
        self.searches.pop_front()
    }

    pub(super) async fn mode(&mut self, mode: Mode) {
        self.press(ScannerCommand::Key(Press(Key::Mode(mode)))).await;
    }

    pub(super) async fn enter(&mut self) {
        self.press(ScannerCommand::Key(Press(Key::Enter))).await;
    }

    pub(super) async fn scan(&mut self, text: &str) {
        self.press(ScannerCommand::Scan(text.to_owned())).await;
    }

    pub(super) async fn tag(&mut self, epc: Epc) {
        self.press(ScannerCommand::Tag(epc)).await;
    }

    pub(super) async fn quantity(&mut self, quantity: u32) {
        self.press(ScannerCommand::Quantity(quantity)).await;
    }

    /// Waits until the edge has answered everything.
    pub(super) async fn settled(&mut self) {
        let all = async {
            while self.pending > 0 {
                let Some(told) = self.events.recv().await else { return };
                self.hear(told);
            }
        };
        // Without the edge she works on: the handheld keeps it all.
        let _ = tokio::time::timeout(PATIENCE, all).await;
    }

    async fn press(&mut self, command: ScannerCommand) {
        let _ = self.scans.send(command).await;
        tokio::time::sleep(PACE).await;
        while let Ok(told) = self.events.try_recv() {
            self.hear(told);
        }
    }

    fn hear(&mut self, told: Told) {
        match told.event {
            Event::Pending(pending) => self.pending = pending,
            Event::Link(linked) => self.linked = linked,
            Event::Show { key: TextKey::CheckItem, args, .. } => {
                let search: Search = std::array::from_fn(|index| args.get(index).cloned().unwrap_or_default());
                if self.searched.insert(search.clone()) {
                    self.searches.push_back(search);
                }
            }
            _ => {}
        }
    }

    /// She may be asked for the same again.
    pub(super) fn forget(&mut self, search: &Search) {
        self.searched.remove(search);
    }
}

/// A code from a literal of ours, all of which fit.
pub(super) fn short(text: &str) -> Code {
    code(text).unwrap_or_default()
}
