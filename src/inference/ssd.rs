//! From an SSD's raw outputs to boxes: what the operator `TFLite_Detection_PostProcess` does, in its
//! fast mode and in its regular one, which thins out class by class, outside TFLite.
//!
//! Role words: an *anchor* is one of the fixed boxes (centre y, centre x, height, width, normalised)
//! that the network looks at; its *encoding* says how the object's box differs from it; its *scores*
//! are one per class. An anchor whose best score reaches the threshold is a *candidate*.
//!
//! ```text
//! scores ─▶ candidates, best first ─▶ decoded one by one ─▶ kept unless one kept before overlaps ─▶ rows
//! ```
//!
//! [`PostProcess::run`] is the operator. What the program uses is [`PostProcess::run_wanted`], which
//! knows only the classes that are wanted: to the operator each anchor is of one class, its best, and
//! the better of two overlapping boxes stays whatever its class, so that a person in front of a truck,
//! or one whom the network holds for a chair first and for a person second, is never put out. Here
//! nobody but a person can hide a person, and the operator's own limits of score and number do not
//! apply.
//!
//! The result of `run` is the operator's, bit for bit where the compiler rounds alike (x86-64; elsewhere it
//! may fuse a multiplication with an addition in TFLite, and the last bit differs). Ties go as there:
//! of equal classes the first, of equal anchors the first; in the regular mode of equal detections the
//! one of the later class, as TFLite on one thread merges them. Where it differs, on purpose:
//!
//! - Scores that are no finite numbers are an error; the operator overlooks a row that begins with NaN.
//! - With more than one class per detection the operator counts anchors instead of rows, so that
//!   readers miss rows, and orders equal scores within an anchor as its sort happens to leave them.
//!   Here every row counts and the first of equal classes comes first.
//!
//! Quantised tensors are searched as they are: only candidates ever become real numbers. Nothing is
//! allocated after construction. Pure; called by the infer thread.

use std::cmp::Ordering;

use super::engine::{ElementType, Quantisation, TensorSpec, TensorView};
use super::ssd_options::{Options, Suppression};
use crate::message::DETECTIONS_MAX;

/// Centre y, centre x, height, width; or ymin, xmin, ymax, xmax.
type Four = [f32; 4];

/// Detections: entry `i` of all three belongs together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    /// ymin, xmin, ymax, xmax, normalised; may stick out of the picture.
    pub(super) boxes: &'a [[f32; 4]],
    /// Class numbers, whole.
    pub(super) classes: &'a [f32],
    /// Confidence.
    pub(super) scores: &'a [f32],
}

/// The post-process step of one model.
#[derive(Debug)]
pub(super) struct PostProcess {
    options: Options,
    anchors: Vec<Four>,
    encodings: Form,
    scores: Form,
    columns: Columns,
    /// Classes put out per anchor.
    per_anchor: usize,
    candidates: Vec<Candidate>,
    /// Detections of the classes so far, in the regular mode.
    merged: Vec<Candidate>,
    boxes: Vec<Four>,
    classes: Vec<f32>,
    row_scores: Vec<f32>,
}

/// The form of a raw output: `length` values per anchor.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Form {
    length: usize,
    element: ElementType,
    quantisation: Option<Quantisation>,
}

/// Where a class's score is among an anchor's.
#[derive(Clone, Debug)]
enum Columns {
    /// Every class has one, from this one on: 1 where column 0 is the background.
    From(usize),
    /// These classes have one each, in this order.
    Of(Vec<usize>),
}

impl Columns {
    fn of(&self, class: usize) -> Option<usize> {
        match self {
            Self::From(first) => Some(first + class),
            Self::Of(classes) => classes.iter().position(|known| *known == class),
        }
    }
}

/// An anchor worth looking at.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    score: f32,
    anchor: usize,
    /// Its best class, the first of equals.
    class: usize,
}

/// How far suppression came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suppressed {
    /// Every candidate was looked at.
    All,
    /// There was no room for another object.
    Full,
}

impl PostProcess {
    /// A step for raw outputs of these forms: encodings `[1, N, 4 or more]` of which four count,
    /// scores `[1, N, classes]` or `[1, N, 1 + classes]` with the background first; N anchors.
    ///
    /// # Errors
    ///
    /// The parts do not fit together, or an anchor is no box.
    pub(super) fn new(
        options: Options,
        anchors: Vec<[f32; 4]>,
        encodings: &TensorSpec,
        scores: &TensorSpec,
    ) -> Result<Self, String> {
        let (encodings, scores) = (
            Form::of(encodings, anchors.len())?,
            Form::of(scores, anchors.len())?,
        );
        if encodings.length < 4 {
            return Err(format!(
                "it has {} raw values per box, not 4",
                encodings.length
            ));
        }
        let background = scores.length.checked_sub(options.classes);
        let Some(first_class) = background.filter(|columns| *columns <= 1) else {
            return Err(format!(
                "it has {} classes, but {} scores per anchor",
                options.classes, scores.length
            ));
        };
        // The operator refuses boxes that are inside out at every inference; those come of nothing
        // but anchors of negative size.
        let is_box = |anchor: &Four| {
            let [_, _, height, width] = anchor;
            anchor.iter().all(|v| v.is_finite()) && *height >= 0.0 && *width >= 0.0
        };
        if let Some(index) = anchors.iter().position(|anchor| !is_box(anchor)) {
            return Err(format!("its anchor {index} is {:?}", anchors[index]));
        }
        let per_anchor = match options.suppression {
            Suppression::Fast => options.classes_per_detection.min(options.classes),
            Suppression::Regular => 1,
        };
        let rows = options.detections_max.saturating_mul(per_anchor);
        if rows > DETECTIONS_MAX {
            return Err(format!(
                "it puts out {rows} detections; at most {DETECTIONS_MAX} are read"
            ));
        }
        if lowest_rank(scores, options.score_threshold).is_none() {
            return Err(format!(
                "none of its scores can reach its threshold {}",
                options.score_threshold
            ));
        }
        Ok(Self {
            options,
            encodings,
            scores,
            columns: Columns::From(first_class),
            per_anchor,
            candidates: Vec::with_capacity(anchors.len()),
            merged: Vec::with_capacity(2 * rows),
            anchors,
            boxes: Vec::with_capacity(DETECTIONS_MAX),
            classes: Vec::with_capacity(DETECTIONS_MAX),
            row_scores: Vec::with_capacity(DETECTIONS_MAX),
        })
    }

    /// Classes that the model tells apart.
    pub(super) const fn classes(&self) -> usize {
        self.options.classes
    }

    /// Scores per anchor.
    pub(super) const fn row_length(&self) -> usize {
        self.scores.length
    }

    /// Columns of the raw scores that hold these classes, in ascending order; `None` where the model does
    /// not have such a class, or scores only some.
    pub(super) fn columns_of(&self, classes: &[usize]) -> Option<Vec<usize>> {
        let Columns::From(_) = self.columns else {
            return None;
        };
        let known = classes.iter().all(|class| *class < self.options.classes);
        let mut columns: Vec<usize> = classes.iter().filter_map(|c| self.columns.of(*c)).collect();
        columns.sort_unstable();
        columns.dedup();
        known.then_some(columns)
    }

    /// Goes on with the same model that puts out only these columns of its scores.
    ///
    /// # Errors
    ///
    /// Its raw outputs are not the same otherwise; nothing has changed then.
    pub(super) fn narrow_to(
        &mut self,
        columns: &[usize],
        encodings: &TensorSpec,
        scores: &TensorSpec,
    ) -> Result<(), String> {
        let Columns::From(first) = self.columns else {
            return Err("it is narrow already".to_owned());
        };
        let anchors = self.anchors.len();
        let narrow = Form {
            length: columns.len(),
            ..self.scores
        };
        if Form::of(encodings, anchors)? != self.encodings || Form::of(scores, anchors)? != narrow {
            return Err(format!("its raw outputs are {encodings} and {scores}"));
        }
        let classes = columns.iter().map(|column| column.checked_sub(first));
        let classes: Option<Vec<usize>> = classes.collect();
        self.columns = Columns::Of(classes.ok_or("the background is no class")?);
        self.scores = narrow;
        Ok(())
    }

    /// Whether this class is scored.
    pub(super) fn scores_class(&self, class: usize) -> bool {
        class < self.options.classes && self.columns.of(class).is_some()
    }

    /// The detections in an inference's raw outputs, anchors with the highest score first.
    ///
    /// # Errors
    ///
    /// Not all classes are scored, a tensor is not of the form announced, or a score is no finite number.
    pub(super) fn run(
        &mut self,
        encodings: TensorView<'_>,
        scores: TensorView<'_>,
    ) -> Result<Rows<'_>, String> {
        if let Columns::Of(_) = self.columns {
            return Err("it scores only some of its classes".to_owned());
        }
        if self.options.suppression == Suppression::Regular {
            return self.run_by_class(encodings, scores);
        }
        let (classes, threshold) = (0..self.options.classes, self.options.score_threshold);
        self.find_candidates(encodings, scores, classes, threshold)?;
        self.sort_candidates();
        let rows = self.options.detections_max * self.per_anchor;
        let _ = self.suppress(encodings, scores, rows, self.per_anchor);
        Ok(self.rows())
    }

    /// The regular mode: each class by itself, then the best of all.
    fn run_by_class(
        &mut self,
        encodings: TensorView<'_>,
        scores: TensorView<'_>,
    ) -> Result<Rows<'_>, String> {
        let most = self.options.detections_max;
        let per_class = self.options.detections_per_class.min(most);
        self.merged.clear();
        for class in 0..self.options.classes {
            let threshold = self.options.score_threshold;
            self.find_candidates(encodings, scores, std::iter::once(class), threshold)?;
            self.sort_candidates();
            self.boxes.clear();
            for candidate in &self.candidates {
                let bbox = self.decode(encodings, candidate.anchor);
                let iou_threshold = self.options.iou_threshold;
                let mut kept = self.boxes.iter();
                if kept.any(|kept| overlap(kept, &bbox) > iou_threshold) {
                    continue;
                }
                if self.boxes.len() >= per_class {
                    break;
                }
                self.boxes.push(bbox);
                self.merged.push(*candidate);
            }
            // No two are equal: of one class they differ in their anchor.
            self.merged.sort_unstable_by(|a, b| {
                let by_score = b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal);
                let by_class = || b.class.cmp(&a.class);
                by_score.then_with(by_class).then(a.anchor.cmp(&b.anchor))
            });
            self.merged.truncate(most);
        }
        self.boxes.clear();
        self.classes.clear();
        self.row_scores.clear();
        for candidate in &self.merged {
            self.boxes.push(self.decode(encodings, candidate.anchor));
            self.classes.push(class_number(candidate.class));
            self.row_scores.push(candidate.score);
        }
        Ok(self.rows())
    }

    /// The box of an anchor.
    fn decode(&self, encodings: TensorView<'_>, anchor: usize) -> Four {
        let at = anchor * self.encodings.length;
        let encoding = [0, 1, 2, 3].map(|i| self.encodings.real(encodings, at + i));
        decode(encoding, self.anchors[anchor], self.options.scales)
    }

    /// The objects of these classes in an inference's raw outputs that score at least `threshold`,
    /// the highest score first. An anchor is of that one of the wanted classes which it scores best.
    ///
    /// # Errors
    ///
    /// The model has no such class or does not score it, a tensor is not of the form announced, no score can
    /// reach the threshold, a score is no finite number, or there are more objects than [`DETECTIONS_MAX`]: then
    /// not all of them can be told.
    pub(super) fn run_wanted(
        &mut self,
        encodings: TensorView<'_>,
        scores: TensorView<'_>,
        classes: impl Iterator<Item = usize> + Clone,
        threshold: f32,
    ) -> Result<Rows<'_>, String> {
        let known = self.options.classes;
        if let Some(class) = classes.clone().find(|class| *class >= known) {
            return Err(format!("it has {known} classes, none with number {class}"));
        }
        if let Some(class) = classes.clone().find(|class| !self.scores_class(*class)) {
            return Err(format!("class {class} is none of those it was loaded for"));
        }
        self.find_candidates(encodings, scores, classes, threshold)?;
        self.sort_candidates();
        match self.suppress(encodings, scores, DETECTIONS_MAX, 1) {
            Suppressed::All => Ok(self.rows()),
            Suppressed::Full => Err(format!("it sees more than {DETECTIONS_MAX} objects")),
        }
    }

    /// Every anchor whose best score among `classes`, all of which exist, reaches `threshold`.
    fn find_candidates(
        &mut self,
        encodings: TensorView<'_>,
        scores: TensorView<'_>,
        classes: impl Iterator<Item = usize> + Clone,
        threshold: f32,
    ) -> Result<(), String> {
        let anchors = self.anchors.len();
        self.encodings.check("raw boxes", encodings, anchors)?;
        self.scores.check("raw scores", scores, anchors)?;
        self.candidates.clear();
        match scores {
            TensorView::U8(values) => self.find_stored(values, scores, classes, threshold),
            TensorView::I8(values) => self.find_stored(values, scores, classes, threshold),
            TensorView::F32(values) => self.find_real(values, classes, threshold),
        }
    }

    /// Compares stored scores; only the best of a candidate becomes a real number.
    fn find_stored<T: Stored>(
        &mut self,
        values: &[T],
        view: TensorView<'_>,
        classes: impl Iterator<Item = usize> + Clone,
        threshold: f32,
    ) -> Result<(), String> {
        // Nobody would ever be found, and every frame be clear.
        let Some(lowest) = lowest_rank(self.scores, threshold) else {
            return Err(format!(
                "none of its scores can reach the threshold {threshold}"
            ));
        };
        let length = self.scores.length;
        for (anchor, row) in values.chunks_exact(length).enumerate() {
            let columns = classes.clone().filter_map(|class| {
                let column = self.columns.of(class)?;
                Some((row[column].rank(), class, column))
            });
            // Of equals the first.
            let best = columns.reduce(|best, next| if next.0 > best.0 { next } else { best });
            let Some((_, class, column)) = best.filter(|(rank, ..)| *rank >= lowest) else {
                continue;
            };
            let score = self.scores.real(view, anchor * length + column);
            self.candidates.push(Candidate {
                score,
                anchor,
                class,
            });
        }
        Ok(())
    }

    /// Of all other classes, too, a score must be a number. Only whole numbers are ever narrowed.
    fn find_real(
        &mut self,
        values: &[f32],
        classes: impl Iterator<Item = usize> + Clone,
        threshold: f32,
    ) -> Result<(), String> {
        let Columns::From(first_class) = self.columns else {
            return Err("its scores are real numbers, and only some".to_owned());
        };
        for (anchor, row) in values.chunks_exact(self.scores.length).enumerate() {
            let row = &row[first_class..];
            if let Some(class) = row.iter().position(|score| !score.is_finite()) {
                let score = row[class];
                return Err(format!(
                    "class {class} of anchor {anchor} has score {score}"
                ));
            }
            let scored = classes.clone().map(|class| (row[class], class));
            let best = scored.reduce(|best, next| if next.0 > best.0 { next } else { best });
            if let Some((score, class)) = best.filter(|(score, _)| *score >= threshold) {
                self.candidates.push(Candidate {
                    score,
                    anchor,
                    class,
                });
            }
        }
        Ok(())
    }

    fn sort_candidates(&mut self) {
        // No two are equal, so that an unstable sort, which needs no memory, gives one order.
        self.candidates.sort_unstable_by(|a, b| {
            let by_score = b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal);
            by_score.then(a.anchor.cmp(&b.anchor))
        });
    }

    fn rows(&self) -> Rows<'_> {
        Rows {
            boxes: &self.boxes,
            classes: &self.classes,
            scores: &self.row_scores,
        }
    }

    /// Goes through the candidates, best first, and keeps those that none kept before overlaps, up
    /// to `rows` rows of `per_anchor` classes each.
    fn suppress(
        &mut self,
        encodings: TensorView<'_>,
        scores: TensorView<'_>,
        rows: usize,
        per_anchor: usize,
    ) -> Suppressed {
        self.boxes.clear();
        self.classes.clear();
        self.row_scores.clear();
        for candidate in &self.candidates {
            let bbox = self.decode(encodings, candidate.anchor);
            let mut kept = self.boxes.iter().step_by(per_anchor);
            if kept.any(|kept| overlap(kept, &bbox) > self.options.iou_threshold) {
                continue;
            }
            if self.boxes.len() >= rows {
                return Suppressed::Full;
            }
            let (mut class, mut score) = (candidate.class, candidate.score);
            for more in (0..per_anchor).rev() {
                self.boxes.push(bbox);
                self.classes.push(class_number(class));
                self.row_scores.push(score);
                if more > 0 {
                    (class, score) = self.next_class(scores, candidate.anchor, (class, score));
                }
            }
        }
        Suppressed::All
    }

    /// The class that follows `last` where classes are ordered by falling score, then by number.
    fn next_class(
        &self,
        scores: TensorView<'_>,
        anchor: usize,
        last: (usize, f32),
    ) -> (usize, f32) {
        let at = anchor * self.scores.length;
        let mut best: Option<(usize, f32)> = None;
        for class in 0..self.options.classes {
            let Some(column) = self.columns.of(class) else {
                continue;
            };
            let score = self.scores.real(scores, at + column);
            let follows = score < last.1 || (score <= last.1 && class > last.0);
            if follows && best.is_none_or(|best| score > best.1) {
                best = Some((class, score));
            }
        }
        best.unwrap_or(last)
    }
}

impl Form {
    fn of(spec: &TensorSpec, anchors: usize) -> Result<Self, String> {
        let quantised = match spec.element {
            ElementType::F32 => true,
            ElementType::U8 | ElementType::I8 => spec.quantisation.is_some(),
            ElementType::Other(_) => false,
        };
        match spec.shape.as_slice() {
            &[1, rows, length] if quantised && rows > 0 && rows == anchors => Ok(Self {
                length,
                element: spec.element,
                quantisation: spec
                    .quantisation
                    .filter(|_| spec.element != ElementType::F32),
            }),
            _ => Err(format!(
                "its raw output {} is {spec}; float32, or uint8 or int8 with one scale, [1, {anchors}, n] can be read",
                spec.name
            )),
        }
    }

    fn check(self, what: &str, view: TensorView<'_>, anchors: usize) -> Result<(), String> {
        let element = match view {
            TensorView::U8(_) => ElementType::U8,
            TensorView::I8(_) => ElementType::I8,
            TensorView::F32(_) => ElementType::F32,
        };
        if element == self.element && view.len() == anchors * self.length {
            return Ok(());
        }
        Err(format!(
            "its {what} are {} values of {}, not {} of {}",
            view.len(),
            element.name(),
            anchors * self.length,
            self.element.name()
        ))
    }

    /// Value `index` of a tensor that has been checked.
    fn real(self, view: TensorView<'_>, index: usize) -> f32 {
        view.real(index, self.quantisation).unwrap_or(f32::NAN)
    }
}

/// A stored score: `rank` rises with its value and fits a byte.
trait Stored: Copy {
    fn rank(self) -> u8;
}

impl Stored for u8 {
    fn rank(self) -> u8 {
        self
    }
}

impl Stored for i8 {
    fn rank(self) -> u8 {
        self.cast_unsigned() ^ 0x80
    }
}

/// The lowest rank that stands for `threshold` or more; 0 for floats, `None` where none does.
fn lowest_rank(scores: Form, threshold: f32) -> Option<u8> {
    let reaches = |rank: &u8| {
        let real = match scores.element {
            ElementType::U8 => scores.real(TensorView::U8(&[*rank]), 0),
            ElementType::I8 => scores.real(TensorView::I8(&[(*rank ^ 0x80).cast_signed()]), 0),
            ElementType::F32 | ElementType::Other(_) => threshold,
        };
        real >= threshold
    };
    (0..=u8::MAX).find(reaches)
}

/// The box that an encoding makes of its anchor. In `f64` and in this order as in TFLite.
#[allow(clippy::cast_possible_truncation, reason = "boxes are f32")]
fn decode(encoding: Four, anchor: Four, scales: Four) -> Four {
    let [y, x, height, width] = [0, 1, 2, 3].map(|i| f64::from(encoding[i]) / f64::from(scales[i]));
    let [anchor_y, anchor_x, anchor_height, anchor_width] = anchor.map(f64::from);
    let centre_y = (y * anchor_height + anchor_y) as f32;
    let centre_x = (x * anchor_width + anchor_x) as f32;
    let half_height = (0.5 * height.exp() * anchor_height) as f32;
    let half_width = (0.5 * width.exp() * anchor_width) as f32;
    [
        centre_y - half_height,
        centre_x - half_width,
        centre_y + half_height,
        centre_x + half_width,
    ]
}

/// Intersection over union; 0 where a box has no area. NaN, which overlaps nothing, where a corner
/// is no number: such a box stays and fails the frame.
fn overlap(a: &Four, b: &Four) -> f32 {
    let area = |[ymin, xmin, ymax, xmax]: &Four| (ymax - ymin) * (xmax - xmin);
    let (area_a, area_b) = (area(a), area(b));
    if area_a <= 0.0 || area_b <= 0.0 {
        return 0.0;
    }
    // Unlike `f32::max` and `f32::min` these keep a NaN in their first argument, as C++'s do.
    let larger = |a: f32, b: f32| if a < b { b } else { a };
    let smaller = |a: f32, b: f32| if b < a { b } else { a };
    let height = smaller(a[2], b[2]) - larger(a[0], b[0]);
    let width = smaller(a[3], b[3]) - larger(a[1], b[1]);
    let intersection = larger(height, 0.0) * larger(width, 0.0);
    intersection / (area_a + area_b - intersection)
}

#[allow(
    clippy::cast_precision_loss,
    reason = "there are at most 65 535 classes"
)]
const fn class_number(class: usize) -> f32 {
    class as f32
}

#[cfg(test)]
#[path = "ssd_tests.rs"]
mod tests;
