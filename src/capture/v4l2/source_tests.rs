//! The camera source against fake cameras.

use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;

use super::fake::{Device, FakeCameras, Mishap, Offered, SCRIBBLE, offered, stamp};
use super::kernel::{Api, Cameras as _, Colour};
use super::source::V4l2Source;
use crate::capture::{CaptureError, Captured, FrameSource as _, Losses, SourceNews};
use crate::config::CameraConfig;
use crate::frame::{ColorMatrix, ColorRange, Frame, PixelFormat};
use crate::geometry::Size;
use crate::units::StreamId;

const SECOND: Duration = Duration::from_secs(1);

fn nv12() -> Vec<Offered> {
    vec![offered(b"NV12", &[(64, 48)], &[30])]
}

fn one_camera() -> FakeCameras {
    FakeCameras::new(vec![Device::new(0, "cam", nv12())])
}

fn open_path(cameras: &FakeCameras, path: &str) -> Result<V4l2Source, CaptureError> {
    let config = CameraConfig::default();
    let cameras = Box::new(cameras.clone());
    V4l2Source::open_among(cameras, Path::new(path), &config, StreamId::WorkerSafety)
}

fn open(cameras: &FakeCameras) -> V4l2Source {
    open_path(cameras, "/dev/video0").expect("opened")
}

/// Frames of the next `span` of the fake clock.
fn frames_within(cameras: &FakeCameras, source: &mut V4l2Source, span: Duration) -> Vec<Frame> {
    let until = cameras.now() + span;
    let mut frames = Vec::new();
    while cameras.now() < until {
        if let Some(frame) = look(source) {
            frames.push(frame);
        }
    }
    frames
}

/// What one question brings.
fn look(source: &mut V4l2Source) -> Option<Frame> {
    match source.next_frame().expect("a camera never fails for good") {
        Captured::Frame(frame) => Some(frame),
        Captured::Nothing => None,
        Captured::End => unreachable!("a camera does not end"),
    }
}

/// The next frame; each is let go before the next is asked for.
fn next(source: &mut V4l2Source) -> Frame {
    (0..2000).find_map(|_| look(source)).expect("a frame comes")
}

/// The frame number that its pixels say.
fn number_shown(frame: &Frame) -> u8 {
    let plane = frame.plane(0);
    let first = plane.data[0];
    for index in 0..frame.format().pixel_format.planes() {
        let plane = frame.plane(index);
        assert!(
            plane.data.iter().all(|byte| *byte == first),
            "a frame was written while somebody looked at it"
        );
    }
    assert_ne!(first, SCRIBBLE, "a frame of a queued buffer");
    first
}

#[test]
fn frames_have_the_drivers_numbers_and_times() {
    let cameras = one_camera();
    let mut source = open(&cameras);
    let opened = cameras.now();
    for number in 0..40 {
        let frame = next(&mut source);
        assert_eq!(frame.meta.sequence, number);
        assert_eq!(u64::from(number_shown(&frame)), number);
        assert_eq!(frame.size().to_string(), "64x48");
        let expected = opened + Duration::from_secs_f64(1.0 / 30.0).mul_f64((number + 1) as f64);
        let off = frame.meta.timestamp.saturating_since(expected)
            + expected.saturating_since(frame.meta.timestamp);
        assert!(off < Duration::from_micros(1), "{off:?}");
        assert!(frame.meta.arrived >= frame.meta.timestamp);
        assert_eq!(
            frame.meta.media_time,
            frame.meta.timestamp.saturating_since(opened) - Duration::from_secs_f64(1.0 / 30.0)
        );
    }
    assert_eq!(source.losses(), Losses::default());
    assert_eq!(source.down(), None);
    assert!(source.info().description.contains("NV12 64x48, dmabuf"));
    assert_eq!(source.info().frame_rate, Some(30.0));
}

#[test]
fn a_frame_that_is_held_is_never_written_and_all_may_be_held() {
    let cameras = one_camera();
    let mut source = open(&cameras);
    let mut held = Vec::new();
    // More than it has buffers: then nothing comes, and nothing breaks.
    held.extend(frames_within(&cameras, &mut source, SECOND));
    assert_eq!(held.len(), 8, "every buffer once");
    assert!(frames_within(&cameras, &mut source, 5 * SECOND).is_empty());
    assert_eq!(source.down(), None, "not the camera's fault");
    for (number, frame) in (0..).zip(&held) {
        assert_eq!(number_shown(frame), number);
    }
    // One that comes back is used again at once; the others stay as they are.
    let kept = held.split_off(1);
    held.clear();
    let frame = next(&mut source);
    assert_eq!(number_shown(&frame), stamp(frame.meta.sequence));
    assert!(frame.meta.sequence > 100, "what was missed counts");
    for (number, frame) in (1..).zip(&kept) {
        assert_eq!(number_shown(frame), number);
    }
    assert!(source.losses().missed > 100);
}

#[test]
fn the_last_of_very_many_formats_is_found() {
    // Linux's simulated camera has 93, the multi-planar ones last.
    let mut offers: Vec<Offered> = (0..100)
        .map(|number| offered(&[b'X', b'0', number, b'0'], &[(64, 48)], &[30]))
        .collect();
    offers.extend(nv12());
    let cameras = FakeCameras::new(vec![Device::new(0, "cam", offers)]);
    let mut source = open(&cameras);
    assert_eq!(number_shown(&next(&mut source)), 0);
}

#[test]
fn an_hour_of_frames_goes_through_the_same_eight_buffers() {
    let cameras = one_camera();
    let mut source = open(&cameras);
    // In the mailbox, inferred, decided, shown, about to be shown.
    let mut held = std::collections::VecDeque::with_capacity(6);
    let mut memories = std::collections::BTreeSet::new();
    for number in 0..30 * 3600 {
        let frame = next(&mut source);
        assert_eq!(frame.meta.sequence, number);
        assert_eq!(number_shown(&frame), stamp(number));
        memories.insert(frame.plane(0).data.as_ptr().addr());
        held.push_back(frame);
        if held.len() > 5 {
            held.pop_front();
        }
    }
    assert_eq!(source.losses(), Losses::default(), "none was missed");
    assert!(memories.len() <= 8, "{} buffers", memories.len());
    cameras.with(0, |device| assert_eq!(device.opened(), 1));
    let oldest = held.front().expect("a frame");
    assert_eq!(number_shown(oldest), stamp(oldest.meta.sequence));
}

#[test]
fn frames_outlive_their_camera_and_its_source() {
    let cameras = one_camera();
    let mut source = open(&cameras);
    let first = next(&mut source);
    let second = next(&mut source);
    cameras.with(0, Device::unplug);
    frames_within(&cameras, &mut source, SECOND);
    drop(source);
    assert_eq!((number_shown(&first), number_shown(&second)), (0, 1));
    assert!(first.dmabuf(0).is_some());
}

#[test]
fn whoever_lets_go_of_a_frame_does_not_unmap_its_buffer() {
    let cameras = one_camera();
    let mut source = open(&cameras);
    let frame = next(&mut source);
    let memory = frame.memory_watch().expect("a device's memory");
    cameras.with(0, Device::unplug);
    frames_within(&cameras, &mut source, SECOND);
    drop(frame);
    assert!(!memory.is_gone(), "that is the source's work");
    look(&mut source);
    assert!(memory.is_gone());
}

#[test]
fn planes_are_exported_with_their_layout_or_said_to_be_copied() {
    let cameras = one_camera();
    cameras.with(0, |device| device.padding = 64);
    let mut source = open(&cameras);
    let frame = next(&mut source);
    let [luma, chroma] = [0, 1].map(|index| frame.dmabuf(index).expect("exported").layout);
    assert_eq!((luma.memory, luma.offset, luma.stride), (0, 0, 128));
    assert_eq!(
        (chroma.memory, chroma.offset, chroma.stride),
        (0, 128 * 48, 128)
    );
    assert_eq!(frame.plane(1).height, 24);
    // Whoever holds a frame keeps the node of a broken camera from being closed otherwise.
    cameras.with(0, |device| assert_eq!(device.node_mappings, 0));

    let cameras = one_camera();
    cameras.with(0, |device| device.exports = false);
    let mut source = open(&cameras);
    let frame = next(&mut source);
    assert!(frame.dmabuf(0).is_none());
    cameras.with(0, |device| assert_ne!(device.node_mappings, 0));
    assert_eq!(number_shown(&frame), 0);
    assert!(source.info().description.contains("copied"));
}

#[test]
fn planes_in_memories_of_their_own_are_found_there() {
    for (fourcc, pixel_format) in [(b"NM12", PixelFormat::Nv12), (b"YM12", PixelFormat::I420)] {
        let mut device = Device::new(0, "cam", vec![offered(fourcc, &[(64, 48)], &[30])]);
        device.capabilities.capture = Some(Api::MultiPlanar);
        let cameras = FakeCameras::new(vec![device]);
        let mut source = open(&cameras);
        let frame = next(&mut source);
        assert_eq!(frame.format().pixel_format, pixel_format);
        for index in 0..pixel_format.planes() {
            let layout = frame.dmabuf(index).expect("exported").layout;
            assert_eq!((layout.memory, layout.offset), (index, 0));
        }
        assert_eq!(number_shown(&frame), 0);
    }
}

#[test]
fn what_is_damaged_or_missing_is_counted_and_not_handed_on() {
    let cameras = one_camera();
    let mut source = open(&cameras);
    next(&mut source);
    cameras.with(0, |device| {
        device.mishaps = [
            Mishap::Flagged,
            Mishap::Gap(4),
            Mishap::Short,
            Mishap::Io,
            Mishap::Gap(0),
        ]
        .into();
    });
    let numbers: Vec<u64> = (0..3).map(|_| next(&mut source).meta.sequence).collect();
    // 1 is flagged; 2 to 5 are left out before 6; 7 is short; 8 fails.
    assert_eq!(numbers, [6, 9, 10]);
    let expected = Losses {
        missed: 5,
        damaged: 3,
        ..Losses::default()
    };
    assert_eq!(source.losses(), expected);
}

#[test]
fn a_driver_that_fails_on_and_on_is_given_up_and_opened_anew() {
    let cameras = one_camera();
    let mut source = open(&cameras);
    next(&mut source);
    cameras.with(0, |device| device.mishaps = vec![Mishap::Io; 40].into());
    let frames = frames_within(&cameras, &mut source, 3 * SECOND);
    assert!(frames.last().is_some(), "it works again");
    let losses = source.losses();
    assert!(
        losses.interruptions >= 1 && losses.damaged >= 9,
        "{losses:?}"
    );
}

#[test]
fn times_of_another_clock_the_future_or_the_past_are_not_taken() {
    let cameras = one_camera();
    let mut source = open(&cameras);
    let mut last = next(&mut source).meta.timestamp;
    cameras.with(0, |device| {
        device.mishaps = [
            Mishap::OtherClock,
            Mishap::Future(SECOND),
            Mishap::Past(SECOND),
        ]
        .into();
    });
    for expected in [1, 2, 4] {
        let frame = next(&mut source);
        assert_eq!(frame.meta.sequence, expected);
        assert!(frame.meta.timestamp > last && frame.meta.timestamp <= cameras.now());
        last = frame.meta.timestamp;
    }
    assert_eq!(source.losses().out_of_order, 1);
}

#[test]
fn an_unplugged_camera_is_found_again_under_another_number() {
    let other = Device::new(1, "other", vec![offered(b"NV12", &[(32, 32)], &[30])]);
    let cameras = FakeCameras::new(vec![Device::new(0, "cam", nv12()), other]);
    let mut source = open(&cameras);
    let before = next(&mut source).meta;
    assert_eq!(source.take_news(), None);
    cameras.with(0, Device::unplug);
    // Another camera takes its number meanwhile.
    cameras.with(1, |device| {
        device.unplug();
        device.plug_in(0);
    });
    assert!(frames_within(&cameras, &mut source, 10 * SECOND).is_empty());
    let why = source.down().expect("down").to_owned();
    assert!(
        why.contains("\"cam\"") && why.contains("not plugged in"),
        "{why}"
    );
    assert!(matches!(source.take_news(), Some(SourceNews::Down { .. })));
    cameras.with(0, |device| device.plug_in(7));
    let frames = frames_within(&cameras, &mut source, 3 * SECOND);
    let first = frames.first().expect("it is back within the longest wait");
    assert_eq!(first.size().width, 64, "not the other camera");
    assert!(first.meta.sequence > before.sequence);
    assert!(first.meta.timestamp > before.timestamp);
    assert!(first.meta.media_time > before.media_time);
    assert!(matches!(source.take_news(), Some(SourceNews::Up { .. })));
    assert_eq!(source.losses().interruptions, 1);
}

#[test]
fn each_reason_is_told_once_however_often_it_is_tried() {
    let cameras = one_camera();
    let mut source = open(&cameras);
    next(&mut source);
    cameras.with(0, Device::unplug);
    let mut told = 0;
    let until = cameras.now() + 60 * SECOND;
    while cameras.now() < until {
        assert!(look(&mut source).is_none());
        told += u32::from(source.take_news().is_some());
    }
    // That it broke, and that it is not plugged in.
    assert!((1..=2).contains(&told), "{told}");
    // And the waits between tries double.
    let tries = cameras.world().calls;
    assert!(tries < 200, "{tries} calls within a minute");
}

#[test]
fn a_camera_that_comes_back_different_is_agreed_with_anew() {
    let cameras = one_camera();
    let mut source = open(&cameras);
    let held = next(&mut source);
    cameras.with(0, |device| {
        device.unplug();
        device.offers = vec![offered(b"YUYV", &[(32, 24)], &[10])];
        device.plug_in(0);
    });
    let frame = frames_within(&cameras, &mut source, 2 * SECOND).remove(0);
    assert_eq!(frame.format().pixel_format, PixelFormat::Yuyv);
    assert_eq!(frame.size().to_string(), "32x24");
    assert_ne!(held.buffer_id(), frame.buffer_id());
    assert_eq!(number_shown(&held), 0);
    assert_eq!(source.info().size.to_string(), "32x24");
}

#[test]
fn a_picture_of_another_shape_is_not_taken_because_zones_would_lie_elsewhere() {
    let cameras = one_camera();
    let mut source = open(&cameras);
    next(&mut source);
    cameras.with(0, |device| {
        device.unplug();
        device.offers = vec![offered(b"NV12", &[(64, 36)], &[30])];
        device.plug_in(0);
    });
    assert!(frames_within(&cameras, &mut source, 5 * SECOND).is_empty());
    let why = source.down().expect("down");
    assert!(why.contains("was 64x48 and is 64x36 now"), "{why}");
    // As it was it is taken again.
    cameras.with(0, |device| {
        device.unplug();
        device.offers = nv12();
        device.plug_in(0);
    });
    assert!(!frames_within(&cameras, &mut source, 5 * SECOND).is_empty());
}

#[test]
fn a_call_that_fails_once_never_leads_to_another_shape() {
    let offers = vec![
        offered(b"NV12", &[(64, 48)], &[30]),
        offered(b"YUYV", &[(64, 36)], &[30]),
    ];
    for errno in [Errno::EIO, Errno::ETIMEDOUT, Errno::EPIPE] {
        for number in 0..60 {
            let cameras = FakeCameras::new(vec![Device::new(0, "cam", offers.clone())]);
            cameras.world().fail = Some((number, errno));
            let Ok(mut source) = open_path(&cameras, "/dev/video0") else {
                continue;
            };
            let frames = frames_within(&cameras, &mut source, 3 * SECOND);
            assert!(frames.len() > 1, "call {number}: {errno}");
            for frame in frames {
                assert_eq!(frame.size().to_string(), "64x48", "call {number}: {errno}");
            }
        }
    }
}

#[test]
fn a_change_of_the_source_is_followed_at_once() {
    let cameras = one_camera();
    let mut source = open(&cameras);
    next(&mut source);
    cameras.with(0, |device| {
        device.source_change = true;
        device.offers = vec![offered(b"NV12", &[(32, 24)], &[30])];
    });
    let start = cameras.now();
    let frame = next(&mut source);
    assert_eq!(frame.size().to_string(), "32x24");
    let took = cameras.now().saturating_since(start);
    assert!(took < Duration::from_millis(100), "{took:?}");
}

#[test]
fn a_camera_that_falls_silent_is_opened_anew() {
    let cameras = one_camera();
    let mut source = open(&cameras);
    next(&mut source);
    cameras.with(0, |device| device.silent = true);
    let news = (0..100).find_map(|_| {
        assert!(look(&mut source).is_none());
        source.take_news()
    });
    let Some(SourceNews::Down { why, .. }) = news else {
        unreachable!("it was given up");
    };
    assert!(why.contains("no picture for 2000 ms"), "{why}");
    cameras.with(0, |device| device.silent = false);
    assert!(!frames_within(&cameras, &mut source, 5 * SECOND).is_empty());
    assert!(source.losses().interruptions >= 1);
}

#[test]
fn a_camera_that_starts_and_never_delivers_is_tried_ever_more_rarely_and_is_not_back() {
    let cameras = one_camera();
    let mut source = open(&cameras);
    next(&mut source);
    cameras.with(0, |device| {
        device.mishaps = vec![Mishap::Io; 100_000].into();
    });
    let until = cameras.now() + 60 * SECOND;
    let mut told = Vec::new();
    while cameras.now() < until {
        assert!(look(&mut source).is_none());
        told.extend(source.take_news());
    }
    let backs = told
        .iter()
        .filter(|news| matches!(news, SourceNews::Up { .. }));
    assert_eq!(backs.count(), 0, "{told:?}");
    let tries = source.losses().interruptions;
    assert!((5..40).contains(&tries), "{tries} tries within a minute");
    cameras.with(0, |device| device.mishaps.clear());
    assert!(!frames_within(&cameras, &mut source, 5 * SECOND).is_empty());
    assert!(matches!(source.take_news(), Some(SourceNews::Up { .. })));
    // Waits begin anew.
    cameras.with(0, |device| device.mishaps = vec![Mishap::Io; 12].into());
    assert!(!frames_within(&cameras, &mut source, SECOND).is_empty());
}

#[test]
fn a_source_that_changes_all_the_time_is_not_opened_all_the_time() {
    let cameras = one_camera();
    let mut source = open(&cameras);
    let until = cameras.now() + 20 * SECOND;
    while cameras.now() < until {
        if look(&mut source).is_some() {
            cameras.with(0, |device| device.source_change = true);
        }
    }
    let tries = source.losses().interruptions;
    assert!((10..200).contains(&tries), "{tries} in 20 s");
}

#[test]
fn what_may_take_long_is_announced() {
    let cameras = one_camera();
    let mut source = open(&cameras);
    next(&mut source);
    cameras.with(0, Device::unplug);
    let until = cameras.now() + 5 * SECOND;
    let mut announced = 0;
    while cameras.now() < until {
        let (long, opened) = (
            source.may_take_long(),
            cameras.with(0, |device| device.opened()),
        );
        assert!(look(&mut source).is_none());
        announced += u32::from(long);
        let more = cameras.with(0, |device| device.opened()) > opened;
        assert!(long || !more, "opened without a word");
        if announced == 3 {
            cameras.with(0, |device| device.plug_in(0));
            break;
        }
    }
    while source.down().is_some() {
        let long = source.may_take_long();
        look(&mut source);
        assert!(long || source.down().is_some(), "opened without a word");
    }
    assert!(!source.may_take_long());
}

#[test]
fn a_camera_that_is_missing_at_the_start_is_waited_for() {
    let cameras = one_camera();
    cameras.with(0, Device::unplug);
    let mut source = open(&cameras);
    assert!(source.down().is_some_and(|why| why.contains("not there")));
    assert_eq!(source.identity(), None);
    assert!(frames_within(&cameras, &mut source, 5 * SECOND).is_empty());
    cameras.with(0, |device| device.plug_in(0));
    assert!(!frames_within(&cameras, &mut source, 3 * SECOND).is_empty());
    assert!(source.identity().is_some_and(|it| it.contains("\"cam\"")));
    assert_eq!(source.losses().interruptions, 0, "it was never there");
}

#[test]
fn a_camera_in_use_is_waited_for() {
    let cameras = one_camera();
    let first = open(&cameras);
    let mut second = open(&cameras);
    assert!(
        second
            .down()
            .is_some_and(|why| why.contains("another program"))
    );
    drop(first);
    assert!(!frames_within(&cameras, &mut second, 3 * SECOND).is_empty());
}

#[test]
fn what_waiting_does_not_mend_is_refused_at_the_start() {
    let mut output = Device::new(0, "screen", nv12());
    output.capabilities.capture = None;
    let mut old = Device::new(0, "old", nv12());
    old.capabilities.streaming = false;
    let odd = Device::new(0, "odd", vec![offered(b"H264", &[(64, 48)], &[30])]);
    for (device, word) in [
        (output, "delivers no pictures"),
        (old, "V4L2_CAP_STREAMING"),
        (odd, "H264"),
    ] {
        let cameras = FakeCameras::new(vec![device]);
        let error = open_path(&cameras, "/dev/video0").expect_err(word);
        let text = error.to_string();
        assert!(
            text.contains("/dev/video0") && text.contains(word),
            "{text}"
        );
    }
}

#[test]
fn too_few_buffers_are_not_worked_with() {
    let cameras = one_camera();
    cameras.with(0, |device| device.buffers_max = 2);
    let source = open(&cameras);
    assert!(source.down().is_some_and(|why| why.contains("2 buffers")));
}

#[test]
fn colours_are_those_that_the_driver_tells() {
    for (colorspace, ycbcr_enc, quantization, matrix, range) in [
        (0, 0, 0, ColorMatrix::Bt601, ColorRange::Limited),
        (3, 0, 0, ColorMatrix::Bt709, ColorRange::Limited),
        (8, 0, 0, ColorMatrix::Bt601, ColorRange::Limited),
        (7, 0, 0, ColorMatrix::Bt601, ColorRange::Full),
        (8, 2, 1, ColorMatrix::Bt709, ColorRange::Full),
        (3, 1, 2, ColorMatrix::Bt601, ColorRange::Limited),
        (7, 0, 2, ColorMatrix::Bt601, ColorRange::Limited),
    ] {
        let cameras = one_camera();
        cameras.with(0, |device| {
            device.colour = Colour {
                colorspace,
                ycbcr_enc,
                quantization,
            };
        });
        let frame = next(&mut open(&cameras));
        let format = frame.format();
        assert_eq!((format.matrix, format.range), (matrix, range));
    }
}

#[test]
fn jpeg_is_decoded_and_what_is_broken_of_it_counted() {
    let picture = image::RgbImage::from_pixel(64, 48, image::Rgb([200, 40, 40]));
    let mut file = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut file, image::ImageFormat::Jpeg)
        .expect("encoded");
    let file = file.into_inner();
    let cameras = FakeCameras::new(vec![Device::new(
        0,
        "cam",
        vec![offered(b"MJPG", &[(64, 48)], &[30])],
    )]);
    let mut source = open(&cameras);
    cameras.with(0, |device| {
        device.mishaps = [
            Mishap::Bytes(file.clone()),
            Mishap::Bytes(file[..file.len() / 2].to_vec()),
            Mishap::Bytes(file.clone()),
        ]
        .into();
    });
    for number in [0, 2] {
        let frame = next(&mut source);
        assert_eq!(frame.meta.sequence, number);
        assert_eq!(frame.format().pixel_format, PixelFormat::Rgb24);
        assert!(frame.buffer_id().is_none());
        assert!(frame.plane(0).data[0].abs_diff(200) < 8);
    }
    assert_eq!(source.losses().undecodable, 1);
}

/// Whatever call fails, and however: frames come again, in order and untouched, or the source says at
/// the start that it cannot be used.
#[test]
fn no_failing_call_breaks_it_for_good() {
    let errors = [
        Errno::EIO,
        Errno::ENODEV,
        Errno::EBUSY,
        Errno::EINVAL,
        Errno::ENOMEM,
        Errno::EAGAIN,
        Errno::ENOTTY,
        Errno::EPIPE,
        Errno::ENOSPC,
    ];
    let mut calls = 0;
    for errno in errors {
        let mut number = 0;
        loop {
            let offers = vec![offered(b"NV12", &[(8, 4)], &[30])];
            let cameras = FakeCameras::new(vec![Device::new(0, "cam", offers)]);
            cameras.world().fail = Some((number, errno));
            let Ok(mut source) = open_path(&cameras, "/dev/video0") else {
                number += 1;
                continue;
            };
            let mut last = None;
            let mut count = 0;
            let until = cameras.now() + 3 * SECOND;
            let mut held = Vec::new();
            while cameras.now() < until {
                let Some(frame) = look(&mut source) else {
                    continue;
                };
                let at = (frame.meta.sequence, frame.meta.timestamp);
                assert!(last.is_none_or(|last| last < at), "call {number}: {errno}");
                last = Some(at);
                count += 1;
                held.push((number_shown(&frame), frame));
                if held.len() > 2 {
                    held.remove(0);
                }
                for (number, frame) in &held {
                    assert_eq!(number_shown(frame), *number);
                }
            }
            assert!(
                count > 30,
                "call {number} fails with {errno}: {count} frames"
            );
            assert_eq!(source.down(), None, "call {number} fails with {errno}");
            if cameras.world().calls <= number || number > 80 {
                calls += number;
                break;
            }
            number += 1;
        }
    }
    assert!(calls > 600, "{calls} failures tried");
}

#[test]
fn of_what_reaches_size_and_rate_the_cheapest_is_taken() {
    let sizes = &[(640, 480), (1280, 720)];
    let offers = vec![
        offered(b"MJPG", sizes, &[30, 15]),
        offered(b"RGB3", sizes, &[30]),
        offered(b"YUYV", sizes, &[30, 10]),
        offered(b"NV12", &[(640, 480)], &[30]),
    ];
    let choice = |config: &CameraConfig, offers: &[Offered]| {
        let cameras = FakeCameras::new(vec![Device::new(0, "cam", offers.to_vec())]);
        let path = Path::new("/dev/video0");
        let boxed = Box::new(cameras.clone());
        let source = V4l2Source::open_among(boxed, path, config, StreamId::WorkerSafety);
        let source = source.expect("opened");
        let format = cameras
            .with(0, |device| device.format.clone())
            .expect("agreed");
        (
            format.fourcc.to_string(),
            format.size.to_string(),
            source.info().frame_rate,
        )
    };
    let default = CameraConfig::default();
    let told = |name: &str, size: &str, rate| (name.to_owned(), size.to_owned(), Some(rate));
    assert_eq!(choice(&default, &offers), told("YUYV", "1280x720", 30.0));
    let small = CameraConfig {
        size: Some(Size {
            width: 640,
            height: 480,
        }),
        ..CameraConfig::default()
    };
    assert_eq!(choice(&small, &offers), told("NV12", "640x480", 30.0));
    let jpeg = CameraConfig {
        format: Some(*b"MJPG"),
        frame_rate: Some(12.0),
        ..CameraConfig::default()
    };
    assert_eq!(choice(&jpeg, &offers), told("MJPG", "1280x720", 15.0));
    // Uncompressed only slowly, as over USB 2: the rate counts for more than the cost, and the size
    // for more than the rate where it was asked for.
    let usb = [
        offered(b"YUYV", &[(1280, 720)], &[10]),
        offered(b"MJPG", &[(1280, 720)], &[30]),
        offered(b"YUYV", &[(640, 480)], &[30]),
    ];
    assert_eq!(choice(&default, &usb[..2]), told("MJPG", "1280x720", 30.0));
    let large = CameraConfig {
        size: Some(Size {
            width: 1280,
            height: 720,
        }),
        format: Some(*b"YUYV"),
        ..CameraConfig::default()
    };
    assert_eq!(choice(&large, &usb[..2]), told("YUYV", "1280x720", 10.0));
}
