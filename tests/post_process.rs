//! The detector's post-processing outside the model finds what TFLite's operator inside it finds.

#![allow(clippy::print_stdout, reason = "figures for whoever asks for them")]

#[path = "support/allocations.rs"]
mod allocations;

use std::path::Path;

use allocations::allocations;
use andon::capture::{Captured, FrameSource, VideoSource};
use andon::config::ModelRef;
use andon::frame::Frame;
use andon::inference::{CpuEngine, Detector, load_model};
use andon::message::Detection;
use andon::units::{Score, StreamId};

const CLIPS: [(&str, StreamId); 2] = [
    ("tests/media/worker_safety.mp4", StreamId::WorkerSafety),
    ("tests/media/conveyor.mp4", StreamId::VisualInspection),
];

/// The shipped detector, its operator cut out and left in.
fn both_ways() -> [Detector; 2] {
    let name = ModelRef::Named("detector_coco_ssd_300_int8".to_owned());
    let file = load_model(Path::new("models"), &name).expect("the shipped detector");
    let engine = CpuEngine::new(1);
    let outside = Detector::new(file.clone(), &engine).expect("it loads without its operator");
    let inside = Detector::with_operator(file, &engine).expect("it loads with its operator");
    assert!(!outside.keeps_operator() && inside.keeps_operator());
    [outside, inside]
}

/// Calls `look` with `count` frames spread over a clip.
fn each_frame((clip, stream): (&str, StreamId), count: usize, mut look: impl FnMut(&Frame)) {
    let mut source = VideoSource::open(Path::new(clip), stream).expect("the clip opens");
    let length = source.info().frames.expect("a clip knows its length");
    let step = usize::try_from(length).expect("a short clip") / count;
    let (mut index, mut seen) = (0, 0);
    while let Captured::Frame(frame) = source.next_frame().expect("a good clip") {
        if index % step.max(1) == 0 && seen < count {
            look(&frame);
            seen += 1;
        }
        index += 1;
    }
    assert_eq!(seen, count, "frames of {clip}");
}

fn find(detector: &mut Detector, frame: &Frame) -> Vec<Detection> {
    let all = Score::new(0.0).expect("a score");
    detector.find(frame, all).expect("an inference").to_vec()
}

fn corners(detection: &Detection) -> [f32; 4] {
    let bbox = detection.bbox;
    [bbox.left(), bbox.top(), bbox.right(), bbox.bottom()]
}

#[test]
fn both_clips_give_the_same_detections_either_way() {
    let [mut outside, mut inside] = both_ways();
    let (mut boxes, mut identical) = (0, 0);
    for clip in CLIPS {
        each_frame(clip, 64, |frame| {
            let (ours, theirs) = (find(&mut outside, frame), find(&mut inside, frame));
            let at = format!("{} frame {}", clip.0, frame.meta.sequence);
            assert_eq!(ours.len(), theirs.len(), "{at}");
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert_eq!(ours.label, theirs.label, "{at}");
                let same = |a: f32, b: f32| (a - b).abs() <= 1e-6;
                assert!(
                    same(ours.score.get(), theirs.score.get()),
                    "{at}: {ours:?} {theirs:?}"
                );
                let pairs = corners(ours).into_iter().zip(corners(theirs));
                assert!(
                    pairs.into_iter().all(|(a, b)| same(a, b)),
                    "{at}: {ours:?} {theirs:?}"
                );
                boxes += 1;
                identical += usize::from(ours == theirs);
            }
        });
    }
    println!("{boxes} detections, {identical} of them equal to the last bit");
    assert!(boxes > 500, "only {boxes} detections: nothing was compared");
    // Elsewhere TFLite's compiler may fuse a multiplication with an addition.
    if cfg!(target_arch = "x86_64") {
        assert_eq!(identical, boxes);
    }
}

#[test]
fn post_processing_outside_allocates_nothing() {
    let [mut outside, mut inside] = both_ways();
    let mut seen = Vec::new();
    each_frame(CLIPS[0], 8, |frame| {
        seen.push([&mut outside, &mut inside].map(|detector| {
            let before = allocations();
            let found = detector.find(frame, Score::ONE);
            let count = allocations() - before;
            found.expect("an inference");
            count
        }));
    });
    // The first frame lays out its preprocessing. Then: the list of all labels that `find` asks for,
    // nothing else.
    assert_eq!(seen[1..], [[1, 1]; 7]);
}
