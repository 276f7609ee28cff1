//! The event stream: `view`, `fact`, `tick` and `reset` events, one stream for each open page.
//!
//! 1. It begins with a `tick` and a `view`; facts follow from the one after `Last-Event-ID`, or after `since`.
//! 2. A `fact` event's id is the fact's number, so that a browser that reconnects goes on without gap or repeat. A
//!    reader that falls behind is served from the journal.
//! 3. `reset` means that too much was missed (or the journal's numbers began anew): read the list again.
//! 4. A `tick` with the daemon's time (ms UTC) comes every few seconds: silence means a dead connection.

use super::api::{Told, history, picture};
use super::history::{LIMIT_MAX, Query};
use super::problem::Problem;
use super::{App, FactLine};
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stowage_core::view::View;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Most streams at a time.
pub(super) const STREAMS_MAX: usize = 64;

/// A tick this often.
const TICK: Duration = Duration::from_secs(5);

/// A browser that lost us asks again after this.
const RETRY: Duration = Duration::from_secs(2);

/// Where to begin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    since: Option<u64>,
}

pub(super) async fn events(
    State(app): State<App>,
    headers: HeaderMap,
    from: Result<axum::extract::Query<From>, QueryRejection>,
) -> Result<Response, Problem> {
    let axum::extract::Query(from) = from.map_err(super::api::unreadable_query)?;
    let Ok(permit) = app.streams.clone().try_acquire_owned() else {
        let detail = format!("{STREAMS_MAX} event streams are open, which is the most");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Busy", detail));
    };
    let resume = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let stream = Stream::open(app, permit, resume.or(from.since)).await;
    let stream = futures_util::stream::unfold(stream, |mut stream| async {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(event), stream))
    });
    let sse = Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)));
    Ok(([("x-accel-buffering", "no")], sse).into_response())
}

struct Stream {
    app: App,
    view: watch::Receiver<Arc<View>>,
    facts: broadcast::Receiver<Arc<FactLine>>,
    /// The last fact sent, or known to be on the page. `None`: whichever comes next.
    last: Option<u64>,
    ready: VecDeque<Event>,
    tick: Interval,
    _permit: OwnedSemaphorePermit,
}

impl Stream {
    async fn open(app: App, permit: OwnedSemaphorePermit, since: Option<u64>) -> Self {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Subscribed before the journal is read: what comes in between is seen twice, and skipped by its number.
        let (mut view, facts) = (app.shared.view.clone(), app.shared.facts.subscribe());
        view.mark_changed();
        let ready = VecDeque::from([Event::default().retry(RETRY).comment("hello")]);
        let mut stream = Self { app, view, facts, last: since, ready, tick, _permit: permit };
        if let Some(since) = since {
            let newest = history(&stream.app.shared, Query { limit: 1, ..Query::default() }).await;
            match newest.as_ref().map(|facts| facts.first().map_or(0, |fact| fact.seq)) {
                Ok(newest) if newest < since => stream.reset(),
                Ok(newest) if newest == since => {}
                Ok(_) | Err(_) => stream.catch_up(since).await,
            }
        }
        stream
    }

    /// The next event; `None` once the daemon stops.
    async fn next(&mut self) -> Option<Event> {
        let stop = self.app.stop.clone();
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                _ = self.tick.tick() => self.ready.push_back(tick()),
                changed = self.view.changed() => {
                    changed.ok()?;
                    let view = self.view.borrow_and_update().clone();
                    let picture = picture(&view, &self.app.shared);
                    self.ready.push_back(Event::default().event("view").data(picture.to_string()));
                }
                fact = self.facts.recv() => match (fact, self.last) {
                    (Ok(fact), Some(last)) if fact.seq <= last => {}
                    (Ok(fact), Some(last)) if fact.seq > last + 1 => self.catch_up(last).await,
                    (Ok(fact), _) => self.tell(&fact),
                    (Err(RecvError::Lagged(_)), Some(last)) => self.catch_up(last).await,
                    (Err(RecvError::Lagged(_)), None) => self.reset(),
                    (Err(RecvError::Closed), _) => return None,
                },
            }
        }
    }

    fn tell(&mut self, line: &FactLine) {
        self.last = Some(line.seq);
        if let Some(told) = Told::new(line, &self.app.shared.site)
            && let Ok(event) = Event::default().event("fact").id(line.seq.to_string()).json_data(told)
        {
            self.ready.push_back(event);
        }
    }

    /// Tells from the journal what came after `last`.
    async fn catch_up(&mut self, last: u64) {
        let query = Query { since: Some(last), limit: LIMIT_MAX, ..Query::default() };
        match history(&self.app.shared, query).await {
            Ok(facts) if facts.len() < LIMIT_MAX => facts.iter().for_each(|fact| self.tell(fact)),
            Ok(_) | Err(_) => self.reset(),
        }
    }

    fn reset(&mut self) {
        self.last = None;
        self.ready.push_back(Event::default().event("reset").data("{}"));
    }
}

fn tick() -> Event {
    // Before 1970 there were no browsers either.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Event::default().event("tick").data(now.as_millis().to_string())
}
