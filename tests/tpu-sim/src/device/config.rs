//! How a simulated device is.

use std::time::Duration;

use crate::dfu::Firmware;
use crate::latency::{Latency, Speed};
use crate::registers::ResetValues;

/// What the device does with streams that come while outputs wait to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Its data path locks up, as documented for the single-endpoint firmware.
    Deadlocks,
    /// It buffers that many bytes; beyond them the data path locks up.
    Buffers(usize),
}

/// How the simulated device is.
#[derive(Clone, Debug)]
pub struct Config {
    /// Signalling rate of its port.
    pub speed: Speed,
    /// Whether it starts in its boot loader.
    pub starts_in_dfu: bool,
    /// Register values after reset.
    pub resets: ResetValues,
    /// Reads of the power state until it follows.
    pub power_polls: u32,
    /// What firmware it takes.
    pub firmware: Firmware,
    /// How long the boot loader is busy after a block, when it says so.
    pub dfu_busy: Option<Duration>,
    /// How long things take.
    pub latency: Latency,
    /// Streams behind outputs.
    pub overlap: Overlap,
    /// Whether everything is recorded.
    pub record: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            speed: Speed::Super,
            starts_in_dfu: true,
            resets: ResetValues::Chip,
            power_polls: 3,
            firmware: Firmware::Any,
            dfu_busy: None,
            latency: Latency::default(),
            overlap: Overlap::Deadlocks,
            record: false,
        }
    }
}
