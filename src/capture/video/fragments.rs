//! Samples of fragmented mp4 files (ISO/IEC 14496-12, 8.8): what cameras and recorders write that
//! must survive a power cut.

use shiguredo_mp4::boxes::{MoofBox, TrafBox, TrexBox, TrunBox, TrunSample};

use super::Problem;
use super::track::{FRAMES_MAX, Sample, Timing, presented};

/// Appends the samples of track `id` in decoding order.
pub(super) fn append(
    fragments: &[(u64, MoofBox)],
    id: u32,
    defaults: &[TrexBox],
    samples: &mut Vec<Sample>,
    timings: &mut Vec<Timing>,
) -> Result<(), Problem> {
    let mut decoded = timings
        .iter()
        .fold(0_u64, |sum, timing| sum + u64::from(timing.duration));
    for (moof_at, moof) in fragments {
        // Where data begins that does not say so: at the fragment, or after the track before.
        let mut default_base = *moof_at;
        for traf in &moof.traf_boxes {
            let header = &traf.tfhd_box;
            let defaults = defaults
                .iter()
                .find(|trex| trex.track_id == header.track_id);
            let base = match header.base_data_offset {
                Some(base) => base,
                None if header.default_base_is_moof => *moof_at,
                None => default_base,
            };
            if let Some(start) = traf.tfdt_box.as_ref().filter(|_| header.track_id == id) {
                decoded = start.base_media_decode_time;
            }
            let mut at = base;
            for run in &traf.trun_boxes {
                at = start_of(run, base, at)?;
                for sample in &run.samples {
                    let size = sample_size(sample, traf, defaults);
                    if header.track_id == id {
                        let duration = sample_duration(sample, traf, defaults);
                        samples.push(Sample {
                            offset: at,
                            size,
                            entry: entry(traf, defaults),
                            rank: None,
                        });
                        timings.push(Timing {
                            presented: presented(
                                decoded,
                                sample.composition_time_offset.unwrap_or(0),
                            )?,
                            duration,
                        });
                        decoded = decoded.saturating_add(duration.into());
                    }
                    at = at.saturating_add(size.into());
                }
            }
            default_base = at;
        }
        if samples.len() as u64 > FRAMES_MAX {
            return Err(Problem::Malformed(format!(
                "its index promises more than {FRAMES_MAX} frames"
            )));
        }
    }
    Ok(())
}

fn start_of(run: &TrunBox, base: u64, after_previous: u64) -> Result<u64, Problem> {
    match run.data_offset {
        None => Ok(after_previous),
        Some(offset) => base.checked_add_signed(offset.into()).ok_or_else(|| {
            Problem::Malformed("a fragment's data begins before the file".to_owned())
        }),
    }
}

fn sample_size(sample: &TrunSample, traf: &TrafBox, defaults: Option<&TrexBox>) -> u32 {
    sample
        .size
        .or(traf.tfhd_box.default_sample_size)
        .or(defaults.map(|trex| trex.default_sample_size))
        .unwrap_or(0)
}

fn sample_duration(sample: &TrunSample, traf: &TrafBox, defaults: Option<&TrexBox>) -> u32 {
    sample
        .duration
        .or(traf.tfhd_box.default_sample_duration)
        .or(defaults.map(|trex| trex.default_sample_duration))
        .unwrap_or(0)
}

/// Index of the sample entry; the file counts from one.
fn entry(traf: &TrafBox, defaults: Option<&TrexBox>) -> u32 {
    traf.tfhd_box
        .sample_description_index
        .or(defaults.map(|trex| trex.default_sample_description_index))
        .unwrap_or(1)
        .saturating_sub(1)
}
