//! What `andon check-config` says of the floor and of the zones drawn on it.

use std::fmt::Write as _;

use crate::config::{Approach, Config, Ground, Growth, Zone};
use crate::geometry::{AxisOrder, Floor, FloorPolygon, Normalised, Point};
use crate::units::{Metres, ZoneIndex};

/// The floor with its residuals, and every zone drawn on it; nothing where none was measured.
pub(super) fn floor(config: &Config) -> String {
    let Some(ground) = &config.ground else {
        return String::new();
    };
    let mut text = measured(ground);
    for (index, zone) in (0..=u8::MAX).map(ZoneIndex).zip(&config.zones) {
        text.push_str(&on_floor(ground, index, zone));
    }
    if ground
        .zones
        .iter()
        .any(|zone| matches!(zone.growth, Growth::By(_)))
    {
        text.push_str(&terms(&ground.approach));
    }
    text
}

fn measured(ground: &Ground) -> String {
    let mut text = format!("\nfloor: {} points", ground.points.len());
    let (worst, residual) = ground.fit.worst();
    let checked = ground.fit.residuals.iter().any(|r| r.check.is_some());
    if checked {
        let _ = writeln!(
            text,
            ", the worst of them {:.3} from where the others put it (point {worst}; at most {:.3})",
            residual.miss(),
            ground.residual_max,
        );
    } else if ground.points.len() == 4 {
        text.push_str(". Four fit always, right or wrong: measure a fifth to check them\n");
    } else {
        text.push_str(
            ". They lie too nearly in lines to check one another: measure one more, off the lines\n",
        );
    }
    text.push_str(
        "  point  picture          floor, m           misses the fit         the others  1/1000 of the frame\n",
    );
    for (number, (point, residual)) in (1..).zip(ground.points.iter().zip(&ground.fit.residuals)) {
        let shown = |length: Option<Metres>| {
            length.map_or_else(|| "-".to_owned(), |length| format!("{length:.3}"))
        };
        let _ = writeln!(
            text,
            "  {number:>5}  {:.4}, {:.4}  {:>7.2}, {:>7.2}  {:>7} {:>5.2} % frame  {:>10}  {:>10}",
            point.image.x,
            point.image.y,
            point.floor.x,
            point.floor.y,
            shown(Some(residual.floor)),
            residual.frame * 100.0,
            shown(residual.check),
            shown(step(ground, point.image)),
        );
    }
    let axes = match ground.axes {
        AxisOrder::YLeftOfX => "left of X, as on a drawing",
        AxisOrder::YRightOfX => "right of X",
    };
    let _ = writeln!(text, "  seen from above, Y is to the {axes}");
    text
}

/// What a thousandth of the frame, the share a careful hand may miss a point by, is on the floor.
fn step(ground: &Ground, at: Point<Normalised>) -> Option<Metres> {
    const SHARE: f32 = 0.001;
    let from = ground.fit.homography.to_floor(at)?;
    let beside = [(SHARE, 0.0), (-SHARE, 0.0), (0.0, SHARE), (0.0, -SHARE)];
    let mut most = Metres::ZERO;
    for (right, down) in beside {
        let beside = Point::new(at.x + right, at.y + down);
        let to = ground.fit.homography.to_floor(beside)?;
        most = Metres(most.0.max((to.x - from.x).hypot(to.y - from.y)));
    }
    Some(most)
}

fn on_floor(ground: &Ground, index: ZoneIndex, zone: &Zone) -> String {
    let Some(floor) = ground.zone(index) else {
        return String::new();
    };
    let mut text = format!(
        "\nzone {} on the floor: {} as drawn",
        zone.name,
        floor.drawn.area()
    );
    if let Growth::By(distance) = floor.growth {
        let _ = write!(text, ", {} grown by S = {distance}", floor.grown.area());
    }
    let whole = floor.grown.area();
    match FloorPolygon::below(&zone.polygon, &ground.fit.homography).map(|seen| seen.area()) {
        Some(seen) if seen.0 < 0.99 * whole.0 => {
            let _ = writeln!(
                text,
                ";\n  ONLY {seen} of it is in the picture: nobody is seen in the rest"
            );
        }
        Some(_) => text.push_str(", all of it in the picture\n"),
        None => text.push('\n'),
    }
    let beyond = beyond_the_points(ground, &floor.grown);
    if beyond.0 > 1.0 {
        let _ = writeln!(
            text,
            "  it reaches {beyond} beyond the measured points, where the floor is less and less certain: \
             measure points around it"
        );
    }
    text
}

/// How far a zone reaches from what lies between the measured points.
fn beyond_the_points(ground: &Ground, zone: &FloorPolygon) -> Metres {
    let points: Vec<Point<Floor>> = ground.points.iter().map(|point| point.floor).collect();
    let Some(measured) = FloorPolygon::around(&points) else {
        return Metres::ZERO;
    };
    let reach = |corner: &Point<Floor>| measured.distance(*corner, *corner).0;
    Metres(zone.points().iter().map(reach).fold(0.0, f32::max))
}

fn terms(approach: &Approach) -> String {
    let Approach {
        speed,
        response_time,
        intrusion_depth,
    } = approach;
    let (Some(time), Some(distance)) = (response_time, approach.minimum_distance()) else {
        return String::new();
    };
    let origin = match speed.0.cmp(&Approach::SPEED_DEFAULT.0) {
        std::cmp::Ordering::Equal => "ISO 13855's speed of walking",
        std::cmp::Ordering::Less => "LESS than the 1600 mm/s of ISO 13855 for walking",
        std::cmp::Ordering::Greater => "more than the 1600 mm/s of ISO 13855 for walking",
    };
    let added = if intrusion_depth.0 == 0 {
        "nothing is added for how far somebody gets in unnoticed"
    } else {
        "added for how far somebody gets in unnoticed"
    };
    format!(
        "\nzones grow by S = K × T + C = {speed} × {} ms + {intrusion_depth} = {distance}\n  \
         K = {speed}  approach_speed_mm_s: {origin}\n  \
         T = {} ms  response_time_ms: as configured; from the first step into the zone until the machine stands still\n  \
         C = {intrusion_depth}  intrusion_depth_mm: {added}\n  \
         The terms are those of ISO 13855. S is a number for the integrator's risk assessment and claims no \
         conformity with that or any other standard.\n",
        time.as_millis(),
        time.as_millis(),
    )
}
