//! Camera checks on film: the bundled clip as it is and altered in memory, from the picture to the
//! run permission. Says what it measured: false alarms, delays in frames, cost.

#![allow(
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "bytes made for the test; figures for the log; a test that panics has failed"
)]

#[path = "support/allocations.rs"]
mod allocations;
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use allocations::allocations;
use andon::capture::{self, Captured};
use andon::config::{CameraChecksConfig, CameraConfig, Config, InputSpec, Overrides, load};
use andon::decision::Decision;
use andon::frame::{BufferPool, Frame, FrameBuffer, plane_extent};
use andon::message::{
    Cause, Detections, DetectorTest, Fault, FieldLevels, Findings, InputState, LineHealth,
    OutputName, PermissionState, PictureDoubt, TripCause, Verdict,
};
use andon::scrutiny::{Measures, Scrutiny};
use andon::units::{MonotonicTime, StreamId};
use serde_json::Value;
use support::{RUN, WORKER_SAFETY, argument, complaint, of_type, report, run, run_clips};

use PictureDoubt::{Covered, Frozen, Moved};

const WIDTH: usize = 768;
const HEIGHT: usize = 576;
/// First altered frame: the reference is complete after 5 s, that is 50 frames.
const ALTERED_FROM: usize = 60;

/// The first `count` frames of the clip, at their times.
fn clip(count: usize) -> Vec<Frame> {
    let spec = InputSpec::Video(WORKER_SAFETY.into());
    let mut source = capture::open(&spec, &CameraConfig::default(), StreamId::WorkerSafety)
        .expect("the bundled clip");
    let mut frames = Vec::new();
    while frames.len() < count {
        match source.next_frame().expect("the bundled clip is whole") {
            Captured::Frame(mut frame) => {
                frame.meta.timestamp = MonotonicTime::from_duration(frame.meta.media_time);
                frames.push(frame);
            }
            Captured::End | Captured::Nothing => break,
        }
    }
    frames
}

/// The same frame with other luma; chroma is taken from `chroma`.
fn with_luma(frame: &Frame, chroma: &Frame, luma: impl Fn(usize, usize) -> f32) -> Frame {
    let mut buffer = FrameBuffer::default();
    for (index, target) in buffer.prepare(frame.format()).into_iter().enumerate() {
        let source = chroma.plane(index);
        let (row_bytes, _) = plane_extent(frame.format(), index);
        if row_bytes == 0 || target.is_empty() {
            continue;
        }
        for (y, row) in target.chunks_exact_mut(row_bytes).enumerate() {
            if index == 0 {
                for (x, pixel) in row.iter_mut().enumerate() {
                    *pixel = luma(x, y) as u8;
                }
            } else {
                row.copy_from_slice(&source.data[y * source.stride..][..row_bytes]);
            }
        }
    }
    Frame::new(frame.meta, *frame.format(), buffer, &mut BufferPool::new())
}

/// Luma between pixels; outside, the nearest.
fn sample(frame: &Frame, x: f32, y: f32) -> f32 {
    let plane = frame.plane(0);
    let x = x.clamp(0.0, WIDTH as f32 - 1.001);
    let y = y.clamp(0.0, HEIGHT as f32 - 1.001);
    let (left, top) = (x as usize, y as usize);
    let (right, down) = (x - left as f32, y - top as f32);
    let at = |x: usize, y: usize| f32::from(plane.data[y * plane.stride + x]);
    let upper = at(left, top) * (1.0 - right) + at(left + 1, top) * right;
    let lower = at(left, top + 1) * (1.0 - right) + at(left + 1, top + 1) * right;
    upper * (1.0 - down) + lower * down
}

/// Noise of about this standard deviation, different in every frame.
fn noise(x: usize, y: usize, frame: usize, sigma: f32) -> f32 {
    let mut state = (x as u64) << 40 ^ (y as u64) << 20 ^ frame as u64 ^ 0x9E37_79B9_7F4A_7C15;
    let mut sum = 0.0;
    for _ in 0..4 {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        sum += (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1 << 24) as f32 - 0.5;
    }
    sum * sigma / 0.577
}

fn moved(frame: &Frame, dx: f32, dy: f32) -> Frame {
    with_luma(frame, frame, |x, y| {
        sample(frame, x as f32 - dx, y as f32 - dy)
    })
}

fn turned(frame: &Frame, degrees: f32) -> Frame {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (cx, cy) = (WIDTH as f32 / 2.0, HEIGHT as f32 / 2.0);
    with_luma(frame, frame, |x, y| {
        let (u, v) = (x as f32 - cx, y as f32 - cy);
        sample(frame, cos * u - sin * v + cx, sin * u + cos * v + cy)
    })
}

/// Luma by a rule of the old one, black level 16.
fn relit(frame: &Frame, rule: impl Fn(f32) -> f32) -> Frame {
    with_luma(frame, frame, |x, y| {
        let old = (sample(frame, x as f32, y as f32) - 16.0) / 219.0;
        (rule(old.max(0.0)) * 219.0 + 16.0).clamp(0.0, 255.0)
    })
}

/// What is said of each frame.
fn watch<'a>(
    scrutiny: &mut Scrutiny,
    frames: impl IntoIterator<Item = &'a Frame>,
) -> Vec<Option<PictureDoubt>> {
    frames
        .into_iter()
        .map(|frame| scrutiny.observe(frame))
        .collect()
}

/// Shows the clip until [`ALTERED_FROM`], then `count` altered frames.
fn after_the_alteration(
    frames: &[Frame],
    count: usize,
    alter: impl Fn(usize, &Frame) -> Frame,
) -> Vec<Option<PictureDoubt>> {
    let mut scrutiny = Scrutiny::new(CameraChecksConfig::default());
    let (good, rest) = frames.split_at(ALTERED_FROM);
    assert_eq!(watch(&mut scrutiny, good), vec![None; ALTERED_FROM]);
    let altered: Vec<Frame> = rest
        .iter()
        .take(count)
        .enumerate()
        .map(|(n, frame)| alter(n, frame))
        .collect();
    watch(&mut scrutiny, &altered)
}

/// Frames from the first altered one to the first alarm, and what it was; then it has to stay.
fn alarm(said: &[Option<PictureDoubt>]) -> Option<(usize, PictureDoubt)> {
    let first = said.iter().position(Option::is_some)?;
    assert!(
        said[first..].iter().all(|doubt| *doubt == said[first]),
        "it comes and goes: {said:?}"
    );
    said[first].map(|doubt| (first, doubt))
}

#[test]
fn the_untouched_clip_raises_no_alarm_wherever_it_begins() {
    let frames = clip(300);
    assert_eq!(frames.len(), 300);
    for start in [0, 60, 130, 200] {
        let mut scrutiny = Scrutiny::new(CameraChecksConfig::default());
        let mut lowest = 1.0_f32;
        for frame in &frames[start..] {
            assert_eq!(
                scrutiny.observe(frame),
                None,
                "frame {}",
                frame.meta.sequence
            );
            // The first picture has nothing to be compared with.
            if frame.meta.sequence > frames[start].meta.sequence {
                lowest = lowest.min(scrutiny.measures().in_place_share);
            }
        }
        println!(
            "from frame {start}: 0 alarms in {} frames; at least {:.0} % of the contours in place",
            300 - start,
            lowest * 100.0
        );
        assert!(lowest > 0.6, "little room to the limit of 0.5: {lowest}");
    }
}

#[test]
fn light_that_changes_raises_no_alarm() {
    let frames = clip(130);
    type Light = fn(f32, usize) -> f32;
    let lights: [(&str, Light); 8] = [
        ("dimmed to 70 %", |v, _| v * 0.7),
        ("dimmed to 40 %", |v, _| v * 0.4),
        ("brightened to 130 %", |v, _| v * 1.3),
        ("a ramp down by 30 %", |v, n| {
            v * (1.0 - 0.3 * n as f32 / 70.0)
        }),
        ("a ramp up by 30 %", |v, n| {
            v * (1.0 + 0.3 * n as f32 / 70.0)
        }),
        ("gamma 0.6", |v, _| v.powf(0.6)),
        ("gamma 1.6", |v, _| v.powf(1.6)),
        ("flicker of 20 %", |v, n| {
            v * if n % 2 == 0 { 0.8 } else { 1.0 }
        }),
    ];
    for (name, light) in lights {
        let said = after_the_alteration(&frames, 70, |n, frame| relit(frame, |v| light(v, n)));
        let alarms = said.iter().flatten().count();
        println!("{name}: {alarms} alarms in {} frames", said.len());
        assert_eq!(alarms, 0, "{name}");
    }
}

#[test]
fn a_frozen_film_is_noticed_within_its_time() {
    let frames = clip(90);
    let still = |cycle: usize| {
        let frames = &frames;
        move |n: usize, frame: &Frame| {
            let mut stuck = frames[ALTERED_FROM + n % cycle].clone();
            stuck.meta = frame.meta;
            stuck
        }
    };
    // The first of the stuck pictures is new; it is frozen for more than 500 ms five frames later.
    assert_eq!(
        alarm(&after_the_alteration(&frames, 30, still(1))),
        Some((6, Frozen))
    );
    assert_eq!(
        alarm(&after_the_alteration(&frames, 30, still(4))),
        Some((9, Frozen))
    );
    assert_eq!(
        alarm(&after_the_alteration(&frames, 30, still(8))),
        Some((13, Frozen))
    );
}

#[test]
fn a_covered_lens_is_noticed_within_its_time() {
    let frames = clip(80);
    type Cover = fn(usize, usize, usize) -> f32;
    let covers: [(&str, Cover); 4] = [
        ("a lens cap with noise", |x, y, n| {
            18.0 + noise(x, y, n, 4.0).abs()
        }),
        ("white-out", |_, _, _| 235.0),
        ("grey cloth, lit from a side", |x, y, n| {
            70.0 + 50.0 * x as f32 / 768.0 + noise(x, y, n, 5.0)
        }),
        ("noise alone, as at night", |x, y, n| {
            (40.0 + noise(x, y, n, 12.0)).clamp(0.0, 255.0)
        }),
    ];
    for (name, cover) in covers {
        let said = after_the_alteration(&frames, 20, |n, frame| {
            with_luma(frame, frame, |x, y| cover(x, y, n))
        });
        println!("{name}: {:?}", alarm(&said));
        assert_eq!(alarm(&said), Some((2, Covered)), "{name}");
    }
    let veiled = after_the_alteration(&frames, 20, |n, frame| {
        with_luma(frame, frame, |x, y| {
            130.0 + (sample(frame, x as f32, y as f32) - 130.0) * 0.12 + noise(x, y, n, 2.0)
        })
    });
    println!(
        "a veil that leaves 12 % of the contrast: {:?}",
        alarm(&veiled)
    );
    assert_eq!(alarm(&veiled), Some((2, Covered)));
}

/// Means over (2r+1)² pixels, sampled sparsely: far out of focus.
fn blurred(frame: &Frame, radius: i32) -> Frame {
    let step = usize::try_from(radius / 2).expect("positive");
    with_luma(frame, frame, |x, y| {
        let (mut sum, mut count) = (0.0, 0.0);
        for dy in (-radius..=radius).step_by(step) {
            for dx in (-radius..=radius).step_by(step) {
                sum += sample(frame, x as f32 + dx as f32, y as f32 + dy as f32);
                count += 1.0;
            }
        }
        sum / count
    })
}

#[test]
fn a_lens_far_out_of_focus_is_noticed() {
    let frames = clip(72);
    let said = after_the_alteration(&frames, 12, |_, frame| blurred(frame, 20));
    println!("blurred over 41 pixels: {:?}", alarm(&said));
    assert!(alarm(&said).is_some());
}

#[test]
fn a_moved_camera_is_noticed_within_its_time() {
    let frames = clip(80);
    // The limit is 1 % of the width, 7.7 pixels; half a pixel is the blur of the interpolation.
    for (dx, dy, expected) in [
        (5.0, 0.0, None),
        (0.0, 5.0, None),
        (12.0, 0.0, Some((10, Moved))),
        (0.0, -12.0, Some((10, Moved))),
        (9.0, 9.0, Some((10, Moved))),
        (60.0, 20.0, Some((10, Moved))),
    ] {
        let said = after_the_alteration(&frames, 16, |_, frame| moved(frame, dx, dy));
        println!("moved by {dx}, {dy}: {:?}", alarm(&said));
        assert_eq!(alarm(&said), expected, "by {dx}, {dy}");
    }
    for (degrees, expected) in [
        (0.5, None),
        (3.0, Some((10, Moved))),
        (-3.0, Some((10, Moved))),
    ] {
        let said = after_the_alteration(&frames, 16, |_, frame| turned(frame, degrees));
        println!("turned by {degrees} degrees: {:?}", alarm(&said));
        assert_eq!(alarm(&said), expected, "by {degrees}");
    }
}

#[test]
fn a_view_that_is_mostly_blocked_is_noticed_and_a_third_of_it_is_not() {
    let frames = clip(100);
    let blocked = |share: f32| {
        let frames = &frames;
        move |n: usize, frame: &Frame| {
            // What blocks the view has contours of its own: another part of another frame.
            let other = &frames[(n * 7) % 60];
            with_luma(frame, frame, |x, y| {
                let (x, y) = (x as f32, y as f32);
                if x < share * WIDTH as f32 {
                    sample(other, (x + 300.0) % 768.0, (y + 200.0) % 576.0)
                } else {
                    sample(frame, x, y)
                }
            })
        }
    };
    assert_eq!(
        alarm(&after_the_alteration(&frames, 16, blocked(0.25))),
        None
    );
    assert_eq!(
        alarm(&after_the_alteration(&frames, 16, blocked(0.65))),
        Some((10, Moved))
    );
}

#[test]
fn looking_at_a_picture_allocates_nothing_and_costs_little() {
    let frames = clip(100);
    let mut scrutiny = Scrutiny::new(CameraChecksConfig::default());
    let before = allocations();
    let started = Instant::now();
    let alarms = frames
        .iter()
        .filter_map(|frame| scrutiny.observe(frame))
        .count();
    let spent = started.elapsed() / 100;
    assert_eq!(allocations() - before, 0, "allocations in 100 frames");
    assert_eq!(alarms, 0);
    // Not a limit: this is not the release build, and the machine is shared.
    println!(
        "{WIDTH}x{HEIGHT}: {} us per frame in this build",
        spent.as_micros()
    );
    let Measures { contours, .. } = scrutiny.measures();
    println!("{contours} contours");
}

fn config() -> Config {
    let loaded = load(Path::new("config/andon.toml"), &Overrides::default());
    loaded.expect("the shipped configuration").config
}

/// The film's way to the run permission: scrutiny and decision, with a detector that sees nobody.
struct Line {
    scrutiny: Scrutiny,
    decision: Decision,
    causes: Vec<(Duration, Cause)>,
}

impl Line {
    fn new() -> Self {
        let config = config();
        let labels = ["fresh_apple", "rotten_apple"].map(str::to_owned);
        Self {
            scrutiny: Scrutiny::new(config.camera_checks.clone()),
            decision: Decision::new(&config, &labels),
            causes: Vec::new(),
        }
    }

    fn show(&mut self, frame: &Frame) -> Verdict {
        let doubt = self.scrutiny.observe(frame);
        let nobody = Findings::Persons(Detections::new());
        let now = frame.meta.timestamp;
        let (verdict, actions) =
            self.decision
                .on_picture(StreamId::WorkerSafety, now, doubt, &nobody, now);
        for change in &actions.changes {
            if change.command.output == OutputName::RunPermission {
                self.causes.push((now.since_epoch(), change.cause));
            }
        }
        verdict
    }

    /// Presses and lets go at `now`.
    fn reset(&mut self, now: MonotonicTime) {
        for (later, reset) in [(0, InputState::Active), (50, InputState::Inactive)] {
            let field = FieldLevels {
                reset,
                ..FieldLevels::default()
            };
            let now = now + Duration::from_millis(later);
            let actions = self.decision.tick(now, field, LineHealth::Healthy);
            for change in &actions.changes {
                self.causes.push((now.since_epoch(), change.cause));
            }
        }
    }
}

#[test]
fn a_lens_cap_takes_the_run_permission_and_locks_it_out_until_it_is_gone_and_reset() {
    let frames = clip(150);
    let stream = StreamId::WorkerSafety;
    let mut line = Line::new();
    let zero = MonotonicTime::ZERO;
    line.decision.on_self_test(DetectorTest::Passed, zero);
    // The button has to be seen released before it counts.
    line.decision.tick(
        MonotonicTime::ZERO,
        FieldLevels::default(),
        LineHealth::Healthy,
    );
    for frame in &frames[..60] {
        line.show(frame);
    }
    line.reset(frames[59].meta.timestamp + Duration::from_millis(10));
    assert_eq!(line.decision.permission(), PermissionState::On);
    let capped =
        |frame: &Frame, n: usize| with_luma(frame, frame, |x, y| 18.0 + noise(x, y, n, 4.0).abs());
    for (n, frame) in frames[60..90].iter().enumerate() {
        let verdict = line.show(&capped(frame, n));
        let Verdict::Safety(verdict) = verdict else {
            panic!("a safety frame")
        };
        assert_eq!(verdict.occupied, n >= 2, "frame {n}");
        assert_eq!(line.decision.permission().is_on(), n < 2, "frame {n}");
    }
    let trip = Cause::Trip(TripCause::Picture(stream, Covered));
    assert_eq!(line.causes.last().map(|(_, cause)| *cause), Some(trip));
    assert_eq!(
        trip.with_names(&[]).to_string(),
        "worker_safety is covered: no texture"
    );
    let locked = PermissionState::LockedOut(Fault::CameraCovered(stream));
    assert_eq!(line.decision.permission(), locked, "after fault_after_ms");
    line.reset(frames[89].meta.timestamp + Duration::from_millis(10));
    assert_eq!(
        line.decision.permission(),
        locked,
        "a reset while it lasts is in vain"
    );
    for frame in &frames[90..120] {
        line.show(frame);
    }
    assert_eq!(
        line.decision.permission(),
        locked,
        "it does not go by itself"
    );
    line.reset(frames[119].meta.timestamp + Duration::from_millis(10));
    assert_eq!(line.decision.permission(), PermissionState::Interlocked);
    for frame in &frames[120..] {
        line.show(frame);
    }
    line.reset(frames[149].meta.timestamp + Duration::from_millis(10));
    assert_eq!(line.decision.permission(), PermissionState::On);
}

/// `condition` of each safety line.
fn conditions(report: &[Value]) -> Vec<Option<&str>> {
    let lines = of_type(report, "safety");
    lines
        .iter()
        .map(|line| line.get("condition").and_then(Value::as_str))
        .collect()
}

#[test]
fn a_run_reports_the_condition_and_a_replay_repeats_it() {
    let bars = "pattern:bars?frames=100&size=320x240&fps=30";
    let inspection = "pattern:noise?frames=1&size=64x64";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (first, second) = (folder.path().join("a.jsonl"), folder.path().join("b.jsonl"));
    let inputs = [
        "--worker-safety-input",
        bars,
        "--visual-inspection-input",
        inspection,
    ];
    let mut arguments = RUN.to_vec();
    arguments.extend(["--report", argument(&first)]);
    arguments.extend(inputs);
    let output = run(&arguments);
    assert!(output.status.success(), "{}", complaint(&output));
    let first_lines = report(&first);
    let found = conditions(&first_lines);
    assert_eq!(found[..16], [None; 16], "up to 500 ms the same is nothing");
    assert_eq!(found[16..], [Some("frozen"); 84]);
    for (line, condition) in of_type(&first_lines, "safety").iter().zip(&found) {
        assert_eq!(line["occupied"], condition.is_some(), "{line}");
    }
    let output = run(&["replay", argument(&first), "--output", argument(&second)]);
    assert!(output.status.success(), "{}", complaint(&output));
    assert_eq!(
        of_type(&first_lines, "safety"),
        of_type(&report(&second), "safety")
    );
}

#[test]
fn the_clip_runs_without_a_condition() {
    let report = run_clips(&["--frames", "80"]);
    assert_eq!(conditions(&report), [None; 80]);
}

#[test]
fn a_reference_is_taken_kept_and_missed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("andon.toml");
    let root = std::env::current_dir().expect("the repository");
    let root = root.to_str().expect("a UTF-8 path");
    let text = std::fs::read_to_string("config/andon.toml")
        .expect("the shipped configuration")
        .replace("\"../", &format!("\"{root}/"))
        .replace(
            "\"keepout.toml\"",
            &format!("\"{root}/config/keepout.toml\""),
        )
        .replace("# reference = ", "reference = ");
    std::fs::write(&config, text).expect("written");
    let few = |more: &[&str]| {
        let mut arguments = vec!["run", "--config", argument(&config), "--display", "none"];
        let report = folder.path().join("report.jsonl");
        arguments.extend(["--pace", "asap", "--engine", "cpu", "--frames", "20"]);
        arguments.extend(["--report", argument(&report)]);
        arguments.extend(more);
        run(&arguments)
    };
    let output = few(&[]);
    assert_eq!(
        output.status.code(),
        Some(2),
        "without its reference nothing runs"
    );
    let text = complaint(&output);
    assert!(
        text.contains("camera_reference.png") && text.contains("andon reference take"),
        "{text}"
    );

    let output = run(&["reference", "take", "--config", argument(&config)]);
    assert!(output.status.success(), "{}", complaint(&output));
    let picture = image::open(folder.path().join("camera_reference.png")).expect("a PNG");
    assert_eq!((picture.width(), picture.height()), (160, 120));

    let output = few(&[]);
    assert!(output.status.success(), "{}", complaint(&output));
    assert_eq!(
        conditions(&report(&folder.path().join("report.jsonl"))),
        [None; 20]
    );
    // Another scene: noticed although it was there from the start.
    let other = [
        "--config",
        argument(&config),
        "--frames",
        "40",
        "--worker-safety-input",
        "tests/media/conveyor.mp4",
        "--report",
    ];
    let path = folder.path().join("other.jsonl");
    let output = run(&[&RUN[..], &other, &[argument(&path)]].concat());
    assert!(output.status.success(), "{}", complaint(&output));
    assert_eq!(conditions(&report(&path)).last(), Some(&Some("moved")));
}
