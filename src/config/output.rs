//! The section `[output]`: which backend, which lines, and their times.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::Restart;
use super::kiosk::ScreenResetKey;
use super::table::Table;

/// Most characters of a chip's label or a line's name: the kernel keeps 31
/// (`GPIO_MAX_NAME_SIZE` in `linux/gpio.h`).
const KERNEL_NAME_MAX: usize = 31;
/// Most characters of a chip given by path.
const PATH_MAX: usize = 255;
/// Highest line offset that is believed: the largest chips have a few hundred lines.
const OFFSET_MAX: u32 = 65_535;

/// Longest span a key in milliseconds may have: ten minutes.
const SPAN_MS_MAX: u32 = 600_000;

/// The outputs and the operator's inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputConfig {
    /// What is behind them.
    pub backend: OutputBackend,
    /// Shortest time between two edges of the heartbeat.
    pub heartbeat_half_period: Duration,
}

impl OutputConfig {
    /// Heartbeat where the file says nothing: 5 Hz, slow enough for relay contacts and
    /// optocouplers, fast enough for pulse-monitoring relays, which drop after about a second.
    pub const HEARTBEAT_HALF_PERIOD_DEFAULT: Duration = Duration::from_millis(100);

    /// Nothing wired, with the default times.
    #[must_use]
    pub const fn simulated(operator_reset_after: Option<Duration>) -> Self {
        Self {
            backend: OutputBackend::Simulated {
                operator_reset_after,
            },
            heartbeat_half_period: Self::HEARTBEAT_HALF_PERIOD_DEFAULT,
        }
    }

    /// Longest muting; `None` where no mute input is used.
    #[must_use]
    pub fn mute_limit(&self) -> Option<Duration> {
        match &self.backend {
            OutputBackend::Simulated { .. } => None,
            OutputBackend::Gpio(gpio) => gpio.mute_limit,
        }
    }
}

/// What is behind the outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputBackend {
    /// Nothing is wired: every edge is recorded in the report only.
    Simulated {
        /// A simulated operator presses reset this long after the zones became clear. For demo and
        /// tests; only this backend can have one.
        operator_reset_after: Option<Duration>,
    },
    /// Lines of gpiochip character devices.
    Gpio(Box<GpioConfig>),
}

impl OutputBackend {
    /// The words in the configuration.
    pub const NAMES: [&'static str; 2] = ["simulated", "gpio"];

    /// The word in configuration and report.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        let [simulated, gpio] = Self::NAMES;
        match self {
            Self::Simulated { .. } => simulated,
            Self::Gpio(_) => gpio,
        }
    }
}

/// Lines of gpiochip character devices, with the times of the inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpioConfig {
    /// Relay in the line's stop circuit.
    pub run_permission: LineSpec,
    /// Lamp or horn of the warn zones.
    pub warning: Option<LineSpec>,
    /// Pusher for bad parts.
    pub reject: Option<LineSpec>,
    /// Lamp or contact for faults.
    pub fault: Option<LineSpec>,
    /// Pulse-monitoring relay.
    pub heartbeat: Option<LineSpec>,
    /// Reset button.
    pub reset: Option<LineSpec>,
    /// Feedback contact (EDM): normally closed, active while the relay has dropped out.
    pub edm: Option<LineSpec>,
    /// Muting sensor.
    pub mute: Option<LineSpec>,
    /// Time in which the feedback contact follows the run permission, debouncing included.
    pub edm_within: Duration,
    /// An input counts once it was stable for this long.
    pub debounce: Duration,
    /// Longest muting; `None` where there is no mute input.
    pub mute_limit: Option<Duration>,
}

impl GpioConfig {
    /// Time for the feedback contact where the file says nothing: contactors take up to about
    /// 100 ms to drop out, longer with a diode over the coil.
    pub const EDM_WITHIN_DEFAULT: Duration = Duration::from_millis(300);
    /// Debouncing where the file says nothing: contacts bounce for a few milliseconds.
    pub const DEBOUNCE_DEFAULT: Duration = Duration::from_millis(20);
}

/// One line: where it is and which level is active.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LineSpec {
    /// The chip it belongs to.
    pub chip: ChipSpec,
    /// Which line of the chip.
    pub line: LineName,
    /// Which level is active.
    pub polarity: Polarity,
}

impl fmt::Display for LineSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            chip,
            line,
            polarity,
        } = self;
        write!(f, "{chip} {line}")?;
        match polarity {
            Polarity::ActiveHigh => Ok(()),
            Polarity::ActiveLow => f.write_str(", active low"),
        }
    }
}

/// A gpiochip.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ChipSpec {
    /// By its label, which stays the same when chips are numbered anew.
    Label(String),
    /// By its device, `/dev/gpiochipN`.
    Path(PathBuf),
}

impl fmt::Display for ChipSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => f.write_str(label),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// A line of a chip.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LineName {
    /// By the name that the device tree or the driver gave it.
    Name(String),
    /// By its position in the chip, from 0.
    Offset(u32),
}

impl fmt::Display for LineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "line \"{name}\""),
            Self::Offset(offset) => write!(f, "line {offset}"),
        }
    }
}

/// Which level of a line is active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Polarity {
    /// The high one.
    #[default]
    ActiveHigh,
    /// The low one.
    ActiveLow,
}

/// The section's lines as they are written, whatever the backend.
#[derive(Debug)]
struct Lines {
    outputs: [Option<LineSpec>; 5],
    inputs: [Option<LineSpec>; 3],
}

const OUTPUTS: [&str; 5] = ["run_permission", "warning", "reject", "fault", "heartbeat"];
const INPUTS: [&str; 3] = ["reset", "edm", "mute"];

/// Keys that only lines of a gpiochip have a use for.
const GPIO_KEYS: [&str; 5] = [
    "lines",
    "inputs",
    "edm_within_ms",
    "debounce_ms",
    "mute_limit_ms",
];

/// Reads the section.
pub(super) fn read(
    mut table: Table<'_>,
    restart: Restart,
    screen_reset: &ScreenResetKey,
) -> OutputConfig {
    let backend = table.choice("backend", &OutputBackend::NAMES, |name| name);
    let operator = millis(&mut table, "operator_reset_after_ms", 0, SPAN_MS_MAX);
    let heartbeat = millis(&mut table, "heartbeat_half_period_ms", 10, 5_000);
    let edm_within = millis(&mut table, "edm_within_ms", 20, 10_000);
    let debounce = millis(&mut table, "debounce_ms", 0, 1_000);
    let mute_limit = millis(&mut table, "mute_limit_ms", 100, SPAN_MS_MAX);
    let lines = lines(&mut table);
    let [simulated, gpio] = OutputBackend::NAMES;
    let backend = if backend == Some(gpio) {
        if table.has("operator_reset_after_ms") {
            let message = format!(
                "cannot be used with backend = \"{gpio}\": on a real machine a reset is a person's \
                 decision"
            );
            table.wrong("operator_reset_after_ms", &message);
        }
        let times = Times {
            edm_within,
            debounce,
            mute_limit,
        };
        wired(&table, lines, times, (restart, screen_reset))
    } else {
        // A backend that is misspelt is wrong enough.
        let sure = backend.is_some() || !table.has("backend");
        for key in GPIO_KEYS.into_iter().filter(|key| sure && table.has(key)) {
            let message = format!(
                "needs backend = \"{gpio}\": with \"{simulated}\" nothing would be switched"
            );
            table.wrong(key, &message);
        }
        None
    };
    table.finish();
    OutputConfig {
        backend: backend.map_or(
            OutputBackend::Simulated {
                operator_reset_after: operator,
            },
            |gpio| OutputBackend::Gpio(Box::new(gpio)),
        ),
        heartbeat_half_period: heartbeat.unwrap_or(OutputConfig::HEARTBEAT_HALF_PERIOD_DEFAULT),
    }
}

/// The keys in milliseconds that only lines have a use for.
#[derive(Clone, Copy, Debug)]
struct Times {
    edm_within: Option<Duration>,
    debounce: Option<Duration>,
    mute_limit: Option<Duration>,
}

/// The lines of backend `gpio`; `None` where something is missing, which has been noted.
fn wired(
    table: &Table<'_>,
    lines: Lines,
    times: Times,
    (restart, screen_reset): (Restart, &ScreenResetKey),
) -> Option<GpioConfig> {
    let Lines {
        outputs: [run_permission, warning, reject, fault, heartbeat],
        inputs: [reset, edm, mute],
    } = lines;
    if run_permission.is_none() && !table.has_below("lines", "run_permission") {
        let help = "write [output.lines.run_permission] with chip and line";
        table.missing("lines.run_permission", help);
    }
    let nobody_resets = restart == Restart::Manual && !screen_reset.is_asked();
    if nobody_resets && reset.is_none() && !table.has_below("inputs", "reset") {
        let help = "safety.restart is \"manual\": without a button the run permission could never \
                    come; write [output.inputs.reset] with chip and line, or display.reset = true \
                    for a button on the screen";
        table.missing("inputs.reset", help);
    }
    let edm_within = times.edm_within.unwrap_or(GpioConfig::EDM_WITHIN_DEFAULT);
    let debounce = times.debounce.unwrap_or(GpioConfig::DEBOUNCE_DEFAULT);
    if edm_within <= debounce {
        let message = format!(
            "is {}, not more than debounce_ms = {}; the contact could never follow in time",
            edm_within.as_millis(),
            debounce.as_millis()
        );
        table.wrong("edm_within_ms", &message);
    }
    if times.edm_within.is_some() && !table.has_below("inputs", "edm") {
        let message = "has no use without [output.inputs.edm]; no contact is watched";
        table.wrong("edm_within_ms", message);
    }
    match (table.has_below("inputs", "mute"), times.mute_limit) {
        (true, None) if !table.has("mute_limit_ms") => {
            let help = "a muting sensor needs a limit: write mute_limit_ms = 10000 or what it takes \
                        material to pass";
            table.missing("mute_limit_ms", help);
        }
        (false, Some(_)) => {
            table.wrong(
                "mute_limit_ms",
                "has no use without [output.inputs.mute]; nothing can be muted",
            );
        }
        (true, _) | (false, None) => {}
    }
    Some(GpioConfig {
        run_permission: run_permission?,
        warning,
        reject,
        fault,
        heartbeat,
        reset,
        edm,
        mute,
        edm_within,
        debounce,
        mute_limit: times.mute_limit,
    })
}

fn millis(table: &mut Table<'_>, key: &'static str, least: u32, most: u32) -> Option<Duration> {
    let ms = table.integer(key, least..=most, " milliseconds");
    ms.map(|ms| Duration::from_millis(u64::from(ms)))
}

/// Every line that is written; one used twice is refused. What two different texts mean is known
/// only on the machine, where opening the lines looks again.
fn lines(table: &mut Table<'_>) -> Lines {
    let mut used: Vec<(String, LineSpec)> = Vec::new();
    let mut outputs_table = table.table("lines");
    let outputs = OUTPUTS.map(|name| line(&mut outputs_table, name, &mut used));
    outputs_table.finish();
    let mut inputs_table = table.table("inputs");
    let inputs = INPUTS.map(|name| line(&mut inputs_table, name, &mut used));
    inputs_table.finish();
    Lines { outputs, inputs }
}

fn line(
    parent: &mut Table<'_>,
    name: &'static str,
    used: &mut Vec<(String, LineSpec)>,
) -> Option<LineSpec> {
    let written = parent.has(name);
    let mut table = parent.table(name);
    if !written {
        return None;
    }
    let chip = table.text("chip", PATH_MAX);
    let line = line_name(&mut table);
    let active_low = table.boolean("active_low");
    for (key, help) in [
        (
            "chip",
            "write the chip's label, or its device /dev/gpiochipN; `andon probe` lists them",
        ),
        (
            "line",
            "write the line's name in quotes, or its offset as a number; `andon probe` lists them",
        ),
    ] {
        if !table.has(key) {
            table.missing(key, help);
        }
    }
    let chip = chip.map(|text| {
        if text.starts_with('/') {
            ChipSpec::Path(text.into())
        } else {
            ChipSpec::Label(text)
        }
    });
    if let Some(ChipSpec::Label(label)) = &chip
        && label.chars().count() > KERNEL_NAME_MAX
    {
        let message = format!("is no chip's label: the kernel keeps {KERNEL_NAME_MAX} characters");
        table.wrong("chip", &message);
    }
    let polarity = match active_low {
        Some(true) => Polarity::ActiveLow,
        Some(false) | None => Polarity::ActiveHigh,
    };
    let spec = chip.zip(line).map(|(chip, line)| LineSpec {
        chip,
        line,
        polarity,
    });
    if let Some(spec) = &spec {
        let same =
            |(_, other): &&(String, LineSpec)| other.chip == spec.chip && other.line == spec.line;
        if let Some((other, _)) = used.iter().find(same) {
            let message = format!("is the line of {other} already");
            table.wrong("line", &message);
        }
        used.push((table.path(), spec.clone()));
    }
    table.finish();
    spec
}

fn line_name(table: &mut Table<'_>) -> Option<LineName> {
    if table.has_text("line") {
        return table.text("line", KERNEL_NAME_MAX).map(LineName::Name);
    }
    table
        .integer("line", 0..=OFFSET_MAX, " or a line's name in quotes")
        .map(LineName::Offset)
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
