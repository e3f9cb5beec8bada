//! Steady state from frame to findings on the CPU: preprocessing, both models, post-processing and crops ask the
//! allocator for nothing. (What TensorFlow Lite does inside is C++ and not counted; it plans its memory at load.)

#[path = "support/allocations.rs"]
mod allocations;

use std::path::Path;

use allocations::allocations;
use andon::capture::{Captured, FrameSource as _, VideoSource};
use andon::config::{EngineChoice, Overrides, load};
use andon::frame::Frame;
use andon::inference::{Inferencer, Step};
use andon::message::Findings;
use andon::units::{MonotonicTime, StreamId};

/// Every `step`-th frame of a clip.
fn frames(clip: &str, stream: StreamId, step: usize) -> Vec<Frame> {
    let mut source = VideoSource::open(Path::new(clip), stream).expect("the clip");
    let mut frames = Vec::new();
    loop {
        match source.next_frame().expect("a whole clip") {
            Captured::Frame(frame) => frames.push(frame),
            Captured::Nothing => {}
            Captured::End => return frames.into_iter().step_by(step).collect(),
        }
    }
}

#[test]
fn judging_and_grading_allocate_nothing() {
    let loaded = load(Path::new("config/andon.toml"), &Overrides::default());
    let mut config = loaded.expect("the configuration is good").config;
    config.engine.engine = EngineChoice::Cpu;
    let mut inferencer = Inferencer::new(&config).expect("models");
    let clock = || MonotonicTime::ZERO;
    let safety = frames("tests/media/worker_safety.mp4", StreamId::WorkerSafety, 15);
    let inspection = frames("tests/media/conveyor.mp4", StreamId::VisualInspection, 30);
    let (mut people, mut parts) = (0, 0);
    let mut pass = || {
        let before = allocations();
        for frame in &safety {
            match inferencer.judge(frame.clone(), clock).findings {
                Findings::Persons(found) => people += found.len(),
                other @ (Findings::Items(_) | Findings::Failed(_)) => unreachable!("{other:?}"),
            }
        }
        for frame in &inspection {
            let mut job = Inferencer::begin(frame.clone());
            let inferred = loop {
                match inferencer.step(job, clock) {
                    Step::Pending(rest) => job = rest,
                    Step::Done(inferred) => break inferred,
                }
            };
            match inferred.findings {
                Findings::Items(found) => parts += found.len(),
                other @ (Findings::Persons(_) | Findings::Failed(_)) => unreachable!("{other:?}"),
            }
        }
        allocations() - before
    };
    // The first pass makes the weights of every size of crop.
    pass();
    let spent = pass();
    assert_eq!(
        spent,
        0,
        "allocations in {} frames",
        safety.len() + inspection.len()
    );
    assert!(people > 40 && parts > 20, "{people} people, {parts} parts");
}
