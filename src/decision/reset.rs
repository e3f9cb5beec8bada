//! The reset button and the muting sensor: levels become acts. Pure.
//!
//! A reset is a whole press, and it takes effect when the button is let go (ISO 13849-1, 5.2.2: "by
//! disengaging the actuator from its energized position"), so that neither a short circuit in the
//! button's wire nor a button taped down can ever start a machine:
//!
//! ```text
//!   Unproven ──inactive──▶ Released ──active──▶ Pressed{since}
//!                             ▲  ▲                 │      │
//!                             │  └────inactive─────┘      │ active for longer than PRESS_MAX: Held
//!                             │   (PRESS_MIN..=PRESS_MAX: │
//!                             │    Reset; shorter: none)  ▼
//!                             └───────inactive───────── Stuck
//! ```

use std::time::Duration;

use crate::message::InputState;
use crate::units::MonotonicTime;

/// A press shorter than this is a bouncing contact. Contacts of industrial push buttons bounce for
/// a few milliseconds, 10 ms at most; a deliberate press lasts 50 ms and more.
pub const PRESS_MIN: Duration = Duration::from_millis(30);

/// A press longer than this is a held or stuck button.
pub const PRESS_MAX: Duration = Duration::from_secs(3);

/// What the reset button has been doing. A press that lasts while the run permission is taken away
/// began before that and is void ([`ResetButton::void`]): the decision sees to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ResetButton {
    /// Not yet seen released since the program started: a press now proves nothing.
    #[default]
    Unproven,
    /// Up.
    Released,
    /// Down.
    Pressed {
        /// When it went down.
        since: MonotonicTime,
    },
    /// Down for longer than [`PRESS_MAX`]; ignored until released.
    Stuck,
}

/// What the reset button says at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetSignal {
    /// Nothing new.
    Quiet,
    /// A reset.
    Reset,
    /// The button was held too long.
    Held,
}

impl ResetButton {
    /// Takes the level at `now`.
    #[must_use]
    pub fn observe(self, level: InputState, now: MonotonicTime) -> (Self, ResetSignal) {
        match (self, level) {
            (Self::Unproven, InputState::Active) => (Self::Unproven, ResetSignal::Quiet),
            (Self::Stuck, InputState::Active) => (Self::Stuck, ResetSignal::Quiet),
            (Self::Unproven | Self::Released | Self::Stuck, InputState::Inactive) => {
                (Self::Released, ResetSignal::Quiet)
            }
            (Self::Released, InputState::Active) => {
                (Self::Pressed { since: now }, ResetSignal::Quiet)
            }
            (Self::Pressed { since }, InputState::Active) => {
                if now.saturating_since(since) > PRESS_MAX {
                    (Self::Stuck, ResetSignal::Held)
                } else {
                    (self, ResetSignal::Quiet)
                }
            }
            (Self::Pressed { since }, InputState::Inactive) => {
                let held = now.saturating_since(since);
                let signal = if held < PRESS_MIN {
                    ResetSignal::Quiet
                } else if held > PRESS_MAX {
                    ResetSignal::Held
                } else {
                    ResetSignal::Reset
                };
                (Self::Released, signal)
            }
        }
    }

    /// The press that lasts now means nothing, and neither does its end.
    #[must_use]
    pub const fn void(self) -> Self {
        match self {
            Self::Pressed { .. } => Self::Stuck,
            Self::Unproven | Self::Released | Self::Stuck => self,
        }
    }
}

/// What the muting sensor has been doing. Muting lets material pass a stop zone: it starts with an
/// edge, ends with the sensor or its time limit, and starts again only with a new edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mute {
    /// The sensor is active but has started nothing: active since before the program, or used up.
    #[default]
    Spent,
    /// The sensor is inactive.
    Ready,
    /// Muting.
    Active {
        /// When it started.
        since: MonotonicTime,
    },
}

impl Mute {
    /// Takes the level at `now`; `limit` is the longest muting, `None` where muting is not configured.
    #[must_use]
    pub fn observe(self, level: InputState, limit: Option<Duration>, now: MonotonicTime) -> Self {
        let Some(limit) = limit else {
            return Self::Spent;
        };
        match (self, level) {
            (_, InputState::Inactive) => Self::Ready,
            (Self::Spent, InputState::Active) => Self::Spent,
            (Self::Ready, InputState::Active) => Self::Active { since: now },
            (Self::Active { since }, InputState::Active) => {
                if now.saturating_since(since) > limit {
                    Self::Spent
                } else {
                    self
                }
            }
        }
    }

    /// Whether somebody in a stop zone is let pass.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Active { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> MonotonicTime {
        MonotonicTime::from_duration(Duration::from_millis(ms))
    }

    /// Feeds levels (true is pressed) and gives the signals.
    fn signals(levels: &[(u64, bool)]) -> Vec<ResetSignal> {
        let mut button = ResetButton::default();
        levels
            .iter()
            .map(|(ms, pressed)| {
                let level = if *pressed {
                    InputState::Active
                } else {
                    InputState::Inactive
                };
                let (next, signal) = button.observe(level, at(*ms));
                button = next;
                signal
            })
            .collect()
    }

    use ResetSignal::{Held, Quiet, Reset};

    #[test]
    fn a_reset_takes_effect_when_the_button_is_let_go() {
        let press = [
            (0, false),
            (10, true),
            (100, true),
            (200, false),
            (210, false),
        ];
        assert_eq!(signals(&press), [Quiet, Quiet, Quiet, Reset, Quiet]);
    }

    #[test]
    fn a_press_shorter_than_a_bounce_is_none() {
        assert_eq!(signals(&[(0, false), (10, true), (39, false)]), [Quiet; 3]);
        let exactly = signals(&[(0, false), (10, true), (40, false)]);
        assert_eq!(exactly, [Quiet, Quiet, Reset]);
    }

    #[test]
    fn a_bouncing_contact_resets_once() {
        let bouncing = [
            (0, false),
            (10, true),
            (12, false),
            (14, true),
            (100, true),
            (101, false),
            (103, true),
            (105, false),
            (200, false),
        ];
        let resets = signals(&bouncing).iter().filter(|s| **s == Reset).count();
        assert_eq!(resets, 1);
    }

    #[test]
    fn a_held_button_is_no_reset_and_is_said_once() {
        let held = signals(&[
            (0, false),
            (10, true),
            (3010, true),
            (3011, true),
            (9000, true),
        ]);
        assert_eq!(held, [Quiet, Quiet, Quiet, Held, Quiet]);
        let let_go = signals(&[(0, false), (10, true), (3011, true), (9000, false)]);
        assert_eq!(let_go, [Quiet, Quiet, Held, Quiet]);
    }

    #[test]
    fn three_seconds_are_still_a_press_and_a_moment_more_is_not() {
        assert_eq!(signals(&[(0, false), (10, true), (3010, false)])[2], Reset);
        assert_eq!(signals(&[(0, false), (10, true), (3011, false)])[2], Held);
    }

    #[test]
    fn a_button_down_since_before_the_start_proves_nothing() {
        let taped = [
            (0, true),
            (100, true),
            (200, false),
            (300, true),
            (400, false),
        ];
        assert_eq!(signals(&taped), [Quiet, Quiet, Quiet, Quiet, Reset]);
    }

    #[test]
    fn a_stuck_button_works_again_once_released() {
        let levels = [
            (0, false),
            (1, true),
            (4000, true),
            (4100, false),
            (4200, true),
            (4300, false),
        ];
        assert_eq!(signals(&levels), [Quiet, Quiet, Held, Quiet, Quiet, Reset]);
    }

    #[test]
    fn a_clock_running_backwards_makes_no_reset() {
        assert_eq!(
            signals(&[(0, false), (500, true), (100, false)]),
            [Quiet; 3]
        );
    }

    #[test]
    fn the_end_of_a_void_press_is_none_and_the_next_press_works() {
        let mut button = ResetButton::default();
        let mut told = Vec::new();
        for (ms, level) in [(0, InputState::Inactive), (10, InputState::Active)] {
            (button, _) = button.observe(level, at(ms));
        }
        button = button.void();
        for (ms, level) in [
            (100, InputState::Active),
            (200, InputState::Inactive),
            (300, InputState::Active),
            (400, InputState::Inactive),
        ] {
            let (next, signal) = button.observe(level, at(ms));
            button = next;
            told.push(signal);
        }
        assert_eq!(told, [Quiet, Quiet, Quiet, Reset]);
        // What has not begun cannot be void.
        assert_eq!(ResetButton::Released.void(), ResetButton::Released);
        assert_eq!(ResetButton::Unproven.void(), ResetButton::Unproven);
    }

    fn muted(limit: Option<u64>, levels: &[(u64, bool)]) -> Vec<bool> {
        let mut mute = Mute::default();
        levels
            .iter()
            .map(|(ms, active)| {
                let level = if *active {
                    InputState::Active
                } else {
                    InputState::Inactive
                };
                mute = mute.observe(level, limit.map(Duration::from_millis), at(*ms));
                mute.is_active()
            })
            .collect()
    }

    #[test]
    fn muting_ends_with_the_sensor_or_its_limit_and_needs_a_new_edge() {
        let levels = [
            (0, false),
            (10, true),
            (110, true),
            (111, true),
            (112, true),
            (120, false),
            (130, true),
            (131, false),
        ];
        let expected = [false, true, true, false, false, false, true, false];
        assert_eq!(muted(Some(100), &levels), expected);
    }

    #[test]
    fn a_sensor_active_since_the_start_or_not_configured_mutes_nothing() {
        assert_eq!(muted(Some(100), &[(0, true), (10, true)]), [false; 2]);
        assert_eq!(muted(None, &[(0, false), (10, true)]), [false; 2]);
    }
}
