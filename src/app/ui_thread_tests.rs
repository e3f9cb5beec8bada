use std::sync::mpsc::sync_channel;

use super::*;
use crate::config::{DisplayChoice, KmsConfig};
use crate::frame::{BufferPool, ColorMatrix, ColorRange, FrameFormat, FrameMeta, PixelFormat};
use crate::geometry::Rect;
use crate::message::{Detection, PersonVerdict, SafetyVerdict, StreamView, Verdict};
use crate::units::{LabelId, Score};

const SIZE: Size = Size {
    width: 640,
    height: 360,
};

fn snapshot(
    ms: u64,
    sequence: u64,
    permission: PermissionState,
    verdict: SafetyVerdict,
) -> Snapshot {
    let at = MonotonicTime::from_duration(Duration::from_millis(ms));
    let format = FrameFormat {
        size: SIZE,
        pixel_format: PixelFormat::I420,
        matrix: ColorMatrix::Bt601,
        range: ColorRange::Limited,
    };
    let meta = FrameMeta {
        stream: StreamId::WorkerSafety,
        sequence,
        media_time: Duration::from_millis(ms),
        timestamp: at,
        arrived: at,
    };
    let mut pool = BufferPool::new();
    let mut buffer = pool.take();
    buffer.prepare(&format);
    let view = StreamView {
        frame: Frame::new(meta, format, buffer, &mut pool),
        verdict: Verdict::Safety(verdict),
        fps: 25.0,
        latency: Duration::ZERO,
    };
    Snapshot {
        at,
        permission,
        streams: [Some(view), None],
        newest: StreamId::WorkerSafety,
        parts: crate::message::PartTally::default(),
        operator: crate::message::OperatorView::default(),
        engine: None,
    }
}

fn somebody() -> SafetyVerdict {
    let mut verdict = SafetyVerdict::default();
    let detection = Detection {
        label: LabelId(0),
        score: Score::ONE,
        bbox: Rect::new(0.4, 0.2, 0.6, 0.9).expect("a box"),
    };
    verdict.persons.push(PersonVerdict {
        detection,
        zones: crate::message::ZoneSet::default(),
        kind: None,
        distance: None,
    });
    verdict
}

/// What the thread makes of these snapshots, one after another: the picture of frame `frame`. `None`
/// where this machine cannot draw.
fn picture(pace: Pace, snapshots: &[Snapshot], frame: u64) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("picture.png");
    let plan = UiPlan {
        context: SceneContext {
            zones: Vec::new(),
            detector_labels: vec!["person".to_owned()],
            classifier_labels: Vec::new(),
            engine: String::new(),
            version: String::new(),
            sources: [String::new(), String::new()],
            people: People::Masked(MaskMemory::default()),
            old_after: Duration::from_secs(1),
            notice: None,
        },
        display: DisplayConfig {
            display: DisplayChoice::Headless,
            size: SIZE,
            anonymize: true,
            kms: KmsConfig::default(),
            kiosk: crate::config::KioskConfig::default(),
        },
        record: None,
        snapshots: vec![SnapshotRequest {
            path: path.clone(),
            frame,
        }],
        draw_all: false,
        pace,
        may_reset: false,
    };
    let mailbox = || crate::sync::Signal::new();
    let inbox = Latest::new(&mailbox());
    let start = Latest::new(&mailbox());
    let (ready, started) = sync_channel(1);
    let (told, _news) = rtrb::RingBuffer::new(1);
    let (orders, _desk) = rtrb::RingBuffer::new(1);
    let mail = Mail {
        inbox: inbox.clone(),
        updates: Latest::new(&mailbox()),
        status: Latest::new(&mailbox()),
        start: start.clone(),
        news: told,
        input: None,
        desk: orders,
    };
    let thread = std::thread::spawn(move || run(plan, mail, &ready));
    start.put(StartNews::Opened(Box::new(Opened {
        detector_labels: vec!["person".to_owned()],
        classifier_labels: Vec::new(),
        engine: String::new(),
        sources: [String::new(), String::new()],
        frame_rate: 25.0,
    })));
    if started.recv().expect("it says so").is_err() {
        return None;
    }
    for snapshot in snapshots {
        let put = inbox.put_when_empty(snapshot.clone(), Duration::from_secs(30));
        assert!(put.is_ok(), "nobody takes it");
    }
    inbox.close();
    thread.join().expect("it lives");
    Some(std::fs::read(&path).expect("a picture"))
}

#[test]
fn a_person_seen_in_a_frame_that_is_not_drawn_is_covered_in_the_next() {
    use PermissionState::Interlocked;
    for pace in [Pace::Asap, Pace::Realtime] {
        let after = |first: SafetyVerdict| {
            let lost = snapshot(80, 2, Interlocked, SafetyVerdict::default());
            picture(pace, &[snapshot(0, 1, Interlocked, first), lost], 2)
        };
        let (Some(seen), Some(nobody)) = (after(somebody()), after(SafetyVerdict::default()))
        else {
            return;
        };
        assert!(seen != nobody, "{pace:?}: the person is not covered");
    }
}
