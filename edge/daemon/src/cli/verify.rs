//! `stowage verify`: is the journal what was recorded, and do its facts add up to its rows?

use super::Error;
use super::output::Output;
use crate::journal::{Filter, Key, Reader};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use stowage_core::commit::Stored;
use stowage_core::{Fact, State};

/// Check a journal: the chain of facts, the book's laws, and that the facts add up to the stored rows
///
/// Also beside a running daemon, which does not notice.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The edge's data folder
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

/// What was checked, and what is wrong.
#[derive(Debug, Serialize)]
struct Verdict {
    site: String,
    /// Facts from the first one to the moment of the rows.
    facts: u64,
    epoch: u32,
    seq: u64,
    /// Hash of the last fact, hex.
    hash: String,
    rows: usize,
    faults: Vec<String>,
}

/// Most faults that are told: the first ones tell most.
const FAULTS_MAX: usize = 20;

pub(super) fn run(args: &Args, out: &mut Output<'_>) -> Result<(), Error> {
    let reader = Reader::open(&args.data).map_err(|error| Error::Job(error.to_string()))?;
    // One moment for rows and facts: a daemon may go on writing.
    let stored = reader.stored().map_err(|error| Error::Job(error.to_string()))?;
    let mut faults = Vec::new();
    if let Err(fault) = reader.check_chain(|done| tracing::info!("{done} facts checked")) {
        faults.push(fault.to_string());
    }
    let (facts, mut state) = fold(&reader, &stored, &mut faults)?;
    if let Err(broken) = state.check() {
        faults.extend(broken);
    }
    compare(&mut state, &stored, &mut faults);
    let hash = stored.chain.hash.iter().map(|octet| format!("{octet:02X}")).collect();
    faults.truncate(FAULTS_MAX);
    let (epoch, seq) = (stored.chain.epoch, stored.chain.seq);
    let verdict = Verdict { site: reader.site().into(), facts, epoch, seq, hash, rows: stored.rows.len(), faults };
    out.either(&verdict, &text(&verdict))?;
    if verdict.faults.is_empty() { Ok(()) } else { Err(Error::Bad) }
}

fn text(verdict: &Verdict) -> String {
    let Verdict { site, facts, epoch, seq, hash, rows, faults } = verdict;
    if faults.is_empty() {
        return format!("{site}: {facts} facts up to {epoch}/{seq} and {rows} rows agree; last hash {hash}");
    }
    format!("{site}: {} in {facts} facts:\n  {}", crate::config::count(faults.len()), faults.join("\n  "))
}

/// Folds the facts up to the moment of `stored`; how many there are, and the state that they add up to.
fn fold(reader: &Reader, stored: &Stored, faults: &mut Vec<String>) -> Result<(u64, State), Error> {
    let last = Key { epoch: stored.chain.epoch, seq: stored.chain.seq };
    let (mut state, mut facts) = (State::default(), 0);
    let take = |recorded: &crate::journal::Recorded| {
        if recorded.key > last {
            return ControlFlow::Break(());
        }
        facts += 1;
        let applied = Fact::parse(&recorded.line).map_err(|error| error.to_string());
        if let Err(why) = applied.and_then(|(_, fact)| state.apply(&fact)) {
            faults.push(format!("fact {}: {why}", recorded.key));
        }
        // What follows a contradiction contradicts as well: enough is told.
        if faults.len() >= FAULTS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    reader.each(&Filter::default(), Key::START, take).map_err(|error| Error::Job(error.to_string()))?;
    Ok((facts, state))
}

/// Every row of the folded state must be stored, and none other.
fn compare(state: &mut State, stored: &Stored, faults: &mut Vec<String>) {
    let folded = state.drain().into_iter().filter_map(|row| Some(((row.table.to_owned(), row.key), row.body?)));
    let mut folded: BTreeMap<_, _> = folded.collect();
    for (table, key, body) in &stored.rows {
        match folded.remove(&(table.clone(), key.clone())) {
            None => faults.push(format!("row {key:?} of {table} is stored, but no fact made it")),
            Some(made) if made != *body => {
                faults.push(format!("row {key:?} of {table} is stored as {body}, the facts make it {made}"));
            }
            Some(_) => {}
        }
    }
    faults.extend(folded.into_keys().map(|(table, key)| format!("row {key:?} of {table} is missing")));
}

#[cfg(test)]
mod tests {
    use crate::cli::testing::{at_terminal, json, stowage};
    use crate::journal::testing::{Recorder, SITE};
    use crate::journal::{Journal, SqliteCommit};
    use serde_json::json;
    use stowage_core::commit::Commit;

    /// A journal of six facts that change no row, and one row if `stray`.
    fn journal(stray: bool) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (journal, stored) = Journal::open(folder.path(), SITE).expect("opens");
        let mut recorder = Recorder::at(stored.chain);
        let mut commit = SqliteCommit::start(journal, || ()).expect("starts");
        let row = ("item", "30", Some("{}"));
        commit.submit(recorder.now(), recorder.batch(6, if stray { std::slice::from_ref(&row) } else { &[] }));
        drop(commit);
        folder
    }

    #[test]
    fn a_whole_journal_is_good() {
        let folder = journal(false);
        let path = folder.path().to_str().expect("text");
        let (status, out, err) = stowage(&["verify", "--data", path], b"");
        let verdict = &json(&out)[0];
        assert_eq!((status, err.as_str(), &verdict["facts"]), (0, "", &json!(6)), "{out}");
        assert_eq!((&verdict["site"], &verdict["faults"]), (&json!(SITE), &json!([])));
        assert!(at_terminal(&["verify", "--data", path], b"").1.contains("6 facts up to 1/6 and 0 rows agree"));
    }

    #[test]
    fn a_row_that_no_fact_made_is_found() {
        let folder = journal(true);
        let (status, out, _) = stowage(&["verify", "--data", folder.path().to_str().expect("text")], b"");
        assert_eq!(status, 1);
        assert_eq!(json(&out)[0]["faults"], json!(["row \"30\" of item is stored, but no fact made it"]));
    }

    #[test]
    fn a_changed_fact_is_found() {
        let folder = journal(false);
        let connection = rusqlite::Connection::open(folder.path().join(crate::journal::FILE)).expect("opens");
        connection.execute("UPDATE facts SET hash = x'00' WHERE seq = 3", []).expect("changes");
        let (status, out, _) = stowage(&["verify", "--data", folder.path().to_str().expect("text")], b"");
        let faults = json(&out)[0]["faults"].clone();
        assert!(status == 1 && faults[0].as_str().is_some_and(|fault| fault.starts_with("fact 1/3: ")), "{out}");
    }

    #[test]
    fn facts_are_listed_as_recorded() {
        let folder = journal(false);
        let path = folder.path().to_str().expect("text");
        let seqs = |more: &[&str]| -> Vec<u64> {
            let (status, out, err) = stowage(&[&["facts", "--data", path][..], more].concat(), b"");
            assert_eq!((status, err.as_str()), (0, ""));
            json(&out).iter().map(|fact| fact["seq"].as_u64().expect("a number")).collect()
        };
        assert_eq!(seqs(&[]), [1, 2, 3, 4, 5, 6]);
        assert_eq!(seqs(&["--worker", "7"]), [3, 6]);
        assert_eq!(seqs(&["--item", "ab", "--since", "1970-01-01T00:00:03Z"]), [5]);
        assert_eq!(seqs(&["--location", "A-1", "--kind", "device.up"]), [1, 4]);
        assert_eq!(seqs(&["--kind", "stock.moved"]), [0; 0]);
        let shown = at_terminal(&["facts", "--data", path], b"").1;
        assert!(shown.starts_with("SEQ") && shown.contains("1970-01-01T00:00:03.000Z  device.up"), "{shown}");
    }
}
