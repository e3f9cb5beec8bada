//! Colours and what they mean. After IEC 60073: green is safe, red is danger, yellow is abnormal,
//! blue asks the operator to act; everything that is not a state is grey.
//!
//! The green leans to blue and is lighter than the red, so that people with red-green colour blindness
//! can tell them apart. Tests check that, and the contrast of every text.

use super::Rgba;

/// Behind everything.
pub(super) const GROUND: Rgba = Rgba::rgb(0x0020_2326);
/// Behind a video.
pub(super) const PANEL: Rgba = Rgba::rgb(0x0014_1618);
/// What must be read.
pub(super) const TEXT: Rgba = Rgba::rgb(0x00F2_F4F5);
/// What may be read.
pub(super) const MUTED: Rgba = Rgba::rgb(0x00A9_B0B5);
/// Text on a light colour.
pub(super) const DARK_TEXT: Rgba = Rgba::rgb(0x0010_1214);
/// Under lines on a video, so that they show on any picture.
pub(super) const HALO: Rgba = Rgba::rgb(0x0000_0000).with_alpha(150);

/// Run permission ON.
pub(super) const RUN: Rgba = Rgba::rgb(0x0000_7A57);
/// Tripped: somebody is in danger.
pub(super) const STOP: Rgba = Rgba::rgb(0x00C8_0F1E);
/// The operator is asked to act.
pub(super) const RESET: Rgba = Rgba::rgb(0x0012_57C7);
/// Something is broken.
pub(super) const FAULT: Rgba = Rgba::rgb(0x00FF_C400);
/// Nothing is known yet.
pub(super) const SELF_TEST: Rgba = Rgba::rgb(0x004A_5056);

/// A person outside every zone; a good part.
pub(super) const CLEAR: Rgba = Rgba::rgb(0x0023_D5A0);
/// A person in a stop zone; a part to reject.
pub(super) const DANGER: Rgba = Rgba::rgb(0x00FF_2B2B);
/// A person in a warn zone; a part nobody is sure of.
pub(super) const CAUTION: Rgba = Rgba::rgb(0x00FF_C400);
/// Outline of a stop zone nobody is in.
pub(super) const ZONE_STOP: Rgba = Rgba::rgb(0x00FF_FFFF);
/// Outline of a warn zone nobody is in.
pub(super) const ZONE_WARN: Rgba = Rgba::rgb(0x00E6_D9A8);
/// A covered person.
pub(super) const COVER: Rgba = Rgba::rgb(0x002B_2F33);

#[cfg(test)]
mod tests {
    use super::*;

    /// Linear light of a colour's parts, each 0..=1 (IEC 61966-2-1).
    fn linear(color: Rgba) -> [f64; 3] {
        [color.r, color.g, color.b].map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.040_45 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        })
    }

    fn luminance([r, g, b]: [f64; 3]) -> f64 {
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    /// Contrast ratio of WCAG 2, 1..=21.
    fn contrast(a: Rgba, b: Rgba) -> f64 {
        let (a, b) = (luminance(linear(a)), luminance(linear(b)));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// As somebody sees it who has no red or no green cones (Machado, Oliveira, Fernandes 2009,
    /// severity 1).
    fn seen(color: Rgba, matrix: [[f64; 3]; 3]) -> [f64; 3] {
        let linear = linear(color);
        matrix.map(|row| {
            row.iter()
                .zip(linear)
                .map(|(a, b)| a * b)
                .sum::<f64>()
                .clamp(0.0, 1.0)
        })
    }

    const NO_RED: [[f64; 3]; 3] = [
        [0.152_286, 1.052_583, -0.204_868],
        [0.114_503, 0.786_281, 0.099_216],
        [-0.003_882, -0.048_116, 1.051_998],
    ];
    const NO_GREEN: [[f64; 3]; 3] = [
        [0.367_322, 0.860_646, -0.227_968],
        [0.280_085, 0.672_501, 0.047_413],
        [-0.011_820, 0.042_940, 0.968_881],
    ];

    #[test]
    fn every_text_has_contrast() {
        // 4.5 is what WCAG 2 asks of small text.
        for (ink, ground) in [
            (TEXT, GROUND),
            (TEXT, PANEL),
            (TEXT, RUN),
            (TEXT, STOP),
            (TEXT, RESET),
            (TEXT, SELF_TEST),
            (MUTED, GROUND),
            (DARK_TEXT, FAULT),
            (DARK_TEXT, CLEAR),
            (DARK_TEXT, CAUTION),
        ] {
            let contrast = contrast(ink, ground);
            assert!(contrast >= 4.5, "{ink} on {ground}: {contrast:.1}");
        }
    }

    #[test]
    fn states_stay_apart_without_red_or_green_cones() {
        for states in [[CLEAR, DANGER, CAUTION], [RUN, STOP, FAULT]] {
            for matrix in [NO_RED, NO_GREEN] {
                for (index, a) in states.iter().enumerate() {
                    for b in &states[index + 1..] {
                        let (a, b) = (seen(*a, matrix), seen(*b, matrix));
                        let distance: f64 = a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum();
                        assert!(distance > 0.15, "{a:?} and {b:?}: {distance:.2}");
                    }
                }
            }
        }
    }
}
