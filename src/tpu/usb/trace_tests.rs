//! What this driver puts on the bus against what libedgetpu put there (`traces/`, recorded against
//! another simulated device). Two differences are meant and taken out on both sides: libedgetpu
//! releases its interface by a call of its own before it closes a device, and lines that begin with
//! `DEV` are the simulated device's remarks.

#![allow(clippy::unwrap_used, reason = "a failure is the message")]

use std::sync::Arc;
use std::time::Duration;

use super::fake::{FakeHost, port};
use super::transport::Speed;
use super::*;
use crate::tpu::test_models;

/// A firmware image of the real one's length.
fn firmware() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![0x5a; 10_783]).unwrap();
    file
}

fn comparable(lines: impl Iterator<Item = impl AsRef<str>>) -> Vec<String> {
    lines
        .map(|line| line.as_ref().trim_end().to_owned())
        .filter(|line| {
            !line.starts_with("DEV") && !line.starts_with("USB  release") && !line.is_empty()
        })
        .collect()
}

fn reference(name: &str) -> Option<Vec<String>> {
    let path = test_models::folder()?.join("traces").join(name);
    Some(comparable(std::fs::read_to_string(path).unwrap().lines()))
}

fn bring_up(usb: &mut Usb) {
    for _ in 0..50 {
        if usb.advance().unwrap() == Progress::Ready {
            return;
        }
        let deadline = usb.now() + Duration::from_secs(2);
        usb.wait_for_change(deadline);
    }
    unreachable!("the device comes into service")
}

/// Runs models in order and says what was on the bus.
fn record(speed: Speed, is_running: bool, models: &[&str], runs: &[usize]) -> Option<Vec<String>> {
    let packages = models
        .iter()
        .map(|name| test_models::package(name).map(Arc::new));
    let packages: Vec<_> = packages.collect::<Option<_>>()?;
    let host = FakeHost::new(speed, packages.clone());
    let image = firmware();
    let options = UsbOptions {
        firmware: image.path().to_owned(),
        clock: ClockRate::Maximum,
    };
    let mut usb = Usb::new(Box::new(host.clone()), port(), options);
    let programs: Vec<_> = packages.iter().map(|p| usb.load(p).unwrap()).collect();
    bring_up(&mut usb);
    if is_running {
        // Begins anew on a device that has its firmware.
        usb.close().unwrap();
        host.world().log.clear();
        bring_up(&mut usb);
    }
    for run in runs {
        let layers = &packages[*run].main.inputs;
        let inputs: Vec<Vec<u8>> = layers
            .iter()
            .map(|layer| {
                let bytes = 0..layer.actual_bytes();
                bytes
                    .map(|k| u8::try_from((31 * k + 7) % 256).unwrap())
                    .collect()
            })
            .collect();
        let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        let outputs = packages[*run].main.outputs.iter();
        let mut outputs: Vec<Vec<u8>> = outputs.map(|o| vec![0; o.actual_bytes()]).collect();
        let ticket = usb.submit(programs[*run], &inputs).unwrap();
        let deadline = usb.now() + Duration::from_secs(1);
        usb.finish(ticket, deadline, &mut outputs).unwrap();
    }
    usb.close().unwrap();
    drop(usb);
    let log = comparable(host.world().log.iter());
    Some(log)
}

fn assert_same(name: &str, ours: Option<Vec<String>>) {
    let (Some(ours), Some(theirs)) = (ours, reference(name)) else {
        return;
    };
    for (line, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        assert_eq!(ours, theirs, "{name}, comparable line {line}");
    }
    assert_eq!(ours.len(), theirs.len(), "{name}: lines");
}

const A: &str =
    "mobilenet_v1_0.25_128_quant_cocompiled_with_mobilenet_v1_0.5_160_quant_edgetpu.tflite";
const B: &str =
    "mobilenet_v1_0.5_160_quant_cocompiled_with_mobilenet_v1_0.25_128_quant_edgetpu.tflite";
const A_ALONE: &str = "mobilenet_v1_0.25_128_quant_edgetpu.tflite";
const B_ALONE: &str = "mobilenet_v1_0.5_160_quant_edgetpu.tflite";
const CLASSIFIER: &str = "classifier_edgetpu.tflite";

#[test]
fn firmware_bring_up_and_cached_models_are_as_libedgetpu_does_them() {
    let models = [A, B, A_ALONE, CLASSIFIER];
    let ours = record(Speed::Super, false, &models, &[0, 1, 0, 1, 2, 0, 3, 3]);
    assert_same("dfu-init-cocompiled-classifier.txt", ours);
}

#[test]
fn the_same_weights_compiled_otherwise_are_uploaded_again() {
    let ours = record(Speed::Super, true, &[B_ALONE, B], &[0, 1]);
    assert_same("single-then-cocompiled.txt", ours);
}

#[test]
fn tiles_signs_and_several_inputs_and_outputs_are_as_libedgetpu_does_them() {
    let models = [
        "split_concat_edgetpu.tflite",
        "movenet_single_pose_lightning_ptq_edgetpu.tflite",
        "deeplabv3_mnv2_dm05_pascal_quant_edgetpu.tflite",
    ];
    let ours = record(Speed::High, true, &models, &[0, 1, 2]);
    assert_same("tiled-multi-output.txt", ours);
}
