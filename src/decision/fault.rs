//! The fault output: lamp or contact that calls for somebody. Never touches the run permission. Pure.
//!
//! Active while the run permission is locked out, and from the moment on that a bad part was not
//! rejected in time until somebody acknowledges it with a press of reset. A reset that is pressed for
//! the run permission acknowledges it as well: whoever presses has seen the lamp. Active too while
//! somebody stays in a zone for longer than its dwell limit.

use super::reset::{ResetButton, ResetSignal};
use crate::message::{Cause, Fault, InputState, OutputState, PermissionState};
use crate::units::{MonotonicTime, ZoneIndex};

/// What the output tells, and the output.
#[derive(Clone, Copy, Debug)]
pub struct FaultLamp {
    locked: Option<Fault>,
    /// The first part not rejected in time that nobody has acknowledged.
    missed: Option<u64>,
    /// The zone in which somebody stays for too long.
    overstayed: Option<ZoneIndex>,
    button: ResetButton,
    /// How a part that was missed was acknowledged last.
    seen_by: Cause,
    state: OutputState,
    /// Why it was lit last.
    lit_for: Option<Cause>,
}

impl Default for FaultLamp {
    fn default() -> Self {
        Self::new()
    }
}

impl FaultLamp {
    /// Nothing is wrong, output inactive.
    #[must_use]
    pub fn new() -> Self {
        Self {
            locked: None,
            missed: None,
            overstayed: None,
            button: ResetButton::default(),
            seen_by: Cause::Reset,
            state: OutputState::Inactive,
            lit_for: None,
        }
    }

    /// The output's state.
    #[must_use]
    pub const fn state(&self) -> OutputState {
        self.state
    }

    /// Part `number` was not rejected in time.
    pub const fn part_missed(&mut self, number: u64) {
        if self.missed.is_none() {
            self.missed = Some(number);
        }
    }

    /// The zone in which somebody overstays now, if any.
    pub const fn overstayed(&mut self, zone: Option<ZoneIndex>) {
        self.overstayed = zone;
    }

    /// Somebody has seen at the screen what the output tells. What still lasts stays lit.
    pub const fn acknowledge(&mut self) {
        if self.missed.take().is_some() {
            self.seen_by = Cause::Acknowledged;
        }
    }

    /// The press of reset that lasts now means nothing.
    pub const fn void_press(&mut self) {
        self.button = self.button.void();
    }

    /// What the output is lit for.
    #[must_use]
    pub const fn cause(&self) -> Option<Cause> {
        match self.state {
            OutputState::Active => self.lit_for,
            OutputState::Inactive => None,
        }
    }

    /// Takes the state of the run permission and the level of the reset button; gives the output's
    /// edge, if there is one.
    pub fn tick(
        &mut self,
        permission: PermissionState,
        reset: InputState,
        now: MonotonicTime,
    ) -> Option<(OutputState, Cause)> {
        let (button, signal) = self.button.observe(reset, now);
        self.button = button;
        if signal == ResetSignal::Reset && self.state == OutputState::Active {
            self.missed = None;
            self.seen_by = Cause::Reset;
        }
        self.locked = match permission {
            PermissionState::LockedOut(fault) => Some(fault),
            PermissionState::SelfTest
            | PermissionState::Interlocked
            | PermissionState::On
            | PermissionState::Tripped(_) => None,
        };
        let wrong = self
            .locked
            .map(Cause::Fault)
            .or(self.missed.map(Cause::RejectMissed))
            .or(self.overstayed.map(Cause::Overstayed));
        match (self.state, wrong) {
            (OutputState::Inactive, Some(cause)) => {
                self.state = OutputState::Active;
                self.lit_for = Some(cause);
                Some((self.state, cause))
            }
            (OutputState::Active, None) => {
                self.state = OutputState::Inactive;
                let cause = match self.lit_for {
                    Some(Cause::Overstayed(_)) => Cause::Clear,
                    Some(Cause::RejectMissed(_)) => self.seen_by,
                    Some(_) | None => Cause::Reset,
                };
                Some((self.state, cause))
            }
            (OutputState::Inactive, None) | (OutputState::Active, Some(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use InputState::{Active as Pressed, Inactive as Released};
    use PermissionState::{Interlocked, LockedOut, On};

    struct Story {
        lamp: FaultLamp,
        ms: u64,
    }

    impl Story {
        fn new() -> Self {
            let (lamp, ms) = (FaultLamp::new(), 0);
            Self { lamp, ms }
        }

        fn tick(
            &mut self,
            permission: PermissionState,
            reset: InputState,
        ) -> Option<(OutputState, Cause)> {
            self.ms += 50;
            let now = MonotonicTime::from_duration(Duration::from_millis(self.ms));
            self.lamp.tick(permission, reset, now)
        }
    }

    const LOCKED: PermissionState = LockedOut(Fault::OutputLost);
    const LIT: Option<(OutputState, Cause)> =
        Some((OutputState::Active, Cause::Fault(Fault::OutputLost)));
    const OUT: Option<(OutputState, Cause)> = Some((OutputState::Inactive, Cause::Reset));

    #[test]
    fn it_is_lit_while_the_permission_is_locked_out() {
        let mut story = Story::new();
        for quiet in [PermissionState::SelfTest, Interlocked, On] {
            assert_eq!(story.tick(quiet, Released), None);
        }
        assert_eq!(story.tick(LOCKED, Released), LIT);
        assert_eq!(story.tick(LOCKED, Released), None);
        assert_eq!(story.tick(Interlocked, Released), OUT);
        assert_eq!(story.tick(Interlocked, Released), None);
    }

    #[test]
    fn a_missed_part_is_told_until_somebody_presses_reset() {
        let mut story = Story::new();
        story.tick(On, Released);
        story.lamp.part_missed(7);
        story.lamp.part_missed(8);
        let told = Some((OutputState::Active, Cause::RejectMissed(7)));
        assert_eq!(story.tick(On, Released), told);
        assert_eq!(story.tick(On, Pressed), None);
        assert_eq!(story.tick(On, Released), OUT);
        story.lamp.part_missed(9);
        let told = Some((OutputState::Active, Cause::RejectMissed(9)));
        assert_eq!(story.tick(On, Released), told, "the next one is told again");
    }

    #[test]
    fn a_reset_of_nothing_acknowledges_nothing_that_comes_with_it() {
        let mut story = Story::new();
        story.tick(On, Released);
        story.tick(On, Pressed);
        story.lamp.part_missed(7);
        let told = Some((OutputState::Active, Cause::RejectMissed(7)));
        assert_eq!(story.tick(On, Released), told, "nobody had seen the lamp");
    }

    #[test]
    fn acknowledging_a_missed_part_does_not_end_a_lock_out() {
        let mut story = Story::new();
        story.lamp.part_missed(7);
        assert_eq!(story.tick(LOCKED, Released), LIT);
        story.tick(LOCKED, Pressed);
        assert_eq!(story.tick(LOCKED, Released), None);
        assert_eq!(story.tick(Interlocked, Released), OUT);
    }
}
