//! The picture's luma on a fixed coarse grid: what texture and contours are looked for in.
//!
//! Averaging is what makes the checks cheap and calm: at 768×576 a cell is the mean of about 23
//! pixels, which takes sensor noise of 5 grey levels down to 1.

use std::ops::Range;

use crate::frame::{Frame, PixelFormat};

/// Cells from left to right, whatever the picture's size.
pub(super) const COLUMNS: usize = 160;
/// Cells from top to bottom.
pub(super) const ROWS: usize = 120;
/// Cells of a map.
pub(super) const CELLS: usize = COLUMNS * ROWS;

/// Widest picture; the capture stage's largest side. Anything wider is looked at only up to here.
const WIDTH_MAX: usize = 16_384;
/// Most rows summed into one cell: `u16` sums of bytes do not overflow. Pictures higher than 30 840
/// rows, which no source delivers, would have the rest of a cell left out.
const ROWS_PER_CELL_MAX: usize = 257;

/// Mean luma per cell, row by row, 0..=255 as in the frame (its range is not stretched).
#[derive(Clone, Debug)]
pub(super) struct LumaMap {
    cells: Box<[u8]>,
    /// Sums of the columns of one row of cells.
    sums: Box<[u16]>,
    /// Pixels of each column of cells.
    spans: [(usize, usize); COLUMNS],
}

impl LumaMap {
    /// A black map with room for every picture size.
    pub(super) fn new() -> Self {
        Self {
            cells: vec![0; CELLS].into(),
            sums: vec![0; WIDTH_MAX].into(),
            spans: [(0, 1); COLUMNS],
        }
    }

    /// The cells, row by row.
    pub(super) fn cells(&self) -> &[u8] {
        &self.cells
    }

    /// Takes the luma of `frame`; of RGB, `(R + 2G + B) / 4`. Reads every pixel once.
    pub(super) fn fill(&mut self, frame: &Frame) {
        let plane = frame.plane(0);
        let width = (frame.size().width as usize).min(WIDTH_MAX);
        if width == 0 || plane.height == 0 {
            self.cells.fill(0);
            return;
        }
        let sums = &mut self.sums[..width];
        for (column, pixels) in self.spans.iter_mut().enumerate() {
            let span = span(column, COLUMNS, width);
            *pixels = (span.start, span.end);
        }
        for (row, cells) in self.cells.chunks_exact_mut(COLUMNS).enumerate() {
            let lines = span(row, ROWS, plane.height);
            let count = lines.len().min(ROWS_PER_CELL_MAX);
            sums.fill(0);
            for line in lines.take(count) {
                let pixels = &plane.data[line * plane.stride..];
                match frame.format().pixel_format {
                    PixelFormat::I420 | PixelFormat::Nv12 => add_luma(sums, pixels),
                    PixelFormat::Yuyv => add_packed_luma::<0>(sums, pixels),
                    PixelFormat::Uyvy => add_packed_luma::<1>(sums, pixels),
                    // The same from either end.
                    PixelFormat::Rgb24 | PixelFormat::Bgr24 => add_rgb::<3>(sums, pixels),
                    PixelFormat::Rgbx32 | PixelFormat::Bgrx32 => add_rgb::<4>(sums, pixels),
                }
            }
            for ((start, end), cell) in self.spans.iter().zip(cells) {
                *cell = mean(&sums[*start..*end], count);
            }
        }
    }
}

fn add_luma(sums: &mut [u16], pixels: &[u8]) {
    for (sum, pixel) in sums.iter_mut().zip(pixels) {
        *sum += u16::from(*pixel);
    }
}

/// Luma in every second byte, from byte `FIRST`.
fn add_packed_luma<const FIRST: usize>(sums: &mut [u16], pixels: &[u8]) {
    for (sum, pixel) in sums.iter_mut().zip(pixels.as_chunks::<2>().0) {
        *sum += u16::from(pixel[FIRST]);
    }
}

fn add_rgb<const BYTES: usize>(sums: &mut [u16], pixels: &[u8]) {
    for (sum, pixel) in sums.iter_mut().zip(pixels.as_chunks::<BYTES>().0) {
        let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(u16::from);
        *sum += (red + 2 * green + blue) / 4;
    }
}

/// Mean of the pixels behind these column sums of `rows` rows each, rounded down.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a mean of bytes; a float divides several times faster than an integer"
)]
fn mean(sums: &[u16], rows: usize) -> u8 {
    let total: u32 = sums.iter().map(|sum| u32::from(*sum)).sum();
    // A cell of the largest picture has 102×137 pixels: both numbers are exact as floats.
    (total as f32 / (sums.len() * rows) as f32) as u8
}

/// Pixels of cell `index` of `cells` along a side of `pixels`: never empty, also where a picture has
/// fewer pixels than cells.
fn span(index: usize, cells: usize, pixels: usize) -> Range<usize> {
    let start = index * pixels / cells;
    let end = ((index + 1) * pixels / cells).max(start + 1);
    start..end
}
