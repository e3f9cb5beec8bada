//! Registers by control transfers: request 1 for 32 bits, 0 for 64, the offset in value and index.

use std::time::Duration;

use super::transport::{Recipient, RequestKind, Setup, TransferError, UsbDevice};
use crate::tpu::error::TpuError;
use crate::tpu::regs::{Csr, Register};
use crate::units::MonotonicTime;

/// How long a register access may take; it takes a fraction of a millisecond.
const TIMEOUT: Duration = Duration::from_millis(100);

/// The registers of an open device.
#[derive(Debug)]
pub(super) struct UsbCsr<'a>(pub(super) &'a mut dyn UsbDevice);

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

impl UsbCsr<'_> {
    fn read<const N: usize>(&mut self, register: Register, bits: u32) -> Result<[u8; N], TpuError> {
        let fail = |source| TpuError::Register {
            access: "read",
            register,
            source,
        };
        let mut data = [0; N];
        let setup = setup(register, bits);
        match self.0.control_in(setup, &mut data, TIMEOUT).map_err(fail)? {
            length if length == N => Ok(data),
            length => Err(fail(TransferError::Other(format!(
                "{length} of {N} bytes came"
            )))),
        }
    }

    fn write(&mut self, register: Register, bits: u32, data: &[u8]) -> Result<(), TpuError> {
        let done = self.0.control_out(setup(register, bits), data, TIMEOUT);
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
        self.0.now()
    }
}
