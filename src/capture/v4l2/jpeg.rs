//! Pictures of cameras that send JPEG, decoded to RGB.
//!
//! A picture that is cut off or damaged is an error here, never half a picture: what is missing from
//! it would be taken for an empty floor. Steady state allocates within the decoder, and every picture
//! is written once by the CPU: the price of the format.

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use crate::frame::{BufferPool, Frame, FrameFormat, FrameMeta};
use crate::geometry::Size;

/// Begin of a file, end of a file, Huffman tables, begin of the picture (ITU-T T.81, table B.1).
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const DHT: u8 = 0xc4;
const SOS: u8 = 0xda;

/// What tells the decoder to use the standard's own Huffman tables, as films in AVI files do.
const AVI1: [u8; 9] = [0xff, 0xe0, 0x00, 0x07, b'A', b'V', b'I', b'1', 0];

/// Decodes; its memory is used again.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    pool: BufferPool,
    /// A file with what was missing from it.
    completed: Vec<u8>,
}

impl Decoder {
    /// Decodes a file, whose picture has to be of `size`.
    pub(super) fn decode(
        &mut self,
        bytes: &[u8],
        size: Size,
        meta: FrameMeta,
    ) -> Result<Frame, String> {
        let file = whole_file(bytes)?;
        let file = if has_tables(file) {
            file
        } else {
            let (start, rest) = file.split_at(2);
            self.completed.clear();
            for part in [start, &AVI1, rest] {
                self.completed.extend_from_slice(part);
            }
            &self.completed
        };
        let options = DecoderOptions::default()
            .set_strict_mode(true)
            .set_max_width(size.width as usize)
            .set_max_height(size.height as usize)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options);
        let said = |error: zune_jpeg::errors::DecodeErrors| error.to_string();
        decoder.decode_headers().map_err(said)?;
        let (width, height) = decoder
            .info()
            .map(|info| (u32::from(info.width), u32::from(info.height)))
            .ok_or_else(|| "it has no header".to_owned())?;
        if (width, height) != (size.width, size.height) {
            return Err(format!("it is {width}x{height}, not {size}"));
        }
        let format = FrameFormat::rgb(size);
        let mut buffer = self.pool.take();
        let [pixels, ..] = buffer.prepare(&format);
        decoder.decode_into(pixels).map_err(said)?;
        Ok(Frame::new(meta, format, buffer, &mut self.pool))
    }
}

/// The bytes from the begin of the file to its last end marker; drivers add padding, and a transfer
/// that broke off has no end.
fn whole_file(bytes: &[u8]) -> Result<&[u8], String> {
    if !bytes.starts_with(&[0xff, SOI]) {
        return Err("it does not begin as a JPEG file".to_owned());
    }
    let end = bytes.windows(2).rposition(|pair| pair == [0xff, EOI]);
    end.and_then(|at| bytes.get(..at + 2))
        .ok_or_else(|| "it breaks off".to_owned())
}

/// Whether a file has Huffman tables of its own before its picture.
fn has_tables(file: &[u8]) -> bool {
    let mut rest = file.get(2..).unwrap_or_default();
    while let [0xff, marker, tail @ ..] = rest {
        match (*marker, tail) {
            (DHT, _) => return true,
            (SOS, _) => return false,
            // Fill bytes before a marker.
            (0xff, _) => rest = rest.get(1..).unwrap_or_default(),
            (_, [high, low, ..]) => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                rest = tail.get(length..).unwrap_or_default();
            }
            _ => return true,
        }
    }
    // Damaged: let the decoder say how.
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::units::{MonotonicTime, StreamId};

    const SIZE: Size = Size {
        width: 48,
        height: 32,
    };

    fn meta() -> FrameMeta {
        FrameMeta {
            stream: StreamId::WorkerSafety,
            sequence: 0,
            media_time: Duration::ZERO,
            timestamp: MonotonicTime::ZERO,
            arrived: MonotonicTime::ZERO,
        }
    }

    /// Red on the left, blue on the right.
    fn file() -> Vec<u8> {
        let picture = image::RgbImage::from_fn(SIZE.width, SIZE.height, |x, _| {
            image::Rgb(if x < SIZE.width / 2 {
                [220, 20, 20]
            } else {
                [20, 20, 220]
            })
        });
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture
            .write_to(&mut bytes, image::ImageFormat::Jpeg)
            .expect("encoded");
        bytes.into_inner()
    }

    /// The file without its Huffman tables, which are those of the standard's annex K.
    fn without_tables(file: &[u8]) -> Vec<u8> {
        let mut bytes = file[..2].to_vec();
        let mut rest = &file[2..];
        while let [0xff, marker, high, low, ..] = *rest {
            let length = 2 + usize::from(u16::from_be_bytes([high, low]));
            if marker == SOS {
                break;
            }
            if marker != DHT {
                bytes.extend_from_slice(&rest[..length]);
            }
            rest = &rest[length..];
        }
        bytes.extend_from_slice(rest);
        bytes
    }

    fn assert_red_and_blue(frame: &Frame) {
        let plane = frame.plane(0);
        let at = |x: usize| &plane.data[plane.stride * 16 + 3 * x..][..3];
        for (x, wanted) in [(6, [220, 20, 20]), (42, [20, 20, 220])] {
            for (is, wanted) in at(x).iter().zip(wanted) {
                assert!(is.abs_diff(wanted) < 12, "{x}: {:?}", at(x));
            }
        }
    }

    #[test]
    fn a_whole_file_becomes_a_picture_padding_or_not() {
        let mut decoder = Decoder::default();
        let mut file = file();
        let first = decoder.decode(&file, SIZE, meta()).expect("decoded");
        assert_red_and_blue(&first);
        file.extend([0; 100]);
        assert_red_and_blue(&decoder.decode(&file, SIZE, meta()).expect("decoded"));
    }

    #[test]
    fn missing_tables_are_those_of_the_standard() {
        let bare = without_tables(&file());
        assert!(!has_tables(&bare) && has_tables(&file()));
        let frame = Decoder::default().decode(&bare, SIZE, meta());
        assert_red_and_blue(&frame.expect("decoded"));
    }

    #[test]
    fn no_part_of_a_file_is_half_a_picture() {
        let file = file();
        let mut decoder = Decoder::default();
        for length in 0..file.len() {
            let part = decoder.decode(&file[..length], SIZE, meta());
            assert!(part.is_err(), "{length} of {} bytes", file.len());
        }
    }

    #[test]
    fn another_size_is_refused() {
        let other = Size {
            width: 64,
            height: 64,
        };
        let error = Decoder::default().decode(&file(), other, meta());
        assert!(error.expect_err("refused").contains("48x32"));
    }

    #[test]
    fn damage_never_breaks_the_decoder() {
        let file = file();
        let mut decoder = Decoder::default();
        for at in 2..file.len() - 2 {
            let mut damaged = file.clone();
            damaged[at] ^= 0x55;
            // Damage to the picture itself may go unnoticed: JPEG has no checksum.
            let _ = decoder.decode(&damaged, SIZE, meta());
        }
    }
}
