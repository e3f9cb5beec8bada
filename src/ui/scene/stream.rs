//! One stream: title with figures, the frame, zones, people or parts, and what is wrong with it.

use super::build::{Sketch, Tag};
use super::font::Weight;
use super::layout::{Panel, whole};
use super::mask::{self, MaskMemory};
use super::symbol::{Inks, Symbol};
use super::{Align, Path, People, Rgba, SceneContext, Stroke, palette, symbol};
use crate::config::Zone;
use crate::geometry::{Normalised, Point, Rect, ScreenPixels, fit};
use crate::message::{
    Disposition, InspectionVerdict, ItemVerdict, PersonVerdict, SafetyVerdict, Snapshot,
    StreamView, Verdict,
};
use crate::units::{StreamId, ZoneIndex, ZoneKind};

/// Draws the stream `id` of the snapshot into its panel.
pub(super) fn draw(
    sketch: &mut Sketch,
    panel: Panel,
    id: StreamId,
    snapshot: &Snapshot,
    context: &SceneContext,
) {
    let view = snapshot.streams[id.index()].as_ref();
    title(sketch, panel.title, id, view, context);
    sketch.block(panel.area, palette::PANEL);
    let Some(view) = view else {
        no_signal(sketch, panel.area);
        return;
    };
    let fitted = fit(view.frame.size(), panel.area);
    let video = whole(fitted.left(), fitted.top(), fitted.width(), fitted.height());
    sketch.video(id, video);
    let mut labels = Labels::new(video);
    match &view.verdict {
        Verdict::Safety(verdict) => {
            if let People::Masked(memory) = &context.people {
                cover(sketch, video, verdict, memory);
            }
            zones(sketch, video, id, verdict, context, &mut labels);
            people(sketch, video, verdict, context, &mut labels);
        }
        Verdict::Inspection(verdict) => items(sketch, video, verdict, context, &mut labels),
    }
    troubles(sketch, video, snapshot, view, context);
}

/// What is wrong with the frame, as strips at the bottom of the video.
fn troubles(
    sketch: &mut Sketch,
    video: Rect<ScreenPixels>,
    snapshot: &Snapshot,
    view: &StreamView,
    context: &SceneContext,
) {
    let failure = match &view.verdict {
        Verdict::Safety(verdict) => verdict.failure.as_ref(),
        Verdict::Inspection(verdict) => verdict.failure.as_ref(),
    };
    let mut lines = Vec::new();
    if let Some(failure) = failure {
        lines.push(format!("NOT JUDGED – {failure}"));
    }
    let age = snapshot.at.saturating_since(view.frame.meta.timestamp);
    if age > context.old_after {
        lines.push(format!("OLD PICTURE – {:.1} s", age.as_secs_f64()));
    }
    let mut bottom = video.bottom();
    for text in &lines {
        let tag = Tag {
            symbol: Some(Symbol::Attention),
            text,
            size: (18.0 * sketch.scale).round(),
            ground: palette::CAUTION,
            ink: palette::DARK_TEXT,
        };
        let top = bottom - tag.height() - 6.0 * sketch.scale;
        let left = video.left() + 6.0 * sketch.scale;
        sketch.tag(&tag, left, top, video.width() - 12.0 * sketch.scale);
        bottom = top;
    }
}

const fn stream_title(id: StreamId) -> &'static str {
    match id {
        StreamId::WorkerSafety => "WORKER SAFETY",
        StreamId::VisualInspection => "VISUAL INSPECTION",
    }
}

fn title(
    sketch: &mut Sketch,
    within: Rect<ScreenPixels>,
    id: StreamId,
    view: Option<&StreamView>,
    context: &SceneContext,
) {
    let size = (18.0 * sketch.scale).round();
    let small = (15.0 * sketch.scale).round();
    let gap = 12.0 * sketch.scale;
    let baseline = (within.top() + within.height() / 2.0 + 0.36 * size).round();
    let name = stream_title(id);
    let at = Point::new(within.left() + 2.0 * sketch.scale, baseline);
    sketch.text(
        at,
        name.to_owned(),
        size,
        Weight::Bold,
        Align::Left,
        palette::TEXT,
    );
    let mut left = at.x + sketch.fonts.width(name, size, Weight::Bold) + gap;
    let mut right = within.right() - 2.0 * sketch.scale;
    if let Some(view) = view {
        let figures = format!(
            "{:.1} fps   {:.0} ms",
            view.fps,
            view.latency.as_secs_f64() * 1000.0
        );
        let at = Point::new(right, baseline);
        right -= sketch.fonts.width(&figures, small, Weight::Regular) + gap;
        sketch.text(
            at,
            figures,
            small,
            Weight::Regular,
            Align::Right,
            palette::TEXT,
        );
    }
    let source = &context.sources[id.index()];
    let source = sketch
        .fonts
        .shorten(source, small, Weight::Regular, right - left);
    if !source.is_empty() {
        left = left.round();
        let at = Point::new(left, baseline);
        sketch.text(
            at,
            source,
            small,
            Weight::Regular,
            Align::Left,
            palette::MUTED,
        );
    }
}

fn no_signal(sketch: &mut Sketch, area: Rect<ScreenPixels>) {
    let size = (44.0 * sketch.scale).round();
    let middle: Point<ScreenPixels> = Point::new(
        ((area.left() + area.right()) / 2.0).round(),
        ((area.top() + area.bottom()) / 2.0).round(),
    );
    let grey = Stroke {
        width: 2.0 * sketch.scale,
        color: palette::SELF_TEST,
    };
    let corner = |x, y| Point::new(x, y);
    let diagonals = [
        [
            corner(area.left(), area.top()),
            corner(area.right(), area.bottom()),
        ],
        [
            corner(area.right(), area.top()),
            corner(area.left(), area.bottom()),
        ],
    ];
    for ends in diagonals {
        sketch.polygon(ends.to_vec(), Path::Open, None, Some(grey));
    }
    let width = sketch.fonts.width("NO SIGNAL", size, Weight::Bold) + size;
    let plate = whole(middle.x - width / 2.0, middle.y - size, width, 2.0 * size);
    sketch.rounded(plate, 0.2 * size, Some(palette::PANEL), Some(grey));
    let at = Point::new(middle.x, (middle.y + 0.36 * size).round());
    let words = String::from("NO SIGNAL");
    sketch.text(at, words, size, Weight::Bold, Align::Center, palette::TEXT);
}

/// Covers people, or the whole frame where nobody knows where they are.
fn cover(
    sketch: &mut Sketch,
    video: Rect<ScreenPixels>,
    verdict: &SafetyVerdict,
    memory: &MaskMemory,
) {
    if verdict.failure.is_some() {
        sketch.mask(video);
        return;
    }
    for place in memory.places() {
        sketch.mask(place.to_screen(video));
    }
    for person in &verdict.persons {
        sketch.mask(mask::grown(person.detection.bbox).to_screen(video));
    }
    for person in &verdict.persons {
        let shape = person.detection.bbox.to_screen(video);
        let inks = Inks {
            body: palette::MUTED,
            detail: palette::COVER,
        };
        symbol::draw(sketch, Symbol::Person, shape, inks);
    }
}

fn zones(
    sketch: &mut Sketch,
    video: Rect<ScreenPixels>,
    id: StreamId,
    verdict: &SafetyVerdict,
    context: &SceneContext,
    labels: &mut Labels,
) {
    let here = (0_u8..)
        .zip(&context.zones)
        .filter(|(_, zone)| zone.camera == id);
    for (index, zone) in here {
        let occupied = verdict.zones.contains(ZoneIndex(index));
        let look = ZoneLook::new(zone.kind, occupied);
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
        sketch.polygon(points.clone(), Path::Closed, Some(inside), Some(halo));
        sketch.polygon(points, Path::Closed, None, Some(line));
        zone_label(sketch, video, zone, &look, labels);
    }
}

/// How a zone looks: grey-white until somebody is in it.
struct ZoneLook {
    color: Rgba,
    ground: Rgba,
    ink: Rgba,
    width: f32,
    opacity: u8,
    symbol: Symbol,
}

impl ZoneLook {
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
            (ZoneKind::Stop, false) => (palette::ZONE_STOP, palette::PANEL, palette::TEXT, 2.0, 34),
            (ZoneKind::Warn, false) => (palette::ZONE_WARN, palette::PANEL, palette::TEXT, 1.5, 18),
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

/// The zone's name at its lowest corner, inside the frame: people rarely stand there.
fn zone_label(
    sketch: &mut Sketch,
    video: Rect<ScreenPixels>,
    zone: &Zone,
    look: &ZoneLook,
    labels: &mut Labels,
) {
    let lowest = zone
        .polygon
        .points()
        .iter()
        .copied()
        .reduce(
            |lowest, point| {
                if point.y > lowest.y { point } else { lowest }
            },
        );
    let Some(lowest) = lowest else {
        return;
    };
    let tag = Tag {
        symbol: Some(look.symbol),
        text: &zone.name,
        size: (15.0 * sketch.scale).round(),
        ground: look.ground,
        ink: look.ink,
    };
    let at = lowest.to_screen(video);
    let width = tag.width(&sketch.fonts).min(video.width());
    let left = (at.x - width / 2.0).clamp(video.left(), (video.right() - width).max(video.left()));
    let top = (at.y - 1.4 * tag.height()).max(video.top());
    let taken = sketch.tag(&tag, left, top, width);
    labels.taken.push(taken);
}

/// How an object's box looks.
struct BoxLook {
    color: Rgba,
    ground: Rgba,
    ink: Rgba,
    width: f32,
    fill: Option<Rgba>,
    symbol: Option<Symbol>,
}

impl BoxLook {
    const fn person(kind: Option<ZoneKind>) -> Self {
        match kind {
            Some(ZoneKind::Stop) => Self::danger(Symbol::Stop),
            Some(ZoneKind::Warn) => Self::caution(Symbol::Attention),
            None => Self::clear(None),
        }
    }

    const fn item(disposition: Disposition) -> Self {
        match disposition {
            Disposition::Good => Self::clear(Some(Symbol::Good)),
            Disposition::Reject => Self::danger(Symbol::Reject),
            Disposition::Unsure => Self::caution(Symbol::Unsure),
        }
    }

    const fn clear(symbol: Option<Symbol>) -> Self {
        Self {
            color: palette::CLEAR,
            ground: palette::CLEAR,
            ink: palette::DARK_TEXT,
            width: 2.0,
            fill: None,
            symbol,
        }
    }

    const fn caution(symbol: Symbol) -> Self {
        Self {
            color: palette::CAUTION,
            ground: palette::CAUTION,
            ink: palette::DARK_TEXT,
            width: 3.0,
            fill: None,
            symbol: Some(symbol),
        }
    }

    const fn danger(symbol: Symbol) -> Self {
        Self {
            color: palette::DANGER,
            ground: palette::STOP,
            ink: palette::TEXT,
            width: 4.0,
            fill: Some(palette::DANGER.with_alpha(40)),
            symbol: Some(symbol),
        }
    }
}

/// The gravest last, so that nothing covers it; its label first, so that it gets the best place.
fn people(
    sketch: &mut Sketch,
    video: Rect<ScreenPixels>,
    verdict: &SafetyVerdict,
    context: &SceneContext,
    labels: &mut Labels,
) {
    let mut persons: Vec<&PersonVerdict> = verdict.persons.iter().collect();
    persons.sort_by_key(|person| person.kind);
    let mut marks = Vec::new();
    for person in &persons {
        let name = context.detector_label(person.detection.label);
        let mark = Mark {
            look: BoxLook::person(person.kind),
            bbox: person.detection.bbox,
            text: format!("{name} {}", person.detection.score),
        };
        marks.push(mark);
    }
    draw_marks(sketch, video, &marks, labels);
}

fn items(
    sketch: &mut Sketch,
    video: Rect<ScreenPixels>,
    verdict: &InspectionVerdict,
    context: &SceneContext,
    labels: &mut Labels,
) {
    let gravity = |item: &&ItemVerdict| match item.disposition {
        Disposition::Good => 0,
        Disposition::Unsure => 1,
        Disposition::Reject => 2,
    };
    let mut items: Vec<&ItemVerdict> = verdict.items.iter().collect();
    items.sort_by_key(gravity);
    let mut marks = Vec::new();
    for item in &items {
        let name = context.classifier_label(item.item.grade.label);
        let mark = Mark {
            look: BoxLook::item(item.disposition),
            bbox: item.item.detection.bbox,
            text: match item.disposition {
                Disposition::Good | Disposition::Reject => {
                    format!("{name} {}", item.item.grade.score)
                }
                Disposition::Unsure => format!("unsure: {name} {}", item.item.grade.score),
            },
        };
        marks.push(mark);
    }
    draw_marks(sketch, video, &marks, labels);
}

/// A box with its label.
struct Mark {
    look: BoxLook,
    bbox: Rect<Normalised>,
    text: String,
}

/// Draws marks, least grave first; labels lie above all boxes.
fn draw_marks(sketch: &mut Sketch, video: Rect<ScreenPixels>, marks: &[Mark], labels: &mut Labels) {
    let size = (15.0 * sketch.scale).round();
    for mark in marks {
        let rect = mark.bbox.to_screen(video);
        let width = mark.look.width * sketch.scale;
        let halo = Stroke {
            width: width + 2.0 * sketch.scale,
            color: palette::HALO,
        };
        let line = Stroke {
            width,
            color: mark.look.color,
        };
        let radius = 3.0 * sketch.scale;
        sketch.rounded(rect, radius, mark.look.fill, Some(halo));
        sketch.rounded(rect, radius, None, Some(line));
    }
    let tag = |mark: &Mark| (mark.look.symbol, mark.look.ground, mark.look.ink);
    let mut placed = Vec::new();
    for mark in marks.iter().rev() {
        let (symbol, ground, ink) = tag(mark);
        let tag = Tag {
            symbol,
            text: &mark.text,
            size,
            ground,
            ink,
        };
        let width = tag.width(&sketch.fonts).min(video.width());
        let rect = mark.bbox.to_screen(video);
        placed.push((tag, width, labels.place(rect, width, tag.height())));
    }
    for (tag, width, at) in placed.iter().rev() {
        sketch.tag(tag, at.x, at.y, *width);
    }
}

/// Finds room for labels, so that they cover each other as little as possible.
struct Labels {
    video: Rect<ScreenPixels>,
    taken: Vec<Rect<ScreenPixels>>,
}

impl Labels {
    const fn new(video: Rect<ScreenPixels>) -> Self {
        Self {
            video,
            taken: Vec::new(),
        }
    }

    /// Above the box where there is room, else inside at its top, else below it.
    fn place(&mut self, bbox: Rect<ScreenPixels>, width: f32, height: f32) -> Point<ScreenPixels> {
        let rightmost = (self.video.right() - width).max(self.video.left());
        let left = bbox.left().clamp(self.video.left(), rightmost);
        let tops = [
            bbox.top() - height,
            bbox.top(),
            bbox.bottom(),
            bbox.bottom() - height,
        ];
        let candidates = tops.map(|top| whole(left, top, width, height));
        let inside = |rect: &Rect<ScreenPixels>| {
            rect.top() >= self.video.top() && rect.bottom() <= self.video.bottom()
        };
        let free =
            |rect: &Rect<ScreenPixels>| !self.taken.iter().any(|taken| overlap(*rect, *taken));
        let best = candidates
            .iter()
            .find(|rect| inside(rect) && free(rect))
            .or_else(|| candidates.iter().find(|rect| inside(rect)))
            .unwrap_or(&candidates[1]);
        self.taken.push(*best);
        Point::new(best.left(), best.top())
    }
}

fn overlap(a: Rect<ScreenPixels>, b: Rect<ScreenPixels>) -> bool {
    a.left() < b.right() && b.left() < a.right() && a.top() < b.bottom() && b.top() < a.bottom()
}
