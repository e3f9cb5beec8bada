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
    /// Why nothing is known yet; `None` once every zone was known to be clear.
    unknown: Option<Cause>,
}

impl Warning {
    /// Unlit until the first [`Warning::tick`]; `watched` says which streams have warn zones.
    #[must_use]
    pub fn new(watched: impl Fn(StreamId) -> bool) -> Self {
        Self {
            guards: StreamId::ALL
                .map(|stream| watched(stream).then(|| (stream, Guard::new(stream)))),
            state: OutputState::Inactive,
            unknown: Some(Cause::Start),
        }
    }

    /// The same with the output as it is now, for a change of the zones.
    #[must_use]
    pub const fn after_change(mut self, state: OutputState) -> Self {
        self.state = state;
        self.unknown = Some(Cause::ConfigurationChanged);
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
                Some((self.state, self.cause(stream, doubt)))
            }
            (OutputState::Active, None) => {
                self.state = OutputState::Inactive;
                self.unknown = None;
                Some((self.state, Cause::Clear))
            }
            (OutputState::Inactive, None) | (OutputState::Active, Some(_)) => None,
        }
    }

    fn cause(&self, stream: StreamId, doubt: Doubt) -> Cause {
        match doubt {
            Doubt::Hazard(hazard) => Cause::Trip(hazard),
            Doubt::Ended(fault) => Cause::Fault(fault),
            // Once known, counting begins anew only after a gap between two frames.
            Doubt::NoFrame | Doubt::NotYetClear => self
                .unknown
                .unwrap_or(Cause::Trip(TripCause::Stale(stream))),
        }
    }

    fn guard_mut(&mut self, stream: StreamId) -> Option<&mut Guard> {
        let (_, guard) = self.guards.get_mut(stream.index())?.as_mut()?;
        Some(guard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Fault;
    use crate::units::ZoneIndex;
    use std::time::Duration;

    const STREAM: StreamId = StreamId::WorkerSafety;
    const SETTINGS: GuardSettings = GuardSettings {
        trip_after: 5,
        clear_after: 2,
        max_age: Duration::from_millis(100),
        fault_after: Duration::from_millis(300),
        start_within: Duration::from_millis(1000),
    };

    fn at(ms: u64) -> MonotonicTime {
        MonotonicTime::from_duration(Duration::from_millis(ms))
    }

    fn after(warning: &mut Warning, ms: u64, occupancy: Occupancy) -> Option<(OutputState, Cause)> {
        warning.observe(&SETTINGS, STREAM, at(ms), occupancy, at(ms));
        warning.tick(&SETTINGS, at(ms))
    }

    fn unlit() -> Warning {
        let mut warning = Warning::new(|stream| stream == STREAM);
        warning.tick(&SETTINGS, at(0));
        after(&mut warning, 10, Occupancy::Clear);
        after(&mut warning, 20, Occupancy::Clear);
        assert_eq!(warning.state(), OutputState::Inactive);
        warning
    }

    #[test]
    fn it_is_lit_until_the_zones_are_known_to_be_clear() {
        let mut warning = Warning::new(|stream| stream == STREAM);
        let lit = warning.tick(&SETTINGS, at(0));
        assert_eq!(lit, Some((OutputState::Active, Cause::Start)));
        assert_eq!(after(&mut warning, 10, Occupancy::Clear), None);
        let out = after(&mut warning, 20, Occupancy::Clear);
        assert_eq!(out, Some((OutputState::Inactive, Cause::Clear)));
    }

    #[test]
    fn it_lights_at_once_and_goes_out_after_clear_after_frames() {
        let mut warning = unlit();
        let zone = ZoneIndex(2);
        let lit = after(&mut warning, 30, Occupancy::Occupied(zone));
        assert_eq!(
            lit,
            Some((OutputState::Active, Cause::Trip(TripCause::Zone(zone))))
        );
        assert_eq!(after(&mut warning, 40, Occupancy::Occupied(zone)), None);
        assert_eq!(after(&mut warning, 50, Occupancy::Clear), None);
        assert!(after(&mut warning, 60, Occupancy::Clear).is_some());
    }

    #[test]
    fn a_first_frame_before_the_first_tick_is_the_start_not_a_late_frame() {
        let mut warning = Warning::new(|stream| stream == STREAM);
        let lit = after(&mut warning, 10, Occupancy::Clear);
        assert_eq!(lit, Some((OutputState::Active, Cause::Start)));
    }

    #[test]
    fn it_lights_when_nothing_is_known() {
        let stale = Some((OutputState::Active, Cause::Trip(TripCause::Stale(STREAM))));
        let mut warning = unlit();
        assert_eq!(warning.tick(&SETTINGS, at(120)), None);
        assert_eq!(warning.tick(&SETTINGS, at(121)), stale);
        let mut warning = unlit();
        assert_eq!(
            after(&mut warning, 300, Occupancy::Clear),
            stale,
            "after a gap"
        );
        let mut warning = unlit();
        warning.end(STREAM);
        let ended = Cause::Fault(Fault::SourceEnded(STREAM));
        assert_eq!(
            warning.tick(&SETTINGS, at(21)),
            Some((OutputState::Active, ended))
        );
        let mut warning = unlit();
        let unjudged = Cause::Trip(TripCause::Unjudged(STREAM));
        let lit = after(&mut warning, 30, Occupancy::Unjudged);
        assert_eq!(lit, Some((OutputState::Active, unjudged)));
    }

    #[test]
    fn a_moment_of_lateness_costs_clear_after_frames() {
        let mut warning = unlit();
        warning.tick(&SETTINGS, at(121));
        assert_eq!(after(&mut warning, 122, Occupancy::Clear), None);
        assert!(after(&mut warning, 130, Occupancy::Clear).is_some());
    }

    #[test]
    fn without_warn_zones_it_stays_dark() {
        let mut warning = Warning::new(|_| false);
        assert_eq!(
            after(&mut warning, 10, Occupancy::Occupied(ZoneIndex(0))),
            None
        );
        assert_eq!(warning.tick(&SETTINGS, at(5000)), None);
    }

    #[test]
    fn new_zones_start_from_the_lamp_as_it_is() {
        let mut warning = Warning::new(|_| false).after_change(OutputState::Active);
        let out = warning.tick(&SETTINGS, at(0));
        assert_eq!(out, Some((OutputState::Inactive, Cause::Clear)));
        let mut warning =
            Warning::new(|stream| stream == STREAM).after_change(OutputState::Inactive);
        let lit = warning.tick(&SETTINGS, at(0));
        assert_eq!(
            lit,
            Some((OutputState::Active, Cause::ConfigurationChanged))
        );
    }
}
