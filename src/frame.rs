//! Pictures as they come from a source: format, planes, and who may still be looking at them.
//!
//! A [`Frame`] is a cheap handle. Its pixels sit in one reference-counted buffer that its
//! [`BufferPool`] uses again when the last handle is dropped, so that steady state allocates nothing.
//! The buffer is the program's own memory or a device's ([`DeviceBuffer`]), which a GPU can then read
//! where it is. Nothing here converts or copies pixels. Used by every thread that touches pictures.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::geometry::Size;
use crate::units::{MonotonicTime, StreamId};

/// Where a frame comes from and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameMeta {
    /// The stream the frame belongs to.
    pub stream: StreamId,
    /// Position in the source, from 0, counting frames that were dropped later. Goes on counting
    /// when a looped file starts again.
    pub sequence: u64,
    /// Presentation time since the source's first frame; the report's `t_ms`.
    pub media_time: Duration,
    /// When the picture was taken, on the decision clock (see [`MonotonicTime`]).
    pub timestamp: MonotonicTime,
    /// When the frame was handed on, always `CLOCK_MONOTONIC`; latencies start here.
    pub arrived: MonotonicTime,
}

/// How pixels lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Three planes Y, U, V; chroma halved both ways. Odd sizes round chroma up.
    I420,
    /// Two planes Y, interleaved UV; chroma halved both ways. Odd sizes round chroma up.
    Nv12,
    /// One plane, bytes Y0, U, Y1, V for two pixels; chroma halved sideways only. Odd widths round up.
    Yuyv,
    /// As [`PixelFormat::Yuyv`], bytes U, Y0, V, Y1.
    Uyvy,
    /// One plane, bytes R, G, B.
    Rgb24,
    /// One plane, bytes B, G, R.
    Bgr24,
    /// One plane, bytes R, G, B and one without meaning.
    Rgbx32,
    /// One plane, bytes B, G, R and one without meaning.
    Bgrx32,
}

impl PixelFormat {
    /// Every format.
    pub const ALL: [Self; 8] = [
        Self::I420,
        Self::Nv12,
        Self::Yuyv,
        Self::Uyvy,
        Self::Rgb24,
        Self::Bgr24,
        Self::Rgbx32,
        Self::Bgrx32,
    ];

    /// Number of planes.
    #[must_use]
    pub const fn planes(self) -> usize {
        match self {
            Self::I420 => 3,
            Self::Nv12 => 2,
            Self::Yuyv | Self::Uyvy | Self::Rgb24 | Self::Bgr24 | Self::Rgbx32 | Self::Bgrx32 => 1,
        }
    }

    /// Bytes of a sample of plane `index`, as [`Plane::width`] counts samples: a pixel's Y, a pair UV,
    /// two pixels together (YUYV, UYVY), or a pixel's R, G and B.
    #[must_use]
    pub const fn sample_bytes(self, index: usize) -> usize {
        match (self, index) {
            (Self::Nv12, 1) => 2,
            (Self::I420 | Self::Nv12, _) => 1,
            (Self::Yuyv | Self::Uyvy | Self::Rgbx32 | Self::Bgrx32, _) => 4,
            (Self::Rgb24 | Self::Bgr24, _) => 3,
        }
    }

    /// Whether pixels are red, green and blue, so that matrix and range mean nothing.
    #[must_use]
    pub const fn is_rgb(self) -> bool {
        match self {
            Self::Rgb24 | Self::Bgr24 | Self::Rgbx32 | Self::Bgrx32 => true,
            Self::I420 | Self::Nv12 | Self::Yuyv | Self::Uyvy => false,
        }
    }
}

/// Coefficients between YCbCr and RGB (ITU-R BT.601, BT.709).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColorMatrix {
    /// ITU-R BT.601, standard definition.
    Bt601,
    /// ITU-R BT.709, high definition.
    Bt709,
}

/// Which byte values black and white have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColorRange {
    /// Luma 16..=235, chroma 16..=240.
    Limited,
    /// 0..=255.
    Full,
}

/// Everything needed to read a frame's pixels, but the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameFormat {
    /// Picture size in pixels, after cropping and rotation.
    pub size: Size,
    /// Memory layout.
    pub pixel_format: PixelFormat,
    /// YCbCr coefficients; meaningless for RGB.
    pub matrix: ColorMatrix,
    /// YCbCr range; meaningless for RGB.
    pub range: ColorRange,
}

impl FrameFormat {
    /// Pictures of bytes R, G, B, as PNG and JPEG files give them.
    #[must_use]
    pub const fn rgb(size: Size) -> Self {
        Self {
            size,
            pixel_format: PixelFormat::Rgb24,
            matrix: ColorMatrix::Bt601,
            range: ColorRange::Full,
        }
    }
}

/// One plane of a picture, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'a> {
    /// Bytes from the first pixel of the first row to at least the last pixel of the last row.
    pub data: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Width in samples (pixels for Y and RGB, chroma samples otherwise; a UV pair is one sample, and
    /// so are the two pixels of YUYV and UYVY that share their chroma).
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// Where a plane lies in its buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaneLayout {
    /// Which of the buffer's memories; drivers may keep planes apart. 0 for the program's own memory.
    pub memory: usize,
    /// Bytes from the start of the memory to the plane's first pixel.
    pub offset: usize,
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// A device's pixel memory, mapped into this process: one or more memories, counted from 0.
///
/// Whoever implements it keeps the memory mapped, and its content as it is, from the time a frame is
/// made of it until its [`DeviceBuffer`] says that it is free.
pub trait DeviceMemory: Send + Sync + std::fmt::Debug {
    /// The bytes of memory `index`; empty for one that does not exist.
    fn bytes(&self, index: usize) -> &[u8];

    /// Memory `index` as a dmabuf, where the driver exports it.
    fn dmabuf(&self, index: usize) -> Option<BorrowedFd<'_>>;
}

/// Which device buffer: differs from every other of this process's life, so that what was made of a
/// buffer once (a GPU's image of it) can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(u64);

/// Says when a device's memory is gone, without keeping it.
#[derive(Clone, Debug)]
pub struct MemoryWatch(Weak<dyn DeviceMemory>);

impl MemoryWatch {
    /// Whether nobody has the memory any more: neither the device's source nor a frame.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

/// Who owns pixel memory.
#[derive(Clone, Debug)]
enum Memory {
    Own(Vec<u8>),
    Device(Arc<dyn DeviceMemory>, BufferId),
}

impl Default for Memory {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl Memory {
    fn bytes(&self, index: usize) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Device(memory, _) => memory.bytes(index),
        }
    }

    fn id(&self) -> Option<BufferId> {
        match self {
            Self::Own(_) => None,
            Self::Device(_, id) => Some(*id),
        }
    }
}

/// Where pixels are: memory with its plane layout.
#[derive(Clone, Debug, Default)]
struct Pixels {
    memory: Memory,
    planes: [PlaneLayout; 3],
}

/// One buffer of a device's, which becomes a frame, is looked at, and then goes back to the device.
/// Belongs to the source; nobody else queues it.
#[derive(Debug)]
pub struct DeviceBuffer(Arc<Pixels>);

impl DeviceBuffer {
    /// A buffer with its planes where `planes` says.
    #[must_use]
    pub fn new(memory: Arc<dyn DeviceMemory>, planes: [PlaneLayout; 3]) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = BufferId(NEXT.fetch_add(1, Ordering::Relaxed));
        Self(Arc::new(Pixels {
            memory: Memory::Device(memory, id),
            planes,
        }))
    }

    /// Whether no frame of it is left, so that the device may fill it again. Takes no lock.
    #[must_use]
    pub fn is_free(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some()
    }

    /// What the device has just put into it; `None` where the planes of `format` do not lie within
    /// the memory.
    #[must_use]
    pub fn frame(&self, meta: FrameMeta, format: FrameFormat) -> Option<Frame> {
        let frame = Frame {
            meta,
            format,
            pixels: Arc::clone(&self.0),
        };
        let fits = |index| frame.plane_bytes(index).is_some();
        (0..format.pixel_format.planes()).all(fits).then_some(frame)
    }
}

/// A frame's pixels as a GPU can import them: no copy.
#[derive(Clone, Copy, Debug)]
pub struct DmaBufPlane<'a> {
    /// The memory.
    pub fd: BorrowedFd<'a>,
    /// Where in it.
    pub layout: PlaneLayout,
}

/// Pixel memory that is being filled, by its only owner. Grows to what a source needs and is then
/// reused.
#[derive(Debug, Default)]
pub struct FrameBuffer(Arc<Pixels>);

impl FrameBuffer {
    /// Lays the buffer out for `format` with rows packed tightly, and hands out the planes to fill,
    /// in the order of the pixel format. Unused planes are empty.
    pub fn prepare(&mut self, format: &FrameFormat) -> [&mut [u8]; 3] {
        // Nobody else has a handle, so nothing is cloned here.
        let Pixels { memory, planes } = Arc::make_mut(&mut self.0);
        let data = match memory {
            Memory::Own(data) => data,
            Memory::Device(..) => unreachable!("only own memory comes from a pool"),
        };
        let mut lengths = [0_usize; 3];
        let mut offset = 0;
        for (index, length) in lengths
            .iter_mut()
            .enumerate()
            .take(format.pixel_format.planes())
        {
            let (row_bytes, rows) = plane_extent(format, index);
            *length = row_bytes * rows;
            planes[index] = PlaneLayout {
                memory: 0,
                offset,
                stride: row_bytes,
            };
            offset += *length;
        }
        data.resize(offset, 0);
        let (first, rest) = data.split_at_mut(lengths[0]);
        let (second, rest) = rest.split_at_mut(lengths[1]);
        let (third, _) = rest.split_at_mut(lengths[2]);
        [first, second, third]
    }
}

/// Bytes per row and rows of plane `index`, packed tightly.
#[must_use]
pub fn plane_extent(format: &FrameFormat, index: usize) -> (usize, usize) {
    let (width, height) = (format.size.width as usize, format.size.height as usize);
    match (format.pixel_format, index) {
        (PixelFormat::Rgb24 | PixelFormat::Bgr24, _) => (width * 3, height),
        (PixelFormat::Rgbx32 | PixelFormat::Bgrx32, _) => (width * 4, height),
        (PixelFormat::Yuyv | PixelFormat::Uyvy, _) => (width.div_ceil(2) * 4, height),
        (PixelFormat::I420 | PixelFormat::Nv12, 0) => (width, height),
        (PixelFormat::I420, _) => (width.div_ceil(2), height.div_ceil(2)),
        (PixelFormat::Nv12, _) => (width.div_ceil(2) * 2, height.div_ceil(2)),
    }
}

/// The buffers of one source, in use and free ones. It keeps a handle to each, so that whoever drops
/// the last handle of a frame, the decide thread perhaps, neither frees memory nor takes a lock.
#[derive(Debug, Default)]
pub struct BufferPool(Vec<Arc<Pixels>>);

impl BufferPool {
    /// An empty pool; it grows to the number of frames in flight at once and stays there.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A buffer that nobody looks at any more, or a new one where all are in use.
    #[must_use]
    pub fn take(&mut self) -> FrameBuffer {
        let free = self.0.iter_mut().position(|b| Arc::get_mut(b).is_some());
        free.map_or_else(FrameBuffer::default, |at| {
            FrameBuffer(self.0.swap_remove(at))
        })
    }
}

/// A picture with its origin: a handle, cheap to clone.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Where it comes from and when.
    pub meta: FrameMeta,
    format: FrameFormat,
    pixels: Arc<Pixels>,
}

impl Frame {
    /// Wraps a buffer that [`FrameBuffer::prepare`] laid out for `format`; `pool` can use it again
    /// when the last handle has gone.
    #[must_use]
    pub fn new(
        meta: FrameMeta,
        format: FrameFormat,
        buffer: FrameBuffer,
        pool: &mut BufferPool,
    ) -> Self {
        let FrameBuffer(pixels) = buffer;
        pool.0.push(Arc::clone(&pixels));
        Self {
            meta,
            format,
            pixels,
        }
    }

    /// How to read the pixels.
    #[must_use]
    pub const fn format(&self) -> &FrameFormat {
        &self.format
    }

    /// Picture size in pixels.
    #[must_use]
    pub const fn size(&self) -> Size {
        self.format.size
    }

    /// Plane `index` of the pixel format; empty for an index the format does not have.
    #[must_use]
    pub fn plane(&self, index: usize) -> Plane<'_> {
        if index >= self.format.pixel_format.planes() {
            return Plane {
                data: &[],
                stride: 0,
                width: 0,
                height: 0,
            };
        }
        let (row_bytes, height) = plane_extent(&self.format, index);
        let width = row_bytes / self.format.pixel_format.sample_bytes(index);
        Plane {
            // Checked when the frame was made.
            data: self.plane_bytes(index).unwrap_or_default(),
            stride: self.pixels.planes[index].stride,
            width,
            height,
        }
    }

    /// From the first pixel of plane `index` to its last, where the memory reaches that far.
    fn plane_bytes(&self, index: usize) -> Option<&[u8]> {
        let layout = self.pixels.planes[index];
        let (row_bytes, height) = plane_extent(&self.format, index);
        if height > 1 && layout.stride < row_bytes {
            return None;
        }
        let length = layout.stride.checked_mul(height.saturating_sub(1))?;
        let end = layout.offset.checked_add(length.checked_add(row_bytes)?)?;
        let memory = self.pixels.memory.bytes(layout.memory);
        memory.get(layout.offset..end)
    }

    /// The device's buffer that it lies in; `None` where it lies in the program's own memory.
    #[must_use]
    pub fn buffer_id(&self) -> Option<BufferId> {
        self.pixels.memory.id()
    }

    /// Watches over the device's memory that it lies in; `None` where it lies in the program's own.
    #[must_use]
    pub fn memory_watch(&self) -> Option<MemoryWatch> {
        match &self.pixels.memory {
            Memory::Own(_) => None,
            Memory::Device(memory, _) => Some(MemoryWatch(Arc::downgrade(memory))),
        }
    }

    /// Plane `index` of the pixel format for a GPU, where the device exports its memory.
    #[must_use]
    pub fn dmabuf(&self, index: usize) -> Option<DmaBufPlane<'_>> {
        let layout = *self.pixels.planes.get(index)?;
        match &self.pixels.memory {
            Memory::Own(_) => None,
            Memory::Device(memory, _) => Some(DmaBufPlane {
                fd: memory.dmabuf(layout.memory)?,
                layout,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(width: u32, height: u32, pixel_format: PixelFormat) -> FrameFormat {
        FrameFormat {
            size: Size { width, height },
            pixel_format,
            matrix: ColorMatrix::Bt601,
            range: ColorRange::Limited,
        }
    }

    fn meta() -> FrameMeta {
        FrameMeta {
            stream: StreamId::WorkerSafety,
            sequence: 0,
            media_time: Duration::ZERO,
            timestamp: MonotonicTime::ZERO,
            arrived: MonotonicTime::ZERO,
        }
    }

    #[test]
    fn odd_sizes_round_chroma_up() {
        for (pixel_format, expected) in [
            (PixelFormat::I420, [35, 12, 12]),
            (PixelFormat::Nv12, [35, 24, 0]),
            (PixelFormat::Yuyv, [84, 0, 0]),
            (PixelFormat::Uyvy, [84, 0, 0]),
            (PixelFormat::Rgb24, [105, 0, 0]),
            (PixelFormat::Bgr24, [105, 0, 0]),
            (PixelFormat::Rgbx32, [140, 0, 0]),
            (PixelFormat::Bgrx32, [140, 0, 0]),
        ] {
            let mut buffer = FrameBuffer::default();
            let planes = buffer.prepare(&format(5, 7, pixel_format));
            assert_eq!(
                planes.map(|plane| plane.len()),
                expected,
                "{pixel_format:?}"
            );
        }
    }

    #[test]
    fn a_buffer_is_used_again_when_its_last_handle_has_gone() {
        let mut pool = BufferPool::new();
        let format = format(4, 4, PixelFormat::I420);
        let mut buffer = pool.take();
        buffer.prepare(&format)[0].fill(7);
        let frame = Frame::new(meta(), format, buffer, &mut pool);
        let second = frame.clone();
        let place = frame.plane(0).data.as_ptr();
        drop(frame);
        let mut other = pool.take();
        assert_ne!(other.prepare(&format)[0].as_ptr(), place);
        assert_eq!(second.plane(0).data, [7; 16]);
        assert_eq!(second.plane(3).data.len(), 0);
        drop(second);
        let mut again = pool.take();
        assert_eq!(again.prepare(&format)[0].as_ptr(), place);
    }

    /// Luma in memory 0, chroma in memory 1, as the multi-planar API has it.
    #[derive(Debug)]
    struct TwoMemories([Vec<u8>; 2]);

    impl DeviceMemory for TwoMemories {
        fn bytes(&self, index: usize) -> &[u8] {
            self.0.get(index).map_or(&[], Vec::as_slice)
        }

        fn dmabuf(&self, _index: usize) -> Option<BorrowedFd<'_>> {
            None
        }
    }

    #[test]
    fn a_devices_planes_are_read_where_they_are_and_never_beyond_their_memory() {
        let memory = Arc::new(TwoMemories([vec![1; 3 * 8 + 4 + 2], vec![2; 8 + 4]]));
        let layouts = |offset| {
            let luma = PlaneLayout {
                memory: 0,
                offset,
                stride: 8,
            };
            let chroma = PlaneLayout {
                memory: 1,
                offset: 0,
                stride: 8,
            };
            [luma, chroma, PlaneLayout::default()]
        };
        let format = format(4, 4, PixelFormat::Nv12);
        let mut buffer = DeviceBuffer::new(memory.clone(), layouts(2));
        let frame = buffer.frame(meta(), format).expect("it fits");
        assert_eq!(frame.plane(0).data, [1; 28]);
        assert_eq!(frame.plane(1).data, [2; 12]);
        assert_eq!(frame.plane(1).stride, 8);
        assert!(!buffer.is_free());
        let other = frame.clone();
        drop(frame);
        assert!(!buffer.is_free());
        drop(other);
        assert!(buffer.is_free());
        let short = DeviceBuffer::new(memory, layouts(3));
        assert!(short.frame(meta(), format).is_none());
        assert_ne!(buffer.0.memory.id(), short.0.memory.id());
    }
}
