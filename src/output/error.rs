//! Why a line cannot be used, in words that say what there is instead.

use std::path::PathBuf;

use crate::message::OutputName;

/// Why a line cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// An output line could not be driven.
    #[error("cannot drive output line {name}: {source}; check wiring and [output]")]
    Drive {
        /// Which line.
        name: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// An input line could not be read.
    #[error("cannot read input line {name}: {source}; check wiring and [output]")]
    Read {
        /// Which line.
        name: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// No chip has the label or device that is configured.
    #[error("{user}: there is no gpiochip {wanted}; {present}")]
    NoChip {
        /// The key: `output.lines.reject`.
        user: String,
        /// What is configured.
        wanted: String,
        /// What there is, in words.
        present: String,
    },
    /// More than one chip has the label.
    #[error("{user}: {paths} all have the label {label}; name one of them by its device")]
    AmbiguousChip {
        /// The key.
        user: String,
        /// The label.
        label: String,
        /// Their devices.
        paths: String,
    },
    /// A chip has no such line.
    #[error("{user}: gpiochip {chip} has no {wanted}; {present}")]
    NoLine {
        /// The key.
        user: String,
        /// The chip, with its label.
        chip: String,
        /// What is configured.
        wanted: String,
        /// What there is, in words.
        present: String,
    },
    /// More than one line has the name.
    #[error(
        "{user}: lines {offsets} of gpiochip {chip} are all called \"{wanted}\"; name one of them by its offset"
    )]
    AmbiguousLine {
        /// The key.
        user: String,
        /// The chip, with its label.
        chip: String,
        /// The name.
        wanted: String,
        /// Their offsets.
        offsets: String,
    },
    /// Two keys mean the same line.
    #[error("{user} and {other} are the same line, {line}; give each a line of its own")]
    OneLineTwice {
        /// The key.
        user: String,
        /// The key that has the line already.
        other: String,
        /// The line they share.
        line: String,
    },
    /// Somebody else has the line.
    #[error("{user}: {line} is in use by {consumer}; end it, or choose another line")]
    Busy {
        /// The key.
        user: String,
        /// The line.
        line: String,
        /// Who has it.
        consumer: String,
    },
    /// A chip's device may not be opened.
    #[error("may not open {}: {source}; add the user to the group that owns it (often gpio)", path.display())]
    NotPermitted {
        /// The device.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A chip cannot be looked at.
    #[error("cannot read gpiochip {}: {reason}; see `andon probe`", path.display())]
    Chip {
        /// The device.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The kernel refused to hand out a line.
    #[error("{user}: cannot request {line}: {reason}")]
    Request {
        /// The key.
        user: String,
        /// The line.
        line: String,
        /// What the system said.
        reason: String,
    },
    /// Lines were ordered in a pace that is not the machine's.
    #[error(
        "output.backend = \"gpio\" switches a real machine, which runs in real time; use --pace realtime"
    )]
    Pace,
}

impl OutputError {
    /// An output line could not be driven.
    #[must_use]
    pub const fn drive(output: OutputName, source: std::io::Error) -> Self {
        Self::Drive {
            name: output.name(),
            source,
        }
    }
}
