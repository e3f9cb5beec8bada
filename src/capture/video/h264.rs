//! What has to be known of an H.264 stream besides its pictures: whether the decoder can decode it,
//! its size and colours (from the sequence parameter set), and its access units as Annex B.
//!
//! ITU-T H.264 (08/2021); the container's side is ISO/IEC 14496-15. Pure.

use h264_reader::nal::sps::{ChromaFormat, FrameMbsFlags, SeqParameterSet, VideoSignalType};
use h264_reader::rbsp::{BitReader, decode_nal};

use crate::frame::{ColorMatrix, ColorRange};
use crate::geometry::Size;

/// Height from which an unmarked stream counts as high definition (ITU-R BT.709).
const HIGH_DEFINITION_ROWS: u32 = 720;

const START_CODE: [u8; 4] = [0, 0, 0, 1];

// nal_unit_type, Table 7-1.
const NAL_SLICE: u8 = 1;
const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;

/// What a sequence parameter set says of the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    /// Name of the profile: `High`.
    pub(super) profile: &'static str,
    /// Picture size after cropping.
    pub(super) size: Size,
    /// As marked, else by size.
    pub(super) matrix: ColorMatrix,
    /// As marked, else limited.
    pub(super) range: ColorRange,
}

/// Why a sequence parameter set is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SequenceError {
    /// It cannot be read.
    Broken(String),
    /// The decoder cannot decode such a stream; names profile and reason.
    Unsupported(String),
}

/// Reads a sequence parameter set, with its NAL header.
pub(super) fn sequence(nal: &[u8]) -> Result<Sequence, SequenceError> {
    let broken = |why: &dyn std::fmt::Debug| SequenceError::Broken(format!("{why:?}"));
    if nal.is_empty() {
        return Err(broken(&"there is none"));
    }
    let payload = decode_nal(nal).map_err(|error| broken(&error))?;
    let sps =
        SeqParameterSet::from_bits(BitReader::new(&*payload)).map_err(|error| broken(&error))?;
    let profile = profile_name(u8::from(sps.profile_idc));
    if let Some(why) = obstacle(&sps) {
        return Err(SequenceError::Unsupported(format!("{profile}, {why}")));
    }
    let (width, height) = sps.pixel_dimensions().map_err(|error| broken(&error))?;
    if width == 0 || height == 0 {
        return Err(broken(&"no pixel is left after cropping"));
    }
    let signal = sps
        .vui_parameters
        .as_ref()
        .and_then(|vui| vui.video_signal_type.as_ref());
    Ok(Sequence {
        profile,
        size: Size { width, height },
        matrix: matrix(signal, height)
            .map_err(|why| SequenceError::Unsupported(format!("{profile}, {why}")))?,
        range: match signal {
            Some(signal) if signal.video_full_range_flag => ColorRange::Full,
            Some(_) | None => ColorRange::Limited,
        },
    })
}

/// What is assumed of a stream whose parameter set cannot be read.
pub(super) const fn assumed(size: Size) -> Sequence {
    Sequence {
        profile: "of an unknown profile",
        size,
        matrix: unmarked(size.height),
        range: ColorRange::Limited,
    }
}

/// Name of a `profile_idc` (Annex A.2).
const fn profile_name(profile_idc: u8) -> &'static str {
    match profile_idc {
        66 => "Baseline",
        77 => "Main",
        88 => "Extended",
        100 => "High",
        110 => "High 10",
        122 => "High 4:2:2",
        244 => "High 4:4:4 Predictive",
        44 => "CAVLC 4:4:4 Intra",
        83 | 86 => "Scalable",
        118 | 128 => "Multiview",
        _ => "of an unknown profile",
    }
}

/// What keeps the decoder from decoding the stream.
fn obstacle(sps: &SeqParameterSet) -> Option<String> {
    let chroma = &sps.chroma_info;
    let bits = 8 + chroma
        .bit_depth_luma_minus8
        .max(chroma.bit_depth_chroma_minus8);
    if bits > 8 {
        return Some(format!("{bits} bits per sample"));
    }
    match chroma.chroma_format {
        ChromaFormat::YUV420 => {}
        ChromaFormat::Monochrome => return Some("monochrome (4:0:0)".to_owned()),
        ChromaFormat::YUV422 => return Some("4:2:2".to_owned()),
        ChromaFormat::YUV444 => return Some("4:4:4".to_owned()),
        ChromaFormat::Invalid(idc) => return Some(format!("chroma format {idc}")),
    }
    if chroma.qpprime_y_zero_transform_bypass_flag {
        return Some("lossless".to_owned());
    }
    match sps.frame_mbs_flags {
        FrameMbsFlags::Frames => {}
        FrameMbsFlags::Fields { .. } => return Some("interlaced".to_owned()),
    }
    match u8::from(sps.profile_idc) {
        66 | 77 | 100 => None,
        _ => Some("a profile beyond baseline, main and high".to_owned()),
    }
}

/// Table E-5. What is marked as something else than BT.601 and BT.709 gets the nearer of the two.
fn matrix(signal: Option<&VideoSignalType>, height: u32) -> Result<ColorMatrix, String> {
    let marked = signal
        .and_then(|signal| signal.colour_description.as_ref())
        .map_or(2, |colour| colour.matrix_coefficients);
    match marked {
        // BT.709; SMPTE 240M and BT.2020 differ from it by less than from BT.601.
        1 | 7 | 9 | 10 => Ok(ColorMatrix::Bt709),
        // FCC, BT.470 (PAL), BT.601 (NTSC).
        4..=6 => Ok(ColorMatrix::Bt601),
        0 => Err("RGB (matrix_coefficients 0)".to_owned()),
        _ => Ok(unmarked(height)),
    }
}

const fn unmarked(height: u32) -> ColorMatrix {
    if height >= HIGH_DEFINITION_ROWS {
        ColorMatrix::Bt709
    } else {
        ColorMatrix::Bt601
    }
}

/// What an access unit holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// A slice of an IDR picture: decoding can start here.
    pub(super) idr: bool,
    /// A slice of any picture.
    pub(super) picture: bool,
}

/// Why a sample of the container is no access unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BrokenSample;

/// Goes through the NAL units of a container's sample, each preceded by its length in
/// `length_size` bytes (ISO/IEC 14496-15, 5.3.4.2).
pub(super) fn for_each_nal(
    mut sample: &[u8],
    length_size: usize,
    mut visit: impl FnMut(u8, &[u8]),
) -> Result<(), BrokenSample> {
    while !sample.is_empty() {
        let (length, rest) = sample.split_at_checked(length_size).ok_or(BrokenSample)?;
        let length = length
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte));
        let (nal, rest) = rest.split_at_checked(length).ok_or(BrokenSample)?;
        if let Some(header) = nal.first() {
            visit(header & 0x1f, nal);
        }
        sample = rest;
    }
    Ok(())
}

/// Appends the sample to `annex_b` as the decoder wants it: slices and parameter sets, each after a
/// start code. What else a sample may hold (delimiters, SEI, filler, the layers of scalable and
/// multiview streams) is left out: the decoder needs none of it and would try to decode some.
/// `on_sps` sees every sequence parameter set.
pub(super) fn append_annex_b(
    sample: &[u8],
    length_size: usize,
    annex_b: &mut Vec<u8>,
    mut on_sps: impl FnMut(&[u8]),
) -> Result<Contents, BrokenSample> {
    let mut contents = Contents::default();
    for_each_nal(sample, length_size, |kind, nal| {
        match kind {
            NAL_IDR => (contents.idr, contents.picture) = (true, true),
            NAL_SLICE => contents.picture = true,
            NAL_SPS => on_sps(nal),
            NAL_PPS => {}
            _ => return,
        }
        append_nal(nal, annex_b);
    })?;
    Ok(contents)
}

/// Appends one NAL unit after a start code.
pub(super) fn append_nal(nal: &[u8], annex_b: &mut Vec<u8>) {
    annex_b.extend_from_slice(&START_CODE);
    annex_b.extend_from_slice(nal);
}

/// The first sequence parameter set in a sample, where it has one.
pub(super) fn sps_in(sample: &[u8], length_size: usize) -> Option<Vec<u8>> {
    let mut found = None;
    for_each_nal(sample, length_size, |kind, nal| {
        if kind == NAL_SPS && found.is_none() {
            found = Some(nal.to_vec());
        }
    })
    .ok()?;
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(nals: &[&[u8]], length_size: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for nal in nals {
            let length = u32::try_from(nal.len()).expect("short").to_be_bytes();
            bytes.extend_from_slice(&length[4 - length_size..]);
            bytes.extend_from_slice(nal);
        }
        bytes
    }

    #[test]
    fn only_slices_and_parameter_sets_reach_the_decoder() {
        for length_size in [1, 2, 4] {
            let nals: [&[u8]; 5] = [&[9, 1], &[0x67, 1], &[6, 2], &[], &[0x65, 3, 4]];
            let bytes = sample(&nals, length_size);
            let mut annex_b = Vec::new();
            let mut seen = Vec::new();
            let contents = append_annex_b(&bytes, length_size, &mut annex_b, |sps| {
                seen.push(sps.to_vec());
            });
            assert_eq!(annex_b, [0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x65, 3, 4]);
            assert_eq!(seen, [[0x67, 1]]);
            assert_eq!(
                contents,
                Ok(Contents {
                    idr: true,
                    picture: true
                })
            );
        }
    }

    #[test]
    fn a_length_beyond_the_sample_is_broken() {
        for bytes in [&[0, 0, 0, 9, 1, 2][..], &[0, 0], &[0, 0, 0, 2, 1, 2, 0]] {
            assert_eq!(for_each_nal(bytes, 4, |_, _| {}), Err(BrokenSample));
        }
    }

    #[test]
    fn a_missing_parameter_set_is_broken() {
        assert!(matches!(sequence(&[]), Err(SequenceError::Broken(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), length_size in 1_usize..5) {
            let _ = append_annex_b(&bytes, length_size, &mut Vec::new(), |_| {});
            let _ = sequence(&bytes);
            for profile in [66, 100] {
                let _ = sequence(&[&[0x67, profile, 0, 31][..], &bytes].concat());
            }
        }

        #[test]
        fn every_nal_arrives_whole(nals in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..5)) {
            let borrowed: Vec<&[u8]> = nals.iter().map(Vec::as_slice).collect();
            let mut seen = Vec::new();
            for_each_nal(&sample(&borrowed, 2), 2, |_, nal| seen.push(nal.to_vec())).expect("whole");
            prop_assert_eq!(seen, nals);
        }
    }
}
