//! The device on its port: plugged in or not, boot loader or application, endpoints, and time.
//!
//! Passive: every call carries the time, and [`SimulatedEdgeTpu::next_time`] says when something
//! will happen by itself, so that a front end can wait for it, on any clock.

use std::collections::VecDeque;
use std::time::Duration;

use crate::chip::{Chip, Figures, Stream, Surroundings};
use crate::descriptor;
use crate::dfu::{Dfu, Firmware, Reply};
use crate::endpoint::{Completion, InEndpoint, Look, Transfer, TransferError, Twist};
use crate::execute::{Executor, KeyedPattern};
use crate::fault::{Fault, Script, Trigger};
use crate::latency::{Latency, Speed, Wire};
use crate::record::{Entry, Record};
use crate::registers::{Access, Effect, Registers, ResetValues};
use crate::registry::Registry;
use crate::violation::{Rule, Violations};

/// Largest bulk-out transfer that the driver may send.
pub const MAX_CHUNK_BYTES: usize = 1 << 20;

const STREAM_OUT: u8 = 0x01;
const OUTPUT_IN: u8 = 0x81;
const EVENT_IN: u8 = 0x82;
const INTERRUPT_IN: u8 = 0x83;

/// What the device does with streams that come while outputs wait to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Its data path locks up, as documented for the single-endpoint firmware.
    Deadlocks,
    /// It buffers that many bytes; beyond them the data path locks up.
    Buffers(usize),
}

/// How the simulated device is.
#[derive(Clone, Debug)]
pub struct Config {
    /// Signalling rate of its port.
    pub speed: Speed,
    /// Whether it starts in its boot loader.
    pub starts_in_dfu: bool,
    /// Register values after reset.
    pub resets: ResetValues,
    /// Reads of the power state until it follows.
    pub power_polls: u32,
    /// What firmware it takes.
    pub firmware: Firmware,
    /// How long the boot loader is busy after a block, when it says so.
    pub dfu_busy: Option<Duration>,
    /// How long things take.
    pub latency: Latency,
    /// Streams behind outputs.
    pub overlap: Overlap,
    /// Whether everything is recorded.
    pub record: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            speed: Speed::Super,
            starts_in_dfu: true,
            resets: ResetValues::Chip,
            power_polls: 3,
            firmware: Firmware::Any,
            dfu_busy: None,
            latency: Latency::default(),
            overlap: Overlap::Deadlocks,
            record: false,
        }
    }
}

/// The eight bytes that begin a control transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// `bmRequestType`.
    pub request_type: u8,
    /// `bRequest`.
    pub request: u8,
    /// `wValue`.
    pub value: u16,
    /// `wIndex`.
    pub index: u16,
    /// `wLength`.
    pub length: u16,
}

/// How a control transfer ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlEnd {
    /// Bytes read, or why it failed.
    pub result: Result<Vec<u8>, TransferError>,
    /// When; `None` when it never does.
    pub at: Option<Duration>,
}

/// What a host sees of a plugged-in device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// `idVendor`.
    pub vendor: u16,
    /// `idProduct`.
    pub product: u16,
    /// Changes with every enumeration.
    pub address: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plug {
    In,
    Out { back: Option<Duration> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Dfu,
    Application,
}

#[derive(Debug)]
enum Assembly {
    Header,
    Payload {
        tag: u8,
        length: usize,
        bytes: Vec<u8>,
    },
}

/// What happens to a bulk-out transfer that has arrived.
enum Delivered {
    Taken,
    Stuck,
}

/// A simulated Edge TPU on its port.
#[derive(Debug)]
pub struct SimulatedEdgeTpu {
    config: Config,
    plug: Plug,
    mode: Mode,
    address: u8,
    changes: u64,
    claimed: bool,
    dfu: Dfu,
    registers: Registers,
    chip: Chip,
    assembly: Assembly,
    ready_checked: bool,
    hung: bool,
    hung_hard: bool,
    stuck: bool,
    reset_kills: bool,
    /// Told to go back to the boot loader at the next reset.
    detached: bool,
    out: VecDeque<Transfer>,
    out_halted: bool,
    out_finish: Option<Duration>,
    out_free: Duration,
    in_free: Duration,
    inputs: [InEndpoint; 3],
    done: VecDeque<Completion>,
    session: u64,
    now: Duration,
    transfers: u64,
    bulk_outs: u64,
    script: Script,
    violations: Violations,
    record: Record,
}

impl SimulatedEdgeTpu {
    /// A device that is plugged in, with outputs after a keyed pattern.
    #[must_use]
    pub fn new(config: Config, registry: Registry) -> Self {
        let packet = config.speed.packet_bytes();
        let mut record = Record::default();
        record.enable(config.record);
        Self {
            plug: Plug::In,
            mode: if config.starts_in_dfu {
                Mode::Dfu
            } else {
                Mode::Application
            },
            address: 1,
            changes: 1,
            claimed: false,
            dfu: Dfu::new(config.dfu_busy),
            registers: Registers::new(config.resets, config.power_polls),
            chip: Chip::new(registry, Box::new(KeyedPattern)),
            assembly: Assembly::Header,
            ready_checked: false,
            hung: false,
            hung_hard: false,
            stuck: false,
            reset_kills: false,
            detached: false,
            out: VecDeque::new(),
            out_halted: false,
            out_finish: None,
            out_free: Duration::ZERO,
            in_free: Duration::ZERO,
            inputs: [
                InEndpoint::new(OUTPUT_IN, packet),
                InEndpoint::new(EVENT_IN, packet),
                InEndpoint::new(INTERRUPT_IN, usize::from(descriptor::INTERRUPT_PACKET)),
            ],
            done: VecDeque::new(),
            session: 0,
            now: Duration::ZERO,
            transfers: 0,
            bulk_outs: 0,
            script: Script::new(),
            violations: Violations::default(),
            record,
            config,
        }
    }

    /// Replaces what computes outputs.
    pub fn set_executor(&mut self, executor: Box<dyn Executor>) {
        self.chip.set_executor(executor);
    }

    /// Known models, to add more.
    pub fn registry_mut(&mut self) -> &mut Registry {
        self.chip.registry_mut()
    }

    /// The fault script, to add to.
    pub fn script_mut(&mut self) -> &mut Script {
        &mut self.script
    }

    /// Breaches so far.
    #[must_use]
    pub fn violations(&self) -> &Violations {
        &self.violations
    }

    /// Breaches so far, to be taken out.
    pub fn violations_mut(&mut self) -> &mut Violations {
        &mut self.violations
    }

    /// What happened so far.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// What happened so far, to be added to.
    pub fn record_mut(&mut self) -> &mut Record {
        &mut self.record
    }

    /// Figures.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.chip.figures()
    }

    /// Firmware in the boot loader.
    #[must_use]
    pub fn firmware(&self) -> &[u8] {
        self.dfu.image()
    }

    /// Transfers submitted so far, of all kinds: the number of the next one for [`Trigger::Transfer`].
    #[must_use]
    pub fn transfers(&self) -> u64 {
        self.transfers
    }

    /// How the device is.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Sets what the chip's thermometer tells.
    pub fn set_temperature(&mut self, celsius: f32) {
        self.registers.set_temperature(celsius);
    }

    /// What a host sees now.
    #[must_use]
    pub fn presence(&self) -> Option<Presence> {
        let (vendor, product) = match self.mode {
            Mode::Dfu => (0x1a6e, 0x089a),
            Mode::Application => (0x18d1, 0x9302),
        };
        (self.plug == Plug::In).then_some(Presence {
            vendor,
            product,
            address: self.address,
        })
    }

    /// Counts plugging in and out.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The device descriptor.
    #[must_use]
    pub fn device_descriptor(&self) -> Vec<u8> {
        descriptor::device(self.mode == Mode::Dfu, self.config.speed)
    }

    /// The configuration descriptor, with everything that belongs to it.
    #[must_use]
    pub fn configuration_descriptor(&self) -> Vec<u8> {
        descriptor::configuration(self.mode == Mode::Dfu, self.config.speed)
    }

    /// The host opened it. Gives the number of this opening.
    pub fn open(&mut self, now: Duration) -> u64 {
        self.advance(now);
        let mode = match self.mode {
            Mode::Dfu => "dfu",
            Mode::Application => "app",
        };
        self.record.add(|| Entry::Usb(format!("open ({mode})")));
        self.claimed = false;
        self.session += 1;
        self.session
    }

    /// The host closed it: what is pending is cancelled.
    pub fn close(&mut self, now: Duration) {
        self.advance(now);
        if self.claimed {
            self.record.add(|| Entry::Usb("release 0".to_owned()));
        }
        self.record.add(|| Entry::Usb("close".to_owned()));
        self.claimed = false;
        self.cancel_all(TransferError::Cancelled);
    }

    /// The host claims an interface. Says whether there is one.
    pub fn claim(&mut self, now: Duration, interface: u8) -> bool {
        self.advance(now);
        self.record.add(|| Entry::Usb(format!("claim {interface}")));
        if self.plug != Plug::In {
            return false;
        }
        if interface != 0 {
            self.violations
                .add(Rule::Endpoint, format!("there is no interface {interface}"));
            return false;
        }
        self.claimed = true;
        true
    }

    /// Pulls the plug; puts it back at `back`.
    pub fn unplug(&mut self, now: Duration, back: Option<Duration>) {
        self.advance(now);
        self.pull(back);
        // Power is gone: firmware, too.
        self.mode = Mode::Dfu;
        self.hung_hard = false;
        self.reset_kills = false;
    }

    /// Puts the plug back, if it is out.
    pub fn plug_in(&mut self, now: Duration) {
        self.advance(now);
        if self.plug != Plug::In {
            self.appear();
        }
    }

    fn pull(&mut self, back: Option<Duration>) {
        if self.plug == Plug::In {
            self.changes += 1;
        }
        self.plug = Plug::Out { back };
        self.claimed = false;
        self.cancel_all(TransferError::Disconnected);
        self.power_on_reset();
    }

    fn appear(&mut self) {
        self.plug = Plug::In;
        self.changes += 1;
        self.address = if self.address >= 127 {
            1
        } else {
            self.address + 1
        };
        self.dfu = Dfu::new(self.config.dfu_busy);
        self.power_on_reset();
    }

    fn power_on_reset(&mut self) {
        self.registers.reset();
        self.reset_core();
        self.hung = false;
        self.detached = false;
        self.ready_checked = false;
        self.out_halted = false;
        for endpoint in &mut self.inputs {
            endpoint.halted = false;
        }
    }

    fn reset_core(&mut self) {
        self.chip.reset();
        self.assembly = Assembly::Header;
        self.stuck = false;
        self.ready_checked = false;
        self.out_finish = None;
        for endpoint in &mut self.inputs {
            endpoint.flush();
        }
    }

    fn cancel_all(&mut self, reason: TransferError) {
        self.out_finish = None;
        let now = self.now;
        while let Some(transfer) = self.out.pop_front() {
            self.done
                .push_back(transfer.end(STREAM_OUT, 0, Err(reason), now));
        }
        for endpoint in &mut self.inputs {
            while let Some(transfer) = endpoint.pending.pop_front() {
                self.done
                    .push_back(transfer.end(endpoint.address, 0, Err(reason), now));
            }
        }
    }

    /// Port reset. Says whether the device was there.
    pub fn reset(&mut self, now: Duration) -> bool {
        self.advance(now);
        if self.plug != Plug::In {
            return false;
        }
        if self.claimed {
            self.record.add(|| Entry::Usb("release 0".to_owned()));
        }
        self.record.add(|| Entry::Usb("reset_device".to_owned()));
        self.cancel_all(TransferError::Cancelled);
        self.claimed = false;
        if self.reset_kills {
            self.pull(None);
            return true;
        }
        match self.mode {
            Mode::Dfu => {
                let bytes = self.dfu.image().len();
                if self.dfu.reset(self.config.firmware, &mut self.violations) {
                    self.record.add(|| {
                        Entry::Device(format!("re-enumerated as 18d1:9302 (fw {bytes} bytes)"))
                    });
                    self.mode = Mode::Application;
                    self.pull(Some(now + self.config.latency.enumeration));
                } else {
                    self.power_on_reset();
                }
            }
            Mode::Application if self.detached => {
                self.mode = Mode::Dfu;
                self.pull(Some(now + self.config.latency.enumeration));
            }
            Mode::Application => self.power_on_reset(),
        }
        true
    }

    /// When something happens by itself next.
    #[must_use]
    pub fn next_time(&self) -> Option<Duration> {
        let mut next: Option<Duration> = self.script.next_time();
        let mut consider = |time: Option<Duration>| {
            if let Some(time) = time {
                next = Some(next.map_or(time, |n| n.min(time)));
            }
        };
        if let Plug::Out { back } = self.plug {
            consider(back);
            return next;
        }
        if self.hung || self.hung_hard {
            return next;
        }
        consider(self.out_finish.filter(|_| !self.stuck));
        consider(self.chip.next_time(&self.config.latency));
        for endpoint in &self.inputs {
            if let Look::EndsAt(at) = endpoint.look(self.in_free, self.wire()) {
                let blocked = self.stuck && endpoint.address == OUTPUT_IN;
                consider((!blocked).then_some(at));
            }
        }
        next
    }

    fn wire(&self) -> Wire {
        self.config.latency.wire(self.config.speed)
    }

    /// Lets time pass.
    pub fn advance(&mut self, now: Duration) {
        while let Some(next) = self.next_time() {
            if next > now {
                break;
            }
            self.now = self.now.max(next);
            self.violations.stamp(self.now, self.transfers);
            self.happen();
        }
        self.now = self.now.max(now);
        self.violations.stamp(self.now, self.transfers);
    }

    /// Everything that is due at `self.now`.
    fn happen(&mut self) {
        if let Some(fault) = self.script.due_by(self.now) {
            self.device_fault(fault);
            return;
        }
        if let Plug::Out { back: Some(back) } = self.plug {
            if back <= self.now {
                self.appear();
            }
            return;
        }
        if self.hung || self.hung_hard {
            return;
        }
        if self.out_finish.is_some_and(|at| at <= self.now) && !self.stuck {
            self.finish_out();
        }
        self.step_chip();
        for index in 0..self.inputs.len() {
            self.finish_in(index);
        }
        self.step_chip();
    }

    fn step_chip(&mut self) {
        let [outputs, events, _] = &mut self.inputs;
        let mut around = Surroundings {
            now: self.now,
            chunk: self
                .registers
                .output_chunk_bytes()
                .min(outputs.packet_bytes),
            outputs,
            events,
            violations: &mut self.violations,
            record: &mut self.record,
            script: &mut self.script,
            latency: &self.config.latency,
            escalate: Vec::new(),
        };
        self.chip.step(&mut around);
        let faults = around.escalate;
        for fault in faults {
            self.device_fault(fault);
        }
    }

    /// A fault of the device as a whole.
    fn device_fault(&mut self, fault: Fault) {
        match fault {
            Fault::Unplug(back) => {
                let back = back.map(|after| self.now + after);
                self.pull(back);
                self.mode = Mode::Dfu;
                self.hung_hard = false;
            }
            Fault::FallIntoDfu => {
                self.pull(Some(self.now + self.config.latency.enumeration));
                self.mode = Mode::Dfu;
            }
            Fault::Hang(hard) => {
                self.hung = true;
                self.hung_hard |= hard;
            }
            Fault::Fatal(status) => {
                self.chip.wedged = true;
                if self.registers.fatal_error(status) {
                    self.interrupt(1);
                }
            }
            Fault::Interrupt(word) => self.interrupt(word),
            Fault::PowerSticks => self.registers.never_settle(),
            Fault::DfuCorrupt => self.dfu.corrupt_upload(),
            Fault::DfuStatus(status) => self.dfu.fail(status),
            Fault::ResetKills => self.reset_kills = true,
            // Those of transfers and events mean nothing here; the script's author sees no effect.
            Fault::Stall
            | Fault::Never
            | Fault::Broken
            | Fault::Delay(_)
            | Fault::Short(_)
            | Fault::Garbage(_)
            | Fault::DropEvent
            | Fault::RepeatEvent(_)
            | Fault::EarlyEvent
            | Fault::WrongOutput => {}
        }
    }

    fn interrupt(&mut self, word: u32) {
        let [_, _, interrupts] = &mut self.inputs;
        let packet = interrupts.packet_bytes;
        interrupts.push(self.now, &word.to_le_bytes(), packet);
    }

    /// Numbers a transfer and finds what is scripted for it.
    fn number_transfer(&mut self) -> Option<Twist> {
        let number = self.transfers;
        self.transfers += 1;
        self.violations.stamp(self.now, self.transfers);
        let fault = self.script.due(Trigger::Transfer(number))?;
        self.twist(fault)
    }

    fn twist(&mut self, fault: Fault) -> Option<Twist> {
        match fault {
            Fault::Stall => Some(Twist::Stall),
            Fault::Never => Some(Twist::Never),
            Fault::Broken => Some(Twist::Broken),
            Fault::Delay(delay) => Some(Twist::Delay(delay)),
            Fault::Short(bytes) => Some(Twist::Short(bytes)),
            Fault::Garbage(bytes) => Some(Twist::Garbage(bytes)),
            Fault::Unplug(_)
            | Fault::FallIntoDfu
            | Fault::Hang(_)
            | Fault::Fatal(_)
            | Fault::Interrupt(_)
            | Fault::DropEvent
            | Fault::RepeatEvent(_)
            | Fault::EarlyEvent
            | Fault::WrongOutput
            | Fault::PowerSticks
            | Fault::DfuCorrupt
            | Fault::DfuStatus(_)
            | Fault::ResetKills => {
                self.device_fault(fault);
                None
            }
        }
    }

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

    fn refuse(&mut self, transfer: Transfer, endpoint: u8) {
        let now = self.now;
        self.done
            .push_back(transfer.end(endpoint, 0, Err(TransferError::Broken), now));
    }

    /// Puts the next bulk-out on the wire.
    fn start_out(&mut self) {
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

    fn finish_out(&mut self) {
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
            // The bus lost the rest, which is no fault of the driver's.
            Some(Twist::Short(0)) => (Ok(()), 0),
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
    fn deliver(&mut self, data: &[u8]) -> Delivered {
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

    fn header(&mut self, data: &[u8]) -> Delivered {
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
        };
        Delivered::Taken
    }

    fn stream_complete(&mut self) {
        let assembly = std::mem::replace(&mut self.assembly, Assembly::Header);
        if let Assembly::Payload { tag, length, bytes } = assembly {
            self.record.add(|| Entry::Stream {
                tag,
                length,
                fnv: (tag != 0).then(|| crate::fnv1a(&bytes)),
            });
            let at = self.now;
            self.chip.accept(Stream { tag, bytes, at });
        }
    }

    fn finish_in(&mut self, index: usize) {
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

    fn cancel_where(&mut self, address: u8, which: impl Fn(&Transfer) -> bool) {
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

    /// Clears an endpoint's halt.
    ///
    /// # Errors
    ///
    /// The device is gone.
    pub fn clear_halt(&mut self, now: Duration, endpoint: u8) -> Result<(), TransferError> {
        self.advance(now);
        if self.plug != Plug::In {
            return Err(TransferError::Disconnected);
        }
        if endpoint == STREAM_OUT {
            self.out_halted = false;
        }
        for queue in &mut self.inputs {
            if queue.address == endpoint {
                queue.halted = false;
            }
        }
        Ok(())
    }

    /// A control transfer to the device, its interface or its registers. Standard requests are the
    /// front end's.
    pub fn control(&mut self, now: Duration, setup: Setup, data: &[u8]) -> ControlEnd {
        self.advance(now);
        let twist = self.number_transfer();
        let mut at = self.now + self.config.latency.control;
        if self.plug != Plug::In {
            return ControlEnd {
                result: Err(TransferError::Disconnected),
                at: Some(self.now),
            };
        }
        if self.hung || self.hung_hard {
            return ControlEnd {
                result: Err(TransferError::TimedOut),
                at: None,
            };
        }
        let forced = match twist {
            Some(Twist::Stall) => Some(Err(TransferError::Stall)),
            Some(Twist::Broken) => Some(Err(TransferError::Broken)),
            Some(Twist::Never) => {
                return ControlEnd {
                    result: Err(TransferError::TimedOut),
                    at: None,
                };
            }
            Some(Twist::Garbage(ref bytes)) => Some(Ok(bytes.clone())),
            Some(Twist::Delay(delay)) => {
                at += delay;
                None
            }
            Some(Twist::Short(_)) | None => None,
        };
        if let Some(result) = forced {
            return ControlEnd {
                result,
                at: Some(at),
            };
        }
        let mut result = match setup.request_type {
            0x40 | 0xc0 if self.mode == Mode::Application => self.register(setup, data),
            0x21 | 0xa1 => self.class(setup, data),
            other => {
                self.violations.add(
                    Rule::Control,
                    format!("request type {other:#x}, request {}", setup.request),
                );
                Err(TransferError::Stall)
            }
        };
        if let (Ok(bytes), Some(Twist::Short(count))) = (&mut result, &twist) {
            bytes.truncate(*count);
        }
        ControlEnd {
            result,
            at: Some(at),
        }
    }

    fn class(&mut self, setup: Setup, data: &[u8]) -> Result<Vec<u8>, TransferError> {
        // The application knows one class request: DFU_DETACH.
        let detach = setup.request_type == 0x21 && setup.request == 0 && setup.index == 0;
        if self.mode == Mode::Application && detach && self.claimed {
            self.detached = true;
            return Ok(Vec::new());
        }
        if self.mode != Mode::Dfu || !self.claimed || setup.index != 0 {
            self.violations.add(
                Rule::Control,
                format!(
                    "class request {} to interface {}, {}",
                    setup.request,
                    setup.index,
                    if self.claimed {
                        "claimed"
                    } else {
                        "not claimed"
                    }
                ),
            );
            return Err(TransferError::Stall);
        }
        if setup.request == 1 && data.is_empty() {
            let bytes = self.dfu.image().len();
            self.record
                .add(|| Entry::Dfu(format!("dnload zlp: fw total {bytes}")));
        }
        let reply = self.dfu.request(
            self.now,
            setup.request,
            setup.value,
            setup.length,
            data,
            &mut self.violations,
        );
        match reply {
            Reply::Data(bytes) => Ok(bytes),
            Reply::Stall => Err(TransferError::Stall),
        }
    }

    fn register(&mut self, setup: Setup, data: &[u8]) -> Result<Vec<u8>, TransferError> {
        let offset = u32::from(setup.value) | u32::from(setup.index) << 16;
        let wide = setup.request == 0;
        let bytes: usize = if wide { 8 } else { 4 };
        let write = setup.request_type == 0x40;
        let length = if write {
            data.len()
        } else {
            usize::from(setup.length)
        };
        if setup.request > 1 || length != bytes {
            self.violations.add(
                Rule::Control,
                format!(
                    "register {offset:#x}: request {} of {length} bytes",
                    setup.request
                ),
            );
            return Err(TransferError::Stall);
        }
        let (access, effect, value) = if write {
            let mut raw = [0u8; 8];
            for (to, from) in raw.iter_mut().zip(data) {
                *to = *from;
            }
            let value = u64::from_le_bytes(raw);
            let (access, effect) = self
                .registers
                .write(offset, wide, value, &mut self.violations);
            (access, effect, value)
        } else {
            match self.registers.read(offset, wide, &mut self.violations) {
                Access::Value(value) => (Access::Value(value), Effect::None, value),
                Access::Refused => (Access::Refused, Effect::None, 0),
            }
        };
        if access == Access::Refused {
            return Err(TransferError::Stall);
        }
        self.record.add(|| Entry::Register {
            write,
            wide,
            offset,
            value,
        });
        if effect == Effect::Slept {
            self.reset_core();
            self.start_out();
        }
        if write {
            return Ok(Vec::new());
        }
        let mut out = value.to_le_bytes().to_vec();
        out.truncate(bytes);
        Ok(out)
    }
}
