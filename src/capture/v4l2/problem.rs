//! What can be wrong with a camera, in words, and whether waiting may help.

use std::io;
use std::time::Duration;

use nix::errno::Errno;

use crate::geometry::Size;

/// Why a camera cannot be used, or not any longer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CameraProblem {
    /// No such node.
    #[error("it is not there; check cable and power (`andon probe` lists the cameras that are)")]
    NotThere,
    /// The camera that the path named at the start is not among those that are there.
    #[error("{identity} is not plugged in")]
    Gone {
        /// What it is.
        identity: String,
    },
    /// Several cameras could be it.
    #[error(
        "{identity} has moved, and {count} cameras have its serial number; name it by /dev/v4l/by-path/..."
    )]
    Ambiguous {
        /// What it is.
        identity: String,
        /// How many.
        count: usize,
    },
    /// The node may not be opened.
    #[error("permission denied; add the user to the group `video`")]
    NotPermitted,
    /// Another program captures from it.
    #[error("another program is using it ({operation})")]
    InUse {
        /// What was refused.
        operation: &'static str,
    },
    /// It is no camera: another device, an output, a node for metadata.
    #[error("{what}; `andon probe` lists the cameras")]
    NotACamera {
        /// What it is instead.
        what: String,
    },
    /// It offers nothing that is understood and configured.
    #[error(
        "it offers no picture format that can be used{wanted}: it has {offered}; known are {known}"
    )]
    NoFormat {
        /// What the configuration insists on, if anything.
        wanted: String,
        /// What it offers.
        offered: String,
        /// What would do.
        known: String,
    },
    /// A format that it agreed to contradicts itself.
    #[error("its format {format} makes no sense: {why}")]
    BadFormat {
        /// Which.
        format: String,
        /// In what.
        why: String,
    },
    /// A configured control that it does not have, or does not take.
    #[error("control {name} = {value}: {why}")]
    Control {
        /// As configured.
        name: String,
        /// As configured.
        value: String,
        /// What is wrong, and what it would take.
        why: String,
    },
    /// Too little memory for its buffers.
    #[error("it got {count} buffers; {least} are needed")]
    TooFewBuffers {
        /// How many it got.
        count: usize,
        /// How many are needed.
        least: u32,
    },
    /// Nothing comes.
    #[error("no picture for {} ms", after.as_millis())]
    Silent {
        /// For how long.
        after: Duration,
    },
    /// It announced that its pictures have another size or rate.
    #[error("its picture has changed size or rate")]
    Changed,
    /// Its picture has another shape than it had before in this run.
    #[error(
        "its picture was {before} and is {now} now: it shows another part of the world, and zones would lie elsewhere; give it back what it had, or start the program again"
    )]
    OtherShape {
        /// The first that was agreed on in this run.
        before: Size,
        /// What was agreed on now.
        now: Size,
    },
    /// It broke the protocol of buffers.
    #[error("its driver gave buffer {index}, which it did not have")]
    ForeignBuffer {
        /// Which.
        index: u32,
    },
    /// The kernel refused something.
    #[error("{operation}: {source}")]
    Call {
        /// Name of the call.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl CameraProblem {
    /// Makes a problem of a refused call.
    pub(super) fn of(operation: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| match errno(&source) {
            Some(Errno::EBUSY) => Self::InUse { operation },
            Some(Errno::ENODEV | Errno::ENXIO | Errno::ENOENT) => Self::NotThere,
            _ => Self::Call { operation, source },
        }
    }

    /// Whether it may be over by itself later, so that a program that starts goes on and tries again.
    /// What is wrong with the configuration, or with what it names, is not.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::NotThere
            | Self::Gone { .. }
            | Self::Ambiguous { .. }
            | Self::InUse { .. }
            | Self::TooFewBuffers { .. }
            | Self::Silent { .. }
            | Self::Changed
            | Self::OtherShape { .. }
            | Self::ForeignBuffer { .. }
            | Self::Call { .. } => true,
            Self::NotPermitted
            | Self::NotACamera { .. }
            | Self::NoFormat { .. }
            | Self::BadFormat { .. }
            | Self::Control { .. } => false,
        }
    }
}

/// The system's number of an error.
pub(super) fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw)
}
