//! For the one thread that must not be late: a periodic timer, a real-time priority, resident memory.

#![allow(
    unsafe_code,
    reason = "setting a scheduling policy is a raw system call"
)]

use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// A timer that expires at a fixed rate, whatever its owner does in between (timerfd_create(2)).
#[derive(Debug)]
pub struct Ticker(TimerFd);

impl Ticker {
    /// A timer on `CLOCK_MONOTONIC` whose first tick comes after one `period`, which is not zero.
    ///
    /// # Errors
    ///
    /// No file descriptor is left, or the period is zero.
    pub fn every(period: Duration) -> io::Result<Self> {
        if period.is_zero() {
            // To the kernel this would mean a timer that never expires.
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)?;
        let period = Expiration::Interval(TimeSpec::from_duration(period));
        timer.set(period, TimerSetTimeFlags::empty())?;
        Ok(Self(timer))
    }

    /// Waits for the next tick, at most one period. Says how many have passed since the last call:
    /// 1, or more where the caller came too late.
    ///
    /// # Errors
    ///
    /// The timer cannot be read.
    pub fn wait(&self) -> io::Result<u64> {
        let mut count = [0; 8];
        loop {
            match nix::unistd::read(self.0.as_fd(), &mut count) {
                Ok(_) => return Ok(u64::from_ne_bytes(count)),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Priority of the decide thread among `SCHED_FIFO` threads (1..=99): above ordinary real-time
/// work, below the kernel's interrupt threads, which have 50.
const PRIORITY: libc::c_int = 40;

/// Gives the calling thread a real-time priority (`SCHED_FIFO`): it runs as soon as it can.
///
/// # Errors
///
/// Not permitted: it takes `CAP_SYS_NICE` or an `RLIMIT_RTPRIO` of at least 40.
pub fn raise_priority() -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: PRIORITY,
    };
    // SAFETY: `parameters` is a whole sched_param that outlives the call; 0 is the calling thread.
    let failed = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    if failed == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Keeps every page of the process in memory once it has been touched, so that nothing waits for
/// the disk to bring one back.
///
/// # Errors
///
/// Not permitted: it takes `CAP_IPC_LOCK` or a large enough `RLIMIT_MEMLOCK`.
pub fn lock_memory() -> io::Result<()> {
    // Only what is touched: thread stacks are mostly air. nix does not know this flag.
    let on_fault = MlockAllFlags::from_bits_retain(libc::MCL_ONFAULT);
    let flags = MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | on_fault;
    Ok(mlockall(flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::monotonic_now;

    #[test]
    fn ticks_come_at_their_rate_and_missed_ones_are_counted() {
        let period = Duration::from_millis(2);
        let start = monotonic_now();
        let ticker = Ticker::every(period).expect("a timer");
        let mut ticks = 0;
        while ticks < 20 {
            let passed = ticker.wait().expect("a tick");
            assert!(passed >= 1);
            ticks += passed;
        }
        let took = monotonic_now().saturating_since(start);
        assert!(took >= period * 20, "{took:?}");
        std::thread::sleep(period * 10);
        assert!(ticker.wait().expect("a tick") >= 9);
    }

    #[test]
    fn a_period_of_nothing_is_refused() {
        assert!(Ticker::every(Duration::ZERO).is_err());
    }
}
