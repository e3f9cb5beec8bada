//! What can be wrong with a video file, before its path is known.

use std::io;
use std::path::Path;

use super::openh264_sys::DecoderCode;
use crate::capture::CaptureError;

/// What is wrong with a file; becomes a [`CaptureError`] together with its path.
#[derive(Debug)]
pub(super) enum Problem {
    /// No bytes.
    Empty,
    /// No `moov`.
    NoIndex,
    /// No video track.
    NoVideo,
    /// Something else; says what.
    NotMp4(String),
    /// Contradictory structure; says which.
    Malformed(String),
    /// Not H.264; names it.
    Codec(String),
    /// H.264 of a kind that cannot be decoded; names it.
    Profile(String),
    /// Something else that is not played; names it.
    Feature(String),
    /// The operating system's answer to a read.
    Read(io::Error),
    /// The decoder's answer to being set up.
    Decoder(DecoderCode),
}

impl Problem {
    /// The error for users, about the file at `path`.
    pub(super) fn of(self, path: &Path) -> CaptureError {
        let path = path.to_owned();
        match self {
            Self::Empty => CaptureError::Empty { path },
            Self::NoIndex => CaptureError::NoIndex { path },
            Self::NoVideo => CaptureError::NoVideoTrack { path },
            Self::NotMp4(found) => CaptureError::NotMp4 { path, found },
            Self::Malformed(what) => CaptureError::Malformed { path, what },
            Self::Codec(codec) => CaptureError::UnsupportedCodec { path, codec },
            Self::Profile(profile) => CaptureError::UnsupportedProfile { path, profile },
            Self::Feature(what) => CaptureError::UnsupportedFeature { path, what },
            Self::Read(source) => CaptureError::Read { path, source },
            Self::Decoder(DecoderCode(code)) => CaptureError::Decoder {
                path,
                operation: "set up",
                code,
            },
        }
    }
}
