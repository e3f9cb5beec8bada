//! The ioctls of evdev (include/uapi/linux/input.h): what a device has, and which clock it stamps with.

#![allow(unsafe_code, reason = "an input device is asked by ioctl")]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use nix::libc::{CLOCK_MONOTONIC, c_int, input_absinfo};

use super::device::AxisRange;
use super::event::{ABS_MT_POSITION_X, ABS_MT_POSITION_Y, ABS_MT_SLOT, ABS_X, ABS_Y};

nix::ioctl_read_buf!(eviocgname, b'E', 0x06, u8);
nix::ioctl_read_buf!(eviocgprop, b'E', 0x09, u8);
nix::ioctl_read_buf!(eviocgbit_key, b'E', 0x21, u8);
nix::ioctl_read_buf!(eviocgbit_rel, b'E', 0x22, u8);
nix::ioctl_read_buf!(eviocgbit_abs, b'E', 0x23, u8);
nix::ioctl_read!(eviocgabs_x, b'E', 0x40 + ABS_X, input_absinfo);
nix::ioctl_read!(eviocgabs_y, b'E', 0x40 + ABS_Y, input_absinfo);
nix::ioctl_read!(eviocgabs_slot, b'E', 0x40 + ABS_MT_SLOT, input_absinfo);
nix::ioctl_read!(
    eviocgabs_mt_x,
    b'E',
    0x40 + ABS_MT_POSITION_X,
    input_absinfo
);
nix::ioctl_read!(
    eviocgabs_mt_y,
    b'E',
    0x40 + ABS_MT_POSITION_Y,
    input_absinfo
);
nix::ioctl_write_ptr!(eviocsclockid, b'E', 0xa0, c_int);

/// A set of codes as the kernel gives it: code N is bit N % 8 of byte N / 8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bits<const BYTES: usize>(pub(super) [u8; BYTES]);

impl<const BYTES: usize> Bits<BYTES> {
    pub(super) fn has(&self, code: u16) -> bool {
        let byte = self.0.get(usize::from(code / 8));
        byte.is_some_and(|byte| byte & (1 << (code % 8)) != 0)
    }
}

/// What the kernel says a device has.
#[derive(Clone, Debug)]
pub(super) struct Description {
    pub(super) name: String,
    pub(super) properties: Bits<4>,
    pub(super) keys: Bits<96>,
    pub(super) relative: Bits<2>,
    pub(super) absolute: Bits<8>,
}

/// Asks a device what it has.
pub(super) fn describe(device: impl AsFd) -> io::Result<Description> {
    let fd = device.as_fd().as_raw_fd();
    let mut name = [0_u8; 128];
    // SAFETY: the descriptor is open for the whole call; the buffer is live and as long as it says.
    unsafe { eviocgname(fd, &mut name)? };
    let mut properties = Bits([0; 4]);
    // SAFETY: as above.
    unsafe { eviocgprop(fd, &mut properties.0)? };
    let mut keys = Bits([0; 96]);
    // SAFETY: as above.
    unsafe { eviocgbit_key(fd, &mut keys.0)? };
    let mut relative = Bits([0; 2]);
    // SAFETY: as above.
    unsafe { eviocgbit_rel(fd, &mut relative.0)? };
    let mut absolute = Bits([0; 8]);
    // SAFETY: as above.
    unsafe { eviocgbit_abs(fd, &mut absolute.0)? };
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(Description {
        name: String::from_utf8_lossy(name).into_owned(),
        properties,
        keys,
        relative,
        absolute,
    })
}

/// Which pair of axes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Axes {
    /// `ABS_X`, `ABS_Y`.
    Single,
    /// `ABS_MT_POSITION_X`, `ABS_MT_POSITION_Y`.
    MultiTouch,
}

/// The ranges of two axes.
pub(super) fn ranges(device: impl AsFd, axes: Axes) -> io::Result<[AxisRange; 2]> {
    let fd = device.as_fd().as_raw_fd();
    let (mut x, mut y) = (empty(), empty());
    match axes {
        Axes::Single => {
            // SAFETY: the descriptor is open for the whole call, and `x` is a live input_absinfo.
            unsafe { eviocgabs_x(fd, &raw mut x)? };
            // SAFETY: as above, for `y`.
            unsafe { eviocgabs_y(fd, &raw mut y)? };
        }
        Axes::MultiTouch => {
            // SAFETY: as above.
            unsafe { eviocgabs_mt_x(fd, &raw mut x)? };
            // SAFETY: as above, for `y`.
            unsafe { eviocgabs_mt_y(fd, &raw mut y)? };
        }
    }
    Ok([x, y].map(|axis| AxisRange {
        least: axis.minimum,
        most: axis.maximum,
    }))
}

/// The slot that the next event of a multi-touch device belongs to.
pub(super) fn current_slot(device: impl AsFd) -> io::Result<i32> {
    let mut slot = empty();
    // SAFETY: the descriptor is open for the whole call, and `slot` is a live input_absinfo.
    unsafe { eviocgabs_slot(device.as_fd().as_raw_fd(), &raw mut slot)? };
    Ok(slot.value)
}

/// Has the device stamp its events with `CLOCK_MONOTONIC`.
pub(super) fn stamp_monotonic(device: impl AsFd) -> io::Result<()> {
    let clock: c_int = CLOCK_MONOTONIC;
    // SAFETY: the descriptor is open for the whole call, and `clock` is a live c_int, which is what
    // this ioctl reads.
    unsafe { eviocsclockid(device.as_fd().as_raw_fd(), &raw const clock)? };
    Ok(())
}

const fn empty() -> input_absinfo {
    input_absinfo {
        value: 0,
        minimum: 0,
        maximum: 0,
        fuzz: 0,
        flat: 0,
        resolution: 0,
    }
}
