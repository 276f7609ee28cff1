//! The tables, and what they say of themselves.

use super::{OpenError, open_error};
use rusqlite::{Connection, OptionalExtension};
use std::path::Path;

/// The format that this program writes. A higher one in a file was written by a later program.
pub(super) const FORMAT: u32 = 1;

/// The columns beside `line` repeat parts of it, so that people's questions find their facts by index.
const TABLES: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE facts (
    epoch INTEGER NOT NULL,
    seq   INTEGER NOT NULL,
    at    INTEGER NOT NULL,
    kind  TEXT NOT NULL,
    who   TEXT,
    what  TEXT,
    place TEXT,
    line  TEXT NOT NULL,
    hash  BLOB NOT NULL,
    PRIMARY KEY (epoch, seq)
) STRICT;
CREATE INDEX facts_at ON facts (at);
CREATE INDEX facts_who ON facts (who, epoch, seq) WHERE who IS NOT NULL;
CREATE INDEX facts_what ON facts (what, epoch, seq) WHERE what IS NOT NULL;
CREATE INDEX facts_place ON facts (place, epoch, seq) WHERE place IS NOT NULL;
CREATE TABLE rows (tbl TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (tbl, key)) STRICT, WITHOUT ROWID;
";

/// Lays out the tables in a file that has none, all or nothing.
pub(super) fn create(connection: &Connection, site: &str) -> rusqlite::Result<()> {
    let tables: u32 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 {
        return Ok(());
    }
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(TABLES)?;
    let mut insert = transaction.prepare("INSERT INTO meta VALUES (?1, ?2)")?;
    insert.execute(("format", FORMAT))?;
    insert.execute(("site", site))?;
    insert.execute(("epoch", 1))?;
    drop(insert);
    transaction.commit()
}

/// The site of a journal whose format this program knows.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<String, OpenError> {
    let corrupt = |reason: &str| OpenError::Corrupt { path: path.to_owned(), reason: reason.to_owned() };
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name IN ('meta', 'facts', 'rows')";
    let tables: u32 = connection.query_row(tables, [], |row| row.get(0)).map_err(|error| open_error(path, &error))?;
    if tables != 3 {
        return Err(corrupt("tables are missing"));
    }
    let value = "SELECT value FROM meta WHERE name = ?1";
    let format: Option<u32> = connection
        .query_row(value, ["format"], |row| row.get(0))
        .optional()
        .map_err(|error| open_error(path, &error))?;
    match format {
        Some(FORMAT) => {}
        Some(found @ FORMAT..) => return Err(OpenError::Later { path: path.to_owned(), found }),
        Some(_) | None => return Err(corrupt("it doesn't say its format")),
    }
    connection.query_row(value, ["site"], |row| row.get(0)).map_err(|error| open_error(path, &error))
}

/// The epoch in which facts are recorded now.
pub(super) fn epoch(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("SELECT value FROM meta WHERE name = 'epoch'", [], |row| row.get(0))
}

/// Makes `epoch` the one in which facts are recorded from now on.
pub(super) fn set_epoch(connection: &Connection, epoch: u32) -> rusqlite::Result<()> {
    connection.execute("UPDATE meta SET value = ?1 WHERE name = 'epoch'", [epoch]).map(drop)
}
