//! The H.264 decoder of the `openh264` crate, with the one thing its safe interface hides: which
//! access unit a picture comes from.
//!
//! Pictures leave the decoder late and in its own idea of presentation order; the tag given to
//! [`Decoder::decode`] comes back with the picture, so that the container's timestamps decide. One
//! access unit can make more than one picture ready, and both are handed on. Error concealment is
//! off: a picture with guessed parts could hide a person. Single-threaded, as the decoder's threads
//! are experimental.

#![allow(
    unsafe_code,
    reason = "the crate's safe interface gives no access to the decoder's timestamps"
)]

use openh264::OpenH264API;
use openh264::decoder::{DecoderConfig, DecoderRawAPI, Flush};
use openh264_sys2::{DECODER_OPTION_NUM_OF_FRAMES_REMAINING_IN_BUFFER, SBufferInfo};

/// Most pictures the decoder holds back: the slots of its reorder list (`m_sPictInfoList`).
pub(super) const HELD_MAX: usize = 16;

/// What the decoder says when it cannot decode: bits of `DECODING_STATE`
/// (`codec/api/wels/codec_app_def.h`), or a code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DecoderCode(pub(super) i64);

/// A decoded picture, lent until the next call. Cropping has been applied.
pub(super) struct Picture<'a> {
    /// The tag of its access unit.
    pub(super) tag: u64,
    /// Width in pixels.
    pub(super) width: u32,
    /// Height in pixels.
    pub(super) height: u32,
    /// Y, U, V: bytes from the first pixel to the last, and the stride.
    pub(super) planes: [(&'a [u8], usize); 3],
}

/// An H.264 decoder.
pub(super) struct Decoder(openh264::decoder::Decoder);

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

impl Decoder {
    /// A fresh decoder, which waits for parameter sets and an IDR picture.
    pub(super) fn new() -> Result<Self, DecoderCode> {
        let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        openh264::decoder::Decoder::with_api_config(OpenH264API::from_source(), config)
            .map(Self)
            .map_err(|error| DecoderCode(error.native_code()))
    }

    /// Decodes one access unit (Annex B) and hands every picture that got ready to `deliver`. An
    /// error concerns this access unit; pictures may have been delivered nevertheless.
    pub(super) fn decode(
        &mut self,
        access_unit: &[u8],
        tag: u64,
        deliver: &mut dyn FnMut(&Picture<'_>),
    ) -> Result<(), DecoderCode> {
        let length = i32::try_from(access_unit.len()).unwrap_or(i32::MAX);
        // SAFETY: nothing but decoding and flushing is done with the raw interface, which leaves
        // everything the crate relies on as it set it.
        let raw = unsafe { self.0.raw_api() };
        // The second call, without data, says that the access unit is complete; each call clears
        // what the other has put out.
        let first = step(raw, deliver, tag, |raw, planes, info| {
            // SAFETY: the source is `length` readable bytes; `planes` and `info` are writable and
            // outlive the call, after which the decoder keeps neither (it copies the bitstream).
            unsafe { raw.decode_frame2(access_unit.as_ptr(), length, planes, info) }
        });
        let second = step(raw, deliver, tag, |raw, planes, info| {
            // SAFETY: no source (null, 0 bytes) is how the interface marks the end of an access
            // unit; the rest as above.
            unsafe { raw.decode_frame2(std::ptr::null(), 0, planes, info) }
        });
        match first | second {
            0 => Ok(()),
            code => Err(DecoderCode(code)),
        }
    }

    /// Hands the pictures the decoder still holds to `deliver`.
    pub(super) fn flush(&mut self, deliver: &mut dyn FnMut(&Picture<'_>)) {
        // SAFETY: as in `decode`.
        let raw = unsafe { self.0.raw_api() };
        for _ in 0..HELD_MAX {
            let mut held = 0_i32;
            // SAFETY: this option is read into an `int` (`codec_app_def.h`), which `held` is.
            let state = unsafe {
                raw.get_option(
                    DECODER_OPTION_NUM_OF_FRAMES_REMAINING_IN_BUFFER,
                    (&raw mut held).cast(),
                )
            };
            if state != 0 || held <= 0 {
                return;
            }
            step(raw, deliver, 0, |raw, planes, info| {
                // SAFETY: `planes` and `info` are writable and outlive the call.
                unsafe { raw.flush_frame(planes, info) }
            });
        }
    }
}

/// One call into the decoder: lends it the output arguments and delivers the picture it gives back.
fn step(
    raw: &DecoderRawAPI,
    deliver: &mut dyn FnMut(&Picture<'_>),
    tag: u64,
    call: impl FnOnce(&DecoderRawAPI, *mut *mut u8, *mut SBufferInfo) -> i32,
) -> i64 {
    let mut planes = [std::ptr::null_mut::<u8>(); 3];
    let mut info = SBufferInfo {
        uiInBsTimeStamp: tag,
        ..SBufferInfo::default()
    };
    let state = call(raw, planes.as_mut_ptr(), &raw mut info);
    if info.iBufferStatus == 1
        && let Some(picture) = picture(planes, &info)
    {
        deliver(&picture);
    }
    i64::from(state)
}

fn picture<'a>(planes: [*mut u8; 3], info: &SBufferInfo) -> Option<Picture<'a>> {
    // SAFETY: the union has this one member, of plain integers.
    let layout = unsafe { info.UsrData.sSystemBuffer };
    let width = usize::try_from(layout.iWidth).ok()?;
    let height = usize::try_from(layout.iHeight).ok()?;
    let luma_stride = usize::try_from(layout.iStride[0]).ok()?;
    let chroma_stride = usize::try_from(layout.iStride[1]).ok()?;
    let (chroma_width, chroma_height) = (width.div_ceil(2), height.div_ceil(2));
    if planes.iter().any(|plane| plane.is_null())
        || width == 0
        || height == 0
        || luma_stride < width
        || chroma_stride < chroma_width
    {
        return None;
    }
    let extents = [
        (width, height, luma_stride),
        (chroma_width, chroma_height, chroma_stride),
        (chroma_width, chroma_height, chroma_stride),
    ];
    let mut lent: [(&[u8], usize); 3] = [(&[], 0); 3];
    for ((plane, (width, height, stride)), slot) in planes.into_iter().zip(extents).zip(&mut lent) {
        let length = stride * (height - 1) + width;
        // SAFETY: the decoder says that a picture is ready (`iBufferStatus`), so each plane points
        // at the first of `height` rows, `stride` bytes apart, of a picture it keeps allocated and
        // untouched until the next call; `step` lends the slices only until then.
        *slot = (unsafe { std::slice::from_raw_parts(plane, length) }, stride);
    }
    Some(Picture {
        tag: info.uiOutYuvTimeStamp,
        width: u32::try_from(layout.iWidth).ok()?,
        height: u32::try_from(layout.iHeight).ok()?,
        planes: lent,
    })
}
