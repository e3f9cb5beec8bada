//! Thin safe wrappers over the operating system: clock, timer, priority, watchdog, figures of the
//! process and the machine, shutdown signals, replacing files.

mod huge_pages;
mod machine;
mod realtime;
mod replace;
mod wall_clock;
mod watchdog;

mod signals;

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};

pub use signals::StopFlag;

use crate::units::MonotonicTime;

pub use huge_pages::{HugePages, use_huge_pages};
pub use machine::{
    MachineLoad, THERMAL_FOLDER, machine_load, resident_bytes, temperatures, uptime,
};
pub use realtime::{Ticker, lock_memory, raise_priority};
pub use replace::replace_file;
pub use wall_clock::wall_clock_is_synchronised;
pub use watchdog::{Watchdog, watchdog_open_timeout};

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

/// CPU time of this thread so far, `CLOCK_THREAD_CPUTIME_ID`; zero where the kernel does not say.
#[must_use]
pub fn thread_cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// The kernel's name of this boot, a UUID; `?` where it has none to tell.
#[must_use]
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| "?".to_owned(), |id| id.trim().to_owned())
}

/// CPU time and memory of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessUsage {
    /// User and system time of all threads.
    pub cpu: Duration,
    /// Largest resident set so far.
    pub peak_rss_bytes: u64,
}

/// What `getrusage` says of this process; zeros where it fails.
#[must_use]
pub fn process_usage() -> ProcessUsage {
    getrusage(UsageWho::RUSAGE_SELF).map_or_else(
        |_| ProcessUsage::default(),
        |usage| {
            let micros =
                usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
            ProcessUsage {
                cpu: Duration::from_micros(u64::try_from(micros).unwrap_or(0)),
                peak_rss_bytes: u64::try_from(usage.max_rss()).unwrap_or(0) * 1024,
            }
        },
    )
}
