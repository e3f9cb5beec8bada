//! Lines, polygons and text with femtovg on the same framebuffer.

use std::ffi::c_void;

use femtovg::renderer::OpenGl;
use femtovg::{Baseline, Canvas, Color, FontId, LineCap, LineJoin, Paint};

use super::Target;
use crate::geometry::{Point, ScreenPixels};
use crate::ui::UiError;
use crate::ui::scene::{Align, Path, Rgba, Stroke, Weight, font_file};

pub(super) struct VectorPainter {
    canvas: Canvas<OpenGl>,
    /// What femtovg draws into. It deletes the framebuffer object it was given before when it is given
    /// another, so it is told only when there really is another.
    target: Option<Target>,
    regular: FontId,
    bold: FontId,
}

impl VectorPainter {
    pub(super) fn new(function: impl FnMut(&str) -> *const c_void) -> Result<Self, UiError> {
        let failed = |operation| move |source| UiError::Vector { operation, source };
        // SAFETY: the loader belongs to the context current on this thread.
        let renderer = unsafe { OpenGl::new_from_function(function) };
        let renderer = renderer.map_err(failed("compiling femtovg's shaders"))?;
        let mut canvas = Canvas::new(renderer).map_err(failed("creating femtovg's canvas"))?;
        let mut font = |weight| {
            canvas
                .add_font_mem(font_file(weight))
                .map_err(failed("loading the built-in font"))
        };
        let (regular, bold) = (font(Weight::Regular)?, font(Weight::Bold)?);
        Ok(Self {
            canvas,
            target: None,
            regular,
            bold,
        })
    }

    pub(super) fn begin(&mut self, target: Target) {
        if self.target.map(|target| target.framebuffer) != Some(target.framebuffer) {
            self.canvas
                .renderer_mut()
                .set_screen_target(target.framebuffer);
        }
        self.target = Some(target);
        self.canvas
            .set_size(target.size.width, target.size.height, 1.0);
    }

    pub(super) fn flush(&mut self) {
        self.canvas.flush_to_output(());
    }

    pub(super) fn polygon(
        &mut self,
        points: &[Point<ScreenPixels>],
        path: Path,
        fill: Option<Rgba>,
        stroke: Option<Stroke>,
    ) {
        let mut outline = femtovg::Path::new();
        for (index, point) in points.iter().enumerate() {
            if index == 0 {
                outline.move_to(point.x, point.y);
            } else {
                outline.line_to(point.x, point.y);
            }
        }
        if path == Path::Closed {
            outline.close();
        }
        self.paint(&outline, fill, stroke);
    }

    fn paint(&mut self, outline: &femtovg::Path, fill: Option<Rgba>, stroke: Option<Stroke>) {
        if let Some(fill) = fill {
            self.canvas.fill_path(outline, &Paint::color(color(fill)));
        }
        if let Some(stroke) = stroke {
            let paint = Paint::color(color(stroke.color))
                .with_line_width(stroke.width)
                .with_line_join(LineJoin::Round)
                .with_line_cap(LineCap::Round)
                // The stencil keeps a translucent line from darkening where it crosses itself; ours do
                // not, and it doubles the cost on a software renderer.
                .with_stencil_strokes(false);
            self.canvas.stroke_path(outline, &paint);
        }
    }

    pub(super) fn text(
        &mut self,
        at: Point<ScreenPixels>,
        text: &str,
        size: f32,
        weight: Weight,
        align: Align,
        ink: Rgba,
    ) -> Result<(), UiError> {
        let font = match weight {
            Weight::Regular => self.regular,
            Weight::Bold => self.bold,
        };
        let align = match align {
            Align::Left => femtovg::Align::Left,
            Align::Right => femtovg::Align::Right,
            Align::Center => femtovg::Align::Center,
        };
        let paint = Paint::color(color(ink))
            .with_font(&[font])
            .with_font_size(size)
            .with_text_align(align)
            .with_text_baseline(Baseline::Alphabetic);
        self.canvas
            .fill_text(at.x, at.y, text, &paint)
            .map(|_| ())
            .map_err(|source| UiError::Vector {
                operation: "drawing text",
                source,
            })
    }
}

fn color(color: Rgba) -> Color {
    Color::rgba(color.r, color.g, color.b, color.a)
}
