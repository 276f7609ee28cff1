//! Turning decisions into facts.

use crate::commit::Chain;
use crate::fact::{Body, Cause, Fact};
use crate::site::Site;
use crate::state::State;
use stowage_base::{Code, Timestamp};

/// Who acts, when it happened and what caused it: the same for all facts of one decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// As [`Fact::who`].
    pub who: Option<String>,
    /// As [`Fact::when`].
    pub when: Timestamp,
    /// As [`Fact::cause`].
    pub cause: Option<Cause>,
}

impl Act {
    /// The edge itself, now.
    pub const fn edge(now: Timestamp) -> Self {
        Self { who: None, when: now, cause: None }
    }
}

/// The durable state and the facts that changed it but are not in a batch yet.
#[derive(Debug)]
pub struct Recorder {
    state: State,
    seq: u64,
    at: Timestamp,
    pending: Vec<Fact>,
}

impl Recorder {
    /// Goes on after `chain` with the state that belongs to it.
    pub fn new(state: State, chain: &Chain) -> Self {
        Self { state, seq: chain.seq, at: chain.at, pending: Vec::new() }
    }

    /// The state with every fact so far.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The state, to drain its changed rows.
    pub const fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// The last fact's number.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The facts since the last call.
    pub fn take(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.pending)
    }

    /// Whether there are facts that no batch has.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Records a fact, applies it, and returns its number.
    fn record(&mut self, now: Timestamp, mut fact: Fact) -> u64 {
        fact.seq = self.seq + 1;
        fact.at = self.at.max(now);
        // Every decision asks the state before it emits. Should one be wrong all the same, stopping here is the mend:
        // nothing of it is stored, and the daemon ends with the fact in its log instead of a wrong book.
        if let Err(breach) = self.state.apply(&fact) {
            panic!("decided a fact that contradicts the book: {breach}: {fact:?}");
        }
        (self.seq, self.at) = (fact.seq, fact.at);
        self.pending.push(fact);
        self.seq
    }
}

/// Writes down one decision: all its facts have the same actor, time and cause.
#[derive(Debug)]
pub struct Clerk<'a> {
    /// The state and what is new in it.
    pub recorder: &'a mut Recorder,
    /// The site.
    pub site: &'a Site,
    /// The time of deciding.
    pub now: Timestamp,
    /// Who acts, when, and why.
    pub act: Act,
}

impl Clerk<'_> {
    /// The state with every fact so far.
    pub const fn state(&self) -> &State {
        self.recorder.state()
    }

    /// Records a fact about `what` at `place` for the reason `why`, applies it, and returns its number.
    ///
    /// # Panics
    /// If the fact contradicts the state: a decision was wrong, and going on would make the book wrong.
    pub fn record(&mut self, what: Option<String>, place: Option<Code>, why: Option<String>, body: Body) -> u64 {
        let Act { who, when, cause } = self.act.clone();
        // Number and time of recording are the recorder's to give.
        let fact = Fact { seq: 0, at: self.now, who, what, place, when, why, cause, body };
        self.recorder.record(self.now, fact)
    }
}
