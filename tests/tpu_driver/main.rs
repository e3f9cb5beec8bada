//! The driver against the simulated Edge TPU of `tests/tpu-sim`, in this process and on simulated time.
//!
//! The two share no code, so that what they agree on is not one mistake made once. Small models are
//! made on the spot; the compiled ones of the reference folder (`ANDON_EDGETPU`) are skipped loudly
//! where it is missing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure is the message"
)]

#[path = "../tpu-sim/tests/support/models.rs"]
#[allow(dead_code, reason = "a part is used")]
mod models;

mod caching;
mod faults;
mod noise;
mod rig;
mod runs;
mod storm;
mod traces;
mod twins;
