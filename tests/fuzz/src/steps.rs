//! Fuzz data as the story of a session: octets that arrive, time that passes.

use stowage_base::{Duration, Timestamp};

/// When every story begins.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

/// One thing that happens to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// These octets arrive.
    Octets(&'a [u8]),
    /// So much time passes.
    Wait(Duration),
}

/// Cuts fuzz data into steps: an octet of 128 and more is time (the rest of it times 50 ms), one of 1 to 127 the
/// length of a chunk that arrives, 0 lets everything that follows arrive at once.
#[derive(Debug, Clone, Copy)]
pub struct Steps<'a>(pub &'a [u8]);

impl<'a> Iterator for Steps<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Step<'a>> {
        let (&first, rest) = self.0.split_first()?;
        if first >= 128 {
            self.0 = rest;
            return Some(Step::Wait(Duration::from_millis(i64::from(first - 128) * 50)));
        }
        let len = if first == 0 { rest.len() } else { rest.len().min(first.into()) };
        let (chunk, rest) = rest.split_at(len);
        self.0 = rest;
        Some(Step::Octets(chunk))
    }
}
