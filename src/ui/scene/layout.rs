//! Where banner, streams and footer lie. Depends on the picture's size and the streams' aspect
//! ratios only, so that nothing jumps while the line runs.

use crate::geometry::{Rect, ScreenPixels, Size};

/// Gap between things, in pixels of a 1280x720 picture; every length here is in those.
const GAP: f32 = 12.0;
const TITLE: f32 = 34.0;
const FOOTER: f32 = 32.0;

/// Where one stream is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Panel {
    /// Its title line.
    pub(super) title: Rect<ScreenPixels>,
    /// What its frame is fitted into.
    pub(super) area: Rect<ScreenPixels>,
}

/// Where everything is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Layout {
    /// Pixels of this picture per pixel of a 1280x720 (or 720x1280) one.
    pub(super) scale: f32,
    /// State of the run permission.
    pub(super) banner: Rect<ScreenPixels>,
    /// The streams, by [`crate::units::StreamId::index`].
    pub(super) panels: [Panel; 2],
    /// Engine, version, notices.
    pub(super) footer: Rect<ScreenPixels>,
}

/// A rectangle on whole pixels. Negative extents become empty.
pub(super) fn whole(left: f32, top: f32, width: f32, height: f32) -> Rect<ScreenPixels> {
    Rect::new(
        left.round(),
        top.round(),
        (left + width.max(0.0)).round(),
        (top + height.max(0.0)).round(),
    )
    .unwrap_or_default()
}

impl Layout {
    /// Lays a picture of `size` out for streams whose frames have these sizes.
    pub(super) fn new(size: Size, streams: [Option<Size>; 2]) -> Self {
        if size.height > size.width {
            Self::stacked(size, streams)
        } else {
            Self::side_by_side(size, streams)
        }
    }

    /// The banner takes what the frames leave, between a fifth and three tenths of the height.
    fn side_by_side(size: Size, streams: [Option<Size>; 2]) -> Self {
        let (width, height) = extent(size);
        let scale = (width / 1280.0).min(height / 720.0);
        let (gap, title, footer) = (GAP * scale, TITLE * scale, FOOTER * scale);
        let column = ((width - 3.0 * gap) / 2.0).floor();
        let wanted = streams.map(|stream| column / aspect(stream));
        let spare = height - footer - title - gap - wanted[0].max(wanted[1]);
        let banner = spare.clamp(0.20 * height, 0.30 * height).round();
        let top = banner + title;
        let panel = |left: f32| Panel {
            title: whole(left, banner, column, title),
            area: whole(left, top, column, height - footer - top),
        };
        Self {
            scale,
            banner: whole(0.0, 0.0, width, banner),
            panels: [panel(gap), panel(width - gap - column)],
            footer: whole(0.0, height - footer, width, footer),
        }
    }

    /// One stream above the other; each gets height in proportion to what it needs.
    fn stacked(size: Size, streams: [Option<Size>; 2]) -> Self {
        let (width, height) = extent(size);
        let scale = (width / 720.0).min(height / 1280.0);
        let (gap, title, footer) = (GAP * scale, TITLE * scale, FOOTER * scale);
        let column = width - 2.0 * gap;
        let wanted = streams.map(|stream| column / aspect(stream));
        let spare = height - footer - 2.0 * title - wanted[0] - wanted[1];
        let banner = spare.clamp(0.10 * height, 0.20 * height).round();
        let room = height - footer - 2.0 * title - banner;
        let first = room * wanted[0] / (wanted[0] + wanted[1]);
        let panel = |top: f32, tall: f32| Panel {
            title: whole(gap, top, column, title),
            area: whole(gap, top + title, column, tall),
        };
        Self {
            scale,
            banner: whole(0.0, 0.0, width, banner),
            panels: [
                panel(banner, first),
                panel(banner + title + first, room - first),
            ],
            footer: whole(0.0, height - footer, width, footer),
        }
    }
}

/// Width per height; 16:9 where nothing is known yet.
#[allow(
    clippy::cast_precision_loss,
    reason = "picture sizes are far below 2^24"
)]
fn aspect(stream: Option<Size>) -> f32 {
    match stream {
        Some(size) if size.width > 0 && size.height > 0 => size.width as f32 / size.height as f32,
        Some(_) | None => 16.0 / 9.0,
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "picture sizes are far below 2^24"
)]
const fn extent(size: Size) -> (f32, f32) {
    (size.width as f32, size.height as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    proptest! {
        #[test]
        fn nothing_overlaps_and_nothing_leaves_the_picture(
            picture in (320_u32..4096, 240_u32..4096),
            first in (16_u32..4000, 16_u32..4000),
            second in (16_u32..4000, 16_u32..4000),
        ) {
            let layout = Layout::new(
                size(picture.0, picture.1),
                [Some(size(first.0, first.1)), Some(size(second.0, second.1))],
            );
            let (width, height) = extent(size(picture.0, picture.1));
            let mut parts = vec![layout.banner, layout.footer];
            for panel in layout.panels {
                parts.extend([panel.title, panel.area]);
            }
            for (index, part) in parts.iter().enumerate() {
                prop_assert!(part.left() >= 0.0 && part.top() >= 0.0, "{part:?}");
                prop_assert!(part.right() <= width && part.bottom() <= height, "{part:?}");
                for other in &parts[index + 1..] {
                    // Rounding may make neighbours share one row.
                    let shared = part.intersection(*other);
                    let area = shared.map_or(0.0, |shared| (shared.width() - 1.0).max(0.0) * (shared.height() - 1.0).max(0.0));
                    prop_assert!(area <= 0.0, "{part:?} and {other:?} overlap");
                }
            }
        }
    }

    #[test]
    fn a_portrait_picture_stacks_the_streams() {
        let layout = Layout::new(size(720, 1280), [None, None]);
        let [first, second] = layout.panels;
        assert!(first.area.bottom() <= second.title.top());
        assert!(first.area.width() > 690.0 && second.area.width() > 690.0);
    }
}
