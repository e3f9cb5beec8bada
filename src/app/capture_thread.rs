//! The capture thread: owns one source, sets the clock on its frames, keeps the pace.

use std::time::Duration;

use super::summary::CaptureFigures;
use crate::capture::{CaptureError, Captured, Due, FrameSource, Pacer};
use crate::config::Pace;
use crate::frame::Frame;
use crate::health::Beat;
use crate::sync::Latest;
use crate::sys::{StopFlag, monotonic_now};
use crate::units::MonotonicTime;

/// Longest uninterrupted wait; after it the stop flag is looked at.
const WAIT_MAX: Duration = Duration::from_millis(50);

/// What a capture thread needs.
#[derive(Debug)]
pub(super) struct CaptureThread {
    pub(super) source: Box<dyn FrameSource>,
    pub(super) pace: Pace,
    /// Instant of media time zero on the decision clock; used where frames are not paced.
    pub(super) origin: MonotonicTime,
    pub(super) pacer: Pacer,
    pub(super) frames_max: Option<u64>,
    pub(super) repeat: bool,
    pub(super) out: Latest<Frame>,
    pub(super) stop: StopFlag,
    pub(super) beat: Beat,
}

/// How a capture thread ended.
#[derive(Debug)]
pub(super) struct CaptureOutcome {
    pub(super) figures: CaptureFigures,
    pub(super) error: Option<CaptureError>,
}

impl CaptureThread {
    /// Runs until the source ends, fails, or somebody stops it. Closes the mailbox on every way out.
    pub(super) fn run(mut self) -> CaptureOutcome {
        let closer = CloseOnDrop(self.out.clone());
        let mut figures = CaptureFigures::default();
        let error = self.frames(&mut figures).err();
        if let Some(error) = &error {
            log::error!("{error}");
        }
        drop(closer);
        self.beat.retire();
        figures.corrupt = self.source.losses().undecodable;
        figures.dropped += self.out.dropped();
        CaptureOutcome { figures, error }
    }

    fn frames(&mut self, figures: &mut CaptureFigures) -> Result<(), CaptureError> {
        while !self.stop.is_raised() && self.frames_max.is_none_or(|max| figures.frames < max) {
            self.beat.strike();
            let started = monotonic_now();
            let frame = match self.source.next_frame()? {
                Captured::Frame(frame) => frame,
                Captured::End if self.repeat && figures.frames > 0 => {
                    self.source.rewind()?;
                    continue;
                }
                Captured::End => break,
            };
            figures
                .decode
                .record(monotonic_now().saturating_since(started));
            figures.frames += 1;
            self.hand_on(frame, figures);
        }
        Ok(())
    }

    /// Sets the frame's clocks and hands it on at its time; counts it where it is too late.
    fn hand_on(&mut self, mut frame: Frame, figures: &mut CaptureFigures) {
        match self.pace {
            Pace::Asap => {
                frame.meta.timestamp = self.origin + frame.meta.media_time;
                frame.meta.arrived = monotonic_now();
                self.put_without_loss(frame);
            }
            Pace::Realtime => match self.wait_for(frame.meta.media_time) {
                Turn::HandOn(timestamp) => {
                    frame.meta.timestamp = timestamp;
                    frame.meta.arrived = monotonic_now();
                    self.out.put(frame);
                }
                Turn::Drop => figures.dropped += 1,
                Turn::Stop => {}
            },
        }
    }

    fn put_without_loss(&self, mut frame: Frame) {
        while let Err(unsent) = self.out.put_when_empty(frame, WAIT_MAX) {
            self.beat.strike();
            if self.stop.is_raised() || self.out.is_closed() {
                return;
            }
            frame = unsent;
        }
    }

    /// Waits until the frame at `media_time` is due.
    fn wait_for(&mut self, media_time: Duration) -> Turn {
        loop {
            self.beat.strike();
            let now = monotonic_now();
            match self.pacer.due(media_time, now) {
                Due::Wait(_) if self.stop.is_raised() => return Turn::Stop,
                Due::Wait(wait) => std::thread::sleep(wait.min(WAIT_MAX)),
                Due::Now => {
                    let due = self.pacer.timestamp(media_time);
                    return Turn::HandOn(due.unwrap_or(now));
                }
                Due::Late(_) => return Turn::Drop,
            }
        }
    }
}

/// What becomes of a frame whose time has come.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// It is handed on; it counts as taken at this instant.
    HandOn(MonotonicTime),
    /// It is too late.
    Drop,
    /// The program is to stop.
    Stop,
}

/// Closes a mailbox when its owner goes, panicking or not, so that nobody waits for the dead.
#[derive(Debug)]
pub(super) struct CloseOnDrop<T>(pub(super) Latest<T>);

impl<T> Drop for CloseOnDrop<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}
