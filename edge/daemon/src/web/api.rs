//! The interface for programs. `openapi.json` describes it, and a test holds the two together.

use super::history::{self, LIMIT_MAX, Query};
use super::problem::Problem;
use super::words::{Words, discrepancy, words};
use super::{App, FactLine, Request, Shared, What, assets, events};
use crate::followers::Gauge;
use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use stowage_base::{Code, Timestamp};
use stowage_core::input::Reply;
use stowage_core::view::View;
use stowage_core::{Fact, Site};
use tokio::sync::oneshot;

/// How long the engine may take to answer. It answers once the facts are durable, or at once that it can't.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Facts in an answer that doesn't ask for a number.
const LIMIT: usize = 100;

/// A route: method in lower case, path, handler.
pub(super) type Route = (&'static str, &'static str, MethodRouter<App>);

/// Every route of the interface.
pub(super) fn routes() -> Vec<Route> {
    vec![
        ("get", "/api/view", get(view)),
        ("get", "/api/events", get(events::events)),
        ("get", "/api/facts", get(facts)),
        ("post", "/api/parcels", post(announce)),
        ("get", "/api/transports", get(transports)),
        ("post", "/api/transports", post(transport)),
        ("post", "/api/transports/{id}/cancel", post(cancel)),
        ("post", "/api/robots/{code}/emptied", post(emptied)),
        ("post", "/api/readers/{id}/commands", post(super::readers::command)),
        ("post", "/api/discrepancies/{id}/settle", post(settle)),
        ("get", "/api/openapi.json", get(openapi)),
        ("get", "/healthz", get(health)),
    ]
}

/// The view, each discrepancy with its words, and how the followers stand.
pub(super) fn picture(view: &View, shared: &Shared) -> Value {
    let mut picture = json!(view);
    picture["followers"] = shared.followers.iter().map(follower).collect();
    if let Some(Value::Array(open)) = picture.get_mut("discrepancies") {
        for (value, open) in open.iter_mut().zip(&view.discrepancies) {
            value["words"] = json!(discrepancy(open, &shared.site));
        }
    }
    picture
}

fn follower(gauge: &Gauge) -> Value {
    let mut told = json!(gauge.standing());
    told["id"] = json!(gauge.name());
    told
}

/// A fact with its words.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    pub(super) seq: u64,
    pub(super) at: Timestamp,
    pub(super) kind: String,
    #[serde(flatten)]
    pub(super) words: Words,
    pub(super) fact: Value,
}

impl Told {
    /// `None`: a line that this version can't read, as a later one may have written.
    pub(super) fn new(line: &FactLine, site: &Site) -> Option<Self> {
        let (_, fact) = Fact::parse(&line.line).ok()?;
        let words = words(&fact, site);
        let kind = fact.body.kind().to_owned();
        let value = serde_json::from_str(&line.line).ok()?;
        Some(Self { seq: line.seq, at: fact.at, kind, words, fact: value })
    }
}

/// Reads the journal on a thread that may wait.
pub(super) async fn history(shared: &Shared, query: Query) -> Result<Vec<FactLine>, Problem> {
    let data = shared.data.clone();
    match tokio::task::spawn_blocking(move || history::facts(&data, &query)).await {
        Ok(facts) => facts.map_err(|error| Problem::journal(&error.to_string())),
        Err(_) => Err(Problem::journal("the daemon is stopping")),
    }
}

/// [`history`] in words.
pub(super) async fn told(shared: &Shared, query: Query) -> Result<Vec<Told>, Problem> {
    let lines = history(shared, query).await?;
    Ok(lines.iter().filter_map(|line| Told::new(line, &shared.site)).collect())
}

async fn view(State(app): State<App>) -> Json<Value> {
    let view = app.shared.view.borrow().clone();
    Json(picture(&view, &app.shared))
}

/// What a caller may ask of the facts.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    pub(super) since: Option<u64>,
    pub(super) before: Option<u64>,
    pub(super) kind: Option<String>,
    pub(super) item: Option<String>,
    pub(super) limit: Option<usize>,
}

impl Asked {
    pub(super) fn query(self) -> Result<Query, Problem> {
        let limit = self.limit.unwrap_or(LIMIT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Problem::bad("limit", format!("limit is {limit}: 1 to {LIMIT_MAX} facts at a time")));
        }
        // A form sends what was left empty.
        let filled = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let (kind, item) = (filled(self.kind), filled(self.item));
        Ok(Query { since: self.since, before: self.before, kind, item, limit })
    }
}

async fn facts(
    State(app): State<App>,
    asked: Result<axum::extract::Query<Asked>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let axum::extract::Query(asked) = asked.map_err(unreadable_query)?;
    Ok(Json(json!({ "facts": told(&app.shared, asked.query()?).await? })))
}

pub(super) fn unreadable_query(rejection: QueryRejection) -> Problem {
    Problem::new(rejection.status(), "Bad request", rejection.body_text())
}

/// A parcel as announced.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parcel {
    code: String,
    route: String,
}

async fn announce(
    State(app): State<App>,
    parcel: Result<Json<Parcel>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let Json(parcel) =
        parcel.map_err(|rejection| Problem::new(rejection.status(), "No parcel", rejection.body_text()))?;
    let (code, route) = (label("code", &parcel.code)?, label("route", &parcel.route)?);
    let status = match ask(&app, What::Announce { code: code.clone(), route: route.clone() }).await {
        Reply::Done => StatusCode::CREATED,
        Reply::Exists => StatusCode::OK,
        Reply::Differs(field) => {
            let detail = format!("parcel {code} was announced before with another {field}");
            return Err(Problem { field: Some(field), ..Problem::new(StatusCode::CONFLICT, "Differs", detail) });
        }
        Reply::NotFound | Reply::Unfit(_) => {
            return Err(Problem::new(StatusCode::NOT_FOUND, "Not found", format!("there is no parcel {code}")));
        }
        Reply::Busy => return Err(Problem::busy()),
    };
    Ok((status, Json(json!({ "code": code, "route": route }))))
}

/// A field of a label: 1 to 32 octets that print.
pub(super) fn label(field: &'static str, text: &str) -> Result<Code, Problem> {
    let fits = !text.is_empty() && !text.chars().any(char::is_control);
    stowage_base::code(text).filter(|_| fits).ok_or_else(|| {
        let max = stowage_base::CODE_LEN_MAX;
        Problem::bad(field, format!("{field} has {} octets: 1 to {max} are allowed, and no controls", text.len()))
    })
}

async fn settle(State(app): State<App>, id: Result<Path<u64>, PathRejection>) -> Result<StatusCode, Problem> {
    let Path(discrepancy) =
        id.map_err(|rejection| Problem::new(rejection.status(), "Bad request", rejection.body_text()))?;
    match ask(&app, What::Settle { discrepancy }).await {
        Reply::Done | Reply::Exists => Ok(StatusCode::NO_CONTENT),
        Reply::NotFound | Reply::Unfit(_) => {
            let detail = format!("there is no open discrepancy {discrepancy}: it may be settled already");
            Err(Problem::new(StatusCode::NOT_FOUND, "Not found", detail))
        }
        Reply::Differs(field) => {
            let detail = format!("discrepancy {discrepancy} has changed: {field} differs");
            Err(Problem { field: Some(field), ..Problem::new(StatusCode::CONFLICT, "Differs", detail) })
        }
        Reply::Busy => Err(Problem::busy()),
    }
}

async fn transports(State(app): State<App>) -> Json<Value> {
    let view = app.shared.view.borrow().clone();
    Json(json!({ "transports": view.transports }))
}

/// A transport as asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Load {
    id: String,
    from: String,
    to: String,
}

async fn transport(
    State(app): State<App>,
    load: Result<Json<Load>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let Json(load) =
        load.map_err(|rejection| Problem::new(rejection.status(), "No transport", rejection.body_text()))?;
    let (id, from, to) = (label("id", &load.id)?, label("from", &load.from)?, label("to", &load.to)?);
    let status = match ask(&app, What::Transport { id: id.clone(), from: from.clone(), to: to.clone() }).await {
        Reply::Done => StatusCode::CREATED,
        Reply::Exists => StatusCode::OK,
        Reply::Differs(field) => {
            let detail = format!("transport {id} was asked for before with another {field}");
            return Err(Problem { field: Some(field), ..Problem::new(StatusCode::CONFLICT, "Differs", detail) });
        }
        Reply::Unfit(field) => {
            let (station, other) = if field == "from" { (&from, &to) } else { (&to, &from) };
            let detail = match station == other {
                true => format!("{station} is where the load is already: give another {field}"),
                false => format!("no robot can reach {station}: a node of the roadmap needs it as its station"),
            };
            return Err(Problem { status: StatusCode::UNPROCESSABLE_ENTITY, ..Problem::bad(field, detail) });
        }
        Reply::NotFound => {
            return Err(Problem::new(StatusCode::NOT_FOUND, "Not found", format!("there is no transport {id}")));
        }
        Reply::Busy => return Err(Problem::busy()),
    };
    Ok((status, Json(json!({ "id": id, "from": from, "to": to }))))
}

/// A code in a path.
fn named(code: Result<Path<String>, PathRejection>) -> Result<Code, Problem> {
    let Path(code) =
        code.map_err(|rejection| Problem::new(rejection.status(), "Bad request", rejection.body_text()))?;
    label("id", &code)
}

async fn cancel(State(app): State<App>, id: Result<Path<String>, PathRejection>) -> Result<StatusCode, Problem> {
    let id = named(id)?;
    match ask(&app, What::CancelTransport { id: id.clone() }).await {
        Reply::Done | Reply::Exists => Ok(StatusCode::NO_CONTENT),
        Reply::NotFound | Reply::Unfit(_) => {
            Err(Problem::new(StatusCode::NOT_FOUND, "Not found", format!("there is no transport {id}")))
        }
        Reply::Differs(field) => {
            let detail = format!("transport {id} has ended already: it can't be cancelled any more");
            Err(Problem { field: Some(field), ..Problem::new(StatusCode::CONFLICT, "Ended", detail) })
        }
        Reply::Busy => Err(Problem::busy()),
    }
}

async fn emptied(State(app): State<App>, robot: Result<Path<String>, PathRejection>) -> Result<StatusCode, Problem> {
    let robot = named(robot)?;
    match ask(&app, What::Emptied { robot: robot.clone() }).await {
        Reply::Done | Reply::Exists => Ok(StatusCode::NO_CONTENT),
        Reply::NotFound | Reply::Unfit(_) => {
            Err(Problem::new(StatusCode::NOT_FOUND, "Not found", format!("there is no robot {robot}")))
        }
        Reply::Differs(field) => {
            let detail = format!("{robot} is bringing its load: cancel the transport first");
            Err(Problem { field: Some(field), ..Problem::new(StatusCode::CONFLICT, "At work", detail) })
        }
        Reply::Busy => Err(Problem::busy()),
    }
}

/// Asks the engine. Whatever keeps it from answering means busy: the caller asks again, and nothing is done twice.
async fn ask(app: &App, what: What) -> Reply {
    let (reply, answer) = oneshot::channel();
    if app.shared.requests.try_send(Request { what, reply }).is_err() {
        return Reply::Busy;
    }
    match tokio::time::timeout(ANSWER_WITHIN, answer).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(_)) | Err(_) => Reply::Busy,
    }
}

async fn health(State(app): State<App>) -> Result<Json<Value>, Problem> {
    let unwell = |detail: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Unwell", detail);
    if app.shared.view.has_changed().is_err() {
        return Err(unwell("the engine has stopped".into()));
    }
    let view = app.shared.view.borrow().clone();
    match &view.problem {
        None => Ok(Json(json!({ "status": "ok", "site": view.site, "facts": view.facts }))),
        Some(problem) => Err(unwell(problem.clone())),
    }
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], assets::OPENAPI).into_response()
}
