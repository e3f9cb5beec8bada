//! Where a model is cut into the chip's part and the tail.

use crate::model::{Graph, tensor_kind};

use super::PackError;

const DEQUANTIZE: i32 = 6;
const POST_PROCESS: &str = "TFLite_Detection_PostProcess";

/// A model, cut in two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Operators of the chip's part, in order.
    pub chip: Vec<usize>,
    /// Operators of the tail, in order.
    pub tail: Vec<usize>,
    /// Tensors that go into the chip.
    pub inputs: Vec<i32>,
    /// Tensors that come out of it.
    pub outputs: Vec<i32>,
}

impl Cut {
    /// Cuts as the compiler does: what the chip has no operator for, and what makes floats, is the
    /// tail, with everything that follows it.
    pub(super) fn new(graph: &Graph) -> Result<Self, PackError> {
        let mut made_by_tail: Vec<i32> = Vec::new();
        let (mut chip, mut tail) = (Vec::new(), Vec::new());
        for (index, operator) in graph.operators.iter().enumerate() {
            let after_tail = operator.inputs.iter().any(|t| made_by_tail.contains(t));
            let makes_floats = operator.outputs.iter().any(|t| {
                let tensor = usize::try_from(*t).ok().and_then(|t| graph.tensors.get(t));
                tensor.is_some_and(|tensor| tensor.kind == tensor_kind::FLOAT32)
            });
            if after_tail
                || makes_floats
                || operator.builtin == DEQUANTIZE
                || operator.custom == POST_PROCESS
            {
                made_by_tail.extend(&operator.outputs);
                tail.push(index);
            } else {
                chip.push(index);
            }
        }
        if chip.is_empty() {
            return Err(PackError::Nothing);
        }
        let made_by_chip: Vec<i32> = chip
            .iter()
            .filter_map(|i| graph.operators.get(*i))
            .flat_map(|operator| operator.outputs.iter().copied())
            .collect();
        let mut outputs = Vec::new();
        let tail_inputs = tail
            .iter()
            .filter_map(|i| graph.operators.get(*i))
            .flat_map(|operator| operator.inputs.iter());
        for tensor in tail_inputs.chain(&graph.outputs) {
            if made_by_chip.contains(tensor) && !outputs.contains(tensor) {
                outputs.push(*tensor);
            }
        }
        Ok(Self {
            chip,
            tail,
            inputs: graph.inputs.clone(),
            outputs,
        })
    }
}
