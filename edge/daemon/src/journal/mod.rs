//! The journal: every fact in order, and the rows that they add up to, in one SQLite file.
//!
//! `DATA/journal.sqlite` is written by one thread of one process ([`SqliteCommit`]), which `DATA/journal.lock` makes
//! sure of; any number of [`Reader`]s read beside it. No business rule lives in SQL: facts are lines, rows are bodies.
//! What facts mean is in `stowage-core`, as is the contract of committing.

mod chain;
mod commit;
mod reader;
mod schema;
#[cfg(test)]
pub(crate) mod testing;

pub use chain::{ChainFault, Defect};
pub use commit::{Retry, SqliteCommit};
pub use reader::{Filter, ReadError, Reader, Recorded};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use stowage_core::commit::{Chain, Stored};

/// The journal's name in the data folder.
pub const FILE: &str = "journal.sqlite";

/// The name in the data folder of the file that the writing process holds locked.
pub const LOCK_FILE: &str = "journal.lock";

/// How long a write waits for another program's lock before it counts as failed.
const BUSY_WAIT: Duration = Duration::from_millis(250);

/// A fact's place in a journal. They sort in the journal's order, across restores from backups as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Key {
    /// Counts restores from backups, from 1.
    pub epoch: u32,
    /// Counts the epoch's facts, from 1.
    pub seq: u64,
}

impl Key {
    /// Before every fact.
    pub const START: Self = Self { epoch: 0, seq: 0 };

    /// Reads a key as it is printed.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, seq) = text.split_once('/')?;
        Some(Self { epoch: epoch.parse().ok()?, seq: seq.parse().ok()? })
    }
}

/// `EPOCH/SEQ`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.epoch, self.seq)
    }
}

/// Why a journal can't be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The data folder can't be created or written.
    #[error("{}: {reason}: give the folder write permission or set `data` in edge.toml", path.display())]
    NotWritable {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// To be read, but not there.
    #[error("{}: there is no journal: name the data folder of an edge that has run", path.display())]
    Absent {
        /// Where it should be.
        path: PathBuf,
    },
    /// Written by a later version of this program.
    #[error("{}: has format {found}, this program knows formats up to {}: run the newer program", path.display(), schema::FORMAT)]
    Later {
        /// The journal.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Belongs to another site.
    #[error("{}: is the journal of site {found}, not of {wanted}: set `data` or `site` in edge.toml", path.display())]
    OtherSite {
        /// The journal.
        path: PathBuf,
        /// Its site.
        found: String,
        /// The site that it was opened for.
        wanted: String,
    },
    /// Another process writes it.
    #[error("{}: is in use by process {holder}: stop that one first", path.display())]
    InUse {
        /// The data folder.
        path: PathBuf,
        /// The other process's id, `?` where it can't be read.
        holder: String,
    },
    /// Not a journal, or damaged.
    #[error("{}: is damaged or no journal ({reason}): {}", path.display(), restore(path))]
    Corrupt {
        /// The journal.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Anything else that SQLite reports.
    #[error("{0}")]
    Other(String),
}

/// A journal opened for writing; this process is the only one that has it so.
#[derive(Debug)]
pub struct Journal {
    connection: Connection,
    path: PathBuf,
    /// Which file it is, whatever its name.
    file: Option<(u64, u64)>,
    chain: Chain,
    // Held, and so locked, until the connection above is closed: fields are dropped in order.
    _lock: File,
}

impl Journal {
    /// Opens the journal of `site` in `dir`; creates folder and file where they don't exist.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong, and the mend.
    pub fn open(dir: &Path, site: &str) -> Result<(Self, Stored), OpenError> {
        let not_writable =
            |error: io::Error| OpenError::NotWritable { path: dir.to_owned(), reason: error.to_string() };
        fs::create_dir_all(dir).map_err(not_writable)?;
        let lock = lock(dir, not_writable)?;
        let path = dir.join(FILE);
        let connection = prepare(&path).map_err(|error| open_error(&path, &error))?;
        if connection.is_readonly("main").map_err(|error| open_error(&path, &error))? {
            return Err(OpenError::NotWritable { path, reason: "is read-only".to_owned() });
        }
        schema::create(&connection, site).map_err(|error| open_error(&path, &error))?;
        let found = schema::check(&connection, &path)?;
        if found != site {
            return Err(OpenError::OtherSite { path, found, wanted: site.to_owned() });
        }
        let stored = reader::stored(&connection).map_err(|error| open_error(&path, &error))?;
        let check = reader::check_last(&connection, site).map_err(|error| open_error(&path, &error))?;
        check.map_err(|fault| OpenError::Corrupt { path: path.clone(), reason: fault.to_string() })?;
        let file = file_id(&path);
        Ok((Self { connection, path, file, chain: stored.chain.clone(), _lock: lock }, stored))
    }

    /// Where it stands.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Begins a new epoch: to be called once after a restore from a backup, so that no fact recorded from now on has
    /// the key of one that the backup lacks but the outside has seen.
    ///
    /// # Errors
    /// The file can't be written; nothing has changed.
    pub fn begin_epoch(&mut self) -> Result<&Chain, OpenError> {
        let epoch = self.chain.epoch.saturating_add(1);
        schema::set_epoch(&self.connection, epoch).map_err(|error| open_error(&self.path, &error))?;
        self.chain = Chain { epoch, seq: 0, ..self.chain.clone() };
        Ok(&self.chain)
    }
}

/// Locks the data folder for this process. The system lets go of the lock when the process ends, however it ends.
fn lock(dir: &Path, not_writable: impl Fn(io::Error) -> OpenError) -> Result<File, OpenError> {
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(dir.join(LOCK_FILE))
        .map_err(&not_writable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let known = file.read_to_string(&mut holder).is_ok() && !holder.is_empty();
            let holder = if known { holder.trim().to_owned() } else { "?".to_owned() };
            return Err(OpenError::InUse { path: dir.to_owned(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(not_writable(error)),
    }
    // The id is a help for people: a full disk must not keep a daemon from starting.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

/// Opens the file so that a commit is on the disk when it returns, and readers don't wait for it.
fn prepare(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    Ok(connection)
}

/// Which file `path` names: device and inode. Always the same `None` where the system has no such thing.
fn file_id(path: &Path) -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

fn open_error(path: &Path, error: &rusqlite::Error) -> OpenError {
    let (path, reason) = (path.to_owned(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => OpenError::Corrupt { path, reason },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            OpenError::NotWritable { path, reason }
        }
        _ => OpenError::Other(explain(&path, error)),
    }
}

/// What SQLite reports, in words that name the mend.
fn explain(path: &Path, error: &rusqlite::Error) -> String {
    let file = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => format!("{file}: the disk is full: free some space"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!("{file}: another program holds its write lock: close that program")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            format!("{file}: {error}: give the file and its folder write permission")
        }
        Some(ErrorCode::SystemIoFailure) => format!("{file}: {error}: check the disk and its free space"),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            format!("{file}: {error}: {}", restore(path))
        }
        _ => format!("{file}: {error}"),
    }
}

/// The mend for a journal at `path` that is lost.
fn restore(path: &Path) -> String {
    let dir = path.parent().unwrap_or(path);
    format!("restore it from a backup, then run `stowage restored --data {}`", dir.display())
}

#[cfg(test)]
mod tests {
    use super::testing::{Recorder, SITE};
    use super::*;
    use stowage_core::commit::Commit;

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    fn written(dir: &Path, facts: usize) {
        let (journal, stored) = Journal::open(dir, SITE).expect("opens");
        let mut recorder = Recorder::at(stored.chain);
        let mut commit = SqliteCommit::start(journal, || ()).expect("starts");
        commit.submit(recorder.now(), recorder.batch(facts, &[("item", "a", Some("{}"))]));
    }

    #[test]
    fn a_new_folder_holds_an_empty_journal() {
        let dir = dir();
        let (journal, stored) = Journal::open(&dir.path().join("new/data"), SITE).expect("opens");
        assert_eq!(stored.chain, Chain::START);
        assert_eq!(stored.rows, []);
        assert_eq!(journal.chain(), &Chain::START);
    }

    #[test]
    fn a_second_writer_is_told_who_has_the_journal_and_readers_go_on() {
        let dir = dir();
        let first = Journal::open(dir.path(), SITE).expect("opens");
        let error = Journal::open(dir.path(), SITE).expect_err("in use");
        let holder = std::process::id().to_string();
        assert_eq!(error, OpenError::InUse { path: dir.path().to_owned(), holder });
        assert_eq!(Reader::open(dir.path()).expect("reads").head().expect("reads"), Key { epoch: 1, seq: 0 });
        drop(first);
        Journal::open(dir.path(), SITE).expect("free again");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named_with_the_mend() {
        let dir = dir();
        fs::write(dir.path().join("file"), "").expect("writes");
        let error = Journal::open(&dir.path().join("file/data"), SITE).expect_err("no folder");
        let text = error.to_string();
        assert!(text.contains("file/data") && text.contains("or set `data` in edge.toml"), "{text}");
    }

    #[test]
    fn another_sites_journal_is_refused() {
        let dir = dir();
        written(dir.path(), 1);
        let error = Journal::open(dir.path(), "other").expect_err("other site");
        assert_eq!(
            error,
            OpenError::OtherSite { path: dir.path().join(FILE), found: SITE.to_owned(), wanted: "other".to_owned() }
        );
    }

    #[test]
    fn a_later_format_is_refused_to_writers_and_readers() {
        let dir = dir();
        written(dir.path(), 1);
        let connection = Connection::open(dir.path().join(FILE)).expect("opens");
        connection.execute("UPDATE meta SET value = 99 WHERE name = 'format'", []).expect("updates");
        drop(connection);
        let wanted = OpenError::Later { path: dir.path().join(FILE), found: 99 };
        assert_eq!(Journal::open(dir.path(), SITE).expect_err("later"), wanted);
        assert_eq!(Reader::open(dir.path()).expect_err("later"), wanted);
    }

    #[test]
    fn what_is_no_journal_is_refused_and_left_as_it_is() {
        let dir = dir();
        let path = dir.path().join(FILE);
        fs::write(&path, b"minutes of the last meeting, much longer than a header of SQLite".repeat(20)).expect("ok");
        let before = fs::read(&path).expect("reads");
        assert!(matches!(Journal::open(dir.path(), SITE), Err(OpenError::Corrupt { .. })));
        assert_eq!(fs::read(&path).expect("reads"), before);

        fs::remove_file(&path).expect("removes");
        Connection::open(&path).expect("opens").execute("CREATE TABLE other (a)", []).expect("creates");
        assert!(matches!(Journal::open(dir.path(), SITE), Err(OpenError::Corrupt { .. })));
        assert!(matches!(Reader::open(dir.path()), Err(OpenError::Corrupt { .. })));
    }

    #[test]
    fn a_changed_last_fact_is_found_at_start() {
        let dir = dir();
        written(dir.path(), 3);
        let connection = Connection::open(dir.path().join(FILE)).expect("opens");
        connection.execute("UPDATE facts SET line = replace(line, '\"', '''') WHERE seq = 3", []).expect("updates");
        drop(connection);
        let error = Journal::open(dir.path(), SITE).expect_err("corrupt");
        assert!(matches!(&error, OpenError::Corrupt { reason, .. } if reason.contains("1/3")), "{error}");
    }

    #[test]
    fn a_new_epoch_counts_from_one_and_goes_on_with_the_chain() {
        let dir = dir();
        written(dir.path(), 3);
        let (mut journal, stored) = Journal::open(dir.path(), SITE).expect("opens");
        let chain = journal.begin_epoch().expect("writes").clone();
        assert_eq!(chain, Chain { epoch: 2, seq: 0, ..stored.chain });
        drop(journal);
        let (_, stored) = Journal::open(dir.path(), SITE).expect("opens");
        assert_eq!(stored.chain, chain, "as well after a restart without a fact");
        written(dir.path(), 2);
        let reader = Reader::open(dir.path()).expect("reads");
        assert_eq!(reader.head().expect("reads"), Key { epoch: 2, seq: 2 });
        assert_eq!(reader.check_chain(|_| ()).expect("whole").seq, 2);
        assert_eq!(reader.count_before(2, Key { epoch: 1, seq: 1 }), Ok(2));
        let across = reader.page(&Filter::default(), Key { epoch: 1, seq: 2 }, 9).expect("reads");
        assert_eq!(across.iter().map(|fact| fact.key.to_string()).collect::<Vec<_>>(), ["1/3", "2/1", "2/2"]);
    }
}
