//! Arguments → app → exit code.

use std::process::ExitCode;

#[cfg(feature = "tpu-sim")]
#[global_allocator]
static COUNTING: andon_tpu_sim::allocations::Counting = andon_tpu_sim::allocations::Counting;

fn main() -> ExitCode {
    andon::cli::main()
}
