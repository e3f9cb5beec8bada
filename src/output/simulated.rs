//! Outputs that are not wired: every edge is recorded with its time and cause. Edges of the heartbeat
//! are only counted; ten a second would push everything else out of the record.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::{OutputError, SwitchingOutput};
use crate::message::{Cause, OutputChange, OutputCommand, OutputName, OutputState};
use crate::units::MonotonicTime;

/// Edges that are kept; the oldest go first. At one trip and reset a minute: half a day.
pub const EDGES_MAX: usize = 1440;

/// The record of a simulated output. Clones are handles to the same record, which outlives the output.
#[derive(Clone, Debug, Default)]
pub struct EdgeLog(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    edges: VecDeque<OutputChange>,
    forgotten: u64,
    heartbeats: u64,
}

impl EdgeLog {
    /// The edges so far, oldest first, without the heartbeat's.
    #[must_use]
    pub fn edges(&self) -> Vec<OutputChange> {
        self.with(|record| record.edges.iter().copied().collect())
    }

    /// Number of edges that were dropped because the record was full.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.with(|record| record.forgotten)
    }

    /// Number of edges of the heartbeat.
    #[must_use]
    pub fn heartbeats(&self) -> u64 {
        self.with(|record| record.heartbeats)
    }

    fn push(&self, edge: OutputChange) {
        self.with(|record| {
            if edge.command.output == OutputName::Heartbeat {
                record.heartbeats += 1;
                return;
            }
            if record.edges.len() >= EDGES_MAX {
                record.edges.pop_front();
                record.forgotten += 1;
            }
            record.edges.push_back(edge);
        });
    }

    fn with<R>(&self, look: impl FnOnce(&mut Record) -> R) -> R {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Lines that exist in memory only.
#[derive(Debug)]
pub struct SimulatedOutput {
    /// By [`OutputName::index`].
    states: [OutputState; OutputName::ALL.len()],
    log: EdgeLog,
    /// When the newest order came: what dropping puts into the record.
    latest: MonotonicTime,
}

impl Default for SimulatedOutput {
    fn default() -> Self {
        Self::new()
    }
}

impl SimulatedOutput {
    /// All lines inactive, nothing recorded.
    #[must_use]
    pub fn new() -> Self {
        let log = EdgeLog::default();
        log.with(|record| record.edges.reserve(EDGES_MAX));
        Self {
            states: [OutputState::Inactive; OutputName::ALL.len()],
            log,
            latest: MonotonicTime::ZERO,
        }
    }

    /// The record; keep a handle to read it after the output is gone.
    #[must_use]
    pub fn log(&self) -> EdgeLog {
        self.log.clone()
    }

    /// State of a line.
    #[must_use]
    pub fn state(&self, output: OutputName) -> OutputState {
        let state = self.states.get(output.index());
        state.copied().unwrap_or(OutputState::Inactive)
    }
}

impl SwitchingOutput for SimulatedOutput {
    fn apply(&mut self, change: &OutputChange) -> Result<(), OutputError> {
        let OutputCommand { output, state } = change.command;
        self.latest = self.latest.max(change.at);
        if let Some(current) = self.states.get_mut(output.index())
            && *current != state
        {
            *current = state;
            self.log.push(*change);
        }
        Ok(())
    }
}

impl Drop for SimulatedOutput {
    fn drop(&mut self) {
        for output in OutputName::ALL {
            if self.state(output) == OutputState::Active {
                self.log.push(OutputChange {
                    at: self.latest,
                    command: OutputCommand {
                        output,
                        state: OutputState::Inactive,
                    },
                    cause: Cause::ShutDown,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn change(ms: u64, output: OutputName, state: OutputState) -> OutputChange {
        OutputChange {
            at: MonotonicTime::from_duration(Duration::from_millis(ms)),
            command: OutputCommand { output, state },
            cause: Cause::Reset,
        }
    }

    use OutputName::{Heartbeat, Reject, RunPermission};
    use OutputState::{Active, Inactive};

    #[test]
    fn every_line_is_inactive_at_first() {
        let output = SimulatedOutput::new();
        assert!(
            OutputName::ALL
                .iter()
                .all(|line| output.state(*line) == Inactive)
        );
        assert!(output.log().edges().is_empty());
    }

    #[test]
    fn edges_are_recorded_and_repetitions_are_not() {
        let mut output = SimulatedOutput::new();
        for ordered in [
            change(1, RunPermission, Inactive),
            change(2, RunPermission, Active),
            change(3, RunPermission, Active),
            change(4, Reject, Active),
            change(5, RunPermission, Inactive),
        ] {
            output.apply(&ordered).unwrap();
        }
        let expected = [
            change(2, RunPermission, Active),
            change(4, Reject, Active),
            change(5, RunPermission, Inactive),
        ];
        assert_eq!(output.log().edges(), expected);
        assert_eq!(
            (output.state(RunPermission), output.state(Reject)),
            (Inactive, Active)
        );
    }

    #[test]
    fn heartbeats_are_counted_and_push_nothing_out_of_the_record() {
        let mut output = SimulatedOutput::new();
        let log = output.log();
        output.apply(&change(0, RunPermission, Active)).unwrap();
        for n in 0..2000 {
            let state = if n % 2 == 0 { Active } else { Inactive };
            output.apply(&change(n, Heartbeat, state)).unwrap();
        }
        output.apply(&change(2000, Heartbeat, Active)).unwrap();
        output.apply(&change(2001, Heartbeat, Active)).unwrap();
        assert_eq!(output.state(Heartbeat), Active);
        drop(output);
        assert_eq!((log.heartbeats(), log.forgotten()), (2002, 0));
        assert_eq!(log.edges().len(), 2);
    }

    #[test]
    fn dropping_makes_every_line_inactive_and_records_it() {
        let mut output = SimulatedOutput::new();
        let log = output.log();
        output.apply(&change(2, RunPermission, Active)).unwrap();
        output.apply(&change(9, RunPermission, Active)).unwrap();
        drop(output);
        let mut last = change(9, RunPermission, Inactive);
        last.cause = Cause::ShutDown;
        assert_eq!(log.edges(), [change(2, RunPermission, Active), last]);
    }

    #[test]
    fn a_panic_of_the_owner_makes_every_line_inactive() {
        let mut output = SimulatedOutput::new();
        let log = output.log();
        let thread = std::thread::spawn(move || {
            output.apply(&change(2, RunPermission, Active)).unwrap();
            panic!("as planned");
        });
        assert!(thread.join().is_err());
        let states: Vec<_> = log.edges().iter().map(|edge| edge.command.state).collect();
        assert_eq!(states, [Active, Inactive]);
    }

    #[test]
    fn the_record_is_bounded_and_counts_what_it_forgot() {
        let mut output = SimulatedOutput::new();
        let extra = 3;
        for n in 0..EDGES_MAX + extra {
            let state = if n % 2 == 0 { Active } else { Inactive };
            output.apply(&change(n as u64, Reject, state)).unwrap();
        }
        let log = output.log();
        assert_eq!(log.edges().len(), EDGES_MAX);
        assert_eq!(log.forgotten(), extra as u64);
        assert_eq!(log.edges()[0].at, change(extra as u64, Reject, Active).at);
    }
}
