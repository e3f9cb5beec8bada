//! A simulated Edge TPU that judges the driver.
//!
//! ```text
//!  driver ─▶ front end ─▶ SimulatedEdgeTpu ─┬─ boot loader (dfu)
//!   (in-process or       (device)           ├─ registers, power, bring-up order (registers)
//!    usbredir)                              ├─ stream parser and endpoints (device, endpoint)
//!                                           └─ chip: hints, memory, outputs, events (chip)
//! ```
//!
//! Everything it knows of models it reads with its own readers ([`flat`], [`package`], [`model`]),
//! everything it does to tensors it does with its own inverse of the chip's layout ([`layout`]): it
//! shares no line with the driver, so that both being wrong in the same way is unlikely. Breaches of
//! the protocol are recorded with reasons ([`violation`]); tests end by asking for them.
//!
//! Time is injected ([`clock`]): tests run on simulated time that only moves when somebody waits.
//! What goes wrong, and when, is scripted ([`fault`]).
//!
//! Sources: facts observed by running the vendor's driver against a simulated device, the register
//! lists of that driver (Apache-2.0), the USB DFU 1.1 specification, the usbredir protocol document.
//! Nothing here was seen on a real chip.

pub mod allocations;
pub mod clock;
pub mod device;
pub mod dfu;
pub mod dump;
pub mod endpoint;
pub mod execute;
pub mod fault;
pub mod flat;
pub mod host;
pub mod latency;
pub mod layout;
pub mod link;
pub mod memory;
pub mod model;
pub mod pack;
pub mod package;
pub mod record;
pub mod registers;
pub mod registry;
#[cfg(feature = "twin")]
pub mod twin;
pub mod usbredir;
pub mod violation;
pub mod write;

mod chip;
mod descriptor;

pub use chip::Figures;

/// Start value of [`fnv1a_more`]: the one that the reference traces were hashed with, which is not
/// the standard's 14695981039346656037 but that without its last digit.
pub const FNV_START: u64 = 1_469_598_103_934_665_603;

/// FNV-1a-64 of bytes, as the reference traces give it: with [`FNV_START`].
#[must_use]
pub fn fnv1a(bytes: &[u8]) -> u64 {
    fnv1a_more(FNV_START, bytes)
}

/// Continues an FNV-1a-64 hash.
#[must_use]
pub fn fnv1a_more(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
