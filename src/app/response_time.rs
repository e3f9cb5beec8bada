//! `andon response-time`: how long from somebody stepping into a zone until the run permission is
//! OFF, on this machine, with the configured engine and load.
//!
//! Two pictures of the worker-safety input, one clear and one occupied, are played into the very
//! pipeline that `andon run` uses, at a camera's rate and in real time, while the inspection stream
//! runs beside it. Again and again, once the permission is ON, the person "steps in" at an instant
//! that has nothing to do with the frame clock: from then on frames show the occupied picture. The
//! time until the order OFF has reached the output is the response time, with everything in it that
//! this machine adds: waiting for the next frame, queueing, preprocessing, inference, the tick.
//!
//! Not in it: the camera's own exposure and transfer, and the machine's stopping time. Both are the
//! integrator's to add.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::decide_thread::TICK;
use super::gpu_preprocess;
use super::report::millis;
use super::run::{Parts, RunError, RunOptions, run_with};
use crate::capture::{self, CaptureError, Captured, FrameSource, SourceInfo};
use crate::config::{Config, Loaded, Pace};
use crate::decision::zones;
use crate::frame::{BufferPool, Frame};
use crate::health::{Latencies, LatencySummary, StreamMetrics};
use crate::inference::Inferencer;
use crate::message::{OutputChange, OutputName, OutputState, ZoneSet};
use crate::output::{OutputError, SimulatedOperator, SimulatedOutput, SwitchingOutput};
use crate::sys::{StopFlag, monotonic_now};
use crate::units::{MonotonicTime, StreamId};

/// Most frames of the input that are looked at for a clear and an occupied picture.
const SEARCH_MAX: u64 = 3000;

/// The simulated operator of the measurement presses this long after the zones became clear.
const RESET_AFTER: Duration = Duration::from_millis(250);

/// Frames between the permission coming ON and somebody stepping in.
const SETTLE_FRAMES: u64 = 5;

/// A trial that has shown no edge for this long is lost; the permission was OFF for another reason.
const TRIAL_MAX: Duration = Duration::from_secs(5);

/// Time above frame period and inference that the budget grants for everything else.
const ALLOWANCE: Duration = Duration::from_millis(10);

/// What is measured, and how often.
#[derive(Clone, Copy, Debug)]
pub struct ResponsePlan {
    /// How often somebody steps in.
    pub trials: u32,
    /// Frames per second of the camera that is played.
    pub frame_rate: f64,
    /// Time from the run permission OFF until the machine stands still.
    pub stopping_time: Duration,
    /// Walking speed, millimetres per second (ISO 13855: 1600, or 2000 for hands).
    pub approach_speed_mm_s: u32,
    /// Supplementary distance (ISO 13855's C), millimetres.
    pub supplement_mm: u32,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum ResponseError {
    /// The pipeline could not run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The input shows only one of the two.
    #[error(
        "the first {looked_at} frames of {input} show no {missing} picture: give a clip in which somebody walks into a stop zone, with --worker-safety-input"
    )]
    NoPicture {
        /// The input.
        input: String,
        /// Frames that were looked at.
        looked_at: u64,
        /// Clear or occupied.
        missing: &'static str,
    },
    /// The run permission did not go OFF, or never came ON.
    #[error(
        "only {measured} of {trials} trials gave an edge: the run permission was not ON or did not go; look at `andon run --report` with this configuration"
    )]
    TooFew {
        /// Trials with an edge.
        measured: u64,
        /// Trials asked for.
        trials: u32,
    },
}

/// What was measured.
#[derive(Debug)]
pub struct ResponseFigures {
    plan: ResponsePlan,
    engine: String,
    /// Stage, its distribution.
    stages: Vec<(&'static str, LatencySummary)>,
    total: LatencySummary,
    inference: LatencySummary,
    /// Trials that gave an edge.
    trials: u64,
}

/// Measures.
///
/// # Errors
///
/// The input has no clear or no occupied picture, the pipeline cannot run, or the permission did not
/// follow.
pub fn measure(loaded: &Loaded, plan: ResponsePlan) -> Result<ResponseFigures, ResponseError> {
    let config = &loaded.config;
    let mut inferencer = Inferencer::new(config).map_err(RunError::from)?;
    let [clear, occupied] = find_pictures(config, &mut inferencer)?;
    gpu_preprocess::attach(config, &mut inferencer);
    let engine = inferencer.engine_description();
    let stage = Stage::default();
    let stop = StopFlag::new();
    let source = SteppingIn::new(clear, occupied, plan, stage.clone(), stop.clone());
    let inspection =
        capture::open_input(config, StreamId::VisualInspection).map_err(RunError::from)?;
    let output = TimedOutput {
        output: SimulatedOutput::new(),
        stage: stage.clone(),
    };
    let operator = SimulatedOperator::new(Some(RESET_AFTER));
    let parts = Parts {
        sources: [Box::new(source), inspection],
        inferencer,
        outputs: (Box::new(output), Box::new(operator)),
    };
    let options = RunOptions {
        pace: Pace::Realtime,
        repeat: true,
        ..RunOptions::default()
    };
    let outcome = run_with(loaded, &options, &stop, parts)?;
    if let Some(error) = outcome.error {
        return Err(error.into());
    }
    let metrics = &outcome.summary.streams[StreamId::WorkerSafety.index()];
    figures(plan, engine, &stage.steps(), metrics)
}

fn figures(
    plan: ResponsePlan,
    engine: String,
    steps: &[Step],
    metrics: &StreamMetrics,
) -> Result<ResponseFigures, ResponseError> {
    let [mut sampling, mut reaction, mut total] = [(); 3].map(|()| Latencies::default());
    for step in steps {
        if let Some(edge) = step.edge {
            sampling.record(step.frame.saturating_since(step.at));
            reaction.record(edge.saturating_since(step.frame));
            total.record(edge.saturating_since(step.at));
        }
    }
    let total = total.summary();
    if total.count * 2 < u64::from(plan.trials) || total.count == 0 {
        return Err(ResponseError::TooFew {
            measured: total.count,
            trials: plan.trials,
        });
    }
    let inference = metrics.inference.summary();
    Ok(ResponseFigures {
        plan,
        engine,
        stages: vec![
            ("step → next frame", sampling.summary()),
            ("frame → OFF", reaction.summary()),
            ("  waiting for the engine", metrics.queued.summary()),
            ("  preprocessing", metrics.preprocess.summary()),
            ("  inference", inference),
        ],
        total,
        inference,
        trials: total.count,
    })
}

/// A clear and an occupied picture of the worker-safety input.
fn find_pictures(
    config: &Config,
    inferencer: &mut Inferencer,
) -> Result<[Frame; 2], ResponseError> {
    let stream = StreamId::WorkerSafety;
    let mut source = capture::open_input(config, stream).map_err(RunError::from)?;
    let (mut clear, mut occupied, mut looked_at) = (None, None, 0);
    while looked_at < SEARCH_MAX && (clear.is_none() || occupied.is_none()) {
        let next = capture::next_within(source.as_mut(), capture::CAMERA_WAIT_MAX);
        let Some(frame) = next.map_err(RunError::from)? else {
            break;
        };
        looked_at += 1;
        let found = inferencer.run(frame, monotonic_now);
        let threshold = config.worker_safety.threshold;
        let verdict = zones::judge(
            &config.zones,
            ZoneSet::default(),
            stream,
            threshold,
            &found.findings,
        );
        if verdict.failure.is_some() {
            continue;
        }
        if verdict.occupied {
            occupied.get_or_insert(found.frame);
        } else {
            clear.get_or_insert(found.frame);
        }
    }
    match (clear, occupied) {
        (Some(clear), Some(occupied)) => Ok([clear, occupied]),
        (clear, _) => Err(ResponseError::NoPicture {
            input: config.worker_safety.input.to_string(),
            looked_at,
            missing: if clear.is_none() { "clear" } else { "occupied" },
        }),
    }
}

/// Somebody stepping in.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// When.
    at: MonotonicTime,
    /// When the first frame that shows it was taken.
    frame: MonotonicTime,
    /// When the run permission went OFF.
    edge: Option<MonotonicTime>,
}

/// What the played camera and the output know of each other.
#[derive(Clone, Debug, Default)]
struct Stage(Arc<StageState>);

#[derive(Debug, Default)]
struct StageState {
    on: AtomicBool,
    steps: Mutex<Vec<Step>>,
}

impl Stage {
    fn with<R>(&self, look: impl FnOnce(&mut Vec<Step>) -> R) -> R {
        look(&mut self.0.steps.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_on(&self) -> bool {
        self.0.on.load(Ordering::Acquire)
    }

    fn steps(&self) -> Vec<Step> {
        self.with(|steps| steps.clone())
    }
}

/// The simulated output; notes when the run permission really went.
#[derive(Debug)]
struct TimedOutput {
    output: SimulatedOutput,
    stage: Stage,
}

impl SwitchingOutput for TimedOutput {
    fn apply(&mut self, change: &OutputChange) -> Result<(), OutputError> {
        self.output.apply(change)?;
        if change.command.output == OutputName::RunPermission {
            let now = monotonic_now();
            let on = change.command.state == OutputState::Active;
            let was_on = self.stage.0.on.swap(on, Ordering::AcqRel);
            if was_on && !on {
                self.stage.with(|steps| {
                    if let Some(step) = steps.last_mut().filter(|step| step.edge.is_none()) {
                        step.edge = Some(now);
                    }
                });
            }
        }
        Ok(())
    }
}

/// A camera in front of which somebody steps in and out. Keeps its own time, as a camera does.
#[derive(Debug)]
struct SteppingIn {
    info: SourceInfo,
    clear: Frame,
    occupied: Frame,
    plan: ResponsePlan,
    stage: Stage,
    stop: StopFlag,
    pool: BufferPool,
    /// When the first frame was asked for.
    start: Option<MonotonicTime>,
    index: u64,
    scene: Scene,
    trials: u32,
}

#[derive(Clone, Copy, Debug)]
enum Scene {
    /// Nobody there, and the permission ON for so many frames.
    Clear { on_for: u64 },
    /// Somebody stepped in at this instant.
    Occupied { since: MonotonicTime },
}

impl SteppingIn {
    fn new(
        clear: Frame,
        occupied: Frame,
        plan: ResponsePlan,
        stage: Stage,
        stop: StopFlag,
    ) -> Self {
        let info = SourceInfo {
            name: "response-time".to_owned(),
            description: "a clear and an occupied picture in turn".to_owned(),
            size: clear.size(),
            frame_rate: Some(plan.frame_rate),
            frames: None,
        };
        Self {
            info,
            clear,
            occupied,
            plan,
            stage,
            stop,
            pool: BufferPool::new(),
            start: None,
            index: 0,
            scene: Scene::Clear { on_for: 0 },
            trials: 0,
        }
    }

    /// An instant in the frame period before this frame: the golden ratio's multiples fill it evenly.
    fn instant_before(&self, frame: MonotonicTime) -> MonotonicTime {
        const GOLDEN: f64 = 0.618_033_988_749_895;
        let share = (f64::from(self.trials) * GOLDEN).fract();
        frame - Duration::from_secs_f64(share / self.plan.frame_rate)
    }

    /// What is in front of the camera at this frame.
    fn advance(&mut self, frame: MonotonicTime) {
        self.scene = match self.scene {
            Scene::Clear { .. } if !self.stage.is_on() => Scene::Clear { on_for: 0 },
            Scene::Clear { on_for } if on_for < SETTLE_FRAMES => {
                Scene::Clear { on_for: on_for + 1 }
            }
            Scene::Clear { .. } if self.trials >= self.plan.trials => {
                self.stop.raise();
                self.scene
            }
            Scene::Clear { .. } => {
                self.trials += 1;
                let since = self.instant_before(frame);
                self.stage.with(|steps| {
                    steps.push(Step {
                        at: since,
                        frame,
                        edge: None,
                    });
                });
                Scene::Occupied { since }
            }
            Scene::Occupied { since } => {
                let last = self.stage.with(|steps| steps.last().copied());
                let seen = last.is_some_and(|step| step.edge.is_some());
                if seen || frame.saturating_since(since) > TRIAL_MAX {
                    Scene::Clear { on_for: 0 }
                } else {
                    self.scene
                }
            }
        };
    }

    /// The picture, with the number of the frame written into its first pixels as a camera's noise
    /// would change them: a picture that stays the same to the last bit is a frozen one.
    fn draw(&mut self, media_time: Duration) -> Frame {
        let picture = match self.scene {
            Scene::Clear { .. } => &self.clear,
            Scene::Occupied { .. } => &self.occupied,
        };
        let format = *picture.format();
        let mut meta = picture.meta;
        meta.sequence = self.index;
        meta.media_time = media_time;
        let mut buffer = self.pool.take();
        for (index, plane) in buffer.prepare(&format).into_iter().enumerate() {
            let source = picture.plane(index);
            let rows = source.data.chunks(source.stride.max(1));
            let width = plane.len().checked_div(source.height).unwrap_or(0);
            for (to, from) in plane.chunks_exact_mut(width.max(1)).zip(rows) {
                to.copy_from_slice(&from[..to.len()]);
            }
            if index == 0 {
                for (to, byte) in plane.iter_mut().zip(self.index.to_le_bytes()) {
                    *to ^= byte & 0x0f;
                }
            }
        }
        Frame::new(meta, format, buffer, &mut self.pool)
    }
}

impl FrameSource for SteppingIn {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> Result<Captured, CaptureError> {
        let start = *self.start.get_or_insert_with(monotonic_now);
        #[allow(clippy::cast_precision_loss, reason = "frames of a measurement")]
        let media_time = Duration::from_secs_f64(self.index as f64 / self.plan.frame_rate);
        let due = start + media_time;
        if let Some(wait) = due.checked_since(monotonic_now()) {
            std::thread::sleep(wait);
        }
        self.advance(due);
        let frame = self.draw(media_time);
        self.index += 1;
        Ok(Captured::Frame(frame))
    }

    fn rewind(&mut self) -> Result<(), CaptureError> {
        Ok(())
    }
}

impl ResponseFigures {
    /// What p99 must not exceed: a frame period, the inference, and ten milliseconds.
    fn budget(&self) -> Duration {
        let period = Duration::from_secs_f64(1.0 / self.plan.frame_rate);
        period + self.inference.p99 + ALLOWANCE
    }

    /// Whether the 99th percentile keeps the budget.
    #[must_use]
    pub fn keeps_budget(&self) -> bool {
        self.total.p99 <= self.budget()
    }

    /// T of ISO 13855: the worst response time measured and the machine's stopping time.
    fn overall(&self) -> Duration {
        self.total.max + self.plan.stopping_time
    }

    /// S = K × T + C of ISO 13855, millimetres, rounded up.
    fn minimum_distance_mm(&self) -> u64 {
        let micrometres =
            u128::from(self.plan.approach_speed_mm_s) * self.overall().as_micros() / 1000;
        let millimetres = micrometres.div_ceil(1000);
        u64::try_from(millimetres)
            .unwrap_or(u64::MAX)
            .saturating_add(u64::from(self.plan.supplement_mm))
    }

    /// The figures as a table with the resulting distance.
    #[must_use]
    pub fn table(&self) -> String {
        let plan = &self.plan;
        let mut text = format!(
            "Response time of this machine: somebody steps in → run permission OFF (simulated line)\n\
             engine: {}; {} frames per second; tick {} ms; {} trials\n\n{:<30}{:>10}{:>10}{:>10}\n",
            self.engine,
            plan.frame_rate,
            TICK.as_millis(),
            self.trials,
            "",
            "p50 ms",
            "p99 ms",
            "worst ms"
        );
        let mut row = |name: &str, figures: &LatencySummary| {
            let [p50, p99, max] = [figures.p50, figures.p99, figures.max].map(millis);
            let _ = writeln!(text, "{name:<30}{p50:>10.1}{p99:>10.1}{max:>10.1}");
        };
        for (name, figures) in &self.stages {
            row(name, figures);
        }
        row("total", &self.total);
        let verdict = if self.keeps_budget() {
            "kept"
        } else {
            "EXCEEDED"
        };
        let _ = writeln!(
            text,
            "\nbudget for p99: frame period + inference + {} ms = {:.1} ms: {verdict}",
            ALLOWANCE.as_millis(),
            millis(self.budget())
        );
        let _ = writeln!(
            text,
            "\nMinimum distance, terms of ISO 13855: S = K × T + C = {} mm/s × {:.3} s + {} mm = {} mm\n\
             T is the worst response time measured ({:.1} ms) and the stopping time given ({:.1} ms). The camera's\n\
             exposure and transfer are not in it: add them. A figure for your risk assessment, not a proof.",
            plan.approach_speed_mm_s,
            self.overall().as_secs_f64(),
            plan.supplement_mm,
            self.minimum_distance_mm(),
            millis(self.total.max),
            millis(plan.stopping_time),
        );
        text
    }

    /// The figures as a JSON document.
    #[must_use]
    pub fn to_json(&self) -> String {
        let row = |figures: &LatencySummary| {
            json!({
                "p50_ms": millis(figures.p50), "p99_ms": millis(figures.p99),
                "max_ms": millis(figures.max),
            })
        };
        let stages: Vec<Value> = self
            .stages
            .iter()
            .map(|(name, figures)| json!({ "stage": name, "ms": row(figures) }))
            .collect();
        let document = json!({
            "engine": self.engine, "trials": self.trials, "fps": self.plan.frame_rate,
            "stages": stages, "total": row(&self.total), "budget_ms": millis(self.budget()),
            "keeps_budget": self.keeps_budget(),
            "minimum_distance_mm": self.minimum_distance_mm(),
        });
        format!("{document:#}\n")
    }
}
