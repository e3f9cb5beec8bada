//! A compiled model: its operators in order, their tensors, and what runs in its place when no
//! accelerator is in service.

use std::sync::Arc;

use arrayvec::ArrayVec;

use super::{START_LIMIT, SharedPool};
use crate::inference::engine::{
    ElementType, Model, Processor, Quantisation, TensorSpec, TensorView,
};
use crate::inference::error::InferenceError;
use crate::inference::registry::ModelFile;
use crate::inference::tflite_graph::{Graph, Operation, Ordered};
use crate::preprocess::TensorMut;
use crate::tpu::TpuError;
use crate::tpu::layout::Narrowing;
use crate::tpu::package::{DataType, Layer, Package};
use crate::tpu::pool::ModelId;

/// How often a model is run at its start before it is given up: every hiccup of the bus costs one.
const PROOFS_MAX: u32 = 4;

/// Most tensors that go into one of a model's Edge TPU operators.
const INPUTS_MAX: usize = 32;

/// Where an operator's input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// What the model was given.
    Input,
    /// Output `output` of step `step`.
    Made { step: usize, output: usize },
}

/// What is done with the accelerator, in one go.
#[derive(Debug)]
struct Step {
    model: ModelId,
    inputs: ArrayVec<Place, INPUTS_MAX>,
    /// Tensor bytes of each output layer.
    outputs: Vec<Vec<u8>>,
    /// Those of classifiers whose scores come wider than their tensors.
    narrow: Vec<Option<Narrow>>,
}

#[derive(Debug)]
struct Narrow {
    how: Narrowing,
    bytes: Vec<u8>,
}

impl Step {
    /// The bytes of an output's tensor.
    fn output(&self, output: usize) -> &[u8] {
        match self.narrow.get(output) {
            Some(Some(narrow)) => &narrow.bytes,
            _ => self
                .outputs
                .get(output)
                .map(Vec::as_slice)
                .unwrap_or_default(),
        }
    }
}

/// An output of the model, in the form in which it is read.
#[derive(Debug)]
enum Shown {
    /// As it is.
    U8(Place),
    I8(Place, Vec<i8>),
    F32(Place, Vec<f32>),
    /// Stored values made real.
    Dequantised {
        from: Place,
        signed: bool,
        quantisation: Quantisation,
        values: Vec<f32>,
    },
}

/// A compiled model on a pool of accelerators.
#[derive(Debug)]
pub(super) struct EdgeTpuModel {
    name: String,
    pool: SharedPool,
    input: TensorSpec,
    outputs: Vec<TensorSpec>,
    /// The input tensor's bytes.
    given: Vec<u8>,
    steps: Vec<Step>,
    shown: Vec<Shown>,
    spare: Option<Box<dyn Model>>,
    is_on_spare: bool,
}

impl EdgeTpuModel {
    pub(super) fn open(
        file: ModelFile,
        pool: SharedPool,
        spare: Option<Box<dyn Model>>,
    ) -> Result<Self, InferenceError> {
        let path = file.path.clone();
        let unsuitable = |reason: String| InferenceError::Unsuitable {
            path: path.clone(),
            task: "model of an Edge TPU",
            reason,
        };
        let ModelFile {
            name,
            mut bytes,
            mut graph,
            ..
        } = file;
        // Converters since 2020 put an operator before everything that flips the top bit of each
        // byte; the layout does that in passing.
        if graph.take_signed_input(&mut bytes) {
            graph = Graph::parse(&bytes).map_err(|error| unsuitable(error.to_string()))?;
        }
        let order = graph.order(&bytes).map_err(unsuitable)?;
        let built = Builder::new(&graph, &pool)
            .build(order)
            .map_err(unsuitable)?;
        let input = graph.inputs().first().copied().cloned();
        let input = input.ok_or_else(|| unsuitable("it has no input".to_owned()))?;
        let mut model = Self {
            given: vec![0; input.shape.iter().product()],
            outputs: graph.outputs().into_iter().cloned().collect(),
            steps: built.steps,
            shown: built.shown,
            is_on_spare: false,
            name,
            pool,
            input,
            spare,
        };
        model.prove()?;
        Ok(model)
    }

    /// Runs once: weights go to the accelerator now, and what fails had better fail now. A hiccup on the
    /// way is no reason not to start: the accelerator is brought back into service, and asked again.
    fn prove(&mut self) -> Result<(), InferenceError> {
        let mut ran = self.run();
        for _ in 1..PROOFS_MAX {
            match &ran {
                Err(error) if !error.is_callers() && !error.is_lasting() => {
                    log::warn!("Edge TPU: {}: {error}; tried again", self.name);
                }
                Ok(()) | Err(_) => break,
            }
            let started = self.pool.lock().start(START_LIMIT);
            ran = started.and_then(|()| self.run());
        }
        self.settle(ran)
    }

    /// Shows what a run gave; after one that failed the model that runs in its place is asked.
    fn settle(&mut self, ran: Result<(), TpuError>) -> Result<(), InferenceError> {
        match ran {
            Ok(()) => {
                if self.is_on_spare {
                    self.pool.say(&self.name, None);
                    self.is_on_spare = false;
                }
                self.show();
                Ok(())
            }
            Err(error) => self.run_spare(&error).unwrap_or_else(|| {
                Err(InferenceError::EdgeTpu {
                    model: self.name.clone(),
                    source: error,
                })
            }),
        }
    }

    fn run(&mut self) -> Result<(), TpuError> {
        let mut pool = self.pool.lock();
        for at in 0..self.steps.len() {
            let (done, rest) = self.steps.split_at_mut(at);
            let Some(step) = rest.first_mut() else {
                break;
            };
            let bytes = |place: &Place| match *place {
                Place::Input => self.given.as_slice(),
                Place::Made { step, output } => done
                    .get(step)
                    .map(|step| step.output(output))
                    .unwrap_or_default(),
            };
            let inputs: ArrayVec<&[u8], INPUTS_MAX> = step.inputs.iter().map(bytes).collect();
            pool.run(step.model, &inputs, &mut step.outputs)?;
            for (wide, narrow) in step.outputs.iter().zip(&mut step.narrow) {
                if let Some(narrow) = narrow {
                    narrow.how.apply(wide, &mut narrow.bytes);
                }
            }
        }
        Ok(())
    }

    /// Brings the outputs into the form in which they are read.
    fn show(&mut self) {
        let (given, steps) = (&self.given, &self.steps);
        let bytes = |place: Place| match place {
            Place::Input => given.as_slice(),
            Place::Made { step, output } => steps
                .get(step)
                .map(|step| step.output(output))
                .unwrap_or_default(),
        };
        for shown in &mut self.shown {
            match shown {
                Shown::U8(_) => {}
                Shown::I8(place, values) => {
                    for (value, byte) in values.iter_mut().zip(bytes(*place)) {
                        *value = byte.cast_signed();
                    }
                }
                Shown::F32(place, values) => {
                    for (value, word) in values.iter_mut().zip(bytes(*place).as_chunks().0) {
                        *value = f32::from_le_bytes(*word);
                    }
                }
                Shown::Dequantised {
                    from,
                    signed,
                    quantisation: Quantisation { scale, zero_point },
                    values,
                } => {
                    for (value, byte) in values.iter_mut().zip(bytes(*from)) {
                        let stored = if *signed {
                            i32::from(byte.cast_signed())
                        } else {
                            i32::from(*byte)
                        };
                        #[allow(
                            clippy::cast_precision_loss,
                            reason = "both are within a few hundred"
                        )]
                        let steps = (stored - *zero_point) as f32;
                        *value = *scale * steps;
                    }
                }
            }
        }
    }

    /// Runs the model on the CPU instead.
    fn run_spare(&mut self, reason: &crate::tpu::TpuError) -> Option<Result<(), InferenceError>> {
        let spare = self.spare.as_mut()?;
        if !self.is_on_spare {
            self.pool.say(&self.name, Some(reason));
            self.is_on_spare = true;
        }
        // Either may have had the operator folded away that flips the top bit of each byte.
        let flip = if spare.input().element == self.input.element {
            0
        } else {
            0x80
        };
        let (TensorMut::U8(to) | TensorMut::I8Bits(to)) = spare.input_mut() else {
            return None;
        };
        for (to, from) in to.iter_mut().zip(&self.given) {
            *to = from ^ flip;
        }
        Some(spare.invoke())
    }
}

impl Model for EdgeTpuModel {
    fn input(&self) -> &TensorSpec {
        &self.input
    }

    fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    fn input_mut(&mut self) -> TensorMut<'_> {
        match self.input.element {
            ElementType::I8 => TensorMut::I8Bits(&mut self.given),
            // Anything else was refused when the model was loaded.
            ElementType::U8 | ElementType::F32 | ElementType::Other(_) => {
                TensorMut::U8(&mut self.given)
            }
        }
    }

    fn invoke(&mut self) -> Result<(), InferenceError> {
        let ran = self.run();
        self.settle(ran)
    }

    fn processor(&self) -> Processor {
        if self.is_on_spare {
            Processor::Cpu
        } else {
            Processor::EdgeTpu
        }
    }

    fn output(&self, index: usize) -> Option<TensorView<'_>> {
        if self.is_on_spare {
            return self.spare.as_ref()?.output(index);
        }
        match self.shown.get(index)? {
            Shown::U8(Place::Made { step, output }) => {
                Some(TensorView::U8(self.steps.get(*step)?.output(*output)))
            }
            Shown::U8(Place::Input) => Some(TensorView::U8(&self.given)),
            Shown::I8(_, values) => Some(TensorView::I8(values)),
            Shown::F32(_, values) | Shown::Dequantised { values, .. } => {
                Some(TensorView::F32(values))
            }
        }
    }
}

/// Turns a graph's operators into steps.
struct Builder<'a> {
    graph: &'a Graph,
    pool: &'a SharedPool,
    /// By number of the tensor: where its stored values are.
    places: Vec<(usize, Place)>,
    /// Tensors of real numbers, and the stored ones they are made of.
    real: Vec<(usize, usize)>,
    drafts: Vec<Draft>,
}

/// A step whose program no accelerator has yet: one model that is refused must leave nothing behind that
/// counts as another one's company.
struct Draft {
    package: Arc<Package>,
    inputs: ArrayVec<Place, INPUTS_MAX>,
    narrow: Vec<Option<Narrow>>,
}

struct Built {
    steps: Vec<Step>,
    shown: Vec<Shown>,
}

impl<'a> Builder<'a> {
    const fn new(graph: &'a Graph, pool: &'a SharedPool) -> Self {
        Self {
            graph,
            pool,
            places: Vec::new(),
            real: Vec::new(),
            drafts: Vec::new(),
        }
    }

    fn build(mut self, order: Vec<Ordered<'_>>) -> Result<Built, String> {
        let &[input] = self.graph.input_numbers() else {
            return Err(format!(
                "it has {} inputs, not one",
                self.graph.input_numbers().len()
            ));
        };
        let spec = self.spec(input)?;
        if !matches!(spec.element, ElementType::U8 | ElementType::I8) {
            return Err(format!("its input is {spec}, not uint8 or int8"));
        }
        self.places.push((input, Place::Input));
        let is_edge_tpu = |o: &&Ordered<'_>| matches!(o.operation, Operation::EdgeTpu { .. });
        let count = order.iter().filter(is_edge_tpu).count();
        for operator in order {
            match operator.operation {
                Operation::EdgeTpu { options } => {
                    let number = self.drafts.len() + 1;
                    self.edge_tpu(options, &operator)
                        .map_err(|reason| match count {
                            1 => reason,
                            _ => format!("its Edge TPU operator {number} of {count}: {reason}"),
                        })?;
                }
                Operation::Dequantize => {
                    let (&[from], &[to]) =
                        (operator.inputs.as_slice(), operator.outputs.as_slice())
                    else {
                        return Err("DEQUANTIZE of several tensors at once".to_owned());
                    };
                    self.real.push((to, from));
                }
            }
        }
        let outputs = self.graph.output_numbers().iter();
        let shown = outputs
            .map(|output| self.shown(*output))
            .collect::<Result<_, _>>()?;
        let steps = self.drafts.into_iter();
        let steps = steps
            .map(|draft| draft.load(self.pool))
            .collect::<Result<_, _>>()?;
        Ok(Built { steps, shown })
    }

    fn spec(&self, tensor: usize) -> Result<&'a TensorSpec, String> {
        self.graph
            .tensor(tensor)
            .ok_or_else(|| format!("it has no tensor {tensor}"))
    }

    fn place(&self, tensor: usize) -> Result<Place, String> {
        let found = self.places.iter().find(|(number, _)| *number == tensor);
        found.map(|(_, place)| *place).ok_or_else(|| {
            let what = if self.graph.is_constant(tensor) {
                "a constant"
            } else {
                "real numbers"
            };
            format!("the Edge TPU is to be given tensor {tensor}, which is {what}")
        })
    }

    fn edge_tpu(&mut self, options: &[u8], operator: &Ordered<'_>) -> Result<(), String> {
        let package = Package::from_custom_options(options).map_err(|error| error.to_string())?;
        let layers = [&package.main.inputs, &package.main.outputs];
        let tensors = [&operator.inputs, &operator.outputs];
        for ((layers, tensors), what) in layers.into_iter().zip(tensors).zip(["inputs", "outputs"])
        {
            if layers.len() != tensors.len() {
                return Err(format!(
                    "its Edge TPU operator has {} {what}, the program in it {}",
                    tensors.len(),
                    layers.len()
                ));
            }
        }
        if operator.inputs.len() > INPUTS_MAX {
            return Err(format!(
                "it has {} inputs; at most {INPUTS_MAX} are given to it",
                operator.inputs.len()
            ));
        }
        let inputs = operator.inputs.iter().map(|tensor| self.place(*tensor));
        let inputs = inputs.collect::<Result<_, _>>()?;
        for (layer, tensor) in package.main.inputs.iter().zip(&operator.inputs) {
            if let Some(narrowing) = fit(layer, self.spec(*tensor)?)? {
                return Err(format!(
                    "input {:?} is to be narrowed: {narrowing:?}",
                    layer.name
                ));
            }
        }
        let mut narrow = Vec::new();
        for (layer, tensor) in package.main.outputs.iter().zip(&operator.outputs) {
            let how = fit(layer, self.spec(*tensor)?)?;
            narrow.push(how.map(|how| Narrow {
                how,
                bytes: vec![0; layer.elements * layer.executions],
            }));
        }
        for (output, tensor) in operator.outputs.iter().enumerate() {
            let step = self.drafts.len();
            self.places.push((*tensor, Place::Made { step, output }));
        }
        self.drafts.push(Draft {
            package: Arc::new(package),
            inputs,
            narrow,
        });
        Ok(())
    }

    fn shown(&self, tensor: usize) -> Result<Shown, String> {
        let spec = self.spec(tensor)?;
        let length = spec.shape.iter().product();
        if let Some((_, from)) = self.real.iter().find(|(to, _)| *to == tensor) {
            let stored = self.spec(*from)?;
            let signed = match stored.element {
                ElementType::U8 => false,
                ElementType::I8 => true,
                ElementType::F32 | ElementType::Other(_) => {
                    return Err(format!("real numbers are to be made of {stored}"));
                }
            };
            let Some(quantisation) = stored.quantisation else {
                return Err(format!("real numbers are to be made of {stored}"));
            };
            return Ok(Shown::Dequantised {
                from: self.place(*from)?,
                signed,
                quantisation,
                values: vec![0.0; length],
            });
        }
        let place = self.place(tensor)?;
        match spec.element {
            ElementType::U8 => Ok(Shown::U8(place)),
            ElementType::I8 => Ok(Shown::I8(place, vec![0; length])),
            ElementType::F32 => Ok(Shown::F32(place, vec![0.0; length])),
            ElementType::Other(_) => Err(format!("its output is {spec}")),
        }
    }
}

impl Draft {
    fn load(self, pool: &SharedPool) -> Result<Step, String> {
        let model = pool.lock().load(&self.package);
        let outputs = self.package.main.outputs.iter();
        Ok(Step {
            model: model.map_err(|error| error.to_string())?,
            inputs: self.inputs,
            outputs: outputs.map(|layer| vec![0; layer.actual_bytes()]).collect(),
            narrow: self.narrow,
        })
    }
}

/// Whether a layer is what a tensor says it is; `Some` where the layer's elements are wider.
fn fit(layer: &Layer, tensor: &TensorSpec) -> Result<Option<Narrowing>, String> {
    let elements: usize = tensor.shape.iter().product();
    let misfit = || {
        format!(
            "layer {:?} has {} values of {}, its tensor is {tensor}",
            layer.name,
            layer.elements * layer.executions,
            layer.data_type.name()
        )
    };
    if elements != layer.elements * layer.executions {
        return Err(misfit());
    }
    match (layer.data_type, tensor.element) {
        (DataType::Unsigned8, ElementType::U8)
        | (DataType::Signed8, ElementType::I8)
        | (DataType::Single, ElementType::F32)
        | (DataType::Unsigned16 | DataType::Signed16, ElementType::Other("int16"))
        | (DataType::Signed32, ElementType::Other("int32")) => Ok(None),
        (_, ElementType::U8) => {
            let Quantisation { scale, zero_point } = tensor.quantisation.ok_or_else(misfit)?;
            let how = Narrowing::of(layer, scale, zero_point);
            how.map(Some).ok_or_else(misfit)
        }
        _ => Err(misfit()),
    }
}
