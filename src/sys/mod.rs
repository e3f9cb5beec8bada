//! Thin safe wrappers over the operating system: clock, process figures.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::units::MonotonicTime;

/// `CLOCK_MONOTONIC`, now.
///
/// # Panics
///
/// Where the kernel has no monotonic clock, which no Linux kernel lacks.
#[must_use]
#[allow(
    clippy::expect_used,
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "the kernel keeps 0 <= nsec < 1e9 and sec >= 0"
)]
pub fn monotonic_now() -> MonotonicTime {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC exists");
    MonotonicTime::from_duration(Duration::new(now.tv_sec() as u64, now.tv_nsec() as u32))
}
