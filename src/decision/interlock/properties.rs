//! Random operations against the invariant, judged by a shadow that keeps the whole history and
//! derives everything from it anew; it shares no code and no counters with the interlock.

#![allow(clippy::print_stdout, reason = "says how much it has checked")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a look for one kind of occurrence"
)]

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config as RunnerConfig, TestRunner};

use super::*;
use crate::message::{InputState, PictureDoubt};
use crate::units::ZoneIndex;
use Occupancy::{Clear, Doubtful, Occupied, Unjudged};

const TRIP_AFTER: usize = 2;
const CLEAR_AFTER: usize = 3;
const MAX_AGE_MS: u64 = 100;
const FAULT_AFTER_MS: u64 = 300;
const MUTE_MS: u64 = 150;

fn settings(restart: Restart, guarding: [bool; 2]) -> Settings {
    Settings {
        guard: GuardSettings {
            trip_after: 2,
            clear_after: 3,
            max_age: Duration::from_millis(MAX_AGE_MS),
            fault_after: Duration::from_millis(FAULT_AFTER_MS),
            start_within: Duration::from_millis(500),
        },
        restart,
        mute_limit: Some(Duration::from_millis(MUTE_MS)),
        guarding,
    }
}

/// One step as it was put in, with the state it led to.
#[derive(Clone, Copy, Debug)]
struct Record {
    ms: u64,
    inputs: Inputs,
    state: PermissionState,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Position of the step in the history.
    step: usize,
    captured_ms: u64,
    occupancy: Occupancy,
}

/// Everything that happened, and what has to be true of it.
struct Shadow<'a> {
    settings: &'a Settings,
    history: &'a [Record],
}

impl Shadow<'_> {
    fn last(&self) -> usize {
        self.history.len() - 1
    }

    /// Frames of a stream in the steps `..=step`, oldest first.
    fn frames(&self, stream: StreamId, step: usize) -> Vec<Seen> {
        let upto = self.history.iter().enumerate().take(step + 1);
        upto.filter_map(|(step, record)| match record.inputs.occurrence {
            Occurrence::Frame(frame) if frame.stream == stream => Some(Seen {
                step,
                captured_ms: millis(frame.captured),
                occupancy: frame.occupancy,
            }),
            _ => None,
        })
        .collect()
    }

    /// Whether something was broken in this step that `PermissionState::On` does not survive.
    fn broken(&self, step: usize) -> bool {
        let record = &self.history[step];
        let before = step.checked_sub(1).map(|before| &self.history[before]);
        let lines = record.inputs.lines == LineHealth::Lost
            || record.inputs.field.feedback == Feedback::Disagrees;
        let self_test = record.inputs.self_test != SelfTestLevel::Passed;
        let clock = before.is_some_and(|before| record.ms < before.ms);
        let guards = self
            .guarding()
            .any(|stream| match record.inputs.occurrence {
                Occurrence::SourceEnded(ended) => ended == stream,
                Occurrence::Frame(frame) if frame.stream == stream => {
                    let captured = millis(frame.captured);
                    let previous = step
                        .checked_sub(1)
                        .and_then(|before| self.frames(stream, before).last().copied());
                    captured > record.ms
                        || previous.is_some_and(|previous| {
                            captured < previous.captured_ms
                                || captured - previous.captured_ms > FAULT_AFTER_MS
                        })
                }
                _ => false,
            });
        lines || self_test || clock || guards
    }

    fn guarding(&self) -> impl Iterator<Item = StreamId> + '_ {
        let by_stream = StreamId::ALL.into_iter().zip(self.settings.guarding);
        by_stream
            .filter(|(_, guarding)| *guarding)
            .map(|(stream, _)| stream)
    }

    /// Whether the button was let go in this step after a press of the right length.
    fn reset_in(&self, step: usize) -> bool {
        let pressed = |step: usize| self.history[step].inputs.field.reset == InputState::Active;
        if pressed(step) || step == 0 || !pressed(step - 1) {
            return false;
        }
        let mut first = step - 1;
        while first > 0 && pressed(first - 1) {
            first -= 1;
        }
        let held = self.history[step].ms.saturating_sub(self.history[first].ms);
        first > 0 && (30..=3000).contains(&held)
    }

    /// Whether the mute input, as of this step, lets a person pass.
    fn muted_in(&self, step: usize) -> bool {
        let active = |step: usize| self.history[step].inputs.field.mute == InputState::Active;
        if !active(step) {
            return false;
        }
        let mut first = step;
        while first > 0 && active(first - 1) {
            first -= 1;
        }
        // Time ran backwards in between: the interlock went OFF then, whatever the mute says.
        first > 0 && self.history[step].ms.saturating_sub(self.history[first].ms) <= MUTE_MS
    }

    /// Fresh at the step, and clear in enough frames that came one after the other without a gap,
    /// all of them after step `since`, without a moment of being late in any step in between.
    fn proven_clear(&self, stream: StreamId, step: usize, since: Option<usize>) -> bool {
        let frames = self.frames(stream, step);
        let Some(newest) = frames.last() else {
            return false;
        };
        // A clear frame with the timestamp of the one before it is no evidence.
        let mut evidence = Vec::new();
        for (n, frame) in frames.iter().enumerate().rev() {
            let before = n.checked_sub(1).map(|before| frames[before]);
            if frame.occupancy != Clear {
                break;
            }
            if before.is_none_or(|before| before.captured_ms != frame.captured_ms) {
                evidence.push(*frame);
            }
            if evidence.len() == CLEAR_AFTER {
                break;
            }
        }
        let Some(oldest) = evidence.last().filter(|_| evidence.len() == CLEAR_AFTER) else {
            return false;
        };
        let steps = &self.history[oldest.step..=step];
        let never_late = steps.iter().enumerate().all(|(n, record)| {
            let seen = self.frames(stream, oldest.step + n);
            let newest = seen.last().expect("the oldest is among them");
            record.ms >= newest.captured_ms && record.ms - newest.captured_ms <= MAX_AGE_MS
        });
        let no_gap = evidence
            .windows(2)
            .all(|pair| pair[0].captured_ms - pair[1].captured_ms <= MAX_AGE_MS);
        let nothing_broke = (oldest.step..=step).all(|step| {
            let in_order = !matches!(
                self.history[step].inputs.occurrence,
                Occurrence::SourceEnded(ended) if ended == stream
            );
            in_order && self.history[step].inputs.occurrence != Occurrence::ConfigurationChanged
        });
        let after = since.is_none_or(|since| oldest.step > since);
        newest.occupancy == Clear && never_late && no_gap && nothing_broke && after
    }

    /// The invariant, for the newest step. Gives the first rule that is broken.
    fn violated(&self) -> Option<&'static str> {
        let last = self.last();
        let now = &self.history[last];
        if !now.state.is_on() {
            return None;
        }
        if self.broken(last) {
            return Some("ON in a step in which something broke");
        }
        if now.inputs.occurrence == Occurrence::ConfigurationChanged {
            return Some("ON in the step of a configuration change");
        }
        for stream in self.guarding() {
            let frames = self.frames(stream, last);
            let Some(newest) = frames.last() else {
                return Some("ON without a frame");
            };
            if now.ms - newest.captured_ms > MAX_AGE_MS {
                return Some("ON and late");
            }
            let judged = frames
                .iter()
                .rfind(|seen| matches!(seen.occupancy, Clear | Occupied(_)));
            if judged.is_none_or(|judged| now.ms - judged.captured_ms > MAX_AGE_MS) {
                return Some("ON and not judged for too long");
            }
            if matches!(newest.occupancy, Doubtful(_)) {
                return Some("ON with a picture that is not to be believed");
            }
            let latest = &frames[frames.len().saturating_sub(TRIP_AFTER)..];
            let occupied =
                latest.len() == TRIP_AFTER && latest.iter().all(|seen| seen.occupancy != Clear);
            let excused = matches!(newest.occupancy, Occupied(_)) && self.muted_in(last);
            if occupied && !excused {
                return Some("ON and occupied");
            }
        }
        self.entry_violated(last)
    }

    /// How the run permission came to be ON.
    fn entry_violated(&self, last: usize) -> Option<&'static str> {
        let off_before = |step: &usize| *step == 0 || !self.history[*step - 1].state.is_on();
        let entry = (0..=last).rev().find(off_before)?;
        if self.history[entry].inputs.field.feedback != Feedback::Agrees {
            return Some("switched ON before the feedback contact agreed");
        }
        let last_broken = (0..entry).rev().find(|step| self.broken(*step));
        let acknowledged = last_broken.and_then(|broken| {
            (broken + 1..entry).find(|step| {
                self.reset_in(*step) && self.history[*step].state == PermissionState::Interlocked
            })
        });
        if last_broken.is_some() && acknowledged.is_none() {
            return Some("ON after a fault that nobody acknowledged");
        }
        if !self
            .guarding()
            .all(|stream| self.proven_clear(stream, entry, acknowledged))
        {
            return Some("switched ON without having been clear");
        }
        let by_reset = self.reset_in(entry);
        let changed = (0..entry)
            .rev()
            .find(|step| self.history[*step].inputs.occurrence == Occurrence::ConfigurationChanged);
        let on_since_change = changed
            .is_none_or(|changed| (changed..entry).any(|step| self.history[step].state.is_on()));
        let by_itself = self.settings.restart == Restart::Automatic && on_since_change;
        if by_reset || by_itself {
            None
        } else {
            Some("switched ON without a reset")
        }
    }
}

fn millis(instant: MonotonicTime) -> u64 {
    u64::try_from(instant.since_epoch().as_millis()).expect("a short story")
}

/// Something that happens to the machine.
#[derive(Clone, Debug)]
enum Operation {
    Tick {
        ms: u64,
    },
    Frame {
        other: bool,
        ms: u64,
        lag: i64,
        occupancy: Occupancy,
    },
    /// Clear frames of both streams at a camera's pace.
    ClearFrames {
        count: u8,
        ms: u64,
    },
    Press {
        ms: u64,
    },
    Mute {
        active: bool,
    },
    Lines {
        healthy: bool,
        feedback: Feedback,
    },
    End {
        other: bool,
    },
    SelfTest(SelfTestLevel),
    ChangeConfiguration,
    ClockBack {
        ms: u64,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    let occupancy = prop_oneof![
        5 => Just(Clear),
        3 => (0_u8..3).prop_map(|zone| Occupied(ZoneIndex(zone))),
        1 => Just(Unjudged),
        1 => prop::sample::select(PictureDoubt::ALL.to_vec()).prop_map(Doubtful),
    ];
    let feedback = prop_oneof![
        Just(Feedback::Agrees),
        Just(Feedback::Pending),
        Just(Feedback::Disagrees),
    ];
    let lag = prop_oneof![8 => 0_i64..30, 2 => 30_i64..150, 1 => -20_i64..400];
    prop_oneof![
        4 => (0_u64..60).prop_map(|ms| Operation::Tick { ms }),
        1 => (60_u64..400).prop_map(|ms| Operation::Tick { ms }),
        12 => (any::<bool>(), 0_u64..50, lag, occupancy).prop_map(|(other, ms, lag, occupancy)| {
            Operation::Frame { other, ms, lag, occupancy }
        }),
        8 => (1_u8..6, 1_u64..60).prop_map(|(count, ms)| Operation::ClearFrames { count, ms }),
        8 => prop_oneof![4 => 30_u64..90, 1 => 0_u64..30].prop_map(|ms| Operation::Press { ms }),
        2 => any::<bool>().prop_map(|active| Operation::Mute { active }),
        2 => prop_oneof![3 => Just((true, Feedback::Agrees)), 1 => (any::<bool>(), feedback)]
            .prop_map(|(healthy, feedback)| Operation::Lines { healthy, feedback }),
        1 => any::<bool>().prop_map(|other| Operation::End { other }),
        2 => prop_oneof![
            3 => Just(SelfTestLevel::Passed),
            1 => Just(SelfTestLevel::Failed(SelfTestFailure::Detector)),
        ]
        .prop_map(Operation::SelfTest),
        1 => Just(Operation::ChangeConfiguration),
        1 => (1_u64..50).prop_map(|ms| Operation::ClockBack { ms }),
    ]
}

/// The machine with its history.
struct Machine {
    settings: Settings,
    interlock: Interlock,
    field: FieldLevels,
    lines: LineHealth,
    self_test: SelfTestLevel,
    ms: u64,
    history: Vec<Record>,
}

impl Machine {
    fn new(settings: Settings) -> Self {
        Self {
            settings,
            interlock: Interlock::new(),
            field: FieldLevels::default(),
            lines: LineHealth::default(),
            self_test: SelfTestLevel::Passed,
            ms: 1000,
            history: Vec::new(),
        }
    }

    fn step(&mut self, occurrence: Occurrence) -> Result<(), TestCaseError> {
        let inputs = Inputs {
            occurrence,
            field: self.field,
            lines: self.lines,
            self_test: self.self_test,
        };
        let now = MonotonicTime::from_duration(Duration::from_millis(self.ms));
        let was_on = self.interlock.state().is_on();
        let (next, outcome) = self.interlock.step(&self.settings, &inputs, now);
        self.interlock = next;
        let state = next.state();
        prop_assert_eq!(outcome.switched.is_some(), was_on != state.is_on());
        let ms = self.ms;
        self.history.push(Record { ms, inputs, state });
        let shadow = Shadow {
            settings: &self.settings,
            history: &self.history,
        };
        let violated = shadow.violated();
        prop_assert!(
            violated.is_none(),
            "{}: {:#?}",
            violated.unwrap_or(""),
            self.history
        );
        Ok(())
    }

    fn frame(
        &mut self,
        other: bool,
        captured_ms: u64,
        occupancy: Occupancy,
    ) -> Result<(), TestCaseError> {
        let captured = MonotonicTime::from_duration(Duration::from_millis(captured_ms));
        self.step(Occurrence::Frame(GuardFrame {
            stream: stream(other),
            captured,
            occupancy,
        }))
    }

    fn perform(&mut self, operation: &Operation) -> Result<(), TestCaseError> {
        match *operation {
            Operation::Tick { ms } => {
                self.ms += ms;
                self.step(Occurrence::Nothing)
            }
            Operation::Frame {
                other,
                ms,
                lag,
                occupancy,
            } => {
                self.ms += ms;
                self.frame(other, self.ms.saturating_add_signed(-lag), occupancy)
            }
            Operation::ClearFrames { count, ms } => {
                for _ in 0..count {
                    self.ms += ms;
                    self.frame(false, self.ms, Clear)?;
                    self.frame(true, self.ms, Clear)?;
                }
                Ok(())
            }
            Operation::Press { ms } => {
                self.field.reset = InputState::Active;
                self.step(Occurrence::Nothing)?;
                self.ms += ms;
                self.field.reset = InputState::Inactive;
                self.step(Occurrence::Nothing)
            }
            Operation::Mute { active } => {
                self.field.mute = if active {
                    InputState::Active
                } else {
                    InputState::Inactive
                };
                self.step(Occurrence::Nothing)
            }
            Operation::Lines { healthy, feedback } => {
                self.lines = if healthy {
                    LineHealth::Healthy
                } else {
                    LineHealth::Lost
                };
                self.field.feedback = feedback;
                self.step(Occurrence::Nothing)
            }
            Operation::SelfTest(self_test) => {
                self.self_test = self_test;
                self.step(Occurrence::Nothing)
            }
            Operation::End { other } => self.step(Occurrence::SourceEnded(stream(other))),
            Operation::ChangeConfiguration => self.step(Occurrence::ConfigurationChanged),
            Operation::ClockBack { ms } => {
                self.ms -= ms;
                self.step(Occurrence::Nothing)
            }
        }
    }
}

fn stream(other: bool) -> StreamId {
    if other {
        StreamId::VisualInspection
    } else {
        StreamId::WorkerSafety
    }
}

#[test]
fn on_implies_fresh_clear_agreeing_and_reset_whatever_happens() {
    let (steps, on, entries) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let cases = (
        prop_oneof![Just(Restart::Manual), Just(Restart::Automatic)],
        prop_oneof![Just([true, false]), Just([true, true])],
        prop::collection::vec(operation(), 1..60),
    );
    let config = RunnerConfig {
        cases: 4000,
        failure_persistence: None,
        ..RunnerConfig::default()
    };
    let outcome = TestRunner::new(config).run(&cases, |(restart, guarding, operations)| {
        let mut machine = Machine::new(settings(restart, guarding));
        for operation in &operations {
            machine.perform(operation)?;
        }
        let states: Vec<bool> = machine
            .history
            .iter()
            .map(|record| record.state.is_on())
            .collect();
        let count = |n: usize| u64::try_from(n).unwrap();
        steps.fetch_add(count(states.len()), Ordering::Relaxed);
        on.fetch_add(
            count(states.iter().filter(|on| **on).count()),
            Ordering::Relaxed,
        );
        let entered = states.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        entries.fetch_add(count(entered), Ordering::Relaxed);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    let [steps, on, entries] = [steps, on, entries].map(AtomicU64::into_inner);
    println!("{steps} steps, {on} of them ON, switched ON {entries} times");
    // Rules about ON say nothing if it is never ON.
    assert!(on * 50 > steps, "only {on} of {steps} steps were ON");
    assert!(entries > 1000, "switched ON only {entries} times");
}
