#![allow(clippy::unwrap_used, reason = "a failure is the message")]

use super::*;
use crate::inference::test_model::{TestOperator, TestTensor, model};

/// Two heads of three classes, two anchors in each of four places.
struct Small {
    tensors: Vec<TestTensor>,
    operators: Vec<TestOperator>,
    outputs: Vec<i32>,
}

/// Tensors of [`Small`].
const INPUT: i32 = 0;
const WEIGHTS: [i32; 2] = [1, 6];
const BIAS: [i32; 2] = [2, 7];
const MADE: [i32; 2] = [3, 8];
const SHAPE: [i32; 2] = [4, 9];
const FLAT: [i32; 2] = [5, 10];
const JOINED: i32 = 11;
const SCORES: i32 = 12;
const SPARE: i32 = 13;

/// Operators of [`Small`].
const CONVOLUTION: usize = 0;
const JOIN: usize = 4;
const ENDING: usize = 5;

fn tensor(shape: &[i32], element: u8, data: Vec<u8>) -> TestTensor {
    TestTensor {
        shape: shape.to_vec(),
        element,
        quantisation: (element == 9).then_some((0.1, 0)),
        data,
    }
}

fn operator(builtin: i32, inputs: &[i32], outputs: &[i32]) -> TestOperator {
    TestOperator {
        builtin: u8::try_from(builtin).unwrap(),
        custom: "",
        inputs: inputs.to_vec(),
        outputs: outputs.to_vec(),
        options: Vec::new(),
    }
}

impl Small {
    fn new() -> Self {
        let (mut tensors, mut operators) = (vec![tensor(&[1, 2, 2, 4], 9, vec![])], vec![]);
        for head in 0..2_u8 {
            let weights = (0..24).map(|i| 100 * head + i).collect();
            tensors.push(tensor(&[6, 1, 1, 4], 9, weights));
            let bias: Vec<i32> = (0..6).map(|i| i32::from(head) * 1000 + i).collect();
            tensors.push(tensor(&[6], 2, le_bytes(&bias)));
            tensors.push(tensor(&[1, 2, 2, 6], 9, vec![]));
            tensors.push(tensor(&[3], 2, le_bytes(&[1, 8, 3])));
            tensors.push(tensor(&[1, 8, 3], 9, vec![]));
            let head = usize::from(head);
            let inputs = [INPUT, WEIGHTS[head], BIAS[head]];
            operators.push(operator(CONV_2D, &inputs, &[MADE[head]]));
            operators.push(operator(RESHAPE, &[MADE[head], SHAPE[head]], &[FLAT[head]]));
        }
        tensors.push(tensor(&[1, 16, 3], 9, vec![]));
        tensors.push(tensor(&[1, 16, 3], 9, vec![]));
        tensors.push(tensor(&[1, 2, 2, 6], 9, vec![]));
        operators.push(operator(CONCATENATION, &FLAT, &[JOINED]));
        operators.push(operator(LOGISTIC, &[JOINED], &[SCORES]));
        Self {
            tensors,
            operators,
            outputs: vec![SCORES],
        }
    }

    fn file(&self) -> Vec<u8> {
        model(&self.tensors, &self.operators, &[INPUT], &self.outputs)
    }
}

fn narrow(file: &[u8], kept: &[usize]) -> Result<(Vec<u8>, Graph)> {
    Graph::parse(file).unwrap().keep_columns(file, 0, kept)
}

#[test]
fn weights_biases_and_shapes_shrink_and_nothing_else_changes() {
    let file = Small::new().file();
    let (narrowed, graph) = narrow(&file, &[0, 2]).unwrap();
    assert_eq!(narrowed.len(), file.len());
    let (before, after) = (contents(&file).unwrap(), contents(&narrowed).unwrap());
    let of = |tensor: i32| &after.tensors[usize::try_from(tensor).unwrap()];
    for (head, first) in [(0, 0_u8), (1, 100)] {
        let rows = [0, 2, 3, 5].map(|row| [0, 1, 2, 3].map(|i| first + 4 * row + i));
        assert_eq!(of(WEIGHTS[head]).data, rows.concat());
        assert_eq!(of(WEIGHTS[head]).shape, [4, 1, 1, 4]);
        let bias = [0, 2, 3, 5].map(|i| 10 * i32::from(first) + i);
        assert_eq!(of(BIAS[head]).data, le_bytes(&bias));
        assert_eq!(of(MADE[head]).shape, [1, 2, 2, 4]);
        assert_eq!(of(SHAPE[head]).data, le_bytes(&[1, 8, 2]));
        assert_eq!(of(FLAT[head]).shape, [1, 8, 2]);
    }
    assert_eq!(of(JOINED).shape, [1, 16, 2]);
    assert_eq!(graph.outputs()[0].shape, [1, 16, 2]);
    assert_eq!(of(INPUT), &before.tensors[0]);
    // All of them: the same file.
    assert_eq!(narrow(&file, &[0, 1, 2]).unwrap().0, file);
}

#[test]
fn any_other_form_is_refused_with_the_reason() {
    type Change = fn(&mut Small);
    let cases: [(&str, Change); 14] = [
        // Classes that are compared with each other need each other.
        ("come from SOFTMAX", |m| m.operators[ENDING].builtin = 25),
        ("come from operator 50", |m| {
            m.operators[ENDING].builtin = 50
        }),
        ("comes from DEPTHWISE", |m| {
            m.operators[CONVOLUTION].builtin = 4
        }),
        ("comes from TRANSPOSE", |m| m.operators[1].builtin = 39),
        ("something else uses", |m| {
            m.operators.push(operator(LOGISTIC, &[MADE[1]], &[SPARE]));
        }),
        ("something else uses", |m| m.outputs.push(JOINED)),
        ("something else uses", |m| m.outputs.push(FLAT[0])),
        ("something else uses", |m| {
            m.operators[2].inputs[1] = WEIGHTS[0];
        }),
        ("a head is", |m| m.operators[JOIN].inputs[1] = FLAT[0]),
        ("its heads have 8 rows", |m| {
            m.operators[JOIN].inputs.pop();
        }),
        ("no plain constant", |m| {
            let made = operator(LOGISTIC, &[INPUT], &[SPARE]);
            m.operators.insert(0, made);
            m.operators[1].inputs[1] = SPARE;
        }),
        ("is reshaped to [1, 3, 8]", |m| {
            m.tensors[4].data = le_bytes(&[1, 3, 8]);
        }),
        ("weights are", |m| m.tensors[2].element = 0),
        ("its scores are", |m| {
            let scores = &mut m.tensors[12];
            (scores.element, scores.quantisation) = (0, None);
        }),
    ];
    for (number, (part, change)) in cases.into_iter().enumerate() {
        let mut small = Small::new();
        change(&mut small);
        let reason = narrow(&small.file(), &[1]).unwrap_err();
        assert!(reason.contains(part), "case {number}: {reason}");
    }
}

#[test]
fn columns_that_do_not_exist_or_are_out_of_order_are_refused() {
    let file = Small::new().file();
    for kept in [&[][..], &[3], &[1, 3], &[1, 0], &[1, 1]] {
        assert!(narrow(&file, kept).is_err(), "{kept:?}");
    }
    assert!(
        Graph::parse(&file)
            .unwrap()
            .keep_columns(&file, 1, &[0])
            .is_err()
    );
}

#[test]
fn a_file_whose_parts_are_shared_is_refused() {
    // A head's weights are another tensor's values as well.
    let mut file = Small::new().file();
    let bytes = Bytes(&file);
    let model = bytes.table(bytes.follow(0).unwrap()).unwrap();
    let graph = bytes.tables(model, 2).unwrap()[0];
    let tensors = bytes.tables(graph, 0).unwrap();
    let buffer = |tensor: i32| {
        let table = tensors[usize::try_from(tensor).unwrap()];
        bytes.field(table, 2, 4).unwrap().unwrap()
    };
    let (weights, spare) = (buffer(WEIGHTS[0]), buffer(SPARE));
    file.copy_within(weights..weights + 4, spare);
    let reason = narrow(&file, &[1]).unwrap_err();
    assert!(reason.contains("tensor 13"), "{reason}");
}
