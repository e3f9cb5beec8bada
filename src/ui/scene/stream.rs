//! One stream: title with figures, the frame, what is on it, and what is wrong with it.

use std::time::Duration;

use super::build::{Sketch, Tag};
use super::font::Weight;
use super::layout::{Panel, whole};
use super::marks::{self, Labels};
use super::mask::{self, MaskMemory};
use super::symbol::{Inks, Layer, Symbol};
use super::{Align, Path, People, SceneContext, Stroke, palette, symbol, zones};
use crate::geometry::{Point, Rect, ScreenPixels, fit};
use crate::message::{Fault, PermissionState, SafetyVerdict, Snapshot, StreamView, Verdict};
use crate::units::StreamId;

/// Draws the stream `id` of the snapshot, which is of this age, into its panel; says where its frame is.
pub(super) fn draw(
    sketch: &mut Sketch,
    panel: Panel,
    id: StreamId,
    (snapshot, age): (&Snapshot, Duration),
    context: &SceneContext,
) -> Option<Rect<ScreenPixels>> {
    let view = snapshot.streams[id.index()].as_ref();
    title(sketch, panel.title, id, view, context);
    let Some(view) = view else {
        sketch.block(panel.area, palette::PANEL);
        let lost = match snapshot.permission {
            PermissionState::LockedOut(Fault::SourceLost(lost) | Fault::SourceEnded(lost)) => {
                lost == id
            }
            PermissionState::SelfTest
            | PermissionState::Interlocked
            | PermissionState::On
            | PermissionState::Tripped(_)
            | PermissionState::LockedOut(_) => false,
        };
        if lost {
            no_signal(sketch, panel.area);
        } else {
            waiting(sketch, panel.area, &context.sources[id.index()]);
        }
        return None;
    };
    let fitted = fit(view.frame.size(), panel.area);
    let video = whole(fitted.left(), fitted.top(), fitted.width(), fitted.height());
    bars(sketch, panel.area, video);
    sketch.video(id, video);
    let mut labels = Labels::new(video);
    let age = snapshot.at.saturating_since(view.frame.meta.timestamp) + age;
    troubles(sketch, video, age, view, context, &mut labels);
    match &view.verdict {
        Verdict::Safety(verdict) => {
            if let People::Masked(memory) = &context.people {
                cover(sketch, video, verdict, memory);
            }
            zones::draw(sketch, video, id, verdict, context, &mut labels);
            marks::people(sketch, video, verdict, context, &mut labels);
        }
        Verdict::Inspection(verdict) => marks::items(sketch, video, verdict, context, &mut labels),
    }
    Some(video)
}

/// What the frame leaves free of its panel.
fn bars(sketch: &mut Sketch, area: Rect<ScreenPixels>, video: Rect<ScreenPixels>) {
    let (width, height) = (area.width(), area.height());
    let bars = [
        whole(area.left(), area.top(), width, video.top() - area.top()),
        whole(
            area.left(),
            video.bottom(),
            width,
            area.bottom() - video.bottom(),
        ),
        whole(area.left(), area.top(), video.left() - area.left(), height),
        whole(
            video.right(),
            area.top(),
            area.right() - video.right(),
            height,
        ),
    ];
    for bar in bars {
        sketch.block(bar, palette::PANEL);
    }
}

/// What is wrong with the frame, as strips at the bottom of the video.
fn troubles(
    sketch: &mut Sketch,
    video: Rect<ScreenPixels>,
    age: Duration,
    view: &StreamView,
    context: &SceneContext,
    labels: &mut Labels,
) {
    let failure = match &view.verdict {
        Verdict::Safety(verdict) => verdict.failure.as_ref(),
        Verdict::Inspection(verdict) => verdict.failure.as_ref(),
    };
    let doubt = match &view.verdict {
        Verdict::Safety(verdict) => verdict.doubt,
        Verdict::Inspection(_) => None,
    };
    let mut lines = Vec::new();
    if let Some(doubt) = doubt {
        lines.push(format!("NOT BELIEVED – picture {}", doubt.name()));
    }
    if let Some(failure) = failure {
        lines.push(format!("NOT JUDGED – {failure}"));
    }
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
        let taken = sketch.tag(&tag, left, top, video.width() - 12.0 * sketch.scale);
        labels.take(taken);
        bottom = top;
    }
}

pub(super) const fn stream_title(id: StreamId) -> &'static str {
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
    let inset = 4.0 * sketch.scale;
    let at = Point::new(within.left() + inset, baseline);
    sketch.text(
        at,
        name.to_owned(),
        size,
        Weight::Bold,
        Align::Left,
        palette::TEXT,
    );
    let mut left = at.x + sketch.fonts.width(name, size, Weight::Bold) + gap;
    let mut right = within.right() - inset;
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

/// No frame has come yet, and nothing says that none will.
fn waiting(sketch: &mut Sketch, area: Rect<ScreenPixels>, source: &str) {
    let room = 0.9 * area.width();
    let words = "WAITING FOR CAMERA";
    let wanted = (34.0 * sketch.scale).round();
    let size = sketch.fonts.fit(words, wanted, Weight::Bold, room);
    let small = (22.0 * sketch.scale).round();
    let (x, y) = (
        ((area.left() + area.right()) / 2.0).round(),
        ((area.top() + area.bottom()) / 2.0).round(),
    );
    let side = 1.6 * wanted;
    let place = whole(x - side / 2.0, y - 1.4 * side, side, side);
    let inks = Inks {
        body: palette::MUTED,
        detail: palette::PANEL,
    };
    symbol::draw(sketch, Layer::Ink, Symbol::Wait, place, inks);
    let at = Point::new(x, (y + 0.9 * size).round());
    let text = String::from(words);
    sketch.text(at, text, size, Weight::Bold, Align::Center, palette::TEXT);
    let text = sketch.fonts.shorten(source, small, Weight::Regular, room);
    if !text.is_empty() {
        let at = Point::new(x, (y + 0.9 * size + 1.5 * small).round());
        sketch.text(
            at,
            text,
            small,
            Weight::Regular,
            Align::Center,
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
        sketch.shape(ends.to_vec(), Path::Open, None, Some(grey));
    }
    let width = sketch.fonts.width("NO SIGNAL", size, Weight::Bold) + size;
    let plate = whole(middle.x - width / 2.0, middle.y - size, width, 2.0 * size);
    sketch.plate(plate, palette::PANEL);
    sketch.outline(plate, grey);
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
        let bbox = person.detection.bbox.to_screen(video);
        let side = 0.9 * bbox.width().min(bbox.height());
        let left = (bbox.left() + bbox.right() - side) / 2.0;
        let top = (bbox.top() + bbox.bottom() - side) / 2.0;
        let shape = whole(left, top, side, side);
        let inks = Inks {
            body: palette::MUTED,
            detail: palette::COVER,
        };
        symbol::draw(sketch, Layer::Shapes, Symbol::Person, shape, inks);
    }
}
