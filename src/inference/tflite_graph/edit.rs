//! Taking operators out of a model file, in memory.

use crate::flat::flatbuffer::Bytes;
use super::{ElementType, Graph, Operator};

/// `BuiltinOperator.QUANTIZE` of the schema.
const QUANTIZE: i32 = 114;

impl Graph {
    /// Makes the model take `i8` where it takes `u8` and at once turns it into `i8`, in `file`,
    /// which is the file this graph was read from. Returns whether it did; a file of any other
    /// shape stays as it is.
    ///
    /// TFLite runs that one operator outside XNNPACK. The values are the same: with equal scales and
    /// zero points 128 apart the operator only flips the top bit, which costs nothing where the
    /// tensor is filled.
    pub fn take_signed_input(&self, file: &mut [u8]) -> bool {
        let Some((operator, signed)) = self.input_quantize() else {
            return false;
        };
        let Ok(signed) = u32::try_from(signed) else {
            return false;
        };
        if self.remove_operators(file, &[operator]).is_none() {
            return false;
        }
        write_u32(file, self.inputs_at, signed);
        true
    }

    /// The operator that only turns the one `u8` input into `i8`, and the tensor it makes.
    fn input_quantize(&self) -> Option<(usize, usize)> {
        let &[input] = self.inputs.as_slice() else {
            return None;
        };
        let (position, operator) = self.only_user(input)?;
        let (&[_], &[output]) = (operator.inputs.as_slice(), operator.outputs.as_slice()) else {
            return None;
        };
        let output = usize::try_from(output).ok()?;
        let (unsigned, signed) = (&self.tensors[input].spec, &self.tensors[output].spec);
        let (from, to) = (unsigned.quantisation?, signed.quantisation?);
        let only_flips_the_top_bit = operator.builtin == QUANTIZE
            && unsigned.element == ElementType::U8
            && signed.element == ElementType::I8
            && unsigned.shape == signed.shape
            && from.scale.to_bits() == to.scale.to_bits()
            && from.zero_point - to.zero_point == 128;
        let inner = self.subgraphs == 1
            && !self.outputs.contains(&input)
            && !self.outputs.contains(&output);
        (only_flips_the_top_bit && inner).then_some((position, output))
    }

    /// The operator that uses a tensor, and its position; `None` where none or several do.
    pub(super) fn only_user(&self, tensor: usize) -> Option<(usize, &Operator)> {
        let is_it = |index: &i32| usize::try_from(*index) == Ok(tensor);
        let mut users = self
            .operators
            .iter()
            .enumerate()
            .filter(|(_, operator)| operator.inputs.iter().any(is_it));
        users.next().filter(|_| users.next().is_none())
    }

    /// The operator that makes a tensor, and its position.
    pub(super) fn maker(&self, tensor: usize) -> Option<(usize, &Operator)> {
        let is_it = |index: &i32| usize::try_from(*index) == Ok(tensor);
        let mut all = self.operators.iter().enumerate();
        all.find(|(_, operator)| operator.outputs.iter().any(is_it))
    }

    /// Shortens the list of operators in `file`. `None`, and nothing is written, where that cannot be.
    pub(super) fn remove_operators(&self, file: &mut [u8], removed: &[usize]) -> Option<()> {
        let at = |index: usize| self.operators_at + 4 * index;
        let kept = (0..self.operators.len()).filter(|index| !removed.contains(index));
        // Offsets are relative to where they lie, so that those that move up grow.
        let offsets: Vec<u32> = kept
            .enumerate()
            .map(|(slot, index)| {
                let target = Bytes(file).follow(at(index)).ok()?;
                u32::try_from(target.checked_sub(at(slot))?).ok()
            })
            .collect::<Option<_>>()?;
        let length_at = self.operators_at.checked_sub(4)?;
        let length = u32::try_from(offsets.len()).ok()?;
        for (slot, offset) in offsets.into_iter().enumerate() {
            write_u32(file, at(slot), offset);
        }
        write_u32(file, length_at, length);
        Some(())
    }

    /// Shortens the list of outputs in `file` to these tensors. `None`, and nothing is written, where
    /// that cannot be.
    pub(super) fn replace_outputs(&self, file: &mut [u8], outputs: &[usize]) -> Option<()> {
        let length_at = self.outputs_at.checked_sub(4)?;
        if outputs.len() > self.outputs.len() {
            return None;
        }
        let length = u32::try_from(outputs.len()).ok()?;
        let indices: Vec<u32> = outputs
            .iter()
            .map(|index| u32::try_from(*index).ok())
            .collect::<Option<_>>()?;
        for (slot, index) in indices.into_iter().enumerate() {
            write_u32(file, self.outputs_at + 4 * slot, index);
        }
        write_u32(file, length_at, length);
        Some(())
    }
}

fn write_u32(file: &mut [u8], at: usize, value: u32) {
    if let Some(bytes) = file.get_mut(at..at + 4) {
        bytes.copy_from_slice(&value.to_le_bytes());
    }
}
