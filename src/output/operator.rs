//! An operator for demo and tests. Only the simulated backend can have one: on a real machine a
//! reset is a person's decision.

use std::time::Duration;

use super::{FieldInputs, OutputError};
use crate::message::{FieldLevels, InputState, ResetPrompt};
use crate::units::MonotonicTime;

/// How long before its time the button goes down, so that letting go, which is the reset, falls on
/// the configured time: a calm press of a finger.
const PRESS: Duration = Duration::from_millis(150);

/// Shortest press that is a press (`decision::reset::PRESS_MIN` is 30 ms).
const PRESS_MIN: Duration = Duration::from_millis(50);

/// Presses reset once a reset has been possible for a while; or never.
///
/// The button is let go at the first reading at or after `reset_after`, and never in the reading in
/// which it went down.
#[derive(Clone, Copy, Debug)]
pub struct SimulatedOperator {
    reset_after: Option<Duration>,
    invited_since: Option<MonotonicTime>,
    pressed_since: Option<MonotonicTime>,
}

impl SimulatedOperator {
    /// An operator that resets when a reset has been possible for `reset_after`; `None` is nobody.
    #[must_use]
    pub const fn new(reset_after: Option<Duration>) -> Self {
        Self {
            reset_after,
            invited_since: None,
            pressed_since: None,
        }
    }

    /// The input lines at `now`: nothing but the button is wired.
    pub fn levels(&mut self, now: MonotonicTime, prompt: ResetPrompt) -> FieldLevels {
        FieldLevels {
            reset: self.button(now, prompt),
            ..FieldLevels::default()
        }
    }

    /// The button at `now`.
    pub fn button(&mut self, now: MonotonicTime, prompt: ResetPrompt) -> InputState {
        let Some(reset_after) = self.reset_after else {
            return InputState::Inactive;
        };
        match prompt {
            ResetPrompt::Wait => {
                self.invited_since = None;
                self.pressed_since = None;
            }
            ResetPrompt::Invited => {
                let invited = *self.invited_since.get_or_insert(now);
                let waited = now.saturating_since(invited);
                match self.pressed_since {
                    None if waited + PRESS >= reset_after => self.pressed_since = Some(now),
                    Some(pressed)
                        if waited >= reset_after && now.saturating_since(pressed) >= PRESS_MIN =>
                    {
                        self.invited_since = None;
                        self.pressed_since = None;
                    }
                    None | Some(_) => {}
                }
            }
        }
        match self.pressed_since {
            Some(_) => InputState::Active,
            None => InputState::Inactive,
        }
    }
}

impl FieldInputs for SimulatedOperator {
    fn read(
        &mut self,
        now: MonotonicTime,
        prompt: ResetPrompt,
    ) -> Result<FieldLevels, OutputError> {
        Ok(self.levels(now, prompt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use InputState::{Active, Inactive};
    use ResetPrompt::{Invited, Wait};

    fn at(ms: u64) -> MonotonicTime {
        MonotonicTime::from_duration(Duration::from_millis(ms))
    }

    fn operator(reset_after_ms: u64) -> SimulatedOperator {
        SimulatedOperator::new(Some(Duration::from_millis(reset_after_ms)))
    }

    /// When the button went down and up, read every `period` ms from `from` on while invited.
    fn edges(operator: &mut SimulatedOperator, from: u64, until: u64, period: u64) -> Vec<u64> {
        let mut was = Inactive;
        let mut edges = Vec::new();
        for ms in (from..until).step_by(usize::try_from(period).unwrap()) {
            let level = operator.button(at(ms), Invited);
            if level != was {
                edges.push(ms);
            }
            was = level;
        }
        edges
    }

    #[test]
    fn the_button_is_let_go_when_the_time_has_come() {
        assert_eq!(edges(&mut operator(2000), 1000, 3005, 5), [2850, 3000]);
        assert_eq!(edges(&mut operator(2000), 1000, 3034, 33), [2881, 3013]);
    }

    #[test]
    fn a_slow_reader_still_sees_a_press_before_it_ends() {
        assert_eq!(edges(&mut operator(2000), 0, 2500, 100), [1900, 2000]);
        assert_eq!(edges(&mut operator(2000), 0, 5000, 1000), [2000, 3000]);
    }

    #[test]
    fn without_a_delay_the_press_is_as_short_as_a_press_can_be() {
        assert_eq!(edges(&mut operator(0), 0, 51, 5), [0, 50]);
    }

    #[test]
    fn waiting_starts_anew_when_a_reset_becomes_impossible() {
        let mut operator = operator(1000);
        assert_eq!(edges(&mut operator, 0, 900, 10), [850]);
        assert_eq!(operator.button(at(900), Wait), Inactive);
        assert_eq!(edges(&mut operator, 910, 1911, 10), [1760, 1910]);
    }

    #[test]
    fn a_reset_that_changed_nothing_is_tried_again_after_the_same_time() {
        assert_eq!(edges(&mut operator(300), 0, 620, 10), [150, 300, 460, 610]);
    }

    #[test]
    fn nobody_presses_nothing() {
        let mut nobody = SimulatedOperator::new(None);
        assert_eq!(edges(&mut nobody, 0, 100_000, 100), [0; 0]);
        let levels = nobody.read(at(0), Invited).unwrap();
        assert_eq!(levels, FieldLevels::default());
    }

    #[test]
    fn reading_gives_the_button_and_nothing_else() {
        let mut operator = operator(0);
        let levels = operator.read(at(0), Invited).unwrap();
        let expected = FieldLevels {
            reset: Active,
            ..FieldLevels::default()
        };
        assert_eq!(levels, expected);
    }
}
