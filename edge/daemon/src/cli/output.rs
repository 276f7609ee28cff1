//! Results on standard output: JSON lines for programs, a table for people.

use serde::Serialize;
use std::io::{self, Write};

/// One line of a result.
pub(super) trait Line {
    /// Heads and widths of the table's columns; the last one's width doesn't matter.
    const COLUMNS: &'static [(&'static str, usize)];
    /// The table's cells.
    fn cells(&self) -> Vec<String>;
    /// Whether it says that something is wrong: told in red where there are colours.
    fn is_bad(&self) -> bool {
        false
    }
    /// The JSON object, without the line's end.
    fn json(&self) -> String;
}

/// A result as JSON.
pub(super) fn to_json(value: &impl Serialize) -> String {
    // Structs with names for keys, strings and numbers: nothing here that JSON can't say.
    serde_json::to_string(value).unwrap_or_else(|error| unreachable!("a result is plain JSON: {error}"))
}

/// Standard output.
pub(super) struct Output<'a> {
    to: &'a mut dyn Write,
    json: bool,
    colours: bool,
    headed: bool,
}

// As terminals know them (ECMA-48).
const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

impl<'a> Output<'a> {
    /// As JSON, or as a table with or without colours.
    pub(super) fn new(to: &'a mut dyn Write, json: bool, colours: bool) -> Self {
        Self { to, json, colours, headed: false }
    }

    /// Writes one line; before the first one of a table its head.
    pub(super) fn line<L: Line>(&mut self, line: &L) -> io::Result<()> {
        if self.json {
            return writeln!(self.to, "{}", line.json());
        }
        if !self.headed {
            self.headed = true;
            self.row(L::COLUMNS, BOLD, L::COLUMNS.iter().map(|(head, _)| head.to_uppercase()))?;
        }
        self.row(L::COLUMNS, if line.is_bad() { RED } else { "" }, line.cells().into_iter())
    }

    /// Writes an object for programs, a text of its own for people.
    pub(super) fn either(&mut self, json: &impl Serialize, text: &str) -> io::Result<()> {
        if self.json { writeln!(self.to, "{}", to_json(json)) } else { writeln!(self.to, "{text}") }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    fn row(&mut self, columns: &[(&str, usize)], colour: &str, cells: impl Iterator<Item = String>) -> io::Result<()> {
        let mut row = String::new();
        for ((_, width), cell) in columns.iter().zip(cells) {
            row += &format!("{cell:width$}  ");
        }
        match row.trim_end() {
            row if self.colours && !colour.is_empty() => writeln!(self.to, "{colour}{row}{PLAIN}"),
            row => writeln!(self.to, "{row}"),
        }
    }
}
