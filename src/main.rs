//! Arguments → app → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    andon::cli::main()
}
