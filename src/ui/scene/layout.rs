//! Where banner, streams and footer lie. Depends on the picture's size and the streams' aspect
//! ratios only, so that nothing jumps while the line runs.

use crate::config::ShownStreams;
use crate::geometry::{Rect, ScreenPixels, Size};
use crate::units::StreamId;

/// Gap between things, in pixels of a 1280x720 picture; every length here is in those.
const GAP: f32 = 12.0;
const TITLE: f32 = 34.0;
const FOOTER: f32 = 32.0;
/// A row of buttons: on a 24 inch monitor 26 mm.
const BAR: f32 = 64.0;

/// Where one stream is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Panel {
    /// Its title line.
    pub(super) title: Rect<ScreenPixels>,
    /// What its frame is fitted into.
    pub(super) area: Rect<ScreenPixels>,
}

/// Whether there are buttons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bar {
    /// Nobody can press anything.
    Absent,
    /// At the bottom; in an upright picture in two rows.
    Present,
}

/// What a layout depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) size: Size,
    /// Text and buttons are so much larger than the picture's size says.
    pub(super) factor: f32,
    pub(super) shown: ShownStreams,
    /// Sizes of the streams' frames, where known.
    pub(super) frames: [Option<Size>; 2],
    pub(super) bar: Bar,
}

/// Where everything is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Layout {
    /// Pixels of this picture per pixel of a 1280x720 (or 720x1280) one, times the plan's factor.
    pub(super) scale: f32,
    /// State of the run permission.
    pub(super) banner: Rect<ScreenPixels>,
    /// The streams that are shown, by [`crate::units::StreamId::index`].
    pub(super) panels: [Option<Panel>; 2],
    /// Everything between banner and footer: the streams, or a page.
    pub(super) body: Rect<ScreenPixels>,
    /// Engine, version, notices.
    pub(super) footer: Rect<ScreenPixels>,
    /// Rows of buttons, the lowest last; empty where there are none.
    pub(super) bars: [Rect<ScreenPixels>; 2],
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
    /// Lays a picture out.
    pub(super) fn new(plan: &Plan) -> Self {
        let upright = plan.size.height > plan.size.width;
        let (width, height) = extent(plan.size);
        let base = if upright {
            (width / 720.0).min(height / 1280.0)
        } else {
            (width / 1280.0).min(height / 720.0)
        };
        let scale = base * plan.factor;
        let rows = match (plan.bar, upright) {
            (Bar::Absent, _) => 0.0,
            (Bar::Present, false) => 1.0,
            (Bar::Present, true) => 2.0,
        };
        let bar = (BAR * scale).round();
        let frame = Frame {
            width,
            height: (height - rows * bar).max(0.0),
            scale,
            plan,
        };
        let lowest = whole(0.0, height - bar, width, bar);
        let above = whole(0.0, height - 2.0 * bar, width, bar);
        let bars = match (plan.bar, upright) {
            (Bar::Absent, _) => [Rect::default(); 2],
            (Bar::Present, false) => [lowest, lowest],
            (Bar::Present, true) => [above, lowest],
        };
        let (banner, panels) = match (plan.shown, upright) {
            (ShownStreams::Only(stream), _) => frame.one(stream, upright),
            (ShownStreams::Both, false) => frame.side_by_side(),
            (ShownStreams::Both, true) => frame.stacked(),
        };
        let footer = FOOTER * scale;
        let bottom = frame.height - footer;
        Self {
            scale,
            banner: whole(0.0, 0.0, width, banner),
            panels,
            body: whole(0.0, banner, width, bottom - banner),
            footer: whole(0.0, bottom, width, footer),
            bars,
        }
    }
}

/// The picture without its buttons.
struct Frame<'a> {
    width: f32,
    height: f32,
    scale: f32,
    plan: &'a Plan,
}

impl Frame<'_> {
    /// The banner takes what the frames leave, between a fifth and three tenths of the height.
    fn side_by_side(&self) -> (f32, [Option<Panel>; 2]) {
        let Self { width, height, .. } = *self;
        let [gap, title, footer] = self.lengths();
        let column = ((width - 3.0 * gap) / 2.0).floor();
        let wanted = self.plan.frames.map(|stream| column / aspect(stream));
        let spare = height - footer - title - gap - wanted[0].max(wanted[1]);
        let banner = self.banner(spare, 0.20, 0.30);
        let top = banner + title;
        let panel = |left: f32| Panel {
            title: whole(left, banner, column, title),
            area: whole(left, top, column, height - footer - top),
        };
        (
            banner,
            [Some(panel(gap)), Some(panel(width - gap - column))],
        )
    }

    /// One stream above the other; each gets height in proportion to what it needs.
    fn stacked(&self) -> (f32, [Option<Panel>; 2]) {
        let Self { width, height, .. } = *self;
        let [gap, title, footer] = self.lengths();
        let column = width - 2.0 * gap;
        let wanted = self.plan.frames.map(|stream| column / aspect(stream));
        let spare = height - footer - 2.0 * title - wanted[0] - wanted[1];
        let banner = self.banner(spare, 0.10, 0.20);
        let room = height - footer - 2.0 * title - banner;
        let first = room * wanted[0] / (wanted[0] + wanted[1]);
        let panel = |top: f32, tall: f32| Panel {
            title: whole(gap, top, column, title),
            area: whole(gap, top + title, column, tall),
        };
        let panels = [
            Some(panel(banner, first)),
            Some(panel(banner + title + first, room - first)),
        ];
        (banner, panels)
    }

    /// One stream with all the room there is.
    fn one(&self, stream: StreamId, upright: bool) -> (f32, [Option<Panel>; 2]) {
        let Self { width, height, .. } = *self;
        let [gap, title, footer] = self.lengths();
        let column = width - 2.0 * gap;
        let wanted = column / aspect(self.plan.frames[stream.index()]);
        let spare = height - footer - title - gap - wanted;
        let banner = if upright {
            self.banner(spare, 0.10, 0.20)
        } else {
            self.banner(spare, 0.20, 0.30)
        };
        let panel = Panel {
            title: whole(gap, banner, column, title),
            area: whole(
                gap,
                banner + title,
                column,
                height - footer - banner - title,
            ),
        };
        let mut panels = [None; 2];
        panels[stream.index()] = Some(panel);
        (banner, panels)
    }

    fn banner(&self, spare: f32, least: f32, most: f32) -> f32 {
        let height = self.height;
        spare.clamp(least * height, most * height).round()
    }

    fn lengths(&self) -> [f32; 3] {
        [GAP, TITLE, FOOTER].map(|length| length * self.scale)
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
            factor in 1.0_f32..2.0,
            shown in prop::sample::select(ShownStreams::ALL.to_vec()),
            bar in prop::sample::select(vec![Bar::Absent, Bar::Present]),
        ) {
            let layout = Layout::new(&Plan {
                size: size(picture.0, picture.1),
                factor,
                shown,
                frames: [Some(size(first.0, first.1)), Some(size(second.0, second.1))],
                bar,
            });
            let (width, height) = extent(size(picture.0, picture.1));
            let mut parts = vec![layout.banner, layout.footer];
            match (bar, picture.1 > picture.0) {
                (Bar::Absent, _) => {}
                (Bar::Present, false) => parts.push(layout.bars[1]),
                (Bar::Present, true) => parts.extend(layout.bars),
            }
            for panel in layout.panels.into_iter().flatten() {
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

    fn plan(picture: Size) -> Plan {
        Plan {
            size: picture,
            factor: 1.0,
            shown: ShownStreams::Both,
            frames: [None, None],
            bar: Bar::Absent,
        }
    }

    #[test]
    fn a_portrait_picture_stacks_the_streams() {
        let layout = Layout::new(&plan(size(720, 1280)));
        let [Some(first), Some(second)] = layout.panels else {
            unreachable!("both are shown");
        };
        assert!(first.area.bottom() <= second.title.top());
        assert!(first.area.width() > 690.0 && second.area.width() > 690.0);
    }

    #[test]
    fn one_stream_alone_is_larger_than_beside_another() {
        for picture in [size(1280, 720), size(1080, 1920), size(3840, 2160)] {
            for stream in StreamId::ALL {
                let both = Layout::new(&plan(picture)).panels[stream.index()];
                let only = ShownStreams::Only(stream);
                let alone = Layout::new(&Plan {
                    shown: only,
                    ..plan(picture)
                });
                let area = |panel: Option<Panel>| {
                    panel.map_or(0.0, |panel| panel.area.width() * panel.area.height())
                };
                assert!(area(alone.panels[stream.index()]) > 1.5 * area(both));
                assert_eq!(alone.panels[1 - stream.index()], None);
            }
        }
    }

    #[test]
    fn a_row_of_buttons_is_high_enough_for_a_finger() {
        // 7 inch, 800x480: 154 mm wide. The factor is what such a panel gets.
        let small = Plan {
            factor: 1.44,
            bar: Bar::Present,
            ..plan(size(800, 480))
        };
        let [_, bar] = Layout::new(&small).bars;
        assert!(bar.height() / 800.0 * 154.0 > 10.0, "{bar:?}");
    }
}
