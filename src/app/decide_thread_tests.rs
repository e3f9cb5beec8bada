//! Faults around the decide thread, injected into the very thread that runs in the product: whatever
//! stalls, lies, dies or blocks, the run permission goes, and the cause is told.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rtrb::{Consumer, RingBuffer};

use super::*;
use crate::config::{Config, Overrides, load};
use crate::decision::Rules;
use crate::frame::{
    BufferPool, ColorMatrix, ColorRange, Frame, FrameFormat, FrameMeta, PixelFormat,
};
use crate::geometry::{Rect, Size};
use crate::message::{
    Detection, DetectorTest, Feedback, Findings, InferenceTiming, InputState, ResetPrompt,
    TripCause,
};
use crate::output::{EdgeLog, SimulatedOutput};
use crate::units::{LabelId, Score};
use OutputState::{Active, Inactive};

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// Time between two frames of the simulated camera.
const PERIOD: Duration = Duration::from_millis(10);

/// Where the tests reach into the running thread.
#[derive(Clone, Debug, Default)]
struct Levers {
    /// Levels of the input lines; reset is pressed by [`Levers::operator`].
    feedback_disagrees: Arc<AtomicBool>,
    reset_stuck: Arc<AtomicBool>,
    /// No button is wired.
    no_button: Arc<AtomicBool>,
    input_panics: Arc<AtomicBool>,
    /// So many orders for OFF fail from now on.
    failing_orders: Arc<AtomicU32>,
    presses: Arc<Mutex<Option<MonotonicTime>>>,
}

impl FieldInputs for Levers {
    fn read(
        &mut self,
        now: MonotonicTime,
        prompt: ResetPrompt,
    ) -> Result<FieldLevels, OutputError> {
        assert!(!self.input_panics.load(Ordering::Acquire), "as planned");
        let mut pressed = self.presses.lock().expect("nobody panics with it");
        let since = match (*pressed, prompt) {
            (Some(since), _) if now.saturating_since(since) < Duration::from_millis(60) => {
                Some(since)
            }
            (None, ResetPrompt::Invited) => Some(now),
            (Some(_), _) | (None, ResetPrompt::Wait) => None,
        };
        *pressed = since;
        let active = since.is_some() || self.reset_stuck.load(Ordering::Acquire);
        let active = active && !self.no_button.load(Ordering::Acquire);
        Ok(FieldLevels {
            reset: if active {
                InputState::Active
            } else {
                InputState::Inactive
            },
            feedback: if self.feedback_disagrees.load(Ordering::Acquire) {
                Feedback::Disagrees
            } else {
                Feedback::Agrees
            },
            ..FieldLevels::default()
        })
    }
}

/// A relay board that can refuse orders.
#[derive(Debug)]
struct Board {
    output: SimulatedOutput,
    levers: Levers,
}

impl SwitchingOutput for Board {
    fn apply(&mut self, change: &OutputChange) -> Result<(), OutputError> {
        let failing = &self.levers.failing_orders;
        let off = change.command.state == Inactive;
        if off && failing.load(Ordering::Acquire) > 0 {
            failing.fetch_sub(1, Ordering::AcqRel);
            let source = io::Error::from_raw_os_error(nix::libc::EIO);
            return Err(OutputError::drive(change.command.output, source));
        }
        self.output.apply(change)
    }
}

/// A running decide thread with everything around it simulated.
struct Rig {
    config: Config,
    inboxes: [Latest<FromInfer>; 2],
    commands: Latest<Box<Configure>>,
    spent: Consumer<Box<Configure>>,
    events: Consumer<Event>,
    told: Vec<Event>,
    edges: EdgeLog,
    stop: StopFlag,
    levers: Levers,
    pool: BufferPool,
    sequence: u64,
    /// `None` once the screen is gone.
    desk: Option<Producer<OperatorCommand>>,
    thread: Option<JoinHandle<DecideOutcome>>,
}

impl Rig {
    fn new(events_max: usize, snapshots: Option<Latest<Snapshot>>) -> Self {
        Self::with(events_max, snapshots, |_| {})
    }

    fn with(
        events_max: usize,
        snapshots: Option<Latest<Snapshot>>,
        edit: impl Fn(&mut Config),
    ) -> Self {
        let loaded = load(Path::new("config/andon.toml"), &Overrides::default());
        let mut config = loaded.expect("the shipped configuration is good").config;
        config.safety.clear_after = 3;
        config.safety.max_age = Duration::from_millis(300);
        config.safety.fault_after = Duration::from_millis(1000);
        edit(&mut config);
        let signal = Signal::new();
        let inboxes = [Latest::new(&signal), Latest::new(&signal)];
        let commands = Latest::new(&signal);
        let (desk, orders) = RingBuffer::new(8);
        let (retired, spent) = RingBuffer::new(8);
        let (producer, events) = RingBuffer::new(events_max);
        let (levers, stop) = (Levers::default(), StopFlag::new());
        let output = SimulatedOutput::new();
        let edges = output.log();
        let labels: Vec<String> = config
            .visual_inspection
            .grades
            .iter()
            .map(|(label, _)| label.clone())
            .collect();
        let thread = DecideThread {
            decision: Decision::new(&config, &labels),
            output: Box::new(Board {
                output,
                levers: levers.clone(),
            }),
            field: Box::new(levers.clone()),
            heartbeat: HeartbeatGenerator::new(config.output.heartbeat_half_period),
            pace: Pace::Realtime,
            inboxes: inboxes.clone(),
            commands: commands.clone(),
            spent: retired,
            desk: Some(orders),
            signal,
            events: producer,
            snapshots,
            origin: monotonic_now(),
            stop: stop.clone(),
            beat: Beat::new(),
            day_clock: DayClock::default(),
        };
        let thread = std::thread::spawn(move || thread.run());
        let rig = Self {
            config,
            inboxes,
            commands,
            spent,
            events,
            told: Vec::new(),
            edges,
            stop,
            levers,
            pool: BufferPool::new(),
            sequence: 0,
            desk: Some(desk),
            thread: Some(thread),
        };
        rig.hand(FromInfer::SelfTest(DetectorTest::Passed));
        rig
    }

    /// A rig whose run permission is ON.
    fn on() -> Self {
        let mut rig = Self::new(4096, None);
        rig.feed_until("ON", |rig| rig.is_on());
        rig
    }

    fn hand(&self, message: FromInfer) {
        let handed = self.inboxes[0].put_when_empty(message, DEADLINE);
        assert!(handed.is_ok(), "the decide thread takes no results");
    }

    fn frame(&mut self) -> Frame {
        let format = FrameFormat {
            size: Size {
                width: 2,
                height: 2,
            },
            pixel_format: PixelFormat::I420,
            matrix: ColorMatrix::Bt601,
            range: ColorRange::Limited,
        };
        let now = monotonic_now();
        let meta = FrameMeta {
            stream: StreamId::WorkerSafety,
            sequence: self.sequence,
            media_time: PERIOD * u32::try_from(self.sequence).expect("a short test"),
            timestamp: now,
            arrived: now,
        };
        self.sequence += 1;
        let mut buffer = self.pool.take();
        buffer.prepare(&format);
        Frame::new(meta, format, buffer, &mut self.pool)
    }

    fn judged(&mut self, findings: Findings) {
        let frame = self.frame();
        self.hand(FromInfer::Inferred(Inferred {
            frame,
            findings,
            doubt: None,
            timing: InferenceTiming::default(),
        }));
    }

    fn clear_frame(&mut self) {
        self.judged(Findings::Persons(std::iter::empty().collect()));
    }

    /// A person whose feet are in the middle of the first stop zone.
    fn occupied_frame(&mut self) {
        let corners = self.config.zones[0].polygon.points();
        let count = f32::from(u8::try_from(corners.len()).expect("a few corners"));
        let x = corners.iter().map(|corner| corner.x).sum::<f32>() / count;
        let y = corners.iter().map(|corner| corner.y).sum::<f32>() / count;
        let person = Detection {
            label: LabelId(0),
            score: Score::ONE,
            bbox: Rect::new(x - 0.02, y - 0.3, x + 0.02, y).expect("a box"),
        };
        self.judged(Findings::Persons(std::iter::once(person).collect()));
    }

    fn is_on(&self) -> bool {
        self.permission_edges()
            .last()
            .map(|edge| edge.command.state)
            == Some(Active)
    }

    fn permission_edges(&self) -> Vec<OutputChange> {
        let edges = self.edges.edges().into_iter();
        edges
            .filter(|edge| edge.command.output == OutputName::RunPermission)
            .collect()
    }

    /// Waits for something to come true while no frame comes.
    fn wait_until(&mut self, what: &str, done: impl Fn(&mut Self) -> bool) {
        self.turn_until(what, done, |_| {});
    }

    /// Waits for something to come true while clear frames come.
    fn feed_until(&mut self, what: &str, done: impl Fn(&mut Self) -> bool) {
        self.turn_until(what, done, Self::clear_frame);
    }

    fn turn_until(
        &mut self,
        what: &str,
        done: impl Fn(&mut Self) -> bool,
        mut each: impl FnMut(&mut Self),
    ) {
        let deadline = monotonic_now() + DEADLINE;
        while !done(self) {
            assert!(monotonic_now() < deadline, "never: {what}");
            each(self);
            std::thread::sleep(PERIOD);
        }
    }

    /// Everything told so far.
    fn told(&mut self) -> &[Event] {
        while let Ok(event) = self.events.pop() {
            self.told.push(event);
        }
        &self.told
    }

    fn is_locked_out(&mut self, fault: Fault) -> bool {
        self.told().iter().any(|event| {
            matches!(event, Event::State { state: PermissionState::LockedOut(told), .. } if *told == fault)
        })
    }

    /// The cause of the last time the run permission went.
    fn off_cause(&self) -> Option<Cause> {
        let edges = self.permission_edges();
        let off = edges.iter().rfind(|edge| edge.command.state == Inactive);
        off.map(|edge| edge.cause)
    }

    /// Ends the thread and gives what it counted; `None` where it had panicked.
    fn end(&mut self) -> Option<DecideOutcome> {
        self.stop.raise();
        self.thread.take().expect("ended once").join().ok()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.raise();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn a_person_in_the_zone_takes_the_permission() {
    let mut rig = Rig::on();
    rig.occupied_frame();
    rig.wait_until("OFF", |rig| !rig.is_on());
    let zone = crate::units::ZoneIndex(0);
    assert_eq!(rig.off_cause(), Some(Cause::Trip(TripCause::Zone(zone))));
}

#[test]
fn a_source_or_an_inference_that_stalls_takes_the_permission_and_locks_out() {
    let mut rig = Rig::on();
    let stream = StreamId::WorkerSafety;
    // Nothing comes any more, as from a camera that stalls or an engine that hangs.
    rig.wait_until("OFF", |rig| !rig.is_on());
    assert_eq!(rig.off_cause(), Some(Cause::Trip(TripCause::Stale(stream))));
    rig.wait_until("locked out", |rig| {
        rig.is_locked_out(Fault::SourceLost(stream))
    });
    // Frames alone do not bring it back; the two resets do.
    rig.feed_until("ON again", |rig| rig.is_on());
    let states: Vec<PermissionState> = rig
        .told()
        .iter()
        .filter_map(|event| match event {
            Event::State { state, .. } => Some(*state),
            Event::Decided(_)
            | Event::Output(_)
            | Event::SelfTest { .. }
            | Event::LineLost { .. }
            | Event::Accelerator { .. }
            | Event::ResetRefused { .. }
            | Event::Acknowledged { .. }
            | Event::Configured { .. }
            | Event::Camera(_)
            | Event::Display(_)
            | Event::Configuration(_)
            | Event::Started(_)
            | Event::Stopped(_)
            | Event::Lost(_) => None,
        })
        .collect();
    let ending = &states[states.len() - 3..];
    let expected = [
        PermissionState::LockedOut(Fault::SourceLost(stream)),
        PermissionState::Interlocked,
        PermissionState::On,
    ];
    assert_eq!(ending, expected);
}

#[test]
fn an_inference_that_fails_takes_the_permission() {
    let mut rig = Rig::on();
    rig.judged(Findings::Failed("detector: no power".into()));
    rig.wait_until("OFF", |rig| !rig.is_on());
    let cause = Cause::Trip(TripCause::Unjudged(StreamId::WorkerSafety));
    assert_eq!(rig.off_cause(), Some(cause));
}

#[test]
fn a_self_test_that_fails_takes_the_permission_and_locks_out() {
    let mut rig = Rig::on();
    rig.hand(FromInfer::SelfTest(DetectorTest::Failed));
    rig.feed_until("OFF", |rig| !rig.is_on());
    let fault = Fault::SelfTestFailed(crate::message::SelfTestFailure::Detector);
    assert_eq!(rig.off_cause(), Some(Cause::Fault(fault)));
}

#[test]
fn the_death_of_the_threads_before_it_takes_the_permission() {
    let mut rig = Rig::on();
    // What the infer thread leaves behind, panicking or not.
    rig.inboxes.iter().for_each(Latest::close);
    rig.wait_until("OFF", |rig| !rig.is_on());
    assert_eq!(rig.off_cause(), Some(Cause::ShutDown));
}

#[test]
fn its_own_death_takes_the_permission() {
    let mut rig = Rig::on();
    rig.levers.input_panics.store(true, Ordering::Release);
    rig.wait_until("OFF", |rig| !rig.is_on());
    assert!(rig.end().is_none(), "the thread had panicked");
    assert!(rig.inboxes[0].is_closed(), "nobody waits for the dead");
}

#[test]
fn an_output_that_fails_is_ordered_off_until_it_listens() {
    let mut rig = Rig::on();
    rig.levers.failing_orders.store(5, Ordering::Release);
    rig.occupied_frame();
    rig.wait_until("OFF", |rig| !rig.is_on());
    assert_eq!(rig.levers.failing_orders.load(Ordering::Acquire), 0);
    assert_eq!(rig.off_cause(), Some(Cause::Fault(Fault::OutputLost)));
    rig.wait_until("locked out", |rig| rig.is_locked_out(Fault::OutputLost));
    let lost = |event: &Event| matches!(event, Event::LineLost { message, .. } if message.contains("run_permission"));
    assert_eq!(rig.told().iter().filter(|event| lost(event)).count(), 1);
}

#[test]
fn a_feedback_contact_that_disagrees_takes_the_permission_and_locks_out() {
    let mut rig = Rig::on();
    rig.levers.feedback_disagrees.store(true, Ordering::Release);
    rig.feed_until("OFF", |rig| !rig.is_on());
    assert_eq!(rig.off_cause(), Some(Cause::Fault(Fault::FeedbackMismatch)));
}

#[test]
fn a_reset_button_that_is_stuck_never_starts_anything() {
    let mut rig = Rig::new(4096, None);
    rig.levers.reset_stuck.store(true, Ordering::Release);
    rig.feed_until("a second of frames", |rig| rig.sequence >= 100);
    assert!(rig.permission_edges().is_empty());
    rig.levers.reset_stuck.store(false, Ordering::Release);
    rig.feed_until("ON", |rig| rig.is_on());
}

#[test]
fn events_that_nobody_takes_are_counted_and_delay_nothing() {
    let mut rig = Rig::new(4, None);
    rig.feed_until("ON", |rig| rig.is_on());
    rig.occupied_frame();
    rig.wait_until("OFF", |rig| !rig.is_on());
    let outcome = rig.end().expect("it lives");
    assert!(outcome.events_dropped > 0);
}

#[test]
fn a_display_that_hangs_delays_nothing() {
    let snapshots = Latest::new(&Signal::new());
    let mut rig = Rig::new(4096, Some(snapshots.clone()));
    // Hung in the middle of taking a picture, with the mailbox's lock in its hands.
    let (locked, is_locked) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    snapshots.put(Snapshot {
        at: MonotonicTime::ZERO,
        permission: PermissionState::SelfTest,
        streams: [None, None],
        newest: StreamId::WorkerSafety,
        parts: crate::message::PartTally::default(),
        operator: crate::message::OperatorView::default(),
        engine: None,
    });
    let hung = std::thread::spawn(move || {
        let _ = snapshots.peek(|_| {
            let _ = locked.send(());
            let _ = released.recv();
        });
    });
    is_locked.recv().expect("the lock is held");
    rig.feed_until("ON", |rig| rig.is_on());
    rig.occupied_frame();
    rig.wait_until("OFF", |rig| !rig.is_on());
    drop(release);
    hung.join().expect("it was let go");
}

#[test]
fn a_request_to_stop_takes_the_permission_first_though_frames_go_on() {
    let mut rig = Rig::on();
    rig.stop.raise();
    rig.wait_until("OFF", |rig| !rig.is_on());
    assert_eq!(rig.off_cause(), Some(Cause::ShutDown));
    assert!(rig.end().is_some());
}

impl Rig {
    /// The command for the rig's configuration after `edit`.
    fn configure(
        &self,
        generation: u64,
        impact: Impact,
        edit: impl Fn(&mut Config),
    ) -> Box<Configure> {
        let mut config = self.config.clone();
        edit(&mut config);
        Box::new(Configure {
            generation: Generation(generation),
            impact,
            rules: Rules::new(&config, &[]),
        })
    }

    fn command(&mut self, configure: &Configure) {
        let number = configure.generation;
        self.commands.put(Box::new(configure.clone()));
        self.wait_until("configured", |rig| {
            let mut told = rig.told().iter();
            told.any(|e| matches!(e, Event::Configured { generation, .. } if *generation == number))
        });
    }

    fn edges(&self) -> usize {
        self.permission_edges().len()
    }
}

#[test]
fn a_changed_stop_goes_off_first_and_again_behind_the_last_frame_judged_the_old_way() {
    let mut rig = Rig::on();
    let configure = rig.configure(1, Impact::SafetyRelevant, |c| c.safety.clear_after = 4);
    rig.command(&configure);
    assert_eq!(rig.off_cause(), Some(Cause::ConfigurationChanged));
    // Reset before the infer thread has taken it over: what was seen until then does not count.
    rig.feed_until("ON", |rig| rig.is_on());
    rig.hand(FromInfer::Configured(configure));
    rig.wait_until("OFF", |rig| !rig.is_on());
    assert_eq!(rig.off_cause(), Some(Cause::ConfigurationChanged));
    rig.feed_until("ON", |rig| rig.is_on());
    rig.wait_until("both are given back", |rig| rig.spent.slots() == 2);
}

#[test]
fn a_configuration_that_was_overtaken_does_not_come_back() {
    let mut rig = Rig::on();
    let everywhere = |c: &mut Config| {
        for zone in &mut c.zones {
            zone.kind = crate::units::ZoneKind::Warn;
        }
    };
    let first = rig.configure(1, Impact::SafetyRelevant, everywhere);
    rig.command(&first);
    // With the first one in force nothing guards, and nothing can be ON.
    rig.wait_until("locked out by the first", |rig| {
        rig.is_locked_out(Fault::Unguarded)
    });
    let second = rig.configure(2, Impact::SafetyRelevant, |_| {});
    rig.command(&second);
    rig.hand(FromInfer::Configured(first));
    rig.hand(FromInfer::Configured(second));
    rig.feed_until("ON", |rig| rig.is_on());
    rig.occupied_frame();
    rig.wait_until("OFF", |rig| !rig.is_on());
}

#[test]
fn a_cosmetic_change_makes_no_edge_unless_a_stop_depends_on_it_after_all() {
    let mut rig = Rig::on();
    let before = rig.edges();
    let cosmetic = rig.configure(1, Impact::Cosmetic, |c| {
        c.zones
            .retain(|zone| zone.kind == crate::units::ZoneKind::Stop);
    });
    rig.command(&cosmetic);
    rig.hand(FromInfer::Configured(cosmetic));
    rig.feed_until("both given back", |rig| rig.spent.slots() == 2);
    assert_eq!(rig.edges(), before);
    let mistaken = rig.configure(2, Impact::Cosmetic, |c| c.safety.clear_after = 9);
    rig.command(&mistaken);
    assert_eq!(rig.off_cause(), Some(Cause::ConfigurationChanged));
}

#[test]
fn the_heartbeat_is_made_of_fresh_frames_and_of_nothing_else() {
    let mut rig = Rig::new(4096, None);
    let beats = |rig: &Rig| rig.edges.heartbeats();
    rig.wait_until("the self-test's time", |rig| !rig.told().is_empty());
    assert_eq!(beats(&rig), 0, "nothing was proved yet");
    rig.feed_until("beats", |rig| beats(rig) >= 4);
    // Somebody in the zone is no reason to fall silent: the program works.
    let before = beats(&rig);
    rig.turn_until("beats", |rig| beats(rig) >= before + 4, Rig::occupied_frame);
    // A source that stalls is: silence begins before the lock-out, and lasts.
    rig.wait_until("locked out", |rig| {
        rig.is_locked_out(Fault::SourceLost(StreamId::WorkerSafety))
    });
    let silent = beats(&rig);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(beats(&rig), silent);
}

#[test]
fn the_picture_is_told_of_a_trip_and_of_the_time_though_no_frame_comes() {
    let snapshots = Latest::new(&Signal::new());
    let mut rig = Rig::new(4096, Some(snapshots.clone()));
    rig.feed_until("ON", |rig| rig.is_on());
    // Frames stop here; what came until now is of no interest.
    let mut states = Vec::new();
    let deadline = monotonic_now() + DEADLINE;
    let fault = PermissionState::LockedOut(Fault::SourceLost(StreamId::WorkerSafety));
    while states.last() != Some(&fault) {
        assert!(monotonic_now() < deadline, "never locked out: {states:?}");
        let snapshot = match snapshots.take_within(DEADLINE) {
            Taken::Value(snapshot) => Some(snapshot),
            Taken::Empty | Taken::Closed => None,
        };
        let snapshot = snapshot.expect("a snapshot without a frame");
        let late = monotonic_now().saturating_since(snapshot.at);
        assert!(late < Duration::from_secs(5));
        let view = snapshot.streams[0].as_ref().expect("a frame was decided");
        if states.last() != Some(&snapshot.permission) {
            states.push(snapshot.permission);
        }
        if snapshot.permission == fault {
            // Old enough to be marked.
            let age = snapshot.at.saturating_since(view.frame.meta.timestamp);
            assert!(age > rig.config.safety.max_age, "{age:?}");
        }
    }
    let stale = PermissionState::Tripped(TripCause::Stale(StreamId::WorkerSafety));
    assert!(states.contains(&stale), "{states:?}");
    // While nothing changes it goes on.
    let first = monotonic_now();
    for _ in 0..3 {
        assert!(matches!(
            snapshots.take_within(DEADLINE),
            Taken::Value(snapshot) if snapshot.permission == fault
        ));
    }
    assert!(monotonic_now().saturating_since(first) >= SHOWN_EVERY);
}

#[path = "decide_thread_screen_tests.rs"]
mod screen;
