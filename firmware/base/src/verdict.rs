//! What a worker is told.

use crate::{Code, TextKey};
use heapless::Vec;
use serde::{Deserialize, Serialize};

/// How an answer looks and sounds. On the wire variants count from 0: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Green, one high beep: go on.
    Ok,
    /// Amber, two beeps: recorded, but look at the words.
    Warn,
    /// Red, one long low beep: not done.
    Stop,
}

/// An answer to a scan: level and words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Colour and sound.
    pub level: Level,
    /// The sentence.
    pub key: TextKey,
    /// What stands in for `{0}`, `{1}`, … in the sentence.
    pub args: Vec<Code, 4>,
}

impl Verdict {
    /// A verdict with its arguments. Arguments past the fourth, and octets past a [`Code`]'s length, are left out.
    pub fn new(level: Level, key: TextKey, args: &[&str]) -> Self {
        let short = |text: &str| {
            let mut end = text.len().min(crate::CODE_LEN_MAX);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            crate::code(&text[..end]).unwrap_or_default()
        };
        Self { level, key, args: args.iter().take(4).map(|arg| short(arg)).collect() }
    }
}
