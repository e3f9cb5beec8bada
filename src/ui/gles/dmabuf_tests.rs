use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::frame::{DeviceBuffer, DeviceMemory, FrameMeta, PlaneLayout};
use crate::units::{MonotonicTime, StreamId};

/// Stands for a camera's memory: two of them, as the multi-planar API has it.
#[derive(Debug)]
struct Memory {
    bytes: [Vec<u8>; 2],
    files: [File; 2],
    exported: bool,
}

impl DeviceMemory for Memory {
    fn bytes(&self, index: usize) -> &[u8] {
        self.bytes.get(index).map_or(&[], Vec::as_slice)
    }

    fn dmabuf(&self, index: usize) -> Option<BorrowedFd<'_>> {
        let file = self.files.get(index).filter(|_| self.exported)?;
        Some(file.as_fd())
    }
}

fn memory(exported: bool) -> Arc<Memory> {
    let file = || File::open("/dev/null").expect("it is there");
    Arc::new(Memory {
        bytes: [vec![0; 1 << 16], vec![0; 1 << 16]],
        files: [file(), file()],
        exported,
    })
}

fn frame(memory: Arc<Memory>, format: FrameFormat, planes: [PlaneLayout; 3]) -> Frame {
    let meta = FrameMeta {
        stream: StreamId::WorkerSafety,
        sequence: 0,
        media_time: Duration::ZERO,
        timestamp: MonotonicTime::ZERO,
        arrived: MonotonicTime::ZERO,
    };
    let buffer = DeviceBuffer::new(memory, planes);
    buffer
        .frame(meta, format)
        .expect("planes within the memory")
}

fn format(pixel_format: PixelFormat, width: u32, height: u32) -> FrameFormat {
    FrameFormat {
        size: Size { width, height },
        pixel_format,
        matrix: ColorMatrix::Bt709,
        range: ColorRange::Limited,
    }
}

fn plane(memory: usize, offset: usize, stride: usize) -> PlaneLayout {
    PlaneLayout {
        memory,
        offset,
        stride,
    }
}

/// Key and value, without the end.
fn pairs(list: &[egl::Attrib]) -> Vec<(egl::Attrib, egl::Attrib)> {
    let (end, rest) = list.split_last().expect("an end");
    assert_eq!(*end, egl::ATTRIB_NONE);
    rest.as_chunks::<2>()
        .0
        .iter()
        .map(|[k, v]| (*k, *v))
        .collect()
}

#[test]
fn nv12_becomes_two_textures_of_its_own_layout() {
    let format = format(PixelFormat::Nv12, 35, 17);
    let memory = memory(true);
    let fds = [0, 1].map(|i: usize| usize::try_from(memory.files[i].as_raw_fd()).expect("open"));
    let planes = [plane(0, 128, 64), plane(1, 0, 48), PlaneLayout::default()];
    let frame = frame(memory, format, planes);
    let [luma, chroma, third] = by_planes(&format);
    assert_eq!(third, None);
    let list = attributes(&frame, luma.expect("luma"), Modifiers::Unsaid);
    assert_eq!(
        pairs(&list.expect("exported")),
        [
            (WIDTH, 35),
            (HEIGHT, 17),
            (FOURCC, 0x2020_3852),
            (0x3272, fds[0]),
            (0x3273, 128),
            (0x3274, 64),
        ]
    );
    let list = attributes(&frame, chroma.expect("chroma"), Modifiers::Said);
    assert_eq!(
        pairs(&list.expect("exported")),
        [
            (WIDTH, 18),
            (HEIGHT, 9),
            (FOURCC, 0x3838_5247),
            (0x3272, fds[1]),
            (0x3273, 0),
            (0x3274, 48),
            (0x3443, 0),
            (0x3444, 0),
        ]
    );
}

#[test]
fn a_whole_frame_names_every_plane_and_how_its_colours_are_meant() {
    let format = format(PixelFormat::I420, 32, 16);
    let planes = [plane(0, 0, 32), plane(0, 512, 16), plane(0, 640, 16)];
    let frame = frame(memory(true), format, planes);
    let list = attributes(&frame, whole(&format), Modifiers::Unsaid).expect("exported");
    let list = pairs(&list);
    let value = |key| {
        list.iter()
            .find(|(k, _)| *k == key)
            .map(|(_, value)| *value)
    };
    assert_eq!(value(FOURCC), Some(YU12 as usize));
    assert_eq!(
        [value(0x3273), value(0x3276), value(0x3279)],
        [Some(0), Some(512), Some(640)]
    );
    assert_eq!(
        [value(0x3274), value(0x3277), value(0x327A)],
        [Some(32), Some(16), Some(16)]
    );
    assert_eq!(value(COLOR_SPACE_HINT), Some(ITU_REC709));
    assert_eq!(value(SAMPLE_RANGE_HINT), Some(YUV_NARROW_RANGE));
    assert_eq!(value(0x3443), None);
}

#[test]
fn two_pixels_in_four_bytes_become_two_textures_of_the_same_memory() {
    for (pixel_format, name) in [(PixelFormat::Yuyv, "YUYV"), (PixelFormat::Uyvy, "UYVY")] {
        let format = format(pixel_format, 36, 17);
        let planes = [
            plane(0, 64, 80),
            PlaneLayout::default(),
            PlaneLayout::default(),
        ];
        let frame = frame(memory(true), format, planes);
        let [pixels, pairs_of_pixels, third] = by_planes(&format);
        assert_eq!(third, None);
        for (part, width, name) in [(pixels, 36, "GR88"), (pairs_of_pixels, 18, "AB24")] {
            let part = part.expect("a part");
            assert_eq!(fourcc_name(part.fourcc), name);
            let list = pairs(&attributes(&frame, part, Modifiers::Unsaid).expect("exported"));
            assert_eq!(list[..2], [(WIDTH, width), (HEIGHT, 17)]);
            assert_eq!(list[4..], [(0x3273, 64), (0x3274, 80)]);
        }
        let list = attributes(&frame, whole(&format), Modifiers::Unsaid).expect("exported");
        assert!(pairs(&list).iter().any(|(key, _)| *key == COLOR_SPACE_HINT));
        assert_eq!(fourcc_name(whole(&format).fourcc), name);
    }
}

#[test]
fn packed_pixels_become_two_textures_of_one_plane() {
    let format = format(PixelFormat::Yuyv, 35, 17);
    let planes = [
        plane(0, 0, 80),
        PlaneLayout::default(),
        PlaneLayout::default(),
    ];
    let frame = frame(memory(true), format, planes);
    let lists = by_planes(&format).map(|part| {
        let list = attributes(&frame, part?, Modifiers::Unsaid)?;
        Some(pairs(&list).into_iter().take(3).collect::<Vec<_>>())
    });
    let [gr88, ab24] = [GR88, ABGR8888].map(|fourcc| fourcc as usize);
    let expected = |width, fourcc| Some(vec![(WIDTH, width), (HEIGHT, 17), (FOURCC, fourcc)]);
    assert_eq!(lists, [expected(36, gr88), expected(18, ab24), None]);
    // As a whole the driver is told the colours, by halves it converts none.
    let told = attributes(&frame, whole(&format), Modifiers::Unsaid).expect("exported");
    assert!(pairs(&told).contains(&(COLOR_SPACE_HINT, ITU_REC709)));
}

#[test]
fn bytes_are_named_from_the_last_to_the_first() {
    for (pixel_format, name) in [
        (PixelFormat::Rgb24, "BG24"),
        (PixelFormat::Bgr24, "RG24"),
        (PixelFormat::Rgbx32, "XB24"),
        (PixelFormat::Bgrx32, "XR24"),
    ] {
        let format = format(pixel_format, 32, 16);
        let [part, second, _] = by_planes(&format);
        assert_eq!(fourcc_name(part.expect("one").fourcc), name);
        assert_eq!(part, Some(whole(&format)));
        assert_eq!(second, None);
    }
}

#[test]
fn rgb_has_no_colour_space() {
    let format = format(PixelFormat::Rgb24, 32, 16);
    let planes = [
        plane(0, 0, 96),
        PlaneLayout::default(),
        PlaneLayout::default(),
    ];
    let frame = frame(memory(true), format, planes);
    let list = attributes(&frame, whole(&format), Modifiers::Unsaid).expect("exported");
    assert!(pairs(&list).iter().all(|(key, _)| *key != COLOR_SPACE_HINT));
    assert_eq!(fourcc_name(whole(&format).fourcc), "BG24");
}

#[test]
fn what_is_not_exported_has_no_attributes() {
    let format = format(PixelFormat::Rgb24, 32, 16);
    let planes = [
        plane(0, 0, 96),
        PlaneLayout::default(),
        PlaneLayout::default(),
    ];
    let frame = frame(memory(false), format, planes);
    assert_eq!(attributes(&frame, whole(&format), Modifiers::Said), None);
}

#[test]
fn the_memory_s_end_is_seen() {
    let format = format(PixelFormat::Rgb24, 32, 16);
    let planes = [
        plane(0, 0, 96),
        PlaneLayout::default(),
        PlaneLayout::default(),
    ];
    let frame = frame(memory(true), format, planes);
    let watch = frame.memory_watch().expect("a device's memory");
    assert!(!watch.is_gone());
    drop(frame);
    assert!(watch.is_gone());
}
