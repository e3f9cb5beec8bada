//! The warning output: lamp or horn of the warn zones. Never touches the run permission. Pure.
//!
//! Lit unless every warn zone is known to be clear: also before the first frames, when frames are
//! late and when they cannot be judged. It lights at once and goes out after `clear_after` clear
//! frames, so that it does not flicker.

use super::guard::{Doubt, Guard, GuardSettings, Occupancy};
use crate::message::{Cause, OutputState, TripCause};
use crate::units::{MonotonicTime, StreamId};

/// The warn zones' guards and the output they light.
#[derive(Clone, Copy, Debug)]
pub struct Warning {
    /// By [`StreamId::index`]; `None` where the stream has no warn zone.
    guards: [Option<(StreamId, Guard)>; 2],
    state: OutputState,
}

impl Warning {
    /// Unlit until the first [`Warning::tick`]; `watched` says which streams have warn zones.
    #[must_use]
    pub fn new(watched: impl Fn(StreamId) -> bool) -> Self {
        Self {
            guards: StreamId::ALL
                .map(|stream| watched(stream).then(|| (stream, Guard::new(stream)))),
            state: OutputState::Inactive,
        }
    }

    /// The same with the output as it is now, for a change of the zones.
    #[must_use]
    pub const fn starting_from(mut self, state: OutputState) -> Self {
        self.state = state;
        self
    }

    /// The output's state.
    #[must_use]
    pub const fn state(&self) -> OutputState {
        self.state
    }

    /// Takes a judged frame.
    pub fn observe(
        &mut self,
        settings: &GuardSettings,
        stream: StreamId,
        captured: MonotonicTime,
        occupancy: Occupancy,
        now: MonotonicTime,
    ) {
        if let Some(guard) = self.guard_mut(stream) {
            guard.observe(settings, captured, occupancy, now);
        }
    }

    /// The source of a stream has ended.
    pub fn end(&mut self, stream: StreamId) {
        if let Some(guard) = self.guard_mut(stream) {
            guard.end();
        }
    }

    /// Lets time pass; gives the output's edge, if there is one.
    pub fn tick(
        &mut self,
        settings: &GuardSettings,
        now: MonotonicTime,
    ) -> Option<(OutputState, Cause)> {
        let mut doubt = None;
        for (stream, guard) in self.guards.iter_mut().flatten() {
            guard.pass_time(settings, now);
            doubt = doubt.or(guard.doubt(settings, now).map(|doubt| (*stream, doubt)));
        }
        match (self.state, doubt) {
            (OutputState::Inactive, Some((stream, doubt))) => {
                self.state = OutputState::Active;
                let cause = match doubt {
                    Doubt::NoFrame => Cause::Start,
                    Doubt::Hazard(hazard) => Cause::Trip(hazard),
                    // The count began anew after a gap, or the source has ended.
                    Doubt::NotYetClear => Cause::Trip(TripCause::Stale(stream)),
                };
                Some((self.state, cause))
            }
            (OutputState::Active, None) => {
                self.state = OutputState::Inactive;
                Some((self.state, Cause::Clear))
            }
            (OutputState::Inactive, None) | (OutputState::Active, Some(_)) => None,
        }
    }

    fn guard_mut(&mut self, stream: StreamId) -> Option<&mut Guard> {
        let (_, guard) = self.guards.get_mut(stream.index())?.as_mut()?;
        Some(guard)
    }
}
