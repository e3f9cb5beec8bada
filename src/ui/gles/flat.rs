//! Filled rectangles, as many as there are in a row with one call.

use glow::HasContext;

use super::program;
use crate::geometry::{Rect, ScreenPixels, Size};
use crate::ui::UiError;
use crate::ui::scene::{Rgba, Stroke};

const VERTEX: &str = "#version 300 es
layout(location = 0) in vec2 at;
layout(location = 1) in vec4 paint;
uniform vec2 size;
out vec4 shade;
void main() {
    shade = paint;
    gl_Position = vec4(2.0 * at.x / size.x - 1.0, 1.0 - 2.0 * at.y / size.y, 0.0, 1.0);
}
";

const FRAGMENT: &str = "#version 300 es
precision mediump float;
in vec4 shade;
out vec4 color;
void main() {
    color = shade;
}
";

/// Bytes of a vertex: two floats, four bytes of colour.
const VERTEX_BYTES: i32 = 12;

pub(super) struct FlatPainter {
    program: glow::Program,
    size: Option<glow::UniformLocation>,
    array: glow::VertexArray,
    buffer: glow::Buffer,
    vertices: Vec<u8>,
}

impl FlatPainter {
    pub(super) fn new(gl: &glow::Context) -> Result<Self, UiError> {
        let program = program::compile(gl, VERTEX, FRAGMENT)?;
        // SAFETY: the context is current; objects are made and used right here.
        unsafe {
            let array = gl.create_vertex_array().map_err(UiError::Shader)?;
            let buffer = gl.create_buffer().map_err(UiError::Shader)?;
            gl.bind_vertex_array(Some(array));
            gl.bind_buffer(glow::ARRAY_BUFFER, Some(buffer));
            gl.enable_vertex_attrib_array(0);
            gl.vertex_attrib_pointer_f32(0, 2, glow::FLOAT, false, VERTEX_BYTES, 0);
            gl.enable_vertex_attrib_array(1);
            gl.vertex_attrib_pointer_f32(1, 4, glow::UNSIGNED_BYTE, true, VERTEX_BYTES, 8);
            gl.bind_vertex_array(None);
            gl.bind_buffer(glow::ARRAY_BUFFER, None);
            Ok(Self {
                program,
                size: gl.get_uniform_location(program, "size"),
                array,
                buffer,
                vertices: Vec::new(),
            })
        }
    }

    /// Adds a rectangle to the row.
    pub(super) fn block(&mut self, rect: Rect<ScreenPixels>, color: Rgba) {
        let (left, top) = (rect.left(), rect.top());
        let (right, bottom) = (rect.right(), rect.bottom());
        let corners = [
            (left, top),
            (right, top),
            (left, bottom),
            (left, bottom),
            (right, top),
            (right, bottom),
        ];
        for (x, y) in corners {
            self.vertices.extend(x.to_ne_bytes());
            self.vertices.extend(y.to_ne_bytes());
            self.vertices.extend([color.r, color.g, color.b, color.a]);
        }
    }

    /// Adds a rectangle that covers every pixel it touches, opaque.
    pub(super) fn mask(&mut self, rect: Rect<ScreenPixels>, color: Rgba) {
        let outward = Rect::new(
            rect.left().floor(),
            rect.top().floor(),
            rect.right().ceil(),
            rect.bottom().ceil(),
        );
        if let Some(outward) = outward {
            self.block(outward, color.with_alpha(u8::MAX));
        }
    }

    /// Adds the four sides of a rectangle, which do not overlap each other.
    pub(super) fn outline(&mut self, rect: Rect<ScreenPixels>, stroke: Stroke) {
        let (out, inn) = ((stroke.width / 2.0).floor(), (stroke.width / 2.0).ceil());
        let (left, right) = (rect.left(), rect.right());
        let (top, bottom) = (rect.top(), rect.bottom());
        let sides = [
            Rect::new(left - out, top - out, right + out, top + inn),
            Rect::new(left - out, bottom - inn, right + out, bottom + out),
            Rect::new(left - out, top + inn, left + inn, bottom - inn),
            Rect::new(right - inn, top + inn, right + out, bottom - inn),
        ];
        for side in sides.into_iter().flatten() {
            self.block(side, stroke.color);
        }
    }

    /// Draws what was added into the bound framebuffer of `size` pixels.
    #[allow(
        clippy::cast_precision_loss,
        reason = "picture sizes are far below 2^24"
    )]
    pub(super) fn flush(&mut self, gl: &glow::Context, size: Size) {
        let count = self.vertices.len() / VERTEX_BYTES.unsigned_abs() as usize;
        let Ok(count) = i32::try_from(count) else {
            self.vertices.clear();
            return;
        };
        if count == 0 {
            return;
        }
        // SAFETY: the context is current; the buffer holds `count` vertices of the layout the vertex
        // array was given.
        unsafe {
            gl.enable(glow::BLEND);
            gl.blend_func_separate(
                glow::SRC_ALPHA,
                glow::ONE_MINUS_SRC_ALPHA,
                glow::ONE,
                glow::ONE_MINUS_SRC_ALPHA,
            );
            gl.disable(glow::CULL_FACE);
            gl.use_program(Some(self.program));
            gl.uniform_2_f32(self.size.as_ref(), size.width as f32, size.height as f32);
            gl.bind_vertex_array(Some(self.array));
            gl.bind_buffer(glow::ARRAY_BUFFER, Some(self.buffer));
            gl.buffer_data_u8_slice(glow::ARRAY_BUFFER, &self.vertices, glow::STREAM_DRAW);
            gl.draw_arrays(glow::TRIANGLES, 0, count);
            gl.bind_vertex_array(None);
            gl.bind_buffer(glow::ARRAY_BUFFER, None);
        }
        self.vertices.clear();
    }
}
