//! The decide thread: owns the run permission and the outputs. Feeds inference results, ticks and
//! input levels to the pure [`Decision`] and carries its orders out.

use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use super::capture_thread::CloseOnDrop;
use super::infer_thread::FromInfer;
use crate::config::Pace;
use crate::decision::{Actions, Decision};
use crate::health::RateMeter;
use crate::message::{
    Decided, Event, FieldLevels, Inferred, LineHealth, PartTally, Snapshot, StreamView,
};
use crate::output::{FieldInputs, OutputError, SwitchingOutput};
use crate::sync::{Latest, Signal, Taken};
use crate::sys::monotonic_now;
use crate::units::{MonotonicTime, StreamId};

/// Time between two ticks in real time.
const TICK: Duration = Duration::from_millis(5);

/// Longest wait for the picture to take a snapshot before looking whether it still lives.
const UI_WAIT: Duration = Duration::from_millis(100);

/// What the decide thread needs.
#[derive(Debug)]
pub(super) struct DecideThread {
    pub(super) decision: Decision,
    pub(super) output: Box<dyn SwitchingOutput>,
    pub(super) field: Box<dyn FieldInputs>,
    pub(super) pace: Pace,
    /// By [`StreamId::index`]; in `asap` both are the same mailbox, which keeps the order.
    pub(super) inboxes: [Latest<FromInfer>; 2],
    /// Raised by the inboxes.
    pub(super) signal: Signal,
    pub(super) events: SyncSender<Event>,
    pub(super) snapshots: Option<Latest<Snapshot>>,
    /// Instant of media time zero on the decision clock.
    pub(super) origin: MonotonicTime,
}

/// What the decide thread counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DecideOutcome {
    pub(super) parts: PartTally,
    pub(super) events_dropped: u64,
}

/// State of the running thread beside its parts.
#[derive(Debug)]
struct Running {
    thread: DecideThread,
    now: MonotonicTime,
    lines: LineHealth,
    views: [Option<StreamView>; 2],
    rates: [RateMeter; 2],
    events_dropped: u64,
}

impl DecideThread {
    /// Runs until every inbox is closed; leaves all outputs inactive.
    pub(super) fn run(self) -> DecideOutcome {
        let closers = self.inboxes.clone().map(CloseOnDrop);
        let snapshots = self.snapshots.clone().map(CloseOnDrop);
        let mut running = Running {
            now: self.origin,
            thread: self,
            lines: LineHealth::Healthy,
            views: [None, None],
            rates: [RateMeter::default(); 2],
            events_dropped: 0,
        };
        running.work();
        drop((closers, snapshots));
        DecideOutcome {
            parts: running.thread.decision.parts(),
            events_dropped: running.events_dropped,
        }
    }
}

impl Running {
    fn work(&mut self) {
        let initial = self.thread.decision.initial(self.now);
        self.carry_out(&initial);
        loop {
            let seen = self.thread.signal.generation();
            let mut open = false;
            let mut idle = true;
            for index in 0..self.thread.inboxes.len() {
                match self.thread.inboxes[index].take() {
                    Taken::Value(message) => {
                        (open, idle) = (true, false);
                        self.take(message);
                    }
                    Taken::Empty => open = true,
                    Taken::Closed => {}
                }
            }
            if !open {
                break;
            }
            if self.thread.pace == Pace::Realtime {
                self.advance(monotonic_now());
                self.tick();
            }
            if idle {
                self.thread.signal.wait_newer(seen, TICK);
            }
        }
        let last = self.thread.decision.shut_down(self.now);
        self.carry_out(&last);
    }

    /// The decision clock never runs backwards, whatever order the streams' frames come in.
    fn advance(&mut self, now: MonotonicTime) {
        self.now = self.now.max(now);
    }

    fn take(&mut self, message: FromInfer) {
        match message {
            FromInfer::Inferred(inferred) => self.judge(inferred),
            FromInfer::Ended(stream) => {
                if self.thread.pace == Pace::Realtime {
                    self.advance(monotonic_now());
                }
                let actions = self.thread.decision.source_ended(stream, self.now);
                self.carry_out(&actions);
            }
        }
    }

    fn judge(&mut self, inferred: Inferred) {
        self.advance(match self.thread.pace {
            Pace::Asap => inferred.frame.meta.timestamp,
            Pace::Realtime => monotonic_now(),
        });
        let (verdict, actions) = self.thread.decision.on_inferred(&inferred, self.now);
        let decided_at = monotonic_now();
        let Inferred { frame, timing, .. } = inferred;
        let latency = decided_at.saturating_since(frame.meta.arrived);
        let stream = frame.meta.stream;
        let decided = Decided {
            meta: frame.meta,
            verdict: verdict.clone(),
            timing,
            latency,
        };
        // Outputs first: the report can wait, a relay cannot.
        self.apply(&actions);
        self.send(Event::Decided(decided));
        self.tell(&actions);
        if self.thread.pace == Pace::Asap {
            self.tick();
        }
        let fps = self.rates[stream.index()].tick(decided_at);
        if self.thread.snapshots.is_some() {
            self.views[stream.index()] = Some(StreamView {
                frame,
                verdict,
                fps,
                latency,
            });
            self.show(stream);
        }
    }

    fn tick(&mut self) {
        let prompt = self.thread.decision.prompt();
        let field = match self.thread.field.read(self.now, prompt) {
            Ok(field) => field,
            Err(error) => {
                self.lost(&error);
                FieldLevels::default()
            }
        };
        let actions = self.thread.decision.tick(self.now, field, self.lines);
        self.carry_out(&actions);
    }

    fn carry_out(&mut self, actions: &Actions) {
        self.apply(actions);
        self.tell(actions);
    }

    fn apply(&mut self, actions: &Actions) {
        for change in &actions.changes {
            if let Err(error) = self.thread.output.apply(change) {
                self.lost(&error);
            }
        }
    }

    fn tell(&mut self, actions: &Actions) {
        for change in &actions.changes {
            self.send(Event::Output(*change));
        }
        if let Some(why) = actions.refused {
            self.send(Event::ResetRefused { at: self.now, why });
        }
    }

    fn lost(&mut self, error: &OutputError) {
        if self.lines == LineHealth::Healthy {
            log::error!("{error}; run permission OFF");
        }
        self.lines = LineHealth::Lost;
    }

    /// In `asap` nothing may be lost; in real time nothing may make the decision wait.
    fn send(&mut self, event: Event) {
        match self.thread.pace {
            Pace::Asap => {
                if self.thread.events.send(event).is_err() {
                    self.events_dropped += 1;
                }
            }
            Pace::Realtime => match self.thread.events.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                    self.events_dropped += 1;
                }
            },
        }
    }

    fn show(&self, newest: StreamId) {
        let Some(mailbox) = &self.thread.snapshots else {
            return;
        };
        let mut snapshot = Snapshot {
            at: self.now,
            permission: self.thread.decision.permission(),
            streams: self.views.clone(),
            newest,
        };
        match self.thread.pace {
            Pace::Realtime => mailbox.put(snapshot),
            Pace::Asap => {
                while let Err(unsent) = mailbox.put_when_empty(snapshot, UI_WAIT) {
                    if mailbox.is_closed() {
                        return;
                    }
                    snapshot = unsent;
                }
            }
        }
    }
}
