//! Just enough of an HTTP client.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Sends a request and returns the answer's status and body. HTTP/1.0: the answer comes whole, and the connection ends.
///
/// # Errors
/// There is no answer.
pub fn request(to: SocketAddr, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nhost: {to}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other(format!("no HTTP answer: {answer:.200}")))?;
    Ok((status, answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned())))
}

/// An event of a stream.
#[derive(Debug, Clone)]
pub struct Event {
    /// `view`, `fact`, `tick` or `reset`.
    pub kind: String,
    /// Its data.
    pub data: Value,
    /// When it arrived, µs UTC.
    pub at: i64,
}

/// A stream of server-sent events, listened to on a thread of its own. Clones hear the same.
#[derive(Debug, Clone)]
pub struct Stream(Arc<Mutex<Vec<Event>>>);

impl Stream {
    /// Listens to `path` at `to`.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn open(to: SocketAddr, path: &str) -> std::io::Result<Self> {
        let mut stream = TcpStream::connect(to)?;
        write!(stream, "GET {path} HTTP/1.0\r\nhost: {to}\r\naccept: text/event-stream\r\n\r\n")?;
        let heard = Self(Arc::default());
        let hear = heard.clone();
        std::thread::spawn(move || {
            let (mut kind, mut data) = (String::new(), String::new());
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if let Some(text) = line.strip_prefix("event: ") {
                    kind = text.into();
                } else if let Some(text) = line.strip_prefix("data: ") {
                    data = text.into();
                } else if line.is_empty() && !data.is_empty() {
                    let event = Event {
                        kind: std::mem::take(&mut kind),
                        data: serde_json::from_str(&std::mem::take(&mut data)).unwrap_or_default(),
                        at: utc_micros(),
                    };
                    hear.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
                }
            }
        });
        Ok(heard)
    }

    /// What was heard so far.
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The system's time, µs UTC.
pub fn utc_micros() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

/// Runs `act` and returns how long it took beside its result.
pub fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    (act(), begun.elapsed())
}
