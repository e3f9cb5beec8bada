//! Steady state of the decision: not one allocation, whatever the frames show.

#[path = "support/allocations.rs"]
mod allocations;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use allocations::allocations;
use andon::config::{ChipSpec, GpioConfig, LineName, LineSpec, Overrides, Polarity, load};
use andon::decision::{Decision, Rules};
use andon::geometry::Rect;
use andon::message::{
    Cause, Detection, DetectorTest, FieldLevels, Findings, Grade, GradedItem, InputState,
    LineHealth, OutputChange, OutputCommand, OutputName, OutputState, ResetPrompt, Verdict,
};
use andon::output::{
    self, FieldInputs, HeartbeatGenerator, SimulatedOperator, SimulatedOutput, SwitchingOutput,
};
use andon::units::{LabelId, MonotonicTime, Score, StreamId};
use embedded_hal::digital::{ErrorType, InputPin, OutputPin, PinState};

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

/// A board of one chip whose lines take every level and read high.
#[derive(Debug)]
struct Board;

#[derive(Debug)]
struct Pin;

impl ErrorType for Pin {
    type Error = Infallible;
}

impl OutputPin for Pin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl InputPin for Pin {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(true)
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(false)
    }
}

impl output::Board for Board {
    type Output = Pin;
    type Input = Pin;

    fn devices(&self) -> Vec<PathBuf> {
        vec!["/dev/gpiochip0".into()]
    }

    fn chip(&self, path: &Path) -> Result<output::Chip, output::OutputError> {
        Ok(output::Chip {
            path: path.to_owned(),
            name: "gpiochip0".to_owned(),
            label: "chip".to_owned(),
            lines: vec![output::Line::default(); 8],
        })
    }

    fn output(&self, _: &output::Place<'_>, _: PinState, _: &str) -> Result<Pin, String> {
        Ok(Pin)
    }

    fn input(&self, _: &output::Place<'_>, _: &str) -> Result<Pin, String> {
        Ok(Pin)
    }
}

#[test]
fn switching_and_reading_wired_lines_allocates_nothing() {
    let line = |offset| LineSpec {
        chip: ChipSpec::Label("chip".to_owned()),
        line: LineName::Offset(offset),
        polarity: Polarity::ActiveHigh,
    };
    let config = GpioConfig {
        run_permission: line(0),
        warning: Some(line(1)),
        reject: Some(line(2)),
        fault: Some(line(3)),
        heartbeat: Some(line(4)),
        reset: Some(line(5)),
        edm: Some(line(6)),
        mute: Some(line(7)),
        edm_within: GpioConfig::EDM_WITHIN_DEFAULT,
        debounce: GpioConfig::DEBOUNCE_DEFAULT,
        mute_limit: None,
    };
    let (mut output, mut inputs) = output::open(&Board, &config).expect("a board of eight lines");
    let mut heartbeat = HeartbeatGenerator::new(Duration::from_millis(100));
    let mut beats = 0;

    let before = allocations();
    for tick in 0..1000_u64 {
        let now = MonotonicTime::from_duration(Duration::from_millis(tick * 5));
        inputs.read(now, ResetPrompt::Wait).expect("pins that work");
        for (n, name) in (0..).zip(OutputName::ALL) {
            let state = if (tick + n) % 3 == 0 {
                OutputState::Active
            } else {
                OutputState::Inactive
            };
            let change = OutputChange {
                at: now,
                command: OutputCommand {
                    output: name,
                    state,
                },
                cause: Cause::Reset,
            };
            output.apply(&change).expect("pins that work");
        }
        if let Some(beat) = heartbeat.prove(now) {
            output.apply(&beat).expect("pins that work");
            beats += 1;
        }
    }
    let spent = allocations() - before;

    assert_eq!(beats, 50);
    assert_eq!(spent, 0, "allocations in 1000 ticks");
}

#[test]
fn taking_over_another_configuration_allocates_nothing() {
    let loaded = load(Path::new("config/andon.toml"), &Overrides::default());
    let config = loaded.expect("the shipped configuration").config;
    let labels = ["fresh_apple", "rotten_apple"].map(str::to_owned).to_vec();
    let mut changed = config.clone();
    changed.zones.truncate(1);
    let mut decision = Decision::new(&config, &labels);
    let mut rules = Rules::new(&changed, &labels);
    let now = MonotonicTime::ZERO;
    let before = allocations();
    for _ in 0..3 {
        drop(std::hint::black_box(decision.exchange(&mut rules, now)));
        drop(std::hint::black_box(decision.update(&mut rules, now)));
    }
    assert_eq!(allocations() - before, 0);
}

#[test]
fn the_counter_counts() {
    let before = allocations();
    drop(std::hint::black_box(Box::new(7_u8)));
    assert_eq!(allocations() - before, 1);
}
