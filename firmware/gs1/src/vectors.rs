//! Where tests find the independent vectors.

extern crate std;
use serde_json::Value;
use std::string::String;
use std::vec::Vec;

/// The JSON lines of `file`; nothing where the folder is absent.
pub(crate) fn lines(file: &str) -> Vec<Value> {
    text(file).lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect()
}

/// The text of `file`; says so on standard error and yields nothing where the folder is absent.
pub(crate) fn text(file: &str) -> String {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors").into();
    let folder = std::env::var("STOWAGE_VECTORS").unwrap_or_else(|_| beside());
    std::fs::read_to_string(std::format!("{folder}/{file}")).unwrap_or_else(|_| {
        std::eprintln!("SKIPPED: no {file} in {folder}");
        String::new()
    })
}
