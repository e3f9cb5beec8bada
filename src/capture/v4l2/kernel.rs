//! The part of the kernel's video capture interface that this program speaks, as two traits: tests put
//! a device behind them that checks how it is spoken to and fails where it is told to.
//!
//! Words as in the kernel's documentation (`userspace-api/media/v4l`). Every call returns at once;
//! only [`Node::wait`] waits, with a deadline.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use arrayvec::ArrayVec;

use super::identity::Identity;
use super::v4l2_sys::Mapping;
use crate::geometry::Size;
use crate::units::MonotonicTime;

/// Most memories of one buffer (`VIDEO_MAX_PLANES`).
pub(super) const MEMORIES_MAX: usize = 8;

/// One capture node of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `/dev/videoN`, for now.
    pub(super) path: PathBuf,
    /// What it is, whatever its number.
    pub(super) identity: Identity,
}

/// The video nodes of a machine, and its clock.
pub(super) trait Cameras: Send + fmt::Debug {
    /// Every video node there is now, in the order of their numbers.
    fn places(&self) -> Vec<Place>;

    /// The node that a path leads to: links are followed.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf>;

    /// Opens a node and asks what it is.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Node>>;

    /// The clock of the driver's timestamps, `CLOCK_MONOTONIC`.
    fn now(&self) -> MonotonicTime;

    /// Waits.
    fn sleep(&self, span: Duration);
}

/// Which of the two forms of the interface a node speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    /// Every buffer is one memory.
    SinglePlanar,
    /// Buffers may consist of several memories (`V4L2_CAP_VIDEO_CAPTURE_MPLANE`).
    MultiPlanar,
}

/// What a node says of itself (`VIDIOC_QUERYCAP`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Capabilities {
    /// `uvcvideo`.
    pub(super) driver: String,
    /// `HD Pro Webcam C920`.
    pub(super) card: String,
    /// `usb-0000:00:14.0-1`.
    pub(super) bus: String,
    /// How it captures; `None` where it does not: an output, metadata, a radio.
    pub(super) capture: Option<Api>,
    /// Whether it hands out buffers (`V4L2_CAP_STREAMING`).
    pub(super) streaming: bool,
}

/// Four characters that name a pixel format.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FourCc(pub(super) [u8; 4]);

impl FourCc {
    pub(super) const fn from_u32(value: u32) -> Self {
        Self(value.to_le_bytes())
    }

    pub(super) const fn to_u32(self) -> u32 {
        u32::from_le_bytes(self.0)
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.0.iter().map(|byte| char::from(*byte)).collect();
        f.write_str(text.replace(char::is_control, "?").trim_end())
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Seconds from one frame to the next, as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) numerator: u32,
    pub(super) denominator: u32,
}

impl Interval {
    /// Frames per second; `None` for a fraction that is no time.
    pub(super) fn rate(self) -> Option<f64> {
        (self.numerator > 0 && self.denominator > 0)
            .then(|| f64::from(self.denominator) / f64::from(self.numerator))
    }

    /// The interval of so many frames per second, to a thousandth of a frame.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rates are 0.1 to 1000"
    )]
    pub(super) fn of_rate(rate: f64) -> Self {
        Self {
            numerator: 1000,
            denominator: (rate.clamp(0.1, 1000.0) * 1000.0).round() as u32,
        }
    }
}

/// A pixel format that a node offers (`VIDIOC_ENUM_FMT`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FormatDescription {
    pub(super) fourcc: FourCc,
    /// In the driver's words.
    pub(super) description: String,
}

/// Picture sizes of a format (`VIDIOC_ENUM_FRAMESIZES`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameSize {
    /// One of a list.
    Discrete(Size),
    /// From the least to the most in steps.
    Range { least: Size, most: Size, step: Size },
}

/// Frame intervals of a format and size (`VIDIOC_ENUM_FRAMEINTERVALS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameInterval {
    /// One of a list.
    Discrete(Interval),
    /// From the shortest to the longest.
    Range {
        shortest: Interval,
        longest: Interval,
    },
}

/// One memory's part of a format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MemoryFormat {
    /// Bytes from row to row of its first plane; 0 where the driver does not say.
    pub(super) bytesperline: u32,
    /// Bytes of a picture.
    pub(super) sizeimage: u32,
}

/// Colour as the driver tells it: numbers of `enum v4l2_colorspace` and its companions; 0 means
/// "what is usual".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Colour {
    pub(super) colorspace: u32,
    pub(super) ycbcr_enc: u32,
    pub(super) quantization: u32,
}

/// A picture format (`VIDIOC_S_FMT`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) size: Size,
    pub(super) fourcc: FourCc,
    /// `enum v4l2_field`.
    pub(super) field: u32,
    pub(super) memories: ArrayVec<MemoryFormat, MEMORIES_MAX>,
    pub(super) colour: Colour,
}

/// Where a memory of a buffer is to be mapped from (`VIDIOC_QUERYBUF`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemoryPlace {
    pub(super) length: usize,
    pub(super) offset: u32,
}

/// Where a buffer's memories are.
pub(super) type MemoryPlaces = ArrayVec<MemoryPlace, MEMORIES_MAX>;

/// What the driver says of the time of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// `CLOCK_MONOTONIC`.
    Monotonic(MonotonicTime),
    /// Some other clock, or nobody knows.
    Other,
}

/// A buffer that the driver has filled (`VIDIOC_DQBUF`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filled {
    pub(super) index: u32,
    pub(super) sequence: u32,
    pub(super) stamp: Stamp,
    /// The driver knows that the picture is damaged (`V4L2_BUF_FLAG_ERROR`).
    pub(super) error: bool,
    /// Bytes of picture in each memory.
    pub(super) used: ArrayVec<usize, MEMORIES_MAX>,
    /// Whether a memory's picture does not begin at its beginning (`data_offset`).
    pub(super) displaced: bool,
}

/// What there is to do with a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ready {
    /// A filled buffer, or an error that dequeuing will tell.
    pub(super) buffer: bool,
    /// An event.
    pub(super) event: bool,
    /// The node is broken or gone.
    pub(super) error: bool,
}

/// An event of a node (`VIDIOC_DQEVENT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeEvent {
    /// What the camera delivers has another size or rate now.
    SourceChange,
    /// Something else.
    Other,
}

/// What kind of value a control has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ControlKind {
    Integer,
    Boolean,
    /// One of several, by number or name.
    Menu,
    /// One of several, by number or value.
    IntegerMenu,
    /// Does something when written.
    Button,
    Bitmask,
    /// A headline, not a control.
    Class,
    /// Text, an array, a structure: nothing that a configuration can write.
    Compound,
}

/// A control of a node (`VIDIOC_QUERY_EXT_CTRL`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) kind: ControlKind,
    pub(super) least: i64,
    pub(super) most: i64,
    pub(super) step: u64,
    pub(super) default: i64,
    /// Switched off for good, or only to be read.
    pub(super) fixed: bool,
    /// Without effect while another control is as it is.
    pub(super) inactive: bool,
}

/// An open video node. Closed when dropped.
pub(super) trait Node: Send + fmt::Debug {
    /// What it is.
    fn capabilities(&self) -> &Capabilities;

    /// The pixel format number `index`; `EINVAL` beyond the last.
    fn describe_format(&self, index: u32) -> io::Result<FormatDescription>;

    /// The picture size number `index` of a format.
    fn frame_size(&self, fourcc: FourCc, index: u32) -> io::Result<FrameSize>;

    /// The interval number `index` of a format and size.
    fn frame_interval(&self, fourcc: FourCc, size: Size, index: u32) -> io::Result<FrameInterval>;

    /// Asks for a format; gives the one that the driver made of it.
    fn set_format(&self, size: Size, fourcc: FourCc) -> io::Result<Format>;

    /// Asks for a frame interval; gives the one in force then.
    fn set_interval(&self, interval: Interval) -> io::Result<Interval>;

    /// Asks for buffers of the driver's memory; gives their number. 0 frees them all.
    fn request_buffers(&self, count: u32) -> io::Result<u32>;

    /// Where a buffer's memories are.
    fn query_buffer(&self, index: u32) -> io::Result<MemoryPlaces>;

    /// Maps a memory for reading.
    fn map(&self, place: MemoryPlace) -> io::Result<Mapping>;

    /// A memory of a buffer as a dmabuf.
    fn export(&self, index: u32, memory: u32) -> io::Result<OwnedFd>;

    /// Hands a buffer of so many memories to the driver.
    fn queue(&self, index: u32, memories: usize) -> io::Result<()>;

    /// Takes a filled buffer; `EAGAIN` where there is none.
    fn dequeue(&self) -> io::Result<Filled>;

    /// Starts capturing.
    fn stream_on(&self) -> io::Result<()>;

    /// Stops capturing; no buffer is queued any more.
    fn stream_off(&self) -> io::Result<()>;

    /// Waits for a buffer or an event, no longer than `timeout`.
    fn wait(&self, timeout: Duration) -> io::Result<Ready>;

    /// Asks for [`NodeEvent::SourceChange`]; few drivers have it.
    fn subscribe_source_change(&self) -> io::Result<()>;

    /// Takes an event.
    fn take_event(&self) -> io::Result<NodeEvent>;

    /// The control with the next higher id; `EINVAL` after the last.
    fn next_control(&self, after: u32) -> io::Result<Control>;

    /// Name or value of item `index` of a menu, in words; `EINVAL` for one that there is not.
    fn menu_item(&self, control: &Control, index: u32) -> io::Result<String>;

    /// A control's value.
    fn get_control(&self, id: u32) -> io::Result<i64>;

    /// Sets a control.
    fn set_control(&self, id: u32, value: i64) -> io::Result<()>;
}
