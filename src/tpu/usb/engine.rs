//! Runs models over an open device.
//!
//! Everything goes to the chip on one endpoint: for each stream a header of eight bytes and then its
//! bytes. The chip sends outputs on one endpoint, an event when a run is complete on another, and
//! fatal errors on a third; reads of all three wait for it at all times.
//!
//! ```text
//! requests in order:   [upload] [run] [run]
//!                         │ steps: Send… Receive… Fence
//!   sends: at most three on the bus, none behind an output that has not come (deadlock rule)
//!   bytes that come: belong to the first output that is awaited
//!   an event completes the oldest request that has none
//! ```
//!
//! The deadlock rule: the chip has one path inward. While it waits to be rid of an output, a stream
//! that is sent to it fills that path, and the output never comes. So nothing is sent while an output
//! is awaited; the next run's streams start when the last output is in, before the event is.
//!
//! Anything the chip sends that it must not, and any transfer that fails, ends all requests: the
//! engine is then to be aborted, and its device brought back by [`supervise`](crate::tpu::supervise).
//! One whose transfers did not all come back then is never used again: what comes later would be
//! taken for another run's.

use std::collections::VecDeque;
use std::time::Duration;

use super::csr::UsbCsr;
use super::stream::{Awaited, OUTPUT_READS, Program, Run, SENDS_MAX, Step, output_read_bytes};
use super::transport::{
    Completion, EVENT_IN, EndpointAddress, INTERRUPT_IN, OUTPUT_IN, STREAM_OUT, UsbDevice,
};
use crate::tpu::bringup::{self, ClockRate};
use crate::tpu::cache::{Residency, Upload};
use crate::tpu::device::{Notice, ProgramId, Ticket};
use crate::tpu::error::TpuError;
use crate::tpu::regs::{
    Csr as _, HIB_ERROR_STATUS, HIB_FIRST_ERROR_STATUS, HibErrors, MilliCelsius,
    USB_FATAL_ERROR_STATUS,
};
use crate::units::MonotonicTime;

/// Reads of events that wait for the chip.
const EVENT_READS: usize = 2;

/// Bytes that a read of the interrupt endpoint asks for: a packet of its largest size.
const INTERRUPT_READ_BYTES: usize = 64;

/// Empty packets in a row that may come where outputs do: one may end an output that fills its last
/// packet, a second has nothing to end.
const EMPTY_MAX: u32 = 1;

/// Interrupts that are looked into during a run. What comes after, as of a chip that stays hot, waits
/// for the next.
const INTERRUPTS_MAX: u32 = 4;

/// Transfers that are taken before a run: all that can have ended, twice.
const IDLE_MAX: usize = 2 * (OUTPUT_READS + EVENT_READS + 1);

/// Time for waking the chip up or putting it to rest, which takes some milliseconds.
const BRING_UP_LIMIT: Duration = Duration::from_secs(1);

/// Time for what the chip is asked in between.
const ASK_LIMIT: Duration = Duration::from_millis(200);

/// How long withdrawn transfers may take to come back.
const ABORT_LIMIT: Duration = Duration::from_millis(100);

/// Endpoints that the chip sends on.
const READS: [EndpointAddress; 3] = [OUTPUT_IN, EVENT_IN, INTERRUPT_IN];

/// A run, or an upload of weights, that is under way.
#[derive(Debug)]
struct Request {
    ticket: Ticket,
    /// The model; `None` for an upload.
    program: Option<ProgramId>,
    run: Run,
    /// The next step.
    cursor: usize,
    /// Sends on the bus.
    sending: usize,
    has_event: bool,
}

impl Request {
    fn is_sent(&self) -> bool {
        self.cursor == self.run.steps.len() && self.sending == 0
    }

    fn is_complete(&self) -> bool {
        self.is_sent() && self.run.awaited.is_empty() && self.has_event
    }

    /// What is missing, for whoever waited too long.
    fn progress(&self) -> String {
        let what = if self.program.is_some() {
            "the run"
        } else {
            "the upload of weights"
        };
        let steps = self.run.steps.len();
        if !self.is_sent() {
            format!(
                "{what} is at step {} of {steps}, {} transfers unanswered",
                self.cursor, self.sending
            )
        } else if let Some(output) = self.run.awaited.front() {
            let missing: usize = self.run.awaited.iter().map(|a| a.end - a.next).sum();
            format!(
                "{what} waits for {missing} bytes, next of output {}",
                output.layer
            )
        } else {
            format!("{what} waits for the event that completes it")
        }
    }
}

/// The device with its transfers.
#[derive(Debug)]
pub(super) struct Engine {
    device: Box<dyn UsbDevice>,
    pub(super) programs: Vec<Program>,
    residency: Residency,
    queue: VecDeque<Request>,
    finished: VecDeque<Request>,
    /// Whose buffers are on their way to the chip, in order: ticket and piece.
    sending: VecDeque<(Ticket, usize)>,
    reading: [usize; READS.len()],
    next_ticket: u64,
    notices: VecDeque<Notice>,
    /// The chip has taken bytes for a request that did not complete.
    is_mid_stream: bool,
    /// Transfers that were withdrawn did not come back.
    is_lost: bool,
    /// Empty packets in a row where outputs come.
    empty: u32,
    /// Interrupts since the last run began.
    interrupts: u32,
}

impl Engine {
    /// Wakes the chip of a claimed device up and has reads wait for it.
    pub(super) fn open(
        mut device: Box<dyn UsbDevice>,
        clock: ClockRate,
        programs: Vec<Program>,
        first_ticket: Ticket,
    ) -> Result<Self, (TpuError, Vec<Program>)> {
        let speed = device.speed();
        let mut csr = UsbCsr::new(device.as_mut(), BRING_UP_LIMIT);
        if let Err(error) = bringup::open_usb(&mut csr, clock, speed) {
            return Err((error, programs));
        }
        let mut engine = Self {
            device,
            programs,
            residency: Residency::default(),
            queue: VecDeque::with_capacity(8),
            finished: VecDeque::with_capacity(8),
            sending: VecDeque::with_capacity(SENDS_MAX),
            reading: [0; READS.len()],
            next_ticket: first_ticket.0,
            notices: VecDeque::new(),
            is_mid_stream: false,
            is_lost: false,
            empty: 0,
            interrupts: 0,
        };
        engine.start_reads();
        Ok(engine)
    }

    /// Puts the chip to rest and closes the device. Models stay usable.
    pub(super) fn close(mut self) -> (Result<(), TpuError>, Vec<Program>) {
        self.abort();
        let closed = bringup::close_usb(&mut UsbCsr::new(self.device.as_mut(), BRING_UP_LIMIT));
        (closed, self.programs)
    }

    /// Gives the device up as it is.
    pub(super) fn abandon(mut self) -> Vec<Program> {
        self.programs.iter_mut().for_each(Program::refill);
        std::mem::take(&mut self.programs)
    }

    pub(super) const fn next_ticket(&self) -> Ticket {
        Ticket(self.next_ticket)
    }

    pub(super) fn take_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Whether the failed request left the chip in the middle of a stream.
    pub(super) const fn is_mid_stream(&self) -> bool {
        self.is_mid_stream
    }

    pub(super) fn temperature(&mut self) -> Result<Option<MilliCelsius>, TpuError> {
        bringup::temperature(&mut UsbCsr::new(self.device.as_mut(), ASK_LIMIT))
    }

    /// Begins a run.
    pub(super) fn submit(
        &mut self,
        program: ProgramId,
        inputs: &[&[u8]],
    ) -> Result<Ticket, TpuError> {
        if self.queue.is_empty() {
            self.take_idle()?;
        }
        let model = self.programs.get_mut(program.0);
        let model = model.ok_or(TpuError::Unknown("model"))?;
        let run = model.start(inputs)?;
        let token = model.package.token();
        if self.residency.prepare(token, model.loader) != Upload::Nothing {
            match model.upload() {
                Ok(Some(upload)) => self.enqueue(None, upload),
                Ok(None) => {}
                Err(error) => {
                    model.give_back(run);
                    self.residency.clear();
                    return Err(error);
                }
            }
        }
        self.enqueue(Some(program), run);
        let ticket = Ticket(self.next_ticket - 1);
        self.send();
        Ok(ticket)
    }

    /// Hears interrupts again, after a device that sent too many for one inference was left unheard.
    fn listen(&mut self) {
        self.interrupts = 0;
        let [.., interrupt_reads] = self.reading;
        if interrupt_reads == 0 {
            self.read(INTERRUPT_IN, Vec::new());
        }
    }

    /// Takes what has come while nothing was under way: heat, errors, and bytes that would otherwise
    /// be taken for the next run's.
    fn take_idle(&mut self) -> Result<(), TpuError> {
        self.listen();
        self.empty = 0;
        for _ in 0..IDLE_MAX {
            let now = self.device.now();
            match self.device.wait(now) {
                None => return Ok(()),
                Some(completion) => self.take(completion)?,
            }
        }
        Err(TpuError::Nonsense(
            "packet after packet while it had nothing to do".to_owned(),
        ))
    }

    fn enqueue(&mut self, program: Option<ProgramId>, run: Run) {
        self.queue.push_back(Request {
            ticket: Ticket(self.next_ticket),
            program,
            run,
            cursor: 0,
            sending: 0,
            has_event: false,
        });
        self.next_ticket += 1;
    }

    /// Waits for a run and takes its outputs.
    pub(super) fn finish(
        &mut self,
        ticket: Ticket,
        deadline: MonotonicTime,
        outputs: &mut [Vec<u8>],
    ) -> Result<(), TpuError> {
        let start = self.device.now();
        loop {
            if let Some(at) = self.finished.iter().position(|done| done.ticket == ticket) {
                let done = self.finished.remove(at).ok_or(TpuError::Unknown("run"))?;
                let program = done.program.and_then(|id| self.programs.get_mut(id.0));
                let program = program.ok_or(TpuError::Unknown("model"))?;
                return program.finish(done.run, outputs);
            }
            if !self.queue.iter().any(|request| request.ticket == ticket) {
                return Err(TpuError::Unknown("run"));
            }
            // Also while transfers keep ending: they may be none that the run waits for.
            let in_time = self.device.now() < deadline;
            let completion = in_time.then(|| self.device.wait(deadline));
            let Some(completion) = completion.flatten() else {
                let progress = self.queue.front().map(Request::progress);
                return Err(TpuError::Deadline {
                    waited: self.device.now().saturating_since(start),
                    progress: progress.unwrap_or_default(),
                });
            };
            self.take(completion)?;
            self.send();
            self.retire();
        }
    }

    /// Sends as much as may be on the bus now.
    fn send(&mut self) {
        let mut outputs_awaited = false;
        let mut all_over = true;
        for request in &mut self.queue {
            outputs_awaited |= !request.run.awaited.is_empty();
            while let Some(step) = request.run.steps.get(request.cursor) {
                match *step {
                    Step::Send { piece } => {
                        if outputs_awaited || self.sending.len() >= SENDS_MAX {
                            return;
                        }
                        let buffer = request.run.pieces.get_mut(piece);
                        let buffer = buffer.map(std::mem::take).unwrap_or_default();
                        request.sending += 1;
                        self.sending.push_back((request.ticket, piece));
                        self.device.submit(STREAM_OUT, buffer);
                    }
                    Step::Receive {
                        layer,
                        offset,
                        length,
                    } => {
                        request.run.awaited.push_back(Awaited {
                            layer,
                            next: offset,
                            end: offset + length,
                        });
                        outputs_awaited = true;
                    }
                    Step::Fence => {
                        if !all_over || request.sending > 0 || outputs_awaited {
                            return;
                        }
                    }
                }
                request.cursor += 1;
            }
            all_over &= request.is_complete();
        }
    }

    /// Takes complete requests out of the queue.
    fn retire(&mut self) {
        while self.queue.front().is_some_and(Request::is_complete) {
            if let Some(done) = self.queue.pop_front()
                && done.program.is_some()
            {
                self.finished.push_back(done);
            }
            // Also where the next one is under way already, and the queue never empty.
            self.listen();
        }
        if self.queue.is_empty() {
            self.is_mid_stream = false;
        }
    }

    fn take(&mut self, completion: Completion) -> Result<(), TpuError> {
        let Completion {
            endpoint,
            buffer,
            transferred,
            status,
        } = completion;
        if endpoint == STREAM_OUT {
            let length = buffer.len();
            self.is_mid_stream |= transferred > 0;
            self.take_back(buffer);
            status.map_err(TpuError::transfer("send to the chip"))?;
            if transferred != length {
                return Err(TpuError::Nonsense(format!(
                    "an acknowledgement of {transferred} of {length} bytes"
                )));
            }
            return Ok(());
        }
        self.count_read(endpoint);
        let operation = match endpoint {
            OUTPUT_IN => "read outputs",
            EVENT_IN => "read events",
            _ => "read interrupts",
        };
        status.map_err(TpuError::transfer(operation))?;
        match endpoint {
            OUTPUT_IN if buffer.is_empty() => {
                self.empty += 1;
                if self.empty > EMPTY_MAX {
                    return Err(TpuError::Nonsense(
                        "empty packets where outputs come".to_owned(),
                    ));
                }
            }
            OUTPUT_IN => {
                self.empty = 0;
                self.take_output(&buffer)?;
            }
            EVENT_IN => self.take_event(&buffer)?,
            _ => self.take_interrupt(&buffer)?,
        }
        let rests = endpoint == INTERRUPT_IN && self.interrupts >= INTERRUPTS_MAX;
        if !rests {
            self.read(endpoint, buffer);
        }
        Ok(())
    }

    /// Puts a buffer that was sent back to its run.
    fn take_back(&mut self, buffer: Vec<u8>) {
        let Some((ticket, piece)) = self.sending.pop_front() else {
            return;
        };
        let owner = self
            .queue
            .iter_mut()
            .find(|request| request.ticket == ticket);
        if let Some(request) = owner {
            request.sending = request.sending.saturating_sub(1);
            if let Some(place) = request.run.pieces.get_mut(piece) {
                *place = buffer;
            }
        }
    }

    fn take_output(&mut self, mut bytes: &[u8]) -> Result<(), TpuError> {
        while !bytes.is_empty() {
            let mut awaiting = self.queue.iter_mut().filter(|r| !r.run.awaited.is_empty());
            let Some(request) = awaiting.next() else {
                return Err(TpuError::Nonsense(format!(
                    "{} bytes of output that nobody awaits",
                    bytes.len()
                )));
            };
            if let Some(awaited) = request.run.awaited.front_mut() {
                let (now, later) = bytes.split_at(bytes.len().min(awaited.end - awaited.next));
                let output = request.run.outputs.get_mut(awaited.layer);
                let place = output.and_then(|o| o.get_mut(awaited.next..awaited.next + now.len()));
                if let Some(place) = place {
                    place.copy_from_slice(now);
                }
                awaited.next += now.len();
                bytes = later;
                if awaited.next == awaited.end {
                    request.run.awaited.pop_front();
                }
            }
        }
        Ok(())
    }

    /// An event: offset (8 bytes), length (4), tag (low half of one), 3 bytes of nothing.
    fn take_event(&mut self, bytes: &[u8]) -> Result<(), TpuError> {
        let &[_, _, _, _, _, _, _, _, _, _, _, _, tag, _, _, _] = bytes else {
            return Err(TpuError::Nonsense(format!(
                "an event of {} bytes",
                bytes.len()
            )));
        };
        if tag & 0xf != 4 {
            return Err(TpuError::Nonsense(format!(
                "an event of kind {}, which it was told not to send",
                tag & 0xf
            )));
        }
        let Some(request) = self.queue.iter_mut().find(|r| !r.has_event) else {
            return Err(TpuError::Nonsense(
                "a completion when nothing is under way".to_owned(),
            ));
        };
        if request.cursor < request.run.steps.len() {
            return Err(TpuError::Nonsense(format!(
                "a completion before its time: {}",
                request.progress()
            )));
        }
        request.has_event = true;
        Ok(())
    }

    /// Bit 0 is a fatal error; bits 1 to 4 are what happened outside the core.
    fn take_interrupt(&mut self, bytes: &[u8]) -> Result<(), TpuError> {
        let &[a, b, c, d] = bytes else {
            return Err(TpuError::Nonsense(format!(
                "an interrupt of {} bytes",
                bytes.len()
            )));
        };
        let raised = u32::from_le_bytes([a, b, c, d]);
        self.interrupts += 1;
        let mut csr = UsbCsr::new(self.device.as_mut(), ASK_LIMIT);
        if raised & 1 != 0 {
            let errors = HibErrors {
                status: csr.read64(HIB_ERROR_STATUS)?,
                first: csr.read64(HIB_FIRST_ERROR_STATUS)?,
            };
            if errors != HibErrors::default() {
                return Err(TpuError::Fatal(errors));
            }
            csr.write64(USB_FATAL_ERROR_STATUS, 0)?;
        }
        if raised >> 1 & 1 == 1 {
            return Err(TpuError::TopLevel("that it is too hot and has shut down"));
        }
        if raised >> 2 & 1 == 1 && bringup::take_bus_error(&mut csr)? {
            self.notices.push_back(Notice::Bus);
        }
        if raised >> 3 & 1 == 1 {
            bringup::take_memory_test(&mut csr)?;
        }
        if raised >> 4 & 1 == 1 {
            let temperature = bringup::take_heat_warning(&mut csr)?;
            self.notices.push_back(Notice::Hot(temperature));
        }
        self.notices.truncate(8);
        Ok(())
    }

    fn start_reads(&mut self) {
        let packet = self.device.speed().bulk_packet_bytes();
        let counts = [
            (
                OUTPUT_IN,
                OUTPUT_READS,
                output_read_bytes(self.device.speed()),
            ),
            (EVENT_IN, EVENT_READS, packet),
            (INTERRUPT_IN, 1, INTERRUPT_READ_BYTES),
        ];
        for (endpoint, count, bytes) in counts {
            for _ in 0..count {
                self.read(endpoint, Vec::with_capacity(bytes));
            }
        }
    }

    /// Has a buffer wait for what the chip sends, as long as it has room for.
    fn read(&mut self, endpoint: EndpointAddress, mut buffer: Vec<u8>) {
        let bytes = match endpoint {
            OUTPUT_IN => output_read_bytes(self.device.speed()),
            EVENT_IN => self.device.speed().bulk_packet_bytes(),
            _ => INTERRUPT_READ_BYTES,
        };
        buffer.resize(bytes, 0);
        self.device.submit(endpoint, buffer);
        let at = READS.iter().position(|read| *read == endpoint);
        if let Some(count) = at.and_then(|at| self.reading.get_mut(at)) {
            *count += 1;
        }
    }

    fn count_read(&mut self, endpoint: EndpointAddress) {
        let at = READS.iter().position(|read| *read == endpoint);
        if let Some(count) = at.and_then(|at| self.reading.get_mut(at)) {
            *count = count.saturating_sub(1);
        }
    }

    /// Withdraws everything; requests are gone, weights count as lost. Says whether every buffer has
    /// come back, this time and before: an engine that has lost one is to be given up.
    pub(super) fn abort(&mut self) -> bool {
        for endpoint in [STREAM_OUT].into_iter().chain(READS) {
            self.device.cancel(endpoint);
        }
        let deadline = self.device.now() + ABORT_LIMIT;
        while !self.sending.is_empty() || self.reading.iter().any(|count| *count > 0) {
            let Some(completion) = self.device.wait(deadline) else {
                break;
            };
            if completion.endpoint == STREAM_OUT {
                self.is_mid_stream |= completion.transferred > 0;
                self.take_back(completion.buffer);
            } else {
                self.count_read(completion.endpoint);
            }
        }
        self.is_lost |= !self.sending.is_empty() || self.reading != [0; READS.len()];
        for request in self.queue.drain(..).chain(self.finished.drain(..)) {
            let program = request.program.and_then(|id| self.programs.get_mut(id.0));
            if let Some(program) = program {
                program.give_back(request.run);
            }
        }
        self.programs.iter_mut().for_each(Program::refill);
        self.residency.clear();
        !self.is_lost
    }

    /// After [`Engine::abort`]: clears halts, so that the next request finds clean endpoints.
    fn clear_halts(&mut self) -> Result<(), TpuError> {
        // The kernel gives the device five seconds for each; one that answers a question of ours in
        // time answers those, too.
        self.temperature()?;
        for endpoint in [STREAM_OUT].into_iter().chain(READS) {
            self.device
                .clear_halt(endpoint)
                .map_err(TpuError::transfer("clear the halt of an endpoint"))?;
        }
        Ok(())
    }

    /// After [`Engine::abort`]: goes on with the chip as it is.
    pub(super) fn resume(&mut self) -> Result<(), TpuError> {
        self.clear_halts()?;
        self.is_mid_stream = false;
        self.start_reads();
        Ok(())
    }

    /// After [`Engine::abort`]: halts the chip and wakes it up again.
    pub(super) fn restart(&mut self, clock: ClockRate) -> Result<(), TpuError> {
        self.clear_halts()?;
        let speed = self.device.speed();
        let mut csr = UsbCsr::new(self.device.as_mut(), BRING_UP_LIMIT);
        bringup::close_usb(&mut csr)?;
        bringup::open_usb(&mut csr, clock, speed)?;
        self.is_mid_stream = false;
        self.start_reads();
        Ok(())
    }
}
