//! Which picture format a camera is asked for, and how what it then delivers lies in memory.
//!
//! Ranking, cheapest first ([`KNOWN`]): what an inference costs grows with the bytes it reads, and
//! a picture that is shown without a copy has to be of a kind that a GPU samples.
//!
//! | rank | format | bytes per pixel | why |
//! |---|---|---|---|
//! | 0 | NV12, NM12 | 1.5 | luma by itself; every GPU samples it |
//! | 1 | YU12, YM12, YV12 | 1.5 | luma by itself; three planes, which fewer GPUs import |
//! | 2 | YUYV, UYVY | 2 | luma between chroma; what USB cameras send uncompressed |
//! | 3 | XR24, XB24 and kin | 4 | no conversion, but twice the bytes of YUYV |
//! | 4 | RGB3, BGR3 | 3 | no GPU imports three bytes per pixel: shown with a copy |
//! | 5 | MJPG, JPEG | | decoded on the CPU for every frame, several milliseconds each |
//!
//! Rank decides only among formats that reach the wanted size and frame rate: USB cameras reach high
//! rates at large sizes with MJPG only, and a slow picture lengthens the response time.

use std::cmp::Ordering;

use super::kernel::{Colour, Format, FourCc, Interval};
use crate::config::CameraConfig;
use crate::frame::{ColorMatrix, ColorRange, FrameFormat, PixelFormat, PlaneLayout, plane_extent};
use crate::geometry::Size;

/// What is asked for where the configuration does not say: enough for a person across a hall.
pub(super) const SIZE_DEFAULT: Size = Size {
    width: 1280,
    height: 720,
};

/// Frames per second that are enough where the configuration does not say.
pub(super) const RATE_DEFAULT: f64 = 25.0;

/// A rate this close to the wanted one is it: 29.97 is 30.
const RATE_TOLERANCE: f64 = 0.98;

/// Largest picture that is taken, each way; that of the other sources.
const SIDE_MAX: u32 = 16_384;

/// What a buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Pixels, with the planes one after the other as [`Planes`] says.
    Raw(PixelFormat, Planes),
    /// A JPEG file.
    Jpeg,
}

/// How planes lie in the memories of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Planes {
    /// One after the other in the first memory.
    Together,
    /// One after the other, V before U.
    TogetherSwapped,
    /// Each in a memory of its own.
    Apart,
}

/// Formats that are understood, with their rank.
const KNOWN: [([u8; 4], Coding, u8); 17] = {
    use Planes::{Apart, Together, TogetherSwapped};
    const fn raw(format: PixelFormat, planes: Planes) -> Coding {
        Coding::Raw(format, planes)
    }
    [
        (*b"NV12", raw(PixelFormat::Nv12, Together), 0),
        (*b"NM12", raw(PixelFormat::Nv12, Apart), 0),
        (*b"YU12", raw(PixelFormat::I420, Together), 1),
        (*b"YM12", raw(PixelFormat::I420, Apart), 1),
        (*b"YV12", raw(PixelFormat::I420, TogetherSwapped), 1),
        (*b"YUYV", raw(PixelFormat::Yuyv, Together), 2),
        (*b"UYVY", raw(PixelFormat::Uyvy, Together), 2),
        // Named by their bytes in memory: V4L2's own names count from the other end.
        (*b"XR24", raw(PixelFormat::Bgrx32, Together), 3),
        (*b"AR24", raw(PixelFormat::Bgrx32, Together), 3),
        (*b"BGR4", raw(PixelFormat::Bgrx32, Together), 3),
        (*b"XB24", raw(PixelFormat::Rgbx32, Together), 3),
        (*b"AB24", raw(PixelFormat::Rgbx32, Together), 3),
        (*b"RGB3", raw(PixelFormat::Rgb24, Together), 4),
        (*b"BGR3", raw(PixelFormat::Bgr24, Together), 4),
        (*b"MJPG", Coding::Jpeg, 5),
        (*b"JPEG", Coding::Jpeg, 5),
        // Some drivers give their JPEG this name.
        (*b"PJPG", Coding::Jpeg, 5),
    ]
};

/// What a format's four characters mean, and its rank; `None` for one that is not understood.
pub(super) fn coding(fourcc: FourCc) -> Option<(Coding, u8)> {
    let found = KNOWN.iter().find(|(name, ..)| *name == fourcc.0)?;
    Some((found.1, found.2))
}

/// The names of all formats that are understood, for messages.
pub(super) fn known_names() -> String {
    let names: Vec<String> = KNOWN
        .iter()
        .map(|(name, ..)| FourCc(*name).to_string())
        .collect();
    names.join(", ")
}

/// A format, size and frame interval that a camera offers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Offer {
    pub(super) fourcc: FourCc,
    pub(super) size: Size,
    /// `None` where the camera does not say, or cannot be asked for one.
    pub(super) interval: Option<Interval>,
}

impl Offer {
    fn rate(&self) -> Option<f64> {
        self.interval.and_then(Interval::rate)
    }
}

/// What is wanted of a camera.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) size: Size,
    pub(super) rate: f64,
    /// Whether the size was written down, and not only the default.
    size_matters: bool,
    fourcc: Option<FourCc>,
}

impl Wanted {
    pub(super) fn new(config: &CameraConfig) -> Self {
        Self {
            size: config.size.unwrap_or(SIZE_DEFAULT),
            rate: config.frame_rate.map_or(RATE_DEFAULT, f64::from),
            size_matters: config.size.is_some(),
            fourcc: config.format.map(FourCc),
        }
    }

    /// The size of a range that is nearest to what is wanted.
    pub(super) fn size_within(&self, least: Size, most: Size, step: Size) -> Size {
        let side = |wanted: u32, least: u32, most: u32, step: u32| {
            let most = most.min(SIDE_MAX).max(least);
            let steps = (wanted.clamp(least, most) - least) / step.max(1);
            least + steps * step.max(1)
        };
        Size {
            width: side(self.size.width, least.width, most.width, step.width),
            height: side(self.size.height, least.height, most.height, step.height),
        }
    }

    /// The best of the offers first: those that reach what is wanted, the cheapest of them first; then
    /// those that miss it, by how much. Formats that are not understood are left out.
    pub(super) fn ranked(&self, offers: &[Offer]) -> Vec<Offer> {
        let mut ranked: Vec<(Merit, Offer)> = offers
            .iter()
            .filter(|offer| self.fourcc.is_none_or(|wanted| wanted == offer.fourcc))
            .filter(|offer| {
                let sides = 1..=SIDE_MAX;
                sides.contains(&offer.size.width) && sides.contains(&offer.size.height)
            })
            .filter_map(|offer| Some((self.merit(offer)?, *offer)))
            .collect();
        ranked.sort_by(|(one, _), (other, _)| one.compare(other, self.size_matters));
        ranked.into_iter().map(|(_, offer)| offer).collect()
    }

    fn merit(&self, offer: &Offer) -> Option<Merit> {
        let (_, rank) = coding(offer.fourcc)?;
        let rate = offer.rate();
        let missing = rate.map_or(0.0, |rate| {
            if rate >= self.rate * RATE_TOLERANCE {
                0.0
            } else {
                self.rate - rate
            }
        });
        let (size, wanted) = (offer.size, self.size);
        let covers = size.width >= wanted.width && size.height >= wanted.height;
        let area = |size: Size| u64::from(size.width) * u64::from(size.height);
        Some(Merit {
            missing_rate: missing,
            // A picture too small shows less than was asked for; one too large only costs.
            too_small: !covers,
            off_size: area(size).abs_diff(area(wanted)),
            rank,
            surplus_rate: rate.map_or(0.0, |rate| (rate - self.rate).max(0.0)),
        })
    }

    /// Whether a rate falls short of what is wanted.
    pub(super) fn is_too_slow(&self, rate: f64) -> bool {
        rate < self.rate * RATE_TOLERANCE
    }
}

/// How far an offer is from what is wanted, and what it costs.
#[derive(Clone, Copy, Debug)]
struct Merit {
    missing_rate: f64,
    too_small: bool,
    off_size: u64,
    rank: u8,
    surplus_rate: f64,
}

impl Merit {
    fn compare(&self, other: &Self, size_matters: bool) -> Ordering {
        let size = (self.too_small, self.off_size).cmp(&(other.too_small, other.off_size));
        let rate = self.missing_rate.total_cmp(&other.missing_rate);
        let (first, second) = if size_matters {
            (size, rate)
        } else {
            (rate, size)
        };
        first
            .then(second)
            .then(self.rank.cmp(&other.rank))
            .then(self.surplus_rate.total_cmp(&other.surplus_rate))
    }
}

/// Whether a field order shows whole pictures (`enum v4l2_field`): progressive, or both fields woven
/// into one buffer. Buffers of one field each would be pictures of half the height.
pub(super) const fn is_whole_picture(field: u32) -> bool {
    matches!(field, 1 | 4 | 8 | 9)
}

/// What frames of a format that the driver gave are like.
pub(super) fn frame_format(format: &Format, pixel_format: PixelFormat) -> FrameFormat {
    let (matrix, range) = colour(format.colour);
    FrameFormat {
        size: format.size,
        pixel_format,
        matrix,
        range,
    }
}

/// Where the planes of a raw format lie; `None` where rows are shorter than the picture is wide or
/// there are too few memories.
pub(super) fn layouts(
    format: &Format,
    frame: &FrameFormat,
    planes: Planes,
) -> Option<[PlaneLayout; 3]> {
    let mut layouts = [PlaneLayout::default(); 3];
    let count = frame.pixel_format.planes();
    let (luma_row, luma_rows) = plane_extent(frame, 0);
    if planes == Planes::Apart && format.memories.len() < count {
        return None;
    }
    let stride_of = |memory: usize, row: usize| -> Option<usize> {
        let told = format.memories.get(memory)?.bytesperline as usize;
        let stride = if told == 0 { row } else { told };
        (stride >= row).then_some(stride)
    };
    let mut offset = 0_usize;
    for (index, layout) in layouts.iter_mut().enumerate().take(count) {
        let (row, rows) = plane_extent(frame, index);
        *layout = match planes {
            Planes::Apart => PlaneLayout {
                memory: index,
                offset: 0,
                stride: stride_of(index, row)?,
            },
            Planes::Together | Planes::TogetherSwapped => {
                let luma = stride_of(0, luma_row)?;
                // The kernel's documents: chroma rows of planar formats have half the padding, too.
                let stride = match (frame.pixel_format, index) {
                    (PixelFormat::I420, 1 | 2) => luma.div_ceil(2),
                    _ => luma,
                };
                let place = PlaneLayout {
                    memory: 0,
                    offset,
                    stride,
                };
                let rows = if index == 0 { luma_rows } else { rows };
                offset = offset.checked_add(stride.checked_mul(rows)?)?;
                if stride < row {
                    return None;
                }
                place
            }
        };
    }
    if planes == Planes::TogetherSwapped {
        layouts.swap(1, 2);
    }
    Some(layouts)
}

/// Bytes that each memory must hold for a whole picture; `None` where they cannot be counted.
pub(super) fn bytes_needed(frame: &FrameFormat, layouts: &[PlaneLayout; 3]) -> Option<[usize; 3]> {
    let mut needed = [0; 3];
    for (index, layout) in layouts.iter().enumerate().take(frame.pixel_format.planes()) {
        let (row, rows) = plane_extent(frame, index);
        let above = layout.stride.checked_mul(rows.saturating_sub(1))?;
        let end = layout.offset.checked_add(above)?.checked_add(row)?;
        if let Some(needed) = needed.get_mut(layout.memory) {
            *needed = end.max(*needed);
        }
    }
    Some(needed)
}

/// Matrix and range of what the driver tells, with the kernel's own defaults (`V4L2_MAP_YCBCR_ENC_DEFAULT`,
/// `V4L2_MAP_QUANTIZATION_DEFAULT`). Rec. 2020 and SMPTE 240M become BT.709, the nearest that we have.
pub(super) fn colour(colour: Colour) -> (ColorMatrix, ColorRange) {
    // enum v4l2_ycbcr_encoding
    let matrix = match colour.ycbcr_enc {
        2 | 4 | 6 | 7 | 8 => ColorMatrix::Bt709,
        1 | 3 | 5 => ColorMatrix::Bt601,
        // Default: by enum v4l2_colorspace: SMPTE 240M, Rec. 709, Rec. 2020 and DCI-P3.
        _ => match colour.colorspace {
            2 | 3 | 10 | 12 => ColorMatrix::Bt709,
            _ => ColorMatrix::Bt601,
        },
    };
    // enum v4l2_quantization; the default is full for JPEG only.
    let range = match (colour.quantization, colour.colorspace) {
        (1, _) | (0, 7) => ColorRange::Full,
        _ => ColorRange::Limited,
    };
    (matrix, range)
}

/// Whether a colour encoding is one that we only come close to.
pub(super) const fn is_approximated(colour: Colour) -> bool {
    matches!(colour.ycbcr_enc, 6..=8)
        || (colour.ycbcr_enc == 0 && matches!(colour.colorspace, 2 | 10))
}

#[cfg(test)]
mod tests {
    use super::super::kernel::MemoryFormat;
    use super::*;
    use crate::config::CAMERA_FORMATS;

    fn format(fourcc: &[u8; 4], strides: &[u32]) -> Format {
        Format {
            size: Size {
                width: 30,
                height: 11,
            },
            fourcc: FourCc(*fourcc),
            field: 1,
            memories: strides
                .iter()
                .map(|stride| MemoryFormat {
                    bytesperline: *stride,
                    sizeimage: 0,
                })
                .collect(),
            colour: Colour::default(),
        }
    }

    fn laid_out(fourcc: &[u8; 4], strides: &[u32]) -> Option<Vec<(usize, usize, usize)>> {
        let format = format(fourcc, strides);
        let Some((Coding::Raw(pixel_format, planes), _)) = coding(format.fourcc) else {
            unreachable!("raw formats only");
        };
        let frame = frame_format(&format, pixel_format);
        let layouts = layouts(&format, &frame, planes)?;
        let planes = layouts.iter().take(pixel_format.planes());
        Some(
            planes
                .map(|layout| (layout.memory, layout.offset, layout.stride))
                .collect(),
        )
    }

    #[test]
    fn planes_lie_where_the_kernels_documents_say() {
        let whole = 32 * 11;
        for (fourcc, strides, expected) in [
            (b"NV12", &[32][..], vec![(0, 0, 32), (0, whole, 32)]),
            (b"NV12", &[0], vec![(0, 0, 30), (0, 30 * 11, 30)]),
            (
                b"YU12",
                &[32],
                vec![(0, 0, 32), (0, whole, 16), (0, whole + 16 * 6, 16)],
            ),
            (
                b"YV12",
                &[32],
                vec![(0, 0, 32), (0, whole + 16 * 6, 16), (0, whole, 16)],
            ),
            (b"NM12", &[32, 40], vec![(0, 0, 32), (1, 0, 40)]),
            (
                b"YM12",
                &[32, 16, 24],
                vec![(0, 0, 32), (1, 0, 16), (2, 0, 24)],
            ),
            (b"YUYV", &[64], vec![(0, 0, 64)]),
            (b"BGR3", &[96], vec![(0, 0, 96)]),
            (b"XR24", &[0], vec![(0, 0, 120)]),
        ] {
            let name = FourCc(*fourcc);
            assert_eq!(laid_out(fourcc, strides), Some(expected), "{name}");
        }
    }

    #[test]
    fn rows_shorter_than_the_picture_and_missing_memories_are_refused() {
        for (fourcc, strides) in [
            (b"NV12", &[29][..]),
            (b"YUYV", &[58]),
            (b"RGB3", &[89]),
            (b"NM12", &[32]),
            (b"NM12", &[32, 28]),
            (b"YM12", &[32, 16]),
        ] {
            assert_eq!(laid_out(fourcc, strides), None, "{}", FourCc(*fourcc));
        }
    }

    #[test]
    fn a_picture_needs_its_bytes_up_to_the_last_pixel() {
        let format = format(b"NV12", &[32]);
        let frame = frame_format(&format, PixelFormat::Nv12);
        let layouts = layouts(&format, &frame, Planes::Together).expect("laid out");
        assert_eq!(
            bytes_needed(&frame, &layouts).expect("small"),
            [32 * 11 + 32 * 5 + 30, 0, 0]
        );
    }

    #[test]
    fn what_can_be_configured_is_what_is_understood() {
        let known: Vec<[u8; 4]> = KNOWN.iter().map(|(name, ..)| *name).collect();
        assert_eq!(known, CAMERA_FORMATS);
        // And in the order in which it is preferred.
        assert!(KNOWN.is_sorted_by_key(|(.., rank)| *rank));
    }

    #[test]
    fn sizes_of_a_range_are_on_its_steps() {
        let wanted = Wanted::new(&CameraConfig::default());
        let size = |width, height| Size { width, height };
        for (least, most, step, expected) in [
            (size(48, 32), size(1920, 1200), size(2, 2), size(1280, 720)),
            (size(50, 30), size(640, 480), size(16, 16), size(626, 478)),
            (
                size(2000, 1500),
                size(4000, 3000),
                size(1, 1),
                size(2000, 1500),
            ),
            (size(64, 64), size(64, 64), size(0, 0), size(64, 64)),
        ] {
            assert_eq!(wanted.size_within(least, most, step), expected);
        }
    }
}
