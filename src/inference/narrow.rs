//! Loading a detector for some of its classes, and making sure that it still says the same of them.

use super::engine::{Engine, TensorView};
use super::error::InferenceError;
use super::registry::ModelFile;
use super::self_test;
use super::ssd::PostProcess;
use super::stage::{Stage, Stopwatch};
use crate::geometry::Rect;
use crate::message::InferenceTiming;
use crate::units::MonotonicTime;

/// Which of a detector's raw outputs are the scores.
const SCORES: usize = 1;

/// The detector, reduced to these classes where it can be, and where the reduced one answers the known
/// picture with the very same encodings and scores. `file` has raw outputs; `whole` is it, loaded.
///
/// # Errors
///
/// The detector as it is cannot be run or loaded again.
pub(super) fn narrow(
    file: ModelFile,
    engine: &dyn Engine,
    whole: (Stage, PostProcess),
    classes: &[usize],
) -> Result<(Stage, PostProcess), InferenceError> {
    let (mut stage, mut step) = whole;
    let name = stage.name().to_owned();
    let cut = step
        .columns_of(classes)
        .ok_or_else(|| "it does not have all of them".to_owned())
        .and_then(|columns| {
            let cut = file.graph.keep_columns(&file.bytes, SCORES, &columns)?;
            Ok((columns, cut))
        });
    let (columns, (bytes, graph)) = match cut {
        Ok(cut) => cut,
        Err(reason) => {
            log::info!("model {name}: all its classes are computed: {reason}");
            return Ok((stage, step));
        }
    };
    let expected = answer(&mut stage)?;
    // One at a time: both would double the memory at the start.
    drop(stage);
    let narrow = ModelFile {
        bytes,
        graph,
        ..file.clone()
    };
    let kept = expected.columns(step.row_length(), &columns);
    let loaded = load(narrow, engine, &kept).and_then(|stage| {
        let outputs = stage.model().outputs();
        let [encodings, scores] = outputs else {
            return Err(format!("it has {} raw outputs", outputs.len()));
        };
        step.narrow_to(&columns, encodings, scores)?;
        Ok(stage)
    });
    match loaded {
        Ok(stage) => {
            log::info!(
                "model {name}: {} of its {} classes are computed, the known picture gives the same",
                columns.len(),
                step.classes()
            );
            Ok((stage, step))
        }
        Err(reason) => {
            log::warn!("model {name}: all its classes are computed: reduced, {reason}");
            Ok((Stage::new("detector", file, engine)?, step))
        }
    }
}

/// The reduced model, if it gives this answer.
fn load(file: ModelFile, engine: &dyn Engine, expected: &Answer) -> Result<Stage, String> {
    let mut stage = Stage::new("detector", file, engine).map_err(|error| error.to_string())?;
    let found = answer(&mut stage).map_err(|error| error.to_string())?;
    if found == *expected {
        Ok(stage)
    } else {
        Err("it says something else of the known picture".to_owned())
    }
}

/// The bits of both raw outputs.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    encodings: Vec<u32>,
    scores: Vec<u32>,
}

impl Answer {
    /// What is left of it with these of `length` columns.
    fn columns(&self, length: usize, kept: &[usize]) -> Self {
        let rows = self.scores.chunks_exact(length);
        Self {
            encodings: self.encodings.clone(),
            scores: rows
                .flat_map(|row| kept.iter().map(|column| row[*column]))
                .collect(),
        }
    }
}

/// What a detector with raw outputs says of the known picture.
fn answer(stage: &mut Stage) -> Result<Answer, InferenceError> {
    let frame = self_test::picture()?;
    let whole = Rect::FULL.to_frame(frame.size());
    let mut watch = Stopwatch::new(|| MonotonicTime::ZERO, InferenceTiming::default());
    stage.run(&frame, whole, &mut watch)?;
    let output = |index: usize| {
        let view = stage.model().output(index);
        view.map(bits)
            .ok_or_else(|| stage.nonsense(format!("its raw output {index} cannot be read")))
    };
    Ok(Answer {
        encodings: output(0)?,
        scores: output(SCORES)?,
    })
}

/// The raw bits of a tensor's values.
fn bits(view: TensorView<'_>) -> Vec<u32> {
    match view {
        TensorView::U8(values) => values.iter().map(|v| u32::from(*v)).collect(),
        TensorView::I8(values) => values
            .iter()
            .map(|v| u32::from(v.cast_unsigned()))
            .collect(),
        TensorView::F32(values) => values.iter().map(|v| v.to_bits()).collect(),
    }
}

#[cfg(test)]
#[path = "narrow_tests.rs"]
mod tests;
