//! USB.
#[cfg(feature = "tpu-sim")]
pub mod simulated;
pub mod transport;
