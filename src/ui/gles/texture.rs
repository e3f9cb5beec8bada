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
        let format = *frame.format();
        if self.format != Some(format) {
            self.delete(gl);
            for index in 0..format.pixel_format.planes() {
                let (internal, _, _) = plane_layout(&format, index);
                let size = plane_size(&frame.plane(index)).ok_or_else(|| too_large(format.size))?;
                self.textures[index] = Some(texture(gl, internal, size)?);
            }
            self.format = Some(format);
        }
        if self.meta == Some(frame.meta) {
            return Ok(());
        }
        for (index, texture) in self.textures.iter().enumerate() {
            if texture.is_some() {
                let (_, transfer, sample) = plane_layout(&format, index);
                upload(gl, *texture, frame.plane(index), transfer, sample)?;
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

/// Internal format, transfer format and bytes per sample of a plane.
const fn plane_layout(format: &FrameFormat, plane: usize) -> (u32, u32, usize) {
    match (format.pixel_format, plane) {
        (PixelFormat::Rgb24, _) => (glow::RGB8, glow::RGB, 3),
        (PixelFormat::Nv12, 1) => (glow::RG8, glow::RG, 2),
        (PixelFormat::Nv12 | PixelFormat::I420, _) => (glow::R8, glow::RED, 1),
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
    if plane.data.len() < needed || !plane.stride.is_multiple_of(sample) {
        return Err(misfit());
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
