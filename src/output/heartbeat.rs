//! The heartbeat: a square wave that only proofs make. Pure.
//!
//! A pulse-monitoring relay watches it and drops when the edges stop, at whatever level. There is no
//! timer here: an edge comes out of [`HeartbeatGenerator::prove`] and of nothing else, so that a
//! program that is frozen, or runs without proving anything, is silent.

use std::time::Duration;

use crate::message::{Cause, OutputChange, OutputCommand, OutputName, OutputState};
use crate::units::MonotonicTime;

/// Turns proofs into edges, at most one per half period.
#[derive(Clone, Copy, Debug)]
pub struct HeartbeatGenerator {
    half_period: Duration,
    state: OutputState,
    toggled_at: Option<MonotonicTime>,
}

impl HeartbeatGenerator {
    /// Inactive, with `half_period` between two edges at least.
    #[must_use]
    pub const fn new(half_period: Duration) -> Self {
        Self {
            half_period,
            state: OutputState::Inactive,
            toggled_at: None,
        }
    }

    /// To be called by a tick that has proved, at `now`, that everything is fresh, and by nothing
    /// else. Gives the edge, if one is due: the first at once, then one per half period. Time that was
    /// missed is not made up for; after a clock that ran backwards the half period starts anew.
    #[must_use]
    pub fn prove(&mut self, now: MonotonicTime) -> Option<OutputChange> {
        match self.toggled_at {
            Some(last) if now < last => {
                self.toggled_at = Some(now);
                return None;
            }
            Some(last) if now.saturating_since(last) < self.half_period => return None,
            Some(_) | None => {}
        }
        self.toggled_at = Some(now);
        self.state = match self.state {
            OutputState::Active => OutputState::Inactive,
            OutputState::Inactive => OutputState::Active,
        };
        Some(OutputChange {
            at: now,
            command: OutputCommand {
                output: OutputName::Heartbeat,
                state: self.state,
            },
            cause: Cause::Proved,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> MonotonicTime {
        MonotonicTime::from_duration(Duration::from_millis(ms))
    }

    fn heartbeat() -> HeartbeatGenerator {
        HeartbeatGenerator::new(Duration::from_millis(100))
    }

    /// When edges came, of proofs at these times.
    fn edges(heartbeat: &mut HeartbeatGenerator, proofs: impl Iterator<Item = u64>) -> Vec<u64> {
        proofs
            .filter(|ms| heartbeat.prove(at(*ms)).is_some())
            .collect()
    }

    #[test]
    fn ticks_that_prove_make_a_square_wave() {
        let mut heartbeat = heartbeat();
        let states: Vec<_> = (0..=400)
            .step_by(5)
            .filter_map(|ms| heartbeat.prove(at(ms)))
            .map(|change| (change.at, change.command.output, change.command.state))
            .collect();
        use OutputState::{Active, Inactive};
        let expected = [
            (0, Active),
            (100, Inactive),
            (200, Active),
            (300, Inactive),
            (400, Active),
        ];
        assert_eq!(
            states,
            expected.map(|(ms, state)| (at(ms), OutputName::Heartbeat, state))
        );
    }

    #[test]
    fn a_pause_without_proofs_has_no_edges_and_is_not_made_up_for() {
        let proofs = (0..=100).chain(1000..=1200);
        assert_eq!(edges(&mut heartbeat(), proofs), [0, 100, 1000, 1100, 1200]);
    }

    #[test]
    fn a_jump_of_the_clock_makes_one_edge_at_most() {
        let mut heartbeat = heartbeat();
        let proofs = [0, 3_600_000, 3_600_001, 3_600_099, 3_600_100];
        let expected = [0, 3_600_000, 3_600_100];
        assert_eq!(edges(&mut heartbeat, proofs.into_iter()), expected);
        let backwards = [50, 149, 150, 151];
        assert_eq!(edges(&mut heartbeat, backwards.into_iter()), [150]);
    }

    proptest! {
        #[test]
        fn edges_alternate_and_are_never_closer_than_half_a_period(
            steps in prop::collection::vec(-300_i64..300, 1..200),
        ) {
            let mut heartbeat = heartbeat();
            let (mut ms, mut real) = (100_000_u64, 0_u64);
            let mut last: Option<(u64, OutputState)> = None;
            for step in steps {
                // The clock may jump; what passes for the relay is the distance of each step.
                ms = ms.saturating_add_signed(step);
                real += step.unsigned_abs();
                if let Some(change) = heartbeat.prove(at(ms)) {
                    if let Some((before, state)) = last {
                        prop_assert!(real - before >= 100);
                        prop_assert_ne!(state, change.command.state);
                    }
                    last = Some((real, change.command.state));
                }
            }
        }
    }
}
