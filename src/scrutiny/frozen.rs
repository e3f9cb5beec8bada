//! Frozen picture: the same bytes again, alone or in a short cycle.
//!
//! A camera's noise makes every picture differ from the one before; a picture that repeats is a
//! stuck sensor, driver or buffer. Files may repeat pictures on purpose (a film of 10 pictures per
//! second shown at 25 frames per second), which is why only time makes it a verdict.

use std::time::Duration;

use crate::frame::{Frame, PixelFormat, plane_extent};
use crate::units::MonotonicTime;

/// Longest cycle of pictures that is recognised: a driver that hands out the same few buffers in
/// turn. V4L2 drivers have 2 to 32, usually 4.
pub(super) const CYCLE_MAX: usize = 8;

/// When the picture was new last.
#[derive(Clone, Debug, Default)]
pub(super) struct FrozenCheck {
    /// The newest pictures that were new, as checksums.
    recent: [Option<u32>; CYCLE_MAX],
    /// Where the next one goes.
    next: usize,
    new_at: Option<MonotonicTime>,
}

impl FrozenCheck {
    /// Time for which nothing new was seen, at `captured`.
    pub(super) fn observe(&mut self, frame: &Frame, captured: MonotonicTime) -> Duration {
        let checksum = checksum(frame);
        let new_at = match self.new_at {
            // A clock that ran backwards is somebody else's fault to find; counting starts anew.
            Some(at) if at <= captured && self.recent.contains(&Some(checksum)) => at,
            Some(_) | None => captured,
        };
        if !self.recent.contains(&Some(checksum)) {
            self.recent[self.next] = Some(checksum);
            self.next = (self.next + 1) % CYCLE_MAX;
        }
        self.new_at = Some(new_at);
        captured.saturating_since(new_at)
    }
}

/// CRC-32 (IEEE 802.3) over every visible byte of every plane; padding of rows is left out, and the
/// fourth bytes of pixels that have no meaning: what changes there is no new picture.
///
/// 32 bits are enough: equal pictures always have equal checksums, and different ones would have to
/// collide (1 in 500 million, each time) in every frame of `frozen_after_ms` for a false alarm.
fn checksum(frame: &Frame) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let format = frame.format();
    for index in 0..format.pixel_format.planes() {
        let plane = frame.plane(index);
        let (row_bytes, _) = plane_extent(format, index);
        if matches!(
            format.pixel_format,
            PixelFormat::Rgbx32 | PixelFormat::Bgrx32
        ) {
            for row in plane.data.chunks(plane.stride.max(1)) {
                hash_without_fourth(&mut hasher, &row[..row_bytes.min(row.len())]);
            }
        } else if plane.stride == row_bytes {
            hasher.update(plane.data);
        } else if plane.stride > 0 {
            for row in plane.data.chunks(plane.stride) {
                hasher.update(&row[..row_bytes.min(row.len())]);
            }
        }
    }
    hasher.finalize()
}

fn hash_without_fourth(hasher: &mut crc32fast::Hasher, row: &[u8]) {
    let mut colours = [[0; 3]; 64];
    for pixels in row.as_chunks::<4>().0.chunks(colours.len()) {
        for (colour, [one, two, three, _]) in colours.iter_mut().zip(pixels) {
            *colour = [*one, *two, *three];
        }
        hasher.update(colours[..pixels.len()].as_flattened());
    }
}
