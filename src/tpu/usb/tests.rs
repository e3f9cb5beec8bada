//! Finding the device again, and the steps of its way into service.

#![allow(clippy::unwrap_used, reason = "a failure is the message")]

use std::time::Duration;

use super::fake::{Detaching, FakeHost, Fault, port};
use super::transport::Speed;
use super::*;

struct Socket {
    host: FakeHost,
    usb: Usb,
    sockets: Sockets,
    _firmware: tempfile::NamedTempFile,
}

impl Socket {
    /// A device after power-up, whose firmware has so many bytes.
    fn new(firmware_bytes: usize) -> Self {
        let host = FakeHost::new(Speed::Super, Vec::new());
        let firmware = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(firmware.path(), vec![0x5a; firmware_bytes]).unwrap();
        let options = UsbOptions {
            firmware: firmware.path().to_owned(),
            ..UsbOptions::default()
        };
        let sockets = Sockets::default();
        Self {
            usb: Usb::new(Box::new(host.clone()), port(), options).among(&sockets),
            host,
            sockets,
            _firmware: firmware,
        }
    }

    /// Steps until it is in service, or a step fails; what each said.
    fn steps(&mut self) -> (Vec<String>, Result<(), TpuError>) {
        let mut said = Vec::new();
        for _ in 0..1_000 {
            match self.usb.advance() {
                Ok(Progress::Ready) => return (said, Ok(())),
                Ok(Progress::Underway(step)) => said.push(step),
                Err(error) => return (said, Err(error)),
            }
            let pause = self.usb.now() + Duration::from_millis(100);
            self.usb.wait_for_change(pause);
        }
        unreachable!("it comes into service, or says why not: {said:?}")
    }
}

#[test]
fn a_long_download_is_many_short_steps() {
    let mut socket = Socket::new(1 << 20);
    let mut longest = Duration::ZERO;
    let mut steps = 0;
    loop {
        let before = socket.usb.now();
        let progress = socket.usb.advance().unwrap();
        longest = longest.max(socket.usb.now().saturating_since(before));
        if progress == Progress::Ready {
            break;
        }
        steps += 1;
        let pause = socket.usb.now() + Duration::from_millis(100);
        socket.usb.wait_for_change(pause);
    }
    // 4096 blocks, three requests of 50 µs each.
    assert!(steps > 10, "{steps}");
    assert!(longest < Duration::from_millis(100), "{longest:?}");
}

#[test]
fn a_device_that_hangs_in_a_download_costs_a_request_and_not_all_of_them() {
    let mut socket = Socket::new(10_783);
    socket.host.world().fault = Some((20, Fault::Hang));
    loop {
        let before = socket.usb.now();
        let result = socket.usb.advance();
        let took = socket.usb.now().saturating_since(before);
        assert!(took < Duration::from_millis(400), "{took:?}");
        if let Err(error) = result {
            assert!(error.to_string().contains("timed out"), "{error}");
            return;
        }
    }
}

#[test]
fn a_device_that_was_moved_is_taken_for_the_one_that_is_missing() {
    let mut socket = Socket::new(1_000);
    socket.steps().1.unwrap();
    socket.host.world().unplug();
    let elsewhere = PortPath("2-2".to_owned());
    socket.host.world().port = elsewhere.clone();
    socket.usb.recover(Measure::Reset).unwrap();
    let (said, result) = socket.steps();
    result.unwrap();
    assert_eq!(socket.usb.identity(), "usb 2-2");
    assert!(
        said.iter()
            .any(|step| step.contains("usb 1-2; this one is taken for it")),
        "{said:?}"
    );
    assert_eq!(*socket.sockets.lock(), [elsewhere]);
}

#[test]
fn another_ones_device_is_not_taken() {
    let mut socket = Socket::new(1_000);
    let elsewhere = PortPath("2-2".to_owned());
    socket.sockets.take(&elsewhere);
    socket.host.world().port = elsewhere;
    for _ in 0..100 {
        let progress = socket.usb.advance().unwrap();
        assert!(
            matches!(progress, Progress::Underway(step) if step.contains("nothing is plugged in"))
        );
        socket.host.world().now += Duration::from_millis(100);
    }
    assert_eq!(socket.usb.identity(), "usb 1-2");
}

#[test]
fn a_device_that_is_listed_and_cannot_be_opened_is_not_waited_for_for_ever() {
    let mut socket = Socket::new(1_000);
    let _ = socket.usb.advance().unwrap();
    socket.host.world().is_ghost = true;
    let begin = socket.usb.now();
    let (_, result) = socket.steps();
    assert!(result.is_err());
    let took = socket.usb.now().saturating_since(begin);
    assert!(took <= RETURN_LIMIT, "{took:?}");
}

#[test]
fn a_device_that_does_not_take_its_firmware_again_is_used_as_it_is() {
    for (detaching, resets) in [
        (Detaching::Obeys, 3),
        (Detaching::Ignores, 3),
        (Detaching::Refuses, 1),
    ] {
        let mut socket = Socket::new(1_000);
        let (_, outcome) = socket.steps();
        outcome.unwrap();
        // Two downloads were not read back, and then it ran all the same.
        socket.usb.unread = 2;
        socket.usb.begin(Stage::Looking);
        socket.host.world().detaching = detaching;
        let before = socket.host.world().resets;
        let (said, outcome) = socket.steps();
        outcome.unwrap();
        assert_eq!(socket.host.world().resets - before, resets, "{said:?}");
        let as_it_is = said.iter().any(|step| step.contains("not read back"));
        assert_eq!(as_it_is, detaching != Detaching::Obeys, "{said:?}");
        assert_eq!((socket.usb.unread, socket.usb.detaches), (0, 0));
    }
}
