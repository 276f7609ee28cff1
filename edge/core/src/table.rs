//! Keyed rows that remember which of them changed.

use crate::commit::Row;
use serde::{Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, BTreeSet};

/// A key that is written as text in a row and read back.
pub trait Key: Ord + Clone {
    /// The key as text.
    fn text(&self) -> String;
    /// The key written as `text`, if it is one.
    fn parse(text: &str) -> Option<Self>;
}

impl Key for u64 {
    fn text(&self) -> String {
        self.to_string()
    }
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Key for String {
    fn text(&self) -> String {
        self.clone()
    }
    fn parse(text: &str) -> Option<Self> {
        Some(text.into())
    }
}

impl Key for stowage_base::Code {
    fn text(&self) -> String {
        self.as_str().into()
    }
    fn parse(text: &str) -> Option<Self> {
        stowage_base::code(text)
    }
}

impl Key for stowage_base::Epc {
    fn text(&self) -> String {
        self.to_string()
    }
    fn parse(text: &str) -> Option<Self> {
        Self::from_hex(text)
    }
}

/// Rows in order of their keys. A change marks its key; [`Table::drain`] tells what to write.
#[derive(Debug, Clone)]
pub struct Table<K, V> {
    name: &'static str,
    rows: BTreeMap<K, V>,
    dirty: BTreeSet<K>,
}

/// Same rows; what is yet to be written doesn't count.
impl<K: PartialEq, V: PartialEq> PartialEq for Table<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows
    }
}

impl<K: Key, V: Serialize + DeserializeOwned> Table<K, V> {
    /// An empty table of this name.
    pub const fn new(name: &'static str) -> Self {
        Self { name, rows: BTreeMap::new(), dirty: BTreeSet::new() }
    }

    /// Its name in the journal.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The row of `key`.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key)
    }

    /// The row of `key`, to change it.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let row = self.rows.get_mut(key)?;
        self.dirty.insert(key.clone());
        Some(row)
    }

    /// Puts a row in place of any before.
    pub fn insert(&mut self, key: K, value: V) {
        self.dirty.insert(key.clone());
        self.rows.insert(key, value);
    }

    /// Takes a row out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let row = self.rows.remove(key)?;
        self.dirty.insert(key.clone());
        Some(row)
    }

    /// All rows in order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.rows.iter()
    }

    /// The rows from `first` on, in order of their keys.
    pub fn from(&self, first: K) -> impl Iterator<Item = (&K, &V)> {
        self.rows.range(first..)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Appends the rows that changed since the last call to `out`, in order of their keys.
    pub fn drain(&mut self, out: &mut Vec<Row>) {
        for key in std::mem::take(&mut self.dirty) {
            // Rows are plain data with text keys: nothing here that JSON can't say.
            let body = self.rows.get(&key).map(|row| {
                serde_json::to_string(row).unwrap_or_else(|error| unreachable!("a row is plain JSON: {error}"))
            });
            out.push(Row { table: self.name, key: key.text(), body });
        }
    }

    /// Puts in a stored row.
    ///
    /// # Errors
    /// What is wrong with the row, naming it.
    pub fn load(&mut self, key: &str, body: &str) -> Result<(), String> {
        let fault = |what: String| format!("row {key:?} of table {}: {what}", self.name);
        let parsed = K::parse(key).ok_or_else(|| fault("the key makes no sense".into()))?;
        let row = serde_json::from_str(body).map_err(|error| fault(error.to_string()))?;
        self.rows.insert(parsed, row);
        Ok(())
    }
}
