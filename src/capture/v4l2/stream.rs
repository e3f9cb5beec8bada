//! A running camera: its buffers, who has them, and the order in which they are asked for.
//!
//! A buffer is either with the driver (*queued*), or with us: filled, being looked at by whoever holds
//! a frame of it, or free to be queued again. Only the capture thread queues and dequeues. A buffer is
//! queued again only when no frame of it is left ([`DeviceBuffer::is_free`]).

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use nix::errno::Errno;

use super::kernel::{Cameras, Filled, MEMORIES_MAX, MemoryPlace, MemoryPlaces, Node, NodeEvent};
use super::negotiate::Agreement;
use super::problem::{CameraProblem, errno};
use super::v4l2_sys::Mapping;
use crate::frame::{DeviceBuffer, DeviceMemory, Frame, FrameMeta};

/// Buffers that are asked for: two for the driver to fill while the others wait in the mailbox, are
/// inferred, are decided, shown and about to be shown.
const BUFFERS_WANTED: u32 = 8;

/// With fewer the driver would have none while a frame is being looked at.
const BUFFERS_MIN: u32 = 3;

/// Longest wait for a picture; after it the thread that waits has to look at its stop flag.
const WAIT_MAX: Duration = Duration::from_millis(50);

/// Longest wait while others hold buffers, which they may give back at any moment.
const WAIT_WHILE_HELD: Duration = Duration::from_millis(5);

/// So many failures of dequeuing in a row are no passing disturbance.
const FAILURES_MAX: u32 = 10;

/// Memory of one buffer. Mapped, and exported, until the last frame is gone, whatever becomes of the
/// device meanwhile.
#[derive(Debug)]
struct BufferMemory {
    mappings: ArrayVec<Mapping, MEMORIES_MAX>,
    /// As many as mappings, or none where the driver does not export them.
    exported: ArrayVec<OwnedFd, MEMORIES_MAX>,
}

impl DeviceMemory for BufferMemory {
    fn bytes(&self, index: usize) -> &[u8] {
        self.mappings.get(index).map_or(&[], Mapping::bytes)
    }

    fn dmabuf(&self, index: usize) -> Option<BorrowedFd<'_>> {
        self.exported.get(index).map(|fd| fd.as_fd())
    }
}

/// A buffer and where it is.
#[derive(Debug)]
struct Slot {
    buffer: DeviceBuffer,
    memory: Arc<BufferMemory>,
    queued: bool,
}

/// A node that captures. Stops, and gives its buffers back, when dropped.
#[derive(Debug)]
pub(super) struct Stream {
    node: Box<dyn Node>,
    slots: Vec<Slot>,
    agreement: Agreement,
    failures: u32,
    /// Why buffers are not exported, if they are not.
    not_exported: Option<String>,
}

/// What came of a wait.
#[derive(Debug)]
pub(super) enum Step {
    /// A picture. Its buffer stays with us until the next step.
    Filled(Filled),
    /// Nothing yet.
    Nothing,
    /// Nothing can come: everybody else holds all buffers.
    Starved,
    /// The driver failed to fill a buffer; it may work again.
    Failed,
}

impl Stream {
    /// Takes buffers and starts capturing.
    pub(super) fn start(node: Box<dyn Node>, agreement: Agreement) -> Result<Self, CameraProblem> {
        let mut stream = Self {
            node,
            slots: Vec::new(),
            agreement,
            failures: 0,
            not_exported: None,
        };
        // From here on dropping it undoes what was done.
        stream.allocate()?;
        for index in 0..stream.slots.len() {
            stream.queue(index)?;
        }
        stream
            .node
            .stream_on()
            .map_err(CameraProblem::of("VIDIOC_STREAMON"))?;
        Ok(stream)
    }

    fn allocate(&mut self) -> Result<(), CameraProblem> {
        let count = self
            .node
            .request_buffers(BUFFERS_WANTED)
            .map_err(CameraProblem::of("VIDIOC_REQBUFS"))?;
        if count < BUFFERS_MIN {
            return Err(CameraProblem::TooFewBuffers {
                count: count as usize,
                least: BUFFERS_MIN,
            });
        }
        let mut export = exports(&self.node.capabilities().driver);
        if !export {
            self.not_exported =
                Some("not proven to be safe with uvcvideo on this processor".into());
        }
        for index in 0..count {
            let places = self
                .node
                .query_buffer(index)
                .map_err(CameraProblem::of("VIDIOC_QUERYBUF"))?;
            self.check_lengths(&places)?;
            let memory = Arc::new(self.memory(index, &places, &mut export)?);
            self.slots.push(Slot {
                buffer: DeviceBuffer::new(Arc::clone(&memory) as _, self.agreement.layouts),
                memory,
                queued: false,
            });
        }
        Ok(())
    }

    /// A picture must fit the memory before anything is read from it.
    fn check_lengths(&self, places: &MemoryPlaces) -> Result<(), CameraProblem> {
        let length = |index: usize| places.get(index).map_or(0, |place| place.length);
        let needed = self.agreement.needed;
        if (0..)
            .zip(needed)
            .all(|(index, bytes)| length(index) >= bytes)
        {
            return Ok(());
        }
        Err(CameraProblem::BadFormat {
            format: super::negotiate::words(&self.agreement),
            why: format!(
                "its buffers have {:?} bytes, pictures {needed:?}",
                [0, 1, 2].map(length)
            ),
        })
    }

    fn memory(
        &mut self,
        index: u32,
        places: &MemoryPlaces,
        export: &mut bool,
    ) -> Result<BufferMemory, CameraProblem> {
        let mut memory = BufferMemory {
            mappings: ArrayVec::new(),
            exported: ArrayVec::new(),
        };
        for (number, place) in (0..).zip(places) {
            let fd = if *export {
                self.export(index, number, export)?
            } else {
                None
            };
            memory.mappings.push(self.map(*place, fd.as_ref())?);
            memory.exported.extend(fd);
        }
        // All or none: a picture with planes in several memories is imported whole.
        if !*export {
            memory.exported.clear();
        }
        Ok(memory)
    }

    /// `None`, and no more is to be exported, where the driver does not do it.
    fn export(
        &mut self,
        index: u32,
        number: u32,
        export: &mut bool,
    ) -> Result<Option<OwnedFd>, CameraProblem> {
        match self.node.export(index, number) {
            Ok(fd) => Ok(Some(fd)),
            Err(error) if errno(&error) == Some(Errno::ENODEV) => {
                Err(CameraProblem::of("VIDIOC_EXPBUF")(error))
            }
            Err(error) => {
                self.not_exported = Some(error.to_string());
                *export = false;
                Ok(None)
            }
        }
    }

    /// Maps a memory from its dmabuf where there is one. A mapping from the node would keep the node itself
    /// open for as long as somebody looks at a picture, also after the device broke; and there are drivers
    /// that let nobody in again before it is closed.
    fn map(
        &self,
        place: MemoryPlace,
        exported: Option<&OwnedFd>,
    ) -> Result<Mapping, CameraProblem> {
        let shared = exported.and_then(|fd| Mapping::new(fd, place.length, 0).ok());
        match shared {
            Some(mapping) => Ok(mapping),
            None => self.node.map(place).map_err(CameraProblem::of("mmap")),
        }
    }

    /// What was agreed when it started.
    pub(super) const fn agreement(&self) -> &Agreement {
        &self.agreement
    }

    /// Number of its buffers.
    pub(super) const fn buffers(&self) -> usize {
        self.slots.len()
    }

    /// Why a GPU cannot read its buffers where they are; `None` where it can.
    pub(super) fn not_exported(&self) -> Option<&str> {
        self.not_exported.as_deref()
    }

    /// Takes the buffers out that frames elsewhere still lie in. Whoever lets go of the last such frame
    /// would unmap it, and may be a thread that has to be on time: they are kept until they are free.
    pub(super) fn take_held(&mut self) -> Vec<DeviceBuffer> {
        let held = self.slots.extract_if(.., |slot| !slot.buffer.is_free());
        held.map(|slot| slot.buffer).collect()
    }

    fn queue(&mut self, index: usize) -> Result<(), CameraProblem> {
        let Some(slot) = self.slots.get_mut(index) else {
            return Ok(());
        };
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        self.node
            .queue(number, slot.memory.mappings.len())
            .map_err(CameraProblem::of("VIDIOC_QBUF"))?;
        slot.queued = true;
        Ok(())
    }

    /// Gives the driver back what nobody looks at any more, and waits for a picture: no longer than
    /// [`WAIT_MAX`], and shorter while buffers may come back.
    pub(super) fn step(&mut self, cameras: &dyn Cameras) -> Result<Step, CameraProblem> {
        for index in 0..self.slots.len() {
            let free = self
                .slots
                .get_mut(index)
                .is_some_and(|slot| !slot.queued && slot.buffer.is_free());
            if free {
                self.queue(index)?;
            }
        }
        let queued = self.slots.iter().filter(|slot| slot.queued).count();
        if queued == 0 {
            // The kernel does not wait for a buffer that it does not have.
            cameras.sleep(WAIT_WHILE_HELD);
            return Ok(Step::Starved);
        }
        let wait = if queued < self.slots.len() {
            WAIT_WHILE_HELD
        } else {
            WAIT_MAX
        };
        let ready = self.node.wait(wait).map_err(CameraProblem::of("poll"))?;
        if ready.event {
            match self.node.take_event() {
                Ok(NodeEvent::SourceChange) => return Err(CameraProblem::Changed),
                Ok(NodeEvent::Other) => {}
                // A node that is gone reports an event, too.
                Err(error) if ready.error => {
                    return Err(CameraProblem::of("VIDIOC_DQEVENT")(error));
                }
                Err(_) => {}
            }
        }
        if !ready.buffer && !ready.error {
            return Ok(Step::Nothing);
        }
        self.dequeue(ready.error)
    }

    fn dequeue(&mut self, broken: bool) -> Result<Step, CameraProblem> {
        let error = match self.node.dequeue() {
            Ok(filled) => {
                self.failures = 0;
                let slot = self.slots.get_mut(filled.index as usize);
                let Some(slot) = slot.filter(|slot| slot.queued) else {
                    let index = filled.index;
                    return Err(CameraProblem::ForeignBuffer { index });
                };
                slot.queued = false;
                return Ok(Step::Filled(filled));
            }
            Err(error) => error,
        };
        let passing = match errno(&error) {
            // Nothing there after all; with a node that says that it is broken, that does not pass.
            Some(Errno::EAGAIN) if !broken => return Ok(Step::Nothing),
            // A disturbance, such as a lost signal, as the kernel's documents say.
            Some(Errno::EAGAIN | Errno::EIO) => true,
            // The last buffer before a change of the source.
            Some(Errno::EPIPE) => return Err(CameraProblem::Changed),
            _ => false,
        };
        self.failures += 1;
        if passing && self.failures < FAILURES_MAX {
            return Ok(Step::Failed);
        }
        Err(CameraProblem::of("VIDIOC_DQBUF")(error))
    }

    /// The picture that a step has just got, as a frame; `None` where it is not all there.
    pub(super) fn frame(&self, filled: &Filled, meta: FrameMeta) -> Option<Frame> {
        let slot = self.slots.get(filled.index as usize)?;
        let used = |index: usize| filled.used.get(index).copied().unwrap_or(0);
        let whole = (0..)
            .zip(self.agreement.needed)
            .all(|(index, bytes)| used(index) >= bytes);
        if !whole || filled.displaced {
            return None;
        }
        slot.buffer.frame(meta, self.agreement.frame)
    }

    /// The bytes that a step has just got, in the first memory.
    pub(super) fn bytes(&self, filled: &Filled) -> &[u8] {
        let memory = self
            .slots
            .get(filled.index as usize)
            .map(|slot| &slot.memory);
        let used = filled.used.first().copied().unwrap_or(0);
        memory
            .and_then(|memory| memory.bytes(0).get(..used))
            .unwrap_or_default()
    }
}

/// Whether a driver's buffers are exported. The CPU fills those of uvcvideo, and nobody flushes its caches
/// for a GPU that does not snoop them, as on most ARM boards: its pictures could have stale lines.
fn exports(driver: &str) -> bool {
    cfg!(not(any(target_arch = "aarch64", target_arch = "arm"))) || driver != "uvcvideo"
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A device that is gone refuses both; its memory goes with the last frame.
        let stopped = self.node.stream_off();
        self.slots.clear();
        // Buffers that somebody still looks at are orphaned by newer kernels and refused by older
        // ones; closing the node then leaves them to their mappings, too.
        let freed = self.node.request_buffers(0);
        for (operation, outcome) in [
            ("VIDIOC_STREAMOFF", stopped),
            ("VIDIOC_REQBUFS", freed.map(|_| ())),
        ] {
            if let Err(error) = outcome {
                log::debug!("{operation} while closing a camera: {error}");
            }
        }
    }
}
