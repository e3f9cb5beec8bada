//! A device that says anything, and packages that are anything: errors, never a panic or a wait.

use std::time::Duration;

use andon::tpu::package::Package;
use andon_tpu_sim::device::Config;
use andon_tpu_sim::fault::{Fault, Trigger};

use crate::rig::{Rig, packages, small};

/// A generator of numbers that anybody can repeat.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 24
    }

    fn below(&mut self, end: u64) -> usize {
        usize::try_from(self.next() % end).unwrap()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

#[test]
fn registers_events_and_descriptors_that_say_anything() {
    for seed in 0..60 {
        let mut numbers = Numbers(seed);
        let mut rig = Rig::new(Config::default(), &[small(7, 1, 2048)]);
        let mut at = 0;
        for _ in 0..20 {
            at += numbers.next() % 20;
            let length = [0, 1, 3, 4, 6, 8, 16, 64][numbers.below(8)];
            let garbage = numbers.bytes(length);
            rig.script(Trigger::Transfer(at), Fault::Garbage(garbage));
        }
        for event in 0..6 {
            let length = [16, 16, 0, 4, 17][numbers.below(5)];
            let garbage = numbers.bytes(length);
            rig.script(Trigger::Event(event * 2), Fault::Garbage(garbage));
        }
        let _ = rig.device.start(Duration::from_secs(10));
        for _ in 0..60 {
            let before = rig.host.now();
            // Garbage in place of outputs can look like outputs; so nothing is said of them here.
            let known = &mut rig.known[0];
            let inputs = known.inputs(1);
            let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
            let _ = rig.device.run(known.program, &inputs, &mut known.outputs);
            let took = rig.host.now().saturating_sub(before);
            assert!(took < Duration::from_secs(3), "seed {seed}: {took:?}");
            rig.next_frame();
        }
        if rig.until_success(40_000).is_none() {
            let events: Vec<String> = std::iter::from_fn(|| rig.device.take_event())
                .map(|event| event.to_string())
                .collect();
            panic!("seed {seed}: never back: {}", events.join("; "));
        }
    }
}

#[test]
fn packages_with_wrong_bytes_are_refused_or_run_to_an_end() {
    let file = small(7, 1, 2048);
    let (options, _) = packages(&file).remove(0);
    let (mut refused, mut run) = (0, 0);
    for seed in 0..250 {
        let mut numbers = Numbers(seed);
        let mut broken = options.clone();
        for _ in 0..=numbers.next() % 4 {
            let at = usize::try_from(numbers.next()).unwrap() % broken.len();
            broken[at] ^= 1 << (numbers.next() % 8);
        }
        let Ok(package) = Package::from_custom_options(&broken) else {
            refused += 1;
            continue;
        };
        run += 1;
        let mut rig = Rig::started(Config::default(), std::slice::from_ref(&file));
        let package = std::sync::Arc::new(package);
        let Ok(program) = rig.device.load(&package) else {
            continue;
        };
        let inputs = package.main.inputs.iter();
        let inputs: Vec<Vec<u8>> = inputs.map(|l| vec![3; l.actual_bytes()]).collect();
        let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        let outputs = package.main.outputs.iter();
        let mut outputs: Vec<Vec<u8>> = outputs.map(|l| vec![0; l.actual_bytes()]).collect();
        let before = rig.host.now();
        let _ = rig.device.run(program, &inputs, &mut outputs);
        let took = rig.host.now().saturating_sub(before);
        assert!(took < Duration::from_secs(3), "seed {seed}: {took:?}");
        // Whatever that did to the chip, the sound model runs again.
        assert!(rig.until_success(900).is_some(), "seed {seed}");
    }
    eprintln!("{refused} refused, {run} run");
    assert!(refused > 40 && run > 8, "{refused} refused, {run} run");
}
