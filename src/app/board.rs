//! What the status pages show: collected by the main thread from the events that pass through it, and
//! put into the ui thread's mailbox about once a second.

use std::collections::VecDeque;
use std::time::Duration;

use super::gauge::{CaptureGauge, OVERTAKEN};
use super::summary::Summary;
use crate::health::LatencySummary;
use crate::inference::Condition;
use crate::message::{
    CameraChange, CameraState, Cause, ConfigurationOutcome, DetectorTest, DisplayChange, Event,
    OutputName, OutputState, PermissionState,
};
use crate::sync::{Latest, Taken};
use crate::ui::scene::{
    AcceleratorStatus, EventEntry, Gravity, InferenceStatus, InputStatus, Status,
};
use crate::units::{MonotonicTime, StreamId};

/// Events that are kept for the page; what fits on an upright 4K picture.
const EVENTS_MAX: usize = 50;

/// Time between two status reports to the picture, and at once after an event for people.
const EVERY: Duration = Duration::from_secs(1);

/// The newest of everything.
#[derive(Debug)]
pub(super) struct Board {
    out: Latest<Status>,
    descriptions: [String; 2],
    gauges: [CaptureGauge; 2],
    models: Vec<(String, String)>,
    self_test: Option<DetectorTest>,
    /// What the engine says of its accelerators, and what it said last.
    conditions: Latest<Condition>,
    accelerator: Option<AcceleratorStatus>,
    /// The run permission's state as it was told last.
    state: Option<PermissionState>,
    events: VecDeque<EventEntry>,
    count: u64,
    told_at: Option<MonotonicTime>,
    news: bool,
}

impl Board {
    /// For a mailbox, with what the inputs are, what they count, the models (what for, name), and where
    /// the engine tells of its accelerators.
    pub(super) fn new(
        out: Latest<Status>,
        descriptions: [String; 2],
        gauges: [CaptureGauge; 2],
        models: Vec<(String, String)>,
        conditions: Latest<Condition>,
    ) -> Self {
        Self {
            out,
            descriptions,
            gauges,
            models,
            self_test: None,
            conditions,
            accelerator: None,
            state: None,
            events: VecDeque::new(),
            count: 0,
            told_at: None,
            news: false,
        }
    }

    /// Takes an event on its way to report and log; `zone_names` are those of the configuration that
    /// it happened under.
    pub(super) fn note(&mut self, event: &Event, zone_names: &[String]) {
        match event {
            Event::Camera(CameraChange {
                stream,
                state: CameraState::Back { description },
                ..
            }) => {
                self.descriptions[stream.index()].clone_from(description);
                self.tell(Gravity::Note, format!("Camera of {stream} is back"));
            }
            Event::Camera(CameraChange {
                stream,
                state: CameraState::Lost { why },
                ..
            }) => self.tell(Gravity::Fault, format!("Camera of {stream} lost: {why}")),
            Event::Decided(_) => {}
            Event::SelfTest { outcome, .. } => {
                if *outcome == DetectorTest::Failed && self.self_test != Some(*outcome) {
                    self.tell(Gravity::Fault, "self-test failed".to_owned());
                }
                self.self_test = Some(*outcome);
            }
            Event::Output(_)
            | Event::State { .. }
            | Event::LineLost { .. }
            | Event::ResetRefused { .. }
            | Event::Acknowledged { .. }
            | Event::Configured { .. }
            | Event::Display(_)
            | Event::Accelerator { .. }
            | Event::Configuration(_)
            | Event::Started(_)
            | Event::Stopped(_)
            | Event::Lost(_) => {
                if let Some((gravity, text)) = self.words(event, zone_names) {
                    self.tell(gravity, text);
                }
            }
        }
    }

    /// What an event means to people; `None` where it says nothing new.
    fn words(&mut self, event: &Event, zone_names: &[String]) -> Option<(Gravity, String)> {
        use Gravity::{Caution, Fault, Note};
        match event {
            Event::State { state, .. } => {
                let before = self.state.replace(*state);
                self.state_words(before, *state, zone_names)
            }
            Event::Output(change) => match (change.command.output, change.cause) {
                (OutputName::Fault, cause @ (Cause::RejectMissed(_) | Cause::Overstayed(_)))
                    if change.command.state == OutputState::Active =>
                {
                    Some((Caution, cause.with_names(zone_names).to_string()))
                }
                (OutputName::RunPermission, cause @ Cause::ConfigurationChanged) => Some((
                    Caution,
                    format!("Run permission OFF: {}", cause.with_names(zone_names)),
                )),
                (_, _) => None,
            },
            Event::LineLost { message, .. } => Some((Fault, message.clone())),
            Event::ResetRefused { why, .. } => Some((Note, format!("Reset refused: {why}"))),
            Event::Acknowledged { .. } => Some((Note, "Seen, said at the screen".to_owned())),
            Event::Configuration(change) => {
                let gravity = match change.outcome {
                    ConfigurationOutcome::Refused => Caution,
                    ConfigurationOutcome::Applied
                    | ConfigurationOutcome::NeedsRestart
                    | ConfigurationOutcome::InForce => Note,
                };
                Some((gravity, format!("Configuration: {}", change.outcome.name())))
            }
            Event::Started(started) => Some((Note, format!("Started: andon {}", started.version))),
            Event::Display(DisplayChange::Lost { why }) => {
                Some((Caution, format!("Monitor lost: {why}")))
            }
            Event::Display(DisplayChange::Back { .. }) => Some((Note, "Monitor back".to_owned())),
            Event::Accelerator { message, .. } => Some((Caution, message.clone())),
            Event::Lost(count) => Some((Caution, format!("{count} events are missing"))),
            Event::Decided(_)
            | Event::Camera(_)
            | Event::SelfTest { .. }
            | Event::Configured { .. }
            | Event::Stopped(_) => None,
        }
    }

    fn state_words(
        &self,
        before: Option<PermissionState>,
        state: PermissionState,
        zone_names: &[String],
    ) -> Option<(Gravity, String)> {
        let cause = state.cause();
        let cause = cause.map(|cause| cause.with_names(zone_names).to_string());
        match (state, cause) {
            (PermissionState::Tripped(_), Some(cause)) => {
                Some((Gravity::Caution, format!("Stop: {cause}")))
            }
            (PermissionState::LockedOut(_), Some(cause)) => {
                Some((Gravity::Fault, format!("Locked out: {cause}")))
            }
            (PermissionState::On, _) => Some((Gravity::Note, "Run permission ON".to_owned())),
            (PermissionState::Interlocked, _) => match before {
                Some(PermissionState::LockedOut(_)) => {
                    Some((Gravity::Note, "Lock-out reset".to_owned()))
                }
                Some(PermissionState::Tripped(_)) => {
                    Some((Gravity::Note, "Clear, waiting for reset".to_owned()))
                }
                Some(
                    PermissionState::SelfTest | PermissionState::Interlocked | PermissionState::On,
                )
                | None => None,
            },
            (
                PermissionState::SelfTest
                | PermissionState::Tripped(_)
                | PermissionState::LockedOut(_),
                _,
            ) => None,
        }
    }

    fn tell(&mut self, gravity: Gravity, text: String) {
        self.count += 1;
        self.events.push_front(EventEntry {
            number: self.count,
            time: jiff::Zoned::now().strftime("%H:%M:%S").to_string(),
            text,
            gravity,
        });
        self.events.truncate(EVENTS_MAX);
        self.news = true;
    }

    /// Hands the picture a report where one is due.
    pub(super) fn show(&mut self, summary: &Summary, running: Duration, now: MonotonicTime) {
        let due = self
            .told_at
            .is_none_or(|last| now.saturating_since(last) >= EVERY);
        if !due && !self.news {
            return;
        }
        self.told_at = Some(now);
        self.news = false;
        if let Some(Taken::Value(condition)) = self.conditions.try_take() {
            let Condition {
                celsius,
                out_of_service,
                remark,
            } = condition;
            self.accelerator = Some(AcceleratorStatus {
                celsius,
                out_of_service,
                remark,
            });
        }
        self.out.put(self.status(summary, running));
    }

    fn status(&self, summary: &Summary, running: Duration) -> Status {
        let pair = |figures: LatencySummary| (figures.p50, figures.p99);
        let inference = StreamId::ALL.map(|id| {
            let stream = &summary.streams[id.index()];
            InferenceStatus {
                frames: stream.frames,
                failed: stream.failed,
                engine: pair(stream.inference.summary()),
                latency: pair(stream.latency.summary()),
            }
        });
        let inputs = [0, 1].map(|index: usize| {
            let gauge = &self.gauges[index];
            // What a camera or a film cannot lose is not told as not lost.
            let of_note = |(words, count): &(&str, u64)| *count > 0 || *words == OVERTAKEN;
            InputStatus {
                description: self.descriptions[index].clone(),
                frames: gauge.frames(),
                losses: gauge
                    .losses()
                    .into_iter()
                    .filter(of_note)
                    .map(|(words, count)| (words.to_owned(), count))
                    .collect(),
            }
        });
        Status {
            inputs,
            inference,
            models: self.models.clone(),
            accelerator: self.accelerator.clone(),
            self_test: self.self_test.map(|outcome| {
                let words = match outcome {
                    DetectorTest::Passed => "passed",
                    DetectorTest::Failed => "FAILED",
                };
                words.to_owned()
            }),
            trips: summary.trips,
            running,
            events: self.events.iter().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Losses;
    use crate::message::{Fault, ResetRefusal, TripCause};
    use crate::sync::Signal;
    use crate::units::ZoneIndex;

    fn board() -> (Board, Latest<Status>) {
        let out = Latest::new(&Signal::new());
        let models = vec![("detector".to_owned(), "ssd".to_owned())];
        let descriptions = ["H.264".to_owned(), "H.264".to_owned()];
        (
            Board::new(
                out.clone(),
                descriptions,
                Default::default(),
                models,
                Latest::new(&Signal::new()),
            ),
            out,
        )
    }

    fn state(state: PermissionState) -> Event {
        Event::State {
            at: MonotonicTime::ZERO,
            state,
        }
    }

    fn shown(board: &mut Board, out: &Latest<Status>) -> Status {
        let now = MonotonicTime::from_duration(Duration::from_secs(9));
        board.told_at = None;
        board.show(&Summary::default(), Duration::from_secs(9), now);
        match out.take() {
            Taken::Value(status) => status,
            Taken::Empty | Taken::Closed => unreachable!("it was due"),
        }
    }

    #[test]
    fn what_happened_is_told_newest_first_and_numbered() {
        let (mut board, out) = board();
        let zones = ["press".to_owned()];
        for event in [
            state(PermissionState::SelfTest),
            state(PermissionState::Interlocked),
            state(PermissionState::On),
            state(PermissionState::Tripped(TripCause::Zone(ZoneIndex(0)))),
            state(PermissionState::Interlocked),
            Event::ResetRefused {
                at: MonotonicTime::ZERO,
                why: ResetRefusal::Held,
            },
            state(PermissionState::LockedOut(Fault::OutputLost)),
        ] {
            board.note(&event, &zones);
        }
        let status = shown(&mut board, &out);
        let told: Vec<_> = status
            .events
            .iter()
            .map(|event| (event.number, event.text.as_str(), event.gravity))
            .collect();
        let expected = [
            (
                5,
                "Locked out: fault: an output or input line is lost",
                Gravity::Fault,
            ),
            (
                4,
                "Reset refused: the button was held too long",
                Gravity::Note,
            ),
            (3, "Clear, waiting for reset", Gravity::Note),
            (2, "Stop: zone press", Gravity::Caution),
            (1, "Run permission ON", Gravity::Note),
        ];
        assert_eq!(told, expected);
        assert_eq!(status.models, [("detector".to_owned(), "ssd".to_owned())]);
    }

    #[test]
    fn only_the_newest_events_are_kept() {
        let (mut board, out) = board();
        for _ in 0..60 {
            board.note(&Event::Lost(1), &[]);
        }
        let status = shown(&mut board, &out);
        assert_eq!(status.events.len(), EVENTS_MAX);
        assert_eq!(status.events.first().map(|event| event.number), Some(60));
    }

    #[test]
    fn a_report_is_due_every_second_and_after_an_event() {
        let (mut board, out) = board();
        let at = |ms| MonotonicTime::from_duration(Duration::from_millis(ms));
        let due = |board: &mut Board, ms| {
            board.show(&Summary::default(), Duration::ZERO, at(ms));
            matches!(out.take(), Taken::Value(_))
        };
        assert!(due(&mut board, 1000));
        assert!(!due(&mut board, 1500));
        board.note(&Event::Lost(1), &[]);
        assert!(due(&mut board, 1600));
        assert!(!due(&mut board, 2500));
        assert!(due(&mut board, 2600));
    }

    #[test]
    fn what_the_engine_says_of_its_accelerator_is_told_until_it_says_otherwise() {
        let (mut board, out) = board();
        assert_eq!(shown(&mut board, &out).accelerator, None);
        board.conditions.put(Condition {
            celsius: Some(61.0),
            ..Condition::default()
        });
        let told = shown(&mut board, &out).accelerator;
        assert_eq!(told.and_then(|told| told.celsius), Some(61.0));
        assert!(shown(&mut board, &out).accelerator.is_some());
        board.conditions.put(Condition {
            out_of_service: Some("usb 1-1: gone".to_owned()),
            ..Condition::default()
        });
        let told = shown(&mut board, &out).accelerator.expect("told");
        assert_eq!(told.out_of_service.as_deref(), Some("usb 1-1: gone"));
        assert_eq!(told.celsius, None);
    }

    #[test]
    fn what_the_inputs_count_is_told_and_what_they_are_now() {
        let (mut board, out) = board();
        let losses = Losses {
            missed: 3,
            ..Losses::default()
        };
        board.gauges[1].set(100, 0, losses);
        let change = CameraChange {
            at: MonotonicTime::ZERO,
            stream: StreamId::VisualInspection,
            source: "/dev/video2".to_owned(),
            state: CameraState::Back {
                description: "NV12 at 30 fps".to_owned(),
            },
        };
        board.note(&Event::Camera(change), &[]);
        let status = shown(&mut board, &out);
        let expected = InputStatus {
            description: "NV12 at 30 fps".to_owned(),
            frames: 100,
            losses: vec![
                ("overtaken by newer".to_owned(), 0),
                ("missed by the driver".to_owned(), 3),
            ],
        };
        assert_eq!(status.inputs[1], expected);
        assert_eq!(status.events[0].text, "Camera of visual_inspection is back");
    }
}
