//! The SSD post-process operator: checking it, and cutting it out so that the step runs outside.

use super::super::ssd_options::Options;
use super::{
    CUSTOM, ElementType, Graph, GraphError, Operator, POST_PROCESS, Result, Tensor, TensorView,
};
use crate::flat::flatbuffer::Bytes;

/// `BuiltinOperator.DEQUANTIZE` of the schema.
pub(super) const DEQUANTIZE: i32 = 6;

/// A model without its post-process operator, and what that operator knew.
///
/// The graph's outputs are now raw box encodings and raw scores, in this order.
#[derive(Clone, Debug)]
pub(in super::super) struct CutPostProcess {
    /// The changed file.
    pub(in super::super) bytes: Vec<u8>,
    /// Its graph.
    pub(in super::super) graph: Graph,
    /// The operator's options.
    pub(in super::super) options: Options,
    /// Centre y, centre x, height, width per anchor, as they are in the file.
    pub(in super::super) anchors: Vec<[f32; 4]>,
}

/// The operator's inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Inputs {
    encodings: usize,
    scores: usize,
    anchors: usize,
}

impl Graph {
    /// TFLite reads the operator's options without looking where they end, and as many anchors as
    /// there are encodings.
    pub(super) fn check_post_process(&self, bytes: Bytes<'_>) -> Result<()> {
        for (position, operator) in self.operators.iter().enumerate() {
            if is_post_process(operator) {
                self.check_operator(bytes, operator).map_err(|reason| {
                    GraphError::Graph(format!("operator {position} ({POST_PROCESS}): {reason}"))
                })?;
            }
        }
        Ok(())
    }

    fn check_operator(
        &self,
        bytes: Bytes<'_>,
        operator: &Operator,
    ) -> std::result::Result<(), String> {
        options(bytes, operator)?;
        let Some(inputs) = self.post_process_inputs(operator) else {
            return Err("it does not take three tensors and make four".to_owned());
        };
        let shape = |index: usize| self.tensors[index].spec.shape.as_slice();
        let (encodings, scores) = (shape(inputs.encodings), shape(inputs.scores));
        let anchors = shape(inputs.anchors);
        let count = anchors.first();
        // A shape that is only known once the model runs is empty in the file.
        let fits = matches!(anchors, [_, 4])
            && (encodings.is_empty()
                || (encodings.len() == 3 && encodings[1..2].first() == count && encodings[2] >= 4))
            && (scores.is_empty() || (scores.len() == 3 && scores[1..2].first() == count));
        if fits {
            Ok(())
        } else {
            Err(format!(
                "encodings {encodings:?}, scores {scores:?} and anchors {anchors:?} do not fit together"
            ))
        }
    }

    fn post_process_inputs(&self, operator: &Operator) -> Option<Inputs> {
        let (&[encodings, scores, anchors], 4) =
            (operator.inputs.as_slice(), operator.outputs.len())
        else {
            return None;
        };
        let index = |tensor: i32| {
            let index = usize::try_from(tensor).ok();
            index.filter(|index| *index < self.tensors.len())
        };
        Some(Inputs {
            encodings: index(encodings)?,
            scores: index(scores)?,
            anchors: index(anchors)?,
        })
    }

    /// Cuts the SSD post-process operator out of `file`, which is the file this graph was read from,
    /// and with it operators that only turn its inputs into real numbers.
    ///
    /// # Errors
    ///
    /// Why the model is not of the form in which this can be done.
    pub(in super::super) fn cut_post_process(
        &self,
        file: &[u8],
    ) -> std::result::Result<CutPostProcess, String> {
        let mut found = self.operators.iter().enumerate();
        let mut found = found.by_ref().filter(|(_, o)| is_post_process(o));
        let (Some((position, operator)), None) = (found.next(), found.next()) else {
            return Err(format!("it has not one operator {POST_PROCESS}"));
        };
        if self.subgraphs != 1 {
            return Err(format!("it has {} subgraphs", self.subgraphs));
        }
        let options = options(Bytes(file), operator)?;
        if self.post_process_outputs().is_none() || self.outputs.len() != 4 {
            return Err("its outputs are not those of the operator".to_owned());
        }
        let made = |index: &i32| operator.outputs.contains(index);
        if self.operators.iter().any(|o| o.inputs.iter().any(made)) {
            return Err("something uses the outputs of the operator".to_owned());
        }
        let inputs = self.post_process_inputs(operator);
        let Some(inputs) = inputs else {
            return Err("the operator's inputs are not known".to_owned());
        };
        let element = |index: usize| self.tensors[index].spec.element;
        // Of other types TFLite makes nothing, or nonsense.
        let known = element(inputs.encodings) == element(inputs.anchors)
            && [inputs.encodings, inputs.scores]
                .iter()
                .all(|input| matches!(element(*input), ElementType::F32 | ElementType::U8));
        if !known {
            return Err("the operator's inputs are of types it does not read".to_owned());
        }
        let anchors = anchors(Bytes(file), &self.tensors[inputs.anchors])?;
        let mut removed = vec![position];
        let mut outputs = [inputs.encodings, inputs.scores];
        for output in &mut outputs {
            if let Some((dequantize, raw)) = self.dequantize_before(*output, position) {
                removed.push(dequantize);
                *output = raw;
            }
        }
        let stays = |tensor: &usize| {
            let maker = self.maker(*tensor);
            maker.is_some_and(|(maker, _)| !removed.contains(&maker))
        };
        if outputs[0] == outputs[1] || !outputs.iter().all(stays) {
            return Err("no operator makes the two raw outputs".to_owned());
        }
        let mut bytes = file.to_vec();
        self.remove_operators(&mut bytes, &removed)
            .and_then(|()| self.replace_outputs(&mut bytes, &outputs))
            .ok_or_else(|| "its lists cannot be rewritten".to_owned())?;
        // Lists may lie on top of each other in the file: what came out is what was meant, or it is
        // not used.
        let graph = Self::parse(&bytes).map_err(|error| format!("cut, it is damaged: {error}"))?;
        let kept = self.operators.iter().enumerate();
        let kept = kept.filter(|(index, _)| !removed.contains(index));
        if !(graph.outputs == outputs
            && graph.inputs == self.inputs
            && graph
                .operators
                .iter()
                .eq(kept.map(|(_, operator)| operator)))
        {
            return Err("its lists lie on top of each other".to_owned());
        }
        Ok(CutPostProcess {
            bytes,
            graph,
            options,
            anchors,
        })
    }

    /// The operator that makes `tensor` real numbers for the operator at `user` and for nothing
    /// else, and the stored values it makes them of.
    fn dequantize_before(&self, tensor: usize, user: usize) -> Option<(usize, usize)> {
        let (position, operator) = self.maker(tensor)?;
        let (&[raw], &[_], DEQUANTIZE) = (
            operator.inputs.as_slice(),
            operator.outputs.as_slice(),
            operator.builtin,
        ) else {
            return None;
        };
        let raw = usize::try_from(raw).ok()?;
        let (from, to) = (&self.tensors[raw].spec, &self.tensors[tensor].spec);
        let known = matches!(from.element, ElementType::U8 | ElementType::I8)
            && from.quantisation.is_some()
            && to.element == ElementType::F32
            && from.shape == to.shape;
        let alone = self.only_user(tensor).is_some_and(|(at, _)| at == user);
        (known && alone && self.maker(raw).is_some()).then_some((position, raw))
    }
}

fn is_post_process(operator: &Operator) -> bool {
    operator.builtin == CUSTOM && operator.custom == POST_PROCESS
}

fn options(bytes: Bytes<'_>, operator: &Operator) -> std::result::Result<Options, String> {
    let bytes = bytes.slice(operator.options).map_err(|e| e.to_string())?;
    Options::parse(bytes)
}

/// The real values of a constant `[N, 4]`.
fn anchors(bytes: Bytes<'_>, tensor: &Tensor) -> std::result::Result<Vec<[f32; 4]>, String> {
    let unknown = || format!("its anchors are {}, which is not read", tensor.spec);
    let &[count, 4] = tensor.spec.shape.as_slice() else {
        return Err(unknown());
    };
    let data = bytes.slice(tensor.data).map_err(|e| e.to_string())?;
    let values: Vec<f32> = match (tensor.spec.element, tensor.spec.quantisation) {
        (ElementType::F32, _) => {
            let words = data.as_chunks::<4>().0;
            words.iter().map(|word| f32::from_le_bytes(*word)).collect()
        }
        (ElementType::U8, Some(quantisation)) => (0..data.len())
            .filter_map(|i| TensorView::U8(data).real(i, Some(quantisation)))
            .collect(),
        (ElementType::U8 | ElementType::I8 | ElementType::Other(_), _) => return Err(unknown()),
    };
    if !tensor.dense || values.len() != 4 * count {
        return Err(unknown());
    }
    Ok(values.as_chunks::<4>().0.to_vec())
}

#[cfg(test)]
#[path = "post_process_tests.rs"]
mod tests;
