//! Facts to store in tests.

use stowage_base::{Duration, Timestamp, code};
use stowage_core::commit::{Batch, Chain, Entry, Row};
use stowage_core::fact::{Body, DeviceChanged, Fact};

pub(crate) const SITE: &str = "test";

/// Records made-up facts, one a second from the chain's time on. Of three in turn the first has a place, the second a
/// thing and the third a worker.
pub(crate) struct Recorder {
    chain: Chain,
}

impl Recorder {
    pub(crate) fn at(chain: Chain) -> Self {
        Self { chain }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.chain.at
    }

    pub(crate) fn batch(&mut self, facts: usize, rows: &[(&'static str, &str, Option<&str>)]) -> Batch {
        let entries = (0..facts).map(|_| self.entry()).collect();
        let row = |&(table, key, body): &(&'static str, &str, Option<&str>)| Row {
            table,
            key: key.to_owned(),
            body: body.map(str::to_owned),
        };
        Batch { entries, rows: rows.iter().map(row).collect(), chain: self.chain.clone() }
    }

    fn entry(&mut self) -> Entry {
        let (seq, at) = (self.chain.seq + 1, self.chain.at + Duration::from_secs(1));
        let turn = |turn, text: &str| (seq % 3 == turn).then(|| text.to_owned());
        let device = code(&format!("D-{seq}")).expect("short");
        let fact = Fact {
            seq,
            at,
            who: turn(0, "worker:7"),
            what: turn(2, "ab"),
            place: turn(1, "A-1").and_then(|place| code(&place)),
            when: at,
            why: None,
            cause: None,
            body: Body::DeviceUp(DeviceChanged { device }),
        };
        let line = fact.line(SITE, self.chain.epoch);
        let hash = Chain::link(&self.chain.hash, &line);
        self.chain = Chain { seq, hash, at, ..self.chain.clone() };
        Entry { fact, line, hash }
    }
}
