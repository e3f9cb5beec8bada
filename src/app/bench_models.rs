//! `andon bench models`: the table to choose models by.
//!
//! Latencies on the CPU are measured here and now, with the product's engine and preprocessing. What an
//! Edge TPU would take is measured where one is there, else it is a published figure and marked as such.
//! Accuracies come from the models' cards. Memory on the chip is what the compiled file says where it is
//! here, else what the list says of it, else an estimate from the file's size.
//!
//! Compared are the models of the configured list, those fetched, and the configured ones where they are
//! files outside the list.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::report::millis;
use super::run::RunError;
use crate::capture;
use crate::config::{Config, EngineChoice, EngineConfig, Loaded, ModelRef};
use crate::health::Latencies;
use crate::inference::{
    self, InferenceError, ListedAccuracy, ListedModel, ListedTpu, ModelInfo, Registry, Trial,
    known_picture,
};
use crate::sys::monotonic_now;
use crate::units::{Score, StreamId};

mod table;

/// Bytes on the chip for each byte of an int8 file, at most: what the compiler made of the 25 models of
/// 0.5 to 3.7 MB for which Coral publishes both files is 0.96 to 1.105.
const ON_CHIP_SHARE_MAX: f64 = 1.11;

/// Parameters of two models that fit beside each other: the published log of Coral's pair says 4.89 and
/// 2.74 MiB of 8 with nothing left, instructions and scratch memory take the rest.
const ON_CHIP_BYTES_OF_TWO: u64 = 8_000_000;

/// Frames per second of a camera that does not say its rate.
const CAMERA_FPS: f64 = 30.0;

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BenchModelsPlan {
    /// Inferences per model and number of threads.
    pub runs: u32,
    /// Parts per inspection frame.
    pub crops: f64,
}

/// A model's row.
#[derive(Clone, Debug)]
pub struct ModelRow {
    name: String,
    task: String,
    training_set: Option<String>,
    /// Height, width.
    input: [usize; 2],
    bytes: u64,
    on_chip: OnChip,
    cpu: Vec<CpuCost>,
    /// Why there is no cost on the CPU.
    cpu_reason: Option<String>,
    tpu: Option<TpuCost>,
    accuracy: Option<ListedAccuracy>,
}

/// One inference on the CPU: the engine's own time, and preprocessing from a 320×320 picture; medians.
#[derive(Clone, Copy, Debug)]
struct CpuCost {
    threads: u8,
    inference: Duration,
    preprocess: Duration,
    /// The fastest inference: far below the median where the machine had other things to do.
    fastest: Duration,
}

/// A median this many times the fastest says more about the machine's other work than about the model.
const BUSY: u32 = 2;

impl CpuCost {
    fn disturbed(&self) -> bool {
        self.inference > self.fastest * BUSY
    }
}

/// One inference on an Edge TPU.
#[derive(Clone, Debug)]
struct TpuCost {
    milliseconds: f64,
    /// `None`: measured here.
    published: Option<String>,
}

/// Parameters on the chip and streamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OnChip {
    bytes: u64,
    streamed_bytes: u64,
    estimate: bool,
    /// The parameter caching token, where the compiled file is here.
    token: Option<u64>,
}

/// Whether the parameters of two models lie on the chip beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fits {
    Yes,
    /// Some would be streamed with every inference.
    No,
    /// Each alone would, but they were compiled apart: they evict each other.
    Apart,
}

/// A detector and a classifier on the configured cameras.
#[derive(Clone, Debug)]
pub struct PairRow {
    detector: String,
    classifier: String,
    on_chip: OnChip,
    fits: Fits,
    inferences_per_second: f64,
    /// Share of one core's, and of one Edge TPU's, time.
    cpu_load: Option<f64>,
    tpu_load: Option<TpuLoad>,
}

#[derive(Clone, Copy, Debug)]
struct TpuLoad {
    share: f64,
    published: bool,
}

/// A camera's rate, and whether it said so itself.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rate {
    fps: f64,
    assumed: bool,
}

/// The whole table.
#[derive(Clone, Debug)]
pub struct ModelsTable {
    engine: String,
    rates: [Rate; 2],
    crops: f64,
    models: Vec<ModelRow>,
    pairs: Vec<PairRow>,
}

/// A model as the list knows it.
struct Candidate {
    name: String,
    /// The folder of its list.
    directory: PathBuf,
    /// The file that the CPU runs.
    cpu: Option<ModelRef>,
    /// The compiled file, where it is there.
    compiled: Option<ModelRef>,
    listed: Facts,
}

#[derive(Clone, Default)]
struct Facts {
    training_set: Option<String>,
    accuracy: Option<ListedAccuracy>,
    tpu: Option<ListedTpu>,
}

impl Facts {
    fn of(model: &ListedModel) -> Self {
        Self {
            training_set: model.training_set.clone(),
            accuracy: model.accuracy.clone(),
            tpu: model.tpu.clone(),
        }
    }
}

/// Measures every model of the configured list that is here, and the configured ones outside it.
///
/// # Errors
///
/// The list cannot be read, or a listed model cannot be loaded.
pub fn measure(loaded: &Loaded, plan: BenchModelsPlan) -> Result<ModelsTable, RunError> {
    let config = &loaded.config;
    let registry = Registry::read(&config.models.directory)?;
    let mut listed = candidates(&registry);
    let configured = [&config.models.detector, &config.models.classifier];
    for file in configured.into_iter().filter_map(file_of) {
        if !listed.iter().any(|known| known.has(&registry, file)) {
            listed.push(outside(file));
        }
    }
    let mut models = Vec::new();
    for candidate in listed {
        log::info!("model {}", candidate.name);
        if let Some(row) = row(config, candidate, plan.runs)? {
            models.push(row);
        }
    }
    let rates = [
        rate(config, StreamId::WorkerSafety),
        rate(config, StreamId::VisualInspection),
    ];
    let pairs = pairs(&models, rates, plan.crops);
    let threads = cpu_config(1);
    Ok(ModelsTable {
        engine: inference::engine(&threads, &mut [])?
            .description()
            .into_owned(),
        rates,
        crops: plan.crops,
        models,
        pairs,
    })
}

/// What is listed, shipped or fetched: one entry for each network.
fn candidates(registry: &Registry) -> Vec<Candidate> {
    let directory = registry.directory();
    let shipped = registry.models().iter().map(|model| Candidate {
        name: model.name.clone(),
        directory: directory.to_owned(),
        cpu: Some(ModelRef::Named(model.name.clone())),
        compiled: compiled_beside(&directory.join(&model.file)).map(ModelRef::File),
        listed: Facts::of(model),
    });
    let mut found: Vec<Candidate> = shipped.collect();
    let names: BTreeSet<&str> = registry
        .downloads()
        .iter()
        .map(|file| file.name.as_str())
        .collect();
    for name in names {
        let of_role = |role: &str| {
            let mut files = registry.downloads().iter();
            files.find(|file| file.name == name && file.role == role)
        };
        let here = |role: &str| {
            let path = of_role(role).and_then(|file| inference::downloaded(registry, file));
            path.map(ModelRef::File)
        };
        let listed = of_role("edgetpu").map_or_else(Facts::default, |file| Facts {
            training_set: file.training_set.clone(),
            accuracy: file.accuracy.clone(),
            tpu: file.tpu.clone(),
        });
        found.push(Candidate {
            name: name.to_owned(),
            directory: directory.to_owned(),
            cpu: here("cpu"),
            compiled: here("edgetpu"),
            listed,
        });
    }
    found
}

impl Candidate {
    /// Whether it is that file, or was compiled to it; names are the list's.
    fn has(&self, list: &Registry, file: &Path) -> bool {
        let of_name = |name: &str| {
            let model = list.models().iter().find(|model| model.name == *name)?;
            Some(list.directory().join(&model.file))
        };
        let path = |model: &ModelRef| match model {
            ModelRef::File(path) => Some(path.clone()),
            ModelRef::Named(name) => of_name(name),
        };
        let same = |path: PathBuf| match (path.canonicalize(), file.canonicalize()) {
            (Ok(one), Ok(other)) => one == other,
            (Err(_), _) | (_, Err(_)) => path == file,
        };
        let known = self.cpu.iter().chain(&self.compiled);
        known.filter_map(path).any(same)
    }
}

fn file_of(model: &ModelRef) -> Option<&Path> {
    match model {
        ModelRef::File(path) => Some(path),
        ModelRef::Named(_) => None,
    }
}

/// What the compiler calls `x.tflite`, `x_edgetpu.tflite`, if it is there.
fn compiled_beside(file: &Path) -> Option<PathBuf> {
    let stem = file.file_stem()?.to_string_lossy();
    let compiled = file.with_file_name(format!("{stem}_edgetpu.tflite"));
    compiled.is_file().then_some(compiled)
}

/// A configured file that no list has, with its other form beside it and what its own card says.
fn outside(file: &Path) -> Candidate {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let (name, cpu, compiled) = match stem.strip_suffix("_edgetpu") {
        Some(name) => {
            let original = file.with_file_name(format!("{name}.tflite"));
            let original = original.is_file().then_some(original);
            (name, original, Some(file.to_owned()))
        }
        None => (&*stem, Some(file.to_owned()), compiled_beside(file)),
    };
    let directory = file.parent().unwrap_or_else(|| Path::new("")).to_owned();
    let card = Registry::read(&directory).ok();
    let listed = card.and_then(|card| {
        let original = format!("{name}.tflite");
        let mut models = card.models().iter();
        models.find(|model| model.file == original).map(Facts::of)
    });
    Candidate {
        name: name.to_owned(),
        directory,
        cpu: cpu.map(ModelRef::File),
        compiled: compiled.map(ModelRef::File),
        listed: listed.unwrap_or_default(),
    }
}

/// A row; `None` where no file of the model is here.
fn row(
    config: &Config,
    candidate: Candidate,
    runs: u32,
) -> Result<Option<ModelRow>, InferenceError> {
    let Candidate {
        name,
        directory,
        cpu,
        compiled,
        listed,
    } = candidate;
    let Some(any) = cpu.as_ref().or(compiled.as_ref()) else {
        log::info!("{name}: not here (andon models fetch coral)");
        return Ok(None);
    };
    let directory = directory.as_path();
    let file = inference::load_model(directory, any)?;
    let bytes = file.bytes.len() as u64;
    let (input, outputs) = (file.graph.inputs(), file.graph.outputs().len());
    let side = |axis: usize| {
        let shape = input.first().map(|tensor| tensor.shape.as_slice());
        shape
            .and_then(|shape| shape.get(axis))
            .copied()
            .unwrap_or_default()
    };
    let row = ModelRow {
        task: if outputs == 1 {
            "classification"
        } else {
            "detection"
        }
        .to_owned(),
        training_set: listed.training_set,
        input: [side(1), side(2)],
        bytes,
        on_chip: compiled
            .as_ref()
            .and_then(file_of)
            .and_then(in_compiled)
            .unwrap_or_else(|| on_chip(bytes, listed.tpu.as_ref())),
        cpu: match &cpu {
            Some(model) => cpu_costs(directory, config, model, runs)?,
            None => Vec::new(),
        },
        cpu_reason: cpu
            .is_none()
            .then(|| "only the compiled file is here".to_owned()),
        tpu: tpu_cost(directory, compiled.as_ref(), listed.tpu.as_ref(), runs),
        accuracy: listed.accuracy,
        name,
    };
    Ok(Some(row))
}

/// What a compiled file says itself; one that cannot be read is named in the log.
fn in_compiled(file: &Path) -> Option<OnChip> {
    let info = ModelInfo::read(file).inspect_err(|error| log::warn!("{error}"));
    let memory = info.ok()?.chip_memory()?;
    Some(OnChip {
        bytes: memory.cached_bytes,
        streamed_bytes: memory.streamed_bytes,
        estimate: false,
        token: Some(memory.token.0),
    })
}

fn on_chip(bytes: u64, listed: Option<&ListedTpu>) -> OnChip {
    if let Some(ListedTpu {
        on_chip_bytes: Some(bytes),
        streamed_bytes,
        ..
    }) = listed
    {
        return OnChip {
            bytes: *bytes,
            streamed_bytes: streamed_bytes.unwrap_or_default(),
            estimate: false,
            token: None,
        };
    }
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes of model files, far below 2^53"
    )]
    let bytes = (bytes as f64 * ON_CHIP_SHARE_MAX) as u64;
    OnChip {
        bytes,
        streamed_bytes: 0,
        estimate: true,
        token: None,
    }
}

fn cpu_config(threads: u8) -> EngineConfig {
    EngineConfig {
        engine: EngineChoice::Cpu,
        threads,
        ..EngineConfig::default()
    }
}

/// With one thread, with the configured number, and with one for each core.
fn cpu_costs(
    directory: &Path,
    config: &Config,
    model: &ModelRef,
    runs: u32,
) -> Result<Vec<CpuCost>, InferenceError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = u8::try_from(cores.min(16)).unwrap_or(1);
    let counts = BTreeSet::from([1, config.engine.threads.max(1), cores]);
    let cost = |threads: u8| {
        let times = time(directory, model, &cpu_config(threads), runs)?;
        Ok(CpuCost {
            threads,
            inference: times.inference,
            preprocess: times.preprocess,
            fastest: times.fastest,
        })
    };
    counts.into_iter().map(cost).collect()
}

/// Measured where a compiled file and an Edge TPU are here, else published.
fn tpu_cost(
    directory: &Path,
    compiled: Option<&ModelRef>,
    listed: Option<&ListedTpu>,
    runs: u32,
) -> Option<TpuCost> {
    let device = EngineConfig {
        engine: EngineChoice::EdgeTpu,
        threads: 1,
        ..EngineConfig::default()
    };
    if let Some(model) = compiled {
        match time(directory, model, &device, runs) {
            Ok(times) => {
                return Some(TpuCost {
                    milliseconds: millis(times.inference),
                    published: None,
                });
            }
            Err(error) => log::info!("not measured on an Edge TPU: {error}"),
        }
    }
    let listed = listed?;
    Some(TpuCost {
        milliseconds: listed.published_ms?,
        published: Some(
            listed
                .source
                .clone()
                .unwrap_or_else(|| "source not stated".to_owned()),
        ),
    })
}

/// Medians, and the fastest inference.
struct Times {
    inference: Duration,
    preprocess: Duration,
    fastest: Duration,
}

fn time(
    directory: &Path,
    model: &ModelRef,
    engine: &EngineConfig,
    runs: u32,
) -> Result<Times, InferenceError> {
    let mut files = [inference::load_model(directory, model)?];
    let engine = inference::engine(engine, &mut files)?;
    let [file] = files;
    let mut trial = Trial::load(file, engine.as_ref())?;
    let frame = known_picture()?;
    let [mut inference, mut preprocess] = [(); 2].map(|()| Latencies::default());
    let mut fastest = Duration::MAX;
    for _ in 0..runs {
        let (_, timing) = trial.run(&frame, Score::percent(40), monotonic_now)?;
        inference.record(timing.inference);
        preprocess.record(timing.preprocess);
        fastest = fastest.min(timing.inference);
    }
    Ok(Times {
        inference: inference.summary().p50,
        preprocess: preprocess.summary().p50,
        fastest,
    })
}

/// What the input says of its rate. One that cannot be opened now is a camera that is not here.
fn rate(config: &Config, id: StreamId) -> Rate {
    let said = match capture::open_input(config, id) {
        Ok(source) => source.info().frame_rate,
        Err(error) => {
            log::warn!("{id}: {error}; {CAMERA_FPS} frames per second are assumed");
            None
        }
    };
    Rate {
        fps: said.unwrap_or(CAMERA_FPS),
        assumed: said.is_none(),
    }
}

/// Every detector with every classifier.
fn pairs(models: &[ModelRow], rates: [Rate; 2], crops: f64) -> Vec<PairRow> {
    let of_task = |task: &'static str| models.iter().filter(move |model| model.task == task);
    let pair = |detector: &ModelRow, classifier: &ModelRow| {
        let [safety, inspection] = rates.map(|rate| rate.fps);
        let detections = safety + inspection;
        let grades = inspection * crops;
        let share =
            |detector: f64, classifier: f64| (detections * detector + grades * classifier) / 1000.0;
        let on_chip = together(detector.on_chip, classifier.on_chip);
        PairRow {
            detector: detector.name.clone(),
            classifier: classifier.name.clone(),
            fits: fits(detector.on_chip, classifier.on_chip),
            on_chip,
            inferences_per_second: detections + grades,
            cpu_load: detector
                .one_thread()
                .zip(classifier.one_thread())
                .map(|(detector, classifier)| share(detector, classifier)),
            tpu_load: detector.tpu.as_ref().zip(classifier.tpu.as_ref()).map(
                |(detector, classifier)| TpuLoad {
                    share: share(detector.milliseconds, classifier.milliseconds),
                    published: detector.published.is_some() || classifier.published.is_some(),
                },
            ),
        }
    };
    of_task("detection")
        .flat_map(|detector| of_task("classification").map(move |other| pair(detector, other)))
        .collect()
}

fn together(one: OnChip, other: OnChip) -> OnChip {
    OnChip {
        bytes: one.bytes + other.bytes,
        streamed_bytes: one.streamed_bytes + other.streamed_bytes,
        estimate: one.estimate || other.estimate,
        token: one.token.filter(|_| one.token == other.token),
    }
}

fn fits(one: OnChip, other: OnChip) -> Fits {
    let both = together(one, other);
    if both.streamed_bytes > 0 || both.bytes > ON_CHIP_BYTES_OF_TWO {
        return Fits::No;
    }
    match (one.token, other.token) {
        (Some(one), Some(other)) if one != other || one == 0 => Fits::Apart,
        _ => Fits::Yes,
    }
}

impl ModelRow {
    /// Milliseconds of preprocessing and inference on one thread.
    fn one_thread(&self) -> Option<f64> {
        let cost = self.cpu.iter().find(|cost| cost.threads == 1)?;
        Some(millis(cost.inference + cost.preprocess))
    }
}

#[cfg(test)]
#[path = "bench_models/tests.rs"]
mod tests;
