//! Control transfers: the boot loader's requests and register accesses.

use std::time::Duration;

use super::{ControlEnd, Mode, Plug, Setup, SimulatedEdgeTpu};
use crate::dfu::Reply;
use crate::endpoint::{TransferError, Twist};
use crate::record::Entry;
use crate::registers::{Access, Effect};
use crate::violation::Rule;

impl SimulatedEdgeTpu {
    /// A control transfer to the device, its interface or its registers. Standard requests are the
    /// front end's.
    pub fn control(&mut self, now: Duration, setup: Setup, data: &[u8]) -> ControlEnd {
        self.advance(now);
        let twist = self.number_transfer();
        let mut at = self.now + self.config.latency.control;
        if self.plug != Plug::In {
            return ControlEnd {
                result: Err(TransferError::Disconnected),
                at: Some(self.now),
            };
        }
        if self.hung || self.hung_hard {
            return ControlEnd {
                result: Err(TransferError::TimedOut),
                at: None,
            };
        }
        let forced = match twist {
            Some(Twist::Stall) => Some(Err(TransferError::Stall)),
            Some(Twist::Broken) => Some(Err(TransferError::Broken)),
            Some(Twist::Never) => {
                return ControlEnd {
                    result: Err(TransferError::TimedOut),
                    at: None,
                };
            }
            Some(Twist::Garbage(ref bytes)) => Some(Ok(bytes.clone())),
            Some(Twist::Delay(delay)) => {
                at += delay;
                None
            }
            Some(Twist::Short(_)) | None => None,
        };
        if let Some(result) = forced {
            return ControlEnd {
                result,
                at: Some(at),
            };
        }
        let mut result = match setup.request_type {
            0x40 | 0xc0 if self.mode == Mode::Application => self.register(setup, data),
            0x21 | 0xa1 => self.class(setup, data),
            other => {
                self.violations.add(
                    Rule::Control,
                    format!("request type {other:#x}, request {}", setup.request),
                );
                Err(TransferError::Stall)
            }
        };
        if let (Ok(bytes), Some(Twist::Short(count))) = (&mut result, &twist) {
            bytes.truncate(*count);
        }
        ControlEnd {
            result,
            at: Some(at),
        }
    }

    pub(super) fn class(&mut self, setup: Setup, data: &[u8]) -> Result<Vec<u8>, TransferError> {
        // The application knows one class request: DFU_DETACH.
        let detach = setup.request_type == 0x21 && setup.request == 0 && setup.index == 0;
        if self.mode == Mode::Application && detach && self.claimed {
            self.detached = true;
            return Ok(Vec::new());
        }
        if self.mode != Mode::Dfu || !self.claimed || setup.index != 0 {
            self.violations.add(
                Rule::Control,
                format!(
                    "class request {} to interface {}, {}",
                    setup.request,
                    setup.index,
                    if self.claimed {
                        "claimed"
                    } else {
                        "not claimed"
                    }
                ),
            );
            return Err(TransferError::Stall);
        }
        if setup.request == 1 && data.is_empty() {
            let bytes = self.dfu.image().len();
            self.record
                .add(|| Entry::Dfu(format!("dnload zlp: fw total {bytes}")));
        }
        let reply = self.dfu.request(
            self.now,
            setup.request,
            setup.value,
            setup.length,
            data,
            &mut self.violations,
        );
        match reply {
            Reply::Data(bytes) => Ok(bytes),
            Reply::Stall => Err(TransferError::Stall),
        }
    }

    pub(super) fn register(&mut self, setup: Setup, data: &[u8]) -> Result<Vec<u8>, TransferError> {
        let offset = u32::from(setup.value) | u32::from(setup.index) << 16;
        let wide = setup.request == 0;
        let bytes: usize = if wide { 8 } else { 4 };
        let write = setup.request_type == 0x40;
        let length = if write {
            data.len()
        } else {
            usize::from(setup.length)
        };
        if setup.request > 1 || length != bytes {
            self.violations.add(
                Rule::Control,
                format!(
                    "register {offset:#x}: request {} of {length} bytes",
                    setup.request
                ),
            );
            return Err(TransferError::Stall);
        }
        let (access, effect, value) = if write {
            let mut raw = [0u8; 8];
            for (to, from) in raw.iter_mut().zip(data) {
                *to = *from;
            }
            let value = u64::from_le_bytes(raw);
            let (access, effect) = self
                .registers
                .write(offset, wide, value, &mut self.violations);
            (access, effect, value)
        } else {
            match self.registers.read(offset, wide, &mut self.violations) {
                Access::Value(value) => (Access::Value(value), Effect::None, value),
                Access::Refused => (Access::Refused, Effect::None, 0),
            }
        };
        if access == Access::Refused {
            return Err(TransferError::Stall);
        }
        self.record.add(|| Entry::Register {
            write,
            wide,
            offset,
            value,
        });
        if effect == Effect::Slept {
            self.reset_core();
            self.start_out();
        }
        if write {
            return Ok(Vec::new());
        }
        let mut out = value.to_le_bytes().to_vec();
        out.truncate(bytes);
        Ok(out)
    }
}
