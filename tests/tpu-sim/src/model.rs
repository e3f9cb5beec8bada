//! The simulator's own reader of TensorFlow Lite files: as much as it needs to find packages and
//! the tensors around them.

use thiserror::Error;

use crate::flat::{Buffer, FlatError, Table};
use crate::package::{Package, PackageError};

/// Name of the operator that carries a package.
pub const CUSTOM_OP: &str = "edgetpu-custom-op";

/// Why a model cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ModelError {
    /// The flatbuffer is broken.
    #[error("{0}")]
    Flat(#[from] FlatError),
    /// Not a TensorFlow Lite file.
    #[error("no TensorFlow Lite file (its identifier is not TFL3)")]
    Identifier,
    /// A package is broken.
    #[error("package {index}: {source}")]
    Package {
        /// Which one.
        index: usize,
        /// Why.
        source: PackageError,
    },
    /// A reference to something that is not there.
    #[error("{what} {index} does not exist")]
    Reference {
        /// What kind of thing.
        what: &'static str,
        /// Its number.
        index: i64,
    },
}

/// A tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<i32>,
    /// Its element type, by the number in TensorFlow Lite's schema.
    pub kind: u8,
    /// Its buffer's number.
    pub buffer: u32,
    /// Scales, one per channel or one.
    pub scales: Vec<f32>,
    /// Zero points.
    pub zero_points: Vec<i64>,
}

/// Element types, by the numbers of TensorFlow Lite's schema.
pub mod tensor_kind {
    /// 32-bit float.
    pub const FLOAT32: u8 = 0;
    /// Unsigned byte.
    pub const UINT8: u8 = 3;
    /// Signed byte.
    pub const INT8: u8 = 9;
    /// Signed 16-bit.
    pub const INT16: u8 = 7;
}

/// An operator.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Built-in code; 32 for custom operators.
    pub builtin: i32,
    /// Custom operator's name, else empty.
    pub custom: String,
    /// Version of the operator.
    pub version: i32,
    /// Input tensors; −1 for one that is left out.
    pub inputs: Vec<i32>,
    /// Output tensors.
    pub outputs: Vec<i32>,
    /// Options of a custom operator.
    pub custom_options: Vec<u8>,
    /// The package, of an operator that carries one.
    pub package: Option<Package>,
}

/// A graph.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Its tensors.
    pub tensors: Vec<Tensor>,
    /// Input tensors.
    pub inputs: Vec<i32>,
    /// Output tensors.
    pub outputs: Vec<i32>,
    /// Operators, in order.
    pub operators: Vec<Operator>,
}

/// A model.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its graphs.
    pub graphs: Vec<Graph>,
    /// Constant data.
    pub buffers: Vec<Vec<u8>>,
}

fn tensor(table: &Table<'_>) -> Result<Tensor, FlatError> {
    let (scales, zero_points) = match table.table(4)? {
        Some(quantization) => (quantization.f32s(2)?, quantization.i64s(3)?),
        None => (Vec::new(), Vec::new()),
    };
    Ok(Tensor {
        name: table.string(3)?,
        shape: table.i32s(0)?,
        kind: table.u8(1, 0)?,
        buffer: table.u32(2, 0)?,
        scales,
        zero_points,
    })
}

impl Model {
    /// Reads a file's bytes.
    ///
    /// # Errors
    ///
    /// They are no model, or one of its packages is broken.
    pub fn read(bytes: &[u8]) -> Result<Self, ModelError> {
        let buffer = Buffer::new(bytes);
        if buffer.identifier() != Some(*b"TFL3") {
            return Err(ModelError::Identifier);
        }
        let root = buffer.root()?;
        let mut codes = Vec::new();
        for code in root.tables(1)? {
            // Old files hold the code in a byte, newer ones in an integer beside it.
            let old = i32::from(code.u8(0, 0)?);
            codes.push((code.i32(3, 0)?.max(old), code.string(1)?, code.i32(2, 1)?));
        }
        let mut packages = 0;
        let mut graphs = Vec::new();
        for graph in root.tables(2)? {
            let mut operators = Vec::new();
            for operator in graph.tables(3)? {
                let index = operator.u32(0, 0)?;
                let Some((builtin, custom, version)) = codes.get(index as usize).cloned() else {
                    return Err(ModelError::Reference {
                        what: "operator code",
                        index: i64::from(index),
                    });
                };
                let custom_options = operator.bytes(5)?.unwrap_or_default().to_vec();
                let package = if custom == CUSTOM_OP {
                    let read = Package::from_custom_options(&custom_options);
                    packages += 1;
                    Some(read.map_err(|source| ModelError::Package {
                        index: packages - 1,
                        source,
                    })?)
                } else {
                    None
                };
                operators.push(Operator {
                    builtin,
                    custom,
                    version,
                    inputs: operator.i32s(1)?,
                    outputs: operator.i32s(2)?,
                    custom_options,
                    package,
                });
            }
            graphs.push(Graph {
                tensors: graph
                    .tables(0)?
                    .iter()
                    .map(tensor)
                    .collect::<Result<Vec<_>, _>>()?,
                inputs: graph.i32s(1)?,
                outputs: graph.i32s(2)?,
                operators,
            });
        }
        let mut buffers = Vec::new();
        for table in root.tables(4)? {
            buffers.push(table.bytes(0)?.unwrap_or_default().to_vec());
        }
        Ok(Self { graphs, buffers })
    }

    /// All packages, in the order of graphs and operators.
    pub fn packages(&self) -> impl Iterator<Item = &Package> {
        self.graphs
            .iter()
            .flat_map(|graph| &graph.operators)
            .filter_map(|operator| operator.package.as_ref())
    }
}
