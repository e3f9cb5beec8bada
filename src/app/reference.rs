//! The reference of the guarding camera as a file: `andon reference take` writes it, a run reads it.

use std::path::{Path, PathBuf};

use image::{ColorType, ImageError};

use crate::capture::{self, CaptureError};
use crate::config::{CameraChecksConfig, Config, MovedCheckConfig};
use crate::scrutiny::{Measures, ReferenceError, ReferencePicture, Scrutiny};
use crate::units::{MonotonicTime, StreamId};

/// Why a reference cannot be taken, kept or used.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceFileError {
    /// The file is missing or is no picture.
    #[error("camera reference {path}: {source}; take one with `andon reference take`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ImageError,
    },
    /// The picture is no reference.
    #[error("camera reference {path}: {source}")]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ReferenceError,
    },
    /// The file cannot be written.
    #[error("cannot write camera reference {path}: {source}; check the folder and the free space")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ImageError,
    },
    /// Nobody says where it shall go.
    #[error("nothing says where the reference goes: set camera_checks.reference, or give --output")]
    NoPath,
    /// The check is off.
    #[error(
        "camera_checks.moved = false: without the check there is nothing to take a reference for"
    )]
    Off,
    /// The camera cannot be read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The source ended, or too many pictures were looked at, before the reference was complete.
    #[error(
        "no reference after {frames} pictures of {source_name}: {percent_textured} % of the last one show texture and {contours} of its parts have contours; it needs a clear view, {learn_ms} ms of pictures and at least 6 parts with contours"
    )]
    NotLearnt {
        /// The camera.
        source_name: String,
        /// Pictures looked at.
        frames: u64,
        /// Of the last picture.
        percent_textured: u32,
        /// Of the last picture.
        contours: usize,
        /// `learn_ms` of the configuration.
        learn_ms: u128,
    },
}

/// Most pictures looked at: two minutes of a fast camera.
const FRAMES_MAX: u64 = 7200;

/// The watcher of the guarding camera as configured, with its reference where one is kept.
///
/// # Errors
///
/// The configured file is missing or unfit: a camera that shall be held against it must not run
/// without.
pub fn scrutiny(config: &CameraChecksConfig) -> Result<Scrutiny, ReferenceFileError> {
    let path = config
        .moved
        .as_ref()
        .and_then(|check| check.reference.as_ref());
    Ok(match path {
        Some(path) => Scrutiny::with_reference(config.clone(), &read(path)?),
        None => Scrutiny::new(config.clone()),
    })
}

fn read(path: &Path) -> Result<ReferencePicture, ReferenceFileError> {
    let picture = image::open(path).map_err(|source| ReferenceFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    let picture = picture.into_luma8();
    ReferencePicture::new(picture.width(), picture.height(), &picture).map_err(|source| {
        ReferenceFileError::Unfit {
            path: path.to_owned(),
            source,
        }
    })
}

/// A reference that was taken.
#[derive(Clone, Debug)]
pub struct TakenReference {
    /// Where it is.
    pub path: PathBuf,
    /// Pictures it was learnt from.
    pub frames: u64,
    /// Parts of the picture with contours, of 63.
    pub contours: usize,
}

/// Learns the reference from the worker-safety input and writes it to `output`, or to the
/// configured file. Blocks for `learn_ms` of pictures.
///
/// # Errors
///
/// The camera cannot be read or shows too little; the file cannot be written.
pub fn take(config: &Config, output: Option<&Path>) -> Result<TakenReference, ReferenceFileError> {
    let check = config.camera_checks.moved.as_ref();
    let check = check.ok_or(ReferenceFileError::Off)?;
    let path = output.or(check.reference.as_deref());
    let path = path.ok_or(ReferenceFileError::NoPath)?;
    // Learnt anew, whatever is kept.
    let checks = CameraChecksConfig {
        frozen: None,
        moved: Some(MovedCheckConfig {
            reference: None,
            ..check.clone()
        }),
        ..config.camera_checks.clone()
    };
    let mut scrutiny = Scrutiny::new(checks);
    let mut source = capture::open_input(config, StreamId::WorkerSafety)?;
    let mut frames = 0;
    while frames < FRAMES_MAX {
        let next = capture::next_within(source.as_mut(), capture::CAMERA_WAIT_MAX)?;
        let Some(mut frame) = next else {
            break;
        };
        frames += 1;
        frame.meta.timestamp = MonotonicTime::from_duration(frame.meta.media_time);
        let doubt = scrutiny.observe(&frame);
        let picture = scrutiny.reference().filter(|_| doubt.is_none());
        if let Some(picture) = picture {
            write(path, &picture)?;
            let contours = scrutiny.measures().contours;
            let path = path.to_owned();
            return Ok(TakenReference {
                path,
                frames,
                contours,
            });
        }
    }
    let Measures {
        textured_share,
        contours,
        ..
    } = scrutiny.measures();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of 0..=1 as per cent"
    )]
    let percent_textured = (textured_share * 100.0) as u32;
    Err(ReferenceFileError::NotLearnt {
        source_name: source.info().name.clone(),
        frames,
        percent_textured,
        contours,
        learn_ms: check.learn.as_millis(),
    })
}

/// Complete or not at all: written beside its place and moved there.
fn write(path: &Path, picture: &ReferencePicture) -> Result<(), ReferenceFileError> {
    let failed = |source| ReferenceFileError::Write {
        path: path.to_owned(),
        source,
    };
    let beside = path.with_extension("new.png");
    let (width, height) = (ReferencePicture::WIDTH, ReferencePicture::HEIGHT);
    image::save_buffer(&beside, picture.luma(), width, height, ColorType::L8).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(|error| failed(error.into()))
}
