//! Synthetic sources for tests: `pattern:NAME?size=640x480&fps=30&frames=100`.
//!
//! Deterministic: frame *n* has the same bytes in every run. I420, BT.601, limited range. Without
//! `frames` a pattern never ends, as a camera.

use std::time::Duration;

use super::{CaptureError, Captured, Continuation, FrameSource, SourceInfo};
use crate::frame::{
    BufferPool, ColorMatrix, ColorRange, Frame, FrameFormat, FrameMeta, PixelFormat,
};
use crate::geometry::Size;
use crate::units::{MonotonicTime, StreamId};

const KNOWN: &str = "bars, black, moving, noise";

/// Largest side; the largest H.264 level stays below it.
const SIDE_MAX: u32 = 16_384;

/// Fastest; also keeps a frame's period above a nanosecond.
const RATE_MAX: f64 = 1000.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pattern {
    /// The eight colour bars of a test card, 75 %, from left to right.
    Bars,
    /// Black.
    Black,
    /// A white square on grey that walks from left to right, one 64th of the width per frame.
    Moving,
    /// Every byte random.
    Noise,
}

/// A synthetic source.
#[derive(Debug)]
pub struct PatternSource {
    info: SourceInfo,
    stream: StreamId,
    pattern: Pattern,
    format: FrameFormat,
    index: u64,
    start: Continuation,
    pool: BufferPool,
}

impl PatternSource {
    /// Takes what follows `pattern:` (the prefix itself is allowed).
    ///
    /// # Errors
    ///
    /// An unknown name, an unknown option, or a value out of range.
    pub fn open(spec: &str, stream: StreamId) -> Result<Self, CaptureError> {
        let spec = spec.strip_prefix("pattern:").unwrap_or(spec);
        Self::parse(spec, stream).map_err(|problem| CaptureError::Pattern {
            spec: spec.to_owned(),
            problem,
            known: KNOWN,
        })
    }

    fn parse(spec: &str, stream: StreamId) -> Result<Self, String> {
        let (name, options) = spec.split_once('?').unwrap_or((spec, ""));
        let pattern = match name {
            "bars" => Pattern::Bars,
            "black" => Pattern::Black,
            "moving" => Pattern::Moving,
            "noise" => Pattern::Noise,
            unknown => return Err(format!("there is no pattern \"{unknown}\"")),
        };
        let mut size = Size {
            width: 640,
            height: 480,
        };
        let mut rate = 30.0;
        let mut frames = None;
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            match key {
                "size" => size = parse_size(value)?,
                "fps" => rate = parse_rate(value)?,
                "frames" => {
                    frames = Some(value.parse().map_err(|_unparsed| {
                        format!("frames=\"{value}\" is not a number of frames")
                    })?);
                }
                unknown => return Err(format!("there is no option \"{unknown}\"")),
            }
        }
        Ok(Self {
            info: SourceInfo {
                name: format!("pattern:{spec}"),
                description: format!("pattern {name} {}x{}", size.width, size.height),
                size,
                frame_rate: Some(rate),
                frames,
            },
            stream,
            pattern,
            format: FrameFormat {
                size,
                pixel_format: PixelFormat::I420,
                matrix: ColorMatrix::Bt601,
                range: ColorRange::Limited,
            },
            index: 0,
            start: Continuation::default(),
            pool: BufferPool::new(),
        })
    }

    fn elapsed(&self) -> Duration {
        // Counted from the frame's number, so that rounding does not add up.
        let rate = self.info.frame_rate.unwrap_or(1.0);
        #[allow(
            clippy::cast_precision_loss,
            reason = "exact below 2^53 frames, which is longer than anything runs"
        )]
        let seconds = self.index as f64 / rate;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

fn parse_size(value: &str) -> Result<Size, String> {
    let side = |text: &str| {
        text.parse()
            .ok()
            .filter(|side| (1..=SIDE_MAX).contains(side))
    };
    value
        .split_once('x')
        .and_then(|(width, height)| {
            Some(Size {
                width: side(width)?,
                height: side(height)?,
            })
        })
        .ok_or_else(|| format!("size=\"{value}\" is not WIDTHxHEIGHT between 1 and {SIDE_MAX}"))
}

fn parse_rate(value: &str) -> Result<f64, String> {
    value
        .parse()
        .ok()
        .filter(|rate: &f64| (0.01..=RATE_MAX).contains(rate))
        .ok_or_else(|| {
            format!(
                "fps=\"{value}\" is not a number of frames per second between 0.01 and {RATE_MAX}"
            )
        })
}

impl FrameSource for PatternSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> Result<Captured, CaptureError> {
        if self.info.frames.is_some_and(|frames| self.index >= frames) {
            return Ok(Captured::End);
        }
        let mut buffer = self.pool.take();
        let planes = buffer.prepare(&self.format);
        draw(self.pattern, self.index, self.format.size, planes);
        let meta = FrameMeta {
            stream: self.stream,
            sequence: self.start.sequence + self.index,
            media_time: self.start.media_time.saturating_add(self.elapsed()),
            timestamp: MonotonicTime::ZERO,
            arrived: MonotonicTime::ZERO,
        };
        self.index += 1;
        Ok(Captured::Frame(Frame::new(
            meta,
            self.format,
            buffer,
            &mut self.pool,
        )))
    }

    fn rewind(&mut self) -> Result<(), CaptureError> {
        self.start = Continuation {
            sequence: self.start.sequence + self.index,
            media_time: self.start.media_time.saturating_add(self.elapsed()),
        };
        self.index = 0;
        Ok(())
    }
}

/// Y, U, V of the eight bars at 75 %, BT.601 limited range (ITU-R BT.1729).
const BARS: [[u8; 3]; 8] = [
    [180, 128, 128],
    [162, 44, 142],
    [131, 156, 44],
    [112, 72, 58],
    [84, 184, 198],
    [65, 100, 212],
    [35, 212, 114],
    [16, 128, 128],
];

const BLACK: [u8; 3] = [16, 128, 128];
const GREY: [u8; 3] = [126, 128, 128];
const WHITE: [u8; 3] = [235, 128, 128];

fn draw(pattern: Pattern, index: u64, size: Size, planes: [&mut [u8]; 3]) {
    let (width, height) = (size.width as usize, size.height as usize);
    for (channel, plane) in planes.into_iter().enumerate() {
        let shift = usize::from(channel > 0);
        let stride = if shift == 1 { width.div_ceil(2) } else { width };
        match pattern {
            Pattern::Black => plane.fill(BLACK[channel]),
            Pattern::Bars => {
                for row in plane.chunks_exact_mut(stride) {
                    for (x, byte) in row.iter_mut().enumerate() {
                        *byte = BARS[((x << shift) * 8 / width).min(7)][channel];
                    }
                }
            }
            Pattern::Moving => {
                plane.fill(GREY[channel]);
                let (left, top, side) = square(index, width, height);
                for row in plane
                    .chunks_exact_mut(stride)
                    .skip(top >> shift)
                    .take(side >> shift)
                {
                    for byte in row.iter_mut().skip(left >> shift).take(side >> shift) {
                        *byte = WHITE[channel];
                    }
                }
            }
            Pattern::Noise => fill_noise(plane, index, channel as u64),
        }
    }
}

/// Left, top and side of the moving square in frame `index`, in pixels.
fn square(index: u64, width: usize, height: usize) -> (usize, usize, usize) {
    let side = (width.min(height) / 4).max(1);
    let step = usize::try_from(index % 64).unwrap_or(0);
    (width * step / 64, (height - side) / 2, side)
}

/// xorshift64* (Vigna, 2016), seeded by frame and plane.
fn fill_noise(plane: &mut [u8], index: u64, channel: u64) {
    let mut state = (index * 3 + channel + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for chunk in plane.chunks_mut(8) {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let bytes = state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes();
        for (byte, random) in chunk.iter_mut().zip(bytes) {
            *byte = random;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames_of(source: &mut PatternSource) -> Vec<Frame> {
        std::iter::from_fn(
            || match source.next_frame().expect("patterns do not fail") {
                Captured::Frame(frame) => Some(frame),
                Captured::End | Captured::Nothing => None,
            },
        )
        .collect()
    }

    fn open(spec: &str) -> PatternSource {
        PatternSource::open(spec, StreamId::WorkerSafety).expect(spec)
    }

    #[test]
    fn options_are_taken() {
        let mut source = open("pattern:noise?size=33x17&fps=12.5&frames=5");
        let frames = frames_of(&mut source);
        assert_eq!(frames.len(), 5);
        assert_eq!(
            frames[4].size(),
            Size {
                width: 33,
                height: 17
            }
        );
        assert_eq!(frames[4].meta.media_time, Duration::from_millis(320));
        assert_eq!(source.info().frames, Some(5));
    }

    #[test]
    fn a_wrong_spec_names_what_is_wrong() {
        for (spec, word) in [
            ("tartan", "tartan"),
            ("bars?size=640", "640"),
            ("bars?size=0x5", "0x5"),
            ("bars?size=99999x5", "99999x5"),
            ("bars?fps=0", "fps"),
            ("bars?fps=NaN", "fps"),
            ("bars?frames=-1", "frames"),
            ("bars?colour=red", "colour"),
        ] {
            let error = PatternSource::open(spec, StreamId::WorkerSafety).expect_err(spec);
            let text = error.to_string();
            assert!(text.contains(word) && text.contains("moving"), "{text}");
        }
    }

    #[test]
    fn two_runs_are_equal_and_frames_differ() {
        for name in ["moving", "noise"] {
            let spec = format!("{name}?size=64x48&frames=3");
            let (first, second) = (frames_of(&mut open(&spec)), frames_of(&mut open(&spec)));
            for plane in 0..3 {
                for (a, b) in first.iter().zip(&second) {
                    assert_eq!(a.plane(plane).data, b.plane(plane).data, "{name}");
                }
            }
            assert_ne!(first[0].plane(0).data, first[1].plane(0).data, "{name}");
        }
    }

    #[test]
    fn bars_are_where_a_test_card_has_them() {
        let frames = frames_of(&mut open("bars?size=80x16&frames=1"));
        let (luma, u) = (frames[0].plane(0), frames[0].plane(1));
        for (bar, [y, cb, _]) in BARS.iter().enumerate() {
            assert_eq!(luma.data[bar * 10 + 5], *y);
            assert_eq!(u.data[bar * 5 + 2], *cb);
        }
    }

    #[test]
    fn a_rewound_pattern_goes_on_counting() {
        let mut source = open("black?size=4x4&fps=10&frames=3");
        assert_eq!(frames_of(&mut source).len(), 3);
        source.rewind().expect("rewinds");
        let again = frames_of(&mut source);
        assert_eq!(again[0].meta.sequence, 3);
        assert_eq!(again[2].meta.media_time, Duration::from_millis(500));
    }
}
