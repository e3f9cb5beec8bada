//! The floor in the picture: a [`Homography`] between the normalised frame and metres on the floor.
//!
//! A camera without much lens distortion maps a plane to its picture by a homography, which four
//! point pairs determine and more make better: the direct linear transform on normalised
//! coordinates (Hartley, "In defense of the eight-point algorithm", 1997; Hartley and Zisserman,
//! Multiple View Geometry, algorithm 4.2). What does not determine one, or not one that a camera
//! can have, is refused by the numbers of the points that are to blame.
//!
//! The floor ends at the *horizon*, a line of the picture. Points on it or beyond it have no place
//! on the floor, and places behind the camera have none in the picture: both answers are `None`.

use std::fmt;

use super::matrix::{Matrix, Symmetric9, Vector, apply, determinant, eigen, inverse, product};
use super::{Normalised, Point, Space};
use crate::units::Metres;

/// The floor, in metres from an origin and along two axes at right angles that whoever measured it
/// has chosen. Neither axis is "down".
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Floor;
impl Space for Floor {}

/// Most point pairs: more than anybody measures; the limit bounds the search for the best four.
pub const GROUND_POINTS_MAX: usize = 24;

/// Largest floor coordinate of a measured point or a zone's corner, metres either way.
pub const REACH_MAX_M: f32 = 1000.0;

/// Floor coordinates beyond this are as good as on the horizon, metres.
const HORIZON_M: f64 = 10_000.0;

/// Least height of the flattest triangle among four points, as a share of the greatest distance
/// between any two: below it the four lie nearly in a line or nearly on one another.
const FLATNESS_MIN: f64 = 0.02;

/// The same for points that are to judge another one. Flatter ones swing like a gate with whatever
/// their own marks miss: centimetres at the points become decimetres beside them.
const CHECK_FLATNESS_MIN: f64 = 0.15;

/// Least distance of the two points that lie farthest apart, as a share of the frame. Closer
/// together, a point set one pixel beside its mark turns the whole floor.
const SPREAD_MIN: f64 = 0.1;

/// A place on the floor that was measured, and where the picture shows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroundPoint {
    /// In the picture.
    pub image: Point<Normalised>,
    /// On the floor.
    pub floor: Point<Floor>,
}

/// Which of its two sides a point pair is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where the picture shows it.
    Picture,
    /// Where it is.
    Floor,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Picture => "in the picture",
            Self::Floor => "on the floor",
        })
    }
}

/// Why point pairs give no floor. Points are numbered from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroundError {
    /// Fewer than four.
    #[error("has {0} points; a floor needs at least 4, and a fifth to check them")]
    TooFewPoints(usize),
    /// More than [`GROUND_POINTS_MAX`].
    #[error("has {0} points; a floor may have at most {GROUND_POINTS_MAX}")]
    TooManyPoints(usize),
    /// A coordinate is NaN or infinite.
    #[error("point {point} has a coordinate that is not a finite number")]
    NotFinite {
        /// Number of the point.
        point: usize,
    },
    /// The picture does not show it.
    #[error(
        "point {point} lies outside the frame; image is a pair of shares of the frame's width and height, 0 to 1"
    )]
    OutsideFrame {
        /// Number of the point.
        point: usize,
    },
    /// Farther away than [`REACH_MAX_M`].
    #[error(
        "point {point} is too far away; floor is a pair of metres from -{REACH_MAX_M} to {REACH_MAX_M}"
    )]
    TooFar {
        /// Number of the point.
        point: usize,
    },
    /// Two points are the same.
    #[error("point {second} repeats point {first} {place}")]
    Repeated {
        /// Number of the point that comes first.
        first: usize,
        /// Number of the point that repeats it.
        second: usize,
        /// Where they are the same.
        place: Place,
    },
    /// There are no four points of which no three are in a line.
    #[error(
        "points {}, {} and {} lie in a line {place}, or too nearly; choose four points that make a wide quadrilateral",
        points[0], points[1], points[2]
    )]
    InLine {
        /// The three, in order.
        points: [usize; 3],
        /// Where they are in a line.
        place: Place,
    },
    /// The points cover next to nothing of the picture.
    #[error(
        "points {} and {} are the farthest apart and yet too close in the picture; spread the points over the floor that matters",
        points[0], points[1]
    )]
    TooClose {
        /// The two.
        points: [usize; 2],
    },
    /// No camera sees these points so: seen from it some are turned the other way round, and the
    /// horizon would pass between them.
    #[error(
        "{} cannot be seen together with the others by any camera: the horizon would pass between them; is a point exchanged with another, or one coordinate with the other?",
        List(points)
    )]
    AcrossHorizon {
        /// The points on the smaller side, in order.
        points: Vec<usize>,
    },
    /// The picture shows the plan from behind.
    #[error(
        "points {}, {} and {} turn to the {} in the picture and the other way on the floor: the plan is mirrored; are points exchanged, or is Y to the {} of X, seen from above?",
        points[0], points[1], points[2],
        if *to_the_right { "right" } else { "left" },
        match expected { AxisOrder::YLeftOfX => "right", AxisOrder::YRightOfX => "left" }
    )]
    Mirrored {
        /// Three of them, in order.
        points: [usize; 3],
        /// Whether the way from the first over the second to the third turns right in the picture.
        to_the_right: bool,
        /// How the axes were said to lie.
        expected: AxisOrder,
    },
    /// The points contradict one another so much that no map comes out at all.
    #[error("the points contradict one another; no floor fits them")]
    NoFit,
}

/// `point 3` or `points 1, 2 and 4`.
struct List<'a>(&'a [usize]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.len() == 1 { "point" } else { "points" })?;
        for (index, point) in self.0.iter().enumerate() {
            let joint = match index {
                0 => " ",
                _ if index + 1 == self.0.len() => " and ",
                _ => ", ",
            };
            write!(f, "{joint}{point}")?;
        }
        Ok(())
    }
}

/// How the floor's axes lie, seen from above. Only this tells a plan from its mirror image: with the
/// opposite corners of a square exchanged, four points still make a floor, but the wrong one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AxisOrder {
    /// Y is to the left of X, as on a drawing.
    #[default]
    YLeftOfX,
    /// Y is to the right of X.
    YRightOfX,
}

impl AxisOrder {
    /// Both.
    pub const ALL: [Self; 2] = [Self::YLeftOfX, Self::YRightOfX];

    /// The word in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::YLeftOfX => "y-left-of-x",
            Self::YRightOfX => "y-right-of-x",
        }
    }
}

/// How far a map misses one of its points.
///
/// A map bends towards each of its points, also towards a wrong one: with five points, an error of a
/// metre can leave residuals of ten centimetres. So each point is also held against the map that the
/// others make without it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Residual {
    /// From where the point was measured to where its picture lies on the floor; infinite where
    /// that has no place there.
    pub floor: Metres,
    /// The same in the picture, as a share of the frame.
    pub frame: f32,
    /// From where the point was measured to where the map of the other points puts it; infinite
    /// where they contradict one another altogether, `None` where they are too few or too nearly in
    /// lines to say.
    pub check: Option<Metres>,
}

impl Residual {
    /// The greater of the two distances on the floor.
    #[must_use]
    pub fn miss(self) -> Metres {
        let check = self.check.unwrap_or(Metres::ZERO);
        Metres(self.floor.0.max(check.0))
    }
}

/// A floor fitted to points.
#[derive(Clone, Debug, PartialEq)]
pub struct GroundFit {
    /// The map.
    pub homography: Homography,
    /// How far it misses each point, in their order. With four points always 0.
    pub residuals: Vec<Residual>,
    /// Index of the point without which the others agree best, where they are enough to disagree.
    suspect: Option<usize>,
}

impl GroundFit {
    /// The point that is the likeliest to be wrong among those that miss by more than `limit`,
    /// numbered from 1: the one without which the others agree best, where that says enough, and else
    /// the one that is missed by most. A wrong point pulls the map away from right ones, so these need
    /// not be the same.
    #[must_use]
    pub fn suspect(&self, limit: Metres) -> (usize, Residual) {
        self.suspect
            .and_then(|index| Some((index + 1, *self.residuals.get(index)?)))
            .filter(|(_, residual)| residual.miss().0 > limit.0)
            .unwrap_or_else(|| self.worst())
    }

    /// The point that is missed by most, numbered from 1.
    #[must_use]
    pub fn worst(&self) -> (usize, Residual) {
        let none = Residual {
            floor: Metres::ZERO,
            frame: 0.0,
            check: None,
        };
        (1..)
            .zip(self.residuals.iter().copied())
            .fold((1, none), |worst, next| {
                if next.1.miss().0 > worst.1.miss().0 {
                    next
                } else {
                    worst
                }
            })
    }
}

/// The map between the frame and the floor, both ways.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Homography {
    /// The third coordinate of the result is positive on the near side of the horizon.
    to_floor: Matrix,
    /// The third coordinate of the result is positive in front of the camera.
    to_image: Matrix,
}

impl Homography {
    /// Finds the map that fits the points, in the sense of least squares where they are more than
    /// four, and that sees the axes lie as they do.
    ///
    /// # Errors
    ///
    /// Says which rule the points break and which points do.
    pub fn fit(points: &[GroundPoint], axes: AxisOrder) -> Result<GroundFit, GroundError> {
        check_values(points)?;
        check_repeated(points)?;
        let homography = Self::determine(points, axes)?;
        let mut residuals = Vec::with_capacity(points.len());
        let mut best: Option<(f32, usize)> = None;
        for (index, point) in points.iter().enumerate() {
            let mut others = points.to_vec();
            others.remove(index);
            let without = Self::determine(&others, axes);
            // Four always agree with themselves.
            if let (5.., Ok(without)) = (others.len(), &without) {
                let misses = others.iter().map(|other| without.miss(*other).0);
                let most = misses.fold(0.0, f32::max);
                if best.is_none_or(|(least, _)| most < least) {
                    best = Some((most, index));
                }
            }
            let judges = others.len() >= 4
                && check_spread(&others).is_ok()
                && widest(&others).0 >= CHECK_FLATNESS_MIN;
            residuals.push(homography.residual(*point, judges.then_some(without)));
        }
        Ok(GroundFit {
            homography,
            residuals,
            suspect: best.map(|(_, index)| index),
        })
    }

    fn determine(points: &[GroundPoint], axes: AxisOrder) -> Result<Self, GroundError> {
        if points.len() < 4 {
            return Err(GroundError::TooFewPoints(points.len()));
        }
        check_spread(points)?;
        let to_floor = direct_linear_transform(points)?;
        let to_floor = face_the_points(to_floor, points)?;
        let homography = Self {
            to_floor,
            to_image: inverse(&to_floor).ok_or(GroundError::NoFit)?,
        };
        if homography.axis_order() == axes {
            Ok(homography)
        } else {
            Err(mirrored(points, axes))
        }
    }

    /// The place on the floor that the picture shows there; `None` at the horizon (10 km and
    /// beyond) and above it.
    #[must_use]
    pub fn to_floor(&self, point: Point<Normalised>) -> Option<Point<Floor>> {
        let place = divide(apply(&self.to_floor, homogeneous(point)))?;
        let near = place.iter().all(|value| value.abs() <= HORIZON_M);
        near.then(|| narrow(place))
    }

    /// Where the picture shows a place on the floor, also outside the frame; `None` behind the
    /// camera.
    #[must_use]
    pub fn to_image(&self, place: Point<Floor>) -> Option<Point<Normalised>> {
        let point = narrow(divide(self.image_of(place))?);
        point.is_finite().then_some(point)
    }

    fn axis_order(&self) -> AxisOrder {
        // The frame's own y is to the right of its x, and a camera above the floor mirrors nothing.
        if determinant(&self.to_floor) > 0.0 {
            AxisOrder::YRightOfX
        } else {
            AxisOrder::YLeftOfX
        }
    }

    /// In homogeneous coordinates of the frame; the third is positive in front of the camera.
    pub(super) fn image_of(&self, place: Point<Floor>) -> Vector {
        apply(&self.to_image, homogeneous(place))
    }

    /// In homogeneous coordinates of the floor; the third is positive on the near side of the
    /// horizon.
    pub(super) fn floor_of(&self, point: Point<Normalised>) -> Vector {
        apply(&self.to_floor, homogeneous(point))
    }

    fn miss(&self, point: GroundPoint) -> Metres {
        let place = self.to_floor(point.image);
        Metres(place.map_or(f32::INFINITY, |place| gap(place, point.floor)))
    }

    /// `others` is the map of the other points, where they are fit to judge this one.
    fn residual(&self, point: GroundPoint, others: Option<Result<Self, GroundError>>) -> Residual {
        let frame = self.to_image(point.floor);
        Residual {
            floor: self.miss(point),
            frame: frame.map_or(f32::INFINITY, |place| gap(place, point.image)),
            // They are apart and wide enough, so without a map they contradict one another.
            check: others
                .map(|others| others.map_or(Metres(f32::INFINITY), |others| others.miss(point))),
        }
    }
}

fn gap<S: Space>(a: Point<S>, b: Point<S>) -> f32 {
    (a.x - b.x).hypot(a.y - b.y)
}

pub(super) fn homogeneous<S: Space>(point: Point<S>) -> Vector {
    [f64::from(point.x), f64::from(point.y), 1.0]
}

/// The point a homogeneous vector stands for; `None` where its third coordinate is not positive.
pub(super) fn divide([x, y, w]: Vector) -> Option<[f64; 2]> {
    (w > 0.0).then_some([x / w, y / w])
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "rounding to the nearest f32 is what is wanted"
)]
pub(super) const fn narrow<S: Space>([x, y]: [f64; 2]) -> Point<S> {
    Point::new(x as f32, y as f32)
}

fn check_values(points: &[GroundPoint]) -> Result<(), GroundError> {
    if points.len() < 4 {
        return Err(GroundError::TooFewPoints(points.len()));
    }
    if points.len() > GROUND_POINTS_MAX {
        return Err(GroundError::TooManyPoints(points.len()));
    }
    for (point, pair) in (1..).zip(points) {
        let GroundPoint { image, floor } = *pair;
        if !image.is_finite() || !floor.is_finite() {
            return Err(GroundError::NotFinite { point });
        }
        if !(0.0..=1.0).contains(&image.x) || !(0.0..=1.0).contains(&image.y) {
            return Err(GroundError::OutsideFrame { point });
        }
        if floor.x.abs() > REACH_MAX_M || floor.y.abs() > REACH_MAX_M {
            return Err(GroundError::TooFar { point });
        }
    }
    Ok(())
}

fn check_repeated(points: &[GroundPoint]) -> Result<(), GroundError> {
    for (second, pair) in (1..).zip(points) {
        for (first, other) in (1..second).zip(points) {
            let place = if pair.image == other.image {
                Place::Picture
            } else if pair.floor == other.floor {
                Place::Floor
            } else {
                continue;
            };
            return Err(GroundError::Repeated {
                first,
                second,
                place,
            });
        }
    }
    Ok(())
}

/// Whether some four of the points make a quadrilateral wide enough to determine a map.
fn check_spread(points: &[GroundPoint]) -> Result<(), GroundError> {
    let image: Vec<[f64; 2]> = points.iter().map(|pair| wide(pair.image)).collect();
    let (spread, ends) = farthest(&image);
    if spread < SPREAD_MIN {
        return Err(GroundError::TooClose {
            points: ends.map(|index| index + 1),
        });
    }
    let (height, triangle, place) = widest(points);
    if height < FLATNESS_MIN {
        return Err(GroundError::InLine {
            points: triangle.map(|index| index + 1),
            place,
        });
    }
    Ok(())
}

/// Of the widest four of four or more points, the triangle that is the flattest in the picture or on
/// the floor, and its height as a share of the greatest distance between any two points there.
fn widest(points: &[GroundPoint]) -> (f64, [usize; 3], Place) {
    let image: Vec<[f64; 2]> = points.iter().map(|pair| wide(pair.image)).collect();
    let floor: Vec<[f64; 2]> = points.iter().map(|pair| wide(pair.floor)).collect();
    let sides = [
        (Place::Picture, &image, farthest(&image).0),
        (Place::Floor, &floor, farthest(&floor).0),
    ];
    let flattest = |[a, b, c, d]: [usize; 4]| {
        let triangles = [[a, b, c], [a, b, d], [a, c, d], [b, c, d]];
        let mut worst = (f64::INFINITY, triangles[0], Place::Picture);
        for (place, points, spread) in sides {
            for triangle in triangles {
                let height = height(triangle.map(|index| points[index])) / spread;
                if height < worst.0 {
                    worst = (height, triangle, place);
                }
            }
        }
        worst
    };
    let count = points.len();
    let mut best = flattest([0, 1, 2, 3]);
    for a in 0..count {
        for b in a + 1..count {
            for c in b + 1..count {
                for d in c + 1..count {
                    let next = flattest([a, b, c, d]);
                    if next.0 > best.0 {
                        best = next;
                    }
                }
            }
        }
    }
    best
}

fn wide<S: Space>(point: Point<S>) -> [f64; 2] {
    [f64::from(point.x), f64::from(point.y)]
}

fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// The greatest distance between two of the points, and which two.
fn farthest(points: &[[f64; 2]]) -> (f64, [usize; 2]) {
    let mut best = (0.0, [0, 1]);
    for (second, b) in points.iter().enumerate() {
        for (first, a) in points.iter().enumerate().take(second) {
            let distance = distance(*a, *b);
            if distance > best.0 {
                best = (distance, [first, second]);
            }
        }
    }
    best
}

/// Names the widest triangle of the picture.
fn mirrored(points: &[GroundPoint], expected: AxisOrder) -> GroundError {
    let mut widest = (0.0_f64, [0, 1, 2]);
    for a in 0..points.len() {
        for b in a + 1..points.len() {
            for c in b + 1..points.len() {
                let turn = doubled([a, b, c].map(|index| wide(points[index].image)));
                if turn.abs() > widest.0.abs() {
                    widest = (turn, [a, b, c]);
                }
            }
        }
    }
    let (turn, triangle) = widest;
    GroundError::Mirrored {
        points: triangle.map(|index| index + 1),
        // The picture's y runs downwards.
        to_the_right: turn > 0.0,
        expected,
    }
}

/// Twice the area of a triangle; positive where y is to the left of x and the corners turn left.
fn doubled([a, b, c]: [[f64; 2]; 3]) -> f64 {
    (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
}

/// The least height of a triangle: twice its area by its longest side.
fn height(corners: [[f64; 2]; 3]) -> f64 {
    let [a, b, c] = corners;
    let longest = distance(a, b).max(distance(b, c)).max(distance(c, a));
    doubled(corners).abs() / longest
}

/// The map to coordinates with their centre at the origin and at a mean distance of √2 from it.
fn normaliser(points: &[[f64; 2]]) -> Matrix {
    #[allow(clippy::cast_precision_loss, reason = "at most GROUND_POINTS_MAX")]
    let count = points.len() as f64;
    let mean = |axis: usize| points.iter().map(|point| point[axis]).sum::<f64>() / count;
    let centre = [mean(0), mean(1)];
    let size = points.iter().map(|p| distance(*p, centre)).sum::<f64>() / count;
    let scale = std::f64::consts::SQRT_2 / size;
    [
        [scale, 0.0, -scale * centre[0]],
        [0.0, scale, -scale * centre[1]],
        [0.0, 0.0, 1.0],
    ]
}

/// The matrix, up to a factor, that maps the picture to the floor with the least algebraic error.
fn direct_linear_transform(points: &[GroundPoint]) -> Result<Matrix, GroundError> {
    let image: Vec<[f64; 2]> = points.iter().map(|pair| wide(pair.image)).collect();
    let floor: Vec<[f64; 2]> = points.iter().map(|pair| wide(pair.floor)).collect();
    let (from, to) = (normaliser(&image), normaliser(&floor));
    let mut normal: Symmetric9 = [[0.0; 9]; 9];
    for (image, floor) in image.iter().zip(&floor) {
        let [x, y, one] = apply(&from, [image[0], image[1], 1.0]);
        let [to_x, to_y, _] = apply(&to, [floor[0], floor[1], 1.0]);
        let rows = [
            [x, y, one, 0.0, 0.0, 0.0, -to_x * x, -to_x * y, -to_x],
            [0.0, 0.0, 0.0, x, y, one, -to_y * x, -to_y * y, -to_y],
        ];
        for row in rows {
            for (line, a) in normal.iter_mut().zip(row) {
                for (sum, b) in line.iter_mut().zip(row) {
                    *sum += a * b;
                }
            }
        }
    }
    let pairs = eigen(normal);
    // Where two directions fit equally well, the points determine nothing.
    if pairs[1].0 <= 1e-12 * pairs[8].0 {
        return Err(GroundError::NoFit);
    }
    let h = pairs[0].1;
    let normalised: Matrix = [[h[0], h[1], h[2]], [h[3], h[4], h[5]], [h[6], h[7], h[8]]];
    let back = inverse(&to).ok_or(GroundError::NoFit)?;
    Ok(product(&product(&back, &normalised), &from))
}

/// Gives the matrix the sign by which its points lie before the horizon, all of them.
fn face_the_points(matrix: Matrix, points: &[GroundPoint]) -> Result<Matrix, GroundError> {
    let depths = points
        .iter()
        .map(|pair| apply(&matrix, homogeneous(pair.image))[2]);
    let depths: Vec<f64> = depths.collect();
    let most = depths
        .iter()
        .fold(0.0_f64, |most, depth| most.max(depth.abs()));
    let beyond = |sign: f64| -> Vec<usize> {
        (1..)
            .zip(&depths)
            .filter(|(_, depth)| **depth * sign <= 1e-9 * most)
            .map(|(number, _)| number)
            .collect()
    };
    let (plus, minus) = (beyond(1.0), beyond(-1.0));
    let (sign, wrong) = if plus.len() <= minus.len() {
        (1.0, plus)
    } else {
        (-1.0, minus)
    };
    if !wrong.is_empty() {
        return Err(GroundError::AcrossHorizon { points: wrong });
    }
    Ok(matrix.map(|row| row.map(|value| value * sign)))
}

#[cfg(test)]
#[path = "ground_tests.rs"]
mod tests;
