#![allow(clippy::unwrap_used, reason = "a failure is the message")]

use std::time::Duration;

use super::fake::FakeSlot;
use super::*;
use crate::tpu::supervise::{Limits, Supervised};
use crate::tpu::test_models;
use crate::tpu::usb::fake::expected_outputs;

struct Bench {
    slot: FakeSlot,
    device: Supervised,
    packages: Vec<Arc<Package>>,
    programs: Vec<ProgramId>,
    runs: u8,
}

impl Bench {
    fn new(models: &[&str]) -> Option<Self> {
        let packages = models
            .iter()
            .map(|name| test_models::package(name).map(Arc::new));
        let packages: Vec<_> = packages.collect::<Option<_>>()?;
        Some(Self::of(packages))
    }

    fn of(packages: Vec<Arc<Package>>) -> Self {
        let slot = FakeSlot::new(packages.clone());
        let pcie = Pcie::new(Box::new(slot.clone()), "0000:01:00.0", ClockRate::Maximum);
        let mut device = Supervised::new(Box::new(pcie), Limits::default());
        // One before it is in service, the others after.
        let mut programs = vec![device.load(&packages[0]).unwrap()];
        device.start(Duration::from_secs(1)).unwrap();
        programs.extend(packages[1..].iter().map(|p| device.load(p).unwrap()));
        Self {
            slot,
            device,
            packages,
            programs,
            runs: 0,
        }
    }

    /// Runs a model on inputs that differ from those of the runs before.
    fn run(&mut self, model: usize) -> Result<(), TpuError> {
        let layers = &self.packages[model].main;
        let inputs: Vec<Vec<u8>> = layers
            .inputs
            .iter()
            .map(|l| vec![7 + self.runs % 64; l.actual_bytes()])
            .collect();
        self.runs = self.runs.wrapping_add(1);
        let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        let mut outputs: Vec<Vec<u8>> = layers
            .outputs
            .iter()
            .map(|l| vec![0xee; l.actual_bytes()])
            .collect();
        self.device
            .run(self.programs[model], &inputs, &mut outputs)?;
        let expected = expected_outputs(layers, &inputs);
        assert!(outputs == expected, "outputs of model {model}");
        Ok(())
    }

    /// Steps until it is in service again.
    fn recover(&mut self) {
        for _ in 0..100 {
            self.device.tick();
            if self.device.is_working() {
                return;
            }
            self.slot.chip().now += Duration::from_millis(500);
        }
        unreachable!("it comes back into service");
    }
}

const MODELS: [&str; 5] = [
    "mobilenet_v1_0.25_128_quant_cocompiled_with_mobilenet_v1_0.5_160_quant_edgetpu.tflite",
    "mobilenet_v1_0.5_160_quant_cocompiled_with_mobilenet_v1_0.25_128_quant_edgetpu.tflite",
    "classifier_edgetpu.tflite",
    "split_concat_edgetpu.tflite",
    "movenet_single_pose_lightning_ptq_edgetpu.tflite",
];

#[test]
fn the_chip_finds_everything_through_the_page_table() {
    let Some(mut bench) = Bench::new(&MODELS) else {
        return;
    };
    for model in 0..MODELS.len() {
        bench.run(model).unwrap();
    }
    let chip = bench.slot.chip();
    assert_eq!((chip.runs, chip.uploads), (5, 5));
    // The first model's input was unsigned, the last one's travels with its signs flipped.
    assert!(chip.inputs.first().unwrap().iter().all(|byte| *byte == 7));
    let last = 0x87 + u8::try_from(MODELS.len()).unwrap() - 1;
    assert!(chip.inputs.last().unwrap().iter().all(|byte| *byte == last));
}

#[test]
fn cached_weights_are_uploaded_once_and_the_ring_goes_round() {
    let Some(mut bench) = Bench::new(&MODELS[..2]) else {
        return;
    };
    for turn in 0..1_000 {
        bench.run(turn % 2).unwrap();
    }
    let chip = bench.slot.chip();
    assert_eq!((chip.runs, chip.uploads), (1_000, 2));
}

#[test]
fn a_hang_and_a_page_fault_end_in_a_reset_and_it_runs_again() {
    let Some(mut bench) = Bench::new(&MODELS[3..4]) else {
        return;
    };
    bench.run(0).unwrap();
    bench.slot.chip().hangs = true;
    assert!(matches!(bench.run(0), Err(TpuError::Deadline { .. })));
    bench.slot.chip().hangs = false;
    bench.recover();
    bench.run(0).unwrap();
    assert_eq!(bench.slot.chip().resets, 1);
    bench.slot.chip().fatal = true;
    let error = bench.run(0).unwrap_err().to_string();
    assert!(error.contains("inbound page fault"), "{error}");
    for _ in 0..50 {
        let _ = bench.run(0);
        bench.slot.chip().now += Duration::from_millis(500);
    }
    bench.run(0).unwrap();
    assert_eq!(bench.slot.chip().uploads, 3);
    assert!(bench.device.temperature().unwrap().is_some());
}

#[test]
fn two_runs_under_way_at_once_have_buffers_of_their_own() {
    let Some(mut bench) = Bench::new(&MODELS[3..4]) else {
        return;
    };
    let layers = bench.packages[0].main.inputs.clone();
    let inputs: Vec<Vec<u8>> = layers.iter().map(|l| vec![1; l.actual_bytes()]).collect();
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let program = bench.programs[0];
    let a = bench.device.submit(program, &inputs).unwrap();
    let b = bench.device.submit(program, &inputs).unwrap();
    assert!(matches!(
        bench.device.submit(program, &inputs),
        Err(TpuError::Busy)
    ));
    let outputs = bench.packages[0].main.outputs.iter();
    let mut outputs: Vec<Vec<u8>> = outputs.map(|l| vec![0; l.actual_bytes()]).collect();
    bench.device.finish(b, &mut outputs).unwrap();
    bench.device.finish(a, &mut outputs).unwrap();
    bench.run(0).unwrap();
}

#[test]
fn a_chip_that_cannot_be_reset_costs_a_step_of_its_own_each_time_and_never_an_inference() {
    let Some(mut bench) = Bench::new(&MODELS[3..4]) else {
        return;
    };
    bench.run(0).unwrap();
    let long = Duration::from_secs(12);
    bench.slot.chip().reset_fails = Some(long);
    bench.slot.chip().hangs = true;
    let before = bench.slot.chip().now;
    assert!(bench.run(0).is_err());
    let took = bench.slot.chip().now - before;
    assert!(took < Duration::from_millis(700), "{took:?}");
    let mut resets = 0;
    for _ in 0..8 {
        let announced = bench.device.is_recovering();
        let before = bench.slot.chip().now;
        bench.device.tick();
        let took = bench.slot.chip().now - before;
        assert!(took <= long, "one at a time: {took:?}");
        if took == long {
            assert!(announced);
            resets += 1;
        }
    }
    // Two measures that reset, and then it is left alone.
    assert_eq!(resets, 2);
    assert!(!bench.device.is_recovering());
}

#[test]
fn interrupts_that_mean_nothing_do_not_keep_a_run_beyond_its_deadline() {
    let Some(mut bench) = Bench::new(&MODELS[3..4]) else {
        return;
    };
    bench.run(0).unwrap();
    bench.slot.chip().hangs = true;
    bench.slot.chip().chatters = true;
    let before = bench.slot.chip().now;
    assert!(matches!(bench.run(0), Err(TpuError::Deadline { .. })));
    let took = bench.slot.chip().now - before;
    assert!(took < Duration::from_millis(600), "{took:?}");
}

#[test]
fn a_package_of_more_chunks_than_the_queue_holds_is_refused_when_it_is_loaded() {
    let Some(mut package) = test_models::package(MODELS[3]) else {
        return;
    };
    let chunk = package.main.chunks[0].clone();
    package.main.chunks = vec![chunk; 256];
    let slot = FakeSlot::new(Vec::new());
    let mut pcie = Pcie::new(Box::new(slot), "0000:01:00.0", ClockRate::Maximum);
    let error = pcie.load(&Arc::new(package)).unwrap_err().to_string();
    assert!(error.contains("chunks of instructions"), "{error}");
}

#[test]
fn a_completion_of_nothing_is_not_taken_for_that_of_the_next_run() {
    let Some(mut bench) = Bench::new(&MODELS[3..4]) else {
        return;
    };
    bench.slot.chip().is_late = true;
    bench.run(0).unwrap();
    bench.slot.chip().complete();
    let error = bench.run(0).unwrap_err().to_string();
    assert!(error.contains("nothing was under way"), "{error}");
    bench.recover();
    for _ in 0..3 {
        // Each compares its outputs with its own inputs.
        bench.run(0).unwrap();
    }
}

#[test]
fn interrupts_of_the_queue_that_get_lost_stop_nothing() {
    let Some(mut bench) = Bench::new(&MODELS[3..4]) else {
        return;
    };
    bench.slot.chip().is_mute = true;
    for _ in 0..600 {
        bench.run(0).unwrap();
    }
    assert_eq!(bench.slot.chip().resets, 0);
}

#[test]
fn instructions_in_several_chunks_complete_once() {
    let Some(mut package) = test_models::package(MODELS[3]) else {
        return;
    };
    // Behind the instructions with all the addresses one without any.
    let mut chunk = package.main.chunks[0].clone();
    chunk.fields = Vec::new();
    package.main.chunks.extend([chunk.clone(), chunk]);
    for late in [false, true] {
        let mut bench = Bench::of(vec![Arc::new(package.clone())]);
        bench.slot.chip().is_late = late;
        for _ in 0..300 {
            bench.run(0).unwrap();
        }
        let chip = bench.slot.chip();
        assert_eq!((chip.runs, chip.resets), (300, 0));
    }
}
