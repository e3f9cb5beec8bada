//! The model that a compiled one was compiled from.

use std::path::Path;

use crate::inference::error::InferenceError;
use crate::inference::registry::ModelFile;

/// What the compiler adds to a file's name.
const SUFFIX: &str = "_edgetpu";

/// Reads the model that lies beside a compiled one without `_edgetpu` in its name, and brings it into
/// the same form: without its post-process operator where the compiled one is.
///
/// # Errors
///
/// There is none, or its inputs and outputs are others than the compiled one's.
pub(in super::super) fn twin_of(file: &ModelFile) -> Result<ModelFile, InferenceError> {
    let missing = |reason: String| InferenceError::EngineUnavailable {
        engine: "cpu",
        reason: format!(
            "the model that {} was compiled from is needed to run without an Edge TPU, and {reason}",
            file.path.display()
        ),
    };
    let stem = file.path.file_stem().unwrap_or_default().to_string_lossy();
    let Some(name) = stem.strip_suffix(SUFFIX) else {
        return Err(missing(format!(
            "its file name does not end in {SUFFIX}.tflite"
        )));
    };
    let path = file.path.with_file_name(format!("{name}.tflite"));
    let mut twin = read(&path, file).map_err(&missing)?;
    let has_step = |file: &ModelFile| file.graph.post_process_outputs().is_some();
    if has_step(&twin) && !has_step(file) {
        let cut = twin.graph.cut_post_process(&twin.bytes).map_err(&missing)?;
        twin.bytes = cut.bytes;
        twin.graph = cut.graph;
    }
    let forms = |file: &ModelFile| {
        let form =
            |spec: &super::super::TensorSpec| (spec.shape.clone(), spec.element, spec.quantisation);
        let inputs: Vec<_> = file.graph.inputs().into_iter().map(form).collect();
        let outputs: Vec<_> = file.graph.outputs().into_iter().map(form).collect();
        (inputs, outputs)
    };
    if forms(&twin) != forms(file) {
        return Err(missing(format!(
            "{} has other inputs or outputs",
            path.display()
        )));
    }
    Ok(twin)
}

fn read(path: &Path, compiled: &ModelFile) -> Result<ModelFile, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let twin = ModelFile::new(
        format!("{} (CPU)", compiled.name),
        path.to_owned(),
        bytes,
        compiled.labels.clone(),
    );
    twin.map_err(|error| error.to_string())
}
