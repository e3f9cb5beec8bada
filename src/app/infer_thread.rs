//! The infer thread: owns the models and the engine, serves both streams.

use std::sync::Arc;
use std::time::Duration;

use super::capture_thread::CloseOnDrop;
use super::live::{Configure, InferCommand};
use crate::config::{Config, Pace};
use crate::frame::Frame;
use crate::health::{Beat, LONG_MAX};
use crate::inference::scheduler::{Due, Head, Next, Scheduler};
use crate::inference::{Condition, Inferencer, InspectionJob, Step};
use crate::message::{DetectorTest, Inferred, PictureDoubt};
use crate::scrutiny::{Measures, Scrutiny};
use crate::sync::{Latest, Signal, Taken};
use crate::sys::monotonic_now;
use crate::units::{MonotonicTime, StreamId};

/// Longest wait before everything is looked at again.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// Time between two self-tests in real time. One costs an inference, as an inspection frame does.
const SELF_TEST_PERIOD: Duration = Duration::from_secs(60);

/// Time between a self-test that could not be made, because the engine failed, and the next.
const SELF_TEST_AGAIN: Duration = Duration::from_millis(500);

/// Longest time without a step of what the engine does on its own, however much there is to infer.
const TICK_PERIOD: Duration = Duration::from_secs(2);

/// Time between two questions to the engine about its accelerators.
const ASK_PERIOD: Duration = Duration::from_secs(1);

/// Without a passed self-test for this long the run permission goes: three that did not come.
pub(super) const SELF_TEST_WITHIN: Duration = Duration::from_secs(180);

/// Time in which an inspection frame should be graded. A part moves on, but nobody is hurt.
const INSPECTION_ALLOWANCE: Duration = Duration::from_secs(1);

/// Time from a frame's timestamp to its deadline, by [`StreamId::index`].
pub(super) const fn allowances(config: &Config) -> [Duration; 2] {
    [config.safety.max_age, INSPECTION_ALLOWANCE]
}

/// What the infer thread tells the decide thread.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "moved once per frame; boxing would allocate per frame"
)]
pub(super) enum FromInfer {
    /// A frame with what was found in it.
    Inferred(Inferred),
    /// A source has ended; nothing of it will follow.
    Ended(StreamId),
    /// The detector was shown a picture whose content is known.
    SelfTest(DetectorTest),
    /// Something happened to an accelerator; with what runs the models now.
    Accelerator { message: String, engine: Arc<str> },
    /// From here on findings are those of another configuration.
    Configured(Box<Configure>),
}

/// What the infer thread needs.
#[derive(Debug)]
pub(super) struct InferThread {
    pub(super) inferencer: Inferencer,
    /// Watches the guarding camera.
    pub(super) scrutiny: Scrutiny,
    /// What it said last.
    pub(super) doubt: Option<PictureDoubt>,
    pub(super) pace: Pace,
    /// Time from a frame's timestamp to its deadline, by [`StreamId::index`].
    pub(super) allowances: [Duration; 2],
    /// By [`StreamId::index`].
    pub(super) inboxes: [Latest<Frame>; 2],
    /// Configurations to take over; only in real time.
    pub(super) commands: Latest<InferCommand>,
    /// Raised by the inboxes.
    pub(super) signal: Signal,
    /// By [`StreamId::index`]; in `asap` both are the same mailbox.
    pub(super) out: [Latest<FromInfer>; 2],
    pub(super) beat: Beat,
    pub(super) questions: Questions,
}

/// What the engine is asked about its accelerators, for whoever stands at the monitor.
#[derive(Debug)]
pub(super) struct Questions {
    pub(super) answers: Latest<Condition>,
    /// When it was asked last.
    asked: Option<MonotonicTime>,
}

impl Questions {
    pub(super) fn new() -> Self {
        Self {
            answers: Latest::new(&Signal::new()),
            asked: None,
        }
    }
}

impl InferThread {
    /// Runs until both inboxes are closed and empty, or nobody takes the results any more.
    pub(super) fn run(mut self) {
        let _inboxes = self.inboxes.clone().map(CloseOnDrop);
        let _out = self.out.clone().map(CloseOnDrop);
        let _commands = CloseOnDrop(self.commands.clone());
        self.work();
        self.beat.retire();
    }

    fn work(&mut self) {
        // Where a graphics device makes the detector's input, its driver is connected to in here: seconds
        // on a slow machine.
        let beat = self.beat.clone();
        if !beat.during(monotonic_now(), LONG_MAX, || self.self_test()) {
            return;
        }
        let mut tested = monotonic_now();
        let mut ticked = tested;
        let mut scheduler = Scheduler::new(self.pace, self.allowances);
        let mut job: Option<InspectionJob> = None;
        let mut told = [false; 2];
        loop {
            self.beat.strike();
            let seen = self.signal.generation();
            if let Taken::Value(command) = self.commands.take() {
                self.inferencer.select(command.selection);
                scheduler.allow(command.allowances);
                let configured = FromInfer::Configured(command.configure);
                if !self.hand_on(StreamId::WorkerSafety, configured) {
                    return;
                }
            }
            let heads = [0, 1].map(|index: usize| self.head(index));
            for stream in StreamId::ALL {
                let inspecting = stream == StreamId::VisualInspection && job.is_some();
                let over = heads[stream.index()] == Head::Ended && !inspecting;
                if over && !told[stream.index()] {
                    told[stream.index()] = true;
                    if !self.hand_on(stream, FromInfer::Ended(stream)) {
                        return;
                    }
                }
            }
            let begun = job.as_ref().map(InspectionJob::due);
            let done = match scheduler.next(heads, begun) {
                Next::Start(StreamId::WorkerSafety) => {
                    let frame = self.take(StreamId::WorkerSafety);
                    frame.map(|frame| self.patiently(|this| this.judge(frame)))
                }
                Next::Start(StreamId::VisualInspection) => {
                    job = self.take(StreamId::VisualInspection).map(Inferencer::begin);
                    self.patiently(|this| this.step(&mut job))
                }
                Next::Continue => self.patiently(|this| this.step(&mut job)),
                Next::Wait => {
                    self.patiently(|this| this.inferencer.tick());
                    ticked = monotonic_now();
                    self.ask_the_engine();
                    self.signal.wait_newer(seen, WAIT_MAX);
                    None
                }
                Next::Done => return,
            };
            if let Some(inferred) = done
                && !self.hand_on(inferred.frame.meta.stream, FromInfer::Inferred(inferred))
            {
                return;
            }
            while let Some(message) = self.inferencer.take_engine_event() {
                let engine = self.inferencer.engine_description().into();
                let news = FromInfer::Accelerator { message, engine };
                if !self.hand_on(StreamId::WorkerSafety, news) {
                    return;
                }
            }
            // Between two frames: no safety frame waits longer than behind an inspection inference.
            let now = monotonic_now();
            if now.saturating_since(ticked) >= TICK_PERIOD {
                ticked = now;
                self.patiently(|this| this.inferencer.tick());
            }
            let period = if self.inferencer.self_test_is_open() {
                SELF_TEST_AGAIN
            } else {
                SELF_TEST_PERIOD
            };
            if now.saturating_since(tested) >= period && self.pace == Pace::Realtime {
                tested = now;
                if !self.self_test() {
                    return;
                }
            }
        }
    }

    /// Asks how the accelerators are, about once a second, while no frame waits.
    fn ask_the_engine(&mut self) {
        let now = monotonic_now();
        let Questions { answers, asked } = &mut self.questions;
        if asked.is_some_and(|asked| now.saturating_since(asked) < ASK_PERIOD) {
            return;
        }
        *asked = Some(now);
        if let Some(condition) = self.inferencer.engine_condition() {
            answers.put(condition);
        }
    }

    /// Makes a self-test and hands on its outcome. False where nobody takes results any more.
    fn self_test(&mut self) -> bool {
        let outcome = self.patiently(|this| this.inferencer.self_test());
        self.hand_on(StreamId::WorkerSafety, FromInfer::SelfTest(outcome))
    }

    /// Does something with the models. Where an accelerator is being brought back into service that may
    /// take longer than a turn: nothing is inferred meanwhile, and that is no dead pipeline.
    fn patiently<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        if !self.inferencer.is_recovering() {
            return work(self);
        }
        let beat = self.beat.clone();
        beat.during(monotonic_now(), LONG_MAX, || work(self))
    }

    fn head(&self, index: usize) -> Head {
        match self.inboxes[index].peek(|frame| Due::from(&frame.meta)) {
            Taken::Value(due) => Head::Waiting(due),
            Taken::Empty => Head::Empty,
            Taken::Closed => Head::Ended,
        }
    }

    /// The frame that was seen waiting, or a newer one that has replaced it.
    fn take(&self, stream: StreamId) -> Option<Frame> {
        match self.inboxes[stream.index()].take() {
            Taken::Value(frame) => Some(frame),
            Taken::Empty | Taken::Closed => None,
        }
    }

    /// Looks at the picture itself, then for people in it.
    fn judge(&mut self, frame: Frame) -> Inferred {
        // Where a graphics device makes the detector's input, it does so meanwhile.
        self.inferencer.begin_input(&frame, monotonic_now);
        let doubt = self.scrutiny.observe(&frame);
        if doubt != self.doubt {
            let Measures {
                frozen_for,
                textured_share,
                contours,
                in_place_share,
            } = self.scrutiny.measures();
            log::warn!(
                "{} frame {}: picture {} ({} ms without a new one, {:.0} % textured, {:.0} % of {contours} contours in place)",
                frame.meta.stream,
                frame.meta.sequence,
                doubt.map_or("good again", PictureDoubt::name),
                frozen_for.as_millis(),
                textured_share * 100.0,
                in_place_share * 100.0,
            );
            self.doubt = doubt;
        }
        Inferred {
            doubt,
            ..self.inferencer.judge(frame, monotonic_now)
        }
    }

    fn step(&mut self, job: &mut Option<InspectionJob>) -> Option<Inferred> {
        match self.inferencer.step(job.take()?, monotonic_now) {
            Step::Pending(rest) => {
                *job = Some(rest);
                None
            }
            Step::Done(inferred) => Some(inferred),
        }
    }

    /// Hands a result to the decide thread, which is never far behind: results are not overwritten,
    /// so that a person seen once is always decided. False where nobody takes results any more.
    fn hand_on(&self, stream: StreamId, message: FromInfer) -> bool {
        let out = &self.out[stream.index()];
        let mut message = message;
        while let Err(unsent) = out.put_when_empty(message, WAIT_MAX) {
            self.beat.strike();
            if out.is_closed() {
                return false;
            }
            message = unsent;
        }
        true
    }
}
