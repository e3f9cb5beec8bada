//! The detector's post-processing outside the model finds what TFLite's operator inside it finds.

#![allow(unsafe_code, reason = "a counting allocator is an unsafe trait")]
#![allow(clippy::print_stdout, reason = "figures for whoever asks for them")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use andon::capture::{Captured, FrameSource, VideoSource};
use andon::config::ModelRef;
use andon::frame::Frame;
use andon::inference::{CpuEngine, Detector, load_model};
use andon::message::Detection;
use andon::units::{MonotonicTime, Score, StreamId};
use nix::time::{ClockId, clock_gettime};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting what each thread asks of it.
struct Counting;

// SAFETY: every call is handed on unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` comes from `alloc` above, that is from `System`, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

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

fn find(
    detector: &mut Detector,
    frame: &Frame,
    clock: &impl Fn() -> MonotonicTime,
) -> (Vec<Detection>, Duration) {
    let all = Score::new(0.0).expect("a score");
    let (found, timing) = detector.find(frame, all, clock).expect("an inference");
    (found.to_vec(), timing.inference)
}

fn corners(detection: &Detection) -> [f32; 4] {
    let bbox = detection.bbox;
    [bbox.left(), bbox.top(), bbox.right(), bbox.bottom()]
}

#[test]
fn both_clips_give_the_same_detections_either_way() {
    let [mut outside, mut inside] = both_ways();
    let clock = || MonotonicTime::ZERO;
    let (mut boxes, mut identical) = (0, 0);
    for clip in CLIPS {
        each_frame(clip, 64, |frame| {
            let (ours, theirs) = (
                find(&mut outside, frame, &clock).0,
                find(&mut inside, frame, &clock).0,
            );
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
    let clock = || MonotonicTime::ZERO;
    let mut seen = Vec::new();
    each_frame(CLIPS[0], 8, |frame| {
        seen.push([&mut outside, &mut inside].map(|detector| {
            let before = ALLOCATIONS.with(Cell::get);
            let found = detector.find(frame, Score::ONE, clock);
            let count = ALLOCATIONS.with(Cell::get) - before;
            found.expect("an inference");
            count
        }));
    });
    // The first frame lays out its preprocessing. Then: the list of all labels that `find` asks for,
    // nothing else.
    assert_eq!(seen[1..], [[1, 1]; 7]);
}

/// Not a check: prints the processor time of an inference with its post-processing, the operator
/// inside and cut out. Worth running with `CARGO_PROFILE_DEV_OPT_LEVEL=3`.
#[test]
#[ignore = "measures; run it with --ignored --nocapture"]
fn time_per_inference_both_ways() {
    let mut detectors = both_ways();
    // Of this thread, which is the one that computes: other programs' load hardly shows.
    let clock = || {
        let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock");
        MonotonicTime::from_duration(Duration::from(time))
    };
    for clip in CLIPS {
        let mut times = [Vec::new(), Vec::new()];
        each_frame(clip, 100, |frame| {
            for (detector, times) in detectors.iter_mut().zip(&mut times) {
                times.push(find(detector, frame, &clock).1);
            }
        });
        for (name, mut times) in ["cut out", "inside"].into_iter().zip(times) {
            times.sort_unstable();
            let (best, median) = (times[0], times[times.len() / 2]);
            println!(
                "{}, operator {name}: best {best:?}, median {median:?}",
                clip.0
            );
        }
    }
}
