//! The keys of `andon.toml`, their ranges and defaults, with the command line laid over them.
//!
//! `config/andon.toml` documents every key for integrators; a test keeps its values and the
//! defaults here the same.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::DeTable;

use super::camera;
use super::camera_checks::{self, CameraChecksConfig};
use super::error::{Origin, Problems};
use super::input::{has_extension, resolve};
use super::kiosk::{self, ScreenResetKey};
use super::source::Source;
use super::table::{Table, fit_text, share};
use super::{
    DisplayChoice, DisplayConfig, EngineChoice, EngineConfig, EventSync, EventsConfig, GradeAction,
    InputSpec, ModelRef, ModelsConfig, OnTpuLoss, OutputConfig, Overrides, PreprocessChoice,
    Restart, SafetyConfig, TpuClock, VisualInspectionConfig, WatchdogConfig, WorkerSafetyConfig,
};
use crate::geometry::Size;
use crate::units::Score;

/// Most characters of a path.
pub(super) const PATH_MAX: usize = 1024;
/// Most characters of a model's or a label's name.
const NAME_MAX: usize = 64;

/// Smallest and largest edge of the picture, pixels: what the film's encoder takes and what every
/// GLES 3.0 implementation of the target boards renders to (2160p).
const PICTURE_MIN: u32 = 64;
const PICTURE_MAX: u32 = 3840;

const THREADS_MAX: u8 = 16;

/// `andon.toml` and the command line together. A missing part has been noted as a problem.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) keepout: PathBuf,
    pub(super) worker_safety: Option<WorkerSafetyConfig>,
    pub(super) visual_inspection: Option<VisualInspectionConfig>,
    pub(super) safety: SafetyConfig,
    pub(super) camera_checks: CameraChecksConfig,
    pub(super) models: Option<ModelsConfig>,
    pub(super) engine: EngineConfig,
    pub(super) output: OutputConfig,
    pub(super) events: EventsConfig,
    pub(super) display: DisplayConfig,
    /// Whether `display` asks for a reset button on the screen.
    pub(super) screen_reset: ScreenResetKey,
    pub(super) watchdog: Option<WatchdogConfig>,
}

/// What every section needs.
struct Context<'a> {
    /// Folder of the file: relative paths in it start there.
    base: &'a Path,
    overrides: &'a Overrides,
    problems: &'a Problems,
}

/// Reads every section of a parsed `andon.toml`.
pub(super) fn read(
    source: &Source,
    parsed: &Spanned<DeTable<'_>>,
    overrides: &Overrides,
    problems: &Problems,
) -> Settings {
    let context = Context {
        base: source.path().parent().unwrap_or(Path::new("")),
        overrides,
        problems,
    };
    let mut top = Table::top(source, parsed, problems);
    let keepout = keepout(top.table("keepout"), &context);
    let (worker_safety, worker_origin) = worker_safety(top.table("worker_safety"), &context);
    let (visual_inspection, inspection_origin) =
        visual_inspection(top.table("visual_inspection"), &context);
    let safety = safety(top.table("safety"));
    let camera_checks = camera_checks::read(top.table("camera_checks"), context.base);
    let models = models(top.table("models"), &context);
    let engine = engine(top.table("engine"), &context);
    let (display, screen_reset) = display(top.table("display"), &context);
    let output = super::output::read(top.table("output"), safety.restart, &screen_reset);
    kiosk::check_reset(&screen_reset, &display, &output, problems);
    let events = events(top.table("events"), &context);
    let watchdog = watchdog(top.table("watchdog"));
    top.finish();
    if let (Some(one), Some(other)) = (&worker_safety, &visual_inspection) {
        let origins = (worker_origin, inspection_origin);
        refuse_one_camera_twice(&one.input, &other.input, origins, problems);
    }
    Settings {
        keepout,
        worker_safety,
        visual_inspection,
        safety,
        camera_checks,
        models,
        engine,
        output,
        events,
        display,
        screen_reset,
        watchdog,
    }
}

fn keepout(mut table: Table<'_>, context: &Context<'_>) -> PathBuf {
    let file = table.text("file", PATH_MAX);
    table.finish();
    context
        .overrides
        .keepout
        .clone()
        .unwrap_or_else(|| resolve(file.as_deref().unwrap_or("keepout.toml"), context.base))
}

/// The source of frames that counts, and where it is written.
fn input(
    table: &mut Table<'_>,
    flag: &'static str,
    given: Option<&String>,
    context: &Context<'_>,
) -> (Option<InputSpec>, Origin) {
    let written = table.has("input");
    let own = table.text("input", PATH_MAX);
    let from_file = own.and_then(|text| match InputSpec::parse(&text, context.base) {
        Ok(spec) => Some(spec),
        Err(error) => {
            table.wrong("input", &error.to_string());
            None
        }
    });
    let Some(text) = given else {
        if !written {
            let help = format!(
                "write input = \"file.mp4\", a folder of stills, \"/dev/videoN\" or \"pattern:NAME\", or give {flag}"
            );
            table.missing("input", &help);
        }
        return (from_file, table.origin_of("input"));
    };
    let spec = InputSpec::parse(text, Path::new(""));
    let spec = spec.map_err(|error| {
        context.problems.add(Origin::Flag(flag), error.to_string());
    });
    (spec.ok(), Origin::Flag(flag))
}

/// A threshold of the file, or of the command line where it is given.
fn threshold(
    table: &mut Table<'_>,
    flag: &'static str,
    given: Option<f64>,
    default: Score,
    context: &Context<'_>,
) -> Score {
    let own = table.share("threshold");
    let given = given.and_then(|value| {
        let score = share(value);
        if score.is_none() {
            let message = format!("{value} is not a threshold; it must be a number from 0 to 1");
            context.problems.add(Origin::Flag(flag), message);
        }
        score
    });
    given.or(own).unwrap_or(default)
}

fn worker_safety(
    mut table: Table<'_>,
    context: &Context<'_>,
) -> (Option<WorkerSafetyConfig>, Origin) {
    let overrides = context.overrides;
    let given = overrides.worker_safety_input.as_ref();
    let (input, origin) = input(&mut table, "--worker-safety-input", given, context);
    let threshold = threshold(
        &mut table,
        "--worker-threshold",
        overrides.worker_threshold,
        WorkerSafetyConfig::THRESHOLD_DEFAULT,
        context,
    );
    let person_label = table.text("person_label", NAME_MAX);
    let camera = camera::read(table.table("camera"));
    table.finish();
    let config = input.map(|input| WorkerSafetyConfig {
        input,
        camera,
        threshold,
        person_label: person_label.unwrap_or_else(|| "person".to_owned()),
    });
    (config, origin)
}

fn visual_inspection(
    mut table: Table<'_>,
    context: &Context<'_>,
) -> (Option<VisualInspectionConfig>, Origin) {
    let overrides = context.overrides;
    let given = overrides.visual_inspection_input.as_ref();
    let (input, origin) = input(&mut table, "--visual-inspection-input", given, context);
    let threshold = threshold(
        &mut table,
        "--inspection-threshold",
        overrides.inspection_threshold,
        VisualInspectionConfig::THRESHOLD_DEFAULT,
        context,
    );
    let part_labels = table.texts("part_labels", NAME_MAX);
    let crop_margin = table.share("crop_margin");
    let grade_threshold = table.share("grade_threshold");
    let grades = table.choices_by_text("grades", NAME_MAX, &GradeAction::ALL, GradeAction::name);
    let reject_delay = table.integer("reject_delay_ms", 1..=60_000, " milliseconds");
    let reject_pulse = table.integer("reject_pulse_ms", 10..=5_000, " milliseconds");
    let span = |ms: u32| Duration::from_millis(u64::from(ms));
    let camera = camera::read(table.table("camera"));
    table.finish();
    let default_grades = || {
        vec![
            ("fresh_apple".to_owned(), GradeAction::Good),
            ("rotten_apple".to_owned(), GradeAction::Reject),
        ]
    };
    let config = input.map(|input| VisualInspectionConfig {
        input,
        camera,
        threshold,
        part_labels: part_labels.unwrap_or_else(|| vec!["apple".to_owned()]),
        crop_margin: crop_margin.map_or(VisualInspectionConfig::CROP_MARGIN_DEFAULT, Score::get),
        grade_threshold: grade_threshold.unwrap_or(VisualInspectionConfig::GRADE_THRESHOLD_DEFAULT),
        grades: grades.unwrap_or_else(default_grades),
        reject_delay: reject_delay.map(span),
        reject_pulse: reject_pulse.map_or(VisualInspectionConfig::REJECT_PULSE_DEFAULT, span),
    });
    (config, origin)
}

/// One device cannot serve both streams; files can.
fn refuse_one_camera_twice(
    one: &InputSpec,
    other: &InputSpec,
    (one_origin, other_origin): (Origin, Origin),
    problems: &Problems,
) {
    let (InputSpec::Camera(one), InputSpec::Camera(other)) = (one, other) else {
        return;
    };
    let real = |path: &PathBuf| std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
    if real(one) != real(other) {
        return;
    }
    let message = if one == other {
        format!("{} is the camera of both streams", one.display())
    } else {
        format!(
            "{} and {} are the same camera",
            one.display(),
            other.display()
        )
    };
    // Where only the first stream's camera comes from the command line, that is the one to change.
    let origin = match (one_origin, other_origin) {
        (one @ Origin::Flag(_), Origin::Text { .. } | Origin::File(_)) => one,
        (_, other) => other,
    };
    problems.add_with_help(origin, message, "give each stream a camera of its own");
}

fn safety(mut table: Table<'_>) -> SafetyConfig {
    let default = SafetyConfig::default();
    let trip_after = table.integer("trip_after", 1..=10, " frames");
    let clear_after = table.integer("clear_after", 1..=10_000, " frames");
    let max_age = table.integer("max_age_ms", 20..=10_000, " milliseconds");
    let fault_after = table.integer("fault_after_ms", 20..=60_000, " milliseconds");
    let restart = table.choice("restart", &Restart::ALL, Restart::name);
    let span = |ms: Option<u32>, default: Duration| {
        ms.map_or(default, |ms| Duration::from_millis(u64::from(ms)))
    };
    let config = SafetyConfig {
        trip_after: trip_after.unwrap_or(default.trip_after),
        clear_after: clear_after.unwrap_or(default.clear_after),
        max_age: span(max_age, default.max_age),
        fault_after: span(fault_after, default.fault_after),
        restart: restart.unwrap_or(default.restart),
    };
    if config.clear_after < config.trip_after {
        let message = format!(
            "is {}, less than trip_after = {}; a zone must not clear faster than it trips",
            config.clear_after, config.trip_after
        );
        table.wrong("clear_after", &message);
    }
    if config.fault_after < config.max_age {
        let message = format!(
            "is {}, less than max_age_ms = {}; a frame is late before it is a fault",
            config.fault_after.as_millis(),
            config.max_age.as_millis()
        );
        table.wrong("fault_after_ms", &message);
    }
    table.finish();
    config
}

/// A model's name, or a file where it ends in `.tflite`.
fn model_ref(text: &str, base: &Path) -> Option<ModelRef> {
    if has_extension(Path::new(text), &["tflite"]) {
        Some(ModelRef::File(resolve(text, base)))
    } else {
        (!text.contains('/')).then(|| ModelRef::Named(text.to_owned()))
    }
}

const MODEL_RULE: &str = "a name in models.toml or a path that ends in .tflite";

fn model(
    table: &mut Table<'_>,
    key: &'static str,
    flag: &'static str,
    given: Option<&String>,
    context: &Context<'_>,
) -> Option<ModelRef> {
    let written = table.has(key);
    let text = table.text(key, PATH_MAX);
    let own = text
        .as_deref()
        .and_then(|text| model_ref(text, context.base));
    if own.is_none() && text.is_some() {
        table.wrong(key, &format!("is no model; it must be {MODEL_RULE}"));
    }
    let Some(given) = given else {
        if !written {
            table.missing(key, &format!("write {MODEL_RULE}, or give {flag}"));
        }
        return own;
    };
    let fit = fit_text(given, PATH_MAX);
    let model = fit.and_then(|text| model_ref(&text, Path::new("")));
    if model.is_none() {
        let message = format!("{given:?} is no model; it must be {MODEL_RULE}");
        context.problems.add(Origin::Flag(flag), message);
    }
    model
}

fn models(mut table: Table<'_>, context: &Context<'_>) -> Option<ModelsConfig> {
    let overrides = context.overrides;
    let directory = table.text("directory", PATH_MAX);
    if !table.has("directory") {
        table.missing("directory", "write the path of the folder with models.toml");
    }
    let detector = model(
        &mut table,
        "detector",
        "--detection-model",
        overrides.detection_model.as_ref(),
        context,
    );
    let classifier = model(
        &mut table,
        "classifier",
        "--classifier-model",
        overrides.classifier_model.as_ref(),
        context,
    );
    table.finish();
    Some(ModelsConfig {
        directory: resolve(&directory?, context.base),
        detector: detector?,
        classifier: classifier?,
    })
}

fn engine(mut table: Table<'_>, context: &Context<'_>) -> EngineConfig {
    let overrides = context.overrides;
    let engine = table.choice("engine", &EngineChoice::ALL, EngineChoice::name);
    let threads = table.integer("threads", 1..=u32::from(THREADS_MAX), "");
    let preprocess = table.choice("preprocess", &PreprocessChoice::ALL, PreprocessChoice::name);
    let on_tpu_loss = table.choice("on_tpu_loss", &OnTpuLoss::ALL, OnTpuLoss::name);
    let tpu_clock = table.choice("tpu_clock", &TpuClock::ALL, TpuClock::name);
    let tpu_firmware = table.text("tpu_firmware", PATH_MAX);
    table.finish();
    if let Some(given) = overrides.threads
        && !(1..=THREADS_MAX).contains(&given)
    {
        let message = format!("{given} threads; it must be a whole number from 1 to {THREADS_MAX}");
        context.problems.add(Origin::Flag("--threads"), message);
    }
    let threads = threads.and_then(|threads| u8::try_from(threads).ok());
    EngineConfig {
        engine: overrides.engine.or(engine).unwrap_or_default(),
        threads: overrides.threads.or(threads).unwrap_or(1),
        preprocess: preprocess.unwrap_or_default(),
        on_tpu_loss: on_tpu_loss.unwrap_or_default(),
        tpu_clock: tpu_clock.unwrap_or_default(),
        tpu_firmware: tpu_firmware.map(|path| resolve(&path, context.base)),
    }
}

fn watchdog(mut table: Table<'_>) -> Option<WatchdogConfig> {
    let device = table.text("device", PATH_MAX);
    let timeout = table.integer("timeout_s", 1..=300, " seconds");
    table.finish();
    Some(WatchdogConfig {
        device: PathBuf::from(device?),
        timeout: timeout.map_or(WatchdogConfig::TIMEOUT_DEFAULT, |seconds| {
            Duration::from_secs(u64::from(seconds))
        }),
    })
}

/// Smallest and largest file of the event log, bytes: a few hundred events, and what a person can
/// still open.
const EVENT_FILE_BYTES: RangeInclusive<u32> = 65_536..=67_108_864;

fn events(mut table: Table<'_>, context: &Context<'_>) -> EventsConfig {
    let default = EventsConfig::default();
    let directory = table.text("directory", PATH_MAX);
    let file_bytes_max = table.integer("file_bytes_max", EVENT_FILE_BYTES, " bytes");
    let files_max = table.integer("files_max", 2..=1000, " files");
    let sync = table.choice("sync", &EventSync::ALL, EventSync::name);
    table.finish();
    EventsConfig {
        directory: directory.map(|text| resolve(&text, context.base)),
        file_bytes_max: file_bytes_max.unwrap_or(default.file_bytes_max),
        files_max: files_max.unwrap_or(default.files_max),
        sync: sync.unwrap_or(default.sync),
    }
}

/// Whether an edge of the picture has a length that can be rendered and encoded.
const fn fit_edge(pixels: u32) -> bool {
    PICTURE_MIN <= pixels && pixels <= PICTURE_MAX && pixels.is_multiple_of(2)
}

fn edge_rule() -> String {
    format!("an even number of pixels from {PICTURE_MIN} to {PICTURE_MAX}")
}

fn display(mut table: Table<'_>, context: &Context<'_>) -> (DisplayConfig, ScreenResetKey) {
    let overrides = context.overrides;
    let display = table.choice("display", &DisplayChoice::ALL, DisplayChoice::name);
    let mut size = DisplayConfig::SIZE_DEFAULT;
    if let Some(text) = table.text("size", NAME_MAX) {
        match text.parse::<Size>() {
            Ok(read) if fit_edge(read.width) && fit_edge(read.height) => size = read,
            Ok(read) => {
                let rule = edge_rule();
                table.wrong(
                    "size",
                    &format!("is {read}; width and height must be {rule}"),
                );
            }
            Err(error) => table.wrong("size", &format!("is \"{text}\"; {error}")),
        }
    }
    let anonymize = table.boolean("anonymize");
    let (kiosk, screen_reset) = kiosk::read(&mut table);
    let kms = super::kms::read(&mut table);
    table.finish();
    for (flag, given, edge) in [
        ("--width", overrides.width, &mut size.width),
        ("--height", overrides.height, &mut size.height),
    ] {
        if let Some(given) = given {
            if !fit_edge(given) {
                let message = format!("{given} pixels; it must be {}", edge_rule());
                context.problems.add(Origin::Flag(flag), message);
            }
            *edge = given;
        }
    }
    let config = DisplayConfig {
        display: overrides.display.or(display).unwrap_or_default(),
        size,
        anonymize: overrides.anonymize || anonymize.unwrap_or(false),
        kms,
        kiosk,
    };
    (config, screen_reset)
}
