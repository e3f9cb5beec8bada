//! Colours and what they mean. After IEC 60073: green is safe, red is danger, yellow is abnormal,
//! blue asks the operator to act; everything that is not a state is grey.
//!
//! The green leans to blue and the red is pure, so that people with red-green colour blindness can
//! tell them apart; a test checks contrast and the distance in lightness.

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
