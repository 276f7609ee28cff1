//! Scanners: how far each has been answered, its tasks, and the catalogue that all of them mirror.

use stowage_base::Duration;
use stowage_core::site::{Location, ZoneKind};
use stowage_core::{Effect, Site};
use stowage_link::{Alias, Change, Item, Progress, Task, Why};

/// How long a scanner waits with an intent that can't be recorded now.
pub const RETRY: Duration = Duration::from_secs(2);

/// Past so many changes of a task list, the longest ended task is forgotten: a scanner that was away since may show it
/// until the edge starts anew.
const TASK_CHANGES_MAX: usize = 256;

/// Where one scanner stands, whatever connection serves it.
#[derive(Debug, Default)]
pub struct Standing {
    progress: Progress,
    /// Changes of its task list, oldest first; what a later change has made void is gone.
    tasks: Vec<(u32, Change)>,
    tasks_version: u32,
}

impl Standing {
    /// A scanner that the engine has answered up to `answered`.
    pub fn new(answered: u32) -> Self {
        Self { progress: Progress { acked: answered, taken: answered }, ..Self::default() }
    }

    /// A connection of it comes up: where it goes on.
    pub fn up(&mut self) -> Progress {
        self.progress.taken = self.progress.taken.max(self.progress.acked);
        self.progress
    }

    /// Intent `seq` goes to the engine.
    pub fn taken(&mut self, seq: u32) {
        self.progress.taken = self.progress.taken.max(seq);
    }

    /// Intent `seq` can't be recorded now: it and those after it come again.
    pub fn refused(&mut self, seq: u32) {
        if self.progress.acked < seq && seq <= self.progress.taken {
            self.progress.taken = seq - 1;
        }
    }

    /// It has had answers up to `answered` that are unknown here.
    pub fn lost(&mut self, answered: u32) {
        self.progress = Progress { acked: answered, taken: answered };
    }

    /// The engine has this for the scanner. To be told to the connection as well, after this.
    pub fn effect(&mut self, effect: &Effect) {
        match effect {
            Effect::Answer { seq, .. } => self.progress.acked = self.progress.acked.max(*seq),
            Effect::Refuse { seq, .. } => self.refused(*seq),
            Effect::AddTask { id, key, args, .. } => {
                let args = args.iter().take(4).cloned().collect();
                self.task(*id as u32, Change::Task(Task { id: *id as u32, key: *key, args }));
            }
            Effect::RemoveTask { id, .. } => self.task(*id as u32, Change::TaskGone(*id as u32)),
            Effect::Divert { .. }
            | Effect::Recorded { .. }
            | Effect::Drive { .. }
            | Effect::CancelDrive { .. }
            | Effect::Reply { .. } => {}
        }
    }

    /// The first change of its tasks after `version`, with its version.
    pub fn task_after(&self, version: u32) -> Option<(u32, Change)> {
        self.tasks.iter().find(|(of, _)| *of > version).cloned()
    }

    fn task(&mut self, id: u32, change: Change) {
        let about =
            |change: &Change| matches!(change, Change::Task(Task { id: of, .. }) | Change::TaskGone(of) if *of == id);
        let known = self.tasks.iter().any(|(_, before)| about(before));
        let same = self.tasks.iter().any(|(_, before)| *before == change);
        if same || (!known && matches!(change, Change::TaskGone(_))) {
            return;
        }
        self.tasks.retain(|(_, before)| !about(before));
        self.tasks_version += 1;
        self.tasks.push((self.tasks_version, change));
        let ended = |(_, change): &(u32, Change)| matches!(change, Change::TaskGone(_));
        if self.tasks.len() > TASK_CHANGES_MAX
            && let Some(oldest) = self.tasks.iter().position(ended)
        {
            self.tasks.remove(oldest);
        }
    }
}

/// Everything that scanners know about a site, in a fixed order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    /// Version n is at n - 1.
    changes: Vec<Change>,
    epoch: u32,
}

impl Catalogue {
    /// Items and locations of `site`.
    pub fn of(site: &Site) -> Self {
        // What lies outside the premises is no place to scan goods to.
        let inside = |location: &&Location| site.zone(location.zone).kind != ZoneKind::Outside;
        let locations = site.locations.iter().filter(inside);
        let locations = locations.map(|location| Change::Location(location.code.clone()));
        let items = site.skus.iter().flat_map(|sku| {
            let name = sku.name.chars().scan(0, |len, c| {
                *len += c.len_utf8();
                (*len <= stowage_link::NAME_LEN_MAX).then_some(c)
            });
            let name: String = name.collect();
            let aliases = [Alias::Gtin(sku.gtin), Alias::Code(sku.code.clone())].into_iter();
            let aliases = aliases.chain(sku.aliases.iter().cloned().map(Alias::Code));
            aliases.map(move |alias| {
                Change::Item(Item {
                    alias,
                    item: sku.code.clone(),
                    // Cut to fit above.
                    name: heapless::String::try_from(name.as_str()).unwrap_or_default(),
                    serialised: sku.serialised,
                })
            })
        });
        let changes: Vec<Change> = locations.chain(items).collect();
        Self { epoch: fingerprint(&changes), changes }
    }

    /// Tells one catalogue from another; never 0.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The change after `version`, with its version.
    pub fn change_after(&self, version: u32) -> Option<(u32, Change)> {
        Some((version + 1, self.changes.get(version as usize)?.clone()))
    }
}

/// FNV-1a over what the changes say; never 0.
fn fingerprint(changes: &[Change]) -> u32 {
    let text = format!("{changes:?}");
    let hash = text.bytes().fold(0x811C_9DC5_u32, |hash, octet| (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193));
    hash.max(1)
}

/// Why a session ended, in words.
pub fn down(why: Why) -> &'static str {
    match why {
        Why::Disconnected => "connection closed",
        Why::Silent => "silent for too long",
        Why::Forged => "its frames don't fit its key: enrol it anew",
        Why::Superseded => "it connected anew",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stowage_base::{Code, Level, TextKey, Verdict};
    use stowage_core::site::DeviceIx;

    const SCANNER: DeviceIx = DeviceIx(0);

    fn add(id: u64) -> Effect {
        Effect::AddTask { scanner: SCANNER, id, key: TextKey::CheckItem, args: vec![Code::new(); 5] }
    }

    fn gone(id: u64) -> Effect {
        Effect::RemoveTask { scanner: SCANNER, id }
    }

    #[test]
    fn a_refusal_takes_back_what_was_taken_and_an_answer_does_not() {
        let mut standing = Standing::new(4);
        (5..=7).for_each(|seq| standing.taken(seq));
        let answer =
            |seq| Effect::Answer { scanner: SCANNER, seq, verdict: Verdict::new(Level::Ok, TextKey::Kept, &[]) };
        standing.effect(&answer(5));
        standing.effect(&Effect::Refuse { scanner: SCANNER, seq: 7 });
        assert_eq!(standing.up(), Progress { acked: 5, taken: 6 });
        standing.effect(&Effect::Refuse { scanner: SCANNER, seq: 5 });
        assert_eq!(standing.up(), Progress { acked: 5, taken: 6 }, "5 was answered");
        standing.lost(9);
        assert_eq!(standing.up(), Progress { acked: 9, taken: 9 });
    }

    #[test]
    fn a_task_list_tells_each_task_once_and_its_end_instead_of_it() {
        let mut standing = Standing::default();
        for effect in [add(1), add(1), add(2), gone(3), gone(1)] {
            standing.effect(&effect);
        }
        let told = |after| match standing.task_after(after) {
            Some((version, Change::Task(task))) => Some((version, task.id, true)),
            Some((version, Change::TaskGone(id))) => Some((version, id, false)),
            other => other.map(|(version, _)| (version, 0, false)),
        };
        assert_eq!([told(0), told(2), told(3)], [Some((2, 2, true)), Some((3, 1, false)), None]);
    }

    #[test]
    fn ended_tasks_are_forgotten_before_open_ones() {
        let mut standing = Standing::default();
        (0..400).for_each(|id| standing.effect(&add(id)));
        (0..400).filter(|id| id % 2 == 0).for_each(|id| standing.effect(&gone(id)));
        let mut open = Vec::new();
        let mut version = 0;
        while let Some((next, change)) = standing.task_after(version) {
            version = next;
            open.extend(if let Change::Task(task) = change { Some(task.id) } else { None });
        }
        assert_eq!(open, (0..400).filter(|id| id % 2 == 1).collect::<Vec<_>>());
    }
}
