//! Video files: H.264 in mp4, decoded on the CPU.
//!
//! ```text
//! boxes ─▶ track: samples in decoding order, times in presentation order
//!                    │ one sample at a time is read from the file
//!                    ▼
//! h264: access unit ─▶ openh264_sys: pictures, tagged, in any order ─▶ by rank ─▶ frames
//! ```
//!
//! The container's timestamps decide the order, not the decoder's. Every shown picture is delivered
//! exactly once or counted as lost: after a picture that cannot be decoded everything up to the
//! next IDR picture is lost with it, because it refers to what is missing and a picture with
//! guessed parts could hide a person. What decodes without complaint is trusted: H.264 has no
//! checksum. Pixels are copied once, from the decoder's buffer, which it reuses, into a pooled one.
//!
//! Known limits. The decoder (openh264 2.7) is exact to the bit but for B-pictures with direct
//! prediction, which deviate by a few levels in few samples (55 to 82 dB measured). Decoding starts
//! at IDR pictures only, not at recovery points. A file with B-pictures but without composition
//! times (a bare stream put into mp4 unread) is played in decoding order.

mod boxes;
mod fragments;
mod h264;
mod openh264_sys;
mod orientation;
mod pictures;
mod problem;
mod track;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use self::h264::{Sequence, SequenceError};
use self::openh264_sys::{Decoder, DecoderCode, HELD_MAX};
use self::pictures::{Pictures, Waiting, is_lost};
use self::problem::Problem;
use self::track::{Sample, Track};
use super::{CaptureError, Captured, Continuation, FrameSource, Losses, SourceInfo};
use crate::frame::{BufferPool, Frame, FrameMeta};
use crate::geometry::Size;
use crate::units::{MonotonicTime, StreamId};

/// This many frames in a row that cannot be decoded are an error. One scratch costs at most a group
/// of pictures, 250 frames as the usual encoders cut them (x264's `keyint`).
pub const BROKEN_IN_A_ROW_MAX: u64 = 300;

/// Largest coded picture; level 5.2 at its lowest compression stays below (Annex A.3.1).
const SAMPLE_BYTES_MAX: u32 = 32 << 20;

/// An mp4 file with H.264 video.
#[derive(Debug)]
pub struct VideoSource {
    info: SourceInfo,
    stream: StreamId,
    path: PathBuf,
    file: File,
    length: u64,
    /// The file ends within the index of a fragment.
    cut_off: bool,
    track: Track,
    decoder: Decoder,
    /// The sequence parameter set in force, and what it says.
    sps: Vec<u8>,
    pictures: Pictures,
    pass: Pass,
    start: Continuation,
    losses: Losses,
    /// The sample as it is in the file, and as the decoder wants it. Kept for their memory.
    sample: Vec<u8>,
    access_unit: Vec<u8>,
}

/// Where a pass over the file stands.
#[derive(Debug, Default)]
struct Pass {
    /// Next sample to feed, in decoding order.
    next_sample: usize,
    /// Next frame to deliver, in presentation order.
    next_rank: u32,
    delivered: u64,
    /// Ranks that are known not to come.
    lost: BTreeSet<u32>,
    lost_in_a_row: u64,
    /// Why the latest of them was lost.
    reason: String,
    /// Sample entry whose parameter sets the decoder has.
    entry: Option<u32>,
    /// An IDR picture has been decoded since the last loss.
    synchronised: bool,
    /// The next sample lies beyond the end of the file.
    truncated: bool,
    /// The decoder has been asked for everything it held.
    drained: bool,
}

impl VideoSource {
    /// Opens a file as the source of `stream`.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is no mp4, has no index, no video, or video that cannot be decoded.
    pub fn open(path: &Path, stream: StreamId) -> Result<Self, CaptureError> {
        let open_failed = |source| CaptureError::Open {
            path: path.to_owned(),
            source,
        };
        // Looked at before it is opened: opening a pipe would wait for its other end.
        if !fs::metadata(path).map_err(open_failed)?.is_file() {
            return Err(CaptureError::NotAFile {
                path: path.to_owned(),
            });
        }
        let file = File::open(path).map_err(open_failed)?;
        let length = file.metadata().map_err(open_failed)?.len();
        Self::read(path, file, length, stream).map_err(|problem| problem.of(path))
    }

    fn read(path: &Path, file: File, length: u64, stream: StreamId) -> Result<Self, Problem> {
        let index = boxes::read_index(&file, length)?;
        let track = Track::read(&index)?;
        let (sps, sequence) = first_sequence(&track, &file, length)?;
        let size = track.orientation.size(sequence.size);
        let info = SourceInfo {
            name: path.display().to_string(),
            description: format!(
                "H.264 {} {}x{}{}",
                sequence.profile,
                size.width,
                size.height,
                track.orientation.describe()
            ),
            size,
            frame_rate: frame_rate(&track),
            frames: Some(track.times.len() as u64),
        };
        Ok(Self {
            info,
            stream,
            path: path.to_owned(),
            file,
            length,
            cut_off: index.cut_off,
            decoder: Decoder::new().map_err(Problem::Decoder)?,
            sps,
            pictures: Pictures {
                pool: BufferPool::new(),
                orientation: track.orientation,
                matrix: sequence.matrix,
                range: sequence.range,
                waiting: Vec::new(),
            },
            track,
            pass: Pass::default(),
            start: Continuation::default(),
            losses: Losses::default(),
            sample: Vec::new(),
            access_unit: Vec::new(),
        })
    }

    /// The frame whose turn it is, where it is there.
    fn deliver(&mut self) -> Option<Frame> {
        let rank = self.pass.next_rank;
        let at = self
            .pictures
            .waiting
            .iter()
            .position(|waiting| waiting.rank == rank)?;
        let Waiting { format, buffer, .. } = self.pictures.waiting.swap_remove(at);
        let now = self.position();
        let meta = FrameMeta {
            stream: self.stream,
            sequence: now.sequence,
            media_time: now.media_time,
            timestamp: MonotonicTime::ZERO,
            arrived: MonotonicTime::ZERO,
        };
        self.pass.next_rank += 1;
        self.pass.delivered += 1;
        self.pass.lost_in_a_row = 0;
        Some(Frame::new(meta, format, buffer, &mut self.pictures.pool))
    }

    /// Sequence number and media time of the frame whose turn it is.
    fn position(&self) -> Continuation {
        let rank = self.pass.next_rank;
        let time = self.track.times.get(rank as usize);
        Continuation {
            sequence: self.start.sequence + u64::from(rank),
            media_time: self.start.media_time + time.copied().unwrap_or(self.track.length),
        }
    }

    /// Whether the frame whose turn it is will not come any more.
    fn is_overdue(&mut self) -> bool {
        self.pass.lost.remove(&self.pass.next_rank)
            // More pictures of later times than a decoder can hold back (Annex A.3.1 h).
            || self.pictures.waiting.len() > HELD_MAX
            || (self.pass.drained && !self.pictures.waiting.is_empty())
            || (self.pass.drained && !self.pass.truncated)
    }

    fn pass_over(&mut self) -> Result<(), CaptureError> {
        let frame = self.pass.next_rank;
        self.pass.next_rank += 1;
        self.pass.lost_in_a_row += 1;
        self.losses.undecodable += 1;
        // Rate-limited: the 1st, 2nd, 4th, 8th, ...
        if self.losses.undecodable.is_power_of_two() {
            log::warn!(
                "{}: frame {frame} of {} is skipped: {} ({} so far)",
                self.stream,
                self.path.display(),
                self.reason(),
                self.losses.undecodable
            );
        }
        if self.pass.lost_in_a_row >= BROKEN_IN_A_ROW_MAX {
            return Err(self.corrupt());
        }
        Ok(())
    }

    fn reason(&self) -> &str {
        match self.pass.reason.as_str() {
            "" => "the decoder put out no picture",
            reason => reason,
        }
    }

    fn corrupt(&self) -> CaptureError {
        CaptureError::Corrupt {
            path: self.path.clone(),
            consecutive: self.pass.lost_in_a_row,
            reason: self.reason().to_owned(),
        }
    }

    fn truncated(&self, expected: Option<u64>) -> CaptureError {
        CaptureError::Truncated {
            path: self.path.clone(),
            delivered: self.pass.delivered,
            expected,
        }
    }

    /// After the last frame.
    fn end(&self) -> Result<Captured, CaptureError> {
        if self.cut_off {
            return Err(self.truncated(None));
        }
        if self.pass.delivered == 0 {
            return Err(self.corrupt());
        }
        Ok(Captured::End)
    }

    /// Gives the decoder its next access unit, or asks it for what it still holds.
    fn feed(&mut self) -> Result<(), CaptureError> {
        let number = self.pass.next_sample;
        let Some(sample) = self.track.samples.get(number).copied() else {
            self.drain();
            return Ok(());
        };
        if sample.offset.saturating_add(sample.size.into()) > self.length {
            self.pass.truncated = true;
            self.drain();
            return Ok(());
        }
        self.pass.next_sample += 1;
        match self.decode(number as u64, sample)? {
            Ok(()) => Ok(()),
            Err(reason) => self.lose(sample, reason),
        }
    }

    /// Reads and decodes one sample; the inner error says why there is no picture of it.
    fn decode(&mut self, number: u64, sample: Sample) -> Result<Result<(), String>, CaptureError> {
        if sample.size > SAMPLE_BYTES_MAX {
            return Ok(Err(format!("{} bytes are no picture", sample.size)));
        }
        self.sample.resize(sample.size as usize, 0);
        self.file
            .read_exact_at(&mut self.sample, sample.offset)
            .map_err(|source| Problem::Read(source).of(&self.path))?;
        let Some(sets) = self.track.entries.get(sample.entry as usize) else {
            return Ok(Err("its sample entry does not exist".to_owned()));
        };
        self.access_unit.clear();
        let mut changed = None;
        if self.pass.entry != Some(sample.entry) {
            for nal in sets.sps.iter().chain(&sets.pps) {
                h264::append_nal(nal, &mut self.access_unit);
            }
            changed = sets.sps.first().filter(|sps| **sps != self.sps).cloned();
        }
        let contents = h264::append_annex_b(
            &self.sample,
            sets.length_size,
            &mut self.access_unit,
            |sps| {
                if sps != self.sps.as_slice() {
                    changed = Some(sps.to_vec());
                }
            },
        );
        if let Some(sps) = changed {
            self.change_sequence(sps)?;
        }
        let Ok(contents) = contents else {
            return Ok(Err("it is no sequence of NAL units".to_owned()));
        };
        if !contents.picture {
            return Ok(Err("it holds no picture".to_owned()));
        }
        if !self.pass.synchronised && !contents.idr {
            return Ok(Err("it needs pictures that are missing".to_owned()));
        }
        let (pictures, samples, next) =
            (&mut self.pictures, &self.track.samples, self.pass.next_rank);
        let decoded = self
            .decoder
            .decode(&self.access_unit, number, &mut |picture| {
                pictures.take(picture, samples, next);
            });
        if let Err(code) = decoded {
            return Ok(Err(describe(code)));
        }
        self.pass.entry = Some(sample.entry);
        self.pass.synchronised = true;
        Ok(Ok(()))
    }

    /// A new sequence begins with the next access unit; what the decoder holds belongs to the old.
    fn change_sequence(&mut self, sps: Vec<u8>) -> Result<(), CaptureError> {
        let sequence =
            checked_sequence(&sps, self.info.size).map_err(|problem| problem.of(&self.path))?;
        self.flush();
        (self.pictures.matrix, self.pictures.range) = (sequence.matrix, sequence.range);
        self.sps = sps;
        Ok(())
    }

    /// Notes a sample that could not be decoded, and starts the decoder anew where it had been in
    /// step: what it holds is delivered, what refers to the loss must not be.
    fn lose(&mut self, sample: Sample, reason: String) -> Result<(), CaptureError> {
        if let Some(rank) = sample.rank {
            self.pictures.waiting.retain(|waiting| waiting.rank != rank);
            self.pass.lost.insert(rank);
        }
        if self.pass.synchronised || self.pass.reason.is_empty() {
            self.pass.reason = reason;
        }
        if self.pass.synchronised {
            self.flush();
            self.restart_decoder()?;
        }
        Ok(())
    }

    fn flush(&mut self) {
        let (pictures, samples, next) =
            (&mut self.pictures, &self.track.samples, self.pass.next_rank);
        let lost = &self.pass.lost;
        self.decoder.flush(&mut |picture| {
            if !is_lost(picture, samples, lost) {
                pictures.take(picture, samples, next);
            }
        });
    }

    fn drain(&mut self) {
        if !self.pass.drained {
            self.flush();
            self.pass.drained = true;
        }
    }

    fn restart_decoder(&mut self) -> Result<(), CaptureError> {
        self.decoder = Decoder::new().map_err(|code| Problem::Decoder(code).of(&self.path))?;
        self.pass.entry = None;
        self.pass.synchronised = false;
        Ok(())
    }
}

impl FrameSource for VideoSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> Result<Captured, CaptureError> {
        if self.pass.lost_in_a_row >= BROKEN_IN_A_ROW_MAX {
            return Err(self.corrupt());
        }
        loop {
            if let Some(frame) = self.deliver() {
                return Ok(Captured::Frame(frame));
            }
            if self.pass.next_rank as usize >= self.track.times.len() {
                return self.end();
            }
            if self.is_overdue() {
                self.pass_over()?;
            } else if self.pass.drained {
                return Err(self.truncated(self.info.frames));
            } else {
                self.feed()?;
            }
        }
    }

    fn rewind(&mut self) -> Result<(), CaptureError> {
        self.start = self.position();
        self.pictures.waiting.clear();
        self.pass = Pass::default();
        self.restart_decoder()
    }

    fn losses(&self) -> Losses {
        self.losses
    }
}

/// The parameter set in force at the start, from the index or from the first sample, and what it
/// says. Every set of the index is looked at.
fn first_sequence(track: &Track, file: &File, length: u64) -> Result<(Vec<u8>, Sequence), Problem> {
    let Some((first, sets)) = track
        .samples
        .first()
        .and_then(|sample| Some((sample, track.entries.get(sample.entry as usize)?)))
    else {
        return Err(Problem::Malformed("it has no samples".to_owned()));
    };
    for sps in track.entries.iter().flat_map(|entry| &entry.sps) {
        checked_sequence(sps, sets.size)?;
    }
    let mut sps = sets.sps.first().cloned();
    let end = first.offset.saturating_add(first.size.into());
    if sps.is_none() && end <= length && first.size <= SAMPLE_BYTES_MAX {
        let mut bytes = vec![0; first.size as usize];
        file.read_exact_at(&mut bytes, first.offset)
            .map_err(Problem::Read)?;
        sps = h264::sps_in(&bytes, sets.length_size);
    }
    let sps = sps.unwrap_or_default();
    let sequence = checked_sequence(&sps, sets.size)?;
    Ok((sps, sequence))
}

/// What a parameter set says. One that cannot be read is left to the decoder, which is more
/// lenient; size and colours are then assumed.
fn checked_sequence(sps: &[u8], size: Size) -> Result<Sequence, Problem> {
    match h264::sequence(sps) {
        Ok(sequence) => Ok(sequence),
        Err(SequenceError::Unsupported(profile)) => Err(Problem::Profile(profile)),
        Err(SequenceError::Broken(why)) => {
            log::warn!("a sequence parameter set cannot be read ({why}); its colours are assumed");
            Ok(h264::assumed(size))
        }
    }
}

/// Frames per second, averaged over the file.
fn frame_rate(track: &Track) -> Option<f64> {
    let seconds = track.length.as_secs_f64();
    let frames = u32::try_from(track.times.len()).ok()?;
    (seconds > 0.0).then(|| f64::from(frames) / seconds)
}

/// The bits of `DECODING_STATE` in words.
fn describe(DecoderCode(code): DecoderCode) -> String {
    let known = [
        (0x02, "a picture it refers to is missing"),
        (0x04, "its bits make no sense"),
        (0x10, "its parameter sets are missing or not supported"),
        (0x40, "a picture it refers to is missing"),
        (0x4000, "the decoder ran out of memory"),
    ];
    known.iter().find(|(bit, _)| code & bit != 0).map_or_else(
        || format!("decoder code {code:#x}"),
        |(_, text)| (*text).to_owned(),
    )
}
