//! Events as lines of the event log: which kinds there are and what each line says.
//!
//! The format is in `docs/events.md`. Pure: time and boot come with the [`Stamp`].

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use crate::message::{
    CameraChange, CameraState, Cause, ConfigurationChange, DisplayChange, Event, FileHashes,
    OutputName, OutputState, PermissionState, Started, StopReason,
};

/// Most bytes of a list (problems, keys) in a line; the rest is counted.
const LIST_BYTES_MAX: usize = 4096;

/// What a line of the event log is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The program runs.
    Start,
    /// The program ends.
    Stop,
    /// The run permission went ON or OFF.
    Permission,
    /// A stop zone counts as occupied: the run permission was taken away.
    Trip,
    /// An operator reset.
    Reset,
    /// An operator pressed reset in vain.
    ResetRefused,
    /// An operator at the screen has seen what it tells.
    Acknowledged,
    /// Something is broken: lock-out.
    Fault,
    /// An output could not be driven, or an input line could not be read.
    LineLost,
    /// Something happened to an accelerator: it failed, a measure was taken, it is back.
    Accelerator,
    /// The cause of a lock-out is gone and was acknowledged.
    FaultGone,
    /// A camera delivers nothing any more.
    CameraLost,
    /// A camera delivers again.
    CameraBack,
    /// No pictures are shown any more.
    DisplayLost,
    /// They are again.
    DisplayBack,
    /// The configuration files changed.
    Configuration,
    /// Events that are missing from the log.
    Lost,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 17] = [
        Self::Start,
        Self::Stop,
        Self::Permission,
        Self::Trip,
        Self::Reset,
        Self::ResetRefused,
        Self::Acknowledged,
        Self::Fault,
        Self::LineLost,
        Self::Accelerator,
        Self::FaultGone,
        Self::CameraLost,
        Self::CameraBack,
        Self::DisplayLost,
        Self::DisplayBack,
        Self::Configuration,
        Self::Lost,
    ];

    /// The word in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Permission => "permission",
            Self::Trip => "trip",
            Self::Reset => "reset",
            Self::ResetRefused => "reset-refused",
            Self::Acknowledged => "acknowledged",
            Self::Fault => "fault",
            Self::LineLost => "line-lost",
            Self::Accelerator => "accelerator",
            Self::FaultGone => "fault-gone",
            Self::CameraLost => "camera-lost",
            Self::CameraBack => "camera-back",
            Self::DisplayLost => "display-lost",
            Self::DisplayBack => "display-back",
            Self::Configuration => "configuration",
            Self::Lost => "lost",
        }
    }

    /// Whether a power cut right afterwards must not lose it (`sync = "grave"`).
    #[must_use]
    pub const fn is_grave(self) -> bool {
        match self {
            Self::Start
            | Self::Stop
            | Self::Trip
            | Self::Fault
            | Self::LineLost
            | Self::FaultGone
            | Self::CameraLost
            | Self::Configuration
            | Self::Lost => true,
            Self::Permission
            | Self::Reset
            | Self::ResetRefused
            | Self::CameraBack
            | Self::Acknowledged
            | Self::DisplayLost
            | Self::Accelerator
            | Self::DisplayBack => false,
        }
    }
}

/// When an event was, and on which boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Wall-clock time, for people.
    pub wall: SystemTime,
    /// `CLOCK_MONOTONIC`: order and distance of events of one boot.
    pub monotonic: Duration,
    /// The kernel's name of this boot.
    pub boot: String,
}

/// One line of the event log.
#[derive(Clone, Debug, PartialEq)]
pub struct EventLine {
    /// What it is about.
    pub kind: EventKind,
    /// One JSON object, without a line break.
    pub text: String,
}

/// The lines of an event; none for what happens with every frame. `before` is the run permission's
/// state before it, `zone_names` are those of the configuration that it happened under.
#[must_use]
pub fn lines(
    event: &Event,
    before: PermissionState,
    zone_names: &[String],
    stamp: &Stamp,
) -> Vec<EventLine> {
    let told = match event {
        Event::Decided(_) | Event::Configured { .. } | Event::SelfTest { .. } => Vec::new(),
        Event::Output(change) if change.command.output == OutputName::RunPermission => {
            let state = match change.command.state {
                OutputState::Active => "on",
                OutputState::Inactive => "off",
            };
            let cause = change.cause.with_names(zone_names).to_string();
            vec![(
                EventKind::Permission,
                json!({ "state": state, "cause": cause }),
            )]
            .into_iter()
            .chain((change.cause == Cause::Reset).then(|| (EventKind::Reset, json!({}))))
            .collect()
        }
        Event::Output(_) => Vec::new(),
        Event::ResetRefused { why, .. } => {
            let members = json!({ "reason": why.to_string() });
            vec![(EventKind::ResetRefused, members)]
        }
        Event::Acknowledged { .. } => vec![(EventKind::Acknowledged, json!({}))],
        Event::State { state, .. } => state_change(before, *state, zone_names),
        Event::LineLost { message, .. } => {
            vec![(EventKind::LineLost, json!({ "message": message }))]
        }
        Event::Camera(change) => vec![camera(change)],
        Event::Display(DisplayChange::Lost { why }) => {
            vec![(EventKind::DisplayLost, json!({ "reason": why }))]
        }
        Event::Display(DisplayChange::Back { on, after }) => {
            #[allow(clippy::cast_precision_loss, reason = "exact below 285 years")]
            let seconds = after.as_millis() as f64 / 1e3;
            let members = json!({ "on": on, "after_s": seconds });
            vec![(EventKind::DisplayBack, members)]
        }
        Event::Accelerator {
            message, engine, ..
        } => {
            let members = json!({ "message": message, "engine": engine });
            vec![(EventKind::Accelerator, members)]
        }
        Event::Configuration(change) => vec![(EventKind::Configuration, configuration(change))],
        Event::Started(started) => vec![(EventKind::Start, start(started))],
        Event::Stopped(reason) => vec![(EventKind::Stop, stop(reason))],
        Event::Lost(count) => vec![(EventKind::Lost, json!({ "count": count }))],
    };
    told.into_iter()
        .map(|(kind, members)| EventLine {
            kind,
            text: text(kind, members, stamp),
        })
        .collect()
}

fn state_change(
    from: PermissionState,
    to: PermissionState,
    zone_names: &[String],
) -> Vec<(EventKind, Value)> {
    use PermissionState::{Interlocked, LockedOut, On, SelfTest, Tripped};
    let mut told = Vec::new();
    match (from, to) {
        // Acknowledged by a reset.
        (LockedOut(fault), Interlocked) => {
            told.push((EventKind::Reset, json!({})));
            told.push((EventKind::FaultGone, json!({ "fault": fault.to_string() })));
        }
        (LockedOut(fault), SelfTest | On | Tripped(_)) => {
            told.push((EventKind::FaultGone, json!({ "fault": fault.to_string() })));
        }
        (LockedOut(_) | SelfTest | Interlocked | On | Tripped(_), _) => {}
    }
    match to {
        Tripped(cause) => {
            let cause = Cause::Trip(cause).with_names(zone_names).to_string();
            told.push((EventKind::Trip, json!({ "cause": cause })));
        }
        LockedOut(fault) => {
            told.push((EventKind::Fault, json!({ "fault": fault.to_string() })));
        }
        SelfTest | Interlocked | On => {}
    }
    told
}

fn camera(change: &CameraChange) -> (EventKind, Value) {
    let CameraChange {
        at: _,
        stream,
        source,
        state,
    } = change;
    let stream = stream.name();
    match state {
        CameraState::Lost { why } => (
            EventKind::CameraLost,
            json!({ "stream": stream, "source": source, "reason": why }),
        ),
        CameraState::Back { description } => (
            EventKind::CameraBack,
            json!({ "stream": stream, "source": source, "delivers": description }),
        ),
    }
}

fn hashes(files: &FileHashes) -> Value {
    json!({ "config_sha256": files.main, "keepout_sha256": files.keepout })
}

/// The members of a configuration change, as in the report.
#[must_use]
pub fn configuration(change: &ConfigurationChange) -> Value {
    let mut members = json!({
        "outcome": change.outcome.name(),
        "old": hashes(&change.old),
        "new": hashes(&change.new),
    });
    for (name, list) in [
        ("changed", &change.changed),
        ("pending", &change.pending),
        ("problems", &change.problems),
    ] {
        if !list.is_empty() {
            members[name] = json!(shortened(list));
        }
    }
    members
}

/// As many entries as fit, and how many there are beyond.
fn shortened(list: &[String]) -> Vec<String> {
    let mut left = LIST_BYTES_MAX;
    let mut kept = Vec::new();
    for entry in list {
        let Some(rest) = left.checked_sub(entry.len()) else {
            kept.push(format!("and {} more", list.len() - kept.len()));
            break;
        };
        left = rest;
        kept.push(entry.clone());
    }
    kept
}

fn start(started: &Started) -> Value {
    json!({
        "version": started.version,
        "engine": started.engine,
        "pace": started.pace,
        "files": hashes(&started.files),
    })
}

fn stop(reason: &StopReason) -> Value {
    match reason {
        StopReason::Signal => json!({ "reason": "signal" }),
        StopReason::InputsEnded => json!({ "reason": "inputs ended" }),
        StopReason::Failed(error) => {
            let error = shortened(std::slice::from_ref(error));
            json!({ "reason": "failed", "error": error.join("") })
        }
    }
}

fn text(kind: EventKind, members: Value, stamp: &Stamp) -> String {
    #[allow(clippy::cast_precision_loss, reason = "exact below 285 years")]
    let micros = stamp.monotonic.as_micros() as f64;
    let mut line = Map::new();
    line.insert("time".to_owned(), json!(wall_time(stamp.wall)));
    line.insert("mono_ms".to_owned(), json!(micros / 1e3));
    line.insert("boot".to_owned(), json!(stamp.boot));
    line.insert("type".to_owned(), json!(kind.name()));
    if let Value::Object(members) = members {
        line.extend(members);
    }
    Value::Object(line).to_string()
}

/// RFC 3339 in UTC, to the millisecond.
fn wall_time(wall: SystemTime) -> String {
    jiff::Timestamp::try_from(wall).map_or_else(
        |_| "beyond the calendar".to_owned(),
        |time| format!("{time:.3}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{
        ConfigurationOutcome, Fault, OutputChange, OutputCommand, ResetRefusal, TripCause,
    };
    use crate::units::{MonotonicTime, StreamId, ZoneIndex};
    use PermissionState::{Interlocked, LockedOut, On, SelfTest, Tripped};

    fn told(event: &Event) -> Vec<String> {
        told_after(SelfTest, event)
    }

    fn told_after(before: PermissionState, event: &Event) -> Vec<String> {
        let stamp = Stamp {
            wall: SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_007),
            monotonic: Duration::from_micros(12_345),
            boot: "b007".to_owned(),
        };
        let zones = ["press".to_owned()];
        let start = r#"{"time":"2027-01-15T08:00:00.007Z","mono_ms":12.345,"boot":"b007","type":""#;
        lines(event, before, &zones, &stamp)
            .into_iter()
            .map(|line| {
                let name = line.kind.name();
                let rest = line.text.strip_prefix(start).expect("time, boot and type");
                assert!(rest.starts_with(name), "{rest} of {name}");
                rest.to_owned()
            })
            .collect()
    }

    fn state(from: PermissionState, to: PermissionState) -> Vec<String> {
        let at = MonotonicTime::ZERO;
        told_after(from, &Event::State { at, state: to })
    }

    fn edge(output: OutputName, state: OutputState, cause: Cause) -> Event {
        Event::Output(OutputChange {
            at: MonotonicTime::ZERO,
            command: OutputCommand { output, state },
            cause,
        })
    }

    #[test]
    fn trips_and_faults_are_told_with_their_cause() {
        let fault = LockedOut(Fault::SourceLost(StreamId::WorkerSafety));
        let zone = Tripped(TripCause::Zone(ZoneIndex(0)));
        let gone = r#"fault-gone","fault":"worker_safety delivers nothing"}"#;
        let came = r#"fault","fault":"worker_safety delivers nothing"}"#;
        assert_eq!(state(On, zone), [r#"trip","cause":"zone press"}"#]);
        assert_eq!(state(zone, fault), [came]);
        assert_eq!(state(fault, Interlocked), [r#"reset"}"#, gone]);
        assert_eq!(state(fault, SelfTest), [gone]);
        assert_eq!(state(zone, Interlocked), [""; 0]);
    }

    #[test]
    fn only_the_run_permission_s_edges_are_told_and_a_reset_is_one_more() {
        let (on, off) = (OutputState::Active, OutputState::Inactive);
        let permission = OutputName::RunPermission;
        assert_eq!(
            told(&edge(permission, off, Cause::ConfigurationChanged)),
            [r#"permission","state":"off","cause":"configuration changed"}"#]
        );
        assert_eq!(
            told(&edge(permission, on, Cause::Reset)),
            [r#"permission","state":"on","cause":"reset"}"#, r#"reset"}"#]
        );
        assert_eq!(
            told(&edge(OutputName::Reject, on, Cause::PulseOver)),
            [""; 0]
        );
    }

    #[test]
    fn a_reset_in_vain_says_why() {
        let event = Event::ResetRefused {
            at: MonotonicTime::ZERO,
            why: ResetRefusal::NotYetClear,
        };
        let expected =
            r#"reset-refused","reason":"the stop zones are not clear for long enough yet"}"#;
        assert_eq!(told(&event), [expected]);
    }

    #[test]
    fn a_change_of_the_configuration_has_both_hashes_and_what_is_wrong() {
        let change = ConfigurationChange {
            outcome: ConfigurationOutcome::Refused,
            old: FileHashes {
                main: Some("aa".to_owned()),
                keepout: Some("bb".to_owned()),
            },
            new: FileHashes {
                main: Some("aa".to_owned()),
                keepout: None,
            },
            changed: Vec::new(),
            pending: Vec::new(),
            problems: vec!["keepout.toml: is gone".to_owned()],
        };
        let expected = concat!(
            r#"configuration","outcome":"refused","#,
            r#""old":{"config_sha256":"aa","keepout_sha256":"bb"},"#,
            r#""new":{"config_sha256":"aa","keepout_sha256":null},"#,
            r#""problems":["keepout.toml: is gone"]}"#
        );
        assert_eq!(told(&Event::Configuration(Box::new(change))), [expected]);
    }

    #[test]
    fn a_monitor_that_goes_and_comes_is_told() {
        let why = "/dev/dri/card0: the monitor on HDMI-A-1 is gone".to_owned();
        assert_eq!(
            told(&Event::Display(DisplayChange::Lost { why })),
            [r#"display-lost","reason":"/dev/dri/card0: the monitor on HDMI-A-1 is gone"}"#]
        );
        let back = DisplayChange::Back {
            on: "HDMI-A-1 in 1920x1080@60.00".to_owned(),
            after: Duration::from_millis(2500),
        };
        assert_eq!(
            told(&Event::Display(back)),
            [r#"display-back","on":"HDMI-A-1 in 1920x1080@60.00","after_s":2.5}"#]
        );
    }

    #[test]
    fn long_lists_are_cut_and_counted() {
        let list: Vec<String> = (0..100).map(|n| format!("{n:0100}")).collect();
        let kept = shortened(&list);
        assert_eq!(kept.len(), LIST_BYTES_MAX / 100 + 1);
        assert_eq!(kept.last().map(String::as_str), Some("and 60 more"));
    }

    #[test]
    fn start_stop_and_loss_are_told() {
        let started = Started {
            version: "1",
            engine: "CPU".to_owned(),
            pace: "realtime",
            files: FileHashes::default(),
        };
        let lines = told(&Event::Started(Box::new(started)));
        assert!(lines[0].contains(r#""engine":"CPU""#), "{lines:?}");
        assert_eq!(
            told(&Event::Stopped(StopReason::Signal)),
            [r#"stop","reason":"signal"}"#]
        );
        assert_eq!(told(&Event::Lost(7)), [r#"lost","count":7}"#]);
        let camera = |state| {
            Event::Camera(CameraChange {
                at: MonotonicTime::ZERO,
                stream: StreamId::WorkerSafety,
                source: "/dev/video0".to_owned(),
                state,
            })
        };
        let why = "not there".to_owned();
        let rest = r#""stream":"worker_safety","source":"/dev/video0""#;
        assert_eq!(
            told(&camera(CameraState::Lost { why })),
            [format!(r#"camera-lost",{rest},"reason":"not there"}}"#)]
        );
        let description = "NV12".to_owned();
        assert_eq!(
            told(&camera(CameraState::Back { description })),
            [format!(r#"camera-back",{rest},"delivers":"NV12"}}"#)]
        );
    }
}
