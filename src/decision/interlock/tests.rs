//! The interlock by example: every rule of the module document, every boundary.

use super::*;
use crate::message::InputState;
use crate::units::ZoneIndex;
use Occupancy::{Clear, Occupied, Unjudged};
use PermissionState::{Interlocked, LockedOut, On, SelfTest, Tripped};

const SAFETY: StreamId = StreamId::WorkerSafety;
const OTHER: StreamId = StreamId::VisualInspection;
const ZONE: ZoneIndex = ZoneIndex(0);

fn at(ms: u64) -> MonotonicTime {
    MonotonicTime::from_duration(Duration::from_millis(ms))
}

fn settings() -> Settings {
    Settings {
        guard: GuardSettings {
            trip_after: 1,
            clear_after: 3,
            max_age: Duration::from_millis(100),
            fault_after: Duration::from_millis(300),
            start_within: Duration::from_secs(1),
        },
        restart: Restart::Manual,
        mute_limit: None,
        guarding: [true, false],
    }
}

/// An interlock with a clock and levels, so that a test reads as a story.
struct Story {
    settings: Settings,
    interlock: Interlock,
    field: FieldLevels,
    lines: LineHealth,
    self_test: SelfTestLevel,
    ms: u64,
}

impl Story {
    fn new(settings: Settings) -> Self {
        Self {
            settings,
            interlock: Interlock::new(),
            field: FieldLevels::default(),
            lines: LineHealth::default(),
            self_test: SelfTestLevel::Passed,
            ms: 0,
        }
    }

    /// A story that begins with the run permission ON.
    fn on(settings: Settings) -> Self {
        let mut story = Self::new(settings);
        story.clear_frames(settings.guard.clear_after);
        if settings.restart == Restart::Manual {
            story.press_reset();
        }
        story.tick(0);
        assert_eq!(story.state(), On);
        story
    }

    fn state(&self) -> PermissionState {
        self.interlock.state()
    }

    fn occur(&mut self, occurrence: Occurrence) -> Outcome {
        let inputs = Inputs {
            occurrence,
            field: self.field,
            lines: self.lines,
            self_test: self.self_test,
        };
        let (next, outcome) = self.interlock.step(&self.settings, &inputs, at(self.ms));
        self.interlock = next;
        outcome
    }

    /// Lets `ms` pass, then ticks.
    fn tick(&mut self, ms: u64) -> Outcome {
        self.ms += ms;
        self.occur(Occurrence::Nothing)
    }

    /// Lets `ms` pass, then takes a frame taken at that moment.
    fn frame(&mut self, ms: u64, occupancy: Occupancy) -> Outcome {
        self.frame_of(SAFETY, ms, occupancy)
    }

    fn frame_of(&mut self, stream: StreamId, ms: u64, occupancy: Occupancy) -> Outcome {
        self.ms += ms;
        let captured = at(self.ms);
        self.occur(Occurrence::Frame(GuardFrame {
            stream,
            captured,
            occupancy,
        }))
    }

    /// Clear frames of every guarding stream, 20 ms apart.
    fn clear_frames(&mut self, count: u32) {
        for _ in 0..count {
            self.ms += 20;
            for (stream, guarding) in StreamId::ALL.into_iter().zip(self.settings.guarding) {
                if guarding {
                    self.frame_of(stream, 0, Clear);
                }
            }
        }
    }

    /// Presses and lets go within 40 ms; gives the outcome of letting go.
    fn press_reset(&mut self) -> Outcome {
        self.field.reset = InputState::Inactive;
        self.tick(0);
        self.field.reset = InputState::Active;
        self.tick(0);
        self.field.reset = InputState::Inactive;
        self.tick(40)
    }
}

#[test]
fn power_up_ends_in_off_and_waits_for_a_reset() {
    let mut story = Story::new(settings());
    assert_eq!(story.state(), SelfTest);
    assert_eq!(story.tick(5).switched, None);
    assert_eq!(story.state(), SelfTest);
    story.frame(5, Clear);
    assert_eq!(story.state(), Interlocked);
    for _ in 0..100 {
        story.clear_frames(1);
        assert_eq!(story.state(), Interlocked);
    }
    let outcome = story.press_reset();
    assert_eq!(outcome.switched, Some(Cause::Reset));
    assert_eq!(outcome.refused, None);
    assert_eq!(story.state(), On);
}

#[test]
fn an_unjudged_frame_does_not_end_the_self_test() {
    let mut story = Story::new(settings());
    story.frame(5, Unjudged);
    assert_eq!(story.state(), SelfTest);
    assert_eq!(story.press_reset().refused, Some(ResetRefusal::SelfTest));
    story.frame(5, Occupied(ZONE));
    assert_eq!(story.state(), Interlocked);
}

#[test]
fn the_self_test_waits_for_every_guard() {
    let both = Settings {
        guarding: [true, true],
        ..settings()
    };
    let mut story = Story::new(both);
    story.frame_of(SAFETY, 5, Clear);
    assert_eq!(story.state(), SelfTest);
    story.frame_of(OTHER, 5, Clear);
    assert_eq!(story.state(), Interlocked);
}

#[test]
fn a_source_that_never_starts_is_a_fault() {
    let mut story = Story::new(settings());
    story.tick(500);
    story.tick(1000);
    assert_eq!(
        story.state(),
        SelfTest,
        "the wait begins with the first step"
    );
    story.tick(1);
    assert_eq!(story.state(), LockedOut(Fault::SourceLost(SAFETY)));
}

#[test]
fn a_person_in_the_zone_trips_on_the_first_frame() {
    let mut story = Story::on(settings());
    let outcome = story.frame(20, Occupied(ZONE));
    assert_eq!(outcome.switched, Some(Cause::Trip(TripCause::Zone(ZONE))));
    assert_eq!(story.state(), Tripped(TripCause::Zone(ZONE)));
}

#[test]
fn trip_after_counts_occupied_frames_in_a_row() {
    let mut patient = settings();
    patient.guard.trip_after = 3;
    let mut story = Story::on(patient);
    for occupancy in [
        Occupied(ZONE),
        Unjudged,
        Clear,
        Occupied(ZONE),
        Occupied(ZONE),
    ] {
        story.frame(20, occupancy);
        assert_eq!(story.state(), On);
    }
    story.frame(20, Occupied(ZONE));
    assert_eq!(story.state(), Tripped(TripCause::Zone(ZONE)));
}

#[test]
fn an_unjudged_frame_trips_like_a_person() {
    let mut story = Story::on(settings());
    story.frame(20, Unjudged);
    assert_eq!(story.state(), Tripped(TripCause::Unjudged(SAFETY)));
}

#[test]
fn a_late_frame_trips_beyond_max_age_and_not_before() {
    let mut story = Story::on(settings());
    story.frame(0, Clear);
    story.tick(100);
    assert_eq!(story.state(), On);
    let outcome = story.tick(1);
    assert_eq!(
        outcome.switched,
        Some(Cause::Trip(TripCause::Stale(SAFETY)))
    );
    assert_eq!(story.state(), Tripped(TripCause::Stale(SAFETY)));
}

#[test]
fn lateness_trips_whatever_trip_after_says() {
    let mut patient = settings();
    patient.guard.trip_after = 50;
    let mut story = Story::on(patient);
    story.tick(101);
    assert_eq!(story.state(), Tripped(TripCause::Stale(SAFETY)));
}

#[test]
fn a_gap_between_frames_trips_without_a_tick_in_between() {
    let mut story = Story::on(settings());
    story.frame(0, Clear);
    story.frame(100, Clear);
    assert_eq!(story.state(), On);
    story.frame(101, Clear);
    assert_eq!(story.state(), Tripped(TripCause::Stale(SAFETY)));
    let mut story = Story::on(settings());
    story.frame(301, Clear);
    assert_eq!(story.state(), LockedOut(Fault::SourceLost(SAFETY)));
}

#[test]
fn every_guard_can_trip() {
    let both = Settings {
        guarding: [true, true],
        ..settings()
    };
    let mut story = Story::on(both);
    story.frame_of(SAFETY, 60, Clear);
    story.frame_of(OTHER, 0, Occupied(ZONE));
    assert_eq!(story.state(), Tripped(TripCause::Zone(ZONE)));
    let mut story = Story::on(both);
    for _ in 0..6 {
        story.frame_of(SAFETY, 20, Clear);
    }
    assert_eq!(story.state(), Tripped(TripCause::Stale(OTHER)));
}

#[test]
fn a_stream_that_guards_nothing_is_not_listened_to() {
    let mut story = Story::on(settings());
    story.frame_of(OTHER, 10, Occupied(ZONE));
    story.occur(Occurrence::SourceEnded(OTHER));
    assert_eq!(story.state(), On);
}

#[test]
fn after_a_trip_it_takes_clear_after_frames_and_a_reset() {
    let mut story = Story::on(settings());
    story.frame(20, Occupied(ZONE));
    story.clear_frames(2);
    assert_eq!(story.state(), Tripped(TripCause::Zone(ZONE)));
    story.clear_frames(1);
    assert_eq!(story.state(), Interlocked);
    story.clear_frames(10);
    assert_eq!(story.state(), Interlocked);
    assert_eq!(story.press_reset().switched, Some(Cause::Reset));
    assert_eq!(story.state(), On);
}

#[test]
fn a_reset_is_refused_with_its_reason_and_forgotten() {
    let zone = ResetRefusal::Hazard(TripCause::Zone(ZONE));
    let mut story = Story::on(settings());
    story.frame(20, Occupied(ZONE));
    assert_eq!(story.press_reset().refused, Some(zone));
    story.frame(20, Clear);
    assert_eq!(story.press_reset().refused, Some(ResetRefusal::NotYetClear));
    story.clear_frames(5);
    assert_eq!(
        story.state(),
        Interlocked,
        "no refused reset is made up for later"
    );
}

#[test]
fn a_person_entering_while_interlocked_spoils_the_reset() {
    let mut story = Story::on(settings());
    story.frame(20, Occupied(ZONE));
    story.clear_frames(3);
    story.frame(10, Occupied(ZONE));
    assert_eq!(story.state(), Interlocked);
    let zone = ResetRefusal::Hazard(TripCause::Zone(ZONE));
    assert_eq!(story.press_reset().refused, Some(zone));
    story.clear_frames(3);
    assert_eq!(story.press_reset().switched, Some(Cause::Reset));
}

#[test]
fn a_late_frame_while_interlocked_spoils_the_reset() {
    let mut story = Story::new(settings());
    story.clear_frames(3);
    story.tick(61);
    let stale = ResetRefusal::Hazard(TripCause::Stale(SAFETY));
    assert_eq!(story.press_reset().refused, Some(stale));
    story.clear_frames(2);
    assert_eq!(story.press_reset().refused, Some(ResetRefusal::NotYetClear));
}

#[test]
fn the_last_clear_frame_and_the_reset_in_one_step_do_not_switch_on() {
    let mut story = Story::on(settings());
    story.frame(20, Occupied(ZONE));
    story.clear_frames(2);
    story.tick(0);
    story.field.reset = InputState::Active;
    story.tick(0);
    story.field.reset = InputState::Inactive;
    let outcome = story.frame(40, Clear);
    assert_eq!(outcome.refused, Some(ResetRefusal::NotYetClear));
    assert_eq!(story.state(), Interlocked);
}

#[test]
fn a_reset_while_on_is_neither_needed_nor_refused() {
    let mut story = Story::on(settings());
    let outcome = story.press_reset();
    assert_eq!((outcome.switched, outcome.refused), (None, None));
    assert_eq!(story.state(), On);
}

#[test]
fn a_held_button_is_refused_once_and_switches_nothing_on() {
    let mut story = Story::new(settings());
    story.clear_frames(3);
    story.field.reset = InputState::Active;
    let mut refused = Vec::new();
    for _ in 0..250 {
        refused.extend(story.frame(20, Clear).refused);
    }
    assert_eq!(refused, [ResetRefusal::Held]);
    story.field.reset = InputState::Inactive;
    story.frame(20, Clear);
    assert_eq!(story.state(), Interlocked);
}

#[test]
fn automatic_restart_needs_no_reset_but_clear_after_frames() {
    let automatic = Settings {
        restart: Restart::Automatic,
        ..settings()
    };
    let mut story = Story::new(automatic);
    story.clear_frames(2);
    assert_eq!(story.state(), Interlocked);
    story.ms += 20;
    let outcome = story.frame(0, Clear);
    assert_eq!(outcome.switched, Some(Cause::AutomaticRestart));
    story.frame(20, Occupied(ZONE));
    story.clear_frames(2);
    assert_eq!(story.state(), Tripped(TripCause::Zone(ZONE)));
    story.clear_frames(1);
    assert_eq!(story.state(), Interlocked, "one transition per step");
    assert_eq!(story.tick(0).switched, Some(Cause::AutomaticRestart));
}

#[test]
fn a_fault_locks_out_until_its_cause_is_gone_and_two_resets_have_been_made() {
    let mut story = Story::on(settings());
    story.tick(150);
    let outcome = story.tick(151);
    assert_eq!(story.state(), LockedOut(Fault::SourceLost(SAFETY)));
    assert_eq!(
        outcome.switched, None,
        "it was OFF already, by the trip before"
    );
    let lost = ResetRefusal::Fault(Fault::SourceLost(SAFETY));
    assert_eq!(story.press_reset().refused, Some(lost));
    story.clear_frames(10);
    assert_eq!(story.state(), LockedOut(Fault::SourceLost(SAFETY)));
    let acknowledged = story.press_reset();
    assert_eq!((acknowledged.switched, acknowledged.refused), (None, None));
    assert_eq!(story.state(), Interlocked);
    assert_eq!(story.press_reset().refused, Some(ResetRefusal::NotYetClear));
    story.clear_frames(3);
    assert_eq!(story.press_reset().switched, Some(Cause::Reset));
}

#[test]
fn a_lock_out_is_not_left_while_frames_are_late_though_not_lost() {
    let mut story = Story::on(settings());
    story.lines = LineHealth::Lost;
    story.tick(0);
    story.lines = LineHealth::Healthy;
    story.tick(61);
    let stale = ResetRefusal::Hazard(TripCause::Stale(SAFETY));
    assert_eq!(story.press_reset().refused, Some(stale));
    story.frame(0, Occupied(ZONE));
    assert_eq!(
        story.press_reset().refused,
        None,
        "a person does not hinder acknowledging"
    );
    assert_eq!(story.state(), Interlocked);
}

#[test]
fn automatic_restart_does_not_leave_a_lock_out_by_itself() {
    let mut story = Story::on(Settings {
        restart: Restart::Automatic,
        ..settings()
    });
    story.lines = LineHealth::Lost;
    story.tick(0);
    story.lines = LineHealth::Healthy;
    story.clear_frames(20);
    assert_eq!(story.state(), LockedOut(Fault::OutputLost));
    story.press_reset();
    assert_eq!(story.state(), Interlocked);
    story.tick(0);
    assert_eq!(story.state(), Interlocked, "counting begins anew");
    story.clear_frames(3);
    assert_eq!(story.state(), On);
}

#[test]
fn every_fault_takes_the_permission_at_once() {
    type Break = fn(&mut Story) -> Outcome;
    let cases: [(Fault, Break); 6] = [
        (Fault::OutputLost, |story| {
            story.lines = LineHealth::Lost;
            story.tick(0)
        }),
        (Fault::FeedbackMismatch, |story| {
            story.field.feedback = Feedback::Disagrees;
            story.tick(0)
        }),
        (Fault::SourceEnded(SAFETY), |story| {
            story.occur(Occurrence::SourceEnded(SAFETY))
        }),
        (Fault::SourceLost(SAFETY), |story| story.tick(301)),
        (Fault::ClockBackwards, |story| {
            story.ms -= 1;
            story.tick(0)
        }),
        (Fault::ClockBackwards, |story| {
            let captured = at(story.ms - 50);
            story.occur(Occurrence::Frame(GuardFrame {
                stream: SAFETY,
                captured,
                occupancy: Clear,
            }))
        }),
    ];
    for (fault, break_it) in cases {
        let mut story = Story::on(settings());
        let outcome = break_it(&mut story);
        assert_eq!(story.state(), LockedOut(fault));
        assert_eq!(outcome.switched, Some(Cause::Fault(fault)));
        assert_eq!(outcome.prompt, ResetPrompt::Wait);
    }
}

#[test]
fn inference_that_keeps_failing_is_a_fault() {
    let mut story = Story::on(settings());
    for _ in 0..16 {
        story.frame(20, Unjudged);
        assert_eq!(story.state(), Tripped(TripCause::Unjudged(SAFETY)));
    }
    story.frame(1, Unjudged);
    assert_eq!(story.state(), LockedOut(Fault::InferenceLost(SAFETY)));
}

#[test]
fn the_gravest_fault_is_named_first() {
    let mut story = Story::on(settings());
    story.lines = LineHealth::Lost;
    story.field.feedback = Feedback::Disagrees;
    story.tick(301);
    assert_eq!(story.state(), LockedOut(Fault::OutputLost));
}

#[test]
fn the_run_permission_waits_for_the_feedback_contact() {
    let mut story = Story::on(settings());
    story.field.feedback = Feedback::Pending;
    story.tick(5);
    assert_eq!(
        story.state(),
        On,
        "a contact that still has time takes nothing away"
    );
    story.frame(10, Occupied(ZONE));
    for _ in 0..4 {
        story.frame(20, Clear);
    }
    let pending = Some(ResetRefusal::FeedbackPending);
    assert_eq!(story.press_reset().refused, pending);
    assert!(!story.state().is_on());
    story.field.feedback = Feedback::Agrees;
    story.frame(10, Clear);
    story.press_reset();
    assert_eq!(story.state(), On);
}

#[test]
fn with_no_stop_zone_nothing_may_run() {
    let mut story = Story::new(Settings {
        guarding: [false; 2],
        ..settings()
    });
    story.frame(20, Clear);
    assert_eq!(story.state(), LockedOut(Fault::Unguarded));
    let refused = story.press_reset().refused;
    assert_eq!(refused, Some(ResetRefusal::Fault(Fault::Unguarded)));
}

#[test]
fn a_configuration_change_takes_the_permission_and_needs_a_reset_even_with_automatic_restart() {
    for restart in [Restart::Manual, Restart::Automatic] {
        let mut story = Story::on(Settings {
            restart,
            ..settings()
        });
        let outcome = story.occur(Occurrence::ConfigurationChanged);
        assert_eq!(outcome.switched, Some(Cause::ConfigurationChanged));
        assert_eq!(story.state(), SelfTest);
        story.clear_frames(20);
        assert_eq!(story.state(), Interlocked, "{restart:?}");
        assert_eq!(story.press_reset().switched, Some(Cause::Reset));
    }
}

#[test]
fn once_reset_after_a_configuration_change_restart_is_automatic_again() {
    let mut story = Story::on(Settings {
        restart: Restart::Automatic,
        ..settings()
    });
    story.occur(Occurrence::ConfigurationChanged);
    story.clear_frames(4);
    story.press_reset();
    story.frame(20, Occupied(ZONE));
    story.clear_frames(3);
    assert_eq!(story.tick(0).switched, Some(Cause::AutomaticRestart));
}

#[test]
fn a_configuration_change_makes_old_frames_worthless_and_clears_no_fault() {
    let mut story = Story::on(settings());
    story.occur(Occurrence::ConfigurationChanged);
    assert_eq!(story.press_reset().refused, Some(ResetRefusal::SelfTest));
    story.clear_frames(2);
    assert_eq!(story.press_reset().refused, Some(ResetRefusal::NotYetClear));
    story.lines = LineHealth::Lost;
    story.tick(0);
    story.lines = LineHealth::Healthy;
    story.occur(Occurrence::ConfigurationChanged);
    assert_eq!(story.state(), LockedOut(Fault::OutputLost));
}

#[test]
fn a_reset_in_the_step_of_a_configuration_change_is_refused() {
    let mut story = Story::new(settings());
    story.clear_frames(3);
    story.field.reset = InputState::Active;
    story.tick(0);
    story.field.reset = InputState::Inactive;
    story.ms += 40;
    let outcome = story.occur(Occurrence::ConfigurationChanged);
    assert_eq!(outcome.refused, Some(ResetRefusal::SelfTest));
    assert_eq!(story.state(), SelfTest);
}

#[test]
fn a_zone_added_to_another_camera_is_waited_for_anew() {
    let mut story = Story::on(settings());
    story.ms += 5000;
    story.frame(0, Clear);
    story = Story {
        interlock: Story::on(settings()).interlock,
        ms: 140,
        ..story
    };
    story.settings.guarding = [true, true];
    story.occur(Occurrence::ConfigurationChanged);
    for _ in 0..10 {
        story.frame(100, Clear);
    }
    assert_eq!(story.state(), SelfTest);
    story.frame(1, Clear);
    assert_eq!(story.state(), LockedOut(Fault::SourceLost(OTHER)));
}

#[test]
fn a_stream_that_loses_its_zones_no_longer_matters() {
    let mut story = Story::on(Settings {
        guarding: [true, true],
        ..settings()
    });
    story.settings.guarding = [true, false];
    story.occur(Occurrence::ConfigurationChanged);
    for _ in 0..20 {
        story.frame(20, Clear);
    }
    assert_eq!(story.press_reset().switched, Some(Cause::Reset));
}

#[test]
fn muting_lets_a_person_pass_for_its_limit_and_no_longer() {
    let mut story = Story::on(Settings {
        mute_limit: Some(Duration::from_millis(200)),
        ..settings()
    });
    story.field.mute = InputState::Active;
    story.tick(0);
    assert!(story.interlock.is_muting());
    for _ in 0..10 {
        story.frame(20, Occupied(ZONE));
        assert_eq!(story.state(), On);
    }
    story.frame(1, Occupied(ZONE));
    assert_eq!(story.state(), Tripped(TripCause::Zone(ZONE)));
    assert!(!story.interlock.is_muting());
}

#[test]
fn muting_switches_nothing_on() {
    let mut story = Story::on(Settings {
        mute_limit: Some(Duration::from_secs(60)),
        ..settings()
    });
    story.frame(20, Occupied(ZONE));
    story.field.mute = InputState::Active;
    story.frame(20, Occupied(ZONE));
    assert!(!story.interlock.is_muting());
    let zone = ResetRefusal::Hazard(TripCause::Zone(ZONE));
    assert_eq!(story.press_reset().refused, Some(zone));
    assert_eq!(story.state(), Tripped(TripCause::Zone(ZONE)));
}

#[test]
fn without_a_limit_the_mute_input_does_nothing() {
    let mut story = Story::on(settings());
    story.field.mute = InputState::Active;
    story.tick(0);
    story.frame(20, Occupied(ZONE));
    assert_eq!(story.state(), Tripped(TripCause::Zone(ZONE)));
}

#[test]
fn a_reset_is_invited_exactly_when_it_would_be_accepted() {
    let mut story = Story::new(settings());
    assert_eq!(story.tick(0).prompt, ResetPrompt::Wait);
    story.clear_frames(2);
    assert_eq!(story.tick(0).prompt, ResetPrompt::Wait);
    story.clear_frames(1);
    assert_eq!(story.tick(0).prompt, ResetPrompt::Invited);
    assert_eq!(
        story.press_reset().prompt,
        ResetPrompt::Wait,
        "ON: not needed"
    );
    story.lines = LineHealth::Lost;
    assert_eq!(story.tick(0).prompt, ResetPrompt::Wait);
    story.lines = LineHealth::Healthy;
    assert_eq!(story.tick(0).prompt, ResetPrompt::Invited);
}

#[test]
fn senseless_counts_and_times_are_taken_pessimistically() {
    let config = SafetyConfig {
        trip_after: 0,
        clear_after: 0,
        max_age: Duration::from_millis(100),
        fault_after: Duration::from_millis(50),
        restart: Restart::Manual,
    };
    let guard = Settings::new(&config, [true, false]).guard;
    assert_eq!((guard.trip_after, guard.clear_after), (1, 1));
    assert_eq!(guard.fault_after, guard.max_age);
}
