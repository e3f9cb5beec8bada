//! The device on its port: plugged in or not, boot loader or application, endpoints, and time.
//!
//! Passive: every call carries the time, and [`SimulatedEdgeTpu::next_time`] says when something
//! will happen by itself, so that a front end can wait for it, on any clock.

mod bulk;
mod config;
mod control;
mod faults;

use std::collections::VecDeque;
use std::time::Duration;

pub use config::{Config, Overlap};

use crate::chip::{Chip, Figures, Surroundings};
use crate::descriptor;
use crate::dfu::Dfu;
use crate::endpoint::{Completion, InEndpoint, Look, Transfer, TransferError};
use crate::execute::{Executor, KeyedPattern};
use crate::fault::Script;
use crate::latency::Wire;
use crate::record::{Entry, Record};
use crate::registers::Registers;
use crate::registry::Registry;
use crate::violation::{Rule, Violations};

/// How long a host waits for the answer to a standard request, which no driver can choose.
pub const SILENCE: Duration = Duration::from_secs(5);

/// Largest bulk-out transfer that the driver may send.
pub const MAX_CHUNK_BYTES: usize = 1 << 20;

const STREAM_OUT: u8 = 0x01;
const OUTPUT_IN: u8 = 0x81;
const EVENT_IN: u8 = 0x82;
const INTERRUPT_IN: u8 = 0x83;

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
        begun: Duration,
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
    /// What is withdrawn does not come back.
    keeps: bool,
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
            keeps: false,
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

    /// Transfers submitted so far, of all kinds: the number of the next one for
    /// [`crate::fault::Trigger::Transfer`].
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
        self.keeps = false;
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

    /// How long the host takes for a reset of its port: as long as it waits for answers, where none
    /// come.
    #[must_use]
    pub fn reset_time(&self) -> Duration {
        if self.hung_hard {
            SILENCE
        } else {
            self.config.latency.reset
        }
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
}
