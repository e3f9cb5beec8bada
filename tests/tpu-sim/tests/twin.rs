//! Outputs from the CPU twin, through the whole device: what goes in plain comes out plain, equal to
//! the CPU model's.

mod support;

use std::path::{Path, PathBuf};

use andon_tpu_sim::clock::VirtualClock;
use andon_tpu_sim::device::{Config, SimulatedEdgeTpu};
use andon_tpu_sim::host::SimulatedHost;
use andon_tpu_sim::model::Model;
use andon_tpu_sim::pack::{Layout, Options, pack, twin_path};
use andon_tpu_sim::package::Package;
use andon_tpu_sim::registry::Registry;
use andon_tpu_sim::twin::Twins;
use support::driver::Driver;
use support::gather::gather;
use support::models::{inputs, pair};
use support::reference;

fn shipped(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../models")
        .join(name)
}

/// The outputs of a CPU model for plain inputs.
fn on_the_cpu(model: &Path, inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let model = tflitec::model::Model::new(&model.to_string_lossy()).expect("a model");
    let options = tflitec::interpreter::Options {
        thread_count: 1,
        is_xnnpack_enabled: true,
    };
    let interpreter = tflitec::interpreter::Interpreter::new(&model, Some(options)).expect("made");
    interpreter.allocate_tensors().expect("allocated");
    for (index, input) in inputs.iter().enumerate() {
        interpreter.copy(input, index).expect("copied");
    }
    interpreter.invoke().expect("invoked");
    (0..interpreter.output_tensor_count())
        .map(|i| {
            interpreter
                .output(i)
                .expect("an output")
                .data::<u8>()
                .to_vec()
        })
        .collect()
}

/// Runs a package's inference on a simulated device.
fn on_the_device(file: &Path, package: &Package, twins: Twins, inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut registry = Registry::default();
    registry.add_file(file).expect("known");
    let config = Config {
        starts_in_dfu: false,
        ..Config::default()
    };
    let mut device = SimulatedEdgeTpu::new(config, registry);
    device.set_executor(Box::new(twins));
    let host = SimulatedHost::new(VirtualClock::new());
    host.add("1-1", device);
    let mut driver = Driver::open(&host);
    driver.bring_up();
    let (caching, execution) = pair(package);
    driver.run(caching, &[]).expect("parameters");
    let chip = driver.run(execution, inputs).expect("an inference");
    host.assert_clean();
    execution
        .outputs
        .iter()
        .zip(&chip)
        .map(|(layer, chip)| gather(layer, chip))
        .collect()
}

fn packed(folder: &Path, name: &str, layout: Layout) -> (PathBuf, Package) {
    let options = Options {
        layout,
        ..Options::default()
    };
    let bytes = std::fs::read(shipped(name)).expect("a model");
    let packed = pack(&bytes, &options).expect("it packs");
    let file = folder.join("packed_edgetpu.tflite");
    std::fs::write(&file, &packed.model).expect("written");
    std::fs::write(twin_path(&file), &packed.twin).expect("written");
    let model = Model::read(&packed.model).expect("it reads");
    let package = model.packages().next().expect("a package").clone();
    (file, package)
}

#[test]
fn the_packed_classifier_answers_as_the_cpu_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = "classifier_apple_224_int8.tflite";
    let (file, package) = packed(folder.path(), name, Layout::Tiles);
    let inputs = inputs(pair(&package).1, 0x35);
    let mut twins = Twins::new();
    assert!(twins.add_beside(&file).expect("readable"));
    let device = on_the_device(&file, &package, twins, &inputs);
    assert_eq!(device, on_the_cpu(&shipped(name), &inputs));
}

#[test]
fn the_packed_detector_answers_as_its_twin() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = "detector_coco_ssd_300_int8.tflite";
    for layout in [Layout::Tiles, Layout::Slices] {
        let (file, package) = packed(folder.path(), name, layout);
        let inputs = inputs(pair(&package).1, 0x11);
        let mut twins = Twins::new();
        assert!(twins.add_beside(&file).expect("readable"));
        let device = on_the_device(&file, &package, twins, &inputs);
        assert_eq!(device, on_the_cpu(&twin_path(&file), &inputs));
        let distinct: std::collections::BTreeSet<u8> = device.iter().flatten().copied().collect();
        assert!(distinct.len() > 16, "boxes and scores vary");
    }
}

#[test]
fn real_packages_answer_as_the_cpu_models_they_were_compiled_from() {
    let test = "real_packages_answer_as_the_cpu_models_they_were_compiled_from";
    let Some(reference) = reference(test) else {
        return;
    };
    let models = reference.join("models");
    for (compiled, cpu) in [
        ("classifier_edgetpu.tflite", "classifier.tflite"),
        (
            "mobilenet_v1_0.25_128_quant_edgetpu.tflite",
            "mobilenet_v1_0.25_128_quant.tflite",
        ),
        (
            "mobilenet_v1_0.5_160_quant_edgetpu.tflite",
            "mobilenet_v1_0.5_160_quant.tflite",
        ),
    ] {
        let file = models.join(compiled);
        let model = Model::read(&std::fs::read(&file).expect("a model")).expect("it reads");
        let package = model.packages().next().expect("a package");
        let inputs = inputs(pair(package).1, 0);
        let mut twins = Twins::new();
        twins.add(compiled, &models.join(cpu));
        let device = on_the_device(&file, package, twins, &inputs);
        assert_eq!(device, on_the_cpu(&models.join(cpu), &inputs), "{compiled}");
    }
}
