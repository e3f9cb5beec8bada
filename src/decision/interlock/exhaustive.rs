//! Model checking: every state the interlock can reach, every input in every state.
//!
//! Time is discrete (steps of 30 ms and one jump longer than every limit) and instants are kept
//! relative to now, with ages beyond their limit folded together; what is left is a finite set of
//! states, which a breadth-first search visits completely. In each of them every input is tried,
//! and the transition is held against rules written without looking at the code; then a sequence of
//! good inputs has to lead to ON: the interlock never gets stuck.

#![allow(clippy::print_stdout, reason = "says how much it has checked")]

use std::collections::{HashSet, VecDeque};

use super::*;
use crate::decision::reset::{PRESS_MAX, PRESS_MIN};
use crate::message::{InputState, PictureDoubt};
use crate::units::ZoneIndex;
use Occupancy::{Clear, Doubtful, Occupied, Unjudged};
use PermissionState::{Interlocked, LockedOut, On, SelfTest, Tripped};

const STREAM: StreamId = StreamId::WorkerSafety;
const UNIT: Duration = PRESS_MIN;
const JUMP: Duration = Duration::from_millis(3100);
/// Every state is looked at as if it were this late.
const NOW: MonotonicTime = MonotonicTime::from_duration(Duration::from_secs(1000));

fn settings(restart: Restart, focus: Focus) -> Settings {
    Settings {
        guard: GuardSettings {
            trip_after: 2,
            clear_after: 2,
            max_age: UNIT * 2,
            fault_after: UNIT * 3,
            start_within: UNIT * 4,
        },
        restart,
        mute_limit: (focus == Focus::Muting).then_some(UNIT * 2),
        guarding: [true, false],
    }
}

/// The same state seen from [`NOW`]; what is older than every limit is equally old.
fn folded(interlock: Interlock, now: MonotonicTime) -> Interlock {
    let seen_from_now = |instant: MonotonicTime, oldest: Duration| match instant.checked_since(now)
    {
        Some(ahead) => NOW + ahead,
        None => NOW - now.saturating_since(instant).min(oldest),
    };
    let aged = |instant| seen_from_now(instant, UNIT * 5);
    let button = match interlock.button {
        // Any press between the two limits is as good as any other.
        ResetButton::Pressed { since } => {
            let held = now.saturating_since(since);
            assert!(held <= PRESS_MAX, "a longer press would be stuck");
            let since = NOW - held.min(PRESS_MIN);
            ResetButton::Pressed { since }
        }
        other @ (ResetButton::Unproven | ResetButton::Released | ResetButton::Stuck) => other,
    };
    let mute = match interlock.mute {
        Mute::Active { since } => Mute::Active { since: aged(since) },
        other @ (Mute::Spent | Mute::Ready) => other,
    };
    Interlock {
        guards: interlock
            .guards
            .map(|guard| guard.map(|guard| guard.with_times(aged))),
        button,
        mute,
        watched_since: interlock.watched_since.map(aged),
        stepped_at: interlock
            .stepped_at
            .map(|at| seen_from_now(at, Duration::ZERO)),
        ..interlock
    }
}

impl Inputs {
    /// Nothing happens and nothing is wrong.
    fn good() -> Self {
        Self {
            self_test: SelfTestLevel::Passed,
            ..Self::default()
        }
    }
}

/// What happens in one step, and how long after the last.
#[derive(Clone, Copy, Debug)]
struct Happening {
    inputs: Inputs,
    later: Duration,
}

/// Three searches, each with a part of the inputs: together they would take minutes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Focus {
    /// Frames of all sorts of age, and a feedback contact that may still follow; no muting.
    Frames,
    /// Muting; frames are fresh.
    Muting,
    /// Every doubt about the picture; frames are fresh, no muting.
    Pictures,
}

fn happenings(focus: Focus) -> Vec<Happening> {
    let (mutes, feedbacks): (&[InputState], &[Feedback]) = match focus {
        Focus::Frames => (
            &[InputState::Inactive],
            &[Feedback::Agrees, Feedback::Pending],
        ),
        Focus::Muting => (
            &[InputState::Inactive, InputState::Active],
            &[Feedback::Agrees],
        ),
        Focus::Pictures => (&[InputState::Inactive], &[Feedback::Agrees]),
    };
    let mut all = Vec::new();
    for later in [Duration::ZERO, UNIT, JUMP] {
        for reset in [InputState::Inactive, InputState::Active] {
            for occurrence in occurrences(focus, NOW + later) {
                for mute in mutes {
                    let mut inputs = Inputs {
                        occurrence,
                        ..Inputs::good()
                    };
                    inputs.field.reset = reset;
                    inputs.field.mute = *mute;
                    for feedback in feedbacks {
                        inputs.field.feedback = *feedback;
                        all.push(Happening { inputs, later });
                    }
                }
            }
            let mut inputs = Inputs::good();
            inputs.field.reset = reset;
            inputs.lines = LineHealth::Lost;
            all.push(Happening { inputs, later });
            inputs.lines = LineHealth::Healthy;
            inputs.field.feedback = Feedback::Disagrees;
            all.push(Happening { inputs, later });
            inputs.field.feedback = Feedback::Agrees;
            for self_test in [
                SelfTestLevel::Pending,
                SelfTestLevel::Failed(SelfTestFailure::Overdue),
            ] {
                inputs.self_test = self_test;
                all.push(Happening { inputs, later });
            }
        }
    }
    all
}

fn occurrences(focus: Focus, now: MonotonicTime) -> Vec<Occurrence> {
    let captures = match focus {
        Focus::Frames => vec![now, now - UNIT, now - UNIT * 3, now + UNIT],
        Focus::Muting | Focus::Pictures => vec![now],
    };
    let mut all = vec![
        Occurrence::Nothing,
        Occurrence::ConfigurationChanged,
        Occurrence::SourceEnded(STREAM),
    ];
    let doubts: &[PictureDoubt] = match focus {
        Focus::Frames | Focus::Muting => &[],
        Focus::Pictures => &PictureDoubt::ALL,
    };
    for occupancy in [Clear, Occupied(ZoneIndex(0)), Unjudged]
        .into_iter()
        .chain(doubts.iter().copied().map(Doubtful))
    {
        all.extend(captures.iter().map(|captured| {
            Occurrence::Frame(GuardFrame {
                stream: STREAM,
                captured: *captured,
                occupancy,
            })
        }));
    }
    all
}

/// Which state may follow which; the drawing of the module document, written as a table.
fn drawn(from: PermissionState, to: PermissionState) -> bool {
    match (from, to) {
        (LockedOut(before), LockedOut(after)) => before == after,
        (Tripped(before), Tripped(after)) => before == after,
        (_, LockedOut(_))
        | (SelfTest, SelfTest | Interlocked)
        | (Interlocked, SelfTest | Interlocked | On)
        | (On, SelfTest | On | Tripped(_))
        | (Tripped(_), SelfTest | Interlocked)
        | (LockedOut(_), Interlocked) => true,
        (SelfTest, On | Tripped(_))
        | (Interlocked, Tripped(_))
        | (On, Interlocked)
        | (Tripped(_), On)
        | (LockedOut(_), SelfTest | On | Tripped(_)) => false,
    }
}

/// Whether the button, as it was, makes a reset of this level at this time.
fn is_reset(before: &Interlock, happening: &Happening) -> bool {
    match before.button {
        ResetButton::Pressed { since } => {
            let held = (NOW + happening.later).saturating_since(since);
            let let_go = happening.inputs.field.reset == InputState::Inactive;
            let_go && (PRESS_MIN..=PRESS_MAX).contains(&held)
        }
        ResetButton::Unproven | ResetButton::Released | ResetButton::Stuck => false,
    }
}

fn guard(interlock: &Interlock) -> Guard {
    interlock.guards[0].expect("the stream guards")
}

/// A step, printed only where a rule is broken.
struct Story<'a>(&'a Interlock, &'a Happening, &'a Interlock, &'a Outcome);

impl std::fmt::Display for Story<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}\n{:?}\n{:?}\n{:?}", self.0, self.1, self.2, self.3)
    }
}

/// The rules every step has to keep. `before` is as seen from [`NOW`].
fn check(
    settings: &Settings,
    before: &Interlock,
    happening: &Happening,
    after: &Interlock,
    outcome: &Outcome,
) {
    let (from, to) = (before.state, after.state);
    let now = NOW + happening.later;
    let story = Story(before, happening, after, outcome);
    assert!(drawn(from, to), "not in the drawing: {story}");
    assert_eq!(
        outcome.switched.is_some(),
        from.is_on() != to.is_on(),
        "{story}"
    );
    if let LockedOut(fault) = to
        && let Some(doubt) = PictureDoubt::ALL
            .into_iter()
            .find(|d| d.fault(STREAM) == fault)
        && from != to
    {
        assert_eq!(guard(after).latest(), Doubtful(doubt), "{story}");
    }
    let reset = is_reset(before, happening);
    if to != from && matches!(from, LockedOut(_)) {
        assert!(reset, "lock-out left without a reset: {story}");
        assert_eq!(guard(after).runs().1, 0, "old clear frames count: {story}");
    }
    if let Some(refusal) = outcome.refused {
        assert!(reset || refusal == ResetRefusal::Held, "{story}");
        assert!(to == from || !to.is_on(), "{story}");
    }
    if !to.is_on() {
        return;
    }
    let inputs = &happening.inputs;
    let guard = guard(after);
    let age = now.checked_since(guard.newest().expect("ON without a frame"));
    let age = age.unwrap_or_else(|| panic!("ON with a frame from the future: {story}"));
    assert!(age <= settings.guard.max_age, "ON and late: {story}");
    assert_eq!(inputs.lines, LineHealth::Healthy, "{story}");
    assert_eq!(inputs.self_test, SelfTestLevel::Passed, "{story}");
    let judged = guard.judged().expect("ON without a judged frame");
    let judged_age = now.saturating_since(judged);
    assert!(
        judged_age <= settings.guard.max_age,
        "ON and not judged: {story}"
    );
    let feedback = inputs.field.feedback;
    assert_ne!(feedback, Feedback::Disagrees, "{story}");
    assert!(
        from.is_on() || feedback == Feedback::Agrees,
        "switched ON before the contact agreed: {story}"
    );
    assert_ne!(
        inputs.occurrence,
        Occurrence::ConfigurationChanged,
        "{story}"
    );
    assert_ne!(
        inputs.occurrence,
        Occurrence::SourceEnded(STREAM),
        "{story}"
    );
    assert!(
        !matches!(guard.latest(), Doubtful(_)),
        "ON with a picture that is not to be believed: {story}"
    );
    if guard.runs().0 >= settings.guard.trip_after {
        assert_eq!(
            guard.latest(),
            Occupied(ZoneIndex(0)),
            "ON though unjudged: {story}"
        );
        assert_eq!(
            inputs.field.mute,
            InputState::Active,
            "ON though occupied: {story}"
        );
        assert!(after.is_muting(), "{story}");
    }
    if !from.is_on() {
        assert_eq!(from, Interlocked, "{story}");
        assert_eq!(guard.latest(), Clear, "{story}");
        assert_eq!(guard.runs(), (0, settings.guard.clear_after), "{story}");
        let automatic = settings.restart == Restart::Automatic && !before.reset_required;
        assert!(reset || automatic, "ON without anybody's wish: {story}");
        let cause = if reset {
            Cause::Reset
        } else {
            Cause::AutomaticRestart
        };
        assert_eq!(outcome.switched, Some(cause), "{story}");
    }
}

/// Clear frames and two calm presses of the button: from everywhere, that has to end in ON.
fn reaches_on(settings: &Settings, interlock: &Interlock) -> bool {
    let mut interlock = *interlock;
    let mut now = NOW;
    for pressed in [
        false, false, false, true, false, false, false, false, true, false,
    ] {
        now = now + UNIT;
        let occurrence = Occurrence::Frame(GuardFrame {
            stream: STREAM,
            captured: now,
            occupancy: Clear,
        });
        let mut inputs = Inputs {
            occurrence,
            ..Inputs::good()
        };
        if pressed {
            inputs.field.reset = InputState::Active;
        }
        (interlock, _) = interlock.step(settings, &inputs, now);
    }
    interlock.state.is_on()
}

/// Visits everything that can be reached; gives the number of folded states and the states of the
/// run permission among them.
fn explore(settings: &Settings, focus: Focus) -> (usize, HashSet<PermissionState>) {
    let happenings = happenings(focus);
    let start = Interlock::new();
    let mut seen = HashSet::from([start]);
    let mut permissions = HashSet::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(state) = waiting.pop_front() {
        assert!(reaches_on(settings, &state), "stuck: {state:?}");
        for happening in &happenings {
            let now = NOW + happening.later;
            let (after, outcome) = state.step(settings, &happening.inputs, now);
            check(settings, &state, happening, &after, &outcome);
            permissions.insert(after.state);
            let next = folded(after, now);
            if seen.insert(next) {
                waiting.push_back(next);
            }
        }
    }
    (seen.len(), permissions)
}

fn visits_everything(restart: Restart, focus: Focus) {
    let (states, permissions) = explore(&settings(restart, focus), focus);
    println!("{restart:?}, {focus:?}: {states} states; {permissions:?}");
    // SelfTest, Interlocked, On, three causes of a trip, seven faults (another, Unguarded, cannot
    // happen with a stop zone), and a cause and a fault for each doubt: a search that stops seeing
    // one of them checks less than it says. With fresh frames only, time cannot run backwards.
    let expected = match focus {
        Focus::Frames => 13,
        Focus::Muting => 12,
        Focus::Pictures => 12 + 6,
    };
    assert_eq!(permissions.len(), expected, "{permissions:?}");
}

#[test]
fn every_reachable_state_keeps_the_rules_with_manual_restart() {
    visits_everything(Restart::Manual, Focus::Frames);
}

#[test]
fn every_reachable_state_keeps_the_rules_with_automatic_restart() {
    visits_everything(Restart::Automatic, Focus::Frames);
}

#[test]
fn every_reachable_state_keeps_the_rules_while_muting() {
    visits_everything(Restart::Manual, Focus::Muting);
}

#[test]
fn every_reachable_state_keeps_the_rules_with_pictures_that_are_not_to_be_believed() {
    visits_everything(Restart::Manual, Focus::Pictures);
}
