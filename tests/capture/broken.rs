//! Bad files: nothing is silent, nothing crashes, and what is there is delivered.

use std::path::Path;
use std::time::Duration;

use andon::capture::{BROKEN_IN_A_ROW_MAX, CaptureError, FrameSource, VideoSource};
use andon::units::StreamId;

use crate::clip::{Clip, FRAMES, HEIGHT, KEY_EVERY, WIDTH, bytes, open, play};

fn refused(path: &Path) -> CaptureError {
    let error = VideoSource::open(path, StreamId::WorkerSafety).expect_err("refused");
    let name = path.file_name().expect("name").to_string_lossy();
    assert!(error.to_string().contains(&*name), "{error}");
    error
}

#[test]
fn a_whole_clip_is_played_in_order() {
    let clip = Clip::new();
    let mut source = open(&clip.path);
    let (frames, error) = play(&mut source);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(frames.len(), FRAMES);
    for (number, frame) in frames.iter().enumerate() {
        let brightness = frame
            .plane(0)
            .data
            .iter()
            .map(|byte| u32::from(*byte))
            .sum::<u32>()
            / u32::try_from(WIDTH * HEIGHT).expect("small");
        let expected = u32::try_from(number * 6 + 16 + 7).expect("small");
        assert!(
            brightness.abs_diff(expected) <= 2,
            "frame {number}: {brightness}"
        );
        let millis = u64::try_from(number * 40).expect("small");
        assert_eq!(frame.meta.media_time, Duration::from_millis(millis));
    }
    assert_eq!(source.info().frame_rate, Some(25.0));
}

#[test]
fn a_rewound_clip_goes_on_counting_with_the_same_pictures() {
    let clip = Clip::new();
    let mut source = open(&clip.path);
    let (first, _) = play(&mut source);
    source.rewind().expect("rewinds");
    let (second, error) = play(&mut source);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(second.len(), FRAMES);
    let pass = Duration::from_millis(40) * u32::try_from(FRAMES).expect("small");
    for (a, b) in first.iter().zip(&second) {
        assert_eq!(b.meta.sequence, a.meta.sequence + FRAMES as u64);
        assert_eq!(b.meta.media_time, a.meta.media_time + pass);
        assert_eq!(bytes(a), bytes(b));
    }
    // Half-way, too.
    source.rewind().expect("rewinds");
    for _ in 0..7 {
        source.next_frame().expect("plays");
    }
    source.rewind().expect("rewinds");
    let (third, _) = play(&mut source);
    assert_eq!(third[0].meta.sequence, 2 * FRAMES as u64 + 7);
    assert_eq!(
        third[0].meta.media_time,
        pass * 2 + Duration::from_millis(280)
    );
    assert_eq!(bytes(&third[0]), bytes(&first[0]));
}

#[test]
fn a_truncated_file_gives_what_it_has_and_then_an_error() {
    let clip = Clip::new();
    let (whole, _) = play(&mut open(&clip.path));
    for keep in [1, 14, FRAMES - 1] {
        let (offset, size) = clip.samples[keep];
        let end = usize::try_from(offset).expect("fits") + size / 2;
        let path = clip.write("cut.mp4", &clip.bytes()[..end]);
        let mut source = open(&path);
        let (frames, error) = play(&mut source);
        assert_eq!(frames.len(), keep);
        for (a, b) in whole.iter().zip(&frames) {
            assert_eq!(bytes(a), bytes(b));
        }
        let error = error.expect("does not end silently");
        let (have, all) = (keep as u64, Some(FRAMES as u64));
        assert!(
            matches!(&error, CaptureError::Truncated { delivered, expected, .. } if (*delivered, *expected) == (have, all)),
            "{error}"
        );
        assert!(
            source.next_frame().is_err(),
            "asking again gives an error again"
        );
        source.rewind().expect("rewinds");
        assert_eq!(play(&mut source).0.len(), keep);
    }
}

#[test]
fn every_length_of_a_file_is_an_error_or_its_frames_and_an_error() {
    let clip = Clip::new();
    let file = clip.bytes();
    for length in (0..file.len()).step_by(211) {
        let path = clip.write("cut.mp4", &file[..length]);
        if let Ok(mut source) = VideoSource::open(&path, StreamId::WorkerSafety) {
            let (frames, error) = play(&mut source);
            assert!(frames.len() < FRAMES);
            assert!(error.is_some(), "{length} bytes end silently");
        }
    }
}

#[test]
fn a_corrupt_picture_is_skipped_with_what_depends_on_it() {
    let clip = Clip::new();
    let (whole, _) = play(&mut open(&clip.path));
    let broken = 13;
    let (offset, size) = clip.samples[broken];
    let at = usize::try_from(offset).expect("fits");
    for damage in [0xff, 0x00, 0xa5] {
        let mut file = clip.bytes();
        file[at + 5..at + size].fill(damage);
        let path = clip.write("corrupt.mp4", &file);
        let mut source = open(&path);
        let (frames, error) = play(&mut source);
        assert!(error.is_none(), "{error:?}");
        let numbers: Vec<u64> = frames.iter().map(|frame| frame.meta.sequence).collect();
        let expected: Vec<u64> = (0..FRAMES as u64)
            .filter(|number| !(broken as u64..2 * KEY_EVERY as u64).contains(number))
            .collect();
        assert_eq!(numbers, expected, "{damage:#x}");
        assert_eq!(source.losses().undecodable, 7);
        for frame in &frames {
            let number = usize::try_from(frame.meta.sequence).expect("fits");
            assert_eq!(bytes(frame), bytes(&whole[number]), "frame {number}");
        }
    }
}

#[test]
fn a_wrong_nal_length_is_skipped_like_a_corrupt_picture() {
    let clip = Clip::new();
    let (offset, _) = clip.samples[13];
    let at = usize::try_from(offset).expect("fits");
    let mut file = clip.bytes();
    file[at..at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
    let mut source = open(&clip.write("corrupt.mp4", &file));
    assert_eq!(play(&mut source).0.len(), FRAMES - 7);
    assert_eq!(source.losses().undecodable, 7);
}

#[test]
fn a_file_without_a_single_good_frame_is_an_error() {
    let clip = Clip::new();
    let mut file = clip.bytes();
    for (offset, size) in &clip.samples {
        let at = usize::try_from(*offset).expect("fits");
        file[at + 4..at + size].fill(0xff);
    }
    let (frames, error) = play(&mut open(&clip.write("corrupt.mp4", &file)));
    assert_eq!(frames.len(), 0);
    let error = error.expect("does not end silently");
    assert!(matches!(error, CaptureError::Corrupt { .. }), "{error}");
}

#[test]
fn too_many_broken_frames_in_a_row_are_an_error_that_stays() {
    let good = 5;
    let too_many = usize::try_from(BROKEN_IN_A_ROW_MAX).expect("fits");
    let clip = Clip::of(good + too_many + 40);
    let mut file = clip.bytes();
    for (offset, size) in &clip.samples[good..good + too_many] {
        let at = usize::try_from(*offset).expect("fits");
        file[at + 5..at + size].fill(0xff);
    }
    let mut source = open(&clip.write("corrupt.mp4", &file));
    for _ in 0..2 {
        let (frames, error) = play(&mut source);
        assert_eq!(frames.len(), good);
        let error = error.expect("gives up");
        assert!(
            matches!(&error, CaptureError::Corrupt { consecutive, .. } if *consecutive == BROKEN_IN_A_ROW_MAX),
            "{error}"
        );
        assert!(source.next_frame().is_err());
        source.rewind().expect("rewinds");
    }
}

#[test]
fn a_pipe_is_refused_instead_of_waited_for() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("pipe.mp4");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("makes a pipe");
    assert!(matches!(refused(&path), CaptureError::NotAFile { .. }));
}

#[test]
fn random_damage_never_crashes_and_never_invents_frames() {
    let clip = Clip::new();
    let whole = clip.bytes();
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("fits")
    };
    for _ in 0..150 {
        let mut file = whole.clone();
        for _ in 0..1 + random(20) {
            let at = random(file.len());
            file[at] = u8::try_from(random(256)).expect("byte");
        }
        let path = clip.write("damaged.mp4", &file);
        if let Ok(mut source) = VideoSource::open(&path, StreamId::WorkerSafety) {
            let (frames, _) = play(&mut source);
            let mut last = None;
            for frame in &frames {
                assert!(Some(frame.meta.sequence) > last, "once and in order");
                last = Some(frame.meta.sequence);
            }
        }
    }
}

#[test]
fn files_that_are_no_video_say_what_they_are() {
    let clip = Clip::new();
    assert!(matches!(
        refused(&clip.write("empty.mp4", b"")),
        CaptureError::Empty { .. }
    ));
    for (bytes, word) in [
        (&b"RIFF\x10\x00\x00\x00AVI LIST"[..], "AVI"),
        (b"\x1aE\xdf\xa3rest of it", "Matroska"),
        (b"#!/bin/sh\necho hello", "#!/bin/sh"),
        (b"\x00\x00\x00\x01\x67\x42\x00\x1f", "bare H.264"),
        (&[0; 64], "not an mp4"),
        (b"ab", "ab"),
    ] {
        let error = refused(&clip.write("other.mp4", bytes));
        assert!(matches!(error, CaptureError::NotMp4 { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    let file = clip.bytes();
    let moov = file
        .windows(4)
        .position(|bytes| bytes == b"moov")
        .expect("index");
    for end in [moov - 4, moov + 50] {
        let error = refused(&clip.write("interrupted.mp4", &file[..end]));
        assert!(matches!(error, CaptureError::NoIndex { .. }), "{error}");
    }
    let error = refused(&clip.path.with_file_name("nowhere.mp4"));
    assert!(matches!(error, CaptureError::Open { .. }), "{error}");
    let error = refused(clip.path.parent().expect("folder"));
    assert!(matches!(error, CaptureError::NotAFile { .. }), "{error}");
}
