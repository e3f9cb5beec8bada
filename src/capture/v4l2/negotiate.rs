//! Agrees with a camera on format, size and frame rate: looks at what it offers, asks for the best,
//! and checks what it made of that.

use std::io;

use nix::errno::Errno;

use super::format::{
    self, Coding, Offer, Wanted, bytes_needed, frame_format, is_approximated, is_whole_picture,
    layouts,
};
use super::kernel::{Format, FourCc, FrameInterval, FrameSize, Interval, Node};
use super::problem::{CameraProblem, errno};
use crate::config::CameraConfig;
use crate::frame::{FrameFormat, PlaneLayout};
use crate::geometry::Size;

/// Most entries of each list that are looked at; a driver that never says that it was the last would go
/// on for ever. Webcams have about 5 formats of 20 sizes with 10 intervals.
const FORMATS_MAX: u32 = 256;
const SIZES_MAX: u32 = 128;
const INTERVALS_MAX: u32 = 64;

/// Longest side of a picture, pixels; no camera comes near.
const SIDE_MAX: u32 = 16_384;

/// Largest picture of all, bytes: so many pixels square with four bytes each.
const PICTURE_BYTES_MAX: usize = 1 << 30;

/// What was agreed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Agreement {
    /// In the driver's words.
    pub(super) format: Format,
    pub(super) coding: Coding,
    /// Of the frames that are handed on.
    pub(super) frame: FrameFormat,
    /// Where their planes are in the driver's buffers; meaningless for JPEG.
    pub(super) layouts: [PlaneLayout; 3],
    /// Bytes that must be in each memory.
    pub(super) needed: [usize; 3],
    /// Frames per second where the camera says.
    pub(super) rate: Option<f64>,
    /// What is worth telling.
    pub(super) remarks: Vec<String>,
}

/// Everything that a camera offers, formats that are not understood included.
pub(super) fn offers(node: &dyn Node, wanted: &Wanted) -> Result<Vec<Offer>, CameraProblem> {
    let mut offers = Vec::new();
    for (fourcc, _) in formats(node)? {
        for size in sizes(node, fourcc, wanted)? {
            offers.push(Offer {
                fourcc,
                size,
                interval: interval(node, fourcc, size, wanted)?,
            });
        }
    }
    Ok(offers)
}

/// Pixel formats with the driver's description.
pub(super) fn formats(node: &dyn Node) -> Result<Vec<(FourCc, String)>, CameraProblem> {
    let mut formats = Vec::new();
    for index in 0..FORMATS_MAX {
        match listed("VIDIOC_ENUM_FMT", node.describe_format(index))? {
            Some(told) => formats.push((told.fourcc, told.description)),
            None => break,
        }
    }
    Ok(formats)
}

/// Picture sizes of a format, as the driver lists them.
pub(super) fn listed_sizes(
    node: &dyn Node,
    fourcc: FourCc,
) -> Result<Vec<FrameSize>, CameraProblem> {
    let mut sizes = Vec::new();
    for index in 0..SIZES_MAX {
        match listed("VIDIOC_ENUM_FRAMESIZES", node.frame_size(fourcc, index))? {
            Some(size @ FrameSize::Discrete(_)) => sizes.push(size),
            Some(range @ FrameSize::Range { .. }) => {
                sizes.push(range);
                break;
            }
            None => break,
        }
    }
    Ok(sizes)
}

/// Frame intervals of a format and size, as the driver lists them.
pub(super) fn listed_intervals(
    node: &dyn Node,
    fourcc: FourCc,
    size: Size,
) -> Result<Vec<FrameInterval>, CameraProblem> {
    let mut intervals = Vec::new();
    for index in 0..INTERVALS_MAX {
        let told = node.frame_interval(fourcc, size, index);
        match listed("VIDIOC_ENUM_FRAMEINTERVALS", told)? {
            Some(interval @ FrameInterval::Discrete(_)) => intervals.push(interval),
            Some(range @ FrameInterval::Range { .. }) => {
                intervals.push(range);
                break;
            }
            None => break,
        }
    }
    Ok(intervals)
}

/// An entry of a list; `None` after the last, and where the driver has no such list.
fn listed<T>(operation: &'static str, told: io::Result<T>) -> Result<Option<T>, CameraProblem> {
    match told {
        Ok(entry) => Ok(Some(entry)),
        Err(error) => match errno(&error) {
            Some(Errno::EINVAL | Errno::ENOTTY) => Ok(None),
            _ => Err(CameraProblem::of(operation)(error)),
        },
    }
}

fn sizes(node: &dyn Node, fourcc: FourCc, wanted: &Wanted) -> Result<Vec<Size>, CameraProblem> {
    let listed = listed_sizes(node, fourcc)?;
    if listed.is_empty() {
        // Nothing but asking tells.
        return Ok(vec![wanted.size]);
    }
    let sizes = listed.into_iter().map(|size| match size {
        FrameSize::Discrete(size) => size,
        FrameSize::Range { least, most, step } => wanted.size_within(least, most, step),
    });
    Ok(sizes.collect())
}

/// The slowest interval that is fast enough, else the fastest.
fn interval(
    node: &dyn Node,
    fourcc: FourCc,
    size: Size,
    wanted: &Wanted,
) -> Result<Option<Interval>, CameraProblem> {
    let listed = listed_intervals(node, fourcc, size)?;
    let candidates = listed.into_iter().map(|interval| match interval {
        FrameInterval::Discrete(interval) => interval,
        FrameInterval::Range { shortest, longest } => {
            let fastest = shortest.rate().unwrap_or(wanted.rate);
            let slowest = longest.rate().unwrap_or(0.0).min(fastest);
            if (slowest..=fastest).contains(&wanted.rate) {
                Interval::of_rate(wanted.rate)
            } else if wanted.rate > fastest {
                shortest
            } else {
                longest
            }
        }
    });
    let rated: Vec<(f64, Interval)> = candidates
        .filter_map(|interval| Some((interval.rate()?, interval)))
        .collect();
    let by_rate = |one: &&(f64, Interval), other: &&(f64, Interval)| one.0.total_cmp(&other.0);
    let enough = rated.iter().filter(|(rate, _)| !wanted.is_too_slow(*rate));
    let best = enough.min_by(by_rate).or(rated.iter().max_by(by_rate));
    Ok(best.map(|(_, interval)| *interval))
}

/// Agrees on the best format that the camera has for what is configured.
pub(super) fn negotiate(
    node: &dyn Node,
    config: &CameraConfig,
) -> Result<Agreement, CameraProblem> {
    let wanted = Wanted::new(config);
    let offers = offers(node, &wanted)?;
    let mut refused = None;
    for offer in wanted.ranked(&offers) {
        let format = node
            .set_format(offer.size, offer.fourcc)
            .map_err(CameraProblem::of("VIDIOC_S_FMT"));
        let format = match format {
            Ok(format) => format,
            // The driver does not do it after all. Any other failure may be over the next time, and
            // must not lead to another format: a sensor may crop where it did not before.
            Err(CameraProblem::Call { operation, source })
                if errno(&source) == Some(Errno::EINVAL) =>
            {
                refused.get_or_insert(CameraProblem::Call { operation, source });
                continue;
            }
            Err(problem) => return Err(problem),
        };
        match check(format) {
            Ok(mut agreement) => {
                agreement.rate = set_rate(node, offer.interval, &mut agreement.remarks)?;
                remark(&mut agreement, &wanted, config);
                return Ok(agreement);
            }
            Err(problem) => {
                refused.get_or_insert(problem);
            }
        }
    }
    Err(refused.unwrap_or_else(|| no_format(config, &offers)))
}

fn no_format(config: &CameraConfig, offers: &[Offer]) -> CameraProblem {
    let mut names: Vec<String> = offers
        .iter()
        .map(|offer| offer.fourcc.to_string())
        .collect();
    names.dedup();
    CameraProblem::NoFormat {
        wanted: config.format.map_or_else(String::new, |format| {
            format!(" where {} is configured", FourCc(format))
        }),
        offered: if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        },
        known: format::known_names(),
    }
}

/// Whether a format that the driver made of what was asked for can be read.
fn check(format: Format) -> Result<Agreement, CameraProblem> {
    let bad = |why: &str| CameraProblem::BadFormat {
        format: format!("{} {}", format.fourcc, format.size),
        why: why.to_owned(),
    };
    let Some((coding, _)) = format::coding(format.fourcc) else {
        return Err(bad("another one was asked for"));
    };
    if format.size.width == 0 || format.size.height == 0 {
        return Err(bad("it has no pixels"));
    }
    if format.size.width.max(format.size.height) > SIDE_MAX {
        return Err(bad("it is wider or higher than 16384 pixels"));
    }
    if !is_whole_picture(format.field) {
        return Err(bad("buffers hold single fields, not whole pictures"));
    }
    let (frame, layouts, needed) = match coding {
        Coding::Jpeg => (FrameFormat::rgb(format.size), Default::default(), [1, 0, 0]),
        Coding::Raw(pixel_format, planes) => {
            let frame = frame_format(&format, pixel_format);
            let layouts = layouts(&format, &frame, planes)
                .ok_or_else(|| bad("its rows are shorter than the picture is wide"))?;
            let needed = bytes_needed(&frame, &layouts)
                .filter(|needed| needed.iter().all(|bytes| *bytes <= PICTURE_BYTES_MAX))
                .ok_or_else(|| bad("it is larger than 1 GiB"))?;
            (frame, layouts, needed)
        }
    };
    Ok(Agreement {
        format,
        coding,
        frame,
        layouts,
        needed,
        rate: None,
        remarks: Vec::new(),
    })
}

fn set_rate(
    node: &dyn Node,
    interval: Option<Interval>,
    remarks: &mut Vec<String>,
) -> Result<Option<f64>, CameraProblem> {
    let Some(interval) = interval else {
        return Ok(None);
    };
    match node.set_interval(interval) {
        Ok(taken) => Ok(taken.rate()),
        Err(error) => match errno(&error) {
            Some(Errno::EINVAL | Errno::ENOTTY) => {
                remarks.push("it does not let its frame rate be set".to_owned());
                Ok(None)
            }
            _ => Err(CameraProblem::of("VIDIOC_S_PARM")(error)),
        },
    }
}

fn remark(agreement: &mut Agreement, wanted: &Wanted, config: &CameraConfig) {
    let size = agreement.format.size;
    let remarks = &mut agreement.remarks;
    if config.size.is_some_and(|asked| asked != size) {
        remarks.push(format!("it delivers {size}, not {}", wanted.size));
    }
    if let Some(rate) = agreement.rate
        && wanted.is_too_slow(rate)
    {
        remarks.push(format!(
            "it delivers {rate:.1} frames per second, not {:.1}: the response time is longer",
            wanted.rate
        ));
    }
    if let Coding::Raw(pixel_format, _) = agreement.coding
        && !pixel_format.is_rgb()
        && is_approximated(agreement.format.colour)
    {
        remarks.push("its colours are read as BT.709, the nearest that is known".to_owned());
    }
    if agreement.coding == Coding::Jpeg {
        remarks.push(
            "it delivers JPEG: every picture is decoded by the CPU, and cannot be shown without a copy"
                .to_owned(),
        );
    }
}

/// What frames are like, in words: `NV12 1280x720`.
pub(super) fn words(agreement: &Agreement) -> String {
    let Format { fourcc, size, .. } = &agreement.format;
    match agreement.coding {
        Coding::Jpeg => format!("{fourcc} {size}, decoded"),
        Coding::Raw(..) => format!("{fourcc} {size}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::kernel::Colour;
    use super::*;

    #[test]
    fn a_picture_that_is_larger_than_any_is_refused_whatever_its_coding() {
        for (fourcc, width, height) in [(b"MJPG", 65_535, 65_535), (b"NV12", 16_385, 2)] {
            let format = Format {
                size: Size { width, height },
                fourcc: FourCc(*fourcc),
                field: 1,
                memories: [].into_iter().collect(),
                colour: Colour::default(),
            };
            let problem = check(format).expect_err("refused").to_string();
            assert!(problem.contains("16384"), "{problem}");
        }
    }
}
