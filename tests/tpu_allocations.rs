//! Steady state of the Edge TPU driver: an inference allocates nothing. (What the simulated device
//! allocates, on the same thread, is not counted.)

#![allow(dead_code, clippy::unwrap_used, reason = "a part of the rig is used")]

#[path = "tpu-sim/tests/support/models.rs"]
mod models;
#[path = "tpu_driver/rig.rs"]
mod rig;

use andon_tpu_sim::allocations::{self, Counting};
use andon_tpu_sim::device::Config;
use rig::{Rig, small};

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn an_inference_allocates_nothing() {
    assert!(allocations::counts());
    let files = [small(7, 1, 2048), small(7, 3, 2048)];
    let mut rig = Rig::started(Config::default(), &files);
    let inputs: Vec<Vec<Vec<u8>>> = rig.known.iter().map(|known| known.inputs(5)).collect();
    let inputs: Vec<Vec<&[u8]>> = inputs
        .iter()
        .map(|inputs| inputs.iter().map(Vec::as_slice).collect())
        .collect();
    let mut infer = |runs: usize| {
        for run in 0..runs {
            let known = &mut rig.known[run % 2];
            let result = rig
                .device
                .run(known.program, &inputs[run % 2], &mut known.outputs);
            result.unwrap();
        }
    };
    infer(50);
    let before = allocations::count();
    infer(500);
    assert_eq!(allocations::count() - before, 0, "in 500 inferences");
    rig.host.assert_clean();
}
