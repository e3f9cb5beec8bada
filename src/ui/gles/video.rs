//! Frames as textures: planes are uploaded as they lie in memory and become RGB in the shader, only
//! for the pixels that are shown.

use glow::HasContext;

use super::offscreen::gl_size;
use crate::frame::{ColorMatrix, ColorRange, Frame, FrameFormat, FrameMeta, PixelFormat, Plane};
use crate::geometry::{Rect, ScreenPixels, Size};
use crate::ui::UiError;
use crate::units::StreamId;

const VERTEX: &str = "#version 300 es
uniform vec4 corners; // left, top, right, bottom in clip space
out vec2 place;
void main() {
    vec2 at = vec2(float(gl_VertexID & 1), float(gl_VertexID >> 1));
    place = at;
    gl_Position = vec4(mix(corners.xy, corners.zw, at), 0.0, 1.0);
}
";

/// Chroma is stored in half the pixels, rounded up: `chroma_scale` maps a place in the frame to the
/// place in the chroma plane, which covers one column more where the width is odd.
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
void main() {
#if defined(I420)
    vec2 chroma = place * chroma_scale;
    vec3 yuv = vec3(texture(plane0, place).r, texture(plane1, chroma).r, texture(plane2, chroma).r);
    color = vec4(clamp(to_rgb * (yuv - offset), 0.0, 1.0), 1.0);
#elif defined(NV12)
    vec3 yuv = vec3(texture(plane0, place).r, texture(plane1, place * chroma_scale).rg);
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
}

/// A stream's frame on the device.
struct Uploaded {
    textures: [Option<glow::Texture>; 3],
    format: FrameFormat,
    meta: Option<FrameMeta>,
}

pub(super) struct VideoPainter {
    i420: Program,
    nv12: Program,
    rgb: Program,
    vertices: glow::VertexArray,
    uploaded: [Option<Uploaded>; 2],
}

impl VideoPainter {
    pub(super) fn new(gl: &glow::Context) -> Result<Self, UiError> {
        // SAFETY: the context is current.
        let vertices = unsafe { gl.create_vertex_array() }.map_err(UiError::Shader)?;
        Ok(Self {
            i420: compile(gl, "I420")?,
            nv12: compile(gl, "NV12")?,
            rgb: compile(gl, "RGB")?,
            vertices,
            uploaded: [None, None],
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
        let slot = &mut self.uploaded[stream.index()];
        upload(gl, slot, frame)?;
        let Some(uploaded) = slot else {
            return Ok(());
        };
        let program = match frame.format().pixel_format {
            PixelFormat::I420 => &self.i420,
            PixelFormat::Nv12 => &self.nv12,
            PixelFormat::Rgb24 => &self.rgb,
        };
        let conversion = Conversion::new(frame.format());
        let corners = clip_space(rect, size);
        // SAFETY: the context is current; program, vertex array and textures are this painter's.
        unsafe {
            gl.use_program(Some(program.program));
            gl.uniform_4_f32_slice(program.corners.as_ref(), &corners);
            gl.uniform_matrix_3_f32_slice(program.to_rgb.as_ref(), false, &conversion.to_rgb);
            gl.uniform_3_f32_slice(program.offset.as_ref(), &conversion.offset);
            let chroma_scale = chroma_scale(frame.size());
            gl.uniform_2_f32_slice(program.chroma_scale.as_ref(), &chroma_scale);
            for (unit, texture) in (glow::TEXTURE0..).zip(uploaded.textures) {
                gl.active_texture(unit);
                gl.bind_texture(glow::TEXTURE_2D, texture);
            }
            gl.bind_vertex_array(Some(self.vertices));
            gl.draw_arrays(glow::TRIANGLE_STRIP, 0, 4);
            gl.bind_vertex_array(None);
        }
        Ok(())
    }
}

/// The rectangle's corners in clip space, where y grows upwards.
#[allow(
    clippy::cast_precision_loss,
    reason = "picture sizes are far below 2^24"
)]
fn clip_space(rect: Rect<ScreenPixels>, size: Size) -> [f32; 4] {
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
fn chroma_scale(size: Size) -> [f32; 2] {
    [size.width, size.height].map(|extent| {
        let covered = extent.div_ceil(2) * 2;
        extent as f32 / covered.max(1) as f32
    })
}

/// `rgb = to_rgb * (yuv - offset)` with every component 0..=1; the matrix by columns.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Conversion {
    to_rgb: [f32; 9],
    offset: [f32; 3],
}

impl Conversion {
    /// ITU-R BT.601-7 and BT.709-6: Kr and Kb define everything; limited range holds 219 steps of
    /// luma above 16 and 224 of chroma around 128.
    fn new(format: &FrameFormat) -> Self {
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

fn upload(gl: &glow::Context, slot: &mut Option<Uploaded>, frame: &Frame) -> Result<(), UiError> {
    let format = *frame.format();
    if slot
        .as_ref()
        .is_none_or(|uploaded| uploaded.format != format)
    {
        if let Some(old) = slot.take() {
            delete(gl, &old);
        }
        *slot = Some(allocate(gl, frame)?);
    }
    let Some(uploaded) = slot else {
        return Ok(());
    };
    if uploaded.meta == Some(frame.meta) {
        return Ok(());
    }
    for (index, texture) in uploaded.textures.iter().enumerate() {
        if texture.is_some() {
            upload_plane(gl, *texture, frame.plane(index), layout(&format, index))?;
        }
    }
    uploaded.meta = Some(frame.meta);
    Ok(())
}

/// Internal format, transfer format and bytes per sample of a plane.
const fn layout(format: &FrameFormat, plane: usize) -> (u32, u32, usize) {
    match (format.pixel_format, plane) {
        (PixelFormat::Rgb24, _) => (glow::RGB8, glow::RGB, 3),
        (PixelFormat::Nv12, 1) => (glow::RG8, glow::RG, 2),
        (PixelFormat::Nv12 | PixelFormat::I420, _) => (glow::R8, glow::RED, 1),
    }
}

fn plane_size(plane: &Plane<'_>) -> Option<(i32, i32)> {
    let width = u32::try_from(plane.width).ok()?;
    let height = u32::try_from(plane.height).ok()?;
    gl_size(Size { width, height })
}

fn too_large(size: Size) -> UiError {
    UiError::Framebuffer {
        size,
        reason: String::from("frame too large for a texture"),
    }
}

fn allocate(gl: &glow::Context, frame: &Frame) -> Result<Uploaded, UiError> {
    let format = *frame.format();
    // SAFETY: a query of the current context.
    let largest = unsafe { gl.get_parameter_i32(glow::MAX_TEXTURE_SIZE) };
    let mut textures = [None; 3];
    let planes = format.pixel_format.planes();
    for (index, slot) in textures.iter_mut().enumerate().take(planes) {
        let plane = frame.plane(index);
        let (width, height) = plane_size(&plane)
            .filter(|(width, height)| *width.max(height) <= largest)
            .ok_or_else(|| too_large(format.size))?;
        let (internal, _, _) = layout(&format, index);
        // SAFETY: the context is current; size and format were checked above.
        unsafe {
            let texture = gl.create_texture().map_err(UiError::Shader)?;
            gl.bind_texture(glow::TEXTURE_2D, Some(texture));
            gl.tex_storage_2d(glow::TEXTURE_2D, 1, internal, width, height);
            for (name, value) in [
                (glow::TEXTURE_MIN_FILTER, glow::LINEAR),
                (glow::TEXTURE_MAG_FILTER, glow::LINEAR),
                (glow::TEXTURE_WRAP_S, glow::CLAMP_TO_EDGE),
                (glow::TEXTURE_WRAP_T, glow::CLAMP_TO_EDGE),
            ] {
                gl.tex_parameter_i32(glow::TEXTURE_2D, name, value.cast_signed());
            }
            *slot = Some(texture);
        }
    }
    Ok(Uploaded {
        textures,
        format,
        meta: None,
    })
}

fn upload_plane(
    gl: &glow::Context,
    texture: Option<glow::Texture>,
    plane: Plane<'_>,
    (_, transfer, sample): (u32, u32, usize),
) -> Result<(), UiError> {
    let missing = || UiError::Shader(String::from("a frame's plane does not fit its texture"));
    let (width, height) = plane_size(&plane).ok_or_else(missing)?;
    let row = i32::try_from(plane.stride / sample).map_err(|_| missing())?;
    let needed = plane.stride * plane.height.saturating_sub(1) + plane.width * sample;
    if plane.data.len() < needed || plane.stride % sample != 0 {
        return Err(missing());
    }
    // SAFETY: the context is current; with alignment 1 and this row length GL reads `needed` bytes
    // of the slice, which were checked to be there.
    unsafe {
        gl.active_texture(glow::TEXTURE0);
        gl.bind_texture(glow::TEXTURE_2D, texture);
        gl.pixel_store_i32(glow::UNPACK_ALIGNMENT, 1);
        gl.pixel_store_i32(glow::UNPACK_ROW_LENGTH, row);
        gl.tex_sub_image_2d(
            glow::TEXTURE_2D,
            0,
            0,
            0,
            width,
            height,
            transfer,
            glow::UNSIGNED_BYTE,
            glow::PixelUnpackData::Slice(Some(plane.data)),
        );
        gl.pixel_store_i32(glow::UNPACK_ROW_LENGTH, 0);
        gl.pixel_store_i32(glow::UNPACK_ALIGNMENT, 4);
    }
    Ok(())
}

fn delete(gl: &glow::Context, uploaded: &Uploaded) {
    for texture in uploaded.textures.iter().flatten() {
        // SAFETY: the context is current and the texture is nobody else's.
        unsafe { gl.delete_texture(*texture) };
    }
}

fn compile(gl: &glow::Context, layout: &str) -> Result<Program, UiError> {
    let fragment = format!("#version 300 es\n#define {layout}\n{FRAGMENT}");
    // SAFETY: the context is current; objects are made and used right here.
    unsafe {
        let program = gl.create_program().map_err(UiError::Shader)?;
        for (kind, source) in [
            (glow::VERTEX_SHADER, VERTEX),
            (glow::FRAGMENT_SHADER, fragment.as_str()),
        ] {
            let shader = gl.create_shader(kind).map_err(UiError::Shader)?;
            gl.shader_source(shader, source);
            gl.compile_shader(shader);
            if !gl.get_shader_compile_status(shader) {
                return Err(UiError::Shader(gl.get_shader_info_log(shader)));
            }
            gl.attach_shader(program, shader);
            gl.delete_shader(shader);
        }
        gl.link_program(program);
        if !gl.get_program_link_status(program) {
            return Err(UiError::Shader(gl.get_program_info_log(program)));
        }
        gl.use_program(Some(program));
        for (unit, name) in (0..).zip(["plane0", "plane1", "plane2"]) {
            let location = gl.get_uniform_location(program, name);
            gl.uniform_1_i32(location.as_ref(), unit);
        }
        let uniform = |name| gl.get_uniform_location(program, name);
        Ok(Program {
            program,
            corners: uniform("corners"),
            to_rgb: uniform("to_rgb"),
            offset: uniform("offset"),
            chroma_scale: uniform("chroma_scale"),
        })
    }
}
