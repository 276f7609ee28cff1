//! Where connections wait that have yet to show what they are.
//!
//! There is room for so many; a newcomer pushes out whoever has waited longest. So however many strangers come, those
//! who say at once what they want get in, and what strangers cost is bounded.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// A vestibule with room for a number of guests.
#[derive(Debug)]
pub(crate) struct Vestibule {
    room: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Longest waiting first.
    guests: VecDeque<(u64, CancellationToken)>,
    next: u64,
}

/// A connection's place, and its way out. Leaves when dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    vestibule: Arc<Vestibule>,
    id: u64,
    /// Ends the connection.
    pub(crate) out: CancellationToken,
}

impl Vestibule {
    /// One with room for so many at once.
    pub(crate) fn new(room: usize) -> Arc<Self> {
        Arc::new(Self { room, waiting: Mutex::default() })
    }

    /// Lets a connection in that ends with `stop`, or when it is pushed out. Whether another one was pushed out for it.
    pub(crate) fn enter(self: &Arc<Self>, stop: &CancellationToken) -> (Guest, bool) {
        let out = stop.child_token();
        let mut waiting = self.lock();
        let oldest = if waiting.guests.len() < self.room { None } else { waiting.guests.pop_front() };
        let id = waiting.next;
        waiting.next += 1;
        waiting.guests.push_back((id, out.clone()));
        drop(waiting);
        if let Some((_, oldest)) = &oldest {
            oldest.cancel();
        }
        (Guest { vestibule: Arc::clone(self), id, out }, oldest.is_some())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No change of it can panic half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    /// It has shown what it is: nobody pushes it out any more.
    pub(crate) fn known(&self) {
        self.vestibule.lock().guests.retain(|(id, _)| *id != self.id);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.known();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_pushes_out_whoever_has_waited_longest_and_nobody_who_is_known() {
        let stop = CancellationToken::new();
        let vestibule = Vestibule::new(2);
        let [first, second, third] = std::array::from_fn(|_| vestibule.enter(&stop));
        assert_eq!([first.1, second.1, third.1], [false, false, true]);
        assert!(first.0.out.is_cancelled() && !second.0.out.is_cancelled());
        second.0.known();
        let fourth = vestibule.enter(&stop);
        assert!(!fourth.1, "the second has left room");
        drop(third);
        let fifth = vestibule.enter(&stop);
        assert!(!fifth.1, "so has the third");
        assert!(vestibule.enter(&stop).1);
        assert!(fourth.0.out.is_cancelled() && !second.0.out.is_cancelled());
        stop.cancel();
        assert!(second.0.out.is_cancelled());
    }
}
