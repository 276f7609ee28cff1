//! What holds for every request: security headers, by which name a browser may call us, and who may POST.

use super::problem::Problem;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

/// Most octets in a request's body.
pub(super) const BODY_MAX: usize = 64 * 1024;

/// How long a request may take once its head is here: its body, the engine's answer, a look into the journal.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Refuses what another site's page sends and what takes too long, and adds the headers to every answer.
pub(super) async fn guard(State(names): State<Arc<[String]>>, request: Request, next: Next) -> Response {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let mut response = if !by_our_name(request.headers(), &names) {
        let detail = "this edge isn't known by this name: use its IP address, or add the name to `names` in edge.toml";
        Problem::new(StatusCode::MISDIRECTED_REQUEST, "Misdirected", detail).into_response()
    } else if safe || from_here(request.headers()) {
        let late = |_| {
            let detail = format!("the request wasn't done within {} s", ANSWER_WITHIN.as_secs());
            Problem::new(StatusCode::REQUEST_TIMEOUT, "Too late", detail).into_response()
        };
        tokio::time::timeout(ANSWER_WITHIN, next.run(request)).await.unwrap_or_else(late)
    } else {
        Problem::new(StatusCode::FORBIDDEN, "Forbidden", "requests from another site's pages are refused")
            .into_response()
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether a request comes from our own page, or from no browser at all. A browser says `Sec-Fetch-Site`, an old one at
/// least `Origin`.
fn from_here(headers: &HeaderMap) -> bool {
    let get = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    if let Some(site) = get("sec-fetch-site") {
        return site == b"same-origin" || site == b"none";
    }
    let Some(origin) = get("origin") else { return true };
    let host = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    host.is_some() && host == get("host")
}

/// Whether a browser calls us by a name of ours. Another site can have its own name lead to our address, and its pages
/// would then pass for ours. What says nothing of a page's origin is no browser's page.
fn by_our_name(headers: &HeaderMap, names: &[String]) -> bool {
    if !headers.contains_key("sec-fetch-site") && !headers.contains_key(header::ORIGIN) {
        return true;
    }
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => name,
        _ => host,
    };
    match name.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')) {
        Some(ip) => ip.parse::<Ipv6Addr>().is_ok(),
        None => {
            let ours = |known: &str| known.eq_ignore_ascii_case(name);
            name.parse::<Ipv4Addr>().is_ok() || ours("localhost") || names.iter().any(|known| ours(known))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_calls_us_by_address_or_by_a_name_of_ours() {
        let known = |host: &'static str, browser: &'static str| {
            let headers = [("host", host), (browser, "same-origin")];
            let headers = headers.map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v)));
            by_our_name(&headers.into_iter().collect(), &["edge.example".to_owned()])
        };
        let ours =
            ["127.0.0.1:8080", "10.0.0.9", "[::1]:8080", "[::1]", "localhost:8080", "Edge.example:1", "LOCALHOST"];
        for host in ours {
            assert!(known(host, "sec-fetch-site") && known(host, "origin"), "{host}");
        }
        for host in
            ["rebound.example:8080", "edge.example.evil.example", "127.0.0.1.evil.example", "[evil]:1", "::1", ""]
        {
            assert!(!known(host, "sec-fetch-site") && !known(host, "origin"), "{host}");
            assert!(known(host, "accept"), "a program may say {host}");
        }
    }

    #[test]
    fn a_post_is_taken_from_our_own_page_or_from_no_browser() {
        let from_here = |pairs: &[(&'static str, &'static str)]| {
            from_here(&pairs.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect())
        };
        assert!(from_here(&[("host", "edge:8080")]), "a program");
        assert!(from_here(&[("host", "edge:8080"), ("origin", "http://edge:8080")]));
        assert!(from_here(&[("sec-fetch-site", "same-origin"), ("origin", "https://behind-a-proxy")]));
        assert!(!from_here(&[("host", "edge:8080"), ("origin", "http://evil:8080")]));
        assert!(!from_here(&[("host", "edge:8080"), ("origin", "null")]), "a sandboxed frame");
        assert!(!from_here(&[("sec-fetch-site", "cross-site"), ("host", "edge"), ("origin", "http://edge")]));
        assert!(!from_here(&[("sec-fetch-site", "same-site")]), "another port of this host");
        assert!(!from_here(&[("origin", "edge")]), "neither http nor a host to compare");
    }
}
