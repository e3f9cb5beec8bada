//! Snapshots for the picture's tests, made without cameras or models.

use std::time::Duration;

use andon::config::{Anchor, Zone};
use andon::frame::{
    BufferPool, ColorMatrix, ColorRange, Frame, FrameFormat, FrameMeta, PixelFormat,
};
use andon::geometry::{Normalised, Point, Polygon, Rect, Size};
use andon::message::{
    Detection, Disposition, Grade, GradedItem, InspectionVerdict, ItemVerdict, OperatorView,
    PartTally, PermissionState, PersonVerdict, SafetyVerdict, Snapshot, StreamView, Verdict,
    ZoneSet,
};
use andon::ui::scene::{People, SceneContext};
use andon::units::{LabelId, MonotonicTime, Score, StreamId, ZoneIndex, ZoneKind};

pub(crate) const fn size(width: u32, height: u32) -> Size {
    Size { width, height }
}

pub(crate) const fn at_ms(ms: u64) -> MonotonicTime {
    MonotonicTime::from_duration(Duration::from_millis(ms))
}

pub(crate) fn score(value: f32) -> Score {
    Score::new(value).expect("a score")
}

pub(crate) fn bbox(left: f32, top: f32, right: f32, bottom: f32) -> Rect<Normalised> {
    Rect::new(left, top, right, bottom).expect("a box")
}

/// A zone of the worker-safety camera.
pub(crate) fn zone(name: &str, kind: ZoneKind, points: &[(f32, f32)]) -> Zone {
    let points = points.iter().map(|&(x, y)| Point::new(x, y)).collect();
    Zone {
        name: name.to_owned(),
        camera: StreamId::WorkerSafety,
        kind,
        anchor: Anchor::BottomEdge,
        polygon: Polygon::new(points).expect("a polygon"),
        hours: andon::config::Hours::default(),
        dwell_limit: None,
    }
}

pub(crate) fn context() -> SceneContext {
    SceneContext {
        zones: vec![
            zone(
                "press",
                ZoneKind::Stop,
                &[(0.30, 0.55), (0.62, 0.50), (0.80, 0.98), (0.25, 0.95)],
            ),
            zone(
                "walkway",
                ZoneKind::Warn,
                &[(0.02, 0.30), (0.25, 0.30), (0.22, 0.90), (0.02, 0.90)],
            ),
        ],
        detector_labels: vec!["person".into(), "apple".into()],
        classifier_labels: vec!["fresh_apple".into(), "rotten_apple".into()],
        engine: "CPU (TFLite, XNNPACK, 2 threads)".into(),
        version: "0.1.0".into(),
        sources: ["hall.mp4".into(), "belt.mp4".into()],
        people: People::Shown,
        old_after: Duration::from_secs(1),
        notice: None,
    }
}

pub(crate) fn meta(stream: StreamId, sequence: u64, ms: u64) -> FrameMeta {
    FrameMeta {
        stream,
        sequence,
        media_time: Duration::from_millis(ms),
        timestamp: at_ms(ms),
        arrived: at_ms(ms),
    }
}

/// A frame filled by `paint(plane, x, y, sample byte)`.
pub(crate) fn frame(
    meta: FrameMeta,
    format: FrameFormat,
    mut paint: impl FnMut(usize, usize, usize) -> u8,
) -> Frame {
    let mut pool = BufferPool::new();
    let mut buffer = pool.take();
    for (index, plane) in buffer.prepare(&format).into_iter().enumerate() {
        let (row, _) = andon::frame::plane_extent(&format, index);
        if plane.is_empty() {
            continue;
        }
        for (y, line) in plane.chunks_exact_mut(row).enumerate() {
            for (x, byte) in line.iter_mut().enumerate() {
                *byte = paint(index, x, y);
            }
        }
    }
    Frame::new(meta, format, buffer, &mut pool)
}

pub(crate) const fn i420(size: Size) -> FrameFormat {
    FrameFormat {
        size,
        pixel_format: PixelFormat::I420,
        matrix: ColorMatrix::Bt601,
        range: ColorRange::Limited,
    }
}

/// A uniformly grey frame.
pub(crate) fn grey(stream: StreamId, size: Size, ms: u64) -> Frame {
    frame(meta(stream, ms / 40, ms), i420(size), |_, _, _| 128)
}

pub(crate) fn person(
    value: f32,
    place: Rect<Normalised>,
    zones: &[(u8, ZoneKind)],
) -> PersonVerdict {
    let mut set = ZoneSet::default();
    for (index, _) in zones {
        set.insert(ZoneIndex(*index));
    }
    PersonVerdict {
        detection: Detection {
            label: LabelId(0),
            score: score(value),
            bbox: place,
        },
        zones: set,
        kind: zones.iter().map(|(_, kind)| *kind).max(),
        distance: None,
    }
}

pub(crate) fn safety(persons: &[PersonVerdict]) -> Verdict {
    let zones = persons
        .iter()
        .fold(ZoneSet::default(), |all, person| all.union(person.zones));
    Verdict::Safety(SafetyVerdict {
        persons: persons.iter().copied().collect(),
        zones,
        occupied: persons
            .iter()
            .any(|person| person.kind == Some(ZoneKind::Stop)),
        doubt: None,
        failure: None,
        idle: ZoneSet::default(),
    })
}

pub(crate) fn item(
    label: u16,
    value: f32,
    place: Rect<Normalised>,
    disposition: Disposition,
) -> ItemVerdict {
    ItemVerdict {
        item: GradedItem {
            detection: Detection {
                label: LabelId(1),
                score: score(0.71),
                bbox: place,
            },
            grade: Grade {
                label: LabelId(label),
                score: score(value),
            },
        },
        disposition,
    }
}

pub(crate) fn inspection(items: &[ItemVerdict]) -> Verdict {
    Verdict::Inspection(InspectionVerdict {
        items: items.iter().copied().collect(),
        failure: None,
    })
}

pub(crate) fn view(frame: Frame, verdict: Verdict) -> StreamView {
    StreamView {
        frame,
        verdict,
        fps: 25.0,
        latency: Duration::from_millis(18),
    }
}

pub(crate) fn snapshot(
    permission: PermissionState,
    ms: u64,
    streams: [Option<StreamView>; 2],
) -> Snapshot {
    Snapshot {
        at: at_ms(ms),
        permission,
        streams,
        newest: StreamId::WorkerSafety,
        parts: PartTally::default(),
        operator: OperatorView::default(),
        engine: None,
    }
}
