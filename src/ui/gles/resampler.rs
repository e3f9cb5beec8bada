//! Frames made small on the graphics device, for a model: resampled, converted to RGB and read back
//! while the CPU does something else.
//!
//! ```text
//! begin   planes (imported, else uploaded) ─shader─▶ target-sized framebuffer ─▶ pixel buffer, fence
//! finish  waits for the fence, maps the pixel buffer
//! ```
//!
//! The weights come from outside: they are those of the CPU's own filter, and the shader adds up with
//! them what the CPU adds up. Sums of rows are whole numbers below 2^16, exact in a shader's `float`;
//! sums of columns are off by 10^-4 levels at most. Planes are fetched sample by sample, never through
//! a sampler's own filter or a driver's own conversion.
//!
//! Each pixel's fourth byte is the number of the frame, drawn with it. A device that was reset, or a
//! driver that dropped the work, leaves an older number behind, and that is an error: a picture that
//! was not drawn must not be taken for the newest.
//!
//! It has a context of its own, current on the thread that made it. Steady state allocates nothing.

use std::rc::Rc;
use std::time::{Duration, Instant};

use glow::HasContext;

use super::context::Context;
use super::import::{ImportUse, Imported, Importer};
use super::offscreen::gl_size;
use super::program::{self, no_error};
use super::texture::{Uploaded, texture};
use super::video::Conversion;
use super::weights::{ResampleAxis, Weights};
use crate::frame::{Frame, PixelFormat};
use crate::geometry::Size;
use crate::ui::UiError;

const VERTEX: &str = "#version 300 es
void main() {
    // One triangle over everything.
    vec2 at = vec2(float((gl_VertexID & 1) * 4 - 1), float((gl_VertexID >> 1) * 4 - 1));
    gl_Position = vec4(at, 0.0, 1.0);
}
";

/// Row 0 of the framebuffer, its lowest, is the target's top row, so that what is read back begins
/// with it. Luma below black counts as black before colour is added, and planes are rounded to bytes
/// before they are converted: as the CPU does.
const FRAGMENT: &str = "
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp usampler2D;
out vec4 color;
uniform sampler2D plane0;
uniform sampler2D plane1;
uniform sampler2D plane2;
uniform usampler2D luma_columns;
uniform usampler2D luma_rows;
uniform usampler2D chroma_columns;
uniform usampler2D chroma_rows;
uniform ivec4 taps; // of the four, in this order
uniform float one; // what weights of a column times weights of a row add up to
uniform float mark;
uniform mat3 to_rgb;
uniform vec3 offset;

// Weighted mean, in bytes.
vec4 resampled(sampler2D plane, usampler2D columns, usampler2D rows, ivec2 taps) {
    ivec2 at = ivec2(gl_FragCoord.xy);
    int left = int(texelFetch(columns, ivec2(0, at.x), 0).r);
    int top = int(texelFetch(rows, ivec2(0, at.y), 0).r);
    vec4 sum = vec4(0.0);
    for (int x = 0; x < taps.x; ++x) {
        vec4 column = vec4(0.0);
        for (int y = 0; y < taps.y; ++y) {
            float weight = float(texelFetch(rows, ivec2(1 + y, at.y), 0).r);
            vec4 bytes = floor(texelFetch(plane, ivec2(left + x, top + y), 0) * 255.0 + 0.5);
            column += weight * bytes;
        }
        sum += float(texelFetch(columns, ivec2(1 + x, at.x), 0).r) * column;
    }
    return floor(sum / one + 0.5);
}

vec4 luma(sampler2D plane) {
    return resampled(plane, luma_columns, luma_rows, taps.xy);
}

vec4 chroma(sampler2D plane) {
    return resampled(plane, chroma_columns, chroma_rows, taps.zw);
}

void main() {
#if defined(RGB)
    vec3 rgb = luma(plane0).rgb;
#else
#if defined(I420)
    vec3 yuv = vec3(luma(plane0).r, chroma(plane1).r, chroma(plane2).r);
#elif defined(NV12)
    vec3 yuv = vec3(luma(plane0).r, chroma(plane1).rg);
#elif defined(YUYV)
    vec3 yuv = vec3(luma(plane0).r, chroma(plane1).ga);
#else
    vec3 yuv = vec3(luma(plane0).g, chroma(plane1).rb);
#endif
    vec3 apart = yuv - offset;
    apart.x = max(apart.x, 0.0);
    vec3 rgb = floor(clamp(to_rgb * apart, 0.0, 255.0) + 0.5);
#endif
    color = vec4(rgb, mark) / 255.0;
}
";

/// Longest wait for the first frame of a kind: drivers compile what they draw with when it is drawn. Less
/// than what a service manager takes for a program that hangs (5 s, `config/andon.service`).
const FIRST_WAIT_MAX: Duration = Duration::from_secs(3);

/// Longest single wait that the interface has room for, in nanoseconds of an `i32`.
const SLICE_MAX: Duration = Duration::from_secs(1);

/// Numbers of frames: 1..=255, so that memory that nobody has written to is none.
const MARK_MAX: u8 = u8::MAX;

/// How a frame becomes a target: what its planes are resampled with, columns and rows.
#[derive(Clone, Copy, Debug)]
pub struct ResampleFilter<'a> {
    /// Y, or red, green and blue.
    pub luma: [ResampleAxis<'a>; 2],
    /// U and V, in their own samples; unused for RGB.
    pub chroma: [ResampleAxis<'a>; 2],
}

struct Program {
    program: glow::Program,
    taps: Option<glow::UniformLocation>,
    one: Option<glow::UniformLocation>,
    mark: Option<glow::UniformLocation>,
    to_rgb: Option<glow::UniformLocation>,
    offset: Option<glow::UniformLocation>,
    drawn: bool,
}

/// What is kept of a stream: its frames have one format and one filter most of the time.
#[derive(Default)]
struct Kept {
    uploaded: Uploaded,
    weights: [Weights; 4],
}

/// A frame on its way.
struct Begun {
    fence: glow::Fence,
    mark: u8,
    longest: Duration,
}

/// Resamples frames to one size. Belongs to the thread that made it.
// Fields are dropped in this order: the importer's textures, then the context with everything else.
pub struct FrameResampler {
    importer: Result<Importer, &'static str>,
    programs: [Option<Program>; 5],
    kept: [Kept; 2],
    framebuffer: glow::Framebuffer,
    pixels: glow::Buffer,
    vertices: glow::VertexArray,
    begun: Option<Begun>,
    mark: u8,
    target: Size,
    /// The target as GL takes it, and its bytes.
    extent: (i32, i32),
    length: i32,
    longest: Duration,
    device: String,
    gl: Rc<glow::Context>,
    context: Context,
}

impl std::fmt::Debug for FrameResampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameResampler")
            .field("device", &self.device)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl FrameResampler {
    /// Connects to the graphics driver by `library` (see [`super::EGL_LIBRARY`]) with a context of its
    /// own, which becomes this thread's current one: some ten milliseconds. A frame is waited for
    /// `longest`, the first of a kind for some seconds.
    ///
    /// # Errors
    ///
    /// Names what is missing: the library, a driver, OpenGL ES 3, or memory for the size.
    pub fn new(library: &str, target: Size, longest: Duration) -> Result<Self, UiError> {
        let context = Context::surfaceless_from(library)?;
        // SAFETY: the loader belongs to the context that was just made current on this thread.
        let gl = unsafe { glow::Context::from_loader_function(|name| context.function(name)) };
        let gl = Rc::new(gl);
        let too_large = || UiError::Framebuffer {
            size: target,
            reason: "the target is too large".to_owned(),
        };
        let extent = gl_size(target).ok_or_else(too_large)?;
        let length = extent.0.checked_mul(extent.1);
        let length = length.and_then(|pixels| pixels.checked_mul(4));
        let length = length.filter(|length| *length > 0).ok_or_else(too_large)?;
        let color = texture(&gl, glow::RGBA8, target)?;
        // SAFETY: the context is current; objects are made and used right here.
        let (framebuffer, pixels, vertices, status, device) = unsafe {
            let framebuffer = gl.create_framebuffer().map_err(UiError::Shader)?;
            gl.bind_framebuffer(glow::FRAMEBUFFER, Some(framebuffer));
            gl.framebuffer_texture_2d(
                glow::FRAMEBUFFER,
                glow::COLOR_ATTACHMENT0,
                glow::TEXTURE_2D,
                Some(color),
                0,
            );
            let pixels = gl.create_buffer().map_err(UiError::Shader)?;
            gl.bind_buffer(glow::PIXEL_PACK_BUFFER, Some(pixels));
            gl.buffer_data_size(glow::PIXEL_PACK_BUFFER, length, glow::STREAM_READ);
            gl.bind_buffer(glow::PIXEL_PACK_BUFFER, None);
            let vertices = gl.create_vertex_array().map_err(UiError::Shader)?;
            for state in [
                glow::BLEND,
                glow::CULL_FACE,
                glow::DITHER,
                glow::SCISSOR_TEST,
            ] {
                gl.disable(state);
            }
            let status = gl.check_framebuffer_status(glow::FRAMEBUFFER);
            let device = format!(
                "{}, {}",
                gl.get_parameter_string(glow::RENDERER),
                gl.get_parameter_string(glow::VERSION)
            );
            (framebuffer, pixels, vertices, status, device)
        };
        if status != glow::FRAMEBUFFER_COMPLETE {
            return Err(UiError::Framebuffer {
                size: target,
                reason: format!("the driver says {status:#06x}"),
            });
        }
        no_error(&gl, "making the target")?;
        Ok(Self {
            importer: Importer::new(&gl, &context, ImportUse::Resample),
            programs: [const { None }; 5],
            kept: <[Kept; 2]>::default(),
            framebuffer,
            pixels,
            vertices,
            begun: None,
            mark: 0,
            target,
            extent,
            length,
            longest,
            device,
            gl,
            context,
        })
    }

    /// What draws, and how it was reached.
    #[must_use]
    pub fn device(&self) -> String {
        format!("{} ({})", self.device, self.context.platform())
    }

    /// Starts on a frame: resampled by `filter`, whose axes have as many targets as the target has
    /// columns and rows. What was begun before and not finished is forgotten. Does not wait for the
    /// driver.
    ///
    /// # Errors
    ///
    /// The camera exports the frame and the driver does not take it; the filter does not fit the
    /// frame or the target; the driver reports an error.
    pub fn begin(&mut self, frame: &Frame, filter: &ResampleFilter<'_>) -> Result<(), UiError> {
        self.forget();
        let (textures, is_imported) = self.planes(frame)?;
        let weights = self.weights(frame, filter)?;
        self.mark = self.mark % MARK_MAX + 1;
        let longest = self.draw(frame, filter, textures, weights)?;
        if let (true, Ok(importer)) = (is_imported, &mut self.importer) {
            // Its fence lies before ours, so that the frame can be let go once ours is passed.
            importer.hold([Some(frame), None]);
        }
        let fence = self.read_back()?;
        self.begun = Some(Begun {
            fence,
            mark: self.mark,
            longest,
        });
        no_error(&self.gl, "resampling a frame")
    }

    /// Waits for what was begun last, and shows its pixels: `[height, width, 4]`, bytes R, G, B and one
    /// without meaning, top row first.
    ///
    /// # Errors
    ///
    /// Nothing was begun; it is not ready in time; the driver reports an error or drew nothing.
    pub fn finish<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R, UiError> {
        let Some(Begun {
            fence,
            mark,
            longest,
        }) = self.begun.take()
        else {
            return Err(UiError::Resample("no frame was begun".to_owned()));
        };
        let passed = self.wait(fence, longest);
        // SAFETY: the context is current; the fence is not used after this.
        unsafe { self.gl.delete_sync(fence) };
        passed?;
        if let Ok(importer) = &mut self.importer {
            // The device has read the frame: the camera can have its buffer back.
            importer.release();
        }
        self.mapped(|pixels| is_drawn(pixels, mark).then(|| read(pixels)))?
            .ok_or_else(|| {
                UiError::Resample(
                    "the device did not draw the frame; it may have been reset".into(),
                )
            })
    }

    /// A frame's planes as textures, and whether they are the camera's own memory.
    fn planes(&mut self, frame: &Frame) -> Result<([Option<glow::Texture>; 3], bool), UiError> {
        if frame.dmabuf(0).is_none() {
            let uploaded = &mut self.kept[frame.meta.stream.index()].uploaded;
            uploaded.replace(&self.gl, frame)?;
            return Ok((uploaded.textures(), false));
        }
        let refused = |why: &str| UiError::Resample(format!("frames cannot be imported: {why}"));
        let importer = self.importer.as_mut();
        let importer = importer.map_err(|missing| refused(&format!("no {missing}")))?;
        match importer.find(frame) {
            Some(Imported::Planes(textures)) => Ok((*textures, true)),
            Some(Imported::External(_)) | None => {
                Err(refused("the driver does not take their planes as textures"))
            }
        }
    }

    /// The filter's axes as textures.
    fn weights(
        &mut self,
        frame: &Frame,
        filter: &ResampleFilter<'_>,
    ) -> Result<[Option<glow::Texture>; 4], UiError> {
        let [across, down] = [self.target.width, self.target.height].map(|side| side as usize);
        let ([luma_columns, luma_rows], [chroma_columns, chroma_rows]) =
            (&filter.luma, &filter.chroma);
        let size = frame.size();
        let [width, height] = [size.width, size.height].map(|side| side as usize);
        let (chroma_width, chroma_height) = match frame.format().pixel_format {
            PixelFormat::I420 | PixelFormat::Nv12 => (width.div_ceil(2), height.div_ceil(2)),
            PixelFormat::Yuyv | PixelFormat::Uyvy => (width.div_ceil(2), height),
            PixelFormat::Rgb24 | PixelFormat::Bgr24 | PixelFormat::Rgbx32 | PixelFormat::Bgrx32 => {
                (width, height)
            }
        };
        let wanted = [
            (luma_columns, width, across),
            (luma_rows, height, down),
            (chroma_columns, chroma_width, across),
            (chroma_rows, chroma_height, down),
        ];
        let kept = &mut self.kept[frame.meta.stream.index()].weights;
        let mut textures = [None; 4];
        for ((slot, weights), (axis, samples, targets)) in textures.iter_mut().zip(kept).zip(wanted)
        {
            if axis.starts.len() != targets {
                return Err(UiError::Resample(
                    "the filter does not fit the target".into(),
                ));
            }
            weights.update(&self.gl, axis, samples)?;
            *slot = weights.texture();
        }
        Ok(textures)
    }

    /// Draws into the target; gives back how long that is waited for.
    fn draw(
        &mut self,
        frame: &Frame,
        filter: &ResampleFilter<'_>,
        planes: [Option<glow::Texture>; 3],
        weights: [Option<glow::Texture>; 4],
    ) -> Result<Duration, UiError> {
        let (slot, layout) = match frame.format().pixel_format {
            PixelFormat::I420 => (0, "I420"),
            PixelFormat::Nv12 => (1, "NV12"),
            PixelFormat::Yuyv => (2, "YUYV"),
            PixelFormat::Uyvy => (3, "UYVY"),
            // Which byte is red is the texture's own business.
            PixelFormat::Rgb24 | PixelFormat::Bgr24 | PixelFormat::Rgbx32 | PixelFormat::Bgrx32 => {
                (4, "RGB")
            }
        };
        let gl = &self.gl;
        let program = match &mut self.programs[slot] {
            Some(program) => program,
            empty => empty.insert(compile(gl, layout)?),
        };
        let longest = if std::mem::replace(&mut program.drawn, true) {
            self.longest
        } else {
            self.longest.max(FIRST_WAIT_MAX)
        };
        let Conversion { to_rgb, offset } = Conversion::new(frame.format());
        let offset = offset.map(|part| part * 255.0);
        let axes = filter.luma.iter().chain(&filter.chroma);
        let mut taps = [0; 4];
        for (taps, axis) in taps.iter_mut().zip(axes) {
            // A texture of as many columns was made of it.
            *taps = i32::try_from(axis.taps).unwrap_or(0);
        }
        let [columns, rows] = filter.luma.map(|axis| axis.one);
        #[allow(clippy::cast_precision_loss, reason = "2^8 and 2^15")]
        let one = columns as f32 * rows as f32;
        // SAFETY: the context is current; framebuffer, program, vertex array and textures live.
        unsafe {
            gl.bind_framebuffer(glow::FRAMEBUFFER, Some(self.framebuffer));
            gl.viewport(0, 0, self.extent.0, self.extent.1);
            gl.use_program(Some(program.program));
            gl.uniform_4_i32_slice(program.taps.as_ref(), &taps);
            gl.uniform_1_f32(program.one.as_ref(), one);
            gl.uniform_1_f32(program.mark.as_ref(), f32::from(self.mark));
            gl.uniform_matrix_3_f32_slice(program.to_rgb.as_ref(), false, &to_rgb);
            gl.uniform_3_f32_slice(program.offset.as_ref(), &offset);
            let textures = planes.into_iter().chain(weights);
            for (unit, texture) in (glow::TEXTURE0..).zip(textures) {
                gl.active_texture(unit);
                gl.bind_texture(glow::TEXTURE_2D, texture);
            }
            gl.bind_vertex_array(Some(self.vertices));
            gl.draw_arrays(glow::TRIANGLES, 0, 3);
            gl.bind_vertex_array(None);
        }
        Ok(longest)
    }

    /// Starts copying the target into the pixel buffer.
    fn read_back(&self) -> Result<glow::Fence, UiError> {
        let gl = &self.gl;
        let (width, height) = self.extent;
        // SAFETY: the context is current; the buffer holds width x height x 4 bytes, and rows of RGBA8
        // need no padding at any pack alignment.
        unsafe {
            gl.bind_buffer(glow::PIXEL_PACK_BUFFER, Some(self.pixels));
            gl.read_pixels(
                0,
                0,
                width,
                height,
                glow::RGBA,
                glow::UNSIGNED_BYTE,
                glow::PixelPackData::BufferOffset(0),
            );
            gl.bind_buffer(glow::PIXEL_PACK_BUFFER, None);
            let fence = gl.fence_sync(glow::SYNC_GPU_COMMANDS_COMPLETE, 0);
            gl.flush();
            fence.map_err(UiError::Resample)
        }
    }

    /// Waits until the device has passed the fence.
    fn wait(&self, fence: glow::Fence, longest: Duration) -> Result<(), UiError> {
        let started = Instant::now();
        loop {
            let left = longest.saturating_sub(started.elapsed()).min(SLICE_MAX);
            let nanoseconds = i32::try_from(left.as_nanos()).unwrap_or(i32::MAX);
            // SAFETY: the context is current and the fence is this value's.
            let passed = unsafe {
                let flush = glow::SYNC_FLUSH_COMMANDS_BIT;
                self.gl.client_wait_sync(fence, flush, nanoseconds)
            };
            match passed {
                glow::ALREADY_SIGNALED | glow::CONDITION_SATISFIED => return Ok(()),
                glow::TIMEOUT_EXPIRED if !left.is_zero() => {}
                glow::TIMEOUT_EXPIRED => {
                    let longest = longest.as_millis();
                    let reason = format!("the device is late by more than {longest} ms");
                    return Err(UiError::Resample(reason));
                }
                code => {
                    // SAFETY: a query of the current context.
                    let error = unsafe { self.gl.get_error() };
                    return Err(UiError::Resample(format!(
                        "waiting for the device failed ({code:#06x}, OpenGL error {error:#06x})"
                    )));
                }
            }
        }
    }

    /// Shows the pixel buffer's bytes.
    fn mapped<R>(&self, read: impl FnOnce(&[u8]) -> R) -> Result<R, UiError> {
        let gl = &self.gl;
        // SAFETY: the context is current; the range is the buffer's own.
        let start = unsafe {
            gl.bind_buffer(glow::PIXEL_PACK_BUFFER, Some(self.pixels));
            gl.map_buffer_range(glow::PIXEL_PACK_BUFFER, 0, self.length, glow::MAP_READ_BIT)
        };
        let result = if start.is_null() {
            None
        } else {
            // SAFETY: the driver mapped as many bytes for reading, and nobody writes to them before
            // they are unmapped below; the fence behind the last copy into them was passed.
            let pixels = unsafe {
                std::slice::from_raw_parts(start.cast_const(), self.length.unsigned_abs() as usize)
            };
            let result = read(pixels);
            // SAFETY: the context is current and the buffer is bound and mapped.
            unsafe { gl.unmap_buffer(glow::PIXEL_PACK_BUFFER) };
            Some(result)
        };
        // SAFETY: the context is current.
        unsafe { gl.bind_buffer(glow::PIXEL_PACK_BUFFER, None) };
        no_error(gl, "reading a frame back")?;
        result.ok_or_else(|| UiError::Resample("the driver does not map the pixel buffer".into()))
    }

    fn forget(&mut self) {
        if let Some(begun) = self.begun.take() {
            // SAFETY: the context is current; the fence is not used after this.
            unsafe { self.gl.delete_sync(begun.fence) };
        }
    }
}

/// Whether every pixel was drawn with this number.
fn is_drawn(pixels: &[u8], mark: u8) -> bool {
    let pixels = pixels.as_chunks::<4>().0;
    let wrong = pixels
        .iter()
        .fold(0, |wrong, pixel| wrong | (pixel[3] ^ mark));
    wrong == 0 && !pixels.is_empty()
}

fn compile(gl: &glow::Context, layout: &str) -> Result<Program, UiError> {
    let samplers = [
        "plane0",
        "plane1",
        "plane2",
        "luma_columns",
        "luma_rows",
        "chroma_columns",
        "chroma_rows",
    ];
    let program = program::compile_for(gl, layout, VERTEX, FRAGMENT, &samplers)?;
    // SAFETY: the context is current and the program was just made on it.
    let uniform = |name| unsafe { gl.get_uniform_location(program, name) };
    Ok(Program {
        program,
        taps: uniform("taps"),
        one: uniform("one"),
        mark: uniform("mark"),
        to_rgb: uniform("to_rgb"),
        offset: uniform("offset"),
        drawn: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pixel_of_another_frame_is_enough_to_refuse_the_picture() {
        let mut pixels = [9, 9, 9, 7].repeat(5);
        assert!(is_drawn(&pixels, 7));
        assert!(!is_drawn(&pixels, 8));
        pixels[4 * 4 + 3] = 6;
        assert!(!is_drawn(&pixels, 7));
        assert!(!is_drawn(&[], 7));
    }
}
