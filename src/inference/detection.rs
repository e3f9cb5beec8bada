//! The detector: a frame in, boxes with labels and scores out.
//!
//! Coral's SSD models and ours end in the operator `TFLite_Detection_PostProcess`. It is cut out of
//! the model at load and done here, by [`PostProcess`], from the raw outputs. Where a model has it in
//! a form that cannot be cut, it stays and its four outputs are read: boxes `[1, N, 4]` (ymin, xmin,
//! ymax, xmax, normalised), classes `[1, N]`, scores `[1, N]`, count `[1]`, all `f32`. Rows at and
//! beyond `count` are uninitialised memory and never read.
//!
//! A box is never dropped because it looks odd: whatever no healthy model puts out (NaN, corners the
//! wrong way round, a label that does not exist, an impossible count) fails the whole frame, which
//! then counts as occupied. A box that sticks out of the frame is clipped, one that lies outside
//! becomes a line on the frame's edge.

use arrayvec::ArrayVec;

use super::engine::{ElementType, Engine, Model, TensorSpec, TensorView};
use super::error::InferenceError;
use super::labels::Labels;
use super::narrow;
use super::registry::ModelFile;
use super::ssd::{PostProcess, Rows};
use super::stage::{Stage, Stopwatch};
use super::tflite_graph::CutPostProcess;
use crate::frame::Frame;
use crate::geometry::{Normalised, Rect, Size};
use crate::message::{DETECTIONS_MAX, Detection, Detections, InferenceTiming};
use crate::preprocess::TensorRenderer;
use crate::units::{LabelId, MonotonicTime, Score};

/// Where the four tensors are among the model's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outputs {
    boxes: usize,
    classes: usize,
    scores: usize,
    count: usize,
}

/// Which of the detections are wanted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) labels: Vec<LabelId>,
    pub(super) threshold: Score,
}

/// Where boxes come from.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one, and it never moves"
)]
enum Ending {
    /// From the model's raw outputs: encodings, scores.
    Raw(PostProcess),
    /// From the operator inside the model.
    Operator(Outputs),
}

/// Which of its classes a detector is loaded for.
#[derive(Clone, Copy, Debug)]
enum Scored<'a> {
    All,
    Only(&'a [LabelId]),
}

/// A detector with its model.
#[derive(Debug)]
pub struct Detector {
    stage: Stage,
    ending: Ending,
    labels: Labels,
}

impl Detector {
    /// Loads a detector.
    ///
    /// # Errors
    ///
    /// The file is no detector, or the engine cannot run it.
    pub fn new(file: ModelFile, engine: &dyn Engine) -> Result<Self, InferenceError> {
        Self::load(file, engine, Scored::All)
    }

    /// Loads a detector that is asked for these labels only. Where the model has the form that can be
    /// narrowed to them, the others are not computed; the results are the same.
    ///
    /// # Errors
    ///
    /// As [`Detector::new`].
    pub fn for_labels(
        file: ModelFile,
        engine: &dyn Engine,
        labels: &[LabelId],
    ) -> Result<Self, InferenceError> {
        Self::load(file, engine, Scored::Only(labels))
    }

    fn load(
        file: ModelFile,
        engine: &dyn Engine,
        scored: Scored<'_>,
    ) -> Result<Self, InferenceError> {
        match file.graph.cut_post_process(&file.bytes) {
            Ok(cut) => Self::with_raw_outputs(file, cut, engine, scored),
            Err(reason) => {
                log::warn!(
                    "model {}: its post-process operator stays inside it, where an object of another class can hide a person: {reason}",
                    file.name
                );
                Self::with_operator(file, engine)
            }
        }
    }

    fn with_raw_outputs(
        file: ModelFile,
        cut: CutPostProcess,
        engine: &dyn Engine,
        scored: Scored<'_>,
    ) -> Result<Self, InferenceError> {
        log::debug!(
            "model {}: its post-process operator was cut out and is done outside",
            file.name
        );
        let (path, labels) = (file.path.clone(), file.labels.clone());
        let unsuitable = |reason| InferenceError::Unsuitable {
            path: path.clone(),
            task: "detector",
            reason,
        };
        let CutPostProcess {
            bytes,
            graph,
            options,
            anchors,
        } = cut;
        let file = ModelFile {
            bytes,
            graph,
            ..file
        };
        let stage = Stage::new("detector", file.clone(), engine)?;
        let post_process = match stage.model().outputs() {
            [encodings, scores] => PostProcess::new(options, anchors, encodings, scores),
            outputs => Err(format!("it has {} raw outputs, not two", outputs.len())),
        }
        .map_err(unsuitable)?;
        let labels = labels.of_model(post_process.classes());
        let (stage, post_process) = match scored {
            Scored::All => (stage, post_process),
            Scored::Only(wanted) => {
                let wanted: Vec<usize> = wanted.iter().map(|id| usize::from(id.0)).collect();
                narrow::narrow(file, engine, (stage, post_process), &wanted)?
            }
        };
        Ok(Self {
            stage,
            labels,
            ending: Ending::Raw(post_process),
        })
    }

    /// Loads a detector that keeps its post-process operator. [`Detector::new`] does so only where it
    /// must; tests compare the two.
    ///
    /// # Errors
    ///
    /// As [`Detector::new`].
    pub fn with_operator(file: ModelFile, engine: &dyn Engine) -> Result<Self, InferenceError> {
        let outputs = find_outputs(&file)?;
        let (path, labels) = (file.path.clone(), file.labels.clone());
        let stage = Stage::new("detector", file, engine)?;
        check_shapes(stage.model().outputs(), outputs).map_err(|reason| {
            InferenceError::Unsuitable {
                path,
                task: "detector",
                reason,
            }
        })?;
        Ok(Self {
            stage,
            ending: Ending::Operator(outputs),
            labels,
        })
    }

    /// Whether the post-process operator stayed inside the model.
    #[must_use]
    pub const fn keeps_operator(&self) -> bool {
        match self.ending {
            Ending::Raw(_) => false,
            Ending::Operator(_) => true,
        }
    }

    /// Everything of any label in a frame with at least this score, highest score first, as the
    /// post-process operator sees it: each thing is of one label, and the better hides the worse
    /// whatever their labels are.
    ///
    /// # Errors
    ///
    /// The frame cannot be read, the engine failed, or the model put out nonsense.
    pub fn find(&mut self, frame: &Frame, threshold: Score) -> Result<Detections, InferenceError> {
        let mut watch = Stopwatch::new(|| MonotonicTime::ZERO, InferenceTiming::default());
        self.find_timed(frame, threshold, &mut watch)
    }

    /// As [`Detector::find`], with the time it takes.
    pub(super) fn find_timed(
        &mut self,
        frame: &Frame,
        threshold: Score,
        watch: &mut Stopwatch<impl Fn() -> MonotonicTime>,
    ) -> Result<Detections, InferenceError> {
        let wanted = Wanted {
            labels: self.labels.ids().collect(),
            threshold,
        };
        self.look(frame, &wanted, watch, |step, [encodings, scores]| {
            step.run(encodings, scores)
        })
    }

    /// The labels of its detections.
    #[must_use]
    pub const fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The numbers of the labels that it can be asked for.
    pub(super) fn scored(&self) -> impl Iterator<Item = LabelId> {
        let scored = |label: &LabelId| match &self.ending {
            Ending::Raw(step) => step.scores_class(usize::from(label.0)),
            Ending::Operator(_) => true,
        };
        self.labels.ids().filter(scored)
    }

    /// Size of its input.
    #[must_use]
    pub const fn input_size(&self) -> Size {
        self.stage.input_size()
    }

    /// Has its input made by a renderer from now on; where that fails, by the CPU, which is said.
    pub fn render_by(&mut self, renderer: Box<dyn TensorRenderer>) {
        self.stage.render_by(renderer);
    }

    /// Says which frame it will be shown next, so that a renderer can start on it. Does not wait.
    pub(super) fn begin(&mut self, frame: &Frame, clock: impl Fn() -> MonotonicTime) {
        let whole = Rect::FULL.to_frame(frame.size());
        self.stage.begin(frame, whole, clock);
    }

    /// What was said when the renderer failed, once.
    pub(super) fn take_render_failure(&mut self) -> Option<String> {
        self.stage.take_render_failure()
    }

    /// What the model is, for header and log.
    pub(super) const fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Everything wanted, of labels it was loaded for, in a frame, highest score first. Where the
    /// post-process step is outside the model, nothing that is not wanted can hide what is.
    pub(super) fn detect(
        &mut self,
        frame: &Frame,
        wanted: &Wanted,
        watch: &mut Stopwatch<impl Fn() -> MonotonicTime>,
    ) -> Result<Detections, InferenceError> {
        // A score is below 1: with this threshold nobody would ever be found, and every frame be clear.
        if wanted.threshold >= Score::ONE {
            let reason = "no score can reach the threshold 1".to_owned();
            return Err(self.stage.nonsense(reason));
        }
        self.look(frame, wanted, watch, |step, [encodings, scores]| {
            let classes = wanted.labels.iter().map(|label| usize::from(label.0));
            step.run_wanted(encodings, scores, classes, wanted.threshold.get())
        })
    }

    /// One inference; `post_process` is done where the model does not do it itself.
    fn look(
        &mut self,
        frame: &Frame,
        wanted: &Wanted,
        watch: &mut Stopwatch<impl Fn() -> MonotonicTime>,
        post_process: impl for<'a> FnOnce(
            &'a mut PostProcess,
            [TensorView<'_>; 2],
        ) -> Result<Rows<'a>, String>,
    ) -> Result<Detections, InferenceError> {
        let whole = Rect::FULL.to_frame(frame.size());
        self.stage.run(frame, whole, watch)?;
        let model = self.stage.model();
        let rows = match &mut self.ending {
            Ending::Raw(step) => watch.inferring(|| post_process(step, raw_outputs(model)?)),
            Ending::Operator(outputs) => rows(model, *outputs),
        };
        rows.and_then(|rows| read(rows, self.labels.names(), wanted))
            .map_err(|reason| self.stage.nonsense(reason))
    }
}

fn raw_outputs(model: &dyn Model) -> Result<[TensorView<'_>; 2], String> {
    let output = |index: usize| {
        let view = model.output(index);
        view.ok_or_else(|| format!("its raw output {index} cannot be read"))
    };
    Ok([output(0)?, output(1)?])
}

fn rows(model: &dyn Model, outputs: Outputs) -> Result<Rows<'_>, String> {
    let values = |index: usize, what: &str| match model.output(index) {
        Some(TensorView::F32(values)) => Ok(values),
        Some(TensorView::U8(_) | TensorView::I8(_)) | None => {
            Err(format!("no float {what} in its output"))
        }
    };
    let count = values(outputs.count, "count")?.first().copied();
    let boxes = values(outputs.boxes, "boxes")?.as_chunks::<4>().0;
    let classes = values(outputs.classes, "classes")?;
    let scores = values(outputs.scores, "scores")?;
    let capacity = boxes.len().min(classes.len()).min(scores.len());
    let count = whole_number(count.unwrap_or(f32::NAN), capacity)
        .ok_or_else(|| format!("a detection count of {count:?} in {capacity} rows"))?;
    Ok(Rows {
        boxes: &boxes[..count],
        classes: &classes[..count],
        scores: &scores[..count],
    })
}

/// Turns rows into detections, or says what is wrong with them.
fn read(rows: Rows<'_>, labels: &[String], wanted: &Wanted) -> Result<Detections, String> {
    let mut found = ArrayVec::new();
    let entries = rows.boxes.iter().zip(rows.classes).zip(rows.scores);
    for (row, ((corners, class), score)) in entries.enumerate() {
        let score = Score::from_model(*score)
            .ok_or_else(|| format!("detection {row} has score {score}"))?;
        let label = labels
            .len()
            .checked_sub(1)
            .and_then(|last| whole_number(*class, last))
            .and_then(|label| u16::try_from(label).ok())
            .map(LabelId)
            .ok_or_else(|| {
                format!(
                    "detection {row} has class {class} of {} labels",
                    labels.len()
                )
            })?;
        let bbox =
            clipped(*corners).ok_or_else(|| format!("detection {row} has box {corners:?}"))?;
        if score >= wanted.threshold && wanted.labels.contains(&label) {
            let detection = Detection { label, score, bbox };
            found
                .try_push(detection)
                .map_err(|_full| format!("more than {DETECTIONS_MAX} detections"))?;
        }
    }
    found.sort_by(|a: &Detection, b| b.score.get().total_cmp(&a.score.get()));
    Ok(found)
}

/// `value` where it is a whole number from 0 to `most`.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "tested for being whole and in range, which is far below 2^24"
)]
fn whole_number(value: f32, most: usize) -> Option<usize> {
    let whole = value.is_finite() && value >= 0.0 && value.fract() == 0.0 && value <= most as f32;
    whole.then_some(value as usize)
}

/// The box within the frame; `None` where its corners are not numbers or the wrong way round.
fn clipped([ymin, xmin, ymax, xmax]: [f32; 4]) -> Option<Rect<Normalised>> {
    Rect::<Normalised>::new(xmin, ymin, xmax, ymax)?;
    let clip = |value: f32| value.clamp(0.0, 1.0);
    Rect::new(clip(xmin), clip(ymin), clip(xmax), clip(ymax))
}

/// Finds the tensors by the operator that makes them, else by name.
fn find_outputs(file: &ModelFile) -> Result<Outputs, InferenceError> {
    let unsuitable = |reason: String| InferenceError::Unsuitable {
        path: file.path.clone(),
        task: "detector",
        reason,
    };
    let specs = file.graph.outputs();
    let found = file
        .graph
        .post_process_outputs()
        .or_else(|| by_name(&specs));
    let Some([boxes, classes, scores, count]) = found else {
        let seen: Vec<String> = specs
            .iter()
            .map(|spec| format!("{} {spec}", spec.name))
            .collect();
        return Err(unsuitable(format!(
            "a detector ends in TFLite_Detection_PostProcess (boxes, classes, scores, count); this one's outputs are {}",
            seen.join("; ")
        )));
    };
    for index in [boxes, classes, scores, count] {
        if specs[index].element != ElementType::F32 {
            return Err(unsuitable(format!(
                "output {} is {}, not float32",
                specs[index].name, specs[index]
            )));
        }
    }
    Ok(Outputs {
        boxes,
        classes,
        scores,
        count,
    })
}

fn by_name(specs: &[&TensorSpec]) -> Option<[usize; 4]> {
    let find = |word: &str| {
        let mut named = specs
            .iter()
            .enumerate()
            .filter(|(_, spec)| spec.name.to_lowercase().contains(word));
        named
            .next()
            .filter(|_| named.next().is_none())
            .map(|(index, _)| index)
    };
    Some([
        find("boxes")?,
        find("class")?,
        find("score")?,
        find("count").or_else(|| find("num_detections"))?,
    ])
}

/// Checks the loaded model's outputs against each other.
fn check_shapes(specs: &[TensorSpec], outputs: Outputs) -> Result<(), String> {
    let Outputs {
        boxes,
        classes,
        scores,
        count,
    } = outputs;
    let elements = |index: usize| {
        specs
            .get(index)
            .map(|spec| spec.shape.iter().product::<usize>())
    };
    let rows = elements(scores);
    let last = specs.get(boxes).and_then(|spec| spec.shape.last());
    let fits = elements(classes) == rows
        && elements(boxes) == rows.map(|rows| 4 * rows)
        && last == Some(&4)
        && elements(count) == Some(1);
    match rows {
        Some(rows) if fits && rows <= DETECTIONS_MAX => Ok(()),
        Some(rows) if fits => Err(format!(
            "it puts out {rows} detections; at most {DETECTIONS_MAX} are read"
        )),
        Some(_) | None => Err(format!("its outputs do not fit together: {specs:?}")),
    }
}

#[cfg(test)]
#[path = "detection_tests.rs"]
mod tests;
