//! The interlock: may the machine run? A pure function of state, inputs and time.
//!
//! ```text
//!                                   reset, or, where configured, by itself
//!                                   when clear for `clear_after` frames
//!   ┌──────────┐ every guard  ┌─────────────┐ ─────────────────────▶ ┌────┐
//!   │ SelfTest │ has judged a │ Interlocked │                        │ On │
//!   │          │ ───frame───▶ │             │ ◀──clear──┐            │    │
//!   └──────────┘              └─────────────┘           │            └────┘
//!        ▲                           ▲            ┌─────────┐ occupied │
//!        │ configuration changed     │            │ Tripped │ ◀─late───┘
//!        │ (from everywhere but      │            └─────────┘ unjudged
//!        │  LockedOut)               │
//!                                    └──reset, cause gone── LockedOut ◀── any fault, from everywhere
//! ```
//!
//! Rules that the drawing cannot show:
//!
//! - The run permission is ON in `On` only, and a step makes at most one transition.
//! - A reset is a press that ended now (see [`reset`](super::reset)). It counts only if everything
//!   speaks for it at that very moment; otherwise it is refused, with a reason, and forgotten.
//! - A lock-out is acknowledged by a reset once its cause is gone, and that leads to `Interlocked`,
//!   never to `On`: counting clear frames starts anew and, with manual restart, a second reset is
//!   needed. Safety light curtains do the same: leaving lock-out is not a restart.
//! - After a configuration change a reset is needed even where restart is automatic.
//! - A late frame and a gap trip at once; `trip_after` counts frames, and there are none. So does a
//!   frame that could not be judged once the last judged one is older than `max_age`.
//! - `SelfTest` is left only after a self-test has passed; one that fails later is a fault.
//! - Muting lets a person in a zone pass while `On`, for a limited time. It never switches anything
//!   ON and excuses neither late nor unjudged frames.
//! - The feedback contact (EDM) must agree before the run permission goes ON. While it may still
//!   follow, ON has to wait; once its time is over it is a fault.
//! - Warn zones are not known here.

use std::time::Duration;

use super::guard::{Arrival, Doubt, Guard, GuardSettings, Occupancy};
use super::reset::{Mute, ResetButton, ResetSignal};
use crate::config::{Restart, SafetyConfig};
use crate::message::{
    Cause, Fault, Feedback, FieldLevels, LineHealth, PermissionState, ResetPrompt, ResetRefusal,
    SelfTestFailure, SelfTestLevel, TripCause,
};
use crate::units::{MonotonicTime, StreamId};

/// Time from the first step until every guarding stream must have delivered. Cameras take up to a
/// few seconds for their first picture; models are loaded before.
pub const START_WITHIN: Duration = Duration::from_secs(10);

/// Everything the interlock gets from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Counts and times of the guards.
    pub guard: GuardSettings,
    /// Manual or automatic restart.
    pub restart: Restart,
    /// Longest muting; `None` where the mute input is not used.
    pub mute_limit: Option<Duration>,
    /// Which streams guard a stop zone, by [`StreamId::index`].
    pub guarding: [bool; 2],
}

impl Settings {
    /// Settings for these streams. Counts of zero would trip on nothing and clear on nothing: they
    /// are taken as 1, and a `fault_after` below `max_age` as `max_age`.
    #[must_use]
    pub fn new(config: &SafetyConfig, guarding: [bool; 2]) -> Self {
        Self {
            guard: GuardSettings {
                trip_after: config.trip_after.max(1),
                clear_after: config.clear_after.max(1),
                max_age: config.max_age,
                fault_after: config.fault_after.max(config.max_age),
                start_within: START_WITHIN,
            },
            restart: config.restart,
            mute_limit: None,
            guarding,
        }
    }
}

/// A judged frame of a guarding stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardFrame {
    /// Its stream.
    pub stream: StreamId,
    /// When the picture was taken.
    pub captured: MonotonicTime,
    /// What it says of the stop zones.
    pub occupancy: Occupancy,
}

/// What happened besides frames and levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Occurrence {
    /// Nothing.
    #[default]
    Nothing,
    /// A frame was judged.
    Frame(GuardFrame),
    /// A source ended.
    SourceEnded(StreamId),
    /// The configuration changed in a way that matters to safety; `Settings` are the new ones.
    ConfigurationChanged,
}

/// Everything a step looks at besides state, settings and time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// What happened since the last step; nothing on a mere tick.
    pub occurrence: Occurrence,
    /// Input lines.
    pub field: FieldLevels,
    /// Whether the lines work.
    pub lines: LineHealth,
    /// Whether the program proved that it works.
    pub self_test: SelfTestLevel,
}

/// What a step decided besides the new state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Why the run permission changed, where it did.
    pub switched: Option<Cause>,
    /// Why a reset was refused, where one was.
    pub refused: Option<ResetRefusal>,
    /// Whether a reset would be accepted if it came now.
    pub prompt: ResetPrompt,
    /// What the heartbeat may be made of.
    pub proof: Proof,
}

/// Whether a step has shown that everything the run permission rests on works. Whether somebody is
/// in a zone has no part in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    /// Every guarding stream is fresh and judged, the self-test passed, nothing is broken, and
    /// nothing is locked out.
    Fresh,
    /// Something of that is missing.
    #[default]
    Missing,
}

/// The interlock's whole memory: a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interlock {
    state: PermissionState,
    /// By [`StreamId::index`]; `None` where the stream guards nothing.
    guards: [Option<Guard>; 2],
    button: ResetButton,
    mute: Mute,
    /// A reset is needed even where restart is automatic.
    reset_required: bool,
    /// When waiting for first frames began: the first step, or the last configuration change.
    watched_since: Option<MonotonicTime>,
    /// When the last step was made.
    stepped_at: Option<MonotonicTime>,
}

impl Default for Interlock {
    fn default() -> Self {
        Self::new()
    }
}

impl Interlock {
    /// OFF, knowing nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: PermissionState::SelfTest,
            guards: [None; 2],
            button: ResetButton::default(),
            mute: Mute::default(),
            reset_required: false,
            watched_since: None,
            stepped_at: None,
        }
    }

    /// State of the run permission.
    #[must_use]
    pub const fn state(&self) -> PermissionState {
        self.state
    }

    /// Whether a person in a stop zone is being let pass.
    #[must_use]
    pub const fn is_muting(&self) -> bool {
        self.mute.is_active() && self.state.is_on()
    }

    /// The press of reset that lasts now means nothing.
    pub const fn void_press(&mut self) {
        self.button = self.button.void();
    }

    /// One step: what the interlock is at `now`, given what happened. Steps come in the order of
    /// time; a `now` before the last one is a fault.
    #[must_use]
    pub fn step(self, settings: &Settings, inputs: &Inputs, now: MonotonicTime) -> (Self, Outcome) {
        let mut next = self;
        let clock_fault = next.take_time(now);
        next.take_settings(settings, inputs.occurrence, now);
        let (button, signal) = self.button.observe(inputs.field.reset, now);
        next.button = button;
        next.mute = self
            .mute
            .observe(inputs.field.mute, settings.mute_limit, now);
        let arrival = next.take_occurrence(settings, inputs.occurrence, now);
        for guard in next.guards.iter_mut().flatten() {
            guard.pass_time(&settings.guard, now);
        }

        let fault = fault_of_lines(inputs)
            .or(clock_fault)
            .or(arrival.fault)
            .or_else(|| next.fault(settings, now))
            .or_else(|| next.fault_of_self_test(settings, inputs.self_test, now));
        let moment = Moment {
            fault,
            hazard: arrival.lapse.or_else(|| next.hazard(settings, now)),
            obstacle: next.obstacle(settings, fault, inputs.field.feedback, now),
            judged: inputs.self_test == SelfTestLevel::Passed
                && next.guards.iter().flatten().all(Guard::has_judged),
            changed: inputs.occurrence == Occurrence::ConfigurationChanged,
            reset: signal == ResetSignal::Reset,
            automatic: settings.restart == Restart::Automatic && !next.reset_required,
        };
        next.enter(moment.successor(self.state));
        let outcome = Outcome {
            switched: moment.cause(self.state, next.state),
            refused: match signal {
                ResetSignal::Quiet => None,
                ResetSignal::Held => Some(ResetRefusal::Held),
                ResetSignal::Reset => moment.refusal(self.state),
            },
            prompt: next.prompt(settings, fault, inputs.field.feedback, now),
            proof: next.proof(settings, fault, now),
        };
        (next, outcome)
    }

    fn proof(&self, settings: &Settings, fault: Option<Fault>, now: MonotonicTime) -> Proof {
        let works = match self.state {
            PermissionState::SelfTest | PermissionState::LockedOut(_) => false,
            PermissionState::Interlocked | PermissionState::On | PermissionState::Tripped(_) => {
                fault.is_none()
            }
        };
        let mut guards = self.guards.iter().flatten();
        if works && guards.all(|guard| guard.is_fresh(&settings.guard, now)) {
            Proof::Fresh
        } else {
            Proof::Missing
        }
    }

    fn enter(&mut self, state: PermissionState) {
        let acknowledged = matches!(
            (self.state, state),
            (PermissionState::LockedOut(_), PermissionState::Interlocked)
        );
        if acknowledged {
            self.guards
                .iter_mut()
                .flatten()
                .for_each(Guard::forget_clear);
        }
        if state.is_on() {
            self.reset_required = false;
        }
        self.state = state;
    }

    fn take_time(&mut self, now: MonotonicTime) -> Option<Fault> {
        let backwards = self.stepped_at.is_some_and(|last| now < last);
        self.stepped_at = Some(now);
        self.watched_since = match self.watched_since {
            Some(since) if since <= now => Some(since),
            Some(_) | None => Some(now),
        };
        backwards.then_some(Fault::ClockBackwards)
    }

    /// Guards come and go with the configuration only.
    fn take_settings(&mut self, settings: &Settings, occurrence: Occurrence, now: MonotonicTime) {
        let wanted = settings.guarding.iter().zip(StreamId::ALL);
        for (guard, (guarding, stream)) in self.guards.iter_mut().zip(wanted) {
            *guard = match (*guard, guarding) {
                (_, false) => None,
                (None, true) => Some(Guard::new(stream)),
                (Some(guard), true) => Some(guard),
            };
        }
        if occurrence == Occurrence::ConfigurationChanged {
            for guard in self.guards.iter_mut().flatten() {
                guard.forget_verdicts();
            }
            self.watched_since = Some(now);
            self.reset_required = true;
        }
    }

    fn take_occurrence(
        &mut self,
        settings: &Settings,
        occurrence: Occurrence,
        now: MonotonicTime,
    ) -> ArrivalEffect {
        let mut effect = ArrivalEffect::default();
        match occurrence {
            Occurrence::Nothing | Occurrence::ConfigurationChanged => {}
            Occurrence::SourceEnded(stream) => {
                if let Some(guard) = self.guard_mut(stream) {
                    guard.end();
                }
            }
            Occurrence::Frame(frame) => {
                if let Some(guard) = self.guard_mut(frame.stream) {
                    let arrival =
                        guard.observe(&settings.guard, frame.captured, frame.occupancy, now);
                    effect = ArrivalEffect::of(arrival, frame.stream);
                }
            }
        }
        effect
    }

    fn guard_mut(&mut self, stream: StreamId) -> Option<&mut Guard> {
        self.guards.get_mut(stream.index())?.as_mut()
    }

    /// What is broken with the guards, if anything.
    fn fault(&self, settings: &Settings, now: MonotonicTime) -> Option<Fault> {
        if self.guards.iter().flatten().next().is_none() {
            return Some(Fault::Unguarded);
        }
        let since = self.watched_since.unwrap_or(now);
        self.guards
            .iter()
            .flatten()
            .find_map(|guard| guard.fault(&settings.guard, since, now))
    }

    /// A self-test that failed, or that is missing where one must have passed.
    fn fault_of_self_test(
        &self,
        settings: &Settings,
        self_test: SelfTestLevel,
        now: MonotonicTime,
    ) -> Option<Fault> {
        match self_test {
            SelfTestLevel::Passed => None,
            SelfTestLevel::Failed(failure) => Some(Fault::SelfTestFailed(failure)),
            SelfTestLevel::Pending => {
                let since = self.watched_since.unwrap_or(now);
                let waited = now.saturating_since(since) > settings.guard.start_within;
                let overdue = waited || self.state != PermissionState::SelfTest;
                overdue.then_some(Fault::SelfTestFailed(SelfTestFailure::Overdue))
            }
        }
    }

    /// Why the run permission has to go although nothing is broken.
    fn hazard(&self, settings: &Settings, now: MonotonicTime) -> Option<TripCause> {
        let muted = self.mute.is_active();
        self.guards
            .iter()
            .flatten()
            .find_map(|guard| guard.hazard(&settings.guard, muted, now))
    }

    /// What stands against the next state that a reset could lead to.
    fn obstacle(
        &self,
        settings: &Settings,
        fault: Option<Fault>,
        feedback: Feedback,
        now: MonotonicTime,
    ) -> Option<ResetRefusal> {
        if let Some(fault) = fault {
            return Some(ResetRefusal::Fault(fault));
        }
        let mut guards = self.guards.iter().flatten();
        match self.state {
            PermissionState::SelfTest => Some(ResetRefusal::SelfTest),
            PermissionState::LockedOut(_) => guards
                .find_map(|guard| guard.lateness(&settings.guard, now))
                .map(refusal_of),
            PermissionState::Interlocked | PermissionState::Tripped(_) | PermissionState::On => {
                guards
                    .find_map(|guard| guard.doubt(&settings.guard, now))
                    .map(refusal_of)
                    .or((feedback != Feedback::Agrees).then_some(ResetRefusal::FeedbackPending))
            }
        }
    }

    fn prompt(
        &self,
        settings: &Settings,
        fault: Option<Fault>,
        feedback: Feedback,
        now: MonotonicTime,
    ) -> ResetPrompt {
        let waiting = matches!(
            self.state,
            PermissionState::Interlocked | PermissionState::LockedOut(_)
        );
        let obstacle = self.obstacle(settings, fault, feedback, now);
        if waiting && obstacle.is_none() {
            ResetPrompt::Invited
        } else {
            ResetPrompt::Wait
        }
    }
}

/// Everything a transition depends on, at one moment.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// What is broken.
    fault: Option<Fault>,
    /// What takes the run permission away.
    hazard: Option<TripCause>,
    /// What stands against a reset, a fault included.
    obstacle: Option<ResetRefusal>,
    /// The self-test has passed and every guard has judged a frame.
    judged: bool,
    /// The configuration changed.
    changed: bool,
    /// The reset button was pressed and let go.
    reset: bool,
    /// No reset is needed.
    automatic: bool,
}

impl Moment {
    /// The drawing above, transition by transition.
    fn successor(&self, state: PermissionState) -> PermissionState {
        use PermissionState::{Interlocked, LockedOut, On, SelfTest, Tripped};
        match (state, self.fault) {
            (LockedOut(_), _) if self.reset && self.obstacle.is_none() => Interlocked,
            (LockedOut(_), _) => state,
            (SelfTest | Interlocked | On | Tripped(_), Some(fault)) => LockedOut(fault),
            (SelfTest | Interlocked | On | Tripped(_), None) if self.changed => SelfTest,
            (SelfTest, None) if self.judged => Interlocked,
            (Interlocked, None) if self.obstacle.is_none() && (self.reset || self.automatic) => On,
            (Tripped(_), None) if self.obstacle.is_none() => Interlocked,
            (On, None) => self.hazard.map_or(On, Tripped),
            (SelfTest | Interlocked | Tripped(_), None) => state,
        }
    }

    /// Why the run permission changed between these states; `None` where it did not.
    fn cause(&self, from: PermissionState, to: PermissionState) -> Option<Cause> {
        use PermissionState::{Interlocked, LockedOut, On, SelfTest, Tripped};
        match (from, to) {
            (On, On) => None,
            (On, LockedOut(fault)) => Some(Cause::Fault(fault)),
            (On, Tripped(cause)) => Some(Cause::Trip(cause)),
            (On, SelfTest | Interlocked) => Some(Cause::ConfigurationChanged),
            (SelfTest | Interlocked | Tripped(_) | LockedOut(_), On) if self.reset => {
                Some(Cause::Reset)
            }
            (SelfTest | Interlocked | Tripped(_) | LockedOut(_), On) => {
                Some(Cause::AutomaticRestart)
            }
            (
                SelfTest | Interlocked | Tripped(_) | LockedOut(_),
                SelfTest | Interlocked | Tripped(_) | LockedOut(_),
            ) => None,
        }
    }

    /// Why a reset in this state does nothing; `None` where it does something, or where the run
    /// permission is ON and nobody needs it.
    fn refusal(&self, state: PermissionState) -> Option<ResetRefusal> {
        match state {
            PermissionState::On => None,
            PermissionState::SelfTest
            | PermissionState::Interlocked
            | PermissionState::LockedOut(_) => match self.changed {
                true => Some(ResetRefusal::SelfTest),
                false => self.obstacle,
            },
            // The very step in which the zone became clear: whoever pressed saw a zone that was not.
            PermissionState::Tripped(_) => Some(self.obstacle.unwrap_or(ResetRefusal::NotYetClear)),
        }
    }
}

/// What the arrival of a frame says of the time before it.
#[derive(Clone, Copy, Debug, Default)]
struct ArrivalEffect {
    fault: Option<Fault>,
    lapse: Option<TripCause>,
}

impl ArrivalEffect {
    fn of(arrival: Arrival, stream: StreamId) -> Self {
        let (fault, lapse) = match arrival {
            Arrival::InOrder => (None, None),
            Arrival::AfterLapse => (None, Some(TripCause::Stale(stream))),
            Arrival::AfterLoss => (Some(Fault::SourceLost(stream)), None),
            Arrival::Backwards => (Some(Fault::ClockBackwards), None),
        };
        Self { fault, lapse }
    }
}

fn fault_of_lines(inputs: &Inputs) -> Option<Fault> {
    match (inputs.lines, inputs.field.feedback) {
        (LineHealth::Lost, _) => Some(Fault::OutputLost),
        (LineHealth::Healthy, Feedback::Disagrees) => Some(Fault::FeedbackMismatch),
        (LineHealth::Healthy, Feedback::Agrees | Feedback::Pending) => None,
    }
}

fn refusal_of(doubt: Doubt) -> ResetRefusal {
    match doubt {
        Doubt::NoFrame => ResetRefusal::SelfTest,
        Doubt::Ended(fault) => ResetRefusal::Fault(fault),
        Doubt::Hazard(cause) => ResetRefusal::Hazard(cause),
        Doubt::NotYetClear => ResetRefusal::NotYetClear,
    }
}

#[cfg(test)]
mod exhaustive;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
