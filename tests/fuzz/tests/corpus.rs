//! Every body over its corpus, and over mutations of it that are the same each time.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::path::Path;
use stowage_fuzz::{BODIES, Body};

/// Mutations of each file; the long runs are libFuzzer's.
const MUTATIONS: u32 = 500;

/// Most octets of a mutation.
const LEN_MAX: usize = 4_096;

#[test]
fn no_body_finds_anything_in_its_corpus_and_around_it() {
    for (name, body) in BODIES {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "corpus/{name} has no file");
        for (file, seed) in &seeds {
            body(seed);
            mutate(name, file, *body, seed, &seeds);
        }
    }
}

#[test]
fn the_corpus_has_no_folder_without_a_body() {
    for (name, _) in folders() {
        assert!(BODIES.iter().any(|(of, _)| *of == name), "corpus/{name} belongs to no body");
    }
}

fn mutate(name: &str, file: &str, body: Body, seed: &[u8], seeds: &[(String, Vec<u8>)]) {
    let mut random = ChaCha8Rng::seed_from_u64(file.bytes().map(u64::from).sum());
    let mut below = |n: usize| random.next_u32() as usize % n.max(1);
    for round in 0..MUTATIONS {
        let mut octets = seed.to_vec();
        for _ in 0..=below(4) {
            let at = below(octets.len());
            match below(6) {
                0 if !octets.is_empty() => octets[at] ^= 1 << below(8),
                1 if !octets.is_empty() => octets[at] = below(256) as u8,
                2 => octets.truncate(at),
                3 => octets.insert(at, [0, 1, 0x7F, 0x80, 0xFF][below(5)]),
                4 if !octets.is_empty() => drop(octets.remove(at)),
                _ => {
                    let other = &seeds[below(seeds.len())].1;
                    let piece = &other[below(other.len()).min(other.len())..];
                    octets.splice(at..at, piece.iter().copied());
                }
            }
        }
        octets.truncate(LEN_MAX);
        let found = std::panic::catch_unwind(|| body(&octets)).is_err();
        assert!(!found, "{name}: mutation {round} of {file}: keep {octets:02X?} in its corpus and mend it");
    }
}

fn folders() -> Vec<(String, std::path::PathBuf)> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut folders: Vec<_> = std::fs::read_dir(corpus)
        .expect("the corpus is here")
        .map(|entry| entry.expect("readable"))
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .collect();
    folders.sort();
    folders
}

fn seeds(name: &str) -> Vec<(String, Vec<u8>)> {
    let Some((_, folder)) = folders().into_iter().find(|(of, _)| of == name) else { return Vec::new() };
    let mut seeds: Vec<_> = std::fs::read_dir(folder)
        .expect("readable")
        .map(|entry| entry.expect("readable"))
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).expect("readable")))
        .collect();
    seeds.sort();
    seeds
}
