//! Style, scripts and icon, embedded in the program.

use super::App;
use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The description of the interface.
pub(super) const OPENAPI: &str = include_str!("assets/openapi.json");

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

const ASSETS: [(&str, &str, &str); 4] = [
    ("/assets/style.css", CSS, include_str!("assets/style.css")),
    ("/assets/page.js", JS, include_str!("assets/page.js")),
    ("/assets/floor.js", JS, include_str!("assets/floor.js")),
    ("/assets/icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
];

/// Routes to the assets; `floor_css` says where this site's zones lie.
pub(super) fn router(floor_css: String) -> Router<App> {
    let mut router = Router::new();
    for (path, kind, text) in ASSETS {
        router = router.route(path, get(async move |headers: HeaderMap| answer(&headers, kind, text)));
    }
    router.route("/assets/floor.css", get(async move |headers: HeaderMap| answer(&headers, CSS, &floor_css)))
}

/// The text, or that the browser has it already. It asks each time: a page never runs with an older program's script.
fn answer(headers: &HeaderMap, kind: &'static str, text: &str) -> Response {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let tag = format!("\"{:016x}\"", hasher.finish());
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = match known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, kind)], text.to_owned()).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}
