//! The page and the interface for programs.

use super::{FLOOD, MemoryWatch, Worker, garbage, rate};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use stowage_tests::goods::SNEAKERS;
use stowage_tests::http::request;
use stowage_tests::plant::Plant;
use stowage_tests::{sgtin96, within};

/// Requests in one go.
const AT_ONCE: usize = 100;

/// Requests of a flood: an answer costs more than a frame, so fewer than a million fit into the time of a test.
const REQUESTS: usize = FLOOD / 20;

fn open(page: SocketAddr, octets: &[u8]) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(page)?;
    // It may be sent away before it has said everything.
    let _ = stream.write_all(octets);
    Ok(stream)
}

/// Waits until the edge ends a connection.
fn ends(mut stream: TcpStream, what: &str) {
    stream.set_read_timeout(Some(Duration::from_secs(1))).expect("more than nothing");
    within(Duration::from_secs(40), what, || match stream.read(&mut [0; 4_096]) {
        Ok(1..) => None,
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => None,
        Ok(_) | Err(_) => Some(()),
    });
}

/// Sends `requests`, which are `AT_ONCE`, so many times on one connection, and reads their answers. Returns how many
/// answers had `status`.
fn ask(page: SocketAddr, requests: &[u8], times: usize, status: &str) -> usize {
    let mut stream = TcpStream::connect(page).expect("the page listens");
    let mut answers = stream.try_clone().expect("a socket can be cloned");
    let mark = format!("HTTP/1.1 {status}");
    std::thread::scope(|scope| {
        let heard = scope.spawn(move || {
            let (mut heard, mut found, mut octets) = (Vec::new(), 0, vec![0; 65_536]);
            while let Ok(count @ 1..) = answers.read(&mut octets) {
                heard.extend_from_slice(&octets[..count]);
                found += heard.windows(mark.len()).filter(|part| *part == mark.as_bytes()).count();
                heard.drain(..(heard.len() + 1).saturating_sub(mark.len()));
            }
            found
        });
        (0..times).for_each(|_| stream.write_all(requests).expect("the page takes it"));
        stream.write_all(b"GET /none HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("the page takes it");
        heard.join().expect("it only reads")
    })
}

#[test]
fn nonsense_at_the_page_harms_nobody() {
    let plant = Plant::new();
    let edge = plant.edge();
    let mut watch = MemoryWatch::over(&edge.program);
    let mut worker = Worker::at_the_dock(&plant);
    let long_header = [&b"GET / HTTP/1.1\r\nx: "[..], &[b'x'; 1 << 20], b"\r\n\r\n"].concat();
    let lies = b"POST /api/parcels HTTP/1.1\r\nhost: x\r\ncontent-length: 4294967296\r\n\r\n{".to_vec();
    let endless = [
        &b"POST /api/parcels HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nFFFFFFFF\r\n"[..],
        &[b' '; 1 << 20],
    ];
    let slow = b"POST /api/parcels HTTP/1.1\r\nhost: x\r\ncontent-length: 40\r\n\r\n{".to_vec();
    let junk = [garbage(100_000), long_header, lies, endless.concat(), b"GET /".to_vec(), slow];
    let opened = junk.map(|octets| open(edge.page, &octets).expect("the page listens"));
    for (method, path, body, status) in [
        ("POST", "/api/parcels", "", 400),
        ("POST", "/api/parcels", "{\"code\":1}", 422),
        ("POST", "/api/parcels", "{\"code\":\"\",\"route\":\"DE\"}", 400),
        ("POST", "/api/discrepancies/99/settle", "", 404),
        ("POST", "/api/discrepancies/x/settle", "", 400),
        ("DELETE", "/api/view", "", 405),
        ("GET", "/../../etc/passwd", "", 404),
        ("GET", "/api/facts?limit=-1", "", 400),
    ] {
        let (got, body) = request(edge.page, method, path, body).expect("an answer");
        assert_eq!(got, status, "{method} {path}: {body}");
    }
    let (status, _) = request(edge.page, "POST", "/api/parcels", &"x".repeat(1 << 20)).unwrap_or((413, String::new()));
    assert_eq!(status, 413);
    worker.scan();
    assert_eq!(edge.get("/healthz")["status"], "ok");
    // The other door is open as well.
    worker.handheld.tag(&sgtin96(SNEAKERS, 1));
    for stream in opened {
        ends(stream, "the edge to end a connection that says nothing sensible");
    }
    watch.end("nonsense at the page");
    edge.stop();
    plant.verify();
}

#[test]
fn a_flood_of_requests_delays_no_scan() {
    let plant = Plant::new();
    let edge = plant.edge();
    let mut watch = MemoryWatch::over(&edge.program);
    let mut worker = Worker::at_the_dock(&plant);
    let facts = edge.get("/healthz")["facts"].as_u64().expect("a number");
    for (what, head, status, times) in [
        ("views", "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", "200", REQUESTS / AT_ONCE),
        (
            "another site's posts",
            "POST /api/parcels HTTP/1.1\r\nhost: localhost\r\norigin: http://evil\r\ncontent-length: 2\r\n\r\n{}",
            "403",
            REQUESTS / AT_ONCE,
        ),
        (
            "posts that make no sense",
            "POST /api/parcels HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
            "422",
            REQUESTS / AT_ONCE / 10,
        ),
    ] {
        let requests = head.repeat(AT_ONCE);
        let (answered, took) = worker.scans_during(what, || ask(edge.page, requests.as_bytes(), times, status));
        assert_eq!(answered, times * AT_ONCE, "{what}: each has its answer");
        println!("{what}: {} a second", rate(answered, took));
    }
    assert!(plant.facts_of("parcel.announced").is_empty());
    assert!(edge.get("/healthz")["facts"].as_u64().expect("a number") >= facts);
    watch.end("a flood of requests");
    edge.stop();
    plant.verify();
}

#[test]
fn connections_that_never_say_what_they_want_keep_nobody_out() {
    let plant = Plant::new();
    let edge = plant.edge();
    let mut watch = MemoryWatch::over(&edge.program);
    let mut worker = Worker::at_the_dock(&plant);
    let half = |_| open(edge.page, b"GET / HTTP/1.1\r\nhost:");
    let mut slow: VecDeque<io::Result<TcpStream>> = (0..2_000).map(half).collect();
    let connections = 10_000;
    let ((), took) = worker.scans_during("requests that never end", || {
        for n in 0..connections {
            slow.pop_front();
            slow.push_back(half(n));
            // Whoever says what it wants gets it.
            if n % 1_000 == 0 {
                assert_eq!(request(edge.page, "GET", "/healthz", "").expect("an answer").0, 200);
            }
        }
    });
    println!("{} connections a second", rate(connections, took));
    // Each has its head sent octet by octet: that's no way to stay either.
    let mut stream = open(edge.page, b"").expect("the page listens");
    let mut head = b"GET / HTTP/1.1\r\nx: ".iter().chain(std::iter::repeat(&b'x'));
    within(Duration::from_secs(40), "the edge to end a request that drips", || {
        stream.write_all(&[*head.next()?]).err()
    });
    worker.scan();
    watch.end("connections that never say what they want");
    edge.stop();
    plant.verify();
}
