//! The application: what a scan means, what the worker hears at once, and what is kept for the edge.

use crate::catalogue::Catalogue;
use crate::screen::pages;
use crate::tasks::Tasks;
use core::borrow::BorrowMut;
use heapless::{Deque, String, Vec};
use stowage_base::{
    Code, Duration, Epc, Intent, IntentBody, ItemRef, Language, Level, TextKey, Timestamp, Verdict, code,
};
use stowage_gs1::element::Reason;
use stowage_gs1::{Barcode, classify, digits, epc};
use stowage_link::{Alias, Change, Feed, Position, ScannerEvent, Standing};

/// Most items in hand: scanned, and waiting for their location.
pub const HANDS_MAX: usize = 4;

/// Most intents on their way into the store; a scan past it is answered with a stop.
pub const PENDING_MAX: usize = 8;

/// Most actions of one step: the stores of a full hand, or the beeps of all that was pending, and three more.
pub const ACTIONS_MAX: usize = PENDING_MAX + 4;

/// Quantities are 1 to this.
pub const QUANTITY_MAX: u32 = 1_000_000;

/// A tag that is heard again this soon, by what heard it last, is the same scan.
pub(crate) const REPEAT_WITHIN: Duration = Duration::from_secs(3);

/// How long an answer stays on the screen before the next thing to do takes its place.
pub const ANSWER_STAYS: Duration = Duration::from_secs(10);

/// How long a page of an answer stays, if the answer has more than one.
pub const PAGE_STAYS: Duration = Duration::from_secs(3);

/// What a scan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Goods came in: location and item, in any order.
    Receive,
    /// Into storage: location and item, in any order.
    PutAway,
    /// Where from (if told), item, where to.
    Move,
    /// Location and item, counted by scanning, by digits, or both; done with Enter or the next location or item.
    Count,
    /// The item is here: location and item, in any order. Settles tasks.
    See,
}

/// A key of the menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// From here on, scans mean this. What is in hand is put back.
    Mode(Mode),
    /// A digit, 0 to 9, of the next item's quantity.
    Digit(u8),
    /// The count is done.
    Enter,
    /// Takes back the digits, else the last item in hand, else the location, else a task of the scanner's own.
    Cancel,
    /// The next language.
    Language,
}

/// What happens to the scanner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A barcode, as the engine sends it: with symbology identifier and GS, if it can.
    Barcode(&'a str),
    /// A tag, as the RFID module reads it.
    Tag(Epc),
    /// A key.
    Key(Key),
    /// Someone else works with the scanner from here on. What is in hand is put back.
    Badge(Code),
    /// All intents up to this seq are in the store for good.
    Durable(u32),
    /// This intent, and those after it that aren't durable, could not be stored.
    StoreFailed(u32),
    /// The link says.
    Link(ScannerEvent),
    /// The battery has this many per cent left.
    Battery(u8),
}

/// What the scanner's rest is to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "without a heap nothing can be boxed")]
pub enum Action {
    /// Keep this; then say [`Event::Durable`].
    Store(Intent),
    /// The store has durable intents up to here: tell the link.
    Send(u32),
    /// The edge has everything up to here: let it leave the store.
    Release(u32),
    /// The worker is told this.
    Show(Verdict),
    /// The sound of this level.
    Beep(Level),
}

/// The actions of one step.
pub type Actions = Vec<Action, ACTIONS_MAX>;

/// What a scanner begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The worker's badge.
    pub worker: Code,
    /// The worker's language.
    pub language: Language,
    /// Most intents that the store keeps.
    pub capacity: u32,
    /// How many it keeps now.
    pub kept: u32,
    /// The last seq that it ever kept.
    pub last_seq: u32,
}

/// An item in hand.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    item: ItemRef,
    /// What people call it.
    name: Code,
    quantity: u32,
    /// One thing by itself, not so many of a kind: a tag, a serial number, a handling unit.
    single: bool,
    /// The catalogue has items, but not this one.
    unknown: bool,
}

/// An accepted intent that is not yet durable, and what will then be said.
#[derive(Debug, Clone)]
struct Pending {
    seq: u32,
    quantity: u32,
    name: Code,
    unknown: bool,
    /// The last of its scan: it beeps.
    last: bool,
}

enum Scanned<'a> {
    Location(Code),
    Item(Held, Quantity),
    Refused(TextKey, &'a str),
}

/// How many the code itself says.
type Quantity = Option<u32>;

/// The scanner application, without I/O: knows up to `ITEMS` aliases and `LOCATIONS` locations.
///
/// - Each scan is answered in the step that it comes in, but for the "ok" of an accepted one: that waits for
///   [`Event::Durable`]. What was answered with "ok" can't be lost, and what is lost was not.
/// - Intents are numbered without gaps. They are kept until the edge's own answer; if that is worse than what the
///   worker heard, it is shown and beeped, and a stop stays as a task.
/// - A location scanned first stays for all items that follow, until the next location. A location scanned after items
///   is for these alone.
/// - A location is told from an item by the catalogue: a label that is the bare code of a known location is one. An
///   unknown code goes on as an item, for the edge to judge; where a location is wanted it is refused.
pub struct Scanner<const ITEMS: usize, const LOCATIONS: usize, C = Catalogue<ITEMS, LOCATIONS>> {
    worker: Code,
    language: Language,
    mode: Mode,
    catalogue: C,
    tasks: Tasks,
    positions: [Position; 2],
    location: Option<Code>,
    hands: Vec<Held, HANDS_MAX>,
    digits: Option<u32>,
    capacity: u32,
    kept: u32,
    next_seq: u32,
    pending: Deque<Pending, PENDING_MAX>,
    /// Seqs that were answered with a warning, the youngest ones.
    warned: Deque<u32, 16>,
    /// The last accepted act on a single thing: its repeat is not another act.
    last_single: Option<(u32, IntentBody, Timestamp)>,
    answer: Verdict,
    /// When the answer has stood long enough; `None` once it has made way.
    idle_at: Option<Timestamp>,
    /// Which page of the answer is on the screen, and when the next one is, if it has more than one.
    page: usize,
    turn_at: Option<Timestamp>,
    linked: bool,
    /// The edge has asked to keep intents, and the worker knows it.
    refusing: bool,
    /// Added to the device's clock it is the edge's time.
    offset: Duration,
    battery: Option<u8>,
}

impl<const ITEMS: usize, const LOCATIONS: usize, C: BorrowMut<Catalogue<ITEMS, LOCATIONS>>>
    Scanner<ITEMS, LOCATIONS, C>
{
    /// The application as it starts on a store: a restart needs nothing else. The catalogue, an empty one, may be lent:
    /// it is most of the application, and a board has no room for it twice.
    pub fn new(config: Config, catalogue: C) -> Self {
        let Config { worker, language, capacity, kept, last_seq } = config;
        Self {
            worker,
            language,
            mode: Mode::PutAway,
            catalogue,
            tasks: Tasks::default(),
            positions: Default::default(),
            location: None,
            hands: Vec::new(),
            digits: None,
            capacity,
            kept,
            next_seq: last_seq.saturating_add(1),
            pending: Deque::new(),
            warned: Deque::new(),
            last_single: None,
            answer: Verdict::new(Level::Ok, TextKey::ScanAny, &[]),
            idle_at: None,
            page: 0,
            turn_at: None,
            linked: false,
            refusing: false,
            offset: Duration::ZERO,
            battery: None,
        }
    }

    /// Takes one event at `now` by the device's own clock, and appends what is to be done.
    pub fn step(&mut self, now: Timestamp, event: Event<'_>, actions: &mut Actions) {
        match event {
            Event::Barcode(text) => match self.scanned(text) {
                Scanned::Location(at) => self.location(now, at, actions),
                Scanned::Item(held, quantity) => self.item(now, held, quantity, actions),
                Scanned::Refused(key, what) => self.say(now, Level::Stop, key, &[what], actions),
            },
            Event::Tag(tag) => {
                let held = self.tagged(tag);
                self.item(now, held, None, actions);
            }
            Event::Key(key) => self.key(now, key, actions),
            Event::Badge(worker) => {
                self.put_back();
                self.last_single = None;
                self.worker = worker;
                self.prompt(now, actions);
            }
            Event::Durable(seq) => self.durable(now, seq, actions),
            Event::StoreFailed(seq) => {
                let before = self.pending.len();
                self.pending.retain(|pending| pending.seq < seq);
                let failed = (before - self.pending.len()) as u32;
                if failed > 0 {
                    self.kept = self.kept.saturating_sub(failed);
                    self.next_seq = seq;
                    self.last_single = None;
                    self.say(now, Level::Stop, TextKey::StoreFull, &[], actions);
                }
            }
            Event::Link(event) => self.link(now, event, actions),
            Event::Battery(percent) => self.battery = Some(percent.min(100)),
        }
    }

    /// Time has passed: a page turns; an answer that has stood long enough makes way for the next thing to do.
    pub fn tick(&mut self, now: Timestamp, actions: &mut Actions) {
        if self.turn_at.is_some_and(|at| at <= now) {
            self.page += 1;
            self.turn_at = Some(now + PAGE_STAYS);
        }
        if self.idle_at.is_some_and(|at| at <= now) {
            self.prompt(now, actions);
            self.idle_at = None;
        }
    }

    /// When to call [`tick`](Self::tick) if nothing happens before; `None`: never.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.idle_at.into_iter().chain(self.turn_at).min()
    }

    /// Which page of the answer is to be seen; the screen counts around.
    pub fn page(&self) -> usize {
        self.page
    }

    /// What was said last.
    pub fn answer(&self) -> &Verdict {
        &self.answer
    }

    /// The worker's language.
    pub fn language(&self) -> Language {
        self.language
    }

    /// What scans are for.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The digits of the next item's quantity.
    pub fn digits(&self) -> Option<u32> {
        self.digits
    }

    /// How many intents are kept for the edge.
    pub fn kept(&self) -> u32 {
        self.kept
    }

    /// Whether the link is up.
    pub fn linked(&self) -> bool {
        self.linked
    }

    /// Per cent of the battery left, if known.
    pub fn battery(&self) -> Option<u8> {
        self.battery
    }

    /// What the worker is asked to do, first things first.
    pub fn tasks(&self) -> impl Iterator<Item = (TextKey, &[Code])> {
        self.tasks.iter()
    }

    /// What the scanner knows of the site.
    pub fn catalogue(&self) -> &Catalogue<ITEMS, LOCATIONS> {
        self.catalogue.borrow()
    }

    /// Where the scanner stands, for the link; `answered` is the store's to say.
    pub fn standing(&self, answered: u32) -> Standing {
        Standing { answered, catalogue: self.positions[0], tasks: self.positions[1] }
    }

    /// What `text` is: a location, an item, or why neither.
    fn scanned<'a>(&self, text: &'a str) -> Scanned<'a> {
        let bare = text.trim();
        if let Some(at) = self.catalogue().location(bare) {
            return Scanned::Location(at.clone());
        }
        let barcode = match classify(bare) {
            // The site's own word for it goes before what its digits may mean.
            _ if code(bare).is_some_and(|own| self.known(own)) => Barcode::Other(bare),
            // "2112" is a serial number by accident only.
            Ok(Barcode::Gs1(elements)) if elements.scan().item().is_none() && claims_nothing(bare) => {
                Barcode::Other(bare)
            }
            Ok(barcode) => barcode,
            Err(error) if matches!(error.reason, Reason::CheckDigit { .. }) => {
                return Scanned::Refused(TextKey::CheckDigit, bare);
            }
            Err(_) => return Scanned::Refused(TextKey::Unreadable, bare),
        };
        let mut count = None;
        match barcode {
            Barcode::Gs1(elements) => count = elements.scan().count,
            Barcode::Gtin { .. } | Barcode::Sscc(_) => {}
            Barcode::Other(own) => {
                if let Some(at) = self.catalogue().location(own) {
                    return Scanned::Location(at.clone());
                }
                let known = code(own).is_some_and(|own| self.known(own));
                if !known && spoilt_key(own) {
                    return Scanned::Refused(TextKey::CheckDigit, own);
                }
                if !known && self.wants_location() {
                    return Scanned::Refused(TextKey::UnknownLocation, own);
                }
            }
        }
        let Some(item) = barcode.item() else { return Scanned::Refused(TextKey::Unreadable, bare) };
        let (alias, name, single) = match &item {
            ItemRef::Epc(tag) => return Scanned::Item(self.tagged(*tag), None),
            ItemRef::Gtin { gtin, serial, .. } => (Some(Alias::Gtin(*gtin)), digits_of(*gtin, 14), serial.is_some()),
            ItemRef::Sscc(sscc) => (None, digits_of(*sscc, 18), true),
            ItemRef::Code(own) => (Some(Alias::Code(own.clone())), own.clone(), false),
        };
        let known = alias.as_ref().and_then(|alias| self.catalogue().item(alias));
        if !single && known.is_some_and(|known| known.serialised) {
            return Scanned::Refused(TextKey::SerialNeedsTag, bare);
        }
        let unknown = alias.is_some() && known.is_none() && !self.catalogue().no_items();
        let name = known.map_or(name, |known| known.item.clone());
        Scanned::Item(Held { item, name, quantity: 1, single, unknown }, count)
    }

    fn tagged(&self, tag: Epc) -> Held {
        let alias = epc::gtin(&tag).map(Alias::Gtin);
        let known = alias.as_ref().and_then(|alias| self.catalogue().item(alias));
        let unknown = alias.is_some() && known.is_none() && !self.catalogue().no_items();
        let name = known.map_or_else(|| print(format_args!("{tag}")), |known| known.item.clone());
        Held { item: ItemRef::Epc(tag), name, quantity: 1, single: true, unknown }
    }

    /// Whether `own` can only be an item: the catalogue or the worker's hand has it.
    fn known(&self, own: Code) -> bool {
        let in_hand = self.hands.iter().any(|held| matches!(&held.item, ItemRef::Code(code) if *code == own));
        in_hand || self.catalogue().item(&Alias::Code(own)).is_some()
    }

    /// Whether an unknown code is rather a location than an item.
    fn wants_location(&self) -> bool {
        !self.hands.is_empty() && (self.location.is_none() || self.mode == Mode::Move)
    }

    fn location(&mut self, now: Timestamp, at: Code, actions: &mut Actions) {
        let said = actions.len();
        // What was counted lies where the count began.
        if self.mode == Mode::Count && !self.finish_count(now, actions) {
            return;
        }
        if self.hands.is_empty() {
            if actions.len() == said {
                self.say(now, Level::Ok, TextKey::ScanItem, &[&at], actions);
            }
            self.location = Some(at);
            self.last_single = None;
        } else {
            let from = self.location.clone().filter(|_| self.mode == Mode::Move);
            if self.accept(now, from, &at, actions) {
                self.location = None;
            }
        }
    }

    fn item(&mut self, now: Timestamp, mut held: Held, says: Quantity, actions: &mut Actions) {
        let typed = self.digits.take();
        held.quantity = typed.or(says.filter(|_| !held.single)).unwrap_or(1);
        let most = if held.single { 1 } else { QUANTITY_MAX };
        if !(1..=most).contains(&held.quantity) {
            return self.out_of_range(now, most, actions);
        }
        match (self.mode, self.location.clone()) {
            (Mode::Count, at) if !held.single => self.count(now, held, at.is_some(), actions),
            (Mode::Receive | Mode::PutAway | Mode::Count | Mode::See, Some(at)) => {
                if self.mode == Mode::Count && !self.finish_count(now, actions) {
                    return;
                }
                let single = held.single;
                let body = self.body(&held, None, &at);
                match &mut self.last_single {
                    // A tag answers as often as it is asked.
                    Some((seq, last, heard)) if single && *last == body && now - *heard <= REPEAT_WITHIN => {
                        *heard = now;
                        let seq = *seq;
                        if self.pending.iter().all(|pending| pending.seq != seq) {
                            let (level, key) = self.kept_words(held.unknown);
                            self.say_kept(now, level, key, held.quantity, &held.name, actions);
                        }
                    }
                    Some(_) | None => {
                        self.hands.clear();
                        let _ = self.hands.push(held); // just emptied
                        if !self.accept(now, None, &at, actions) {
                            self.hands.clear(); // the answer was a stop: scan again
                        }
                    }
                }
            }
            (Mode::Move, _) | (Mode::Receive | Mode::PutAway | Mode::Count | Mode::See, None) => {
                let again = held.single && self.hands.iter().any(|other| other.item == held.item);
                let name = held.name.clone();
                let level = if again || self.hands.push(held).is_ok() { Level::Ok } else { Level::Stop };
                self.say(now, level, TextKey::ScanLocation, &[&name], actions);
            }
        }
    }

    /// One more scan of a count.
    fn count(&mut self, now: Timestamp, held: Held, located: bool, actions: &mut Actions) {
        if let Some(first) = self.hands.first_mut().filter(|first| first.item == held.item) {
            let sum = first.quantity.saturating_add(held.quantity);
            if sum > QUANTITY_MAX {
                return self.out_of_range(now, QUANTITY_MAX, actions);
            }
            first.quantity = sum;
        } else if !located && let Some(first) = self.hands.first() {
            // The other item's count has no location yet; this one is not taken.
            let name = first.name.clone();
            return self.say(now, Level::Stop, TextKey::ScanLocation, &[&name], actions);
        } else {
            if !self.finish_count(now, actions) {
                return;
            }
            let _ = self.hands.push(held); // the count before it left them empty
        }
        if let Some(Held { quantity, name, .. }) = self.hands.first().cloned() {
            let quantity = print(format_args!("{quantity}"));
            self.say(now, Level::Ok, TextKey::Counting, &[&quantity, &name], actions);
        }
    }

    /// Accepts what is being counted at the sticky location, if anything is. False: it was refused, and said so.
    fn finish_count(&mut self, now: Timestamp, actions: &mut Actions) -> bool {
        let Some(at) = self.location.clone() else { return true };
        self.hands.is_empty() || self.accept(now, None, &at, actions)
    }

    /// Makes intents of what is in hand and empties it. False: there is no room for all of them, and the worker heard.
    fn accept(&mut self, now: Timestamp, from: Option<Code>, at: &Code, actions: &mut Actions) -> bool {
        let count = self.hands.len();
        let room = self.capacity.saturating_sub(self.kept) as usize;
        if room.min(PENDING_MAX - self.pending.len()) < count || self.next_seq.checked_add(count as u32).is_none() {
            self.say(now, Level::Stop, TextKey::StoreFull, &[], actions);
            return false;
        }
        for (index, held) in core::mem::take(&mut self.hands).into_iter().enumerate() {
            let seq = self.next_seq;
            let body = self.body(&held, from.clone(), at);
            self.last_single = held.single.then(|| (seq, body.clone(), now));
            self.next_seq += 1;
            self.kept += 1;
            let Held { quantity, name, unknown, .. } = held;
            let _ = self.pending.push_back(Pending { seq, quantity, name, unknown, last: index + 1 == count });
            let intent = Intent { seq, at: now + self.offset, worker: self.worker.clone(), body };
            act(actions, Action::Store(intent));
        }
        true
    }

    fn body(&self, held: &Held, from: Option<Code>, at: &Code) -> IntentBody {
        let (item, quantity, at) = (held.item.clone(), held.quantity, at.clone());
        match self.mode {
            Mode::Receive => IntentBody::Receive { item, quantity, at },
            Mode::PutAway => IntentBody::PutAway { item, quantity, to: at },
            Mode::Move => IntentBody::Move { item, quantity, from, to: at },
            Mode::Count => IntentBody::Count { item, quantity, at },
            Mode::See => IntentBody::See { item, at },
        }
    }

    fn key(&mut self, now: Timestamp, key: Key, actions: &mut Actions) {
        let said = actions.len();
        match key {
            Key::Mode(mode) => {
                if self.mode == Mode::Count && !self.finish_count(now, actions) {
                    return;
                }
                self.put_back();
                self.last_single = None;
                self.mode = mode;
            }
            Key::Digit(digit) => {
                let quantity = self.digits.unwrap_or(0) * 10 + u32::from(digit.min(9));
                if quantity > QUANTITY_MAX {
                    self.digits = None;
                    self.out_of_range(now, QUANTITY_MAX, actions);
                } else {
                    self.digits = Some(quantity);
                }
                return; // the digits themselves are the answer
            }
            Key::Enter => {
                if self.mode == Mode::Count && !self.finish_count(now, actions) {
                    return;
                }
            }
            Key::Cancel => {
                let _ = self.digits.take().is_some()
                    || self.hands.pop().is_some()
                    || self.location.take().is_some()
                    || self.tasks.dismiss();
            }
            Key::Language => {
                self.language = match self.language {
                    Language::English => Language::Chinese,
                    Language::Chinese => Language::Spanish,
                    Language::Spanish => Language::German,
                    Language::German => Language::English,
                }
            }
        }
        if actions.len() == said {
            self.prompt(now, actions);
        }
    }

    fn put_back(&mut self) {
        self.hands.clear();
        self.digits = None;
        self.location = None;
    }

    fn durable(&mut self, now: Timestamp, seq: u32, actions: &mut Actions) {
        let mut last = None;
        while self.pending.front().is_some_and(|pending| pending.seq <= seq) {
            let Some(pending) = self.pending.pop_front() else { break };
            let (level, key) = self.kept_words(pending.unknown);
            if level == Level::Warn {
                if self.warned.is_full() {
                    self.warned.pop_front();
                }
                let _ = self.warned.push_back(pending.seq); // there is room now
            }
            if pending.last {
                act(actions, Action::Beep(level));
            }
            last = Some((level, key, pending));
        }
        if let Some((level, key, Pending { quantity, name, seq, .. })) = last {
            self.show_kept(now, level, key, quantity, &name, actions);
            if self.linked {
                act(actions, Action::Send(seq));
            }
        }
    }

    fn link(&mut self, now: Timestamp, event: ScannerEvent, actions: &mut Actions) {
        match event {
            ScannerEvent::Up { acked } => {
                self.linked = true;
                self.next_seq = self.next_seq.max(acked.saturating_add(1));
            }
            ScannerEvent::Down(_) => self.linked = false,
            ScannerEvent::Time { at, .. } => self.offset = at - now,
            ScannerEvent::Answered { seq, verdict } => self.answered(now, seq, verdict, actions),
            ScannerEvent::Refused { .. } => {
                if !self.refusing {
                    self.refusing = true;
                    self.say(now, Level::Warn, TextKey::KeepForLater, &[], actions);
                }
            }
            ScannerEvent::Cleared(feed) => {
                self.positions[feed as usize] = Position::default();
                match feed {
                    Feed::Catalogue => self.catalogue.borrow_mut().clear(),
                    Feed::Tasks => self.tasks.clear(),
                }
            }
            ScannerEvent::Changed { feed, position, change } => {
                self.positions[feed as usize] = position;
                self.change(now, change, actions);
            }
        }
    }

    fn answered(&mut self, now: Timestamp, seq: u32, verdict: Verdict, actions: &mut Actions) {
        self.refusing = false;
        self.kept = self.kept.saturating_sub(1);
        act(actions, Action::Release(seq));
        let heard = if self.warned.iter().any(|warned| *warned == seq) { Level::Warn } else { Level::Ok };
        self.warned.retain(|warned| *warned > seq);
        if verdict.level == Level::Stop {
            self.last_single = None; // a second try is one
            self.tasks.keep(&verdict);
        }
        if verdict.level != heard && verdict.level != Level::Ok {
            act(actions, Action::Beep(verdict.level));
            self.show(now, verdict, actions);
        } else if self.hands.is_empty() && self.digits.is_none() && seq.checked_add(1) == Some(self.next_seq) {
            self.show(now, verdict, actions); // the better words, for who is still looking
        }
    }

    fn change(&mut self, now: Timestamp, change: Change, actions: &mut Actions) {
        match change {
            Change::Item(item) => self.catalogue.borrow_mut().put(item),
            Change::ItemGone(alias) => self.catalogue.borrow_mut().remove(&alias),
            Change::Location(code) => self.catalogue.borrow_mut().put_location(code),
            Change::LocationGone(code) => self.catalogue.borrow_mut().remove_location(&code),
            Change::Task(task) => {
                let verdict = Verdict { level: Level::Warn, key: task.key, args: task.args.clone() };
                // Who is in the middle of something is told afterwards.
                if self.tasks.put(task) && self.hands.is_empty() && self.location.is_none() && self.digits.is_none() {
                    act(actions, Action::Beep(Level::Warn));
                    self.show(now, verdict, actions);
                }
            }
            Change::TaskGone(id) => self.tasks.remove(id),
        }
    }

    /// Says what to do next; no beep, as nothing happened.
    fn prompt(&mut self, now: Timestamp, actions: &mut Actions) {
        let verdict = match (self.hands.last(), &self.location, self.tasks.iter().next()) {
            (Some(held), _, _) if self.mode == Mode::Count => {
                Verdict::new(Level::Ok, TextKey::Counting, &[&print(format_args!("{}", held.quantity)), &held.name])
            }
            (Some(held), _, _) => Verdict::new(Level::Ok, TextKey::ScanLocation, &[&held.name]),
            (None, Some(at), _) => Verdict::new(Level::Ok, TextKey::ScanItem, &[at]),
            (None, None, Some((key, args))) => {
                Verdict { level: Level::Warn, key, args: args.iter().take(4).cloned().collect() }
            }
            (None, None, None) => Verdict::new(Level::Ok, TextKey::ScanAny, &[]),
        };
        self.show(now, verdict, actions);
    }

    fn kept_words(&self, unknown: bool) -> (Level, TextKey) {
        match (self.linked, unknown) {
            (true, _) => (Level::Ok, TextKey::Kept),
            (false, false) => (Level::Ok, TextKey::KeptOffline),
            // Kept all the same; but the edge can't say so before the goods have gone on.
            (false, true) => (Level::Warn, TextKey::UnknownCode),
        }
    }

    fn say_kept(
        &mut self,
        now: Timestamp,
        level: Level,
        key: TextKey,
        quantity: u32,
        name: &Code,
        actions: &mut Actions,
    ) {
        act(actions, Action::Beep(level));
        self.show_kept(now, level, key, quantity, name, actions);
    }

    fn show_kept(
        &mut self,
        now: Timestamp,
        level: Level,
        key: TextKey,
        quantity: u32,
        name: &Code,
        actions: &mut Actions,
    ) {
        let quantity = print(format_args!("{quantity}"));
        let args: &[&str] = if key == TextKey::UnknownCode { &[name] } else { &[&quantity, name] };
        self.show(now, Verdict::new(level, key, args), actions);
    }

    fn out_of_range(&mut self, now: Timestamp, most: u32, actions: &mut Actions) {
        self.say(now, Level::Stop, TextKey::QuantityOutOfRange, &["1", &print(format_args!("{most}"))], actions);
    }

    fn say(&mut self, now: Timestamp, level: Level, key: TextKey, args: &[&str], actions: &mut Actions) {
        act(actions, Action::Beep(level));
        self.show(now, Verdict::new(level, key, args), actions);
    }

    fn show(&mut self, now: Timestamp, verdict: Verdict, actions: &mut Actions) {
        self.idle_at = Some(now + ANSWER_STAYS);
        self.answer = verdict.clone();
        self.page = 0;
        self.turn_at = (pages(&self.answer, self.language) > 1).then_some(now + PAGE_STAYS);
        act(actions, Action::Show(verdict));
    }
}

/// Whether a text makes no claim to be GS1 data: it has no FNC1, bracket or symbology identifier, and is no URI.
fn claims_nothing(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit()) && !text.contains(['^', '\u{1D}'])
}

/// Digits that have a GS1 key's length, but a wrong check digit.
fn spoilt_key(text: &str) -> bool {
    matches!(text.len(), 8 | 12..=14 | 18)
        && digits::number(text.as_bytes()).is_some_and(|key| !digits::check_digit_holds(key))
}

fn digits_of(key: u64, len: usize) -> Code {
    print(format_args!("{key:0len$}"))
}

/// What fits a code of `text`.
fn print(text: core::fmt::Arguments<'_>) -> Code {
    let mut long = String::<{ 2 * stowage_base::epc::LEN_MAX }>::new();
    let _ = core::fmt::write(&mut long, text); // an EPC's hex is the longest
    long.truncate(long.len().min(stowage_base::CODE_LEN_MAX));
    code(&long).unwrap_or_default()
}

/// One more action; [`ACTIONS_MAX`] is more than any step makes (tested), so none is lost.
fn act(actions: &mut Actions, action: Action) {
    let pushed = actions.push(action);
    debug_assert!(pushed.is_ok(), "a step made more than {ACTIONS_MAX} actions");
}
