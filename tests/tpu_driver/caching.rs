//! Whose weights are on the chip: what is uploaded, and that nothing runs on weights that are not there.

use andon_tpu_sim::device::Config;
use andon_tpu_sim::fault::{Fault, Trigger};

use crate::rig::{File, Rig, compiled, small};

/// Runs programs in order and says how many uploads that took.
fn uploads(files: &[File], order: &[usize]) -> u64 {
    let mut rig = Rig::started(Config::default(), files);
    for at in order {
        rig.run(*at)
            .unwrap_or_else(|error| panic!("{error}: {:?}", rig.host.violations()));
    }
    rig.host.assert_clean();
    rig.figures().loads
}

#[test]
fn models_of_one_token_are_uploaded_once_each() {
    let pair = [small(7, 1, 2048), small(7, 2, 2048)];
    assert_eq!(uploads(&pair, &[0, 1, 0, 1, 0, 1]), 2);
    let three = [small(7, 1, 999), small(7, 2, 2048), small(7, 3, 4096)];
    assert_eq!(uploads(&three, &[0, 1, 2, 2, 1, 0, 0, 2]), 3);
}

#[test]
fn another_token_forgets_everything() {
    let files = [small(7, 1, 2048), small(7, 2, 2048), small(8, 1, 2048)];
    // A B A B, then a stranger, then both once more.
    assert_eq!(uploads(&files, &[0, 1, 0, 1, 2, 0, 1, 0]), 5);
    assert_eq!(uploads(&files, &[0, 2, 0, 2]), 4);
}

#[test]
fn what_runs_under_token_zero_puts_others_out() {
    // Packed without a token, a model brings all its weights with every inference.
    let files = [small(0, 1, 2048), small(7, 2, 2048)];
    assert_eq!(uploads(&files, &[0, 0, 0]), 0);
    assert_eq!(uploads(&files, &[1, 1, 0, 1, 1, 0, 0, 1]), 3);
}

#[test]
fn a_failure_and_a_replug_forget_everything() {
    let pair = [small(7, 1, 2048), small(7, 2, 2048)];
    let mut rig = Rig::started(Config::default(), &pair);
    for at in [0, 1, 0, 1] {
        rig.run(at).unwrap();
    }
    assert_eq!(rig.figures().loads, 2);
    rig.script(Trigger::Transfer(rig.transfers()), Fault::Stall);
    // Sent once more within the inference, weights first.
    rig.run(0).unwrap();
    rig.run(1).unwrap();
    rig.run(0).unwrap();
    assert_eq!(rig.figures().loads, 4);
    rig.script(
        Trigger::Transfer(rig.transfers()),
        Fault::Unplug(Some(std::time::Duration::from_millis(300))),
    );
    assert!(rig.until_success(300).unwrap() > 0);
    rig.run(0).unwrap();
    rig.run(1).unwrap();
    rig.host.assert_clean();
}

#[test]
fn the_compiled_pair_and_a_stranger() {
    let test = "the_compiled_pair_and_a_stranger";
    let a = "mobilenet_v1_0.25_128_quant_cocompiled_with_mobilenet_v1_0.5_160_quant_edgetpu.tflite";
    let b = "mobilenet_v1_0.5_160_quant_cocompiled_with_mobilenet_v1_0.25_128_quant_edgetpu.tflite";
    let alone = "mobilenet_v1_0.5_160_quant_edgetpu.tflite";
    let files: Option<Vec<File>> = [a, b, alone].iter().map(|n| compiled(test, n)).collect();
    let Some(files) = files else {
        return;
    };
    assert_eq!(uploads(&files, &[0, 1, 0, 1, 0, 1]), 2);
    // The same weights under another token lie elsewhere.
    assert_eq!(uploads(&files, &[2, 1, 1]), 2);
    assert_eq!(uploads(&files, &[0, 1, 2, 0, 1]), 5);
}
