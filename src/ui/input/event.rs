//! `struct input_event` of the kernel (include/uapi/linux/input.h) as bytes, and the codes in use.

use std::time::Duration;

use crate::units::MonotonicTime;

/// Size of `struct input_event`: two longs, two 16-bit words and one of 32.
pub const EVENT_BYTES: usize = 2 * LONG + 8;

const LONG: usize = size_of::<std::ffi::c_long>();

pub(super) const EV_SYN: u16 = 0x00;
pub(super) const EV_KEY: u16 = 0x01;
pub(super) const EV_REL: u16 = 0x02;
pub(super) const EV_ABS: u16 = 0x03;
pub(super) const SYN_REPORT: u16 = 0;
pub(super) const SYN_DROPPED: u16 = 3;
pub(super) const REL_X: u16 = 0x00;
pub(super) const REL_Y: u16 = 0x01;
pub(super) const ABS_X: u16 = 0x00;
pub(super) const ABS_Y: u16 = 0x01;
pub(super) const ABS_MT_SLOT: u16 = 0x2f;
pub(super) const ABS_MT_POSITION_X: u16 = 0x35;
pub(super) const ABS_MT_POSITION_Y: u16 = 0x36;
pub(super) const ABS_MT_TRACKING_ID: u16 = 0x39;
pub(super) const BTN_LEFT: u16 = 0x110;
pub(super) const BTN_TOUCH: u16 = 0x14a;
/// The first code that is a button, not a key.
pub(super) const BTN_MISC: u16 = 0x100;
pub(super) const KEY_ESC: u16 = 1;
pub(super) const KEY_F1: u16 = 59;
pub(super) const KEY_F8: u16 = 66;
pub(super) const KEY_F9: u16 = 67;
pub(super) const KEY_F12: u16 = 88;
pub(super) const KEY_HOME: u16 = 102;
pub(super) const KEY_PAGEUP: u16 = 104;
pub(super) const KEY_LEFT: u16 = 105;
pub(super) const KEY_RIGHT: u16 = 106;
pub(super) const KEY_PAGEDOWN: u16 = 109;
/// The input properties that say what a device is for.
pub(super) const INPUT_PROP_POINTER: u32 = 0;
pub(super) const INPUT_PROP_ACCELEROMETER: u32 = 6;

/// One event as the kernel tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawEvent {
    /// The kernel's stamp, on the clock that was chosen.
    pub at: MonotonicTime,
    /// `EV_…`.
    pub kind: u16,
    /// What of that kind.
    pub code: u16,
    /// How much of it.
    pub value: i32,
}

impl RawEvent {
    /// Reads one `struct input_event` in this machine's byte order; `None` where the stamp is no time.
    #[must_use]
    pub fn parse(bytes: &[u8; EVENT_BYTES]) -> Option<Self> {
        let (seconds, rest) = bytes.split_first_chunk::<LONG>()?;
        let (micros, rest) = rest.split_first_chunk::<LONG>()?;
        let (kind, rest) = rest.split_first_chunk::<2>()?;
        let (code, rest) = rest.split_first_chunk::<2>()?;
        let (value, _) = rest.split_first_chunk::<4>()?;
        let seconds = u64::try_from(std::ffi::c_long::from_ne_bytes(*seconds)).ok()?;
        let micros = u64::try_from(std::ffi::c_long::from_ne_bytes(*micros)).ok()?;
        let at = Duration::from_secs(seconds).checked_add(Duration::from_micros(micros))?;
        Some(Self {
            at: MonotonicTime::from_duration(at),
            kind: u16::from_ne_bytes(*kind),
            code: u16::from_ne_bytes(*code),
            value: i32::from_ne_bytes(*value),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_event_is_read_as_the_kernel_wrote_it() {
        // As `evtest` got it from a touch screen: ABS_MT_POSITION_X 1234 at 12.345678 s.
        let mut bytes = Vec::new();
        bytes.extend(12_i64.to_ne_bytes());
        bytes.extend(345_678_i64.to_ne_bytes());
        bytes.extend(3_u16.to_ne_bytes());
        bytes.extend(0x35_u16.to_ne_bytes());
        bytes.extend(1234_i32.to_ne_bytes());
        let bytes: [u8; EVENT_BYTES] = bytes.try_into().expect("24 bytes");
        let event = RawEvent {
            at: MonotonicTime::from_duration(Duration::from_micros(12_345_678)),
            kind: EV_ABS,
            code: ABS_MT_POSITION_X,
            value: 1234,
        };
        assert_eq!(RawEvent::parse(&bytes), Some(event));
    }

    #[test]
    fn a_stamp_before_the_epoch_is_no_time() {
        let mut bytes = [0; EVENT_BYTES];
        bytes[..LONG].copy_from_slice(&(-1 as std::ffi::c_long).to_ne_bytes());
        assert_eq!(RawEvent::parse(&bytes), None);
    }
}
