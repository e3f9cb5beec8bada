//! The map against a case worked out by hand and against pinhole cameras; what it refuses.

use proptest::prelude::*;

use super::super::test_camera::{Camera, measured_cameras};
use super::*;

fn pair((x, y): (f32, f32), (floor_x, floor_y): (f32, f32)) -> GroundPoint {
    GroundPoint {
        image: Point::new(x, y),
        floor: Point::new(floor_x, floor_y),
    }
}

/// x = 1/2 + X / 4(1 + Y), y = 1/5 + 4 / 5(1 + Y): the horizon is at y = 1/5.
fn by_hand() -> Vec<GroundPoint> {
    vec![
        pair((0.25, 1.0), (-1.0, 0.0)),
        pair((0.75, 1.0), (1.0, 0.0)),
        pair((0.625, 0.6), (1.0, 1.0)),
        pair((0.375, 0.6), (-1.0, 1.0)),
    ]
}

fn close<S: Space>(got: Option<Point<S>>, x: f32, y: f32) -> bool {
    got.is_some_and(|got| (got.x - x).abs() < 1e-5 && (got.y - y).abs() < 1e-5)
}

fn fit(points: &[GroundPoint]) -> Result<GroundFit, GroundError> {
    Homography::fit(points, AxisOrder::YLeftOfX)
}

fn refusal(points: &[GroundPoint]) -> GroundError {
    fit(points).expect_err("refused")
}

#[test]
fn a_case_worked_out_by_hand() {
    let fit = fit(&by_hand()).expect("a floor");
    let map = fit.homography;
    for (x, y, floor_x, floor_y) in [
        (0.5, 0.4, 0.0, 3.0),
        (0.625, 0.4, 2.0, 3.0),
        (0.5, 0.36, 0.0, 4.0),
        (0.0, 0.6, -4.0, 1.0),
    ] {
        assert!(close(map.to_floor(Point::new(x, y)), floor_x, floor_y));
        assert!(close(map.to_image(Point::new(floor_x, floor_y)), x, y));
    }
    assert!(
        fit.residuals
            .iter()
            .all(|r| r.floor.0 < 1e-5 && r.frame < 1e-5)
    );
}

#[test]
fn the_floor_ends_at_the_horizon_and_the_picture_at_the_camera() {
    let map = fit(&by_hand()).expect("a floor").homography;
    for y in [0.2, 0.199, 0.1, 0.0] {
        assert_eq!(map.to_floor(Point::new(0.5, y)), None, "{y}");
        assert_eq!(map.to_floor(Point::new(0.9, y)), None, "{y}");
    }
    assert!(map.to_floor(Point::new(0.5, 0.21)).is_some());
    // 1 + Y = 0 is the plane of the camera.
    assert_eq!(map.to_image(Point::new(0.0, -1.01)), None);
    assert_eq!(map.to_image(Point::new(3.0, -7.0)), None);
    assert!(map.to_image(Point::new(0.0, -0.9)).is_some());
}

#[test]
fn a_plan_with_its_y_axis_towards_the_camera_has_to_say_so() {
    let mut points = by_hand();
    for point in &mut points {
        point.floor = Point::new(point.floor.x, -point.floor.y);
    }
    let said = refusal(&points).to_string();
    let expected = "points 1, 2 and 3 turn to the left in the picture and the other way on the floor: the plan is mirrored; are points exchanged, or is Y to the right of X, seen from above?";
    assert_eq!(said, expected);
    let towards = Homography::fit(&points, AxisOrder::YRightOfX);
    let map = towards.expect("a floor").homography;
    assert!(close(map.to_floor(Point::new(0.5, 0.4)), 0.0, -3.0));
}

#[test]
fn too_few_and_too_many_points_are_refused() {
    assert_eq!(refusal(&[]), GroundError::TooFewPoints(0));
    assert_eq!(refusal(&by_hand()[..3]), GroundError::TooFewPoints(3));
    let many = vec![by_hand()[0]; GROUND_POINTS_MAX + 1];
    assert_eq!(refusal(&many), GroundError::TooManyPoints(25));
}

#[test]
fn values_that_are_no_places_are_refused_by_their_point() {
    let with = |change: &dyn Fn(&mut GroundPoint)| {
        let mut points = by_hand();
        change(&mut points[2]);
        refusal(&points)
    };
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let expected = GroundError::NotFinite { point: 3 };
        assert_eq!(with(&|p| p.image = Point::new(0.5, bad)), expected);
        assert_eq!(with(&|p| p.floor = Point::new(bad, 0.5)), expected);
    }
    for bad in [-0.001, 1.001, 640.0] {
        let expected = GroundError::OutsideFrame { point: 3 };
        assert_eq!(with(&|p| p.image = Point::new(0.5, bad)), expected);
    }
    for bad in [1000.1, -1e30] {
        let expected = GroundError::TooFar { point: 3 };
        assert_eq!(with(&|p| p.floor = Point::new(0.5, bad)), expected);
    }
}

#[test]
fn repeated_points_are_refused_by_both_numbers() {
    let mut points = by_hand();
    points[3].image = points[1].image;
    let repeated = |place| GroundError::Repeated {
        first: 2,
        second: 4,
        place,
    };
    assert_eq!(refusal(&points), repeated(Place::Picture));
    let mut points = by_hand();
    points[3].floor = points[1].floor;
    assert_eq!(refusal(&points), repeated(Place::Floor));
}

#[test]
fn three_of_four_in_a_line_are_refused_by_their_numbers() {
    let mut points = by_hand();
    points[2] = pair((0.5, 1.0), (0.0, 0.0));
    let expected = GroundError::InLine {
        points: [1, 2, 3],
        place: Place::Picture,
    };
    assert_eq!(refusal(&points), expected);
    let mut points = by_hand();
    points[2].floor = Point::new(0.0, 0.01);
    let expected = GroundError::InLine {
        points: [1, 2, 3],
        place: Place::Floor,
    };
    assert_eq!(refusal(&points), expected);
}

#[test]
fn all_but_one_in_a_line_are_refused_however_many_they_are() {
    let line = (0..6_u8).map(|n| {
        let x = f32::from(n) / 10.0;
        pair((0.2 + x, 0.9), (x * 4.0, 0.0))
    });
    let mut points: Vec<GroundPoint> = line.collect();
    points.push(pair((0.5, 0.5), (1.0, 2.0)));
    assert!(matches!(refusal(&points), GroundError::InLine { .. }));
    points.push(pair((0.7, 0.5), (3.0, 2.0)));
    assert!(!matches!(fit(&points), Err(GroundError::InLine { .. })));
}

#[test]
fn points_in_a_corner_of_the_picture_are_refused() {
    let shrunk = |p: &GroundPoint| GroundPoint {
        image: Point::new(p.image.x * 0.1, p.image.y * 0.1),
        floor: p.floor,
    };
    let points: Vec<GroundPoint> = by_hand().iter().map(shrunk).collect();
    assert!(matches!(refusal(&points), GroundError::TooClose { .. }));
}

#[test]
fn exchanged_points_put_the_horizon_between_them_and_are_refused() {
    for (one, other) in [(0, 1), (1, 2), (0, 2), (2, 3)] {
        let mut points = by_hand();
        (points[one].floor, points[other].floor) = (points[other].floor, points[one].floor);
        let error = refusal(&points);
        if (one, other) == (0, 2) {
            // Only the plan's handedness shows that opposite corners are exchanged.
            assert!(matches!(error, GroundError::Mirrored { .. }), "{error}");
        } else {
            let crossed =
                matches!(&error, GroundError::AcrossHorizon { points } if !points.is_empty());
            assert!(crossed, "{one} {other}: {error}");
        }
    }
}

#[test]
fn a_corner_pulled_inside_the_others_is_refused() {
    let mut points = by_hand();
    points[2].floor = Point::new(-0.3, 0.3);
    let error = refusal(&points);
    assert!(matches!(&error, GroundError::AcrossHorizon { points } if points.len() == 1));
    let text = error.to_string();
    assert!(text.starts_with("point "), "{text}");
}

#[test]
fn lists_of_points_read_well() {
    let text = |points: &[usize]| List(points).to_string();
    assert_eq!(text(&[3]), "point 3");
    assert_eq!(text(&[1, 2]), "points 1 and 2");
    assert_eq!(text(&[1, 2, 4]), "points 1, 2 and 4");
}

#[test]
fn a_point_measured_wrongly_shows_in_the_residuals() {
    let camera = Camera::new(4.0, 35.0, 20.0, 2.0, 0.8);
    let places = [
        (0.1, 0.5),
        (0.9, 0.5),
        (0.9, 0.95),
        (0.1, 0.95),
        (0.5, 0.7),
        (0.4, 0.55),
    ];
    let mut points: Vec<GroundPoint> = places
        .iter()
        .map(|(x, y)| camera.measured(*x, *y).expect("near"))
        .collect();
    let good = fit(&points).expect("a floor");
    assert!(good.worst().1.floor.0 < 0.001);
    points[4].floor = Point::new(points[4].floor.x + 0.5, points[4].floor.y);
    let bad = fit(&points).expect("a floor, if a bad one");
    let (suspect, residual) = bad.suspect(Metres(0.1));
    assert_eq!(suspect, 5);
    assert!(residual.floor.0 > 0.2 && residual.frame > 0.01, "{bad:?}");
    assert!(
        residual
            .check
            .is_some_and(|check| (check.0 - 0.5).abs() < 0.01),
        "{bad:?}"
    );
}

#[test]
fn a_wrong_fifth_point_cannot_hide_in_the_fit() {
    let mut points = by_hand();
    points.push(pair((0.5, 0.4), (0.0, 4.0)));
    let fit = fit(&points).expect("a floor, if a bad one");
    let (worst, residual) = fit.worst();
    assert!(residual.floor.0 < 0.1, "the fit bends towards it: {fit:?}");
    assert!((residual.miss().0 - 1.0).abs() < 1e-3, "{fit:?}");
    assert_eq!((worst, fit.suspect(Metres(0.1)).0), (5, 5));
}

#[test]
fn a_small_error_is_not_made_large_by_points_that_lie_nearly_in_a_line() {
    // Two centimetres beside where it is, and near the diagonal from 1 to 3.
    let points = [
        pair((0.25, 0.9), (0.0, 0.0)),
        pair((0.75, 0.9), (3.0, 0.0)),
        pair((0.65, 0.5), (3.0, 4.8)),
        pair((0.35, 0.5), (0.0, 4.8)),
        pair((0.58, 0.62), (2.16, 2.82)),
    ];
    let fit = fit(&points).expect("a floor");
    assert!(fit.worst().1.miss().0 < 0.05, "{fit:?}");
    assert!(fit.residuals[4].check.is_some(), "{fit:?}");
    assert_eq!(fit.residuals[3].check, None);
}

#[test]
fn four_points_check_nothing() {
    let fit = fit(&by_hand()).expect("a floor");
    assert!(
        fit.residuals
            .iter()
            .all(|residual| residual.check.is_none())
    );
}

proptest! {
    /// Whatever a camera shows of the floor is found again from four points of it, both ways.
    #[test]
    fn a_camera_is_found_again(
        (camera, points) in measured_cameras(),
        x in 0.0..1.0_f32,
        y in 0.0..1.0_f32,
    ) {
        let fit = match fit(&points) {
            Ok(fit) => fit,
            Err(GroundError::InLine { .. } | GroundError::TooClose { .. }) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        let point = Point::new(x, y);
        if let Some(place) = camera.floor(point).filter(|p| p.x.hypot(p.y) < 60.0) {
            let found = fit.homography.to_floor(point).expect("on the floor");
            let shown = camera.image(f64::from(place.x), f64::from(place.y)).expect("before it");
            prop_assert!(distance(wide(shown), wide(point)) < 1e-5, "the test's own camera");
            let near = 1e-3 + 1e-3 * f64::from(place.x.hypot(place.y));
            prop_assert!(distance(wide(found), wide(place)) < near, "{found:?} {place:?}");
            let back = fit.homography.to_image(found).expect("before the camera");
            prop_assert!(distance(wide(back), wide(point)) < 1e-4, "{back:?} {point:?}");
        } else if camera.floor(Point::new(x, (y + 0.02).min(1.0))).is_none() {
            // Clearly above the horizon.
            prop_assert_eq!(fit.homography.to_floor(point), None);
        }
    }

    /// One point that is far off is found among many that are not.
    #[test]
    fn the_wrong_point_is_named(
        (camera, mut points) in measured_cameras(),
        more in prop::collection::vec((0.05..0.95_f32, 0.55..0.95_f32), 4..8),
        wrong in any::<prop::sample::Index>(),
        (off_x, off_y) in (1.0..2.0_f32, -1.0..1.0_f32),
    ) {
        // Points in a heap count for one: against few others nobody can say which side is wrong.
        let apart = |a: &(f32, f32), b: &(f32, f32)| (a.0 - b.0).hypot(a.1 - b.1) > 0.06;
        let scattered = more
            .iter()
            .enumerate()
            .all(|(n, one)| more[n + 1..].iter().all(|other| apart(one, other)));
        prop_assume!(scattered);
        points.extend(more.iter().filter_map(|(x, y)| camera.measured(*x, *y)));
        prop_assume!(points.len() >= 7);
        let wrong = wrong.index(points.len());
        let place = points[wrong].floor;
        points[wrong].floor = Point::new(place.x + off_x, place.y + off_y);
        match fit(&points) {
            Ok(fit) => {
                // Where it is one of few that hold the others apart, nobody can say.
                if fit.residuals[wrong].check.is_some() {
                    prop_assert!(fit.worst().1.miss().0 > 0.9, "{fit:?}");
                    prop_assert_eq!(fit.suspect(Metres(0.1)).0, wrong + 1, "{:?}", fit);
                }
            }
            // So far off that the plan is none: refused as well.
            Err(
                GroundError::AcrossHorizon { .. }
                | GroundError::InLine { .. }
                | GroundError::Mirrored { .. },
            ) => {}
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
    }

    /// More points, each a millimetre or so off, make a map that misses none of them by much.
    #[test]
    fn many_points_are_averaged(
        (camera, mut points) in measured_cameras(),
        more in prop::collection::vec((0.05..0.95_f32, 0.55..0.95_f32), 4..12),
        noise in prop::collection::vec(-0.002..0.002_f32, 32),
    ) {
        points.extend(more.iter().filter_map(|(x, y)| camera.measured(*x, *y)));
        for (point, noise) in points.iter_mut().zip(noise.chunks_exact(2)) {
            point.floor = Point::new(point.floor.x + noise[0], point.floor.y + noise[1]);
        }
        if let Ok(fit) = fit(&points) {
            let farthest = points.iter().map(|p| p.floor.x.hypot(p.floor.y)).fold(1.0, f32::max);
            let worst = fit.residuals.iter().map(|r| r.floor.0).fold(0.0, f32::max);
            prop_assert!(worst < 0.02 * farthest, "{worst} at {farthest}");
        }
    }

    /// No list of pairs makes it panic, and what it accepts has every point on the floor.
    #[test]
    fn any_pairs_are_fitted_or_refused(
        pairs in prop::collection::vec((0.0..1.0_f32, 0.0..1.0_f32, -50.0..50.0_f32, -50.0..50.0_f32), 0..9),
    ) {
        let points: Vec<GroundPoint> =
            pairs.iter().map(|&(x, y, floor_x, floor_y)| pair((x, y), (floor_x, floor_y))).collect();
        if let Ok(fit) = fit(&points) {
            for point in &points {
                prop_assert!(fit.homography.floor_of(point.image)[2] > 0.0);
            }
        }
    }
}
