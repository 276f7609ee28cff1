//! A handheld scanner.

use super::Keys;
use crate::config::edge::Secret;
use crate::config::read::Section;

/// A handheld scanner; it dials.
#[derive(Debug, Clone)]
pub struct Scanner {
    /// Its enrolment key.
    pub key: Secret<[u8; 32]>,
}

const KEY: &str = "the enrolment key, 64 hex digits";

pub(super) fn read(section: &mut Section<'_>, keys: &mut Keys) -> Scanner {
    section.require(&[("key", KEY)]);
    Scanner { key: Secret::new(key(section, keys)) }
}

/// Two scanners with one key could each pass for the other.
fn key(section: &mut Section<'_>, keys: &mut Keys) -> [u8; 32] {
    let Some(text) = section.secret("key") else { return [0; 32] };
    let octets = stowage_base::Epc::from_hex(&text.value).and_then(|hex| hex.octets().try_into().ok());
    let Some(octets) = octets else {
        section.file.fault(&text.at, format!("not a key: give {KEY}"));
        return [0; 32];
    };
    if let Some(line) = keys.insert(octets, text.at.line) {
        section.file.fault(&text.at, format!("is the key of line {line} again: give each scanner its own"));
    }
    octets
}
