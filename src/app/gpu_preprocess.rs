//! The detector's input by the graphics device: [`preprocess`](crate::preprocess) says what a renderer
//! has to do, [`ui::gles`](crate::ui::gles) can do it, and neither knows the other.

use std::time::Duration;

use crate::config::{Config, PreprocessChoice};
use crate::frame::Frame;
use crate::geometry::Size;
use crate::inference::Inferencer;
use crate::preprocess::{AxisWeights, Filter, RenderError, TensorMut, TensorRenderer};
use crate::ui::UiError;
use crate::ui::gles::{EGL_LIBRARY, FrameResampler, ResampleAxis, ResampleFilter, ThreadBound};

/// Longest wait for a tensor. The run permission has long gone by then (`max_age_ms`, which the decide
/// thread watches); what counts is that the CPU takes over.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Has the detector's input made as it is configured. Nothing is connected to yet: that is done by the
/// thread that asks for the first tensor.
pub(super) fn attach(config: &Config, inferencer: &mut Inferencer) {
    match config.engine.preprocess {
        PreprocessChoice::Cpu => {}
        PreprocessChoice::Gpu => {
            let renderer = GpuPreprocess::new(inferencer.input_size());
            inferencer.render_by(Box::new(renderer));
        }
    }
}

/// A graphics device as a renderer of tensors. It belongs to the thread that first begins a frame.
#[derive(Debug)]
pub struct GpuPreprocess {
    library: String,
    target: Size,
    longest: Duration,
    resampler: Option<ThreadBound<FrameResampler>>,
}

impl GpuPreprocess {
    /// For tensors `[1, target.height, target.width, 3]`.
    #[must_use]
    pub fn new(target: Size) -> Self {
        Self::with_egl(EGL_LIBRARY, target, WAIT_MAX)
    }

    /// As [`GpuPreprocess::new`], with another EGL library and another longest wait for a tensor.
    #[must_use]
    pub fn with_egl(library: &str, target: Size, longest: Duration) -> Self {
        Self {
            library: library.to_owned(),
            target,
            longest,
            resampler: None,
        }
    }

    /// Connects to the device, if that has not been done, and says its name.
    ///
    /// # Errors
    ///
    /// Says what is missing.
    pub fn connect(&mut self) -> Result<String, RenderError> {
        Ok(self.resampler()?.device())
    }

    fn resampler(&mut self) -> Result<&mut FrameResampler, RenderError> {
        let resampler = match &mut self.resampler {
            Some(made) => made,
            empty => {
                let made = FrameResampler::new(&self.library, self.target, self.longest)?;
                log::info!("the detector's input is made by {}", made.device());
                empty.insert(ThreadBound::new(made))
            }
        };
        resampler
            .get_mut()
            .ok_or_else(|| RenderError("it belongs to another thread".into()))
    }
}

impl TensorRenderer for GpuPreprocess {
    fn begin(&mut self, frame: &Frame, filter: &Filter<'_>) -> Result<(), RenderError> {
        let filter = ResampleFilter {
            luma: filter.luma.map(axis),
            chroma: filter.chroma.map(axis),
        };
        Ok(self.resampler()?.begin(frame, &filter)?)
    }

    fn finish(&mut self, tensor: &mut TensorMut<'_>) -> Result<(), RenderError> {
        let filled = self
            .resampler()?
            .finish(|pixels| tensor.fill_from_rgbx(pixels))?;
        filled.map_err(|error| RenderError(error.into()))
    }
}

impl From<UiError> for RenderError {
    fn from(error: UiError) -> Self {
        Self(error.into())
    }
}

const fn axis(axis: AxisWeights<'_>) -> ResampleAxis<'_> {
    let AxisWeights {
        first,
        starts,
        taps,
        weights,
        one,
    } = axis;
    ResampleAxis {
        first,
        starts,
        taps,
        weights,
        one,
    }
}
