//! The main thread while a run goes on: takes the events, writes report and event log, shows progress,
//! and joins every thread at the end.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use rtrb::Consumer;
use sd_notify::NotifyState;

use super::board::Board;
use super::day_clock::DayClock;
use super::event_thread::EventSink;
use super::live::Live;
use super::pipeline::Pipeline;
use super::progress::Progress;
use super::report::{ReportError, ReportWriter};
use super::run::{RunError, RunOutcome};
use super::summary::Summary;
use super::unjudged::Unjudged;
use super::watchdog_thread::{Readiness, tell};
use crate::message::{
    CameraChange, Cause, Decided, DisplayChange, Event, Fault, OutputChange, OutputName,
    OutputState, PermissionState, StopReason, Verdict,
};
use crate::sys::{StopFlag, monotonic_now, process_usage};
use crate::units::{MonotonicTime, StreamId};

/// Longest time that the end waits for the event log, which a disk may have stalled.
const EVENT_LOG_MAX: Duration = Duration::from_secs(2);

/// Time between two looks for events: short against what a person notices, long against the work.
const EVENTS_WAIT: Duration = Duration::from_millis(5);

/// Time between two looks at the wall clock, for zones that have hours.
const CLOCK_LOOK: Duration = Duration::from_secs(1);

/// A picture's thread that has ended by itself for so long ended too early: at the end of a run the decide
/// thread tells it to end, and follows at once.
const UI_END_GRACE: Duration = Duration::from_millis(500);

/// Longest time for a thread to end once it was asked to; an inference or a picture takes a fraction.
const END_MAX: Duration = Duration::from_secs(10);

/// The main thread's part of a run: report, events, progress, figures, configuration.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) report: Option<ReportWriter>,
    pub(super) readiness: Readiness,
    pub(super) progress: Progress,
    pub(super) summary: Summary,
    pub(super) unjudged: Unjudged,
    pub(super) error: Option<RunError>,
    pub(super) zone_names: Vec<String>,
    pub(super) origin: MonotonicTime,
    /// On the monotonic clock.
    pub(super) started_at: MonotonicTime,
    /// Whether a signal ended the run.
    pub(super) asked_to_stop: bool,
    pub(super) live: Option<Live>,
    pub(super) events: Option<EventSink>,
    pub(super) day_clock: DayClock,
    pub(super) clock_looked_at: Option<MonotonicTime>,
    /// What the status pages show; `None` without a picture.
    pub(super) board: Option<Board>,
    pub(super) picture_end: PictureEnd,
}

/// Whether the thread of the picture lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PictureEnd {
    /// It does, or there is none.
    #[default]
    None,
    /// It was found to have ended at this time.
    Found(MonotonicTime),
    /// That was said.
    Said,
}

impl PictureEnd {
    /// Takes that the thread has ended, as seen at `now`; whether that has to be said.
    fn has_to_be_said(&mut self, now: MonotonicTime) -> bool {
        match *self {
            Self::None => *self = Self::Found(now),
            Self::Found(since) if now.saturating_since(since) >= UI_END_GRACE => {
                *self = Self::Said;
                return true;
            }
            Self::Found(_) | Self::Said => {}
        }
        false
    }
}

impl Supervisor {
    /// Writes events to the report and shows progress until the decide thread ends.
    pub(super) fn follow(&mut self, pipeline: &mut Pipeline, stop: &StopFlag) {
        let Pipeline {
            events, ui, news, ..
        } = pipeline;
        let mut stopping = false;
        loop {
            if stop.is_raised() && !stopping {
                stopping = true;
                tell(&[NotifyState::Stopping]);
            }
            // Asked first: whatever was sent before the sender went is then still found below.
            let over = events.is_abandoned();
            self.take_all(events);
            if let Some(ui) = ui {
                self.take_all(&mut ui.news);
                if ui.thread.is_finished() && !stopping {
                    self.without_picture(monotonic_now());
                }
            }
            for change in news.iter_mut().flat_map(|news| news.pop().ok()) {
                self.camera(change);
            }
            self.write(ReportWriter::settle);
            if over {
                break;
            }
            self.look_after_configuration();
            self.look_at_the_clock();
            self.show_status();
            thread::sleep(EVENTS_WAIT);
        }
        self.progress.finish();
    }

    /// The thread of the picture has ended before the run. The machine does not depend on it; whoever
    /// stands before a dark monitor does.
    fn without_picture(&mut self, now: MonotonicTime) {
        if !self.picture_end.has_to_be_said(now) {
            return;
        }
        let reason = "ended while the run went on: nothing is shown any more".to_owned();
        log::error!("the thread of the picture {reason}");
        let why = format!("the thread of the picture {reason}");
        self.record(&Event::Display(DisplayChange::Lost { why }));
        self.fault(RunError::Thread { name: "ui", reason });
    }

    fn take_all(&mut self, events: &mut Consumer<Event>) {
        while let Ok(event) = events.pop() {
            self.take(event);
        }
    }

    /// Once a second.
    fn look_at_the_clock(&mut self) {
        let now = monotonic_now();
        let due = self
            .clock_looked_at
            .is_none_or(|last| now.saturating_since(last) >= CLOCK_LOOK);
        if due {
            self.clock_looked_at = Some(now);
            self.day_clock.look(now);
        }
    }

    /// For whoever stands at the monitor.
    fn show_status(&mut self) {
        if let Some(board) = &mut self.board {
            let now = monotonic_now();
            board.show(&self.summary, now.saturating_since(self.started_at), now);
        }
    }

    fn take(&mut self, event: Event) {
        self.record(&event);
        match event {
            Event::Decided(decided) => {
                self.readiness.tell();
                let stream = &mut self.summary.streams[decided.meta.stream.index()];
                stream.record(&decided);
                if let Some(complaint) = self.unjudged.note(&decided, monotonic_now()) {
                    log::error!("{complaint}");
                }
                self.progress.frame();
                trace(&decided);
                self.write(|report| report.decided(&decided));
            }
            Event::Output(change) => self.output(change),
            Event::SelfTest { at, outcome } => {
                let since_start = at.saturating_since(self.origin);
                self.write(|report| report.self_test(since_start, outcome));
            }
            Event::State { at, state } => self.state(at, state),
            Event::LineLost { message, .. } => {
                log::error!("{message}; run permission OFF");
                self.fault(RunError::Line(message));
            }
            // The driver has logged it, each at its level; here it goes to the event log.
            Event::Accelerator { .. } => {}
            Event::ResetRefused { why, .. } => log::info!("reset refused: {why}"),
            Event::Acknowledged { .. } => log::info!("acknowledged at the screen"),
            Event::Configured { at, generation } => self.configured(at, generation),
            // Made by this thread itself.
            Event::Camera(_)
            | Event::Configuration(_)
            | Event::Started(_)
            | Event::Stopped(_)
            | Event::Lost(_) => {}
            // In the event log, and said by the ui thread.
            Event::Display(_) => {}
        }
    }

    /// The source itself has put it into the log.
    fn camera(&mut self, change: CameraChange) {
        let since_start = change.at.saturating_since(self.origin);
        self.write(|report| report.camera(since_start, &change));
        if let Some(live) = &mut self.live {
            live.show_camera(&change);
        }
        self.record(&Event::Camera(change));
    }

    fn state(&mut self, at: MonotonicTime, state: PermissionState) {
        let cause = state.cause();
        let cause = cause.map(|cause| cause.with_names(&self.zone_names).to_string());
        let words = match &cause {
            Some(cause) => format!("run permission: {} ({cause})", state.name()),
            None => format!("run permission: {}", state.name()),
        };
        tell(&[NotifyState::Status(&words)]);
        if let PermissionState::LockedOut(fault) = state {
            // The end of a file is the end of a run on files, and nothing that went wrong.
            let level = if matches!(fault, Fault::SourceEnded(_)) {
                log::Level::Info
            } else {
                log::Level::Error
            };
            log::log!(level, "locked out: {fault}");
        }
        let since_start = at.saturating_since(self.origin);
        self.write(|report| report.state(since_start, state.name(), cause.as_deref()));
    }

    fn output(&mut self, change: OutputChange) {
        let OutputChange { at, command, cause } = change;
        if command.output == OutputName::Heartbeat {
            // Ten lines a second would bury the others.
            return;
        }
        let cause_text = cause.with_names(&self.zone_names).to_string();
        if command.output == OutputName::RunPermission {
            if command.state == OutputState::Inactive && cause != Cause::Start {
                self.summary.trips += 1;
            }
            self.progress.permission(command.state, &cause_text);
        }
        if let Cause::RejectMissed(_) = cause {
            log::error!("{cause_text}; see docs/report.md, `parts`");
        }
        let since_start = at.saturating_since(self.origin);
        self.write(|report| report.output(since_start, command, &cause_text));
    }

    /// Writes to the report; the first failure is said and ends the report, not the run.
    pub(super) fn write(
        &mut self,
        write: impl FnOnce(&mut ReportWriter) -> Result<(), ReportError>,
    ) {
        let Some(report) = &mut self.report else {
            return;
        };
        if let Err(error) = write(report) {
            log::error!("{error}; the run goes on without a report");
            self.summary.faults.push(error.to_string());
            self.error.get_or_insert(error.into());
            self.report = None;
        }
    }

    /// Joins every thread, completes the figures and the report.
    pub(super) fn close(mut self, pipeline: Pipeline) -> RunOutcome {
        for (stream, thread) in StreamId::ALL.into_iter().zip(pipeline.capture) {
            if let Some(outcome) = self.join("capture", thread) {
                self.summary.capture[stream.index()] = outcome.figures;
                if let Some(error) = outcome.error {
                    self.fault(error.into());
                }
            }
        }
        self.join("infer", pipeline.infer);
        if let Some(outcome) = self.join("decide", pipeline.decide) {
            self.summary.parts = outcome.parts;
            self.summary.events_dropped = outcome.events_dropped;
            self.summary.ticks_missed = outcome.ticks_missed;
            if let Some(error) = outcome.error {
                self.fault(RunError::Thread {
                    name: "decide",
                    reason: format!("no timer: {error}"),
                });
            }
        }
        let ui = pipeline.ui.and_then(|mut ui| {
            let figures = self.join("ui", ui.thread);
            if let Some(input) = ui.input {
                self.join("input", input);
            }
            self.take_all(&mut ui.news);
            figures
        });
        if let Some(figures) = ui {
            self.summary.copies = figures.copies;
            self.summary.display_losses = figures.display_losses;
            self.summary.render = figures.render;
            self.summary.encode = figures.encode;
            self.summary.recorded = figures.recorded;
            for error in figures.faults {
                self.fault(error.into());
            }
        }
        if let Some(live) = self.live.take() {
            self.join("config-watch", live.into_thread());
        }
        self.own_up();
        self.close_events();
        let (started, usage) = pipeline.started;
        self.summary.usage = process_usage();
        self.summary.wall = monotonic_now().saturating_since(started);
        self.summary.pipeline_cpu = self.summary.usage.cpu.saturating_sub(usage.cpu);
        if let Some(report) = self.report.take()
            && let Err(error) = report.finish(&self.summary)
        {
            self.fault(error.into());
        }
        RunOutcome {
            summary: self.summary,
            error: self.error,
        }
    }

    /// The last event, and what is missing from the log.
    fn close_events(&mut self) {
        if self.summary.events_dropped > 0 {
            self.record(&Event::Lost(self.summary.events_dropped));
        }
        let reason = match (&self.error, self.asked_to_stop) {
            (Some(error), _) => StopReason::Failed(error.to_string()),
            (None, true) => StopReason::Signal,
            (None, false) => StopReason::InputsEnded,
        };
        self.record(&Event::Stopped(reason));
        let Some(events) = self.events.take() else {
            return;
        };
        let figures = events.close(EVENT_LOG_MAX);
        self.summary.events_lost = figures.lost;
        if figures.stalled {
            let text = "the event log's disk did not answer";
            log::error!("{text}; ending without it");
            self.summary.faults.push(text.to_owned());
        } else if figures.lost > 0 {
            let text = format!("{} events are missing from the event log", figures.lost);
            self.summary.faults.push(text);
        }
    }

    /// Waits for a thread, which was asked to end, but not for ever: one that hangs in a driver is
    /// left behind and ends with the process.
    fn join<T>(&mut self, name: &'static str, thread: JoinHandle<T>) -> Option<T> {
        let deadline = monotonic_now() + END_MAX;
        while !thread.is_finished() {
            if monotonic_now() > deadline {
                let reason = format!("does not end within {} s", END_MAX.as_secs());
                self.fault(RunError::Thread { name, reason });
                return None;
            }
            thread::sleep(EVENTS_WAIT);
        }
        match thread.join() {
            Ok(value) => Some(value),
            Err(panic) => {
                let reason = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("no message");
                let reason = format!("panicked: {reason}");
                self.fault(RunError::Thread { name, reason });
                None
            }
        }
    }

    /// Makes faults of what was lost on the way.
    fn own_up(&mut self) {
        for error in self.unjudged.errors() {
            self.fault(error.into());
        }
        let dropped = self.summary.events_dropped;
        if dropped > 0 {
            self.summary.faults.push(format!(
                "{dropped} events were dropped: their lines are missing from the report, frames and trips are undercounted"
            ));
        }
    }

    fn fault(&mut self, error: RunError) {
        self.summary.faults.push(error.to_string());
        self.error.get_or_insert(error);
    }
}

/// A line per frame, for `-vv`.
fn trace(decided: &Decided) {
    let (stream, frame) = (decided.meta.stream, decided.meta.sequence);
    let ms = decided.latency.as_secs_f64() * 1e3;
    match &decided.verdict {
        Verdict::Safety(verdict) => log::trace!(
            "{stream} frame {frame}: {} persons, {}, {ms:.1} ms",
            verdict.persons.len(),
            if verdict.occupied {
                "occupied"
            } else {
                "clear"
            },
        ),
        Verdict::Inspection(verdict) => {
            let items = verdict.items.len();
            log::trace!("{stream} frame {frame}: {items} parts, {ms:.1} ms");
        }
    }
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;
