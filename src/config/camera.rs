//! What is asked of a camera: format, size, frame rate, controls.
//!
//! Whether the camera has it is known only once it is opened; here is checked what can be without it.

use crate::geometry::Size;

use super::table::Table;

/// Most characters of a control's name, and of the name of a menu's item: the kernel's have 31.
const CONTROL_NAME_MAX: usize = 31;

/// Largest picture, each way: that of files.
const SIDE_MAX: u32 = 16_384;

/// Pixel formats that can be asked for, by their four characters, cheapest first.
pub const CAMERA_FORMATS: [[u8; 4]; 17] = [
    *b"NV12", *b"NM12", *b"YU12", *b"YM12", *b"YV12", *b"YUYV", *b"UYVY", *b"XR24", *b"AR24",
    *b"BGR4", *b"XB24", *b"AB24", *b"RGB3", *b"BGR3", *b"MJPG", *b"JPEG", *b"PJPG",
];

/// What is asked of a camera. What is not set is the camera's or the program's own choice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CameraConfig {
    /// Picture size in pixels.
    pub size: Option<Size>,
    /// Frames per second, at least.
    pub frame_rate: Option<f32>,
    /// The pixel format's four characters, one of [`CAMERA_FORMATS`].
    pub format: Option<[u8; 4]>,
    /// Exposure time in microseconds; switches automatic exposure off.
    pub exposure_us: Option<u32>,
    /// Gain in the camera's own steps; switches automatic gain off.
    pub gain: Option<i64>,
    /// Against flicker of lamps.
    pub power_line: Option<PowerLine>,
    /// Further controls by name, in the order of the file.
    pub controls: Vec<(String, ControlValue)>,
}

/// Frequency of the lamps that a camera's exposure is to go with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerLine {
    /// Nothing is done against flicker.
    Off,
    /// 50 Hz.
    Hz50,
    /// 60 Hz.
    Hz60,
    /// The camera finds out.
    Auto,
}

impl PowerLine {
    /// Every choice.
    pub const ALL: [Self; 4] = [Self::Off, Self::Hz50, Self::Hz60, Self::Auto];

    /// As in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Hz50 => "50 Hz",
            Self::Hz60 => "60 Hz",
            Self::Auto => "auto",
        }
    }
}

/// A control's value as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlValue {
    /// A whole number, or the number of a menu's item.
    Integer(i64),
    /// On or off.
    Boolean(bool),
    /// The name of a menu's item.
    Text(String),
}

impl std::fmt::Display for ControlValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Boolean(on) => on.fmt(f),
            Self::Text(text) => write!(f, "\"{text}\""),
        }
    }
}

/// A control's name as it is compared: small letters and digits, everything between them one `_`, as
/// `v4l2-ctl` shows it.
#[must_use]
pub fn control_key(name: &str) -> String {
    let mut key = String::new();
    for character in name.chars() {
        if character.is_alphanumeric() {
            key.extend(character.to_lowercase());
        } else if !key.is_empty() && !key.ends_with('_') {
            key.push('_');
        }
    }
    key.trim_end_matches('_').to_owned()
}

/// Reads the table `camera` of an input.
pub(super) fn read(mut table: Table<'_>) -> CameraConfig {
    let size = table.text("size", 16).and_then(|text| {
        let fits = |size: &Size| {
            (1..=SIDE_MAX).contains(&size.width) && (1..=SIDE_MAX).contains(&size.height)
        };
        match text.parse::<Size>() {
            Ok(size) if fits(&size) => Some(size),
            Ok(_) => {
                let rule = format!("is \"{text}\"; each side must be 1 to {SIDE_MAX} pixels");
                table.wrong("size", &rule);
                None
            }
            Err(error) => {
                table.wrong("size", &format!("is \"{text}\"; {error}"));
                None
            }
        }
    });
    let frame_rate = table.number("fps", 0.1..=1000.0, " frames per second");
    let format = table.choice("format", &CAMERA_FORMATS, format_name);
    let exposure_us = table.integer("exposure_us", 1..=10_000_000, " microseconds");
    let gain = table.integer("gain", 0..=1_000_000, "");
    let power_line = table.choice("power_line_frequency", &PowerLine::ALL, PowerLine::name);
    let controls = table.values_by_text("controls", CONTROL_NAME_MAX);
    for (index, (name, _)) in controls.iter().enumerate() {
        let key = control_key(name);
        let mut before = controls.iter().take(index);
        if before.any(|(other, _)| control_key(other) == key) {
            table.wrong("controls", &format!("has \"{key}\" twice"));
        }
    }
    table.finish();
    CameraConfig {
        size,
        frame_rate,
        format,
        exposure_us,
        gain: gain.map(i64::from),
        power_line,
        controls,
    }
}

fn format_name(format: [u8; 4]) -> &'static str {
    let found = CAMERA_FORMATS.iter().find(|known| **known == format);
    found.map_or("", |known| std::str::from_utf8(known).unwrap_or(""))
}
