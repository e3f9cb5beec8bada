//! USB.
pub mod transport;
