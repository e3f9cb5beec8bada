//! The small language in which a source of frames is named.

use std::os::unix::fs::FileTypeExt as _;
use std::path::{Component, Path, PathBuf};

use super::InputSpec;

/// Why a text names no source of frames.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// Nothing is named.
    #[error("names no source; write a video file, a folder of stills, /dev/videoN or pattern:NAME")]
    Empty,
    /// A line break or another control character.
    #[error("holds a control character; write the path on one line")]
    ControlCharacter,
    /// `pattern:` alone.
    #[error("names no pattern; write pattern:NAME")]
    PatternWithoutName,
    /// A network address.
    #[error("is a network address; only local files and cameras are read")]
    NetworkAddress,
}

impl InputSpec {
    /// Reads `file.mp4`, `still.png`, a folder, `/dev/video0` or `pattern:NAME`. Relative paths
    /// start at `base`.
    ///
    /// Whether the source exists and can be read is found out by opening it; only the kind of an
    /// existing path is looked up here.
    ///
    /// # Errors
    ///
    /// The text names no source at all.
    pub fn parse(text: &str, base: &Path) -> Result<Self, InputError> {
        if text.trim().is_empty() {
            return Err(InputError::Empty);
        }
        if text.contains(char::is_control) {
            return Err(InputError::ControlCharacter);
        }
        if let Some(name) = text.strip_prefix("pattern:") {
            return match name.trim() {
                "" => Err(InputError::PatternWithoutName),
                name => Ok(Self::Pattern(name.to_owned())),
            };
        }
        if text.contains("://") {
            return Err(InputError::NetworkAddress);
        }
        let path = resolve(text, base);
        let kind = std::fs::metadata(&path).map(|metadata| metadata.file_type());
        let is_device = kind.as_ref().is_ok_and(|kind| kind.is_char_device());
        let is_folder = kind.is_ok_and(|kind| kind.is_dir());
        Ok(if is_folder || text.ends_with('/') {
            Self::Stills(path)
        } else if is_device || path.starts_with("/dev") {
            Self::Camera(path)
        } else if has_extension(&path, &["png", "jpg", "jpeg"]) {
            Self::Stills(path)
        } else {
            Self::Video(path)
        })
    }
}

/// A path as written in a file of folder `base`, or on the command line with an empty `base`; without
/// `.`, doubled slashes and every `folder/..` that leads nowhere else: `config/../models` is `models`.
pub(super) fn resolve(text: &str, base: &Path) -> PathBuf {
    let mut path = PathBuf::new();
    // Joining keeps an absolute path.
    for component in base.join(text).components() {
        match component {
            Component::ParentDir if is_plain_folder(&path) => {
                path.pop();
            }
            Component::ParentDir
            | Component::CurDir
            | Component::Normal(_)
            | Component::RootDir
            | Component::Prefix(_) => path.push(component),
        }
    }
    if path.as_os_str().is_empty() {
        path.push(Component::CurDir);
    }
    path
}

/// Whether `path/..` is the folder that `path` is written in: not behind a link, nor behind another
/// `..`, nor for the root.
fn is_plain_folder(path: &Path) -> bool {
    let named = matches!(path.components().next_back(), Some(Component::Normal(_)));
    named && std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Whether a path ends in one of these extensions, in small or capital letters.
pub(super) fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension()
        .is_some_and(|own| extensions.iter().any(|e| own.eq_ignore_ascii_case(e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_sources_are_told_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = folder.path();
        std::fs::create_dir(base.join("stills.mp4")).expect("made");
        for (text, expected) in [
            ("a.mp4", InputSpec::Video(base.join("a.mp4"))),
            ("clips/b.MOV", InputSpec::Video(base.join("clips/b.MOV"))),
            ("/srv/a", InputSpec::Video("/srv/a".into())),
            ("one.PNG", InputSpec::Stills(base.join("one.PNG"))),
            ("one.jpeg", InputSpec::Stills(base.join("one.jpeg"))),
            ("stills.mp4", InputSpec::Stills(base.join("stills.mp4"))),
            ("missing/", InputSpec::Stills(base.join("missing"))),
            ("/dev/video3", InputSpec::Camera("/dev/video3".into())),
            (
                "/dev/v4l/by-id/usb-0",
                InputSpec::Camera("/dev/v4l/by-id/usb-0".into()),
            ),
            (
                "pattern:bars?size=8x8",
                InputSpec::Pattern("bars?size=8x8".to_owned()),
            ),
        ] {
            assert_eq!(InputSpec::parse(text, base), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_detour_is_left_out_unless_it_leads_elsewhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = folder.path();
        std::fs::create_dir_all(base.join("real/below")).expect("made");
        std::os::unix::fs::symlink(base.join("real/below"), base.join("link")).expect("linked");
        for (text, expected) in [
            ("real/../a.mp4", "a.mp4"),
            ("real/below/../../a.mp4", "a.mp4"),
            ("./real//below/./../a.mp4", "real/a.mp4"),
            // This one is real/a.mp4.
            ("link/../a.mp4", "link/../a.mp4"),
            ("missing/../a.mp4", "missing/../a.mp4"),
        ] {
            assert_eq!(resolve(text, base), base.join(expected), "{text}");
        }
        let relative = |text| resolve(text, Path::new("src"));
        assert_eq!(
            relative("../tests/media/a.mp4"),
            Path::new("tests/media/a.mp4")
        );
        assert_eq!(relative("../../a.mp4"), Path::new("../a.mp4"));
        assert_eq!(relative(".."), Path::new("."));
        assert_eq!(resolve("/../a", base), Path::new("/../a"));
    }

    #[test]
    fn a_link_to_a_device_is_a_camera() {
        let folder = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink("/dev/null", folder.path().join("camera")).expect("linked");
        let spec = InputSpec::parse("camera", folder.path());
        assert_eq!(spec, Ok(InputSpec::Camera(folder.path().join("camera"))));
    }

    #[test]
    fn what_names_no_source_is_refused() {
        for (text, error) in [
            ("", InputError::Empty),
            ("  ", InputError::Empty),
            ("a\nb.mp4", InputError::ControlCharacter),
            ("a\0.mp4", InputError::ControlCharacter),
            ("pattern:", InputError::PatternWithoutName),
            ("rtsp://camera/1", InputError::NetworkAddress),
        ] {
            assert_eq!(
                InputSpec::parse(text, Path::new("")),
                Err(error),
                "{text:?}"
            );
        }
    }
}
