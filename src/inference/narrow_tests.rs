#![allow(clippy::unwrap_used, reason = "a failure is the message")]

use std::path::Path;

use super::*;
use crate::config::ModelRef;
use crate::frame::{BufferPool, Frame, FrameFormat};
use crate::geometry::Size;
use crate::inference::cpu::CpuEngine;
use crate::inference::detection::{Detector, Wanted};
use crate::inference::engine::Model;
use crate::inference::registry::load_model;
use crate::preprocess::TensorMut;
use crate::units::{LabelId, Score};

fn shipped() -> ModelFile {
    let name = ModelRef::Named("detector_coco_ssd_300_int8".to_owned());
    load_model(Path::new("models"), &name).unwrap()
}

fn noise(seed: u64) -> impl FnMut() -> u8 {
    let mut state = seed;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    }
}

fn outputs(model: &mut dyn Model, seed: u64) -> Answer {
    match model.input_mut() {
        TensorMut::U8(bytes) | TensorMut::I8Bits(bytes) => bytes.fill_with(noise(seed)),
        TensorMut::F32(_) => unreachable!("the shipped detector takes bytes"),
    }
    model.invoke().unwrap();
    Answer {
        encodings: bits(model.output(0).unwrap()),
        scores: bits(model.output(1).unwrap()),
    }
}

#[test]
fn the_columns_that_stay_are_the_same_to_the_bit_whichever_they_are() {
    let engine = CpuEngine::new(1);
    let cut = shipped();
    let cut = cut.graph.cut_post_process(&cut.bytes).unwrap();
    let file = |bytes: Vec<u8>, graph| ModelFile {
        bytes,
        graph,
        ..shipped()
    };
    let mut whole = engine
        .load(file(cut.bytes.clone(), cut.graph.clone()))
        .unwrap();
    let whole: Vec<Answer> = (0..4).map(|seed| outputs(whole.as_mut(), seed)).collect();
    let sets: [&[usize]; 7] = [
        &[1],
        &[1, 53],
        &[0],
        &[90],
        &[0, 1, 2, 44, 89, 90],
        &(0..91).step_by(7).collect::<Vec<_>>(),
        &(0..91).collect::<Vec<_>>(),
    ];
    for kept in sets {
        let (bytes, graph) = cut.graph.keep_columns(&cut.bytes, SCORES, kept).unwrap();
        assert_eq!(graph.outputs()[1].shape, [1, 1917, kept.len()]);
        let mut narrow = engine.load(file(bytes, graph)).unwrap();
        for (seed, whole) in (0..).zip(&whole) {
            let expected = whole.columns(91, kept);
            assert!(
                outputs(narrow.as_mut(), seed) == expected,
                "{kept:?}, picture {seed}"
            );
        }
    }
}

/// The known picture, shifted, with noise of this strength.
fn picture(shift: usize, strength: u8) -> Frame {
    let known = self_test::picture().unwrap();
    let size = Size {
        width: known.size().width,
        height: known.size().height,
    };
    let format = FrameFormat::rgb(size);
    let mut pool = BufferPool::new();
    let mut buffer = pool.take();
    let [pixels, _, _] = buffer.prepare(&format);
    let mut noise = noise(shift as u64);
    let known = known.plane(0).data;
    let shifted = known.iter().cycle().skip(3 * shift);
    for (pixel, known) in pixels.iter_mut().zip(shifted) {
        *pixel = known.saturating_add(noise() % strength.max(1));
    }
    Frame::new(
        self_test::picture().unwrap().meta,
        format,
        buffer,
        &mut pool,
    )
}

#[test]
fn a_detector_loaded_for_labels_finds_the_same_as_the_whole_one() {
    let engine = CpuEngine::new(1);
    let mut whole = Detector::new(shipped(), &engine).unwrap();
    for labels in [
        vec![LabelId(0)],
        vec![LabelId(52), LabelId(0)],
        vec![LabelId(0), LabelId(2)],
    ] {
        let mut narrow = Detector::for_labels(shipped(), &engine, &labels).unwrap();
        let mut scored = labels.clone();
        scored.sort_unstable();
        assert_eq!(narrow.scored().collect::<Vec<_>>(), scored);
        let mut found = 0;
        for (shift, percent) in [(0, 3), (1, 3), (2, 10), (3, 10), (4, 30), (0, 30)] {
            let frame = picture(50 * shift, 30);
            let wanted = Wanted {
                labels: labels.clone(),
                threshold: Score::percent(percent),
            };
            let mut watch = Stopwatch::new(|| MonotonicTime::ZERO, InferenceTiming::default());
            // Too many objects are an error, which has to be the same as well.
            let expected = whole.detect(&frame, &wanted, &mut watch);
            found += expected.as_ref().map_or(0, |found| found.len());
            let ours = narrow.detect(&frame, &wanted, &mut watch);
            let words = |result: Result<_, InferenceError>| result.map_err(|e| e.to_string());
            assert_eq!(words(ours), words(expected), "{labels:?}, picture {shift}");
        }
        assert!(found > 0, "{labels:?}: nothing was compared");
    }
}

#[test]
fn a_label_that_is_not_computed_fails_the_frame_and_is_never_simply_not_found() {
    let engine = CpuEngine::new(1);
    let mut narrow = Detector::for_labels(shipped(), &engine, &[LabelId(52)]).unwrap();
    let frame = picture(0, 0);
    let mut watch = Stopwatch::new(|| MonotonicTime::ZERO, InferenceTiming::default());
    let person = Wanted {
        labels: vec![LabelId(52), LabelId(0)],
        threshold: Score::percent(50),
    };
    let error = narrow.detect(&frame, &person, &mut watch).unwrap_err();
    assert!(error.to_string().contains("class 0"), "{error}");
    let error = narrow.find(&frame, Score::percent(50)).unwrap_err();
    assert!(error.to_string().contains("only some"), "{error}");
}

#[test]
fn a_label_that_the_model_does_not_have_leaves_it_whole() {
    let engine = CpuEngine::new(1);
    let all = [LabelId(0), LabelId(90)];
    let whole = Detector::for_labels(shipped(), &engine, &all).unwrap();
    assert_eq!(whole.scored().count(), whole.labels().ids().count());
    let none = Detector::for_labels(shipped(), &engine, &[]).unwrap();
    assert_eq!(none.scored().count(), whole.scored().count());
}

/// An engine whose every second model has its last score changed.
#[derive(Debug)]
struct Wrong(CpuEngine, std::sync::atomic::AtomicUsize);

#[derive(Debug)]
struct WrongModel(Box<dyn Model>, Vec<i8>);

impl Engine for Wrong {
    fn description(&self) -> std::borrow::Cow<'_, str> {
        self.0.description()
    }

    fn load(&self, file: ModelFile) -> Result<Box<dyn Model>, InferenceError> {
        let model = self.0.load(file)?;
        let number = self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(if number == 1 {
            Box::new(WrongModel(model, Vec::new()))
        } else {
            model
        })
    }
}

impl Model for WrongModel {
    fn input(&self) -> &crate::inference::engine::TensorSpec {
        self.0.input()
    }

    fn outputs(&self) -> &[crate::inference::engine::TensorSpec] {
        self.0.outputs()
    }

    fn input_mut(&mut self) -> TensorMut<'_> {
        self.0.input_mut()
    }

    fn invoke(&mut self) -> Result<(), InferenceError> {
        self.0.invoke()?;
        if let Some(TensorView::I8(scores)) = self.0.output(SCORES) {
            self.1 = scores.to_vec();
            *self.1.last_mut().unwrap() ^= 1;
        }
        Ok(())
    }

    fn output(&self, index: usize) -> Option<TensorView<'_>> {
        match index {
            SCORES => Some(TensorView::I8(&self.1)),
            other => self.0.output(other),
        }
    }
}

#[test]
fn a_reduced_model_that_answers_otherwise_is_not_used() {
    let engine = Wrong(CpuEngine::new(1), Default::default());
    let detector = Detector::for_labels(shipped(), &engine, &[LabelId(0)]).unwrap();
    assert_eq!(engine.1.into_inner(), 3, "whole, reduced, whole again");
    assert_eq!(detector.scored().count(), detector.labels().ids().count());
}
