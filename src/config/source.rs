//! A configuration file's text, with its lines and columns.

use std::fs::{Metadata, OpenOptions};
use std::io::Read as _;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use sha2::{Digest as _, Sha256};
use toml::Spanned;
use toml::de::DeTable;

use super::error::{Excerpt, Origin, Problems};

/// Most bytes of a configuration file. 64 zones of 256 points fit many times over.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;

/// Most syntax errors noted per file: after a few, the rest are consequences.
const SYNTAX_ERRORS_MAX: usize = 5;

/// Largest text, in bytes, in which all syntax errors are looked for and not the first only.
const RECOVERED_BYTES_MAX: usize = 64 * 1024;

/// Most characters of a value that a message repeats.
const VALUE_SHOWN: usize = 40;

/// A configuration file's text.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    text: String,
    /// Byte at which each line begins.
    line_starts: Vec<usize>,
}

impl Source {
    /// Takes a file's text.
    pub(super) fn new(path: &Path, text: String) -> Self {
        let newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            line_starts: std::iter::once(0).chain(newlines).collect(),
            path: path.to_owned(),
            text,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Reads a file; whatever keeps it from being a short UTF-8 text is noted, with `help`. What was
    /// found there is added to `seen`.
    pub(super) fn read(
        path: &Path,
        help: &str,
        problems: &Problems,
        seen: &mut Vec<SeenFile>,
    ) -> Option<Self> {
        let read = read_bytes(path);
        seen.push(SeenFile {
            path: path.to_owned(),
            content: match &read {
                Ok(bytes) => Content::Sha256(sha256(bytes)),
                Err(message) => Content::Unreadable(message.clone()),
            },
        });
        match read {
            Ok(bytes) => Self::from_bytes(path, bytes, problems),
            Err(message) => {
                problems.add_with_help(Origin::File(path.to_owned()), message, help);
                None
            }
        }
    }

    /// Takes a file's content; anything but UTF-8 is noted.
    pub(super) fn from_bytes(path: &Path, bytes: Vec<u8>, problems: &Problems) -> Option<Self> {
        match String::from_utf8(bytes) {
            Ok(text) => Some(Self::new(path, text)),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                problems.add_with_help(
                    Self::new(path, text).origin(valid..valid + 1),
                    format!("byte {valid} is not UTF-8 text"),
                    "save the file as UTF-8; is it a configuration at all?",
                );
                None
            }
        }
    }

    /// The table at the top, or nothing where the text is not TOML; that is noted.
    pub(super) fn parse(&self, problems: &Problems) -> Option<Spanned<DeTable<'_>>> {
        let errors = match DeTable::parse(&self.text) {
            Ok(table) => return Some(table),
            // Every error takes memory; junk has one per byte.
            Err(first) if self.text.len() > RECOVERED_BYTES_MAX => vec![first],
            Err(_) => DeTable::parse_recoverable(&self.text).1,
        };
        for error in errors.iter().take(SYNTAX_ERRORS_MAX) {
            let end = self.text.len();
            let origin = self.origin(error.span().unwrap_or(end..end));
            problems.add(origin, format!("not valid TOML: {}", error.message()));
        }
        None
    }

    /// The place of a range of bytes.
    pub(super) fn origin(&self, span: Range<usize>) -> Origin {
        let start = self.text.floor_char_boundary(span.start);
        let line = self.line_starts.partition_point(|first| *first <= start);
        let line_start = *self.line_starts.get(line - 1).unwrap_or(&0);
        let (_, from_line) = self.text.split_at(line_start);
        let text = from_line.lines().next().unwrap_or_default();
        let (before, _) = from_line.split_at(start - line_start);
        let column = before.chars().count();
        let marked = self.text.get(start..span.end).unwrap_or_default();
        let marked = marked.lines().next().unwrap_or_default().trim_end();
        Origin::Text {
            path: self.path.clone(),
            line,
            column: column + 1,
            excerpt: Excerpt::new(text, column, marked.chars().count()),
        }
    }

    /// The place of a whole line, from 1.
    pub(super) fn origin_of_line(&self, line: usize) -> Origin {
        let end = self.text.len();
        let start = *self.line_starts.get(line - 1).unwrap_or(&end);
        let next = *self.line_starts.get(line).unwrap_or(&end);
        self.origin(start..next)
    }

    /// A value as it is written, shortened.
    pub(super) fn written(&self, span: Range<usize>) -> String {
        let text = self.text.get(span).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let mut shown: String = line.chars().take(VALUE_SHOWN).collect();
        if shown.len() < text.len() {
            shown.push_str("...");
        }
        shown.replace(char::is_control, " ")
    }
}

/// What a try to load the configuration found at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenFile {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub content: Content,
}

/// A file's content, as far as it matters for telling whether it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// SHA-256 of its bytes, 64 hexadecimal digits.
    Sha256(String),
    /// Why it could not be read.
    Unreadable(String),
}

impl Content {
    /// The hash of a file that could be read.
    #[must_use]
    pub fn sha256(&self) -> Option<&str> {
        match self {
            Self::Sha256(hash) => Some(hash),
            Self::Unreadable(_) => None,
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The content of a regular file, or why not.
fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    refuse_special(&std::fs::metadata(path).map_err(cannot)?)?;
    // A pipe that took the file's place since then does not make the opening wait either.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(cannot)?;
    refuse_special(&file.metadata().map_err(cannot)?)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if length > FILE_BYTES_MAX {
        return Err(format!(
            "is larger than {} KiB, the most a configuration may have",
            FILE_BYTES_MAX / 1024
        ));
    }
    Ok(bytes)
}

/// The text of a configuration file, with the same limits as when it is loaded.
///
/// # Errors
///
/// It is missing, no regular file, larger than 1 MiB or not UTF-8.
pub fn read_text(path: &Path) -> std::io::Result<String> {
    let bytes = read_bytes(path).map_err(std::io::Error::other)?;
    String::from_utf8(bytes).map_err(std::io::Error::other)
}

/// Opening a pipe or a device could wait for ever.
fn refuse_special(metadata: &Metadata) -> Result<(), String> {
    if metadata.is_dir() {
        Err("is a folder, not a file".to_owned())
    } else if metadata.is_file() {
        Ok(())
    } else {
        Err("is not a regular file".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_lines_and_characters_from_1() {
        let text = "a = 1\r\n\u{e4} = \"\u{20ac}\" # x\n".to_owned();
        let source = Source::new(Path::new("a.toml"), text);
        let start = source.text.find('"').expect("there");
        let expected = Origin::Text {
            path: "a.toml".into(),
            line: 2,
            column: 5,
            excerpt: Excerpt {
                text: "\u{e4} = \"\u{20ac}\" # x".to_owned(),
                marked: 4..7,
            },
        };
        assert_eq!(source.origin(start..start + 5), expected);
        // Beyond the end is the end.
        assert!(matches!(
            source.origin(1000..2000),
            Origin::Text {
                line: 3,
                column: 1,
                ..
            }
        ));
        assert!(matches!(
            source.origin_of_line(9),
            Origin::Text { line: 3, .. }
        ));
    }
}
