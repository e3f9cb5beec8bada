//! Frame sources: video files, stills, synthetic patterns (cameras come with `v4l2`).
//!
//! A source is passive: the capture thread that owns it calls [`FrameSource::next_frame`] and hands
//! the frame on. Pixels stay as the source has them (I420 from H.264, RGB from stills). A source
//! that may guard a zone never ends silently: what is missing from it is an error after the last
//! good frame, what is broken within it is skipped, counted in [`Losses`] and logged.
//!
//! Role words: a *source* is anything with frames, *media time* is the presentation time since its
//! first frame, a *sequence* number counts its frames in presentation order, delivered or lost.

mod error;
mod pace;
mod pattern;
mod stills;
mod video;

use std::time::Duration;

use crate::config::InputSpec;
use crate::frame::Frame;
use crate::geometry::Size;
use crate::units::{MonotonicTime, StreamId};

pub use error::CaptureError;
pub use pace::{Due, LATE_AFTER, Pacer, Slippage};
pub use pattern::PatternSource;
pub use stills::{STILLS_PER_SECOND, StillsSource};
pub use video::{BROKEN_IN_A_ROW_MAX, VideoSource};

/// What a source is, for header, log and progress.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceInfo {
    /// Path or pattern name, as configured.
    pub name: String,
    /// Codec and profile, or what else describes it: `H.264 High 768x576`.
    pub description: String,
    /// Picture size after cropping and rotation, of the first frame where it changes.
    pub size: Size,
    /// Frames per second where known.
    pub frame_rate: Option<f64>,
    /// Number of frames of one pass where known.
    pub frames: Option<u64>,
}

/// What [`FrameSource::next_frame`] got.
#[derive(Debug)]
pub enum Captured {
    /// A picture. `meta.timestamp` and `meta.arrived` are set by the capture thread, which knows
    /// pace and clock; the source sets the rest.
    Frame(Frame),
    /// The source has ended.
    End,
}

/// What a source could not deliver, counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Frames that are in the source but could not be decoded. Their sequence numbers are missing.
    pub undecodable: u64,
}

/// A source of frames.
pub trait FrameSource: Send + std::fmt::Debug {
    /// What the source is.
    fn info(&self) -> &SourceInfo;

    /// The next picture, in presentation order.
    ///
    /// # Errors
    ///
    /// The source is broken for good: unreadable, corrupt beyond what can be skipped, gone. Asking
    /// again gives an error again; [`FrameSource::rewind`] may help.
    fn next_frame(&mut self) -> Result<Captured, CaptureError>;

    /// Starts again from the first frame; sequence and media time go on counting.
    ///
    /// # Errors
    ///
    /// As [`FrameSource::next_frame`].
    fn rewind(&mut self) -> Result<(), CaptureError>;

    /// What could not be delivered so far.
    fn losses(&self) -> Losses {
        Losses::default()
    }
}

/// Opens what the configuration names, as the source of `stream`.
///
/// # Errors
///
/// The object does not exist, cannot be read, or is of a kind this build cannot read. The message
/// names it and says what to do.
pub fn open(spec: &InputSpec, stream: StreamId) -> Result<Box<dyn FrameSource>, CaptureError> {
    match spec {
        InputSpec::Video(path) => Ok(Box::new(VideoSource::open(path, stream)?)),
        InputSpec::Stills(path) => Ok(Box::new(StillsSource::open(
            path,
            stream,
            STILLS_PER_SECOND,
        )?)),
        InputSpec::Camera(path) => Err(CaptureError::NoCameraSupport { path: path.clone() }),
        InputSpec::Pattern(spec) => Ok(Box::new(PatternSource::open(spec, stream)?)),
    }
}

/// Decision clock of a capture thread.
#[derive(Clone, Copy, Debug)]
pub struct DecisionClock {
    /// Instant of media time zero.
    pub origin: MonotonicTime,
}

impl DecisionClock {
    /// Instant of a frame at `media_time`.
    #[must_use]
    pub fn at(self, media_time: Duration) -> MonotonicTime {
        self.origin + media_time
    }
}

/// Where a pass over a source that can start again begins on the source's own counters.
#[derive(Clone, Copy, Debug, Default)]
struct Continuation {
    /// Sequence number of this pass's first frame.
    sequence: u64,
    /// Media time of this pass's first frame.
    media_time: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_says_what_is_missing() {
        let error = open(
            &InputSpec::Camera("/dev/video7".into()),
            StreamId::WorkerSafety,
        )
        .expect_err("no cameras yet");
        let text = error.to_string();
        assert!(
            text.contains("/dev/video7") && text.contains("V4L2"),
            "{text}"
        );
    }
}
