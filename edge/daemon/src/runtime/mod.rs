//! The daemon at work: one thread for the engine, one for commits, tasks for devices, pages and followers.

mod clock;
mod engine;
mod inlet;
mod reads;

pub(crate) use clock::Clock;
pub(crate) use inlet::{Hearing, Port};
pub use reads::{Entry, Reads, TAGS_MAX};

use crate::config::{self, Edge, FollowerKind};
use crate::drivers;
use crate::followers::{Bell, Follower, JsonLines, MqttMirror, MqttSettings};
use crate::journal::{Journal, OpenError, SqliteCommit};
use crate::web;
use engine::{EngineLoop, Outlets};
use inlet::{Inlet, Message};
use std::net::SocketAddr;
use std::sync::Arc;
use stowage_base::{Duration, Timestamp};
use stowage_core::Engine;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Facts that a page's stream may be behind before it reads them from the journal.
const FACTS_BEHIND_MAX: usize = 1_024;

/// Requests of pages that wait for the engine.
const REQUESTS_MAX: usize = 256;

/// How far the journal may be ahead of the clock.
const AHEAD_MAX: Duration = Duration::from_secs(300);

/// Why the daemon can't start, or has stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal can't be opened.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// A stored row makes no sense.
    #[error(
        "the journal's state makes no sense: {0}: run `stowage verify`; restore it from a backup, then run `stowage restored`"
    )]
    State(String),
    /// The clock is behind the journal.
    #[error(
        "the clock says {now}, but the journal's last fact is of {journal}: set this machine's clock, then start again"
    )]
    Clock {
        /// The system's time.
        now: Timestamp,
        /// The journal's last time.
        journal: Timestamp,
    },
    /// An address can't be listened on.
    #[error("{what} can't listen on {address}: {error}: {mend}")]
    Listen {
        /// What wants to.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
        /// What to do.
        mend: String,
    },
    /// A device can't be driven as it is set.
    #[error("{0}")]
    Device(String),
    /// The engine stopped by itself: a decision contradicted the book, and going on would have made the book wrong.
    #[error("the engine has stopped; what it said is above: keep the journal, report it, and start again")]
    Engine,
    /// The system has no thread left.
    #[error("can't start a thread: {0}: close other programs")]
    Thread(std::io::Error),
}

/// Where a running daemon is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// Page and API.
    pub page: SocketAddr,
    /// Scanners.
    pub scanners: SocketAddr,
}

/// Runs the edge until `stop`, and returns when everything decided is durable. `running` is told the addresses as soon
/// as the page answers.
///
/// # Errors
/// It can't start, and nothing was changed; or [`StartError::Engine`].
pub async fn run(edge: Edge, stop: CancellationToken, running: impl FnOnce(Running)) -> Result<(), StartError> {
    let page = listen("the page", "listen", edge.listen).await?;
    let scanners = listen("the scanners' port", "scanners", edge.scanners).await?;
    let addresses = Running {
        page: page.local_addr().unwrap_or(edge.listen),
        scanners: scanners.local_addr().unwrap_or(edge.scanners),
    };
    let (journal, stored) = Journal::open(&edge.data, &edge.site.code)?;
    let clock = Arc::new(Clock::start());
    let now = clock.now();
    if stored.chain.at > now + AHEAD_MAX {
        return Err(StartError::Clock { now, journal: stored.chain.at });
    }
    let site = Arc::new(edge.site.clone());
    let mut engine = Engine::new(Arc::clone(&site), stored).map_err(StartError::State)?;
    engine.start(now, env!("CARGO_PKG_VERSION"));

    let (inlet, ports, messages) = Inlet::new(edge.devices.len());
    let waker = messages.clone();
    let commit =
        SqliteCommit::start(journal, move || drop(waker.send(Message::Committed))).map_err(StartError::Thread)?;
    let tasks = TaskTracker::new();
    // Seconds since 1970 differ at each start, and fit for the next eighty years.
    let boot = (now.micros() / 1_000_000) as u32;
    let ground = drivers::Ground { edge: &edge, engine: &engine, clock: &clock, stop: &stop, tasks: &tasks, boot };
    let (devices, readers) = drivers::start(&ground, ports, scanners).map_err(StartError::Device)?;

    let (facts, _) = broadcast::channel(FACTS_BEHIND_MAX);
    let (view, picture) = watch::channel(Arc::new(engine.view(now)));
    let bell = Bell::new(engine.durable_seq());
    let followers = follow(&edge, &bell)?;
    let outlets = Outlets { devices, facts: facts.clone(), view, bell };
    let engine_loop = EngineLoop::new(engine, commit, inlet, outlets, Arc::clone(&clock));
    let engine_thread = std::thread::Builder::new()
        .name("engine".into())
        .spawn({
            // However it ends, the rest ends with it: a daemon without its engine is none.
            let end = stop.clone().drop_guard();
            move || {
                let _end = end;
                engine_loop.run();
            }
        })
        .map_err(StartError::Thread)?;

    let (requests, asked) = mpsc::channel(REQUESTS_MAX);
    let asking = tokio::spawn(pass_on(asked, messages.clone()));
    tasks.spawn(keep_time(Arc::clone(&clock), stop.clone()));
    let shared = web::Shared {
        readers: Arc::new(readers),
        names: edge.names.as_slice().into(),
        followers: followers.iter().map(|follower| follower.gauge().clone()).collect(),
        ..web::Shared::new(picture, facts, requests, edge.data.clone(), site)
    };
    running(addresses);
    web::serve(page, shared, stop.clone()).await;
    // Requests that clients left unfinished are still open, and could ask for ever.
    asking.abort();
    tasks.close();
    tasks.wait().await;
    // The engine goes last: whatever the devices still told is decided and stored.
    let _ = messages.send(Message::Stop);
    let ended = tokio::task::spawn_blocking(move || engine_thread.join()).await;
    tokio::task::spawn_blocking(move || drop(followers)).await.unwrap_or_default();
    if matches!(ended, Ok(Ok(()))) { Ok(()) } else { Err(StartError::Engine) }
}

/// Starts every follower.
fn follow(edge: &Edge, bell: &Bell) -> Result<Vec<Follower>, OpenError> {
    let start = |follower: &config::Follower| match &follower.kind {
        FollowerKind::Jsonl { path } => Follower::start(&follower.id, &edge.data, bell, JsonLines::new(path)),
        FollowerKind::Mqtt { broker, prefix } => {
            let settings = MqttSettings {
                broker: broker.clone(),
                client_id: format!("stowage-{}-{}", edge.site.code, follower.id),
                prefix: prefix.clone(),
            };
            let cursor = edge.data.join(format!("{}.cursor", follower.id));
            let mirror = MqttMirror::new(settings, &cursor);
            Follower::start(&follower.id, &edge.data, bell, mirror)
        }
    };
    edge.followers.iter().map(start).collect()
}

async fn listen(what: &'static str, key: &str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| {
        let mend = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("another program uses it: stop that one, or set `{key}` in edge.toml to another port")
            }
            std::io::ErrorKind::PermissionDenied => format!("set `{key}` in edge.toml to a port above 1023"),
            std::io::ErrorKind::AddrNotAvailable => {
                format!("this machine has no such address: set `{key}` in edge.toml to one of its own")
            }
            _ => format!("set `{key}` in edge.toml to another address"),
        };
        StartError::Listen { what, address, error, mend }
    })
}

async fn pass_on(mut asked: mpsc::Receiver<web::Request>, messages: std::sync::mpsc::Sender<Message>) {
    while let Some(request) = asked.recv().await {
        if messages.send(Message::Asked(request)).is_err() {
            return;
        }
    }
}

async fn keep_time(clock: Arc<Clock>, stop: CancellationToken) {
    let mut each = tokio::time::interval(clock::SLEW_EVERY.into());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = each.tick() => clock.slew(),
        }
    }
}
