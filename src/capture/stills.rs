//! Stills: a folder of PNG/JPEG in the natural order of their names, or a single picture.
//!
//! Every picture is one frame, in RGB, at its own size: sizes may change from one to the next. The
//! camera's orientation mark (EXIF) is applied. Files of other kinds in the folder are named in the
//! log and left out; a picture that cannot be decoded is skipped, counted and named in the log. A
//! folder in which nothing can be decoded is an error.

use std::cmp::Ordering;
use std::fs;
use std::io::{self, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use image::{DynamicImage, ImageDecoder, ImageReader};

use super::{CaptureError, Captured, Continuation, FrameSource, Losses, SourceInfo};
use crate::frame::{BufferPool, Frame, FrameFormat, FrameMeta};
use crate::geometry::Size;
use crate::units::{MonotonicTime, StreamId};

/// Frames per second at which stills are played: slow enough to look at, fast enough for a test.
pub const STILLS_PER_SECOND: u32 = 10;

const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];

/// A folder of stills, or one still.
#[derive(Debug)]
pub struct StillsSource {
    info: SourceInfo,
    stream: StreamId,
    files: Vec<PathBuf>,
    period: Duration,
    next: usize,
    delivered_in_pass: bool,
    start: Continuation,
    losses: Losses,
    pool: BufferPool,
}

impl StillsSource {
    /// Opens a folder or a single picture, to be played at `per_second` frames per second.
    ///
    /// # Errors
    ///
    /// The path cannot be read, the folder has no picture, or none of them can be decoded.
    pub fn open(path: &Path, stream: StreamId, per_second: u32) -> Result<Self, CaptureError> {
        let files = list(path)?;
        let per_second = per_second.max(1);
        let size = first_size(&files)?;
        Ok(Self {
            info: SourceInfo {
                name: path.display().to_string(),
                description: format!(
                    "{} stills, first {}x{}",
                    files.len(),
                    size.width,
                    size.height
                ),
                size,
                frame_rate: Some(f64::from(per_second)),
                frames: Some(files.len() as u64),
            },
            stream,
            files,
            period: Duration::from_secs(1) / per_second,
            next: 0,
            delivered_in_pass: false,
            start: Continuation::default(),
            losses: Losses::default(),
            pool: BufferPool::new(),
        })
    }

    /// Media time and sequence number of the `index`th still of this pass.
    fn position(&self, index: usize) -> Continuation {
        let periods = u32::try_from(index).unwrap_or(u32::MAX);
        Continuation {
            sequence: self.start.sequence + index as u64,
            media_time: self
                .start
                .media_time
                .saturating_add(self.period.saturating_mul(periods)),
        }
    }

    fn frame(&mut self, picture: &DynamicImage, at: Continuation) -> Frame {
        let format = FrameFormat::rgb(Size {
            width: picture.width(),
            height: picture.height(),
        });
        let mut buffer = self.pool.take();
        let [plane, _, _] = buffer.prepare(&format);
        match picture.as_rgb8() {
            Some(rgb) => plane.copy_from_slice(rgb.as_raw()),
            None => plane.copy_from_slice(picture.to_rgb8().as_raw()),
        }
        let meta = FrameMeta {
            stream: self.stream,
            sequence: at.sequence,
            media_time: at.media_time,
            timestamp: MonotonicTime::ZERO,
            arrived: MonotonicTime::ZERO,
        };
        Frame::new(meta, format, buffer, &mut self.pool)
    }
}

impl FrameSource for StillsSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn next_frame(&mut self) -> Result<Captured, CaptureError> {
        loop {
            let index = self.next;
            let Some(path) = self.files.get(index) else {
                return Ok(Captured::End);
            };
            self.next += 1;
            match decode(path) {
                Ok(picture) => {
                    self.delivered_in_pass = true;
                    return Ok(Captured::Frame(self.frame(&picture, self.position(index))));
                }
                Err(error) => {
                    self.losses.undecodable += 1;
                    if !self.delivered_in_pass && self.next == self.files.len() {
                        return Err(error);
                    }
                    log::warn!("{}: {error}; the still is skipped", self.stream);
                }
            }
        }
    }

    fn rewind(&mut self) -> Result<(), CaptureError> {
        self.start = self.position(self.next);
        self.next = 0;
        self.delivered_in_pass = false;
        Ok(())
    }

    fn losses(&self) -> Losses {
        self.losses
    }
}

fn list(path: &Path) -> Result<Vec<PathBuf>, CaptureError> {
    let failed = |source| CaptureError::Open {
        path: path.to_owned(),
        source,
    };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    let mut others = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if is_hidden(&file) || file.is_dir() {
            continue;
        }
        if is_picture(&file) {
            files.push(file);
        } else {
            others.push(file);
        }
    }
    if let Some(other) = others.first() {
        log::warn!(
            "{}: {} files are neither .png nor .jpg and are left out, among them {}",
            path.display(),
            others.len(),
            other.display()
        );
    }
    if files.is_empty() {
        return Err(CaptureError::NoStills {
            path: path.to_owned(),
        });
    }
    files.sort_by(|a, b| natural_order(&name(a), &name(b)));
    Ok(files)
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn is_hidden(path: &Path) -> bool {
    name(path).starts_with('.')
}

fn is_picture(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    })
}

/// Size of the first still that can be read; opening fails where there is none.
fn first_size(files: &[PathBuf]) -> Result<Size, CaptureError> {
    let mut result = Err(CaptureError::NoStills {
        path: PathBuf::new(),
    });
    for file in files {
        result = decode(file).map(|picture| Size {
            width: picture.width(),
            height: picture.height(),
        });
        if result.is_ok() {
            break;
        }
    }
    result
}

/// Opens a plain file. A pipe would wait for its writer, a device for ever.
fn open_regular(path: &Path) -> io::Result<fs::File> {
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no plain file",
        ))
    }
}

fn decode(path: &Path) -> Result<DynamicImage, CaptureError> {
    let opened = |source| CaptureError::Open {
        path: path.to_owned(),
        source,
    };
    let decoded = |source| CaptureError::Still {
        path: path.to_owned(),
        source,
    };
    let file = open_regular(path).map_err(opened)?;
    // The content decides, not the name: a JPEG named .png is common.
    let reader = ImageReader::new(BufReader::new(file))
        .with_guessed_format()
        .map_err(opened)?;
    let mut decoder = reader.into_decoder().map_err(decoded)?;
    let orientation = decoder.orientation().map_err(decoded)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(decoded)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// Order in which a person would list the names: runs of digits compare as numbers, so that
/// `frame10` comes after `frame9`. Equal but for leading zeros: the plain order decides.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut rest_a, mut rest_b) = (a, b);
    while let (Some(first_a), Some(first_b)) = (rest_a.chars().next(), rest_b.chars().next()) {
        let (length_a, length_b, order) = if first_a.is_ascii_digit() && first_b.is_ascii_digit() {
            let (digits_a, digits_b) = (leading_digits(rest_a), leading_digits(rest_b));
            let (value_a, value_b) = (
                digits_a.trim_start_matches('0'),
                digits_b.trim_start_matches('0'),
            );
            let order = value_a
                .len()
                .cmp(&value_b.len())
                .then_with(|| value_a.cmp(value_b));
            (digits_a.len(), digits_b.len(), order)
        } else {
            (
                first_a.len_utf8(),
                first_b.len_utf8(),
                first_a.cmp(&first_b),
            )
        };
        if order != Ordering::Equal {
            return order;
        }
        rest_a = rest_a.split_at(length_a).1;
        rest_b = rest_b.split_at(length_b).1;
    }
    rest_a.len().cmp(&rest_b.len()).then_with(|| a.cmp(b))
}

fn leading_digits(text: &str) -> &str {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};
    use proptest::prelude::*;

    const STREAM: StreamId = StreamId::VisualInspection;

    fn write(folder: &Path, name: &str, size: (u32, u32), color: [u8; 3]) {
        RgbImage::from_pixel(size.0, size.1, Rgb(color))
            .save(folder.join(name))
            .expect("writes");
    }

    fn all(source: &mut StillsSource) -> Vec<Frame> {
        std::iter::from_fn(|| match source.next_frame().expect("readable") {
            Captured::Frame(frame) => Some(frame),
            Captured::End | Captured::Nothing => None,
        })
        .collect()
    }

    #[test]
    fn stills_come_in_natural_order_at_their_own_size() {
        let folder = tempfile::tempdir().expect("temporary folder");
        write(folder.path(), "f10.png", (4, 3), [10, 0, 0]);
        write(folder.path(), "f9.png", (5, 7), [9, 0, 0]);
        write(folder.path(), "f1.PNG", (4, 3), [1, 2, 3]);
        fs::write(folder.path().join("notes.txt"), "left out").expect("writes");
        fs::write(folder.path().join(".hidden.png"), "left out").expect("writes");
        let mut source = StillsSource::open(folder.path(), STREAM, 10).expect("opens");
        let frames = all(&mut source);
        let reds: Vec<u8> = frames.iter().map(|frame| frame.plane(0).data[0]).collect();
        assert_eq!(reds, [1, 9, 10]);
        assert_eq!(frames[0].plane(0).data[..6], [1, 2, 3, 1, 2, 3]);
        assert_eq!(
            frames[1].size(),
            Size {
                width: 5,
                height: 7
            }
        );
        assert_eq!(frames[2].meta.media_time, Duration::from_millis(200));
        source.rewind().expect("rewinds");
        let again = all(&mut source);
        assert_eq!(again[0].meta.sequence, 3);
        assert_eq!(again[0].meta.media_time, Duration::from_millis(300));
    }

    #[test]
    fn a_single_still_is_one_frame() {
        let folder = tempfile::tempdir().expect("temporary folder");
        write(folder.path(), "only.png", (2, 2), [7, 7, 7]);
        let path = folder.path().join("only.png");
        let mut source = StillsSource::open(&path, STREAM, 10).expect("opens");
        assert_eq!(all(&mut source).len(), 1);
    }

    #[test]
    fn a_broken_still_is_skipped_and_counted() {
        let folder = tempfile::tempdir().expect("temporary folder");
        write(folder.path(), "a.png", (2, 2), [1, 1, 1]);
        fs::write(folder.path().join("b.jpg"), "no picture").expect("writes");
        write(folder.path(), "c.png", (2, 2), [3, 3, 3]);
        let mut source = StillsSource::open(folder.path(), STREAM, 10).expect("opens");
        let sequences: Vec<u64> = all(&mut source)
            .iter()
            .map(|frame| frame.meta.sequence)
            .collect();
        assert_eq!(sequences, [0, 2]);
        assert_eq!(
            source.losses(),
            Losses {
                undecodable: 1,
                ..Losses::default()
            }
        );
    }

    #[test]
    fn a_pipe_is_no_still_and_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let pipe = folder.path().join("a.png");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("makes a pipe");
        let (opened, answer) = std::sync::mpsc::channel();
        let place = pipe.clone();
        // Where it waits it waits for ever.
        std::thread::spawn(move || opened.send(StillsSource::open(&place, STREAM, 10).map(|_| ())));
        let refused = answer.recv_timeout(Duration::from_secs(20)).expect("waits");
        let error = refused.expect_err("a pipe is no picture").to_string();
        assert!(error.contains("a.png"), "{error}");
        // Among pictures it is skipped and counted.
        write(folder.path(), "b.png", (2, 2), [2, 2, 2]);
        let mut source = StillsSource::open(folder.path(), STREAM, 10).expect("opens");
        assert_eq!(all(&mut source).len(), 1);
        assert_eq!(
            source.losses(),
            Losses {
                undecodable: 1,
                ..Losses::default()
            }
        );
    }

    #[test]
    fn nothing_to_show_is_an_error_that_names_the_path() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let error = StillsSource::open(folder.path(), STREAM, 10).expect_err("empty");
        assert!(matches!(error, CaptureError::NoStills { .. }), "{error}");
        fs::write(folder.path().join("b.png"), "no picture").expect("writes");
        let error = StillsSource::open(folder.path(), STREAM, 10).expect_err("broken");
        assert!(error.to_string().contains("b.png"), "{error}");
        let error = StillsSource::open(&folder.path().join("none"), STREAM, 10).expect_err("none");
        assert!(matches!(error, CaptureError::Open { .. }), "{error}");
    }

    #[test]
    fn numbers_in_names_compare_as_numbers() {
        let mut names = vec![
            "b", "a10", "a9b", "a9", "a010", "a", "10", "9", "a9a11", "a9a2",
        ];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(
            names,
            [
                "9", "10", "a", "a9", "a9a2", "a9a11", "a9b", "a010", "a10", "b"
            ]
        );
    }

    proptest! {
        #[test]
        fn natural_order_is_a_total_order(mut names in proptest::collection::vec("[a0-9]{0,6}", 3)) {
            names.sort_by(|a, b| natural_order(a, b));
            for (i, a) in names.iter().enumerate() {
                for (j, b) in names.iter().enumerate() {
                    let order = natural_order(a, b);
                    prop_assert_eq!(order, natural_order(b, a).reverse());
                    prop_assert!(i >= j || order != Ordering::Greater);
                    prop_assert_eq!(order == Ordering::Equal, a == b);
                }
            }
        }
    }
}
