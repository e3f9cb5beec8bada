//! The board of a real machine: gpiochip character devices through the crate `gpiocdev`.
//!
//! Version 2 of the kernel's line ABI (`linux/gpio.h`), which every kernel since 5.10 has. Version 1
//! is left out of current ones (`CONFIG_GPIO_CDEV_V1` is off in Debian's since 7.2), so a crate that
//! speaks only that, such as `linux-embedded-hal`, switches nothing there. Lines are requested without
//! the kernel's active-low flag: levels are electrical here, so that polarity is applied in one place
//! only.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use embedded_hal::digital::{self, ErrorKind, ErrorType, InputPin, OutputPin, PinState};
use gpiocdev::line::Value;
use gpiocdev::request::Builder;

use super::OutputError;
use super::board::{Board, Chip, Line, Place, Usage};

/// Where the kernel puts character devices.
const DEVICES: &str = "/dev";
const PREFIX: &str = "gpiochip";

/// The gpiochips of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct CharacterDevices;

/// A line of a gpiochip, held until it is dropped.
#[derive(Debug)]
pub struct CdevPin(gpiocdev::Request);

/// What the kernel said to reading or driving a line.
#[derive(Debug)]
pub struct PinError(gpiocdev::Error);

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl digital::Error for PinError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl ErrorType for CdevPin {
    type Error = PinError;
}

impl OutputPin for CdevPin {
    fn set_low(&mut self) -> Result<(), PinError> {
        self.0.set_lone_value(Value::Inactive).map_err(PinError)
    }

    fn set_high(&mut self) -> Result<(), PinError> {
        self.0.set_lone_value(Value::Active).map_err(PinError)
    }
}

impl InputPin for CdevPin {
    fn is_high(&mut self) -> Result<bool, PinError> {
        let value = self.0.lone_value().map_err(PinError)?;
        Ok(value == Value::Active)
    }

    fn is_low(&mut self) -> Result<bool, PinError> {
        self.is_high().map(|high| !high)
    }
}

impl Board for CharacterDevices {
    type Output = CdevPin;
    type Input = CdevPin;

    fn devices(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(DEVICES).into_iter().flatten();
        let mut found: Vec<(u32, PathBuf)> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| {
                let number = entry.file_name().to_str()?.strip_prefix(PREFIX)?.parse();
                Some((number.ok()?, entry.path()))
            })
            .collect();
        found.sort();
        found.into_iter().map(|(_, path)| path).collect()
    }

    fn chip(&self, path: &Path) -> Result<Chip, OutputError> {
        let failed = |error: gpiocdev::Error| chip_error(path, &error);
        let chip = gpiocdev::Chip::from_path(path).map_err(failed)?;
        let info = chip.info().map_err(failed)?;
        let lines = (0..info.num_lines).map(|offset| {
            let line = chip.line_info(offset)?;
            Ok(Line {
                name: not_empty(line.name),
                usage: if line.used {
                    Usage::Used(not_empty(line.consumer))
                } else {
                    Usage::Free
                },
            })
        });
        Ok(Chip {
            path: path.to_owned(),
            name: info.name,
            label: info.label,
            lines: lines.collect::<Result<_, _>>().map_err(failed)?,
        })
    }

    fn output(
        &self,
        place: &Place<'_>,
        level: PinState,
        consumer: &str,
    ) -> Result<CdevPin, String> {
        // Without the active-low flag "active" is the kernel's word for high.
        let value = match level {
            PinState::Low => Value::Inactive,
            PinState::High => Value::Active,
        };
        request(place, consumer, |line| line.as_output(value))
    }

    fn input(&self, place: &Place<'_>, consumer: &str) -> Result<CdevPin, String> {
        request(place, consumer, Builder::as_input)
    }
}

fn not_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn request(
    place: &Place<'_>,
    consumer: &str,
    direction: impl FnOnce(&mut Builder) -> &mut Builder,
) -> Result<CdevPin, String> {
    let said = |error: gpiocdev::Error| error.to_string();
    let chip = gpiocdev::Chip::from_path(&place.chip.path).map_err(said)?;
    let label = chip.info().map_err(said)?.label;
    if label != place.chip.label {
        let path = place.chip.path.display();
        return Err(format!("{path} has just become another chip, [{label}]"));
    }
    let mut line = gpiocdev::Request::builder();
    line.on_chip(&place.chip.path)
        .with_consumer(consumer)
        .with_line(place.offset);
    direction(&mut line).request().map(CdevPin).map_err(said)
}

fn chip_error(path: &Path, error: &gpiocdev::Error) -> OutputError {
    let path = path.to_owned();
    if let gpiocdev::Error::Os(number) = error
        && io::Error::from_raw_os_error(number.0).kind() == io::ErrorKind::PermissionDenied
    {
        let source = io::ErrorKind::PermissionDenied.into();
        return OutputError::NotPermitted { path, source };
    }
    OutputError::Chip {
        path,
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::print_stdout, reason = "says why it was skipped")]

    use super::*;

    #[test]
    fn every_chip_of_this_machine_can_be_looked_at() {
        let devices = CharacterDevices.devices();
        if devices.is_empty() {
            println!("skipped: this machine has no {DEVICES}/{PREFIX}N");
            return;
        }
        for path in devices {
            match CharacterDevices.chip(&path) {
                Ok(chip) => assert!(!chip.name.is_empty(), "{chip}"),
                Err(OutputError::NotPermitted { path, .. }) => {
                    println!("skipped: may not open {}", path.display());
                }
                Err(other) => panic!("{other}"),
            }
        }
    }

    #[test]
    fn a_device_that_is_not_there_or_no_chip_is_named() {
        for path in ["/dev/gpiochip-none", "/dev/null"] {
            let error = CharacterDevices.chip(Path::new(path)).unwrap_err();
            assert!(matches!(error, OutputError::Chip { .. }), "{error:?}");
            assert!(error.to_string().contains(path), "{error}");
        }
    }
}
