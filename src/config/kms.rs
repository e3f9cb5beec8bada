//! The keys of `[display]` that choose and drive a monitor.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::sections::PATH_MAX;
use super::table::Table;
use crate::geometry::Size;

/// Most characters of a connector's name; the kernel's longest are about 20.
const CONNECTOR_MAX: usize = 32;

/// Most characters of a mode.
const MODE_MAX: usize = 32;

/// Pictures per second that a mode may have, thousandths.
const REFRESH_MIN_MHZ: f64 = 1_000.0;
const REFRESH_MAX_MHZ: f64 = 1_000_000.0;

/// Which monitor, how, and what of the machine goes with it. Only read with
/// [`super::DisplayChoice::Kms`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsConfig {
    /// Device of the card; `None` takes the first that has a monitor.
    pub card: Option<PathBuf>,
    /// Name of the connector, `HDMI-A-1`; `None` takes the first that has a monitor.
    pub connector: Option<String>,
    /// Mode.
    pub mode: ModeWish,
    /// Virtual terminal that is switched to graphics.
    pub vt: VtWish,
    /// Frames of cameras are drawn from the camera's memory where the driver can.
    pub import: bool,
}

impl Default for KmsConfig {
    fn default() -> Self {
        Self {
            card: None,
            connector: None,
            mode: ModeWish::Preferred,
            vt: VtWish::Auto,
            import: true,
        }
    }
}

/// Which mode a monitor is driven in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModeWish {
    /// The monitor's own choice.
    #[default]
    Preferred,
    /// This one.
    Exact {
        /// Visible pixels.
        size: Size,
        /// Pictures per second, thousandths; `None` takes the fastest.
        refresh_mhz: Option<u32>,
    },
}

/// Not a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be \"preferred\", or a size such as \"1920x1080\" or \"1920x1080@60\"")]
pub struct ParseModeError;

impl FromStr for ModeWish {
    type Err = ParseModeError;

    fn from_str(text: &str) -> Result<Self, ParseModeError> {
        if text == "preferred" {
            return Ok(Self::Preferred);
        }
        let (size, rate) = match text.split_once('@') {
            Some((size, rate)) => (size, Some(rate)),
            None => (text, None),
        };
        let size: Size = size.parse().map_err(|_ignored| ParseModeError)?;
        let rate = rate.map(refresh_mhz).transpose()?;
        Ok(Self::Exact {
            size,
            refresh_mhz: rate,
        })
    }
}

fn refresh_mhz(text: &str) -> Result<u32, ParseModeError> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let hertz: f64 = text.parse().map_err(|_ignored| ParseModeError)?;
    let rounded = (hertz * 1e3).round();
    if !plain || !(REFRESH_MIN_MHZ..=REFRESH_MAX_MHZ).contains(&rounded) {
        return Err(ParseModeError);
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the range that was just checked"
    )]
    Ok(rounded as u32)
}

impl fmt::Display for ModeWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preferred => f.write_str("preferred"),
            Self::Exact { size, refresh_mhz } => {
                write!(f, "{size}")?;
                match refresh_mhz {
                    Some(rate) => write!(f, "@{}", f64::from(*rate) / 1e3),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Which virtual terminal is switched to graphics, so that keys typed on the box reach no shell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum VtWish {
    /// The one that the program was started on, if any.
    #[default]
    Auto,
    /// None.
    Off,
    /// This one.
    Device(PathBuf),
}

impl fmt::Display for VtWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::Device(path) => path.display().fmt(f),
        }
    }
}

/// Reads the keys of `[display]` that belong to a monitor.
pub(super) fn read(table: &mut Table<'_>) -> KmsConfig {
    let default = KmsConfig::default();
    let card = table.text("card", PATH_MAX).and_then(|text| {
        let path = Path::new("/dev/dri").join(&text);
        let known = path.is_absolute() && (text.starts_with('/') || !text.contains('/'));
        if !known {
            let rule = "it must be a device such as \"/dev/dri/card0\", or its name \"card0\"";
            table.wrong("card", &format!("is \"{text}\"; {rule}"));
        }
        known.then_some(path)
    });
    let connector = table.text("connector", CONNECTOR_MAX).and_then(|text| {
        let usual = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let known = text.bytes().all(usual) && text.contains('-');
        if !known {
            let rule = "it must be a connector's name such as \"HDMI-A-1\"; andon probe lists them";
            table.wrong("connector", &format!("is \"{text}\"; {rule}"));
        }
        known.then_some(text)
    });
    let mode = table.text("mode", MODE_MAX).and_then(|text| {
        let parsed = text.parse();
        if let Err(error) = parsed {
            table.wrong("mode", &format!("is \"{text}\"; {error}"));
        }
        parsed.ok()
    });
    let vt = table
        .text("vt", PATH_MAX)
        .and_then(|text| match text.as_str() {
            "auto" => Some(VtWish::Auto),
            "off" => Some(VtWish::Off),
            path if path.starts_with("/dev/tty") => Some(VtWish::Device(PathBuf::from(path))),
            other => {
                let rule =
                    "it must be \"auto\", \"off\" or a virtual terminal such as \"/dev/tty1\"";
                table.wrong("vt", &format!("is \"{other}\"; {rule}"));
                None
            }
        });
    KmsConfig {
        card,
        connector,
        mode: mode.unwrap_or(default.mode),
        vt: vt.unwrap_or(default.vt),
        import: table.boolean("import").unwrap_or(default.import),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_and_written_alike() {
        for text in ["preferred", "1280x720", "1920x1080@60", "1920x1080@59.94"] {
            let mode: ModeWish = text.parse().expect("a mode");
            assert_eq!(mode.to_string(), text);
        }
        let exact: ModeWish = "1920x1080@59.94".parse().expect("a mode");
        let size = Size {
            width: 1920,
            height: 1080,
        };
        let refresh_mhz = Some(59_940);
        assert_eq!(exact, ModeWish::Exact { size, refresh_mhz });
    }

    #[test]
    fn what_is_no_mode_is_refused() {
        for text in [
            "",
            "auto",
            "1920",
            "1920x",
            "1920x1080@",
            "1920x1080@0",
            "1920x1080@-60",
            "1920x1080@1e1",
            "1920x1080@inf",
            "1920x1080@2000",
            "1920x1080@60Hz",
            "x1080@60",
        ] {
            assert_eq!(text.parse::<ModeWish>(), Err(ParseModeError), "{text}");
        }
    }
}
