//! What a supervised accelerator is, whatever bus it is on.

use std::fmt;
use std::sync::Arc;

use super::error::TpuError;
use super::package::Package;
use super::regs::MilliCelsius;
use crate::units::MonotonicTime;

/// A model that a backend has been given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProgramId(pub usize);

/// A run that was begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Something a device said that ends nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It is getting hot.
    Hot(Option<MilliCelsius>),
    /// A transfer inside the chip was refused.
    Bus,
}

/// How far a device is on its way into service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It can run models.
    Ready,
    /// Not yet; says what it waits for, or what was done.
    Underway(String),
}

/// A measure to bring a failed device back, the mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Withdraw the transfers and try again, where the chip saw nothing of the failed run.
    Retry,
    /// Clear the endpoints, halt the chip and wake it up again.
    HaltAndClear,
    /// Reset the port, or the device as a whole, and begin anew.
    Reset,
    /// Reset it and give it its firmware again.
    Firmware,
}

impl Measure {
    /// The next harder one.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Retry => Some(Self::HaltAndClear),
            Self::HaltAndClear => Some(Self::Reset),
            Self::Reset => Some(Self::Firmware),
            Self::Firmware => None,
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retry => "retry",
            Self::HaltAndClear => "halt and clear",
            Self::Reset => "reset",
            Self::Firmware => "firmware again",
        })
    }
}

/// An accelerator on one bus. Everything it does is bounded in time, by itself or, resets, by the
/// kernel; nothing it is told by the device ends the program.
pub trait Backend: Send + fmt::Debug {
    /// Where it is plugged in: `usb 1-2.3`, `pcie 0000:01:00.0`.
    fn identity(&self) -> &str;

    /// What it is, once that is known: bus, speed and clock rate.
    fn description(&self) -> String;

    /// Now, on its clock.
    fn now(&self) -> MonotonicTime;

    /// Takes a model. Works whether or not the device is there.
    ///
    /// # Errors
    ///
    /// The model cannot be run on this bus.
    fn load(&mut self, package: &Arc<Package>) -> Result<ProgramId, TpuError>;

    /// One step into service. Takes a fraction of a second, but for a reset, which is the kernel's and
    /// may take it seconds; does nothing once it is ready.
    ///
    /// # Errors
    ///
    /// The step failed; the next call begins anew, as after [`Measure::Reset`].
    fn advance(&mut self) -> Result<Progress, TpuError>;

    /// Lets time pass until something may have changed about the device's being there.
    fn wait_for_change(&mut self, deadline: MonotonicTime);

    /// Begins a run; inputs are copied.
    ///
    /// # Errors
    ///
    /// Not in service, or the caller's inputs do not fit.
    fn submit(&mut self, program: ProgramId, inputs: &[&[u8]]) -> Result<Ticket, TpuError>;

    /// Waits for a run and writes its outputs, whose lengths are those of the tensors.
    ///
    /// # Errors
    ///
    /// It failed, or did not end by the deadline; all runs are then lost, and a [`Measure`] is to be
    /// taken.
    fn finish(
        &mut self,
        ticket: Ticket,
        deadline: MonotonicTime,
        outputs: &mut [Vec<u8>],
    ) -> Result<(), TpuError>;

    /// Withdraws what is under way and takes a measure. `Ready` when the device can run models at
    /// once, else [`Backend::advance`] goes on. Takes as long as that.
    ///
    /// # Errors
    ///
    /// The measure failed; a harder one is due.
    fn recover(&mut self, measure: Measure) -> Result<Progress, TpuError>;

    /// The temperature of its chip; `None` where it does not say.
    ///
    /// # Errors
    ///
    /// Not in service.
    fn temperature(&mut self) -> Result<Option<MilliCelsius>, TpuError>;

    /// The next thing the device said.
    fn take_notice(&mut self) -> Option<Notice>;

    /// Puts the device to rest.
    ///
    /// # Errors
    ///
    /// It does not answer.
    fn close(&mut self) -> Result<(), TpuError>;
}
