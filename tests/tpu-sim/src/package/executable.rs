//! Executables: instructions with their patch fields, parameters, and the order of transfers.

use super::PackageError;
use super::layer::Layer;
use crate::flat::{Buffer, Table};

/// What running it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Everything for an inference.
    StandAlone,
    /// Puts parameters into the chip's memory.
    ParameterCaching,
    /// An inference whose parameters are in the chip's memory already.
    ExecutionOnly,
}

/// What an address points to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// An output layer's buffer.
    Output {
        /// The layer.
        name: String,
        /// Which of the batch.
        batch: i32,
    },
    /// An input layer's buffer.
    Input {
        /// The layer.
        name: String,
        /// Which of the batch.
        batch: i32,
    },
    /// The parameters.
    Parameters,
    /// The scratch buffer.
    Scratch,
}

/// Which half of a 64-bit address a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Bits 0 to 31.
    Low,
    /// Bits 32 to 63.
    High,
}

/// Thirty-two bits of an instruction bitstream that the driver fills in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Whose address.
    pub target: Target,
    /// Which half of it.
    pub half: Half,
    /// The first bit, counted from bit 0 of byte 0.
    pub bit: usize,
}

/// One chunk of instructions.
#[derive(Clone, Debug)]
pub struct Bitstream {
    /// The encoded instructions.
    pub bytes: Vec<u8>,
    /// Where addresses go.
    pub fields: Vec<Field>,
}

/// Way of a transfer, as the chip sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Host to chip.
    Infeed,
    /// Chip to host.
    Outfeed,
}

/// One step of an executable's traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Bytes of a buffer.
    Dma {
        /// Which buffer.
        target: Target,
        /// First byte.
        offset: usize,
        /// Number of bytes.
        bytes: usize,
        /// Which way.
        direction: Direction,
    },
    /// A chunk of instructions.
    Instructions(usize),
    /// The chip interrupts the host; number 0 completes the request.
    Interrupt(u8),
    /// Everything before it is complete before anything after it starts.
    Fence,
}

/// One executable of a package.
#[derive(Clone, Debug)]
pub struct Executable {
    /// Its name.
    pub name: String,
    /// What it does.
    pub kind: Kind,
    /// Executables of equal token fit into the chip's memory together; 0 means with nothing.
    pub token: u64,
    /// Inputs per run.
    pub batch: usize,
    /// Bytes of scratch memory on the host.
    pub scratch_bytes: usize,
    /// Instruction chunks.
    pub bitstreams: Vec<Bitstream>,
    /// Parameter bytes.
    pub parameters: Vec<u8>,
    /// The traffic, in order.
    pub hints: Vec<Hint>,
    /// Whether the hints are all the traffic there is.
    pub fully_deterministic: bool,
    /// Input layers.
    pub inputs: Vec<Layer>,
    /// Output layers.
    pub outputs: Vec<Layer>,
    /// The chip it is for.
    pub chip: String,
    /// Cycles per tile and other figures that only reports use.
    pub estimated_cycles: u64,
}

fn unsigned(what: &'static str, value: i32) -> Result<usize, PackageError> {
    match usize::try_from(value) {
        Ok(value) => Ok(value),
        Err(_) => Err(PackageError::Value {
            what,
            value: i64::from(value),
        }),
    }
}

fn target(meta: &Table<'_>) -> Result<Target, PackageError> {
    let batch = meta.i32(1, 0)?;
    Ok(match meta.i16(0, 0)? {
        0 => Target::Output {
            name: meta.string(2)?,
            batch,
        },
        1 => Target::Input {
            name: meta.string(2)?,
            batch,
        },
        2 => Target::Parameters,
        3 => Target::Scratch,
        value => {
            return Err(PackageError::Value {
                what: "a field's description",
                value: i64::from(value),
            });
        }
    })
}

fn field(table: &Table<'_>) -> Result<Field, PackageError> {
    let meta = table.required(0)?;
    let half = match meta.i16(3, 0)? {
        0 => Half::Low,
        1 => Half::High,
        value => {
            return Err(PackageError::Value {
                what: "a field's position",
                value: i64::from(value),
            });
        }
    };
    Ok(Field {
        target: target(&meta)?,
        half,
        bit: unsigned("a field's bit offset", table.i32(1, 0)?)?,
    })
}

fn bitstream(table: &Table<'_>) -> Result<Bitstream, PackageError> {
    let bytes = table.bytes(0)?.unwrap_or_default().to_vec();
    let fields = table
        .tables(1)?
        .iter()
        .map(field)
        .collect::<Result<Vec<_>, _>>()?;
    for field in &fields {
        if field.bit + 32 > 8 * bytes.len() {
            return Err(PackageError::Inconsistent(format!(
                "a field at bit {} leaves its chunk of {} bytes",
                field.bit,
                bytes.len()
            )));
        }
    }
    Ok(Bitstream { bytes, fields })
}

fn hint(table: &Table<'_>) -> Result<Hint, PackageError> {
    let kind = table.u8(0, 0)?;
    match kind {
        1 => {
            let dma = table.required(1)?;
            let direction = match table.i16(2, 0)? {
                0 => Direction::Infeed,
                1 => Direction::Outfeed,
                value => {
                    return Err(PackageError::Value {
                        what: "a hint's direction",
                        value: i64::from(value),
                    });
                }
            };
            Ok(Hint::Dma {
                target: target(&dma.required(0)?)?,
                offset: unsigned("a hint's offset", dma.i32(1, 0)?)?,
                bytes: unsigned("a hint's size", dma.i32(2, 0)?)?,
                direction,
            })
        }
        2 => Ok(Hint::Instructions(unsigned(
            "an instruction chunk's index",
            table.required(1)?.i32(0, 0)?,
        )?)),
        3 => {
            let value = table.required(1)?.i16(0, 0)?;
            u8::try_from(value)
                .ok()
                .filter(|number| *number < 4)
                .map(Hint::Interrupt)
                .ok_or(PackageError::Value {
                    what: "an interrupt's number",
                    value: i64::from(value),
                })
        }
        4 => Ok(Hint::Fence),
        value => Err(PackageError::Value {
            what: "a hint's kind",
            value: i64::from(value),
        }),
    }
}

impl Executable {
    /// Reads an executable from its flatbuffer.
    ///
    /// # Errors
    ///
    /// It is broken.
    pub fn read(bytes: &[u8]) -> Result<Self, PackageError> {
        let root = Buffer::new(bytes).root()?;
        let kind = match root.i16(13, 0)? {
            0 => Kind::StandAlone,
            1 => Kind::ParameterCaching,
            2 => Kind::ExecutionOnly,
            value => {
                return Err(PackageError::Value {
                    what: "the executable's type",
                    value: i64::from(value),
                });
            }
        };
        let hints = root.required(7)?;
        let executable = Self {
            name: root.string(1)?,
            kind,
            token: root.u64(14, 0)?,
            batch: unsigned("the batch size", root.i32(3, 0)?)?,
            scratch_bytes: unsigned("the scratch size", root.i32(4, 0)?)?,
            bitstreams: root
                .tables(5)?
                .iter()
                .map(bitstream)
                .collect::<Result<Vec<_>, _>>()?,
            parameters: root.bytes(6)?.unwrap_or_default().to_vec(),
            hints: hints
                .tables(0)?
                .iter()
                .map(hint)
                .collect::<Result<Vec<_>, _>>()?,
            fully_deterministic: hints.u8(1, 0)? != 0,
            inputs: root
                .tables(8)?
                .iter()
                .map(Layer::read)
                .collect::<Result<Vec<_>, _>>()?,
            outputs: root
                .tables(9)?
                .iter()
                .map(Layer::read)
                .collect::<Result<Vec<_>, _>>()?,
            chip: root.string(10)?,
            estimated_cycles: root.u64(16, 0)?,
        };
        executable.check()?;
        Ok(executable)
    }

    /// What the simulator relies on when it walks the hints.
    fn check(&self) -> Result<(), PackageError> {
        for hint in &self.hints {
            match hint {
                Hint::Instructions(chunk) if *chunk >= self.bitstreams.len() => {
                    return Err(PackageError::Inconsistent(format!(
                        "a hint names instruction chunk {chunk} of {}",
                        self.bitstreams.len()
                    )));
                }
                Hint::Dma {
                    target,
                    offset,
                    bytes,
                    ..
                } => {
                    let size = self.buffer_bytes(target).ok_or_else(|| {
                        PackageError::Inconsistent(format!("a hint names unknown {target:?}"))
                    })?;
                    if offset.checked_add(*bytes).is_none_or(|end| end > size) {
                        return Err(PackageError::Inconsistent(format!(
                            "a hint moves {bytes} bytes at {offset} of {size} of {target:?}"
                        )));
                    }
                }
                Hint::Instructions(_) | Hint::Interrupt(_) | Hint::Fence => {}
            }
        }
        Ok(())
    }

    /// Size of the buffer that an address stands for.
    #[must_use]
    pub fn buffer_bytes(&self, target: &Target) -> Option<usize> {
        match target {
            Target::Parameters => Some(self.parameters.len()),
            Target::Scratch => Some(self.scratch_bytes),
            Target::Input { name, .. } => self
                .inputs
                .iter()
                .find(|layer| layer.name == *name)
                .map(Layer::padded_bytes),
            Target::Output { name, .. } => self
                .outputs
                .iter()
                .find(|layer| layer.name == *name)
                .map(Layer::padded_bytes),
        }
    }

    /// Bytes of parameters that travel with every run.
    #[must_use]
    pub fn streamed_parameter_bytes(&self) -> usize {
        self.hints
            .iter()
            .map(|hint| match hint {
                Hint::Dma {
                    target: Target::Parameters,
                    bytes,
                    ..
                } => *bytes,
                Hint::Dma { .. } | Hint::Instructions(_) | Hint::Interrupt(_) | Hint::Fence => 0,
            })
            .sum()
    }
}
