//! A pinhole camera over a floor, for tests: independent of the homography that is fitted to it.

use proptest::prelude::*;

use super::{Floor, GroundPoint, Normalised, Point};

/// A camera above the floor's plane, without lens distortion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Camera {
    /// Above the origin of the floor, metres.
    height: f64,
    right: [f64; 3],
    down: [f64; 3],
    forward: [f64; 3],
    /// Focal length in widths of the frame.
    focal: f64,
    /// Width by height of the frame.
    aspect: f64,
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

impl Camera {
    /// Angles in degrees: `pitch` below the horizontal, `yaw` from X towards Y, `roll` about the
    /// line of sight.
    pub(super) fn new(height: f64, pitch: f64, yaw: f64, roll: f64, focal: f64) -> Self {
        let (pitch, yaw, roll) = (pitch.to_radians(), yaw.to_radians(), roll.to_radians());
        let forward = [
            pitch.cos() * yaw.cos(),
            pitch.cos() * yaw.sin(),
            -pitch.sin(),
        ];
        let level = [yaw.sin(), -yaw.cos(), 0.0];
        let below = cross(forward, level);
        let turned = |a: [f64; 3], b: [f64; 3], angle: f64| {
            [0, 1, 2].map(|axis| angle.cos() * a[axis] + angle.sin() * b[axis])
        };
        let right = turned(level, below, roll);
        Self {
            height,
            right,
            down: cross(forward, right),
            forward,
            focal,
            aspect: 4.0 / 3.0,
        }
    }

    /// Where the picture shows a place; `None` behind the camera.
    #[allow(clippy::cast_possible_truncation, reason = "as the tested code has it")]
    pub(super) fn image(&self, x: f64, y: f64) -> Option<Point<Normalised>> {
        let ray = [x, y, -self.height];
        let depth = dot(ray, self.forward);
        let across = self.focal * dot(ray, self.right) / depth;
        let along = self.focal * self.aspect * dot(ray, self.down) / depth;
        (depth > 0.0).then(|| Point::new((0.5 + across) as f32, (0.5 + along) as f32))
    }

    /// The place that a point of the picture shows; `None` at the horizon and above.
    #[allow(clippy::cast_possible_truncation, reason = "as the tested code has it")]
    pub(super) fn floor(&self, point: Point<Normalised>) -> Option<Point<Floor>> {
        let across = (f64::from(point.x) - 0.5) / self.focal;
        let along = (f64::from(point.y) - 0.5) / (self.focal * self.aspect);
        let ray = [0, 1, 2]
            .map(|axis| self.forward[axis] + across * self.right[axis] + along * self.down[axis]);
        let scale = -self.height / ray[2];
        (ray[2] < 0.0).then(|| Point::new((scale * ray[0]) as f32, (scale * ray[1]) as f32))
    }

    /// The place a point of the picture shows, as a measured pair; `None` beyond 60 m.
    pub(super) fn measured(&self, x: f32, y: f32) -> Option<GroundPoint> {
        let image = Point::new(x, y);
        let floor = self.floor(image)?;
        (floor.x.hypot(floor.y) < 60.0).then_some(GroundPoint { image, floor })
    }

    /// A quadrilateral in the picture's lower half, somewhere in each of its quarters.
    pub(super) fn quadrilateral(&self, jitter: [f32; 8]) -> Option<Vec<GroundPoint>> {
        let corners = [(0.1, 0.55), (0.75, 0.55), (0.75, 0.85), (0.1, 0.85)];
        corners
            .iter()
            .zip(jitter.chunks_exact(2))
            .map(|((x, y), jitter)| self.measured(x + 0.15 * jitter[0], y + 0.15 * jitter[1]))
            .collect()
    }
}

/// Cameras as they hang in halls, together with four measured points.
pub(super) fn measured_cameras() -> impl Strategy<Value = (Camera, Vec<GroundPoint>)> {
    let pose = (
        2.0..8.0_f64,
        15.0..80.0_f64,
        0.0..360.0_f64,
        -10.0..10.0_f64,
        0.5..1.5_f64,
    );
    let jitter = prop::array::uniform8(0.0..1.0_f32);
    (pose, jitter).prop_filter_map(
        "a corner lies too far away",
        |((height, pitch, yaw, roll, focal), jitter)| {
            let camera = Camera::new(height, pitch, yaw, roll, focal);
            Some((camera, camera.quadrilateral(jitter)?))
        },
    )
}
