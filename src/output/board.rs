//! What the kernel offers: chips with their lines, and how a line is had. Behind a trait, so that
//! everything above is tested against a board that exists in memory only.

use std::fmt;
use std::path::{Path, PathBuf};

use embedded_hal::digital::{InputPin, OutputPin, PinState};

use super::OutputError;

/// A gpiochip as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chip {
    /// Its device.
    pub path: PathBuf,
    /// The kernel's name, `gpiochip0`: one chip may have several devices (links), but one name.
    pub name: String,
    /// Its label, which stays the same when chips are numbered anew; may be empty.
    pub label: String,
    /// Its lines, by offset.
    pub lines: Vec<Line>,
}

impl fmt::Display for Chip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.path.display(), self.label)
    }
}

/// A line as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Its name, where it has one.
    pub name: Option<String>,
    /// Who uses it.
    pub usage: Usage,
}

/// Who uses a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Usage {
    /// Nobody.
    #[default]
    Free,
    /// A program or a driver, with the consumer label that it gave.
    Used(Option<String>),
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Free => f.write_str("nobody"),
            Self::Used(Some(consumer)) => write!(f, "\"{consumer}\""),
            Self::Used(None) => f.write_str("somebody without a name"),
        }
    }
}

/// A place for one line on a board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The chip.
    pub chip: &'a Chip,
    /// Position in the chip, from 0.
    pub offset: u32,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chip, offset } = self;
        write!(f, "line {offset}")?;
        let line = usize::try_from(*offset)
            .ok()
            .and_then(|n| chip.lines.get(n));
        if let Some(name) = line.and_then(|line| line.name.as_ref()) {
            write!(f, " (\"{name}\")")?;
        }
        write!(f, " of {chip}")
    }
}

/// A machine's gpiochips. Levels here are electrical (embedded-hal's high and low); which of them is
/// active is nobody's business below [`GpioOutput`](super::GpioOutput) and
/// [`GpioInputs`](super::GpioInputs).
pub trait Board {
    /// A line requested as an output.
    type Output: OutputPin<Error: fmt::Display> + Send + 'static;
    /// A line requested as an input.
    type Input: InputPin<Error: fmt::Display> + Send + 'static;

    /// Devices of the chips there are, in the order of their numbers.
    fn devices(&self) -> Vec<PathBuf>;

    /// Looks at a chip: its label and all its lines.
    ///
    /// # Errors
    ///
    /// There is no such device, it is no gpiochip, or it may not be opened.
    fn chip(&self, path: &Path) -> Result<Chip, OutputError>;

    /// Takes a line as an output that has `level` from the first moment.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    fn output(
        &self,
        place: &Place<'_>,
        level: PinState,
        consumer: &str,
    ) -> Result<Self::Output, String>;

    /// Takes a line as an input.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    fn input(&self, place: &Place<'_>, consumer: &str) -> Result<Self::Input, String>;
}
