//! The decide thread: owns the run permission and the outputs. Feeds inference results, ticks and
//! input levels to the pure [`Decision`] and carries its orders out.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rtrb::{Consumer, Producer, PushError};

use super::capture_thread::CloseOnDrop;
use super::day_clock::DayClock;
use super::infer_thread::{FromInfer, SELF_TEST_WITHIN};
use super::live::Configure;
use crate::config::{Impact, Pace};
use crate::decision::interlock::Proof;
use crate::decision::{Actions, Decision, screen};
use crate::health::{Beat, RateMeter};
use crate::message::{
    Cause, Decided, Event, Fault, FieldLevels, Generation, Inferred, LineHealth, OperatorCommand,
    OperatorOrder, OperatorView, OutputChange, OutputCommand, OutputName, OutputState, PartTally,
    PermissionState, ResetRefusal, Snapshot, StreamView,
};
use crate::output::{FieldInputs, HeartbeatGenerator, OutputError, SwitchingOutput};
use crate::sync::{Latest, Signal, Taken};
use crate::sys::{StopFlag, Ticker, lock_memory, monotonic_now, raise_priority};
use crate::units::{MonotonicTime, StreamId};

/// Time between two ticks in real time.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// Longest wait for a result, or for the picture to take a snapshot, in `asap`.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// Wait for room among the events in `asap`: the time in which the main thread writes a few lines.
const EVENTS_WAIT: Duration = Duration::from_millis(1);

/// Longest time without a snapshot in real time: the picture says what holds also where no frame comes.
pub(super) const SHOWN_EVERY: Duration = Duration::from_millis(200);

/// Orders from the screen taken in one tick; a person gives two a second.
const ORDERS_MAX: usize = 8;

/// Results taken in one tick: each stream's, and one more that came meanwhile.
const TAKEN_MAX: usize = 4;

/// What the decide thread needs.
#[derive(Debug)]
pub(super) struct DecideThread {
    pub(super) decision: Decision,
    pub(super) output: Box<dyn SwitchingOutput>,
    pub(super) field: Box<dyn FieldInputs>,
    pub(super) heartbeat: HeartbeatGenerator,
    pub(super) pace: Pace,
    /// By [`StreamId::index`]; in `asap` both are the same mailbox, which keeps the order.
    pub(super) inboxes: [Latest<FromInfer>; 2],
    /// Configurations to take over; only in real time.
    pub(super) commands: Latest<Box<Configure>>,
    /// Where configurations go whose memory somebody else has to free.
    pub(super) spent: Producer<Box<Configure>>,
    /// What an operator does at the screen; only in real time, and only where there is one.
    pub(super) desk: Option<Consumer<OperatorCommand>>,
    /// Raised by the inboxes.
    pub(super) signal: Signal,
    pub(super) events: Producer<Event>,
    pub(super) snapshots: Option<Latest<Snapshot>>,
    /// Instant of media time zero on the decision clock.
    pub(super) origin: MonotonicTime,
    pub(super) stop: StopFlag,
    pub(super) beat: Beat,
    /// Only looked at in real time: a run in `asap` is the same at every hour.
    pub(super) day_clock: DayClock,
}

/// What the decide thread counted.
#[derive(Debug, Default)]
pub(super) struct DecideOutcome {
    pub(super) parts: PartTally,
    pub(super) events_dropped: u64,
    /// Ticks that came too late and were left out.
    pub(super) ticks_missed: u64,
    /// Why the thread gave up; the outputs are OFF.
    pub(super) error: Option<io::Error>,
}

/// State of the running thread beside its parts.
#[derive(Debug)]
struct Running {
    thread: DecideThread,
    now: MonotonicTime,
    lines: LineHealth,
    told: PermissionState,
    /// The last reset that was refused, and when.
    refused: Option<(ResetRefusal, MonotonicTime)>,
    /// What runs the models, where that has changed since the start.
    engine: Option<Arc<str>>,
    /// Whether somebody may still send orders from the screen.
    desk_is_open: bool,
    views: [Option<StreamView>; 2],
    rates: [RateMeter; 2],
    /// The last snapshot that was handed over: its state, and when.
    shown: Option<(PermissionState, MonotonicTime)>,
    /// Whose frame was decided last.
    newest: StreamId,
    events_dropped: u64,
    ticks_missed: u64,
    /// Of the configuration in force.
    generation: Generation,
    /// Frames that were inferred by an older configuration are still to come: once the one in force
    /// has passed through inference, counting begins anew.
    recount: bool,
}

impl DecideThread {
    /// Runs until every inbox is closed, or in real time until somebody stops it; leaves all outputs
    /// inactive.
    pub(super) fn run(self) -> DecideOutcome {
        let closers = self.inboxes.clone().map(CloseOnDrop);
        let commands = CloseOnDrop(self.commands.clone());
        let snapshots = self.snapshots.clone().map(CloseOnDrop);
        let mut running = Running {
            now: self.origin,
            told: self.decision.permission(),
            refused: None,
            engine: None,
            desk_is_open: self.desk.is_some(),
            thread: self,
            lines: LineHealth::Healthy,
            views: [None, None],
            rates: [RateMeter::default(); 2],
            shown: None,
            newest: StreamId::WorkerSafety,
            events_dropped: 0,
            ticks_missed: 0,
            generation: Generation::default(),
            recount: false,
        };
        let initial = running.thread.decision.initial(running.now);
        running.carry_out(&initial);
        let error = match running.thread.pace {
            Pace::Asap => {
                running.in_order();
                None
            }
            Pace::Realtime => running.in_real_time().err(),
        };
        // OFF first, then the rest.
        let last = running.thread.decision.shut_down(running.now);
        // Ending is no state that the run permission comes to: nothing follows it.
        running.told = running.thread.decision.permission();
        running.carry_out(&last);
        if running.thread.pace == Pace::Realtime {
            // No film or monitor ends on a permission that is gone.
            running.show();
        }
        running.thread.beat.retire();
        drop((closers, commands, snapshots));
        DecideOutcome {
            parts: running.thread.decision.parts(),
            events_dropped: running.events_dropped,
            ticks_missed: running.ticks_missed,
            error,
        }
    }
}

impl Running {
    /// Every result in its order, as fast as they come.
    fn in_order(&mut self) {
        loop {
            let seen = self.thread.signal.generation();
            match self.thread.inboxes[0].take() {
                Taken::Value(message) => self.take(message),
                Taken::Empty => self.thread.signal.wait_newer(seen, WAIT_MAX),
                Taken::Closed => break,
            }
            self.thread.beat.strike();
        }
    }

    /// A fixed tick. Between two ticks nothing here waits for another thread, allocates, or does
    /// I/O that can block: mailboxes whose lock is taken are looked at again in the next tick.
    fn in_real_time(&mut self) -> io::Result<()> {
        say_what_is_permitted();
        let decision = &mut self.thread.decision;
        decision.expect_self_tests_every(SELF_TEST_WITHIN);
        let ticker = Ticker::every(TICK)?;
        while !self.thread.stop.is_raised() {
            self.ticks_missed += ticker.wait()?.saturating_sub(1);
            self.advance(monotonic_now());
            if let Some(Taken::Value(configure)) = self.thread.commands.try_take() {
                self.configure(configure);
            }
            let minute = self.thread.day_clock.minute(self.now);
            self.thread.decision.set_time_of_day(minute);
            let open = self.take_what_came();
            self.take_orders();
            self.advance(monotonic_now());
            self.tick();
            self.show_without_frame();
            self.thread.signal.settle();
            if let Some(snapshots) = &self.thread.snapshots {
                snapshots.signal().settle();
            }
            self.thread.beat.strike();
            if !open {
                break;
            }
        }
        Ok(())
    }

    /// Takes the results that are there. False where nothing will come any more.
    fn take_what_came(&mut self) -> bool {
        let mut open = [true; 2];
        for _ in 0..TAKEN_MAX {
            let mut took = false;
            for (index, open) in open.iter_mut().enumerate() {
                match self.thread.inboxes[index].try_take() {
                    Some(Taken::Value(message)) => {
                        took = true;
                        self.take(message);
                    }
                    Some(Taken::Closed) => *open = false,
                    Some(Taken::Empty) | None => {}
                }
            }
            if !took {
                break;
            }
        }
        open.contains(&true)
    }

    /// Takes what an operator did at the screen. A screen that is gone is told once.
    fn take_orders(&mut self) {
        for _ in 0..ORDERS_MAX {
            let Some(desk) = self.thread.desk.as_mut().filter(|_| self.desk_is_open) else {
                return;
            };
            let command = match desk.pop() {
                Ok(command) => command,
                Err(_) if desk.is_abandoned() => {
                    self.desk_is_open = false;
                    let actions = self.thread.decision.screen_gone(self.now);
                    self.carry_out(&actions);
                    return;
                }
                Err(_) => return,
            };
            // The kernel stamped it after this tick began.
            self.advance(monotonic_now());
            let actions = self.thread.decision.on_operator(command, self.now);
            self.carry_out(&actions);
            let fresh = screen::is_fresh(command.at, self.now);
            if command.order == OperatorOrder::Acknowledge && fresh {
                self.send(Event::Acknowledged { at: self.now });
            }
        }
    }

    /// The decision clock never runs backwards, whatever order the streams' frames come in.
    fn advance(&mut self, now: MonotonicTime) {
        self.now = self.now.max(now);
    }

    fn take(&mut self, message: FromInfer) {
        match message {
            FromInfer::Inferred(inferred) => self.judge(inferred),
            FromInfer::Ended(stream) => {
                let actions = self.thread.decision.source_ended(stream, self.now);
                self.carry_out(&actions);
            }
            FromInfer::SelfTest(outcome) => {
                let actions = self.thread.decision.on_self_test(outcome, self.now);
                self.carry_out(&actions);
                self.send(Event::SelfTest {
                    at: self.now,
                    outcome,
                });
            }
            FromInfer::Accelerator { message, engine } => {
                self.send(Event::Accelerator {
                    at: self.now,
                    message,
                    engine: engine.to_string(),
                });
                self.engine = Some(engine);
            }
            // Whatever a stop depends on counts anew from here: frames that were inferred with the
            // configuration before have all been decided.
            // One that a later one has overtaken is not in force any more; the later one comes this
            // way, too.
            FromInfer::Configured(configure) => {
                let in_force = configure.generation == self.generation;
                if in_force && self.recount {
                    self.recount = false;
                    self.reconfigure(configure);
                } else {
                    self.retire(configure);
                }
            }
        }
    }

    /// Takes over a configuration; everything in it was allocated by the main thread.
    fn configure(&mut self, mut configure: Box<Configure>) {
        let generation = configure.generation;
        self.generation = generation;
        self.recount |= configure.impact != Impact::Cosmetic;
        match configure.impact {
            Impact::Cosmetic => {
                let actions = self.thread.decision.update(&mut configure.rules, self.now);
                self.carry_out(&actions);
                self.retire(configure);
            }
            Impact::SafetyRelevant | Impact::NeedsRestart => self.reconfigure(configure),
        }
        self.send(Event::Configured {
            at: self.now,
            generation,
        });
    }

    /// OFF, and a reset is needed.
    fn reconfigure(&mut self, mut configure: Box<Configure>) {
        let rules = &mut configure.rules;
        let actions = self.thread.decision.exchange(rules, self.now);
        self.carry_out(&actions);
        self.retire(configure);
    }

    /// Freeing memory can wait for a lock; the main thread does it.
    fn retire(&mut self, configure: Box<Configure>) {
        drop(self.thread.spent.push(configure));
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
            self.newest = stream;
            self.show();
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
        match self.lines {
            LineHealth::Lost => self.insist_on_off(),
            LineHealth::Healthy => self.beat_the_heart(),
        }
    }

    /// The heartbeat: made by this tick, and only where it has proved that everything works.
    fn beat_the_heart(&mut self) {
        if self.thread.decision.proof() == Proof::Missing {
            return;
        }
        if let Some(edge) = self.thread.heartbeat.prove(self.now)
            && let Err(error) = self.thread.output.apply(&edge)
        {
            self.lost(&error);
        }
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

    /// After a line was lost nobody knows what state the outputs are in: OFF is ordered again and
    /// again, in case the line listens once more. The decision is locked out meanwhile.
    fn insist_on_off(&mut self) {
        let off = OutputChange {
            at: self.now,
            command: OutputCommand {
                output: OutputName::RunPermission,
                state: OutputState::Inactive,
            },
            cause: Cause::Fault(Fault::OutputLost),
        };
        // Another failure is nothing new.
        let _ = self.thread.output.apply(&off);
    }

    fn tell(&mut self, actions: &Actions) {
        for change in &actions.changes {
            self.send(Event::Output(*change));
        }
        if let Some(why) = actions.refused {
            self.refused = Some((why, self.now));
            self.send(Event::ResetRefused { at: self.now, why });
        }
        let state = self.thread.decision.permission();
        if state != self.told {
            self.told = state;
            self.send(Event::State {
                at: self.now,
                state,
            });
        }
    }

    /// What is to be done comes with the next tick; the main thread says what happened.
    fn lost(&mut self, error: &OutputError) {
        if self.lines == LineHealth::Lost {
            return;
        }
        self.lines = LineHealth::Lost;
        self.send(Event::LineLost {
            at: self.now,
            message: error.to_string(),
        });
    }

    /// In `asap` nothing may be lost; in real time nothing may make the decision wait.
    fn send(&mut self, mut event: Event) {
        while let Err(PushError::Full(unsent)) = self.thread.events.push(event) {
            if self.thread.pace == Pace::Realtime || self.thread.events.is_abandoned() {
                self.events_dropped += 1;
                return;
            }
            event = unsent;
            std::thread::sleep(EVENTS_WAIT);
        }
    }

    /// In real time the picture follows the permission and the clock, not only the frames: a frame
    /// that does not come is what takes the permission away.
    fn show_without_frame(&mut self) {
        let state = self.thread.decision.permission();
        let due = self.shown.is_none_or(|(shown, at)| {
            shown != state || self.now.saturating_since(at) >= SHOWN_EVERY
        });
        if due {
            self.show();
        }
    }

    fn show(&mut self) {
        let Some(mailbox) = &self.thread.snapshots else {
            return;
        };
        let mut snapshot = Snapshot {
            at: self.now,
            permission: self.thread.decision.permission(),
            streams: self.views.clone(),
            newest: self.newest,
            parts: self.thread.decision.parts(),
            operator: OperatorView {
                prompt: self.thread.decision.prompt(),
                refused: self.refused,
                alarm: self.thread.decision.alarm(),
            },
            engine: self.engine.clone(),
        };
        let shown = (snapshot.permission, snapshot.at);
        match self.thread.pace {
            // Where the lock is taken the next tick tries again, if nothing newer comes before.
            Pace::Realtime => match mailbox.try_put(snapshot) {
                Ok(()) => self.shown = Some(shown),
                Err(_) => self.shown = None,
            },
            Pace::Asap => {
                while let Err(unsent) = mailbox.put_when_empty(snapshot, WAIT_MAX) {
                    if mailbox.is_closed() {
                        return;
                    }
                    snapshot = unsent;
                }
            }
        }
    }
}

/// What helps against being late, and whether this machine permits it.
fn say_what_is_permitted() {
    match raise_priority() {
        Ok(()) => log::info!("decide thread: real-time priority"),
        Err(error) => log::warn!(
            "decide thread: no real-time priority ({error}); on a busy machine ticks can come late. It takes CAP_SYS_NICE or LimitRTPRIO=40"
        ),
    }
    if let Err(error) = lock_memory() {
        log::warn!(
            "memory is not locked ({error}); pages can be swapped out. It takes CAP_IPC_LOCK or LimitMEMLOCK=infinity"
        );
    }
}

#[cfg(test)]
#[path = "decide_thread_tests.rs"]
mod tests;
