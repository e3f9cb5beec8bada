//! The simulator's own reader of compiled models.
//!
//! ```text
//! model.tflite ─▶ custom options of `edgetpu-custom-op` ─▶ Package ─▶ Executable ×n ─▶ hints, layers
//! ```
//!
//! It shares no code with the driver's reader and keeps the chip's view: what bytes will arrive, in
//! which order, and what the answer must look like. It is lenient where the chip could not know
//! better, and strict where the simulator would have to guess.

mod executable;
mod layer;

pub use executable::{Bitstream, Direction, Executable, Field, Half, Hint, Kind, Target};
pub use layer::{DataType, Layer, ShapeInfo, Slice, TileLayout};

use thiserror::Error;

use crate::flat::{Buffer, FlatError};

/// Why a package cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PackageError {
    /// The flatbuffer is broken.
    #[error("{0}")]
    Flat(#[from] FlatError),
    /// No package in the options.
    #[error("no DWN1 package in the custom options")]
    NoPackage,
    /// A value that has no meaning.
    #[error("{what} is {value}")]
    Value {
        /// Which one.
        what: &'static str,
        /// What it is.
        value: i64,
    },
    /// Parts that contradict each other.
    #[error("{0}")]
    Inconsistent(String),
}

/// A compiled graph: what one `edgetpu-custom-op` carries.
#[derive(Clone, Debug)]
pub struct Package {
    /// Least runtime version that it asks for.
    pub min_runtime_version: i32,
    /// The compiler's version string.
    pub compiler_version: String,
    /// The compiler's (or the packer's) name for the model.
    pub model_identifier: String,
    /// All executables, in file order.
    pub executables: Vec<Executable>,
}

impl Package {
    /// Reads a package out of an operator's custom options: the flatbuffer whose identifier is
    /// `DWN1`, wherever in the flexbuffer it stands.
    ///
    /// # Errors
    ///
    /// There is none, or it is broken.
    pub fn from_custom_options(options: &[u8]) -> Result<Self, PackageError> {
        let at = options
            .windows(4)
            .position(|window| window == b"DWN1")
            .and_then(|at| at.checked_sub(4))
            .ok_or(PackageError::NoPackage)?;
        let bytes = options.get(at..).ok_or(PackageError::NoPackage)?;
        Self::read(bytes)
    }

    /// Reads a package from its flatbuffer.
    ///
    /// # Errors
    ///
    /// It is broken.
    pub fn read(bytes: &[u8]) -> Result<Self, PackageError> {
        let root = Buffer::new(bytes).root()?;
        let multi = root.bytes(1)?.ok_or_else(|| {
            PackageError::Inconsistent("the package holds no executables".to_owned())
        })?;
        let executables = Buffer::new(multi)
            .root()?
            .blobs(0)?
            .into_iter()
            .map(Executable::read)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            min_runtime_version: root.i32(0, 0)?,
            compiler_version: root.string(4)?,
            model_identifier: root.string(7)?,
            executables,
        })
    }

    /// The executable of a kind, if there is one.
    #[must_use]
    pub fn executable(&self, kind: Kind) -> Option<&Executable> {
        self.executables.iter().find(|e| e.kind == kind)
    }
}
