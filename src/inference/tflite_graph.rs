//! What a `.tflite` file says of its graph, checked before TFLite sees the file.
//!
//! TFLite verifies that a file is a flatbuffer, then trusts what it says: a damaged index, shape or
//! buffer ends in a crash of the whole program. [`Graph::parse`] therefore checks that every index
//! is inside its list, every constant is as long as its shape says, every tensor is made before it
//! is used, and quantisation parameters are numbers. Field numbers are those of TensorFlow's
//! `schema.fbs`, version 3. Pure.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use super::engine::{ElementType, Quantisation, TensorSpec, TensorView};
use crate::flat::flatbuffer::{Bytes, FlatbufferError, Table, Vector};

mod columns;
mod edit;
mod order;
mod post_process;

pub(super) use order::{Operation, Ordered};
pub(super) use post_process::CutPostProcess;

/// Largest tensor accepted; the largest of the shipped models has 1.3 million elements.
const ELEMENTS_MAX: usize = 1 << 28;

/// Scales of whole tensors; per-channel ones may be smaller. With scales far outside TFLite's checks
/// of derived multipliers end the program.
const SCALES: RangeInclusive<f32> = 1e-9..=1e6;

/// `BuiltinOperator.CUSTOM` of the schema.
const CUSTOM: i32 = 32;

/// The operator that turns an SSD's raw outputs into boxes.
const POST_PROCESS: &str = "TFLite_Detection_PostProcess";

/// The operator an Edge TPU's compiler leaves behind.
const EDGE_TPU: &str = "edgetpu-custom-op";

/// Why a file is no usable model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Not the beginning of a TFLite file.
    #[error("not a TFLite model: the identifier TFL3 is missing")]
    NotTflite,
    /// A format version nobody has seen.
    #[error("TFLite format version {0} is not known; version 3 is")]
    Version(u32),
    /// Damaged beyond reading.
    #[error("the file is damaged or cut short: {0}")]
    Structure(String),
    /// Readable, but it makes no sense.
    #[error("the graph is damaged: {0}")]
    Graph(String),
}

impl From<FlatbufferError> for GraphError {
    fn from(error: FlatbufferError) -> Self {
        Self::Structure(error.to_string())
    }
}

type Result<T> = std::result::Result<T, GraphError>;

fn damaged<T>(what: impl Into<String>) -> Result<T> {
    Err(GraphError::Graph(what.into()))
}

/// A tensor of the graph.
#[derive(Clone, Debug)]
struct Tensor {
    spec: TensorSpec,
    /// Where its bytes lie in the file; empty unless it is a constant.
    data: Vector,
    dense: bool,
    variable: bool,
}

impl Tensor {
    const fn is_constant(&self) -> bool {
        self.data.len > 0
    }
}

/// An operator of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Operator {
    builtin: i32,
    custom: String,
    inputs: Vec<i32>,
    outputs: Vec<i32>,
    /// Where the options of a custom operator lie in the file.
    options: Vector,
}

/// The main subgraph of a model: its tensors, operators, inputs and outputs.
#[derive(Clone, Debug)]
pub struct Graph {
    tensors: Vec<Tensor>,
    operators: Vec<Operator>,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
    subgraphs: usize,
    /// Where the list of inputs lies in the file: position of the first.
    inputs_at: usize,
    /// The same of the outputs.
    outputs_at: usize,
    /// Where the list of operators lies in the file: position of the first offset.
    operators_at: usize,
}

impl Graph {
    /// Reads and checks a model file.
    ///
    /// # Errors
    ///
    /// The bytes are no TFLite model, or a damaged one; says which part.
    pub fn parse(file: &[u8]) -> Result<Self> {
        let bytes = Bytes(file);
        if file.get(4..8) != Some(b"TFL3") {
            return Err(GraphError::NotTflite);
        }
        let model = bytes.table(bytes.follow(0)?)?;
        let version = bytes.field(model, 0, 4)?;
        let version = version.map_or(Ok(0), |at| bytes.u32(at))?;
        if version != 3 {
            return Err(GraphError::Version(version));
        }
        let codes = operator_codes(bytes, model)?;
        let buffers = self::buffers(bytes, model)?;
        let subgraphs = bytes.tables(model, 2)?;
        let Some((main, others)) = subgraphs.split_first() else {
            return damaged("it has no subgraph");
        };
        for other in others {
            Self::read(bytes, *other, &codes, &buffers, 1)?;
        }
        Self::read(bytes, *main, &codes, &buffers, subgraphs.len())
    }

    /// A graph that is only known from outside.
    #[cfg(test)]
    pub(super) fn of_tensors(inputs: Vec<TensorSpec>, outputs: Vec<TensorSpec>) -> Self {
        let split = inputs.len();
        let tensor = |spec| Tensor {
            spec,
            data: Vector::default(),
            dense: true,
            variable: false,
        };
        let tensors: Vec<Tensor> = inputs.into_iter().chain(outputs).map(tensor).collect();
        Self {
            inputs: (0..split).collect(),
            outputs: (split..tensors.len()).collect(),
            tensors,
            operators: Vec::new(),
            subgraphs: 1,
            inputs_at: 0,
            outputs_at: 0,
            operators_at: 0,
        }
    }

    /// What goes in, in order.
    #[must_use]
    pub fn inputs(&self) -> Vec<&TensorSpec> {
        self.inputs
            .iter()
            .map(|index| &self.tensors[*index].spec)
            .collect()
    }

    /// What comes out, in order.
    #[must_use]
    pub fn outputs(&self) -> Vec<&TensorSpec> {
        self.outputs
            .iter()
            .map(|index| &self.tensors[*index].spec)
            .collect()
    }

    /// Whether the model was compiled for an Edge TPU.
    #[must_use]
    pub fn is_for_edge_tpu(&self) -> bool {
        self.operators
            .iter()
            .any(|operator| operator.custom == EDGE_TPU)
    }

    /// Names of the custom operators, without repeats.
    #[must_use]
    pub fn custom_operators(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .operators
            .iter()
            .filter(|operator| operator.builtin == CUSTOM)
            .map(|operator| operator.custom.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Where among [`Graph::outputs`] the SSD post-process operator puts boxes, classes, scores
    /// and count; `None` where there is no such operator or it feeds something else.
    #[must_use]
    pub fn post_process_outputs(&self) -> Option<[usize; 4]> {
        let mut found = self
            .operators
            .iter()
            .filter(|operator| operator.custom == POST_PROCESS);
        let operator = found.next().filter(|_| found.next().is_none())?;
        let mut positions = [0; 4];
        if operator.outputs.len() != positions.len() {
            return None;
        }
        for (position, output) in positions.iter_mut().zip(&operator.outputs) {
            let output = usize::try_from(*output).ok()?;
            *position = self.outputs.iter().position(|index| *index == output)?;
        }
        Some(positions)
    }

    fn read(
        bytes: Bytes<'_>,
        subgraph: Table,
        codes: &[(i32, String)],
        buffers: &[Vector],
        subgraphs: usize,
    ) -> Result<Self> {
        let tensors = bytes
            .tables(subgraph, 0)?
            .into_iter()
            .enumerate()
            .map(|(index, table)| tensor(bytes, table, index, buffers))
            .collect::<Result<Vec<_>>>()?;
        let operators = bytes
            .tables(subgraph, 3)?
            .into_iter()
            .map(|table| operator(bytes, table, codes))
            .collect::<Result<Vec<_>>>()?;
        let list = |field: usize, what: &str| {
            let indices = bytes.i32s(subgraph, field)?;
            let inside = |index| usize::try_from(index).ok().filter(|i| *i < tensors.len());
            let indices: Option<Vec<usize>> = indices.into_iter().map(inside).collect();
            indices
                .ok_or_else(|| GraphError::Graph(format!("an {what} is a tensor it does not have")))
        };
        let graph = Self {
            inputs: list(1, "input")?,
            outputs: list(2, "output")?,
            inputs_at: bytes.vector(subgraph, 1, 4)?.start,
            outputs_at: bytes.vector(subgraph, 2, 4)?.start,
            operators_at: bytes.vector(subgraph, 3, 4)?.start,
            tensors,
            operators,
            subgraphs,
        };
        graph.check_order()?;
        graph.check_post_process(bytes)?;
        Ok(graph)
    }

    /// Every tensor is known before it is used, and made once.
    fn check_order(&self) -> Result<()> {
        let given = |(index, tensor): (usize, &Tensor)| {
            (tensor.is_constant() || tensor.variable).then_some(index)
        };
        let mut known: HashSet<usize> = self.tensors.iter().enumerate().filter_map(given).collect();
        if self.inputs.iter().any(|input| !known.insert(*input)) {
            return damaged("an input is also a constant, or given twice");
        }
        for (position, operator) in self.operators.iter().enumerate() {
            for input in &operator.inputs {
                // -1 stands for an optional input left out.
                let index = usize::try_from(*input).ok();
                if *input != -1 && index.is_none_or(|index| !known.contains(&index)) {
                    return damaged(format!(
                        "operator {position} uses tensor {input} before it exists"
                    ));
                }
            }
            for output in &operator.outputs {
                let index = usize::try_from(*output)
                    .ok()
                    .filter(|i| *i < self.tensors.len());
                if index.is_none_or(|index| !known.insert(index)) {
                    return damaged(format!("operator {position} cannot make tensor {output}"));
                }
            }
        }
        if self.outputs.iter().any(|output| !known.contains(output)) {
            return damaged("an output is never made");
        }
        Ok(())
    }
}

/// Builtin code and custom name per operator code.
fn operator_codes(bytes: Bytes<'_>, model: Table) -> Result<Vec<(i32, String)>> {
    let code = |table: Table| {
        let old = bytes.field(table, 0, 1)?.map_or(Ok(0), |at| bytes.u8(at))?;
        let new = bytes
            .field(table, 3, 4)?
            .map_or(Ok(0), |at| bytes.i32(at))?;
        let name = bytes.text(table, 1)?.to_owned();
        Ok((new.max(i32::from(old)), name))
    };
    bytes.tables(model, 1)?.into_iter().map(code).collect()
}

/// The bytes of each buffer of the model. Buffer 0 is empty by convention.
fn buffers(bytes: Bytes<'_>, model: Table) -> Result<Vec<Vector>> {
    let data = |table: Table| {
        // Data behind the flatbuffer (models over 2 GB) has an offset of its own.
        if bytes.field(table, 1, 8)?.is_some() {
            return damaged("it keeps its weights outside the flatbuffer, which is not supported");
        }
        Ok(bytes.vector(table, 0, 1)?)
    };
    bytes.tables(model, 4)?.into_iter().map(data).collect()
}

fn operator(bytes: Bytes<'_>, table: Table, codes: &[(i32, String)]) -> Result<Operator> {
    let code = bytes
        .field(table, 0, 4)?
        .map_or(Ok(0), |at| bytes.u32(at))?;
    let Some((builtin, custom)) = codes.get(code as usize) else {
        return damaged(format!("operator code {code} does not exist"));
    };
    Ok(Operator {
        builtin: *builtin,
        custom: custom.clone(),
        inputs: bytes.i32s(table, 1)?,
        outputs: bytes.i32s(table, 2)?,
        options: bytes.vector(table, 5, 1)?,
    })
}

fn tensor(bytes: Bytes<'_>, table: Table, index: usize, buffers: &[Vector]) -> Result<Tensor> {
    let name = bytes.text(table, 3)?.to_owned();
    let element = bytes.field(table, 1, 1)?.map_or(Ok(0), |at| bytes.u8(at))?;
    let Some((element, size)) = element_type(element) else {
        return damaged(format!(
            "tensor {index} ({name}) has the unknown element type {element}"
        ));
    };
    let mut shape = Vec::new();
    let mut elements = 1_usize;
    for dimension in bytes.i32s(table, 0)? {
        let dimension = usize::try_from(dimension).ok().filter(|d| *d > 0);
        let product = dimension.and_then(|d| elements.checked_mul(d));
        let (Some(dimension), Some(product)) = (dimension, product.filter(|p| *p <= ELEMENTS_MAX))
        else {
            return damaged(format!("tensor {index} ({name}) has an impossible shape"));
        };
        elements = product;
        shape.push(dimension);
    }
    let buffer = bytes
        .field(table, 2, 4)?
        .map_or(Ok(0), |at| bytes.u32(at))?;
    let Some(data) = buffers.get(buffer as usize).copied() else {
        return damaged(format!(
            "tensor {index} ({name}) has buffer {buffer}, which does not exist"
        ));
    };
    let dense = bytes.sub_table(table, 6)?.is_none();
    if let Some(size) = size
        && data.len > 0
        && dense
        && data.len != elements * size
    {
        return damaged(format!(
            "tensor {index} ({name}) needs {} bytes and has {}",
            elements * size,
            data.len
        ));
    }
    let variable = bytes.field(table, 5, 1)?.map_or(Ok(0), |at| bytes.u8(at))? != 0;
    let quantisation = quantisation(bytes, table, element, &shape)
        .map_err(|error| GraphError::Graph(format!("tensor {index} ({name}): {error}")))?;
    let spec = TensorSpec {
        name,
        shape,
        element,
        quantisation,
    };
    Ok(Tensor {
        spec,
        data,
        dense,
        variable,
    })
}

/// The per-tensor parameters; `None` for none, and for one pair per channel.
fn quantisation(
    bytes: Bytes<'_>,
    tensor: Table,
    element: ElementType,
    shape: &[usize],
) -> Result<Option<Quantisation>> {
    let Some(table) = bytes.sub_table(tensor, 4)? else {
        return Ok(None);
    };
    let (scales, zero_points) = (bytes.vector(table, 2, 4)?, bytes.vector(table, 3, 8)?);
    let dimension = bytes
        .field(table, 6, 4)?
        .map_or(Ok(0), |at| bytes.i32(at))?;
    if scales.len == 0 {
        return Ok(None);
    }
    let channels = usize::try_from(dimension).ok().and_then(|d| shape.get(d));
    if scales.len != 1 && channels != Some(&scales.len) {
        return damaged("its quantisation does not fit its shape");
    }
    if zero_points.len != scales.len {
        return damaged("it has not one zero point per scale");
    }
    let range = match element {
        // One scale per channel is symmetric by TFLite's specification, and so are biases.
        _ if scales.len > 1 => 0..=0,
        ElementType::Other("int32") => 0..=0,
        ElementType::U8 => 0..=255,
        ElementType::I8 => -128..=127,
        ElementType::F32 | ElementType::Other(_) => i64::from(i32::MIN)..=i64::from(i32::MAX),
    };
    let mut first = None;
    for index in 0..scales.len {
        let scale = bytes.f32(scales.start + 4 * index)?;
        let zero_point = bytes.i64(zero_points.start + 8 * index)?;
        let credible = (scales.len > 1 && scale > 0.0) || SCALES.contains(&scale);
        if !scale.is_finite() || !credible || !range.contains(&zero_point) {
            return damaged(format!("quantisation {scale}, {zero_point} is impossible"));
        }
        let zero_point = i32::try_from(zero_point).unwrap_or_default();
        first = first.or(Some(Quantisation { scale, zero_point }));
    }
    Ok(first.filter(|_| scales.len == 1))
}

/// The type and, where elements have a fixed size, their bytes (`TensorType` of the schema).
const fn element_type(code: u8) -> Option<(ElementType, Option<usize>)> {
    Some(match code {
        0 => (ElementType::F32, Some(4)),
        1 => (ElementType::Other("float16"), Some(2)),
        2 => (ElementType::Other("int32"), Some(4)),
        3 => (ElementType::U8, Some(1)),
        4 => (ElementType::Other("int64"), Some(8)),
        5 => (ElementType::Other("string"), None),
        6 => (ElementType::Other("bool"), Some(1)),
        7 => (ElementType::Other("int16"), Some(2)),
        9 => (ElementType::I8, Some(1)),
        10 => (ElementType::Other("float64"), Some(8)),
        12 => (ElementType::Other("uint64"), Some(8)),
        15 => (ElementType::Other("uint32"), Some(4)),
        16 => (ElementType::Other("uint16"), Some(2)),
        _ => return None,
    })
}

#[cfg(test)]
#[path = "tflite_graph_tests.rs"]
mod tests;
