//! The kernel's video nodes: ioctls, mapped memory, waiting. Thin: one call here is one call there.
//!
//! The crate `v4l` gives the structures, request numbers and the call itself. Its device and stream
//! types are not used: they know neither several memories per buffer nor dmabufs nor buffers that are
//! given back late, and they panic on controls and devices that are unusual or gone.

#![allow(
    unsafe_code,
    reason = "ioctls with structures that hold unions, and mmap"
)]

use std::ffi::c_void;
use std::io;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::time::Duration;

use arrayvec::ArrayVec;
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use v4l::v4l_sys as raw;
use v4l::v4l2;
use v4l2::vidioc;

use super::identity;
use super::kernel::{
    Api, Cameras, Capabilities, Colour, Control, ControlKind, Filled, Format, FormatDescription,
    FourCc, FrameInterval, FrameSize, Interval, MEMORIES_MAX, MemoryFormat, MemoryPlace,
    MemoryPlaces, Node, NodeEvent, Place, Ready, Stamp,
};
use crate::geometry::Size;
use crate::sys::monotonic_now;
use crate::units::MonotonicTime;

/// Memory of a driver, mapped for reading until it is dropped, whatever becomes of the device.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<c_void>,
    length: NonZeroUsize,
}

// SAFETY: a mapping is plain memory; no thread owns it.
unsafe impl Send for Mapping {}

// SAFETY: through a shared reference it is only read.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `length` bytes of `fd` from `offset`.
    pub(super) fn new(fd: &OwnedFd, length: usize, offset: u32) -> io::Result<Self> {
        let length = NonZeroUsize::new(length).ok_or(io::ErrorKind::InvalidData)?;
        let offset = libc::off_t::from(offset);
        // SAFETY: the kernel chooses the address, so that nothing of ours is replaced.
        let start = unsafe {
            mmap(
                None,
                length,
                ProtFlags::PROT_READ,
                MapFlags::MAP_SHARED,
                fd,
                offset,
            )
        }?;
        Ok(Self { start, length })
    }

    /// The bytes. Whoever reads them makes sure that the device does not write them meanwhile: its
    /// buffer is not queued (see [`crate::frame::DeviceMemory`]).
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: `length` bytes from `start` are mapped for reading as long as `self` lives, and the
        // device leaves them alone while its buffer is with us.
        unsafe { std::slice::from_raw_parts(self.start.cast().as_ptr(), self.length.get()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length, and nobody has a reference any more.
        let unmapped = unsafe { munmap(self.start, self.length.get()) };
        if let Err(error) = unmapped {
            log::error!("munmap of a camera's buffer: {error}");
        }
    }
}

/// A structure of `linux/videodev2.h` of which all zeros is a valid value.
///
/// # Safety
///
/// Only for plain C structures: integers, arrays and unions of them, nullable pointers.
unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($structure:ident),* $(,)?) => {
        $(
            // SAFETY: a C structure of integers, unions of integers and nullable pointers.
            unsafe impl Plain for raw::$structure {}
        )*
    };
}

plain!(
    v4l2_capability,
    v4l2_fmtdesc,
    v4l2_frmsizeenum,
    v4l2_frmivalenum,
    v4l2_format,
    v4l2_streamparm,
    v4l2_requestbuffers,
    v4l2_buffer,
    v4l2_plane,
    v4l2_exportbuffer,
    v4l2_event,
    v4l2_event_subscription,
    v4l2_query_ext_ctrl,
    v4l2_querymenu,
    v4l2_ext_control,
    v4l2_ext_controls,
);

// SAFETY: an integer.
unsafe impl Plain for libc::c_int {}

fn zeroed<T: Plain>() -> T {
    // SAFETY: all zeros is a valid value of every `Plain`.
    unsafe { std::mem::zeroed() }
}

/// An ioctl's number together with the structure that it takes.
struct Request<T>(vidioc::_IOC_TYPE, PhantomData<T>);

macro_rules! requests {
    ($($name:ident: $structure:ty = $number:expr;)*) => {
        $(const $name: Request<$structure> = Request($number, PhantomData);)*
    };
}

#[allow(
    clippy::unnecessary_cast,
    reason = "request numbers have another type with another C library"
)]
const DQEVENT: vidioc::_IOC_TYPE =
    nix::request_code_read!(b'V', 89, size_of::<raw::v4l2_event>()) as vidioc::_IOC_TYPE;

#[allow(
    clippy::unnecessary_cast,
    reason = "request numbers have another type with another C library"
)]
const SUBSCRIBE_EVENT: vidioc::_IOC_TYPE =
    nix::request_code_write!(b'V', 90, size_of::<raw::v4l2_event_subscription>())
        as vidioc::_IOC_TYPE;

requests! {
    VIDIOC_QUERYCAP: raw::v4l2_capability = vidioc::VIDIOC_QUERYCAP;
    VIDIOC_ENUM_FMT: raw::v4l2_fmtdesc = vidioc::VIDIOC_ENUM_FMT;
    VIDIOC_ENUM_FRAMESIZES: raw::v4l2_frmsizeenum = vidioc::VIDIOC_ENUM_FRAMESIZES;
    VIDIOC_ENUM_FRAMEINTERVALS: raw::v4l2_frmivalenum = vidioc::VIDIOC_ENUM_FRAMEINTERVALS;
    VIDIOC_S_FMT: raw::v4l2_format = vidioc::VIDIOC_S_FMT;
    VIDIOC_S_PARM: raw::v4l2_streamparm = vidioc::VIDIOC_S_PARM;
    VIDIOC_REQBUFS: raw::v4l2_requestbuffers = vidioc::VIDIOC_REQBUFS;
    VIDIOC_QUERYBUF: raw::v4l2_buffer = vidioc::VIDIOC_QUERYBUF;
    VIDIOC_EXPBUF: raw::v4l2_exportbuffer = vidioc::VIDIOC_EXPBUF;
    VIDIOC_QBUF: raw::v4l2_buffer = vidioc::VIDIOC_QBUF;
    VIDIOC_DQBUF: raw::v4l2_buffer = vidioc::VIDIOC_DQBUF;
    VIDIOC_STREAMON: libc::c_int = vidioc::VIDIOC_STREAMON;
    VIDIOC_STREAMOFF: libc::c_int = vidioc::VIDIOC_STREAMOFF;
    VIDIOC_DQEVENT: raw::v4l2_event = DQEVENT;
    VIDIOC_SUBSCRIBE_EVENT: raw::v4l2_event_subscription = SUBSCRIBE_EVENT;
    VIDIOC_QUERY_EXT_CTRL: raw::v4l2_query_ext_ctrl = vidioc::VIDIOC_QUERY_EXT_CTRL;
    VIDIOC_QUERYMENU: raw::v4l2_querymenu = vidioc::VIDIOC_QUERYMENU;
    VIDIOC_G_EXT_CTRLS: raw::v4l2_ext_controls = vidioc::VIDIOC_G_EXT_CTRLS;
    VIDIOC_S_EXT_CTRLS: raw::v4l2_ext_controls = vidioc::VIDIOC_S_EXT_CTRLS;
}

fn call<T: Plain>(fd: &OwnedFd, request: &Request<T>, argument: &mut T) -> io::Result<()> {
    loop {
        // SAFETY: the descriptor is open; the request's number was made for a `T`, and `argument` is
        // one. Pointers within point to structures that the caller keeps alive over the call.
        let called = unsafe { v4l2::ioctl(fd.as_raw_fd(), request.0, (&raw mut *argument).cast()) };
        match called {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// The video nodes of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Machine;

impl Cameras for Machine {
    fn places(&self) -> Vec<Place> {
        identity::places(Path::new("/sys/class/video4linux"), Path::new("/dev"))
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        std::fs::canonicalize(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Node>> {
        Ok(Box::new(OpenNode::open(path)?))
    }

    fn now(&self) -> MonotonicTime {
        monotonic_now()
    }

    fn sleep(&self, span: Duration) {
        std::thread::sleep(span);
    }
}

/// An open node of the kernel's.
#[derive(Debug)]
struct OpenNode {
    fd: OwnedFd,
    capabilities: Capabilities,
    buffer_type: u32,
}

impl OpenNode {
    fn open(path: &Path) -> io::Result<Self> {
        if path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let fd = v4l2::open(path, libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC)?;
        // SAFETY: just opened, and nobody else has the number.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut told: raw::v4l2_capability = zeroed();
        call(&fd, &VIDIOC_QUERYCAP, &mut told)?;
        let flags = if told.capabilities & raw::V4L2_CAP_DEVICE_CAPS == 0 {
            told.capabilities
        } else {
            told.device_caps
        };
        let capture = if flags & raw::V4L2_CAP_VIDEO_CAPTURE_MPLANE != 0 {
            Some(Api::MultiPlanar)
        } else if flags & raw::V4L2_CAP_VIDEO_CAPTURE != 0 {
            Some(Api::SinglePlanar)
        } else {
            None
        };
        let buffer_type = match capture {
            Some(Api::MultiPlanar) => raw::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE,
            Some(Api::SinglePlanar) | None => raw::v4l2_buf_type_V4L2_BUF_TYPE_VIDEO_CAPTURE,
        };
        Ok(Self {
            capabilities: Capabilities {
                driver: text(&told.driver),
                card: text(&told.card),
                bus: text(&told.bus_info),
                capture,
                streaming: flags & raw::V4L2_CAP_STREAMING != 0,
            },
            fd,
            buffer_type,
        })
    }

    fn is_multi_planar(&self) -> bool {
        self.capabilities.capture == Some(Api::MultiPlanar)
    }

    /// Calls with a buffer's structure and its planes, where the node has several memories.
    fn call_with_buffer(
        &self,
        request: &Request<raw::v4l2_buffer>,
        index: u32,
        memories: usize,
    ) -> io::Result<(raw::v4l2_buffer, [raw::v4l2_plane; MEMORIES_MAX])> {
        let mut planes = [zeroed::<raw::v4l2_plane>(); MEMORIES_MAX];
        let mut buffer: raw::v4l2_buffer = zeroed();
        buffer.index = index;
        buffer.type_ = self.buffer_type;
        buffer.memory = raw::v4l2_memory_V4L2_MEMORY_MMAP;
        if self.is_multi_planar() {
            buffer.m.planes = planes.as_mut_ptr();
            buffer.length = u32::try_from(memories.min(MEMORIES_MAX)).unwrap_or(0);
        }
        call(&self.fd, request, &mut buffer)?;
        Ok((buffer, planes))
    }

    fn read_format(&self, told: &raw::v4l2_format) -> Format {
        if self.is_multi_planar() {
            // SAFETY: of this buffer type the kernel fills this member; all are integers.
            let pix = unsafe { told.fmt.pix_mp };
            // SAFETY: both members are one byte.
            let ycbcr_enc = u32::from(unsafe { pix.__bindgen_anon_1.ycbcr_enc });
            let plane_formats = pix.plane_fmt;
            let memories = plane_formats.iter().take(usize::from(pix.num_planes));
            return Format {
                size: Size {
                    width: pix.width,
                    height: pix.height,
                },
                fourcc: FourCc::from_u32(pix.pixelformat),
                field: pix.field,
                memories: memories
                    .map(|plane| MemoryFormat {
                        bytesperline: plane.bytesperline,
                        sizeimage: plane.sizeimage,
                    })
                    .collect(),
                colour: Colour {
                    colorspace: pix.colorspace,
                    ycbcr_enc,
                    quantization: u32::from(pix.quantization),
                },
            };
        }
        // SAFETY: of this buffer type the kernel fills this member; all are integers.
        let pix = unsafe { told.fmt.pix };
        // SAFETY: both members are `u32`.
        let ycbcr_enc = unsafe { pix.__bindgen_anon_1.ycbcr_enc };
        let memory = MemoryFormat {
            bytesperline: pix.bytesperline,
            sizeimage: pix.sizeimage,
        };
        Format {
            size: Size {
                width: pix.width,
                height: pix.height,
            },
            fourcc: FourCc::from_u32(pix.pixelformat),
            field: pix.field,
            memories: std::iter::once(memory).collect(),
            colour: Colour {
                colorspace: pix.colorspace,
                ycbcr_enc,
                quantization: pix.quantization,
            },
        }
    }

    fn call_with_control(
        &self,
        request: &Request<raw::v4l2_ext_controls>,
        control: &mut raw::v4l2_ext_control,
    ) -> io::Result<()> {
        let mut controls: raw::v4l2_ext_controls = zeroed();
        controls.__bindgen_anon_1.which = raw::V4L2_CTRL_WHICH_CUR_VAL;
        controls.count = 1;
        controls.controls = control;
        call(&self.fd, request, &mut controls)
    }

    /// The control that a query tells of, or the next one.
    fn query_control(&self, id: u32) -> io::Result<raw::v4l2_query_ext_ctrl> {
        let mut query: raw::v4l2_query_ext_ctrl = zeroed();
        query.id = id;
        call(&self.fd, &VIDIOC_QUERY_EXT_CTRL, &mut query)?;
        Ok(query)
    }
}

impl Node for OpenNode {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn describe_format(&self, index: u32) -> io::Result<FormatDescription> {
        let mut told: raw::v4l2_fmtdesc = zeroed();
        told.index = index;
        told.type_ = self.buffer_type;
        call(&self.fd, &VIDIOC_ENUM_FMT, &mut told)?;
        Ok(FormatDescription {
            fourcc: FourCc::from_u32(told.pixelformat),
            description: text(&told.description),
        })
    }

    fn frame_size(&self, fourcc: FourCc, index: u32) -> io::Result<FrameSize> {
        let mut told: raw::v4l2_frmsizeenum = zeroed();
        told.index = index;
        told.pixel_format = fourcc.to_u32();
        call(&self.fd, &VIDIOC_ENUM_FRAMESIZES, &mut told)?;
        if told.type_ == raw::v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE {
            // SAFETY: of this type the kernel fills this member.
            let size = unsafe { told.__bindgen_anon_1.discrete };
            return Ok(FrameSize::Discrete(Size {
                width: size.width,
                height: size.height,
            }));
        }
        // SAFETY: of every other type the kernel fills this member.
        let range = unsafe { told.__bindgen_anon_1.stepwise };
        Ok(FrameSize::Range {
            least: Size {
                width: range.min_width,
                height: range.min_height,
            },
            most: Size {
                width: range.max_width,
                height: range.max_height,
            },
            step: Size {
                width: range.step_width.max(1),
                height: range.step_height.max(1),
            },
        })
    }

    fn frame_interval(&self, fourcc: FourCc, size: Size, index: u32) -> io::Result<FrameInterval> {
        let mut told: raw::v4l2_frmivalenum = zeroed();
        told.index = index;
        told.pixel_format = fourcc.to_u32();
        told.width = size.width;
        told.height = size.height;
        call(&self.fd, &VIDIOC_ENUM_FRAMEINTERVALS, &mut told)?;
        if told.type_ == raw::v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE {
            // SAFETY: of this type the kernel fills this member.
            let one = unsafe { told.__bindgen_anon_1.discrete };
            return Ok(FrameInterval::Discrete(interval(one)));
        }
        // SAFETY: of every other type the kernel fills this member.
        let range = unsafe { told.__bindgen_anon_1.stepwise };
        Ok(FrameInterval::Range {
            shortest: interval(range.min),
            longest: interval(range.max),
        })
    }

    fn set_format(&self, size: Size, fourcc: FourCc) -> io::Result<Format> {
        let mut asked: raw::v4l2_format = zeroed();
        asked.type_ = self.buffer_type;
        if self.is_multi_planar() {
            let mut pix: raw::v4l2_pix_format_mplane = {
                // SAFETY: zeros are valid for this member, which is integers.
                unsafe { asked.fmt.pix_mp }
            };
            pix.width = size.width;
            pix.height = size.height;
            pix.pixelformat = fourcc.to_u32();
            pix.field = raw::v4l2_field_V4L2_FIELD_NONE;
            asked.fmt.pix_mp = pix;
        } else {
            // SAFETY: zeros are valid for this member, which is integers.
            let mut pix = unsafe { asked.fmt.pix };
            pix.width = size.width;
            pix.height = size.height;
            pix.pixelformat = fourcc.to_u32();
            pix.field = raw::v4l2_field_V4L2_FIELD_NONE;
            asked.fmt.pix = pix;
        }
        call(&self.fd, &VIDIOC_S_FMT, &mut asked)?;
        Ok(self.read_format(&asked))
    }

    fn set_interval(&self, asked: Interval) -> io::Result<Interval> {
        let mut parameters: raw::v4l2_streamparm = zeroed();
        parameters.type_ = self.buffer_type;
        // SAFETY: zeros are valid for this member, which is integers.
        let mut capture = unsafe { parameters.parm.capture };
        capture.timeperframe = raw::v4l2_fract {
            numerator: asked.numerator,
            denominator: asked.denominator,
        };
        parameters.parm.capture = capture;
        call(&self.fd, &VIDIOC_S_PARM, &mut parameters)?;
        // SAFETY: of a capture type the kernel fills this member.
        let capture = unsafe { parameters.parm.capture };
        Ok(interval(capture.timeperframe))
    }

    fn request_buffers(&self, count: u32) -> io::Result<u32> {
        let mut request: raw::v4l2_requestbuffers = zeroed();
        request.count = count;
        request.type_ = self.buffer_type;
        request.memory = raw::v4l2_memory_V4L2_MEMORY_MMAP;
        call(&self.fd, &VIDIOC_REQBUFS, &mut request)?;
        Ok(request.count)
    }

    fn query_buffer(&self, index: u32) -> io::Result<MemoryPlaces> {
        let (buffer, planes) = self.call_with_buffer(&VIDIOC_QUERYBUF, index, MEMORIES_MAX)?;
        if !self.is_multi_planar() {
            let place = MemoryPlace {
                length: buffer.length as usize,
                // SAFETY: of mapped buffers the kernel fills this member.
                offset: unsafe { buffer.m.offset },
            };
            return Ok(std::iter::once(place).collect());
        }
        let planes = planes.iter().take(buffer.length as usize);
        Ok(planes
            .map(|plane| MemoryPlace {
                length: plane.length as usize,
                // SAFETY: of mapped buffers the kernel fills this member.
                offset: unsafe { plane.m.mem_offset },
            })
            .collect())
    }

    fn map(&self, place: MemoryPlace) -> io::Result<Mapping> {
        Mapping::new(&self.fd, place.length, place.offset)
    }

    fn export(&self, index: u32, memory: u32) -> io::Result<OwnedFd> {
        let mut request: raw::v4l2_exportbuffer = zeroed();
        request.type_ = self.buffer_type;
        request.index = index;
        request.plane = memory;
        // Software renderers map what they import for writing, too.
        request.flags = (libc::O_RDWR | libc::O_CLOEXEC).cast_unsigned();
        call(&self.fd, &VIDIOC_EXPBUF, &mut request)?;
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(unsafe { OwnedFd::from_raw_fd(request.fd) })
    }

    fn queue(&self, index: u32, memories: usize) -> io::Result<()> {
        self.call_with_buffer(&VIDIOC_QBUF, index, memories)?;
        Ok(())
    }

    fn dequeue(&self) -> io::Result<Filled> {
        let (buffer, planes) = self.call_with_buffer(&VIDIOC_DQBUF, 0, MEMORIES_MAX)?;
        let mut used = ArrayVec::new();
        let mut displaced = false;
        if self.is_multi_planar() {
            for plane in planes.iter().take(buffer.length as usize) {
                used.push(plane.bytesused as usize);
                displaced |= plane.data_offset != 0;
            }
        } else {
            used.push(buffer.bytesused as usize);
        }
        let clock = buffer.flags & raw::V4L2_BUF_FLAG_TIMESTAMP_MASK;
        Ok(Filled {
            index: buffer.index,
            sequence: buffer.sequence,
            stamp: if clock == raw::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC {
                instant(buffer.timestamp).map_or(Stamp::Other, Stamp::Monotonic)
            } else {
                Stamp::Other
            },
            error: buffer.flags & raw::V4L2_BUF_FLAG_ERROR != 0,
            used,
            displaced,
        })
    }

    fn stream_on(&self) -> io::Result<()> {
        let mut buffer_type = self.buffer_type.cast_signed();
        call(&self.fd, &VIDIOC_STREAMON, &mut buffer_type)
    }

    fn stream_off(&self) -> io::Result<()> {
        let mut buffer_type = self.buffer_type.cast_signed();
        call(&self.fd, &VIDIOC_STREAMOFF, &mut buffer_type)
    }

    fn wait(&self, timeout: Duration) -> io::Result<Ready> {
        let wanted = PollFlags::POLLIN | PollFlags::POLLPRI;
        let mut fds = [PollFd::new(self.fd.as_fd(), wanted)];
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Ready::default()),
            Err(error) => return Err(error.into()),
        }
        let told = fds.first().and_then(PollFd::revents);
        let told = told.unwrap_or(PollFlags::empty());
        let broken = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
        Ok(Ready {
            buffer: told.contains(PollFlags::POLLIN),
            event: told.contains(PollFlags::POLLPRI),
            error: told.intersects(broken),
        })
    }

    fn subscribe_source_change(&self) -> io::Result<()> {
        let mut wanted: raw::v4l2_event_subscription = zeroed();
        wanted.type_ = raw::V4L2_EVENT_SOURCE_CHANGE;
        call(&self.fd, &VIDIOC_SUBSCRIBE_EVENT, &mut wanted)
    }

    fn take_event(&self) -> io::Result<NodeEvent> {
        let mut event: raw::v4l2_event = zeroed();
        call(&self.fd, &VIDIOC_DQEVENT, &mut event)?;
        Ok(if event.type_ == raw::V4L2_EVENT_SOURCE_CHANGE {
            NodeEvent::SourceChange
        } else {
            NodeEvent::Other
        })
    }

    fn next_control(&self, after: u32) -> io::Result<Control> {
        let told = self.query_control(after | raw::V4L2_CTRL_FLAG_NEXT_CTRL)?;
        // An array of integers has the type of its elements.
        let kind = if told.flags & raw::V4L2_CTRL_FLAG_HAS_PAYLOAD != 0 || told.elems > 1 {
            ControlKind::Compound
        } else {
            control_kind(told.type_)
        };
        let fixed = raw::V4L2_CTRL_FLAG_DISABLED | raw::V4L2_CTRL_FLAG_READ_ONLY;
        Ok(Control {
            id: told.id,
            name: text(&told.name.map(i8_to_u8)),
            kind,
            least: told.minimum,
            most: told.maximum,
            step: told.step.max(1),
            default: told.default_value,
            fixed: told.flags & fixed != 0,
            inactive: told.flags & raw::V4L2_CTRL_FLAG_INACTIVE != 0,
        })
    }

    fn menu_item(&self, control: &Control, index: u32) -> io::Result<String> {
        let mut told: raw::v4l2_querymenu = zeroed();
        told.id = control.id;
        told.index = index;
        call(&self.fd, &VIDIOC_QUERYMENU, &mut told)?;
        // A copy, because the structure is packed.
        let item = told.__bindgen_anon_1;
        Ok(if control.kind == ControlKind::IntegerMenu {
            // SAFETY: of an integer menu the kernel fills this member.
            let value = unsafe { item.value };
            value.to_string()
        } else {
            // SAFETY: of a menu the kernel fills this member; bytes are valid whatever they are.
            let name = unsafe { item.name };
            text(&name)
        })
    }

    fn get_control(&self, id: u32) -> io::Result<i64> {
        let is_wide = self.query_control(id)?.type_ == raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER64;
        let mut control: raw::v4l2_ext_control = zeroed();
        control.id = id;
        self.call_with_control(&VIDIOC_G_EXT_CTRLS, &mut control)?;
        let value = control.__bindgen_anon_1;
        Ok(if is_wide {
            // SAFETY: of a 64-bit control the kernel fills this member.
            unsafe { value.value64 }
        } else {
            // SAFETY: of every other control that is a number the kernel fills this member.
            i64::from(unsafe { value.value })
        })
    }

    fn set_control(&self, id: u32, value: i64) -> io::Result<()> {
        let is_wide = self.query_control(id)?.type_ == raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER64;
        let mut control: raw::v4l2_ext_control = zeroed();
        control.id = id;
        let mut wanted = control.__bindgen_anon_1;
        if is_wide {
            wanted.value64 = value;
        } else {
            wanted.value = i32::try_from(value).ok().ok_or(Errno::ERANGE)?;
        }
        control.__bindgen_anon_1 = wanted;
        self.call_with_control(&VIDIOC_S_EXT_CTRLS, &mut control)
    }
}

fn control_kind(number: u32) -> ControlKind {
    match number {
        raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER
        | raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER64 => ControlKind::Integer,
        raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_BOOLEAN => ControlKind::Boolean,
        raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_MENU => ControlKind::Menu,
        raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER_MENU => ControlKind::IntegerMenu,
        raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_BUTTON => ControlKind::Button,
        raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_BITMASK => ControlKind::Bitmask,
        raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_CTRL_CLASS => ControlKind::Class,
        _ => ControlKind::Compound,
    }
}

const fn interval(fraction: raw::v4l2_fract) -> Interval {
    Interval {
        numerator: fraction.numerator,
        denominator: fraction.denominator,
    }
}

fn instant(time: raw::timeval) -> Option<MonotonicTime> {
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let micros = u64::try_from(time.tv_usec).ok()?;
    let since = Duration::from_secs(seconds).checked_add(Duration::from_micros(micros))?;
    Some(MonotonicTime::from_duration(since))
}

/// C's characters are signed on some machines.
#[allow(
    clippy::cast_sign_loss,
    clippy::unnecessary_cast,
    reason = "the same bits as a byte; unsigned already on ARM"
)]
const fn i8_to_u8(character: std::ffi::c_char) -> u8 {
    character as u8
}

/// A fixed field of characters, to its first zero, without what is no letter.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    let bytes = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    text.replace(char::is_control, " ").trim().to_owned()
}
