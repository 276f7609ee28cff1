//! What the demo prints: what happens on the floor, and what the edge makes of it, a line each.

use super::http;
use serde::Deserialize;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncBufReadExt;
use tokio::time::Instant;

/// Facts of the same kind that come within this time share a line.
const TOGETHER: Duration = Duration::from_millis(700);

/// Prints a line. A closed output ends nothing: the demo is for the page as well.
pub(super) fn say(who: &str, what: &str) {
    let now = crate::device::Clock::start().now().to_string();
    // 2026-11-24T22:10:00.123Z
    let time = now.get(11..19).unwrap_or(&now);
    let _ = writeln!(io::stdout(), "{time}Z  {who:<6} {what}");
}

pub(super) fn welcome(page: SocketAddr, folder: &Path) {
    let _ = writeln!(
        io::stdout(),
        "\nStowage demo: a warehouse with RFID gates and smart readers, two sorters, two robots and a worker with a handheld \
         scanner.\n\n  \
         Look at it:  http://{page}/\n  Kept in:     {}\n  Stop:        Ctrl-C (the next start goes on from there)\n",
        folder.display()
    );
}

pub(super) fn farewell() {
    let _ = writeln!(io::stdout(), "\nStopped; everything is kept, and the next start goes on from there.");
}

/// A fact with the edge's own words.
#[derive(Debug, Deserialize)]
struct Told {
    kind: String,
    text: String,
    tone: String,
    fact: Fact,
}

#[derive(Debug, Deserialize)]
struct Fact {
    who: Option<String>,
}

impl Told {
    /// Whether it says something that no other line says.
    fn is_news(&self) -> bool {
        match self.kind.as_str() {
            // What the radio has seen is told as that, not once more for the book.
            kind if kind.starts_with("stock.") => self.fact.who.as_deref().is_some_and(|who| who.starts_with("worker")),
            "command.planned" | "device.up" => false,
            _ => self.tone != "routine",
        }
    }
}

/// Prints the edge's words for what it has decided, as long as the page answers.
pub(super) async fn narrate(page: SocketAddr) {
    let Ok(stream) = http::events(page, "/api/events").await else { return };
    let mut lines = stream.lines();
    // Each with how many more there are of its kind.
    let mut waiting: Vec<(Told, usize)> = Vec::new();
    let mut flush_at = None;
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line,
            () = sleep_until(flush_at) => {
                waiting.drain(..).for_each(|(told, more)| print(&told, more));
                flush_at = None;
                continue;
            }
        };
        let Ok(Some(line)) = line else { return };
        let told = line.strip_prefix("data:").and_then(|data| serde_json::from_str::<Told>(data).ok());
        let Some(told) = told.filter(Told::is_news) else { continue };
        flush_at.get_or_insert(Instant::now() + TOGETHER);
        match waiting.iter_mut().find(|(first, _)| first.kind == told.kind && first.tone == told.tone) {
            Some((_, more)) => *more += 1,
            None => waiting.push((told, 0)),
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        None => std::future::pending().await,
        Some(deadline) => tokio::time::sleep_until(deadline).await,
    }
}

fn print(told: &Told, more: usize) {
    let mark = if told.tone == "warn" || told.tone == "bad" { "! " } else { "" };
    let others = if more > 0 { format!(" (and {more} more)") } else { String::new() };
    say("edge", &format!("{mark}{}{others}", told.text));
}
