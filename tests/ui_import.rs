//! Frames drawn from a device's memory look like copied ones. Needs `/dev/udmabuf` (memory of the
//! program as dmabufs) and a driver that imports; says what it skips where one of them is missing.
#![allow(
    unsafe_code,
    reason = "making a dmabuf and mapping it are system calls; every block says why it holds"
)]

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use andon::app::gpu_preprocess::GpuPreprocess;
use andon::frame::{
    BufferPool, ColorMatrix, ColorRange, DeviceBuffer, DeviceMemory, Frame, FrameFormat, FrameMeta,
    PixelFormat, PlaneLayout,
};
use andon::geometry::{Rect, ScreenPixels, Size};
use andon::preprocess::{Preprocessor, TensorMut};
use andon::ui::gles::{EGL_LIBRARY, FrameCopies, VideoMeans};
use andon::ui::headless::HeadlessRenderer;
use andon::ui::scene::{Command, Rgba, Scene};
use andon::units::{MonotonicTime, StreamId};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// `struct udmabuf_create`, `linux/udmabuf.h`.
#[repr(C)]
struct UdmabufCreate {
    memfd: u32,
    flags: u32,
    offset: u64,
    size: u64,
}

nix::ioctl_write_ptr!(
    /// Makes a dmabuf of ordinary memory (`linux/udmabuf.h`).
    udmabuf_create, b'u', 0x42, UdmabufCreate);

/// Memory that stands for a camera's: mapped, and exported.
#[derive(Debug)]
struct Exported {
    mapped: NonNull<c_void>,
    length: usize,
    dmabuf: OwnedFd,
}

// SAFETY: the mapping is only written before the frame is made.
unsafe impl Send for Exported {}
// SAFETY: as above.
unsafe impl Sync for Exported {}

impl Exported {
    /// With this content; `None` where the machine cannot.
    fn new(content: &[u8]) -> Option<Self> {
        let device = OpenOptions::new().write(true).open("/dev/udmabuf").ok()?;
        let length = content.len().next_multiple_of(4096).max(4096);
        let memory = memfd_create(c"frame", MFdFlags::MFD_ALLOW_SEALING).ok()?;
        nix::unistd::ftruncate(&memory, i64::try_from(length).ok()?).ok()?;
        fcntl(&memory, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK)).ok()?;
        // SAFETY: a new shared mapping of the whole file.
        let mapped = unsafe {
            mmap(
                None,
                NonZeroUsize::new(length)?,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED,
                &memory,
                0,
            )
        };
        let mapped = mapped.ok()?;
        // SAFETY: the mapping is that long and nobody else has it.
        let bytes = unsafe { std::slice::from_raw_parts_mut(mapped.as_ptr().cast(), length) };
        bytes[..content.len()].copy_from_slice(content);
        let request = UdmabufCreate {
            memfd: u32::try_from(memory.as_raw_fd()).ok()?,
            flags: 1,
            offset: 0,
            size: length as u64,
        };
        // SAFETY: both descriptors are open; the kernel reads the struct, which lives here.
        let dmabuf = unsafe { udmabuf_create(device.as_raw_fd(), &raw const request) };
        // SAFETY: the call just made it, for us.
        let dmabuf = unsafe { OwnedFd::from_raw_fd(dmabuf.ok()?) };
        Some(Self {
            mapped,
            length,
            dmabuf,
        })
    }
}

impl Drop for Exported {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and no frame is left that could look at it.
        let _ = unsafe { munmap(self.mapped, self.length) };
    }
}

impl DeviceMemory for Exported {
    fn bytes(&self, index: usize) -> &[u8] {
        if index > 0 {
            return &[];
        }
        // SAFETY: the mapping lives as long as this value, and nobody writes to it.
        unsafe { std::slice::from_raw_parts(self.mapped.as_ptr().cast(), self.length) }
    }

    fn dmabuf(&self, index: usize) -> Option<BorrowedFd<'_>> {
        (index == 0).then(|| self.dmabuf.as_fd())
    }
}

fn meta(sequence: u64) -> FrameMeta {
    FrameMeta {
        stream: StreamId::WorkerSafety,
        sequence,
        media_time: Duration::ZERO,
        timestamp: MonotonicTime::ZERO,
        arrived: MonotonicTime::ZERO,
    }
}

/// A frame with a picture in it that has every colour somewhere, in the program's own memory.
fn own(format: FrameFormat, seed: usize) -> Frame {
    let mut pool = BufferPool::new();
    let mut buffer = pool.take();
    let stride = format.size.width as usize;
    for (plane, bytes) in buffer.prepare(&format).into_iter().enumerate() {
        for (at, byte) in bytes.iter_mut().enumerate() {
            let (x, y) = (at % stride, at / stride);
            let value = (x * 2 + y * (3 + plane) + seed * 40 + plane * 60) % 220;
            *byte = u8::try_from(value + 16).expect("a byte");
        }
    }
    Frame::new(meta(seed as u64), format, buffer, &mut pool)
}

/// The same in exported memory, rows further apart than they are long.
fn exported(frame: &Frame) -> Option<(Frame, DeviceBuffer)> {
    let mut content = vec![0; 256];
    let mut planes = [PlaneLayout::default(); 3];
    for (index, layout) in planes
        .iter_mut()
        .enumerate()
        .take(frame.format().pixel_format.planes())
    {
        let plane = frame.plane(index);
        let stride = (plane.stride + 1).next_multiple_of(64);
        *layout = PlaneLayout {
            memory: 0,
            offset: content.len(),
            stride,
        };
        for row in plane.data.chunks(plane.stride) {
            let at = content.len();
            content.extend_from_slice(row);
            content.resize(at + stride, 0xAA);
        }
    }
    let buffer = DeviceBuffer::new(Arc::new(Exported::new(&content)?), planes);
    let frame = buffer.frame(frame.meta, *frame.format())?;
    Some((frame, buffer))
}

fn scene(size: Size) -> Scene {
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let rect: Option<Rect<ScreenPixels>> =
        Rect::new(0.0, 0.0, size.width as f32, size.height as f32);
    Scene {
        size,
        background: Rgba {
            r: 0,
            g: 0,
            b: 0,
            a: 255,
        },
        commands: vec![Command::Video {
            stream: StreamId::WorkerSafety,
            rect: rect.expect("a rectangle"),
        }],
    }
}

const SIZE: Size = Size {
    width: 64,
    height: 48,
};

/// A renderer; `None`, said, where this machine cannot draw. A thread has one at a time.
fn renderer() -> Option<HeadlessRenderer> {
    HeadlessRenderer::new(SIZE)
        .inspect_err(|error| eprintln!("skipped: {error}"))
        .ok()
}

fn draw(renderer: &mut HeadlessRenderer, frame: &Frame) -> Vec<u8> {
    let picture = renderer.render(&scene(SIZE), [Some(frame), None]);
    picture.expect("drawn").to_vec()
}

/// Frames of every format, in the program's own memory.
fn frames() -> Vec<Frame> {
    let mut frames = Vec::new();
    for pixel_format in PixelFormat::ALL {
        for (matrix, range) in [
            (ColorMatrix::Bt601, ColorRange::Limited),
            (ColorMatrix::Bt709, ColorRange::Full),
        ] {
            let format = FrameFormat {
                size: SIZE,
                pixel_format,
                matrix,
                range,
            };
            frames.extend((0..3).map(|_| format));
        }
    }
    let numbered = frames.into_iter().enumerate();
    numbered.map(|(seed, format)| own(format, seed)).collect()
}

#[test]
fn imported_frames_look_like_copied_ones_and_their_buffers_come_back() {
    if File::open("/dev/udmabuf").is_err() {
        eprintln!("skipped: no /dev/udmabuf here");
        return;
    }
    let frames = frames();
    let expected: Vec<Vec<u8>> = {
        let Some(mut copying) = renderer() else {
            return;
        };
        copying
            .prepare_videos_by(VideoMeans::Shader)
            .expect("the shader works");
        frames
            .iter()
            .map(|frame| draw(&mut copying, frame))
            .collect()
    };
    let Some(mut importing) = renderer() else {
        return;
    };
    eprintln!(
        "{} imports {:?}",
        importing.device(),
        importing.import_formats()
    );
    let mut buffers = Vec::new();
    for (copy, expected) in frames.iter().zip(&expected) {
        let Some((frame, buffer)) = exported(copy) else {
            eprintln!("skipped: no dmabuf can be made here");
            return;
        };
        let before = importing.copies();
        let picture = draw(&mut importing, &frame);
        let now = importing.copies();
        let format = frame.format();
        if now.imported == before.imported {
            eprintln!("skipped: {format:?} is not imported by this driver");
            continue;
        }
        assert_eq!(now.copied, before.copied, "{format:?}: also copied");
        let worst = picture
            .iter()
            .zip(expected)
            .map(|(a, b)| a.abs_diff(*b))
            .max();
        assert!(
            worst.is_some_and(|worst| worst <= 1),
            "{format:?}: {worst:?} apart"
        );
        // The same buffer, filled anew: nothing has to be imported again.
        drop(frame);
        buffers.push(buffer);
    }
    // Another picture: by then the device has passed the fences of those before.
    for _ in 0..2 {
        draw(&mut importing, &frames[0]);
    }
    assert!(
        buffers.iter_mut().all(DeviceBuffer::is_free),
        "a frame is still held"
    );
    let FrameCopies { imported, copied } = importing.copies();
    eprintln!("{imported} frames were imported, {copied} copied");
}

#[test]
fn a_detectors_input_of_an_imported_frame_is_the_cpus_and_the_buffer_comes_back() {
    if File::open("/dev/udmabuf").is_err() {
        eprintln!("skipped: no /dev/udmabuf here");
        return;
    }
    let target = Size {
        width: 30,
        height: 30,
    };
    for copy in frames() {
        let mut renderer = GpuPreprocess::with_egl(EGL_LIBRARY, target, Duration::from_secs(60));
        if let Err(error) = renderer.connect() {
            eprintln!("skipped: {error}");
            return;
        }
        let mut gpu = Preprocessor::new(target);
        gpu.render_by(Box::new(renderer));
        let Some((frame, mut buffer)) = exported(&copy) else {
            eprintln!("skipped: no dmabuf can be made here");
            return;
        };
        let format = *frame.format();
        let mut tensors = [(); 2].map(|()| vec![0; 3 * 30 * 30]);
        let [expected, actual] = &mut tensors;
        let whole = Rect::FULL.to_frame(frame.size());
        let filled = Preprocessor::new(target).fill(&copy, whole, TensorMut::U8(expected));
        filled.expect("the CPU can");
        gpu.begin(&frame, whole);
        gpu.fill(&frame, whole, TensorMut::U8(actual))
            .expect("filled");
        if let Some(refused) = gpu.take_failure() {
            // Nothing is copied behind the operator's back: the CPU reads the frame where it is.
            assert!(refused.contains("cannot be imported"), "{refused}");
            assert_eq!(actual, expected);
            eprintln!("skipped: {format:?} is not imported by this driver");
            continue;
        }
        let worst = actual.iter().zip(&*expected).map(|(a, e)| a.abs_diff(*e));
        let worst = worst.max().expect("values");
        assert!(worst <= 3, "{format:?}: {worst} levels apart");
        drop(frame);
        assert!(buffer.is_free(), "{format:?}: the frame is still held");
    }
}
