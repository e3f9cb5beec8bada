//! From a frame to a tensor: crop, resize, colour conversion, quantise, over only the pixels needed.
//!
//! The planes of the crop are resized as they are (Y from the full plane, U and V from the halved
//! ones, or all three from a packed plane), and only the target-sized result is converted to RGB: no
//! full frame is ever converted.
//! The tensor is `[1, height, width, 3]`, NHWC, RGB. The crop is stretched to the target whatever
//! its aspect ratio, which is how the models were trained, so that a box normalised to the tensor
//! is a box normalised to the crop.
//!
//! Called by the infer thread only. Steady state allocates nothing: weights and lines are kept.
//!
//! A [`TensorRenderer`], such as a graphics device, may do the same in place of the CPU
//! ([`Preprocessor::render_by`]). Where it fails the CPU does it, for that frame and from then on, and
//! that is said once.
//!
//! Accuracy: within 5.5 levels of 255 (1 on average) of the same filter in `f64` followed by an exact
//! conversion, on noise, in 180,000 random sizes, crops and formats; on smooth pictures within 6 (1 on
//! average) of converting the full frame first (`tests`).

mod axis;
mod renderer;
mod resample;

use crate::frame::{ColorMatrix, ColorRange, Frame, FrameFormat, PixelFormat};
use crate::geometry::{FramePixels, Rect, Size};
use axis::Axis;
use renderer::Rendering;
use resample::{COLUMN_ONE, Chroma, Lines, ROW_ONE};

pub use renderer::{AxisWeights, Filter, Means, RenderError, TensorRenderer};

/// Why a frame could not be turned into a tensor.
#[derive(Debug, thiserror::Error)]
pub enum PreprocessError {
    /// Nothing to look at.
    #[error("crop {crop:?} holds no pixel of a {width}x{height} frame")]
    EmptyCrop {
        /// The crop asked for.
        crop: Rect<FramePixels>,
        /// Width of the frame.
        width: u32,
        /// Height of the frame.
        height: u32,
    },
    /// The tensor is not `[1, height, width, 3]`.
    #[error("the tensor holds {actual} values where {expected} are needed")]
    TensorLength {
        /// Values in the tensor.
        actual: usize,
        /// Height × width × 3.
        expected: usize,
    },
    /// The colour conversion refused its planes.
    #[error("colour conversion")]
    Colour(#[source] yuv::YuvError),
}

/// A model's input tensor to be filled, NHWC RGB.
#[derive(Debug)]
pub enum TensorMut<'a> {
    /// Bytes 0..=255, as they are.
    U8(&'a mut [u8]),
    /// The bits of `i8` values: pixel minus 128.
    I8Bits(&'a mut [u8]),
    /// -1..=1: what float models of the MobileNet and SSD families were trained with.
    F32(&'a mut [f32]),
}

impl TensorMut<'_> {
    fn len(&self) -> usize {
        match self {
            Self::U8(values) | Self::I8Bits(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }
}

/// Turns frames into tensors of one size; one per model, so that weights and buffers fit.
#[derive(Debug)]
pub struct Preprocessor {
    target: Size,
    luma: [Axis; 2],
    chroma: [Axis; 2],
    lines: Lines,
    planes: [Vec<u8>; 3],
    rgb: Vec<u8>,
    rendering: Rendering,
}

impl Preprocessor {
    /// A preprocessor for tensors `[1, target.height, target.width, 3]`.
    #[must_use]
    pub fn new(target: Size) -> Self {
        let pixels = target.width as usize * target.height as usize;
        let axes = || [Axis::new(COLUMN_ONE), Axis::new(ROW_ONE)];
        Self {
            target,
            luma: axes(),
            chroma: axes(),
            lines: Lines::default(),
            planes: [(); 3].map(|()| vec![0; pixels]),
            rgb: Vec::new(),
            rendering: Rendering::default(),
        }
    }

    /// Has tensors made by a renderer from now on, until it fails.
    pub fn render_by(&mut self, renderer: Box<dyn TensorRenderer>) {
        self.rendering = Rendering::by(renderer);
    }

    /// What makes the tensors now.
    #[must_use]
    pub const fn means(&self) -> Means {
        self.rendering.means()
    }

    /// What was said when the renderer failed, once.
    pub fn take_failure(&mut self) -> Option<String> {
        self.rendering.take_failure()
    }

    /// Size of the tensors.
    #[must_use]
    pub const fn target(&self) -> Size {
        self.target
    }

    /// Says which tensor will be asked for next, so that a renderer can start on it; the CPU does
    /// nothing yet. Does not wait.
    pub fn begin(&mut self, frame: &Frame, crop: Rect<FramePixels>) {
        // A crop without pixels is told when the tensor is asked for.
        if self.means() == Means::Renderer && self.map_axes(frame.format(), crop).is_ok() {
            let format = frame.format().pixel_format;
            let filter = Filter::new(format, &self.luma, &self.chroma);
            self.rendering.begin(frame, crop, &filter);
        }
    }

    /// Fills the tensor with the part of `frame` inside `crop`, stretched. Waits for a renderer, for a
    /// bounded time.
    ///
    /// # Errors
    ///
    /// The crop holds no pixel, or the tensor has another size than announced.
    pub fn fill(
        &mut self,
        frame: &Frame,
        crop: Rect<FramePixels>,
        mut tensor: TensorMut<'_>,
    ) -> Result<(), PreprocessError> {
        let expected = 3 * self.target.width as usize * self.target.height as usize;
        if tensor.len() != expected || expected == 0 {
            return Err(PreprocessError::TensorLength {
                actual: tensor.len(),
                expected,
            });
        }
        self.map_axes(frame.format(), crop)?;
        if self.means() == Means::Renderer {
            let format = frame.format().pixel_format;
            let filter = Filter::new(format, &self.luma, &self.chroma);
            if self.rendering.fill(frame, crop, &filter, &mut tensor) {
                return Ok(());
            }
        }
        match tensor {
            TensorMut::U8(bytes) => self.rgb_into(frame, bytes),
            TensorMut::I8Bits(bytes) => {
                self.rgb_into(frame, bytes)?;
                for byte in bytes {
                    *byte ^= 0x80;
                }
                Ok(())
            }
            TensorMut::F32(values) => {
                let mut rgb = std::mem::take(&mut self.rgb);
                rgb.resize(expected, 0);
                let filled = self.rgb_into(frame, &mut rgb);
                for (value, byte) in values.iter_mut().zip(&rgb) {
                    *value = f32::from(*byte) / 127.5 - 1.0;
                }
                self.rgb = rgb;
                filled
            }
        }
    }

    fn map_axes(
        &mut self,
        format: &FrameFormat,
        crop: Rect<FramePixels>,
    ) -> Result<(), PreprocessError> {
        let size = format.size;
        let clip = |from: f32, to: f32, length: u32| {
            let (from, to) = (
                f64::from(from).max(0.0),
                f64::from(to).min(f64::from(length)),
            );
            (from, to - from)
        };
        let (left, width) = clip(crop.left(), crop.right(), size.width);
        let (top, height) = clip(crop.top(), crop.bottom(), size.height);
        // Also false for a NaN, which a `Rect` cannot hold.
        if !(width > 0.0 && height > 0.0) {
            return Err(PreprocessError::EmptyCrop {
                crop,
                width: size.width,
                height: size.height,
            });
        }
        let (to_width, to_height) = (self.target.width as usize, self.target.height as usize);
        let (samples, rows) = (size.width as usize, size.height as usize);
        self.luma[0].map(samples, left, width, to_width);
        self.luma[1].map(rows, top, height, to_height);
        // A chroma sample lies in the middle of its pixels; at the far edge of an odd size half of it
        // lies outside.
        if !format.pixel_format.is_rgb() {
            self.chroma[0].map(samples.div_ceil(2), left / 2.0, width / 2.0, to_width);
        }
        if matches!(format.pixel_format, PixelFormat::I420 | PixelFormat::Nv12) {
            self.chroma[1].map(rows.div_ceil(2), top / 2.0, height / 2.0, to_height);
        }
        Ok(())
    }

    fn rgb_into(&mut self, frame: &Frame, out: &mut [u8]) -> Result<(), PreprocessError> {
        let [columns, rows] = &self.luma;
        let lines = &mut self.lines;
        let picture = frame.plane(0);
        let [y, u, v] = &mut self.planes;
        match frame.format().pixel_format {
            PixelFormat::Rgb24 => {
                resample::rgb::<3, 0>(picture, columns, rows, lines, out);
                return Ok(());
            }
            PixelFormat::Bgr24 => {
                resample::rgb::<3, 2>(picture, columns, rows, lines, out);
                return Ok(());
            }
            PixelFormat::Rgbx32 => {
                resample::rgb::<4, 0>(picture, columns, rows, lines, out);
                return Ok(());
            }
            PixelFormat::Bgrx32 => {
                resample::rgb::<4, 2>(picture, columns, rows, lines, out);
                return Ok(());
            }
            PixelFormat::Yuyv => {
                let chroma = &self.chroma[0];
                resample::packed::<0>(picture, [columns, chroma], rows, lines, [y, u, v]);
            }
            PixelFormat::Uyvy => {
                let chroma = &self.chroma[0];
                resample::packed::<1>(picture, [columns, chroma], rows, lines, [y, u, v]);
            }
            PixelFormat::I420 => {
                resample::plane(picture, columns, rows, lines, y);
                let [columns, rows] = &self.chroma;
                let chroma = Chroma::Planar(frame.plane(1), frame.plane(2));
                resample::chroma(chroma, columns, rows, lines, u, v);
            }
            PixelFormat::Nv12 => {
                resample::plane(picture, columns, rows, lines, y);
                let [columns, rows] = &self.chroma;
                let chroma = Chroma::Interleaved(frame.plane(1));
                resample::chroma(chroma, columns, rows, lines, u, v);
            }
        }
        let (width, height) = (self.target.width, self.target.height);
        let image = yuv::YuvPlanarImage {
            y_plane: y,
            y_stride: width,
            u_plane: u,
            u_stride: width,
            v_plane: v,
            v_stride: width,
            width,
            height,
        };
        let range = match frame.format().range {
            ColorRange::Limited => yuv::YuvRange::Limited,
            ColorRange::Full => yuv::YuvRange::Full,
        };
        let matrix = match frame.format().matrix {
            ColorMatrix::Bt601 => yuv::YuvStandardMatrix::Bt601,
            ColorMatrix::Bt709 => yuv::YuvStandardMatrix::Bt709,
        };
        yuv::yuv444_to_rgb(&image, out, 3 * width, range, matrix).map_err(PreprocessError::Colour)
    }
}

#[cfg(test)]
mod tests;
