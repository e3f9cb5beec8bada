//! Refuses a file that would be written over one that is read, or over another that is written.
//!
//! Existing files are told apart by device and inode, so that links do not hide anything; others by
//! the real path of their folder. To be asked before anything is created.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

use super::run::RunOptions;
use crate::config::{InputSpec, Loaded, ModelRef};

/// A file with what it is, in words: `the report`, `the configuration`.
#[derive(Clone, Debug)]
pub struct Named {
    what: &'static str,
    path: PathBuf,
}

impl Named {
    /// A file that is `what`.
    #[must_use]
    pub fn new(what: &'static str, path: &Path) -> Self {
        Self {
            what,
            path: path.to_owned(),
        }
    }
}

/// An output that would destroy something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{written} {} is also {other}; name another file", path.display())]
pub struct ClashError {
    written: &'static str,
    path: PathBuf,
    other: &'static str,
}

/// Checks everything that a run would write.
///
/// # Errors
///
/// The first output that is an input, a model, a configuration file or another output.
pub fn check_run(loaded: &Loaded, options: &RunOptions) -> Result<(), ClashError> {
    let mut written = Vec::new();
    written.extend(
        options
            .report
            .iter()
            .map(|path| Named::new("the report", path)),
    );
    written.extend(
        options
            .record
            .iter()
            .map(|path| Named::new("the film", path)),
    );
    written.extend(
        options
            .summary
            .iter()
            .map(|path| Named::new("the summary", path)),
    );
    let snapshots = options.snapshots.iter();
    written.extend(snapshots.map(|request| Named::new("the snapshot", &request.path)));
    let mut read = read_by(loaded);
    if let Some(moved) = &loaded.config.camera_checks.moved {
        let path = moved.reference.iter();
        read.extend(path.map(|path| Named::new("the camera's reference", path)));
    }
    check(&read, &written)
}

/// Checks that none of `written` is one of `read`, or another of `written`.
///
/// # Errors
///
/// The first that is.
pub fn check(read: &[Named], written: &[Named]) -> Result<(), ClashError> {
    for (index, one) in written.iter().enumerate() {
        let place = Place::of(&one.path);
        let clashes = |other: &&Named| Place::of(&other.path).holds(&place);
        // Several outputs may go to /dev/null; no two to one file.
        let (before, _) = written.split_at(if is_device(&one.path) { 0 } else { index });
        if let Some(other) = read.iter().chain(before).find(clashes) {
            return Err(ClashError {
                written: one.what,
                path: one.path.clone(),
                other: other.what,
            });
        }
    }
    Ok(())
}

/// Every file that a configuration makes the program read, but for the camera's reference, which
/// `andon reference take` writes.
#[must_use]
pub fn read_by(loaded: &Loaded) -> Vec<Named> {
    let config = &loaded.config;
    let mut read = vec![
        Named::new("the configuration", &loaded.main.path),
        Named::new("the keepout file", &loaded.keepout.path),
    ];
    for (what, input) in [
        ("the worker-safety input", &config.worker_safety.input),
        (
            "the visual-inspection input",
            &config.visual_inspection.input,
        ),
    ] {
        match input {
            InputSpec::Video(path) | InputSpec::Stills(path) | InputSpec::Camera(path) => {
                read.push(Named::new(what, path));
            }
            InputSpec::Pattern(_) => {}
        }
    }
    for model in [&config.models.detector, &config.models.classifier] {
        match model {
            ModelRef::File(path) => read.push(Named::new("a model", path)),
            ModelRef::Named(_) => {}
        }
    }
    // Models, their labels and the list of them; the folder itself may hold other things.
    let listed = fs::read_dir(&config.models.directory).into_iter().flatten();
    let files = listed
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir()));
    read.extend(files.map(|entry| Named::new("a file of the models' folder", &entry.path())));
    read
}

fn is_device(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_char_device())
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Something that is there, with the real path of the folder it is in.
    There {
        device: u64,
        inode: u64,
        folder: PathBuf,
    },
    /// A folder that is there, by its real path.
    Folder(PathBuf),
    /// Nothing yet: where it would be.
    Nothing(PathBuf),
}

impl Place {
    fn of(path: &Path) -> Self {
        let (Ok(metadata), Ok(real)) = (fs::metadata(path), fs::canonicalize(path)) else {
            return Self::Nothing(real_path(path));
        };
        if metadata.is_dir() {
            return Self::Folder(real);
        }
        Self::There {
            device: metadata.dev(),
            inode: metadata.ino(),
            folder: real.parent().map(Path::to_owned).unwrap_or_default(),
        }
    }

    /// Whether writing to `other` would change what is here. Stills are read from a whole folder.
    fn holds(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::There { device, inode, .. },
                Self::There {
                    device: other_device,
                    inode: other_inode,
                    ..
                },
            ) => (device, inode) == (other_device, other_inode),
            (Self::Folder(path), Self::There { folder, .. }) => path == folder,
            (Self::Folder(path), Self::Nothing(new)) => Some(path.as_path()) == new.parent(),
            (Self::Folder(path), Self::Folder(other)) => path == other,
            (Self::Nothing(path), Self::Nothing(other)) => path == other,
            (Self::There { .. }, Self::Folder(_) | Self::Nothing(_))
            | (Self::Nothing(_), Self::There { .. } | Self::Folder(_)) => false,
        }
    }
}

/// The real path of something that is not there: that of the nearest folder that is, and the rest
/// as written, without `.` and `..`.
fn real_path(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut ancestors = absolute.ancestors();
    let found = ancestors.find_map(|ancestor| Some((ancestor, fs::canonicalize(ancestor).ok()?)));
    let Some((ancestor, mut real)) = found else {
        return absolute;
    };
    let rest = absolute.strip_prefix(ancestor).unwrap_or(Path::new(""));
    for component in rest.components() {
        match component {
            Component::Normal(name) => real.push(name),
            Component::ParentDir => {
                real.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    real
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Whether writing `written` is refused while `read` is read.
    fn refused(read: &Path, written: &Path) -> bool {
        let read = [Named::new("the input", read)];
        check(&read, &[Named::new("the report", written)]).is_err()
    }

    #[test]
    fn a_file_is_the_same_file_by_whatever_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("sub")).expect("made");
        fs::write(at("in.mp4"), "film").expect("written");
        fs::write(at("other.mp4"), "film").expect("written");
        symlink(at("in.mp4"), at("link.mp4")).expect("linked");
        fs::hard_link(at("in.mp4"), at("sub/hard.mp4")).expect("linked");
        for name in ["in.mp4", "link.mp4", "sub/hard.mp4", "sub/../in.mp4"] {
            assert!(refused(&at("in.mp4"), &at(name)), "{name}");
            assert!(refused(&at(name), &at("in.mp4")), "{name}");
        }
        for name in ["other.mp4", "new.mp4", "sub/in.mp4"] {
            assert!(!refused(&at("in.mp4"), &at(name)), "{name}");
        }
    }

    #[test]
    fn nothing_is_written_into_a_folder_of_stills() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("stills")).expect("made");
        fs::write(at("stills/1.png"), "picture").expect("written");
        for name in ["stills/1.png", "stills/new.png", "stills"] {
            assert!(refused(&at("stills"), &at(name)), "{name}");
        }
        assert!(!refused(&at("stills"), &at("1.png")));
        assert!(!refused(&at("stills"), &at("stills/below/1.png")));
    }

    #[test]
    fn two_outputs_are_two_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let both = |one: &Path, other: &Path| {
            let written = [Named::new("the report", one), Named::new("the film", other)];
            check(&[], &written).map_err(|error| error.to_string())
        };
        fs::create_dir(at("sub")).expect("made");
        let same = both(&at("x"), &at("sub/../x"));
        let text = same.expect_err("the same new file");
        assert!(
            text.starts_with("the film ") && text.contains("also the report"),
            "{text}"
        );
        assert!(both(&at("no/such/x"), &at("no/other/../such/x")).is_err());
        assert_eq!(both(&at("x"), &at("y")), Ok(()));
        let null = Path::new("/dev/null");
        assert_eq!(both(null, null), Ok(()));
        assert!(refused(null, null), "a camera is not overwritten either");
    }
}
