//! Touch screens, mice and keyboards, by the kernel's evdev interface
//! (Documentation/input/event-codes.rst, multi-touch-protocol.rst).
//!
//! ```text
//!   /dev/input/eventN ──bytes──▶ RawEvent ──▶ Decoder ──InputEvent──▶ the ui thread's page
//!                       Device               (pure)
//! ```
//!
//! [`Inputs`] finds devices, opens those that somebody could operate the picture with, notices when
//! they come and go, and reads them without ever blocking on one. Nothing is grabbed: another program
//! may listen, too. Events carry the kernel's own stamps on `CLOCK_MONOTONIC`, so that whoever is slow
//! to read them still knows when a finger came and left. Belongs to the input thread.

mod decode;
mod device;
mod evdev_sys;
mod event;
mod inputs;

use crate::geometry::{Point, Space};
use crate::units::MonotonicTime;

pub use decode::Decoder;
pub use device::{Abilities, AxisRange, Device, InputError, Pointing};
pub use event::{EVENT_BYTES, RawEvent};
pub use inputs::Inputs;

/// Shares of the screen, 0..=1 both ways: a touch panel covers the whole of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ScreenShare;
impl Space for ScreenShare {}

/// Which device an event comes from; a number is never used twice in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub u32);

/// What somebody did at a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InputEvent {
    /// When, by the kernel's stamp.
    pub at: MonotonicTime,
    /// With what.
    pub device: DeviceId,
    /// What.
    pub action: Action,
}

/// Down or up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// Pressed.
    Down,
    /// Let go.
    Up,
}

/// What a finger does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// It comes.
    Down,
    /// It slides.
    Move,
    /// It leaves.
    Up,
}

/// What somebody did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// A finger on a touch screen. One finger keeps its `finger` number from down to up.
    Touch {
        /// Which.
        finger: u8,
        /// What it does.
        touch: Touch,
        /// Where.
        at: Point<ScreenShare>,
    },
    /// A mouse was moved by so many of its counts, right and down.
    MouseBy {
        /// Right.
        dx: i32,
        /// Down.
        dy: i32,
    },
    /// A pointer that knows its place (a tablet, a virtual machine's mouse).
    MouseTo(Point<ScreenShare>),
    /// The main button of a mouse.
    Button(Push),
    /// A key.
    Key(Key, Push),
    /// What was down at this device is down no more, or nobody knows: it was unplugged, or events of
    /// it were lost. Nothing that was begun there may be finished.
    Lost,
}

/// The keys that mean something here, and the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// F1 to F8, counted from 1.
    Page(u8),
    /// F9.
    Acknowledge,
    /// F12.
    Reset,
    /// Arrow left, page up.
    Previous,
    /// Arrow right, page down.
    Next,
    /// Escape, home.
    Home,
    /// Any other. It means nothing, but a key that is down beside another one spoils that one's press.
    Other,
}
