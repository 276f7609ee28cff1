//! Reading a journal, also while a daemon writes it.

use super::chain::{ChainCheck, ChainFault, FactRow};
use super::{FILE, Key, OpenError, explain, open_error, schema};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params_from_iter};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stowage_base::Timestamp;
use stowage_core::commit::{Chain, Stored};

/// How many facts are fetched at a time where all are wanted.
const PAGE: usize = 512;

/// Which facts are wanted; what is `None` doesn't matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Recorded at this time or later.
    pub since: Option<Timestamp>,
    /// The thing that the fact names: pure identity URI, SKU, parcel or device code.
    pub what: Option<String>,
    /// Location, zone or chute code.
    pub place: Option<String>,
    /// Who acted, as the fact says it: `worker:BADGE`, `device:CODE`, `page`.
    pub who: Option<String>,
    /// Kind of fact, such as `stock.moved`, or a family of them, such as `stock`.
    pub kind: Option<String>,
    /// SKU in the fact's data. Not indexed: every fact is looked at.
    pub sku: Option<String>,
    /// Lot in the fact's data. Not indexed: every fact is looked at.
    pub lot: Option<String>,
}

/// A fact as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its place in the journal.
    pub key: Key,
    /// Kind of fact.
    pub kind: String,
    /// One JSON object, without the line's end.
    pub line: String,
}

/// A journal can't be read on. The text names the file and the mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReadError(String);

/// A journal opened for reading. Never writes, and makes no writer wait.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    path: PathBuf,
    site: String,
}

impl Reader {
    /// Opens the journal in the data folder `dir`.
    ///
    /// # Errors
    /// There is none, or it can't be read; [`OpenError`] says the mend.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join(FILE);
        if !path.exists() {
            return Err(OpenError::Absent { path });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(|error| open_error(&path, &error))?;
        // Only a recovery after a crash makes a reader wait.
        connection.busy_timeout(Duration::from_secs(5)).map_err(|error| open_error(&path, &error))?;
        let site = schema::check(&connection, &path)?;
        Ok(Self { connection, path, site })
    }

    /// The code of the site whose facts these are.
    pub fn site(&self) -> &str {
        &self.site
    }

    /// The last fact; of `seq` 0 where the epoch has none yet.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn head(&self) -> Result<Key, ReadError> {
        let chain = chain(&self.connection).map_err(|error| self.error(&error))?;
        Ok(Key { epoch: chain.epoch, seq: chain.seq })
    }

    /// How many facts of epochs before `epoch` follow `after`.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn count_before(&self, epoch: u32, after: Key) -> Result<u64, ReadError> {
        let count = "SELECT count(*) FROM facts WHERE (epoch, seq) > (?1, ?2) AND epoch < ?3";
        let bounds = (after.epoch, after.seq.cast_signed(), epoch);
        let count = self.connection.query_row(count, bounds, |row| row.get(0));
        count.map(i64::cast_unsigned).map_err(|error| self.error(&error))
    }

    /// The first facts after `after` that pass `filter`, at most `limit` of them, in order.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn page(&self, filter: &Filter, after: Key, limit: usize) -> Result<Vec<Recorded>, ReadError> {
        self.query(filter, after, limit).map_err(|error| self.error(&error))
    }

    /// Hands each fact after `after` that passes `filter` to `take`, in order, until `take` breaks or no more is there.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn each(
        &self,
        filter: &Filter,
        mut after: Key,
        mut take: impl FnMut(&Recorded) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        loop {
            let page = self.page(filter, after, PAGE)?;
            for fact in &page {
                if take(fact).is_break() {
                    return Ok(());
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = last.key,
                _ => return Ok(()),
            }
        }
    }

    /// The rows and the fact that they follow, of one moment.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn stored(&self) -> Result<Stored, ReadError> {
        stored(&self.connection).map_err(|error| self.error(&error))
    }

    /// Follows the whole chain: numbers without gaps, times never back, each hash, each line a fact that agrees with
    /// its columns. Tells `progress` now and then how many facts are done. Returns where the chain leads to.
    ///
    /// # Errors
    /// The first place where the journal is not what was recorded.
    pub fn check_chain(&self, mut progress: impl FnMut(u64)) -> Result<Chain, ChainFault> {
        let mut check = ChainCheck::after(Chain::START, &self.site);
        let mut done = 0;
        let mut walk = || {
            let mut statement = self.connection.prepare(&format!("{ROW} ORDER BY epoch, seq"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if let Err(fault) = check.follow(fact_row(row)?) {
                    return Ok(Err(fault));
                }
                done += 1;
                if done % 10_000 == 0 {
                    progress(done);
                }
            }
            progress(done);
            Ok(Ok(()))
        };
        match walk() {
            Ok(Ok(())) => Ok(check.chain().clone()),
            Ok(Err(fault)) => Err(fault),
            Err(error) => {
                let after = Key { epoch: check.chain().epoch, seq: check.chain().seq };
                Err(ChainFault::Unreadable { after, reason: explain(&self.path, &error) })
            }
        }
    }

    fn query(&self, filter: &Filter, after: Key, limit: usize) -> rusqlite::Result<Vec<Recorded>> {
        let mut after = after;
        if let Some(since) = filter.since {
            // Facts are stored in the order of their times, so the first one's row is where to begin.
            let first = "SELECT epoch, seq FROM facts WHERE at >= ?1 ORDER BY at, rowid LIMIT 1";
            let first = self.connection.prepare_cached(first)?.query_row([since.micros()], key).optional()?;
            let Some(first) = first else { return Ok(Vec::new()) };
            after = after.max(Key { epoch: first.epoch, seq: first.seq - 1 });
        }
        let mut sql = "SELECT epoch, seq, kind, line FROM facts WHERE (epoch, seq) > (?1, ?2)".to_owned();
        let mut values = vec![Value::from(after.epoch), Value::from(after.seq.cast_signed())];
        let conditions = [
            ("what = ?", &filter.what),
            ("place = ?", &filter.place),
            ("who = ?", &filter.who),
            ("substr(kind || '.', 1, length(?1) + 1) = ?1 || '.'", &filter.kind),
            ("line ->> '$.data.sku' = ?", &filter.sku),
            ("line ->> '$.data.lot' = ?", &filter.lot),
        ];
        for (condition, wanted) in conditions {
            if let Some(wanted) = wanted {
                values.push(Value::from(wanted.clone()));
                let place = format!("?{}", values.len());
                sql += &format!(" AND {}", condition.replace("?1", "?").replace('?', &place));
            }
        }
        values.push(Value::from(i64::try_from(limit).unwrap_or(i64::MAX)));
        sql += &format!(" ORDER BY epoch, seq LIMIT ?{}", values.len());
        let mut statement = self.connection.prepare_cached(&sql)?;
        let facts = statement.query_map(params_from_iter(values), |row| {
            Ok(Recorded { key: key(row)?, kind: row.get(2)?, line: row.get(3)? })
        })?;
        facts.collect()
    }

    fn error(&self, error: &rusqlite::Error) -> ReadError {
        ReadError(explain(&self.path, error))
    }
}

const ROW: &str = "SELECT epoch, seq, at, kind, who, what, place, line, hash FROM facts";

fn key(row: &Row<'_>) -> rusqlite::Result<Key> {
    Ok(Key { epoch: row.get(0)?, seq: row.get(1).map(i64::cast_unsigned)? })
}

fn fact_row<'a>(row: &'a Row<'_>) -> rusqlite::Result<FactRow<'a>> {
    // The table is STRICT, so text may not be UTF-8 but is never a number.
    let octets = |column: usize| -> rusqlite::Result<Option<&'a [u8]>> { Ok(row.get_ref(column)?.as_bytes_or_null()?) };
    let some = |column| octets(column).map(Option::unwrap_or_default);
    Ok(FactRow {
        key: key(row)?,
        at: row.get(2)?,
        kind: some(3)?,
        who: octets(4)?,
        what: octets(5)?,
        place: octets(6)?,
        line: some(7)?,
        hash: some(8)?,
    })
}

/// Where the journal stands.
fn chain(connection: &Connection) -> rusqlite::Result<Chain> {
    let epoch = schema::epoch(connection)?;
    let last = "SELECT epoch, seq, at, hash FROM facts ORDER BY epoch DESC, seq DESC LIMIT 1";
    let last = connection.prepare_cached(last)?.query_row([], chain_at).optional()?;
    Ok(match last {
        Some(last) if last.epoch >= epoch => last,
        Some(last) => Chain { epoch, seq: 0, ..last },
        None => Chain { epoch, ..Chain::START },
    })
}

fn chain_at(row: &Row<'_>) -> rusqlite::Result<Chain> {
    let Key { epoch, seq } = key(row)?;
    Ok(Chain { epoch, seq, at: Timestamp::from_micros(row.get(2)?), hash: row.get(3)? })
}

/// Rows and chain of one moment.
pub(super) fn stored(connection: &Connection) -> rusqlite::Result<Stored> {
    let moment = connection.unchecked_transaction()?;
    let chain = chain(&moment)?;
    let mut statement = moment.prepare("SELECT tbl, key, body FROM rows ORDER BY tbl, key")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(Stored { chain, rows: rows.collect::<Result<_, _>>()? })
}

/// Whether the last fact follows the one before it: a look that costs the same for every length of journal.
pub(super) fn check_last(connection: &Connection, site: &str) -> rusqlite::Result<Result<(), ChainFault>> {
    let before = "SELECT epoch, seq, at, hash FROM facts ORDER BY epoch DESC, seq DESC LIMIT 1 OFFSET 1";
    let before = connection.query_row(before, [], chain_at).optional()?.unwrap_or(Chain::START);
    let mut statement = connection.prepare(&format!("{ROW} ORDER BY epoch DESC, seq DESC LIMIT 1"))?;
    let mut rows = statement.query([])?;
    match rows.next()? {
        Some(last) => Ok(ChainCheck::after(before, site).follow(fact_row(last)?)),
        None => Ok(Ok(())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Recorder, SITE};
    use super::super::{Defect, Journal, SqliteCommit};
    use super::*;
    use stowage_core::commit::Commit;
    use tempfile::TempDir;

    /// A journal of facts 1 to 6, of which 2 and 5 name item `ab`, 3 and 6 come from worker 7, each 1 s after the one
    /// before from 1 s on.
    fn six() -> TempDir {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (journal, stored) = Journal::open(dir.path(), SITE).expect("opens");
        let mut recorder = Recorder::at(stored.chain);
        let mut commit = SqliteCommit::start(journal, || ()).expect("starts");
        commit
            .submit(recorder.now(), recorder.batch(3, &[("item", "b", Some("{\"n\":1}")), ("item", "a", Some("{}"))]));
        commit.submit(recorder.now(), recorder.batch(3, &[("item", "a", None)]));
        drop(commit);
        dir
    }

    fn seqs(dir: &TempDir, filter: &Filter) -> Vec<u64> {
        let mut seqs = Vec::new();
        let take = |fact: &Recorded| {
            seqs.push(fact.key.seq);
            ControlFlow::Continue(())
        };
        Reader::open(dir.path()).expect("opens").each(filter, Key::START, take).expect("reads");
        seqs
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn facts_are_found_by_what_they_name() {
        let dir = six();
        assert_eq!(seqs(&dir, &Filter::default()), [1, 2, 3, 4, 5, 6]);
        assert_eq!(seqs(&dir, &Filter { what: text("ab"), ..Filter::default() }), [2, 5]);
        assert_eq!(seqs(&dir, &Filter { who: text("worker:7"), ..Filter::default() }), [3, 6]);
        assert_eq!(seqs(&dir, &Filter { place: text("A-1"), ..Filter::default() }), [1, 4]);
        assert_eq!(seqs(&dir, &Filter { kind: text("device.up"), ..Filter::default() }), [1, 2, 3, 4, 5, 6]);
        assert_eq!(seqs(&dir, &Filter { kind: text("device"), ..Filter::default() }), [1, 2, 3, 4, 5, 6]);
        assert_eq!(seqs(&dir, &Filter { kind: text("device.down"), ..Filter::default() }), [0; 0]);
        assert_eq!(seqs(&dir, &Filter { kind: text("dev"), ..Filter::default() }), [0; 0]);
        let since = |micros| Some(Timestamp::from_micros(micros));
        assert_eq!(seqs(&dir, &Filter { since: since(3_000_001), ..Filter::default() }), [4, 5, 6]);
        assert_eq!(seqs(&dir, &Filter { since: since(3_000_000), what: text("ab"), ..Filter::default() }), [5]);
        assert_eq!(seqs(&dir, &Filter { since: since(6_000_001), ..Filter::default() }), [0; 0]);
    }

    #[test]
    fn pages_follow_each_other() {
        let dir = six();
        let reader = Reader::open(dir.path()).expect("opens");
        let page = reader.page(&Filter::default(), Key { epoch: 1, seq: 2 }, 3).expect("reads");
        assert_eq!(page.iter().map(|fact| fact.key.seq).collect::<Vec<_>>(), [3, 4, 5]);
    }

    #[test]
    fn rows_are_as_the_last_change_left_them() {
        let stored = Reader::open(six().path()).expect("opens").stored().expect("reads");
        assert_eq!(stored.rows, [("item".to_owned(), "b".to_owned(), "{\"n\":1}".to_owned())]);
        assert_eq!(stored.chain.seq, 6);
    }

    #[test]
    fn a_folder_without_a_journal_is_not_made_into_one() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let error = Reader::open(dir.path()).expect_err("absent");
        assert_eq!(error, OpenError::Absent { path: dir.path().join(FILE) });
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0);
    }

    #[test]
    fn every_change_to_a_whole_chain_is_found_at_its_place() {
        type Wanted = fn(&Defect) -> bool;
        let defects: [(&str, u64, Wanted); 8] = [
            ("DELETE FROM facts WHERE seq = 3", 4, |d| *d == Defect::Gap { before: Key { epoch: 1, seq: 2 } }),
            ("DELETE FROM facts WHERE seq = 1", 2, |d| *d == Defect::Gap { before: Key { epoch: 1, seq: 0 } }),
            ("UPDATE facts SET line = replace(line, 'D-3', 'D-2') WHERE seq = 3", 3, |d| *d == Defect::Hash),
            ("UPDATE facts SET line = CAST(x'FF' AS TEXT) WHERE seq = 5", 5, |d| matches!(d, Defect::Line(_))),
            ("UPDATE facts SET hash = x'00' WHERE seq = 2", 2, |d| *d == Defect::Hash),
            ("UPDATE facts SET seq = 7 WHERE seq = 6", 7, |d| *d == Defect::Gap { before: Key { epoch: 1, seq: 5 } }),
            ("UPDATE facts SET what = 'other' WHERE seq = 5", 5, |d| *d == Defect::Column("what")),
            ("UPDATE facts SET at = at + 1 WHERE seq = 4", 4, |d| *d == Defect::Column("at")),
        ];
        for (damage, seq, wanted) in defects {
            let dir = six();
            Reader::open(dir.path()).expect("opens").check_chain(|_| ()).expect("whole before");
            let writer = Connection::open(dir.path().join(FILE)).expect("opens");
            assert_eq!(writer.execute(damage, []).expect(damage), 1, "{damage}");
            drop(writer);
            match Reader::open(dir.path()).expect("opens").check_chain(|_| ()) {
                Err(ChainFault::Fact { key, defect }) => {
                    assert_eq!(key, Key { epoch: 1, seq }, "{damage}: {defect}");
                    assert!(wanted(&defect), "{damage}: {defect}");
                }
                other => panic!("{damage}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_time_that_runs_back_is_found() {
        let mut check = ChainCheck::after(Chain { at: Timestamp::from_micros(9), ..Chain::START }, SITE);
        let mut recorder = Recorder::at(Chain { at: Timestamp::from_micros(-1_000_000), ..Chain::START });
        let batch = recorder.batch(1, &[]);
        let entry = &batch.entries[0];
        let row = FactRow {
            key: Key { epoch: 1, seq: 1 },
            at: 0,
            kind: b"device.up",
            who: None,
            what: None,
            place: Some(b"A-1"),
            line: entry.line.as_bytes(),
            hash: &entry.hash,
        };
        let defect = Defect::Time { at: Timestamp::EPOCH, before: Timestamp::from_micros(9) };
        assert_eq!(check.follow(row), Err(ChainFault::Fact { key: row.key, defect }));
    }

    #[test]
    fn a_file_with_a_damaged_page_is_unreadable_not_empty() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (journal, stored) = Journal::open(dir.path(), SITE).expect("opens");
        let mut recorder = Recorder::at(stored.chain);
        let mut commit = SqliteCommit::start(journal, || ()).expect("starts");
        commit.submit(recorder.now(), recorder.batch(400, &[]));
        drop(commit);
        let path = dir.path().join(FILE);
        let mut octets = std::fs::read(&path).expect("reads");
        let half = octets.len() / 2;
        octets[half..].fill(0xA5);
        std::fs::write(&path, octets).expect("writes");
        let fault = Reader::open(dir.path()).expect("its first pages are whole").check_chain(|_| ());
        assert!(fault.is_err(), "{fault:?}");
    }
}
