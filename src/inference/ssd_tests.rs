#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a failure is the message; numbers are small"
)]

use proptest::prelude::*;
use tflitec::interpreter::Interpreter;
use tflitec::model::Model as TfliteModel;

use super::*;
use crate::inference::test_model::{OptionValue, TestOperator, TestTensor, flexbuffer, model};

/// A tensor's values in the types that are read.
#[derive(Clone, Debug)]
enum Values {
    F32(Vec<f32>),
    U8(Vec<u8>, Quantisation),
    I8(Vec<i8>, Quantisation),
}

impl Values {
    fn view(&self) -> TensorView<'_> {
        match self {
            Self::F32(values) => TensorView::F32(values),
            Self::U8(values, _) => TensorView::U8(values),
            Self::I8(values, _) => TensorView::I8(values),
        }
    }

    fn spec(&self, shape: [usize; 3]) -> TensorSpec {
        let (element, quantisation) = match self {
            Self::F32(_) => (ElementType::F32, None),
            Self::U8(_, quantisation) => (ElementType::U8, Some(*quantisation)),
            Self::I8(_, quantisation) => (ElementType::I8, Some(*quantisation)),
        };
        TensorSpec {
            name: "raw".to_owned(),
            shape: shape.to_vec(),
            element,
            quantisation,
        }
    }

    fn real(&self) -> Vec<f32> {
        let real = |value: i32, q: &Quantisation| (value - q.zero_point) as f32 * q.scale;
        match self {
            Self::F32(values) => values.clone(),
            Self::U8(values, q) => values.iter().map(|v| real(i32::from(*v), q)).collect(),
            Self::I8(values, q) => values.iter().map(|v| real(i32::from(*v), q)).collect(),
        }
    }
}

/// All that the step is given.
#[derive(Clone, Debug)]
struct Case {
    options: Options,
    anchors: Vec<[f32; 4]>,
    columns: usize,
    encoding_length: usize,
    encodings: Values,
    scores: Values,
}

/// Detections as comparable bits: box, class, score.
type Found = Vec<([u32; 4], usize, u32)>;

impl Case {
    fn step(&self) -> Result<PostProcess, String> {
        let count = self.anchors.len();
        PostProcess::new(
            self.options,
            self.anchors.clone(),
            &self.encodings.spec([1, count, self.encoding_length]),
            &self.scores.spec([1, count, self.columns]),
        )
    }

    /// Rows per detection that TFLite counts.
    fn per_row(&self) -> usize {
        match self.options.suppression {
            Suppression::Fast => self.options.classes_per_detection,
            Suppression::Regular => 1,
        }
    }

    fn run(&self) -> Found {
        let mut step = self.step().unwrap();
        let buffers = |step: &PostProcess| {
            let (boxes, classes) = (step.boxes.as_ptr(), step.classes.as_ptr());
            let (scores, candidates) = (step.row_scores.as_ptr(), step.candidates.as_ptr());
            (boxes, classes, scores, candidates)
        };
        let before = buffers(&step);
        let first = found(step.run(self.encodings.view(), self.scores.view()).unwrap());
        let again = found(step.run(self.encodings.view(), self.scores.view()).unwrap());
        assert_eq!(first, again, "the second run");
        assert_eq!(before, buffers(&step), "memory moved");
        first
    }
}

fn class_of(class: f32) -> usize {
    (0..1000).find(|c| (*c as f32 - class).abs() < 0.5).unwrap()
}

fn found(rows: Rows<'_>) -> Found {
    assert!(rows.boxes.len() == rows.classes.len() && rows.boxes.len() == rows.scores.len());
    let rows = rows.boxes.iter().zip(rows.classes).zip(rows.scores);
    rows.map(|((bbox, class), score)| (bbox.map(f32::to_bits), class_of(*class), score.to_bits()))
        .collect()
}

/// The same in the plainest words: everything made real, everything decoded, everything sorted, and
/// each kept box strikes out all later ones that it overlaps.
fn reference(case: &Case) -> Found {
    let (encodings, scores) = (case.encodings.real(), case.scores.real());
    let options = &case.options;
    let background = case.columns - options.classes;
    let mut all = Vec::new();
    for (anchor, [ay, ax, ah, aw]) in case.anchors.iter().map(|a| a.map(f64::from)).enumerate() {
        let raw = &encodings[anchor * case.encoding_length..][..4];
        let part = |i: usize| f64::from(raw[i]) / f64::from(options.scales[i]);
        #[allow(clippy::cast_possible_truncation, reason = "boxes are f32")]
        let (cy, cx, hh, hw) = (
            (part(0) * ah + ay) as f32,
            (part(1) * aw + ax) as f32,
            (0.5 * part(2).exp() * ah) as f32,
            (0.5 * part(3).exp() * aw) as f32,
        );
        let mut classes: Vec<(usize, f32)> = scores[anchor * case.columns..][..case.columns]
            [background..]
            .iter()
            .copied()
            .enumerate()
            .collect();
        classes.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap());
        all.push(([cy - hh, cx - hw, cy + hh, cx + hw], classes));
    }
    all.retain(|(_, classes)| classes[0].1 >= options.score_threshold);
    all.sort_by(|a, b| b.1[0].1.partial_cmp(&a.1[0].1).unwrap());
    let mut kept = Vec::new();
    while !all.is_empty() && kept.len() < options.detections_max {
        let first = all.remove(0);
        all.retain(|other| shared(first.0, other.0) <= options.iou_threshold);
        kept.push(first);
    }
    let wanted = options.classes_per_detection.min(options.classes);
    kept.into_iter()
        .flat_map(|(bbox, classes)| {
            let classes = classes.into_iter().take(wanted);
            classes.map(move |(class, score)| (bbox.map(f32::to_bits), class, score.to_bits()))
        })
        .collect()
}

/// Intersection over union of boxes that are numbers.
fn shared(a: [f32; 4], b: [f32; 4]) -> f32 {
    let area = |b: [f32; 4]| (b[2] - b[0]) * (b[3] - b[1]);
    let height = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let width = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let both = height * width;
    if area(a) > 0.0 && area(b) > 0.0 {
        both / (area(a) + area(b) - both)
    } else {
        0.0
    }
}

/// The anchors of [`cases`] are multiples of this.
const ANCHOR_STEP: f32 = 0.05;

fn anchor_byte(value: f32) -> u8 {
    (0..=u8::MAX)
        .find(|byte| (f32::from(*byte) * ANCHOR_STEP - value).abs() < 1e-6)
        .unwrap()
}

/// A model of nothing but TFLite's operator with a case's options, anchors and forms.
fn operator_file(case: &Case) -> Vec<u8> {
    let count = i32::try_from(case.anchors.len()).unwrap();
    let side = |n: usize| i32::try_from(n).unwrap();
    let options = &case.options;
    let rows = side(options.detections_max * options.classes_per_detection);
    let raw = |values: &Values, length: usize| {
        let spec = values.spec([1, 1, 1]);
        TestTensor {
            shape: vec![1, count, side(length)],
            element: match spec.element {
                ElementType::U8 => 3,
                ElementType::I8 => 9,
                ElementType::F32 | ElementType::Other(_) => 0,
            },
            quantisation: spec
                .quantisation
                .map(|q| (q.scale, i64::from(q.zero_point))),
            data: Vec::new(),
        }
    };
    let float = |shape: &[i32], data: Vec<u8>| TestTensor {
        shape: shape.to_vec(),
        element: 0,
        quantisation: None,
        data,
    };
    let values = case.anchors.as_flattened();
    // Where encodings are bytes, TFLite's operator takes anchors for bytes, too.
    let anchors = match case.encodings {
        Values::U8(..) => TestTensor {
            element: 3,
            quantisation: Some((ANCHOR_STEP, 0)),
            ..float(
                &[count, 4],
                values.iter().map(|v| anchor_byte(*v)).collect(),
            )
        },
        Values::F32(_) | Values::I8(..) => float(
            &[count, 4],
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
    };
    let tensors = [
        raw(&case.encodings, case.encoding_length),
        raw(&case.scores, case.columns),
        anchors,
        float(&[1, rows, 4], Vec::new()),
        float(&[1, rows], Vec::new()),
        float(&[1, rows], Vec::new()),
        float(&[1], Vec::new()),
    ];
    let operator = TestOperator {
        builtin: 32,
        custom: "TFLite_Detection_PostProcess",
        inputs: vec![0, 1, 2],
        outputs: vec![3, 4, 5, 6],
        options: flexbuffer(&[
            (
                "max_detections",
                OptionValue::Int(side(options.detections_max)),
            ),
            (
                "max_classes_per_detection",
                OptionValue::Int(side(options.classes_per_detection)),
            ),
            ("num_classes", OptionValue::Int(side(options.classes))),
            (
                "nms_score_threshold",
                OptionValue::Float(options.score_threshold),
            ),
            (
                "nms_iou_threshold",
                OptionValue::Float(options.iou_threshold),
            ),
            ("y_scale", OptionValue::Float(options.scales[0])),
            ("x_scale", OptionValue::Float(options.scales[1])),
            ("h_scale", OptionValue::Float(options.scales[2])),
            ("w_scale", OptionValue::Float(options.scales[3])),
            (
                "use_regular_nms",
                OptionValue::Truth(options.suppression == Suppression::Regular),
            ),
            (
                "detections_per_class",
                OptionValue::Int(side(options.detections_per_class)),
            ),
        ]),
    };
    model(&tensors, &[operator], &[0, 1], &[3, 4, 5, 6])
}

/// What TFLite's own operator finds; `None` where it fails. Reads as many rows as there are, which
/// is not what its count says with several classes per detection.
fn operator(case: &Case) -> Option<Found> {
    let file = operator_file(case);
    let file = TfliteModel::from_bytes(&file).unwrap();
    let interpreter = Interpreter::new(&file, None).unwrap();
    interpreter.allocate_tensors().unwrap();
    for (index, values) in [&case.encodings, &case.scores].into_iter().enumerate() {
        let input = interpreter.input(index).unwrap();
        match values {
            Values::F32(values) => input.set_data(values),
            Values::U8(values, _) => input.set_data(values),
            Values::I8(values, _) => input.set_data(values),
        }
        .unwrap();
    }
    interpreter.invoke().ok()?;
    let output = |index: usize| interpreter.output(index).unwrap().data::<f32>().to_vec();
    let [boxes, classes, scores, anchors] = [0, 1, 2, 3].map(output);
    let rows = class_of(anchors[0]) * case.per_row();
    Some(found(Rows {
        boxes: &boxes.as_chunks::<4>().0[..rows],
        classes: &classes[..rows],
        scores: &scores[..rows],
    }))
}

fn options() -> Options {
    Options {
        detections_max: 10,
        detections_per_class: 100,
        classes_per_detection: 1,
        classes: 2,
        score_threshold: 0.1,
        iou_threshold: 0.5,
        scales: [10.0, 10.0, 5.0, 5.0],
        suppression: Suppression::Fast,
    }
}

/// Boxes that are their anchors; scores of two classes behind the background.
fn plain(anchors: &[[f32; 4]], scores: &[[f32; 2]]) -> Case {
    Case {
        options: options(),
        anchors: anchors.to_vec(),
        columns: 3,
        encoding_length: 4,
        encodings: Values::F32(vec![0.0; 4 * anchors.len()]),
        scores: Values::F32(scores.iter().flat_map(|[a, b]| [1.0, *a, *b]).collect()),
    }
}

const LEFT: [f32; 4] = [0.5, 0.25, 0.2, 0.2];
const RIGHT: [f32; 4] = [0.5, 0.75, 0.2, 0.2];

/// Class and score of what is found.
fn outcome(case: &Case) -> Vec<(usize, f32)> {
    let found = case.run();
    assert_eq!(found, reference(case));
    found
        .iter()
        .map(|(_, class, score)| (*class, f32::from_bits(*score)))
        .collect()
}

#[test]
fn the_better_of_two_overlapping_boxes_stays_whatever_its_class() {
    let case = plain(&[LEFT, LEFT, RIGHT], &[[0.3, 0.2], [0.1, 0.9], [0.0, 0.5]]);
    assert_eq!(outcome(&case), [(1, 0.9), (1, 0.5)]);
}

/// What is found of the wanted classes.
fn wanted(case: &Case, classes: &[usize], threshold: f32) -> Found {
    let mut step = case.step().unwrap();
    let (encodings, scores) = (case.encodings.view(), case.scores.view());
    let rows = step.run_wanted(encodings, scores, classes.iter().copied(), threshold);
    found(rows.unwrap())
}

#[test]
fn nothing_that_is_not_wanted_hides_what_is() {
    // A person (class 0) in front of a truck (class 1), and one who looks more like a chair.
    let case = plain(&[LEFT, LEFT, RIGHT], &[[0.4, 0.1], [0.1, 0.9], [0.5, 0.6]]);
    assert_eq!(
        outcome(&case),
        [(1, 0.9), (1, 0.6)],
        "the operator sees nobody"
    );
    let persons: Vec<f32> = wanted(&case, &[0], 0.4)
        .iter()
        .map(|(.., score)| f32::from_bits(*score))
        .collect();
    assert_eq!(persons, [0.5, 0.4]);
}

#[test]
fn more_objects_than_can_be_told_are_an_error() {
    let anchors: Vec<[f32; 4]> = (0..=DETECTIONS_MAX)
        .map(|n| [0.5, n as f32, 0.1, 0.1])
        .collect();
    let scores = vec![[0.9, 0.0]; anchors.len()];
    let case = plain(&anchors, &scores);
    let mut step = case.step().unwrap();
    let run = |step: &mut PostProcess, threshold| {
        let (encodings, scores) = (case.encodings.view(), case.scores.view());
        let rows = step.run_wanted(encodings, scores, std::iter::once(0), threshold);
        rows.map(|rows| rows.boxes.len())
    };
    assert!(run(&mut step, 0.5).unwrap_err().contains("100"));
    assert_eq!(run(&mut step, 0.95), Ok(0));
    let quantisation = Quantisation {
        scale: 1.0 / 256.0,
        zero_point: 0,
    };
    let stored = Case {
        scores: Values::U8(vec![255; 3], quantisation),
        ..plain(&[LEFT], &[[0.0, 0.0]])
    };
    let mut blind = stored.step().unwrap();
    let (boxes, stored) = (stored.encodings.view(), stored.scores.view());
    let found = blind.run_wanted(boxes, stored, std::iter::once(0), 0.999);
    assert!(
        found.is_err(),
        "a threshold that nothing reaches is no clear zone"
    );
    let all_but_one = plain(&anchors[1..], &scores[1..]);
    assert_eq!(wanted(&all_but_one, &[0], 0.5).len(), DETECTIONS_MAX);
}

#[test]
fn a_score_on_the_threshold_counts_and_the_background_never_does() {
    let case = plain(&[LEFT, RIGHT], &[[0.1, 0.0], [0.099, 0.0]]);
    assert_eq!(outcome(&case), [(0, 0.1)]);
}

#[test]
fn of_equal_scores_the_first_anchor_and_the_first_class_win() {
    let case = plain(&[RIGHT, LEFT], &[[0.5, 0.5], [0.5, 0.5]]);
    let found = case.run();
    let x = |row: usize| f32::from_bits(found[row].0[1]);
    assert_eq!([found[0].1, found[1].1], [0, 0]);
    assert!(x(0) > x(1), "the first anchor is the right one");
    assert_eq!(Some(found), operator(&case));
}

#[test]
fn an_overlap_of_exactly_the_threshold_is_allowed() {
    // Halves of one box: intersection over union 0.5 with the whole.
    let half = [0.5, 0.5, 0.5, 1.0];
    let whole = [0.5, 0.5, 1.0, 1.0];
    let case = plain(&[whole, half], &[[0.9, 0.0], [0.8, 0.0]]);
    assert_eq!(outcome(&case), [(0, 0.9), (0, 0.8)]);
    assert_eq!(Some(case.run()), operator(&case));
}

#[test]
fn an_anchor_that_was_struck_out_strikes_out_nothing() {
    // Each overlaps its neighbour only.
    let anchors = [0.3, 0.35, 0.4].map(|x| [0.5, x, 0.2, 0.2]);
    let case = plain(&anchors, &[[0.9, 0.0], [0.8, 0.0], [0.7, 0.0]]);
    assert_eq!(outcome(&case), [(0, 0.9), (0, 0.7)]);
}

#[test]
fn a_score_that_is_no_number_is_an_error() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let case = plain(&[LEFT, RIGHT], &[[0.9, 0.0], [0.0, bad]]);
        let mut step = case.step().unwrap();
        let error = step
            .run(case.encodings.view(), case.scores.view())
            .unwrap_err();
        assert!(error.contains("class 1 of anchor 1"), "{error}");
    }
}

#[test]
fn a_box_that_is_no_number_is_kept_so_that_it_fails_the_frame() {
    let mut case = plain(&[LEFT, LEFT], &[[0.9, 0.0], [0.8, 0.0]]);
    case.encodings = Values::F32(vec![0.0, 0.0, 0.0, 0.0, f32::NAN, 0.0, 0.0, 0.0]);
    let found = case.run();
    assert_eq!(found.len(), 2);
    assert!(f32::from_bits(found[1].0[0]).is_nan());
}

#[test]
fn tensors_of_another_form_are_an_error() {
    let case = plain(&[LEFT], &[[0.9, 0.0]]);
    let mut step = case.step().unwrap();
    let (encodings, scores) = (case.encodings.view(), case.scores.view());
    for (encodings, scores) in [
        (TensorView::F32(&[0.0; 3]), scores),
        (TensorView::U8(&[0; 4]), scores),
        (encodings, TensorView::F32(&[0.0; 4])),
        (encodings, TensorView::I8(&[0; 3])),
    ] {
        assert!(
            step.run(encodings, scores).is_err(),
            "{encodings:?} {scores:?}"
        );
    }
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let good = plain(&[LEFT, RIGHT], &[[0.9, 0.0]; 2]);
    assert!(good.step().is_ok());
    let q = Quantisation {
        scale: 0.000_1,
        zero_point: 0,
    };
    type Fault = fn(&mut Case);
    let faults: [(&str, Fault); 8] = [
        ("1 classes, but 3", |c| c.options.classes = 1),
        ("4 classes, but 3", |c| c.options.classes = 4),
        ("at most 100", |c| c.options.detections_max = 101),
        ("at most 100", |c| {
            c.options.detections_max = 51;
            c.options.classes_per_detection = 2;
        }),
        ("not 4", |c| c.encoding_length = 3),
        ("anchor 1", |c| c.anchors[1][2] = -0.1),
        ("anchor 0", |c| c.anchors[0][0] = f32::NAN),
        ("anchor 1", |c| c.anchors[1][3] = f32::INFINITY),
    ];
    for (word, fault) in faults {
        let mut case = good.clone();
        fault(&mut case);
        let error = case.step().unwrap_err();
        assert!(error.contains(word), "{word}: {error}");
    }
    let mut blind = good.clone();
    blind.scores = Values::U8(vec![0; 6], q);
    assert!(blind.step().unwrap_err().contains("can reach"));
    let spec = good.scores.spec([1, 3, 3]);
    assert!(PostProcess::new(options(), good.anchors.clone(), &spec, &spec).is_err());
    let spec = TensorSpec {
        element: ElementType::I8,
        quantisation: None,
        ..good.scores.spec([1, 2, 3])
    };
    assert!(PostProcess::new(options(), good.anchors, &spec, &spec).is_err());
}

/// Few distinct values, so that ties and touching boxes are common.
fn values(length: usize, low: f32, high: f32) -> impl Strategy<Value = Values> {
    let scale = (high - low) / 255.0;
    let coarse = proptest::collection::vec(0_u8..=12, length);
    let fine = proptest::collection::vec(any::<u8>(), length);
    let bytes = prop_oneof![
        coarse.prop_map(|v| v.into_iter().map(|v| v * 21).collect()),
        fine
    ];
    #[allow(clippy::cast_possible_truncation, reason = "rounded and small")]
    let zero = (-low / scale).round() as i32;
    (bytes, 0..3).prop_map(move |(bytes, kind): (Vec<u8>, i32)| match kind {
        0 => Values::F32(bytes.iter().map(|v| low + scale * f32::from(*v)).collect()),
        1 => Values::U8(
            bytes,
            Quantisation {
                scale,
                zero_point: zero,
            },
        ),
        _ => Values::I8(
            bytes.iter().map(|v| (v ^ 0x80).cast_signed()).collect(),
            Quantisation {
                scale,
                zero_point: zero - 128,
            },
        ),
    })
}

fn cases() -> impl Strategy<Value = Case> {
    let shape = (1_usize..40, 1_usize..6, 0_usize..2, 4_usize..6);
    shape.prop_flat_map(|(count, classes, background, encoding_length)| {
        let anchors = proptest::collection::vec(
            (0_u8..5, 0_u8..5, 0_u8..4, 0_u8..4).prop_map(|(y, x, h, w)| {
                [4 * y, 4 * x, 3 * h, 3 * w].map(|v| f32::from(v) * ANCHOR_STEP)
            }),
            count,
        );
        let columns = classes + background;
        (
            (1_usize..20, 1_usize..4, 0.0_f32..0.9, 0.05_f32..=1.0),
            anchors,
            values(count * encoding_length, -6.0, 6.0),
            values(count * columns, 0.0, 1.0),
        )
            .prop_map(
                move |((most, each, score, iou), anchors, encodings, scores)| Case {
                    options: Options {
                        detections_max: most,
                        classes_per_detection: each,
                        classes,
                        score_threshold: score,
                        iou_threshold: iou,
                        ..options()
                    },
                    anchors,
                    columns,
                    encoding_length,
                    encodings,
                    scores,
                },
            )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_input_gives_what_the_plain_words_give(case in cases()) {
        prop_assert_eq!(case.run(), reference(&case));
    }

    #[test]
    fn wanted_classes_come_as_if_there_were_no_others(
        case in cases(),
        class in 0_usize..6,
        threshold in 0.0_f32..1.0,
    ) {
        let class = class % case.options.classes;
        let background = case.columns - case.options.classes;
        let hidden = |(i, score): (usize, &f32)| match i % case.columns == background + class {
            true => *score,
            false => -1.0,
        };
        let scores = case.scores.real();
        let alone = Case {
            options: Options {
                detections_max: DETECTIONS_MAX,
                classes_per_detection: 1,
                score_threshold: threshold,
                ..case.options
            },
            scores: Values::F32(scores.iter().enumerate().map(hidden).collect()),
            ..case.clone()
        };
        prop_assert_eq!(wanted(&case, &[class], threshold), reference(&alone));
    }

    #[test]
    fn any_input_gives_what_tflites_operator_gives(mut case in cases()) {
        case.options.classes_per_detection = 1;
        let ours = case.run();
        // TFLite's operator does not read int8; a model has it made real first.
        for values in [&mut case.encodings, &mut case.scores] {
            if matches!(values, Values::I8(..)) {
                *values = Values::F32(values.real());
            }
        }
        prop_assert_eq!(Some(ours), operator(&case));
    }

    #[test]
    fn class_by_class_any_input_gives_what_tflites_operator_gives(
        mut case in cases(),
        per_class in 1_usize..8,
        ties: bool,
    ) {
        case.options.suppression = Suppression::Regular;
        case.options.detections_per_class = per_class;
        case.encodings = Values::F32(case.encodings.real());
        let scores = case.scores.real();
        // A few different scores, many of them equal.
        let coarse = |score: &f32| if ties { (score * 4.0).round() / 4.0 } else { *score };
        case.scores = Values::F32(scores.iter().map(coarse).collect());
        prop_assert_eq!(Some(case.run()), operator(&case));
    }

    #[test]
    fn several_classes_of_different_scores_come_as_from_tflites_operator(mut case in cases()) {
        let each = case.options.classes_per_detection.min(case.options.classes);
        case.options.classes_per_detection = each;
        case.encodings = Values::F32(case.encodings.real());
        // Scores within an anchor differ: the operator's order of equal ones is its sort's business.
        let length = case.columns;
        let scores = case.scores.real();
        let apart = |(i, score): (usize, &f32)| score + 0.001 * ((i % length) as f32);
        case.scores = Values::F32(scores.iter().enumerate().map(apart).collect());
        prop_assert_eq!(Some(case.run()), operator(&case));
    }
}

#[test]
fn a_wanted_class_that_the_model_does_not_have_is_an_error_and_not_nobody() {
    let case = plain(&[LEFT], &[[0.3, 0.2]]);
    let mut step = case.step().unwrap();
    let (encodings, scores) = (case.encodings.view(), case.scores.view());
    let rows = step.run_wanted(encodings, scores, [0, 2].into_iter(), 0.1);
    let reason = rows.unwrap_err();
    assert!(reason.contains("none with number 2"), "{reason}");
}
