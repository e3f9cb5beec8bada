#![allow(clippy::unwrap_used, reason = "a failure is the message")]

use std::cell::Cell;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::config::{CameraConfig, InputSpec};
use crate::frame::{
    BufferPool, ColorMatrix, ColorRange, FrameBuffer, FrameFormat, FrameMeta, PixelFormat,
};
use crate::geometry::Size;
use crate::inference::engine::{
    ElementType, Model, Processor, Quantisation, TensorSpec, TensorView,
};
use crate::inference::tflite_graph::Graph;
use crate::preprocess::{Filter, RenderError, TensorMut, TensorRenderer};
use crate::units::{LabelId, Score};

/// What the models of a test put out, by inference.
#[derive(Clone, Debug, Default)]
struct Script(Arc<Mutex<ScriptState>>);

#[derive(Debug, Default)]
struct ScriptState {
    /// Rows of (label, score, box), or an impossible count.
    rows: Vec<(f32, f32, [f32; 4])>,
    count: Option<f32>,
    /// Scores per crop, taken from the front.
    grades: Vec<[f32; 2]>,
    /// The first bytes of every input seen.
    seen: Vec<u8>,
    fails: bool,
    /// Whether it says that it runs on an Edge TPU.
    is_on_tpu: bool,
}

#[derive(Debug)]
struct ScriptedEngine(Script);

#[derive(Debug)]
struct ScriptedModel {
    script: Script,
    input: TensorSpec,
    outputs: Vec<TensorSpec>,
    bytes: Vec<u8>,
    values: Vec<Vec<f32>>,
}

const ROWS: usize = 25;

impl Engine for ScriptedEngine {
    fn description(&self) -> std::borrow::Cow<'_, str> {
        "scripted".into()
    }

    fn load(&self, file: ModelFile) -> Result<Box<dyn Model>, InferenceError> {
        let input = file.graph.inputs()[0].clone();
        let outputs: Vec<TensorSpec> = file.graph.outputs().into_iter().cloned().collect();
        Ok(Box::new(ScriptedModel {
            script: self.0.clone(),
            bytes: vec![0; input.shape.iter().product()],
            values: outputs
                .iter()
                .map(|o| vec![0.0; o.shape.iter().product()])
                .collect(),
            input,
            outputs,
        }))
    }
}

impl Model for ScriptedModel {
    fn input(&self) -> &TensorSpec {
        &self.input
    }

    fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    fn input_mut(&mut self) -> TensorMut<'_> {
        TensorMut::U8(&mut self.bytes)
    }

    fn invoke(&mut self) -> Result<(), InferenceError> {
        let mut script = self.script.0.lock().unwrap();
        script.seen.push(self.bytes[0]);
        if script.fails {
            return Err(InferenceError::Nonsense {
                model: "scripted".to_owned(),
                reason: "no power".to_owned(),
            });
        }
        if self.outputs.len() == 1 {
            let grade = script.grades.remove(0);
            self.values[0].copy_from_slice(&grade);
            return Ok(());
        }
        for (row, (label, score, corners)) in script.rows.iter().enumerate() {
            self.values[0][4 * row..4 * row + 4].copy_from_slice(corners);
            self.values[1][row] = *label;
            self.values[2][row] = *score;
        }
        let count = u8::try_from(script.rows.len()).unwrap();
        self.values[3][0] = script.count.unwrap_or(f32::from(count));
        Ok(())
    }

    fn processor(&self) -> Processor {
        if self.script.0.lock().unwrap().is_on_tpu {
            Processor::EdgeTpu
        } else {
            Processor::Cpu
        }
    }

    fn output(&self, index: usize) -> Option<TensorView<'_>> {
        self.values.get(index).map(|values| TensorView::F32(values))
    }
}

fn spec(name: &str, shape: &[usize], element: ElementType) -> TensorSpec {
    TensorSpec {
        name: name.to_owned(),
        shape: shape.to_vec(),
        element,
        quantisation: None,
    }
}

fn file(name: &str, side: usize, outputs: Vec<TensorSpec>, labels: &str) -> ModelFile {
    let input = TensorSpec {
        quantisation: Some(Quantisation {
            scale: 2.0 / 255.0,
            zero_point: 127,
        }),
        ..spec("image", &[1, side, side, 3], ElementType::U8)
    };
    ModelFile {
        name: name.to_owned(),
        path: format!("{name}.tflite").into(),
        sha256: String::new(),
        bytes: Vec::new(),
        graph: Graph::of_tensors(vec![input], outputs),
        labels: Labels::parse(Path::new("labels.txt"), labels).unwrap(),
    }
}

fn detector_file() -> ModelFile {
    let outputs = [
        ("boxes", &[1, ROWS, 4][..]),
        ("classes", &[1, ROWS]),
        ("scores", &[1, ROWS]),
        ("count", &[1]),
    ];
    let outputs = outputs.map(|(name, shape)| spec(name, shape, ElementType::F32));
    file("detector", 8, outputs.to_vec(), "0 person\n52 apple\n")
}

fn classifier_file() -> ModelFile {
    let outputs = vec![spec("scores", &[1, 2], ElementType::F32)];
    file("classifier", 4, outputs, "fresh\nrotten\n")
}

fn score(value: f32) -> Score {
    Score::new(value).unwrap()
}

fn safety_config() -> WorkerSafetyConfig {
    WorkerSafetyConfig {
        camera: CameraConfig::default(),
        input: InputSpec::Pattern("grey".to_owned()),
        threshold: score(0.5),
        person_label: "person".to_owned(),
    }
}

fn inspection_config() -> VisualInspectionConfig {
    VisualInspectionConfig {
        camera: CameraConfig::default(),
        input: InputSpec::Pattern("grey".to_owned()),
        threshold: score(0.4),
        part_labels: vec!["apple".to_owned()],
        crop_margin: 0.0,
        grade_threshold: score(0.5),
        grades: vec![("rotten".to_owned(), GradeAction::Reject)],
        reject_delay: None,
        reject_pulse: VisualInspectionConfig::REJECT_PULSE_DEFAULT,
    }
}

fn inferencer(script: &Script) -> Inferencer {
    let files = [detector_file(), classifier_file()];
    let engine = Box::new(ScriptedEngine(script.clone()));
    Inferencer::assemble(engine, files, &safety_config(), &inspection_config()).unwrap()
}

/// A frame whose brightness is its column.
fn frame(stream: StreamId) -> Frame {
    let format = FrameFormat {
        size: Size {
            width: 100,
            height: 50,
        },
        pixel_format: PixelFormat::Rgb24,
        matrix: ColorMatrix::Bt601,
        range: ColorRange::Full,
    };
    let mut buffer = FrameBuffer::default();
    for row in buffer.prepare(&format)[0].chunks_exact_mut(300) {
        for (x, pixel) in (0_u8..).zip(row.as_chunks_mut::<3>().0) {
            *pixel = [x; 3];
        }
    }
    let meta = FrameMeta {
        stream,
        sequence: 7,
        media_time: Duration::ZERO,
        timestamp: MonotonicTime::ZERO,
        arrived: MonotonicTime::from_duration(Duration::from_millis(100)),
    };
    Frame::new(meta, format, buffer, &mut BufferPool::new())
}

/// Goes on by a millisecond at every look.
fn clock() -> impl Fn() -> MonotonicTime {
    let now = Cell::new(130);
    move || {
        now.set(now.get() + 1);
        MonotonicTime::from_duration(Duration::from_millis(now.get()))
    }
}

const BOX: [f32; 4] = [0.2, 0.1, 0.8, 0.3];

fn apple(score: f32, left: f32) -> (f32, f32, [f32; 4]) {
    (52.0, score, [0.2, left, 0.8, left + 0.1])
}

#[test]
fn a_safety_frame_gives_its_persons_and_its_times() {
    let script = Script::default();
    script.0.lock().unwrap().rows = vec![(0.0, 0.9, BOX), (52.0, 0.9, BOX), (0.0, 0.49, BOX)];
    let inferred = inferencer(&script).run(frame(StreamId::WorkerSafety), clock());
    let Findings::Persons(persons) = inferred.findings else {
        unreachable!("{:?}", inferred.findings)
    };
    assert_eq!(persons.len(), 1);
    assert_eq!(persons[0].label, LabelId(0));
    let millisecond = Duration::from_millis(1);
    let expected = InferenceTiming {
        queued: 31 * millisecond,
        preprocess: millisecond,
        inference: millisecond,
        inferences: 1,
    };
    assert_eq!(inferred.timing, expected);
}

#[test]
fn every_part_is_graded_on_its_own_crop_highest_score_first() {
    let script = Script::default();
    {
        let mut script = script.0.lock().unwrap();
        script.rows = vec![
            apple(0.5, 0.1),
            apple(0.9, 0.6),
            apple(0.3, 0.0),
            (0.0, 0.99, BOX),
        ];
        script.grades = vec![[0.2, 0.8], [0.7, 0.3]];
    }
    let inferred = inferencer(&script).run(frame(StreamId::VisualInspection), clock());
    let Findings::Items(items) = &inferred.findings else {
        unreachable!("{:?}", inferred.findings)
    };
    let seen: Vec<_> = items
        .iter()
        .map(|item| {
            (
                item.detection.score.get(),
                item.grade.label.0,
                item.grade.score.get(),
            )
        })
        .collect();
    assert_eq!(seen, [(0.9, 1, 0.8), (0.5, 0, 0.7)]);
    assert_eq!(inferred.timing.inferences, 3);
    // The detector saw the whole frame from its left edge, the classifier each apple from its own.
    let left_edges = script.0.lock().unwrap().seen.clone();
    for (edge, expected) in left_edges.iter().zip([0_u8, 60, 10]) {
        assert!(edge.abs_diff(expected) <= 6, "{left_edges:?}");
    }
}

#[test]
fn an_inspection_frame_can_be_left_between_any_two_inferences() {
    let script = Script::default();
    {
        let mut script = script.0.lock().unwrap();
        script.rows = vec![apple(0.9, 0.1), apple(0.8, 0.3), apple(0.7, 0.5)];
        script.grades = vec![[1.0, 0.0]; 3];
    }
    let mut inferencer = inferencer(&script);
    let mut job = Inferencer::begin(frame(StreamId::VisualInspection));
    let mut steps = 0;
    let inferred = loop {
        steps += 1;
        match inferencer.step(job, clock()) {
            Step::Pending(rest) => job = rest,
            Step::Done(inferred) => break inferred,
        }
        // A safety frame in between changes nothing.
        let between = inferencer.judge(frame(StreamId::WorkerSafety), clock());
        assert_eq!(between.findings, Findings::Persons(Detections::new()));
    };
    assert_eq!((steps, inferred.timing.inferences), (4, 4));
    assert!(matches!(inferred.findings, Findings::Items(items) if items.len() == 3));
}

#[test]
fn no_parts_take_one_inference() {
    let script = Script::default();
    let inferred = inferencer(&script).run(frame(StreamId::VisualInspection), clock());
    assert_eq!(inferred.findings, Findings::Items(GradedItems::new()));
    assert_eq!(inferred.timing.inferences, 1);
}

#[test]
fn more_parts_than_are_graded_keep_the_highest_scores() {
    let script = Script::default();
    {
        let mut script = script.0.lock().unwrap();
        script.rows = (0_u8..25)
            .map(|i| apple(0.5 + f32::from(i) / 100.0, 0.2))
            .collect();
        script.grades = vec![[1.0, 0.0]; ITEMS_MAX];
    }
    let inferred = inferencer(&script).run(frame(StreamId::VisualInspection), clock());
    let Findings::Items(items) = inferred.findings else {
        unreachable!("{:?}", inferred.findings)
    };
    assert_eq!(items.len(), ITEMS_MAX);
    assert_eq!(items[0].detection.score, score(0.74));
}

#[test]
fn a_failure_names_the_frame_and_is_never_an_empty_list() {
    let script = Script::default();
    script.0.lock().unwrap().count = Some(26.0);
    let inferred = inferencer(&script).run(frame(StreamId::WorkerSafety), clock());
    let Findings::Failed(text) = inferred.findings else {
        unreachable!("{:?}", inferred.findings)
    };
    for part in ["worker_safety frame 7", "detector", "26"] {
        assert!(text.contains(part), "{text}");
    }

    let script = Script::default();
    {
        let mut script = script.0.lock().unwrap();
        script.rows = vec![apple(0.9, 0.1)];
        script.grades = vec![[f32::NAN, 0.0]];
    }
    let inferred = inferencer(&script).run(frame(StreamId::VisualInspection), clock());
    assert!(matches!(&inferred.findings, Findings::Failed(text) if text.contains("classifier")));

    script.0.lock().unwrap().fails = true;
    let inferred = inferencer(&script).run(frame(StreamId::WorkerSafety), clock());
    assert!(matches!(&inferred.findings, Findings::Failed(text) if text.contains("no power")));
}

#[test]
fn configured_labels_must_exist() {
    let engine = || Box::new(ScriptedEngine(Script::default()));
    let files = || [detector_file(), classifier_file()];
    let mut safety = safety_config();
    safety.person_label = "persn".to_owned();
    let mut inspection = inspection_config();
    let error = Inferencer::assemble(engine(), files(), &safety, &inspection).unwrap_err();
    assert!(error.to_string().contains("persn"), "{error}");
    inspection
        .grades
        .push(("mouldy".to_owned(), GradeAction::Reject));
    let error = Inferencer::assemble(engine(), files(), &safety_config(), &inspection).unwrap_err();
    assert!(error.to_string().contains("mouldy"), "{error}");
}

#[test]
fn a_model_of_the_wrong_kind_is_refused() {
    let engine = || Box::new(ScriptedEngine(Script::default()));
    let (safety, inspection) = (safety_config(), inspection_config());
    for (files, task) in [
        (
            [classifier_file(), classifier_file()],
            "cannot be the detector",
        ),
        (
            [detector_file(), detector_file()],
            "cannot be the classifier",
        ),
    ] {
        let error = Inferencer::assemble(engine(), files, &safety, &inspection).unwrap_err();
        assert!(error.to_string().contains(task), "{error}");
    }
    let mut wrong = classifier_file();
    wrong.labels = Labels::parse(Path::new("three.txt"), "a\nb\nc\n").unwrap();
    let error = Inferencer::assemble(engine(), [detector_file(), wrong], &safety, &inspection);
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("2 classes") && error.contains("three.txt"),
        "{error}"
    );
}

/// The person of the self-test's picture.
const KNOWN: [f32; 4] = [0.33, 0.75, 0.59, 0.85];

#[test]
fn what_another_processor_finds_need_not_be_the_same_to_the_last_digit() {
    let script = Script::default();
    let mut inferencer = inferencer(&script);
    let mut test = |score: f32, is_on_tpu: bool| {
        let mut state = script.0.lock().unwrap();
        state.rows = vec![(0.0, score, KNOWN)];
        state.is_on_tpu = is_on_tpu;
        drop(state);
        inferencer.self_test()
    };
    assert_eq!(test(0.9, true), DetectorTest::Passed);
    // The accelerator is lost, and comes back.
    assert_eq!(test(0.91, false), DetectorTest::Passed);
    assert_eq!(test(0.9, true), DetectorTest::Passed);
    assert_eq!(test(0.91, false), DetectorTest::Passed);
    // On the same one it must be the very same.
    assert_eq!(test(0.91, true), DetectorTest::Failed);
    assert_eq!(test(0.9, false), DetectorTest::Failed);
}

#[test]
fn a_self_test_that_the_engine_failed_is_open_and_a_wrong_answer_is_not() {
    let script = Script::default();
    let mut inferencer = inferencer(&script);
    script.0.lock().unwrap().fails = true;
    assert_eq!(inferencer.self_test(), DetectorTest::Failed);
    assert!(inferencer.self_test_is_open());
    script.0.lock().unwrap().fails = false;
    assert_eq!(
        inferencer.self_test(),
        DetectorTest::Failed,
        "nobody is found"
    );
    assert!(!inferencer.self_test_is_open());
}

/// The CPU's tensor, a little brighter; fails at its third.
#[derive(Debug)]
struct Brightener(u32);

impl TensorRenderer for Brightener {
    fn begin(&mut self, _: &Frame, _: &Filter<'_>) -> Result<(), RenderError> {
        Ok(())
    }

    fn finish(&mut self, tensor: &mut TensorMut<'_>) -> Result<(), RenderError> {
        if self.0 == 0 {
            return Err(RenderError("the device was reset".into()));
        }
        self.0 -= 1;
        tensor.fill_from_rgbx(&[99; 4 * 8 * 8]).unwrap();
        Ok(())
    }
}

#[test]
fn a_renderer_that_fails_is_told_once_and_fails_neither_a_frame_nor_the_self_test() {
    let script = Script::default();
    let person = (0.0, 0.9, [0.33, 0.75, 0.59, 0.85]);
    script.0.lock().unwrap().rows = vec![person];
    let mut inferencer = inferencer(&script);
    inferencer.render_by(Box::new(Brightener(2)));
    let described = inferencer.engine_description();
    assert!(described.ends_with("input by the GPU"), "{described}");
    assert_eq!(inferencer.self_test(), DetectorTest::Passed);
    let safety = frame(StreamId::WorkerSafety);
    inferencer.begin_input(&safety, clock());
    inferencer.judge(safety, clock());
    assert_eq!(inferencer.take_engine_event(), None);
    // From here on the device is gone. The detector answers another input with other digits, and the
    // self-test must not take that for a fault.
    script.0.lock().unwrap().rows = vec![(0.0, 0.91, person.2)];
    let inferred = inferencer.judge(frame(StreamId::WorkerSafety), clock());
    assert!(matches!(inferred.findings, Findings::Persons(_)));
    let said = inferencer.take_engine_event().unwrap();
    assert!(said.contains("the device was reset"), "{said}");
    assert_eq!(inferencer.take_engine_event(), None);
    assert_eq!(inferencer.self_test(), DetectorTest::Passed);
    assert_eq!(inferencer.engine_description(), "scripted");
    let seen = script.0.lock().unwrap().seen.clone();
    assert_eq!(seen[..2], [99, 99]);
    assert!(seen[2..].iter().all(|byte| *byte != 99), "{seen:?}");
}
