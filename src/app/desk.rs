//! Where the operator meets the program: the ui thread's part of touching and telling.

use std::path::Path;
use std::time::Duration;

use super::ui_thread::Mail;
use crate::config::KioskConfig;
use crate::geometry::Size;
use crate::message::Snapshot;
use crate::sync::Taken;
use crate::sys::{
    THERMAL_FOLDER, machine_load, monotonic_now, resident_bytes, temperatures, uptime,
};
use crate::ui::kiosk::Kiosk;
use crate::ui::scene::{Machine, Targets};
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
    /// What the monitor shows, to be drawn anew when somebody touches something.
    last: Option<Snapshot>,
}

impl Desk {
    pub(super) fn new(config: KioskConfig, may_reset: bool, size: Size) -> Self {
        Self {
            kiosk: Kiosk::new(config, may_reset, size),
            machine_at: None,
            refreshed: MonotonicTime::ZERO,
            last: None,
        }
    }

    /// Takes what came, hands on what is wanted; whether the picture may be another now.
    pub(super) fn operate(&mut self, mail: &mut Mail) -> bool {
        let mut changed = false;
        if let Some(input) = &mut mail.input {
            while let Ok(event) = input.pop() {
                self.kiosk.take(&event);
                changed = true;
            }
        }
        let now = monotonic_now();
        self.kiosk.pass_time(now);
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

    /// The picture of this snapshot is on the monitor now.
    pub(super) fn shown(&mut self, targets: Targets, snapshot: &Snapshot) {
        self.kiosk.shown(targets);
        self.last = Some(snapshot.clone());
    }

    /// The snapshot that the monitor shows.
    pub(super) fn last_shown(&mut self) -> Option<Snapshot> {
        self.last.clone()
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
