//! The main thread looks after the configuration of the running program: passes changed files on,
//! and tells log, event log, report and picture what became of them.

use super::live::Applied;
use super::supervisor::Supervisor;
use crate::config::Config;
use crate::message::{ConfigurationChange, ConfigurationOutcome, Event, Generation};
use crate::sys::monotonic_now;
use crate::units::MonotonicTime;

impl Supervisor {
    /// Hands an event to the event log, where one is kept. Never waits.
    pub(super) fn record(&mut self, event: &Event) {
        if let Some(events) = &mut self.events {
            events.record(event, &self.zone_names);
        }
        if let Some(board) = &mut self.board {
            board.note(event, &self.zone_names);
        }
    }

    /// Delivers commands, takes news of the files. Called after each event and every 50 ms.
    pub(super) fn look_after_configuration(&mut self) {
        let Some(live) = &mut self.live else {
            return;
        };
        live.show_log(
            self.events
                .as_ref()
                .is_some_and(|events| events.is_failing()),
        );
        if let Some(change) = live.poll() {
            self.tell(monotonic_now(), change, None);
        }
    }

    /// The decide thread has taken over a configuration: what it decides from here on goes by it.
    pub(super) fn configured(&mut self, at: MonotonicTime, generation: Generation) {
        let Some(live) = &mut self.live else {
            return;
        };
        for Applied { change, config } in live.applied(generation) {
            self.zone_names = config.zones.iter().map(|zone| zone.name.clone()).collect();
            self.tell(at, change, Some(&config));
        }
    }

    fn tell(&mut self, at: MonotonicTime, change: ConfigurationChange, config: Option<&Config>) {
        say(&change);
        let since_start = at.saturating_since(self.origin);
        self.write(|report| report.configuration(since_start, &change, config));
        self.record(&Event::Configuration(Box::new(change)));
    }
}

fn say(change: &ConfigurationChange) {
    let (changed, pending) = (change.changed.join(", "), change.pending.join(", "));
    match change.outcome {
        ConfigurationOutcome::Applied => log::info!("configuration applied: {changed}"),
        ConfigurationOutcome::NeedsRestart => {
            log::warn!("configuration: not in force before a restart: {pending}");
            if !changed.is_empty() {
                log::info!("configuration applied: {changed}");
            }
        }
        ConfigurationOutcome::InForce => {
            log::info!("configuration: the files say what is in force");
        }
        ConfigurationOutcome::Refused => {
            log::warn!("configuration refused; the one before stays in force");
            for problem in &change.problems {
                log::warn!("{problem}");
            }
        }
    }
}
