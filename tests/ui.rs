//! The picture: draw lists exactly, pixels with a stated tolerance.
//!
//! `UPDATE_GOLDEN=1 cargo test --test ui` writes the draw lists anew; read the difference before
//! committing it. Tests that draw need EGL and say `skipped: why` where there is none.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a test may fail and say why it was skipped; its pictures are small"
)]

#[path = "ui/golden.rs"]
mod golden;
#[path = "ui/support.rs"]
mod support;

use std::process::Command as Process;
use std::sync::Arc;

use andon::frame::{
    ColorMatrix, ColorRange, DeviceBuffer, DeviceMemory, Frame, FrameFormat, PixelFormat,
    PlaneLayout,
};
use andon::geometry::{Rect, ScreenPixels, Size};
use andon::message::{
    Disposition, Fault, InspectionVerdict, PermissionState, SafetyVerdict, Snapshot, TripCause,
    Verdict,
};
use andon::ui::UiError;
use andon::ui::gles::VideoMeans;
use andon::ui::headless::HeadlessRenderer;
use andon::ui::scene::{Command, MaskMemory, People, Scene, SceneContext, build};
use andon::units::{Metres, StreamId, ZoneIndex, ZoneKind};

use golden::assert_golden;
use support::*;

const HD: Size = size(1280, 720);

// ---- draw lists ----

fn worker(size: Size) -> Frame {
    grey(StreamId::WorkerSafety, size, 1000)
}

fn belt() -> Frame {
    grey(StreamId::VisualInspection, size(640, 480), 1000)
}

fn three_people() -> Verdict {
    safety(&[
        person(0.83, bbox(0.41, 0.38, 0.50, 0.80), &[(0, ZoneKind::Stop)]),
        person(0.74, bbox(0.06, 0.30, 0.13, 0.62), &[(1, ZoneKind::Warn)]),
        person(0.66, bbox(0.80, 0.22, 0.87, 0.50), &[]),
    ])
}

fn three_parts() -> Verdict {
    inspection(&[
        item(0, 0.98, bbox(0.10, 0.30, 0.36, 0.68), Disposition::Good),
        item(1, 0.97, bbox(0.45, 0.30, 0.70, 0.70), Disposition::Reject),
        item(1, 0.55, bbox(0.75, 0.35, 0.98, 0.70), Disposition::Unsure),
    ])
}

/// Everything at once, in one state of the run permission.
fn busy(permission: PermissionState) -> Snapshot {
    let streams = [
        Some(view(worker(size(768, 576)), three_people())),
        Some(view(belt(), three_parts())),
    ];
    snapshot(permission, 1000, streams)
}

#[test]
fn a_person_in_a_stop_zone() {
    let stopped = busy(PermissionState::Tripped(TripCause::Zone(ZoneIndex(0))));
    assert_golden("stop", &build(&stopped, &context(), HD));
}

#[test]
fn the_distance_from_the_stop_zone_stands_beside_the_person() {
    let mut near = person(0.66, bbox(0.80, 0.22, 0.87, 0.50), &[]);
    near.distance = Some(Metres(2.44));
    let streams = [Some(view(worker(size(768, 576)), safety(&[near]))), None];
    let scene = build(
        &snapshot(PermissionState::On, 1000, streams),
        &context(),
        HD,
    );
    let label = |command: &Command| matches!(command, Command::Text { text, .. } if text == "person 0.66  2.4 m");
    assert!(scene.commands.iter().any(label), "{scene:?}");
}

#[test]
fn running_with_somebody_in_a_warn_zone() {
    let mut running = busy(PermissionState::On);
    running.streams[0] = Some(view(
        worker(size(768, 576)),
        safety(&[person(
            0.74,
            bbox(0.06, 0.30, 0.13, 0.62),
            &[(1, ZoneKind::Warn)],
        )]),
    ));
    assert_golden("run", &build(&running, &context(), HD));
}

#[test]
fn waiting_for_reset_in_a_portrait_picture() {
    let mut waiting = busy(PermissionState::Interlocked);
    waiting.streams[0] = Some(view(worker(size(1920, 1080)), safety(&[])));
    assert_golden(
        "reset-portrait",
        &build(&waiting, &context(), size(720, 1280)),
    );
}

#[test]
fn a_camera_is_waited_for_before_its_first_frame() {
    let starting = snapshot(PermissionState::SelfTest, 0, [None, None]);
    assert_golden("self-test", &build(&starting, &context(), HD));
}

#[test]
fn a_fault_with_an_old_picture_and_a_frame_nobody_judged() {
    let unjudged = Verdict::Inspection(InspectionVerdict {
        failure: Some("classifier: the interpreter failed".into()),
        ..InspectionVerdict::default()
    });
    let streams = [
        Some(view(worker(size(360, 640)), safety(&[]))),
        Some(view(
            grey(StreamId::VisualInspection, size(1920, 1080), 4000),
            unjudged,
        )),
    ];
    let fault = Fault::SourceLost(StreamId::WorkerSafety);
    let broken = snapshot(PermissionState::LockedOut(fault), 4200, streams);
    let mut context = context();
    context.notice = Some("Recording stopped: no space left on device".into());
    assert_golden("fault", &build(&broken, &context, HD));
}

#[test]
fn masked_people() {
    let mut context = context();
    context.people = People::Masked(MaskMemory::default());
    let stopped = busy(PermissionState::Tripped(TripCause::Zone(ZoneIndex(0))));
    context.observe(&stopped);
    assert_golden("masked", &build(&stopped, &context, HD));
}

#[test]
fn every_state_has_its_own_words_and_symbol() {
    let states = [
        PermissionState::SelfTest,
        PermissionState::Interlocked,
        PermissionState::On,
        PermissionState::Tripped(TripCause::Zone(ZoneIndex(0))),
        PermissionState::Tripped(TripCause::Stale(StreamId::WorkerSafety)),
        PermissionState::Tripped(TripCause::Unjudged(StreamId::WorkerSafety)),
        PermissionState::LockedOut(Fault::Unguarded),
        PermissionState::LockedOut(Fault::OutputLost),
        PermissionState::LockedOut(Fault::FeedbackMismatch),
        PermissionState::LockedOut(Fault::ClockBackwards),
        PermissionState::LockedOut(Fault::SourceEnded(StreamId::WorkerSafety)),
        PermissionState::LockedOut(Fault::SourceLost(StreamId::WorkerSafety)),
        PermissionState::LockedOut(Fault::InferenceLost(StreamId::WorkerSafety)),
    ];
    let mut headlines = Vec::new();
    for state in states {
        let scene = build(&snapshot(state, 0, [None, None]), &context(), HD);
        let texts: Vec<&str> = scene.commands.iter().filter_map(text_of).collect();
        let permission = if state.is_on() {
            "Run permission ON"
        } else {
            "Run permission OFF"
        };
        assert!(
            texts.iter().any(|text| text.starts_with(permission)),
            "{state:?}: {texts:?}"
        );
        headlines.push(texts[0].to_owned());
    }
    let mut unique = headlines.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), headlines.len(), "{headlines:?}");
}

fn text_of(command: &Command) -> Option<&str> {
    match command {
        Command::Text { text, .. } => Some(text),
        _ => None,
    }
}

#[test]
fn labels_never_cover_each_other() {
    // Sixteen people in a heap: some labels find no place, none covers another.
    let heap: Vec<_> = (0..16_u8)
        .map(|index| {
            let left = 0.3 + f32::from(index % 4) * 0.03;
            let top = 0.3 + f32::from(index / 4) * 0.04;
            person(0.5, bbox(left, top, left + 0.05, top + 0.3), &[])
        })
        .collect();
    let streams = [Some(view(worker(size(1280, 720)), safety(&heap))), None];
    let scene = build(
        &snapshot(PermissionState::On, 1000, streams),
        &context(),
        HD,
    );
    let clear = scene.commands.iter().filter_map(|command| match command {
        Command::Block { rect, color } if (color.r, color.g) == (0x23, 0xd5) => Some(*rect),
        _ => None,
    });
    let labels: Vec<Rect<ScreenPixels>> = clear.collect();
    assert!((4..16).contains(&labels.len()), "{}", labels.len());
    for (index, label) in labels.iter().enumerate() {
        for other in &labels[index + 1..] {
            let shared = label.intersection(*other);
            let area = shared.map_or(0.0, |shared| shared.width() * shared.height());
            assert!(area <= 0.0, "{label:?} covers {other:?}");
        }
    }
}

#[test]
fn any_size_of_picture_and_frame_can_be_laid_out() {
    for picture in [
        size(1, 1),
        size(16, 16),
        size(3840, 2160),
        size(720, 1280),
        size(5000, 100),
    ] {
        for frame in [size(1, 1), size(3, 1000), size(4096, 16)] {
            let mut snapshot = busy(PermissionState::On);
            snapshot.streams[0] = Some(view(worker(frame), three_people()));
            let scene = build(&snapshot, &context(), picture);
            assert!(!scene.commands.is_empty());
            let text = scene.to_string();
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        }
    }
}

#[test]
fn everything_grows_with_the_picture() {
    let stopped = busy(PermissionState::Tripped(TripCause::Zone(ZoneIndex(0))));
    let headline = |size| {
        let scene = build(&stopped, &context(), size);
        let sizes = scene.commands.iter().filter_map(|command| match command {
            Command::Text { size, .. } => Some(*size),
            _ => None,
        });
        sizes.collect::<Vec<f32>>()
    };
    for (small, large) in headline(HD).into_iter().zip(headline(size(3840, 2160))) {
        assert!((large / small - 3.0).abs() < 0.1, "{small} {large}");
    }
}

// ---- masks ----

#[test]
fn a_mask_stays_where_a_person_was_lost_and_goes_when_half_a_second_is_over() {
    let mut context = context();
    context.people = People::Masked(MaskMemory::default());
    let mut masks = |ms: u64, verdict: Verdict| {
        let frame = grey(StreamId::WorkerSafety, size(640, 480), ms);
        let seen = snapshot(PermissionState::On, ms, [Some(view(frame, verdict)), None]);
        context.observe(&seen);
        let scene = build(&seen, &context, HD);
        let masks = scene.commands.iter();
        masks
            .filter(|command| matches!(command, Command::Mask { .. }))
            .count()
    };
    assert_eq!(masks(0, safety(&[])), 0);
    assert!(masks(40, safety(&[person(0.8, bbox(0.4, 0.4, 0.5, 0.8), &[])])) > 0);
    assert!(
        masks(80, safety(&[])) > 0,
        "the detector lost the person for a frame"
    );
    assert!(masks(540, safety(&[])) > 0);
    assert_eq!(masks(581, safety(&[])), 0);
    // A clock that starts again does not keep old places for ever.
    assert!(masks(600, safety(&[person(0.8, bbox(0.4, 0.4, 0.5, 0.8), &[])])) > 0);
    assert_eq!(masks(10, safety(&[])), 0);
}

#[test]
fn nothing_of_a_masked_person_is_in_the_picture() {
    let Some(mut renderer) = renderer(HD) else {
        return;
    };
    let place = bbox(0.4, 0.3, 0.5, 0.7);
    let mut context = context();
    context.people = People::Masked(MaskMemory::default());
    let mut pictures = Vec::new();
    // The same scene twice, but for the person's own pixels.
    for shade in [20_usize, 230] {
        let format = i420(size(640, 480));
        let meta = meta(StreamId::WorkerSafety, shade as u64, 1000);
        let frame = frame(meta, format, |plane, x, y| {
            let (width, height) = if plane == 0 {
                (640.0, 480.0)
            } else {
                (320.0, 240.0)
            };
            let (x, y) = ((x as f32 + 0.5) / width, (y as f32 + 0.5) / height);
            let inside = (place.left()..place.right()).contains(&x)
                && (place.top()..place.bottom()).contains(&y);
            if inside {
                (shade + plane * 5) as u8
            } else {
                120
            }
        });
        let verdict = safety(&[person(0.8, place, &[])]);
        let seen = snapshot(
            PermissionState::On,
            1000,
            [Some(view(frame, verdict)), None],
        );
        context.observe(&seen);
        pictures.push(draw(&mut renderer, &seen, &context));
    }
    assert!(
        pictures[0] == pictures[1],
        "a masked person changes the picture"
    );
}

#[test]
fn a_frame_nobody_judged_is_masked_entirely() {
    let Some(mut renderer) = renderer(HD) else {
        return;
    };
    let mut context = context();
    context.people = People::Masked(MaskMemory::default());
    let mut pictures = Vec::new();
    for shade in [20, 230] {
        let meta = meta(StreamId::WorkerSafety, shade, 1000);
        let frame = frame(meta, i420(size(640, 480)), |_, x, _| {
            shade as u8 ^ (x % 16) as u8
        });
        let verdict = Verdict::Safety(SafetyVerdict {
            occupied: true,
            failure: Some("detector: the interpreter failed".into()),
            ..SafetyVerdict::default()
        });
        let seen = snapshot(
            PermissionState::On,
            1000,
            [Some(view(frame, verdict)), None],
        );
        pictures.push(draw(&mut renderer, &seen, &context));
    }
    assert!(
        pictures[0] == pictures[1],
        "a frame that was not judged can be seen"
    );
}

// ---- pixels ----

/// `None`, with a word about it, where this machine cannot draw.
fn renderer(size: Size) -> Option<HeadlessRenderer> {
    match HeadlessRenderer::new(size) {
        Ok(renderer) => Some(renderer),
        Err(error @ (UiError::NoEgl { .. } | UiError::NoEglDriver { .. })) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn draw(renderer: &mut HeadlessRenderer, shown: &Snapshot, context: &SceneContext) -> Vec<u8> {
    let frames = [0, 1].map(|index: usize| shown.streams[index].as_ref().map(|view| &view.frame));
    let scene = build(shown, context, HD);
    renderer.render(&scene, frames).unwrap().to_vec()
}

fn pixel(picture: &[u8], x: f32, y: f32) -> [u8; 3] {
    let start = (y as usize * HD.width as usize + x as usize) * 4;
    [picture[start], picture[start + 1], picture[start + 2]]
}

fn close(a: [u8; 3], b: [u8; 3], tolerance: u8) -> bool {
    a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= tolerance)
}

/// Where the scene draws a stream.
fn video_rect(scene: &Scene, wanted: StreamId) -> Rect<ScreenPixels> {
    let found = scene.commands.iter().find_map(|command| match command {
        Command::Video { stream, rect } if *stream == wanted => Some(*rect),
        _ => None,
    });
    found.expect("a video")
}

const ALL_MEANS: [VideoMeans; 2] = [VideoMeans::Cpu, VideoMeans::Shader];

/// A frame with a white object on black, whatever the pixel format.
fn object_frame(
    frame_size: Size,
    pixel_format: PixelFormat,
    object: Rect<andon::geometry::Normalised>,
) -> Frame {
    let format = FrameFormat {
        pixel_format,
        ..i420(frame_size)
    };
    let meta = meta(StreamId::WorkerSafety, 25, 1000);
    frame(meta, format, |plane, x, y| {
        let (pixel, is_chroma) = match pixel_format {
            PixelFormat::Yuyv => (x / 2, x % 2 == 1),
            PixelFormat::Uyvy => (x / 2, x % 2 == 0),
            _ => (x / pixel_format.sample_bytes(0), plane > 0),
        };
        let x = (pixel as f32 + 0.5) / frame_size.width as f32;
        let y = (y as f32 + 0.5) / frame_size.height as f32;
        let inside = (object.left()..object.right()).contains(&x)
            && (object.top()..object.bottom()).contains(&y);
        match (is_chroma, inside) {
            (false, true) => 235,
            (false, false) => 16,
            (true, _) => 128,
        }
    })
}

#[test]
fn a_frame_that_cannot_be_shown_leaves_the_rest_of_the_picture_alone() {
    let Some(mut renderer) = renderer(HD) else {
        return;
    };
    renderer.prepare_videos_by(VideoMeans::Shader).unwrap();
    let everything = bbox(0.0, 0.0, 1.0, 1.0);
    let white = |frame_size| object_frame(frame_size, PixelFormat::I420, everything);
    // Wider than any texture.
    let shown = |safety_size| {
        let streams = [
            Some(view(white(safety_size), safety(&[]))),
            Some(view(white(size(640, 480)), inspection(&[]))),
        ];
        snapshot(PermissionState::On, 1000, streams)
    };
    let mut context = context();
    context.zones.clear();
    let middle = |seen: &Snapshot, stream| {
        let rect = video_rect(&build(seen, &context, HD), stream);
        let x = rect.left() + 0.25 * rect.width();
        (x, f32::midpoint(rect.top(), rect.bottom()))
    };
    for (wide, is_shown) in [(true, false), (false, true)] {
        let seen = shown(if wide {
            size(33_000, 400)
        } else {
            size(640, 480)
        });
        let picture = draw(&mut renderer, &seen, &context);
        let (x, y) = middle(&seen, StreamId::VisualInspection);
        assert!(
            close(pixel(&picture, x, y), [255; 3], 8),
            "the other stream"
        );
        let (x, y) = middle(&seen, StreamId::WorkerSafety);
        let safety = pixel(&picture, x, y);
        assert_eq!(close(safety, [255; 3], 8), is_shown, "{safety:?}");
    }
}

#[test]
fn boxes_lie_on_their_objects_for_every_aspect_ratio_and_format() {
    let Some(mut renderer) = renderer(HD) else {
        return;
    };
    let object = bbox(0.30, 0.40, 0.55, 0.75);
    let mut context = context();
    context.zones.clear();
    for means in ALL_MEANS {
        renderer.prepare_videos_by(means).unwrap();
        for (width, height) in [
            (1280, 720),
            (640, 480),
            (360, 640),
            (641, 479),
            (1920, 816),
            (480, 480),
        ] {
            for pixel_format in PixelFormat::ALL {
                let frame = object_frame(size(width, height), pixel_format, object);
                let verdict = safety(&[person(0.8, object, &[])]);
                let seen = snapshot(
                    PermissionState::On,
                    1000,
                    [Some(view(frame, verdict)), None],
                );
                let video = video_rect(&build(&seen, &context, HD), StreamId::WorkerSafety);
                let aspect = video.width() / video.height();
                let wanted = width as f32 / height as f32;
                assert!(
                    (aspect / wanted - 1.0).abs() < 0.01,
                    "{width}x{height} shown as {aspect}"
                );
                let picture = draw(&mut renderer, &seen, &context);
                let box_on_screen = object.to_screen(video);
                let context = format!("{means:?} {width}x{height} {pixel_format:?}");
                assert_box_on_object(&picture, box_on_screen, &context);
            }
        }
    }
}

/// Looks along a line through each side: background outside, then the box's line, then the object.
fn assert_box_on_object(picture: &[u8], on_screen: Rect<ScreenPixels>, context: &str) {
    let middle_y = (on_screen.top() + on_screen.bottom()) / 2.0;
    let middle_x = (on_screen.left() + on_screen.right()) / 2.0;
    let sides = [
        ("left", on_screen.left(), middle_y, -1.0, 0.0),
        ("right", on_screen.right(), middle_y, 1.0, 0.0),
        ("bottom", middle_x, on_screen.bottom(), 0.0, 1.0),
    ];
    for (side, x, y, dx, dy) in sides {
        let at = |steps: f32| pixel(picture, x + dx * steps, y + dy * steps);
        assert!(
            close(at(6.0), [0, 0, 0], 30),
            "{context}: {side}, outside {:?}",
            at(6.0)
        );
        assert!(
            close(at(-6.0), [255, 255, 255], 30),
            "{context}: {side}, inside {:?}",
            at(-6.0)
        );
        let line = (-2..=2).any(|step| close(at(step as f32), [0x23, 0xd5, 0xa0], 12));
        assert!(line, "{context}: no line at {side}");
    }
}

#[test]
fn colours_are_those_of_the_standards() {
    let Some(mut renderer) = renderer(HD) else {
        return;
    };
    let mut context = context();
    context.zones.clear();
    // A frame of the same number would be taken for the one before.
    let mut number = 0;
    for means in ALL_MEANS {
        renderer.prepare_videos_by(means).unwrap();
        for matrix in [ColorMatrix::Bt601, ColorMatrix::Bt709] {
            for range in [ColorRange::Limited, ColorRange::Full] {
                for (pixel_format, yuv) in [
                    (PixelFormat::I420, [120, 90, 180]),
                    (PixelFormat::Nv12, [120, 90, 180]),
                    (PixelFormat::I420, [180, 160, 70]),
                    (PixelFormat::I420, [16, 128, 128]),
                    (PixelFormat::Nv12, [235, 128, 128]),
                    (PixelFormat::Yuyv, [120, 90, 180]),
                    (PixelFormat::Uyvy, [120, 90, 180]),
                    (PixelFormat::Uyvy, [180, 160, 70]),
                ] {
                    let format = FrameFormat {
                        size: size(640, 480),
                        pixel_format,
                        matrix,
                        range,
                    };
                    number += 1;
                    let meta = meta(StreamId::WorkerSafety, number, 1000);
                    let frame = frame(meta, format, |plane, x, _| match (pixel_format, plane) {
                        (PixelFormat::Nv12, 1) => yuv[1 + x % 2],
                        (PixelFormat::Yuyv, _) => yuv[[0, 1, 0, 2][x % 4]],
                        (PixelFormat::Uyvy, _) => yuv[[1, 0, 2, 0][x % 4]],
                        (_, plane) => yuv[plane],
                    });
                    let seen = snapshot(
                        PermissionState::On,
                        1000,
                        [Some(view(frame, safety(&[]))), None],
                    );
                    let picture = draw(&mut renderer, &seen, &context);
                    let video = video_rect(&build(&seen, &context, HD), StreamId::WorkerSafety);
                    let x = (video.left() + video.right()) / 2.0;
                    let y = (video.top() + video.bottom()) / 2.0;
                    let (seen, wanted) = (pixel(&picture, x, y), reference(yuv, matrix, range));
                    assert!(
                        close(seen, wanted, 3),
                        "{means:?} {pixel_format:?} {matrix:?} {range:?} {yuv:?}: {seen:?}, not {wanted:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn red_is_red_in_whatever_order_its_bytes_are() {
    let Some(mut renderer) = renderer(HD) else {
        return;
    };
    let mut context = context();
    context.zones.clear();
    let colour = [200, 120, 30];
    for means in ALL_MEANS {
        renderer.prepare_videos_by(means).unwrap();
        for (pixel_format, bytes, order) in [
            (PixelFormat::Rgb24, 3, [0, 1, 2]),
            (PixelFormat::Bgr24, 3, [2, 1, 0]),
            (PixelFormat::Rgbx32, 4, [0, 1, 2]),
            (PixelFormat::Bgrx32, 4, [2, 1, 0]),
        ] {
            let format = FrameFormat {
                pixel_format,
                ..i420(size(640, 480))
            };
            let meta = meta(StreamId::WorkerSafety, bytes as u64 + order[0] as u64, 1000);
            let frame = frame(meta, format, |_, x, _| {
                order.get(x % bytes).map_or(99, |channel| colour[*channel])
            });
            let seen = snapshot(
                PermissionState::On,
                1000,
                [Some(view(frame, safety(&[]))), None],
            );
            let picture = draw(&mut renderer, &seen, &context);
            let video = video_rect(&build(&seen, &context, HD), StreamId::WorkerSafety);
            let x = (video.left() + video.right()) / 2.0;
            let y = (video.top() + video.bottom()) / 2.0;
            let shown = pixel(&picture, x, y);
            assert!(
                close(shown, colour, 2),
                "{means:?} {pixel_format:?}: {shown:?}"
            );
        }
    }
}

/// Memory with rows that are longer than the picture is wide, as drivers lay them out.
#[derive(Debug)]
struct Padded(Vec<u8>);

impl DeviceMemory for Padded {
    fn bytes(&self, index: usize) -> &[u8] {
        if index == 0 { &self.0 } else { &[] }
    }

    fn dmabuf(&self, _: usize) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }
}

#[test]
fn rows_with_padding_are_shown_like_rows_without() {
    let Some(mut renderer) = renderer(HD) else {
        return;
    };
    let object = bbox(0.30, 0.40, 0.55, 0.75);
    let mut context = context();
    context.zones.clear();
    for means in ALL_MEANS {
        renderer.prepare_videos_by(means).unwrap();
        for pixel_format in PixelFormat::ALL {
            let tight = object_frame(size(642, 482), pixel_format, object);
            // 1 byte beyond a multiple of 4: rows of three bytes never begin at a whole pixel.
            let mut bytes = Vec::new();
            let mut layouts = [PlaneLayout::default(); 3];
            for (index, layout) in layouts.iter_mut().enumerate() {
                let plane = tight.plane(index);
                if plane.height == 0 {
                    continue;
                }
                let sample = pixel_format.sample_bytes(index);
                let padding = if sample == 3 { 17 } else { 16 };
                let row_bytes = plane.width * sample;
                *layout = PlaneLayout {
                    memory: 0,
                    offset: bytes.len(),
                    stride: row_bytes + padding,
                };
                for row in plane.data.chunks(plane.stride) {
                    bytes.extend_from_slice(row);
                    bytes.resize(bytes.len() + padding, 0x5a);
                }
                // As at the end of a memory: the last row has none.
                bytes.truncate(bytes.len() - padding);
            }
            let buffer = DeviceBuffer::new(Arc::new(Padded(bytes)), layouts);
            let meta = meta(StreamId::WorkerSafety, 26, 1000);
            let padded = buffer.frame(meta, *tight.format()).expect("it fits");
            let [tight, padded] = [tight, padded].map(|frame| {
                let seen = snapshot(
                    PermissionState::On,
                    1000,
                    [Some(view(frame, safety(&[]))), None],
                );
                draw(&mut renderer, &seen, &context)
            });
            assert!(tight == padded, "{means:?} {pixel_format:?}");
        }
    }
}

/// ITU-R BT.601 and BT.709, in double precision.
fn reference(yuv: [u8; 3], matrix: ColorMatrix, range: ColorRange) -> [u8; 3] {
    let [y, u, v] = yuv.map(f64::from);
    let (y, u, v) = match range {
        ColorRange::Limited => ((y - 16.0) / 219.0, (u - 128.0) / 224.0, (v - 128.0) / 224.0),
        ColorRange::Full => (y / 255.0, (u - 128.0) / 255.0, (v - 128.0) / 255.0),
    };
    let (kr, kb) = match matrix {
        ColorMatrix::Bt601 => (0.299, 0.114),
        ColorMatrix::Bt709 => (0.2126, 0.0722),
    };
    let red = y + 2.0 * (1.0 - kr) * v;
    let blue = y + 2.0 * (1.0 - kb) * u;
    let green = (y - kr * red - kb * blue) / (1.0 - kr - kb);
    [red, green, blue].map(|part| (part.clamp(0.0, 1.0) * 255.0).round() as u8)
}

#[test]
fn the_banner_is_drawn_in_the_colour_of_the_state() {
    let Some(mut renderer) = renderer(HD) else {
        return;
    };
    for (state, color) in [
        (
            PermissionState::Tripped(TripCause::Zone(ZoneIndex(0))),
            [0xc8, 0x0f, 0x1e],
        ),
        (PermissionState::Interlocked, [0x12, 0x57, 0xc7]),
        (
            PermissionState::LockedOut(Fault::OutputLost),
            [0xff, 0xc4, 0x00],
        ),
        (PermissionState::On, [0x20, 0x23, 0x26]),
    ] {
        let picture = draw(&mut renderer, &busy(state), &context());
        assert!(close(pixel(&picture, 1275.0, 5.0), color, 1), "{state:?}");
        // Nothing is upside down: the footer is dark in every state.
        assert!(
            close(pixel(&picture, 640.0, 718.0), [0x20, 0x23, 0x26], 1),
            "{state:?}"
        );
    }
}

#[test]
fn text_leaves_ink_where_it_is_drawn() {
    let Some(mut renderer) = renderer(HD) else {
        return;
    };
    let shown = busy(PermissionState::On);
    let picture = draw(&mut renderer, &shown, &context());
    let scene = build(&shown, &context(), HD);
    for command in &scene.commands {
        let Command::Text {
            at,
            text,
            size,
            color,
            align,
            ..
        } = command
        else {
            continue;
        };
        let wanted = [color.r, color.g, color.b];
        let reach = size * 2.0;
        let columns = match align {
            andon::ui::scene::Align::Left => at.x..at.x + reach,
            andon::ui::scene::Align::Right => at.x - reach..at.x,
            andon::ui::scene::Align::Center => at.x - reach / 2.0..at.x + reach / 2.0,
        };
        let inked = (0..*size as usize).any(|up| {
            (columns.start as usize..columns.end as usize)
                .any(|x| close(pixel(&picture, x as f32, at.y - up as f32), wanted, 40))
        });
        assert!(inked, "no trace of {text:?}");
    }
}

#[test]
fn one_renderer_draws_frames_that_change_their_size() {
    let Some(mut renderer) = renderer(HD) else {
        return;
    };
    for means in ALL_MEANS {
        renderer.prepare_videos_by(means).unwrap();
        for (width, height) in [(640, 480), (1280, 720), (3, 3), (640, 480)] {
            let frame = grey(
                StreamId::WorkerSafety,
                size(width, height),
                u64::from(width),
            );
            let shown = snapshot(
                PermissionState::On,
                1000,
                [Some(view(frame, safety(&[]))), None],
            );
            draw(&mut renderer, &shown, &context());
        }
    }
}

// ---- what is missing is said ----

#[test]
fn a_missing_egl_library_is_named_with_its_package() {
    let error = HeadlessRenderer::with_egl("libEGL-not-there.so.1", HD).unwrap_err();
    assert!(matches!(error, UiError::NoEgl { .. }), "{error:?}");
    let said = error.to_string();
    for word in ["libEGL-not-there.so.1", "install libegl1", "--display none"] {
        assert!(said.contains(word), "{said}");
    }
}

/// libglvnd without any driver, in a process of its own.
#[test]
fn a_missing_driver_is_named_with_its_package() {
    const CHILD: &str = "ANDON_TEST_NO_DRIVER";
    if std::env::var_os(CHILD).is_some() {
        match HeadlessRenderer::new(HD) {
            Ok(_) => println!("drew"),
            Err(error) => println!("said: {error}"),
        }
        return;
    }
    let child = Process::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_missing_driver_is_named_with_its_package",
            "--nocapture",
        ])
        .env(CHILD, "1")
        .env("__EGL_VENDOR_LIBRARY_DIRS", "/nowhere")
        .output()
        .unwrap();
    let said = String::from_utf8(child.stdout).unwrap();
    if said.contains("cannot load libEGL") || said.contains("drew") {
        println!("skipped: this machine's EGL does not come from libglvnd: {said}");
        return;
    }
    assert!(child.status.success(), "{said}");
    assert!(said.contains("install libegl-mesa0"), "{said}");
}

#[test]
fn a_picture_too_large_for_the_driver_is_refused() {
    let Some(_) = renderer(HD) else { return };
    let error = HeadlessRenderer::new(size(200_000, 100)).unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains("200000x100") && said.contains("smaller"),
        "{said}"
    );
}
