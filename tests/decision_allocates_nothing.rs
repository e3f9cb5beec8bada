//! Steady state of the decision: not one allocation, whatever the frames show.

#![allow(unsafe_code, reason = "a counting allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use andon::config::{Overrides, load};
use andon::decision::Decision;
use andon::geometry::Rect;
use andon::message::{
    Detection, DetectorTest, FieldLevels, Findings, Grade, GradedItem, InputState, LineHealth,
    Verdict,
};
use andon::output::{FieldInputs, SimulatedOperator, SimulatedOutput, SwitchingOutput};
use andon::units::{LabelId, MonotonicTime, Score, StreamId};

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

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

fn detection([left, top, right, bottom]: [f32; 4]) -> Detection {
    Detection {
        label: LabelId(0),
        score: Score::ONE,
        bbox: Rect::new(left, top, right, bottom).expect("a box"),
    }
}

/// The shipped zones with a floor, and a zone grown on it, so that distances are measured too.
const KEEPOUT: &str = concat!(
    include_str!("../config/keepout.toml"),
    r#"
[[zone]]
name = "on the floor"
kind = "stop"
floor = [[-1, 4], [1, 4], [1, 6], [-1, 6]]
grow = true

[ground]
response_time_ms = 300
points = [
    { image = [0.25, 1.0], floor = [-1, 0] }, { image = [0.75, 1.0], floor = [1, 0] },
    { image = [0.625, 0.6], floor = [1, 1] }, { image = [0.375, 0.6], floor = [-1, 1] },
]
"#
);

/// People whose feet are everywhere in the picture, from the bottom up.
fn people(count: u8) -> Findings {
    let bottoms = (0..count).map(|n| 1.0 - f32::from(n) / 100.0);
    let boxes = bottoms.map(|bottom| detection([0.0, 0.0, 1.0, bottom]));
    Findings::Persons(boxes.collect())
}

fn parts(left: f32) -> Findings {
    let grade = Grade {
        label: LabelId(1),
        score: Score::ONE,
    };
    let detection = detection([left, 0.4, left + 0.1, 0.9]);
    Findings::Items([GradedItem { detection, grade }].into_iter().collect())
}

#[test]
fn deciding_a_frame_and_a_tick_allocates_nothing() {
    let keepout = tempfile::NamedTempFile::with_suffix(".toml").expect("a file");
    std::fs::write(keepout.path(), KEEPOUT).expect("written");
    let overrides = Overrides {
        keepout: Some(keepout.path().to_owned()),
        ..Overrides::default()
    };
    let loaded = load(Path::new("config/andon.toml"), &overrides);
    let config = loaded.expect("the configuration is good").config;
    let labels = config
        .visual_inspection
        .grades
        .iter()
        .map(|(label, _)| label.clone());
    let mut decision = Decision::new(&config, &labels.collect::<Vec<_>>());
    let mut output = SimulatedOutput::new();
    let mut operator = SimulatedOperator::new(Some(Duration::from_millis(200)));
    let people = [people(0), people(60), people(90)];
    let parts: Vec<Findings> = (0..9_u8).map(|n| parts(f32::from(n) / 10.0)).collect();
    let _ = decision.on_self_test(DetectorTest::Passed, MonotonicTime::ZERO);
    let (mut switched, mut pressed, mut measured) = (0, 0, 0);

    let before = allocations();
    for frame in 0..2000_usize {
        let now = MonotonicTime::from_duration(Duration::from_millis(frame as u64 * 20));
        // Two seconds of nobody, then a few frames with somebody or a crowd.
        let crowd = if frame % 100 < 95 {
            0
        } else {
            1 + frame / 100 % 2
        };
        let (verdict, safety) =
            decision.on_findings(StreamId::WorkerSafety, now, &people[crowd], now);
        if let Verdict::Safety(verdict) = &verdict {
            measured += verdict
                .persons
                .iter()
                .filter(|p| p.distance.is_some())
                .count();
        }
        // A part passes for a second, then the belt is empty for a second.
        let seen = if frame % 100 < 45 {
            Some(&parts[frame % 100 / 5])
        } else {
            None
        };
        let inspection = seen.map(|seen| {
            decision
                .on_findings(StreamId::VisualInspection, now, seen, now)
                .1
        });
        let levels = operator.read(now, decision.prompt()).expect("a simulation");
        pressed += u32::from(levels.reset == InputState::Active);
        let tick = decision.tick(now, FieldLevels { ..levels }, LineHealth::Healthy);
        for actions in [Some(safety), inspection, Some(tick)].into_iter().flatten() {
            for change in &actions.changes {
                output.apply(change).expect("a simulation");
                switched += 1;
            }
        }
    }
    let spent = allocations() - before;

    assert!(
        switched >= 20 && pressed > 10,
        "only {switched} edges: the test shows nothing"
    );
    assert!(measured > 1000, "only {measured} distances");
    assert_eq!(spent, 0, "allocations in 2000 frames");
}

#[test]
fn the_counter_counts() {
    let before = allocations();
    drop(std::hint::black_box(Box::new(7_u8)));
    assert_eq!(allocations() - before, 1);
}
