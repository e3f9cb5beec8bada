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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> MonotonicTime {
        MonotonicTime::from_duration(Duration::from_millis(ms))
    }

    #[test]
    fn an_order_becomes_one_pulse_of_its_length() {
        let mut train = PulseTrain::new();
        assert_eq!(train.tick(at(0)), None);
        train.order(1);
        assert_eq!(train.state(), OutputState::Inactive);
        assert_eq!(
            train.tick(at(5)),
            Some((OutputState::Active, Cause::PartRejected(1)))
        );
        assert_eq!(train.state(), OutputState::Active);
        assert_eq!(train.tick(at(204)), None);
        assert_eq!(
            train.tick(at(205)),
            Some((OutputState::Inactive, Cause::PulseOver))
        );
        assert_eq!(train.state(), OutputState::Inactive);
        for ms in [210, 304, 305, 400, 1000] {
            assert_eq!(train.tick(at(ms)), None);
        }
    }

    #[test]
    fn pulses_that_follow_each_other_have_a_pause_between() {
        let mut train = PulseTrain::new();
        train.order(1);
        train.order(2);
        let edges: Vec<u64> = (0..1000)
            .filter(|ms| train.tick(at(*ms)).is_some())
            .collect();
        assert_eq!(edges, [0, 200, 300, 500]);
    }

    #[test]
    fn an_order_after_the_pause_needs_no_second_pause() {
        let mut train = PulseTrain::new();
        train.order(1);
        train.tick(at(0));
        train.tick(at(200));
        train.tick(at(300));
        train.order(2);
        assert!(train.tick(at(301)).is_some());
    }

    #[test]
    fn an_order_that_finds_no_room_is_counted() {
        let mut train = PulseTrain::new();
        for number in 0..34 {
            train.order(number);
        }
        assert_eq!(train.overflowed(), 2);
    }

    proptest! {
        #[test]
        fn every_order_becomes_exactly_one_pulse_in_order(
            gaps in prop::collection::vec(0_u64..500, 0..20),
            period in 1_u64..120,
        ) {
            let mut train = PulseTrain::new();
            let mut orders = gaps.iter().scan(0, |time, gap| { *time += gap; Some(*time) }).peekable();
            let (mut started, mut ended, mut number) = (Vec::new(), 0, 0);
            for tick in 0..30_000 / period {
                let now = tick * period;
                while orders.next_if(|time| *time <= now).is_some() {
                    number += 1;
                    train.order(number);
                }
                match train.tick(at(now)) {
                    Some((OutputState::Active, Cause::PartRejected(part))) => started.push(part),
                    Some((OutputState::Inactive, Cause::PulseOver)) => ended += 1,
                    Some(other) => prop_assert!(false, "{:?}", other),
                    None => {}
                }
            }
            prop_assert_eq!(started, (1..=number).collect::<Vec<_>>());
            prop_assert_eq!(ended, number);
            prop_assert_eq!(train.overflowed(), 0);
        }
    }
}
