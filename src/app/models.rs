//! `andon models`: what verifying and fetching say.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::config::{Config, ModelRef};
use crate::inference::{self, InferenceError, LabelSet, ModelInfo, Registry, Source};

/// What a command found, ready to print.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// A line per model and what is wrong with it.
    pub text: String,
    /// Number of models that failed.
    pub failed: usize,
}

/// Checks every model of `directory`: hash, tensors, labels.
///
/// # Errors
///
/// `models.toml` cannot be read.
pub fn verify(directory: &Path) -> Result<Outcome, InferenceError> {
    let mut outcome = Outcome::default();
    for report in inference::verify(directory)? {
        let word = if report.passed() { "ok" } else { "FAILED" };
        let _ = writeln!(outcome.text, "{word:<7} {} ({})", report.name, report.file);
        for check in &report.checks {
            let (mark, text) = match &check.result {
                Ok(text) => ("  ✓", text),
                Err(text) => ("  ✗", text),
            };
            let _ = writeln!(outcome.text, "{mark} {:<10} {text}", check.what);
        }
        outcome.failed += usize::from(!report.passed());
    }
    Ok(outcome)
}

/// Downloads Coral's models into a folder of `directory` and checks them; what is there and right
/// already is left alone.
///
/// # Errors
///
/// `models.toml` cannot be read.
pub fn fetch_coral(directory: &Path) -> Result<Outcome, InferenceError> {
    let mut outcome = Outcome::default();
    for file in inference::fetch_coral(directory)? {
        let path = file.path.display();
        let _ = match &file.result {
            Ok(Source::AlreadyThere) => writeln!(outcome.text, "there   {path}"),
            Ok(Source::Downloaded) => writeln!(outcome.text, "fetched {path} ({})", file.licence),
            Err(error) => writeln!(outcome.text, "FAILED  {path}: {error}"),
        };
        outcome.failed += usize::from(file.result.is_err());
    }
    Ok(outcome)
}

/// What model files hold and what they cost an Edge TPU, one by one and together.
///
/// # Errors
///
/// A file cannot be read.
pub fn info(files: &[PathBuf]) -> Result<Outcome, InferenceError> {
    let models = files.iter().map(|file| ModelInfo::read(file));
    let models = models.collect::<Result<Vec<_>, _>>()?;
    let mut outcome = Outcome::default();
    for model in &models {
        outcome.text.push_str(&model.text);
    }
    for line in inference::companions(&models) {
        let _ = writeln!(outcome.text, "{line}");
    }
    Ok(outcome)
}

/// The configured models' files; those that the list does not have are left out.
#[must_use]
pub fn configured(config: &Config) -> Vec<PathBuf> {
    let models = &config.models;
    let registry = Registry::read(&models.directory);
    let file = |model: &ModelRef| match model {
        ModelRef::File(path) => Some(path.clone()),
        ModelRef::Named(name) => {
            let listed = registry.as_ref().ok()?.models().iter();
            let model = listed.into_iter().find(|listed| listed.name == *name)?;
            Some(models.directory.join(&model.file))
        }
    };
    [&models.detector, &models.classifier]
        .into_iter()
        .filter_map(file)
        .collect()
}

/// What the configured models are to an Edge TPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnEdgeTpu {
    /// What those that are compiled cost it, as [`info`] has it.
    pub costs: String,
    /// What they do to each other there.
    pub companions: Vec<String>,
}

/// What the configured models are to an Edge TPU; what cannot be read is said elsewhere.
#[must_use]
pub fn on_edge_tpu(config: &Config) -> OnEdgeTpu {
    let files = configured(config);
    let models = files.iter().filter_map(|file| ModelInfo::read(file).ok());
    let models: Vec<_> = models.collect();
    let compiled = models.iter().filter(|model| model.is_compiled());
    OnEdgeTpu {
        costs: compiled.map(|model| model.text.as_str()).collect(),
        companions: inference::companions(&models),
    }
}

/// Checks the configured models' files, and that they have every label that the configuration names; says
/// what was found. Where the folder of models is not on this machine, as when the configuration of a box is
/// checked elsewhere, that is said instead.
///
/// # Errors
///
/// What would also end a run at its start: a model that is missing, changed or broken, or lacks a label.
pub fn check_labels(config: &Config) -> Result<String, InferenceError> {
    let models = &config.models;
    if !models.directory.exists() {
        let directory = models.directory.display();
        return Ok(format!(
            "models: {directory} is not on this machine, so labels and grades were not compared with the models"
        ));
    }
    let load = |model: &ModelRef| inference::load_model(&models.directory, model);
    let (detector, classifier) = (load(&models.detector)?, load(&models.classifier)?);
    let grades = classifier.labels.names().join(", ");
    let text = format!(
        "models: {} detects {} and {}, {} grades {grades}",
        detector.path.display(),
        config.worker_safety.person_label,
        config.visual_inspection.part_labels.join(", "),
        classifier.path.display(),
    );
    let labels = LabelSet::new(detector.labels, classifier.labels);
    labels.select(&config.worker_safety, &config.visual_inspection)?;
    Ok(text)
}
