//! The threads of a run, wired to each other.

use std::thread::{self, JoinHandle};

use rtrb::{Consumer, Producer, RingBuffer};

use super::capture_thread::{CaptureOutcome, CaptureThread};
use super::day_clock::DayClock;
use super::decide_thread::{DecideOutcome, DecideThread};
use super::gauge::CaptureGauge;
use super::infer_thread::{InferThread, Questions, allowances};
use super::live::Controls;
use super::outputs::Outputs;
use super::picture::UiThread;
use super::reference;
use super::run::{RunError, RunOptions};
use crate::capture::{FrameSource, Pacer};
use crate::config::{Config, Pace};
use crate::decision::Decision;
use crate::health::Beat;
use crate::inference::{Condition, Inferencer};
use crate::message::{CameraChange, Event};
use crate::output::HeartbeatGenerator;
use crate::sync::{Latest, Signal};
use crate::sys::{ProcessUsage, StopFlag, monotonic_now, process_usage};
use crate::units::{MonotonicTime, StreamId};

/// Configurations on their way back from the decide thread; there is never more than a few.
const SPENT_MAX: usize = 16;

/// Events on their way to the report; more than a second's worth.
const EVENTS_MAX: usize = 1024;

/// News of a camera on their way to the main thread, which looks every few milliseconds.
const NEWS_MAX: usize = 64;

/// The signs of life of the threads without which the pipeline is dead.
#[derive(Debug, Default)]
pub(super) struct Beats {
    capture: [Beat; 2],
    infer: Beat,
    decide: Beat,
}

impl Beats {
    pub(super) fn by_name(&self) -> [(&'static str, Beat); 4] {
        let [safety, inspection] = self.capture.clone();
        [
            ("capture-0", safety),
            ("capture-1", inspection),
            ("infer", self.infer.clone()),
            ("decide", self.decide.clone()),
        ]
    }
}

/// The running threads.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) capture: [JoinHandle<CaptureOutcome>; 2],
    pub(super) infer: JoinHandle<()>,
    pub(super) decide: JoinHandle<DecideOutcome>,
    pub(super) ui: Option<UiThread>,
    pub(super) events: Consumer<Event>,
    /// What becomes of the cameras, by [`StreamId::index`].
    pub(super) news: [Consumer<CameraChange>; 2],
    /// What the cameras count, by [`StreamId::index`].
    pub(super) gauges: [CaptureGauge; 2],
    /// What the engine says of its accelerators.
    pub(super) conditions: Latest<Condition>,
    pub(super) day_clock: DayClock,
    /// Instant of media time zero on the decision clock.
    pub(super) origin: MonotonicTime,
    /// Usage of the process when everything was loaded and the first frame was about to come.
    pub(super) started: (MonotonicTime, ProcessUsage),
}

impl Pipeline {
    pub(super) fn start(
        config: &Config,
        options: &RunOptions,
        stop: &StopFlag,
        (sources, (output, field)): ([Box<dyn FrameSource>; 2], Outputs),
        inferencer: Inferencer,
        mut ui: Option<UiThread>,
        beats: &Beats,
    ) -> Result<(Self, Controls), RunError> {
        let day_clock = DayClock::default();
        let scrutiny = reference::scrutiny(&config.camera_checks).inspect_err(|_| {
            if let Some(ui) = &ui {
                ui.inbox.close();
            }
        })?;
        let snapshots = ui.as_ref().map(|ui| ui.inbox.clone());
        // A decision clock of media time has no hours to compare a finger's with.
        let desk = match options.pace {
            Pace::Realtime => ui.as_mut().and_then(|ui| ui.desk.take()),
            Pace::Asap => None,
        };
        let started = (monotonic_now(), process_usage());
        let origin = match options.pace {
            Pace::Asap => MonotonicTime::ZERO,
            Pace::Realtime => started.0,
        };
        let frame_signal = Signal::new();
        let frames = [Latest::new(&frame_signal), Latest::new(&frame_signal)];
        let found_signal = Signal::new();
        let first = Latest::new(&found_signal);
        let second = match options.pace {
            Pace::Asap => first.clone(),
            Pace::Realtime => Latest::new(&found_signal),
        };
        let found = [first, second];
        let (event_sender, events) = RingBuffer::new(EVENTS_MAX);
        let (spent_sender, spent) = RingBuffer::new(SPENT_MAX);
        let controls = Controls {
            decide: Latest::new(&found_signal),
            spent,
            infer: Latest::new(&frame_signal),
            ui: ui.as_ref().map(|ui| ui.updates.clone()),
        };
        let decide = DecideThread {
            decision: Decision::new(config, inferencer.classifier_labels()),
            output,
            field,
            heartbeat: HeartbeatGenerator::new(config.output.heartbeat_half_period),
            pace: options.pace,
            inboxes: found.clone(),
            commands: controls.decide.clone(),
            spent: spent_sender,
            desk,
            signal: found_signal,
            events: event_sender,
            snapshots,
            origin,
            stop: stop.clone(),
            beat: beats.decide.clone(),
            day_clock: day_clock.clone(),
        };
        let infer = InferThread {
            questions: Questions::new(),
            inferencer,
            scrutiny,
            doubt: None,
            pace: options.pace,
            allowances: allowances(config),
            inboxes: frames.clone(),
            commands: controls.infer.clone(),
            signal: frame_signal,
            out: found,
            beat: beats.infer.clone(),
        };
        let conditions = infer.questions.answers.clone();
        let gauges = [CaptureGauge::default(), CaptureGauge::default()];
        let ([safety, inspection], news) = capture_threads(sources, |stream, source, news| {
            let index = stream.index();
            CaptureThread {
                gauge: gauges[index].clone(),
                stream,
                source,
                news,
                pace: options.pace,
                origin,
                pacer: Pacer::starting_at(origin),
                frames_max: options.frames,
                repeat: options.repeat,
                out: frames[index].clone(),
                stop: stop.clone(),
                beat: beats.capture[index].clone(),
            }
        });
        let pipeline = Self {
            decide: spawn("decide", move || decide.run())?,
            infer: spawn("infer", move || infer.run())?,
            capture: [
                spawn("capture-0", move || safety.run())?,
                spawn("capture-1", move || inspection.run())?,
            ],
            ui,
            events,
            news,
            gauges,
            conditions,
            day_clock,
            origin,
            started,
        };
        Ok((pipeline, controls))
    }
}

/// A capture thread for each source, and where the main thread hears of the cameras.
fn capture_threads(
    [safety, inspection]: [Box<dyn FrameSource>; 2],
    make: impl Fn(StreamId, Box<dyn FrameSource>, Producer<CameraChange>) -> CaptureThread,
) -> ([CaptureThread; 2], [Consumer<CameraChange>; 2]) {
    let (safety_sender, safety_news) = RingBuffer::new(NEWS_MAX);
    let (inspection_sender, inspection_news) = RingBuffer::new(NEWS_MAX);
    let threads = [
        make(StreamId::WorkerSafety, safety, safety_sender),
        make(StreamId::VisualInspection, inspection, inspection_sender),
    ];
    (threads, [safety_news, inspection_news])
}

pub(super) fn spawn<T: Send + 'static>(
    name: &'static str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, RunError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(cannot_start(name))
}

pub(super) fn cannot_start(name: &'static str) -> impl Fn(std::io::Error) -> RunError {
    move |error| RunError::Thread {
        name,
        reason: error.to_string(),
    }
}
