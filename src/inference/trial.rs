//! One model alone, on pictures somebody chose: what `andon infer` and `andon bench models` run.
//!
//! Preprocessing, engine and post-processing are the ones of the pipeline. A classifier sees the whole
//! picture; a detector says everything it finds, of any label.

use super::classification::Classifier;
use super::detection::Detector;
use super::engine::Engine;
use super::error::InferenceError;
use super::labels::Labels;
use super::registry::ModelFile;
use super::self_test;
use super::stage::{Stage, Stopwatch};
use crate::frame::Frame;
use crate::geometry::Rect;
use crate::message::{Detections, InferenceTiming};
use crate::units::{MonotonicTime, Score};

/// A model that pictures are shown to.
#[derive(Debug)]
pub struct Trial(Kind);

#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one, and it never moves"
)]
enum Kind {
    Detector(Detector),
    Classifier(Classifier),
}

/// What a model says of a picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A classifier's scores, by label.
    Scores(Vec<Score>),
    /// What a detector found, highest score first.
    Detections(Box<Detections>),
}

impl Trial {
    /// Loads a model: a file with one output is a classifier, any other a detector.
    ///
    /// # Errors
    ///
    /// The file is neither, or the engine cannot run it.
    pub fn load(file: ModelFile, engine: &dyn Engine) -> Result<Self, InferenceError> {
        let kind = if file.graph.outputs().len() == 1 {
            Kind::Classifier(Classifier::new(file, engine)?)
        } else {
            Kind::Detector(Detector::new(file, engine)?)
        };
        Ok(Self(kind))
    }

    /// Shows it a picture. A detector's findings below `threshold` are left out.
    ///
    /// # Errors
    ///
    /// The picture cannot be read, the engine failed, or the model put out nonsense.
    pub fn run(
        &mut self,
        frame: &Frame,
        threshold: Score,
        clock: impl Fn() -> MonotonicTime,
    ) -> Result<(Answer, InferenceTiming), InferenceError> {
        let mut watch = Stopwatch::new(clock, InferenceTiming::default());
        let answer = match &mut self.0 {
            Kind::Detector(detector) => {
                Answer::Detections(Box::new(detector.find_timed(frame, threshold, &mut watch)?))
            }
            Kind::Classifier(classifier) => {
                let whole = Rect::FULL.to_frame(frame.size());
                Answer::Scores(classifier.scores(frame, whole, &mut watch)?)
            }
        };
        Ok((answer, watch.timing()))
    }

    /// `detection` or `classification`, as in `models.toml`.
    #[must_use]
    pub const fn task(&self) -> &'static str {
        match self.0 {
            Kind::Detector(_) => "detection",
            Kind::Classifier(_) => "classification",
        }
    }

    /// The words of its answers.
    #[must_use]
    pub const fn labels(&self) -> &Labels {
        match &self.0 {
            Kind::Detector(detector) => detector.labels(),
            Kind::Classifier(classifier) => classifier.labels(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.stage().name()
    }

    /// SHA-256 of its file.
    #[must_use]
    pub fn sha256(&self) -> &str {
        self.stage().sha256()
    }

    const fn stage(&self) -> &Stage {
        match &self.0 {
            Kind::Detector(detector) => detector.stage(),
            Kind::Classifier(classifier) => classifier.stage(),
        }
    }
}

/// The self-test's picture, for measuring how long a model takes.
///
/// # Errors
///
/// It cannot be decoded: the program itself is damaged.
pub fn known_picture() -> Result<Frame, InferenceError> {
    self_test::picture()
}
