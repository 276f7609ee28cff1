//! `stowage restored`: a journal that came from a backup goes on without repeating keys.

use super::Error;
use super::output::Output;
use crate::journal::{Journal, Key, Reader};
use serde::Serialize;
use std::path::PathBuf;

/// Begin a new epoch in a journal that was restored from a backup: once, before the edge runs on it
///
/// The outside has seen facts that the backup lacks. Without a new epoch the next facts would have their keys, and
/// followers would take them for repeats.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The edge's data folder
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

#[derive(Debug, Serialize)]
struct Begun {
    site: String,
    /// The backup's last fact, `EPOCH/SEQ`.
    last: String,
    /// In which facts are recorded from now on.
    epoch: u32,
}

pub(super) fn run(args: &Args, out: &mut Output<'_>) -> Result<(), Error> {
    let job = |error: crate::journal::OpenError| Error::Job(error.to_string());
    // Whose journal it is, it says itself; and where there is none, none is made.
    let site = Reader::open(&args.data).map_err(job)?.site().to_owned();
    let (mut journal, stored) = Journal::open(&args.data, &site).map_err(job)?;
    let last = Key { epoch: stored.chain.epoch, seq: stored.chain.seq }.to_string();
    let epoch = journal.begin_epoch().map_err(job)?.epoch;
    let text = format!("{site}: the backup ends at {last}; facts are recorded in epoch {epoch} from now on");
    out.either(&Begun { site, last, epoch }, &text)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::cli::testing::{at_terminal, json, stowage};
    use crate::journal::testing::{Recorder, SITE};
    use crate::journal::{Journal, SqliteCommit};
    use serde_json::json;
    use stowage_core::commit::Commit;

    #[test]
    fn facts_after_a_restore_have_keys_of_their_own() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().to_str().expect("text");
        let record = |facts| {
            let (journal, stored) = Journal::open(folder.path(), SITE).expect("opens");
            let mut recorder = Recorder::at(stored.chain);
            let mut commit = SqliteCommit::start(journal, || ()).expect("starts");
            commit.submit(recorder.now(), recorder.batch(facts, &[]));
        };
        record(3);
        let (status, out, err) = stowage(&["restored", "--data", data], b"");
        assert_eq!((status, err.as_str()), (0, ""));
        assert_eq!(json(&out), [json!({ "site": SITE, "last": "1/3", "epoch": 2 })]);
        record(2);
        let verdict = &json(&stowage(&["verify", "--data", data], b"").1)[0];
        assert_eq!((&verdict["epoch"], &verdict["seq"], &verdict["facts"]), (&json!(2), &json!(2), &json!(5)));
        let shown = at_terminal(&["restored", "--data", data], b"").1;
        assert!(shown.contains("the backup ends at 2/2; facts are recorded in epoch 3 from now on"), "{shown}");
    }

    #[test]
    fn a_folder_without_a_journal_is_left_without_one() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (status, out, err) = stowage(&["restored", "--data", folder.path().to_str().expect("text")], b"");
        assert_eq!((status, out.as_str()), (1, ""));
        assert!(err.contains("there is no journal"), "{err}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("reads").count(), 0);
    }

    #[test]
    fn a_running_edges_journal_is_left_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (_running, _) = Journal::open(folder.path(), SITE).expect("opens");
        let (status, _, err) = stowage(&["restored", "--data", folder.path().to_str().expect("text")], b"");
        assert!(status == 1 && err.contains("stop that one first"), "{err}");
    }
}
