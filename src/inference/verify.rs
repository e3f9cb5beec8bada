//! `andon models verify`: is every model of `models.toml` what the list says it is?

use std::path::Path;

use super::classification::Classifier;
use super::cpu::CpuEngine;
use super::detection::Detector;
use super::engine::{Engine, TensorSpec};
use super::error::InferenceError;
use super::registry::{ListedModel, ListedTensor, ModelFile, Registry};

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What: `files`, `tensors`, `labels`, `engine`.
    pub what: &'static str,
    /// What was found to be right, or what is wrong.
    pub result: Result<String, String>,
}

/// Everything that was checked of one model. Checks that need an earlier one to pass are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelReport {
    /// Name in the list.
    pub name: String,
    /// File name.
    pub file: String,
    /// In the order they were made.
    pub checks: Vec<Check>,
}

impl ModelReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.result.is_ok())
    }
}

/// Checks hashes, tensors and labels of every model in a directory's list, and runs each once.
///
/// # Errors
///
/// The list itself cannot be read.
pub fn verify(directory: &Path) -> Result<Vec<ModelReport>, InferenceError> {
    let registry = Registry::read(directory)?;
    let report = |model: &ListedModel| ModelReport {
        name: model.name.clone(),
        file: model.file.clone(),
        checks: checks(&registry, model),
    };
    Ok(registry.models().iter().map(report).collect())
}

fn checks(registry: &Registry, model: &ListedModel) -> Vec<Check> {
    let check = |what, result: Result<String, String>| Check { what, result };
    let file = match registry.load_listed(model) {
        Ok(file) => file,
        Err(error) => return vec![check("files", Err(error.to_string()))],
    };
    let files = format!(
        "sha256 of {} and {} as listed",
        model.file, model.labels.file
    );
    let named = file
        .labels
        .names()
        .iter()
        .filter(|name| *name != "?")
        .count();
    let labels = format!(
        "{named} labels, numbers up to {}",
        file.labels.names().len() - 1
    );
    vec![
        check("files", Ok(files)),
        check("tensors", tensors(&file, model)),
        check("labels", Ok(labels)),
        check("engine", runs(file, model)),
    ]
}

fn tensors(file: &ModelFile, model: &ListedModel) -> Result<String, String> {
    let inputs = file.graph.inputs();
    let outputs = file.graph.outputs();
    compare("inputs", &inputs, std::slice::from_ref(&model.input))?;
    compare("outputs", &outputs, &model.output)?;
    let input = inputs.first().map(ToString::to_string).unwrap_or_default();
    Ok(format!(
        "input {input}, {} outputs as listed",
        outputs.len()
    ))
}

fn compare(what: &str, found: &[&TensorSpec], listed: &[ListedTensor]) -> Result<(), String> {
    if found.len() != listed.len() {
        return Err(format!("{} {what}, {} listed", found.len(), listed.len()));
    }
    for (found, listed) in found.iter().zip(listed) {
        // Files leave the shapes of the post-process operator's outputs empty.
        let same_shape = found.shape.is_empty() || found.shape == listed.shape;
        let same_type = found.element.name() == listed.dtype;
        let scale = found.quantisation.map(|q| q.scale.to_bits());
        let zero_point = found.quantisation.map(|q| q.zero_point);
        let same_values =
            scale == listed.scale.map(f32::to_bits) && zero_point == listed.zero_point;
        if !(found.name == listed.name && same_shape && same_type && same_values) {
            return Err(format!(
                "{what}: the file has {} {found}, the list says {} {} {:?} (scale {:?}, zero point {:?})",
                found.name,
                listed.name,
                listed.dtype,
                listed.shape,
                listed.scale,
                listed.zero_point
            ));
        }
    }
    Ok(())
}

fn runs(file: ModelFile, model: &ListedModel) -> Result<String, String> {
    let engine = CpuEngine::new(1);
    match model.task.as_str() {
        "detection" => Detector::new(file, &engine)
            .map(|_| ())
            .map_err(|error| error.to_string()),
        "classification" => Classifier::new(file, &engine)
            .map(|_| ())
            .map_err(|error| error.to_string()),
        other => Err(format!(
            "task {other:?} is neither \"detection\" nor \"classification\""
        )),
    }?;
    Ok(format!("runs on {}", engine.description()))
}
