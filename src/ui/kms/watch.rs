//! Whether something is shown, and what to do about it when not: pure, time comes from outside.
//!
//! ```text
//!            lit                       lost(loss)
//!   Dark ───────────▶ Lit ─────────────────────────▶ Dark{loss}
//!    ▲  │ lost: the next try is later                    │
//!    └──┘◀────────────── a card changed, or time ────────┘
//! ```
//!
//! A monitor comes and goes with its cable, and the kernel says so: it is looked for every second. A
//! card that does not answer is tried ever more rarely. A change of a card brings the next try
//! forward. Nothing in here ever gives up: the box runs for years, and the monitor may come tomorrow.

use std::fmt;
use std::time::Duration;

use crate::units::MonotonicTime;

/// Time between two looks at the connector, lit or not. The kernel's state of it is only read, not
/// the wires, so that this costs microseconds; uevents make it quicker where they arrive.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Longest time between two tries with a card that does not work.
const RETRY_MAX: Duration = Duration::from_secs(10);

/// After a change of a card, so that a burst of messages is one try: the driver of a monitor that was
/// just plugged in sends several.
const SETTLE: Duration = Duration::from_millis(100);

/// Why nothing is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// There is no card, or it cannot be opened or used.
    Card(String),
    /// The card works, but no monitor is there or none that can be used.
    Monitor(String),
    /// Another program has the display.
    Master(String),
    /// This card does not confirm that it shows the pictures.
    Flip(String),
    /// Drawing failed.
    Drawing(String),
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Card(why) | Self::Monitor(why) | Self::Master(why) | Self::Drawing(why) => {
                f.write_str(why)
            }
            Self::Flip(card) => write!(
                f,
                "{card}: the card does not confirm that it shows the pictures"
            ),
        }
    }
}

impl Loss {
    /// What is worth keeping meanwhile.
    pub(super) const fn keeps(&self) -> Kept {
        match self {
            Self::Card(_) | Self::Flip(_) | Self::Drawing(_) => Kept::Nothing,
            Self::Monitor(_) => Kept::Card,
            Self::Master(_) => Kept::Everything,
        }
    }

    const fn backs_off(&self) -> bool {
        match self {
            Self::Card(_) | Self::Flip(_) | Self::Drawing(_) => true,
            Self::Monitor(_) | Self::Master(_) => false,
        }
    }
}

/// What of the display outlives a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Everything is opened anew.
    Nothing,
    /// The card and the graphics context on it.
    Card,
    /// The surface as well: only the display itself has to be taken again.
    Everything,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Todo {
    /// Nothing.
    Nothing,
    /// See whether the monitor is still there, as far as the kernel knows.
    Look,
    /// The kernel says that something changed: have it look at the wires.
    LookClosely,
    /// Try to show something.
    Try,
}

/// What the operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DisplayNews {
    /// Something is shown from now on; after this time without, where it was lost before.
    Shown {
        /// What shows it, and how.
        on: String,
        /// How long nothing was shown.
        after: Option<Duration>,
    },
    /// Nothing is shown any more.
    Lost(Loss),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Lit {
        next_look: MonotonicTime,
        /// Whether the kernel spoke of a card since the last look.
        changed: bool,
    },
    Dark {
        /// `None` at the very start.
        loss: Option<Loss>,
        since: MonotonicTime,
        next_try: MonotonicTime,
        wait: Duration,
    },
}

/// The state of the display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watch(Phase);

impl Watch {
    pub(super) const fn new(now: MonotonicTime) -> Self {
        Self(Phase::Dark {
            loss: None,
            since: now,
            next_try: now,
            wait: LOOK_EVERY,
        })
    }

    pub(super) const fn is_lit(&self) -> bool {
        matches!(self.0, Phase::Lit { .. })
    }

    /// What is to be done; `changed` says that the kernel spoke of a card.
    pub(super) fn due(&mut self, now: MonotonicTime, changed: bool) -> Todo {
        let (at, todo) = match &mut self.0 {
            Phase::Lit {
                next_look,
                changed: noted,
            } => {
                *noted |= changed;
                let look = if *noted {
                    Todo::LookClosely
                } else {
                    Todo::Look
                };
                (next_look, look)
            }
            Phase::Dark { next_try, .. } => (next_try, Todo::Try),
        };
        if changed {
            *at = (*at).min(now + SETTLE);
        }
        if now < *at {
            return Todo::Nothing;
        }
        // A look has no other consequence where all is well; a try ends in `lit` or `lost`.
        *at = now + LOOK_EVERY;
        if let Phase::Lit { changed, .. } = &mut self.0 {
            *changed = false;
        }
        todo
    }

    /// A picture is on the monitor that was not before.
    pub(super) fn lit(&mut self, now: MonotonicTime, on: &str) -> Option<DisplayNews> {
        let lit = Phase::Lit {
            next_look: now + LOOK_EVERY,
            changed: false,
        };
        match std::mem::replace(&mut self.0, lit) {
            Phase::Lit { .. } => None,
            Phase::Dark { loss, since, .. } => Some(DisplayNews::Shown {
                on: on.to_owned(),
                after: loss.map(|_| now.saturating_since(since)),
            }),
        }
    }

    /// Nothing is shown, or still nothing; news where it is news.
    pub(super) fn lost(&mut self, now: MonotonicTime, loss: Loss) -> Option<DisplayNews> {
        let (since, wait, known) = match &self.0 {
            Phase::Lit { .. } => (now, LOOK_EVERY, false),
            Phase::Dark {
                loss: before,
                since,
                wait,
                ..
            } => {
                let same = before.as_ref() == Some(&loss);
                let again = before.as_ref().is_some_and(Loss::backs_off) && loss.backs_off();
                let wait = if again {
                    (*wait * 2).min(RETRY_MAX)
                } else {
                    LOOK_EVERY
                };
                (*since, wait, same)
            }
        };
        self.0 = Phase::Dark {
            loss: Some(loss.clone()),
            since,
            next_try: now + wait,
            wait,
        };
        (!known).then_some(DisplayNews::Lost(loss))
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
