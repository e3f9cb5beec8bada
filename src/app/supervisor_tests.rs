//! The main thread's part of a run, fed with events by hand.

use super::*;
use crate::app::unjudged::tests::decided;

fn supervisor() -> Supervisor {
    Supervisor {
        report: None,
        readiness: Readiness::default(),
        progress: Progress::new(None, false),
        summary: Summary::default(),
        unjudged: Unjudged::default(),
        error: None,
        zone_names: Vec::new(),
        origin: MonotonicTime::ZERO,
        started_at: MonotonicTime::ZERO,
        asked_to_stop: false,
        live: None,
        events: None,
        day_clock: DayClock::default(),
        clock_looked_at: None,
        board: None,
        picture_end: PictureEnd::default(),
    }
}

#[test]
fn a_picture_whose_thread_ends_in_a_run_is_a_fault_and_said_once() {
    let at = |ms| MonotonicTime::from_duration(Duration::from_millis(ms));
    let mut supervisor = supervisor();
    for ms in [1000, 1005, 1400] {
        supervisor.without_picture(at(ms));
        assert_eq!(supervisor.summary.faults, [""; 0], "the run may be ending");
    }
    for ms in [1500, 1505, 9000] {
        supervisor.without_picture(at(ms));
        assert_eq!(supervisor.summary.faults.len(), 1);
    }
    let error = supervisor.error.expect("the run failed").to_string();
    assert!(
        error.contains("ui") && error.contains("nothing is shown"),
        "{error}"
    );
}

#[test]
fn failed_inference_is_counted_and_is_the_runs_error() {
    let mut supervisor = supervisor();
    for (frame, failure) in [(0, None), (1, Some("NaN")), (2, Some("NaN")), (3, None)] {
        supervisor.take(Event::Decided(decided(frame, failure)));
    }
    supervisor.own_up();
    let stream = &supervisor.summary.streams[StreamId::VisualInspection.index()];
    assert_eq!((stream.frames, stream.failed), (4, 2));
    assert_eq!(supervisor.summary.faults.len(), 1);
    let error = supervisor.error.expect("the run failed").to_string();
    assert_eq!(supervisor.summary.faults[0], error);
    assert!(error.contains("2 frames of visual_inspection"), "{error}");
}

#[test]
fn dropped_events_are_owned_up_to() {
    let mut supervisor = supervisor();
    supervisor.summary.events_dropped = 7;
    supervisor.own_up();
    let faults = &supervisor.summary.faults;
    assert!(
        faults.len() == 1 && faults[0].contains("7 events"),
        "{faults:?}"
    );
}
