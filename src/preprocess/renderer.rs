//! Tensors by other means than the CPU: what such means have to do, and the filter they do it with.
//!
//! The filter is handed over as the weights that the CPU would use, so that the two cannot drift
//! apart: what a renderer makes differs from the CPU's tensor by roundings of the colour conversion
//! alone.

use std::error::Error;

use super::axis::Axis;
use super::resample::{COLUMN_ONE, ROW_ONE};
use super::{PreprocessError, TensorMut};
use crate::frame::{Frame, FrameMeta, PixelFormat};
use crate::geometry::{FramePixels, Rect};

/// How the samples of one axis of a plane become the samples of the tensor's.
#[derive(Clone, Copy, Debug)]
pub struct AxisWeights<'a> {
    /// The first source sample that is looked at; `starts` counts from it.
    pub first: usize,
    /// Per target sample its first source sample.
    pub starts: &'a [usize],
    /// Source samples per target sample.
    pub taps: usize,
    /// `taps` weights per target sample; each such row adds up to `one`.
    pub weights: &'a [u32],
    /// The weight of everything.
    pub one: u32,
}

/// How the planes of a frame become a tensor's: columns, then rows, of each.
#[derive(Clone, Copy, Debug)]
pub struct Filter<'a> {
    /// Y, or red, green and blue.
    pub luma: [AxisWeights<'a>; 2],
    /// U and V, in their own samples; meaningless for RGB.
    pub chroma: [AxisWeights<'a>; 2],
}

impl<'a> Filter<'a> {
    pub(super) fn new(format: PixelFormat, luma: &'a [Axis; 2], chroma: &'a [Axis; 2]) -> Self {
        let view = |axis: &'a Axis, one| AxisWeights {
            first: axis.span().0,
            starts: axis.starts(),
            taps: axis.taps(),
            weights: axis.weights(),
            one,
        };
        let pair = |columns, rows| [view(columns, COLUMN_ONE), view(rows, ROW_ONE)];
        let [columns, rows] = luma;
        let luma = pair(columns, rows);
        let chroma = match format {
            PixelFormat::I420 | PixelFormat::Nv12 => pair(&chroma[0], &chroma[1]),
            // As many rows of chroma as of luma.
            PixelFormat::Yuyv | PixelFormat::Uyvy => pair(&chroma[0], rows),
            PixelFormat::Rgb24 | PixelFormat::Bgr24 | PixelFormat::Rgbx32 | PixelFormat::Bgrx32 => {
                luma
            }
        };
        Self { luma, chroma }
    }
}

/// Why a renderer did not fill a tensor.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct RenderError(pub Box<dyn Error + Send + Sync>);

/// Something that makes tensors of frames while the CPU does something else: a graphics device.
///
/// One frame at a time: what was begun and not finished is forgotten when the next is begun. After
/// an error it is not called again.
pub trait TensorRenderer: Send + std::fmt::Debug {
    /// Starts on a frame, and returns as soon as nothing more is for the CPU to do.
    ///
    /// # Errors
    ///
    /// The frame cannot be taken, or the device fails.
    fn begin(&mut self, frame: &Frame, filter: &Filter<'_>) -> Result<(), RenderError>;

    /// Waits for what was begun last, for a bounded time, and fills the tensor with it.
    ///
    /// # Errors
    ///
    /// Nothing was begun, it is not ready in time, or the device fails.
    fn finish(&mut self, tensor: &mut TensorMut<'_>) -> Result<(), RenderError>;
}

/// What makes a preprocessor's tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// The CPU.
    Cpu,
    /// A [`TensorRenderer`].
    Renderer,
}

/// A frame's pixels and the part of it that was begun.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Begun {
    meta: FrameMeta,
    pixels: usize,
    crop: Rect<FramePixels>,
}

impl Begun {
    fn of(frame: &Frame, crop: Rect<FramePixels>) -> Self {
        Self {
            meta: frame.meta,
            pixels: frame.plane(0).data.as_ptr().addr(),
            crop,
        }
    }
}

/// A renderer until it fails, and what it said then.
#[derive(Debug, Default)]
pub(super) struct Rendering {
    renderer: Option<Box<dyn TensorRenderer>>,
    begun: Option<Begun>,
    failure: Option<String>,
}

impl Rendering {
    pub(super) fn by(renderer: Box<dyn TensorRenderer>) -> Self {
        Self {
            renderer: Some(renderer),
            ..Self::default()
        }
    }

    pub(super) const fn means(&self) -> Means {
        match self.renderer {
            Some(_) => Means::Renderer,
            None => Means::Cpu,
        }
    }

    /// Starts on a frame, where there is a renderer.
    pub(super) fn begin(&mut self, frame: &Frame, crop: Rect<FramePixels>, filter: &Filter<'_>) {
        self.begun = None;
        let Some(renderer) = &mut self.renderer else {
            return;
        };
        match renderer.begin(frame, filter) {
            Ok(()) => self.begun = Some(Begun::of(frame, crop)),
            Err(error) => self.give_up(&error),
        }
    }

    /// Fills a tensor with this part of a frame, begun before or not. False where the CPU has to.
    pub(super) fn fill(
        &mut self,
        frame: &Frame,
        crop: Rect<FramePixels>,
        filter: &Filter<'_>,
        tensor: &mut TensorMut<'_>,
    ) -> bool {
        if self.begun != Some(Begun::of(frame, crop)) {
            self.begin(frame, crop, filter);
        }
        self.begun = None;
        let Some(renderer) = &mut self.renderer else {
            return false;
        };
        match renderer.finish(tensor) {
            Ok(()) => true,
            Err(error) => {
                self.give_up(&error);
                false
            }
        }
    }

    /// The CPU does it from now on, and that is said.
    fn give_up(&mut self, error: &RenderError) {
        let said = format!("the CPU makes the detector's input from now on: {error}");
        log::error!("{said}");
        *self = Self {
            failure: Some(said),
            ..Self::default()
        };
    }

    /// What was said when the renderer failed, once.
    pub(super) fn take_failure(&mut self) -> Option<String> {
        self.failure.take()
    }
}

impl TensorMut<'_> {
    /// Fills the tensor from pixels of bytes R, G, B and one without meaning, `[height, width, 4]`.
    ///
    /// # Errors
    ///
    /// There are more or fewer pixels than the tensor has.
    pub fn fill_from_rgbx(&mut self, pixels: &[u8]) -> Result<(), PreprocessError> {
        let (expected, pixels) = (self.len(), pixels.as_chunks::<4>().0);
        if expected != 3 * pixels.len() {
            return Err(PreprocessError::TensorLength {
                actual: expected,
                expected: 3 * pixels.len(),
            });
        }
        match self {
            Self::U8(bytes) => {
                for (to, [r, g, b, _]) in bytes.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
                    *to = [*r, *g, *b];
                }
            }
            Self::I8Bits(bytes) => {
                for (to, [r, g, b, _]) in bytes.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
                    *to = [r ^ 0x80, g ^ 0x80, b ^ 0x80];
                }
            }
            Self::F32(values) => {
                for (to, [r, g, b, _]) in values.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
                    *to = [*r, *g, *b].map(|byte| f32::from(byte) / 127.5 - 1.0);
                }
            }
        }
        Ok(())
    }
}
