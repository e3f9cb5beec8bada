//! Keepout zones on a video: neutral outlines until somebody is in one.

use super::build::{Sketch, Tag};
use super::marks::Labels;
use super::symbol::Symbol;
use super::{Path, Rgba, SceneContext, Stroke, palette};
use crate::config::Zone;
use crate::geometry::{Rect, ScreenPixels};
use crate::message::SafetyVerdict;
use crate::units::{StreamId, ZoneIndex, ZoneKind};

/// Draws the zones of stream `id`, the occupied ones last.
pub(super) fn draw(
    sketch: &mut Sketch,
    video: Rect<ScreenPixels>,
    id: StreamId,
    verdict: &SafetyVerdict,
    context: &SceneContext,
    labels: &mut Labels,
) {
    // A zone that does not count at this hour is not drawn: what is drawn guards.
    let mut here: Vec<(bool, &Zone)> = (0_u8..)
        .zip(&context.zones)
        .filter(|(index, zone)| zone.camera == id && !verdict.idle.contains(ZoneIndex(*index)))
        .map(|(index, zone)| (verdict.zones.contains(ZoneIndex(index)), zone))
        .collect();
    here.sort_by_key(|(occupied, zone)| (*occupied, zone.kind));
    for (occupied, zone) in &here {
        area(sketch, video, zone, &Look::new(zone.kind, *occupied));
    }
    for (occupied, zone) in here.iter().rev() {
        name(
            sketch,
            video,
            zone,
            &Look::new(zone.kind, *occupied),
            labels,
        );
    }
}

struct Look {
    color: Rgba,
    ground: Rgba,
    ink: Rgba,
    width: f32,
    opacity: u8,
    symbol: Symbol,
}

impl Look {
    const fn new(kind: ZoneKind, occupied: bool) -> Self {
        let symbol = match kind {
            ZoneKind::Stop => Symbol::Stop,
            ZoneKind::Warn => Symbol::Attention,
        };
        let (color, ground, ink, width, opacity) = match (kind, occupied) {
            (ZoneKind::Stop, true) => (palette::DANGER, palette::STOP, palette::TEXT, 4.0, 95),
            (ZoneKind::Warn, true) => (
                palette::CAUTION,
                palette::CAUTION,
                palette::DARK_TEXT,
                3.0,
                70,
            ),
            (ZoneKind::Stop, false) => (palette::ZONE_STOP, palette::PANEL, palette::TEXT, 2.0, 46),
            (ZoneKind::Warn, false) => (palette::ZONE_WARN, palette::PANEL, palette::TEXT, 1.5, 26),
        };
        Self {
            color,
            ground,
            ink,
            width,
            opacity,
            symbol,
        }
    }
}

fn area(sketch: &mut Sketch, video: Rect<ScreenPixels>, zone: &Zone, look: &Look) {
    let points: Vec<_> = zone
        .polygon
        .points()
        .iter()
        .map(|point| point.to_screen(video))
        .collect();
    let halo = Stroke {
        width: (look.width + 2.0) * sketch.scale,
        color: palette::HALO,
    };
    let line = Stroke {
        width: look.width * sketch.scale,
        color: look.color,
    };
    let inside = look.color.with_alpha(look.opacity);
    sketch.shape(points.clone(), Path::Closed, Some(inside), Some(halo));
    sketch.shape(points, Path::Closed, None, Some(line));
}

/// The zone's name at its lowest corner, where people rarely stand, else at the next free one.
fn name(
    sketch: &mut Sketch,
    video: Rect<ScreenPixels>,
    zone: &Zone,
    look: &Look,
    labels: &mut Labels,
) {
    let tag = Tag {
        symbol: Some(look.symbol),
        text: &zone.name,
        size: (15.0 * sketch.scale).round(),
        ground: look.ground,
        ink: look.ink,
    };
    let (width, height) = (tag.width(&sketch.fonts).min(video.width()), tag.height());
    let mut corners: Vec<_> = zone.polygon.points().to_vec();
    corners.sort_by(|a, b| b.y.total_cmp(&a.y));
    let places = corners.iter().map(|corner| {
        let at = corner.to_screen(video);
        (at.x - width / 2.0, at.y - 1.4 * height)
    });
    if let Some(at) = labels.place(places, width, height) {
        sketch.tag(&tag, at.x, at.y, width);
    }
}
