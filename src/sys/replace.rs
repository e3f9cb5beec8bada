//! Replacing a file's content so that a reader, and a power cut, finds the old one or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

/// Replaces the content of the file that `path` leads to, through symbolic links, by writing another
/// file beside it, making it lasting and renaming it. Permissions stay; the owner stays where the
/// system allows.
///
/// # Errors
///
/// The file cannot be replaced; it is what it was.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let real = fs::canonicalize(path)?;
    let metadata = fs::metadata(&real)?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let folder = real.parent().unwrap_or(Path::new("/"));
    let beside = beside(&real)?;
    let written = write_beside(&beside, bytes, &metadata).and_then(|()| fs::rename(&beside, &real));
    if let Err(error) = written {
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    // The content is safe; whether the name is lasting depends on the file system.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

fn beside(real: &Path) -> io::Result<PathBuf> {
    let name = real
        .file_name()
        .ok_or_else(|| io::Error::other("has no name"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.new", std::process::id()));
    Ok(real.with_file_name(hidden))
}

fn write_beside(beside: &Path, bytes: &[u8], like: &fs::Metadata) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(beside)?;
    file.write_all(bytes)?;
    // Only root may give files away; who may not keeps a file of their own.
    let _ = fchown(&file, Some(like.uid()), Some(like.gid()));
    file.set_permissions(like.permissions())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn the_file_behind_a_link_is_replaced_with_its_permissions() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).expect("made");
        let real = inner.join("real.toml");
        fs::write(&real, "old").expect("written");
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).expect("set");
        let link = folder.path().join("link.toml");
        symlink("inner/real.toml", &link).expect("linked");
        replace_file(&link, b"new").expect("replaced");
        assert_eq!(fs::read(&real).expect("read"), b"new");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        let mode = fs::metadata(&real).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        let left = fs::read_dir(&inner).expect("listed").count();
        assert_eq!(left, 1, "nothing is left behind");
    }

    #[test]
    fn a_reader_who_has_the_old_file_open_keeps_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        fs::write(&path, "old").expect("written");
        let before = fs::metadata(&path).expect("there").ino();
        replace_file(&path, b"new").expect("replaced");
        assert_ne!(fs::metadata(&path).expect("there").ino(), before);
    }

    #[test]
    fn what_is_missing_or_no_file_is_not_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(replace_file(&folder.path().join("missing"), b"x").is_err());
        assert!(replace_file(folder.path(), b"x").is_err());
    }
}
