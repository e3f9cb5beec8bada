#![allow(clippy::unwrap_used, reason = "a failure is the message")]

use super::*;
use crate::tpu::layout::OutputLayout;
use crate::tpu::test_models;
use crate::tpu::usb::fake::{FakeHost, Fault, output_byte, port};
use crate::tpu::usb::transport::Speed;
use crate::tpu::usb::{Usb, UsbOptions};

/// A device with two models that were compiled together, small ones.
struct Bench {
    host: FakeHost,
    device: Supervised,
    packages: Vec<Arc<Package>>,
    programs: Vec<ProgramId>,
    inputs: Vec<Vec<Vec<u8>>>,
    outputs: Vec<Vec<Vec<u8>>>,
    expected: Vec<Vec<Vec<u8>>>,
    _firmware: tempfile::NamedTempFile,
}

impl Bench {
    fn new(models: &[&str]) -> Option<Self> {
        let packages = models
            .iter()
            .map(|name| test_models::package(name).map(Arc::new));
        let packages: Vec<_> = packages.collect::<Option<_>>()?;
        let host = FakeHost::new(Speed::Super, packages.clone());
        let firmware = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(firmware.path(), vec![0x5a; 1_000]).unwrap();
        let options = UsbOptions {
            firmware: firmware.path().to_owned(),
            ..UsbOptions::default()
        };
        let usb = Usb::new(Box::new(host.clone()), port(), options);
        let mut device = Supervised::new(Box::new(usb), Limits::default());
        let programs = packages
            .iter()
            .map(|package| device.load(package).unwrap())
            .collect();
        let each = |f: &dyn Fn(&Package) -> Vec<Vec<u8>>| packages.iter().map(|p| f(p)).collect();
        let inputs = each(&|p| {
            p.main
                .inputs
                .iter()
                .map(|l| vec![3; l.actual_bytes()])
                .collect()
        });
        let outputs = each(&|p| {
            p.main
                .outputs
                .iter()
                .map(|l| vec![0; l.actual_bytes()])
                .collect()
        });
        let expected = each(&|p| {
            let layers = p.main.outputs.iter().enumerate();
            layers
                .map(|(layer, l)| {
                    let wire: Vec<u8> = (0..l.wire_bytes())
                        .map(|at| output_byte(layer, at))
                        .collect();
                    let mut tensor = vec![0; l.actual_bytes()];
                    OutputLayout::new(l)
                        .unwrap()
                        .decode(&wire, &mut tensor)
                        .unwrap();
                    tensor
                })
                .collect()
        });
        Some(Self {
            host,
            device,
            packages,
            programs,
            inputs,
            outputs,
            expected,
            _firmware: firmware,
        })
    }

    /// Runs a model; its outputs are right or there is an error.
    fn run(&mut self, model: usize) -> Result<(), TpuError> {
        let inputs: Vec<&[u8]> = self.inputs[model].iter().map(Vec::as_slice).collect();
        let outputs = &mut self.outputs[model];
        outputs.iter_mut().for_each(|output| output.fill(0xee));
        self.device.run(self.programs[model], &inputs, outputs)?;
        assert_eq!(*outputs, self.expected[model], "outputs of model {model}");
        Ok(())
    }

    /// Runs models, 30 ms apart, until one succeeds; says how many failed.
    fn until_success(&mut self, frames: usize) -> Option<usize> {
        for failed in 0..frames {
            let before = self.host.world().now;
            let result = self.run(failed % self.packages.len());
            let took = self.host.world().now - before;
            assert!(took < Duration::from_secs(2), "an inference took {took:?}");
            if result.is_ok() {
                return Some(failed);
            }
            self.host.world().now += Duration::from_millis(30);
        }
        None
    }

    fn events(&mut self) -> Vec<&'static str> {
        std::iter::from_fn(|| self.device.take_event())
            .map(|event| event.what.name())
            .collect()
    }
}

const SMALL: [&str; 1] = ["split_concat_edgetpu.tflite"];
const PAIR: [&str; 2] = [
    "mobilenet_v1_0.25_128_quant_cocompiled_with_mobilenet_v1_0.5_160_quant_edgetpu.tflite",
    "mobilenet_v1_0.5_160_quant_cocompiled_with_mobilenet_v1_0.25_128_quant_edgetpu.tflite",
];

#[test]
fn a_device_without_firmware_is_started_and_runs() {
    let Some(mut bench) = Bench::new(&PAIR) else {
        return;
    };
    bench.device.start(Duration::from_secs(10)).unwrap();
    for frame in 0..10 {
        bench.run(frame % 2).unwrap();
    }
    assert_eq!(bench.host.world().uploads, 2);
    assert_eq!(bench.host.world().runs, 10);
    assert_eq!(*bench.events().last().unwrap(), "in-service");
    assert_eq!(
        bench.device.temperature().unwrap(),
        Some(MilliCelsius(66_050))
    );
}

#[test]
fn every_fault_at_every_transfer_is_an_error_and_passes() {
    let Some(mut bench) = Bench::new(&SMALL) else {
        return;
    };
    bench.device.start(Duration::from_secs(10)).unwrap();
    for _ in 0..3 {
        bench.run(0).unwrap();
    }
    let transfers = bench.host.world().transfers;
    assert!(transfers > 140, "{transfers}");
    let faults = [
        Fault::Stall,
        Fault::Hang,
        Fault::Unplug,
        Fault::ShortEvent,
        Fault::WrongEvent,
        Fault::Excess,
        Fault::Fatal,
        Fault::FirmwareLost,
    ];
    for fault in faults {
        for at in 0..transfers {
            let mut bench = Bench::new(&SMALL).unwrap();
            bench.host.world().fault = Some((at, fault));
            // The first start may fail; inferences then bring the device into service.
            let _ = bench.device.start(Duration::from_secs(10));
            let recovered = bench.until_success(3_000);
            assert!(
                recovered.is_some(),
                "{fault:?} at transfer {at}: {:?}",
                bench.device
            );
            for _ in 0..3 {
                let _ = bench.run(0);
            }
            assert!(
                bench.until_success(3_000).is_some(),
                "{fault:?} at transfer {at}"
            );
        }
    }
}

#[test]
fn a_refused_header_is_sent_once_more_within_the_inference() {
    let Some(mut bench) = Bench::new(&SMALL) else {
        return;
    };
    bench.device.start(Duration::from_secs(10)).unwrap();
    bench.run(0).unwrap();
    bench.events();
    let next = bench.host.world().transfers;
    bench.host.world().fault = Some((next, Fault::Stall));
    bench.run(0).unwrap();
    assert_eq!(bench.events(), ["failed", "measure", "in-service"]);
}

#[test]
fn measures_get_harder_and_end_in_a_quarantine_that_grows() {
    let Some(mut bench) = Bench::new(&SMALL) else {
        return;
    };
    bench.device.start(Duration::from_secs(10)).unwrap();
    bench.run(0).unwrap();
    bench.events();
    // Whatever is done to it, its firmware is gone and cannot be read.
    std::fs::remove_file(bench._firmware.path()).unwrap();
    bench.host.world().unplug();
    let mut pauses = Vec::new();
    for _ in 0..8_000 {
        assert!(bench.run(0).is_err());
        bench.host.world().now += Duration::from_millis(30);
        while let Some(event) = bench.device.take_event() {
            if let Happening::Quarantined(pause) = event.what {
                pauses.push(pause.as_secs());
            }
        }
    }
    assert_eq!(pauses[..7], [1, 2, 4, 8, 16, 32, 60]);
    let error = bench.run(0).unwrap_err().to_string();
    assert!(error.contains("apex_latest_single_ep.bin"), "{error}");
    // The firmware is put there, and all is well within the longest pause.
    std::fs::write(bench._firmware.path(), vec![0x5a; 1_000]).unwrap();
    assert!(bench.until_success(3_000).is_some());
}

#[test]
fn an_hour_of_unplugging_ends_in_service_with_bounded_memory() {
    let Some(mut bench) = Bench::new(&SMALL) else {
        return;
    };
    bench.device.start(Duration::from_secs(10)).unwrap();
    let mut seed = 1_u64;
    let (mut good, mut bad) = (0_u32, 0_u32);
    while bench.host.world().now < Duration::from_secs(3_600) {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if seed >> 33 & 63 == 0 {
            bench.host.world().unplug();
        }
        match bench.run(0) {
            Ok(()) => good += 1,
            Err(_) => bad += 1,
        }
        let mut world = bench.host.world();
        world.now += Duration::from_millis(33);
        world.log.clear();
        world.inputs.clear();
    }
    assert!(good > 5_000 && bad > 1_000, "{good} good, {bad} bad");
    let mut events = 0;
    while bench.device.take_event().is_some() {
        events += 1;
    }
    assert!(events <= EVENTS_MAX);
    assert!(bench.until_success(3_000).is_some());
}

#[test]
fn two_runs_under_way_at_once_both_come() {
    let Some(mut bench) = Bench::new(&PAIR) else {
        return;
    };
    bench.device.start(Duration::from_secs(10)).unwrap();
    let inputs: Vec<&[u8]> = bench.inputs[0].iter().map(Vec::as_slice).collect();
    let a = bench.device.submit(bench.programs[0], &inputs).unwrap();
    let b = bench.device.submit(bench.programs[0], &inputs).unwrap();
    assert!(matches!(
        bench.device.submit(bench.programs[0], &inputs),
        Err(TpuError::Busy)
    ));
    for ticket in [b, a] {
        bench.device.finish(ticket, &mut bench.outputs[0]).unwrap();
        assert_eq!(bench.outputs[0], bench.expected[0]);
    }
    assert_eq!(bench.host.world().uploads, 1);
}

#[test]
fn registers_and_events_that_say_anything_end_in_errors_and_no_panic() {
    let Some(sound) = Bench::new(&SMALL) else {
        return;
    };
    drop(sound);
    for seed in 0..60 {
        let mut bench = Bench::new(&SMALL).unwrap();
        // From the first register on, or once it runs.
        if seed % 2 == 1 {
            bench.device.start(Duration::from_secs(10)).unwrap();
            bench.run(0).unwrap();
        }
        bench.host.world().noise = Some(seed);
        let _ = bench.device.start(Duration::from_secs(10));
        for _ in 0..60 {
            let inputs: Vec<&[u8]> = bench.inputs[0].iter().map(Vec::as_slice).collect();
            let before = bench.host.world().now;
            let _ = bench
                .device
                .run(bench.programs[0], &inputs, &mut bench.outputs[0]);
            let took = bench.host.world().now - before;
            assert!(took < Duration::from_secs(3), "seed {seed}: {took:?}");
            bench.host.world().now += Duration::from_millis(30);
        }
        bench.host.world().noise = None;
        assert!(
            bench.until_success(3_000).is_some(),
            "seed {seed}: {:?}",
            bench.device
        );
    }
}
