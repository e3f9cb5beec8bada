//! Where the operator meets the program: the ui thread's part of touching and telling.

use std::path::Path;
use std::time::Duration;

use super::ui_thread::Mail;
use crate::config::KioskConfig;
use crate::geometry::Size;
use crate::sync::Taken;
use crate::sys::{
    THERMAL_FOLDER, machine_load, monotonic_now, resident_bytes, temperatures, uptime,
};
use crate::ui::kiosk::Kiosk;
use crate::ui::scene::{Machine, Targets};
use crate::ui::screen::Seen;
use crate::units::MonotonicTime;

/// Time between two looks at the machine while somebody reads its page.
const MACHINE_LOOK: Duration = Duration::from_secs(2);

/// Time after which something that is not being touched may have changed: an answer that goes, a
/// pointer.
const REFRESH: Duration = Duration::from_millis(500);

/// The operator's place at the screen.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) kiosk: Kiosk,
    machine_at: Option<MonotonicTime>,
    refreshed: MonotonicTime,
    /// What can be pressed in a picture that was drawn and is not known to be on the monitor yet, and the
    /// instant that it tells of.
    coming: Option<(Targets, MonotonicTime)>,
}

impl Desk {
    pub(super) fn new(config: KioskConfig, may_reset: bool, size: Size) -> Self {
        Self {
            kiosk: Kiosk::new(config, may_reset, size),
            machine_at: None,
            refreshed: MonotonicTime::ZERO,
            coming: None,
        }
    }

    /// Takes what came, hands on what is wanted; whether the picture may be another now.
    pub(super) fn operate(&mut self, mail: &mut Mail) -> bool {
        let mut changed = false;
        let now = monotonic_now();
        // First of all what has become of the picture that they touched.
        self.kiosk.pass_time(now);
        if let Some(input) = &mut mail.input {
            while let Ok(event) = input.pop() {
                self.kiosk.take(&event);
                changed = true;
            }
        }
        if let Taken::Value(status) = mail.status.take() {
            self.kiosk.tell(status);
        }
        let due = self
            .machine_at
            .is_none_or(|last| now.saturating_since(last) >= MACHINE_LOOK);
        if due && self.kiosk.wants_machine() {
            self.machine_at = Some(now);
            self.kiosk.tell_machine(machine());
        }
        while let Some(order) = self.kiosk.next_order() {
            // Where the decide thread takes nothing, nobody can press anything.
            let _ = mail.desk.push(order);
        }
        if now.saturating_since(self.refreshed) >= REFRESH {
            changed = true;
        }
        if changed {
            self.refreshed = now;
        }
        changed
    }

    /// A picture was drawn that tells of the instant `of`; it is on the monitor once
    /// [`Desk::look`] says so.
    pub(super) fn drawn(&mut self, targets: Targets, of: MonotonicTime) {
        self.coming = Some((targets, of));
    }

    /// Takes what can be seen at `now`: nobody presses what is not on the monitor.
    pub(super) fn look(&mut self, seen: Seen, now: MonotonicTime) {
        match seen {
            Seen::Nothing => {
                self.coming = None;
                self.kiosk.blank();
            }
            Seen::Earlier => {}
            Seen::Newest => {
                if let Some((targets, of)) = self.coming.take() {
                    self.kiosk.shown(targets, of, now);
                }
            }
        }
    }
}

/// How the machine is. Files of the kernel; a sensor that hangs hangs this thread and nothing else.
fn machine() -> Machine {
    let load = machine_load();
    Machine {
        temperatures: temperatures(Path::new(THERMAL_FOLDER)),
        memory: load.map(|load| (load.memory_free, load.memory_total)),
        resident: resident_bytes(),
        uptime: uptime(),
        load: load.map(|load| load.load),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Rect;
    use crate::message::{OperatorCommand, OperatorOrder};
    use crate::ui::input::{Action, DeviceId, InputEvent, Key, Push};
    use crate::ui::scene::Target;

    const SIZE: Size = Size {
        width: 640,
        height: 360,
    };

    fn at(ms: u64) -> MonotonicTime {
        MonotonicTime::from_duration(Duration::from_millis(ms))
    }

    fn with_reset() -> Targets {
        let rect = Rect::new(0.0, 0.0, 100.0, 100.0).expect("a rectangle");
        Targets {
            places: vec![(rect, Target::Reset)],
            ..Targets::default()
        }
    }

    /// F12, pressed and let go within 100 ms.
    fn press(desk: &mut Desk, ms: u64) -> Vec<OperatorOrder> {
        for (ms, push) in [(ms, Push::Down), (ms + 100, Push::Up)] {
            desk.kiosk.take(&InputEvent {
                at: at(ms),
                device: DeviceId(0),
                action: Action::Key(Key::Reset, push),
            });
        }
        let orders = std::iter::from_fn(|| desk.kiosk.next_order());
        orders.map(|OperatorCommand { order, .. }| order).collect()
    }

    #[test]
    fn only_what_the_card_says_is_on_the_monitor_can_be_pressed() {
        let mut desk = Desk::new(KioskConfig::default(), true, SIZE);
        desk.drawn(with_reset(), at(1000));
        desk.look(Seen::Earlier, at(1010));
        assert_eq!(press(&mut desk, 1020), [], "it is still on its way");
        desk.look(Seen::Newest, at(1200));
        assert_eq!(press(&mut desk, 1210).len(), 2, "it is there");
        // The cable is pulled, or another terminal is in front.
        desk.drawn(with_reset(), at(1300));
        desk.look(Seen::Nothing, at(1320));
        assert_eq!(press(&mut desk, 1330), []);
        desk.look(Seen::Newest, at(1450));
        assert_eq!(
            press(&mut desk, 1460),
            [],
            "what was drawn before is not there"
        );
        // The picture hangs.
        desk.drawn(with_reset(), at(2000));
        desk.look(Seen::Newest, at(2040));
        for ms in (2100..2700).step_by(50) {
            desk.drawn(with_reset(), at(ms));
            desk.look(Seen::Earlier, at(ms));
            desk.kiosk.pass_time(at(ms));
        }
        assert_eq!(press(&mut desk, 2700), []);
    }
}
