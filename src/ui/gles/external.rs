//! Frames whose colours the driver converts: one external texture, sampled as red, green and blue.

use glow::HasContext;

use super::program::{self, no_error};
use super::video::{VERTEX, clip_space};
use crate::geometry::{Rect, ScreenPixels, Size};
use crate::ui::UiError;

/// `GL_TEXTURE_EXTERNAL_OES`, `GL_OES_EGL_image_external`.
pub(super) const TEXTURE_EXTERNAL: u32 = 0x8D65;

const FRAGMENT: &str = "#version 300 es
#extension GL_OES_EGL_image_external_essl3 : require
precision highp float;
in vec2 place;
out vec4 color;
uniform samplerExternalOES frame;
void main() {
    color = vec4(texture(frame, place).rgb, 1.0);
}
";

pub(super) struct ExternalPainter {
    program: glow::Program,
    corners: Option<glow::UniformLocation>,
    vertices: glow::VertexArray,
}

impl ExternalPainter {
    pub(super) fn new(gl: &glow::Context) -> Result<Self, UiError> {
        let program = program::compile(gl, VERTEX, FRAGMENT)?;
        // SAFETY: the context is current and the program was just made on it.
        unsafe {
            gl.use_program(Some(program));
            let unit = gl.get_uniform_location(program, "frame");
            gl.uniform_1_i32(unit.as_ref(), 0);
            Ok(Self {
                program,
                corners: gl.get_uniform_location(program, "corners"),
                vertices: gl.create_vertex_array().map_err(UiError::Shader)?,
            })
        }
    }

    /// Draws an external texture into `rect` of the bound framebuffer of `size` pixels.
    pub(super) fn draw(
        &self,
        gl: &glow::Context,
        texture: glow::Texture,
        rect: Rect<ScreenPixels>,
        size: Size,
    ) -> Result<(), UiError> {
        let corners = clip_space(rect, size);
        // SAFETY: the context is current; program and vertex array are this painter's, the texture is
        // the caller's.
        unsafe {
            gl.disable(glow::BLEND);
            gl.disable(glow::CULL_FACE);
            gl.use_program(Some(self.program));
            gl.uniform_4_f32_slice(self.corners.as_ref(), &corners);
            gl.active_texture(glow::TEXTURE0);
            gl.bind_texture(TEXTURE_EXTERNAL, Some(texture));
            gl.bind_vertex_array(Some(self.vertices));
            gl.draw_arrays(glow::TRIANGLE_STRIP, 0, 4);
            gl.bind_vertex_array(None);
            gl.bind_texture(TEXTURE_EXTERNAL, None);
        }
        no_error(gl, "drawing a frame from the camera's memory")
    }
}
