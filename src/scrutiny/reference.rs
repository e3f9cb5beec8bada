//! The reference as something that can be kept: the still background on the coarse grid.

use super::contour::{CONTOURS_MIN, ContourCheck};
use super::map::{COLUMNS, ROWS};

/// The scene without people, as luma of 160×120, row by row; what a camera's place is held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferencePicture {
    luma: Box<[u8]>,
}

/// Why a picture cannot be a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Not what `andon reference take` writes.
    #[error("it is {width}x{height} and must be {COLUMNS}x{ROWS} in grey")]
    Size {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
    /// Nothing to hold a camera's place against.
    #[error(
        "only {found} of its parts have contours and {CONTOURS_MIN} are needed: add marks to the scene, such as tape crosses on the floor"
    )]
    TooFewContours {
        /// Blocks with contours.
        found: usize,
    },
}

impl ReferencePicture {
    /// Pixels from left to right.
    #[allow(clippy::cast_possible_truncation, reason = "160")]
    pub const WIDTH: u32 = COLUMNS as u32;
    /// Pixels from top to bottom.
    #[allow(clippy::cast_possible_truncation, reason = "120")]
    pub const HEIGHT: u32 = ROWS as u32;

    /// Takes luma, row by row.
    ///
    /// # Errors
    ///
    /// Another size, or too few contours.
    pub fn new(width: u32, height: u32, luma: &[u8]) -> Result<Self, ReferenceError> {
        let whole = luma.len() == COLUMNS * ROWS;
        if width != Self::WIDTH || height != Self::HEIGHT || !whole {
            return Err(ReferenceError::Size { width, height });
        }
        let mut contours = ContourCheck::new();
        contours.begin(luma);
        let found = contours.known();
        if found < CONTOURS_MIN {
            return Err(ReferenceError::TooFewContours { found });
        }
        Ok(Self { luma: luma.into() })
    }

    /// Luma, row by row, [`Self::WIDTH`] × [`Self::HEIGHT`].
    #[must_use]
    pub fn luma(&self) -> &[u8] {
        &self.luma
    }
}
