//! Frames that could not be judged: the first is said at once, those that follow at most every
//! [`INTERVAL`], and at the end how many there were. Pure; the main thread feeds it and logs.

use std::time::Duration;

use crate::message::Decided;
use crate::units::{MonotonicTime, StreamId};

/// Shortest time between two complaints about the same stream.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);

/// Inference failed on frames of a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "inference failed on {frames} frames of {stream}, first on frame {first}: {reason}; check the model with andon models verify"
)]
pub struct UnjudgedError {
    stream: StreamId,
    frames: u64,
    first: u64,
    reason: String,
}

/// Counts frames that could not be judged.
#[derive(Clone, Debug, Default)]
pub(super) struct Unjudged {
    /// By [`StreamId::index`].
    streams: [Option<Tally>; 2],
}

#[derive(Clone, Debug)]
struct Tally {
    error: UnjudgedError,
    said_at: MonotonicTime,
    /// Frames since the last complaint.
    unsaid: u64,
}

impl Unjudged {
    /// Takes a decided frame; gives what is to be logged at `now`, if anything.
    pub(super) fn note(&mut self, decided: &Decided, now: MonotonicTime) -> Option<String> {
        let reason = decided.verdict.failure()?;
        let (stream, frame) = (decided.meta.stream, decided.meta.sequence);
        let Some(tally) = &mut self.streams[stream.index()] else {
            self.streams[stream.index()] = Some(Tally {
                error: UnjudgedError {
                    stream,
                    frames: 1,
                    first: frame,
                    reason: reason.to_owned(),
                },
                said_at: now,
                unsaid: 0,
            });
            return Some(format!(
                "{stream} frame {frame} could not be judged: {reason}"
            ));
        };
        tally.error.frames += 1;
        tally.unsaid += 1;
        if now.saturating_since(tally.said_at) < INTERVAL {
            return None;
        }
        let more = std::mem::take(&mut tally.unsaid);
        tally.said_at = now;
        Some(format!(
            "{stream}: {more} more frames could not be judged, the newest is frame {frame}: {reason}"
        ))
    }

    /// What it comes to at the end, for each stream concerned.
    pub(super) fn errors(&mut self) -> impl Iterator<Item = UnjudgedError> + use<> {
        let streams = std::mem::take(&mut self.streams);
        streams.into_iter().flatten().map(|tally| tally.error)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::frame::FrameMeta;
    use crate::message::{InferenceTiming, InspectionVerdict, Verdict};

    /// An inspection frame whose inference failed, or not.
    pub(in crate::app) fn decided(sequence: u64, failure: Option<&str>) -> Decided {
        let verdict = InspectionVerdict {
            failure: failure.map(Into::into),
            ..InspectionVerdict::default()
        };
        Decided {
            meta: FrameMeta {
                stream: StreamId::VisualInspection,
                sequence,
                media_time: Duration::ZERO,
                timestamp: MonotonicTime::ZERO,
                arrived: MonotonicTime::ZERO,
            },
            verdict: Verdict::Inspection(verdict),
            timing: InferenceTiming::default(),
            latency: Duration::ZERO,
        }
    }

    fn at(ms: u64) -> MonotonicTime {
        MonotonicTime::from_duration(Duration::from_millis(ms))
    }

    #[test]
    fn the_first_is_said_at_once_and_the_rest_now_and_then() {
        let mut unjudged = Unjudged::default();
        assert_eq!(unjudged.note(&decided(0, None), at(0)), None);
        let said: Vec<String> = (1..=1000)
            .filter_map(|frame| unjudged.note(&decided(frame, Some("NaN")), at(frame * 40)))
            .collect();
        // 40 seconds: at once, and after 10, 20 and 30 of them; the last is frame 751.
        assert_eq!(said.len(), 4, "{said:?}");
        assert_eq!(
            said[0],
            "visual_inspection frame 1 could not be judged: NaN"
        );
        assert!(said[1].contains("250 more frames"), "{}", said[1]);
        let errors: Vec<String> = unjudged.errors().map(|error| error.to_string()).collect();
        assert_eq!(errors.len(), 1);
        for word in ["1000 frames of visual_inspection", "frame 1:", "NaN"] {
            assert!(errors[0].contains(word), "{errors:?}");
        }
    }

    #[test]
    fn a_run_without_failures_has_nothing_to_say() {
        let mut unjudged = Unjudged::default();
        assert_eq!(unjudged.note(&decided(0, None), at(0)), None);
        assert_eq!(unjudged.errors().count(), 0);
    }
}
