//! The self-test's record, and its check of the zones. Pure.
//!
//! The check of the zones is a known-answer test of the very code that judges people: a person
//! drawn into a zone must be found in it, and one drawn where no zone is must not.

use std::time::Duration;

use super::zones::zones_touched;
use crate::config::Zone;
use crate::geometry::{Normalised, Point, Polygon, Rect};
use crate::message::{DetectorTest, SelfTestFailure, SelfTestLevel, ZoneSet};
use crate::units::{MonotonicTime, ZoneIndex};

/// Outcome of the check of the zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GeometryTest {
    /// Every zone holds what lies inside it and nothing that lies outside.
    Passed,
    /// One does not.
    Failed,
}

/// What self-tests have shown, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct SelfTestRecord {
    pub(super) geometry: GeometryTest,
    detector: Option<(DetectorTest, MonotonicTime)>,
    /// Longest time between two tests; `None` where one at the start is enough.
    pub(super) within: Option<Duration>,
}

impl SelfTestRecord {
    /// Nothing is known of the detector yet.
    pub(super) const fn new(geometry: GeometryTest) -> Self {
        Self {
            geometry,
            detector: None,
            within: None,
        }
    }

    /// Takes the outcomes of a test made now.
    pub(super) const fn take(
        &mut self,
        detector: DetectorTest,
        geometry: GeometryTest,
        now: MonotonicTime,
    ) {
        self.detector = Some((detector, now));
        self.geometry = geometry;
    }

    /// What the tests say at `now`.
    pub(super) fn state(&self, now: MonotonicTime) -> SelfTestLevel {
        if self.geometry == GeometryTest::Failed {
            return SelfTestLevel::Failed(SelfTestFailure::Geometry);
        }
        match self.detector {
            None => SelfTestLevel::Pending,
            Some((DetectorTest::Failed, _)) => SelfTestLevel::Failed(SelfTestFailure::Detector),
            Some((DetectorTest::Passed, at)) => {
                let age = now.saturating_since(at);
                match self.within.is_some_and(|within| age > within) {
                    true => SelfTestLevel::Failed(SelfTestFailure::Overdue),
                    false => SelfTestLevel::Passed,
                }
            }
        }
    }
}

/// Draws a person into each zone, and one outside of it, and asks where they stand.
pub(super) fn zones_are_where_they_should_be(zones: &[Zone]) -> GeometryTest {
    let right = zones.iter().enumerate().all(|(index, zone)| {
        let Ok(index) = u8::try_from(index).map(ZoneIndex) else {
            return false;
        };
        let touched = |bbox| {
            zones_touched(zones, ZoneSet::default(), zone.camera, bbox)
                .0
                .contains(index)
        };
        let inside = person_inside(&zone.polygon).is_some_and(touched);
        let outside = person_outside(&zone.polygon).is_some_and(touched);
        inside && !outside
    });
    if right {
        GeometryTest::Passed
    } else {
        GeometryTest::Failed
    }
}

/// Height of the drawn persons, and half the width of their feet, in shares of the picture.
const HEIGHT: f32 = 0.01;
const HALF_WIDTH: f32 = 1e-4;

/// A small person whose feet stand on a corner of the zone: touching counts.
fn person_inside(polygon: &Polygon) -> Option<Rect<Normalised>> {
    person_at(*polygon.points().first()?)
}

/// A small person above the topmost, or where there is no room below the lowest, point of the zone;
/// `None` where the zone fills the picture from top to bottom: then nobody can be drawn beside it.
fn person_outside(polygon: &Polygon) -> Option<Rect<Normalised>> {
    let points = polygon.points();
    let top = points.iter().map(|point| point.y).fold(1.0, f32::min);
    let bottom = points.iter().map(|point| point.y).fold(0.0, f32::max);
    let y = if top > 3.0 * HEIGHT {
        top - HEIGHT
    } else if bottom < 1.0 - 3.0 * HEIGHT {
        bottom + 2.0 * HEIGHT
    } else {
        return None;
    };
    person_at(Point::new(0.5, y))
}

fn person_at(feet: Point<Normalised>) -> Option<Rect<Normalised>> {
    let [left, right] = [feet.x - HALF_WIDTH, feet.x + HALF_WIDTH].map(|x| x.clamp(0.0, 1.0));
    Rect::new(left, (feet.y - HEIGHT).max(0.0), right, feet.y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Anchor;
    use crate::units::{StreamId, ZoneKind};

    fn zone(anchor: Anchor, corners: &[(f32, f32)]) -> Zone {
        Zone {
            name: "press".to_owned(),
            camera: StreamId::WorkerSafety,
            kind: ZoneKind::Stop,
            anchor,
            polygon: Polygon::new(corners.iter().map(|(x, y)| Point::new(*x, *y)).collect())
                .unwrap(),
            hours: crate::config::Hours::default(),
            dwell_limit: None,
        }
    }

    const SHAPES: [&[(f32, f32)]; 4] = [
        &[(0.2, 0.4), (0.6, 0.4), (0.6, 0.9), (0.2, 0.9)],
        &[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)],
        &[(0.0, 0.0), (1.0, 0.0), (0.5, 0.5)],
        &[(0.9, 1.0), (1.0, 0.1), (1.0, 1.0)],
    ];

    #[test]
    fn zones_of_every_shape_pass() {
        for anchor in [Anchor::BottomEdge, Anchor::WholeBox] {
            let zones: Vec<Zone> = SHAPES.iter().map(|shape| zone(anchor, shape)).collect();
            assert_eq!(zones_are_where_they_should_be(&zones), GeometryTest::Passed);
        }
    }

    #[test]
    fn a_test_counts_for_a_limited_time() {
        let at = |ms| MonotonicTime::from_duration(Duration::from_millis(ms));
        let mut record = SelfTestRecord::new(GeometryTest::Passed);
        assert_eq!(record.state(at(0)), SelfTestLevel::Pending);
        record.take(DetectorTest::Passed, GeometryTest::Passed, at(100));
        assert_eq!(record.state(at(1_000_000)), SelfTestLevel::Passed);
        record.within = Some(Duration::from_millis(500));
        assert_eq!(record.state(at(600)), SelfTestLevel::Passed);
        let overdue = SelfTestLevel::Failed(SelfTestFailure::Overdue);
        assert_eq!(record.state(at(601)), overdue);
        record.take(DetectorTest::Failed, GeometryTest::Passed, at(700));
        let failed = SelfTestLevel::Failed(SelfTestFailure::Detector);
        assert_eq!(record.state(at(700)), failed);
        record.take(DetectorTest::Passed, GeometryTest::Failed, at(800));
        let misplaced = SelfTestLevel::Failed(SelfTestFailure::Geometry);
        assert_eq!(record.state(at(800)), misplaced);
    }
}
