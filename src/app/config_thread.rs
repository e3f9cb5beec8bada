//! The config-watch thread: notices when the configuration files change and loads them.

use std::time::Duration;

use super::capture_thread::CloseOnDrop;
use crate::config::{Attempt, Loaded, Overrides, Timing, Watcher};
use crate::sync::Latest;
use crate::sys::StopFlag;

/// Longest wait; after it the stop flag is looked at.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// Body of the thread: puts every change of the files' content into `out` until `stop` is raised.
/// A change that nobody took is overwritten by the next: only the newest files count.
pub(super) fn run(loaded: &Loaded, overrides: &Overrides, out: &Latest<Attempt>, stop: &StopFlag) {
    let _closer = CloseOnDrop(out.clone());
    let mut watcher = Watcher::new(loaded, overrides, Timing::default());
    let mut told = None;
    while !stop.is_raised() {
        let limitation = watcher.limitation().map(str::to_owned);
        if limitation != told {
            if let Some(limitation) = &limitation {
                log::warn!("{limitation}; changes of the configuration are noticed a little later");
            }
            told = limitation;
        }
        if let Some(attempt) = watcher.next(WAIT_MAX) {
            out.put(attempt);
        }
    }
}
