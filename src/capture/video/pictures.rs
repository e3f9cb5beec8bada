//! Pictures between the decoder, which puts them out late and in any order, and their turn.

use std::collections::BTreeSet;

use super::openh264_sys::Picture;
use super::orientation::Orientation;
use super::track::Sample;
use crate::frame::{
    BufferPool, ColorMatrix, ColorRange, FrameBuffer, FrameFormat, PixelFormat, plane_extent,
};
use crate::geometry::Size;

/// Decoded pictures that wait for their turn.
#[derive(Debug)]
pub(super) struct Pictures {
    pub(super) pool: BufferPool,
    pub(super) orientation: Orientation,
    pub(super) matrix: ColorMatrix,
    pub(super) range: ColorRange,
    pub(super) waiting: Vec<Waiting>,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) rank: u32,
    pub(super) format: FrameFormat,
    pub(super) buffer: FrameBuffer,
}

impl Pictures {
    /// Copies a picture out of the decoder, upright, unless nobody waits for it (any more).
    pub(super) fn take(&mut self, picture: &Picture<'_>, samples: &[Sample], next_rank: u32) {
        let Some(rank) = rank(picture, samples).filter(|rank| *rank >= next_rank) else {
            return;
        };
        let coded = Size {
            width: picture.width,
            height: picture.height,
        };
        let format = FrameFormat {
            size: self.orientation.size(coded),
            pixel_format: PixelFormat::I420,
            matrix: self.matrix,
            range: self.range,
        };
        let as_coded = FrameFormat {
            size: coded,
            ..format
        };
        let mut buffer = self.pool.take();
        let planes = buffer.prepare(&format);
        for (index, (to, (from, stride))) in planes.into_iter().zip(picture.planes).enumerate() {
            let (width, height) = plane_extent(&as_coded, index);
            self.orientation.copy(from, stride, width, height, to);
        }
        self.waiting.push(Waiting {
            rank,
            format,
            buffer,
        });
    }
}

fn rank(picture: &Picture<'_>, samples: &[Sample]) -> Option<u32> {
    let number = usize::try_from(picture.tag).ok()?;
    samples.get(number)?.rank
}

pub(super) fn is_lost(picture: &Picture<'_>, samples: &[Sample], lost: &BTreeSet<u32>) -> bool {
    rank(picture, samples).is_some_and(|rank| lost.contains(&rank))
}
