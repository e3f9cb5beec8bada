//! USB through the kernel (usbfs), by the crate `nusb`: no libusb.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread, ThreadId};
use std::time::Duration;

use futures_core::Stream as _;
use nusb::hotplug::HotplugWatch;
use nusb::transfer::{
    Buffer, Bulk, BulkOrInterrupt, ControlIn, ControlOut, ControlType, EndpointDirection, In,
    Interrupt, Out,
};
use nusb::{Device, DeviceInfo, Endpoint, ErrorKind, Interface, MaybeFuture as _};

use super::transport::{
    Attached, Completion, EVENT_IN, EndpointAddress, HostError, INTERRUPT_IN, OUTPUT_IN, PortPath,
    Recipient, RequestKind, STREAM_OUT, Setup, Speed, TransferError, UsbDevice, UsbHost, UsbId,
};
use crate::sys::monotonic_now;
use crate::units::MonotonicTime;

/// The machine's USB.
#[derive(Default)]
pub struct NusbHost {
    watch: Option<HotplugWatch>,
    waker: ParkedWaker,
}

impl fmt::Debug for NusbHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NusbHost").finish_non_exhaustive()
    }
}

impl NusbHost {
    /// The USB of this machine.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A waker of the thread that last waited; made anew only when another one does.
#[derive(Default)]
struct ParkedWaker(Option<(ThreadId, Waker)>);

impl ParkedWaker {
    fn of_this_thread(&mut self) -> Waker {
        let this = thread::current();
        match &self.0 {
            Some((id, waker)) if *id == this.id() => waker.clone(),
            _ => {
                let id = this.id();
                let waker = Waker::from(Arc::new(Unpark(this)));
                self.0 = Some((id, waker.clone()));
                waker
            }
        }
    }
}

/// Sleeps until woken or `deadline`; says whether there is time left.
fn park_until(deadline: MonotonicTime) -> bool {
    let left = deadline.saturating_since(monotonic_now());
    if left.is_zero() {
        return false;
    }
    thread::park_timeout(left);
    true
}

fn attached(info: &DeviceInfo) -> Attached {
    let chain = info.port_chain().iter().map(u8::to_string);
    Attached {
        port: PortPath(format!(
            "{}-{}",
            info.bus_id().trim_start_matches('0'),
            chain.collect::<Vec<_>>().join(".")
        )),
        id: id(info),
        address: info.device_address(),
    }
}

fn id(info: &DeviceInfo) -> UsbId {
    UsbId {
        vendor: info.vendor_id(),
        product: info.product_id(),
    }
}

fn host_error(device: &Attached, operation: &'static str) -> impl Fn(nusb::Error) -> HostError {
    let device = device.clone();
    move |error| {
        let port = device.port.clone();
        match error.kind() {
            ErrorKind::PermissionDenied => HostError::Permission {
                port,
                id: device.id,
            },
            ErrorKind::Busy => HostError::Busy { port },
            ErrorKind::Disconnected | ErrorKind::NotFound => HostError::Gone { port },
            ErrorKind::Unsupported | ErrorKind::Other | _ => HostError::Failed {
                operation,
                reason: error.to_string(),
            },
        }
    }
}

impl UsbHost for NusbHost {
    fn now(&self) -> MonotonicTime {
        monotonic_now()
    }

    fn devices(&mut self) -> Result<Vec<Attached>, HostError> {
        let listed = nusb::list_devices().wait();
        let listed = listed.map_err(|error| HostError::Failed {
            operation: "list USB devices",
            reason: error.to_string(),
        })?;
        Ok(listed.map(|info| attached(&info)).collect())
    }

    fn wait_for_change(&mut self, deadline: MonotonicTime) -> Result<bool, HostError> {
        let watch = match &mut self.watch {
            Some(watch) => watch,
            none => none.insert(nusb::watch_devices().map_err(|error| HostError::Failed {
                operation: "watch for USB devices",
                reason: error.to_string(),
            })?),
        };
        let waker = self.waker.of_this_thread();
        let mut context = Context::from_waker(&waker);
        let mut changed = false;
        loop {
            match Pin::new(&mut *watch).poll_next(&mut context) {
                Poll::Ready(Some(_)) => changed = true,
                Poll::Ready(None) => return Ok(changed),
                Poll::Pending if changed || !park_until(deadline) => return Ok(changed),
                Poll::Pending => {}
            }
        }
    }

    fn open(&mut self, device: &Attached) -> Result<Box<dyn UsbDevice>, HostError> {
        let fail = host_error(device, "open a USB device");
        let listed = nusb::list_devices().wait().map_err(&fail)?;
        let gone = || HostError::Gone {
            port: device.port.clone(),
        };
        let info = { listed }
            .find(|info| attached(info) == *device)
            .ok_or_else(gone)?;
        let speed = match info.speed() {
            Some(nusb::Speed::Low | nusb::Speed::Full) => Speed::Full,
            Some(nusb::Speed::High) => Speed::High,
            Some(_) | None => Speed::Super,
        };
        let opened = info.open().wait().map_err(&fail)?;
        // The kernel lets anybody reset a port, also below another program that works with the device. Who
        // has its interface is asked before anything is done to it.
        if let Err(error) = opened.claim_interface(0).wait()
            && error.kind() == ErrorKind::Busy
        {
            return Err(fail(error));
        }
        Ok(Box::new(NusbDevice {
            device: opened,
            attached: device.clone(),
            speed,
            claimed: None,
            waker: ParkedWaker::default(),
        }))
    }
}

/// An open device.
struct NusbDevice {
    device: Device,
    attached: Attached,
    speed: Speed,
    claimed: Option<Claimed>,
    waker: ParkedWaker,
}

/// An interface and those of its endpoints that exist; one without firmware has none.
struct Claimed {
    _interface: Interface,
    stream: Option<Endpoint<Bulk, Out>>,
    output: Option<Endpoint<Bulk, In>>,
    event: Option<Endpoint<Bulk, In>>,
    interrupt: Option<Endpoint<Interrupt, In>>,
    /// Transfers that could not even be submitted.
    refused: VecDeque<Completion>,
}

impl fmt::Debug for NusbDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("NusbDevice");
        f.field("attached", &self.attached).finish_non_exhaustive()
    }
}

fn transfer_error(error: nusb::transfer::TransferError) -> TransferError {
    use nusb::transfer::TransferError as Theirs;
    match error {
        Theirs::Cancelled => TransferError::Cancelled,
        Theirs::Stall => TransferError::Stall,
        Theirs::Disconnected => TransferError::Disconnected,
        Theirs::Fault => TransferError::Fault,
        other @ (Theirs::InvalidArgument | Theirs::Unknown(_)) => {
            TransferError::Other(other.to_string())
        }
    }
}

/// A control transfer that is withdrawn ran out of time: nobody else withdraws one.
fn control_error(error: nusb::transfer::TransferError) -> TransferError {
    if error == nusb::transfer::TransferError::Cancelled {
        return TransferError::TimedOut;
    }
    transfer_error(error)
}

fn other(error: &nusb::Error) -> TransferError {
    if error.kind() == ErrorKind::Disconnected {
        TransferError::Disconnected
    } else {
        TransferError::Other(error.to_string())
    }
}

const fn kind(kind: RequestKind) -> ControlType {
    match kind {
        RequestKind::Class => ControlType::Class,
        RequestKind::Vendor => ControlType::Vendor,
    }
}

const fn recipient(recipient: Recipient) -> nusb::transfer::Recipient {
    match recipient {
        Recipient::Device => nusb::transfer::Recipient::Device,
        Recipient::Interface => nusb::transfer::Recipient::Interface,
    }
}

/// Submits a read; the kernel wants whole packets.
fn read<T: BulkOrInterrupt>(endpoint: &mut Endpoint<T, In>, buffer: Vec<u8>) {
    let packet = endpoint.max_packet_size().max(1);
    let bytes = buffer.len().next_multiple_of(packet).max(packet);
    let mut vec = buffer;
    vec.resize(bytes, 0);
    endpoint.submit(Buffer::from(vec));
}

fn poll<T: BulkOrInterrupt, D: EndpointDirection>(
    endpoint: Option<&mut Endpoint<T, D>>,
    address: EndpointAddress,
    context: &mut Context<'_>,
) -> Option<Completion> {
    let endpoint = endpoint.filter(|endpoint| endpoint.pending() > 0)?;
    let Poll::Ready(done) = endpoint.poll_next_complete(context) else {
        return None;
    };
    Some(Completion {
        endpoint: address,
        transferred: done.actual_len,
        buffer: done.buffer.into_vec(),
        status: done.status.map_err(transfer_error),
    })
}

impl Claimed {
    fn poll(&mut self, context: &mut Context<'_>) -> Option<Completion> {
        self.refused
            .pop_front()
            .or_else(|| poll(self.stream.as_mut(), STREAM_OUT, context))
            .or_else(|| poll(self.output.as_mut(), OUTPUT_IN, context))
            .or_else(|| poll(self.event.as_mut(), EVENT_IN, context))
            .or_else(|| poll(self.interrupt.as_mut(), INTERRUPT_IN, context))
    }
}

impl UsbDevice for NusbDevice {
    fn now(&self) -> MonotonicTime {
        monotonic_now()
    }

    fn speed(&self) -> Speed {
        self.speed
    }

    fn configuration(&self) -> Vec<u8> {
        let active = self.device.active_configuration();
        let bytes = active.map(|configuration| configuration.as_bytes().to_vec());
        bytes.unwrap_or_default()
    }

    fn claim(&mut self, interface: u8) -> Result<(), HostError> {
        let fail = host_error(&self.attached, "claim an interface");
        let interface = self
            .device
            .claim_interface(interface)
            .wait()
            .map_err(fail)?;
        self.claimed = Some(Claimed {
            stream: interface.endpoint(STREAM_OUT.0).ok(),
            output: interface.endpoint(OUTPUT_IN.0).ok(),
            event: interface.endpoint(EVENT_IN.0).ok(),
            interrupt: interface.endpoint(INTERRUPT_IN.0).ok(),
            _interface: interface,
            refused: VecDeque::new(),
        });
        Ok(())
    }

    fn control_in(
        &mut self,
        setup: Setup,
        data: &mut [u8],
        timeout: Duration,
    ) -> Result<usize, TransferError> {
        let length = u16::try_from(data.len())
            .map_err(|_long| TransferError::Other("a control transfer over 64 KiB".to_owned()))?;
        let request = ControlIn {
            control_type: kind(setup.kind),
            recipient: recipient(setup.recipient),
            request: setup.request,
            value: setup.value,
            index: setup.index,
            length,
        };
        let came = self
            .device
            .control_in(request, timeout)
            .wait()
            .map_err(control_error)?;
        let length = came.len().min(data.len());
        for (to, from) in data.iter_mut().zip(came) {
            *to = from;
        }
        Ok(length)
    }

    fn control_out(
        &mut self,
        setup: Setup,
        data: &[u8],
        timeout: Duration,
    ) -> Result<(), TransferError> {
        let request = ControlOut {
            control_type: kind(setup.kind),
            recipient: recipient(setup.recipient),
            request: setup.request,
            value: setup.value,
            index: setup.index,
            data,
        };
        self.device
            .control_out(request, timeout)
            .wait()
            .map_err(control_error)
    }

    fn submit(&mut self, endpoint: EndpointAddress, buffer: Vec<u8>) {
        let Some(claimed) = &mut self.claimed else {
            return;
        };
        match endpoint {
            STREAM_OUT if let Some(stream) = &mut claimed.stream => {
                stream.submit(Buffer::from(buffer));
            }
            OUTPUT_IN if let Some(output) = &mut claimed.output => read(output, buffer),
            EVENT_IN if let Some(event) = &mut claimed.event => read(event, buffer),
            INTERRUPT_IN if let Some(interrupt) = &mut claimed.interrupt => {
                read(interrupt, buffer);
            }
            endpoint => claimed.refused.push_back(Completion {
                endpoint,
                buffer,
                transferred: 0,
                status: Err(TransferError::Other(format!(
                    "the device has no endpoint {endpoint}"
                ))),
            }),
        }
    }

    fn wait(&mut self, deadline: MonotonicTime) -> Option<Completion> {
        let waker = self.waker.of_this_thread();
        let mut context = Context::from_waker(&waker);
        loop {
            let claimed = self.claimed.as_mut();
            if let Some(done) = claimed.and_then(|claimed| claimed.poll(&mut context)) {
                return Some(done);
            }
            if !park_until(deadline) {
                return None;
            }
        }
    }

    fn cancel(&mut self, endpoint: EndpointAddress) {
        let Some(claimed) = &mut self.claimed else {
            return;
        };
        match endpoint {
            STREAM_OUT => claimed.stream.iter_mut().for_each(Endpoint::cancel_all),
            OUTPUT_IN => claimed.output.iter_mut().for_each(Endpoint::cancel_all),
            EVENT_IN => claimed.event.iter_mut().for_each(Endpoint::cancel_all),
            _ => claimed.interrupt.iter_mut().for_each(Endpoint::cancel_all),
        }
    }

    fn clear_halt(&mut self, endpoint: EndpointAddress) -> Result<(), TransferError> {
        let Some(claimed) = &mut self.claimed else {
            return Err(TransferError::Other("no interface is claimed".to_owned()));
        };
        let cleared = match endpoint {
            STREAM_OUT => claimed.stream.as_mut().map(|e| e.clear_halt().wait()),
            OUTPUT_IN => claimed.output.as_mut().map(|e| e.clear_halt().wait()),
            EVENT_IN => claimed.event.as_mut().map(|e| e.clear_halt().wait()),
            _ => claimed.interrupt.as_mut().map(|e| e.clear_halt().wait()),
        };
        match cleared {
            None | Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(other(&error)),
        }
    }

    fn reset(&mut self) -> Result<(), TransferError> {
        // Endpoints and interface first: the kernel takes them away from under a reset.
        self.claimed = None;
        self.device.reset().wait().map_err(|error| other(&error))
    }
}
