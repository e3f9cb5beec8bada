//! Everything that can go wrong with an Edge TPU.

use std::path::PathBuf;
use std::time::Duration;

use super::layout::{LayoutError, WrongLength};
use super::package::PackageError;
use super::regs::{HibErrors, Register};
use super::usb::transport::{HostError, Speed, TransferError};

/// Why the driver could not do something.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TpuError {
    /// There is no Edge TPU where one was looked for.
    #[error("no Edge TPU {0}")]
    Absent(String),
    /// It is connected in a way in which it cannot be used.
    #[error("the Edge TPU {identity} is connected with {speed}, which is too slow for it")]
    TooSlow {
        /// Where it is plugged in.
        identity: String,
        /// How.
        speed: Speed,
    },
    /// The machine's USB refused.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A transfer failed.
    #[error("cannot {operation}: {source}")]
    Transfer {
        /// What was to be done.
        operation: &'static str,
        /// How it ended.
        source: TransferError,
    },
    /// A register could not be reached.
    #[error("cannot {access} register {register}: {source}")]
    Register {
        /// `read` or `write`.
        access: &'static str,
        /// Which.
        register: Register,
        /// How it ended.
        source: TransferError,
    },
    /// A register did not become what it should within the time for it.
    #[error("register {register} is {found:#x} after {waited:?} and should be {wanted}")]
    Stuck {
        /// Which.
        register: Register,
        /// Its last value.
        found: u64,
        /// What it should be.
        wanted: &'static str,
        /// Time that it was given.
        waited: Duration,
    },
    /// The firmware cannot be read.
    #[error(
        "firmware {path}: {reason}. A Coral USB accelerator needs apex_latest_single_ep.bin from https://github.com/google-coral/libedgetpu (driver/usb); put it there, or name its place in the configuration"
    )]
    Firmware {
        /// Where it was looked for.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The firmware download failed.
    #[error("firmware download: {0}")]
    Dfu(String),
    /// The device sent what it must not send.
    #[error("the Edge TPU sent {0}")]
    Nonsense(String),
    /// The chip reports an error of its own.
    #[error("the Edge TPU reports a fatal error: {0}")]
    Fatal(HibErrors),
    /// The chip reports an error outside its computing core.
    #[error("the Edge TPU reports {0}")]
    TopLevel(&'static str),
    /// An inference took too long.
    #[error("no result after {waited:?}: {progress}")]
    Deadline {
        /// How long was waited.
        waited: Duration,
        /// What was done by then, what was awaited.
        progress: String,
    },
    /// The device is being brought back; no inference until then.
    #[error("the Edge TPU {identity} is out of service ({reason}); {step}")]
    OutOfService {
        /// Where it is plugged in.
        identity: String,
        /// The failure that led to it.
        reason: String,
        /// What is being done.
        step: String,
    },
    /// More inferences at once than a program has buffers for.
    #[error("two inferences of this model are already under way")]
    Busy,
    /// The caller's number of inputs or outputs is not the model's.
    #[error("{found} {what}, the model has {expected}")]
    Count {
        /// Inputs or outputs.
        what: &'static str,
        /// The caller's.
        found: usize,
        /// The model's.
        expected: usize,
    },
    /// A program or ticket that this device does not have.
    #[error("the Edge TPU does not know this {0}")]
    Unknown(&'static str),
    /// The caller's tensor is of another length than the model's.
    #[error(transparent)]
    Length(#[from] WrongLength),
    /// A model's package is refused.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A model's layout is refused.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The kernel's driver for the PCIe accelerator refused.
    #[error("{device}: cannot {operation}: {reason}")]
    Gasket {
        /// The device node.
        device: String,
        /// What was to be done.
        operation: &'static str,
        /// What the kernel says.
        reason: String,
    },
}

impl TpuError {
    /// Of a transfer.
    pub(super) fn transfer(operation: &'static str) -> impl Fn(TransferError) -> Self {
        move |source| Self::Transfer { operation, source }
    }

    /// Whether the device is gone, so that nothing on the bus can bring it back.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        if let Self::Absent(_) | Self::Host(HostError::Gone { .. }) = self {
            return true;
        }
        if let Self::Transfer { source, .. } | Self::Register { source, .. } = self {
            return matches!(source, TransferError::Disconnected);
        }
        false
    }

    /// Whether trying again within seconds cannot help.
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        matches!(self, Self::Firmware { .. } | Self::TooSlow { .. })
    }

    /// Whether the caller is at fault and the device is not.
    #[must_use]
    pub const fn is_callers(&self) -> bool {
        matches!(
            self,
            Self::Busy
                | Self::Count { .. }
                | Self::Unknown(_)
                | Self::Length(_)
                | Self::Package(_)
                | Self::Layout(_)
        )
    }
}
