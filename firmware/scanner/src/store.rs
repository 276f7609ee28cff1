//! Where intents lie until the edge has them.

use heapless::Deque;
use stowage_base::Intent;

/// The store could not keep an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no room; the application asks first, so this is a fault.
    #[error("no room: {capacity} intents are kept, the most allowed")]
    Full {
        /// Most intents that the store keeps.
        capacity: u32,
    },
    /// Seqs must rise.
    #[error("seq {found} after {last}: seqs must rise")]
    Order {
        /// The seq offered.
        found: u32,
        /// The last one kept.
        last: u32,
    },
    /// The medium failed.
    #[error("the medium failed, code {code}")]
    Medium {
        /// The medium's own code.
        code: u32,
    },
}

/// The journal of intents: flash on a board, a file or a browser's database elsewhere.
///
/// What an implementer must keep, in one table of (seq → intent) and one number:
/// - An intent is *durable* once no loss of power can take it: only then does it appear in [`durable`](Self::durable)
///   and [`intent_from`](Self::intent_from). An append cut short must leave no trace.
/// - Durable intents leave by [`release`](Self::release) alone: full is an answer, never an overwrite.
/// - [`last_seq`](Self::last_seq) outlives the release of what it counted, and a restart: a seq is never used twice.
pub trait Store {
    /// Most intents that can be kept at once.
    fn capacity(&self) -> u32;
    /// How many are kept now.
    fn len(&self) -> u32;
    /// Whether none is kept.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The highest seq ever durable; 0 in a new store.
    fn last_seq(&self) -> u32;
    /// Begins to keep `intent`; it may be durable on return, or later.
    ///
    /// # Errors
    /// It is not kept, nor will be.
    fn append(&mut self, intent: &Intent) -> Result<(), StoreError>;
    /// All appended intents up to this seq are durable.
    fn durable(&self) -> u32;
    /// The oldest durable intent with this seq or a later one, of those that are kept.
    fn intent_from(&mut self, seq: u32) -> Option<Intent>;
    /// The edge has everything up to `seq`: it may go. A release lost with the power is harmless, as the edge answers
    /// a repeat as at first.
    fn release(&mut self, seq: u32);
    /// Does a piece of the work that takes long and that no scan may wait for, such as an erasure. Called whenever
    /// nothing else is to be done; true: there is more.
    fn tidy(&mut self) -> bool {
        false
    }
}

/// A store of `N` intents in RAM: for tests, and for a device that can't outlive its power anyway.
#[derive(Debug, Clone, Default)]
pub struct RamStore<const N: usize> {
    intents: Deque<Intent, N>,
    last_seq: u32,
}

impl<const N: usize> RamStore<N> {
    /// An empty store.
    pub const fn new() -> Self {
        Self { intents: Deque::new(), last_seq: 0 }
    }
}

impl<const N: usize> Store for RamStore<N> {
    fn capacity(&self) -> u32 {
        N as u32
    }

    fn len(&self) -> u32 {
        self.intents.len() as u32
    }

    fn last_seq(&self) -> u32 {
        self.last_seq
    }

    fn append(&mut self, intent: &Intent) -> Result<(), StoreError> {
        if intent.seq <= self.last_seq {
            return Err(StoreError::Order { found: intent.seq, last: self.last_seq });
        }
        self.intents.push_back(intent.clone()).map_err(|_| StoreError::Full { capacity: N as u32 })?;
        self.last_seq = intent.seq;
        Ok(())
    }

    fn durable(&self) -> u32 {
        self.last_seq
    }

    fn intent_from(&mut self, seq: u32) -> Option<Intent> {
        self.intents.iter().find(|intent| intent.seq >= seq).cloned()
    }

    fn release(&mut self, seq: u32) {
        while self.intents.front().is_some_and(|intent| intent.seq <= seq) {
            self.intents.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stowage_base::{Code, IntentBody, ItemRef, Timestamp};

    fn intent(seq: u32) -> Intent {
        let body = IntentBody::See { item: ItemRef::Sscc(1), at: Code::new() };
        Intent { seq, at: Timestamp::EPOCH, worker: Code::new(), body }
    }

    #[test]
    fn full_is_an_answer_not_an_overwrite() {
        let mut store = RamStore::<2>::new();
        assert_eq!(store.append(&intent(1)), Ok(()));
        assert_eq!(store.append(&intent(2)), Ok(()));
        assert_eq!(store.append(&intent(3)), Err(StoreError::Full { capacity: 2 }));
        store.release(1);
        assert_eq!(store.append(&intent(3)), Ok(()));
        assert_eq!(store.intent_from(0), Some(intent(2)));
    }

    #[test]
    fn a_seq_is_never_used_twice_even_after_its_release() {
        let mut store = RamStore::<2>::new();
        assert_eq!(store.append(&intent(7)), Ok(()));
        store.release(7);
        assert!(store.is_empty());
        assert_eq!(store.append(&intent(7)), Err(StoreError::Order { found: 7, last: 7 }));
        assert_eq!(store.last_seq(), 7);
    }
}
