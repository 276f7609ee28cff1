//! The pages and the HTTP interface.
//!
//! Everything shown comes from three places: the [`View`] of the moment, the facts as they become durable, and the
//! journal for what was. Everything asked for goes to the engine as a [`Request`]. Nothing here decides.
//!
//! There are no users yet, so the daemon listens on loopback unless told otherwise. A browser's POST is taken only
//! from our own pages; other programs, which send no `Origin`, are on this side of the door already.

mod api;
mod assets;
mod events;
mod guard;
mod history;
mod pages;
mod problem;
mod readers;
pub mod words;

use crate::drivers::Readers;
use crate::followers::Gauge;
use crate::vestibule::{Guest, Vestibule};
use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use problem::Problem;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use stowage_base::Code;
use stowage_core::Site;
use stowage_core::input::Reply;
use stowage_core::view::View;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// How long open connections may still finish what they do once the daemon stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long a client may take to say what it wants, and may say nothing between two requests.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// Connections at once that have yet to say what they want; past it the newest push out the oldest.
const SILENT_MAX: usize = 128;

/// Connections at once that have said what they want, event streams included; past it they are told to come again.
const SEATS: usize = 256;

/// Pause when no connection can be accepted: out of descriptors, mostly, which passes.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// What the pages share with the rest of the daemon.
#[derive(Clone)]
pub struct Shared {
    /// The picture of the moment.
    pub view: watch::Receiver<Arc<View>>,
    /// Each fact, once it is durable, in order of its number.
    pub facts: broadcast::Sender<Arc<FactLine>>,
    /// To the engine. Full means busy.
    pub requests: mpsc::Sender<Request>,
    /// The folder of the journal, which is read for what was.
    pub data: PathBuf,
    /// Names, and the floor's plan.
    pub site: Arc<Site>,
    /// The ways to readers that take commands, by device.
    pub(crate) readers: Arc<Readers>,
    /// Names by which browsers may call the pages, beside addresses and `localhost`.
    pub(crate) names: Arc<[String]>,
    /// How each follower stands.
    pub(crate) followers: Arc<[Gauge]>,
}

impl Shared {
    /// Without readers that take commands, and without followers.
    pub fn new(
        view: watch::Receiver<Arc<View>>,
        facts: broadcast::Sender<Arc<FactLine>>,
        requests: mpsc::Sender<Request>,
        data: PathBuf,
        site: Arc<Site>,
    ) -> Self {
        Self {
            view,
            facts,
            requests,
            data,
            site,
            readers: Arc::default(),
            names: Arc::default(),
            followers: Arc::default(),
        }
    }
}

/// A durable fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactLine {
    /// Its number.
    pub seq: u64,
    /// Its line of JSON, without the line's end.
    pub line: String,
}

/// Something asked of the engine.
#[derive(Debug)]
pub struct Request {
    /// What.
    pub what: What,
    /// Where the answer goes; dropped unanswered, the asker is told that the daemon is busy.
    pub reply: oneshot::Sender<Reply>,
}

/// What is asked of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A parcel will come.
    Announce {
        /// What its label says.
        code: Code,
        /// Its route.
        route: Code,
    },
    /// Bring what lies at one station to another.
    Transport {
        /// Its name.
        id: Code,
        /// Location from which.
        from: Code,
        /// Location to which.
        to: Code,
    },
    /// A transport isn't wanted any more.
    CancelTransport {
        /// Which.
        id: Code,
    },
    /// A robot carries nothing any more.
    Emptied {
        /// The robot.
        robot: Code,
    },
    /// Take the radio's word in a discrepancy.
    Settle {
        /// Which.
        discrepancy: u64,
    },
}

/// What each handler gets.
#[derive(Clone)]
struct App {
    shared: Shared,
    /// Ends the event streams, which would keep the server from stopping.
    stop: CancellationToken,
    /// A permit for each event stream.
    streams: Arc<Semaphore>,
}

/// Serves pages and interface on `listener` until `stop`.
pub async fn serve(listener: TcpListener, shared: Shared, stop: CancellationToken) {
    let app = TowerToHyperService::new(router(shared, stop.clone()));
    let (vestibule, seats) = (Vestibule::new(SILENT_MAX), Arc::new(Semaphore::new(SEATS)));
    let open = GracefulShutdown::new();
    // Nobody is pushed out by the end: that lets requests under way finish.
    let never = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (guest, _) = vestibule.enter(&never);
                tokio::spawn(talk(stream, app.clone(), guest, Arc::clone(&seats), open.watcher()));
            }
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection to the page");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    // A client that never finishes its request doesn't keep the daemon alive.
    let _ = tokio::time::timeout(FAREWELL, open.shutdown()).await;
}

/// One connection, to its end.
async fn talk(stream: TcpStream, app: TowerToHyperService<Router>, guest: Guest, seats: Arc<Semaphore>, open: Watcher) {
    let (out, seat) = (guest.out.clone(), OnceLock::new());
    let answer = service_fn(|request| {
        let seated = seat.get_or_init(|| Arc::clone(&seats).try_acquire_owned().ok()).is_some();
        if seated {
            guest.known();
        }
        let answer = seated.then(|| app.call(request));
        async move {
            let Some(answer) = answer else {
                let detail = format!("{SEATS} connections are open, which is the most: ask again");
                let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Busy", detail);
                let mut response = problem.into_response();
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                return Ok::<_, Infallible>(response);
            };
            answer.await
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), answer);
    tokio::select! {
        // How a client's connection ends is its own affair.
        _ = open.watch(connection) => {}
        () = out.cancelled() => {}
    }
}

fn router(shared: Shared, stop: CancellationToken) -> Router {
    let floor_css = pages::floor_css(&shared.site);
    let names = Arc::clone(&shared.names);
    let routes = api::routes().into_iter().chain(pages::routes());
    routes
        .fold(Router::new(), |router, (_, path, handler)| router.route(path, handler))
        .merge(assets::router(floor_css))
        .fallback(problem::no_page)
        .method_not_allowed_fallback(problem::no_method)
        .layer(axum::middleware::from_fn_with_state(names, guard::guard))
        .layer(axum::extract::DefaultBodyLimit::max(guard::BODY_MAX))
        .with_state(App { shared, stop, streams: Arc::new(Semaphore::new(events::STREAMS_MAX)) })
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
