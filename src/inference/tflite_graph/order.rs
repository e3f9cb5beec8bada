//! A graph as the list of what is to be done, for an engine that does it operator by operator.

use super::post_process::DEQUANTIZE;
use super::{CUSTOM, EDGE_TPU, Graph, Operator, TensorSpec};
use crate::flat::flatbuffer::Bytes;

/// What an operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Operation<'a> {
    /// What an Edge TPU does; its options hold the program.
    EdgeTpu {
        /// The operator's options.
        options: &'a [u8],
    },
    /// Makes real numbers of stored ones.
    Dequantize,
}

/// An operator with the tensors it reads and makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Ordered<'a> {
    pub(in super::super) operation: Operation<'a>,
    /// Tensors by their numbers in the graph.
    pub(in super::super) inputs: Vec<usize>,
    pub(in super::super) outputs: Vec<usize>,
}

impl Graph {
    /// The operators in the order in which they run, of `file`, which is the file this graph was read
    /// from.
    ///
    /// # Errors
    ///
    /// Some of them are neither an Edge TPU's nor simple enough to be done beside it: their names.
    pub(in super::super) fn order<'a>(
        &self,
        file: &'a [u8],
    ) -> std::result::Result<Vec<Ordered<'a>>, String> {
        if self.subgraphs != 1 {
            return Err(format!(
                "it has {} subgraphs; a model of an Edge TPU is one graph, and only the first would run",
                self.subgraphs
            ));
        }
        let known = |operator: &Operator| is_edge_tpu(operator) || operator.builtin == DEQUANTIZE;
        let mut others: Vec<String> = self
            .operators
            .iter()
            .filter(|operator| !known(operator))
            .map(operator_name)
            .collect();
        others.sort_unstable();
        others.dedup();
        if !others.is_empty() {
            return Err(format!(
                "beside what an Edge TPU does it needs {}, which only TFLite does; compile it so that all of it runs on the Edge TPU",
                others.join(", ")
            ));
        }
        self.operators
            .iter()
            .map(|operator| {
                let indices = |list: &[i32]| {
                    let list = list.iter().map(|index| usize::try_from(*index));
                    list.collect::<std::result::Result<Vec<_>, _>>()
                        .map_err(|_left_out| "an operator leaves an input out".to_owned())
                };
                let operation = if is_edge_tpu(operator) {
                    let options = Bytes(file).slice(operator.options);
                    Operation::EdgeTpu {
                        options: options.map_err(|error| error.to_string())?,
                    }
                } else {
                    Operation::Dequantize
                };
                Ok(Ordered {
                    operation,
                    inputs: indices(&operator.inputs)?,
                    outputs: indices(&operator.outputs)?,
                })
            })
            .collect()
    }

    /// The form of a tensor by its number.
    pub(in super::super) fn tensor(&self, index: usize) -> Option<&TensorSpec> {
        self.tensors.get(index).map(|tensor| &tensor.spec)
    }

    /// Whether a tensor has its values in the file.
    pub(in super::super) fn is_constant(&self, index: usize) -> bool {
        self.tensors
            .get(index)
            .is_some_and(super::Tensor::is_constant)
    }

    /// The numbers of the tensors that go in.
    pub(in super::super) fn input_numbers(&self) -> &[usize] {
        &self.inputs
    }

    /// The numbers of the tensors that come out.
    pub(in super::super) fn output_numbers(&self) -> &[usize] {
        &self.outputs
    }

    /// The options of the operators for an Edge TPU, of `file`, which is the file this graph was read
    /// from.
    pub(in super::super) fn edge_tpu_options<'a>(
        &self,
        file: &'a [u8],
    ) -> impl Iterator<Item = &'a [u8]> {
        let operators = self
            .operators
            .iter()
            .filter(|operator| is_edge_tpu(operator));
        operators.filter_map(move |operator| Bytes(file).slice(operator.options).ok())
    }
}

fn is_edge_tpu(operator: &Operator) -> bool {
    operator.builtin == CUSTOM && operator.custom == EDGE_TPU
}

/// Names of the commoner operators of `BuiltinOperator` in TensorFlow's schema.
const NAMES: [(i32, &str); 40] = [
    (0, "ADD"),
    (1, "AVERAGE_POOL_2D"),
    (2, "CONCATENATION"),
    (3, "CONV_2D"),
    (4, "DEPTHWISE_CONV_2D"),
    (5, "DEPTH_TO_SPACE"),
    (9, "FULLY_CONNECTED"),
    (11, "L2_NORMALIZATION"),
    (14, "LOGISTIC"),
    (17, "MAX_POOL_2D"),
    (18, "MUL"),
    (19, "RELU"),
    (21, "RELU6"),
    (22, "RESHAPE"),
    (23, "RESIZE_BILINEAR"),
    (25, "SOFTMAX"),
    (26, "SPACE_TO_DEPTH"),
    (28, "TANH"),
    (34, "PAD"),
    (36, "GATHER"),
    (39, "TRANSPOSE"),
    (40, "MEAN"),
    (41, "SUB"),
    (42, "DIV"),
    (43, "SQUEEZE"),
    (45, "STRIDED_SLICE"),
    (47, "EXP"),
    (48, "TOPK_V2"),
    (49, "SPLIT"),
    (53, "CAST"),
    (55, "MAXIMUM"),
    (56, "ARG_MAX"),
    (57, "MINIMUM"),
    (65, "SLICE"),
    (67, "TRANSPOSE_CONV"),
    (83, "PACK"),
    (88, "UNPACK"),
    (97, "RESIZE_NEAREST_NEIGHBOR"),
    (114, "QUANTIZE"),
    (117, "HARD_SWISH"),
];

pub(super) fn operator_name(operator: &Operator) -> String {
    if operator.builtin == CUSTOM {
        return operator.custom.clone();
    }
    let known = NAMES.iter().find(|(code, _)| *code == operator.builtin);
    known.map_or_else(
        || format!("operator {}", operator.builtin),
        |(_, name)| (*name).to_owned(),
    )
}
