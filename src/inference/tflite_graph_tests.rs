#![allow(clippy::unwrap_used, reason = "a failure is the message")]

use super::*;
use proptest::prelude::*;
use std::sync::LazyLock;

static DETECTOR: LazyLock<Vec<u8>> =
    LazyLock::new(|| std::fs::read("models/detector_coco_ssd_300_int8.tflite").unwrap());

#[test]
fn the_shipped_detector_reads_as_it_was_made() {
    let graph = Graph::parse(&DETECTOR).unwrap();
    let [input] = graph.inputs()[..] else {
        unreachable!("one input")
    };
    assert_eq!(input.shape, [1, 300, 300, 3]);
    assert_eq!(input.element, ElementType::U8);
    let quantisation = input.quantisation.unwrap();
    assert_eq!(quantisation.zero_point, 127);
    assert!((quantisation.scale - 2.0 / 255.0).abs() < 1e-7);
    assert_eq!(graph.post_process_outputs(), Some([0, 1, 2, 3]));
    assert_eq!(graph.custom_operators(), [POST_PROCESS]);
    assert!(!graph.is_for_edge_tpu());
}

#[test]
fn what_is_no_model_is_said() {
    for junk in [&b""[..], b"TFL3", b"<!DOCTYPE html><html>", &[0xff; 64]] {
        assert_eq!(Graph::parse(junk).unwrap_err(), GraphError::NotTflite);
    }
    let error = Graph::parse(b"\x10\x00\x00\x00TFL3\0\0\0\0\0\0\0\0").unwrap_err();
    assert!(matches!(error, GraphError::Structure(_)), "{error}");
}

#[test]
fn taking_signed_input_moves_the_operators_up() {
    let mut bytes = DETECTOR.clone();
    let before = Graph::parse(&bytes).unwrap();
    assert!(before.take_signed_input(&mut bytes));
    let after = Graph::parse(&bytes).unwrap();
    assert_eq!(after.inputs()[0].element, ElementType::I8);
    assert_eq!(after.inputs()[0].shape, [1, 300, 300, 3]);
    let outputs = |graph: &Graph| -> Vec<Vec<i32>> {
        graph
            .operators
            .iter()
            .map(|operator| operator.outputs.clone())
            .collect()
    };
    assert_eq!(outputs(&after), outputs(&before)[1..]);
    // There is nothing left to take.
    assert!(!after.take_signed_input(&mut bytes.clone()));
}

#[test]
fn every_truncation_is_refused_or_harmless() {
    let length = DETECTOR.len();
    for share in 0..200 {
        let end = length * share / 200;
        assert!(
            Graph::parse(&DETECTOR[..end]).is_err(),
            "{end} of {length} bytes"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Reading and rewriting damaged bytes ends in an answer, whatever the damage.
    #[test]
    fn damaged_bytes_never_panic(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        near_the_end in any::<bool>(),
    ) {
        let mut bytes = DETECTOR.clone();
        // The tables lie behind the weights.
        let from = if near_the_end { bytes.len() * 9 / 10 } else { 0 };
        let span = bytes.len() - from;
        for (index, value) in damage {
            bytes[from + index.index(span)] = value;
        }
        if let Ok(graph) = Graph::parse(&bytes) {
            let _ = graph.cut_post_process(&bytes);
            graph.take_signed_input(&mut bytes);
        }
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 8..400)) {
        bytes[4..8].copy_from_slice(b"TFL3");
        prop_assert!(Graph::parse(&bytes).is_err());
    }
}
