//! The whole handheld but for its hardware: application, store and link together.

use crate::app::{Action, Actions, Config, Event, Scanner};
use crate::catalogue::Catalogue;
use crate::screen::Screen;
use crate::store::Store;
use core::borrow::BorrowMut;
use stowage_base::{Code, Intent, Language, Level, Timestamp, Verdict};
use stowage_link::{Random, ScannerEnd, ScannerEvent, ScannerSink, Standing, WINDOW, Why};

/// What faces the worker and the line. Nothing here may wait.
pub trait Face {
    /// Octets for the edge, in order.
    fn send(&mut self, octets: &[u8]);
    /// The worker is told this; [`Device::screen`] has it in words.
    fn show(&mut self, answer: &Verdict);
    /// The sound and light of this level.
    fn beep(&mut self, level: Level);
    /// The link has taken this intent from the store and sends it; again after a resend.
    fn sent(&mut self, _intent: &Intent) {}
    /// The edge has answered the intent `seq`, whether or not the worker has to hear of it.
    fn answered(&mut self, _seq: u32, _verdict: &Verdict) {}
}

/// A handheld, without I/O: what a board, a page and the simulator drive.
///
/// Feed it scans, keys, octets and time, and draw [`screen`](Self::screen) after each call. Its whole durable state is
/// the store: a restart is a new device on the same store.
pub struct Device<S, const ITEMS: usize, const LOCATIONS: usize, C = Catalogue<ITEMS, LOCATIONS>> {
    app: Scanner<ITEMS, LOCATIONS, C>,
    link: ScannerEnd,
    store: S,
}

impl<S: Store, const ITEMS: usize, const LOCATIONS: usize> Device<S, ITEMS, LOCATIONS> {
    /// The device as it is switched on, with a catalogue of its own.
    pub fn new(worker: Code, language: Language, link: ScannerEnd, store: S) -> Self {
        Self::with_catalogue(worker, language, link, store, Catalogue::new())
    }
}

impl<S: Store, const ITEMS: usize, const LOCATIONS: usize, C: BorrowMut<Catalogue<ITEMS, LOCATIONS>>>
    Device<S, ITEMS, LOCATIONS, C>
{
    /// The device as it is switched on, with an empty catalogue that may be lent.
    pub fn with_catalogue(worker: Code, language: Language, link: ScannerEnd, store: S, catalogue: C) -> Self {
        let config =
            Config { worker, language, capacity: store.capacity(), kept: store.len(), last_seq: store.last_seq() };
        Self { app: Scanner::new(config, catalogue), link, store }
    }

    /// A scan, a key, a badge, the battery.
    pub fn step(&mut self, now: Timestamp, event: Event<'_>, face: &mut impl Face) {
        self.apply(now, event, face);
        self.stored(now, face);
    }

    /// The store may have more durable intents than before: needed only where an append becomes durable after its
    /// return.
    pub fn stored(&mut self, now: Timestamp, face: &mut impl Face) {
        self.apply(now, Event::Durable(self.store.durable()), face);
    }

    /// The transport to the edge is open; see [`ScannerEnd::connected`].
    pub fn connected(&mut self, now: Timestamp, random: Random, face: &mut impl Face) {
        let (link, mut sink) = self.parts(now, face);
        link.connected(now, random, &mut sink);
    }

    /// Octets arrived from the edge, in any chunking.
    pub fn receive(&mut self, now: Timestamp, octets: &[u8], face: &mut impl Face) {
        let (link, mut sink) = self.parts(now, face);
        link.receive(now, octets, &mut sink);
    }

    /// The transport is gone, or closed after [`over`](Self::over).
    pub fn disconnected(&mut self, now: Timestamp, face: &mut impl Face) {
        let (link, mut sink) = self.parts(now, face);
        link.disconnected(&mut sink);
    }

    /// Why the link has given up this connection, if it has: close it.
    pub fn over(&self) -> Option<Why> {
        self.link.over()
    }

    /// Time has passed; needed at [`next_deadline`](Self::next_deadline), harmless at any time.
    pub fn tick(&mut self, now: Timestamp, face: &mut impl Face) {
        let (link, mut sink) = self.parts(now, face);
        link.tick(now, &mut sink);
        let mut actions = Actions::new();
        self.app.tick(now, &mut actions);
        self.carry_out(now, &actions, face);
    }

    /// Nothing else is to be done now: see [`Store::tidy`].
    pub fn tidy(&mut self) -> bool {
        self.store.tidy()
    }

    /// When to call [`tick`](Self::tick) if nothing happens before; `None`: never.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.app.next_deadline().into_iter().chain(self.link.next_deadline()).min()
    }

    /// What stands on the screen.
    pub fn screen(&self) -> Screen {
        Screen::of(&self.app)
    }

    /// The application.
    pub fn app(&self) -> &Scanner<ITEMS, LOCATIONS, C> {
        &self.app
    }

    /// The link.
    pub fn link(&self) -> &ScannerEnd {
        &self.link
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.store
    }

    #[cfg(test)]
    pub(crate) fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    /// Switches the device off: the store is what remains.
    pub fn into_store(self) -> S {
        self.store
    }

    fn apply(&mut self, now: Timestamp, event: Event<'_>, face: &mut impl Face) {
        let mut actions = Actions::new();
        self.app.step(now, event, &mut actions);
        self.carry_out(now, &actions, face);
    }

    /// By reference: actions are large, and a board's stack is not.
    fn carry_out(&mut self, now: Timestamp, actions: &Actions, face: &mut impl Face) {
        let mut failed = None;
        for action in actions {
            match action {
                Action::Store(intent) => {
                    if failed.is_none() && self.store.append(intent).is_err() {
                        failed = Some(intent.seq);
                    }
                }
                Action::Send(_) => {
                    let (link, mut sink) = self.parts(now, face);
                    link.stored(now, &mut sink);
                }
                Action::Release(seq) => self.store.release(*seq),
                Action::Show(answer) => face.show(answer),
                Action::Beep(level) => face.beep(*level),
            }
        }
        if let Some(seq) = failed {
            // The intents before it are durable or on their way. The application forgets this one and stores nothing
            // in answer, so that this ends here.
            self.apply(now, Event::StoreFailed(seq), face);
        }
    }

    fn parts<'a, F: Face>(
        &'a mut self,
        now: Timestamp,
        face: &'a mut F,
    ) -> (&'a mut ScannerEnd, Sink<'a, F, S, ITEMS, LOCATIONS, C>) {
        (&mut self.link, Sink { now, app: &mut self.app, store: &mut self.store, face })
    }
}

/// All but the link, for the link.
struct Sink<'a, F, S, const ITEMS: usize, const LOCATIONS: usize, C> {
    now: Timestamp,
    app: &'a mut Scanner<ITEMS, LOCATIONS, C>,
    store: &'a mut S,
    face: &'a mut F,
}

impl<F: Face, S: Store, const ITEMS: usize, const LOCATIONS: usize, C: BorrowMut<Catalogue<ITEMS, LOCATIONS>>>
    ScannerSink for Sink<'_, F, S, ITEMS, LOCATIONS, C>
{
    fn send(&mut self, octets: &[u8]) {
        self.face.send(octets);
    }

    fn standing(&mut self) -> Standing {
        let oldest = self.store.intent_from(0);
        self.app.standing(oldest.map_or(self.store.last_seq(), |intent| intent.seq.saturating_sub(1)))
    }

    fn intent_from(&mut self, seq: u32) -> Option<Intent> {
        let intent = self.store.intent_from(seq)?;
        // The link looks at the one beyond its window as well, and leaves it.
        if intent.seq - self.standing().answered <= WINDOW {
            self.face.sent(&intent);
        }
        Some(intent)
    }

    fn event(&mut self, event: ScannerEvent) {
        if let ScannerEvent::Answered { seq, verdict } = &event {
            self.face.answered(*seq, verdict);
        }
        let mut actions = Actions::new();
        self.app.step(self.now, Event::Link(event), &mut actions);
        for action in &actions {
            match action {
                Action::Release(seq) => self.store.release(*seq),
                Action::Show(answer) => self.face.show(answer),
                Action::Beep(level) => self.face.beep(*level),
                // What the link says makes no intent; and what is durable it fetches by itself.
                Action::Store(_) | Action::Send(_) => {}
            }
        }
    }
}
