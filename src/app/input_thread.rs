//! The input thread: reads touch screens, mice and keyboards and hands on what they tell. It may hang in
//! a driver; then nobody can press anything, and nothing else happens.

use std::path::Path;
use std::time::Duration;

use rtrb::Producer;

use crate::sys::monotonic_now;
use crate::ui::input::{Action, DeviceId, InputEvent, Inputs};

/// Where the kernel's input devices are.
pub(super) const INPUT_FOLDER: &str = "/dev/input";

/// Longest wait before it is asked again whether anybody listens.
const WAIT_MAX: Duration = Duration::from_millis(200);

/// Body of the thread: reads the devices of a folder until nobody listens any more.
pub(super) fn run(folder: &Path, out: Producer<InputEvent>) {
    let mut inputs = Inputs::new(folder);
    let mut hand = Hand {
        out,
        lost: Vec::new(),
    };
    while !hand.out.is_abandoned() {
        inputs.wait(WAIT_MAX, &mut |event| hand.on(event));
        hand.own_up();
    }
}

/// Hands events on. Where there is no room the listener gets to know which devices' events are missing,
/// so that it finishes nothing that was begun there.
struct Hand {
    out: Producer<InputEvent>,
    lost: Vec<DeviceId>,
}

impl Hand {
    fn on(&mut self, event: InputEvent) {
        self.own_up();
        let device = event.device;
        let known = self.lost.contains(&device);
        if !known && self.out.push(event).is_err() {
            self.lost.push(device);
        }
    }

    fn own_up(&mut self) {
        while let Some(device) = self.lost.last().copied() {
            let lost = InputEvent {
                at: monotonic_now(),
                device,
                action: Action::Lost,
            };
            if self.out.push(lost).is_err() {
                return;
            }
            self.lost.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::input::{Key, Push};
    use crate::units::MonotonicTime;

    fn key(device: u32, push: Push) -> InputEvent {
        InputEvent {
            at: MonotonicTime::ZERO,
            device: DeviceId(device),
            action: Action::Key(Key::Reset, push),
        }
    }

    #[test]
    fn what_finds_no_room_is_told_as_lost_before_anything_else_of_that_device() {
        let (out, mut events) = rtrb::RingBuffer::new(2);
        let mut hand = Hand {
            out,
            lost: Vec::new(),
        };
        for device in [1, 2, 3, 3] {
            hand.on(key(device, Push::Down));
        }
        let taken = |events: &mut rtrb::Consumer<InputEvent>| -> Vec<(u32, bool)> {
            std::iter::from_fn(|| events.pop().ok())
                .map(|event| (event.device.0, event.action == Action::Lost))
                .collect()
        };
        assert_eq!(taken(&mut events), [(1, false), (2, false)]);
        hand.on(key(3, Push::Up));
        assert_eq!(taken(&mut events), [(3, true), (3, false)]);
    }

    #[test]
    fn the_thread_ends_when_nobody_listens() {
        let folder = tempfile::tempdir().expect("a folder");
        let (out, events) = rtrb::RingBuffer::new(2);
        drop(events);
        run(folder.path(), out);
    }
}
