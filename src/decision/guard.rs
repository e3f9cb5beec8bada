//! One guarding stream: is it fresh, is it clear, for how long. Pure.
//!
//! A guard is fed every judged frame of its stream and asked, at any later moment, what speaks
//! against the zone being safe. Everything it does not know speaks against it: no frame yet, a late
//! frame, a frame that could not be judged, a gap between two frames.

use std::time::Duration;

use crate::message::{Fault, PictureDoubt, TripCause};
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
    /// The picture is not to be believed. The checks that say so have waited already, so that the
    /// first such frame counts, whatever `trip_after` is.
    Doubtful(PictureDoubt),
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
    /// The source has ended.
    Ended(Fault),
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
    /// When the first of the frames in a row that could not be judged, or believed, was taken.
    unjudged_since: Option<MonotonicTime>,
    /// When the newest frame that could be judged was taken, since the zones are what they are.
    judged: Option<MonotonicTime>,
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
            judged: None,
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
            Occupancy::Unjudged | Occupancy::Doubtful(_) => {
                self.occupied_run = count(self.occupied_run, settings.trip_after);
                self.clear_run = 0;
                self.unjudged_since = self.unjudged_since.or(Some(captured));
            }
        }
        self.latest = occupancy;
        match occupancy {
            Occupancy::Clear | Occupancy::Occupied(_) => self.judged = Some(captured),
            Occupancy::Unjudged | Occupancy::Doubtful(_) => {}
        }
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
        self.judged = None;
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
        self.judged.is_some()
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
            // However many frames may trip: what was last found must not be older than `max_age`.
            Occupancy::Unjudged => (counts || self.is_judgement_stale(settings, now))
                .then_some(TripCause::Unjudged(self.stream)),
            Occupancy::Doubtful(doubt) => Some(TripCause::Picture(self.stream, doubt)),
        }
    }

    fn is_judgement_stale(&self, settings: &GuardSettings, now: MonotonicTime) -> bool {
        self.judged
            .is_none_or(|judged| now.saturating_since(judged) > settings.max_age)
    }

    /// Whether the newest frame, and the newest that could be judged, are not older than `max_age`.
    #[must_use]
    pub fn is_fresh(&self, settings: &GuardSettings, now: MonotonicTime) -> bool {
        !self.ended && !self.is_stale(settings, now) && !self.is_judgement_stale(settings, now)
    }

    /// Why the guard sees nothing at this moment, if it does not.
    #[must_use]
    pub fn lateness(&self, settings: &GuardSettings, now: MonotonicTime) -> Option<Doubt> {
        if self.ended {
            Some(Doubt::Ended(Fault::SourceEnded(self.stream)))
        } else if self.newest.is_none() {
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
            Occupancy::Doubtful(doubt) => {
                Some(Doubt::Hazard(TripCause::Picture(self.stream, doubt)))
            }
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
        failing.then_some(match self.latest {
            Occupancy::Doubtful(doubt) => doubt.fault(self.stream),
            Occupancy::Unjudged | Occupancy::Clear | Occupancy::Occupied(_) => {
                Fault::InferenceLost(self.stream)
            }
        })
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

#[cfg(test)]
impl Guard {
    /// The same guard with every instant mapped: tests fold equivalent states into one.
    pub(super) fn with_times(mut self, map: impl Fn(MonotonicTime) -> MonotonicTime) -> Self {
        self.newest = self.newest.map(&map);
        self.judged = self.judged.map(&map);
        self.unjudged_since = self.unjudged_since.map(&map);
        self
    }

    pub(super) const fn newest(&self) -> Option<MonotonicTime> {
        self.newest
    }

    pub(super) const fn judged(&self) -> Option<MonotonicTime> {
        self.judged
    }

    pub(super) const fn latest(&self) -> Occupancy {
        self.latest
    }

    pub(super) const fn runs(&self) -> (u32, u32) {
        (self.occupied_run, self.clear_run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Occupancy::{Clear, Doubtful, Occupied, Unjudged};

    const STREAM: StreamId = StreamId::WorkerSafety;
    const ZONE: ZoneIndex = ZoneIndex(3);
    const SETTINGS: GuardSettings = GuardSettings {
        trip_after: 2,
        clear_after: 3,
        max_age: Duration::from_millis(100),
        fault_after: Duration::from_millis(300),
        start_within: Duration::from_millis(1000),
    };

    fn at(ms: u64) -> MonotonicTime {
        MonotonicTime::from_duration(Duration::from_millis(ms))
    }

    /// A guard that has seen these frames, each judged the moment it was taken.
    fn seen(frames: &[(u64, Occupancy)]) -> Guard {
        let mut guard = Guard::new(STREAM);
        for (ms, occupancy) in frames {
            guard.observe(&SETTINGS, at(*ms), *occupancy, at(*ms));
        }
        guard
    }

    fn clear_at_20() -> Guard {
        seen(&[(0, Clear), (10, Clear), (20, Clear)])
    }

    #[test]
    fn clear_needs_clear_after_frames_in_a_row() {
        let two = seen(&[(0, Clear), (10, Clear)]);
        assert_eq!(two.doubt(&SETTINGS, at(10)), Some(Doubt::NotYetClear));
        assert_eq!(clear_at_20().doubt(&SETTINGS, at(20)), None);
        for spoiler in [Occupied(ZONE), Unjudged] {
            let frames = [
                (0, Clear),
                (10, Clear),
                (15, spoiler),
                (20, Clear),
                (30, Clear),
            ];
            let guard = seen(&frames);
            assert_eq!(guard.doubt(&SETTINGS, at(30)), Some(Doubt::NotYetClear));
        }
    }

    #[test]
    fn a_trip_needs_trip_after_occupied_frames_in_a_row() {
        let once = seen(&[(0, Clear), (10, Occupied(ZONE))]);
        assert_eq!(once.hazard(&SETTINGS, false, at(10)), None);
        let apart = seen(&[(0, Occupied(ZONE)), (10, Clear), (20, Occupied(ZONE))]);
        assert_eq!(apart.hazard(&SETTINGS, false, at(20)), None);
        let twice = seen(&[(0, Unjudged), (10, Occupied(ZONE))]);
        let zone = Some(TripCause::Zone(ZONE));
        assert_eq!(twice.hazard(&SETTINGS, false, at(10)), zone);
        let unjudged = seen(&[(0, Occupied(ZONE)), (10, Unjudged)]);
        let cause = Some(TripCause::Unjudged(STREAM));
        assert_eq!(unjudged.hazard(&SETTINGS, false, at(10)), cause);
    }

    #[test]
    fn muting_lets_a_person_pass_but_no_unjudged_and_no_late_frame() {
        let person = seen(&[(0, Occupied(ZONE)), (10, Occupied(ZONE))]);
        assert_eq!(person.hazard(&SETTINGS, true, at(10)), None);
        let stale = Some(TripCause::Stale(STREAM));
        assert_eq!(person.hazard(&SETTINGS, true, at(111)), stale);
        let unjudged = seen(&[(0, Occupied(ZONE)), (10, Unjudged)]);
        assert!(unjudged.hazard(&SETTINGS, true, at(10)).is_some());
    }

    #[test]
    fn one_occupied_frame_speaks_against_clear_at_once() {
        let guard = seen(&[(0, Clear), (10, Clear), (20, Clear), (30, Occupied(ZONE))]);
        let zone = Some(Doubt::Hazard(TripCause::Zone(ZONE)));
        assert_eq!(guard.doubt(&SETTINGS, at(30)), zone);
        let guard = seen(&[(0, Clear), (10, Clear), (20, Clear), (30, Unjudged)]);
        let unjudged = Some(Doubt::Hazard(TripCause::Unjudged(STREAM)));
        assert_eq!(guard.doubt(&SETTINGS, at(30)), unjudged);
    }

    #[test]
    fn a_frame_is_fresh_up_to_max_age_and_occupied_beyond() {
        let guard = clear_at_20();
        assert_eq!(guard.hazard(&SETTINGS, false, at(120)), None);
        assert_eq!(guard.doubt(&SETTINGS, at(120)), None);
        let stale = TripCause::Stale(STREAM);
        assert_eq!(guard.hazard(&SETTINGS, false, at(121)), Some(stale));
        assert_eq!(guard.doubt(&SETTINGS, at(121)), Some(Doubt::Hazard(stale)));
        assert_eq!(guard.lateness(&SETTINGS, at(120)), None);
        assert_eq!(
            guard.lateness(&SETTINGS, at(121)),
            Some(Doubt::Hazard(stale))
        );
    }

    #[test]
    fn the_age_counts_from_capture_not_from_judgement() {
        let mut guard = Guard::new(STREAM);
        guard.observe(&SETTINGS, at(0), Clear, at(90));
        assert!(!guard.is_stale(&SETTINGS, at(100)));
        assert!(guard.is_stale(&SETTINGS, at(101)));
    }

    #[test]
    fn having_been_stale_means_counting_anew() {
        let mut guard = clear_at_20();
        guard.pass_time(&SETTINGS, at(120));
        assert_eq!(guard.doubt(&SETTINGS, at(120)), None);
        guard.pass_time(&SETTINGS, at(121));
        guard.observe(&SETTINGS, at(115), Clear, at(122));
        assert_eq!(guard.doubt(&SETTINGS, at(122)), Some(Doubt::NotYetClear));
    }

    #[test]
    fn a_gap_between_frames_means_counting_anew_even_if_no_tick_saw_it() {
        let mut guard = clear_at_20();
        assert_eq!(
            guard.observe(&SETTINGS, at(120), Clear, at(120)),
            Arrival::InOrder
        );
        assert_eq!(guard.doubt(&SETTINGS, at(120)), None);
        let mut guard = clear_at_20();
        assert_eq!(
            guard.observe(&SETTINGS, at(121), Clear, at(121)),
            Arrival::AfterLapse
        );
        assert_eq!(guard.runs(), (0, 1));
        let mut guard = clear_at_20();
        assert_eq!(
            guard.observe(&SETTINGS, at(320), Clear, at(320)),
            Arrival::AfterLapse
        );
        let mut guard = clear_at_20();
        assert_eq!(
            guard.observe(&SETTINGS, at(321), Clear, at(321)),
            Arrival::AfterLoss
        );
        assert_eq!(guard.runs(), (0, 1));
    }

    #[test]
    fn silence_beyond_fault_after_is_a_fault() {
        let guard = clear_at_20();
        assert_eq!(guard.fault(&SETTINGS, at(0), at(320)), None);
        let lost = Some(Fault::SourceLost(STREAM));
        assert_eq!(guard.fault(&SETTINGS, at(0), at(321)), lost);
    }

    #[test]
    fn the_first_frame_has_its_own_deadline() {
        let guard = Guard::new(STREAM);
        assert_eq!(guard.fault(&SETTINGS, at(50), at(1050)), None);
        let lost = Some(Fault::SourceLost(STREAM));
        assert_eq!(guard.fault(&SETTINGS, at(50), at(1051)), lost);
        assert_eq!(guard.doubt(&SETTINGS, at(50)), Some(Doubt::NoFrame));
        assert_eq!(guard.lateness(&SETTINGS, at(50)), Some(Doubt::NoFrame));
        assert!(guard.is_stale(&SETTINGS, at(50)));
    }

    #[test]
    fn a_frame_older_than_the_one_before_is_backwards_and_counts_for_nothing() {
        let mut guard = clear_at_20();
        assert_eq!(
            guard.observe(&SETTINGS, at(19), Clear, at(30)),
            Arrival::Backwards
        );
        assert_eq!(guard.runs(), (0, 0));
    }

    #[test]
    fn a_frame_from_the_future_is_backwards_and_a_fault_until_its_time_comes() {
        let mut guard = clear_at_20();
        assert_eq!(
            guard.observe(&SETTINGS, at(31), Clear, at(30)),
            Arrival::Backwards
        );
        assert_eq!(guard.runs(), (0, 0));
        let backwards = Some(Fault::ClockBackwards);
        assert_eq!(guard.fault(&SETTINGS, at(0), at(30)), backwards);
        assert_eq!(guard.fault(&SETTINGS, at(0), at(31)), None);
        let mut guard = clear_at_20();
        assert_eq!(
            guard.observe(&SETTINGS, at(30), Clear, at(30)),
            Arrival::InOrder
        );
    }

    #[test]
    fn the_same_timestamp_twice_is_not_evidence_twice() {
        let mut guard = seen(&[(0, Clear), (10, Clear), (10, Clear)]);
        assert_eq!(guard.runs(), (0, 2));
        guard.observe(&SETTINGS, at(10), Occupied(ZONE), at(10));
        assert_eq!(guard.runs(), (1, 0));
        guard.observe(&SETTINGS, at(10), Clear, at(10));
        assert_eq!(guard.latest(), Occupied(ZONE));
        assert_eq!(guard.runs(), (1, 0));
    }

    #[test]
    fn inference_failing_for_longer_than_fault_after_is_a_fault() {
        let failing: Vec<_> = (0..=3).map(|n| (20 + n * 100, Unjudged)).collect();
        let mut guard = seen(&failing);
        assert_eq!(guard.fault(&SETTINGS, at(0), at(320)), None);
        let lost = Some(Fault::InferenceLost(STREAM));
        assert_eq!(guard.fault(&SETTINGS, at(0), at(321)), lost);
        for judged in [Clear, Occupied(ZONE)] {
            let mut guard = guard;
            guard.observe(&SETTINGS, at(321), judged, at(321));
            assert_eq!(guard.fault(&SETTINGS, at(0), at(321)), None);
        }
        guard.observe(&SETTINGS, at(100), Unjudged, at(330));
        assert_eq!(
            guard.fault(&SETTINGS, at(0), at(330)),
            None,
            "counted anew after time ran back"
        );
    }

    #[test]
    fn a_doubtful_picture_trips_at_once_and_no_muting_excuses_it() {
        for doubt in PictureDoubt::ALL {
            let guard = seen(&[(0, Clear), (10, Clear), (20, Clear), (30, Doubtful(doubt))]);
            let cause = TripCause::Picture(STREAM, doubt);
            for muted in [false, true] {
                assert_eq!(guard.hazard(&SETTINGS, muted, at(30)), Some(cause));
            }
            assert_eq!(guard.doubt(&SETTINGS, at(30)), Some(Doubt::Hazard(cause)));
            assert_eq!(guard.runs(), (1, 0));
        }
    }

    #[test]
    fn a_doubtful_picture_is_not_judged_and_a_fault_of_its_own_when_it_lasts() {
        let doubt = PictureDoubt::Covered;
        let lasting: Vec<_> = (0..=3).map(|n| (20 + n * 100, Doubtful(doubt))).collect();
        let mut guard = seen(&lasting);
        assert!(!guard.has_judged());
        assert_eq!(guard.fault(&SETTINGS, at(0), at(320)), None);
        let covered = Some(Fault::CameraCovered(STREAM));
        assert_eq!(guard.fault(&SETTINGS, at(0), at(321)), covered);
        // What is wrong may change its name; it goes on being wrong.
        guard.observe(&SETTINGS, at(330), Doubtful(PictureDoubt::Moved), at(330));
        let moved = Some(Fault::CameraMoved(STREAM));
        assert_eq!(guard.fault(&SETTINGS, at(0), at(330)), moved);
        guard.observe(&SETTINGS, at(340), Unjudged, at(340));
        let lost = Some(Fault::InferenceLost(STREAM));
        assert_eq!(guard.fault(&SETTINGS, at(0), at(340)), lost);
        guard.observe(&SETTINGS, at(350), Clear, at(350));
        assert_eq!(guard.fault(&SETTINGS, at(0), at(350)), None);
    }

    #[test]
    fn an_ended_source_is_a_fault_until_it_delivers_again() {
        let mut guard = clear_at_20();
        guard.end();
        let ended = Some(Fault::SourceEnded(STREAM));
        assert_eq!(guard.fault(&SETTINGS, at(0), at(21)), ended);
        let doubt = Some(Doubt::Ended(Fault::SourceEnded(STREAM)));
        assert_eq!(guard.doubt(&SETTINGS, at(21)), doubt);
        assert_eq!(guard.lateness(&SETTINGS, at(21)), doubt);
        guard.observe(&SETTINGS, at(30), Clear, at(30));
        assert_eq!(guard.fault(&SETTINGS, at(0), at(30)), None);
        assert_eq!(
            guard.doubt(&SETTINGS, at(30)),
            Some(Doubt::NotYetClear),
            "counted anew"
        );
    }

    #[test]
    fn only_a_judged_frame_ends_the_self_test() {
        assert!(!seen(&[(0, Unjudged)]).has_judged());
        assert!(seen(&[(0, Unjudged), (10, Clear)]).has_judged());
        assert!(seen(&[(0, Occupied(ZONE))]).has_judged());
    }

    #[test]
    fn new_zones_make_old_verdicts_worthless() {
        let mut guard = clear_at_20();
        guard.forget_verdicts();
        assert!(!guard.has_judged());
        assert_eq!(guard.runs(), (0, 0));
        assert!(guard.doubt(&SETTINGS, at(20)).is_some());
        assert_eq!(guard.newest(), Some(at(20)), "time goes on");
        let mut guard = seen(&[(0, Occupied(ZONE)), (10, Occupied(ZONE))]);
        guard.forget_verdicts();
        assert_eq!(
            guard.hazard(&SETTINGS, false, at(10)),
            Some(TripCause::Unjudged(STREAM))
        );
        let mut guard = clear_at_20();
        guard.forget_clear();
        assert_eq!(guard.doubt(&SETTINGS, at(20)), Some(Doubt::NotYetClear));
        assert!(guard.has_judged());
    }
}
