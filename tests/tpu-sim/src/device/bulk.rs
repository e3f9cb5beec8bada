//! Bulk and interrupt transfers: the bus, the stream parser, and the endpoints that the host reads.

use std::collections::VecDeque;
use std::time::Duration;

use super::{
    Assembly, ControlEnd, Delivered, EVENT_IN, INTERRUPT_IN, MAX_CHUNK_BYTES, Mode, OUTPUT_IN,
    Overlap, Plug, STREAM_OUT, SimulatedEdgeTpu,
};
use crate::chip::Stream;
use crate::endpoint::{Completion, Look, Transfer, TransferError, Twist};
use crate::fault::Trigger;
use crate::record::Entry;
use crate::violation::Rule;

impl SimulatedEdgeTpu {
    /// Submits a bulk or interrupt transfer. It comes back from [`SimulatedEdgeTpu::completion`].
    pub fn submit(&mut self, now: Duration, id: u64, endpoint: u8, buffer: Vec<u8>) {
        self.advance(now);
        let mut twist = self.number_transfer();
        if endpoint == STREAM_OUT {
            let number = self.bulk_outs;
            self.bulk_outs += 1;
            if let Some(fault) = self.script.due(Trigger::BulkOut(number)) {
                twist = self.twist(fault).or(twist);
            }
        }
        let transfer = Transfer {
            session: self.session,
            id,
            buffer,
            submitted: self.now,
            twist,
        };
        let index = match endpoint {
            STREAM_OUT => None,
            OUTPUT_IN => Some(0),
            EVENT_IN => Some(1),
            INTERRUPT_IN => Some(2),
            other => {
                self.violations
                    .add(Rule::Endpoint, format!("there is no endpoint {other:#x}"));
                self.refuse(transfer, endpoint);
                return;
            }
        };
        if self.plug != Plug::In {
            let now = self.now;
            let gone = Err(TransferError::Disconnected);
            self.done.push_back(transfer.end(endpoint, 0, gone, now));
            return;
        }
        if !self.claimed || self.mode == Mode::Dfu {
            self.violations.add(
                Rule::Endpoint,
                format!("endpoint {endpoint:#x} used without its interface"),
            );
            self.refuse(transfer, endpoint);
            return;
        }
        match index {
            None => {
                self.out.push_back(transfer);
                self.start_out();
            }
            Some(index) => {
                if let Some(queue) = self.inputs.get_mut(index) {
                    queue.pending.push_back(transfer);
                }
            }
        }
        let now = self.now;
        self.advance(now);
    }

    pub(super) fn refuse(&mut self, transfer: Transfer, endpoint: u8) {
        let now = self.now;
        self.done
            .push_back(transfer.end(endpoint, 0, Err(TransferError::Broken), now));
    }

    /// Puts the next bulk-out on the wire.
    pub(super) fn start_out(&mut self) {
        if self.out_finish.is_some() || self.stuck {
            return;
        }
        let Some(transfer) = self.out.front() else {
            return;
        };
        let start = self.now.max(self.out_free).max(transfer.submitted);
        let mut finish =
            start + self.config.latency.transfer + self.wire().time(transfer.buffer.len());
        match transfer.twist {
            Some(Twist::Never) => {
                self.stuck = true;
                return;
            }
            Some(Twist::Delay(delay)) => finish += delay,
            Some(Twist::Stall | Twist::Broken | Twist::Short(_) | Twist::Garbage(_)) | None => {}
        }
        self.out_finish = Some(finish);
    }

    pub(super) fn finish_out(&mut self) {
        self.out_finish = None;
        self.out_free = self.now;
        let Some(transfer) = self.out.pop_front() else {
            return;
        };
        let now = self.now;
        let length = transfer.buffer.len();
        let length = match transfer.twist {
            Some(Twist::Short(bytes)) => bytes.min(length),
            _ => length,
        };
        let part = transfer.buffer.get(..length).unwrap_or_default();
        let (status, transferred) = match &transfer.twist {
            _ if self.out_halted => (Err(TransferError::Stall), 0),
            Some(Twist::Stall) => {
                self.out_halted = true;
                (Err(TransferError::Stall), 0)
            }
            Some(Twist::Broken) => (Err(TransferError::Broken), 0),
            // The bus lost the rest, which is no fault of the driver's. Part of a header is none.
            Some(Twist::Short(_)) if length == 0 || matches!(self.assembly, Assembly::Header) => {
                self.chip.wedged |= length > 0;
                (Ok(()), length)
            }
            Some(Twist::Short(_) | Twist::Garbage(_) | Twist::Delay(_) | Twist::Never) | None => {
                match self.deliver(part) {
                    Delivered::Taken => (Ok(()), length),
                    Delivered::Stuck => {
                        self.stuck = true;
                        self.out.push_front(transfer);
                        return;
                    }
                }
            }
        };
        self.done
            .push_back(transfer.end(STREAM_OUT, transferred, status, now));
        self.start_out();
    }

    /// The device takes a bulk-out transfer.
    pub(super) fn deliver(&mut self, data: &[u8]) -> Delivered {
        let length = data.len();
        self.record.add(|| Entry::BulkOut(length));
        if length > MAX_CHUNK_BYTES {
            self.violations.add(
                Rule::Chunk,
                format!("a bulk-out transfer of {length} bytes, more than 1 MiB"),
            );
        }
        if length == 0 {
            self.violations
                .add(Rule::Chunk, "an empty bulk-out transfer");
            return Delivered::Taken;
        }
        match &mut self.assembly {
            Assembly::Header => self.header(data),
            Assembly::Payload {
                length: total,
                bytes,
                ..
            } => {
                if bytes.len() + length > *total {
                    let rest = *total - bytes.len();
                    self.violations.add(
                        Rule::Chunk,
                        format!("{length} bytes where {rest} are left of the stream"),
                    );
                    return Delivered::Stuck;
                }
                bytes.extend_from_slice(data);
                if bytes.len() == *total {
                    self.stream_complete();
                }
                Delivered::Taken
            }
        }
    }

    pub(super) fn header(&mut self, data: &[u8]) -> Delivered {
        if !self.registers.running() || !self.ready_checked {
            let packet = self.config.speed.packet_bytes();
            if !self.registers.check_ready(packet, &mut self.violations) {
                return Delivered::Stuck;
            }
            self.ready_checked = true;
        }
        let Ok([l0, l1, l2, l3, tag, rest @ ..]) = <[u8; 8]>::try_from(data) else {
            self.violations.add(
                Rule::Header,
                format!("{} bytes where a header of 8 begins a stream", data.len()),
            );
            return Delivered::Stuck;
        };
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        self.record.add(|| Entry::Header { length, tag });
        if tag & 0xf > 2 || tag & 0xf0 != 0 || rest != [0; 3] || length == 0 {
            self.violations.add(
                Rule::Header,
                format!("header {data:02x?}: tag 0 to 2, a length, and nothing else"),
            );
            return Delivered::Stuck;
        }
        let [outputs, _, _] = &self.inputs;
        if self.chip.behind_outputs(outputs.backlog()) {
            let waiting = self.chip.inbox_bytes() + length;
            let room = match self.config.overlap {
                Overlap::Deadlocks => 0,
                Overlap::Buffers(bytes) => bytes,
            };
            if waiting > room {
                self.violations.add(
                    Rule::Deadlock,
                    format!(
                        "a stream of tag {tag} and {length} bytes is sent before the outputs that come first have been read"
                    ),
                );
                return Delivered::Stuck;
            }
        }
        self.assembly = Assembly::Payload {
            tag,
            length,
            bytes: self.chip.spare_buffer(),
            begun: self.now,
        };
        Delivered::Taken
    }

    pub(super) fn stream_complete(&mut self) {
        let assembly = std::mem::replace(&mut self.assembly, Assembly::Header);
        if let Assembly::Payload {
            tag,
            length,
            bytes,
            begun,
        } = assembly
        {
            self.record.add(|| Entry::Stream {
                tag,
                length,
                fnv: (tag != 0).then(|| crate::fnv1a(&bytes)),
            });
            let at = self.now;
            self.chip.accept(Stream {
                tag,
                bytes,
                begun,
                at,
            });
        }
    }

    pub(super) fn finish_in(&mut self, index: usize) {
        let wire = self.wire();
        loop {
            let in_free = self.in_free;
            let stuck = self.stuck;
            let Some(endpoint) = self.inputs.get_mut(index) else {
                return;
            };
            if stuck && endpoint.address == OUTPUT_IN {
                return;
            }
            match endpoint.look(in_free, wire) {
                Look::EndsAt(at) if at <= self.now => {
                    let Some((completion, overflow)) = endpoint.finish(in_free, at, wire) else {
                        return;
                    };
                    if overflow {
                        self.violations.add(
                            Rule::Overflow,
                            format!(
                                "endpoint {:#x} read for fewer bytes than the device's packet",
                                endpoint.address
                            ),
                        );
                    }
                    if completion.status.is_ok() {
                        self.in_free = self.in_free.max(at);
                    }
                    self.done.push_back(completion);
                }
                Look::EndsAt(_) | Look::Idle => return,
            }
        }
    }

    /// A transfer of an opening that has ended.
    pub fn completion(&mut self, session: u64) -> Option<Completion> {
        let at = self.done.iter().position(|c| c.session == session)?;
        self.done.remove(at)
    }

    /// Whether transfers of an opening have not ended, or have not been fetched.
    #[must_use]
    pub fn outstanding(&self, session: u64) -> bool {
        let pending =
            |transfers: &VecDeque<Transfer>| transfers.iter().any(|t| t.session == session);
        self.done.iter().any(|c| c.session == session)
            || pending(&self.out)
            || self.inputs.iter().any(|e| pending(&e.pending))
    }

    /// The host forgets an opening: what it has not fetched is dropped.
    pub fn forget(&mut self, session: u64) {
        self.done.retain(|completion| completion.session != session);
    }

    /// Withdraws what is pending on an endpoint.
    pub fn cancel(&mut self, now: Duration, endpoint: u8) {
        self.advance(now);
        if self.keeps {
            return;
        }
        let now = self.now;
        if endpoint == STREAM_OUT {
            self.out_finish = None;
            // What hung on the wire only hangs there as long as it is submitted.
            let scripted = |t: &Transfer| t.twist == Some(Twist::Never);
            if self.out.front().is_some_and(scripted) {
                self.stuck = false;
            }
            while let Some(transfer) = self.out.pop_front() {
                let cancelled = Err(TransferError::Cancelled);
                self.done
                    .push_back(transfer.end(endpoint, 0, cancelled, now));
            }
            return;
        }
        self.cancel_where(endpoint, |_| true);
    }

    /// Withdraws one transfer.
    pub fn cancel_one(&mut self, now: Duration, id: u64) {
        self.advance(now);
        if self.keeps {
            return;
        }
        let now = self.now;
        if let Some(at) = self.out.iter().position(|t| t.id == id) {
            if at == 0 {
                self.out_finish = None;
                if self
                    .out
                    .front()
                    .is_some_and(|t| t.twist == Some(Twist::Never))
                {
                    self.stuck = false;
                }
            }
            if let Some(transfer) = self.out.remove(at) {
                let cancelled = Err(TransferError::Cancelled);
                self.done
                    .push_back(transfer.end(STREAM_OUT, 0, cancelled, now));
            }
            self.start_out();
            return;
        }
        for address in [OUTPUT_IN, EVENT_IN, INTERRUPT_IN] {
            self.cancel_where(address, |transfer| transfer.id == id);
        }
    }

    pub(super) fn cancel_where(&mut self, address: u8, which: impl Fn(&Transfer) -> bool) {
        let now = self.now;
        for endpoint in &mut self.inputs {
            if endpoint.address != address {
                continue;
            }
            let mut kept = VecDeque::new();
            while let Some(transfer) = endpoint.pending.pop_front() {
                if which(&transfer) {
                    let cancelled = Err(TransferError::Cancelled);
                    self.done
                        .push_back(transfer.end(address, 0, cancelled, now));
                } else {
                    kept.push_back(transfer);
                }
            }
            endpoint.pending = kept;
        }
    }

    /// Clears an endpoint's halt: a control transfer, which a device that hangs never answers. Nothing
    /// may be pending on the endpoint: both sides begin to count its packets anew.
    pub fn clear_halt(&mut self, now: Duration, endpoint: u8) -> ControlEnd {
        self.advance(now);
        let gone = ControlEnd {
            result: Err(TransferError::Disconnected),
            at: Some(self.now),
        };
        if self.plug != Plug::In {
            return gone;
        }
        let pending = if endpoint == STREAM_OUT {
            self.out.len()
        } else {
            let of_it = self.inputs.iter().filter(|e| e.address == endpoint);
            of_it.map(|e| e.pending.len()).sum()
        };
        if pending > 0 {
            self.violations.add(
                Rule::Endpoint,
                format!(
                    "the halt of {endpoint:#x} is cleared while {pending} transfers are pending"
                ),
            );
        }
        if self.hung || self.hung_hard {
            return ControlEnd {
                result: Err(TransferError::TimedOut),
                at: None,
            };
        }
        if endpoint == STREAM_OUT {
            self.out_halted = false;
        }
        for queue in &mut self.inputs {
            if queue.address == endpoint {
                queue.halted = false;
            }
        }
        ControlEnd {
            result: Ok(Vec::new()),
            at: Some(self.now + self.config.latency.control),
        }
    }
}
