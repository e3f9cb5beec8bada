//! What an operator can do at the monitor, and how large it is drawn: part of the section `[display]`.

use super::error::{Origin, Problems};
use super::table::Table;
use super::{Config, DisplayChoice, DisplayConfig, OutputBackend, OutputConfig, Zone};
use crate::units::{StreamId, ZoneKind};

/// How large text and buttons are against the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextScale {
    /// As the picture's size says, and larger where the monitor is small: no text that has to be read
    /// is lower than a few millimetres, no button narrower than a finger.
    #[default]
    Auto,
    /// So many hundredths of what the picture's size says.
    Percent(u16),
}

/// Which streams the camera page shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShownStreams {
    /// Both, side by side or one above the other.
    #[default]
    Both,
    /// One, as large as the picture allows.
    Only(StreamId),
}

impl ShownStreams {
    /// Every choice.
    pub const ALL: [Self; 3] = [
        Self::Both,
        Self::Only(StreamId::WorkerSafety),
        Self::Only(StreamId::VisualInspection),
    ];

    /// The word in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Only(stream) => stream.name(),
        }
    }

    /// Whether a stream is among them.
    #[must_use]
    pub fn contains(self, stream: StreamId) -> bool {
        match self {
            Self::Both => true,
            Self::Only(only) => only == stream,
        }
    }
}

/// A page of the status, beside the cameras' own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusPage {
    /// Inputs: format, rate, age, losses.
    Inputs,
    /// Models and what runs them.
    Engine,
    /// The machine: temperatures, memory, time.
    System,
    /// Frames, trips, parts.
    Counters,
    /// The last events.
    Events,
}

impl StatusPage {
    /// Every page, in the order of their buttons.
    pub const ALL: [Self; 5] = [
        Self::Inputs,
        Self::Engine,
        Self::System,
        Self::Counters,
        Self::Events,
    ];

    /// The word in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inputs => "inputs",
            Self::Engine => "engine",
            Self::System => "system",
            Self::Counters => "counters",
            Self::Events => "events",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Inputs => 1,
            Self::Engine => 2,
            Self::System => 4,
            Self::Counters => 8,
            Self::Events => 16,
        }
    }
}

/// A set of status pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSet(u8);

impl PageSet {
    /// Every page.
    pub const ALL: Self = Self(31);
    /// No page.
    pub const NONE: Self = Self(0);

    /// The set with a page more.
    #[must_use]
    pub const fn with(self, page: StatusPage) -> Self {
        Self(self.0 | page.bit())
    }

    /// Whether a page is in the set.
    #[must_use]
    pub const fn contains(self, page: StatusPage) -> bool {
        self.0 & page.bit() != 0
    }

    /// The pages, in the order of their buttons.
    pub fn iter(self) -> impl Iterator<Item = StatusPage> {
        StatusPage::ALL
            .into_iter()
            .filter(move |page| self.contains(*page))
    }
}

/// What an operator can do at the monitor, and how large it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KioskConfig {
    /// Of text and buttons.
    pub scale: TextScale,
    /// On the camera page.
    pub streams: ShownStreams,
    /// Beside the camera page.
    pub pages: PageSet,
    /// Touch screens, mice and keyboards are read.
    pub touch: bool,
    /// There is a reset button on the screen.
    pub reset: bool,
}

impl Default for KioskConfig {
    fn default() -> Self {
        Self {
            scale: TextScale::Auto,
            streams: ShownStreams::Both,
            pages: PageSet::ALL,
            touch: true,
            reset: false,
        }
    }
}

impl Config {
    /// Whether a press at the screen may reset: the configuration asks for it, the screen is a
    /// monitor that can be operated, and nothing else resets. Loading has refused everything else;
    /// this is asked once more where it counts.
    #[must_use]
    pub fn screen_may_reset(&self) -> bool {
        let alone = match &self.output.backend {
            OutputBackend::Simulated {
                operator_reset_after,
            } => operator_reset_after.is_none(),
            OutputBackend::Gpio(gpio) => gpio.reset.is_none(),
        };
        let KioskConfig { touch, reset, .. } = self.display.kiosk;
        let seen = unseen_guard(&self.display.kiosk, &self.zones).is_none();
        reset && touch && alone && seen && self.display.display == DisplayChoice::Kms
    }
}

/// A stop zone whose camera the camera page does not show, if there is one.
fn unseen_guard<'a>(kiosk: &KioskConfig, zones: &'a [Zone]) -> Option<&'a Zone> {
    let mut stops = zones.iter().filter(|zone| zone.kind == ZoneKind::Stop);
    stops.find(|zone| !kiosk.streams.contains(zone.camera))
}

/// Whether `[display]` asks for a reset button on the screen, and where it says so.
#[derive(Clone, Debug)]
pub(super) enum ScreenResetKey {
    /// `reset = true`.
    Asked(Origin),
    /// Not there, or false.
    Absent,
}

impl ScreenResetKey {
    /// Whether somebody can reset at the screen.
    pub(super) const fn is_asked(&self) -> bool {
        matches!(self, Self::Asked(_))
    }
}

/// Reads the keys out of the table of `[display]`.
pub(super) fn read(table: &mut Table<'_>) -> (KioskConfig, ScreenResetKey) {
    let default = KioskConfig::default();
    let scale = if table.has_text("scale") {
        let choice = table.choice("scale", &["auto"], |word| word);
        choice.map(|_| TextScale::Auto)
    } else {
        let factor = table.decimal("scale", 0.5..=3.0, " or \"auto\"");
        factor.map(|factor| TextScale::Percent(hundredths(factor)))
    };
    let streams = table.choice("streams", &ShownStreams::ALL, ShownStreams::name);
    let pages = table.choices("pages", &StatusPage::ALL, StatusPage::name);
    let touch = table.boolean("touch");
    let reset = table.boolean("reset");
    let key = if reset == Some(true) {
        ScreenResetKey::Asked(table.origin_of("reset"))
    } else {
        ScreenResetKey::Absent
    };
    let config = KioskConfig {
        scale: scale.unwrap_or(default.scale),
        streams: streams.unwrap_or(default.streams),
        pages: pages.map_or(default.pages, |pages| {
            pages.into_iter().fold(PageSet::NONE, PageSet::with)
        }),
        touch: touch.unwrap_or(default.touch),
        reset: reset.unwrap_or(default.reset),
    };
    (config, key)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 0.5 to 3"
)]
fn hundredths(factor: f64) -> u16 {
    (factor * 100.0).round() as u16
}

/// Two places to reset from would have to watch each other; a button that nobody sees or reaches would
/// leave the machine standing.
pub(super) fn check_reset(
    key: &ScreenResetKey,
    display: &DisplayConfig,
    output: &OutputConfig,
    problems: &Problems,
) {
    let ScreenResetKey::Asked(origin) = key else {
        return;
    };
    let wrong = |message: &str, help: &str| {
        let message = format!("display.reset is true, and {message}");
        problems.add_with_help(origin.clone(), message, help);
    };
    match &output.backend {
        OutputBackend::Gpio(gpio) if gpio.reset.is_some() => wrong(
            "a reset button is wired in output.inputs.reset; there is one place to reset from",
            "leave out one of the two; the wired button is the better one",
        ),
        OutputBackend::Simulated {
            operator_reset_after: Some(_),
        } => wrong(
            "output.operator_reset_after_ms has a simulated operator who resets",
            "leave out operator_reset_after_ms",
        ),
        OutputBackend::Gpio(_) | OutputBackend::Simulated { .. } => {}
    }
    if display.display != DisplayChoice::Kms {
        let message = format!(
            "display.display is \"{}\": nobody sees a button",
            display.display.name()
        );
        wrong(&message, "write display = \"kms\", or leave out reset");
    }
    if !display.kiosk.touch {
        wrong(
            "display.touch is false: nobody can press",
            "leave out touch = false, or reset",
        );
    }
}

/// Whoever resets sees the cameras that guard.
pub(super) fn check_sight(
    key: &ScreenResetKey,
    kiosk: &KioskConfig,
    zones: &[Zone],
    problems: &Problems,
) {
    let ScreenResetKey::Asked(origin) = key else {
        return;
    };
    if let Some(zone) = unseen_guard(kiosk, zones) {
        let message = format!(
            "display.reset is true, and display.streams is \"{}\": whoever resets does not see the stop zone \"{}\" of {}",
            kiosk.streams.name(),
            zone.name,
            zone.camera
        );
        let help = "write streams = \"both\", or leave out reset";
        problems.add_with_help(origin.clone(), message, help);
    }
}

#[cfg(test)]
#[path = "kiosk_tests.rs"]
mod tests;
