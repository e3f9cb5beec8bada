//! Simple polygons and the exact tests of the keepout zones.
//!
//! Polygon and rectangle are closed sets: their boundary belongs to them, so touching counts. No
//! test here has a tolerance. Every coordinate is an `f32`, comparisons of coordinates are exact,
//! and the one question that needs arithmetic, on which side of a line a point lies, is answered by
//! Shewchuk's adaptive predicate (crate `robust`), whose sign is exact for every finite `f32`: the
//! products of 24-bit numbers stay far from the limits of `f64` at which it would lose digits.
//!
//! [`Polygon::touches_rect`] visits each edge once and allocates nothing.

use super::{Normalised, Point, Rect, Space};

/// Most corners of a polygon. A zone is drawn by hand; the limit bounds the work per person.
pub const POLYGON_POINTS_MAX: usize = 256;

/// A simple polygon of the normalised frame: at least three corners inside 0..=1, no two alike, no
/// two edges that cross, touch or overlap, and therefore an area.
#[derive(Clone, Debug, PartialEq)]
pub struct Polygon {
    points: Vec<Point<Normalised>>,
}

/// Why a list of points is not a usable polygon. Points and edges are numbered from 1; edge `n`
/// runs from point `n` to the next one, the last edge back to point 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolygonError {
    /// Fewer than three points.
    #[error("has {0} points; a zone needs at least 3")]
    TooFewPoints(usize),
    /// More than [`POLYGON_POINTS_MAX`] points.
    #[error("has {0} points; a zone may have at most {POLYGON_POINTS_MAX}")]
    TooManyPoints(usize),
    /// A coordinate is NaN or infinite.
    #[error("point {point} is not a pair of finite numbers")]
    NotFinite {
        /// Number of the point.
        point: usize,
    },
    /// A coordinate lies outside the frame.
    #[error(
        "point {point} lies outside the frame; x and y are shares of the frame's width and height, 0 to 1"
    )]
    Outside {
        /// Number of the point.
        point: usize,
    },
    /// The last point repeats the first, as some tools write a closed line.
    #[error("point {last} repeats point 1; leave it out, a zone closes by itself")]
    ClosingPoint {
        /// Number of the last point.
        last: usize,
    },
    /// Two points are the same.
    #[error("point {second} repeats point {first}")]
    RepeatedPoint {
        /// Number of the point that comes first.
        first: usize,
        /// Number of the point that repeats it.
        second: usize,
    },
    /// The outline runs into a corner and straight back; all points in a line end here too.
    #[error("the outline folds back on itself at point {point}")]
    FoldsBack {
        /// Number of the corner.
        point: usize,
    },
    /// Two edges that are not neighbours share a point.
    #[error(
        "edge {first} (points {first}-{first_end}) and edge {second} (points {second}-{second_end}) cross or touch"
    )]
    EdgesMeet {
        /// Number of the edge that comes first.
        first: usize,
        /// Number of the point at which it ends.
        first_end: usize,
        /// Number of the other edge.
        second: usize,
        /// Number of the point at which that one ends.
        second_end: usize,
    },
}

impl Polygon {
    /// Takes corners in order, either way round; the outline closes by itself.
    ///
    /// Corners in the middle of a straight stretch are fine.
    ///
    /// # Errors
    ///
    /// Says which rule the points break and which points or edges do.
    pub fn new(points: Vec<Point<Normalised>>) -> Result<Self, PolygonError> {
        check_points(&points)?;
        check_corners(&points)?;
        check_edges(&points)?;
        Ok(Self { points })
    }

    /// The corners in order.
    #[must_use]
    pub fn points(&self) -> &[Point<Normalised>] {
        &self.points
    }

    /// Whether rectangle and polygon share at least one point: the anchor `whole-box`.
    ///
    /// True where edges cross or touch, where one lies wholly inside the other, and for a rectangle
    /// without width or height that lies in the polygon.
    #[must_use]
    pub fn touches_rect(&self, rect: Rect<Normalised>) -> bool {
        edges(&self.points).any(|(a, b)| edge_touches_rect(a, b, rect))
            || self.surrounds(Point::new(rect.left(), rect.top()))
    }

    /// Whether the rectangle's bottom edge, both its ends included, and the polygon share at least
    /// one point: the anchor `bottom-edge`.
    #[must_use]
    pub fn touches_bottom_edge(&self, rect: Rect<Normalised>) -> bool {
        Rect::new(rect.left(), rect.bottom(), rect.right(), rect.bottom())
            .is_none_or(|edge| self.touches_rect(edge))
    }

    /// Even-odd rule for a point that is on no edge: counts the edges that a ray to the right
    /// crosses. An edge owns its upper end and not its lower one, so that a corner level with the
    /// point counts once where the outline passes it and twice or never where it turns back.
    fn surrounds(&self, point: Point<Normalised>) -> bool {
        edges(&self.points).fold(false, |inside, (a, b)| {
            let (upper, lower) = if a.y <= b.y { (a, b) } else { (b, a) };
            let level = upper.y <= point.y && point.y < lower.y;
            // From the upper end to the lower one, points left of the edge have the positive side.
            inside ^ (level && side(upper, lower, point) > 0.0)
        })
    }
}

/// The edges in order, the closing one last.
pub(super) fn edges<S: Space>(points: &[Point<S>]) -> impl Iterator<Item = (Point<S>, Point<S>)> {
    let ends = points.iter().skip(1).chain(points.first());
    points.iter().copied().zip(ends.copied())
}

/// Sign of the side of the line from `a` to `b` on which `p` lies: 0 exactly on it. Only the sign
/// is meaningful.
pub(super) fn side<S: Space>(a: Point<S>, b: Point<S>, p: Point<S>) -> f64 {
    let coord = |p: Point<S>| robust::Coord {
        x: f64::from(p.x),
        y: f64::from(p.y),
    };
    robust::orient2d(coord(a), coord(b), coord(p))
}

/// Whether the segment from `a` to `b` and the rectangle share a point. Two convex sets are apart
/// exactly where a line perpendicular to an edge of one of them separates them: x, y and the
/// segment's normal are all the directions there are. A rectangle without width or height needs no
/// other: what remains in line with the segment is along x or y then, or a single point.
fn edge_touches_rect(a: Point<Normalised>, b: Point<Normalised>, rect: Rect<Normalised>) -> bool {
    if a.x.max(b.x) < rect.left()
        || a.x.min(b.x) > rect.right()
        || a.y.max(b.y) < rect.top()
        || a.y.min(b.y) > rect.bottom()
    {
        return false;
    }
    let sides = [
        (rect.left(), rect.top()),
        (rect.right(), rect.top()),
        (rect.right(), rect.bottom()),
        (rect.left(), rect.bottom()),
    ]
    .map(|(x, y)| side(a, b, Point::new(x, y)));
    !(sides.iter().all(|s| *s > 0.0) || sides.iter().all(|s| *s < 0.0))
}

fn check_points(points: &[Point<Normalised>]) -> Result<(), PolygonError> {
    let inside = |point: &Point<Normalised>| {
        (0.0..=1.0).contains(&point.x) && (0.0..=1.0).contains(&point.y)
    };
    check_list(points, inside)
}

/// Whether the points are the corners of a simple polygon, wherever in their space they lie.
pub(super) fn check_simple<S: Space>(points: &[Point<S>]) -> Result<(), PolygonError> {
    check_list(points, |_| true)?;
    check_corners(points)?;
    check_edges(points)
}

fn check_list<S: Space>(
    points: &[Point<S>],
    inside: impl Fn(&Point<S>) -> bool,
) -> Result<(), PolygonError> {
    if points.len() < 3 {
        return Err(PolygonError::TooFewPoints(points.len()));
    }
    if points.len() > POLYGON_POINTS_MAX {
        return Err(PolygonError::TooManyPoints(points.len()));
    }
    for (number, point) in (1..).zip(points) {
        if !point.is_finite() {
            return Err(PolygonError::NotFinite { point: number });
        }
        if !inside(point) {
            return Err(PolygonError::Outside { point: number });
        }
        let repeated = (1..)
            .zip(points)
            .take(number - 1)
            .find(|(_, p)| *p == point);
        if let Some((first, _)) = repeated {
            return Err(if first == 1 && number == points.len() {
                PolygonError::ClosingPoint { last: number }
            } else {
                PolygonError::RepeatedPoint {
                    first,
                    second: number,
                }
            });
        }
    }
    Ok(())
}

/// Neighbouring edges share their corner; they must share nothing else.
fn check_corners<S: Space>(points: &[Point<S>]) -> Result<(), PolygonError> {
    let before = points.iter().cycle().skip(points.len() - 1);
    let after = points.iter().cycle().skip(1);
    for (number, ((corner, before), after)) in (1..).zip(points.iter().zip(before).zip(after)) {
        #[allow(clippy::float_cmp, reason = "the predicate is exactly 0 on the line")]
        let in_line = side(*before, *corner, *after) == 0.0;
        // In line, both lie on the same side of the corner; they differ from it in x, or all three
        // have the same x and differ in y.
        let same_side = (before.x < corner.x && after.x < corner.x)
            || (before.x > corner.x && after.x > corner.x)
            || (before.y < corner.y && after.y < corner.y)
            || (before.y > corner.y && after.y > corner.y);
        if in_line && same_side {
            return Err(PolygonError::FoldsBack { point: number });
        }
    }
    Ok(())
}

/// Edges that are not neighbours must not share a point.
fn check_edges<S: Space>(points: &[Point<S>]) -> Result<(), PolygonError> {
    let count = points.len();
    for (first, edge) in (1..).zip(edges(points)) {
        for (second, other) in (1..).zip(edges(points)).skip(first + 1) {
            let neighbours = first == 1 && second == count;
            if !neighbours && segments_meet(edge, other) {
                return Err(PolygonError::EdgesMeet {
                    first,
                    first_end: first + 1,
                    second,
                    second_end: second % count + 1,
                });
            }
        }
    }
    Ok(())
}

type Segment<S> = (Point<S>, Point<S>);

/// Whether two segments share a point: the ends of each lie on both sides of the other or on it,
/// and their extents overlap, which decides where all four points are in line.
pub(super) fn segments_meet<S: Space>((a, b): Segment<S>, (c, d): Segment<S>) -> bool {
    let apart = |low: f32, high: f32, other_low: f32, other_high: f32| {
        low.max(high) < other_low.min(other_high) || low.min(high) > other_low.max(other_high)
    };
    let straddles = |(a, b): Segment<S>, p: Point<S>, q: Point<S>| {
        let (p, q) = (side(a, b, p), side(a, b, q));
        !((p > 0.0 && q > 0.0) || (p < 0.0 && q < 0.0))
    };
    !apart(a.x, b.x, c.x, d.x)
        && !apart(a.y, b.y, c.y, d.y)
        && straddles((a, b), c, d)
        && straddles((c, d), a, b)
}

#[cfg(test)]
#[path = "polygon_tests.rs"]
mod tests;
