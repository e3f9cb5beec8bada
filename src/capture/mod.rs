//! Frame sources: video files, stills, synthetic patterns (cameras come with `v4l2`).
//!
//! A source is passive: the capture thread that owns it calls [`FrameSource::next_frame`] and hands
//! the frame on. Pixels stay as the source has them (I420 from H.264, RGB from stills).

use std::time::Duration;

use crate::frame::Frame;
use crate::units::MonotonicTime;

/// What a source is, for header, log and progress.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceInfo {
    /// Path or pattern name, as configured.
    pub name: String,
    /// Codec and profile, or what else describes it: `H.264 High 768x576`.
    pub description: String,
    /// Picture size after cropping and rotation.
    pub size: crate::geometry::Size,
    /// Frames per second where known.
    pub frame_rate: Option<f64>,
    /// Number of frames where known.
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

/// A source of frames.
pub trait FrameSource: Send + std::fmt::Debug {
    /// What the source is.
    fn info(&self) -> &SourceInfo;

    /// The next picture, in presentation order.
    ///
    /// # Errors
    ///
    /// The source is broken for good: unreadable, corrupt beyond what can be skipped, gone.
    fn next_frame(&mut self) -> Result<Captured, CaptureError>;

    /// Starts again from the first frame; sequence and media time go on counting.
    ///
    /// # Errors
    ///
    /// As [`FrameSource::next_frame`].
    fn rewind(&mut self) -> Result<(), CaptureError>;
}

/// Why a source cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// Placeholder until the sources exist.
    #[error("{0}")]
    Other(String),
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
