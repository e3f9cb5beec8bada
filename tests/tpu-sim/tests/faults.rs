//! Faults by script: the device does what the script says, at every transfer, and is whole again
//! after a reset.

mod support;

use std::time::Duration;

use andon_tpu_sim::device::{Config, SimulatedEdgeTpu};
use andon_tpu_sim::endpoint::TransferError;
use andon_tpu_sim::fault::{Fault, Script, Trigger};
use andon_tpu_sim::host::SimulatedHost;
use andon_tpu_sim::pack::Layout;
use andon_tpu_sim::package::Package;
use andon_tpu_sim::registry::Registry;
use andon_tpu_sim::violation::Rule;
use support::driver::Driver;
use support::models::{inputs, pair, small};

const MS: Duration = Duration::from_millis(1);

fn host(package: &Package, script: Script) -> SimulatedHost {
    let mut registry = Registry::default();
    registry.add_package("small", 0, package).expect("known");
    let config = Config {
        starts_in_dfu: false,
        ..Config::default()
    };
    let host = SimulatedHost::with_one(config, registry);
    let _ = host.with("1-1", |device, _| *device.script_mut() = script);
    host
}

fn package() -> Package {
    small(0x77, 1, 2048, Layout::Tiles).1
}

/// One load and one inference.
fn infer(driver: &mut Driver, package: &Package) -> Result<Vec<Vec<u8>>, TransferError> {
    let (caching, execution) = pair(package);
    driver.run(caching, &[])?;
    driver.run(execution, &inputs(execution, 0))
}

fn ready(package: &Package) -> (SimulatedHost, Driver) {
    let host = host(package, Script::new());
    let mut driver = Driver::open(&host);
    driver.bring_up();
    (host, driver)
}

fn add(host: &SimulatedHost, trigger: Trigger, fault: Fault) {
    let _ = host.with("1-1", |device, _| device.script_mut().push(trigger, fault));
}

fn next_transfer(host: &SimulatedHost) -> u64 {
    host.with("1-1", |device, _| device.transfers())
        .expect("the port")
}

#[test]
fn every_fault_at_every_transfer_ends_in_an_error_and_a_reset_heals_it() {
    let package = package();
    let (clean, mut driver) = ready(&package);
    let first = next_transfer(&clean);
    let right = infer(&mut driver, &package).expect("it works");
    let last = next_transfer(&clean);
    clean.assert_clean();
    let faults = [
        Fault::Stall,
        Fault::Never,
        Fault::Broken,
        Fault::Unplug(None),
        Fault::FallIntoDfu,
        Fault::Hang(false),
        Fault::Fatal(0x40),
    ];
    for number in first..last {
        for fault in &faults {
            let (host, mut driver) = ready(&package);
            add(&host, Trigger::Transfer(number), fault.clone());
            let result = infer(&mut driver, &package);
            let dead = matches!(fault, Fault::Unplug(_) | Fault::FallIntoDfu);
            if let Fault::Fatal(_) = fault {
                // A driver that does not look at the interrupt endpoint may still see the outputs
                // that were already on their way.
            } else {
                assert!(result.is_err(), "{fault:?} at transfer {number}");
            }
            let reset = driver.device.reset();
            assert_eq!(reset.is_err(), dead, "{fault:?} at transfer {number}");
            drop(driver);
            if dead {
                continue;
            }
            let mut driver = Driver::open(&host);
            driver.bring_up();
            assert_eq!(infer(&mut driver, &package).as_ref(), Ok(&right));
            host.assert_clean();
        }
    }
}

#[test]
fn a_plug_that_is_pulled_and_put_back_shows_the_boot_loader_again() {
    let package = package();
    let (host, mut driver) = ready(&package);
    let now = host.now();
    add(
        &host,
        Trigger::Time(now + 2 * MS),
        Fault::Unplug(Some(300 * MS)),
    );
    assert_eq!(driver.device.completion(now + MS).map(|c| c.endpoint), None);
    assert_eq!(host.devices().len(), 1);
    assert_eq!(driver.event().err(), Some(TransferError::Disconnected));
    assert!(host.devices().is_empty());
    while host.devices().is_empty() {
        assert!(host.wait_for_change(now + 1000 * MS));
    }
    assert_eq!(host.now(), now + 302 * MS);
    let back = host.devices();
    assert_eq!(back[0].presence.product, 0x089a);
    host.assert_clean();
}

#[test]
fn a_fatal_error_is_on_the_interrupt_endpoint_and_in_the_registers() {
    let package = package();
    let (host, mut driver) = ready(&package);
    driver.device.submit(0x83, vec![0; 64]);
    let now = host.now();
    add(&host, Trigger::Time(now + MS), Fault::Fatal(0x60));
    let interrupt = driver.expect(0x83).expect("an interrupt");
    assert_eq!(interrupt.buffer, [1, 0, 0, 0]);
    assert_eq!(driver.read64(0x486f0), 0x60);
    assert_eq!(driver.read64(0x48700), 0x20);
    assert_eq!(driver.read64(0x4c068), 1);
    driver.write64(0x4c068, 0);
    driver.bring_up();
    infer(&mut driver, &package).expect("whole again");
    host.assert_clean();
}

#[test]
fn events_come_late_twice_short_early_or_not_at_all() {
    let package = package();
    let (caching, execution) = pair(&package);
    let inputs = inputs(execution, 0);
    let run = |fault: Fault| {
        let (host, mut driver) = ready(&package);
        driver.run(caching, &[]).expect("parameters");
        add(&host, Trigger::Event(1), fault);
        (host, driver)
    };
    let (_, mut driver) = run(Fault::DropEvent);
    assert_eq!(driver.run(execution, &inputs), Err(TransferError::TimedOut));

    let (host, mut driver) = run(Fault::Delay(20 * MS));
    let start = host.now();
    driver.run(execution, &inputs).expect("late");
    assert!(host.now() - start > 20 * MS);

    let (_, mut driver) = run(Fault::RepeatEvent(2));
    driver.run(execution, &inputs).expect("an inference");
    assert_eq!(driver.event().expect("the same again").len(), 16);

    let (_, mut driver) = run(Fault::Garbage(vec![0xff; 7]));
    driver.device.submit(0x82, vec![0; 1024]);
    let deadline = driver.host.now() + 100 * MS;
    assert!(driver.device.completion(deadline).is_none());

    // Early: the event is there before any output was read.
    let (host, mut driver) = ready(&package);
    driver.run(caching, &[]).expect("parameters");
    add(&host, Trigger::Inference(0), Fault::EarlyEvent);
    for stream in 0..4 {
        let bytes = match stream {
            0 => support::driver::link(execution, 0),
            1 => {
                let mut picture: Vec<u8> = inputs[0].iter().map(|b| b ^ 0x80).collect();
                picture.resize(80, 0);
                picture
            }
            2 => inputs[1].clone(),
            _ => execution.parameters.clone(),
        };
        let tag = [0, 1, 1, 2][stream];
        driver.stream(tag, &bytes).expect("taken");
    }
    assert_eq!(driver.event().expect("early")[12], 4);
    let bytes = execution.outputs.iter().map(|l| l.padded_bytes()).sum();
    driver.outputs(bytes).expect("outputs");
    driver.run(execution, &inputs).expect("the next one");
    host.assert_clean();
}

#[test]
fn a_wrong_output_is_wrong_in_one_byte() {
    let package = package();
    let (host, mut driver) = ready(&package);
    let right = infer(&mut driver, &package).expect("it works");
    add(&host, Trigger::Inference(1), Fault::WrongOutput);
    let (_, execution) = pair(&package);
    let wrong = driver
        .run(execution, &inputs(execution, 0))
        .expect("an answer");
    let differing = |(a, b): (&Vec<u8>, &Vec<u8>)| a.iter().zip(b).filter(|(a, b)| a != b).count();
    // One in each output.
    let counts: Vec<usize> = right.iter().zip(&wrong).map(differing).collect();
    assert_eq!(counts, [1, 1, 1]);
}

#[test]
fn a_power_state_that_sticks_stays() {
    let package = package();
    let script = Script::new().with(Trigger::Time(Duration::ZERO), Fault::PowerSticks);
    let host = host(&package, script);
    let mut driver = Driver::open(&host);
    let value = driver.read32(0x1a318);
    driver.write32(0x1a318, value | 0x00c0_0000);
    for _ in 0..1000 {
        assert_eq!(driver.read32(0x1a318) >> 8 & 3, 0);
    }
    host.assert_clean();
}

#[test]
fn firmware_goes_wrong_in_the_boot_loader() {
    use andon_tpu_sim::device::Setup;
    let request = |request_type, request, value, length| Setup {
        request_type,
        request,
        value,
        index: 0,
        length,
    };
    let second = 1000 * MS;
    let config = Config {
        dfu_busy: Some(2 * MS),
        ..Config::default()
    };
    let host = SimulatedHost::with_one(config, Registry::default());
    add(&host, Trigger::Time(Duration::ZERO), Fault::DfuCorrupt);
    let mut device = host.open(&host.devices()[0]).expect("opens");
    assert!(device.claim(0));
    device
        .control(request(0x21, 1, 0, 4), b"firm", second)
        .expect("a block");
    let busy = device
        .control(request(0xa1, 3, 0, 6), &[], second)
        .expect("status");
    assert_eq!((busy[1], busy[4]), (2, 4), "dfuDNBUSY for 2 ms");
    let _ = device.completion(host.now() + 3 * MS);
    let idle = device
        .control(request(0xa1, 3, 0, 6), &[], second)
        .expect("status");
    assert_eq!(idle[4], 5);
    device
        .control(request(0x21, 1, 1, 0), b"", second)
        .expect("the end");
    device
        .control(request(0xa1, 3, 0, 6), &[], second)
        .expect("status");
    let read = device
        .control(request(0xa1, 2, 0, 256), &[], second)
        .expect("read back");
    assert_ne!(read, b"firm");
    host.assert_clean();
    // Out of order: refused, an error until cleared, and a breach.
    let wrong = device.control(request(0x21, 1, 7, 4), b"ware", second);
    assert_eq!(wrong, Err(TransferError::Stall));
    let status = device
        .control(request(0xa1, 3, 0, 6), &[], second)
        .expect("status");
    assert_eq!((status[0], status[4]), (15, 10));
    device
        .control(request(0x21, 4, 0, 0), &[], second)
        .expect("cleared");
    assert_eq!(host.violations().first().map(|v| v.rule), Some(Rule::Dfu));
}

#[test]
fn an_hour_of_unplugging_keeps_memory_flat() {
    let package = package();
    let host = host(&package, Script::new());
    let hour = Duration::from_secs(3600);
    let mut plugs = 0u32;
    while host.now() < hour {
        let now = host.now();
        let _ = host.with("1-1", |d, now| d.unplug(now, Some(now + 700 * MS)));
        assert!(host.devices().is_empty());
        let mut driver = {
            while host.devices().is_empty() {
                let _ = host.wait_for_change(now + 1000 * MS);
            }
            Driver::open(&host)
        };
        for _ in 0..32 {
            driver.device.submit(0x81, vec![0; 1024]);
        }
        let _ = driver.device.completion(host.now() + 500 * MS);
        plugs += 1;
    }
    assert!(plugs > 2000);
    let kept = host.with("1-1", |device: &mut SimulatedEdgeTpu, _| {
        device.violations().all().len() + device.record().entries().len()
    });
    // The boot loader has no bulk endpoints: the first thousand breaches are kept, the rest counted.
    assert_eq!(kept, Some(1000));
}

#[test]
fn standard_requests_take_the_time_of_the_host_and_halts_are_cleared_with_nothing_pending() {
    let package = package();
    let (host, mut driver) = ready(&package);
    driver.device.submit(0x81, vec![0; 1024]);
    driver.device.clear_halt(0x81).expect("it answers");
    let rules: Vec<Rule> = host.violations().iter().map(|v| v.rule).collect();
    assert_eq!(rules, [Rule::Endpoint]);
    driver.device.cancel(0x81);
    driver.device.clear_halt(0x81).expect("it answers");
    assert_eq!(host.violations().len(), 1);

    let begun = host.now();
    add(&host, Trigger::Time(begun), Fault::Hang(false));
    let silent = driver.device.clear_halt(0x81);
    assert_eq!(silent, Err(TransferError::TimedOut));
    assert_eq!(host.now() - begun, 5000 * MS);

    let begun = host.now();
    driver.device.reset().expect("a reset");
    assert_eq!(host.now() - begun, 60 * MS);
}

#[test]
fn withdrawn_transfers_may_stay_away_until_a_reset() {
    let package = package();
    let (host, mut driver) = ready(&package);
    driver.device.submit(0x81, vec![0; 1024]);
    add(&host, Trigger::Time(host.now()), Fault::KeepsWithdrawn);
    driver.device.cancel(0x81);
    assert!(driver.device.completion(host.now() + MS).is_none());
    driver.device.reset().expect("a reset");
    let back = driver.device.completion(host.now()).expect("it is back");
    assert_eq!(back.status, Err(TransferError::Cancelled));
}
