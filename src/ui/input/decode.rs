//! From the kernel's events of one device to what somebody did. Pure.
//!
//! A device tells changes only and ends each moment with `SYN_REPORT`: nothing is handed on before.
//! Touch screens speak protocol B (slots with tracking numbers) or tell a single finger by `BTN_TOUCH`.
//! After `SYN_DROPPED` the kernel's buffer was full: what was told up to the next report is half a
//! moment, and what is down afterwards nobody knows. Everything that was down is given up as
//! [`Action::Lost`]; a finger that is still there counts again once it was lifted.

use super::device::{Abilities, AxisRange, Pointing};
use super::event::{
    ABS_MT_POSITION_X, ABS_MT_POSITION_Y, ABS_MT_SLOT, ABS_MT_TRACKING_ID, ABS_X, ABS_Y, BTN_LEFT,
    BTN_MISC, BTN_TOUCH, EV_ABS, EV_KEY, EV_REL, EV_SYN, KEY_ESC, KEY_F1, KEY_F8, KEY_F9, KEY_F12,
    KEY_HOME, KEY_LEFT, KEY_PAGEDOWN, KEY_PAGEUP, KEY_RIGHT, REL_X, REL_Y, RawEvent, SYN_DROPPED,
    SYN_REPORT,
};
use super::{Action, DeviceId, InputEvent, Key, Push, ScreenShare, Touch};
use crate::geometry::Point;

/// Fingers that are followed; panels know ten.
const FINGERS_MAX: usize = 16;

/// A finger's slot.
#[derive(Clone, Copy, Debug, Default)]
struct Finger {
    x: i32,
    y: i32,
    /// Whether the device says that it is there.
    there: bool,
    /// Whether it was told as down.
    told: bool,
    /// Whether another finger took the slot within one moment.
    replaced: bool,
    moved: bool,
}

/// Whether the stream of events is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Whole,
    /// The buffer was full; everything up to the next report is thrown away.
    Torn,
}

/// Makes sense of one device's events.
#[derive(Clone, Debug)]
pub struct Decoder {
    device: DeviceId,
    abilities: Abilities,
    stream: Stream,
    fingers: [Finger; FINGERS_MAX],
    slot: usize,
    /// Of a mouse, since the last report.
    motion: (i32, i32),
    /// Of a pointer that knows its place.
    place: (i32, i32),
    moved: bool,
    /// The main button's change in this moment.
    button: Option<Push>,
}

impl Decoder {
    /// For a device with these abilities, at which nothing is down.
    #[must_use]
    pub fn new(device: DeviceId, abilities: Abilities) -> Self {
        Self {
            device,
            abilities,
            stream: Stream::Whole,
            fingers: [Finger::default(); FINGERS_MAX],
            slot: 0,
            motion: (0, 0),
            place: (0, 0),
            moved: false,
            button: None,
        }
    }

    /// Says which slot the events that follow belong to, as asked from the device: after the stream
    /// was torn, and at the start.
    pub fn resume_at_slot(&mut self, slot: i32) {
        self.slot = usize::try_from(slot).unwrap_or(FINGERS_MAX);
    }

    /// Whether a report is awaited after which [`Decoder::resume_at_slot`] has to be called.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        self.stream == Stream::Torn
    }

    /// Takes the next event, hands on to `told` what it means.
    pub fn feed(&mut self, event: RawEvent, told: &mut impl FnMut(InputEvent)) {
        match (event.kind, event.code) {
            (EV_SYN, SYN_DROPPED) => self.tear(event, told),
            (EV_SYN, SYN_REPORT) => {
                match self.stream {
                    Stream::Whole => self.report(event, told),
                    // What is there now was not seen coming: it counts from its next beginning on.
                    Stream::Torn => self.forget(),
                }
                self.stream = Stream::Whole;
            }
            _ if self.stream == Stream::Torn => {}
            (EV_KEY, code) => self.key(event, code, told),
            (EV_REL, REL_X) => self.motion.0 = self.motion.0.saturating_add(event.value),
            (EV_REL, REL_Y) => self.motion.1 = self.motion.1.saturating_add(event.value),
            (EV_ABS, code) => self.axis(code, event.value),
            (_, _) => {}
        }
    }

    fn tear(&mut self, event: RawEvent, told: &mut impl FnMut(InputEvent)) {
        self.stream = Stream::Torn;
        self.forget();
        told(self.event(event, Action::Lost));
    }

    fn forget(&mut self) {
        for finger in &mut self.fingers {
            let Finger { x, y, .. } = *finger;
            *finger = Finger {
                x,
                y,
                ..Finger::default()
            };
        }
        self.motion = (0, 0);
        self.moved = false;
        self.button = None;
    }

    fn key(&mut self, event: RawEvent, code: u16, told: &mut impl FnMut(InputEvent)) {
        let push = match event.value {
            0 => Push::Up,
            1 => Push::Down,
            // The keyboard repeats a key that is held.
            _ => return,
        };
        match (code, self.abilities.pointing) {
            (BTN_TOUCH, Some(Pointing::Finger(_))) => {
                if let Some(finger) = self.fingers.first_mut() {
                    let there = push == Push::Down;
                    finger.replaced |= there && finger.told && !finger.there;
                    finger.there = there;
                }
            }
            (BTN_LEFT, Some(Pointing::Mouse | Pointing::Tablet(_))) => {
                // Down and up in one moment is no press anybody could see.
                self.button = Some(push);
            }
            (code, _) if code < BTN_MISC && self.abilities.keys => {
                told(self.event(event, Action::Key(key(code), push)));
            }
            (_, _) => {}
        }
    }

    fn axis(&mut self, code: u16, value: i32) {
        match self.abilities.pointing {
            Some(Pointing::Fingers(_)) => {
                if code == ABS_MT_SLOT {
                    self.resume_at_slot(value);
                    return;
                }
                let Some(finger) = self.fingers.get_mut(self.slot) else {
                    return;
                };
                match code {
                    ABS_MT_TRACKING_ID => {
                        let there = value >= 0;
                        finger.replaced |= there && finger.told;
                        finger.there = there;
                    }
                    ABS_MT_POSITION_X => (finger.x, finger.moved) = (value, true),
                    ABS_MT_POSITION_Y => (finger.y, finger.moved) = (value, true),
                    _ => {}
                }
            }
            Some(Pointing::Finger(_)) => {
                if let Some(finger) = self.fingers.first_mut() {
                    match code {
                        ABS_X => (finger.x, finger.moved) = (value, true),
                        ABS_Y => (finger.y, finger.moved) = (value, true),
                        _ => {}
                    }
                }
            }
            Some(Pointing::Tablet(_)) => match code {
                ABS_X => (self.place.0, self.moved) = (value, true),
                ABS_Y => (self.place.1, self.moved) = (value, true),
                _ => {}
            },
            Some(Pointing::Mouse) | None => {}
        }
    }

    fn report(&mut self, event: RawEvent, told: &mut impl FnMut(InputEvent)) {
        let moved = std::mem::take(&mut self.moved);
        match self.abilities.pointing {
            Some(Pointing::Fingers(ranges) | Pointing::Finger(ranges)) => {
                self.report_fingers(event, ranges, told);
            }
            Some(Pointing::Mouse) => {
                let (dx, dy) = std::mem::take(&mut self.motion);
                if (dx, dy) != (0, 0) {
                    told(self.event(event, Action::MouseBy { dx, dy }));
                }
            }
            Some(Pointing::Tablet(ranges)) if moved => {
                let at = place(self.place, ranges);
                told(self.event(event, Action::MouseTo(at)));
            }
            Some(Pointing::Tablet(_)) | None => {}
        }
        if let Some(push) = self.button.take() {
            told(self.event(event, Action::Button(push)));
        }
    }

    fn report_fingers(
        &mut self,
        event: RawEvent,
        ranges: [AxisRange; 2],
        told: &mut impl FnMut(InputEvent),
    ) {
        for number in 0_u8..=u8::MAX {
            let Some(finger) = self.fingers.get_mut(usize::from(number)) else {
                break;
            };
            let at = place((finger.x, finger.y), ranges);
            let touches = match (finger.told, finger.there) {
                // Another finger within one moment: the first one has not been seen leaving.
                (true, true) if finger.replaced => [Some(Touch::Up), Some(Touch::Down)],
                (true, true) => [finger.moved.then_some(Touch::Move), None],
                (false, true) => [Some(Touch::Down), None],
                (true, false) => [Some(Touch::Up), None],
                (false, false) => [None, None],
            };
            finger.told = finger.there;
            (finger.moved, finger.replaced) = (false, false);
            for touch in touches.into_iter().flatten() {
                let action = Action::Touch {
                    finger: number,
                    touch,
                    at,
                };
                told(self.event(event, action));
            }
        }
    }

    const fn event(&self, event: RawEvent, action: Action) -> InputEvent {
        InputEvent {
            at: event.at,
            device: self.device,
            action,
        }
    }
}

const fn key(code: u16) -> Key {
    match code {
        // Codes of F1 to F8 follow each other.
        KEY_F1..=KEY_F8 => Key::Page(code.to_le_bytes()[0] - KEY_F1.to_le_bytes()[0] + 1),
        KEY_F9 => Key::Acknowledge,
        KEY_F12 => Key::Reset,
        KEY_LEFT | KEY_PAGEUP => Key::Previous,
        KEY_RIGHT | KEY_PAGEDOWN => Key::Next,
        KEY_ESC | KEY_HOME => Key::Home,
        _ => Key::Other,
    }
}

fn place((x, y): (i32, i32), [wide, tall]: [AxisRange; 2]) -> Point<ScreenShare> {
    Point::new(wide.share(x), tall.share(y))
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
