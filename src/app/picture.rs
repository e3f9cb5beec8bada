//! What a run's picture shows, and the start of the thread that draws it.
//!
//! On a monitor the thread starts before cameras and models are open and shows how far they are: a
//! [`Starting`] takes notes of it, and becomes a [`UiThread`] once everything is there.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rtrb::{Consumer, RingBuffer};

use super::input_thread::{self, INPUT_FOLDER};
use super::live::UiUpdate;
use super::pipeline::spawn;
use super::run::{RunError, RunOptions};
use super::ui_thread::{self, Mail, Opened, PictureError, StartNews, UiFigures, UiPlan};
use crate::capture::FrameSource;
use crate::config::{Config, DisplayChoice, InputSpec};
use crate::inference::Inferencer;
use crate::message::{Event, OperatorCommand, Snapshot};
use crate::sync::{Latest, Signal};
use crate::sys::{StopFlag, monotonic_now};
use crate::ui::scene::{MaskMemory, People, SceneContext, Splash, StartLine, Status, Step};

/// Pictures per second of a film, at most.
const FILM_RATE_MAX: f64 = 30.0;

/// Where no source knows its own rate.
const FILM_RATE_DEFAULT: f64 = 25.0;

/// Longest time for EGL to come up; llvmpipe takes about a second on a slow machine.
const UI_START_MAX: Duration = Duration::from_secs(30);

/// Longest wait for a monitor, which the run does not depend on: long enough for what is wrong with
/// the configuration to come out.
const MONITOR_START_MAX: Duration = Duration::from_secs(1);

/// What somebody did at an input device, on its way to the ui thread: a second of a lively finger.
const INPUT_MAX: usize = 256;

/// Orders from the screen on their way to the decide thread; a person gives two a second.
const ORDERS_MAX: usize = 32;

/// Events of the ui thread on their way to the event log: a monitor that comes and goes all the time.
const NEWS_MAX: usize = 64;

/// So long a monitor shows why nothing starts, before the program ends and the service manager tries
/// again.
const FAILURE_SHOWN: Duration = Duration::from_secs(5);

/// Longest wait for a ui thread of a run that does not come about.
const END_MAX: Duration = Duration::from_secs(5);

/// Time between two looks whether a thread has ended.
const LOOK: Duration = Duration::from_millis(10);

/// What has to be there before a run begins, in the order in which it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    WorkerSafety,
    VisualInspection,
    Models,
}

impl Part {
    pub(super) const CAMERAS: [Self; 2] = [Self::WorkerSafety, Self::VisualInspection];

    const fn index(self) -> usize {
        match self {
            Self::WorkerSafety => 0,
            Self::VisualInspection => 1,
            Self::Models => 2,
        }
    }
}

/// The ui thread while cameras and models are being opened.
#[derive(Debug)]
pub(super) struct Starting {
    /// Whether anybody sees how far the start has come.
    watched: bool,
    thread: Option<JoinHandle<UiFigures>>,
    input: Option<JoinHandle<()>>,
    start: Latest<StartNews>,
    inbox: Latest<Snapshot>,
    updates: Latest<UiUpdate>,
    status: Latest<Status>,
    news: Option<Consumer<Event>>,
    desk: Option<Consumer<OperatorCommand>>,
    ready: Receiver<Result<(), PictureError>>,
    splash: Splash,
}

/// The running ui thread, and everything that goes to it and comes from it.
#[derive(Debug)]
pub(super) struct UiThread {
    pub(super) thread: JoinHandle<UiFigures>,
    /// The thread that reads touch screens, mice and keyboards; it ends with the ui thread.
    pub(super) input: Option<JoinHandle<()>>,
    pub(super) inbox: Latest<Snapshot>,
    pub(super) updates: Latest<UiUpdate>,
    pub(super) status: Latest<Status>,
    pub(super) news: Consumer<Event>,
    /// For the decide thread.
    pub(super) desk: Option<Consumer<OperatorCommand>>,
}

impl Starting {
    /// Starts the ui thread; `None` where nobody looks.
    pub(super) fn begin(config: &Config, options: &RunOptions) -> Result<Option<Self>, RunError> {
        let draw_all = match config.display.display {
            DisplayChoice::None => false,
            DisplayChoice::Headless | DisplayChoice::Kms => true,
        };
        if !draw_all && options.record.is_none() && options.snapshots.is_empty() {
            return Ok(None);
        }
        let watched = config.display.display == DisplayChoice::Kms;
        let plan = UiPlan {
            context: scene_context(config),
            display: config.display.clone(),
            record: options.record.clone(),
            snapshots: options.snapshots.clone(),
            draw_all,
            pace: options.pace,
            may_reset: config.screen_may_reset(),
        };
        let (told, news) = RingBuffer::new(NEWS_MAX);
        let (orders, desk) = RingBuffer::new(ORDERS_MAX);
        let operated = watched && config.display.kiosk.touch;
        let (input, events) = if operated {
            let (out, events) = RingBuffer::new(INPUT_MAX);
            let body = move || input_thread::run(INPUT_FOLDER.as_ref(), out);
            (Some(spawn("input", body)?), Some(events))
        } else {
            (None, None)
        };
        let (inbox, updates) = (Latest::new(&Signal::new()), Latest::new(&Signal::new()));
        let (status, start) = (Latest::new(&Signal::new()), Latest::new(&Signal::new()));
        let mail = Mail {
            inbox: inbox.clone(),
            updates: updates.clone(),
            status: status.clone(),
            start: start.clone(),
            news: told,
            input: events,
            desk: orders,
        };
        let (say, ready) = sync_channel(1);
        let thread = spawn("ui", move || ui_thread::run(plan, mail, &say))?;
        let this = Self {
            watched,
            thread: Some(thread),
            input,
            start,
            inbox,
            updates,
            status,
            news: Some(news),
            desk: operated.then_some(desk),
            ready,
            splash: first_splash(config),
        };
        this.show();
        Ok(Some(this))
    }

    /// Notes how far a part has come.
    pub(super) fn note(&mut self, part: Part, step: Step, detail: Option<String>) {
        if let Some(line) = self.splash.lines.get_mut(part.index()) {
            line.step = step;
            if let Some(detail) = detail {
                line.detail = detail;
            }
        }
        self.show();
    }

    fn show(&self) {
        self.start.put(StartNews::Progress(self.splash.clone()));
    }

    /// Everything is open: waits until the thread says that it can draw.
    pub(super) fn opened(mut self, opened: Opened) -> Result<UiThread, RunError> {
        self.start.put(StartNews::Opened(Box::new(opened)));
        let longest = if self.watched {
            MONITOR_START_MAX
        } else {
            UI_START_MAX
        };
        match self.ready.recv_timeout(longest) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error.into()),
            Err(RecvTimeoutError::Timeout) if self.watched => {
                log::warn!(
                    "the monitor's graphics driver takes its time: the run starts without a picture"
                );
            }
            Err(RecvTimeoutError::Disconnected) if self.watched => {
                log::error!("the thread of the picture died: the run starts without a picture");
            }
            Err(RecvTimeoutError::Timeout) => {
                let within = UI_START_MAX;
                return Err(PictureError::NotReady { within }.into());
            }
            Err(RecvTimeoutError::Disconnected) => return Err(died()),
        }
        let (Some(thread), Some(news)) = (self.thread.take(), self.news.take()) else {
            return Err(died());
        };
        Ok(UiThread {
            thread,
            input: self.input.take(),
            inbox: self.inbox.clone(),
            updates: self.updates.clone(),
            status: self.status.clone(),
            news,
            desk: self.desk.take(),
        })
    }

    /// Nothing will run: shows why for a while where somebody looks.
    pub(super) fn fail(mut self, error: &RunError, stop: &StopFlag) {
        if !self.watched {
            return;
        }
        let lines = &mut self.splash.lines;
        let at = lines
            .iter()
            .position(|line| line.step == Step::Starting)
            .unwrap_or(lines.len().saturating_sub(1));
        if let Some(line) = lines.get_mut(at) {
            line.step = Step::Failed;
            line.detail = error.to_string();
        }
        self.show();
        let until = monotonic_now() + FAILURE_SHOWN;
        while monotonic_now() < until && !stop.is_raised() {
            std::thread::sleep(LOOK);
        }
    }
}

fn died() -> RunError {
    RunError::Thread {
        name: "ui",
        reason: "died before it could draw".to_owned(),
    }
}

impl Drop for Starting {
    /// A run that does not come about: the threads end, and are waited for, but not for ever.
    fn drop(&mut self) {
        self.start.close();
        let until = monotonic_now() + END_MAX;
        let ended = |thread: &JoinHandle<UiFigures>| thread.is_finished();
        while !self.thread.as_ref().is_none_or(ended) && monotonic_now() < until {
            std::thread::sleep(LOOK);
        }
    }
}

fn first_splash(config: &Config) -> Splash {
    let camera = |name: &str, input: &InputSpec| StartLine {
        name: name.to_owned(),
        step: Step::Waiting,
        detail: input.to_string(),
    };
    let models = StartLine {
        name: "Models and engine".to_owned(),
        step: Step::Waiting,
        detail: config.engine.engine.name().to_owned(),
    };
    Splash {
        version: super::system::system().with_version(),
        lines: vec![
            camera("Worker safety", &config.worker_safety.input),
            camera("Visual inspection", &config.visual_inspection.input),
            models,
        ],
    }
}

/// What is known of the picture once everything is open.
pub(super) fn opened(sources: &[Box<dyn FrameSource>; 2], inferencer: &Inferencer) -> Opened {
    let rates = sources.iter().filter_map(|source| source.info().frame_rate);
    let fastest = rates.fold(0.0, f64::max);
    Opened {
        detector_labels: inferencer.detector_labels().to_vec(),
        classifier_labels: inferencer.classifier_labels().to_vec(),
        engine: inferencer.engine_description(),
        sources: [0, 1].map(|index: usize| short_name(&sources[index].info().name)),
        frame_rate: if fastest > 0.0 {
            fastest.min(FILM_RATE_MAX)
        } else {
            FILM_RATE_DEFAULT
        },
    }
}

/// What is known before anything is open.
fn scene_context(config: &Config) -> SceneContext {
    SceneContext {
        zones: config.zones.clone(),
        detector_labels: Vec::new(),
        classifier_labels: Vec::new(),
        engine: String::new(),
        version: super::system::system().with_version(),
        sources: [String::new(), String::new()],
        people: if config.display.anonymize {
            People::Masked(MaskMemory::default())
        } else {
            People::Shown
        },
        old_after: config.safety.max_age,
        notice: None,
    }
}

/// The last part of a path: what fits beside a title.
fn short_name(source: &str) -> String {
    source
        .rsplit('/')
        .find(|part| !part.is_empty())
        .unwrap_or(source)
        .to_owned()
}
