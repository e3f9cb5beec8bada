//! A model with the preprocessor that fills it, and the times both take.

use std::time::Duration;

use super::engine::{ElementType, Engine, Model, Processor, Quantisation, TensorSpec};
use super::error::InferenceError;
use super::registry::ModelFile;
use crate::frame::Frame;
use crate::geometry::{FramePixels, Rect, Size};
use crate::message::InferenceTiming;
use crate::preprocess::{Means, Preprocessor, TensorRenderer};
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

/// What pixels 0 and 255 may mean to a model: the ranges in which picture models are trained.
const PIXEL_RANGES: [[f32; 2]; 3] = [[-1.0, 1.0], [0.0, 1.0], [0.0, 255.0]];

/// A range may differ from one of these by this share of its width: two steps of 255. A zero point is
/// whole, so that calibrated ranges are off by up to one.
const PIXEL_TOLERANCE: f32 = 2.0 / 255.0;

/// Whether a pixel's byte, put in as it is, means to the model what it was trained with. One that is
/// shown other values runs all the same and sees fewer people.
fn check_pixels(input: &TensorSpec) -> Result<(), String> {
    let first = match input.element {
        ElementType::U8 => 0,
        ElementType::I8 => -128,
        ElementType::F32 | ElementType::Other(_) => {
            return Err(format!(
                "its input is {input}, which does not say what range of pixel values it was trained with; use its quantised form (uint8 or int8)"
            ));
        }
    };
    let Some(Quantisation { scale, zero_point }) = input.quantisation else {
        return Err(format!(
            "its input is {input} without scale and zero point, so that nobody knows what its pixel values mean"
        ));
    };
    #[allow(clippy::cast_precision_loss, reason = "both are within a few hundred")]
    let means =
        [first, first + 255].map(|byte: i32| scale * byte.saturating_sub(zero_point) as f32);
    let fits = |range: &[f32; 2]| {
        let tolerance = PIXEL_TOLERANCE * (range[1] - range[0]);
        (means[0] - range[0]).abs() <= tolerance && (means[1] - range[1]).abs() <= tolerance
    };
    if PIXEL_RANGES.iter().any(fits) {
        return Ok(());
    }
    Err(format!(
        "its input is {input}, for which pixels 0 to 255 mean {:.3} to {:.3}; known are -1 to 1, 0 to 1 and 0 to 255",
        means[0], means[1]
    ))
}

/// A loaded model of one picture.
#[derive(Debug)]
pub(super) struct Stage {
    name: String,
    sha256: String,
    model: Box<dyn Model>,
    preprocessor: Preprocessor,
    /// Time spent on inputs that were begun and not asked for yet.
    begun_for: Duration,
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
            // A float picture is refused below, with its own reason.
            (&[1, height, width, 3], ElementType::U8 | ElementType::I8 | ElementType::F32) => {
                let side = |length: usize| u32::try_from(length).ok().filter(|l| *l <= 4096);
                side(width).zip(side(height))
            }
            _ => None,
        };
        let Some((width, height)) = size else {
            return Err(unsuitable(format!(
                "its input is {input}; a picture is uint8 or int8 [1, height, width, 3]"
            )));
        };
        check_pixels(input).map_err(unsuitable)?;
        let (name, sha256) = (file.name.clone(), file.sha256.clone());
        Ok(Self {
            name,
            sha256,
            model: engine.load(file)?,
            preprocessor: Preprocessor::new(Size { width, height }),
            begun_for: Duration::ZERO,
        })
    }

    /// Size of its input.
    pub(super) const fn input_size(&self) -> Size {
        self.preprocessor.target()
    }

    /// Has its input made by a renderer from now on, until that fails.
    pub(super) fn render_by(&mut self, renderer: Box<dyn TensorRenderer>) {
        self.preprocessor.render_by(renderer);
    }

    /// What makes its input now.
    pub(super) const fn means(&self) -> Means {
        self.preprocessor.means()
    }

    /// What was said when the renderer failed, once.
    pub(super) fn take_render_failure(&mut self) -> Option<String> {
        self.preprocessor.take_failure()
    }

    /// Says what it will be run on next, so that a renderer can start on it.
    pub(super) fn begin(
        &mut self,
        frame: &Frame,
        crop: Rect<FramePixels>,
        clock: impl Fn() -> MonotonicTime,
    ) {
        let start = clock();
        self.preprocessor.begin(frame, crop);
        self.begun_for += clock().saturating_since(start);
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

    /// What it ran on last.
    pub(super) fn processor(&self) -> Processor {
        self.model.processor()
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
        watch.timing.preprocess += spent + std::mem::take(&mut self.begun_for);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn input(element: ElementType, quantisation: Option<(f32, i32)>) -> TensorSpec {
        TensorSpec {
            name: "image".to_owned(),
            shape: vec![1, 4, 4, 3],
            element,
            quantisation: quantisation
                .map(|(scale, zero_point)| Quantisation { scale, zero_point }),
        }
    }

    #[test]
    fn inputs_whose_pixel_values_have_a_known_meaning_are_taken() {
        use ElementType::{I8, U8};
        for (element, quantisation) in [
            // The shipped ones, and Coral's.
            (U8, (2.0 / 255.0, 127)),
            (U8, (0.007_812_5, 128)),
            (I8, (2.0 / 255.0, -1)),
            (U8, (1.0 / 255.0, 0)),
            (I8, (1.0 / 255.0, -128)),
            (U8, (1.0, 0)),
        ] {
            let checked = check_pixels(&input(element, Some(quantisation)));
            assert_eq!(checked, Ok(()), "{element:?} {quantisation:?}");
        }
    }

    #[test]
    fn inputs_whose_pixel_values_mean_something_else_are_refused_with_what_they_mean() {
        use ElementType::{F32, I8, U8};
        for (element, quantisation, part) in [
            // Mean and deviation of ImageNet; a sign that is missing; half the contrast.
            (U8, Some((0.018_658, 114)), "-2.127 to 2.631"),
            (I8, Some((1.0 / 255.0, 0)), "-0.502 to 0.498"),
            (U8, Some((1.0 / 255.0, 128)), "-0.502 to 0.498"),
            (U8, Some((0.015_686, 127)), "-1.992"),
            (U8, Some((1.0, i32::MIN)), "pixels"),
            (U8, None, "without scale"),
            (F32, None, "float32"),
        ] {
            let reason = check_pixels(&input(element, quantisation)).expect_err("refused");
            assert!(reason.contains(part), "{reason}");
        }
    }
}
