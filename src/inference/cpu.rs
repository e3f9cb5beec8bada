//! The CPU engine: TensorFlow Lite with XNNPACK, through the crate `tflitec`.

use std::borrow::Cow;

use self_cell::self_cell;
use tflitec::interpreter::{Interpreter, Options};
use tflitec::model::Model as TfliteModel;
use tflitec::tensor::DataType;

use super::engine::{ElementType, Engine, Model, Quantisation, TensorSpec, TensorView};
use super::error::InferenceError;
use super::registry::ModelFile;
use super::tflite_sys::Handles;
use crate::preprocess::TensorMut;

/// Custom operators that TensorFlow Lite itself brings along.
const BUILT_IN_CUSTOM: [&str; 1] = ["TFLite_Detection_PostProcess"];

/// TensorFlow Lite on the CPU.
#[derive(Debug)]
pub struct CpuEngine {
    threads: u8,
    description: String,
}

impl CpuEngine {
    /// An engine that uses `threads` threads per inference; 0 counts as 1.
    #[must_use]
    pub fn new(threads: u8) -> Self {
        let threads = threads.max(1);
        let plural = if threads == 1 { "" } else { "s" };
        let version = tflitec::tf_lite_version();
        Self {
            threads,
            description: format!("CPU, TFLite {version} + XNNPACK, {threads} thread{plural}"),
        }
    }

    /// Adds to the description why this engine was taken.
    #[must_use]
    pub fn because(mut self, reason: &str) -> Self {
        self.description = format!("{} ({reason})", self.description);
        self
    }
}

impl Engine for CpuEngine {
    fn description(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.description)
    }

    fn load(&self, file: ModelFile) -> Result<Box<dyn Model>, InferenceError> {
        if file.graph.is_for_edge_tpu() {
            return Err(InferenceError::EngineUnavailable {
                engine: "cpu",
                reason: format!(
                    "{} is compiled for an Edge TPU; name the model it was compiled from",
                    file.path.display()
                ),
            });
        }
        let unknown = file.graph.custom_operators();
        if let Some(name) = unknown.iter().find(|name| !BUILT_IN_CUSTOM.contains(name)) {
            return Err(InferenceError::EngineUnavailable {
                engine: "cpu",
                reason: format!(
                    "{} needs the operator {name}, which TFLite does not have",
                    file.path.display()
                ),
            });
        }
        Ok(Box::new(CpuModel::open(
            file,
            self.threads,
            Fold::InputQuantize,
        )?))
    }
}

self_cell!(
    /// A model with the bytes it reads from.
    struct ModelCell {
        owner: Vec<u8>,
        #[covariant]
        dependent: TfliteModel,
    }
);

self_cell!(
    /// An interpreter with the model it runs.
    struct InterpreterCell {
        owner: ModelCell,
        #[covariant]
        dependent: Interpreter,
    }
);

self_cell!(
    /// Tensor handles with the interpreter they look into.
    struct TensorCell {
        owner: InterpreterCell,
        #[covariant]
        dependent: Handles,
    }
);

/// Which operators are taken out of a model before TFLite sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fold {
    /// None: the reference for tests.
    #[cfg(test)]
    Nothing,
    /// The one that turns `u8` input into `i8`, see [`Graph::take_signed_input`].
    ///
    /// [`Graph::take_signed_input`]: super::tflite_graph::Graph::take_signed_input
    InputQuantize,
}

/// What the input tensor is filled from; `tflitec` copies it in.
#[derive(Debug)]
enum InputBuffer {
    U8(Vec<u8>),
    I8Bits(Vec<u8>),
    F32(Vec<f32>),
}

/// A model in an interpreter.
struct CpuModel {
    name: String,
    input: TensorSpec,
    outputs: Vec<TensorSpec>,
    buffer: InputBuffer,
    tensors: TensorCell,
}

impl std::fmt::Debug for CpuModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CpuModel")
            .field("name", &self.name)
            .field("input", &self.input)
            .field("outputs", &self.outputs)
            .finish_non_exhaustive()
    }
}

impl CpuModel {
    fn open(file: ModelFile, threads: u8, fold: Fold) -> Result<Self, InferenceError> {
        let ModelFile {
            name,
            path,
            mut bytes,
            graph,
            ..
        } = file;
        let unsuitable = |reason: String| InferenceError::Unsuitable {
            path: path.clone(),
            task: "model of one picture",
            reason,
        };
        if graph.inputs().len() != 1 || graph.outputs().is_empty() {
            return Err(unsuitable(format!(
                "it has {} inputs and {} outputs",
                graph.inputs().len(),
                graph.outputs().len()
            )));
        }
        if fold == Fold::InputQuantize && graph.take_signed_input(&mut bytes) {
            log::debug!(
                "model {name}: takes int8 input, its first operator was folded into preprocessing"
            );
        }
        let tensors = tensors(&name, bytes, threads)?;
        let spec = |tensor: &tflitec::tensor::Tensor<'_>| TensorSpec {
            name: tensor.name().to_owned(),
            shape: tensor.shape().dimensions().clone(),
            element: element_type(tensor.data_type()),
            quantisation: tensor.quantization_parameters().map(|q| Quantisation {
                scale: q.scale,
                zero_point: q.zero_point,
            }),
        };
        let handles = tensors.borrow_dependent();
        let input = spec(handles.input());
        let outputs = handles.outputs().iter().map(spec).collect();
        let length = input.shape.iter().product();
        let buffer = match input.element {
            ElementType::U8 => InputBuffer::U8(vec![0; length]),
            ElementType::I8 => InputBuffer::I8Bits(vec![0; length]),
            ElementType::F32 => InputBuffer::F32(vec![0.0; length]),
            ElementType::Other(_) => return Err(unsuitable(format!("its input is {input}"))),
        };
        let mut model = Self {
            name,
            input,
            outputs,
            buffer,
            tensors,
        };
        // The first inference is slow, and what fails in it had better fail now.
        model.invoke()?;
        Ok(model)
    }
}

fn tensors(name: &str, bytes: Vec<u8>, threads: u8) -> Result<TensorCell, InferenceError> {
    let failed = |operation: &'static str| {
        let model = name.to_owned();
        move |source| InferenceError::Tflite {
            model,
            operation,
            source,
        }
    };
    let options = Options {
        thread_count: i32::from(threads),
        is_xnnpack_enabled: true,
    };
    let model = ModelCell::try_new(bytes, |bytes| TfliteModel::from_bytes(bytes))
        .map_err(failed("read it"))?;
    let interpreter = InterpreterCell::try_new(model, |model| {
        Interpreter::new(model.borrow_dependent(), Some(options))
    })
    .map_err(failed("build an interpreter for it"))?;
    TensorCell::try_new(interpreter, |interpreter| {
        let interpreter = interpreter.borrow_dependent();
        interpreter.allocate_tensors()?;
        Handles::of(interpreter)
    })
    .map_err(failed("allocate its tensors"))
}

impl Model for CpuModel {
    fn input(&self) -> &TensorSpec {
        &self.input
    }

    fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    fn input_mut(&mut self) -> TensorMut<'_> {
        match &mut self.buffer {
            InputBuffer::U8(values) => TensorMut::U8(values),
            InputBuffer::I8Bits(values) => TensorMut::I8Bits(values),
            InputBuffer::F32(values) => TensorMut::F32(values),
        }
    }

    fn invoke(&mut self) -> Result<(), InferenceError> {
        let failed = |operation: &'static str| {
            let model = &self.name;
            move |source| InferenceError::Tflite {
                model: model.clone(),
                operation,
                source,
            }
        };
        let input = self.tensors.borrow_dependent().input();
        match &self.buffer {
            InputBuffer::U8(values) | InputBuffer::I8Bits(values) => input.set_data(values),
            InputBuffer::F32(values) => input.set_data(values),
        }
        .map_err(failed("take its input"))?;
        let interpreter = self.tensors.borrow_owner().borrow_dependent();
        interpreter.invoke().map_err(failed("run it"))
    }

    fn output(&self, index: usize) -> Option<TensorView<'_>> {
        let tensor = self.tensors.borrow_dependent().outputs().get(index)?;
        match element_type(tensor.data_type()) {
            ElementType::U8 => Some(TensorView::U8(tensor.data())),
            ElementType::I8 => Some(TensorView::I8(tensor.data())),
            ElementType::F32 => Some(TensorView::F32(tensor.data())),
            ElementType::Other(_) => None,
        }
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "every other type is one the program does not read"
)]
const fn element_type(data_type: DataType) -> ElementType {
    match data_type {
        DataType::UInt8 => ElementType::U8,
        DataType::Int8 => ElementType::I8,
        DataType::Float32 => ElementType::F32,
        DataType::Int32 => ElementType::Other("int32"),
        DataType::Int64 => ElementType::Other("int64"),
        DataType::Bool => ElementType::Other("bool"),
        _ => ElementType::Other("an unusual type"),
    }
}

#[cfg(test)]
#[path = "cpu_tests.rs"]
mod tests;
