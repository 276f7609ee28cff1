//! Writes facts to a journal as fast as they become durable, and prints each outcome; for tests that need a process to
//! kill or to limit.
//!
//! `journal_writer DIR [LIMIT]`: no file may grow past LIMIT octets until a line comes on standard input. Ends in
//! order when standard input ends.

use rustix::process::{Resource, Rlimit, setrlimit};
use std::error::Error;
use std::io::{Read, Write, stdin, stdout};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use stowage::journal::{Journal, Retry, SqliteCommit};
use stowage_core::commit::{Commit, Outcome};
use stowage_tests::recorder::{Recorder, SITE};

enum Event {
    Outcome,
    Line,
    End,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("give the data folder")?;
    if let Some(limit) = arguments.next() {
        setrlimit(Resource::Fsize, Rlimit { current: Some(limit.parse()?), maximum: None })?;
    }
    let (journal, stored) = Journal::open(Path::new(&dir), SITE)?;
    let mut recorder = Recorder::at(stored.chain);
    let (say, events) = mpsc::channel();
    let typed = say.clone();
    thread::spawn(move || {
        for octet in stdin().lock().bytes().map_while(Result::ok) {
            if octet == b'\n' {
                let _ = typed.send(Event::Line);
            }
        }
        let _ = typed.send(Event::End);
    });
    let retry = Retry { first: Duration::from_millis(5), most: Duration::from_millis(50) };
    let mut commit = SqliteCommit::start_with(journal, retry, move || {
        let _ = say.send(Event::Outcome);
    })?;
    loop {
        while commit.under_way() < 2 {
            commit.submit(recorder.now(), recorder.batch(3));
        }
        match events.recv()? {
            Event::Outcome => {}
            Event::Line => setrlimit(Resource::Fsize, Rlimit { current: None, maximum: None })?,
            Event::End => return Ok(()),
        }
        while let Some(outcome) = commit.poll(recorder.now()) {
            match outcome {
                Outcome::Durable { seq } => writeln!(stdout(), "durable {seq}")?,
                Outcome::Failed { reason } => writeln!(stdout(), "failed {reason}")?,
            }
        }
    }
}
