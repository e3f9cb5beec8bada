//! A chip on PCIe for this module's own tests: registers, a page table, the ring, and an executor that
//! finds everything through the addresses in the instructions it fetches.

#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    reason = "a test's device; a failure is the message"
)]

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::pages_sys::Pages;
use super::surface::*;
use crate::tpu::bringup::ClockRate;
use crate::tpu::error::TpuError;
use crate::tpu::package::{Base, Executable, Field, Half, Hint, Package};
use crate::tpu::regs::{Csr, MilliCelsius, Register};
use crate::tpu::usb::fake::Key;
use crate::units::MonotonicTime;

#[derive(Debug)]
pub(crate) struct Chip {
    pub(crate) now: Duration,
    pub(crate) is_there: bool,
    pub(crate) hangs: bool,
    pub(crate) fatal: bool,
    /// Interrupts that mean nothing come again and again.
    pub(crate) chatters: bool,
    /// It reads its queue only when somebody waits for it, not while the tail is written.
    pub(crate) is_late: bool,
    /// Interrupts of its instruction queue get lost.
    pub(crate) is_mute: bool,
    /// How long a reset takes, and whether it then fails.
    pub(crate) reset_fails: Option<Duration>,
    pub(crate) packages: Vec<Arc<Package>>,
    pub(crate) runs: usize,
    pub(crate) uploads: usize,
    pub(crate) resets: usize,
    pub(crate) inputs: Vec<Vec<u8>>,
    registers: HashMap<u32, u64>,
    /// Device address to memory and direction.
    table: BTreeMap<u64, (Pages, Option<Direction>)>,
    raised: [bool; INTERRUPTS],
    is_partitioned: bool,
    head: u64,
    /// Chunks of an executable that is not complete yet.
    begun: Vec<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub(crate) struct FakeSlot(Arc<Mutex<Chip>>);

#[derive(Debug)]
struct FakeSurface(Arc<Mutex<Chip>>);

impl FakeSlot {
    pub(crate) fn new(packages: Vec<Arc<Package>>) -> Self {
        Self(Arc::new(Mutex::new(Chip {
            now: Duration::from_secs(1),
            is_there: true,
            hangs: false,
            fatal: false,
            chatters: false,
            is_late: false,
            is_mute: false,
            reset_fails: None,
            packages,
            runs: 0,
            uploads: 0,
            resets: 0,
            inputs: Vec::new(),
            registers: HashMap::new(),
            table: BTreeMap::new(),
            raised: [false; INTERRUPTS],
            is_partitioned: false,
            head: 0,
            begun: Vec::new(),
        })))
    }

    pub(crate) fn chip(&self) -> MutexGuard<'_, Chip> {
        self.0.lock().expect("no test panics with the lock")
    }
}

impl Opener for FakeSlot {
    fn now(&self) -> MonotonicTime {
        MonotonicTime::from_duration(self.chip().now)
    }

    fn open(&mut self) -> Result<Option<Box<dyn Surface>>, TpuError> {
        let mut chip = self.chip();
        chip.table.clear();
        chip.is_partitioned = false;
        let there = chip.is_there;
        Ok(there.then(|| Box::new(FakeSurface(Arc::clone(&self.0))) as Box<dyn Surface>))
    }

    fn wait_for_change(&mut self, deadline: MonotonicTime) {
        let mut chip = self.chip();
        chip.now = chip.now.max(deadline.since_epoch());
    }
}

impl Chip {
    /// Memory at a device address, through the page table.
    fn find(&self, at: u64, length: usize, writes: bool) -> Option<(&Pages, usize)> {
        let (start, (pages, direction)) = self.table.range(..=at).next_back()?;
        let inside = (at - start) as usize;
        let allowed = match direction {
            None => true,
            Some(Direction::ToDevice) => !writes,
            Some(Direction::FromDevice) => writes,
        };
        (allowed && inside + length <= pages.bytes()).then_some((pages, inside))
    }

    fn read(&self, at: u64, length: usize) -> Option<Vec<u8>> {
        let (pages, inside) = self.find(at, length, false)?;
        let mut bytes = vec![0; length];
        pages.copy_out(inside, &mut bytes).then_some(bytes)
    }

    fn page_fault(&mut self) {
        self.registers.insert(0x486f0, 1);
        self.registers.insert(0x48700, 1);
        self.raised[12] = true;
    }

    /// Goes through the ring up to the tail.
    fn process(&mut self, tail: u64) {
        while self.head != tail && !self.hangs {
            let base = self.registers[&0x48590];
            let Some(descriptor) = self.read(base + self.head * 16, 16) else {
                return self.page_fault();
            };
            let address = u64::from_le_bytes(descriptor[..8].try_into().expect("eight bytes"));
            let bytes = u32::from_le_bytes(descriptor[8..12].try_into().expect("four bytes"));
            let Some(code) = self.read(address, bytes as usize) else {
                return self.page_fault();
            };
            self.begun.push(code);
            let Some(is_complete) = self.execute() else {
                return self.page_fault();
            };
            self.head = (self.head + 1) % 256;
            let block = self.registers[&0x48598];
            let head = (self.head as u32).to_le_bytes();
            let (pages, inside) = self.find(block, 8, true).expect("a status block");
            pages.copy_in(inside, &head);
            self.raised[0] = !self.is_mute;
            if is_complete {
                self.complete();
            }
        }
    }

    /// Counts a completion and raises its interrupt.
    pub(crate) fn complete(&mut self) {
        let count = self.registers.entry(0x486d0).or_default();
        *count = (*count & !0xffff) | ((*count + 1) & 0xffff);
        self.raised[4] = true;
    }

    /// Executes what was begun, where it is all there; says whether it was.
    fn execute(&mut self) -> Option<bool> {
        let packages = self.packages.iter();
        let executables = packages.flat_map(|p| p.caching.iter().chain([&p.main]));
        let same = |e: &&Executable| {
            let lengths = e.chunks.iter().map(|chunk| chunk.bytes.len());
            lengths
                .take(self.begun.len())
                .eq(self.begun.iter().map(Vec::len))
        };
        let matching = |e: &&Executable| {
            let chunks = e.chunks.iter().zip(&self.begun);
            chunks
                .map(|(chunk, code)| chunk.bytes.iter().zip(code).filter(|(a, b)| a == b).count())
                .sum::<usize>()
        };
        let executable = executables.filter(same).max_by_key(matching)?.clone();
        if self.begun.len() < executable.chunks.len() {
            return Some(false);
        }
        let code = std::mem::take(&mut self.begun);
        let mut key = Key::NONE;
        let address = |base: Base| address(&executable, &code, base);
        for hint in &executable.hints {
            match *hint {
                Hint::Parameters { offset, length } => {
                    let at = address(Base::Parameters) + offset as u64;
                    let expected = &executable.parameters[offset..offset + length];
                    assert_eq!(self.read(at, length)?, expected, "parameters");
                }
                Hint::Input {
                    layer,
                    offset,
                    length,
                } => {
                    let at = address(Base::Input(layer)) + offset as u64;
                    let bytes = self.read(at, length)?;
                    key = key.with(&bytes);
                    self.inputs.push(bytes);
                }
                Hint::Output {
                    layer,
                    offset,
                    length,
                } => {
                    let at = address(Base::Output(layer)) + offset as u64;
                    let bytes: Vec<u8> = (offset..offset + length)
                        .map(|at| key.output_byte(layer, at))
                        .collect();
                    let (pages, inside) = self.find(at, length, true)?;
                    pages.copy_in(inside, &bytes);
                }
                Hint::Instructions { .. } | Hint::Fence | Hint::Completion => {}
            }
        }
        let count = if executable.outputs.is_empty() {
            &mut self.uploads
        } else {
            &mut self.runs
        };
        *count += 1;
        Some(true)
    }
}

/// Where something lies, by what stands in the instructions.
fn address(executable: &Executable, code: &[Vec<u8>], base: Base) -> u64 {
    let half = |half: Half| {
        let chunks = executable.chunks.iter().zip(code);
        let (field, code): (&Field, _) = chunks
            .flat_map(|(chunk, code)| chunk.fields.iter().map(move |field| (field, code)))
            .find(|(f, _)| f.base == base && f.half == half)
            .expect("a field");
        (0..32).fold(0_u64, |value, bit| {
            let at = field.bit + bit;
            value | u64::from(code[at / 8] >> (at % 8) & 1) << bit
        })
    };
    half(Half::Low) | half(Half::High) << 32
}

impl FakeSurface {
    fn chip(&self) -> MutexGuard<'_, Chip> {
        self.0.lock().expect("no test panics with the lock")
    }
}

impl Csr for FakeSurface {
    fn read32(&mut self, _register: Register) -> Result<u32, TpuError> {
        unreachable!("no register of 32 bits is in the windows")
    }

    fn write32(&mut self, _register: Register, _value: u32) -> Result<(), TpuError> {
        unreachable!("no register of 32 bits is in the windows")
    }

    fn read64(&mut self, register: Register) -> Result<u64, TpuError> {
        let chip = self.chip();
        let window = register.offset & !0xfff;
        assert!([0x40000, 0x44000, 0x48000].contains(&window), "{register}");
        let value = chip.registers.get(&register.offset).copied().unwrap_or(0);
        Ok(match register.offset {
            0x48578 => 16,
            0x48570 => chip.registers.get(&0x48568).copied().unwrap_or(0) & 1,
            0x486e0 => chip.registers.get(&0x486d8).copied().unwrap_or(0),
            _ => value,
        })
    }

    fn write64(&mut self, register: Register, value: u64) -> Result<(), TpuError> {
        let mut chip = self.chip();
        let window = register.offset & !0xfff;
        assert!([0x40000, 0x44000, 0x48000].contains(&window), "{register}");
        chip.registers.insert(register.offset, value);
        match register.offset {
            0x48568 if value == 0 => chip.head = 0,
            0x485a8 if chip.registers.get(&0x48568) == Some(&5) => {
                assert_eq!(chip.registers.get(&0x44018), Some(&1), "the chip runs");
                if chip.fatal {
                    chip.fatal = false;
                    chip.page_fault();
                } else if !chip.is_late {
                    chip.process(value);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn now(&self) -> MonotonicTime {
        MonotonicTime::from_duration(self.chip().now)
    }
}

impl AddressSpace for FakeSurface {
    fn partition(&mut self, simple_entries: u64) -> Result<(), TpuError> {
        assert_eq!(simple_entries, 6144);
        self.chip().is_partitioned = true;
        Ok(())
    }

    fn map(
        &mut self,
        pages: &Pages,
        at: DeviceAddress,
        direction: Direction,
    ) -> Result<(), TpuError> {
        let mut chip = self.chip();
        assert!(chip.is_partitioned && at.0 >= 1 << 63 && at.0.is_multiple_of(4096));
        let end = at.0 + pages.bytes() as u64;
        let before = chip.table.range(..end).next_back();
        let free = before.is_none_or(|(start, (other, _))| start + other.bytes() as u64 <= at.0);
        assert!(free, "mapped twice at {:#x}", at.0);
        chip.table.insert(at.0, (pages.clone(), Some(direction)));
        Ok(())
    }

    fn unmap(&mut self, pages: &Pages, at: DeviceAddress) -> Result<(), TpuError> {
        let removed = self.chip().table.remove(&at.0);
        assert_eq!(
            removed.map(|(p, _)| p.host_address()),
            Some(pages.host_address())
        );
        Ok(())
    }

    fn coherent(&mut self, bytes: usize) -> Result<(Pages, DeviceAddress), TpuError> {
        let pages = Pages::new(bytes).expect("memory");
        self.chip().table.insert(0, (pages.clone(), None));
        Ok((pages, DeviceAddress(0)))
    }
}

impl Interrupts for FakeSurface {
    fn enable(&mut self) -> Result<(), TpuError> {
        self.chip().raised = [false; INTERRUPTS];
        Ok(())
    }

    fn wait(&mut self, deadline: MonotonicTime) -> Result<[bool; INTERRUPTS], TpuError> {
        let mut chip = self.chip();
        if chip.is_late {
            let tail = chip.registers.get(&0x485a8).copied().unwrap_or(0);
            chip.process(tail);
        }
        let mut raised = std::mem::take(&mut chip.raised);
        chip.now += Duration::from_micros(10);
        raised[1] |= chip.chatters;
        if raised == [false; INTERRUPTS] {
            chip.now = chip.now.max(deadline.since_epoch());
        }
        Ok(raised)
    }
}

impl Surface for FakeSurface {
    fn set_clock(&mut self, _clock: ClockRate) -> Result<(), TpuError> {
        Ok(())
    }

    fn reset(&mut self) -> Result<(), TpuError> {
        let mut chip = self.chip();
        if let Some(time) = chip.reset_fails {
            chip.now += time;
            return Err(TpuError::Absent("answers its reset".to_owned()));
        }
        chip.registers.clear();
        chip.table.clear();
        chip.raised = [false; INTERRUPTS];
        chip.head = 0;
        chip.begun.clear();
        chip.resets += 1;
        Ok(())
    }

    fn temperature(&mut self) -> Option<MilliCelsius> {
        Some(MilliCelsius(48_300))
    }
}
