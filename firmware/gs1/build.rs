//! Makes the table of application identifiers from `src/element/ai.txt`.

use std::fmt::Write;

const SOURCE: &str = "src/element/ai.txt";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    let text = std::fs::read_to_string(SOURCE).unwrap_or_else(|error| panic!("{SOURCE}: {error}"));
    let mut table = String::from("&[\n");
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        writeln!(table, "    {},", row(line)).unwrap_or_else(|error| panic!("{error}"));
    }
    table += "]\n";
    let out = std::env::var("OUT_DIR").unwrap_or_else(|error| panic!("OUT_DIR: {error}"));
    std::fs::write(format!("{out}/ai.rs"), table).unwrap_or_else(|error| panic!("{out}/ai.rs: {error}"));
}

/// The Rust of one line; each key of the attributes comes once.
fn row(line: &str) -> String {
    let mut words = line.split_whitespace().peekable();
    let ais = words.next().unwrap_or_else(|| panic!("{SOURCE}: {line:?}: no AI"));
    let (first, last) = ais.split_once('-').unwrap_or((ais, ais));
    let flags = words.next_if(|word| word.starts_with(['*', '?'])).unwrap_or_default();
    let (mut format, mut requires, mut excludes, mut qualifiers) = (Vec::new(), "", "", None);
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("req", ais) => requires = ais,
            ("ex", ais) => excludes = ais,
            ("dlpkey", ais) => qualifiers = Some(ais),
            _ => format.push(word),
        }
    }
    let format = format.join(" ");
    assert!(!format.is_empty(), "{SOURCE}: {line:?}: no format");
    format!(
        "Row {{ first: {first:?}, last: {last:?}, flags: {flags:?}, format: {format:?}, requires: {requires:?}, \
         excludes: {excludes:?}, qualifiers: {qualifiers:?} }}"
    )
}
