//! `andon bench tpu`: what the Edge TPU driver costs, on a simulated device that takes as long as
//! Coral's pages say (feature `tpu-sim`).
//!
//! ```text
//! alone      one inference after the other: time over what the device needs, allocations
//! asap       detector, detector, classifier, the next begun before the last is finished
//! real time  two streams of 30 frames a second, one crop per pair of frames
//! ```
//!
//! The device runs on the machine's clock and in this thread, so what it costs to simulate it is in
//! every figure; it computes nothing. A device is *busy* from the header of an inference's first
//! stream to its completion.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use andon_tpu_sim::allocations;
use andon_tpu_sim::clock::RealClock;
use andon_tpu_sim::device::{Config as SimConfig, SimulatedEdgeTpu};
use andon_tpu_sim::execute::Inference;
use andon_tpu_sim::host::SimulatedHost;
use andon_tpu_sim::latency::{Latency, Speed};
use andon_tpu_sim::model::Model;
use andon_tpu_sim::pack::{Options, pack};
use andon_tpu_sim::registry::Registry;
use serde_json::{Value, json};

use super::models;
use super::report::millis;
use crate::config::Loaded;
use crate::health::{Latencies, LatencySummary};
use crate::sys::monotonic_now;
use crate::tpu::TpuError;
use crate::tpu::package::Package;
use crate::tpu::pool::{ModelId, Pool};
use crate::tpu::supervise::{Limits, Supervised};
use crate::tpu::usb::simulated::SimulatedUsb;
use crate::tpu::usb::transport::PortPath;
use crate::tpu::usb::{Usb, UsbOptions};
use crate::units::MonotonicTime;

const PORT: &str = "1-1";

/// Frames per second of each stream.
const FRAME_RATE: u32 = 30;

/// Goals: share of the time that the device is busy in `asap`, and time over what it needs.
const BUSY_GOAL: f64 = 0.95;
const OVERHEAD_GOAL: Duration = Duration::from_micros(300);

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct BenchTpuPlan {
    /// Length of each measurement.
    pub length: Duration,
    /// USB 2 instead of USB 3.
    pub usb2: bool,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchTpuError {
    /// A model cannot be used.
    #[error("model {path}: {reason}")]
    Model {
        /// Its file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The driver failed.
    #[error(transparent)]
    Tpu(#[from] TpuError),
    /// The driver broke the protocol.
    #[error("the driver broke the protocol: {0}")]
    Breach(String),
}

/// One inference after the other.
#[derive(Clone, Debug)]
struct Alone {
    model: String,
    /// From before it is submitted until its outputs are there.
    taken: LatencySummary,
    /// Of that, what the device did not need.
    over: LatencySummary,
    /// Per inference; `None` where nobody counts.
    allocations: Option<f64>,
}

/// A measurement of some length.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    inferences: u64,
    wall: Duration,
    busy: Duration,
    computing: Duration,
}

/// Figures of the bench.
#[derive(Clone, Debug)]
pub struct TpuFigures {
    device: String,
    alone: Vec<Alone>,
    asap: Span,
    real_time: Span,
    frames: [u64; 2],
    dropped: [u64; 2],
    /// From a frame's time to its detections, or its grade.
    latency: [LatencySummary; 2],
}

/// A model with tensors of its own.
#[derive(Debug)]
struct Loadout {
    name: String,
    model: ModelId,
    input: Vec<u8>,
    outputs: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Bench {
    host: SimulatedHost,
    pool: Pool,
    /// Detector, classifier.
    models: [Loadout; 2],
}

/// Measures the driver with the configured detector and classifier, which are packed where they are not
/// compiled.
///
/// # Errors
///
/// A model cannot be used, or the driver failed.
pub fn run_bench_tpu(loaded: &Loaded, plan: BenchTpuPlan) -> Result<TpuFigures, BenchTpuError> {
    let files = models::configured(&loaded.config);
    let mut bench = Bench::new(&files, plan.usb2)?;
    let device = bench.pool.description();
    let mut alone = Vec::new();
    for at in [0, 1] {
        alone.push(bench.alone(at, plan.length / 2)?);
    }
    let asap = bench.asap(plan.length)?;
    let ([safety, inspection], real_time) = bench.real_time(plan.length)?;
    if let [first, ..] = bench.host.violations().as_slice() {
        return Err(BenchTpuError::Breach(first.to_string()));
    }
    Ok(TpuFigures {
        device,
        alone,
        asap,
        real_time,
        frames: [safety.frames, inspection.frames],
        dropped: [safety.dropped, inspection.dropped],
        latency: [safety.latency.summary(), inspection.latency.summary()],
    })
}

/// A stream of frames, of which only the newest waits.
#[derive(Debug, Default)]
struct Stream {
    frames: u64,
    dropped: u64,
    /// The frame that waits, or is being judged.
    waiting: Option<MonotonicTime>,
    latency: Latencies,
}

impl Stream {
    /// Takes the frames that have come by now.
    fn arrive(&mut self, start: MonotonicTime, now: MonotonicTime) {
        loop {
            let at = start + Duration::from_secs(1) * number(self.frames) / FRAME_RATE;
            if at > now {
                return;
            }
            self.frames += 1;
            self.dropped += u64::from(self.waiting.replace(at).is_some());
        }
    }

    fn done(&mut self, frame: MonotonicTime) {
        self.latency.record(monotonic_now().saturating_since(frame));
    }
}

fn number(frames: u64) -> u32 {
    u32::try_from(frames).unwrap_or(u32::MAX)
}

impl Bench {
    fn new(files: &[PathBuf], usb2: bool) -> Result<Self, BenchTpuError> {
        let mut registry = Registry::default();
        let mut read = Vec::new();
        for path in files {
            read.push(compiled(path, &mut registry)?);
        }
        let mut device = SimulatedEdgeTpu::new(
            SimConfig {
                speed: if usb2 { Speed::High } else { Speed::Super },
                starts_in_dfu: false,
                latency: Latency::coral(),
                ..SimConfig::default()
            },
            registry,
        );
        // Outputs stay as they are: computing them would take time that the device does not need.
        let nothing = |_: &Inference<'_>, _: &mut [Vec<u8>]| Ok(());
        device.set_executor(Box::new(nothing));
        let host = SimulatedHost::new(RealClock::new());
        host.add(PORT, device);
        let usb = Usb::new(
            Box::new(SimulatedUsb::new(host.clone())),
            PortPath(PORT.to_owned()),
            UsbOptions::default(),
        );
        let mut pool = Pool::new(vec![Supervised::new(Box::new(usb), Limits::default())])?;
        pool.start(Duration::from_secs(10))?;
        let mut models = Vec::new();
        for (name, package) in read {
            let layers = &package.main;
            models.push(Loadout {
                input: vec![90; layers.inputs.iter().map(|l| l.actual_bytes()).sum()],
                outputs: layers
                    .outputs
                    .iter()
                    .map(|l| vec![0; l.actual_bytes()])
                    .collect(),
                model: pool.load(&Arc::new(package))?,
                name,
            });
        }
        let models = models.try_into();
        let models = models.map_err(|_other| TpuError::Unknown("pair of models"))?;
        Ok(Self { host, pool, models })
    }

    fn busy(&self) -> (Duration, Duration, u64) {
        let figures = self.host.with(PORT, |device, _| device.figures());
        let figures = figures.unwrap_or_default();
        (figures.busy, figures.computing, figures.inferences)
    }

    fn run(&mut self, at: usize) -> Result<(), TpuError> {
        let Loadout {
            model,
            input,
            outputs,
            ..
        } = &mut self.models[at];
        self.pool.run(*model, &[input.as_slice()], outputs)
    }

    /// One inference after the other.
    fn alone(&mut self, at: usize, length: Duration) -> Result<Alone, TpuError> {
        // Weights, and whatever is made once.
        for _ in 0..3 {
            self.run(at)?;
        }
        let [mut taken, mut over] = [Latencies::default(), Latencies::default()];
        let (mut allocated, mut runs) = (0, 0_u32);
        let until = monotonic_now() + length;
        while monotonic_now() < until {
            let (before, ..) = self.busy();
            let counted = allocations::count();
            let start = monotonic_now();
            self.run(at)?;
            let wall = monotonic_now().saturating_since(start);
            allocated += allocations::count() - counted;
            let (after, ..) = self.busy();
            taken.record(wall);
            over.record(wall.saturating_sub(after.saturating_sub(before)));
            runs += 1;
        }
        #[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
        let per_run = allocated as f64 / f64::from(runs.max(1));
        Ok(Alone {
            model: self.models[at].name.clone(),
            taken: taken.summary(),
            over: over.summary(),
            allocations: allocations::counts().then_some(per_run),
        })
    }

    fn span(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<(), TpuError>,
    ) -> Result<Span, TpuError> {
        let (busy, computing, inferences) = self.busy();
        let start = monotonic_now();
        work(self)?;
        let wall = monotonic_now().saturating_since(start);
        let (busy_now, computing_now, inferences_now) = self.busy();
        Ok(Span {
            inferences: inferences_now - inferences,
            wall,
            busy: busy_now.saturating_sub(busy),
            computing: computing_now.saturating_sub(computing),
        })
    }

    /// As fast as it goes: each inference is begun before the one before it is finished.
    fn asap(&mut self, length: Duration) -> Result<Span, TpuError> {
        self.span(|bench| {
            let until = monotonic_now() + length;
            let mut order = [0, 0, 1].into_iter().cycle();
            let mut begun = None;
            loop {
                let next = order.next().filter(|_| monotonic_now() < until);
                let submitted = match next {
                    Some(at) => {
                        let Loadout { model, input, .. } = &bench.models[at];
                        Some((at, bench.pool.submit(*model, &[input.as_slice()])?))
                    }
                    None => None,
                };
                if let Some((at, ticket)) = begun {
                    let Loadout { outputs, .. } = &mut bench.models[at];
                    bench.pool.finish(ticket, outputs)?;
                }
                if submitted.is_none() {
                    return Ok(());
                }
                begun = submitted;
            }
        })
    }

    /// Two streams, in step, which is the worst case; worker safety first.
    fn real_time(&mut self, length: Duration) -> Result<([Stream; 2], Span), TpuError> {
        let [mut safety, mut inspection] = [Stream::default(), Stream::default()];
        let span = self.span(|bench| {
            let start = monotonic_now();
            // A crop that is to be graded.
            let mut crop: Option<MonotonicTime> = None;
            loop {
                let now = monotonic_now();
                if now >= start + length {
                    return Ok(());
                }
                safety.arrive(start, now);
                inspection.arrive(start, now);
                if let Some(frame) = safety.waiting.take() {
                    bench.run(0)?;
                    safety.done(frame);
                } else if let Some(frame) = crop.take() {
                    bench.run(1)?;
                    inspection.done(frame);
                } else if let Some(frame) = inspection.waiting.take() {
                    bench.run(0)?;
                    crop = Some(frame);
                } else {
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
        })?;
        Ok(([safety, inspection], span))
    }
}

/// A model's name and package; one that is for the CPU is packed first.
fn compiled(path: &Path, registry: &mut Registry) -> Result<(String, Package), BenchTpuError> {
    let fail = |reason: String| BenchTpuError::Model {
        path: path.to_owned(),
        reason,
    };
    let mut bytes = std::fs::read(path).map_err(|error| fail(error.to_string()))?;
    let model = Model::read(&bytes).map_err(|error| fail(error.to_string()))?;
    if model.packages().next().is_none() {
        let packed = pack(&bytes, &Options::default());
        bytes = packed.map_err(|error| fail(error.to_string()))?.model;
    }
    let model = Model::read(&bytes).map_err(|error| fail(error.to_string()))?;
    let mut operators = model.graphs.into_iter().flat_map(|graph| graph.operators);
    let operator = operators.find(|operator| operator.package.is_some());
    let operator = operator.ok_or_else(|| fail("nothing in it is for an Edge TPU".to_owned()))?;
    let package = Package::from_custom_options(&operator.custom_options);
    let package = package.map_err(|error| fail(error.to_string()))?;
    if package.main.inputs.len() != 1 {
        return Err(fail("it has several inputs".to_owned()));
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    registry
        .add_bytes(&name, &bytes)
        .map_err(|error| fail(error.to_string()))?;
    Ok((name.into_owned(), package))
}

impl Span {
    fn share(&self, of: Duration) -> f64 {
        of.as_secs_f64() / self.wall.as_secs_f64().max(1e-9)
    }

    fn to_json(self) -> Value {
        json!({
            "inferences": self.inferences, "seconds": self.wall.as_secs_f64(),
            "busy": self.share(self.busy), "computing": self.share(self.computing),
        })
    }
}

/// The word for a goal.
const fn reached(is_reached: bool) -> &'static str {
    if is_reached { "reached" } else { "MISSED" }
}

impl TpuFigures {
    /// The figures as a table.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!("device: simulated, {}\n\n", self.device);
        let _ = writeln!(
            text,
            "{:<34} {:>9} {:>9} {:>9} {:>12}",
            "one at a time", "p50 ms", "p99 ms", "max ms", "allocations"
        );
        for alone in &self.alone {
            let [taken, over] = [alone.taken, alone.over];
            let counted = alone.allocations.map_or_else(
                || "not counted".to_owned(),
                |allocations| format!("{allocations:.2}"),
            );
            for (name, cost, counted) in [
                (alone.model.clone(), taken, counted.as_str()),
                ("  over the device's own time".to_owned(), over, ""),
            ] {
                let [p50, p99, max] = [cost.p50, cost.p99, cost.max].map(millis);
                let _ = writeln!(
                    text,
                    "{name:<34} {p50:>9.3} {p99:>9.3} {max:>9.3} {counted:>12}"
                );
            }
        }
        let _ = writeln!(
            text,
            "  goal: {:.1} ms over the device's time in the middle case, no allocation: {}",
            millis(OVERHEAD_GOAL),
            reached(self.overhead_reached())
        );
        for (name, span) in [("asap", self.asap), ("real time", self.real_time)] {
            let _ = writeln!(
                text,
                "\n{name}: {} inferences in {:.1} s, busy {:.1} %, computing {:.1} %",
                span.inferences,
                span.wall.as_secs_f64(),
                100.0 * span.share(span.busy),
                100.0 * span.share(span.computing),
            );
        }
        let _ = writeln!(
            text,
            "  goal: busy {:.0} % in asap: {}",
            100.0 * BUSY_GOAL,
            reached(self.asap.share(self.asap.busy) >= BUSY_GOAL)
        );
        for (name, at) in [("worker safety", 0), ("visual inspection", 1)] {
            let latency = self.latency[at];
            let [p50, p99, max] = [latency.p50, latency.p99, latency.max].map(millis);
            let _ = writeln!(
                text,
                "{name:<18} {} frames, {} dropped, latency p50 {p50:.1} p99 {p99:.1} max {max:.1} ms",
                self.frames[at], self.dropped[at]
            );
        }
        let _ = writeln!(
            text,
            "  goal: no frame dropped: {}",
            reached(self.dropped == [0, 0])
        );
        text
    }

    fn overhead_reached(&self) -> bool {
        self.alone.iter().all(|alone| {
            alone.over.p50 <= OVERHEAD_GOAL && alone.allocations.is_none_or(|count| count == 0.0)
        })
    }

    /// The figures as a JSON document.
    #[must_use]
    pub fn to_json(&self) -> String {
        let cost = |cost: LatencySummary| {
            json!({
                "count": cost.count, "p50_ms": millis(cost.p50), "p99_ms": millis(cost.p99),
                "max_ms": millis(cost.max),
            })
        };
        let alone: Vec<Value> = self
            .alone
            .iter()
            .map(|alone| {
                json!({
                    "model": alone.model, "taken": cost(alone.taken), "over": cost(alone.over),
                    "allocations": alone.allocations,
                })
            })
            .collect();
        let streams: Vec<Value> = [0, 1]
            .map(|at: usize| {
                json!({
                    "frames": self.frames[at], "dropped": self.dropped[at],
                    "latency": cost(self.latency[at]),
                })
            })
            .into();
        format!(
            "{:#}\n",
            json!({
                "device": self.device, "alone": alone, "asap": self.asap.to_json(),
                "real_time": self.real_time.to_json(), "streams": streams,
            })
        )
    }
}
