//! What the worker is asked to do.

use heapless::Vec;
use stowage_base::{Code, TextKey, Verdict};
use stowage_link::Task;

/// Most tasks at once.
const TASKS_MAX: usize = 16;

#[derive(Debug, Clone)]
struct Entry {
    /// The edge's name for it; `None` for a stop that the worker is to mend, which is the scanner's own.
    id: Option<u32>,
    key: TextKey,
    args: Vec<Code, 4>,
}

/// The scanner's own first, then the edge's, each in order of arrival.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    entries: Vec<Entry, TASKS_MAX>,
}

impl Tasks {
    /// Takes a task from the edge; true if it is a new one and there is room (else the edge still has it).
    pub(crate) fn put(&mut self, task: Task) -> bool {
        let entry = Entry { id: Some(task.id), key: task.key, args: task.args };
        if let Some(known) = self.entries.iter_mut().find(|known| known.id == entry.id) {
            *known = entry;
            return false;
        }
        self.entries.push(entry).is_ok()
    }

    pub(crate) fn remove(&mut self, id: u32) {
        self.entries.retain(|entry| entry.id != Some(id));
    }

    /// All of the edge's are void.
    pub(crate) fn clear(&mut self) {
        self.entries.retain(|entry| entry.id.is_none());
    }

    /// The edge said stop to something that the worker took for done. The worker hears it now; among more than
    /// [`TASKS_MAX`] of them the last entry makes way.
    pub(crate) fn keep(&mut self, verdict: &Verdict) {
        if self.entries.is_full() {
            self.entries.pop();
        }
        let own = self.entries.iter().take_while(|entry| entry.id.is_none()).count();
        let entry = Entry { id: None, key: verdict.key, args: verdict.args.clone() };
        let _ = self.entries.insert(own, entry); // there is room now
    }

    /// The worker has dealt with the first of the scanner's own; true if there was one.
    pub(crate) fn dismiss(&mut self) -> bool {
        let own = self.entries.first().is_some_and(|entry| entry.id.is_none());
        if own {
            self.entries.remove(0);
        }
        own
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (TextKey, &[Code])> {
        self.entries.iter().map(|entry| (entry.key, entry.args.as_slice()))
    }
}
