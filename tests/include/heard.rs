//! A sink that keeps what a reader's session makes of what it receives.

use std::fmt;
use stowage_base::{CommandError, ReaderEvent, ReaderSink, TagRead, Visit, Words};

#[derive(Default)]
pub(crate) struct Heard {
    /// Octets for the reader.
    pub(crate) out: Vec<u8>,
    pub(crate) reads: Vec<TagRead>,
    pub(crate) visits: Vec<Visit>,
    pub(crate) events: Vec<ReaderEvent>,
    /// What refusals and ends said in words.
    pub(crate) words: Vec<String>,
    /// How commands ended.
    pub(crate) done: Vec<(u32, Result<Words, CommandError>)>,
}

impl ReaderSink for Heard {
    fn send(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }

    fn read(&mut self, read: &TagRead) {
        self.reads.push(*read);
    }

    fn visit(&mut self, visit: &Visit) {
        self.visits.push(*visit);
    }

    fn event(&mut self, event: ReaderEvent) {
        self.events.push(event);
    }

    fn down(&mut self, why: &'static str, detail: fmt::Arguments<'_>) {
        self.words.push(detail.to_string());
        self.events.push(ReaderEvent::Down(why));
    }

    fn fault(&mut self, what: &'static str, code: u32, detail: fmt::Arguments<'_>) {
        self.words.push(detail.to_string());
        self.events.push(ReaderEvent::Fault { what, code });
    }

    fn done(&mut self, id: u32, result: Result<Words, CommandError>) {
        self.done.push((id, result));
    }
}
