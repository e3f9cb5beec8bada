//! When a frame of a file is due: pure arithmetic on media time and the monotonic clock.
//!
//! Used by the capture thread in pace `realtime`; pace `asap` needs none of it.
//!
//! No frame is dropped here. A frame that is late has been decoded already, so that dropping it
//! would save nothing: a source that is only a little slower than its own rate would deliver almost
//! nothing. It is handed on, and the mailbox behind drops what nobody can take in time.

use std::time::Duration;

use crate::units::MonotonicTime;

/// Later than this, playing does not keep up (a slow decoder, a suspended process): the timeline
/// starts anew with this frame, and the source plays on behind its rate. The frames' timestamps stay
/// this close to the truth. One period of 25 frames per second.
pub const LATE_AFTER: Duration = Duration::from_millis(40);

/// What to do with a frame now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Wait this long, then hand it on.
    Wait(Duration),
    /// Hand it on.
    Now,
}

/// How often and how far playing fell behind the source's own rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slippage {
    /// Times the timeline started anew.
    pub restarts: u64,
    /// How much later the source ends than it should, all restarts together.
    pub behind: Duration,
}

/// Says when the frames of one source are due. The first frame asked about is due at once and
/// starts the timeline.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pacer {
    origin: Option<MonotonicTime>,
    slippage: Slippage,
}

impl Pacer {
    /// A pacer whose timeline starts with the first frame.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A pacer with a given instant of media time zero, so that several sources share a timeline.
    #[must_use]
    pub fn starting_at(origin: MonotonicTime) -> Self {
        Self {
            origin: Some(origin),
            ..Self::default()
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
        if late > LATE_AFTER {
            self.origin = Some(now - media_time);
            self.slippage.restarts += 1;
            self.slippage.behind += late;
        }
        Due::Now
    }

    /// The instant at which the frame at `media_time` is, or was, due: its `meta.timestamp`. `None`
    /// before the first frame.
    #[must_use]
    pub fn timestamp(&self, media_time: Duration) -> Option<MonotonicTime> {
        self.origin.map(|origin| origin + media_time)
    }

    /// How far playing has fallen behind so far.
    #[must_use]
    pub const fn slippage(&self) -> Slippage {
        self.slippage
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
    fn a_slightly_late_frame_keeps_the_timeline() {
        let mut pacer = Pacer::starting_at(at(0));
        assert_eq!(pacer.due(ms(100), at(140)), Due::Now);
        assert_eq!(pacer.timestamp(ms(100)), Some(at(100)));
        assert_eq!(pacer.slippage(), Slippage::default());
    }

    #[test]
    fn a_stall_restarts_the_timeline() {
        let mut pacer = Pacer::starting_at(at(0));
        assert_eq!(pacer.due(ms(40), at(10_000)), Due::Now);
        let slippage = Slippage {
            restarts: 1,
            behind: ms(9960),
        };
        assert_eq!(pacer.slippage(), slippage);
        assert_eq!(pacer.timestamp(ms(40)), Some(at(10_000)));
        assert_eq!(pacer.due(ms(80), at(10_010)), Due::Wait(ms(30)));
    }

    /// Plays frames of `period_us` each that take these times to decode; gives for every frame when
    /// it was handed on and its timestamp.
    fn play(period_us: u64, decoding_us: &[u64]) -> Vec<(MonotonicTime, MonotonicTime)> {
        let mut pacer = Pacer::starting_at(at(0));
        let mut now = at(0);
        let mut handed_on = Vec::new();
        for (number, decoding) in (0..).zip(decoding_us) {
            let media_time = Duration::from_micros(number * period_us);
            now = now + Duration::from_micros(*decoding);
            if let Due::Wait(wait) = pacer.due(media_time, now) {
                now = now + wait;
                assert_eq!(pacer.due(media_time, now), Due::Now, "waited as told");
            }
            handed_on.push((now, pacer.timestamp(media_time).expect("a timeline")));
        }
        handed_on
    }

    /// 60 frames per second from a decoder that makes 52 of them: all 52 arrive, evenly.
    #[test]
    fn a_source_a_little_too_slow_delivers_all_it_can() {
        let handed_on = play(16_667, &[19_000; 600]);
        assert_eq!(handed_on.len(), 600);
        let (last, _) = handed_on[599];
        assert_eq!(last, at(19 * 600), "as fast as it decodes");
        for pair in handed_on.windows(2) {
            assert_eq!(pair[1].0.saturating_since(pair[0].0), ms(19));
        }
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

        /// However long decoding takes: a frame is never handed on before its timestamp nor long
        /// after it, and timestamps run forwards, which the interlock insists on.
        #[test]
        fn timestamps_run_forwards_close_to_the_truth(
            period_us in 1_000_u64..100_000,
            decoding_us in prop::collection::vec(0_u64..300_000, 1..80),
        ) {
            let handed_on = play(period_us, &decoding_us);
            for (now, timestamp) in &handed_on {
                prop_assert!(timestamp <= now);
                prop_assert!(now.saturating_since(*timestamp) <= LATE_AFTER);
            }
            for pair in handed_on.windows(2) {
                prop_assert!(pair[0].1 < pair[1].1);
            }
        }
    }
}
