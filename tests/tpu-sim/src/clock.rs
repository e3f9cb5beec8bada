//! Time: simulated, for tests that must not wait, or the machine's own.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Where the simulator takes its time from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Time since the clock was made.
    fn now(&self) -> Duration;

    /// Whether waiting is done by [`Clock::advance_to`]. A clock that says no runs by itself.
    fn is_virtual(&self) -> bool;

    /// Moves simulated time forward; never back. Does nothing on a clock that runs by itself.
    fn advance_to(&self, time: Duration);
}

/// Time that stands still until somebody waits.
#[derive(Debug, Default)]
pub struct VirtualClock(AtomicU64);

impl VirtualClock {
    /// A clock at zero.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Acquire))
    }

    fn is_virtual(&self) -> bool {
        true
    }

    fn advance_to(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_max(nanos, Ordering::AcqRel);
    }
}

/// The machine's monotonic time.
#[derive(Debug)]
pub struct RealClock(Instant);

impl RealClock {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Instant::now()))
    }
}

impl Clock for RealClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn is_virtual(&self) -> bool {
        false
    }

    fn advance_to(&self, _time: Duration) {}
}
