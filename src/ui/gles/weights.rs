//! A filter's weights in the device's memory.

use glow::HasContext;

use super::texture::texture;
use crate::geometry::Size;
use crate::ui::UiError;

/// How the samples of one axis of a plane become target samples.
#[derive(Clone, Copy, Debug)]
pub struct ResampleAxis<'a> {
    /// The first source sample that is looked at; `starts` counts from it.
    pub first: usize,
    /// Per target sample its first source sample.
    pub starts: &'a [usize],
    /// Source samples per target sample.
    pub taps: usize,
    /// `taps` weights per target sample; each such row adds up to `one`. At most 2^16 each.
    pub weights: &'a [u32],
    /// The weight of everything.
    pub one: u32,
}

impl ResampleAxis<'_> {
    /// One past the last source sample that is looked at.
    fn end(&self) -> usize {
        let last = self.starts.iter().max().copied().unwrap_or(0);
        self.first + last + self.taps
    }
}

/// An axis as a texture of whole numbers: a row per target sample, the first source sample at its
/// beginning, then the weights.
#[derive(Default)]
pub(super) struct Weights {
    texture: Option<glow::Texture>,
    size: Size,
    /// What the texture holds.
    held: Vec<u8>,
    wanted: Vec<u8>,
}

impl Weights {
    pub(super) const fn texture(&self) -> Option<glow::Texture> {
        self.texture
    }

    /// Brings the axis to the device, unless it is there. It has to stay within `samples`.
    pub(super) fn update(
        &mut self,
        gl: &glow::Context,
        axis: &ResampleAxis<'_>,
        samples: usize,
    ) -> Result<(), UiError> {
        let misfit = || UiError::Resample("the filter does not fit the frame".to_owned());
        if axis.end() > samples || axis.weights.len() != axis.taps * axis.starts.len() {
            return Err(misfit());
        }
        self.wanted.clear();
        for (start, weights) in axis.starts.iter().zip(axis.weights.chunks(axis.taps)) {
            let start = u32::try_from(axis.first + start).map_err(|_too_large| misfit())?;
            self.wanted.extend(start.to_ne_bytes());
            let weights = weights.iter().flat_map(|weight| weight.to_ne_bytes());
            self.wanted.extend(weights);
        }
        if self.wanted == self.held && self.texture.is_some() {
            return Ok(());
        }
        let size = |value: usize| u32::try_from(value).map_err(|_too_large| misfit());
        let size = Size {
            width: size(axis.taps + 1)?,
            height: size(axis.starts.len())?,
        };
        self.upload(gl, size)?;
        std::mem::swap(&mut self.wanted, &mut self.held);
        Ok(())
    }

    fn upload(&mut self, gl: &glow::Context, size: Size) -> Result<(), UiError> {
        if self.texture.is_none() || self.size != size {
            if let Some(old) = self.texture.take() {
                // SAFETY: the context is current and the texture is this value's.
                unsafe { gl.delete_texture(old) };
            }
            self.texture = Some(texture(gl, glow::R32UI, size)?);
            self.size = size;
            // SAFETY: the context is current and the texture was just bound. Whole numbers are not
            // blended with their neighbours.
            unsafe {
                for name in [glow::TEXTURE_MIN_FILTER, glow::TEXTURE_MAG_FILTER] {
                    gl.tex_parameter_i32(glow::TEXTURE_2D, name, glow::NEAREST.cast_signed());
                }
            }
        }
        let [width, height] = [size.width, size.height].map(u32::cast_signed);
        // SAFETY: the context is current; the slice holds width x height x 4 bytes, and rows of four
        // bytes need no padding. The size was taken by `texture`, so that both fit.
        unsafe {
            gl.active_texture(glow::TEXTURE0);
            gl.bind_texture(glow::TEXTURE_2D, self.texture);
            gl.tex_sub_image_2d(
                glow::TEXTURE_2D,
                0,
                0,
                0,
                width,
                height,
                glow::RED_INTEGER,
                glow::UNSIGNED_INT,
                glow::PixelUnpackData::Slice(Some(&self.wanted)),
            );
        }
        Ok(())
    }
}
