//! The chip's registers: where they are, what their bits mean, and how they are reached.
//!
//! Offsets and fields are those of libedgetpu's `driver/config` (Apache-2.0, commit e35aed1); what
//! each does in which order is in [`bringup`](super::bringup). The same registers are reached by
//! control transfers over USB and by mapped memory over PCIe.

use std::fmt;

use super::error::TpuError;
use crate::units::MonotonicTime;

/// A register by its place in the chip's address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Register {
    /// Byte offset.
    pub offset: u32,
    /// Its name in the chip's documentation.
    pub name: &'static str,
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:#x})", self.name, self.offset)
    }
}

const fn at(offset: u32, name: &'static str) -> Register {
    Register { offset, name }
}

/// E-fuses and self-test; bits 24 to 31 are the revision of the programming.
pub const OMC0_00: Register = at(0x1a000, "omc0_00");
/// Thermal warning: bit 31 enables it.
pub const OMC0_D4: Register = at(0x1a0d4, "omc0_d4");
/// Thermal shutdown: bit 31 enables it.
pub const OMC0_D8: Register = at(0x1a0d8, "omc0_d8");
/// Thermal sensor: bits 16 to 25 are its reading, bit 31 is a warning, bit 29 clears it.
pub const OMC0_DC: Register = at(0x1a0dc, "omc0_dc");
/// Physical-layer modes of the inactive state.
pub const SCU_CTRL_0: Register = at(0x1a30c, "scu_ctrl_0");
/// Clock gates; bits 18 and 19 are the core's.
pub const SCU_CTRL_2: Register = at(0x1a314, "scu_ctrl_2");
/// Power state and clock rates.
pub const SCU_CTRL_3: Register = at(0x1a318, "scu_ctrl_3");
/// Boot failures: bits 16 and 17 say which (write 1 to clear), 18 and 19 mask them.
pub const SCU_CTRL_7: Register = at(0x1a33c, "scu_ctr_7");
/// Slave side of the internal bus: error reporting.
pub const SLV_ABM_EN: Register = at(0x1a500, "slv_abm_en");
/// Its interrupt mask.
pub const SLV_ERR_RESP_ISR_MASK: Register = at(0x1a558, "slv_err_resp_isr_mask");
/// Master side of the internal bus: error reporting.
pub const MST_ABM_EN: Register = at(0x1a600, "mst_abm_en");
/// Its interrupt mask.
pub const MST_ERR_RESP_ISR_MASK: Register = at(0x1a658, "mst_err_resp_isr_mask");
/// Slave side: a write was refused.
pub const SLV_WR_ERR_RESP: Register = at(0x1a540, "slv_wr_err_resp");
/// Slave side: a read was refused.
pub const SLV_RD_ERR_RESP: Register = at(0x1a544, "slv_rd_err_resp");
/// Master side: a write was refused.
pub const MST_WR_ERR_RESP: Register = at(0x1a640, "mst_wr_err_resp");
/// Master side: a read was refused.
pub const MST_RD_ERR_RESP: Register = at(0x1a644, "mst_rd_err_resp");
/// Memory self-test: bits 16 to 18 are failed, timed out, finished (write 1 to clear), 20 to 22 mask
/// them.
pub const RAMBIST_CTRL_1: Register = at(0x1a704, "rambist_ctrl_1");
/// Credits of the bridge; its low bits are pulsed to clear them.
pub const GCBB_CREDIT0: Register = at(0x1907c, "gcbb_credit0");
/// When the core counts as idle.
pub const IDLE_REGISTER: Register = at(0x4a000, "idleRegister");
/// Which tile the tile registers reach; 0x7f is all.
pub const TILE_CONFIG_0: Register = at(0x48788, "tileconfig0");
/// Delays into and out of sleep of the tiles.
pub const DEEP_SLEEP: Register = at(0x40020, "deepSleep");
/// Fatal errors: bits say which. See [`HibErrors`].
pub const HIB_ERROR_STATUS: Register = at(0x486f0, "hib_error_status");
/// The first of them.
pub const HIB_FIRST_ERROR_STATUS: Register = at(0x48700, "hib_first_error_status");

/// PCIe: 1 pauses all transfers.
pub const DMA_PAUSE: Register = at(0x486d8, "dma_pause");
/// PCIe: 1 when they are.
pub const DMA_PAUSED: Register = at(0x486e0, "dma_paused");
/// PCIe: bursts, 0 for no limit.
pub const DMA_BURST_LIMITER: Register = at(0x487a8, "dma_burst_limiter");
/// PCIe: when the status block is written; 0 for always.
pub const STATUS_BLOCK_UPDATE: Register = at(0x486e8, "status_block_update");
/// PCIe: interrupts of the scalar core, enable.
pub const HOST_INT_CONTROL: Register = at(0x486a0, "sc_host_int_control");
/// PCIe: the same, status (write 0 to clear).
pub const HOST_INT_STATUS: Register = at(0x486a8, "sc_host_int_status");
/// PCIe: how often each was raised, 16 bits each.
pub const HOST_INT_COUNT: Register = at(0x486d0, "sc_host_int_count");
/// PCIe: fatal error interrupt, enable.
pub const FATAL_INT_CONTROL: Register = at(0x486c0, "fatal_err_int_control");
/// PCIe: the same, status (write 0 to clear).
pub const FATAL_INT_STATUS: Register = at(0x486c8, "fatal_err_int_status");

/// Run control of the scalar core and what feeds it, in the order in which they are written; the
/// first is also the scalar core's own.
pub const SCALAR_RUN_CONTROLS: [Register; 5] = [
    at(0x44018, "scalarCoreRunControl"),
    at(0x44158, "avDataPopRunControl"),
    at(0x44198, "parameterPopRunControl"),
    at(0x441d8, "infeedRunControl"),
    at(0x44218, "outfeedRunControl"),
];

/// Run control of the tiles, in the order in which they are written.
pub const TILE_RUN_CONTROLS: [Register; 10] = [
    at(0x400c0, "opRunControl"),
    at(0x40150, "narrowToWideRunControl"),
    at(0x40110, "wideToNarrowRunControl"),
    at(0x40250, "meshBus0RunControl"),
    at(0x40298, "meshBus1RunControl"),
    at(0x402e0, "meshBus2RunControl"),
    at(0x40328, "meshBus3RunControl"),
    at(0x40190, "ringBusConsumer0RunControl"),
    at(0x401d0, "ringBusConsumer1RunControl"),
    at(0x40210, "ringBusProducerRunControl"),
];

/// USB: bytes per outgoing packet, in units of 8.
pub const OUTFEED_CHUNK_LENGTH: Register = at(0x4c058, "outfeed_chunk_length");
/// USB: fatal error interrupt, enable.
pub const USB_FATAL_ERROR_CONTROL: Register = at(0x4c060, "usb_fatal_err_int_control");
/// USB: fatal error interrupt, status (write 0 to clear).
pub const USB_FATAL_ERROR_STATUS: Register = at(0x4c068, "usb_fatal_err_int_status");
/// USB: top-level interrupts, enable.
pub const USB_TOP_LEVEL_CONTROLS: [Register; 4] = [
    at(0x4c070, "usb_top_level_int_0_control"),
    at(0x4c080, "usb_top_level_int_1_control"),
    at(0x4c090, "usb_top_level_int_2_control"),
    at(0x4c0a0, "usb_top_level_int_3_control"),
];
/// USB: which descriptors the chip sends; 0xf0 is those of the scalar core's interrupts alone.
pub const DESCR_EP: Register = at(0x4c148, "descr_ep");
/// USB: 1 for an endpoint per kind of stream, 0 for one for all.
pub const MULTI_BO_EP: Register = at(0x4c160, "multi_bo_ep");

/// Access to a chip's registers.
pub trait Csr {
    /// Reads 32 bits.
    ///
    /// # Errors
    ///
    /// The chip cannot be reached.
    fn read32(&mut self, register: Register) -> Result<u32, TpuError>;

    /// Writes 32 bits.
    ///
    /// # Errors
    ///
    /// As [`Csr::read32`].
    fn write32(&mut self, register: Register, value: u32) -> Result<(), TpuError>;

    /// Reads 64 bits.
    ///
    /// # Errors
    ///
    /// As [`Csr::read32`].
    fn read64(&mut self, register: Register) -> Result<u64, TpuError>;

    /// Writes 64 bits.
    ///
    /// # Errors
    ///
    /// As [`Csr::read32`].
    fn write64(&mut self, register: Register, value: u64) -> Result<(), TpuError>;

    /// Now, on the clock that bounds waits for registers.
    fn now(&self) -> MonotonicTime;
}

/// The chip's error registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HibErrors {
    /// All that happened.
    pub status: u64,
    /// What happened first.
    pub first: u64,
}

/// What each bit of the error registers means.
const HIB_ERRORS: [&str; 15] = [
    "inbound page fault",
    "extended page fault",
    "register parity error",
    "bus write error",
    "bus read error",
    "bad instruction queue configuration",
    "bad input queue configuration",
    "bad parameter queue configuration",
    "bad output queue configuration",
    "invalid instruction queue",
    "invalid input queue",
    "invalid parameter queue",
    "invalid output queue",
    "transfer of no bytes",
    "uncorrectable error in the page table",
];

impl fmt::Display for HibErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |bits: u64| {
            let set = HIB_ERRORS
                .iter()
                .enumerate()
                .filter(move |(bit, _)| bits >> bit & 1 == 1);
            set.map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
        };
        write!(f, "{:#x}", self.status)?;
        if self.status & 0x7fff != 0 {
            write!(f, " ({})", names(self.status))?;
        }
        if self.first != 0 && self.first != self.status {
            write!(f, ", first {:#x} ({})", self.first, names(self.first))?;
        }
        Ok(())
    }
}

/// A temperature in thousandths of a degree Celsius.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MilliCelsius(pub i32);

impl MilliCelsius {
    /// In °C, for people.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "between -40,000 and 125,000")]
    pub const fn celsius(self) -> f32 {
        self.0 as f32 / 1000.0
    }
}

impl fmt::Display for MilliCelsius {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} °C", self.0 / 1000, (self.0 % 1000).abs() / 100)
    }
}

/// The temperature in [`OMC0_DC`]; `None` where the sensor is off or says nothing sensible.
#[must_use]
pub fn temperature(omc0_dc: u32) -> Option<MilliCelsius> {
    let reading = i32::try_from(omc0_dc >> 16 & 0x3ff).ok()?;
    let value = (662 - reading) * 250 + 550;
    (reading != 0 && (-40_000..=125_000).contains(&value)).then_some(MilliCelsius(value))
}
