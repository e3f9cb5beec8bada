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
