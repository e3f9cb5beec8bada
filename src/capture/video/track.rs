//! The video track of an mp4 file: where its samples lie and when each is shown.
//!
//! A *sample* is one coded picture, listed in decoding order. Its *rank* is its place in
//! presentation order among the pictures that the edit list shows. Sound and other tracks are not
//! even parsed, so that nothing about them can be wrong.

use std::num::NonZeroU32;
use std::time::Duration;

use shiguredo_mp4::aux::SampleTableAccessor;
use shiguredo_mp4::boxes::{
    Avc1Box, ElstBox, MvexBox, MvhdBox, SampleEntry, StblBox, TrakBox, TrexBox, UnknownBox,
};
use shiguredo_mp4::{BaseBox, Decode};

use super::Problem;
use super::boxes::{Index, child, children, too_many};
use super::fragments;
use super::orientation::Orientation;
use crate::geometry::Size;

/// Most frames of a file: nine days at 60 per second, and 2 GB of our own index.
pub(super) const FRAMES_MAX: u64 = 50_000_000;

/// What stands in for the duration of a last frame without one.
const PERIOD_UNKNOWN: Duration = Duration::from_millis(40);

/// One coded picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// Position in the file.
    pub(super) offset: u64,
    /// Bytes.
    pub(super) size: u32,
    /// Which of the track's [`ParameterSets`] it needs.
    pub(super) entry: u32,
    /// Place in presentation order; `None` for a picture that is decoded but not shown.
    pub(super) rank: Option<u32>,
}

/// A sample's times in units of the track's timescale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timing {
    /// When it is shown (composition time).
    pub(super) presented: i64,
    /// For how long.
    pub(super) duration: u32,
}

/// What the decoder needs before the first sample of a sample entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ParameterSets {
    /// Bytes of the length before each NAL unit.
    pub(super) length_size: usize,
    /// Sequence parameter sets; empty where they are in the samples (`avc3`).
    pub(super) sps: Vec<Vec<u8>>,
    /// Picture parameter sets.
    pub(super) pps: Vec<Vec<u8>>,
    /// Picture size according to the container.
    pub(super) size: Size,
}

/// The video track.
#[derive(Debug)]
pub(super) struct Track {
    /// In decoding order.
    pub(super) samples: Vec<Sample>,
    /// Media time of each shown picture, by rank.
    pub(super) times: Vec<Duration>,
    /// Media time at which the last picture stops being shown.
    pub(super) length: Duration,
    /// By [`Sample::entry`].
    pub(super) entries: Vec<ParameterSets>,
    /// How the camera was held.
    pub(super) orientation: Orientation,
}

/// What the movie header says for every track.
struct Movie {
    timescale: NonZeroU32,
    matrix: [i32; 9],
}

impl Track {
    /// Takes the first H.264 video track.
    pub(super) fn read(index: &Index) -> Result<Self, Problem> {
        let movie = child_mvhd(&index.moov)?;
        let mut refused = Problem::NoVideo;
        for (kind, whole, trak) in children(&index.moov) {
            if &kind != b"trak" || handler(trak) != Some(*b"vide") {
                continue;
            }
            match codec(trak) {
                Some(code) if matches!(&code, b"avc1" | b"avc3") => {
                    return Self::read_trak(whole, &movie, index);
                }
                Some(code) => refused = Problem::Codec(codec_name(code)),
                None => refused = Problem::Malformed("a video track without a codec".to_owned()),
            }
        }
        Err(refused)
    }

    fn read_trak(whole: &[u8], movie: &Movie, index: &Index) -> Result<Self, Problem> {
        let (trak, _) = TrakBox::decode(whole).map_err(|error| malformed(&error))?;
        let id = trak.tkhd_box.track_id;
        let edits = trak.edts_box.and_then(|edts| edts.elst_box);
        let timescale = trak.mdia_box.mdhd_box.timescale;
        let orientation = orientation(&movie.matrix, &trak.tkhd_box.matrix)?;
        let table = SampleTableAccessor::new(trak.mdia_box.minf_box.stbl_box)
            .map_err(|error| malformed(&error))?;
        let entries = table
            .stbl_box()
            .stsd_box
            .entries
            .iter()
            .map(parameter_sets)
            .collect::<Result<Vec<_>, _>>()?;
        let (mut samples, mut timings) = list(&table, index.samples_max)?;
        if !index.fragments.is_empty() {
            let defaults = fragment_defaults(index)?;
            fragments::append(&index.fragments, id, &defaults, &mut samples, &mut timings)?;
        }
        if samples
            .iter()
            .any(|sample| sample.entry as usize >= entries.len())
        {
            return Err(Problem::Malformed(
                "a sample refers to a sample entry that does not exist".to_owned(),
            ));
        }
        let window = window(edits.as_ref(), movie.timescale, timescale)?;
        let (times, length) = present(&mut samples, &timings, window, timescale)?;
        Ok(Self {
            samples,
            times,
            length,
            entries,
            orientation,
        })
    }
}

fn malformed(error: &dyn std::fmt::Display) -> Problem {
    Problem::Malformed(error.to_string())
}

fn child_mvhd(moov: &[u8]) -> Result<Movie, Problem> {
    let (_, whole, _) = children(moov)
        .find(|(kind, _, _)| kind == b"mvhd")
        .ok_or_else(|| Problem::Malformed("no movie header (mvhd box)".to_owned()))?;
    let (header, _) = MvhdBox::decode(whole).map_err(|error| malformed(&error))?;
    Ok(Movie {
        timescale: header.timescale,
        matrix: header.matrix,
    })
}

fn fragment_defaults(index: &Index) -> Result<Vec<TrexBox>, Problem> {
    let Some((_, whole, _)) = children(&index.moov).find(|(kind, _, _)| kind == b"mvex") else {
        return Ok(Vec::new());
    };
    let (mvex, _) = MvexBox::decode(whole).map_err(|error| malformed(&error))?;
    Ok(mvex.trex_boxes)
}

/// `handler_type` of a track (8.4.3): `vide`, `soun`, ...
fn handler(trak: &[u8]) -> Option<[u8; 4]> {
    let hdlr = child(child(trak, b"mdia")?, b"hdlr")?;
    hdlr.get(8..12)?.first_chunk().copied()
}

/// Four-character code of a track's first sample entry (8.5.2).
fn codec(trak: &[u8]) -> Option<[u8; 4]> {
    let stbl = child(child(child(trak, b"mdia")?, b"minf")?, b"stbl")?;
    let entries = child(stbl, b"stsd")?.get(8..)?;
    children(entries).next().map(|(kind, _, _)| kind)
}

fn codec_name(code: [u8; 4]) -> String {
    let name = match &code {
        b"hvc1" | b"hev1" | b"dvh1" | b"dvhe" => "H.265",
        b"vvc1" | b"vvi1" => "H.266",
        b"av01" => "AV1",
        b"vp08" => "VP8",
        b"vp09" => "VP9",
        b"mp4v" => "MPEG-4 part 2",
        b"jpeg" | b"mjpa" | b"mjpb" => "Motion JPEG",
        b"apcn" | b"apch" | b"apcs" | b"apco" | b"ap4h" => "ProRes",
        b"s263" => "H.263",
        b"encv" => "encrypted video",
        _ => return format!("the codec \"{}\"", code.escape_ascii()),
    };
    format!("{} ({name})", code.escape_ascii())
}

fn parameter_sets(entry: &SampleEntry) -> Result<ParameterSets, Problem> {
    let code = entry.box_type();
    let patched;
    let avc = if let SampleEntry::Avc1(avc) = entry {
        avc
    } else if let (SampleEntry::Unknown(unknown), b"avc3") = (entry, code.as_bytes()) {
        patched = avc3(unknown)?;
        &patched
    } else {
        let code = code.as_bytes().first_chunk().copied();
        return Err(Problem::Codec(codec_name(code.unwrap_or_default())));
    };
    Ok(ParameterSets {
        length_size: usize::from(avc.avcc_box.length_size_minus_one.get()) + 1,
        sps: avc.avcc_box.sps_list.clone(),
        pps: avc.avcc_box.pps_list.clone(),
        size: Size {
            width: avc.visual.width.into(),
            height: avc.visual.height.into(),
        },
    })
}

/// `avc3` is `avc1` with parameter sets among the samples (ISO/IEC 14496-15, 5.4.2): the same box
/// under another name, which the container library does not know.
fn avc3(unknown: &UnknownBox) -> Result<Avc1Box, Problem> {
    let size = u32::try_from(unknown.payload.len() + 8).map_err(|error| malformed(&error))?;
    let mut bytes = Vec::with_capacity(unknown.payload.len() + 8);
    bytes.extend_from_slice(&size.to_be_bytes());
    bytes.extend_from_slice(b"avc1");
    bytes.extend_from_slice(&unknown.payload);
    let (avc, _) = Avc1Box::decode(&bytes).map_err(|error| malformed(&error))?;
    Ok(avc)
}

/// The display matrix of the track, then of the movie (8.3.2, 8.2.2).
fn orientation(movie: &[i32; 9], track: &[i32; 9]) -> Result<Orientation, Problem> {
    let [ma, mb, _, mc, md, ..] = movie.map(i64::from);
    let [ta, tb, _, tc, td, ..] = track.map(i64::from);
    Orientation::from_matrix(
        ta * ma + tb * mc,
        ta * mb + tb * md,
        tc * ma + td * mc,
        tc * mb + td * md,
    )
    .ok_or_else(|| Problem::Feature("a display matrix that shears or turns the picture".to_owned()))
}

/// The samples of an unfragmented file; none in a fragmented one.
fn list(
    table: &SampleTableAccessor<StblBox>,
    samples_max: u64,
) -> Result<(Vec<Sample>, Vec<Timing>), Problem> {
    let promised = u64::from(table.sample_count());
    if promised > FRAMES_MAX.min(samples_max) {
        return Err(too_many(promised));
    }
    let mut samples = Vec::new();
    let mut timings = Vec::new();
    for sample in table.samples() {
        let entry = sample.chunk().sample_entry_index();
        samples.push(Sample {
            offset: sample.data_offset(),
            size: sample.data_size(),
            entry: u32::try_from(entry).unwrap_or(u32::MAX),
            rank: None,
        });
        let shift = sample.composition_time_offset().unwrap_or(0);
        timings.push(Timing {
            presented: presented(sample.timestamp(), shift)?,
            duration: sample.duration(),
        });
    }
    Ok((samples, timings))
}

/// Composition time from decoding time and offset.
pub(super) fn presented(decoded: u64, shift: i64) -> Result<i64, Problem> {
    // Some writers put negative offsets into the unsigned version of the box.
    let shift = if shift > i64::from(i32::MAX) {
        shift - (1 << 32)
    } else {
        shift
    };
    i64::try_from(decoded)
        .ok()
        .and_then(|decoded| decoded.checked_add(shift))
        .ok_or_else(|| Problem::Malformed("a sample's time is impossible".to_owned()))
}

/// From when to when (exclusive) the media is shown, in the track's timescale.
fn window(
    edits: Option<&ElstBox>,
    movie: NonZeroU32,
    track: NonZeroU32,
) -> Result<(i64, i64), Problem> {
    let all = (i64::MIN, i64::MAX);
    let Some(edits) = edits else { return Ok(all) };
    // An empty edit only delays the start, which is media time zero for us anyway.
    let mut shown = edits.entries.iter().filter(|edit| edit.media_time >= 0);
    let Some(edit) = shown.next() else {
        return Ok(all);
    };
    if shown.next().is_some() {
        return Err(Problem::Feature(
            "an edit list of several segments".to_owned(),
        ));
    }
    if (edit.media_rate.integer, edit.media_rate.fraction) != (1, 0) {
        return Err(Problem::Feature(
            "an edit list that changes the speed".to_owned(),
        ));
    }
    // Zero lasts to the end (fragmented files, 8.6.6.1). Otherwise rounded up, so that a coarse
    // movie timescale does not cost the last frame.
    let duration = match edit.edit_duration {
        0 => return Ok((edit.media_time, i64::MAX)),
        duration => u128::from(duration) * u128::from(track.get()),
    };
    let duration = duration.div_ceil(u128::from(movie.get()));
    let end = i64::try_from(duration).map_or(i64::MAX, |duration| {
        edit.media_time.saturating_add(duration)
    });
    Ok((edit.media_time, end))
}

/// Ranks the samples shown within `window`; gives the media time of each rank and of the end.
fn present(
    samples: &mut [Sample],
    timings: &[Timing],
    window: (i64, i64),
    timescale: NonZeroU32,
) -> Result<(Vec<Duration>, Duration), Problem> {
    let mut order: Vec<(i64, u32, u32)> = Vec::with_capacity(samples.len());
    for (number, timing) in (0..).zip(timings) {
        // As ffmpeg does, a frame that is on already when the window opens is left out.
        if (window.0..window.1).contains(&timing.presented) {
            order.push((timing.presented, number, timing.duration));
        }
    }
    order.sort_unstable();
    let (Some(first), Some(last)) = (order.first(), order.last()) else {
        return Err(Problem::Malformed("it shows not a single frame".to_owned()));
    };
    let (start, scale) = (first.0, u64::from(timescale.get()));
    let at = |presented: i64| media_time(presented.abs_diff(start), scale);
    let end = last.0.saturating_add(last.2.into());
    let length = if last.2 > 0 {
        at(end)
    } else {
        at(end) + PERIOD_UNKNOWN
    };
    let mut times = Vec::with_capacity(order.len());
    for (rank, (presented, number, _)) in (0..).zip(&order) {
        times.push(at(*presented));
        if let Some(sample) = samples.get_mut(*number as usize) {
            sample.rank = Some(rank);
        }
    }
    Ok((times, length))
}

fn media_time(ticks: u64, scale: u64) -> Duration {
    let nanos = u128::from(ticks % scale) * 1_000_000_000 / u128::from(scale);
    Duration::from_secs(ticks / scale) + Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shiguredo_mp4::FixedPointNumber;
    use shiguredo_mp4::boxes::ElstEntry;

    const SCALE: NonZeroU32 = NonZeroU32::new(12_800).expect("not zero");
    const MOVIE: NonZeroU32 = NonZeroU32::new(1000).expect("not zero");

    fn edit(edit_duration: u64, media_time: i64) -> ElstEntry {
        ElstEntry {
            edit_duration,
            media_time,
            media_rate: FixedPointNumber::new(1, 0),
        }
    }

    fn window_of(entries: Vec<ElstEntry>) -> Result<(i64, i64), Problem> {
        window(Some(&ElstBox { entries }), MOVIE, SCALE)
    }

    fn samples_at(presented: &[i64]) -> (Vec<Sample>, Vec<Timing>) {
        let sample = Sample {
            offset: 0,
            size: 1,
            entry: 0,
            rank: None,
        };
        let timings = presented.iter().map(|presented| Timing {
            presented: *presented,
            duration: 512,
        });
        (vec![sample; presented.len()], timings.collect())
    }

    #[test]
    fn an_edit_list_is_a_window_into_the_media() {
        assert_eq!(window_of(vec![edit(500, 1024)]).ok(), Some((1024, 7424)));
        // A delay before it changes nothing; zero lasts to the end; a fraction is rounded up.
        let delayed = vec![edit(40, -1), edit(0, 512)];
        assert_eq!(window_of(delayed).ok(), Some((512, i64::MAX)));
        assert_eq!(window_of(vec![edit(333, 0)]).ok(), Some((0, 4263)));
        assert_eq!(window_of(vec![]).ok(), Some((i64::MIN, i64::MAX)));
    }

    #[test]
    fn several_segments_and_other_speeds_are_refused() {
        let several = window_of(vec![edit(40, 0), edit(40, 1024)]);
        assert!(matches!(several, Err(Problem::Feature(_))));
        let mut fast = edit(40, 0);
        fast.media_rate.integer = 2;
        assert!(matches!(window_of(vec![fast]), Err(Problem::Feature(_))));
    }

    #[test]
    fn pictures_are_ranked_by_time_and_start_at_zero() {
        // I P B B as coded, shown I B B P; the first lies before the window.
        let (mut samples, timings) = samples_at(&[512, 1024, 2560, 1536, 2048]);
        let (times, length) =
            present(&mut samples, &timings, (1024, i64::MAX), SCALE).expect("shows frames");
        let ranks: Vec<Option<u32>> = samples.iter().map(|sample| sample.rank).collect();
        assert_eq!(ranks, [None, Some(0), Some(3), Some(1), Some(2)]);
        let millis: Vec<u128> = times.iter().map(Duration::as_millis).collect();
        assert_eq!(millis, [0, 40, 80, 120]);
        assert_eq!(length, Duration::from_millis(160));
    }

    #[test]
    fn a_window_without_pictures_is_an_error() {
        let (mut samples, timings) = samples_at(&[0, 512]);
        let empty = present(&mut samples, &timings, (9999, i64::MAX), SCALE);
        assert!(matches!(empty, Err(Problem::Malformed(_))));
    }

    proptest! {
        #[test]
        fn every_shown_picture_has_one_rank_and_times_never_fall(presented in proptest::collection::vec(any::<i64>(), 1..20), from in any::<i64>()) {
            let (mut samples, timings) = samples_at(&presented);
            if let Ok((times, length)) = present(&mut samples, &timings, (from, i64::MAX), SCALE) {
                let mut ranks: Vec<u32> = samples.iter().filter_map(|sample| sample.rank).collect();
                ranks.sort_unstable();
                prop_assert!(ranks.iter().zip(0..).all(|(rank, place)| *rank == place));
                prop_assert_eq!(ranks.len(), times.len());
                prop_assert!(times.is_sorted());
                prop_assert!(times.last().is_some_and(|last| *last <= length));
            }
        }
    }
}
