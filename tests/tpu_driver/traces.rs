//! The driver's transfers as the judge saw them, against the recordings of the vendor's driver
//! (`traces/`), line by line.

use std::time::Duration;

use andon::tpu::device::{Backend as _, Progress};
use andon::tpu::package::Package;
use andon::tpu::usb::simulated::SimulatedUsb;
use andon::tpu::usb::transport::PortPath;
use andon::tpu::usb::{Usb, UsbOptions};
use andon_tpu_sim::device::Config;
use andon_tpu_sim::host::SimulatedHost;
use andon_tpu_sim::latency::Speed;
use andon_tpu_sim::registers::ResetValues;
use andon_tpu_sim::registry::Registry;

use crate::rig::{PORT, compiled, packages, reference};

fn bring_up(usb: &mut Usb) {
    for _ in 0..200 {
        if usb.advance().unwrap() == Progress::Ready {
            return;
        }
        let deadline = usb.now() + Duration::from_secs(2);
        usb.wait_for_change(deadline);
    }
    panic!("it does not come into service");
}

/// Lines of the driver's doing. Those that begin with `DEV` are remarks of a simulated device, in an
/// order that its timing gives.
fn comparable(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.trim_end().to_owned())
        .filter(|line| {
            !line.is_empty() && !line.starts_with("USB  release") && !line.starts_with("DEV")
        })
        .collect()
}

fn assert_same(trace: &str, speed: Speed, starts_in_dfu: bool, models: &[&str], runs: &[usize]) {
    let Some(folder) = reference(trace) else {
        return;
    };
    let files: Vec<_> = models
        .iter()
        .map(|name| compiled(trace, name).unwrap())
        .collect();
    let mut registry = Registry::default();
    for file in &files {
        registry.add_bytes(&file.name, &file.bytes).unwrap();
    }
    let config = Config {
        speed,
        starts_in_dfu,
        resets: ResetValues::Zero,
        power_polls: 0,
        record: true,
        ..Config::default()
    };
    let host = SimulatedHost::with_one(config, registry);
    let firmware = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(firmware.path(), vec![0x5a; 10_783]).unwrap();
    let options = UsbOptions {
        firmware: firmware.path().to_owned(),
        ..UsbOptions::default()
    };
    let port = PortPath(PORT.to_owned());
    let mut usb = Usb::new(Box::new(SimulatedUsb::new(host.clone())), port, options);
    let mut known = Vec::new();
    for file in &files {
        let (options, _) = packages(file).remove(0);
        let package = std::sync::Arc::new(Package::from_custom_options(&options).unwrap());
        known.push((usb.load(&package).unwrap(), package));
    }
    bring_up(&mut usb);
    for run in runs {
        let (program, package) = &known[*run];
        let layers = package.main.inputs.iter();
        let inputs: Vec<Vec<u8>> = layers
            .map(|layer| {
                (0..layer.actual_bytes())
                    .map(|k| (31 * k + 7).to_le_bytes()[0])
                    .collect()
            })
            .collect();
        let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        let layers = package.main.outputs.iter();
        let mut outputs: Vec<Vec<u8>> = layers.map(|l| vec![0; l.actual_bytes()]).collect();
        let ticket = usb.submit(*program, &inputs).unwrap();
        let deadline = usb.now() + Duration::from_secs(1);
        usb.finish(ticket, deadline, &mut outputs).unwrap();
    }
    usb.close().unwrap();
    drop(usb);
    host.assert_clean();
    let ours = host.with(PORT, |device, _| device.record().text()).unwrap();
    let theirs = std::fs::read_to_string(folder.join("traces").join(trace)).unwrap();
    let (ours, theirs) = (comparable(&ours), comparable(&theirs));
    for (line, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        assert_eq!(ours, theirs, "{trace}, comparable line {line}");
    }
    assert_eq!(ours.len(), theirs.len(), "{trace}: lines");
}

const A: &str =
    "mobilenet_v1_0.25_128_quant_cocompiled_with_mobilenet_v1_0.5_160_quant_edgetpu.tflite";
const B: &str =
    "mobilenet_v1_0.5_160_quant_cocompiled_with_mobilenet_v1_0.25_128_quant_edgetpu.tflite";

#[test]
fn firmware_bring_up_and_cached_models() {
    let models = [
        A,
        B,
        "mobilenet_v1_0.25_128_quant_edgetpu.tflite",
        "classifier_edgetpu.tflite",
    ];
    let runs = [0, 1, 0, 1, 2, 0, 3, 3];
    let trace = "dfu-init-cocompiled-classifier.txt";
    assert_same(trace, Speed::Super, true, &models, &runs);
}

#[test]
fn the_same_weights_under_another_token() {
    let models = ["mobilenet_v1_0.5_160_quant_edgetpu.tflite", B];
    let trace = "single-then-cocompiled.txt";
    assert_same(trace, Speed::Super, false, &models, &[0, 1]);
}

#[test]
fn tiles_signs_and_several_outputs() {
    let models = [
        "split_concat_edgetpu.tflite",
        "movenet_single_pose_lightning_ptq_edgetpu.tflite",
        "deeplabv3_mnv2_dm05_pascal_quant_edgetpu.tflite",
    ];
    let trace = "tiled-multi-output.txt";
    assert_same(trace, Speed::High, false, &models, &[0, 1, 2]);
}
