//! The classifier: a part of a frame in, a grade out.

use super::engine::{ElementType, Engine, Quantisation, TensorView};
use super::error::InferenceError;
use super::labels::Labels;
use super::registry::ModelFile;
use super::stage::{Stage, Stopwatch};
use crate::frame::Frame;
use crate::geometry::{FramePixels, Normalised, Rect, Size};
use crate::message::Grade;
use crate::units::{LabelId, MonotonicTime, Score};

/// A classifier with its model: one output with one score per label.
#[derive(Debug)]
pub struct Classifier {
    stage: Stage,
    quantisation: Option<Quantisation>,
    labels: Labels,
}

impl Classifier {
    /// Loads a classifier.
    ///
    /// # Errors
    ///
    /// The file is no classifier, its labels do not fit, or the engine cannot run it.
    pub fn new(file: ModelFile, engine: &dyn Engine) -> Result<Self, InferenceError> {
        let path = file.path.clone();
        let labels = file.labels.clone();
        let unsuitable = |reason: String| InferenceError::Unsuitable {
            path: path.clone(),
            task: "classifier",
            reason,
        };
        let outputs = file.graph.outputs();
        let &[output] = outputs.as_slice() else {
            return Err(unsuitable(format!(
                "it has {} outputs, not one",
                outputs.len()
            )));
        };
        let classes: usize = output.shape.iter().product();
        if classes != labels.names().len() {
            return Err(unsuitable(format!(
                "it tells {classes} classes apart, {} names {}",
                labels.path().display(),
                labels.names().len()
            )));
        }
        if let ElementType::Other(_) = output.element {
            return Err(unsuitable(format!("its output is {output}")));
        }
        let quantisation = output.quantisation;
        let stage = Stage::new("classifier", file, engine)?;
        Ok(Self {
            stage,
            quantisation,
            labels,
        })
    }

    /// The labels of its grades.
    #[must_use]
    pub const fn labels(&self) -> &Labels {
        &self.labels
    }

    /// What the model is, for header and log.
    pub(super) const fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Grades what is inside `crop`.
    pub(super) fn classify(
        &mut self,
        frame: &Frame,
        crop: Rect<FramePixels>,
        watch: &mut Stopwatch<impl Fn() -> MonotonicTime>,
    ) -> Result<Grade, InferenceError> {
        self.look(frame, crop, watch, best)
    }

    /// The score of every label for what is inside `crop`.
    pub(super) fn scores(
        &mut self,
        frame: &Frame,
        crop: Rect<FramePixels>,
        watch: &mut Stopwatch<impl Fn() -> MonotonicTime>,
    ) -> Result<Vec<Score>, InferenceError> {
        self.look(frame, crop, watch, |view, quantisation, classes| {
            (0..classes)
                .map(|class| score_of(view, quantisation, class))
                .collect()
        })
    }

    fn look<R>(
        &mut self,
        frame: &Frame,
        crop: Rect<FramePixels>,
        watch: &mut Stopwatch<impl Fn() -> MonotonicTime>,
        read: impl FnOnce(TensorView<'_>, Option<Quantisation>, usize) -> Result<R, String>,
    ) -> Result<R, InferenceError> {
        self.stage.run(frame, crop, watch)?;
        let view = self.stage.model().output(0);
        let view = view.ok_or_else(|| self.stage.nonsense("no scores in its output".to_owned()))?;
        read(view, self.quantisation, self.labels.names().len())
            .map_err(|reason| self.stage.nonsense(reason))
    }
}

fn score_of(
    scores: TensorView<'_>,
    quantisation: Option<Quantisation>,
    class: usize,
) -> Result<Score, String> {
    let real = scores.real(class, quantisation);
    real.and_then(Score::from_model)
        .ok_or_else(|| format!("class {class} has score {real:?}"))
}

/// The class with the highest score; the first of equals.
fn best(
    scores: TensorView<'_>,
    quantisation: Option<Quantisation>,
    classes: usize,
) -> Result<Grade, String> {
    if scores.len() != classes {
        return Err(format!("{} scores for {classes} classes", scores.len()));
    }
    let mut best: Option<Grade> = None;
    for class in 0..classes {
        let score = score_of(scores, quantisation, class)?;
        let Some(label) = u16::try_from(class).ok().map(LabelId) else {
            return Err(format!("class {class} is one too many"));
        };
        if best.is_none_or(|best| score > best.score) {
            best = Some(Grade { label, score });
        }
    }
    best.ok_or_else(|| "no classes".to_owned())
}

/// The part of a frame that the classifier looks at: the box grown by `margin` of its size on each
/// side, clipped to the frame, at least one pixel each way.
pub(super) fn crop_of(bbox: Rect<Normalised>, margin: f32, size: Size) -> Rect<FramePixels> {
    let (dx, dy) = (bbox.width() * margin, bbox.height() * margin);
    #[allow(
        clippy::cast_precision_loss,
        reason = "picture sizes are far below 2^24"
    )]
    let span = |from: f32, to: f32, length: u32| {
        let length = length as f32;
        let (from, to) = (from.max(0.0) * length, to.min(1.0) * length);
        if to - from >= 1.0 {
            return (from, to);
        }
        let from = f32::midpoint(from, to)
            .floor()
            .clamp(0.0, (length - 1.0).max(0.0));
        (from, from + 1.0)
    };
    let (left, right) = span(bbox.left() - dx, bbox.right() + dx, size.width);
    let (top, bottom) = span(bbox.top() - dy, bbox.bottom() + dy, size.height);
    Rect::new(left, top, right, bottom).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure is the message")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUANTISED: Option<Quantisation> = Some(Quantisation {
        scale: 1.0 / 256.0,
        zero_point: -128,
    });

    #[test]
    fn scores_are_dequantised_with_the_tensors_own_parameters() {
        let grade = best(TensorView::I8(&[-128, 64]), QUANTISED, 2).unwrap();
        assert_eq!(grade.label, LabelId(1));
        assert!((grade.score.get() - 0.75).abs() < 1e-6);
        let unsigned = Some(Quantisation {
            scale: 1.0 / 256.0,
            zero_point: 0,
        });
        let grade = best(TensorView::U8(&[255, 0]), unsigned, 2).unwrap();
        assert_eq!(grade.label, LabelId(0));
        assert!((grade.score.get() - 0.996_093_75).abs() < 1e-6);
    }

    #[test]
    fn equal_scores_go_to_the_first() {
        let grade = best(TensorView::F32(&[0.5, 0.5]), None, 2).unwrap();
        assert_eq!(grade.label, LabelId(0));
    }

    #[test]
    fn nonsense_is_not_graded() {
        for (scores, classes) in [(&[f32::NAN, 0.5][..], 2), (&[0.1][..], 2), (&[][..], 0)] {
            assert!(best(TensorView::F32(scores), None, classes).is_err());
        }
    }

    proptest! {
        #[test]
        fn a_crop_holds_pixels_and_stays_inside(
            corners in (0.0_f32..=1.0, 0.0_f32..=1.0, 0.0_f32..=1.0, 0.0_f32..=1.0),
            margin in 0.0_f32..2.0,
            size in (1_u32..3000, 1_u32..3000),
        ) {
            let (x0, y0, x1, y1) = corners;
            let bbox = Rect::new(x0.min(x1), y0.min(y1), x0.max(x1), y0.max(y1)).unwrap();
            let size = Size { width: size.0, height: size.1 };
            let crop = crop_of(bbox, margin, size);
            let whole = Rect::FULL.to_frame(size);
            prop_assert!(crop.width() > 0.999 && crop.height() > 0.999, "{crop:?}");
            prop_assert_eq!(crop.intersection(whole), Some(crop));
        }
    }

    #[test]
    fn the_margin_grows_the_box_on_each_side() {
        let bbox = Rect::new(0.25, 0.5, 0.5, 0.75).unwrap();
        let crop = crop_of(
            bbox,
            0.1,
            Size {
                width: 1000,
                height: 100,
            },
        );
        for (actual, expected) in [
            (crop.left(), 225.0),
            (crop.top(), 47.5),
            (crop.right(), 525.0),
            (crop.bottom(), 77.5),
        ] {
            assert!((actual - expected).abs() < 1e-3, "{crop:?}");
        }
    }
}
