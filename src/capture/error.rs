//! What can go wrong with a source, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::v4l2::CameraProblem;

/// Why a source cannot be opened or read any further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The file or folder cannot be opened.
    #[error("cannot open {}: {source}; check the path and its permissions", path.display())]
    Open {
        /// As configured.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Reading failed although opening had worked: a broken disk, a lost network mount.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// As configured.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The file has no bytes.
    #[error("{} is empty (0 bytes); record or copy it again", path.display())]
    Empty {
        /// As configured.
        path: PathBuf,
    },
    /// The path names something a video cannot be read from.
    #[error("{} is not a regular file; name a video file, or use the stills input for a folder", path.display())]
    NotAFile {
        /// As configured.
        path: PathBuf,
    },
    /// The file is no mp4 at all.
    #[error("{} is not an mp4 file ({found}); convert it: ffmpeg -i IN -c:v libx264 -pix_fmt yuv420p OUT.mp4", path.display())]
    NotMp4 {
        /// As configured.
        path: PathBuf,
        /// What it looks like instead.
        found: String,
    },
    /// The index (`moov`) is missing, so that nothing in the file can be found.
    #[error("{} has no index (moov box): its recording or copying was interrupted; copy it again, or recover it with a tool such as untrunc", path.display())]
    NoIndex {
        /// As configured.
        path: PathBuf,
    },
    /// The structure of the file contradicts itself.
    #[error("{} is damaged: {what}; copy it again or remux it: ffmpeg -i IN -c copy OUT.mp4", path.display())]
    Malformed {
        /// As configured.
        path: PathBuf,
        /// Which structure and how.
        what: String,
    },
    /// The file holds no pictures: only sound, or nothing.
    #[error("{} has no video track", path.display())]
    NoVideoTrack {
        /// As configured.
        path: PathBuf,
    },
    /// The video is not H.264.
    #[error("{} holds {codec}, only H.264 is decoded; convert it: ffmpeg -i IN -c:v libx264 -pix_fmt yuv420p OUT.mp4", path.display())]
    UnsupportedCodec {
        /// As configured.
        path: PathBuf,
        /// Four-character code and name.
        codec: String,
    },
    /// The video is H.264 of a kind the decoder cannot decode.
    #[error("{} is H.264 {profile}, which the decoder cannot decode (it does 8-bit 4:2:0 progressive baseline, main and high); convert it: ffmpeg -i IN -vf yadif=deint=interlaced -c:v libx264 -pix_fmt yuv420p OUT.mp4", path.display())]
    UnsupportedProfile {
        /// As configured.
        path: PathBuf,
        /// Profile and what about it is not supported.
        profile: String,
    },
    /// The file is cut or rearranged in a way that is not played.
    #[error("{} uses {what}, which is not supported; re-encode it: ffmpeg -i IN -c:v libx264 -pix_fmt yuv420p OUT.mp4", path.display())]
    UnsupportedFeature {
        /// As configured.
        path: PathBuf,
        /// Which feature.
        what: String,
    },
    /// The file ends before its index says so. Comes after the last frame that is there.
    #[error("{} is truncated: it breaks off after {delivered} frames{}; copy it again", path.display(), of(*expected))]
    Truncated {
        /// As configured.
        path: PathBuf,
        /// Frames delivered in this pass.
        delivered: u64,
        /// Frames its index promises, where the index itself is whole.
        expected: Option<u64>,
    },
    /// Too many frames in a row could not be decoded.
    #[error("{}: {consecutive} frames in a row could not be decoded, the last because {reason}; the file is corrupt, copy it again", path.display())]
    Corrupt {
        /// As configured.
        path: PathBuf,
        /// Length of the run of broken frames.
        consecutive: u64,
        /// Why the last of them failed.
        reason: String,
    },
    /// Some frames of a source that has ended could not be decoded; the others were delivered.
    #[error(
        "{name}: {lost} frames could not be decoded, {delivered} could; those are missing from what was found: copy the file again"
    )]
    Incomplete {
        /// As configured.
        name: String,
        /// Frames that could not be decoded.
        lost: u64,
        /// Frames delivered.
        delivered: u64,
    },
    /// The decoder itself could not be set up.
    #[error("cannot {operation} the H.264 decoder for {} (code {code})", path.display())]
    Decoder {
        /// As configured.
        path: PathBuf,
        /// What was tried.
        operation: &'static str,
        /// The decoder's return code.
        code: i64,
    },
    /// A folder without a single PNG or JPEG.
    #[error("{} has no .png, .jpg or .jpeg file", path.display())]
    NoStills {
        /// As configured.
        path: PathBuf,
    },
    /// A still that cannot be decoded, where no other can be delivered instead.
    #[error("cannot decode the still {}: {source}", path.display())]
    Still {
        /// The picture's file.
        path: PathBuf,
        /// The image decoder's answer.
        source: image::ImageError,
    },
    /// A `pattern:` name or option that does not exist.
    #[error(
        "pattern:{spec}: {problem}; known patterns are {known}, options ?size=640x480&fps=30&frames=100"
    )]
    Pattern {
        /// As configured, without the prefix.
        spec: String,
        /// What about it.
        problem: String,
        /// The names that exist.
        known: &'static str,
    },
    /// A camera that cannot be used.
    #[error("camera {}: {problem}", path.display())]
    Camera {
        /// As configured.
        path: PathBuf,
        /// What is wrong with it.
        problem: CameraProblem,
    },
    /// Both inputs lead to one device.
    #[error("{} and {} are the same camera, {identity}; give each stream a camera of its own", paths[0].display(), paths[1].display())]
    SameCamera {
        /// As configured.
        paths: [PathBuf; 2],
        /// What it is.
        identity: String,
    },
    /// A camera was to be read as fast as possible.
    #[error("camera {}: --pace asap is for files; a camera delivers in real time: leave --pace out, or say --pace realtime", path.display())]
    NotAsap {
        /// As configured.
        path: PathBuf,
    },
    /// A live source delivered nothing in time.
    #[error("{source_name}: no frame within {} ms{}", within.as_millis(), why.as_ref().map_or_else(String::new, |why| format!(": {why}")))]
    NoFrame {
        /// As configured.
        source_name: String,
        /// How long was waited.
        within: Duration,
        /// Why it delivers nothing, where it says.
        why: Option<String>,
    },
}

fn of(expected: Option<u64>) -> String {
    expected.map_or_else(String::new, |expected| format!(" of {expected}"))
}
