//! One run: opens everything, spawns the threads, writes the report, ends in order.

use std::path::PathBuf;

use super::board::Board;
use super::clash::{self, ClashError};
use super::event_thread::EventSink;
use super::gpu_preprocess;
use super::live::{self, Live};
use super::outputs::{Outputs, open_outputs};
use super::picture::{Part, Starting, opened};
use super::pipeline::{Beats, Pipeline, cannot_start, spawn};
use super::progress::Progress;
use super::reference::ReferenceFileError;
use super::report::{Header, InputEntry, ModelEntry, Names, Place, ReportError, zone_entries};
use super::summary::Summary;
use super::supervisor::{PictureEnd, Supervisor};
use super::ui_thread::{PictureError, SnapshotRequest};
use super::unjudged::{Unjudged, UnjudgedError};
use super::watchdog_thread::{Readiness, WatchdogThread};
use crate::capture::{self, CaptureError, FrameSource, SourceInfo};
use crate::config::{Config, InputSpec, Loaded, Overrides, Pace};
use crate::health::PipelinePulse;
use crate::inference::{InferenceError, Inferencer};
use crate::message::{Event, Started};
use crate::output::OutputError;
use crate::sys::{self, StopFlag};
use crate::ui::scene::Step;
use crate::units::StreamId;

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
    refuse_hurried_cameras(config, options.pace)?;
    // First of all: from here on every line is inactive.
    let outputs = open_outputs(config, options.pace)?;
    let _terminal = RestoredTerminal;
    let mut picture = Starting::begin(config, options)?;
    match open_parts(config, outputs, picture.as_mut()) {
        Ok(parts) => run_shown(loaded, options, stop, parts, picture),
        Err(error) => {
            if let Some(picture) = picture {
                picture.fail(&error, stop);
            }
            Err(error)
        }
    }
}

/// Opens cameras and models, and says to `picture` how far it has come.
fn open_parts(
    config: &Config,
    outputs: Outputs,
    mut picture: Option<&mut Starting>,
) -> Result<Parts, RunError> {
    let mut note = |part, step, detail| {
        if let Some(picture) = &mut picture {
            picture.note(part, step, detail);
        }
    };
    let mut open = |stream: StreamId| -> Result<_, RunError> {
        let part = Part::CAMERAS[stream.index()];
        note(part, Step::Starting, None);
        let source = capture::open_input(config, stream)?;
        let SourceInfo {
            name, description, ..
        } = source.info();
        let (step, said) = match source.down() {
            None => (Step::Ready, description.as_str()),
            Some(why) => (Step::Failed, why),
        };
        note(part, step, Some(format!("{name}: {said}")));
        Ok(source)
    };
    let sources = [
        open(StreamId::WorkerSafety)?,
        open(StreamId::VisualInspection)?,
    ];
    capture::refuse_one_camera_twice(config, &sources)?;
    note(Part::Models, Step::Starting, None);
    let mut inferencer = Inferencer::new(config)?;
    gpu_preprocess::attach(config, &mut inferencer);
    log::debug!("memory: {}", sys::use_huge_pages());
    let engine = inferencer.engine_description();
    note(Part::Models, Step::Ready, Some(engine));
    Ok(Parts {
        outputs,
        sources,
        inferencer,
    })
}

/// A camera has no media time that decisions could go by.
fn refuse_hurried_cameras(config: &Config, pace: Pace) -> Result<(), CaptureError> {
    let camera = StreamId::ALL.into_iter().find_map(|stream| {
        let (spec, _) = config.input(stream);
        match spec {
            InputSpec::Camera(path) => Some(path.clone()),
            InputSpec::Video(_) | InputSpec::Stills(_) | InputSpec::Pattern(_) => None,
        }
    });
    match (camera, pace) {
        (Some(path), Pace::Asap) => Err(CaptureError::NotAsap { path }),
        (Some(_), Pace::Realtime) | (None, _) => Ok(()),
    }
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
    let _terminal = RestoredTerminal;
    let picture = Starting::begin(&loaded.config, options)?;
    run_shown(loaded, options, stop, parts, picture)
}

fn run_shown(
    loaded: &Loaded,
    options: &RunOptions,
    stop: &StopFlag,
    parts: Parts,
    picture: Option<Starting>,
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
    let header = header(loaded, options.pace, &sources, &inferencer);
    let report = options.report.as_deref().map(Place::reserve).transpose()?;
    for check in config.camera_checks.switched_off() {
        log::warn!("camera_checks.{check} = false: a {check} camera goes unnoticed");
    }
    log::info!("engine: {}", inferencer.engine_description());
    let total = total_frames(options, &sources);
    let beats = Beats::default();
    let over = StopFlag::new();
    let pulse = PipelinePulse::new(beats.by_name());
    let readiness = Readiness::default();
    let watchdog = open_watchdog(config, pulse, readiness.clone(), &over)?;
    let started = Event::Started(Box::new(Started {
        version: header.version,
        engine: header.engine.clone(),
        pace: header.pace,
        files: live::hashes_of(loaded),
    }));
    let labels = inferencer.labels();
    let events = EventSink::start(&config.events).map_err(cannot_start("events"))?;
    let picture = match picture {
        Some(picture) => Some(picture.opened(opened(&sources, &inferencer))?),
        None => None,
    };
    // Last: where the picture or its film cannot be made, the report of the run before stays.
    let report = report.map(|place| place.begin(&header, names.clone()));
    let report = report.transpose()?;
    let devices = (sources, outputs);
    let (mut pipeline, controls) =
        Pipeline::start(config, options, stop, devices, inferencer, picture, &beats)?;
    let board = board(&pipeline, &header);
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
        readiness,
        progress: Progress::new(total, options.progress),
        summary: Summary::default(),
        unjudged: Unjudged::default(),
        error: None,
        zone_names: names.zones,
        origin: pipeline.origin,
        started_at: pipeline.started.0,
        asked_to_stop: false,
        live,
        events,
        day_clock: pipeline.day_clock.clone(),
        clock_looked_at: None,
        board,
        picture_end: PictureEnd::default(),
    };
    supervisor.record(&started);
    supervisor.follow(&mut pipeline, stop);
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

/// Takes the hardware watchdog where one is configured.
fn open_watchdog(
    config: &Config,
    pulse: PipelinePulse,
    readiness: Readiness,
    over: &StopFlag,
) -> Result<Option<WatchdogThread>, RunError> {
    let opened = WatchdogThread::open(config.watchdog.as_ref(), pulse, readiness, over.clone());
    opened.map_err(|source| {
        let device = config.watchdog.as_ref().map(|config| &config.device);
        RunError::Watchdog {
            device: device.cloned().unwrap_or_default(),
            source,
        }
    })
}

/// What the status pages show, where there is a picture.
fn board(pipeline: &Pipeline, header: &Header) -> Option<Board> {
    let ui = pipeline.ui.as_ref()?;
    let description = |index: usize| {
        let input = header.inputs.get(index);
        input.map_or_else(String::new, |input| input.description.clone())
    };
    let models = header.models.iter();
    let models = models.map(|model| (model.role.to_string(), model.name.to_string()));
    Some(Board::new(
        ui.status.clone(),
        [description(0), description(1)],
        pipeline.gauges.clone(),
        models.collect(),
        pipeline.conditions.clone(),
    ))
}

/// Puts the virtual terminal back when the run ends, however it ends: the ui thread, which does so
/// itself, may hang in a driver.
#[derive(Debug)]
struct RestoredTerminal;

impl Drop for RestoredTerminal {
    fn drop(&mut self) {
        crate::ui::kms::restore_terminal();
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
        engine: inferencer.engine_description(),
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

/// Frames of both inputs together, where every input knows.
fn total_frames(options: &RunOptions, sources: &[Box<dyn FrameSource>; 2]) -> Option<u64> {
    let limit = options.frames.unwrap_or(u64::MAX);
    let frames = |source: &dyn FrameSource| match source.info().frames {
        Some(frames) if !options.repeat => Some(frames.min(limit)),
        Some(_) | None => options.frames,
    };
    Some(frames(sources[0].as_ref())? + frames(sources[1].as_ref())?)
}
