//! A device for this module's own tests: registers that hold what is written, firmware downloads, and
//! a chip that follows the hints of the packages it is shown. It keeps a log in the form of the
//! reference traces. It knows packages by our own reader; `tests/tpu-sim` is the independent judge.

#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    reason = "a test's device; a failure is the message"
)]

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::transport::*;
use crate::tpu::layout::{InputLayout, OutputLayout};
use crate::tpu::package::{Executable, Hint, Package};
use crate::units::MonotonicTime;

/// What goes wrong, at which transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The device refuses the transfer, and its endpoint halts.
    Stall,
    /// Never completes.
    Hang,
    /// It is pulled out, and put back in after a second.
    Unplug,
    /// The next event is too short.
    ShortEvent,
    /// The next event says something else.
    WrongEvent,
    /// Eight bytes of output that nobody asked for.
    Excess,
    /// The chip reports a fatal error.
    Fatal,
    /// It comes back without firmware, at the next reset.
    FirmwareLost,
    /// From here on outputs come as empty packets.
    Empty,
    /// From here on it interrupts again and again, and says nothing by it.
    Chatter,
    /// What is pending does not come back when it is withdrawn, until its handle is closed.
    Keeps,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) log: Vec<String>,
    pub(crate) speed: Speed,
    pub(crate) packages: Vec<Arc<Package>>,
    /// Transfers so far, of any kind.
    pub(crate) transfers: usize,
    pub(crate) fault: Option<(usize, Fault)>,
    pub(crate) runs: usize,
    pub(crate) uploads: usize,
    /// Everything that was sent as input.
    pub(crate) inputs: Vec<Vec<u8>>,
    /// Where it is plugged in.
    pub(crate) port: PortPath,
    /// It is listed and cannot be opened.
    pub(crate) is_ghost: bool,
    id: UsbId,
    pub(crate) address: u8,
    plugged_at: Option<Duration>,
    registers: HashMap<u32, u64>,
    firmware: Vec<u8>,
    dfu_state: u8,
    detach: bool,
    pub(crate) hib_error: u64,
    /// Registers and events say anything, from this on.
    pub(crate) noise: Option<u64>,
    event_fault: Option<Fault>,
    chip: Chip,
    pending: HashMap<u8, VecDeque<Vec<u8>>>,
    halted: Vec<u8>,
    done: VecDeque<Completion>,
    hung: bool,
    empty: bool,
    chatter: bool,
    pub(crate) keeps: bool,
    /// How often the port was reset.
    pub(crate) resets: usize,
    /// How often a halt was to be cleared, and while it did not answer.
    pub(crate) clears: [usize; 2],
    /// It takes its firmware and does not run it.
    pub(crate) never_runs: bool,
    /// What it does when it is told to take firmware again.
    pub(crate) detaching: Detaching,
    /// Time that a stalled transfer takes; the device hangs after it.
    pub(crate) slow_stall: Option<Duration>,
    /// It takes everything and sends nothing.
    mute: bool,
    /// What registers say the next time they are read.
    told: HashMap<u32, u64>,
}

/// What a device that runs does with DFU_DETACH.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Detaching {
    #[default]
    Obeys,
    Ignores,
    Refuses,
}

#[derive(Debug, Default)]
struct Chip {
    /// Tag and missing bytes of the stream that is coming in.
    stream: Option<(u8, usize, Vec<u8>)>,
    /// Hints of the executable that runs, and the next.
    running: Option<(Executable, usize)>,
    /// Of the inputs that have come in.
    key: Option<Key>,
    outputs: VecDeque<u8>,
    output_ends: VecDeque<usize>,
    events: VecDeque<Vec<u8>>,
    interrupts: VecDeque<Vec<u8>>,
}

/// FNV-1a as the reference traces have it: their offset basis lacks the last digit of the real one.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(1_469_598_103_934_665_603, |hash, byte| {
        fnv_step(hash, *byte)
    })
}

fn fnv_step(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
}

/// A key of the inputs of a run: of their bytes on the wire, in the order in which they are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key(u64);

impl Key {
    pub(crate) const NONE: Self = Self(0x9e37_79b9);

    pub(crate) fn with(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |key, byte| fnv_step(key, *byte)))
    }

    /// What the fake chip puts out for an output, by its place. Other inputs, other bytes.
    pub(crate) fn output_byte(self, layer: usize, at: usize) -> u8 {
        let place = (layer as u64) << 32 | at as u64;
        let mixed = (self.0 ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed.to_be_bytes()[0]
    }
}

/// What the fake chip makes of tensors: the output tensors.
pub(crate) fn expected_outputs(executable: &Executable, inputs: &[&[u8]]) -> Vec<Vec<u8>> {
    let layouts = executable.inputs.iter().map(InputLayout::new);
    let wires: Vec<Vec<u8>> = layouts
        .zip(inputs)
        .map(|(layout, tensor)| {
            let mut wire = vec![0; layout.wire_bytes()];
            layout
                .encode(tensor, &mut wire)
                .expect("an input that fits");
            wire
        })
        .collect();
    let key = executable
        .hints
        .iter()
        .fold(Key::NONE, |key, hint| match *hint {
            Hint::Input {
                layer,
                offset,
                length,
            } => key.with(&wires[layer][offset..offset + length]),
            _ => key,
        });
    let layers = executable.outputs.iter().enumerate();
    layers
        .map(|(layer, l)| {
            let wire = (0..l.wire_bytes()).map(|at| key.output_byte(layer, at));
            let wire: Vec<u8> = wire.collect();
            let mut tensor = vec![0; l.actual_bytes()];
            let layout = OutputLayout::new(l).expect("a layout");
            layout
                .decode(&wire, &mut tensor)
                .expect("an output that fits");
            tensor
        })
        .collect()
}

#[derive(Clone, Debug)]
pub(crate) struct FakeHost(Arc<Mutex<World>>);

#[derive(Debug)]
struct FakeDevice {
    world: Arc<Mutex<World>>,
    address: u8,
}

pub(crate) fn port() -> PortPath {
    PortPath("1-2".to_owned())
}

impl FakeHost {
    /// A device as it is after power-up.
    pub(crate) fn new(speed: Speed, packages: Vec<Arc<Package>>) -> Self {
        Self(Arc::new(Mutex::new(World {
            now: Duration::from_secs(1),
            log: Vec::new(),
            speed,
            packages,
            transfers: 0,
            fault: None,
            runs: 0,
            uploads: 0,
            inputs: Vec::new(),
            port: port(),
            is_ghost: false,
            id: DFU_ID,
            address: 1,
            plugged_at: Some(Duration::ZERO),
            registers: HashMap::new(),
            firmware: Vec::new(),
            dfu_state: 2,
            detach: false,
            hib_error: 0,
            noise: None,
            event_fault: None,
            chip: Chip::default(),
            pending: HashMap::new(),
            halted: Vec::new(),
            done: VecDeque::new(),
            hung: false,
            empty: false,
            chatter: false,
            keeps: false,
            resets: 0,
            clears: [0; 2],
            never_runs: false,
            detaching: Detaching::default(),
            slow_stall: None,
            mute: false,
            told: HashMap::new(),
        })))
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("no test panics with the lock")
    }
}

impl UsbHost for FakeHost {
    fn now(&self) -> MonotonicTime {
        MonotonicTime::from_duration(self.world().now)
    }

    fn devices(&mut self) -> Result<Vec<Attached>, HostError> {
        let world = self.world();
        let there = world.plugged_at.is_some_and(|at| at <= world.now);
        Ok(there
            .then(|| Attached {
                port: world.port.clone(),
                id: world.id,
                address: world.address,
            })
            .into_iter()
            .collect())
    }

    fn wait_for_change(&mut self, deadline: MonotonicTime) -> Result<bool, HostError> {
        let mut world = self.world();
        let change = world.plugged_at.filter(|at| *at > world.now);
        world.now = world
            .now
            .max(deadline.since_epoch().min(change.unwrap_or(Duration::MAX)));
        Ok(change.is_some_and(|at| at <= world.now))
    }

    fn open(&mut self, device: &Attached) -> Result<Box<dyn UsbDevice>, HostError> {
        let mut world = self.world();
        if world.is_ghost
            || device.port != world.port
            || device.address != world.address
            || world.plugged_at.is_none_or(|at| at > world.now)
        {
            return Err(HostError::Gone { port: port() });
        }
        let mode = if world.id == DFU_ID { "dfu" } else { "app" };
        world.log.push(format!("USB  open ({mode})"));
        world.keeps = false;
        world.pending.clear();
        world.done.clear();
        world.halted.clear();
        Ok(Box::new(FakeDevice {
            world: Arc::clone(&self.0),
            address: device.address,
        }))
    }
}

impl World {
    fn is_there(&self, address: u8) -> bool {
        self.address == address && self.plugged_at.is_some_and(|at| at <= self.now)
    }

    /// Counts a transfer; the fault that is due at it.
    fn count(&mut self) -> Option<Fault> {
        let index = self.transfers;
        self.transfers += 1;
        self.now += Duration::from_micros(50);
        let (_, fault) = self.fault.filter(|(at, _)| *at == index)?;
        self.fault = None;
        match fault {
            Fault::Unplug => self.unplug(),
            Fault::Hang => self.hung = true,
            Fault::ShortEvent | Fault::WrongEvent => self.event_fault = Some(fault),
            Fault::Excess => {
                self.chip.outputs.extend([1; 8]);
                self.chip.output_ends.push_back(8);
                self.deliver();
            }
            Fault::Fatal => {
                self.hib_error = 0x2000;
                self.chip.interrupts.push_back(vec![1, 0, 0, 0]);
                self.deliver();
            }
            Fault::FirmwareLost => self.detach = true,
            Fault::Empty => self.empty = true,
            Fault::Chatter => self.chatter = true,
            Fault::Keeps => {
                self.keeps = true;
                self.hung = true;
            }
            Fault::Stall => {}
        }
        Some(fault)
    }

    fn power_up(&mut self) {
        self.registers.clear();
        self.hib_error = 0;
        self.chip = Chip::default();
        self.hung = false;
        self.empty = false;
        self.chatter = false;
    }

    /// It answers again.
    pub(crate) fn revive(&mut self) {
        self.hung = false;
    }

    /// Eight bytes of output that nobody asked for.
    pub(crate) fn late_excess(&mut self) {
        self.fault = None;
        self.chip.outputs.extend([1; 8]);
        self.chip.output_ends.push_back(8);
        self.deliver();
    }

    /// Interrupts with these registers as they are to be read, once.
    pub(crate) fn raise(&mut self, word: u32, registers: &[(u32, u64)]) {
        self.told.extend(registers.iter().copied());
        self.chip.interrupts.push_back(word.to_le_bytes().to_vec());
        self.deliver();
    }

    /// What was last written to a register.
    pub(crate) fn written(&self, offset: u32) -> u64 {
        self.registers.get(&offset).copied().unwrap_or(0)
    }

    pub(crate) fn unplug(&mut self) {
        self.power_up();
        self.id = DFU_ID;
        self.firmware.clear();
        self.dfu_state = 2;
        self.address = self.address.wrapping_add(1);
        self.plugged_at = Some(self.now + Duration::from_secs(1));
        let pending: Vec<_> = self.pending.drain().collect();
        for (endpoint, buffers) in pending {
            for buffer in buffers {
                self.end(endpoint, buffer, 0, Err(TransferError::Disconnected));
            }
        }
    }

    fn reset(&mut self) {
        self.resets += 1;
        let downloaded = self.id == DFU_ID && self.dfu_state == 9 && !self.never_runs;
        if downloaded {
            self.id = APPLICATION_ID;
            self.address = self.address.wrapping_add(1);
            self.plugged_at = Some(self.now + Duration::from_millis(700));
        } else if self.detach {
            self.id = DFU_ID;
            self.address = self.address.wrapping_add(1);
            self.plugged_at = Some(self.now + Duration::from_millis(500));
        }
        self.detach = false;
        self.dfu_state = 2;
        self.firmware.clear();
        self.power_up();
    }

    fn end(
        &mut self,
        endpoint: u8,
        mut buffer: Vec<u8>,
        bytes: usize,
        status: Result<(), TransferError>,
    ) {
        if endpoint & 0x80 != 0 {
            buffer.truncate(bytes);
        }
        self.done.push_back(Completion {
            endpoint: EndpointAddress(endpoint),
            buffer,
            transferred: bytes,
            status,
        });
    }

    /// The next of some arbitrary numbers, once there is noise.
    fn arbitrary(&mut self) -> Option<u64> {
        let seed = self.noise.as_mut()?;
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // Often a small number, as registers have.
        let value = *seed >> 17;
        Some(if value & 1 == 0 {
            value
        } else {
            value & 0xff00
        })
    }

    fn read_register(&mut self, offset: u32) -> u64 {
        if let Some(value) = self.arbitrary() {
            return value;
        }
        if let Some(told) = self.told.remove(&offset) {
            return told;
        }
        let stored = self.registers.get(&offset).copied().unwrap_or(0);
        match offset {
            0x1a318 if stored >> 22 & 3 == 3 => stored & !0x300 | 0x200,
            0x1a318 => stored & !0x300,
            0x1a000 => 0x0100_0000,
            0x1a0dc => 400 << 16,
            0x486f0 | 0x48700 => self.hib_error,
            _ => stored,
        }
    }

    fn is_running(&self) -> bool {
        [0x44018, 0x44218, 0x400c0, 0x40210]
            .iter()
            .all(|at| self.registers.get(at) == Some(&1))
    }

    /// Bytes on the one endpoint inward.
    fn take(&mut self, bytes: &[u8]) {
        assert!(
            self.noise.is_some() || self.is_running(),
            "a stream before the chip runs"
        );
        let Some((tag, missing, mut stream)) = self.chip.stream.take() else {
            let &[a, b, c, d, tag, e, f, g] = bytes else {
                unreachable!("a header of 8 bytes")
            };
            let length = u32::from_le_bytes([a, b, c, d]);
            self.log.push(format!(
                "OUT  header len={length} tag={tag} raw5-7={e:02x}{f:02x}{g:02x}"
            ));
            self.chip.stream = Some((tag, length as usize, Vec::new()));
            return;
        };
        assert!(bytes.len() <= missing, "more than the header said");
        stream.extend(bytes);
        if bytes.len() < missing {
            self.chip.stream = Some((tag, missing - bytes.len(), stream));
            return;
        }
        let (length, hash) = (stream.len(), fnv(&stream));
        self.log.push(match tag {
            0 => format!("OUT  INSTR len={length}"),
            1 => format!("OUT  INPUT len={length} fnv={hash:016x}"),
            _ => format!("OUT  PARAM len={length} fnv={hash:016x}"),
        });
        if tag == 0 && self.chip.running.is_none() {
            let packages = self.packages.iter();
            let executables = packages.flat_map(|p| p.caching.iter().chain([&p.main]));
            let found = executables
                .filter(|e| e.chunks[0].bytes.len() == length)
                .max_by_key(|e| {
                    e.chunks[0]
                        .bytes
                        .iter()
                        .zip(&stream)
                        .filter(|(a, b)| a == b)
                        .count()
                });
            self.chip.running = Some((found.expect("a known executable").clone(), 0));
        }
        if tag == 1 {
            self.chip.key = Some(self.chip.key.unwrap_or(Key::NONE).with(&stream));
            self.inputs.push(stream);
        }
        self.follow(tag, length);
    }

    /// Goes on with the hints after a stream.
    fn follow(&mut self, tag: u8, length: usize) {
        let Some((executable, next)) = self.chip.running.take() else {
            unreachable!("a stream belongs to an executable")
        };
        let expected = match executable.hints[next] {
            Hint::Instructions { chunk } => (0, executable.chunks[chunk].bytes.len()),
            Hint::Input { length, .. } => (1, length),
            Hint::Parameters { length, .. } => (2, length),
            other => unreachable!("{other:?} is no stream"),
        };
        assert_eq!((tag, length), expected, "the stream of hint {next}");
        let mut next = next + 1;
        loop {
            match executable.hints[next] {
                Hint::Output {
                    layer,
                    offset,
                    length,
                } => {
                    assert!(self.chip.outputs.len() < 1 << 22);
                    let key = self.chip.key.unwrap_or(Key::NONE);
                    let bytes = (offset..offset + length).map(|at| key.output_byte(layer, at));
                    self.chip.outputs.extend(bytes);
                    self.chip.output_ends.push_back(length);
                }
                Hint::Completion => {
                    self.chip.key = None;
                    let mut event = vec![0; 16];
                    event[12] = 4;
                    match self.event_fault.take() {
                        Some(Fault::ShortEvent) => event.truncate(8),
                        Some(_) => event[12] = 3,
                        None => {}
                    }
                    if let Some(value) = self.arbitrary() {
                        event.clear();
                        event.extend(value.to_le_bytes());
                        event.resize(usize::try_from(value % 40).unwrap_or(0), 0xa4);
                        if value & 2 == 0 {
                            self.chip
                                .interrupts
                                .push_back(value.to_le_bytes()[..4].to_vec());
                        }
                    }
                    self.chip.events.push_back(event);
                    let count = if executable.outputs.is_empty() {
                        &mut self.uploads
                    } else {
                        &mut self.runs
                    };
                    *count += 1;
                    break;
                }
                Hint::Fence => {}
                _ => {
                    self.chip.running = Some((executable, next));
                    break;
                }
            }
            next += 1;
        }
        self.deliver();
    }

    /// Sends what there is to whoever reads.
    fn deliver(&mut self) {
        if self.hung || self.mute {
            return;
        }
        if self.chatter && self.done.len() < 8 && self.chip.interrupts.is_empty() {
            self.chip.interrupts.push_back(vec![0; 4]);
        }
        if self.empty
            && self.done.len() < 8
            && let Some(buffer) = self.pending.get_mut(&0x81).and_then(VecDeque::pop_front)
        {
            return self.end(0x81, buffer, 0, Ok(()));
        }
        let chunk = self.registers.get(&0x4c058).copied().unwrap_or(0) as usize * 8;
        while chunk > 0 && !self.chip.outputs.is_empty() {
            let Some(mut buffer) = self.pending.get_mut(&0x81).and_then(VecDeque::pop_front) else {
                break;
            };
            let left = self.chip.output_ends.front_mut().expect("an end");
            let bytes = (*left).min(chunk).min(buffer.len());
            *left -= bytes;
            if *left == 0 {
                self.chip.output_ends.pop_front();
            }
            buffer.splice(..bytes, self.chip.outputs.drain(..bytes));
            self.end(0x81, buffer, bytes, Ok(()));
        }
        for endpoint in [0x82, 0x83] {
            let queue = if endpoint == 0x82 {
                &mut self.chip.events
            } else {
                &mut self.chip.interrupts
            };
            if queue.is_empty() {
                continue;
            }
            let Some(mut buffer) = self
                .pending
                .get_mut(&endpoint)
                .and_then(VecDeque::pop_front)
            else {
                continue;
            };
            let bytes = queue.pop_front().expect("not empty");
            buffer.splice(..bytes.len(), bytes.iter().copied());
            self.end(endpoint, buffer, bytes.len(), Ok(()));
        }
    }
}

impl FakeDevice {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no test panics with the lock")
    }

    /// Begins a control transfer.
    fn control(&self, timeout: Duration) -> Result<MutexGuard<'_, World>, TransferError> {
        let mut world = self.world();
        let fault = world.count();
        if !world.is_there(self.address) {
            return Err(TransferError::Disconnected);
        }
        match fault {
            Some(Fault::Stall) => Err(TransferError::Stall),
            _ if world.hung => {
                world.now += timeout;
                Err(TransferError::TimedOut)
            }
            _ => Ok(world),
        }
    }
}

impl Drop for FakeDevice {
    fn drop(&mut self) {
        self.world().log.push("USB  close".to_owned());
    }
}

impl UsbDevice for FakeDevice {
    fn now(&self) -> MonotonicTime {
        MonotonicTime::from_duration(self.world().now)
    }

    fn speed(&self) -> Speed {
        self.world().speed
    }

    fn configuration(&self) -> Vec<u8> {
        vec![
            9, 2, 27, 0, 1, 1, 0, 0x80, 50, // configuration
            9, 4, 0, 0, 0, 0xfe, 1, 2, 0, // interface
            9, 0x21, 3, 0xff, 0, 0, 1, 0x10, 1, // firmware in blocks of 256 bytes
        ]
    }

    fn claim(&mut self, interface: u8) -> Result<(), HostError> {
        let mut world = self.world();
        if !world.is_there(self.address) {
            return Err(HostError::Gone { port: port() });
        }
        world.log.push(format!("USB  claim {interface}"));
        Ok(())
    }

    fn control_in(
        &mut self,
        setup: Setup,
        data: &mut [u8],
        timeout: Duration,
    ) -> Result<usize, TransferError> {
        let mut world = self.control(timeout)?;
        if setup.kind == RequestKind::Class {
            let answer = match setup.request {
                3 => vec![0, 0, 0, 0, world.dfu_state, 0],
                5 => vec![world.dfu_state],
                2 => {
                    let at = 256 * usize::from(setup.value);
                    let bytes: Vec<u8> =
                        world.firmware.iter().skip(at).take(256).copied().collect();
                    if bytes.len() < 256 {
                        world.dfu_state = 9;
                    }
                    bytes
                }
                _ => return Err(TransferError::Stall),
            };
            data[..answer.len()].copy_from_slice(&answer);
            return Ok(answer.len());
        }
        let offset = u32::from(setup.value) | u32::from(setup.index) << 16;
        let value = world.read_register(offset);
        let bits = 8 * data.len();
        world
            .log
            .push(format!("CSR  R{bits} {offset:x} -> {value:x}"));
        data.copy_from_slice(&value.to_le_bytes()[..data.len()]);
        Ok(data.len())
    }

    fn control_out(
        &mut self,
        setup: Setup,
        data: &[u8],
        timeout: Duration,
    ) -> Result<(), TransferError> {
        let mut world = self.control(timeout)?;
        if setup.kind == RequestKind::Class {
            match setup.request {
                0 => match world.detaching {
                    Detaching::Obeys => world.detach = true,
                    Detaching::Ignores => {}
                    Detaching::Refuses => return Err(TransferError::Stall),
                },
                1 if data.is_empty() => {
                    world.dfu_state = 2;
                    let total = world.firmware.len();
                    world.log.push(format!("DFU  dnload zlp: fw total {total}"));
                }
                1 => {
                    world.dfu_state = 5;
                    world.firmware.extend(data);
                }
                _ => world.dfu_state = 2,
            }
            return Ok(());
        }
        let offset = u32::from(setup.value) | u32::from(setup.index) << 16;
        let mut bytes = [0; 8];
        bytes[..data.len()].copy_from_slice(data);
        let value = u64::from_le_bytes(bytes);
        // The power state is the chip's to say; what is written there stays as it was read.
        world
            .log
            .push(format!("CSR  W{} {offset:x} <- {value:x}", 8 * data.len()));
        world.registers.insert(offset, value);
        Ok(())
    }

    fn submit(&mut self, endpoint: EndpointAddress, buffer: Vec<u8>) {
        let mut world = self.world();
        let fault = world.count();
        let length = buffer.len();
        if !world.is_there(self.address) {
            world.end(endpoint.0, buffer, 0, Err(TransferError::Disconnected));
            return;
        }
        if fault == Some(Fault::Stall) {
            world.halted.push(endpoint.0);
            if let Some(time) = world.slow_stall.take() {
                world.now += time;
                world.mute = true;
            }
        }
        if world.halted.contains(&endpoint.0) {
            world.end(endpoint.0, buffer, 0, Err(TransferError::Stall));
            return;
        }
        if world.hung || endpoint.is_in() {
            if endpoint.is_in() {
                assert_eq!(
                    length
                        % if endpoint == INTERRUPT_IN {
                            64
                        } else {
                            world.speed.bulk_packet_bytes()
                        },
                    0
                );
            }
            world
                .pending
                .entry(endpoint.0)
                .or_default()
                .push_back(buffer);
            world.deliver();
            return;
        }
        assert!(
            world.chip.outputs.is_empty(),
            "a stream behind an output that has not been read"
        );
        assert!(
            (1..=1 << 20).contains(&length),
            "a transfer of {length} bytes"
        );
        world.log.push(format!("USB  bulk-out ep1 {length} bytes"));
        world.take(&buffer);
        world.end(endpoint.0, buffer, length, Ok(()));
    }

    fn wait(&mut self, deadline: MonotonicTime) -> Option<Completion> {
        let mut world = self.world();
        world.now += Duration::from_micros(1);
        let done = world.done.pop_front();
        if done.is_none() {
            world.now = world.now.max(deadline.since_epoch());
        }
        done
    }

    fn cancel(&mut self, endpoint: EndpointAddress) {
        let mut world = self.world();
        if world.keeps {
            return;
        }
        for buffer in world.pending.remove(&endpoint.0).unwrap_or_default() {
            world.end(endpoint.0, buffer, 0, Err(TransferError::Cancelled));
        }
    }

    fn clear_halt(&mut self, endpoint: EndpointAddress) -> Result<(), TransferError> {
        let hung = self.world().hung;
        self.world().clears[usize::from(hung)] += 1;
        // As long as the kernel gives a device that does not answer.
        let mut world = self.control(Duration::from_secs(5))?;
        world.halted.retain(|halted| *halted != endpoint.0);
        Ok(())
    }

    fn reset(&mut self) -> Result<(), TransferError> {
        let mut world = self.world();
        if !world.is_there(self.address) {
            return Err(TransferError::Disconnected);
        }
        world.log.push("USB  reset_device".to_owned());
        world.reset();
        Ok(())
    }
}
