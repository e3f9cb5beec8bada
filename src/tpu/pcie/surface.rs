//! What the driver needs of the kernel to work an accelerator on PCIe.
//!
//! Today that is the gasket/apex module's device node (`gasket`); a backend on VFIO
//! has its own way to map memory and to be interrupted and comes in through the same two traits.

use std::fmt;

use super::pages_sys::Pages;
use crate::tpu::bringup::ClockRate;
use crate::tpu::error::TpuError;
use crate::tpu::regs::{Csr, MilliCelsius};
use crate::units::MonotonicTime;

/// An address as the chip has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceAddress(pub u64);

/// Which way the chip moves data in a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The chip reads.
    ToDevice,
    /// The chip writes.
    FromDevice,
}

/// Makes memory of the host visible to the chip.
pub trait AddressSpace {
    /// Splits the page table into entries that map a page and entries that map a table of pages.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    fn partition(&mut self, simple_entries: u64) -> Result<(), TpuError>;

    /// Maps pages at an address; they stay where they are until they are unmapped, by whoever holds
    /// them.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    fn map(
        &mut self,
        pages: &Pages,
        at: DeviceAddress,
        direction: Direction,
    ) -> Result<(), TpuError>;

    /// Takes a mapping away.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    fn unmap(&mut self, pages: &Pages, at: DeviceAddress) -> Result<(), TpuError>;

    /// Memory that host and chip see the same way without any mapping's being renewed.
    ///
    /// # Errors
    ///
    /// The kernel has none.
    fn coherent(&mut self, bytes: usize) -> Result<(Pages, DeviceAddress), TpuError>;
}

/// The chip's interrupts, in the order of their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// The queue of instructions has moved on.
    InstructionQueue,
    /// A run is complete, 0; 1 to 3 are not used.
    Host(u8),
    /// Heat, bus, memory, warning of heat.
    TopLevel(u8),
    /// A fatal error; the error registers say which.
    Fatal,
    /// Queues that are not used over PCIe.
    Other,
}

/// Interrupts that there are.
pub const INTERRUPTS: usize = 13;

impl Interrupt {
    /// The interrupt of a number.
    #[must_use]
    pub fn of(number: usize) -> Self {
        match u8::try_from(number) {
            Ok(0) => Self::InstructionQueue,
            Ok(host @ 4..=7) => Self::Host(host - 4),
            Ok(top @ 8..=11) => Self::TopLevel(top - 8),
            Ok(12) => Self::Fatal,
            _ => Self::Other,
        }
    }
}

/// The chip's interrupts.
pub trait Interrupts {
    /// Has them told.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    fn enable(&mut self) -> Result<(), TpuError>;

    /// Waits for an interrupt until `deadline`; sets an entry for each that was raised since the last
    /// call. All false when the deadline has passed.
    ///
    /// # Errors
    ///
    /// The kernel cannot tell.
    fn wait(&mut self, deadline: MonotonicTime) -> Result<[bool; INTERRUPTS], TpuError>;
}

/// An open accelerator.
pub trait Surface: Csr + AddressSpace + Interrupts + Send + fmt::Debug {
    /// Sets how fast the chip runs.
    ///
    /// # Errors
    ///
    /// The kernel refuses; the chip then runs as it does.
    fn set_clock(&mut self, clock: ClockRate) -> Result<(), TpuError>;

    /// Resets the chip. Mappings are lost.
    ///
    /// # Errors
    ///
    /// The kernel cannot.
    fn reset(&mut self) -> Result<(), TpuError>;

    /// The temperature of the chip, as the kernel's driver reads it.
    fn temperature(&mut self) -> Option<MilliCelsius>;
}

/// Opens an accelerator that may have gone and come back.
pub trait Opener: Send + fmt::Debug {
    /// Now.
    fn now(&self) -> MonotonicTime;

    /// Opens it; `None` where it is not there.
    ///
    /// # Errors
    ///
    /// Not permitted, or in use.
    fn open(&mut self) -> Result<Option<Box<dyn Surface>>, TpuError>;

    /// Lets time pass until it may have come back.
    fn wait_for_change(&mut self, deadline: MonotonicTime);
}
