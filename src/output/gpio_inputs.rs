//! Buttons and contacts on GPIO lines: polarity, debouncing, and the feedback contact compared with
//! the run permission. What a press or a muting edge means is the decision's business.

use std::fmt;
use std::io;
use std::time::Duration;

use embedded_hal::digital::InputPin;

use super::debounce::Debounce;
use super::edm::Edm;
use super::gpio::Ordered;
use super::{FieldInputs, OutputError};
use crate::config::Polarity;
use crate::message::{Feedback, FieldLevels, InputState, ResetPrompt};
use crate::units::MonotonicTime;

struct ReadLine<P> {
    name: &'static str,
    polarity: Polarity,
    debounce: Debounce,
    pin: P,
}

impl<P: InputPin<Error: fmt::Display>> ReadLine<P> {
    fn read(&mut self, now: MonotonicTime) -> Result<InputState, OutputError> {
        let name = self.name;
        let high = self.pin.is_high().map_err(|error| OutputError::Read {
            name,
            source: io::Error::other(error.to_string()),
        })?;
        let raw = match (self.polarity, high) {
            (Polarity::ActiveHigh, true) | (Polarity::ActiveLow, false) => InputState::Active,
            (Polarity::ActiveHigh, false) | (Polarity::ActiveLow, true) => InputState::Inactive,
        };
        Ok(self.debounce.observe(raw, now))
    }
}

/// Inputs on GPIO lines. An input without a line is not wired: nobody presses, nothing mutes, and
/// the feedback agrees.
pub struct GpioInputs<P> {
    reset: Option<ReadLine<P>>,
    edm: Option<ReadLine<P>>,
    mute: Option<ReadLine<P>>,
    monitor: Edm,
    ordered: Ordered,
    /// The line that could not be read once: nothing is read any more.
    failed: Option<&'static str>,
}

impl<P> fmt::Debug for GpioInputs<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = [&self.reset, &self.edm, &self.mute];
        let wired = lines.into_iter().flatten().map(|line| line.name);
        f.debug_struct("GpioInputs")
            .field("wired", &wired.collect::<Vec<_>>())
            .field("monitor", &self.monitor)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl<P: InputPin<Error: fmt::Display>> GpioInputs<P> {
    /// Pins in the order reset, edm, mute, each with its polarity. Before a level was stable once,
    /// it is what proves nothing: a button held down, a sensor that was active before, a relay that
    /// has not dropped out.
    pub(super) fn new(
        pins: [Option<(Polarity, P)>; 3],
        debounce: Duration,
        edm_within: Duration,
        ordered: Ordered,
    ) -> Self {
        let [reset, edm, mute] = pins;
        let line = |name, pin: Option<(Polarity, P)>, unproven| {
            pin.map(|(polarity, pin)| ReadLine {
                name,
                polarity,
                debounce: Debounce::new(debounce, unproven),
                pin,
            })
        };
        Self {
            reset: line("reset", reset, InputState::Active),
            edm: line("edm", edm, InputState::Inactive),
            mute: line("mute", mute, InputState::Active),
            monitor: Edm::new(edm_within),
            ordered,
            failed: None,
        }
    }

    fn levels(&mut self, now: MonotonicTime) -> Result<FieldLevels, OutputError> {
        let mut levels = FieldLevels::default();
        if let Some(line) = &mut self.reset {
            levels.reset = line.read(now)?;
        }
        if let Some(line) = &mut self.mute {
            levels.mute = line.read(now)?;
        }
        levels.feedback = match &mut self.edm {
            Some(line) => {
                let contact = line.read(now)?;
                self.monitor.observe(self.ordered.state(), contact, now)
            }
            None => Feedback::Agrees,
        };
        Ok(levels)
    }
}

impl<P: InputPin<Error: fmt::Display> + Send> FieldInputs for GpioInputs<P> {
    fn read(
        &mut self,
        now: MonotonicTime,
        _prompt: ResetPrompt,
    ) -> Result<FieldLevels, OutputError> {
        if let Some(name) = self.failed {
            let source = io::ErrorKind::NotConnected.into();
            return Err(OutputError::Read { name, source });
        }
        let levels = self.levels(now);
        if let Err(OutputError::Read { name, .. }) = &levels {
            self.failed = Some(name);
        }
        levels
    }
}
