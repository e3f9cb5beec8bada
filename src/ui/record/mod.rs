//! The picture as a film: H.264 in an mp4 file.
//!
//! The file is playable at every moment: it grows by fragments, each written whole, about one a
//! second. [`Recorder::finish`] then turns it into an ordinary mp4 in place. When the disk is full, the
//! fragment that does not fit is taken back and the film ends before it; a crash costs the fragment in
//! memory, a power cut what the system had not written yet. The recorder never touches the pipeline: its errors end the recording and
//! nothing else.

mod encoder;
mod mux;

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::geometry::Size;
use encoder::Encoder;
use mux::{Film, MOOV_ROOM};

/// What can be done with a film of so many frames.
const fn rest(frames: u64) -> &'static str {
    match frames {
        0 => "; there is nothing to play",
        _ => "; what was recorded until then is playable",
    }
}

/// Why a recording cannot begin or has ended.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be created.
    #[error("cannot create the recording {}: {source}; check that the directory exists and is writable", path.display())]
    Create {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// H.264 stores colour for every second pixel and row, and the encoder has an upper limit.
    #[error("cannot record a {}x{} picture: width and height must be even, at least 16, and at most 3840x2160", size.width, size.height)]
    Size {
        /// The picture's.
        size: Size,
    },
    /// A frame rate that is no number above zero.
    #[error("cannot record at {0} frames per second")]
    FrameRate(f64),
    /// Writing failed, because the disk is full for example. What was written before is playable.
    #[error("recording {} ended after {frames} frames: {source}{}", path.display(), rest(*frames))]
    Write {
        /// Which file.
        path: PathBuf,
        /// Frames in the file.
        frames: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The encoder failed. What was written before is playable.
    #[error("recording {} ended after {frames} frames: {reason}{}", path.display(), rest(*frames))]
    Encode {
        /// Which file.
        path: PathBuf,
        /// Frames in the file.
        frames: u64,
        /// What the encoder said.
        reason: String,
    },
    /// The recording has ended before; that was reported then.
    #[error("recording {} has already ended", path.display())]
    Ended {
        /// Which file.
        path: PathBuf,
    },
}

/// What a recording is written to: a file, or a test's memory.
pub trait Sink: Write + Seek + Send {
    /// Cuts everything after `length` bytes off.
    ///
    /// # Errors
    ///
    /// As the system says.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Makes sure that what was written survives a power cut.
    ///
    /// # Errors
    ///
    /// As the system says.
    fn sync(&mut self) -> io::Result<()>;
}

impl Sink for File {
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// What a finished recording holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Pictures.
    pub frames: u64,
    /// From the first picture to the end of the last.
    pub duration: Duration,
    /// Size of the file.
    pub bytes: u64,
}

/// Records pictures into one file. Passive; one thread calls it.
pub struct Recorder {
    path: PathBuf,
    size: Size,
    encoder: Encoder,
    /// `None` once the recording has ended.
    film: Option<Film>,
    /// Media time of the first picture and of the newest.
    times: Option<(Duration, Duration)>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("path", &self.path)
            .field("size", &self.size)
            .field("times", &self.times)
            .finish_non_exhaustive()
    }
}

impl Recorder {
    /// Creates (or empties) the file. Pictures are `size` pixels; `fps` is how often they are
    /// expected, which sets the key frame distance and how long the last picture lasts.
    ///
    /// # Errors
    ///
    /// The file cannot be created; size or rate cannot be recorded.
    pub fn create(path: &Path, size: Size, fps: f64) -> Result<Self, RecordError> {
        check(size, fps)?;
        let failed = |source| RecordError::Create {
            path: path.to_owned(),
            source,
        };
        let file = File::create(path).map_err(failed)?;
        Self::on(Box::new(file), path, size, fps)
    }

    /// Records into `sink`; `path` only names it in messages.
    ///
    /// # Errors
    ///
    /// As [`Recorder::create`].
    pub fn on(sink: Box<dyn Sink>, path: &Path, size: Size, fps: f64) -> Result<Self, RecordError> {
        check(size, fps)?;
        let encoder = Encoder::new(size, fps).map_err(|reason| RecordError::Encode {
            path: path.to_owned(),
            frames: 0,
            reason,
        })?;
        Ok(Self {
            path: path.to_owned(),
            size,
            encoder,
            film: Some(Film::new(
                sink,
                Duration::from_secs_f64(1.0 / fps),
                MOOV_ROOM,
            )),
            times: None,
        })
    }

    /// Adds a picture, `[height, width, 4]` RGBA, top row first, shown from `media_time` until the
    /// next one. A picture that is not later than the one before is left out. Encodes, and about
    /// once a second writes.
    ///
    /// # Errors
    ///
    /// Said once; the file is closed by then and playable up to the last complete second.
    /// [`RecordError::Ended`] afterwards.
    pub fn push(&mut self, rgba: &[u8], media_time: Duration) -> Result<(), RecordError> {
        let Some(film) = &mut self.film else {
            return Err(RecordError::Ended {
                path: self.path.clone(),
            });
        };
        let (first, newest) = match self.times {
            Some((_, newest)) if media_time <= newest => return Ok(()),
            Some((first, _)) => (first, media_time),
            None => (media_time, media_time),
        };
        let encoded = self.encoder.encode(self.size, rgba);
        let added = match encoded {
            Ok(Some(picture)) => film.add(&picture, newest - first),
            Ok(None) => Ok(()),
            Err(reason) => {
                let frames = film.frames();
                self.end();
                return Err(RecordError::Encode {
                    path: self.path.clone(),
                    frames,
                    reason,
                });
            }
        };
        self.times = Some((first, newest));
        let Err(source) = added else {
            return Ok(());
        };
        let frames = film.frames();
        self.end();
        Err(RecordError::Write {
            path: self.path.clone(),
            frames,
            source,
        })
    }

    /// Writes what is left and completes the file.
    ///
    /// # Errors
    ///
    /// What was written before stays playable.
    pub fn finish(mut self) -> Result<Recording, RecordError> {
        let Some(mut film) = self.film.take() else {
            return Err(RecordError::Ended {
                path: self.path.clone(),
            });
        };
        let finished = film.finish();
        finished.map_err(|source| RecordError::Write {
            path: self.path.clone(),
            frames: film.frames(),
            source,
        })
    }

    /// Completes the file as far as possible; errors were reported, or nobody is there to hear them.
    fn end(&mut self) {
        if let Some(mut film) = self.film.take()
            && let Err(error) = film.finish()
        {
            log::debug!("closing {}: {error}", self.path.display());
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.end();
    }
}

fn check(size: Size, fps: f64) -> Result<(), RecordError> {
    let (longer, shorter) = (size.width.max(size.height), size.width.min(size.height));
    let even = size.width.is_multiple_of(2) && size.height.is_multiple_of(2);
    if !even || shorter < 16 || longer > 3840 || shorter > 2160 {
        return Err(RecordError::Size { size });
    }
    if fps.is_finite() && (0.01..=1000.0).contains(&fps) {
        Ok(())
    } else {
        Err(RecordError::FrameRate(fps))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use std::io::{Cursor, SeekFrom};
    use std::sync::{Arc, Mutex};

    use shiguredo_mp4::demux::{Input, Mp4FileDemuxer};

    use super::*;

    const SIZE: Size = Size {
        width: 64,
        height: 48,
    };

    /// A file in memory that a test can still look into; nothing fits beyond `room`.
    struct Shared {
        file: Arc<Mutex<Cursor<Vec<u8>>>>,
        room: u64,
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut file = self.file.lock().unwrap();
            if file.position() + bytes.len() as u64 > self.room {
                return Err(io::ErrorKind::StorageFull.into());
            }
            file.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Shared {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.file.lock().unwrap().seek(to)
        }
    }

    impl Sink for Shared {
        fn truncate(&mut self, length: u64) -> io::Result<()> {
            let length = usize::try_from(length).unwrap();
            self.file.lock().unwrap().get_mut().truncate(length);
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Records fifty pictures, without room at the start for the `moov`.
    fn film_with_moov_at_the_end(room: u64) -> (io::Result<Recording>, Vec<u8>) {
        let file = Arc::new(Mutex::new(Cursor::new(Vec::new())));
        let sink = Box::new(Shared {
            file: Arc::clone(&file),
            room,
        });
        let mut film = Film::new(sink, Duration::from_millis(40), 0);
        let mut encoder = Encoder::new(SIZE, 25.0).unwrap();
        for index in 0..50_u8 {
            let rgba = vec![index * 5; 64 * 48 * 4];
            let picture = encoder.encode(SIZE, &rgba).unwrap().unwrap();
            let at = Duration::from_millis(40) * u32::from(index);
            film.add(&picture, at).unwrap();
        }
        let finished = film.finish();
        let bytes = file.lock().unwrap().get_ref().clone();
        (finished, bytes)
    }

    fn samples(bytes: &[u8]) -> usize {
        let mut demuxer = Mp4FileDemuxer::new();
        demuxer.handle_input(Input {
            position: 0,
            data: bytes,
        });
        std::iter::from_fn(|| demuxer.next_sample().unwrap().map(|_| ())).count()
    }

    #[test]
    fn a_long_film_has_its_moov_at_the_end() {
        let (finished, bytes) = film_with_moov_at_the_end(u64::MAX);
        assert_eq!(finished.unwrap().frames, 50);
        assert_eq!(samples(&bytes), 50);
        let moov = bytes.windows(4).rposition(|kind| kind == b"moov").unwrap();
        let mdat = bytes.windows(4).position(|kind| kind == b"mdat").unwrap();
        assert!(mdat < moov);
    }

    #[test]
    fn a_moov_that_does_not_fit_leaves_the_fragments() {
        let (_, whole) = film_with_moov_at_the_end(u64::MAX);
        let (finished, bytes) = film_with_moov_at_the_end(whole.len() as u64 - 1);
        assert_eq!(finished.unwrap_err().kind(), io::ErrorKind::StorageFull);
        // The file ends with the second fragment, byte for byte as it was while recording.
        assert_eq!(whole[whole.len().min(200)..bytes.len()], bytes[200..]);
        assert_eq!(bytes.windows(4).filter(|kind| kind == b"moof").count(), 2);
        assert_eq!(bytes.windows(4).filter(|kind| kind == b"moov").count(), 1);
    }
}
