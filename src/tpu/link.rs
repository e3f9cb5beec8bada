//! Writing addresses into instructions.
//!
//! Instructions refer to inputs, outputs and parameters by 64-bit addresses, which the driver
//! chooses: over USB nothing answers to them, so that they are the same in every run; over PCIe
//! they are the chip's own view of the host's memory. Pure.

use super::package::{Base, Executable, Field, Half, InstructionChunk};

/// Where the first buffer lies for the chip, over USB.
const FIRST: u64 = 0x1_0000_0000;

/// Buffers begin at pages and have one unused page behind them.
const PAGE: u64 = 4096;

/// The addresses of what an executable's instructions refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Of the parameters, where there are any.
    pub parameters: Option<u64>,
    /// Of each input layer.
    pub inputs: Vec<u64>,
    /// Of each output layer.
    pub outputs: Vec<u64>,
}

impl Addresses {
    /// Made-up addresses, page by page, none twice.
    #[must_use]
    pub fn synthetic(executable: &Executable) -> Self {
        let mut next = FIRST;
        let mut place = |bytes: usize| {
            let at = next;
            next += (bytes as u64).next_multiple_of(PAGE) + PAGE;
            at
        };
        let parameters = executable.parameters.len();
        Self {
            parameters: (parameters > 0).then(|| place(parameters)),
            inputs: executable
                .inputs
                .iter()
                .map(|l| place(l.wire_bytes()))
                .collect(),
            outputs: executable
                .outputs
                .iter()
                .map(|l| place(l.wire_bytes()))
                .collect(),
        }
    }

    /// The address of something; `None` of what does not exist, whose fields stay as compiled.
    fn of(&self, base: Base) -> Option<u64> {
        match base {
            Base::Parameters => self.parameters,
            Base::Input(layer) => self.inputs.get(layer).copied(),
            Base::Output(layer) => self.outputs.get(layer).copied(),
            Base::Scratch => None,
        }
    }
}

/// A chunk's instructions with its addresses in them.
#[must_use]
pub fn link(chunk: &InstructionChunk, addresses: &Addresses) -> Vec<u8> {
    let mut bytes = chunk.bytes.to_vec();
    for Field { bit, base, half } in &chunk.fields {
        if let Some(address) = addresses.of(*base) {
            let [a, b, c, d, e, f, g, h] = address.to_le_bytes();
            let value = match half {
                Half::Low => u32::from_le_bytes([a, b, c, d]),
                Half::High => u32::from_le_bytes([e, f, g, h]),
            };
            put_bits(&mut bytes, *bit, value);
        }
    }
    bytes
}

/// Overwrites 32 bits from bit `bit` on; what lies outside is left out.
fn put_bits(bytes: &mut [u8], bit: usize, value: u32) {
    let shift = bit % 8;
    let mask = (u64::from(u32::MAX) << shift).to_le_bytes();
    let value = (u64::from(value) << shift).to_le_bytes();
    let window = bytes.iter_mut().skip(bit / 8);
    for ((byte, mask), value) in window.zip(mask).zip(value).take(5) {
        *byte = (*byte & !mask) | value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bit_of(bytes: &[u8], bit: usize) -> bool {
        bytes[bit / 8] >> (bit % 8) & 1 == 1
    }

    proptest! {
        #[test]
        fn exactly_the_bits_of_the_field_change(
            bytes in prop::collection::vec(any::<u8>(), 9..40),
            at in 0.0..1.0_f64,
            value: u32,
        ) {
            let bits = 8 * bytes.len();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a test's choice of a bit")]
            let bit = (at * (bits - 31) as f64) as usize;
            let mut patched = bytes.clone();
            put_bits(&mut patched, bit, value);
            for index in 0..bits {
                let expected = match index.checked_sub(bit) {
                    Some(inside @ 0..32) => value >> inside & 1 == 1,
                    _ => bit_of(&bytes, index),
                };
                prop_assert_eq!(bit_of(&patched, index), expected, "bit {}", index);
            }
        }
    }
}
