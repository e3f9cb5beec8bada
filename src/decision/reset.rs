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

/// What the reset button has been doing.
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
