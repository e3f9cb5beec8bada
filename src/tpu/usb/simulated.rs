//! Carries the driver's transfers to the simulated device of `tests/tpu-sim`, in this process.
//!
//! Only translation: every judgement is the simulator's. Time is the simulator's clock, so with
//! simulated time a wait moves it instead of taking it. Called from the thread that owns the device.

use std::time::Duration;

use andon_tpu_sim::allocations::aside;
use andon_tpu_sim::device::Setup as SimSetup;
use andon_tpu_sim::endpoint::TransferError as SimError;
use andon_tpu_sim::host::{Listed, OpenDevice, SimulatedHost};
use andon_tpu_sim::latency::Speed as SimSpeed;

use super::transport::{
    Attached, Completion, EndpointAddress, HostError, PortPath, Recipient, RequestKind, Setup,
    Speed, TransferError, UsbDevice, UsbHost, UsbId,
};
use crate::units::MonotonicTime;

/// A host whose devices are simulated.
#[derive(Clone, Debug)]
pub struct SimulatedUsb(SimulatedHost);

impl SimulatedUsb {
    /// Wraps a simulated host; keep a clone of it to pull plugs and to ask for breaches.
    #[must_use]
    pub const fn new(host: SimulatedHost) -> Self {
        Self(host)
    }

    /// The simulated host.
    #[must_use]
    pub const fn host(&self) -> &SimulatedHost {
        &self.0
    }
}

fn to_time(since_start: Duration) -> MonotonicTime {
    MonotonicTime::from_duration(since_start)
}

fn from_time(time: MonotonicTime) -> Duration {
    time.since_epoch()
}

fn error(error: SimError) -> TransferError {
    match error {
        SimError::TimedOut => TransferError::TimedOut,
        SimError::Cancelled => TransferError::Cancelled,
        SimError::Stall => TransferError::Stall,
        SimError::Disconnected => TransferError::Disconnected,
        SimError::Broken => TransferError::Fault,
    }
}

fn listed(port: &PortPath, all: Vec<Listed>) -> Option<Listed> {
    all.into_iter().find(|listed| listed.port == port.0)
}

impl UsbHost for SimulatedUsb {
    fn now(&self) -> MonotonicTime {
        to_time(self.0.now())
    }

    fn devices(&mut self) -> Result<Vec<Attached>, HostError> {
        let devices = self.0.devices();
        Ok(devices
            .into_iter()
            .map(|listed| Attached {
                port: PortPath(listed.port),
                id: UsbId {
                    vendor: listed.presence.vendor,
                    product: listed.presence.product,
                },
                address: listed.presence.address,
            })
            .collect())
    }

    fn wait_for_change(&mut self, deadline: MonotonicTime) -> Result<bool, HostError> {
        Ok(self.0.wait_for_change(from_time(deadline)))
    }

    fn open(&mut self, device: &Attached) -> Result<Box<dyn UsbDevice>, HostError> {
        let gone = || HostError::Gone {
            port: device.port.clone(),
        };
        let there = listed(&device.port, self.0.devices())
            .filter(|listed| listed.presence.address == device.address)
            .ok_or_else(gone)?;
        let open = self.0.open(&there).ok_or_else(gone)?;
        Ok(Box::new(SimulatedDevice {
            port: device.port.clone(),
            open,
        }))
    }
}

/// An open simulated device.
#[derive(Debug)]
struct SimulatedDevice {
    port: PortPath,
    open: OpenDevice,
}

/// `bmRequestType` and the rest of a setup packet.
fn setup(setup: Setup, input: bool, length: usize) -> Result<SimSetup, TransferError> {
    let Ok(length) = u16::try_from(length) else {
        return Err(TransferError::Other(format!(
            "a control transfer of {length} bytes"
        )));
    };
    let direction = if input { 0x80 } else { 0 };
    let kind = match setup.kind {
        RequestKind::Class => 0x20,
        RequestKind::Vendor => 0x40,
    };
    let recipient = match setup.recipient {
        Recipient::Device => 0,
        Recipient::Interface => 1,
    };
    Ok(SimSetup {
        request_type: direction | kind | recipient,
        request: setup.request,
        value: setup.value,
        index: setup.index,
        length,
    })
}

impl UsbDevice for SimulatedDevice {
    fn now(&self) -> MonotonicTime {
        to_time(self.open.now())
    }

    fn speed(&self) -> Speed {
        let _aside = aside();
        match self.open.speed() {
            SimSpeed::High => Speed::High,
            SimSpeed::Super => Speed::Super,
        }
    }

    fn configuration(&self) -> Vec<u8> {
        let _aside = aside();
        self.open.configuration().to_vec()
    }

    fn claim(&mut self, interface: u8) -> Result<(), HostError> {
        let _aside = aside();
        if self.open.claim(interface) {
            Ok(())
        } else {
            Err(HostError::Gone {
                port: self.port.clone(),
            })
        }
    }

    fn control_in(
        &mut self,
        request: Setup,
        data: &mut [u8],
        timeout: Duration,
    ) -> Result<usize, TransferError> {
        let _aside = aside();
        let request = setup(request, true, data.len())?;
        let bytes = self.open.control(request, &[], timeout).map_err(error)?;
        if bytes.len() > data.len() {
            return Err(TransferError::Fault);
        }
        for (to, from) in data.iter_mut().zip(&bytes) {
            *to = *from;
        }
        Ok(bytes.len())
    }

    fn control_out(
        &mut self,
        request: Setup,
        data: &[u8],
        timeout: Duration,
    ) -> Result<(), TransferError> {
        let _aside = aside();
        let request = setup(request, false, data.len())?;
        self.open
            .control(request, data, timeout)
            .map_err(error)
            .map(|_| ())
    }

    fn submit(&mut self, endpoint: EndpointAddress, buffer: Vec<u8>) {
        let _aside = aside();
        let _ = self.open.submit(endpoint.0, buffer);
    }

    fn wait(&mut self, deadline: MonotonicTime) -> Option<Completion> {
        let _aside = aside();
        let done = self.open.completion(from_time(deadline))?;
        Some(Completion {
            endpoint: EndpointAddress(done.endpoint),
            buffer: done.buffer,
            transferred: done.transferred,
            status: done.status.map_err(error),
        })
    }

    fn cancel(&mut self, endpoint: EndpointAddress) {
        let _aside = aside();
        self.open.cancel(endpoint.0);
    }

    fn clear_halt(&mut self, endpoint: EndpointAddress) -> Result<(), TransferError> {
        let _aside = aside();
        self.open.clear_halt(endpoint.0).map_err(error)
    }

    fn reset(&mut self) -> Result<(), TransferError> {
        let _aside = aside();
        self.open.reset().map_err(error)
    }
}
