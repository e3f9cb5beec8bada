//! Draws a scene: blocks and masks by clearing, frames by a shader, everything else as vectors.

use std::ffi::c_void;
use std::rc::Rc;

use glow::HasContext;

use super::offscreen::gl_size;
use super::vector::VectorPainter;
use super::video::VideoPainter;
use crate::frame::Frame;
use crate::geometry::{Rect, ScreenPixels, Size};
use crate::ui::UiError;
use crate::ui::scene::{Command, Rgba, Scene};

/// A framebuffer to draw into; it has colour and stencil.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The framebuffer object; `None` is the context's own surface.
    pub framebuffer: Option<glow::Framebuffer>,
    /// In pixels.
    pub size: Size,
}

/// Draws scenes on the context that was current when it was made.
pub struct Renderer {
    gl: Rc<glow::Context>,
    videos: VideoPainter,
    vectors: VectorPainter,
    device: String,
}

impl std::fmt::Debug for Renderer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renderer")
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

/// What drew last: changing between the two costs a flush.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pen {
    Ground,
    Vector,
}

impl Renderer {
    /// Compiles shaders and loads fonts. `function` gives the address of a GL function of the context
    /// current on this thread, which stays current as long as the renderer lives.
    ///
    /// # Errors
    ///
    /// The driver does not compile a shader or has no memory.
    pub fn new(mut function: impl FnMut(&str) -> *const c_void) -> Result<Self, UiError> {
        // SAFETY: the caller's loader belongs to the context current on this thread.
        let gl = Rc::new(unsafe { glow::Context::from_loader_function(&mut function) });
        // SAFETY: a query of the current context.
        let (name, version) = unsafe {
            (
                gl.get_parameter_string(glow::RENDERER),
                gl.get_parameter_string(glow::VERSION),
            )
        };
        let videos = VideoPainter::new(&gl)?;
        let vectors = VectorPainter::new(function)?;
        Ok(Self {
            gl,
            videos,
            vectors,
            device: format!("{name}, {version}"),
        })
    }

    /// Name of the device and version of OpenGL ES.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The GL functions of the renderer's context.
    #[must_use]
    pub const fn gl(&self) -> &Rc<glow::Context> {
        &self.gl
    }

    /// Draws `scene` into `target`, with the frames of the streams, by
    /// [`crate::units::StreamId::index`]. Does not wait for the driver to finish.
    ///
    /// # Errors
    ///
    /// The driver reports an error; the picture may then be incomplete.
    pub fn render(
        &mut self,
        scene: &Scene,
        frames: [Option<&Frame>; 2],
        target: Target,
    ) -> Result<(), UiError> {
        let too_large = || UiError::Framebuffer {
            size: target.size,
            reason: String::from("too large"),
        };
        let (width, height) = gl_size(target.size).ok_or_else(too_large)?;
        // SAFETY: the context is current; the framebuffer is the caller's and lives.
        unsafe {
            self.gl
                .bind_framebuffer(glow::FRAMEBUFFER, target.framebuffer);
            self.gl.viewport(0, 0, width, height);
            self.gl.disable(glow::SCISSOR_TEST);
            self.gl.disable(glow::BLEND);
            set_clear_color(&self.gl, scene.background);
            self.gl.clear_stencil(0);
            self.gl
                .clear(glow::COLOR_BUFFER_BIT | glow::STENCIL_BUFFER_BIT);
        }
        self.vectors.begin(target);
        let mut pen = Pen::Ground;
        for command in &scene.commands {
            let wanted = match command {
                Command::Block { .. } | Command::Video { .. } | Command::Mask { .. } => Pen::Ground,
                Command::Polygon { .. } | Command::RoundedRect { .. } | Command::Text { .. } => {
                    Pen::Vector
                }
            };
            if pen == Pen::Vector && wanted == Pen::Ground {
                self.vectors.flush();
                // SAFETY: as above; flushing changed the state.
                unsafe {
                    self.gl
                        .bind_framebuffer(glow::FRAMEBUFFER, target.framebuffer);
                    self.gl.disable(glow::BLEND);
                }
            }
            pen = wanted;
            match command {
                Command::Block { rect, color } | Command::Mask { rect, color } => {
                    self.clear(*rect, *color, target.size);
                }
                Command::Video { stream, rect } => {
                    if let Some(frame) = frames[stream.index()] {
                        self.videos
                            .draw(&self.gl, *stream, frame, *rect, target.size)?;
                    }
                }
                Command::Polygon {
                    points,
                    path,
                    fill,
                    stroke,
                } => self.vectors.polygon(points, *path, *fill, *stroke),
                Command::RoundedRect {
                    rect,
                    radius,
                    fill,
                    stroke,
                } => self.vectors.rounded_rect(*rect, *radius, *fill, *stroke),
                Command::Text {
                    at,
                    text,
                    size,
                    weight,
                    align,
                    color,
                } => self
                    .vectors
                    .text(*at, text, *size, *weight, *align, *color)?,
            }
        }
        self.vectors.flush();
        // SAFETY: a query of the current context.
        let error = unsafe { self.gl.get_error() };
        if error == glow::NO_ERROR {
            Ok(())
        } else {
            Err(UiError::Gl {
                operation: "drawing the picture",
                code: error,
            })
        }
    }

    /// Fills every pixel the rectangle touches: the cheapest and the most certain way to draw one.
    #[allow(clippy::cast_possible_truncation, reason = "clamped to the picture")]
    #[allow(
        clippy::cast_precision_loss,
        reason = "picture sizes are far below 2^24"
    )]
    fn clear(&self, rect: Rect<ScreenPixels>, color: Rgba, size: Size) {
        let (width, height) = (size.width as f32, size.height as f32);
        let left = rect.left().floor().clamp(0.0, width) as i32;
        let right = rect.right().ceil().clamp(0.0, width) as i32;
        let top = rect.top().floor().clamp(0.0, height) as i32;
        let bottom = rect.bottom().ceil().clamp(0.0, height) as i32;
        // SAFETY: the context is current and the framebuffer bound; extents are not negative, since
        // `Rect` keeps its corners in order.
        unsafe {
            self.gl.enable(glow::SCISSOR_TEST);
            self.gl
                .scissor(left, height as i32 - bottom, right - left, bottom - top);
            set_clear_color(&self.gl, color);
            self.gl.clear(glow::COLOR_BUFFER_BIT);
            self.gl.disable(glow::SCISSOR_TEST);
        }
    }
}

/// # Safety
///
/// The context is current.
unsafe fn set_clear_color(gl: &glow::Context, color: Rgba) {
    let [r, g, b] = [color.r, color.g, color.b].map(|part| f32::from(part) / 255.0);
    // SAFETY: the caller's promise.
    unsafe { gl.clear_color(r, g, b, 1.0) };
}
