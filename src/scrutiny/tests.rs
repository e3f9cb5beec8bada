//! The checks on drawn pictures, whose answer is known. Altered film is in `tests/tamper.rs`.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers made for the test"
)]

use proptest::prelude::*;

use super::map::{COLUMNS, ROWS};
use super::*;
use crate::config::{FrozenCheckConfig, MovedCheckConfig};
use crate::frame::{BufferPool, ColorMatrix, ColorRange, FrameFormat, FrameMeta, PixelFormat};
use crate::geometry::Size;
use crate::units::StreamId;
use PictureDoubt::{Covered, Frozen, Moved};

const SIZE: Size = Size {
    width: 320,
    height: 240,
};

fn at(ms: u64) -> MonotonicTime {
    MonotonicTime::from_duration(Duration::from_millis(ms))
}

/// A picture whose luma is drawn and whose other bytes are `rest`.
fn picture(
    pixel_format: PixelFormat,
    size: Size,
    ms: u64,
    rest: u8,
    luma: impl Fn(i32, i32) -> u8,
) -> Frame {
    let format = FrameFormat {
        size,
        pixel_format,
        matrix: ColorMatrix::Bt601,
        range: ColorRange::Limited,
    };
    let mut buffer = crate::frame::FrameBuffer::default();
    let planes = buffer.prepare(&format);
    for (index, plane) in planes.into_iter().enumerate() {
        let (row_bytes, _) = crate::frame::plane_extent(&format, index);
        for (n, byte) in plane.iter_mut().enumerate() {
            let (x, y) = (n % row_bytes, (n / row_bytes) as i32);
            let (pixel, shows) = match pixel_format {
                PixelFormat::Yuyv => (x / 2, x % 2 == 0),
                PixelFormat::Uyvy => (x / 2, x % 2 == 1),
                PixelFormat::Rgbx32 | PixelFormat::Bgrx32 => (x / 4, x % 4 < 3),
                PixelFormat::Rgb24 | PixelFormat::Bgr24 => (x / 3, true),
                PixelFormat::I420 | PixelFormat::Nv12 => (x, index == 0),
            };
            *byte = if shows { luma(pixel as i32, y) } else { rest };
        }
    }
    let meta = FrameMeta {
        stream: StreamId::WorkerSafety,
        sequence: 0,
        media_time: Duration::ZERO,
        timestamp: at(ms),
        arrived: MonotonicTime::ZERO,
    };
    Frame::new(meta, format, buffer, &mut BufferPool::new())
}

/// A number that looks random, 0..=255.
fn hash(x: i32, y: i32, seed: i32) -> u8 {
    let mixed =
        x.wrapping_mul(0x2545_F491) ^ y.wrapping_mul(0x1B87_3593) ^ seed.wrapping_mul(0x5BD1);
    let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x2C1B_3C6D);
    (mixed >> 16) as u8
}

/// A scene of tiles with random brightness and a little noise: contours everywhere.
fn scene(x: i32, y: i32, noise: i32) -> u8 {
    let tile = hash(x.div_euclid(23), y.div_euclid(19), 1) / 2 + 40;
    tile + hash(x, y, noise) % 8
}

fn still(ms: u64) -> Frame {
    picture(PixelFormat::I420, SIZE, ms, 128, |x, y| {
        scene(x, y, ms as i32)
    })
}

/// Pictures every 100 ms until `ms`, each beyond doubt: the reference is complete.
fn settled(config: CameraChecksConfig) -> Scrutiny {
    let mut scrutiny = Scrutiny::new(config);
    for n in 0..60 {
        assert_eq!(scrutiny.observe(&still(n * 100)), None, "picture {n}");
    }
    scrutiny
}

/// What is said of altered pictures after the good ones: at 6000 ms and each 100 ms from there.
fn said(
    scrutiny: &mut Scrutiny,
    altered: impl Fn(i32, i32, i32) -> u8,
    count: u64,
) -> Vec<Option<PictureDoubt>> {
    (60..60 + count)
        .map(|n| {
            let ms = n * 100;
            let luma = |x, y| altered(x, y, ms as i32);
            scrutiny.observe(&picture(PixelFormat::I420, SIZE, ms, 128, luma))
        })
        .collect()
}

#[test]
fn a_good_picture_stays_good_and_comes_back_good() {
    let mut scrutiny = settled(CameraChecksConfig::default());
    let covered = said(&mut scrutiny, |x, y, t| 20 + hash(x, y, t) % 6, 10);
    assert_eq!(covered[..2], [None, None], "not before covered_after_ms");
    assert!(
        covered[2..].iter().all(|said| *said == Some(Covered)),
        "{covered:?}"
    );
    assert_eq!(scrutiny.observe(&still(7000)), None);
}

#[test]
fn identical_pictures_are_frozen_after_their_time_and_one_new_picture_ends_it() {
    let mut scrutiny = settled(CameraChecksConfig::default());
    let stuck = |ms| picture(PixelFormat::I420, SIZE, ms, 128, |x, y| scene(x, y, -1));
    for (ms, expected) in [
        (6000, None),
        (6300, None),
        (6500, None),
        (6501, Some(Frozen)),
        (9000, Some(Frozen)),
    ] {
        assert_eq!(scrutiny.observe(&stuck(ms)), expected, "{ms} ms");
    }
    assert_eq!(scrutiny.observe(&still(9100)), None);
}

#[test]
fn a_short_cycle_of_pictures_is_frozen_and_a_long_one_is_not_noticed() {
    for (cycle, expected) in [(1, true), (4, true), (8, true), (9, false)] {
        let mut scrutiny = settled(CameraChecksConfig::default());
        let said = said(
            &mut scrutiny,
            |x, y, t| scene(x, y, t / 100 % cycle - 100),
            30,
        );
        assert_eq!(said.contains(&Some(Frozen)), expected, "cycle of {cycle}");
    }
}

#[test]
fn every_picture_shown_twice_is_no_frozen_picture() {
    let mut scrutiny = settled(CameraChecksConfig::default());
    let said = said(&mut scrutiny, |x, y, t| scene(x, y, t / 200), 30);
    assert!(said.iter().all(Option::is_none), "{said:?}");
}

#[test]
fn a_change_of_one_byte_anywhere_makes_a_picture_new() {
    let size = Size {
        width: 33,
        height: 17,
    };
    for pixel_format in PixelFormat::ALL {
        let mut check = FrozenCheck::default();
        let frames = [(0, 7), (100, 7), (200, 9), (300, 9)].map(|(ms, byte)| {
            (
                ms,
                picture(pixel_format, size, ms, byte, |x, y| {
                    // In RGB there is no chroma: the last pixel carries the change.
                    if (x, y) == (32, 16) && pixel_format.is_rgb() {
                        byte
                    } else {
                        50
                    }
                }),
            )
        });
        let ages = frames.map(|(ms, frame)| check.observe(&frame, at(ms)).as_millis());
        assert_eq!(ages, [0, 100, 0, 100], "{pixel_format:?}");
    }
}

#[test]
fn what_has_no_meaning_makes_no_picture_new() {
    for pixel_format in [PixelFormat::Rgbx32, PixelFormat::Bgrx32] {
        let mut check = FrozenCheck::default();
        // 200 pixels: more than are hashed at once.
        let size = Size {
            width: 200,
            height: 3,
        };
        for (ms, rest) in [(0, 1), (100, 2), (200, 3)] {
            let frame = picture(pixel_format, size, ms, rest, |x, _| x as u8);
            assert_eq!(check.observe(&frame, at(ms)).as_millis(), u128::from(ms));
        }
    }
}

#[test]
fn a_clock_that_runs_back_starts_counting_anew() {
    let mut check = FrozenCheck::default();
    let frame = still(0);
    assert_eq!(check.observe(&frame, at(1000)), Duration::ZERO);
    assert_eq!(check.observe(&frame, at(1400)).as_millis(), 400);
    assert_eq!(check.observe(&frame, at(200)), Duration::ZERO);
    assert_eq!(check.observe(&frame, at(300)).as_millis(), 100);
}

#[test]
fn what_has_no_texture_is_covered_whatever_its_brightness() {
    type Draw = fn(i32, i32, i32) -> u8;
    let covers: [(&str, Draw); 5] = [
        ("a lens cap", |x, y, t| 16 + hash(x, y, t) % 12),
        ("white-out", |_, _, _| 235),
        ("cloth in slanting light", |x, y, t| {
            (60 + x / 4 + y / 8) as u8 + hash(x, y, t) % 10
        }),
        ("a finger with a dark rim", |x, _, t| {
            if x < 12 { 20 } else { 110 + hash(x, x, t) % 6 }
        }),
        ("fog", |x, y, t| 110 + scene(x, y, t) / 12),
    ];
    for (name, draw) in covers {
        let said = said(&mut settled(CameraChecksConfig::default()), draw, 6);
        assert_eq!(said[..2], [None, None], "{name}");
        assert!(
            said[2..].iter().all(|said| *said == Some(Covered)),
            "{name}: {said:?}"
        );
    }
}

#[test]
fn a_broken_first_picture_is_no_reference() {
    let mut scrutiny = Scrutiny::new(CameraChecksConfig::default());
    let torn = picture(PixelFormat::I420, SIZE, 0, 128, |x, y| {
        if y < 150 {
            hash(x / 20, y / 20, 77)
        } else {
            30
        }
    });
    assert_eq!(scrutiny.observe(&torn), None);
    for n in 1..60 {
        assert_eq!(scrutiny.observe(&still(n * 100)), None, "picture {n}");
    }
}

#[test]
fn a_loss_that_changes_its_kind_is_still_a_loss() {
    let mut scrutiny = settled(CameraChecksConfig::default());
    let said = said(
        &mut scrutiny,
        |x, y, t| match t / 100 % 2 {
            0 => scene(x + 40, y, t),
            _ => 110 + scene(x, y, t) / 8,
        },
        15,
    );
    assert_eq!(said.last(), Some(&Some(Moved)), "{said:?}");
}

#[test]
fn an_edge_between_two_blocks_is_texture() {
    let mut scrutiny = Scrutiny::new(CameraChecksConfig::default());
    // A block is 40 pixels wide here.
    let bars = |x: i32, _| if x / 40 % 2 == 0 { 60 } else { 120 };
    scrutiny.observe(&picture(PixelFormat::I420, SIZE, 0, 128, bars));
    assert!(scrutiny.measures().textured_share > 0.8);
}

#[test]
fn a_picture_that_is_covered_from_the_start_is_no_reference() {
    let mut scrutiny = Scrutiny::new(CameraChecksConfig::default());
    for n in 0..30 {
        let cap = picture(PixelFormat::I420, SIZE, n * 100, 128, |x, y| {
            16 + hash(x, y, n as i32) % 8
        });
        let expected = (n >= 2).then_some(Covered);
        assert_eq!(scrutiny.observe(&cap), expected, "{n}");
        assert_eq!(scrutiny.measures().contours, 0);
    }
    // One picture alone is no reference, and there has been none for too long.
    assert_eq!(scrutiny.observe(&still(3000)), Some(Moved));
    assert_eq!(scrutiny.observe(&still(3100)), None);
    assert!(scrutiny.measures().contours > 30);
}

#[test]
fn changes_of_light_are_no_tampering() {
    for percent in [40, 70, 130] {
        let said = said(
            &mut settled(CameraChecksConfig::default()),
            |x, y, t| (i32::from(scene(x, y, t)) * percent / 100).min(255) as u8,
            20,
        );
        assert!(said.iter().all(Option::is_none), "{percent} %: {said:?}");
    }
}

#[test]
fn a_moved_camera_is_noticed_after_its_time_and_only_beyond_the_limit() {
    // The limit is 1 % of the width: 3.2 pixels here.
    for (dx, dy, expected) in [
        (0, 0, false),
        (2, 0, false),
        (0, -2, false),
        (2, 2, false),
        (5, 0, true),
        (-5, 0, true),
        (0, 5, true),
        (0, -5, true),
        (40, 9, true),
        (160, 0, true),
    ] {
        let said = said(
            &mut settled(CameraChecksConfig::default()),
            |x, y, t| scene(x + dx, y + dy, t),
            15,
        );
        let moved = said.iter().position(|said| *said == Some(Moved));
        let first = expected.then_some(10);
        assert_eq!(moved, first, "by {dx}, {dy}: {said:?}");
    }
}

#[test]
fn a_camera_that_was_put_back_is_in_place_again() {
    let mut scrutiny = settled(CameraChecksConfig::default());
    let away = said(&mut scrutiny, |x, y, t| scene(x + 20, y, t), 15);
    assert_eq!(away.last(), Some(&Some(Moved)));
    assert_eq!(scrutiny.observe(&still(9000)), None);
}

#[test]
fn somebody_before_a_part_of_the_contours_is_no_moved_camera() {
    let person = |x: i32, y: i32, t: i32| {
        let left = (t - 6000) / 20;
        if (left..left + 90).contains(&x) && y > 40 {
            hash(x / 9, y / 9, t / 500)
        } else {
            scene(x, y, t)
        }
    };
    let said = said(&mut settled(CameraChecksConfig::default()), person, 30);
    assert!(said.iter().all(Option::is_none), "{said:?}");
}

#[test]
fn a_camera_moved_while_the_reference_is_learnt_does_not_become_the_reference() {
    let mut scrutiny = Scrutiny::new(CameraChecksConfig::default());
    for n in 0..10 {
        assert_eq!(scrutiny.observe(&still(n * 100)), None);
    }
    let said = said(&mut scrutiny, |x, y, t| scene(x + 30, y, t), 120);
    assert_eq!(said.last(), Some(&Some(Moved)));
}

#[test]
fn a_walker_leaves_no_trace_in_the_reference() {
    let mut scrutiny = Scrutiny::new(CameraChecksConfig::default());
    for n in 0..60_u64 {
        let left = 5 * n as i32;
        let frame = picture(PixelFormat::I420, SIZE, n * 100, 128, |x, y| {
            if (left..left + 40).contains(&x) && y > 60 {
                250
            } else {
                scene(x, y, n as i32)
            }
        });
        assert_eq!(scrutiny.observe(&frame), None, "{n}");
    }
    let reference = scrutiny.reference().expect("complete");
    let mut map = LumaMap::new();
    map.fill(&still(0));
    let off = |(a, b): (&u8, &u8)| u32::from(a.abs_diff(*b));
    let total: u32 = reference.luma().iter().zip(map.cells()).map(off).sum();
    let mean = f64::from(total) / (COLUMNS * ROWS) as f64;
    assert!(mean < 6.0, "the reference is off by {mean} grey levels");
}

#[test]
fn a_scene_without_contours_cannot_be_held_in_place() {
    // Upright edges only: the camera could tilt without a trace.
    let mut scrutiny = Scrutiny::new(CameraChecksConfig::default());
    let mut said = Vec::new();
    for n in 0..20 {
        let bars = |x: i32, y| hash(x / 20, 0, 3) / 2 + hash(x, y, n as i32) % 4;
        said.push(scrutiny.observe(&picture(PixelFormat::I420, SIZE, n * 100, 128, bars)));
    }
    assert_eq!(said[9], None);
    assert_eq!(said[10], Some(Moved), "after moved_after_ms");
}

#[test]
fn a_kept_reference_notices_a_camera_that_was_moved_before_the_start() {
    let reference = settled(CameraChecksConfig::default())
        .reference()
        .expect("complete");
    let mut same = Scrutiny::with_reference(CameraChecksConfig::default(), &reference);
    assert_eq!(same.observe(&still(0)), None);
    assert_eq!(same.observe(&still(2000)), None);
    let mut moved = Scrutiny::with_reference(CameraChecksConfig::default(), &reference);
    let said = said(&mut moved, |x, y, t| scene(x + 6, y, t), 12);
    assert_eq!(said.last(), Some(&Some(Moved)));
    assert_eq!(moved.reference(), Some(reference), "it is not learnt away");
}

#[test]
fn a_reference_has_its_size_and_contours() {
    let flat = vec![90; COLUMNS * ROWS];
    assert_eq!(
        ReferencePicture::new(160, 120, &flat),
        Err(ReferenceError::TooFewContours { found: 0 })
    );
    let size = Err(ReferenceError::Size {
        width: 120,
        height: 160,
    });
    assert_eq!(ReferencePicture::new(120, 160, &flat), size);
}

#[test]
fn a_check_that_is_off_says_nothing() {
    let all = CameraChecksConfig::default();
    let without_frozen = CameraChecksConfig {
        frozen: None,
        ..all.clone()
    };
    assert!(
        !said(&mut settled(without_frozen), |x, y, _| scene(x, y, 0), 30).contains(&Some(Frozen))
    );
    let without_covered = CameraChecksConfig {
        covered: None,
        moved: None,
        ..all.clone()
    };
    let said_of_cap = said(
        &mut settled(without_covered),
        |x, y, t| hash(x, y, t) % 8,
        30,
    );
    assert!(said_of_cap.iter().all(Option::is_none));
    let without_moved = CameraChecksConfig { moved: None, ..all };
    let said_of_shift = said(
        &mut settled(without_moved),
        |x, y, t| scene(x + 50, y, t),
        30,
    );
    assert!(said_of_shift.iter().all(Option::is_none));
    assert_eq!(
        settled(CameraChecksConfig::OFF).measures(),
        Measures::default()
    );
}

#[test]
fn without_the_covered_check_a_covered_camera_has_still_lost_its_contours() {
    let config = CameraChecksConfig {
        covered: None,
        ..CameraChecksConfig::default()
    };
    let said = said(&mut settled(config), |x, y, t| 16 + hash(x, y, t) % 8, 12);
    assert_eq!(said.last(), Some(&Some(Moved)));
}

#[test]
fn thresholds_can_be_changed_without_losing_the_reference() {
    let mut scrutiny = settled(CameraChecksConfig::default());
    scrutiny.reconfigure(CameraChecksConfig {
        frozen: Some(FrozenCheckConfig {
            after: Duration::from_millis(100),
        }),
        moved: Some(MovedCheckConfig {
            after: Duration::ZERO,
            ..MovedCheckConfig::DEFAULT
        }),
        ..CameraChecksConfig::default()
    });
    let said = said(&mut scrutiny, |x, y, t| scene(x + 9, y, t), 1);
    assert_eq!(said, [Some(Moved)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cell_is_the_mean_of_its_pixels(
        width in 1_u32..400, height in 1_u32..300, seed in any::<i32>(), format in 0..PixelFormat::ALL.len(),
    ) {
        let pixel_format = PixelFormat::ALL[format];
        let luma = |x, y| hash(x, y, seed);
        let frame = picture(pixel_format, Size { width, height }, 0, 128, luma);
        let mut map = LumaMap::new();
        map.fill(&frame);
        let range = |n: usize, cells: usize, pixels: u32| {
            let pixels = pixels as usize;
            let start = n * pixels / cells;
            start..((n + 1) * pixels / cells).max(start + 1)
        };
        for (n, cell) in map.cells().iter().enumerate() {
            let (mut sum, mut count) = (0.0, 0.0);
            for y in range(n / COLUMNS, ROWS, height) {
                for x in range(n % COLUMNS, COLUMNS, width) {
                    sum += f64::from(luma(x as i32, y as i32));
                    count += 1.0;
                }
            }
            prop_assert!((f64::from(*cell) - sum / count).abs() <= 1.0, "cell {n}: {cell}, {}", sum / count);
        }
    }

    #[test]
    fn no_picture_of_any_size_breaks_it(
        width in 1_u32..80, height in 1_u32..80, seeds in prop::collection::vec(any::<i32>(), 1..6),
    ) {
        let mut scrutiny = Scrutiny::new(CameraChecksConfig::default());
        for (n, seed) in seeds.into_iter().enumerate() {
            let size = Size { width: (width * (n as u32 + 1)) % 97 + 1, height };
            let frame = picture(PixelFormat::Nv12, size, n as u64 * 100, 128, |x, y| hash(x / 3, y / 3, seed));
            let _ = scrutiny.observe(&frame);
            let Measures { textured_share, in_place_share, .. } = scrutiny.measures();
            prop_assert!((0.0..=1.0).contains(&textured_share) && (0.0..=1.0).contains(&in_place_share));
        }
    }
}
