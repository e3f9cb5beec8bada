//! From the configuration to the outputs and inputs of a run, and `andon outputs off`.

use std::fmt::Write as _;

use crate::config::{Config, InputSpec, OutputBackend, Pace};
use crate::message::OutputName;
use crate::output::{
    self, CharacterDevices, FieldInputs, OutputError, SimulatedOperator, SimulatedOutput,
    SwitchingOutput, Usage, survey,
};
use crate::units::StreamId;

/// The outputs and inputs of a run.
pub type Outputs = (Box<dyn SwitchingOutput>, Box<dyn FieldInputs>);

/// Opens what the configuration names; every output is inactive.
///
/// # Errors
///
/// A line cannot be had, or lines of a real machine were to be switched in a pace that is not its.
pub fn open_outputs(config: &Config, pace: Pace) -> Result<Outputs, OutputError> {
    match &config.output.backend {
        OutputBackend::Simulated {
            operator_reset_after,
        } => Ok((
            Box::new(SimulatedOutput::new()),
            Box::new(SimulatedOperator::new(*operator_reset_after)),
        )),
        OutputBackend::Gpio(_) if pace == Pace::Asap => Err(OutputError::Pace),
        OutputBackend::Gpio(gpio) => {
            if !matches!(config.worker_safety.input, InputSpec::Camera(_)) {
                log::warn!(
                    "{} is {}, not a camera, and the run permission is wired: nobody is guarded",
                    StreamId::WorkerSafety,
                    config.worker_safety.input
                );
            }
            let (output, inputs) = output::open(&CharacterDevices, gpio)?;
            Ok((Box::new(output), Box::new(inputs)))
        }
    }
}

/// The outputs in words, with their lines.
#[must_use]
pub fn describe(config: &Config) -> String {
    let gpio = match &config.output.backend {
        OutputBackend::Simulated {
            operator_reset_after: Some(after),
        } => {
            let after = after.as_millis();
            return format!(
                "outputs are simulated; a simulated operator resets {after} ms after the zones are clear"
            );
        }
        OutputBackend::Simulated {
            operator_reset_after: None,
        } => {
            let who = if config.screen_may_reset() {
                "a press at the screen resets"
            } else {
                "nobody resets"
            };
            return format!("outputs are simulated; {who}");
        }
        OutputBackend::Gpio(gpio) => gpio,
    };
    let mut text = "outputs are lines of gpiochips\n".to_owned();
    for (name, line) in [
        ("run_permission", Some(&gpio.run_permission)),
        ("warning", gpio.warning.as_ref()),
        ("reject", gpio.reject.as_ref()),
        ("fault", gpio.fault.as_ref()),
        ("heartbeat", gpio.heartbeat.as_ref()),
        ("reset", gpio.reset.as_ref()),
        ("edm", gpio.edm.as_ref()),
        ("mute", gpio.mute.as_ref()),
    ] {
        let unwired = if name == "reset" && config.screen_may_reset() {
            "not wired: a press at the screen resets"
        } else {
            "not wired"
        };
        let line = line.map_or_else(|| unwired.to_owned(), ToString::to_string);
        let _ = writeln!(text, "  {name:<16} {line}");
    }
    let (half, stable) = (
        config.output.heartbeat_half_period.as_millis(),
        gpio.debounce.as_millis(),
    );
    let _ = write!(
        text,
        "inputs count once stable for {stable} ms; the heartbeat changes every {half} ms at most"
    );
    if gpio.edm.is_some() {
        let within = gpio.edm_within.as_millis();
        let _ = write!(
            text,
            "\nthe feedback contact must follow the run permission within {within} ms"
        );
    }
    if let Some(limit) = gpio.mute_limit {
        let limit = limit.as_millis();
        let _ = write!(text, "\nmuting lasts {limit} ms at most");
    }
    text
}

/// What `andon outputs off` did.
#[derive(Debug)]
pub struct OutputsOff {
    /// What is inactive now, in words.
    pub text: String,
    /// What could not be made so.
    pub errors: Vec<OutputError>,
}

/// Drives every configured output line inactive.
#[must_use]
pub fn outputs_off(config: &Config) -> OutputsOff {
    match &config.output.backend {
        OutputBackend::Simulated { .. } => OutputsOff {
            text: "outputs are simulated; nothing is wired\n".to_owned(),
            errors: Vec::new(),
        },
        OutputBackend::Gpio(gpio) => {
            let (done, errors) = output::outputs_off(&CharacterDevices, gpio);
            let names: Vec<&str> = done.into_iter().map(OutputName::name).collect();
            let text = match names.as_slice() {
                [] => String::new(),
                names => format!("inactive: {}\n", names.join(", ")),
            };
            OutputsOff { text, errors }
        }
    }
}

/// The gpiochips of this machine with their lines, for `andon probe`.
#[must_use]
pub fn gpiochips() -> String {
    let survey = survey(&CharacterDevices);
    if survey.chips.is_empty() && survey.unreadable.is_empty() {
        return format!("{:<18} none\n", "gpiochips");
    }
    let mut text = String::new();
    for chip in &survey.chips {
        let count = chip.lines.len();
        let _ = writeln!(text, "{:<18} {chip}, {count} lines", "gpiochip");
        for (offset, line) in chip.lines.iter().enumerate() {
            let name = line.name.as_deref().unwrap_or("");
            let usage = match &line.usage {
                Usage::Free if name.is_empty() => continue,
                Usage::Free => String::new(),
                used @ Usage::Used(_) => format!("used by {used}"),
            };
            let _ = writeln!(text, "{:<18} {offset:>4}  {name:<24} {usage}", "");
        }
    }
    for error in &survey.unreadable {
        let _ = writeln!(text, "{:<18} unusable: {error}", "gpiochip");
    }
    text
}
