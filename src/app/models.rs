//! `andon models`: what verifying and fetching say.

use std::fmt::Write as _;
use std::path::Path;

use crate::inference::{self, InferenceError};

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
