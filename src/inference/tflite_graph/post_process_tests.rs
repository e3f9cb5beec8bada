#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    reason = "a failure is the message; numbers are read, not computed"
)]

use super::*;
use crate::inference::ssd_options::Suppression;
use crate::inference::test_model::{
    OptionValue, POST_PROCESS_OPTIONS, TestOperator, TestTensor, flexbuffer, model,
};

const SHIPPED: &str = "models/detector_coco_ssd_300_int8.tflite";

/// `BuiltinOperator.LOGISTIC` of the schema: stands for the network.
const NETWORK: u8 = 14;

/// A small detector: input → network → (int8 → float) twice → operator. Its parts may be changed
/// before it is made.
struct Small {
    tensors: Vec<TestTensor>,
    operators: Vec<TestOperator>,
    outputs: Vec<i32>,
}

/// Tensors of [`Small`].
const INPUT: i32 = 0;
const RAW: [i32; 2] = [1, 2];
const REAL: [i32; 2] = [3, 4];
const ANCHORS: i32 = 5;
const FOUND: [i32; 4] = [6, 7, 8, 9];
const SPARE: i32 = 10;

/// Positions of operators of [`Small`].
const POST: usize = 4;

fn tensor(shape: &[i32], element: u8) -> TestTensor {
    TestTensor {
        shape: shape.to_vec(),
        element,
        quantisation: (element == 9).then_some((0.1, 3)),
        data: Vec::new(),
    }
}

fn operator(builtin: u8, inputs: &[i32], outputs: &[i32]) -> TestOperator {
    TestOperator {
        builtin,
        custom: "",
        inputs: inputs.to_vec(),
        outputs: outputs.to_vec(),
        options: Vec::new(),
    }
}

impl Small {
    fn new() -> Self {
        let anchors: Vec<u8> = (0_u8..12)
            .flat_map(|v| f32::from(v).to_le_bytes())
            .collect();
        let tensors = vec![
            tensor(&[1, 3, 4], 9),
            tensor(&[1, 3, 4], 9),
            tensor(&[1, 3, 3], 9),
            tensor(&[1, 3, 4], 0),
            tensor(&[1, 3, 3], 0),
            TestTensor {
                data: anchors,
                ..tensor(&[3, 4], 0)
            },
            tensor(&[1, 10, 4], 0),
            tensor(&[1, 10], 0),
            tensor(&[1, 10], 0),
            tensor(&[1], 0),
            tensor(&[1, 3, 3], 0),
        ];
        let operators = vec![
            operator(NETWORK, &[INPUT], &RAW[..1]),
            operator(6, &RAW[..1], &REAL[..1]),
            operator(NETWORK, &[INPUT], &RAW[1..]),
            operator(6, &RAW[1..], &REAL[1..]),
            TestOperator {
                custom: POST_PROCESS,
                options: flexbuffer(&POST_PROCESS_OPTIONS),
                ..operator(32, &[REAL[0], REAL[1], ANCHORS], &FOUND)
            },
        ];
        Self {
            tensors,
            operators,
            outputs: FOUND.to_vec(),
        }
    }

    /// The same with other options of the operator.
    fn with(options: &[(&str, OptionValue)]) -> Self {
        let mut small = Self::new();
        let mut all = POST_PROCESS_OPTIONS.to_vec();
        for (key, value) in options {
            all.retain(|(known, _)| known != key);
            all.push((key, *value));
        }
        small.operators[POST].options = flexbuffer(&all);
        small
    }

    fn file(&self) -> Vec<u8> {
        model(&self.tensors, &self.operators, &[INPUT], &self.outputs)
    }

    fn cut(&self) -> std::result::Result<CutPostProcess, String> {
        let file = self.file();
        Graph::parse(&file).unwrap().cut_post_process(&file)
    }

    fn refused(&self) -> String {
        Graph::parse(&self.file()).unwrap_err().to_string()
    }
}

/// Indices of the operators' outputs, in order.
fn made(graph: &Graph) -> Vec<i32> {
    let outputs = graph.operators.iter().flat_map(|o| o.outputs.clone());
    outputs.collect()
}

fn outputs(graph: &Graph) -> Vec<i32> {
    let outputs = graph.outputs.iter();
    outputs.map(|o| i32::try_from(*o).unwrap()).collect()
}

#[test]
fn the_shipped_detector_is_cut_down_to_its_raw_int8_outputs() {
    let file = std::fs::read(SHIPPED).unwrap();
    let before = Graph::parse(&file).unwrap();
    let cut = before.cut_post_process(&file).unwrap();
    let [encodings, scores] = cut.graph.outputs()[..] else {
        unreachable!("two outputs")
    };
    assert_eq!(
        (encodings.shape.as_slice(), encodings.element),
        (&[1, 1917, 4][..], ElementType::I8)
    );
    assert_eq!(
        (scores.shape.as_slice(), scores.element),
        (&[1, 1917, 91][..], ElementType::I8)
    );
    assert_eq!(scores.quantisation.unwrap().zero_point, -128);
    assert!(cut.graph.custom_operators().is_empty());
    assert_eq!(cut.graph.operators.len(), before.operators.len() - 3);
    assert_eq!(cut.anchors.len(), 1917);
    assert_eq!(
        cut.options,
        Options {
            detections_max: 50,
            detections_per_class: 100,
            classes_per_detection: 1,
            classes: 90,
            score_threshold: 0.1,
            iou_threshold: 0.6,
            scales: [10.0, 10.0, 5.0, 5.0],
            suppression: Suppression::Fast,
        }
    );
    // What is left can still have its first operator folded away.
    let mut bytes = cut.bytes;
    assert!(cut.graph.take_signed_input(&mut bytes));
    assert_eq!(Graph::parse(&bytes).unwrap().outputs(), cut.graph.outputs());
}

#[test]
fn operators_that_make_inputs_real_go_with_the_operator() {
    let cut = Small::new().cut().unwrap();
    assert_eq!(outputs(&cut.graph), RAW);
    assert_eq!(made(&cut.graph), RAW);
    assert_eq!(cut.anchors[1], [4.0, 5.0, 6.0, 7.0]);
    assert_eq!(cut.options.scales, [10.0, 10.0, 5.0, 5.0]);
}

#[test]
fn real_inputs_that_something_else_uses_are_taken_as_they_are() {
    let mut small = Small::new();
    small
        .operators
        .push(operator(NETWORK, &REAL[1..], &[SPARE]));
    let cut = small.cut().unwrap();
    assert_eq!(outputs(&cut.graph), [RAW[0], REAL[1]]);
    assert_eq!(made(&cut.graph), [RAW[0], RAW[1], REAL[1], SPARE]);
}

#[test]
fn real_inputs_that_the_network_makes_are_taken_as_they_are() {
    let mut small = Small::new();
    small.operators[1] = operator(NETWORK, &RAW[..1], &REAL[..1]);
    let cut = small.cut().unwrap();
    assert_eq!(outputs(&cut.graph), [REAL[0], RAW[1]]);
}

#[test]
fn outputs_in_another_order_are_cut_too() {
    let mut small = Small::new();
    small.outputs.reverse();
    assert_eq!(outputs(&small.cut().unwrap().graph), RAW);
}

#[test]
fn unknown_forms_keep_their_operator() {
    let mut more = Small::new();
    more.outputs.push(REAL[1]);
    let mut used = Small::new();
    used.operators
        .push(operator(NETWORK, &FOUND[3..], &[SPARE]));
    let mut twice = Small::new();
    let second = TestOperator {
        outputs: vec![SPARE, 11, 12, 13],
        ..twice.operators[POST].clone()
    };
    twice.operators.push(second);
    twice.tensors.extend(vec![tensor(&[1, 3, 3], 0); 3]);
    let mut none = Small::new();
    none.operators[POST].custom = "SomethingElse";
    let mut direct = Small::new();
    direct.operators[POST].inputs[0] = INPUT;
    let mut quantised_anchors = Small::new();
    quantised_anchors.tensors[5] = TestTensor {
        data: vec![1; 12],
        ..tensor(&[3, 4], 9)
    };
    for (word, small) in [
        ("outputs are not", more),
        ("uses the outputs", used),
        ("not one operator", twice),
        ("not one operator", none),
        ("types", direct),
        ("types", quantised_anchors),
    ] {
        let reason = small.cut().unwrap_err();
        assert!(reason.contains(word), "{word}: {reason}");
    }
}

#[test]
fn options_that_no_model_can_mean_are_refused_when_the_file_is_read() {
    use OptionValue::{Float, Int, Truth};
    for (key, value) in [
        ("max_detections", Int(0)),
        ("max_detections", Int(-1)),
        ("max_detections", Float(10.0)),
        ("max_classes_per_detection", Int(0)),
        ("num_classes", Int(70_000)),
        ("detections_per_class", Int(0)),
        ("nms_score_threshold", Float(1.0)),
        ("nms_score_threshold", Float(f32::NAN)),
        ("nms_iou_threshold", Float(0.0)),
        ("nms_iou_threshold", Float(1.5)),
        ("y_scale", Float(0.0)),
        ("w_scale", Float(f32::INFINITY)),
        ("use_regular_nms", Float(0.5)),
    ] {
        let error = Small::with(&[(key, value)]).refused();
        assert!(
            error.contains(key) && error.contains("operator 4"),
            "{key} {value:?}: {error}"
        );
    }
    // These are all right.
    for (key, value) in [
        ("y_scale", Int(10)),
        ("use_regular_nms", Truth(false)),
        ("detections_per_class", Int(7)),
    ] {
        assert!(
            Small::with(&[(key, value)]).cut().is_ok(),
            "{key} {value:?}"
        );
    }
    for (missing, _) in &POST_PROCESS_OPTIONS[..9] {
        let mut small = Small::new();
        let others: Vec<_> = POST_PROCESS_OPTIONS
            .into_iter()
            .filter(|(key, _)| key != missing)
            .collect();
        small.operators[POST].options = flexbuffer(&others);
        let error = small.refused();
        assert!(
            error.contains(missing) && error.contains("missing"),
            "{error}"
        );
    }
    for options in [vec![], vec![1], b"no flexbuffer".to_vec()] {
        let mut small = Small::new();
        small.operators[POST].options = options;
        assert!(small.refused().contains("cannot be read"));
    }
}

#[test]
fn inputs_that_do_not_fit_together_are_refused_when_the_file_is_read() {
    for (index, shape) in [
        (3, &[1, 4, 4][..]),
        (3, &[1, 3, 3]),
        (3, &[3, 4]),
        (4, &[1, 4, 3]),
        (4, &[3, 3]),
    ] {
        let mut small = Small::new();
        small.tensors[index].shape = shape.to_vec();
        let error = small.refused();
        assert!(error.contains("do not fit together"), "{shape:?}: {error}");
    }
    let mut fewer = Small::new();
    fewer.tensors[5] = TestTensor {
        data: vec![0; 32],
        ..tensor(&[2, 4], 0)
    };
    assert!(fewer.refused().contains("do not fit together"));
    let mut short = Small::new();
    short.operators[POST].inputs.pop();
    assert!(short.refused().contains("three tensors"));
}
