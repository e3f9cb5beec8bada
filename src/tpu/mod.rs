//! The Edge TPU: our own driver for Coral's accelerator, on USB and PCIe.

pub mod bringup;
pub mod cache;
pub mod device;
mod error;
pub mod layout;
pub mod link;
pub mod package;
pub mod pcie;
pub mod pool;
pub mod regs;
pub mod supervise;
#[cfg(test)]
pub(crate) mod test_models;
pub mod usb;

pub use error::TpuError;

use std::time::Duration;

use crate::sys::monotonic_now;
use device::Backend;
use pcie::Pcie;
use usb::{NusbHost, Sockets, Usb, UsbOptions};

/// Where accelerators are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bus {
    /// Everywhere, USB first.
    Any,
    /// On USB.
    Usb,
    /// On PCIe.
    Pcie,
}

/// The accelerators of this machine, in the order of their places; nothing is done to them. Where
/// there is none, one is waited for: a machine that is just starting lists them late.
///
/// # Errors
///
/// There is none within `limit`; says where was looked.
pub fn find(
    bus: Bus,
    options: &UsbOptions,
    limit: Duration,
) -> Result<Vec<Box<dyn Backend>>, TpuError> {
    let deadline = monotonic_now() + limit;
    loop {
        match list(bus, options) {
            Err(TpuError::Absent(_)) if monotonic_now() < deadline => {
                // PCIe announces nothing to us, and USB not everywhere.
                std::thread::sleep(LOOK_AGAIN);
            }
            other => return other,
        }
    }
}

/// Time between two looks for accelerators.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

fn list(bus: Bus, options: &UsbOptions) -> Result<Vec<Box<dyn Backend>>, TpuError> {
    let mut found: Vec<Box<dyn Backend>> = Vec::new();
    if bus != Bus::Pcie {
        let mut host = NusbHost::new();
        match usb::attached(&mut host) {
            Ok(devices) => {
                let sockets = Sockets::default();
                found.extend(devices.into_iter().map(|device| {
                    let usb = Usb::new(Box::new(NusbHost::new()), device.port, options.clone());
                    Box::new(usb.among(&sockets)) as Box<dyn Backend>
                }));
            }
            // A machine may have no USB at all.
            Err(error) if bus == Bus::Usb => return Err(error),
            Err(error) => log::debug!("Edge TPUs on USB: {error}"),
        }
    }
    if bus != Bus::Usb {
        found.extend(pcie::attached().into_iter().map(|gasket| {
            let address = gasket.address.clone();
            let pcie = Pcie::new(Box::new(gasket), &address, options.clock);
            Box::new(pcie) as Box<dyn Backend>
        }));
    }
    if found.is_empty() {
        let where_ = match bus {
            Bus::Any => "is connected to USB or PCIe (/dev/apex_*)",
            Bus::Usb => "is connected to USB (1a6e:089a or 18d1:9302)",
            Bus::Pcie => "is connected to PCIe (/dev/apex_*)",
        };
        return Err(TpuError::Absent(where_.to_owned()));
    }
    Ok(found)
}
