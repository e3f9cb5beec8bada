#![allow(clippy::unwrap_used, reason = "a failure is the message")]

use super::*;
use crate::tpu::supervise::{Happening, Limits};
use crate::tpu::test_models;
use crate::tpu::usb::fake::{FakeHost, port};
use crate::tpu::usb::transport::Speed;
use crate::tpu::usb::{Usb, UsbOptions};

#[test]
fn models_of_different_tokens_live_apart_and_help_each_other_out() {
    let names = [2, 4, 3].map(|index| test_models::ALL[index]);
    let packages: Option<Vec<_>> = names
        .iter()
        .map(|name| test_models::package(name).map(Arc::new))
        .collect();
    let Some(packages) = packages else {
        return;
    };
    let firmware = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(firmware.path(), vec![0x5a; 1_000]).unwrap();
    let options = UsbOptions {
        firmware: firmware.path().to_owned(),
        ..UsbOptions::default()
    };
    let hosts = [0, 1].map(|_| FakeHost::new(Speed::Super, packages.clone()));
    let members = hosts.iter().map(|host| {
        let usb = Usb::new(Box::new(host.clone()), port(), options.clone());
        Supervised::new(Box::new(usb), Limits::default())
    });
    let mut pool = Pool::new(members.collect()).unwrap();
    pool.start(Duration::from_secs(10)).unwrap();
    let models: Vec<ModelId> = packages.iter().map(|p| pool.load(p).unwrap()).collect();
    assert_eq!(pool.evicting(), []);
    let run = |pool: &mut Pool, model: usize| {
        let layers = &packages[model].main;
        let input = vec![1; layers.inputs[0].actual_bytes()];
        let mut outputs = vec![vec![0; layers.outputs[0].actual_bytes()]];
        pool.run(models[model], &[&input], &mut outputs)
    };
    for model in [0, 1, 2, 0, 1, 2] {
        run(&mut pool, model).unwrap();
    }
    assert_eq!([0, 1].map(|at| hosts[at].world().uploads), [2, 1]);
    while pool.take_event().is_some() {}
    hosts[1].world().unplug();
    assert!(run(&mut pool, 2).is_err(), "the failure is not hidden");
    run(&mut pool, 2).unwrap();
    assert_eq!(hosts[0].world().uploads, 3);
    let events = std::iter::from_fn(|| pool.take_event()).map(|event| event.what);
    assert!(events.collect::<Vec<_>>().contains(&Happening::TakesOver));
    hosts[1].world().now += Duration::from_secs(5);
    let before = hosts[1].world().transfers;
    for _ in 0..20 {
        run(&mut pool, 2).unwrap();
    }
    assert_eq!(
        hosts[1].world().transfers,
        before,
        "no run waits for the other device"
    );
    for _ in 0..40 {
        run(&mut pool, 2).unwrap();
        pool.tick();
        hosts[1].world().now += Duration::from_secs(1);
    }
    assert!(hosts[1].world().runs > 10, "it goes home");
}
