//! Frames for a software renderer: fitted and converted by the CPU's vector units, then copied.
//!
//! A software renderer runs the shader of [`super::video`] pixel by pixel: 11 ms of CPU time for two
//! pictures of 632x474. Converting, resizing and copying takes a quarter of that, and averages where
//! a large frame becomes small.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use glow::HasContext;
use yuv::{
    YuvBiPlanarImage, YuvConversionMode, YuvError, YuvPackedImage, YuvPlanarImage, YuvRange,
    YuvStandardMatrix,
};

use super::Target;
use super::offscreen::gl_size;
use super::program::no_error;
use super::texture::{texture, upload};
use crate::frame::{ColorMatrix, ColorRange, Frame, FrameMeta, PixelFormat, Plane};
use crate::geometry::{Rect, ScreenPixels, Size};
use crate::ui::UiError;
use crate::units::StreamId;

/// A stream's fitted frame on the device, bottom row first.
struct Fitted {
    texture: glow::Texture,
    framebuffer: glow::Framebuffer,
    size: Size,
    meta: Option<FrameMeta>,
}

#[derive(Default)]
pub(super) struct FittedVideos {
    streams: [Option<Fitted>; 2],
    fitter: Fitter,
}

impl FittedVideos {
    /// Draws a frame into `rect`, which is on whole pixels, of the target, which is bound. The same
    /// frame is fitted once.
    pub(super) fn draw(
        &mut self,
        gl: &glow::Context,
        stream: StreamId,
        frame: &Frame,
        rect: Rect<ScreenPixels>,
        target: Target,
    ) -> Result<(), UiError> {
        let Some((size, [left, bottom, right, top])) = place(rect, target.size) else {
            return Ok(());
        };
        let slot = &mut self.streams[stream.index()];
        if slot.as_ref().is_none_or(|fitted| fitted.size != size) {
            if let Some(old) = slot.take() {
                old.delete(gl);
            }
            *slot = Some(Fitted::new(gl, size)?);
        }
        let Some(fitted) = slot else {
            return Ok(());
        };
        if fitted.meta != Some(frame.meta) {
            fitted.meta = None;
            let pixels = self.fitter.fit(frame, size)?;
            let width = size.width as usize;
            let plane = Plane {
                data: pixels,
                stride: width * 4,
                width,
                height: size.height as usize,
            };
            upload(gl, Some(fitted.texture), plane, glow::RGBA, 4)?;
            fitted.meta = Some(frame.meta);
        }
        // SAFETY: the context is current; both framebuffers live. Sizes are equal, so that the driver
        // copies rows. Afterwards the target is bound for both again.
        unsafe {
            gl.bind_framebuffer(glow::READ_FRAMEBUFFER, Some(fitted.framebuffer));
            let (width, height) = (right - left, top - bottom);
            gl.blit_framebuffer(
                0,
                0,
                width,
                height,
                left,
                bottom,
                right,
                top,
                glow::COLOR_BUFFER_BIT,
                glow::NEAREST,
            );
            gl.bind_framebuffer(glow::FRAMEBUFFER, target.framebuffer);
        }
        // Asked here, because the vector library asks too and swallows the answer.
        no_error(gl, "copying a frame")
    }
}

impl Fitted {
    fn new(gl: &glow::Context, size: Size) -> Result<Self, UiError> {
        let texture = texture(gl, glow::RGBA8, size)?;
        // SAFETY: the context is current; objects are made right here.
        let framebuffer = unsafe {
            let framebuffer = gl.create_framebuffer().map_err(UiError::Shader)?;
            gl.bind_framebuffer(glow::READ_FRAMEBUFFER, Some(framebuffer));
            gl.framebuffer_texture_2d(
                glow::READ_FRAMEBUFFER,
                glow::COLOR_ATTACHMENT0,
                glow::TEXTURE_2D,
                Some(texture),
                0,
            );
            framebuffer
        };
        Ok(Self {
            texture,
            framebuffer,
            size,
            meta: None,
        })
    }

    fn delete(self, gl: &glow::Context) {
        // SAFETY: the context is current and the objects are nobody else's.
        unsafe {
            gl.delete_framebuffer(self.framebuffer);
            gl.delete_texture(self.texture);
        }
    }
}

/// Size of a rectangle on whole pixels, and its left, bottom, right and top in GL's coordinates, where
/// y grows upwards; `None` where it is empty.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole numbers of the size of a picture"
)]
fn place(rect: Rect<ScreenPixels>, picture: Size) -> Option<(Size, [i32; 4])> {
    let (_, height) = gl_size(picture)?;
    let size = Size {
        width: rect.width() as u32,
        height: rect.height() as u32,
    };
    let (left, top) = (rect.left() as i32, rect.top() as i32);
    let (right, bottom) = (rect.right() as i32, rect.bottom() as i32);
    (size.width > 0 && size.height > 0)
        .then_some((size, [left, height - bottom, right, height - top]))
}

/// Converts and resizes; its memory is used again.
#[derive(Default)]
struct Fitter {
    resizer: Resizer,
    /// The whole frame, four bytes per pixel.
    rgba: Vec<u8>,
    fitted: Vec<u8>,
    upside_down: Vec<u8>,
}

impl Fitter {
    /// The frame as RGBA of `size`, bottom row first. Four bytes per pixel resize as fast as one
    /// (0.9 ms from 768x576 to 632x474), so that converting first (0.1 ms) is the cheaper order.
    fn fit(&mut self, frame: &Frame, size: Size) -> Result<&[u8], UiError> {
        let failed = |reason: &dyn std::fmt::Display| {
            UiError::Shader(format!("fitting a frame into the picture: {reason}"))
        };
        let Size { width, height } = frame.size();
        self.rgba.resize(width as usize * height as usize * 4, 0);
        convert(frame, &mut self.rgba).map_err(|error| failed(&error))?;
        let row = size.width as usize * 4;
        let length = row * size.height as usize;
        self.fitted.resize(length, 0);
        let kind = PixelType::U8x4;
        let source =
            ImageRef::new(width, height, &self.rgba, kind).map_err(|error| failed(&error))?;
        let mut into = Image::from_slice_u8(size.width, size.height, &mut self.fitted, kind)
            .map_err(|error| failed(&error))?;
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
            .use_alpha(false);
        self.resizer
            .resize(&source, &mut into, &options)
            .map_err(|error| failed(&error))?;
        self.upside_down.resize(length, 0);
        let rows = self.fitted.chunks_exact(row).rev();
        for (to, from) in self.upside_down.chunks_exact_mut(row).zip(rows) {
            to.copy_from_slice(from);
        }
        Ok(&self.upside_down)
    }
}

/// Converts a frame to RGBA, rows packed tightly.
fn convert(frame: &Frame, rgba: &mut [u8]) -> Result<(), YuvError> {
    let Size { width, height } = frame.size();
    let range = match frame.format().range {
        ColorRange::Limited => YuvRange::Limited,
        ColorRange::Full => YuvRange::Full,
    };
    let matrix = match frame.format().matrix {
        ColorMatrix::Bt601 => YuvStandardMatrix::Bt601,
        ColorMatrix::Bt709 => YuvStandardMatrix::Bt709,
    };
    let stride = |plane: &Plane<'_>| u32::try_from(plane.stride).unwrap_or(u32::MAX);
    let [first, second, third] = [0, 1, 2].map(|index| frame.plane(index));
    match frame.format().pixel_format {
        PixelFormat::I420 => {
            let image = YuvPlanarImage {
                y_plane: first.data,
                y_stride: stride(&first),
                u_plane: second.data,
                u_stride: stride(&second),
                v_plane: third.data,
                v_stride: stride(&third),
                width,
                height,
            };
            yuv::yuv420_to_rgba(&image, rgba, width * 4, range, matrix)
        }
        PixelFormat::Nv12 => {
            let image = YuvBiPlanarImage {
                y_plane: first.data,
                y_stride: stride(&first),
                uv_plane: second.data,
                uv_stride: stride(&second),
                width,
                height,
            };
            let mode = YuvConversionMode::default();
            yuv::yuv_nv12_to_rgba(&image, rgba, width * 4, range, matrix, mode)
        }
        PixelFormat::Yuyv | PixelFormat::Uyvy => {
            let convert = if frame.format().pixel_format == PixelFormat::Yuyv {
                yuv::yuyv422_to_rgba
            } else {
                yuv::uyvy422_to_rgba
            };
            // Row by row: the library wants the padding of the last row, too, which need not be there.
            let rows = first.data.chunks(first.stride.max(1));
            let row_bytes = first.width * 4;
            for (to, from) in rgba.chunks_exact_mut(width as usize * 4).zip(rows) {
                let image = YuvPackedImage {
                    yuy: from.get(..row_bytes).unwrap_or_default(),
                    yuy_stride: u32::try_from(row_bytes).unwrap_or(u32::MAX),
                    width,
                    height: 1,
                };
                convert(&image, to, width * 4, range, matrix)?;
            }
            Ok(())
        }
        PixelFormat::Rgb24 => {
            reorder::<3, 0>(&first, rgba);
            Ok(())
        }
        PixelFormat::Bgr24 => {
            reorder::<3, 2>(&first, rgba);
            Ok(())
        }
        PixelFormat::Rgbx32 => {
            reorder::<4, 0>(&first, rgba);
            Ok(())
        }
        PixelFormat::Bgrx32 => {
            reorder::<4, 2>(&first, rgba);
            Ok(())
        }
    }
}

/// Pixels of `BYTES` bytes, green the second, red number `RED` and blue number `2 - RED`, as RGBA.
fn reorder<const BYTES: usize, const RED: usize>(plane: &Plane<'_>, rgba: &mut [u8]) {
    let rows = plane.data.chunks(plane.stride.max(1));
    for (to, from) in rgba.chunks_exact_mut(plane.width * 4).zip(rows) {
        let pixels = from.as_chunks::<BYTES>().0;
        for (to, from) in to.as_chunks_mut::<4>().0.iter_mut().zip(pixels) {
            *to = [from[RED], from[1], from[2 - RED], u8::MAX];
        }
    }
}
