//! Made-up facts with their rows, to be committed.

use std::collections::BTreeMap;
use stowage_base::{Duration, Timestamp, code};
use stowage_core::commit::{Batch, Chain, Entry, Row};
use stowage_core::fact::{Body, DeviceChanged, Fact};

/// The site of these facts.
pub const SITE: &str = "conformance";

/// How many devices the facts are about, and so how many rows there are at most.
const DEVICES: u64 = 7;

/// Records facts that follow a chain, one a second. Fact `n` is about device `n % 7`, and leaves a row that names `n`;
/// every fifth fact deletes the row instead.
#[derive(Debug, Clone)]
pub struct Recorder {
    chain: Chain,
}

impl Recorder {
    /// Goes on from `chain`.
    pub fn at(chain: Chain) -> Self {
        Self { chain }
    }

    /// When the last fact was recorded.
    pub fn now(&self) -> Timestamp {
        self.chain.at
    }

    /// The next `facts` facts.
    pub fn batch(&mut self, facts: usize) -> Batch {
        let first = self.chain.seq + 1;
        let entries = (0..facts).map(|_| self.entry()).collect();
        let row = |(key, body)| Row { table: "device", key, body };
        Batch {
            entries,
            rows: changes(first, self.chain.seq).into_iter().map(row).collect(),
            chain: self.chain.clone(),
        }
    }

    fn entry(&mut self) -> Entry {
        let (seq, at) = (self.chain.seq + 1, self.chain.at + Duration::from_secs(1));
        let device = code(&device(seq)).unwrap_or_default();
        let what = Some(device.to_string());
        let body = Body::DeviceUp(DeviceChanged { device });
        let fact = Fact { seq, at, who: None, what, place: None, when: at, why: None, cause: None, body };
        let line = fact.line(SITE, self.chain.epoch);
        let hash = Chain::link(&self.chain.hash, &line);
        self.chain = Chain { seq, hash, at, ..self.chain.clone() };
        Entry { fact, line, hash }
    }
}

/// The rows that facts 1 to `seq` leave, as a journal gives them.
pub fn rows(seq: u64) -> Vec<(String, String, String)> {
    let row = |(key, body): (String, Option<String>)| Some(("device".to_owned(), key, body?));
    changes(1, seq).into_iter().filter_map(row).collect()
}

/// The lines of facts 1 to `seq`.
pub fn lines(seq: u64) -> Vec<String> {
    let mut recorder = Recorder::at(Chain::START);
    (0..seq).map(|_| recorder.entry().line).collect()
}

fn device(seq: u64) -> String {
    format!("D-{}", seq % DEVICES)
}

/// What facts `first` to `last` do to the rows, each key once.
fn changes(first: u64, last: u64) -> BTreeMap<String, Option<String>> {
    (first..=last).map(|seq| (device(seq), (seq % 5 != 0).then(|| format!("{{\"seq\":{seq}}}")))).collect()
}
