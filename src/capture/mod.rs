//! Frame sources: cameras, video files, stills, synthetic patterns.
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
mod v4l2;
mod video;

use std::time::Duration;

use crate::config::{CameraConfig, Config, InputSpec};
use crate::frame::Frame;
use crate::geometry::Size;
use crate::sys::monotonic_now;
use crate::units::{MonotonicTime, StreamId};

pub use error::CaptureError;
pub use pace::{Due, LATE_AFTER, Pacer, Slippage};
pub use pattern::PatternSource;
pub use stills::{STILLS_PER_SECOND, StillsSource};
pub use v4l2::{CameraProblem, V4l2Source, describe_cameras, presence};
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
    /// A picture. Of a source that keeps [`Timekeeping::Media`], `meta.timestamp` and `meta.arrived`
    /// are set by the capture thread, which knows pace and clock; the source sets the rest.
    Frame(Frame),
    /// Nothing yet, after a wait of at most 50 ms: ask again. Live sources only.
    Nothing,
    /// The source has ended.
    End,
}

/// What a source could not deliver, counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Frames that are in the source but could not be decoded. Their sequence numbers are missing.
    pub undecodable: u64,
    /// Frames that the driver of a camera left out, by its own count. Their sequence numbers are missing.
    pub missed: u64,
    /// Frames that a driver said are damaged, that were not all there, or that it failed to deliver.
    pub damaged: u64,
    /// Frames whose time was not after that of the frame before.
    pub out_of_order: u64,
    /// Times a camera was lost: unplugged, silent, broken.
    pub interruptions: u64,
}

/// Where a source's frames have their times from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timekeeping {
    /// From the file: somebody has to wait until a frame is due.
    Media,
    /// From the world: frames come when they come, with the time at which they were taken.
    Live,
}

/// What became of a live source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceNews {
    /// It delivers nothing any more, and is looked for.
    Down {
        /// As configured.
        source: String,
        /// Why, for people.
        why: String,
    },
    /// It delivers again.
    Up {
        /// As configured.
        source: String,
        /// What it delivers.
        description: String,
    },
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

    /// Whether the next [`FrameSource::next_frame`] may take seconds: it opens or closes a device, and a
    /// driver waits seconds for each answer of a device that hangs.
    fn may_take_long(&self) -> bool {
        false
    }

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

    /// Where its frames have their times from.
    fn timekeeping(&self) -> Timekeeping {
        Timekeeping::Media
    }

    /// What device it is, in words that no other device has; `None` for what is no device, or not there.
    fn identity(&self) -> Option<String> {
        None
    }

    /// Why it delivers nothing for now; `None` while it does.
    fn down(&self) -> Option<&str> {
        None
    }

    /// What became of it since it was last asked.
    fn take_news(&mut self) -> Option<SourceNews> {
        None
    }
}

/// How long a tool waits for the next frame of a camera: several times what opening takes.
pub const CAMERA_WAIT_MAX: Duration = Duration::from_secs(10);

/// The next frame of a source that may be live, waiting no longer than `within` for one; `None` at its
/// end.
///
/// # Errors
///
/// As [`FrameSource::next_frame`], or none came in time.
pub fn next_within(
    source: &mut dyn FrameSource,
    within: Duration,
) -> Result<Option<Frame>, CaptureError> {
    let deadline = monotonic_now() + within;
    loop {
        match source.next_frame()? {
            Captured::Frame(frame) => return Ok(Some(frame)),
            Captured::End => return Ok(None),
            Captured::Nothing if monotonic_now() < deadline => {}
            Captured::Nothing => {
                return Err(CaptureError::NoFrame {
                    source_name: source.info().name.clone(),
                    within,
                    why: source.down().map(str::to_owned),
                });
            }
        }
    }
}

/// Opens what the configuration names, as the source of `stream`; `camera` is what is asked of it where
/// it is one.
///
/// # Errors
///
/// The object does not exist, cannot be read, or is of a kind this build cannot read. The message
/// names it and says what to do.
pub fn open(
    spec: &InputSpec,
    camera: &CameraConfig,
    stream: StreamId,
) -> Result<Box<dyn FrameSource>, CaptureError> {
    match spec {
        InputSpec::Video(path) => Ok(Box::new(VideoSource::open(path, stream)?)),
        InputSpec::Stills(path) => Ok(Box::new(StillsSource::open(
            path,
            stream,
            STILLS_PER_SECOND,
        )?)),
        InputSpec::Camera(path) => Ok(Box::new(V4l2Source::open(path, camera, stream)?)),
        InputSpec::Pattern(spec) => Ok(Box::new(PatternSource::open(spec, stream)?)),
    }
}

/// Opens a stream's input as configured.
///
/// # Errors
///
/// As [`open`].
pub fn open_input(config: &Config, stream: StreamId) -> Result<Box<dyn FrameSource>, CaptureError> {
    let (spec, camera) = config.input(stream);
    open(spec, camera, stream)
}

/// Sees that `sources`, each in its place by [`StreamId::index`], are not one camera under two names.
///
/// # Errors
///
/// They are.
pub fn refuse_one_camera_twice(
    config: &Config,
    sources: &[Box<dyn FrameSource>; 2],
) -> Result<(), CaptureError> {
    let [one, other] = [&sources[0], &sources[1]].map(|source| source.identity());
    match (
        one,
        other,
        StreamId::ALL.map(|stream| config.input(stream).0),
    ) {
        (Some(one), Some(other), [InputSpec::Camera(first), InputSpec::Camera(second)])
            if one == other =>
        {
            Err(CaptureError::SameCamera {
                paths: [first.clone(), second.clone()],
                identity: one,
            })
        }
        _ => Ok(()),
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
    fn a_camera_that_is_not_there_is_waited_for_but_not_for_ever() {
        let path = "/dev/video-none";
        let spec = InputSpec::Camera(path.into());
        let camera = CameraConfig::default();
        let mut source = open(&spec, &camera, StreamId::WorkerSafety).expect("it may come");
        assert_eq!(source.timekeeping(), Timekeeping::Live);
        assert!(source.down().is_some_and(|why| why.contains("not there")));
        assert!(matches!(source.take_news(), Some(SourceNews::Down { .. })));
        let error = next_within(source.as_mut(), Duration::from_millis(120));
        let text = error.expect_err("none comes").to_string();
        assert!(text.contains(path) && text.contains("not there"), "{text}");
    }

    #[test]
    fn what_is_no_camera_is_refused_at_once() {
        let spec = InputSpec::Camera("/dev/null".into());
        let error = open(&spec, &CameraConfig::default(), StreamId::WorkerSafety);
        let text = error.expect_err("refused").to_string();
        assert!(
            text.contains("/dev/null") && text.contains("not a video device"),
            "{text}"
        );
    }
}
