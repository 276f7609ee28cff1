//! A file of facts, one JSON object a line, for whatever reads files.

use super::{Destination, Feed};
use crate::journal::{Key, Recorded};
use serde::Deserialize;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How many facts are written at a time.
const PAGE: usize = 512;

/// How much of the file's end is read at a time in search of its last line.
const STEP: u64 = 64 << 10;

/// No fact is longer than this.
const LINE_MAX: u64 = 4 << 20;

/// Appends each fact to a file. The file's last whole line is the cursor, so nothing else has to be kept: a line that
/// a power cut tore is cut off and written again, and an empty file gets every fact from the first. To keep the file
/// small, copy and truncate it, and leave the last line.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    file: Option<File>,
}

impl JsonLines {
    /// A follower that writes to `path`; the file is created where there is none.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None }
    }

    fn trouble(&self, error: &io::Error) -> String {
        format!("{}: {error}: mend it or name another file", self.path.display())
    }
}

impl Destination for JsonLines {
    type Message = String;

    fn render(&self, fact: &Recorded) -> String {
        format!("{}\n", fact.line)
    }

    fn cursor(&mut self, site: &str) -> Result<Key, String> {
        let file = File::options().read(true).append(true).create(true).open(&self.path);
        let mut file = file.map_err(|error| self.trouble(&error))?;
        let cursor = mend(&mut file, site).map_err(|error| self.trouble(&error))?;
        self.file = Some(file);
        Ok(cursor)
    }

    async fn follow(&mut self, feed: &mut Feed, mut cursor: Key) -> Result<Infallible, String> {
        let Some(mut file) = self.file.take() else { return Err("the cursor was not asked for".to_owned()) };
        feed.well();
        loop {
            let page = feed.next(cursor, PAGE).await?;
            let text: String = page.iter().map(|fact| self.render(fact)).collect();
            file.write_all(text.as_bytes()).map_err(|error| self.trouble(&error))?;
            if let Some(last) = page.last() {
                cursor = last.key;
                feed.delivered(cursor, page.len() as u64);
            }
        }
    }
}

/// What tells a fact's line from others.
#[derive(Deserialize)]
struct Line {
    site: String,
    epoch: u32,
    seq: u64,
}

/// Finds the last whole line, and cuts off what follows it. A file that holds something else is left as it is.
fn mend(file: &mut File, site: &str) -> io::Result<Key> {
    let foreign = || io::Error::other(format!("holds something else than facts of site {site}"));
    let (mut start, mut tail) = (file.metadata()?.len(), Vec::new());
    let (line, end) = loop {
        let mut feeds = tail.iter().enumerate().rev().filter(|(_, octet)| **octet == b'\n').map(|(at, _)| at);
        match (feeds.next(), feeds.next()) {
            (Some(end), Some(before)) => break (&tail[before + 1..end], end + 1),
            (Some(end), None) if start == 0 => break (&tail[..end], end + 1),
            (None, _) if start == 0 => break (&[][..], 0),
            _ if tail.len() as u64 > LINE_MAX => return Err(foreign()),
            _ => {}
        }
        let step = start.min(STEP);
        start -= step;
        file.seek(SeekFrom::Start(start))?;
        let mut longer = Vec::with_capacity(step as usize + tail.len());
        Read::by_ref(file).take(step).read_to_end(&mut longer)?;
        longer.extend(tail);
        tail = longer;
    };
    let key = if end > 0 {
        let line: Line = serde_json::from_slice(line).map_err(|_| foreign())?;
        if line.site != site {
            return Err(foreign());
        }
        Key { epoch: line.epoch, seq: line.seq }
    } else {
        // Nothing, or the beginning of the first line.
        let first = format!("{{\"site\":{}", serde_json::Value::from(site));
        if !tail.iter().zip(first.as_bytes()).all(|(found, wanted)| found == wanted) {
            return Err(foreign());
        }
        Key::START
    };
    file.set_len(start + end as u64)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Edge, until};
    use super::*;
    use std::fs;

    fn file(edge: &Edge) -> PathBuf {
        edge.dir.path().join("facts.jsonl")
    }

    fn written(edge: &Edge) -> Vec<String> {
        let text = fs::read_to_string(file(edge)).unwrap_or_default();
        text.split_inclusive('\n').map(|line| line.trim_end_matches('\n').to_owned()).collect()
    }

    /// Follows until nothing is behind.
    fn follow(edge: &Edge) {
        let follower = edge.follow(JsonLines::new(&file(edge)));
        until("the file is complete", || written(edge).len() >= edge.lines().len());
        until("the follower knows it", || follower.gauge().standing().behind == 0);
        assert_eq!(follower.gauge().standing().trouble, None);
    }

    #[test]
    fn the_file_holds_the_journals_lines_and_grows_with_them() {
        let mut edge = Edge::new();
        edge.record(600);
        let follower = edge.follow(JsonLines::new(&file(&edge)));
        until("it has caught up", || follower.gauge().standing().behind == 0 && written(&edge).len() == 600);
        edge.record(2);
        until("it goes on", || written(&edge).len() == 602);
        assert_eq!(written(&edge), edge.lines());
    }

    #[test]
    fn a_restart_goes_on_after_the_last_line() {
        let mut edge = Edge::new();
        edge.record(3);
        follow(&edge);
        edge.record(3);
        follow(&edge);
        assert_eq!(written(&edge), edge.lines());
    }

    #[test]
    fn a_torn_line_is_mended_wherever_it_was_torn() {
        let mut edge = Edge::new();
        edge.record(3);
        follow(&edge);
        let whole = fs::read(file(&edge)).expect("reads");
        let second = whole.iter().position(|octet| *octet == b'\n').expect("lines") + 1;
        for cut in [0, 1, 9, 20, second - 1, second, second + 1, second + 30, whole.len() - 1] {
            fs::write(file(&edge), &whole[..cut]).expect("writes");
            follow(&edge);
            assert_eq!(fs::read(file(&edge)).expect("reads"), whole, "cut at {cut}");
        }
        let mut zeros = whole[..second].to_vec();
        zeros.extend([0; 100_000]);
        fs::write(file(&edge), zeros).expect("writes");
        follow(&edge);
        assert_eq!(fs::read(file(&edge)).expect("reads"), whole);
    }

    #[test]
    fn a_file_of_something_else_is_left_as_it_is_and_named() {
        let mut edge = Edge::new();
        edge.record(1);
        for foreign in ["minutes of a meeting", "two\nlines\n", "{\"site\":\"elsewhere\",\"epoch\":1,\"seq\":1}\nand a"]
        {
            fs::write(file(&edge), foreign).expect("writes");
            let follower = edge.follow(JsonLines::new(&file(&edge)));
            until("it is told", || follower.gauge().standing().trouble.is_some());
            let standing = follower.gauge().standing();
            let trouble = standing.trouble.expect("told");
            assert!(trouble.contains("facts.jsonl: holds something else than facts of site test"), "{trouble}");
            drop(follower);
            assert_eq!(fs::read_to_string(file(&edge)).expect("reads"), foreign);
        }
    }

    #[test]
    fn a_missing_folder_is_trouble_that_can_be_mended_while_it_runs() {
        let mut edge = Edge::new();
        edge.record(1);
        let path = edge.dir.path().join("later/facts.jsonl");
        let follower = edge.follow(JsonLines::new(&path));
        until("it is told", || follower.gauge().standing().trouble.is_some());
        assert_eq!(follower.gauge().standing().behind, 1);
        fs::create_dir(edge.dir.path().join("later")).expect("creates");
        until("it is written", || follower.gauge().standing().behind == 0);
        assert_eq!(follower.gauge().standing().trouble, None);
        assert_eq!(fs::read_to_string(path).expect("reads"), format!("{}\n", edge.lines()[0]));
    }
}
