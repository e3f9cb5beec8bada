//! The driver's transport over the simulated device: the seam itself, before any driver.

use std::time::Duration;

use andon::tpu::usb::simulated::SimulatedUsb;
use andon::tpu::usb::transport::{
    APPLICATION_ID, DFU_ID, EVENT_IN, OUTPUT_IN, Recipient, RequestKind, STREAM_OUT, Setup,
    TransferError, UsbDevice, UsbHost,
};
use andon_tpu_sim::device::Config;
use andon_tpu_sim::host::SimulatedHost;
use andon_tpu_sim::registry::Registry;
use andon_tpu_sim::violation::Rule;

const SECOND: Duration = Duration::from_secs(1);

fn usb(config: Config) -> SimulatedUsb {
    SimulatedUsb::new(SimulatedHost::with_one(config, Registry::default()))
}

fn open(usb: &mut SimulatedUsb) -> Box<dyn UsbDevice> {
    let listed = usb.devices().expect("a list");
    let mut device = usb
        .open(listed.first().expect("a device"))
        .expect("it opens");
    device.claim(0).expect("interface 0");
    device
}

fn dfu(request: u8, value: u16) -> Setup {
    Setup {
        kind: RequestKind::Class,
        recipient: Recipient::Interface,
        request,
        value,
        index: 0,
    }
}

#[test]
fn firmware_brings_the_device_back_as_another_one_on_the_same_port() {
    let mut usb = usb(Config::default());
    let before = usb.devices().expect("a list");
    assert_eq!(before.first().map(|d| d.id), Some(DFU_ID));
    let mut device = open(&mut usb);
    let mut status = [0; 6];
    for (block, data) in [b"firm".as_slice(), b"ware", b""].into_iter().enumerate() {
        let block = u16::try_from(block).expect("small");
        device
            .control_out(dfu(1, block), data, SECOND)
            .expect("a block");
        assert_eq!(device.control_in(dfu(3, 0), &mut status, SECOND), Ok(6));
    }
    let mut read = [0; 256];
    assert_eq!(device.control_in(dfu(2, 0), &mut read, SECOND), Ok(8));
    assert_eq!(read.get(..8), Some(b"firmware".as_slice()));
    device.reset().expect("a reset");
    drop(device);
    let start = usb.now();
    while usb.devices().expect("a list").is_empty() {
        assert!(usb.wait_for_change(start + 5 * SECOND).expect("watched"));
    }
    let after = usb.devices().expect("a list");
    assert_eq!(after.first().map(|d| d.id), Some(APPLICATION_ID));
    assert_eq!(
        after.first().map(|d| &d.port),
        before.first().map(|d| &d.port)
    );
    assert_ne!(
        after.first().map(|d| d.address),
        before.first().map(|d| d.address)
    );
    usb.host().assert_clean();
}

#[test]
fn every_buffer_comes_back_once_when_the_plug_is_pulled() {
    let mut usb = usb(Config {
        starts_in_dfu: false,
        ..Config::default()
    });
    let mut device = open(&mut usb);
    for _ in 0..32 {
        device.submit(OUTPUT_IN, vec![0; 1024]);
    }
    device.submit(EVENT_IN, vec![0; 1024]);
    let _ = usb
        .host()
        .with("1-1", |device, now| device.unplug(now, None));
    device.submit(STREAM_OUT, vec![0; 8]);
    let deadline = usb.now() + SECOND;
    let mut back = 0;
    while let Some(completion) = device.wait(deadline) {
        assert_eq!(completion.status, Err(TransferError::Disconnected));
        back += 1;
    }
    assert_eq!(back, 34);
    assert_eq!(usb.now(), deadline, "a wait for nothing takes its time");
    assert!(usb.devices().expect("a list").is_empty());
    usb.host().assert_clean();
}

#[test]
fn streams_before_the_chip_runs_are_a_breach_and_get_no_answer() {
    let mut usb = usb(Config {
        starts_in_dfu: false,
        ..Config::default()
    });
    let mut device = open(&mut usb);
    device.submit(STREAM_OUT, vec![4, 0, 0, 0, 0, 0, 0, 0]);
    assert!(device.wait(usb.now() + SECOND).is_none());
    device.cancel(STREAM_OUT);
    let back = device.wait(usb.now() + SECOND).expect("it comes back");
    assert_eq!(back.status, Err(TransferError::Cancelled));
    let rules: Vec<Rule> = usb.host().violations().iter().map(|v| v.rule).collect();
    assert_eq!(rules, [Rule::NotRunning]);
}

#[test]
fn no_libusb_is_among_the_dependencies() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");
    let lock = std::fs::read_to_string(path).expect("the list of dependencies");
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = "));
    let usb: Vec<&str> = names.filter(|name| name.contains("usb")).collect();
    assert_eq!(usb, ["\"nusb\""]);
}
