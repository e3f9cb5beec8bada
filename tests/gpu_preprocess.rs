//! The detector's input by the graphics device is that of the CPU, within the roundings of the colour
//! conversion; where the device fails the CPU does it, and that is said once.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "tests: small numbers"
)]

#[path = "support/allocations.rs"]
mod allocations;

use std::path::Path;
use std::time::Duration;

use allocations::allocations;
use andon::app::gpu_preprocess::GpuPreprocess;
use andon::capture::{Captured, FrameSource as _, VideoSource};
use andon::config::{EngineChoice, Overrides, load};
use andon::frame::{
    BufferPool, ColorMatrix, ColorRange, Frame, FrameBuffer, FrameFormat, FrameMeta, PixelFormat,
    plane_extent,
};
use andon::geometry::{FramePixels, Normalised, Rect, Size};
use andon::inference::Inferencer;
use andon::message::{Detection, DetectorTest, Findings};
use andon::preprocess::{Means, Preprocessor, TensorMut};
use andon::ui::gles::EGL_LIBRARY;
use andon::units::{MonotonicTime, Score, StreamId};

/// Of 255, on noise, the hardest picture. Planes are resampled with the CPU's own weights; the CPU's
/// conversion rounds each product to a quarter of a level (`yuv` with SSE, NEON), three of which add up.
const WORST: u8 = 3;
const WORST_MEAN: f64 = 0.5;

/// RGB is not converted: the sums are the same but for a float's last digits.
const WORST_RGB: u8 = 1;

/// A shared machine may take its time; the test is about pixels.
const PATIENCE: Duration = Duration::from_secs(60);

fn meta(sequence: u64) -> FrameMeta {
    FrameMeta {
        stream: StreamId::WorkerSafety,
        sequence,
        media_time: Duration::ZERO,
        timestamp: MonotonicTime::ZERO,
        arrived: MonotonicTime::ZERO,
    }
}

fn frame(format: FrameFormat, sample: impl Fn(usize, usize, usize) -> u8) -> Frame {
    let mut buffer = FrameBuffer::default();
    for (index, plane) in buffer.prepare(&format).into_iter().enumerate() {
        let (row_bytes, _) = plane_extent(&format, index);
        for (position, byte) in plane.iter_mut().enumerate() {
            *byte = sample(index, position % row_bytes, position / row_bytes);
        }
    }
    Frame::new(meta(0), format, buffer, &mut BufferPool::new())
}

/// Every byte value, also those that no camera should send.
fn noise(plane: usize, x: usize, y: usize) -> u8 {
    let mixed = (plane * 7919 + x * 104_729 + y * 1_299_709).wrapping_mul(2_654_435_761);
    (mixed >> 13) as u8
}

fn whole(frame: &Frame) -> Rect<FramePixels> {
    Rect::FULL.to_frame(frame.size())
}

/// The device's preprocessor; `None`, said, where this machine has no device.
fn device(target: Size) -> Option<Preprocessor> {
    let mut renderer = GpuPreprocess::with_egl(EGL_LIBRARY, target, PATIENCE);
    match renderer.connect() {
        Ok(_) => {
            let mut preprocessor = Preprocessor::new(target);
            preprocessor.render_by(Box::new(renderer));
            Some(preprocessor)
        }
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

fn tensor(preprocessor: &mut Preprocessor, frame: &Frame, crop: Rect<FramePixels>) -> Vec<u8> {
    let Size { width, height } = preprocessor.target();
    let mut bytes = vec![0; 3 * (width * height) as usize];
    preprocessor
        .fill(frame, crop, TensorMut::U8(&mut bytes))
        .expect("a tensor");
    bytes
}

/// The largest and the mean difference of the device's tensor and the CPU's.
fn apart(gpu: &mut Preprocessor, frame: &Frame, crop: Rect<FramePixels>) -> (u8, f64) {
    let expected = tensor(&mut Preprocessor::new(gpu.target()), frame, crop);
    let actual = tensor(gpu, frame, crop);
    assert_eq!(gpu.take_failure(), None, "{:?}", frame.format());
    assert_eq!(gpu.means(), Means::Renderer);
    let apart = actual.iter().zip(&expected).map(|(a, e)| a.abs_diff(*e));
    let sum: u64 = apart.clone().map(u64::from).sum();
    (apart.max().unwrap_or(0), sum as f64 / actual.len() as f64)
}

#[test]
fn every_format_size_crop_matrix_and_range_gives_the_cpus_tensor() {
    let target = Size {
        width: 61,
        height: 40,
    };
    let Some(mut gpu) = device(target) else {
        return;
    };
    let mut worst = [(0, 0.0_f64); 2];
    for pixel_format in PixelFormat::ALL {
        for (width, height) in [(768, 576), (61, 40), (97, 33), (30, 211), (1, 1), (7, 5)] {
            for (matrix, range) in [
                (ColorMatrix::Bt601, ColorRange::Limited),
                (ColorMatrix::Bt601, ColorRange::Full),
                (ColorMatrix::Bt709, ColorRange::Limited),
                (ColorMatrix::Bt709, ColorRange::Full),
            ] {
                let format = FrameFormat {
                    size: Size { width, height },
                    pixel_format,
                    matrix,
                    range,
                };
                let frame = frame(format, noise);
                let (w, h) = (width as f32, height as f32);
                let crop = Rect::new(w * 0.13, h * 0.4, w * 0.77, h * 0.93);
                for crop in [Some(whole(&frame)), crop].into_iter().flatten() {
                    let (most, mean) = apart(&mut gpu, &frame, crop);
                    let rgb = pixel_format.is_rgb();
                    let limit = if rgb { WORST_RGB } else { WORST };
                    assert!(
                        most <= limit && mean <= WORST_MEAN,
                        "{format:?} {crop:?}: {most} levels apart, {mean} on average"
                    );
                    let worst = &mut worst[usize::from(rgb)];
                    *worst = (worst.0.max(most), worst.1.max(mean));
                }
            }
        }
    }
    let [yuv, rgb] = worst;
    eprintln!("worst and worst mean: YCbCr {yuv:?}, RGB {rgb:?}");
}

/// Decoded frames, and the same pictures in the formats of cameras.
fn pictures(path: &str) -> Vec<Frame> {
    let mut source = VideoSource::open(Path::new(path), StreamId::WorkerSafety).expect("a clip");
    let mut frames = Vec::new();
    while frames.len() < 12 {
        let Ok(Captured::Frame(original)) = source.next_frame() else {
            break;
        };
        let of = |pixel_format| FrameFormat {
            pixel_format,
            ..*original.format()
        };
        let at = |plane: usize, x: usize, y: usize| {
            let plane = original.plane(plane);
            plane.data[y * plane.stride + x]
        };
        frames.push(frame(of(PixelFormat::Nv12), |plane, x, y| match plane {
            0 => at(0, x, y),
            _ => at(1 + x % 2, x / 2, y),
        }));
        frames.push(frame(of(PixelFormat::Yuyv), |_, x, y| match x % 4 {
            1 => at(1, x / 4, y / 2),
            3 => at(2, x / 4, y / 2),
            _ => at(0, x / 2, y),
        }));
        frames.push(original);
    }
    frames
}

#[test]
fn frames_of_the_bundled_clips_give_the_cpus_tensor() {
    let target = Size {
        width: 300,
        height: 300,
    };
    let Some(mut gpu) = device(target) else {
        return;
    };
    for clip in ["tests/media/worker_safety.mp4", "tests/media/conveyor.mp4"] {
        let frames = pictures(clip);
        assert!(frames.len() >= 12, "{clip}: {} frames", frames.len());
        let (mut worst, mut means) = (0, 0.0_f64);
        for frame in &frames {
            let (most, mean) = apart(&mut gpu, frame, whole(frame));
            let format = frame.format();
            assert!(
                most <= WORST && mean <= WORST_MEAN,
                "{clip} {format:?}: {most} levels apart, {mean} on average"
            );
            (worst, means) = (worst.max(most), means.max(mean));
        }
        eprintln!("{clip}: {worst} levels apart at most, {means} on average");
    }
}

fn grey(level: u8) -> Frame {
    let size = Size {
        width: 64,
        height: 48,
    };
    frame(FrameFormat::rgb(size), |_, _, _| level)
}

const SMALL: Size = Size {
    width: 16,
    height: 12,
};

#[test]
fn every_kind_of_tensor_is_filled() {
    let Some(mut gpu) = device(SMALL) else {
        return;
    };
    let frame = grey(200);
    let crop = whole(&frame);
    let length = 3 * 16 * 12;
    let mut bytes = vec![0; length];
    gpu.fill(&frame, crop, TensorMut::I8Bits(&mut bytes))
        .expect("filled");
    assert_eq!(bytes, vec![200 ^ 0x80; length]);
    let mut values = vec![0.0; length];
    gpu.fill(&frame, crop, TensorMut::F32(&mut values))
        .expect("filled");
    let expected = 200.0 / 127.5 - 1.0;
    assert!(values.iter().all(|v: &f32| (v - expected).abs() < 1e-6));
    assert_eq!(gpu.means(), Means::Renderer);
}

#[test]
fn a_frame_that_was_begun_is_not_taken_for_another() {
    let Some(mut gpu) = device(SMALL) else {
        return;
    };
    // Of the same number and time, as a source that begins anew may give them.
    let (one, other) = (grey(50), grey(150));
    gpu.begin(&one, whole(&one));
    assert_eq!(tensor(&mut gpu, &other, whole(&other))[0], 150);
    gpu.begin(&one, whole(&one));
    gpu.begin(&other, whole(&other));
    assert_eq!(tensor(&mut gpu, &other, whole(&other))[0], 150);
    gpu.begin(&one, whole(&one));
    assert_eq!(tensor(&mut gpu, &one, whole(&one))[0], 50);
    let corner = Rect::new(0.0, 0.0, 8.0, 8.0).expect("a crop");
    gpu.begin(&one, whole(&one));
    assert_eq!(tensor(&mut gpu, &one, corner)[0], 50);
    assert_eq!(gpu.means(), Means::Renderer);
}

#[test]
fn steady_state_allocates_nothing() {
    let target = Size {
        width: 60,
        height: 60,
    };
    let Some(mut gpu) = device(target) else {
        return;
    };
    let format = FrameFormat {
        size: Size {
            width: 160,
            height: 120,
        },
        pixel_format: PixelFormat::Nv12,
        matrix: ColorMatrix::Bt601,
        range: ColorRange::Limited,
    };
    let frames = [0, 1].map(|seed| frame(format, |plane, x, y| noise(plane + seed, x, y)));
    let mut bytes = vec![0; 3 * 60 * 60];
    let mut run = |frame: &Frame| {
        gpu.begin(frame, whole(frame));
        gpu.fill(frame, whole(frame), TensorMut::U8(&mut bytes))
            .expect("filled");
    };
    for frame in frames.iter().cycle().take(4) {
        run(frame);
    }
    let before = allocations();
    for frame in frames.iter().cycle().take(50) {
        run(frame);
    }
    assert_eq!(allocations() - before, 0, "in 50 frames");
    assert_eq!(gpu.means(), Means::Renderer);
}

#[test]
fn without_a_driver_the_cpu_does_it_and_that_is_said_once() {
    let renderer = GpuPreprocess::with_egl("libno-such-egl.so.1", SMALL, PATIENCE);
    let mut gpu = Preprocessor::new(SMALL);
    gpu.render_by(Box::new(renderer));
    let frame = grey(77);
    gpu.begin(&frame, whole(&frame));
    assert_eq!(gpu.means(), Means::Cpu);
    let expected = tensor(&mut Preprocessor::new(SMALL), &frame, whole(&frame));
    assert_eq!(tensor(&mut gpu, &frame, whole(&frame)), expected);
    let said = gpu.take_failure().expect("it is said");
    assert!(said.contains("libno-such-egl.so.1"), "{said}");
    assert_eq!(tensor(&mut gpu, &frame, whole(&frame)), expected);
    assert_eq!(gpu.take_failure(), None);
}

#[test]
fn a_device_that_is_too_slow_is_given_up() {
    if device(SMALL).is_none() {
        return;
    }
    // The first frame of a kind is waited for a few seconds, the second not at all. A device that
    // has drawn it before it is asked is in time.
    let target = Size {
        width: 1024,
        height: 1024,
    };
    let mut gpu = Preprocessor::new(target);
    gpu.render_by(Box::new(GpuPreprocess::with_egl(
        EGL_LIBRARY,
        target,
        Duration::ZERO,
    )));
    let frame = grey(9);
    for _ in 0..50 {
        let pixels = tensor(&mut gpu, &frame, whole(&frame));
        assert!(pixels.iter().all(|byte| *byte == 9));
        if let Some(said) = gpu.take_failure() {
            assert!(said.contains("late by more than"), "{said}");
            assert_eq!(gpu.means(), Means::Cpu);
            return;
        }
    }
    eprintln!("skipped: this device is never late");
}

#[test]
fn the_detector_finds_the_same_people_and_passes_its_self_test() {
    let loaded = load(Path::new("config/andon.toml"), &Overrides::default());
    let mut config = loaded.expect("the configuration is good").config;
    config.engine.engine = EngineChoice::Cpu;
    let mut by_cpu = Inferencer::new(&config).expect("models");
    let mut by_gpu = Inferencer::new(&config).expect("models");
    let mut renderer = GpuPreprocess::with_egl(EGL_LIBRARY, by_gpu.input_size(), PATIENCE);
    if let Err(error) = renderer.connect() {
        eprintln!("skipped: {error}");
        return;
    }
    by_gpu.render_by(Box::new(renderer));
    assert_eq!(by_gpu.self_test(), DetectorTest::Passed);
    let clock = || MonotonicTime::ZERO;
    let mut people = 0;
    for frame in pictures("tests/media/worker_safety.mp4") {
        by_gpu.begin_input(&frame, clock);
        let found = [&mut by_cpu, &mut by_gpu].map(|one| one.judge(frame.clone(), clock));
        let [Findings::Persons(expected), Findings::Persons(found)] =
            found.map(|inferred| inferred.findings)
        else {
            unreachable!("a frame failed");
        };
        // Equal scores may come in another order, and what barely reaches the threshold may not.
        for (ours, others) in [(&expected, &found), (&found, &expected)] {
            let clear = ours.iter().filter(|one| one.score >= Score::percent(60));
            for one in clear {
                assert!(
                    others.iter().any(|other| alike(one, other)),
                    "{one:?} {others:?}"
                );
                people += 1;
            }
        }
    }
    assert!(people > 0);
    eprintln!("{} people, the same by both", people / 2);
    assert_eq!(by_gpu.self_test(), DetectorTest::Passed);
    assert_eq!(by_gpu.take_engine_event(), None);
}

/// The shipped int8 detector's scores come in steps, the largest from 0.5 to 0.5547; a rounded pixel may
/// make one step of difference.
const SCORE_STEP: f32 = 0.056;

/// Whether both are the same person in the same place.
fn alike(one: &Detection, other: &Detection) -> bool {
    let sides = |rect: Rect<Normalised>| [rect.left(), rect.top(), rect.right(), rect.bottom()];
    let (a, b) = (sides(one.bbox), sides(other.bbox));
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    let score = (one.score.get() - other.score.get()).abs();
    one.label == other.label && score <= SCORE_STEP && apart.fold(0.0, f32::max) < 0.02
}
