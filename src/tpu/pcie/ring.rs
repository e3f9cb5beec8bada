//! The queue of instructions: a ring of descriptors that the chip reads by itself.
//!
//! A descriptor says where a chunk of instructions lies. The driver writes it behind the last and
//! moves the tail register; the chip writes how far it came, and whether it failed, into a status
//! block beside the ring. Instructions fetch everything else: parameters, inputs, room for outputs.

use super::pages_sys::{PAGE, Pages, barrier_after_register, barrier_before_register};
use super::surface::{DeviceAddress, Surface};
use crate::tpu::error::TpuError;
use crate::tpu::regs::Register;

/// Descriptors in the ring.
const ENTRIES: u32 = 256;

/// Descriptors that can be queued at once; one place always stays free.
pub(super) const ROOM: u32 = ENTRIES - 1;

/// Bytes of a descriptor: address (8), length (4), nothing (4).
const DESCRIPTOR_BYTES: usize = 16;

const fn at(offset: u32, name: &'static str) -> Register {
    Register { offset, name }
}

const CONTROL: Register = at(0x48568, "instruction_queue_control");
const STATUS: Register = at(0x48570, "instruction_queue_status");
const DESCRIPTOR_SIZE: Register = at(0x48578, "instruction_queue_descriptor_size");
const BASE: Register = at(0x48590, "instruction_queue_base");
const STATUS_BLOCK_BASE: Register = at(0x48598, "instruction_queue_status_block_base");
const SIZE: Register = at(0x485a0, "instruction_queue_size");
const TAIL: Register = at(0x485a8, "instruction_queue_tail");
const INT_CONTROL: Register = at(0x485c0, "instruction_queue_int_control");
const INT_STATUS: Register = at(0x485c8, "instruction_queue_int_status");

/// Enabled, and writing the status block.
const ENABLE: u64 = 1 | 1 << 2;

/// Reads of a register before giving up; it takes microseconds.
const READS_MAX: u32 = 100_000;

/// The ring with its status block.
#[derive(Debug)]
pub(super) struct Ring {
    memory: Pages,
    tail: u32,
    completed: u32,
}

impl Ring {
    /// Sets the chip's queue up in coherent memory.
    pub(super) fn open(surface: &mut dyn Surface) -> Result<Self, TpuError> {
        let bytes = surface.read64(DESCRIPTOR_SIZE)?;
        if bytes != DESCRIPTOR_BYTES as u64 {
            return Err(TpuError::Nonsense(format!("descriptors of {bytes} bytes")));
        }
        let ring_bytes = ENTRIES as usize * DESCRIPTOR_BYTES;
        let (memory, DeviceAddress(base)) = surface.coherent(ring_bytes + PAGE)?;
        surface.write64(BASE, base)?;
        surface.write64(STATUS_BLOCK_BASE, base + ring_bytes as u64)?;
        surface.write64(SIZE, u64::from(ENTRIES))?;
        surface.write64(CONTROL, ENABLE)?;
        poll(surface, STATUS, 1, "1, enabled")?;
        Ok(Self {
            memory,
            tail: 0,
            completed: 0,
        })
    }

    pub(super) fn enable_interrupts(surface: &mut dyn Surface) -> Result<(), TpuError> {
        surface.write64(INT_CONTROL, 1)
    }

    pub(super) fn close(surface: &mut dyn Surface) -> Result<(), TpuError> {
        surface.write64(INT_CONTROL, 0)?;
        surface.write64(CONTROL, 0)?;
        poll(surface, STATUS, 0, "0, disabled")?;
        surface.write64(TAIL, 0)?;
        surface.write64(BASE, 0)?;
        surface.write64(STATUS_BLOCK_BASE, 0)
    }

    /// Descriptors that can still be queued.
    pub(super) const fn free(&self) -> u32 {
        (self.completed + ENTRIES - self.tail - 1) % ENTRIES
    }

    /// Queues chunks of instructions.
    pub(super) fn queue(
        &mut self,
        surface: &mut dyn Surface,
        chunks: &[(DeviceAddress, u32)],
    ) -> Result<(), TpuError> {
        for (DeviceAddress(address), bytes) in chunks {
            let mut descriptor = [0; DESCRIPTOR_BYTES];
            let fields = address.to_le_bytes().into_iter().chain(bytes.to_le_bytes());
            for (to, from) in descriptor.iter_mut().zip(fields) {
                *to = from;
            }
            let at = self.tail as usize * DESCRIPTOR_BYTES;
            self.memory.copy_in(at, &descriptor);
            self.tail = (self.tail + 1) % ENTRIES;
        }
        // The descriptors first: the chip reads them as soon as it sees the tail.
        barrier_before_register();
        surface.write64(TAIL, u64::from(self.tail))
    }

    /// After its interrupt: takes note of how far the chip came.
    pub(super) fn advance(&mut self, surface: &mut dyn Surface) -> Result<(), TpuError> {
        surface.write64(INT_STATUS, 0)?;
        barrier_after_register();
        let mut block = [0; 8];
        self.memory
            .copy_out(ENTRIES as usize * DESCRIPTOR_BYTES, &mut block);
        let [a, b, c, d, e, f, g, h] = block;
        let completed = u32::from_le_bytes([a, b, c, d]);
        let error = u32::from_le_bytes([e, f, g, h]);
        if error != 0 {
            return Err(TpuError::Nonsense(format!(
                "error {error} of its instruction queue"
            )));
        }
        let queued = (self.tail + ENTRIES - self.completed) % ENTRIES;
        let done = (completed.wrapping_add(ENTRIES).wrapping_sub(self.completed)) % ENTRIES;
        if completed >= ENTRIES || done > queued {
            return Err(TpuError::Nonsense(format!(
                "{completed} as the head of its queue, between {} and {}",
                self.completed, self.tail
            )));
        }
        self.completed = completed;
        Ok(())
    }
}

fn poll(
    surface: &mut dyn Surface,
    register: Register,
    value: u64,
    wanted: &'static str,
) -> Result<(), TpuError> {
    let start = surface.now();
    let mut found = 0;
    for _ in 0..READS_MAX {
        found = surface.read64(register)?;
        if found == value {
            return Ok(());
        }
    }
    Err(TpuError::Stuck {
        register,
        found,
        wanted,
        waited: surface.now().saturating_since(start),
    })
}
