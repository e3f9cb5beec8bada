//! Clips made on the spot with the encoder and the muxer the program has anyway.

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use andon::capture::{CaptureError, Captured, FrameSource, VideoSource};
use andon::frame::Frame;
use andon::units::StreamId;
use openh264::encoder::{Encoder, EncoderConfig, IntraFramePeriod};
use openh264::formats::YUVSlices;
use shiguredo_mp4::TrackKind;
use shiguredo_mp4::bitstream::h264::{
    H264NalUnitType, H264SampleEntryConfig, LengthSize, annexb_to_length_prefixed,
    build_avc1_box_from_annexb, parse_annexb_nal_units,
};
use shiguredo_mp4::boxes::SampleEntry;
use shiguredo_mp4::mux::{Mp4FileMuxer, Mp4FileMuxerOptions, Sample};

/// A clip of baseline H.264 at 25 frames per second, with a key frame every ten.
pub(crate) struct Clip {
    pub(crate) path: PathBuf,
    /// Position and size of each sample in the file.
    pub(crate) samples: Vec<(u64, usize)>,
    folder: tempfile::TempDir,
}

pub(crate) const WIDTH: usize = 96;
pub(crate) const HEIGHT: usize = 64;
pub(crate) const FRAMES: usize = 30;
pub(crate) const KEY_EVERY: usize = 10;

impl Clip {
    pub(crate) fn new() -> Self {
        Self::of(FRAMES)
    }

    pub(crate) fn of(frames: usize) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("clip.mp4");
        let samples = mux(&path, &encode(frames));
        Self {
            path,
            samples,
            folder,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).expect("clip can be read")
    }

    /// Another file beside the clip.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).expect("can be written");
        path
    }
}

/// Each frame has its number (from 0 again after the 30th) as brightness, with a gradient that keeps the coder busy.
fn encode(frames: usize) -> Vec<Vec<u8>> {
    let config = EncoderConfig::new()
        .intra_frame_period(IntraFramePeriod::from_num_frames(
            u32::try_from(KEY_EVERY).expect("small"),
        ))
        .skip_frames(false)
        .scene_change_detect(false);
    let api = openh264::OpenH264API::from_source();
    let mut encoder = Encoder::with_api_config(api, config).expect("encoder");
    let chroma = vec![128; WIDTH * HEIGHT / 4];
    (0..frames)
        .map(|number| {
            let luma: Vec<u8> = (0..WIDTH * HEIGHT)
                .map(|at| {
                    let texture = ((at % WIDTH * 7) ^ (at / WIDTH * 3)) % 16;
                    u8::try_from(number % FRAMES * 6 + 16 + texture).expect("below 256")
                })
                .collect();
            let planes = (&luma[..], &chroma[..], &chroma[..]);
            let strides = (WIDTH, WIDTH / 2, WIDTH / 2);
            let picture = YUVSlices::new(planes, (WIDTH, HEIGHT), strides);
            encoder.encode(&picture).expect("encodes").to_vec()
        })
        .collect()
}

fn mux(path: &Path, access_units: &[Vec<u8>]) -> Vec<(u64, usize)> {
    let mut muxer = Mp4FileMuxer::with_options(Mp4FileMuxerOptions {
        reserved_moov_box_size: 16 << 10,
        ..Mp4FileMuxerOptions::default()
    })
    .expect("muxer");
    let mut file = muxer.initial_boxes_bytes().to_vec();
    let mut samples = Vec::new();
    for (number, access_unit) in access_units.iter().enumerate() {
        let config = H264SampleEntryConfig {
            length_size: LengthSize::FourBytes,
        };
        let entry = (number == 0).then(|| {
            let avc = build_avc1_box_from_annexb(access_unit, &config).expect("parameter sets");
            SampleEntry::Avc1(avc)
        });
        let keyframe = parse_annexb_nal_units(access_unit)
            .expect("Annex B")
            .iter()
            .any(|nal| nal.nal_unit_type == H264NalUnitType::IdrSlice);
        let data = annexb_to_length_prefixed(access_unit, LengthSize::FourBytes).expect("converts");
        let sample = Sample {
            track_kind: TrackKind::Video,
            sample_entry: entry,
            keyframe,
            timescale: NonZeroU32::new(25).expect("not zero"),
            duration: 1,
            composition_time_offset: None,
            data_offset: file.len() as u64,
            data_size: data.len(),
        };
        muxer.append_sample(&sample).expect("appends");
        samples.push((sample.data_offset, sample.data_size));
        file.extend_from_slice(&data);
    }
    let boxes = muxer.finalize().expect("finalises");
    assert!(boxes.is_faststart_enabled(), "the index comes first");
    for (offset, bytes) in boxes.offset_and_bytes_pairs() {
        let offset = usize::try_from(offset).expect("fits");
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
    fs::write(path, file).expect("can be written");
    samples
}

pub(crate) fn open(path: &Path) -> VideoSource {
    VideoSource::open(path, StreamId::WorkerSafety).unwrap_or_else(|error| panic!("opens: {error}"))
}

/// Every frame up to the end or the error.
pub(crate) fn play(source: &mut dyn FrameSource) -> (Vec<Frame>, Option<CaptureError>) {
    let mut frames = Vec::new();
    loop {
        match source.next_frame() {
            Ok(Captured::Frame(frame)) => frames.push(frame),
            Ok(Captured::End | Captured::Nothing) => return (frames, None),
            Err(error) => return (frames, Some(error)),
        }
        assert!(frames.len() < 100_000, "a file ends");
    }
}

/// All planes of a frame, one after the other.
pub(crate) fn bytes(frame: &Frame) -> Vec<u8> {
    (0..3)
        .flat_map(|plane| frame.plane(plane).data.to_vec())
        .collect()
}
