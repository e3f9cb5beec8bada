//! Wraps a model for the CPU as if the Edge TPU's compiler had compiled it.
//!
//! ```text
//! IN.tflite ─▶ cut: chip part | tail on the CPU ─┬─▶ OUT.tflite       custom operator + tail
//!                                                └─▶ OUT.twin.tflite  the chip part, for computing
//! ```
//!
//! Everything around the instructions is real: a package in the compiler's container, a caching and
//! an execution executable, layers with layouts, hints, parameters made of the model's weights, and
//! instruction bitstreams with fields to patch at odd bit offsets. The instructions themselves are
//! noise. So a driver has to do everything that it does for a compiled model, and the simulator,
//! which finds the twin beside the model, answers with the outputs that the chip would compute.

mod cut;
mod package;
mod twin;

pub use package::{Layout, Options};
pub use twin::twin_path;

use thiserror::Error;

use crate::model::{Model, ModelError, Operator, Tensor};
use crate::write::{Table, Value, custom_options, write};
use cut::Cut;

/// Why a model cannot be packed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PackError {
    /// It cannot be read.
    #[error("{0}")]
    Model(#[from] ModelError),
    /// It has another number of graphs than one.
    #[error("the model has {0} graphs; only one can be packed")]
    Graphs(usize),
    /// It is compiled already.
    #[error("the model has an {} already", crate::model::CUSTOM_OP)]
    Compiled,
    /// Nothing would be left for the chip.
    #[error("no operator of the model could run on the chip")]
    Nothing,
    /// A tensor at the chip's edge that it has no type for.
    #[error(
        "tensor \"{name}\" at the chip's edge has element type {kind}; quantise the model to 8 bits"
    )]
    Kind {
        /// The tensor.
        name: String,
        /// Its type's number.
        kind: u8,
    },
    /// A tensor at the chip's edge whose shape it cannot have.
    #[error("tensor \"{name}\" at the chip's edge has shape {shape:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<i32>,
    },
    /// The file has an unusual structure.
    #[error("the model's file cannot be cut: {0}")]
    Structure(&'static str),
}

/// A packed model.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The "compiled" model.
    pub model: Vec<u8>,
    /// What computes the chip's part.
    pub twin: Vec<u8>,
}

/// Packs a model.
///
/// # Errors
///
/// See [`PackError`].
pub fn pack(bytes: &[u8], options: &Options) -> Result<Packed, PackError> {
    let model = Model::read(bytes)?;
    let [graph] = model.graphs.as_slice() else {
        return Err(PackError::Graphs(model.graphs.len()));
    };
    if model.packages().next().is_some() {
        return Err(PackError::Compiled);
    }
    let cut = Cut::new(graph)?;
    let twin = twin::cut_file(bytes, &cut)?;
    let package = package::build(&model, graph, &cut, &twin, options)?;
    Ok(Packed {
        model: container(&model, graph, &cut, &package),
        twin,
    })
}

fn tensor(source: &Tensor, buffer: u32) -> Table {
    let mut table = Table::new()
        .with(0, Value::I32s(source.shape.clone()))
        .with(1, Value::U8(source.kind))
        .with(2, Value::U32(buffer))
        .with(3, Value::Text(source.name.clone()));
    if !source.scales.is_empty() {
        let quantization = Table::new()
            .with(2, Value::F32s(source.scales.clone()))
            .with(3, Value::I64s(source.zero_points.clone()));
        table = table.with(4, Value::Table(quantization));
    }
    table
}

fn operator_code(operator: &Operator) -> Table {
    // The old field holds up to 127, the new one everything.
    let old = u8::try_from(operator.builtin.min(127)).unwrap_or(127);
    let mut table = Table::new()
        .with(0, Value::U8(old))
        .with(2, Value::I32(operator.version))
        .with(3, Value::I32(operator.builtin));
    if !operator.custom.is_empty() {
        table = table.with(1, Value::Text(operator.custom.clone()));
    }
    table
}

/// The new file: the custom operator, then the tail.
fn container(model: &Model, graph: &crate::model::Graph, cut: &Cut, package: &[u8]) -> Vec<u8> {
    let mut operators = vec![Operator {
        builtin: 32,
        custom: crate::model::CUSTOM_OP.to_owned(),
        version: 1,
        inputs: cut.inputs.clone(),
        outputs: cut.outputs.clone(),
        custom_options: custom_options(package),
        package: None,
    }];
    operators.extend(
        cut.tail
            .iter()
            .filter_map(|i| graph.operators.get(*i).cloned()),
    );
    // Only tensors that are still used, with new numbers.
    let mut kept: Vec<i32> = Vec::new();
    let mut number = |old: i32| -> i32 {
        if old < 0 {
            return old;
        }
        let at = kept.iter().position(|k| *k == old).unwrap_or_else(|| {
            kept.push(old);
            kept.len() - 1
        });
        i32::try_from(at).unwrap_or(i32::MAX)
    };
    let mut renumber = |list: &[i32]| -> Vec<i32> { list.iter().map(|i| number(*i)).collect() };
    let inputs = renumber(&graph.inputs);
    let mut codes: Vec<Table> = Vec::new();
    let mut written = Vec::new();
    for operator in &operators {
        let code = operator_code(operator);
        let index = codes.iter().position(|c| *c == code).unwrap_or_else(|| {
            codes.push(code);
            codes.len() - 1
        });
        let mut table = Table::new()
            .with(0, Value::U32(u32::try_from(index).unwrap_or(u32::MAX)))
            .with(1, Value::I32s(renumber(&operator.inputs)))
            .with(2, Value::I32s(renumber(&operator.outputs)));
        if !operator.custom_options.is_empty() {
            table = table.with(5, Value::Bytes(operator.custom_options.clone()));
        }
        written.push(table);
    }
    let outputs = renumber(&graph.outputs);
    // Buffer 0 is empty by convention; constants of the tail follow.
    let mut buffers = vec![Table::new()];
    let mut tensors = Vec::new();
    for old in kept {
        let Some(source) = usize::try_from(old).ok().and_then(|i| graph.tensors.get(i)) else {
            continue;
        };
        let data = model.buffers.get(source.buffer as usize);
        let buffer = match data.filter(|data| !data.is_empty()) {
            Some(data) => {
                buffers.push(Table::new().with(0, Value::Bytes(data.clone())));
                u32::try_from(buffers.len() - 1).unwrap_or(0)
            }
            None => 0,
        };
        tensors.push(tensor(source, buffer));
    }
    let graph = Table::new()
        .with(0, Value::Tables(tensors))
        .with(1, Value::I32s(inputs))
        .with(2, Value::I32s(outputs))
        .with(3, Value::Tables(written))
        .with(4, Value::Text("main".to_owned()));
    let root = Table::new()
        .with(0, Value::U32(3))
        .with(1, Value::Tables(codes))
        .with(2, Value::Tables(vec![graph]))
        .with(3, Value::Text("packed by andon-tpu-sim".to_owned()))
        .with(4, Value::Tables(buffers));
    write(&root, Some(*b"TFL3"))
}
