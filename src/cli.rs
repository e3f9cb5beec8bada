//! The command line: raw arguments become a valid configuration or a clear complaint.

use std::process::ExitCode;

/// Runs the program and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
