//! A model with the preprocessor that fills it, and the times both take.

use std::time::Duration;

use super::engine::{ElementType, Engine, Model};
use super::error::InferenceError;
use super::registry::ModelFile;
use crate::frame::Frame;
use crate::geometry::{FramePixels, Rect, Size};
use crate::message::InferenceTiming;
use crate::preprocess::Preprocessor;
use crate::units::MonotonicTime;

/// Adds up where a frame's time goes.
#[derive(Debug)]
pub(super) struct Stopwatch<C> {
    clock: C,
    timing: InferenceTiming,
}

impl<C: Fn() -> MonotonicTime> Stopwatch<C> {
    /// Goes on from what was measured before.
    pub(super) const fn new(clock: C, timing: InferenceTiming) -> Self {
        Self { clock, timing }
    }

    pub(super) fn timing(&self) -> InferenceTiming {
        self.timing
    }

    /// Does work that counts as inference.
    pub(super) fn inferring<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let (result, spent) = self.measured(work);
        self.timing.inference += spent;
        result
    }

    fn measured<R>(&self, work: impl FnOnce() -> R) -> (R, Duration) {
        let start = (self.clock)();
        let result = work();
        (result, (self.clock)().saturating_since(start))
    }
}

/// A loaded model of one picture.
#[derive(Debug)]
pub(super) struct Stage {
    name: String,
    sha256: String,
    model: Box<dyn Model>,
    preprocessor: Preprocessor,
}

impl Stage {
    /// Loads a model whose input is a picture.
    pub(super) fn new(
        task: &'static str,
        file: ModelFile,
        engine: &dyn Engine,
    ) -> Result<Self, InferenceError> {
        let unsuitable = |reason: String| InferenceError::Unsuitable {
            path: file.path.clone(),
            task,
            reason,
        };
        let inputs = file.graph.inputs();
        let &[input] = inputs.as_slice() else {
            return Err(unsuitable(format!(
                "it has {} inputs, not one",
                inputs.len()
            )));
        };
        let size = match (input.shape.as_slice(), input.element) {
            (&[1, height, width, 3], ElementType::U8 | ElementType::I8 | ElementType::F32) => {
                let side = |length: usize| u32::try_from(length).ok().filter(|l| *l <= 4096);
                side(width).zip(side(height))
            }
            _ => None,
        };
        let Some((width, height)) = size else {
            return Err(unsuitable(format!(
                "its input is {input}; a picture is uint8, int8 or float32 [1, height, width, 3]"
            )));
        };
        let (name, sha256) = (file.name.clone(), file.sha256.clone());
        Ok(Self {
            name,
            sha256,
            model: engine.load(file)?,
            preprocessor: Preprocessor::new(Size { width, height }),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn sha256(&self) -> &str {
        &self.sha256
    }

    pub(super) fn model(&self) -> &dyn Model {
        self.model.as_ref()
    }

    /// An error about what this model put out.
    pub(super) fn nonsense(&self, reason: String) -> InferenceError {
        InferenceError::Nonsense {
            model: self.name.clone(),
            reason,
        }
    }

    /// Runs the model on a part of a frame.
    pub(super) fn run(
        &mut self,
        frame: &Frame,
        crop: Rect<FramePixels>,
        watch: &mut Stopwatch<impl Fn() -> MonotonicTime>,
    ) -> Result<(), InferenceError> {
        let (filled, spent) =
            watch.measured(|| self.preprocessor.fill(frame, crop, self.model.input_mut()));
        watch.timing.preprocess += spent;
        filled.map_err(|source| InferenceError::Preprocess {
            model: self.name.clone(),
            source,
        })?;
        let (ran, spent) = watch.measured(|| self.model.invoke());
        watch.timing.inference += spent;
        watch.timing.inferences += 1;
        ran
    }
}
