//! Frames drawn as textured rectangles; YCbCr becomes RGB in the shader, only for the pixels that are
//! shown.

use glow::HasContext;

use super::program::{self, no_error};
use super::texture::Uploaded;
use crate::frame::{ColorMatrix, ColorRange, Frame, FrameFormat, PixelFormat};
use crate::geometry::{Rect, ScreenPixels, Size};
use crate::ui::UiError;
use crate::units::StreamId;

pub(super) const VERTEX: &str = "#version 300 es
uniform vec4 corners; // left, top, right, bottom in clip space
out vec2 place;
void main() {
    vec2 at = vec2(float(gl_VertexID & 1), float(gl_VertexID >> 1));
    place = at;
    gl_Position = vec4(mix(corners.xy, corners.zw, at), 0.0, 1.0);
}
";

/// Chroma is stored in half the pixels, rounded up: `chroma_scale` maps a place in the frame to the
/// place in the chroma plane, which covers one column more where the width is odd. So does packed
/// luma, which has `luma_scale`.
const FRAGMENT: &str = "
precision highp float;
in vec2 place;
out vec4 color;
uniform sampler2D plane0;
uniform sampler2D plane1;
uniform sampler2D plane2;
uniform mat3 to_rgb;
uniform vec3 offset;
uniform vec2 chroma_scale;
uniform vec2 luma_scale;
void main() {
#if defined(I420)
    vec2 chroma = place * chroma_scale;
    vec3 yuv = vec3(texture(plane0, place).r, texture(plane1, chroma).r, texture(plane2, chroma).r);
    color = vec4(clamp(to_rgb * (yuv - offset), 0.0, 1.0), 1.0);
#elif defined(NV12)
    vec3 yuv = vec3(texture(plane0, place).r, texture(plane1, place * chroma_scale).rg);
    color = vec4(clamp(to_rgb * (yuv - offset), 0.0, 1.0), 1.0);
#elif defined(YUYV)
    // plane0: luma and half of the chroma by pixel; plane1: Y0 U Y1 V by pairs of pixels.
    vec2 pair = place * chroma_scale;
    vec3 yuv = vec3(texture(plane0, place * luma_scale).r, texture(plane1, pair).ga);
    color = vec4(clamp(to_rgb * (yuv - offset), 0.0, 1.0), 1.0);
#elif defined(UYVY)
    vec2 pair = place * chroma_scale;
    vec3 yuv = vec3(texture(plane0, place * luma_scale).g, texture(plane1, pair).rb);
    color = vec4(clamp(to_rgb * (yuv - offset), 0.0, 1.0), 1.0);
#else
    color = vec4(texture(plane0, place).rgb, 1.0);
#endif
}
";

struct Program {
    program: glow::Program,
    corners: Option<glow::UniformLocation>,
    to_rgb: Option<glow::UniformLocation>,
    offset: Option<glow::UniformLocation>,
    chroma_scale: Option<glow::UniformLocation>,
    luma_scale: Option<glow::UniformLocation>,
}

pub(super) struct ShadedVideos {
    i420: Program,
    nv12: Program,
    yuyv: Program,
    uyvy: Program,
    rgb: Program,
    vertices: glow::VertexArray,
    uploaded: [Uploaded; 2],
}

impl ShadedVideos {
    pub(super) fn new(gl: &glow::Context) -> Result<Self, UiError> {
        // SAFETY: the context is current.
        let vertices = unsafe { gl.create_vertex_array() }.map_err(UiError::Shader)?;
        Ok(Self {
            i420: compile(gl, "I420")?,
            nv12: compile(gl, "NV12")?,
            yuyv: compile(gl, "YUYV")?,
            uyvy: compile(gl, "UYVY")?,
            rgb: compile(gl, "RGB")?,
            vertices,
            uploaded: <[Uploaded; 2]>::default(),
        })
    }

    /// Draws a frame into `rect` of the bound framebuffer of `size` pixels. The same frame of a
    /// stream is uploaded once.
    pub(super) fn draw(
        &mut self,
        gl: &glow::Context,
        stream: StreamId,
        frame: &Frame,
        rect: Rect<ScreenPixels>,
        size: Size,
    ) -> Result<(), UiError> {
        let uploaded = &mut self.uploaded[stream.index()];
        uploaded.update(gl, frame)?;
        let textures = uploaded.textures();
        self.paint(gl, textures, frame.format(), rect, size)
    }

    /// Draws textures that hold a frame of `format`, in the order in which an upload makes them.
    pub(super) fn paint(
        &self,
        gl: &glow::Context,
        textures: [Option<glow::Texture>; 3],
        format: &FrameFormat,
        rect: Rect<ScreenPixels>,
        size: Size,
    ) -> Result<(), UiError> {
        let program = match format.pixel_format {
            PixelFormat::I420 => &self.i420,
            PixelFormat::Nv12 => &self.nv12,
            PixelFormat::Yuyv => &self.yuyv,
            PixelFormat::Uyvy => &self.uyvy,
            // Which byte is red is the texture's own business.
            PixelFormat::Rgb24 | PixelFormat::Bgr24 | PixelFormat::Rgbx32 | PixelFormat::Bgrx32 => {
                &self.rgb
            }
        };
        let conversion = Conversion::new(format);
        let corners = clip_space(rect, size);
        // SAFETY: the context is current; program, vertex array and textures are this painter's.
        unsafe {
            gl.disable(glow::BLEND);
            gl.disable(glow::CULL_FACE);
            gl.use_program(Some(program.program));
            gl.uniform_4_f32_slice(program.corners.as_ref(), &corners);
            gl.uniform_matrix_3_f32_slice(program.to_rgb.as_ref(), false, &conversion.to_rgb);
            gl.uniform_3_f32_slice(program.offset.as_ref(), &conversion.offset);
            let [luma_scale, chroma_scale] = scales(format);
            gl.uniform_2_f32_slice(program.chroma_scale.as_ref(), &chroma_scale);
            gl.uniform_2_f32_slice(program.luma_scale.as_ref(), &luma_scale);
            for (unit, texture) in (glow::TEXTURE0..).zip(textures) {
                gl.active_texture(unit);
                gl.bind_texture(glow::TEXTURE_2D, texture);
            }
            gl.bind_vertex_array(Some(self.vertices));
            gl.draw_arrays(glow::TRIANGLE_STRIP, 0, 4);
            gl.bind_vertex_array(None);
        }
        // Asked here, because the vector library asks too and swallows the answer.
        no_error(gl, "drawing a frame")
    }
}

/// The rectangle's corners in clip space, where y grows upwards.
#[allow(
    clippy::cast_precision_loss,
    reason = "picture sizes are far below 2^24"
)]
pub(super) fn clip_space(rect: Rect<ScreenPixels>, size: Size) -> [f32; 4] {
    let x = |x: f32| 2.0 * x / size.width as f32 - 1.0;
    let y = |y: f32| 1.0 - 2.0 * y / size.height as f32;
    [
        x(rect.left()),
        y(rect.top()),
        x(rect.right()),
        y(rect.bottom()),
    ]
}

#[allow(
    clippy::cast_precision_loss,
    reason = "picture sizes are far below 2^24"
)]
fn scales(format: &FrameFormat) -> [[f32; 2]; 2] {
    let [across, down] = [format.size.width, format.size.height].map(|extent| {
        let covered = extent.div_ceil(2) * 2;
        extent as f32 / covered.max(1) as f32
    });
    match format.pixel_format {
        PixelFormat::Yuyv | PixelFormat::Uyvy => [[across, 1.0]; 2],
        PixelFormat::I420
        | PixelFormat::Nv12
        | PixelFormat::Rgb24
        | PixelFormat::Bgr24
        | PixelFormat::Rgbx32
        | PixelFormat::Bgrx32 => [[1.0; 2], [across, down]],
    }
}

/// `rgb = to_rgb * (yuv - offset)` with every component 0..=1; the matrix by columns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Conversion {
    pub(super) to_rgb: [f32; 9],
    pub(super) offset: [f32; 3],
}

impl Conversion {
    /// ITU-R BT.601-7 and BT.709-6: Kr and Kb define everything; limited range holds 219 steps of
    /// luma above 16 and 224 of chroma around 128.
    pub(super) fn new(format: &FrameFormat) -> Self {
        let (kr, kb) = match format.matrix {
            ColorMatrix::Bt601 => (0.299_f32, 0.114_f32),
            ColorMatrix::Bt709 => (0.2126, 0.0722),
        };
        let kg = 1.0 - kr - kb;
        let (luma, chroma, black) = match format.range {
            ColorRange::Limited => (255.0 / 219.0, 255.0 / 224.0, 16.0 / 255.0),
            ColorRange::Full => (1.0, 1.0, 0.0),
        };
        let red_v = 2.0 * (1.0 - kr) * chroma;
        let blue_u = 2.0 * (1.0 - kb) * chroma;
        let to_rgb = [
            luma,
            luma,
            luma,
            0.0,
            -blue_u * kb / kg,
            blue_u,
            red_v,
            -red_v * kr / kg,
            0.0,
        ];
        Self {
            to_rgb,
            offset: [black, 128.0 / 255.0, 128.0 / 255.0],
        }
    }
}

fn compile(gl: &glow::Context, layout: &str) -> Result<Program, UiError> {
    let samplers = ["plane0", "plane1", "plane2"];
    let program = program::compile_for(gl, layout, VERTEX, FRAGMENT, &samplers)?;
    // SAFETY: the context is current and the program was just made on it.
    let uniform = |name| unsafe { gl.get_uniform_location(program, name) };
    Ok(Program {
        program,
        corners: uniform("corners"),
        to_rgb: uniform("to_rgb"),
        offset: uniform("offset"),
        chroma_scale: uniform("chroma_scale"),
        luma_scale: uniform("luma_scale"),
    })
}
