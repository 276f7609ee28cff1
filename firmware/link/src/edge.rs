//! The edge's end.

use crate::channel::{Body, Channel, Counters, EnrolmentKey, Incoming, Side};
use crate::message::{Change, Feed, Greeting, Position, Random, ToEdge, ToScanner};
use crate::{FEED_WINDOW, RESEND_WAIT, SILENCE_MAX, Why};
use heapless::Deque;
use stowage_base::{Code, Duration, Intent, Timestamp, Verdict};

/// What the edge has from a device, as a session with it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The highest seq that is durable and answered.
    pub acked: u32,
    /// The highest seq that was taken from any connection so far and not refused: those after `acked` are being worked
    /// on and will be answered. At least `acked`.
    pub taken: u32,
}

/// What the edge's rest lends its end of a link: the same for every device and transport. Nothing here may wait.
pub trait EdgeSink {
    /// Octets for the scanner, in order; a whole frame at a time.
    fn send(&mut self, octets: &[u8]);
    /// The key of an enrolled device; `None` leaves a stranger without an answer. The name is not yet proved.
    fn key(&mut self, device: &Code) -> Option<EnrolmentKey>;
    /// The device has proved who it is. Any older connection of it ends before this returns.
    fn up(&mut self, device: &Code) -> Progress;
    /// The session is over, and was up before.
    fn down(&mut self, why: Why);
    /// The next intent: seqs rise by one from [`Progress::taken`], each comes once (again after a refusal).
    fn intent(&mut self, intent: Intent);
    /// An intent that was handed on before. To be answered (again): as at first or, if its content differs from the
    /// first one's, by saying so. The scanner has not seen the answer.
    fn repeated(&mut self, intent: Intent);
    /// The scanner has had answers for seqs that are unknown here, up to `answered`: the edge has lost them. It goes on
    /// behind them.
    fn lost(&mut self, acked: u32, answered: u32);
    /// The feed's epoch, from 1.
    fn epoch(&mut self, feed: Feed) -> u32;
    /// The feed's first change with a version after this one, with its version.
    fn change_after(&mut self, feed: Feed, version: u32) -> Option<(u32, Change)>;
}

/// The edge's end of one connection, without I/O. It holds no intent, verdict, item or task: it asks for them.
///
/// Driven like a reader session: [`connected`](Self::connected) when a scanner opened the transport, or for a serial
/// port at any time; [`receive`](Self::receive), [`answer`](Self::answer), [`refuse`](Self::refuse),
/// [`news`](Self::news), [`tick`](Self::tick); as soon as [`over`](Self::over) says why, or the transport is lost,
/// [`disconnected`](Self::disconnected).
pub struct EdgeEnd {
    channel: Channel,
    /// This connection's random, and how many hellos with a random of their own it has had.
    seed: Random,
    hellos: u32,
    heard_at: Timestamp,
    state: State,
}

enum State {
    Down,
    /// No hello yet.
    Listening,
    /// There is a key; the scanner has yet to use it.
    Keyed(Hello),
    Up(Hello, Up),
    Over(Why),
}

/// What was said in the clear.
#[derive(Clone)]
struct Hello {
    device: Code,
    theirs: Random,
    ours: Random,
}

struct Up {
    /// All up to here are answered.
    acked: u32,
    /// All up to here were handed on; at least `acked`.
    taken: u32,
    cursors: [Cursor; 2],
}

/// How far a scanner is with a feed.
struct Cursor {
    have: Position,
    /// Versions sent and not yet reported as taken in.
    under_way: Deque<u32, FEED_WINDOW>,
    /// Set while a reset or a change is under way.
    resend_at: Option<Timestamp>,
}

impl Default for EdgeEnd {
    fn default() -> Self {
        Self::new()
    }
}

impl EdgeEnd {
    /// An end that waits for a connection.
    pub fn new() -> Self {
        Self {
            channel: Channel::new(Side::Edge),
            seed: Random::default(),
            hellos: 0,
            heard_at: Timestamp::EPOCH,
            state: State::Down,
        }
    }

    /// The transport is open. `random` must never have been used before.
    pub fn connected(&mut self, now: Timestamp, random: Random) {
        self.channel.reset();
        (self.seed, self.hellos, self.heard_at, self.state) = (random, 0, now, State::Listening);
    }

    /// Octets arrived, in any chunking.
    pub fn receive(&mut self, now: Timestamp, octets: &[u8], sink: &mut impl EdgeSink) {
        for octet in octets {
            if matches!(self.state, State::Down | State::Over(_)) {
                return;
            }
            match self.channel.push(*octet) {
                Some(Incoming::Greeting(greeting)) => self.greeting(now, greeting, sink),
                Some(Incoming::Message(body)) => self.message(now, &body, sink),
                None => {}
            }
            if self.channel.broken() {
                self.end(Why::Forged, sink);
            }
        }
    }

    /// What the edge says to intent `seq`, once it and all before it are durable. Acknowledges them; may be called
    /// again with the same. Without a session it does nothing: the scanner asks again in the next one.
    pub fn answer(&mut self, seq: u32, verdict: &Verdict, sink: &mut impl EdgeSink) {
        let State::Up(_, up) = &mut self.state else { return };
        if seq <= up.taken {
            up.acked = up.acked.max(seq);
            let answer = ToScanner::Answer { seq, verdict: verdict.clone() };
            self.channel.seal(&answer, |octets| sink.send(octets));
        }
    }

    /// The edge can't record intent `seq` now: it and all that were handed on after it are void and come again, after
    /// `retry`. Without a session, or for one that was answered, it does nothing.
    pub fn refuse(&mut self, seq: u32, retry: Duration, sink: &mut impl EdgeSink) {
        let State::Up(_, up) = &mut self.state else { return };
        if up.acked < seq && seq <= up.taken {
            up.taken = seq - 1;
            let retry_ms = u32::try_from(retry.millis()).unwrap_or(0);
            self.channel.seal(&ToScanner::Refused { seq, retry_ms }, |octets| sink.send(octets));
        }
    }

    /// A feed has changes, or a new epoch.
    pub fn news(&mut self, now: Timestamp, sink: &mut impl EdgeSink) {
        if let State::Up(_, up) = &mut self.state {
            for feed in Feed::ALL {
                up.cursors[feed as usize].fill(now, feed, &mut self.channel, sink);
            }
        }
    }

    /// Time has passed; needed at [`next_deadline`](Self::next_deadline), harmless at any time.
    pub fn tick(&mut self, now: Timestamp, sink: &mut impl EdgeSink) {
        match &mut self.state {
            State::Down | State::Over(_) => return,
            State::Listening | State::Keyed(_) => {}
            State::Up(_, up) => {
                for feed in Feed::ALL {
                    let cursor = &mut up.cursors[feed as usize];
                    if cursor.resend_at.is_some_and(|at| at <= now) {
                        cursor.rewind();
                        cursor.fill(now, feed, &mut self.channel, sink);
                    }
                }
            }
        }
        if self.heard_at + SILENCE_MAX <= now {
            self.end(Why::Silent, sink);
        }
    }

    /// When to call [`tick`](Self::tick) if nothing arrives before; `None` while there is nothing to wait for.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let silent_at = self.heard_at + SILENCE_MAX;
        match &self.state {
            State::Down | State::Over(_) => None,
            State::Listening | State::Keyed(_) => Some(silent_at),
            State::Up(_, up) => up.cursors.iter().filter_map(|cursor| cursor.resend_at).chain([silent_at]).min(),
        }
    }

    /// The transport is gone, or closed after [`over`](Self::over).
    pub fn disconnected(&mut self, sink: &mut impl EdgeSink) {
        self.end(Why::Disconnected, sink);
        self.state = State::Down;
    }

    /// Why the session has given up this connection, if it has: close it.
    pub fn over(&self) -> Option<Why> {
        match self.state {
            State::Over(why) => Some(why),
            State::Down | State::Listening | State::Keyed(_) | State::Up(..) => None,
        }
    }

    /// The device, while a session with it is up.
    pub fn device(&self) -> Option<&Code> {
        match &self.state {
            State::Up(hello, _) => Some(&hello.device),
            State::Down | State::Listening | State::Keyed(_) | State::Over(_) => None,
        }
    }

    /// What was received and dropped, since [`new`](Self::new).
    pub fn counters(&self) -> Counters {
        self.channel.counters
    }

    #[cfg(test)]
    pub(crate) fn channel_mut(&mut self) -> &mut Channel {
        &mut self.channel
    }

    fn end(&mut self, why: Why, sink: &mut impl EdgeSink) {
        if matches!(self.state, State::Up(..)) {
            sink.down(why);
        }
        if !matches!(self.state, State::Over(_)) {
            self.state = State::Over(why);
        }
    }

    fn greeting(&mut self, now: Timestamp, greeting: Greeting, sink: &mut impl EdgeSink) {
        let Greeting::Hello { device, random: theirs } = greeting else { return };
        let hello = match &self.state {
            State::Keyed(hello) | State::Up(hello, _) if hello.device == device && hello.theirs == theirs => {
                hello.clone() // the same again: our welcome was lost
            }
            State::Down | State::Listening | State::Keyed(_) | State::Up(..) | State::Over(_) => {
                let Some(key) = sink.key(&device) else { return };
                // On a serial line a scanner may start anew without a disconnect.
                self.end(Why::Superseded, sink);
                let mut ours = self.seed;
                for (octet, count) in ours.iter_mut().zip(self.hellos.to_le_bytes()) {
                    *octet ^= count;
                }
                self.hellos = self.hellos.wrapping_add(1);
                self.channel.start(&key, &device, &theirs, &ours);
                self.heard_at = now;
                let hello = Hello { device, theirs, ours };
                self.state = State::Keyed(hello.clone());
                hello
            }
        };
        let welcome = Greeting::Welcome { random: hello.ours, to: hello.theirs };
        self.channel.greet(&welcome, |octets| sink.send(octets));
    }

    fn message(&mut self, now: Timestamp, body: &Body, sink: &mut impl EdgeSink) {
        self.heard_at = now;
        let Some(message) = postcard::from_bytes(body).ok().or_else(|| self.channel.unknown()) else { return };
        match (&mut self.state, message) {
            (State::Down | State::Listening | State::Over(_), _) => {}
            (State::Keyed(hello), ToEdge::Ready { answered, catalogue, tasks }) => {
                let Progress { mut acked, mut taken } = sink.up(&hello.device);
                if answered > acked {
                    sink.lost(acked, answered);
                    (acked, taken) = (answered, taken.max(answered));
                }
                self.channel.seal(&ToScanner::Resume { acked }, |octets| sink.send(octets));
                let cursors = [catalogue, tasks].map(Cursor::new);
                self.state = State::Up(hello.clone(), Up { acked, taken, cursors });
                self.news(now, sink);
            }
            (State::Keyed(_), ToEdge::Intent(_) | ToEdge::Have { .. } | ToEdge::Ping { .. }) => {}
            (State::Up(_, up), ToEdge::Ready { .. }) => {
                let resume = ToScanner::Resume { acked: up.acked };
                self.channel.seal(&resume, |octets| sink.send(octets));
            }
            (State::Up(_, up), ToEdge::Intent(intent)) => {
                // Up to `taken` the answer is under way, or was lost between core and link: the core knows. Past
                // `taken + 1` one before it was lost.
                if intent.seq <= up.taken {
                    sink.repeated(intent);
                } else if up.taken.checked_add(1) == Some(intent.seq) {
                    up.taken = intent.seq;
                    sink.intent(intent);
                }
            }
            (State::Up(_, up), ToEdge::Have { feed, position }) => {
                let cursor = &mut up.cursors[feed as usize];
                cursor.taken_in(now, position);
                cursor.fill(now, feed, &mut self.channel, sink);
            }
            (State::Up(..), ToEdge::Ping { at: echo }) => {
                self.channel.seal(&ToScanner::Pong { echo, at: now }, |octets| sink.send(octets));
            }
        }
    }
}

impl Cursor {
    fn new(have: Position) -> Self {
        Self { have, under_way: Deque::new(), resend_at: None }
    }

    fn rewind(&mut self) {
        self.under_way.clear();
        self.resend_at = None;
    }

    fn taken_in(&mut self, now: Timestamp, position: Position) {
        if position == self.have {
            return; // an update was lost on the way, or this is an old report: the resend settles it
        }
        self.have = position;
        while self.under_way.front().is_some_and(|version| *version <= position.version) {
            self.under_way.pop_front();
        }
        self.resend_at = (!self.under_way.is_empty()).then(|| now + RESEND_WAIT);
    }

    /// Sends what the window has room for.
    fn fill(&mut self, now: Timestamp, feed: Feed, channel: &mut Channel, sink: &mut impl EdgeSink) {
        let epoch = sink.epoch(feed);
        if self.have.epoch != epoch {
            if self.resend_at.is_none() || !self.under_way.is_empty() {
                self.under_way.clear();
                self.resend_at = Some(now + RESEND_WAIT);
                channel.seal(&ToScanner::Reset { feed, epoch }, |octets| sink.send(octets));
            }
            return;
        }
        while !self.under_way.is_full() {
            let after = self.under_way.back().copied().unwrap_or(self.have.version);
            let Some((version, change)) = sink.change_after(feed, after) else { break };
            let update = ToScanner::Update { feed, epoch, after, version, change };
            channel.seal(&update, |octets| sink.send(octets));
            self.resend_at.get_or_insert(now + RESEND_WAIT);
            let _ = self.under_way.push_back(version); // the loop's condition says that there is room
        }
    }
}
