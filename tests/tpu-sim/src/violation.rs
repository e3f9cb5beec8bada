//! What the driver did wrong.

use std::fmt;
use std::time::Duration;

/// Which rule of the protocol was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// A control request that the device does not know, or of a wrong shape.
    Control,
    /// Use of an interface or endpoint that was not claimed, or does not exist.
    Endpoint,
    /// A register that does not exist, of another width, or fields changed that are not the
    /// driver's.
    Register,
    /// Chip registers used while it sleeps, or a power state taken for granted.
    Power,
    /// A step of the bring-up that is missing or out of order.
    BringUp,
    /// A stream before the chip runs.
    NotRunning,
    /// A malformed stream header, or one that does not stand in a transfer of its own.
    Header,
    /// A bulk-out transfer that is empty, too large, or reaches over its stream's end.
    Chunk,
    /// Instructions that belong to no known executable.
    Instructions,
    /// A patched address that is null, misaligned, overlapping or different at two sites.
    Address,
    /// A stream that is not the next one of the executable's hints.
    Order,
    /// Parameters that differ from the package's.
    Parameters,
    /// Padding of an input that is not zero.
    Padding,
    /// An inference whose parameters are not in the chip's memory.
    Residency,
    /// A bulk-out behind outputs that nobody has read: the data path locks up.
    Deadlock,
    /// A bulk-in that asks for less than the device's packet.
    Overflow,
    /// Firmware download out of order.
    Dfu,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Control => "control request",
            Self::Endpoint => "endpoint",
            Self::Register => "register",
            Self::Power => "power state",
            Self::BringUp => "bring-up",
            Self::NotRunning => "stream before run state",
            Self::Header => "stream header",
            Self::Chunk => "chunk",
            Self::Instructions => "instructions",
            Self::Address => "address",
            Self::Order => "order",
            Self::Parameters => "parameters",
            Self::Padding => "padding",
            Self::Residency => "resident memory",
            Self::Deadlock => "deadlock",
            Self::Overflow => "overflow",
            Self::Dfu => "DFU",
        })
    }
}

/// One breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When, on the simulator's clock.
    pub at: Duration,
    /// How many transfers had been submitted by then.
    pub transfer: u64,
    /// Which rule.
    pub rule: Rule,
    /// What exactly.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.3} ms, transfer {}: {}: {}",
            self.at.as_secs_f64() * 1e3,
            self.transfer,
            self.rule,
            self.detail
        )
    }
}

/// Where breaches are collected. Keeps the first thousand and counts the rest, so that a driver
/// that goes wrong for an hour fills no memory.
#[derive(Clone, Debug, Default)]
pub struct Violations {
    kept: Vec<Violation>,
    count: u64,
    /// Context of what is recorded next.
    now: Duration,
    transfer: u64,
}

impl Violations {
    /// Sets what the next breaches are stamped with.
    pub fn stamp(&mut self, now: Duration, transfer: u64) {
        self.now = now;
        self.transfer = transfer;
    }

    /// Records one.
    pub fn add(&mut self, rule: Rule, detail: impl Into<String>) {
        self.count += 1;
        if self.kept.len() < 1000 {
            self.kept.push(Violation {
                at: self.now,
                transfer: self.transfer,
                rule,
                detail: detail.into(),
            });
        }
    }

    /// Those that were kept, in order.
    #[must_use]
    pub fn all(&self) -> &[Violation] {
        &self.kept
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Takes them out.
    pub fn take(&mut self) -> Vec<Violation> {
        self.count = 0;
        std::mem::take(&mut self.kept)
    }
}
