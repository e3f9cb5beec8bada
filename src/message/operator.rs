//! What an operator does at the screen, and what the screen says back.

use crate::message::{Cause, ResetPrompt, ResetRefusal};
use crate::units::MonotonicTime;

/// One press at the screen, from touching to letting go. Numbers only grow within a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PressId(pub u64);

/// What an operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorOrder {
    /// The reset button on the screen went down.
    PressReset(PressId),
    /// It is still down, and the picture around it still lives.
    HoldReset(PressId),
    /// It was let go where it was pressed: what makes a press a reset.
    ReleaseReset(PressId),
    /// The press means nothing: the finger slid off, a second one came, the screen was unplugged.
    AbandonReset(PressId),
    /// Whoever stands at the screen has seen what it tells.
    Acknowledge,
}

/// An order with the time at which the operator gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperatorCommand {
    /// When the finger touched or left, as the kernel stamped it (`CLOCK_MONOTONIC`).
    pub at: MonotonicTime,
    /// What is wanted.
    pub order: OperatorOrder,
}

/// What the decision says to the operator at the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperatorView {
    /// Whether a reset would be accepted now.
    pub prompt: ResetPrompt,
    /// The last reset that was refused, and when.
    pub refused: Option<(ResetRefusal, MonotonicTime)>,
    /// What the fault output is lit for.
    pub alarm: Option<Cause>,
}
