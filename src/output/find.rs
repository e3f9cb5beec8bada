//! From what the configuration says to a line of a chip, or to words that say what there is instead.

use std::path::Path;

use super::OutputError;
use super::board::{Board, Chip, Place};
use crate::config::{ChipSpec, LineName, LineSpec};

/// Most lines or chips that a message lists.
const LISTED_MAX: usize = 40;

/// Every chip that can be looked at, each once, and why the others cannot.
#[derive(Debug, Default)]
pub struct Survey {
    /// In the order of their devices.
    pub chips: Vec<Chip>,
    /// What could not be looked at.
    pub unreadable: Vec<OutputError>,
}

/// Looks at every chip of a board.
pub fn survey<B: Board>(board: &B) -> Survey {
    let mut survey = Survey::default();
    for path in board.devices() {
        match board.chip(&path) {
            // A link beside the device is the same chip.
            Ok(chip) if survey.chips.iter().any(|other| other.name == chip.name) => {}
            Ok(chip) => survey.chips.push(chip),
            Err(error) => survey.unreadable.push(error),
        }
    }
    survey
}

impl Survey {
    /// The line that `spec` means; `user` is its key, for the message.
    ///
    /// # Errors
    ///
    /// Chip or line are not there, or more than one is meant.
    pub fn find(&self, user: &str, spec: &LineSpec) -> Result<Place<'_>, OutputError> {
        let chip = self.chip(user, &spec.chip)?;
        let offset = match &spec.line {
            LineName::Name(name) => named(user, chip, name)?,
            LineName::Offset(offset) => at(user, chip, *offset)?,
        };
        Ok(Place { chip, offset })
    }

    fn chip(&self, user: &str, spec: &ChipSpec) -> Result<&Chip, OutputError> {
        let found: Vec<&Chip> = match spec {
            ChipSpec::Label(label) => {
                let labelled = self.chips.iter().filter(|chip| chip.label == *label);
                labelled.collect()
            }
            ChipSpec::Path(path) => {
                let path = real(path);
                let chips = self.chips.iter();
                chips.filter(|chip| real(&chip.path) == path).collect()
            }
        };
        match found.as_slice() {
            [chip] => Ok(chip),
            [] => Err(OutputError::NoChip {
                user: user.to_owned(),
                wanted: spec.to_string(),
                present: self.present(),
            }),
            several => Err(OutputError::AmbiguousChip {
                user: user.to_owned(),
                label: spec.to_string(),
                paths: list(several.iter().map(|chip| chip.path.display().to_string())),
            }),
        }
    }

    /// What there is, in words.
    fn present(&self) -> String {
        let mut text = match self.chips.as_slice() {
            [] => "this machine shows none".to_owned(),
            chips => format!("there are {}", list(chips.iter().map(ToString::to_string))),
        };
        for error in &self.unreadable {
            text.push_str("; ");
            text.push_str(&error.to_string());
        }
        text
    }
}

fn real(path: &Path) -> std::path::PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn at(user: &str, chip: &Chip, offset: u32) -> Result<u32, OutputError> {
    let there = usize::try_from(offset).is_ok_and(|offset| offset < chip.lines.len());
    there.then_some(offset).ok_or_else(|| OutputError::NoLine {
        user: user.to_owned(),
        chip: chip.to_string(),
        wanted: format!("line {offset}"),
        present: format!("it has {}, counted from 0", chip.lines.len()),
    })
}

fn named(user: &str, chip: &Chip, name: &str) -> Result<u32, OutputError> {
    let lines = || (0_u32..).zip(&chip.lines);
    let found: Vec<u32> = lines()
        .filter(|(_, line)| line.name.as_deref() == Some(name))
        .map(|(offset, _)| offset)
        .collect();
    match found.as_slice() {
        [offset] => Ok(*offset),
        [] => {
            let names: Vec<String> = lines().filter_map(|(_, line)| line.name.clone()).collect();
            let present = match names.as_slice() {
                [] => format!(
                    "its {} lines have no names, use an offset",
                    chip.lines.len()
                ),
                names => format!("its lines are {}", list(names.iter().cloned())),
            };
            Err(OutputError::NoLine {
                user: user.to_owned(),
                chip: chip.to_string(),
                wanted: format!("line \"{name}\""),
                present,
            })
        }
        several => Err(OutputError::AmbiguousLine {
            user: user.to_owned(),
            chip: chip.to_string(),
            wanted: name.to_owned(),
            offsets: list(several.iter().map(ToString::to_string)),
        }),
    }
}

/// `a, b and c`, or the first of very many and how many more.
fn list(all: impl Iterator<Item = String>) -> String {
    let mut all: Vec<String> = all.collect();
    let more = all.len().saturating_sub(LISTED_MAX);
    all.truncate(LISTED_MAX);
    let mut text = all.join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
