//! Everything that can go wrong, at every transfer from power-up to the second inference.

use std::time::Duration;

use andon_tpu_sim::device::Config;
use andon_tpu_sim::fault::{Fault, Trigger};
use andon_tpu_sim::violation::{Rule, Violation};

use crate::rig::{FRAME, PORT, Rig, small};

/// Frames within which the device is back after a fault that passes.
const BACK_WITHIN: usize = 900;

fn rig() -> Rig {
    Rig::new(Config::default(), &[small(7, 1, 2048)])
}

/// Transfers from power-up through some inferences.
fn transfers() -> u64 {
    let mut rig = rig();
    rig.device.start(Duration::from_secs(10)).unwrap();
    for _ in 0..2 {
        rig.run(0).unwrap();
    }
    rig.host.assert_clean();
    rig.transfers()
}

/// The device fails in this way once; outputs are right or there is an error, and it comes back.
/// Says what is wrong with that.
fn survives(trigger: Trigger, fault: &Fault) -> Result<(), String> {
    let mut rig = rig();
    rig.script(trigger, fault.clone());
    // The start may fail; inferences then bring the device into service. Reads that were told to go
    // wrong may wait for some inferences.
    let _ = rig.device.start(Duration::from_secs(10));
    for _ in 0..14 {
        let _ = rig.run(0);
        rig.next_frame();
    }
    let what = format!("{fault:?} at {trigger:?}");
    if rig.until_success(BACK_WITHIN).is_none() {
        let events: Vec<String> = std::iter::from_fn(|| rig.device.take_event())
            .map(|event| event.to_string())
            .collect();
        return Err(format!("{what}: never back: {}", events.join("; ")));
    }
    for _ in 0..3 {
        rig.run(0)
            .map_err(|error| format!("{what}, afterwards: {error}"))?;
    }
    // A boot loader that hangs or reads back wrong leaves nothing but a reset, which starts what it has;
    // that is then not worked with. A boot loader that the script put into its error state is in it when
    // the next block comes.
    let sent_again = std::iter::from_fn(|| rig.device.take_event())
        .any(|event| event.to_string().contains("made to take firmware again"));
    let excused = |violation: &Violation| {
        violation.rule == Rule::Dfu && (sent_again || matches!(fault, Fault::DfuStatus(_)))
    };
    match rig.host.violations().iter().find(|one| !excused(one)) {
        None => Ok(()),
        Some(first) => Err(format!("{what}: {first}")),
    }
}

fn all_survive(cases: impl Iterator<Item = (Trigger, Fault)>) {
    let wrong: Vec<String> = cases
        .filter_map(|(trigger, fault)| survives(trigger, &fault).err())
        .collect();
    assert!(
        wrong.is_empty(),
        "{} cases:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(30)].join("\n")
    );
}

fn at_every_transfer(faults: &[Fault]) {
    let transfers = transfers();
    assert!(transfers > 140, "{transfers}");
    let cases = faults
        .iter()
        .flat_map(|fault| (0..transfers).map(|n| (Trigger::Transfer(n), fault.clone())));
    all_survive(cases);
}

#[test]
fn refused_broken_and_lost_transfers() {
    at_every_transfer(&[Fault::Stall, Fault::Broken, Fault::Never]);
}

#[test]
fn late_and_short_transfers() {
    at_every_transfer(&[
        Fault::Delay(Duration::from_millis(40)),
        Fault::Delay(Duration::from_millis(900)),
        Fault::Short(0),
        Fault::Short(3),
    ]);
}

#[test]
fn unplugged_and_back_in_the_boot_loader() {
    at_every_transfer(&[
        Fault::Unplug(Some(Duration::from_millis(400))),
        Fault::FallIntoDfu,
    ]);
}

#[test]
fn hangs_and_fatal_errors() {
    at_every_transfer(&[
        Fault::Hang(false),
        Fault::Fatal(0x40),
        Fault::Interrupt(0x1),
        Fault::Interrupt(0x4),
        Fault::Interrupt(0x10),
    ]);
}

#[test]
fn firmware_that_is_not_taken() {
    at_every_transfer(&[Fault::DfuCorrupt, Fault::DfuStatus(3)]);
}

#[test]
fn a_power_state_that_never_follows_ends_in_a_quarantine() {
    for number in (0..transfers()).step_by(7) {
        let mut rig = rig();
        rig.script(Trigger::Transfer(number), Fault::PowerSticks);
        let _ = rig.device.start(Duration::from_secs(10));
        // Where it runs already, something has to make it begin anew.
        let later = rig.transfers().max(number) + 1;
        rig.script(Trigger::Transfer(later), Fault::Unplug(Some(FRAME)));
        for _ in 0..3 {
            let _ = rig.run(0);
            rig.next_frame();
        }
        assert_eq!(rig.until_success(400), None);
        let events = rig.events();
        assert!(events.contains(&"quarantined"), "{events:?}");
        rig.host.assert_clean();
    }
}

#[test]
fn events_that_do_not_come_or_come_wrong() {
    let of_events = [
        Fault::DropEvent,
        Fault::RepeatEvent(2),
        Fault::RepeatEvent(9),
        Fault::Delay(Duration::from_millis(40)),
        Fault::Delay(Duration::from_millis(900)),
        Fault::Short(0),
        Fault::Short(15),
        Fault::Garbage(vec![0; 16]),
        Fault::Garbage(vec![0xff; 16]),
        Fault::Garbage(vec![4; 17]),
        Fault::Unplug(Some(Duration::from_millis(400))),
        Fault::Fatal(0x40),
    ];
    let of_inferences = [
        Fault::EarlyEvent,
        Fault::Hang(false),
        Fault::Fatal(1),
        Fault::Unplug(Some(Duration::from_millis(400))),
    ];
    let events = (0..3).flat_map(|n| of_events.clone().map(|fault| (Trigger::Event(n), fault)));
    let inferences = (0..2).flat_map(|n| {
        of_inferences
            .clone()
            .map(|fault| (Trigger::Inference(n), fault))
    });
    all_survive(events.chain(inferences));
}

#[test]
fn a_device_that_only_its_plug_can_help_is_left_alone_and_taken_back() {
    let mut rig = rig();
    rig.device.start(Duration::from_secs(10)).unwrap();
    rig.run(0).unwrap();
    rig.script(Trigger::Transfer(rig.transfers()), Fault::Hang(true));
    assert_eq!(rig.until_success(900), None);
    let events = rig.events();
    for word in ["failed", "measure", "quarantined"] {
        assert!(events.contains(&word), "{events:?}");
    }
    let _ = rig.host.with(PORT, |device, now| {
        device.unplug(now, Some(now + Duration::from_secs(1)));
    });
    assert!(rig.until_success(4_000).is_some());
    rig.host.assert_clean();
}

#[test]
fn a_device_that_a_reset_kills_is_taken_back_when_it_is_plugged_in() {
    let mut rig = rig();
    rig.device.start(Duration::from_secs(10)).unwrap();
    rig.script(Trigger::Transfer(rig.transfers()), Fault::ResetKills);
    rig.script(Trigger::Transfer(rig.transfers() + 1), Fault::Hang(false));
    assert_eq!(rig.until_success(60), None);
    let _ = rig.host.with(PORT, |device, now| device.plug_in(now));
    assert!(rig.until_success(4_000).is_some());
    rig.host.assert_clean();
}
