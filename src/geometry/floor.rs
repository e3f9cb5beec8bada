//! Zones drawn on the floor: grown, and turned into the polygon of the picture that is tested.
//!
//! Both steps err to the outside only. [`FloorPolygon::grown`] covers every place within the given
//! distance: arcs are polygons around the circle, never in it. [`FloorPolygon::to_image`] covers
//! everything of the zone that the frame shows: lines stay lines under a homography, so the corners
//! are all that has to be mapped, and what rounding could take away is added before as a margin.
//! Both put convex pieces together by an exact union on a grid of integers (crate `i_overlay`).
//! Holes are filled.

use i_overlay::core::fill_rule::FillRule;
use i_overlay::core::overlay::{Overlay, ShapeType};
use i_overlay::core::overlay_rule::OverlayRule;
use i_overlay::i_float::int::point::IntPoint;

use super::ground::{Floor, Homography, REACH_MAX_M, divide, narrow};
use super::matrix::Vector;
use super::polygon::{check_simple, edges, segments_meet};
use super::{POLYGON_POINTS_MAX, Point, Polygon, PolygonError, Space};
use crate::units::{Metres, SquareMetres};

/// Most corners of a zone drawn on the floor: growing and projecting add some, and the polygon of
/// the picture has a limit of its own.
pub const FLOOR_CORNERS_MAX: usize = 64;

/// Steps of the floor's grid per metre: 61 µm, and the farthest grown corner stays below 2^27.
const FLOOR_STEPS: f64 = 16_384.0;

/// Added to what a zone grows by, metres: far more than the floor's grid takes away.
const FLOOR_MARGIN_M: f64 = 0.001;

/// Steps of the picture's grid: each is exactly an `f32`, so that the polygon is what was united.
const FRAME_STEPS: f64 = 4_194_304.0;

/// Added around a zone in the picture, as a share of the frame: a hundredth of a pixel in a
/// thousand, and forty steps of the grid.
const FRAME_MARGIN: f64 = 1e-5;

/// Corners of a circle, tried in order until the zone fits into a polygon of the picture. A circle
/// of 64 corners is too large by 0.1 %, of 8 by 8 %.
const CIRCLE_CORNERS: [u8; 4] = [64, 32, 16, 8];

/// A simple polygon on the floor.
#[derive(Clone, Debug, PartialEq)]
pub struct FloorPolygon {
    points: Vec<Point<Floor>>,
}

/// Why a list of points is no zone on the floor. Points are numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FloorPolygonError {
    /// More than [`FLOOR_CORNERS_MAX`] corners.
    #[error("has {0} points; a zone on the floor may have at most {FLOOR_CORNERS_MAX}")]
    TooManyPoints(usize),
    /// Farther away than [`REACH_MAX_M`].
    #[error(
        "point {point} is too far away; X and Y are metres from -{REACH_MAX_M} to {REACH_MAX_M}"
    )]
    TooFar {
        /// Number of the point.
        point: usize,
    },
    /// The points are no simple polygon.
    #[error(transparent)]
    Shape(#[from] PolygonError),
}

/// Why a zone on the floor is no zone in the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProjectionError {
    /// The frame shows nothing of it.
    #[error("lies wholly outside the picture; nobody in it would be seen")]
    OutsideFrame,
    /// The frame cuts it into several pieces.
    #[error("falls into {0} pieces at the edge of the picture; draw each as a zone of its own")]
    Pieces(usize),
    /// It needs more corners than a polygon may have.
    #[error(
        "needs {0} corners in the picture, and {POLYGON_POINTS_MAX} is the most; draw it with fewer"
    )]
    TooManyCorners(usize),
    /// The outline touches itself in the picture.
    #[error("has no simple outline in the picture: {0}; draw it a little differently")]
    NotSimple(PolygonError),
}

/// A zone of the floor as it is tested.
#[derive(Clone, Debug, PartialEq)]
pub struct Projected {
    /// On the floor, grown; also where the frame does not show it.
    pub floor: FloorPolygon,
    /// In the picture: the part that the frame shows.
    pub image: Polygon,
}

impl FloorPolygon {
    /// Takes corners in order, either way round; the outline closes by itself.
    ///
    /// # Errors
    ///
    /// Says which rule the points break and which point does.
    pub fn new(points: Vec<Point<Floor>>) -> Result<Self, FloorPolygonError> {
        if points.len() > FLOOR_CORNERS_MAX {
            return Err(FloorPolygonError::TooManyPoints(points.len()));
        }
        let far = |p: &Point<Floor>| p.x.abs() > REACH_MAX_M || p.y.abs() > REACH_MAX_M;
        let far = |p: &Point<Floor>| p.is_finite() && far(p);
        if let Some((point, _)) = (1..).zip(&points).find(|(_, point)| far(point)) {
            return Err(FloorPolygonError::TooFar { point });
        }
        check_simple(&points)?;
        Ok(Self { points })
    }

    /// The floor below a polygon of the picture; `None` where that lies above the horizon. What
    /// lies so near the horizon that the floor there is far beyond the rest is left out, so this is
    /// for showing distances and for nothing else.
    #[must_use]
    pub fn below(polygon: &Polygon, ground: &Homography) -> Option<Self> {
        let outline: Vec<Vector> = polygon
            .points()
            .iter()
            .map(|p| ground.floor_of(*p))
            .collect();
        let nearest = outline.iter().fold(0.0_f64, |most, v| most.max(v[2]));
        let clipped = clip(outline, |v| v[2] - 1e-3 * nearest);
        let points: Vec<Point<Floor>> =
            clipped.into_iter().filter_map(divide).map(narrow).collect();
        let usable = nearest > 0.0 && points.len() >= 3 && points.iter().all(|p| p.is_finite());
        usable.then_some(Self { points })
    }

    /// The smallest convex outline around the places; `None` where it has no area.
    #[must_use]
    pub fn around(places: &[Point<Floor>]) -> Option<Self> {
        let points = hull(places.iter().map(|place| wide(*place)).collect());
        let points: Vec<Point<Floor>> = points.into_iter().map(narrow).collect();
        (points.len() >= 3).then_some(Self { points })
    }

    /// The corners in order.
    #[must_use]
    pub fn points(&self) -> &[Point<Floor>] {
        &self.points
    }

    /// The area.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "for showing; at most a few square kilometres"
    )]
    pub fn area(&self) -> SquareMetres {
        let points: Vec<[f64; 2]> = self.points.iter().map(|p| wide(*p)).collect();
        SquareMetres((doubled_area(&points).abs() / 2.0) as f32)
    }

    /// The least distance between the segment from `a` to `b` and the zone; 0 where they touch or
    /// overlap. Allocates nothing.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "metres on a floor as f32 are good to a millimetre at ten kilometres"
    )]
    pub fn distance(&self, a: Point<Floor>, b: Point<Floor>) -> Metres {
        let inside = edges(&self.points).fold(false, |inside, (from, to)| {
            inside ^ ray_crosses(wide(a), wide(from), wide(to))
        });
        if inside {
            return Metres::ZERO;
        }
        let mut least = f64::INFINITY;
        for (from, to) in edges(&self.points) {
            if segments_meet((from, to), (a, b)) {
                return Metres::ZERO;
            }
            // Segments that do not meet are nearest at an end of one of them.
            let (from, to, a, b) = (wide(from), wide(to), wide(a), wide(b));
            least = least
                .min(from_segment(a, from, to))
                .min(from_segment(b, from, to))
                .min(from_segment(from, a, b))
                .min(from_segment(to, a, b));
        }
        Metres(least as f32)
    }

    /// Grows the zone by `by` and turns it into a polygon of the picture, with as fine arcs as that
    /// may have.
    ///
    /// # Errors
    ///
    /// The picture shows nothing of it or more than one piece, or its outline is too rich.
    pub fn project(&self, by: Metres, ground: &Homography) -> Result<Projected, ProjectionError> {
        let mut outcome = Err(ProjectionError::OutsideFrame);
        for corners in CIRCLE_CORNERS {
            let floor = self.grown(by, corners);
            outcome = floor
                .to_image(ground)
                .map(|image| Projected { floor, image });
            if !matches!(outcome, Err(ProjectionError::TooManyCorners(_))) {
                break;
            }
        }
        outcome
    }

    /// Every place within `by` of the zone, and a little more: the circle around a corner becomes a
    /// polygon of `circle_corners` around that circle. Holes are filled.
    #[must_use]
    pub fn grown(&self, by: Metres, circle_corners: u8) -> Self {
        if by.0 <= 0.0 {
            return self.clone();
        }
        let step = std::f64::consts::TAU / f64::from(circle_corners);
        let radius = (f64::from(by.0) + FLOOR_MARGIN_M) / (step / 2.0).cos();
        let circle: Vec<[f64; 2]> = (0..circle_corners)
            .map(|corner| (f64::from(corner) * step).sin_cos())
            .map(|(sin, cos)| [radius * cos, radius * sin])
            .collect();
        let around = |centre: [f64; 2]| {
            circle
                .iter()
                .map(move |c| [centre[0] + c[0], centre[1] + c[1]])
        };
        let mut pieces = vec![self.points.iter().map(|p| wide(*p)).collect()];
        for (from, to) in edges(&self.points) {
            pieces.push(hull(around(wide(from)).chain(around(wide(to))).collect()));
        }
        // Everything hangs together, so there is one outline; the largest, should rounding ever
        // split off a crumb.
        let outline = unite(&pieces, FLOOR_STEPS)
            .into_iter()
            .max_by(|a, b| doubled_area(a).abs().total_cmp(&doubled_area(b).abs()));
        Self {
            points: outline
                .unwrap_or_default()
                .into_iter()
                .map(narrow)
                .collect(),
        }
    }

    /// The part of the zone that the frame shows, as the polygon that is tested.
    ///
    /// # Errors
    ///
    /// The picture shows nothing of it or more than one piece, or its outline is too rich.
    pub fn to_image(&self, ground: &Homography) -> Result<Polygon, ProjectionError> {
        let outline: Vec<Vector> = self.points.iter().map(|p| ground.image_of(*p)).collect();
        let mut pieces = vec![in_frame(outline.clone(), 0.0)];
        let ends = outline.iter().skip(1).chain(outline.first());
        for (from, to) in outline.iter().zip(ends) {
            // An edge that runs beside the frame within the margin shows in it.
            let edge = in_frame(vec![*from, *to], 2.0 * FRAME_MARGIN);
            let around = edge.iter().flat_map(|[x, y]| {
                [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]
                    .map(|(right, down)| [x + right * FRAME_MARGIN, y + down * FRAME_MARGIN])
            });
            let band = hull(around.collect());
            let band = band.into_iter().map(|[x, y]| [x, y, 1.0]).collect();
            pieces.push(in_frame(band, 0.0));
        }
        let mut outlines = unite(&pieces, FRAME_STEPS);
        let Some(outline) = outlines.pop() else {
            return Err(ProjectionError::OutsideFrame);
        };
        if !outlines.is_empty() {
            return Err(ProjectionError::Pieces(outlines.len() + 1));
        }
        Polygon::new(outline.into_iter().map(narrow).collect()).map_err(|error| match error {
            PolygonError::TooManyPoints(count) => ProjectionError::TooManyCorners(count),
            PolygonError::TooFewPoints(_)
            | PolygonError::NotFinite { .. }
            | PolygonError::Outside { .. }
            | PolygonError::ClosingPoint { .. }
            | PolygonError::RepeatedPoint { .. }
            | PolygonError::FoldsBack { .. }
            | PolygonError::EdgesMeet { .. } => ProjectionError::NotSimple(error),
        })
    }
}

fn wide<S: Space>(point: Point<S>) -> [f64; 2] {
    [f64::from(point.x), f64::from(point.y)]
}

fn doubled_area(points: &[[f64; 2]]) -> f64 {
    let ends = points.iter().skip(1).chain(points.first());
    points
        .iter()
        .zip(ends)
        .map(|(a, b)| a[0] * b[1] - a[1] * b[0])
        .sum()
}

/// Whether a ray from `p` along x crosses the edge; an edge owns its lower end and not its upper.
fn ray_crosses(p: [f64; 2], a: [f64; 2], b: [f64; 2]) -> bool {
    let level = (a[1] <= p[1]) != (b[1] <= p[1]);
    level && p[0] < a[0] + (p[1] - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
}

fn from_segment(p: [f64; 2], a: [f64; 2], b: [f64; 2]) -> f64 {
    let (along, to) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
    let length = along[0] * along[0] + along[1] * along[1];
    let share = if length > 0.0 {
        ((to[0] * along[0] + to[1] * along[1]) / length).clamp(0.0, 1.0)
    } else {
        0.0
    };
    (to[0] - share * along[0]).hypot(to[1] - share * along[1])
}

/// The part of an outline (or of a segment, given as its two ends) on the side where `side` is not
/// negative; `side` is linear (Sutherland and Hodgman, Reentrant polygon clipping, 1974). Where that
/// is more than one piece, bridges without width join them.
fn clip(outline: Vec<Vector>, side: impl Fn(&Vector) -> f64) -> Vec<Vector> {
    let mut kept = Vec::with_capacity(outline.len() + 2);
    let ends = outline.iter().skip(1).chain(outline.first());
    for (from, to) in outline.iter().zip(ends) {
        let (before, after) = (side(from), side(to));
        if before >= 0.0 {
            kept.push(*from);
        }
        if (before > 0.0 && after < 0.0) || (before < 0.0 && after > 0.0) {
            let share = before / (before - after);
            kept.push([0, 1, 2].map(|axis| from[axis] + share * (to[axis] - from[axis])));
        }
    }
    kept
}

/// The part of an outline in homogeneous coordinates that lies in the frame grown by `margin`, as
/// points of the frame. Between the frame's edges the third coordinate is positive of itself: what
/// is behind the camera falls away with what is beside the frame.
fn in_frame(outline: Vec<Vector>, margin: f64) -> Vec<[f64; 2]> {
    let outline = clip(outline, |[x, _, w]| x + margin * w);
    let outline = clip(outline, |[x, _, w]| (1.0 + margin) * w - x);
    let outline = clip(outline, |[_, y, w]| y + margin * w);
    let outline = clip(outline, |[_, y, w]| (1.0 + margin) * w - y);
    outline.into_iter().filter_map(divide).collect()
}

/// The smallest convex polygon around the points (Andrew's monotone chain).
fn hull(mut points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    points.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    points.dedup();
    let half = |points: &mut dyn Iterator<Item = &[f64; 2]>| {
        let mut chain: Vec<[f64; 2]> = Vec::new();
        for point in points {
            while let [.., a, b] = chain[..]
                && (b[0] - a[0]) * (point[1] - a[1]) <= (b[1] - a[1]) * (point[0] - a[0])
            {
                chain.pop();
            }
            chain.push(*point);
        }
        chain.pop();
        chain
    };
    let mut hull = half(&mut points.iter());
    hull.extend(half(&mut points.iter().rev()));
    hull
}

/// The outer outlines of the union of all pieces, on a grid of `steps` per unit.
fn unite(pieces: &[Vec<[f64; 2]>], steps: f64) -> Vec<Vec<[f64; 2]>> {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the constants of this file keep coordinates below 2^30; the cast saturates"
    )]
    let snap = |value: f64| (value * steps).round() as i32;
    let mut overlay = Overlay::<i32>::new(pieces.iter().map(Vec::len).sum());
    for piece in pieces.iter().filter(|piece| piece.len() >= 3) {
        let mut contour: Vec<IntPoint<i32>> = piece
            .iter()
            .map(|point| IntPoint::new(snap(point[0]), snap(point[1])))
            .collect();
        // All the same way round: pieces of opposite directions would cancel each other.
        if doubled_area(piece) < 0.0 {
            contour.reverse();
        }
        overlay.add_contour(&contour, ShapeType::Subject);
    }
    let shapes = overlay.overlay(OverlayRule::Subject, FillRule::NonZero);
    let outer = shapes
        .into_iter()
        .filter_map(|shape| shape.into_iter().next());
    outer
        .map(|contour| {
            let point =
                |point: IntPoint<i32>| [f64::from(point.x) / steps, f64::from(point.y) / steps];
            contour.into_iter().map(point).collect()
        })
        .collect()
}

#[cfg(test)]
#[path = "floor_tests.rs"]
mod tests;
