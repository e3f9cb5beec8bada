#![allow(clippy::unwrap_used, reason = "a failure is the message")]

use super::*;
use crate::tpu::test_models;
use crate::tpu::usb::fake::{FakeHost, Fault, expected_outputs, port};
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
    runs: u8,
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
        Some(Self {
            host,
            device,
            packages,
            programs,
            inputs,
            outputs,
            runs: 0,
            _firmware: firmware,
        })
    }

    /// Runs a model on inputs that differ from those of the runs before; its outputs are right or
    /// there is an error.
    fn run(&mut self, model: usize) -> Result<(), TpuError> {
        self.runs = self.runs.wrapping_add(1);
        for input in &mut self.inputs[model] {
            input.fill(self.runs);
        }
        let inputs: Vec<&[u8]> = self.inputs[model].iter().map(Vec::as_slice).collect();
        let outputs = &mut self.outputs[model];
        outputs.iter_mut().for_each(|output| output.fill(0xee));
        self.device.run(self.programs[model], &inputs, outputs)?;
        let expected = expected_outputs(&self.packages[model].main, &inputs);
        assert!(*outputs == expected, "outputs of model {model}");
        Ok(())
    }

    /// Runs models, 30 ms apart, until one succeeds; says how many failed.
    fn until_success(&mut self, frames: usize) -> Option<usize> {
        for failed in 0..frames {
            let before = self.host.world().now;
            let result = self.run(failed % self.packages.len());
            let took = self.host.world().now - before;
            // Its limit, the mildest measure, and a step of a recovery where it was out of service.
            assert!(
                took < Duration::from_millis(1_200),
                "an inference took {took:?}"
            );
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
        if seed >> 33 & 1_023 == 0 {
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
    let expected = expected_outputs(&bench.packages[0].main, &inputs);
    for ticket in [b, a] {
        bench.device.finish(ticket, &mut bench.outputs[0]).unwrap();
        assert!(bench.outputs[0] == expected);
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

/// A device in service that has run once, and the index of the next transfer.
fn in_service() -> Option<(Bench, usize)> {
    let mut bench = Bench::new(&SMALL)?;
    bench.device.start(Duration::from_secs(10)).unwrap();
    bench.run(0).unwrap();
    bench.events();
    let next = bench.host.world().transfers;
    Some((bench, next))
}

#[test]
fn packets_and_interrupts_without_content_do_not_keep_a_run_beyond_its_deadline() {
    for fault in [Fault::Empty, Fault::Chatter] {
        let Some((mut bench, next)) = in_service() else {
            return;
        };
        bench.host.world().fault = Some((next + 1, fault));
        let before = bench.host.world().now;
        let result = bench.run(0);
        let took = bench.host.world().now - before;
        assert!(took < Duration::from_millis(1_200), "{fault:?}: {took:?}");
        // Interrupts that say nothing harm nothing, as long as they are not all that is done.
        assert_eq!(
            result.is_ok(),
            fault == Fault::Chatter,
            "{fault:?}: {result:?}"
        );
    }
}

#[test]
fn a_device_that_does_not_answer_is_not_asked_to_clear_halts() {
    let Some((mut bench, next)) = in_service() else {
        return;
    };
    bench.host.world().fault = Some((next, Fault::Hang));
    assert!(bench.until_success(3_000).is_some());
    assert_eq!(bench.host.world().clears[1], 0);
}

#[test]
fn an_engine_that_lost_a_transfer_is_given_up() {
    let Some((mut bench, next)) = in_service() else {
        return;
    };
    bench.host.world().fault = Some((next, Fault::Keeps));
    assert!(bench.run(0).is_err());
    // It answers again, but what was withdrawn has not come back.
    bench.host.world().revive();
    let resets = bench.host.world().resets;
    assert!(bench.until_success(3_000).is_some());
    assert!(bench.host.world().resets > resets, "only a reset helps");
    let measures = bench.events();
    assert!(measures.contains(&"measure"), "{measures:?}");
}

#[test]
fn a_device_that_never_runs_its_firmware_is_left_alone() {
    let Some(mut bench) = Bench::new(&SMALL) else {
        return;
    };
    bench.host.world().never_runs = true;
    let error = bench.device.start(Duration::from_secs(60)).unwrap_err();
    assert!(error.to_string().contains("does not run it"), "{error}");
    assert!(bench.events().contains(&"quarantined"));
    let resets = bench.host.world().resets;
    assert!(resets < 30, "{resets} resets in a minute");
    bench.host.world().never_runs = false;
    assert!(bench.until_success(3_000).is_some());
}

#[test]
fn a_device_whose_power_breaks_down_at_every_run_is_left_alone() {
    let Some((mut bench, _)) = in_service() else {
        return;
    };
    let begin = bench.host.world().now;
    let mut pauses = Vec::new();
    while bench.host.world().now - begin < Duration::from_secs(600) {
        if bench.device.is_working() {
            let next = bench.host.world().transfers + 3;
            bench.host.world().fault = Some((next, Fault::Unplug));
        }
        let _ = bench.run(0);
        bench.host.world().now += Duration::from_millis(33);
        while let Some(event) = bench.device.take_event() {
            if let Happening::Quarantined(pause) = event.what {
                pauses.push(pause.as_secs());
            }
        }
    }
    assert!(pauses.len() > 5 && pauses.contains(&32), "{pauses:?}");
    let resets = bench.host.world().resets;
    assert!(resets < 200, "{resets} resets in ten minutes");
}

#[test]
fn a_connection_that_is_too_slow_is_said_and_not_reset_for_ever() {
    let Some(mut bench) = Bench::new(&SMALL) else {
        return;
    };
    bench.host.world().speed = Speed::Full;
    let error = bench.device.start(Duration::from_secs(10)).unwrap_err();
    assert!(error.to_string().contains("too slow"), "{error}");
    for _ in 0..3_000 {
        assert!(bench.run(0).is_err());
        bench.host.world().now += Duration::from_millis(33);
    }
    let resets = bench.host.world().resets;
    assert!(resets < 60, "{resets} resets in a hundred seconds");
}

#[test]
fn a_hiccup_at_the_start_does_not_decide_anything() {
    for fault in [Fault::Stall, Fault::Hang, Fault::Unplug] {
        for at in [0, 3, 40, 90] {
            let Some(mut bench) = Bench::new(&SMALL) else {
                return;
            };
            bench.host.world().fault = Some((at, fault));
            let started = bench.device.start(Duration::from_secs(15));
            assert!(started.is_ok(), "{fault:?} at {at}: {started:?}");
            // The last of them may come only now.
            assert!(bench.until_success(3_000).is_some(), "{fault:?} at {at}");
        }
    }
}

#[test]
fn what_comes_while_nothing_is_under_way_is_no_part_of_the_next_run() {
    let Some((mut bench, next)) = in_service() else {
        return;
    };
    // Eight bytes too many come with the last run's transfers.
    bench.host.world().fault = Some((next - 1, Fault::Excess));
    bench.host.world().late_excess();
    let uploads = bench.host.world().uploads;
    bench.run(0).unwrap();
    assert_eq!(bench.events(), ["failed", "measure", "in-service"]);
    assert!(bench.host.world().uploads > uploads);
}

#[test]
fn a_retry_has_the_time_that_the_first_try_left() {
    let Some((mut bench, next)) = in_service() else {
        return;
    };
    bench.host.world().fault = Some((next, Fault::Stall));
    // The header is refused after most of the time is over; then nothing comes any more.
    bench.host.world().slow_stall = Some(Duration::from_millis(450));
    let before = bench.host.world().now;
    assert!(bench.run(0).is_err());
    let took = bench.host.world().now - before;
    assert!(took < Duration::from_millis(800), "{took:?}");
}

#[test]
fn heat_is_said_and_cleared_and_a_finished_memory_test_is_no_fault() {
    let Some((mut bench, _)) = in_service() else {
        return;
    };
    // A warning of heat, and a memory test that has ended well.
    bench.host.world().raise(
        1 << 4 | 1 << 3,
        &[(0x1a0dc, 1 << 31 | 400 << 16), (0x1a704, 4 << 16 | 0x7f)],
    );
    bench.run(0).unwrap();
    let cleared = bench.host.world().written(0x1a0dc);
    assert_eq!(cleared >> 29 & 1, 1, "{cleared:#x}");
    assert_eq!(bench.host.world().written(0x1a704), 4 << 16 | 0x7f);
    assert_eq!(bench.events(), ["notice"]);
    bench.host.world().raise(1 << 2, &[(0x1a544, 1)]);
    bench.run(0).unwrap();
    assert_eq!(bench.events(), ["notice"]);
    bench
        .host
        .world()
        .raise(1 << 3, &[(0x1a704, 1 << 16 | 0x7f)]);
    let error = bench.run(0);
    // The next try within the inference is after a new start of the chip.
    assert!(bench.events().contains(&"failed"), "{error:?}");
    assert!(bench.until_success(3_000).is_some());
}
