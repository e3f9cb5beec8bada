//! `[camera_checks]`: when a guarding picture is not to be believed.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::input::resolve;
use super::sections::PATH_MAX;
use super::table::Table;

/// Which checks a guarding camera has to pass; `None` is a check that is off.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraChecksConfig {
    /// The picture must change.
    pub frozen: Option<FrozenCheckConfig>,
    /// The picture must show something.
    pub covered: Option<CoveredCheckConfig>,
    /// The picture must show the same place.
    pub moved: Option<MovedCheckConfig>,
}

impl Default for CameraChecksConfig {
    fn default() -> Self {
        Self {
            frozen: Some(FrozenCheckConfig::DEFAULT),
            covered: Some(CoveredCheckConfig::DEFAULT),
            moved: Some(MovedCheckConfig::DEFAULT),
        }
    }
}

impl CameraChecksConfig {
    /// Every check off. For sources that are still on purpose, and for tests.
    pub const OFF: Self = Self {
        frozen: None,
        covered: None,
        moved: None,
    };

    /// The keys of the checks that are off.
    pub fn switched_off(&self) -> impl Iterator<Item = &'static str> {
        [
            ("frozen", self.frozen.is_none()),
            ("covered", self.covered.is_none()),
            ("moved", self.moved.is_none()),
        ]
        .into_iter()
        .filter_map(|(key, off)| off.then_some(key))
    }
}

/// When a picture counts as frozen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrozenCheckConfig {
    /// Identical pictures for longer than this.
    pub after: Duration,
}

impl FrozenCheckConfig {
    /// Where the file says nothing.
    pub const DEFAULT: Self = Self {
        after: Duration::from_millis(500),
    };
}

/// When a camera counts as covered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CoveredCheckConfig {
    /// Without texture for at least this long.
    pub after: Duration,
    /// Least contrast of a part of the picture that counts as texture, in grey levels of 0..=255.
    pub texture_min: f32,
    /// Least share of the picture with texture, 0..=1.
    pub share_min: f32,
}

impl CoveredCheckConfig {
    /// Where the file says nothing.
    pub const DEFAULT: Self = Self {
        after: Duration::from_millis(200),
        texture_min: 3.0,
        share_min: 0.1,
    };
}

/// When a camera counts as moved.
#[derive(Clone, Debug, PartialEq)]
pub struct MovedCheckConfig {
    /// Contours out of place for at least this long.
    pub after: Duration,
    /// Largest shift of a contour that is still in place, as a share of the picture's width.
    pub shift_max: f32,
    /// Least share of the reference's contours that has to be in place, 0..=1.
    pub share_min: f32,
    /// Time after the first good picture in which the reference is learnt.
    pub learn: Duration,
    /// File with the reference that `andon reference take` wrote; `None` learns one at each start.
    pub reference: Option<PathBuf>,
}

impl MovedCheckConfig {
    /// Where the file says nothing.
    pub const DEFAULT: Self = Self {
        after: Duration::from_millis(1000),
        shift_max: 0.01,
        share_min: 0.5,
        learn: Duration::from_millis(5000),
        reference: None,
    };
}

/// What the search around a contour's place can tell (`scrutiny::contour`): finer than half a cell
/// of the coarse picture is noise, and at three cells the search ends.
const SHIFTS: RangeInclusive<f64> = 0.003..=0.0125;
/// A share of nothing would never alarm, one of everything always.
const SHARES: RangeInclusive<f64> = 0.02..=0.95;
const TEXTURES: RangeInclusive<f64> = 0.5..=50.0;

/// Relative paths start at `base`.
pub(super) fn read(mut table: Table<'_>, base: &Path) -> CameraChecksConfig {
    let default = MovedCheckConfig::DEFAULT;
    let frozen = table.boolean("frozen").unwrap_or(true);
    let frozen_check = FrozenCheckConfig {
        after: span(&mut table, "frozen_after_ms", 100..=10_000)
            .unwrap_or(FrozenCheckConfig::DEFAULT.after),
    };
    let covered = table.boolean("covered").unwrap_or(true);
    let covered_check = CoveredCheckConfig {
        after: span(&mut table, "covered_after_ms", 0..=10_000)
            .unwrap_or(CoveredCheckConfig::DEFAULT.after),
        texture_min: table
            .number("texture_min", TEXTURES, " grey levels")
            .unwrap_or(CoveredCheckConfig::DEFAULT.texture_min),
        share_min: table
            .number("texture_share_min", SHARES, "")
            .unwrap_or(CoveredCheckConfig::DEFAULT.share_min),
    };
    let moved = table.boolean("moved").unwrap_or(true);
    let moved_check = MovedCheckConfig {
        after: span(&mut table, "moved_after_ms", 0..=10_000).unwrap_or(default.after),
        shift_max: table
            .number("shift_max", SHIFTS, " of the picture's width")
            .unwrap_or(default.shift_max),
        share_min: table
            .number("contour_share_min", SHARES, "")
            .unwrap_or(default.share_min),
        learn: span(&mut table, "learn_ms", 0..=60_000).unwrap_or(default.learn),
        reference: table
            .text("reference", PATH_MAX)
            .map(|path| resolve(&path, base)),
    };
    table.finish();
    CameraChecksConfig {
        frozen: frozen.then_some(frozen_check),
        covered: covered.then_some(covered_check),
        moved: moved.then_some(moved_check),
    }
}

fn span(table: &mut Table<'_>, key: &'static str, range: RangeInclusive<u32>) -> Option<Duration> {
    let ms = table.integer(key, range, " milliseconds")?;
    Some(Duration::from_millis(u64::from(ms)))
}
