//! What the scanner knows of the site: items by what is scanned for them, and locations.

use heapless::Vec;
use stowage_base::Code;
use stowage_link::{Alias, Item};

/// Up to `ITEMS` aliases and `LOCATIONS` locations, sorted. What finds no room is counted and goes without: then the
/// edge's answer alone knows it.
#[derive(Debug, Clone, Default)]
pub struct Catalogue<const ITEMS: usize, const LOCATIONS: usize> {
    items: Vec<Item, ITEMS>,
    locations: Vec<Code, LOCATIONS>,
    /// Entries that found no room since the catalogue was last cleared.
    pub overflow: u32,
}

impl<const ITEMS: usize, const LOCATIONS: usize> Catalogue<ITEMS, LOCATIONS> {
    /// An empty catalogue.
    pub const fn new() -> Self {
        Self { items: Vec::new(), locations: Vec::new(), overflow: 0 }
    }

    /// What `alias` means here.
    pub fn item(&self, alias: &Alias) -> Option<&Item> {
        self.find(alias).ok().and_then(|index| self.items.get(index))
    }

    /// Whether `text` is a location's label: the bare code of one, and nothing else, is.
    pub fn location(&self, text: &str) -> Option<&Code> {
        self.find_location(text).ok().and_then(|index| self.locations.get(index))
    }

    /// Whether no item is known, so that an unknown one means nothing.
    pub fn no_items(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) fn put(&mut self, item: Item) {
        match self.find(&item.alias) {
            Ok(index) => self.items[index] = item,
            Err(index) => self.overflow += u32::from(self.items.insert(index, item).is_err()),
        }
    }

    pub(crate) fn remove(&mut self, alias: &Alias) {
        if let Ok(index) = self.find(alias) {
            self.items.remove(index);
        }
    }

    pub(crate) fn put_location(&mut self, code: Code) {
        if let Err(index) = self.find_location(&code) {
            self.overflow += u32::from(self.locations.insert(index, code).is_err());
        }
    }

    pub(crate) fn remove_location(&mut self, code: &str) {
        if let Ok(index) = self.find_location(code) {
            self.locations.remove(index);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.items.clear();
        self.locations.clear();
        self.overflow = 0;
    }

    fn find(&self, alias: &Alias) -> Result<usize, usize> {
        self.items.binary_search_by(|item| item.alias.cmp(alias))
    }

    fn find_location(&self, text: &str) -> Result<usize, usize> {
        self.locations.binary_search_by(|code| code.as_str().cmp(text))
    }
}
