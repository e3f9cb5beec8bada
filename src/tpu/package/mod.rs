//! What an Edge TPU's compiler leaves in a model file: the package, read and checked.
//!
//! ```text
//! custom_options of the operator `edgetpu-custom-op`   a flexbuffer map; key "4" holds
//!   └─ package                                         a flatbuffer `DWN1`, which holds
//!        └─ multi-executable                           a flatbuffer with a list of
//!             └─ executables                           flatbuffers: instructions, parameters,
//!                                                      DMA hints, input and output layers
//! ```
//!
//! Role words are the compiler's. An *executable* is one program for the chip: `PARAMETER_CACHING`
//! puts weights into the chip's memory, `EXECUTION_ONLY` computes with them, `STAND_ALONE` does both.
//! The *parameter caching token* names a set of models that were compiled to fit in the chip's memory
//! together. A *DMA hint* says what goes over the bus next; the hints in their order are the whole
//! conversation with the chip.
//!
//! A package that contradicts itself is refused with the reason, and nothing is clamped: the chip
//! does not check, it computes garbage or hangs. Pure.

mod check;
mod read;

use std::sync::Arc;
use std::time::Duration;

use super::usb::transport::Speed;
use crate::flat::flatbuffer::FlatbufferError;
use crate::flat::flexbuffer::FlexbufferError;

/// The runtime version whose packages this driver understands; the newest that exists.
pub const RUNTIME_VERSION: i32 = 14;

/// Why a package is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackageError {
    /// The operator's options are damaged.
    #[error("the options of edgetpu-custom-op are damaged: {0}")]
    Options(String),
    /// A flatbuffer is damaged.
    #[error("{part} is damaged: {reason}")]
    Damaged {
        /// Package, multi-executable, executable.
        part: &'static str,
        /// What the reader says.
        reason: String,
    },
    /// Readable, but it contradicts itself.
    #[error("{part} contradicts itself: {reason}")]
    Inconsistent {
        /// Package, multi-executable, executable.
        part: &'static str,
        /// Expected and found.
        reason: String,
    },
    /// In order, but for something this driver does not do.
    #[error("the package {0}")]
    Unsupported(String),
}

impl From<FlexbufferError> for PackageError {
    fn from(error: FlexbufferError) -> Self {
        Self::Options(error.to_string())
    }
}

impl PackageError {
    fn damaged(part: &'static str) -> impl Fn(FlatbufferError) -> Self {
        move |error| Self::Damaged {
            part,
            reason: error.to_string(),
        }
    }
}

/// What an executable is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExecutableKind {
    /// Loads what it needs and computes.
    StandAlone,
    /// Loads weights into the chip's memory.
    ParameterCaching,
    /// Computes with the weights that are there.
    ExecutionOnly,
}

impl ExecutableKind {
    /// The compiler's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StandAlone => "STAND_ALONE",
            Self::ParameterCaching => "PARAMETER_CACHING",
            Self::ExecutionOnly => "EXECUTION_ONLY",
        }
    }
}

/// Names the models whose weights may be on the chip at the same time; 0 is nobody else's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CachingToken(pub u64);

impl std::fmt::Display for CachingToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#018x}", self.0)
    }
}

/// What a base address in the instructions points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Base {
    /// Output layer of that index.
    Output(usize),
    /// Input layer of that index.
    Input(usize),
    /// The parameters.
    Parameters,
    /// Memory for what does not fit on the chip.
    Scratch,
}

/// Which half of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Half {
    /// Bits 0 to 31.
    Low,
    /// Bits 32 to 63.
    High,
}

/// 32 bits in an instruction bitstream to be overwritten with half an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The first of the bits; bit 0 is the lowest of byte 0.
    pub bit: usize,
    /// Whose address.
    pub base: Base,
    /// Which half of it.
    pub half: Half,
}

/// A chunk of instructions with its address fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstructionChunk {
    /// As compiled.
    pub bytes: Arc<[u8]>,
    /// What is to be patched, in the order of the bits; none overlap.
    pub fields: Vec<Field>,
}

/// The next thing that goes over the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// A whole instruction chunk goes to the chip.
    Instructions {
        /// Its index.
        chunk: usize,
    },
    /// A part of an input goes to the chip.
    Input {
        /// Index of the layer.
        layer: usize,
        /// First byte.
        offset: usize,
        /// Bytes.
        length: usize,
    },
    /// A part of the parameters goes to the chip.
    Parameters {
        /// First byte.
        offset: usize,
        /// Bytes.
        length: usize,
    },
    /// A part of an output comes from the chip.
    Output {
        /// Index of the layer.
        layer: usize,
        /// First byte.
        offset: usize,
        /// Bytes.
        length: usize,
    },
    /// The chip says that it is done; always the last.
    Completion,
    /// Everything before must be over before anything after begins.
    Fence,
}

/// Type of a layer's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    /// Quantised, unsigned, 8 bits.
    Unsigned8,
    /// Quantised, signed, 8 bits. On the wire with its sign bit flipped.
    Signed8,
    /// Quantised, unsigned, 16 bits.
    Unsigned16,
    /// Quantised, signed, 16 bits. On the wire with its sign bit flipped.
    Signed16,
    /// Quantised, signed, 32 bits.
    Signed32,
    /// Google's 16-bit floating point.
    Bfloat16,
    /// IEEE 754 binary16.
    Half,
    /// IEEE 754 binary32.
    Single,
}

impl DataType {
    /// Bytes of an element.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Unsigned8 | Self::Signed8 => 1,
            Self::Unsigned16 | Self::Signed16 | Self::Bfloat16 | Self::Half => 2,
            Self::Signed32 | Self::Single => 4,
        }
    }

    /// Whether the chip sees elements with their sign bit flipped.
    #[must_use]
    pub const fn is_sign_flipped(self) -> bool {
        matches!(self, Self::Signed8 | Self::Signed16)
    }

    /// The compiler's word, shortened.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unsigned8 => "uint8",
            Self::Signed8 => "int8",
            Self::Unsigned16 => "uint16",
            Self::Signed16 => "int16",
            Self::Signed32 => "int32",
            Self::Bfloat16 => "bfloat16",
            Self::Half => "float16",
            Self::Single => "float32",
        }
    }
}

/// An input or output layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// Rows, columns and channels; 1 where there is no such dimension.
    pub dimensions: [usize; 3],
    /// Elements that mean something, of one execution.
    pub elements: usize,
    /// Type of its elements.
    pub data_type: DataType,
    /// Bytes of one execution on the wire, with padding.
    pub padded_bytes: usize,
    /// How many times the layer runs per inference.
    pub executions: usize,
    /// The stored value that means 0.
    pub zero_point: i32,
    /// The difference between neighbouring values.
    pub scale: f32,
    /// Length of each dimension of its full shape, where it has one.
    pub shape: Option<Vec<Span>>,
    /// Where the chip puts the elements of an output.
    pub arrangement: Arrangement,
}

impl Layer {
    /// Bytes of an inference without padding.
    #[must_use]
    pub const fn actual_bytes(&self) -> usize {
        self.elements * self.data_type.bytes() * self.executions
    }

    /// Bytes of an inference on the wire.
    #[must_use]
    pub const fn wire_bytes(&self) -> usize {
        self.padded_bytes * self.executions
    }
}

/// First and last index of a dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First index.
    pub start: usize,
    /// Last index; not before the first.
    pub end: usize,
}

impl Span {
    /// Indices in it.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a span is never empty")]
    pub const fn len(self) -> usize {
        self.end - self.start + 1
    }
}

/// How the chip lays an output out in the bytes it sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrangement {
    /// One element after the other.
    Linear,
    /// In tiles, found through maps from coordinates.
    Tiles(TileMaps),
    /// In slices of the shape, each with its own strides.
    Slices(Vec<Slice>),
}

/// Maps from a coordinate to where the chip put it, in elements. All lookups are inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TileMaps {
    /// Row to the first tile of its row of tiles.
    pub tile_of_row: Vec<usize>,
    /// Column to the tile within a row of tiles.
    pub tile_of_column: Vec<usize>,
    /// Tile to its first element.
    pub tile_offset: Vec<usize>,
    /// Column to its offset within a row of its tile.
    pub column_offset: Vec<usize>,
    /// Row to the row within its tile.
    pub row_in_tile: Vec<usize>,
    /// Column to the length of a row of its tile.
    pub row_length: Vec<usize>,
}

/// A part of an output's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Which indices it holds, per dimension.
    pub shape: Vec<Span>,
    /// Elements from one index to the next, per dimension.
    pub strides: Vec<usize>,
    /// Where it begins, in bytes.
    pub offset: usize,
}

/// A program for the chip.
#[derive(Clone, Debug, PartialEq)]
pub struct Executable {
    /// What it is for.
    pub kind: ExecutableKind,
    /// Its name.
    pub name: String,
    /// Which weights may be on the chip together with its own.
    pub token: CachingToken,
    /// Its instructions.
    pub chunks: Vec<InstructionChunk>,
    /// Its parameters.
    pub parameters: Arc<[u8]>,
    /// What goes over the bus, in order; ends with [`Hint::Completion`].
    pub hints: Vec<Hint>,
    /// What goes in.
    pub inputs: Vec<Layer>,
    /// What comes out.
    pub outputs: Vec<Layer>,
    /// Memory for what does not fit on the chip.
    pub scratch_bytes: usize,
    /// The compiler's estimate, 0 where it has none.
    pub estimated_cycles: u64,
}

/// A model for the chip.
#[derive(Clone, Debug, PartialEq)]
pub struct Package {
    /// Loads the weights, where the model keeps any on the chip.
    pub caching: Option<Executable>,
    /// Computes.
    pub main: Executable,
    /// The compiler that made it.
    pub compiler_version: String,
    /// The oldest runtime that it is for.
    pub min_runtime_version: i32,
    /// A name that a user gave it; mostly empty.
    pub model_identifier: String,
}

/// What a package costs: memory on the chip, and traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Weights that stay on the chip.
    pub cached_bytes: usize,
    /// Bytes that loading them takes, instructions included.
    pub upload_bytes: usize,
    /// Weights that do not fit and are sent again with every inference.
    pub streamed_bytes: usize,
    /// Everything that goes to the chip with every inference, headers not counted.
    pub to_chip_bytes: usize,
    /// Everything that comes back with every inference.
    pub from_chip_bytes: usize,
}

impl Traffic {
    /// How long what goes over the bus with every inference takes there; headers and turnarounds not
    /// counted.
    #[must_use]
    pub fn transfer_time(&self, speed: Speed) -> Duration {
        transfer_time(self.to_chip_bytes + self.from_chip_bytes, speed)
    }

    /// How long loading the weights takes.
    #[must_use]
    pub fn upload_time(&self, speed: Speed) -> Duration {
        transfer_time(self.upload_bytes, speed)
    }
}

/// 320 and 40 million bytes per second: what bulk transfers reach in practice.
fn transfer_time(bytes: usize, speed: Speed) -> Duration {
    let bytes_per_microsecond = match speed {
        Speed::Full => 1,
        Speed::High => 40,
        Speed::Super => 320,
    };
    Duration::from_micros(bytes as u64 / bytes_per_microsecond)
}

impl Package {
    /// Reads the package in an operator's options.
    ///
    /// # Errors
    ///
    /// Damaged, contradicting itself, or for something this driver does not do.
    pub fn from_custom_options(options: &[u8]) -> Result<Self, PackageError> {
        Self::parse(read::package_of_options(options)?)
    }

    /// Reads a package.
    ///
    /// # Errors
    ///
    /// As [`Package::from_custom_options`].
    pub fn parse(bytes: &[u8]) -> Result<Self, PackageError> {
        read::package(bytes, read::COPIED_MAX)
    }

    /// The token of its executables.
    #[must_use]
    pub const fn token(&self) -> CachingToken {
        self.main.token
    }

    /// What it costs.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let main = self.main.traffic();
        let caching = self.caching.as_ref().map(Executable::traffic);
        let caching = caching.unwrap_or_default();
        Traffic {
            cached_bytes: caching.parameters,
            upload_bytes: caching.parameters + caching.instructions,
            streamed_bytes: main.parameters,
            to_chip_bytes: main.instructions + main.inputs + main.parameters,
            from_chip_bytes: main.outputs,
        }
    }
}

/// Bytes per run by what they are.
#[derive(Clone, Copy, Debug, Default)]
struct Bytes {
    instructions: usize,
    inputs: usize,
    parameters: usize,
    outputs: usize,
}

impl Executable {
    /// What it is called in messages.
    #[must_use]
    pub const fn part(&self) -> &'static str {
        part_name(self.kind)
    }

    fn traffic(&self) -> Bytes {
        let mut bytes = Bytes::default();
        for hint in &self.hints {
            match *hint {
                Hint::Instructions { chunk } => {
                    let chunk = self.chunks.get(chunk);
                    bytes.instructions += chunk.map_or(0, |chunk| chunk.bytes.len());
                }
                Hint::Input { length, .. } => bytes.inputs += length,
                Hint::Parameters { length, .. } => bytes.parameters += length,
                Hint::Output { length, .. } => bytes.outputs += length,
                Hint::Completion | Hint::Fence => {}
            }
        }
        bytes
    }
}

/// What an executable of a kind is called in messages.
const fn part_name(kind: ExecutableKind) -> &'static str {
    match kind {
        ExecutableKind::StandAlone => "the STAND_ALONE executable",
        ExecutableKind::ParameterCaching => "the PARAMETER_CACHING executable",
        ExecutableKind::ExecutionOnly => "the EXECUTION_ONLY executable",
    }
}

#[cfg(test)]
mod tests;
