//! Reading what somebody else wrote, and writing so that a power cut leaves the old or the new.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::os::unix::fs::{chown, fchown, symlink};
use std::path::{Path, PathBuf};

use nix::libc::{O_NOCTTY, O_NONBLOCK};

/// Reads a regular file of at most `bytes_max` bytes. Pipes and devices are refused without waiting for them.
pub(super) fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(O_NONBLOCK | O_NOCTTY)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > bytes_max) {
        return Err(io::Error::other(format!("larger than {bytes_max} bytes")));
    }
    Ok(bytes)
}

/// Makes an empty folder, with the owner, group and permissions of the one that it is in; one of that name which an
/// interrupted import left is removed.
pub(super) fn make_folder(folder: &Path, like: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let metadata = fs::metadata(like)?;
    DirBuilder::new().mode(0o700).create(folder)?;
    // Only root may give files away; who may not keeps a folder of their own.
    let _ = chown(folder, Some(metadata.uid()), Some(metadata.gid()));
    fs::set_permissions(folder, metadata.permissions())
}

/// Writes a file that its folder's group may read, under another name first.
pub(super) fn copy_in(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let owner = fs::metadata(folder)?;
    let beside = folder.join(format!(".{name}.new"));
    let _ = fs::remove_file(&beside);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(bytes)?;
    let _ = fchown(&file, Some(owner.uid()), Some(owner.gid()));
    file.set_permissions(fs::Permissions::from_mode(0o640))?;
    file.sync_all()?;
    fs::rename(&beside, folder.join(name))
}

/// Makes the names in a folder lasting.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes `link` lead to `target`, whatever it was before, in one step that lasts.
pub(super) fn exchange_link(link: &Path, target: &Path) -> io::Result<()> {
    let folder = link.parent().unwrap_or(Path::new("/"));
    let name = link.file_name().unwrap_or_default().to_string_lossy();
    let beside: PathBuf = folder.join(format!(".{name}.link"));
    let _ = fs::remove_file(&beside);
    symlink(target, &beside)?;
    fs::rename(&beside, link)?;
    sync_folder(folder)
}
