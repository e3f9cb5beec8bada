//! `andon models`: what verifying and fetching say.

use std::fmt::Write as _;
use std::path::Path;

use crate::inference::{self, InferenceError, Source};

/// What a command found, ready to print.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// A line per model and what is wrong with it.
    pub text: String,
    /// Number of models that failed.
    pub failed: usize,
}

/// Checks every model of `directory`: hash, tensors, labels.
///
/// # Errors
///
/// `models.toml` cannot be read.
pub fn verify(directory: &Path) -> Result<Outcome, InferenceError> {
    let mut outcome = Outcome::default();
    for report in inference::verify(directory)? {
        let word = if report.passed() { "ok" } else { "FAILED" };
        let _ = writeln!(outcome.text, "{word:<7} {} ({})", report.name, report.file);
        for check in &report.checks {
            let (mark, text) = match &check.result {
                Ok(text) => ("  ✓", text),
                Err(text) => ("  ✗", text),
            };
            let _ = writeln!(outcome.text, "{mark} {:<10} {text}", check.what);
        }
        outcome.failed += usize::from(!report.passed());
    }
    Ok(outcome)
}

/// Downloads Coral's models into a folder of `directory` and checks them; what is there and right
/// already is left alone.
///
/// # Errors
///
/// `models.toml` cannot be read.
pub fn fetch_coral(directory: &Path) -> Result<Outcome, InferenceError> {
    let mut outcome = Outcome::default();
    for file in inference::fetch_coral(directory)? {
        let path = file.path.display();
        let _ = match &file.result {
            Ok(Source::AlreadyThere) => writeln!(outcome.text, "there   {path}"),
            Ok(Source::Downloaded) => writeln!(outcome.text, "fetched {path} ({})", file.licence),
            Err(error) => writeln!(outcome.text, "FAILED  {path}: {error}"),
        };
        outcome.failed += usize::from(file.result.is_err());
    }
    Ok(outcome)
}
