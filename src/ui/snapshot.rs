//! One picture as a PNG file.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use crate::geometry::Size;

/// Why a snapshot was not written.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file cannot be written.
    #[error("cannot write the snapshot {}: {source}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The pixels are not those of a picture of this size.
    #[error("cannot write the snapshot {}: {bytes} bytes are no {}x{} RGBA picture", path.display(), size.width, size.height)]
    Pixels {
        /// Which file.
        path: PathBuf,
        /// The picture's.
        size: Size,
        /// Bytes given.
        bytes: usize,
    },
    /// The picture cannot be encoded.
    #[error("cannot encode the snapshot {}: {source}", path.display())]
    Encode {
        /// Which file.
        path: PathBuf,
        /// What the encoder said.
        source: image::ImageError,
    },
}

/// Writes `rgba` (`[height, width, 4]`, top row first) as a PNG without transparency. The file
/// appears complete or not at all: it is written beside its place and then renamed.
///
/// # Errors
///
/// The directory does not exist, is not writable or is full; the pixels do not match the size.
pub fn write_png(path: &Path, size: Size, rgba: &[u8]) -> Result<(), SnapshotError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let written = write(&beside, path, size, rgba).and_then(|()| {
        std::fs::rename(&beside, path).map_err(|source| SnapshotError::Write {
            path: path.to_owned(),
            source,
        })
    });
    if written.is_err() {
        // Best effort: the first error is the one to report.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

fn write(beside: &Path, path: &Path, size: Size, rgba: &[u8]) -> Result<(), SnapshotError> {
    let failed = |source| SnapshotError::Write {
        path: path.to_owned(),
        source,
    };
    let pixels = size.width as usize * size.height as usize;
    if pixels == 0 || rgba.len() != pixels * 4 {
        return Err(SnapshotError::Pixels {
            path: path.to_owned(),
            size,
            bytes: rgba.len(),
        });
    }
    let rgb: Vec<u8> = rgba
        .chunks_exact(4)
        .flat_map(|pixel| &pixel[..3])
        .copied()
        .collect();
    let mut encoded = Vec::new();
    PngEncoder::new_with_quality(&mut encoded, CompressionType::Default, FilterType::Adaptive)
        .write_image(&rgb, size.width, size.height, ExtendedColorType::Rgb8)
        .map_err(|source| SnapshotError::Encode {
            path: path.to_owned(),
            source,
        })?;
    let file = std::fs::File::create(beside).map_err(failed)?;
    let mut writer = BufWriter::new(file);
    writer.write_all(&encoded).map_err(failed)?;
    let file = writer
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use super::*;

    const SIZE: Size = Size {
        width: 3,
        height: 2,
    };

    fn pixels() -> Vec<u8> {
        (0..24).collect()
    }

    #[test]
    fn the_file_holds_the_picture_and_nothing_lies_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("picture.png");
        write_png(&path, SIZE, &pixels()).unwrap();
        let read = image::open(&path).unwrap().into_rgb8();
        assert_eq!((read.width(), read.height()), (3, 2));
        assert_eq!(read.get_pixel(2, 1).0, [20, 21, 22]);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nowhere/picture.png");
        let error = write_png(&path, SIZE, &pixels()).unwrap_err().to_string();
        assert!(error.contains("nowhere/picture.png"), "{error}");
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("picture.png");
        write_png(&path, SIZE, &pixels()).unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(write_png(&path, SIZE, &pixels()[..8]).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
