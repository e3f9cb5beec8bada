//! The capture thread: owns one source, sets the clock on its frames, keeps the pace.

use std::time::Duration;

use rtrb::Producer;

use super::gauge::CaptureGauge;
use super::summary::CaptureFigures;
use crate::capture::{CaptureError, Captured, Due, FrameSource, Pacer, SourceNews, Timekeeping};
use crate::config::Pace;
use crate::frame::Frame;
use crate::health::{Beat, LONG_MAX};
use crate::message::{CameraChange, CameraState};
use crate::sync::Latest;
use crate::sys::{StopFlag, monotonic_now};
use crate::units::{MonotonicTime, StreamId};

/// Longest uninterrupted wait; after it the stop flag is looked at.
const WAIT_MAX: Duration = Duration::from_millis(50);

/// What a capture thread needs.
#[derive(Debug)]
pub(super) struct CaptureThread {
    pub(super) stream: StreamId,
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
    /// What becomes of a camera; the main thread tells it.
    pub(super) news: Producer<CameraChange>,
    /// For whoever wants to know how it goes.
    pub(super) gauge: CaptureGauge,
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
        let error = self
            .frames(&mut figures)
            .and_then(|()| self.check(&figures));
        let error = error.err();
        if let Some(error) = &error {
            log::error!("{error}");
        }
        drop(closer);
        self.beat.retire();
        figures.losses = self.source.losses();
        figures.dropped = self.out.dropped();
        figures.slippage = self.pacer.slippage();
        CaptureOutcome { figures, error }
    }

    /// A file is whole or it is not; of a camera a picture may be damaged now and then.
    fn check(&self, figures: &CaptureFigures) -> Result<(), CaptureError> {
        let lost = self.source.losses().undecodable;
        if self.source.timekeeping() == Timekeeping::Live || lost == 0 {
            return Ok(());
        }
        Err(CaptureError::Incomplete {
            name: self.source.info().name.clone(),
            lost,
            delivered: figures.frames,
        })
    }

    fn frames(&mut self, figures: &mut CaptureFigures) -> Result<(), CaptureError> {
        while !self.stop.is_raised() && self.frames_max.is_none_or(|max| figures.frames < max) {
            self.beat.strike();
            let started = monotonic_now();
            let frame = match self.next_frame()? {
                Captured::Frame(frame) => frame,
                Captured::End if self.repeat && figures.frames > 0 => {
                    self.source.rewind()?;
                    continue;
                }
                Captured::End => break,
                Captured::Nothing => {
                    self.tell_news();
                    self.tell_figures(figures.frames);
                    continue;
                }
            };
            self.tell_news();
            // Of a camera what counts is how old its picture is when it can be looked at.
            let started = match self.source.timekeeping() {
                Timekeeping::Media => started,
                Timekeeping::Live => frame.meta.timestamp,
            };
            figures
                .decode
                .record(monotonic_now().saturating_since(started));
            figures.frames += 1;
            self.hand_on(frame);
            self.tell_figures(figures.frames);
        }
        Ok(())
    }

    /// The source may take long only where it says so before: then no frame comes anyway.
    fn next_frame(&mut self) -> Result<Captured, CaptureError> {
        if !self.source.may_take_long() {
            return self.source.next_frame();
        }
        let source = &mut self.source;
        self.beat
            .during(monotonic_now(), LONG_MAX, || source.next_frame())
    }

    fn tell_figures(&self, frames: u64) {
        let losses = self.source.losses();
        self.gauge.set(frames, self.out.dropped(), losses);
    }

    /// Tells the main thread what became of the source. What finds no room there is in the log at
    /// least, where the source itself has put it.
    fn tell_news(&mut self) {
        let Some(news) = self.source.take_news() else {
            return;
        };
        let (source, state) = match news {
            SourceNews::Down { source, why } => (source, CameraState::Lost { why }),
            SourceNews::Up {
                source,
                description,
            } => (source, CameraState::Back { description }),
        };
        let change = CameraChange {
            at: monotonic_now(),
            stream: self.stream,
            source,
            state,
        };
        if self.news.push(change).is_err() {
            log::warn!("{}: news of the camera found no room", self.stream);
        }
    }

    /// Sets the frame's clocks and hands it on at its time. In real time the mailbox drops what nobody
    /// takes before the next frame comes. A camera's frames have their time, and come at it.
    fn hand_on(&mut self, mut frame: Frame) {
        if self.source.timekeeping() == Timekeeping::Live {
            self.out.put(frame);
            return;
        }
        match self.pace {
            Pace::Asap => {
                frame.meta.timestamp = self.origin + frame.meta.media_time;
                frame.meta.arrived = monotonic_now();
                self.put_without_loss(frame);
            }
            Pace::Realtime => {
                let Some(timestamp) = self.wait_for(frame.meta.media_time) else {
                    return;
                };
                frame.meta.timestamp = timestamp;
                frame.meta.arrived = monotonic_now();
                self.out.put(frame);
            }
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

    /// Waits until the frame at `media_time` is due and says when that is or was; `None` where the
    /// program is to stop.
    fn wait_for(&mut self, media_time: Duration) -> Option<MonotonicTime> {
        loop {
            self.beat.strike();
            let now = monotonic_now();
            match self.pacer.due(media_time, now) {
                Due::Wait(_) if self.stop.is_raised() => return None,
                Due::Wait(wait) => std::thread::sleep(wait.min(WAIT_MAX)),
                Due::Now => return Some(self.pacer.timestamp(media_time).unwrap_or(now)),
            }
        }
    }
}

/// Closes a mailbox when its owner goes, panicking or not, so that nobody waits for the dead.
#[derive(Debug)]
pub(super) struct CloseOnDrop<T>(pub(super) Latest<T>);

impl<T> Drop for CloseOnDrop<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{PatternSource, SourceInfo};
    use crate::sync::{Signal, Taken};

    /// A source of 1000 frames per second that needs three times as long for each.
    #[derive(Debug)]
    struct TooSlow(PatternSource);

    impl FrameSource for TooSlow {
        fn info(&self) -> &SourceInfo {
            self.0.info()
        }

        fn next_frame(&mut self) -> Result<Captured, CaptureError> {
            std::thread::sleep(Duration::from_millis(3));
            self.0.next_frame()
        }

        fn rewind(&mut self) -> Result<(), CaptureError> {
            self.0.rewind()
        }
    }

    /// A thread that plays a source once, in real time.
    fn thread(source: impl FrameSource + 'static, out: Latest<Frame>, beat: Beat) -> CaptureThread {
        let origin = monotonic_now();
        let (news, _) = rtrb::RingBuffer::new(1);
        CaptureThread {
            gauge: CaptureGauge::default(),
            stream: StreamId::WorkerSafety,
            news,
            source: Box::new(source),
            pace: Pace::Realtime,
            origin,
            pacer: Pacer::starting_at(origin),
            frames_max: None,
            repeat: false,
            out,
            stop: StopFlag::new(),
            beat,
        }
    }

    #[test]
    fn a_source_slower_than_its_rate_delivers_all_it_decodes() {
        let spec = "moving?size=64x64&fps=1000&frames=60";
        let source = PatternSource::open(spec, StreamId::WorkerSafety).expect("a pattern");
        let out = Latest::new(&Signal::new());
        let thread = thread(TooSlow(source), out.clone(), Beat::new());
        let CaptureOutcome { figures, error } = thread.run();
        assert!(error.is_none(), "{error:?}");
        // Nobody takes frames here: the mailbox overwrites all but the newest, which is the last.
        assert_eq!((figures.frames, figures.dropped), (60, 59));
        let Taken::Value(frame) = out.take() else {
            unreachable!("the last frame waits");
        };
        assert_eq!(frame.meta.sequence, 59);
        // 120 ms behind in the end, of which the last 40 ms need not have been noticed.
        let behind = figures.slippage.behind;
        assert!(behind >= Duration::from_millis(80), "{behind:?}");
    }

    /// A camera that hangs while it is opened: announced, and looked at from within.
    #[derive(Debug)]
    struct Hanging {
        inner: PatternSource,
        turns: u32,
        pulse: crate::health::PipelinePulse,
        other: Beat,
        alive: std::sync::mpsc::Sender<bool>,
    }

    impl FrameSource for Hanging {
        fn info(&self) -> &SourceInfo {
            self.inner.info()
        }

        fn may_take_long(&self) -> bool {
            self.turns == 1
        }

        fn next_frame(&mut self) -> Result<Captured, CaptureError> {
            self.turns += 1;
            // Once the thread has come round, only a declared operation counts as life.
            for later in [0, 30] {
                self.other.strike();
                let now = monotonic_now() + Duration::from_secs(later);
                let _ = self.alive.send(self.pulse.has_come_round(now));
            }
            match self.turns {
                1 | 2 => Ok(Captured::Nothing),
                _ => Ok(Captured::End),
            }
        }

        fn rewind(&mut self) -> Result<(), CaptureError> {
            Ok(())
        }
    }

    #[test]
    fn a_camera_that_hangs_while_it_is_opened_is_no_dead_pipeline() {
        let inner = PatternSource::open("moving?size=64x64&frames=1", StreamId::WorkerSafety);
        let (beat, other) = (Beat::new(), Beat::new());
        let beats = [("capture", beat.clone()), ("other", other.clone())];
        let (alive, told) = std::sync::mpsc::channel();
        let source = Hanging {
            inner: inner.expect("a pattern"),
            turns: 0,
            pulse: crate::health::PipelinePulse::new(beats),
            other,
            alive,
        };
        let thread = thread(source, Latest::new(&Signal::new()), beat);
        thread.run();
        let told: Vec<bool> = told.try_iter().collect();
        assert_eq!(told, [true, false, true, true, true, false]);
    }
}
