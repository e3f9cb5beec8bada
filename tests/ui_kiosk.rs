//! The kiosk's pictures: pages, buttons and the first picture, as draw lists and as pixels.
//!
//! `UPDATE_GOLDEN=1 cargo test --test ui_kiosk` writes the draw lists anew. `KIOSK_PICTURES=DIR` also
//! writes every picture as a PNG, to be looked at.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a test may fail and say why it was skipped; its pictures are small"
)]

#[path = "ui/golden.rs"]
mod golden;
#[path = "ui/support.rs"]
mod support;

use std::path::PathBuf;
use std::time::Duration;

use andon::capture::{self, Captured};
use andon::config::{CameraConfig, InputSpec, PageSet, ShownStreams, StatusPage};
use andon::frame::Frame;
use andon::geometry::{Point, Rect, ScreenPixels, Size};
use andon::message::{
    Disposition, Fault, PartTally, PermissionState, ResetPrompt, Snapshot, TripCause,
};
use andon::ui::UiError;
use andon::ui::headless::HeadlessRenderer;
use andon::ui::scene::{
    AcceleratorStatus, Command, Composed, EventEntry, Gravity, InferenceStatus, InputStatus,
    KioskView, Machine, Page, ResetControl, Scene, Splash, StartLine, Status, Step, Target, View,
    compose, splash,
};
use andon::ui::snapshot::write_png;
use andon::units::{StreamId, ZoneIndex, ZoneKind};

use golden::assert_golden;
use support::*;

const HD: Size = size(1280, 720);
const SIZES: [Size; 6] = [
    HD,
    size(1920, 1080),
    size(3840, 2160),
    size(1080, 1920),
    size(800, 480),
    size(1280, 800),
];
const TRIPPED: PermissionState = PermissionState::Tripped(TripCause::Zone(ZoneIndex(0)));

/// A frame of the demonstration clips, where it can be decoded; else grey.
fn frames() -> [Frame; 2] {
    let film = |name: &str, stream, at: usize| {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/media")
            .join(name);
        let mut source =
            capture::open(&InputSpec::Video(path), &CameraConfig::default(), stream).ok()?;
        let mut newest = None;
        for _ in 0..=at {
            if let Ok(Captured::Frame(frame)) = source.next_frame() {
                newest = Some(frame);
            }
        }
        newest
    };
    let grey = |stream, size| grey(stream, size, 1000);
    let safety = StreamId::WorkerSafety;
    let inspection = StreamId::VisualInspection;
    [
        film("worker_safety.mp4", safety, 60).unwrap_or_else(|| grey(safety, size(768, 576))),
        film("conveyor.mp4", inspection, 60).unwrap_or_else(|| grey(inspection, size(640, 480))),
    ]
}

fn shown(permission: PermissionState, [safety_frame, belt]: [Frame; 2]) -> Snapshot {
    let occupied = permission == TRIPPED;
    let person = if occupied {
        person(0.83, bbox(0.41, 0.38, 0.50, 0.80), &[(0, ZoneKind::Stop)])
    } else {
        person(0.66, bbox(0.80, 0.22, 0.87, 0.50), &[])
    };
    let parts = inspection(&[item(
        0,
        0.98,
        bbox(0.10, 0.30, 0.36, 0.68),
        Disposition::Good,
    )]);
    let streams = [
        Some(view(safety_frame, safety(&[person]))),
        Some(view(belt, parts)),
    ];
    let mut snapshot = snapshot(permission, 1000, streams);
    snapshot.parts = PartTally {
        good: 12_345,
        reject: 678,
        unsure: 9,
        missed: 1,
    };
    snapshot
}

fn grey_frames() -> [Frame; 2] {
    [
        grey(StreamId::WorkerSafety, size(768, 576), 1000),
        grey(StreamId::VisualInspection, size(640, 480), 1000),
    ]
}

fn kiosk(page: Page) -> KioskView {
    let event = |number, time: &str, text: &str, gravity| EventEntry {
        number,
        time: time.to_owned(),
        text: text.to_owned(),
        gravity,
    };
    let inference = |frames| InferenceStatus {
        frames,
        failed: 0,
        engine: (Duration::from_micros(4_420), Duration::from_micros(6_100)),
        latency: (Duration::from_micros(11_800), Duration::from_micros(19_300)),
    };
    let input = |description: &str, lost| InputStatus {
        description: description.to_owned(),
        frames: 1_234_567,
        losses: vec![("not judged, too late or lost".to_owned(), lost)],
    };
    KioskView {
        page,
        pages: Some(PageSet::ALL),
        reset: ResetControl::Up,
        unacknowledged: 2,
        status: Status {
            inputs: [
                input("uvcvideo, NV12 1280x720 at 30 fps", 0),
                input("uvcvideo, YUYV 640x480 at 30 fps", 17),
            ],
            inference: [inference(1_234_567), inference(1_234_550)],
            models: vec![
                ("detector".into(), "ssdlite_mobilenet_v2_coco_int8".into()),
                ("classifier".into(), "apple_int8".into()),
            ],
            accelerator: Some(AcceleratorStatus {
                celsius: Some(61.0),
                out_of_service: None,
                remark: Some("models not compiled together: slower".to_owned()),
            }),
            self_test: Some("passed".into()),
            trips: 37,
            running: Duration::from_secs(100_000),
            events: vec![
                event(6, "14:07:12", "Stop: zone press", Gravity::Caution),
                event(5, "14:03:40", "Run permission ON", Gravity::Note),
                event(
                    4,
                    "14:03:31",
                    "Locked out: fault: worker_safety delivers nothing",
                    Gravity::Fault,
                ),
                event(3, "13:58:02", "Clear, waiting for reset", Gravity::Note),
                event(2, "13:57:55", "Stop: zone press", Gravity::Caution),
                event(1, "13:40:00", "Started: andon 0.1.0", Gravity::Note),
            ],
        },
        machine: Machine {
            temperatures: vec![("cpu-thermal".into(), 54.2), ("gpu-thermal".into(), 83.0)],
            memory: Some((2_100 << 20, 3_792 << 20)),
            resident: Some(131 << 20),
            uptime: Some(Duration::from_secs(351_000)),
            load: Some(1.42),
        },
        ..KioskView::default()
    }
}

fn composed(snapshot: &Snapshot, kiosk: &KioskView, size: Size) -> Composed {
    let view = View {
        kiosk: Some(kiosk),
        ..View::still(size)
    };
    compose(snapshot, &context(), &view)
}

fn invited(mut snapshot: Snapshot) -> Snapshot {
    snapshot.operator.prompt = ResetPrompt::Invited;
    snapshot
}

const ALL_PAGES: [(&str, Page); 6] = [
    ("cameras", Page::Cameras),
    ("inputs", Page::Status(StatusPage::Inputs)),
    ("engine", Page::Status(StatusPage::Engine)),
    ("system", Page::Status(StatusPage::System)),
    ("counters", Page::Status(StatusPage::Counters)),
    ("events", Page::Status(StatusPage::Events)),
];

fn a_start() -> Splash {
    let line = |name: &str, step, detail: &str| StartLine {
        name: name.to_owned(),
        step,
        detail: detail.to_owned(),
    };
    Splash {
        version: "0.1.0".into(),
        lines: vec![
            line("Worker safety", Step::Ready, "/dev/video0: NV12 1280x720"),
            line("Visual inspection", Step::Starting, "/dev/video2"),
            line("Models and engine", Step::Waiting, "auto"),
        ],
    }
}

// ---- draw lists ----

#[test]
fn every_page_as_it_was_looked_at() {
    let waiting = invited(shown(PermissionState::Interlocked, grey_frames()));
    for (name, page) in ALL_PAGES {
        let Composed { scene, .. } = composed(&waiting, &kiosk(page), HD);
        assert_golden(&format!("kiosk-{name}"), &scene);
    }
}

#[test]
fn the_first_picture() {
    assert_golden("kiosk-splash", &splash(&a_start(), &View::still(HD)));
}

fn texts(scene: &Scene) -> Vec<&str> {
    let text = |command: &'_ Command| matches!(command, Command::Text { .. });
    scene
        .commands
        .iter()
        .filter(|command| text(command))
        .filter_map(|command| match command {
            Command::Text { text, .. } => Some(text.as_str()),
            Command::Block { .. }
            | Command::Outline { .. }
            | Command::Video { .. }
            | Command::Mask { .. }
            | Command::Polygon { .. } => None,
        })
        .collect()
}

#[test]
fn the_state_of_the_run_permission_is_on_every_page() {
    let states = [
        (PermissionState::On, "RUN"),
        (PermissionState::Interlocked, "WAITING FOR RESET"),
        (TRIPPED, "STOP – zone “press”"),
        (
            PermissionState::LockedOut(Fault::OutputLost),
            "FAULT – output lost",
        ),
    ];
    for (state, headline) in states {
        let shown = shown(state, grey_frames());
        for (name, page) in ALL_PAGES {
            for size in SIZES {
                let Composed { scene, .. } = composed(&shown, &kiosk(page), size);
                let said = texts(&scene);
                assert!(said.contains(&headline), "{name} {size}: {said:?}");
            }
        }
    }
}

#[test]
fn a_camera_without_a_frame_is_waited_for_by_name_and_one_that_is_lost_is_not() {
    let starting = snapshot(PermissionState::SelfTest, 0, [None, None]);
    let Composed { scene, .. } = composed(&starting, &kiosk(Page::Cameras), HD);
    let said = texts(&scene);
    for words in ["WAITING FOR CAMERA", "hall.mp4", "belt.mp4"] {
        assert!(said.contains(&words), "{said:?}");
    }
    assert!(!said.contains(&"NO SIGNAL"), "{said:?}");
    let fault = PermissionState::LockedOut(Fault::SourceLost(StreamId::WorkerSafety));
    let lost = snapshot(fault, 0, [None, None]);
    let Composed { scene, .. } = composed(&lost, &kiosk(Page::Cameras), HD);
    let said = texts(&scene);
    assert!(said.contains(&"NO SIGNAL") && said.contains(&"WAITING FOR CAMERA"));
}

// ---- buttons ----

fn buttons(composed: &Composed) -> Vec<(Rect<ScreenPixels>, Target)> {
    let is_button = |(_, target): &&(_, Target)| !matches!(target, Target::Video(_));
    composed
        .targets
        .places
        .iter()
        .filter(is_button)
        .copied()
        .collect()
}

#[test]
fn buttons_lie_apart_within_the_picture_and_are_large_enough_for_a_finger() {
    let shown = invited(shown(PermissionState::Interlocked, grey_frames()));
    for size in SIZES {
        for (_, page) in ALL_PAGES {
            let composed = composed(&shown, &kiosk(page), size);
            let buttons = buttons(&composed);
            let actions = if page == Page::Cameras { 2 } else { 1 };
            assert_eq!(buttons.len(), 6 + actions);
            for (index, (rect, target)) in buttons.iter().enumerate() {
                assert!(rect.right() <= size.width as f32, "{size} {target:?}");
                assert!(rect.bottom() <= size.height as f32, "{size} {target:?}");
                let shorter = size.width.min(size.height) as f32;
                // 40 pixels of 720: 9 mm on a 7 inch panel, 13 mm on a 24 inch monitor.
                assert!(
                    rect.height() >= shorter / 18.0,
                    "{size} {target:?} {rect:?}"
                );
                assert!(rect.width() >= shorter / 12.0, "{size} {target:?} {rect:?}");
                for (other, _) in &buttons[index + 1..] {
                    let shared = rect.intersection(*other);
                    let area = shared.map_or(0.0, |shared| shared.width() * shared.height());
                    assert!(area <= 0.0, "{size} {target:?}");
                }
            }
        }
    }
}

#[test]
fn reset_is_where_the_cameras_are_and_only_where_the_screen_may_reset() {
    let shown = invited(shown(PermissionState::Interlocked, grey_frames()));
    for (name, page) in ALL_PAGES {
        for reset in [ResetControl::Absent, ResetControl::Up, ResetControl::Down] {
            let kiosk = KioskView {
                reset,
                ..kiosk(page)
            };
            let composed = composed(&shown, &kiosk, HD);
            let there = composed.targets.place_of(Target::Reset).is_some();
            let wanted = page == Page::Cameras && reset != ResetControl::Absent;
            assert_eq!(there, wanted, "{name} {reset:?}");
        }
    }
}

#[test]
fn page_buttons_stay_where_they_are_whatever_page_is_shown() {
    let shown = shown(PermissionState::On, grey_frames());
    let place = |page, unacknowledged| {
        let kiosk = KioskView {
            unacknowledged,
            ..kiosk(page)
        };
        let composed = composed(&shown, &kiosk, HD);
        let last = Target::Page(Page::Status(StatusPage::Events));
        composed.targets.place_of(last)
    };
    for (_, page) in ALL_PAGES {
        for unacknowledged in [0, 3] {
            assert_eq!(place(page, unacknowledged), place(Page::Cameras, 0));
        }
    }
}

#[test]
fn where_page_buttons_would_be_too_narrow_two_of_them_go_round() {
    let shown = shown(PermissionState::On, grey_frames());
    let mut pages = vec![Page::Cameras];
    for _ in 0..6 {
        let kiosk = kiosk(*pages.last().unwrap());
        let view = View {
            // A 7 inch panel of 800x480.
            factor: 1.99,
            kiosk: Some(&kiosk),
            ..View::still(size(800, 480))
        };
        let composed = compose(&shown, &context(), &view);
        let buttons = buttons(&composed);
        let targets: Vec<Target> = buttons.iter().map(|(_, target)| *target).take(2).collect();
        let [Target::Page(Page::Cameras), Target::Page(next)] = targets[..] else {
            unreachable!("{targets:?}");
        };
        // 10 mm.
        assert!(buttons[1].0.width() >= 52.0 && buttons[1].0.height() >= 52.0);
        pages.push(next);
    }
    let all: Vec<Page> = ALL_PAGES.iter().map(|(_, page)| *page).collect();
    assert_eq!(pages[..6], all);
    assert_eq!(pages[6], Page::Status(StatusPage::Inputs));
}

#[test]
fn one_stream_fills_the_picture_and_the_other_is_not_there() {
    let shown = shown(PermissionState::On, grey_frames());
    let kiosk = kiosk(Page::Cameras);
    let view = View {
        streams: ShownStreams::Only(StreamId::VisualInspection),
        kiosk: Some(&kiosk),
        ..View::still(HD)
    };
    let Composed { targets, .. } = compose(&shown, &context(), &view);
    assert_eq!(targets.frames[0], None);
    assert!(targets.frames[1].is_some());
    assert_eq!(
        targets.place_of(Target::Video(StreamId::WorkerSafety)),
        None
    );
}

fn assert_finite(scene: &Scene) {
    let text = scene.to_string().replace("inference", "");
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
}

#[test]
fn any_size_of_picture_can_be_operated() {
    for picture in [size(1, 1), size(16, 16), size(5000, 100), size(100, 5000)] {
        for (_, page) in ALL_PAGES {
            let shown = shown(TRIPPED, grey_frames());
            let mut kiosk = kiosk(page);
            kiosk.pointer = Some(Point::new(3.0, 3.0));
            let Composed { scene, .. } = composed(&shown, &kiosk, picture);
            assert_finite(&scene);
        }
        assert_finite(&splash(&a_start(), &View::still(picture)));
    }
}

// ---- pixels ----

/// `None`, with a word about it, where this machine cannot draw.
fn renderer(size: Size) -> Option<HeadlessRenderer> {
    match HeadlessRenderer::new(size) {
        Ok(renderer) => Some(renderer),
        Err(error @ (UiError::NoEgl { .. } | UiError::NoEglDriver { .. })) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => unreachable!("{error}"),
    }
}

fn pixel(picture: &[u8], size: Size, x: f32, y: f32) -> [u8; 3] {
    let start = (y as usize * size.width as usize + x as usize) * 4;
    [picture[start], picture[start + 1], picture[start + 2]]
}

#[test]
fn an_alarm_is_framed_on_every_page_and_a_button_has_its_colour() {
    let Some(mut renderer) = renderer(HD) else {
        return;
    };
    let near = |a: [u8; 3], b: [u8; 3]| a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= 3);
    for (_, page) in ALL_PAGES {
        for (state, color) in [
            (TRIPPED, [0xc8, 0x0f, 0x1e]),
            (
                PermissionState::LockedOut(Fault::OutputLost),
                [0xff, 0xc4, 0x00],
            ),
        ] {
            let shown = shown(state, grey_frames());
            let Composed { scene, .. } = composed(&shown, &kiosk(page), HD);
            let frames = [0, 1].map(|i: usize| shown.streams[i].as_ref().map(|view| &view.frame));
            let picture = renderer.render(&scene, frames).unwrap();
            for (x, y) in [(3.0, 400.0), (1276.0, 400.0), (640.0, 716.0)] {
                let seen = pixel(picture, HD, x, y);
                assert!(near(seen, color), "{page:?} {state:?} {x} {y}: {seen:?}");
            }
        }
    }
    let waiting = invited(shown(PermissionState::Interlocked, grey_frames()));
    let composed = composed(&waiting, &kiosk(Page::Cameras), HD);
    let place = composed.targets.place_of(Target::Reset).unwrap();
    let frames = [0, 1].map(|i: usize| waiting.streams[i].as_ref().map(|view| &view.frame));
    let picture = renderer.render(&composed.scene, frames).unwrap();
    let corner = pixel(picture, HD, place.left() + 6.0, place.top() + 6.0);
    assert!(near(corner, [0x12, 0x57, 0xc7]), "{corner:?}");
}

/// Not a test of its own: what people look at, and the pictures of docs/kiosk.md.
#[test]
fn pictures_to_look_at() {
    let Some(folder) = std::env::var_os("KIOSK_PICTURES").map(PathBuf::from) else {
        println!("skipped: KIOSK_PICTURES names no folder");
        return;
    };
    let frames = frames();
    let states = [
        ("run", shown(PermissionState::On, frames.clone())),
        (
            "reset",
            invited(shown(PermissionState::Interlocked, frames.clone())),
        ),
        ("stop", shown(TRIPPED, frames.clone())),
        (
            "fault",
            shown(
                PermissionState::LockedOut(Fault::SourceLost(StreamId::WorkerSafety)),
                frames.clone(),
            ),
        ),
        (
            "waiting",
            snapshot(PermissionState::SelfTest, 0, [None, None]),
        ),
    ];
    let write =
        |renderer: &mut HeadlessRenderer, name: &str, scene: &Scene, seen: Option<&Snapshot>| {
            let frames = [0, 1].map(|i: usize| {
                let view = seen.and_then(|seen| seen.streams[i].as_ref());
                view.map(|view| &view.frame)
            });
            let rgba = renderer.render(scene, frames).unwrap();
            write_png(&folder.join(format!("{name}.png")), scene.size, rgba).unwrap();
        };
    for size in SIZES {
        let Some(mut renderer) = renderer(size) else {
            return;
        };
        // The small panel as it tells its own size: 7 inch.
        let factor = if size.width == 800 { 1.99 } else { 1.0 };
        for (state, snapshot) in &states {
            let mut kiosk = kiosk(Page::Cameras);
            kiosk.pointer = (*state == "run").then(|| Point::new(300.0, 300.0));
            kiosk.unacknowledged = if *state == "run" { 0 } else { 2 };
            let view = View {
                factor,
                kiosk: Some(&kiosk),
                ..View::still(size)
            };
            let Composed { scene, .. } = compose(snapshot, &context(), &view);
            write(
                &mut renderer,
                &format!("{size}-{state}"),
                &scene,
                Some(snapshot),
            );
        }
        for (name, page) in ALL_PAGES {
            let mut kiosk = kiosk(page);
            if name == "events" {
                kiosk.answer = Some("RESET REFUSED – a stop zone counts as occupied".into());
            }
            let view = View {
                factor,
                kiosk: Some(&kiosk),
                ..View::still(size)
            };
            let Composed { scene, .. } = compose(&states[0].1, &context(), &view);
            write(
                &mut renderer,
                &format!("{size}-{name}"),
                &scene,
                Some(&states[0].1),
            );
        }
        let kiosk = kiosk(Page::Cameras);
        let view = View {
            factor,
            streams: ShownStreams::Only(StreamId::WorkerSafety),
            kiosk: Some(&kiosk),
            ..View::still(size)
        };
        let Composed { scene, .. } = compose(&states[2].1, &context(), &view);
        write(
            &mut renderer,
            &format!("{size}-one"),
            &scene,
            Some(&states[2].1),
        );
        let view = View {
            factor,
            ..View::still(size)
        };
        write(
            &mut renderer,
            &format!("{size}-splash"),
            &splash(&a_start(), &view),
            None,
        );
    }
}

#[test]
fn reset_is_offered_only_where_every_guarding_camera_is_shown() {
    let snapshot = invited(shown(PermissionState::Interlocked, grey_frames()));
    let kiosk = kiosk(Page::Cameras);
    let offered = |streams| {
        let view = View {
            kiosk: Some(&kiosk),
            streams,
            ..View::still(HD)
        };
        let composed = compose(&snapshot, &context(), &view);
        composed.targets.place_of(Target::Reset).is_some()
    };
    assert!(offered(ShownStreams::Both));
    assert!(offered(ShownStreams::Only(StreamId::WorkerSafety)));
    assert!(!offered(ShownStreams::Only(StreamId::VisualInspection)));
}

#[test]
fn a_decision_that_fell_silent_does_not_pass_for_now() {
    let snapshot = invited(shown(PermissionState::On, grey_frames()));
    let kiosk = kiosk(Page::Cameras);
    for page in [None, Some(&kiosk)] {
        let at_age = |ms| {
            let view = View {
                kiosk: page,
                age: Duration::from_millis(ms),
                ..View::still(HD)
            };
            compose(&snapshot, &context(), &view)
        };
        let fresh = at_age(1000);
        assert!(texts(&fresh.scene).contains(&"RUN"));
        let old = at_age(2500);
        let said = texts(&old.scene).join("\n");
        assert!(said.contains("NO DECISION"), "{said}");
        assert!(said.contains("OLD PICTURE"), "{said}");
        assert!(
            !said.contains("RUN") && !said.contains("Run permission ON"),
            "{said}"
        );
        assert_eq!(old.targets.place_of(Target::Reset), None);
    }
}
