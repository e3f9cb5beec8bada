//! A plain driver for tests, and access to the reference material beside the repository.

#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod driver;
pub(crate) mod gather;
pub(crate) mod models;

use std::path::PathBuf;

/// The folder of reference models and traces: `ANDON_EDGETPU`, or `shared/edgetpu` beside
/// or in the repository. Tests that need it are skipped, loudly, where it is missing.
pub(crate) fn reference(test: &str) -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut places: Vec<PathBuf> = std::env::var_os("ANDON_EDGETPU")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    places.push(root.join("../shared/edgetpu"));
    places.push(root.join("shared/edgetpu"));
    let found = places
        .into_iter()
        .find(|place| place.join("traces").is_dir());
    if found.is_none() {
        eprintln!("SKIPPED {test}: no reference models and traces (set ANDON_EDGETPU)");
    }
    found
}

/// Byte k of the inputs that the traces were taken with.
pub(crate) fn trace_input(length: usize) -> Vec<u8> {
    (0..length).map(|k| (31 * k + 7).to_le_bytes()[0]).collect()
}
