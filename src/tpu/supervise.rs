//! Keeps an accelerator in service, and says so.
//!
//! ```text
//!            failure: retry ─▶ halt and clear ─▶ reset ─▶ firmware again ─▶ (none left)
//! Working ───────────────────────────▶ Recovering ──────────────────────▶ Quarantined
//!    ▲                                   │   ▲                               │
//!    └───────────── ready ───────────────┘   └──── back-off is over ─────────┘
//! ```
//!
//! An inference has a deadline. When it fails, the mildest measure that has not just been taken is
//! due; a measure that fails is followed by the next. Only the mildest, which takes a tenth of a
//! second at most, is taken within the inference. All others are steps of [`Supervised::tick`], one
//! each: nobody waits for a device that may never come back, and no thread is needed for it. A step
//! is bounded by the driver but for resets, which are the kernel's and may take it seconds;
//! [`Supervised::is_recovering`] says beforehand that a step may be one. Each step is an [`Event`].
//!
//! A device that gets lost again and again (it is unplugged, its power breaks down) is quarantined as
//! one that no measure helps.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::device::{Backend, Measure, Notice, ProgramId, Progress, Ticket};
use super::error::TpuError;
use super::package::Package;
use super::regs::MilliCelsius;
use crate::units::MonotonicTime;

/// Successful inferences after which a device counts as sound again.
const SOUND_AFTER: u32 = 32;

/// Losses of a device within [`LOSS_WINDOW`] that are put down to somebody at the plug.
const LOSSES_MAX: usize = 4;

/// A loss longer ago than this is forgotten.
const LOSS_WINDOW: Duration = Duration::from_secs(60);

/// Most events kept for whoever asks.
const EVENTS_MAX: usize = 64;

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// An inference, upload of weights included.
    pub inference: Duration,
    /// The first pause before a device that no measure helped is tried again.
    pub back_off: Duration,
    /// The longest; each pause is twice the one before.
    pub back_off_max: Duration,
}

impl Default for Limits {
    /// An upload of 8 MB takes 0.21 s over USB 2, a large model 0.1 s.
    fn default() -> Self {
        Self {
            inference: Duration::from_millis(500),
            back_off: Duration::from_secs(1),
            back_off_max: Duration::from_secs(60),
        }
    }
}

/// Something that happened to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which device.
    pub identity: String,
    /// What.
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It can run models; says what it is.
    InService(String),
    /// An inference or a measure failed.
    Failed(String),
    /// A measure is taken.
    Measure(Measure),
    /// A step on the way into service.
    Step(String),
    /// No measure helped; it is left alone for a while.
    Quarantined(Duration),
    /// It said something.
    Notice(Notice),
    /// A model runs on it instead of on another that is out of service.
    TakesOver,
}

impl Happening {
    /// A word for logs and reports.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::InService(_) => "in-service",
            Self::Failed(_) => "failed",
            Self::Measure(_) => "measure",
            Self::Step(_) => "step",
            Self::Quarantined(_) => "quarantined",
            Self::Notice(_) => "notice",
            Self::TakesOver => "takes-over",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Edge TPU {}: ", self.identity)?;
        match &self.what {
            Happening::InService(description) => write!(f, "in service ({description})"),
            Happening::Failed(reason) => write!(f, "{reason}"),
            Happening::Measure(measure) => write!(f, "measure taken: {measure}"),
            Happening::Step(step) => f.write_str(step),
            Happening::Quarantined(pause) => {
                write!(f, "no measure helped; it is tried again in {pause:?}")
            }
            Happening::Notice(Notice::Hot(Some(temperature))) => {
                write!(f, "it is getting hot: {temperature}")
            }
            Happening::Notice(Notice::Hot(None)) => f.write_str("it is getting hot"),
            Happening::Notice(Notice::Bus) => f.write_str("an error on its internal bus"),
            Happening::TakesOver => f.write_str("takes over from one that is out of service"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Runs models. The last measure taken, until enough inferences have succeeded.
    Working {
        after: Option<Measure>,
        successes: u32,
    },
    /// A measure is to be taken by the next step.
    Due { measure: Measure, reason: String },
    /// On its way into service.
    Recovering {
        measure: Measure,
        reason: String,
        step: String,
    },
    /// Left alone.
    Quarantined {
        until: MonotonicTime,
        reason: String,
    },
}

/// An accelerator that is looked after.
#[derive(Debug)]
pub struct Supervised {
    backend: Box<dyn Backend>,
    limits: Limits,
    state: State,
    pause: Duration,
    events: VecDeque<Event>,
    /// Runs begun and not finished: when each is due.
    due: VecDeque<(Ticket, MonotonicTime)>,
    /// When it was last found to be gone, the oldest first.
    losses: VecDeque<MonotonicTime>,
    /// What went wrong last is not mended by trying again.
    is_lasting: bool,
}

impl Supervised {
    /// Looks after an accelerator. Nothing is done to it yet.
    #[must_use]
    pub fn new(backend: Box<dyn Backend>, limits: Limits) -> Self {
        Self {
            backend,
            pause: limits.back_off,
            limits,
            state: State::Recovering {
                measure: Measure::Reset,
                reason: "it has not been started".to_owned(),
                step: String::new(),
            },
            events: VecDeque::with_capacity(EVENTS_MAX),
            due: VecDeque::with_capacity(4),
            losses: VecDeque::with_capacity(LOSSES_MAX + 1),
            is_lasting: false,
        }
    }

    /// Where it is plugged in.
    #[must_use]
    pub fn identity(&self) -> &str {
        self.backend.identity()
    }

    /// What it is.
    #[must_use]
    pub fn description(&self) -> String {
        self.backend.description()
    }

    /// Whether it can run models now.
    #[must_use]
    pub const fn is_working(&self) -> bool {
        matches!(self.state, State::Working { .. })
    }

    /// The oldest event that has not been taken.
    pub fn take_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Takes a model.
    ///
    /// # Errors
    ///
    /// The model cannot be run on this bus.
    pub fn load(&mut self, package: &Arc<Package>) -> Result<ProgramId, TpuError> {
        self.backend.load(package)
    }

    /// The temperature of its chip; `None` where it does not say.
    ///
    /// # Errors
    ///
    /// Not in service.
    pub fn temperature(&mut self) -> Result<Option<MilliCelsius>, TpuError> {
        self.backend.temperature()
    }

    /// Whether the next [`Supervised::tick`] does something to the device: a step of a fraction of a
    /// second or, where it is a reset, of as many seconds as the kernel gives that.
    #[must_use]
    pub fn is_recovering(&self) -> bool {
        match &self.state {
            State::Working { .. } => false,
            State::Due { .. } | State::Recovering { .. } => true,
            State::Quarantined { until, .. } => self.backend.now() >= *until,
        }
    }

    /// Brings it into service, once, waiting for it, with every measure there is. For the start of the
    /// program, when nothing moves yet.
    ///
    /// # Errors
    ///
    /// It is not in service within `limit`, or never will be as things are: the last reason.
    pub fn start(&mut self, limit: Duration) -> Result<(), TpuError> {
        let deadline = self.backend.now() + limit;
        loop {
            self.tick();
            if let State::Working { after, .. } = &mut self.state {
                // What it took to start says nothing of a failure to come.
                *after = None;
                return Ok(());
            }
            if self.is_lasting || self.backend.now() >= deadline {
                return Err(self.out_of_service());
            }
            // Some changes, such as permissions, are not announced.
            let pause = self.backend.now() + Duration::from_millis(100);
            self.backend.wait_for_change(pause.min(deadline));
        }
    }

    /// One step of a recovery, where there is one to be made.
    pub fn tick(&mut self) {
        match &self.state {
            State::Working { .. } => {}
            State::Quarantined { until, .. } if self.backend.now() < *until => {}
            State::Quarantined { reason, .. } => {
                let reason = reason.clone();
                self.take(Measure::Reset, reason);
            }
            State::Due { measure, reason } => {
                let (measure, reason) = (*measure, reason.clone());
                self.take(measure, reason);
            }
            State::Recovering { measure, .. } => {
                let measure = *measure;
                match self.backend.advance() {
                    Ok(Progress::Ready) => self.work(Some(measure)),
                    Ok(Progress::Underway(step)) => self.note_step(step),
                    Err(error) => {
                        self.is_lasting = error.is_lasting();
                        self.note(Happening::Failed(error.to_string()));
                        if error.is_gone() {
                            // Without a device there is nothing to take harder measures on.
                            self.lost(&error);
                        } else {
                            self.plan(measure.next(), error.to_string());
                        }
                    }
                }
            }
        }
    }

    /// Runs a model, and once more where that may help and there is time.
    ///
    /// # Errors
    ///
    /// It failed, or the device is out of service. Returns within the limit of an inference, the
    /// mildest measure and, where it was out of service, a step of recovery.
    pub fn run(
        &mut self,
        program: ProgramId,
        inputs: &[&[u8]],
        outputs: &mut [Vec<u8>],
    ) -> Result<(), TpuError> {
        self.tick();
        let due = self.backend.now() + self.limits.inference;
        let first = self.begin(program, inputs, due);
        let first = first.and_then(|ticket| self.finish(ticket, outputs));
        let retried = matches!(
            self.state,
            State::Working {
                after: Some(Measure::Retry),
                successes: 0
            }
        );
        match first {
            Err(error) if retried && !error.is_callers() && self.backend.now() < due => {
                let ticket = self.begin(program, inputs, due)?;
                self.finish(ticket, outputs)
            }
            result => result,
        }
    }

    /// Begins a run; inputs are copied.
    ///
    /// # Errors
    ///
    /// The device is out of service, or the inputs do not fit.
    pub fn submit(&mut self, program: ProgramId, inputs: &[&[u8]]) -> Result<Ticket, TpuError> {
        self.tick();
        let due = self.backend.now() + self.limits.inference;
        self.begin(program, inputs, due)
    }

    fn begin(
        &mut self,
        program: ProgramId,
        inputs: &[&[u8]],
        due: MonotonicTime,
    ) -> Result<Ticket, TpuError> {
        if !self.is_working() {
            return Err(self.out_of_service());
        }
        match self.backend.submit(program, inputs) {
            Ok(ticket) => {
                self.due.push_back((ticket, due));
                Ok(ticket)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Waits for a run, at most until its deadline, and writes its outputs.
    ///
    /// # Errors
    ///
    /// It failed; runs begun after it are lost with it.
    pub fn finish(&mut self, ticket: Ticket, outputs: &mut [Vec<u8>]) -> Result<(), TpuError> {
        let at = self.due.iter().position(|(t, _)| *t == ticket);
        let Some((_, due)) = at.and_then(|at| self.due.remove(at)) else {
            return Err(if self.is_working() {
                TpuError::Unknown("run")
            } else {
                self.out_of_service()
            });
        };
        let result = self.backend.finish(ticket, due, outputs);
        while let Some(notice) = self.backend.take_notice() {
            self.note(Happening::Notice(notice));
        }
        match result {
            Ok(()) => {
                self.succeeded();
                Ok(())
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    fn succeeded(&mut self) {
        if let State::Working { after, successes } = &mut self.state {
            *successes = successes.saturating_add(1);
            if *successes >= SOUND_AFTER && after.is_some() {
                *after = None;
                // One that gets lost every now and then is given longer and longer pauses.
                let now = self.backend.now();
                self.losses
                    .retain(|at| now.saturating_since(*at) < LOSS_WINDOW);
                if self.losses.is_empty() {
                    self.pause = self.limits.back_off;
                }
            }
        }
    }

    /// Sees to the next measure for a failure that is the device's.
    fn failed(&mut self, error: TpuError) -> TpuError {
        if error.is_callers() {
            return error;
        }
        self.due.clear();
        self.note(Happening::Failed(error.to_string()));
        let last = match self.state {
            State::Working { after, .. } => after,
            State::Due { .. } | State::Recovering { .. } | State::Quarantined { .. } => None,
        };
        match last {
            _ if error.is_gone() => self.lost(&error),
            None => self.take(Measure::Retry, error.to_string()),
            Some(last) => self.plan(last.next(), error.to_string()),
        }
        error
    }

    /// It is gone. Once, it is waited for; again and again, it is left alone.
    fn lost(&mut self, error: &TpuError) {
        let now = self.backend.now();
        self.losses
            .retain(|at| now.saturating_since(*at) < LOSS_WINDOW);
        if self.losses.len() > LOSSES_MAX {
            self.losses.pop_front();
        }
        self.losses.push_back(now);
        if self.losses.len() > LOSSES_MAX {
            self.quarantine(format!(
                "it was lost {} times within {LOSS_WINDOW:?}, last: {error}",
                self.losses.len()
            ));
        } else {
            self.plan(Some(Measure::Reset), error.to_string());
        }
    }

    /// Has a measure taken by the next step; without one it is left alone.
    fn plan(&mut self, measure: Option<Measure>, reason: String) {
        match measure {
            Some(measure) => self.state = State::Due { measure, reason },
            None => self.quarantine(reason),
        }
    }

    /// Takes a measure; where it fails, the next one is due.
    fn take(&mut self, measure: Measure, reason: String) {
        self.note(Happening::Measure(measure));
        match self.backend.recover(measure) {
            Ok(Progress::Ready) => self.work(Some(measure)),
            Ok(Progress::Underway(step)) => {
                self.state = State::Recovering {
                    measure,
                    reason,
                    step: String::new(),
                };
                self.note_step(step);
            }
            Err(error) => {
                self.note(Happening::Failed(format!("{measure}: {error}")));
                self.plan(measure.next(), reason);
            }
        }
    }

    fn quarantine(&mut self, reason: String) {
        self.note(Happening::Quarantined(self.pause));
        self.state = State::Quarantined {
            until: self.backend.now() + self.pause,
            reason,
        };
        self.pause = (self.pause * 2).min(self.limits.back_off_max);
    }

    fn work(&mut self, after: Option<Measure>) {
        self.is_lasting = false;
        self.state = State::Working {
            after,
            successes: 0,
        };
        self.note(Happening::InService(self.backend.description()));
    }

    fn out_of_service(&self) -> TpuError {
        let (reason, step) = match &self.state {
            State::Working { .. } => (String::new(), String::new()),
            State::Due { measure, reason } => (reason.clone(), format!("{measure} is next")),
            State::Recovering { reason, step, .. } => (reason.clone(), step.clone()),
            State::Quarantined { until, reason } => {
                let left = until.saturating_since(self.backend.now());
                (
                    reason.clone(),
                    format!("no measure helped; tried again in {left:.1?}"),
                )
            }
        };
        TpuError::OutOfService {
            identity: self.backend.identity().to_owned(),
            reason,
            step,
        }
    }

    /// A step is an event when it is another than the last.
    fn note_step(&mut self, step: String) {
        if let State::Recovering { step: last, .. } = &mut self.state
            && *last != step
        {
            last.clone_from(&step);
            self.note(Happening::Step(step));
        }
    }

    fn note(&mut self, what: Happening) {
        let event = Event {
            identity: self.backend.identity().to_owned(),
            what,
        };
        match event.what {
            Happening::InService(_) => log::info!("{event}"),
            Happening::Step(_) => log::debug!("{event}"),
            Happening::Failed(_)
            | Happening::Measure(_)
            | Happening::Quarantined(_)
            | Happening::Notice(_)
            | Happening::TakesOver => log::warn!("{event}"),
        }
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Says that a model runs here because another device is out of service.
    pub(super) fn note_takeover(&mut self) {
        self.note(Happening::TakesOver);
    }

    /// Puts it to rest.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub fn close(&mut self) -> Result<(), TpuError> {
        self.backend.close()
    }
}

#[cfg(test)]
#[path = "supervise_tests.rs"]
mod tests;
