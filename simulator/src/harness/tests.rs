//! Runs of short scenarios; and an auditor that can fail.

/// What a test does to a run, so that the auditor has something to find.
#[derive(Debug, Default)]
pub(super) struct Sabotage {}

impl Sabotage {
    pub(super) fn lines(&self, _lines: &[String]) -> Option<Vec<String>> {
        None
    }
}
