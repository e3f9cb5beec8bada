//! Signs of life: every thread of the pipeline strikes its beat once per turn of its loop, and
//! every wait in those loops has a deadline. A beat that stands still is a thread that hangs.
//!
//! Some things take a thread longer than a turn without anything being wrong with the program: opening a
//! camera that hangs (the kernel waits seconds for each answer), resetting an accelerator. Restarting the
//! program then helps nobody, and it would be restarted for ever. A thread declares such an operation
//! ([`Beat::during`]) and counts as alive meanwhile, for as long as it said at most. That is safe because
//! nothing comes from it in that time: the run permission goes, and stays away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::units::MonotonicTime;

/// Stands for a thread that has ended as it should: nothing more is expected of it.
const RETIRED: u64 = u64::MAX;

/// Stands for a thread that is in no long operation.
const IDLE: u64 = 0;

/// The longest operation of all. The kernel waits 5 s for an answer of a USB camera and asks several times
/// before a camera is open; it gives the reset of a PCIe device up to 12 s.
pub const LONG_MAX: Duration = Duration::from_secs(60);

/// One thread's sign of life. Clones are handles to the same beat.
#[derive(Clone, Debug, Default)]
pub struct Beat(Arc<Life>);

#[derive(Debug, Default)]
struct Life {
    turns: AtomicU64,
    /// When the long operation that lasts has to be over, nanoseconds of the monotonic clock.
    long_until: AtomicU64,
}

impl Beat {
    /// A beat that was never struck.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that the thread has come round. Neither locks nor waits.
    pub fn strike(&self) {
        self.0.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Does something, begun at `now`, that may take longer than a turn and `longest` at most.
    pub fn during<R>(
        &self,
        now: MonotonicTime,
        longest: Duration,
        operation: impl FnOnce() -> R,
    ) -> R {
        let until = nanoseconds(now + longest).max(IDLE + 1);
        self.0.long_until.store(until, Ordering::Relaxed);
        // Also where it panics: a thread that is dead is in no operation.
        let _end = LongEnd(self);
        operation()
    }

    /// Says that the thread has ended as it should.
    pub fn retire(&self) {
        self.0.turns.store(RETIRED, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.turns.load(Ordering::Relaxed)
    }

    fn is_in_long_operation(&self, now: MonotonicTime) -> bool {
        nanoseconds(now) < self.0.long_until.load(Ordering::Relaxed)
    }
}

struct LongEnd<'a>(&'a Beat);

impl Drop for LongEnd<'_> {
    fn drop(&mut self) {
        self.0.0.long_until.store(IDLE, Ordering::Relaxed);
        self.0.strike();
    }
}

fn nanoseconds(instant: MonotonicTime) -> u64 {
    u64::try_from(instant.since_epoch().as_nanos()).unwrap_or(u64::MAX)
}

/// Tells whether every thread has come round since it was asked last. What feeds a watchdog.
#[derive(Debug)]
pub struct PipelinePulse {
    beats: Vec<(&'static str, Beat, u64)>,
}

impl PipelinePulse {
    /// Watches these threads, by name.
    #[must_use]
    pub fn new(beats: impl IntoIterator<Item = (&'static str, Beat)>) -> Self {
        let beats = beats.into_iter();
        Self {
            beats: beats.map(|(name, beat)| (name, beat, 0)).collect(),
        }
    }

    /// Whether every thread has struck since this last said yes, has retired, or is at `now` in a long
    /// operation. At least one must be alive: a pipeline that has ended as a whole proves nothing any
    /// more.
    pub fn has_come_round(&mut self, now: MonotonicTime) -> bool {
        let alive = self
            .beats
            .iter()
            .any(|(_, beat, _)| beat.count() != RETIRED);
        if !alive || self.standing(now).next().is_some() {
            return false;
        }
        for (_, beat, seen) in &mut self.beats {
            *seen = beat.count();
        }
        true
    }

    /// The threads that have not come round since [`PipelinePulse::has_come_round`] said yes, and should
    /// have by `now`.
    pub fn standing(&self, now: MonotonicTime) -> impl Iterator<Item = &'static str> {
        let standing = move |beat: &Beat, seen: u64| {
            let count = beat.count();
            count != RETIRED && count == seen && !beat.is_in_long_operation(now)
        };
        self.beats
            .iter()
            .filter(move |(_, beat, seen)| standing(beat, *seen))
            .map(|(name, ..)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> MonotonicTime {
        MonotonicTime::from_duration(Duration::from_secs(seconds))
    }

    #[test]
    fn the_pulse_needs_every_thread() {
        let (one, other) = (Beat::new(), Beat::new());
        let mut pulse = PipelinePulse::new([("one", one.clone()), ("other", other.clone())]);
        assert!(!pulse.has_come_round(at(0)));
        one.strike();
        assert!(!pulse.has_come_round(at(0)));
        assert_eq!(pulse.standing(at(0)).collect::<Vec<_>>(), ["other"]);
        other.strike();
        assert!(pulse.has_come_round(at(0)));
        assert!(
            !pulse.has_come_round(at(0)),
            "the same beats do not count twice"
        );
        one.strike();
        one.strike();
        assert!(!pulse.has_come_round(at(0)));
    }

    #[test]
    fn a_retired_thread_is_not_waited_for_and_an_ended_pipeline_has_no_pulse() {
        let (one, other) = (Beat::new(), Beat::new());
        let mut pulse = PipelinePulse::new([("one", one.clone()), ("other", other.clone())]);
        one.retire();
        other.strike();
        assert!(pulse.has_come_round(at(0)));
        other.retire();
        assert!(!pulse.has_come_round(at(0)));
    }

    #[test]
    fn a_long_operation_counts_as_life_for_as_long_as_it_may_take() {
        let (one, other) = (Beat::new(), Beat::new());
        let mut pulse = PipelinePulse::new([("one", one.clone()), ("other", other.clone())]);
        one.strike();
        other.strike();
        assert!(pulse.has_come_round(at(100)));
        let answer = one.during(at(100), Duration::from_secs(60), || {
            for second in [101, 120, 159] {
                other.strike();
                assert!(pulse.has_come_round(at(second)), "{second}");
            }
            assert!(
                !pulse.has_come_round(at(159)),
                "the other has to come round"
            );
            other.strike();
            assert!(!pulse.has_come_round(at(160)), "it takes too long");
            assert_eq!(pulse.standing(at(160)).collect::<Vec<_>>(), ["one"]);
            7
        });
        assert_eq!(answer, 7);
        assert!(pulse.has_come_round(at(161)), "its end is a sign of life");
        other.strike();
        assert!(
            !pulse.has_come_round(at(162)),
            "and then nothing excuses it"
        );
    }

    #[test]
    fn a_thread_that_dies_in_a_long_operation_is_not_alive() {
        let one = Beat::new();
        let mut pulse = PipelinePulse::new([("one", one.clone())]);
        let dies = || one.during(at(1), Duration::from_secs(60), || unreachable!("it dies"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(dies)).is_err());
        assert!(pulse.has_come_round(at(2)), "the last sign");
        assert!(!pulse.has_come_round(at(3)));
    }
}
