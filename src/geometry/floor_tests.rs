//! Floor zones against brute force: random places of the floor, their distance from the zone
//! measured straight, against whether the polygon of the picture holds what shows them.

use proptest::prelude::*;

use super::super::test_camera::measured_cameras;
use super::super::{AxisOrder, GroundPoint, Normalised, Rect};
use super::*;

fn zone(points: &[(f32, f32)]) -> FloorPolygon {
    FloorPolygon::new(points.iter().map(|(x, y)| Point::new(*x, *y)).collect())
        .expect("a zone on the floor")
}

fn square(left: f32, top: f32, side: f32) -> FloorPolygon {
    zone(&[
        (left, top),
        (left + side, top),
        (left + side, top + side),
        (left, top + side),
    ])
}

fn place(x: f32, y: f32) -> Point<Floor> {
    Point::new(x, y)
}

/// x = 1/2 + X / 4(1 + Y), y = 1/5 + 4 / 5(1 + Y): the horizon is at y = 1/5.
fn by_hand() -> Homography {
    let pair = |(x, y): (f32, f32), (floor_x, floor_y): (f32, f32)| GroundPoint {
        image: Point::new(x, y),
        floor: Point::new(floor_x, floor_y),
    };
    let points = [
        pair((0.25, 1.0), (-1.0, 0.0)),
        pair((0.75, 1.0), (1.0, 0.0)),
        pair((0.625, 0.6), (1.0, 1.0)),
        pair((0.375, 0.6), (-1.0, 1.0)),
    ];
    super::super::Homography::fit(&points, AxisOrder::YLeftOfX)
        .expect("a floor")
        .homography
}

fn holds(polygon: &Polygon, point: Point<Normalised>) -> bool {
    Rect::new(point.x, point.y, point.x, point.y).is_some_and(|rect| polygon.touches_rect(rect))
}

#[test]
fn a_square_within_the_frame_keeps_its_corners() {
    let image = square(-1.0, 1.0, 2.0)
        .to_image(&by_hand())
        .expect("a polygon");
    // (±1, 1) is at (1/2 ± 1/8, 3/5), (±1, 3) at (1/2 ± 1/16, 2/5).
    for (x, y) in [(0.375, 0.6), (0.625, 0.6), (0.5625, 0.4), (0.4375, 0.4)] {
        let near = |p: &Point<Normalised>| (p.x - x).abs() < 3e-5 && (p.y - y).abs() < 3e-5;
        assert!(image.points().iter().any(near), "{image:?}");
        assert!(holds(&image, Point::new(x, y)));
    }
    assert!(image.points().len() <= 12);
}

#[test]
fn what_lies_beside_the_frame_and_behind_the_camera_is_cut_off() {
    // From 8 m to the left to 8 m to the right, and from far behind the camera to 3 m before it.
    let wide = zone(&[(-8.0, -30.0), (8.0, -30.0), (8.0, 3.0), (-8.0, 3.0)]);
    let image = wide.to_image(&by_hand()).expect("a polygon");
    for (x, y) in [(0.0, 1.0), (1.0, 1.0), (0.0, 0.4), (1.0, 0.4), (0.5, 0.7)] {
        assert!(holds(&image, Point::new(x, y)), "{x} {y} {image:?}");
    }
    assert!(!holds(&image, Point::new(0.5, 0.3999)));
    let inside = |p: &Point<Normalised>| (0.0..=1.0).contains(&p.x) && (0.0..=1.0).contains(&p.y);
    assert!(image.points().iter().all(inside));
}

#[test]
fn a_zone_to_the_end_of_the_world_reaches_the_horizon_and_not_beyond() {
    let far = zone(&[(-900.0, 1.0), (900.0, 1.0), (900.0, 999.0), (-900.0, 999.0)]);
    let image = far.to_image(&by_hand()).expect("a polygon");
    assert!(holds(&image, Point::new(0.5, 0.202)));
    assert!(!holds(&image, Point::new(0.5, 0.2)));
}

#[test]
fn a_zone_out_of_sight_is_refused() {
    for unseen in [
        square(-1.0, -9.0, 2.0),
        square(20.0, 1.0, 2.0),
        square(-1.0, -0.9, 0.5),
    ] {
        let outcome = unseen.project(Metres::ZERO, &by_hand());
        assert_eq!(outcome, Err(ProjectionError::OutsideFrame));
    }
}

#[test]
fn a_zone_that_the_frame_cuts_apart_is_refused() {
    // A U whose bottom lies below the frame.
    let horseshoe = zone(&[
        (-1.0, -0.5),
        (1.0, -0.5),
        (1.0, 2.0),
        (0.6, 2.0),
        (0.6, -0.3),
        (-0.6, -0.3),
        (-0.6, 2.0),
        (-1.0, 2.0),
    ]);
    assert_eq!(
        horseshoe.project(Metres::ZERO, &by_hand()),
        Err(ProjectionError::Pieces(2))
    );
    // Grown until its arms meet it is one again, and without a hole.
    let grown = horseshoe
        .project(Metres(0.65), &by_hand())
        .expect("one piece");
    assert!(holds(&grown.image, Point::new(0.5, 0.9)));
}

#[test]
fn a_ring_that_closes_by_growing_has_no_hole() {
    let ring = zone(&[
        (0.0, 0.0),
        (6.0, 0.0),
        (6.0, 6.0),
        (0.0, 6.0),
        (0.0, 3.2),
        (0.5, 3.2),
        (0.5, 5.5),
        (5.5, 5.5),
        (5.5, 0.5),
        (0.5, 0.5),
        (0.5, 2.8),
        (0.0, 2.8),
    ]);
    assert_eq!(ring.distance(place(3.0, 3.0), place(3.0, 3.0)), Metres(2.5));
    let closed = ring.grown(Metres(0.3), 64);
    assert_eq!(
        closed.distance(place(3.0, 3.0), place(3.0, 3.0)),
        Metres::ZERO
    );
}

#[test]
fn growing_by_nothing_changes_nothing() {
    let zone = square(1.0, 1.0, 2.0);
    assert_eq!(zone.grown(Metres::ZERO, 64), zone);
}

#[test]
fn areas_are_what_the_tape_says() {
    assert_eq!(square(1.0, 2.0, 3.0).area(), SquareMetres(9.0));
    // A square of side 2 grown by 1: 4 + 4 · 2 + π.
    let grown = square(0.0, 0.0, 2.0).grown(Metres(1.0), 64).area().0;
    let exact = 12.0 + std::f32::consts::PI;
    assert!((exact..exact * 1.003).contains(&grown), "{grown} {exact}");
}

#[test]
fn distances_are_from_the_nearest_part_of_either() {
    let zone = square(0.0, 0.0, 2.0);
    for (a, b, expected) in [
        (place(1.0, 1.0), place(1.0, 1.0), 0.0),
        (place(3.0, 1.0), place(3.0, 1.0), 1.0),
        (place(5.0, 6.0), place(5.0, 6.0), 5.0),
        (place(4.0, -5.0), place(4.0, 9.0), 2.0),
        (place(-3.0, 1.0), place(3.0, 1.0), 0.0),
        (place(2.0, 2.0), place(9.0, 9.0), 0.0),
        (place(3.0, 3.0), place(3.0, 2.0), 1.0),
    ] {
        assert_eq!(zone.distance(a, b), Metres(expected), "{a:?} {b:?}");
    }
}

#[test]
fn the_floor_below_a_polygon_stops_short_of_the_horizon() {
    let polygon = |points: &[(f32, f32)]| {
        Polygon::new(points.iter().map(|(x, y)| Point::new(*x, *y)).collect()).expect("a polygon")
    };
    let whole = polygon(&[(0.375, 0.6), (0.625, 0.6), (0.5625, 0.4), (0.4375, 0.4)]);
    let floor = FloorPolygon::below(&whole, &by_hand()).expect("on the floor");
    assert!((floor.area().0 - 4.0).abs() < 1e-3, "{floor:?}");
    let across = polygon(&[(0.4, 0.0), (0.6, 0.0), (0.6, 0.6), (0.4, 0.6)]);
    let floor = FloorPolygon::below(&across, &by_hand()).expect("on the floor");
    assert_eq!(
        floor.distance(place(0.0, 50.0), place(0.0, 50.0)),
        Metres::ZERO
    );
    let sky = polygon(&[(0.4, 0.0), (0.6, 0.0), (0.5, 0.19)]);
    assert_eq!(FloorPolygon::below(&sky, &by_hand()), None);
}

#[test]
fn corners_that_are_none_are_refused() {
    let refusal = |points: &[(f32, f32)]| {
        FloorPolygon::new(points.iter().map(|(x, y)| place(*x, *y)).collect()).expect_err("refused")
    };
    let shape = FloorPolygonError::Shape;
    assert_eq!(
        refusal(&[(0.0, 0.0), (1.0, 0.0)]),
        shape(PolygonError::TooFewPoints(2))
    );
    assert_eq!(
        refusal(&[(0.0, 0.0), (1.0, 0.0), (f32::NAN, 2.0)]),
        shape(PolygonError::NotFinite { point: 3 })
    );
    assert_eq!(
        refusal(&[(0.0, 0.0), (1.0, 0.0), (1.0, 1e9)]),
        FloorPolygonError::TooFar { point: 3 }
    );
    assert_eq!(
        refusal(&[(0.0, 0.0), (9.0, 9.0), (9.0, 0.0), (0.0, 9.0)]),
        shape(PolygonError::EdgesMeet {
            first: 1,
            first_end: 2,
            second: 3,
            second_end: 4
        })
    );
    let many: Vec<(f32, f32)> = (0..65_u8)
        .map(|n| (f32::from(n), f32::from(n).powi(2) / 9.0))
        .collect();
    assert_eq!(refusal(&many), FloorPolygonError::TooManyPoints(65));
}

/// A star around a place before the camera: any number of spikes, concave between them.
fn stars() -> impl Strategy<Value = Vec<(f64, f64)>> {
    prop::collection::vec((0.3..1.0_f64, 0.0..0.9_f64), 3..40)
}

fn star(centre: Point<Floor>, size: f64, spikes: &[(f64, f64)]) -> Option<FloorPolygon> {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a test"
    )]
    let points = spikes.iter().enumerate().map(|(index, (length, turn))| {
        let angle = (index as f64 + turn) / spikes.len() as f64 * std::f64::consts::TAU;
        place(
            centre.x + (size * length * angle.cos()) as f32,
            centre.y + (size * length * angle.sin()) as f32,
        )
    });
    FloorPolygon::new(points.collect()).ok()
}

/// The distance by brute force: straight to each edge in f64, with the even-odd rule by angles.
fn plain_distance(zone: &FloorPolygon, x: f64, y: f64) -> f64 {
    let corners: Vec<(f64, f64)> = zone
        .points()
        .iter()
        .map(|p| (f64::from(p.x) - x, f64::from(p.y) - y))
        .collect();
    let mut turned = 0.0;
    let mut least = f64::INFINITY;
    for (index, a) in corners.iter().enumerate() {
        let b = corners[(index + 1) % corners.len()];
        turned += (a.0 * b.1 - a.1 * b.0).atan2(a.0 * b.0 + a.1 * b.1);
        let (along, length) = ((b.0 - a.0, b.1 - a.1), (b.0 - a.0).hypot(b.1 - a.1));
        let share = -(a.0 * along.0 + a.1 * along.1) / (length * length);
        let share = share.clamp(0.0, 1.0);
        least = least.min((a.0 + share * along.0).hypot(a.1 + share * along.1));
    }
    if turned.abs() > 1.0 { 0.0 } else { least }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whoever stands within S of a floor zone and is seen stands in the polygon that is tested;
    /// whoever is clearly farther does not.
    #[test]
    fn the_picture_holds_everything_within_the_distance_and_little_more(
        (camera, points) in measured_cameras(),
        spikes in stars(),
        (size, by) in (0.2..3.0_f64, prop_oneof![Just(0.0_f32), 0.01..3.0_f32]),
        (middle_x, middle_y) in (0.1..0.9_f32, 0.5..1.0_f32),
        looks in prop::collection::vec((0.0..1.0_f32, 0.0..1.0_f32), 200),
        steps in prop::collection::vec((0.0..1.0_f64, 0.0..1.0_f64, 0_usize..40), 200),
    ) {
        let Ok(fit) = Homography::fit(&points, AxisOrder::YLeftOfX) else { return Ok(()) };
        let Some(centre) = camera.measured(middle_x, middle_y) else { return Ok(()) };
        let Some(zone) = star(centre.floor, size, &spikes) else { return Ok(()) };
        let ground = fit.homography;
        let projected = match zone.project(Metres(by), &ground) {
            Ok(projected) => projected,
            Err(
                ProjectionError::OutsideFrame
                | ProjectionError::Pieces(_)
                | ProjectionError::TooManyCorners(_),
            ) => return Ok(()),
            Err(error @ ProjectionError::NotSimple(_)) => {
                return Err(TestCaseError::fail(error.to_string()));
            }
        };
                // Places all over the picture, and places all around the outline.
        let seen = looks.iter().map(|(x, y)| Point::new(*x, *y));
        let around = steps.iter().filter_map(|(angle, share, corner)| {
            let corner = zone.points()[corner % zone.points().len()];
            let (sin, cos) = (angle * std::f64::consts::TAU).sin_cos();
            let away = (f64::from(by) + 0.01) * 1.2 * share;
            #[allow(clippy::cast_possible_truncation, reason = "a test")]
            ground.to_image(place(corner.x + (away * cos) as f32, corner.y + (away * sin) as f32))
        });
        for point in seen.chain(around) {
            if !(0.0..=1.0).contains(&point.x) || !(0.0..=1.0).contains(&point.y) {
                continue;
            }
            let floor = ground.floor_of(point);
            let Some([x, y]) = divide(floor) else {
                prop_assert!(!holds(&projected.image, point), "above the horizon");
                continue;
            };
            let distance = plain_distance(&zone, x, y);
            // What a step of the grid or an f32 of the picture is worth on the floor here.
            let step = |right: f32, down: f32| {
                let beside = ground.floor_of(Point::new(point.x + right, point.y + down));
                divide(beside).map_or(f64::INFINITY, |[a, b]| (a - x).hypot(b - y))
            };
            let worth = step(1e-4, 0.0).max(step(-1e-4, 0.0)).max(step(0.0, 1e-4)).max(step(0.0, -1e-4));
            let inside = holds(&projected.image, point);
            if distance <= f64::from(by) {
                prop_assert!(inside, "{distance} m, S = {by} m: {point:?} is outside");
            }
            if distance > 1.09 * f64::from(by) + 0.002 + 0.5 * worth {
                prop_assert!(!inside, "{distance} m, S = {by} m: {point:?} is inside");
            }
        }
    }

    /// Growing never takes anything away, whatever the zone and the coarseness of its arcs.
    #[test]
    fn a_grown_zone_holds_every_place_within_the_distance(
        spikes in stars(),
        by in 0.001..5.0_f32,
        corners in prop::sample::select(CIRCLE_CORNERS.to_vec()),
        places in prop::collection::vec((-8.0..8.0_f32, -8.0..8.0_f32), 200),
    ) {
        let Some(zone) = star(place(0.0, 0.0), 3.0, &spikes) else { return Ok(()) };
        let grown = zone.grown(Metres(by), corners);
        for (x, y) in places {
            let distance = plain_distance(&zone, f64::from(x), f64::from(y));
            let from_grown = grown.distance(place(x, y), place(x, y));
            if distance <= f64::from(by) {
                prop_assert_eq!(from_grown, Metres::ZERO, "{} m", distance);
            }
            let fine = zone.distance(place(x, y), place(x, y));
            prop_assert!((f64::from(fine.0) - distance).abs() < 1e-5);
        }
    }
}
