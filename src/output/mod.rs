//! Switching outputs and the operator's inputs: the relays, or their recorded simulation.
//!
//! The decide thread owns one [`SwitchingOutput`] and one [`FieldInputs`]; nobody else touches a
//! line. Ours are switching outputs, not OSSDs: supplementary protection in front of a certified
//! safety relay. Wiring is de-energise-to-trip, so that inactive is what a dead line is, too.
//!
//! [`SimulatedOutput`] is not wired and records; [`open`] takes the lines of gpiochips. Below it,
//! [`Board`] is what the kernel offers, and `edm`, `debounce` and `heartbeat` are pure.
//!
//! What every backend promises:
//!
//! - all lines are inactive once it is constructed, before anything was ordered;
//! - a line changes only by an order, and an order for the state a line already has is not an edge;
//! - all lines are inactive after it is dropped, also by a panic. The kernel does not promise what
//!   a GPIO line does after its owner exits; the wiring must not depend on it;
//! - after an error the state of the line is unknown: the caller takes the run permission away by
//!   every means it has left and says so.

#![deny(clippy::indexing_slicing)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::panic,
        reason = "a test that panics has failed, as it should"
    )
)]

mod board;
mod cdev;
mod debounce;
mod edm;
mod error;
mod find;
mod gpio;
mod gpio_inputs;
mod heartbeat;
mod operator;
mod simulated;

use crate::message::{FieldLevels, OutputChange, ResetPrompt};
use crate::units::MonotonicTime;

pub use board::{Board, Chip, Line, Place, Usage};
pub use cdev::CharacterDevices;
pub use debounce::Debounce;
pub use edm::Edm;
pub use error::OutputError;
pub use find::{Survey, survey};
pub use gpio::{GpioOutput, Opened, open, outputs_off};
pub use gpio_inputs::GpioInputs;
pub use heartbeat::HeartbeatGenerator;
pub use operator::SimulatedOperator;
pub use simulated::{EDGES_MAX, EdgeLog, SimulatedOutput};

/// Lines that can be switched.
pub trait SwitchingOutput: Send + std::fmt::Debug {
    /// Puts a line into the state that `change` orders; time and cause are for the record. Returns
    /// at once: a line is a register write away.
    ///
    /// # Errors
    ///
    /// The line could not be driven; its state is unknown.
    fn apply(&mut self, change: &OutputChange) -> Result<(), OutputError>;
}

/// Buttons and contacts that are read.
pub trait FieldInputs: Send + std::fmt::Debug {
    /// The levels at `now`, polarity applied. `prompt` says whether a reset would be accepted: what
    /// a reset lamp shows, and what a simulated operator waits for. Returns at once.
    ///
    /// # Errors
    ///
    /// A line could not be read; nothing may be concluded from it.
    fn read(&mut self, now: MonotonicTime, prompt: ResetPrompt)
    -> Result<FieldLevels, OutputError>;
}
