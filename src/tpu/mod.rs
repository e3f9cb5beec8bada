//! The Edge TPU: our own driver for Coral's accelerator, on USB and PCIe.

pub mod cache;
pub mod layout;
pub mod link;
pub mod package;
#[cfg(test)]
mod test_models;
pub mod usb;
