//! Endpoints: queues of the host's transfers on one side, packets of the device on the other.

use std::collections::VecDeque;
use std::time::Duration;

use thiserror::Error;

use crate::latency::Wire;

/// Why a transfer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TransferError {
    /// Nothing came back in time.
    #[error("timed out")]
    TimedOut,
    /// Withdrawn by the host.
    #[error("cancelled")]
    Cancelled,
    /// Refused by the device.
    #[error("stalled")]
    Stall,
    /// The device is gone.
    #[error("disconnected")]
    Disconnected,
    /// Broken on the bus, or more data than asked for.
    #[error("broken on the bus")]
    Broken,
}

/// A bulk or interrupt transfer that has ended.
#[derive(Debug)]
pub struct Completion {
    /// Which opening of the device it belongs to.
    pub session: u64,
    /// The number that the host gave it.
    pub id: u64,
    /// Its endpoint's address.
    pub endpoint: u8,
    /// Of an IN endpoint what arrived, of an OUT endpoint what was submitted.
    pub buffer: Vec<u8>,
    /// Bytes that went over the bus.
    pub transferred: usize,
    /// How it ended.
    pub status: Result<(), TransferError>,
    /// When.
    pub at: Duration,
}

/// What was scripted for one transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Twist {
    Stall,
    Never,
    Broken,
    Delay(Duration),
    Short(usize),
    Garbage(Vec<u8>),
}

/// A transfer in a queue.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub session: u64,
    pub id: u64,
    pub buffer: Vec<u8>,
    pub submitted: Duration,
    pub twist: Option<Twist>,
}

impl Transfer {
    pub(crate) fn end(
        self,
        endpoint: u8,
        transferred: usize,
        status: Result<(), TransferError>,
        at: Duration,
    ) -> Completion {
        let mut buffer = self.buffer;
        if endpoint & 0x80 != 0 {
            buffer.truncate(transferred);
        }
        Completion {
            session: self.session,
            id: self.id,
            endpoint,
            buffer,
            transferred,
            status,
            at,
        }
    }
}

/// A packet that waits for the host.
#[derive(Clone, Copy, Debug)]
struct Packet {
    ready: Duration,
    bytes: usize,
}

/// What an IN endpoint did when it was looked at.
#[derive(Debug)]
pub(crate) enum Look {
    /// Nothing can end before something else happens.
    Idle,
    /// The first transfer ends at this time.
    EndsAt(Duration),
}

/// An endpoint that the host reads.
#[derive(Debug)]
pub(crate) struct InEndpoint {
    pub address: u8,
    pub packet_bytes: usize,
    pub pending: VecDeque<Transfer>,
    packets: VecDeque<Packet>,
    data: VecDeque<u8>,
    pub halted: bool,
}

impl InEndpoint {
    pub(crate) fn new(address: u8, packet_bytes: usize) -> Self {
        Self {
            address,
            packet_bytes,
            pending: VecDeque::new(),
            packets: VecDeque::new(),
            data: VecDeque::new(),
            halted: false,
        }
    }

    /// Throws away what the device had ready.
    pub(crate) fn flush(&mut self) {
        self.packets.clear();
        self.data.clear();
    }

    /// Bytes that the host has not read.
    pub(crate) fn backlog(&self) -> usize {
        self.data.len()
    }

    /// The device has data: one packet per chunk.
    pub(crate) fn push(&mut self, ready: Duration, bytes: &[u8], chunk: usize) {
        for part in bytes.chunks(chunk.max(1)) {
            self.packets.push_back(Packet {
                ready,
                bytes: part.len(),
            });
        }
        self.data.extend(bytes);
    }

    /// Packets that the first transfer takes: their number, their bytes, whether it then ends, and
    /// when.
    fn gather(&self, bus_free: Duration, wire: Wire) -> Gathered {
        let mut gathered = Gathered::default();
        let Some(transfer) = self.pending.front() else {
            return gathered;
        };
        let wanted = transfer.buffer.len();
        let mut at = bus_free.max(transfer.submitted);
        for packet in &self.packets {
            if gathered.bytes + packet.bytes > wanted {
                gathered.overflow = true;
                gathered.ends = true;
                break;
            }
            at = at.max(packet.ready) + wire.time(packet.bytes);
            gathered.packets += 1;
            gathered.bytes += packet.bytes;
            if packet.bytes < self.packet_bytes || gathered.bytes == wanted {
                gathered.ends = true;
                break;
            }
        }
        gathered.at = at;
        gathered
    }

    /// When the first transfer ends.
    pub(crate) fn look(&self, bus_free: Duration, wire: Wire) -> Look {
        let Some(transfer) = self.pending.front() else {
            return Look::Idle;
        };
        match &transfer.twist {
            Some(Twist::Stall | Twist::Broken | Twist::Garbage(_)) => {
                return Look::EndsAt(transfer.submitted);
            }
            Some(Twist::Never) => return Look::Idle,
            Some(Twist::Delay(_) | Twist::Short(_)) | None => {}
        }
        if self.halted {
            return Look::EndsAt(transfer.submitted);
        }
        let gathered = self.gather(bus_free, wire);
        if !gathered.ends {
            return Look::Idle;
        }
        match transfer.twist {
            Some(Twist::Delay(delay)) => Look::EndsAt(gathered.at + delay),
            _ => Look::EndsAt(gathered.at),
        }
    }

    /// Ends the first transfer, whose time has come. Says whether its packets were larger than it.
    pub(crate) fn finish(
        &mut self,
        bus_free: Duration,
        at: Duration,
        wire: Wire,
    ) -> Option<(Completion, bool)> {
        let gathered = self.gather(bus_free, wire);
        let mut transfer = self.pending.pop_front()?;
        let address = self.address;
        match transfer.twist.take() {
            Some(Twist::Stall) => {
                self.halted = true;
                return Some((
                    transfer.end(address, 0, Err(TransferError::Stall), at),
                    false,
                ));
            }
            Some(Twist::Broken) => {
                return Some((
                    transfer.end(address, 0, Err(TransferError::Broken), at),
                    false,
                ));
            }
            Some(Twist::Garbage(bytes)) => {
                let count = bytes.len().min(transfer.buffer.len());
                for (to, from) in transfer.buffer.iter_mut().zip(&bytes) {
                    *to = *from;
                }
                return Some((transfer.end(address, count, Ok(()), at), false));
            }
            twist @ (Some(Twist::Short(_) | Twist::Delay(_) | Twist::Never) | None) => {
                transfer.twist = twist;
            }
        }
        if self.halted {
            return Some((
                transfer.end(address, 0, Err(TransferError::Stall), at),
                false,
            ));
        }
        if gathered.overflow {
            return Some((
                transfer.end(address, 0, Err(TransferError::Broken), at),
                true,
            ));
        }
        self.packets.drain(..gathered.packets);
        for (byte, from) in transfer
            .buffer
            .iter_mut()
            .zip(self.data.drain(..gathered.bytes))
        {
            *byte = from;
        }
        let count = match transfer.twist {
            Some(Twist::Short(count)) => gathered.bytes.min(count),
            _ => gathered.bytes,
        };
        Some((transfer.end(address, count, Ok(()), at), false))
    }
}

#[derive(Debug, Default)]
struct Gathered {
    packets: usize,
    bytes: usize,
    ends: bool,
    overflow: bool,
    at: Duration,
}
