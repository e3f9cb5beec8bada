//! The watchdog thread: tells the service manager and the hardware watchdog that the pipeline lives,
//! and only when every thread of it has come round since it told so last, or said that it is in something
//! long (`health::Beat::during`). There is no timer that feeds: a pipeline that hangs anywhere is
//! restarted, and starts OFF. Before READY, which comes with the first decided frame, the same signs of
//! life let the service manager wait on: a box whose cameras are unplugged shows that, locked out, and is
//! not started anew again and again.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;

use crate::config::WatchdogConfig;
use crate::health::PipelinePulse;
use crate::sys::{StopFlag, Watchdog, monotonic_now, watchdog_open_timeout};

/// Time between two looks at the pipeline: well below the shortest timeout, one second.
const LOOK: Duration = Duration::from_millis(100);

/// What is opened where the kernel insists; and its timeout, which leaves room for a restart of the service.
const INSISTED: &str = "/dev/watchdog";
const INSISTED_TIMEOUT: Duration = Duration::from_secs(60);

/// What feeds the watchdogs.
#[derive(Debug)]
pub(super) struct WatchdogThread {
    pulse: PipelinePulse,
    readiness: Readiness,
    /// Longest time between two signs of life that systemd waits for (`WatchdogSec=`), where it does.
    service_manager: Option<Duration>,
    device: Option<Watchdog>,
    /// Raised when every other thread has ended.
    over: StopFlag,
}

/// Whether the service manager was told that the service is ready.
#[derive(Clone, Debug, Default)]
pub(super) struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Tells it, the first time.
    pub(super) fn tell(&self) {
        if !self.0.swap(true, Ordering::Relaxed) {
            tell(&[NotifyState::Ready]);
        }
    }

    fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl WatchdogThread {
    /// Opens what is configured, or what the kernel insists on; `None` where nobody waits for signs of life.
    ///
    /// # Errors
    ///
    /// The configured device cannot be opened.
    pub(super) fn open(
        config: Option<&WatchdogConfig>,
        pulse: PipelinePulse,
        readiness: Readiness,
        over: StopFlag,
    ) -> io::Result<Option<Self>> {
        let service_manager = sd_notify::watchdog_enabled();
        if let Some(timeout) = service_manager {
            log::info!("the service manager waits {timeout:?} for signs of life");
        }
        let device = match config {
            Some(config) => Some(opened(&config.device, config.timeout)?),
            None if service_manager.is_some() => watchdog_open_timeout().and_then(insisted),
            None => None,
        };
        let wanted = service_manager.is_some() || device.is_some();
        Ok(wanted.then_some(Self {
            pulse,
            readiness,
            service_manager,
            device,
            over,
        }))
    }

    /// Feeds until the run is over; then disarms the device.
    pub(super) fn run(mut self) {
        while !self.over.is_raised() {
            if self.pulse.has_come_round(monotonic_now()) {
                self.feed();
            }
            std::thread::sleep(LOOK);
        }
        if let Some(Err(error)) = self.device.take().map(Watchdog::disarm) {
            log::error!("the watchdog cannot be disarmed and will restart the machine: {error}");
        }
    }

    fn feed(&mut self) {
        if let Some(timeout) = self.service_manager {
            if self.readiness.is_told() {
                tell(&[NotifyState::Watchdog]);
            } else {
                tell(&[extended(timeout), NotifyState::Watchdog]);
            }
        }
        if let Some(Err(error)) = self.device.as_mut().map(Watchdog::feed) {
            log::error!("the watchdog cannot be fed and will restart the machine: {error}");
            self.device = None;
        }
    }
}

fn opened(device: &Path, timeout: Duration) -> io::Result<Watchdog> {
    let watchdog = Watchdog::open(device, timeout)?;
    let (path, timeout) = (device.display(), watchdog.timeout());
    log::info!("{path} restarts the machine after {timeout:?} without signs of life");
    Ok(watchdog)
}

/// The machine's own watchdog for a service whose configuration names none, where the kernel restarts the
/// machine after `limit` unless somebody opens it: so is an appliance's new system on trial.
fn insisted(limit: Duration) -> Option<Watchdog> {
    log::warn!(
        "[watchdog] names no device, but the kernel restarts this machine unless its watchdog is opened \
         within {limit:?}: {INSISTED} is taken"
    );
    opened(Path::new(INSISTED), INSISTED_TIMEOUT)
        .inspect_err(|error| log::warn!("{INSISTED} cannot be taken: {error}"))
        .ok()
}

/// That the start may take so much longer from now on.
fn extended(timeout: Duration) -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(u32::try_from(timeout.as_micros()).unwrap_or(u32::MAX))
}

/// Tells the service manager something, where there is one. It is not told twice.
pub(super) fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("the service manager cannot be told: {error}");
    }
}
