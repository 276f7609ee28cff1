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
pub mod words;

use axum::Router;
use std::future::IntoFuture;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use stowage_base::Code;
use stowage_core::Site;
use stowage_core::input::Reply;
use stowage_core::view::View;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// How long open connections may still finish what they do once the daemon stops.
const FAREWELL: Duration = Duration::from_secs(2);

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
///
/// # Errors
/// The listener failed.
pub async fn serve(listener: TcpListener, shared: Shared, stop: CancellationToken) -> std::io::Result<()> {
    let app = router(shared, stop.clone());
    let server = axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::select! {
        ended = server.into_future() => ended,
        // A client that never finishes its request doesn't keep the daemon alive.
        () = async { stop.cancelled().await; tokio::time::sleep(FAREWELL).await } => Ok(()),
    }
}

fn router(shared: Shared, stop: CancellationToken) -> Router {
    let floor_css = pages::floor_css(&shared.site);
    let routes = api::routes().into_iter().chain(pages::routes());
    routes
        .fold(Router::new(), |router, (_, path, handler)| router.route(path, handler))
        .merge(assets::router(floor_css))
        .fallback(problem::no_page)
        .method_not_allowed_fallback(problem::no_method)
        .layer(axum::middleware::from_fn(guard::guard))
        .layer(axum::extract::DefaultBodyLimit::max(guard::BODY_MAX))
        .with_state(App { shared, stop, streams: Arc::new(Semaphore::new(events::STREAMS_MAX)) })
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
