//! When a frame of a file is due: pure arithmetic on media time and the monotonic clock.
//!
//! Used by the capture thread in pace `realtime`; pace `asap` needs none of it.

use std::time::Duration;

use crate::units::MonotonicTime;

/// Later than this a frame is dropped. A frame that is one period of 25 frames per second late is
/// overtaken by its successor anyway.
pub const LATE_AFTER: Duration = Duration::from_millis(40);

/// Later than this playing has stalled (a suspended process, a decoder that cannot keep up): going
/// on dropping would show nothing for as long as the stall was, so the timeline starts anew.
pub const RESTART_AFTER: Duration = Duration::from_secs(1);

/// What to do with a frame now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Wait this long, then hand it on.
    Wait(Duration),
    /// Hand it on.
    Now,
    /// Drop and count it: it is this late.
    Late(Duration),
}

/// Says when the frames of one source are due. The first frame asked about is due at once and
/// starts the timeline.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pacer {
    origin: Option<MonotonicTime>,
    restarts: u64,
}

impl Pacer {
    /// A pacer whose timeline starts with the first frame.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            origin: None,
            restarts: 0,
        }
    }

    /// A pacer with a given instant of media time zero, so that several sources share a timeline.
    #[must_use]
    pub const fn starting_at(origin: MonotonicTime) -> Self {
        Self {
            origin: Some(origin),
            restarts: 0,
        }
    }

    /// Whether the frame at `media_time` is due at `now`.
    pub fn due(&mut self, media_time: Duration, now: MonotonicTime) -> Due {
        let Some(origin) = self.origin else {
            self.origin = Some(now - media_time);
            return Due::Now;
        };
        let at = origin + media_time;
        if let Some(wait) = at.checked_since(now).filter(|wait| !wait.is_zero()) {
            return Due::Wait(wait);
        }
        let late = now.saturating_since(at);
        if late > RESTART_AFTER {
            self.origin = Some(now - media_time);
            self.restarts += 1;
            return Due::Now;
        }
        if late > LATE_AFTER {
            return Due::Late(late);
        }
        Due::Now
    }

    /// The instant at which the frame at `media_time` is, or was, due: its `meta.timestamp`. `None`
    /// before the first frame.
    #[must_use]
    pub fn timestamp(&self, media_time: Duration) -> Option<MonotonicTime> {
        self.origin.map(|origin| origin + media_time)
    }

    /// How often the timeline started anew because playing had stalled.
    #[must_use]
    pub const fn restarts(&self) -> u64 {
        self.restarts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    fn at(value: u64) -> MonotonicTime {
        MonotonicTime::from_duration(ms(value))
    }

    #[test]
    fn the_first_frame_starts_the_timeline() {
        let mut pacer = Pacer::new();
        assert_eq!(pacer.timestamp(ms(0)), None);
        assert_eq!(pacer.due(ms(200), at(5000)), Due::Now);
        assert_eq!(pacer.timestamp(ms(200)), Some(at(5000)));
        assert_eq!(pacer.due(ms(240), at(5010)), Due::Wait(ms(30)));
        assert_eq!(pacer.due(ms(240), at(5040)), Due::Now);
    }

    #[test]
    fn a_late_frame_is_dropped_and_a_slightly_late_one_is_not() {
        let mut pacer = Pacer::starting_at(at(0));
        assert_eq!(pacer.due(ms(100), at(140)), Due::Now);
        assert_eq!(pacer.due(ms(100), at(141)), Due::Late(ms(41)));
    }

    #[test]
    fn a_stall_restarts_the_timeline_instead_of_dropping_on() {
        let mut pacer = Pacer::starting_at(at(0));
        assert_eq!(pacer.due(ms(40), at(10_000)), Due::Now);
        assert_eq!(pacer.restarts(), 1);
        assert_eq!(pacer.timestamp(ms(40)), Some(at(10_000)));
        assert_eq!(pacer.due(ms(80), at(10_010)), Due::Wait(ms(30)));
    }

    proptest! {
        /// Whoever waits as told always gets the frame, exactly at its timestamp.
        #[test]
        fn waiting_as_told_makes_the_frame_due(media in 0_u64..100_000, now in 0_u64..100_000) {
            let mut pacer = Pacer::starting_at(at(1000));
            if let Due::Wait(wait) = pacer.due(ms(media), at(now)) {
                prop_assert_eq!(pacer.due(ms(media), at(now) + wait), Due::Now);
                prop_assert_eq!(pacer.timestamp(ms(media)), Some(at(now) + wait));
            }
        }
    }
}
