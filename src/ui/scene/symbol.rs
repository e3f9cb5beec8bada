//! Symbols that tell states apart without colour. Drawn as polygons, so that no font needs them.
//!
//! Each function fills a square box; coordinates run 0..=1 within it.

use std::f32::consts::{PI, TAU};

use super::build::Sketch;
use super::{Path, Rgba, Stroke};
use crate::geometry::{Point, Rect, ScreenPixels};

/// Which symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symbol {
    /// A triangle to the right: running.
    Run,
    /// An octagon with a bar, as on roads: stopped.
    Stop,
    /// An arrow in a circle: press reset.
    Reset,
    /// A triangle with an exclamation mark: attention.
    Attention,
    /// An hourglass: wait.
    Wait,
    /// A tick: good.
    Good,
    /// A cross: reject.
    Reject,
    /// A question mark: unsure.
    Unsure,
    /// Head and shoulders: a person nobody may recognise.
    Person,
}

/// Colours of a symbol: its body, and what is cut out of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inks {
    pub(super) body: Rgba,
    pub(super) detail: Rgba,
}

/// Whether a symbol lies below or above boxes and labels.
#[derive(Clone, Copy, Debug)]
pub(super) enum Layer {
    Shapes,
    Ink,
}

/// Draws `symbol` into the square `within`.
pub(super) fn draw(
    sketch: &mut Sketch,
    layer: Layer,
    symbol: Symbol,
    within: Rect<ScreenPixels>,
    inks: Inks,
) {
    let pen = Pen {
        layer,
        within,
        inks,
    };
    match symbol {
        Symbol::Run => pen.fill(
            sketch,
            &[(0.16, 0.06), (0.96, 0.5), (0.16, 0.94)],
            inks.body,
        ),
        Symbol::Stop => {
            pen.fill(sketch, &regular(8, 0.5, PI / 8.0), inks.body);
            pen.fill(
                sketch,
                &[(0.2, 0.41), (0.8, 0.41), (0.8, 0.59), (0.2, 0.59)],
                inks.detail,
            );
        }
        Symbol::Reset => pen.reset(sketch),
        Symbol::Attention => {
            pen.fill(sketch, &[(0.5, 0.03), (1.0, 0.94), (0.0, 0.94)], inks.body);
            pen.fill(
                sketch,
                &[(0.43, 0.34), (0.57, 0.34), (0.54, 0.67), (0.46, 0.67)],
                inks.detail,
            );
            pen.disc(sketch, (0.5, 0.79), 0.065, inks.detail);
        }
        Symbol::Wait => {
            pen.fill(sketch, &[(0.15, 0.05), (0.85, 0.05), (0.5, 0.5)], inks.body);
            pen.fill(sketch, &[(0.5, 0.5), (0.85, 0.95), (0.15, 0.95)], inks.body);
        }
        Symbol::Good => pen.line(sketch, &[(0.08, 0.55), (0.38, 0.85), (0.92, 0.18)]),
        Symbol::Reject => {
            pen.line(sketch, &[(0.14, 0.14), (0.86, 0.86)]);
            pen.line(sketch, &[(0.86, 0.14), (0.14, 0.86)]);
        }
        Symbol::Unsure => {
            pen.line(
                sketch,
                &[
                    (0.24, 0.28),
                    (0.38, 0.1),
                    (0.64, 0.1),
                    (0.77, 0.28),
                    (0.5, 0.5),
                    (0.5, 0.66),
                ],
            );
            pen.disc(sketch, (0.5, 0.88), 0.1, inks.body);
        }
        Symbol::Person => {
            pen.disc(sketch, (0.5, 0.25), 0.21, inks.body);
            let mut shoulders = arc((0.5, 0.92), 0.40, PI, TAU, 14);
            shoulders.extend([(0.9, 1.0), (0.1, 1.0)]);
            pen.fill(sketch, &shoulders, inks.body);
        }
    }
}

struct Pen {
    layer: Layer,
    within: Rect<ScreenPixels>,
    inks: Inks,
}

impl Pen {
    fn place(&self, points: &[(f32, f32)]) -> Vec<Point<ScreenPixels>> {
        let place = |&(x, y): &(f32, f32)| {
            Point::new(
                self.within.left() + x * self.within.width(),
                self.within.top() + y * self.within.height(),
            )
        };
        points.iter().map(place).collect()
    }

    fn fill(&self, sketch: &mut Sketch, points: &[(f32, f32)], color: Rgba) {
        self.add(sketch, points, Path::Closed, Some(color), None);
    }

    fn line(&self, sketch: &mut Sketch, points: &[(f32, f32)]) {
        self.stroke(sketch, points, 0.17);
    }

    fn stroke(&self, sketch: &mut Sketch, points: &[(f32, f32)], width: f32) {
        let stroke = Stroke {
            width: self.within.width() * width,
            color: self.inks.body,
        };
        self.add(sketch, points, Path::Open, None, Some(stroke));
    }

    fn add(
        &self,
        sketch: &mut Sketch,
        points: &[(f32, f32)],
        path: Path,
        fill: Option<Rgba>,
        stroke: Option<Stroke>,
    ) {
        let points = self.place(points);
        match self.layer {
            Layer::Shapes => sketch.shape(points, path, fill, stroke),
            Layer::Ink => sketch.polygon(points, path, fill, stroke),
        }
    }

    fn disc(&self, sketch: &mut Sketch, center: (f32, f32), radius: f32, color: Rgba) {
        self.fill(sketch, &arc(center, radius, 0.0, TAU, 20), color);
    }

    /// Most of a ring, clockwise, with a head.
    fn reset(&self, sketch: &mut Sketch) {
        let ring = arc((0.5, 0.54), 0.36, -0.22 * PI, 1.36 * PI, 28);
        self.stroke(sketch, &ring, 0.14);
        self.fill(
            sketch,
            &[(0.66, 0.19), (0.30, -0.05), (0.30, 0.43)],
            self.inks.body,
        );
    }
}

/// Points of a circle's arc; angles clockwise from the right, since y grows downwards.
fn arc(center: (f32, f32), radius: f32, from: f32, to: f32, steps: u16) -> Vec<(f32, f32)> {
    (0..=steps)
        .map(|step| {
            let angle = from + (to - from) * f32::from(step) / f32::from(steps);
            (
                center.0 + radius * angle.cos(),
                center.1 + radius * angle.sin(),
            )
        })
        .collect()
}

/// A regular polygon around the middle.
fn regular(corners: u16, radius: f32, turn: f32) -> Vec<(f32, f32)> {
    (0..corners)
        .map(|corner| {
            let angle = turn + TAU * f32::from(corner) / f32::from(corners);
            (0.5 + radius * angle.cos(), 0.5 + radius * angle.sin())
        })
        .collect()
}
