//! The seam between the driver and whatever carries its USB transfers: the kernel's usbfs, or a
//! simulated device.
//!
//! ```text
//! UsbHost ──open──▶ UsbDevice ──submit/wait──▶ Completion        (bulk and interrupt endpoints)
//!    │                  └──────control_in/out──▶ Result          (endpoint 0)
//!    └─ devices, wait_for_change: what is plugged in
//! ```
//!
//! Rules both sides keep:
//!
//! - Every wait has a deadline on the host's own clock ([`UsbHost::now`]); a simulated host may
//!   have simulated time, so the driver never asks another clock.
//! - Transfers of one endpoint complete in the order in which they were submitted; those of
//!   different endpoints in any order. Every submitted buffer comes back in exactly one
//!   [`Completion`], also after [`UsbDevice::cancel`] and after the device is gone.
//! - Nothing here retries, and nothing sleeps.
//!
//! Called from the thread that owns the device.

use std::fmt;
use std::time::Duration;

use crate::units::MonotonicTime;

/// Vendor and product id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsbId {
    /// `idVendor`.
    pub vendor: u16,
    /// `idProduct`.
    pub product: u16,
}

impl fmt::Display for UsbId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x}", self.vendor, self.product)
    }
}

/// What an Edge TPU says it is before it has firmware.
pub const DFU_ID: UsbId = UsbId {
    vendor: 0x1a6e,
    product: 0x089a,
};

/// What it says it is once its firmware runs.
pub const APPLICATION_ID: UsbId = UsbId {
    vendor: 0x18d1,
    product: 0x9302,
};

/// An endpoint's address; bit 7 is set for those that the host reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointAddress(pub u8);

impl EndpointAddress {
    /// Whether the device sends on it.
    #[must_use]
    pub const fn is_in(self) -> bool {
        self.0 & 0x80 != 0
    }
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:02x}", self.0)
    }
}

/// Everything that goes to the chip in single-endpoint mode: headers and payloads. Bulk.
pub const STREAM_OUT: EndpointAddress = EndpointAddress(0x01);
/// Output activations. Bulk.
pub const OUTPUT_IN: EndpointAddress = EndpointAddress(0x81);
/// Descriptors of 16 bytes; tag 4 says that a request is complete. Bulk.
pub const EVENT_IN: EndpointAddress = EndpointAddress(0x82);
/// Fatal errors and top-level interrupts, 4 bytes. Interrupt.
pub const INTERRUPT_IN: EndpointAddress = EndpointAddress(0x83);

/// Where a device is plugged in: `1-2.3`, bus and chain of hub ports, as the kernel writes it. Stays
/// the same through resets, re-enumeration and replugging into the same socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortPath(pub String);

impl fmt::Display for PortPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A device that is plugged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Where.
    pub port: PortPath,
    /// What it says it is.
    pub id: UsbId,
    /// Its address on the bus, which changes with every enumeration: two entries with the same
    /// port and another address are before and after a re-enumeration.
    pub address: u8,
}

/// Signalling rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Speed {
    /// USB 1, 12 Mbit/s: too slow for an Edge TPU.
    Full,
    /// USB 2, 480 Mbit/s; bulk packets of 512 bytes.
    High,
    /// USB 3, 5 Gbit/s and more; bulk packets of 1024 bytes.
    Super,
}

impl Speed {
    /// Largest packet of a bulk endpoint in bytes.
    #[must_use]
    pub const fn bulk_packet_bytes(self) -> usize {
        match self {
            Self::Full => 64,
            Self::High => 512,
            Self::Super => 1024,
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "USB 1",
            Self::High => "USB 2",
            Self::Super => "USB 3",
        })
    }
}

/// The first eight bytes of a control transfer, less direction and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Who defines the request.
    pub kind: RequestKind,
    /// Whom it is for.
    pub recipient: Recipient,
    /// `bRequest`.
    pub request: u8,
    /// `wValue`.
    pub value: u16,
    /// `wIndex`.
    pub index: u16,
}

/// Who defines a control request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// A class of devices: DFU.
    Class,
    /// The vendor: registers.
    Vendor,
}

/// Whom a control request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// The device.
    Device,
    /// An interface, whose number is in `wIndex`.
    Interface,
}

/// Why a transfer failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// Nothing came back in time; a control transfer has been withdrawn.
    #[error("timed out")]
    TimedOut,
    /// Withdrawn by [`UsbDevice::cancel`].
    #[error("cancelled")]
    Cancelled,
    /// The device refused it; bulk endpoints stay halted until [`UsbDevice::clear_halt`].
    #[error("the endpoint stalled")]
    Stall,
    /// The device is gone: unplugged, or re-enumerated.
    #[error("the device is disconnected")]
    Disconnected,
    /// Broken on the wire, or more data than asked for.
    #[error("the transfer broke on the bus")]
    Fault,
    /// Anything else, as the host says it.
    #[error("{0}")]
    Other(String),
}

/// Why the host could not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Permission denied.
    #[error("no permission to open USB device {port} ({id}): install the udev rule for Edge TPUs")]
    Permission {
        /// Where it is plugged in.
        port: PortPath,
        /// What it says it is.
        id: UsbId,
    },
    /// Another program has it.
    #[error("USB device {port} is in use by another program")]
    Busy {
        /// Where it is plugged in.
        port: PortPath,
    },
    /// It is no longer there.
    #[error("USB device {port} is gone")]
    Gone {
        /// Where it was plugged in.
        port: PortPath,
    },
    /// Anything else.
    #[error("cannot {operation}: {reason}")]
    Failed {
        /// What was to be done.
        operation: &'static str,
        /// What the host says.
        reason: String,
    },
}

/// A submitted transfer that has ended.
#[derive(Debug)]
pub struct Completion {
    /// On which endpoint.
    pub endpoint: EndpointAddress,
    /// The buffer. Of an IN endpoint it holds what arrived, and only that; of an OUT endpoint it is
    /// what was submitted.
    pub buffer: Vec<u8>,
    /// Bytes that went over the bus.
    pub transferred: usize,
    /// How it ended. After an error `transferred` bytes may have gone over the bus all the same.
    pub status: Result<(), TransferError>,
}

/// The machine's USB: what is plugged in, and opening it.
pub trait UsbHost: Send + fmt::Debug {
    /// Now, on the clock of every deadline given to this host and its devices.
    fn now(&self) -> MonotonicTime;

    /// The Edge TPUs that are plugged in, with or without firmware, in any order.
    ///
    /// # Errors
    ///
    /// The bus cannot be listed.
    fn devices(&mut self) -> Result<Vec<Attached>, HostError>;

    /// Waits until something was plugged in or out since the last call, or the deadline has
    /// passed. Says whether something was. A change before the first call may count.
    ///
    /// # Errors
    ///
    /// The bus cannot be watched.
    fn wait_for_change(&mut self, deadline: MonotonicTime) -> Result<bool, HostError>;

    /// Opens a device. Claims nothing.
    ///
    /// # Errors
    ///
    /// Gone, not permitted, or in use.
    fn open(&mut self, device: &Attached) -> Result<Box<dyn UsbDevice>, HostError>;
}

/// An open device. Dropping it cancels what is pending, releases what was claimed and closes it.
pub trait UsbDevice: Send + fmt::Debug {
    /// Now, on the host's clock.
    fn now(&self) -> MonotonicTime;

    /// Its signalling rate.
    fn speed(&self) -> Speed;

    /// The active configuration's descriptor with those of its interfaces, endpoints and classes.
    fn configuration(&self) -> Vec<u8>;

    /// Claims an interface; needed before transfers to it or its endpoints.
    ///
    /// # Errors
    ///
    /// Gone, or in use.
    fn claim(&mut self, interface: u8) -> Result<(), HostError>;

    /// Reads by a control transfer; says how many bytes came, at most `data.len()`.
    ///
    /// # Errors
    ///
    /// See [`TransferError`]; a refused request is a [`TransferError::Stall`] and needs no clearing.
    fn control_in(
        &mut self,
        setup: Setup,
        data: &mut [u8],
        timeout: Duration,
    ) -> Result<usize, TransferError>;

    /// Writes by a control transfer.
    ///
    /// # Errors
    ///
    /// As [`UsbDevice::control_in`].
    fn control_out(
        &mut self,
        setup: Setup,
        data: &[u8],
        timeout: Duration,
    ) -> Result<(), TransferError>;

    /// Queues a transfer and returns at once; what is wrong with it comes in its completion. Sends
    /// the whole buffer to an OUT endpoint. Reads at most `buffer.len()` bytes from an IN endpoint,
    /// a multiple of its packet size; a packet shorter than that ends the transfer.
    fn submit(&mut self, endpoint: EndpointAddress, buffer: Vec<u8>);

    /// The next transfer that has ended, of any endpoint; waits for one until `deadline`. `None`
    /// when there is none by then, and at once when none is pending.
    fn wait(&mut self, deadline: MonotonicTime) -> Option<Completion>;

    /// Withdraws what is pending on an endpoint; the buffers come back through
    /// [`UsbDevice::wait`].
    fn cancel(&mut self, endpoint: EndpointAddress);

    /// Clears an endpoint's halt, and sets its data toggle back on both sides. Nothing may be
    /// pending on it.
    ///
    /// # Errors
    ///
    /// See [`TransferError`].
    fn clear_halt(&mut self, endpoint: EndpointAddress) -> Result<(), TransferError>;

    /// Resets the port. A device that comes back as something else, as an Edge TPU does after its
    /// firmware was downloaded, is another [`Attached`]; this one is to be dropped in any case.
    ///
    /// # Errors
    ///
    /// The host could not.
    fn reset(&mut self) -> Result<(), TransferError>;
}
