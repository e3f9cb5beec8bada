//! The request to stop: raised by a signal or by the program itself.

#![allow(
    unsafe_code,
    reason = "signal handlers, and the question whether a signal is ignored"
)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::libc;
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level;

/// A signal that comes this much later than the first ends the process at once, nanoseconds. Sooner
/// it is the same request told twice: a supervisor that signals the process and then its group, as
/// `timeout` does, or a key that repeats.
const IMPATIENT_AFTER_NS: u64 = 1_000_000_000;

/// A request to stop, raised by a signal or the program itself. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// A flag that only the program raises.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag that SIGINT, SIGTERM and SIGHUP raise; SIGHUP only where it was not ignored before, as
    /// `nohup` asks for. A signal that comes more than a second after the first one ends the process
    /// at once, after `last_act`, which must be safe in a signal handler. SIGXFSZ no longer kills, so
    /// that a file size limit reaches whoever writes.
    ///
    /// # Errors
    ///
    /// The handlers cannot be installed.
    pub fn on_signals(last_act: fn()) -> io::Result<Self> {
        let flag = Self::default();
        // A file that grows beyond a limit is an error of that write, not the end of the process.
        let exceeded = Signal::SIGXFSZ as i32;
        signal_hook::flag::register(exceeded, Arc::new(AtomicBool::new(false)))?;
        let first = Arc::new(AtomicU64::new(NEVER));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            if signal == SIGHUP && is_ignored(SIGHUP) {
                continue;
            }
            let (flag, first) = (flag.clone(), Arc::clone(&first));
            let handler = move || match note(&first, now_ns()) {
                Request::Stop => flag.raise(),
                Request::Again => {}
                Request::Impatient => {
                    last_act();
                    low_level::exit(128 + signal)
                }
            };
            // SAFETY: the handler reads the clock, changes atomics and may call _exit, and `last_act` is
            // what its caller promises: all of it is safe in a signal handler. It neither allocates,
            // locks nor panics.
            unsafe { low_level::register(signal, handler) }?;
        }
        Ok(flag)
    }

    /// Raises the flag.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was raised.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// No signal has come yet; the clock starts at the machine's start and never shows zero here.
const NEVER: u64 = 0;

/// What a signal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// The first one.
    Stop,
    /// The same, told twice.
    Again,
    /// Somebody does not want to wait any longer.
    Impatient,
}

/// Takes a signal at `now`; `first` remembers when the first one came.
fn note(first: &AtomicU64, now: u64) -> Request {
    let now = now.max(NEVER + 1);
    match first.compare_exchange(NEVER, now, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Request::Stop,
        Err(before) if now.saturating_sub(before) > IMPATIENT_AFTER_NS => Request::Impatient,
        Err(_) => Request::Again,
    }
}

/// `CLOCK_MONOTONIC` in nanoseconds. Must not panic: called by a signal handler.
fn now_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| {
        let [seconds, nanos] = [now.tv_sec(), now.tv_nsec()];
        let seconds = u64::try_from(seconds).unwrap_or(0);
        seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(u64::try_from(nanos).unwrap_or(0))
    })
}

/// Whether whoever started this process asked for the signal to be ignored.
fn is_ignored(signal: i32) -> bool {
    // SAFETY: a sigaction of zero bytes is a valid value of this plain C struct.
    let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a null pointer as the new action changes nothing; `before` is valid for writing.
    let result = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut before) };
    result == 0 && before.sa_sigaction == libc::SIG_IGN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_signal_well_after_the_first_is_impatience() {
        const SECOND: u64 = IMPATIENT_AFTER_NS;
        let first = AtomicU64::new(NEVER);
        assert_eq!(note(&first, 5 * SECOND), Request::Stop);
        assert_eq!(note(&first, 5 * SECOND + 1000), Request::Again);
        assert_eq!(note(&first, 6 * SECOND), Request::Again);
        assert_eq!(note(&first, 6 * SECOND + 1), Request::Impatient);
        let first = AtomicU64::new(NEVER);
        assert_eq!(note(&first, 0), Request::Stop, "a clock that shows nothing");
        assert_eq!(note(&first, 0), Request::Again);
    }

    #[test]
    fn the_clock_is_the_one_everybody_uses() {
        let before = u128::from(now_ns());
        let now = crate::sys::monotonic_now().since_epoch().as_nanos();
        assert!(before <= now && now <= u128::from(now_ns()));
    }
}
