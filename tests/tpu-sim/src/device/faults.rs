//! What the fault script does to the device.

use super::{Mode, SimulatedEdgeTpu};
use crate::endpoint::Twist;
use crate::fault::{Fault, Trigger};

impl SimulatedEdgeTpu {
    /// A fault of the device as a whole.
    pub(super) fn device_fault(&mut self, fault: Fault) {
        match fault {
            Fault::Unplug(back) => {
                let back = back.map(|after| self.now + after);
                self.pull(back);
                self.mode = Mode::Dfu;
                self.hung_hard = false;
            }
            Fault::FallIntoDfu => {
                self.pull(Some(self.now + self.config.latency.enumeration));
                self.mode = Mode::Dfu;
            }
            Fault::Hang(hard) => {
                self.hung = true;
                self.hung_hard |= hard;
            }
            Fault::Fatal(status) => {
                self.chip.wedged = true;
                if self.registers.fatal_error(status) {
                    self.interrupt(1);
                }
            }
            Fault::Interrupt(word) => self.interrupt(word),
            Fault::PowerSticks => self.registers.never_settle(),
            Fault::DfuCorrupt => self.dfu.corrupt_upload(),
            Fault::DfuStatus(status) => self.dfu.fail(status),
            Fault::ResetKills => self.reset_kills = true,
            Fault::KeepsWithdrawn => self.keeps = true,
            // Those of transfers and events mean nothing here; the script's author sees no effect.
            Fault::Stall
            | Fault::Never
            | Fault::Broken
            | Fault::Delay(_)
            | Fault::Short(_)
            | Fault::Garbage(_)
            | Fault::DropEvent
            | Fault::RepeatEvent(_)
            | Fault::EarlyEvent
            | Fault::WrongOutput => {}
        }
    }

    pub(super) fn interrupt(&mut self, word: u32) {
        let [_, _, interrupts] = &mut self.inputs;
        let packet = interrupts.packet_bytes;
        interrupts.push(self.now, &word.to_le_bytes(), packet);
    }

    /// Numbers a transfer and finds what is scripted for it.
    pub(super) fn number_transfer(&mut self) -> Option<Twist> {
        let number = self.transfers;
        self.transfers += 1;
        self.violations.stamp(self.now, self.transfers);
        let fault = self.script.due(Trigger::Transfer(number))?;
        self.twist(fault)
    }

    pub(super) fn twist(&mut self, fault: Fault) -> Option<Twist> {
        match fault {
            Fault::Stall => Some(Twist::Stall),
            Fault::Never => Some(Twist::Never),
            Fault::Broken => Some(Twist::Broken),
            Fault::Delay(delay) => Some(Twist::Delay(delay)),
            Fault::Short(bytes) => Some(Twist::Short(bytes)),
            Fault::Garbage(bytes) => Some(Twist::Garbage(bytes)),
            Fault::Unplug(_)
            | Fault::FallIntoDfu
            | Fault::Hang(_)
            | Fault::Fatal(_)
            | Fault::Interrupt(_)
            | Fault::DropEvent
            | Fault::RepeatEvent(_)
            | Fault::EarlyEvent
            | Fault::WrongOutput
            | Fault::PowerSticks
            | Fault::DfuCorrupt
            | Fault::DfuStatus(_)
            | Fault::ResetKills
            | Fault::KeepsWithdrawn => {
                self.device_fault(fault);
                None
            }
        }
    }
}
