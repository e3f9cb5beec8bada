//! One run: opens everything, spawns the threads, writes the report, ends in order.

use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rtrb::{Consumer, RingBuffer};
use sd_notify::NotifyState;

use super::capture_thread::{CaptureOutcome, CaptureThread};
use super::clash::{self, ClashError};
use super::day_clock::DayClock;
use super::decide_thread::{DecideOutcome, DecideThread};
use super::event_thread::EventSink;
use super::infer_thread::{InferThread, allowances};
use super::live::{self, Controls, Live, UiUpdate};
use super::outputs::{Outputs, open_outputs};
use super::progress::Progress;
use super::reference::{self, ReferenceFileError};
use super::report::{
    Header, InputEntry, ModelEntry, Names, ReportError, ReportWriter, zone_entries,
};
use super::summary::Summary;
use super::ui_thread::{self, PictureError, SnapshotRequest, UiFigures, UiPlan};
use super::unjudged::{Unjudged, UnjudgedError};
use super::watchdog_thread::{WatchdogThread, tell};
use crate::capture::{self, CaptureError, FrameSource, Pacer, SourceInfo};
use crate::config::{Config, DisplayChoice, Loaded, Overrides, Pace};
use crate::decision::Decision;
use crate::frame::Frame;
use crate::health::{Beat, PipelinePulse};
use crate::inference::{InferenceError, Inferencer};
use crate::message::{
    Cause, Decided, Event, OutputChange, OutputName, OutputState, PermissionState, Snapshot,
    Started, StopReason, Verdict,
};
use crate::output::{HeartbeatGenerator, OutputError};
use crate::sync::{Latest, Signal};
use crate::sys::{ProcessUsage, StopFlag, monotonic_now, process_usage};
use crate::ui::scene::{MaskMemory, People, SceneContext};
use crate::units::{MonotonicTime, StreamId};

/// Pictures per second of a film at most, and where no source knows its own rate.
const FILM_RATE_MAX: f64 = 30.0;
const FILM_RATE_DEFAULT: f64 = 25.0;

/// Longest time for EGL to come up; llvmpipe takes about a second on a slow machine.
const UI_START_MAX: Duration = Duration::from_secs(30);

/// Configurations on their way back from the decide thread; there is never more than a few.
const SPENT_MAX: usize = 16;

/// Longest time that the end waits for the event log, which a disk may have stalled.
const EVENT_LOG_MAX: Duration = Duration::from_secs(2);

/// Events on their way to the report; more than a second's worth.
const EVENTS_MAX: usize = 1024;

/// Time between two looks for events: short against what a person notices, long against the work.
const EVENTS_WAIT: Duration = Duration::from_millis(5);

/// Time between two looks at the wall clock, for zones that have hours.
const CLOCK_LOOK: Duration = Duration::from_secs(1);

/// Longest time for a thread to end once it was asked to; an inference or a picture takes a fraction.
const END_MAX: Duration = Duration::from_secs(10);

/// How a run is made, beyond the configuration.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// How fast files are played.
    pub pace: Pace,
    /// Stop after this many frames of each input.
    pub frames: Option<u64>,
    /// Start files again when they end.
    pub repeat: bool,
    /// Report file.
    pub report: Option<PathBuf>,
    /// Film file.
    pub record: Option<PathBuf>,
    /// File that the caller will write the closing table to; checked here, so that it is no input.
    pub summary: Option<PathBuf>,
    /// Pictures to keep.
    pub snapshots: Vec<SnapshotRequest>,
    /// Whether progress is shown.
    pub progress: bool,
    /// In real time the configuration files are followed while the program runs, with this laid over
    /// them as at the start; `None` leaves them alone.
    pub follow: Option<Overrides>,
}

/// Why a run could not start or was not complete.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Something would be overwritten that is read, or written twice.
    #[error(transparent)]
    Clash(#[from] ClashError),
    /// An input cannot be opened or broke.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// A model or the engine cannot be used.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// The picture or the film cannot be made.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// A line cannot be used.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The camera's reference cannot be used.
    #[error(transparent)]
    Reference(#[from] ReferenceFileError),
    /// The report cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Inference failed on frames of a stream; the run went on.
    #[error(transparent)]
    Unjudged(#[from] UnjudgedError),
    /// A line of the outputs or inputs was lost.
    #[error("{0}")]
    Line(String),
    /// The hardware watchdog cannot be used.
    #[error(
        "cannot use the watchdog {device}: {source}; check [watchdog], and that nobody else feeds it"
    )]
    Watchdog {
        /// Its device.
        device: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A thread cannot be started, or died.
    #[error("thread {name}: {reason}")]
    Thread {
        /// Name of the thread.
        name: &'static str,
        /// What happened.
        reason: String,
    },
}

/// How a run ended: its figures, and the gravest error met on the way, if any.
#[derive(Debug)]
pub struct RunOutcome {
    /// Figures, complete also after an error.
    pub summary: Summary,
    /// The first error met.
    pub error: Option<RunError>,
}

/// Runs the pipeline until its inputs end or `stop` is raised.
///
/// # Errors
///
/// Something could not be opened, loaded or created; nothing ran. What fails later is in the outcome.
pub fn run(loaded: &Loaded, options: &RunOptions, stop: &StopFlag) -> Result<RunOutcome, RunError> {
    clash::check_run(loaded, options)?;
    let config = &loaded.config;
    let parts = Parts {
        // First of all: from here on every line is inactive.
        outputs: open_outputs(config, options.pace)?,
        sources: [
            capture::open(&config.worker_safety.input, StreamId::WorkerSafety)?,
            capture::open(&config.visual_inspection.input, StreamId::VisualInspection)?,
        ],
        inferencer: Inferencer::new(config)?,
    };
    run_with(loaded, options, stop, parts)
}

/// What a run works with: opened as configured, or something in its place.
#[derive(Debug)]
pub(super) struct Parts {
    /// Lines, all inactive.
    pub(super) outputs: Outputs,
    /// By [`StreamId::index`].
    pub(super) sources: [Box<dyn FrameSource>; 2],
    /// The models.
    pub(super) inferencer: Inferencer,
}

/// As [`run`], with these parts.
pub(super) fn run_with(
    loaded: &Loaded,
    options: &RunOptions,
    stop: &StopFlag,
    parts: Parts,
) -> Result<RunOutcome, RunError> {
    let config = &loaded.config;
    let Parts {
        outputs,
        sources,
        inferencer,
    } = parts;
    let names = Names {
        zones: config.zones.iter().map(|zone| zone.name.clone()).collect(),
        grades: inferencer.classifier_labels().to_vec(),
    };
    // Refused before the report of the run before is emptied.
    let plan = ui_plan(config, options, &sources, &inferencer)?;
    let header = header(loaded, options.pace, &sources, &inferencer);
    let report = match &options.report {
        Some(path) => Some(ReportWriter::create(path, &header, names.clone())?),
        None => None,
    };
    for check in config.camera_checks.switched_off() {
        log::warn!("camera_checks.{check} = false: a {check} camera goes unnoticed");
    }
    log::info!("engine: {}", inferencer.engine_description());
    let total = total_frames(options, &sources);
    let beats = Beats::default();
    let over = StopFlag::new();
    let pulse = PipelinePulse::new(beats.by_name());
    let watchdog = WatchdogThread::open(config.watchdog.as_ref(), pulse, over.clone());
    let watchdog = watchdog.map_err(|source| {
        let device = config.watchdog.as_ref().map(|config| &config.device);
        RunError::Watchdog {
            device: device.cloned().unwrap_or_default(),
            source,
        }
    })?;
    let started = Event::Started(Box::new(Started {
        version: header.version,
        engine: header.engine.clone(),
        pace: header.pace,
        files: live::hashes_of(loaded),
    }));
    let labels = inferencer.labels();
    let events = EventSink::start(&config.events).map_err(cannot_start("events"))?;
    let devices = (sources, outputs);
    let (mut pipeline, controls) =
        Pipeline::start(config, options, stop, devices, inferencer, plan, &beats)?;
    let watchdog = match watchdog {
        Some(watchdog) => Some(spawn("watchdog", move || watchdog.run())?),
        None => None,
    };
    let live = match (&options.follow, options.pace) {
        (Some(overrides), Pace::Realtime) => {
            let watched = live::watch(loaded, overrides, stop);
            let (news, thread) = watched.map_err(cannot_start("config-watch"))?;
            Some(Live::new(loaded, labels, controls, news, thread))
        }
        (None, _) | (Some(_), Pace::Asap) => None,
    };
    let mut supervisor = Supervisor {
        report,
        progress: Progress::new(total, options.progress),
        summary: Summary::default(),
        unjudged: Unjudged::default(),
        error: None,
        zone_names: names.zones,
        origin: pipeline.origin,
        asked_to_stop: false,
        live,
        events,
        day_clock: pipeline.day_clock.clone(),
        clock_looked_at: None,
    };
    supervisor.record(&started);
    supervisor.follow(&mut pipeline.events, stop);
    supervisor.asked_to_stop = stop.is_raised();
    stop.raise();
    let mut outcome = supervisor.close(pipeline);
    over.raise();
    if let Some(watchdog) = watchdog
        && watchdog.join().is_err()
    {
        outcome.error.get_or_insert(RunError::Thread {
            name: "watchdog",
            reason: "panicked".to_owned(),
        });
    }
    Ok(outcome)
}

fn cannot_start(name: &'static str) -> impl Fn(std::io::Error) -> RunError {
    move |error| RunError::Thread {
        name,
        reason: error.to_string(),
    }
}

/// The first line of the report.
fn header(
    loaded: &Loaded,
    pace: Pace,
    sources: &[Box<dyn FrameSource>; 2],
    inferencer: &Inferencer,
) -> Header {
    let config = &loaded.config;
    let inputs = StreamId::ALL.map(|stream| {
        let SourceInfo {
            name,
            description,
            size,
            frame_rate,
            ..
        } = sources[stream.index()].info().clone();
        InputEntry {
            stream: stream.name(),
            source: name,
            description,
            size: [size.width, size.height],
            fps: frame_rate,
        }
    });
    Header {
        version: env!("CARGO_PKG_VERSION"),
        engine: inferencer.engine_description().to_owned(),
        pace: match pace {
            Pace::Asap => "asap",
            Pace::Realtime => "realtime",
        },
        models: inferencer
            .models()
            .into_iter()
            .map(|(role, name, sha256)| ModelEntry { role, name, sha256 })
            .collect(),
        inputs: inputs.into(),
        zones: zone_entries(config),
        worker_threshold: f64::from(config.worker_safety.threshold.get()),
        inspection_threshold: f64::from(config.visual_inspection.threshold.get()),
        config_sha256: loaded.main.sha256.clone(),
        keepout_sha256: loaded.keepout.sha256.clone(),
    }
}

/// The signs of life of the threads without which the pipeline is dead.
#[derive(Debug, Default)]
struct Beats {
    capture: [Beat; 2],
    infer: Beat,
    decide: Beat,
}

impl Beats {
    fn by_name(&self) -> [(&'static str, Beat); 4] {
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
struct Pipeline {
    capture: [JoinHandle<CaptureOutcome>; 2],
    infer: JoinHandle<()>,
    decide: JoinHandle<DecideOutcome>,
    ui: Option<JoinHandle<UiFigures>>,
    events: Consumer<Event>,
    day_clock: DayClock,
    /// Instant of media time zero on the decision clock.
    origin: MonotonicTime,
    /// Usage of the process when everything was loaded and the first frame was about to come.
    started: (MonotonicTime, ProcessUsage),
}

impl Pipeline {
    fn start(
        config: &Config,
        options: &RunOptions,
        stop: &StopFlag,
        (sources, (output, field)): ([Box<dyn FrameSource>; 2], Outputs),
        inferencer: Inferencer,
        plan: Option<UiPlan>,
        beats: &Beats,
    ) -> Result<(Self, Controls), RunError> {
        let day_clock = DayClock::default();
        let updates = Latest::new(&Signal::new());
        let scrutiny = reference::scrutiny(&config.camera_checks)?;
        let (ui, snapshots) = match plan {
            Some(plan) => {
                let (ui, snapshots) = start_ui(plan, &updates)?;
                (Some(ui), Some(snapshots))
            }
            None => (None, None),
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
            ui: ui.is_some().then_some(updates),
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
            signal: found_signal,
            events: event_sender,
            snapshots,
            origin,
            stop: stop.clone(),
            beat: beats.decide.clone(),
            day_clock: day_clock.clone(),
        };
        let infer = InferThread {
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
        let [safety, inspection] = sources;
        let capture = |source, out: &Latest<Frame>, beat| CaptureThread {
            source,
            pace: options.pace,
            origin,
            pacer: Pacer::starting_at(origin),
            frames_max: options.frames,
            repeat: options.repeat,
            out: out.clone(),
            stop: stop.clone(),
            beat,
        };
        let [safety, inspection] = [
            capture(safety, &frames[0], beats.capture[0].clone()),
            capture(inspection, &frames[1], beats.capture[1].clone()),
        ];
        let pipeline = Self {
            decide: spawn("decide", move || decide.run())?,
            infer: spawn("infer", move || infer.run())?,
            capture: [
                spawn("capture-0", move || safety.run())?,
                spawn("capture-1", move || inspection.run())?,
            ],
            ui,
            events,
            day_clock,
            origin,
            started,
        };
        Ok((pipeline, controls))
    }
}

fn spawn<T: Send + 'static>(
    name: &'static str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, RunError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(cannot_start(name))
}

/// What is to be drawn; `None` where nobody looks.
fn ui_plan(
    config: &Config,
    options: &RunOptions,
    sources: &[Box<dyn FrameSource>; 2],
    inferencer: &Inferencer,
) -> Result<Option<UiPlan>, RunError> {
    let draw_all = match config.display.display {
        DisplayChoice::None => false,
        DisplayChoice::Headless => true,
        DisplayChoice::Kms => return Err(PictureError::NoKms.into()),
    };
    if !draw_all && options.record.is_none() && options.snapshots.is_empty() {
        return Ok(None);
    }
    let rates = sources.iter().filter_map(|source| source.info().frame_rate);
    let fastest = rates.fold(0.0, f64::max);
    Ok(Some(UiPlan {
        context: scene_context(config, sources, inferencer),
        size: config.display.size,
        record: options.record.clone(),
        snapshots: options.snapshots.clone(),
        frame_rate: if fastest > 0.0 {
            fastest.min(FILM_RATE_MAX)
        } else {
            FILM_RATE_DEFAULT
        },
        draw_all,
        pace: options.pace,
    }))
}

fn scene_context(
    config: &Config,
    sources: &[Box<dyn FrameSource>; 2],
    inferencer: &Inferencer,
) -> SceneContext {
    SceneContext {
        zones: config.zones.clone(),
        detector_labels: inferencer.detector_labels().to_vec(),
        classifier_labels: inferencer.classifier_labels().to_vec(),
        engine: inferencer.engine_description().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sources: [0, 1].map(|index: usize| short_name(&sources[index].info().name)),
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

/// Starts the ui thread and waits until it says that it can draw.
fn start_ui(
    plan: UiPlan,
    updates: &Latest<UiUpdate>,
) -> Result<(JoinHandle<UiFigures>, Latest<Snapshot>), RunError> {
    let mailbox = Latest::new(&Signal::new());
    let inbox = mailbox.clone();
    let (ready, started) = sync_channel(1);
    let updates = updates.clone();
    let thread = spawn("ui", move || ui_thread::run(plan, &inbox, &updates, &ready))?;
    match started.recv_timeout(UI_START_MAX) {
        Ok(Ok(())) => Ok((thread, mailbox)),
        Ok(Err(error)) => Err(error.into()),
        Err(RecvTimeoutError::Timeout) => Err(PictureError::NotReady {
            within: UI_START_MAX,
        }
        .into()),
        Err(RecvTimeoutError::Disconnected) => Err(RunError::Thread {
            name: "ui",
            reason: "died before it could draw".to_owned(),
        }),
    }
}

/// The main thread's part of a run: report, events, progress, figures, configuration.
#[derive(Debug)]
pub(super) struct Supervisor {
    report: Option<ReportWriter>,
    progress: Progress,
    summary: Summary,
    unjudged: Unjudged,
    error: Option<RunError>,
    pub(super) zone_names: Vec<String>,
    pub(super) origin: MonotonicTime,
    /// Whether a signal ended the run.
    asked_to_stop: bool,
    pub(super) live: Option<Live>,
    pub(super) events: Option<EventSink>,
    day_clock: DayClock,
    clock_looked_at: Option<MonotonicTime>,
}

impl Supervisor {
    /// Writes events to the report and shows progress until the decide thread ends.
    fn follow(&mut self, events: &mut Consumer<Event>, stop: &StopFlag) {
        let mut stopping = false;
        loop {
            if stop.is_raised() && !stopping {
                stopping = true;
                tell(&[NotifyState::Stopping]);
            }
            // Asked first: whatever was sent before the sender went is then still found below.
            let over = events.is_abandoned();
            while let Ok(event) = events.pop() {
                self.take(event);
            }
            self.write(ReportWriter::settle);
            if over {
                break;
            }
            self.look_after_configuration();
            self.look_at_the_clock();
            thread::sleep(EVENTS_WAIT);
        }
        self.progress.finish();
    }

    /// Once a second.
    fn look_at_the_clock(&mut self) {
        let now = monotonic_now();
        let due = self
            .clock_looked_at
            .is_none_or(|last| now.saturating_since(last) >= CLOCK_LOOK);
        if due {
            self.clock_looked_at = Some(now);
            self.day_clock.look(now);
        }
    }

    fn take(&mut self, event: Event) {
        self.record(&event);
        match event {
            Event::Decided(decided) => {
                if self.summary.streams.iter().all(|stream| stream.frames == 0) {
                    tell(&[NotifyState::Ready]);
                }
                let stream = &mut self.summary.streams[decided.meta.stream.index()];
                stream.record(&decided);
                if let Some(complaint) = self.unjudged.note(&decided, monotonic_now()) {
                    log::error!("{complaint}");
                }
                self.progress.frame();
                trace(&decided);
                self.write(|report| report.decided(&decided));
            }
            Event::Output(change) => self.output(change),
            Event::SelfTest { at, outcome } => {
                let since_start = at.saturating_since(self.origin);
                self.write(|report| report.self_test(since_start, outcome));
            }
            Event::State { at, state } => self.state(at, state),
            Event::LineLost { message, .. } => {
                log::error!("{message}; run permission OFF");
                self.fault(RunError::Line(message));
            }
            Event::ResetRefused { why, .. } => log::info!("reset refused: {why}"),
            Event::Configured { at, generation } => self.configured(at, generation),
            // Made by this thread itself.
            Event::Configuration(_) | Event::Started(_) | Event::Stopped(_) | Event::Lost(_) => {}
        }
    }

    fn state(&mut self, at: MonotonicTime, state: PermissionState) {
        let cause = state.cause();
        let cause = cause.map(|cause| cause.with_names(&self.zone_names).to_string());
        let words = match &cause {
            Some(cause) => format!("run permission: {} ({cause})", state.name()),
            None => format!("run permission: {}", state.name()),
        };
        tell(&[NotifyState::Status(&words)]);
        if let PermissionState::LockedOut(fault) = state {
            log::error!("locked out: {fault}");
        }
        let since_start = at.saturating_since(self.origin);
        self.write(|report| report.state(since_start, state.name(), cause.as_deref()));
    }

    fn output(&mut self, change: OutputChange) {
        let OutputChange { at, command, cause } = change;
        if command.output == OutputName::Heartbeat {
            // Ten lines a second would bury the others.
            return;
        }
        let cause_text = cause.with_names(&self.zone_names).to_string();
        if command.output == OutputName::RunPermission {
            if command.state == OutputState::Inactive && cause != Cause::Start {
                self.summary.trips += 1;
            }
            self.progress.permission(command.state, &cause_text);
        }
        if let Cause::RejectMissed(_) = cause {
            log::error!("{cause_text}; see docs/report.md, `parts`");
        }
        let since_start = at.saturating_since(self.origin);
        self.write(|report| report.output(since_start, command, &cause_text));
    }

    /// Writes to the report; the first failure is said and ends the report, not the run.
    pub(super) fn write(
        &mut self,
        write: impl FnOnce(&mut ReportWriter) -> Result<(), ReportError>,
    ) {
        let Some(report) = &mut self.report else {
            return;
        };
        if let Err(error) = write(report) {
            log::error!("{error}; the run goes on without a report");
            self.summary.faults.push(error.to_string());
            self.error.get_or_insert(error.into());
            self.report = None;
        }
    }

    /// Joins every thread, completes the figures and the report.
    fn close(mut self, pipeline: Pipeline) -> RunOutcome {
        for (stream, thread) in StreamId::ALL.into_iter().zip(pipeline.capture) {
            if let Some(outcome) = self.join("capture", thread) {
                self.summary.capture[stream.index()] = outcome.figures;
                if let Some(error) = outcome.error {
                    self.fault(error.into());
                }
            }
        }
        self.join("infer", pipeline.infer);
        if let Some(outcome) = self.join("decide", pipeline.decide) {
            self.summary.parts = outcome.parts;
            self.summary.events_dropped = outcome.events_dropped;
            self.summary.ticks_missed = outcome.ticks_missed;
            if let Some(error) = outcome.error {
                self.fault(RunError::Thread {
                    name: "decide",
                    reason: format!("no timer: {error}"),
                });
            }
        }
        if let Some(thread) = pipeline.ui
            && let Some(figures) = self.join("ui", thread)
        {
            self.summary.render = figures.render;
            self.summary.encode = figures.encode;
            self.summary.recorded = figures.recorded;
            for error in figures.faults {
                self.fault(error.into());
            }
        }
        if let Some(live) = self.live.take() {
            self.join("config-watch", live.into_thread());
        }
        self.own_up();
        self.close_events();
        let (started, usage) = pipeline.started;
        self.summary.usage = process_usage();
        self.summary.wall = monotonic_now().saturating_since(started);
        self.summary.pipeline_cpu = self.summary.usage.cpu.saturating_sub(usage.cpu);
        if let Some(report) = self.report.take()
            && let Err(error) = report.finish(&self.summary)
        {
            self.fault(error.into());
        }
        RunOutcome {
            summary: self.summary,
            error: self.error,
        }
    }

    /// The last event, and what is missing from the log.
    fn close_events(&mut self) {
        if self.summary.events_dropped > 0 {
            self.record(&Event::Lost(self.summary.events_dropped));
        }
        let reason = match (&self.error, self.asked_to_stop) {
            (Some(error), _) => StopReason::Failed(error.to_string()),
            (None, true) => StopReason::Signal,
            (None, false) => StopReason::InputsEnded,
        };
        self.record(&Event::Stopped(reason));
        let Some(events) = self.events.take() else {
            return;
        };
        let figures = events.close(EVENT_LOG_MAX);
        self.summary.events_lost = figures.lost;
        if figures.stalled {
            let text = "the event log's disk did not answer";
            log::error!("{text}; ending without it");
            self.summary.faults.push(text.to_owned());
        } else if figures.lost > 0 {
            let text = format!("{} events are missing from the event log", figures.lost);
            self.summary.faults.push(text);
        }
    }

    /// Waits for a thread, which was asked to end, but not for ever: one that hangs in a driver is
    /// left behind and ends with the process.
    fn join<T>(&mut self, name: &'static str, thread: JoinHandle<T>) -> Option<T> {
        let deadline = monotonic_now() + END_MAX;
        while !thread.is_finished() {
            if monotonic_now() > deadline {
                let reason = format!("does not end within {} s", END_MAX.as_secs());
                self.fault(RunError::Thread { name, reason });
                return None;
            }
            thread::sleep(EVENTS_WAIT);
        }
        match thread.join() {
            Ok(value) => Some(value),
            Err(panic) => {
                let reason = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("no message");
                let reason = format!("panicked: {reason}");
                self.fault(RunError::Thread { name, reason });
                None
            }
        }
    }

    /// Makes faults of what was lost on the way.
    fn own_up(&mut self) {
        for error in self.unjudged.errors() {
            self.fault(error.into());
        }
        let dropped = self.summary.events_dropped;
        if dropped > 0 {
            self.summary.faults.push(format!(
                "{dropped} events were dropped: their lines are missing from the report, frames and trips are undercounted"
            ));
        }
    }

    fn fault(&mut self, error: RunError) {
        self.summary.faults.push(error.to_string());
        self.error.get_or_insert(error);
    }
}

/// A line per frame, for `-vv`.
fn trace(decided: &Decided) {
    let (stream, frame) = (decided.meta.stream, decided.meta.sequence);
    let ms = decided.latency.as_secs_f64() * 1e3;
    match &decided.verdict {
        Verdict::Safety(verdict) => log::trace!(
            "{stream} frame {frame}: {} persons, {}, {ms:.1} ms",
            verdict.persons.len(),
            if verdict.occupied {
                "occupied"
            } else {
                "clear"
            },
        ),
        Verdict::Inspection(verdict) => {
            let items = verdict.items.len();
            log::trace!("{stream} frame {frame}: {items} parts, {ms:.1} ms");
        }
    }
}

/// Frames of both inputs together, where every input knows.
fn total_frames(options: &RunOptions, sources: &[Box<dyn FrameSource>; 2]) -> Option<u64> {
    let limit = options.frames.unwrap_or(u64::MAX);
    let frames = |source: &dyn FrameSource| match source.info().frames {
        Some(frames) if !options.repeat => Some(frames.min(limit)),
        Some(_) | None => options.frames,
    };
    Some(frames(sources[0].as_ref())? + frames(sources[1].as_ref())?)
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
