//! An hour of pulled plugs, in simulated time.

use std::time::Duration;

use andon_tpu_sim::device::Config;

use crate::rig::{PORT, Rig, small};

/// Pages of memory that the process keeps, in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn an_hour_of_unplugging_ends_in_service_with_flat_memory() {
    let mut rig = Rig::started(Config::default(), &[small(7, 1, 2048), small(7, 2, 999)]);
    let hour = Duration::from_secs(3_600);
    let mut seed = 1_u64;
    let (mut good, mut bad, mut pulled) = (0_u32, 0_u32, 0_u32);
    let mut early = 0;
    while rig.host.now() < hour {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if (seed >> 33).is_multiple_of(600) {
            // Back at once, after a while, or only after a minute.
            let away = Duration::from_millis([1, 700, 4_000, 60_000][(seed >> 50) as usize % 4]);
            let _ = rig
                .host
                .with(PORT, |device, now| device.unplug(now, Some(now + away)));
            pulled += 1;
        }
        match rig.run((good % 2) as usize) {
            Ok(()) => good += 1,
            Err(_) => bad += 1,
        }
        if seed.is_multiple_of(3) {
            // Somebody reads the events now and then.
            let _ = rig.events();
        }
        rig.next_frame();
        if early == 0 && rig.host.now() > hour / 10 {
            early = resident();
        }
    }
    let late = resident();
    eprintln!(
        "{pulled} times unplugged, {good} inferences good, {bad} refused; {early} bytes after six minutes, {late} after the hour"
    );
    assert!(good > 5_000 && bad > 1_000, "{good} good, {bad} bad");
    assert!(late < early + (1 << 20), "{early} bytes became {late}");
    assert!(rig.until_success(4_000).is_some());
    rig.host.assert_clean();
}
