//! Reads a TOML file as written: any value of the right shape, with its line, and every fault on the way.
//!
//! A reader that stops at the first fault (serde's) costs one start for each; so a [`Section`] is asked key by key,
//! notes what is amiss and goes on. A faulty or missing value reads as empty, which later checks pass over: whatever
//! is built from it is thrown away as soon as the file has a fault.

use super::fault::{Fault, nearest};
use serde::de::DeserializeOwned;
use serde::de::value::{Error as WordError, StrDeserializer};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};
use std::path::{Component, Path, PathBuf};
use stowage_base::{Code, code};
use toml::de::{DeTable, DeValue};
use toml::{Spanned, de::DeArray};

/// Most tables in an array: the core counts zones, devices and antennas in 16 bits.
const SECTIONS_MAX: usize = 1 << 16;

/// One file under reading, and its faults so far.
pub(super) struct File {
    pub(super) path: PathBuf,
    text: String,
    /// Where each line but the first begins.
    line_starts: Vec<usize>,
    faults: RefCell<Vec<Fault>>,
}

/// Where a value stands, and how to show it in a fault.
#[derive(Debug, Clone, Default)]
pub(super) struct At {
    pub(super) line: usize,
    pub(super) key: String,
    found: Option<String>,
}

impl At {
    /// The same line under another key, without a value to show.
    pub(super) fn named(&self, key: String) -> Self {
        Self { line: self.line, key, found: None }
    }
}

/// A value as written.
#[derive(Debug, Clone, Default)]
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) at: At,
}

impl File {
    /// Reads the file; one that can't be read has that as its fault.
    pub(super) fn open(path: &Path) -> Self {
        let file = Self { path: path.into(), text: String::new(), line_starts: Vec::new(), faults: RefCell::default() };
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let line_starts = text.match_indices('\n').map(|(at, _)| at + 1).collect();
                Self { text, line_starts, ..file }
            }
            Err(error) => {
                file.push(None, None, &At::default(), format!("can't be read: {error}"));
                file
            }
        }
    }

    /// The path that the file gives as `path`, without needless detours.
    pub(super) fn beside(&self, path: &str) -> PathBuf {
        let path = self.path.parent().unwrap_or(&self.path).join(path);
        let mut short = PathBuf::new();
        for part in path.components() {
            match (part, short.components().next_back()) {
                (Component::ParentDir, Some(Component::Normal(_))) => drop(short.pop()),
                (Component::CurDir, _) => {}
                _ => short.push(part),
            }
        }
        // Behind a link to a folder, .. leads elsewhere.
        if super::same(&short, &path) { short } else { path }
    }

    /// The whole file as a section. `None`: the file can't be read, or its syntax is broken.
    pub(super) fn root(&self) -> Option<Section<'_>> {
        if self.is_faulty() {
            return None;
        }
        match DeTable::parse(&self.text) {
            Ok(table) => Some(Section {
                file: self,
                at: At { line: 1, ..At::default() },
                table: table.into_inner(),
                asked: Vec::new(),
            }),
            Err(error) => {
                // Only the message: the error's own print quotes the line, and with it perhaps a password.
                let start = error.span().map_or(0, |span| span.start);
                let before = self.text.get(..start).unwrap_or(&self.text);
                let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
                let message = error.message().replace('\n', ", ");
                self.push(Some(self.line(start)), Some(column), &At::default(), format!("not TOML: {message}"));
                None
            }
        }
    }

    /// Notes a fault of the value at `at`.
    pub(super) fn fault(&self, at: &At, message: impl Into<String>) {
        self.push(Some(at.line), None, at, message.into());
    }

    /// Notes a fault of the key alone: the value is not shown.
    pub(super) fn fault_of_key(&self, at: &At, message: impl Into<String>) {
        self.fault(&At { found: None, ..at.clone() }, message);
    }

    fn push(&self, line: Option<usize>, column: Option<usize>, at: &At, message: String) {
        let fault = Fault { line, column, key: at.key.clone(), found: at.found.clone(), message };
        self.faults.borrow_mut().push(fault);
    }

    pub(super) fn is_faulty(&self) -> bool {
        !self.faults.borrow().is_empty()
    }

    /// The file's path, and its faults by line.
    pub(super) fn into_faults(self) -> (PathBuf, Vec<Fault>) {
        let mut faults = self.faults.into_inner();
        faults.sort_by_key(|fault| fault.line);
        (self.path, faults)
    }

    fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= offset) + 1
    }
}

/// One table of the file.
pub(super) struct Section<'a> {
    pub(super) file: &'a File,
    /// The table's own key and line.
    pub(super) at: At,
    table: DeTable<'a>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// Notes each of the keys that is missing, with what to give for it.
    pub(super) fn require(&self, keys: &[(&str, &str)]) {
        for (key, mend) in keys.iter().filter(|(key, _)| !self.table.contains_key(*key)) {
            self.file.fault(&self.at.named(self.key(key)), format!("is missing: give {mend}"));
        }
    }

    /// Where a key stands that was not read yet; where it is absent, its section.
    pub(super) fn place(&self, key: &str) -> At {
        let line = self.table.get_key_value(key).map(|(name, _)| self.file.line(name.span().start));
        At { line: line.unwrap_or(self.at.line), ..self.at.named(self.key(key)) }
    }

    /// Ends the reading: whatever was not asked for is unknown here.
    pub(super) fn end(self) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            let at = At { line: self.file.line(key.span().start), key: self.key(name), found: None };
            let mend = match nearest(name, self.asked.iter().copied()) {
                Some(known) => format!("did you mean {known:?}?"),
                None => format!("known here are {}", self.asked.join(", ")),
            };
            self.file.fault(&at, format!("unknown key; {mend}"));
        }
    }

    pub(super) fn code(&mut self, key: &'static str) -> Option<Found<Code>> {
        let text = self.text(key)?;
        let value = checked_code(self.file, &text)?;
        Some(Found { value, at: text.at })
    }

    /// A code that also stands in MQTT topics and URLs.
    pub(super) fn id(&mut self, key: &'static str) -> Option<Found<Code>> {
        let code = self.code(key)?;
        if !code.value.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet)) {
            self.file.fault(&code.at, "not fit for a topic: use letters, digits, '-', '_' and '.'");
            return None;
        }
        Some(code)
    }

    pub(super) fn codes(&mut self, key: &'static str) -> Vec<Found<Code>> {
        let texts: Vec<Found<String>> = self.texts(key);
        let code = |text: Found<String>| Some(Found { value: checked_code(self.file, &text)?, at: text.at });
        texts.into_iter().filter_map(code).collect()
    }

    pub(super) fn texts(&mut self, key: &'static str) -> Vec<Found<String>> {
        self.list(key, "a list of texts in quotes", as_text)
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<Found<String>> {
        self.scalar(key, "text in quotes", as_text)
    }

    /// Text that no fault may show.
    pub(super) fn secret(&mut self, key: &'static str) -> Option<Found<String>> {
        let text = self.text(key)?;
        Some(Found { at: At { found: None, ..text.at }, ..text })
    }

    /// A URL; faults show it without what stands before an `@`.
    pub(super) fn url(&mut self, key: &'static str) -> Option<Found<String>> {
        let text = self.text(key)?;
        let shown = match text.value.rsplit_once('@') {
            None => text.at.found.clone(),
            Some((before, host)) => {
                let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
                Some(format!("{:?}", format!("{scheme}://…@{host}")))
            }
        };
        Some(Found { at: At { found: shown, ..text.at }, ..text })
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Option<Found<bool>> {
        self.scalar(key, "true or false", |value| value.as_bool())
    }

    /// A whole number within `range`.
    pub(super) fn number<N: TryFrom<i64> + Default>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<Found<N>> {
        let found = self.scalar(key, "a whole number", as_integer)?;
        let value = Some(found.value).filter(|value| range.contains(value)).and_then(|value| N::try_from(value).ok());
        if value.is_none() {
            self.file.fault(&found.at, format!("out of range: give {} to {}", range.start(), range.end()));
        }
        Some(Found { value: value?, at: found.at })
    }

    pub(super) fn numbers(&mut self, key: &'static str) -> Vec<Found<i64>> {
        self.list(key, "a list of whole numbers", as_integer)
    }

    /// A power in dBm within `range` (in 1/100 dBm), as 1/100 dBm.
    pub(super) fn power_cdbm(&mut self, key: &'static str, range: RangeInclusive<i16>) -> Option<Found<i16>> {
        let number = |value: &DeValue<'_>| match value {
            DeValue::Float(float) => float.as_str().parse().ok(),
            value => as_integer(value).map(|integer| integer as f64),
        };
        let found: Found<f64> = self.scalar(key, "a number of dBm", number)?;
        let cdbm = (found.value * 100.0).round();
        if !(f64::from(*range.start())..=f64::from(*range.end())).contains(&cdbm) {
            let dbm = |cdbm: &i16| f64::from(*cdbm) / 100.0;
            let message = format!("out of range: give {} to {} dBm", dbm(range.start()), dbm(range.end()));
            self.file.fault(&found.at, message);
            return None;
        }
        Some(Found { value: cdbm as i16, at: found.at })
    }

    /// One of `known`.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, known: &[(&str, T)]) -> Option<Found<T>> {
        let text = self.text(key)?;
        let value = known.iter().find(|(name, _)| *name == text.value).map(|(_, value)| *value);
        if value.is_none() {
            let names = || known.iter().map(|(name, _)| *name);
            let mend = match nearest(&text.value, names()) {
                Some(name) => format!("did you mean {name:?}?"),
                None => format!("give one of {}", names().collect::<Vec<_>>().join(", ")),
            };
            self.file.fault(&text.at, format!("not known here; {mend}"));
        }
        Some(Found { value: value?, at: text.at })
    }

    /// One of an enumeration's words.
    pub(super) fn word<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<Found<T>> {
        let text = self.text(key)?;
        match T::deserialize(StrDeserializer::<WordError>::new(&text.value)) {
            Ok(value) => Some(Found { value, at: text.at }),
            Err(error) => {
                let message = error.to_string();
                let message = message.split_once(", ").map_or(message.as_str(), |(_, allowed)| allowed);
                self.file.fault(&text.at, format!("not known: {}", message.replace('`', "\"")));
                None
            }
        }
    }

    /// An IP address with a port.
    pub(super) fn address(&mut self, key: &'static str, example: &str) -> Option<Found<SocketAddr>> {
        let text = self.text(key)?;
        match text.value.parse() {
            Ok(value) => Some(Found { value, at: text.at }),
            Err(_) => {
                self.file.fault(&text.at, format!("not an IP address with a port: give one such as {example}"));
                None
            }
        }
    }

    /// The tables of an array: `[[key]]`, or inline.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Section<'a>> {
        let Some((at, value)) = self.take(key) else { return Vec::new() };
        let DeValue::Array(array) = value else {
            self.wrong_type(&at, &value, "a list of tables");
            return Vec::new();
        };
        self.refuse_empty(&at, &array);
        if array.len() > SECTIONS_MAX {
            self.file.fault_of_key(&at, format!("has {} entries: give at most {SECTIONS_MAX}", array.len()));
        }
        let mut sections = Vec::new();
        for (at, value) in self.elements(&at, array) {
            match value {
                DeValue::Table(table) => {
                    let at = At { found: None, ..at };
                    sections.push(Section { file: self.file, at, table, asked: Vec::new() });
                }
                value => self.wrong_type(&at, &value, "a table"),
            }
        }
        sections
    }

    /// The table `[key]`.
    pub(super) fn section(&mut self, key: &'static str) -> Option<Section<'a>> {
        match self.take(key)? {
            (at, DeValue::Table(table)) => Some(Section { file: self.file, at, table, asked: Vec::new() }),
            (at, value) => {
                self.wrong_type(&at, &value, "a table");
                None
            }
        }
    }

    fn scalar<T>(
        &mut self,
        key: &'static str,
        want: &str,
        convert: impl FnOnce(&DeValue<'_>) -> Option<T>,
    ) -> Option<Found<T>> {
        let (at, value) = self.take(key)?;
        let converted = convert(&value);
        if converted.is_none() {
            self.wrong_type(&at, &value, want);
        }
        Some(Found { value: converted?, at })
    }

    fn list<T>(&mut self, key: &'static str, want: &str, convert: impl Fn(&DeValue<'_>) -> Option<T>) -> Vec<Found<T>> {
        let Some((at, value)) = self.take(key) else { return Vec::new() };
        let DeValue::Array(array) = value else {
            self.wrong_type(&at, &value, want);
            return Vec::new();
        };
        self.refuse_empty(&at, &array);
        let mut found = Vec::new();
        for (at, value) in self.elements(&at, array) {
            match convert(&value) {
                Some(value) => found.push(Found { value, at }),
                None => self.wrong_type(&at, &value, want),
            }
        }
        found
    }

    fn refuse_empty(&self, at: &At, array: &DeArray<'_>) {
        if array.is_empty() {
            self.file.fault(at, "is empty: give at least one, or leave the key out");
        }
    }

    fn elements(&self, at: &At, array: DeArray<'a>) -> Vec<(At, DeValue<'a>)> {
        let element = |(index, value): (usize, Spanned<DeValue<'a>>)| {
            let at = self.found(format!("{}[{index}]", at.key), value.span(), value.get_ref());
            (at, value.into_inner())
        };
        array.into_iter().enumerate().map(element).collect()
    }

    fn take(&mut self, key: &'static str) -> Option<(At, DeValue<'a>)> {
        self.asked.push(key);
        let (name, value) = self.table.remove_entry(key)?;
        let at = self.found(self.key(key), name.span(), value.get_ref());
        Some((at, value.into_inner()))
    }

    fn found(&self, key: String, span: Range<usize>, value: &DeValue<'_>) -> At {
        let found = match value {
            DeValue::String(text) => Some(format!("{text:?}")),
            DeValue::Integer(number) => Some(number.to_string()),
            DeValue::Float(number) => Some(number.to_string()),
            DeValue::Boolean(flag) => Some(flag.to_string()),
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
        };
        At { line: self.file.line(span.start), key, found }
    }

    fn wrong_type(&self, at: &At, value: &DeValue<'_>, want: &str) {
        self.file.fault_of_key(at, format!("is {}: give {want}", type_name(value)));
    }

    fn key(&self, key: &str) -> String {
        if self.at.key.is_empty() { key.into() } else { format!("{}.{key}", self.at.key) }
    }
}

fn as_text(value: &DeValue<'_>) -> Option<String> {
    value.as_str().map(Into::into)
}

fn as_integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn checked_code(file: &File, text: &Found<String>) -> Option<Code> {
    let fits = |code: &Code| !code.is_empty() && code.trim() == code && !code.chars().any(char::is_control);
    let value = code(&text.value).filter(fits);
    if value.is_none() {
        let max = stowage_base::CODE_LEN_MAX;
        file.fault(&text.at, format!("not a code: give 1 to {max} octets, no space before or after"));
    }
    value
}

/// Names of one sort, to which other parts of the files refer.
pub(super) struct Names {
    /// What they name, such as `zone`.
    what: &'static str,
    by_name: BTreeMap<String, (usize, usize)>,
}

impl Names {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, by_name: BTreeMap::new() }
    }

    /// Adds a name with its index; one that is there already is a fault. An empty one was faulty before.
    pub(super) fn add(&mut self, file: &File, name: &Found<impl AsRef<str>>, index: usize) {
        let text = name.value.as_ref();
        if text.is_empty() {
            return;
        }
        match self.by_name.get(text) {
            Some((_, line)) => file.fault(&name.at, format!("is given twice: first on line {line}")),
            None => {
                self.by_name.insert(text.into(), (index, name.at.line));
            }
        }
    }

    /// Takes what only one may have; taken already, that is a fault with its mend. An empty name was faulty before.
    pub(super) fn claim(&mut self, file: &File, at: &At, name: String, mend: &str) {
        if name.is_empty() {
            return;
        }
        match self.by_name.get(&name) {
            Some((_, line)) => file.fault(at, format!("{name} is taken on line {line} already: {mend}")),
            None => {
                self.by_name.insert(name, (0, at.line));
            }
        }
    }

    /// The index of a name that someone refers to; an unknown one is a fault, and reads as `None`.
    pub(super) fn find(&self, file: &File, name: &Found<impl AsRef<str>>) -> Option<usize> {
        let text = name.value.as_ref();
        if text.is_empty() {
            return None;
        }
        let index = self.index(text);
        if index.is_none() {
            file.fault(&name.at, format!("no such {}; {}", self.what, self.mend(text)));
        }
        index
    }

    /// The index of a name, without a fault.
    pub(super) fn index(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).map(|(index, _)| *index)
    }

    fn mend(&self, wrong: &str) -> String {
        let names = || self.by_name.keys().map(String::as_str);
        match nearest(wrong, names()) {
            Some(name) => format!("did you mean {name:?}?"),
            None if self.by_name.is_empty() => "none is given".into(),
            None if self.by_name.len() <= 12 => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
            None => format!("{} are given, none like it", self.by_name.len()),
        }
    }
}
