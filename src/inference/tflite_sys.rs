//! Tensor handles that are looked up once, so that an inference allocates nothing of ours.
#![allow(
    unsafe_code,
    reason = "`tflitec::Tensor` holds raw pointers and is not `Send`, its interpreter is"
)]

use tflitec::Result;
use tflitec::interpreter::Interpreter;
use tflitec::tensor::Tensor;

/// The input and the outputs of an interpreter whose tensors are allocated and have never been run.
///
/// TFLite places tensors of fixed size when it allocates them and moves them only when it allocates
/// again, which needs `&Interpreter` calls that nobody here makes after [`Handles::of`]. Tensors of
/// varying size have no memory before the first run: looking them up fails here, and such a model
/// is refused.
#[derive(Debug)]
pub(super) struct Handles<'a> {
    input: Tensor<'a>,
    outputs: Vec<Tensor<'a>>,
}

// SAFETY: a `Tensor` is not `Send` only because it holds raw pointers into its interpreter. The
// interpreter is `Send` and borrowed for `'a`; `CpuModel` keeps both in one self-referencing cell,
// so that they change threads together and never without each other. `Handles` is not `Sync`.
unsafe impl Send for Handles<'_> {}

impl<'a> Handles<'a> {
    /// Looks up the tensors of an interpreter with at least one input and output.
    pub(super) fn of(interpreter: &'a Interpreter<'a>) -> Result<Self> {
        Ok(Self {
            input: interpreter.input(0)?,
            outputs: (0..interpreter.output_tensor_count())
                .map(|index| interpreter.output(index))
                .collect::<Result<_>>()?,
        })
    }

    pub(super) const fn input(&self) -> &Tensor<'a> {
        &self.input
    }

    pub(super) fn outputs(&self) -> &[Tensor<'a>] {
        &self.outputs
    }
}
