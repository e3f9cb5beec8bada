//! One guarding stream: is it fresh, is it clear, for how long. Pure.
//!
//! A guard is fed every judged frame of its stream and asked, at any later moment, what speaks
//! against the zone being safe. Everything it does not know speaks against it: no frame yet, a late
//! frame, a frame that could not be judged, a gap between two frames.

use std::time::Duration;

use crate::message::{Fault, TripCause};
use crate::units::{MonotonicTime, StreamId, ZoneIndex};

/// What one frame says of the zones a guard watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Occupancy {
    /// Nobody is in a zone.
    Clear,
    /// Somebody is in this zone (the first of them by index).
    Occupied(ZoneIndex),
    /// Inference failed: whether somebody is in a zone is unknown.
    Unjudged,
}

/// Counts and times of a guard, from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardSettings {
    /// Occupied frames in a row until the zone counts as occupied, at least 1.
    pub trip_after: u32,
    /// Clear frames in a row until the zone counts as clear again, at least 1.
    pub clear_after: u32,
    /// A frame older than this counts as occupied.
    pub max_age: Duration,
    /// A frame older than this is a fault; at least `max_age`.
    pub fault_after: Duration,
    /// No judged frame this long after the start is a fault.
    pub start_within: Duration,
}

/// Why a guard does not vouch for its zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// No frame yet.
    NoFrame,
    /// The newest frame counts as occupied.
    Hazard(TripCause),
    /// Clear, but for fewer than `clear_after` frames.
    NotYetClear,
}

/// What a new frame tells about the time before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Nothing special.
    InOrder,
    /// The gap to the frame before was longer than `max_age`: in between, nobody watched.
    AfterLapse,
    /// The gap was longer than `fault_after`.
    AfterLoss,
    /// The frame is older than the one before it, or from the future.
    Backwards,
}

/// What is known of one guarding stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Guard {
    stream: StreamId,
    /// When the newest frame was taken.
    newest: Option<MonotonicTime>,
    /// What the newest frame said.
    latest: Occupancy,
    /// Frames in a row that were not clear, counted up to `trip_after`.
    occupied_run: u32,
    /// Frames in a row that were clear, counted up to `clear_after`.
    clear_run: u32,
    /// When the first of the frames in a row that could not be judged was taken.
    unjudged_since: Option<MonotonicTime>,
    /// Whether a frame was judged since the zones are what they are.
    judged: bool,
    /// Whether the source said that it has ended.
    ended: bool,
}

impl Guard {
    /// A guard that has seen nothing.
    #[must_use]
    pub const fn new(stream: StreamId) -> Self {
        Self {
            stream,
            newest: None,
            latest: Occupancy::Unjudged,
            occupied_run: 0,
            clear_run: 0,
            unjudged_since: None,
            judged: false,
            ended: false,
        }
    }

    /// Takes a judged frame taken at `captured`.
    ///
    /// A second frame with the very same timestamp is no new evidence: it can make the zone
    /// occupied, but does not count as clear.
    pub fn observe(
        &mut self,
        settings: &GuardSettings,
        captured: MonotonicTime,
        occupancy: Occupancy,
        now: MonotonicTime,
    ) -> Arrival {
        let arrival = self.arrival(settings, captured, now);
        match arrival {
            Arrival::InOrder => {}
            Arrival::AfterLapse | Arrival::AfterLoss => self.clear_run = 0,
            Arrival::Backwards => self.unjudged_since = None,
        }
        let repeated = self.newest == Some(captured);
        self.newest = Some(captured);
        self.ended = false;
        match occupancy {
            Occupancy::Clear if repeated => return arrival,
            Occupancy::Clear => {
                self.occupied_run = 0;
                self.clear_run = count(self.clear_run, settings.clear_after);
                self.unjudged_since = None;
            }
            Occupancy::Occupied(_) => {
                self.occupied_run = count(self.occupied_run, settings.trip_after);
                self.clear_run = 0;
                self.unjudged_since = None;
            }
            Occupancy::Unjudged => {
                self.occupied_run = count(self.occupied_run, settings.trip_after);
                self.clear_run = 0;
                self.unjudged_since = self.unjudged_since.or(Some(captured));
            }
        }
        self.latest = occupancy;
        self.judged |= occupancy != Occupancy::Unjudged;
        if arrival == Arrival::Backwards {
            self.clear_run = 0;
        }
        arrival
    }

    /// The source says that it has ended.
    pub const fn end(&mut self) {
        self.ended = true;
        self.clear_run = 0;
    }

    /// Forgets how often the zone was clear: what was seen so far does not count any more.
    pub const fn forget_clear(&mut self) {
        self.clear_run = 0;
    }

    /// The zones are others now: nothing seen so far says anything about them.
    pub const fn forget_verdicts(&mut self) {
        self.clear_run = 0;
        self.occupied_run = 0;
        self.latest = Occupancy::Unjudged;
        self.judged = false;
    }

    /// Lets time pass: a guard that went stale has to be clear for `clear_after` frames again.
    pub fn pass_time(&mut self, settings: &GuardSettings, now: MonotonicTime) {
        if self.is_stale(settings, now) {
            self.clear_run = 0;
        }
    }

    /// Whether a frame was judged since the zones are what they are.
    #[must_use]
    pub const fn has_judged(&self) -> bool {
        self.judged
    }

    /// Whether the newest frame is older than `max_age`, or there is none.
    #[must_use]
    pub fn is_stale(&self, settings: &GuardSettings, now: MonotonicTime) -> bool {
        self.newest
            .is_none_or(|newest| now.saturating_since(newest) > settings.max_age)
    }

    /// Why the run permission has to go, if it has to. With `muted` a person in a zone is let pass;
    /// a late frame or one that could not be judged is not.
    #[must_use]
    pub fn hazard(
        &self,
        settings: &GuardSettings,
        muted: bool,
        now: MonotonicTime,
    ) -> Option<TripCause> {
        if self.is_stale(settings, now) {
            return Some(TripCause::Stale(self.stream));
        }
        let counts = self.occupied_run >= settings.trip_after;
        match self.latest {
            Occupancy::Clear => None,
            Occupancy::Occupied(zone) => (counts && !muted).then_some(TripCause::Zone(zone)),
            Occupancy::Unjudged => counts.then_some(TripCause::Unjudged(self.stream)),
        }
    }

    /// Why the guard sees nothing at this moment, if it does not.
    #[must_use]
    pub fn lateness(&self, settings: &GuardSettings, now: MonotonicTime) -> Option<Doubt> {
        if self.newest.is_none() {
            Some(Doubt::NoFrame)
        } else if self.is_stale(settings, now) {
            Some(Doubt::Hazard(TripCause::Stale(self.stream)))
        } else {
            None
        }
    }

    /// Why the guard does not vouch for its zones; `None` where it does: fresh, and clear in the
    /// last `clear_after` frames.
    #[must_use]
    pub fn doubt(&self, settings: &GuardSettings, now: MonotonicTime) -> Option<Doubt> {
        if let Some(late) = self.lateness(settings, now) {
            return Some(late);
        }
        match self.latest {
            Occupancy::Occupied(zone) => Some(Doubt::Hazard(TripCause::Zone(zone))),
            Occupancy::Unjudged => Some(Doubt::Hazard(TripCause::Unjudged(self.stream))),
            Occupancy::Clear => {
                (self.clear_run < settings.clear_after).then_some(Doubt::NotYetClear)
            }
        }
    }

    /// What is broken, if anything. `watched_since` is when waiting for the first frame began.
    #[must_use]
    pub fn fault(
        &self,
        settings: &GuardSettings,
        watched_since: MonotonicTime,
        now: MonotonicTime,
    ) -> Option<Fault> {
        if self.ended {
            return Some(Fault::SourceEnded(self.stream));
        }
        let (newest, limit) = match self.newest {
            Some(newest) => (newest, settings.fault_after),
            None => (watched_since, settings.start_within),
        };
        match now.checked_since(newest) {
            None => return Some(Fault::ClockBackwards),
            Some(age) if age > limit => return Some(Fault::SourceLost(self.stream)),
            Some(_) => {}
        }
        let failing = self
            .unjudged_since
            .is_some_and(|since| now.saturating_since(since) > settings.fault_after);
        failing.then_some(Fault::InferenceLost(self.stream))
    }

    fn arrival(
        &self,
        settings: &GuardSettings,
        captured: MonotonicTime,
        now: MonotonicTime,
    ) -> Arrival {
        if captured > now {
            return Arrival::Backwards;
        }
        let Some(newest) = self.newest else {
            return Arrival::InOrder;
        };
        match captured.checked_since(newest) {
            None => Arrival::Backwards,
            Some(gap) if gap > settings.fault_after => Arrival::AfterLoss,
            Some(gap) if gap > settings.max_age => Arrival::AfterLapse,
            Some(_) => Arrival::InOrder,
        }
    }
}

/// One more, up to `enough`; counters that stop keep the state space small.
fn count(run: u32, enough: u32) -> u32 {
    run.saturating_add(1).min(enough)
}
