//! The time of day for zones that have hours. The main thread asks the wall clock; the decide thread
//! only reads a number, and knows nothing where the clock cannot be believed or nobody asked it of
//! late.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::config::MinuteOfDay;
use crate::sys::wall_clock_is_synchronised;
use crate::units::MonotonicTime;

/// Stands for a clock that cannot be believed.
const UNKNOWN: u64 = u64::MAX;

/// A look older than this says nothing: the main thread looks every second, unless it hangs.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// The minute of the day, where it is known. Clones are handles to the same clock.
#[derive(Clone, Debug)]
pub(super) struct DayClock(Arc<AtomicU64>);

impl Default for DayClock {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(UNKNOWN)))
    }
}

impl DayClock {
    /// Asks the wall clock, at `now` of the monotonic one. A wall clock that the kernel does not hold
    /// for synchronised (no network time, no battery) is not believed: then every zone counts at every
    /// hour.
    pub(super) fn look(&self, now: MonotonicTime) {
        let minute = if wall_clock_is_synchronised() {
            let time = jiff::Zoned::now();
            match (u16::try_from(time.hour()), u16::try_from(time.minute())) {
                (Ok(hour), Ok(minute)) => MinuteOfDay::new(hour, minute),
                (Err(_), _) | (_, Err(_)) => None,
            }
        } else {
            None
        };
        self.set(minute, now);
    }

    /// Both in one number, so that they cannot come apart: seconds above, the minute below.
    fn set(&self, minute: Option<MinuteOfDay>, now: MonotonicTime) {
        let seconds = now.since_epoch().as_secs();
        let number = minute.map_or(UNKNOWN, |minute| {
            seconds << 16 | u64::from(minute.minutes())
        });
        self.0.store(number, Ordering::Release);
    }

    /// The minute, unless it is unknown or the last look was too long ago; neither locks nor waits.
    pub(super) fn minute(&self, now: MonotonicTime) -> Option<MinuteOfDay> {
        let number = self.0.load(Ordering::Acquire);
        let age = now.since_epoch().as_secs().checked_sub(number >> 16)?;
        let minutes = u16::try_from(number & 0xffff).ok()?;
        let minute = MinuteOfDay::new(minutes / 60, minutes % 60)?;
        (age <= LOOK_MAX.as_secs()).then_some(minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> MonotonicTime {
        MonotonicTime::from_duration(Duration::from_secs(seconds))
    }

    #[test]
    fn a_minute_comes_out_as_it_went_in_while_the_look_is_fresh() {
        let clock = DayClock::default();
        assert_eq!(clock.minute(at(7)), None);
        for (hour, minute) in [(0, 0), (7, 5), (23, 59)] {
            let time = MinuteOfDay::new(hour, minute);
            clock.clone().set(time, at(1000));
            assert_eq!(clock.minute(at(1000)), time);
            assert_eq!(clock.minute(at(1010)), time);
            assert_eq!(clock.minute(at(1011)), None, "nobody looked of late");
            assert_eq!(clock.minute(at(999)), None, "a look from the future");
        }
        clock.set(None, at(2000));
        assert_eq!(clock.minute(at(2000)), None);
    }

    #[test]
    fn an_unsynchronised_clock_is_not_believed() {
        let clock = DayClock::default();
        clock.look(at(5));
        let known = clock.minute(at(5)).is_some();
        assert_eq!(known, wall_clock_is_synchronised());
    }
}
