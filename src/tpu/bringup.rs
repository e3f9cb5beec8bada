//! Waking the chip up, and putting it to rest.
//!
//! The order is libedgetpu's, as recorded (see `docs/edgetpu.md`): into reset, out of reset with the
//! clocks chosen, transport set up, everything to run, interrupts on. Every wait for a register is
//! bounded. The same over USB and PCIe but for what concerns the transport.

use std::time::Duration;

use super::error::TpuError;
use super::regs::{
    self, Csr, DEEP_SLEEP, DESCR_EP, DMA_PAUSE, DMA_PAUSED, GCBB_CREDIT0, IDLE_REGISTER,
    MST_ABM_EN, MST_ERR_RESP_ISR_MASK, MST_RD_ERR_RESP, MST_WR_ERR_RESP, MULTI_BO_EP, OMC0_00,
    OMC0_D4, OMC0_D8, OMC0_DC, OUTFEED_CHUNK_LENGTH, RAMBIST_CTRL_1, Register, SCALAR_RUN_CONTROLS,
    SCU_CTRL_0, SCU_CTRL_2, SCU_CTRL_3, SCU_CTRL_7, SLV_ABM_EN, SLV_ERR_RESP_ISR_MASK,
    SLV_RD_ERR_RESP, SLV_WR_ERR_RESP, TILE_CONFIG_0, TILE_RUN_CONTROLS, USB_FATAL_ERROR_CONTROL,
    USB_TOP_LEVEL_CONTROLS,
};
use super::usb::transport::Speed;

/// How fast the chip runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockRate {
    /// 250 MHz: cooler, and what Coral ships as `libedgetpu1-std`.
    Standard,
    /// 500 MHz: the chip gets hot to the touch.
    #[default]
    Maximum,
}

/// What the chip is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunControl {
    Run = 1,
    Halt = 2,
}

/// How long a register may take to become what it should; they take microseconds.
const POLL_LIMIT: Duration = Duration::from_millis(500);

/// Most reads of a register, should the clock stand still.
const READS_MAX: u32 = 20_000;

/// All tiles at once.
const ALL_TILES: u64 = 0x7f;

/// Wakes the chip up for work over USB.
///
/// # Errors
///
/// The chip cannot be reached, or does not do what it is told.
pub fn open_usb(csr: &mut dyn Csr, clock: ClockRate, speed: Speed) -> Result<(), TpuError> {
    leave_inactive(csr)?;
    let gated = core_gate(csr.read32(SCU_CTRL_2)?) == HARDWARE_GATED;
    if gated {
        set_core_gate(csr, UNGATED)?;
    }
    enter_reset(csr)?;
    leave_reset(csr, clock)?;
    set_core_gate(csr, HARDWARE_GATED)?;
    let fuses = csr.read32(OMC0_00)?;
    log::debug!("Edge TPU: e-fuse programming revision {}", fuses >> 24);
    csr.write64(DESCR_EP, 0xf0)?;
    csr.write64(MULTI_BO_EP, 0)?;
    // Units of 8 bytes. Packets of 512 bytes are avoided on USB 2, as libedgetpu does.
    let packet = match speed {
        Speed::Super => 0x80,
        Speed::High | Speed::Full => 0x20,
    };
    csr.write64(OUTFEED_CHUNK_LENGTH, packet)?;
    run_control(csr, RunControl::Run)?;
    csr.write64(USB_FATAL_ERROR_CONTROL, 1)?;
    for register in USB_TOP_LEVEL_CONTROLS {
        csr.write64(register, 1)?;
    }
    report_top_level(csr)
}

/// Puts the chip to rest.
///
/// # Errors
///
/// As [`open_usb`].
pub fn close_usb(csr: &mut dyn Csr) -> Result<(), TpuError> {
    for register in USB_TOP_LEVEL_CONTROLS {
        csr.write64(register, 0)?;
    }
    hide_top_level(csr)?;
    csr.write64(USB_FATAL_ERROR_CONTROL, 0)?;
    run_control(csr, RunControl::Halt)?;
    enter_reset(csr)
}

/// Lets the chip run, over PCIe, where the kernel's driver has woken it up.
///
/// # Errors
///
/// As [`open_usb`].
pub(super) fn run(csr: &mut dyn Csr) -> Result<(), TpuError> {
    run_control(csr, RunControl::Run)
}

/// Halts the chip, over PCIe.
///
/// # Errors
///
/// As [`open_usb`].
pub(super) fn halt(csr: &mut dyn Csr) -> Result<(), TpuError> {
    csr.write64(DMA_PAUSE, 1)?;
    poll64(csr, DMA_PAUSED, "1, all transfers paused", |value| {
        value == 1
    })?;
    run_control(csr, RunControl::Halt)
}

/// Bits 8 to 13: what the physical layers do when inactive. Nothing special.
fn leave_inactive(csr: &mut dyn Csr) -> Result<(), TpuError> {
    let value = csr.read32(SCU_CTRL_0)?;
    csr.write32(SCU_CTRL_0, value & !(0x3f << 8))
}

const HARDWARE_GATED: u32 = 1;
const UNGATED: u32 = 2;

const fn core_gate(scu_ctrl_2: u32) -> u32 {
    scu_ctrl_2 >> 18 & 3
}

fn set_core_gate(csr: &mut dyn Csr, gate: u32) -> Result<(), TpuError> {
    let value = csr.read32(SCU_CTRL_2)?;
    csr.write32(SCU_CTRL_2, value & !(3 << 18) | gate << 18)
}

/// Bits 22 and 23 of `scu_ctrl_3`: whether the core is forced to sleep.
const FORCE_SLEEP: u32 = 3 << 22;
const FORCED_ASLEEP: u32 = 3 << 22;
const FORCED_AWAKE: u32 = 2 << 22;

/// Bits 8 and 9 of `scu_ctrl_3`: the core's power state.
const fn power_state(scu_ctrl_3: u32) -> u32 {
    scu_ctrl_3 >> 8 & 3
}

pub(super) fn enter_reset(csr: &mut dyn Csr) -> Result<(), TpuError> {
    let value = csr.read32(SCU_CTRL_3)?;
    if value & FORCE_SLEEP == FORCED_ASLEEP {
        return Ok(());
    }
    csr.write32(SCU_CTRL_3, value | FORCED_ASLEEP)?;
    poll32(csr, SCU_CTRL_3, "a power state of 2", |value| {
        power_state(value) == 2
    })?;
    csr.write32(GCBB_CREDIT0, 0xf)?;
    csr.write32(GCBB_CREDIT0, 0)
}

pub(super) fn leave_reset(csr: &mut dyn Csr, clock: ClockRate) -> Result<(), TpuError> {
    let value = csr.read32(SCU_CTRL_3)?;
    // Bits 28 and 29 divide the core's 500 MHz, bit 30 halves the bus clock, bit 31 that of the
    // USB controller.
    let rates = match clock {
        ClockRate::Maximum => 0,
        ClockRate::Standard => 1 << 28 | 1 << 30,
    };
    let value = value & !(FORCE_SLEEP | 0xf << 28) | FORCED_AWAKE | rates;
    csr.write32(SCU_CTRL_3, value)?;
    poll32(csr, SCU_CTRL_3, "a power state of 0", |value| {
        power_state(value) == 0
    })?;
    let [scalar_core, ..] = SCALAR_RUN_CONTROLS;
    poll64(csr, scalar_core, "0, its reset value", |value| value == 0)?;
    csr.write64(IDLE_REGISTER, 1)?;
    select_all_tiles(csr)?;
    // Two units of delay into sleep, 30 out of it.
    csr.write64(DEEP_SLEEP, 0x1e02)
}

/// Tile registers then reach all tiles. The order against later writes is only kept by waiting.
fn select_all_tiles(csr: &mut dyn Csr) -> Result<(), TpuError> {
    csr.write64(TILE_CONFIG_0, ALL_TILES)?;
    poll64(csr, TILE_CONFIG_0, "0x7f, all tiles", |value| {
        value == ALL_TILES
    })
}

fn run_control(csr: &mut dyn Csr, state: RunControl) -> Result<(), TpuError> {
    let state = state as u64;
    for register in SCALAR_RUN_CONTROLS {
        csr.write64(register, state)?;
    }
    select_all_tiles(csr)?;
    for register in TILE_RUN_CONTROLS {
        csr.write64(register, state)?;
    }
    Ok(())
}

/// Lets the chip tell of heat, memory faults and bus errors.
fn report_top_level(csr: &mut dyn Csr) -> Result<(), TpuError> {
    let value = csr.read32(OMC0_D4)?;
    csr.write32(OMC0_D4, value | 1 << 31)?;
    // Status bits are cleared by writing 1: they are written as 0 and stay.
    let value = csr.read32(RAMBIST_CTRL_1)?;
    csr.write32(RAMBIST_CTRL_1, value & !(7 << 16 | 7 << 20))?;
    let value = csr.read32(SCU_CTRL_7)?;
    csr.write32(SCU_CTRL_7, value & !(3 << 16 | 3 << 18))?;
    bus_errors(csr, 1, 3)?;
    let value = csr.read32(OMC0_D8)?;
    csr.write32(OMC0_D8, value | 1 << 31)
}

fn hide_top_level(csr: &mut dyn Csr) -> Result<(), TpuError> {
    let value = csr.read32(OMC0_D4)?;
    csr.write32(OMC0_D4, value & !(1 << 31))?;
    let value = csr.read32(RAMBIST_CTRL_1)?;
    csr.write32(RAMBIST_CTRL_1, value & !(7 << 16) | 7 << 20)?;
    let value = csr.read32(SCU_CTRL_7)?;
    csr.write32(SCU_CTRL_7, value & !(3 << 16) | 3 << 18)?;
    bus_errors(csr, 0, 0)?;
    let value = csr.read32(OMC0_D8)?;
    csr.write32(OMC0_D8, value & !(1 << 31))
}

fn bus_errors(csr: &mut dyn Csr, enable: u32, mask: u32) -> Result<(), TpuError> {
    csr.write32(SLV_ABM_EN, enable)?;
    csr.write32(MST_ABM_EN, enable)?;
    csr.write32(SLV_ERR_RESP_ISR_MASK, mask)?;
    csr.write32(MST_ERR_RESP_ISR_MASK, mask)
}

/// After the interrupt that warns of heat: clears it, and says how hot it is.
///
/// # Errors
///
/// The chip cannot be reached.
pub(super) fn take_heat_warning(csr: &mut dyn Csr) -> Result<Option<regs::MilliCelsius>, TpuError> {
    let value = csr.read32(OMC0_DC)?;
    if value >> 31 & 1 == 1 {
        csr.write32(OMC0_DC, value | 1 << 29)?;
    }
    Ok(regs::temperature(value))
}

/// After the interrupt of the internal bus: has it report the next error, too. Says whether there was
/// one.
///
/// # Errors
///
/// The chip cannot be reached.
pub(super) fn take_bus_error(csr: &mut dyn Csr) -> Result<bool, TpuError> {
    let mut found = false;
    for (errors, enable) in [
        ([SLV_WR_ERR_RESP, SLV_RD_ERR_RESP], SLV_ABM_EN),
        ([MST_WR_ERR_RESP, MST_RD_ERR_RESP], MST_ABM_EN),
    ] {
        for error in errors {
            if csr.read32(error)? & 1 == 1 {
                found = true;
                csr.write32(enable, 0)?;
                csr.write32(enable, 1)?;
            }
        }
    }
    Ok(found)
}

/// After the interrupt of the memory self-test, which also comes when the test has ended well, and of
/// failures at boot: clears them.
///
/// # Errors
///
/// The memory is faulty, or the chip cannot be reached.
pub(super) fn take_memory_test(csr: &mut dyn Csr) -> Result<(), TpuError> {
    // Writing back what was read clears exactly what was seen.
    let test = csr.read32(RAMBIST_CTRL_1)?;
    csr.write32(RAMBIST_CTRL_1, test)?;
    let boot = csr.read32(SCU_CTRL_7)?;
    csr.write32(SCU_CTRL_7, boot)?;
    if boot >> 16 & 3 != 0 {
        log::warn!("Edge TPU: failures at its boot: {:#x}", boot >> 16 & 3);
    }
    match test >> 16 & 7 {
        status if status & 1 != 0 => Err(TpuError::TopLevel("a fault of its memory")),
        status if status & 2 != 0 => Err(TpuError::TopLevel("a memory test that does not end")),
        _ => Ok(()),
    }
}

/// The chip's temperature; `None` where its sensor says nothing sensible.
///
/// # Errors
///
/// The chip cannot be reached.
pub fn temperature(csr: &mut dyn Csr) -> Result<Option<regs::MilliCelsius>, TpuError> {
    Ok(regs::temperature(csr.read32(OMC0_DC)?))
}

fn poll32(
    csr: &mut dyn Csr,
    register: Register,
    wanted: &'static str,
    reached: impl Fn(u32) -> bool,
) -> Result<(), TpuError> {
    poll(csr, register, wanted, |csr| {
        let value = csr.read32(register)?;
        Ok((u64::from(value), reached(value)))
    })
}

fn poll64(
    csr: &mut dyn Csr,
    register: Register,
    wanted: &'static str,
    reached: impl Fn(u64) -> bool,
) -> Result<(), TpuError> {
    poll(csr, register, wanted, |csr| {
        let value = csr.read64(register)?;
        Ok((value, reached(value)))
    })
}

fn poll(
    csr: &mut dyn Csr,
    register: Register,
    wanted: &'static str,
    read: impl Fn(&mut dyn Csr) -> Result<(u64, bool), TpuError>,
) -> Result<(), TpuError> {
    let start = csr.now();
    let mut reads = 0;
    loop {
        let (found, reached) = read(csr)?;
        reads += 1;
        let waited = csr.now().saturating_since(start);
        if reached {
            return Ok(());
        }
        if waited >= POLL_LIMIT || reads >= READS_MAX {
            return Err(TpuError::Stuck {
                register,
                found,
                wanted,
                waited,
            });
        }
    }
}
