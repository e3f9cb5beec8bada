//! The reason the product exists: zones, run permission, grades. Pure: no clock, no I/O.
//!
//! [`Decision`] is owned by the decide thread. It is fed inference results, ticks and levels of the
//! input lines, each with the time on the decision clock, and answers with verdicts for picture and
//! report and with the edges of the outputs. The rooms:
//!
//! | room | question |
//! |---|---|
//! | [`zones`] | who stands in which zone? |
//! | [`distance`] | how far is everybody from the nearest stop zone? (shown, decides nothing) |
//! | [`guard`] | is a stream fresh and clear, and for how long? |
//! | [`reset`] | was the button really pressed and let go? |
//! | [`screen`] | and the one on the screen, which may hang? |
//! | [`interlock`] | may the machine run? (the drawing of its states is there) |
//! | [`warning`] | is the lamp of the warn zones lit? |
//! | [`inspection`] | what does a grade mean? |
//! | [`parts`] | which detections are one part, and what becomes of it? |
//! | [`pulse`] | when is the reject line active? |
//! | `self_check` | has the program proved that it works, and when? |
//! | [`dwell`] | does somebody stay for too long? |
//! | [`fault`] | is the fault lamp lit? |
//!
//! Whatever is missing, late or malformed counts as an occupied zone. After construction nothing
//! here allocates, but for the text of a frame that could not be judged.

#![deny(clippy::indexing_slicing)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::panic,
        reason = "a test that panics has failed, as it should"
    )
)]

pub mod distance;
pub mod dwell;
pub mod fault;
pub mod guard;
pub mod inspection;
pub mod interlock;
pub mod parts;
pub mod pulse;
pub mod reset;
pub mod screen;
mod self_check;
pub mod warning;
pub mod zones;

use std::time::Duration;

use arrayvec::ArrayVec;

use crate::config::{Config, MinuteOfDay, Zone};
use crate::message::{
    Cause, DetectorTest, Disposition, Feedback, FieldLevels, Findings, Inferred, InputState,
    LineHealth, OperatorCommand, OperatorOrder, OutputChange, OutputCommand, OutputName,
    OutputState, PartTally, PermissionState, PictureDoubt, ResetPrompt, ResetRefusal, Verdict,
    ZoneSet,
};
use crate::units::{MonotonicTime, Score, StreamId, ZoneIndex, ZoneKind};

use distance::Ranging;
use dwell::Dwell;
use fault::FaultLamp;
use guard::Occupancy;
use inspection::Grading;
use interlock::{GuardFrame, Inputs, Interlock, Occurrence, Proof, Settings};
use parts::PartTracker;
use pulse::{Ordered, PulseTiming, PulseTrain};
use screen::{ScreenButton, ScreenReset, ScreenSignal};
use self_check::{GeometryTest, SelfTestRecord};
use warning::Warning;

/// Most edges of one call: one per output, and one more for each when the program ends.
pub const CHANGES_MAX: usize = 8;

/// What has to be done after a call: in order, at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Actions {
    /// Edges of the outputs. Only edges: an output that stays as it is is not mentioned.
    pub changes: ArrayVec<OutputChange, CHANGES_MAX>,
    /// A reset was pressed in vain, and why.
    pub refused: Option<ResetRefusal>,
}

/// The decision stage: everything between inference and the outputs.
///
/// `now` is the time on the decision clock and never runs backwards from call to call; if it does,
/// that is a fault and the run permission goes. In real time the stage is ticked every 5 ms; with
/// files processed as fast as possible, after every frame with the frame's timestamp.
#[derive(Clone, Debug)]
pub struct Decision {
    zones: Vec<Zone>,
    ranging: Ranging,
    person_threshold: Score,
    settings: Settings,
    interlock: Interlock,
    field: FieldLevels,
    screen: ScreenButton,
    lines: LineHealth,
    self_test: SelfTestRecord,
    prompt: ResetPrompt,
    proof: Proof,
    warning: Warning,
    grading: Grading,
    tracker: PartTracker,
    pulses: PulseTrain,
    fault: FaultLamp,
    dwell: Dwell,
    /// The time of day; `None` where the clock cannot be believed.
    minute: Option<MinuteOfDay>,
    parts: PartTally,
}

impl Decision {
    /// OFF, knowing nothing. `classifier_labels` is the classifier's label file, in its order.
    #[must_use]
    pub fn new(config: &Config, classifier_labels: &[String]) -> Self {
        let zones = config.zones.clone();
        let guarding = StreamId::ALL.map(|stream| zones::watches(&zones, ZoneKind::Stop, stream));
        Self {
            ranging: Ranging::new(config),
            person_threshold: config.worker_safety.threshold,
            settings: Settings {
                mute_limit: config.output.mute_limit(),
                ..Settings::new(&config.safety, guarding)
            },
            interlock: Interlock::new(),
            field: FieldLevels::default(),
            screen: ScreenButton::new(if config.screen_may_reset() {
                ScreenReset::Permitted
            } else {
                ScreenReset::Refused
            }),
            lines: LineHealth::default(),
            self_test: SelfTestRecord::new(self_check::zones_are_where_they_should_be(&zones)),
            prompt: ResetPrompt::default(),
            proof: Proof::Missing,
            warning: Warning::new(|stream| zones::watches(&zones, ZoneKind::Warn, stream)),
            grading: Grading::new(&config.visual_inspection, classifier_labels),
            tracker: PartTracker::new(),
            pulses: PulseTrain::new(pulse_timing(config)),
            fault: FaultLamp::new(),
            dwell: Dwell::new(&zones),
            minute: None,
            parts: PartTally::default(),
            zones,
        }
    }

    /// The outputs as they are before anything happened: all inactive. For the report, which tells
    /// every output's first state; the heartbeat is not in the report.
    #[must_use]
    pub fn initial(&self, now: MonotonicTime) -> Actions {
        let mut actions = Actions::default();
        for output in [
            OutputName::RunPermission,
            OutputName::Warning,
            OutputName::Reject,
            OutputName::Fault,
        ] {
            actions.push(now, output, OutputState::Inactive, Cause::Start);
        }
        actions
    }

    /// Takes what inference found in a frame.
    pub fn on_inferred(&mut self, inferred: &Inferred, now: MonotonicTime) -> (Verdict, Actions) {
        let Inferred {
            frame,
            findings,
            doubt,
            ..
        } = inferred;
        let meta = &frame.meta;
        self.on_picture(meta.stream, meta.timestamp, *doubt, findings, now)
    }

    /// Takes what inference found in a frame of `stream` taken at `captured`, whose picture is
    /// beyond doubt.
    pub fn on_findings(
        &mut self,
        stream: StreamId,
        captured: MonotonicTime,
        findings: &Findings,
        now: MonotonicTime,
    ) -> (Verdict, Actions) {
        self.on_picture(stream, captured, None, findings, now)
    }

    /// Takes what inference found in a frame of `stream` taken at `captured`, and what is wrong
    /// with the picture itself.
    pub fn on_picture(
        &mut self,
        stream: StreamId,
        captured: MonotonicTime,
        doubt: Option<PictureDoubt>,
        findings: &Findings,
        now: MonotonicTime,
    ) -> (Verdict, Actions) {
        match stream {
            StreamId::WorkerSafety => {
                let verdict = zones::judge(
                    &self.zones,
                    self.idle(),
                    stream,
                    self.person_threshold,
                    findings,
                );
                let mut verdict = zones::doubted(&self.zones, stream, verdict, doubt);
                let [stop, warn] = [ZoneKind::Stop, ZoneKind::Warn]
                    .map(|kind| zones::occupancy(&self.zones, kind, &verdict));
                // A frame that could not be judged is no stay.
                if verdict.failure.is_none() {
                    self.dwell.observe(verdict.zones, captured);
                    self.fault.overstayed(self.dwell.overstayed());
                }
                let actions = self.on_occupancy(stream, captured, stop, warn, now);
                self.ranging.measure(stream, &mut verdict);
                (Verdict::Safety(verdict), actions)
            }
            StreamId::VisualInspection => {
                let verdict = self.grading.judge(findings);
                if verdict.failure.is_none() {
                    let decided = self.tracker.observe(captured, &verdict.items);
                    self.count_parts(decided, now);
                }
                // Nobody looks for people in this stream: zones in it can never be seen clear.
                let unknown = Occupancy::Unjudged;
                let actions = self.on_occupancy(stream, captured, unknown, unknown, now);
                (Verdict::Inspection(verdict), actions)
            }
        }
    }

    /// Says what time of day it is; `None` where the clock cannot be believed. From the next frame on
    /// a zone counts in its hours only, and at every hour where the time is not known.
    pub const fn set_time_of_day(&mut self, minute: Option<MinuteOfDay>) {
        self.minute = minute;
    }

    /// Zones that do not count at this hour.
    fn idle(&self) -> ZoneSet {
        let mut idle = ZoneSet::default();
        for (index, zone) in (0_u8..).zip(&self.zones) {
            if !zone.hours.count_at(self.minute) {
                idle.insert(ZoneIndex(index));
            }
        }
        idle
    }

    /// Lets time pass, with the input lines as they are now.
    pub fn tick(&mut self, now: MonotonicTime, field: FieldLevels, lines: LineHealth) -> Actions {
        self.field = field;
        self.lines = lines;
        let signal = self.screen.pass_time(now);
        self.heed(signal, now)
    }

    /// Takes what an operator did at the screen. Nobody there has to be believed: an order that is
    /// late ([`screen::is_fresh`]), told twice or out of order does nothing.
    pub fn on_operator(&mut self, command: OperatorCommand, now: MonotonicTime) -> Actions {
        if command.order == OperatorOrder::Acknowledge && screen::is_fresh(command.at, now) {
            self.fault.acknowledge();
        }
        let signal = self.screen.take(command, now);
        self.heed(signal, now)
    }

    /// Nobody will send orders from the screen any more.
    pub fn screen_gone(&mut self, now: MonotonicTime) -> Actions {
        let signal = self.screen.sender_gone();
        self.heed(signal, now)
    }

    /// A step with what the screen's button says. A void press must not end as one that was let go.
    fn heed(&mut self, signal: ScreenSignal, now: MonotonicTime) -> Actions {
        let why = match signal {
            ScreenSignal::Quiet => None,
            ScreenSignal::Refused(why) => Some(why),
            ScreenSignal::Void(why) => {
                self.interlock.void_press();
                self.fault.void_press();
                why
            }
        };
        let mut actions = self.step(Occurrence::Nothing, now);
        actions.refused = actions.refused.or(why);
        actions
    }

    /// Takes the outcome of a known-answer test of the detector. With it goes a check of the zones:
    /// each must still hold what lies inside it.
    pub fn on_self_test(&mut self, passed: DetectorTest, now: MonotonicTime) -> Actions {
        let geometry = self_check::zones_are_where_they_should_be(&self.zones);
        self.self_test.take(passed, geometry, now);
        self.step(Occurrence::Nothing, now)
    }

    /// From now on a self-test must come at least this often; before, one at the start is enough.
    pub const fn expect_self_tests_every(&mut self, period: Duration) {
        self.self_test.within = Some(period);
    }

    /// A source has ended. If it guards a zone, the run permission goes.
    pub fn source_ended(&mut self, stream: StreamId, now: MonotonicTime) -> Actions {
        if stream == StreamId::VisualInspection {
            let decided = self.tracker.finish();
            self.count_parts(decided, now);
        }
        self.warning.end(stream);
        self.step(Occurrence::SourceEnded(stream), now)
    }

    /// Takes a configuration that differs in what matters to safety: OFF, and a reset is needed.
    pub fn reconfigure(
        &mut self,
        config: &Config,
        classifier_labels: &[String],
        now: MonotonicTime,
    ) -> Actions {
        self.exchange(&mut Rules::new(config, classifier_labels), now)
    }

    /// [`Decision::reconfigure`] without allocating: `rules` becomes what was in force.
    pub fn exchange(&mut self, rules: &mut Rules, now: MonotonicTime) -> Actions {
        let warning = rules.warning.after_change(self.warning.state());
        self.warning = warning;
        self.swap(rules);
        self.step(Occurrence::ConfigurationChanged, now)
    }

    /// Takes a configuration without allocating: `rules` becomes what was in force. Where a stop depends
    /// on what differs this is [`Decision::exchange`]; otherwise the run permission stays as it is.
    pub fn update(&mut self, rules: &mut Rules, now: MonotonicTime) -> Actions {
        let same_stops = stops(&self.zones).eq(stops(&rules.zones));
        let same_person = self.person_threshold == rules.person_threshold;
        if !same_stops || !same_person || self.settings != rules.settings {
            return self.exchange(rules, now);
        }
        if self.zones != rules.zones {
            self.warning = rules.warning.after_change(self.warning.state());
        }
        self.swap(rules);
        self.step(Occurrence::Nothing, now)
    }

    fn swap(&mut self, rules: &mut Rules) {
        std::mem::swap(&mut self.zones, &mut rules.zones);
        std::mem::swap(&mut self.grading, &mut rules.grading);
        std::mem::swap(&mut self.ranging, &mut rules.ranging);
        std::mem::swap(&mut self.dwell, &mut rules.dwell);
        self.fault.overstayed(None);
        self.pulses.set_timing(rules.pulse);
        self.person_threshold = rules.person_threshold;
        self.settings = rules.settings;
        self.self_test.geometry = rules.geometry;
    }

    /// The program is ending: every active output goes inactive. Parts that wait for their pulse are
    /// counted as missed.
    pub fn shut_down(&mut self, now: MonotonicTime) -> Actions {
        let active = [
            (OutputName::RunPermission, self.permission().is_on()),
            (
                OutputName::Warning,
                self.warning.state() == OutputState::Active,
            ),
            (
                OutputName::Reject,
                self.pulses.state() == OutputState::Active,
            ),
            (OutputName::Fault, self.fault.state() == OutputState::Active),
        ];
        let mut actions = Actions::default();
        for (output, _) in active.into_iter().filter(|(_, active)| *active) {
            actions.push(now, output, OutputState::Inactive, Cause::ShutDown);
        }
        self.interlock = Interlock::new();
        self.warning = Warning::new(|_| false);
        self.parts.missed += self.pulses.forget();
        self.fault = FaultLamp::new();
        actions
    }

    /// State of the run permission.
    #[must_use]
    pub const fn permission(&self) -> PermissionState {
        self.interlock.state()
    }

    /// Whether a person in a stop zone is being let pass.
    #[must_use]
    pub const fn is_muting(&self) -> bool {
        self.interlock.is_muting()
    }

    /// Whether the last step has shown that everything works: what the heartbeat is made of.
    #[must_use]
    pub const fn proof(&self) -> Proof {
        self.proof
    }

    /// Whether a reset would be accepted now.
    #[must_use]
    pub const fn prompt(&self) -> ResetPrompt {
        self.prompt
    }

    /// What the fault output is lit for.
    #[must_use]
    pub const fn alarm(&self) -> Option<Cause> {
        self.fault.cause()
    }

    /// Parts that have left so far.
    #[must_use]
    pub const fn parts(&self) -> PartTally {
        self.parts
    }

    fn on_occupancy(
        &mut self,
        stream: StreamId,
        captured: MonotonicTime,
        stop: Occupancy,
        warn: Occupancy,
        now: MonotonicTime,
    ) -> Actions {
        self.warning
            .observe(&self.settings.guard, stream, captured, warn, now);
        let frame = GuardFrame {
            stream,
            captured,
            occupancy: stop,
        };
        self.step(Occurrence::Frame(frame), now)
    }

    fn count_parts(&mut self, decided: parts::DecidedParts, now: MonotonicTime) {
        for part in decided {
            match part.disposition {
                Disposition::Good => self.parts.good += 1,
                Disposition::Unsure => self.parts.unsure += 1,
                Disposition::Reject => {
                    self.parts.reject += 1;
                    let number = self.parts.total();
                    match self.pulses.order(number, part.seen_at, now) {
                        Ordered::Accepted => {}
                        Ordered::NoRoom => self.miss(number),
                    }
                }
            }
        }
    }

    fn miss(&mut self, number: u64) {
        self.parts.missed += 1;
        self.fault.part_missed(number);
    }

    /// Steps everything that switches an output. The run permission comes first.
    fn step(&mut self, occurrence: Occurrence, now: MonotonicTime) -> Actions {
        // Two buttons never exist together; if they did, both would have to be let go.
        let reset = match self.screen.level() {
            InputState::Active => InputState::Active,
            InputState::Inactive => self.field.reset,
        };
        let inputs = Inputs {
            occurrence,
            field: FieldLevels {
                reset,
                ..self.field
            },
            lines: self.lines,
            self_test: self.self_test.state(now),
        };
        let before = self.permission();
        let (interlock, outcome) = self.interlock.step(&self.settings, &inputs, now);
        self.interlock = interlock;
        if interlock.state() != before && is_alarm(interlock.state()) {
            // Whoever presses now began before this happened, and does not mean it.
            self.interlock.void_press();
            self.fault.void_press();
        }
        self.prompt = outcome.prompt;
        self.proof = outcome.proof;
        let mut actions = Actions {
            refused: outcome.refused,
            ..Actions::default()
        };
        if let Some(cause) = outcome.switched {
            let state = if interlock.state().is_on() {
                OutputState::Active
            } else {
                // Until the contact has been read again nobody knows that the relay has dropped.
                self.field.feedback = Feedback::Pending;
                OutputState::Inactive
            };
            actions.push(now, OutputName::RunPermission, state, cause);
        }
        if let Some((state, cause)) = self.warning.tick(&self.settings.guard, now) {
            actions.push(now, OutputName::Warning, state, cause);
        }
        if let Some(edge) = self.pulses.tick(now) {
            actions.push(now, OutputName::Reject, edge.state, edge.cause);
            if let Some(number) = edge.late {
                self.miss(number);
            }
        }
        let permission = self.interlock.state();
        if let Some((state, cause)) = self.fault.tick(permission, reset, now) {
            actions.push(now, OutputName::Fault, state, cause);
        }
        actions
    }
}

/// A configuration as the decision uses it, made ready by somebody who may allocate.
#[derive(Clone, Debug)]
pub struct Rules {
    zones: Vec<Zone>,
    ranging: Ranging,
    pulse: PulseTiming,
    person_threshold: Score,
    settings: Settings,
    geometry: GeometryTest,
    warning: Warning,
    grading: Grading,
    dwell: Dwell,
}

impl Rules {
    /// The rules of a configuration. `classifier_labels` is the classifier's label file, in its order.
    #[must_use]
    pub fn new(config: &Config, classifier_labels: &[String]) -> Self {
        let Decision {
            zones,
            ranging,
            person_threshold,
            settings,
            self_test,
            warning,
            grading,
            dwell,
            ..
        } = Decision::new(config, classifier_labels);
        Self {
            zones,
            person_threshold,
            settings,
            ranging,
            pulse: pulse_timing(config),
            geometry: self_test.geometry,
            warning,
            grading,
            dwell,
        }
    }
}

/// States in which something took the run permission away, or has to be proved anew.
const fn is_alarm(state: PermissionState) -> bool {
    match state {
        PermissionState::SelfTest | PermissionState::Tripped(_) | PermissionState::LockedOut(_) => {
            true
        }
        PermissionState::Interlocked | PermissionState::On => false,
    }
}

const fn pulse_timing(config: &Config) -> PulseTiming {
    PulseTiming {
        delay: config.visual_inspection.reject_delay,
        length: config.visual_inspection.reject_pulse,
    }
}

/// The stop zones with their places in the list.
fn stops(zones: &[Zone]) -> impl Iterator<Item = (usize, &Zone)> {
    zones
        .iter()
        .enumerate()
        .filter(|(_, zone)| zone.kind == ZoneKind::Stop)
}

impl Actions {
    fn push(&mut self, at: MonotonicTime, output: OutputName, state: OutputState, cause: Cause) {
        let command = OutputCommand { output, state };
        self.changes.push(OutputChange { at, command, cause });
    }
}

#[cfg(test)]
mod tests;
