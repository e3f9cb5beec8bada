//! The stage as a whole: frames in, verdicts and edges out.

use std::time::Duration;

use super::*;
use crate::config::{
    Anchor, CameraChecksConfig, CameraConfig, DisplayChoice, DisplayConfig, EngineChoice,
    EngineConfig, EventsConfig, GradeAction, InputSpec, KmsConfig, ModelRef, ModelsConfig,
    OutputConfig, Restart, SafetyConfig, VisualInspectionConfig, WorkerSafetyConfig,
};
use crate::geometry::{Point, Polygon, Rect, Size};
use crate::message::{
    Detection, DetectorTest, Fault, Feedback, Grade, GradedItem, GradedItems, InputState, PressId,
    TripCause,
};
use crate::units::{LabelId, ZoneIndex};
use OutputName::{Fault as FaultLamp, Reject, RunPermission, Warning as WarningLamp};
use OutputState::{Active, Inactive};

const SAFETY: StreamId = StreamId::WorkerSafety;
const PARTS: StreamId = StreamId::VisualInspection;

fn at(ms: u64) -> MonotonicTime {
    MonotonicTime::from_duration(Duration::from_millis(ms))
}

fn score(value: f32) -> Score {
    Score::new(value).unwrap()
}

fn zone(name: &str, kind: ZoneKind, left: f32, right: f32) -> Zone {
    let corners = [(left, 0.5), (right, 0.5), (right, 1.0), (left, 1.0)];
    Zone {
        name: name.to_owned(),
        camera: SAFETY,
        kind,
        anchor: Anchor::BottomEdge,
        polygon: Polygon::new(corners.map(|(x, y)| Point::new(x, y)).to_vec()).unwrap(),
        hours: crate::config::Hours::default(),
        dwell_limit: None,
    }
}

/// A stop zone on the left, a warn zone on the right.
fn config() -> Config {
    let pattern = || InputSpec::Pattern("none".to_owned());
    Config {
        worker_safety: WorkerSafetyConfig {
            camera: CameraConfig::default(),
            input: pattern(),
            threshold: score(0.5),
            person_label: "person".to_owned(),
        },
        visual_inspection: VisualInspectionConfig {
            camera: CameraConfig::default(),
            input: pattern(),
            threshold: score(0.5),
            part_labels: vec!["apple".to_owned()],
            crop_margin: 0.0,
            grade_threshold: score(0.8),
            grades: vec![
                ("fresh_apple".to_owned(), GradeAction::Good),
                ("rotten_apple".to_owned(), GradeAction::Reject),
            ],
            reject_delay: None,
            reject_pulse: Duration::from_millis(200),
        },
        ground: None,
        zones: vec![
            zone("press", ZoneKind::Stop, 0.0, 0.4),
            zone("aisle", ZoneKind::Warn, 0.6, 1.0),
        ],
        safety: SafetyConfig {
            trip_after: 1,
            clear_after: 2,
            max_age: Duration::from_millis(250),
            fault_after: Duration::from_millis(1000),
            restart: Restart::Manual,
        },
        camera_checks: CameraChecksConfig::default(),
        models: ModelsConfig {
            directory: "models".into(),
            detector: ModelRef::Named(String::new()),
            classifier: ModelRef::Named(String::new()),
        },
        engine: EngineConfig {
            engine: EngineChoice::Cpu,
            threads: 1,
            ..EngineConfig::default()
        },
        output: OutputConfig::simulated(None),
        events: EventsConfig::default(),
        display: DisplayConfig {
            display: DisplayChoice::None,
            size: Size {
                width: 64,
                height: 64,
            },
            anonymize: false,
            kiosk: crate::config::KioskConfig::default(),
            kms: KmsConfig::default(),
        },
        watchdog: None,
    }
}

fn labels() -> Vec<String> {
    ["fresh_apple", "rotten_apple"].map(str::to_owned).to_vec()
}

fn detection(left: f32) -> Detection {
    Detection {
        label: LabelId(0),
        score: score(0.9),
        bbox: Rect::new(left, 0.3, left + 0.1, 0.8).unwrap(),
    }
}

fn people(lefts: &[f32]) -> Findings {
    Findings::Persons(lefts.iter().map(|left| detection(*left)).collect())
}

fn apple(left: f32, label: u16) -> Findings {
    let grade = Grade {
        label: LabelId(label),
        score: score(0.9),
    };
    let detection = detection(left);
    Findings::Items([GradedItem { detection, grade }].into_iter().collect())
}

const IN_PRESS: f32 = 0.1;
const IN_AISLE: f32 = 0.8;

struct Stage {
    decision: Decision,
    ms: u64,
    edges: Vec<(u64, OutputName, OutputState, Cause)>,
    refused: Vec<ResetRefusal>,
}

impl Stage {
    fn new(config: &Config) -> Self {
        let mut stage = Self {
            decision: Decision::new(config, &labels()),
            ms: 0,
            edges: Vec::new(),
            refused: Vec::new(),
        };
        let tested = stage.decision.on_self_test(DetectorTest::Passed, at(0));
        stage.take(tested);
        stage
    }

    fn take(&mut self, actions: Actions) {
        for change in actions.changes {
            assert_eq!(change.at, at(self.ms));
            let OutputCommand { output, state } = change.command;
            self.edges.push((self.ms, output, state, change.cause));
        }
        self.refused.extend(actions.refused);
    }

    fn frame(&mut self, ms: u64, findings: &Findings) -> Verdict {
        self.ms = ms;
        let (verdict, actions) = self.decision.on_findings(SAFETY, at(ms), findings, at(ms));
        self.take(actions);
        verdict
    }

    fn parts(&mut self, ms: u64, findings: &Findings) -> Verdict {
        self.ms = ms;
        let (verdict, actions) = self.decision.on_findings(PARTS, at(ms), findings, at(ms));
        self.take(actions);
        verdict
    }

    fn tick(&mut self, ms: u64, reset: InputState) {
        self.ms = ms;
        let field = FieldLevels {
            reset,
            ..FieldLevels::default()
        };
        let actions = self.decision.tick(at(ms), field, LineHealth::Healthy);
        self.take(actions);
    }

    fn edges_of(&self, output: OutputName) -> Vec<(u64, OutputState, Cause)> {
        let of_output = self.edges.iter().filter(|(_, name, ..)| *name == output);
        of_output
            .map(|(ms, _, state, cause)| (*ms, *state, *cause))
            .collect()
    }

    /// Clear at 0 and 100 ms, reset at 150 ms: ON.
    fn on(config: &Config) -> Self {
        let mut stage = Self::new(config);
        stage.frame(0, &people(&[]));
        stage.frame(100, &people(&[]));
        stage.tick(100, InputState::Inactive);
        stage.tick(110, InputState::Active);
        stage.tick(150, InputState::Inactive);
        assert!(stage.decision.permission().is_on());
        stage
    }
}

#[test]
fn the_report_begins_with_every_output_inactive() {
    let decision = Decision::new(&config(), &labels());
    let initial = decision.initial(at(7)).changes;
    let outputs: Vec<_> = initial.iter().map(|change| change.command.output).collect();
    assert_eq!(outputs, [RunPermission, WarningLamp, Reject, FaultLamp]);
    for change in initial {
        assert_eq!(
            (change.at, change.command.state, change.cause),
            (at(7), Inactive, Cause::Start)
        );
    }
}

#[test]
fn a_person_in_the_press_takes_the_permission_in_the_same_call() {
    let mut stage = Stage::on(&config());
    let verdict = stage.frame(200, &people(&[IN_PRESS]));
    let Verdict::Safety(verdict) = verdict else {
        panic!("a safety frame: {verdict:?}");
    };
    assert!(verdict.occupied);
    let zone = Cause::Trip(TripCause::Zone(ZoneIndex(0)));
    let expected = [(150, Active, Cause::Reset), (200, Inactive, zone)];
    assert_eq!(stage.edges_of(RunPermission), expected);
    stage.frame(300, &people(&[IN_PRESS]));
    assert_eq!(stage.edges_of(RunPermission), expected, "edges only");
}

#[test]
fn a_person_in_the_aisle_lights_the_lamp_and_nothing_else() {
    let mut stage = Stage::on(&config());
    stage.frame(200, &people(&[IN_AISLE]));
    assert!(stage.decision.permission().is_on());
    let zone = Cause::Trip(TripCause::Zone(ZoneIndex(1)));
    let expected = [
        (0, Active, Cause::Start),
        (100, Inactive, Cause::Clear),
        (200, Active, zone),
    ];
    assert_eq!(stage.edges_of(WarningLamp), expected);
}

#[test]
fn a_failed_inference_trips_and_lights_the_lamp() {
    let mut stage = Stage::on(&config());
    stage.frame(200, &Findings::Failed("detector".into()));
    let unjudged = Cause::Trip(TripCause::Unjudged(SAFETY));
    assert_eq!(
        stage.edges_of(RunPermission).last(),
        Some(&(200, Inactive, unjudged))
    );
    assert_eq!(
        stage.edges_of(WarningLamp).last(),
        Some(&(200, Active, unjudged))
    );
}

/// A press that lasts from before to after whatever `meanwhile` does, by wire or at the screen: the state
/// that it ends in.
fn pressed_over(screen: bool, meanwhile: impl Fn(&mut Stage)) -> PermissionState {
    let mut config = config();
    if screen {
        config.display.display = DisplayChoice::Kms;
        config.display.kiosk.reset = true;
    }
    let mut stage = Stage::new(&config);
    stage.frame(0, &people(&[]));
    stage.frame(100, &people(&[]));
    let press = |stage: &mut Stage, ms, number, level| {
        stage.ms = ms;
        if screen {
            let id = PressId(number);
            let order = match level {
                InputState::Active => OperatorOrder::PressReset(id),
                InputState::Inactive => OperatorOrder::ReleaseReset(id),
            };
            // The feedback contact is read again.
            stage.tick(ms, InputState::Inactive);
            let command = OperatorCommand { at: at(ms), order };
            let actions = stage.decision.on_operator(command, at(ms));
            stage.take(actions);
        } else {
            stage.tick(ms, level);
        }
    };
    stage.tick(100, InputState::Inactive);
    press(&mut stage, 110, 1, InputState::Active);
    press(&mut stage, 150, 1, InputState::Inactive);
    assert!(stage.decision.permission().is_on(), "this one counts");
    press(&mut stage, 160, 2, InputState::Active);
    meanwhile(&mut stage);
    for ms in [500, 600, 700] {
        stage.frame(ms, &people(&[]));
    }
    press(&mut stage, 710, 2, InputState::Inactive);
    let end = stage.decision.permission();
    // And the next one counts again.
    press(&mut stage, 720, 3, InputState::Active);
    press(&mut stage, 760, 3, InputState::Inactive);
    assert_ne!(stage.decision.permission(), end, "the next press");
    end
}

#[test]
fn a_press_that_began_before_the_permission_went_resets_nothing() {
    use PermissionState::{Interlocked, LockedOut};
    for screen in [false, true] {
        let tripped = pressed_over(screen, |stage| {
            stage.frame(200, &people(&[IN_PRESS]));
            stage.frame(300, &people(&[]));
            stage.frame(400, &people(&[]));
        });
        assert_eq!(tripped, Interlocked, "screen: {screen}");
        let changed = pressed_over(screen, |stage| {
            let mut config = config();
            config.safety.clear_after = 1;
            stage.ms = 200;
            let actions = stage.decision.reconfigure(&config, &labels(), at(200));
            stage.take(actions);
            stage.frame(300, &people(&[]));
        });
        assert_eq!(changed, Interlocked, "screen: {screen}");
        let locked = pressed_over(screen, |stage| {
            stage.ms = 200;
            let lost = stage
                .decision
                .tick(at(200), stage.decision.field, LineHealth::Lost);
            stage.take(lost);
            let healthy = stage
                .decision
                .tick(at(210), stage.decision.field, LineHealth::Healthy);
            stage.ms = 210;
            stage.take(healthy);
        });
        assert_eq!(locked, LockedOut(Fault::OutputLost), "screen: {screen}");
    }
}

#[test]
fn an_acknowledgement_that_comes_late_is_none() {
    let mut stage = Stage::on(&config());
    stage.decision.miss(7);
    stage.tick(200, InputState::Inactive);
    assert_eq!(stage.decision.alarm(), Some(Cause::RejectMissed(7)));
    let mut acknowledge = |stamp, now| {
        let command = OperatorCommand {
            at: at(stamp),
            order: OperatorOrder::Acknowledge,
        };
        stage.decision.on_operator(command, at(now));
        stage.decision.alarm()
    };
    assert_eq!(acknowledge(210, 711), Some(Cause::RejectMissed(7)));
    assert_eq!(acknowledge(800, 750), Some(Cause::RejectMissed(7)));
    assert_eq!(acknowledge(750, 800), None);
}

#[test]
fn silence_trips_on_the_tick_that_notices() {
    let mut stage = Stage::on(&config());
    stage.tick(350, InputState::Inactive);
    assert!(stage.decision.permission().is_on());
    stage.tick(351, InputState::Inactive);
    let stale = Cause::Trip(TripCause::Stale(SAFETY));
    assert_eq!(
        stage.edges_of(RunPermission).last(),
        Some(&(351, Inactive, stale))
    );
    stage.tick(1101, InputState::Inactive);
    let lost = PermissionState::LockedOut(Fault::SourceLost(SAFETY));
    assert_eq!(stage.decision.permission(), lost);
}

#[test]
fn the_end_of_the_guarding_source_takes_the_permission() {
    let mut stage = Stage::on(&config());
    let actions = stage.decision.source_ended(PARTS, at(150));
    stage.take(actions);
    assert!(stage.decision.permission().is_on());
    let actions = stage.decision.source_ended(SAFETY, at(150));
    stage.take(actions);
    let ended = Cause::Fault(Fault::SourceEnded(SAFETY));
    assert_eq!(
        stage.edges_of(RunPermission).last(),
        Some(&(150, Inactive, ended))
    );
}

#[test]
fn a_lost_line_and_a_lying_contact_take_the_permission() {
    let mut stage = Stage::on(&config());
    let actions = stage
        .decision
        .tick(at(150), FieldLevels::default(), LineHealth::Lost);
    assert_eq!(actions.changes[0].cause, Cause::Fault(Fault::OutputLost));
    stage = Stage::on(&config());
    let field = FieldLevels {
        feedback: Feedback::Disagrees,
        ..FieldLevels::default()
    };
    let actions = stage.decision.tick(at(150), field, LineHealth::Healthy);
    assert_eq!(
        actions.changes[0].cause,
        Cause::Fault(Fault::FeedbackMismatch)
    );
}

#[test]
fn the_fault_lamp_is_lit_after_the_permission_went_and_until_a_reset() {
    let mut stage = Stage::on(&config());
    let lost = stage
        .decision
        .tick(at(150), FieldLevels::default(), LineHealth::Lost);
    let cause = Cause::Fault(Fault::OutputLost);
    let told: Vec<_> = lost.changes.iter().map(|c| (c.command, c.cause)).collect();
    let command = |output, state| OutputCommand { output, state };
    let expected = [
        (command(RunPermission, Inactive), cause),
        (command(FaultLamp, Active), cause),
    ];
    assert_eq!(told, expected, "the run permission first");
    stage.tick(160, InputState::Active);
    stage.tick(200, InputState::Inactive);
    let out = [(200, Inactive, Cause::Reset)];
    assert_eq!(stage.edges_of(FaultLamp), out);
    assert_eq!(stage.decision.permission(), PermissionState::Interlocked);
}

#[test]
fn a_lost_line_stays_lost_for_frames_until_a_tick_says_otherwise() {
    let mut stage = Stage::new(&config());
    stage.take(Actions::default());
    stage
        .decision
        .tick(at(0), FieldLevels::default(), LineHealth::Lost);
    stage.frame(10, &people(&[]));
    let lost = PermissionState::LockedOut(Fault::OutputLost);
    assert_eq!(stage.decision.permission(), lost);
}

#[test]
fn a_reset_in_vain_is_told() {
    let mut stage = Stage::on(&config());
    stage.frame(200, &people(&[IN_PRESS]));
    stage.tick(210, InputState::Active);
    stage.tick(250, InputState::Inactive);
    let why = ResetRefusal::Hazard(TripCause::Zone(ZoneIndex(0)));
    assert_eq!(stage.refused, [why]);
    assert_eq!(stage.decision.prompt(), ResetPrompt::Wait);
    stage.frame(300, &people(&[]));
    stage.frame(400, &people(&[]));
    stage.tick(400, InputState::Inactive);
    assert_eq!(stage.decision.prompt(), ResetPrompt::Invited);
}

#[test]
fn a_stop_zone_in_the_inspection_camera_can_never_be_clear() {
    let mut config = config();
    config.zones[0].camera = PARTS;
    let mut stage = Stage::new(&config);
    stage.frame(0, &people(&[]));
    stage.parts(0, &apple(0.4, 0));
    assert_eq!(stage.decision.permission(), PermissionState::SelfTest);
    for n in 1..=6 {
        stage.parts(n * 200, &apple(0.4, 0));
    }
    let lost = PermissionState::LockedOut(Fault::InferenceLost(PARTS));
    assert_eq!(stage.decision.permission(), lost);
}

#[test]
fn a_rotten_part_gets_one_pulse_and_every_part_is_counted() {
    let mut stage = Stage::new(&config());
    for (start, label) in [(0, 1), (2000, 0), (4000, 7), (6000, 1)] {
        for n in 0..10_u64 {
            let left = 0.05 + f32::from(u8::try_from(n).unwrap()) * 0.08;
            let verdict = stage.parts(start + n * 100, &apple(left, label));
            assert!(matches!(verdict, Verdict::Inspection(_)));
        }
        for n in 10..20_u64 {
            stage.parts(start + n * 100, &Findings::Items(GradedItems::new()));
        }
    }
    let tally = PartTally {
        good: 1,
        reject: 2,
        unsure: 1,
        missed: 0,
    };
    assert_eq!(stage.decision.parts(), tally);
    let expected = [
        (1500, Active, Cause::PartRejected(1)),
        (1700, Inactive, Cause::PulseOver),
        (7500, Active, Cause::PartRejected(4)),
        (7700, Inactive, Cause::PulseOver),
    ];
    assert_eq!(stage.edges_of(Reject), expected);
}

/// One rotten part, last seen at 900 ms, decided with the frame of 1500 ms.
fn one_rotten_part(stage: &mut Stage) {
    for n in 0..10_u64 {
        let left = 0.05 + f32::from(u8::try_from(n).unwrap()) * 0.08;
        stage.parts(n * 100, &apple(left, 1));
    }
    for n in 10..16_u64 {
        stage.parts(n * 100, &Findings::Items(GradedItems::new()));
    }
}

#[test]
fn a_rotten_part_is_pushed_when_it_has_travelled_to_the_pusher() {
    let mut config = config();
    config.visual_inspection.reject_delay = Some(Duration::from_millis(1000));
    config.visual_inspection.reject_pulse = Duration::from_millis(50);
    let mut stage = Stage::new(&config);
    one_rotten_part(&mut stage);
    for ms in (1505..3000).step_by(5) {
        stage.tick(ms, InputState::Inactive);
    }
    let expected = [
        (1900, Active, Cause::PartRejected(1)),
        (1950, Inactive, Cause::PulseOver),
    ];
    assert_eq!(stage.edges_of(Reject), expected);
    assert_eq!(stage.decision.parts().missed, 0);
}

#[test]
fn a_part_decided_after_it_has_passed_the_pusher_is_told_and_counted() {
    let mut config = config();
    config.visual_inspection.reject_delay = Some(Duration::from_millis(300));
    let mut stage = Stage::new(&config);
    one_rotten_part(&mut stage);
    assert_eq!(stage.decision.parts().missed, 1);
    assert_eq!(
        stage.edges_of(Reject),
        [(1500, Active, Cause::PartRejected(1))],
        "the pulse comes all the same"
    );
    let lit = stage.edges_of(FaultLamp);
    assert!(
        lit.iter().any(|(_, state, cause)| *state == Active
            && matches!(cause, Cause::RejectMissed(1) | Cause::Fault(_))),
        "{lit:?}"
    );
}

#[test]
fn a_part_that_waits_for_its_pulse_when_the_program_ends_is_counted() {
    let mut config = config();
    config.visual_inspection.reject_delay = Some(Duration::from_secs(10));
    let mut stage = Stage::new(&config);
    one_rotten_part(&mut stage);
    assert_eq!(stage.decision.parts().missed, 0);
    stage.decision.shut_down(at(1500));
    assert_eq!(
        (stage.decision.parts().reject, stage.decision.parts().missed),
        (1, 1)
    );
    stage.decision.shut_down(at(1600));
    assert_eq!(stage.decision.parts().missed, 1, "once");
}

#[test]
fn a_frame_that_could_not_be_judged_is_not_an_empty_belt() {
    let mut stage = Stage::new(&config());
    stage.parts(0, &apple(0.4, 1));
    stage.parts(100, &apple(0.4, 1));
    for n in 2..10 {
        stage.parts(n * 100, &Findings::Failed("classifier".into()));
    }
    assert_eq!(stage.decision.parts(), PartTally::default());
    stage.parts(1000, &apple(0.4, 1));
    stage.decision.source_ended(PARTS, at(1000));
    assert_eq!(stage.decision.parts().reject, 1);
}

#[test]
fn new_zones_take_the_permission_and_are_the_ones_that_count() {
    let mut stage = Stage::on(&config());
    let mut moved = config();
    moved.zones[0] = zone("press", ZoneKind::Stop, 0.6, 1.0);
    moved.zones.truncate(1);
    let actions = stage.decision.reconfigure(&moved, &labels(), at(150));
    stage.take(actions);
    let changed = (150, Inactive, Cause::ConfigurationChanged);
    assert_eq!(stage.edges_of(RunPermission).last(), Some(&changed));
    stage.frame(200, &people(&[IN_PRESS]));
    stage.frame(300, &people(&[IN_PRESS]));
    stage.tick(300, InputState::Active);
    stage.tick(350, InputState::Inactive);
    assert!(
        stage.decision.permission().is_on(),
        "the old place is free now"
    );
    stage.frame(400, &people(&[IN_AISLE]));
    assert!(!stage.decision.permission().is_on());
}

#[test]
fn a_lamp_that_is_lit_goes_out_when_its_zone_is_removed() {
    let mut stage = Stage::on(&config());
    stage.frame(200, &people(&[IN_AISLE]));
    let mut without = config();
    without.zones.truncate(1);
    stage.ms = 210;
    let actions = stage.decision.reconfigure(&without, &labels(), at(210));
    stage.take(actions);
    assert_eq!(
        stage.edges_of(WarningLamp).last(),
        Some(&(210, Inactive, Cause::Clear))
    );
}

#[test]
fn shutting_down_leaves_every_line_inactive() {
    let mut stage = Stage::on(&config());
    for n in 2..4_u64 {
        stage.parts(n * 100, &apple(0.4, 1));
    }
    let actions = stage.decision.source_ended(PARTS, at(300));
    stage.take(actions);
    stage.frame(300, &people(&[IN_AISLE]));
    let actions = stage.decision.shut_down(at(300));
    let ended: Vec<_> = actions
        .changes
        .iter()
        .map(|change| change.command)
        .collect();
    let off = |output| OutputCommand {
        output,
        state: Inactive,
    };
    assert_eq!(ended, [RunPermission, WarningLamp, Reject].map(off));
    assert!(
        actions
            .changes
            .iter()
            .all(|change| change.cause == Cause::ShutDown)
    );
    assert!(stage.decision.shut_down(at(300)).changes.is_empty());
}

#[test]
fn what_is_told_is_always_an_edge() {
    let mut stage = Stage::on(&config());
    for n in 3..200_u64 {
        let place = [IN_AISLE, IN_PRESS, 0.5][usize::try_from(n / 4 % 3).unwrap()];
        stage.frame(n * 100, &people(&[place]));
        stage.parts(
            n * 100,
            &apple(0.05 + 0.04 * f32::from(u8::try_from(n % 20).unwrap()), 1),
        );
        let pressed = n % 4 == 3;
        let level = if pressed {
            InputState::Active
        } else {
            InputState::Inactive
        };
        stage.tick(n * 100 + 50, level);
    }
    for output in [RunPermission, WarningLamp, Reject] {
        let edges = stage.edges_of(output);
        assert!(edges.len() > 4, "{output:?}: {edges:?}");
        assert_eq!(edges[0].1, Active, "{output:?} starts inactive");
        assert!(
            edges.windows(2).all(|pair| pair[0].1 != pair[1].1),
            "{output:?}: {edges:?}"
        );
    }
}

/// The zones of `config()` with another aisle and a bolder grading: nothing that a stop depends on.
fn repainted() -> Config {
    let mut config = config();
    config.zones[1] = zone("aisle", ZoneKind::Warn, 0.5, 1.0);
    config.visual_inspection.grade_threshold = score(0.1);
    config
}

#[test]
fn a_cosmetic_change_leaves_the_run_permission_alone_and_applies_the_rest() {
    let mut stage = Stage::on(&config());
    let before = stage.edges_of(RunPermission);
    let actions = stage
        .decision
        .update(&mut Rules::new(&repainted(), &labels()), at(150));
    stage.take(actions);
    stage.tick(155, InputState::Inactive);
    assert_eq!(stage.edges_of(RunPermission), before);
    assert!(stage.decision.permission().is_on());
    assert_eq!(stage.decision.zones, repainted().zones);
    let unsure = GradedItem {
        detection: detection(IN_PRESS),
        grade: Grade {
            label: LabelId(1),
            score: score(0.2),
        },
    };
    let verdict = stage.parts(160, &Findings::Items([unsure].into_iter().collect()));
    let Verdict::Inspection(verdict) = verdict else {
        panic!("of the inspection stream");
    };
    assert_eq!(verdict.items[0].disposition, Disposition::Reject);
}

#[test]
fn what_a_stop_depends_on_is_never_taken_for_cosmetic() {
    let edits: [fn(&mut Config); 6] = [
        |c| c.zones[0] = zone("press", ZoneKind::Stop, 0.0, 0.5),
        |c| c.zones.swap(0, 1),
        |c| c.zones.push(zone("third", ZoneKind::Stop, 0.8, 0.9)),
        |c| c.worker_safety.threshold = score(0.6),
        |c| c.safety.clear_after = 3,
        |c| c.safety.restart = Restart::Automatic,
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        let mut stage = Stage::on(&config());
        let mut changed = config();
        edit(&mut changed);
        stage.ms = 200;
        let actions = stage
            .decision
            .update(&mut Rules::new(&changed, &labels()), at(200));
        stage.take(actions);
        let last = stage.edges_of(RunPermission).pop();
        let expected = (200, OutputState::Inactive, Cause::ConfigurationChanged);
        assert_eq!(last, Some(expected), "edit {number}");
    }
}

#[test]
fn a_zone_counts_in_its_hours_only_and_always_where_the_clock_is_not_believed() {
    let mut config = config();
    config.zones[0].hours = crate::config::Hours::new(vec!["06:00-14:00".parse().unwrap()]);
    let mut stage = Stage::new(&config);
    let time = |hour| crate::config::MinuteOfDay::new(hour, 0);
    for (n, (time, counts)) in [(time(7), true), (time(15), false), (None, true)]
        .into_iter()
        .enumerate()
    {
        stage.decision.set_time_of_day(time);
        let ms = 100 * (n as u64 + 1);
        let Verdict::Safety(verdict) = stage.frame(ms, &people(&[IN_PRESS])) else {
            panic!("a safety frame")
        };
        assert_eq!(verdict.occupied, counts, "{time:?}");
        assert_eq!(verdict.idle.is_empty(), counts, "{time:?}");
    }
}

#[test]
fn who_stays_too_long_lights_the_fault_output_and_nothing_else() {
    let mut config = config();
    config.zones[1].dwell_limit = Some(Duration::from_millis(500));
    let mut stage = Stage::new(&config);
    for ms in (0..=1000).step_by(100) {
        stage.frame(ms, &people(&[IN_AISLE]));
    }
    for ms in (1100..=2200).step_by(100) {
        stage.frame(ms, &people(&[]));
    }
    let lamp: Vec<_> = stage
        .edges
        .iter()
        .filter(|(_, output, ..)| *output == OutputName::Fault)
        .copied()
        .collect();
    let cause = Cause::Overstayed(ZoneIndex(1));
    let expected = [
        (600, OutputName::Fault, Active, cause),
        (2100, OutputName::Fault, Inactive, Cause::Clear),
    ];
    assert_eq!(lamp, expected);
    assert_eq!(
        cause.with_names(&["a".into(), "b".into()]).to_string(),
        "somebody stays too long in zone b"
    );
}
