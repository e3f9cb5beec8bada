//! Registers by control transfers: request 1 for 32 bits, 0 for 64, the offset in value and index.

use std::time::Duration;

use super::transport::{Recipient, RequestKind, Setup, TransferError, UsbDevice};
use crate::tpu::error::TpuError;
use crate::tpu::regs::{Csr, Register};
use crate::units::MonotonicTime;

/// How long a register access may take; it takes a fraction of a millisecond.
const TIMEOUT: Duration = Duration::from_millis(100);

/// The registers of an open device, for a limited time: accesses after it fail, however well the
/// device answers each.
#[derive(Debug)]
pub(super) struct UsbCsr<'a> {
    device: &'a mut dyn UsbDevice,
    until: MonotonicTime,
}

const fn setup(register: Register, bits: u32) -> Setup {
    let [a, b, c, d] = register.offset.to_le_bytes();
    Setup {
        kind: RequestKind::Vendor,
        recipient: Recipient::Device,
        request: if bits == 32 { 1 } else { 0 },
        value: u16::from_le_bytes([a, b]),
        index: u16::from_le_bytes([c, d]),
    }
}

impl<'a> UsbCsr<'a> {
    /// The registers, for this long from now on.
    pub(super) fn new(device: &'a mut dyn UsbDevice, limit: Duration) -> Self {
        let until = device.now() + limit;
        Self { device, until }
    }

    /// Time for the next access.
    fn timeout(&self) -> Result<Duration, TransferError> {
        let left = self.until.saturating_since(self.device.now());
        if left.is_zero() {
            return Err(TransferError::TimedOut);
        }
        Ok(left.min(TIMEOUT))
    }

    fn read<const N: usize>(&mut self, register: Register, bits: u32) -> Result<[u8; N], TpuError> {
        let fail = |source| TpuError::Register {
            access: "read",
            register,
            source,
        };
        let mut data = [0; N];
        let setup = setup(register, bits);
        let timeout = self.timeout().map_err(fail)?;
        let came = self.device.control_in(setup, &mut data, timeout);
        match came.map_err(fail)? {
            length if length == N => Ok(data),
            length => Err(fail(TransferError::Other(format!(
                "{length} of {N} bytes came"
            )))),
        }
    }

    fn write(&mut self, register: Register, bits: u32, data: &[u8]) -> Result<(), TpuError> {
        let done = self.timeout().and_then(|timeout| {
            let setup = setup(register, bits);
            self.device.control_out(setup, data, timeout)
        });
        done.map_err(|source| TpuError::Register {
            access: "write",
            register,
            source,
        })
    }
}

impl Csr for UsbCsr<'_> {
    fn read32(&mut self, register: Register) -> Result<u32, TpuError> {
        self.read(register, 32).map(u32::from_le_bytes)
    }

    fn write32(&mut self, register: Register, value: u32) -> Result<(), TpuError> {
        self.write(register, 32, &value.to_le_bytes())
    }

    fn read64(&mut self, register: Register) -> Result<u64, TpuError> {
        self.read(register, 64).map(u64::from_le_bytes)
    }

    fn write64(&mut self, register: Register, value: u64) -> Result<(), TpuError> {
        self.write(register, 64, &value.to_le_bytes())
    }

    fn now(&self) -> MonotonicTime {
        self.device.now()
    }
}
