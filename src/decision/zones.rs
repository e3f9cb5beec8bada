//! People against keepout zones: one frame's findings become a [`SafetyVerdict`]. Pure.
//!
//! The test is exact (`geometry::Polygon`): the anchor of a person's box, its bottom edge or the
//! whole box, touches the zone or does not; touching counts. A frame that could not be judged puts
//! every zone of its stream down as occupied.

use std::sync::Arc;

use crate::config::{Anchor, Zone};
use crate::geometry::{Normalised, Rect};
use crate::message::{Detections, Findings, PersonVerdict, PictureDoubt, SafetyVerdict, ZoneSet};
use crate::units::{Score, StreamId, ZoneIndex, ZoneKind};

use super::guard::Occupancy;

/// The verdict on one frame of `stream`: every person at or above `threshold` against every zone
/// of that stream. Findings that are not about people count as a frame that could not be judged.
#[must_use]
pub fn judge(
    zones: &[Zone],
    idle: ZoneSet,
    stream: StreamId,
    threshold: Score,
    findings: &Findings,
) -> SafetyVerdict {
    match findings {
        Findings::Persons(persons) => judge_persons(zones, idle, stream, threshold, persons),
        Findings::Failed(reason) => unjudged(zones, stream, reason.clone()),
        Findings::Items(_) => {
            let reason = format!("{stream}: inference looked for parts, not for people");
            unjudged(zones, stream, reason.into())
        }
    }
}

/// The verdict with what is wrong with the picture itself: then every zone of the stream counts as
/// occupied. Who was found stays in it.
#[must_use]
pub fn doubted(
    zones: &[Zone],
    stream: StreamId,
    mut verdict: SafetyVerdict,
    doubt: Option<PictureDoubt>,
) -> SafetyVerdict {
    if doubt.is_some() {
        verdict.doubt = doubt;
        verdict.occupied = true;
        for (index, _) in of_stream(zones, stream) {
            verdict.zones.insert(index);
        }
    }
    verdict
}

/// The zones of `stream` that a person's box touches, and the gravest kind among them.
#[must_use]
pub fn zones_touched(
    zones: &[Zone],
    idle: ZoneSet,
    stream: StreamId,
    bbox: Rect<Normalised>,
) -> (ZoneSet, Option<ZoneKind>) {
    let mut touched = ZoneSet::default();
    let mut gravest = None;
    for (index, zone) in of_stream(zones, stream) {
        if idle.contains(index) {
            continue;
        }
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
    if let Some(doubt) = verdict.doubt {
        return Occupancy::Doubtful(doubt);
    }
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
    idle: ZoneSet,
    stream: StreamId,
    threshold: Score,
    detections: &Detections,
) -> SafetyVerdict {
    let mut verdict = SafetyVerdict {
        idle,
        ..SafetyVerdict::default()
    };
    for detection in detections {
        if detection.score < threshold {
            continue;
        }
        let (touched, kind) = zones_touched(zones, idle, stream, detection.bbox);
        verdict.zones = verdict.zones.union(touched);
        verdict.occupied |= kind == Some(ZoneKind::Stop);
        verdict.persons.push(PersonVerdict {
            detection: *detection,
            zones: touched,
            kind,
            distance: None,
        });
    }
    verdict
}

fn unjudged(zones: &[Zone], stream: StreamId, reason: Arc<str>) -> SafetyVerdict {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Point, Polygon};
    use crate::message::Detection;
    use crate::units::LabelId;

    const STREAM: StreamId = StreamId::WorkerSafety;

    fn zone(name: &str, kind: ZoneKind, anchor: Anchor, [x0, y0, x1, y1]: [f32; 4]) -> Zone {
        let corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)];
        Zone {
            name: name.to_owned(),
            camera: STREAM,
            kind,
            anchor,
            polygon: Polygon::new(corners.map(|(x, y)| Point::new(x, y)).to_vec()).unwrap(),
            hours: crate::config::Hours::default(),
            dwell_limit: None,
        }
    }

    /// A stop zone on the left half of the floor, a warn zone on the whole floor.
    fn floor() -> Vec<Zone> {
        vec![
            zone(
                "floor",
                ZoneKind::Warn,
                Anchor::BottomEdge,
                [0.0, 0.5, 1.0, 1.0],
            ),
            zone(
                "press",
                ZoneKind::Stop,
                Anchor::BottomEdge,
                [0.0, 0.5, 0.4, 1.0],
            ),
        ]
    }

    fn bbox([left, top, right, bottom]: [f32; 4]) -> Rect<Normalised> {
        Rect::new(left, top, right, bottom).unwrap()
    }

    fn person(score: f32, corners: [f32; 4]) -> crate::message::Detection {
        Detection {
            label: LabelId(0),
            score: Score::new(score).unwrap(),
            bbox: bbox(corners),
        }
    }

    fn persons(detections: &[Detection]) -> Findings {
        Findings::Persons(detections.iter().copied().collect())
    }

    fn threshold() -> Score {
        Score::new(0.5).unwrap()
    }

    fn set(indices: &[u8]) -> ZoneSet {
        let mut set = ZoneSet::default();
        for index in indices {
            set.insert(ZoneIndex(*index));
        }
        set
    }

    #[test]
    fn a_doubtful_picture_occupies_every_zone_and_keeps_who_was_found() {
        let nobody = SafetyVerdict::default();
        for doubt in PictureDoubt::ALL {
            let verdict = doubted(&floor(), STREAM, nobody.clone(), Some(doubt));
            assert!(verdict.occupied);
            assert!(verdict.persons.is_empty());
            for kind in [ZoneKind::Stop, ZoneKind::Warn] {
                assert_eq!(
                    occupancy(&floor(), kind, &verdict),
                    Occupancy::Doubtful(doubt)
                );
            }
        }
        assert_eq!(doubted(&floor(), STREAM, nobody.clone(), None), nobody);
    }

    #[test]
    fn a_person_gets_its_zones_and_the_gravest_kind() {
        let found = persons(&[
            person(0.9, [0.1, 0.3, 0.2, 0.8]),
            person(0.8, [0.7, 0.3, 0.8, 0.8]),
            person(0.7, [0.7, 0.1, 0.8, 0.4]),
        ]);
        let verdict = judge(&floor(), ZoneSet::default(), STREAM, threshold(), &found);
        let got: Vec<_> = verdict.persons.iter().map(|p| (p.zones, p.kind)).collect();
        let expected = [
            (set(&[0, 1]), Some(ZoneKind::Stop)),
            (set(&[0]), Some(ZoneKind::Warn)),
            (set(&[]), None),
        ];
        assert_eq!(got, expected);
        assert_eq!(verdict.zones, set(&[0, 1]));
        assert!(verdict.occupied);
        assert_eq!(verdict.failure, None);
    }

    #[test]
    fn a_person_in_a_warn_zone_does_not_occupy() {
        let found = persons(&[person(0.9, [0.7, 0.3, 0.8, 0.8])]);
        let verdict = judge(&floor(), ZoneSet::default(), STREAM, threshold(), &found);
        assert!(!verdict.occupied);
        let [stop, warn] =
            [ZoneKind::Stop, ZoneKind::Warn].map(|k| occupancy(&floor(), k, &verdict));
        assert_eq!(stop, Occupancy::Clear);
        assert_eq!(warn, Occupancy::Occupied(ZoneIndex(0)));
    }

    #[test]
    fn the_threshold_belongs_to_the_persons_that_count() {
        let found = persons(&[
            person(0.5, [0.7, 0.3, 0.8, 0.8]),
            person(0.499, [0.1, 0.3, 0.2, 0.8]),
        ]);
        let verdict = judge(&floor(), ZoneSet::default(), STREAM, threshold(), &found);
        assert_eq!(verdict.persons.len(), 1);
        assert_eq!(verdict.zones, set(&[0]));
    }

    #[test]
    fn the_anchor_decides_what_touches() {
        let leaning_over = bbox([0.1, 0.2, 0.2, 0.7]);
        let band = [0.0, 0.3, 0.4, 0.5];
        let feet = [zone("a", ZoneKind::Stop, Anchor::BottomEdge, band)];
        let body = [zone("a", ZoneKind::Stop, Anchor::WholeBox, band)];
        assert_eq!(
            zones_touched(&feet, ZoneSet::default(), STREAM, leaning_over),
            (set(&[]), None)
        );
        let stop = (set(&[0]), Some(ZoneKind::Stop));
        assert_eq!(
            zones_touched(&body, ZoneSet::default(), STREAM, leaning_over),
            stop
        );
    }

    #[test]
    fn zones_of_another_camera_are_not_touched() {
        let mut zones = floor();
        zones[1].camera = StreamId::VisualInspection;
        let touched = zones_touched(
            &zones,
            ZoneSet::default(),
            STREAM,
            bbox([0.1, 0.3, 0.2, 0.8]),
        );
        assert_eq!(touched, (set(&[0]), Some(ZoneKind::Warn)));
        assert!(watches(&zones, ZoneKind::Warn, STREAM));
        assert!(!watches(&zones, ZoneKind::Stop, STREAM));
        assert!(watches(&zones, ZoneKind::Stop, StreamId::VisualInspection));
    }

    #[test]
    fn a_frame_that_could_not_be_judged_occupies_every_zone() {
        for findings in [
            Findings::Failed("model detector: invoke: out of memory".into()),
            Findings::Items(crate::message::GradedItems::new()),
        ] {
            let verdict = judge(&floor(), ZoneSet::default(), STREAM, threshold(), &findings);
            assert!(verdict.occupied);
            assert_eq!(verdict.zones, set(&[0, 1]));
            assert!(verdict.failure.is_some());
            for kind in [ZoneKind::Stop, ZoneKind::Warn] {
                assert_eq!(occupancy(&floor(), kind, &verdict), Occupancy::Unjudged);
            }
        }
    }

    #[test]
    fn an_empty_frame_is_clear() {
        let verdict = judge(
            &floor(),
            ZoneSet::default(),
            STREAM,
            threshold(),
            &persons(&[]),
        );
        assert_eq!(verdict, SafetyVerdict::default());
        assert_eq!(
            occupancy(&floor(), ZoneKind::Stop, &verdict),
            Occupancy::Clear
        );
    }

    #[test]
    fn the_cause_is_the_first_occupied_stop_zone() {
        let mut zones = floor();
        zones.push(zone(
            "robot",
            ZoneKind::Stop,
            Anchor::BottomEdge,
            [0.3, 0.5, 1.0, 1.0],
        ));
        let at = |corners| {
            let verdict = judge(
                &zones,
                ZoneSet::default(),
                STREAM,
                threshold(),
                &persons(&[person(0.9, corners)]),
            );
            occupancy(&zones, ZoneKind::Stop, &verdict)
        };
        assert_eq!(
            at([0.35, 0.2, 0.38, 0.8]),
            Occupancy::Occupied(ZoneIndex(1))
        );
        assert_eq!(at([0.6, 0.2, 0.7, 0.8]), Occupancy::Occupied(ZoneIndex(2)));
    }
}
