//! The kernel's watchdog device (Documentation/watchdog/watchdog-api.rst): once opened, the machine
//! restarts unless it is fed in time.

#![allow(unsafe_code, reason = "the watchdog is configured by ioctl")]

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::time::Duration;

/// How many seconds the kernel feeds a watchdog that runs and that nobody has opened (`watchdog.open_timeout=`
/// on its command line); 0 is for ever.
const OPEN_TIMEOUT: &str = "/sys/module/watchdog/parameters/open_timeout";

nix::ioctl_readwrite!(wdioc_settimeout, b'W', 6, nix::libc::c_int);

/// An open watchdog. Dropped without [`Watchdog::disarm`], as by a crash, it goes on counting.
#[derive(Debug)]
pub struct Watchdog {
    device: File,
    timeout: Duration,
}

impl Watchdog {
    /// Opens and thereby starts the watchdog, with `timeout` in whole seconds.
    ///
    /// # Errors
    ///
    /// There is none, somebody else has it (systemd's `RuntimeWatchdogSec=`), or it refuses the
    /// timeout; then it has been disarmed again.
    pub fn open(path: &Path, timeout: Duration) -> io::Result<Self> {
        let device = OpenOptions::new().write(true).open(path)?;
        let mut seconds = nix::libc::c_int::try_from(timeout.as_secs()).unwrap_or(i32::MAX);
        // SAFETY: the descriptor is open for the whole call, and `seconds` is a live c_int, which is
        // what this ioctl reads and writes.
        let set = unsafe { wdioc_settimeout(device.as_raw_fd(), &raw mut seconds) };
        let timeout = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let watchdog = Self { device, timeout };
        if let Err(error) = set {
            watchdog.disarm()?;
            return Err(error.into());
        }
        Ok(watchdog)
    }

    /// The timeout that the device took; it may round.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Starts the timeout anew.
    ///
    /// # Errors
    ///
    /// The device cannot be written.
    pub fn feed(&mut self) -> io::Result<()> {
        self.device.write_all(b"\n")
    }

    /// Stops the watchdog by its magic character, where the kernel was not built to refuse that.
    ///
    /// # Errors
    ///
    /// The device cannot be written: it goes on counting.
    pub fn disarm(mut self) -> io::Result<()> {
        self.device.write_all(b"V")
    }
}

/// Time after the kernel's start within which it wants its watchdog to be opened, or else restarts the
/// machine where the boot loader has started the watchdog; `None` where it waits for ever or has none.
#[must_use]
pub fn watchdog_open_timeout() -> Option<Duration> {
    std::fs::read_to_string(OPEN_TIMEOUT)
        .ok()
        .and_then(|text| open_timeout(&text))
}

fn open_timeout(text: &str) -> Option<Duration> {
    let seconds = text.trim().parse().ok().filter(|seconds| *seconds > 0);
    seconds.map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_waits_for_ever_or_so_many_seconds() {
        assert_eq!(open_timeout("0\n"), None);
        assert_eq!(open_timeout("732\n"), Some(Duration::from_secs(732)));
        assert_eq!(open_timeout("?"), None);
    }

    #[test]
    fn what_is_no_watchdog_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("watchdog");
        assert!(Watchdog::open(&path, Duration::from_secs(5)).is_err());
        std::fs::write(&path, "").expect("a file");
        let error = Watchdog::open(&path, Duration::from_secs(5)).expect_err("a plain file");
        assert_eq!(error.raw_os_error(), Some(nix::libc::ENOTTY));
        assert_eq!(std::fs::read(&path).expect("the file"), b"V");
    }
}
