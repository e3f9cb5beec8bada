//! What an engine is: something that loads models and runs them, tensor in, tensors out.
//!
//! Role words: an *engine* is the machinery (TFLite on the CPU; an Edge TPU later), a *model* is one
//! loaded network with its tensors, owned by the infer thread.

use std::borrow::Cow;
use std::fmt;

use super::error::InferenceError;
use super::registry::ModelFile;
use crate::preprocess::TensorMut;

/// Type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    /// `u8`.
    U8,
    /// `i8`.
    I8,
    /// `f32`.
    F32,
    /// Something the program does not read, by its name in TFLite.
    Other(&'static str),
}

impl ElementType {
    /// The word in `models.toml` and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::F32 => "float32",
            Self::Other(name) => name,
        }
    }
}

/// How stored values become real ones: `scale * (value - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantisation {
    /// Difference between neighbouring values, positive.
    pub scale: f32,
    /// The stored value that means 0.
    pub zero_point: i32,
}

/// A tensor's name and form.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorSpec {
    /// Name in the model file.
    pub name: String,
    /// Elements per dimension, outermost first.
    pub shape: Vec<usize>,
    /// Type of its elements.
    pub element: ElementType,
    /// Per-tensor quantisation, where it has one.
    pub quantisation: Option<Quantisation>,
}

impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.element.name(), self.shape)?;
        match self.quantisation {
            Some(Quantisation { scale, zero_point }) => {
                write!(f, " (scale {scale}, zero point {zero_point})")
            }
            None => Ok(()),
        }
    }
}

/// A tensor's values, borrowed until the next inference.
#[derive(Clone, Copy, Debug)]
pub enum TensorView<'a> {
    /// `u8` values.
    U8(&'a [u8]),
    /// `i8` values.
    I8(&'a [i8]),
    /// `f32` values.
    F32(&'a [f32]),
}

impl TensorView<'_> {
    /// Number of values.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::I8(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Value `index` as a real number; `None` beyond the end. Integers without quantisation are
    /// taken as they are.
    #[must_use]
    pub fn real(&self, index: usize, quantisation: Option<Quantisation>) -> Option<f32> {
        let Quantisation { scale, zero_point } = quantisation.unwrap_or(Quantisation {
            scale: 1.0,
            zero_point: 0,
        });
        let integer = match self {
            Self::U8(values) => i32::from(*values.get(index)?),
            Self::I8(values) => i32::from(*values.get(index)?),
            Self::F32(values) => return values.get(index).copied(),
        };
        #[allow(clippy::cast_precision_loss, reason = "both are within a few hundred")]
        let steps = (integer - zero_point) as f32;
        Some(scale * steps)
    }
}

/// What a model runs on, where its engine has a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processor {
    /// The machine's own.
    Cpu,
    /// An Edge TPU.
    EdgeTpu,
}

/// A loaded model with its tensors.
pub trait Model: Send + fmt::Debug {
    /// The form of the input tensor, as the engine takes it.
    fn input(&self) -> &TensorSpec;

    /// The forms of the output tensors, in the model's order.
    fn outputs(&self) -> &[TensorSpec];

    /// The input tensor, to be filled before [`Model::invoke`]. Keeps its values in between.
    fn input_mut(&mut self) -> TensorMut<'_>;

    /// Runs the model. Blocks until it is done.
    ///
    /// # Errors
    ///
    /// The engine failed; outputs are undefined until the next success.
    fn invoke(&mut self) -> Result<(), InferenceError>;

    /// Output `index` of the last successful [`Model::invoke`]; `None` for an index or element type
    /// that does not exist.
    fn output(&self, index: usize) -> Option<TensorView<'_>>;

    /// What it ran on last.
    fn processor(&self) -> Processor {
        Processor::Cpu
    }
}

/// How the accelerators of an engine are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    /// Temperature of the hottest chip in °C; `None` where none tells.
    pub celsius: Option<f32>,
    /// Why an accelerator is out of service, of the first that is.
    pub out_of_service: Option<String>,
    /// What else somebody should know: models on the CPU, weights that evict each other.
    pub remark: Option<String>,
}

/// Loads models.
pub trait Engine: Send + fmt::Debug {
    /// What it is now, for header, log and picture: `CPU, TFLite 2.14.1 + XNNPACK, 1 thread`. Accelerators
    /// may move to another socket. Not to be asked with every inference: it may be made anew.
    fn description(&self) -> Cow<'_, str>;

    /// The same of a processor that it runs models on.
    fn description_of(&self, _processor: Processor) -> Cow<'_, str> {
        self.description()
    }

    /// Loads a model whose file has been read and checked, and runs it once.
    ///
    /// # Errors
    ///
    /// The engine cannot run this model; says why and which file.
    fn load(&self, file: ModelFile) -> Result<Box<dyn Model>, InferenceError>;

    /// One step of whatever the engine does on its own; called when there is nothing to infer. Takes a
    /// fraction of a second, or as announced by [`Engine::is_recovering`].
    fn tick(&self) {}

    /// Whether the next [`Engine::tick`], or inference, may take as many seconds as the kernel gives the
    /// reset of a device.
    fn is_recovering(&self) -> bool {
        false
    }

    /// What else is to be known of it, a line each: for people who look into it.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// How its accelerators are; `None` for an engine without any. One short question to each.
    fn condition(&self) -> Option<Condition> {
        None
    }

    /// The oldest thing that happened to the engine and has not been taken, in words.
    fn take_event(&self) -> Option<String> {
        None
    }
}
