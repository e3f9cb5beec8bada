//! How far everybody is from the nearest stop zone, on the floor. Pure; shown, decides nothing.
//!
//! A person is where the feet are: the bottom edge of the box, taken down to the floor. A zone drawn
//! on the floor counts with what it has grown by, also where the picture does not show it; of one
//! drawn in the picture, the floor below its outline. Everything about the zones is worked out once;
//! measuring allocates nothing.

use crate::config::{Config, Ground};
use crate::geometry::{Floor, FloorPolygon, Homography, Normalised, Point, Rect};
use crate::message::SafetyVerdict;
use crate::units::{Metres, StreamId, ZoneIndex, ZoneKind};

/// The stop zones on the floor.
#[derive(Clone, Debug, Default)]
pub struct Ranging {
    floor: Option<(Homography, Vec<Outline>)>,
}

/// A stop zone on the floor with the rectangle around it, which shows cheaply that it is far.
#[derive(Clone, Debug)]
struct Outline {
    polygon: FloorPolygon,
    least: [f32; 2],
    most: [f32; 2],
}

impl Ranging {
    /// Of the configuration's stop zones; measures nothing where it has no floor.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let floor = config.ground.as_ref().map(|ground| {
            let stops = (0..=u8::MAX)
                .map(ZoneIndex)
                .zip(&config.zones)
                .filter(|(_, zone)| zone.kind == ZoneKind::Stop && zone.camera == CAMERA);
            let outlines = stops.filter_map(|(index, zone)| {
                let polygon = match ground.zone(index) {
                    Some(zone) => zone.grown.clone(),
                    None => FloorPolygon::below(&zone.polygon, homography(ground))?,
                };
                Some(Outline::new(polygon))
            });
            (*homography(ground), outlines.collect())
        });
        Self { floor }
    }

    /// Enters each person's distance into a verdict on a frame of `stream`.
    pub fn measure(&self, stream: StreamId, verdict: &mut SafetyVerdict) {
        let Some((homography, outlines)) = &self.floor else {
            return;
        };
        if stream != CAMERA {
            return;
        }
        for person in &mut verdict.persons {
            person.distance = match person.kind {
                Some(ZoneKind::Stop) => Some(Metres::ZERO),
                Some(ZoneKind::Warn) | None => nearest(homography, outlines, person.detection.bbox),
            };
        }
    }
}

/// The camera whose floor is measured.
const CAMERA: StreamId = StreamId::WorkerSafety;

const fn homography(ground: &Ground) -> &Homography {
    &ground.fit.homography
}

fn nearest(
    homography: &Homography,
    outlines: &[Outline],
    bbox: Rect<Normalised>,
) -> Option<Metres> {
    let left = homography.to_floor(Point::new(bbox.left(), bbox.bottom()))?;
    let right = homography.to_floor(Point::new(bbox.right(), bbox.bottom()))?;
    outlines
        .iter()
        .fold(None, |nearest: Option<Metres>, outline| {
            let too_far = nearest.is_some_and(|nearest| outline.at_least(left, right) >= nearest.0);
            if too_far {
                return nearest;
            }
            let distance = outline.polygon.distance(left, right);
            Some(nearest.map_or(distance, |nearest| Metres(nearest.0.min(distance.0))))
        })
}

impl Outline {
    fn new(polygon: FloorPolygon) -> Self {
        let (mut least, mut most) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
        for point in polygon.points() {
            least = [least[0].min(point.x), least[1].min(point.y)];
            most = [most[0].max(point.x), most[1].max(point.y)];
        }
        Self {
            polygon,
            least,
            most,
        }
    }

    /// A distance below which the zone cannot be.
    fn at_least(&self, a: Point<Floor>, b: Point<Floor>) -> f32 {
        let gap = |a: f32, b: f32, least: f32, most: f32| {
            (a.min(b) - most).max(least - a.max(b)).max(0.0)
        };
        let [left, near] = self.least;
        let [right, far] = self.most;
        gap(a.x, b.x, left, right).hypot(gap(a.y, b.y, near, far))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Overrides, load};
    use crate::message::{Detection, PersonVerdict, ZoneSet};
    use crate::units::{LabelId, Score};

    /// The floor of `geometry`'s case by hand, x = 1/2 + X / 4(1 + Y), y = 1/5 + 4 / 5(1 + Y), with
    /// the given zones.
    fn config(zones: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let keepout = folder.path().join("keepout.toml");
        let ground = "[ground]\nresponse_time_ms = 500\npoints = [\n\
            { image = [0.25, 1.0], floor = [-1, 0] }, { image = [0.75, 1.0], floor = [1, 0] },\n\
            { image = [0.625, 0.6], floor = [1, 1] }, { image = [0.375, 0.6], floor = [-1, 1] },\n]\n";
        std::fs::write(&keepout, format!("{ground}{zones}")).unwrap();
        let overrides = Overrides {
            keepout: Some(keepout),
            ..Overrides::default()
        };
        let loaded = load(Path::new("config/andon.toml"), &overrides);
        loaded.unwrap_or_else(|error| panic!("{error}")).config
    }

    /// The distance of somebody whose feet are on the floor from `left` to `right` metres at `y`.
    fn at(config: &Config, left: f32, right: f32, y: f32) -> Option<Metres> {
        let near = |x: f32| (0.5 + x / (4.0 * (1.0 + y))).clamp(0.0, 1.0);
        let bottom = 0.2 + 0.8 / (1.0 + y);
        with_feet(config, near(left), near(right), bottom, None)
    }

    fn with_feet(
        config: &Config,
        left: f32,
        right: f32,
        bottom: f32,
        kind: Option<ZoneKind>,
    ) -> Option<Metres> {
        let mut verdict = SafetyVerdict::default();
        verdict.persons.push(PersonVerdict {
            detection: Detection {
                label: LabelId(0),
                score: Score::ONE,
                bbox: Rect::new(left, 0.0, right, bottom).unwrap(),
            },
            zones: ZoneSet::default(),
            kind,
            distance: None,
        });
        Ranging::new(config).measure(StreamId::WorkerSafety, &mut verdict);
        verdict.persons[0].distance
    }

    fn close(got: Option<Metres>, expected: f32) -> bool {
        got.is_some_and(|got| (got.0 - expected).abs() < 0.002)
    }

    const SQUARE: &str = "[[zone]]\nname = \"a\"\nfloor = [[-1, 1], [1, 1], [1, 3], [-1, 3]]\n";

    #[test]
    fn the_distance_is_that_of_the_feet_from_the_zone() {
        let config = config(SQUARE);
        assert!(close(at(&config, -0.2, 0.2, 0.0), 1.0));
        assert!(close(at(&config, -0.2, 0.2, 7.0), 4.0));
        assert!(close(at(&config, 3.0, 3.4, 2.0), 2.0));
        assert!(close(at(&config, -0.2, 0.2, 2.0), 0.0));
        // Feet to the left and to the right of it.
        assert!(close(at(&config, -2.0, 2.0, 2.0), 0.0));
    }

    #[test]
    fn a_grown_zone_is_nearer_by_what_it_grew() {
        let config = config(&format!("{SQUARE}grow = true\n"));
        // S = 1600 mm/s × 0.5 s.
        assert!(close(at(&config, -0.2, 0.2, 7.0), 3.2));
    }

    #[test]
    fn a_zone_of_the_picture_lies_on_the_floor_below_it() {
        let square = "points = [[0.375, 0.6], [0.625, 0.6], [0.5625, 0.4], [0.4375, 0.4]]";
        let config = config(&format!("[[zone]]\nname = \"a\"\n{square}\n"));
        assert!(close(at(&config, -0.2, 0.2, 7.0), 4.0));
    }

    #[test]
    fn the_nearest_stop_zone_counts_and_no_warning_zone() {
        let far = "[[zone]]\nname = \"b\"\nfloor = [[-1, 10], [1, 10], [0, 12]]\n";
        let warn = "[[zone]]\nname = \"c\"\nkind = \"warn\"\nfloor = [[-1, 6], [1, 6], [0, 9]]\n";
        for zones in [
            format!("{SQUARE}{far}{warn}"),
            format!("{far}{warn}{SQUARE}"),
        ] {
            assert!(close(at(&config(&zones), -0.2, 0.2, 5.0), 2.0), "{zones}");
        }
    }

    #[test]
    fn whoever_stands_in_a_stop_zone_is_at_no_distance() {
        let config = config(SQUARE);
        let stop = Some(ZoneKind::Stop);
        let sky = with_feet(&config, 0.4, 0.6, 0.1, stop);
        assert_eq!(sky, Some(Metres::ZERO));
    }

    #[test]
    fn feet_above_the_horizon_have_no_distance() {
        let config = config(SQUARE);
        assert_eq!(with_feet(&config, 0.4, 0.6, 0.2, None), None);
        assert_eq!(with_feet(&config, 0.4, 0.6, 0.1, None), None);
    }

    #[test]
    fn without_a_floor_there_are_no_distances() {
        let mut config = config(SQUARE);
        config.ground = None;
        assert_eq!(at(&config, -0.2, 0.2, 0.0), None);
    }
}
