//! The typeface, and how wide a text gets, without a renderer.
//!
//! B612 was drawn for cockpit displays: its figures and letters stay apart at small sizes and bad
//! angles. It covers Latin scripts; other letters show as a box.

use ttf_parser::Face;

/// How thick the letters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// For values and explanations.
    Regular,
    /// For states and labels.
    Bold,
}

/// The OpenType file of a weight.
#[must_use]
pub const fn font_file(weight: Weight) -> &'static [u8] {
    match weight {
        Weight::Regular => include_bytes!("../fonts/B612-Regular.otf"),
        Weight::Bold => include_bytes!("../fonts/B612-Bold.otf"),
    }
}

/// Measures text; made once per scene.
pub(super) struct Fonts {
    regular: Option<Face<'static>>,
    bold: Option<Face<'static>>,
}

impl Fonts {
    /// Reads the built-in files' tables; a few microseconds.
    pub(super) fn new() -> Self {
        let face = |weight| Face::parse(font_file(weight), 0).ok();
        Self {
            regular: face(Weight::Regular),
            bold: face(Weight::Bold),
        }
    }

    const fn face(&self, weight: Weight) -> Option<&Face<'static>> {
        match weight {
            Weight::Regular => self.regular.as_ref(),
            Weight::Bold => self.bold.as_ref(),
        }
    }

    /// Width of `text` in pixels at font size `size`, without kerning: within a pixel or two of what
    /// the renderer draws.
    pub(super) fn width(&self, text: &str, size: f32, weight: Weight) -> f32 {
        let Some(face) = self.face(weight) else {
            return 0.0;
        };
        let units: u32 = text
            .chars()
            .map(|letter| {
                let glyph = face.glyph_index(letter).unwrap_or_default();
                u32::from(face.glyph_hor_advance(glyph).unwrap_or(0))
            })
            .sum();
        #[allow(
            clippy::cast_precision_loss,
            reason = "a line of text is far below 2^24 units"
        )]
        let units = units as f32;
        units / f32::from(face.units_per_em()) * size
    }

    /// The largest font size up to `size` at which `text` is at most `room` pixels wide.
    pub(super) fn fit(&self, text: &str, size: f32, weight: Weight, room: f32) -> f32 {
        let width = self.width(text, size, weight);
        if width <= room || width <= 0.0 {
            size
        } else {
            (size * room / width).floor()
        }
    }

    /// `text`, or as much of its start as fits into `room` pixels, with an ellipsis.
    pub(super) fn shorten(&self, text: &str, size: f32, weight: Weight, room: f32) -> String {
        if self.width(text, size, weight) <= room {
            return text.to_owned();
        }
        let mut kept: String = text.to_owned();
        while kept.pop().is_some() {
            let candidate = format!("{}…", kept.trim_end());
            if self.width(&candidate, size, weight) <= room {
                return candidate;
            }
        }
        String::new()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use super::*;

    #[test]
    fn both_files_hold_every_letter_the_picture_uses() {
        for weight in [Weight::Regular, Weight::Bold] {
            let face = Face::parse(font_file(weight), 0).unwrap();
            let letters = "ABCXYZabcxyz0123456789 .,:;!?%()/–—-+“”\"'…·×°äöüÄÖÜßéèçñåø";
            for letter in letters.chars() {
                assert!(face.glyph_index(letter).is_some(), "{weight:?} {letter:?}");
            }
        }
    }

    #[test]
    fn width_grows_with_text_and_size() {
        let fonts = Fonts::new();
        let narrow = fonts.width("RUN", 20.0, Weight::Bold);
        assert!(narrow > 20.0);
        assert!(fonts.width("RUNNING", 20.0, Weight::Bold) > narrow);
        assert!((fonts.width("RUN", 40.0, Weight::Bold) - 2.0 * narrow).abs() < 0.01);
    }

    #[test]
    fn what_does_not_fit_is_made_smaller_or_shorter() {
        let fonts = Fonts::new();
        let long = "STOP – zone “the whole of the conveyor's unloading area”";
        let size = fonts.fit(long, 90.0, Weight::Bold, 600.0);
        assert!(size < 90.0 && fonts.width(long, size, Weight::Bold) <= 600.0);
        let short = fonts.shorten(long, 20.0, Weight::Bold, 120.0);
        assert!(short.ends_with('…') && fonts.width(&short, 20.0, Weight::Bold) <= 120.0);
        assert_eq!(fonts.shorten("RUN", 20.0, Weight::Bold, 120.0), "RUN");
        assert_eq!(fonts.shorten("RUN", 20.0, Weight::Bold, 1.0), "");
    }
}
