//! People against keepout zones: one frame's findings become a [`SafetyVerdict`]. Pure.
//!
//! The test is exact (`geometry::Polygon`): the anchor of a person's box, its bottom edge or the
//! whole box, touches the zone or does not; touching counts. A frame that could not be judged puts
//! every zone of its stream down as occupied.

use crate::config::{Anchor, Zone};
use crate::geometry::{Normalised, Rect};
use crate::message::{Detections, Findings, PersonVerdict, SafetyVerdict, ZoneSet};
use crate::units::{Score, StreamId, ZoneIndex, ZoneKind};

use super::guard::Occupancy;

/// The verdict on one frame of `stream`: every person at or above `threshold` against every zone
/// of that stream. Findings that are not about people count as a frame that could not be judged.
#[must_use]
pub fn judge(
    zones: &[Zone],
    stream: StreamId,
    threshold: Score,
    findings: &Findings,
) -> SafetyVerdict {
    match findings {
        Findings::Persons(persons) => judge_persons(zones, stream, threshold, persons),
        Findings::Failed(reason) => unjudged(zones, stream, reason.clone()),
        Findings::Items(_) => {
            let reason = format!("{stream}: inference looked for parts, not for people");
            unjudged(zones, stream, reason)
        }
    }
}

/// The zones of `stream` that a person's box touches, and the gravest kind among them.
#[must_use]
pub fn zones_touched(
    zones: &[Zone],
    stream: StreamId,
    bbox: Rect<Normalised>,
) -> (ZoneSet, Option<ZoneKind>) {
    let mut touched = ZoneSet::default();
    let mut gravest = None;
    for (index, zone) in of_stream(zones, stream) {
        let hit = match zone.anchor {
            Anchor::BottomEdge => zone.polygon.touches_bottom_edge(bbox),
            Anchor::WholeBox => zone.polygon.touches_rect(bbox),
        };
        if hit {
            touched.insert(index);
            gravest = gravest.max(Some(zone.kind));
        }
    }
    (touched, gravest)
}

/// What a verdict says of the zones of one kind.
#[must_use]
pub fn occupancy(zones: &[Zone], kind: ZoneKind, verdict: &SafetyVerdict) -> Occupancy {
    if verdict.failure.is_some() {
        return Occupancy::Unjudged;
    }
    numbered(zones)
        .find(|(index, zone)| zone.kind == kind && verdict.zones.contains(*index))
        .map_or(Occupancy::Clear, |(index, _)| Occupancy::Occupied(index))
}

/// Whether a zone of this kind lies in the picture of `stream`.
#[must_use]
pub fn watches(zones: &[Zone], kind: ZoneKind, stream: StreamId) -> bool {
    of_stream(zones, stream).any(|(_, zone)| zone.kind == kind)
}

fn judge_persons(
    zones: &[Zone],
    stream: StreamId,
    threshold: Score,
    detections: &Detections,
) -> SafetyVerdict {
    let mut verdict = SafetyVerdict::default();
    for detection in detections {
        if detection.score < threshold {
            continue;
        }
        let (touched, kind) = zones_touched(zones, stream, detection.bbox);
        verdict.zones = verdict.zones.union(touched);
        verdict.occupied |= kind == Some(ZoneKind::Stop);
        verdict.persons.push(PersonVerdict {
            detection: *detection,
            zones: touched,
            kind,
        });
    }
    verdict
}

fn unjudged(zones: &[Zone], stream: StreamId, reason: String) -> SafetyVerdict {
    let mut verdict = SafetyVerdict {
        occupied: true,
        failure: Some(reason),
        ..SafetyVerdict::default()
    };
    for (index, _) in of_stream(zones, stream) {
        verdict.zones.insert(index);
    }
    verdict
}

fn of_stream(zones: &[Zone], stream: StreamId) -> impl Iterator<Item = (ZoneIndex, &Zone)> {
    numbered(zones).filter(move |(_, zone)| zone.camera == stream)
}

/// Zones with their indices; a configuration has at most `ZONES_MAX`, far below 256.
fn numbered(zones: &[Zone]) -> impl Iterator<Item = (ZoneIndex, &Zone)> {
    (0..=u8::MAX).map(ZoneIndex).zip(zones)
}
