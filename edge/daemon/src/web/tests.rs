//! The router as a browser or a program meets it.

use super::testing::{Daemon, EPC, story, view};
use super::{What, api, pages, router, serve};
use crate::followers::testing::until;
use crate::followers::{Bell, Follower, JsonLines};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use stowage_core::input::Reply;
use stowage_core::view::View;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

fn app(daemon: &Daemon) -> Router {
    router(daemon.shared.clone(), CancellationToken::new())
}

async fn call(app: &Router, request: Request<Body>) -> Response<Body> {
    app.clone().oneshot(request).await.expect("infallible")
}

async fn get(app: &Router, path: &str) -> Response<Body> {
    call(app, Request::get(path).body(Body::empty()).expect("a request")).await
}

async fn text(response: Response<Body>) -> String {
    let octets = to_bytes(response.into_body(), 10_000_000).await.expect("whole");
    String::from_utf8(octets.into()).expect("UTF-8")
}

async fn body(response: Response<Body>) -> Value {
    serde_json::from_str(&text(response).await).expect("JSON")
}

async fn seqs(app: &Router, path: &str) -> Vec<u64> {
    let facts = body(get(app, path).await).await;
    facts["facts"].as_array().expect("facts").iter().map(|fact| fact["seq"].as_u64().expect("number")).collect()
}

fn post(path: &str, content: &str) -> Request<Body> {
    let request = Request::post(path).header("content-type", "application/json");
    request.body(Body::from(content.to_owned())).expect("a request")
}

/// Checks a problem's status and type, and returns it.
async fn problem(response: Response<Body>, status: StatusCode) -> Value {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem = body(response).await;
    assert_eq!(problem["status"], status.as_u16());
    problem
}

/// Answers the next request with `reply`, and tells what was asked.
async fn answer(daemon: &mut Daemon, reply: Reply) -> What {
    let request = daemon.requests.recv().await.expect("asked");
    request.reply.send(reply).expect("someone waits");
    request.what
}

#[test]
fn the_description_has_the_routes_that_the_router_has() {
    let description: Value = serde_json::from_str(super::assets::OPENAPI).expect("JSON");
    let mut described = BTreeSet::new();
    for (path, methods) in description["paths"].as_object().expect("paths") {
        described.extend(methods.as_object().expect("methods").keys().map(|method| (method.clone(), path.clone())));
    }
    let routed = api::routes().into_iter().map(|(method, path, _)| (method.to_owned(), path.to_owned()));
    assert_eq!(described, routed.collect());
}

#[tokio::test]
async fn every_route_answers_with_the_security_headers() {
    let daemon = Daemon::new(5);
    let app = app(&daemon);
    let routes = api::routes().into_iter().chain(pages::routes()).filter(|(method, ..)| *method == "get");
    for path in routes.map(|(_, path, _)| path.replace("{item}", "P1")).chain(["/assets/style.css".into()]) {
        let response = get(&app, &path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let policy = response.headers()["content-security-policy"].to_str().expect("text");
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff", "{path}");
    }
    problem(get(&app, "/nowhere").await, StatusCode::NOT_FOUND).await;
    problem(call(&app, post("/api/view", "{}")).await, StatusCode::METHOD_NOT_ALLOWED).await;
}

#[tokio::test]
async fn pages_escape_what_comes_from_outside() {
    let daemon = Daemon::new(5);
    let app = app(&daemon);
    let floor = text(get(&app, "/").await).await;
    assert!(floor.contains("Demo &lt;warehouse&gt;"), "a name in HTML");
    assert!(!floor.contains("<b>strong"), "a reason in the JSON of the page");
    assert_eq!(floor.matches("</script>").count(), 3);
    let item = text(get(&app, "/item/%3Cimg%20src%3Dx%3E").await).await;
    assert!(item.contains("&lt;img src=x&gt;") && !item.contains("<img src=x>"));
    let list = text(get(&app, "/facts?item=%22%3E%3Cimg%20src%3Dx%3E").await).await;
    assert!(!list.contains("<img src=x>"));
}

#[tokio::test]
async fn the_view_comes_with_words_for_each_discrepancy() {
    let daemon = Daemon::new(0);
    let view = body(get(&app(&daemon), "/api/view").await).await;
    let words = &view["discrepancies"][0]["words"];
    assert_eq!(words["headline"], "Mug #7");
    assert_eq!(words["sentence"], "Book says A-01-1, radio says Dock");
    assert_eq!(view["zones"][1]["book"], 3);
}

#[tokio::test]
async fn a_followers_trouble_is_in_the_view_and_has_a_place_on_the_page() {
    let mut daemon = Daemon::new(5);
    let (data, bell) = (daemon.shared.data.clone(), Bell::new(5));
    let nowhere = JsonLines::new(&data.join("absent/facts.jsonl"));
    let follower = Follower::start("archive", &data, &bell, nowhere).expect("starts");
    daemon.shared.followers = Arc::new([follower.gauge().clone()]);
    until("it is in trouble", || follower.gauge().standing().trouble.is_some());
    let app = app(&daemon);
    let told = body(get(&app, "/api/view").await).await["followers"][0].clone();
    assert_eq!((&told["id"], &told["behind"], &told["left_out"]), (&json!("archive"), &json!(5), &json!(0)));
    let trouble = told["trouble"].as_str().expect("told");
    assert!(trouble.contains("absent/facts.jsonl: No such file"), "{trouble}");
    let page = text(get(&app, "/").await).await;
    assert!(page.contains(r#"<li data-follower="0""#) && page.contains("<b>archive</b>"), "{page}");
}

#[tokio::test]
async fn facts_are_listed_both_ways_and_by_kind_and_item() {
    let daemon = Daemon::new(8);
    let app = app(&daemon);
    assert_eq!(seqs(&app, "/api/facts?limit=3").await, [8, 7, 6]);
    assert_eq!(seqs(&app, "/api/facts?limit=3&before=4").await, [3, 2, 1]);
    assert_eq!(seqs(&app, "/api/facts?since=5").await, [6, 7, 8]);
    assert_eq!(seqs(&app, "/api/facts?since=8").await, [0_u64; 0]);
    assert_eq!(seqs(&app, "/api/facts?kind=command.").await, [5, 4]);
    assert_eq!(seqs(&app, "/api/facts?kind=device.up&limit=1").await, [8]);
    assert_eq!(seqs(&app, "/api/facts?item=P1").await, [5, 4, 3, 2], "with the command that its scan led to");
    assert_eq!(seqs(&app, &format!("/api/facts?item={}", EPC.to_lowercase())).await, [1]);
    let told = body(get(&app, "/api/facts?since=0&limit=1").await).await;
    assert_eq!(told["facts"][0]["text"], "Someone saw Mug #7 at A-01-1");
    assert_eq!(told["facts"][0]["item"], EPC);
    assert_eq!(told["facts"][0]["fact"]["kind"], "item.seen");
    let refused = problem(get(&app, "/api/facts?limit=501").await, StatusCode::BAD_REQUEST).await;
    assert_eq!(
        (&refused["field"], &refused["detail"]),
        (&json!("limit"), &json!("limit is 501: 1 to 500 facts at a time"))
    );
    problem(get(&app, "/api/facts?sinse=4").await, StatusCode::BAD_REQUEST).await;
}

#[tokio::test]
async fn a_long_list_is_found_by_strides_back() {
    let daemon = Daemon::new(5_000);
    let app = app(&daemon);
    assert_eq!(seqs(&app, "/api/facts?kind=parcel.").await, [3, 2]);
    assert_eq!(seqs(&app, "/api/facts?before=2953&limit=2").await, [2952, 2951], "across a stride's border");
}

#[tokio::test]
async fn a_journal_that_cannot_be_read_is_said() {
    let mut daemon = Daemon::new(0);
    daemon.shared.data.push("absent");
    let app = app(&daemon);
    let answer = problem(get(&app, "/api/facts").await, StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(answer["title"], "Journal can't be read");
    assert_eq!(get(&app, "/").await.status(), StatusCode::OK, "the floor is worth showing without it");
}

#[tokio::test]
async fn a_parcel_is_announced_once_and_a_difference_is_named() {
    let mut daemon = Daemon::new(0);
    let app = app(&daemon);
    let parcel = r#"{"code":"P1","route":"NORTH"}"#;
    let cases = [(Reply::Done, StatusCode::CREATED), (Reply::Exists, StatusCode::OK)];
    for (reply, status) in cases {
        let (response, asked) = tokio::join!(call(&app, post("/api/parcels", parcel)), answer(&mut daemon, reply));
        assert_eq!(response.status(), status);
        assert_eq!(body(response).await, json!({ "code": "P1", "route": "NORTH" }));
        let code = |text| stowage_base::code(text).expect("short");
        assert_eq!(asked, What::Announce { code: code("P1"), route: code("NORTH") });
    }
    let (response, _) =
        tokio::join!(call(&app, post("/api/parcels", parcel)), answer(&mut daemon, Reply::Differs("route")));
    assert_eq!(problem(response, StatusCode::CONFLICT).await["field"], "route");
    let (response, _) = tokio::join!(call(&app, post("/api/parcels", parcel)), answer(&mut daemon, Reply::Busy));
    assert_eq!(response.headers()["retry-after"], "2");
    problem(response, StatusCode::SERVICE_UNAVAILABLE).await;
}

#[tokio::test]
async fn a_bad_parcel_is_refused_before_the_engine_hears_of_it() {
    let mut daemon = Daemon::new(0);
    let app = app(&daemon);
    let refused = [
        (r#"{"code":"","route":"N"}"#.to_owned(), StatusCode::BAD_REQUEST, json!("code")),
        (r#"{"code":"P","route":"a\tb"}"#.into(), StatusCode::BAD_REQUEST, json!("route")),
        (format!(r#"{{"code":"{}","route":"N"}}"#, "x".repeat(33)), StatusCode::BAD_REQUEST, json!("code")),
        (r#"{"code":"P"}"#.into(), StatusCode::UNPROCESSABLE_ENTITY, Value::Null),
        (r#"{"code":"P","route":"N","to":"me"}"#.into(), StatusCode::UNPROCESSABLE_ENTITY, Value::Null),
        ("{".into(), StatusCode::BAD_REQUEST, Value::Null),
        (format!("{{\"code\":\"{}", "x".repeat(70_000)), StatusCode::PAYLOAD_TOO_LARGE, Value::Null),
    ];
    for (content, status, field) in refused {
        let problem = problem(call(&app, post("/api/parcels", &content)).await, status).await;
        assert_eq!(problem["field"], field, "{problem}");
    }
    let plain = Request::post("/api/parcels").body(Body::from("{}")).expect("a request");
    problem(call(&app, plain).await, StatusCode::UNSUPPORTED_MEDIA_TYPE).await;
    let mut foreign = post("/api/parcels", r#"{"code":"P1","route":"N"}"#);
    foreign.headers_mut().insert("sec-fetch-site", "cross-site".parse().expect("text"));
    foreign.headers_mut().insert("host", "127.0.0.1:8080".parse().expect("text"));
    problem(call(&app, foreign).await, StatusCode::FORBIDDEN).await;
    let mut rebound = post("/api/parcels", r#"{"code":"P1","route":"N"}"#);
    rebound.headers_mut().insert("origin", "http://rebound.example:8080".parse().expect("text"));
    rebound.headers_mut().insert("host", "rebound.example:8080".parse().expect("text"));
    let refused = problem(call(&app, rebound).await, StatusCode::MISDIRECTED_REQUEST).await;
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("`names` in edge.toml")), "{refused}");
    assert!(daemon.requests.try_recv().is_err(), "nothing was asked");
}

#[tokio::test]
async fn a_full_queue_or_an_engine_that_is_gone_means_busy() {
    let daemon = Daemon::new(0);
    let app = app(&daemon);
    let full =
        [daemon.shared.requests.clone().reserve_owned().await, daemon.shared.requests.clone().reserve_owned().await];
    problem(call(&app, post("/api/discrepancies/4/settle", "")).await, StatusCode::SERVICE_UNAVAILABLE).await;
    drop((full, daemon.requests));
    problem(call(&app, post("/api/discrepancies/4/settle", "")).await, StatusCode::SERVICE_UNAVAILABLE).await;
}

#[tokio::test]
async fn a_discrepancy_is_settled_or_the_answer_says_why_not() {
    let mut daemon = Daemon::new(0);
    let app = app(&daemon);
    let settle = || post("/api/discrepancies/4/settle", "");
    let (response, asked) = tokio::join!(call(&app, settle()), answer(&mut daemon, Reply::Done));
    assert_eq!((response.status(), asked), (StatusCode::NO_CONTENT, What::Settle { discrepancy: 4 }));
    let (response, _) = tokio::join!(call(&app, settle()), answer(&mut daemon, Reply::NotFound));
    problem(response, StatusCode::NOT_FOUND).await;
    problem(call(&app, post("/api/discrepancies/x/settle", "")).await, StatusCode::BAD_REQUEST).await;
}

#[tokio::test]
async fn health_follows_what_the_view_says() {
    let daemon = Daemon::new(0);
    let app = app(&daemon);
    assert_eq!(get(&app, "/healthz").await.status(), StatusCode::OK);
    daemon.view.send_replace(Arc::new(View { problem: Some("the disk is full".into()), ..view() }));
    let unwell = problem(get(&app, "/healthz").await, StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(unwell["detail"], "the disk is full");
    drop(daemon.view);
    let unwell = problem(get(&app, "/healthz").await, StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(unwell["detail"], "the engine has stopped");
}

/// An open event stream.
struct Events {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Events {
    async fn open(app: &Router, path: &str, last: Option<&str>) -> Self {
        let mut request = Request::get(path);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = call(app, request.body(Body::empty()).expect("a request")).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next events but ticks and views: `fact` with its number, or another's name.
    async fn facts(&mut self, count: usize) -> Vec<String> {
        let mut found = Vec::new();
        while found.len() < count {
            let Some(event) = self.next().await else { break };
            let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            match line("event: ") {
                Some(name) if name == "fact" => found.push(line("id: ").expect("a number")),
                Some(name) if name != "tick" && name != "view" => found.push(name),
                _ => {}
            }
        }
        found
    }

    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(event);
            }
            let chunk = self.body.next().await?.expect("open");
            self.text += std::str::from_utf8(&chunk).expect("UTF-8");
        }
    }
}

#[tokio::test]
async fn a_stream_resumes_where_it_ended_and_goes_on_live() {
    let mut daemon = Daemon::new(6);
    let app = app(&daemon);
    let mut events = Events::open(&app, "/api/events?since=1", Some("4")).await;
    assert_eq!(events.facts(2).await, ["5", "6"], "the header outranks the query");
    daemon.record(story(7).split_off(6));
    assert_eq!(events.facts(1).await, ["7"]);
    let mut fresh = Events::open(&app, "/api/events?since=7", None).await;
    daemon.record(story(8).split_off(7));
    assert_eq!(fresh.facts(1).await, ["8"]);
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_served_from_the_journal() {
    let mut daemon = Daemon::new(6);
    let app = app(&daemon);
    let mut events = Events::open(&app, "/api/events?since=6", None).await;
    daemon.record(story(16).split_off(6)); // the channel holds two
    assert_eq!(events.facts(10).await, ["7", "8", "9", "10", "11", "12", "13", "14", "15", "16"]);
}

#[tokio::test]
async fn too_much_missed_or_numbers_begun_anew_reset_the_page() {
    let mut daemon = Daemon::new(600);
    let app = app(&daemon);
    let mut behind = Events::open(&app, "/api/events?since=3", None).await;
    let mut ahead = Events::open(&app, "/api/events", Some("9999")).await;
    daemon.record(story(601).split_off(600));
    assert_eq!(behind.facts(2).await, ["reset", "601"]);
    assert_eq!(ahead.facts(2).await, ["reset", "601"]);
}

#[tokio::test]
async fn a_stream_begins_with_the_view_and_tells_each_change() {
    let daemon = Daemon::new(0);
    let mut events = Events::open(&app(&daemon), "/api/events", None).await;
    let mut problem = async |wanted: Value| {
        loop {
            let event = events.next().await.expect("open");
            if let Some(data) = event.strip_prefix("event: view\ndata: ") {
                let view: Value = serde_json::from_str(data).expect("JSON");
                return assert_eq!(view["problem"], wanted);
            }
        }
    };
    problem(Value::Null).await;
    daemon.view.send_replace(Arc::new(View { problem: Some("the disk is full".into()), ..view() }));
    problem(json!("the disk is full")).await;
}

#[tokio::test]
async fn the_server_stops_although_a_stream_is_open() {
    let daemon = Daemon::new(0);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve(listener, daemon.shared.clone(), stop.clone()));
    let socket = tokio::net::TcpStream::connect(address).await.expect("listens");
    socket.writable().await.expect("open");
    socket.try_write(b"GET /api/events HTTP/1.1\r\nhost: edge\r\n\r\n").expect("sent");
    socket.readable().await.expect("answers");
    stop.cancel();
    server.await.expect("no panic");
}

#[tokio::test]
async fn a_reader_is_commanded_and_each_failure_says_what_to_do() {
    use crate::drivers::Order;
    use stowage_base::access::{Bank, Op};
    use stowage_base::{CommandError, ReaderCommand, TagOp, Words};
    let mut daemon = Daemon::new(0);
    let (orders, mut ordered) = tokio::sync::mpsc::channel::<Order>(1);
    daemon.shared.readers = Arc::new([(stowage_base::code("gate-1").expect("short"), orders)].into());
    let app = app(&daemon);
    let path = "/api/readers/gate-1/commands";
    let read =
        r#"{"command":"read","tag":"30395DFA81B7D84000000001","bank":"tid","word":0,"words":6,"password":"0000ABCD"}"#;
    for (result, status) in [
        (Ok(Words::new([0xE280, 0x1160]).expect("few")), StatusCode::OK),
        (Err(CommandError::NoTag), StatusCode::CONFLICT),
        (Err(CommandError::Locked), StatusCode::UNPROCESSABLE_ENTITY),
        (Err(CommandError::Refused(101)), StatusCode::BAD_GATEWAY),
        (Err(CommandError::Down), StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let reader = async {
            let Order { command, reply } = ordered.recv().await.expect("ordered");
            let ReaderCommand::Tag(TagOp { password, op, antenna: None, .. }) = command else { panic!("{command:?}") };
            assert_eq!((password, op), (0xABCD, Op::Read { bank: Bank::Tid, word: 0, count: 6 }));
            reply.send(result).expect("someone waits");
        };
        let (response, ()) = tokio::join!(call(&app, post(path, read)), reader);
        match status {
            StatusCode::OK => assert_eq!(body(response).await["data"], "E2801160"),
            status => assert!(problem(response, status).await["detail"].as_str().is_some_and(|text| text.len() > 20)),
        }
    }
    for (content, field) in [
        (r#"{"command":"write_epc","tag":"30","epc":"3000"}"#, "tag"),
        (r#"{"command":"write_epc","tag":"3000","epc":"300"}"#, "epc"),
        (r#"{"command":"kill","tag":"3000","kill_password":"00000000"}"#, "kill_password"),
        (r#"{"command":"write","tag":"3000","bank":"user","word":0,"data":"12g4"}"#, "data"),
        (r#"{"command":"lock","tag":"3000","field":"epc","lock":"lock","password":"1"}"#, "password"),
        (r#"{"command":"output","port":0,"on":true}"#, "port"),
    ] {
        let problem = problem(call(&app, post(path, content)).await, StatusCode::BAD_REQUEST).await;
        assert_eq!(problem["field"], field, "{problem}");
    }
    problem(call(&app, post("/api/readers/gate-9/commands", read)).await, StatusCode::NOT_FOUND).await;
    problem(call(&app, post(path, r#"{"command":"sing"}"#)).await, StatusCode::UNPROCESSABLE_ENTITY).await;
}
