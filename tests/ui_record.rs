//! A film can be played at every moment of its life: while it grows, after a crash, after a full
//! disk, and when it is finished.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test may fail and say why it was skipped; its pictures are small"
)]

use std::io::{self, Cursor, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use andon::geometry::Size;
use andon::ui::record::{RecordError, Recorder, Sink};
use shiguredo_mp4::demux::{DemuxError, Fmp4FileDemuxer, Input, Mp4FileDemuxer};

const SIZE: Size = Size {
    width: 320,
    height: 180,
};

/// A dark picture with a bright square that moves with `index`, grainy so that it does not encode
/// into next to nothing.
fn picture(index: u64) -> Vec<u8> {
    let left = square_left(index);
    let mut grain = index as u32;
    let mut rgba = Vec::with_capacity(320 * 180 * 4);
    for y in 0..180_u32 {
        for x in 0..320_u32 {
            let inside = (left..left + 40).contains(&x) && (70..110).contains(&y);
            grain = grain.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (grain >> 27) as u8;
            rgba.extend(if inside {
                [250, 60, 30, 255]
            } else {
                [30 + noise, 34 + noise, 38, 255]
            });
        }
    }
    rgba
}

/// Made once: a debug build takes longer to paint them than to encode them.
static PICTURES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| (0..100).map(picture).collect());

const fn square_left(index: u64) -> u32 {
    (index as u32 * 7) % 280
}

const fn at(index: u64) -> Duration {
    Duration::from_millis(5_000 + 40 * index)
}

/// One sample of a film: start and length in ticks of 1/90000 s, and its NAL units.
struct Played {
    start: u64,
    lasts: u32,
    data: Vec<u8>,
}

/// Reads an ordinary mp4, or a fragmented one.
fn play(bytes: &[u8]) -> Option<Film> {
    ordinary(bytes).or_else(|| fragmented(bytes))
}

fn parameter_sets(entry: &shiguredo_mp4::boxes::SampleEntry) -> Vec<u8> {
    let shiguredo_mp4::boxes::SampleEntry::Avc1(avc1) = entry else {
        panic!("not avc1: {entry:?}");
    };
    let lists = avc1.avcc_box.sps_list.iter().chain(&avc1.avcc_box.pps_list);
    lists
        .flat_map(|unit| [&[0, 0, 0, 1], unit.as_slice()].concat())
        .collect()
}

type Film = (Vec<Played>, Vec<u8>);

fn keep(film: &mut Film, sample: &shiguredo_mp4::demux::Sample<'_>, bytes: &[u8]) -> Option<()> {
    if let Some(entry) = sample.sample_entry {
        film.1 = parameter_sets(entry);
    }
    let start = sample.data_offset as usize;
    film.0.push(Played {
        start: sample.timestamp,
        lasts: sample.duration,
        data: bytes.get(start..start + sample.data_size)?.to_vec(),
    });
    Some(())
}

fn ordinary(bytes: &[u8]) -> Option<Film> {
    let mut film = Film::default();
    let mut demuxer = Mp4FileDemuxer::new();
    demuxer.handle_input(Input {
        position: 0,
        data: bytes,
    });
    while let Some(sample) = demuxer.next_sample().ok()? {
        keep(&mut film, &sample, bytes)?;
    }
    (!film.0.is_empty()).then_some(film)
}

fn fragmented(bytes: &[u8]) -> Option<Film> {
    let mut film = Film::default();
    let mut demuxer = Fmp4FileDemuxer::new();
    loop {
        let required = match demuxer.next_sample() {
            Ok(Some(sample)) => {
                keep(&mut film, &sample, bytes)?;
                continue;
            }
            Ok(None) => break,
            Err(DemuxError::InputRequired(required)) => required,
            Err(_) => return None,
        };
        let start = (required.position as usize).min(bytes.len());
        let length = required.size.unwrap_or(bytes.len());
        demuxer.handle_input(Input {
            position: required.position,
            data: &bytes[start..(start + length).min(bytes.len())],
        });
    }
    (!film.0.is_empty()).then_some(film)
}

/// Decodes every sample and gives the column where the bright square begins.
fn squares(played: &[Played], sets: &[u8]) -> Vec<u32> {
    use openh264::formats::YUVSource;
    let mut decoder = openh264::decoder::Decoder::new().unwrap();
    let mut found = Vec::new();
    for (index, sample) in played.iter().enumerate() {
        let mut stream = if index == 0 {
            sets.to_vec()
        } else {
            Vec::new()
        };
        let mut rest = sample.data.as_slice();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let (unit, after) = after.split_at(u32::from_be_bytes(*length) as usize);
            stream.extend([0, 0, 0, 1]);
            stream.extend(unit);
            rest = after;
        }
        let decoded = decoder
            .decode(&stream)
            .unwrap()
            .expect("one picture per sample");
        assert_eq!(decoded.dimensions(), (320, 180));
        let row = &decoded.y()[90 * decoded.strides().0..][..320];
        found.push(row.iter().position(|luma| *luma > 88).unwrap() as u32);
    }
    found
}

fn assert_plays(bytes: &[u8], frames: u64) {
    let (played, sets) = play(bytes).expect("a playable file");
    assert_eq!(played.len() as u64, frames);
    for (index, column) in (0..).zip(squares(&played, &sets)) {
        assert!(
            column.abs_diff(square_left(index)) <= 1,
            "frame {index}: {column}"
        );
    }
    for (index, sample) in (0..).zip(&played) {
        assert_eq!(
            (sample.start, sample.lasts),
            (index * 3600, 3600),
            "frame {index}"
        );
    }
}

/// What `ffprobe` says of a file: codec tag, frames, duration; `None` where it is not installed.
fn ffprobe(path: &Path) -> Option<String> {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_frames",
            "-select_streams",
            "v:0",
            "-show_entries",
        ])
        .args(["stream=codec_tag_string,width,height,nb_read_frames,color_space:format=duration"])
        .args(["-of", "default=nokey=1:noprint_wrappers=1"])
        .arg(path)
        .output()
        .ok()?;
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    Some(String::from_utf8(output.stdout).unwrap().replace('\n', " "))
}

fn record(recorder: &mut Recorder, frames: std::ops::Range<u64>) -> Result<(), RecordError> {
    frames
        .into_iter()
        .try_for_each(|index| recorder.push(&PICTURES[index as usize], at(index)))
}

#[test]
fn a_finished_film_holds_every_picture_at_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("film.mp4");
    let mut recorder = Recorder::create(&path, SIZE, 25.0).unwrap();
    record(&mut recorder, 0..90).unwrap();
    let recording = recorder.finish().unwrap();
    assert_eq!(
        (recording.frames, recording.duration),
        (90, Duration::from_millis(3600))
    );
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(recording.bytes, bytes.len() as u64);
    assert!(
        ordinary(&bytes).is_some(),
        "an ordinary mp4, not a fragmented one"
    );
    assert_plays(&bytes, 90);
    match ffprobe(&path) {
        Some(said) => assert_eq!(said, "avc1 320 180 bt709 90 3.600000 "),
        None => println!("skipped: ffprobe is not installed"),
    }
}

#[test]
fn uneven_times_are_kept_and_repeated_ones_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("film.mp4");
    let mut recorder = Recorder::create(&path, SIZE, 10.0).unwrap();
    for (index, ms) in (0..).zip([100, 140, 140, 90, 400, 5400]) {
        recorder
            .push(&picture(index), Duration::from_millis(ms))
            .unwrap();
    }
    let recording = recorder.finish().unwrap();
    assert_eq!(recording.duration, Duration::from_millis(5400));
    let (played, _) = play(&std::fs::read(&path).unwrap()).unwrap();
    let times: Vec<_> = played
        .iter()
        .map(|sample| (sample.start, sample.lasts))
        .collect();
    assert_eq!(
        times,
        [
            (0, 3600),
            (3600, 23_400),
            (27_000, 450_000),
            (477_000, 9000)
        ]
    );
}

#[test]
fn a_crash_costs_the_last_second_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("film.mp4");
    let mut recorder = Recorder::create(&path, SIZE, 25.0).unwrap();
    record(&mut recorder, 0..60).unwrap();
    // No destructor runs in a crash.
    std::mem::forget(recorder);
    assert_plays(&std::fs::read(&path).unwrap(), 50);
    match ffprobe(&path) {
        Some(said) => assert!(said.starts_with("avc1 320 180 bt709 50 2.0"), "{said}"),
        None => println!("skipped: ffprobe is not installed"),
    }
}

#[test]
fn dropping_a_recorder_finishes_the_film() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("film.mp4");
    let mut recorder = Recorder::create(&path, SIZE, 25.0).unwrap();
    record(&mut recorder, 0..30).unwrap();
    drop(recorder);
    let bytes = std::fs::read(&path).unwrap();
    assert!(ordinary(&bytes).is_some());
    assert_plays(&bytes, 30);
}

/// A disk with room for `room` bytes.
struct SmallDisk {
    file: Arc<Mutex<Cursor<Vec<u8>>>>,
    room: u64,
}

impl Write for SmallDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self.file.lock().unwrap();
        let left = self.room.saturating_sub(file.position());
        if left == 0 && !bytes.is_empty() {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let fits = bytes.len().min(left as usize);
        file.write(&bytes[..fits])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for SmallDisk {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.lock().unwrap().seek(to)
    }
}

impl Sink for SmallDisk {
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file
            .lock()
            .unwrap()
            .get_mut()
            .truncate(length as usize);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Records a hundred pictures on a disk with `room` bytes; the file, and how many it should hold.
fn record_on_disk(path: &Path, room: u64) -> (Vec<u8>, u64) {
    let file = Arc::new(Mutex::new(Cursor::new(Vec::new())));
    let disk = SmallDisk {
        file: Arc::clone(&file),
        room,
    };
    let mut recorder = Recorder::on(Box::new(disk), path, SIZE, 25.0).unwrap();
    let frames = match record(&mut recorder, 0..100) {
        Ok(()) => match recorder.finish() {
            Ok(recording) => recording.frames,
            Err(RecordError::Write { frames, .. }) => frames,
            Err(other) => panic!("{other}"),
        },
        Err(RecordError::Write {
            path,
            frames,
            source,
        }) => {
            assert_eq!(path, Path::new("/film/on/a/small/disk.mp4"));
            assert_eq!(source.kind(), io::ErrorKind::StorageFull);
            let again = recorder.push(&PICTURES[0], at(200));
            assert!(matches!(again, Err(RecordError::Ended { .. })), "{again:?}");
            frames
        }
        Err(other) => panic!("{other}"),
    };
    let bytes = file.lock().unwrap().get_ref().clone();
    (bytes, frames)
}

#[test]
fn a_full_disk_ends_the_film_where_the_last_fragment_fits() {
    let path = PathBuf::from("/film/on/a/small/disk.mp4");
    let (whole, _) = record_on_disk(&path, u64::MAX);
    let mut lengths = Vec::new();
    for step in 0..=16 {
        let room = whole.len() as u64 * step / 15;
        let (bytes, frames) = record_on_disk(&path, room);
        assert!(bytes.len() as u64 <= room);
        if frames > 0 {
            assert_plays(&bytes, frames);
        }
        lengths.push(frames);
    }
    assert!(lengths.is_sorted(), "{lengths:?}");
    assert_eq!((lengths[0], lengths.last()), (0, Some(&100)));
    assert!(
        lengths.contains(&25) && lengths.contains(&50),
        "{lengths:?}"
    );
}

/// The kernel's own limit on a file's size, in a process of its own.
#[test]
fn the_systems_file_size_limit_ends_the_film_too() {
    const CHILD: &str = "ANDON_TEST_LIMITED_FILM";
    if let Some(path) = std::env::var_os(CHILD) {
        use nix::sys::resource::{Resource, setrlimit};
        // Without a handler the signal would end the process before write can fail.
        let seen = Arc::new(std::sync::atomic::AtomicBool::new(false));
        signal_hook::flag::register(nix::libc::SIGXFSZ, seen).unwrap();
        setrlimit(Resource::RLIMIT_FSIZE, 600_000, 600_000).unwrap();
        let mut recorder = Recorder::create(Path::new(&path), SIZE, 25.0).unwrap();
        let error = record(&mut recorder, 0..100).unwrap_err();
        assert!(
            matches!(error, RecordError::Write { frames: 1.., .. }),
            "{error}"
        );
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("film.mp4");
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_systems_file_size_limit_ends_the_film_too"])
        .env(CHILD, &path)
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    let bytes = std::fs::read(&path).unwrap();
    let (played, sets) = play(&bytes).unwrap();
    assert!(squares(&played, &sets).len() >= 25);
}

#[test]
fn what_cannot_be_recorded_is_said_before_anything_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("film.mp4");
    for (width, height) in [(321, 180), (320, 181), (0, 0), (4096, 2304), (2, 2)] {
        let error = Recorder::create(&path, Size { width, height }, 25.0).unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains(&format!("{width}x{height}")) && said.contains("even"),
            "{said}"
        );
    }
    for fps in [0.0, -25.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(
            Recorder::create(&path, SIZE, fps),
            Err(RecordError::FrameRate(_))
        ));
    }
    assert!(!path.exists());
    let nowhere = directory.path().join("nowhere/film.mp4");
    let said = Recorder::create(&nowhere, SIZE, 25.0)
        .unwrap_err()
        .to_string();
    assert!(said.contains("nowhere/film.mp4"), "{said}");
}
