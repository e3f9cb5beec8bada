//! What an inference computes.
//!
//! The chip's instructions are not interpreted. Outputs come from an [`Executor`]: TensorFlow Lite
//! on the model that a package was made of, or a pattern keyed by the inputs, which a test can
//! compute again without this crate's layout code.

use crate::package::Layer;

/// One inference, as the application would see it.
#[derive(Debug)]
pub struct Inference<'a> {
    /// The model's name: its file's.
    pub model: &'a str,
    /// Position of the package in the model.
    pub package: usize,
    /// The package's model identifier.
    pub identifier: &'a str,
    /// Input layers, in the package's order.
    pub input_layers: &'a [Layer],
    /// Their bytes in plain order.
    pub inputs: &'a [Vec<u8>],
    /// Output layers, in the package's order.
    pub output_layers: &'a [Layer],
}

/// Computes outputs.
pub trait Executor: Send {
    /// Fills `outputs`, which come in the layers' sizes, in plain order.
    ///
    /// # Errors
    ///
    /// Why it cannot; the device then reports a fatal error.
    fn run(&mut self, inference: &Inference<'_>, outputs: &mut [Vec<u8>]) -> Result<(), String>;
}

/// A pattern that depends on every input byte, on the output's name and on the byte's place.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyedPattern;

/// The key of a set of inputs: FNV-1a-64 over all of them, one after the other.
#[must_use]
pub fn input_key<'a>(inputs: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut hash = crate::FNV_START;
    for input in inputs {
        hash = crate::fnv1a_more(hash, input);
    }
    hash
}

/// Byte `index` of the pattern for an output.
#[must_use]
pub fn keyed_byte(key: u64, output: &str, index: usize) -> u8 {
    // splitmix64 over key, name and place.
    let mut x =
        key ^ crate::fnv1a(output.as_bytes()) ^ (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)).to_le_bytes()[0]
}

impl Executor for KeyedPattern {
    fn run(&mut self, inference: &Inference<'_>, outputs: &mut [Vec<u8>]) -> Result<(), String> {
        let key = input_key(inference.inputs.iter().map(Vec::as_slice));
        for (layer, output) in inference.output_layers.iter().zip(outputs) {
            for (index, byte) in output.iter_mut().enumerate() {
                *byte = keyed_byte(key, &layer.name, index);
            }
        }
        Ok(())
    }
}

impl<F> Executor for F
where
    F: FnMut(&Inference<'_>, &mut [Vec<u8>]) -> Result<(), String> + Send,
{
    fn run(&mut self, inference: &Inference<'_>, outputs: &mut [Vec<u8>]) -> Result<(), String> {
        self(inference, outputs)
    }
}
