//! Is the picture itself to be believed? Frozen, covered and moved cameras. Pure: no clock, no I/O.
//!
//! A detector that finds nobody in a picture of yesterday, of a lens cap or of the wrong place is
//! right and useless. [`Scrutiny`] is fed every frame of a guarding stream before inference and says
//! what is wrong with it; the decision then takes the frame as occupied. The rooms:
//!
//! | room | question |
//! |---|---|
//! | `frozen` | is this picture new? |
//! | `texture` | does it show anything at all? |
//! | `contour` | does the camera look where it looked when the reference was taken? |
//! | `map` | the picture on a coarse grid, for the last two |
//!
//! Owned by the infer thread. Allocates on construction only.
//!
//! What it cannot see: a cycle of more than eight pictures that is played again and again; a camera
//! moved by less than `shift_max`; a change of the scene in an area without contours; and, with the
//! reference learnt at start, whatever was moved before the start.

mod contour;
mod frozen;
mod map;
mod reference;
mod texture;

use std::time::Duration;

use crate::config::{CameraChecksConfig, CoveredCheckConfig};
use crate::frame::Frame;
use crate::message::PictureDoubt;
use crate::units::MonotonicTime;

use contour::{ContourCheck, Contours, Tolerance};
use frozen::FrozenCheck;
use map::LumaMap;
use texture::TextureMeter;

pub use reference::{ReferenceError, ReferencePicture};

/// What was measured in the last picture, for logs and for choosing thresholds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measures {
    /// Time without a new picture.
    pub frozen_for: Duration,
    /// Share of the picture that shows texture, 0..=1.
    pub textured_share: f32,
    /// Blocks of the picture with contours to hold the camera's place against; at most 63.
    pub contours: usize,
    /// Share of them that are in place, 0..=1; 0 without a reference.
    pub in_place_share: f32,
}

/// Where the reference stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Learning {
    /// No two pictures in a row yet that agree and have enough contours.
    Waiting,
    /// Since this moment.
    Since(MonotonicTime),
    /// Done; the reference stays as it is.
    Done,
}

/// Watches one camera.
#[derive(Clone, Debug)]
pub struct Scrutiny {
    config: CameraChecksConfig,
    map: LumaMap,
    frozen: FrozenCheck,
    texture: TextureMeter,
    contour: ContourCheck,
    learning: Learning,
    covered: Dwell,
    moved: Dwell,
    measures: Measures,
}

impl Scrutiny {
    /// Knows nothing; learns its reference from the first pictures.
    #[must_use]
    pub fn new(config: CameraChecksConfig) -> Self {
        Self {
            config,
            map: LumaMap::new(),
            frozen: FrozenCheck::default(),
            texture: TextureMeter::new(),
            contour: ContourCheck::new(),
            learning: Learning::Waiting,
            covered: Dwell::default(),
            moved: Dwell::default(),
            measures: Measures::default(),
        }
    }

    /// Holds the camera against a reference that was kept.
    #[must_use]
    pub fn with_reference(config: CameraChecksConfig, reference: &ReferencePicture) -> Self {
        let mut scrutiny = Self::new(config);
        scrutiny.contour.begin(reference.luma());
        scrutiny.learning = Learning::Done;
        scrutiny
    }

    /// The reference, once it is complete. Allocates.
    #[must_use]
    pub fn reference(&self) -> Option<ReferencePicture> {
        let luma = self.contour.background();
        match self.learning {
            Learning::Waiting | Learning::Since(_) => None,
            Learning::Done => {
                let (width, height) = (ReferencePicture::WIDTH, ReferencePicture::HEIGHT);
                ReferencePicture::new(width, height, luma).ok()
            }
        }
    }

    /// Takes other thresholds; the reference stays.
    pub fn reconfigure(&mut self, config: CameraChecksConfig) {
        self.config = config;
    }

    /// What is wrong with this picture, if anything. Of several things the first of: covered,
    /// frozen, moved.
    pub fn observe(&mut self, frame: &Frame) -> Option<PictureDoubt> {
        let captured = frame.meta.timestamp;
        let frozen = self.is_frozen(frame, captured);
        let looks = self.config.covered.is_some() || self.config.moved.is_some();
        if looks {
            self.map.fill(frame);
        }
        let bare = self.is_bare();
        let contours = self.hold_against_reference(frame, captured, bare);
        let lost = self.lost(contours);
        let flat = lost == Some(Loss::Flat);
        let covered = self
            .config
            .covered
            .is_some_and(|check| self.covered.holds(bare || flat, captured, check.after));
        let moved = self
            .config
            .moved
            .as_ref()
            // However they were lost: a loss that changes its kind is no less a loss.
            .is_some_and(|check| self.moved.holds(lost.is_some(), captured, check.after));
        if covered {
            Some(PictureDoubt::Covered)
        } else if frozen {
            Some(PictureDoubt::Frozen)
        } else if moved {
            Some(PictureDoubt::Moved)
        } else {
            None
        }
    }

    /// What was measured in the last picture.
    #[must_use]
    pub const fn measures(&self) -> Measures {
        self.measures
    }

    fn is_frozen(&mut self, frame: &Frame, captured: MonotonicTime) -> bool {
        let Some(check) = &self.config.frozen else {
            return false;
        };
        self.measures.frozen_for = self.frozen.observe(frame, captured);
        self.measures.frozen_for > check.after
    }

    /// Whether the picture shows next to nothing.
    fn is_bare(&mut self) -> bool {
        // Without the check the defaults still keep the reference from being learnt from a lens cap.
        let check = self.config.covered.unwrap_or(CoveredCheckConfig::DEFAULT);
        if self.config.covered.is_none() && self.config.moved.is_none() {
            return false;
        }
        let share = self.texture.textured_share(&self.map, check.texture_min);
        self.measures.textured_share = share;
        share < check.share_min
    }

    /// Learns the reference where it is not complete, and looks for its contours.
    fn hold_against_reference(
        &mut self,
        frame: &Frame,
        captured: MonotonicTime,
        bare: bool,
    ) -> Contours {
        let Some(check) = &self.config.moved else {
            return Contours::default();
        };
        let tolerance = Tolerance::new(check.shift_max, frame.size());
        let contours = self.contour.compare(&self.map, tolerance);
        let in_place = contours.is_reference() && contours.in_place_share() >= check.share_min;
        self.learning = match self.learning {
            Learning::Waiting if in_place => Learning::Since(captured),
            // Cameras begin with black and broken pictures: two in a row have to agree.
            Learning::Waiting => {
                if !bare {
                    self.contour.begin(self.map.cells());
                }
                Learning::Waiting
            }
            Learning::Since(since) if captured.saturating_since(since) >= check.learn => {
                Learning::Done
            }
            // A picture that shows another place must not become part of the reference.
            Learning::Since(since) if in_place => {
                let learnt_for = captured.saturating_since(since);
                let progress = learnt_for.as_secs_f32() / check.learn.as_secs_f32();
                self.contour.learn(&self.map, progress);
                Learning::Since(since)
            }
            as_before @ (Learning::Since(_) | Learning::Done) => as_before,
        };
        self.measures.contours = self.contour.known();
        self.measures.in_place_share = contours.in_place_share();
        contours
    }

    /// How the reference's contours were lost, if they were.
    fn lost(&self, contours: Contours) -> Option<Loss> {
        let check = self.config.moved.as_ref()?;
        if !contours.is_reference() {
            return Some(Loss::Displaced);
        }
        if contours.in_place_share() >= check.share_min {
            return None;
        }
        if contours.flat > contours.displaced {
            Some(Loss::Flat)
        } else {
            Some(Loss::Displaced)
        }
    }
}

#[cfg(test)]
mod tests;

/// What most of the lost contours became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// Nothing: the lens is covered or far out of focus.
    Flat,
    /// Something else.
    Displaced,
}

/// Since when something is so.
#[derive(Clone, Copy, Debug, Default)]
struct Dwell {
    since: Option<MonotonicTime>,
}

impl Dwell {
    /// Whether it has been so for at least `after`, at `captured`.
    fn holds(&mut self, so: bool, captured: MonotonicTime, after: Duration) -> bool {
        self.since = match self.since {
            _ if !so => None,
            Some(since) if since <= captured => Some(since),
            Some(_) | None => Some(captured),
        };
        self.since
            .is_some_and(|since| captured.saturating_since(since) >= after)
    }
}
