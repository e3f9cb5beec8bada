//! Graphs of several operators for the Edge TPU, on the simulated device, which answers each with a
//! pattern keyed by its inputs; what must come out is computed here along the graph's edges.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure is the message"
)]

use std::collections::BTreeMap;
use std::path::Path;

use andon_tpu_sim::clock::VirtualClock;
use andon_tpu_sim::device::{Config as SimConfig, SimulatedEdgeTpu};
use andon_tpu_sim::execute::{input_key, keyed_byte};
use andon_tpu_sim::fault::{Fault, Trigger};
use andon_tpu_sim::host::SimulatedHost;
use andon_tpu_sim::registry::Registry;

use super::*;
use crate::inference::ssd::PostProcess;
use crate::inference::test_model::{
    POST_PROCESS_OPTIONS, TestOperator, TestTensor, flexbuffer, model_of_subgraphs,
};
use crate::inference::{Labels, TensorView};
use crate::preprocess::TensorMut;
use crate::tpu::test_models;
use crate::tpu::usb::Usb;
use crate::tpu::usb::simulated::SimulatedUsb;
use crate::tpu::usb::transport::PortPath;

const PORT: &str = "1-1";

/// Numbers of the schema.
const F32: u8 = 0;
const U8: u8 = 3;
const I8: u8 = 9;
const DEQUANTIZE: u8 = 6;
const LOGISTIC: u8 = 14;
const QUANTIZE: u8 = 114;

/// How the operators of a model are to be cached.
#[derive(Clone, Copy, Debug)]
enum Tokens {
    /// All of them stay on the chip.
    Shared,
    /// Each evicts the others.
    Apart,
    /// None of them stays.
    None,
}

/// A graph. Tensor 0 is its input; layers are called as their tensors here.
#[derive(Clone)]
struct Sketch {
    tokens: Tokens,
    tensors: Vec<TestTensor>,
    operators: Vec<TestOperator>,
    outputs: Vec<i32>,
    subgraphs: usize,
}

fn at(tensor: i32) -> usize {
    usize::try_from(tensor).unwrap()
}

fn name(tensor: i32) -> String {
    format!("layer {tensor}")
}

impl Sketch {
    fn new(tokens: Tokens, tensors: &[(&[i32], u8)]) -> Self {
        let tensor = |&(shape, element): &(&[i32], u8)| TestTensor {
            shape: shape.to_vec(),
            element,
            quantisation: match element {
                U8 => Some((0.05, 40)),
                I8 => Some((0.1, -3)),
                _ => None,
            },
            data: Vec::new(),
        };
        Self {
            tokens,
            tensors: tensors.iter().map(tensor).collect(),
            operators: Vec::new(),
            outputs: Vec::new(),
            subgraphs: 1,
        }
    }

    /// With an operator for the Edge TPU.
    fn chip(self, inputs: &[i32], outputs: &[i32]) -> Self {
        let layers = |tensors: &[i32]| -> Vec<(String, Vec<i32>, u8)> {
            let tensors = tensors
                .iter()
                .map(|tensor| (tensor, &self.tensors[at(*tensor)]));
            tensors
                .map(|(number, tensor)| (name(*number), tensor.shape.clone(), tensor.element))
                .collect()
        };
        let (made_of, makes) = (layers(inputs), layers(outputs));
        let options = self.package(&made_of, &makes);
        self.with(32, "edgetpu-custom-op", options, inputs, outputs)
    }

    /// The options of the next operator for the Edge TPU.
    fn package(
        &self,
        inputs: &[(String, Vec<i32>, u8)],
        outputs: &[(String, Vec<i32>, u8)],
    ) -> Vec<u8> {
        let number = u64::try_from(self.operators.len()).unwrap();
        let token = match self.tokens {
            Tokens::Shared => 7,
            Tokens::Apart => 7 + number,
            Tokens::None => 0,
        };
        let [inputs, outputs] = [inputs, outputs].map(|layers| {
            let layers = layers.iter();
            layers
                .map(|(name, shape, kind)| (name.as_str(), shape.as_slice(), *kind))
                .collect::<Vec<_>>()
        });
        test_models::made_options(&inputs, &outputs, token, number)
    }

    fn with(
        mut self,
        builtin: u8,
        custom: &'static str,
        options: Vec<u8>,
        inputs: &[i32],
        outputs: &[i32],
    ) -> Self {
        self.operators.push(TestOperator {
            builtin,
            custom,
            inputs: inputs.to_vec(),
            outputs: outputs.to_vec(),
            options,
        });
        self
    }

    fn cpu(self, builtin: u8, input: i32, output: i32) -> Self {
        self.with(builtin, "", Vec::new(), &[input], &[output])
    }

    fn outputs(mut self, outputs: &[i32]) -> Self {
        self.outputs = outputs.to_vec();
        self
    }

    fn bytes(&self) -> Vec<u8> {
        model_of_subgraphs(
            self.subgraphs,
            &self.tensors,
            &self.operators,
            &[0],
            &self.outputs,
        )
    }

    fn file(&self) -> Result<ModelFile, InferenceError> {
        let path = Path::new("graph_edgetpu.tflite");
        let labels = Labels::parse(path, "a\n").unwrap();
        ModelFile::new("graph".to_owned(), path.to_owned(), self.bytes(), labels)
    }

    fn chips(&self) -> impl Iterator<Item = &TestOperator> {
        let operators = self.operators.iter();
        operators.filter(|operator| operator.custom == "edgetpu-custom-op")
    }

    /// The bytes of every tensor that the Edge TPU makes of an input.
    fn expected(&self, input: &[u8]) -> BTreeMap<i32, Vec<u8>> {
        let mut known = BTreeMap::from([(0, input.to_vec())]);
        for operator in self.chips() {
            let key = input_key(operator.inputs.iter().map(|input| known[input].as_slice()));
            for output in &operator.outputs {
                let length: i32 = self.tensors[at(*output)].shape.iter().product();
                let bytes = (0..at(length)).map(|byte| keyed_byte(key, &name(*output), byte));
                known.insert(*output, bytes.collect());
            }
        }
        known
    }
}

/// An engine on a simulated device that knows these graphs.
fn engine(sketches: &[&Sketch]) -> (EdgeTpuEngine, SimulatedHost) {
    let mut registry = Registry::default();
    for (number, sketch) in sketches.iter().enumerate() {
        let name = format!("graph {number}");
        registry.add_bytes(&name, &sketch.bytes()).unwrap();
    }
    let config = SimConfig {
        starts_in_dfu: false,
        ..SimConfig::default()
    };
    let host = SimulatedHost::new(VirtualClock::new());
    host.add(PORT, SimulatedEdgeTpu::new(config, registry));
    let usb = Usb::new(
        Box::new(SimulatedUsb::new(host.clone())),
        PortPath(PORT.to_owned()),
        UsbOptions::default(),
    );
    let pool = Pool::new(vec![Supervised::new(Box::new(usb), Limits::default())]).unwrap();
    let config = EngineConfig::default();
    let engine = EdgeTpuEngine::new(pool, &config, OtherModels::Refused).unwrap();
    (engine, host)
}

/// Fills the input with bytes of this frame; what they are.
fn fill(model: &mut dyn Model, frame: u8) -> Vec<u8> {
    let (TensorMut::U8(to) | TensorMut::I8Bits(to)) = model.input_mut() else {
        unreachable!("it takes bytes")
    };
    for (at, byte) in to.iter_mut().enumerate() {
        *byte = (at * 31 + 7).to_le_bytes()[0] ^ frame;
    }
    to.to_vec()
}

/// The bytes of an output.
fn stored(model: &dyn Model, output: usize) -> Vec<u8> {
    match model.output(output).unwrap() {
        TensorView::U8(values) => values.to_vec(),
        TensorView::I8(values) => values.iter().map(|value| value.cast_unsigned()).collect(),
        TensorView::F32(values) => panic!("{values:?} are real"),
    }
}

/// Whether the outputs, none of them real numbers, are those of an input.
fn assert_outputs(sketch: &Sketch, model: &dyn Model, input: &[u8]) {
    let expected = sketch.expected(input);
    for (output, tensor) in sketch.outputs.iter().enumerate() {
        assert_eq!(stored(model, output), expected[tensor], "tensor {tensor}");
    }
}

const ALL: [Tokens; 3] = [Tokens::Shared, Tokens::Apart, Tokens::None];

fn chain(tokens: Tokens) -> Sketch {
    Sketch::new(
        tokens,
        &[
            (&[1, 6, 7, 3], U8),
            (&[1, 5, 5, 4], I8),
            (&[1, 9, 6], U8),
            (&[1, 11], U8),
        ],
    )
    .chip(&[0], &[1])
    .chip(&[1], &[2])
    .chip(&[2], &[3])
    .outputs(&[3])
}

fn side_by_side(tokens: Tokens) -> Sketch {
    Sketch::new(
        tokens,
        &[(&[1, 6, 7, 3], I8), (&[1, 5, 5, 4], I8), (&[1, 11], U8)],
    )
    .chip(&[0], &[1])
    .chip(&[0], &[2])
    .outputs(&[2, 1])
}

/// Tensor 1 feeds two, and goes out as well; others take several tensors, in another order than that in
/// which they are made.
fn forked_and_joined(tokens: Tokens) -> Sketch {
    Sketch::new(
        tokens,
        &[
            (&[1, 6, 7, 3], U8),
            (&[1, 5, 5, 4], I8),
            (&[1, 16], U8),
            (&[1, 9], U8),
            (&[1, 7], I8),
            (&[1, 11], U8),
        ],
    )
    .chip(&[0], &[1, 2])
    .chip(&[1], &[3])
    .chip(&[2, 1], &[4])
    .chip(&[4, 0, 3], &[5])
    .outputs(&[5, 1, 3])
}

#[test]
fn several_operators_in_a_chain_side_by_side_and_forked_give_what_the_graph_says() {
    for tokens in ALL {
        for sketch in [
            chain(tokens),
            side_by_side(tokens),
            forked_and_joined(tokens),
        ] {
            let (engine, host) = engine(&[&sketch]);
            let mut model = engine.load(sketch.file().unwrap()).unwrap();
            for frame in [0, 1, 0xff] {
                let input = fill(model.as_mut(), frame);
                model.invoke().unwrap();
                assert_outputs(&sketch, model.as_ref(), &input);
            }
            host.assert_clean();
            let figures = host.with(PORT, |device, _| device.figures()).unwrap();
            let count = u64::try_from(sketch.chips().count()).unwrap();
            // One run more when it was loaded.
            assert_eq!(figures.inferences, 4 * count);
            let loads = match tokens {
                Tokens::Shared => count,
                Tokens::Apart => 4 * count,
                Tokens::None => 0,
            };
            assert_eq!(figures.loads, loads, "{tokens:?}");
        }
    }
}

#[test]
fn models_of_several_operators_take_turns() {
    let sketches = [forked_and_joined(Tokens::Shared), chain(Tokens::Apart)];
    let (engine, host) = engine(&[&sketches[0], &sketches[1]]);
    let mut models = sketches
        .clone()
        .map(|sketch| engine.load(sketch.file().unwrap()).unwrap());
    for frame in 0..6 {
        for (sketch, model) in sketches.iter().zip(&mut models) {
            let input = fill(model.as_mut(), frame);
            model.invoke().unwrap();
            assert_outputs(sketch, model.as_ref(), &input);
        }
    }
    host.assert_clean();
}

#[test]
fn an_operator_that_fails_amid_others_fails_the_inference_and_the_next_one_is_whole() {
    let sketch = forked_and_joined(Tokens::Shared);
    let operators = u64::try_from(sketch.chips().count()).unwrap();
    for failing in 0..operators {
        let (engine, host) = engine(&[&sketch]);
        let mut model = engine.load(sketch.file().unwrap()).unwrap();
        let trigger = Trigger::Inference(operators + failing);
        let fault = Fault::Hang(false);
        let pushed = host.with(PORT, |device, _| device.script_mut().push(trigger, fault));
        assert!(pushed.is_some());
        fill(model.as_mut(), 1);
        model.invoke().unwrap_err();
        let mut tries = 0..20;
        let input = tries.find_map(|frame| {
            engine.tick();
            let input = fill(model.as_mut(), frame);
            model.invoke().is_ok().then_some(input)
        });
        let input = input.expect("it comes back into service");
        assert_outputs(&sketch, model.as_ref(), &input);
        host.assert_clean();
    }
}

/// A detector of three operators: features, and of these encodings and scores, made real numbers.
fn detector() -> Sketch {
    const ANCHORS: usize = 6;
    let mut sketch = Sketch::new(
        Tokens::Shared,
        &[
            (&[1, 6, 7, 3], U8),
            (&[1, 5, 5, 4], I8),
            (&[1, 6, 4], U8),
            (&[1, 6, 3], I8),
            (&[1, 6, 4], F32),
            (&[1, 6, 3], F32),
            (&[6, 4], F32),
            (&[1, 10, 4], F32),
            (&[1, 10], F32),
            (&[1, 10], F32),
            (&[1], F32),
        ],
    );
    let anchor = |number: u8| [0.1 * f32::from(number), 0.5, 0.3, 0.2];
    let anchors = (0..ANCHORS).flat_map(|number| anchor(u8::try_from(number).unwrap()));
    sketch.tensors[6].data = anchors.flat_map(f32::to_le_bytes).collect();
    sketch
        .chip(&[0], &[1])
        .chip(&[1], &[2])
        .cpu(DEQUANTIZE, 2, 4)
        .chip(&[1], &[3])
        .cpu(DEQUANTIZE, 3, 5)
        .with(
            32,
            "TFLite_Detection_PostProcess",
            flexbuffer(&POST_PROCESS_OPTIONS),
            &[4, 5, 6],
            &[7, 8, 9, 10],
        )
        .outputs(&[7, 8, 9, 10])
}

/// What TFLite makes of raw encodings and scores with a detector's tail.
fn tail_on_the_cpu(detector: &Sketch, raw: &BTreeMap<i32, Vec<u8>>) -> [Vec<f32>; 4] {
    let mut operators = detector.operators.clone();
    operators.retain(|operator| operator.custom != "edgetpu-custom-op");
    let bytes = model_of_subgraphs(1, &detector.tensors, &operators, &[2, 3], &detector.outputs);
    let model = tflitec::model::Model::from_bytes(&bytes).unwrap();
    let interpreter = tflitec::interpreter::Interpreter::new(&model, None).unwrap();
    interpreter.allocate_tensors().unwrap();
    let signed: Vec<i8> = raw[&3].iter().map(|byte| byte.cast_signed()).collect();
    interpreter.input(0).unwrap().set_data(&raw[&2]).unwrap();
    interpreter.input(1).unwrap().set_data(&signed).unwrap();
    interpreter.invoke().unwrap();
    [0, 1, 2, 3].map(|output| interpreter.output(output).unwrap().data::<f32>().to_vec())
}

fn bits<'a>(values: impl IntoIterator<Item = &'a f32>) -> Vec<u32> {
    values.into_iter().map(|value| value.to_bits()).collect()
}

/// Where the compiler of TensorFlow Lite fuses a multiplication with an addition, as for ARM64, the last
/// bit of a result is another.
fn assert_same(ours: &[f32], theirs: &[f32]) {
    if cfg!(target_arch = "x86_64") {
        assert_eq!(bits(ours), bits(theirs));
    }
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        let off = (ours - theirs).abs();
        assert!(off <= 1e-6 * theirs.abs().max(1.0), "{ours} {theirs}");
    }
}

#[test]
fn a_detector_of_several_operators_finds_what_tflite_finds_in_their_outputs() {
    let sketch = detector();
    let (engine, host) = engine(&[&sketch]);
    let file = sketch.file().unwrap();
    let cut = file.graph.cut_post_process(&file.bytes).unwrap();
    let file = ModelFile {
        bytes: cut.bytes,
        graph: cut.graph,
        ..file
    };
    let mut model = engine.load(file).unwrap();
    let [encodings, scores] = model.outputs() else {
        panic!("{:?}", model.outputs());
    };
    let mut step = PostProcess::new(cut.options, cut.anchors, encodings, scores).unwrap();
    let mut found = 0;
    for frame in 0..20 {
        let input = fill(model.as_mut(), frame);
        model.invoke().unwrap();
        let (encodings, scores) = (model.output(0).unwrap(), model.output(1).unwrap());
        let rows = step.run(encodings, scores).unwrap();
        let [boxes, classes, scores, count] = tail_on_the_cpu(&sketch, &sketch.expected(&input));
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most ten"
        )]
        let count = count[0] as usize;
        assert_eq!(rows.scores.len(), count);
        assert_same(rows.boxes.as_flattened(), &boxes[..4 * count]);
        assert_eq!(bits(rows.classes), bits(&classes[..count]));
        assert_same(rows.scores, &scores[..count]);
        found += count;
    }
    assert!(found > 20, "{found}");
    host.assert_clean();
}

#[test]
fn real_numbers_are_made_of_the_outputs_of_each_operator() {
    let sketch = Sketch::new(
        Tokens::Shared,
        &[
            (&[1, 6, 7, 3], U8),
            (&[1, 5, 5, 4], I8),
            (&[1, 11], U8),
            (&[1, 5, 5, 4], F32),
            (&[1, 11], F32),
        ],
    )
    .chip(&[0], &[1])
    .cpu(DEQUANTIZE, 1, 3)
    .chip(&[1], &[2])
    .cpu(DEQUANTIZE, 2, 4)
    .outputs(&[4, 3]);
    let (engine, host) = engine(&[&sketch]);
    let mut model = engine.load(sketch.file().unwrap()).unwrap();
    let input = fill(model.as_mut(), 9);
    model.invoke().unwrap();
    let expected = sketch.expected(&input);
    let unsigned = expected[&2]
        .iter()
        .map(|byte| 0.05 * (f32::from(*byte) - 40.0));
    let signed = expected[&1]
        .iter()
        .map(|byte| 0.1 * (f32::from(byte.cast_signed()) + 3.0));
    for (output, expected) in [unsigned.collect::<Vec<f32>>(), signed.collect()]
        .iter()
        .enumerate()
    {
        let Some(TensorView::F32(values)) = model.output(output) else {
            panic!("output {output} is real");
        };
        assert_same(values, expected);
    }
    host.assert_clean();
}

/// Three tensors in a row, of which the middle one may be made of the first by something else.
fn three() -> Sketch {
    Sketch::new(
        Tokens::Apart,
        &[
            (&[1, 16], U8),
            (&[1, 16], U8),
            (&[1, 16], U8),
            (&[1, 16], U8),
        ],
    )
    .outputs(&[3])
}

#[test]
fn graphs_that_cannot_run_are_refused_with_the_reason() {
    let between = |builtin, element| {
        let mut sketch = three();
        sketch.tensors[2] = Sketch::new(Tokens::Apart, &[(&[1, 16], element)])
            .tensors
            .remove(0);
        let options = sketch.package(&[(name(2), vec![1, 16], U8)], &[(name(3), vec![1, 16], U8)]);
        sketch.chip(&[0], &[1]).cpu(builtin, 1, 2).with(
            32,
            "edgetpu-custom-op",
            options,
            &[2],
            &[3],
        )
    };
    let whole = three().chip(&[0], &[1]).chip(&[1], &[2]).chip(&[2], &[3]);
    let subgraphs = Sketch {
        subgraphs: 2,
        ..whole.clone()
    };
    let mut misfit = whole.clone();
    misfit.tensors[3].shape = vec![1, 17];
    let mut too_few = whole.clone();
    too_few.operators[1].inputs.push(0);
    let mut damaged = whole.clone();
    damaged.operators[1].options.truncate(1_000);
    let (engine, host) = engine(&[&whole]);
    for (sketch, reasons) in [
        (
            between(LOGISTIC, U8),
            ["needs LOGISTIC", "only TFLite does"],
        ),
        (
            between(QUANTIZE, I8),
            ["needs QUANTIZE", "only TFLite does"],
        ),
        (
            between(DEQUANTIZE, F32),
            ["operator 2 of 2", "tensor 2, which is real numbers"],
        ),
        (subgraphs, ["2 subgraphs", "one graph"]),
        (misfit, ["operator 3 of 3", "16 values"]),
        (
            too_few,
            ["operator 2 of 3", "has 2 inputs, the program in it 1"],
        ),
        (damaged, ["operator 2 of 3", "damaged"]),
    ] {
        let error = engine.load(sketch.file().unwrap()).unwrap_err().to_string();
        for reason in reasons {
            assert!(error.contains(reason), "{reason:?} is not in {error}");
        }
    }
    // What was refused is not on the accelerator: it is nobody's company.
    assert!(engine.pool.lock().evicting().is_empty());
    let figures = host.with(PORT, |device, _| device.figures()).unwrap();
    assert_eq!(figures.inferences, 0);
    engine.load(whole.file().unwrap()).unwrap();
    host.assert_clean();
}

#[test]
fn operators_in_another_order_than_their_data_are_refused_when_the_file_is_read() {
    let mut sketch = chain(Tokens::Shared);
    sketch.operators.swap(0, 1);
    let error = sketch.file().unwrap_err();
    let reasons = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
    let error: Vec<String> = reasons.map(ToString::to_string).collect();
    let error = error.join(": ");
    assert!(
        error.contains("operator 0 uses tensor 1 before it exists"),
        "{error}"
    );
}
