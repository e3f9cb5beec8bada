//! Streams as kernels told them, event by event.

use std::time::Duration;

use super::super::event::{EVENT_BYTES, KEY_F12};
use super::*;
use crate::units::MonotonicTime;
use proptest::prelude::*;

const RANGE: AxisRange = AxisRange {
    least: 0,
    most: 1000,
};
const RANGES: [AxisRange; 2] = [RANGE; 2];

/// The bytes of `/dev/input/eventN`: one moment after another, 10 ms apart, as (kind, code, value).
fn bytes(moments: &[&[(u16, u16, i32)]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, moment) in moments.iter().enumerate() {
        let micros = std::ffi::c_long::try_from(number * 10_000).expect("a short story");
        for (kind, code, value) in moment.iter().chain(&[(EV_SYN, SYN_REPORT, 0)]) {
            bytes.extend((5 as std::ffi::c_long).to_ne_bytes());
            bytes.extend(micros.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(code.to_ne_bytes());
            bytes.extend(value.to_ne_bytes());
        }
    }
    bytes
}

fn told_of(pointing: Option<Pointing>, bytes: &[u8]) -> Vec<InputEvent> {
    let abilities = Abilities {
        pointing,
        keys: true,
    };
    let mut decoder = Decoder::new(DeviceId(3), abilities);
    let mut told = Vec::new();
    for event in bytes.as_chunks::<EVENT_BYTES>().0 {
        let event = RawEvent::parse(event).expect("an event");
        decoder.feed(event, &mut |event| told.push(event));
    }
    told
}

fn actions(pointing: Pointing, moments: &[&[(u16, u16, i32)]]) -> Vec<Action> {
    let told = told_of(Some(pointing), &bytes(moments));
    told.into_iter().map(|event| event.action).collect()
}

fn finger(finger: u8, touch: Touch, x: f32, y: f32) -> Action {
    Action::Touch {
        finger,
        touch,
        at: Point::new(x, y),
    }
}

const FINGERS: Pointing = Pointing::Fingers(RANGES);

#[test]
fn a_finger_comes_slides_and_leaves() {
    // The panel repeats everything for programs that know one finger only.
    let moments: [&[_]; 4] = [
        &[
            (EV_ABS, ABS_MT_TRACKING_ID, 45),
            (EV_ABS, ABS_MT_POSITION_X, 500),
            (EV_ABS, ABS_MT_POSITION_Y, 250),
            (EV_KEY, BTN_TOUCH, 1),
            (EV_ABS, ABS_X, 500),
            (EV_ABS, ABS_Y, 250),
        ],
        &[(EV_ABS, ABS_MT_POSITION_X, 600), (EV_ABS, ABS_X, 600)],
        &[],
        &[(EV_ABS, ABS_MT_TRACKING_ID, -1), (EV_KEY, BTN_TOUCH, 0)],
    ];
    let told = told_of(Some(FINGERS), &bytes(&moments));
    let expected = [
        (0, finger(0, Touch::Down, 0.5, 0.25)),
        (10, finger(0, Touch::Move, 0.6, 0.25)),
        (30, finger(0, Touch::Up, 0.6, 0.25)),
    ];
    let expected = expected.map(|(ms, action)| InputEvent {
        at: MonotonicTime::from_duration(Duration::from_millis(5000 + ms)),
        device: DeviceId(3),
        action,
    });
    assert_eq!(told, expected);
}

#[test]
fn two_fingers_are_told_apart() {
    let moments: [&[_]; 3] = [
        &[
            (EV_ABS, ABS_MT_SLOT, 0),
            (EV_ABS, ABS_MT_TRACKING_ID, 1),
            (EV_ABS, ABS_MT_POSITION_X, 100),
            (EV_ABS, ABS_MT_POSITION_Y, 100),
            (EV_ABS, ABS_MT_SLOT, 1),
            (EV_ABS, ABS_MT_TRACKING_ID, 2),
            (EV_ABS, ABS_MT_POSITION_X, 900),
            (EV_ABS, ABS_MT_POSITION_Y, 800),
        ],
        &[(EV_ABS, ABS_MT_POSITION_Y, 700)],
        &[(EV_ABS, ABS_MT_SLOT, 0), (EV_ABS, ABS_MT_TRACKING_ID, -1)],
    ];
    let expected = [
        finger(0, Touch::Down, 0.1, 0.1),
        finger(1, Touch::Down, 0.9, 0.8),
        finger(1, Touch::Move, 0.9, 0.7),
        finger(0, Touch::Up, 0.1, 0.1),
    ];
    assert_eq!(actions(FINGERS, &moments), expected);
}

#[test]
fn a_finger_that_takes_anothers_slot_at_once_is_another_finger() {
    let moments: [&[_]; 2] = [
        &[
            (EV_ABS, ABS_MT_TRACKING_ID, 1),
            (EV_ABS, ABS_MT_POSITION_X, 100),
        ],
        &[
            (EV_ABS, ABS_MT_TRACKING_ID, 2),
            (EV_ABS, ABS_MT_POSITION_X, 700),
        ],
    ];
    let told = actions(FINGERS, &moments);
    let touches: Vec<Touch> = told
        .iter()
        .filter_map(|action| match action {
            Action::Touch { touch, .. } => Some(*touch),
            Action::MouseBy { .. }
            | Action::MouseTo(_)
            | Action::Button(_)
            | Action::Key(..)
            | Action::Lost => None,
        })
        .collect();
    assert_eq!(touches, [Touch::Down, Touch::Up, Touch::Down]);
}

#[test]
fn a_panel_that_knows_one_finger() {
    let moments: [&[_]; 3] = [
        &[
            (EV_KEY, BTN_TOUCH, 1),
            (EV_ABS, ABS_X, 1000),
            (EV_ABS, ABS_Y, 0),
        ],
        &[(EV_ABS, ABS_Y, 10)],
        &[(EV_KEY, BTN_TOUCH, 0)],
    ];
    let expected = [
        finger(0, Touch::Down, 1.0, 0.0),
        finger(0, Touch::Move, 1.0, 0.01),
        finger(0, Touch::Up, 1.0, 0.01),
    ];
    assert_eq!(actions(Pointing::Finger(RANGES), &moments), expected);
}

#[test]
fn a_mouse_moves_and_clicks() {
    let moments: [&[_]; 4] = [
        &[(EV_REL, REL_X, 3), (EV_REL, REL_Y, -2), (EV_REL, REL_X, 1)],
        &[(EV_KEY, BTN_LEFT, 1)],
        &[(EV_REL, 8, 1)],
        &[(EV_KEY, BTN_LEFT, 0), (EV_REL, REL_X, -1)],
    ];
    let expected = [
        Action::MouseBy { dx: 4, dy: -2 },
        Action::Button(Push::Down),
        Action::MouseBy { dx: -1, dy: 0 },
        Action::Button(Push::Up),
    ];
    assert_eq!(actions(Pointing::Mouse, &moments), expected);
}

#[test]
fn a_virtual_machines_mouse_is_there_before_it_clicks() {
    let moments: [&[_]; 2] = [
        &[
            (EV_ABS, ABS_X, 250),
            (EV_ABS, ABS_Y, 750),
            (EV_KEY, BTN_LEFT, 1),
        ],
        &[(EV_KEY, BTN_LEFT, 0)],
    ];
    let expected = [
        Action::MouseTo(Point::new(0.25, 0.75)),
        Action::Button(Push::Down),
        Action::Button(Push::Up),
    ];
    assert_eq!(actions(Pointing::Tablet(RANGES), &moments), expected);
}

#[test]
fn keys_have_their_meanings_and_repeats_have_none() {
    let moments: [&[_]; 3] = [
        &[(EV_KEY, KEY_F12, 1)],
        &[(EV_KEY, KEY_F12, 2)],
        &[(EV_KEY, KEY_F12, 0)],
    ];
    let expected = [
        Action::Key(Key::Reset, Push::Down),
        Action::Key(Key::Reset, Push::Up),
    ];
    assert_eq!(actions(Pointing::Mouse, &moments), expected);
    for (code, meaning) in [
        (KEY_F1, Key::Page(1)),
        (KEY_F8, Key::Page(8)),
        (KEY_F9, Key::Acknowledge),
        (KEY_PAGEUP, Key::Previous),
        (KEY_RIGHT, Key::Next),
        (KEY_ESC, Key::Home),
        // Enter ends what a bar-code reader types: it must mean nothing.
        (28, Key::Other),
    ] {
        assert_eq!(key(code), meaning);
    }
}

#[test]
fn after_lost_events_nothing_is_finished_that_was_begun() {
    let moments: [&[_]; 5] = [
        &[
            (EV_ABS, ABS_MT_TRACKING_ID, 1),
            (EV_ABS, ABS_MT_POSITION_X, 100),
        ],
        &[
            (EV_SYN, SYN_DROPPED, 0),
            (EV_ABS, ABS_MT_POSITION_X, 999),
            (EV_ABS, ABS_MT_TRACKING_ID, 7),
        ],
        // The finger is still there, but nobody knows whether it is the same.
        &[(EV_ABS, ABS_MT_POSITION_X, 200)],
        &[(EV_ABS, ABS_MT_TRACKING_ID, -1)],
        &[
            (EV_ABS, ABS_MT_TRACKING_ID, 8),
            (EV_ABS, ABS_MT_POSITION_X, 300),
        ],
    ];
    let expected = [
        finger(0, Touch::Down, 0.1, 0.0),
        Action::Lost,
        finger(0, Touch::Down, 0.3, 0.0),
    ];
    assert_eq!(actions(FINGERS, &moments), expected);
}

#[test]
fn slots_beyond_any_hand_are_ignored() {
    for slot in [-1, 16, i32::MAX, i32::MIN] {
        let moments: [&[_]; 2] = [
            &[
                (EV_ABS, ABS_MT_SLOT, slot),
                (EV_ABS, ABS_MT_TRACKING_ID, 1),
                (EV_ABS, ABS_MT_POSITION_X, 100),
            ],
            &[(EV_ABS, ABS_MT_TRACKING_ID, -1)],
        ];
        assert_eq!(actions(FINGERS, &moments), [], "{slot}");
    }
}

proptest! {
    /// Whatever a device says: every finger's story is down, moves, up, and never anything else.
    #[test]
    fn any_stream_gives_whole_stories(
        events in prop::collection::vec((0_u16..5, prop::sample::select(vec![
            SYN_REPORT, SYN_DROPPED, ABS_X, ABS_Y, ABS_MT_SLOT, ABS_MT_POSITION_X,
            ABS_MT_TRACKING_ID, BTN_TOUCH, BTN_LEFT, KEY_F12,
        ]), -2_i32..20), 0..200),
        single in any::<bool>(),
    ) {
        let pointing = if single { Pointing::Finger(RANGES) } else { FINGERS };
        let moments: Vec<&[(u16, u16, i32)]> = events.chunks(3).collect();
        let mut down = [false; FINGERS_MAX];
        for event in told_of(Some(pointing), &bytes(&moments)) {
            match event.action {
                Action::Touch { finger, touch, at } => {
                    let down = &mut down[usize::from(finger)];
                    prop_assert_eq!(*down, touch != Touch::Down, "{:?}", event);
                    *down = touch != Touch::Up;
                    prop_assert!((0.0..=1.0).contains(&at.x) && (0.0..=1.0).contains(&at.y));
                }
                Action::Lost => down = [false; FINGERS_MAX],
                Action::MouseBy { .. }
                | Action::MouseTo(_)
                | Action::Button(_)
                | Action::Key(..) => {}
            }
        }
    }
}
