//! Serves scanners: accepts their connections, hands their intents to the engine and its answers back.

use crate::adapt::scanner::{self as adapt, Catalogue, RETRY, Standing};
use crate::runtime::{Clock, Port};
use crate::vestibule::{Guest, Vestibule};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use stowage_base::{Code, Intent, Timestamp};
use stowage_core::input::DeviceEvent;
use stowage_core::site::DeviceIx;
use stowage_core::{Effect, Input, Site};
use stowage_link::{Change, Counters, EdgeEnd, EdgeSink, EnrolmentKey, Feed, Progress, Why};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Connections at once that have yet to prove whose they are.
const STRANGERS_MAX: usize = 128;

/// How often the log tells of strangers.
const TELL_EVERY: std::time::Duration = std::time::Duration::from_secs(5);

/// Octets that may wait for a scanner that doesn't read: past it the connection is closed.
const OUT_MAX: usize = 1 << 18;

/// Every enrolled scanner, shared by all connections.
pub(super) struct Scanners {
    by_code: BTreeMap<Code, Arc<Enrolled>>,
    catalogue: Catalogue,
    tasks_epoch: u32,
    vestibule: Arc<Vestibule>,
    strangers: Mutex<Strangers>,
}

/// What came of connections that no enrolled scanner is behind, since the log has told of it.
#[derive(Debug, Default)]
struct Strangers {
    /// Frames that make no sense.
    damaged: u64,
    /// Sealed frames before a hello.
    early: u64,
    /// Hellos of scanners that aren't enrolled.
    unenrolled: u64,
    /// The last of these.
    name: Code,
    /// Connections that had to make room for newer ones.
    turned_away: u64,
}

impl Strangers {
    fn tell(&self) {
        let Self { damaged, early, unenrolled, name, turned_away } = self;
        if damaged + early + unenrolled + turned_away == 0 {
            return;
        }
        tracing::warn!(damaged, early, unenrolled, turned_away, "strangers at the scanners' port");
        if *unenrolled > 0 {
            tracing::warn!(%name, "a scanner that is not enrolled: if it is yours, add it to edge.toml");
        }
    }
}

/// One scanner.
pub(super) struct Enrolled {
    port: Port,
    key: EnrolmentKey,
    state: Mutex<Served>,
}

struct Served {
    standing: Standing,
    /// Ends the connection that serves it now.
    connection: Option<(CancellationToken, mpsc::UnboundedSender<Effect>)>,
}

impl Enrolled {
    fn state(&self) -> MutexGuard<'_, Served> {
        // No change of it can panic half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries the engine's effects to whatever connection serves the scanner.
    pub(super) async fn carry(self: Arc<Self>, mut effects: mpsc::Receiver<Effect>, stop: CancellationToken) {
        while let Some(Some(effect)) = stop.run_until_cancelled(effects.recv()).await {
            let mut state = self.state();
            state.standing.effect(&effect);
            if let Some((_, connection)) = &state.connection {
                // A connection that has just ended: its successor asks again.
                let _ = connection.send(effect);
            }
        }
    }
}

impl Scanners {
    /// The scanners of `keys`, each with how far the engine has answered it. `boot` differs at each start of the edge.
    pub(super) fn new(site: &Site, keys: Vec<(Port, EnrolmentKey, u32)>, boot: u32) -> Self {
        let enrolled = |(port, key, answered): (Port, EnrolmentKey, u32)| {
            let state = Mutex::new(Served { standing: Standing::new(answered), connection: None });
            (site.device(port.device).code.clone(), Arc::new(Enrolled { port, key, state }))
        };
        Self {
            by_code: keys.into_iter().map(enrolled).collect(),
            catalogue: Catalogue::of(site),
            tasks_epoch: boot.max(1),
            vestibule: Vestibule::new(STRANGERS_MAX),
            strangers: Mutex::default(),
        }
    }

    fn strangers(&self) -> MutexGuard<'_, Strangers> {
        // Counters only.
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The scanner that is device `ix`.
    pub(super) fn of(&self, ix: DeviceIx) -> Option<Arc<Enrolled>> {
        self.by_code.values().find(|scanner| scanner.port.device == ix).cloned()
    }

    /// Accepts connections until told to stop.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener, clock: Arc<Clock>, stop: CancellationToken) {
        let mut tell = tokio::time::interval(TELL_EVERY);
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return self.strangers().tell(),
                _ = tell.tick() => {
                    std::mem::take(&mut *self.strangers()).tell();
                    continue;
                }
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let (guest, pushed_out) = self.vestibule.enter(&stop);
                    if pushed_out {
                        self.strangers().turned_away += 1;
                    }
                    let connection = Connection { scanners: Arc::clone(&self), clock: Arc::clone(&clock), guest };
                    tokio::spawn(async move {
                        if let Err(error) = connection.run(stream).await {
                            tracing::debug!(%peer, %error, "a scanner's connection ended");
                        }
                    });
                }
                Err(error) => {
                    // Out of descriptors, mostly: it passes.
                    tracing::warn!(%error, "can't accept a scanner");
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
            }
        }
    }
}

/// One connection.
struct Connection {
    scanners: Arc<Scanners>,
    clock: Arc<Clock>,
    guest: Guest,
}

struct Sink<'a> {
    connection: &'a Connection,
    to_us: &'a mpsc::UnboundedSender<Effect>,
    scanner: &'a mut Option<Arc<Enrolled>>,
    /// Who the last hello named, proved or not.
    named: &'a mut Option<Arc<Enrolled>>,
    out: &'a mut Vec<u8>,
    /// Intents that the engine has no room for.
    refused: &'a mut Vec<u32>,
}

impl Sink<'_> {
    fn intent_of(&mut self, intent: Intent) {
        let Some(scanner) = self.scanner else { return };
        let seq = intent.seq;
        if scanner.port.offer(Input::Intent { scanner: scanner.port.device, intent }).is_err() {
            self.refused.push(seq);
        }
    }

    /// Counts what made no sense: for the scanner that it says it is, or among the strangers'.
    fn count(&mut self, before: Counters, after: Counters) {
        let grown = |of: fn(&Counters) -> u32| u64::from(of(&after).saturating_sub(of(&before)));
        let damaged = grown(|of| of.noise) + grown(|of| of.unknown);
        let forged = grown(|of| of.forged);
        let Some(named) = self.named else {
            let early = grown(|of| of.stale);
            if damaged + early > 0 {
                let mut strangers = self.connection.scanners.strangers();
                (strangers.damaged, strangers.early) = (strangers.damaged + damaged, strangers.early + early);
            }
            return;
        };
        let tell = |count, what: &str| named.port.tell(DeviceEvent::Malformed { count, what: what.into() });
        if damaged > 0 {
            tell(damaged, "damaged or unknown frames");
        }
        if forged > 0 {
            tell(forged, "frames that its key doesn't open: a stranger's, or enrol it anew");
        }
    }
}

impl EdgeSink for Sink<'_> {
    fn send(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }

    fn key(&mut self, device: &Code) -> Option<EnrolmentKey> {
        let Some(known) = self.connection.scanners.by_code.get(device) else {
            let mut strangers = self.connection.scanners.strangers();
            strangers.unenrolled += 1;
            strangers.name.clone_from(device);
            return None;
        };
        *self.named = Some(Arc::clone(known));
        Some(known.key)
    }

    fn up(&mut self, device: &Code) -> Progress {
        let Some(scanner) = self.connection.scanners.by_code.get(device) else { return Progress::default() };
        let mut state = scanner.state();
        if let Some((older, _)) = state.connection.replace((self.connection.guest.out.clone(), self.to_us.clone())) {
            older.cancel();
        }
        let progress = state.standing.up();
        drop(state);
        self.connection.guest.known();
        scanner.port.tell(DeviceEvent::Up);
        *self.scanner = Some(Arc::clone(scanner));
        progress
    }

    fn down(&mut self, why: Why) {
        let Some(scanner) = self.scanner.take() else { return };
        let mut state = scanner.state();
        let ours = state.connection.as_ref().is_some_and(|(_, channel)| channel.same_channel(self.to_us));
        if ours {
            state.connection = None;
            drop(state);
            scanner.port.tell(DeviceEvent::Down(adapt::down(why).into()));
        }
    }

    fn intent(&mut self, intent: Intent) {
        // Before it is offered: its refusal may come at once, from another thread.
        if let Some(scanner) = self.scanner {
            scanner.state().standing.taken(intent.seq);
        }
        self.intent_of(intent);
    }

    fn repeated(&mut self, intent: Intent) {
        // Without room now, the scanner asks once more.
        if let Some(scanner) = self.scanner {
            let _ = scanner.port.offer(Input::Intent { scanner: scanner.port.device, intent });
        }
    }

    fn lost(&mut self, acked: u32, answered: u32) {
        let Some(scanner) = self.scanner else { return };
        tracing::warn!(acked, answered, "a scanner has had answers that the journal lacks");
        let lost = Input::Lost { scanner: scanner.port.device, answered };
        if scanner.port.offer(lost).is_ok() {
            scanner.state().standing.lost(answered);
        }
    }

    fn epoch(&mut self, feed: Feed) -> u32 {
        match feed {
            Feed::Catalogue => self.connection.scanners.catalogue.epoch(),
            Feed::Tasks => self.connection.scanners.tasks_epoch,
        }
    }

    fn change_after(&mut self, feed: Feed, version: u32) -> Option<(u32, Change)> {
        match feed {
            Feed::Catalogue => self.connection.scanners.catalogue.change_after(version),
            Feed::Tasks => self.scanner.as_ref()?.state().standing.task_after(version),
        }
    }
}

impl Connection {
    async fn run(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut from, mut to) = stream.into_split();
        let (to_us, mut effects) = mpsc::unbounded_channel();
        let mut end = EdgeEnd::new();
        let (mut scanner, mut named, mut out, mut refused) = (None, None, Vec::new(), Vec::new());
        let mut buffer = vec![0; 4_096];
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(format!("no randomness: {error}")))?;
        end.connected(self.clock.now(), random);
        let ended = loop {
            let deadline = end.next_deadline();
            let now;
            let step: Step = tokio::select! {
                () = self.guest.out.cancelled() => break Ok(()),
                n = from.read(&mut buffer) => {
                    now = self.clock.now();
                    match n {
                        Ok(0) => break Ok(()),
                        Ok(n) => Step::Received(n),
                        Err(error) => break Err(error),
                    }
                }
                n = to.write(&out), if !out.is_empty() => {
                    match n {
                        Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                        Ok(n) => drop(out.drain(..n)),
                        Err(error) => break Err(error),
                    }
                    continue;
                }
                Some(effect) = effects.recv() => {
                    now = self.clock.now();
                    Step::Effect(effect)
                }
                () = self.clock.sleep_until(deadline) => {
                    now = self.clock.now();
                    Step::Tick
                }
            };
            let mut sink = Sink {
                connection: self,
                to_us: &to_us,
                scanner: &mut scanner,
                named: &mut named,
                out: &mut out,
                refused: &mut refused,
            };
            apply(step, now, &mut end, &buffer, &mut sink);
            if let Some(first) = sink.refused.drain(..).min()
                && let Some(scanner) = sink.scanner
            {
                scanner.state().standing.refused(first);
                end.refuse(first, RETRY, &mut sink);
            }
            if end.over().is_some() || out.len() > OUT_MAX {
                break Ok(());
            }
        };
        let mut sink = Sink {
            connection: self,
            to_us: &to_us,
            scanner: &mut scanner,
            named: &mut named,
            out: &mut out,
            refused: &mut refused,
        };
        end.disconnected(&mut sink);
        ended
    }
}

enum Step {
    Received(usize),
    Effect(Effect),
    Tick,
}

fn apply(step: Step, now: Timestamp, end: &mut EdgeEnd, buffer: &[u8], sink: &mut Sink<'_>) {
    match step {
        Step::Received(n) => {
            let before = end.counters();
            end.receive(now, &buffer[..n], sink);
            sink.count(before, end.counters());
        }
        Step::Effect(Effect::Answer { seq, verdict, .. }) => end.answer(seq, &verdict, sink),
        Step::Effect(Effect::Refuse { seq, .. }) => end.refuse(seq, RETRY, sink),
        Step::Effect(_) => end.news(now, sink),
        Step::Tick => end.tick(now, sink),
    }
}
