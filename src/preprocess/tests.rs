#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "tests: small numbers, and a failure is the message"
)]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::frame::{BufferPool, FrameBuffer, FrameMeta};
use crate::units::{MonotonicTime, StreamId};

const MATRICES: [ColorMatrix; 2] = [ColorMatrix::Bt601, ColorMatrix::Bt709];
const RANGES: [ColorRange; 2] = [ColorRange::Limited, ColorRange::Full];

fn frame(format: FrameFormat, sample: impl Fn(usize, usize, usize) -> u8) -> Frame {
    let mut buffer = FrameBuffer::default();
    for (index, plane) in buffer.prepare(&format).into_iter().enumerate() {
        let (row_bytes, _) = crate::frame::plane_extent(&format, index);
        for (position, byte) in plane.iter_mut().enumerate() {
            *byte = sample(index, position % row_bytes, position / row_bytes);
        }
    }
    let meta = FrameMeta {
        stream: StreamId::WorkerSafety,
        sequence: 0,
        media_time: Duration::ZERO,
        timestamp: MonotonicTime::ZERO,
        arrived: MonotonicTime::ZERO,
    };
    Frame::new(meta, format, buffer, &mut BufferPool::new())
}

fn format(width: u32, height: u32, pixel_format: PixelFormat) -> FrameFormat {
    FrameFormat {
        size: Size { width, height },
        pixel_format,
        matrix: ColorMatrix::Bt601,
        range: ColorRange::Limited,
    }
}

fn rect(left: f64, top: f64, right: f64, bottom: f64) -> Rect<FramePixels> {
    Rect::new(left as f32, top as f32, right as f32, bottom as f32).unwrap()
}

fn whole(frame: &Frame) -> Rect<FramePixels> {
    Rect::FULL.to_frame(frame.size())
}

fn tensor(frame: &Frame, crop: Rect<FramePixels>, target: Size) -> Vec<u8> {
    let mut bytes = vec![0; 3 * (target.width * target.height) as usize];
    Preprocessor::new(target)
        .fill(frame, crop, TensorMut::U8(&mut bytes))
        .unwrap();
    bytes
}

/// The exact conversion (ITU-R BT.601-7, BT.709-6), clipped, not rounded.
fn rgb(yuv: [f64; 3], matrix: ColorMatrix, range: ColorRange) -> [f64; 3] {
    let (kr, kb) = match matrix {
        ColorMatrix::Bt601 => (0.299, 0.114),
        ColorMatrix::Bt709 => (0.2126, 0.0722),
    };
    let (y, cb, cr) = match range {
        ColorRange::Limited => (
            (yuv[0] - 16.0) / 219.0,
            (yuv[1] - 128.0) / 224.0,
            (yuv[2] - 128.0) / 224.0,
        ),
        ColorRange::Full => (
            yuv[0] / 255.0,
            (yuv[1] - 128.0) / 255.0,
            (yuv[2] - 128.0) / 255.0,
        ),
    };
    let r = y + 2.0 * (1.0 - kr) * cr;
    let b = y + 2.0 * (1.0 - kb) * cb;
    let g = (y - kr * r - kb * b) / (1.0 - kr - kb);
    [r, g, b].map(|value| (value * 255.0).clamp(0.0, 255.0))
}

/// Weights of the documented tent, written down independently of [`Axis`].
fn tent(samples: usize, left: f64, extent: f64, targets: usize) -> Vec<Vec<f64>> {
    let scale = extent / targets as f64;
    let half = (scale / 2.0).max(1.0);
    let (first, last) = (left.floor(), (left + extent).ceil());
    (0..targets)
        .map(|target| {
            let centre = left + (target as f64 + 0.5) * scale;
            let weights: Vec<f64> = (0..samples)
                .map(|sample| {
                    let inside = sample as f64 >= first && (sample as f64) < last;
                    let distance = (sample as f64 + 0.5 - centre).abs();
                    if inside {
                        (1.0 - distance / half).max(0.0)
                    } else {
                        0.0
                    }
                })
                .collect();
            let sum: f64 = weights.iter().sum();
            weights.into_iter().map(|weight| weight / sum).collect()
        })
        .collect()
}

fn resampled(
    columns: &[Vec<f64>],
    rows: &[Vec<f64>],
    sample: &dyn Fn(usize, usize) -> f64,
) -> Vec<f64> {
    let height = rows[0].len();
    let lines: Vec<Vec<f64>> = (0..height)
        .map(|y| {
            columns
                .iter()
                .map(|weights| {
                    weights
                        .iter()
                        .enumerate()
                        .map(|(x, w)| w * sample(x, y))
                        .sum()
                })
                .collect()
        })
        .collect();
    rows.iter()
        .flat_map(|weights| {
            (0..columns.len()).map(|x| {
                weights
                    .iter()
                    .zip(&lines)
                    .map(|(w, line)| w * line[x])
                    .sum()
            })
        })
        .collect()
}

/// Position of a crop within a frame, as the preprocessor's own arithmetic sees it.
fn crop_extent(crop: Rect<FramePixels>) -> [f64; 4] {
    let [left, top] = [crop.left(), crop.top()].map(f64::from);
    [
        left,
        top,
        f64::from(crop.right()) - left,
        f64::from(crop.bottom()) - top,
    ]
}

/// The same planes-first filter in `f64`, with the exact conversion at the end.
fn exact(frame: &Frame, crop: Rect<FramePixels>, target: Size) -> Vec<f64> {
    let [left, top, width, height] = crop_extent(crop);
    let targets = (target.width as usize, target.height as usize);
    let plane = |index: usize, channel: usize, step: usize, half: f64| {
        let plane = frame.plane(index);
        resampled(
            &tent(plane.width, left / half, width / half, targets.0),
            &tent(plane.height, top / half, height / half, targets.1),
            &|x, y| f64::from(plane.data[y * plane.stride + step * x + channel]),
        )
    };
    // Two pixels in four bytes: luma at every second byte from `first`, U and V from the others.
    let packed = |first: usize| {
        let picture = frame.plane(0);
        let Size {
            width: across,
            height: down,
        } = frame.size();
        let rows = tent(down as usize, top, height, targets.1);
        let at = |x: usize, y: usize| f64::from(picture.data[y * picture.stride + x]);
        let columns = tent(across as usize, left, width, targets.0);
        let luma = resampled(&columns, &rows, &|x, y| at(2 * x + first, y));
        let halved = tent(picture.width, left / 2.0, width / 2.0, targets.0);
        let chroma = |byte: usize| resampled(&halved, &rows, &|x, y| at(4 * x + byte, y));
        [luma, chroma(1 - first), chroma(3 - first)]
    };
    let bytes = frame.format().pixel_format.sample_bytes(0);
    let colours = |order: [usize; 3]| order.map(|byte| plane(0, byte, bytes, 1.0));
    let channels = match frame.format().pixel_format {
        PixelFormat::Yuyv => packed(0),
        PixelFormat::Uyvy => packed(1),
        PixelFormat::I420 => [
            plane(0, 0, 1, 1.0),
            plane(1, 0, 1, 2.0),
            plane(2, 0, 1, 2.0),
        ],
        PixelFormat::Nv12 => [
            plane(0, 0, 1, 1.0),
            plane(1, 0, 2, 2.0),
            plane(1, 1, 2, 2.0),
        ],
        PixelFormat::Rgb24 | PixelFormat::Rgbx32 => colours([0, 1, 2]),
        PixelFormat::Bgr24 | PixelFormat::Bgrx32 => colours([2, 1, 0]),
    };
    let FrameFormat { matrix, range, .. } = *frame.format();
    (0..channels[0].len())
        .flat_map(|pixel| {
            let sample = [0, 1, 2].map(|channel| channels[channel][pixel]);
            if frame.format().pixel_format.is_rgb() {
                sample
            } else {
                rgb(sample, matrix, range)
            }
        })
        .collect()
}

/// The full frame converted pixel by pixel (chroma repeated, as OpenCV does), then resized.
fn convert_first(frame: &Frame, crop: Rect<FramePixels>, target: Size) -> Vec<f64> {
    let [left, top, width, height] = crop_extent(crop);
    let FrameFormat {
        size,
        matrix,
        range,
        ..
    } = *frame.format();
    let columns = tent(size.width as usize, left, width, target.width as usize);
    let rows = tent(size.height as usize, top, height, target.height as usize);
    let at = |index: usize, x: usize, y: usize| {
        let plane = frame.plane(index);
        f64::from(plane.data[y * plane.stride + x])
    };
    let channel = |channel: usize| {
        resampled(&columns, &rows, &|x, y| {
            let yuv = [at(0, x, y), at(1, x / 2, y / 2), at(2, x / 2, y / 2)];
            rgb(yuv, matrix, range)[channel]
        })
    };
    let channels = [0, 1, 2].map(channel);
    (0..channels[0].len())
        .flat_map(|pixel| [0, 1, 2].map(|c| channels[c][pixel]))
        .collect()
}

fn worst(actual: &[u8], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    actual
        .iter()
        .zip(expected)
        .map(|(a, e)| (f64::from(*a) - e).abs())
        .fold(0.0, f64::max)
}

fn mean(actual: &[u8], expected: &[f64]) -> f64 {
    let sum: f64 = actual
        .iter()
        .zip(expected)
        .map(|(a, e)| (f64::from(*a) - e).abs())
        .sum();
    sum / actual.len() as f64
}

/// Noise, the hardest picture for a filter, within limited range: the conversion clips what is
/// blacker than black before it adds the colour, the reference after.
fn noise(plane: usize, x: usize, y: usize) -> u8 {
    let mixed = (plane * 7919 + x * 104_729 + y * 1_299_709).wrapping_mul(2_654_435_761);
    16 + ((mixed >> 13) % 220) as u8
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_format_size_and_crop_is_close_to_the_exact_filter(
        width in 1_u32..90,
        height in 1_u32..90,
        kind in 0..PixelFormat::ALL.len(),
        matrix in 0_usize..2,
        range in 0_usize..2,
        target in (1_u32..40, 1_u32..40),
        corners in (0.0_f64..0.9, 0.0_f64..0.9, 0.05_f64..1.0, 0.05_f64..1.0),
    ) {
        let pixel_format = PixelFormat::ALL[kind];
        let mut format = format(width, height, pixel_format);
        (format.matrix, format.range) = (MATRICES[matrix], RANGES[range]);
        let frame = frame(format, noise);
        let (w, h) = (f64::from(width), f64::from(height));
        let (left, top) = (corners.0 * w, corners.1 * h);
        let crop = rect(left, top, left + (w - left) * corners.2, top + (h - top) * corners.3);
        let target = Size { width: target.0, height: target.1 };
        let (actual, expected) = (tensor(&frame, crop, target), exact(&frame, crop, target));
        let (worst, mean) = (worst(&actual, &expected), mean(&actual, &expected));
        prop_assert!(worst <= 5.5 && (mean <= 1.0 || actual.len() < 1000), "{worst} levels off, {mean} on average");
    }
}

#[test]
fn converting_after_resizing_is_close_to_converting_first() {
    let smooth = |plane: usize, x: usize, y: usize| {
        let (x, y) = if plane == 0 { (x, y) } else { (2 * x, 2 * y) };
        let wave = (x as f64 / 17.0).sin() * (y as f64 / 23.0).cos();
        (128.0 + wave * if plane == 0 { 90.0 } else { 60.0 }) as u8
    };
    for (matrix, range) in MATRICES.into_iter().flat_map(|m| RANGES.map(|r| (m, r))) {
        let mut format = format(161, 121, PixelFormat::I420);
        (format.matrix, format.range) = (matrix, range);
        let frame = frame(format, smooth);
        let target = Size {
            width: 60,
            height: 60,
        };
        for crop in [whole(&frame), rect(31.0, 17.0, 99.0, 80.0)] {
            let (actual, expected) = (
                tensor(&frame, crop, target),
                convert_first(&frame, crop, target),
            );
            let (mean, worst) = (mean(&actual, &expected), worst(&actual, &expected));
            assert!(
                mean < 1.0 && worst < 6.0,
                "{matrix:?} {range:?} {crop:?}: {mean} {worst}"
            );
        }
    }
}

#[test]
fn nv12_and_i420_of_the_same_picture_give_the_same_tensor() {
    let planar = frame(format(37, 29, PixelFormat::I420), noise);
    let interleaved = frame(
        format(37, 29, PixelFormat::Nv12),
        |plane, x, y| match plane {
            0 => noise(0, x, y),
            _ => noise(1 + x % 2, x / 2, y),
        },
    );
    let target = Size {
        width: 20,
        height: 24,
    };
    let crop = rect(3.0, 5.0, 32.0, 28.0);
    assert_eq!(
        tensor(&planar, crop, target),
        tensor(&interleaved, crop, target)
    );
}

#[test]
fn packed_and_planar_pictures_without_fine_chroma_give_the_same_tensor() {
    // Chroma that changes only every other row, so that halving it loses nothing.
    let planar = frame(format(38, 30, PixelFormat::I420), noise);
    let pair = |x: usize, y: usize| [noise(1, x / 4, y / 2), noise(2, x / 4, y / 2)];
    let target = Size {
        width: 19,
        height: 15,
    };
    let crop = whole(&planar);
    for (pixel_format, first) in [(PixelFormat::Yuyv, 0), (PixelFormat::Uyvy, 1)] {
        let packed = frame(format(38, 30, pixel_format), |_, x, y| {
            if x % 2 == first {
                noise(0, x / 2, y)
            } else {
                pair(x, y)[x % 4 / 2]
            }
        });
        let (packed, planar) = (tensor(&packed, crop, target), tensor(&planar, crop, target));
        for (packed, planar) in packed.iter().zip(planar) {
            // The rows of chroma are weighed one by one here, and two by two there.
            assert!(packed.abs_diff(planar) <= 2, "{packed} {planar}");
        }
    }
}

#[test]
fn the_order_of_bytes_makes_no_difference() {
    let colour = |channel: usize, x: usize, y: usize| noise(channel, x, y);
    let target = Size {
        width: 11,
        height: 13,
    };
    let tensors = [
        (PixelFormat::Rgb24, 3, [0, 1, 2]),
        (PixelFormat::Bgr24, 3, [2, 1, 0]),
        (PixelFormat::Rgbx32, 4, [0, 1, 2]),
        (PixelFormat::Bgrx32, 4, [2, 1, 0]),
    ]
    .map(|(pixel_format, bytes, order)| {
        let frame = frame(format(37, 29, pixel_format), |_, x, y| {
            order
                .get(x % bytes)
                .map_or(77, |channel| colour(*channel, x / bytes, y))
        });
        tensor(&frame, whole(&frame), target)
    });
    for other in &tensors[1..] {
        assert_eq!(*other, tensors[0]);
    }
}

#[test]
fn black_white_and_red_come_out_as_such() {
    let target = Size {
        width: 8,
        height: 8,
    };
    for (yuv, matrix, range, expected) in [
        (
            [16, 128, 128],
            ColorMatrix::Bt601,
            ColorRange::Limited,
            [0, 0, 0],
        ),
        (
            [235, 128, 128],
            ColorMatrix::Bt709,
            ColorRange::Limited,
            [255, 255, 255],
        ),
        (
            [255, 128, 128],
            ColorMatrix::Bt601,
            ColorRange::Full,
            [255, 255, 255],
        ),
        (
            [81, 90, 240],
            ColorMatrix::Bt601,
            ColorRange::Limited,
            [255, 0, 0],
        ),
        (
            [63, 102, 240],
            ColorMatrix::Bt709,
            ColorRange::Limited,
            [255, 0, 0],
        ),
        (
            [76, 85, 255],
            ColorMatrix::Bt601,
            ColorRange::Full,
            [254, 0, 0],
        ),
    ] {
        let mut format = format(32, 18, PixelFormat::I420);
        (format.matrix, format.range) = (matrix, range);
        let frame = frame(format, |plane, _, _| yuv[plane]);
        for pixel in tensor(&frame, whole(&frame), target).as_chunks::<3>().0 {
            for (actual, expected) in pixel.iter().zip(expected) {
                assert!(
                    actual.abs_diff(expected) <= 2,
                    "{yuv:?} {matrix:?} {range:?}: {pixel:?}"
                );
            }
        }
    }
}

/// A box found in the stretched tensor must lie on its object in the frame.
#[test]
fn a_point_of_the_frame_lands_where_normalised_coordinates_say() {
    let (spot_x, spot_y) = (500_usize, 100_usize);
    let format = format(768, 576, PixelFormat::I420);
    let frame = frame(format, |plane, x, y| match plane {
        0 if x.abs_diff(spot_x) < 4 && y.abs_diff(spot_y) < 4 => 235,
        0 => 16,
        _ => 128,
    });
    let target = Size {
        width: 300,
        height: 300,
    };
    let bytes = tensor(&frame, whole(&frame), target);
    let bright = bytes.as_chunks::<3>().0.iter().enumerate();
    let (mut sum, mut sum_x, mut sum_y) = (0.0, 0.0, 0.0);
    for (position, pixel) in bright {
        let weight = f64::from(pixel[1]);
        sum += weight;
        sum_x += weight * ((position % 300) as f64 + 0.5) / 300.0;
        sum_y += weight * ((position / 300) as f64 + 0.5) / 300.0;
    }
    assert!(
        (sum_x / sum - 500.5 / 768.0).abs() < 5e-4,
        "{}",
        sum_x / sum
    );
    assert!(
        (sum_y / sum - 100.5 / 576.0).abs() < 5e-4,
        "{}",
        sum_y / sum
    );
}

#[test]
fn a_crop_sees_nothing_outside_itself() {
    let frame = frame(format(64, 64, PixelFormat::Rgb24), |_, x, y| {
        if (10..20).contains(&(x / 3)) && (30..44).contains(&y) {
            200
        } else {
            0
        }
    });
    let bytes = tensor(
        &frame,
        rect(10.0, 30.0, 20.0, 44.0),
        Size {
            width: 33,
            height: 7,
        },
    );
    assert!(bytes.iter().all(|byte| *byte == 200));
}

#[test]
fn signed_and_float_tensors_hold_the_same_picture() {
    let frame = frame(format(40, 30, PixelFormat::I420), noise);
    let target = Size {
        width: 16,
        height: 12,
    };
    let bytes = tensor(&frame, whole(&frame), target);
    let mut signed = vec![0; bytes.len()];
    let mut floats = vec![0.0; bytes.len()];
    let mut preprocessor = Preprocessor::new(target);
    let crop = whole(&frame);
    preprocessor
        .fill(&frame, crop, TensorMut::I8Bits(&mut signed))
        .unwrap();
    preprocessor
        .fill(&frame, crop, TensorMut::F32(&mut floats))
        .unwrap();
    for ((byte, signed), float) in bytes.iter().zip(&signed).zip(&floats) {
        assert_eq!(i16::from(*byte) - 128, i16::from(signed.cast_signed()));
        assert!((f32::from(*byte) / 127.5 - 1.0 - float).abs() < 1e-6);
    }
}

#[test]
fn one_preprocessor_serves_crops_of_any_size_in_turn() {
    let frame = frame(format(101, 77, PixelFormat::I420), noise);
    let target = Size {
        width: 24,
        height: 24,
    };
    let mut preprocessor = Preprocessor::new(target);
    let crops = [
        whole(&frame),
        rect(0.0, 0.0, 1.0, 1.0),
        rect(50.5, 20.25, 90.75, 77.0),
        whole(&frame),
        rect(-5.0, -9.0, 400.0, 33.0),
    ];
    for crop in crops {
        let mut bytes = vec![0; 3 * 24 * 24];
        preprocessor
            .fill(&frame, crop, TensorMut::U8(&mut bytes))
            .unwrap();
        assert_eq!(bytes, tensor(&frame, crop, target), "{crop:?}");
    }
}

#[test]
fn what_cannot_be_filled_is_said() {
    let frame = frame(format(20, 10, PixelFormat::I420), noise);
    let mut preprocessor = Preprocessor::new(Size {
        width: 4,
        height: 4,
    });
    let mut bytes = vec![0; 48];
    for crop in [
        rect(5.0, 2.0, 5.0, 8.0),
        rect(20.0, 0.0, 30.0, 10.0),
        rect(0.0, -8.0, 9.0, -1.0),
    ] {
        let error = preprocessor
            .fill(&frame, crop, TensorMut::U8(&mut bytes))
            .unwrap_err();
        assert!(error.to_string().contains("20x10"), "{error}");
    }
    let error = preprocessor
        .fill(&frame, whole(&frame), TensorMut::U8(&mut bytes[..47]))
        .unwrap_err();
    assert!(error.to_string().contains("47"), "{error}");
}

/// Fills tensors with one value, and fails when it is told to.
#[derive(Debug)]
struct Painter {
    value: u8,
    begins: u32,
    finishes: u32,
}

impl Painter {
    fn refuse(left: &mut u32) -> Result<(), RenderError> {
        let failed = || RenderError("out of paint".into());
        *left = left.checked_sub(1).ok_or_else(failed)?;
        Ok(())
    }
}

impl TensorRenderer for Painter {
    fn begin(&mut self, _: &Frame, filter: &Filter<'_>) -> Result<(), RenderError> {
        let axes = filter.luma.iter().chain(&filter.chroma);
        for axis in axes {
            assert_eq!(axis.weights.len(), axis.taps * axis.starts.len());
            for row in axis.weights.chunks(axis.taps) {
                assert_eq!(row.iter().sum::<u32>(), axis.one);
            }
        }
        Self::refuse(&mut self.begins)
    }

    fn finish(&mut self, tensor: &mut TensorMut<'_>) -> Result<(), RenderError> {
        let pixels = [self.value; 4].repeat(tensor.len() / 3);
        tensor.fill_from_rgbx(&pixels).unwrap();
        Self::refuse(&mut self.finishes)
    }
}

#[test]
fn a_renderer_makes_the_tensor_until_it_fails_and_then_the_cpu_does_for_good() {
    let frame = frame(format(37, 29, PixelFormat::I420), noise);
    let target = Size {
        width: 8,
        height: 8,
    };
    let expected = tensor(&frame, whole(&frame), target);
    for (begins, finishes) in [(2, 9), (9, 2)] {
        let mut preprocessor = Preprocessor::new(target);
        preprocessor.render_by(Box::new(Painter {
            value: 5,
            begins,
            finishes,
        }));
        let mut bytes = vec![0; expected.len()];
        for turn in 0..5 {
            if turn % 2 == 0 {
                preprocessor.begin(&frame, whole(&frame));
            }
            preprocessor
                .fill(&frame, whole(&frame), TensorMut::U8(&mut bytes))
                .unwrap();
            if turn < 2 {
                assert_eq!(bytes, vec![5; expected.len()]);
                assert_eq!(preprocessor.means(), Means::Renderer);
            } else {
                assert_eq!(bytes, expected);
                assert_eq!(preprocessor.means(), Means::Cpu);
            }
            let said = preprocessor.take_failure();
            assert_eq!(said.is_some(), turn == 2, "{said:?}");
        }
    }
}

#[test]
fn a_tensor_of_another_size_is_not_filled_from_pixels() {
    let mut bytes = [0; 12];
    let filled = TensorMut::U8(&mut bytes).fill_from_rgbx(&[1; 12]);
    assert!(matches!(filled, Err(PreprocessError::TensorLength { .. })));
    assert_eq!(bytes, [0; 12]);
}
