//! The judge finds what a driver does wrong, and nothing in what it does right.

mod support;

use std::time::Duration;

use andon_tpu_sim::device::{Config, Overlap, SimulatedEdgeTpu};
use andon_tpu_sim::endpoint::TransferError;
use andon_tpu_sim::execute::{input_key, keyed_byte};
use andon_tpu_sim::host::SimulatedHost;
use andon_tpu_sim::latency::{Latency, Speed};
use andon_tpu_sim::link::set_field;
use andon_tpu_sim::pack::Layout;
use andon_tpu_sim::package::{Executable, Half, Package, Target};
use andon_tpu_sim::registry::Registry;
use andon_tpu_sim::violation::Rule;
use support::driver::{Driver, link};
use support::gather::gather;
use support::models::{inputs, pair, small};

const CACHED: usize = 8 << 20;

fn application() -> Config {
    Config {
        starts_in_dfu: false,
        ..Config::default()
    }
}

fn host(config: Config, packages: &[&Package]) -> SimulatedHost {
    let mut registry = Registry::default();
    for (index, package) in packages.iter().enumerate() {
        registry
            .add_package(&format!("model{index}"), 0, package)
            .expect("known");
    }
    SimulatedHost::with_one(config, registry)
}

/// A host with one package and a driver that has brought the chip up.
fn ready(config: Config, package: &Package) -> (SimulatedHost, Driver) {
    let host = host(config, &[package]);
    let mut driver = Driver::open(&host);
    driver.bring_up();
    (host, driver)
}

fn rules(host: &SimulatedHost) -> Vec<Rule> {
    let mut rules: Vec<Rule> = host.violations().iter().map(|v| v.rule).collect();
    rules.dedup();
    rules
}

/// What the chip should answer: the keyed pattern over the plain inputs.
fn expected(executable: &Executable, inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let key = input_key(inputs.iter().map(Vec::as_slice));
    executable
        .outputs
        .iter()
        .map(|layer| {
            (0..layer.plain_bytes())
                .map(|index| keyed_byte(key, &layer.name, index))
                .collect()
        })
        .collect()
}

fn plain(executable: &Executable, chip: &[Vec<u8>]) -> Vec<Vec<u8>> {
    executable
        .outputs
        .iter()
        .zip(chip)
        .map(|(layer, chip)| gather(layer, chip))
        .collect()
}

#[test]
fn a_right_driver_gets_right_outputs_and_no_remark() {
    for layout in [Layout::Tiles, Layout::Slices] {
        for speed in [Speed::Super, Speed::High] {
            for cached in [CACHED, 2048] {
                let (_, package) = small(0x77, 1, cached, layout);
                let config = Config {
                    speed,
                    ..application()
                };
                let (host, mut driver) = ready(config, &package);
                let (caching, execution) = pair(&package);
                assert_eq!(execution.parameters.is_empty(), cached == CACHED);
                driver.run(caching, &[]).expect("parameters");
                for salt in 0..3 {
                    let inputs = inputs(execution, salt);
                    let chip = driver.run(execution, &inputs).expect("an inference");
                    assert_eq!(plain(execution, &chip), expected(execution, &inputs));
                }
                host.assert_clean();
                let figures = host.with("1-1", |d, _| d.figures()).expect("the port");
                assert_eq!((figures.inferences, figures.loads), (3, 1));
            }
        }
    }
}

#[test]
fn a_model_of_token_zero_brings_everything_with_it() {
    let (_, package) = small(0, 1, CACHED, Layout::Tiles);
    let (host, mut driver) = ready(application(), &package);
    let executable = package.executables.first().expect("one");
    let inputs = inputs(executable, 9);
    let chip = driver.run(executable, &inputs).expect("an inference");
    assert_eq!(plain(executable, &chip), expected(executable, &inputs));
    host.assert_clean();
}

#[test]
fn models_of_one_token_stay_and_others_evict() {
    let (_, a) = small(0x77, 1, CACHED, Layout::Tiles);
    let (_, b) = small(0x77, 2, CACHED, Layout::Tiles);
    let (_, other) = small(0x99, 3, CACHED, Layout::Tiles);
    let host = host(application(), &[&a, &b, &other]);
    let mut driver = Driver::open(&host);
    driver.bring_up();
    let run = |driver: &mut Driver, package: &Package, load: bool| {
        let (caching, execution) = pair(package);
        if load {
            driver.run(caching, &[]).expect("parameters");
        }
        let inputs = inputs(execution, 1);
        let chip = driver.run(execution, &inputs).expect("an inference");
        plain(execution, &chip) == expected(execution, &inputs)
    };
    assert!(run(&mut driver, &a, true));
    assert!(run(&mut driver, &b, true));
    assert!(run(&mut driver, &a, false));
    assert!(run(&mut driver, &b, false));
    host.assert_clean();
    assert!(run(&mut driver, &other, true));
    host.assert_clean();
    // The other token's parameters lie over a's: its answer is worthless now.
    assert!(!run(&mut driver, &a, false));
    assert_eq!(rules(&host), [Rule::Residency]);
    assert!(run(&mut driver, &a, true));
    assert_eq!(host.violations().len(), 1);
}

#[test]
fn sleep_and_reset_empty_the_memory() {
    let (_, package) = small(0x77, 1, CACHED, Layout::Tiles);
    let (host, mut driver) = ready(application(), &package);
    let (caching, execution) = pair(&package);
    driver.run(caching, &[]).expect("parameters");
    driver.bring_up();
    driver
        .run(execution, &inputs(execution, 0))
        .expect("an inference");
    assert_eq!(rules(&host), [Rule::Residency]);
    driver.run(caching, &[]).expect("parameters");
    driver.device.reset().expect("a reset");
    drop(driver);
    let mut driver = Driver::open(&host);
    driver.bring_up();
    driver
        .run(execution, &inputs(execution, 0))
        .expect("an inference");
    assert_eq!(host.violations().len(), 2);
}

/// Runs the caching executable with something done to its instructions.
fn with_instructions(change: impl Fn(&Executable, &mut Vec<u8>)) -> Vec<Rule> {
    let (_, package) = small(0x77, 1, 2048, Layout::Tiles);
    let (host, mut driver) = ready(application(), &package);
    let (caching, execution) = pair(&package);
    driver.run(caching, &[]).expect("parameters");
    let mut instructions = link(execution, 0);
    change(execution, &mut instructions);
    driver.stream(0, &instructions).expect("taken");
    let inputs = inputs(execution, 0);
    let mut picture = inputs[0].clone();
    for byte in &mut picture {
        *byte ^= 0x80;
    }
    picture.resize(80, 0);
    if driver.stream(1, &picture).is_ok() {
        driver.stream(1, &inputs[1]).expect("taken");
        driver.stream(2, &execution.parameters).expect("taken");
        let bytes = execution.outputs.iter().map(|l| l.padded_bytes()).sum();
        let _ = driver.outputs(bytes);
    }
    rules(&host)
}

fn set(executable: &Executable, bytes: &mut [u8], target: &Target, half: Half, value: u32) {
    for field in &executable.bitstreams[0].fields {
        if field.target == *target && field.half == half {
            set_field(bytes, field.bit, value);
        }
    }
}

fn input(name: &str) -> Target {
    Target::Input {
        name: name.to_owned(),
        batch: 0,
    }
}

#[test]
fn instructions_and_addresses_are_judged() {
    assert_eq!(with_instructions(|_, _| {}), []);
    // The last byte is no field's.
    let changed = with_instructions(|_, bytes| *bytes.last_mut().expect("bytes") ^= 1);
    assert_eq!(changed, [Rule::Instructions]);
    let unpatched = with_instructions(|e, bytes| *bytes = e.bitstreams[0].bytes.clone());
    assert_eq!(unpatched, [Rule::Address]);
    let misaligned =
        with_instructions(|e, b| set(e, b, &Target::Parameters, Half::Low, 0x3000_0004));
    assert_eq!(misaligned, [Rule::Address]);
    let overlapping = with_instructions(|e, b| {
        for name in ["picture", "more"] {
            set(e, b, &input(name), Half::Low, 0x3000_0000);
            set(e, b, &input(name), Half::High, 1);
        }
    });
    assert_eq!(overlapping, [Rule::Address]);
}

#[test]
fn streams_out_of_order_and_of_wrong_content_are_judged() {
    let (_, package) = small(0x77, 1, 2048, Layout::Tiles);
    let (caching, execution) = pair(&package);

    // Parameters with one bit wrong: found, and the output is worthless.
    let (host, mut driver) = ready(application(), &package);
    let mut bad = caching.clone();
    bad.parameters[100] ^= 4;
    driver.run(&bad, &[]).expect("taken");
    driver
        .run(execution, &inputs(execution, 0))
        .expect("an answer");
    assert_eq!(rules(&host), [Rule::Parameters, Rule::Residency]);

    // The second input before the first.
    let (host, mut driver) = ready(application(), &package);
    driver.run(caching, &[]).expect("parameters");
    driver.stream(0, &link(execution, 0)).expect("taken");
    driver.stream(1, &[0; 16]).expect("taken");
    assert_eq!(rules(&host), [Rule::Order]);

    // Data where instructions begin a run.
    let (host, mut driver) = ready(application(), &package);
    driver.stream(2, &caching.parameters).expect("taken");
    assert_eq!(rules(&host), [Rule::Order]);

    // Padding that is not zero.
    let (host, mut driver) = ready(application(), &package);
    driver.run(caching, &[]).expect("parameters");
    driver.stream(0, &link(execution, 0)).expect("taken");
    let mut picture = vec![0x80; 80];
    picture[79] = 1;
    driver.stream(1, &picture).expect("taken");
    driver.stream(1, &[0; 16]).expect("taken");
    driver.stream(2, &execution.parameters).expect("taken");
    let bytes = execution.outputs.iter().map(|l| l.padded_bytes()).sum();
    driver.outputs(bytes).expect("outputs");
    assert_eq!(rules(&host), [Rule::Padding]);
}

#[test]
fn headers_and_chunks_are_judged() {
    let (_, package) = small(0x77, 1, CACHED, Layout::Tiles);
    let (caching, _) = pair(&package);
    for (header, rule) in [
        (vec![4, 0, 0, 0, 3, 0, 0, 0], Rule::Header),
        (vec![4, 0, 0, 0, 0, 0, 1, 0], Rule::Header),
        (vec![0, 0, 0, 0, 0, 0, 0, 0], Rule::Header),
        (vec![4, 0, 0, 0], Rule::Header),
        (Vec::new(), Rule::Chunk),
    ] {
        let (host, mut driver) = ready(application(), &package);
        let _ = driver.out(&header);
        assert_eq!(rules(&host), [rule], "{header:?}");
    }
    // Header and payload in one transfer; and a payload beyond its header's length.
    let (host, mut driver) = ready(application(), &package);
    let length = u32::try_from(caching.bitstreams[0].bytes.len()).expect("small");
    let mut whole = length.to_le_bytes().to_vec();
    whole.extend([0; 4]);
    let header = whole.clone();
    whole.extend(link(caching, 0));
    assert_eq!(driver.out(&whole), Err(TransferError::TimedOut));
    assert_eq!(rules(&host), [Rule::Header]);
    let (host, mut driver) = ready(application(), &package);
    driver.out(&header).expect("taken");
    assert_eq!(
        driver.out(&vec![0; length as usize + 1]),
        Err(TransferError::TimedOut)
    );
    assert_eq!(rules(&host), [Rule::Chunk]);
}

#[test]
fn a_stream_behind_unread_outputs_locks_up_until_reset() {
    let (_, package) = small(0x77, 1, CACHED, Layout::Tiles);
    let (caching, execution) = pair(&package);
    for (overlap, locks) in [
        (Overlap::Deadlocks, true),
        (Overlap::Buffers(1 << 20), false),
    ] {
        let config = Config {
            overlap,
            latency: Latency {
                compute: Duration::from_millis(8),
                ..Latency::default()
            },
            ..application()
        };
        let (host, mut driver) = ready(config, &package);
        driver.run(caching, &[]).expect("parameters");
        let inputs = inputs(execution, 0);
        driver.stream(0, &link(execution, 0)).expect("taken");
        let mut picture = inputs[0].clone();
        for byte in &mut picture {
            *byte ^= 0x80;
        }
        picture.resize(80, 0);
        driver.stream(1, &picture).expect("taken");
        driver.stream(1, &inputs[1]).expect("taken");
        let next = driver.stream(0, &link(execution, 0));
        let bytes = execution.outputs.iter().map(|l| l.padded_bytes()).sum();
        if !locks {
            next.expect("it is buffered");
            driver.outputs(bytes).expect("outputs");
            host.assert_clean();
            continue;
        }
        assert_eq!(next, Err(TransferError::TimedOut));
        assert_eq!(rules(&host), [Rule::Deadlock]);
        driver.device.submit(0x81, vec![0; 1024]);
        let stuck = driver
            .device
            .completion(host.now() + Duration::from_secs(1));
        assert!(stuck.is_none(), "outputs do not come any more");
        driver.device.reset().expect("a reset");
        drop(driver);
        let mut driver = Driver::open(&host);
        driver.bring_up();
        driver.run(caching, &[]).expect("parameters");
        driver.run(execution, &inputs).expect("it works again");
        assert_eq!(host.violations().len(), 1);
    }
}

#[test]
fn bring_up_is_judged() {
    let (_, package) = small(0x77, 1, CACHED, Layout::Tiles);
    // Core registers while it sleeps.
    let sleeping = host(application(), &[&package]);
    let mut driver = Driver::open(&sleeping);
    assert_eq!(
        driver.register(false, true, 0x44018, 0),
        Err(TransferError::Stall)
    );
    assert_eq!(rules(&sleeping), [Rule::Power]);
    // Woken without looking whether it slept.
    let hasty = host(application(), &[&package]);
    let mut driver = Driver::open(&hasty);
    let value = driver.read32(0x1a318);
    driver.write32(0x1a318, value | 0x00c0_0000);
    driver.write32(0x1a318, value & 0x0f3f_ffff | 0x0080_0000);
    assert_eq!(rules(&hasty), [Rule::Power]);
    // Bits that are somebody else's.
    let rude = host(application(), &[&package]);
    let mut driver = Driver::open(&rude);
    driver.write32(0x1a30c, 0);
    assert_eq!(rules(&rude), [Rule::Register]);
    // A register of another width, and one that does not exist.
    let wrong = host(application(), &[&package]);
    let mut driver = Driver::open(&wrong);
    assert!(driver.register(false, true, 0x1a30c, 0).is_err());
    assert!(driver.register(false, false, 0x1a3fc, 0).is_err());
    assert_eq!(wrong.violations().len(), 2);
    // The wrong output chunk for the speed, and no fatal errors: told when streams begin.
    let (host, mut driver) = ready(application(), &package);
    driver.write64(0x4c058, 0x20);
    driver.write64(0x4c060, 0);
    let (caching, _) = pair(&package);
    driver.stream(0, &link(caching, 0)).expect("taken");
    assert_eq!(host.violations().len(), 2);
    assert_eq!(rules(&host), [Rule::BringUp]);
}

#[test]
fn the_device_shows_what_it_is_in_both_states() {
    let device = SimulatedEdgeTpu::new(Config::default(), Registry::default());
    let configuration = device.configuration_descriptor();
    assert_eq!(usize::from(configuration[2]), configuration.len());
    let functional = configuration.windows(2).position(|w| w == [9, 0x21]);
    assert!(functional.is_some(), "a DFU functional descriptor");
    let device = SimulatedEdgeTpu::new(application(), Registry::default());
    let configuration = device.configuration_descriptor();
    assert_eq!(usize::from(configuration[2]), configuration.len());
    for endpoint in [0x01, 0x81, 0x82, 0x83] {
        assert!(configuration.windows(3).any(|w| w == [7, 5, endpoint]));
    }
    assert_eq!(device.device_descriptor().len(), 18);
}

#[test]
fn latency_follows_the_model() {
    let (_, package) = small(0x77, 1, CACHED, Layout::Tiles);
    let (caching, execution) = pair(&package);
    let config = Config {
        latency: Latency {
            compute_of: vec![("model0".to_owned(), Duration::from_micros(2600))],
            ..Latency::coral()
        },
        ..application()
    };
    let (host, mut driver) = ready(config, &package);
    driver.run(caching, &[]).expect("parameters");
    let start = host.now();
    driver
        .run(execution, &inputs(execution, 0))
        .expect("an inference");
    let took = host.now() - start;
    assert!(took >= Duration::from_micros(2600), "{took:?}");
    assert!(took < Duration::from_micros(2800), "{took:?}");
    let computing = host.with("1-1", |d, _| d.figures().computing);
    assert_eq!(computing, Some(Duration::from_micros(2600)));
    // 307,200 bytes: 1.0 ms on USB 3, 7.7 ms on USB 2.
    let latency = Latency::default();
    assert_eq!(
        latency.wire(Speed::Super).time(307_200),
        Duration::from_millis(1)
    );
    assert_eq!(
        latency.wire(Speed::High).time(307_200),
        Duration::from_micros(7680)
    );
    host.assert_clean();
}
