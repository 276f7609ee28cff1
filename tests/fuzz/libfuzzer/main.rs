//! Gives the body that `STOWAGE_FUZZ` names to libFuzzer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use stowage_fuzz::{BODIES, Body, body};

static BODY: LazyLock<Body> = LazyLock::new(|| {
    let name = std::env::var("STOWAGE_FUZZ").unwrap_or_default();
    body(&name).unwrap_or_else(|| {
        let names: Vec<_> = BODIES.iter().map(|(name, _)| *name).collect();
        eprintln!("STOWAGE_FUZZ={name:?} is no target; there are {}", names.join(", "));
        std::process::exit(2)
    })
});

fuzz_target!(|data: &[u8]| BODY(data));
