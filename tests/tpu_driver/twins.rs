//! Outputs of a simulated device that computes, against TensorFlow Lite alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use andon_tpu_sim::device::Config;
use andon_tpu_sim::pack::{Layout, Options, pack, twin_path};
use andon_tpu_sim::twin::Twins;

use crate::rig::{File, Rig, reference};

const A: &str =
    "mobilenet_v1_0.25_128_quant_cocompiled_with_mobilenet_v1_0.5_160_quant_edgetpu.tflite";
const B: &str =
    "mobilenet_v1_0.5_160_quant_cocompiled_with_mobilenet_v1_0.25_128_quant_edgetpu.tflite";

fn shipped(name: &str) -> PathBuf {
    Path::new("models").join(name)
}

/// The outputs of a CPU model, by TensorFlow Lite alone.
fn on_the_cpu(model: &Path, inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let model = tflitec::model::Model::new(&model.to_string_lossy()).unwrap();
    let options = tflitec::interpreter::Options {
        thread_count: 1,
        is_xnnpack_enabled: true,
    };
    let interpreter = tflitec::interpreter::Interpreter::new(&model, Some(options)).unwrap();
    interpreter.allocate_tensors().unwrap();
    for (index, input) in inputs.iter().enumerate() {
        interpreter.copy(input, index).unwrap();
    }
    interpreter.invoke().unwrap();
    (0..interpreter.output_tensor_count())
        .map(|i| interpreter.output(i).unwrap().data::<u8>().to_vec())
        .collect()
}

/// Runs the first program of a rig and returns its outputs.
fn answer(rig: &mut Rig, at: usize, salt: u8) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let known = &mut rig.known[at];
    let inputs = known.inputs(salt);
    let slices: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    rig.device
        .run(known.program, &slices, &mut known.outputs)
        .unwrap();
    (inputs, known.outputs.clone())
}

#[test]
fn the_packed_detector_and_classifier_answer_as_their_cpu_twins() {
    let folder = tempfile::tempdir().unwrap();
    for layout in [Layout::Tiles, Layout::Slices] {
        let mut twins = Twins::new();
        let mut files = Vec::new();
        let mut paths = Vec::new();
        for name in [
            "detector_coco_ssd_300_int8.tflite",
            "classifier_apple_224_int8.tflite",
        ] {
            let options = Options {
                layout,
                ..Options::default()
            };
            let packed = pack(&std::fs::read(shipped(name)).unwrap(), &options).unwrap();
            let path = folder.path().join(name);
            std::fs::write(twin_path(&path), &packed.twin).unwrap();
            assert!(twins.add_beside(&path).unwrap());
            files.push(File::new(name, packed.model));
            paths.push(path);
        }
        let mut rig = Rig::with(Config::default(), &files, Some(Box::new(twins)));
        rig.device.start(Duration::from_secs(10)).unwrap();
        for salt in [0x11, 0x35] {
            for (at, path) in paths.iter().enumerate() {
                let (inputs, outputs) = answer(&mut rig, at, salt);
                assert_eq!(outputs, on_the_cpu(&twin_path(path), &inputs), "{layout:?}");
            }
        }
        // One token: each was uploaded once.
        assert_eq!(rig.figures().loads, 2);
        rig.host.assert_clean();
    }
}

#[test]
fn compiled_models_answer_as_the_cpu_models_they_were_compiled_from() {
    let test = "compiled_models_answer_as_the_cpu_models_they_were_compiled_from";
    let Some(folder) = reference(test) else {
        return;
    };
    let models = folder.join("models");
    let pairs = [
        ("classifier_edgetpu.tflite", "classifier.tflite"),
        (A, "mobilenet_v1_0.25_128_quant.tflite"),
        (B, "mobilenet_v1_0.5_160_quant.tflite"),
    ];
    let mut twins = Twins::new();
    let mut files = Vec::new();
    for (compiled, cpu) in pairs {
        twins.add(compiled, &models.join(cpu));
        files.push(File::new(
            compiled,
            std::fs::read(models.join(compiled)).unwrap(),
        ));
    }
    let mut rig = Rig::with(Config::default(), &files, Some(Box::new(twins)));
    rig.device.start(Duration::from_secs(10)).unwrap();
    for salt in [0, 0x35] {
        for (at, (compiled, cpu)) in pairs.iter().enumerate() {
            let (inputs, outputs) = answer(&mut rig, at, salt);
            assert_eq!(
                outputs,
                on_the_cpu(&models.join(cpu), &inputs),
                "{compiled}"
            );
        }
    }
    rig.host.assert_clean();
}
