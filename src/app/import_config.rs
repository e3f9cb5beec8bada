//! `andon import-config`: takes over a configuration that somebody brings on a stick.
//!
//! A stick is plugged in by whoever stands there, so it is not the stick that is believed but a signature: the
//! manifest `andon-config.txt` names every file with its SHA-256 and carries a sequence number, and
//! `andon-config.sig` is its Ed25519 signature (`yocto/tools/sign-config.sh` makes both). A number that was had
//! before is refused, so an old stick cannot bring old zones back.
//!
//! What is taken over comes into force whole or not at all, also over a power cut:
//!
//! ```text
//!   /etc/andon/andon.toml    -> current/andon.toml
//!   /etc/andon/keepout.toml  -> current/keepout.toml
//!   /etc/andon/current       -> configuration-7        this one link is exchanged, by one rename
//!   /etc/andon/configuration-6                         the one before, kept
//! ```
//!
//! Files that were edited by hand since, and so are no links, are taken into account as they are. Nothing is
//! exchanged before the program's own loader has accepted the new files together, and the models have the labels
//! that they name. Two imports at once, as of two sticks, come one after the other: each has the folder to itself.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::models;
use crate::config::{self, ConfigError, Overrides};
use crate::inference::InferenceError;

mod files;
mod manifest;
#[cfg(test)]
mod tests;

use files::{copy_in, exchange_link, make_folder, read_bounded, sync_folder};
pub use manifest::ManifestError;
use manifest::{Manifest, NAMES};

/// What is signed, on the stick and in the folder of each configuration.
const MANIFEST: &str = "andon-config.txt";
/// Its signature, on the stick.
const SIGNATURE: &str = "andon-config.sig";
/// The link to the configuration in force.
const CURRENT: &str = "current";
/// Folders of configurations begin with this.
const PREFIX: &str = "configuration-";

/// Largest file that is read: a configuration has a few kilobytes, a reference picture a few megabytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Whose configurations are taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those signed with the private key of the first of these files that exists; each holds an Ed25519 public
    /// key in PEM.
    Keys(Vec<PathBuf>),
    /// Anybody's: for a person with a shell, who could edit the files as well.
    Anybody,
}

/// What was taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Names of the files that came, sorted.
    pub files: Vec<&'static str>,
    /// The signed sequence number; `None` where nothing was signed.
    pub sequence: Option<u64>,
    /// Folder of the configuration in force from now on.
    pub folder: PathBuf,
}

/// Why nothing was taken over. The configuration in force is what it was.
#[derive(Debug, thiserror::Error)]
pub enum ImportConfigError {
    /// A file or folder cannot be used.
    #[error("cannot {operation} {path}: {source}")]
    File {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No public key is installed.
    #[error(
        "no public key is installed ({0}), so no configuration is taken over from a stick: build the image with one \
         (yocto/tools/make-keys.sh)"
    )]
    NoKey(String),
    /// The key file holds no Ed25519 public key.
    #[error("{0} holds no Ed25519 public key in PEM")]
    Key(PathBuf),
    /// Not signed with that key, or changed since.
    #[error("{manifest} is not signed with the key of {key}, or was changed since: sign it again")]
    Signature {
        /// What should be signed.
        manifest: PathBuf,
        /// The public key.
        key: PathBuf,
    },
    /// The manifest is not understood.
    #[error("{path}: {source}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// A file is not the one that was signed.
    #[error("{0} is not the file that was signed: its SHA-256 differs")]
    Changed(PathBuf),
    /// There is no file to take over.
    #[error("{0} has neither andon.toml nor keepout.toml nor camera_reference.png")]
    Empty(PathBuf),
    /// An older configuration than the one that was taken over last, or the same.
    #[error(
        "its number is {offered}, and number {installed} was taken over before: sign it again with a higher number"
    )]
    Old {
        /// Number on the stick.
        offered: u64,
        /// Number in force.
        installed: u64,
    },
    /// The configuration is not valid.
    #[error("the new configuration is not valid, the one before stays in force:\n{0}")]
    Invalid(ConfigError),
    /// The models on this box do not do what the configuration asks of them.
    #[error("the new configuration does not fit the models, the one before stays in force: {0}")]
    Models(InferenceError),
    /// The configuration does not use the zones that came with it.
    #[error(
        "keepout.toml came along, but andon.toml uses the zones of {0}: write file = \"keepout.toml\" below [keepout]"
    )]
    Unused(PathBuf),
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ImportConfigError {
    let path = path.to_owned();
    move |source| ImportConfigError::File {
        operation,
        path,
        source,
    }
}

/// Takes the configuration in the folder `from` over into the folder `into`. Blocks for as long as the file
/// systems take, and another import into the same folder.
///
/// # Errors
///
/// Nothing was taken over, and why.
pub fn import(from: &Path, into: &Path, trust: &Trust) -> Result<Imported, ImportConfigError> {
    let offer = match trust {
        Trust::Keys(keys) => signed(from, &installed_key(keys)?)?,
        Trust::Anybody => unsigned(from)?,
    };
    // Until it is closed; a lock of the kernel's, which no crash leaves behind.
    let lock = fs::File::open(into).map_err(failed("open", into))?;
    lock.lock().map_err(failed("lock", into))?;
    let installed = installed_sequence(into)?;
    if let (Some(offered), Some(installed)) = (offer.sequence, installed)
        && offered <= installed
    {
        return Err(ImportConfigError::Old { offered, installed });
    }

    let folder = into.join(format!("{PREFIX}{}", next_number(into)?));
    let outcome = fill(&folder, into, &offer)
        .and_then(|()| check(&folder, &offer))
        .and_then(|()| put_in_force(&folder, into));
    if let Err(error) = outcome {
        // Where only making it last failed, it is in force already.
        if !leads_to(&into.join(CURRENT), file_name(&folder)) {
            let _ = fs::remove_dir_all(&folder);
        }
        return Err(error);
    }
    remove_old(into, &folder);
    Ok(Imported {
        files: offer.files.keys().copied().collect(),
        sequence: offer.sequence,
        folder,
    })
}

/// Whether a link says that it leads to `target`.
fn leads_to(link: &Path, target: &Path) -> bool {
    fs::read_link(link).is_ok_and(|found| found == target)
}

fn file_name(path: &Path) -> &Path {
    path.file_name().map_or(path, Path::new)
}

/// What a stick offers, read and believed.
struct Offer {
    files: BTreeMap<&'static str, Vec<u8>>,
    /// The manifest's text and number.
    manifest: Option<Vec<u8>>,
    sequence: Option<u64>,
}

/// The first key file that exists.
fn installed_key(keys: &[PathBuf]) -> Result<PathBuf, ImportConfigError> {
    let found = keys.iter().find(|path| path.exists()).cloned();
    found.ok_or_else(|| {
        let names: Vec<String> = keys.iter().map(|key| key.display().to_string()).collect();
        ImportConfigError::NoKey(names.join(", "))
    })
}

fn signed(from: &Path, key: &Path) -> Result<Offer, ImportConfigError> {
    let path = from.join(MANIFEST);
    let text = read_bounded(&path, FILE_BYTES_MAX).map_err(failed("read", &path))?;
    let signature_path = from.join(SIGNATURE);
    let signature = read_bounded(&signature_path, 64).map_err(failed("read", &signature_path))?;
    let pem = read_bounded(key, FILE_BYTES_MAX).map_err(failed("read", key))?;
    let public = manifest::public_key(&pem).ok_or_else(|| ImportConfigError::Key(key.into()))?;
    ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, public)
        .verify(&text, &signature)
        .map_err(|_unspecified| ImportConfigError::Signature {
            manifest: path.clone(),
            key: key.to_owned(),
        })?;
    let manifest =
        Manifest::parse(&text).map_err(|source| ImportConfigError::Manifest { path, source })?;
    let mut files = BTreeMap::new();
    for (name, sha256) in &manifest.files {
        let path = from.join(name);
        let bytes = read_bounded(&path, FILE_BYTES_MAX).map_err(failed("read", &path))?;
        if manifest::sha256(&bytes) != *sha256 {
            return Err(ImportConfigError::Changed(path));
        }
        files.insert(*name, bytes);
    }
    Ok(Offer {
        files,
        manifest: Some(text),
        sequence: Some(manifest.sequence),
    })
}

fn unsigned(from: &Path) -> Result<Offer, ImportConfigError> {
    let mut files = BTreeMap::new();
    for name in NAMES {
        let path = from.join(name);
        match read_bounded(&path, FILE_BYTES_MAX) {
            Ok(bytes) => {
                files.insert(name, bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("read", &path)(error)),
        }
    }
    if files.is_empty() {
        return Err(ImportConfigError::Empty(from.to_owned()));
    }
    Ok(Offer {
        files,
        manifest: None,
        sequence: None,
    })
}

/// The number that was taken over last. A manifest of ours that cannot be read is an error: taking it for none
/// would let every old stick in.
fn installed_sequence(into: &Path) -> Result<Option<u64>, ImportConfigError> {
    let path = into.join(CURRENT).join(MANIFEST);
    match read_bounded(&path, FILE_BYTES_MAX) {
        Ok(text) => Manifest::parse(&text)
            .map(|manifest| Some(manifest.sequence))
            .map_err(|source| ImportConfigError::Manifest { path, source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", &path)(error)),
    }
}

/// Configurations in `into`, by number.
fn configurations(into: &Path) -> Result<BTreeMap<u64, PathBuf>, ImportConfigError> {
    let entries = fs::read_dir(into).map_err(failed("list", into))?;
    let numbered = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let number = path.file_name()?.to_str()?.strip_prefix(PREFIX)?;
        Some((number.parse().ok()?, path))
    });
    Ok(numbered.collect())
}

fn next_number(into: &Path) -> Result<u64, ImportConfigError> {
    let highest = configurations(into)?.keys().next_back().copied();
    Ok(highest.unwrap_or(0).saturating_add(1))
}

/// Puts what came, and what is in force and did not come, into a new folder.
fn fill(folder: &Path, into: &Path, offer: &Offer) -> Result<(), ImportConfigError> {
    make_folder(folder, into).map_err(failed("make", folder))?;
    for name in NAMES {
        let in_force = into.join(name);
        match offer.files.get(name) {
            Some(bytes) => {
                copy_in(folder, name, bytes).map_err(failed("write", &folder.join(name)))?
            }
            None => match read_bounded(&in_force, FILE_BYTES_MAX) {
                Ok(bytes) => {
                    copy_in(folder, name, &bytes).map_err(failed("write", &folder.join(name)))?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed("read", &in_force)(error)),
            },
        }
    }
    let kept = into.join(CURRENT).join(MANIFEST);
    let manifest = match &offer.manifest {
        Some(text) => Some(text.clone()),
        None => read_bounded(&kept, FILE_BYTES_MAX).ok(),
    };
    if let Some(text) = manifest {
        copy_in(folder, MANIFEST, &text).map_err(failed("write", &folder.join(MANIFEST)))?;
    }
    sync_folder(folder).map_err(failed("write", folder))
}

/// The program's own loader has to accept the new files, together.
fn check(folder: &Path, offer: &Offer) -> Result<(), ImportConfigError> {
    let loaded = config::load(&folder.join("andon.toml"), &Overrides::default())
        .map_err(ImportConfigError::Invalid)?;
    let used = fs::canonicalize(&loaded.keepout.path);
    let came = fs::canonicalize(folder.join("keepout.toml"));
    let uses_it = matches!((used, came), (Ok(used), Ok(came)) if used == came);
    if offer.files.contains_key("keepout.toml") && !uses_it {
        return Err(ImportConfigError::Unused(loaded.keepout.path));
    }
    models::check_labels(&loaded.config).map_err(ImportConfigError::Models)?;
    Ok(())
}

/// Makes every name in `into` a link through `current`, without changing what it leads to, and then exchanges
/// `current`.
fn put_in_force(folder: &Path, into: &Path) -> Result<(), ImportConfigError> {
    let current = into.join(CURRENT);
    if fs::symlink_metadata(&current).is_err() {
        let before = into.join(format!("{PREFIX}0"));
        make_folder(&before, into).map_err(failed("make", &before))?;
        exchange_link(&current, Path::new(&format!("{PREFIX}0")))
            .map_err(failed("make", &current))?;
    }
    for name in NAMES {
        let path = into.join(name);
        let link = Path::new(CURRENT).join(name);
        if leads_to(&path, &link) || !folder.join(name).exists() {
            continue;
        }
        match read_bounded(&path, FILE_BYTES_MAX) {
            Ok(bytes) => {
                copy_in(&current, name, &bytes).map_err(failed("write", &current.join(name)))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("read", &path)(error)),
        }
        sync_folder(&current).map_err(failed("write", &current))?;
        exchange_link(&path, &link).map_err(failed("replace", &path))?;
    }
    exchange_link(&current, file_name(folder)).map_err(failed("replace", &current))
}

/// Removes all configurations but the one in force and the one before. What cannot be removed stays: it does no
/// harm.
fn remove_old(into: &Path, in_force: &Path) {
    let Ok(found) = configurations(into) else {
        return;
    };
    let older = found.values().rev().filter(|path| *path != in_force);
    for path in older.skip(1) {
        let _ = fs::remove_dir_all(path);
    }
}
