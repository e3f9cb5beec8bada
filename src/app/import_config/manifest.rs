//! The signed list of a configuration's files, and the key that it is signed with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// The files that a configuration may have.
pub(super) const NAMES: [&str; 3] = ["andon.toml", "camera_reference.png", "keepout.toml"];

/// What a manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) sequence: u64,
    /// Name, and SHA-256 in 64 hexadecimal digits.
    pub(super) files: Vec<(&'static str, String)>,
}

/// Why a manifest is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not text, or of another kind or version.
    #[error(
        "does not begin with the line `andon-config 1`: it is no configuration's manifest, or of a newer version"
    )]
    Kind,
    /// The second line is not the number.
    #[error("its second line is not `sequence NUMBER`")]
    Sequence,
    /// A line is not understood.
    #[error(
        "line {0} is not `file SHA256 NAME`, with a NAME that a configuration has, and each name once"
    )]
    File(usize),
    /// It lists nothing.
    #[error("lists no file")]
    Empty,
}

impl Manifest {
    /// Reads the text of a manifest.
    pub(super) fn parse(text: &[u8]) -> Result<Self, ManifestError> {
        let text = std::str::from_utf8(text).map_err(|_not_text| ManifestError::Kind)?;
        let mut lines = text.lines();
        if lines.next() != Some("andon-config 1") {
            return Err(ManifestError::Kind);
        }
        let sequence = lines
            .next()
            .and_then(|line| line.strip_prefix("sequence "))
            .and_then(|number| number.parse().ok())
            .ok_or(ManifestError::Sequence)?;
        let mut files: Vec<(&'static str, String)> = Vec::new();
        for (index, line) in lines.enumerate() {
            let file = file(line).ok_or(ManifestError::File(index + 3))?;
            if files.iter().any(|(name, _)| *name == file.0) {
                return Err(ManifestError::File(index + 3));
            }
            files.push(file);
        }
        if files.is_empty() {
            return Err(ManifestError::Empty);
        }
        Ok(Self { sequence, files })
    }
}

fn file(line: &str) -> Option<(&'static str, String)> {
    let (sha256, name) = line.strip_prefix("file ")?.split_once(' ')?;
    let name = NAMES.into_iter().find(|known| *known == name)?;
    let is_digest = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest.then(|| (name, sha256.to_ascii_lowercase()))
}

/// SHA-256 in 64 hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What stands before the 32 bytes of an Ed25519 public key in its SubjectPublicKeyInfo (RFC 8410, section 4).
const ED25519_SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// The 32 bytes of an Ed25519 public key in PEM.
pub(super) fn public_key(pem: &[u8]) -> Option<[u8; 32]> {
    let text = std::str::from_utf8(pem).ok()?;
    let (_, rest) = text.split_once("-----BEGIN PUBLIC KEY-----")?;
    let (body, _) = rest.split_once("-----END PUBLIC KEY-----")?;
    let body: String = body.split_ascii_whitespace().collect();
    let der = STANDARD.decode(body).ok()?;
    der.strip_prefix(&ED25519_SPKI)?.try_into().ok()
}
