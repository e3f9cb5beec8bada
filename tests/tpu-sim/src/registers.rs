//! The chip's registers as the USB driver uses them: reset values, widths, power states, and the
//! order in which bring-up must happen.
//!
//! ```text
//! Asleep ──force sleep 3, poll 2, credits F→0──▶ Reset ──force sleep 2, poll 0──▶ Awake
//!    Awake ──all run controls 1──▶ Running ──run controls 2──▶ Halted ──force sleep 3──▶ Asleep
//! ```
//!
//! Offsets, fields and reset values are facts of the chip, taken from the register lists of the
//! vendor's driver (configuration headers for "beagle", Apache-2.0) and from traces of its traffic.

use std::collections::BTreeMap;

use crate::violation::{Rule, Violations};

/// Registers that the rules below name.
pub mod offset {
    /// System control 0: inactive modes of the PHYs.
    pub const SCU_CTRL_0: u32 = 0x1a30c;
    /// System control 2: clock gating.
    pub const SCU_CTRL_2: u32 = 0x1a314;
    /// System control 3: sleep, clocks and the power state.
    pub const SCU_CTRL_3: u32 = 0x1a318;
    /// System control 7: boot failures.
    pub const SCU_CTRL_7: u32 = 0x1a33c;
    /// Bulk credits of the bridge.
    pub const CREDITS: u32 = 0x1907c;
    /// E-fuse revision in its top byte.
    pub const OMC0_00: u32 = 0x1a000;
    /// Thermal warning.
    pub const OMC0_D4: u32 = 0x1a0d4;
    /// Thermal shutdown.
    pub const OMC0_D8: u32 = 0x1a0d8;
    /// Temperature.
    pub const OMC0_DC: u32 = 0x1a0dc;
    /// Memory test.
    pub const RAMBIST: u32 = 0x1a704;
    /// Run control of the scalar core.
    pub const SCALAR_CORE_RUN: u32 = 0x44018;
    /// Idle counter.
    pub const IDLE: u32 = 0x4a000;
    /// Which tiles a tile register's write goes to.
    pub const TILE_CONFIG: u32 = 0x48788;
    /// Delays of the tiles' sleep.
    pub const DEEP_SLEEP: u32 = 0x40020;
    /// Which descriptors the device sends on the event endpoint.
    pub const DESCRIPTORS: u32 = 0x4c148;
    /// Several bulk-out endpoints.
    pub const MULTI_ENDPOINT: u32 = 0x4c160;
    /// Output chunk in units of eight bytes.
    pub const OUTFEED_CHUNK: u32 = 0x4c058;
    /// Fatal errors on the interrupt endpoint.
    pub const FATAL_CONTROL: u32 = 0x4c060;
    /// Whether there was one.
    pub const FATAL_STATUS: u32 = 0x4c068;
    /// What the host interface found wrong.
    pub const HIB_ERROR: u32 = 0x486f0;
    /// What it found wrong first.
    pub const HIB_FIRST_ERROR: u32 = 0x48700;
}

use offset::*;

/// Registers whose run state moves with the others.
const RUN_CONTROLS: [u32; 15] = [
    SCALAR_CORE_RUN,
    0x44158,
    0x44198,
    0x441d8,
    0x44218,
    0x400c0,
    0x40150,
    0x40110,
    0x40250,
    0x40298,
    0x402e0,
    0x40328,
    0x40190,
    0x401d0,
    0x40210,
];

const SLEEP_MASK: u64 = 0x3 << 22;
const POWER_MASK: u64 = 0x3 << 8;
const CLOCK_MASK: u64 = 0xf << 28;

/// Values after power-on or reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetValues {
    /// Those of the chip.
    Chip,
    /// All zero, as the device that the reference traces were taken from had them.
    Zero,
}

struct Known {
    offset: u32,
    wide: bool,
    reset: u64,
    /// Bits that a write may change. A write that changes others is a breach: those fields belong
    /// to somebody else.
    writable: u64,
}

const fn narrow(offset: u32, reset: u64, writable: u64) -> Known {
    Known {
        offset,
        wide: false,
        reset,
        writable,
    }
}

const fn wide(offset: u32, writable: u64) -> Known {
    Known {
        offset,
        wide: true,
        reset: 0,
        writable,
    }
}

const ANY: u64 = u64::MAX;

const KNOWN: [Known; 52] = [
    narrow(SCU_CTRL_0, 0x941, 0x3f << 8),
    narrow(SCU_CTRL_2, 0, 0x3 << 18),
    narrow(
        SCU_CTRL_3,
        0x8005_0410,
        SLEEP_MASK | CLOCK_MASK | POWER_MASK,
    ),
    narrow(SCU_CTRL_7, 0x000c_003f, 0xf << 16),
    narrow(CREDITS, 0, 0xf),
    narrow(OMC0_00, 0x0100_0000, ANY),
    narrow(OMC0_D4, 0, 0x83ff_0001),
    narrow(OMC0_D8, 0, 0x83ff_0007),
    narrow(OMC0_DC, 0, ANY),
    narrow(RAMBIST, 0x0070_007f, 0x0077_0000),
    narrow(0x1a500, 0, ANY),
    narrow(0x1a600, 0, ANY),
    narrow(0x1a558, 0, ANY),
    narrow(0x1a658, 0, ANY),
    // What the bus refused: nothing, here.
    narrow(0x1a540, 0, ANY),
    narrow(0x1a544, 0, ANY),
    narrow(0x1a640, 0, ANY),
    narrow(0x1a644, 0, ANY),
    wide(SCALAR_CORE_RUN, 0x3),
    wide(0x44158, 0x3),
    wide(0x44198, 0x3),
    wide(0x441d8, 0x3),
    wide(0x44218, 0x3),
    wide(0x400c0, 0x3),
    wide(0x40150, 0x3),
    wide(0x40110, 0x3),
    wide(0x40250, 0x3),
    wide(0x40298, 0x3),
    wide(0x402e0, 0x3),
    wide(0x40328, 0x3),
    wide(0x40190, 0x3),
    wide(0x401d0, 0x3),
    wide(0x40210, 0x3),
    wide(IDLE, ANY),
    wide(TILE_CONFIG, 0xff),
    wide(DEEP_SLEEP, ANY),
    wide(DESCRIPTORS, 0xff),
    wide(MULTI_ENDPOINT, 1),
    wide(OUTFEED_CHUNK, 0xff),
    wide(FATAL_CONTROL, 1),
    wide(FATAL_STATUS, ANY),
    wide(0x4c070, 1),
    wide(0x4c078, ANY),
    wide(0x4c080, 1),
    wide(0x4c088, ANY),
    wide(0x4c090, 1),
    wide(0x4c098, ANY),
    wide(0x4c0a0, 1),
    wide(0x4c0a8, ANY),
    wide(HIB_ERROR, ANY),
    wide(HIB_FIRST_ERROR, ANY),
    wide(0x48708, ANY),
];

/// A device's answer to a register access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Done; the value read, or the value written.
    Value(u64),
    /// The device refuses: the control transfer stalls.
    Refused,
}

/// What a write brought about, for the rest of the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing beyond the register.
    None,
    /// The chip went to sleep: its memories are lost.
    Slept,
}

/// Where bring-up stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    /// Untouched since power-on or reset.
    Initial,
    /// Told to sleep; not seen asleep yet.
    FallingAsleep,
    /// Seen asleep.
    Asleep,
    /// Credits cleared: reset is complete.
    Reset,
    /// Told to wake; not seen awake yet.
    WakingUp,
    /// Seen awake.
    Awake,
}

/// The register file.
#[derive(Clone, Debug)]
pub struct Registers {
    values: BTreeMap<u32, u64>,
    resets: ResetValues,
    power: Power,
    /// Reads of the power state until it follows.
    polls: u32,
    polls_left: u32,
    never_settles: bool,
    credits_pulsed: bool,
    run_seen_zero: bool,
    tiles_selected: bool,
    temperature_celsius: f32,
    sleeps: u64,
}

impl Registers {
    /// A register file after power-on. `polls` reads of the power state pass before it changes.
    #[must_use]
    pub fn new(resets: ResetValues, polls: u32) -> Self {
        let mut file = Self {
            values: BTreeMap::new(),
            resets,
            power: Power::Initial,
            polls,
            polls_left: 0,
            never_settles: false,
            credits_pulsed: false,
            run_seen_zero: false,
            tiles_selected: false,
            temperature_celsius: 40.0,
            sleeps: 0,
        };
        file.reset();
        file
    }

    /// Port reset or power-on.
    pub fn reset(&mut self) {
        for known in &KNOWN {
            let value = match self.resets {
                ResetValues::Chip => known.reset,
                // The traced device had one register that was not zero.
                ResetValues::Zero if known.offset == OMC0_00 => known.reset,
                ResetValues::Zero => 0,
            };
            self.values.insert(known.offset, value);
        }
        self.power = Power::Initial;
        self.polls_left = 0;
        self.credits_pulsed = false;
        self.run_seen_zero = false;
        self.tiles_selected = false;
    }

    fn value(&self, offset: u32) -> u64 {
        self.values.get(&offset).copied().unwrap_or(0)
    }

    /// Makes the power state stay as it is, whatever is asked.
    pub fn never_settle(&mut self) {
        self.never_settles = true;
    }

    /// What the temperature register is to tell.
    pub fn set_temperature(&mut self, celsius: f32) {
        self.temperature_celsius = celsius;
    }

    /// Whether every unit of the chip runs.
    #[must_use]
    pub fn running(&self) -> bool {
        self.power == Power::Awake && RUN_CONTROLS.iter().all(|r| self.value(*r) == 1)
    }

    /// Times the chip went to sleep.
    #[must_use]
    pub fn sleeps(&self) -> u64 {
        self.sleeps
    }

    /// Bytes of an output chunk, as the driver set it.
    #[must_use]
    pub fn output_chunk_bytes(&self) -> usize {
        8 * usize::try_from(self.value(OUTFEED_CHUNK)).unwrap_or(0)
    }

    /// Puts a fatal error into the status registers. Says whether the interrupt is enabled.
    pub fn fatal_error(&mut self, status: u64) -> bool {
        self.values.insert(HIB_ERROR, status);
        self.values
            .insert(HIB_FIRST_ERROR, status & status.wrapping_neg());
        self.values.insert(FATAL_STATUS, 1);
        self.value(FATAL_CONTROL) == 1
    }

    /// What is missing before streams may come. `packet` is the bulk endpoints' packet in bytes.
    pub fn check_ready(&self, packet: usize, violations: &mut Violations) -> bool {
        let mut add = |what: String| violations.add(Rule::NotRunning, what);
        if self.power != Power::Awake {
            add(format!("the chip is not awake but {:?}", self.power));
            return false;
        }
        let stopped: Vec<String> = RUN_CONTROLS
            .iter()
            .filter(|r| self.value(**r) != 1)
            .map(|r| format!("{r:#x}"))
            .collect();
        if !stopped.is_empty() {
            add(format!("run control is not 1 at {}", stopped.join(", ")));
            return false;
        }
        let chunk = if packet == 1024 { 0x80 } else { 0x20 };
        for (offset, wanted, what) in [
            (OUTFEED_CHUNK, chunk, "output chunk"),
            (DESCRIPTORS, 0xf0, "descriptors on the event endpoint"),
            (MULTI_ENDPOINT, 0, "several bulk-out endpoints"),
            (IDLE, 1, "idle counter"),
            (DEEP_SLEEP, 0x1e02, "tiles' sleep delays"),
            (FATAL_CONTROL, 1, "fatal errors on the interrupt endpoint"),
        ] {
            let value = self.value(offset);
            if value != wanted {
                violations.add(
                    Rule::BringUp,
                    format!(
                        "{what}: {offset:#x} is {value:#x}, not {wanted:#x}, when streams begin"
                    ),
                );
            }
        }
        true
    }

    fn known(offset: u32, wide: bool, violations: &mut Violations) -> Option<&'static Known> {
        let Some(known) = KNOWN.iter().find(|known| known.offset == offset) else {
            violations.add(Rule::Register, format!("there is no register {offset:#x}"));
            return None;
        };
        if known.wide != wide {
            violations.add(
                Rule::Register,
                format!("{offset:#x} has {} bits", if known.wide { 64 } else { 32 }),
            );
            return None;
        }
        Some(known)
    }

    /// Whether the register is part of the core, which has no clock while it sleeps.
    fn core(offset: u32) -> bool {
        offset >= 0x40000
    }

    fn core_accessible(&mut self, offset: u32, write: bool, violations: &mut Violations) -> bool {
        if !Self::core(offset) {
            return true;
        }
        if self.power != Power::Awake {
            violations.add(
                Rule::Power,
                format!("{offset:#x} used while the chip is {:?}", self.power),
            );
            return false;
        }
        if !self.run_seen_zero && (offset != SCALAR_CORE_RUN || write) {
            violations.add(
                Rule::BringUp,
                format!(
                    "{offset:#x} used before run control {SCALAR_CORE_RUN:#x} was read as 0 to confirm the reset"
                ),
            );
            self.run_seen_zero = true;
        }
        true
    }

    /// A read.
    pub fn read(&mut self, offset: u32, wide: bool, violations: &mut Violations) -> Access {
        if Self::known(offset, wide, violations).is_none()
            || !self.core_accessible(offset, false, violations)
        {
            return Access::Refused;
        }
        match offset {
            SCU_CTRL_3 => self.poll_power(),
            SCALAR_CORE_RUN => self.run_seen_zero = true,
            TILE_CONFIG => self.tiles_selected = true,
            OMC0_DC => {
                // millidegrees = (662 − adc) · 250 + 550
                let adc = 662.0 - (f64::from(self.temperature_celsius) * 1000.0 - 550.0) / 250.0;
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "clamped to ten bits"
                )]
                let adc = adc.round().clamp(0.0, 1023.0) as u64;
                self.values.insert(OMC0_DC, adc << 16);
            }
            _ => {}
        }
        Access::Value(self.value(offset))
    }

    /// One look at the power state, which lags behind what was asked.
    fn poll_power(&mut self) {
        let settled = match self.power {
            Power::FallingAsleep => 2,
            Power::WakingUp => 0,
            Power::Initial | Power::Asleep | Power::Reset | Power::Awake => return,
        };
        if self.never_settles {
            return;
        }
        if self.polls_left > 0 {
            self.polls_left -= 1;
            return;
        }
        let value = self.value(SCU_CTRL_3) & !POWER_MASK | (settled << 8);
        self.values.insert(SCU_CTRL_3, value);
        self.power = if settled == 2 {
            Power::Asleep
        } else {
            Power::Awake
        };
    }

    /// A write.
    pub fn write(
        &mut self,
        offset: u32,
        wide: bool,
        value: u64,
        violations: &mut Violations,
    ) -> (Access, Effect) {
        let Some(known) = Self::known(offset, wide, violations) else {
            return (Access::Refused, Effect::None);
        };
        if !self.core_accessible(offset, true, violations) {
            return (Access::Refused, Effect::None);
        }
        let before = self.value(offset);
        let foreign = (before ^ value) & !known.writable;
        if foreign != 0 {
            violations.add(
                Rule::Register,
                format!(
                    "{offset:#x} written {value:#x} over {before:#x}: bits {foreign:#x} are not the driver's to change"
                ),
            );
        }
        let mut effect = Effect::None;
        let mut store = value;
        match offset {
            SCU_CTRL_3 => {
                store = value & !POWER_MASK | before & POWER_MASK;
                effect = self.sleep_control(value, violations);
            }
            CREDITS => self.pulse_credits(value, violations),
            // Counts and status are the chip's: writing clears what is written as one.
            FATAL_STATUS | HIB_ERROR | HIB_FIRST_ERROR => store = 0,
            OMC0_00 => store = before,
            TILE_CONFIG => self.tiles_selected = false,
            _ if (0x40000..0x42000).contains(&offset) => self.check_tiles(offset, violations),
            _ => {}
        }
        self.values.insert(offset, store);
        (Access::Value(store), effect)
    }

    fn sleep_control(&mut self, value: u64, violations: &mut Violations) -> Effect {
        match (value & SLEEP_MASK) >> 22 {
            3 => {
                self.power = Power::FallingAsleep;
                self.polls_left = self.polls;
                self.credits_pulsed = false;
                self.run_seen_zero = false;
                self.sleeps += 1;
                // Everything in the core starts from its reset value again.
                let core: Vec<u32> = self
                    .values
                    .keys()
                    .copied()
                    .filter(|o| Self::core(*o))
                    .collect();
                for offset in core {
                    self.values.insert(offset, 0);
                }
                Effect::Slept
            }
            2 => {
                match self.power {
                    Power::Reset | Power::Awake | Power::WakingUp => {}
                    Power::Initial => violations.add(
                        Rule::BringUp,
                        "the chip is woken without having been put to sleep, so nothing was reset",
                    ),
                    Power::FallingAsleep => {
                        violations.add(Rule::Power, "the chip is woken before it was seen asleep")
                    }
                    Power::Asleep => violations.add(
                        Rule::BringUp,
                        "the chip is woken with bulk credits of before",
                    ),
                }
                if self.power != Power::Awake {
                    self.power = Power::WakingUp;
                    self.polls_left = self.polls;
                }
                Effect::None
            }
            other => {
                violations.add(Rule::Power, format!("force_sleep set to {other}"));
                Effect::None
            }
        }
    }

    fn pulse_credits(&mut self, value: u64, violations: &mut Violations) {
        match (self.power, value) {
            (Power::Asleep | Power::Reset, 0xf) => self.credits_pulsed = true,
            (Power::Asleep | Power::Reset, 0) if self.credits_pulsed => self.power = Power::Reset,
            (Power::Asleep | Power::Reset, other) => violations.add(
                Rule::BringUp,
                format!("bulk credits are cleared by writing 0xf and then 0, not {other:#x}"),
            ),
            (state, _) => violations.add(
                Rule::Power,
                format!("bulk credits written while the chip is {state:?}"),
            ),
        }
    }

    fn check_tiles(&self, offset: u32, violations: &mut Violations) {
        if !self.tiles_selected || self.value(TILE_CONFIG) != 0x7f {
            violations.add(
                Rule::BringUp,
                format!(
                    "tile register {offset:#x} written before tile selection was written 0x7f and read back"
                ),
            );
        }
    }
}
