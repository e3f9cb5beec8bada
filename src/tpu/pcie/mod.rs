//! The accelerators on PCIe: M.2 and mini-PCIe cards, and the Dev Board's.

mod address_space;
mod engine;
#[cfg(test)]
pub(crate) mod fake;
mod gasket;
mod gasket_sys;
pub mod pages_sys;
mod ring;
pub mod surface;

use std::sync::Arc;

pub use gasket::{Gasket, attached};

use super::bringup::ClockRate;
use super::cache::LoaderId;
use super::device::{Backend, Measure, Notice, ProgramId, Progress, Ticket};
use super::error::TpuError;
use super::package::Package;
use super::regs::MilliCelsius;
use crate::units::MonotonicTime;
use engine::{Engine, Program};
use surface::Opener;

#[derive(Debug)]
enum State {
    Out,
    Working(Box<Engine>),
}

/// An accelerator in a PCIe slot.
#[derive(Debug)]
pub struct Pcie {
    opener: Box<dyn Opener>,
    identity: String,
    clock: ClockRate,
    state: State,
    /// The models, while no engine has them.
    programs: Vec<Program>,
    next_ticket: Ticket,
}

impl Pcie {
    /// The accelerator at a PCI address, whether or not it is there. Nothing is done yet.
    #[must_use]
    pub fn new(opener: Box<dyn Opener>, address: &str, clock: ClockRate) -> Self {
        Self {
            opener,
            identity: format!("pcie {address}"),
            clock,
            state: State::Out,
            programs: Vec::new(),
            next_ticket: Ticket(0),
        }
    }

    fn engine(&mut self) -> Result<&mut Engine, TpuError> {
        match &mut self.state {
            State::Working(engine) => Ok(engine),
            State::Out => Err(TpuError::Absent(format!("in service at {}", self.identity))),
        }
    }

    /// Gives the connection up, after a reset.
    fn reset(&mut self) -> Result<(), TpuError> {
        match std::mem::replace(&mut self.state, State::Out) {
            State::Working(engine) => {
                self.next_ticket = engine.next_ticket();
                let (reset, programs) = engine.reset();
                self.programs = programs;
                reset
            }
            State::Out => Ok(()),
        }
    }
}

impl Backend for Pcie {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn description(&self) -> String {
        let clock = match self.clock {
            ClockRate::Standard => "250 MHz",
            ClockRate::Maximum => "500 MHz",
        };
        format!("{}, {clock}", self.identity.replacen("pcie", "PCIe", 1))
    }

    fn now(&self) -> MonotonicTime {
        self.opener.now()
    }

    fn load(&mut self, package: &Arc<Package>) -> Result<ProgramId, TpuError> {
        let programs = match &self.state {
            State::Working(engine) => &engine.programs,
            State::Out => &self.programs,
        };
        let known = programs
            .iter()
            .position(|p| Arc::ptr_eq(&p.package, package));
        if let Some(known) = known {
            return Ok(ProgramId(known));
        }
        let id = programs.len();
        let loader = u32::try_from(id).map_err(|_many| TpuError::Unknown("many models"))?;
        let program = Program::new(Arc::clone(package), LoaderId(loader))?;
        match &mut self.state {
            State::Working(engine) => engine.add(program).map_err(|refused| refused.0),
            State::Out => {
                self.programs.push(program);
                Ok(ProgramId(id))
            }
        }
    }

    fn advance(&mut self) -> Result<Progress, TpuError> {
        if let State::Working(_) = self.state {
            return Ok(Progress::Ready);
        }
        let Some(surface) = self.opener.open()? else {
            return Ok(Progress::Underway(format!(
                "nothing is there at {}",
                self.identity
            )));
        };
        let programs = std::mem::take(&mut self.programs);
        match Engine::open(surface, self.clock, programs, self.next_ticket) {
            Ok(engine) => {
                self.state = State::Working(Box::new(engine));
                Ok(Progress::Ready)
            }
            Err((error, programs)) => {
                self.programs = programs;
                Err(error)
            }
        }
    }

    fn wait_for_change(&mut self, deadline: MonotonicTime) {
        self.opener.wait_for_change(deadline);
    }

    fn submit(&mut self, program: ProgramId, inputs: &[&[u8]]) -> Result<Ticket, TpuError> {
        self.engine()?.submit(program, inputs)
    }

    fn finish(
        &mut self,
        ticket: Ticket,
        deadline: MonotonicTime,
        outputs: &mut [Vec<u8>],
    ) -> Result<(), TpuError> {
        self.engine()?.finish(ticket, deadline, outputs)
    }

    fn recover(&mut self, measure: Measure) -> Result<Progress, TpuError> {
        match measure {
            // The chip moves data by itself: nothing short of a reset is known to have stopped it.
            Measure::Retry | Measure::HaltAndClear => Err(TpuError::Nonsense(
                "no sign that it has stopped; only a reset helps on PCIe".to_owned(),
            )),
            Measure::Reset | Measure::Firmware => {
                if let State::Out = self.state
                    && let Some(mut surface) = self.opener.open()?
                {
                    surface.reset()?;
                }
                self.reset()?;
                Ok(Progress::Underway("reset of the chip".to_owned()))
            }
        }
    }

    fn temperature(&mut self) -> Result<Option<MilliCelsius>, TpuError> {
        Ok(self.engine()?.temperature())
    }

    fn take_notice(&mut self) -> Option<Notice> {
        match &mut self.state {
            State::Working(engine) => engine.take_notice(),
            State::Out => None,
        }
    }

    fn close(&mut self) -> Result<(), TpuError> {
        match std::mem::replace(&mut self.state, State::Out) {
            State::Working(engine) => {
                self.next_ticket = engine.next_ticket();
                let (closed, programs) = engine.close();
                self.programs = programs;
                closed
            }
            State::Out => Ok(()),
        }
    }
}

impl Drop for Pcie {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            log::debug!("{}: not put to rest: {error}", self.identity);
        }
    }
}

#[cfg(test)]
mod tests;
