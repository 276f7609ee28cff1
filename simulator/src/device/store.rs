//! The handheld's store in a file: appended to and synced before an intent counts as durable, so that a kill loses
//! nothing.
//!
//! One line an entry: CRC-32 in hex, a space, JSON. A last line cut short was never durable, and is cut off at the next
//! start; anything else that is damaged is an error, for it can't be a cut.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use stowage_base::Intent;
use stowage_scanner::{Store, StoreError};

/// Most intents that the file keeps.
const CAPACITY: u32 = 10_000;

/// A file that is longer is written anew as soon as everything in it was answered.
const LEN_MAX: u64 = 256 * 1024;

/// Why a store's file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FileStoreError {
    /// The file can't be opened, read or written.
    #[error("the handheld's store {}: {error}; give a path in a folder that can be written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Another handheld has it open.
    #[error("the handheld's store {} is in use; stop the other handheld, or give another path", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A line is damaged, and not by a cut.
    #[error("the handheld's store {}: line {line} is damaged; restore the file, or move it away", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
}

/// The store. See the module.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    file: File,
    len: u64,
    intents: VecDeque<Intent>,
    last_seq: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    Intent(Box<Intent>),
    /// All up to this seq may go.
    Release(u32),
    /// All up to this seq were here once; first line of a file that was written anew.
    Last(u32),
}

impl FileStore {
    /// Opens the store at `path`, or makes a new one there.
    ///
    /// # Errors
    /// The file can't be used, is in use, or is damaged.
    pub fn open(path: &Path) -> Result<Self, FileStoreError> {
        let failed = |error| FileStoreError::Io { path: path.to_owned(), error };
        let mut file = open(path).map_err(failed)?;
        file.try_lock().map_err(|_| FileStoreError::InUse { path: path.to_owned() })?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed)?;
        let mut store = Self { path: path.to_owned(), file, len: 0, intents: VecDeque::new(), last_seq: 0 };
        for (index, line) in text.split_inclusive(|octet| *octet == b'\n').enumerate() {
            let Some(entry) = parse(line) else {
                if store.len + line.len() as u64 == text.len() as u64 && !line.ends_with(b"\n") {
                    break;
                }
                return Err(FileStoreError::Damaged { path: path.to_owned(), line: index + 1 });
            };
            store.take(entry);
            store.len += line.len() as u64;
        }
        store.file.set_len(store.len).map_err(failed)?;
        store.file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(store)
    }

    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Intent(intent) => {
                self.last_seq = self.last_seq.max(intent.seq);
                self.intents.push_back(*intent);
            }
            Entry::Release(seq) => self.intents.retain(|intent| intent.seq > seq),
            Entry::Last(seq) => self.last_seq = self.last_seq.max(seq),
        }
    }

    fn write(&mut self, entry: &Entry, sync: bool) -> io::Result<()> {
        let line = line(entry)?;
        let written = self.file.write_all(&line).and_then(|()| if sync { self.file.sync_data() } else { Ok(()) });
        if let Err(error) = written {
            // What may be half there must not stand before what comes next.
            self.file.set_len(self.len)?;
            self.file.seek(SeekFrom::End(0))?;
            return Err(error);
        }
        self.len += line.len() as u64;
        Ok(())
    }

    /// Begins the file anew, with nothing in it but the last seq.
    fn renew(&mut self) -> io::Result<()> {
        let aside = self.path.with_extension("new");
        let mut file = open(&aside)?;
        file.set_len(0)?;
        file.try_lock()?;
        let line = line(&Entry::Last(self.last_seq))?;
        file.write_all(&line)?;
        file.sync_data()?;
        std::fs::rename(&aside, &self.path)?;
        (self.file, self.len) = (file, line.len() as u64);
        Ok(())
    }
}

impl Store for FileStore {
    fn capacity(&self) -> u32 {
        CAPACITY
    }

    fn len(&self) -> u32 {
        self.intents.len() as u32
    }

    fn last_seq(&self) -> u32 {
        self.last_seq
    }

    fn append(&mut self, intent: &Intent) -> Result<(), StoreError> {
        if intent.seq <= self.last_seq {
            return Err(StoreError::Order { found: intent.seq, last: self.last_seq });
        }
        if self.len() >= CAPACITY {
            return Err(StoreError::Full { capacity: CAPACITY });
        }
        let code = |error: io::Error| error.raw_os_error().map_or(0, |code| code as u32);
        let entry = Entry::Intent(Box::new(intent.clone()));
        self.write(&entry, true).map_err(|error| StoreError::Medium { code: code(error) })?;
        self.take(entry);
        Ok(())
    }

    fn durable(&self) -> u32 {
        self.last_seq
    }

    fn intent_from(&mut self, seq: u32) -> Option<Intent> {
        self.intents.iter().find(|intent| intent.seq >= seq).cloned()
    }

    fn release(&mut self, seq: u32) {
        if self.intents.front().is_none_or(|intent| intent.seq > seq) {
            return;
        }
        self.take(Entry::Release(seq));
        // A release that isn't written is harmless: the edge answers the repeat as at first.
        let _ = self.write(&Entry::Release(seq), false);
        if self.intents.is_empty() && self.len > LEN_MAX {
            let _ = self.renew();
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn line(entry: &Entry) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(entry)?;
    let mut line = format!("{:08x} ", crc(&json)).into_bytes();
    line.extend(json);
    line.push(b'\n');
    Ok(line)
}

fn parse(line: &[u8]) -> Option<Entry> {
    let (sum, json) = line.strip_suffix(b"\n")?.split_at_checked(9)?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?.strip_suffix(' ')?, 16).ok()?;
    (sum == crc(json)).then(|| serde_json::from_slice(json).ok()).flatten()
}

/// CRC-32 of IEEE 802.3.
fn crc(octets: &[u8]) -> u32 {
    !octets.iter().fold(!0_u32, |crc, octet| {
        (0..8).fold(crc ^ u32::from(*octet), |crc, _| crc >> 1 ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use stowage_base::{Code, IntentBody, ItemRef, Timestamp};

    fn intent(seq: u32) -> Intent {
        let body = IntentBody::See { item: ItemRef::Sscc(1), at: Code::new() };
        Intent { seq, at: Timestamp::EPOCH, worker: Code::new(), body }
    }

    fn seqs(store: &FileStore) -> Vec<u32> {
        store.intents.iter().map(|intent| intent.seq).collect()
    }

    #[test]
    fn keeps_what_it_took_and_never_gives_a_seq_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new").join("store");
        let mut store = FileStore::open(&path).expect("new");
        (1..=3).for_each(|seq| store.append(&intent(seq)).expect("room"));
        assert!(matches!(FileStore::open(&path), Err(FileStoreError::InUse { .. })));
        store.release(2);
        drop(store);
        let mut store = FileStore::open(&path).expect("closed");
        assert_eq!((seqs(&store), store.last_seq()), (vec![3], 3));
        store.release(3);
        store.renew().expect("room");
        drop(store);
        let mut store = FileStore::open(&path).expect("closed");
        assert_eq!((seqs(&store), store.last_seq()), (vec![], 3));
        assert_eq!(store.append(&intent(3)), Err(StoreError::Order { found: 3, last: 3 }));
        assert_eq!(store.append(&intent(4)), Ok(()));
    }

    #[test]
    fn damage_that_is_no_cut_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store");
        let mut store = FileStore::open(&path).expect("new");
        (1..=3).for_each(|seq| store.append(&intent(seq)).expect("room"));
        drop(store);
        let mut text = std::fs::read(&path).expect("there");
        text[12] ^= 1;
        std::fs::write(&path, text).expect("room");
        assert!(matches!(FileStore::open(&path), Err(FileStoreError::Damaged { line: 1, .. })));
    }

    proptest! {
        #[test]
        fn a_cut_anywhere_loses_only_what_was_not_durable(cut in 0_usize..700) {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("store");
            let mut store = FileStore::open(&path).expect("new");
            let ends: Vec<u64> = (1..=5).map(|seq| { store.append(&intent(seq)).expect("room"); store.len }).collect();
            drop(store);
            let cut = cut.min(ends[4] as usize);
            let text = std::fs::read(&path).expect("there");
            std::fs::write(&path, &text[..cut]).expect("room");
            let mut store = FileStore::open(&path).expect("a cut is no damage");
            let whole = ends.iter().filter(|end| **end <= cut as u64).count() as u32;
            prop_assert_eq!(seqs(&store), (1..=whole).collect::<Vec<_>>());
            prop_assert_eq!(store.append(&intent(whole + 1)), Ok(()));
            drop(store);
            prop_assert_eq!(FileStore::open(&path).expect("whole").last_seq(), whole + 1);
        }
    }
}
