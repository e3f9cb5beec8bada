//! Units and identifiers, one type each, so that a millisecond is never a score.
//!
//! Imports nothing of ours. Pure; usable from every thread.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// An instant on the pipeline's decision clock, as time since an arbitrary epoch.
///
/// With cameras, and with files paced in real time, the clock is `CLOCK_MONOTONIC`. With files
/// processed as fast as possible it is the media time of the frames, which makes every decision
/// reproducible. Instants of the two are never mixed within a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonotonicTime(Duration);

impl MonotonicTime {
    /// The clock's epoch.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// The instant `since_epoch` after the clock's epoch.
    #[must_use]
    pub const fn from_duration(since_epoch: Duration) -> Self {
        Self(since_epoch)
    }

    /// Time since the clock's epoch.
    #[must_use]
    pub const fn since_epoch(self) -> Duration {
        self.0
    }

    /// Time from `earlier` to `self`; zero where `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Time from `earlier` to `self`; `None` where `earlier` is later, which is how a clock that
    /// ran backwards shows itself.
    #[must_use]
    pub const fn checked_since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0)
    }
}

impl Add<Duration> for MonotonicTime {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

impl Sub<Duration> for MonotonicTime {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span))
    }
}

/// A confidence between 0 and 1, never NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Score(f32);

impl Score {
    /// No confidence at all.
    pub const ZERO: Self = Self(0.0);
    /// Certainty.
    pub const ONE: Self = Self(1.0);

    /// Takes a number between 0 and 1; `None` for NaN and everything outside.
    #[must_use]
    pub fn new(value: f32) -> Option<Self> {
        (0.0..=1.0).contains(&value).then_some(Self(value))
    }

    /// A score written in the source: `Score::percent(40)`. Above 100 is 100.
    #[must_use]
    pub const fn percent(value: u8) -> Self {
        let value = if value > 100 { 100 } else { value };
        Self(value as f32 / 100.0)
    }

    /// How far outside 0..=1 rounding puts a score: two steps of 1/256, the scale of a quantised one.
    const ROUNDING: f32 = 2.0 / 256.0;

    /// Takes what a dequantised tensor holds: rounding may put it a hair outside 0..=1, which is
    /// clamped. `None` for everything else, which no healthy model puts out: numbers that are no
    /// scores say nothing, least of all that nobody is there.
    #[must_use]
    pub fn from_model(value: f32) -> Option<Self> {
        (-Self::ROUNDING..=1.0 + Self::ROUNDING)
            .contains(&value)
            .then(|| Self(value.clamp(0.0, 1.0)))
    }

    /// The number, 0..=1.
    #[must_use]
    pub const fn get(self) -> f32 {
        self.0
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.0)
    }
}

/// A length on the floor in metres. Shown with one decimal, as far as a floor is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Metres(pub f32);

impl Metres {
    /// No length.
    pub const ZERO: Self = Self(0.0);
}

impl fmt::Display for Metres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.*} m", f.precision().unwrap_or(1), self.0)
    }
}

/// An area of the floor in square metres.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct SquareMetres(pub f32);

impl fmt::Display for SquareMetres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.*} m\u{b2}", f.precision().unwrap_or(2), self.0)
    }
}

/// A length in whole millimetres, as the terms of a minimum distance are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millimetres(pub u32);

impl Millimetres {
    /// The same length in metres.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "exact in f64; lengths on a floor keep a tenth of a millimetre as f32"
    )]
    pub fn to_metres(self) -> Metres {
        Metres((f64::from(self.0) / 1000.0) as f32)
    }
}

impl fmt::Display for Millimetres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} mm", self.0)
    }
}

/// A speed in whole millimetres per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MillimetresPerSecond(pub u32);

impl fmt::Display for MillimetresPerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} mm/s", self.0)
    }
}

/// The two jobs, each with one frame source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamId {
    /// People against keepout zones.
    WorkerSafety,
    /// Parts on a conveyor.
    VisualInspection,
}

impl StreamId {
    /// Both streams, the safety stream first: the order in which ties are served.
    pub const ALL: [Self; 2] = [Self::WorkerSafety, Self::VisualInspection];

    /// Position in [`StreamId::ALL`], for arrays with one entry per stream.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::WorkerSafety => 0,
            Self::VisualInspection => 1,
        }
    }

    /// The name used in configuration, report and log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WorkerSafety => "worker_safety",
            Self::VisualInspection => "visual_inspection",
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A class of a model's label file: `person`, `apple`, `fresh_apple`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelId(pub u16);

/// What a zone does when somebody is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ZoneKind {
    /// Shows and logs, never touches the run permission.
    Warn,
    /// Takes the run permission away.
    Stop,
}

impl ZoneKind {
    /// The word in configuration and report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Stop => "stop",
        }
    }
}

/// Position of a zone in the configuration's list of zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneIndex(pub u8);

/// Most zones in a configuration.
pub const ZONES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_never_nan_and_never_outside() {
        for bad in [f32::NAN, -0.01, 1.01, f32::INFINITY] {
            assert_eq!(Score::new(bad), None, "{bad}");
        }
        assert_eq!(Score::from_model(1.003_9), Some(Score::ONE));
        assert_eq!(Score::from_model(-0.003_9), Some(Score::ZERO));
        // Raw logits, for one.
        for no_score in [-3.2, -0.5, -0.01, 1.01, 1.5, 255.0] {
            assert_eq!(Score::from_model(no_score), None, "{no_score}");
        }
        assert_eq!(Score::from_model(f32::NAN), None);
        assert_eq!(Score::from_model(f32::NEG_INFINITY), None);
    }

    #[test]
    fn time_running_backwards_is_seen() {
        let late = MonotonicTime::from_duration(Duration::from_millis(5));
        assert_eq!(MonotonicTime::ZERO.checked_since(late), None);
        assert_eq!(MonotonicTime::ZERO.saturating_since(late), Duration::ZERO);
    }
}
