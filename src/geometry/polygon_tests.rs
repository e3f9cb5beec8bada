//! The polygon tests against hand-made cases and against an exact integer implementation that
//! shares no method with the tested one: edges are clipped to the rectangle by fractions of their
//! length, and containment casts its ray downwards.

use proptest::prelude::*;

use super::*;

fn polygon(points: &[(f32, f32)]) -> Polygon {
    try_polygon(points).expect("a valid polygon")
}

fn try_polygon(points: &[(f32, f32)]) -> Result<Polygon, PolygonError> {
    Polygon::new(points.iter().map(|(x, y)| Point::new(*x, *y)).collect())
}

fn rect(left: f32, top: f32, right: f32, bottom: f32) -> Rect<Normalised> {
    Rect::new(left, top, right, bottom).expect("corners in order")
}

// The original demo's mistakes.

#[test]
fn a_thin_polygon_between_the_two_bottom_corners_is_touched() {
    let post = polygon(&[(0.49, 0.7), (0.51, 0.7), (0.51, 0.9), (0.49, 0.9)]);
    let person = rect(0.3, 0.2, 0.7, 0.8);
    assert!(post.touches_bottom_edge(person));
    assert!(post.touches_rect(person));
}

#[test]
fn a_polygon_wholly_inside_the_box_is_touched_in_whole_box_mode() {
    let zone = polygon(&[(0.45, 0.45), (0.55, 0.45), (0.5, 0.55)]);
    let person = rect(0.3, 0.2, 0.7, 0.8);
    assert!(zone.touches_rect(person));
    assert!(!zone.touches_bottom_edge(person));
}

#[test]
fn a_vertex_level_with_the_bottom_is_not_counted_twice() {
    // The ray to the right from the person's feet passes through a corner where the outline goes
    // on downwards (0.8, 0.5) and one where it turns back (0.6, 0.5).
    let zone = polygon(&[(0.7, 0.2), (0.8, 0.5), (0.7, 0.8), (0.6, 0.5)]);
    for bottom in [0.2, 0.5, 0.8] {
        assert!(
            !zone.touches_bottom_edge(rect(0.1, 0.1, 0.3, bottom)),
            "{bottom}"
        );
        assert!(!zone.touches_rect(rect(0.1, 0.1, 0.3, bottom)), "{bottom}");
    }
    let notched = polygon(&[(0.5, 0.1), (0.9, 0.1), (0.9, 0.9), (0.5, 0.9), (0.7, 0.5)]);
    assert!(!notched.touches_rect(rect(0.5, 0.5, 0.6, 0.5)));
    assert!(notched.touches_rect(rect(0.75, 0.5, 0.8, 0.5)));
}

// Touching and containment.

#[test]
fn touching_counts_and_a_hair_beside_does_not() {
    let zone = polygon(&[(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)]);
    let before = 0.25_f32.next_down();
    let after = 0.75_f32.next_up();
    for (person, touches) in [
        (rect(0.1, 0.1, 0.25, 0.5), true),
        (rect(0.1, 0.1, before, 0.5), false),
        (rect(0.75, 0.1, 0.9, 0.5), true),
        (rect(after, 0.1, 0.9, 0.5), false),
        (rect(0.3, 0.1, 0.6, 0.25), true),
        (rect(0.3, 0.1, 0.6, before), false),
        (rect(0.3, 0.1, 0.6, 0.75), true),
        (rect(0.3, 0.1, 0.6, after), false),
        (rect(0.1, 0.1, 0.25, 0.25), true),
        (rect(0.0, 0.1, 1.0, 0.5), true),
        (rect(0.4, 0.4, 0.4, 0.4), true),
        (rect(0.25, 0.25, 0.25, 0.25), true),
        (rect(0.1, 0.25, 0.2, 0.25), false),
    ] {
        assert_eq!(zone.touches_bottom_edge(person), touches, "{person:?}");
    }
    assert!(zone.touches_rect(rect(0.3, 0.1, 0.6, after)));
    assert!(zone.touches_rect(rect(0.0, 0.0, 1.0, 1.0)));
    assert!(zone.touches_rect(rect(0.4, 0.4, 0.5, 0.5)));
    assert!(!zone.touches_rect(rect(0.3, after, 0.6, 0.9)));
}

#[test]
fn a_box_in_the_notch_of_a_polygon_does_not_touch_it() {
    let horseshoe = polygon(&[
        (0.1, 0.1),
        (0.9, 0.1),
        (0.9, 0.9),
        (0.7, 0.9),
        (0.7, 0.3),
        (0.3, 0.3),
        (0.3, 0.9),
        (0.1, 0.9),
    ]);
    assert!(!horseshoe.touches_rect(rect(0.4, 0.4, 0.6, 0.95)));
    assert!(horseshoe.touches_rect(rect(0.4, 0.2, 0.6, 0.95)));
    assert!(!horseshoe.touches_bottom_edge(rect(0.4, 0.2, 0.6, 0.95)));
    assert!(horseshoe.touches_bottom_edge(rect(0.2, 0.2, 0.6, 0.8)));
}

#[test]
fn a_hair_thin_polygon_is_not_missed() {
    let x = 0.5_f32;
    let wire = polygon(&[(x, 0.2), (x.next_up(), 0.2), (x.next_up(), 0.8), (x, 0.8)]);
    assert!(wire.touches_bottom_edge(rect(0.3, 0.1, 0.7, 0.5)));
    assert!(!wire.touches_bottom_edge(rect(0.3, 0.1, x.next_down(), 0.5)));
}

// What is no polygon.

/// Points, why they are refused, and the words for it.
type Refusal<'a> = (&'a [(f32, f32)], PolygonError, &'a str);

#[test]
fn points_that_are_no_polygon_are_named() {
    let cases: [Refusal<'_>; 12] = [
        (
            &[],
            PolygonError::TooFewPoints(0),
            "has 0 points; a zone needs at least 3",
        ),
        (
            &[(0.1, 0.1), (0.2, 0.2)],
            PolygonError::TooFewPoints(2),
            "has 2 points; a zone needs at least 3",
        ),
        (
            &[(0.1, 0.1), (0.2, f32::NAN), (0.3, 0.1)],
            PolygonError::NotFinite { point: 2 },
            "point 2 is not a pair of finite numbers",
        ),
        (
            &[(0.1, 0.1), (0.2, 0.2), (f32::INFINITY, 0.1)],
            PolygonError::NotFinite { point: 3 },
            "point 3 is not a pair of finite numbers",
        ),
        (
            &[(0.1, -0.001), (0.2, 0.2), (0.3, 0.1)],
            PolygonError::Outside { point: 1 },
            "point 1 lies outside the frame; x and y are shares of the frame's width and height, 0 to 1",
        ),
        (
            &[(0.1, 0.1), (1.0_f32.next_up(), 0.2), (0.3, 0.1)],
            PolygonError::Outside { point: 2 },
            "point 2 lies outside the frame; x and y are shares of the frame's width and height, 0 to 1",
        ),
        (
            &[(0.1, 0.1), (0.2, 0.2), (0.3, 0.1), (0.1, 0.1)],
            PolygonError::ClosingPoint { last: 4 },
            "point 4 repeats point 1; leave it out, a zone closes by itself",
        ),
        (
            &[(0.1, 0.1), (0.2, 0.2), (0.2, 0.2), (0.1, 0.3)],
            PolygonError::RepeatedPoint {
                first: 2,
                second: 3,
            },
            "point 3 repeats point 2",
        ),
        (
            &[(0.125, 0.125), (0.25, 0.25), (0.5, 0.5)],
            PolygonError::FoldsBack { point: 1 },
            "the outline folds back on itself at point 1",
        ),
        (
            &[(0.125, 0.5), (0.5, 0.5), (0.25, 0.5), (0.25, 0.75)],
            PolygonError::FoldsBack { point: 2 },
            "the outline folds back on itself at point 2",
        ),
        (
            &[(0.1, 0.1), (0.9, 0.9), (0.9, 0.1), (0.1, 0.9)],
            PolygonError::EdgesMeet {
                first: 1,
                first_end: 2,
                second: 3,
                second_end: 4,
            },
            "edge 1 (points 1-2) and edge 3 (points 3-4) cross or touch",
        ),
        (
            &[
                (0.25, 0.25),
                (0.75, 0.25),
                (0.75, 0.75),
                (0.5, 0.25),
                (0.25, 0.75),
            ],
            PolygonError::EdgesMeet {
                first: 1,
                first_end: 2,
                second: 3,
                second_end: 4,
            },
            "edge 1 (points 1-2) and edge 3 (points 3-4) cross or touch",
        ),
    ];
    for (points, error, text) in cases {
        assert_eq!(try_polygon(points), Err(error), "{points:?}");
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn the_last_edge_is_named_with_point_1_as_its_end() {
    let arrow = try_polygon(&[(0.1, 0.1), (0.5, 0.1), (0.2, 0.05), (0.3, 0.9), (0.4, 0.05)]);
    let text = arrow.expect_err("edges cross").to_string();
    assert_eq!(
        text,
        "edge 1 (points 1-2) and edge 3 (points 3-4) cross or touch"
    );
    let last = try_polygon(&[(0.1, 0.5), (0.1, 0.1), (0.9, 0.1), (0.3, 0.2), (0.3, 0.05)]);
    let text = last.expect_err("edges cross").to_string();
    assert_eq!(
        text,
        "edge 2 (points 2-3) and edge 4 (points 4-5) cross or touch"
    );
    let closing = try_polygon(&[(0.1, 0.9), (0.1, 0.1), (0.9, 0.1), (0.9, 0.5), (0.05, 0.2)]);
    let text = closing.expect_err("edges cross").to_string();
    assert_eq!(
        text,
        "edge 1 (points 1-2) and edge 4 (points 4-5) cross or touch"
    );
    let closing = try_polygon(&[(0.5, 0.9), (0.1, 0.5), (0.9, 0.5), (0.9, 0.1), (0.5, 0.1)]);
    let text = closing.expect_err("edges cross").to_string();
    assert_eq!(
        text,
        "edge 2 (points 2-3) and edge 5 (points 5-1) cross or touch"
    );
}

#[test]
fn corners_on_a_straight_stretch_and_either_direction_are_fine() {
    let mut points = vec![
        (0.25, 0.25),
        (0.5, 0.25),
        (0.75, 0.25),
        (0.75, 0.75),
        (0.25, 0.75),
    ];
    assert!(try_polygon(&points).is_ok());
    points.reverse();
    assert!(try_polygon(&points).is_ok());
    assert!(try_polygon(&[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]).is_ok());
}

#[test]
fn too_many_points_are_refused_before_any_work() {
    let circle = |count: u16| -> Vec<(f32, f32)> {
        (0..count)
            .map(|i| f32::from(i) / f32::from(count) * std::f32::consts::TAU)
            .map(|angle| (0.5 + 0.4 * angle.cos(), 0.5 + 0.4 * angle.sin()))
            .collect()
    };
    assert!(try_polygon(&circle(256)).is_ok());
    assert_eq!(
        try_polygon(&circle(257)),
        Err(PolygonError::TooManyPoints(257))
    );
}

// The integer implementation.

type Lattice = (i128, i128);

fn cross(a: Lattice, b: Lattice, p: Lattice) -> i128 {
    (b.0 - a.0) * (p.1 - a.1) - (b.1 - a.1) * (p.0 - a.0)
}

fn lattice_edges(points: &[Lattice]) -> Vec<(Lattice, Lattice)> {
    (0..points.len())
        .map(|i| (points[i], points[(i + 1) % points.len()]))
        .collect()
}

/// Liang-Barsky: the share of the edge inside the rectangle, as exact fractions.
fn clipped_edge_remains(
    (a, b): (Lattice, Lattice),
    (l, t, r, bottom): (i128, i128, i128, i128),
) -> bool {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let (mut enter, mut leave) = ((0_i128, 1_i128), (1_i128, 1_i128));
    for (p, q) in [
        (-dx, a.0 - l),
        (dx, r - a.0),
        (-dy, a.1 - t),
        (dy, bottom - a.1),
    ] {
        if p == 0 {
            if q < 0 {
                return false;
            }
        } else if p < 0 {
            let at = (-q, -p);
            if at.0 * enter.1 > enter.0 * at.1 {
                enter = at;
            }
        } else if q * leave.1 < leave.0 * p {
            leave = (q, p);
        }
    }
    enter.0 * leave.1 <= leave.0 * enter.1
}

/// Ray downwards; on an edge counts as inside.
fn lattice_contains(points: &[Lattice], p: Lattice) -> bool {
    let mut inside = false;
    for (a, b) in lattice_edges(points) {
        let within = a.0.min(b.0) <= p.0
            && p.0 <= a.0.max(b.0)
            && a.1.min(b.1) <= p.1
            && p.1 <= a.1.max(b.1);
        if within && cross(a, b, p) == 0 {
            return true;
        }
        if (a.0 > p.0) != (b.0 > p.0) {
            // y of the edge at p.x, times its width, against p.y times its width.
            let width = b.0 - a.0;
            let y = a.1 * width + (p.0 - a.0) * (b.1 - a.1);
            inside ^= if width > 0 {
                y > p.1 * width
            } else {
                y < p.1 * width
            };
        }
    }
    inside
}

fn lattice_touches(points: &[Lattice], rect: (i128, i128, i128, i128)) -> bool {
    lattice_edges(points)
        .into_iter()
        .any(|edge| clipped_edge_remains(edge, rect))
        || lattice_contains(points, (rect.2, rect.3))
}

/// Whether the outline is simple, by solving for the meeting point of each pair of edges.
fn lattice_simple(points: &[Lattice]) -> bool {
    let edges = lattice_edges(points);
    for (i, &(a, b)) in edges.iter().enumerate() {
        if a == b {
            return false;
        }
        for (j, &(c, d)) in edges.iter().enumerate().skip(i + 1) {
            let (r, s) = ((b.0 - a.0, b.1 - a.1), (d.0 - c.0, d.1 - c.1));
            let (det, qp) = (r.0 * s.1 - r.1 * s.0, (c.0 - a.0, c.1 - a.1));
            let shared = usize::from(b == c) + usize::from(d == a);
            let neighbours = j == i + 1 || (i == 0 && j == edges.len() - 1);
            if det == 0 {
                if qp.0 * r.1 - qp.1 * r.0 != 0 {
                    continue;
                }
                let project = |p: Lattice| (p.0 - a.0) * r.0 + (p.1 - a.1) * r.1;
                let (low, high) = (project(c).min(project(d)), project(c).max(project(d)));
                let (start, end) = (low.max(0), high.min(project(b)));
                if start < end || (start == end && !neighbours) {
                    return false;
                }
            } else {
                let (t, u) = (qp.0 * s.1 - qp.1 * s.0, qp.0 * r.1 - qp.1 * r.0);
                let sign = det.signum();
                let on = |v: i128| v * sign >= 0 && v * sign <= det * sign;
                if on(t) && on(u) && !(neighbours && shared == 1) {
                    return false;
                }
            }
        }
    }
    true
}

#[allow(
    clippy::cast_precision_loss,
    reason = "lattice coordinates have at most 24 bits"
)]
fn from_lattice(points: &[Lattice], scale: f32) -> Vec<Point<Normalised>> {
    points
        .iter()
        .map(|p| Point::new(p.0 as f32 / scale, p.1 as f32 / scale))
        .collect()
}

#[allow(
    clippy::cast_precision_loss,
    reason = "lattice coordinates have at most 24 bits"
)]
fn rect_from_lattice((l, t, r, b): (i128, i128, i128, i128), scale: f32) -> Rect<Normalised> {
    rect(
        l as f32 / scale,
        t as f32 / scale,
        r as f32 / scale,
        b as f32 / scale,
    )
}

fn compare(
    points: &[Lattice],
    (x0, y0, x1, y1): (i128, i128, i128, i128),
    scale: f32,
) -> Result<(), TestCaseError> {
    let Ok(polygon) = Polygon::new(from_lattice(points, scale)) else {
        prop_assert!(!lattice_simple(points), "refused: {points:?}");
        return Ok(());
    };
    prop_assert!(lattice_simple(points), "accepted: {points:?}");
    let whole = (x0.min(x1), y0.min(y1), x0.max(x1), y0.max(y1));
    let bottom = (whole.0, whole.3, whole.2, whole.3);
    let person = rect_from_lattice(whole, scale);
    prop_assert_eq!(
        polygon.touches_rect(person),
        lattice_touches(points, whole),
        "{:?} {:?}",
        points,
        whole
    );
    prop_assert_eq!(
        polygon.touches_bottom_edge(person),
        lattice_touches(points, bottom),
        "{:?} {:?}",
        points,
        whole
    );
    Ok(())
}

/// Corners around a centre in the order of their angle: mostly simple, often not convex.
fn star() -> impl Strategy<Value = Vec<Lattice>> {
    prop::collection::vec((-30_i128..=30, -30_i128..=30), 3..12).prop_map(|mut points| {
        // The centre itself has no angle.
        points.retain(|p| *p != (0, 0));
        points.sort_by(|a, b| {
            let half = |p: &Lattice| p.1 < 0 || (p.1 == 0 && p.0 < 0);
            half(a).cmp(&half(b)).then((b.0 * a.1).cmp(&(a.0 * b.1)))
        });
        points.iter().map(|p| (p.0 + 32, p.1 + 32)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn any_few_points_of_a_coarse_grid_agree_with_integers(
        points in prop::collection::vec((0_i128..=8, 0_i128..=8), 3..7),
        corners in (0_i128..=8, 0_i128..=8, 0_i128..=8, 0_i128..=8),
    ) {
        compare(&points, corners, 8.0)?;
    }

    #[test]
    fn star_shaped_polygons_agree_with_integers(
        points in star(),
        corners in (0_i128..=64, 0_i128..=64, 0_i128..=64, 0_i128..=64),
    ) {
        compare(&points, corners, 64.0)?;
    }

    /// A box without size within one unit of the last place of a long edge: naive arithmetic guesses.
    #[test]
    fn points_a_hair_beside_an_edge_agree_with_integers(
        start in (0_i128..1 << 22, 0_i128..1 << 22),
        step in (1_i128..4096, 1_i128..4096),
        at in 1_i128..999,
        hair in (-1_i128..=1, -1_i128..=1),
        third in (0_i128..=1 << 24, 0_i128..=1 << 24),
        size in (0_i128..3, 0_i128..3),
    ) {
        let along = |k: i128| (start.0 + k * step.0, start.1 + k * step.1);
        let points = [start, along(1000), third];
        let corner = (along(at).0 + hair.0, along(at).1 + hair.1);
        compare(&points, (corner.0, corner.1, corner.0 + size.0, corner.1 + size.1), 16_777_216.0)?;
    }

    /// Coordinates of very different size: naive `f64` arithmetic rounds the small ones away.
    #[test]
    fn tiny_coordinates_beside_large_ones_agree_with_integers(
        start in (0_i128..512, 0_i128..512),
        end in (1_i128 << 20..1 << 24, 1_i128 << 20..1 << 24),
        third in (0_i128..1 << 24, 0_i128..1 << 24),
        diagonal in any::<bool>(),
    ) {
        let end = if diagonal { (end.0 << 38, end.0 << 38) } else { (end.0 << 38, end.1 << 38) };
        let points = [start, end, (third.0 << 38, third.1 << 38)];
        let middle = (end.0 / 2, end.1 / 2);
        compare(&points, (middle.0, middle.1, middle.0, middle.1), 2.0_f32.powi(62))?;
    }

    /// Brute force: where any point of a fine grid lies in both, they touch.
    #[test]
    fn a_grid_point_in_both_means_touching(
        points in star(),
        corners in (0_i128..=64, 0_i128..=64, 0_i128..=64, 0_i128..=64),
    ) {
        let Ok(polygon) = Polygon::new(from_lattice(&points, 64.0)) else { return Ok(()) };
        let (l, r) = (corners.0.min(corners.2), corners.0.max(corners.2));
        let (t, b) = (corners.1.min(corners.3), corners.1.max(corners.3));
        let found = (t..=b).any(|y| (l..=r).any(|x| lattice_contains(&points, (x, y))));
        if found {
            prop_assert!(polygon.touches_rect(rect_from_lattice((l, t, r, b), 64.0)));
        }
        if (l..=r).any(|x| lattice_contains(&points, (x, b))) {
            prop_assert!(polygon.touches_bottom_edge(rect_from_lattice((l, t, r, b), 64.0)));
        }
    }

    #[test]
    fn no_coordinates_make_it_panic(
        points in prop::collection::vec((any::<f32>(), any::<f32>()), 0..6),
        corners in (any::<f32>(), any::<f32>(), any::<f32>(), any::<f32>()),
    ) {
        let unit = |v: f32| if v.is_finite() { v.abs() % 1.0 } else { v };
        let points = points.iter().map(|(x, y)| Point::new(unit(*x), unit(*y))).collect();
        if let (Ok(polygon), Some(person)) = (
            Polygon::new(points),
            Rect::new(corners.0, corners.1, corners.2, corners.3),
        ) {
            // The edge is part of the box.
            prop_assert!(!polygon.touches_bottom_edge(person) || polygon.touches_rect(person));
        }
    }
}

#[test]
fn these_tests_would_catch_naive_arithmetic() {
    // The edge starts a hair beside the diagonal, so the diagonal's middle is not on it. Computed
    // in `f64` without care the hair is rounded away.
    let hair = 2.0_f32.powi(-60);
    let (a, b, p) = ((hair, 0.0), (0.75, 0.75), (0.375, 0.375));
    let wide = |v: f32| f64::from(v);
    let naive = (wide(b.0) - wide(a.0)) * (wide(p.1) - wide(a.1))
        - (wide(b.1) - wide(a.1)) * (wide(p.0) - wide(a.0));
    assert!(naive.abs() < f64::MIN_POSITIVE, "{naive}");
    let middle = rect(p.0, p.1, p.0, p.1);
    assert!(!polygon(&[a, b, (0.75, 0.0)]).touches_rect(middle));
    assert!(polygon(&[a, b, (0.0, 0.75)]).touches_rect(middle));
}
