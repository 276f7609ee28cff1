//! Where tests find the independent vectors.

extern crate std;
use serde_json::Value;
use std::vec::Vec;

/// The JSON lines of `file`; says so on standard error and yields nothing where the folder is absent.
pub(crate) fn lines(file: &str) -> Vec<Value> {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors").into();
    let folder = std::env::var("STOWAGE_VECTORS").unwrap_or_else(|_| beside());
    let Ok(text) = std::fs::read_to_string(std::format!("{folder}/{file}")) else {
        std::eprintln!("SKIPPED: no {file} in {folder}");
        return Vec::new();
    };
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect()
}
