//! Both jobs on one set of models: frames in, findings out. Owned by the infer thread.

use super::choose;
use super::classification::{Classifier, crop_of};
use super::detection::{Detector, Wanted};
use super::engine::{Condition, Engine};
use super::error::InferenceError;
use super::labels::Labels;
use super::registry::{ModelFile, load_model};
use super::scheduler::Due;
use super::self_test::{self, KnownAnswer};
use super::stage::Stopwatch;
use crate::config::{Config, GradeAction, VisualInspectionConfig, WorkerSafetyConfig};
use crate::frame::Frame;
use crate::geometry::Size;
use crate::message::{
    Detections, DetectorTest, Findings, GradedItem, GradedItems, ITEMS_MAX, InferenceTiming,
    Inferred,
};
use crate::preprocess::{Means, TensorRenderer};
use crate::units::{LabelId, MonotonicTime, StreamId};

/// The models of both streams. The detector serves both; its interpreter exists once.
#[derive(Debug)]
pub struct Inferencer {
    engine: Box<dyn Engine>,
    detector: Detector,
    classifier: Classifier,
    selection: Selection,
    known_answer: KnownAnswer,
}

/// What of a model's findings matters, as the configuration says it in the models' own numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    persons: Wanted,
    parts: Wanted,
    crop_margin: f32,
}

/// The words of both models: what turns a configuration into a [`Selection`].
#[derive(Clone, Debug)]
pub struct LabelSet {
    detector: Labels,
    classifier: Labels,
}

impl LabelSet {
    /// The selection that the configuration asks for.
    ///
    /// # Errors
    ///
    /// It names a label that the models do not have.
    pub fn select(
        &self,
        safety: &WorkerSafetyConfig,
        inspection: &VisualInspectionConfig,
    ) -> Result<Selection, InferenceError> {
        let persons = Wanted {
            labels: vec![self.detector.id(&safety.person_label)?],
            threshold: safety.threshold,
        };
        let part_labels = inspection.part_labels.iter();
        let parts = Wanted {
            labels: part_labels
                .map(|name| self.detector.id(name))
                .collect::<Result<_, _>>()?,
            threshold: inspection.threshold,
        };
        check_grades(&self.classifier, &inspection.grades)?;
        Ok(Selection {
            persons,
            parts,
            crop_margin: inspection.crop_margin,
        })
    }

    /// The label files of a detector and a classifier.
    #[must_use]
    pub const fn new(detector: Labels, classifier: Labels) -> Self {
        Self {
            detector,
            classifier,
        }
    }

    /// The classifier's labels by [`crate::units::LabelId`].
    #[must_use]
    pub fn classifier(&self) -> &[String] {
        self.classifier.names()
    }
}

/// An inspection frame on its way through its inferences.
#[derive(Debug)]
pub struct InspectionJob {
    frame: Frame,
    timing: InferenceTiming,
    /// `None` before the detector has run.
    grading: Option<Grading>,
}

/// The parts found, highest score first, and the grades so far.
#[derive(Debug)]
struct Grading {
    parts: Detections,
    items: GradedItems,
}

/// How far a step came.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "moved once per inference; boxing would allocate per frame"
)]
pub enum Step {
    /// There is more to do; one inference has been run.
    Pending(InspectionJob),
    /// The frame is done.
    Done(Inferred),
}

impl InspectionJob {
    /// When its frame was taken, for the scheduler.
    #[must_use]
    pub fn due(&self) -> Due {
        Due::from(&self.frame.meta)
    }
}

impl Inferencer {
    /// Loads both models on the configured engine.
    ///
    /// # Errors
    ///
    /// A file is missing, damaged or not what it is configured for; a configured label does not
    /// exist; the engine is not there.
    pub fn new(config: &Config) -> Result<Self, InferenceError> {
        let models = &config.models;
        let mut files = [
            load_model(&models.directory, &models.detector)?,
            load_model(&models.directory, &models.classifier)?,
        ];
        let engine = choose::engine(&config.engine, &mut files)?;
        let inferencer = Self::assemble(
            engine,
            files,
            &config.worker_safety,
            &config.visual_inspection,
        )?;
        log::info!("inference engine: {}", inferencer.engine_description());
        Ok(inferencer)
    }

    /// As [`Inferencer::new`], on an engine of the caller's.
    ///
    /// # Errors
    ///
    /// As [`Inferencer::new`].
    pub fn with_engine(config: &Config, engine: Box<dyn Engine>) -> Result<Self, InferenceError> {
        let models = &config.models;
        let files = [
            load_model(&models.directory, &models.detector)?,
            load_model(&models.directory, &models.classifier)?,
        ];
        Self::assemble(
            engine,
            files,
            &config.worker_safety,
            &config.visual_inspection,
        )
    }

    fn assemble(
        engine: Box<dyn Engine>,
        [detector, classifier]: [ModelFile; 2],
        safety: &WorkerSafetyConfig,
        inspection: &VisualInspectionConfig,
    ) -> Result<Self, InferenceError> {
        let wanted = wanted_labels(&detector.labels, safety, inspection);
        let detector = Detector::for_labels(detector, engine.as_ref(), &wanted)?;
        let classifier = Classifier::new(classifier, engine.as_ref())?;
        let labels = LabelSet::new(detector.labels().clone(), classifier.labels().clone());
        let selection = labels.select(safety, inspection)?;
        Ok(Self {
            engine,
            known_answer: KnownAnswer::new(&detector)?,
            detector,
            classifier,
            selection,
        })
    }

    /// The words of the models in use.
    #[must_use]
    pub fn labels(&self) -> LabelSet {
        LabelSet::new(
            self.detector.labels().clone(),
            self.classifier.labels().clone(),
        )
    }

    /// From the next inference on, this is what matters.
    pub fn select(&mut self, selection: Selection) {
        self.selection = selection;
    }

    /// Size of the detector's input.
    #[must_use]
    pub const fn input_size(&self) -> Size {
        self.detector.input_size()
    }

    /// Has the detector's input made by a renderer from now on; where that fails, by the CPU, which is
    /// said ([`Inferencer::take_engine_event`]). The classifier's stays the CPU's: its crops are small.
    pub fn render_by(&mut self, renderer: Box<dyn TensorRenderer>) {
        self.detector.render_by(renderer);
    }

    /// Says which frame the detector will be shown next, so that a renderer can start on it while
    /// something else is done. Does not wait. `clock` is the clock of `meta.arrived`.
    pub fn begin_input(&mut self, frame: &Frame, clock: impl Fn() -> MonotonicTime) {
        self.detector.begin(frame, clock);
    }

    /// What runs the models now, for header, log and picture; each of them where they run on different
    /// things.
    #[must_use]
    pub fn engine_description(&self) -> String {
        let stages = [self.detector.stage(), self.classifier.stage()];
        let [detector, classifier] =
            stages.map(|stage| self.engine.description_of(stage.processor()));
        let engine = if detector == classifier {
            detector.into_owned()
        } else {
            format!("detector on {detector}; classifier on {classifier}")
        };
        match self.detector.stage().means() {
            Means::Cpu => engine,
            Means::Renderer => format!("{engine}; detector's input by the GPU"),
        }
    }

    /// Whether [`Inferencer::tick`], or an inference, may now take as many seconds as the kernel gives
    /// the reset of a device.
    #[must_use]
    pub fn is_recovering(&self) -> bool {
        self.engine.is_recovering()
    }

    /// What else is to be known of the engine, a line each.
    #[must_use]
    pub fn engine_notes(&self) -> Vec<String> {
        self.engine.notes()
    }

    /// Lets the engine do what it does on its own, a bounded step of it; for when no frame waits.
    pub fn tick(&self) {
        self.engine.tick();
    }

    /// How the engine's accelerators are; `None` where it has none.
    #[must_use]
    pub fn engine_condition(&self) -> Option<Condition> {
        self.engine.condition()
    }

    /// The oldest thing that happened to the engine, or to what makes its input, and has not been taken,
    /// in words.
    #[must_use]
    pub fn take_engine_event(&mut self) -> Option<String> {
        let failure = self.detector.take_render_failure();
        failure.or_else(|| self.engine.take_event())
    }

    /// Role, name and SHA-256 of each model.
    #[must_use]
    pub fn models(&self) -> [(&'static str, String, String); 2] {
        [
            ("detector", self.detector.stage()),
            ("classifier", self.classifier.stage()),
        ]
        .map(|(role, stage)| (role, stage.name().to_owned(), stage.sha256().to_owned()))
    }

    /// The detector's labels by [`crate::units::LabelId`]; `?` for a number without one.
    #[must_use]
    pub fn detector_labels(&self) -> &[String] {
        self.detector.labels().names()
    }

    /// The classifier's labels by [`crate::units::LabelId`].
    #[must_use]
    pub fn classifier_labels(&self) -> &[String] {
        self.classifier.labels().names()
    }

    /// Shows the detector a picture whose content is known: one inference.
    pub fn self_test(&mut self) -> DetectorTest {
        self.known_answer.run(&mut self.detector)
    }

    /// Whether the last self-test says nothing of the detector, because the engine failed.
    #[must_use]
    pub const fn self_test_is_open(&self) -> bool {
        self.known_answer.is_open()
    }

    /// Does everything there is to do for a frame. `clock` is the clock of `meta.arrived`.
    ///
    /// Never fails: what goes wrong is in the findings.
    pub fn run(&mut self, frame: Frame, clock: impl Fn() -> MonotonicTime) -> Inferred {
        match frame.meta.stream {
            StreamId::WorkerSafety => self.judge(frame, clock),
            StreamId::VisualInspection => {
                let mut step = Step::Pending(Self::begin(frame));
                loop {
                    match step {
                        Step::Pending(job) => step = self.step(job, &clock),
                        Step::Done(inferred) => return inferred,
                    }
                }
            }
        }
    }

    /// Finds the people in a worker-safety frame: one inference.
    pub fn judge(&mut self, frame: Frame, clock: impl Fn() -> MonotonicTime) -> Inferred {
        let timing = InferenceTiming {
            queued: clock().saturating_since(frame.meta.arrived),
            ..InferenceTiming::default()
        };
        let mut watch = Stopwatch::new(clock, timing);
        let found = self
            .detector
            .detect(&frame, &self.selection.persons, &mut watch);
        Inferred {
            findings: found.map_or_else(|error| failed(&frame, &error), Findings::Persons),
            frame,
            doubt: None,
            timing: watch.timing(),
        }
    }

    /// Takes an inspection frame; nothing is done before the first [`Inferencer::step`].
    #[must_use]
    pub fn begin(frame: Frame) -> InspectionJob {
        InspectionJob {
            frame,
            timing: InferenceTiming::default(),
            grading: None,
        }
    }

    /// Runs the next inference of an inspection frame: the detector first, then the classifier once
    /// per part, on a crop of the full-resolution frame.
    pub fn step(&mut self, job: InspectionJob, clock: impl Fn() -> MonotonicTime) -> Step {
        let InspectionJob {
            frame,
            mut timing,
            grading,
        } = job;
        if grading.is_none() {
            timing.queued = clock().saturating_since(frame.meta.arrived);
        }
        let mut watch = Stopwatch::new(clock, timing);
        let advanced = match grading {
            None => self.find_parts(&frame, &mut watch),
            Some(grading) => self.grade_next(&frame, grading, &mut watch),
        };
        let timing = watch.timing();
        let findings = match advanced {
            Ok(grading) if grading.items.len() < grading.parts.len().min(ITEMS_MAX) => {
                return Step::Pending(InspectionJob {
                    frame,
                    timing,
                    grading: Some(grading),
                });
            }
            Ok(grading) => Findings::Items(grading.items),
            Err(error) => failed(&frame, &error),
        };
        Step::Done(Inferred {
            frame,
            findings,
            doubt: None,
            timing,
        })
    }

    fn find_parts(
        &mut self,
        frame: &Frame,
        watch: &mut Stopwatch<impl Fn() -> MonotonicTime>,
    ) -> Result<Grading, InferenceError> {
        Ok(Grading {
            parts: self.detector.detect(frame, &self.selection.parts, watch)?,
            items: GradedItems::new(),
        })
    }

    fn grade_next(
        &mut self,
        frame: &Frame,
        mut grading: Grading,
        watch: &mut Stopwatch<impl Fn() -> MonotonicTime>,
    ) -> Result<Grading, InferenceError> {
        if let Some(detection) = grading.parts.get(grading.items.len()).copied() {
            let crop = crop_of(detection.bbox, self.selection.crop_margin, frame.size());
            let grade = self.classifier.classify(frame, crop, watch)?;
            grading.items.push(GradedItem { detection, grade });
        }
        Ok(grading)
    }
}

fn failed(frame: &Frame, error: &InferenceError) -> Findings {
    let meta = &frame.meta;
    Findings::Failed(format!("{} frame {}: {error}", meta.stream, meta.sequence).into())
}

/// Every label that the detector will be asked for: by the configuration and by the self-test. Words that
/// it does not have are left out here and refused by [`LabelSet::select`].
fn wanted_labels(
    labels: &Labels,
    safety: &WorkerSafetyConfig,
    inspection: &VisualInspectionConfig,
) -> Vec<LabelId> {
    let configured = std::iter::once(&safety.person_label).chain(&inspection.part_labels);
    let names = configured
        .map(String::as_str)
        .chain([self_test::PERSON_LABEL]);
    names.filter_map(|name| labels.id(name).ok()).collect()
}

/// Every label that the configuration grades exists.
fn check_grades(labels: &Labels, grades: &[(String, GradeAction)]) -> Result<(), InferenceError> {
    grades
        .iter()
        .try_for_each(|(name, _)| labels.id(name).map(|_| ()))
}

#[cfg(test)]
#[path = "inferencer_tests.rs"]
mod tests;
