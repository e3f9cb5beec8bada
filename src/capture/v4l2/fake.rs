//! Cameras for tests: they deliver on a clock of their own, fail where they are told to, and check that
//! they are spoken to as the kernel wants it. A breach of the protocol panics.
//!
//! A buffer's memory is real, shared memory. The device scribbles over it as soon as it is queued, as a
//! real one may, and fills it with the frame's number: whoever still reads it then sees that.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::identity::Identity;
use super::kernel::{
    Api, Cameras, Capabilities, Colour, Control, Filled, Format, FormatDescription, FourCc,
    FrameInterval, FrameSize, Interval, MemoryFormat, MemoryPlace, MemoryPlaces, Node, NodeEvent,
    Place, Ready, Stamp,
};
use super::v4l2_sys::Mapping;
use crate::geometry::Size;
use crate::units::MonotonicTime;

/// What a queued buffer holds until it is filled.
pub(super) const SCRIBBLE: u8 = 0xee;

/// What the device does with a frame instead of delivering it well.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mishap {
    /// Flags it as damaged.
    Flagged,
    /// Leaves so many out before it.
    Gap(u32),
    /// Fills half of it.
    Short,
    /// Dates it so far into the future.
    Future(Duration),
    /// Dates it so far back.
    Past(Duration),
    /// Dates it by another clock.
    OtherClock,
    /// Fails to deliver it.
    Io,
    /// Delivers these bytes in the first memory.
    Bytes(Vec<u8>),
}

/// A format with its sizes and rates.
#[derive(Clone, Debug)]
pub(super) struct Offered {
    pub(super) fourcc: FourCc,
    pub(super) sizes: Vec<Size>,
    pub(super) rates: Vec<u32>,
}

pub(super) fn offered(fourcc: &[u8; 4], sizes: &[(u32, u32)], rates: &[u32]) -> Offered {
    Offered {
        fourcc: FourCc(*fourcc),
        sizes: sizes
            .iter()
            .map(|(width, height)| Size {
                width: *width,
                height: *height,
            })
            .collect(),
        rates: rates.to_vec(),
    }
}

/// A control with its value and the names of its items.
#[derive(Clone, Debug)]
pub(super) struct FakeControl {
    pub(super) control: Control,
    pub(super) items: Vec<(u32, &'static str)>,
    pub(super) value: i64,
}

#[derive(Debug)]
struct FakeBuffer {
    memories: Vec<File>,
    length: usize,
    queued: bool,
    /// Memories that were mapped from the node.
    mapped: usize,
    /// Memories that were exported.
    exported: usize,
}

/// One camera of the fake machine.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    pub(super) capabilities: Capabilities,
    pub(super) offers: Vec<Offered>,
    pub(super) controls: Vec<FakeControl>,
    /// Every control that was set, in order.
    pub(super) set: Vec<(u32, i64)>,
    pub(super) colour: Colour,
    pub(super) present: bool,
    pub(super) exports: bool,
    /// Delivers nothing.
    pub(super) silent: bool,
    pub(super) mishaps: VecDeque<Mishap>,
    /// Bytes more in each row than needed.
    pub(super) padding: u32,
    pub(super) source_change: bool,
    /// Buffers that it gives at most.
    pub(super) buffers_max: u32,
    /// Memories mapped from its nodes: such a mapping keeps the node open.
    pub(super) node_mappings: u32,
    /// Frames filled since it was plugged in.
    pub(super) filled: u64,
    pub(super) format: Option<Format>,
    interval: Interval,
    buffers: Vec<FakeBuffer>,
    order: VecDeque<u32>,
    done: VecDeque<Filled>,
    io_errors: u32,
    on: bool,
    sequence: u32,
    next_at: MonotonicTime,
    /// Rises when it is plugged in again: what was opened before is dead.
    plugged: u32,
    /// Which opened node has the buffers, counted from 1.
    owner: Option<u32>,
    opened: u32,
}

impl Device {
    pub(super) fn new(number: u32, name: &str, offers: Vec<Offered>) -> Self {
        Self {
            path: PathBuf::from(format!("/dev/video{number}")),
            identity: Identity {
                name: name.to_owned(),
                device: PathBuf::from(format!("/sys/devices/platform/{name}")),
                index: 0,
                serial: None,
            },
            capabilities: Capabilities {
                driver: "fake".to_owned(),
                card: name.to_owned(),
                bus: format!("platform:{name}"),
                capture: Some(Api::SinglePlanar),
                streaming: true,
            },
            offers,
            controls: Vec::new(),
            set: Vec::new(),
            colour: Colour::default(),
            present: true,
            exports: true,
            silent: false,
            mishaps: VecDeque::new(),
            padding: 0,
            source_change: false,
            buffers_max: 32,
            node_mappings: 0,
            filled: 0,
            format: None,
            interval: Interval {
                numerator: 1,
                denominator: 30,
            },
            buffers: Vec::new(),
            order: VecDeque::new(),
            done: VecDeque::new(),
            io_errors: 0,
            on: false,
            sequence: 0,
            next_at: MonotonicTime::ZERO,
            plugged: 0,
            owner: None,
            opened: 0,
        }
    }

    /// Pulls it out. What was captured is lost, and every open node is dead.
    pub(super) fn unplug(&mut self) {
        self.present = false;
        self.plugged += 1;
        self.buffers.clear();
        self.order.clear();
        self.done.clear();
        self.on = false;
        self.owner = None;
        self.format = None;
    }

    /// Puts it back, under this number.
    pub(super) fn plug_in(&mut self, number: u32) {
        self.present = true;
        self.sequence = 0;
        self.path = PathBuf::from(format!("/dev/video{number}"));
    }

    /// How often it was opened.
    pub(super) fn opened(&self) -> u32 {
        self.opened
    }

    fn period(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.interval.rate().expect("an interval"))
    }

    /// Fills a buffer where one is queued; a frame for which there is none is lost.
    fn capture(&mut self, at: MonotonicTime) {
        let mishap = self.mishaps.pop_front();
        if let Some(Mishap::Gap(frames)) = mishap {
            self.sequence += frames;
        }
        let sequence = self.sequence;
        self.sequence += 1;
        if mishap == Some(Mishap::Io) {
            self.io_errors += 1;
            return;
        }
        let Some(index) = self.order.pop_front() else {
            return;
        };
        self.filled += 1;
        let buffer = &self.buffers[index as usize];
        let stamp = stamp(u64::from(sequence));
        for memory in &buffer.memories {
            memory
                .write_all_at(&vec![stamp; buffer.length], 0)
                .expect("written");
        }
        let format = self.format.as_ref().expect("streaming");
        let mut used: Vec<usize> = format
            .memories
            .iter()
            .map(|memory| memory.sizeimage as usize)
            .collect();
        match &mishap {
            Some(Mishap::Short) => used[0] /= 2,
            Some(Mishap::Bytes(bytes)) => {
                buffer.memories[0].write_all_at(bytes, 0).expect("written");
                used[0] = bytes.len();
            }
            _ => {}
        }
        self.done.push_back(Filled {
            index,
            sequence,
            stamp: match mishap {
                Some(Mishap::Future(span)) => Stamp::Monotonic(at + span),
                Some(Mishap::Past(span)) => Stamp::Monotonic(at - span),
                Some(Mishap::OtherClock) => Stamp::Other,
                _ => Stamp::Monotonic(at),
            },
            error: mishap == Some(Mishap::Flagged),
            used: used.into_iter().collect(),
            displaced: false,
        });
    }
}

/// What a frame of this number is filled with; never [`SCRIBBLE`].
pub(super) fn stamp(sequence: u64) -> u8 {
    u8::try_from(sequence % 200).unwrap_or(0)
}

#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) now: MonotonicTime,
    pub(super) devices: Vec<Device>,
    /// Calls so far.
    pub(super) calls: u64,
    /// The call of this number fails so.
    pub(super) fail: Option<(u64, Errno)>,
}

impl World {
    fn enter(&mut self) -> io::Result<()> {
        let number = self.calls;
        self.calls += 1;
        match self.fail {
            Some((at, errno)) if at == number => Err(errno.into()),
            _ => Ok(()),
        }
    }
}

/// The fake machine; clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct FakeCameras(Arc<Mutex<World>>);

impl FakeCameras {
    pub(super) fn new(devices: Vec<Device>) -> Self {
        let cameras = Self::default();
        {
            let mut world = cameras.world();
            world.now = MonotonicTime::from_duration(Duration::from_secs(1000));
            world.devices = devices;
        }
        cameras
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the camera number `index`.
    pub(super) fn with<R>(&self, index: usize, act: impl FnOnce(&mut Device) -> R) -> R {
        act(&mut self.world().devices[index])
    }
}

impl Cameras for FakeCameras {
    fn places(&self) -> Vec<Place> {
        let world = self.world();
        let present = world.devices.iter().filter(|device| device.present);
        let mut places: Vec<Place> = present
            .map(|device| Place {
                path: device.path.clone(),
                identity: device.identity.clone(),
            })
            .collect();
        places.sort_by(|one, other| one.path.cmp(&other.path));
        places
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        let world = self.world();
        let there = |device: &&Device| device.present && device.path == path;
        let found = world.devices.iter().find(there);
        found
            .map(|device| device.path.clone())
            .ok_or_else(|| Errno::ENOENT.into())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Node>> {
        let mut world = self.world();
        world.enter()?;
        let there = |device: &Device| device.present && device.path == path;
        let index = world.devices.iter().position(there);
        let index = index.ok_or(Errno::ENOENT)?;
        let device = &mut world.devices[index];
        device.opened += 1;
        Ok(Box::new(FakeNode {
            cameras: self.clone(),
            index,
            number: device.opened,
            plugged: device.plugged,
            capabilities: device.capabilities.clone(),
        }))
    }

    fn now(&self) -> MonotonicTime {
        self.world().now
    }

    fn sleep(&self, span: Duration) {
        let mut world = self.world();
        let until = world.now + span;
        pass_time(&mut world, until);
    }
}

/// Lets the clock run; cameras capture meanwhile.
fn pass_time(world: &mut World, until: MonotonicTime) {
    for device in &mut world.devices {
        while device.on && !device.silent && device.next_at <= until {
            let at = device.next_at;
            device.capture(at);
            device.next_at = at + device.period();
        }
    }
    world.now = until;
}

#[derive(Debug)]
struct FakeNode {
    cameras: FakeCameras,
    index: usize,
    /// Among the nodes that were opened of this camera.
    number: u32,
    plugged: u32,
    capabilities: Capabilities,
}

impl FakeNode {
    /// As [`FakeNode::call`], for what only the owner of the buffers may do.
    fn own<R>(&self, act: impl FnOnce(&mut Device) -> io::Result<R>) -> io::Result<R> {
        self.call(|device| match device.owner {
            Some(owner) if owner != self.number => Err(Errno::EBUSY.into()),
            Some(_) | None => act(device),
        })
    }

    /// One call: fails where it is to, and with `ENODEV` where the camera is gone.
    fn call<R>(&self, act: impl FnOnce(&mut Device) -> io::Result<R>) -> io::Result<R> {
        let mut world = self.cameras.world();
        world.enter()?;
        let device = &mut world.devices[self.index];
        if device.plugged != self.plugged || !device.present {
            return Err(Errno::ENODEV.into());
        }
        act(device)
    }
}

fn nth<T: Clone>(list: &[T], index: u32) -> io::Result<T> {
    list.get(index as usize)
        .cloned()
        .ok_or_else(|| Errno::EINVAL.into())
}

/// Bytes of a row and rows of each memory of a format.
fn extents(fourcc: FourCc, size: Size) -> Vec<(u32, u32)> {
    let Size { width, height } = size;
    let half = |extent: u32| extent.div_ceil(2);
    match &fourcc.0 {
        b"NM12" => vec![(width, height), (half(width) * 2, half(height))],
        b"YM12" => vec![
            (width, height),
            (half(width), half(height)),
            (half(width), half(height)),
        ],
        b"NV12" | b"YU12" | b"YV12" => vec![(width, height + half(height))],
        b"YUYV" | b"UYVY" => vec![(half(width) * 4, height)],
        b"RGB3" | b"BGR3" => vec![(width * 3, height)],
        _ => vec![(width * 4, height)],
    }
}

impl Node for FakeNode {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn describe_format(&self, index: u32) -> io::Result<FormatDescription> {
        self.call(|device| {
            nth(&device.offers, index).map(|offered| FormatDescription {
                fourcc: offered.fourcc,
                description: "a format".to_owned(),
            })
        })
    }

    fn frame_size(&self, fourcc: FourCc, index: u32) -> io::Result<FrameSize> {
        self.call(|device| {
            let offered = device.offers.iter().find(|offer| offer.fourcc == fourcc);
            nth(&offered.ok_or(Errno::EINVAL)?.sizes, index).map(FrameSize::Discrete)
        })
    }

    fn frame_interval(&self, fourcc: FourCc, _: Size, index: u32) -> io::Result<FrameInterval> {
        self.call(|device| {
            let offered = device.offers.iter().find(|offer| offer.fourcc == fourcc);
            let rate = nth(&offered.ok_or(Errno::EINVAL)?.rates, index)?;
            Ok(FrameInterval::Discrete(Interval {
                numerator: 1,
                denominator: rate,
            }))
        })
    }

    fn set_format(&self, size: Size, fourcc: FourCc) -> io::Result<Format> {
        self.own(|device| {
            assert!(device.buffers.is_empty(), "VIDIOC_S_FMT with buffers");
            let offered = device.offers.iter().find(|offer| offer.fourcc == fourcc);
            let offered = offered.or(device.offers.first()).ok_or(Errno::EINVAL)?;
            // As drivers do: the size that is nearest.
            let area = |size: &Size| u64::from(size.width) * u64::from(size.height);
            let nearest = offered
                .sizes
                .iter()
                .min_by_key(|one| area(one).abs_diff(area(&size)));
            let size = *nearest.ok_or(Errno::EINVAL)?;
            let memories = extents(offered.fourcc, size).into_iter();
            let format = Format {
                size,
                fourcc: offered.fourcc,
                field: 1,
                memories: memories
                    .map(|(row, rows)| MemoryFormat {
                        bytesperline: row + device.padding,
                        sizeimage: (row + device.padding) * rows,
                    })
                    .collect(),
                colour: device.colour,
            };
            device.format = Some(format.clone());
            Ok(format)
        })
    }

    fn set_interval(&self, interval: Interval) -> io::Result<Interval> {
        self.call(|device| {
            device.interval = interval;
            Ok(interval)
        })
    }

    fn request_buffers(&self, count: u32) -> io::Result<u32> {
        self.own(|device| {
            assert!(!device.on, "VIDIOC_REQBUFS while streaming");
            device.owner = (count > 0).then_some(self.number);
            device.buffers.clear();
            device.order.clear();
            device.done.clear();
            let format = device.format.as_ref();
            let count = count.min(device.buffers_max);
            for _ in 0..count {
                let memories = &format.expect("a format before buffers").memories;
                let length = memories
                    .iter()
                    .map(|memory| memory.sizeimage as usize)
                    .max()
                    .expect("a memory");
                let files = memories.iter().map(|_| {
                    let memory = memfd_create(c"fake camera", MFdFlags::MFD_CLOEXEC);
                    let file = File::from(memory.expect("memory"));
                    file.set_len(length as u64).expect("room");
                    file
                });
                device.buffers.push(FakeBuffer {
                    memories: files.collect(),
                    length,
                    queued: false,
                    mapped: 0,
                    exported: 0,
                });
            }
            Ok(count)
        })
    }

    fn query_buffer(&self, index: u32) -> io::Result<MemoryPlaces> {
        self.call(|device| {
            let buffer = device.buffers.get(index as usize).ok_or(Errno::EINVAL)?;
            Ok((0..)
                .zip(&buffer.memories)
                .map(|(memory, _)| MemoryPlace {
                    length: buffer.length,
                    offset: index * 16 + memory,
                })
                .collect())
        })
    }

    fn map(&self, place: MemoryPlace) -> io::Result<Mapping> {
        self.call(|device| {
            let buffer = &mut device.buffers[(place.offset / 16) as usize];
            assert_eq!(place.length, buffer.length, "mapped with another length");
            buffer.mapped += 1;
            device.node_mappings += 1;
            let memory = &buffer.memories[(place.offset % 16) as usize];
            Mapping::new(&OwnedFd::from(memory.try_clone()?), place.length, 0)
        })
    }

    fn export(&self, index: u32, memory: u32) -> io::Result<OwnedFd> {
        self.call(|device| {
            if !device.exports {
                return Err(Errno::ENOTTY.into());
            }
            let buffer = device.buffers.get_mut(index as usize);
            let buffer = buffer.ok_or(Errno::EINVAL)?;
            buffer.exported += 1;
            let memory = &buffer.memories[memory as usize];
            Ok(memory.try_clone()?.into())
        })
    }

    fn queue(&self, index: u32, memories: usize) -> io::Result<()> {
        self.own(|device| {
            let buffer = &mut device.buffers[index as usize];
            assert!(!buffer.queued, "buffer {index} is queued already");
            assert_eq!(
                memories,
                buffer.memories.len(),
                "queued with other memories"
            );
            assert_eq!(
                buffer.mapped + buffer.exported,
                memories,
                "queued before all of it was mapped from the node or exported, or twice"
            );
            buffer.queued = true;
            for memory in &buffer.memories {
                memory.write_all_at(&vec![SCRIBBLE; buffer.length], 0)?;
            }
            device.order.push_back(index);
            Ok(())
        })
    }

    fn dequeue(&self) -> io::Result<Filled> {
        self.own(|device| {
            assert!(device.on, "VIDIOC_DQBUF before VIDIOC_STREAMON");
            if device.io_errors > 0 {
                device.io_errors -= 1;
                return Err(Errno::EIO.into());
            }
            let filled = device.done.pop_front().ok_or(Errno::EAGAIN)?;
            device.buffers[filled.index as usize].queued = false;
            Ok(filled)
        })
    }

    fn stream_on(&self) -> io::Result<()> {
        let now = self.cameras.now();
        self.own(|device| {
            assert!(!device.on, "VIDIOC_STREAMON twice");
            assert!(!device.order.is_empty(), "VIDIOC_STREAMON without a buffer");
            device.on = true;
            device.next_at = now + device.period();
            Ok(())
        })
    }

    fn stream_off(&self) -> io::Result<()> {
        self.own(|device| {
            device.on = false;
            device.order.clear();
            device.done.clear();
            device.io_errors = 0;
            for buffer in &mut device.buffers {
                buffer.queued = false;
            }
            Ok(())
        })
    }

    fn wait(&self, timeout: Duration) -> io::Result<Ready> {
        let mut world = self.cameras.world();
        world.enter()?;
        let until = world.now + timeout;
        loop {
            let device = &world.devices[self.index];
            if device.plugged != self.plugged || !device.present {
                // As the kernel's `v4l2_poll` answers for a device that is gone.
                return Ok(Ready {
                    buffer: false,
                    event: true,
                    error: true,
                });
            }
            assert!(device.on, "waited for a node that does not stream");
            if device.source_change || !device.done.is_empty() || device.io_errors > 0 {
                return Ok(Ready {
                    buffer: !device.done.is_empty() || device.io_errors > 0,
                    event: device.source_change,
                    error: false,
                });
            }
            if world.now >= until {
                return Ok(Ready::default());
            }
            let next = if device.silent {
                until
            } else {
                device.next_at.max(world.now).min(until)
            };
            pass_time(&mut world, next);
        }
    }

    fn subscribe_source_change(&self) -> io::Result<()> {
        self.call(|_| Ok(()))
    }

    fn take_event(&self) -> io::Result<NodeEvent> {
        self.call(|device| {
            assert!(device.source_change, "no event to take");
            device.source_change = false;
            Ok(NodeEvent::SourceChange)
        })
    }

    fn next_control(&self, after: u32) -> io::Result<Control> {
        self.call(|device| {
            let mut later = device.controls.iter().map(|fake| &fake.control);
            let next = later.find(|control| control.id > after);
            next.cloned().ok_or_else(|| Errno::EINVAL.into())
        })
    }

    fn menu_item(&self, control: &Control, index: u32) -> io::Result<String> {
        self.call(|device| {
            let fake = device
                .controls
                .iter()
                .find(|fake| fake.control.id == control.id);
            let items = &fake.ok_or(Errno::EINVAL)?.items;
            let item = items.iter().find(|(number, _)| *number == index);
            item.map(|(_, name)| (*name).to_owned())
                .ok_or_else(|| Errno::EINVAL.into())
        })
    }

    fn get_control(&self, id: u32) -> io::Result<i64> {
        self.call(|device| {
            let fake = device.controls.iter().find(|fake| fake.control.id == id);
            Ok(fake.ok_or(Errno::EINVAL)?.value)
        })
    }

    fn set_control(&self, id: u32, value: i64) -> io::Result<()> {
        self.call(|device| {
            let fake = device
                .controls
                .iter_mut()
                .find(|fake| fake.control.id == id);
            fake.ok_or(Errno::EINVAL)?.value = value;
            device.set.push((id, value));
            Ok(())
        })
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        let mut world = self.cameras.world();
        let failing = world.fail.is_some();
        let device = &mut world.devices[self.index];
        if device.plugged != self.plugged || !device.present {
            return;
        }
        if device.owner != Some(self.number) {
            return;
        }
        device.owner = None;
        // Closing does what was forgotten; only a call that was made to fail may have been the reason.
        if !failing && !std::thread::panicking() {
            assert!(!device.on, "closed while streaming");
            assert!(device.buffers.is_empty(), "closed with buffers");
        }
        device.on = false;
        device.buffers.clear();
        device.order.clear();
        device.done.clear();
    }
}
