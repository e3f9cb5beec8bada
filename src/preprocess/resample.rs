//! Fixed-point resampling of planes: rows first, whole rows at a time, then columns.
//!
//! Rows: bytes times weights of 8 bits, sums below 2^16, kept unrounded; the compiler turns the
//! loops into SIMD of the target's baseline (SSE2, NEON). Columns: 15 more bits of weight, one
//! rounding at the end. The two chroma planes share their geometry, so each multiplication of the
//! column step serves both: U in the lower half of a `u64`, V in the upper. Measured on one x86-64
//! core from 768x576 I420 to 300x300: 0.29 ms with colour conversion, against 0.65 ms with
//! `fast_image_resize` 6.1 (AVX2) on the same planes.

use super::axis::Axis;
use crate::frame::Plane;

/// What the weights of a row axis add up to: a byte times this still fits 16 bits.
pub(super) const ROW_ONE: u32 = 1 << 8;

/// What the weights of a column axis add up to.
pub(super) const COLUMN_ONE: u32 = 1 << 15;

/// Bits to shift out after both steps.
const SHIFT: u32 = 23;

const HALF: u32 = 1 << (SHIFT - 1);

/// Rows in the making; grow once, then reused.
#[derive(Debug, Default)]
pub(super) struct Lines {
    first: Vec<u16>,
    second: Vec<u16>,
    pairs: Vec<u64>,
}

/// Chroma as it lies in memory.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chroma<'a> {
    /// U and V in planes of their own.
    Planar(Plane<'a>, Plane<'a>),
    /// U and V alternating in one plane.
    Interleaved(Plane<'a>),
}

/// The source rows of one target row and their weights.
#[derive(Clone, Copy, Debug)]
struct Rows<'a> {
    data: &'a [u8],
    stride: usize,
    weights: &'a [u32],
}

impl<'a> Rows<'a> {
    /// Bytes `from..from + length` of each row that makes target row `target`.
    fn of(plane: Plane<'a>, from: usize, rows: &'a Axis, target: usize) -> Self {
        let first_row = rows.span().0 + rows.starts()[target];
        let taps = rows.taps();
        Self {
            data: &plane.data[first_row * plane.stride + from..],
            stride: plane.stride,
            weights: &rows.weights()[target * taps..(target + 1) * taps],
        }
    }

    /// The weighted sum of the rows, one value per byte.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "row weights are at most 256 and add up to 256, so sums stay below 2^16"
    )]
    fn sum_into(self, out: &mut [u16]) {
        let row = |tap: usize| self.data[tap * self.stride..][..out.len()].iter();
        let wide = |sample: &u8, weight: u32| u16::from(*sample) * weight as u16;
        match *self.weights {
            [] => out.fill(0),
            [a] => {
                let samples = row(0);
                for (out, p) in out.iter_mut().zip(samples) {
                    *out = wide(p, a);
                }
            }
            [a, b] => {
                let samples = row(0).zip(row(1));
                for (out, (p, q)) in out.iter_mut().zip(samples) {
                    *out = wide(p, a) + wide(q, b);
                }
            }
            [a, b, c, ref rest @ ..] => {
                let samples = row(0).zip(row(1)).zip(row(2));
                for (out, ((p, q), r)) in out.iter_mut().zip(samples) {
                    *out = wide(p, a) + wide(q, b) + wide(r, c);
                }
                for (tap, weight) in rest.iter().enumerate() {
                    let samples = self.data[(tap + 3) * self.stride..][..out.len()].iter();
                    for (out, p) in out.iter_mut().zip(samples) {
                        *out += wide(p, *weight);
                    }
                }
            }
        }
    }
}

/// Calls a column step with its number of taps as a constant where it is a usual one.
macro_rules! with_taps {
    ($taps:expr, $step:ident($($argument:expr),*)) => {
        match $taps {
            1 => $step::<1>($($argument),*, 1),
            2 => $step::<2>($($argument),*, 2),
            3 => $step::<3>($($argument),*, 3),
            4 => $step::<4>($($argument),*, 4),
            5 => $step::<5>($($argument),*, 5),
            6 => $step::<6>($($argument),*, 6),
            7 => $step::<7>($($argument),*, 7),
            taps => $step::<0>($($argument),*, taps),
        }
    };
}

/// Resamples a plane of single bytes into `out`, rows of `columns.starts().len()` bytes.
pub(super) fn plane(
    source: Plane<'_>,
    columns: &Axis,
    rows: &Axis,
    lines: &mut Lines,
    out: &mut [u8],
) {
    let (from, to) = columns.span();
    lines.first.resize(to - from, 0);
    for (target, out) in out.chunks_exact_mut(columns.starts().len()).enumerate() {
        Rows::of(source, from, rows, target).sum_into(&mut lines.first);
        with_taps!(columns.taps(), single_columns(&lines.first, columns, out));
    }
}

/// Resamples two chroma planes at once into `u` and `v`.
pub(super) fn chroma(
    source: Chroma<'_>,
    columns: &Axis,
    rows: &Axis,
    lines: &mut Lines,
    u: &mut [u8],
    v: &mut [u8],
) {
    let (from, to) = columns.span();
    let width = columns.starts().len();
    lines.pairs.resize(to - from, 0);
    let rows_out = u.chunks_exact_mut(width).zip(v.chunks_exact_mut(width));
    for (target, (u, v)) in rows_out.enumerate() {
        match source {
            Chroma::Planar(u, v) => {
                lines.first.resize(to - from, 0);
                lines.second.resize(to - from, 0);
                Rows::of(u, from, rows, target).sum_into(&mut lines.first);
                Rows::of(v, from, rows, target).sum_into(&mut lines.second);
                let samples = lines.first.iter().zip(&lines.second);
                for (pair, (u, v)) in lines.pairs.iter_mut().zip(samples) {
                    *pair = u64::from(*u) | u64::from(*v) << 32;
                }
            }
            Chroma::Interleaved(uv) => {
                lines.first.resize(2 * (to - from), 0);
                Rows::of(uv, 2 * from, rows, target).sum_into(&mut lines.first);
                let samples = lines.first.as_chunks::<2>().0;
                for (pair, [u, v]) in lines.pairs.iter_mut().zip(samples) {
                    *pair = u64::from(*u) | u64::from(*v) << 32;
                }
            }
        }
        with_taps!(columns.taps(), paired_columns(&lines.pairs, columns, u, v));
    }
}

/// Resamples a plane of `BYTES` bytes per pixel into `out`, bytes R, G, B. Green is the source's second
/// byte, red its byte number `RED`, and blue number `2 - RED`.
pub(super) fn rgb<const BYTES: usize, const RED: usize>(
    source: Plane<'_>,
    columns: &Axis,
    rows: &Axis,
    lines: &mut Lines,
    out: &mut [u8],
) {
    let (from, to) = columns.span();
    lines.first.resize(BYTES * (to - from), 0);
    for (target, out) in out.chunks_exact_mut(3 * columns.starts().len()).enumerate() {
        Rows::of(source, BYTES * from, rows, target).sum_into(&mut lines.first);
        let targets = out.as_chunks_mut::<3>().0.iter_mut().zip(columns.starts());
        let weights = columns.weights().chunks_exact(columns.taps());
        for ((out, start), weights) in targets.zip(weights) {
            let mut sums = [HALF; 3];
            let samples = lines.first[BYTES * start..].as_chunks::<BYTES>().0;
            for (sample, weight) in samples.iter().zip(weights) {
                for (sum, channel) in sums.iter_mut().zip(sample) {
                    *sum += u32::from(*channel) * weight;
                }
            }
            let bytes = sums.map(low_byte);
            *out = [bytes[RED], bytes[1], bytes[2 - RED]];
        }
    }
}

/// Resamples a plane of two pixels in four bytes into `y`, `u` and `v`. `CHROMA_FIRST` is 0 for
/// Y0 U Y1 V and 1 for U Y0 V Y1. Chroma has as many rows as luma, so that the rows are summed once
/// for both, as they lie; only the sums are taken apart.
pub(super) fn packed<const CHROMA_FIRST: usize>(
    source: Plane<'_>,
    [luma, chroma]: [&Axis; 2],
    rows: &Axis,
    lines: &mut Lines,
    [y, u, v]: [&mut [u8]; 3],
) {
    let (luma_span, chroma_span) = (luma.span(), chroma.span());
    // In pairs of pixels: all that either of the two needs.
    let from = (luma_span.0 / 2).min(chroma_span.0);
    let to = luma_span.1.div_ceil(2).max(chroma_span.1);
    let width = luma.starts().len();
    lines.first.resize(4 * (to - from), 0);
    lines.second.resize(2 * (to - from), 0);
    lines.pairs.resize(chroma_span.1 - chroma_span.0, 0);
    let targets = y.chunks_exact_mut(width).zip(u.chunks_exact_mut(width));
    for (target, ((y, u), v)) in targets.zip(v.chunks_exact_mut(width)).enumerate() {
        Rows::of(source, 4 * from, rows, target).sum_into(&mut lines.first);
        let pairs = lines.first.as_chunks::<4>().0;
        for (luma, pair) in lines.second.as_chunks_mut::<2>().0.iter_mut().zip(pairs) {
            *luma = [pair[CHROMA_FIRST], pair[2 + CHROMA_FIRST]];
        }
        let pairs = pairs.iter().skip(chroma_span.0 - from);
        for (chroma, pair) in lines.pairs.iter_mut().zip(pairs) {
            let (u, v) = (pair[1 - CHROMA_FIRST], pair[3 - CHROMA_FIRST]);
            *chroma = u64::from(u) | u64::from(v) << 32;
        }
        let line = &lines.second[luma_span.0 - 2 * from..];
        with_taps!(luma.taps(), single_columns(line, luma, y));
        with_taps!(chroma.taps(), paired_columns(&lines.pairs, chroma, u, v));
    }
}

/// Column step of one plane; `TAPS` is 0 where the number is only known at run time.
fn single_columns<const TAPS: usize>(line: &[u16], columns: &Axis, out: &mut [u8], taps: usize) {
    let taps = if TAPS == 0 { taps } else { TAPS };
    let weights = columns.weights().chunks_exact(taps);
    for ((out, start), weights) in out.iter_mut().zip(columns.starts()).zip(weights) {
        let mut sum = HALF;
        for (sample, weight) in line[*start..*start + taps].iter().zip(weights) {
            sum += u32::from(*sample) * weight;
        }
        *out = low_byte(sum);
    }
}

/// Column step of two planes: sums of each stay below 2^32, so that they never meet in the `u64`.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the two halves are taken apart on purpose"
)]
fn paired_columns<const TAPS: usize>(
    line: &[u64],
    columns: &Axis,
    u: &mut [u8],
    v: &mut [u8],
    taps: usize,
) {
    let taps = if TAPS == 0 { taps } else { TAPS };
    let targets = u.iter_mut().zip(v.iter_mut()).zip(columns.starts());
    for (((u, v), start), weights) in targets.zip(columns.weights().chunks_exact(taps)) {
        let mut sums = u64::from(HALF) | u64::from(HALF) << 32;
        for (pair, weight) in line[*start..*start + taps].iter().zip(weights) {
            sums += pair * u64::from(*weight);
        }
        *u = low_byte(sums as u32);
        *v = low_byte((sums >> 32) as u32);
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "a weighted mean of bytes is a byte: 255 * 2^23 + 2^22 < 2^31"
)]
const fn low_byte(sum: u32) -> u8 {
    (sum >> SHIFT) as u8
}
