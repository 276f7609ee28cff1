//! The scanner's end.

use crate::channel::{Body, Channel, Counters, EnrolmentKey, Incoming, Side};
use crate::message::{Change, Feed, Greeting, Position, Random, ToEdge, ToScanner};
use crate::{GREETING_WAIT, PING_EVERY, RESEND_WAIT, RESEND_WAIT_MAX, SILENCE_MAX, WINDOW, Why};
use stowage_base::{Code, Duration, Intent, Timestamp, Verdict};

/// Where a scanner stands as a session begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// The highest seq for which the edge's answer was seen, and all before it: the oldest stored intent is the next.
    pub answered: u32,
    /// How much of the catalogue is here.
    pub catalogue: Position,
    /// How much of the task list is here.
    pub tasks: Position,
}

/// What the link tells the scanner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScannerEvent {
    /// The session is up. The edge has answered every seq up to `acked`: a scanner that has lost its memory must not
    /// use them again.
    Up {
        /// The edge's cumulative acknowledgement.
        acked: u32,
    },
    /// The session is over, and was up before.
    Down(Why),
    /// It is `at` by the edge's clock, give or take `error`.
    Time {
        /// The edge's time, now.
        at: Timestamp,
        /// Half the round trip.
        error: Duration,
    },
    /// The edge has this intent durable: it may leave the store. Comes once for each, in order of seq.
    Answered {
        /// Which.
        seq: u32,
        /// What the edge says to it.
        verdict: Verdict,
    },
    /// The edge can't record this intent now: it stays in the store and is sent again by itself.
    Refused {
        /// Which; those after it wait too.
        seq: u32,
    },
    /// All of a feed is void; its changes follow from the first.
    Cleared(Feed),
    /// The next change of a feed. Reported back to the edge as taken in.
    Changed {
        /// Which feed; told apart from the change for the sake of [`Standing`].
        feed: Feed,
        /// Where the feed stands with it.
        position: Position,
        /// What changed.
        change: Change,
    },
}

/// What the scanner lends its end of the link. Nothing here may wait.
pub trait ScannerSink {
    /// Octets for the edge, in order; a whole frame at a time.
    fn send(&mut self, octets: &[u8]);
    /// Where the scanner stands.
    fn standing(&mut self) -> Standing;
    /// The oldest durable intent in the store with this seq or a later one.
    fn intent_from(&mut self, seq: u32) -> Option<Intent>;
    /// Something happened.
    fn event(&mut self, event: ScannerEvent);
}

/// The scanner's end of the link, without I/O. It holds no intent: it fetches them from the store as the window opens,
/// so that a resend, a reconnect and a restart are the same thing.
///
/// Driven like a reader session: [`connected`](Self::connected) when the transport is open, or for a serial port at any
/// time; [`receive`](Self::receive), [`stored`](Self::stored), [`tick`](Self::tick); as soon as [`over`](Self::over)
/// says why, or the transport is lost, [`disconnected`](Self::disconnected) and, after a pause, anew.
pub struct ScannerEnd {
    device: Code,
    key: EnrolmentKey,
    channel: Channel,
    state: State,
}

enum State {
    Down,
    /// Hello is out. No give-up: the edge may be switched off for hours.
    Greeting {
        random: Random,
        resend_at: Timestamp,
    },
    /// There is a key; Ready is out.
    Keyed {
        resend_at: Timestamp,
        heard_at: Timestamp,
    },
    Up(Up),
    Over(Why),
}

struct Up {
    heard_at: Timestamp,
    ping_at: Timestamp,
    /// All up to here are answered.
    answered: u32,
    /// All up to here are sent, or answered; `answered` to `answered + WINDOW`.
    sent: u32,
    /// When the oldest unanswered intent is sent again; set while there is one.
    resend_at: Option<Timestamp>,
    resend_wait: Duration,
    /// The edge has asked for a pause in intents.
    hold_until: Option<Timestamp>,
    positions: [Position; 2],
}

impl ScannerEnd {
    /// The end of `device` (its name at enrolment), with the key it shares with the edge.
    pub fn new(device: Code, key: EnrolmentKey) -> Self {
        Self { device, key, channel: Channel::new(Side::Scanner), state: State::Down }
    }

    /// The transport is open. `random` must never have been used before: from a generator, or from a seed and a boot
    /// counter.
    pub fn connected(&mut self, now: Timestamp, random: Random, sink: &mut impl ScannerSink) {
        self.channel.reset();
        // What the line holds from before is closed, lest it spoil the hello.
        sink.send(&[0]);
        self.hello(now, random, sink);
    }

    /// Octets arrived, in any chunking.
    pub fn receive(&mut self, now: Timestamp, octets: &[u8], sink: &mut impl ScannerSink) {
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

    /// The store has more durable intents than before.
    pub fn stored(&mut self, now: Timestamp, sink: &mut impl ScannerSink) {
        if let State::Up(up) = &mut self.state {
            up.fill(now, &mut self.channel, sink);
        }
    }

    /// Time has passed; needed at [`next_deadline`](Self::next_deadline), harmless at any time.
    pub fn tick(&mut self, now: Timestamp, sink: &mut impl ScannerSink) {
        match &mut self.state {
            State::Down | State::Over(_) => {}
            State::Greeting { random, resend_at } => {
                if *resend_at <= now {
                    let random = *random;
                    self.hello(now, random, sink);
                }
            }
            State::Keyed { heard_at, .. } if *heard_at + SILENCE_MAX <= now => self.end(Why::Silent, sink),
            State::Keyed { resend_at, .. } => {
                if *resend_at <= now {
                    *resend_at = now + GREETING_WAIT;
                    self.ready(sink);
                }
            }
            State::Up(up) if up.heard_at + SILENCE_MAX <= now => self.end(Why::Silent, sink),
            State::Up(up) => up.tick(now, &mut self.channel, sink),
        }
    }

    /// When to call [`tick`](Self::tick) if nothing arrives before; `None` while there is nothing to wait for.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match &self.state {
            State::Down | State::Over(_) => None,
            State::Greeting { resend_at, .. } => Some(*resend_at),
            State::Keyed { resend_at, heard_at } => Some((*heard_at + SILENCE_MAX).min(*resend_at)),
            State::Up(up) => [up.resend_at, up.hold_until, Some(up.ping_at), Some(up.heard_at + SILENCE_MAX)]
                .into_iter()
                .flatten()
                .min(),
        }
    }

    /// The transport is gone, or closed after [`over`](Self::over).
    pub fn disconnected(&mut self, sink: &mut impl ScannerSink) {
        self.end(Why::Disconnected, sink);
        self.state = State::Down;
    }

    /// Why the session has given up this connection, if it has: close it.
    pub fn over(&self) -> Option<Why> {
        match self.state {
            State::Over(why) => Some(why),
            State::Down | State::Greeting { .. } | State::Keyed { .. } | State::Up(_) => None,
        }
    }

    /// Whether a session is up.
    pub fn up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// What was received and dropped, since [`new`](Self::new).
    pub fn counters(&self) -> Counters {
        self.channel.counters
    }

    #[cfg(test)]
    pub(crate) fn channel_mut(&mut self) -> &mut Channel {
        &mut self.channel
    }

    fn end(&mut self, why: Why, sink: &mut impl ScannerSink) {
        if matches!(self.state, State::Up(_)) {
            sink.event(ScannerEvent::Down(why));
        }
        if !matches!(self.state, State::Over(_)) {
            self.state = State::Over(why);
        }
    }

    fn hello(&mut self, now: Timestamp, random: Random, sink: &mut impl ScannerSink) {
        self.state = State::Greeting { random, resend_at: now + GREETING_WAIT };
        let hello = Greeting::Hello { device: self.device.clone(), random };
        self.channel.greet(&hello, |octets| sink.send(octets));
    }

    fn ready(&mut self, sink: &mut impl ScannerSink) {
        let Standing { answered, catalogue, tasks } = sink.standing();
        let ready = ToEdge::Ready { answered, catalogue, tasks };
        self.channel.seal(&ready, |octets| sink.send(octets));
    }

    fn greeting(&mut self, now: Timestamp, greeting: Greeting, sink: &mut impl ScannerSink) {
        // Any other greeting is a repeat, or an old one from some buffer.
        if let (State::Greeting { random, .. }, Greeting::Welcome { random: edge, to }) = (&self.state, greeting)
            && *random == to
        {
            self.channel.start(&self.key, &self.device, random, &edge);
            self.state = State::Keyed { resend_at: now + GREETING_WAIT, heard_at: now };
            self.ready(sink);
        }
    }

    fn message(&mut self, now: Timestamp, body: &Body, sink: &mut impl ScannerSink) {
        let message = postcard::from_bytes::<ToScanner>(body).ok().or_else(|| self.channel.unknown());
        match (&mut self.state, message) {
            (State::Down | State::Greeting { .. } | State::Over(_), _) => {}
            (State::Keyed { .. }, Some(ToScanner::Resume { acked })) => {
                let Standing { answered, catalogue, tasks } = sink.standing();
                let mut up = Up {
                    heard_at: now,
                    ping_at: now,
                    answered,
                    sent: answered,
                    resend_at: None,
                    resend_wait: RESEND_WAIT,
                    hold_until: None,
                    positions: [catalogue, tasks],
                };
                sink.event(ScannerEvent::Up { acked });
                up.tick(now, &mut self.channel, sink);
                up.fill(now, &mut self.channel, sink);
                self.state = State::Up(up);
            }
            (State::Keyed { heard_at, .. }, _) => *heard_at = now,
            (State::Up(up), message) => {
                up.heard_at = now;
                if let Some(message) = message {
                    up.message(now, message, &mut self.channel, sink);
                }
            }
        }
    }
}

impl Up {
    /// Sends what the window has room for.
    fn fill(&mut self, now: Timestamp, channel: &mut Channel, sink: &mut impl ScannerSink) {
        if self.hold_until.is_some() {
            return;
        }
        while let Some(intent) = self.sent.checked_add(1).and_then(|seq| sink.intent_from(seq)) {
            if self.sent == self.answered {
                // A scanner that lost its memory goes on behind the edge's count: what it skipped is not waited for.
                self.answered = intent.seq.saturating_sub(1);
            }
            if intent.seq - self.answered > WINDOW {
                break;
            }
            self.sent = intent.seq;
            self.resend_at.get_or_insert(now + self.resend_wait);
            channel.seal(&ToEdge::Intent(intent), |octets| sink.send(octets));
        }
    }

    fn tick(&mut self, now: Timestamp, channel: &mut Channel, sink: &mut impl ScannerSink) {
        if self.ping_at <= now {
            self.ping_at = now + PING_EVERY;
            channel.seal(&ToEdge::Ping { at: now }, |octets| sink.send(octets));
        }
        if self.hold_until.is_some_and(|until| until <= now) {
            self.hold_until = None;
            self.fill(now, channel, sink);
        }
        if self.resend_at.is_some_and(|at| at <= now) {
            // All of the window again, more slowly each time: on a slow line it may still be under way.
            self.resend_wait = (self.resend_wait + self.resend_wait).min(RESEND_WAIT_MAX);
            self.resend_at = None;
            self.sent = self.answered;
            self.fill(now, channel, sink);
        }
    }

    fn message(&mut self, now: Timestamp, message: ToScanner, channel: &mut Channel, sink: &mut impl ScannerSink) {
        match message {
            ToScanner::Resume { .. } => {}
            ToScanner::Answer { seq, verdict } => {
                // An earlier one is a repeat. A later one means that an answer was lost: the resend fetches both.
                if self.answered.checked_add(1) == Some(seq) {
                    self.answered = seq;
                    self.sent = self.sent.max(seq); // the edge may have it from an earlier session
                    self.resend_wait = RESEND_WAIT;
                    self.resend_at = (self.sent > seq).then(|| now + RESEND_WAIT);
                    sink.event(ScannerEvent::Answered { seq, verdict });
                    self.fill(now, channel, sink);
                }
            }
            ToScanner::Refused { seq, retry_ms } => {
                if self.answered < seq && seq <= self.sent {
                    self.sent = seq - 1;
                    // With earlier ones still unanswered, their resend stays due.
                    self.resend_at = self.resend_at.filter(|_| self.sent > self.answered);
                    self.hold_until = Some(now + Duration::from_millis(retry_ms.into()));
                    sink.event(ScannerEvent::Refused { seq });
                }
            }
            ToScanner::Pong { echo, at } => {
                let error = Duration::from_micros(now.since(echo).micros() / 2);
                sink.event(ScannerEvent::Time { at: at + error, error });
            }
            ToScanner::Reset { feed, epoch } => {
                let position = &mut self.positions[feed as usize];
                if position.epoch != epoch {
                    *position = Position { epoch, version: 0 };
                    sink.event(ScannerEvent::Cleared(feed));
                }
                self.have(feed, channel, sink);
            }
            ToScanner::Update { feed, epoch, after, version, change } => {
                let position = &mut self.positions[feed as usize];
                if *position == (Position { epoch, version: after }) && version > after {
                    position.version = version;
                    sink.event(ScannerEvent::Changed { feed, position: *position, change });
                }
                self.have(feed, channel, sink);
            }
        }
    }

    fn have(&self, feed: Feed, channel: &mut Channel, sink: &mut impl ScannerSink) {
        let position = self.positions[feed as usize];
        channel.seal(&ToEdge::Have { feed, position }, |octets| sink.send(octets));
    }
}
