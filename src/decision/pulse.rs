//! The reject output's pulses: every order becomes exactly one pulse, however close together. Pure.
//!
//! ```text
//!   order 1, 2 ──┐    ┌──────┐       ┌──────┐
//!   line      ───┴────┘ 1    └───────┘ 2    └────────
//!                      LENGTH   PAUSE
//! ```

use std::time::Duration;

use arrayvec::ArrayVec;

use crate::message::{Cause, OutputState};
use crate::units::MonotonicTime;

/// Length of a pulse: pneumatic rejectors open within 10 to 50 ms.
pub const LENGTH: Duration = Duration::from_millis(200);

/// Shortest pause between two pulses, so that a controller counts two.
pub const PAUSE: Duration = Duration::from_millis(100);

/// Orders that wait for their pulse: more than ten seconds' worth.
pub const WAITING_MAX: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Idle,
    Pulse { since: MonotonicTime },
    Pause { since: MonotonicTime },
}

/// Orders for pulses and the line they go out on.
#[derive(Clone, Debug)]
pub struct PulseTrain {
    line: Line,
    waiting: ArrayVec<u64, WAITING_MAX>,
    overflowed: u64,
}

impl Default for PulseTrain {
    fn default() -> Self {
        Self::new()
    }
}

impl PulseTrain {
    /// Nothing ordered, line inactive.
    #[must_use]
    pub fn new() -> Self {
        Self {
            line: Line::Idle,
            waiting: ArrayVec::new(),
            overflowed: 0,
        }
    }

    /// Orders a pulse for part `number`.
    pub fn order(&mut self, number: u64) {
        if self.waiting.try_push(number).is_err() {
            self.overflowed += 1;
        }
    }

    /// Orders that found no room: parts that could not be rejected. A lost order is a defect of the
    /// installation (more parts than the rejector can take off) and must be shown.
    #[must_use]
    pub const fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// The line's state.
    #[must_use]
    pub const fn state(&self) -> OutputState {
        match self.line {
            Line::Pulse { .. } => OutputState::Active,
            Line::Idle | Line::Pause { .. } => OutputState::Inactive,
        }
    }

    /// Lets time pass; gives the line's edge at `now`, if there is one.
    pub fn tick(&mut self, now: MonotonicTime) -> Option<(OutputState, Cause)> {
        match self.line {
            Line::Pulse { since } if now.saturating_since(since) >= LENGTH => {
                self.line = Line::Pause { since: now };
                Some((OutputState::Inactive, Cause::PulseOver))
            }
            Line::Pause { since } if now.saturating_since(since) < PAUSE => None,
            Line::Pause { .. } | Line::Idle => match self.waiting.pop_at(0) {
                Some(number) => {
                    self.line = Line::Pulse { since: now };
                    Some((OutputState::Active, Cause::PartRejected(number)))
                }
                None => {
                    self.line = Line::Idle;
                    None
                }
            },
            Line::Pulse { .. } => None,
        }
    }
}
