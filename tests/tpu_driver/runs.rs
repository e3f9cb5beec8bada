//! Whole runs: firmware, bring-up, weights, inferences, rest.

use andon::tpu::regs::MilliCelsius;
use andon_tpu_sim::device::Config;
use andon_tpu_sim::latency::Speed;

use crate::rig::{File, PORT, Rig, compiled, small};

/// Every compiled model of the reference folder.
const ALL: [&str; 9] = [
    "classifier_edgetpu.tflite",
    "deeplabv3_mnv2_dm05_pascal_quant_edgetpu.tflite",
    "mobilenet_v1_0.25_128_quant_cocompiled_with_mobilenet_v1_0.5_160_quant_edgetpu.tflite",
    "mobilenet_v1_0.25_128_quant_edgetpu.tflite",
    "mobilenet_v1_0.5_160_quant_cocompiled_with_mobilenet_v1_0.25_128_quant_edgetpu.tflite",
    "mobilenet_v1_0.5_160_quant_edgetpu.tflite",
    "movenet_single_pose_lightning_ptq_edgetpu.tflite",
    "split_concat_edgetpu.tflite",
    "ssd_mobilenet_v1_coco_quant_postprocess_segment_1_of_2_edgetpu.tflite",
];

fn on(speed: Speed) -> Config {
    Config {
        speed,
        ..Config::default()
    }
}

#[test]
fn a_small_model_runs_on_usb_3_and_usb_2_without_a_breach() {
    for speed in [Speed::Super, Speed::High] {
        for cached_bytes in [0, 2048, 1 << 20] {
            let mut rig = Rig::started(on(speed), &[small(7, 1, cached_bytes)]);
            for _ in 0..5 {
                rig.run(0).unwrap();
            }
            rig.device.close().unwrap();
            rig.host.assert_clean();
            assert_eq!(rig.figures().inferences, 5);
            assert_eq!(rig.figures().repeated_loads, 0);
        }
    }
}

#[test]
fn every_compiled_model_runs_and_its_outputs_are_right() {
    let test = "every_compiled_model_runs_and_its_outputs_are_right";
    for name in ALL {
        let Some(file) = compiled(test, name) else {
            return;
        };
        for speed in [Speed::Super, Speed::High] {
            let mut rig = Rig::started(on(speed), std::slice::from_ref(&file));
            for at in [0, 0, 0] {
                rig.run(at)
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
            }
            rig.device.close().unwrap();
            rig.host.assert_clean();
        }
    }
}

#[test]
fn all_models_share_one_device() {
    let test = "all_models_share_one_device";
    let files: Option<Vec<File>> = ALL.iter().map(|name| compiled(test, name)).collect();
    let Some(files) = files else {
        return;
    };
    let mut rig = Rig::started(Config::default(), &files);
    for round in 0..3 {
        for at in 0..rig.known.len() {
            let at = (at * (round + 2) + round) % rig.known.len();
            let name = rig.known[at].name.clone();
            rig.run(at)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
    rig.host.assert_clean();
}

#[test]
fn the_chip_tells_its_temperature() {
    let mut rig = Rig::started(Config::default(), &[small(7, 1, 2048)]);
    let _ = rig
        .host
        .with(PORT, |device, _| device.set_temperature(61.0));
    let Some(MilliCelsius(told)) = rig.device.temperature().unwrap() else {
        panic!("it tells none");
    };
    assert!((60_500..61_500).contains(&told), "{told}");
    rig.host.assert_clean();
}
