//! The Edge TPU: our own driver for Coral's accelerator, on USB and PCIe.

pub mod package;
pub mod usb;
