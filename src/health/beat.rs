//! Signs of life: every thread of the pipeline strikes its beat once per turn of its loop, and
//! every wait in those loops has a deadline. A beat that stands still is a thread that hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Stands for a thread that has ended as it should: nothing more is expected of it.
const RETIRED: u64 = u64::MAX;

/// One thread's sign of life. Clones are handles to the same beat.
#[derive(Clone, Debug, Default)]
pub struct Beat(Arc<AtomicU64>);

impl Beat {
    /// A beat that was never struck.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that the thread has come round. Neither locks nor waits.
    pub fn strike(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Says that the thread has ended as it should.
    pub fn retire(&self) {
        self.0.store(RETIRED, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
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

    /// Whether every thread has struck since this last said yes, or has retired. At least one must
    /// be alive: a pipeline that has ended as a whole proves nothing any more.
    pub fn has_come_round(&mut self) -> bool {
        let alive = self
            .beats
            .iter()
            .any(|(_, beat, _)| beat.count() != RETIRED);
        if !alive || self.standing().next().is_some() {
            return false;
        }
        for (_, beat, seen) in &mut self.beats {
            *seen = beat.count();
        }
        true
    }

    /// The threads that have not come round since [`PipelinePulse::has_come_round`] said yes.
    pub fn standing(&self) -> impl Iterator<Item = &'static str> {
        let standing = |beat: &Beat, seen: u64| beat.count() != RETIRED && beat.count() == seen;
        self.beats
            .iter()
            .filter(move |(_, beat, seen)| standing(beat, *seen))
            .map(|(name, ..)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pulse_needs_every_thread() {
        let (one, other) = (Beat::new(), Beat::new());
        let mut pulse = PipelinePulse::new([("one", one.clone()), ("other", other.clone())]);
        assert!(!pulse.has_come_round());
        one.strike();
        assert!(!pulse.has_come_round());
        assert_eq!(pulse.standing().collect::<Vec<_>>(), ["other"]);
        other.strike();
        assert!(pulse.has_come_round());
        assert!(!pulse.has_come_round(), "the same beats do not count twice");
        one.strike();
        one.strike();
        assert!(!pulse.has_come_round());
    }

    #[test]
    fn a_retired_thread_is_not_waited_for_and_an_ended_pipeline_has_no_pulse() {
        let (one, other) = (Beat::new(), Beat::new());
        let mut pulse = PipelinePulse::new([("one", one.clone()), ("other", other.clone())]);
        one.retire();
        other.strike();
        assert!(pulse.has_come_round());
        other.retire();
        assert!(!pulse.has_come_round());
    }
}
