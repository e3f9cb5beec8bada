//! The Edge TPU: our own driver for Coral's accelerator, on USB and PCIe.

pub mod bringup;
pub mod cache;
pub mod device;
mod error;
pub mod layout;
pub mod link;
pub mod package;
pub mod pool;
pub mod regs;
pub mod supervise;
#[cfg(test)]
mod test_models;
pub mod usb;

pub use error::TpuError;
