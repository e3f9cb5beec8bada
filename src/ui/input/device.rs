//! One input device: what it is good for, and its bytes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::libc;

use super::evdev_sys::{self, Axes, Description};
use super::event::{
    ABS_MT_POSITION_X, ABS_MT_POSITION_Y, ABS_MT_SLOT, ABS_X, ABS_Y, BTN_LEFT, BTN_TOUCH,
    EVENT_BYTES, INPUT_PROP_ACCELEROMETER, INPUT_PROP_POINTER, KEY_F1, KEY_F12, REL_X, REL_Y,
    RawEvent,
};
use super::{Decoder, DeviceId, InputEvent};

/// Events read at once; the kernel's buffer holds 64 of most devices.
const EVENTS_AT_ONCE: usize = 64;

/// Reads of one device in a row, so that one that never stops starves nobody.
const READS_MAX: usize = 8;

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It cannot be opened.
    #[error("cannot open {}: {source}; is the user in the group input?", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It does not answer as an input device does.
    #[error("cannot ask {}: {source}", path.display())]
    Ask {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be read, or was unplugged.
    #[error("{} ({name}) is gone: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What it called itself.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

/// From where to where an axis goes, both included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AxisRange {
    /// Left or top.
    pub least: i32,
    /// Right or bottom.
    pub most: i32,
}

impl AxisRange {
    /// Where in the range a value lies, 0..=1; a range without extent is all 0.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        reason = "panels have some ten thousand steps, far below 2^24"
    )]
    pub fn share(self, value: i32) -> f32 {
        let extent = i64::from(self.most) - i64::from(self.least);
        if extent <= 0 {
            return 0.0;
        }
        let offset = i64::from(value) - i64::from(self.least);
        (offset as f32 / extent as f32).clamp(0.0, 1.0)
    }
}

/// How a device points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pointing {
    /// A touch screen that tells fingers apart.
    Fingers([AxisRange; 2]),
    /// A touch screen that knows one finger.
    Finger([AxisRange; 2]),
    /// A mouse.
    Mouse,
    /// A mouse that knows where on the screen it is.
    Tablet([AxisRange; 2]),
}

/// What of a device is of use here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// How it points, if it does.
    pub pointing: Option<Pointing>,
    /// Whether it has function keys.
    pub keys: bool,
}

impl Abilities {
    fn of(
        description: &Description,
        ranges: impl Fn(Axes) -> io::Result<[AxisRange; 2]>,
    ) -> io::Result<Self> {
        let Description {
            properties,
            keys,
            relative,
            absolute,
            ..
        } = description;
        let property = |bit: u32| {
            let bytes = u32::from_le_bytes(properties.0);
            bytes & (1 << bit) != 0
        };
        // A touch pad moves a pointer and is no screen; an accelerometer has axes and is no device of
        // ours at all.
        let pad = property(INPUT_PROP_POINTER) && keys.has(BTN_TOUCH);
        let pointing = if property(INPUT_PROP_ACCELEROMETER) || pad {
            None
        } else if [ABS_MT_SLOT, ABS_MT_POSITION_X, ABS_MT_POSITION_Y]
            .into_iter()
            .all(|axis| absolute.has(axis))
        {
            Some(Pointing::Fingers(ranges(Axes::MultiTouch)?))
        } else if absolute.has(ABS_X) && absolute.has(ABS_Y) && keys.has(BTN_TOUCH) {
            Some(Pointing::Finger(ranges(Axes::Single)?))
        } else if absolute.has(ABS_X) && absolute.has(ABS_Y) && keys.has(BTN_LEFT) {
            Some(Pointing::Tablet(ranges(Axes::Single)?))
        } else if relative.has(REL_X) && relative.has(REL_Y) && keys.has(BTN_LEFT) {
            Some(Pointing::Mouse)
        } else {
            None
        };
        Ok(Self {
            pointing,
            keys: keys.has(KEY_F1) && keys.has(KEY_F12),
        })
    }

    /// Whether anybody could operate the picture with it.
    #[must_use]
    pub const fn are_any(self) -> bool {
        self.pointing.is_some() || self.keys
    }
}

/// An open device.
#[derive(Debug)]
pub struct Device {
    path: PathBuf,
    name: String,
    file: File,
    abilities: Abilities,
    decoder: Decoder,
}

impl Device {
    /// Opens a device for reading; `None` where nobody could operate the picture with it.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or is no input device.
    pub fn open(path: &Path, id: DeviceId) -> Result<Option<Self>, InputError> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)
            .map_err(|source| InputError::Open {
                path: path.to_owned(),
                source,
            })?;
        let asked = |source| InputError::Ask {
            path: path.to_owned(),
            source,
        };
        let description = evdev_sys::describe(&file).map_err(asked)?;
        let ranges = |axes| evdev_sys::ranges(&file, axes);
        let abilities = Abilities::of(&description, ranges).map_err(asked)?;
        if !abilities.are_any() {
            return Ok(None);
        }
        evdev_sys::stamp_monotonic(&file).map_err(asked)?;
        let mut decoder = Decoder::new(id, abilities);
        if let Some(Pointing::Fingers(_)) = abilities.pointing {
            decoder.resume_at_slot(evdev_sys::current_slot(&file).map_err(asked)?);
        }
        Ok(Some(Self {
            path: path.to_owned(),
            name: description.name,
            file,
            abilities,
            decoder,
        }))
    }

    /// Its device file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it calls itself.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is, in words.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match (self.abilities.pointing, self.abilities.keys) {
            (Some(Pointing::Fingers(_) | Pointing::Finger(_)), _) => "touch screen",
            (Some(Pointing::Mouse | Pointing::Tablet(_)), false) => "mouse",
            (Some(Pointing::Mouse | Pointing::Tablet(_)), true) => "mouse and keyboard",
            (None, _) => "keyboard",
        }
    }

    /// Hands what came to `told`; never waits.
    ///
    /// # Errors
    ///
    /// It cannot be read any more: unplugged, mostly.
    pub fn read(&mut self, told: &mut impl FnMut(InputEvent)) -> Result<(), InputError> {
        let mut bytes = [0; EVENTS_AT_ONCE * EVENT_BYTES];
        for _ in 0..READS_MAX {
            let length = match self.file.read(&mut bytes) {
                Ok(0) => return Err(self.gone(io::ErrorKind::UnexpectedEof.into())),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.gone(error)),
            };
            let read = bytes.get(..length).unwrap_or_default();
            // The kernel hands over whole events only.
            for event in read.as_chunks::<EVENT_BYTES>().0 {
                let torn = self.decoder.is_torn();
                if let Some(event) = RawEvent::parse(event) {
                    self.decoder.feed(event, told);
                }
                if torn && !self.decoder.is_torn() {
                    let slot = evdev_sys::current_slot(&self.file).unwrap_or(-1);
                    self.decoder.resume_at_slot(slot);
                }
            }
            if length < bytes.len() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn gone(&self, source: io::Error) -> InputError {
        InputError::Read {
            path: self.path.clone(),
            name: self.name.clone(),
            source,
        }
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::evdev_sys::Bits;
    use super::*;

    fn bits<const BYTES: usize>(codes: &[u16]) -> Bits<BYTES> {
        let mut bits = Bits([0; BYTES]);
        for code in codes {
            bits.0[usize::from(code / 8)] |= 1 << (code % 8);
        }
        bits
    }

    fn abilities(
        properties: &[u16],
        keys: &[u16],
        relative: &[u16],
        absolute: &[u16],
    ) -> Abilities {
        let description = Description {
            name: String::new(),
            properties: bits(properties),
            keys: bits(keys),
            relative: bits(relative),
            absolute: bits(absolute),
        };
        Abilities::of(&description, |_| Ok([RANGE; 2])).expect("ranges are there")
    }

    const RANGE: AxisRange = AxisRange {
        least: 0,
        most: 4095,
    };
    const DIRECT: u16 = 1;

    #[test]
    fn devices_are_told_apart_by_what_they_have() {
        let multi = [
            ABS_X,
            ABS_Y,
            ABS_MT_SLOT,
            ABS_MT_POSITION_X,
            ABS_MT_POSITION_Y,
        ];
        let screen = abilities(&[DIRECT], &[BTN_TOUCH], &[], &multi);
        assert_eq!(screen.pointing, Some(Pointing::Fingers([RANGE; 2])));
        let old = abilities(&[], &[BTN_TOUCH], &[], &[ABS_X, ABS_Y]);
        assert_eq!(old.pointing, Some(Pointing::Finger([RANGE; 2])));
        let virtual_mouse = abilities(&[], &[BTN_LEFT], &[8], &[ABS_X, ABS_Y]);
        assert_eq!(virtual_mouse.pointing, Some(Pointing::Tablet([RANGE; 2])));
        let mouse = abilities(&[], &[BTN_LEFT], &[REL_X, REL_Y], &[]);
        assert_eq!(mouse.pointing, Some(Pointing::Mouse));
        let keyboard = abilities(&[], &[KEY_F1, KEY_F12], &[], &[]);
        assert_eq!((keyboard.pointing, keyboard.keys), (None, true));
    }

    #[test]
    fn what_nobody_operates_a_picture_with_is_left_alone() {
        let multi = [ABS_MT_SLOT, ABS_MT_POSITION_X, ABS_MT_POSITION_Y];
        let pad = abilities(&[0], &[BTN_TOUCH, BTN_LEFT], &[], &multi);
        let power_button = abilities(&[], &[116], &[], &[]);
        let accelerometer = abilities(&[6], &[], &[], &[ABS_X, ABS_Y, 2]);
        let joystick = abilities(&[], &[0x120], &[], &[ABS_X, ABS_Y]);
        for device in [pad, power_button, accelerometer, joystick] {
            assert!(!device.are_any(), "{device:?}");
        }
    }

    #[test]
    fn a_share_of_an_axis_stays_within_the_screen() {
        let share = |value| RANGE.share(value);
        for (value, wanted) in [
            (0, 0.0),
            (4095, 1.0),
            (-5, 0.0),
            (5000, 1.0),
            (i32::MIN, 0.0),
        ] {
            assert!((share(value) - wanted).abs() < 1e-6, "{value}");
        }
        let empty = AxisRange { least: 7, most: 7 };
        assert!(empty.share(7).abs() < 1e-6);
        let whole = AxisRange {
            least: i32::MIN,
            most: i32::MAX,
        };
        assert!((whole.share(0) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn what_is_no_input_device_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("event0");
        let missing = Device::open(&path, DeviceId(0)).expect_err("not there");
        assert!(missing.to_string().contains("event0"), "{missing}");
        std::fs::write(&path, "bytes").expect("a file");
        let plain = Device::open(&path, DeviceId(0)).expect_err("a plain file");
        assert!(matches!(plain, InputError::Ask { .. }), "{plain}");
    }
}
