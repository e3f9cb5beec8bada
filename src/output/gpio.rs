//! Outputs on GPIO lines, and taking all lines of a configuration at once.
//!
//! Polarity is applied here: active or inactive becomes high or low. Every line is requested
//! inactive. After the first failure nothing that moves is ever switched ON again: run permission,
//! heartbeat and pusher are driven inactive at once; lamps go on working as far as they can.
//!
//! When the owner is gone the kernel promises nothing about a line: most drivers leave it as it was,
//! some make it an input. The lines are driven inactive before that; wiring that de-energises to trip
//! and a relay that watches the heartbeat do the rest.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrayvec::ArrayVec;
use embedded_hal::digital::{OutputPin, PinState};

use super::board::{Board, Line, Place, Usage};
use super::find::{Survey, survey};
use super::{GpioInputs, OutputError, SwitchingOutput};
use crate::config::{GpioConfig, LineSpec, Polarity};
use crate::message::{OutputChange, OutputCommand, OutputName, OutputState};

/// Most lines of a configuration: five outputs and three inputs.
const LINES_MAX: usize = 8;

/// The ordered run permission, as the feedback contact is compared with it. Clones share it; nobody
/// waits for anybody.
#[derive(Clone, Debug, Default)]
pub(super) struct Ordered(Arc<AtomicBool>);

impl Ordered {
    pub(super) fn state(&self) -> OutputState {
        if self.0.load(Ordering::Acquire) {
            OutputState::Active
        } else {
            OutputState::Inactive
        }
    }

    pub(super) fn set(&self, state: OutputState) {
        self.0
            .store(state == OutputState::Active, Ordering::Release);
    }
}

struct DrivenLine<P> {
    name: OutputName,
    polarity: Polarity,
    state: OutputState,
    pin: P,
}

impl<P: OutputPin<Error: fmt::Display>> DrivenLine<P> {
    fn drive(&mut self, state: OutputState) -> Result<(), OutputError> {
        let name = self.name;
        self.pin
            .set_state(level(self.polarity, state))
            .map_err(|error| OutputError::drive(name, io::Error::other(error.to_string())))?;
        self.state = state;
        Ok(())
    }
}

/// Whether an output is more than a lamp. Lamps may be lit after a failure, and the fault lamp should.
const fn moves_something(output: OutputName) -> bool {
    match output {
        OutputName::RunPermission | OutputName::Reject | OutputName::Heartbeat => true,
        OutputName::Warning | OutputName::Fault => false,
    }
}

/// Which electrical level a state is.
const fn level(polarity: Polarity, state: OutputState) -> PinState {
    match (polarity, state) {
        (Polarity::ActiveHigh, OutputState::Active)
        | (Polarity::ActiveLow, OutputState::Inactive) => PinState::High,
        (Polarity::ActiveHigh, OutputState::Inactive)
        | (Polarity::ActiveLow, OutputState::Active) => PinState::Low,
    }
}

/// Outputs on GPIO lines. An output without a line is not wired: orders for it do nothing.
pub struct GpioOutput<P: OutputPin<Error: fmt::Display>> {
    /// At most one per output.
    lines: ArrayVec<DrivenLine<P>, { OutputName::ALL.len() }>,
    ordered: Ordered,
    failed: bool,
}

impl<P: OutputPin<Error: fmt::Display>> fmt::Debug for GpioOutput<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines.iter().map(|line| (line.name, line.state));
        f.debug_struct("GpioOutput")
            .field("lines", &lines.collect::<Vec<_>>())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl<P: OutputPin<Error: fmt::Display>> GpioOutput<P> {
    const fn new(ordered: Ordered) -> Self {
        Self {
            lines: ArrayVec::new_const(),
            ordered,
            failed: false,
        }
    }

    /// Drives every line inactive, whatever fails on the way; gives the failures.
    pub fn all_inactive(&mut self) -> Vec<OutputError> {
        self.ordered.set(OutputState::Inactive);
        let lines = self.lines.iter_mut();
        lines
            .filter_map(|line| line.drive(OutputState::Inactive).err())
            .collect()
    }

    fn line_mut(&mut self, output: OutputName) -> Option<&mut DrivenLine<P>> {
        self.lines.iter_mut().find(|line| line.name == output)
    }

    /// What is left to do when a line has failed. A second failure says nothing new.
    fn retreat(&mut self) {
        self.failed = true;
        self.ordered.set(OutputState::Inactive);
        for line in self.lines.iter_mut() {
            if moves_something(line.name) {
                let _ = line.drive(OutputState::Inactive);
            }
        }
    }
}

impl<P: OutputPin<Error: fmt::Display> + Send> SwitchingOutput for GpioOutput<P> {
    fn apply(&mut self, change: &OutputChange) -> Result<(), OutputError> {
        let OutputCommand { output, state } = change.command;
        if self.failed && state == OutputState::Active && moves_something(output) {
            let source = io::ErrorKind::NotConnected.into();
            return Err(OutputError::drive(output, source));
        }
        if output == OutputName::RunPermission {
            self.ordered.set(state);
        }
        let Some(line) = self.line_mut(output) else {
            return Ok(());
        };
        let driven = line.drive(state);
        if driven.is_err() {
            self.retreat();
        }
        driven
    }
}

impl<P: OutputPin<Error: fmt::Display>> Drop for GpioOutput<P> {
    fn drop(&mut self) {
        for error in self.all_inactive() {
            log::error!("{error}; the line may still be active");
        }
    }
}

/// The keys of a configuration's outputs with their lines, the run permission first.
fn output_specs(config: &GpioConfig) -> ArrayVec<(OutputName, String, &LineSpec), LINES_MAX> {
    let of = |output| match output {
        OutputName::RunPermission => Some(&config.run_permission),
        OutputName::Warning => config.warning.as_ref(),
        OutputName::Reject => config.reject.as_ref(),
        OutputName::Fault => config.fault.as_ref(),
        OutputName::Heartbeat => config.heartbeat.as_ref(),
    };
    let wired = OutputName::ALL
        .into_iter()
        .filter_map(|output| Some((output, of(output)?)));
    wired
        .map(|(output, spec)| (output, format!("output.lines.{}", output.name()), spec))
        .collect()
}

/// The keys of a configuration's inputs with their lines, in the order reset, edm, mute.
fn input_specs(config: &GpioConfig) -> [Option<(&'static str, String, &LineSpec)>; 3] {
    [
        ("reset", &config.reset),
        ("edm", &config.edm),
        ("mute", &config.mute),
    ]
    .map(|(name, spec)| {
        let spec = spec.as_ref()?;
        Some((name, format!("output.inputs.{name}"), spec))
    })
}

/// The outputs and inputs of a board.
pub type Opened<B> = (
    GpioOutput<<B as Board>::Output>,
    GpioInputs<<B as Board>::Input>,
);

/// Takes every line of `config`: outputs first, each inactive from its first moment.
///
/// All lines are looked for before the first is taken, so that a wrong configuration switches
/// nothing. Blocks for a few system calls per line of every chip; for the start only.
///
/// # Errors
///
/// The first chip or line that is not there, is meant twice, is in use or is refused. Lines taken
/// until then are inactive and given back.
pub fn open<B: Board>(board: &B, config: &GpioConfig) -> Result<Opened<B>, OutputError> {
    let survey = survey(board);
    let outputs = output_specs(config);
    let inputs = input_specs(config);
    let mut places: ArrayVec<(&str, Place<'_>), LINES_MAX> = ArrayVec::new();
    let users = outputs.iter().map(|(_, user, spec)| (user, *spec));
    for (user, spec) in users.chain(inputs.iter().flatten().map(|(_, user, spec)| (user, *spec))) {
        let place = find_free(&survey, user, spec)?;
        if let Some((other, _)) = places.iter().find(|(_, taken)| *taken == place) {
            return Err(OutputError::OneLineTwice {
                user: user.clone(),
                other: (*other).to_owned(),
                line: place.to_string(),
            });
        }
        places.push((user, place));
    }
    let ordered = Ordered::default();
    let mut output = GpioOutput::new(ordered.clone());
    for (name, user, spec) in &outputs {
        output
            .lines
            .push(take_output(board, &survey, *name, user, spec)?);
    }
    let mut pins = [None, None, None];
    for (pin, input) in pins.iter_mut().zip(&inputs) {
        if let Some((name, user, spec)) = input {
            let place = survey.find(user, spec)?;
            let taken = board.input(&place, &consumer(name));
            let taken = taken.map_err(|reason| refused(user, &place, reason))?;
            *pin = Some((spec.polarity, taken));
        }
    }
    let inputs = GpioInputs::new(pins, config.debounce, config.edm_within, ordered);
    Ok((output, inputs))
}

/// Takes every output line of `config` that can be had, drives it inactive and gives it back: for the
/// time after a crash. Gives the outputs that are inactive now, and what went wrong with the others.
pub fn outputs_off<B: Board>(
    board: &B,
    config: &GpioConfig,
) -> (Vec<OutputName>, Vec<OutputError>) {
    let survey = survey(board);
    let (mut done, mut errors) = (Vec::new(), Vec::new());
    for (name, user, spec) in &output_specs(config) {
        let taken = find_free(&survey, user, spec)
            .and_then(|_| take_output(board, &survey, *name, user, spec))
            // Requesting makes it inactive already; some drivers heed only an order.
            .and_then(|mut line| line.drive(OutputState::Inactive));
        match taken {
            Ok(()) => done.push(*name),
            Err(error) => errors.push(error),
        }
    }
    (done, errors)
}

fn take_output<B: Board>(
    board: &B,
    survey: &Survey,
    name: OutputName,
    user: &str,
    spec: &LineSpec,
) -> Result<DrivenLine<B::Output>, OutputError> {
    let place = survey.find(user, spec)?;
    let state = OutputState::Inactive;
    let pin = board
        .output(&place, level(spec.polarity, state), &consumer(name.name()))
        .map_err(|reason| refused(user, &place, reason))?;
    Ok(DrivenLine {
        name,
        polarity: spec.polarity,
        state,
        pin,
    })
}

fn find_free<'s>(
    survey: &'s Survey,
    user: &str,
    spec: &LineSpec,
) -> Result<Place<'s>, OutputError> {
    let place = survey.find(user, spec)?;
    let offset = usize::try_from(place.offset).unwrap_or(usize::MAX);
    match place.chip.lines.get(offset) {
        Some(Line {
            usage: usage @ Usage::Used(_),
            ..
        }) => Err(OutputError::Busy {
            user: user.to_owned(),
            line: place.to_string(),
            consumer: usage.to_string(),
        }),
        Some(Line {
            usage: Usage::Free, ..
        })
        | None => Ok(place),
    }
}

fn refused(user: &str, place: &Place<'_>, reason: String) -> OutputError {
    OutputError::Request {
        user: user.to_owned(),
        line: place.to_string(),
        reason,
    }
}

/// What the kernel shows as the user of a line.
fn consumer(name: &str) -> String {
    format!("andon {name}")
}

#[cfg(test)]
#[path = "gpio_tests.rs"]
mod tests;
