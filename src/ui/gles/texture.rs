//! A stream's newest frame in the device's memory, plane by plane as it lies in ours.

use glow::HasContext;

use super::offscreen::gl_size;
use crate::frame::{Frame, FrameFormat, FrameMeta, PixelFormat, Plane};
use crate::geometry::Size;
use crate::ui::UiError;

/// Textures of one stream.
#[derive(Default)]
pub(super) struct Uploaded {
    textures: [Option<glow::Texture>; 3],
    format: Option<FrameFormat>,
    meta: Option<FrameMeta>,
}

impl Uploaded {
    pub(super) const fn textures(&self) -> [Option<glow::Texture>; 3] {
        self.textures
    }

    /// Brings a frame to the device, unless it is there already.
    pub(super) fn update(&mut self, gl: &glow::Context, frame: &Frame) -> Result<(), UiError> {
        if self.meta == Some(frame.meta) && self.format == Some(*frame.format()) {
            return Ok(());
        }
        self.replace(gl, frame)
    }

    /// Brings a frame to the device.
    pub(super) fn replace(&mut self, gl: &glow::Context, frame: &Frame) -> Result<(), UiError> {
        let format = *frame.format();
        if self.format != Some(format) {
            self.delete(gl);
            for (slot, texels) in self.textures.iter_mut().zip(texels(format.pixel_format)) {
                let Some(texels) = texels else { continue };
                let size =
                    plane_size(&texels.plane(frame)).ok_or_else(|| too_large(format.size))?;
                *slot = Some(texture(gl, texels.internal, size)?);
                if texels.blue_first {
                    swap_red_and_blue(gl);
                }
            }
            self.format = Some(format);
        }
        for (texture, texels) in self.textures.iter().zip(texels(format.pixel_format)) {
            if let Some(texels) = texels {
                let plane = texels.plane(frame);
                upload(gl, *texture, plane, texels.transfer, texels.bytes)?;
            }
        }
        self.meta = Some(frame.meta);
        Ok(())
    }

    fn delete(&mut self, gl: &glow::Context) {
        for texture in self.textures.iter_mut().filter_map(Option::take) {
            // SAFETY: the context is current and the texture is nobody else's.
            unsafe { gl.delete_texture(texture) };
        }
        self.format = None;
        self.meta = None;
    }
}

/// How a texture is made of a plane.
#[derive(Clone, Copy)]
struct Texels {
    plane: usize,
    internal: u32,
    transfer: u32,
    /// Bytes of one.
    bytes: usize,
    /// Whether they begin with blue.
    blue_first: bool,
}

impl Texels {
    const fn new(plane: usize, bytes: usize) -> Self {
        let (internal, transfer) = match bytes {
            1 => (glow::R8, glow::RED),
            2 => (glow::RG8, glow::RG),
            3 => (glow::RGB8, glow::RGB),
            _ => (glow::RGBA8, glow::RGBA),
        };
        Self {
            plane,
            internal,
            transfer,
            bytes,
            blue_first: false,
        }
    }

    const fn blue_first(self) -> Self {
        Self {
            blue_first: true,
            ..self
        }
    }

    /// The plane, its width counted in these.
    fn plane<'a>(&self, frame: &'a Frame) -> Plane<'a> {
        let plane = frame.plane(self.plane);
        let samples = frame.format().pixel_format.sample_bytes(self.plane);
        Plane {
            width: plane.width * samples / self.bytes,
            ..plane
        }
    }
}

/// The textures of a format. Two pixels of YUYV in four bytes become two textures, so that both are
/// sampled and filtered as what they are: luma one by one, with half of the chroma beside it, and
/// chroma by pairs of pixels, with their luma around it.
const fn texels(format: PixelFormat) -> [Option<Texels>; 3] {
    match format {
        PixelFormat::I420 => [
            Some(Texels::new(0, 1)),
            Some(Texels::new(1, 1)),
            Some(Texels::new(2, 1)),
        ],
        PixelFormat::Nv12 => [Some(Texels::new(0, 1)), Some(Texels::new(1, 2)), None],
        PixelFormat::Yuyv | PixelFormat::Uyvy => {
            [Some(Texels::new(0, 2)), Some(Texels::new(0, 4)), None]
        }
        PixelFormat::Rgb24 => [Some(Texels::new(0, 3)), None, None],
        PixelFormat::Bgr24 => [Some(Texels::new(0, 3).blue_first()), None, None],
        PixelFormat::Rgbx32 => [Some(Texels::new(0, 4)), None, None],
        PixelFormat::Bgrx32 => [Some(Texels::new(0, 4).blue_first()), None, None],
    }
}

/// Makes the texture that was just bound give its first byte as blue and its third as red.
fn swap_red_and_blue(gl: &glow::Context) {
    for (channel, byte) in [
        (glow::TEXTURE_SWIZZLE_R, glow::BLUE),
        (glow::TEXTURE_SWIZZLE_B, glow::RED),
    ] {
        // SAFETY: the context is current; both are parameters of every texture of GLES 3.
        unsafe { gl.tex_parameter_i32(glow::TEXTURE_2D, channel, byte.cast_signed()) };
    }
}

fn plane_size(plane: &Plane<'_>) -> Option<Size> {
    Some(Size {
        width: u32::try_from(plane.width).ok()?,
        height: u32::try_from(plane.height).ok()?,
    })
}

fn too_large(size: Size) -> UiError {
    UiError::Framebuffer {
        size,
        reason: String::from("the frame is too large for a texture"),
    }
}

/// A texture without pixels, sampled linearly.
pub(super) fn texture(
    gl: &glow::Context,
    internal: u32,
    size: Size,
) -> Result<glow::Texture, UiError> {
    // SAFETY: a query of the current context.
    let largest = unsafe { gl.get_parameter_i32(glow::MAX_TEXTURE_SIZE) };
    let (width, height) = gl_size(size)
        .filter(|(width, height)| *width.max(height) <= largest)
        .ok_or_else(|| too_large(size))?;
    // SAFETY: the context is current; the size was checked.
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
        Ok(texture)
    }
}

/// Fills a texture row by row: GL cannot be told of rows that do not begin at a whole sample, as
/// drivers lay them out that round rows of three bytes per pixel up to a power of two.
fn upload_by_rows(
    gl: &glow::Context,
    texture: Option<glow::Texture>,
    plane: Plane<'_>,
    transfer: u32,
    sample: usize,
) -> Result<(), UiError> {
    let misfit = || UiError::Shader(String::from("a frame's plane does not fit its texture"));
    let (width, _) = plane_size(&plane).and_then(gl_size).ok_or_else(misfit)?;
    // SAFETY: the context is current.
    unsafe {
        gl.active_texture(glow::TEXTURE0);
        gl.bind_texture(glow::TEXTURE_2D, texture);
        gl.pixel_store_i32(glow::UNPACK_ALIGNMENT, 1);
    }
    let rows = plane.data.chunks(plane.stride).take(plane.height);
    for (y, row) in (0..).zip(rows) {
        let pixels = row.get(..plane.width * sample).ok_or_else(misfit)?;
        // SAFETY: the context is current; with alignment 1 GL reads `width` samples, which is exactly
        // this slice.
        unsafe {
            gl.tex_sub_image_2d(
                glow::TEXTURE_2D,
                0,
                0,
                y,
                width,
                1,
                transfer,
                glow::UNSIGNED_BYTE,
                glow::PixelUnpackData::Slice(Some(pixels)),
            );
        }
    }
    // SAFETY: the context is current.
    unsafe { gl.pixel_store_i32(glow::UNPACK_ALIGNMENT, 4) };
    Ok(())
}

/// Fills a texture from a plane of `sample` bytes per sample.
pub(super) fn upload(
    gl: &glow::Context,
    texture: Option<glow::Texture>,
    plane: Plane<'_>,
    transfer: u32,
    sample: usize,
) -> Result<(), UiError> {
    let misfit = || UiError::Shader(String::from("a frame's plane does not fit its texture"));
    let (width, height) = plane_size(&plane).and_then(gl_size).ok_or_else(misfit)?;
    let Ok(row) = i32::try_from(plane.stride / sample) else {
        return Err(misfit());
    };
    let needed = plane.stride * plane.height.saturating_sub(1) + plane.width * sample;
    if plane.data.len() < needed {
        return Err(misfit());
    }
    if !plane.stride.is_multiple_of(sample) && plane.height > 1 {
        return upload_by_rows(gl, texture, plane, transfer, sample);
    }
    // SAFETY: the context is current; with alignment 1 and this row length GL reads `needed` bytes of
    // the slice, which were checked to be there.
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
