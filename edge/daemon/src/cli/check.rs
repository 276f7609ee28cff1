//! `stowage check`: every fault of configuration files.

use super::Error;
use super::output::Output;
use crate::config::{self, Checked, FileFaults};
use std::path::PathBuf;

/// Check configuration files; report every fault at once
///
/// A file with `kind = "edge"` is checked together with the site that it names, one with `kind = "scenario"` with its
/// edge. Nothing is started.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// edge.toml, site.toml, scenario.toml, in any number and order
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(super) fn run(args: &Args, out: &mut Output<'_>) -> Result<(), Error> {
    let report = config::check(&args.files);
    for checked in &report.0 {
        out.either(checked, &text(checked))?;
    }
    if report.is_good() { Ok(()) } else { Err(Error::Bad) }
}

fn text(checked: &Checked) -> String {
    let Checked { file, kind, faults } = checked;
    match (kind, faults.len()) {
        (Some(kind), 0) => format!("{}: {}, good", file.display(), kind.name()),
        (_, count) => {
            let faults = FileFaults { file: file.clone(), faults: faults.clone() };
            format!("{}: {}{faults}", file.display(), config::count(count))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::testing::{at_terminal, json, stowage};

    const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/demo/edge.toml");

    #[test]
    fn a_good_edge_is_good_with_its_site() {
        let (status, out, err) = stowage(&["check", DEMO], b"");
        let lines = json(&out);
        assert_eq!((status, err.as_str(), lines.len()), (0, "", 2));
        assert_eq!((&lines[0]["kind"], &lines[1]["kind"]), (&"edge".into(), &"site".into()));
        assert_eq!(lines[1]["faults"], serde_json::json!([]));
        assert!(at_terminal(&["check", DEMO], b"").1.contains("edge.toml: edge, good\n"));
    }

    #[test]
    fn faults_are_the_result_and_the_status() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("site.toml");
        std::fs::write(&path, "kind = \"site\"\ncode = \"s\"\nnam = \"S\"\n").expect("writes");
        let path = path.to_str().expect("text");
        let (status, out, err) = stowage(&["check", path], b"");
        assert_eq!((status, err.as_str()), (1, ""));
        let fault = &json(&out)[0]["faults"][3];
        assert_eq!((&fault["line"], &fault["key"]), (&3.into(), &"nam".into()), "{out}");
        let shown = at_terminal(&["check", path], b"").1;
        assert!(
            shown.contains(": 4 faults\n") && shown.contains("  line 3  nam: unknown key; did you mean \"name\"?"),
            "{shown}"
        );
    }

    #[test]
    fn a_missing_file_is_a_fault() {
        let (status, out, _) = stowage(&["check", "/no/such/file"], b"");
        assert_eq!((status, &json(&out)[0]["kind"]), (1, &serde_json::Value::Null));
    }
}
