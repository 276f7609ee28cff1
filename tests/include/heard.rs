//! A sink that keeps what a reader's session makes of what it receives.

use stowage_base::{ReaderEvent, ReaderSink, TagRead, Visit};

#[derive(Default)]
pub(crate) struct Heard {
    /// Octets for the reader.
    pub(crate) out: Vec<u8>,
    pub(crate) reads: Vec<TagRead>,
    pub(crate) visits: Vec<Visit>,
    pub(crate) events: Vec<ReaderEvent>,
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
}
