//! What is wrong with configuration files, all of it at once, each fault with its place and its mend.

use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong in a file.
///
/// Never holds a password or a key, not even where it is the faulty value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fault {
    /// Line, from 1; `None` where the file as a whole is meant.
    pub line: Option<usize>,
    /// Column, from 1, for a fault of TOML's own syntax.
    pub column: Option<usize>,
    /// The key, such as `device[1].url` (counted from 0); empty where no key is to blame.
    pub key: String,
    /// The value as written, where showing it helps.
    pub found: Option<String>,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

/// `device[1].url "llrp://10.0.0.300": not an IP address or host name; …`, without the line.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(found) = &self.found {
            write!(f, " {found}")?;
        }
        let colon = if self.key.is_empty() { "" } else { ": " };
        write!(f, "{colon}{}", self.message)
    }
}

/// The faults of one file, by line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileFaults {
    /// The file, as it was named.
    pub file: PathBuf,
    /// In order of lines; at least one.
    pub faults: Vec<Fault>,
}

impl fmt::Display for FileFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |fault: &Fault| match (fault.line, fault.column) {
            (Some(line), Some(column)) => format!("line {line}:{column}"),
            (Some(line), None) => format!("line {line}"),
            (None, _) => String::new(),
        };
        let width = self.faults.iter().map(|fault| place(fault).len()).max().unwrap_or(0);
        for fault in &self.faults {
            let gap = if width == 0 { "" } else { "  " };
            write!(f, "\n  {:width$}{gap}{fault}", place(fault))?;
        }
        Ok(())
    }
}

/// Why a configuration was refused: every fault of every file. Prints as a person should see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<FileFaults>);

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, file) in self.0.iter().enumerate() {
            let line_end = if at == 0 { "" } else { "\n" };
            write!(f, "{line_end}{}: {}, nothing started{file}", file.file.display(), count(file.faults.len()))?;
        }
        Ok(())
    }
}

/// `1 fault`, `2 faults`.
pub(crate) fn count(faults: usize) -> String {
    format!("{faults} fault{}", if faults == 1 { "" } else { "s" })
}

/// The one of `known` that `wrong` was probably meant to be: at most a third of its letters differ, whatever the case.
pub(crate) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let best = known.into_iter().map(|name| (edits(&wrong, &name.to_lowercase()), name)).min()?;
    (best.0 <= (wrong.chars().count() / 3).max(1)).then_some(best.1)
}

/// How many letters must be put in, left out, changed or swapped with their neighbour to get from `a` to `b`.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let zones = ["DOCK", "STORE", "SORT"];
        assert_eq!(nearest("DOKC", zones), Some("DOCK"), "two letters swapped");
        assert_eq!(nearest("store", zones), Some("STORE"), "case");
        assert_eq!(nearest("STORES", zones), Some("STORE"));
        assert_eq!(nearest("QUAY", zones), None, "nothing like it");
        assert_eq!(nearest("X", []), None);
    }

    #[test]
    fn prints_as_a_person_should_see_it() {
        let fault = |line, key: &str, found: Option<&str>, message: &str| Fault {
            line,
            column: None,
            key: key.into(),
            found: found.map(Into::into),
            message: message.into(),
        };
        let faults = vec![
            fault(Some(9), "device[1].url", Some("\"llrp://10.0.0.300\""), "not an IP address or host name"),
            fault(Some(20), "device[2].antennas", None, "port 1 is given twice"),
        ];
        let shown = Faults(vec![FileFaults { file: "config/edge.toml".into(), faults }]).to_string();
        let expected = "config/edge.toml: 2 faults, nothing started\n  \
            line 9   device[1].url \"llrp://10.0.0.300\": not an IP address or host name\n  \
            line 20  device[2].antennas: port 1 is given twice";
        assert_eq!(shown, expected);
        let alone = Faults(vec![FileFaults {
            file: "gone.toml".into(),
            faults: vec![fault(None, "", None, "can't be read: no such file")],
        }]);
        assert_eq!(alone.to_string(), "gone.toml: 1 fault, nothing started\n  can't be read: no such file");
    }
}
