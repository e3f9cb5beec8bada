//! Encoded pictures into an mp4 file that is playable at every moment.
//!
//! ```text
//! while recording:  ftyp | free | free(16) | moov(fragmented) | moof mdat | moof mdat | …
//! when finished:    ftyp | free | mdat…………………………………………………………………………| moov
//! ```
//!
//! The second `free` box becomes the head of one `mdat` that swallows everything between, and the
//! samples' places go into an ordinary `moov` ("hybrid mp4"). Short films have that `moov` in the room
//! of the first `free` box, so that a browser starts before it has loaded the rest.

use std::io::{self, SeekFrom};
use std::num::NonZeroU32;
use std::time::Duration;

use shiguredo_mp4::TrackKind;
use shiguredo_mp4::bitstream::h264::{
    H264NalUnitType, H264SampleEntryConfig, LengthSize, build_avc1_box, collect_nal_units,
    parse_annexb_nal_units,
};
use shiguredo_mp4::boxes::SampleEntry;
use shiguredo_mp4::mux::{Fmp4SegmentMuxer, Mp4FileMuxer, Mp4FileMuxerOptions, Sample};

use super::encoder::Picture;
use super::{Recording, Sink};

/// Ticks per second: divides 24, 25, 30, 50, 60 and 29.97 evenly.
const TIMESCALE: NonZeroU32 = NonZeroU32::new(90_000).expect("not zero");

/// A fragment is written when it holds this much. That much is lost in a power cut.
const FRAGMENT: Duration = Duration::from_secs(1);

/// Room at the file's start for the final `moov`: about 4000 pictures of 16 bytes.
pub(super) const MOOV_ROOM: usize = 64 * 1024;

/// Size of a box head with a 64-bit length, which the finished `mdat` has.
const LARGE_HEAD: usize = 16;

/// A picture in memory, waiting for its fragment.
struct Pending {
    /// Length-prefixed NAL units in `Film::payload`.
    bytes: usize,
    key: bool,
    /// Ticks since the first picture.
    at: u64,
}

/// The file being written.
pub(super) struct Film {
    sink: Box<dyn Sink>,
    /// Bytes at the file's start for the final `moov`; where it is larger, it goes to the end.
    moov_room: usize,
    /// How long the last picture is shown, in ticks.
    last_lasts: u64,
    /// From the first key frame's parameter sets.
    entry: Option<SampleEntry>,
    /// Makes the fragments; `None` until the first.
    fragments: Option<Fmp4SegmentMuxer>,
    /// Knows the place of every picture in the file, for the final `moov`.
    whole: Option<Mp4FileMuxer>,
    pending: Vec<Pending>,
    payload: Vec<u8>,
    /// Bytes of the file that are complete.
    length: u64,
    frames: u64,
    ticks: u64,
}

impl Film {
    pub(super) fn new(sink: Box<dyn Sink>, last_lasts: Duration, moov_room: usize) -> Self {
        Self {
            sink,
            moov_room,
            last_lasts: ticks(last_lasts).max(1),
            entry: None,
            fragments: None,
            whole: None,
            pending: Vec::new(),
            payload: Vec::new(),
            length: 0,
            frames: 0,
            ticks: 0,
        }
    }

    /// Pictures in the file.
    pub(super) const fn frames(&self) -> u64 {
        self.frames
    }

    /// Takes a picture in, `since_first` after the first, later than the one before. Pictures before
    /// the first key frame are left out.
    ///
    /// # Errors
    ///
    /// Writing failed; what did not fit is taken back.
    pub(super) fn add(&mut self, picture: &Picture, since_first: Duration) -> io::Result<()> {
        let at = ticks(since_first);
        let oldest = self.pending.first().map_or(at, |oldest| oldest.at);
        if at.saturating_sub(oldest) >= ticks(FRAGMENT) {
            self.write_fragment(at)?;
        }
        let units = parse_annexb_nal_units(&picture.annex_b).map_err(io::Error::other)?;
        if self.entry.is_none() {
            let lists = [H264NalUnitType::Sps, H264NalUnitType::Pps].map(|kind| {
                let units = collect_nal_units(units.iter().copied(), kind);
                units.into_iter().map(<[u8]>::to_vec).collect::<Vec<_>>()
            });
            let length_size = LengthSize::FourBytes;
            let config = H264SampleEntryConfig { length_size };
            let entry = build_avc1_box(&lists[0], &lists[1], &config).map_err(io::Error::other)?;
            self.entry = Some(SampleEntry::Avc1(entry));
        }
        let before = self.payload.len();
        for unit in &units {
            // `avc1` keeps parameter sets in the sample entry only.
            if matches!(
                unit.nal_unit_type,
                H264NalUnitType::Sps | H264NalUnitType::Pps
            ) {
                continue;
            }
            let length = u32::try_from(unit.data.len()).map_err(io::Error::other)?;
            self.payload.extend_from_slice(&length.to_be_bytes());
            self.payload.extend_from_slice(unit.data);
        }
        self.pending.push(Pending {
            bytes: self.payload.len() - before,
            key: picture.key,
            at,
        });
        Ok(())
    }

    /// Writes what is left and makes an ordinary mp4 of the file. Without any picture the file stays
    /// empty.
    ///
    /// # Errors
    ///
    /// Writing failed; the file is then still playable as far as it was complete.
    pub(super) fn finish(&mut self) -> io::Result<Recording> {
        let end = self.pending.last().map(|last| last.at + self.last_lasts);
        if let Some(end) = end {
            self.write_fragment(end)?;
        }
        if let Some(mut whole) = self.whole.take() {
            let complete = self.length;
            let boxes = whole.finalize().map_err(io::Error::other)?;
            // A `moov` at the end is the only part that grows the file: it comes first, so that a full
            // disk leaves the fragments as they are. The `mdat` that hides the fragments comes last.
            let mut parts: Vec<(u64, &[u8])> = boxes.offset_and_bytes_pairs().collect();
            parts.sort_by_key(|(offset, _)| (*offset < complete, *offset));
            for (offset, bytes) in parts {
                let written = self.write_at(offset, bytes);
                if written.is_err() && offset >= complete {
                    self.sink.truncate(complete)?;
                }
                written?;
                self.length = self.length.max(offset + bytes.len() as u64);
            }
        }
        self.sink.sync()?;
        Ok(Recording {
            frames: self.frames,
            duration: Duration::from_micros(self.ticks * 100 / 9),
            bytes: self.length,
        })
    }

    /// Writes the waiting pictures as one fragment; the last of them is shown until `end`.
    fn write_fragment(&mut self, end: u64) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let payload = std::mem::take(&mut self.payload);
        let samples = self.samples(&pending, end);
        let mut fragments = match self.fragments.take() {
            Some(fragments) => fragments,
            None => Fmp4SegmentMuxer::new().map_err(io::Error::other)?,
        };
        let head = fragments
            .create_media_segment_metadata(&samples)
            .map_err(io::Error::other)?;
        if self.whole.is_none() {
            self.write_start(&fragments)?;
        }
        self.fragments = Some(fragments);
        let written = self
            .write_at(self.length, &head)
            .and_then(|()| self.sink.write_all(&payload))
            .and_then(|()| self.sink.flush());
        if let Err(error) = written {
            self.sink.truncate(self.length)?;
            return Err(error);
        }
        let mut offset = self.length + head.len() as u64;
        if let Some(whole) = &mut self.whole {
            whole
                .advance_position(head.len() as u64)
                .map_err(io::Error::other)?;
            for mut sample in samples {
                sample.data_offset = offset;
                offset += sample.data_size as u64;
                whole.append_sample(&sample).map_err(io::Error::other)?;
            }
        }
        self.length = offset;
        self.frames += pending.len() as u64;
        self.ticks = end;
        // The capacity is kept: no memory is asked for in steady state.
        self.pending = pending;
        self.pending.clear();
        self.payload = payload;
        self.payload.clear();
        Ok(())
    }

    /// Writes everything before the first fragment.
    fn write_start(&mut self, fragments: &Fmp4SegmentMuxer) -> io::Result<()> {
        let options = Mp4FileMuxerOptions {
            reserved_moov_box_size: self.moov_room,
            ..Mp4FileMuxerOptions::default()
        };
        let mut whole = Mp4FileMuxer::with_options(options).map_err(io::Error::other)?;
        let room = whole.initial_boxes_bytes().len() - LARGE_HEAD;
        let init = fragments.init_segment_bytes().map_err(io::Error::other)?;
        let (brand, movie) = split_first_box(&init)?;
        let mut start = brand.to_vec();
        start.extend(free_box(room - brand.len())?);
        start.extend(free_box(LARGE_HEAD)?);
        start.extend_from_slice(movie);
        if let Err(error) = self.write_at(0, &start) {
            self.sink.truncate(0)?;
            return Err(error);
        }
        self.length = start.len() as u64;
        whole
            .advance_position(movie.len() as u64)
            .map_err(io::Error::other)?;
        self.whole = Some(whole);
        Ok(())
    }

    fn samples(&self, pending: &[Pending], end: u64) -> Vec<Sample> {
        let ends = pending.iter().skip(1).map(|next| next.at).chain([end]);
        let mut data_offset = 0;
        pending
            .iter()
            .zip(ends)
            .map(|(picture, until)| {
                let sample = Sample {
                    track_kind: TrackKind::Video,
                    sample_entry: self.entry.clone(),
                    keyframe: picture.key,
                    timescale: TIMESCALE,
                    duration: u32::try_from(until.saturating_sub(picture.at)).unwrap_or(u32::MAX),
                    composition_time_offset: None,
                    data_offset,
                    data_size: picture.bytes,
                };
                data_offset += picture.bytes as u64;
                sample
            })
            .collect()
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.sink.seek(SeekFrom::Start(offset))?;
        self.sink.write_all(bytes)
    }
}

/// The first box of `bytes` and what follows it.
fn split_first_box(bytes: &[u8]) -> io::Result<(&[u8], &[u8])> {
    let length = bytes
        .first_chunk()
        .map_or(0, |head| u32::from_be_bytes(*head));
    bytes
        .split_at_checked(length as usize)
        .ok_or_else(|| io::Error::other("the muxer made a box longer than itself"))
}

/// An empty box of `length` bytes, at least 8.
fn free_box(length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = u32::try_from(length)
        .map_err(io::Error::other)?
        .to_be_bytes()
        .to_vec();
    bytes.extend_from_slice(b"free");
    bytes.resize(length, 0);
    Ok(bytes)
}

fn ticks(span: Duration) -> u64 {
    let ticks = span.as_nanos() * u128::from(TIMESCALE.get()) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}
