//! The keys of `[ground]` in `keepout.toml`, and of zones drawn on the floor.
//!
//! A zone drawn on the floor becomes a polygon of the picture here, once, when the file is read: what
//! is drawn on the picture and tested afterwards is that polygon and nothing else.

use std::time::Duration;

use super::table::{Span, Table};
use crate::geometry::{
    AxisOrder, FLOOR_CORNERS_MAX, Floor, FloorPolygon, FloorPolygonError, GROUND_POINTS_MAX,
    GroundError, GroundFit, GroundPoint, Homography, Point, Polygon, PolygonError,
};
use crate::units::{Metres, Millimetres, MillimetresPerSecond, ZoneIndex};

/// The floor in the worker-safety picture, and the zones drawn on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ground {
    /// What was measured.
    pub points: Vec<GroundPoint>,
    /// How its axes lie.
    pub axes: AxisOrder,
    /// The map fitted to the points; none of them lies farther than `residual_max` from it, nor from
    /// where the others put it.
    pub fit: GroundFit,
    /// How far a point may lie from where the others put it.
    pub residual_max: Metres,
    /// The terms of the distance by which zones grow.
    pub approach: Approach,
    /// The zones drawn on the floor, in the order of [`super::Config::zones`].
    pub zones: Vec<FloorZone>,
}

impl Ground {
    /// The zone drawn on the floor with this index, where it is one.
    #[must_use]
    pub fn zone(&self, index: ZoneIndex) -> Option<&FloorZone> {
        self.zones.iter().find(|zone| zone.zone == index)
    }
}

/// Terms of ISO 13855's minimum distance S = K × T + C. The number they give belongs into the
/// integrator's risk assessment; it claims conformity with nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approach {
    /// K: how fast somebody walks towards the machine.
    pub speed: MillimetresPerSecond,
    /// T: from the first step into the zone until the machine stands still. Nobody but the
    /// integrator can know it, so it has no default.
    pub response_time: Option<Duration>,
    /// C: how far somebody gets in before being noticed.
    pub intrusion_depth: Millimetres,
}

impl Approach {
    /// K where the file says nothing: ISO 13855's speed of walking.
    pub const SPEED_DEFAULT: MillimetresPerSecond = MillimetresPerSecond(1600);

    /// S, rounded up to whole millimetres; `None` without a response time.
    #[must_use]
    pub fn minimum_distance(&self) -> Option<Millimetres> {
        let micros = u64::try_from(self.response_time?.as_micros()).ok()?;
        let way = u64::from(self.speed.0)
            .checked_mul(micros)?
            .div_ceil(1_000_000);
        let total = way.checked_add(u64::from(self.intrusion_depth.0))?;
        u32::try_from(total).ok().map(Millimetres)
    }
}

impl Default for Approach {
    fn default() -> Self {
        Self {
            speed: Self::SPEED_DEFAULT,
            response_time: None,
            intrusion_depth: Millimetres(0),
        }
    }
}

/// By how much a zone drawn on the floor is larger than drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// By nothing.
    AsDrawn,
    /// By the minimum distance S of [`Approach`].
    By(Millimetres),
}

impl Growth {
    /// As a length.
    #[must_use]
    pub fn distance(self) -> Metres {
        match self {
            Self::AsDrawn => Metres::ZERO,
            Self::By(distance) => distance.to_metres(),
        }
    }
}

/// A zone drawn on the floor.
#[derive(Clone, Debug, PartialEq)]
pub struct FloorZone {
    /// Which of [`super::Config::zones`], where its polygon of the picture is.
    pub zone: ZoneIndex,
    /// As it is drawn.
    pub drawn: FloorPolygon,
    /// By how much it grows.
    pub growth: Growth,
    /// With what it grows by; also where the picture does not show it.
    pub grown: FloorPolygon,
}

/// What `[ground]` came to.
#[derive(Debug)]
pub(super) enum Measured {
    /// There is none.
    Absent,
    /// It is wrong, which has been noted.
    Wrong,
    /// It is good.
    Good(Box<Ground>),
}

/// Most that `residual_max_m` may allow, metres.
const RESIDUAL_RANGE_M: std::ops::RangeInclusive<f64> = 0.001..=2.0;
/// Where the file says nothing: a hand's breadth, what a tape and a pointer on a picture leave.
const RESIDUAL_MAX: Metres = Metres(0.10);

/// Reads `[ground]`.
pub(super) fn read(top: &mut Table<'_>) -> Measured {
    let written = top.has("ground");
    let mut table = top.table("ground");
    if !written {
        return Measured::Absent;
    }
    let points = points(&mut table);
    let axes = table.choice("axes", &AxisOrder::ALL, AxisOrder::name);
    let axes = axes.unwrap_or_default();
    let residual_max = table.decimal("residual_max_m", RESIDUAL_RANGE_M, " metres");
    #[allow(clippy::cast_possible_truncation, reason = "0.001 to 2")]
    let residual_max = residual_max.map_or(RESIDUAL_MAX, |metres| Metres(metres as f32));
    let approach = approach(&mut table);
    let ground = points.and_then(|(points, spans)| {
        let fit = match Homography::fit(&points, axes) {
            Ok(fit) => fit,
            Err(error) => {
                let point = offending_point(&error).and_then(|number| spans.get(number - 1));
                let span = point.map_or_else(|| table.span_of("points"), Clone::clone);
                table.wrong_at(Some(span), &error.to_string(), None);
                return None;
            }
        };
        if fit.worst().1.miss().0 > residual_max.0 {
            let (number, suspect) = fit.suspect(residual_max);
            let message = format!(
                "point {number} lies {:.2} from where the other points put it, more than \
                 residual_max_m = {residual_max:.2}",
                suspect.miss(),
            );
            let missed: Vec<String> = (1..)
                .zip(&fit.residuals)
                .map(|(number, residual)| format!("point {number} {:.2}", residual.miss()))
                .collect();
            let help = format!(
                "measure it again, or the one that pulls the others away: {}",
                missed.join(", ")
            );
            let span = spans.get(number - 1).cloned();
            table.wrong_at(span, &message, Some(&help));
            return None;
        }
        Some(Ground {
            points,
            axes,
            fit,
            residual_max,
            approach: approach?,
            zones: Vec::new(),
        })
    });
    table.finish();
    ground.map_or(Measured::Wrong, |ground| Measured::Good(Box::new(ground)))
}

/// The terms; `None` where one of them is wrong, so that zones do not ask for it again.
fn approach(table: &mut Table<'_>) -> Option<Approach> {
    let default = Approach::default();
    let speed = table.integer("approach_speed_mm_s", 100..=10_000, " mm/s");
    let response = table.integer("response_time_ms", 1..=60_000, " milliseconds");
    let depth = table.integer("intrusion_depth_mm", 0..=5000, " millimetres");
    let written = [
        ("approach_speed_mm_s", speed.is_some()),
        ("response_time_ms", response.is_some()),
        ("intrusion_depth_mm", depth.is_some()),
    ];
    let wrong = |(key, read): (&str, bool)| table.has(key) && !read;
    (!written.into_iter().any(wrong)).then_some(Approach {
        speed: speed.map_or(default.speed, MillimetresPerSecond),
        response_time: response.map(|ms| Duration::from_millis(u64::from(ms))),
        intrusion_depth: depth.map_or(default.intrusion_depth, Millimetres),
    })
}

fn points(table: &mut Table<'_>) -> Option<(Vec<GroundPoint>, Vec<Span>)> {
    if !table.has("points") {
        table.missing(
            "points",
            "write points = [{ image = [x, y], floor = [X, Y] }, ...], image as shares of the \
             frame, floor in metres; at least 4",
        );
    }
    // Known to be there even where it is no list.
    let tables = table.tables("points");
    let count = tables.len();
    if count > GROUND_POINTS_MAX {
        let message = GroundError::TooManyPoints(count).to_string();
        table.wrong("points", &message);
        return None;
    }
    let mut points = Vec::new();
    let mut spans = Vec::new();
    for (number, mut point) in (1..).zip(tables) {
        point.rename(format!("ground: point {number}"));
        for key in ["image", "floor"] {
            if !point.has(key) {
                point.missing(key, "write { image = [x, y], floor = [X, Y] }");
            }
        }
        let (image, floor) = (point.pair("image"), point.pair("floor"));
        spans.push(point.span());
        point.finish();
        if let (Some(image), Some(floor)) = (image, floor) {
            points.push(GroundPoint {
                image: narrow(image),
                floor: narrow(floor),
            });
        }
    }
    // An entry that is no table has been noted and left out.
    (table.list_length("points") == Some(points.len())).then_some((points, spans))
}

/// Numbers too large for `f32`, and infinite ones, become so large that they are refused as too far.
#[allow(clippy::cast_possible_truncation, reason = "clamped; NaN stays NaN")]
fn narrow<S: crate::geometry::Space>((x, y): (f64, f64)) -> Point<S> {
    let clamped = |value: f64| value.clamp(-1e30, 1e30) as f32;
    Point::new(clamped(x), clamped(y))
}

/// The point to show, from 1; `None` where it is their number that is wrong.
fn offending_point(error: &GroundError) -> Option<usize> {
    match error {
        GroundError::TooFewPoints(_) | GroundError::TooManyPoints(_) | GroundError::NoFit => None,
        GroundError::NotFinite { point }
        | GroundError::OutsideFrame { point }
        | GroundError::TooFar { point } => Some(*point),
        GroundError::Repeated { second, .. } => Some(*second),
        GroundError::InLine { points, .. } | GroundError::Mirrored { points, .. } => {
            points.last().copied()
        }
        GroundError::TooClose { points } => points.last().copied(),
        GroundError::AcrossHorizon { points } => points.first().copied(),
    }
}

/// A zone's polygon of the picture, and what it is on the floor.
pub(super) struct Drawn {
    pub(super) polygon: Polygon,
    /// All but the index, which the list of zones gives.
    pub(super) floor: (FloorPolygon, Growth, FloorPolygon),
}

/// Reads `floor` and `grow` of a zone that has the first of them.
pub(super) fn zone(table: &mut Table<'_>, measured: &Measured) -> Option<Drawn> {
    let drawn = outline(table);
    let grow = table.boolean("grow").unwrap_or(false);
    let ground = match measured {
        Measured::Good(ground) => ground,
        Measured::Absent => {
            table.wrong_at(
                Some(table.span_of("floor")),
                "is drawn on the floor, and nothing says where the floor is in the picture",
                Some("write [ground] with its points, or draw the zone in the picture with points"),
            );
            return None;
        }
        Measured::Wrong => return None,
    };
    let growth = match (grow, ground.approach.minimum_distance()) {
        (false, _) => Growth::AsDrawn,
        (true, Some(distance)) => Growth::By(distance),
        (true, None) => {
            table.wrong_at(
                Some(table.span_of("grow")),
                "grows with the response time, and nothing says how long that is",
                Some(
                    "write response_time_ms under [ground]: from the first step into the zone \
                     until the machine stands still, all of it measured",
                ),
            );
            return None;
        }
    };
    let drawn = drawn?;
    match drawn.project(growth.distance(), &ground.fit.homography) {
        Ok(projected) => Some(Drawn {
            polygon: projected.image,
            floor: (drawn, growth, projected.floor),
        }),
        Err(error) => {
            table.wrong_at(Some(table.span_of("floor")), &error.to_string(), None);
            None
        }
    }
}

fn outline(table: &mut Table<'_>) -> Option<FloorPolygon> {
    let pairs = table.pairs("floor", FLOOR_CORNERS_MAX)?;
    let points: Vec<Point<Floor>> = pairs.iter().map(|(x, y, _)| narrow((*x, *y))).collect();
    let error = match FloorPolygon::new(points) {
        Ok(polygon) => return Some(polygon),
        Err(error) => error,
    };
    let point = match error {
        FloorPolygonError::TooManyPoints(_) => None,
        FloorPolygonError::TooFar { point } => Some(point),
        FloorPolygonError::Shape(error) => offending_corner(error),
    };
    let pair = point.and_then(|number| pairs.get(number - 1));
    let span = pair.map_or_else(|| table.span_of("floor"), |(_, _, span)| span.clone());
    table.wrong_at(Some(span), &error.to_string(), None);
    None
}

/// The corner of a polygon to show, from 1; `None` where it is their number that is wrong.
pub(super) const fn offending_corner(error: PolygonError) -> Option<usize> {
    match error {
        PolygonError::TooFewPoints(_) | PolygonError::TooManyPoints(_) => None,
        PolygonError::NotFinite { point }
        | PolygonError::Outside { point }
        | PolygonError::FoldsBack { point } => Some(point),
        PolygonError::ClosingPoint { last } => Some(last),
        PolygonError::RepeatedPoint { second, .. } | PolygonError::EdgesMeet { second, .. } => {
            Some(second)
        }
    }
}

#[cfg(test)]
#[path = "ground_tests.rs"]
mod tests;
