//! What is asked of EGL to see a frame where the camera put it: pure lists of attributes.
//!
//! A frame is imported in one of two ways. *By planes*: each plane becomes a texture of one, two or
//! four channels, laid out as the upload would lay it out, and our own shader converts the colours:
//! the picture is the same as from an upload. *Whole*: the driver makes one texture of all planes and
//! converts them itself, by hardware where it has some; colours are then the driver's, near ours.

use std::os::fd::AsRawFd as _;

use khronos_egl as egl;

use crate::frame::{ColorMatrix, ColorRange, DmaBufPlane, Frame, FrameFormat, PixelFormat};
use crate::geometry::Size;

/// `EGL_LINUX_DMA_BUF_EXT`, `EGL_EXT_image_dma_buf_import`.
pub(super) const LINUX_DMA_BUF: egl::Enum = 0x3270;

const WIDTH: egl::Attrib = 0x3057;
const HEIGHT: egl::Attrib = 0x3056;
const FOURCC: egl::Attrib = 0x3271;
/// Descriptor, offset and pitch of each plane.
const PLANES: [[egl::Attrib; 3]; 3] = [
    [0x3272, 0x3273, 0x3274],
    [0x3275, 0x3276, 0x3277],
    [0x3278, 0x3279, 0x327A],
];
/// Low and high half of each plane's modifier, `EGL_EXT_image_dma_buf_import_modifiers`.
const MODIFIERS: [[egl::Attrib; 2]; 3] = [[0x3443, 0x3444], [0x3445, 0x3446], [0x3447, 0x3448]];
const COLOR_SPACE_HINT: egl::Attrib = 0x327B;
const SAMPLE_RANGE_HINT: egl::Attrib = 0x327C;
const ITU_REC601: egl::Attrib = 0x327F;
const ITU_REC709: egl::Attrib = 0x3280;
const YUV_FULL_RANGE: egl::Attrib = 0x3282;
const YUV_NARROW_RANGE: egl::Attrib = 0x3283;

/// `DRM_FORMAT_MOD_LINEAR`: rows one after the other. Cameras deliver nothing else through the
/// interface that frames come from; whoever adds tiled ones has to hand their modifier on.
pub(super) const MODIFIER_LINEAR: u64 = 0;

/// Most bytes that a plane may begin at or rows may lie apart: what an `EGLint` holds.
const EXTENT_MAX: usize = i32::MAX as usize;

/// A pixel format as the kernel's display side names it (`drm_fourcc.h`).
pub(super) type Fourcc = u32;

/// Names a fourcc.
pub(super) fn fourcc_name(fourcc: Fourcc) -> String {
    fourcc.to_le_bytes().map(char::from).iter().collect()
}

const fn fourcc(name: [u8; 4]) -> Fourcc {
    u32::from_le_bytes(name)
}

/// One byte, red.
pub(super) const R8: Fourcc = fourcc(*b"R8  ");
/// Two bytes, red and green.
pub(super) const GR88: Fourcc = fourcc(*b"GR88");
/// Four bytes, red, green, blue, alpha.
const ABGR8888: Fourcc = fourcc(*b"AB24");
/// Three bytes, red, green, blue.
const RGB24: Fourcc = fourcc(*b"BG24");
/// Three bytes, blue, green, red.
const BGR24: Fourcc = fourcc(*b"RG24");
/// Four bytes, red, green, blue and nothing.
const RGBX: Fourcc = fourcc(*b"XB24");
/// Four bytes, blue, green, red and nothing.
const BGRX: Fourcc = fourcc(*b"XR24");
/// Two pixels in four bytes, Y first.
const YUYV: Fourcc = fourcc(*b"YUYV");
/// Two pixels in four bytes, U first.
const UYVY: Fourcc = fourcc(*b"UYVY");
/// All of Y, then pairs UV.
const NV12: Fourcc = fourcc(*b"NV12");
/// All of Y, of U, of V.
const YU12: Fourcc = fourcc(*b"YU12");

/// A texture that a plane, or a frame, becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// First plane of the pixel format.
    pub(super) plane: usize,
    /// How many from there belong to it.
    pub(super) planes: usize,
    pub(super) fourcc: Fourcc,
    /// In texels.
    pub(super) size: Size,
}

/// The textures of a frame that is imported by planes, in the order that the shader has them.
pub(super) fn by_planes(format: &FrameFormat) -> [Option<Part>; 3] {
    let whole = format.size;
    let half = Size {
        width: whole.width.div_ceil(2),
        height: whole.height.div_ceil(2),
    };
    let part = |plane, fourcc, size| {
        Some(Part {
            plane,
            planes: 1,
            fourcc,
            size,
        })
    };
    let pairs = Size {
        width: half.width,
        ..whole
    };
    // As the upload has them: the second of the last pair too, where the width is odd.
    let singles = Size {
        width: half.width * 2,
        ..whole
    };
    match format.pixel_format {
        PixelFormat::I420 => [part(0, R8, whole), part(1, R8, half), part(2, R8, half)],
        PixelFormat::Nv12 => [part(0, R8, whole), part(1, GR88, half), None],
        // The same bytes twice: by pixel for luma, by pairs of pixels for chroma.
        PixelFormat::Yuyv | PixelFormat::Uyvy => {
            [part(0, GR88, singles), part(0, ABGR8888, pairs), None]
        }
        PixelFormat::Rgb24 | PixelFormat::Bgr24 | PixelFormat::Rgbx32 | PixelFormat::Bgrx32 => [
            part(0, whole_fourcc(format.pixel_format), whole),
            None,
            None,
        ],
    }
}

/// The one texture of a frame that is imported whole.
pub(super) fn whole(format: &FrameFormat) -> Part {
    Part {
        plane: 0,
        planes: format.pixel_format.planes(),
        fourcc: whole_fourcc(format.pixel_format),
        size: format.size,
    }
}

const fn whole_fourcc(format: PixelFormat) -> Fourcc {
    match format {
        PixelFormat::I420 => YU12,
        PixelFormat::Nv12 => NV12,
        PixelFormat::Yuyv => YUYV,
        PixelFormat::Uyvy => UYVY,
        PixelFormat::Rgb24 => RGB24,
        PixelFormat::Bgr24 => BGR24,
        PixelFormat::Rgbx32 => RGBX,
        PixelFormat::Bgrx32 => BGRX,
    }
}

/// Whether an image is told its modifier; drivers without the extension take none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Modifiers {
    Said,
    Unsaid,
}

/// The attributes of an image of `part` of `frame`, ended by `EGL_NONE`; `None` where the frame is in
/// no dmabuf or too large for EGL.
pub(super) fn attributes(
    frame: &Frame,
    part: Part,
    modifiers: Modifiers,
) -> Option<Vec<egl::Attrib>> {
    let mut list = vec![
        (WIDTH, extent(part.size.width as usize)?),
        (HEIGHT, extent(part.size.height as usize)?),
        (FOURCC, part.fourcc as egl::Attrib),
    ];
    let planes = part.plane..part.plane + part.planes;
    for (plane, (keys, modifier_keys)) in planes.zip(PLANES.iter().zip(&MODIFIERS)) {
        let DmaBufPlane { fd, layout } = frame.dmabuf(plane)?;
        let [fd_key, offset_key, pitch_key] = *keys;
        let fd = usize::try_from(fd.as_raw_fd()).ok()?;
        list.push((fd_key, fd));
        list.push((offset_key, extent(layout.offset)?));
        list.push((pitch_key, extent(layout.stride)?));
        if modifiers == Modifiers::Said {
            let [low, high] = *modifier_keys;
            list.push((low, (MODIFIER_LINEAR & 0xFFFF_FFFF) as egl::Attrib));
            list.push((high, (MODIFIER_LINEAR >> 32) as egl::Attrib));
        }
    }
    let format = frame.format();
    // Of a part that the driver is to convert.
    if matches!(part.fourcc, YU12 | NV12 | YUYV | UYVY) {
        let matrix = match format.matrix {
            ColorMatrix::Bt601 => ITU_REC601,
            ColorMatrix::Bt709 => ITU_REC709,
        };
        let range = match format.range {
            ColorRange::Limited => YUV_NARROW_RANGE,
            ColorRange::Full => YUV_FULL_RANGE,
        };
        list.push((COLOR_SPACE_HINT, matrix));
        list.push((SAMPLE_RANGE_HINT, range));
    }
    let mut flat: Vec<egl::Attrib> = list.into_iter().flat_map(|(k, v)| [k, v]).collect();
    flat.push(egl::ATTRIB_NONE);
    Some(flat)
}

/// Not larger than an `EGLint`, in which drivers keep it.
fn extent(value: usize) -> Option<egl::Attrib> {
    (value <= EXTENT_MAX).then_some(value)
}

#[cfg(test)]
#[path = "dmabuf_tests.rs"]
mod tests;
