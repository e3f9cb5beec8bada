//! The board of a real machine: gpiochip character devices through `linux-embedded-hal`.
//!
//! The crate speaks version 1 of the kernel's line ABI (`linux/gpio.h`), which needs
//! `CONFIG_GPIO_CDEV_V1` (on by default). Lines are requested without the kernel's active-low flag:
//! levels are electrical here, so that polarity is applied in one place only.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};

use embedded_hal::digital::PinState;
use linux_embedded_hal::CdevPin;
use linux_embedded_hal::gpio_cdev::{self, LineRequestFlags};

use super::OutputError;
use super::board::{Board, Chip, Line, Place, Usage};

/// Where the kernel puts character devices.
const DEVICES: &str = "/dev";
const PREFIX: &str = "gpiochip";

/// The gpiochips of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct CharacterDevices;

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
        let failed = |error: gpio_cdev::Error| chip_error(path, &error);
        let chip = gpio_cdev::Chip::new(path).map_err(failed)?;
        let lines = chip.lines().map(|line| {
            let info = line.info()?;
            Ok(Line {
                name: info.name().map(str::to_owned),
                // The kernel's flag has an old name: it is set for every line that somebody has.
                usage: if info.is_kernel() {
                    Usage::Used(info.consumer().map(str::to_owned))
                } else {
                    Usage::Free
                },
            })
        });
        Ok(Chip {
            path: path.to_owned(),
            name: chip.name().to_owned(),
            label: chip.label().to_owned(),
            lines: lines.collect::<Result<_, _>>().map_err(failed)?,
        })
    }

    fn output(
        &self,
        place: &Place<'_>,
        level: PinState,
        consumer: &str,
    ) -> Result<CdevPin, String> {
        let value = match level {
            PinState::Low => 0,
            PinState::High => 1,
        };
        request(place, LineRequestFlags::OUTPUT, value, consumer)
    }

    fn input(&self, place: &Place<'_>, consumer: &str) -> Result<CdevPin, String> {
        request(place, LineRequestFlags::INPUT, 0, consumer)
    }
}

fn request(
    place: &Place<'_>,
    flags: LineRequestFlags,
    value: u8,
    consumer: &str,
) -> Result<CdevPin, String> {
    let said = |error: gpio_cdev::Error| error.to_string();
    let mut chip = gpio_cdev::Chip::new(&place.chip.path).map_err(said)?;
    if chip.label() != place.chip.label {
        let (label, path) = (chip.label(), place.chip.path.display());
        return Err(format!("{path} has just become another chip, [{label}]"));
    }
    let line = chip.get_line(place.offset).map_err(said)?;
    let handle = line.request(flags, value, consumer).map_err(said)?;
    CdevPin::new(handle).map_err(said)
}

fn chip_error(path: &Path, error: &gpio_cdev::Error) -> OutputError {
    let kind = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>())
        .map(io::Error::kind);
    let path = path.to_owned();
    if kind == Some(io::ErrorKind::PermissionDenied) {
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
